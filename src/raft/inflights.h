/* inflights - the window of appends that a follower has not acknowledged yet. Pure.
 *
 * Model      A ring of (index of the append's last entry, its bytes), oldest first, in the order of
 *            sending. It is full by count, or by bytes once the sum has reached the limit: one
 *            append may pass the byte limit, so that an entry larger than the limit can travel
 *            (raft.md, item 12).
 * Bounds     size_max slots, the caller's memory; PD_INFLIGHTS_MAX at most.
 * Ownership  The caller keeps `ring` alive as long as the window. */
#ifndef PD_RAFT_INFLIGHTS_H
#define PD_RAFT_INFLIGHTS_H

#include <stdbool.h>
#include <stdint.h>

#define PD_INFLIGHTS_MAX 65536u

struct pd_raft_inflight {
    uint64_t index;
    uint64_t bytes_sum; /* of all appends since the window was last empty, this one included */
};

struct pd_raft_inflights {
    struct pd_raft_inflight *ring;
    uint32_t size_max;      /* slots of the ring, > 0 */
    uint32_t start;         /* slot of the oldest */
    uint32_t count;         /* under way */
    uint64_t bytes_max;     /* 0: no limit */
    uint64_t bytes_added;   /* since the window was last empty; stops at UINT64_MAX */
    uint64_t bytes_removed; /* of those, acknowledged */
};

/* An empty window over `ring`. */
void pd_inflights_init(struct pd_raft_inflights *window, struct pd_raft_inflight *ring,
                       uint32_t size_max, uint64_t bytes_max);

/* Forget all that is under way. */
void pd_inflights_reset(struct pd_raft_inflights *window);

/* Bytes under way. */
uint64_t pd_inflights_bytes(const struct pd_raft_inflights *window);

bool pd_inflights_is_full(const struct pd_raft_inflights *window);

/* An append was sent whose last entry is `index`, not below that of the one before. Not when count
 * == size_max. */
void pd_inflights_add(struct pd_raft_inflights *window, uint64_t index, uint64_t bytes);

/* Everything up to `index` arrived. */
void pd_inflights_free_to(struct pd_raft_inflights *window, uint64_t index);

#endif
