/* lunatic::trap with real guests: what is caught, what survives, waiting and dying inside. */
#include "abi_engine.h"

/* What `_lunatic_catch_trap` does is told by its first argument; main exits with what `catch`
 * answered. */
static const char guest_wat[] =
    "(module\n"
    "  (import \"lunatic::trap\" \"catch\" (func $catch (param i32 i32) (result i32)))\n"
    "  (import \"lunatic::process\" \"sleep_ms\" (func $sleep (param i64)))\n"
    "  (import \"lunatic::error\" \"drop\" (func $drop (param i64)))\n"
    "  (import \"lunatic::process\" \"spawn\" (func $spawn\n"
    "    (param i64 i64 i64 i32 i32 i32 i32 i32) (result i32)))\n"
    "  (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))\n"
    "  (memory (export \"memory\") 1)\n"
    "  (func (export \"_lunatic_catch_trap\") (param $what i32) (param $with i32) (result i32)\n"
    "    (if (i32.eq (local.get $what) (i32.const 1)) (then unreachable))\n"
    "    (if (i32.eq (local.get $what) (i32.const 2)) (then (call $sleep (i64.const 50))))\n"
    "    (if (i32.eq (local.get $what) (i32.const 3)) (then (loop $l (br $l))))\n"
    "    (if (i32.eq (local.get $what) (i32.const 4)) (then (call $exit (i32.const 3))))\n"
    "    (if (i32.eq (local.get $what) (i32.const 5))\n"
    "      (then (return (i32.add (i32.const 20) (call $catch (i32.const 1) (i32.const 0))))))\n"
    "    (if (i32.eq (local.get $what) (i32.const 6))\n"
    "      (then (return (i32.add (i32.const 1) (call $catch (i32.const 6) (i32.const 0))))))\n"
    "    (if (i32.eq (local.get $what) (i32.const 7)) (then (call $drop (i64.const 99))))\n"
    "    (if (i32.eq (local.get $what) (i32.const 8))\n"
    "      (then (return (call $spawn (i64.const 0) (i64.const -1) (i64.const -1) (i32.const 0)\n"
    "        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))))\n"
    "    (local.get $with))\n"
    "  (func $try (param $what i32)\n"
    "    (call $exit (i32.add (i32.const 100) (call $catch (local.get $what) (i32.const 11)))))\n"
    "  (func (export \"returns\") (call $try (i32.const 0)))\n"
    "  (func (export \"traps\") (call $try (i32.const 1)))\n"
    "  (func (export \"waits\") (call $try (i32.const 2)))\n"
    "  (func (export \"spins\") (call $try (i32.const 3)))\n"
    "  (func (export \"spins_on\") (drop (call $catch (i32.const 3) (i32.const 0)))\n"
    "    (loop $l (br $l)))\n"
    "  (func (export \"exits\") (call $try (i32.const 4)))\n"
    "  (func (export \"nests\") (call $try (i32.const 5)))\n"
    "  (func (export \"dives\") (call $try (i32.const 6)))\n"
    "  (func (export \"oversteps\") (drop (call $catch (i32.const 8) (i32.const 0))))\n"
    "  (func (export \"misuses\") (call $try (i32.const 7))))\n";

struct fixture {
    struct engine_world opened;
    struct pd_module *module;
    struct pd_rights *rights;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    engine_world_open(&f->opened);
    f->module = engine_load(&f->opened, guest_wat);
    f->rights = world_rights(&f->opened.world);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    pd_rights_release(f->rights);
    pd_module_release(f->module);
    engine_world_close(&f->opened);
    free(f);
    return 0;
}

static const char *run(struct fixture *f, const char *function)
{
    uint32_t before = f->opened.world.exit_count;
    (void)world_spawn(&f->opened.world, f->module, f->rights, function);
    world_settle(&f->opened.world);
    assert_int_equal(f->opened.world.exit_count, before + 1);
    return f->opened.world.last_text;
}

static void what_returns_is_passed_on(void **state)
{
    assert_string_equal(run(*state, "returns"), "exited with code 111");
}

static void every_ending_inside_is_0(void **state)
{
    assert_string_equal(run(*state, "traps"), "exited with code 100");
    assert_string_equal(run(*state, "exits"), "exited with code 100");
    assert_string_equal(run(*state, "misuses"), "exited with code 100");
}

static void the_inner_call_may_wait(void **state)
{
    struct fixture *f = *state;
    uint64_t before = f->opened.world.host.now_ns;
    assert_string_equal(run(f, "waits"), "exited with code 111");
    assert_true(f->opened.world.host.now_ns >= before + 50 * MS);
}

static void catches_nest_to_a_limit(void **state)
{
    assert_string_equal(run(*state, "nests"), "exited with code 120");
    /* The one too deep traps, and is caught by the one above it, which then is a trap no more. */
    char wanted[64];
    (void)snprintf(wanted, sizeof wanted, "exited with code %u", 100 + PD_GUEST_NESTED_MAX - 1);
    assert_string_equal(run(*state, "dives"), wanted);
}

/* What was denied inside is over with the catch: the process ends as it ends later. */
static void a_denial_is_caught_whole(void **state)
{
    struct fixture *f = *state;
    f->rights->can_spawn = false;
    (void)run(f, "oversteps");
    assert_int_equal(f->opened.world.last_reason, PD_EXIT_NORMAL);
}

/* The end of the fuel is caught too, but there is none left to go on with. */
static void a_process_without_fuel_does_not_go_far(void **state)
{
    struct fixture *f = *state;
    f->rights->fuel_portions_max = 1;
    assert_string_equal(run(f, "spins"), "exited with code 100");
    (void)run(f, "spins_on");
    assert_int_equal(f->opened.world.last_reason, PD_EXIT_FUEL);
}

static void a_kill_reaches_the_innermost_call(void **state)
{
    struct fixture *f = *state;
    static const char *const functions[] = {"waits", "spins"};
    for (size_t i = 0; i < 2; i++) {
        struct world *world = &f->opened.world;
        uint64_t pid = world_spawn(world, f->module, f->rights, functions[i])->pid;
        world_pass(world, 5 * MS);
        assert_true(pd_mailbox_exists(world->environment, pid));
        assert_int_equal(pd_mailbox_kill(world->environment, pid, PD_EXIT_KILLED, NULL), PD_OK);
        world_settle(world);
        assert_int_equal(world->last_pid, pid);
        assert_int_equal(world->last_reason, PD_EXIT_KILLED);
    }
}

static void without_the_export_it_traps(void **state)
{
    struct fixture *f = *state;
    pd_module_release(f->module);
    f->module = engine_load(&f->opened, "(module\n"
                                        "  (import \"lunatic::trap\" \"catch\"\n"
                                        "    (func $catch (param i32 i32) (result i32)))\n"
                                        "  (func (export \"main\")\n"
                                        "    (drop (call $catch (i32.const 0) (i32.const 0)))))\n");
    const char *text = run(f, "main");
    assert_non_null(strstr(text, "_lunatic_catch_trap"));
    assert_int_equal(f->opened.world.last_reason, PD_EXIT_FAILURE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_returns_is_passed_on, setup, teardown),
        cmocka_unit_test_setup_teardown(every_ending_inside_is_0, setup, teardown),
        cmocka_unit_test_setup_teardown(the_inner_call_may_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(catches_nest_to_a_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(a_denial_is_caught_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(a_process_without_fuel_does_not_go_far, setup, teardown),
        cmocka_unit_test_setup_teardown(a_kill_reaches_the_innermost_call, setup, teardown),
        cmocka_unit_test_setup_teardown(without_the_export_it_traps, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
