/* What a leader does with answers. */
#include "base/assert.h"
#include "base/mutant.h"
#include "base/sometimes.h"
#include "raft/raft_internal.h"

static void trace_member(struct pd_raft *raft, const char *what,
                         const struct pd_raft_member *member)
{
    if (raft->config.trace.line != NULL) {
        struct pd_raft_member_status status;
        pd_core_member_status(member, &status);
        PD_TRACE(raft, DEBUG, "%llx %s %llx [%s]", (pd_ull)raft->config.id, what,
                 (pd_ull)member->node, pd_raft_member_text(&status).text);
    }
}

static void handle_rejection(struct pd_raft *raft, struct pd_raft_member *member,
                             const struct pd_raft_message *message)
{
    struct pd_raft_progress *progress = &member->progress;
    PD_TRACE(
        raft, DEBUG,
        "%llx received MsgAppResp(rejected, hint: (index %llu, term %llu)) from %llx for index "
        "%llu",
        (pd_ull)raft->config.id, (pd_ull)message->reject_hint, (pd_ull)message->log_term,
        (pd_ull)message->from, (pd_ull)message->index);
    uint64_t hint = message->reject_hint;
    if (message->log_term > 0) {
        uint64_t term = 0;
        PD_SOMETIMES(RAFT_CONFLICT_HINT, hint + 1 < message->index);
        hint = pd_log_conflict_by_term(&raft->log, hint, message->log_term, &term);
    }
    if (PD_MUTANT(RAFT_STALE_REJECT) && progress->state == PD_RAFT_REPLICATE) {
        progress->match = message->index < progress->match ? message->index : progress->match;
    }
    if (PD_MUTANT(RAFT_REJECTION_IGNORED) ||
        !pd_progress_maybe_decrease(progress, message->index, hint)) {
        PD_SOMETIMES(RAFT_STALE_REJECTION, true);
        return;
    }
    if (raft->config.trace.line != NULL) {
        struct pd_raft_member_status status;
        pd_core_member_status(member, &status);
        PD_TRACE(raft, DEBUG, "%llx decreased progress of %llx to [%s]", (pd_ull)raft->config.id,
                 (pd_ull)member->node, pd_raft_member_text(&status).text);
    }
    if (progress->state == PD_RAFT_REPLICATE) {
        pd_progress_become_probe(progress);
    }
    (void)pd_core_maybe_send_append(raft, member, true);
}

/* The state that an acknowledgement which is news leads to. */
static void advance_state(struct pd_raft *raft, struct pd_raft_member *member, uint64_t index)
{
    struct pd_raft_progress *progress = &member->progress;
    switch (progress->state) {
    case PD_RAFT_PROBE:
        pd_progress_become_replicate(progress);
        break;
    case PD_RAFT_SNAPSHOT:
        /* Whatever snapshot it was: the log reaches the follower now (item 18). */
        if (progress->match + 1 >= pd_log_first(&raft->log)) {
            trace_member(raft,
                         "recovered from needing snapshot, resumed sending replication messages to",
                         member);
            pd_progress_become_probe(progress);
            pd_progress_become_replicate(progress);
        }
        break;
    case PD_RAFT_REPLICATE:
        pd_inflights_free_to(&progress->inflights, index);
        break;
    }
}

void pd_core_handle_append_answer(struct pd_raft *raft, struct pd_raft_member *member,
                                  const struct pd_raft_message *message)
{
    struct pd_raft_progress *progress = &member->progress;
    member->is_active = true;
    if (message->reject && !PD_MUTANT(RAFT_COMMIT_ON_NACK)) {
        handle_rejection(raft, member, message);
        return;
    }
    bool is_news = pd_progress_maybe_update(progress, message->index);
    if (!is_news && !(progress->match == message->index && progress->state == PD_RAFT_PROBE)) {
        return;
    }
    advance_state(raft, member, message->index);
    if (pd_core_maybe_commit(raft)) {
        pd_core_reads_committed(raft);
        pd_core_broadcast_append(raft);
    } else if (member->node != raft->config.id &&
               pd_progress_can_bump_commit(progress, raft->log.committed)) {
        (void)pd_core_maybe_send_append(raft, member, true);
    }
    if (member->node != raft->config.id) {
        while (pd_core_maybe_send_append(raft, member, false)) {
        }
    }
    if (member->node == raft->transferee && progress->match == pd_log_last(&raft->log)) {
        PD_TRACE(raft, INFO, "%llx sent MsgTimeoutNow to %llx after received MsgAppResp",
                 (pd_ull)raft->config.id, (pd_ull)member->node);
        pd_core_send_timeout_now(raft, member->node);
    }
}

