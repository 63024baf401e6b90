/* runqueue - runnable processes in order, for one scheduler and for those who steal from it.
 *
 * Model  An intrusive FIFO under a short lock; its count is readable without it.
 * Time   Push and take are constant; take_at walks at most PD_RUNQUEUE_WINDOW, steal
 *        PD_RUNQUEUE_STEAL_MAX. */
#ifndef PD_ACTOR_RUNQUEUE_H
#define PD_ACTOR_RUNQUEUE_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/spin.h"

#define PD_RUNQUEUE_WINDOW 64u
#define PD_RUNQUEUE_STEAL_MAX 256u

struct pd_process;

struct pd_runqueue {
    struct pd_spin lock;
    atomic_uint_least32_t count;
    struct pd_process *first;
    struct pd_process *last;
};

void pd_runqueue_push(struct pd_runqueue *queue, struct pd_process *process);

/* The oldest, or NULL. */
struct pd_process *pd_runqueue_take(struct pd_runqueue *queue);

/* The one at `index` (< count and < PD_RUNQUEUE_WINDOW), for the seeded scheduler. */
struct pd_process *pd_runqueue_take_at(struct pd_runqueue *queue, uint32_t index);

/* Move the older half (at least one, at most PD_RUNQUEUE_STEAL_MAX) to `to`, and take the oldest of
 * it; NULL when there is none. */
struct pd_process *pd_runqueue_steal(struct pd_runqueue *from, struct pd_runqueue *to);

static inline uint32_t pd_runqueue_count(struct pd_runqueue *queue)
{
    return atomic_load_explicit(&queue->count, memory_order_relaxed);
}

#endif
