/* The shipping replica over the shipping log, on a simulated disk and a store that lags: what
 * src/node does with threads is done here with events. */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/hash.h"
#include "node/replica.h"
#include "sim/core_replica.h"
#include "sim/queue.h"
#include "store/memory.h"

#define MS PD_SIM_MS_NS
#define RETRY_NS (100u * (uint64_t)MS) /* between two tries of a log that has no space */
#define CLUSTER_ID 0x70616e646f5f3031u
#define KIB 1024u
#define TURNS 4u /* of forwards that are served here, after one event */

static struct replica_core *core_of(struct pd_sim_machine *machine)
{
    return machine->core;
}

/* -- The log ----------------------------------------------------------------------------------- */

static void free_records(struct pd_sim_batch *batch)
{
    pd_free(batch->records);
    pd_free(batch->payload);
    *batch = (struct pd_sim_batch){0};
}

/* What is written, for the world's record of what is durable; and the whole of it while the log has
 * no space for it. */
static void copy_records(struct pd_sim_batch *batch, const struct pd_replica_output *output)
{
    size_t size = 0;
    for (uint32_t i = 0; i < output->record_count; i++) {
        size += output->records[i].payload.size;
    }
    batch->ticket = output->ticket;
    batch->count = output->record_count;
    batch->records = pd_sim_alloc(output->record_count * sizeof batch->records[0]);
    batch->payload = pd_sim_alloc(size + 1);
    size_t at = 0;
    for (uint32_t i = 0; i < output->record_count; i++) {
        struct pd_span *payload = &batch->records[i].payload;
        batch->records[i] = output->records[i];
        if (payload->size > 0) {
            memcpy(batch->payload + at, payload->bytes, payload->size);
        }
        payload->bytes = batch->payload + at;
        at += payload->size;
    }
}

static void note_durable(struct replica_core *core)
{
    struct pd_sim_machine *machine = core->machine;
    for (uint32_t i = 0; i < core->batch.count; i++) {
        const struct pd_wal_record *record = &core->batch.records[i];
        if (record->type == PD_WAL_ENTRY) {
            pd_sim_world_durable_entry(machine, record->index, record->term);
        } else if (record->type == PD_WAL_HARD_STATE) {
            pd_sim_world_durable_state(machine, record->term, record->node);
        }
    }
    /* The folder is in use from here on: whoever starts this node again says so. */
    machine->start = PD_SIM_START_EXISTING;
}

static void tell_space(struct replica_core *core)
{
    bool is_low = core->waits_for_space || pd_wal_is_low(core->wal);
    if (is_low != core->is_low) {
        PD_SOMETIMES(SIM_DISK_RECOVERED, !is_low);
        core->is_low = is_low;
        pd_replica_disk_low(core->replica, is_low);
    }
    if (is_low && !core->is_retrying) {
        core->is_retrying = true;
        pd_sim_world_after(core->machine, RETRY_NS, PD_SIM_DONE_SPACE, 0);
    }
}

static void write_log(struct replica_core *core)
{
    struct pd_sim_machine *machine = core->machine;
    enum pd_status status = pd_wal_write(core->wal, core->batch.records, core->batch.count);
    core->waits_for_space = status == PD_ERR_FULL;
    if (status == PD_OK) {
        uint64_t takes = pd_sim_world_disk_time(machine, machine->world->config.disk_sync_ns);
        pd_sim_world_after(machine, takes, PD_SIM_DONE_SYNC, 0);
    } else if (status != PD_ERR_FULL) {
        pd_fatal("the log's write of %u records failed: %s", core->batch.count,
                 pd_status_text(status));
    }
    tell_space(core);
}

/* Off the path of a write: nothing is under way. */
static void maintain(struct replica_core *core)
{
    bool more = true;
    for (uint32_t i = 0; i < 4 && more && core->batch.ticket == 0; i++) {
        enum pd_status status = pd_wal_maintain(core->wal, &more);
        if (status == PD_ERR_FULL) {
            break;
        }
        if (status != PD_OK) {
            pd_fatal("the log's folder failed: %s", pd_status_text(status));
        }
    }
    tell_space(core);
}

