/* lunatic::distributed in a whole program on real threads: keys are made by helpers, and whoever
 * waits for one may die. */
#include "process_world.h"

/* Each function has one parameter, and traps when something is not as it must be. */
static const char guest_wat[] =
    "(module\n"
    "  (import \"lunatic::distributed\" \"nodes_count\" (func $count (result i32)))\n"
    "  (import \"lunatic::distributed\" \"node_id\" (func $node (result i64)))\n"
    "  (import \"lunatic::distributed\" \"module_id\" (func $module (result i64)))\n"
    "  (import \"lunatic::distributed\" \"test_root_cert\" (func $root (param i32) (result i32)))\n"
    "  (import \"lunatic::distributed\" \"spawn\" (func $spawn\n"
    "    (param i64 i64 i64 i32 i32 i32 i32 i32) (result i32)))\n"
    "  (import \"lunatic::distributed\" \"send_receive_skip_search\" (func $request\n"
    "    (param i64 i64 i64 i64) (result i32)))\n"
    "  (import \"lunatic::distributed\" \"send\" (func $send (param i64 i64) (result i32)))\n"
    "  (import \"lunatic::message\" \"create_data\" (func $create (param i64 i64)))\n"
    "  (import \"lunatic::message\" \"receive\" (func $receive (param i32 i32 i64) (result i32)))\n"
    "  (import \"lunatic::process\" \"process_id\" (func $self (result i64)))\n"
    "  (memory (export \"memory\") 1)\n"
    "  (data (i32.const 32) \"echo\")\n"
    "  (data (i32.const 64) \"\\7e\")\n"
    "  (func $expect (param i32) (if (i32.eqz (local.get 0)) (then unreachable)))\n"
    "  (func (export \"lunatic_alloc\") (param i32) (result i32) (i32.const 4096))\n"
    "  (func (export \"makes_a_root\") (param i64)\n"
    "    (call $expect (i32.eq (call $root (i32.const 8)) (i32.const 4096)))\n"
    "    (call $expect (i64.gt_u (i64.load (i32.const 8)) (i64.const 500))))\n"
    "  (func (export \"echo\") (param $to i64)\n"
    "    (call $expect (i32.eqz (call $receive (i32.const 0) (i32.const 0) (i64.const -1))))\n"
    "    (call $create (i64.const 7) (i64.const 0))\n"
    "    (drop (call $send (call $node) (local.get $to))))\n"
    "  (func (export \"asks_its_node\") (param i64)\n"
    "    (call $expect (i32.eq (call $count) (i32.const 1)))\n"
    "    (i64.store (i32.const 65) (call $self))\n"
    "    (call $expect (i32.eqz (call $spawn (call $node) (i64.const -1) (call $module)\n"
    "      (i32.const 32) (i32.const 4) (i32.const 64) (i32.const 17) (i32.const 8))))\n"
    "    (call $create (i64.const 5) (i64.const 0))\n"
    "    (call $expect (i32.eqz (call $request (call $node) (i64.load (i32.const 8))\n"
    "      (i64.const 7) (i64.const -1)))))\n"
    "  (func (export \"waits\") (param i64)\n"
    "    (call $create (i64.const 5) (i64.const 0))\n"
    "    (drop (call $request (call $node) (call $self) (i64.const 7) (i64.const -1)))))\n";

#define AT_ONCE 8u

static void all_end_well(struct world *world, const char *function)
{
    uint64_t pids[AT_ONCE];
    for (uint32_t i = 0; i < AT_ONCE; i++) {
        pids[i] = world_start(world, function, 0);
    }
    for (uint32_t i = 0; i < AT_ONCE; i++) {
        const struct ended *ended = world_await(world, pids[i]);
        assert_string_equal(ended->text, "");
        assert_int_equal(ended->reason, PD_EXIT_NORMAL);
    }
}

static void a_node_serves_itself(void **state)
{
    (void)state;
    struct world *world = world_open(guest_wat, 8);
    for (int round = 0; round < 3; round++) {
        all_end_well(world, "asks_its_node");
        all_end_well(world, "makes_a_root");
    }
    world_close(world);
}

static void whoever_waits_can_be_killed(void **state)
{
    (void)state;
    struct world *world = world_open(guest_wat, 8);
    for (int round = 0; round < 3; round++) {
        uint64_t makers[AT_ONCE];
        for (uint32_t i = 0; i < AT_ONCE; i++) {
            makers[i] = world_start(world, "makes_a_root", 0);
        }
        uint64_t waiter = world_start(world, "waits", 0);
        world_await_call(world, waiter, "send_receive_skip_search");
        world_kill(world, waiter);
        assert_int_equal(world_await(world, waiter)->reason, PD_EXIT_KILLED);
        for (uint32_t i = 0; i < AT_ONCE; i++) { /* some have ended by themselves */
            enum pd_status status =
                pd_mailbox_kill(world->program.environment, makers[i], PD_EXIT_KILLED, NULL);
            assert_true(status == PD_OK || status == PD_ERR_UNKNOWN);
        }
        for (uint32_t i = 0; i < AT_ONCE; i++) {
            enum pd_exit_reason reason = world_await(world, makers[i])->reason;
            assert_true(reason == PD_EXIT_KILLED || reason == PD_EXIT_NORMAL);
        }
    }
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_serves_itself),
        cmocka_unit_test(whoever_waits_can_be_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
