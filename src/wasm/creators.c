#include "wasm/creators.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"

struct memory {
    struct pd_creators *creators;
    struct pd_slab_slot slot;
    size_t size; /* bytes, <= the slot's size */
};
_Static_assert(sizeof(struct memory) <= 24, "fits malloc's smallest block: a million exist");

struct stack {
    struct pd_creators *creators;
    struct pd_slab_slot slot;
};
_Static_assert(sizeof(struct stack) <= 24, "fits malloc's smallest block: a million exist");

static wasmtime_error_t *refuse(const char *what, size_t size, enum pd_status status)
{
    char text[128];
    (void)snprintf(text, sizeof text, "no room for a %s of %zu bytes: %s", what, size,
                   pd_status_text(status));
    return wasmtime_error_new(text);
}

static uint8_t *memory_get(void *env, size_t *byte_size, size_t *byte_capacity)
{
    const struct memory *memory = env;
    *byte_size = memory->size;
    *byte_capacity = pd_slab_size(memory->creators->memories, memory->slot);
    return pd_slab_base(memory->creators->memories, memory->slot);
}

static wasmtime_error_t *memory_grow(void *env, size_t new_size)
{
    struct memory *memory = env;
    if (new_size < memory->size) {
        return wasmtime_error_new("a memory cannot shrink");
    }
    /* What lies behind the size was never written, so it is zero: growing inside the slot is a
     * number. */
    struct pd_creators *creators = memory->creators;
    size_t more = new_size - memory->size;
    if (!pd_memory_budget_take(&creators->budget, PD_MEMORY_GROWTH, more)) {
        return refuse("memory", new_size, PD_ERR_FULL);
    }
    enum pd_status status = pd_slab_grow(creators->memories, &memory->slot, memory->size, new_size);
    if (status != PD_OK) {
        pd_memory_budget_give(&creators->budget, more);
        return refuse("memory", new_size, status);
    }
    memory->size = new_size;
    return NULL;
}

static void memory_drop(void *env)
{
    struct memory *memory = env;
    pd_slab_release(memory->creators->memories, memory->slot);
    pd_memory_budget_give(&memory->creators->budget, memory->size);
    pd_free(memory);
}

static wasmtime_error_t *memory_new(void *env, const wasm_memorytype_t *type, size_t minimum,
                                    size_t maximum, size_t reserved_size, size_t guard_size,
                                    wasmtime_linear_memory_t *memory_out)
{
    (void)maximum; /* Wasmtime checks it before it grows; most guests declare none */
    if (guard_size != 0 || reserved_size != 0) {
        return wasmtime_error_new(
            "slab memories need memory_guard_size 0 and memory_reservation 0");
    }
    if (wasmtime_memorytype_isshared(type)) {
        return wasmtime_error_new("shared memories are not supported: they must not move");
    }
    struct pd_creators *creators = env;
    if (!pd_memory_budget_take(&creators->budget, PD_MEMORY_SPAWN, minimum)) {
        return refuse("memory", minimum, PD_ERR_FULL);
    }
    struct memory *memory = pd_alloc(sizeof *memory);
    enum pd_status status = PD_ERR_NO_MEMORY;
    if (memory != NULL) {
        *memory = (struct memory){.creators = creators, .size = minimum};
        status = pd_slab_acquire(creators->memories, minimum, &memory->slot);
    }
    if (status != PD_OK) {
        pd_free(memory);
        pd_memory_budget_give(&creators->budget, minimum);
        return refuse("memory", minimum, status);
    }
    *memory_out = (wasmtime_linear_memory_t){
        .env = memory,
        .get_memory = memory_get,
        .grow_memory = memory_grow,
        .finalizer = memory_drop,
    };
    return NULL;
}

/* Wasmtime wants the upper end: stacks grow down. */
static uint8_t *stack_get(void *env, size_t *size_out)
{
    const struct stack *stack = env;
    struct pd_slab *stacks = stack->creators->stacks;
    *size_out = pd_slab_size(stacks, stack->slot);
    return pd_slab_base(stacks, stack->slot) + *size_out;
}

static void stack_drop(void *env)
{
    struct stack *stack = env;
    pd_slab_release(stack->creators->stacks, stack->slot);
    pd_memory_budget_give(&stack->creators->budget, PD_MEMORY_BUDGET_STACK_BYTES);
    pd_free(stack);
}

static wasmtime_error_t *stack_new(void *env, size_t size, bool zeroed,
                                   wasmtime_stack_memory_t *stack_out)
{
    struct pd_creators *creators = env;
    if (zeroed) {
        return wasmtime_error_new("slab stacks are not zeroed: leave async_stack_zeroing off");
    }
    /* A guard page may take the lowest page, so the slot is compared and not what is usable of
     * it. */
    if (size > pd_slab_slot_size_max(creators->stacks)) {
        return refuse("stack", size, PD_ERR_RANGE);
    }
    if (!pd_memory_budget_take(&creators->budget, PD_MEMORY_SPAWN, PD_MEMORY_BUDGET_STACK_BYTES)) {
        return refuse("stack", size, PD_ERR_FULL);
    }
    struct stack *stack = pd_alloc(sizeof *stack);
    enum pd_status status = PD_ERR_NO_MEMORY;
    if (stack != NULL) {
        stack->creators = creators;
        status = pd_slab_acquire(creators->stacks, 0, &stack->slot);
    }
    if (status != PD_OK) {
        pd_free(stack);
        pd_memory_budget_give(&creators->budget, PD_MEMORY_BUDGET_STACK_BYTES);
        return refuse("stack", size, status);
    }
    *stack_out = (wasmtime_stack_memory_t){
        .env = stack,
        .get_stack_memory = stack_get,
        .finalizer = stack_drop,
    };
    return NULL;
}

void pd_creators_init(struct pd_creators *creators, struct pd_slab *memories,
                      struct pd_slab *stacks)
{
    pd_assert(memories != NULL);
    pd_assert(stacks != NULL);
    *creators = (struct pd_creators){
        .memories = memories,
        .stacks = stacks,
        .budget.bytes_max = UINT64_MAX,
        .memory = {.env = creators, .new_memory = memory_new},
        .stack = {.env = creators, .new_stack = stack_new},
    };
}
