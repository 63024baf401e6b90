/* A follower's side of replication. */
#include "base/assert.h"
#include "base/mutant.h"
#include "base/sometimes.h"
#include "raft/raft_internal.h"

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void answer(struct pd_raft *raft, const struct pd_raft_message *message, uint64_t index)
{
    (void)pd_core_send(raft, (struct pd_raft_message){
                                 .type = PD_RAFT_MSG_APP_RESP,
                                 .to = message->from,
                                 .index = index,
                                 .session = message->session,
                             });
}

static void reject(struct pd_raft *raft, const struct pd_raft_message *message)
{
    uint64_t own = 0;
    (void)pd_log_term(&raft->log, message->index, &own);
    PD_TRACE(raft, DEBUG,
             "%llx [logterm: %llu, index: %llu] rejected MsgApp [logterm: %llu, index: %llu] from "
             "%llx",
             (pd_ull)raft->config.id, (pd_ull)own, (pd_ull)message->index,
             (pd_ull)message->log_term, (pd_ull)message->index, (pd_ull)message->from);
    uint64_t hint_term = 0;
    uint64_t hint = smaller(message->index, pd_log_last(&raft->log));
    hint = pd_log_conflict_by_term(&raft->log, hint, message->log_term, &hint_term);
    (void)pd_core_send(raft, (struct pd_raft_message){
                                 .type = PD_RAFT_MSG_APP_RESP,
                                 .to = message->from,
                                 .index = message->index,
                                 .reject = true,
                                 .reject_hint = hint,
                                 .log_term = hint_term,
                                 .session = message->session,
                             });
}

enum pd_status pd_core_handle_append(struct pd_raft *raft, const struct pd_raft_message *message)
{
    struct pd_raft_log *log = &raft->log;
    if (message->index < log->committed) {
        PD_SOMETIMES(RAFT_APPEND_LATE, message->entry_count > 0);
        answer(raft, message, log->committed);
        return PD_OK;
    }
    struct pd_log_id previous = {.term = message->log_term, .index = message->index};
    uint64_t verified = 0;
    enum pd_status status =
        pd_log_follow(log, previous, message->entries, message->entry_count, &verified);
    if (status == PD_ERR_UNKNOWN) {
        PD_SOMETIMES(RAFT_APPEND_REJECTED, true);
        reject(raft, message);
        return PD_OK;
    }
    if (status != PD_OK) {
        PD_TRACE(raft, ERROR, "%llx entries from %llx contradict committed ones [committed(%llu)]",
                 (pd_ull)raft->config.id, (pd_ull)message->from, (pd_ull)log->committed);
        return PD_ERR_INVALID;
    }
    /* Beyond what this append verified, the log may still hold another leader's entries (item 9).
     * */
    uint64_t commit = smaller(message->commit, verified);
    if (PD_MUTANT(RAFT_COMMIT_UNVERIFIED)) {
        commit = smaller(message->commit, pd_log_last(log));
    }
    pd_log_commit_to(log, commit);
    /* No room for any of it: silence, so that the leader tries again after a heartbeat, not at
     * once. */
    if (message->entry_count > 0 && verified == message->index) {
        return PD_ERR_FULL;
    }
    answer(raft, message, PD_MUTANT(RAFT_ACK_UNVERIFIED) ? pd_log_last(log) : verified);
    return PD_OK;
}

enum pd_status pd_core_handle_heartbeat(struct pd_raft *raft, const struct pd_raft_message *message)
{
    if (message->commit > pd_log_last(&raft->log)) {
        PD_TRACE(raft, ERROR,
                 "%llx tocommit(%llu) is out of range [lastIndex(%llu)]. Was the raft log "
                 "corrupted, truncated, or lost?",
                 (pd_ull)raft->config.id, (pd_ull)message->commit, (pd_ull)pd_log_last(&raft->log));
        if (!PD_MUTANT(RAFT_HEARTBEAT_COMMIT_UNMATCHED)) {
            return PD_ERR_INVALID;
        }
    }
    pd_log_commit_to(&raft->log, smaller(message->commit, pd_log_last(&raft->log)));
    (void)pd_core_send(raft, (struct pd_raft_message){
                                 .type = PD_RAFT_MSG_HEARTBEAT_RESP,
                                 .to = message->from,
                                 .token = message->token,
                                 .session = message->session,
                             });
    return PD_OK;
}

