/* Guests one at a time: what each kind of host call may do, how guests end, and what is counted. */
#include "guest_world.h"

#define IMPORTS                                                                                    \
    "(import \"t\" \"add\" (func $add (param i32 i32) (result i32)))"                              \
    "(import \"t\" \"report\" (func $report (param i32)))"                                         \
    "(import \"t\" \"mix\" (func $mix (param i32 i64 f64) (result i64)))"                          \
    "(import \"t\" \"take\" (func $take (result i32)))"                                            \
    "(import \"t\" \"take_deferred\" (func $take_deferred (result i32)))"                          \
    "(import \"t\" \"hold\" (func $hold (result i32)))"                                            \
    "(import \"t\" \"slow_add\" (func $slow_add (param i32 i32) (result i32)))"                    \
    "(import \"t\" \"trap\" (func $trap (param i32)))"                                             \
    "(import \"t\" \"trap_deferred\" (func $trap_deferred (param i32)))"                           \
    "(import \"t\" \"deny\" (func $deny))"                                                         \
    "(import \"t\" \"exit\" (func $exit (param i32)))"                                             \
    "(import \"t\" \"yield\" (func $yield))"                                                       \
    "(import \"t\" \"fill\" (func $fill (param i32 i32 i32) (result i32)))"                        \
    "(import \"t\" \"fill_deferred\" (func $fill_deferred (param i32 i32 i32) (result i32)))"      \
    "(import \"t\" \"sleep_until\" (func $sleep_until (param i64)))"

static const char module_text[] =
    "(module " IMPORTS "(memory (export \"memory\") 1 3)"
    "(func (export \"nothing\"))"
    "(func (export \"calls\")"
    "  (call $report (call $add (i32.const 40) (i32.const 2)))"
    "  (call $report (call $slow_add (i32.const -1) (i32.const 1)))"
    "  (call $report (i32.wrap_i64 (call $mix (i32.const -1) (i64.const 2) (f64.const 1.5)))))"
    "(func (export \"take\") (call $report (call $take)) (call $report (call $take_deferred)))"
    "(func (export \"hold\") (call $report (call $hold)))"
    "(func (export \"deferred_loop\") (local i32) (loop $l"
    "  (call $report (call $slow_add (i32.const 1) (i32.const 0)))"
    "  (br_if $l (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 100)))))"
    "(func (export \"trap\") (call $trap (i32.const 7)))"
    "(func (export \"trap_deferred\") (call $trap_deferred (i32.const 8)))"
    "(func (export \"deny\") (call $deny))"
    "(func (export \"exit\") (call $exit (i32.const 42)))"
    "(func (export \"divide\") (drop (i32.div_u (i32.const 1) (i32.const 0))))"
    "(func (export \"unreachable\") unreachable)"
    "(func (export \"outside\") (drop (i32.load (i32.const 1000000))))"
    "(func $deep (export \"deep\") (call $deep))"
    "(func (export \"spin\") (loop $l (br $l)))"
    "(func (export \"yield\") (local i32) (call $report (i32.const 1)) (call $yield)"
    "  (loop $l (br_if $l (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1)))"
    "                               (i32.const 10))))"
    "  (call $report (i32.const 2)))"
    "(func (export \"work\") (local i32) (loop $l"
    "  (br_if $l (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1)))"
    "                      (i32.const 10000)))))"
    "(func (export \"work_yielding\") (local i32) (loop $l (call $yield)"
    "  (br_if $l (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1)))"
    "                      (i32.const 100)))))"
    "(func (export \"work_unyielding\") (local i32) (loop $l (call $report (i32.const 0)) nop"
    "  (br_if $l (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1)))"
    "                      (i32.const 100)))))"
    "(func (export \"fill\") (call $report (call $fill (i32.const 65535) (i32.const 1) (i32.const "
    "3)))"
    "  (call $report (call $fill_deferred (i32.const 65536) (i32.const 0) (i32.const 3)))"
    "  (call $report (i32.load8_u (i32.const 65535))))"
    "(func (export \"fill_outside\") (drop (call $fill (i32.const 65535) (i32.const 2) (i32.const "
    "0))))"
    "(func (export \"fill_huge\") (drop (call $fill_deferred (i32.const 4) (i32.const -1)"
    "  (i32.const 0))))"
    "(func (export \"grow\") (call $report (memory.grow (i32.const 1)))"
    "  (call $report (call $fill (i32.const 65536) (i32.const 65536) (i32.const 1)))"
    "  (call $report (memory.grow (i32.const 1))))"
    "(func (export \"sleep\") (call $sleep_until (i64.const 500)) (call $report (i32.const 9)))"
    "(func (export \"params\") (param i32 i64 f64 v128) (call $report (local.get 0))"
    "  (call $report (i32.wrap_i64 (local.get 1))) (call $report (i32.trunc_f64_s (local.get 2)))"
    "  (call $report (i32x4.extract_lane 3 (local.get 3))))"
    "(func (export \"result\") (result i32) i32.const 1)"
    "(func (export \"many\") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32"
    "  i32)))";

