/* joiner - a new node becomes a member of a cluster, by a ticket: `pando join`, and `pando start`
 * with peers that have a cluster already. */
#ifndef PD_CLI_JOINER_H
#define PD_CLI_JOINER_H

#include <stdbool.h>

#include "base/host.h"

/* NULL: as it comes. */
struct pd_join_wish {
    const char *ticket; /* its text, or "@FILE" */
    const char *folder; /* empty or missing; one that joined before is left as it is */
    const char *name;
    const char *listen_peer;    /* NULL: a free port, when the members are on this machine */
    const char *advertise_peer; /* NULL: where it listens */
    const char *client_url;
    const char *listen_client; /* ADDRESS:PORT, tried before; NULL: it is not known, or nowhere */
    bool is_worker;            /* it has no log, and is reached by nobody */
    uint64_t timeout_s;
};

/* The folder is a member's when it returns PD_EXIT_CODE_OK: start it. Else the exit code, after a
 * message. A folder that is not empty and no node's, and a port that is taken, are refused before
 * anything is written and any member is asked. One at a time. */
int pd_join_by_ticket(struct pd_host *host, const struct pd_join_wish *wish);

/* Whether the folder is a member's of some cluster already: it needs no ticket. Nothing is made.
 * Else than PD_EXIT_CODE_OK: it has another role, which was told. */
int pd_join_look(const char *folder, bool wants_worker, bool *is_done_out);

#endif
