/* A replica's life, its events and its slices of work. What they do lies in replica_*.c. */
#include "node/replica.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/sometimes.h"
#include "node/members.h"
#include "node/replica_internal.h"

#define KIB 1024u
#define SECOND_NS UINT64_C(1000000000)
#define HEARTBEATS_AHEAD_MAX 3u
#define ROOM_LITTLE 64u /* elections may pass before little is flushed on a low disk */

struct pd_replica_config pd_replica_config_default(void)
{
    return (struct pd_replica_config){
        .raft = pd_raft_config_default(),
        .kv = pd_kv_config_default(),
        .node_of = pd_members_node_of,
        .proposals_max = 8192,
        .proposal_bytes_max = 32 * KIB * KIB,
        .large_bytes_max = 8 * KIB * KIB,
        .reads_max = 8192,
        .log_batch_bytes_max = 4 * KIB * KIB,
        .log_backlog_bytes_max = 16 * KIB * KIB,
        .request_ticks_max = 100,
        .read_ticks_max = 600,
        .apply_budget = 512,
        .overlay_reserve = 40 * KIB * KIB,
        .log_retain_entries = 5000,
        .flush_entries = 20000,
        .hash_interval = 1000,
        .hash_ticks = 20,
        .snapshot_chunk_bytes = 256 * KIB,
        .snapshot_window = 8,
        .snapshot_ticks = 10,
        .expiries_max = 64,
        .watches_max = 65536,
        .watch_bytes_max = 1 * KIB * KIB,
        .compaction = PD_REPLICA_COMPACTION_PERIODIC,
        .compaction_retention_ns = 86400 * SECOND_NS,
    };
}

static bool is_sound(const struct pd_replica_config *config)
{
    return config->raft.id != 0 && config->proposals_max > 0 && config->reads_max > 0 &&
           config->large_bytes_max >= PD_REPLICA_LARGE_PARTS && config->log_batch_bytes_max > 0 &&
           config->request_ticks_max > 0 && config->read_ticks_max > 0 &&
           config->peer_count <= PD_RAFT_MEMBERS_MAX && config->snapshot_window > 0 &&
           config->snapshot_window <= PD_REPLICA_WINDOW_MAX && config->snapshot_ticks > 0 &&
           config->snapshot_chunk_bytes >= 256 &&
           config->snapshot_chunk_bytes <= PD_REPLICA_CHUNK_BYTES_MAX &&
           config->overlay_reserve < config->kv.overlay_bytes &&
           config->raft.log_bytes_max > 2 * (uint64_t)config->kv.limits.request_bytes_max &&
           (config->start != PD_REPLICA_START_BOOTSTRAP || config->initial_conf.voter_count > 0);
}

/* Room for the largest request as an envelope, for a command's operations, for a message's entries.
 */
static bool rooms_init(struct pd_replica *replica)
{
    const struct pd_replica_config *config = &replica->config;
    uint32_t ops_max = pd_kv_command_ops_max(&config->kv.limits);
    replica->room.ops_max = ops_max;
    replica->room.compares_max = ops_max;
    replica->room.ops = pd_alloc_zeroed(ops_max, sizeof *replica->room.ops);
    replica->room.compares = pd_alloc_zeroed(ops_max, sizeof *replica->room.compares);
    replica->proposals = pd_alloc_zeroed(config->proposals_max, sizeof *replica->proposals);
    replica->reads = pd_alloc_zeroed(config->reads_max, sizeof *replica->reads);
    replica->entry_room_max =
        config->raft.log_entries_max < 65536 ? config->raft.log_entries_max : 65536;
    replica->entry_room = pd_alloc_zeroed(replica->entry_room_max, sizeof *replica->entry_room);
    replica->wire_room.entries = replica->entry_room;
    replica->wire_room.entries_max = replica->entry_room_max;
    if (replica->room.ops == NULL || replica->room.compares == NULL || replica->proposals == NULL ||
        replica->reads == NULL || replica->entry_room == NULL) {
        return false;
    }
    pd_replica_reads_init(replica);
    pd_replica_large_init(replica);
    return true;
}