static struct world world;
static struct pd_module *module;

static void ends(const char *function, enum pd_guest_end end, const char *text)
{
    struct process process;
    spawn(&world, &process, module, function);
    assert_int_equal(run_guest(&process), PD_GUEST_EXITED);
    assert_end(&process, end);
    assert_exit_text(&process, text);
    pd_guest_destroy(process.guest);
}

static void guests_end_in_every_way(void **state)
{
    (void)state;
    ends("nothing", PD_GUEST_RETURNED, "returned");
    ends("trap", PD_GUEST_HOST_TRAP, "told to trap with 7");
    ends("trap_deferred", PD_GUEST_HOST_TRAP, "told to trap with 8");
    ends("deny", PD_GUEST_DENIED, "not yours");
    ends("exit", PD_GUEST_EXIT_CODE, "42");
    ends("divide", PD_GUEST_TRAP, "integer divide by zero");
    ends("unreachable", PD_GUEST_TRAP, "unreachable");
    ends("outside", PD_GUEST_TRAP, "out of bounds memory access");
    ends("deep", PD_GUEST_TRAP, "call stack exhausted");
    ends("fill_outside", PD_GUEST_HOST_TRAP, "t::fill: address: pointer out of bounds");
    ends("fill_huge", PD_GUEST_HOST_TRAP, "t::fill_deferred: address: pointer out of bounds");
    ends("absent", PD_GUEST_NO_ENTRY, "no function \"absent\"");
    ends("params", PD_GUEST_NO_ENTRY, "takes 4 parameters");
    ends("result", PD_GUEST_NO_ENTRY, "gives 1 results");
    ends("many", PD_GUEST_NO_ENTRY, "\"many\"");
    ends("memory", PD_GUEST_NO_ENTRY, "no function \"memory\"");
}

static void exit_codes_and_trap_codes_are_kept(void **state)
{
    (void)state;
    struct process process;
    spawn(&world, &process, module, "exit");
    assert_int_equal(run_guest(&process), PD_GUEST_EXITED);
    assert_int_equal(pd_guest_exit(process.guest).exit_code, 42);
    pd_guest_destroy(process.guest);
    spawn(&world, &process, module, "divide");
    assert_int_equal(run_guest(&process), PD_GUEST_EXITED);
    assert_int_equal(pd_guest_exit(process.guest).trap_code,
                     WASMTIME_TRAP_CODE_INTEGER_DIVISION_BY_ZERO);
    pd_guest_destroy(process.guest);
}

static void arguments_and_results_pass(void **state)
{
    (void)state;
    struct process process;
    spawn(&world, &process, module, "calls");
    assert_int_equal(run_guest(&process), PD_GUEST_EXITED);
    assert_end(&process, PD_GUEST_RETURNED);
    /* 42, 0, and -1 as an unsigned i32 + 2 + 3. */
    assert_int_equal(process.sum, 42u + 0u + (uint32_t)(0xffffffffull + 5));
    pd_guest_destroy(process.guest);
}

