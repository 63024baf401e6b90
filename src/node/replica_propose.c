/* A leader's work: clients' commands and its own become entries; who waits for one is answered when
 * it is applied.
 *
 * Outcomes   An entry that is applied with another term than it was proposed in took another's
 *            place: that one certainly never happens (DROPPED). One that cannot be followed to its
 *            end any more may or may not happen (UNKNOWN).
 * Time       State time is the last committed time plus what the leader's clock counted since it
 *            began to lead. It serves nothing until its first command, which gives every lease its
 *            whole time again, stands in the log. */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/mutant.h"
#include "base/sometimes.h"
#include "kv/version.h"
#include "node/replica_internal.h"

static struct pd_replica_proposal *proposal_at(struct pd_replica *replica, uint32_t position)
{
    return &replica->proposals[(replica->proposal_head + position) % replica->config.proposals_max];
}

static struct pd_replica_proposal *last_proposal(struct pd_replica *replica)
{
    return replica->proposal_count == 0 ? NULL : proposal_at(replica, replica->proposal_count - 1);
}

/* Tell who waits, if somebody still does. */
static void resolve(struct pd_replica *replica, struct pd_replica_proposal *proposal,
                    enum pd_replica_outcome outcome, struct pd_span body)
{
    if (proposal->kind == PD_REPLICA_PROPOSAL_EXPIRY) {
        replica->expiries--;
    }
    pd_replica_large_ended(replica, &proposal->cost);
    if (proposal->is_wanted) {
        proposal->is_wanted = false;
        pd_replica_tell_if_slow(replica, &proposal->timed, proposal->client, proposal->correlation,
                                outcome);
        pd_replica_answer(replica, proposal->client, proposal->correlation, outcome, body);
    }
}

static void resolve_text(struct pd_replica *replica, struct pd_replica_proposal *proposal,
                         enum pd_replica_outcome outcome)
{
    if (outcome == PD_REPLICA_UNKNOWN && PD_MUTANT(NODE_UNKNOWN_IS_DROPPED)) {
        outcome = PD_REPLICA_DROPPED;
    }
    const char *text = pd_replica_outcome_text(outcome);
    struct pd_span body = {(const uint8_t *)text, strlen(text)};
    resolve(replica, proposal, outcome, body);
}

void pd_replica_proposals_applied(struct pd_replica *replica, uint64_t index, uint64_t term,
                                  struct pd_span answer, bool is_done)
{
    struct pd_replica_proposal left = {.node = 0};
    while (replica->proposal_count > 0) {
        struct pd_replica_proposal *proposal = proposal_at(replica, 0);
        if (proposal->index > index) {
            break;
        }
        pd_assert(proposal->index == index);
        if (proposal->term != term) {
            PD_SOMETIMES(NODE_PROPOSAL_DROPPED, true);
            resolve_text(replica, proposal, PD_REPLICA_DROPPED);
        } else if (!is_done) {
            bool is_conf = proposal->kind == PD_REPLICA_PROPOSAL_CONF ||
                           proposal->kind == PD_REPLICA_PROPOSAL_LEAVE;
            resolve_text(replica, proposal, is_conf ? PD_REPLICA_INVALID : PD_REPLICA_UNKNOWN);
        } else if (proposal->kind == PD_REPLICA_PROPOSAL_LEAVE) {
            left = *proposal; /* its answer comes with the second step */
        } else {
            pd_replica_large_learn(replica, &proposal->cost, answer);
            resolve(replica, proposal, PD_REPLICA_OK, answer);
        }
        replica->proposal_head = (replica->proposal_head + 1) % replica->config.proposals_max;
        replica->proposal_count--;
        replica->proposals_logged -= replica->proposals_logged > 0;
        replica->proposals_agreed -= replica->proposals_agreed > 0;
    }
    if (left.node != 0) {
        pd_replica_left(replica, &left);
    }
}

void pd_replica_proposals_are_logged(struct pd_replica *replica, uint64_t index)
{
    uint32_t *count = &replica->proposals_logged;
    while (*count < replica->proposal_count && proposal_at(replica, *count)->index <= index) {
        proposal_at(replica, (*count)++)->timed.logged_ns = replica->now_ns;
    }
}

