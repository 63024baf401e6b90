#include "bare_engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FUEL_SLICE 100000u
#define ASYNC_STACK_BYTES (128u << 10)
#define WASM_STACK_BYTES (64u << 10)
#define MEMORY_BYTES_MAX (INT64_C(1) << 32)
/* As src/node/program.c opens its slabs and src/wasm/engine.c its engines: change them together. */
#define MEMORY_SLOT_BYTES_MIN (64u << 10)
#define HOT_SLOTS_MAX 4096u
#define SLOTS_MAX ((1u << 20) + HOT_SLOTS_MAX)
#define DIRTY_BYTES_MAX (UINT64_C(32) << 20)
#define ADDRESS_SPACE_MAX (UINT64_C(1) << 45)
#define TABLE_ELEMENTS_MAX 99999
#define GUARDED_GUARD_BYTES (UINT64_C(32) << 20)
#define GUARDED_GUESTS_MAX 10000u
#define GUARDED_KEEP_RESIDENT_BYTES (64u << 10)

_Noreturn void bare_fail(const char *what, const char *why)
{
    printf("FAILED %s: %s\n", what, why);
    exit(1);
}

static void check(wasmtime_error_t *error, const char *what)
{
    if (error == NULL) {
        return;
    }
    wasm_name_t message;
    char text[200];
    wasmtime_error_message(error, &message);
    (void)snprintf(text, sizeof text, "%.*s", (int)message.size, message.data);
    bare_fail(what, text);
}

/* ---- Host functions -------------------------------------------------------------------------- */

static wasm_trap_t *host_nothing(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *values,
                                 size_t count)
{
    (void)env;
    (void)caller;
    (void)count;
    values[0].i32 = 0;
    return NULL;
}

/* write_data and read_data: as many bytes as were asked for. */
static wasm_trap_t *host_all_bytes(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *values,
                                   size_t count)
{
    (void)env;
    (void)caller;
    (void)count;
    values[0].i32 = values[1].i32;
    return NULL;
}

static bool receive_poll(void *env)
{
    struct bare_actor *actor = env;
    bool ready = actor->ready;
    actor->ready = false;
    return ready;
}

static void host_receive(void *env, wasmtime_caller_t *caller, const wasmtime_val_t *args,
                         size_t arg_count, wasmtime_val_t *results, size_t result_count,
                         wasm_trap_t **trap_out, wasmtime_async_continuation_t *continuation_out)
{
    (void)env;
    (void)args;
    (void)arg_count;
    (void)result_count;
    (void)trap_out;
    wasmtime_context_t *context = wasmtime_caller_context(caller);
    struct bare_actor *actor = wasmtime_context_get_data(context);
    actor->ready = false;
    results[0] = (wasmtime_val_t){.kind = WASMTIME_I32, .of = {.i32 = 0}};
    *continuation_out = (wasmtime_async_continuation_t){.callback = receive_poll, .env = actor};
}

/* Guest memory [address, address + size). */
static uint8_t *guest_bytes(wasmtime_caller_t *caller, int32_t address, size_t size)
{
    wasmtime_extern_t item;
    if (!wasmtime_caller_export_get(caller, "memory", 6, &item) ||
        item.kind != WASMTIME_EXTERN_MEMORY) {
        bare_fail("guest", "it exports no memory");
    }
    wasmtime_context_t *context = wasmtime_caller_context(caller);
    size_t begin = (uint32_t)address;
    size_t bound = wasmtime_memory_data_size(context, &item.of.memory);
    if (begin > bound || size > bound - begin) {
        bare_fail("guest", "a pointer is out of bounds");
    }
    return wasmtime_memory_data(context, &item.of.memory) + begin;
}

static wasm_trap_t *host_clock(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *values,
                               size_t count)
{
    (void)env;
    (void)count;
    struct timespec now;
    (void)clock_gettime(values[0].i32 == 0 ? CLOCK_REALTIME : CLOCK_MONOTONIC, &now);
    uint64_t nanoseconds = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    memcpy(guest_bytes(caller, values[2].i32, sizeof nanoseconds), &nanoseconds,
           sizeof nanoseconds);
    values[0].i32 = 0;
    return NULL;
}

