/* pando::sqlite - what lunatic::sqlite has not: failures as codes where that traps, answers into
 * room that the guest gives where that calls the guest back, and an end of a database before its
 * actor's. Ids are the same in both. */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "wasm/abi_tables.h"
#include "wasm/sqlite_calls.h"
#include "wasm/sqlite_farewell.h"

#define MODULE "pando::sqlite"
_Static_assert(PD_SQLITE_LENGTH_MAX == 1048576, "the words of prepare say so");
_Static_assert(PD_SQLITE_STATEMENTS_MAX == 1024, "the words of prepare say so");

/* --- Statements ------------------------------------------------------------------------------- */

static enum pd_call_result refuse(struct pd_call *call, struct pd_sqlite_connection *connection,
                                  int code, const char *words)
{
    pd_sqlite_refuse(connection, code, words);
    return pd_call_done(call, (uint32_t)code);
}

/* What a call ended with. Not every failure leaves words with SQLite. */
static enum pd_call_result answer_code(struct pd_call *call,
                                       struct pd_sqlite_connection *connection, int code)
{
    char text[PD_SQLITE_ERROR_TEXT_SIZE];
    bool is_well = code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE;
    if (!is_well && pd_sqlite_last_error(connection, text, sizeof text) != code) {
        return refuse(call, connection, code, sqlite3_errstr(code));
    }
    return pd_call_done(call, (uint32_t)code);
}

static void prepare_work(struct pd_sqlite_job *job)
{
    job->code = pd_sqlite_prepare(job->connection, job->text, job->text_size, &job->statement);
}

static enum pd_call_result prepare_finish(struct pd_call *call, struct pd_blocking *blocking)
{
    struct pd_sqlite_job *job = pd_sqlite_job_finished(call, blocking);
    struct pd_sqlite_state *state = pd_call_process(call)->sqlite;
    uint64_t id = 0;
    if (job->code != SQLITE_OK) {
        return answer_code(call, job->connection, job->code);
    }
    if (pd_id_table_add(&state->statements, job->statement, &id) != PD_OK) {
        pd_sqlite_finalize(job->statement); /* nobody else could, without an id */
        return refuse(call, job->connection, SQLITE_NOMEM, "no memory for a statement");
    }
    return pd_call_write_u64(call, pd_call_u32(call, 3), id);
}

/* prepare(database, sql, size, id) -> SQLite's code */
static enum pd_call_result prepare(struct pd_call *call)
{
    uint32_t size = pd_call_u32(call, 2);
    struct pd_sqlite_connection *connection = pd_sqlite_find_connection(call);
    const char *sql = connection == NULL ? NULL : pd_sqlite_sql_of(call);
    if (sql == NULL ||
        pd_call_bytes(call, pd_call_u32(call, 3), sizeof(uint64_t), "result pointer") == NULL) {
        return PD_CALL_TRAP;
    }
    if (size > PD_SQLITE_LENGTH_MAX) {
        return refuse(call, connection, SQLITE_TOOBIG, "SQL has at most 1048576 bytes");
    }
    if (memchr(sql, '\0', size) != NULL) {
        return refuse(call, connection, SQLITE_ERROR, "SQL has no zero bytes");
    }
    if (pd_call_process(call)->sqlite->statements.count >= PD_SQLITE_STATEMENTS_MAX) {
        return refuse(call, connection, SQLITE_NOMEM,
                      "1024 statements are prepared: finalize those that are not needed");
    }
    struct pd_sqlite_job *job = pd_sqlite_job_create(connection, sql, size);
    return job == NULL ? refuse(call, connection, SQLITE_NOMEM, "no memory for the SQL")
                       : pd_sqlite_job_run(call, job, "prepare", prepare_work, prepare_finish);
}

/* bind(statement, list, size) -> SQLite's code */
static enum pd_call_result bind(struct pd_call *call)
{
    int code = SQLITE_OK;
    enum pd_call_result result = pd_sqlite_bind_list(call, &code);
    if (result != PD_CALL_DONE) {
        return result;
    }
    return answer_code(call, pd_sqlite_find_statement(call)->connection, code);
}

