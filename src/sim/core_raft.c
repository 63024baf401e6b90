/* The raft core alone, over a plain log file and registers: it shows what consensus itself does,
 * without the log format and the store. Messages and records are encoded in core_raft_codec.c. */
#include "sim/core_raft.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/hash.h"
#include "sim/queue.h"
#include "sim/world.h"

#define LOG_NAME "log"
#define WHAT_SYNCED 1u
#define WHAT_STORED 2u
#define WHAT_FLUSHED 3u
#define WHAT_SNAPSHOT_SENT 4u
#define READS_MAX 64u
#define APPENDS_MAX 2048u
#define APPEND_TERMS 16u

struct pending_write {
    bool is_open;
    struct pd_sim_request request;
};

struct pending_read {
    bool is_open;
    bool has_index;
    uint64_t index;
    struct pd_sim_request request;
};

/* An append under way: what waits for it. */
struct append {
    struct pd_raft_append_mark mark;
    struct pd_sim_bytes messages; /* size u32, to u32, bytes; again and again */
    struct pd_raft_hard_state hard_state;
    uint64_t entry_first; /* in core->entries_written */
    uint64_t entry_count;
    uint64_t terms[APPEND_TERMS]; /* of its entries, for the world's record of what is durable */
};

struct raft_core {
    struct pd_sim_machine *machine;
    void *memory;
    struct pd_raft *raft;
    struct pd_disk_file file;
    uint64_t file_end;
    struct pd_sim_registers state;
    struct pd_sim_registers incoming; /* came with a snapshot message, until raft takes it */
    struct pending_write writes[PD_SIM_CLIENTS_MAX];
    struct pending_read reads[READS_MAX];
    struct append appends[APPENDS_MAX]; /* a ring, oldest first */
    uint32_t append_first;
    uint32_t append_count;
    uint32_t syncing; /* of them, covered by the sync under way */
    struct pd_sim_bytes scratch;
    bool is_storing;
    bool is_flushing;
    uint64_t boot_ns;
    uint64_t hash;
    uint64_t hash_index;
    uint64_t snapshots_installed;
};

static struct raft_core *core_of(struct pd_sim_machine *machine)
{
    return machine->core;
}

static struct pd_sim_register_store *store_of(struct pd_sim_machine *machine)
{
    if (machine->store == NULL) {
        machine->store = pd_sim_alloc(sizeof(struct pd_sim_register_store));
    }
    return machine->store;
}

/* -- Applying ---------------------------------------------------------------------------------- */

static void answer_write(struct raft_core *core, const struct pd_sim_request *command)
{
    struct pending_write *write = &core->writes[command->client];
    const struct pd_sim_session *session = &core->state.sessions[command->client];
    if (!write->is_open || write->request.session != command->session ||
        write->request.sequence != command->sequence || session->id != command->session ||
        session->sequence != command->sequence) {
        return;
    }
    write->is_open = false;
    const struct pd_sim_answer answer = {
        .client = command->client,
        .token = write->request.token,
        .status = session->has_failed != 0 ? PD_SIM_CAS_FAILED : PD_SIM_DONE,
        .revision = session->revision,
        .value = session->value,
        .mod_revision = session->mod_revision,
    };
    pd_sim_world_answer(core->machine, &answer);
}

static void apply_command(struct raft_core *core, const struct pd_sim_request *command)
{
    struct pd_sim_session *session = &core->state.sessions[command->client];
    struct pd_sim_register *held = &core->state.keys[command->key];
    if (command->session < session->id ||
        (command->session == session->id && command->sequence <= session->sequence)) {
        return; /* an old session's, or done before: the stored answer stands */
    }
    *session = (struct pd_sim_session){.id = command->session, .sequence = command->sequence};
    if (command->op == PD_SIM_CAS && held->value != command->expected) {
        session->has_failed = 1;
        session->value = held->value;
        session->mod_revision = held->revision;
    } else {
        *held =
            (struct pd_sim_register){.value = command->value, .revision = ++core->state.revision};
    }
    session->revision = core->state.revision;
}

