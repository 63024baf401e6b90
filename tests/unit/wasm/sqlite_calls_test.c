/* lunatic::sqlite, function by function: what it answers, each documented error, hostile
 * arguments. */
#include "sqlite_world.h"
#include "wasm/abi_tables.h"

/* --- Lists of values in bincode --------------------------------------------------------------- */

struct list {
    uint8_t bytes[1024];
    size_t size;
};

static void add_u32(struct list *list, uint32_t value)
{
    pd_put_u32(list->bytes + list->size, value);
    list->size += 4;
}

static void add_u64(struct list *list, uint64_t value)
{
    pd_put_u64(list->bytes + list->size, value);
    list->size += 8;
}

static void add_bytes(struct list *list, const void *bytes, size_t size)
{
    add_u64(list, size);
    memcpy(list->bytes + list->size, bytes, size);
    list->size += size;
}

static struct list list_of(uint64_t count)
{
    struct list list = {.size = 0};
    add_u64(&list, count);
    return list;
}

static void add_number_key(struct list *list, uint64_t number)
{
    add_u32(list, 1);
    add_u64(list, number);
}

static void add_name_key(struct list *list, const char *name)
{
    add_u32(list, 2);
    add_bytes(list, name, strlen(name));
}

static void add_int(struct list *list, int32_t value)
{
    add_u32(list, 4);
    add_u32(list, (uint32_t)value);
}

static void put_list(struct actor *actor, const struct list *list)
{
    memcpy(actor_memory(actor, LIST_AT), list->bytes, list->size);
}

static void bind(struct actor *actor, uint64_t statement, const struct list *list)
{
    put_list(actor, list);
    (void)CALL(actor, SQLITE, "bind_value", statement, LIST_AT, list->size);
}

/* --- Opening ---------------------------------------------------------------------------------- */

static void open_gives_connections_and_errors(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(open_database(&f->actor, "a.db"), 0);
    assert_int_equal(open_database(&f->actor, "/b.db"), 1);
    assert_int_equal(open_database(&f->actor, ":memory:"), 2);
    assert_int_equal(open_database(&f->actor, ""), 3);
    must(&f->actor, 0, "CREATE TABLE t(x)");
    assert_true(is_there(f, "data/a.db"));
    refuse_open(&f->actor, "no/such/folder.db", "unable to open");
    make_file(f, "data/text",
              "this is not a database, but a text that is longer than a head is, "
              "which has a hundred bytes in every database");
    refuse_open(&f->actor, "text", "not a database");
    for (uint64_t i = 4; i < 16; i++) {
        assert_int_equal(open_database(&f->actor, "a.db"), i);
    }
    refuse_open(&f->actor, "a.db", "at most 16");
    char path[1200];
    memset(path, 'a', sizeof path);
    path[1001] = '\0';
    refuse_open(&f->actor, path, "at most 1000");
    path[0] = '\xff'; /* it is not looked at: that it is no UTF-8 would trap */
    refuse_open(&f->actor, path, "at most 1000");
}

static void open_traps_for_what_is_no_argument(void **state)
{
    struct fixture *f = *state;
    const uint64_t wrong[][3] = {
        {FAKE_MEMORY_SIZE, 1, 0},           {0, UINT32_MAX, 0},       {UINT32_MAX, UINT32_MAX, 0},
        {TEXT_AT, 1, FAKE_MEMORY_SIZE - 7}, {TEXT_AT, 1, UINT32_MAX},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct actor actor = spawn(f);
        (void)actor_put(&actor, TEXT_AT, "x");
        assert_says(TRAP(&actor, SQLITE, "open", wrong[i][0], wrong[i][1], wrong[i][2]),
                    "out of bounds");
    }
    assert_false(is_there(f, "data/x"));
    (void)actor_put(&f->actor, TEXT_AT, "a\xff");
    assert_says(TRAP(&f->actor, SQLITE, "open", TEXT_AT, 2, ID_AT), "UTF-8");
    struct actor other = spawn(f);
    assert_int_equal(CALL(&other, SQLITE, "open", 0, 3, ID_AT), 1); /* three zero bytes */
    check_error(&other, "none of them 0");
}

