/* sqlite_functions - the SQL functions whose built-in form a guest could abuse, bounded.
 *
 * Model      They take the place of the built-in ones in a connection, and answer the same.
 *            instr, replace and trim are written anew: in linear time, or counting their steps. The
 *            functions of JSON look at the sizes of their arguments first, then ask the built-in
 *            ones, in a small connection of their own that is opened when the first is called.
 * Bounds     json_set and json_insert take paths of PD_SQLITE_PATH_STEPS_MAX steps: SQLite (3.40)
 *            goes down one stack frame a step, to the end of the stack. json_patch compares each
 *            name of one text with each of the other: PD_SQLITE_PATCH_PAIRS_MAX pairs at most.
 *            Beyond, they fail with SQLITE_TOOBIG.
 * Ownership  Embedded in a connection; init after it is open, deinit after it is closed, both
 *            within its scope. */
#ifndef PD_WASM_SQLITE_FUNCTIONS_H
#define PD_WASM_SQLITE_FUNCTIONS_H

#include <sqlite3.h>

#include "base/status.h"

#define PD_SQLITE_PATH_STEPS_MAX 1000u
#define PD_SQLITE_PATCH_PAIRS_MAX UINT64_C(4000000)

struct pd_sqlite_functions {
    sqlite3 *originals; /* a connection with the built-in functions, or NULL */
};

/* SQLite's code. */
PD_NODISCARD int pd_sqlite_functions_init(struct pd_sqlite_functions *functions, sqlite3 *database);
void pd_sqlite_functions_deinit(struct pd_sqlite_functions *functions);

#endif
