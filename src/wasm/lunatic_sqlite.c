/* lunatic::sqlite. docs/sqlite.md says what is admitted, and what each function answers. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "wasm/abi_tables.h"
#include "wasm/sqlite_calls.h"
#include "wasm/sqlite_farewell.h"

#define MODULE "lunatic::sqlite"
_Static_assert(PD_SQLITE_CONNECTIONS_MAX + 1 == PD_SQLITE_FAREWELL_CONNECTIONS_MAX,
               "an actor's databases, and the one that its call works with");

/* --- State ------------------------------------------------------------------------------------ */

void pd_sqlite_state_destroy(struct pd_wasm_process *self)
{
    struct pd_sqlite_state *state = self->sqlite;
    if (state == NULL) {
        return;
    }
    struct pd_sqlite_connection *connections[PD_SQLITE_FAREWELL_CONNECTIONS_MAX];
    uint32_t count = 0;
    if (state->working != NULL) {
        pd_sqlite_connection_cancel(state->working);
        connections[count++] = state->working;
    }
    struct pd_sqlite_connection *connection = NULL;
    while ((connection = pd_id_table_take_any(&state->connections)) != NULL) {
        connections[count++] = connection;
    }
    while (pd_id_table_take_any(&state->statements) != NULL) {
        /* they go with their connections */
    }
    if (count > 0) {
        pd_sqlite_farewell(self->system->machine.host, connections, count);
    }
    pd_sqlite_account_release(state->account);
    pd_free(state);
    self->sqlite = NULL;
}

/* NULL: no memory. */
static struct pd_sqlite_state *state_of(const struct pd_call *call)
{
    struct pd_wasm_process *self = pd_call_process(call);
    if (self->sqlite != NULL) {
        return self->sqlite;
    }
    uint64_t bytes_max = self->rights->memory_bytes_max < PD_SQLITE_MEMORY_MAX
                             ? self->rights->memory_bytes_max
                             : PD_SQLITE_MEMORY_MAX;
    struct pd_sqlite_state *state = pd_alloc_zeroed(1, sizeof *state);
    struct pd_sqlite_account *account =
        pd_sqlite_account_create(bytes_max, PD_SQLITE_FILES_MAX, self->system->budget);
    if (state == NULL || account == NULL) {
        if (account != NULL) {
            pd_sqlite_account_release(account);
        }
        pd_free(state);
        return NULL;
    }
    state->account = account;
    self->sqlite = state;
    return state;
}

struct pd_sqlite_connection *pd_sqlite_find_connection(struct pd_call *call)
{
    const struct pd_sqlite_state *state = pd_call_process(call)->sqlite;
    struct pd_sqlite_connection *connection =
        state == NULL ? NULL : pd_id_table_get(&state->connections, call->arguments[0]);
    if (connection == NULL) {
        (void)pd_call_trap(call, "%s: no connection has the id %" PRIu64,
                           pd_call_import(call)->module, call->arguments[0]);
    }
    return connection;
}

struct pd_sqlite_statement *pd_sqlite_find_statement(struct pd_call *call)
{
    const struct pd_sqlite_state *state = pd_call_process(call)->sqlite;
    struct pd_sqlite_statement *statement =
        state == NULL ? NULL : pd_id_table_get(&state->statements, call->arguments[0]);
    if (statement == NULL) {
        (void)pd_call_trap(call, "%s: no statement has the id %" PRIu64,
                           pd_call_import(call)->module, call->arguments[0]);
    }
    return statement;
}

static enum pd_call_result trap_code(struct pd_call *call, const char *function,
                                     struct pd_sqlite_connection *connection, int code)
{
    char text[PD_SQLITE_ERROR_TEXT_SIZE];
    if (pd_sqlite_last_error(connection, text, sizeof text) != code) {
        (void)snprintf(text, sizeof text, "%s", sqlite3_errstr(code));
    }
    return pd_call_trap(call, MODULE "::%s: %s (code %d)", function, text, code);
}

/* --- Work for helpers ------------------------------------------------------------------------- */

static struct pd_sqlite_job *job_of(struct pd_blocking *blocking)
{
    return (struct pd_sqlite_job *)(void *)blocking;
}

