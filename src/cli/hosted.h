/* hosted - an application that runs inside of a node: `pando start --app FILE`.
 *
 * Model      A thread of its own runs what `pando run` runs, over the node's store. The application
 *            ends when it likes, which is told and does not end the node; or with the node, which
 *            asks it first, as Ctrl-C does.
 * Threads    Schedulers and helpers run at lower priority than core and log. */
#ifndef PD_CLI_HOSTED_H
#define PD_CLI_HOSTED_H

#include "cli/run_options.h"
#include "cli/settings.h"
#include "gateway/text.h"
#include "node/server.h"

struct pd_hosted;

/* What the application is told, by the node's settings: arguments behind `--`, directories, bounds;
 * and who the node is, in the variable PANDO_NODE. Good until it is called again. */
struct pd_run_options pd_hosted_options(const struct pd_settings *settings, uint64_t node);

/* Before anything is made, or joined: whether the settings' application can be run. Without one
 * there is nothing to check. PD_EXIT_CODE_OK, or what to exit with, after it was told why not. */
int pd_hosted_check(const struct pd_settings *settings);

/* Start it. PD_EXIT_CODE_OK, or what to exit with, after it was told why. */
int pd_hosted_open(const struct pd_run_options *options, struct pd_host *host,
                   struct pd_server *server, struct pd_hosted **hosted_out);
/* What /metrics say of it. Any thread, until it is closed. */
void pd_hosted_metrics(struct pd_hosted *hosted, struct pd_text *text);
/* End it and wait; what it was can still be looked at. NULL is allowed. */
void pd_hosted_stop(struct pd_hosted *hosted);
/* Stopped, if it was not. Before the server is closed, when nobody looks at it any more. NULL is
 * allowed. */
void pd_hosted_close(struct pd_hosted *hosted);

#endif
