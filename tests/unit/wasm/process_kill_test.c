/* Guests that are killed in the middle of whatever they wait for, their memory and stack reused
 * at once. */
#include <unistd.h>

#include "process_world.h"

/* Every function has one parameter: a pid, or nothing. */
static const char guest_wat[] =
    "(module\n"
    "  (import \"lunatic::message\" \"create_data\" (func $create_data (param i64 i64)))\n"
    "  (import \"lunatic::message\" \"send\" (func $send (param i64) (result i32)))\n"
    "  (import \"lunatic::message\" \"send_receive_skip_search\"\n"
    "    (func $request (param i64 i64 i64) (result i32)))\n"
    "  (import \"lunatic::message\" \"receive\" (func $receive (param i32 i32 i64) (result i32)))\n"
    "  (import \"lunatic::process\" \"sleep_ms\" (func $sleep (param i64)))\n"
    "  (import \"lunatic::process\" \"get_or_spawn\" (func $get_or_spawn\n"
    "    (param i32 i32 i64 i64 i64 i32 i32 i32 i32 i32 i32) (result i32)))\n"
    "  (import \"lunatic::registry\" \"get_or_put_later\"\n"
    "    (func $hold (param i32 i32 i32 i32) (result i32)))\n"
    "  (import \"lunatic::trap\" \"catch\" (func $catch (param i32 i32) (result i32)))\n"
    "  (import \"pando::process\" \"call\" (func $call (param i64 i64) (result i32)))\n"
    "  (import \"wasi_snapshot_preview1\" \"fd_read\"\n"
    "    (func $fd_read (param i32 i32 i32 i32) (result i32)))\n"
    "  (import \"wasi_snapshot_preview1\" \"poll_oneoff\"\n"
    "    (func $poll (param i32 i32 i32 i32) (result i32)))\n"
    "  (memory (export \"memory\") 1)\n"
    "  (data (i32.const 16) \"held\")\n"
    "  (func $forever (drop (call $receive (i32.const 0) (i32.const 0) (i64.const -1))))\n"
    "  (func (export \"receive\") (param i64) (call $forever))\n"
    "  (func (export \"receive_tagged\") (param i64)\n"
    "    (i64.store (i32.const 0) (i64.const 7))\n"
    "    (drop (call $receive (i32.const 0) (i32.const 1) (i64.const 1000000))))\n"
    "  (func (export \"sleep\") (param i64) (call $sleep (i64.const 1000000)))\n"
    "  (func (export \"send\") (param $pid i64)\n"
    "    (loop $l (call $create_data (i64.const 1) (i64.const 0))\n"
    "      (drop (call $send (local.get $pid))) (br $l)))\n"
    "  (func (export \"request\") (param $pid i64)\n"
    "    (call $create_data (i64.const 1) (i64.const 0))\n"
    "    (drop (call $request (local.get $pid) (i64.const 3) (i64.const -1))))\n"
    "  (func (export \"call\") (param $pid i64)\n"
    "    (call $create_data (i64.const 1) (i64.const 0))\n"
    "    (drop (call $call (local.get $pid) (i64.const -1))))\n"
    "  (func (export \"hold\") (param i64)\n"
    "    (drop (call $hold (i32.const 16) (i32.const 4) (i32.const 32) (i32.const 40)))\n"
    "    (call $forever))\n"
    "  (func (export \"get_or_spawn\") (param i64)\n"
    "    (drop (call $get_or_spawn (i32.const 16) (i32.const 4) (i64.const 0) (i64.const -1)\n"
    "      (i64.const -1) (i32.const 16) (i32.const 4) (i32.const 0) (i32.const 0)\n"
    "      (i32.const 32) (i32.const 40))))\n"
    "  (func (export \"read\") (param i64)\n"
    "    (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 60000))\n"
    "    (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))))\n"
    "  (func (export \"poll\") (param i64)\n"
    "    (i32.store8 (i32.const 8) (i32.const 1))\n"
    "    (i32.store (i32.const 16) (i32.const 0))\n"
    "    (drop (call $poll (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 512))))\n"
    "  (func (export \"_lunatic_catch_trap\") (param i32 i32) (result i32)\n"
    "    (if (i32.eqz (local.get 0)) (then (call $forever)))\n"
    "    (call $catch (i32.sub (local.get 0) (i32.const 1)) (i32.const 0)))\n"
    "  (func (export \"catch\") (param i64) (drop (call $catch (i32.const 3) (i32.const 0))))\n"
    "  (func (export \"spin\") (param i64) (loop $l (br $l)))\n"
    "  ;; The next owner of memory and stack: all zero but its own data, and what it writes "
    "stays.\n"
    "  (func (export \"fresh\") (param i64) (local $at i32)\n"
    "    (local.set $at (i32.const 64))\n"
    "    (loop $l\n"
    "      (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then unreachable))\n"
    "      (i64.store (local.get $at) (i64.const 0x5555555555555555))\n"
    "      (local.set $at (i32.add (local.get $at) (i32.const 8)))\n"
    "      (br_if $l (i32.lt_u (local.get $at) (i32.const 65536))))\n"
    "    (call $sleep (i64.const 1))\n"
    "    (local.set $at (i32.const 64))\n"
    "    (loop $l\n"
    "      (if (i64.ne (i64.load (local.get $at)) (i64.const 0x5555555555555555))\n"
    "        (then unreachable))\n"
    "      (local.set $at (i32.add (local.get $at) (i32.const 8)))\n"
    "      (br_if $l (i32.lt_u (local.get $at) (i32.const 65536))))))\n";

