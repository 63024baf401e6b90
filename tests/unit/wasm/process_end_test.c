/* How guests end and what is told of it; and that what they did last is done. The node is
 * unharmed by all. */
#include "process_world.h"

#define GUEST PD_TEST_GUEST_DIR "/process_end.wasm"

struct expected {
    const char *function;
    enum pd_exit_reason reason;
    const char *text; /* is in it */
};

static void expect(struct world *world, struct pd_rights *rights, const struct expected *expected)
{
    uint64_t pid = world_start_with(world, rights, expected->function, 0);
    const struct ended *ended = world_await(world, pid);
    if (ended->reason != expected->reason || strstr(ended->text, expected->text) == NULL) {
        fail_msg("%s: %s \"%s\"", expected->function, pd_exit_reason_text(ended->reason),
                 ended->text);
    }
    assert_true(expected->text[0] != '\0' || ended->text[0] == '\0');
}

static void every_end_has_its_reason(void **state)
{
    (void)state;
    static const struct expected ends[] = {
        {"returns", PD_EXIT_NORMAL, ""},
        {"exits_0", PD_EXIT_NORMAL, ""},
        {"exits_3", PD_EXIT_FAILURE, "exited with code 3"},
        {"traps", PD_EXIT_FAILURE, "unreachable"},
        {"divides", PD_EXIT_FAILURE, "divide by zero"},
        {"oversteps", PD_EXIT_FAILURE, "out of bounds memory access"},
        {"overflows", PD_EXIT_FAILURE, "call stack exhausted"},
        {"misdirects", PD_EXIT_FAILURE, "out of bounds"},
        {"no such function", PD_EXIT_FAILURE, "exports no function"},
        {"kills_itself", PD_EXIT_KILLED, ""},
        {"shuts_itself_down", PD_EXIT_SHUTDOWN, "why not"},
        {"asks_itself_in_vain", PD_EXIT_NORMAL, ""},
        {"fails_itself", PD_EXIT_FAILURE, "why not"},
        {"traps_its_exit", PD_EXIT_NORMAL, ""},
        {"fills_itself", PD_EXIT_FAILURE, "its own mailbox is full"},
    };
    struct world *world = world_open(GUEST, 8);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
            expect(world, world->rights, &ends[i]);
        }
    }
    world_close(world);
}

static void limits_end_one_actor_alone(void **state)
{
    (void)state;
    struct world *world = world_open(GUEST, 8);
    struct pd_rights *poor = pd_rights_create(world->program.files, 5 * 65536, 2);
    static const struct expected fuel = {"spins", PD_EXIT_FUEL, "fuel"};
    static const struct expected grown = {"grows", PD_EXIT_NORMAL, ""};
    static const struct expected denied = {"spawns", PD_EXIT_DENIED, "permission denied"};
    uint64_t neighbour = world_start(world, "takes_slowly", 1);
    for (int round = 0; round < 5; round++) {
        expect(world, poor, &fuel);
        expect(world, poor, &denied);
        expect(world, poor, &grown);
    }
    uint64_t pid = world_start_with(world, poor, "grows", 0);
    assert_int_equal(world_await(world, pid)->memory_size, 5 * 65536);
    pd_rights_release(poor);
    /* Less than the module begins with. */
    struct pd_rights *poorest = pd_rights_create(world->program.files, 65535, 0);
    const struct pd_wasm_spawn spawn = {
        .environment = world->program.environment,
        .module = world->module,
        .rights = poorest,
        .entry = {.function = "returns", .function_size = 7},
    };
    struct pd_wasm_process *process = NULL;
    assert_int_equal(pd_wasm_process_create(&world->program.system, &spawn, &process),
                     PD_ERR_NO_MEMORY);
    pd_rights_release(poorest);
    assert_int_equal(atomic_load(&world->ended[neighbour].count), 0);
    assert_true(pd_mailbox_exists(world->program.environment, neighbour));
    world_close(world);
}

static void what_was_sent_before_the_end_arrives(void **state)
{
    (void)state;
    struct world *world = world_open(GUEST, 1);
    for (int round = 0; round < 10; round++) {
        uint64_t taker = world_start(world, "takes_slowly", 3);
        uint64_t sender = world_start(world, "sends_and_ends", taker);
        assert_int_equal(world_await(world, sender)->reason, PD_EXIT_NORMAL);
        assert_int_equal(world_await(world, taker)->reason, PD_EXIT_NORMAL);
    }
    world_close(world);
}

static void a_late_answer_is_dropped(void **state)
{
    (void)state;
    struct world *world = world_open(GUEST, 8);
    uint64_t server = world_start(world, "answers", 0);
    const struct ended *ended = world_await(world, world_start(world, "calls", server));
    assert_string_equal(ended->text, "");
    assert_int_equal(ended->reason, PD_EXIT_NORMAL);
    assert_int_equal(world_await(world, server)->reason, PD_EXIT_NORMAL);
    world_close(world);
}

/* A kill comes where a turn ends, so a guest that yields must know that none ends soon after: each
 * of these loops takes more than half a slice of fuel. */
static void after_a_yield_comes_a_whole_turn(void **state)
{
    (void)state;
    static const char source[] =
        "(module (import \"wasi_snapshot_preview1\" \"sched_yield\" (func $yield (result i32)))"
        "(memory (export \"memory\") 1)"
        "(func (export \"yields\") (param i64) (local i32)"
        "  (loop $again"
        "    (drop (call $yield))"
        "    (local.set 1 (i32.const 10000))"
        "    (loop $work (br_if $work (local.tee 1 (i32.sub (local.get 1) (i32.const 1)))))"
        "    (br_if $again (i64.ne (i64.const 0)"
        "                          (local.tee 0 (i64.sub (local.get 0) (i64.const 1))))))))";
    struct world *world = world_open(source, 8);
    const struct ended *ended = world_await(world, world_start(world, "yields", 100));
    assert_string_equal(ended->text, "");
    assert_int_equal(ended->slice_count, 101);
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_end_has_its_reason),
        cmocka_unit_test(limits_end_one_actor_alone),
        cmocka_unit_test(what_was_sent_before_the_end_arrives),
        cmocka_unit_test(a_late_answer_is_dropped),
        cmocka_unit_test(after_a_yield_comes_a_whole_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
