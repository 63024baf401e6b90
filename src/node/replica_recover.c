/* From what a node's disk kept to a replica that goes on.
 *
 * Truth      The log holds entries, term and vote; the store holds the state at its applied index,
 *            with the configuration of that index. A SNAPSHOT record of index 0 is the
 *            configuration that the first members began with.
 * Decision   The store's index lies in the log, or right before its beginning: go on from it.
 *            The store is gone or older than the log's beginning, and the log is whole: rebuild
 *            from entry 1. Else: fetch a snapshot from another member (PD_REPLICA_RESTORING); with
 *            nobody to ask, refuse and say how to restore. Never start empty where something was.
 *            The store is newer than the log: the log lost what was acknowledged: refuse. */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/mutant.h"
#include "base/sometimes.h"
#include "node/replica_internal.h"
#include "raft/conf_change.h"

#define SLACK_BYTES (1u << 20)

void pd_replica_recovered_free(struct pd_replica *replica)
{
    for (size_t i = 0; i < replica->recovered_count; i++) {
        pd_free(replica->recovered[i].data);
    }
    pd_free(replica->recovered);
    replica->recovered = NULL;
    replica->recovered_count = 0;
    replica->recovered_capacity = 0;
}

static uint64_t first_held(const struct pd_replica *replica)
{
    return replica->recovered_count == 0 ? 0 : replica->recovered[0].index;
}

static uint64_t last_held(const struct pd_replica *replica)
{
    return replica->recovered_count == 0 ? 0
                                         : replica->recovered[replica->recovered_count - 1].index;
}

/* Forget the entries from `index` on. */
static void drop_from(struct pd_replica *replica, uint64_t index)
{
    while (replica->recovered_count > 0 &&
           replica->recovered[replica->recovered_count - 1].index >= index) {
        pd_free(replica->recovered[--replica->recovered_count].data);
    }
}

static enum pd_status recover_entry(struct pd_replica *replica, const struct pd_wal_record *record)
{
    /* It replaces whatever lay at or behind it. One that leaves a gap follows a tail that a later
     * snapshot made worthless. */
    drop_from(replica, record->index);
    if (replica->recovered_count > 0 && record->index != last_held(replica) + 1) {
        drop_from(replica, 0);
    }
    if (record->index == 0 || record->kind > PD_RAFT_ENTRY_CONF_CHANGE_V2) {
        return PD_ERR_CORRUPT;
    }
    if (replica->recovered_count == replica->recovered_capacity) {
        uint32_t capacity = (uint32_t)replica->recovered_capacity;
        replica->recovered = pd_replica_grow(replica->recovered, &capacity, capacity + 1,
                                             sizeof replica->recovered[0]);
        replica->recovered_capacity = capacity;
    }
    struct pd_replica_recovered *kept = &replica->recovered[replica->recovered_count];
    *kept = (struct pd_replica_recovered){
        .index = record->index,
        .term = record->term,
        .type = (enum pd_raft_entry_type)record->kind,
        .size = record->payload.size,
    };
    if (kept->size > 0) {
        kept->data = pd_alloc(kept->size);
        if (kept->data == NULL) {
            return PD_ERR_NO_MEMORY;
        }
        memcpy(kept->data, record->payload.bytes, kept->size);
    }
    replica->recovered_count++;
    return PD_OK;
}

static enum pd_status recover_mark(struct pd_replica *replica, const struct pd_wal_record *record)
{
    if (pd_raft_wire_conf_get(record->payload, &replica->mark_conf) != PD_OK) {
        return PD_ERR_CORRUPT;
    }
    replica->has_mark = true;
    replica->mark_index = record->index;
    replica->mark_term = record->term;
    uint64_t first = first_held(replica);
    if (first == 0 || record->index < first) {
        return PD_OK; /* a new segment repeats what lies before the log's beginning */
    }
    const struct pd_replica_recovered *at =
        record->index <= last_held(replica) ? &replica->recovered[record->index - first] : NULL;
    if (at == NULL || at->term != record->term) {
        drop_from(replica, 0); /* as raft does: the snapshot takes the place of another history */
    }
    return PD_OK;
}