/* Whether the snapshot replaced the log. */
static bool restore(struct pd_raft *raft, const struct pd_raft_snapshot_meta *meta)
{
    struct pd_raft_log *log = &raft->log;
    if (meta->index <= log->committed) {
        return false;
    }
    if (!pd_conf_is_voter(&meta->conf, raft->config.id) &&
        !pd_conf_is_learner(&meta->conf, raft->config.id)) {
        PD_TRACE(raft, WARN,
                 "%llx attempted to restore snapshot but it is not in the ConfState %s; should "
                 "never happen",
                 (pd_ull)raft->config.id, pd_raft_conf_state_text(&meta->conf).text);
        return false;
    }
    struct pd_log_id id = {.term = meta->term, .index = meta->index};
    if (pd_log_matches(log, id)) {
        PD_SOMETIMES(RAFT_SNAPSHOT_FAST_FORWARD, true);
        struct pd_log_id last = pd_log_last_id(log);
        PD_TRACE(raft, INFO,
                 "%llx [commit: %llu, lastindex: %llu, lastterm: %llu] fast-forwarded commit to "
                 "snapshot [index: %llu, term: %llu]",
                 (pd_ull)raft->config.id, (pd_ull)log->committed, (pd_ull)last.index,
                 (pd_ull)last.term, (pd_ull)id.index, (pd_ull)id.term);
        pd_log_commit_to(log, meta->index);
        return false;
    }
    pd_log_restore(log, meta);
    /* Whatever change the old log held and had not committed is gone with it (item 19). */
    struct pd_conf_result result = {.conf = meta->conf};
    result.fresh_count = pd_conf_members(&meta->conf, result.fresh);
    if (!PD_MUTANT(RAFT_SNAPSHOT_KEEPS_CONF)) {
        pd_core_switch_conf(raft, &result);
    }
    PD_TRACE(raft, INFO,
             "%llx [commit: %llu, lastindex: %llu, lastterm: %llu] restored snapshot [index: %llu, "
             "term: %llu]",
             (pd_ull)raft->config.id, (pd_ull)log->committed, (pd_ull)id.index, (pd_ull)id.term,
             (pd_ull)id.index, (pd_ull)id.term);
    return true;
}

void pd_core_handle_snapshot(struct pd_raft *raft, const struct pd_raft_message *message)
{
    const struct pd_raft_snapshot_meta *meta = message->snapshot;
    bool is_restored = restore(raft, meta);
    PD_TRACE(raft, INFO, "%llx [commit: %llu] %s snapshot [index: %llu, term: %llu]",
             (pd_ull)raft->config.id, (pd_ull)raft->log.committed,
             is_restored ? "restored" : "ignored", (pd_ull)meta->index, (pd_ull)meta->term);
    answer(raft, message, is_restored ? pd_log_last(&raft->log) : raft->log.committed);
}

enum pd_status pd_raft_restore(struct pd_raft *raft, const struct pd_raft_snapshot_meta *meta)
{
    pd_assert(raft->is_started);
    if (meta->index == 0 || meta->index >= PD_RAFT_INDEX_END - UINT32_MAX ||
        !pd_conf_is_valid(&meta->conf)) {
        return PD_ERR_INVALID;
    }
    if (meta->term > raft->term) {
        pd_core_become_follower(raft, meta->term, 0); /* somebody led in that term */
    }
    struct pd_log_id id = {.term = meta->term, .index = meta->index};
    if (raft->role != PD_RAFT_FOLLOWER && meta->index > raft->log.committed &&
        !pd_log_matches(&raft->log, id)) {
        if (raft->role == PD_RAFT_LEADER) {
            return PD_ERR_INVALID; /* a leader holds all that is committed */
        }
        pd_core_become_follower(raft, raft->term, 0);
    }
    (void)restore(raft, meta);
    return raft->log.committed >= meta->index ? PD_OK : PD_ERR_INVALID;
}