static void job_work(struct pd_blocking *blocking)
{
    struct pd_sqlite_job *job = job_of(blocking);
    struct pd_sqlite_scope *scope = &job->connection->scope;
    scope->place = &job->place;
    job->work(job);
    scope->place = NULL;
    pd_sqlite_place_give(&job->place);
}

static void job_release(struct pd_blocking *blocking)
{
    struct pd_sqlite_job *job = job_of(blocking);
    pd_sqlite_place_give(&job->place);
    pd_sqlite_connection_release(job->connection);
    pd_free(job);
}

static void job_abandon(struct pd_call *call)
{
    struct pd_sqlite_job *job = call->state;
    job_release(&job->blocking);
}

struct pd_sqlite_job *pd_sqlite_job_create(struct pd_sqlite_connection *connection,
                                           const char *text, size_t size)
{
    struct pd_sqlite_job *job = pd_alloc(sizeof *job + size + 1);
    if (job == NULL) {
        return NULL;
    }
    memset(job, 0, sizeof *job);
    pd_sqlite_connection_retain(connection);
    job->connection = connection;
    job->blocking.work = job_work;
    job->blocking.release = job_release;
    if (size > 0) {
        memcpy(job->text, text, size);
    }
    job->text[size] = '\0';
    job->text_size = size;
    return job;
}

static enum pd_call_result job_begin(struct pd_call *call)
{
    struct pd_sqlite_job *job = call->state;
    if (!pd_sqlite_place_is_held(&job->place)) {
        return PD_CALL_WAIT; /* woken for something else */
    }
    call->state = NULL;
    call->abandon = NULL;
    return pd_call_block(call, &job->blocking);
}

/* Wait for a place, then for the work. */
static enum pd_call_result job_start(struct pd_call *call)
{
    struct pd_sqlite_job *job = call->state;
    struct pd_process *process = pd_guest_process(call->guest);
    call->resume = job_begin;
    bool is_held =
        pd_sqlite_place_take(&job->place, process->environment->id, pd_wasm_wake, process);
    return is_held ? job_begin(call) : PD_CALL_WAIT;
}

enum pd_call_result pd_sqlite_job_run(struct pd_call *call, struct pd_sqlite_job *job,
                                      const char *name, void (*work)(struct pd_sqlite_job *job),
                                      enum pd_call_result (*finish)(struct pd_call *call,
                                                                    struct pd_blocking *self))
{
    struct pd_sqlite_state *state = pd_call_process(call)->sqlite;
    job->work = work;
    job->blocking.finish = finish;
    job->blocking.name = name;
    pd_assert(state->working == NULL);
    pd_sqlite_connection_retain(job->connection);
    state->working = job->connection;
    call->state = job;
    call->abandon = job_abandon;
    call->needs_stack = true;
    return job_start(call);
}

struct pd_sqlite_job *pd_sqlite_job_finished(struct pd_call *call, struct pd_blocking *blocking)
{
    struct pd_sqlite_state *state = pd_call_process(call)->sqlite;
    pd_sqlite_connection_release(state->working); /* not the last: the job has one */
    state->working = NULL;
    return job_of(blocking);
}

/* --- open ------------------------------------------------------------------------------------- */

static void open_work(struct pd_sqlite_job *job)
{
    job->code = pd_sqlite_connection_open(job->connection, job->text, job->why, sizeof job->why);
}

static enum pd_call_result open_finish(struct pd_call *call, struct pd_blocking *blocking)
{
    struct pd_sqlite_job *job = pd_sqlite_job_finished(call, blocking);
    struct pd_sqlite_state *state = pd_call_process(call)->sqlite;
    uint32_t id_at = pd_call_u32(call, 2);
    uint64_t id = 0;
    if (job->code != SQLITE_OK) {
        return pd_call_error(call, id_at, "%s", job->why);
    }
    if (pd_id_table_add(&state->connections, job->connection, &id) != PD_OK) {
        return pd_call_error(call, id_at, "no memory for a connection");
    }
    pd_sqlite_connection_retain(job->connection);
    return pd_call_write_u64(call, id_at, id);
}