static void entry_parameters_pass(void **state)
{
    (void)state;
    struct process process = {0};
    wasmtime_val_t params[4] = {{.kind = WASMTIME_I32},
                                {.kind = WASMTIME_I64},
                                {.kind = WASMTIME_F64},
                                {.kind = WASMTIME_V128}};
    params[0].of.i32 = 1;
    params[1].of.i64 = 20;
    params[2].of.f64 = 300.0;
    memset(params[3].of.v128, 0, sizeof params[3].of.v128);
    params[3].of.v128[12] = 100;
    struct pd_guest_limits limits = limits_of(1u << 24, 0);
    assert_int_equal(pd_guest_create(&world.machine, module, &limits, &process, &process.guest),
                     PD_OK);
    struct pd_guest_entry entry = {
        .function = "params", .function_size = 6, .params = params, .param_count = 4};
    assert_int_equal(pd_guest_start(process.guest, &entry), PD_OK);
    memset(params, 0xff, sizeof params); /* they were copied */
    assert_int_equal(run_guest(&process), PD_GUEST_EXITED);
    assert_end(&process, PD_GUEST_RETURNED);
    assert_int_equal(process.sum, 421);
    pd_guest_destroy(process.guest);
}

static void a_call_waits_until_it_has_what_it_waits_for(void **state)
{
    (void)state;
    struct process process;
    spawn(&world, &process, module, "take");
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_WAITING);
    assert_string_equal(pd_guest_waiting_in(process.guest)->name, "take");
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_WAITING); /* a spurious wake */
    give(&process, 5);
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_WAITING);
    assert_string_equal(pd_guest_waiting_in(process.guest)->name, "take_deferred");
    assert_int_equal(process.sum, 5);
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_WAITING);
    give(&process, 6);
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_EXITED);
    assert_null(pd_guest_waiting_in(process.guest));
    assert_int_equal(process.sum, 11);
    pd_guest_destroy(process.guest);
    /* With the numbers there before, nothing waits. */
    spawn(&world, &process, module, "take");
    give(&process, 1);
    give(&process, 2);
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_EXITED);
    assert_int_equal(process.sum, 3);
    pd_guest_destroy(process.guest);
}

static void deferred_calls_share_the_thread(void **state)
{
    (void)state;
    struct process process;
    spawn(&world, &process, module, "deferred_loop");
    int steps = 1;
    while (pd_guest_step(process.guest) == PD_GUEST_YIELDED) {
        steps++;
        assert_in_range(process.sum, 0, 100);
    }
    assert_int_equal(process.sum, 100);
    assert_int_equal(steps, 100 / PD_GUEST_DEFERRED_PER_STEP + 1);
    pd_guest_destroy(process.guest);
}

static void memory_is_checked_and_found_again_when_it_grows(void **state)
{
    (void)state;
    struct process process;
    spawn(&world, &process, module, "fill");
    assert_int_equal(run_guest(&process), PD_GUEST_EXITED);
    assert_end(&process, PD_GUEST_RETURNED);
    assert_int_equal(process.sum, 1 + 0 + 3);
    pd_guest_destroy(process.guest);
    /* Two pages may be had: growing to a third gives -1. */
    spawn_limited(&world, &process, module, "grow", limits_of(2 * 65536, 0));
    assert_int_equal(pd_guest_memory_size(process.guest), 65536);
    assert_int_equal(run_guest(&process), PD_GUEST_EXITED);
    assert_end(&process, PD_GUEST_RETURNED);
    assert_int_equal(process.sum, 1 + 65536 - 1);
    assert_int_equal(pd_guest_memory_size(process.guest), 2 * 65536);
    pd_guest_destroy(process.guest);
}

static void too_little_memory_is_told_before_the_guest_exists(void **state)
{
    (void)state;
    struct process process;
    struct pd_guest_limits limits = limits_of(65535, 0);
    assert_int_equal(pd_guest_create(&world.machine, module, &limits, &process, &process.guest),
                     PD_ERR_NO_MEMORY);
    limits.memory_bytes_max = (1ull << 32) + 1;
    assert_int_equal(pd_guest_create(&world.machine, module, &limits, &process, &process.guest),
                     PD_ERR_RANGE);
    /* A memory that is not exported is only found out when it is made. */
    struct pd_module *hidden = load(&world, "(module (memory 3) (func (export \"f\")))");
    spawn_limited(&world, &process, hidden, "f", limits_of(65536, 0));
    assert_int_equal(run_guest(&process), PD_GUEST_EXITED);
    assert_end(&process, PD_GUEST_MEMORY);
    assert_exit_text(&process, "memory");
    pd_guest_destroy(process.guest);
    pd_module_release(hidden);
}