static void synced(struct replica_core *core)
{
    enum pd_status status = pd_wal_sync(core->wal);
    if (status != PD_OK) {
        pd_fatal("the log's sync failed: %s", pd_status_text(status));
    }
    note_durable(core);
    uint64_t ticket = core->batch.ticket;
    free_records(&core->batch);
    if (core->needs_care || core->is_low || ++core->syncs % 16 == 0) {
        core->needs_care = false;
        maintain(core);
    }
    pd_replica_log_durable(core->replica, ticket);
}

/* The log had no space: perhaps it has some now. */
static void space_again(struct replica_core *core)
{
    core->is_retrying = false;
    if (core->waits_for_space) {
        bool more = false;
        (void)!pd_wal_maintain(core->wal, &more);
        write_log(core);
    } else {
        maintain(core);
    }
}

/* -- The store --------------------------------------------------------------------------------- */

static struct pd_store *store_of(struct replica_core *core)
{
    return core->machine->store;
}

static uint64_t disk_time(struct replica_core *core, uint64_t usual_ns)
{
    return pd_sim_world_disk_time(core->machine, usual_ns);
}

static void stored(struct replica_core *core)
{
    enum pd_status status = store_of(core)->ops->apply(store_of(core), core->writes,
                                                       core->write_count, core->write_index);
    pd_assert(status == PD_OK);
    core->writes = NULL;
    pd_replica_store_written(core->replica);
}

static void flushed(struct replica_core *core)
{
    enum pd_status status = store_of(core)->ops->flush(store_of(core));
    pd_assert(status == PD_OK);
    pd_replica_store_durable(core->replica, store_of(core)->ops->durable_index(store_of(core)));
}

static void was_reset(struct replica_core *core)
{
    enum pd_status status = store_of(core)->ops->reset(store_of(core));
    pd_assert(status == PD_OK);
    core->machine->store_is_damaged = false;
    pd_replica_store_was_reset(core->replica);
}

static void copy_span(struct pd_sim_bytes *to, struct pd_span from)
{
    to->bytes = pd_sim_grow(to->bytes, &to->capacity, from.size + 1, 1);
    to->size = from.size;
    if (from.size > 0) {
        memcpy(to->bytes, from.bytes, from.size);
    }
}

/* A fetch or a snapshot's read waits for its turn at the store. */
static void store_read(struct replica_core *core, const struct pd_replica_output *output)
{
    uint32_t place = 0;
    while (place < core->read_count && core->reads[place].is_open) {
        place++;
    }
    if (place == core->read_count) {
        core->reads = pd_sim_grow(core->reads, &core->read_capacity, core->read_count + 1,
                                  sizeof core->reads[0]);
        core->reads[core->read_count++] = (struct pd_sim_store_read){0};
    }
    struct pd_sim_store_read *read = &core->reads[place];
    read->is_open = true;
    read->is_snapshot = output->kind == PD_REPLICA_SNAPSHOT_READ;
    read->transfer = output->transfer;
    read->fetch = output->fetch;
    copy_span(&read->low, output->fetch.low);
    copy_span(&read->high, output->fetch.high);
    pd_sim_world_after(core->machine, disk_time(core, core->machine->world->config.store_read_ns),
                       PD_SIM_DONE_READ, place);
}

static struct pd_sim_view_held *view_of(struct replica_core *core, uint64_t transfer)
{
    for (uint32_t i = 0; i < PD_SIM_VIEWS_MAX; i++) {
        if (core->views[i].view != NULL && core->views[i].transfer == transfer) {
            return &core->views[i];
        }
    }
    return NULL;
}

static enum pd_status scan(struct replica_core *core, const struct pd_sim_store_read *read,
                           struct pd_store_page *page)
{
    const struct pd_span low = {read->low.bytes, read->low.size};
    const struct pd_span high = {read->high.bytes, read->high.size};
    struct pd_store *store = store_of(core);
    if (!read->is_snapshot) {
        return store->ops->scan(store, low, high, read->fetch.descending, page);
    }
    const struct pd_sim_view_held *held = view_of(core, read->transfer);
    return held == NULL ? PD_ERR_CLOSED : store->ops->view_scan(held->view, low, high, page);
}