static enum pd_call_result open_database(struct pd_call *call)
{
    uint32_t size = pd_call_u32(call, 1);
    uint32_t id_at = pd_call_u32(call, 2);
    const char *path = pd_call_text(call, pd_call_u32(call, 0), size, PD_SQLITE_PATH_MAX, "path");
    if (path == NULL || pd_call_bytes(call, id_at, sizeof(uint64_t), "result pointer") == NULL) {
        return PD_CALL_TRAP;
    }
    if (size > PD_SQLITE_PATH_MAX || memchr(path, '\0', size) != NULL) {
        return pd_call_error(call, id_at, "a database's path has at most %u bytes, none of them 0",
                             PD_SQLITE_PATH_MAX);
    }
    struct pd_wasm_process *self = pd_call_process(call);
    struct pd_sqlite_state *state = state_of(call);
    if (state == NULL || pd_sqlite_start() != PD_OK) {
        return pd_call_error(call, id_at, "no memory for SQLite");
    }
    if (state->connections.count >= PD_SQLITE_CONNECTIONS_MAX) {
        return pd_call_error(call, id_at, "a process has at most %u databases open",
                             PD_SQLITE_CONNECTIONS_MAX);
    }
    struct pd_sqlite_connection *connection = pd_sqlite_connection_create(
        state->account, self->rights->wasi, pd_guest_host(call->guest), PD_SQLITE_STEPS_MAX);
    struct pd_sqlite_job *job =
        connection == NULL ? NULL : pd_sqlite_job_create(connection, path, size);
    if (connection != NULL) {
        pd_sqlite_connection_release(connection); /* the job's, if there is one */
    }
    if (job == NULL) {
        return pd_call_error(call, id_at, "no memory for a connection");
    }
    return pd_sqlite_job_run(call, job, "open", open_work, open_finish);
}

/* --- Statements ------------------------------------------------------------------------------- */

_Static_assert(PD_SQLITE_LENGTH_MAX == 1048576, "the words of execute say so");

const char *pd_sqlite_sql_of(struct pd_call *call)
{
    return pd_call_text(call, pd_call_u32(call, 1), pd_call_u32(call, 2), PD_SQLITE_LENGTH_MAX,
                        "SQL");
}

static void execute_work(struct pd_sqlite_job *job)
{
    job->code = pd_sqlite_execute(job->connection, job->text);
}

static enum pd_call_result execute_finish(struct pd_call *call, struct pd_blocking *blocking)
{
    return pd_call_done(call, (uint32_t)pd_sqlite_job_finished(call, blocking)->code);
}

static enum pd_call_result refuse(struct pd_call *call, struct pd_sqlite_connection *connection,
                                  int code, const char *words)
{
    pd_sqlite_refuse(connection, code, words);
    return pd_call_done(call, (uint32_t)code);
}

static enum pd_call_result execute(struct pd_call *call)
{
    uint32_t size = pd_call_u32(call, 2);
    struct pd_sqlite_connection *connection = pd_sqlite_find_connection(call);
    const char *sql = connection == NULL ? NULL : pd_sqlite_sql_of(call);
    if (sql == NULL) {
        return PD_CALL_TRAP;
    }
    if (size > PD_SQLITE_LENGTH_MAX) {
        return refuse(call, connection, SQLITE_TOOBIG, "SQL has at most 1048576 bytes");
    }
    if (memchr(sql, '\0', size) != NULL) {
        return refuse(call, connection, SQLITE_ERROR, "SQL has no zero bytes");
    }
    struct pd_sqlite_job *job = pd_sqlite_job_create(connection, sql, size);
    return job == NULL ? refuse(call, connection, SQLITE_NOMEM, "no memory for the SQL")
                       : pd_sqlite_job_run(call, job, "execute", execute_work, execute_finish);
}

static void prepare_work(struct pd_sqlite_job *job)
{
    job->code = pd_sqlite_prepare(job->connection, job->text, job->text_size, &job->statement);
}

