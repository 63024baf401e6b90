/* worker - a member that holds no log and never votes: it runs an application over the store of its
 * cluster.
 *
 * Model      `pando join --role worker` made its folder: node.key, and a cluster.json that says so.
 *            It shows its key to one of the members after the other, and has no ticket any more.
 *            It ends with its application, and with that one's exit code; without one it waits for
 *            a signal. A member that was removed is not let in. */
#ifndef PD_CLI_WORKER_H
#define PD_CLI_WORKER_H

#include "cli/settings.h"

/* Before there is another thread. True: the folder is a worker's, and it was run; *code_out is what
 * to exit with. */
bool pd_worker_main(const struct pd_settings *settings, int *code_out);

#endif
