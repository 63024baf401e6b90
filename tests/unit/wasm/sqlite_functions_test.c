/* The functions of SQL that Pando bounds answer what SQLite's own do, on random input; what they do
 * on input that is made to hold a thread or to end the program. */
#include <stdlib.h>

#include "base/random.h"
#include "sqlite_world.h"
#include "wasm/sqlite_connection.h"

#define ROUNDS 400
#define PATTERN_ROUNDS 4096u

/* --- The same answers ------------------------------------------------------------------------- */

struct pair {
    sqlite3 *plain;
    sqlite3 *bounded;
    struct pd_sqlite_functions functions;
    struct pd_sqlite_scope scope;
    struct pd_sqlite_account *account;
    struct pd_random random;
    char pattern[128]; /* the last one */
    size_t pattern_size;
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

/* SQL that fails when the expression is not true. */
#define HOLDS(expression)                                                                          \
    "CREATE TEMP TABLE holds(x NOT NULL CHECK (x)); INSERT INTO holds SELECT " expression          \
    "; DROP TABLE holds; "

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
              "hex(zeroblob(150000)) || '1');" HOLDS(
                  "(SELECT instr(x, y) = 0 AND instr(y || x, y) = 1 AND "
                  "length(replace(x, y, '')) = 600000 FROM t)"));
    end_attack(&attack);
}

static void a_blob_has_as_many_names_as_it_may(void **state)
{
    struct attack attack = begin_attack(*state, PD_SQLITE_STEPS_MAX);
    ends_with(&attack, SQLITE_TOOBIG, "SELECT json_patch(zeroblob(5000), zeroblob(5000))");
    ends_with(
        &attack, SQLITE_TOOBIG,
        "SELECT json_set('{}', CAST('$' || replace(hex(zeroblob(1001)), '00', '.a') AS BLOB), 1)");
    end_attack(&attack);
}

static void without_memory_nothing_is_taken_for_short(void **state)
{
    (void)state;
    static const char *const calls[] = {"SELECT json_patch(?1, '{}')",
                                        "SELECT json_set('{}', ?1, 1)", "SELECT 'a' LIKE ?1"};
    char text[4001];
    struct pair pair;
    open_pair(&pair, "PRAGMA encoding='UTF-16le'", 6);
    memset(text, ':', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    pd_sqlite_enter(&pair.scope);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        sqlite3_stmt *statement = NULL;
        assert_int_equal(sqlite3_prepare_v2(pair.bounded, calls[i], -1, &statement, NULL),
                         SQLITE_OK);
        assert_int_equal(sqlite3_bind_text(statement, 1, text, -1, SQLITE_STATIC), SQLITE_OK);
        pd_alloc_fail_nth(1); /* of UTF-8 from what was bound */
        int code = sqlite3_step(statement);
        pd_alloc_fail_nth(0);
        assert_int_equal(code, SQLITE_NOMEM);
        assert_null(pair.functions.originals); /* nobody was asked */
        (void)sqlite3_finalize(statement);
    }
    pd_sqlite_leave();
    close_pair(&pair);
}

/* --- Patterns --------------------------------------------------------------------------------- */

static void set_case_sensitive(struct pair *pair, const char *value)
{
    char sql[64];
    (void)snprintf(sql, sizeof sql, "PRAGMA case_sensitive_like=%s", value);
    assert_int_equal(sqlite3_exec(pair->plain, sql, NULL, NULL, NULL), SQLITE_OK);
    pd_sqlite_functions_set_case_sensitive_like(&pair->functions, pair->bounded, value);
}

