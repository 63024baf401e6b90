/* Who answers a leader, and how far each has come: for its own decisions, and for people. */
#include "base/assert.h"
#include "kv/version.h"
#include "node/members_heard.h"
#include "node/replica_internal.h"

#define MS_NS UINT64_C(1000000)
#define ANSWER_BYTES_MAX (PD_RAFT_MEMBERS_MAX * 48u + 1)

static const struct pd_replica_heard_member *find(const struct pd_replica_heard *heard,
                                                  pd_raft_node node)
{
    for (uint32_t i = 0; i < heard->count; i++) {
        if (heard->members[i].node == node) {
            return &heard->members[i];
        }
    }
    return NULL;
}

void pd_replica_heard_tick(struct pd_replica *replica)
{
    struct pd_raft_status *status = &replica->raft_status;
    struct pd_replica_heard before = replica->heard;
    struct pd_replica_heard *heard = &replica->heard;
    pd_raft_status(replica->raft, status);
    if (before.term != replica->term) {
        before = (struct pd_replica_heard){
            .term = replica->term, .since_tick = replica->tick, .since_ns = replica->now_ns};
    }
    *heard = (struct pd_replica_heard){
        .term = before.term, .since_tick = before.since_tick, .since_ns = before.since_ns};
    for (uint32_t i = 0; i < status->member_count; i++) {
        const struct pd_raft_member_status *member = &status->members[i];
        const struct pd_replica_heard_member *last = find(&before, member->node);
        struct pd_replica_heard_member *kept = &heard->members[heard->count++];
        *kept = (struct pd_replica_heard_member){.node = member->node};
        if (member->is_active) {
            kept->tick = replica->tick;
            kept->at_ns = replica->now_ns;
        } else if (last != NULL) {
            *kept = *last;
        }
    }
}

bool pd_replica_answers(const struct pd_replica *replica,
                        const struct pd_raft_member_status *member)
{
    const struct pd_replica_heard *heard = &replica->heard;
    const struct pd_replica_heard_member *last =
        heard->term == replica->term ? find(heard, member->node) : NULL;
    return member->is_active || member->node == replica->config.raft.id ||
           (last != NULL && last->tick > 0 &&
            replica->tick - last->tick <= replica->config.raft.election_ticks);
}

bool pd_replica_heard_long(const struct pd_replica *replica)
{
    const struct pd_replica_heard *heard = &replica->heard;
    return heard->term == replica->term &&
           replica->tick - heard->since_tick > replica->config.raft.election_ticks;
}

bool pd_replica_is_near(const struct pd_replica *replica, uint64_t commit,
                        const struct pd_raft_member_status *member)
{
    return member->match + replica->config.log_retain_entries / 2 + 16 >= commit;
}

static struct pd_members_heard heard_of(const struct pd_replica *replica, uint64_t commit,
                                        const struct pd_raft_member_status *member)
{
    const struct pd_replica_heard_member *last = find(&replica->heard, member->node);
    uint64_t at_ns = last == NULL || last->tick == 0 ? replica->heard.since_ns : last->at_ns;
    struct pd_members_heard heard = {.node = member->node,
                                     .answers = pd_replica_answers(replica, member)};
    if (member->node == replica->config.raft.id) {
        return heard;
    }
    heard.is_behind = heard.answers && (member->state == PD_RAFT_SNAPSHOT ||
                                        !pd_replica_is_near(replica, commit, member));
    heard.silent_ms = heard.answers ? 0 : (replica->now_ns - at_ns) / MS_NS;
    heard.behind_entries = member->match < commit ? commit - member->match : 0;
    return heard;
}

void pd_replica_heard_answer(struct pd_replica *replica, uint64_t client, uint64_t correlation)
{
    struct pd_raft_status *status = &replica->raft_status;
    uint8_t room[ANSWER_BYTES_MAX];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    bool is_known = replica->heard.term == replica->term;
    if (replica->config.kv.version_max == PD_KV_VERSION_FIRST) { /* it stands for one of before */
        pd_replica_answer_text(replica, client, correlation, PD_REPLICA_INVALID,
                               "not a request that this version knows");
        return;
    }
    if (replica->role != PD_RAFT_LEADER) {
        pd_replica_answer_text(replica, client, correlation, PD_REPLICA_NOT_LEADER,
                               "this node does not lead");
        return;
    }
    pd_raft_status(replica->raft, status);
    for (uint32_t i = 0; i < status->member_count; i++) {
        const struct pd_members_heard heard =
            heard_of(replica, status->hard_state.commit, &status->members[i]);
        is_known = is_known && (heard.answers || pd_replica_heard_long(replica));
        pd_members_heard_put(&writer, &heard);
    }
    pd_members_heard_put_end(&writer);
    pd_assert(!writer.is_full);
    if (is_known) {
        pd_replica_answer(replica, client, correlation, PD_REPLICA_OK,
                          (struct pd_span){writer.bytes, writer.size});
    } else {
        pd_replica_answer_text(replica, client, correlation, PD_REPLICA_NOT_READY,
                               "the leader does not know yet which members run");
    }
}
