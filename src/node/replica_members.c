/* Changes of the membership and of the lead, as a client asks for them; and the directory. */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "node/members.h"
#include "node/replica_about.h"
#include "node/replica_internal.h"

#define ABOUT_BYTES_MAX 90u /* eight numbers */

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

/* Why a node may not become a member; NULL: it may. */
static const char *stranger(const struct pd_replica *replica, pd_raft_node node)
{
    struct pd_kv_member member;
    if (!replica->config.has_directory) {
        return NULL;
    }
    switch (pd_kv_member_find(replica->kv, node, &member)) {
    case PD_KV_MEMBER_UNKNOWN:
        return "that node is not in the directory of members: nobody knows its key yet";
    case PD_KV_MEMBER_REMOVED:
        return "that node was removed for good: empty its folder, and it joins as a new one";
    case PD_KV_MEMBER_LIVE:
        break;
    }
    return member.role == PD_KV_MEMBER_WORKER ? "a worker holds no log" : NULL;
}

/* -- Leaving ----------------------------------------------------------------------------------- */

/* The removal of a voter is agreed upon by a majority of those before. Of those that stay, too, a
 * majority must be there, or nothing can be agreed upon any more, not even the way back. */
static const char *quorum_objection(const struct pd_replica *replica,
                                    const struct pd_raft_status *status, pd_raft_node leaves,
                                    enum pd_replica_outcome *outcome_out)
{
    uint32_t count = status->conf.voter_count;
    uint32_t answering = 0; /* of all */
    uint32_t staying = 0;   /* of those that answer */
    if (count == 1) {
        return "the last voter cannot be removed";
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct pd_raft_member_status *member = find(status, status->conf.voters[i]);
        bool is_there = member != NULL && pd_replica_answers(replica, member);
        answering += is_there ? 1 : 0;
        staying += is_there && status->conf.voters[i] != leaves ? 1 : 0;
    }
    if (staying > (count - 1) / 2) {
        return NULL;
    }
    if (answering <= count / 2 || !pd_replica_heard_long(replica)) {
        *outcome_out = PD_REPLICA_NOT_READY;
        return "the leader does not know yet which voters run";
    }
    return "too few of the voters that would stay answer: they would have no majority. Start those "
           "that are down first, or remove one of those first";
}

/* A first member whose row is still to be put: it would be put after the node has left, and live
 * for good, and nobody would know that the node was removed. */
static bool is_unfilled(const struct pd_replica *replica, pd_raft_node node)
{
    const struct pd_replica_config *config = &replica->config;
    struct pd_kv_member member;
    if (!config->has_directory || pd_kv_members_may_have_forgotten(replica->kv) ||
        pd_kv_member_find(replica->kv, node, &member) != PD_KV_MEMBER_UNKNOWN) {
        return false;
    }
    for (uint32_t i = 0; i < config->first_member_count; i++) {
        if (config->first_members[i].node == node) {
            return true;
        }
    }
    return false;
}

