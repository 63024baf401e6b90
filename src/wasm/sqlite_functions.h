/* sqlite_functions - the SQL functions whose built-in form a guest could abuse, bounded.
 *
 * Model      They take the place of the built-in ones in a connection, and answer the same.
 *            instr, replace, trim, like and glob are written anew: in linear time, or counting
 *            their steps. The functions of JSON look at the sizes of their arguments first, then
 *            ask the built-in ones, in a small connection of their own that is opened when the
 *            first is called. Those of JSONB that would need the same are refused: here and not
 *            only by an authorizer, which SQLite does not ask about what a schema calls.
 * Bounds     json_set and json_insert take paths of PD_SQLITE_PATH_STEPS_MAX steps: SQLite (3.40)
 *            goes down one stack frame a step, to the end of the stack. json_patch compares each
 *            name of one text with each of the other: PD_SQLITE_PATCH_PAIRS_MAX pairs at most.
 *            Beyond, they fail with SQLITE_TOOBIG.
 * Ownership  Embedded in a connection; init after it is open, deinit after it is closed, both
 *            within its scope. */
#ifndef PD_WASM_SQLITE_FUNCTIONS_H
#define PD_WASM_SQLITE_FUNCTIONS_H

#include <sqlite3.h>
#include <stdbool.h>

#include "base/status.h"

#define PD_SQLITE_PATH_STEPS_MAX 1000u
#define PD_SQLITE_PATCH_PAIRS_MAX UINT64_C(4000000)

struct pd_sqlite_functions {
    sqlite3 *originals; /* a connection with the built-in functions, or NULL */
    bool is_like_case_sensitive;
    bool is_like_for_text_only; /* built so: a blob is like nothing */
};

/* SQLite's code. */
PD_NODISCARD int pd_sqlite_functions_init(struct pd_sqlite_functions *functions, sqlite3 *database);
/* What PRAGMA case_sensitive_like does with its argument. The pragma itself may not run: it would
 * put SQLite's own LIKE in the place of this one. */
void pd_sqlite_functions_set_case_sensitive_like(struct pd_sqlite_functions *functions,
                                                 sqlite3 *database, const char *argument);
/* Whether SQL that calls it is refused. */
bool pd_sqlite_functions_refuse(const char *name);
void pd_sqlite_functions_deinit(struct pd_sqlite_functions *functions);

#endif
