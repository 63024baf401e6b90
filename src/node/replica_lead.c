/* The lead goes to another node: a client asks, the disk is nearly full, or this one stops.
 *
 * Who asked is answered when the lead has arrived. Raft gives a hand-over up after an election
 * timeout: the other one may lack entries, have a change of the membership to apply, or not hear.
 * But it may have heard, and be slow: what it was told, raft cannot take back. So who asked waits a
 * while longer, and is told who leads, or that nobody knows how it ends. */
#include "base/sometimes.h"
#include "node/replica_internal.h"

#define PATIENCE_NUMERATOR 2u /* of a request's time: etcd's clients wait for half of it */
#define PATIENCE_DENOMINATOR 5u

static void answer(struct pd_replica *replica, enum pd_replica_outcome outcome, const char *text)
{
    const struct pd_replica_lead *lead = &replica->lead;
    replica->lead.is_asked = false;
    pd_replica_answer_text(replica, lead->client, lead->correlation, outcome, text);
}

/* The voter within reach that has most of the log; 0: there is none. */
static pd_raft_node best_successor(struct pd_replica *replica)
{
    pd_raft_node best = 0;
    uint64_t best_match = 0;
    struct pd_raft_status *status = &replica->raft_status;
    pd_raft_status(replica->raft, status);
    for (uint32_t i = 0; i < status->member_count; i++) {
        const struct pd_raft_member_status *member = &status->members[i];
        if (member->node != replica->config.raft.id && !member->is_learner && member->is_active &&
            (best == 0 || member->match > best_match)) {
            best = member->node;
            best_match = member->match;
        }
    }
    return best;
}

void pd_replica_lead_ask(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                         pd_raft_node to)
{
    struct pd_replica_lead *lead = &replica->lead;
    if (lead->is_asked) {
        pd_replica_answer_text(replica, client, correlation, PD_REPLICA_BUSY,
                               "the lead is being handed over already");
        return;
    }
    if (to == 0) {
        to = best_successor(replica);
    }
    *lead = (struct pd_replica_lead){.is_asked = true,
                                     .client = client,
                                     .correlation = correlation,
                                     .to = to,
                                     .since_tick = replica->tick};
    if (to == replica->config.raft.id) {
        answer(replica, PD_REPLICA_OK, "");
    } else if (to == 0 || pd_raft_transfer(replica->raft, to) != PD_OK) {
        answer(replica, PD_REPLICA_INVALID, "the lead can go to a voter that is reached only");
    }
}

/* Longer than raft's own, whatever a request's is. */
static uint64_t patience_ticks(const struct pd_replica *replica)
{
    uint64_t raft = 2u * (uint64_t)replica->config.raft.election_ticks;
    uint64_t request =
        (uint64_t)replica->config.request_ticks_max * PATIENCE_NUMERATOR / PATIENCE_DENOMINATOR;
    return request > raft ? request : raft;
}

void pd_replica_lead_follow(struct pd_replica *replica)
{
    const struct pd_replica_lead *lead = &replica->lead;
    if (!lead->is_asked) {
        return;
    }
    bool is_late = replica->tick - lead->since_tick > patience_ticks(replica);
    bool leads = pd_replica_leads(replica);
    if (!leads && replica->leader == lead->to) {
        answer(replica, PD_REPLICA_OK, "");
    } else if (!leads && replica->leader != 0 && replica->leader != replica->config.raft.id) {
        answer(replica, PD_REPLICA_BUSY, "another node took the lead: try again");
    } else if (is_late) {
        answer(replica, PD_REPLICA_UNKNOWN,
               leads ? "the outcome is unknown: that node did not take the lead in time, and may "
                       "still do; until then this one leads (`pando cluster status`)"
                     : "the outcome is unknown: the lead was given up, and nobody is known to have "
                       "it (`pando cluster status`)");
    }
}

/* One try an election timeout. */
void pd_replica_lead_tick(struct pd_replica *replica)
{
    if (!replica->disk_is_low ||
        replica->tick - replica->handover_tick < 2u * replica->config.raft.election_ticks) {
        return;
    }
    replica->handover_tick = replica->tick;
    pd_raft_node successor = best_successor(replica);
    if (successor != 0 && pd_raft_transfer(replica->raft, successor) == PD_OK) {
        PD_SOMETIMES(NODE_HANDED_OVER, true);
        pd_replica_note(replica, "the disk is nearly full: the lead goes to node %llu",
                        (unsigned long long)successor);
    }
}

bool pd_replica_hand_over(struct pd_replica *replica)
{
    if (!pd_replica_leads(replica)) {
        return false;
    }
    pd_raft_node successor = best_successor(replica);
    return successor != 0 && pd_raft_transfer(replica->raft, successor) == PD_OK;
}
