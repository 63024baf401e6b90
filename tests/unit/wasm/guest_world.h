/* guest_world - an engine, a machine and a small table of host functions, for the tests of guests.
 *
 * One process per guest: a counter of wakes, an inbox of numbers, a note of what happened. Host
 * functions stand in module "t". The host runs jobs when the test says so, or on real threads. */
#ifndef PD_TEST_GUEST_WORLD_H
#define PD_TEST_GUEST_WORLD_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/list.h"
#include "wasm/compile.h"
#include "wasm/creators.h"
#include "wasm/guest.h"
#include "wasm/slab.h"

/* Guarded guests trap by signals, and Wasmtime allocates in the handler: safe, because the signal
 * is the guest's own and comes from its code, never out of the allocator. TSan cannot know that. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "report_signal_unsafe=0";
}

#define INBOX_MAX 16

struct process {
    struct pd_guest *guest;
    atomic_int wakes;
    uint64_t deadline_ns;
    uint32_t inbox[INBOX_MAX];
    uint32_t inbox_count;
    uint32_t sum; /* of what the guest reported */
    int abandoned;
    atomic_int released; /* by any thread: blocking work outlives the guest that waited for it */
    int finished;
    int calls_traced;
    uint64_t trace;
};

struct test_host {
    struct pd_host host; /* first */
    uint64_t now_ns;
    uint32_t jobs_max; /* 0: always full */
    struct pd_job *queued[64];
    uint32_t queued_count;
};

static const int trap_signals[] = {SIGFPE, SIGILL, SIGSEGV, SIGBUS};
#define TRAP_SIGNAL_COUNT (sizeof trap_signals / sizeof trap_signals[0])

struct world {
    struct sigaction signals[TRAP_SIGNAL_COUNT]; /* Wasmtime's */
    struct pd_slab *memories;
    struct pd_slab *stacks;
    struct pd_creators creators;
    struct test_host host;
    struct pd_engine engine;
    struct pd_linker linker;
    struct pd_machine machine;
};

static inline uint64_t test_now(struct pd_host *host)
{
    return ((struct test_host *)(void *)host)->now_ns;
}

static inline enum pd_status test_submit(struct pd_host *base, struct pd_job *job)
{
    struct test_host *host = (struct test_host *)(void *)base;
    if (host->queued_count == host->jobs_max) {
        return PD_ERR_FULL;
    }
    assert_true(host->queued_count < 64);
    host->queued[host->queued_count++] = job;
    return PD_OK;
}

/* A helper takes the first job. False: there is none. */
static inline bool run_job(struct test_host *host)
{
    if (host->queued_count == 0) {
        return false;
    }
    struct pd_job *job = host->queued[0];
    host->queued_count--;
    memmove(host->queued, host->queued + 1, host->queued_count * sizeof host->queued[0]);
    job->run(job);
    return true;
}

static const struct pd_host_ops test_host_ops = {.now_ns = test_now, .submit = test_submit};

static inline void wake_process(void *process)
{
    atomic_fetch_add(&((struct process *)process)->wakes, 1);
}

static inline void wake_process_at(void *process, uint64_t deadline_ns)
{
    ((struct process *)process)->deadline_ns = deadline_ns;
}

static inline struct process *process_of(struct pd_call *call)
{
    return pd_guest_process(call->guest);
}

/* --- Host functions --------------------------------------------------------------------------- */

static inline enum pd_call_result call_add(struct pd_call *call)
{
    return pd_call_done(call, pd_call_u32(call, 0) + pd_call_u32(call, 1));
}

static inline enum pd_call_result call_report(struct pd_call *call)
{
    process_of(call)->sum += pd_call_u32(call, 0);
    return PD_CALL_DONE;
}

/* (i, I, D) -> I: each kind of argument arrives whole. */
static inline enum pd_call_result call_mix(struct pd_call *call)
{
    double number = 0;
    memcpy(&number, &call->arguments[2], sizeof number);
    call->result = call->arguments[0] + call->arguments[1] + (uint64_t)(int64_t)(number * 2);
    return PD_CALL_DONE;
}

