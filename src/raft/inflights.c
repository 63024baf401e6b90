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
/*@ requires 0 < size_max <= PD_INFLIGHTS_MAX && start < size_max && distance <= size_max;
    assigns \nothing;
    ensures exact: \result == slot_at(start, distance, size_max); */
static uint32_t ring_slot(uint32_t start, uint32_t distance, uint32_t size_max)
{
    uint32_t slot = start + distance;
    return slot < size_max ? slot : slot - size_max;
}

/* Written so, because the sum may pass the type's end after 16 EiB without one empty moment. */
/*@ assigns \nothing;
    ensures exact: \result == (sum + bytes <= UINT64_MAX ? sum + bytes : UINT64_MAX); */
static uint64_t add_up(uint64_t sum, uint64_t bytes)
{
    return bytes > UINT64_MAX - sum ? UINT64_MAX : sum + bytes;
}

/*@ requires \valid(slot);
    assigns *slot;
    ensures slot->index == index && slot->bytes_sum == bytes_sum; */
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
/*@ requires ok: window_ok(window);
    assigns \nothing;
    ensures range: \result <= window->count;
    ensures arrived: \forall integer d; 0 <= d < \result ==> inflight_at(window, d)->index <= index;
    ensures left: \forall integer d; \result <= d < window->count ==>
      inflight_at(window, d)->index > index; */
static uint32_t count_arrived(const struct pd_raft_inflights *window, uint64_t index)
{
    uint32_t arrived = 0;
    /*@ loop invariant arrived <= window->count;
        loop invariant \forall integer d; 0 <= d < arrived ==>
          inflight_at(window, d)->index <= index;
        loop assigns arrived;
        loop variant window->count - arrived; */
    while (arrived < window->count &&
           window->ring[ring_slot(window->start, arrived, window->size_max)].index <= index) {
        arrived++;
    }
    return arrived;
}

/*@ requires ok: window_ok(window) && 0 < arrived < window->count;
    assigns window->start, window->count, window->bytes_removed;
    ensures start: window->start == slot_at(\old(window->start), arrived, window->size_max);
    ensures fewer: window->count == \old(window->count) - arrived;
    ensures kept: \forall integer d; 0 <= d < window->count ==>
      inflight_at(window, d) == \at(inflight_at(window, arrived + d), Pre);
    ensures bytes: window->bytes_removed == \at(inflight_at(window, arrived - 1)->bytes_sum, Pre);
    ensures sorted: window_sorted(window);
    ensures shape: window_shape(window);
    ensures sums: window_bytes(window); */
static void drop_oldest(struct pd_raft_inflights *window, uint32_t arrived)
{
    uint32_t newest = ring_slot(window->start, arrived - 1, window->size_max);
    window->bytes_removed = window->ring[newest].bytes_sum;
    window->start = ring_slot(window->start, arrived, window->size_max);
    window->count -= arrived;
    /*@ assert moved: \forall integer d; 0 <= d < window->count ==>
          inflight_at(window, d) == \at(inflight_at(window, arrived + d), Pre); */
    /*@ assert moved_bytes: \forall integer d; 0 <= d < window->count ==>
          inflight_at(window, d)->bytes_sum ==
            \at(inflight_at(window, arrived + d)->bytes_sum, Pre) &&
          inflight_at(window, d)->index == \at(inflight_at(window, arrived + d)->index, Pre); */
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
    drop_oldest(window, arrived);
}