enum pd_status pd_replica_open(const struct pd_replica_config *config,
                               struct pd_replica **replica_out)
{
    if (!is_sound(config)) {
        return PD_ERR_INVALID;
    }
    struct pd_replica *replica = pd_alloc_zeroed(1, sizeof *replica);
    if (replica == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    replica->config = *config;
    replica->config.peers = replica->peers;
    /* A client goes to the leader itself: a write that was passed on would have no answer. */
    replica->config.raft.no_forwarding = true;
    if (config->peer_count > 0) {
        memcpy(replica->peers, config->peers, config->peer_count * sizeof replica->peers[0]);
    }
    enum pd_status status = rooms_init(replica) ? PD_OK : PD_ERR_NO_MEMORY;
    if (status == PD_OK) {
        status = pd_kv_open(&config->kv, &replica->kv);
    }
    if (status == PD_OK) {
        status = pd_replica_watch_open(replica);
    }
    if (status != PD_OK) {
        pd_replica_close(replica);
        return status;
    }
    *replica_out = replica;
    return PD_OK;
}

void pd_replica_close(struct pd_replica *replica)
{
    if (replica == NULL) {
        return;
    }
    pd_replica_large_free(replica);
    pd_replica_watch_free(replica);
    pd_replica_transfers_free(replica);
    pd_replica_backups_free(replica);
    pd_replica_install_free(replica);
    pd_replica_word_free(replica);
    pd_replica_recovered_free(replica);
    pd_replica_log_free(replica);
    pd_replica_outputs_free(replica);
    for (uint32_t i = 0; replica->reads != NULL && i < replica->config.reads_max; i++) {
        pd_free(replica->reads[i].body);
    }
    pd_kv_close(replica->kv);
    void *blocks[] = {replica->room.ops,       replica->room.compares,    replica->proposals,
                      replica->reads,          replica->entry_room,       replica->raft_memory,
                      replica->applying.bytes, replica->conf_bytes.bytes, replica->envelope.bytes};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        pd_free(blocks[i]);
    }
    pd_free(replica);
}

/* -- Events ------------------------------------------------------------------------------------ */

void pd_replica_clock(struct pd_replica *replica, uint64_t now_ns, uint64_t wall_ns)
{
    replica->now_ns = now_ns > replica->now_ns ? now_ns : replica->now_ns;
    replica->wall_ns = wall_ns;
}

/* For what was applied while the disk stays low: soon if it is much, rarely if it is little. Every
 * flush makes a table, and tables make the store work just when it has least room to do so. */
static bool room_is_due(const struct pd_replica *replica)
{
    uint64_t lag = replica->store_visible - replica->store_durable;
    uint64_t often = replica->config.raft.election_ticks;
    return replica->tick % often == 0 &&
           (lag >= replica->config.flush_entries / 4 || replica->tick % (often * ROOM_LITTLE) == 0);
}

void pd_replica_tick(struct pd_replica *replica)
{
    if (replica->phase == PD_REPLICA_DEAD) {
        return;
    }
    replica->tick++;
    if (replica->raft != NULL) {
        pd_raft_tick(replica->raft, replica->now_ns);
    }
    pd_replica_lead_follow(replica);
    pd_replica_proposals_tick(replica);
    pd_replica_large_tick(replica);
    pd_replica_reads_tick(replica);
    pd_replica_transfers_tick(replica);
    pd_replica_backups_tick(replica);
    pd_replica_install_tick(replica);
    pd_replica_word_tick(replica);
    if (replica->phase == PD_REPLICA_RUNNING) {
        pd_replica_duties_tick(replica);
        pd_replica_hash_tick(replica);
        pd_replica_version_tick(replica);
        pd_replica_watch_tick(replica);
        if (replica->disk_is_low && room_is_due(replica)) {
            pd_replica_make_room(replica);
        }
    }
}

/* A leader tells a node of no more committed entries than the node has acknowledged. One that ends
 * before them has lost what it promised, and could vote for who lacks it, too. A heartbeat may come
 * late, of another life of this member's: so not the first one counts. */
