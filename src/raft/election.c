/* Roles, campaigns and votes. */
#include "base/assert.h"
#include "base/mutant.h"
#include "base/sometimes.h"
#include "raft/raft_internal.h"

bool pd_core_promotable(const struct pd_raft *raft)
{
    const struct pd_raft_member *own = pd_core_member(raft, raft->config.id);
    return own != NULL && !own->is_learner && !raft->log.has_pending_snapshot;
}

static void reset(struct pd_raft *raft, uint64_t term)
{
    if (raft->term != term) {
        raft->term = term;
        raft->vote = 0;
    }
    raft->leader = 0;
    raft->election_elapsed = 0;
    raft->heartbeat_elapsed = 0;
    raft->election_timeout = raft->config.election_ticks +
                             (uint32_t)pd_random_below(&raft->random, raft->config.election_ticks);
    raft->transferee = 0;
    raft->has_sent_timeout_now = false;
    raft->pending_conf_index = 0;
    raft->uncommitted_bytes = 0;
    pd_core_reset_members(raft);
    pd_core_reads_drop(raft);
}

static void forget_ballots(struct pd_raft *raft)
{
    for (uint32_t i = 0; i < raft->member_count; i++) {
        raft->members[i].ballot = PD_BALLOT_NONE;
    }
}

void pd_core_become_follower(struct pd_raft *raft, uint64_t term, pd_raft_node leader)
{
    reset(raft, term);
    raft->leader = leader;
    raft->role = PD_RAFT_FOLLOWER;
    PD_TRACE(raft, INFO, "%llx became follower at term %llu", (pd_ull)raft->config.id,
             (pd_ull)raft->term);
}

static void become_candidate(struct pd_raft *raft)
{
    pd_assert(raft->role != PD_RAFT_LEADER);
    reset(raft, raft->term + 1);
    raft->vote = raft->config.id;
    raft->role = PD_RAFT_CANDIDATE;
    PD_TRACE(raft, INFO, "%llx became candidate at term %llu", (pd_ull)raft->config.id,
             (pd_ull)raft->term);
}

static void become_pre_candidate(struct pd_raft *raft)
{
    pd_assert(raft->role != PD_RAFT_LEADER);
    forget_ballots(raft);
    raft->leader = 0;
    raft->role = PD_RAFT_PRE_CANDIDATE;
    PD_TRACE(raft, INFO, "%llx became pre-candidate at term %llu", (pd_ull)raft->config.id,
             (pd_ull)raft->term);
}

static void become_leader(struct pd_raft *raft)
{
    pd_assert(raft->role == PD_RAFT_CANDIDATE);
    reset(raft, raft->term);
    raft->leader = raft->config.id;
    raft->role = PD_RAFT_LEADER;
    raft->token_last = 0;
    raft->token_floor = 0;
    raft->token_outbox = 0;
    struct pd_raft_member *own = pd_core_member(raft, raft->config.id);
    pd_assert(own != NULL);
    pd_progress_become_replicate(&own->progress);
    own->is_active = true;
    /* Whatever the log holds unapplied may be a change (item 20). */
    raft->pending_conf_index = pd_log_last(&raft->log);
    struct pd_span empty = {.bytes = NULL, .size = 0};
    enum pd_status status = pd_core_append_own(raft, PD_RAFT_ENTRY_NORMAL, &empty, 1);
    pd_assert(status == PD_OK);
    PD_TRACE(raft, INFO, "%llx became leader at term %llu", (pd_ull)raft->config.id,
             (pd_ull)raft->term);
}

static bool has_unapplied_conf_change(const struct pd_raft *raft)
{
    for (uint64_t index = raft->log.applied + 1; index <= raft->log.committed; index++) {
        /* What a pending snapshot covers cannot be seen; such a node is not promotable. */
        if (index >= pd_log_first(&raft->log) &&
            pd_log_memory_at(&raft->log.memory, index)->type != PD_RAFT_ENTRY_NORMAL) {
            PD_SOMETIMES(RAFT_CAMPAIGN_HELD_BACK, true);
            return !PD_MUTANT(RAFT_CAMPAIGN_UNAPPLIED_CONF);
        }
    }
    return false;
}

