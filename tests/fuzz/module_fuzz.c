/* Loading modules under libFuzzer: any bytes, and what loads is run for a moment.
 *
 * Input     The module; bytes that do not begin as one get the header of a core module put before
 *           them, so that mutations reach the sections.
 * Properties  Loading ends in a module or in a status with a message; a guest of it ends, waits or
 *             yields;
 *           nothing leaks or is touched out of bounds (ASan on Pando's half), the program never
 *           ends. */
#include "../unit/wasm/guest_world.h"

#define STEPS_MAX 20
#define INPUT_MAX (1u << 16)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static struct world world;

static void run_exports(struct pd_module *module)
{
    for (uint32_t i = 0; i < module->export_count && i < 8; i++) {
        const struct pd_module_export *export = &module->exports[i];
        struct process process = {.deadline_ns = PD_TIME_NEVER};
        struct pd_guest_limits limits = limits_of(1u << 20, 50000);
        if (pd_guest_create(&world.machine, module, &limits, &process, &process.guest) != PD_OK) {
            return;
        }
        wasmtime_val_t params[PD_MODULE_PARAMS_MAX] = {{0}};
        uint32_t count = export->param_count <= PD_MODULE_PARAMS_MAX ? export->param_count : 0;
        for (uint32_t p = 0; p < count; p++) {
            params[p].kind = export->params[p] <= WASMTIME_V128 ? export->params[p] : WASMTIME_I32;
        }
        struct pd_guest_entry entry = {.function = export->name,
                                       .function_size = export->name_size,
                                       .is_initialized_first = true,
                                       .params = params,
                                       .param_count = count};
        assert_int_equal(pd_guest_start(process.guest, &entry), PD_OK);
        enum pd_guest_step step = PD_GUEST_YIELDED;
        for (int s = 0; s < STEPS_MAX && step != PD_GUEST_EXITED; s++) {
            if (!run_job(&world.host) && process.inbox_count == 0) {
                give(&process, 1);
            }
            step = pd_guest_step(process.guest);
        }
        if (step == PD_GUEST_EXITED) {
            char text[2000];
            (void)pd_guest_exit_text(process.guest, text, sizeof text);
            (void)pd_guest_backtrace_text(process.guest, text, sizeof text);
        }
        pd_guest_destroy(process.guest);
        while (run_job(&world.host)) {
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const uint8_t header[8] = {0, 'a', 's', 'm', 1, 0, 0, 0};
    static uint8_t input[INPUT_MAX + sizeof header];
    if (world.engine.engine == NULL) {
        /* Deterministic: compiles on one thread, so that a failing input fails alone. */
        world_open_with(&world, PD_ENGINE_DENSE, 10000, true);
    }
    if (size > INPUT_MAX) {
        return -1;
    }
    size_t at = size > 0 && bytes[0] == 0 ? 0 : sizeof header;
    memcpy(input, header, sizeof header);
    if (size > 0) {
        memcpy(input + at, bytes, size);
    }
    struct pd_module_source source = {
        .bytes = input, .size = at + size, .wasm_bytes_max = INPUT_MAX};
    struct pd_module_message message;
    struct pd_module *module = NULL;
    enum pd_status status = pd_module_load(&world.linker, &source, &module, &message);
    if (status == PD_OK) {
        run_exports(module);
        pd_module_release(module);
    } else {
        assert_int_not_equal(message.text[0], '\0');
        assert_non_null(memchr(message.text, '\0', sizeof message.text));
    }
    return 0;
}
