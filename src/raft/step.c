/* A message comes in: its form, its term, then what the role makes of it. */
#include "base/assert.h"
#include "base/mutant.h"
#include "base/sometimes.h"
#include "raft/raft_internal.h"

static bool entries_are_well_formed(const struct pd_raft_message *message)
{
    bool is_append = message->type == PD_RAFT_MSG_APP;
    if (message->entry_count > 0 && message->entries == NULL) {
        return false;
    }
    uint64_t term = message->log_term;
    for (uint32_t i = 0; i < message->entry_count; i++) {
        const struct pd_raft_entry *entry = &message->entries[i];
        if ((entry->data.size > 0 && entry->data.bytes == NULL) ||
            (unsigned)entry->type > PD_RAFT_ENTRY_CONF_CHANGE_V2) {
            return false;
        }
        if (is_append && (entry->index != message->index + 1 + i || entry->term < term ||
                          entry->term > message->term)) {
            return false;
        }
        term = entry->term;
    }
    return true;
}

bool pd_core_is_well_formed(const struct pd_raft *raft, const struct pd_raft_message *message)
{
    if (message->group_id != raft->config.group_id || message->from == 0 ||
        message->to != raft->config.id || message->index >= PD_RAFT_INDEX_END - UINT32_MAX ||
        message->term == UINT64_MAX) {
        return false;
    }
    bool is_own = message->from == raft->config.id;
    switch (message->type) {
    case PD_RAFT_MSG_APP_RESP:
    case PD_RAFT_MSG_VOTE_RESP:
    case PD_RAFT_MSG_PRE_VOTE_RESP:
        return message->term > 0;
    case PD_RAFT_MSG_APP:
        return message->term > 0 && !is_own && entries_are_well_formed(message);
    case PD_RAFT_MSG_SNAP:
        return message->term > 0 && !is_own && message->snapshot != NULL &&
               message->snapshot->index > 0 &&
               message->snapshot->index < PD_RAFT_INDEX_END - UINT32_MAX &&
               message->snapshot->term <= message->term &&
               pd_conf_is_valid(&message->snapshot->conf);
    case PD_RAFT_MSG_VOTE:
    case PD_RAFT_MSG_PRE_VOTE:
    case PD_RAFT_MSG_HEARTBEAT:
    case PD_RAFT_MSG_HEARTBEAT_RESP:
    case PD_RAFT_MSG_READ_INDEX_RESP:
    case PD_RAFT_MSG_TIMEOUT_NOW:
        return message->term > 0 && !is_own;
    case PD_RAFT_MSG_PROP:
        /* It may come back to who proposed it, over somebody who takes this node for the leader. */
        return message->term == 0 && message->entry_count > 0 &&
               message->entry_count <= PD_RAFT_FORWARD_MAX && entries_are_well_formed(message);
    case PD_RAFT_MSG_READ_INDEX:
        return message->term == 0 && !is_own;
    case PD_RAFT_MSG_TRANSFER_LEADER:
        return message->term > 0;
    case PD_RAFT_MSG_FORGET_LEADER:
    case PD_RAFT_MSG_SNAP_STATUS:
    case PD_RAFT_MSG_UNREACHABLE:
        return false;
    }
    return false;
}

static bool is_answer(enum pd_raft_message_type type)
{
    return type == PD_RAFT_MSG_APP_RESP || type == PD_RAFT_MSG_VOTE_RESP ||
           type == PD_RAFT_MSG_PRE_VOTE_RESP || type == PD_RAFT_MSG_HEARTBEAT_RESP ||
           type == PD_RAFT_MSG_READ_INDEX_RESP;
}

static bool is_from_leader(enum pd_raft_message_type type)
{
    return type == PD_RAFT_MSG_APP || type == PD_RAFT_MSG_HEARTBEAT || type == PD_RAFT_MSG_SNAP;
}

static bool is_vote_request(enum pd_raft_message_type type)
{
    return type == PD_RAFT_MSG_VOTE || type == PD_RAFT_MSG_PRE_VOTE;
}

/* With leader leases a node that has just started may have promised a lease before it stopped. */
static bool is_in_start_grace(const struct pd_raft *raft, const struct pd_raft_message *message)
{
    return raft->config.lease_reads && raft->ticks < raft->config.election_ticks &&
           raft->is_restarted && !message->is_transfer;
}

/* Whether a vote request of a later term is not even looked at (item 4). */
static bool ignores_request(struct pd_raft *raft, const struct pd_raft_message *message)
{
    bool is_leased =
        pd_vote_is_in_lease(raft->config.check_quorum, raft->leader, raft->election_elapsed,
                            raft->config.election_ticks, message->is_transfer);
    if (PD_MUTANT(RAFT_VOTE_IN_LEASE) || (!is_leased && !is_in_start_grace(raft, message))) {
        return false;
    }
    PD_SOMETIMES(RAFT_VOTE_IGNORED, true);
    struct pd_log_id last = pd_log_last_id(&raft->log);
    PD_TRACE(raft, INFO,
             "%llx [logterm: %llu, index: %llu, vote: %llx] ignored %s from %llx [logterm: %llu, "
             "index: %llu] at term %llu: lease is not expired (remaining ticks: %lld)",
             (pd_ull)raft->config.id, (pd_ull)last.term, (pd_ull)last.index, (pd_ull)raft->vote,
             pd_raft_message_text(message->type), (pd_ull)message->from, (pd_ull)message->log_term,
             (pd_ull)message->index, (pd_ull)raft->term,
             (long long)raft->config.election_ticks - (long long)raft->election_elapsed);
    return true;
}