static void every_function_wants_an_id_that_it_gave(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(pd_lunatic_sqlite_import_count, 14);
    for (size_t i = 1; i < pd_lunatic_sqlite_import_count; i++) {
        for (int is_open = 0; is_open < 2; is_open++) {
            struct actor actor = spawn(f);
            if (is_open) {
                (void)open_database(&actor, ":memory:");
                finalize(&actor, prepare(&actor, 0, "SELECT 1")); /* 0 was, and is no more */
            }
            const struct pd_import *import = &pd_lunatic_sqlite_imports[i];
            bool is_connection = strcmp(import->name, "execute") == 0 ||
                                 strcmp(import->name, "query_prepare") == 0 ||
                                 strcmp(import->name, "last_error") == 0 ||
                                 strcmp(import->name, "sqlite3_changes") == 0;
            const uint64_t arguments[3] = {is_connection && is_open ? 1 : 0, 0, 0};
            assert_says(actor_trap(&actor, import->module, import->name, arguments, 3),
                        is_connection ? "no connection" : "no statement");
        }
    }
    assert_says(TRAP(&f->actor, SQLITE, "sqlite3_step", UINT64_MAX), "no statement");
}

/* --- SQL -------------------------------------------------------------------------------------- */

static void execute_runs_all_statements(void **state)
{
    struct fixture *f = *state;
    struct actor *actor = &f->actor;
    uint64_t c = open_database(actor, "a.db");
    must(actor, c, "CREATE TABLE t(x UNIQUE); INSERT INTO t VALUES (1), (2); SELECT * FROM t");
    assert_int_equal(CALL(actor, SQLITE, "sqlite3_changes", c), 2);
    assert_int_equal(execute(actor, c, "INSERT INTO t VALUES (2)"), 19);
    assert_int_equal(last_error(actor, c, "UNIQUE constraint failed"), 19);
    assert_int_equal(execute(actor, c, "INSERT INTO absent VALUES (2)"), CODE_ERROR);
    assert_int_equal(last_error(actor, c, "no such table"), CODE_ERROR);
    must(actor, c, "");
    assert_int_equal(ANSWER(actor, "last_error", c, LENGTH_AT), 2); /* None, None */
    assert_int_equal(pd_get_u16(actor_memory(actor, ANSWER_AT)), 0);
    assert_int_equal(CALL(actor, SQLITE, "execute", c, 0, 4), CODE_ERROR); /* zero bytes */
    assert_int_equal(last_error(actor, c, "no zero bytes"), CODE_ERROR);
    must(actor, c, "SELECT 1");
    assert_int_equal(ANSWER(actor, "last_error", c, LENGTH_AT), 2);
    assert_int_equal(number_of(actor, c, "SELECT sum(x) FROM t"), 3);
    assert_says(TRAP(actor, SQLITE, "execute", c, FAKE_MEMORY_SIZE - 1, 2), "out of bounds");
    struct actor other = spawn(f);
    c = open_database(&other, "a.db");
    (void)actor_put(&other, TEXT_AT, "\xc0\x80");
    assert_says(TRAP(&other, SQLITE, "execute", c, TEXT_AT, 2), "UTF-8");
}

static void prepare_traps_for_bad_sql(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *sql;
        const char *part;
    } bad[] = {
        {"SELEC 1", "syntax error"},
        {"SELECT * FROM absent", "no such table"},
        {"SELECT 'open", "unrecognized token"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct actor actor = spawn(f);
        uint64_t c = open_database(&actor, ":memory:");
        uint32_t size = actor_put(&actor, TEXT_AT, bad[i].sql);
        assert_says(TRAP(&actor, SQLITE, "query_prepare", c, TEXT_AT, size), bad[i].part);
    }
    struct actor actor = spawn(f);
    uint64_t c = open_database(&actor, ":memory:");
    assert_says(TRAP(&actor, SQLITE, "query_prepare", c, 0, 1), "none of them 0");
    actor = spawn(f);
    c = open_database(&actor, ":memory:");
    assert_says(TRAP(&actor, SQLITE, "query_prepare", c, UINT32_MAX, 1), "out of bounds");
    for (uint32_t i = 0; i < 1024; i++) {
        c = i == 0 ? open_database(&f->actor, ":memory:") : c;
        assert_int_equal(prepare(&f->actor, c, "SELECT 1"), i);
    }
    finalize(&f->actor, 5);
    assert_int_equal(prepare(&f->actor, c, "SELECT 1; nonsense"), 1024); /* the first only */
    assert_says(TRAP(&f->actor, SQLITE, "query_prepare", c, TEXT_AT, 8), "1024 statements");
}