static void read_done(struct replica_core *core, uint64_t place)
{
    struct pd_sim_store_read *read = &core->reads[place];
    struct pd_store_page page = {
        .bytes = core->page, .bytes_max = core->page_size, .rows_max = read->fetch.rows_max};
    if (read->fetch.bytes_max > 0 && read->fetch.bytes_max < page.bytes_max) {
        page.bytes_max = read->fetch.bytes_max;
    }
    enum pd_status status = PD_ERR_CORRUPT;
    if (!core->machine->store_is_damaged) {
        status = scan(core, read, &page);
        if (status == PD_ERR_RANGE) {
            page.bytes_max = core->page_size;
            status = scan(core, read, &page);
        }
    }
    uint64_t transfer = read->transfer;
    uint32_t fetch = read->fetch.id;
    bool is_snapshot = read->is_snapshot;
    read->is_open = false;
    if (!is_snapshot) {
        pd_replica_rows(core->replica, fetch, status, &page);
    } else if (view_of(core, transfer) != NULL) {
        pd_replica_snapshot_rows(core->replica, transfer, status, &page);
    }
}

static void open_view(struct replica_core *core, uint64_t transfer)
{
    for (uint32_t i = 0; i < PD_SIM_VIEWS_MAX; i++) {
        struct pd_sim_view_held *held = &core->views[i];
        if (held->view == NULL) {
            held->view = store_of(core)->ops->view_open(store_of(core));
            held->transfer = transfer;
            pd_assert(held->view != NULL);
            pd_replica_snapshot_opened(core->replica, transfer, PD_OK,
                                       store_of(core)->ops->view_index(held->view));
            return;
        }
    }
    pd_replica_snapshot_opened(core->replica, transfer, PD_ERR_FULL, 0);
}

static void close_view(struct replica_core *core, struct pd_sim_view_held *held)
{
    if (held != NULL && held->view != NULL) {
        store_of(core)->ops->view_close(held->view);
        held->view = NULL;
    }
}

/* -- Outputs ----------------------------------------------------------------------------------- */

static void serve_log_cut(struct replica_core *core, uint64_t index)
{
    uint64_t durable = store_of(core)->ops->durable_index(store_of(core));
    if (index > durable) {
        pd_sim_world_fail(core->machine->world,
                          "node %u cuts its log below %llu, though its store holds no more than "
                          "%llu durably",
                          core->machine->number, (unsigned long long)index,
                          (unsigned long long)durable);
    }
    pd_wal_cut(core->wal, 0, index);
    core->needs_care = true;
}

static void serve(struct replica_core *core, const struct pd_replica_output *output)
{
    struct pd_sim_machine *machine = core->machine;
    const struct pd_sim_config *config = &machine->world->config;
    switch (output->kind) {
    case PD_REPLICA_SEND:
        /* What the network does with it is no concern of a replica. */
        (void)machine->transport.base.ops->send(&machine->transport.base, output->node,
                                                output->lane, output->bytes);
        break;
    case PD_REPLICA_LOG_WRITE:
        pd_assert(core->batch.ticket == 0); /* one at a time */
        copy_records(&core->batch, output);
        write_log(core);
        break;
    case PD_REPLICA_LOG_CUT:
        serve_log_cut(core, output->index);
        break;
    case PD_REPLICA_STORE_WRITE:
        pd_assert(core->writes == NULL);
        core->writes = output->writes;
        core->write_count = output->write_count;
        core->write_index = output->index;
        pd_sim_world_after(machine, disk_time(core, config->store_lag_ns), PD_SIM_DONE_STORE, 0);
        break;
    case PD_REPLICA_STORE_FLUSH:
        pd_sim_world_after(machine, disk_time(core, config->store_flush_ns), PD_SIM_DONE_FLUSH, 0);
        break;
    case PD_REPLICA_STORE_RESET:
        pd_sim_world_after(machine, disk_time(core, 5 * (uint64_t)MS), PD_SIM_DONE_RESET, 0);
        break;
    case PD_REPLICA_FETCH:
    case PD_REPLICA_SNAPSHOT_READ:
        store_read(core, output);
        break;
    case PD_REPLICA_ANSWER:
        if (!pd_sim_peers_answered(&core->peers, output)) {
            pd_sim_world_answer(machine, output->client, output->correlation, output->bytes);
        }
        break;
    case PD_REPLICA_SNAPSHOT_OPEN:
        pd_sim_world_after(machine, disk_time(core, config->store_read_ns), PD_SIM_DONE_VIEW,
                           output->transfer);
        break;
    case PD_REPLICA_SNAPSHOT_CLOSE:
        close_view(core, view_of(core, output->transfer));
        break;
    case PD_REPLICA_SLOW: /* nobody looks at requests' time */
        break;
    case PD_REPLICA_NOTE:
        pd_sim_world_note(machine, output->text);
        break;
    case PD_REPLICA_FATAL:
        pd_replica_status(core->replica, &core->status);
        machine->is_too_old = core->status.kv.wanted_version != 0;
        if (pd_replica_store_is_damaged(core->replica)) {
            machine->store_was_lost = true; /* its supervisor puts an empty one in its place */
        }
        pd_fatal("%s", output->text);
    }
}