enum pd_status pd_replica_recover(struct pd_replica *replica, const struct pd_wal_record *record)
{
    if (record->group_id != replica->config.raft.group_id) {
        return PD_OK;
    }
    replica->is_log_used = true;
    switch (record->type) {
    case PD_WAL_ENTRY:
        return recover_entry(replica, record);
    case PD_WAL_HARD_STATE:
        if (record->term < replica->hard_state.term) {
            return PD_ERR_CORRUPT;
        }
        replica->hard_state.term = record->term;
        replica->hard_state.vote = record->node;
        if (record->index > replica->hard_state.commit) {
            replica->hard_state.commit = record->index;
        }
        return PD_OK;
    case PD_WAL_SNAPSHOT:
        return recover_mark(replica, record);
    case PD_WAL_FIRST:
        return PD_OK; /* what lies before may be missing: the entries themselves tell */
    }
    return PD_ERR_CORRUPT;
}

/* -- Decision ---------------------------------------------------------------------------------- */

static enum pd_status refuse(struct pd_replica *replica, const char *text)
{
    pd_replica_say(replica, "%s", text);
    replica->phase = PD_REPLICA_DEAD;
    return PD_ERR_INVALID;
}

static bool has_others(const struct pd_replica *replica)
{
    pd_raft_node own = replica->config.raft.id;
    const struct pd_raft_conf *conf = &replica->mark_conf;
    if (replica->config.is_alone) {
        return false;
    }
    for (uint32_t i = 0; i < conf->voter_count; i++) {
        if (conf->voters[i] != own) {
            return true;
        }
    }
    for (uint32_t i = 0; i < replica->config.peer_count; i++) {
        if (replica->peers[i] != own) {
            return true;
        }
    }
    return false;
}

static void load(struct pd_replica *replica)
{
    replica->phase = PD_REPLICA_LOADING;
    if (replica->is_log_used && replica->store_state.applied_index == 0) {
        /* It counts as empty, and may hold rows of a snapshot that was never complete. */
        replica->load_waits_for_reset = true;
        (void)pd_replica_emit(replica, PD_REPLICA_STORE_RESET);
        return;
    }
    pd_kv_load_begin(replica->kv);
}

void pd_replica_load_was_reset(struct pd_replica *replica)
{
    replica->load_waits_for_reset = false;
    pd_kv_load_begin(replica->kv);
}

static enum pd_status start_new(struct pd_replica *replica)
{
    if (replica->store_state.applied_index > 0) {
        return refuse(replica,
                      "the log is empty and the store is not: the log's folder was lost. Remove "
                      "this node from its cluster and add it as a new one; a single node must be "
                      "restored from a snapshot");
    }
    if (replica->config.start == PD_REPLICA_START_BOOTSTRAP) {
        const struct pd_raft_snapshot_meta meta = {.conf = replica->config.initial_conf};
        replica->mark_conf = meta.conf;
        replica->has_mark = true;
        pd_replica_log_snapshot(replica, &meta);
        load(replica);
        return PD_OK;
    }
    if (!has_others(replica)) {
        return refuse(replica, "the log is empty, though this node ran before, and no other member "
                               "is known: restore it from a snapshot");
    }
    /* Nothing is known of former votes: without state this node takes no part (RethinkDB). */
    replica->phase = PD_REPLICA_RESTORING;
    pd_replica_restore(replica);
    return PD_OK;
}

/* Whether the log tells everything from the first entry on. */
static bool is_whole(const struct pd_replica *replica)
{
    return replica->has_mark && replica->mark_index == 0 && first_held(replica) <= 1;
}

/* Whether the log goes on right where a state at `applied` ends. */
static bool continues(const struct pd_replica *replica, uint64_t applied)
{
    if (applied == 0) {
        return is_whole(replica);
    }
    if (replica->has_mark && applied == replica->mark_index) {
        return true;
    }
    uint64_t first = first_held(replica);
    return first > 0 && applied + 1 >= first && applied <= last_held(replica);
}

