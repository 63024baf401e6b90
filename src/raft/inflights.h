/* inflights - the window of appends that a follower has not acknowledged yet. Pure.
 *
 * Model      A ring of (index of the append's last entry, its bytes), oldest first, in the order of
 *            sending. It is full by count, or by bytes once the sum has reached the limit: one
 *            append may pass the byte limit, so that an entry larger than the limit can travel
 *            (raft.md, item 12).
 * Bounds     size_max slots, the caller's memory; PD_INFLIGHTS_MAX at most.
 * Ownership  The caller keeps `ring` alive as long as the window.
 * Proof      Proven: the whole effect of each call, on the window and on what is under way. */
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

/*@ logic integer slot_at(integer start, integer distance, integer size_max) =
      start + distance < size_max ? start + distance : start + distance - size_max;
    logic struct pd_raft_inflight *inflight_at{L}(struct pd_raft_inflights *w, integer distance) =
      w->ring + slot_at(w->start, distance, w->size_max);
    predicate window_ring{L}(struct pd_raft_inflights *w) =
      \valid(w) && 0 < w->size_max <= PD_INFLIGHTS_MAX &&
      \valid(w->ring + (0 .. w->size_max - 1)) &&
      \separated(w, w->ring + (0 .. w->size_max - 1));
    predicate window_shape{L}(struct pd_raft_inflights *w) =
      window_ring(w) && w->start < w->size_max && w->count <= w->size_max;
    predicate window_sorted{L}(struct pd_raft_inflights *w) =
      \forall integer d, e; 0 <= d <= e < w->count ==>
        inflight_at(w, d)->index <= inflight_at(w, e)->index &&
        inflight_at(w, d)->bytes_sum <= inflight_at(w, e)->bytes_sum;
    predicate window_bytes{L}(struct pd_raft_inflights *w) =
      w->bytes_removed <= w->bytes_added &&
      (\forall integer d; 0 <= d < w->count ==>
        w->bytes_removed <= inflight_at(w, d)->bytes_sum <= w->bytes_added);
    predicate window_ok{L}(struct pd_raft_inflights *w) =
      window_shape(w) && window_sorted(w) && window_bytes(w);
    predicate window_empty{L}(struct pd_raft_inflights *w) =
      w->start == 0 && w->count == 0 && w->bytes_added == 0 && w->bytes_removed == 0;
    predicate window_full{L}(struct pd_raft_inflights *w) =
      w->count == w->size_max ||
      (w->bytes_max != 0 && w->bytes_added - w->bytes_removed >= w->bytes_max);
    predicate window_same{L1,L2}(struct pd_raft_inflights *w) =
      \at(w->start, L1) == \at(w->start, L2) && \at(w->count, L1) == \at(w->count, L2) &&
      \at(w->bytes_added, L1) == \at(w->bytes_added, L2) &&
      \at(w->bytes_removed, L1) == \at(w->bytes_removed, L2); */

/* An empty window over `ring`. */
/*@ requires \valid(window) && 0 < size_max <= PD_INFLIGHTS_MAX;
    requires \valid(ring + (0 .. size_max - 1)) && \separated(window, ring + (0 .. size_max - 1));
    assigns *window;
    ensures ok: window_ok(window);
    ensures empty: window_empty(window);
    ensures bounds: window->ring == ring && window->size_max == size_max &&
      window->bytes_max == bytes_max; */
void pd_inflights_init(struct pd_raft_inflights *window, struct pd_raft_inflight *ring,
                       uint32_t size_max, uint64_t bytes_max);

/* Forget all that is under way. */
/*@ requires shape: window_ring(window);
    assigns window->start, window->count, window->bytes_added, window->bytes_removed;
    ensures ok: window_ok(window);
    ensures empty: window_empty(window); */
void pd_inflights_reset(struct pd_raft_inflights *window);

/* Bytes under way. */
/*@ requires ok: window_ok(window);
    assigns \nothing;
    ensures exact: \result == window->bytes_added - window->bytes_removed; */
uint64_t pd_inflights_bytes(const struct pd_raft_inflights *window);

/*@ requires ok: window_ok(window);
    assigns \nothing;
    ensures exact: \result <==> window_full(window); */
bool pd_inflights_is_full(const struct pd_raft_inflights *window);

/* An append was sent whose last entry is `index`, not below that of the one before. Not when count
 * == size_max. */
/*@ requires ok: window_ok(window);
    requires room: window->count < window->size_max;
    requires order: \forall integer d; 0 <= d < window->count ==>
      inflight_at(window, d)->index <= index;
    assigns window->bytes_added, window->count, window->ring[0 .. window->size_max - 1];
    ensures ok: window_ok(window);
    ensures one_more: window->count == \old(window->count) + 1;
    ensures newest: inflight_at(window, window->count - 1)->index == index &&
      inflight_at(window, window->count - 1)->bytes_sum == window->bytes_added;
    ensures sum: window->bytes_added ==
      (\old(window->bytes_added) + bytes <= UINT64_MAX ? \old(window->bytes_added) + bytes
                                                       : UINT64_MAX);
    ensures others: \forall integer d; 0 <= d < \old(window->count) ==>
      inflight_at(window, d)->index == \at(inflight_at(window, d)->index, Pre) &&
      inflight_at(window, d)->bytes_sum == \at(inflight_at(window, d)->bytes_sum, Pre); */
void pd_inflights_add(struct pd_raft_inflights *window, uint64_t index, uint64_t bytes);

/* Everything up to `index` arrived. */
/*@ requires ok: window_ok(window);
    assigns window->start, window->count, window->bytes_added, window->bytes_removed;
    ensures ok: window_ok(window);
    ensures fewer: window->count <= \old(window->count);
    ensures arrived: \forall integer d; 0 <= d < \old(window->count) - window->count ==>
      \at(inflight_at(window, d)->index, Pre) <= index;
    ensures left: \forall integer d;
      \old(window->count) - window->count <= d < \old(window->count) ==>
      \at(inflight_at(window, d)->index, Pre) > index;
    ensures kept: \forall integer d; 0 <= d < window->count ==>
      inflight_at(window, d) ==
        \at(inflight_at(window, \at(window->count, Pre) - \at(window->count, Post) + d), Pre);
    ensures none: window->count == \old(window->count) ==> window_same{Pre,Post}(window);
    ensures all: window->count == 0 && \old(window->count) > 0 ==> window_empty(window);
    ensures bytes: 0 < window->count < \old(window->count) ==>
      window->bytes_added == \old(window->bytes_added) && window->bytes_removed ==
        \at(inflight_at(window, \at(window->count, Pre) - \at(window->count, Post) - 1)->bytes_sum,
            Pre); */
void pd_inflights_free_to(struct pd_raft_inflights *window, uint64_t index);

#endif