static void judge_heartbeat(struct pd_replica *replica, const struct pd_raft_message *message,
                            enum pd_status status)
{
    struct pd_raft_status *raft = &replica->raft_status;
    if (status != PD_ERR_INVALID) {
        replica->heartbeats_ahead = 0;
        return;
    }
    pd_raft_status(replica->raft, raft);
    bool is_ahead = message->term == raft->hard_state.term && message->commit > raft->last_index;
    replica->heartbeats_ahead = is_ahead ? replica->heartbeats_ahead + 1 : 0;
    if (replica->heartbeats_ahead == HEARTBEATS_AHEAD_MAX) {
        pd_replica_fatal(replica,
                         "the log ends at entry %llu, but this node has acknowledged entry %llu: "
                         "an older copy has taken the folder's place, or a copy of it ran "
                         "elsewhere. Remove node %016llx from its cluster (`pando cluster remove`) "
                         "and let its machine join with an empty folder, as a new node",
                         (unsigned long long)raft->last_index, (unsigned long long)message->commit,
                         (unsigned long long)replica->config.raft.id);
    }
}

/* A snapshot travels in chunks, and a proposal is made by who answers it: neither comes as a
 * message. */
static enum pd_status raft_message(struct pd_replica *replica, pd_raft_node from,
                                   struct pd_span body)
{
    struct pd_raft_message message;
    enum pd_status status = pd_raft_wire_get(body, &replica->wire_room, &message);
    if (status != PD_OK) {
        return status;
    }
    if (message.from != from || message.to != replica->config.raft.id ||
        message.type == PD_RAFT_MSG_SNAP || message.type == PD_RAFT_MSG_PROP) {
        return PD_ERR_INVALID;
    }
    bool leads = message.type == PD_RAFT_MSG_APP || message.type == PD_RAFT_MSG_HEARTBEAT;
    if (leads && message.term >= replica->term) {
        pd_replica_word_heard(replica);
    }
    if (replica->raft == NULL) {
        replica->install.heard = leads ? from : replica->install.heard;
        return PD_ERR_CLOSED;
    }
    if (message.type == PD_RAFT_MSG_APP && message.entry_count > 0 &&
        replica->gathering.payload.size > replica->config.log_batch_bytes_max) {
        /* The disk is behind: what comes in now waits in raft and is one write later on. */
        if (replica->backlog_bytes > replica->config.log_backlog_bytes_max) {
            PD_SOMETIMES(NODE_APPEND_DROPPED, true);
            return PD_ERR_FULL; /* the leader sends it again */
        }
        replica->backlog_bytes += body.size;
    }
    status = pd_raft_step(replica->raft, &message);
    if (message.type == PD_RAFT_MSG_HEARTBEAT) {
        judge_heartbeat(replica, &message, status);
    }
    return status;
}

void pd_replica_message(struct pd_replica *replica, pd_raft_node from, const uint8_t *bytes,
                        size_t size)
{
    if (replica->phase == PD_REPLICA_DEAD) {
        return;
    }
    bool is_ours =
        size >= PD_REPLICA_FRAME_SIZE && bytes[0] == PD_REPLICA_FRAME_VERSION &&
        pd_get_u16(bytes + 2) == 0 && pd_get_u32(bytes + 4) == replica->config.raft.group_id &&
        pd_get_u64(bytes + 8) == replica->config.cluster_id && pd_get_u64(bytes + 16) == from &&
        pd_get_u64(bytes + 24) == replica->config.raft.id;
    if (!is_ours || from == replica->config.raft.id) {
        replica->counters.messages_dropped++;
        return;
    }
    struct pd_span body = {bytes + PD_REPLICA_FRAME_SIZE, size - PD_REPLICA_FRAME_SIZE};
    switch (bytes[1]) {
    case PD_REPLICA_FRAME_RAFT:
        if (raft_message(replica, from, body) != PD_OK) {
            replica->counters.messages_dropped++;
        }
        break;
    case PD_REPLICA_FRAME_CHUNK:
        pd_replica_chunk(replica, from, body);
        break;
    case PD_REPLICA_FRAME_CHUNK_ACK:
        pd_replica_transfer_ack(replica, from, body);
        break;
    case PD_REPLICA_FRAME_WANT:
        pd_replica_want(replica, from, body);
        break;
    case PD_REPLICA_FRAME_HASH:
        pd_replica_hash_message(replica, from, body);
        break;
    case PD_REPLICA_FRAME_VERSION_FIELDS:
        if (replica->config.kv.version_max >= 2) {
            pd_replica_version_message(replica, from, body);
        } else {
            replica->counters.messages_dropped++; /* version 1 has no such message */
        }
        break;
    case PD_REPLICA_FRAME_DIRECTORY_FIELDS:
        pd_replica_word_message(replica, from, body);
        break;
    default:
        replica->counters.messages_dropped++;
        break;
    }
}