static void apply(struct raft_core *core, const struct pd_raft_entry *entry)
{
    struct pd_sim_request command;
    if (entry->index <= core->state.applied) {
        return; /* a snapshot holds it */
    }
    if (entry->type == PD_RAFT_ENTRY_NORMAL) {
        if (pd_sim_command_decode(entry->data, &command)) {
            apply_command(core, &command);
            answer_write(core, &command);
        }
    } else {
        struct pd_raft_conf_change change;
        if (pd_raft_conf_change_decode(entry->type, entry->data, &change) == PD_OK) {
            (void)pd_raft_apply_conf_change(core->raft, &change, false, &core->state.conf);
        }
    }
    core->state.applied = entry->index;
    core->state.term = entry->term;
}

static void answer_reads(struct raft_core *core)
{
    for (uint32_t i = 0; i < READS_MAX; i++) {
        struct pending_read *read = &core->reads[i];
        if (!read->is_open || !read->has_index || core->state.applied < read->index) {
            continue;
        }
        read->is_open = false;
        const struct pd_sim_register *held = &core->state.keys[read->request.key];
        const struct pd_sim_answer answer = {
            .client = read->request.client,
            .token = read->request.token,
            .status = PD_SIM_DONE,
            .revision = core->state.revision,
            .value = held->value,
            .mod_revision = held->revision,
        };
        pd_sim_world_answer(core->machine, &answer);
    }
}

/* -- The store, which lags --------------------------------------------------------------------- */

static void store_later(struct raft_core *core)
{
    struct pd_sim_register_store *store = store_of(core->machine);
    const struct pd_sim_config *config = &core->machine->world->config;
    if (!core->is_storing && store->visible.applied < core->state.applied) {
        core->is_storing = true;
        pd_sim_world_after(core->machine, config->store_lag_ns, WHAT_STORED, 0);
    }
    bool is_due = store->visible.applied >= store->durable.applied + config->snapshot_every;
    /* Who was added meanwhile takes no snapshot that does not know of him. */
    bool is_stale = store->visible.applied > store->durable.applied &&
                    memcmp(&store->visible.conf, &store->durable.conf,
                           offsetof(struct pd_raft_conf, auto_leave)) != 0;
    if (!core->is_flushing && (is_due || is_stale)) {
        core->is_flushing = true;
        uint64_t takes =
            config->snapshot_every < 100 || is_stale ? PD_SIM_MS_NS : config->store_flush_ns / 10;
        pd_sim_world_after(core->machine, pd_sim_world_disk_time(core->machine, takes),
                           WHAT_FLUSHED, 0);
    }
}

static void flushed(struct raft_core *core)
{
    struct pd_sim_register_store *store = store_of(core->machine);
    store->durable = store->visible;
    core->is_flushing = false;
    const struct pd_raft_snapshot_meta meta = {
        .index = store->durable.applied, .term = store->durable.term, .conf = store->durable.conf};
    pd_raft_snapshot_available(core->raft, &meta);
    pd_raft_compact(core->raft, store->durable.applied);
}

/* -- Readies ----------------------------------------------------------------------------------- */

static void send_message(struct raft_core *core, const struct pd_raft_message *message)
{
    const struct pd_sim_register_store *store = store_of(core->machine);
    core->scratch.size = 0;
    if (message->type == PD_RAFT_MSG_SNAP && store->durable.applied != message->snapshot->index) {
        pd_raft_report_snapshot(core->raft, message->to, false);
        return;
    }
    pd_sim_message_encode(&core->scratch, message, &store->durable);
    pd_sim_world_send(core->machine, message->to, core->scratch.bytes, core->scratch.size);
    if (message->type == PD_RAFT_MSG_SNAP) {
        pd_sim_world_after(core->machine, 300u * (uint64_t)PD_SIM_MS_NS, WHAT_SNAPSHOT_SENT,
                           message->to);
    }
}

static void sync_later(struct raft_core *core)
{
    if (core->syncing == 0 && core->append_count > 0) {
        core->syncing = core->append_count;
        uint64_t takes =
            pd_sim_world_disk_time(core->machine, core->machine->world->config.disk_sync_ns);
        pd_sim_world_after(core->machine, takes, WHAT_SYNCED, 0);
    }
}

