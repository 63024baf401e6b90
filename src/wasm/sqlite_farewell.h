/* sqlite_farewell - connections of dead actors are closed by helper threads, a few at a time.
 *
 * Model      Closing rolls back what is unfinished, which may take a while: so it is a helper's
 *            work. PD_SQLITE_FAREWELLS_MAX helpers are at it; who dies meanwhile stands in a line
 *            that they serve in order.
 * Bounds     The line is as long as actors die that have databases open; what they hold counts on
 *            their accounts until it is closed. Without memory, or when a helper is wanted and the
 *            helpers' queue is full, the caller closes what he brought, which may take him a while;
 *            the line is left to those who are at it. When there is nobody, he gives it to a helper
 *            as soon as the queue has room.
 * Threads    Any. */
#ifndef PD_WASM_SQLITE_FAREWELL_H
#define PD_WASM_SQLITE_FAREWELL_H

#include "wasm/sqlite_connection.h"

#define PD_SQLITE_FAREWELLS_MAX 2u
#define PD_SQLITE_FAREWELL_CONNECTIONS_MAX 17u

/* Release the references, 1 to PD_SQLITE_FAREWELL_CONNECTIONS_MAX of them, in a while. */
void pd_sqlite_farewell(struct pd_host *host, struct pd_sqlite_connection *const *connections,
                        uint32_t count);

#endif