void pd_replica_unreachable(struct pd_replica *replica, pd_raft_node node)
{
    if (replica->raft != NULL && replica->phase != PD_REPLICA_DEAD) {
        pd_raft_report_unreachable(replica->raft, node);
        pd_replica_version_lost(replica, node);
    }
}

void pd_replica_lacks_descriptors(struct pd_replica *replica, bool lacks_descriptors)
{
    replica->lacks_descriptors = lacks_descriptors;
}

void pd_replica_disk_low(struct pd_replica *replica, bool is_low)
{
    if (is_low != replica->disk_is_low && is_low && replica->lacks_descriptors) {
        pd_replica_note(replica, "no file descriptors are left: writes are refused until there are "
                                 "some. Raise the limit (`ulimit -n`)");
    } else if (is_low != replica->disk_is_low) {
        pd_replica_note(replica,
                        is_low ? "the log's disk is nearly full: writes are refused, deletes and "
                                 "compaction are not. Free space on it"
                               : "the log's disk has room again: writes are taken");
    }
    replica->disk_is_low = is_low;
    replica->wants_room = false;
    if (is_low) {
        pd_replica_make_room(replica);
    }
}

/* -- Requests ---------------------------------------------------------------------------------- */

static const char *role_text(enum pd_raft_role role)
{
    switch (role) {
    case PD_RAFT_FOLLOWER:
        return "follower";
    case PD_RAFT_CANDIDATE:
    case PD_RAFT_PRE_CANDIDATE:
        return "candidate";
    case PD_RAFT_LEADER:
        return "leader";
    }
    return "";
}

static const char *phase_text(enum pd_replica_phase phase)
{
    switch (phase) {
    case PD_REPLICA_LOADING:
        return "loading";
    case PD_REPLICA_RESTORING:
        return "restoring";
    case PD_REPLICA_RUNNING:
        return "running";
    case PD_REPLICA_DEAD:
        return "dead";
    }
    return "";
}

static json_t *id_json(uint64_t id)
{
    char text[17];
    (void)snprintf(text, sizeof text, "%016" PRIx64, id);
    return json_string(text);
}

static json_t *nodes_json(const pd_raft_node *nodes, uint32_t count)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < count; i++) {
        (void)json_array_append_new(list, id_json(nodes[i]));
    }
    return list;
}

static void answer_status(struct pd_replica *replica, uint64_t client, uint64_t correlation)
{
    struct pd_kv_status kv;
    pd_kv_status(replica->kv, &kv);
    /* Ids are texts: as numbers they have more digits than many a reader of JSON keeps. */
    json_t *json = json_pack(
        "{s:o, s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:o, s:o, s:I, "
        "s:I, s:o, s:o}",
        "node", id_json(replica->config.raft.id), "phase", phase_text(replica->phase), "role",
        role_text(replica->role), "leader", id_json(replica->leader), "term",
        (json_int_t)replica->term, "applied_index", (json_int_t)kv.applied_index, "durable_index",
        (json_int_t)replica->store_durable, "revision", (json_int_t)kv.revision,
        "compacted_revision", (json_int_t)kv.compacted_revision, "keys", (json_int_t)kv.key_count,
        "leases", (json_int_t)kv.lease_count, "sessions", (json_int_t)kv.session_count,
        "log_batches", (json_int_t)replica->counters.log_batches, "disk_is_low",
        replica->disk_is_low ? 1 : 0, "voters",
        nodes_json(replica->conf.voters, replica->conf.voter_count), "learners",
        nodes_json(replica->conf.learners, replica->conf.learner_count), "cluster_version",
        (json_int_t)kv.version, "version_limit", (json_int_t)replica->config.kv.version_max,
        "cluster", id_json(replica->config.cluster_id), "hash", id_json(kv.set_hash.low));
    char *text = json == NULL ? NULL : json_dumps(json, JSON_COMPACT);
    if (text == NULL) {
        pd_replica_answer_text(replica, client, correlation, PD_REPLICA_BUSY, "no memory");
    } else {
        pd_replica_answer_text(replica, client, correlation, PD_REPLICA_OK, text);
    }
    free(text);
    json_decref(json);
}

