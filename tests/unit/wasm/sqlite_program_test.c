/* Statements that could not be ended for long are refused before they run: by what their programs
 * say, so nothing here takes any time. */
#include "sqlite_world.h"
#include "wasm/sqlite_connection.h"
#include "wasm/sqlite_program.h"

struct database {
    struct pd_sqlite_account *account;
    struct pd_sqlite_connection *connection;
};

static struct database open_as_own(struct fixture *f, const char *path)
{
    struct database database = {.account = pd_sqlite_account_create(64 << 20, 8, NULL)};
    struct pd_wasm_process *self = actor_wasm(&f->actor);
    char why[400];
    assert_int_equal(pd_sqlite_start(), PD_OK);
    assert_non_null(database.account);
    database.connection = pd_sqlite_connection_create(database.account, self->rights->wasi,
                                                      &f->world.host.interface, 10000000);
    assert_non_null(database.connection);
    assert_int_equal(pd_sqlite_connection_open(database.connection, path, why, sizeof why),
                     SQLITE_OK);
    return database;
}

static void close_own(const struct database *database)
{
    pd_sqlite_connection_release(database->connection);
    pd_sqlite_account_release(database->account);
}

/* `before`, then `count` times `term` with its number in place of a '#' and `between` between them,
 * then `after`. */
static char *repeat(const char *before, const char *term, const char *between, size_t count,
                    const char *after)
{
    char *sql = NULL;
    size_t size = 0;
    FILE *text = open_memstream(&sql, &size);
    assert_non_null(text);
    assert_true(fputs(before, text) >= 0);
    for (size_t i = 0; i < count; i++) {
        assert_true(i == 0 || fputs(between, text) >= 0);
        for (const char *at = term; *at != '\0'; at++) {
            assert_true(*at == '#' ? fprintf(text, "%zu", i) > 0 : fputc(*at, text) >= 0);
        }
    }
    assert_true(fputs(after, text) >= 0);
    assert_int_equal(fclose(text), 0);
    return sql;
}

static int execute_own(const struct database *database, char *sql)
{
    int code = pd_sqlite_execute(database->connection, sql);
    free(sql);
    return code;
}

static void must_own(const struct database *database, const char *sql)
{
    int code = pd_sqlite_execute(database->connection, sql);
    if (code != SQLITE_OK) {
        print_error("code %d of %.80s\n", code, sql);
    }
    assert_int_equal(code, SQLITE_OK);
}

static void check_refused(const struct database *database, int code)
{
    char words[400];
    assert_int_equal(code, SQLITE_TOOBIG);
    assert_int_equal(pd_sqlite_last_error(database->connection, words, sizeof words),
                     SQLITE_TOOBIG);
    assert_says(words, "make several statements of it");
}

/* A table that has a CHECK of so many terms for each row. */
static void make_table(const struct database *database, const char *term, size_t count)
{
    must_own(database, "DROP TABLE IF EXISTS t");
    char *sql = repeat("CREATE TABLE t(a, CHECK(", term, "), CHECK(", count, "))");
    assert_int_equal(execute_own(database, sql), SQLITE_OK);
}

/* So many of a term may be in one program, and not one more. */
static void check_limit(const struct database *database, const char *term, size_t count)
{
    make_table(database, term, count);
    must_own(database, "INSERT INTO t VALUES (1)");
    make_table(database, term, count + 1);
    check_refused(database, pd_sqlite_execute(database->connection, "INSERT INTO t VALUES (1)"));
    must_own(database, "SELECT * FROM t");
}

/* Terms whose time with long texts was measured, times the passes that it took. */
static void what_reads_texts_as_numbers_is_counted(void **state)
{
    struct database database = open_as_own(*state, "");
    check_limit(&database, "a+a<>-#", PD_SQLITE_PASSES_MAX / (8 + 1)); /* and a comparison */
    check_limit(&database, "a*2<>-#", PD_SQLITE_PASSES_MAX / (8 + 1));
    check_limit(&database, "a&#>=0", PD_SQLITE_PASSES_MAX / (4 + 1));
    check_limit(&database, "~a<>#", PD_SQLITE_PASSES_MAX / (2 + 1));
    check_limit(&database, "CAST(a AS NUMERIC)<>-#", PD_SQLITE_PASSES_MAX / (1 + 3 + 1));
    check_limit(&database, "sqrt(a)<>-#", PD_SQLITE_PASSES_MAX / (2 + 3 + 1));
    check_limit(&database, "max(a,a,a,a,#)<>-1", PD_SQLITE_PASSES_MAX / (4 * 2 + 3 + 1));
    check_limit(&database, "a<>-#", PD_SQLITE_PASSES_MAX);
    check_limit(&database, "a", PD_SQLITE_PASSES_MAX);
    /* A long text makes no program short. */
    check_refused(&database, execute_own(&database, repeat("INSERT INTO t /", "*", "", 200000,
                                                           "/ VALUES (1)")));
    /* What allocates its result ends there, when its actor has. */
    make_table(&database, "a||#", 5000);
    must_own(&database, "INSERT INTO t VALUES (1)");
    close_own(&database);
}