static void fuel_ends_a_guest_and_slices_divide_it(void **state)
{
    (void)state;
    struct process process;
    spawn_limited(&world, &process, module, "spin", limits_of(1u << 24, 35000));
    int yields = 0;
    while (pd_guest_step(process.guest) == PD_GUEST_YIELDED) {
        yields++;
        assert_in_range(pd_guest_fuel_used(process.guest), yields * 10000, yields * 10000 + 10);
    }
    assert_int_equal(yields, 3);
    assert_end(&process, PD_GUEST_FUEL);
    assert_exit_text(&process, "35000");
    assert_int_equal(pd_guest_exit(process.guest).trap_code, WASMTIME_TRAP_CODE_OUT_OF_FUEL);
    assert_in_range(pd_guest_fuel_used(process.guest), 35000, 35000);
    pd_guest_destroy(process.guest);
}

static uint64_t fuel_of(const char *function)
{
    struct process process;
    spawn(&world, &process, module, function);
    assert_int_equal(run_guest(&process), PD_GUEST_EXITED);
    assert_end(&process, PD_GUEST_RETURNED);
    uint64_t used = pd_guest_fuel_used(process.guest);
    pd_guest_destroy(process.guest);
    return used;
}

static void fuel_is_counted_exactly(void **state)
{
    (void)state;
    uint64_t work = fuel_of("work");
    assert_in_range(work, 10000, 200000);
    assert_int_equal(fuel_of("work"), work);
    /* Yields, forced or not, cost nothing: the one has `nop` (free) and a constant in place of the
     * other's call. */
    uint64_t yielding = fuel_of("work_yielding");
    uint64_t unyielding = fuel_of("work_unyielding");
    assert_int_equal(unyielding - yielding, 100); /* i32.const 0 */
}

static void a_forced_yield_comes_at_the_next_check(void **state)
{
    (void)state;
    struct process process;
    spawn(&world, &process, module, "yield");
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_YIELDED);
    assert_int_equal(process.sum, 1);
    assert_in_range(pd_guest_fuel_used(process.guest), 1, 20);
    /* The next slice is a whole one again. */
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_EXITED);
    assert_int_equal(process.sum, 3);
    pd_guest_destroy(process.guest);
}

static void timers_are_set_and_cancelled(void **state)
{
    (void)state;
    struct process process;
    spawn(&world, &process, module, "sleep");
    world.host.now_ns = 100;
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_WAITING);
    assert_int_equal(process.deadline_ns, 500);
    world.host.now_ns = 499;
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_WAITING);
    world.host.now_ns = 500;
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_EXITED);
    assert_int_equal(process.deadline_ns, PD_TIME_NEVER);
    assert_int_equal(process.sum, 9);
    pd_guest_destroy(process.guest);
    world.host.now_ns = 0;
}

static void guests_die_at_any_point(void **state)
{
    (void)state;
    struct process process = {0};
    struct pd_guest_limits limits = limits_of(1u << 24, 0);
    assert_int_equal(pd_guest_create(&world.machine, module, &limits, &process, &process.guest),
                     PD_OK);
    pd_guest_destroy(process.guest); /* never started */
    spawn(&world, &process, module, "take");
    pd_guest_destroy(process.guest); /* never stepped */
    spawn(&world, &process, module, "take");
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_WAITING);
    pd_guest_destroy(process.guest);
    spawn(&world, &process, module, "hold");
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_WAITING);
    assert_int_equal(process.abandoned, 0);
    pd_guest_destroy(process.guest);
    assert_int_equal(process.abandoned, 1);
    spawn(&world, &process, module, "hold");
    give(&process, 1);
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_EXITED);
    pd_guest_destroy(process.guest);
    assert_int_equal(process.abandoned, 0); /* the call was over */
    spawn(&world, &process, module, "spin");
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_YIELDED);
    pd_guest_destroy(process.guest);
    spawn(&world, &process, module, "deferred_loop");
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_YIELDED); /* before a deferred call */
    pd_guest_destroy(process.guest);
}

