#include "wasm/sqlite_connection.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "wasm/sqlite_program.h"
#include "wasm/sqlite_vfs.h"
#include "wasm/wasi.h"

#define PROGRESS_INTERVAL 1000
#define NAME_SIZE_MAX 256u
#define PRIMARY(code) ((code)&0xff)
#define PROGRAM_WORDS                                                                              \
    "it would read texts as numbers too often without a pause: make several statements of it"
#define EXPLAIN_WORDS "EXPLAIN is refused; EXPLAIN QUERY PLAN is not"

/* --- Life ------------------------------------------------------------------------------------- */

struct pd_sqlite_connection *pd_sqlite_connection_create(struct pd_sqlite_account *account,
                                                         struct pd_wasi_config *directories,
                                                         struct pd_host *host, uint64_t steps_max)
{
    struct pd_sqlite_connection *connection = pd_alloc_zeroed(1, sizeof *connection);
    if (connection == NULL) {
        return NULL;
    }
    pd_sqlite_account_retain(account);
    connection->scope.account = account;
    connection->scope.directories = pd_wasi_config_retain(directories);
    connection->scope.host = host;
    atomic_init(&connection->scope.is_cancelled, false);
    atomic_init(&connection->references, 1);
    atomic_init(&connection->database, NULL);
    pd_list_init(&connection->statements);
    connection->scope.steps_max = steps_max;
    return connection;
}

void pd_sqlite_connection_retain(struct pd_sqlite_connection *connection)
{
    atomic_fetch_add_explicit(&connection->references, 1, memory_order_relaxed);
}

static sqlite3 *database_of(struct pd_sqlite_connection *connection)
{
    return atomic_load_explicit(&connection->database, memory_order_acquire);
}

static struct pd_sqlite_statement *statement_of(struct pd_list *node)
{
    return pd_container_of(node, struct pd_sqlite_statement, node);
}

static void forget_statement(struct pd_sqlite_statement *statement)
{
    (void)sqlite3_finalize(statement->handle);
    pd_list_remove(&statement->node);
    pd_free(statement);
}

/* A transaction that is open is rolled back, in full: so nothing may end it early any more. */
static void close_database(struct pd_sqlite_connection *connection)
{
    sqlite3 *database = database_of(connection);
    if (database == NULL) {
        return;
    }
    atomic_store(&connection->scope.is_cancelled, false);
    connection->scope.steps_max = UINT64_MAX;
    pd_sqlite_enter(&connection->scope);
    struct pd_list *node = NULL;
    while ((node = pd_list_first(&connection->statements)) != NULL) {
        forget_statement(statement_of(node));
    }
    int code = sqlite3_close(database);
    pd_assert(code == SQLITE_OK);
    pd_sqlite_functions_deinit(&connection->functions);
    pd_sqlite_leave();
}

void pd_sqlite_connection_release(struct pd_sqlite_connection *connection)
{
    uint32_t before = atomic_fetch_sub_explicit(&connection->references, 1, memory_order_acq_rel);
    pd_assert(before > 0);
    if (before == 1) {
        close_database(connection);
        pd_wasi_config_release(connection->scope.directories);
        pd_sqlite_account_release(connection->scope.account);
        pd_free(connection);
    }
}

void pd_sqlite_connection_cancel(struct pd_sqlite_connection *connection)
{
    atomic_store(&connection->scope.is_cancelled, true);
    sqlite3 *database = database_of(connection);
    if (database != NULL) {
        sqlite3_interrupt(database); /* the caller's reference keeps it open */
    }
}

/* --- What SQL may do -------------------------------------------------------------------------- */

/* Steps that read long texts take a thousand times as long as others: then each microsecond of the
 * processor is one. Ordinary ones take a twentieth of that. */
static int on_progress(void *context)
{
    struct pd_sqlite_scope *scope = &((struct pd_sqlite_connection *)context)->scope;
    uint64_t now_us = scope->host->ops->cpu_ns(scope->host, PD_CPU_THREAD) / 1000;
    uint64_t passed_us = scope->is_timed ? now_us - scope->asked_us : 0;
    scope->asked_us = now_us;
    scope->is_timed = true;
    return !pd_sqlite_charge(scope, passed_us > PROGRESS_INTERVAL ? passed_us : PROGRESS_INTERVAL);
}

