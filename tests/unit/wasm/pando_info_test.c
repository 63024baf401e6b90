/* pando::info: what a process learns about itself. */
#include "abi_actor.h"

#define INFO "pando::info"

static void a_process_knows_its_figures(void **state)
{
    (void)state;
    struct world world;
    struct pd_runtime_config config = world_config();
    world_open(&world, &config);
    struct pd_rights *rights = world_rights(&world);
    rights->fuel_portions_max = 3;
    struct actor actor = actor_spawn_with(&world, rights);
    pd_rights_release(rights);
    assert_int_equal(CALL(&actor, INFO, "fuel_used"), 12345);
    assert_int_equal(CALL(&actor, INFO, "fuel_limit"), 300000);
    assert_int_equal(CALL(&actor, INFO, "memory_size"), FAKE_MEMORY_SIZE);
    assert_int_equal(CALL(&actor, INFO, "memory_limit"), WORLD_MEMORY_MAX);
    assert_int_equal(CALL(&actor, INFO, "process_count"), 1);
    struct actor other = actor_spawn(&world);
    assert_int_equal(CALL(&actor, INFO, "process_count"), 2);
    assert_int_equal(CALL(&other, INFO, "fuel_limit"), 0); /* unlimited */

    assert_int_equal(CALL(&actor, INFO, "message_count"), 0);
    for (int i = 0; i < 3; i++) {
        actor_create_message(&other, 0, "x");
        (void)CALL(&other, "lunatic::message", "send", actor.pid);
    }
    assert_int_equal(CALL(&actor, INFO, "message_count"), 3);
    assert_int_equal(CALL(&actor, "lunatic::message", "receive", 0, 0, 0), 0);
    assert_int_equal(CALL(&actor, INFO, "message_count"), 2);
    assert_int_equal(CALL(&actor, INFO, "received"), 3);

    uint64_t before = CALL(&actor, INFO, "now_ns");
    world_pass(&world, 5 * MS);
    uint64_t after = CALL(&actor, INFO, "now_ns");
    assert_true(after >= before + 5 * MS);
    world_close(&world);
}

static void a_limit_that_cannot_be_counted_is_none(void **state)
{
    (void)state;
    struct world world;
    struct pd_runtime_config config = world_config();
    world_open(&world, &config);
    struct pd_rights *rights = world_rights(&world);
    rights->fuel_portions_max = UINT64_MAX;
    struct actor actor = actor_spawn_with(&world, rights);
    pd_rights_release(rights);
    assert_int_equal(CALL(&actor, INFO, "fuel_limit"), 0);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_knows_its_figures),
        cmocka_unit_test(a_limit_that_cannot_be_counted_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
