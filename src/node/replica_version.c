/* The version of the cluster (kv/version.h): who can follow how far, and the raise.
 *
 * Telling    Who could follow a later version than the cluster's says so to the leader, every
 *            election timeout: nothing is sent once the cluster is where all can be.
 * Raising    The leader proposes the next version when every member of the configuration, voter or
 *            learner, told of late that it can follow, and no change of the members is under way.
 *            Who is silent, away, or of a program that never heard of this holds it back.
 * Race       A member may be started again with an older program after it told. It stops at the
 *            raise, before it has applied it, and says why: with a newer program it goes on.
 * Frame      Fields {tag, size, bytes}; those with an unknown tag are skipped. Tag 1: the last
 *            version that the sender can follow. */
#include "kv/codec.h"
#include "node/replica_internal.h"

#define TAG_LIMIT 1u
#define FRAME_MAX 32u
#define FRESH 2u /* times the election timeout */

static uint32_t version_of(const struct pd_replica *replica)
{
    struct pd_kv_status kv;
    pd_kv_status(replica->kv, &kv);
    return kv.version;
}

bool pd_replica_version_stops(struct pd_replica *replica)
{
    struct pd_kv_status kv;
    pd_kv_status(replica->kv, &kv);
    if (kv.wanted_version == 0) {
        return false;
    }
    pd_replica_fatal(replica,
                     "the cluster is of version %u, and this program can follow up to version %u: "
                     "start this node with a program that is as new as the others'. Nothing is "
                     "lost",
                     kv.wanted_version, replica->config.kv.version_max);
    return true;
}

/* -- Telling ----------------------------------------------------------------------------------- */

static void tell(struct pd_replica *replica)
{
    uint8_t number[PD_VARINT_SIZE_MAX];
    uint8_t room[FRAME_MAX];
    struct pd_kv_writer inner = {.bytes = number, .bytes_max = sizeof number};
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    pd_kv_write_u64(&inner, replica->config.kv.version_max);
    pd_kv_write_u64(&writer, TAG_LIMIT);
    pd_kv_write_span(&writer, pd_kv_span(number, inner.size));
    uint8_t *bytes = pd_replica_emit_frame(replica, PD_REPLICA_FRAME_VERSION_FIELDS,
                                           replica->leader, writer.size);
    memcpy(bytes, room, writer.size);
}

static struct pd_replica_told *place_of(struct pd_replica *replica, pd_raft_node node)
{
    struct pd_replica_told *oldest = &replica->told[0];
    for (uint32_t i = 0; i < PD_REPLICA_TOLD_MAX; i++) {
        struct pd_replica_told *told = &replica->told[i];
        if (told->node == node) {
            return told;
        }
        oldest = told->tick < oldest->tick ? told : oldest;
    }
    return oldest;
}

void pd_replica_version_message(struct pd_replica *replica, pd_raft_node from, struct pd_span body)
{
    struct pd_kv_reader reader;
    uint32_t limit = 0;
    pd_kv_reader_init(&reader, body);
    while (!pd_kv_read_is_whole(&reader) && !reader.is_bad) {
        uint64_t tag = pd_kv_read_u64(&reader);
        struct pd_kv_reader field;
        pd_kv_reader_init(&field, pd_kv_read_span(&reader));
        if (tag == TAG_LIMIT && !reader.is_bad) {
            limit = pd_kv_read_below(&field, UINT32_MAX);
            reader.is_bad = reader.is_bad || !pd_kv_read_is_whole(&field);
        }
    }
    if (reader.is_bad || !pd_replica_is_member(&replica->conf, from)) {
        replica->counters.messages_dropped++;
        return;
    }
    *place_of(replica, from) =
        (struct pd_replica_told){.node = from, .limit = limit, .tick = replica->tick};
}

/* Who comes back may be another program. */
void pd_replica_version_lost(struct pd_replica *replica, pd_raft_node node)
{
    struct pd_replica_told *told = place_of(replica, node);
    if (told->node == node) {
        *told = (struct pd_replica_told){0};
    }
}

/* -- Raising ----------------------------------------------------------------------------------- */

static bool can_all(struct pd_replica *replica, const pd_raft_node *nodes, uint32_t count,
                    uint32_t version)
{
    uint64_t fresh = FRESH * (uint64_t)replica->config.raft.election_ticks;
    for (uint32_t i = 0; i < count; i++) {
        const struct pd_replica_told *told = place_of(replica, nodes[i]);
        bool is_told =
            told->node == nodes[i] && told->limit >= version && replica->tick - told->tick <= fresh;
        if (nodes[i] != replica->config.raft.id && !is_told) {
            return false;
        }
    }
    return true;
}

static void raise_version(struct pd_replica *replica)
{
    const struct pd_raft_conf *conf = &replica->conf;
    uint32_t version = version_of(replica) + 1;
    if (replica->conf_index > replica->apply_raft || replica->member_index > replica->apply_raft ||
        conf->voter_outgoing_count > 0 ||
        !can_all(replica, conf->voters, conf->voter_count, version) ||
        !can_all(replica, conf->learners, conf->learner_count, version)) {
        return;
    }
    const struct pd_kv_command command = {.kind = PD_KV_VERSION_RAISE, .version = version};
    struct pd_replica_proposal proposal = {.kind = PD_REPLICA_PROPOSAL_OWN};
    /* Until it is applied no member comes or goes. */
    if (pd_replica_propose_member(replica, &command, &proposal) == PD_OK) {
        pd_replica_note(replica, "every member can follow version %u: the cluster goes there",
                        version);
    }
}

void pd_replica_version_tick(struct pd_replica *replica)
{
    const struct pd_replica_config *config = &replica->config;
    if (!config->raises_version || replica->tick % config->raft.election_ticks != 0 ||
        replica->install.state != PD_REPLICA_INSTALL_NONE ||
        config->kv.version_max <= version_of(replica)) {
        return;
    }
    if (replica->role == PD_RAFT_LEADER) {
        if (replica->is_serving) {
            raise_version(replica);
        }
    } else if (replica->leader != 0) {
        tell(replica);
    }
}
