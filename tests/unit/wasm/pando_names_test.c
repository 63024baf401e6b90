/* pando::registry and pando::group: every answer, every limit, and broadcasts in turns. */
#include "abi_actor.h"

#define REGISTRY "pando::registry"
#define GROUP "pando::group"
#define NAME 100
#define OUT 200
#define TIMED_OUT 9027u

struct fixture {
    struct world world;
    struct actor a;
    struct actor b;
    struct actor c;
    char text[100];
};

static void open_with(void **state, const struct pd_runtime_config *config)
{
    struct fixture *f = calloc(1, sizeof *f);
    world_open(&f->world, config);
    f->a = actor_spawn(&f->world);
    f->b = actor_spawn(&f->world);
    f->c = actor_spawn(&f->world);
    *state = f;
}

static int setup(void **state)
{
    struct pd_runtime_config config = world_config();
    open_with(state, &config);
    return 0;
}

static int setup_large(void **state)
{
    struct pd_runtime_config config = world_config();
    config.processes_max = 4096;
    config.names_max = 4096;
    open_with(state, &config);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    world_close(&f->world);
    free(f);
    return 0;
}

static void kill_actor(struct actor *actor)
{
    assert_int_equal(pd_mailbox_kill(actor->world->environment, actor->pid, PD_EXIT_KILLED, NULL),
                     PD_OK);
    world_pass(actor->world, MS);
    assert_false(actor_lives(actor));
}

/* --- Registry --------------------------------------------------------------------------------- */

static uint64_t reg(struct actor *actor, const char *name, uint64_t pid)
{
    return CALL(actor, REGISTRY, "register", NAME, actor_put(actor, NAME, name), pid);
}

static uint64_t whereis(struct actor *actor, const char *name)
{
    uint64_t answer = CALL(actor, REGISTRY, "whereis", NAME, actor_put(actor, NAME, name), OUT);
    return answer == 0 ? actor_u64(actor, OUT) : 0;
}

static void names_are_registered_once(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(reg(&f->a, "leader", f->b.pid), 0);
    assert_int_equal(reg(&f->c, "leader", f->c.pid), 1);
    assert_int_equal(whereis(&f->c, "leader"), f->b.pid);
    assert_int_equal(reg(&f->a, "nobody", 250), 2);
    assert_int_equal(whereis(&f->a, "nobody"), 0);
    uint32_t size = actor_put(&f->a, NAME, "leader");
    assert_int_equal(CALL(&f->a, REGISTRY, "unregister", NAME, size), 0);
    assert_int_equal(CALL(&f->a, REGISTRY, "unregister", NAME, size), 1);
    assert_int_equal(reg(&f->c, "leader", f->c.pid), 0);
    kill_actor(&f->c);
    assert_int_equal(whereis(&f->a, "leader"), 0);
    for (char i = 0; i < 16; i++) {
        const char name[2] = {(char)('a' + i), '\0'};
        assert_int_equal(reg(&f->a, name, f->b.pid), 0);
    }
    assert_int_equal(reg(&f->a, "one more", f->b.pid), 3);
}

static void a_held_name_is_taken(void **state)
{
    struct fixture *f = *state;
    uint32_t size = actor_put(&f->a, NAME, "db");
    assert_int_equal(CALL(&f->a, "lunatic::registry", "get_or_put_later", NAME, size, OUT, OUT), 1);
    assert_int_equal(reg(&f->b, "db", f->b.pid), 1);
    assert_int_equal(reg(&f->a, "db", f->a.pid), 0); /* its own hold becomes the name */
    assert_int_equal(whereis(&f->b, "db"), f->a.pid);
}

static void impossible_names_trap(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *module;
        const char *name;
    } functions[] = {
        {REGISTRY, "register"}, {REGISTRY, "whereis"}, {REGISTRY, "unregister"}, {GROUP, "join"},
        {GROUP, "leave"},       {GROUP, "members"},    {GROUP, "broadcast"},
    };
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        const char *module = functions[i].module;
        const char *name = functions[i].name;
        struct actor actor = actor_spawn(&f->world);
        assert_says(TRAP(&actor, module, name, 0, 0, 0, 0), "1 to 1024");
        actor = actor_spawn(&f->world);
        assert_says(TRAP(&actor, module, name, 0, PD_NAME_MAX + 1, 0, 0), "1 to 1024");
        actor = actor_spawn(&f->world);
        assert_says(TRAP(&actor, module, name, FAKE_MEMORY_SIZE - 1, 2, 0, 0), "out of bounds");
        actor = actor_spawn(&f->world);
        (void)actor_put(&actor, NAME, "\xC3(");
        assert_says(TRAP(&actor, module, name, NAME, 2, 0, 0), "UTF-8");
    }
    assert_int_equal(reg(&f->a, "x", f->a.pid), 0);
    assert_says(
        TRAP(&f->b, REGISTRY, "whereis", NAME, actor_put(&f->b, NAME, "x"), FAKE_MEMORY_SIZE - 7),
        "out of bounds");
}