static void start_runs_in_the_guest_and_may_wait(void **state)
{
    (void)state;
    struct process process;
    struct pd_module *starting = load(
        &world, "(module " IMPORTS "(memory (export \"memory\") 1)"
                "(func $s (call $report (call $take_deferred))"
                "  (call $report (call $fill_deferred (i32.const 0) (i32.const 8) (i32.const 1)))"
                "  (call $report (call $fill (i32.const 0) (i32.const 8) (i32.const 1))))"
                "(func (export \"_initialize\") (call $report (i32.const 1000)))"
                "(func (export \"f\") (call $report (i32.const 100))) (start $s))");
    spawn(&world, &process, starting, "f");
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_WAITING);
    assert_false(pd_guest_is_instantiated(process.guest));
    give(&process, 4);
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_EXITED);
    assert_true(pd_guest_is_instantiated(process.guest));
    assert_int_equal(process.sum, 4 + 8 + 8 + 100);
    pd_guest_destroy(process.guest);

    /* A reactor, initialized first; and killed while it starts. */
    memset(&process, 0, sizeof process);
    struct pd_guest_limits limits = limits_of(1u << 24, 0);
    assert_int_equal(pd_guest_create(&world.machine, starting, &limits, &process, &process.guest),
                     PD_OK);
    struct pd_guest_entry entry = {
        .function = "f", .function_size = 1, .is_initialized_first = true};
    assert_int_equal(pd_guest_start(process.guest, &entry), PD_OK);
    give(&process, 4);
    assert_int_equal(run_guest(&process), PD_GUEST_EXITED);
    assert_int_equal(process.sum, 4 + 8 + 8 + 1000 + 100);
    pd_guest_destroy(process.guest);
    spawn(&world, &process, starting, "f");
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_WAITING);
    pd_guest_destroy(process.guest);
    pd_module_release(starting);

    starting =
        load(&world, "(module (func $s (loop $l (br $l))) (start $s) (func (export \"f\")))");
    spawn_limited(&world, &process, starting, "f", limits_of(0, 25000));
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_YIELDED);
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_YIELDED);
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_EXITED);
    assert_end(&process, PD_GUEST_FUEL);
    pd_guest_destroy(process.guest);
    pd_module_release(starting);
}

static void a_guest_without_memory_has_no_pointers(void **state)
{
    (void)state;
    struct process process;
    struct pd_module *bare = load(
        &world,
        "(module " IMPORTS
        "(func (export \"f\") (drop (call $fill (i32.const 0) (i32.const 0) (i32.const 0)))))");
    spawn(&world, &process, bare, "f");
    assert_int_equal(run_guest(&process), PD_GUEST_EXITED);
    assert_end(&process, PD_GUEST_HOST_TRAP);
    pd_guest_destroy(process.guest);
    pd_module_release(bare);
}

static void trace_call(void *process, const struct pd_import *import, const struct pd_call *call,
                       enum pd_call_result result)
{
    struct process *traced = process;
    traced->calls_traced++;
    traced->trace = traced->trace * 31 + strlen(import->name) + call->arguments[0] +
                    (result == PD_CALL_DONE ? call->result : 0);
}

static void every_call_is_traced_when_asked(void **state)
{
    (void)state;
    struct process process;
    uint64_t traces[2];
    for (int i = 0; i < 2; i++) {
        spawn(&world, &process, module, "calls");
        pd_guest_set_tracer(process.guest, trace_call);
        assert_int_equal(run_guest(&process), PD_GUEST_EXITED);
        assert_int_equal(process.calls_traced, 6);
        traces[i] = process.trace;
        pd_guest_destroy(process.guest);
    }
    assert_int_equal(traces[0], traces[1]);
}