/* Why the change can never be, or not now; NULL: it may be proposed. */
static const char *objection(struct pd_replica *replica, const struct pd_replica_request_head *head,
                             enum pd_replica_outcome *outcome_out)
{
    struct pd_raft_status *status = &replica->raft_status;
    pd_raft_status(replica->raft, status);
    const struct pd_raft_member_status *member = find(status, head->number);
    *outcome_out = PD_REPLICA_BUSY;
    if (replica->member_index > replica->apply_raft) {
        return "the directory is changing: try again";
    }
    *outcome_out = PD_REPLICA_INVALID;
    if (head->number == 0) {
        return "node 0 is nobody";
    }
    switch (head->kind) {
    case PD_REPLICA_REQUEST_ADD_LEARNER:
        return member != NULL ? "that node is a member already" : stranger(replica, head->number);
    case PD_REPLICA_REQUEST_PROMOTE:
        if (member == NULL || !member->is_learner) {
            return "that node is no learner: add it as one first";
        }
        *outcome_out = PD_REPLICA_BUSY;
        if (member->state != PD_RAFT_REPLICATE ||
            !pd_replica_is_near(replica, status->hard_state.commit, member)) {
            return "that learner has not caught up yet: try again";
        }
        if (!pd_replica_answers(replica, member)) { /* it may be down, or have lost its log */
            return "that learner does not answer: try again when it does";
        }
        return NULL;
    case PD_REPLICA_REQUEST_REMOVE:
    case PD_REPLICA_REQUEST_LEAVE:
        if (member == NULL) {
            return "that node is no member";
        }
        if (is_unfilled(replica, head->number)) {
            *outcome_out = PD_REPLICA_BUSY;
            return "the directory is not filled yet: try again";
        }
        return member->is_learner ? NULL
                                  : quorum_objection(replica, status, head->number, outcome_out);
    case PD_REPLICA_REQUEST_WRITE:
    case PD_REPLICA_REQUEST_READ:
    case PD_REPLICA_REQUEST_LEASE:
    case PD_REPLICA_REQUEST_LEASES:
    case PD_REPLICA_REQUEST_WATCH:
    case PD_REPLICA_REQUEST_UNWATCH:
    case PD_REPLICA_REQUEST_WATCH_CREDIT:
    case PD_REPLICA_REQUEST_TRANSFER:
    case PD_REPLICA_REQUEST_STATUS:
    case PD_REPLICA_REQUEST_MEMBERS:
    case PD_REPLICA_REQUEST_ABOUT:
    case PD_REPLICA_REQUEST_SNAPSHOT:
    case PD_REPLICA_REQUEST_SNAPSHOT_END:
    case PD_REPLICA_REQUEST_HEARD:
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

/* is_wanted: a client waits for it. */
static enum pd_status propose_change(struct pd_replica *replica, bool is_wanted, uint64_t client,
                                     uint64_t correlation,
                                     const struct pd_replica_request_head *head)
{
    struct pd_raft_conf_change change = {.count = 1};
    change.changes[0] =
        (struct pd_raft_conf_change_single){.type = change_type(head->kind), .node = head->number};
    uint64_t index = 0;
    if (replica->proposal_count == replica->config.proposals_max) {
        return PD_ERR_FULL;
    }
    enum pd_status status = pd_raft_propose_conf_change(replica->raft, &change, false, &index);
    if (status != PD_OK) {
        return status;
    }
    bool leaves = head->kind == PD_REPLICA_REQUEST_LEAVE;
    const struct pd_replica_proposal proposal = {.kind = leaves ? PD_REPLICA_PROPOSAL_LEAVE
                                                                : PD_REPLICA_PROPOSAL_CONF,
                                                 .node = leaves ? head->number : 0,
                                                 .is_wanted = is_wanted,
                                                 .index = index,
                                                 .term = replica->term,
                                                 .client = client,
                                                 .correlation = correlation,
                                                 .since_tick = replica->tick,
                                                 .timed = pd_replica_timed_entry(replica)};
    replica->conf_index = index;
    bool is_kept = pd_replica_wait_for(replica, &proposal);
    pd_assert(is_kept);
    return PD_OK;
}

static void answer_proposed(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                            enum pd_status status)
{
    if (status != PD_OK) {
        refuse(replica, client, correlation, refusal(status), refusal_text(status));
    }
}

/* Who waits for it is told when the directory has forgotten the node. */
static enum pd_status propose_forget(struct pd_replica *replica, bool is_wanted, uint64_t client,
                                     uint64_t correlation, pd_raft_node node)
{
    const struct pd_kv_command forget = {.kind = PD_KV_MEMBER_REMOVE, .id = (int64_t)node};
    struct pd_replica_proposal proposal = {.kind = PD_REPLICA_PROPOSAL_CLIENT,
                                           .is_wanted = is_wanted,
                                           .client = client,
                                           .correlation = correlation};
    return pd_replica_propose_member(replica, &forget, &proposal);
}

void pd_replica_left(struct pd_replica *replica, const struct pd_replica_proposal *left)
{
    enum pd_status status =
        replica->role == PD_RAFT_LEADER && replica->is_serving
            ? propose_forget(replica, left->is_wanted, left->client, left->correlation, left->node)
            : PD_ERR_CLOSED;
    if (status != PD_OK && left->is_wanted) {
        /* Half of it is done: whoever asks again gets the rest. */
        refuse(replica, left->client, left->correlation, PD_REPLICA_UNKNOWN,
               "it has left the configuration, and is still in the directory: ask again");
    }
}

/* It is out of the configuration, or never was in it. */
static void leave_directory(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                            pd_raft_node node)
{
    const struct pd_kv_command forget = {.kind = PD_KV_MEMBER_REMOVE, .id = (int64_t)node};
    enum pd_replica_outcome outcome = PD_REPLICA_INVALID;
    struct pd_kv_member member;
    enum pd_kv_member_standing standing = pd_kv_member_find(replica->kv, node, &member);
    const char *text = standing == PD_KV_MEMBER_UNKNOWN
                           ? "that node is no member"
                           : pd_replica_directory_objection(replica, &forget, &outcome);
    if (standing == PD_KV_MEMBER_REMOVED) {
        pd_replica_answer(replica, client, correlation, PD_REPLICA_OK, (struct pd_span){NULL, 0});
    } else if (text != NULL) {
        refuse(replica, client, correlation, outcome, text);
    } else {
        answer_proposed(replica, client, correlation,
                        propose_forget(replica, true, client, correlation, node));
    }
}

/* What is asked for as of the cluster's version, which who asks may not have known: from then on a
 * node that is removed leaves the directory as well. A leader could not do the second half of its
 * own removal: that stays what it was. */
static struct pd_replica_request_head as_of_version(const struct pd_replica *replica,
                                                    const struct pd_replica_request_head *asked)
{
    struct pd_replica_request_head head = *asked;
    struct pd_kv_status kv;
    pd_kv_status(replica->kv, &kv);
    if (head.kind == PD_REPLICA_REQUEST_REMOVE && replica->config.has_directory &&
        kv.version >= PD_REPLICA_LEAVE_VERSION && head.number != replica->config.raft.id) {
        head.kind = PD_REPLICA_REQUEST_LEAVE;
    }
    return head;
}

void pd_replica_member(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                       const struct pd_replica_request_head *asked)
{
    if (replica->role != PD_RAFT_LEADER) {
        refuse(replica, client, correlation, PD_REPLICA_NOT_LEADER, "this node does not lead");
        return;
    }
    if (asked->kind == PD_REPLICA_REQUEST_TRANSFER) {
        pd_replica_lead_ask(replica, client, correlation, asked->number);
        return;
    }
    if (!replica->is_serving) {
        refuse(replica, client, correlation, PD_REPLICA_NOT_READY,
               "this node is taking over the lead");
        return;
    }
    const struct pd_replica_request_head head = as_of_version(replica, asked);
    bool leaves = head.kind == PD_REPLICA_REQUEST_LEAVE;
    if (leaves && head.number != 0 && !pd_replica_is_member(&replica->conf, head.number)) {
        leave_directory(replica, client, correlation, head.number);
        return;
    }
    enum pd_replica_outcome outcome = PD_REPLICA_INVALID;
    const char *text = objection(replica, &head, &outcome);
    if (text == NULL && leaves && head.number == replica->config.raft.id) {
        outcome = PD_REPLICA_INVALID; /* it could not do the second step */
        text = "this node leads: hand over the lead first";
    }
    if (text != NULL) {
        refuse(replica, client, correlation, outcome, text);
        return;
    }
    answer_proposed(replica, client, correlation,
                    propose_change(replica, true, client, correlation, &head));
}

/* -- The directory ----------------------------------------------------------------------------- */

/* Whoever says a name means one member. Only the leader looks, which is enough: it has applied all
 * that former leaders committed, and one change is under way at a time. A member that shares its
 * name since before leaders looked keeps it. */
static bool takes_name(const struct pd_replica *replica, const struct pd_kv_member *wanted)
{
    struct pd_kv_member before;
    bool has_it = pd_kv_member_find(replica->kv, wanted->node, &before) == PD_KV_MEMBER_LIVE &&
                  before.name.size == wanted->name.size &&
                  (wanted->name.size == 0 ||
                   memcmp(before.name.bytes, wanted->name.bytes, wanted->name.size) == 0);
    return !has_it && pd_kv_member_named(replica->kv, wanted->name, wanted->node) != 0;
}

const char *pd_replica_directory_objection(const struct pd_replica *replica,
                                           const struct pd_kv_command *command,
                                           enum pd_replica_outcome *outcome_out)
{
    struct pd_kv_member member = {.node = (uint64_t)command->id};
    *outcome_out = PD_REPLICA_BUSY;
    if (replica->conf_index > replica->apply_raft || replica->member_index > replica->apply_raft) {
        return "an earlier change of the members is under way: try again";
    }
    *outcome_out = PD_REPLICA_INVALID;
    if (command->kind == PD_KV_MEMBER_REMOVE) {
        return pd_replica_is_member(&replica->conf, member.node)
                   ? "that node votes or learns: it leaves the configuration first"
                   : NULL;
    }
    bool is_good = pd_kv_member_decode(command->bytes, &member) == PD_OK &&
                   replica->config.node_of(member.key) == member.node;
    if (!is_good) {
        return "that key is another node's";
    }
    return takes_name(replica, &member) ? "another member has that name: choose another one" : NULL;
}

/* What the directory is to say of a first member: of two with one name the second has none. */
static struct pd_span first_row(const struct pd_replica *replica,
                                const struct pd_replica_first_member *first,
                                uint8_t room[PD_KV_MEMBER_BYTES_MAX])
{
    struct pd_kv_member member = {.node = first->node};
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = PD_KV_MEMBER_BYTES_MAX};
    enum pd_status status = pd_kv_member_decode(first->bytes, &member);
    if (status != PD_OK || pd_kv_member_named(replica->kv, member.name, first->node) == 0) {
        return first->bytes;
    }
    member.name = (struct pd_span){NULL, 0};
    pd_kv_member_encode(&writer, &member);
    pd_assert(!writer.is_full); /* it is shorter than what was decoded */
    return (struct pd_span){room, writer.size};
}

/* One at a time; asked for again when it was lost with the lead. */
static void fill_directory(struct pd_replica *replica)
{
    const struct pd_replica_config *config = &replica->config;
    if (pd_kv_members_may_have_forgotten(replica->kv)) {
        return; /* a first member that is not there was removed long ago */
    }
    for (uint32_t i = 0; i < config->first_member_count && config->has_directory; i++) {
        const struct pd_replica_first_member *first = &config->first_members[i];
        struct pd_kv_member member;
        if (pd_kv_member_find(replica->kv, first->node, &member) != PD_KV_MEMBER_UNKNOWN) {
            continue;
        }
        if (replica->member_index > replica->apply_raft ||
            replica->conf_index > replica->apply_raft) {
            return;
        }
        uint8_t room[PD_KV_MEMBER_BYTES_MAX];
        const struct pd_kv_command command = {.kind = PD_KV_MEMBER_PUT,
                                              .id = (int64_t)first->node,
                                              .bytes = first_row(replica, first, room)};
        struct pd_replica_proposal proposal = {.kind = PD_REPLICA_PROPOSAL_OWN};
        enum pd_status status = pd_replica_propose_member(replica, &command, &proposal);
        (void)status; /* else with the next tick */
        return;
    }
}

/* One at a time, too. A learner that the directory does not call a voter stays what it is. */
static void promote(struct pd_replica *replica)
{
    const struct pd_raft_conf *conf = &replica->conf;
    if (conf->voter_count >= replica->config.voters_max || conf->voter_outgoing_count > 0 ||
        replica->conf_index > replica->apply_raft) {
        return;
    }
    for (uint32_t i = 0; i < conf->learner_count; i++) {
        const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_PROMOTE,
                                                     .number = conf->learners[i]};
        enum pd_replica_outcome outcome = PD_REPLICA_INVALID;
        if (stranger(replica, head.number) == NULL && objection(replica, &head, &outcome) == NULL &&
            propose_change(replica, false, 0, 0, &head) == PD_OK) {
            pd_replica_note(replica, "node %016llx has caught up: it becomes a voter",
                            (unsigned long long)head.number);
            return;
        }
    }
}