void pd_replica_proposals_are_agreed(struct pd_replica *replica, uint64_t index)
{
    uint32_t *count = &replica->proposals_agreed;
    while (*count < replica->proposal_count && proposal_at(replica, *count)->index <= index) {
        proposal_at(replica, (*count)++)->timed.agreed_ns = replica->now_ns;
    }
}

void pd_replica_proposals_lost(struct pd_replica *replica, uint64_t from_index)
{
    while (replica->proposal_count > 0 && last_proposal(replica)->index >= from_index) {
        PD_SOMETIMES(NODE_PROPOSAL_LOST, last_proposal(replica)->is_wanted);
        resolve_text(replica, last_proposal(replica), PD_REPLICA_UNKNOWN);
        replica->proposal_count--;
    }
    uint32_t count = replica->proposal_count;
    replica->proposals_logged =
        replica->proposals_logged < count ? replica->proposals_logged : count;
    replica->proposals_agreed =
        replica->proposals_agreed < count ? replica->proposals_agreed : count;
}

bool pd_replica_wait_for(struct pd_replica *replica, const struct pd_replica_proposal *proposal)
{
    /* An older one at or behind this index was cut from the log when the lead was lost. */
    pd_replica_proposals_lost(replica, proposal->index);
    if (replica->proposal_count == replica->config.proposals_max) {
        return false;
    }
    replica->proposal_count++;
    *last_proposal(replica) = *proposal;
    pd_replica_large_began(replica, &proposal->cost);
    return true;
}

void pd_replica_proposals_tick(struct pd_replica *replica)
{
    for (uint32_t i = 0; i < replica->proposal_count; i++) {
        struct pd_replica_proposal *proposal = proposal_at(replica, i);
        if (proposal->is_wanted &&
            replica->tick - proposal->since_tick >= replica->config.request_ticks_max) {
            proposal->is_wanted = false;
            pd_replica_tell_if_slow(replica, &proposal->timed, proposal->client,
                                    proposal->correlation, PD_REPLICA_UNKNOWN);
            pd_replica_answer_text(replica, proposal->client, proposal->correlation,
                                   PD_MUTANT(NODE_UNKNOWN_IS_DROPPED) ? PD_REPLICA_DROPPED
                                                                      : PD_REPLICA_UNKNOWN,
                                   "no majority answered in time: it may still happen");
        }
    }
}

/* -- Proposing --------------------------------------------------------------------------------- */

/* The command in its envelope; the bytes lie in replica->envelope. */
static struct pd_span envelop(struct pd_replica *replica, struct pd_span command, uint64_t session,
                              uint64_t sequence, uint64_t low)
{
    const struct pd_kv_envelope envelope = {
        .state_time_ns = pd_replica_state_time(replica),
        .wall_ns = replica->wall_ns,
        .session_id = session,
        .sequence = sequence,
        .low = low,
        .command = command,
    };
    size_t most = command.size + PD_KV_ENVELOPE_BYTES_MAX;
    replica->envelope.size = 0;
    struct pd_kv_writer writer = {.bytes = pd_replica_bytes_add(&replica->envelope, most),
                                  .bytes_max = most};
    pd_kv_envelope_encode(&writer, &envelope);
    pd_assert(!writer.is_full);
    return (struct pd_span){writer.bytes, writer.size};
}

/* On PD_OK the entry waits under `proposal`, whose index and term are set here. */
static enum pd_status propose(struct pd_replica *replica, struct pd_span entry,
                              struct pd_replica_proposal *proposal)
{
    if (replica->proposal_count == replica->config.proposals_max) {
        return PD_ERR_FULL;
    }
    uint64_t index = 0;
    enum pd_status status = pd_raft_propose(replica->raft, &entry, 1, &index);
    if (status != PD_OK) {
        return status;
    }
    struct pd_raft_entry appended;
    status = pd_raft_entry_at(replica->raft, index, &appended);
    pd_assert(status == PD_OK); /* this node leads: nothing was forwarded */
    proposal->index = index;
    proposal->term = appended.term;
    proposal->since_tick = replica->tick;
    pd_replica_state_time_given(replica);
    bool is_kept = pd_replica_wait_for(replica, proposal);
    pd_assert(is_kept);
    replica->counters.proposals++;
    return PD_OK;
}

