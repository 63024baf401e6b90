/* lunatic with real guests where only those show it: what becomes of a child's entry, code that
 * runs at instantiation, a message after a trap that was caught, and memory that the host asks
 * for. */
#include "abi_engine.h"
#include "base/memory_budget.h"
#include "host/certificates.h"

#define GUEST PD_TEST_GUEST_DIR "/spawned.wasm"

/* Its start function spawns: that is refused. */
static const char eager_wat[] =
    "(module\n"
    "  (import \"lunatic::process\" \"spawn\" (func $spawn\n"
    "    (param i64 i64 i64 i32 i32 i32 i32 i32) (result i32)))\n"
    "  (memory (export \"memory\") 1)\n"
    "  (func $start (drop (call $spawn (i64.const 0) (i64.const -1) (i64.const -1) (i32.const 0)\n"
    "    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))))\n"
    "  (start $start)\n"
    "  (func (export \"main\")))\n";

static struct pd_module *load_file(struct engine_world *opened, const char *path)
{
    static uint8_t bytes[65536];
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t size = fread(bytes, 1, sizeof bytes, file);
    assert_true(size < sizeof bytes);
    assert_int_equal(fclose(file), 0);
    const struct pd_module_source source = {
        .bytes = bytes, .size = size, .wasm_bytes_max = sizeof bytes};
    struct pd_module_message message;
    struct pd_module *module = NULL;
    assert_int_equal(pd_module_load(&opened->linker, &source, &module, &message), PD_OK);
    return module;
}

struct ending {
    struct engine_world opened;
    uint64_t pid;
};

static bool has_ended(void *context)
{
    const struct ending *ending = context;
    return !pd_mailbox_exists(ending->opened.world.environment, ending->pid);
}

/* Run a function, of a text or of the file, until it ends: what it said, and the reason. */
static const char *run(const char *wat, const char *function, enum pd_exit_reason *reason_out)
{
    static struct ending ending;
    static char text[600];
    struct world *world = &ending.opened.world;
    engine_world_open(&ending.opened);
    world->system.certificates = pd_real_certificates();
    struct pd_module *module =
        wat != NULL ? engine_load(&ending.opened, wat) : load_file(&ending.opened, GUEST);
    struct pd_rights *rights = world_rights(world);
    ending.pid = world_spawn(world, module, rights, function)->pid;
    assert_true(world_run(world, has_ended, &ending));
    assert_int_equal(world->last_pid, ending.pid);
    *reason_out = world->last_reason;
    (void)snprintf(text, sizeof text, "%s", world->last_text);
    pd_rights_release(rights);
    pd_module_release(module);
    engine_world_close(&ending.opened);
    return text;
}

static void expect_good(const char *function)
{
    enum pd_exit_reason reason = PD_EXIT_FAILURE;
    const char *text = run(NULL, function, &reason);
    assert_string_equal(text, "");
    assert_int_equal(reason, PD_EXIT_NORMAL);
}

static void a_function_that_does_not_fit_fails_the_child(void **state)
{
    (void)state;
    expect_good("spawns_what_is_missing");
    expect_good("spawns_with_too_few");
    expect_good("spawns_with_another_type");
}

static void parameters_of_every_type_arrive(void **state)
{
    (void)state;
    expect_good("spawns_with_all");
}

static void a_child_on_the_own_node_answers(void **state)
{
    (void)state;
    expect_good("spawns_on_its_node");
}

static void a_bad_access_discards_the_message(void **state)
{
    (void)state;
    expect_good("writes_badly");
    expect_good("reads_badly");
    expect_good("reads_behind");
}

static void the_host_writes_where_the_guest_gave_room(void **state)
{
    (void)state;
    expect_good("gives_room");
    enum pd_exit_reason reason = PD_EXIT_NORMAL;
    assert_non_null(strstr(run(NULL, "gives_no_room", &reason), "lunatic_alloc failed"));
    assert_int_equal(reason, PD_EXIT_FAILURE);
}

static bool waits_in_receive(void *context)
{
    const struct pd_process *process = context;
    const char *activity = process->behavior->activity(process);
    return activity != NULL && strcmp(activity, "receive") == 0;
}

/* The answer waits for room, and is given back with who is killed. */
static void a_kill_while_the_guest_makes_room_leaves_nothing(void **state)
{
    (void)state;
    static struct engine_world opened;
    engine_world_open(&opened);
    opened.world.system.certificates = pd_real_certificates();
    struct pd_module *module = load_file(&opened, GUEST);
    struct pd_rights *rights = world_rights(&opened.world);
    struct pd_process *process = world_spawn(&opened.world, module, rights, "gives_room_late");
    assert_true(world_run(&opened.world, waits_in_receive, process));
    pd_rights_release(rights);
    pd_module_release(module);
    engine_world_close(&opened); /* it kills whoever lives; ASan counts what stays */
}