/* What patterns are made of, and what they meet: a wildcard half of the time. */
static size_t random_pattern(struct pair *pair, char *text, size_t size, bool is_pattern)
{
    static const char *const pieces[] = {"a",
                                         "b",
                                         "A",
                                         "ab",
                                         "-",
                                         "z",
                                         "5",
                                         "]",
                                         "^",
                                         "\xc3\xa9",
                                         "\xe2\x82\xac",
                                         "\xa9",
                                         "\xc3",
                                         "\xf0\x9f\x8c\xb2",
                                         "\xc1\x81",
                                         "\xef\xbf\xbd",
                                         "\xed\xa0\x80",
                                         "\xff",
                                         "\xfc\xbf\xbf\xbf\xbf\xbf\xbf",
                                         "["};
    static const char *const wildcards[] = {
        "%",     "_",    "*",      "?",     "[ab]", "[^a]",
        "[a-c]", "[]a]", "[^]b-]", "[-a-]", "[",    "[\xc3\xa9-\xe2\x82\xac]",
        "\\",    "\\%",  "\\_",    "\\\\",  "**",   "%_"};
    size_t used = 0;
    uint64_t count = pd_random_below(&pair->random, is_pattern ? 7 : 12);
    for (uint64_t i = 0; i < count; i++) {
        bool is_wild = pd_random_below(&pair->random, is_pattern ? 2 : 12) == 0;
        /* The first ones more often, so that something matches. */
        uint64_t range = pd_random_below(&pair->random, 3) == 0 ? 20 : 4;
        const char *piece =
            is_wild
                ? wildcards[pd_random_below(&pair->random, sizeof wildcards / sizeof wildcards[0])]
                : pieces[pd_random_below(&pair->random, range)];
        size_t length = strlen(piece);
        assert_true(used + length <= size);
        memcpy(text + used, piece, length);
        used += length;
    }
    return used;
}

/* What the last pattern could stand for: mostly it matches, or nearly. */
static size_t random_likeness(struct pair *pair, char *text, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < pair->pattern_size; i++) {
        bool is_wild = pair->pattern[i] != '\0' && strchr("%_*?", pair->pattern[i]) != NULL;
        uint64_t count = is_wild ? 1 + pd_random_below(&pair->random, 8) / 6 : 1;
        if (pd_random_below(&pair->random, 24) == 0) {
            continue;
        }
        for (uint64_t j = 0; j < count; j++) {
            assert_true(used < size);
            text[used++] = is_wild ? "abA-"[pd_random_below(&pair->random, 4)] : pair->pattern[i];
        }
    }
    return used;
}

static void bind_pattern(struct pair *pair, sqlite3_stmt *const statements[2], int index)
{
    static const char *const escapes[] = {"\\", "%", "_", "a", "\xc3\xa9", "\xc3", "", "ab", "["};
    char text[256];
    size_t size = 0;
    if (pd_random_below(&pair->random, 12) == 0) {
        bind_random(pair, statements, index);
        return;
    }
    if (index == 3) {
        const char *escape = escapes[pd_random_below(&pair->random, 14) % 9];
        size = strlen(escape);
        memcpy(text, escape, size);
    } else {
        bool is_alike = index == 2 && pd_random_below(&pair->random, 3) != 0;
        size = is_alike ? random_likeness(pair, text, sizeof text)
                        : random_pattern(pair, text, sizeof text, index == 1);
        if (index == 1) {
            memcpy(pair->pattern, text, size);
            pair->pattern_size = size;
        }
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sqlite3_bind_text(statements[i], index, text, (int)size, SQLITE_TRANSIENT),
                         SQLITE_OK);
    }
}