static void write_log(struct raft_core *core)
{
    struct pd_disk *disk = &core->machine->disk.base;
    enum pd_status status =
        disk->ops->write(disk, core->file, core->file_end, core->scratch.bytes, core->scratch.size);
    if (status != PD_OK) {
        core->machine->may_stop = true; /* no space, or refused: this small log knows no reserve */
        pd_fatal("the log's write failed: %s", pd_status_text(status));
    }
    core->file_end += core->scratch.size;
}

/* One append: everything of this Ready as one write. */
static void begin_append(struct raft_core *core, const struct pd_raft_ready *ready)
{
    pd_assert(core->append_count < APPENDS_MAX);
    struct append *append =
        &core->appends[(core->append_first + core->append_count++) % APPENDS_MAX];
    struct pd_sim_bytes messages = append->messages;
    *append = (struct append){.mark = ready->append_mark, .messages = messages};
    append->messages.size = 0;
    append->hard_state = ready->hard_state;
    append->entry_count = ready->entry_count;
    append->entry_first = ready->entry_count > 0 ? ready->entries[0].index : 0;
    core->scratch.size = 0;
    if (ready->snapshot != NULL) {
        pd_sim_record_snapshot(&core->scratch, ready->snapshot);
    }
    for (uint32_t i = 0; i < ready->entry_count; i++) {
        pd_sim_record_entry(&core->scratch, &ready->entries[i]);
        if (i < APPEND_TERMS) {
            append->terms[i] = ready->entries[i].term;
        }
    }
    pd_sim_record_hard_state(&core->scratch, &ready->hard_state);
    for (uint32_t i = 0; i < ready->after_append_count; i++) {
        pd_sim_message_append(&append->messages, &ready->after_append[i]);
    }
    write_log(core);
}

static void install(struct raft_core *core, const struct pd_raft_snapshot_meta *meta)
{
    struct pd_sim_register_store *store = store_of(core->machine);
    pd_assert(core->incoming.applied == meta->index);
    core->state = core->incoming;
    store->visible = core->incoming;
    store->durable = core->incoming; /* before the record that promises it */
    core->snapshots_installed++;
}

static void serve_ready(struct raft_core *core)
{
    struct pd_raft_ready ready;
    pd_raft_ready(core->raft, &ready);
    if (ready.snapshot != NULL) {
        install(core, ready.snapshot);
    }
    if (ready.append_ticket != 0) {
        begin_append(core, &ready);
    }
    for (uint32_t i = 0; i < ready.read_count; i++) {
        for (uint32_t j = 0; j < READS_MAX; j++) {
            if (core->reads[j].is_open && core->reads[j].request.token == ready.reads[i].context) {
                core->reads[j].has_index = true;
                core->reads[j].index = ready.reads[i].index;
            }
        }
    }
    /* Everything of the Ready is borrowed until the core is called again: sends and applies may
     * call it. */
    struct pd_sim_bytes out = {0};
    for (uint32_t i = 0; i < ready.message_count; i++) {
        pd_sim_message_append(&out, &ready.messages[i]);
    }
    uint64_t applied = 0;
    struct pd_sim_bytes committed = {0};
    for (uint32_t i = 0; i < ready.committed_count; i++) {
        pd_sim_record_entry(&committed, &ready.committed[i]);
        applied = ready.committed[i].index;
    }
    struct pd_raft_message message;
    struct pd_sim_decoded decoded;
    for (size_t at = 0; pd_sim_message_next(&out, &at, &message, &decoded);) {
        send_message(core, &message);
    }
    struct pd_raft_entry entry;
    for (size_t at = 0; pd_sim_entry_next(&committed, &at, &entry);) {
        apply(core, &entry);
    }
    if (applied > 0) {
        pd_raft_apply_done(core->raft, applied);
    }
    pd_free(out.bytes);
    pd_free(committed.bytes);
}

static void pump(struct raft_core *core)
{
    while (core->append_count < APPENDS_MAX && pd_raft_has_ready(core->raft)) {
        serve_ready(core);
    }
    sync_later(core);
    store_later(core);
    answer_reads(core);
}

