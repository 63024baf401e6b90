/* lunatic::registry: put, get, remove, and the name that is held until its put. */
#include "abi_actor.h"

#define REGISTRY "lunatic::registry"
#define NAME 100
#define NODE_AT 200
#define PID_AT 208
#define FOUND 0
#define ABSENT 1

struct fixture {
    struct world world;
    struct actor a;
    struct actor b;
    struct actor c;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct pd_runtime_config config = world_config();
    world_open(&f->world, &config);
    f->a = actor_spawn(&f->world);
    f->b = actor_spawn(&f->world);
    f->c = actor_spawn(&f->world);
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

static void put(struct actor *actor, const char *name, uint64_t node, uint64_t pid)
{
    uint32_t size = actor_put(actor, NAME, name);
    (void)CALL(actor, REGISTRY, "put", NAME, size, node, pid);
}

static uint64_t get(struct actor *actor, const char *name)
{
    uint32_t size = actor_put(actor, NAME, name);
    memset(actor_memory(actor, NODE_AT), 0xEE, 16);
    return CALL(actor, REGISTRY, "get", NAME, size, NODE_AT, PID_AT);
}

static void ask_to_put_later(struct actor *actor, const char *name)
{
    uint32_t size = actor_put(actor, NAME, name);
    BEGIN(actor, REGISTRY, "get_or_put_later", NAME, size, NODE_AT, PID_AT);
}

static void kill_actor(struct actor *actor)
{
    assert_int_equal(pd_mailbox_kill(actor->world->environment, actor->pid, PD_EXIT_KILLED, NULL),
                     PD_OK);
    world_pass(actor->world, MS);
    assert_false(actor_lives(actor));
}

static void names_are_found_overwritten_and_removed(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(get(&f->a, "printer"), ABSENT);
    assert_int_equal(actor_u64(&f->a, PID_AT), 0xEEEEEEEEEEEEEEEEu); /* untouched */
    put(&f->a, "printer", 7, f->b.pid);
    assert_int_equal(get(&f->c, "printer"), FOUND);
    assert_int_equal(actor_u64(&f->c, NODE_AT), 7);
    assert_int_equal(actor_u64(&f->c, PID_AT), f->b.pid);
    put(&f->c, "printer", 0, f->c.pid);
    assert_int_equal(get(&f->a, "printer"), FOUND);
    assert_int_equal(actor_u64(&f->a, NODE_AT), 0);
    assert_int_equal(actor_u64(&f->a, PID_AT), f->c.pid);
    uint32_t size = actor_put(&f->b, NAME, "printer");
    (void)CALL(&f->b, REGISTRY, "remove", NAME, size);
    (void)CALL(&f->b, REGISTRY, "remove", NAME, size); /* absent: nothing */
    assert_int_equal(get(&f->a, "printer"), ABSENT);
}

static void a_name_goes_with_its_process(void **state)
{
    struct fixture *f = *state;
    put(&f->a, "mortal", 0, f->b.pid);
    kill_actor(&f->b);
    assert_int_equal(get(&f->a, "mortal"), ABSENT);
    put(&f->a, "ghost", 0, f->b.pid); /* dead already: no error, no name */
    assert_int_equal(get(&f->a, "ghost"), ABSENT);
}

static void only_utf8_names_of_a_sane_size(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = {"\xC0\x80", "\xED\xA0\x80", "\xFF", "ok\xC3",
                                      "\xF5\x80\x80\x80"};
    static const char *const names[] = {"get", "put", "remove", "get_or_put_later"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        for (size_t j = 0; j < sizeof names / sizeof names[0]; j++) {
            struct actor actor = actor_spawn(&f->world);
            uint32_t size = actor_put(&actor, NAME, bad[i]);
            assert_says(TRAP(&actor, REGISTRY, names[j], NAME, size, NODE_AT, PID_AT), "UTF-8");
        }
    }
    struct actor actor = actor_spawn(&f->world);
    assert_says(TRAP(&actor, REGISTRY, "put", NAME, 0, 0, actor.pid), "1 to 1024");
    actor = actor_spawn(&f->world);
    memset(actor_memory(&actor, 0), 'n', PD_NAME_MAX + 1);
    (void)CALL(&actor, REGISTRY, "put", 0, PD_NAME_MAX, 0, actor.pid);
    assert_int_equal(CALL(&actor, REGISTRY, "get", 0, PD_NAME_MAX, 2000, 2008), FOUND);
    assert_int_equal(CALL(&actor, REGISTRY, "get", 0, PD_NAME_MAX + 1, 2000, 2008), ABSENT);
    (void)CALL(&actor, REGISTRY, "remove", 0, PD_NAME_MAX + 1);
    assert_says(TRAP(&actor, REGISTRY, "get_or_put_later", 0, PD_NAME_MAX + 1, 2000, 2008),
                "1025 bytes");
}

static void pointers_out_of_bounds_trap(void **state)
{
    struct fixture *f = *state;
    put(&f->a, "x", 0, f->a.pid);
    struct actor actor = actor_spawn(&f->world);
    assert_says(TRAP(&actor, REGISTRY, "get", FAKE_MEMORY_SIZE - 1, 2, 0, 8), "out of bounds");
    actor = actor_spawn(&f->world);
    uint32_t size = actor_put(&actor, NAME, "x");
    assert_says(TRAP(&actor, REGISTRY, "get", NAME, size, FAKE_MEMORY_SIZE - 7, 0), "node id");
    actor = actor_spawn(&f->world);
    size = actor_put(&actor, NAME, "x");
    assert_says(TRAP(&actor, REGISTRY, "get", NAME, size, 0, 0xFFFFFFFF), "process id");
    static const char *const names[] = {"put", "remove", "get_or_put_later"};
    for (size_t i = 0; i < 3; i++) {
        actor = actor_spawn(&f->world);
        assert_says(TRAP(&actor, REGISTRY, names[i], FAKE_MEMORY_SIZE - 1, 2, 0, 8),
                    "name: pointer out of bounds");
        actor = actor_spawn(&f->world);
        assert_says(TRAP(&actor, REGISTRY, names[i], 0xFFFFFFFF, 0xFFFFFFFF, 0, 8),
                    "name: pointer out of bounds");
    }
    actor = actor_spawn(&f->world);
    size = actor_put(&actor, NAME, "x");
    assert_says(TRAP(&actor, REGISTRY, "get_or_put_later", NAME, size, FAKE_MEMORY_SIZE - 7, 0),
                "node id");
}

static void a_full_registry_traps_with_its_limit(void **state)
{
    struct fixture *f = *state;
    for (char i = 0; i < 16; i++) {
        const char name[2] = {(char)('a' + i), '\0'};
        put(&f->a, name, 0, f->b.pid);
    }
    put(&f->a, "a", 0, f->c.pid); /* replacing needs no room */
    uint32_t size = actor_put(&f->a, NAME, "q");
    assert_says(TRAP(&f->a, REGISTRY, "put", NAME, size, 0, f->b.pid), "full (16 names)");
}

static void who_asks_second_waits_for_the_put(void **state)
{
    struct fixture *f = *state;
    ask_to_put_later(&f->a, "db");
    assert_int_equal(actor_result(&f->a), ABSENT);
    ask_to_put_later(&f->b, "db");
    ask_to_put_later(&f->c, "db");
    world_pass(&f->world, 100 * MS);
    assert_true(actor_is_waiting(&f->b));
    assert_true(actor_is_waiting(&f->c));
    ask_to_put_later(&f->a, "db"); /* its own hold does not make it wait */
    assert_int_equal(actor_result(&f->a), ABSENT);
    put(&f->a, "db", 3, f->a.pid);
    actor_finish(&f->b);
    actor_finish(&f->c);
    assert_int_equal(actor_result(&f->b), FOUND);
    assert_int_equal(actor_u64(&f->b, NODE_AT), 3);
    assert_int_equal(actor_u64(&f->b, PID_AT), f->a.pid);
    assert_int_equal(actor_result(&f->c), FOUND);
}

static void who_waits_inherits_from_a_holder_that_dies(void **state)
{
    struct fixture *f = *state;
    ask_to_put_later(&f->a, "db");
    ask_to_put_later(&f->b, "db");
    kill_actor(&f->a);
    actor_finish(&f->b);
    assert_int_equal(actor_result(&f->b), ABSENT); /* now it is b's to put */
    ask_to_put_later(&f->c, "db");
    assert_true(actor_is_waiting(&f->c));
    assert_int_equal(get(&f->b, "db"), ABSENT); /* a plain look never waits */
    kill_actor(&f->b);
    actor_finish(&f->c);
    assert_int_equal(actor_result(&f->c), ABSENT);
}

static void a_kill_while_waiting_leaves_nothing_behind(void **state)
{
    struct fixture *f = *state;
    ask_to_put_later(&f->a, "db");
    ask_to_put_later(&f->b, "db");
    ask_to_put_later(&f->c, "db");
    kill_actor(&f->b);
    assert_int_equal(f->world.environment->registry.waiters.count, 1);
    put(&f->a, "db", 0, f->a.pid);
    actor_finish(&f->c);
    assert_int_equal(actor_result(&f->c), FOUND);
    assert_int_equal(f->world.environment->registry.waiters.count, 0);
    kill_actor(&f->a);
    assert_int_equal(f->world.environment->registry.names.count, 0);
}

static void a_name_that_cannot_be_held_traps(void **state)
{
    struct fixture *f = *state;
    for (char i = 0; i < 16; i++) {
        const char name[2] = {(char)('a' + i), '\0'};
        put(&f->b, name, 0, f->b.pid);
    }
    uint32_t size = actor_put(&f->a, NAME, "q");
    assert_says(TRAP(&f->a, REGISTRY, "get_or_put_later", NAME, size, NODE_AT, PID_AT),
                "get_or_put_later");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_are_found_overwritten_and_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_name_goes_with_its_process, setup, teardown),
        cmocka_unit_test_setup_teardown(only_utf8_names_of_a_sane_size, setup, teardown),
        cmocka_unit_test_setup_teardown(pointers_out_of_bounds_trap, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_registry_traps_with_its_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(who_asks_second_waits_for_the_put, setup, teardown),
        cmocka_unit_test_setup_teardown(who_waits_inherits_from_a_holder_that_dies, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_kill_while_waiting_leaves_nothing_behind, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_name_that_cannot_be_held_traps, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
