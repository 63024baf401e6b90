/* What a monitor asks for: numbers that whoever holds the core puts down with every tick, so that
 * nobody has to ask the core for them. */
#include "node/server_internal.h"

static void put(struct pd_server_gauges *gauges, enum pd_server_gauge gauge, uint64_t value)
{
    atomic_store_explicit(&gauges->values[gauge], value, memory_order_relaxed);
}

static uint64_t get(const struct pd_server_gauges *gauges, enum pd_server_gauge gauge)
{
    return atomic_load_explicit(&gauges->values[gauge], memory_order_relaxed);
}

static bool is_learner(const struct pd_server *server, const struct pd_raft_conf *conf)
{
    for (uint32_t i = 0; i < conf->learner_count; i++) {
        if (conf->learners[i] == server->identity.node_id) {
            return true;
        }
    }
    return false;
}

/* At the port for other nodes. */
static void put_transport(struct pd_server *server)
{
    struct pd_server_gauges *gauges = &server->gauges;
    struct pd_transport *transport = server->peers.transport;
    struct pd_transport_counters counters = {0};
    if (transport != NULL) {
        transport->ops->counters(transport, &counters);
        put(gauges, PD_SERVER_GAUGE_DATAGRAMS_DROPPED, counters.datagrams_dropped);
        put(gauges, PD_SERVER_GAUGE_VERSIONS_REFUSED, counters.versions_refused);
        put(gauges, PD_SERVER_GAUGE_BAD_TOKENS, counters.bad_tokens);
        put(gauges, PD_SERVER_GAUGE_CONNECTIONS_FAILED, counters.failed);
        put(gauges, PD_SERVER_GAUGE_CONNECTIONS_TIMED_OUT, counters.timed_out);
        put(gauges, PD_SERVER_GAUGE_BAD_FRAMES, counters.bad_frames);
        put(gauges, PD_SERVER_GAUGE_REFUSED_BUSY, counters.refused_busy);
        put(gauges, PD_SERVER_GAUGE_REFUSED_FLOOD, counters.refused_flood);
        put(gauges, PD_SERVER_GAUGE_REFUSED_KEY, counters.refused_key);
        put(gauges, PD_SERVER_GAUGE_SILENT, counters.silent);
        put(gauges, PD_SERVER_GAUGE_PEERS_MOVED, counters.peers_moved);
        put(gauges, PD_SERVER_GAUGE_OWN_MOVES, counters.own_moves);
        put(gauges, PD_SERVER_GAUGE_TRAINS, counters.trains);
        put(gauges, PD_SERVER_GAUGE_TRAINS_REFUSED, counters.trains_refused);
    }
}

void pd_server_gauges_publish(struct pd_server *server)
{
    struct pd_server_gauges *gauges = &server->gauges;
    const struct pd_replica_status *status = &server->status;
    pd_replica_status(server->replica, &server->status);
    uint64_t leader = status->raft.leader;
    if (leader != 0 && leader != gauges->leader_last) {
        gauges->leader_last = leader;
        put(gauges, PD_SERVER_GAUGE_LEADER_CHANGES,
            get(gauges, PD_SERVER_GAUGE_LEADER_CHANGES) + 1);
    }
    put(gauges, PD_SERVER_GAUGE_LEADER, leader);
    put(gauges, PD_SERVER_GAUGE_TERM, status->raft.hard_state.term);
    put(gauges, PD_SERVER_GAUGE_LAST_INDEX, status->raft.last_index);
    put(gauges, PD_SERVER_GAUGE_COMMITTED_INDEX, status->raft.hard_state.commit);
    put(gauges, PD_SERVER_GAUGE_APPLIED_INDEX, status->kv.applied_index);
    put(gauges, PD_SERVER_GAUGE_REVISION, (uint64_t)status->kv.revision);
    put(gauges, PD_SERVER_GAUGE_COMPACTED_REVISION, (uint64_t)status->kv.compacted_revision);
    put(gauges, PD_SERVER_GAUGE_KEY_COUNT, status->kv.key_count);
    put(gauges, PD_SERVER_GAUGE_LEASE_COUNT, status->kv.lease_count);
    put(gauges, PD_SERVER_GAUGE_PROPOSALS, status->counters.proposals);
    put(gauges, PD_SERVER_GAUGE_LARGE_WAITED, status->counters.large_waited);
    put(gauges, PD_SERVER_GAUGE_READS, status->counters.reads);
    put(gauges, PD_SERVER_GAUGE_READS_TURNED_AWAY, status->counters.reads_turned_away);
    put(gauges, PD_SERVER_GAUGE_READ_BYTES,
        status->kv.reads_held + atomic_load(&server->answers_away));
    put(gauges, PD_SERVER_GAUGE_SNAPSHOTS_SENT, status->counters.snapshots_sent);
    put(gauges, PD_SERVER_GAUGE_SNAPSHOTS_INSTALLED, status->counters.snapshots_installed);
    put(gauges, PD_SERVER_GAUGE_IS_LEARNER, is_learner(server, &status->raft.conf));
    put(gauges, PD_SERVER_GAUGE_DISK_IS_LOW, status->disk_is_low);
    put(gauges, PD_SERVER_GAUGE_CLUSTER_VERSION, status->kv.version);
    put_transport(server);
}