void pd_replica_members_tick(struct pd_replica *replica)
{
    pd_replica_heard_tick(replica);
    fill_directory(replica);
    promote(replica);
}

static enum pd_members_standing standing_of(const struct pd_raft_conf *conf, pd_raft_node node)
{
    if (pd_replica_is_voter(conf, node)) {
        return PD_MEMBERS_VOTER;
    }
    return pd_replica_is_member(conf, node) ? PD_MEMBERS_LEARNER : PD_MEMBERS_NONE;
}

/* Those of the configuration that the directory does not name: of a node alone, or before it is
 * filled. */
static void put_unlisted(const struct pd_replica *replica, const pd_raft_node *nodes,
                         uint32_t count, struct pd_kv_writer *writer)
{
    struct pd_kv_member member;
    for (uint32_t i = 0; i < count; i++) {
        if (pd_kv_member_find(replica->kv, nodes[i], &member) != PD_KV_MEMBER_LIVE) {
            pd_members_put(writer, standing_of(&replica->conf, nodes[i]), nodes[i], NULL);
        }
    }
}

static void put_about(const struct pd_replica *replica, struct pd_kv_writer *writer)
{
    struct pd_kv_status kv;
    pd_kv_status(replica->kv, &kv);
    const struct pd_replica_about about = {
        .revision = kv.revision,
        .compacted_revision = kv.compacted_revision,
        .committed_index = pd_raft_committed(replica->raft),
        .applied_index = kv.applied_index,
        .hash = kv.set_hash.low,
        .key_count = kv.key_count,
        .version = kv.version,
        .disk_is_low = replica->disk_is_low,
    };
    pd_replica_about_put(writer, &about);
}

bool pd_replica_members_answer(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                               bool with_about)
{
    const struct pd_raft_conf *conf = &replica->conf;
    size_t most = (PD_KV_MEMBERS_MAX + PD_RAFT_MEMBERS_MAX) * (PD_KV_MEMBER_BYTES_MAX + 32u) +
                  ABOUT_BYTES_MAX + 1;
    struct pd_kv_writer writer = {.bytes = pd_alloc(most), .bytes_max = most};
    if (writer.bytes == NULL) {
        return false;
    }
    if (with_about) {
        put_about(replica, &writer);
    }
    struct pd_kv_member member = {0};
    while (pd_kv_member_next(replica->kv, member.node, &member)) {
        pd_members_put(&writer, standing_of(conf, member.node), member.node, &member);
    }
    put_unlisted(replica, conf->voters, conf->voter_count, &writer);
    put_unlisted(replica, conf->learners, conf->learner_count, &writer);
    pd_members_put_end(&writer);
    pd_assert(!writer.is_full);
    pd_replica_answer(replica, client, correlation, PD_REPLICA_OK,
                      (struct pd_span){writer.bytes, writer.size});
    pd_free(writer.bytes);
    return true;
}