static void ask(struct pd_raft *raft, pd_raft_node node, bool is_pre, uint64_t term,
                bool is_transfer)
{
    if (node == raft->config.id) {
        /* Its own vote counts once it is durable, like any other (item 1). */
        (void)pd_core_send(raft,
                           (struct pd_raft_message){
                               .type = is_pre ? PD_RAFT_MSG_PRE_VOTE_RESP : PD_RAFT_MSG_VOTE_RESP,
                               .to = node,
                               .term = term,
                           });
        return;
    }
    struct pd_log_id last = pd_log_last_id(&raft->log);
    enum pd_raft_message_type type = is_pre ? PD_RAFT_MSG_PRE_VOTE : PD_RAFT_MSG_VOTE;
    PD_TRACE(raft, INFO, "%llx [logterm: %llu, index: %llu] sent %s request to %llx at term %llu",
             (pd_ull)raft->config.id, (pd_ull)last.term, (pd_ull)last.index,
             pd_raft_message_text(type), (pd_ull)node, (pd_ull)raft->term);
    (void)pd_core_send(raft, (struct pd_raft_message){
                                 .type = type,
                                 .to = node,
                                 .term = term,
                                 .index = last.index,
                                 .log_term = last.term,
                                 .is_transfer = is_transfer,
                             });
}

static void campaign(struct pd_raft *raft, enum pd_raft_campaign kind)
{
    bool is_pre = kind == PD_CAMPAIGN_PRE_ELECTION;
    uint64_t term = raft->term + 1;
    if (is_pre) {
        become_pre_candidate(raft);
    } else {
        become_candidate(raft);
        term = raft->term;
    }
    pd_raft_node members[PD_RAFT_MEMBERS_MAX];
    uint32_t count = pd_conf_members(&raft->conf, members);
    for (uint32_t i = 0; i < count; i++) {
        if (pd_conf_is_voter(&raft->conf, members[i])) {
            ask(raft, members[i], is_pre, term, kind == PD_CAMPAIGN_TRANSFER);
        }
    }
}

void pd_core_hup(struct pd_raft *raft, enum pd_raft_campaign kind)
{
    pd_ull id = raft->config.id;
    if (raft->role == PD_RAFT_LEADER) {
        PD_TRACE(raft, DEBUG, "%llx ignoring MsgHup because already leader", id);
        return;
    }
    if (!pd_core_promotable(raft)) {
        PD_TRACE(raft, WARN, "%llx is unpromotable and can not campaign", id);
        return;
    }
    if (has_unapplied_conf_change(raft)) {
        PD_TRACE(raft, WARN,
                 "%llx cannot campaign at term %llu since there are still pending configuration "
                 "changes to apply",
                 id, (pd_ull)raft->term);
        return;
    }
    /* A leader's first entry needs a slot; a term needs a number. */
    if (!pd_log_memory_fits(&raft->log.memory, NULL, 0, 1) || raft->term >= UINT64_MAX - 1) {
        PD_TRACE(raft, WARN, "%llx cannot campaign: its log is full", id);
        return;
    }
    PD_TRACE(raft, INFO, "%llx is starting a new election at term %llu", id, (pd_ull)raft->term);
    campaign(raft, kind);
}

void pd_core_answer_vote(struct pd_raft *raft, const struct pd_raft_message *message)
{
    struct pd_log_id last = pd_log_last_id(&raft->log);
    bool is_pre = message->type == PD_RAFT_MSG_PRE_VOTE;
    struct pd_vote_request request = {
        .is_pre_vote = is_pre,
        .from = message->from,
        .term = message->term,
        .last_term = message->log_term,
        .last_index = message->index,
    };
    struct pd_vote_voter voter = {
        .term = raft->term,
        .vote = PD_MUTANT(RAFT_VOTES_TWICE) ? 0 : raft->vote,
        .leader = PD_MUTANT(RAFT_VOTES_TWICE) ? 0 : raft->leader,
        .last_term = PD_MUTANT(RAFT_VOTE_IGNORES_LOG) ? 0 : last.term,
        .last_index = PD_MUTANT(RAFT_VOTE_IGNORES_LOG) ? 0 : last.index,
    };
    /* A learner answers too: it may have been promoted without knowing yet (item 6). */
    if (PD_MUTANT(RAFT_LEARNER_SILENT) && pd_conf_is_learner(&raft->conf, raft->config.id)) {
        return;
    }
    /* So does a removed node: who asks may not have the removal committed, and count on it (22). */
    if (PD_MUTANT(RAFT_RETIRES_EARLY) && pd_core_member(raft, raft->config.id) == NULL) {
        return;
    }
    bool grants = pd_vote_may_grant(&voter, &request);
    const char *type = pd_raft_message_text(message->type);
    PD_TRACE(raft, INFO,
             grants ? "%llx [logterm: %llu, index: %llu, vote: %llx] cast %s for %llx [logterm: "
                      "%llu, index: %llu] at term %llu"
                    : "%llx [logterm: %llu, index: %llu, vote: %llx] rejected %s from %llx "
                      "[logterm: %llu, index: %llu] at term %llu",
             (pd_ull)raft->config.id, (pd_ull)last.term, (pd_ull)last.index, (pd_ull)raft->vote,
             type, (pd_ull)message->from, (pd_ull)message->log_term, (pd_ull)message->index,
             (pd_ull)raft->term);
    /* A grant echoes the request's term: a pre-candidate's is not ours yet (item 3). */
    (void)pd_core_send(raft, (struct pd_raft_message){
                                 .type = is_pre ? PD_RAFT_MSG_PRE_VOTE_RESP : PD_RAFT_MSG_VOTE_RESP,
                                 .to = message->from,
                                 .term = grants ? message->term : raft->term,
                                 .reject = !grants,
                             });
    if (grants && !is_pre) {
        raft->election_elapsed = 0;
        raft->vote = message->from;
    }
}

