/* The creators alone, then under a real Wasmtime in the dense configuration: growth, bounds, traps,
 * guests killed while they wait, full slabs, and that no guest ever finds another's bytes. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <wasm.h>
#include <wasmtime.h>

#include "base/alloc.h"
#include "wasm/creators.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define STACK_SIZE (128 * KIB)
#define WASM_STACK_SIZE (64 * KIB)
#define WASM_PAGE (64 * KIB)
#define YIELD_INTERVAL 100000u

struct fixture {
    struct pd_slab *memories;
    struct pd_slab *stacks;
    struct pd_creators creators;
};

static void fixture_open(struct fixture *fixture, uint32_t slots_max)
{
    struct pd_slab_config config = {
        .kind = PD_SLAB_MEMORY,
        .slot_size_min = 64 * KIB,
        .slot_size_max = 8 * MIB,
        .bytes_max = (uint64_t)64 << 30,
        .slots_max = slots_max,
        .hot_slots_max = 64,
        .dirty_bytes_max = MIB,
        .shards = 2,
    };
    assert_int_equal(pd_slab_open(&config, &fixture->memories), PD_OK);
    config.kind = PD_SLAB_STACK;
    config.slot_size_min = STACK_SIZE;
    config.slot_size_max = STACK_SIZE;
    assert_int_equal(pd_slab_open(&config, &fixture->stacks), PD_OK);
    pd_creators_init(&fixture->creators, fixture->memories, fixture->stacks);
}

/* Nothing may be left, whatever the test did. */
static void fixture_close(struct fixture *fixture)
{
    assert_int_equal(pd_slab_stats(fixture->memories).slots_live, 0);
    assert_int_equal(pd_slab_stats(fixture->stacks).slots_live, 0);
    pd_slab_check(fixture->memories);
    pd_slab_check(fixture->stacks);
    pd_slab_close(fixture->memories);
    pd_slab_close(fixture->stacks);
}

static void assert_error(wasmtime_error_t *error, const char *want)
{
    assert_non_null(error);
    wasm_name_t text;
    wasmtime_error_message(error, &text);
    char message[1024];
    size_t size = text.size < sizeof message - 1 ? text.size : sizeof message - 1;
    memcpy(message, text.data, size);
    message[size] = 0;
    wasm_name_delete(&text);
    wasmtime_error_delete(error);
    if (strstr(message, want) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", message, want);
    }
}

static void assert_no_error(wasmtime_error_t *error)
{
    if (error != NULL) {
        assert_error(error, "no error at all");
    }
}

/* --- The callbacks alone ---------------------------------------------------------------------- */

static wasm_memorytype_t *memory_type(bool shared)
{
    wasm_memorytype_t *type = NULL;
    assert_no_error(wasmtime_memorytype_new(1, true, 100, false, shared, 16, &type));
    return type;
}

static void memories_planned_by_other_rules_are_refused(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, 10);
    wasm_memorytype_t *plain = memory_type(false);
    wasm_memorytype_t *shared = memory_type(true);
    const wasmtime_memory_creator_t *creator = &f.creators.memory;
    wasmtime_linear_memory_t memory;
    assert_error(creator->new_memory(creator->env, plain, WASM_PAGE, SIZE_MAX, 0, 4096, &memory),
                 "memory_guard_size 0");
    assert_error(
        creator->new_memory(creator->env, plain, WASM_PAGE, SIZE_MAX, WASM_PAGE, 0, &memory),
        "memory_reservation 0");
    assert_error(creator->new_memory(creator->env, shared, WASM_PAGE, SIZE_MAX, 0, 0, &memory),
                 "shared");
    assert_error(creator->new_memory(creator->env, plain, 8 * MIB + 1, SIZE_MAX, 0, 0, &memory),
                 "out of range");
    pd_alloc_fail_nth(1);
    assert_error(creator->new_memory(creator->env, plain, WASM_PAGE, SIZE_MAX, 0, 0, &memory),
                 "out of memory");
    pd_alloc_fail_nth(0);
    wasm_memorytype_delete(plain);
    wasm_memorytype_delete(shared);
    fixture_close(&f);
}