static wasm_trap_t *host_args_sizes(void *env, wasmtime_caller_t *caller,
                                    wasmtime_val_raw_t *values, size_t count)
{
    (void)count;
    const struct bare_engine *engine = env;
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < engine->argument_count; i++) {
        bytes += (uint32_t)strlen(engine->arguments[i]) + 1;
    }
    memcpy(guest_bytes(caller, values[0].i32, 4), &engine->argument_count, 4);
    memcpy(guest_bytes(caller, values[1].i32, 4), &bytes, 4);
    values[0].i32 = 0;
    return NULL;
}

static wasm_trap_t *host_args(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *values,
                              size_t count)
{
    (void)count;
    const struct bare_engine *engine = env;
    int32_t pointers = values[0].i32;
    int32_t bytes = values[1].i32;
    for (uint32_t i = 0; i < engine->argument_count; i++) {
        size_t size = strlen(engine->arguments[i]) + 1;
        memcpy(guest_bytes(caller, pointers + (int32_t)(4 * i), 4), &bytes, 4);
        memcpy(guest_bytes(caller, bytes, size), engine->arguments[i], size);
        bytes += (int32_t)size;
    }
    values[0].i32 = 0;
    return NULL;
}

/* The guests write one vector at a time, all of it to fd 2. */
static wasm_trap_t *host_write(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *values,
                               size_t count)
{
    (void)env;
    (void)count;
    int32_t vector[2];
    memcpy(vector, guest_bytes(caller, values[1].i32, sizeof vector), sizeof vector);
    size_t size = (uint32_t)vector[1];
    (void)fwrite(guest_bytes(caller, vector[0], size), 1, size, stdout);
    (void)fflush(stdout);
    memcpy(guest_bytes(caller, values[3].i32, 4), &vector[1], 4);
    values[0].i32 = 0;
    return NULL;
}

struct host_function {
    const char *module;
    const char *name;
    const char *signature; /* i = i32, I = i64; a result after '>' */
    wasmtime_func_unchecked_callback_t callback;
};

static const struct host_function host_functions[] = {
    {"lunatic::message", "create_data", "II", host_nothing},
    {"lunatic::message", "write_data", "ii>i", host_all_bytes},
    {"lunatic::message", "read_data", "ii>i", host_all_bytes},
    {"lunatic::message", "send", "I>i", host_nothing},
    {"wasi_snapshot_preview1", "clock_time_get", "iIi>i", host_clock},
    {"wasi_snapshot_preview1", "args_sizes_get", "ii>i", host_args_sizes},
    {"wasi_snapshot_preview1", "args_get", "ii>i", host_args},
    {"wasi_snapshot_preview1", "fd_write", "iiii>i", host_write},
};

static wasm_functype_t *function_type(const char *signature)
{
    wasm_valtype_t *params[8];
    wasm_valtype_t *results[1];
    size_t param_count = 0;
    size_t result_count = 0;
    bool in_results = false;
    for (; *signature != '\0'; signature++) {
        if (*signature == '>') {
            in_results = true;
        } else {
            wasm_valtype_t *type = wasm_valtype_new(*signature == 'I' ? WASM_I64 : WASM_I32);
            if (in_results) {
                results[result_count++] = type;
            } else {
                params[param_count++] = type;
            }
        }
    }
    wasm_valtype_vec_t param_vec;
    wasm_valtype_vec_t result_vec;
    wasm_valtype_vec_new(&param_vec, param_count, params);
    wasm_valtype_vec_new(&result_vec, result_count, results);
    return wasm_functype_new(&param_vec, &result_vec);
}

static void link_imports(struct bare_engine *engine)
{
    engine->linker = wasmtime_linker_new(engine->engine);
    for (size_t i = 0; i < sizeof host_functions / sizeof host_functions[0]; i++) {
        const struct host_function *function = &host_functions[i];
        wasm_functype_t *type = function_type(function->signature);
        check(wasmtime_linker_define_func_unchecked(
                  engine->linker, function->module, strlen(function->module), function->name,
                  strlen(function->name), type, function->callback, engine, NULL),
              function->name);
        wasm_functype_delete(type);
    }
    wasm_functype_t *type = function_type("iiI>i");
    check(wasmtime_linker_define_async_func(engine->linker, "lunatic::message", 16, "receive", 7,
                                            type, host_receive, NULL, NULL),
          "receive");
    wasm_functype_delete(type);
    check(wasmtime_linker_define_unknown_imports_as_traps(engine->linker, engine->module),
          "imports");
    check(wasmtime_linker_instantiate_pre(engine->linker, engine->module, &engine->pre),
          "instantiate_pre");
}

