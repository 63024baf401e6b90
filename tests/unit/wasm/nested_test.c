/* Host functions that call the guest back: what the inner call may do, and death at each of its
 * points. */
#include <malloc.h>

#include "guest_world.h"

/* _catch(kind, value) does what `kind` says. */
static const char module_text[] =
    "(module"
    "(import \"t\" \"report\" (func $report (param i32)))"
    "(import \"t\" \"take\" (func $take (result i32)))"
    "(import \"t\" \"hold\" (func $hold (result i32)))"
    "(import \"t\" \"take_deferred\" (func $take_deferred (result i32)))"
    "(import \"t\" \"trap\" (func $trap (param i32)))"
    "(import \"t\" \"exit\" (func $exit (param i32)))"
    "(import \"t\" \"catch\" (func $catch (param i32 i32) (result i32)))"
    "(import \"t\" \"catch_deferred\" (func $catch_deferred (param i32 i32) (result i32)))"
    "(import \"t\" \"twice\" (func $twice (result i32)))"
    "(import \"t\" \"block\" (func $block (param i32) (result i32)))"
    "(memory (export \"memory\") 1)"
    "(global $count (mut i32) (i32.const 0))"
    "(func $deep (call $deep))"
    "(func $spin (loop $l (br $l)))"
    "(func (export \"_catch\") (param $kind i32) (param $value i32) (result i32)"
    "  (block $9 (block $8 (block $7 (block $6 (block $5 (block $4 (block $3 (block $2 (block $1"
    "    (block $0 (br_table $0 $1 $2 $3 $4 $5 $6 $7 $8 $9 (local.get $kind)))"
    "    (return (local.get $value)))"                                                     /* 0 */
    "    (return (i32.const 1)))"                                                          /* 1 */
    "    (return (i32.add (local.get $value) (call $take))))"                              /* 2 */
    "    (call $trap (local.get $value)))"                                                 /* 3 */
    "    (call $exit (i32.const 0)))"                                                      /* 4 */
    "    unreachable)"                                                                     /* 5 */
    "    (call $deep))"                                                                    /* 6 */
    "    (call $spin))"                                                                    /* 7 */
    "    (return (i32.add (i32.const 1) (call $catch (local.get $value) (i32.const 8)))))" /* 8 */
    "  (call $report (call $hold)) (call $report (call $take_deferred))"                   /* 9 */
    "  (call $report (call $block (i32.const 4)))"
    "  (call $report (call $catch (i32.const 2) (i32.const 0)))"
    "  (i32.const 77))"
    "(func (export \"value\") (call $report (call $catch (i32.const 0) (i32.const 5)))"
    "  (call $report (call $catch_deferred (i32.const 0) (i32.const 6))))"
    "(func (export \"waits\") (call $report (call $catch (i32.const 2) (i32.const 10)))"
    "  (call $report (i32.const 100)))"
    "(func (export \"waits_deferred\") (call $report (call $catch_deferred (i32.const 2)"
    "  (i32.const 10))) (call $report (call $take)))"
    "(func (export \"traps\")"
    "  (call $report (call $catch (i32.const 3) (i32.const 9)))"
    "  (call $report (call $catch (i32.const 4) (i32.const 9)))"
    "  (call $report (call $catch (i32.const 5) (i32.const 9)))"
    "  (call $report (call $catch (i32.const 6) (i32.const 9)))"
    "  (call $report (call $catch_deferred (i32.const 3) (i32.const 9)))"
    "  (call $report (i32.const 1)))"
    "(func (export \"traps_after\") (drop (call $catch (i32.const 4) (i32.const 9))) unreachable)"
    "(func (export \"spins\") (call $report (call $catch (i32.const 7) (i32.const 0))))"
    "(func (export \"burns\") (call $report (i32.add (i32.const 1) (call $catch (i32.const 7)"
    "  (i32.const 0)))) (call $spin))"
    "(func (export \"deepest\") (call $report (call $catch (i32.const 8) (i32.const 8))))"
    "(func (export \"twice\") (call $report (call $twice)))"
    "(func (export \"all\") (call $report (call $catch (i32.const 9) (i32.const 0)))"
    "  (call $report (call $catch_deferred (i32.const 9) (i32.const 0))))"
    ")";

static struct world world;
static struct pd_module *module;