static bool is_beyond_log(const struct pd_replica *replica, uint64_t applied)
{
    return applied > last_held(replica) && (!replica->has_mark || applied > replica->mark_index);
}

enum pd_status pd_replica_start(struct pd_replica *replica,
                                const struct pd_replica_store_state *store, uint64_t now_ns,
                                uint64_t wall_ns)
{
    replica->now_ns = now_ns;
    replica->wall_ns = wall_ns;
    replica->store_state = *store;
    replica->round = pd_replica_first_round(replica);
    replica->transfer_next = replica->round;
    replica->newcomer_round = replica->round;
    if (store->is_lost) {
        replica->store_state.applied_index = 0;
        replica->store_state.durable_index = 0;
    }
    uint64_t applied = replica->store_state.applied_index;
    replica->store_visible = applied;
    replica->store_durable = applied;
    if (!replica->is_log_used) {
        return start_new(replica);
    }
    replica->term = replica->hard_state.term;
    if (is_beyond_log(replica, applied)) {
        pd_replica_say(replica,
                       "the log ends at entry %llu, before entry %llu that the store holds: what "
                       "was acknowledged is missing from the log. Remove this node from its "
                       "cluster and add it as a new one; a single node must be restored from a "
                       "snapshot",
                       (unsigned long long)last_held(replica), (unsigned long long)applied);
        replica->phase = PD_REPLICA_DEAD;
        return PD_ERR_CORRUPT;
    }
    if (PD_MUTANT(NODE_STARTS_EMPTY) && !continues(replica, applied)) {
        drop_from(replica, 0);
        replica->hard_state.commit = 0;
        load(replica);
        return PD_OK;
    }
    if (continues(replica, applied)) {
        PD_SOMETIMES(NODE_STORE_REBUILT, store->is_lost);
        load(replica);
        return PD_OK;
    }
    if (replica->config.is_alone) {
        return refuse(replica,
                      "its state is gone, and its log does not tell it from the first entry on: it "
                      "was taking over another member's state when it stopped, or its store was "
                      "lost. Recover another node, or restore a snapshot");
    }
    if (!has_others(replica)) {
        return refuse(replica,
                      "the store is gone or older than the log's beginning, and no other member is "
                      "known: restore this node from a snapshot");
    }
    PD_SOMETIMES(NODE_STORE_FETCHED, true);
    replica->phase = PD_REPLICA_RESTORING;
    pd_replica_restore(replica);
    return PD_OK;
}

/* -- The kv is loaded: raft begins ------------------------------------------------------------- */

/* What raft begins after: as much of the log stays as a follower that is a little behind may want.
 * The entries that follow the mark are recovered[*from_out ...]. */
static bool choose_mark(const struct pd_replica *replica, const struct pd_kv_status *kv,
                        struct pd_raft_snapshot_meta *mark_out, size_t *from_out)
{
    uint64_t applied = kv->applied_index;
    uint64_t first = first_held(replica);
    uint64_t last = last_held(replica);
    mark_out->index = applied;
    mark_out->term = applied == 0 ? 0 : kv->applied_term;
    *from_out = replica->recovered_count;
    if (first == 0 || applied > last || applied + 1 < first) {
        /* A snapshot takes the place of the log. */
        return true;
    }
    if (applied >= first && replica->recovered[applied - first].term != kv->applied_term) {
        /* A snapshot that was fetched: its history holds, not that of the log. */
        return replica->phase == PD_REPLICA_RESTORING;
    }
    uint64_t retain = replica->config.log_retain_entries;
    uint64_t index = applied > retain ? applied - retain : 0;
    if (index < first) {
        index = first - 1;
        bool is_known =
            index == 0 || index == applied || (replica->has_mark && replica->mark_index == index);
        index = is_known ? index : first;
    }
    *from_out = (size_t)(index + 1 - first);
    mark_out->index = index;
    if (index >= first) {
        mark_out->term = replica->recovered[index - first].term;
    } else if (index == 0) {
        mark_out->term = 0;
    } else if (index != applied) {
        mark_out->term = replica->mark_term;
    }
    return true;
}