static void a_text_without_sql_is_a_statement_that_does_nothing(void **state)
{
    struct fixture *f = *state;
    uint64_t c = open_database(&f->actor, ":memory:");
    uint64_t s = prepare(&f->actor, c, " -- nothing");
    assert_int_equal(CALL(&f->actor, SQLITE, "column_count", s), 0);
    (void)CALL(&f->actor, SQLITE, "statement_reset", s);
    assert_int_equal(ANSWER(&f->actor, "read_row", s, LENGTH_AT), 8);
    assert_says(TRAP(&f->actor, SQLITE, "sqlite3_step", s), "code 21");
}

static void steps_give_rows_until_they_are_done(void **state)
{
    struct fixture *f = *state;
    struct actor *actor = &f->actor;
    uint64_t c = open_database(actor, "a.db");
    must(actor, c, "CREATE TABLE t(x PRIMARY KEY); INSERT INTO t VALUES (5), (6)");
    uint64_t s = prepare(actor, c, "SELECT x FROM t");
    for (int round = 0; round < 2; round++) {
        assert_int_equal(step(actor, s), ROW);
        assert_int_equal(step(actor, s), ROW);
        assert_int_equal(step(actor, s), DONE);
    }
    assert_int_equal(step(actor, s), ROW);
    (void)CALL(actor, SQLITE, "statement_reset", s);
    assert_int_equal(step(actor, s), ROW);
    assert_int_equal(ANSWER(actor, "read_column", s, 0, LENGTH_AT), 12);
    assert_int_equal(pd_get_u64(actor_memory(actor, ANSWER_AT + 4)), 5);
    uint64_t insert = prepare(actor, c, "INSERT INTO t VALUES (5)");
    assert_says(TRAP(actor, SQLITE, "sqlite3_step", insert), "UNIQUE constraint failed");
}

/* --- Values ----------------------------------------------------------------------------------- */

static void values_come_back_as_they_went(void **state)
{
    struct fixture *f = *state;
    struct actor *actor = &f->actor;
    uint64_t c = open_database(actor, "a.db");
    uint64_t s = prepare(actor, c, "SELECT ?, ?, ?, ?, ?, ?, ?, ?");
    struct list list = list_of(8);
    double real = -0.5;
    uint64_t bits;
    memcpy(&bits, &real, sizeof bits);
    add_number_key(&list, 1), add_u32(&list, 0);
    add_number_key(&list, 2), add_u32(&list, 1), add_bytes(&list, "\x00\xff", 2);
    add_number_key(&list, 3), add_u32(&list, 2), add_bytes(&list, "a\0\xc3\xa9", 4);
    add_number_key(&list, 4), add_u32(&list, 3), add_u64(&list, bits);
    add_number_key(&list, 5), add_int(&list, -7);
    add_number_key(&list, 6), add_u32(&list, 5), add_u64(&list, UINT64_C(1) << 63);
    add_number_key(&list, 7), add_u32(&list, 1), add_bytes(&list, "", 0);
    add_number_key(&list, 8), add_u32(&list, 2), add_bytes(&list, "", 0);
    bind(actor, s, &list);
    assert_int_equal(step(actor, s), ROW);
    struct list row = list_of(8);
    add_u32(&row, 0);
    add_u32(&row, 1), add_bytes(&row, "\x00\xff", 2);
    add_u32(&row, 2), add_bytes(&row, "a\0\xc3\xa9", 4);
    add_u32(&row, 3), add_u64(&row, bits);
    add_u32(&row, 4), add_u64(&row, (uint64_t)-7);
    add_u32(&row, 4), add_u64(&row, UINT64_C(1) << 63);
    add_u32(&row, 1), add_bytes(&row, "", 0);
    add_u32(&row, 2), add_bytes(&row, "", 0);
    assert_int_equal(ANSWER(actor, "read_row", s, LENGTH_AT), row.size);
    assert_memory_equal(actor_memory(actor, ANSWER_AT), row.bytes, row.size);
    assert_int_equal(ANSWER(actor, "read_column", s, 3, LENGTH_AT), 12);
    assert_memory_equal(actor_memory(actor, ANSWER_AT + 4), &bits, 8);
    /* Before the first step and after the last there is no row, and nothing in it. */
    assert_int_equal(step(actor, s), DONE);
    assert_int_equal(ANSWER(actor, "read_column", s, 3, LENGTH_AT), 4);
    assert_int_equal(pd_get_u32(actor_memory(actor, ANSWER_AT)), 0);
    /* What is not UTF-8 is no text for Rust. */
    s = prepare(actor, c, "SELECT CAST(x'61ff62' AS TEXT)");
    assert_int_equal(step(actor, s), ROW);
    assert_int_equal(ANSWER(actor, "read_column", s, 0, LENGTH_AT), 12 + 5);
    assert_memory_equal(actor_memory(actor, ANSWER_AT + 12),
                        "a\xef\xbf\xbd"
                        "b",
                        5);
    assert_says(TRAP(actor, SQLITE, "read_column", s, 1, LENGTH_AT), "has 1 columns");
}