static void take_request(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                         const uint8_t *bytes, size_t size)
{
    struct pd_replica_request_head head;
    if (pd_replica_request_decode((struct pd_span){bytes, size}, &head) != PD_OK) {
        pd_replica_answer_text(replica, client, correlation, PD_REPLICA_INVALID,
                               "not a request that this version knows");
        return;
    }
    replica->asking.timed.what = pd_replica_timed_what(head.kind);
    if (replica->phase != PD_REPLICA_RUNNING && head.kind != PD_REPLICA_REQUEST_STATUS) {
        if (head.kind == PD_REPLICA_REQUEST_SNAPSHOT_END) {
            return;
        }
        pd_replica_answer_text(replica, client, correlation, PD_REPLICA_NOT_READY,
                               replica->phase == PD_REPLICA_RESTORING
                                   ? "this node is fetching its state from another member"
                                   : "this node is starting");
        return;
    }
    switch (head.kind) {
    case PD_REPLICA_REQUEST_WRITE:
        pd_replica_write(replica, client, correlation, &head);
        break;
    case PD_REPLICA_REQUEST_READ:
    case PD_REPLICA_REQUEST_LEASE:
    case PD_REPLICA_REQUEST_LEASES:
    case PD_REPLICA_REQUEST_MEMBERS:
    case PD_REPLICA_REQUEST_ABOUT:
        pd_replica_read(replica, client, correlation, &head);
        break;
    case PD_REPLICA_REQUEST_WATCH:
        pd_replica_watch(replica, client, correlation, &head);
        break;
    case PD_REPLICA_REQUEST_UNWATCH:
        pd_replica_unwatch(replica, client, correlation, &head);
        break;
    case PD_REPLICA_REQUEST_WATCH_CREDIT:
        pd_replica_watch_credit(replica, client, correlation, &head);
        break;
    case PD_REPLICA_REQUEST_ADD_LEARNER:
    case PD_REPLICA_REQUEST_PROMOTE:
    case PD_REPLICA_REQUEST_REMOVE:
    case PD_REPLICA_REQUEST_LEAVE:
    case PD_REPLICA_REQUEST_TRANSFER:
        pd_replica_member(replica, client, correlation, &head);
        break;
    case PD_REPLICA_REQUEST_HEARD:
        pd_replica_heard_answer(replica, client, correlation);
        break;
    case PD_REPLICA_REQUEST_STATUS:
        answer_status(replica, client, correlation);
        break;
    case PD_REPLICA_REQUEST_SNAPSHOT:
        pd_replica_backup(replica, client, correlation, &head);
        break;
    case PD_REPLICA_REQUEST_SNAPSHOT_END:
        pd_replica_backup_end(replica, client, head.number);
        break;
    }
}

void pd_replica_request(struct pd_replica *replica, uint64_t asked_ns, uint64_t client,
                        uint64_t correlation, const uint8_t *bytes, size_t size)
{
    if (replica->phase == PD_REPLICA_DEAD) {
        return;
    }
    if (replica->config.slow_ns != 0) {
        replica->asking = (struct pd_replica_asking){.is_open = true,
                                                     .client = client,
                                                     .correlation = correlation,
                                                     .timed = {.asked_ns = asked_ns,
                                                               .begun_ns = replica->now_ns,
                                                               .logged_ns = replica->now_ns,
                                                               .agreed_ns = replica->now_ns,
                                                               .what = "request"}};
    }
    take_request(replica, client, correlation, bytes, size);
    replica->asking.is_open = false;
}

