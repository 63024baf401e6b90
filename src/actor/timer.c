#include "actor/timer.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/host.h"

#define ARITY 4u
#define CAPACITY_FIRST 64u

static bool before(const struct pd_timer *a, const struct pd_timer *b)
{
    return a->deadline_ns < b->deadline_ns ||
           (a->deadline_ns == b->deadline_ns && a->sequence < b->sequence);
}

static void place(struct pd_timer_queue *queue, uint32_t position, struct pd_timer *timer)
{
    queue->heap[position] = timer;
    timer->position = position;
}

static void sift_up(struct pd_timer_queue *queue, uint32_t position)
{
    struct pd_timer *timer = queue->heap[position];
    while (position > 0) {
        uint32_t parent = (position - 1) / ARITY;
        if (!before(timer, queue->heap[parent])) {
            break;
        }
        place(queue, position, queue->heap[parent]);
        position = parent;
    }
    place(queue, position, timer);
}

static void sift_down(struct pd_timer_queue *queue, uint32_t position)
{
    struct pd_timer *timer = queue->heap[position];
    for (;;) {
        uint64_t first = (uint64_t)position * ARITY + 1;
        if (first >= queue->count) {
            break;
        }
        uint32_t least = (uint32_t)first;
        for (uint32_t child = least + 1; child < queue->count && child < first + ARITY; child++) {
            if (before(queue->heap[child], queue->heap[least])) {
                least = child;
            }
        }
        if (!before(queue->heap[least], timer)) {
            break;
        }
        place(queue, position, queue->heap[least]);
        position = least;
    }
    place(queue, position, timer);
}

static void publish_next(struct pd_timer_queue *queue)
{
    uint64_t next_ns = queue->count == 0 ? PD_TIME_NEVER : queue->heap[0]->deadline_ns;
    atomic_store_explicit(&queue->next_ns, next_ns, memory_order_relaxed);
}

/* Under the lock. */
static void take_out(struct pd_timer_queue *queue, struct pd_timer *timer)
{
    uint32_t position = timer->position;
    pd_assert(position < queue->count && queue->heap[position] == timer);
    queue->count--;
    struct pd_timer *last = queue->heap[queue->count];
    if (last != timer) {
        place(queue, position, last);
        sift_up(queue, position);
        sift_down(queue, last->position);
    }
    timer->position = PD_TIMER_UNSET;
    /* Released last: whoever sees NULL may set the timer anew. */
    atomic_store_explicit(&timer->queue, NULL, memory_order_release);
    publish_next(queue);
}

void pd_timer_init(struct pd_timer *timer, enum pd_timer_kind kind)
{
    timer->deadline_ns = PD_TIME_NEVER;
    timer->sequence = 0;
    atomic_init(&timer->queue, NULL);
    timer->position = PD_TIMER_UNSET;
    timer->kind = (uint8_t)kind;
}

void pd_timer_queue_init(struct pd_timer_queue *queue, uint32_t timers_max)
{
    *queue = (struct pd_timer_queue){.timers_max = timers_max};
    atomic_init(&queue->next_ns, PD_TIME_NEVER);
}

void pd_timer_queue_deinit(struct pd_timer_queue *queue)
{
    pd_assert(queue->count == 0);
    pd_free(queue->heap);
    queue->heap = NULL;
}

/* Room for one more, under the lock. */
static enum pd_status reserve(struct pd_timer_queue *queue)
{
    if (queue->count == queue->timers_max) {
        return PD_ERR_FULL;
    }
    if (queue->count < queue->capacity) {
        return PD_OK;
    }
    uint32_t capacity = queue->capacity == 0 ? CAPACITY_FIRST : queue->capacity * 2;
    struct pd_timer **heap = pd_realloc(queue->heap, capacity * sizeof *heap);
    if (heap == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    queue->heap = heap;
    queue->capacity = capacity;
    return PD_OK;
}

enum pd_status pd_timer_set(struct pd_timer_queue *queue, struct pd_timer *timer,
                            uint64_t deadline_ns)
{
    pd_spin_lock(&queue->lock);
    pd_assert(timer->position == PD_TIMER_UNSET);
    enum pd_status status = reserve(queue);
    if (status == PD_OK) {
        timer->deadline_ns = deadline_ns;
        timer->sequence = queue->sequence++;
        atomic_store_explicit(&timer->queue, queue, memory_order_relaxed);
        queue->count++;
        place(queue, queue->count - 1, timer);
        sift_up(queue, queue->count - 1);
        publish_next(queue);
    }
    pd_spin_unlock(&queue->lock);
    return status;
}

bool pd_timer_cancel(struct pd_timer *timer)
{
    for (;;) {
        struct pd_timer_queue *queue = atomic_load_explicit(&timer->queue, memory_order_acquire);
        if (queue == NULL) {
            return false;
        }
        pd_spin_lock(&queue->lock);
        /* It enters and leaves this queue only under this lock; it may be in another by now. */
        bool is_here = atomic_load_explicit(&timer->queue, memory_order_relaxed) == queue;
        if (is_here) {
            take_out(queue, timer);
        }
        pd_spin_unlock(&queue->lock);
        if (is_here) {
            return true;
        }
    }
}

struct pd_timer *pd_timer_queue_take_due(struct pd_timer_queue *queue, uint64_t now_ns)
{
    if (pd_timer_queue_next_ns(queue) > now_ns) {
        return NULL;
    }
    struct pd_timer *due = NULL;
    pd_spin_lock(&queue->lock);
    if (queue->count > 0 && queue->heap[0]->deadline_ns <= now_ns) {
        due = queue->heap[0];
        take_out(queue, due);
    }
    pd_spin_unlock(&queue->lock);
    return due;
}