static int judge(struct pd_sqlite_connection *connection, sqlite3_stmt *handle)
{
    connection->judged_code = PRIMARY(pd_sqlite_program_judge(handle));
    return connection->judged_code;
}

/* What SQLite prepares and runs within a statement (ALTER TABLE looks at all rows so) is judged as
 * it starts; its first jump finds that it is interrupted. Statements of the actor's own were judged
 * when they were prepared. */
static int on_start(unsigned event, void *context, void *statement, void *text)
{
    struct pd_sqlite_connection *connection = context;
    (void)event;
    (void)text;
    if (statement == connection->running || connection->judged_code != SQLITE_OK ||
        sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_RUN, 0) != 0) {
        return 0;
    }
    if (judge(connection, statement) != SQLITE_OK) {
        sqlite3_interrupt(sqlite3_db_handle(statement));
    }
    return 0;
}

/* Whether SQLite prepares the statement that should run once more, for the schema has changed. */
static bool is_prepared_anew(const struct pd_sqlite_connection *connection)
{
    return connection->running != NULL && sqlite3_stmt_busy(connection->running) == 0;
}

static int compare_names(const void *key, const void *entry)
{
    return sqlite3_stricmp(key, *(const char *const *)entry);
}

/* What is not here is refused, because it reaches beyond the connection (temp_store_directory, the
 * heap limits) or nobody has looked whether it does. In order, for bsearch. */
static bool is_pragma_admitted(const char *name)
{
    static const char *const admitted[] = {
        "analysis_limit",
        "application_id",
        "auto_vacuum",
        "automatic_index",
        "busy_timeout",
        "cache_size",
        "cache_spill",
        "case_sensitive_like",
        "cell_size_check",
        "checkpoint_fullfsync",
        "collation_list",
        "compile_options",
        "count_changes",
        "data_version",
        "database_list",
        "defer_foreign_keys",
        "empty_result_callbacks",
        "encoding",
        "foreign_key_check",
        "foreign_key_list",
        "foreign_keys",
        "freelist_count",
        "full_column_names",
        "fullfsync",
        "function_list",
        "ignore_check_constraints",
        "incremental_vacuum",
        "index_info",
        "index_list",
        "index_xinfo",
        "integrity_check",
        "journal_mode",
        "journal_size_limit",
        "legacy_alter_table",
        "legacy_file_format",
        "locking_mode",
        "max_page_count",
        "mmap_size",
        "module_list",
        "optimize",
        "page_count",
        "page_size",
        "pragma_list",
        "query_only",
        "quick_check",
        "read_uncommitted",
        "recursive_triggers",
        "reverse_unordered_selects",
        "schema_version",
        "secure_delete",
        "short_column_names",
        "shrink_memory",
        "synchronous",
        "table_info",
        "table_list",
        "table_xinfo",
        "temp_store",
        "user_version",
        "wal_autocheckpoint",
        "wal_checkpoint",
    };
    return bsearch(name, admitted, sizeof admitted / sizeof admitted[0], sizeof admitted[0],
                   compare_names) != NULL;
}

static bool is_short_wait(const char *argument)
{
    char *end = NULL;
    long milliseconds = strtol(argument, &end, 10);
    return *end == '\0' && milliseconds <= PD_SQLITE_BUSY_MS_MAX;
}

static int authorize(void *context, int action, const char *first, const char *second,
                     const char *schema, const char *trigger)
{
    struct pd_sqlite_connection *connection = context;
    (void)schema;
    (void)trigger;
    if (!connection->may_prepare_anew && is_prepared_anew(connection)) {
        connection->would_prepare_anew = true;
        return SQLITE_DENY;
    }
    if (action == SQLITE_FUNCTION) {
        return second != NULL && pd_sqlite_functions_refuse(second) ? SQLITE_DENY : SQLITE_OK;
    }
    if (action != SQLITE_PRAGMA) {
        return SQLITE_OK;
    }
    if (first == NULL || !is_pragma_admitted(first)) {
        return SQLITE_DENY;
    }
    /* SQLite's own wait for a lock sleeps on the helper thread. */
    if (sqlite3_stricmp(first, "busy_timeout") == 0 && second != NULL && !is_short_wait(second)) {
        return SQLITE_DENY;
    }
    if (sqlite3_stricmp(first, "case_sensitive_like") == 0 && second != NULL) {
        pd_sqlite_functions_set_case_sensitive_like(&connection->functions, database_of(connection),
                                                    second);
        return SQLITE_IGNORE;
    }
    return SQLITE_OK;
}