static void step_work(struct pd_sqlite_job *job)
{
    job->code = pd_sqlite_step(job->statement);
}

static enum pd_call_result step_finish(struct pd_call *call, struct pd_blocking *blocking)
{
    const struct pd_sqlite_job *job = pd_sqlite_job_finished(call, blocking);
    return answer_code(call, job->connection, job->code);
}

/* step(statement) -> 100, 101 or SQLite's code */
static enum pd_call_result step(struct pd_call *call)
{
    struct pd_sqlite_statement *statement = pd_sqlite_find_statement(call);
    if (statement == NULL) {
        return PD_CALL_TRAP;
    }
    struct pd_sqlite_job *job = pd_sqlite_job_create(statement->connection, NULL, 0);
    if (job == NULL) {
        return refuse(call, statement->connection, SQLITE_NOMEM, "no memory for a step");
    }
    job->statement = statement;
    return pd_sqlite_job_run(call, job, "step", step_work, step_finish);
}

/* --- Answers ---------------------------------------------------------------------------------- */

/* Into the room of arguments 1 and 2, if all of it fits; its size is the result in any case. Takes
 * what is in *answer. */
static enum pd_call_result answer_into_room(struct pd_call *call, struct pd_sqlite_answer *answer)
{
    uint32_t room = pd_call_u32(call, 2);
    uint8_t *to = pd_guest_memory(call->guest, pd_call_u32(call, 1), room);
    if (answer->status != PD_OK) {
        return pd_sqlite_trap_answer(call, answer);
    }
    if (to != NULL && answer->size > 0 && answer->size <= room) {
        memcpy(to, answer->bytes, answer->size);
    }
    size_t size = answer->size;
    pd_sqlite_answer_deinit(answer);
    return to == NULL ? pd_call_trap_bounds(call, "room") : pd_call_done(call, (uint32_t)size);
}

static void put_name(struct pd_sqlite_statement *statement, uint32_t column,
                     struct pd_sqlite_answer *answer)
{
    pd_sqlite_put_column_name(statement, column, false, answer);
}

static enum pd_call_result answer_columns(struct pd_call *call,
                                          void (*put)(struct pd_sqlite_statement *statement,
                                                      uint32_t column,
                                                      struct pd_sqlite_answer *answer))
{
    struct pd_sqlite_statement *statement = pd_sqlite_find_statement(call);
    if (statement == NULL) {
        return PD_CALL_TRAP;
    }
    struct pd_sqlite_answer answer = pd_sqlite_new_answer(call);
    uint32_t count = pd_sqlite_column_count(statement);
    pd_sqlite_put_u64(&answer, count);
    for (uint32_t i = 0; i < count && answer.status == PD_OK; i++) {
        put(statement, i, &answer);
    }
    return answer_into_room(call, &answer);
}

/* row(statement, to, room) -> size */
static enum pd_call_result row(struct pd_call *call)
{
    return answer_columns(call, pd_sqlite_put_column);
}

/* names(statement, to, room) -> size */
static enum pd_call_result names(struct pd_call *call)
{
    return answer_columns(call, put_name);
}

/* error(database, to, room) -> size; 0: the last call did not fail */
static enum pd_call_result error(struct pd_call *call)
{
    struct pd_sqlite_connection *connection = pd_sqlite_find_connection(call);
    if (connection == NULL) {
        return PD_CALL_TRAP;
    }
    struct pd_sqlite_answer answer = pd_sqlite_new_answer(call);
    char text[PD_SQLITE_ERROR_TEXT_SIZE];
    if (pd_sqlite_last_error(connection, text, sizeof text) != SQLITE_OK) {
        pd_sqlite_put_utf8(&answer, text, strlen(text));
    }
    return answer_into_room(call, &answer);
}

/* --- Closing ---------------------------------------------------------------------------------- */

/* Nobody can cut it short: what it takes back must be back, whatever becomes of its actor. */
struct closing {
    struct pd_blocking blocking; /* first */
    struct pd_host *host;
    struct pd_sqlite_connection *connection; /* the actor's own reference; NULL: it is closed */
    struct pd_sqlite_place place; /* waited for, as it is for a statement: this may take as long */
};

