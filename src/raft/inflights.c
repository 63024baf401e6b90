#include "raft/inflights.h"

void pd_inflights_init(struct pd_raft_inflights *window, struct pd_raft_inflight *ring,
                       uint32_t size_max, uint64_t bytes_max)
{
    window->ring = ring;
    window->size_max = size_max;
    window->bytes_max = bytes_max;
    pd_inflights_reset(window);
}

void pd_inflights_reset(struct pd_raft_inflights *window)
{
    window->start = 0;
    window->count = 0;
    window->bytes_added = 0;
    window->bytes_removed = 0;
}

uint64_t pd_inflights_bytes(const struct pd_raft_inflights *window)
{
    return window->bytes_added - window->bytes_removed;
}

bool pd_inflights_is_full(const struct pd_raft_inflights *window)
{
    return window->count == window->size_max ||
           (window->bytes_max != 0 && pd_inflights_bytes(window) >= window->bytes_max);
}

/* The slot `distance` places after `start`, around the ring's end. */
static uint32_t ring_slot(uint32_t start, uint32_t distance, uint32_t size_max)
{
    uint32_t slot = start + distance;
    return slot < size_max ? slot : slot - size_max;
}

/* Written so, because the sum may pass the type's end after 16 EiB without one empty moment. */
static uint64_t add_up(uint64_t sum, uint64_t bytes)
{
    return bytes > UINT64_MAX - sum ? UINT64_MAX : sum + bytes;
}

static void slot_write(struct pd_raft_inflight *slot, uint64_t index, uint64_t bytes_sum)
{
    slot->index = index;
    slot->bytes_sum = bytes_sum;
}

void pd_inflights_add(struct pd_raft_inflights *window, uint64_t index, uint64_t bytes)
{
    uint32_t slot = ring_slot(window->start, window->count, window->size_max);
    uint64_t sum = add_up(window->bytes_added, bytes);
    slot_write(window->ring + slot, index, sum);
    window->bytes_added = sum;
    window->count++;
}

/* How many, from the oldest on, end at `index` or before. */
static uint32_t count_arrived(const struct pd_raft_inflights *window, uint64_t index)
{
    uint32_t arrived = 0;
    while (arrived < window->count &&
           window->ring[ring_slot(window->start, arrived, window->size_max)].index <= index) {
        arrived++;
    }
    return arrived;
}

void pd_inflights_free_to(struct pd_raft_inflights *window, uint64_t index)
{
    uint32_t arrived = count_arrived(window, index);
    if (arrived == 0) {
        return;
    }
    if (arrived == window->count) {
        pd_inflights_reset(window);
        return;
    }
    uint32_t newest = ring_slot(window->start, arrived - 1, window->size_max);
    window->bytes_removed = window->ring[newest].bytes_sum;
    window->start = ring_slot(window->start, arrived, window->size_max);
    window->count -= arrived;
}
