/* Engines: what they refuse, how many guarded guests there is room for, and file:line in
 * backtraces. */
#include "guest_world.h"

static void open_and_close(struct pd_engine_config config, enum pd_status status)
{
    struct pd_engine engine;
    assert_int_equal(pd_engine_open(&engine, &config), status);
    if (status == PD_OK) {
        pd_engine_close(&engine);
    }
    pd_engine_close(&engine); /* again, or after a failure: nothing */
}

static void configurations_are_checked(void **state)
{
    (void)state;
    struct pd_engine_config config = pd_engine_config_default();
    open_and_close(config, PD_OK);
    config.is_deterministic = true;
    open_and_close(config, PD_OK);
    config = pd_engine_config_default();
    config.profile = PD_ENGINE_GUARDED;
    config.guests_max = 0;
    open_and_close(config, PD_ERR_INVALID);
    config.guests_max = 10;
    config.memory_bytes_max = 0;
    open_and_close(config, PD_ERR_INVALID);
    config.memory_bytes_max = (4ull << 30) + 1;
    open_and_close(config, PD_ERR_INVALID);
    assert_non_null(strstr(pd_engine_version_text(), "Wasmtime "));
}

static uint32_t slots(uint32_t guests_max, uint64_t map_count_max)
{
    struct pd_engine_config config = pd_engine_config_default();
    config.profile = PD_ENGINE_GUARDED;
    config.guests_max = guests_max;
    config.map_count_max = map_count_max;
    struct pd_engine engine;
    assert_int_equal(pd_engine_open(&engine, &config), PD_OK);
    uint32_t count = engine.guests_max;
    pd_engine_close(&engine);
    return count;
}

static void guarded_guests_fit_into_the_systems_mappings(void **state)
{
    (void)state;
    assert_int_equal(slots(10, 0), 10);
    assert_int_equal(slots(10, 100), 1);
    assert_in_range(slots(1000, 4096 + 600), 90, 100);
}

static void settings_tell_engines_apart(void **state)
{
    (void)state;
    struct pd_engine_config config = pd_engine_config_default();
    struct pd_engine engines[3];
    assert_int_equal(pd_engine_open(&engines[0], &config), PD_OK);
    config.is_deterministic = true;
    assert_int_equal(pd_engine_open(&engines[1], &config), PD_OK);
    config.profile = PD_ENGINE_GUARDED;
    assert_int_equal(pd_engine_open(&engines[2], &config), PD_OK);
    for (int i = 0; i < 3; i++) {
        for (int j = i + 1; j < 3; j++) {
            assert_string_not_equal(engines[i].settings, engines[j].settings);
        }
    }
    for (int i = 0; i < 3; i++) {
        pd_engine_close(&engines[i]);
    }
}

/* The same arithmetic gives the same bits: 0/0 is the canonical NaN whatever its operands
 * carried. */
static void deterministic_engines_canonicalize(void **state)
{
    (void)state;
    struct world world;
    world_open_with(&world, PD_ENGINE_DENSE, 10000, true);
    struct pd_module *module =
        load(&world, "(module (import \"t\" \"report\" (func $report (param i32)))"
                     "(func (export \"f\") (call $report (i32.reinterpret_f32 (f32.add"
                     "  (f32.reinterpret_i32 (i32.const 0xffc12345)) (f32.const 1))))))");
    struct process process;
    spawn(&world, &process, module, "f");
    assert_int_equal(run_guest(&process), PD_GUEST_EXITED);
    assert_int_equal(process.sum, 0x7fc00000);
    pd_guest_destroy(process.guest);
    pd_module_release(module);
    world_close(&world);
}

/* Who traps pays for a walk up the stack; the lines are looked up when somebody asks for them. */
static void backtraces_name_file_and_line(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, PD_ENGINE_DENSE, 10000);
    assert_string_equal(getenv("WASMTIME_BACKTRACE_DETAILS"), "0");
    FILE *file = fopen(PD_TEST_GUEST_DIR "/trap_lines.wasm", "rbe");
    assert_non_null(file);
    static uint8_t bytes[1u << 20];
    struct pd_module_source source = {.bytes = bytes,
                                      .size = fread(bytes, 1, sizeof bytes, file),
                                      .wasm_bytes_max = sizeof bytes};
    (void)fclose(file);
    for (int has_lines = 0; has_lines < 2; has_lines++) {
        world.engine.config.has_file_lines = has_lines == 1;
        struct pd_module_message message;
        struct pd_module *module = NULL;
        assert_int_equal(pd_module_load(&world.linker, &source, &module, &message), PD_OK);
        struct process process;
        spawn(&world, &process, module, "outer");
        assert_int_equal(run_guest(&process), PD_GUEST_EXITED);
        assert_end(&process, PD_GUEST_TRAP);
        char text[2000];
        (void)pd_guest_backtrace_text(process.guest, text, sizeof text);
        if (has_lines == 1) {
            assert_non_null(strstr(text, "  0: inner\n       at "));
            assert_non_null(strstr(text, "trap_lines.c:6:9\n"));
            assert_non_null(strstr(text, "  1: outer\n       at "));
            assert_non_null(strstr(text, "trap_lines.c:14:12\n"));
        } else {
            assert_string_equal(text, "  0: inner\n  1: outer\n");
        }
        pd_guest_destroy(process.guest);
        pd_module_release(module);
    }
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configurations_are_checked),
        cmocka_unit_test(guarded_guests_fit_into_the_systems_mappings),
        cmocka_unit_test(settings_tell_engines_apart),
        cmocka_unit_test(deterministic_engines_canonicalize),
        cmocka_unit_test(backtraces_name_file_and_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
