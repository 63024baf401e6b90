/* queue - what will happen in a simulated world, ordered by (time, sequence number).
 *
 * Model      A four-way heap. Two events at one time happen in the order in which they were pushed,
 *            so that nothing but the seed decides.
 * Bounds     Grows; the world bounds what it pushes. Running out of memory stops the program.
 * Ownership  `data` is the world's: the queue only carries it. */
#ifndef PD_SIM_QUEUE_H
#define PD_SIM_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pd_sim_event {
    uint64_t time_ns;
    uint64_t sequence;
    uint32_t kind;
    uint32_t node;
    uint64_t life; /* of the process it was meant for: an event outlives no crash */
    uint64_t value;
    void *data;
};

struct pd_sim_queue {
    struct pd_sim_event *events;
    size_t count;
    size_t capacity;
    uint64_t next_sequence;
};

void pd_sim_queue_init(struct pd_sim_queue *queue);
void pd_sim_queue_deinit(struct pd_sim_queue *queue);
void pd_sim_queue_push(struct pd_sim_queue *queue, const struct pd_sim_event *event);
/* False: empty. */
bool pd_sim_queue_pop(struct pd_sim_queue *queue, struct pd_sim_event *event_out);
/* What of this kind was to happen later happens at latest_ns, in the order of pushing. O(count). */
void pd_sim_queue_hasten(struct pd_sim_queue *queue, uint32_t kind, uint64_t latest_ns);

/* Memory of the simulator itself: never NULL. */
void *pd_sim_alloc(size_t size);
/* Room for `wanted` elements in an array that grows by doubling; the new block. */
void *pd_sim_grow(void *block, size_t *capacity, size_t wanted, size_t element_size);

#endif