void pd_replica_timed_request(struct pd_replica *replica, struct pd_span request,
                              struct pd_replica_timed *timed)
{
    struct pd_replica_request_head head;
    struct pd_kv_command command;
    timed->what = "request";
    if (pd_replica_request_decode(request, &head) != PD_OK) {
        return;
    }
    timed->what = pd_replica_timed_what(head.kind);
    if ((head.kind == PD_REPLICA_REQUEST_WRITE || head.kind == PD_REPLICA_REQUEST_READ) &&
        pd_kv_command_decode(head.body, &replica->config.kv.limits, &replica->room, &command) ==
            PD_KV_OK) {
        pd_replica_timed_command(timed, &command);
    }
}

bool pd_replica_is_repeatable(struct pd_replica *replica, struct pd_span bytes)
{
    struct pd_kv_command command;
    if (pd_kv_command_decode(bytes, &replica->config.kv.limits, &replica->room, &command) !=
        PD_KV_OK) {
        return false;
    }
    bool only_reads = command.kind == PD_KV_OPS;
    for (uint32_t i = 0; only_reads && i < command.op_count; i++) {
        only_reads = command.ops[i].kind == PD_KV_OP_RANGE || command.ops[i].kind == PD_KV_OP_TXN;
    }
    return only_reads || command.kind == PD_KV_LEASE_KEEPALIVE;
}

void pd_replica_client_gone(struct pd_replica *replica, uint64_t client)
{
    for (uint32_t i = 0; i < replica->proposal_count; i++) {
        struct pd_replica_proposal *proposal =
            &replica->proposals[(replica->proposal_head + i) % replica->config.proposals_max];
        if (proposal->client == client) {
            proposal->is_wanted = false;
        }
    }
    for (uint32_t i = 0; i < replica->config.reads_max; i++) {
        if (replica->reads[i].client == client) {
            replica->reads[i].is_wanted = false;
        }
    }
    pd_replica_large_client_gone(replica, client);
    pd_replica_watch_client_gone(replica, client);
    pd_replica_backups_client_gone(replica, client);
}

/* -- Work -------------------------------------------------------------------------------------- */

bool pd_replica_step(struct pd_replica *replica)
{
    if (replica->phase == PD_REPLICA_DEAD) {
        return false;
    }
    bool more = false;
    if (replica->phase == PD_REPLICA_LOADING) {
        more = pd_replica_load_step(replica);
    }
    more = pd_replica_install_step(replica) || more;
    more = pd_replica_log_step(replica) || more;
    more = pd_replica_apply_step(replica) || more;
    if (replica->phase == PD_REPLICA_RUNNING) {
        pd_replica_lead_step(replica);
        pd_replica_large_step(replica);
        more = pd_replica_read_step(replica) || more;
        more = pd_replica_watch_step(replica) || more;
        more = pd_replica_store_step(replica) || more;
        pd_replica_backups_step(replica);
        pd_replica_verify_step(replica);
    }
    if (replica->phase == PD_REPLICA_DEAD) {
        return false;
    }
    more = pd_replica_fetch_step(replica) || more;
    pd_replica_log_flush(replica);
    /* What this slice gave to raft: a read's round, a proposal. It must not wait for a tick. */
    return more || pd_replica_log_has_work(replica);
}

/* -- What it is -------------------------------------------------------------------------------- */

void pd_replica_status(const struct pd_replica *replica, struct pd_replica_status *status_out)
{
    *status_out = (struct pd_replica_status){
        .phase = replica->phase,
        .serves_writes = replica->is_serving && replica->role == PD_RAFT_LEADER &&
                         !replica->disk_is_low && replica->phase == PD_REPLICA_RUNNING,
        .disk_is_low = replica->disk_is_low,
        .store_visible = replica->store_visible,
        .store_durable = replica->store_durable,
        .counters = replica->counters,
    };
    if (replica->raft != NULL) {
        pd_raft_status(replica->raft, &status_out->raft);
    }
    pd_kv_status(replica->kv, &status_out->kv);
}

