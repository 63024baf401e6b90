/* The scheduler threads: which process runs next, where a woken one goes, and when a thread sleeps.
 *
 * Fairness   A queue is FIFO. A process woken by the one that runs goes to the lifo slot and shares
 *            that one's slice (`credit`), so that a conversation is quick and still costs no more
 *            than one turn. A process that spent its slice goes to the shorter of two queues, so
 *            that turns are alike on all threads.
 * Sockets    Once there are some, one thread at a time polls them: one without work, which sleeps
 *            there, or between two turns one that has work, while no other does. It runs whom the
 *            events concern, and wakes others only for what it cannot run at once, so that an event
 *            costs no hand-over from one thread to another. An event waits for a slice at most. */
#include "actor/environment.h"
#include "actor/lifecycle.h"
#include "actor/mailbox.h"
#include "actor/runtime.h"
#include "base/assert.h"
#include "base/host_sockets.h"

#define SLICE_COST 1000    /* thousandths */
#define COST_MIN 10u       /* so that a hundred hops use up a slice */
#define LOOPS_MAX 8u       /* times that one turn may find new messages and go on */
#define TIMER_TICKS 8u     /* turns between two looks at the clock */
#define POLL_TICKS 16u     /* and at the sockets */
#define INJECTED_BATCH 16u /* taken over in one turn */
/* waits before a process lends: those who wait once shall not touch a second page of stack */
#define LEND_FROM 8u
#define VIRTUAL_SLICE_NS 50u /* virtual time of a thousandth of a slice */

static _Thread_local struct pd_scheduler *current;

struct pd_scheduler *pd_scheduler_current(void)
{
    return current;
}

/* --- Waking threads --------------------------------------------------------------------------- */

/* Wake it where it sleeps: whoever polls has said so before it sleeps. */
static void wake_at(struct pd_runtime *runtime, uint32_t index)
{
    if (atomic_load_explicit(&runtime->poller, memory_order_seq_cst) == index) {
        runtime->sockets->ops->interrupt(runtime->sockets);
    } else {
        runtime->host->ops->event_set(runtime->host, &runtime->schedulers[index].event);
    }
}

/* Wake one sleeping thread, if any. */
static void wake_one(struct pd_runtime *runtime)
{
    uint64_t mask = atomic_load_explicit(&runtime->idle_mask, memory_order_seq_cst);
    while (mask != 0) {
        uint32_t index = (uint32_t)__builtin_ctzll(mask);
        uint64_t bit = UINT64_C(1) << index;
        uint64_t before =
            atomic_fetch_and_explicit(&runtime->idle_mask, ~bit, memory_order_seq_cst);
        if ((before & bit) != 0) {
            wake_at(runtime, index);
            return;
        }
        mask = before & ~bit;
    }
}

static void push_shared(struct pd_runtime *runtime, struct pd_runqueue *queue,
                        struct pd_process *process)
{
    pd_runqueue_push(queue, process);
    /* Pairs with the fence in `sleep_until_work`: either we see the sleeper or it sees the push. */
    atomic_thread_fence(memory_order_seq_cst);
    wake_one(runtime);
}

void pd_runtime_enqueue(struct pd_runtime *runtime, struct pd_process *process)
{
    struct pd_scheduler *here = current;
    if (here == NULL || here->runtime != runtime) {
        push_shared(runtime, &runtime->injected, process);
        return;
    }
    if (runtime->host->is_deterministic || here->is_polling) {
        pd_runqueue_push(&here->queue, process);
        return;
    }
    if (here->lifo == NULL) {
        here->lifo = process;
        return;
    }
    push_shared(runtime, &here->queue, process);
}

enum pd_status pd_runtime_set_timer(struct pd_runtime *runtime, struct pd_timer *timer,
                                    uint64_t deadline_ns)
{
    struct pd_scheduler *here = current;
    if (here != NULL && here->runtime == runtime) {
        return pd_timer_set(&here->timers, timer, deadline_ns);
    }
    enum pd_status status = pd_timer_set(&runtime->schedulers[0].timers, timer, deadline_ns);
    atomic_thread_fence(memory_order_seq_cst); /* as in `push_shared` */
    wake_at(runtime, 0);
    return status;
}

/* --- Choosing --------------------------------------------------------------------------------- */

