/* What a leader sends: appends, snapshots, heartbeats; and the commit index. */
#include "base/assert.h"
#include "base/mutant.h"
#include "base/sometimes.h"
#include "raft/raft_internal.h"

static struct pd_raft_text member_text(const struct pd_raft_member *member)
{
    struct pd_raft_member_status status;
    pd_core_member_status(member, &status);
    return pd_raft_member_text(&status);
}

static bool maybe_send_snapshot(struct pd_raft *raft, struct pd_raft_member *member)
{
    if (!member->is_active) {
        PD_TRACE(raft, DEBUG, "ignore sending snapshot to %llx since it is not recently active",
                 (pd_ull)member->node);
        return false;
    }
    struct pd_raft_outbox *outbox = pd_core_outbox(raft);
    /* Older than the log's beginning, it would not help. */
    if (raft->available.index < raft->log.mark_index || raft->available.index == 0 ||
        outbox->snapshot_count >= PD_RAFT_MEMBERS_MAX) {
        PD_TRACE(raft, DEBUG,
                 "%llx failed to send snapshot to %llx because snapshot is temporarily unavailable",
                 (pd_ull)raft->config.id, (pd_ull)member->node);
        return false;
    }
    struct pd_raft_snapshot_meta *snapshot = &outbox->snapshots[outbox->snapshot_count++];
    *snapshot = raft->available;
    PD_TRACE(raft, DEBUG,
             "%llx [firstindex: %llu, commit: %llu] sent snapshot[index: %llu, term: %llu] to %llx "
             "[%s]",
             (pd_ull)raft->config.id, (pd_ull)pd_log_first(&raft->log), (pd_ull)raft->log.committed,
             (pd_ull)snapshot->index, (pd_ull)snapshot->term, (pd_ull)member->node,
             member_text(member).text);
    pd_progress_become_snapshot(&member->progress, snapshot->index);
    PD_TRACE(raft, DEBUG, "%llx paused sending replication messages to %llx [%s]",
             (pd_ull)raft->config.id, (pd_ull)member->node, member_text(member).text);
    return pd_core_send(raft, (struct pd_raft_message){
                                  .type = PD_RAFT_MSG_SNAP,
                                  .to = member->node,
                                  .session = member->session,
                                  .snapshot = snapshot,
                              });
}

static uint64_t payload(const struct pd_raft *raft, uint64_t first, uint32_t count)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        bytes += pd_log_memory_at(&raft->log.memory, first + i)->data.size;
    }
    return bytes;
}

bool pd_core_maybe_send_append(struct pd_raft *raft, struct pd_raft_member *member,
                               bool send_if_empty)
{
    struct pd_raft_progress *progress = &member->progress;
    if (pd_progress_is_paused(progress)) {
        return false;
    }
    uint64_t previous = progress->next - 1;
    uint64_t previous_term = 0;
    if (!pd_core_outbox_has_room(raft)) {
        raft->is_send_blocked = true;
        return false;
    }
    if (!pd_log_term(&raft->log, previous, &previous_term)) {
        return maybe_send_snapshot(raft, member);
    }
    uint32_t count = 0;
    /* A full window sends empty appends only, so that lost ones are noticed (item 12). */
    if (progress->state != PD_RAFT_REPLICATE || !pd_inflights_is_full(&progress->inflights)) {
        count = pd_log_page(&raft->log, progress->next, pd_log_last(&raft->log),
                            raft->config.append_bytes_max);
    } else {
        PD_SOMETIMES(RAFT_WINDOW_FULL, true);
        if (PD_MUTANT(RAFT_FULL_WINDOW_SILENT)) {
            return false;
        }
    }
    if (count == 0 && !send_if_empty) {
        return false;
    }
    const struct pd_raft_entry *entries =
        count > 0 ? pd_log_memory_at(&raft->log.memory, progress->next) : NULL;
    bool is_sent = pd_core_send(raft, (struct pd_raft_message){
                                          .type = PD_RAFT_MSG_APP,
                                          .to = member->node,
                                          .index = previous,
                                          .log_term = previous_term,
                                          .commit = raft->log.committed,
                                          .session = member->session,
                                          .entries = entries,
                                          .entry_count = count,
                                      });
    pd_assert(is_sent);
    pd_progress_sent(progress, count, payload(raft, progress->next, count));
    pd_progress_sent_commit(progress, raft->log.committed);
    return true;
}