static void stacks_planned_by_other_rules_are_refused(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, 1);
    const wasmtime_stack_creator_t *creator = &f.creators.stack;
    wasmtime_stack_memory_t stack;
    wasmtime_stack_memory_t more;
    assert_error(creator->new_stack(creator->env, STACK_SIZE, true, &stack), "zeroed");
    assert_error(creator->new_stack(creator->env, STACK_SIZE + 1, false, &stack), "131073");
    pd_alloc_fail_nth(1);
    assert_error(creator->new_stack(creator->env, STACK_SIZE, false, &stack), "out of memory");
    pd_alloc_fail_nth(0);
    assert_no_error(creator->new_stack(creator->env, STACK_SIZE, false, &stack));
    assert_error(creator->new_stack(creator->env, STACK_SIZE, false, &more), "limit reached");
    size_t size = 0;
    uint8_t *top = stack.get_stack_memory(stack.env, &size);
    assert_int_equal((uintptr_t)top % 4096, 0);
    assert_int_equal(size % 4096, 0);
    assert_true(size >= STACK_SIZE - 4096 && size <= STACK_SIZE);
    memset(top - size, 1, size);
    stack.finalizer(stack.env);
    fixture_close(&f);
}

/* All of them together: what is beyond is refused, and what was given back is there again. */
static void more_than_the_budget_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, 10);
    f.creators.budget.bytes_max = 4 * WASM_PAGE + PD_MEMORY_BUDGET_STACK_BYTES;
    const wasmtime_memory_creator_t *creator = &f.creators.memory;
    const wasmtime_stack_creator_t *stacks = &f.creators.stack;
    wasm_memorytype_t *type = memory_type(false);
    wasmtime_linear_memory_t one;
    wasmtime_linear_memory_t two;
    wasmtime_stack_memory_t stack;
    wasmtime_stack_memory_t more;
    assert_no_error(stacks->new_stack(stacks->env, STACK_SIZE, false, &stack));
    assert_no_error(creator->new_memory(creator->env, type, 3 * WASM_PAGE, SIZE_MAX, 0, 0, &one));
    assert_error(creator->new_memory(creator->env, type, 2 * WASM_PAGE, SIZE_MAX, 0, 0, &two),
                 "limit reached");
    assert_no_error(creator->new_memory(creator->env, type, WASM_PAGE, SIZE_MAX, 0, 0, &two));
    assert_error(two.grow_memory(two.env, WASM_PAGE + 1), "limit reached");
    assert_error(stacks->new_stack(stacks->env, STACK_SIZE, false, &more), "limit reached");
    one.finalizer(one.env);
    assert_no_error(two.grow_memory(two.env, 4 * WASM_PAGE));
    pd_alloc_fail_nth(1);
    f.creators.budget.bytes_max = UINT64_MAX;
    assert_error(creator->new_memory(creator->env, type, WASM_PAGE, SIZE_MAX, 0, 0, &one),
                 "out of memory");
    pd_alloc_fail_nth(0);
    assert_error(two.grow_memory(two.env, 8 * MIB + 1), "out of range");
    assert_int_equal(atomic_load(&f.creators.budget.bytes),
                     4 * WASM_PAGE + PD_MEMORY_BUDGET_STACK_BYTES);
    two.finalizer(two.env);
    stack.finalizer(stack.env);
    assert_int_equal(atomic_load(&f.creators.budget.bytes), 0);
    wasm_memorytype_delete(type);
    fixture_close(&f);
}