/* --- Groups ----------------------------------------------------------------------------------- */

static uint64_t join(struct actor *actor, const char *name)
{
    return CALL(actor, GROUP, "join", NAME, actor_put(actor, NAME, name));
}

static uint64_t leave(struct actor *actor, const char *name)
{
    return CALL(actor, GROUP, "leave", NAME, actor_put(actor, NAME, name));
}

static uint64_t members(struct actor *actor, const char *name, uint32_t pids_max)
{
    memset(actor_memory(actor, OUT), 0xEE, 64);
    uint32_t size = actor_put(actor, NAME, name);
    return CALL(actor, GROUP, "members", NAME, size, OUT + 1, pids_max); /* unaligned */
}

static void members_join_and_leave(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(members(&f->a, "g", 8), 0);
    assert_int_equal(join(&f->b, "g"), 0);
    assert_int_equal(join(&f->b, "g"), 1);
    assert_int_equal(join(&f->a, "g"), 0);
    assert_int_equal(members(&f->c, "g", 8), 2);
    assert_int_equal(actor_u64(&f->c, OUT + 1), f->b.pid);
    assert_int_equal(actor_u64(&f->c, OUT + 9), f->a.pid);
    assert_int_equal(*actor_memory(&f->c, OUT + 17), 0xEE);
    assert_int_equal(members(&f->c, "g", 1), 2); /* there are more than fit */
    assert_int_equal(*actor_memory(&f->c, OUT + 9), 0xEE);
    assert_int_equal(members(&f->c, "g", 0), 2);
    assert_int_equal(leave(&f->b, "g"), 0);
    assert_int_equal(leave(&f->b, "g"), 1);
    assert_int_equal(leave(&f->c, "other"), 1);
    kill_actor(&f->a);
    assert_int_equal(members(&f->c, "g", 8), 0);
    for (char i = 0; i < 16; i++) {
        const char name[2] = {(char)('a' + i), '\0'};
        assert_int_equal(join(&f->c, name), 0);
    }
    assert_int_equal(join(&f->b, "full"), 3);
}

static void room_for_members_must_be_memory(void **state)
{
    struct fixture *f = *state;
    uint32_t size = actor_put(&f->a, NAME, "g");
    assert_says(TRAP(&f->a, GROUP, "members", NAME, size, OUT, 0x7FFFFFFF), "out of bounds");
    size = actor_put(&f->b, NAME, "g");
    assert_says(TRAP(&f->b, GROUP, "members", NAME, size, FAKE_MEMORY_SIZE - 8, 2),
                "out of bounds");
}

static uint64_t broadcast(struct actor *actor, const char *name, const char *text)
{
    actor_create_message(actor, 9, text);
    memset(actor_memory(actor, OUT), 0xEE, 8);
    return CALL(actor, GROUP, "broadcast", NAME, actor_put(actor, NAME, name), OUT);
}

static void a_broadcast_reaches_every_member(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(broadcast(&f->a, "g", "to nobody"), 0);
    assert_int_equal(pd_get_u32(actor_memory(&f->a, OUT)), 0);
    assert_null(actor_wasm(&f->a)->scratch); /* consumed all the same */
    (void)join(&f->a, "g");
    (void)join(&f->b, "g");
    assert_int_equal(broadcast(&f->a, "g", "to two"), 2);
    assert_int_equal(actor_receive(&f->b, f->text, sizeof f->text), 0);
    assert_string_equal(f->text, "to two");
    assert_int_equal(CALL(&f->b, "lunatic::message", "get_tag"), 9);
    assert_int_equal(actor_receive(&f->a, f->text, sizeof f->text), 0); /* itself too */
    assert_string_equal(f->text, "to two");
    assert_int_equal(actor_receive(&f->c, f->text, sizeof f->text), TIMED_OUT);
}