static void note_durable(struct raft_core *core, const struct append *append)
{
    for (uint64_t i = 0; i < append->entry_count && i < APPEND_TERMS; i++) {
        pd_sim_world_durable_entry(core->machine, append->entry_first + i, append->terms[i]);
    }
    for (uint64_t i = APPEND_TERMS; i < append->entry_count; i++) {
        struct pd_raft_entry entry;
        if (pd_raft_entry_at(core->raft, append->entry_first + i, &entry) == PD_OK) {
            pd_sim_world_durable_entry(core->machine, entry.index, entry.term);
        }
    }
    pd_sim_world_durable_state(core->machine, append->hard_state.term, append->hard_state.vote);
}

static void synced(struct raft_core *core)
{
    struct pd_disk *disk = &core->machine->disk.base;
    enum pd_status status = disk->ops->sync(disk, core->file);
    if (status != PD_OK) {
        pd_fatal("the log's sync failed: %s", pd_status_text(status));
    }
    uint32_t count = core->syncing;
    core->syncing = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct append *append = &core->appends[core->append_first];
        core->append_first = (core->append_first + 1) % APPENDS_MAX;
        core->append_count--;
        note_durable(core, append);
        struct pd_raft_message message;
        struct pd_sim_decoded decoded;
        for (size_t at = 0; pd_sim_message_next(&append->messages, &at, &message, &decoded);) {
            if (message.to == core->machine->number) {
                (void)!pd_raft_step(core->raft, &message);
            } else {
                send_message(core, &message);
            }
        }
        pd_raft_append_done(core->raft, &append->mark);
    }
}

/* -- Events ------------------------------------------------------------------------------------ */

static void core_tick(struct pd_sim_machine *machine, uint64_t boot_ns, uint64_t wall_ns)
{
    struct raft_core *core = core_of(machine);
    (void)wall_ns;
    core->boot_ns = boot_ns > core->boot_ns ? boot_ns : core->boot_ns;
    pd_raft_tick(core->raft, core->boot_ns);
    pump(core);
}

static void core_message(struct pd_sim_machine *machine, pd_raft_node from, const uint8_t *bytes,
                         size_t size)
{
    struct raft_core *core = core_of(machine);
    struct pd_raft_message message;
    struct pd_sim_decoded decoded;
    struct pd_sim_registers carried;
    if (!pd_sim_message_decode((struct pd_span){bytes, size}, &message, &decoded, &carried) ||
        message.from != from) {
        return;
    }
    if (message.type == PD_RAFT_MSG_SNAP && carried.applied > core->state.applied) {
        core->incoming = carried;
    }
    (void)!pd_raft_step(core->raft, &message);
    pump(core);
}

static void refuse(struct raft_core *core, const struct pd_sim_request *request,
                   enum pd_status status)
{
    struct pd_raft_status raft;
    pd_raft_status(core->raft, &raft);
    const struct pd_sim_answer answer = {
        .client = request->client,
        .token = request->token,
        .status = status == PD_ERR_FULL ? PD_SIM_BUSY : PD_SIM_NOT_LEADER,
        .leader_hint = raft.leader == core->machine->number ? 0 : (uint32_t)raft.leader,
    };
    pd_sim_world_answer(core->machine, &answer);
}

static enum pd_status begin_read(struct raft_core *core, const struct pd_sim_request *request)
{
    struct pending_read *read = NULL;
    for (uint32_t i = 0; i < READS_MAX; i++) {
        if (!core->reads[i].is_open || core->reads[i].request.client == request->client) {
            read = &core->reads[i];
            break;
        }
    }
    if (read == NULL) {
        return PD_ERR_FULL;
    }
    *read = (struct pending_read){.request = *request};
    if (pd_raft_lease_valid(core->raft, core->boot_ns)) {
        struct pd_raft_status status;
        pd_raft_status(core->raft, &status);
        read->has_index = true;
        read->index = status.hard_state.commit;
        read->is_open = true;
        return PD_OK;
    }
    enum pd_status status = pd_raft_read_index(core->raft, request->token);
    read->is_open = status == PD_OK;
    return status;
}

