/* pando::sqlite: failures as codes, answers into the guest's room, and closing. */
#include "base/alloc.h"
#include "sqlite_world.h"
#include "wasm/abi_tables.h"
#include "wasm/sqlite_places.h"

#define OWN "pando::sqlite"
#define CODE_CONSTRAINT 19u
#define CODE_MISUSE 21u
#define CODE_RANGE 25u

static uint32_t prepare_into(struct actor *actor, uint64_t database, const char *sql)
{
    uint32_t size = actor_put(actor, TEXT_AT, sql);
    return (uint32_t)CALL(actor, OWN, "prepare", database, TEXT_AT, size, ID_AT);
}

static uint64_t prepared(struct actor *actor, uint64_t database, const char *sql)
{
    assert_int_equal(prepare_into(actor, database, sql), CODE_OK);
    return actor_u64(actor, ID_AT);
}

static void check_words(struct actor *actor, uint64_t database, const char *part)
{
    uint32_t size = (uint32_t)CALL(actor, OWN, "error", database, ANSWER_AT, 400);
    assert_in_range(size, 1, 400);
    memcpy(actor_memory(actor, ANSWER_AT + size), "", 1);
    assert_says((const char *)actor_memory(actor, ANSWER_AT), part);
}

static void what_fails_is_a_code_with_words(void **state)
{
    struct fixture *f = *state;
    struct actor *actor = &f->actor;
    uint64_t database = open_database(actor, "a.db");
    assert_int_equal(CALL(actor, OWN, "error", database, ANSWER_AT, 400), 0);
    assert_int_equal(prepare_into(actor, database, "SELECT nowhere"), CODE_ERROR);
    check_words(actor, database, "no such column: nowhere");
    must(actor, database, "CREATE TABLE t(x UNIQUE); INSERT INTO t VALUES (1)");
    uint64_t insert = prepared(actor, database, "INSERT INTO t VALUES (1)");
    assert_int_equal(CALL(actor, OWN, "step", insert), CODE_CONSTRAINT);
    check_words(actor, database, "UNIQUE");
    static const uint8_t one_null[] = {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    memcpy(actor_memory(actor, LIST_AT), one_null, sizeof one_null);
    assert_int_equal(CALL(actor, OWN, "bind", insert, LIST_AT, sizeof one_null), CODE_RANGE);
    check_words(actor, database, "out of range");
    uint64_t empty = prepared(actor, database, " ");
    assert_int_equal(CALL(actor, OWN, "step", empty), CODE_MISUSE);
    check_words(actor, database, "misuse");
    uint64_t select = prepared(actor, database, "SELECT ?");
    assert_int_equal(CALL(actor, OWN, "bind", select, LIST_AT, sizeof one_null), CODE_OK);
    assert_int_equal(CALL(actor, OWN, "step", select), ROW);
    assert_int_equal(CALL(actor, OWN, "step", select), DONE);
    memset(actor_memory(actor, TEXT_AT), 0, 3);
    assert_int_equal(CALL(actor, OWN, "prepare", database, TEXT_AT, 3, ID_AT), CODE_ERROR);
    check_words(actor, database, "no zero bytes");
}

/* A call that is well has no words, and not those of the one before. */
static void what_was_refused_is_forgotten(void **state)
{
    struct fixture *f = *state;
    struct actor *actor = &f->actor;
    uint64_t database = open_database(actor, ":memory:");
    uint64_t select = prepared(actor, database, "SELECT ?");
    static const uint8_t lists[][16] = {{0}, {1}}; /* no value; NULL */
    static const uint32_t sizes[] = {8, 16};
    for (uint32_t i = 0; i < 2; i++) {
        memset(actor_memory(actor, TEXT_AT), 0, 3);
        assert_int_equal(CALL(actor, OWN, "prepare", database, TEXT_AT, 3, ID_AT), CODE_ERROR);
        check_words(actor, database, "no zero bytes");
        memcpy(actor_memory(actor, LIST_AT), lists[i], sizes[i]);
        assert_int_equal(CALL(actor, OWN, "bind", select, LIST_AT, sizes[i]), CODE_OK);
        assert_int_equal(CALL(actor, OWN, "error", database, ANSWER_AT, 400), 0);
    }
}

/* A statement that gets no id is none: its database can be closed. */
static void prepare_may_lack_memory(void **state)
{
    struct fixture *f = *state;
    struct actor *actor = &f->actor;
    uint32_t failed = 0;
    uint32_t well_in_row = 0;
    for (uint64_t nth = 1; well_in_row < 40; nth++) {
        uint64_t database = open_database(actor, ":memory:");
        pd_alloc_fail_nth(nth);
        uint32_t code = prepare_into(actor, database, "SELECT 1");
        pd_alloc_fail_nth(0);
        failed += code != CODE_OK;
        well_in_row = code == CODE_OK ? well_in_row + 1 : 0;
        if (code == CODE_OK) {
            finalize(actor, actor_u64(actor, ID_AT));
        } else {
            assert_int_equal(code, CODE_NOMEM);
            check_words(actor, database, "memory");
        }
        assert_int_equal(CALL(actor, OWN, "close", database), CODE_OK);
    }
    assert_true(failed > 3);
}

static void step_may_lack_memory(void **state)
{
    struct fixture *f = *state;
    struct actor *actor = &f->actor;
    uint64_t database = open_database(actor, ":memory:");
    uint64_t select = prepared(actor, database, "SELECT 1");
    pd_alloc_fail_nth(1);
    uint32_t code = (uint32_t)CALL(actor, OWN, "step", select);
    pd_alloc_fail_nth(0);
    assert_int_equal(code, CODE_NOMEM);
    check_words(actor, database, "no memory for a step");
    assert_int_equal(CALL(actor, OWN, "step", select), ROW);
}

static void statements_have_a_limit(void **state)
{
    struct fixture *f = *state;
    uint64_t database = open_database(&f->actor, ":memory:");
    for (uint32_t i = 0; i < 1024; i++) {
        (void)prepared(&f->actor, database, "SELECT 1");
    }
    assert_int_equal(prepare_into(&f->actor, database, "SELECT 1"), CODE_NOMEM);
    check_words(&f->actor, database, "1024 statements");
    finalize(&f->actor, 7);
    (void)prepared(&f->actor, database, "SELECT 1");
}

static void answers_come_into_the_room_that_is_given(void **state)
{
    struct fixture *f = *state;
    struct actor *actor = &f->actor;
    uint64_t database = open_database(actor, ":memory:");
    uint64_t select = prepared(actor, database, "SELECT 'abc' AS name, 5");
    assert_int_equal(step(actor, select), ROW);
    static const uint8_t row[] = {2, 0, 0,   0,   0,   0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0,
                                  0, 0, 'a', 'b', 'c', 4, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0};
    _Static_assert(sizeof row == 8 + 4 + 8 + 3 + 4 + 8,
                   "a count, a text of three bytes, an integer");
    memset(actor_memory(actor, ANSWER_AT), 0xee, 64);
    assert_int_equal(CALL(actor, OWN, "row", select, ANSWER_AT, sizeof row - 1), sizeof row);
    assert_int_equal(actor_memory(actor, ANSWER_AT)[0], 0xee); /* it does not fit: nothing */
    assert_int_equal(CALL(actor, OWN, "row", select, ANSWER_AT, sizeof row), sizeof row);
    assert_memory_equal(actor_memory(actor, ANSWER_AT), row, sizeof row);
    assert_int_equal(actor_memory(actor, ANSWER_AT + sizeof row)[0], 0xee);
    assert_int_equal(CALL(actor, OWN, "names", select, ANSWER_AT, 64), 8 + 8 + 4 + 8 + 1);
    assert_memory_equal(actor_memory(actor, ANSWER_AT + 16), "name", 4);
    assert_int_equal(CALL(actor, OWN, "row", select, 0, 0), sizeof row);
    assert_says(TRAP(actor, OWN, "row", select, FAKE_MEMORY_SIZE - 8, 9), "out of bounds");
}

static void what_is_closed_is_gone_and_others_have_its_place(void **state)
{
    struct fixture *f = *state;
    struct actor *actor = &f->actor;
    uint64_t other = open_database(actor, "a.db");
    must(actor, other, "CREATE TABLE t(x); INSERT INTO t VALUES (1)");
    for (int i = 0; i < 40; i++) {
        uint64_t database = open_database(actor, "a.db");
        uint64_t statement = prepared(actor, database, "SELECT x FROM t");
        must(actor, database, "BEGIN EXCLUSIVE; DELETE FROM t");
        assert_int_equal(execute(actor, other, "SELECT x FROM t"), CODE_BUSY);
        assert_int_equal(CALL(actor, OWN, "close", database), CODE_BUSY);
        check_words(actor, database, "it has statements");
        finalize(actor, statement);
        assert_int_equal(CALL(actor, OWN, "close", database), CODE_OK);
        assert_int_equal(number_of(actor, other, "SELECT count(*) FROM t"), 1); /* rolled back */
    }
    assert_says(TRAP(actor, OWN, "close", 1), "no connection");
}

static void wake_nobody(void *process)
{
    (void)process;
}

/* What closing takes back may be much: it waits for its turn, as statements do. Who is killed
 * meanwhile has his database closed all the same. */
static void closing_waits_for_a_place(void **state)
{
    struct fixture *f = *state;
    struct actor other = spawn(f);
    uint64_t kept = open_database(&other, "a.db");
    must(&other, kept, "CREATE TABLE t(x); INSERT INTO t VALUES (1)");
    for (int is_killed = 0; is_killed < 2; is_killed++) {
        struct actor actor = spawn(f);
        uint64_t database = open_database(&actor, "a.db");
        must(&actor, database, "BEGIN EXCLUSIVE; DELETE FROM t");
        struct pd_sqlite_place places[PD_SQLITE_PLACES_MAX];
        memset(places, 0, sizeof places);
        for (uint32_t i = 0; i < PD_SQLITE_PLACES_MAX; i++) {
            assert_true(pd_sqlite_place_take(&places[i], 40 + i, wake_nobody, NULL));
        }
        BEGIN(&actor, OWN, "close", database);
        actor_finish(&actor); /* nothing is left to run */
        assert_true(actor_is_waiting(&actor));
        if (is_killed) {
            assert_int_equal(pd_mailbox_kill(f->world.environment, actor.pid, PD_EXIT_KILLED, NULL),
                             PD_OK);
            actor_finish(&actor);
            assert_false(actor_lives(&actor));
        }
        for (uint32_t i = 0; i < PD_SQLITE_PLACES_MAX; i++) {
            pd_sqlite_place_give(&places[i]);
        }
        if (!is_killed) {
            actor_finish(&actor);
            assert_int_equal(actor_result(&actor), CODE_OK);
        }
        assert_int_equal(number_of(&other, kept, "SELECT count(*) FROM t"), 1);
    }
}

static void ids_and_pointers_that_are_none_trap(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(pd_pando_sqlite_import_count, 7);
    for (size_t i = 0; i < pd_pando_sqlite_import_count; i++) {
        const struct pd_import *import = &pd_pando_sqlite_imports[i];
        bool is_connection = strcmp(import->name, "prepare") == 0 ||
                             strcmp(import->name, "error") == 0 ||
                             strcmp(import->name, "close") == 0;
        for (int is_open = 0; is_open < 2; is_open++) {
            struct actor actor = spawn(f);
            if (is_open) {
                (void)open_database(&actor, ":memory:");
            }
            const uint64_t arguments[4] = {is_open ? 1 : 0, 0, 0, 0};
            assert_says(actor_trap(&actor, import->module, import->name, arguments, 4),
                        is_connection ? OWN ": no connection" : OWN ": no statement");
        }
    }
    struct actor actor = spawn(f);
    (void)open_database(&actor, ":memory:");
    assert_says(TRAP(&actor, OWN, "prepare", 0, TEXT_AT, 0, FAKE_MEMORY_SIZE - 7), "out of bounds");
    actor = spawn(f);
    (void)open_database(&actor, ":memory:");
    assert_says(TRAP(&actor, OWN, "error", 0, FAKE_MEMORY_SIZE, 1), "out of bounds");
    actor = spawn(f);
    (void)open_database(&actor, ":memory:");
    uint64_t statement = prepared(&actor, 0, "SELECT ?");
    assert_says(TRAP(&actor, OWN, "bind", statement, LIST_AT, 3), OWN "::bind: not a list");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_fails_is_a_code_with_words),
        TEST(what_was_refused_is_forgotten),
        TEST(prepare_may_lack_memory),
        TEST(step_may_lack_memory),
        TEST(statements_have_a_limit),
        TEST(answers_come_into_the_room_that_is_given),
        TEST(what_is_closed_is_gone_and_others_have_its_place),
        TEST(closing_waits_for_a_place),
        TEST(ids_and_pointers_that_are_none_trap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
