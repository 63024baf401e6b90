/* Changes of the membership and of the lead, as a client asks for them. */
#include <string.h>

#include "base/assert.h"
#include "node/replica_internal.h"

static void refuse(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                   enum pd_replica_outcome outcome, const char *text)
{
    pd_replica_answer_text(replica, client, correlation, outcome, text);
}

static const struct pd_raft_member_status *find(const struct pd_raft_status *status,
                                                pd_raft_node node)
{
    for (uint32_t i = 0; i < status->member_count; i++) {
        if (status->members[i].node == node) {
            return &status->members[i];
        }
    }
    return NULL;
}

/* Why the change can never be, or not now; NULL: it may be proposed. */
static const char *objection(struct pd_replica *replica, const struct pd_replica_request_head *head,
                             enum pd_replica_outcome *outcome_out)
{
    struct pd_raft_status *status = &replica->raft_status;
    pd_raft_status(replica->raft, status);
    const struct pd_raft_member_status *member = find(status, head->number);
    *outcome_out = PD_REPLICA_INVALID;
    if (head->number == 0) {
        return "node 0 is nobody";
    }
    switch (head->kind) {
    case PD_REPLICA_REQUEST_ADD_LEARNER:
        return member != NULL ? "that node is a member already" : NULL;
    case PD_REPLICA_REQUEST_PROMOTE:
        if (member == NULL || !member->is_learner) {
            return "that node is no learner: add it as one first";
        }
        *outcome_out = PD_REPLICA_BUSY;
        if (member->state != PD_RAFT_REPLICATE ||
            member->match + replica->config.log_retain_entries / 2 + 16 <
                status->hard_state.commit) {
            return "that learner has not caught up yet: try again";
        }
        return NULL;
    case PD_REPLICA_REQUEST_REMOVE:
        if (member == NULL) {
            return "that node is no member";
        }
        return status->conf.voter_count == 1 && !member->is_learner
                   ? "the last voter cannot be removed"
                   : NULL;
    case PD_REPLICA_REQUEST_WRITE:
    case PD_REPLICA_REQUEST_READ:
    case PD_REPLICA_REQUEST_LEASE:
    case PD_REPLICA_REQUEST_LEASES:
    case PD_REPLICA_REQUEST_WATCH:
    case PD_REPLICA_REQUEST_UNWATCH:
    case PD_REPLICA_REQUEST_WATCH_CREDIT:
    case PD_REPLICA_REQUEST_TRANSFER:
    case PD_REPLICA_REQUEST_STATUS:
        break;
    }
    return "not a change of the membership";
}

static enum pd_raft_conf_change_type change_type(enum pd_replica_request_kind kind)
{
    if (kind == PD_REPLICA_REQUEST_ADD_LEARNER) {
        return PD_RAFT_CONF_ADD_LEARNER;
    }
    return kind == PD_REPLICA_REQUEST_PROMOTE ? PD_RAFT_CONF_ADD_NODE : PD_RAFT_CONF_REMOVE_NODE;
}

static enum pd_replica_outcome refusal(enum pd_status status)
{
    if (status == PD_ERR_EXISTS || status == PD_ERR_FULL) {
        return PD_REPLICA_BUSY;
    }
    return status == PD_ERR_CLOSED ? PD_REPLICA_NOT_READY : PD_REPLICA_INVALID;
}

static const char *refusal_text(enum pd_status status)
{
    if (status == PD_ERR_EXISTS) {
        return "an earlier change is under way: try again";
    }
    if (status == PD_ERR_FULL) {
        return "a limit is reached: try again";
    }
    return status == PD_ERR_CLOSED ? "the lead is being handed over"
                                   : "the change contradicts the membership";
}

static void propose_change(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                           const struct pd_replica_request_head *head)
{
    struct pd_raft_conf_change change = {.count = 1};
    change.changes[0] =
        (struct pd_raft_conf_change_single){.type = change_type(head->kind), .node = head->number};
    uint64_t index = 0;
    if (replica->proposal_count == replica->config.proposals_max) {
        refuse(replica, client, correlation, PD_REPLICA_BUSY, "a limit is reached: try again");
        return;
    }
    enum pd_status status = pd_raft_propose_conf_change(replica->raft, &change, false, &index);
    if (status != PD_OK) {
        refuse(replica, client, correlation, refusal(status), refusal_text(status));
        return;
    }
    const struct pd_replica_proposal proposal = {.kind = PD_REPLICA_PROPOSAL_CONF,
                                                 .is_wanted = true,
                                                 .index = index,
                                                 .term = replica->term,
                                                 .client = client,
                                                 .correlation = correlation,
                                                 .since_tick = replica->tick};
    bool is_kept = pd_replica_wait_for(replica, &proposal);
    pd_assert(is_kept);
}

static void transfer(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                     pd_raft_node node)
{
    if (node == 0) {
        node = pd_replica_best_successor(replica);
    }
    enum pd_status status = node == 0 ? PD_ERR_UNKNOWN : pd_raft_transfer(replica->raft, node);
    if (status == PD_OK) {
        refuse(replica, client, correlation, PD_REPLICA_OK, "");
    } else {
        refuse(replica, client, correlation, PD_REPLICA_INVALID,
               "the lead can go to a voter that is reached only");
    }
}

void pd_replica_member(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                       const struct pd_replica_request_head *head)
{
    if (replica->role != PD_RAFT_LEADER) {
        refuse(replica, client, correlation, PD_REPLICA_NOT_LEADER, "this node does not lead");
        return;
    }
    if (head->kind == PD_REPLICA_REQUEST_TRANSFER) {
        transfer(replica, client, correlation, head->number);
        return;
    }
    if (!replica->is_serving) {
        refuse(replica, client, correlation, PD_REPLICA_NOT_READY,
               "this node is taking over the lead");
        return;
    }
    enum pd_replica_outcome outcome = PD_REPLICA_INVALID;
    const char *text = objection(replica, head, &outcome);
    if (text != NULL) {
        refuse(replica, client, correlation, outcome, text);
        return;
    }
    propose_change(replica, client, correlation, head);
}