static void compare_patterns(const char *encoding, uint64_t seed)
{
    static const char *const calls[] = {"SELECT ?2 LIKE ?1", "SELECT ?2 LIKE ?1 ESCAPE ?3",
                                        "SELECT ?2 GLOB ?1", "SELECT like(?1, ?2) + glob(?1, ?2)"};
    static const char *const settings[] = {"off", "ON", "0", "1", "256", "0x10", "Yes", "full"};
    struct pair pair;
    open_pair(&pair, encoding, seed);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        sqlite3_stmt *statements[2];
        uint32_t matched = 0;
        pd_sqlite_enter(&pair.scope);
        prepare_both(&pair, calls[i], statements);
        for (uint32_t round = 0; round < PATTERN_ROUNDS; round++) {
            if (round % 64 == 0) {
                set_case_sensitive(&pair, settings[round / 64 % 8]);
            }
            for (int index = 1; index <= sqlite3_bind_parameter_count(statements[0]); index++) {
                bind_pattern(&pair, statements, index);
            }
            check_same(statements, calls[i], seed);
            matched += sqlite3_column_int(statements[0], 0) != 0;
            (void)sqlite3_reset(statements[0]);
            (void)sqlite3_reset(statements[1]);
        }
        assert_in_range(matched, PATTERN_ROUNDS / 10, PATTERN_ROUNDS - PATTERN_ROUNDS / 10);
        (void)sqlite3_finalize(statements[0]);
        (void)sqlite3_finalize(statements[1]);
        pd_sqlite_leave();
    }
    close_pair(&pair);
}

static void patterns_match_as_in_sqlite(void **state)
{
    (void)state;
    compare_patterns("PRAGMA encoding='UTF-8'", 4);
    compare_patterns("PRAGMA encoding='UTF-16le'", 5);
}

static void the_pragma_of_like_keeps_ours(void **state)
{
    struct attack attack = begin_attack(*state, 100000);
    static const char slow[] = "SELECT hex(zeroblob(5000)) LIKE "
                               "'%' || substr(hex(zeroblob(40)), 1, 60) || '1'";
    ends_with(&attack, SQLITE_OK, HOLDS("'a' LIKE 'A' AND 'a' LIKE 'A' ESCAPE 'x'"));
    ends_with(&attack, SQLITE_OK,
              "PRAGMA case_sensitive_like; " HOLDS(
                  "'a' LIKE 'A'") "PRAGMA case_sensitive_like=ON; " HOLDS("'a' NOT LIKE 'A' AND "
                                                                          "'a' NOT LIKE 'A' ESCAPE "
                                                                          "'x' AND 'a' LIKE 'a'"));
    ends_with(&attack, SQLITE_INTERRUPT, slow);
    end_attack(&attack);
}

/* Columns that are added, each with a CHECK of many patterns: SQLite asks no authorizer about them,
 * and evaluates them in a straight line. Each of them looks at 40,000 bytes of the text and the
 * pattern: 5,000 steps, 1,600,000 together. */
#define CHECKED_COLUMNS 8
#define PATTERNS_OF_COLUMN 40

static void add_checked_columns(struct attack *attack, const char *first)
{
    char sql[8192];
    (void)snprintf(sql, sizeof sql, "CREATE TABLE t(x%s)", first);
    ends_with(attack, SQLITE_OK, sql);
    for (int column = 0; column < CHECKED_COLUMNS; column++) {
        int used = snprintf(sql, sizeof sql, "ALTER TABLE t ADD COLUMN c%d CHECK (", column);
        for (int i = 0; i < PATTERNS_OF_COLUMN; i++) {
            const char *pattern = i % 2 == 0 ? "GLOB '*[x][x][x][x][y]'" : "LIKE '%xxxxxxxxxy'";
            used += snprintf(sql + used, sizeof sql - (size_t)used, "%sx NOT %s",
                             i == 0 ? "" : " AND ", pattern);
        }
        (void)snprintf(sql + used, sizeof sql - (size_t)used, ")");
        ends_with(attack, SQLITE_OK, sql);
    }
}

static const char insert_long_text[] = "INSERT INTO t(x) VALUES (printf('%.*c', 2000, 'x'))";

static void patterns_in_a_schema_are_counted(void **state)
{
    struct attack attack = begin_attack(*state, 500000);
    char text[400];
    add_checked_columns(&attack, "");
    ends_with(&attack, SQLITE_INTERRUPT, insert_long_text);
    assert_int_equal(pd_sqlite_last_error(attack.connection, text, sizeof text), SQLITE_INTERRUPT);
    assert_says(text, "more than 500000 steps");
    /* In the middle of a pattern, not behind it. */
    assert_in_range(attack.connection->scope.steps, 500000, 510000);
    ends_with(&attack, SQLITE_OK,
              "INSERT INTO t(x) VALUES ('xxx');" HOLDS("(SELECT count(*) FROM t) = 1"));
    end_attack(&attack);
}