static void set_limits(sqlite3 *database)
{
    static const struct {
        int limit;
        int value;
    } limits[] = {
        {SQLITE_LIMIT_LENGTH, PD_SQLITE_LENGTH_MAX},
        {SQLITE_LIMIT_SQL_LENGTH, PD_SQLITE_LENGTH_MAX},
        {SQLITE_LIMIT_COLUMN, PD_SQLITE_COLUMNS_MAX},
        {SQLITE_LIMIT_EXPR_DEPTH, 200},
        {SQLITE_LIMIT_COMPOUND_SELECT, 100},
        {SQLITE_LIMIT_VDBE_OP, PD_SQLITE_INSTRUCTIONS_MAX},
        {SQLITE_LIMIT_FUNCTION_ARG, 100},
        {SQLITE_LIMIT_ATTACHED, PD_SQLITE_ATTACHED_MAX},
        {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 100},
        {SQLITE_LIMIT_VARIABLE_NUMBER, (int)PD_SQLITE_BINDS_MAX},
        {SQLITE_LIMIT_TRIGGER_DEPTH, 20},
        {SQLITE_LIMIT_WORKER_THREADS, 0}, /* a thread of SQLite's would have no scope */
    };
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        (void)sqlite3_limit(database, limits[i].limit, limits[i].value);
    }
}

/* Full-text search goes: its queries are parsed and run without asking whether they may go on, and
 * a long one ends the stack (SQLite 3.40: "a NOT b NOT b ..." for FTS5). */
static int drop_modules(sqlite3 *database)
{
    static const char *kept[] = {"json_each", "json_tree",   "rtree", "rtree_i32",
                                 "dbstat",    "sqlite_stmt", NULL};
    return sqlite3_drop_modules(database, kept);
}