void pd_core_broadcast_append(struct pd_raft *raft)
{
    for (uint32_t i = 0; i < raft->member_count; i++) {
        if (raft->members[i].node != raft->config.id) {
            (void)pd_core_maybe_send_append(raft, &raft->members[i], true);
        }
    }
}

/* After a Ready took what filled the outbox. */
void pd_core_retry_blocked(struct pd_raft *raft)
{
    if (!raft->is_send_blocked) {
        return;
    }
    raft->is_send_blocked = false;
    for (uint32_t i = 0; raft->role == PD_RAFT_LEADER && i < raft->member_count; i++) {
        if (raft->members[i].node != raft->config.id) {
            (void)pd_core_maybe_send_append(raft, &raft->members[i], false);
        }
    }
}

/* A round of heartbeats, with a token of its own and the time it was sent (items 23 and 24). */
void pd_core_broadcast_heartbeat(struct pd_raft *raft)
{
    raft->token_last++;
    raft->token_outbox = raft->token_last;
    raft->round_ns[raft->token_last % PD_RAFT_ROUNDS_MAX] = raft->now_ns;
    for (uint32_t i = 0; i < raft->member_count; i++) {
        struct pd_raft_member *member = &raft->members[i];
        if (member->node == raft->config.id) {
            member->token = raft->token_last;
            continue;
        }
        /* A follower must not commit what it was not shown to hold (item 9). */
        uint64_t commit = raft->log.committed;
        if (commit > member->progress.match && !PD_MUTANT(RAFT_HEARTBEAT_COMMIT_UNMATCHED)) {
            commit = member->progress.match;
        }
        (void)pd_core_send(raft, (struct pd_raft_message){
                                     .type = PD_RAFT_MSG_HEARTBEAT,
                                     .to = member->node,
                                     .commit = commit,
                                     .token = raft->token_last,
                                     .session = member->session,
                                 });
        pd_progress_sent_commit(&member->progress, commit);
    }
}

static uint32_t matches(const struct pd_raft *raft, const pd_raft_node *nodes, uint32_t count,
                        uint64_t *match_out)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct pd_raft_member *member = pd_core_member(raft, nodes[i]);
        match_out[i] = member != NULL ? member->progress.match : 0;
    }
    return count;
}

bool pd_core_maybe_commit(struct pd_raft *raft)
{
    uint64_t incoming[PD_RAFT_MEMBERS_MAX];
    uint64_t outgoing[PD_RAFT_MEMBERS_MAX];
    const struct pd_raft_conf *conf = &raft->conf;
    uint32_t incoming_count = matches(raft, conf->voters, conf->voter_count, incoming);
    uint32_t outgoing_count =
        matches(raft, conf->voters_outgoing, conf->voter_outgoing_count, outgoing);
    if (PD_MUTANT(RAFT_JOINT_ONE_HALF_COMMITS)) {
        outgoing_count = 0;
    }
    uint64_t index = pd_quorum_joint_committed(incoming, incoming_count, outgoing, outgoing_count);
    if (index <= raft->log.committed || index > pd_log_last(&raft->log)) {
        return false;
    }
    /* An entry of an older term that a majority holds can still be overwritten (item 8; the paper's
     * Figure 8). */
    struct pd_log_id id = {.term = raft->term, .index = index};
    if (!pd_log_matches(&raft->log, id) && !PD_MUTANT(RAFT_OLD_TERM_COMMIT)) {
        return false;
    }
    pd_log_commit_to(&raft->log, index);
    return true;
}

void pd_core_send_timeout_now(struct pd_raft *raft, pd_raft_node node)
{
    raft->has_sent_timeout_now = true;
    (void)pd_core_send(raft, (struct pd_raft_message){.type = PD_RAFT_MSG_TIMEOUT_NOW, .to = node});
}