static void a_memory_moves_only_past_its_capacity(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, 10);
    const wasmtime_memory_creator_t *creator = &f.creators.memory;
    wasm_memorytype_t *type = memory_type(false);
    wasmtime_linear_memory_t memory;
    assert_no_error(creator->new_memory(creator->env, type, 0, SIZE_MAX, 0, 0, &memory));
    wasm_memorytype_delete(type);
    size_t size = 1;
    size_t capacity = 0;
    uint8_t *base = memory.get_memory(memory.env, &size, &capacity);
    assert_non_null(base); /* Wasmtime wants an address for no bytes, too */
    assert_int_equal(size, 0);
    assert_int_equal(capacity, WASM_PAGE);
    for (size_t wanted = 1; wanted <= 8 * MIB; wanted = wanted * 3 / 2 + 1) {
        size_t capacity_before = capacity;
        uint8_t *base_before = base;
        assert_no_error(memory.grow_memory(memory.env, wanted));
        base = memory.get_memory(memory.env, &size, &capacity);
        assert_int_equal(size, wanted);
        assert_true(capacity >= size);
        assert_true(wanted > capacity_before || base == base_before);
        assert_int_equal(base[wanted - 1], 0);
        base[wanted - 1] = 1;
    }
    for (size_t written = 1; written <= size; written = written * 3 / 2 + 1) {
        assert_int_equal(base[written - 1], 1);
    }
    assert_error(memory.grow_memory(memory.env, 8 * MIB + 1), "out of range");
    assert_error(memory.grow_memory(memory.env, 5), "shrink");
    size_t size_after = 0;
    assert_ptr_equal(memory.get_memory(memory.env, &size_after, &capacity), base);
    assert_int_equal(size_after, size);
    memory.finalizer(memory.env);
    fixture_close(&f);
}

/* --- Under Wasmtime --------------------------------------------------------------------------- */

static const char guest_text[] =
    "(module"
    "  (import \"host\" \"wait\" (func $wait))"
    "  (memory (export \"memory\") %d)"
    "  (func (export \"grow\") (param i32) (result i32) (memory.grow (local.get 0)))"
    "  (func (export \"load\") (param i32) (result i32) (i32.load8_u (local.get 0)))"
    "  (func (export \"store\") (param i32) (result i32)"
    "    (i32.store8 (local.get 0) (i32.const 165)) (i32.const 0))"
    /* Overwrite all of memory. */
    "  (func (export \"soil\") (param i32) (result i32)"
    "    (memory.fill (i32.const 0) (i32.const 165) (i32.mul (memory.size) (i32.const 65536)))"
    "    (memory.size))"
    /* How many 8-byte words are not zero? */
    "  (func (export \"stale\") (param i32) (result i32) (local $end i32) (local $count i32)"
    "    (local.set $end (i32.mul (memory.size) (i32.const 65536)))"
    "    (block $done (loop $again"
    "      (br_if $done (i32.ge_u (local.get 0) (local.get $end)))"
    "      (if (i32.eqz (i64.eqz (i64.load (local.get 0))))"
    "        (then (local.set $count (i32.add (local.get $count) (i32.const 1)))))"
    "      (local.set 0 (i32.add (local.get 0) (i32.const 8))) (br $again)))"
    "    (local.get $count))"
    "  (func $dig (export \"dig\") (param i32) (result i32)"
    "    (if (result i32) (i32.eqz (local.get 0)) (then (call $wait) (i32.const 7))"
    "      (else (i32.add (i32.const 0) (call $dig (i32.sub (local.get 0) (i32.const 1)))))))"
    "  (func (export \"spin\") (param i32) (result i32) (loop (br 0)) (i32.const 0)))";

struct world {
    struct fixture fixture;
    wasm_engine_t *engine;
    wasmtime_linker_t *linker;
    wasmtime_module_t *module;
};

static bool never_ready(void *env)
{
    (void)env;
    return false;
}