/* Serve what the event caused, and do the work that is due: some of it after other events. */
static void work(struct replica_core *core)
{
    struct pd_replica_output output;
    uint32_t slices = core->machine->world->config.slices_max;
    bool more = true;
    while (more) {
        while (pd_replica_next(core->replica, &output)) {
            serve(core, &output);
        }
        if (slices-- == 0) {
            break;
        }
        more = pd_replica_step(core->replica);
    }
    if (more && !core->is_stepping) {
        core->is_stepping = true;
        pd_sim_world_after(core->machine, core->machine->world->config.store_read_ns / 8,
                           PD_SIM_DONE_SLICE, 0);
    }
    if (core->needs_care && core->batch.ticket == 0) {
        core->needs_care = false;
        maintain(core);
    }
}

/* As the server does after the replica's work. */
static void turn(struct replica_core *core, bool is_tick)
{
    for (uint32_t i = 0; i < TURNS && pd_sim_peers_turn(&core->peers, is_tick && i == 0); i++) {
        work(core);
    }
}

static void pump(struct replica_core *core)
{
    work(core);
    turn(core, false);
}

static void look_at_clock(struct replica_core *core)
{
    struct pd_sim_machine *machine = core->machine;
    uint64_t now_ns = machine->world->now_ns;
    uint64_t boot_ns = pd_sim_clock_boot_ns(&machine->clock, now_ns);
    pd_replica_clock(core->replica, boot_ns, pd_sim_clock_wall_ns(&machine->clock, now_ns));
    pd_sim_peers_clock(&core->peers, boot_ns);
}

/* -- Events ------------------------------------------------------------------------------------ */

static void core_tick(struct pd_sim_machine *machine)
{
    struct replica_core *core = core_of(machine);
    look_at_clock(core);
    pd_replica_tick(core->replica);
    work(core);
    turn(core, true);
}

static void core_message(void *state, uint64_t from, enum pd_transport_lane lane,
                         struct pd_span bytes)
{
    struct replica_core *core = state;
    (void)lane;
    look_at_clock(core);
    if (!pd_sim_peers_message(&core->peers, from, bytes)) {
        pd_replica_message(core->replica, from, bytes.bytes, bytes.size);
    }
    pump(core);
}

static void core_lost(void *state, uint64_t node)
{
    struct replica_core *core = state;
    look_at_clock(core);
    pd_replica_unreachable(core->replica, node);
    pd_sim_peers_lost(&core->peers, node);
    pump(core);
}

static void core_removed(void *state, uint64_t node)
{
    struct replica_core *core = state;
    look_at_clock(core);
    pd_sim_peers_removed(&core->peers, node);
}

