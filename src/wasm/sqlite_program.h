/* sqlite_program - whether a program may run, by what it reads where nobody can stop it.
 *
 * Model      SQLite asks whether it may go on only where a program jumps back, and each instruction
 *            that takes a text for a number reads it to its end, several times over. So a program
 *            is judged before it runs: it is listed (EXPLAIN), and the passes through texts that
 *            its instructions may make are added up. Where it jumps does not matter: the sum is
 *            what all of its instructions make at most when each runs once.
 * Bounds     PD_SQLITE_PASSES_MAX: about a second and a half with texts of PD_SQLITE_LENGTH_MAX,
 *            each pass 0.27 ms (SQLite 3.40 on one core). Short programs are not listed: few
 *            instructions make more than 8 passes. One that allocates what it makes does not
 *            count, as the engine can end it there.
 * Threads    Within a scope, on its thread; runs no statement but EXPLAIN's. */
#ifndef PD_WASM_SQLITE_PROGRAM_H
#define PD_WASM_SQLITE_PROGRAM_H

#include <sqlite3.h>

#include "base/status.h"

#define PD_SQLITE_PASSES_MAX 6144u

/* SQLITE_OK: it may run. SQLITE_TOOBIG: too many passes; SQLITE_NOMEM; or what EXPLAIN fails with.
 * SQLITE_AUTH: it is an EXPLAIN, which names the tables of its program as they were when it was
 * prepared, by pointers that lead nowhere when the schema has changed (SQLite 3.40). Then the
 * statement is not to be run. */
PD_NODISCARD int pd_sqlite_program_judge(sqlite3_stmt *statement);

#endif
