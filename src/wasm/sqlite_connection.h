/* sqlite_connection - one database that an actor has open, fenced in.
 *
 * Model      Over SQLite's own connection: what SQL may do is limited here, what files it sees by
 *            the VFS, what memory it takes by its account. The functions that say "helper thread"
 *            may read, write, sleep and compute for long; the others only look.
 * Bounds     pd_sqlite_limits. A call that runs more steps of SQLite's machine than steps_max ends
 *            with SQLITE_INTERRUPT.
 * Sharing    Reference counted: the actor has one, and the job that works with it. The last
 *            reference finalizes all statements and closes, which may block. One thread at a time
 *            but for pd_sqlite_connection_cancel.
 * Errors     SQLite's primary codes (sqlite.org/rescode.html), as int. */
#ifndef PD_WASM_SQLITE_CONNECTION_H
#define PD_WASM_SQLITE_CONNECTION_H

#include <sqlite3.h>
#include <stdatomic.h>

#include "base/list.h"
#include "wasm/sqlite_engine.h"
#include "wasm/sqlite_functions.h"
#include "wasm/sqlite_wire.h"

/* Of a string, a blob, a row and a statement's text; all else that grows grows with these. */
#define PD_SQLITE_LENGTH_MAX (1 << 20)
#define PD_SQLITE_COLUMNS_MAX 512
/* Of a statement's program (SQLite grows it by doubling, so 21,504). What it may take without a
 * jump back, where SQLite asks whether it may go on, sqlite_program.h bounds. */
#define PD_SQLITE_INSTRUCTIONS_MAX 25000
#define PD_SQLITE_ATTACHED_MAX 4
/* How long a guest may let a call wait for a lock (PRAGMA busy_timeout); 0 before it asks. */
#define PD_SQLITE_BUSY_MS_MAX 1000
/* Half a minute and more of computing, by machine and statement; a quarter of an hour at most, as a
 * microsecond of the processor counts as a step where steps are slow. */
#define PD_SQLITE_STEPS_MAX UINT64_C(1000000000)
#define PD_SQLITE_ERROR_TEXT_SIZE 400u

struct pd_sqlite_connection {
    struct pd_sqlite_scope scope;
    atomic_uint_least32_t references;
    _Atomic(sqlite3 *) database; /* NULL until it is open */
    sqlite3_stmt *running;       /* of the call under way, or NULL */
    bool may_prepare_anew;       /* the one that runs: its program was judged as it would become */
    bool would_prepare_anew;     /* it had to, and was not allowed yet */
    int judged_code;             /* of the program that was judged last in the call */
    bool is_over_steps;          /* the last call was ended for them */
    int refused_code;            /* the last call was not made: SQLite's code, and words */
    const char *refused_words;
    struct pd_sqlite_functions functions;
    struct pd_list statements;
};

/* Belongs to its connection, and goes with it at the latest. (SQLite lists statements too, but
 * among them those of its virtual tables, which are not ours to finalize.) */
struct pd_sqlite_statement {
    struct pd_list node;
    struct pd_sqlite_connection *connection;
    sqlite3_stmt *handle; /* NULL: of a text without SQL */
};

/* Not open yet. The caller's reference; shares `account` and `directories`. NULL: no memory. */
struct pd_sqlite_connection *pd_sqlite_connection_create(struct pd_sqlite_account *account,
                                                         struct pd_wasi_config *directories,
                                                         struct pd_host *host, uint64_t steps_max);
void pd_sqlite_connection_retain(struct pd_sqlite_connection *connection);
/* Helper thread, when it may be the last. */
void pd_sqlite_connection_release(struct pd_sqlite_connection *connection);

/* Its actor is gone: whatever runs comes to an end soon. Any thread that has a reference. */
void pd_sqlite_connection_cancel(struct pd_sqlite_connection *connection);

/* Helper thread, all five. */

/* Open the database, and look whether it is one. Not SQLITE_OK: `why_out` has a sentence. "" is a
 * temporary database, ":memory:" one in memory. */
PD_NODISCARD int pd_sqlite_connection_open(struct pd_sqlite_connection *connection,
                                           const char *path, char *why_out, size_t why_size);
/* All statements of a text, their rows dropped. SQLITE_TOOBIG: one of them, like those that are
 * prepared, could not be ended for too long (sqlite_program.h). */
PD_NODISCARD int pd_sqlite_execute(struct pd_sqlite_connection *connection, const char *sql);
/* The first statement of a text. SQLITE_NOMEM too. */
PD_NODISCARD int pd_sqlite_prepare(struct pd_sqlite_connection *connection, const char *sql,
                                   size_t size, struct pd_sqlite_statement **statement_out);
/* SQLITE_ROW, SQLITE_DONE, or an error. */
PD_NODISCARD int pd_sqlite_step(struct pd_sqlite_statement *statement);
/* What its last step failed of is no error again. */
void pd_sqlite_reset(struct pd_sqlite_statement *statement);
void pd_sqlite_finalize(struct pd_sqlite_statement *statement);

/* Any thread, none of them blocks. */

/* Bind one pair. `nameless` counts the pairs without a key so far: they take the parameters in
 * turn. A name is found with and without the ':', '@' or '$' that it has in the SQL. */
PD_NODISCARD int pd_sqlite_bind(struct pd_sqlite_statement *statement,
                                const struct pd_sqlite_bind *bind, uint32_t *nameless);
uint32_t pd_sqlite_changes(struct pd_sqlite_connection *connection);
uint32_t pd_sqlite_column_count(const struct pd_sqlite_statement *statement);
/* The value of a column of the row that the statement is at, as a SqliteValue. */
void pd_sqlite_put_column(struct pd_sqlite_statement *statement, uint32_t column,
                          struct pd_sqlite_answer *answer);
/* The name of a column: with its length, or the bytes alone. */
void pd_sqlite_put_column_name(struct pd_sqlite_statement *statement, uint32_t column,
                               bool is_alone, struct pd_sqlite_answer *answer);
/* The call is not made: this is what it ends with. The words are static. */
void pd_sqlite_refuse(struct pd_sqlite_connection *connection, int code, const char *words);
/* And this is where the next one begins. What works with SQLite does so itself. */
void pd_sqlite_forget_refusal(struct pd_sqlite_connection *connection);
/* What the last call ended with: its code, and words for it. SQLITE_OK: no error. */
int pd_sqlite_last_error(struct pd_sqlite_connection *connection, char *text, size_t size);

#endif