static void core_request(struct pd_sim_machine *machine, const struct pd_sim_request *request)
{
    struct raft_core *core = core_of(machine);
    enum pd_status status = PD_OK;
    if (request->op == PD_SIM_READ) {
        status = begin_read(core, request);
    } else {
        uint8_t bytes[PD_SIM_COMMAND_SIZE];
        pd_sim_command_encode(request, bytes);
        const struct pd_span data = {bytes, sizeof bytes};
        core->writes[request->client] =
            (struct pending_write){.is_open = true, .request = *request};
        const struct pd_sim_session *session = &core->state.sessions[request->client];
        if (session->id == request->session && session->sequence == request->sequence) {
            answer_write(core, request); /* done before: by another try */
        } else {
            uint64_t index = 0;
            status = pd_raft_propose(core->raft, &data, 1, &index);
        }
    }
    if (status != PD_OK) {
        core->writes[request->client].is_open = false;
        refuse(core, request, status);
    }
    pump(core);
}

static void core_order(struct pd_sim_machine *machine, const struct pd_sim_order *order)
{
    struct raft_core *core = core_of(machine);
    struct pd_raft_conf_change change = {.count = 1};
    change.changes[0].node = order->node;
    uint64_t index = 0;
    switch (order->kind) {
    case PD_SIM_ORDER_TRANSFER:
        (void)!pd_raft_transfer(core->raft, order->node);
        pump(core);
        return;
    case PD_SIM_ORDER_ADD_LEARNER:
        change.changes[0].type = PD_RAFT_CONF_ADD_LEARNER;
        break;
    case PD_SIM_ORDER_PROMOTE:
        change.changes[0].type = PD_RAFT_CONF_ADD_NODE;
        break;
    case PD_SIM_ORDER_REMOVE:
        change.changes[0].type = PD_RAFT_CONF_REMOVE_NODE;
        break;
    }
    if (order->node % 2 == 0) {
        change.transition = PD_RAFT_TRANSITION_JOINT_IMPLICIT;
    }
    (void)!pd_raft_propose_conf_change(core->raft, &change, false, &index);
    pump(core);
}

static void core_done(struct pd_sim_machine *machine, uint32_t what, uint64_t value)
{
    struct raft_core *core = core_of(machine);
    struct pd_sim_register_store *store = store_of(machine);
    if (what == WHAT_SYNCED) {
        synced(core);
    } else if (what == WHAT_STORED) {
        core->is_storing = false;
        store->visible = core->state;
    } else if (what == WHAT_FLUSHED) {
        flushed(core);
    } else {
        pd_raft_report_snapshot(core->raft, value, true);
    }
    pump(core);
}

/* -- Looking in -------------------------------------------------------------------------------- */

static void core_view(struct pd_sim_machine *machine, struct pd_sim_view *view_out)
{
    struct raft_core *core = core_of(machine);
    struct pd_raft_status status;
    pd_raft_status(core->raft, &status);
    if (core->hash_index != core->state.applied) {
        core->hash_index = core->state.applied;
        core->hash = pd_hash_bytes(core->state.revision, core->state.keys, sizeof core->state.keys);
        core->hash = pd_hash_bytes(core->hash, core->state.sessions, sizeof core->state.sessions);
    }
    *view_out = (struct pd_sim_view){
        .role = status.role,
        .term = status.hard_state.term,
        .vote = status.hard_state.vote,
        .leader = status.leader,
        .commit = status.hard_state.commit,
        .applied = core->state.applied,
        .first_index = status.first_index,
        .last_index = status.last_index,
        .state_hash = core->hash,
        .snapshots_installed = core->snapshots_installed,
        .store_index = store_of(machine)->durable.applied,
    };
}

static void core_conf(struct pd_sim_machine *machine, struct pd_raft_conf *conf_out)
{
    *conf_out = core_of(machine)->state.conf;
}