static void parameters_may_be_read_once_each(void **state)
{
    struct database database = open_as_own(*state, "");
    must_own(&database, "CREATE TABLE t(a INTEGER)");
    static const char before[] = "SELECT * FROM t WHERE a IN (";
    assert_int_equal(execute_own(&database, repeat(before, "?", ",", 6000, ")")), SQLITE_OK);
    assert_int_equal(execute_own(&database, repeat(before, "#", ",", 6000, ")")), SQLITE_OK);
    assert_int_equal(execute_own(&database, repeat(before, "'#'", ",", 6000, ")")), SQLITE_OK);
    check_refused(&database, execute_own(&database, repeat(before, "?32766", ",", 6000, ")")));
    check_refused(&database, execute_own(&database, repeat("SELECT ", "?1+#+?1", ",", 400, "")));
    assert_int_equal(execute_own(&database, repeat("SELECT ", "?1+#+?1", ",", 340, "")), SQLITE_OK);
    /* A function may compare all with all. */
    static const char many[] = "max(?1,?1,?1,?1,?1,?1,?1,?1,?1,?1,?1,?1,?1,?1,?1,?1,?1,?1,?1,?1,#)";
    check_refused(&database, execute_own(&database, repeat("SELECT ", many, ",", 300, "")));
    assert_int_equal(execute_own(&database, repeat("SELECT ", many, ",", 200, "")), SQLITE_OK);
    close_own(&database);
}

static void long_statements_that_are_usual_run(void **state)
{
    struct database database = open_as_own(*state, "");
    char *wide = repeat("CREATE TABLE wide(", "c# INTEGER NOT NULL DEFAULT 1", ",", 512, ")");
    assert_int_equal(execute_own(&database, wide), SQLITE_OK);
    must_own(&database, "CREATE TABLE t(a, b INTEGER, c TEXT, d REAL, e, f, g, h NOT NULL);"
                        "INSERT INTO wide DEFAULT VALUES");
    static const char row[] = "(#,'two',3,4.5,NULL,x'06',+7,-8)";
    assert_int_equal(execute_own(&database, repeat("INSERT INTO t VALUES", row, ",", 2000, "")),
                     SQLITE_OK);
    assert_int_equal(execute_own(&database, repeat("UPDATE wide SET ", "c#=c#+1", ",", 512, "")),
                     SQLITE_OK);
    assert_int_equal(execute_own(&database, repeat("SELECT ", "coalesce(c#,0)", ",", 512,
                                                   " FROM wide WHERE c1=2")),
                     SQLITE_OK);
    must_own(&database, "PRAGMA integrity_check; PRAGMA quick_check; VACUUM; "
                        "ALTER TABLE wide RENAME COLUMN c1 TO c; SELECT * FROM pragma_quick_check; "
                        "DROP TABLE t; ALTER TABLE wide DROP COLUMN c5;"
                        "ALTER TABLE wide ADD COLUMN d INTEGER CHECK (d IS NULL)");
    close_own(&database);
}

/* Those that SQLite makes and runs itself, too. */
static void programs_within_programs_are_judged(void **state)
{
    struct database database = open_as_own(*state, "");
    make_table(&database, "a+a<>-#", 400);
    must_own(&database, "INSERT INTO t VALUES (1); SELECT * FROM pragma_quick_check;"
                        "ALTER TABLE t ADD COLUMN b CHECK (b IS NULL)");
    must_own(&database, "CREATE TABLE other(a); INSERT INTO other VALUES (2)");
    /* Its table has rows before it has the check. */
    make_table(&database, "a+a<>-#", 900);
    check_refused(&database,
                  pd_sqlite_execute(database.connection, "SELECT * FROM pragma_quick_check('t')"));
    check_refused(&database, pd_sqlite_execute(database.connection, "PRAGMA quick_check('t')"));
    check_refused(&database, pd_sqlite_execute(database.connection,
                                               "ALTER TABLE t ADD COLUMN b CHECK (b IS NULL)"));
    check_refused(&database, pd_sqlite_execute(database.connection,
                                               "CREATE TRIGGER g AFTER INSERT ON other BEGIN "
                                               "INSERT INTO t VALUES (new.a); END; "
                                               "INSERT INTO other VALUES (1)"));
    must_own(&database, "DROP TRIGGER g; INSERT INTO other VALUES (1)");
    close_own(&database);
}