static void core_request(struct pd_sim_machine *machine, uint64_t client, uint64_t correlation,
                         const uint8_t *bytes, size_t size)
{
    struct replica_core *core = core_of(machine);
    look_at_clock(core);
    if (!pd_sim_peers_take(&core->peers, client, correlation, (struct pd_span){bytes, size})) {
        pd_replica_request(core->replica, 0, client, correlation, bytes, size);
    }
    pump(core);
}

static void core_gone(struct pd_sim_machine *machine, uint64_t client)
{
    struct replica_core *core = core_of(machine);
    look_at_clock(core);
    pd_replica_client_gone(core->replica, client);
    pd_sim_peers_gone(&core->peers, client);
    pump(core);
}

static void core_order(struct pd_sim_machine *machine, const struct pd_sim_order *order)
{
    static const enum pd_replica_request_kind kinds[] = {
        [PD_SIM_ORDER_ENTER] = PD_REPLICA_REQUEST_WRITE,
        [PD_SIM_ORDER_ADD_LEARNER] = PD_REPLICA_REQUEST_ADD_LEARNER,
        [PD_SIM_ORDER_PROMOTE] = PD_REPLICA_REQUEST_PROMOTE,
        [PD_SIM_ORDER_REMOVE] = PD_REPLICA_REQUEST_REMOVE,
        [PD_SIM_ORDER_TRANSFER] = PD_REPLICA_REQUEST_TRANSFER,
        [PD_SIM_ORDER_LEAVE] = PD_REPLICA_REQUEST_LEAVE,
    };
    struct replica_core *core = core_of(machine);
    uint8_t bytes[PD_REPLICA_REQUEST_HEAD_SIZE + 2 * PD_SIM_MEMBER_BYTES_MAX];
    size_t size = PD_REPLICA_REQUEST_HEAD_SIZE;
    const struct pd_replica_request_head head = {.kind = kinds[order->kind], .number = order->node};
    pd_replica_request_put_head(bytes, &head);
    if (order->kind == PD_SIM_ORDER_ENTER) {
        size += pd_sim_peers_put_entry(bytes + size, sizeof bytes - size, order->node);
    }
    if (order->is_forwarded) {
        core_request(machine, PD_SIM_CLIENT_OPERATOR, 0, bytes, size);
        return;
    }
    /* For this machine, now: what faults may take from a quorum is counted so. */
    look_at_clock(core);
    pd_replica_request(core->replica, 0, PD_SIM_CLIENT_OPERATOR, 0, bytes, size);
    pump(core);
}

static void core_done(struct pd_sim_machine *machine, uint32_t what, uint64_t value)
{
    struct replica_core *core = core_of(machine);
    look_at_clock(core);
    switch ((enum pd_sim_done)what) {
    case PD_SIM_DONE_SYNC:
        synced(core);
        break;
    case PD_SIM_DONE_SPACE:
        space_again(core);
        break;
    case PD_SIM_DONE_STORE:
        stored(core);
        break;
    case PD_SIM_DONE_FLUSH:
        flushed(core);
        break;
    case PD_SIM_DONE_RESET:
        was_reset(core);
        break;
    case PD_SIM_DONE_READ:
        read_done(core, value);
        break;
    case PD_SIM_DONE_VIEW:
        open_view(core, value);
        break;
    case PD_SIM_DONE_SLICE:
        core->is_stepping = false;
        break;
    }
    pump(core);
}

/* -- Looking in -------------------------------------------------------------------------------- */

static void core_view(struct pd_sim_machine *machine, struct pd_sim_view *view_out)
{
    struct replica_core *core = core_of(machine);
    struct pd_replica_status *status = &core->status;
    pd_replica_status(core->replica, status);
    bool has_raft = pd_replica_raft(core->replica) != NULL;
    *view_out = (struct pd_sim_view){
        .has_raft = has_raft,
        .role = status->raft.role,
        .term = status->raft.hard_state.term,
        .vote = status->raft.hard_state.vote,
        .leader = status->raft.leader,
        .commit = status->raft.hard_state.commit,
        .applied = status->raft.applied,
        .first_index = status->raft.first_index,
        .last_index = status->raft.last_index,
        .has_state = status->phase == PD_REPLICA_RUNNING && !status->kv.is_applying &&
                     status->kv.applied_index == status->raft.applied,
        .revision = status->kv.revision,
        .compacted = status->kv.compacted_revision,
        .state_time_ns = status->kv.state_time_ns,
        .fold_hash = status->kv.fold_hash,
        .set_hash = status->kv.set_hash,
        .lease_count = status->kv.lease_count,
        .session_count = status->kv.session_count,
        .key_count = status->kv.key_count,
        .version = status->kv.version,
        .snapshots_installed = status->counters.snapshots_installed,
        .store_index = store_of(core)->ops->durable_index(store_of(core)),
    };
}