static inline enum pd_call_result call_take(struct pd_call *call)
{
    struct process *process = process_of(call);
    if (process->inbox_count == 0) {
        call->resume = call_take;
        return PD_CALL_WAIT;
    }
    uint32_t first = process->inbox[0];
    process->inbox_count--;
    memmove(process->inbox, process->inbox + 1, process->inbox_count * sizeof process->inbox[0]);
    return pd_call_done(call, first);
}

static inline void abandon_hold(struct pd_call *call)
{
    process_of(call)->abandoned++;
    pd_free(call->state);
}

static inline enum pd_call_result resume_hold(struct pd_call *call)
{
    enum pd_call_result result = call_take(call);
    call->resume = resume_hold;
    if (result == PD_CALL_DONE) {
        pd_free(call->state);
        call->state = NULL;
    }
    return result;
}

/* As take, but holds memory meanwhile. */
static inline enum pd_call_result call_hold(struct pd_call *call)
{
    call->state = pd_alloc(100);
    call->abandon = abandon_hold;
    return resume_hold(call);
}

static inline enum pd_call_result call_trap(struct pd_call *call)
{
    return pd_call_trap(call, "told to trap with %u", pd_call_u32(call, 0));
}

static inline enum pd_call_result call_deny(struct pd_call *call)
{
    return pd_call_trap_denied(call, "not yours");
}

static inline enum pd_call_result call_exit(struct pd_call *call)
{
    return pd_call_exit(call, pd_call_u32(call, 0));
}

static inline enum pd_call_result call_yield(struct pd_call *call)
{
    pd_guest_force_yield(call->guest);
    return PD_CALL_DONE;
}

/* (address, size, value) -> bytes set; out of bounds traps. */
static inline enum pd_call_result call_fill(struct pd_call *call)
{
    uint8_t *to = pd_guest_memory(call->guest, pd_call_u32(call, 0), pd_call_u32(call, 1));
    if (to == NULL) {
        return pd_call_trap_bounds(call, "address");
    }
    memset(to, (int)pd_call_u32(call, 2), pd_call_u32(call, 1));
    return pd_call_done(call, pd_call_u32(call, 1));
}

static inline enum pd_call_result resume_sleep(struct pd_call *call)
{
    uint64_t deadline = call->arguments[0];
    if (pd_host_now_ns(pd_guest_host(call->guest)) < deadline) {
        pd_call_wake_at(call, deadline);
        call->resume = resume_sleep;
        return PD_CALL_WAIT;
    }
    return PD_CALL_DONE;
}

static inline enum pd_call_result finish_catch(struct pd_call *call, bool is_ok, uint32_t value)
{
    return pd_call_done(call, is_ok ? value : 0);
}

static inline enum pd_call_result call_catch(struct pd_call *call)
{
    uint32_t arguments[2] = {pd_call_u32(call, 0), pd_call_u32(call, 1)};
    return pd_call_nested(call, "_catch", arguments, 2, finish_catch);
}

/* Two calls into the guest, one after the other, then wait for a number: all that `finish` may
 * do. */
static inline enum pd_call_result finish_twice(struct pd_call *call, bool is_ok, uint32_t value)
{
    assert_true(is_ok);
    call->result = value;
    if (value % 2 == 1) {
        uint32_t arguments[2] = {2, value};
        return pd_call_nested(call, "_catch", arguments, 2, finish_twice);
    }
    return call_take(call);
}

static inline enum pd_call_result call_twice(struct pd_call *call)
{
    uint32_t arguments[2] = {1, 0};
    return pd_call_nested(call, "_catch", arguments, 2, finish_twice);
}

struct block {
    struct pd_blocking blocking;
    struct process *process;
    uint32_t value;
    bool has_worked;
};

static inline void block_work(struct pd_blocking *self)
{
    struct block *block = (struct block *)(void *)self;
    assert_false(block->has_worked);
    block->has_worked = true;
    block->value *= 2;
}

static inline enum pd_call_result block_finish(struct pd_call *call, struct pd_blocking *self)
{
    struct block *block = (struct block *)(void *)self;
    assert_true(block->has_worked);
    process_of(call)->finished++;
    return pd_call_done(call, block->value);
}