static enum pd_call_result prepare_finish(struct pd_call *call, struct pd_blocking *blocking)
{
    struct pd_sqlite_job *job = pd_sqlite_job_finished(call, blocking);
    struct pd_sqlite_state *state = pd_call_process(call)->sqlite;
    if (job->code != SQLITE_OK) {
        return trap_code(call, "query_prepare", job->connection, job->code);
    }
    uint64_t id = 0;
    if (pd_id_table_add(&state->statements, job->statement, &id) != PD_OK) {
        pd_sqlite_finalize(job->statement); /* nobody else could, without an id */
        return pd_call_trap(call, MODULE "::query_prepare: no memory for a statement");
    }
    call->result = id;
    return PD_CALL_DONE;
}

static enum pd_call_result query_prepare(struct pd_call *call)
{
    uint32_t size = pd_call_u32(call, 2);
    struct pd_sqlite_connection *connection = pd_sqlite_find_connection(call);
    const char *sql = connection == NULL ? NULL : pd_sqlite_sql_of(call);
    if (sql == NULL) {
        return PD_CALL_TRAP;
    }
    if (size > PD_SQLITE_LENGTH_MAX || memchr(sql, '\0', size) != NULL) {
        return pd_call_trap(call,
                            MODULE "::query_prepare: SQL has at most %d bytes, none of them 0",
                            PD_SQLITE_LENGTH_MAX);
    }
    if (pd_call_process(call)->sqlite->statements.count >= PD_SQLITE_STATEMENTS_MAX) {
        return pd_call_trap(call,
                            MODULE "::query_prepare: %u statements are prepared: finalize those "
                                   "that are not needed (sqlite3_finalize)",
                            PD_SQLITE_STATEMENTS_MAX);
    }
    struct pd_sqlite_job *job = pd_sqlite_job_create(connection, sql, size);
    return job == NULL
               ? pd_call_trap(call, MODULE "::query_prepare: no memory")
               : pd_sqlite_job_run(call, job, "query_prepare", prepare_work, prepare_finish);
}

/* Run work on the statement of argument 0. */
static enum pd_call_result on_statement(struct pd_call *call, const char *name,
                                        void (*work)(struct pd_sqlite_job *job),
                                        enum pd_call_result (*finish)(struct pd_call *call,
                                                                      struct pd_blocking *self))
{
    struct pd_sqlite_statement *statement = pd_sqlite_find_statement(call);
    if (statement == NULL) {
        return PD_CALL_TRAP;
    }
    struct pd_sqlite_job *job = pd_sqlite_job_create(statement->connection, NULL, 0);
    if (job == NULL) {
        return pd_call_trap(call, MODULE "::%s: no memory", name);
    }
    job->statement = statement;
    return pd_sqlite_job_run(call, job, name, work, finish);
}

static enum pd_call_result done_finish(struct pd_call *call, struct pd_blocking *blocking)
{
    (void)pd_sqlite_job_finished(call, blocking);
    return PD_CALL_DONE;
}

static void step_work(struct pd_sqlite_job *job)
{
    job->code = pd_sqlite_step(job->statement);
}

static enum pd_call_result step_finish(struct pd_call *call, struct pd_blocking *blocking)
{
    struct pd_sqlite_job *job = pd_sqlite_job_finished(call, blocking);
    if (job->code != SQLITE_ROW && job->code != SQLITE_DONE) {
        return trap_code(call, "sqlite3_step", job->connection, job->code);
    }
    return pd_call_done(call, (uint32_t)job->code);
}

static enum pd_call_result step(struct pd_call *call)
{
    return on_statement(call, "sqlite3_step", step_work, step_finish);
}

static void reset_work(struct pd_sqlite_job *job)
{
    pd_sqlite_reset(job->statement);
}

static enum pd_call_result statement_reset(struct pd_call *call)
{
    return on_statement(call, "statement_reset", reset_work, done_finish);
}

static void finalize_work(struct pd_sqlite_job *job)
{
    pd_sqlite_finalize(job->statement);
}

static enum pd_call_result finalize_finish(struct pd_call *call, struct pd_blocking *blocking)
{
    (void)pd_sqlite_job_finished(call, blocking);
    (void)pd_id_table_take(&pd_call_process(call)->sqlite->statements, call->arguments[0]);
    return PD_CALL_DONE;
}

