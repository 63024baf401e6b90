/* timer - deadlines of one scheduler thread: wakes of processes, and messages to be sent later.
 *
 * Model      A queue is a 4-ary heap ordered by (deadline, sequence), so equal deadlines fire in
 *            the order in which they were set. Its lock lets other threads cancel; only its own
 *            thread fires.
 * Bounds     timers_max entries in the heap; room for one wake of each live process is reserved by
 *            counting.
 * Ownership  A timer lies in its owner's structure (a process, a message timer); it is in one queue
 *            at most.
 * Time       Deadlines are pd_host_now_ns time. */
#ifndef PD_ACTOR_TIMER_H
#define PD_ACTOR_TIMER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/spin.h"
#include "base/status.h"

#define PD_TIMER_UNSET UINT32_MAX

struct pd_timer_queue;

enum pd_timer_kind {
    PD_TIMER_WAKE = 0,   /* in a process */
    PD_TIMER_MESSAGE = 1 /* in a struct pd_message_timer */
};

struct pd_timer {
    uint64_t deadline_ns;
    uint64_t sequence;
    _Atomic(struct pd_timer_queue *) queue; /* where it is set, or NULL */
    uint32_t position;                      /* in the heap; PD_TIMER_UNSET */
    uint8_t kind;
};

struct pd_timer_queue {
    struct pd_spin lock;
    struct pd_timer **heap;
    uint32_t count;
    uint32_t capacity;
    uint32_t timers_max;
    uint64_t sequence;
    atomic_uint_least64_t next_ns; /* earliest deadline, or NEVER; readable without the lock */
};

void pd_timer_init(struct pd_timer *timer, enum pd_timer_kind kind);

void pd_timer_queue_init(struct pd_timer_queue *queue, uint32_t timers_max);
void pd_timer_queue_deinit(struct pd_timer_queue *queue);

/* Set an unset timer. PD_ERR_FULL: timers_max are set. PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_timer_set(struct pd_timer_queue *queue, struct pd_timer *timer,
                                         uint64_t deadline_ns);

/* True: it was set and is not any more, it will not fire. False: it was not set, or is firing right
 * now. */
bool pd_timer_cancel(struct pd_timer *timer);

/* Take the earliest timer that is due at now_ns, or NULL. It is unset when returned. */
struct pd_timer *pd_timer_queue_take_due(struct pd_timer_queue *queue, uint64_t now_ns);

static inline uint64_t pd_timer_queue_next_ns(struct pd_timer_queue *queue)
{
    return atomic_load_explicit(&queue->next_ns, memory_order_relaxed);
}

#endif