/* False: the message is dealt with. */
static bool enter_later_term(struct pd_raft *raft, const struct pd_raft_message *message)
{
    if (is_vote_request(message->type) && ignores_request(raft, message)) {
        return false;
    }
    bool is_question = message->type == PD_RAFT_MSG_PRE_VOTE ||
                       (message->type == PD_RAFT_MSG_PRE_VOTE_RESP && !message->reject);
    if (is_question && !PD_MUTANT(RAFT_PREVOTE_BUMPS_TERM)) {
        return true; /* nobody's term changes for a pre-vote (item 3) */
    }
    PD_TRACE(raft, INFO,
             "%llx [term: %llu] received a %s message with higher term from %llx [term: %llu]",
             (pd_ull)raft->config.id, (pd_ull)raft->term, pd_raft_message_text(message->type),
             (pd_ull)message->from, (pd_ull)message->term);
    pd_core_become_follower(raft, message->term, is_from_leader(message->type) ? message->from : 0);
    return true;
}

static void answer_earlier_term(struct pd_raft *raft, const struct pd_raft_message *message)
{
    bool is_guarded = raft->config.check_quorum || raft->config.pre_vote;
    bool is_leader_word =
        message->type == PD_RAFT_MSG_HEARTBEAT || message->type == PD_RAFT_MSG_APP;
    PD_SOMETIMES(RAFT_STALE_LEADER_TOLD, is_guarded && is_leader_word);
    if (is_guarded && is_leader_word && !PD_MUTANT(RAFT_STALE_TERM_SILENT)) {
        /* Else a node whose term ran ahead could never come back: nobody would listen to its votes,
         * nor it to the leader (item 4). */
        (void)pd_core_send(
            raft, (struct pd_raft_message){.type = PD_RAFT_MSG_APP_RESP, .to = message->from});
    } else if (message->type == PD_RAFT_MSG_PRE_VOTE) {
        struct pd_log_id last = pd_log_last_id(&raft->log);
        PD_TRACE(raft, INFO,
                 "%llx [logterm: %llu, index: %llu, vote: %llx] rejected %s from %llx [logterm: "
                 "%llu, index: %llu] at term %llu",
                 (pd_ull)raft->config.id, (pd_ull)last.term, (pd_ull)last.index, (pd_ull)raft->vote,
                 pd_raft_message_text(message->type), (pd_ull)message->from,
                 (pd_ull)message->log_term, (pd_ull)message->index, (pd_ull)raft->term);
        if (raft->term > 0) {
            (void)pd_core_send(raft, (struct pd_raft_message){.type = PD_RAFT_MSG_PRE_VOTE_RESP,
                                                              .to = message->from,
                                                              .term = raft->term,
                                                              .reject = true});
        }
    } else {
        PD_TRACE(raft, INFO,
                 "%llx [term: %llu] ignored a %s message with lower term from %llx [term: %llu]",
                 (pd_ull)raft->config.id, (pd_ull)raft->term, pd_raft_message_text(message->type),
                 (pd_ull)message->from, (pd_ull)message->term);
    }
}

/* Whether an answer belongs to another membership of its sender, or claims what cannot be. */
static bool is_foreign_answer(const struct pd_raft *raft, const struct pd_raft_member *member,
                              const struct pd_raft_message *message)
{
    if (message->type == PD_RAFT_MSG_APP_RESP && message->index > pd_log_last(&raft->log) &&
        !message->reject) {
        return true;
    }
    return member->node != raft->config.id && message->session != member->session &&
           !PD_MUTANT(RAFT_SESSION_IGNORED);
}

static enum pd_status step_leader(struct pd_raft *raft, const struct pd_raft_message *message)
{
    if (message->type == PD_RAFT_MSG_PROP) {
        return pd_core_step_proposal(raft, message);
    }
    if (message->type == PD_RAFT_MSG_READ_INDEX) {
        return pd_core_lead_read(raft, message->from, message->token);
    }
    struct pd_raft_member *member = pd_core_member(raft, message->from);
    if (member == NULL) {
        PD_TRACE(raft, DEBUG, "%llx no progress available for %llx", (pd_ull)raft->config.id,
                 (pd_ull)message->from);
        return PD_OK;
    }
    if (message->type == PD_RAFT_MSG_TRANSFER_LEADER) {
        pd_core_lead_transfer(raft, member);
    } else if (message->type == PD_RAFT_MSG_APP_RESP ||
               message->type == PD_RAFT_MSG_HEARTBEAT_RESP) {
        if (is_foreign_answer(raft, member, message)) {
            return PD_ERR_INVALID;
        }
        if (message->type == PD_RAFT_MSG_APP_RESP) {
            pd_core_handle_append_answer(raft, member, message);
        } else {
            pd_core_handle_heartbeat_answer(raft, member, message);
        }
    }
    return PD_OK;
}