static void columns_have_names(void **state)
{
    struct fixture *f = *state;
    struct actor *actor = &f->actor;
    uint64_t c = open_database(actor, ":memory:");
    uint64_t s = prepare(actor, c, "SELECT 1 AS one, 2 AS \"zw\xc3\xb6lf\"");
    assert_int_equal(CALL(actor, SQLITE, "column_count", s), 2);
    assert_int_equal(ANSWER(actor, "column_name", s, 1, LENGTH_AT), 6);
    assert_memory_equal(actor_memory(actor, ANSWER_AT), "zw\xc3\xb6lf", 6);
    struct list names = list_of(2);
    add_bytes(&names, "one", 3), add_bytes(&names, "zw\xc3\xb6lf", 6);
    assert_int_equal(ANSWER(actor, "column_names", s, LENGTH_AT), names.size);
    assert_memory_equal(actor_memory(actor, ANSWER_AT), names.bytes, names.size);
    assert_says(TRAP(actor, SQLITE, "column_name", s, UINT32_MAX, LENGTH_AT), "has 2 columns");
}

static void parameters_are_found_by_number_name_and_turn(void **state)
{
    struct fixture *f = *state;
    struct actor *actor = &f->actor;
    uint64_t c = open_database(actor, ":memory:");
    uint64_t s = prepare(actor, c, "SELECT :a * 1000 + @b * 100 + $c * 10 + ?4");
    struct list list = list_of(4);
    add_name_key(&list, "a"), add_int(&list, 1);
    add_name_key(&list, "@b"), add_int(&list, 2);
    add_name_key(&list, "c"), add_int(&list, 3);
    add_number_key(&list, 4), add_int(&list, 4);
    bind(actor, s, &list);
    assert_int_equal(step(actor, s), ROW);
    assert_int_equal(ANSWER(actor, "read_column", s, 0, LENGTH_AT), 12);
    assert_int_equal(pd_get_u64(actor_memory(actor, ANSWER_AT + 4)), 1234);
    s = prepare(actor, c, "SELECT ? * 10 + ?");
    list = list_of(2);
    add_u32(&list, 0), add_int(&list, 5);
    add_u32(&list, 0), add_int(&list, 6);
    list.bytes[list.size++] = 0xAA; /* what follows a list is ignored */
    bind(actor, s, &list);
    assert_int_equal(step(actor, s), ROW);
    assert_int_equal(ANSWER(actor, "read_column", s, 0, LENGTH_AT), 12);
    assert_int_equal(pd_get_u64(actor_memory(actor, ANSWER_AT + 4)), 56);
    /* A statement that runs cannot be bound anew. */
    put_list(actor, &list);
    assert_says(TRAP(actor, SQLITE, "bind_value", s, LIST_AT, list.size), "code 21");
}

static void refuse_key(struct fixture *f, const struct list *list, const char *part)
{
    struct actor actor = spawn(f);
    uint64_t c = open_database(&actor, ":memory:");
    uint64_t s = prepare(&actor, c, "SELECT :a, ?");
    put_list(&actor, list);
    assert_says(TRAP(&actor, SQLITE, "bind_value", s, LIST_AT, list->size), part);
}

