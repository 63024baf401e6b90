#include "actor/runqueue.h"

#include <stddef.h>

#include "actor/process.h"
#include "base/assert.h"

static void add_count(struct pd_runqueue *queue, int32_t by)
{
    uint32_t count = pd_runqueue_count(queue);
    atomic_store_explicit(&queue->count, count + (uint32_t)by, memory_order_relaxed);
}

/* Put a chain of `count` at the end. */
static void push_chain(struct pd_runqueue *queue, struct pd_process *first, struct pd_process *last,
                       uint32_t count)
{
    last->run_next = NULL;
    pd_spin_lock(&queue->lock);
    if (queue->last == NULL) {
        queue->first = first;
    } else {
        queue->last->run_next = first;
    }
    queue->last = last;
    add_count(queue, (int32_t)count);
    pd_spin_unlock(&queue->lock);
}

void pd_runqueue_push(struct pd_runqueue *queue, struct pd_process *process)
{
    push_chain(queue, process, process, 1);
}

/* Under the lock: unlink the one behind `previous` (NULL: the first). */
static struct pd_process *unlink_after(struct pd_runqueue *queue, struct pd_process *previous)
{
    struct pd_process *process = previous == NULL ? queue->first : previous->run_next;
    if (process == NULL) {
        return NULL;
    }
    if (previous == NULL) {
        queue->first = process->run_next;
    } else {
        previous->run_next = process->run_next;
    }
    if (queue->last == process) {
        queue->last = previous;
    }
    process->run_next = NULL;
    add_count(queue, -1);
    return process;
}

struct pd_process *pd_runqueue_take(struct pd_runqueue *queue)
{
    if (pd_runqueue_count(queue) == 0) {
        return NULL;
    }
    pd_spin_lock(&queue->lock);
    struct pd_process *process = unlink_after(queue, NULL);
    pd_spin_unlock(&queue->lock);
    return process;
}

struct pd_process *pd_runqueue_take_at(struct pd_runqueue *queue, uint32_t index)
{
    pd_assert(index < PD_RUNQUEUE_WINDOW);
    pd_spin_lock(&queue->lock);
    pd_assert(index < pd_runqueue_count(queue));
    struct pd_process *previous = NULL;
    for (uint32_t i = 0; i < index; i++) {
        previous = previous == NULL ? queue->first : previous->run_next;
    }
    struct pd_process *process = unlink_after(queue, previous);
    pd_spin_unlock(&queue->lock);
    return process;
}

struct pd_process *pd_runqueue_steal(struct pd_runqueue *from, struct pd_runqueue *to)
{
    if (pd_runqueue_count(from) == 0) {
        return NULL;
    }
    pd_spin_lock(&from->lock);
    struct pd_process *first = unlink_after(from, NULL);
    uint32_t half = pd_runqueue_count(from) / 2; /* of what is left besides `first` */
    uint32_t count = half < PD_RUNQUEUE_STEAL_MAX ? half : PD_RUNQUEUE_STEAL_MAX - 1;
    struct pd_process *rest = from->first;
    struct pd_process *last = NULL;
    for (uint32_t i = 0; i < count; i++) {
        last = last == NULL ? rest : last->run_next;
    }
    if (last != NULL) {
        from->first = last->run_next; /* not NULL: count is at most half */
        add_count(from, -(int32_t)count);
    }
    pd_spin_unlock(&from->lock);
    if (last != NULL) {
        push_chain(to, rest, last, count);
    }
    return first;
}
