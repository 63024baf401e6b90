/* progress - what a leader knows of one follower's log, and what it may send next. Pure.
 *
 * Model      match < next, always: the follower is known to hold everything up to `match`; `next`
 *            is the next entry to send (raft.md, item 12).
 *              probe      one append at a time, then wait: where the logs part is not known
 *              replicate  appends are sent ahead, as far as the window `inflights` allows
 *              snapshot   nothing but heartbeats, until `pending_snapshot` has arrived or failed
 * Bounds     Indexes are below PD_RAFT_INDEX_END.
 * Ownership  The caller owns the progress and the ring of its window.
 * Proof      Proven with the window: see also inflights.h. */
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

/* A follower of which nothing is known but that entries from `next` (> match) on are to be
 * probed. */
void pd_progress_init(struct pd_raft_progress *progress, uint64_t match, uint64_t next,
                      struct pd_raft_inflight *ring, uint32_t size_max, uint64_t bytes_max);

/* The window and the pause begin anew. From snapshot: probe after what the snapshot holds, if it
 * arrived. */
void pd_progress_become_probe(struct pd_raft_progress *progress);
void pd_progress_become_replicate(struct pd_raft_progress *progress);
/* A snapshot at `index` (< PD_RAFT_INDEX_END) is on its way. */
void pd_progress_become_snapshot(struct pd_raft_progress *progress, uint64_t index);

/* An append with `count` entries (0: empty) of `bytes` bytes was sent. Not in state snapshot, and
 * not when the window's ring is full unless count is 0. */
void pd_progress_sent(struct pd_raft_progress *progress, uint32_t count, uint64_t bytes);

/* The follower acknowledged everything up to `acked`. Whether that is news: match advanced. */
bool pd_progress_maybe_update(struct pd_raft_progress *progress, uint64_t acked);

/* The follower rejected an append that began after `rejected`, and says that its log may match at
 * `hint` at most. False: the rejection is stale, nothing changed. */
bool pd_progress_maybe_decrease(struct pd_raft_progress *progress, uint64_t rejected,
                                uint64_t hint);

/* Whether nothing may be sent but heartbeats. */
bool pd_progress_is_paused(const struct pd_raft_progress *progress);

/* Whether telling `commit` could let the follower commit more than it may know already. */
bool pd_progress_can_bump_commit(const struct pd_raft_progress *progress, uint64_t commit);
void pd_progress_sent_commit(struct pd_raft_progress *progress, uint64_t commit);

#endif
