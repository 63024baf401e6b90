/* slow_request - a request that took too long, as a line of the node's log (docs/config.md). */
#ifndef PD_CLI_SLOW_REQUEST_H
#define PD_CLI_SLOW_REQUEST_H

#include <stdbool.h>

#include "node/server.h"

#define PD_SLOW_REQUEST_KEY_MAX (4 * PD_REPLICA_SLOW_KEY_MAX + 4)

/* Say it at once, if that can be done. false: it was not said. */
bool pd_slow_request_say(const struct pd_server_slow *slow);

/* The beginning of its key: printable ASCII, whatever its bytes are; "..." behind what was cut. For
 * tests, too. */
void pd_slow_request_key(const struct pd_replica_slow *slow, char text[PD_SLOW_REQUEST_KEY_MAX]);

#endif
