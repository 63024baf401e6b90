/* progress - what a leader knows of one follower's log, and what it may send next. Pure.
 *
 * Model      match < next, always: the follower is known to hold everything up to `match`; `next`
 *            is the next entry to send (raft.md, item 12).
 *              probe      one append at a time, then wait: where the logs part is not known
 *              replicate  appends are sent ahead, as far as the window `inflights` allows
 *              snapshot   nothing but heartbeats, until `pending_snapshot` has arrived or failed
 * Bounds     Indexes are below PD_RAFT_INDEX_END.
 * Ownership  The caller owns the progress and the ring of its window.
 * Proof      Proven: the whole effect of each call, and that match < next stays true. */
#ifndef PD_RAFT_PROGRESS_H
#define PD_RAFT_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "raft/inflights.h"
#include "raft/raft.h"

/* No index reaches this: what a peer claims beyond it is refused, so that an index plus one never
 * wraps. */
#define PD_RAFT_INDEX_END UINT64_MAX

struct pd_raft_progress {
    uint64_t match;
    uint64_t next;
    uint64_t sent_commit;      /* highest commit index that may have reached the follower */
    uint64_t pending_snapshot; /* state snapshot: its index; else 0 */
    enum pd_raft_progress_state state;
    bool is_flow_paused; /* an append is out that must be answered first */
    struct pd_raft_inflights inflights;
};

/*@ predicate progress_shape{L}(struct pd_raft_progress *p) =
      \valid(p) &&
      \separated(p, p->inflights.ring + (0 .. p->inflights.size_max - 1)) &&
      window_ok(&p->inflights);
    predicate progress_ok{L}(struct pd_raft_progress *p) =
      progress_shape(p) && p->match < p->next && p->pending_snapshot < PD_RAFT_INDEX_END &&
      (p->state == PD_RAFT_PROBE || p->state == PD_RAFT_REPLICATE || p->state == PD_RAFT_SNAPSHOT);
    predicate progress_ordered{L}(struct pd_raft_progress *p) =
      \forall integer d; 0 <= d < p->inflights.count ==>
        inflight_at(&p->inflights, d)->index < p->next;
    predicate progress_fresh{L}(struct pd_raft_progress *p) =
      p->is_flow_paused == 0 && window_empty(&p->inflights);
    logic integer larger_of(integer a, integer b) = a > b ? a : b;
    logic integer smaller_of(integer a, integer b) = a < b ? a : b; */

/* A follower of which nothing is known but that entries from `next` (> match) on are to be
 * probed. */
/*@ requires \valid(progress) && match < next && 0 < size_max <= PD_INFLIGHTS_MAX;
    requires \valid(ring + (0 .. size_max - 1)) && \separated(progress, ring + (0 .. size_max - 1));
    assigns *progress;
    ensures ok: progress_ok(progress) && progress_ordered(progress);
    ensures probe: progress->state == PD_RAFT_PROBE && progress_fresh(progress);
    ensures known: progress->match == match && progress->next == next;
    ensures nothing: progress->sent_commit == 0 && progress->pending_snapshot == 0;
    ensures bounds: progress->inflights.ring == ring && progress->inflights.size_max == size_max &&
      progress->inflights.bytes_max == bytes_max; */
void pd_progress_init(struct pd_raft_progress *progress, uint64_t match, uint64_t next,
                      struct pd_raft_inflight *ring, uint32_t size_max, uint64_t bytes_max);

/* The window and the pause begin anew. From snapshot: probe after what the snapshot holds, if it
 * arrived. */
/*@ requires ok: progress_ok(progress);
    assigns progress->state, progress->pending_snapshot, progress->is_flow_paused, progress->next,
      progress->sent_commit, progress->inflights.start, progress->inflights.count,
      progress->inflights.bytes_added, progress->inflights.bytes_removed;
    ensures ok: progress_ok(progress) && progress_ordered(progress);
    ensures probe: progress->state == PD_RAFT_PROBE && progress_fresh(progress) &&
      progress->pending_snapshot == 0;
    ensures next: progress->next == 1 +
      (\old(progress->state) == PD_RAFT_SNAPSHOT
         ? larger_of(progress->match, \old(progress->pending_snapshot))
         : progress->match);
    ensures commit: progress->sent_commit ==
      smaller_of(\old(progress->sent_commit), progress->next - 1); */
void pd_progress_become_probe(struct pd_raft_progress *progress);
/*@ requires ok: progress_ok(progress);
    assigns progress->state, progress->pending_snapshot, progress->is_flow_paused, progress->next,
      progress->inflights.start, progress->inflights.count, progress->inflights.bytes_added,
      progress->inflights.bytes_removed;
    ensures ok: progress_ok(progress) && progress_ordered(progress);
    ensures replicate: progress->state == PD_RAFT_REPLICATE && progress_fresh(progress) &&
      progress->pending_snapshot == 0;
    ensures next: progress->next == progress->match + 1; */
void pd_progress_become_replicate(struct pd_raft_progress *progress);
/* A snapshot at `index` (at least `match`, < PD_RAFT_INDEX_END) is on its way. */
/*@ requires ok: progress_ok(progress);
    requires progress->match <= index < PD_RAFT_INDEX_END;
    assigns progress->state, progress->pending_snapshot, progress->is_flow_paused, progress->next,
      progress->sent_commit, progress->inflights.start, progress->inflights.count,
      progress->inflights.bytes_added, progress->inflights.bytes_removed;
    ensures ok: progress_ok(progress) && progress_ordered(progress);
    ensures snapshot: progress->state == PD_RAFT_SNAPSHOT && progress_fresh(progress) &&
      progress->pending_snapshot == index;
    ensures next: progress->next == index + 1 && progress->sent_commit == index; */