static void a_trap_names_its_frames(void **state)
{
    (void)state;
    struct pd_module *named = load(
        &world, "(module (func $inner unreachable) (func $outer (export \"f\") (call $inner)))");
    struct process process;
    spawn(&world, &process, named, "f");
    assert_int_equal(run_guest(&process), PD_GUEST_EXITED);
    char text[400];
    size_t size = pd_guest_backtrace_text(process.guest, text, sizeof text);
    assert_string_equal(text, "  0: inner\n  1: outer\n");
    assert_int_equal(size, strlen(text));
    size = pd_guest_backtrace_text(process.guest, text, 15);
    assert_string_equal(text, "  0: inner\n"); /* whole lines only */
    assert_int_equal(size, 11);
    assert_int_equal(pd_guest_backtrace_text(process.guest, text, 1), 0);
    assert_string_equal(text, "");
    pd_guest_destroy(process.guest);
    spawn(&world, &process, module, "trap");
    assert_int_equal(run_guest(&process), PD_GUEST_EXITED);
    assert_int_not_equal(pd_guest_backtrace_text(process.guest, text, sizeof text), 0);
    pd_guest_destroy(process.guest);
    spawn(&world, &process, module, "nothing");
    assert_int_equal(run_guest(&process), PD_GUEST_EXITED);
    assert_int_equal(pd_guest_backtrace_text(process.guest, text, sizeof text), 0);
    pd_guest_destroy(process.guest);
    pd_module_release(named);
}

static void failing_allocations_change_nothing(void **state)
{
    (void)state;
    struct process process;
    struct pd_guest_limits limits = limits_of(1u << 24, 0);
    pd_alloc_fail_nth(1);
    assert_int_equal(pd_guest_create(&world.machine, module, &limits, &process, &process.guest),
                     PD_ERR_NO_MEMORY);
    pd_alloc_fail_nth(0);
    /* The memory's and the stack's bookkeeping, the text of the failure: whatever is missing ends
     * the guest alone. */
    for (uint64_t nth = 1; nth <= 8; nth++) {
        spawn(&world, &process, module, "trap");
        pd_alloc_fail_nth(nth);
        assert_int_equal(run_guest(&process), PD_GUEST_EXITED);
        pd_alloc_fail_nth(0);
        enum pd_guest_end end = pd_guest_exit(process.guest).end;
        assert_true(end == PD_GUEST_HOST_TRAP || end == PD_GUEST_MEMORY);
        if (end == PD_GUEST_HOST_TRAP && nth == 1) {
            assert_exit_text(&process, "a host function failed");
        }
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
        cmocka_unit_test(guests_end_in_every_way),
        cmocka_unit_test(exit_codes_and_trap_codes_are_kept),
        cmocka_unit_test(arguments_and_results_pass),
        cmocka_unit_test(entry_parameters_pass),
        cmocka_unit_test(a_call_waits_until_it_has_what_it_waits_for),
        cmocka_unit_test(deferred_calls_share_the_thread),
        cmocka_unit_test(memory_is_checked_and_found_again_when_it_grows),
        cmocka_unit_test(too_little_memory_is_told_before_the_guest_exists),
        cmocka_unit_test(fuel_ends_a_guest_and_slices_divide_it),
        cmocka_unit_test(fuel_is_counted_exactly),
        cmocka_unit_test(a_forced_yield_comes_at_the_next_check),
        cmocka_unit_test(timers_are_set_and_cancelled),
        cmocka_unit_test(guests_die_at_any_point),
        cmocka_unit_test(start_runs_in_the_guest_and_may_wait),
        cmocka_unit_test(a_guest_without_memory_has_no_pointers),
        cmocka_unit_test(every_call_is_traced_when_asked),
        cmocka_unit_test(a_trap_names_its_frames),
        cmocka_unit_test(failing_allocations_change_nothing),
    };
    int failed = cmocka_run_group_tests_name("dense", tests, open_dense, close_world);
    failed += cmocka_run_group_tests_name("guarded", tests, open_guarded, close_world);
    return failed;
}