static void keys_that_no_parameter_has_trap(void **state)
{
    struct fixture *f = *state;
    const uint64_t numbers[] = {0, 3, UINT32_MAX, UINT64_MAX, (UINT64_C(1) << 32) + 1};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct list list = list_of(1);
        add_number_key(&list, numbers[i]), add_int(&list, 1);
        refuse_key(f, &list, "code 25");
    }
    char name[300];
    memset(name, 'a', sizeof name);
    name[299] = '\0';
    const char *const names[] = {"", "b", "a:", name};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct list list = list_of(1);
        add_name_key(&list, names[i]), add_int(&list, 1);
        refuse_key(f, &list, "code 25");
    }
    struct list list = list_of(3);
    for (int i = 0; i < 3; i++) {
        add_u32(&list, 0), add_int(&list, i);
    }
    refuse_key(f, &list, "code 25");
}

static void malformed_lists_trap_and_bind_nothing(void **state)
{
    struct fixture *f = *state;
    struct list whole = list_of(3);
    add_number_key(&whole, 1), add_u32(&whole, 2), add_bytes(&whole, "text", 4);
    add_name_key(&whole, "b"), add_u32(&whole, 3), add_u64(&whole, 0);
    add_u32(&whole, 0), add_int(&whole, 9);
    for (size_t size = 0; size < whole.size; size++) {
        struct list cut = whole;
        cut.size = size;
        refuse_key(f, &cut, "not a list");
    }
    const struct {
        size_t at;
        uint8_t value;
    } slips[] = {{7, 1} /* count */,
                 {8, 3} /* key */,
                 {20, 6} /* value */,
                 {31, 0x80} /* length */,
                 {32, 0xff} /* UTF-8 */};
    for (size_t i = 0; i < sizeof slips / sizeof slips[0]; i++) {
        struct list wrong = whole;
        wrong.bytes[slips[i].at] = slips[i].value;
        refuse_key(f, &wrong, "not a list");
    }
    struct actor actor = spawn(f);
    uint64_t c = open_database(&actor, ":memory:");
    uint64_t s = prepare(&actor, c, "SELECT ?");
    pd_put_u64(actor_memory(&actor, 0), 40000); /* of which there is room for nulls */
    assert_says(TRAP(&actor, SQLITE, "bind_value", s, 0, FAKE_MEMORY_SIZE), "not a list");
    actor = spawn(f);
    c = open_database(&actor, ":memory:");
    s = prepare(&actor, c, "SELECT ?");
    assert_says(TRAP(&actor, SQLITE, "bind_value", s, LIST_AT, FAKE_MEMORY_SIZE), "out of bounds");
}

/* --- Where answers go ------------------------------------------------------------------------- */

static void answers_need_a_guest_that_takes_them(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 5; i++) {
        struct actor actor = spawn(f);
        uint64_t c = open_database(&actor, ":memory:");
        uint64_t s = prepare(&actor, c, "SELECT 1");
        const char *part = "out of bounds";
        uint64_t length_at = LENGTH_AT;
        if (i == 0) {
            fake_nested.is_missing = true;
            part = "must export lunatic_alloc";
        } else if (i == 1) {
            fake_nested.is_ok = false;
            part = "lunatic_alloc did not return";
        } else if (i == 2) {
            fake_nested.value = FAKE_MEMORY_SIZE - 1;
        } else if (i == 3) {
            fake_nested.value = UINT32_MAX;
        } else {
            length_at = FAKE_MEMORY_SIZE - 7;
        }
        fake_nested.name[0] = '\0';
        assert_says(TRAP(&actor, SQLITE, "read_row", s, length_at), part);
        assert_string_equal(fake_nested.name, i == 4 ? "" : "lunatic_alloc"); /* not in vain */
        fake_nested.is_missing = false;
        fake_nested.is_ok = true;
        fake_nested.value = ANSWER_AT;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(open_gives_connections_and_errors),
        TEST(open_traps_for_what_is_no_argument),
        TEST(every_function_wants_an_id_that_it_gave),
        TEST(execute_runs_all_statements),
        TEST(prepare_traps_for_bad_sql),
        TEST(a_text_without_sql_is_a_statement_that_does_nothing),
        TEST(steps_give_rows_until_they_are_done),
        TEST(values_come_back_as_they_went),
        TEST(columns_have_names),
        TEST(parameters_are_found_by_number_name_and_turn),
        TEST(keys_that_no_parameter_has_trap),
        TEST(malformed_lists_trap_and_bind_nothing),
        TEST(answers_need_a_guest_that_takes_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