/* ---- Engine ---------------------------------------------------------------------------------- */

/* Pando has a shard for each scheduler thread, and a thread for each processor. */
static uint32_t shard_count(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : count > PD_SLAB_SHARDS_MAX ? PD_SLAB_SHARDS_MAX : (uint32_t)count;
}

static struct pd_slab *open_slab(enum pd_slab_kind kind, size_t slot_size_min, size_t slot_size_max,
                                 uint64_t dirty_bytes_max)
{
    struct pd_slab_config config = {
        .kind = kind,
        .slot_size_min = slot_size_min,
        .slot_size_max = slot_size_max,
        .bytes_max = ADDRESS_SPACE_MAX,
        .slots_max = SLOTS_MAX,
        .hot_slots_max = HOT_SLOTS_MAX,
        .dirty_bytes_max = dirty_bytes_max,
        .shards = shard_count(),
        .finder = PD_PAGES_AUTO,
    };
    struct pd_slab *slab = NULL;
    if (pd_slab_open(&config, &slab) != PD_OK) {
        bare_fail("slab", "cannot be opened");
    }
    return slab;
}

/* Pando's other profile: Wasmtime's pool, with guard pages. */
static void configure_guarded(wasm_config_t *config)
{
    wasmtime_config_memory_reservation_set(config, (uint64_t)MEMORY_BYTES_MAX);
    wasmtime_config_memory_guard_size_set(config, GUARDED_GUARD_BYTES);
    wasmtime_pooling_allocation_config_t *pool = wasmtime_pooling_allocation_config_new();
    wasmtime_pooling_allocation_config_total_core_instances_set(pool, GUARDED_GUESTS_MAX);
    wasmtime_pooling_allocation_config_total_memories_set(pool, GUARDED_GUESTS_MAX);
    wasmtime_pooling_allocation_config_total_tables_set(pool, GUARDED_GUESTS_MAX);
    wasmtime_pooling_allocation_config_total_stacks_set(pool, GUARDED_GUESTS_MAX);
    wasmtime_pooling_allocation_config_max_memories_per_module_set(pool, 1);
    wasmtime_pooling_allocation_config_max_tables_per_module_set(pool, 1);
    wasmtime_pooling_allocation_config_table_elements_set(pool, TABLE_ELEMENTS_MAX);
    wasmtime_pooling_allocation_config_max_memory_size_set(pool, (size_t)MEMORY_BYTES_MAX);
    wasmtime_pooling_allocation_config_linear_memory_keep_resident_set(pool,
                                                                       GUARDED_KEEP_RESIDENT_BYTES);
    wasmtime_pooling_allocation_config_async_stack_keep_resident_set(pool,
                                                                     GUARDED_KEEP_RESIDENT_BYTES);
    wasmtime_pooling_allocation_strategy_set(config, pool);
    wasmtime_pooling_allocation_config_delete(pool);
}

static void configure(struct bare_engine *engine, wasm_config_t *config)
{
    wasmtime_config_async_stack_size_set(config, ASYNC_STACK_BYTES);
    wasmtime_config_max_wasm_stack_set(config, WASM_STACK_BYTES);
    wasmtime_config_wasm_multi_memory_set(config, false);
    wasmtime_config_wasm_memory64_set(config, false);
    wasmtime_config_consume_fuel_set(config, engine->has_fuel);
    if (engine->profile == BARE_FASTEST) {
        return; /* guard pages and signals are Wasmtime's defaults */
    }
    if (engine->profile == BARE_GUARDED) {
        configure_guarded(config);
        return;
    }
    wasmtime_config_memory_reservation_set(config, 0);
    wasmtime_config_memory_guard_size_set(config, 0);
    wasmtime_config_memory_may_move_set(config, true);
    wasmtime_config_memory_init_cow_set(config, false);
    wasmtime_config_signals_based_traps_set(config, false);
    engine->memories =
        open_slab(PD_SLAB_MEMORY, MEMORY_SLOT_BYTES_MIN, (size_t)MEMORY_BYTES_MAX, DIRTY_BYTES_MAX);
    engine->stacks = open_slab(PD_SLAB_STACK, ASYNC_STACK_BYTES, ASYNC_STACK_BYTES, 0);
    pd_creators_init(&engine->creators, engine->memories, engine->stacks);
    wasmtime_config_host_memory_creator_set(config, &engine->creators.memory);
    wasmtime_config_host_stack_creator_set(config, &engine->creators.stack);
}