void pd_progress_become_snapshot(struct pd_raft_progress *progress, uint64_t index);

/* An append with `count` entries (0: empty) of `bytes` bytes was sent. Not in state snapshot, and
 * not when the window's ring is full unless count is 0. */
/*@ requires ok: progress_ok(progress) && progress_ordered(progress);
    requires progress->next + count <= PD_RAFT_INDEX_END;
    requires room: progress->state == PD_RAFT_REPLICATE && count > 0 ==>
      progress->inflights.count < progress->inflights.size_max;
    assigns progress->next, progress->is_flow_paused, progress->inflights.count,
      progress->inflights.bytes_added,
      progress->inflights.ring[0 .. progress->inflights.size_max - 1];
    ensures ok: progress_ok(progress) && progress_ordered(progress);
    ensures next: progress->next ==
      \old(progress->next) + (progress->state == PD_RAFT_REPLICATE ? count : 0);
    ensures ahead: progress->state == PD_RAFT_REPLICATE ==>
      (progress->is_flow_paused <==> window_full(&progress->inflights));
    ensures one: progress->state != PD_RAFT_REPLICATE ==>
      (progress->is_flow_paused <==> count > 0 || \old(progress->is_flow_paused));
    ensures taken: progress->state == PD_RAFT_REPLICATE && count > 0 ==>
      progress->inflights.count == \old(progress->inflights.count) + 1 &&
      inflight_at(&progress->inflights, progress->inflights.count - 1)->index ==
        progress->next - 1 &&
      progress->inflights.bytes_added ==
        smaller_of(UINT64_MAX, \old(progress->inflights.bytes_added) + bytes);
    ensures not_taken: progress->state != PD_RAFT_REPLICATE || count == 0 ==>
      window_same{Pre,Post}(&progress->inflights);
    ensures others: \forall integer d; 0 <= d < \old(progress->inflights.count) ==>
      inflight_at(&progress->inflights, d)->index ==
        \at(inflight_at(&progress->inflights, d)->index, Pre) &&
      inflight_at(&progress->inflights, d)->bytes_sum ==
        \at(inflight_at(&progress->inflights, d)->bytes_sum, Pre); */
void pd_progress_sent(struct pd_raft_progress *progress, uint32_t count, uint64_t bytes);

/* The follower acknowledged everything up to `acked`. Whether that is news: match advanced. */
/*@ requires ok: progress_ok(progress);
    assigns progress->match, progress->next, progress->is_flow_paused;
    ensures ok: progress_ok(progress);
    ensures ordered: progress_ordered{Pre}(progress) ==> progress_ordered{Post}(progress);
    ensures exact: \result <==> \old(progress->match) < acked < PD_RAFT_INDEX_END;
    ensures match: progress->match == (\result ? acked : \old(progress->match));
    ensures next: progress->next ==
      (\result ? larger_of(\old(progress->next), acked + 1) : \old(progress->next));
    ensures unpaused: progress->is_flow_paused == (\result ? 0 : \old(progress->is_flow_paused)); */
bool pd_progress_maybe_update(struct pd_raft_progress *progress, uint64_t acked);

/* The follower rejected an append that began after `rejected`, and says that its log may match at
 * `hint` at most. False: the rejection is stale, nothing changed. True in state replicate: entries
 * go out again from behind `match`; become probe before the next is sent. */
/*@ requires ok: progress_ok(progress);
    assigns progress->next, progress->sent_commit, progress->is_flow_paused;
    ensures ok: progress_ok(progress);
    ensures exact: \result <==>
      (progress->state == PD_RAFT_REPLICATE ? rejected > progress->match
                                            : rejected == \old(progress->next) - 1);
    ensures stale: !\result ==> progress->next == \old(progress->next) &&
      progress->sent_commit == \old(progress->sent_commit) &&
      progress->is_flow_paused == \old(progress->is_flow_paused);
    ensures replicate: \result && progress->state == PD_RAFT_REPLICATE ==>
      progress->next == progress->match + 1 &&
      progress->is_flow_paused == \old(progress->is_flow_paused);
    ensures one: \result && progress->state != PD_RAFT_REPLICATE ==>
      progress->next == larger_of(progress->match + 1, smaller_of(rejected, hint + 1)) &&
      progress->is_flow_paused == 0;
    ensures commit: \result ==> progress->sent_commit ==
      smaller_of(\old(progress->sent_commit), progress->next - 1); */
bool pd_progress_maybe_decrease(struct pd_raft_progress *progress, uint64_t rejected,
                                uint64_t hint);

/* Whether nothing may be sent but heartbeats. */
/*@ requires ok: progress_ok(progress);
    assigns \nothing;
    ensures exact: \result <==>
      progress->state == PD_RAFT_SNAPSHOT || progress->is_flow_paused; */
bool pd_progress_is_paused(const struct pd_raft_progress *progress);

/* Whether telling `commit` could let the follower commit more than it may know already. */
/*@ requires ok: progress_ok(progress);
    assigns \nothing;
    ensures exact: \result <==>
      commit > progress->sent_commit && progress->sent_commit < progress->next - 1; */
bool pd_progress_can_bump_commit(const struct pd_raft_progress *progress, uint64_t commit);
/*@ requires ok: progress_ok(progress);
    assigns progress->sent_commit;
    ensures ok: progress_ok(progress);
    ensures told: progress->sent_commit == commit; */
void pd_progress_sent_commit(struct pd_raft_progress *progress, uint64_t commit);

#endif
