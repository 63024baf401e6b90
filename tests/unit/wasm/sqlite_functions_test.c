/* The functions of SQL that Pando bounds answer what SQLite's own do, on random input; what they do
 * on input that is made to hold a thread or to end the program. */
#include <stdlib.h>

#include "base/random.h"
#include "sqlite_world.h"
#include "wasm/sqlite_connection.h"

#define ROUNDS 400

/* --- The same answers ------------------------------------------------------------------------- */

struct pair {
    sqlite3 *plain;
    sqlite3 *bounded;
    struct pd_sqlite_functions functions;
    struct pd_sqlite_scope scope;
    struct pd_sqlite_account *account;
    struct pd_random random;
};

static void open_pair(struct pair *pair, const char *encoding, uint64_t seed)
{
    memset(pair, 0, sizeof *pair);
    pd_random_init(&pair->random, seed, "sqlite_functions");
    assert_int_equal(pd_sqlite_start(), PD_OK);
    pair->account = pd_sqlite_account_create(UINT64_C(64) << 20, 8, NULL);
    assert_non_null(pair->account);
    pair->scope.account = pair->account;
    pair->scope.steps_max = UINT64_C(1000000000);
    atomic_init(&pair->scope.is_cancelled, false);
    assert_int_equal(sqlite3_open(":memory:", &pair->plain), SQLITE_OK);
    assert_int_equal(sqlite3_exec(pair->plain, encoding, NULL, NULL, NULL), SQLITE_OK);
    pd_sqlite_enter(&pair->scope);
    assert_int_equal(sqlite3_open(":memory:", &pair->bounded), SQLITE_OK);
    assert_int_equal(sqlite3_exec(pair->bounded, encoding, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(pd_sqlite_functions_init(&pair->functions, pair->bounded), SQLITE_OK);
    pd_sqlite_leave();
}

static void close_pair(struct pair *pair)
{
    assert_int_equal(sqlite3_close(pair->plain), SQLITE_OK);
    pd_sqlite_enter(&pair->scope);
    assert_int_equal(sqlite3_close(pair->bounded), SQLITE_OK);
    pd_sqlite_functions_deinit(&pair->functions);
    pd_sqlite_leave();
    pd_sqlite_account_release(pair->account);
}

/* Few different pieces, so that they meet: characters of each length, halves of some, zeros. */
static size_t random_bytes(struct pair *pair, uint8_t *bytes, size_t size)
{
    static const char *const pieces[] = {
        "a", "b",  "ab", "\xc3\xa9", "\xc3", "\xa9", "\xe2\x82\xac", "\xf0\x9f\x8c\xb2",
        "",  "aa", " "};
    size_t used = 0;
    uint64_t count = pd_random_below(&pair->random, 12);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t which = pd_random_below(&pair->random, sizeof pieces / sizeof pieces[0] + 1);
        const char *piece = which < sizeof pieces / sizeof pieces[0] ? pieces[which] : "\0";
        size_t length = which < sizeof pieces / sizeof pieces[0] ? strlen(piece) : 1;
        if (used + length > size) {
            break;
        }
        memcpy(bytes + used, piece, length);
        used += length;
    }
    return used;
}

/* The same random value for both. */
static void bind_random(struct pair *pair, sqlite3_stmt *const statements[2], int index)
{
    uint8_t bytes[64];
    uint64_t kind = pd_random_below(&pair->random, 10);
    size_t size = random_bytes(pair, bytes, sizeof bytes);
    int64_t number = (int64_t)pd_random_below(&pair->random, 200) - 100;
    for (int i = 0; i < 2; i++) {
        int code = SQLITE_OK;
        if (kind == 0) {
            code = sqlite3_bind_null(statements[i], index);
        } else if (kind == 1) {
            code = sqlite3_bind_int64(statements[i], index, number);
        } else if (kind == 2) {
            code = sqlite3_bind_double(statements[i], index, (double)number / 8);
        } else if (kind < 5) {
            code = sqlite3_bind_blob(statements[i], index, bytes, (int)size, SQLITE_TRANSIENT);
        } else {
            code = sqlite3_bind_text(statements[i], index, (const char *)bytes, (int)size,
                                     SQLITE_TRANSIENT);
        }
        assert_int_equal(code, SQLITE_OK);
    }
}

static void check_same(sqlite3_stmt *const statements[2], const char *sql, uint64_t seed)
{
    int code = sqlite3_step(statements[0]);
    int other = sqlite3_step(statements[1]);
    bool is_same = code == other;
    if (is_same && code == SQLITE_ROW) {
        is_same = sqlite3_column_type(statements[0], 0) == sqlite3_column_type(statements[1], 0) &&
                  sqlite3_column_bytes(statements[0], 0) == sqlite3_column_bytes(statements[1], 0);
        size_t size = is_same ? (size_t)sqlite3_column_bytes(statements[0], 0) : 0;
        const void *left = sqlite3_column_blob(statements[0], 0);
        const void *right = sqlite3_column_blob(statements[1], 0);
        is_same = is_same && (size == 0 || memcmp(left, right, size) == 0);
    } else if (is_same) {
        is_same = strcmp(sqlite3_errmsg(sqlite3_db_handle(statements[0])),
                         sqlite3_errmsg(sqlite3_db_handle(statements[1]))) == 0;
    }
    if (!is_same) {
        char *left = sqlite3_expanded_sql(statements[0]);
        print_error("seed %llu: %s: codes %d, %d: %s\n", (unsigned long long)seed, sql, code, other,
                    left);
        sqlite3_free(left);
        fail();
    }
}

static void prepare_both(struct pair *pair, const char *sql, sqlite3_stmt *statements[2])
{
    assert_int_equal(sqlite3_prepare_v2(pair->plain, sql, -1, &statements[0], NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(pair->bounded, sql, -1, &statements[1], NULL), SQLITE_OK);
}

static void compare_texts(const char *encoding, uint64_t seed)
{
    static const char *const calls[] = {"SELECT instr(?1, ?2)",
                                        "SELECT replace(?1, ?2, ?3)",
                                        "SELECT trim(?1, ?2)",
                                        "SELECT ltrim(?1, ?2)",
                                        "SELECT rtrim(?1, ?2)",
                                        "SELECT typeof(trim(?1, ?2))",
                                        "SELECT hex(replace(?1 || ?3, ?2, ?3))"};
    struct pair pair;
    open_pair(&pair, encoding, seed);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        sqlite3_stmt *statements[2];
        pd_sqlite_enter(&pair.scope);
        prepare_both(&pair, calls[i], statements);
        for (int round = 0; round < ROUNDS; round++) {
            for (int index = 1; index <= sqlite3_bind_parameter_count(statements[0]); index++) {
                bind_random(&pair, statements, index);
            }
            check_same(statements, calls[i], seed);
            (void)sqlite3_reset(statements[0]);
            (void)sqlite3_reset(statements[1]);
        }
        (void)sqlite3_finalize(statements[0]);
        (void)sqlite3_finalize(statements[1]);
        pd_sqlite_leave();
    }
    close_pair(&pair);
}

static void texts_are_treated_as_by_sqlite(void **state)
{
    (void)state;
    compare_texts("PRAGMA encoding='UTF-8'", 1);
    compare_texts("PRAGMA encoding='UTF-16le'", 2);
}

static void write_json_call(struct pair *pair, char *sql, size_t size)
{
    static const char *const names[] = {"json_set", "json_insert", "json_patch"};
    static const char *const documents[] = {"'{}'",
                                            "'[]'",
                                            "NULL",
                                            "'{\"a\":1,\"b\":[1,2,{\"c\":null}]}'",
                                            "'[1,[2,3],{\"a\":\"x\"}]'",
                                            "'7'",
                                            "'not json'",
                                            "x'00ff'",
                                            "json('{ \"a\" : { \"b\" : 2 } }')",
                                            "'\"text\"'"};
    static const char *const paths[] = {"'$'",       "'$.a'",  "'$.b[1]'", "'$[0]'", "'$.b[#-1].c'",
                                        "'$.a.b.c'", "'$[#]'", "'a'",      "NULL",   "'$.\"a.b\"'"};
    static const char *const values[] = {
        "1",   "'[1]'", "json('[1]')", "json_array(1,'x')", "NULL",
        "2.5", "x'00'", "'{}'",        "json_quote('y')",   "json('{}')->'$'"};
    static const char *const more[] = {"", ", '$.z', json_insert('[]', '$[#]', 1)", ", '$.a'"};
    /* What is told by the mark: whether the answer is JSON to the function around it. */
    static const char *const around[] = {"", "json_array("};
#define PICK(list) (list)[pd_random_below(&pair->random, sizeof(list) / sizeof(list)[0])]
    const char *name = PICK(names);
    const char *opening = PICK(around);
    const char *document = PICK(documents);
    const char *closing = opening[0] == '\0' ? "" : ")";
    if (strcmp(name, "json_patch") == 0) {
        (void)snprintf(sql, size, "SELECT %s%s(%s, %s)%s", opening, name, document, PICK(documents),
                       closing);
    } else {
        (void)snprintf(sql, size, "SELECT %s%s(%s, %s, %s%s)%s", opening, name, document,
                       PICK(paths), PICK(values), PICK(more), closing);
    }
#undef PICK
}

static void json_is_treated_as_by_sqlite(void **state)
{
    (void)state;
    struct pair pair;
    open_pair(&pair, "PRAGMA encoding='UTF-8'", 3);
    pd_sqlite_enter(&pair.scope);
    for (int round = 0; round < ROUNDS; round++) {
        char sql[256];
        sqlite3_stmt *statements[2];
        write_json_call(&pair, sql, sizeof sql);
        prepare_both(&pair, sql, statements);
        check_same(statements, sql, 3);
        (void)sqlite3_finalize(statements[0]);
        (void)sqlite3_finalize(statements[1]);
    }
    pd_sqlite_leave();
    close_pair(&pair);
}

/* --- Hostile input ---------------------------------------------------------------------------- */

struct attack {
    struct fixture *f;
    struct pd_sqlite_account *account;
    struct pd_sqlite_connection *connection;
};

static struct attack begin_attack(struct fixture *f, uint64_t steps_max)
{
    struct attack attack = {.f = f};
    char why[400];
    struct pd_wasm_process *self = actor_wasm(&f->actor);
    assert_int_equal(pd_sqlite_start(), PD_OK);
    attack.account = pd_sqlite_account_create(UINT64_C(64) << 20, 8, NULL);
    assert_non_null(attack.account);
    attack.connection = pd_sqlite_connection_create(attack.account, self->rights->wasi,
                                                    &f->world.host.interface, steps_max);
    assert_non_null(attack.connection);
    assert_int_equal(pd_sqlite_connection_open(attack.connection, ":memory:", why, sizeof why),
                     SQLITE_OK);
    return attack;
}

static void end_attack(struct attack *attack)
{
    pd_sqlite_connection_release(attack->connection);
    pd_sqlite_account_release(attack->account);
}

static void ends_with(struct attack *attack, int code, const char *sql)
{
    int found = pd_sqlite_execute(attack->connection, sql);
    if (found != code) {
        char text[400];
        (void)pd_sqlite_last_error(attack->connection, text, sizeof text);
        print_error("code %d (%s) of: %.200s\n", found, text, sql);
    }
    assert_int_equal(found, code);
}

static void no_path_into_json_ends_the_stack(void **state)
{
    struct attack attack = begin_attack(*state, PD_SQLITE_STEPS_MAX);
    char text[400];
    ends_with(&attack, SQLITE_TOOBIG,
              "SELECT json_set('{}', '$' || replace(hex(zeroblob(20000)), '00', '.a'), 1)");
    assert_int_equal(pd_sqlite_last_error(attack.connection, text, sizeof text), SQLITE_TOOBIG);
    assert_says(text, "too many steps");
    ends_with(&attack, SQLITE_TOOBIG,
              "SELECT json_insert('[]', '$[0]', 1, '$' || "
              "replace(hex(zeroblob(10000)), '00', '[0]'), 1)");
    ends_with(&attack, SQLITE_TOOBIG,
              "SELECT json_set('{}', '$' || replace(hex(zeroblob(1001)), '00', '.a'), 1)");
    ends_with(&attack, SQLITE_OK,
              "SELECT json_set('{}', '$' || replace(hex(zeroblob(1000)), '00', '.a'), 1)");
    /* Those that make nothing on their way stop where the text ends. */
    ends_with(&attack, SQLITE_OK,
              "SELECT json_replace('{}', '$' || replace(hex(zeroblob(20000)), '00', '.a'), 1), "
              "json_remove('{}', '$' || replace(hex(zeroblob(20000)), '00', '.a')), "
              "json_extract('{}', '$' || replace(hex(zeroblob(20000)), '00', '.a'))");
    end_attack(&attack);
}

static void json_patch_compares_so_many_names(void **state)
{
    struct attack attack = begin_attack(*state, PD_SQLITE_STEPS_MAX);
    ends_with(&attack, SQLITE_OK,
              "CREATE TABLE t(few, many); INSERT INTO t VALUES ('{\"a\":1}', '{' || "
              "substr(replace(hex(zeroblob(3000)), '00', ',\"ab\":1'), 2) || '}')");
    ends_with(&attack, SQLITE_TOOBIG, "SELECT json_patch(many, many) FROM t");
    ends_with(&attack, SQLITE_OK, "SELECT json_patch(many, few), json_patch(few, many) FROM t");
    end_attack(&attack);
}

static void there_is_no_full_text_search(void **state)
{
    struct attack attack = begin_attack(*state, PD_SQLITE_STEPS_MAX);
    char text[400];
    ends_with(&attack, SQLITE_ERROR, "CREATE VIRTUAL TABLE f USING fts5(a)");
    assert_int_equal(pd_sqlite_last_error(attack.connection, text, sizeof text), SQLITE_ERROR);
    assert_says(text, "no such module: fts5");
    ends_with(&attack, SQLITE_ERROR, "CREATE VIRTUAL TABLE f USING fts4(a)");
    ends_with(&attack, SQLITE_ERROR, "CREATE VIRTUAL TABLE f USING fts3tokenize('simple')");
    ends_with(&attack, SQLITE_ERROR, "SELECT * FROM fts3tokenize('simple', 'a b')");
    ends_with(&attack, SQLITE_ERROR, "SELECT fts3_tokenizer('simple')");
    ends_with(&attack, SQLITE_ERROR, "SELECT snippet('f'), offsets('f')");
    ends_with(&attack, SQLITE_OK,
              "CREATE VIRTUAL TABLE r USING rtree(id, low, high); "
              "SELECT * FROM json_each('[1]'), json_tree('[1]'), r");
    end_attack(&attack);
}

static void work_on_long_texts_is_counted(void **state)
{
    struct attack attack = begin_attack(*state, 300000);
    char text[400];
    static const char trim[] =
        "CREATE TABLE IF NOT EXISTS t(x, y); DELETE FROM t; INSERT INTO t VALUES "
        "(printf('%.*c', 500000, 'x'), printf('%.*c', 500000, 'y') || 'x'); SELECT trim(x, y) FROM "
        "t";
    ends_with(&attack, SQLITE_INTERRUPT, trim);
    assert_int_equal(pd_sqlite_last_error(attack.connection, text, sizeof text), SQLITE_INTERRUPT);
    assert_says(text, "more than 300000 steps");
    /* Without a loop SQLite does not ask whether it may go on; its memory does. */
    char sql[8192] = "SELECT hex(zeroblob(500000))";
    for (int i = 1; i < 200; i++) {
        memcpy(sql + strlen(sql), ",hex(zeroblob(500000))", 23);
    }
    ends_with(&attack, SQLITE_INTERRUPT, sql);
    pd_sqlite_connection_cancel(attack.connection);
    assert_int_not_equal(pd_sqlite_execute(attack.connection, sql), SQLITE_OK);
    assert_in_range(attack.connection->scope.steps, 0, 100000);
    end_attack(&attack);
}

static void finding_is_linear(void **state)
{
    struct attack attack = begin_attack(*state, 10000000);
    ends_with(&attack, SQLITE_OK,
              "CREATE TABLE t(x, y); INSERT INTO t VALUES (hex(zeroblob(300000)), "
              "hex(zeroblob(150000)) || '1');"
              "SELECT 1/(instr(x, y) = 0), 1/(instr(y || x, y) = 1), "
              "1/(length(replace(x, y, '')) = 600000) FROM t");
    end_attack(&attack);
}

static void patterns_are_counted(void **state)
{
    struct attack attack = begin_attack(*state, PD_SQLITE_STEPS_MAX);
    char sql[8192] = "SELECT 'a' GLOB 'a'";
    for (unsigned i = 1; i < PD_SQLITE_PATTERNS_MAX; i++) {
        memcpy(sql + strlen(sql), ",'a' LIKE 'a'", 14);
    }
    ends_with(&attack, SQLITE_OK, sql);
    memcpy(sql + strlen(sql), ",'a' LIKE 'a'", 14);
    ends_with(&attack, SQLITE_ERROR, sql);
    end_attack(&attack);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_treated_as_by_sqlite),
        cmocka_unit_test(json_is_treated_as_by_sqlite),
        TEST(no_path_into_json_ends_the_stack),
        TEST(json_patch_compares_so_many_names),
        TEST(there_is_no_full_text_search),
        TEST(work_on_long_texts_is_counted),
        TEST(finding_is_linear),
        TEST(patterns_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
