/* Committed entries -> the kv machine, in bounded slices; its rows -> the store; its fetches -> the
 * owner. */
#include <string.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "base/sometimes.h"
#include "node/replica_internal.h"

void pd_replica_conf_save(struct pd_replica *replica, const struct pd_raft_conf *conf)
{
    replica->conf = *conf;
    replica->conf_bytes.size = 0;
    uint8_t *to = pd_replica_bytes_add(&replica->conf_bytes, PD_RAFT_WIRE_CONF_SIZE_MAX);
    replica->conf_bytes.size = pd_raft_wire_conf_put(to, conf);
}

/* `index` is applied, in kv and in raft. */
static void applied(struct pd_replica *replica, uint64_t index, uint64_t term,
                    struct pd_span answer, bool is_done)
{
    replica->apply_raft = index;
    replica->counters.applied++;
    pd_replica_watch_applied(replica); /* its events are borrowed from the kv: they go first */
    pd_replica_proposals_applied(replica, index, term, answer, is_done);
    pd_raft_apply_done(replica->raft, index);
    pd_replica_hash_applied(replica);
}

/* A change of the configuration: raft first, once; then the kv, as often as it takes. false: it
 * waits. */
static bool apply_conf(struct pd_replica *replica, const struct pd_raft_entry *entry,
                       bool kv_has_it)
{
    uint64_t index = entry->index;
    uint64_t term = entry->term;
    if (!replica->conf_is_made) {
        struct pd_raft_conf_change change;
        memset(&change, 0, sizeof(change));
        bool is_bad = pd_raft_conf_change_decode(entry->type, entry->data, &change) != PD_OK;
        struct pd_raft_conf conf = replica->conf;
        replica->conf_is_refused =
            pd_raft_apply_conf_change(replica->raft, &change, is_bad, &conf) != PD_OK || is_bad;
        pd_replica_conf_save(replica, &conf);
        replica->conf_is_made = true;
    }
    if (!kv_has_it) {
        struct pd_span bytes = {replica->conf_bytes.bytes, replica->conf_bytes.size};
        enum pd_status status = PD_MUTANT(NODE_RESTART_FORGETS_CONF)
                                    ? pd_kv_apply_empty(replica->kv, index, term)
                                    : pd_kv_apply_conf(replica->kv, index, term, bytes);
        if (status != PD_OK) {
            return false;
        }
    }
    replica->conf_is_made = false;
    struct pd_span none = {NULL, 0};
    applied(replica, index, term, none, !replica->conf_is_refused);
    return true;
}

/* false: it waits for the store. */
static bool apply_begin(struct pd_replica *replica)
{
    struct pd_raft_entry entry;
    uint64_t index = replica->apply_raft + 1;
    enum pd_status found = pd_raft_entry_at(replica->raft, index, &entry);
    pd_assert(found == PD_OK); /* committed, and not yet reported as applied */
    uint64_t kv_index = pd_kv_applied_index(replica->kv);
    bool kv_has_it = index <= kv_index;
    pd_assert(kv_has_it || index == kv_index + 1);
    if (entry.type != PD_RAFT_ENTRY_NORMAL) {
        return apply_conf(replica, &entry, kv_has_it);
    }
    struct pd_span none = {NULL, 0};
    if (kv_has_it) {
        applied(replica, index, entry.term, none, false);
        return true;
    }
    if (entry.data.size == 0) {
        uint64_t term = entry.term;
        if (pd_kv_apply_empty(replica->kv, index, term) != PD_OK) {
            return false;
        }
        applied(replica, index, term, none, true);
        return true;
    }
    replica->applying.size = 0;
    memcpy(pd_replica_bytes_add(&replica->applying, entry.data.size), entry.data.bytes,
           entry.data.size);
    replica->applying_term = entry.term;
    replica->is_applying = true;
    struct pd_span envelope = {replica->applying.bytes, replica->applying.size};
    pd_kv_apply_begin(replica->kv, index, entry.term, envelope);
    return true;
}

bool pd_replica_apply_step(struct pd_replica *replica)
{
    if (replica->phase != PD_REPLICA_RUNNING || replica->raft == NULL || replica->is_paused ||
        replica->install.state > PD_REPLICA_INSTALL_DRAINING) {
        return false;
    }
    if (!replica->is_applying) {
        /* What is under way is finished before a snapshot takes its place; nothing new begins. */
        if (replica->apply_raft >= replica->apply_high ||
            replica->install.state != PD_REPLICA_INSTALL_NONE) {
            return false;
        }
        if (!apply_begin(replica)) {
            replica->is_paused = true;
            return false;
        }
        if (!replica->is_applying) {
            return true;
        }
    }
    switch (pd_kv_apply_step(replica->kv, replica->config.apply_budget)) {
    case PD_KV_MORE:
        return true;
    case PD_KV_FETCH:
    case PD_KV_FULL:
        replica->is_paused = true;
        return false;
    case PD_KV_FAILED:
        if (pd_replica_version_stops(replica)) {
            return false;
        }
        replica->store_is_damaged = true;
        pd_replica_fatal(replica,
                         "the command at index %llu could not be applied: the store's rows "
                         "are damaged. Remove the store folder and start again: it is "
                         "rebuilt from the log or from another member",
                         (unsigned long long)replica->apply_raft + 1);
        return false;
    case PD_KV_DONE:
        break;
    }
    replica->is_applying = false;
    struct pd_kv_applied done;
    pd_kv_applied(replica->kv, &done);
    pd_replica_state_time_seen(replica);
    applied(replica, replica->apply_raft + 1, replica->applying_term, done.answer, true);
    return true;
}