static struct pd_process *steal(struct pd_scheduler *scheduler)
{
    struct pd_runtime *runtime = scheduler->runtime;
    uint32_t count = runtime->scheduler_count;
    uint32_t first = (uint32_t)pd_random_below(&scheduler->random, count);
    for (uint32_t i = 0; i < count; i++) {
        struct pd_scheduler *victim = &runtime->schedulers[(first + i) % count];
        if (victim == scheduler) {
            continue;
        }
        struct pd_process *process = pd_runqueue_steal(&victim->queue, &scheduler->queue);
        if (process != NULL) {
            atomic_fetch_add_explicit(&scheduler->steal_count, 1, memory_order_relaxed);
            return process;
        }
    }
    return NULL;
}

/* Who was woken from outside of the schedulers stands behind those who wait already, no further. */
static void take_over_injected(struct pd_scheduler *scheduler)
{
    struct pd_runqueue *injected = &scheduler->runtime->injected;
    for (uint32_t i = 0; i < INJECTED_BATCH && pd_runqueue_count(injected) > 0; i++) {
        struct pd_process *process = pd_runqueue_take(injected);
        if (process == NULL) {
            return; /* another was quicker */
        }
        pd_runqueue_push(&scheduler->queue, process);
    }
}

static struct pd_process *choose(struct pd_scheduler *scheduler)
{
    struct pd_runtime *runtime = scheduler->runtime;
    if (scheduler->lifo != NULL) {
        struct pd_process *process = scheduler->lifo;
        scheduler->lifo = NULL;
        if (scheduler->credit > 0) {
            return process;
        }
        push_shared(runtime, &scheduler->queue, process);
    }
    scheduler->credit = SLICE_COST;
    take_over_injected(scheduler);
    struct pd_process *process = pd_runqueue_take(&scheduler->queue);
    if (process == NULL) {
        process = steal(scheduler);
    }
    return process;
}

/* The seeded choice: among the oldest few, and the ones injected. */
static struct pd_process *choose_seeded(struct pd_scheduler *scheduler)
{
    struct pd_process *injected = NULL;
    while ((injected = pd_runqueue_take(&scheduler->runtime->injected)) != NULL) {
        pd_runqueue_push(&scheduler->queue, injected);
    }
    uint32_t count = pd_runqueue_count(&scheduler->queue);
    if (count == 0) {
        return NULL;
    }
    uint32_t window = count < PD_RUNQUEUE_WINDOW ? count : PD_RUNQUEUE_WINDOW;
    uint32_t index = (uint32_t)pd_random_below(&scheduler->random, window);
    return pd_runqueue_take_at(&scheduler->queue, index);
}

/* --- Running one ------------------------------------------------------------------------------ */

/* It has more to do: to the end of a queue, its own or a shorter one. */
static void yield(struct pd_scheduler *scheduler, struct pd_process *process)
{
    struct pd_runtime *runtime = scheduler->runtime;
    struct pd_runqueue *queue = &scheduler->queue;
    if (runtime->scheduler_count > 1) {
        uint32_t other = (uint32_t)pd_random_below(&scheduler->random, runtime->scheduler_count);
        struct pd_runqueue *candidate = &runtime->schedulers[other].queue;
        if (pd_runqueue_count(candidate) + 1 < pd_runqueue_count(queue)) {
            queue = candidate;
        }
    }
    pd_mailbox_requeue(process);
    if (pd_runqueue_count(&scheduler->queue) == 0 && queue == &scheduler->queue &&
        scheduler->lifo == NULL) {
        pd_runqueue_push(queue, process); /* it is alone: nobody else needs to wake for it */
        return;
    }
    push_shared(runtime, queue, process);
}

enum turn_end {
    TURN_YIELD,
    TURN_WAIT,
    TURN_EXIT
};

/* Signals have taken effect: let it run if it may. */
static enum turn_end run_behavior(struct pd_process *process, uint32_t *cost)
{
    if (pd_process_must_wait(process) && !pd_lifecycle_flush_outbox(process)) {
        return TURN_WAIT;
    }
    uint32_t spent = 1;
    enum pd_resume_result result = process->behavior->resume(process, &spent);
    *cost += spent;
    process->was_long = *cost >= SLICE_COST / 2;
    uint64_t slices = atomic_load_explicit(&process->slice_count, memory_order_relaxed);
    atomic_store_explicit(&process->slice_count, slices + 1, memory_order_relaxed);
    if (process->is_exit_set || result == PD_RESUME_EXIT) {
        return TURN_EXIT;
    }
    if (pd_process_must_wait(process) && !pd_lifecycle_flush_outbox(process)) {
        return TURN_WAIT;
    }
    return result == PD_RESUME_YIELD ? TURN_YIELD : TURN_WAIT;
}

