#include "actor/runtime.h"

#include "actor/environment.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/host_sockets.h"

#define POOL_BLOCK 64u

struct pd_process_block {
    struct pd_process_block *next;
    struct pd_process processes[POOL_BLOCK];
};

struct pd_runtime_config pd_runtime_config_default(void)
{
    return (struct pd_runtime_config){
        .scheduler_count = 1,
        .processes_max = 1u << 20,
        .messages_max = 65536,
        .mailbox_bytes_max = UINT64_C(64) << 20,
        .message_bytes_max = 32u << 20,
        .signals_max = 4096,
        .bonds_max = 1u << 21,
        .names_max = 1u << 20,
        .message_timers_max = 1u << 20,
        .seed = 0,
    };
}

static bool is_valid(const struct pd_runtime_config *config)
{
    return config->scheduler_count >= 1 && config->scheduler_count <= PD_SCHEDULERS_MAX &&
           config->processes_max >= 1 && config->processes_max <= 1u << 26 &&
           config->messages_max >= 1 && config->signals_max >= 1 && config->bonds_max >= 1 &&
           config->names_max >= 1 && config->message_timers_max >= 1 &&
           config->message_bytes_max <= UINT32_MAX / 2 &&
           config->mailbox_bytes_max >= config->message_bytes_max;
}

enum pd_status pd_runtime_init(struct pd_runtime *runtime, struct pd_host *host,
                               const struct pd_runtime_config *config,
                               const struct pd_runtime_hooks *hooks)
{
    if (!is_valid(config)) {
        return PD_ERR_INVALID;
    }
    *runtime = (struct pd_runtime){.host = host, .config = *config};
    if (hooks != NULL) {
        runtime->hooks = *hooks;
    }
    atomic_init(&runtime->poller, PD_SCHEDULERS_MAX);
    runtime->scheduler_count = host->is_deterministic ? 1 : config->scheduler_count;
    runtime->schedulers = pd_alloc_zeroed(runtime->scheduler_count, sizeof *runtime->schedulers);
    if (runtime->schedulers == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < runtime->scheduler_count; i++) {
        struct pd_scheduler *scheduler = &runtime->schedulers[i];
        scheduler->runtime = runtime;
        scheduler->index = i;
        pd_timer_queue_init(&scheduler->timers, PD_TIMERS_MAX);
        pd_random_init(&scheduler->random, config->seed + i, "scheduler");
    }
    return PD_OK;
}

void pd_runtime_deinit(struct pd_runtime *runtime)
{
    pd_assert(runtime->started_count == 0);
    pd_assert(atomic_load(&runtime->process_count) == 0);
    pd_message_timers_deinit(runtime);
    for (uint32_t i = 0; i < runtime->scheduler_count; i++) {
        pd_timer_queue_deinit(&runtime->schedulers[i].timers);
    }
    while (runtime->pool_blocks != NULL) {
        struct pd_process_block *block = runtime->pool_blocks;
        runtime->pool_blocks = block->next;
        pd_free(block);
    }
    pd_free(runtime->schedulers);
    runtime->schedulers = NULL;
}

void pd_runtime_set_sockets(struct pd_runtime *runtime, struct pd_sockets *sockets)
{
    pd_assert(runtime->started_count == 0);
    sockets->is_polled = true;
    runtime->sockets = sockets;
}

uint64_t pd_runtime_new_ref(struct pd_runtime *runtime)
{
    return atomic_fetch_add_explicit(&runtime->ref_last, 1, memory_order_relaxed) + 1;
}

/* Everything that one life leaves behind, set anew for the next. The fields under the lock are
 * reset by mailbox.c, which alone knows who may be looking. */
static void reset(struct pd_process *process)
{
    process->trapping = PD_TRAP_NONE;
    process->is_ready = false;
    process->is_exit_set = false;
    process->is_started = false;
    process->scheduler_index = 0;
    process->lend_count = 0;
    process->was_long = false;
    process->queue_first = NULL;
    process->queue_end = &process->queue_first;
    process->scan = NULL;
    process->taken_count = 0;
    process->taken_bytes = 0;
    process->outbox_first = NULL;
    process->outbox_end = &process->outbox_first;
    process->outbox_count = 0;
    process->notice_count = 0;
    process->exit_count = 0;
    pd_bond_set_init(&process->bonds);
    process->awaited_ref = 0;
    process->behavior = NULL;
    process->data = NULL;
    process->exit = (struct pd_exit){.reason = PD_EXIT_NORMAL, .text = NULL};
    process->parent = 0;
    process->spec = NULL;
    atomic_store_explicit(&process->received_count, 0, memory_order_relaxed);
    atomic_store_explicit(&process->sent_count, 0, memory_order_relaxed);
    atomic_store_explicit(&process->slice_count, 0, memory_order_relaxed);
    atomic_store_explicit(&process->tracer, NULL, memory_order_relaxed);
    process->restart_count = 0;
}

/* A new block of structures, put into the free list but for one that is returned. */
static struct pd_process *pool_grow(struct pd_runtime *runtime)
{
    struct pd_process_block *block = pd_alloc_zeroed(1, sizeof *block);
    if (block == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; i < POOL_BLOCK; i++) {
        struct pd_process *process = &block->processes[i];
        process->run_state = PD_RUN_FREE;
        pd_list_init(&process->senders);
        pd_list_init(&process->waiter.node);
        process->waiter.process = process;
        pd_timer_init(&process->timeout, PD_TIMER_WAKE);
    }
    pd_spin_lock(&runtime->pool_lock);
    block->next = runtime->pool_blocks;
    runtime->pool_blocks = block;
    for (uint32_t i = 1; i < POOL_BLOCK; i++) {
        block->processes[i].run_next = runtime->pool_free;
        runtime->pool_free = &block->processes[i];
    }
    pd_spin_unlock(&runtime->pool_lock);
    return &block->processes[0];
}

struct pd_process *pd_runtime_pool_take(struct pd_runtime *runtime)
{
    pd_spin_lock(&runtime->pool_lock);
    struct pd_process *process = runtime->pool_free;
    if (process != NULL) {
        runtime->pool_free = process->run_next;
    }
    pd_spin_unlock(&runtime->pool_lock);
    if (process == NULL) {
        process = pool_grow(runtime);
    }
    if (process != NULL) {
        reset(process);
    }
    return process;
}

void pd_runtime_pool_give(struct pd_runtime *runtime, struct pd_process *process)
{
    pd_spin_lock(&runtime->pool_lock);
    process->run_next = runtime->pool_free;
    runtime->pool_free = process;
    pd_spin_unlock(&runtime->pool_lock);
}