static void host_wait(void *env, wasmtime_caller_t *caller, const wasmtime_val_t *arguments,
                      size_t argument_count, wasmtime_val_t *results, size_t result_count,
                      wasm_trap_t **trap_out, wasmtime_async_continuation_t *continuation)
{
    (void)env;
    (void)caller;
    (void)arguments;
    (void)argument_count;
    (void)results;
    (void)result_count;
    (void)trap_out;
    *continuation = (wasmtime_async_continuation_t){.callback = never_ready};
}

static void world_open(struct world *world, uint32_t slots_max, unsigned pages, uint64_t guard_size)
{
    fixture_open(&world->fixture, slots_max);
    wasm_config_t *config = wasm_config_new();
    wasmtime_config_memory_reservation_set(config, 0);
    wasmtime_config_memory_guard_size_set(config, guard_size);
    wasmtime_config_memory_may_move_set(config, true);
    wasmtime_config_memory_init_cow_set(config, false);
    wasmtime_config_signals_based_traps_set(config, false);
    wasmtime_config_consume_fuel_set(config, true);
    /* TSan does not see how Rust threads meet */
    wasmtime_config_parallel_compilation_set(config, false);
    wasmtime_config_async_stack_size_set(config, STACK_SIZE);
    wasmtime_config_max_wasm_stack_set(config, WASM_STACK_SIZE);
    wasmtime_config_host_memory_creator_set(config, &world->fixture.creators.memory);
    wasmtime_config_host_stack_creator_set(config, &world->fixture.creators.stack);
    world->engine = wasm_engine_new_with_config(config);
    assert_non_null(world->engine);
    char text[sizeof guest_text + 16];
    const char *hole = strstr(guest_text, "%d");
    assert_non_null(hole);
    int size = snprintf(text, sizeof text, "%.*s%u%s", (int)(hole - guest_text), guest_text, pages,
                        hole + 2);
    wasm_byte_vec_t wasm;
    assert_no_error(wasmtime_wat2wasm(text, (size_t)size, &wasm));
    assert_no_error(
        wasmtime_module_new(world->engine, (const uint8_t *)wasm.data, wasm.size, &world->module));
    wasm_byte_vec_delete(&wasm);
    world->linker = wasmtime_linker_new(world->engine);
    wasm_functype_t *type = wasm_functype_new_0_0();
    assert_no_error(wasmtime_linker_define_async_func(world->linker, "host", 4, "wait", 4, type,
                                                      host_wait, NULL, NULL));
    wasm_functype_delete(type);
}

static void world_close(struct world *world)
{
    wasmtime_linker_delete(world->linker);
    wasmtime_module_delete(world->module);
    wasm_engine_delete(world->engine);
    fixture_close(&world->fixture);
}

struct guest {
    wasmtime_store_t *store;
    wasmtime_context_t *context;
    wasmtime_instance_t instance;
    wasmtime_call_future_t *future;
    wasmtime_func_t function;
    wasmtime_val_t result;
    wasm_trap_t *trap;
    wasmtime_error_t *error;
};

/* True: the guest lives. False: *error_out says why not, and nothing is left of it. */
static bool guest_open(const struct world *world, struct guest *guest, wasmtime_error_t **error_out)
{
    *guest = (struct guest){.store = wasmtime_store_new(world->engine, NULL, NULL)};
    guest->context = wasmtime_store_context(guest->store);
    assert_no_error(wasmtime_context_set_fuel(guest->context, UINT64_C(1) << 40));
    assert_no_error(wasmtime_context_fuel_async_yield_interval(guest->context, YIELD_INTERVAL));
    guest->future =
        wasmtime_linker_instantiate_async(world->linker, guest->context, world->module,
                                          &guest->instance, &guest->trap, &guest->error);
    while (!wasmtime_call_future_poll(guest->future)) {
    }
    wasmtime_call_future_delete(guest->future);
    guest->future = NULL;
    assert_null(guest->trap);
    if (guest->error != NULL) {
        *error_out = guest->error;
        wasmtime_store_delete(guest->store);
        return false;
    }
    return true;
}

