#include "wasm/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/assert.h"
#include "wasm/text.h"

/* A guarded guest takes four or five mappings; the rest of the program needs some too. */
#define MAPPINGS_PER_GUEST 6u
#define MAPPINGS_RESERVED 4096u
#define MAP_COUNT_DEFAULT 65530u

/* TSan does not see how Wasmtime's own threads agree, since Rust's half is not built with it. */
#if defined(__SANITIZE_THREAD__)
#define COMPILES_ON_ONE_THREAD true
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define COMPILES_ON_ONE_THREAD true
#endif
#endif
#ifndef COMPILES_ON_ONE_THREAD
#define COMPILES_ON_ONE_THREAD false
#endif

#define GIB (1024ull * 1024 * 1024)
/* Guarded memories get Wasmtime's own reservation, so that 32-bit addresses need no check. */
#define GUARDED_RESERVATION (4u * GIB)
#define GUARDED_GUARD_SIZE (32ull * 1024 * 1024)
#define KEEP_RESIDENT_SIZE (64u * 1024u)

struct pd_engine_config pd_engine_config_default(void)
{
    struct pd_engine_config config = {
        .profile = PD_ENGINE_DENSE,
        .has_file_lines = true,
        .guests_max = 1000,
        .memory_bytes_max = GUARDED_RESERVATION,
    };
    return config;
}

const char *pd_engine_version_text(void)
{
    return "Wasmtime " WASMTIME_VERSION;
}

void pd_engine_take_error(wasmtime_error_t *error, char *text, size_t text_size)
{
    wasm_name_t message;
    wasmtime_error_message(error, &message);
    pd_text_copy(text, text_size, message.data, message.size);
    wasm_byte_vec_delete(&message);
    wasmtime_error_delete(error);
}

/* What guest code may be: all that rustc, clang, Go and Zig emit by default is on in Wasmtime's
 * defaults; what one guest with one 32-bit memory cannot use is off. */
static void set_features(wasm_config_t *config, bool is_deterministic)
{
    wasmtime_config_wasm_multi_memory_set(config, false);
    wasmtime_config_wasm_memory64_set(config, false);
    wasmtime_config_wasm_relaxed_simd_deterministic_set(config, is_deterministic);
    wasmtime_config_cranelift_nan_canonicalization_set(config, is_deterministic);
    wasmtime_config_parallel_compilation_set(config, !is_deterministic && !COMPILES_ON_ONE_THREAD);
}

/* The rules of the reference: guard 0 or the compiler trusts a guard that is not there; may_move or
 * it checks the reservation in place of the size; no copy-on-write images over memory of the
 * caller's. */
static void set_dense(wasm_config_t *config, const struct pd_engine_config *options)
{
    wasmtime_config_memory_reservation_set(config, 0);
    wasmtime_config_memory_guard_size_set(config, 0);
    wasmtime_config_memory_may_move_set(config, true);
    wasmtime_config_memory_init_cow_set(config, false);
    wasmtime_config_signals_based_traps_set(config, false);
    if (options->memory_creator != NULL) {
        wasmtime_config_host_memory_creator_set(config, options->memory_creator);
    }
    if (options->stack_creator != NULL) {
        wasmtime_config_host_stack_creator_set(config, options->stack_creator);
    }
}

/* Wasmtime ends the program if it cannot reserve the slots: try it first, with as many as there is
 * room for. */
static uint32_t guarded_slots(const struct pd_engine_config *options)
{
    uint64_t map_count = options->map_count_max != 0 ? options->map_count_max : MAP_COUNT_DEFAULT;
    uint64_t slots = map_count > MAPPINGS_RESERVED + MAPPINGS_PER_GUEST
                         ? (map_count - MAPPINGS_RESERVED) / MAPPINGS_PER_GUEST
                         : 1;
    if (slots > options->guests_max) {
        slots = options->guests_max;
    }
    for (; slots > 0; slots /= 2) {
        size_t size = (size_t)((slots + 1) * (GUARDED_RESERVATION + GUARDED_GUARD_SIZE));
        void *probe =
            mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (probe != MAP_FAILED) {
            int failed = munmap(probe, size);
            pd_assert(failed == 0);
            return (uint32_t)slots;
        }
    }
    return 0;
}