/* What it took in, and what it then does. */
static enum turn_end take_in_and_run(struct pd_process *process, struct pd_message *batch,
                                     bool is_killed, uint32_t *cost)
{
    struct pd_scheduler *scheduler = current;
    uint64_t sent = atomic_load_explicit(&process->sent_count, memory_order_relaxed);
    uint64_t received = atomic_load_explicit(&process->received_count, memory_order_relaxed);
    pd_lifecycle_handle(process, batch);
    enum turn_end end = is_killed || process->is_exit_set ? TURN_EXIT : run_behavior(process, cost);
    sent = atomic_load_explicit(&process->sent_count, memory_order_relaxed) - sent;
    received = atomic_load_explicit(&process->received_count, memory_order_relaxed) - received;
    pd_scheduler_count(&scheduler->sent_count, sent);
    pd_scheduler_count(&scheduler->received_count, received);
    return end;
}

static enum turn_end take_turn(struct pd_process *process, uint32_t *cost)
{
    bool is_killed = false;
    struct pd_message *batch = pd_mailbox_begin(process, &is_killed);
    for (uint32_t loop = 0;; loop++) {
        enum turn_end end = take_in_and_run(process, batch, is_killed, cost);
        if (end != TURN_WAIT || pd_mailbox_settle(process)) {
            return end;
        }
        if (loop + 1 == LOOPS_MAX) {
            return TURN_YIELD;
        }
        batch = pd_mailbox_take_inbound(process, &is_killed);
    }
}

/* Somebody looks at the sockets while this one runs, which may take long (one memory.fill is one
 * turn, whatever its size): who wakes and finds nothing to run polls. */
static void leave_a_poller(struct pd_runtime *runtime)
{
    if (runtime->sockets != NULL &&
        atomic_load_explicit(&runtime->sockets->is_open, memory_order_acquire) &&
        atomic_load_explicit(&runtime->poller, memory_order_relaxed) == PD_SCHEDULERS_MAX) {
        wake_one(runtime);
    }
}

/* After this the process belongs to a queue, to whoever wakes it, or to the pool: not to be
 * touched. */
static uint32_t run_one(struct pd_scheduler *scheduler, struct pd_process *process)
{
    uint32_t cost = 0;
    scheduler->running = process;
    process->scheduler_index = (uint8_t)scheduler->index;
    pd_trace_fold(scheduler->runtime->trace, PD_TRACE_SCHEDULE, process->pid,
                  pd_runqueue_count(&scheduler->queue), process->environment->id);
    if (process->was_long) {
        leave_a_poller(scheduler->runtime);
    }
    switch (take_turn(process, &cost)) {
    case TURN_YIELD:
        yield(scheduler, process);
        break;
    case TURN_WAIT:
        break;
    case TURN_EXIT:
        pd_lifecycle_end(process);
        break;
    }
    scheduler->running = NULL;
    pd_scheduler_count(&scheduler->run_count, 1);
    return cost;
}

/* --- Lending ---------------------------------------------------------------------------------- */

bool pd_scheduler_is_lending(void)
{
    return current != NULL && current->is_lending;
}

/* The woken process that may run on the stack of `self`, or NULL. */
static struct pd_process *borrower(struct pd_scheduler *scheduler, struct pd_process *self)
{
    struct pd_process *process = scheduler->lifo;
    if (scheduler->running != self || scheduler->is_lending || process == NULL ||
        scheduler->credit <= 0 || pd_process_must_wait(self)) {
        return NULL;
    }
    if (self->lend_count < LEND_FROM) {
        self->lend_count++;
        return NULL;
    }
    bool is_light = process->behavior->is_light != NULL && process->behavior->is_light(process);
    return is_light ? process : NULL;
}

bool pd_process_lend(struct pd_process *self)
{
    struct pd_scheduler *scheduler = current;
    struct pd_process *process = scheduler == NULL ? NULL : borrower(scheduler, self);
    if (process == NULL) {
        return false;
    }
    uint32_t cost = 0;
    scheduler->lifo = NULL;
    scheduler->running = process;
    scheduler->is_lending = true;
    process->scheduler_index = (uint8_t)scheduler->index;
    enum turn_end end = take_turn(process, &cost);
    scheduler->is_lending = false;
    scheduler->running = self;
    scheduler->credit -= (int32_t)(cost < COST_MIN ? COST_MIN : cost);
    if (end == TURN_YIELD) {
        yield(scheduler, process);
    } else if (end == TURN_EXIT) {
        process->run_next = scheduler->ended; /* its end needs more stack than a fiber has */
        scheduler->ended = process;
    }
    return pd_lifecycle_catch_up(self);
}

