/* sqlite_calls - what the functions of lunatic::sqlite and pando::sqlite share: what an id stands
 * for, and work on a helper thread. docs/sqlite.md says what each function answers.
 *
 * Ownership  A job has a reference to its connection, a place among those that run (after it was
 *            waited for), and copies of all that it works with. */
#ifndef PD_WASM_SQLITE_CALLS_H
#define PD_WASM_SQLITE_CALLS_H

#include "wasm/sqlite_places.h"
#include "wasm/sqlite_state.h"
#include "wasm/sqlite_vfs.h"

struct pd_sqlite_job {
    struct pd_blocking blocking;             /* first */
    struct pd_sqlite_connection *connection; /* a reference */
    struct pd_sqlite_statement *statement;   /* the connection's, or NULL */
    void (*work)(struct pd_sqlite_job *job);
    int code; /* SQLite's */
    struct pd_sqlite_place place;
    char why[PD_SQLITE_PATH_MAX + PD_SQLITE_ERROR_TEXT_SIZE];
    size_t text_size;
    char text[]; /* a path or SQL, with a zero byte behind it */
};

/* Of argument 0. NULL after a trap. */
struct pd_sqlite_connection *pd_sqlite_find_connection(struct pd_call *call);
struct pd_sqlite_statement *pd_sqlite_find_statement(struct pd_call *call);

/* SQL of the guest (arguments 1 and 2); one that is longer than PD_SQLITE_LENGTH_MAX was not read,
 * for the caller refuses it. NULL after a trap. */
const char *pd_sqlite_sql_of(struct pd_call *call);

/* For `connection`, whose reference it shares, with a copy of the text. NULL: no memory. */
struct pd_sqlite_job *pd_sqlite_job_create(struct pd_sqlite_connection *connection,
                                           const char *text, size_t size);

/* Run `work` on a helper when there is a place, then `finish`. Takes the job. Return its result. */
enum pd_call_result pd_sqlite_job_run(struct pd_call *call, struct pd_sqlite_job *job,
                                      const char *name, void (*work)(struct pd_sqlite_job *job),
                                      enum pd_call_result (*finish)(struct pd_call *call,
                                                                    struct pd_blocking *self));

/* What every `finish` begins with. */
struct pd_sqlite_job *pd_sqlite_job_finished(struct pd_call *call, struct pd_blocking *blocking);

/* Bind the list of arguments 1 and 2 to the statement of argument 0. DONE: *code_out is how. */
enum pd_call_result pd_sqlite_bind_list(struct pd_call *call, int *code_out);

/* An answer that is counted to the actor, who may have no state yet; then its call traps. */
struct pd_sqlite_answer pd_sqlite_new_answer(const struct pd_call *call);
/* It has a status that is not PD_OK, or nobody to take it. Takes what is in it. */
enum pd_call_result pd_sqlite_trap_answer(struct pd_call *call, struct pd_sqlite_answer *answer);

#endif