/* The window takes what the log holds, whatever its limits are now. */
static void fit_window(const struct pd_replica *replica, size_t from, struct pd_raft_config *config)
{
    uint64_t bytes = SLACK_BYTES;
    uint64_t largest = 0;
    for (size_t i = from; i < replica->recovered_count; i++) {
        bytes += replica->recovered[i].size;
        largest = replica->recovered[i].size > largest ? replica->recovered[i].size : largest;
    }
    uint64_t entries = replica->recovered_count - from + 1024;
    if (entries > config->log_entries_max) {
        config->log_entries_max = (uint32_t)entries;
    }
    if (bytes + 2 * largest > config->log_bytes_max) {
        config->log_bytes_max = bytes + 2 * largest;
    }
}

static enum pd_status make_raft(struct pd_replica *replica,
                                const struct pd_raft_snapshot_meta *mark, size_t from,
                                uint64_t applied)
{
    struct pd_raft_config config = replica->config.raft;
    fit_window(replica, from, &config);
    struct pd_raft_restart restart = {
        .hard_state = replica->hard_state, .snapshot = *mark, .applied = applied};
    size_t size = pd_raft_size(&config);
    replica->raft_memory = pd_alloc(size);
    if (replica->raft_memory == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    struct pd_raft *raft = NULL;
    enum pd_status status = pd_raft_init(replica->raft_memory, size, &config, &restart, &raft);
    for (size_t i = from; status == PD_OK && i < replica->recovered_count; i++) {
        const struct pd_replica_recovered *kept = &replica->recovered[i];
        const struct pd_raft_entry entry = {.term = kept->term,
                                            .index = kept->index,
                                            .type = kept->type,
                                            .data = {kept->data, kept->size}};
        status = pd_raft_restore_entry(raft, &entry);
    }
    if (status == PD_OK) {
        status = pd_raft_start(raft);
    }
    if (status == PD_OK) {
        replica->raft = raft;
    }
    return status;
}

/* The configuration at the applied index: the store's, unless none was ever applied. */
static bool applied_conf(struct pd_replica *replica, struct pd_raft_conf *conf_out)
{
    struct pd_span bytes = pd_kv_conf(replica->kv);
    if (bytes.size == 0) {
        *conf_out = replica->mark_conf;
        return true;
    }
    return pd_raft_wire_conf_get(bytes, conf_out) == PD_OK;
}

/* What the log would have made of the configuration is remembered; what it says of members is
 * without effect. */
static void be_alone(struct pd_replica *replica, struct pd_raft_conf *conf, uint64_t applied)
{
    struct pd_replica_before *before = &replica->before;
    before->conf = *conf;
    for (size_t i = 0; i < replica->recovered_count; i++) {
        struct pd_replica_recovered *kept = &replica->recovered[i];
        struct pd_raft_conf_change change;
        struct pd_conf_result result;
        if (kept->type == PD_RAFT_ENTRY_NORMAL) {
            continue;
        }
        if (kept->index > applied &&
            pd_raft_conf_change_decode(kept->type, (struct pd_span){kept->data, kept->size},
                                       &change) == PD_OK &&
            pd_conf_apply(&before->conf, &change, &result) == PD_OK) {
            before->conf = result.conf;
        }
        kept->type = PD_RAFT_ENTRY_NORMAL;
        kept->size = 0;
    }
    struct pd_kv_status kv;
    pd_kv_status(replica->kv, &kv);
    bool is_in_log = last_held(replica) >= applied && replica->recovered_count > 0;
    before->last_index = is_in_log ? last_held(replica) : applied;
    before->last_term =
        is_in_log ? replica->recovered[replica->recovered_count - 1].term : kv.applied_term;
    memset(conf, 0, sizeof *conf);
    conf->voters[0] = replica->config.raft.id;
    conf->voter_count = 1;
}

void pd_replica_begin_raft(struct pd_replica *replica)
{
    struct pd_kv_status kv;
    pd_kv_status(replica->kv, &kv);
    struct pd_raft_snapshot_meta mark = {0};
    size_t from = 0;
    if (!applied_conf(replica, &mark.conf) || !choose_mark(replica, &kv, &mark, &from)) {
        replica->store_is_damaged = true;
        pd_replica_fatal(replica,
                         "log and store contradict each other at entry %llu. Remove the store "
                         "folder and start again: it is rebuilt from the log or from another "
                         "member",
                         (unsigned long long)kv.applied_index);
        return;
    }
    if (replica->config.is_alone) {
        be_alone(replica, &mark.conf, kv.applied_index);
    }
    enum pd_status status = make_raft(replica, &mark, from, kv.applied_index);
    if (status != PD_OK) {
        pd_replica_fatal(replica,
                         "the log ends at entry %llu, before entry %llu that is committed (%s): it "
                         "lost what was acknowledged. Remove this node from its cluster and add it "
                         "as a new one; a single node must be restored from a snapshot",
                         (unsigned long long)last_held(replica),
                         (unsigned long long)replica->hard_state.commit, pd_status_text(status));
        return;
    }
    pd_replica_recovered_free(replica);
    replica->conf = mark.conf;
    replica->cut_index = mark.index;
    replica->apply_raft = kv.applied_index;
    replica->apply_high = kv.applied_index;
    replica->term = replica->hard_state.term;
    replica->role = PD_RAFT_FOLLOWER;
    replica->leader = 0;
    replica->leader_seen_tick = replica->tick;
    replica->phase = PD_REPLICA_RUNNING;
    if (mark.conf.voter_count == 1 && mark.conf.voter_outgoing_count == 0 &&
        mark.conf.voters[0] == replica->config.raft.id) {
        /* Who is alone has nobody to wait for. When the log's end makes it more than one, it is
         * refused here, or loses: no harm. */
        enum pd_status campaign = pd_raft_campaign(replica->raft);
        (void)campaign;
    }
}

void pd_replica_verify_step(struct pd_replica *replica)
{
    if (!replica->is_verifying) {
        return;
    }
    switch (pd_kv_verify_step(replica->kv, replica->config.apply_budget)) {
    case PD_KV_MORE:
    case PD_KV_FETCH:
    case PD_KV_FULL:
        return;
    case PD_KV_FAILED:
        replica->store_is_damaged = true;
        pd_replica_fatal(replica,
                         "the store's rows are not what their hash says: a row was lost or changed "
                         "since the last start. Remove the store folder and start again: it is "
                         "rebuilt from the log or from another member");
        return;
    case PD_KV_DONE:
        replica->is_verifying = false;
        replica->counters.verifications++;
        return;
    }
}

/* true: there is more. */
bool pd_replica_load_step(struct pd_replica *replica)
{
    if (replica->load_waits_for_reset) {
        return false;
    }
    switch (pd_kv_load_step(replica->kv, replica->config.apply_budget)) {
    case PD_KV_MORE:
        return true;
    case PD_KV_FETCH:
    case PD_KV_FULL:
        return false;
    case PD_KV_FAILED:
        if (pd_replica_version_stops(replica)) {
            return false;
        }
        pd_replica_rows_are_damaged(replica);
        return false;
    case PD_KV_DONE:
        break;
    }
    struct pd_kv_status kv;
    pd_kv_status(replica->kv, &kv);
    if (kv.applied_index != replica->store_state.applied_index) {
        replica->store_is_damaged = true;
        pd_replica_fatal(replica,
                         "the store says that it holds entry %llu and its rows say %llu. Remove "
                         "the store folder and start again: it is rebuilt from the log or from "
                         "another member",
                         (unsigned long long)replica->store_state.applied_index,
                         (unsigned long long)kv.applied_index);
        return false;
    }
    pd_replica_begin_raft(replica);
    if (replica->phase != PD_REPLICA_RUNNING) {
        return false;
    }
    pd_kv_verify_begin(replica->kv);
    replica->is_verifying = true;
    return true;
}
