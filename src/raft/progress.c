#include "raft/progress.h"

/*@ assigns \nothing;
    ensures exact: \result == smaller_of(a, b); */
static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/*@ assigns \nothing;
    ensures exact: \result == larger_of(a, b); */
static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

void pd_progress_init(struct pd_raft_progress *progress, uint64_t match, uint64_t next,
                      struct pd_raft_inflight *ring, uint32_t size_max, uint64_t bytes_max)
{
    progress->match = match;
    progress->next = next;
    progress->sent_commit = 0;
    progress->pending_snapshot = 0;
    progress->state = PD_RAFT_PROBE;
    progress->is_flow_paused = false;
    pd_inflights_init(&progress->inflights, ring, size_max, bytes_max);
}

/*@ requires ok: progress_ok(progress);
    requires state == PD_RAFT_PROBE || state == PD_RAFT_REPLICATE || state == PD_RAFT_SNAPSHOT;
    assigns progress->state, progress->pending_snapshot, progress->is_flow_paused,
      progress->inflights.start, progress->inflights.count, progress->inflights.bytes_added,
      progress->inflights.bytes_removed;
    ensures ok: progress_ok(progress) && progress_fresh(progress);
    ensures entered: progress->state == state && progress->pending_snapshot == 0; */
static void enter(struct pd_raft_progress *progress, enum pd_raft_progress_state state)
{
    progress->state = state;
    progress->pending_snapshot = 0;
    progress->is_flow_paused = false;
    pd_inflights_reset(&progress->inflights);
}

/* Entries from `next` on go out again, and what was told of the commit index with them. */
/*@ requires ok: progress_ok(progress) && next > progress->match;
    assigns progress->next, progress->sent_commit;
    ensures ok: progress_ok(progress);
    ensures next: progress->next == next;
    ensures commit: progress->sent_commit == smaller_of(\old(progress->sent_commit), next - 1); */
static void rewind_to(struct pd_raft_progress *progress, uint64_t next)
{
    progress->next = next;
    progress->sent_commit = smaller(progress->sent_commit, next - 1);
}

void pd_progress_become_probe(struct pd_raft_progress *progress)
{
    uint64_t held = progress->match;
    if (progress->state == PD_RAFT_SNAPSHOT) {
        held = larger(held, progress->pending_snapshot);
    }
    enter(progress, PD_RAFT_PROBE);
    rewind_to(progress, held + 1);
}

void pd_progress_become_replicate(struct pd_raft_progress *progress)
{
    enter(progress, PD_RAFT_REPLICATE);
    progress->next = progress->match + 1;
}

void pd_progress_become_snapshot(struct pd_raft_progress *progress, uint64_t index)
{
    enter(progress, PD_RAFT_SNAPSHOT);
    progress->pending_snapshot = index;
    progress->next = index + 1;
    progress->sent_commit = index;
}

void pd_progress_sent(struct pd_raft_progress *progress, uint32_t count, uint64_t bytes)
{
    if (progress->state == PD_RAFT_REPLICATE) {
        if (count > 0) {
            progress->next += count;
            pd_inflights_add(&progress->inflights, progress->next - 1, bytes);
        }
        /* A full window still lets one empty append out when an answer unpauses it (item 12). */
        progress->is_flow_paused = pd_inflights_is_full(&progress->inflights);
    } else if (count > 0) {
        progress->is_flow_paused = true;
    }
}

bool pd_progress_maybe_update(struct pd_raft_progress *progress, uint64_t acked)
{
    if (acked <= progress->match || acked >= PD_RAFT_INDEX_END) {
        return false;
    }
    progress->match = acked;
    progress->next = larger(progress->next, acked + 1);
    progress->is_flow_paused = false;
    return true;
}

bool pd_progress_maybe_decrease(struct pd_raft_progress *progress, uint64_t rejected, uint64_t hint)
{
    if (progress->state == PD_RAFT_REPLICATE) {
        /* Appends overtake each other: only what lies beyond the proven match can have been
         * refused. */
        if (rejected <= progress->match) {
            return false;
        }
        rewind_to(progress, progress->match + 1);
        return true;
    }
    /* One append is out at a time: the rejection of any other is an old one (cockroach#106793). */
    if (progress->next - 1 != rejected) {
        return false;
    }
    uint64_t retry = hint < rejected ? hint + 1 : rejected;
    rewind_to(progress, larger(retry, progress->match + 1));
    progress->is_flow_paused = false;
    return true;
}

bool pd_progress_is_paused(const struct pd_raft_progress *progress)
{
    return progress->state == PD_RAFT_SNAPSHOT || progress->is_flow_paused;
}

bool pd_progress_can_bump_commit(const struct pd_raft_progress *progress, uint64_t commit)
{
    return commit > progress->sent_commit && progress->sent_commit < progress->next - 1;
}

void pd_progress_sent_commit(struct pd_raft_progress *progress, uint64_t commit)
{
    progress->sent_commit = commit;
}
