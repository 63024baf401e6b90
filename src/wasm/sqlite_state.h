/* sqlite_state - what lunatic::sqlite keeps for one actor, and how its functions wait.
 *
 * Model      Whatever may touch a file, wait for a lock or compute for long is done on a helper
 *            thread (pd_call_block), on copies; the rest on the scheduler's stack. An actor waits
 *            in one call at a time, so a connection is never used by two threads.
 * Killing    The call is abandoned, the connection that it works with told to stop; the last who
 *            has a connection closes it, on a helper.
 * Bounds     PD_SQLITE_CONNECTIONS_MAX databases and PD_SQLITE_STATEMENTS_MAX statements an actor,
 *            PD_SQLITE_FILES_MAX open files, and as much memory as the actor may have of its own
 *            at most, but never more than PD_SQLITE_MEMORY_MAX. */
#ifndef PD_WASM_SQLITE_STATE_H
#define PD_WASM_SQLITE_STATE_H

#include "wasm/sqlite_connection.h"
#include "wasm/wasm_process.h"

#define PD_SQLITE_CONNECTIONS_MAX 16u
#define PD_SQLITE_STATEMENTS_MAX 1024u
#define PD_SQLITE_FILES_MAX 64u
#define PD_SQLITE_MEMORY_MAX (UINT64_C(64) << 20)

struct pd_sqlite_state {
    struct pd_id_table connections; /* struct pd_sqlite_connection, a reference each */
    struct pd_id_table statements;  /* struct pd_sqlite_statement, their connections' */
    struct pd_sqlite_account *account;
    struct pd_sqlite_connection *working; /* of the call that waits; a reference */
};

/* Its process is gone, and so is the guest: its call was abandoned. There may be no state. */
void pd_sqlite_state_destroy(struct pd_wasm_process *self);

#endif