static uint32_t checked_count;
static uint32_t reached_count;

/* Not at the first row, for which SQLite allocates, which is one more way to end. */
static void cancel_at_second(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void)count;
    (void)values;
    if (++checked_count == 2) {
        pd_sqlite_connection_cancel(sqlite3_user_data(context));
    }
}

static void count_reached(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void)context;
    (void)count;
    (void)values;
    reached_count++;
}

static void add_function(struct pd_sqlite_connection *connection, const char *name,
                         void (*call)(sqlite3_context *, int, sqlite3_value **))
{
    assert_int_equal(sqlite3_create_function_v2(atomic_load(&connection->database), name, 0,
                                                SQLITE_UTF8 | SQLITE_INNOCUOUS, connection, call,
                                                NULL, NULL, NULL),
                     SQLITE_OK);
}

static void who_is_killed_matches_no_more_patterns(void **state)
{
    struct attack attack = begin_attack(*state, PD_SQLITE_STEPS_MAX);
    struct pd_sqlite_connection *connection = attack.connection;
    char sql[8192] = "SELECT cancel_at_second()";
    add_function(connection, "cancel_at_second", cancel_at_second);
    add_function(connection, "reached", count_reached);
    ends_with(&attack, SQLITE_OK,
              "CREATE TABLE t(x); "
              "INSERT INTO t VALUES (printf('%.*c', 2000, 'x')), (printf('%.*c', 2000, 'x'))");
    size_t used = strlen(sql);
    for (int i = 0; i < PATTERNS_OF_COLUMN; i++) {
        used += (size_t)snprintf(sql + used, sizeof sql - used, ", x GLOB '*[x][x][x][x]%d'", i);
    }
    (void)snprintf(sql + used, sizeof sql - used, ", reached() FROM t");
    checked_count = 0;
    reached_count = 0;
    ends_with(&attack, SQLITE_INTERRUPT, sql);
    assert_int_equal(checked_count, 2);
    assert_int_equal(reached_count, 1);
    end_attack(&attack);
}

static void what_is_refused_is_refused_in_a_schema_too(void **state)
{
    struct attack attack = begin_attack(*state, PD_SQLITE_STEPS_MAX);
    static const char *const calls[] = {"jsonb_set('{}', '$.a', 1)", "jsonb_insert('{}', '$.a', 1)",
                                        "jsonb_patch('{}', '{}')",
                                        "json_array_insert('[]', '$[0]', 1)"};
    char sql[256];
    char text[400];
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        (void)snprintf(sql, sizeof sql, "SELECT %s", calls[i]);
        ends_with(&attack, SQLITE_ERROR, sql);
        (void)pd_sqlite_last_error(attack.connection, text, sizeof text);
        assert_says(text, "not authorized to use function");
        (void)snprintf(sql, sizeof sql,
                       "CREATE TABLE t%zu(x); ALTER TABLE t%zu ADD COLUMN y CHECK (%s IS NOT NULL)",
                       i, i, calls[i]);
        ends_with(&attack, SQLITE_OK, sql);
        (void)snprintf(sql, sizeof sql, "INSERT INTO t%zu(x) VALUES (1)", i);
        ends_with(&attack, SQLITE_AUTH, sql);
    }
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
        cmocka_unit_test(patterns_match_as_in_sqlite),
        TEST(the_pragma_of_like_keeps_ours),
        TEST(patterns_in_a_schema_are_counted),
        TEST(who_is_killed_matches_no_more_patterns),
        TEST(what_is_refused_is_refused_in_a_schema_too),
        TEST(a_blob_has_as_many_names_as_it_may),
        cmocka_unit_test(without_memory_nothing_is_taken_for_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