static void read_file(const char *path, wasm_byte_vec_t *bytes_out)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        bare_fail(path, "cannot be read");
    }
    long size = ftell(file);
    rewind(file);
    if (size <= 0) {
        bare_fail(path, "is empty");
    }
    wasm_byte_vec_new_uninitialized(bytes_out, (size_t)size);
    if (fread(bytes_out->data, 1, (size_t)size, file) != (size_t)size) {
        bare_fail(path, "cannot be read whole");
    }
    (void)fclose(file);
}

void bare_engine_open(struct bare_engine *engine, enum bare_profile profile, const char *path)
{
    *engine = (struct bare_engine){
        .profile = profile,
        .has_fuel = profile == BARE_FUEL || profile == BARE_GUARDED,
    };
    wasm_config_t *config = wasm_config_new();
    configure(engine, config);
    engine->engine = wasm_engine_new_with_config(config);
    wasm_byte_vec_t bytes;
    read_file(path, &bytes);
    check(wasmtime_module_new(engine->engine, (const uint8_t *)bytes.data, bytes.size,
                              &engine->module),
          path);
    wasm_byte_vec_delete(&bytes);
    link_imports(engine);
}

void bare_engine_close(struct bare_engine *engine)
{
    wasmtime_instance_pre_delete(engine->pre);
    wasmtime_linker_delete(engine->linker);
    wasmtime_module_delete(engine->module);
    wasm_engine_delete(engine->engine);
    pd_slab_close(engine->memories);
    pd_slab_close(engine->stacks);
}

/* ---- Actors ---------------------------------------------------------------------------------- */

void bare_actor_open(struct bare_engine *engine, struct bare_actor *actor, const char *name,
                     bool takes_argument)
{
    actor->trap = NULL;
    actor->error = NULL;
    actor->ready = false;
    actor->argument = (wasmtime_val_t){.kind = WASMTIME_I64, .of = {.i64 = 1}};
    actor->store = wasmtime_store_new(engine->engine, actor, NULL);
    actor->context = wasmtime_store_context(actor->store);
    wasmtime_store_limiter(actor->store, MEMORY_BYTES_MAX, TABLE_ELEMENTS_MAX, 1, 1, 1);
    if (engine->has_fuel) {
        check(wasmtime_context_set_fuel(actor->context, UINT64_MAX), "set_fuel");
        check(wasmtime_context_fuel_async_yield_interval(actor->context, FUEL_SLICE),
              "yield interval");
    }
    wasmtime_call_future_t *future = wasmtime_instance_pre_instantiate_async(
        engine->pre, actor->context, &actor->instance, &actor->trap, &actor->error);
    while (!wasmtime_call_future_poll(future)) {
    }
    wasmtime_call_future_delete(future);
    if (actor->trap != NULL) {
        bare_fail("instantiate", "trapped");
    }
    check(actor->error, "instantiate");
    wasmtime_extern_t item;
    if (!wasmtime_instance_export_get(actor->context, &actor->instance, name, strlen(name),
                                      &item) ||
        item.kind != WASMTIME_EXTERN_FUNC) {
        bare_fail(name, "the module does not export this function");
    }
    actor->function = item.of.func;
    actor->future =
        wasmtime_func_call_async(actor->context, &actor->function, &actor->argument,
                                 takes_argument ? 1 : 0, NULL, 0, &actor->trap, &actor->error);
}

enum bare_state bare_actor_run(struct bare_actor *actor)
{
    if (!wasmtime_call_future_poll(actor->future)) {
        return BARE_PENDING;
    }
    return actor->trap != NULL || actor->error != NULL ? BARE_TRAPPED : BARE_DONE;
}

void bare_actor_close(struct bare_actor *actor)
{
    wasmtime_call_future_delete(actor->future);
    if (actor->trap != NULL) {
        wasm_trap_delete(actor->trap);
    }
    if (actor->error != NULL) {
        wasmtime_error_delete(actor->error);
    }
    wasmtime_store_delete(actor->store);
}