#define AT_ONCE 12u

struct waiting_call {
    const char *function;
    const char *waits_in; /* NULL: it does not wait */
    bool is_at_peer; /* its parameter is a process with a full mailbox, or one that never answers */
};

static void kill_all_in(struct world *world, const struct waiting_call *call)
{
    uint64_t peer = 0;
    if (call->is_at_peer) {
        peer = world_start(world, "sleep", 0);
        world_await_call(world, peer, "sleep_ms");
    }
    uint64_t pids[AT_ONCE];
    for (uint32_t i = 0; i < AT_ONCE; i++) {
        pids[i] = world_start(world, call->function, peer);
    }
    for (uint32_t i = 0; i < AT_ONCE; i++) {
        if (call->waits_in != NULL) {
            world_await_call(world, pids[i], call->waits_in);
        }
    }
    uint64_t fresh[AT_ONCE];
    for (uint32_t i = 0; i < AT_ONCE; i++) {
        world_kill(world, pids[i]);
        fresh[i] = world_start(world, "fresh", 0);
    }
    for (uint32_t i = 0; i < AT_ONCE; i++) {
        assert_int_equal(world_await(world, pids[i])->reason, PD_EXIT_KILLED);
        const struct ended *ended = world_await(world, fresh[i]);
        assert_string_equal(ended->text, "");
        assert_int_equal(ended->reason, PD_EXIT_NORMAL);
    }
    if (call->is_at_peer) { /* the receiver did not suffer */
        assert_true(pd_mailbox_exists(world->program.environment, peer));
        struct pd_mailbox_view view;
        assert_int_equal(pd_mailbox_look(world->program.environment, peer, &view, NULL, NULL),
                         PD_OK);
        assert_int_equal(view.sender_count, 0);
        world_kill(world, peer);
        (void)world_await(world, peer);
    }
}

static void in_every_call_that_waits(void **state)
{
    (void)state;
    static const struct waiting_call calls[] = {
        {"receive", "receive", false},
        {"receive_tagged", "receive", false},
        {"sleep", "sleep_ms", false},
        {"send", "send", true},
        {"request", "send_receive_skip_search", true},
        {"call", "call", true},
        {"get_or_spawn", "get_or_spawn", false},
        {"read", "fd_read", false},
        {"poll", "poll_oneoff", false},
        {"catch", "receive", false},
        {"spin", NULL, false},
    };
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    int before = dup(STDIN_FILENO);
    assert_true(dup2(ends[0], STDIN_FILENO) >= 0);
    struct world *world = world_open(guest_wat, 16);
    uint64_t holder = world_start(world, "hold", 0);
    world_await_call(world, holder, "receive");
    for (uint32_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
            kill_all_in(world, &calls[i]);
        }
    }
    world_close(world);
    assert_true(dup2(before, STDIN_FILENO) >= 0);
    (void)close(before);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void the_program_ends_while_all_of_them_wait(void **state)
{
    (void)state;
    static const char *const functions[] = {"receive",      "receive_tagged", "sleep", "hold",
                                            "get_or_spawn", "catch",          "spin"};
    struct world *world = world_open(guest_wat, 16);
    for (uint32_t i = 0; i < 70; i++) {
        (void)world_start(world, functions[i % 7], 0);
    }
    uint64_t full = world_start(world, "receive_tagged", 0);
    for (uint32_t i = 0; i < 20; i++) {
        (void)world_start(world, i % 2 == 0 ? "send" : "call", full);
    }
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_every_call_that_waits),
        cmocka_unit_test(the_program_ends_while_all_of_them_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