static void core_conf(struct pd_sim_machine *machine, struct pd_raft_conf *conf_out)
{
    const struct pd_raft *raft = pd_replica_raft(core_of(machine)->replica);
    memset(conf_out, 0, sizeof *conf_out);
    if (raft != NULL) {
        struct pd_raft_status *status = &core_of(machine)->status.raft;
        pd_raft_status(raft, status);
        *conf_out = status->conf;
    }
}

static enum pd_status core_entry(struct pd_sim_machine *machine, uint64_t index,
                                 struct pd_raft_entry *entry_out)
{
    const struct pd_raft *raft = pd_replica_raft(core_of(machine)->replica);
    return raft == NULL ? PD_ERR_UNKNOWN : pd_raft_entry_at(raft, index, entry_out);
}

static void core_directory(struct pd_sim_machine *machine, uint32_t *live_out,
                           uint32_t *removed_out)
{
    pd_sim_peers_standings(&core_of(machine)->peers, live_out, removed_out);
}

static void core_check(struct pd_sim_machine *machine)
{
    pd_replica_check(core_of(machine)->replica);
}

/* -- Life -------------------------------------------------------------------------------------- */

static void core_close(struct pd_sim_machine *machine)
{
    struct replica_core *core = core_of(machine);
    machine->transport.base.ops->stop(&machine->transport.base);
    for (uint32_t i = 0; i < PD_SIM_VIEWS_MAX; i++) {
        close_view(core, &core->views[i]);
    }
    pd_sim_peers_deinit(&core->peers);
    pd_replica_close(core->replica);
    pd_wal_close(core->wal);
    for (uint32_t i = 0; i < core->read_count; i++) {
        pd_free(core->reads[i].low.bytes);
        pd_free(core->reads[i].high.bytes);
    }
    pd_free(core->reads);
    pd_free(core->page);
    pd_free(core->recovered);
    free_records(&core->batch);
    pd_free(core);
    machine->core = NULL;
}

void pd_sim_core_kv_config(const struct pd_sim_config *config, struct pd_kv_config *kv_out)
{
    *kv_out = pd_kv_config_default();
    kv_out->limits =
        (struct pd_kv_limits){.key_bytes_max = 16, .request_bytes_max = 1024, .txn_ops_max = 8};
    kv_out->answer_bytes_max = 8 * KIB;
    kv_out->leases_max = 256;
    kv_out->lease_ttl_min_s = 1;
    kv_out->state_time_step_max_ns = config->time_step_ns;
    kv_out->sessions_max = 4096; /* more than can be forgotten: docs/simulator.md */
    kv_out->session_window_max = 4;
    kv_out->session_answer_bytes_max = 64 * KIB;
    kv_out->answers_bytes_max = 1024 * KIB;
    kv_out->overlay_bytes = config->kv_overlay_bytes;
    kv_out->cache_bytes = config->kv_cache_bytes;
    /* With the small cache: none, so that rows are looked for. Else one that is soon full. */
    kv_out->seen_bytes = config->kv_cache_bytes < 8 * KIB ? 0 : 256;
    kv_out->reads_max = config->kv_reads_max;
    kv_out->histories_max = config->kv_reads_max < 4 ? 1 : 4; /* tiny, or as shipped */
    kv_out->read_bytes_max = 64 * KIB;
    kv_out->prefetch_max = 8;
    kv_out->page_bytes = config->kv_page_bytes;
    kv_out->events_max = config->kv_events_max;
    kv_out->event_bytes_max = 16 * KIB;
    kv_out->writes_max = config->kv_writes_max;
}