static enum pd_status core_entry(struct pd_sim_machine *machine, uint64_t index, uint64_t *term_out,
                                 uint64_t *hash_out)
{
    struct pd_raft_entry entry;
    enum pd_status status = pd_raft_entry_at(core_of(machine)->raft, index, &entry);
    if (status == PD_OK) {
        *term_out = entry.term;
        *hash_out = pd_hash_bytes((uint64_t)entry.type, entry.data.bytes, entry.data.size);
    }
    return status;
}

static void core_check(struct pd_sim_machine *machine)
{
    pd_raft_check(core_of(machine)->raft);
}

/* -- Life -------------------------------------------------------------------------------------- */

static void core_close(struct pd_sim_machine *machine)
{
    struct raft_core *core = core_of(machine);
    for (uint32_t i = 0; i < APPENDS_MAX; i++) {
        pd_free(core->appends[i].messages.bytes);
    }
    pd_free(core->scratch.bytes);
    pd_free(core->memory);
    pd_free(core);
    machine->core = NULL;
}

static void configure(const struct pd_sim_machine *machine, struct pd_raft_config *config)
{
    const struct pd_sim_config *limits = &machine->world->config;
    *config = pd_raft_config_default();
    config->id = machine->number;
    config->seed = machine->world->config.seed * 1000 + machine->life * 20 + machine->number;
    config->election_ticks = limits->election_ticks;
    config->heartbeat_ticks = limits->heartbeat_ticks;
    config->lease_reads = limits->lease_reads;
    config->lease_ns = limits->tick_ns * limits->election_ticks / 10 * 9;
    config->apply_unstable = limits->apply_unstable;
    config->no_forwarding = !limits->forwards;
    config->append_bytes_max = limits->append_bytes_max;
    config->committed_bytes_max = limits->committed_bytes_max;
    config->uncommitted_bytes_max = limits->uncommitted_bytes_max;
    config->inflight_max = limits->inflight_max;
    config->inflight_bytes_max = limits->inflight_bytes_max;
    config->reads_max = limits->reads_max;
    config->log_entries_max = 20000;
    config->log_bytes_max = 8u << 20;
    config->pre_vote = true;
    config->check_quorum = true;
}

/* The log's file: made anew, or read. */
static enum pd_status open_log(struct raft_core *core, struct pd_sim_recovered *recovered,
                               const char **text_out)
{
    struct pd_sim_machine *machine = core->machine;
    struct pd_disk *disk = &machine->disk.base;
    uint64_t size = 0;
    enum pd_status status = disk->ops->open(disk, LOG_NAME, &core->file, &size);
    if (status == PD_ERR_UNKNOWN && machine->start == PD_SIM_START_EXISTING) {
        *text_out = "its folder is empty, yet it ran before";
        return PD_ERR_CORRUPT;
    }
    if (status == PD_ERR_UNKNOWN) {
        status = disk->ops->create(disk, LOG_NAME, &core->file);
        if (status == PD_OK) {
            pd_sim_record_identity(&core->scratch, machine->number);
            write_log(core);
            status = disk->ops->sync(disk, core->file);
        }
        return status == PD_OK ? disk->ops->sync_names(disk) : status;
    }
    if (status == PD_OK) {
        struct pd_sim_bytes all = {0};
        pd_sim_bytes_room(&all, (size_t)size + 1);
        status = disk->ops->read(disk, core->file, 0, all.bytes, (size_t)size, &all.size);
        pd_sim_records_read(&all, recovered);
        pd_free(all.bytes);
        core->file_end = recovered->end;
    }
    if (status == PD_OK && recovered->identity == 0 && machine->start != PD_SIM_START_EXISTING) {
        /* It was stopped while it made the file. */
        core->file_end = 0;
        core->scratch.size = 0;
        pd_sim_record_identity(&core->scratch, machine->number);
        write_log(core);
    } else if (status == PD_OK && recovered->identity != machine->number) {
        *text_out = "the log belongs to another node";
        status = PD_ERR_INVALID;
    }
    return status;
}