static void nobody_spawns_in_its_start_function(void **state)
{
    (void)state;
    enum pd_exit_reason reason = PD_EXIT_NORMAL;
    const char *text = run(eager_wat, "main", &reason);
    assert_non_null(strstr(text, "while the module is instantiated"));
    assert_int_equal(reason, PD_EXIT_FAILURE);
}

/* A table that says how large it may become counts as such, another may grow a little. */
static const char table_wat[] =
    "(module\n"
    "  (table $t %s funcref)\n"
    "  (func (export \"grows\")\n"
    "    (if (i32.ne (table.grow $t (ref.null func) (i32.const %u)) (i32.const 10))\n"
    "      (then unreachable))\n"
    "    (if (i32.ne (table.grow $t (ref.null func) (i32.const 1)) (i32.const -1))\n"
    "      (then unreachable))))\n";

static uint64_t bytes_with_table(const char *limits, uint32_t growth)
{
    static struct ending ending;
    char wat[sizeof table_wat + 32];
    struct world *world = &ending.opened.world;
    struct pd_memory_budget budget = {.bytes_max = UINT64_MAX};
    engine_world_open(&ending.opened);
    world->system.budget = &budget;
    assert_true(snprintf(wat, sizeof wat, table_wat, limits, growth) < (int)sizeof wat);
    struct pd_module *module = engine_load(&ending.opened, wat);
    struct pd_rights *rights = world_rights(world);
    ending.pid = world_spawn(world, module, rights, "grows")->pid;
    uint64_t bytes = atomic_load(&budget.bytes);
    assert_true(world_run(world, has_ended, &ending));
    assert_int_equal(world->last_reason, PD_EXIT_NORMAL);
    assert_int_equal(atomic_load(&budget.bytes), 0);
    pd_rights_release(rights);
    pd_module_release(module);
    engine_world_close(&ending.opened);
    return bytes;
}

static void what_an_instance_takes_counts(void **state)
{
    (void)state;
    uint64_t small = bytes_with_table("10 20", 10);
    uint64_t large = bytes_with_table("10 50000", 49990);
    uint64_t open = bytes_with_table("10", 1024);
    uint64_t endless = bytes_with_table("10 4000000000", PD_GUEST_TABLE_ELEMENTS_MAX - 10);
    assert_true(small >= PD_MEMORY_BUDGET_STACK_BYTES);
    assert_int_equal(large - small, (50000 - 20) * sizeof(void *));
    assert_int_equal(open - small, (10 + 1024 - 20) * sizeof(void *));
    assert_int_equal(endless - small, (PD_GUEST_TABLE_ELEMENTS_MAX - 20) * sizeof(void *));
}

/* Globals, and records of functions that somebody may refer to. */
static void records_and_globals_of_an_instance_count(void **state)
{
    (void)state;
    static const char *const wats[] = {
        "(module (func (export \"f\")))",
        "(module (func (export \"f\")) (global i64 (i64.const 1)) (global i32 (i32.const 2)))",
        "(module (func (export \"f\")) (func) (func) (func))", /* nobody refers to them */
    };
    uint64_t bytes[3];
    static struct engine_world opened;
    engine_world_open(&opened);
    for (uint32_t i = 0; i < 3; i++) {
        struct pd_module *module = engine_load(&opened, wats[i]);
        bytes[i] = module->instance_bytes;
        pd_module_release(module);
    }
    engine_world_close(&opened);
    assert_true(bytes[0] > 0);
    assert_int_equal(bytes[1], bytes[0] + 2 * 16);
    assert_int_equal(bytes[2], bytes[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_function_that_does_not_fit_fails_the_child),
        cmocka_unit_test(parameters_of_every_type_arrive),
        cmocka_unit_test(a_child_on_the_own_node_answers),
        cmocka_unit_test(a_bad_access_discards_the_message),
        cmocka_unit_test(the_host_writes_where_the_guest_gave_room),
        cmocka_unit_test(a_kill_while_the_guest_makes_room_leaves_nothing),
        cmocka_unit_test(nobody_spawns_in_its_start_function),
        cmocka_unit_test(what_an_instance_takes_counts),
        cmocka_unit_test(records_and_globals_of_an_instance_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