static enum pd_call_result finalize(struct pd_call *call)
{
    return on_statement(call, "sqlite3_finalize", finalize_work, finalize_finish);
}

/* --- Parameters ------------------------------------------------------------------------------- */

static enum pd_call_result trap_list(struct pd_call *call, enum pd_status status)
{
    const struct pd_import *import = pd_call_import(call);
    return status == PD_ERR_FULL ? pd_call_trap(call, "%s::%s: a list has at most %u values",
                                                import->module, import->name, PD_SQLITE_BINDS_MAX)
                                 : pd_call_trap(call, "%s::%s: not a list of values in bincode",
                                                import->module, import->name);
}

/* The whole list is looked at first: a malformed one binds nothing. */
static enum pd_status check_list(const uint8_t *bytes, size_t size)
{
    struct pd_sqlite_binds binds;
    struct pd_sqlite_bind bind;
    enum pd_status status = pd_sqlite_binds_begin(&binds, bytes, size);
    while (status == PD_OK && binds.count > 0) {
        status = pd_sqlite_binds_next(&binds, &bind);
    }
    return status;
}

enum pd_call_result pd_sqlite_bind_list(struct pd_call *call, int *code_out)
{
    uint32_t size = pd_call_u32(call, 2);
    struct pd_sqlite_statement *statement = pd_sqlite_find_statement(call);
    const uint8_t *bytes =
        statement == NULL ? NULL : pd_call_bytes(call, pd_call_u32(call, 1), size, "values");
    if (bytes == NULL) {
        return PD_CALL_TRAP;
    }
    if (size > PD_SQLITE_LIST_MAX) {
        const struct pd_import *import = pd_call_import(call);
        return pd_call_trap(call, "%s::%s: a list has at most %u bytes", import->module,
                            import->name, PD_SQLITE_LIST_MAX);
    }
    enum pd_status status = check_list(bytes, size);
    if (status != PD_OK) {
        return trap_list(call, status);
    }
    struct pd_sqlite_binds binds;
    struct pd_sqlite_bind bind;
    uint32_t nameless = 0;
    *code_out = SQLITE_OK;
    pd_sqlite_forget_refusal(statement->connection); /* of a list without values, too */
    status = pd_sqlite_binds_begin(&binds, bytes, size);
    while (status == PD_OK && binds.count > 0 && *code_out == SQLITE_OK) {
        status = pd_sqlite_binds_next(&binds, &bind);
        if (status == PD_OK) {
            *code_out = pd_sqlite_bind(statement, &bind, &nameless);
        }
    }
    return PD_CALL_DONE;
}

static enum pd_call_result bind_value(struct pd_call *call)
{
    int code = SQLITE_OK;
    enum pd_call_result result = pd_sqlite_bind_list(call, &code);
    if (result == PD_CALL_DONE && code != SQLITE_OK) {
        struct pd_sqlite_statement *statement = pd_sqlite_find_statement(call);
        return trap_code(call, "bind_value", statement->connection, code);
    }
    return result;
}

/* --- Answers in memory that the guest allocates ----------------------------------------------- */

struct delivery {
    struct pd_sqlite_answer answer;
    unsigned length_argument; /* where its length goes */
};

static void delivery_destroy(struct delivery *delivery)
{
    pd_sqlite_answer_deinit(&delivery->answer);
    pd_free(delivery);
}

static void delivery_abandon(struct pd_call *call)
{
    delivery_destroy(call->state);
}

static enum pd_call_result deliver(struct pd_call *call, const struct delivery *delivery,
                                   uint32_t address)
{
    const struct pd_sqlite_answer *answer = &delivery->answer;
    uint8_t *to = pd_guest_memory(call->guest, address, answer->size);
    if (to == NULL) {
        return pd_call_trap_bounds(call, "what lunatic_alloc returned");
    }
    if (answer->size > 0) {
        memcpy(to, answer->bytes, answer->size);
    }
    enum pd_call_result result =
        pd_call_write_u64(call, pd_call_u32(call, delivery->length_argument), answer->size);
    return result == PD_CALL_DONE ? pd_call_done(call, address) : result;
}