static enum pd_status step_leader_word(struct pd_raft *raft, const struct pd_raft_message *message)
{
    if (message->type == PD_RAFT_MSG_APP) {
        return pd_core_handle_append(raft, message);
    }
    if (message->type == PD_RAFT_MSG_HEARTBEAT) {
        return pd_core_handle_heartbeat(raft, message);
    }
    pd_core_handle_snapshot(raft, message);
    return PD_OK;
}

static enum pd_status step_candidate(struct pd_raft *raft, const struct pd_raft_message *message)
{
    enum pd_raft_message_type own_kind =
        raft->role == PD_RAFT_PRE_CANDIDATE ? PD_RAFT_MSG_PRE_VOTE_RESP : PD_RAFT_MSG_VOTE_RESP;
    if (is_from_leader(message->type)) {
        pd_core_become_follower(raft, message->term, message->from);
        return step_leader_word(raft, message);
    }
    if (message->type == PD_RAFT_MSG_PROP) {
        return pd_core_step_proposal(raft, message);
    }
    if (message->type == own_kind) {
        pd_core_count_vote(raft, message);
    } else if (message->type == PD_RAFT_MSG_TIMEOUT_NOW) {
        PD_TRACE(raft, DEBUG, "%llx [term %llu state %s] ignored MsgTimeoutNow from %llx",
                 (pd_ull)raft->config.id, (pd_ull)raft->term, pd_raft_role_text(raft->role),
                 (pd_ull)message->from);
    }
    return PD_OK;
}

static enum pd_status step_follower(struct pd_raft *raft, const struct pd_raft_message *message)
{
    if (is_from_leader(message->type)) {
        raft->election_elapsed = 0;
        raft->leader = message->from;
        return step_leader_word(raft, message);
    }
    if (message->type == PD_RAFT_MSG_PROP) {
        return pd_core_step_proposal(raft, message);
    }
    if (message->type == PD_RAFT_MSG_TRANSFER_LEADER || message->type == PD_RAFT_MSG_READ_INDEX) {
        if (raft->leader == 0) {
            PD_TRACE(raft, INFO,
                     message->type == PD_RAFT_MSG_READ_INDEX
                         ? "%llx no leader at term %llu; dropping index reading msg"
                         : "%llx no leader at term %llu; dropping leader transfer msg",
                     (pd_ull)raft->config.id, (pd_ull)raft->term);
            return PD_OK;
        }
        /* Only what such a message means: whatever else it carried was borrowed. */
        (void)pd_core_send(raft, (struct pd_raft_message){.type = message->type,
                                                          .from = message->from,
                                                          .to = raft->leader,
                                                          .token = message->token});
    } else if (message->type == PD_RAFT_MSG_TIMEOUT_NOW) {
        PD_TRACE(raft, INFO,
                 "%llx [term %llu] received MsgTimeoutNow from %llx and starts an election to get "
                 "leadership.",
                 (pd_ull)raft->config.id, (pd_ull)raft->term, (pd_ull)message->from);
        pd_core_hup(raft, PD_CAMPAIGN_TRANSFER);
    } else if (message->type == PD_RAFT_MSG_READ_INDEX_RESP) {
        pd_core_give_read(raft, message->token, message->index);
    }
    return PD_OK;
}

enum pd_status pd_core_step(struct pd_raft *raft, const struct pd_raft_message *message)
{
    if (message->term > raft->term && !enter_later_term(raft, message)) {
        return PD_OK;
    }
    if (message->term < raft->term && message->term != 0) {
        answer_earlier_term(raft, message);
        return PD_OK;
    }
    if (is_vote_request(message->type)) {
        pd_core_answer_vote(raft, message);
        return PD_OK;
    }
    switch (raft->role) {
    case PD_RAFT_LEADER:
        return step_leader(raft, message);
    case PD_RAFT_CANDIDATE:
    case PD_RAFT_PRE_CANDIDATE:
        return step_candidate(raft, message);
    case PD_RAFT_FOLLOWER:
        return step_follower(raft, message);
    }
    return PD_ERR_INVALID;
}

enum pd_status pd_raft_step(struct pd_raft *raft, const struct pd_raft_message *message)
{
    pd_assert(raft->is_started);
    if (!pd_core_is_well_formed(raft, message)) {
        return PD_ERR_INVALID;
    }
    /* Its own may come when it is a member no more: what is made of that is the role's to say. */
    if (is_answer(message->type) && message->from != raft->config.id &&
        pd_core_member(raft, message->from) == NULL) {
        return PD_ERR_UNKNOWN;
    }
    return pd_core_step(raft, message);
}