static void returns(const char *function, uint32_t sum)
{
    struct process process;
    spawn(&world, &process, module, function);
    assert_int_equal(run_guest(&process), PD_GUEST_EXITED);
    assert_end(&process, PD_GUEST_RETURNED);
    assert_int_equal(process.sum, sum);
    pd_guest_destroy(process.guest);
}

static void values_come_back(void **state)
{
    (void)state;
    returns("value", 11);
}

static void every_trap_inside_is_caught(void **state)
{
    (void)state;
    returns("traps", 1);
}

static void a_caught_ending_does_not_colour_a_later_one(void **state)
{
    (void)state;
    struct process process;
    spawn(&world, &process, module, "traps_after");
    assert_int_equal(run_guest(&process), PD_GUEST_EXITED);
    assert_end(&process, PD_GUEST_TRAP);
    assert_exit_text(&process, "unreachable");
    pd_guest_destroy(process.guest);
}

static void inner_calls_wait(void **state)
{
    (void)state;
    struct process process;
    spawn(&world, &process, module, "waits");
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_WAITING);
    assert_string_equal(pd_guest_waiting_in(process.guest)->name, "take");
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_WAITING);
    give(&process, 3);
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_EXITED);
    assert_int_equal(process.sum, 113);
    pd_guest_destroy(process.guest);

    spawn(&world, &process, module, "waits_deferred");
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_WAITING);
    give(&process, 3);
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_WAITING);
    assert_int_equal(process.sum, 13);
    give(&process, 7);
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_EXITED);
    assert_int_equal(process.sum, 20);
    pd_guest_destroy(process.guest);
}

static void finish_may_call_again_and_wait(void **state)
{
    (void)state;
    struct process process;
    spawn(&world, &process, module, "twice");
    /* 1 from the first; 1 + what the second takes; an even sum is the end, then it waits itself. */
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_WAITING);
    give(&process, 2);
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_WAITING); /* 3: odd, once more */
    give(&process, 1);
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_WAITING); /* 4: even */
    give(&process, 50);
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_EXITED);
    assert_int_equal(process.sum, 50);
    pd_guest_destroy(process.guest);
}

static void inner_calls_yield_and_burn_the_same_fuel(void **state)
{
    (void)state;
    struct process process;
    spawn(&world, &process, module, "spins");
    for (int i = 0; i < 5; i++) {
        assert_int_equal(pd_guest_step(process.guest), PD_GUEST_YIELDED);
    }
    pd_guest_destroy(process.guest);
    /* Out of fuel inside is caught; outside, the next check ends it. */
    spawn_limited(&world, &process, module, "burns", limits_of(1u << 24, 50000));
    assert_int_equal(run_guest(&process), PD_GUEST_EXITED);
    assert_end(&process, PD_GUEST_FUEL);
    assert_in_range(process.sum, 0, 1);
    assert_int_equal(pd_guest_fuel_used(process.guest), 50000);
    pd_guest_destroy(process.guest);
}

static void nesting_ends_somewhere(void **state)
{
    (void)state;
    /* Each level adds 1 to what it catches; the deepest traps, which is 0 to the one above it. */
    returns("deepest", PD_GUEST_NESTED_MAX - 1);
}

static void exports_that_do_not_fit_trap(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "(module (import \"t\" \"catch\" (func $c (param i32 i32) (result i32)))"
        "(func (export \"f\") (drop (call $c (i32.const 0) (i32.const 0)))))",
        "(module (import \"t\" \"catch\" (func $c (param i32 i32) (result i32)))"
        "(func (export \"_catch\") (param i32) (result i32) (i32.const 0))"
        "(func (export \"f\") (drop (call $c (i32.const 0) (i32.const 0)))))",
        "(module (import \"t\" \"catch\" (func $c (param i32 i32) (result i32)))"
        "(func (export \"_catch\") (param i32 i64) (result i32) (i32.const 0))"
        "(func (export \"f\") (drop (call $c (i32.const 0) (i32.const 0)))))",
        "(module (import \"t\" \"catch\" (func $c (param i32 i32) (result i32)))"
        "(func (export \"_catch\") (param i32 i32) (result i64) (i64.const 0))"
        "(func $s (drop (call $c (i32.const 0) (i32.const 0)))) (start $s)"
        "(func (export \"f\")))",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct pd_module *other = load(&world, texts[i]);
        struct process process;
        spawn(&world, &process, other, "f");
        assert_int_equal(run_guest(&process), PD_GUEST_EXITED);
        assert_end(&process, PD_GUEST_HOST_TRAP);
        assert_exit_text(&process, "must export _catch");
        pd_guest_destroy(process.guest);
        pd_module_release(other);
    }
    struct pd_module *early =
        load(&world, "(module (import \"t\" \"catch\" (func $c (param i32 i32) (result i32)))"
                     "(func (export \"_catch\") (param i32 i32) (result i32) (i32.const 0))"
                     "(func $s (drop (call $c (i32.const 0) (i32.const 0)))) (start $s)"
                     "(func (export \"f\")))");
    struct process process;
    spawn(&world, &process, early, "f");
    assert_int_equal(run_guest(&process), PD_GUEST_EXITED);
    assert_end(&process, PD_GUEST_HOST_TRAP);
    assert_exit_text(&process, "before the module has started");
    pd_guest_destroy(process.guest);
    pd_module_release(early);
}