static inline void block_release(struct pd_blocking *self)
{
    struct block *block = (struct block *)(void *)self;
    atomic_fetch_add(&block->process->released, 1);
    pd_free(block);
}

static inline enum pd_call_result call_block(struct pd_call *call)
{
    struct block *block = pd_alloc_zeroed(1, sizeof *block);
    block->blocking.work = block_work;
    block->blocking.finish = block_finish;
    block->blocking.release = block_release;
    block->blocking.name = "block";
    block->process = process_of(call);
    block->value = pd_call_u32(call, 0);
    return pd_call_block(call, &block->blocking);
}

static const struct pd_import test_imports[] = {
    {"t", "add", "ii->i", PD_CALL_SYNC, call_add},
    {"t", "report", "i->", PD_CALL_SYNC, call_report},
    {"t", "mix", "iID->I", PD_CALL_SYNC, call_mix},
    {"t", "take", "->i", PD_CALL_ASYNC, call_take},
    {"t", "take_deferred", "->i", PD_CALL_DEFERRED, call_take},
    {"t", "hold", "->i", PD_CALL_ASYNC, call_hold},
    {"t", "slow_add", "ii->i", PD_CALL_DEFERRED, call_add},
    {"t", "trap", "i->", PD_CALL_SYNC, call_trap},
    {"t", "trap_deferred", "i->", PD_CALL_DEFERRED, call_trap},
    {"t", "deny", "->", PD_CALL_SYNC, call_deny},
    {"t", "exit", "i->", PD_CALL_SYNC, call_exit},
    {"t", "yield", "->", PD_CALL_SYNC, call_yield},
    {"t", "fill", "iii->i", PD_CALL_SYNC, call_fill},
    {"t", "fill_deferred", "iii->i", PD_CALL_DEFERRED, call_fill},
    {"t", "sleep_until", "I->", PD_CALL_ASYNC, resume_sleep},
    {"t", "catch", "ii->i", PD_CALL_ASYNC, call_catch},
    {"t", "catch_deferred", "ii->i", PD_CALL_DEFERRED, call_catch},
    {"t", "twice", "->i", PD_CALL_ASYNC, call_twice},
    {"t", "block", "i->i", PD_CALL_ASYNC, call_block},
    {"t", "block_deferred", "i->i", PD_CALL_DEFERRED, call_block},
};

#define TEST_IMPORT_COUNT (sizeof test_imports / sizeof test_imports[0])

/* --- World ------------------------------------------------------------------------------------ */

static inline void world_open_with(struct world *world, enum pd_engine_profile profile,
                                   uint64_t yield_interval, bool is_deterministic)
{
    memset(world, 0, sizeof *world);
    struct pd_engine_config config = pd_engine_config_default();
    config.profile = profile;
    config.is_deterministic = is_deterministic;
    config.guests_max = 64;
    if (profile == PD_ENGINE_DENSE) {
        struct pd_slab_config memories = {
            .kind = PD_SLAB_MEMORY,
            .slot_size_min = 64u << 10,
            .slot_size_max = 64u << 20,
            .bytes_max = 64ull << 30,
            .slots_max = 4096,
            .hot_slots_max = 64,
            .dirty_bytes_max = 32u << 20,
            .shards = 2,
        };
        struct pd_slab_config stacks = memories;
        stacks.kind = PD_SLAB_STACK;
        stacks.slot_size_min = PD_GUEST_STACK_SIZE;
        stacks.slot_size_max = PD_GUEST_STACK_SIZE;
        assert_int_equal(pd_slab_open(&memories, &world->memories), PD_OK);
        assert_int_equal(pd_slab_open(&stacks, &world->stacks), PD_OK);
        pd_creators_init(&world->creators, world->memories, world->stacks);
        config.memory_creator = &world->creators.memory;
        config.stack_creator = &world->creators.stack;
    }
    assert_int_equal(pd_engine_open(&world->engine, &config), PD_OK);
    for (size_t i = 0; i < TRAP_SIGNAL_COUNT; i++) {
        assert_int_equal(sigaction(trap_signals[i], NULL, &world->signals[i]), 0);
    }
    assert_int_equal(pd_linker_open(&world->linker, &world->engine), PD_OK);
    assert_int_equal(pd_linker_add(&world->linker, test_imports, TEST_IMPORT_COUNT), PD_OK);
    assert_int_equal(pd_linker_seal(&world->linker), PD_OK);
    world->host.host.ops = &test_host_ops;
    world->host.jobs_max = 64;
    assert_int_equal(pd_machine_init(&world->machine, &world->host.host, yield_interval,
                                     wake_process, wake_process_at),
                     PD_OK);
}

