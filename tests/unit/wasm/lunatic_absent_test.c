/* What this build does not have (SQLite) and what hardly needs a test of its own: every function of
 * those tables, one by one. */
#include "abi_actor.h"
#include "wasm/abi_tables.h"

struct fixture {
    struct world world;
    struct actor actor;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct pd_runtime_config config = world_config();
    world_open(&f->world, &config);
    f->actor = actor_spawn(&f->world);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    world_close(&f->world);
    free(f);
    return 0;
}

static void check_error_text(struct actor *actor, uint64_t id, const char *part)
{
    uint32_t size = (uint32_t)CALL(actor, "lunatic::error", "string_size", id);
    (void)CALL(actor, "lunatic::error", "to_string", id, 1000);
    *actor_memory(actor, 1000 + size) = '\0';
    assert_says((const char *)actor_memory(actor, 1000), part);
    (void)CALL(actor, "lunatic::error", "drop", id);
}

static void sqlite_answers_or_traps_that_it_is_not_there(void **state)
{
    struct fixture *f = *state;
    uint32_t size = actor_put(&f->actor, 100, "data.db");
    assert_int_equal(CALL(&f->actor, "lunatic::sqlite", "open", 100, size, 0), 1); /* 0 is valid */
    check_error_text(&f->actor, actor_u64(&f->actor, 0), "SQLite is not available");
    for (size_t i = 0; i < pd_lunatic_sqlite_import_count; i++) {
        const struct pd_import *import = &pd_lunatic_sqlite_imports[i];
        if (strcmp(import->name, "open") != 0) {
            struct actor actor = actor_spawn(&f->world);
            const uint64_t arguments[3] = {0, 0, 0};
            assert_says(actor_trap(&actor, import->module, import->name, arguments, 3),
                        "SQLite is not available");
        }
    }
    assert_says(TRAP(&f->actor, "lunatic::sqlite", "open", FAKE_MEMORY_SIZE, 1, 0),
                "out of bounds");
}

static void the_version_is_lunatics(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(CALL(&f->actor, "lunatic::version", "major"), 0);
    assert_int_equal(CALL(&f->actor, "lunatic::version", "minor"), 13);
    assert_int_equal(CALL(&f->actor, "lunatic::version", "patch"), 2);
}

static void catch_gives_what_the_export_gives_or_0(void **state)
{
    struct fixture *f = *state;
    fake_nested.is_ok = true;
    fake_nested.value = 77;
    assert_int_equal(CALL(&f->actor, "lunatic::trap", "catch", 5, 0xFFFFFFFF), 77);
    assert_string_equal(fake_nested.name, "_lunatic_catch_trap");
    assert_int_equal(fake_nested.count, 2);
    assert_int_equal(fake_nested.arguments[0], 5);
    assert_int_equal(fake_nested.arguments[1], 0xFFFFFFFF);
    fake_nested.is_ok = false;
    assert_int_equal(CALL(&f->actor, "lunatic::trap", "catch", 5, 6), 0);
    fake_nested.is_missing = true;
    assert_says(TRAP(&f->actor, "lunatic::trap", "catch", 5, 6), "_lunatic_catch_trap");
    fake_nested.is_missing = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sqlite_answers_or_traps_that_it_is_not_there, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_version_is_lunatics, setup, teardown),
        cmocka_unit_test_setup_teardown(catch_gives_what_the_export_gives_or_0, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