void pd_replica_propose_own(struct pd_replica *replica, enum pd_replica_proposal_kind kind,
                            struct pd_span command)
{
    struct pd_replica_proposal proposal = {.kind = kind};
    struct pd_span entry = envelop(replica, command, 0, 0, 0);
    if (propose(replica, entry, &proposal) == PD_OK && kind == PD_REPLICA_PROPOSAL_EXPIRY) {
        replica->expiries++;
    }
}

/* What a node may still do when its disk is nearly full: what makes room. */
static bool frees_space(const struct pd_kv_command *command)
{
    switch (command->kind) {
    case PD_KV_OPS:
        for (uint32_t i = 0; i < command->op_count; i++) {
            if (command->ops[i].kind == PD_KV_OP_PUT) {
                return false;
            }
        }
        return true;
    case PD_KV_COMPACT:
    case PD_KV_LEASE_REVOKE:
    case PD_KV_LEASE_EXPIRE:
    case PD_KV_LEASE_KEEPALIVE:
    case PD_KV_LEASES_EXTEND:
    case PD_KV_SESSION_CLOSE:
    case PD_KV_SESSION_KEEPALIVE:
    case PD_KV_SESSION_EXPIRE:
        return true;
    case PD_KV_NOOP:
    case PD_KV_LEASE_GRANT:
    case PD_KV_SESSION_OPEN:
    case PD_KV_MEMBER_PUT:
    case PD_KV_MEMBER_REMOVE:
    case PD_KV_VERSION_RAISE:
    case PD_KV_MEMBER_TELL:
        return false;
    }
    return false;
}

enum pd_status pd_replica_propose_member(struct pd_replica *replica,
                                         const struct pd_kv_command *command,
                                         struct pd_replica_proposal *proposal)
{
    uint8_t room[PD_KV_MEMBER_BYTES_MAX + 64];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    pd_kv_command_encode(&writer, command);
    pd_assert(!writer.is_full);
    struct pd_span entry = envelop(replica, (struct pd_span){room, writer.size}, 0, 0, 0);
    enum pd_status status = propose(replica, entry, proposal);
    if (status == PD_OK) {
        replica->member_index = proposal->index;
    }
    return status;
}

static bool is_leaders_own(enum pd_kv_command_kind kind)
{
    return kind == PD_KV_NOOP || kind == PD_KV_LEASE_EXPIRE || kind == PD_KV_LEASES_EXTEND ||
           kind == PD_KV_SESSION_EXPIRE || kind == PD_KV_VERSION_RAISE;
}

void pd_replica_answer_error(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                             enum pd_kv_error error)
{
    struct pd_kv_status kv;
    pd_kv_status(replica->kv, &kv);
    uint8_t room[64];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    const struct pd_kv_answer_head head = {
        .error = error, .revision = kv.revision, .kind = PD_KV_ANSWER_NONE};
    pd_kv_answer_put_head(&writer, &head);
    pd_replica_answer(replica, client, correlation, PD_REPLICA_OK,
                      (struct pd_span){room, writer.size});
}

bool pd_replica_is_crowded(const struct pd_replica *replica)
{
    return replica->proposal_count >= replica->config.proposals_max ||
           replica->gathering.payload.size > replica->config.proposal_bytes_max ||
           pd_kv_overlay_room(replica->kv) < replica->config.overlay_reserve;
}

static void propose_client(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                           const struct pd_replica_request_head *head,
                           const struct pd_replica_cost *cost, bool is_member)
{
    struct pd_replica_proposal proposal = {.kind = PD_REPLICA_PROPOSAL_CLIENT,
                                           .cost = *cost,
                                           .is_wanted = true,
                                           .client = client,
                                           .correlation = correlation,
                                           .timed = pd_replica_timed_entry(replica)};
    uint64_t session = PD_MUTANT(NODE_BLIND_RETRY) ? 0 : head->session;
    enum pd_status status = PD_ERR_FULL;
    if (!pd_replica_is_crowded(replica)) {
        struct pd_span entry = envelop(replica, head->body, session, head->sequence, head->low);
        status = propose(replica, entry, &proposal);
    }
    if (status == PD_OK && is_member) {
        replica->member_index = proposal.index;
    }
    if (status == PD_ERR_FULL) {
        PD_SOMETIMES(NODE_BUSY, true);
        pd_replica_answer_text(replica, client, correlation, PD_REPLICA_BUSY,
                               "a limit is reached: try again");
    } else if (status != PD_OK) {
        pd_replica_answer_text(replica, client, correlation, PD_REPLICA_NOT_READY,
                               "the lead is being handed over");
    }
}