/* Step `all` until it has done `steps` of its waits, feeding what it waits for; then kill it.
 * False: it ended before. */
static bool live_for(struct process *process, int steps)
{
    spawn(&world, process, module, "all");
    enum pd_guest_step step = pd_guest_step(process->guest);
    for (int i = 0; i < steps && step == PD_GUEST_WAITING; i++) {
        if (!run_job(&world.host)) {
            give(process, 1);
        }
        step = pd_guest_step(process->guest);
    }
    bool is_alive = step == PD_GUEST_WAITING;
    pd_guest_destroy(process->guest);
    while (run_job(&world.host)) { /* the job of a dead guest */
    }
    return is_alive;
}

static void death_at_every_wait_gives_everything_back(void **state)
{
    (void)state;
    struct process process;
    int waits = 0;
    while (live_for(&process, waits)) {
        assert_int_equal(process.abandoned, waits == 0 || waits == 4 ? 1 : 0);
        waits++;
    }
    assert_int_equal(waits, 8); /* hold, take, block, take; twice */
    assert_int_equal(process.released, 2);
    assert_int_equal(process.sum, 2 * (1 + 1 + 8 + 1 + 77));
}

static void many_deaths_leak_nothing(void **state)
{
    (void)state;
    struct process process;
    for (int i = 0; i < 100; i++) {
        (void)live_for(&process, i % 9);
    }
    size_t before = mallinfo2().uordblks;
    for (int i = 0; i < 3000; i++) {
        (void)live_for(&process, i % 9);
    }
    size_t after = mallinfo2().uordblks;
    assert_in_range(after, 0, before + 4096);
}

static void failing_allocations_trap_the_outer_call(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth <= 12; nth++) {
        struct process process;
        spawn(&world, &process, module, "value");
        pd_alloc_fail_nth(nth);
        assert_int_equal(run_guest(&process), PD_GUEST_EXITED);
        pd_alloc_fail_nth(0);
        pd_guest_destroy(process.guest);
    }
}

static int open_dense(void **state)
{
    (void)state;
    world_open(&world, PD_ENGINE_DENSE, 10000);
    module = load(&world, module_text);
    return 0;
}

static int open_guarded(void **state)
{
    (void)state;
    world_open(&world, PD_ENGINE_GUARDED, 10000);
    module = load(&world, module_text);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    pd_module_release(module);
    world_close(&world);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_come_back),
        cmocka_unit_test(every_trap_inside_is_caught),
        cmocka_unit_test(a_caught_ending_does_not_colour_a_later_one),
        cmocka_unit_test(inner_calls_wait),
        cmocka_unit_test(finish_may_call_again_and_wait),
        cmocka_unit_test(inner_calls_yield_and_burn_the_same_fuel),
        cmocka_unit_test(nesting_ends_somewhere),
        cmocka_unit_test(exports_that_do_not_fit_trap),
        cmocka_unit_test(death_at_every_wait_gives_everything_back),
        cmocka_unit_test(many_deaths_leak_nothing),
        cmocka_unit_test(failing_allocations_trap_the_outer_call),
    };
    int failed = cmocka_run_group_tests_name("dense", tests, open_dense, close_world);
    failed += cmocka_run_group_tests_name("guarded", tests, open_guarded, close_world);
    return failed;
}