static struct pd_sqlite_statement *prepare_own(const struct database *database, const char *sql)
{
    struct pd_sqlite_statement *statement = NULL;
    assert_int_equal(pd_sqlite_prepare(database->connection, sql, strlen(sql), &statement),
                     SQLITE_OK);
    return statement;
}

static void bind_number(struct pd_sqlite_statement *statement, int64_t number)
{
    uint32_t nameless = 0;
    const struct pd_sqlite_bind bind = {.type = PD_SQLITE_I64, .integer = number};
    assert_int_equal(pd_sqlite_bind(statement, &bind, &nameless), SQLITE_OK);
}

static int64_t count_rows(struct pd_sqlite_statement *count)
{
    struct pd_sqlite_answer answer = {0};
    assert_int_equal(pd_sqlite_step(count), SQLITE_ROW);
    pd_sqlite_put_column(count, 0, &answer);
    assert_int_equal(answer.size, 12);
    int64_t rows = (int64_t)pd_get_u64(answer.bytes + 4);
    pd_sqlite_answer_deinit(&answer);
    pd_sqlite_reset(count);
    return rows;
}

/* A schema that changes, also by another's hand, makes SQLite prepare a statement anew as it begins
 * to run. It keeps what was bound to it. */
static void a_statement_that_is_prepared_anew_is_judged_anew(void **state)
{
    struct database database = open_as_own(*state, "a.db");
    struct database other = open_as_own(*state, "a.db");
    must_own(&other, "PRAGMA synchronous=OFF");
    make_table(&other, "a+a<>-#", 2);
    struct pd_sqlite_statement *insert =
        prepare_own(&database, "INSERT INTO t SELECT ? WHERE changes() >= 0");
    struct pd_sqlite_statement *count = prepare_own(&database, "SELECT count(*) FROM t WHERE a=7");
    bind_number(insert, 7);
    make_table(&other, "a+a<>-#", 400);
    assert_int_equal(pd_sqlite_step(insert), SQLITE_DONE);
    pd_sqlite_reset(insert);
    assert_int_equal(count_rows(count), 1);
    make_table(&other, "a+a<>-#", 900);
    check_refused(&database, pd_sqlite_step(insert));
    check_refused(&database, pd_sqlite_step(insert));
    assert_int_equal(count_rows(count), 0);
    make_table(&other, "a+a<>-#", 400); /* by a text whose statements become so, as it runs */
    must_own(&database, "SELECT * FROM t");
    make_table(&other, "a+a<>-#", 900);
    check_refused(&database, pd_sqlite_execute(database.connection, "INSERT INTO t VALUES (7)"));
    make_table(&database, "a+a<>-#", 2);
    assert_int_equal(pd_sqlite_step(insert), SQLITE_DONE);
    assert_int_equal(count_rows(count), 1);
    /* What it would refer to is gone: SQLite's own words. */
    must_own(&other, "DROP TABLE t");
    pd_sqlite_reset(insert);
    assert_int_equal(pd_sqlite_step(insert), SQLITE_ERROR);
    char words[400];
    assert_int_equal(pd_sqlite_last_error(database.connection, words, sizeof words), SQLITE_ERROR);
    assert_says(words, "no such table");
    close_own(&database);
    close_own(&other);
}

/* EXPLAIN's list names the tables of a program, by pointers that nothing keeps: prepared, and
 * stepped after its table was dropped, it read freed memory. A query's plan is of its own words. */
static void programs_are_not_listed_for_guests(void **state)
{
    struct database database = open_as_own(*state, "");
    make_table(&database, "a+a<>-#", 1000);
    static const char explain[] = "/* */ EXPLAIN INSERT INTO t VALUES (1)";
    struct pd_sqlite_statement *statement = NULL;
    char words[400];
    assert_int_equal(pd_sqlite_prepare(database.connection, explain, strlen(explain), &statement),
                     SQLITE_AUTH);
    assert_int_equal(pd_sqlite_last_error(database.connection, words, sizeof words), SQLITE_AUTH);
    assert_says(words, "EXPLAIN is refused");
    assert_int_equal(pd_sqlite_execute(database.connection, explain), SQLITE_AUTH);
    statement = prepare_own(&database, "EXPLAIN QUERY PLAN SELECT * FROM t WHERE a = 1");
    must_own(&database, "DROP TABLE t");
    assert_int_equal(pd_sqlite_step(statement), SQLITE_ROW);
    assert_int_equal(pd_sqlite_step(statement), SQLITE_DONE);
    close_own(&database);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_reads_texts_as_numbers_is_counted),
        TEST(parameters_may_be_read_once_each),
        TEST(long_statements_that_are_usual_run),
        TEST(programs_within_programs_are_judged),
        TEST(a_statement_that_is_prepared_anew_is_judged_anew),
        TEST(programs_are_not_listed_for_guests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