/* may_wait: in front of the log, if it is large. */
static void write_checked(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                          const struct pd_replica_request_head *head, bool may_wait)
{
    if (replica->role != PD_RAFT_LEADER) {
        pd_replica_answer_text(replica, client, correlation, PD_REPLICA_NOT_LEADER,
                               "this node does not lead");
        return;
    }
    if (!replica->is_serving) {
        pd_replica_answer_text(replica, client, correlation, PD_REPLICA_NOT_READY,
                               "this node is taking over the lead");
        return;
    }
    struct pd_kv_command command;
    enum pd_kv_error error =
        pd_kv_command_decode(head->body, &replica->config.kv.limits, &replica->room, &command);
    if (error != PD_KV_OK) {
        pd_replica_answer_error(replica, client, correlation, error);
        return;
    }
    pd_replica_timed_command(&replica->asking.timed, &command);
    if (is_leaders_own(command.kind)) {
        pd_replica_answer_text(replica, client, correlation, PD_REPLICA_INVALID,
                               "only a leader gives this command");
        return;
    }
    struct pd_kv_status kv;
    pd_kv_status(replica->kv, &kv);
    if (pd_kv_version_of(command.kind) > kv.version) {
        pd_replica_answer_text(replica, client, correlation, PD_REPLICA_INVALID,
                               "the cluster's version does not have this command yet");
        return;
    }
    if (replica->disk_is_low && !frees_space(&command)) {
        pd_replica_answer_text(replica, client, correlation, PD_REPLICA_DISK_LOW,
                               replica->lacks_descriptors
                                   ? "the leader has no file descriptors left: try again later, or "
                                     "raise its limit (`ulimit -n`)"
                                   : "the leader's disk is nearly full: free space on it; deletes "
                                     "and compaction are still taken");
        return;
    }
    bool is_member = command.kind == PD_KV_MEMBER_PUT || command.kind == PD_KV_MEMBER_REMOVE;
    enum pd_replica_outcome outcome = PD_REPLICA_INVALID;
    const char *objection =
        is_member ? pd_replica_directory_objection(replica, &command, &outcome) : NULL;
    if (objection != NULL) {
        pd_replica_answer_text(replica, client, correlation, outcome, objection);
        return;
    }
    const struct pd_replica_cost cost = pd_replica_large_cost(replica, client, head, &command);
    if (!may_wait || pd_replica_large_may_go(replica, &cost)) {
        propose_client(replica, client, correlation, head, &cost, is_member);
    } else if (!pd_replica_large_wait(replica, client, correlation, head, &cost)) {
        PD_SOMETIMES(NODE_BUSY, true);
        pd_replica_answer_text(replica, client, correlation, PD_REPLICA_BUSY,
                               "too much that is large waits: try again");
    }
}

void pd_replica_write(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                      const struct pd_replica_request_head *head)
{
    write_checked(replica, client, correlation, head, true);
}

void pd_replica_write_now(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                          const struct pd_replica_request_head *head)
{
    write_checked(replica, client, correlation, head, false);
}

/* -- Leading ----------------------------------------------------------------------------------- */

static void propose_simple(struct pd_replica *replica, enum pd_replica_proposal_kind kind,
                           const struct pd_kv_command *command)
{
    uint8_t room[64];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    pd_kv_command_encode(&writer, command);
    pd_assert(!writer.is_full);
    pd_replica_propose_own(replica, kind, (struct pd_span){room, writer.size});
}

void pd_replica_lead_step(struct pd_replica *replica)
{
    if (replica->role != PD_RAFT_LEADER || replica->is_serving ||
        replica->install.state != PD_REPLICA_INSTALL_NONE) {
        return;
    }
    struct pd_kv_status kv;
    pd_kv_status(replica->kv, &kv);
    if (kv.applied_term != replica->term || replica->is_applying) {
        return; /* what former leaders committed is not all applied yet */
    }
    replica->lead_given_ns = kv.state_time_ns;
    replica->lead_clock_ns = replica->now_ns;
    /* Changes of an earlier lead are applied, or gone from the log: nothing may have their index
     * for long. */
    replica->conf_index = 0;
    replica->member_index = 0;
    uint64_t before = replica->counters.proposals;
    propose_simple(replica, PD_REPLICA_PROPOSAL_OWN,
                   &(struct pd_kv_command){.kind = PD_KV_LEASES_EXTEND});
    replica->is_serving = replica->counters.proposals > before;
}