/* Whether all that is applied is durable in this node's own log: with apply_unstable an entry is
 * applied when a majority holds it, and a store that is ahead of its log would not start again. */
static bool log_has_applied(const struct pd_replica *replica)
{
    bool has_it = replica->apply_raft <= pd_raft_stable(replica->raft);
    PD_SOMETIMES(NODE_STORE_WAITS_FOR_LOG, !has_it);
    return has_it || PD_MUTANT(NODE_STORE_AHEAD_OF_LOG);
}

/* One batch at a time goes to the store. */
bool pd_replica_store_step(struct pd_replica *replica)
{
    bool is_over = replica->install.state > PD_REPLICA_INSTALL_DRAINING ||
                   (replica->install.state == PD_REPLICA_INSTALL_DRAINING && !replica->is_applying);
    if (replica->phase != PD_REPLICA_RUNNING || replica->store_is_writing || is_over) {
        return false;
    }
    /* Its rows go with the others: under load too, removal keeps up with writing. */
    (void)pd_kv_background_step(replica->kv, replica->config.apply_budget);
    struct pd_kv_batch batch;
    if (!log_has_applied(replica) || !pd_kv_take_writes(replica->kv, &batch)) {
        return false;
    }
    replica->store_is_writing = true;
    replica->store_writing_index = batch.index;
    struct pd_replica_output *output = pd_replica_emit(replica, PD_REPLICA_STORE_WRITE);
    output->writes = batch.writes;
    output->write_count = batch.count;
    output->index = PD_MUTANT(NODE_APPLIED_AHEAD_OF_DATA) ? replica->apply_high : batch.index;
    return true;
}

/* The log can be cut up to what the store holds durably: it is flushed when that lags far, or when
 * the log's window, or its disk, has little room left. */
static void flush_if_due(struct pd_replica *replica)
{
    if (replica->store_is_flushing || replica->phase != PD_REPLICA_RUNNING ||
        replica->raft == NULL || replica->store_visible == replica->store_durable ||
        replica->install.state != PD_REPLICA_INSTALL_NONE) {
        return;
    }
    uint64_t lag = replica->store_visible - replica->store_durable;
    if (lag >= replica->config.flush_entries || replica->wants_room ||
        pd_raft_log_fill(replica->raft) >= PD_REPLICA_LOG_FILL_MAX) {
        replica->store_is_flushing = true;
        replica->wants_room = false;
        (void)pd_replica_emit(replica, PD_REPLICA_STORE_FLUSH);
    }
}

void pd_replica_make_room(struct pd_replica *replica)
{
    replica->wants_room = true;
    pd_replica_log_cut(replica);
    flush_if_due(replica);
}

void pd_replica_store_written(struct pd_replica *replica)
{
    if (replica->phase == PD_REPLICA_DEAD) {
        return;
    }
    if (replica->install.state == PD_REPLICA_INSTALL_WRITING) {
        pd_replica_install_written(replica);
        return;
    }
    pd_assert(replica->store_is_writing);
    replica->store_is_writing = false;
    replica->store_visible = replica->store_writing_index;
    pd_kv_written(replica->kv);
    replica->is_paused = false;
    flush_if_due(replica);
}

void pd_replica_store_durable(struct pd_replica *replica, uint64_t durable_index)
{
    if (replica->phase == PD_REPLICA_DEAD) {
        return;
    }
    if (replica->install.state == PD_REPLICA_INSTALL_FLUSHING) {
        pd_replica_install_flushed(replica, durable_index);
        return;
    }
    replica->store_is_flushing = false;
    if (durable_index > replica->store_durable && durable_index <= replica->store_visible) {
        replica->store_durable = durable_index;
        pd_replica_log_cut(replica);
    }
    flush_if_due(replica);
}

bool pd_replica_fetch_step(struct pd_replica *replica)
{
    struct pd_kv_fetch fetch;
    bool any = false;
    while (pd_kv_next_fetch(replica->kv, &fetch)) {
        replica->fetches_open++;
        pd_replica_emit(replica, PD_REPLICA_FETCH)->fetch = fetch;
        any = true;
    }
    return any;
}

void pd_replica_rows(struct pd_replica *replica, uint32_t fetch_id, enum pd_status status,
                     const struct pd_store_page *page)
{
    if (replica->phase == PD_REPLICA_DEAD) {
        return;
    }
    pd_assert(replica->fetches_open > 0);
    replica->fetches_open--;
    if (status == PD_OK) {
        status = pd_kv_supply(replica->kv, fetch_id, page);
    }
    if (status != PD_OK && status != PD_ERR_UNKNOWN &&
        replica->install.state > PD_REPLICA_INSTALL_DRAINING) {
        pd_replica_install_unreadable(replica);
        return;
    }
    if (status != PD_OK && status != PD_ERR_UNKNOWN) {
        replica->store_is_damaged = true;
        pd_replica_fatal(replica,
                         "the store's rows cannot be read (%s): remove the store folder and "
                         "start again: it is rebuilt from the log or from another member",
                         pd_status_text(status));
        return;
    }
    replica->is_paused = false;
}