static void configure_raft(const struct pd_sim_machine *machine, struct pd_raft_config *raft)
{
    const struct pd_sim_config *limits = &machine->world->config;
    *raft = pd_raft_config_default();
    raft->id = machine->number;
    raft->seed = machine->world->config.seed * 1000 + machine->life * 20 + machine->number;
    raft->election_ticks = limits->election_ticks;
    raft->heartbeat_ticks = limits->heartbeat_ticks;
    raft->lease_reads = limits->lease_reads;
    raft->lease_ns = limits->tick_ns * limits->election_ticks / 10 * 9;
    raft->apply_unstable = limits->apply_unstable;
    raft->append_bytes_max = limits->append_bytes_max;
    raft->committed_bytes_max = limits->committed_bytes_max;
    raft->uncommitted_bytes_max = limits->uncommitted_bytes_max;
    raft->inflight_max = limits->inflight_max;
    raft->inflight_bytes_max = limits->inflight_bytes_max;
    raft->reads_max = limits->reads_max;
    raft->log_entries_max = 8192;
    raft->log_bytes_max = 1024 * KIB;
}

static void configure(const struct pd_sim_machine *machine, struct pd_replica_config *config)
{
    const struct pd_sim_config *limits = &machine->world->config;
    *config = pd_replica_config_default();
    config->cluster_id = CLUSTER_ID;
    config->start = machine->start == PD_SIM_START_BOOTSTRAP ? PD_REPLICA_START_BOOTSTRAP
                    : machine->start == PD_SIM_START_JOIN    ? PD_REPLICA_START_JOIN
                                                             : PD_REPLICA_START_EXISTING;
    config->initial_conf = machine->world->founders;
    config->peers = machine->world->founders.voters;
    config->peer_count = machine->world->founders.voter_count;
    configure_raft(machine, &config->raft);
    pd_sim_core_kv_config(limits, &config->kv);
    config->kv.version_max = machine->version_limit;
    config->raises_version = true;
    config->proposals_max = 256;
    config->watches_max = 16384; /* each life touches a list of as many */
    config->proposal_bytes_max = 64 * KIB;
    /* With the small cache: so that much waits in front of the log. Else as shipped. */
    config->large_bytes_max = limits->kv_cache_bytes < 8 * KIB ? 4 * KIB : config->large_bytes_max;
    config->reads_max = limits->reads_max;
    config->log_batch_bytes_max = limits->log_batch_bytes_max;
    config->request_ticks_max = 2 * limits->election_ticks;
    config->read_ticks_max = config->request_ticks_max;
    config->apply_budget = limits->apply_budget;
    config->overlay_reserve = limits->kv_overlay_bytes / 4;
    config->log_retain_entries = limits->log_retain_entries;
    config->flush_entries = limits->snapshot_every;
    config->hash_interval = limits->hash_interval;
    config->hash_ticks = 10;
    config->snapshot_chunk_bytes = limits->snapshot_chunk_bytes;
    config->snapshot_window = limits->snapshot_window;
    /* A chunk is acknowledged when it is in the store, however slow that is here. */
    config->snapshot_ticks = 6 + (uint32_t)(8 * limits->store_lag_ns / limits->tick_ns);
    config->expiries_max = 8;
    config->watches_max = 64;
    config->watch_bytes_max = 1024;
    config->compaction = PD_REPLICA_COMPACTION_OFF; /* the clients compact */
}

static uint64_t identity_of(uint32_t number)
{
    return pd_hash_u64(CLUSTER_ID, number);
}

static enum pd_status visit(void *state, const struct pd_wal_record *record)
{
    struct replica_core *core = state;
    if (record->type == PD_WAL_ENTRY) {
        core->recovered = pd_sim_grow(core->recovered, &core->recovered_capacity,
                                      core->recovered_count + 1, sizeof core->recovered[0]);
        core->recovered[core->recovered_count++] =
            (struct pd_sim_mark){.index = record->index, .term = record->term};
    } else if (record->type == PD_WAL_SNAPSHOT && record->index > core->mark.index) {
        core->mark = (struct pd_sim_mark){.index = record->index, .term = record->term};
    }
    return pd_replica_recover(core->replica, record);
}

