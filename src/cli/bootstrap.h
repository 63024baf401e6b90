/* bootstrap - `pando start` with peers, in a folder that is nobody's yet: begin a cluster with
 * them, or join theirs. docs/cluster.md says why two can never begin. */
#ifndef PD_CLI_BOOTSTRAP_H
#define PD_CLI_BOOTSTRAP_H

#include "base/host.h"
#include "cli/settings.h"

#define PD_BOOTSTRAP_SECRET_MAX 4096u

struct pd_bootstrap_secret {
    uint8_t bytes[PD_BOOTSTRAP_SECRET_MAX];
    size_t size; /* 0: there is none */
};

/* The file that settings->secret_file names; white space around its words does not count. An exit
 * code, after a message. */
int pd_bootstrap_read_secret(const struct pd_settings *settings,
                             struct pd_bootstrap_secret *secret_out);

/* When it returns PD_EXIT_CODE_OK the folder is to be started; so was one that had been a node's
 * before. Else the exit code, after a message. It may take as long as the others are away; a signal
 * ends the process, and the next start goes on. client_url: NULL, or what members tell clients. */
int pd_bootstrap(struct pd_host *host, const struct pd_settings *settings,
                 const struct pd_bootstrap_secret *secret, const char *client_url);

#endif