static int fence_in(struct pd_sqlite_connection *connection, sqlite3 *database)
{
    static const struct {
        int option;
        int value;
    } options[] = {
        {SQLITE_DBCONFIG_DEFENSIVE, 1},      /* no SQL can write pages or schemas raw */
        {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0}, /* a file's own views and triggers are input */
        {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
        {SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0}, /* hands out and takes pointers */
    };
    int code = SQLITE_OK;
    for (size_t i = 0; i < sizeof options / sizeof options[0] && code == SQLITE_OK; i++) {
        code = sqlite3_db_config(database, options[i].option, options[i].value, (int *)NULL);
    }
    set_limits(database);
    sqlite3_progress_handler(database, PROGRESS_INTERVAL, on_progress, connection);
    if (code == SQLITE_OK) {
        code = sqlite3_trace_v2(database, SQLITE_TRACE_STMT, on_start, connection);
    }
    if (code == SQLITE_OK) {
        code = drop_modules(database);
    }
    if (code == SQLITE_OK) {
        code = pd_sqlite_functions_init(&connection->functions, database);
    }
    return code == SQLITE_OK ? sqlite3_set_authorizer(database, authorize, connection) : code;
}

/* --- Calls ------------------------------------------------------------------------------------ */

void pd_sqlite_forget_refusal(struct pd_sqlite_connection *connection)
{
    connection->is_over_steps = false;
    connection->refused_code = SQLITE_OK;
}

static void begin(struct pd_sqlite_connection *connection)
{
    pd_sqlite_forget_refusal(connection);
    connection->scope.file_error = PD_FILE_OK;
    connection->judged_code = SQLITE_OK;
    pd_sqlite_enter(&connection->scope);
}

static const char *words_of(int judged_code)
{
    return judged_code == SQLITE_TOOBIG ? PROGRAM_WORDS
           : judged_code == SQLITE_AUTH ? EXPLAIN_WORDS
                                        : sqlite3_errstr(judged_code);
}

static int end(struct pd_sqlite_connection *connection, int code)
{
    int primary = PRIMARY(code); /* ROW and DONE are primary too */
    pd_sqlite_leave();
    if (primary == SQLITE_INTERRUPT && connection->judged_code != SQLITE_OK) {
        primary = connection->judged_code;
    }
    /* Who has to end gets no memory either: one code for both. */
    if (primary == SQLITE_NOMEM || primary == SQLITE_INTERRUPT) {
        connection->is_over_steps = pd_sqlite_is_over_steps(&connection->scope);
        if (connection->is_over_steps || atomic_load(&connection->scope.is_cancelled)) {
            return SQLITE_INTERRUPT;
        }
    }
    if (connection->judged_code != SQLITE_OK && primary == connection->judged_code) {
        pd_sqlite_refuse(connection, primary, words_of(primary));
    }
    return primary;
}

static void say_why(const struct pd_sqlite_connection *connection, const char *path, int code,
                    const char *message, char *why_out, size_t why_size)
{
    if (connection->scope.file_error == PD_FILE_NOTCAPABLE) {
        (void)snprintf(why_out, why_size, "no directory of this process covers '%s'", path);
    } else if (connection->scope.file_error != PD_FILE_OK) {
        (void)snprintf(why_out, why_size, "'%s': %s (code %d, errno %d)", path, message, code,
                       (int)connection->scope.file_error);
    } else {
        (void)snprintf(why_out, why_size, "'%s': %s (code %d)", path, message, code);
    }
}

/* SQLite reads a file only when it must; a guest shall hear of one that is no database while it
 * still gets an error for it. That another holds it locked is none. */
static int look_at(sqlite3 *database)
{
    int code = sqlite3_exec(database, "SELECT 1 FROM sqlite_schema LIMIT 1", NULL, NULL, NULL);
    int primary = PRIMARY(code);
    return primary == SQLITE_BUSY || primary == SQLITE_LOCKED ? SQLITE_OK : code;
}

int pd_sqlite_connection_open(struct pd_sqlite_connection *connection, const char *path,
                              char *why_out, size_t why_size)
{
    pd_assert(database_of(connection) == NULL);
    sqlite3 *database = NULL;
    begin(connection);
    int code = sqlite3_open_v2(path, &database,
                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                               PD_SQLITE_VFS);
    if (code == SQLITE_OK) {
        code = fence_in(connection, database);
    }
    if (code == SQLITE_OK) {
        code = look_at(database);
    }
    if (code != SQLITE_OK) {
        const char *message = database == NULL ? sqlite3_errstr(code) : sqlite3_errmsg(database);
        say_why(connection, path, PRIMARY(code), message, why_out, why_size);
        (void)sqlite3_close(database);
        pd_sqlite_functions_deinit(&connection->functions);
        return end(connection, code);
    }
    atomic_store_explicit(&connection->database, database, memory_order_release);
    return end(connection, SQLITE_OK);
}

static int prepare(struct pd_sqlite_connection *connection, const char *sql, int size,
                   sqlite3_stmt **handle_out, const char **tail_out)
{
    int code = sqlite3_prepare_v2(database_of(connection), sql, size, handle_out, tail_out);
    if (code == SQLITE_OK && *handle_out != NULL) { /* NULL: blanks or a comment */
        code = judge(connection, *handle_out);
    }
    if (code != SQLITE_OK) {
        (void)sqlite3_finalize(*handle_out);
        *handle_out = NULL;
    }
    return code;
}

static int run(struct pd_sqlite_connection *connection, sqlite3_stmt *handle)
{
    connection->running = handle;
    int code = sqlite3_step(handle);
    connection->running = NULL;
    return code;
}

/* When the schema has changed, SQLite prepares the statement anew and runs what it gets. So the new
 * program is judged before: the first try ends where it would be prepared. */
static int step(struct pd_sqlite_connection *connection, sqlite3_stmt *handle)
{
    connection->would_prepare_anew = false;
    int code = run(connection, handle);
    if (!connection->would_prepare_anew) {
        return code;
    }
    (void)sqlite3_reset(handle);
    code = judge(connection, handle);
    if (code == SQLITE_OK) {
        connection->may_prepare_anew = true;
        code = run(connection, handle);
        connection->may_prepare_anew = false;
    }
    return code;
}

int pd_sqlite_execute(struct pd_sqlite_connection *connection, const char *sql)
{
    int code = SQLITE_OK;
    begin(connection);
    do { /* also of an empty text: SQLite forgets its last error */
        sqlite3_stmt *handle = NULL;
        code = prepare(connection, sql, -1, &handle, &sql);
        while (handle != NULL && (code = step(connection, handle)) == SQLITE_ROW) {
        }
        (void)sqlite3_finalize(handle); /* its words stay */
        code = code == SQLITE_DONE ? SQLITE_OK : code;
    } while (code == SQLITE_OK && *sql != '\0');
    return end(connection, code);
}

int pd_sqlite_prepare(struct pd_sqlite_connection *connection, const char *sql, size_t size,
                      struct pd_sqlite_statement **statement_out)
{
    pd_assert(size <= INT32_MAX);
    pd_sqlite_forget_refusal(connection);
    struct pd_sqlite_statement *statement = pd_alloc_zeroed(1, sizeof *statement);
    if (statement == NULL) {
        return SQLITE_NOMEM;
    }
    begin(connection);
    int code = end(connection, prepare(connection, sql, (int)size, &statement->handle, NULL));
    if (code != SQLITE_OK) {
        pd_free(statement);
        return code;
    }
    statement->connection = connection;
    pd_list_append(&connection->statements, &statement->node);
    *statement_out = statement;
    return SQLITE_OK;
}

int pd_sqlite_step(struct pd_sqlite_statement *statement)
{
    begin(statement->connection);
    return end(statement->connection, step(statement->connection, statement->handle));
}

void pd_sqlite_reset(struct pd_sqlite_statement *statement)
{
    begin(statement->connection);
    (void)end(statement->connection, sqlite3_reset(statement->handle));
}

void pd_sqlite_finalize(struct pd_sqlite_statement *statement)
{
    struct pd_sqlite_connection *connection = statement->connection;
    begin(connection);
    forget_statement(statement);
    (void)end(connection, SQLITE_OK);
}

/* --- Parameters ------------------------------------------------------------------------------- */

static int find_parameter(sqlite3_stmt *statement, const char *name, size_t size)
{
    char text[NAME_SIZE_MAX + 2];
    if (size == 0 || size > NAME_SIZE_MAX || memchr(name, '\0', size) != NULL) {
        return 0;
    }
    memcpy(text + 1, name, size);
    text[size + 1] = '\0';
    int index = sqlite3_bind_parameter_index(statement, text + 1);
    static const char marks[] = {':', '@', '$'};
    for (size_t i = 0; i < sizeof marks && index == 0; i++) {
        text[0] = marks[i];
        index = sqlite3_bind_parameter_index(statement, text);
    }
    return index;
}

static int bind_at(sqlite3_stmt *statement, int index, const struct pd_sqlite_bind *bind)
{
    switch (bind->type) {
    case PD_SQLITE_NULL:
        return sqlite3_bind_null(statement, index);
    case PD_SQLITE_BLOB:
        return bind->size == 0 ? sqlite3_bind_zeroblob(statement, index, 0)
                               : sqlite3_bind_blob64(statement, index, bind->bytes, bind->size,
                                                     SQLITE_TRANSIENT);
    case PD_SQLITE_TEXT:
        return sqlite3_bind_text64(statement, index, (const char *)bind->bytes, bind->size,
                                   SQLITE_TRANSIENT, SQLITE_UTF8);
    case PD_SQLITE_DOUBLE:
        return sqlite3_bind_double(statement, index, bind->real);
    case PD_SQLITE_INTEGER:
    case PD_SQLITE_I64:
        return sqlite3_bind_int64(statement, index, bind->integer);
    }
    return SQLITE_MISUSE;
}

int pd_sqlite_bind(struct pd_sqlite_statement *statement, const struct pd_sqlite_bind *bind,
                   uint32_t *nameless)
{
    sqlite3_stmt *handle = statement->handle;
    uint64_t index = 0;
    pd_sqlite_forget_refusal(statement->connection);
    switch (bind->key) {
    case PD_SQLITE_KEY_NONE:
        index = ++*nameless;
        break;
    case PD_SQLITE_KEY_NUMBER:
        index = bind->number;
        break;
    case PD_SQLITE_KEY_NAME:
        index = (uint64_t)find_parameter(handle, bind->name, bind->name_size);
        break;
    }
    if (index == 0 || index > (uint64_t)sqlite3_bind_parameter_count(handle)) {
        return SQLITE_RANGE;
    }
    pd_sqlite_enter(&statement->connection->scope);
    return end(statement->connection, bind_at(handle, (int)index, bind));
}

/* --- Results ---------------------------------------------------------------------------------- */

uint32_t pd_sqlite_changes(struct pd_sqlite_connection *connection)
{
    return (uint32_t)sqlite3_changes(database_of(connection));
}

uint32_t pd_sqlite_column_count(const struct pd_sqlite_statement *statement)
{
    return (uint32_t)sqlite3_column_count(statement->handle);
}

static void put_value(sqlite3_stmt *statement, int column, struct pd_sqlite_answer *answer)
{
    const void *bytes = NULL;
    double real = 0;
    uint64_t bits = 0;
    switch (sqlite3_column_type(statement, column)) {
    case SQLITE_BLOB:
        bytes = sqlite3_column_blob(statement, column); /* before its size: it may convert */
        pd_sqlite_put_u32(answer, PD_SQLITE_BLOB);
        pd_sqlite_put_blob(answer, bytes, (size_t)sqlite3_column_bytes(statement, column));
        break;
    case SQLITE_TEXT:
        bytes = sqlite3_column_text(statement, column);
        if (bytes == NULL) {
            answer->status = PD_ERR_NO_MEMORY;
            return;
        }
        pd_sqlite_put_u32(answer, PD_SQLITE_TEXT);
        pd_sqlite_put_text(answer, bytes, (size_t)sqlite3_column_bytes(statement, column));
        break;
    case SQLITE_FLOAT:
        real = sqlite3_column_double(statement, column);
        memcpy(&bits, &real, sizeof bits);
        pd_sqlite_put_u32(answer, PD_SQLITE_DOUBLE);
        pd_sqlite_put_u64(answer, bits);
        break;
    case SQLITE_INTEGER:
        pd_sqlite_put_u32(answer, PD_SQLITE_INTEGER);
        pd_sqlite_put_u64(answer, (uint64_t)sqlite3_column_int64(statement, column));
        break;
    default:
        pd_sqlite_put_u32(answer, PD_SQLITE_NULL);
        break;
    }
}

void pd_sqlite_put_column(struct pd_sqlite_statement *statement, uint32_t column,
                          struct pd_sqlite_answer *answer)
{
    pd_sqlite_enter(&statement->connection->scope);
    put_value(statement->handle, (int)column, answer);
    pd_sqlite_leave();
}

void pd_sqlite_put_column_name(struct pd_sqlite_statement *statement, uint32_t column,
                               bool is_alone, struct pd_sqlite_answer *answer)
{
    pd_sqlite_enter(&statement->connection->scope);
    const char *name = sqlite3_column_name(statement->handle, (int)column);
    if (name == NULL) {
        answer->status = PD_ERR_NO_MEMORY;
    } else if (is_alone) {
        pd_sqlite_put_utf8(answer, name, strlen(name));
    } else {
        pd_sqlite_put_text(answer, name, strlen(name));
    }
    pd_sqlite_leave();
}

void pd_sqlite_refuse(struct pd_sqlite_connection *connection, int code, const char *words)
{
    connection->refused_code = code;
    connection->refused_words = words;
}

int pd_sqlite_last_error(struct pd_sqlite_connection *connection, char *text, size_t size)
{
    if (connection->refused_code != SQLITE_OK) {
        (void)snprintf(text, size, "%s", connection->refused_words);
        return connection->refused_code;
    }
    if (connection->is_over_steps) {
        (void)snprintf(text, size, "it takes more than %" PRIu64 " steps of SQLite's machine",
                       connection->scope.steps_max);
        return SQLITE_INTERRUPT;
    }
    sqlite3 *database = database_of(connection);
    pd_sqlite_enter(&connection->scope);
    int code = PRIMARY(sqlite3_errcode(database));
    if (code == SQLITE_ROW || code == SQLITE_DONE) {
        code = SQLITE_OK; /* how a step ends that is well */
    }
    (void)snprintf(text, size, "%s", sqlite3_errmsg(database));
    pd_sqlite_leave();
    return code;
}
