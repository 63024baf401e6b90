/* What hardly needs a test of its own. */
#include "abi_actor.h"

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
        cmocka_unit_test_setup_teardown(the_version_is_lunatics, setup, teardown),
        cmocka_unit_test_setup_teardown(catch_gives_what_the_export_gives_or_0, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