/* Tear down who ended on a borrowed stack. */
static void end_borrowers(struct pd_scheduler *scheduler)
{
    while (scheduler->ended != NULL) {
        struct pd_process *process = scheduler->ended;
        scheduler->ended = process->run_next;
        pd_lifecycle_end(process);
    }
}

static void fire_timers(struct pd_scheduler *scheduler, uint64_t now_ns)
{
    struct pd_timer *timer = NULL;
    while ((timer = pd_timer_queue_take_due(&scheduler->timers, now_ns)) != NULL) {
        if (timer->kind == PD_TIMER_WAKE) {
            pd_process_wake(pd_container_of(timer, struct pd_process, timeout));
        } else {
            pd_message_timer_fire(scheduler->runtime, timer, now_ns);
        }
    }
}

/* --- The threads ------------------------------------------------------------------------------ */

static bool has_work(struct pd_scheduler *scheduler)
{
    struct pd_runtime *runtime = scheduler->runtime;
    if (pd_runqueue_count(&runtime->injected) > 0) {
        return true;
    }
    for (uint32_t i = 0; i < runtime->scheduler_count; i++) {
        if (pd_runqueue_count(&runtime->schedulers[i].queue) > 0) {
            return true;
        }
    }
    return atomic_load_explicit(&runtime->is_stopping, memory_order_acquire);
}

/* It is the one that polls from here on, until end_polling; false: there are no sockets, or another
 * is. */
static bool begin_polling(struct pd_scheduler *scheduler)
{
    struct pd_runtime *runtime = scheduler->runtime;
    uint32_t nobody = PD_SCHEDULERS_MAX;
    return runtime->sockets != NULL &&
           atomic_load_explicit(&runtime->sockets->is_open, memory_order_acquire) &&
           atomic_load_explicit(&runtime->poller, memory_order_relaxed) == nobody &&
           atomic_compare_exchange_strong_explicit(&runtime->poller, &nobody, scheduler->index,
                                                   memory_order_seq_cst, memory_order_relaxed);
}

static void end_polling(struct pd_scheduler *scheduler)
{
    atomic_store_explicit(&scheduler->runtime->poller, PD_SCHEDULERS_MAX, memory_order_seq_cst);
}

/* Whom it wakes stands in the queue behind those who wait already. */
static void poll_until(struct pd_scheduler *scheduler, uint64_t deadline_ns)
{
    struct pd_runtime *runtime = scheduler->runtime;
    uint64_t timeout_ns = deadline_ns;
    if (deadline_ns != 0 && deadline_ns != PD_TIME_NEVER) {
        uint64_t now_ns = pd_host_now_ns(runtime->host);
        timeout_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
    }
    scheduler->is_polling = true;
    runtime->sockets->ops->poll(runtime->sockets, timeout_ns);
    scheduler->is_polling = false;
}

static void sleep_until_work(struct pd_scheduler *scheduler)
{
    struct pd_runtime *runtime = scheduler->runtime;
    uint64_t bit = UINT64_C(1) << scheduler->index;
    bool is_poller = begin_polling(scheduler); /* before it can be woken: see `wake_at` */
    atomic_fetch_or_explicit(&runtime->idle_mask, bit, memory_order_seq_cst);
    atomic_thread_fence(memory_order_seq_cst);
    if (!has_work(scheduler)) {
        uint64_t deadline_ns = pd_timer_queue_next_ns(&scheduler->timers);
        if (is_poller) {
            poll_until(scheduler, deadline_ns);
        } else {
            (void)runtime->host->ops->event_wait(runtime->host, &scheduler->event, deadline_ns);
        }
    }
    atomic_fetch_and_explicit(&runtime->idle_mask, ~bit, memory_order_seq_cst);
    if (is_poller) {
        end_polling(scheduler);
    }
}

/* Others may wake for what it cannot run at once. */
static void share_events(struct pd_scheduler *scheduler, uint32_t own_count)
{
    if (pd_runqueue_count(&scheduler->queue) > own_count) {
        wake_one(scheduler->runtime);
    }
}

/* Amid other work: what is there already. */
static void look_at_sockets(struct pd_scheduler *scheduler)
{
    if (pd_scheduler_has_others(scheduler) && begin_polling(scheduler)) {
        poll_until(scheduler, 0);
        end_polling(scheduler);
        share_events(scheduler, scheduler->lifo == NULL ? 1 : 0);
    }
}