static enum pd_status start_raft(struct raft_core *core, const struct pd_sim_recovered *recovered)
{
    struct pd_sim_machine *machine = core->machine;
    const struct pd_sim_register_store *store = store_of(machine);
    struct pd_raft_config config;
    configure(machine, &config);
    struct pd_raft_restart restart = {
        .hard_state = recovered->hard_state,
        .snapshot = {store->durable.applied, store->durable.term, store->durable.conf},
        .applied = store->durable.applied,
    };
    if (restart.hard_state.commit < restart.applied) {
        restart.hard_state.commit = restart.applied;
    }
    if (restart.hard_state.term < store->durable.term) {
        restart.hard_state.term = store->durable.term;
        restart.hard_state.vote = 0;
    }
    size_t size = pd_raft_size(&config);
    core->memory = pd_sim_alloc(size);
    enum pd_status status = pd_raft_init(core->memory, size, &config, &restart, &core->raft);
    for (size_t at = 0; status == PD_OK;) {
        struct pd_raft_entry entry;
        if (!pd_sim_entry_next(&recovered->entries, &at, &entry)) {
            return pd_raft_start(core->raft);
        }
        status = pd_raft_restore_entry(core->raft, &entry);
    }
    return status;
}

/* Recovered and synced: durable. */
static void note_recovered(struct raft_core *core, const struct pd_sim_recovered *recovered)
{
    struct pd_raft_entry entry;
    for (size_t at = 0; pd_sim_entry_next(&recovered->entries, &at, &entry);) {
        pd_sim_world_durable_entry(core->machine, entry.index, entry.term);
    }
}

static enum pd_status core_open(struct pd_sim_machine *machine, const char **text_out)
{
    struct pd_sim_register_store *store = store_of(machine);
    struct raft_core *core = pd_sim_alloc(sizeof *core);
    core->machine = machine;
    machine->core = core;
    struct pd_sim_recovered recovered = {0};
    enum pd_status status = open_log(core, &recovered, text_out);
    if (store->durable.applied == 0 && machine->start == PD_SIM_START_BOOTSTRAP) {
        store->durable.applied = 1;
        store->durable.term = 1;
        store->durable.conf = machine->world->founders;
        store->visible = store->durable;
    } else if (store->durable.applied == 0 && recovered.entries.size > 0) {
        *text_out = "the store is gone, and this small log cannot rebuild it";
        status = PD_ERR_CORRUPT;
    }
    core->state = store->durable;
    if (status == PD_OK) {
        /* What a killed process left in the page cache was read, and will be vouched for. */
        status = machine->disk.base.ops->sync(&machine->disk.base, core->file);
    }
    if (status == PD_OK) {
        status = start_raft(core, &recovered);
        *text_out = "the log does not fit the store";
    }
    if (status == PD_OK) {
        note_recovered(core, &recovered);
    }
    pd_free(recovered.entries.bytes);
    if (status != PD_OK) {
        core_close(machine);
        return status;
    }
    const struct pd_raft_snapshot_meta meta = {store->durable.applied, store->durable.term,
                                               store->durable.conf};
    if (meta.index > 0) {
        pd_raft_snapshot_available(core->raft, &meta);
    }
    return PD_OK;
}

static void store_power_cut(struct pd_sim_machine *machine, struct pd_random *random)
{
    struct pd_sim_register_store *store = store_of(machine);
    if (store->visible.applied > store->durable.applied) {
        PD_SOMETIMES(SIM_STORE_FELL_BACK, true);
        if (pd_random_below(random, 3) == 0) {
            store->durable = store->visible; /* it had just been flushed */
        }
    }
    store->visible = store->durable;
}

static void store_wipe(struct pd_sim_machine *machine)
{
    memset(store_of(machine), 0, sizeof(struct pd_sim_register_store));
}

static void store_free(struct pd_sim_machine *machine)
{
    pd_free(machine->store);
    machine->store = NULL;
}

const struct pd_sim_core_ops pd_sim_core_raft = {
    .name = "raft",
    .open = core_open,
    .close = core_close,
    .tick = core_tick,
    .message = core_message,
    .request = core_request,
    .order = core_order,
    .done = core_done,
    .view = core_view,
    .conf = core_conf,
    .entry = core_entry,
    .check = core_check,
    .store_power_cut = store_power_cut,
    .store_wipe = store_wipe,
    .store_free = store_free,
};