static enum pd_vote_result tally(const struct pd_raft *raft, const pd_raft_node *nodes,
                                 uint32_t count)
{
    uint32_t granted = 0;
    uint32_t refused = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct pd_raft_member *member = pd_core_member(raft, nodes[i]);
        granted += member != NULL && member->ballot == PD_BALLOT_GRANTED ? 1 : 0;
        refused += member != NULL && member->ballot == PD_BALLOT_REFUSED ? 1 : 0;
    }
    return pd_quorum_vote(granted, refused, count);
}

static enum pd_vote_result tally_joint(const struct pd_raft *raft)
{
    const struct pd_raft_conf *conf = &raft->conf;
    if (PD_MUTANT(RAFT_UNION_TALLY) && conf->voter_outgoing_count > 0) {
        pd_raft_node members[PD_RAFT_MEMBERS_MAX];
        return tally(raft, members, pd_conf_members(conf, members));
    }
    return pd_quorum_joint_vote(tally(raft, conf->voters, conf->voter_count),
                                tally(raft, conf->voters_outgoing, conf->voter_outgoing_count));
}

void pd_core_count_vote(struct pd_raft *raft, const struct pd_raft_message *message)
{
    const char *type = pd_raft_message_text(message->type);
    PD_TRACE(raft, INFO,
             message->reject ? "%llx received %s rejection from %llx at term %llu"
                             : "%llx received %s from %llx at term %llu",
             (pd_ull)raft->config.id, type, (pd_ull)message->from, (pd_ull)raft->term);
    struct pd_raft_member *member = pd_core_member(raft, message->from);
    if (member != NULL && member->ballot == PD_BALLOT_NONE) {
        member->ballot = message->reject ? PD_BALLOT_REFUSED : PD_BALLOT_GRANTED;
    }
    uint32_t granted = 0;
    uint32_t refused = 0;
    for (uint32_t i = 0; i < raft->member_count; i++) {
        if (!raft->members[i].is_learner) {
            granted += raft->members[i].ballot == PD_BALLOT_GRANTED ? 1 : 0;
            refused += raft->members[i].ballot == PD_BALLOT_REFUSED ? 1 : 0;
        }
    }
    PD_TRACE(raft, INFO, "%llx has received %u %s votes and %u vote rejections",
             (pd_ull)raft->config.id, granted, type, refused);
    switch (tally_joint(raft)) {
    case PD_VOTE_WON:
        if (raft->role == PD_RAFT_PRE_CANDIDATE) {
            campaign(raft, PD_CAMPAIGN_ELECTION);
        } else {
            become_leader(raft);
            pd_core_broadcast_append(raft);
        }
        break;
    case PD_VOTE_LOST:
        pd_core_become_follower(raft, raft->term, 0);
        break;
    case PD_VOTE_PENDING:
        break;
    }
}

static enum pd_vote_result active(const struct pd_raft *raft, const pd_raft_node *nodes,
                                  uint32_t count)
{
    uint32_t granted = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct pd_raft_member *member = pd_core_member(raft, nodes[i]);
        granted += member != NULL && member->is_active ? 1 : 0;
    }
    return pd_quorum_vote(granted, count - granted, count);
}

bool pd_core_quorum_active(const struct pd_raft *raft)
{
    const struct pd_raft_conf *conf = &raft->conf;
    return pd_quorum_joint_vote(active(raft, conf->voters, conf->voter_count),
                                active(raft, conf->voters_outgoing, conf->voter_outgoing_count)) ==
           PD_VOTE_WON;
}