/* At any point: a call that waits is dropped first. */
static void guest_close(struct guest *guest)
{
    if (guest->future != NULL) {
        wasmtime_call_future_delete(guest->future);
    }
    wasmtime_store_delete(guest->store);
}

static void guest_begin(struct guest *guest, const char *name, int32_t argument)
{
    wasmtime_extern_t item;
    assert_true(
        wasmtime_instance_export_get(guest->context, &guest->instance, name, strlen(name), &item));
    guest->function = item.of.func;
    wasmtime_val_t value = {.kind = WASMTIME_I32, .of.i32 = argument};
    guest->future = wasmtime_func_call_async(guest->context, &guest->function, &value, 1,
                                             &guest->result, 1, &guest->trap, &guest->error);
}

/* A call that does not wait: its result, or -1000 - the trap's code. */
static int32_t guest_call(struct guest *guest, const char *name, int32_t argument)
{
    guest_begin(guest, name, argument);
    while (!wasmtime_call_future_poll(guest->future)) {
    }
    wasmtime_call_future_delete(guest->future);
    guest->future = NULL;
    assert_no_error(guest->error);
    if (guest->trap != NULL) {
        wasmtime_trap_code_t code = 0;
        assert_true(wasmtime_trap_code(guest->trap, &code));
        wasm_trap_delete(guest->trap);
        guest->trap = NULL;
        return -1000 - code;
    }
    return guest->result.of.i32;
}

static struct guest guest_made(const struct world *world)
{
    struct guest guest;
    wasmtime_error_t *error = NULL;
    if (!guest_open(world, &guest, &error)) {
        assert_error(error, "no error at all");
    }
    return guest;
}

#define OUT_OF_BOUNDS (-1000 - WASMTIME_TRAP_CODE_MEMORY_OUT_OF_BOUNDS)
#define STACK_OVERFLOW (-1000 - WASMTIME_TRAP_CODE_STACK_OVERFLOW)

static void guests_grow_from_nothing_past_every_slot(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 10, 0, 0);
    struct guest guest = guest_made(&world);
    assert_int_equal(guest_call(&guest, "load", 0), OUT_OF_BOUNDS);
    assert_int_equal(guest_call(&guest, "stale", 0), 0);
    int32_t pages = 0;
    for (int32_t more = 1; pages + more <= 128; more++) {
        assert_int_equal(guest_call(&guest, "grow", more), pages);
        int32_t end = (pages + more) * (int32_t)WASM_PAGE;
        /* The slot may be larger than the memory: its bytes are out of bounds all the same. */
        assert_int_equal(guest_call(&guest, "load", end), OUT_OF_BOUNDS);
        assert_int_equal(guest_call(&guest, "load", -1), OUT_OF_BOUNDS);
        assert_int_equal(guest_call(&guest, "load", end - 1), 0);
        assert_int_equal(guest_call(&guest, "store", end - 1), 0);
        /* One byte was written at the end of each former size. */
        assert_int_equal(guest_call(&guest, "stale", 0), more);
        pages += more;
    }
    assert_int_equal(guest_call(&guest, "grow", 129 - pages), -1); /* past slot_size_max */
    assert_int_equal(guest_call(&guest, "grow", 65536 - pages), -1);
    assert_int_equal(guest_call(&guest, "soil", 0), pages);
    guest_close(&guest);
    world_close(&world);
}

static void no_guest_finds_the_bytes_of_another(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 4, 1, 0); /* few slots: each is reused at once */
    for (int round = 0; round < 200; round++) {
        struct guest guest = guest_made(&world);
        assert_int_equal(guest_call(&guest, "stale", 0), 0);
        assert_true(guest_call(&guest, "soil", 0) > 0);
        assert_int_equal(guest_call(&guest, "grow", round % 40), 1);
        assert_int_equal(guest_call(&guest, "stale", 0), WASM_PAGE / 8);
        assert_int_equal(guest_call(&guest, "soil", 0), 1 + round % 40);
        guest_close(&guest);
    }
    world_close(&world);
}