uint64_t pd_replica_applied_count(const struct pd_replica *replica)
{
    return replica->counters.applied;
}

pd_raft_node pd_replica_leader(const struct pd_replica *replica)
{
    if (replica->phase != PD_REPLICA_RUNNING) {
        return 0;
    }
    return replica->role == PD_RAFT_LEADER && !replica->is_serving ? 0 : replica->leader;
}

bool pd_replica_has_state(const struct pd_replica *replica)
{
    return replica->phase == PD_REPLICA_RUNNING &&
           replica->install.state == PD_REPLICA_INSTALL_NONE;
}

bool pd_replica_leads(const struct pd_replica *replica)
{
    return replica->phase == PD_REPLICA_RUNNING && replica->role == PD_RAFT_LEADER;
}

uint64_t pd_replica_term(const struct pd_replica *replica)
{
    return replica->term;
}

bool pd_replica_has_member(const struct pd_replica *replica, pd_raft_node node)
{
    return pd_replica_is_member(&replica->conf, node);
}

bool pd_replica_may_read_now(const struct pd_replica *replica, uint64_t now_ns)
{
    /* A follower may have applied, and answered a read with, whatever it knows to be committed: no
     * more than this leader does. */
    return replica->phase == PD_REPLICA_RUNNING && replica->is_serving &&
           pd_raft_committed(replica->raft) <= replica->apply_raft &&
           pd_raft_lease_valid(replica->raft, now_ns);
}

const struct pd_replica_before *pd_replica_before(const struct pd_replica *replica)
{
    return &replica->before;
}

bool pd_replica_store_is_damaged(const struct pd_replica *replica)
{
    return replica->store_is_damaged;
}

const struct pd_kv *pd_replica_kv(const struct pd_replica *replica)
{
    return replica->kv;
}

const struct pd_raft *pd_replica_raft(const struct pd_replica *replica)
{
    return replica->raft;
}

void pd_replica_check(const struct pd_replica *replica)
{
    const struct pd_replica_config *config = &replica->config;
    if (replica->phase == PD_REPLICA_RUNNING && replica->install.state == PD_REPLICA_INSTALL_NONE) {
        pd_kv_check(replica->kv); /* what is half loaded is not whole yet */
    }
    pd_assert(replica->queue_head <= replica->queue_count);
    pd_assert(replica->proposal_count <= config->proposals_max);
    pd_assert(replica->expiries <= config->expiries_max);
    pd_assert(replica->store_durable <= replica->store_visible);
    uint64_t before = 0;
    uint32_t expiries = 0;
    for (uint32_t i = 0; i < replica->proposal_count; i++) {
        const struct pd_replica_proposal *proposal =
            &replica->proposals[(replica->proposal_head + i) % config->proposals_max];
        pd_assert(proposal->index > before);
        before = proposal->index;
        expiries += proposal->kind == PD_REPLICA_PROPOSAL_EXPIRY;
    }
    pd_assert(expiries == replica->expiries);
    pd_replica_large_check(replica);
    if (replica->raft == NULL || replica->phase != PD_REPLICA_RUNNING) {
        return;
    }
    pd_raft_check(replica->raft);
    if (replica->install.state == PD_REPLICA_INSTALL_NONE) {
        struct pd_kv_status kv;
        pd_kv_status(replica->kv, &kv);
        pd_assert(replica->apply_raft <= replica->apply_high);
        /* Raft comes by what an installed snapshot holds, entry by entry, if the log has it too. */
        pd_assert(kv.applied_index == replica->apply_raft ||
                  (replica->apply_raft < replica->install.chain.id.index &&
                   replica->install.chain.id.index <= kv.applied_index));
        pd_assert(replica->store_visible <= kv.applied_index);
        pd_assert(replica->proposal_count == 0 ||
                  replica->proposals[replica->proposal_head].index > replica->apply_raft);
    }
}
