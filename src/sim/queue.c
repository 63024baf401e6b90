#include "sim/queue.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

#define WAYS 4u

void *pd_sim_alloc(size_t size)
{
    void *block = pd_alloc_zeroed(1, size);
    if (block == NULL) {
        pd_fatal("the simulator has no memory left");
    }
    return block;
}

void *pd_sim_grow(void *block, size_t *capacity, size_t wanted, size_t element_size)
{
    if (wanted <= *capacity) {
        return block;
    }
    size_t more = *capacity == 0 ? 16 : *capacity;
    while (more < wanted) {
        more *= 2;
    }
    void *grown = pd_realloc(block, more * element_size);
    if (grown == NULL) {
        pd_fatal("the simulator has no memory left");
    }
    *capacity = more;
    return grown;
}

void pd_sim_queue_init(struct pd_sim_queue *queue)
{
    *queue = (struct pd_sim_queue){0};
}

void pd_sim_queue_deinit(struct pd_sim_queue *queue)
{
    pd_free(queue->events);
    *queue = (struct pd_sim_queue){0};
}

static bool is_before(const struct pd_sim_event *a, const struct pd_sim_event *b)
{
    return a->time_ns != b->time_ns ? a->time_ns < b->time_ns : a->sequence < b->sequence;
}

void pd_sim_queue_push(struct pd_sim_queue *queue, const struct pd_sim_event *event)
{
    queue->events =
        pd_sim_grow(queue->events, &queue->capacity, queue->count + 1, sizeof queue->events[0]);
    struct pd_sim_event added = *event;
    added.sequence = queue->next_sequence++;
    size_t at = queue->count++;
    while (at > 0) {
        size_t parent = (at - 1) / WAYS;
        if (!is_before(&added, &queue->events[parent])) {
            break;
        }
        queue->events[at] = queue->events[parent];
        at = parent;
    }
    queue->events[at] = added;
}

static size_t first_child(const struct pd_sim_queue *queue, size_t at)
{
    size_t best = at * WAYS + 1;
    for (size_t i = best + 1; i < at * WAYS + 1 + WAYS && i < queue->count; i++) {
        if (is_before(&queue->events[i], &queue->events[best])) {
            best = i;
        }
    }
    return best;
}

/* The place `at` is free, and all below it is in order. */
static void sink(struct pd_sim_queue *queue, size_t at, struct pd_sim_event moved)
{
    while (at * WAYS + 1 < queue->count) {
        size_t child = first_child(queue, at);
        if (!is_before(&queue->events[child], &moved)) {
            break;
        }
        queue->events[at] = queue->events[child];
        at = child;
    }
    queue->events[at] = moved;
}

bool pd_sim_queue_pop(struct pd_sim_queue *queue, struct pd_sim_event *event_out)
{
    if (queue->count == 0) {
        return false;
    }
    *event_out = queue->events[0];
    struct pd_sim_event moved = queue->events[--queue->count];
    if (queue->count > 0) {
        sink(queue, 0, moved);
    }
    return true;
}

void pd_sim_queue_hasten(struct pd_sim_queue *queue, uint32_t kind, uint64_t latest_ns)
{
    for (size_t i = 0; i < queue->count; i++) {
        struct pd_sim_event *event = &queue->events[i];
        if (event->kind == kind && event->time_ns > latest_ns) {
            event->time_ns = latest_ns;
        }
    }
    for (size_t at = queue->count; at-- > 0;) {
        sink(queue, at, queue->events[at]);
    }
}