void pd_core_handle_heartbeat_answer(struct pd_raft *raft, struct pd_raft_member *member,
                                     const struct pd_raft_message *message)
{
    member->is_active = true;
    member->progress.is_flow_paused = false;
    if (member->progress.match < pd_log_last(&raft->log) ||
        member->progress.state == PD_RAFT_PROBE) {
        (void)pd_core_maybe_send_append(raft, member, true);
    }
    if (message->token > member->token && message->token <= raft->token_last) {
        member->token = message->token;
        pd_core_reads_confirm(raft);
    }
}

void pd_core_lead_transfer(struct pd_raft *raft, struct pd_raft_member *member)
{
    pd_ull id = raft->config.id;
    pd_ull node = member->node;
    if (member->is_learner) {
        PD_TRACE(raft, DEBUG, "%llx is learner. Ignored transferring leadership", id);
        return;
    }
    if (raft->transferee != 0) {
        if (raft->transferee == member->node) {
            PD_TRACE(raft, INFO,
                     "%llx [term %llu] transfer leadership to %llx is in progress, ignores request "
                     "to same node %llx",
                     id, (pd_ull)raft->term, node, node);
            return;
        }
        pd_ull previous = raft->transferee;
        raft->transferee = 0;
        PD_TRACE(raft, INFO, "%llx [term %llu] abort previous transferring leadership to %llx", id,
                 (pd_ull)raft->term, previous);
    }
    if (member->node == raft->config.id) {
        PD_TRACE(raft, DEBUG, "%llx is already leader. Ignored transferring leadership to self",
                 id);
        return;
    }
    PD_TRACE(raft, INFO, "%llx [term %llu] starts to transfer leadership to %llx", id,
             (pd_ull)raft->term, node);
    raft->election_elapsed = 0;
    raft->transferee = member->node;
    if (member->progress.match == pd_log_last(&raft->log)) {
        pd_core_send_timeout_now(raft, member->node);
        PD_TRACE(raft, INFO,
                 "%llx sends MsgTimeoutNow to %llx immediately as %llx already has up-to-date log",
                 id, node, node);
    } else {
        (void)pd_core_maybe_send_append(raft, member, true);
    }
}

void pd_core_check_quorum(struct pd_raft *raft)
{
    if (!pd_core_quorum_active(raft)) {
        PD_TRACE(raft, WARN, "%llx stepped down to follower since quorum is not active",
                 (pd_ull)raft->config.id);
        pd_core_become_follower(raft, raft->term, 0);
    }
    for (uint32_t i = 0; i < raft->member_count; i++) {
        if (raft->members[i].node != raft->config.id) {
            raft->members[i].is_active = false;
        }
    }
}

/* The member that a report is about; NULL: none that a leader keeps track of. */
static struct pd_raft_member *reported(struct pd_raft *raft, pd_raft_node node)
{
    if (raft->role != PD_RAFT_LEADER) {
        return NULL;
    }
    struct pd_raft_member *member = pd_core_member(raft, node);
    if (member == NULL) {
        PD_TRACE(raft, DEBUG, "%llx no progress available for %llx", (pd_ull)raft->config.id,
                 (pd_ull)node);
    }
    return member;
}

void pd_raft_report_unreachable(struct pd_raft *raft, pd_raft_node node)
{
    struct pd_raft_member *member = reported(raft, node);
    if (member == NULL) {
        return;
    }
    if (member->progress.state == PD_RAFT_REPLICATE) {
        pd_progress_become_probe(&member->progress);
    }
    if (raft->config.trace.line != NULL) {
        struct pd_raft_member_status status;
        pd_core_member_status(member, &status);
        PD_TRACE(raft, DEBUG, "%llx failed to send message to %llx because it is unreachable [%s]",
                 (pd_ull)raft->config.id, (pd_ull)node, pd_raft_member_text(&status).text);
    }
}

void pd_raft_report_snapshot(struct pd_raft *raft, pd_raft_node node, uint64_t held)
{
    struct pd_raft_member *member = reported(raft, node);
    pd_assert(held <= raft->log.committed);
    if (member == NULL || member->progress.state == PD_RAFT_REPLICATE) {
        return;
    }
    struct pd_raft_progress *progress = &member->progress;
    if (progress->state == PD_RAFT_PROBE && held < progress->next) {
        return; /* nothing new: the log is probed there or behind it */
    }
    if (held >= progress->match && held != 0) {
        pd_progress_become_snapshot(progress, held);
    } else if (held == 0 && !PD_MUTANT(RAFT_SNAPSHOT_FAILURE_KEPT)) {
        /* It never arrived: do not probe after it (item 18). */
        progress->pending_snapshot = 0;
    }
    pd_progress_become_probe(progress);
    trace_member(raft,
                 held != 0 ? "snapshot succeeded, resumed sending replication messages to"
                           : "snapshot failed, resumed sending replication messages to",
                 member);
    /* Wait for the follower's own word, or for a heartbeat before the next try. */
    progress->is_flow_paused = true;
}
