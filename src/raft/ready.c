/* What the events caused, handed out; and what came of it. */
#include "base/assert.h"
#include "base/mutant.h"
#include "raft/raft_internal.h"

struct pd_raft_hard_state pd_core_hard_state(const struct pd_raft *raft)
{
    return (struct pd_raft_hard_state){
        .term = raft->term, .vote = raft->vote, .commit = raft->log.committed};
}

static bool has_new_hard_state(const struct pd_raft *raft)
{
    const struct pd_raft_hard_state *told = &raft->told_hard_state;
    return raft->term != told->term || raft->vote != told->vote ||
           raft->log.committed != told->commit;
}

bool pd_raft_has_ready(const struct pd_raft *raft)
{
    const struct pd_raft_outbox *outbox = &raft->outboxes[raft->outbox_current];
    uint64_t first = 0;
    return raft->leader != raft->told_leader || raft->role != raft->told_role ||
           has_new_hard_state(raft) || outbox->message_count > 0 || outbox->after_count > 0 ||
           outbox->read_count > 0 ||
           (raft->log.has_pending_snapshot && !raft->log.is_snapshot_writing) ||
           pd_log_next_unstable(&raft->log, &first) > 0 ||
           pd_log_next_committed(&raft->log, raft->config.apply_unstable, &first) > 0;
}

/* Appends whose entries were cut since are dropped: this node does not lead any more, or the
 * entries are compacted and the follower will be sent a snapshot. */
static uint32_t settle_messages(struct pd_raft *raft, struct pd_raft_outbox *outbox)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < outbox->message_count; i++) {
        const struct pd_raft_message *message = &outbox->messages[i];
        bool is_gone =
            message->type == PD_RAFT_MSG_APP && message->entry_count > 0 &&
            (outbox->epochs[i] != raft->log.epoch || message->index < raft->log.mark_index);
        if (!is_gone) {
            outbox->messages[kept++] = *message;
        }
    }
    return kept;
}

static void take_log(struct pd_raft *raft, struct pd_raft_ready *ready)
{
    struct pd_raft_log *log = &raft->log;
    uint64_t first = 0;
    ready->entry_count = pd_log_next_unstable(log, &first);
    if (ready->entry_count > 0) {
        ready->entries = pd_log_memory_at(&log->memory, first);
    }
    ready->committed_count = pd_log_next_committed(log, raft->config.apply_unstable, &first);
    if (ready->committed_count > 0) {
        ready->committed = pd_log_memory_at(&log->memory, first);
    }
    if (log->has_pending_snapshot && !log->is_snapshot_writing) {
        ready->snapshot = &log->pending_snapshot;
    }
    /* The last entry of all that is not known durable: an append that is still under way may hold
     * an older one of the same index (item 15). */
    ready->append_mark.term = raft->term;
    if (pd_log_has_unstable(log)) {
        struct pd_log_id last = pd_log_last_id(log);
        ready->append_mark.index = last.index;
        ready->append_mark.log_term = last.term;
    }
    if (ready->snapshot != NULL) {
        ready->append_mark.snapshot_index = ready->snapshot->index;
    }
    pd_log_accept_unstable(log);
    if (ready->committed_count > 0) {
        pd_log_accept_applying(log, ready->committed[ready->committed_count - 1].index,
                               raft->config.apply_unstable);
    }
}

void pd_raft_ready(struct pd_raft *raft, struct pd_raft_ready *ready)
{
    pd_assert(raft->is_started);
    struct pd_raft_outbox *outbox = pd_core_outbox(raft);
    *ready = (struct pd_raft_ready){
        .soft_state_changed = raft->leader != raft->told_leader || raft->role != raft->told_role,
        .leader = raft->leader,
        .role = raft->role,
        .hard_state_changed = has_new_hard_state(raft),
        .hard_state = pd_core_hard_state(raft),
    };
    take_log(raft, ready);
    ready->must_sync = ready->entry_count > 0 || raft->term != raft->told_hard_state.term ||
                       raft->vote != raft->told_hard_state.vote;
    raft->told_hard_state = ready->hard_state;
    raft->told_leader = raft->leader;
    raft->told_role = raft->role;
    ready->messages = outbox->messages;
    ready->message_count = settle_messages(raft, outbox);
    ready->after_append = outbox->after;
    ready->after_append_count = outbox->after_count;
    ready->reads = outbox->reads;
    ready->read_count = outbox->read_count;
    if (ready->entry_count > 0 || ready->hard_state_changed || ready->snapshot != NULL ||
        ready->after_append_count > 0) {
        ready->append_ticket = ++raft->ticket_last;
    }
    raft->outbox_current ^= 1u;
    raft->token_outbox = 0;
    outbox = pd_core_outbox(raft);
    outbox->message_count = 0;
    outbox->after_count = 0;
    outbox->snapshot_count = 0;
    outbox->forward_count = 0;
    outbox->forward_size = 0;
    outbox->read_count = 0;
    pd_core_retry_blocked(raft);
}

void pd_raft_append_done(struct pd_raft *raft, const struct pd_raft_append_mark *mark)
{
    if (mark->term < raft->term && mark->index != 0 && !PD_MUTANT(RAFT_STABLE_ACK_WITHOUT_TERM)) {
        PD_TRACE(raft, INFO,
                 "%llx [term: %llu] ignored entry appends from a MsgStorageAppendResp message with "
                 "lower term [term: %llu]",
                 (pd_ull)raft->config.id, (pd_ull)raft->term, (pd_ull)mark->term);
    } else if (mark->index != 0) {
        pd_log_stable_to(&raft->log,
                         (struct pd_log_id){.term = mark->log_term, .index = mark->index});
    }
    if (mark->snapshot_index != 0 &&
        !(PD_MUTANT(RAFT_SNAPSHOT_ACK_BY_TERM) && mark->term < raft->term)) {
        pd_log_snapshot_stable(&raft->log, mark->snapshot_index);
        if (mark->snapshot_index > raft->log.applied) {
            pd_raft_apply_done(raft, mark->snapshot_index);
        }
    }
}

void pd_raft_apply_done(struct pd_raft *raft, uint64_t index)
{
    if (index < raft->log.applied) {
        index = raft->log.applied;
    }
    uint64_t bytes = 0;
    for (uint64_t at = raft->log.applied + 1; at <= index; at++) {
        if (at >= pd_log_first(&raft->log)) {
            bytes += pd_log_memory_at(&raft->log.memory, at)->data.size;
        }
    }
    pd_log_applied_to(&raft->log, index);
    pd_core_maybe_auto_leave(raft);
    raft->uncommitted_bytes -= bytes < raft->uncommitted_bytes ? bytes : raft->uncommitted_bytes;
}