static void look_at_clock(struct pd_scheduler *scheduler)
{
    if (pd_timer_queue_next_ns(&scheduler->timers) != PD_TIME_NEVER) {
        fire_timers(scheduler, pd_host_now_ns(scheduler->runtime->host));
    }
}

bool pd_scheduler_has_others(struct pd_scheduler *scheduler)
{
    return scheduler->lifo != NULL || pd_runqueue_count(&scheduler->queue) > 0 ||
           pd_runqueue_count(&scheduler->runtime->injected) > 0;
}

static void tell_turned(struct pd_scheduler *scheduler)
{
    struct pd_runtime *runtime = scheduler->runtime;
    if (runtime->hooks.turned != NULL) {
        runtime->hooks.turned(runtime->hooks.context, !pd_scheduler_has_others(scheduler));
    }
}

static void scheduler_main(void *argument)
{
    struct pd_scheduler *scheduler = argument;
    struct pd_runtime *runtime = scheduler->runtime;
    current = scheduler;
    while (!atomic_load_explicit(&runtime->is_stopping, memory_order_relaxed)) {
        scheduler->tick++;
        if (scheduler->tick % TIMER_TICKS == 0) {
            look_at_clock(scheduler);
        }
        if (scheduler->tick % POLL_TICKS == 0) {
            look_at_sockets(scheduler);
        }
        struct pd_process *process = choose(scheduler);
        if (process == NULL) {
            look_at_clock(scheduler);
            if (scheduler->lifo == NULL && pd_runqueue_count(&scheduler->queue) == 0) {
                sleep_until_work(scheduler);
                share_events(scheduler, 1);
                look_at_clock(scheduler);
            }
            continue;
        }
        uint32_t cost = run_one(scheduler, process);
        end_borrowers(scheduler);
        tell_turned(scheduler);
        scheduler->credit -= (int32_t)(cost < COST_MIN ? COST_MIN : cost);
        if (cost >= SLICE_COST / 2) {
            look_at_clock(scheduler);
            look_at_sockets(scheduler);
        }
    }
    current = NULL;
}

enum pd_status pd_runtime_start(struct pd_runtime *runtime)
{
    pd_assert(!runtime->host->is_deterministic);
    for (uint32_t i = 0; i < runtime->scheduler_count; i++) {
        struct pd_scheduler *scheduler = &runtime->schedulers[i];
        enum pd_status status =
            runtime->host->ops->thread_start(runtime->host, "pando-sched", PD_THREAD_LOW,
                                             scheduler_main, scheduler, &scheduler->thread);
        if (status != PD_OK) {
            runtime->started_count = i;
            pd_runtime_stop(runtime);
            return status;
        }
        runtime->started_count = i + 1;
    }
    return PD_OK;
}

void pd_runtime_stop(struct pd_runtime *runtime)
{
    atomic_store_explicit(&runtime->is_stopping, true, memory_order_seq_cst);
    for (uint32_t i = 0; i < runtime->started_count; i++) {
        wake_at(runtime, i);
    }
    for (uint32_t i = 0; i < runtime->started_count; i++) {
        runtime->host->ops->thread_join(runtime->host, runtime->schedulers[i].thread);
    }
    runtime->started_count = 0;
}

bool pd_runtime_run(struct pd_runtime *runtime, bool (*is_done)(void *context), void *context,
                    void (*advance)(struct pd_host *host, uint64_t now_ns))
{
    struct pd_scheduler *scheduler = &runtime->schedulers[0];
    current = scheduler;
    bool has_ended = false;
    while (!(has_ended = is_done(context))) {
        uint64_t now_ns = pd_host_now_ns(runtime->host);
        fire_timers(scheduler, now_ns);
        struct pd_process *process = choose_seeded(scheduler);
        if (process != NULL) {
            uint32_t cost = run_one(scheduler, process);
            advance(runtime->host,
                    pd_host_now_ns(runtime->host) + (uint64_t)(cost + 1) * VIRTUAL_SLICE_NS);
            continue;
        }
        uint64_t next_ns = pd_timer_queue_next_ns(&scheduler->timers);
        if (next_ns == PD_TIME_NEVER) {
            break; /* nothing will ever happen again */
        }
        pd_trace_fold(runtime->trace, PD_TRACE_TIME, next_ns, 0, 0);
        advance(runtime->host, next_ns);
    }
    current = NULL;
    return has_ended;
}