/* While nobody writes, a command of its own carries the time on, before a step of it is full. */
static void carry_time(struct pd_replica *replica)
{
    if (replica->now_ns - replica->lead_clock_ns >= replica->config.kv.state_time_step_max_ns / 2 &&
        !PD_MUTANT(NODE_IDLE_TIME_LOST)) {
        PD_SOMETIMES(NODE_TIME_CARRIED, true);
        propose_simple(replica, PD_REPLICA_PROPOSAL_OWN,
                       &(struct pd_kv_command){.kind = PD_KV_NOOP});
    }
}

static void expire(struct pd_replica *replica)
{
    while (replica->expiries < replica->config.expiries_max) {
        uint8_t room[64];
        struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
        if (!pd_kv_expiry_command(replica->kv, pd_replica_state_time(replica), replica->expiries,
                                  &writer)) {
            return;
        }
        uint32_t before = replica->expiries;
        pd_replica_propose_own(replica, PD_REPLICA_PROPOSAL_EXPIRY,
                               (struct pd_span){room, writer.size});
        if (replica->expiries == before) {
            return;
        }
        PD_SOMETIMES(NODE_EXPIRED, true);
    }
}

/* Every replica remembers when which revision was current, so that a new leader need not begin
 * anew. Samples are taken a sample's share of the retention apart; the oldest is forgotten. */
static void sample(struct pd_replica *replica, const struct pd_kv_status *kv)
{
    uint64_t apart = replica->config.compaction_retention_ns / (PD_REPLICA_SAMPLES_MAX - 2);
    struct pd_replica_sample *samples = replica->samples;
    uint32_t count = replica->sample_count;
    if (count > 0 && kv->state_time_ns < samples[count - 1].state_time_ns + apart) {
        return;
    }
    if (count == PD_REPLICA_SAMPLES_MAX) {
        memmove(samples, samples + 1, (count - 1) * sizeof samples[0]);
        count--;
    }
    samples[count] = (struct pd_replica_sample){kv->state_time_ns, kv->revision};
    replica->sample_count = count + 1;
}

/* The revision up to which history may go; 0: none. */
static int64_t compactable(const struct pd_replica *replica, const struct pd_kv_status *kv)
{
    int64_t revision = 0;
    switch (replica->config.compaction) {
    case PD_REPLICA_COMPACTION_OFF:
        break;
    case PD_REPLICA_COMPACTION_PERIODIC:
        for (uint32_t i = 0; i < replica->sample_count; i++) {
            if (replica->samples[i].state_time_ns + replica->config.compaction_retention_ns <=
                pd_replica_state_time(replica)) {
                revision = replica->samples[i].revision;
            }
        }
        break;
    case PD_REPLICA_COMPACTION_REVISION:
        revision = kv->revision - replica->config.compaction_revisions;
        /* Not for each revision anew: a tenth of what is kept at a time. */
        if (revision - kv->compacted_revision < replica->config.compaction_revisions / 10) {
            revision = 0;
        }
        break;
    }
    return revision > kv->compacted_revision ? revision : 0;
}

static void compact(struct pd_replica *replica)
{
    struct pd_kv_status kv;
    pd_kv_status(replica->kv, &kv);
    sample(replica, &kv);
    if (!replica->is_serving) {
        return;
    }
    int64_t revision = compactable(replica, &kv);
    if (revision == 0 || revision == replica->compact_proposed) {
        return;
    }
    uint64_t before = replica->counters.proposals;
    propose_simple(replica, PD_REPLICA_PROPOSAL_OWN,
                   &(struct pd_kv_command){.kind = PD_KV_COMPACT, .revision = revision});
    if (replica->counters.proposals > before) {
        replica->compact_proposed = revision;
    }
}

void pd_replica_duties_tick(struct pd_replica *replica)
{
    compact(replica);
    if (replica->role != PD_RAFT_LEADER || !replica->is_serving) {
        return;
    }
    carry_time(replica);
    expire(replica);
    pd_replica_lead_tick(replica);
    pd_replica_members_tick(replica);
}