static void traps_end_only_the_call(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 10, 1, 0);
    struct guest guest = guest_made(&world);
    for (int round = 0; round < 20; round++) {
        assert_int_equal(guest_call(&guest, "dig", 1000000), STACK_OVERFLOW);
        assert_int_equal(guest_call(&guest, "store", 65536), OUT_OF_BOUNDS);
        assert_int_equal(guest_call(&guest, "load", 65535), 0);
    }
    guest_close(&guest);
    world_close(&world);
}

static void killed_guests_leave_nothing(void **state)
{
    (void)state;
    enum {
        COUNT = 300
    };
    static struct guest guests[COUNT];
    struct world world;
    world_open(&world, COUNT, 1, 0);
    for (int round = 0; round < 3; round++) {
        for (int32_t i = 0; i < COUNT; i++) {
            guests[i] = guest_made(&world);
            assert_int_equal(guest_call(&guests[i], "stale", 0), 0);
            assert_int_equal(guest_call(&guests[i], "soil", 0), 1);
            bool spins = i % 3 == 0;
            guest_begin(&guests[i], spins ? "spin" : "dig", i);
            if (i % 5 != 0) { /* the others are killed before they began */
                assert_false(wasmtime_call_future_poll(guests[i].future));
                assert_false(wasmtime_call_future_poll(guests[i].future));
            }
        }
        struct guest more;
        wasmtime_error_t *error = NULL;
        assert_false(guest_open(&world, &more, &error));
        assert_error(error, "no room for a memory of 65536 bytes: limit reached");
        assert_int_equal(pd_slab_stats(world.fixture.memories).slots_live, COUNT);
        for (int i = 0; i < COUNT; i++) {
            guest_close(&guests[(i * 7) % COUNT]);
        }
        assert_int_equal(pd_slab_stats(world.fixture.memories).slots_live, 0);
        assert_int_equal(pd_slab_stats(world.fixture.stacks).slots_live, 0);
    }
    world_close(&world);
}

static void an_engine_with_guards_is_refused(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 10, 1, 32 * MIB);
    struct guest guest;
    wasmtime_error_t *error = NULL;
    assert_false(guest_open(&world, &guest, &error));
    assert_error(error, "memory_guard_size 0");
    world_close(&world);
}

static void *spawn_and_kill(void *argument)
{
    const struct world *world = argument;
    for (int32_t i = 0; i < 300; i++) {
        struct guest guest = guest_made(world);
        assert_int_equal(guest_call(&guest, "stale", 0), 0);
        assert_int_equal(guest_call(&guest, "grow", i % 4), 1);
        assert_int_equal(guest_call(&guest, "soil", 0), 1 + i % 4);
        guest_begin(&guest, "dig", i);
        assert_false(wasmtime_call_future_poll(guest.future));
        guest_close(&guest);
    }
    return NULL;
}

static void threads_create_and_drop_guests(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 100, 1, 0);
    pthread_t threads[3];
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, spawn_and_kill, &world), 0);
    }
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memories_planned_by_other_rules_are_refused),
        cmocka_unit_test(stacks_planned_by_other_rules_are_refused),
        cmocka_unit_test(more_than_the_budget_is_refused),
        cmocka_unit_test(a_memory_moves_only_past_its_capacity),
        cmocka_unit_test(guests_grow_from_nothing_past_every_slot),
        cmocka_unit_test(no_guest_finds_the_bytes_of_another),
        cmocka_unit_test(traps_end_only_the_call),
        cmocka_unit_test(killed_guests_leave_nothing),
        cmocka_unit_test(an_engine_with_guards_is_refused),
        cmocka_unit_test(threads_create_and_drop_guests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