static inline void world_open(struct world *world, enum pd_engine_profile profile,
                              uint64_t yield_interval)
{
    world_open_with(world, profile, yield_interval, false);
}

static inline void world_close(struct world *world)
{
    pd_machine_deinit(&world->machine);
    pd_linker_close(&world->linker);
    pd_engine_close(&world->engine);
    if (world->memories != NULL) {
        pd_slab_close(world->memories);
        pd_slab_close(world->stacks);
    }
}

static inline struct pd_module *load(struct world *world, const char *wat)
{
    struct pd_module_message message;
    struct pd_module *module = NULL;
    enum pd_status status = pd_module_load_text(&world->linker, wat, &module, &message);
    if (status != PD_OK) {
        print_error("%s\n", message.text);
    }
    assert_int_equal(status, PD_OK);
    return module;
}

static inline struct pd_guest_limits limits_of(uint64_t memory_bytes_max, uint64_t fuel_max)
{
    struct pd_guest_limits limits = {.memory_bytes_max = memory_bytes_max,
                                     .table_elements_max = PD_GUEST_TABLE_ELEMENTS_MAX,
                                     .fuel_max = fuel_max};
    return limits;
}

/* cmocka puts handlers of its own around each test; guarded guests need Wasmtime's. */
static inline void use_engine_signals(const struct world *world)
{
    for (size_t i = 0; i < TRAP_SIGNAL_COUNT; i++) {
        assert_int_equal(sigaction(trap_signals[i], &world->signals[i], NULL), 0);
    }
}

static inline void spawn_limited(struct world *world, struct process *process,
                                 struct pd_module *module, const char *function,
                                 struct pd_guest_limits limits)
{
    use_engine_signals(world);
    memset(process, 0, sizeof *process);
    process->deadline_ns = PD_TIME_NEVER;
    assert_int_equal(pd_guest_create(&world->machine, module, &limits, process, &process->guest),
                     PD_OK);
    struct pd_guest_entry entry = {.function = function, .function_size = strlen(function)};
    assert_int_equal(pd_guest_start(process->guest, &entry), PD_OK);
}

static inline void spawn(struct world *world, struct process *process, struct pd_module *module,
                         const char *function)
{
    spawn_limited(world, process, module, function, limits_of(1u << 24, PD_GUEST_FUEL_UNLIMITED));
}

/* Step until it waits or ends. */
static inline enum pd_guest_step run_guest(struct process *process)
{
    enum pd_guest_step step = pd_guest_step(process->guest);
    while (step == PD_GUEST_YIELDED) {
        step = pd_guest_step(process->guest);
    }
    return step;
}

static inline void give(struct process *process, uint32_t number)
{
    assert_true(process->inbox_count < INBOX_MAX);
    process->inbox[process->inbox_count++] = number;
}

static inline void assert_end(const struct process *process, enum pd_guest_end end)
{
    char text[600];
    struct pd_guest_exit ended = pd_guest_exit(process->guest);
    (void)pd_guest_exit_text(process->guest, text, sizeof text);
    if (ended.end != end) {
        print_error("ended with: %s\n", text);
    }
    assert_int_equal(ended.end, end);
}

static inline void assert_exit_text(const struct process *process, const char *part)
{
    char text[600];
    (void)pd_guest_exit_text(process->guest, text, sizeof text);
    if (strstr(text, part) == NULL) {
        print_error("\"%s\" is not in \"%s\"\n", part, text);
    }
    assert_non_null(strstr(text, part));
}

#endif
