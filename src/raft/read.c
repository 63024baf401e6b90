/* Linearizable reads and leader leases. */
#include <string.h>

#include "base/mutant.h"
#include "raft/raft_internal.h"

bool pd_core_has_committed_in_term(const struct pd_raft *raft)
{
    uint64_t term = 0;
    return pd_log_term(&raft->log, raft->log.committed, &term) && term == raft->term;
}

void pd_core_give_read(struct pd_raft *raft, uint64_t context, uint64_t index)
{
    struct pd_raft_outbox *outbox = pd_core_outbox(raft);
    if (outbox->read_count < raft->config.reads_max) {
        outbox->reads[outbox->read_count++] =
            (struct pd_raft_read){.context = context, .index = index};
    }
}

static void answer(struct pd_raft *raft, const struct pd_raft_waiting_read *read)
{
    if (read->from == raft->config.id) {
        pd_core_give_read(raft, read->context, read->index);
    } else {
        (void)pd_core_send(raft, (struct pd_raft_message){.type = PD_RAFT_MSG_READ_INDEX_RESP,
                                                          .to = read->from,
                                                          .index = read->index,
                                                          .token = read->context});
    }
}

/* The round that a read of now must wait for: one that has not left yet, else a new one. */
static uint64_t join_round(struct pd_raft *raft)
{
    if (raft->token_outbox == 0) {
        pd_core_broadcast_heartbeat(raft);
    }
    return raft->token_outbox;
}

static bool is_alone(const struct pd_raft *raft)
{
    return raft->conf.voter_count == 1 && raft->conf.voter_outgoing_count == 0 &&
           raft->conf.voters[0] == raft->config.id;
}

enum pd_status pd_core_lead_read(struct pd_raft *raft, pd_raft_node from, uint64_t context)
{
    struct pd_raft_waiting_read read = {
        .index = raft->log.committed, .context = context, .from = from};
    bool is_known = pd_core_has_committed_in_term(raft) || PD_MUTANT(RAFT_READ_BEFORE_OWN_COMMIT);
    if ((is_known && is_alone(raft)) || PD_MUTANT(RAFT_READ_WITHOUT_ROUND)) {
        answer(raft, &read);
        return PD_OK;
    }
    if (raft->waiting_count >= raft->config.reads_max) {
        return PD_ERR_FULL;
    }
    /* Before an entry of this term is committed the commit index may lag behind the last leader's
     * (item 23). */
    if (is_known) {
        read.token = join_round(raft);
    }
    raft->waiting[raft->waiting_count++] = read;
    pd_core_reads_confirm(raft);
    return PD_OK;
}

void pd_core_reads_committed(struct pd_raft *raft)
{
    if (!pd_core_has_committed_in_term(raft)) {
        return;
    }
    for (uint32_t i = 0; i < raft->waiting_count; i++) {
        if (raft->waiting[i].token == 0) {
            raft->waiting[i].index = raft->log.committed;
            raft->waiting[i].token = join_round(raft);
        }
    }
    pd_core_reads_confirm(raft);
}

static uint32_t tokens(const struct pd_raft *raft, const pd_raft_node *nodes, uint32_t count,
                       uint64_t *token_out)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct pd_raft_member *member = pd_core_member(raft, nodes[i]);
        token_out[i] = member != NULL ? member->token : 0;
    }
    return count;
}

/* The latest round that a quorum, of both halves, has answered. */
static uint64_t confirmed_token(const struct pd_raft *raft)
{
    uint64_t incoming[PD_RAFT_MEMBERS_MAX];
    uint64_t outgoing[PD_RAFT_MEMBERS_MAX];
    const struct pd_raft_conf *conf = &raft->conf;
    uint32_t incoming_count = tokens(raft, conf->voters, conf->voter_count, incoming);
    uint32_t outgoing_count =
        tokens(raft, conf->voters_outgoing, conf->voter_outgoing_count, outgoing);
    uint64_t token = pd_quorum_joint_committed(incoming, incoming_count, outgoing, outgoing_count);
    return token < raft->token_last ? token : raft->token_last;
}

void pd_core_reads_confirm(struct pd_raft *raft)
{
    if (raft->role != PD_RAFT_LEADER || raft->waiting_count == 0) {
        return;
    }
    uint64_t confirmed = confirmed_token(raft);
    if (PD_MUTANT(RAFT_READ_TOKEN_REUSED) && confirmed > 0) {
        confirmed = raft->token_last;
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < raft->waiting_count; i++) {
        struct pd_raft_waiting_read read = raft->waiting[i];
        if (read.token != 0 && read.token <= confirmed) {
            answer(raft, &read);
        } else {
            raft->waiting[kept++] = read;
        }
    }
    raft->waiting_count = kept;
}

/* Nobody answers them any more; whoever asked asks again. */
void pd_core_reads_drop(struct pd_raft *raft)
{
    raft->waiting_count = 0;
}

enum pd_status pd_raft_read_index(struct pd_raft *raft, uint64_t context)
{
    if (raft->role == PD_RAFT_LEADER) {
        return pd_core_lead_read(raft, raft->config.id, context);
    }
    if (raft->role != PD_RAFT_FOLLOWER || raft->leader == 0) {
        PD_TRACE(raft, INFO, "%llx no leader at term %llu; dropping index reading msg",
                 (pd_ull)raft->config.id, (pd_ull)raft->term);
        return PD_ERR_CLOSED;
    }
    bool is_sent = pd_core_send(raft, (struct pd_raft_message){.type = PD_RAFT_MSG_READ_INDEX,
                                                               .to = raft->leader,
                                                               .token = context});
    return is_sent ? PD_OK : PD_ERR_FULL;
}

bool pd_raft_lease_valid(const struct pd_raft *raft, uint64_t now_ns)
{
    if (raft->role != PD_RAFT_LEADER || !pd_core_has_committed_in_term(raft)) {
        return false;
    }
    /* A forced vote breaks a lease, and may come long after the transfer was given up (item 7). */
    if ((raft->transferee != 0 || raft->has_sent_timeout_now) &&
        !PD_MUTANT(RAFT_LEASE_SURVIVES_TRANSFER)) {
        return false;
    }
    if (is_alone(raft) || PD_MUTANT(RAFT_LEASE_WITHOUT_ROUND)) {
        return true; /* whatever the clocks: nobody else can be elected */
    }
    if (!raft->config.lease_reads) {
        return false;
    }
    uint64_t token = confirmed_token(raft);
    if (token <= raft->token_floor || raft->token_last - token >= PD_RAFT_ROUNDS_MAX) {
        return false;
    }
    uint64_t sent_ns = raft->round_ns[token % PD_RAFT_ROUNDS_MAX];
    if (PD_MUTANT(RAFT_LEASE_FROM_ANSWER)) {
        sent_ns = raft->now_ns;
    }
    return now_ns >= sent_ns && now_ns - sent_ns < raft->config.lease_ns;
}