uint64_t pd_server_leader(const struct pd_server *server)
{
    return get(&server->gauges, PD_SERVER_GAUGE_LEADER);
}

void pd_server_figures(const struct pd_server *server, struct pd_server_figures *figures_out)
{
    const struct pd_server_gauges *gauges = &server->gauges;
    *figures_out = (struct pd_server_figures){
        .leader = get(gauges, PD_SERVER_GAUGE_LEADER),
        .leader_changes = get(gauges, PD_SERVER_GAUGE_LEADER_CHANGES),
        .term = get(gauges, PD_SERVER_GAUGE_TERM),
        .last_index = get(gauges, PD_SERVER_GAUGE_LAST_INDEX),
        .committed_index = get(gauges, PD_SERVER_GAUGE_COMMITTED_INDEX),
        .applied_index = get(gauges, PD_SERVER_GAUGE_APPLIED_INDEX),
        .revision = get(gauges, PD_SERVER_GAUGE_REVISION),
        .compacted_revision = get(gauges, PD_SERVER_GAUGE_COMPACTED_REVISION),
        .key_count = get(gauges, PD_SERVER_GAUGE_KEY_COUNT),
        .lease_count = get(gauges, PD_SERVER_GAUGE_LEASE_COUNT),
        .proposals = get(gauges, PD_SERVER_GAUGE_PROPOSALS),
        .large_waited = get(gauges, PD_SERVER_GAUGE_LARGE_WAITED),
        .reads = get(gauges, PD_SERVER_GAUGE_READS),
        .reads_turned_away = get(gauges, PD_SERVER_GAUGE_READS_TURNED_AWAY),
        .read_bytes = get(gauges, PD_SERVER_GAUGE_READ_BYTES),
        .snapshots_sent = get(gauges, PD_SERVER_GAUGE_SNAPSHOTS_SENT),
        .snapshots_installed = get(gauges, PD_SERVER_GAUGE_SNAPSHOTS_INSTALLED),
        .is_learner = get(gauges, PD_SERVER_GAUGE_IS_LEARNER),
        .disk_is_low = get(gauges, PD_SERVER_GAUGE_DISK_IS_LOW),
        .cluster_version = get(gauges, PD_SERVER_GAUGE_CLUSTER_VERSION),
        .version_limit = server->config.replica.kv.version_max,
        .datagrams_dropped = get(gauges, PD_SERVER_GAUGE_DATAGRAMS_DROPPED),
        .versions_refused = get(gauges, PD_SERVER_GAUGE_VERSIONS_REFUSED),
        .bad_tokens = get(gauges, PD_SERVER_GAUGE_BAD_TOKENS),
        .connections_failed = get(gauges, PD_SERVER_GAUGE_CONNECTIONS_FAILED),
        .connections_timed_out = get(gauges, PD_SERVER_GAUGE_CONNECTIONS_TIMED_OUT),
        .bad_frames = get(gauges, PD_SERVER_GAUGE_BAD_FRAMES),
        .peers_refused_busy = get(gauges, PD_SERVER_GAUGE_REFUSED_BUSY),
        .peers_refused_flood = get(gauges, PD_SERVER_GAUGE_REFUSED_FLOOD),
        .peers_refused_key = get(gauges, PD_SERVER_GAUGE_REFUSED_KEY),
        .connections_silent = get(gauges, PD_SERVER_GAUGE_SILENT),
        .peers_moved = get(gauges, PD_SERVER_GAUGE_PEERS_MOVED),
        .own_moves = get(gauges, PD_SERVER_GAUGE_OWN_MOVES),
        .trains = get(gauges, PD_SERVER_GAUGE_TRAINS),
        .trains_refused = get(gauges, PD_SERVER_GAUGE_TRAINS_REFUSED),
    };
    pd_histogram_read(&gauges->sync, &figures_out->sync);
    pd_histogram_read(&gauges->apply, &figures_out->apply);
    pd_histogram_read(&gauges->store_write, &figures_out->store_write);
}