static struct closing *closing_of(struct pd_blocking *blocking)
{
    return (struct closing *)(void *)blocking;
}

static void close_work(struct pd_blocking *blocking)
{
    struct closing *closing = closing_of(blocking);
    pd_sqlite_connection_release(closing->connection);
    closing->connection = NULL;
    pd_sqlite_place_give(&closing->place);
}

static enum pd_call_result close_finish(struct pd_call *call, struct pd_blocking *blocking)
{
    (void)blocking;
    return pd_call_done(call, SQLITE_OK);
}

static void close_release(struct pd_blocking *blocking)
{
    struct closing *closing = closing_of(blocking);
    pd_sqlite_place_give(&closing->place);
    if (closing->connection != NULL) { /* its actor was killed before a helper was free */
        pd_sqlite_farewell(closing->host, &closing->connection, 1);
    }
    pd_free(closing);
}

static void close_abandon(struct pd_call *call)
{
    struct closing *closing = call->state;
    close_release(&closing->blocking);
}

static enum pd_call_result close_begin(struct pd_call *call)
{
    struct closing *closing = call->state;
    if (!pd_sqlite_place_is_held(&closing->place)) {
        return PD_CALL_WAIT; /* woken for something else */
    }
    call->state = NULL;
    call->abandon = NULL;
    return pd_call_block(call, &closing->blocking);
}

/* Wait for a place, then for the work. Takes it. */
static enum pd_call_result close_start(struct pd_call *call, struct closing *closing)
{
    struct pd_process *process = pd_guest_process(call->guest);
    call->state = closing;
    call->abandon = close_abandon;
    call->resume = close_begin;
    call->needs_stack = true;
    bool is_held =
        pd_sqlite_place_take(&closing->place, process->environment->id, pd_wasm_wake, process);
    return is_held ? close_begin(call) : PD_CALL_WAIT;
}

static bool has_statements(struct pd_sqlite_connection *connection)
{
    return pd_list_first(&connection->statements) != NULL;
}

/* close(database) -> SQLite's code */
static enum pd_call_result close_database(struct pd_call *call)
{
    struct pd_sqlite_connection *connection = pd_sqlite_find_connection(call);
    if (connection == NULL) {
        return PD_CALL_TRAP;
    }
    if (has_statements(connection)) {
        return refuse(call, connection, SQLITE_BUSY,
                      "it has statements: finalize them before it is closed");
    }
    struct closing *closing = pd_alloc_zeroed(1, sizeof *closing);
    if (closing == NULL) {
        return refuse(call, connection, SQLITE_NOMEM, "no memory for closing");
    }
    struct pd_wasm_process *self = pd_call_process(call);
    void *taken = pd_id_table_take(&self->sqlite->connections, call->arguments[0]);
    pd_assert(taken == connection);
    closing->connection = connection;
    closing->host = self->system->machine.host;
    closing->blocking.work = close_work;
    closing->blocking.finish = close_finish;
    closing->blocking.release = close_release;
    closing->blocking.name = "close";
    return close_start(call, closing);
}

/* --- Table ------------------------------------------------------------------------------------ */

const struct pd_import pd_pando_sqlite_imports[] = {
    {MODULE, "prepare", "Iiii->i", PD_CALL_DEFERRED, prepare},
    {MODULE, "bind", "Iii->i", PD_CALL_DEFERRED, bind},
    {MODULE, "step", "I->i", PD_CALL_DEFERRED, step},
    {MODULE, "row", "Iii->i", PD_CALL_DEFERRED, row},
    {MODULE, "names", "Iii->i", PD_CALL_DEFERRED, names},
    {MODULE, "error", "Iii->i", PD_CALL_DEFERRED, error},
    {MODULE, "close", "I->i", PD_CALL_DEFERRED, close_database},
};
const size_t pd_pando_sqlite_import_count =
    sizeof pd_pando_sqlite_imports / sizeof pd_pando_sqlite_imports[0];