static void set_guarded(wasm_config_t *config, const struct pd_engine_config *options,
                        uint32_t slots)
{
    wasmtime_config_memory_reservation_set(config, GUARDED_RESERVATION);
    wasmtime_config_memory_guard_size_set(config, GUARDED_GUARD_SIZE);
    wasmtime_pooling_allocation_config_t *pool = wasmtime_pooling_allocation_config_new();
    wasmtime_pooling_allocation_config_total_core_instances_set(pool, slots);
    wasmtime_pooling_allocation_config_total_memories_set(pool, slots);
    wasmtime_pooling_allocation_config_total_tables_set(pool, slots);
    /* Calls from host functions back into the guest take a stack of their own. */
    wasmtime_pooling_allocation_config_total_stacks_set(pool, slots + slots / 4 + 8);
    wasmtime_pooling_allocation_config_max_memories_per_module_set(pool, 1);
    wasmtime_pooling_allocation_config_max_tables_per_module_set(pool, 1);
    wasmtime_pooling_allocation_config_table_elements_set(pool, PD_GUEST_TABLE_ELEMENTS_MAX);
    wasmtime_pooling_allocation_config_max_memory_size_set(pool, (size_t)options->memory_bytes_max);
    wasmtime_pooling_allocation_config_linear_memory_keep_resident_set(pool, KEEP_RESIDENT_SIZE);
    wasmtime_pooling_allocation_config_async_stack_keep_resident_set(pool, KEEP_RESIDENT_SIZE);
    wasmtime_pooling_allocation_strategy_set(config, pool);
    wasmtime_pooling_allocation_config_delete(pool);
}

static void write_settings(struct pd_engine *engine)
{
    const struct pd_engine_config *config = &engine->config;
    int size = snprintf(
        engine->settings, sizeof engine->settings,
        "profile=%s fuel=1 stack=%u wasm_stack=%u multi_memory=0 memory64=0 "
        "nan_canonical=%d relaxed_simd_deterministic=%d dwarf=0 "
        "memory_bytes_max=%llu opt=speed",
        config->profile == PD_ENGINE_DENSE ? "dense" : "guarded", PD_GUEST_STACK_SIZE,
        PD_GUEST_WASM_STACK_SIZE, config->is_deterministic, config->is_deterministic,
        config->profile == PD_ENGINE_DENSE ? 0ull : (unsigned long long)config->memory_bytes_max);
    pd_assert(size > 0 && (size_t)size < sizeof engine->settings);
}

enum pd_status pd_engine_open(struct pd_engine *engine, const struct pd_engine_config *config)
{
    memset(engine, 0, sizeof *engine);
    engine->config = *config;
    if (config->profile == PD_ENGINE_GUARDED) {
        if (config->guests_max == 0 || config->memory_bytes_max == 0 ||
            config->memory_bytes_max > GUARDED_RESERVATION) {
            return PD_ERR_INVALID;
        }
        engine->guests_max = guarded_slots(config);
        if (engine->guests_max == 0) {
            return PD_ERR_UNSUPPORTED;
        }
    }
    /* Else Wasmtime would read all DWARF of a module for each frame of each trap. */
    if (setenv("WASMTIME_BACKTRACE_DETAILS", "0", 1) != 0) {
        return PD_ERR_UNSUPPORTED;
    }
    wasm_config_t *wasm = wasm_config_new();
    wasmtime_config_consume_fuel_set(wasm, true);
    wasmtime_config_async_stack_size_set(wasm, PD_GUEST_STACK_SIZE);
    wasmtime_config_max_wasm_stack_set(wasm, PD_GUEST_WASM_STACK_SIZE);
    set_features(wasm, config->is_deterministic);
    switch (config->profile) {
    case PD_ENGINE_DENSE:
        set_dense(wasm, config);
        break;
    case PD_ENGINE_GUARDED:
        set_guarded(wasm, config, engine->guests_max);
        break;
    }
    engine->engine = wasm_engine_new_with_config(wasm);
    if (engine->engine == NULL) {
        return PD_ERR_UNSUPPORTED;
    }
    write_settings(engine);
    return PD_OK;
}

void pd_engine_close(struct pd_engine *engine)
{
    if (engine->engine != NULL) {
        wasm_engine_delete(engine->engine);
        engine->engine = NULL;
    }
}