static enum pd_call_result deliver_finish(struct pd_call *call, bool is_ok, uint32_t value)
{
    struct delivery *delivery = call->state;
    call->state = NULL;
    call->abandon = NULL;
    enum pd_call_result result = is_ok
                                     ? deliver(call, delivery, value)
                                     : pd_call_trap(call, MODULE ": lunatic_alloc did not return");
    delivery_destroy(delivery);
    return result;
}

struct pd_sqlite_answer pd_sqlite_new_answer(const struct pd_call *call)
{
    const struct pd_sqlite_state *state = pd_call_process(call)->sqlite;
    return (struct pd_sqlite_answer){.account = state == NULL ? NULL : state->account};
}

enum pd_call_result pd_sqlite_trap_answer(struct pd_call *call, struct pd_sqlite_answer *answer)
{
    const char *module = pd_call_import(call)->module;
    bool is_long = answer->status == PD_ERR_FULL;
    pd_sqlite_answer_deinit(answer);
    return is_long ? pd_call_trap(call, "%s: an answer has at most %u bytes", module,
                                  PD_SQLITE_ANSWER_MAX)
                   : pd_call_trap(call, "%s: no memory for the answer", module);
}

/* Takes what is in *answer. */
static enum pd_call_result answer_with(struct pd_call *call, struct pd_sqlite_answer *answer,
                                       unsigned length_argument)
{
    if (pd_call_bytes(call, pd_call_u32(call, length_argument), sizeof(uint64_t),
                      "result pointer") == NULL) {
        pd_sqlite_answer_deinit(answer); /* before the guest makes room in vain */
        return PD_CALL_TRAP;
    }
    struct delivery *delivery = pd_alloc_zeroed(1, sizeof *delivery);
    if (answer->status != PD_OK || delivery == NULL) {
        pd_free(delivery);
        return pd_sqlite_trap_answer(call, answer);
    }
    delivery->answer = *answer;
    delivery->length_argument = length_argument;
    call->state = delivery;
    call->abandon = delivery_abandon;
    const uint32_t arguments[1] = {(uint32_t)answer->size};
    enum pd_call_result result =
        pd_call_nested(call, "lunatic_alloc", arguments, 1, deliver_finish);
    if (result == PD_CALL_TRAP && call->state != NULL) { /* it could not even begin */
        call->state = NULL;
        call->abandon = NULL;
        delivery_destroy(delivery);
    }
    return result;
}

/* The column of argument 1. False: a trap was set. */
static bool read_column_index(struct pd_call *call, const struct pd_sqlite_statement *statement,
                              uint32_t *column_out)
{
    *column_out = pd_call_u32(call, 1);
    uint32_t count = pd_sqlite_column_count(statement);
    if (*column_out >= count) {
        (void)pd_call_trap(call,
                           MODULE ": the statement has %u columns, and so none with the "
                                  "index %u",
                           count, *column_out);
        return false;
    }
    return true;
}

/* How a column's part of an answer is written. */
typedef void put_column(struct pd_sqlite_statement *statement, uint32_t column,
                        struct pd_sqlite_answer *answer);

static void put_name(struct pd_sqlite_statement *statement, uint32_t column,
                     struct pd_sqlite_answer *answer)
{
    pd_sqlite_put_column_name(statement, column, false, answer);
}

static void put_name_or_none(struct pd_sqlite_statement *statement, uint32_t column,
                             struct pd_sqlite_answer *answer)
{
    pd_sqlite_put_column_name(statement, column, true, answer);
}

static enum pd_call_result answer_column(struct pd_call *call, put_column *put)
{
    struct pd_sqlite_statement *statement = pd_sqlite_find_statement(call);
    struct pd_sqlite_answer answer = pd_sqlite_new_answer(call);
    uint32_t column = 0;
    if (statement == NULL || !read_column_index(call, statement, &column)) {
        return PD_CALL_TRAP;
    }
    put(statement, column, &answer);
    return answer_with(call, &answer, 2);
}