static void full_members_are_skipped_and_counted(void **state)
{
    struct fixture *f = *state;
    (void)join(&f->b, "g");
    (void)join(&f->c, "g");
    for (int i = 0; i < 8; i++) {
        actor_create_message(&f->a, 0, "fill");
        (void)CALL(&f->a, "lunatic::message", "send", f->b.pid);
    }
    assert_int_equal(broadcast(&f->a, "g", "news"), 1);
    assert_int_equal(pd_get_u32(actor_memory(&f->a, OUT)), 1);
    assert_int_equal(actor_receive(&f->c, f->text, sizeof f->text), 0);
    assert_string_equal(f->text, "news");
}

static void modules_travel_along(void **state)
{
    struct fixture *f = *state;
    (void)join(&f->b, "g");
    (void)CALL(&f->a, "lunatic::message", "create_data", 0, 0);
    memcpy(actor_memory(&f->a, OUT), "\0asm", 4);
    assert_int_equal(CALL(&f->a, "lunatic::process", "compile_module", OUT, 4, OUT + 8), 0);
    (void)CALL(&f->a, "lunatic::message", "push_module", actor_u64(&f->a, OUT + 8));
    assert_int_equal(CALL(&f->a, GROUP, "broadcast", NAME, actor_put(&f->a, NAME, "g"), OUT), 1);
    assert_int_equal(CALL(&f->b, "lunatic::message", "receive", 0, 0, 0), 0);
    (void)CALL(&f->b, "lunatic::message", "take_module", 0);
    /* A message whose module was taken already is sent on with the empty place. */
    (void)join(&f->c, "h");
    assert_int_equal(CALL(&f->b, GROUP, "broadcast", NAME, actor_put(&f->b, NAME, "h"), OUT), 1);
    assert_int_equal(CALL(&f->c, "lunatic::message", "receive", 0, 0, 0), 0);
    (void)TRAP(&f->c, "lunatic::message", "take_module", 0);
}

static void other_resources_cannot_be_copied(void **state)
{
    struct fixture *f = *state;
    (void)CALL(&f->a, "lunatic::message", "create_data", 0, 0);
    const struct pd_resource resource = {.kind = 99, .object = malloc(1), .release = free};
    uint32_t index = 0;
    assert_int_equal(pd_message_attach(actor_wasm(&f->a)->scratch, resource, &index), PD_OK);
    assert_says(TRAP(&f->a, GROUP, "broadcast", NAME, actor_put(&f->a, NAME, "g"), OUT),
                "cannot be copied");
}

static void a_broadcast_without_a_message_traps(void **state)
{
    struct fixture *f = *state;
    assert_says(TRAP(&f->a, GROUP, "broadcast", NAME, actor_put(&f->a, NAME, "g"), OUT),
                "no message");
    actor_create_message(&f->b, 0, "x");
    assert_says(
        TRAP(&f->b, GROUP, "broadcast", NAME, actor_put(&f->b, NAME, "g"), FAKE_MEMORY_SIZE - 3),
        "out of bounds");
}

#define MANY 2000

/* Many members: others run in between, and a kill midway leaks nothing. */
static void large_groups_take_turns(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < MANY; i++) {
        struct actor member = actor_spawn(&f->world);
        assert_int_equal(join(&member, "crowd"), 0);
    }
    actor_create_message(&f->a, 9, "all");
    BEGIN(&f->a, GROUP, "broadcast", NAME, actor_put(&f->a, NAME, "crowd"), OUT);
    assert_true(actor_is_waiting(&f->a));
    assert_int_equal(reg(&f->b, "in between", f->b.pid), 0);
    actor_finish(&f->a);
    assert_int_equal(actor_result(&f->a), MANY);

    actor_create_message(&f->b, 9, "cut off");
    BEGIN(&f->b, GROUP, "broadcast", NAME, actor_put(&f->b, NAME, "crowd"), OUT);
    assert_true(actor_is_waiting(&f->b));
    kill_actor(&f->b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_are_registered_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_held_name_is_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(impossible_names_trap, setup, teardown),
        cmocka_unit_test_setup_teardown(members_join_and_leave, setup, teardown),
        cmocka_unit_test_setup_teardown(room_for_members_must_be_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(a_broadcast_reaches_every_member, setup, teardown),
        cmocka_unit_test_setup_teardown(full_members_are_skipped_and_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(modules_travel_along, setup, teardown),
        cmocka_unit_test_setup_teardown(other_resources_cannot_be_copied, setup, teardown),
        cmocka_unit_test_setup_teardown(a_broadcast_without_a_message_traps, setup, teardown),
        cmocka_unit_test_setup_teardown(large_groups_take_turns, setup_large, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