static enum pd_status open_log(struct replica_core *core, const char **text_out)
{
    struct pd_sim_machine *machine = core->machine;
    const struct pd_wal_config config = {
        .identity = identity_of(machine->number),
        .segment_bytes = machine->world->config.segment_bytes,
        .segments_max = 64,
        .spare_segments = 1,
        .groups_max = 1,
        .mark_bytes_max = 2048,
        .reserve_bytes = machine->world->config.segment_bytes,
    };
    enum pd_status status =
        pd_wal_open(&machine->disk.base, &config, visit, core, &core->report, &core->wal);
    *text_out = core->report.text;
    if (status == PD_OK && core->report.identity != config.identity) {
        *text_out = "the log belongs to another node";
        return PD_ERR_INVALID;
    }
    return status;
}

static void open_store(struct replica_core *core, struct pd_replica_store_state *state_out)
{
    struct pd_sim_machine *machine = core->machine;
    bool is_lost = machine->store_was_lost;
    if (is_lost) {
        pd_sim_machine_lose_store(machine);
    }
    machine->store_was_lost = false;
    if (machine->store == NULL) {
        machine->store = pd_store_memory_open();
        pd_assert(machine->store != NULL);
    }
    *state_out = (struct pd_replica_store_state){
        .applied_index = machine->store->ops->applied_index(machine->store),
        .durable_index = machine->store->ops->durable_index(machine->store),
        .is_lost = is_lost,
    };
}

static enum pd_status core_open(struct pd_sim_machine *machine, const char **text_out)
{
    struct replica_core *core = pd_sim_alloc(sizeof *core);
    struct pd_replica_config config;
    struct pd_replica_store_state store;
    core->machine = machine;
    machine->core = core;
    configure(machine, &config);
    pd_sim_peers_configure(&core->peers, machine, &config);
    open_store(core, &store);
    enum pd_status status = pd_replica_open(&config, &core->replica);
    pd_assert(status == PD_OK);
    pd_sim_peers_begin(&core->peers, core->replica, &config);
    core->page_size = pd_kv_row_bytes_max(pd_replica_kv(core->replica)) + 64;
    core->page = pd_sim_alloc(core->page_size);
    status = open_log(core, text_out);
    if (status == PD_OK) {
        pd_sim_world_recovered(machine, core->recovered, core->recovered_count, &core->mark);
        uint64_t now_ns = machine->world->now_ns;
        status =
            pd_replica_start(core->replica, &store, pd_sim_clock_boot_ns(&machine->clock, now_ns),
                             pd_sim_clock_wall_ns(&machine->clock, now_ns));
        (void)snprintf(machine->refusal, sizeof machine->refusal, "%s",
                       pd_replica_text(core->replica));
        *text_out = machine->refusal;
    } else {
        (void)snprintf(machine->refusal, sizeof machine->refusal, "%s", *text_out);
        *text_out = machine->refusal;
    }
    if (status != PD_OK) {
        machine->store_was_lost = store.is_lost;
        core_close(machine);
        return status;
    }
    if (core->report.segments > 0 && core->report.records > 0) {
        machine->start = PD_SIM_START_EXISTING;
    }
    const struct pd_transport_handler handler = {
        .message = core_message, .lost = core_lost, .removed = core_removed, .state = core};
    machine->transport.base.ops->start(&machine->transport.base, &handler);
    pump(core);
    return PD_OK;
}

const struct pd_sim_core_ops pd_sim_core_replica = {
    .name = "replica",
    .open = core_open,
    .close = core_close,
    .tick = core_tick,
    .request = core_request,
    .gone = core_gone,
    .order = core_order,
    .done = core_done,
    .view = core_view,
    .conf = core_conf,
    .entry = core_entry,
    .directory = core_directory,
    .check = core_check,
};