static enum pd_call_result answer_columns(struct pd_call *call, put_column *put)
{
    struct pd_sqlite_statement *statement = pd_sqlite_find_statement(call);
    struct pd_sqlite_answer answer = pd_sqlite_new_answer(call);
    if (statement == NULL) {
        return PD_CALL_TRAP;
    }
    uint32_t count = pd_sqlite_column_count(statement);
    pd_sqlite_put_u64(&answer, count);
    for (uint32_t i = 0; i < count && answer.status == PD_OK; i++) {
        put(statement, i, &answer);
    }
    return answer_with(call, &answer, 1);
}

static enum pd_call_result read_column(struct pd_call *call)
{
    return answer_column(call, pd_sqlite_put_column);
}

static enum pd_call_result read_row(struct pd_call *call)
{
    return answer_columns(call, pd_sqlite_put_column);
}

static enum pd_call_result column_names(struct pd_call *call)
{
    return answer_columns(call, put_name);
}

static enum pd_call_result column_name(struct pd_call *call)
{
    return answer_column(call, put_name_or_none);
}

/* {code: Option<u32>, message: Option<String>}; both None when nothing failed. */
static enum pd_call_result last_error(struct pd_call *call)
{
    struct pd_sqlite_connection *connection = pd_sqlite_find_connection(call);
    struct pd_sqlite_answer answer = pd_sqlite_new_answer(call);
    if (connection == NULL) {
        return PD_CALL_TRAP;
    }
    char text[PD_SQLITE_ERROR_TEXT_SIZE];
    int code = pd_sqlite_last_error(connection, text, sizeof text);
    if (code == SQLITE_OK) {
        pd_sqlite_put_u8(&answer, 0);
        pd_sqlite_put_u8(&answer, 0);
    } else {
        pd_sqlite_put_u8(&answer, 1);
        pd_sqlite_put_u32(&answer, (uint32_t)code);
        pd_sqlite_put_u8(&answer, 1);
        pd_sqlite_put_text(&answer, text, strlen(text));
    }
    return answer_with(call, &answer, 1);
}

static enum pd_call_result column_count(struct pd_call *call)
{
    const struct pd_sqlite_statement *statement = pd_sqlite_find_statement(call);
    return statement == NULL ? PD_CALL_TRAP : pd_call_done(call, pd_sqlite_column_count(statement));
}

static enum pd_call_result changes(struct pd_call *call)
{
    struct pd_sqlite_connection *connection = pd_sqlite_find_connection(call);
    return connection == NULL ? PD_CALL_TRAP : pd_call_done(call, pd_sqlite_changes(connection));
}

/* --- Table ------------------------------------------------------------------------------------ */

const struct pd_import pd_lunatic_sqlite_imports[] = {
    {MODULE, "open", "iii->I", PD_CALL_DEFERRED, open_database},
    {MODULE, "query_prepare", "Iii->I", PD_CALL_DEFERRED, query_prepare},
    {MODULE, "execute", "Iii->i", PD_CALL_DEFERRED, execute},
    {MODULE, "bind_value", "Iii->", PD_CALL_DEFERRED, bind_value},
    {MODULE, "sqlite3_changes", "I->i", PD_CALL_DEFERRED, changes},
    {MODULE, "sqlite3_step", "I->i", PD_CALL_DEFERRED, step},
    {MODULE, "statement_reset", "I->", PD_CALL_DEFERRED, statement_reset},
    {MODULE, "sqlite3_finalize", "I->", PD_CALL_DEFERRED, finalize},
    {MODULE, "column_count", "I->i", PD_CALL_DEFERRED, column_count},
    {MODULE, "last_error", "Ii->i", PD_CALL_DEFERRED, last_error},
    {MODULE, "read_column", "Iii->i", PD_CALL_DEFERRED, read_column},
    {MODULE, "read_row", "Ii->i", PD_CALL_DEFERRED, read_row},
    {MODULE, "column_names", "Ii->i", PD_CALL_DEFERRED, column_names},
    {MODULE, "column_name", "Iii->i", PD_CALL_DEFERRED, column_name},
};
const size_t pd_lunatic_sqlite_import_count =
    sizeof pd_lunatic_sqlite_imports / sizeof pd_lunatic_sqlite_imports[0];
