#include "node/server.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "host/disk.h"
#include "node/server_internal.h"

#define SECOND_NS UINT64_C(1000000000)
#define MIB (UINT64_C(1) << 20)
#define TICKS_A_SECOND 50u
#define VOTERS_MAX 5u
#define READ_S 30u    /* large ones wait for one another */
#define REQUEST_S 10u /* a disk that stalls that long is told of */
/* Headers of a batch's records. */
#define FOUND_AFTER_NS (6 * SECOND_NS) /* who moves tells it within two, if it can */
#define BATCH_SLACK_BYTES (2 * MIB)

struct pd_server_config pd_server_config_default(void)
{
    struct pd_replica_config replica = pd_replica_config_default();
    replica.request_ticks_max = REQUEST_S * TICKS_A_SECOND;
    replica.read_ticks_max = READ_S * TICKS_A_SECOND;
    replica.voters_max = VOTERS_MAX;
    struct pd_store_rocks_config store = pd_store_rocks_config_default();
    store.group_size = pd_kv_row_group_size;
    return (struct pd_server_config){
        .replica = replica,
        .wal = pd_wal_config_default(),
        .store = store,
        .peers = {.packets_max = 16384,
                  .packet_bytes_max = 128 * MIB,
                  .found_after_ns = FOUND_AFTER_NS,
                  .forwards_max = 4096,
                  .forward_bytes_max = 64 * MIB},
        .tick_ns = SECOND_NS / TICKS_A_SECOND,
        .disk_low_bytes = 256 * MIB,
        .requests_max = 16384,
        .request_bytes_max = 256 * MIB,
        .clients_max = 4096,
        .readers = 2,
    };
}

/* -- Opening ----------------------------------------------------------------------------------- */

static bool take_memory(struct pd_server *server)
{
    uint32_t places = server->config.clients_max;
    pd_session_shares_init(&server->shares);
    server->folder = pd_alloc_text(server->config.folder, strlen(server->config.folder));
    server->places = pd_alloc_zeroed(places, sizeof *server->places);
    server->places_free = pd_alloc_zeroed(places, sizeof *server->places_free);
    if (server->folder == NULL || server->places == NULL || server->places_free == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < places; i++) {
        server->places_free[i] = places - 1 - i;
    }
    server->places_free_count = places;
    return true;
}

/* The log's files have the size that they began with, and what goes with it. */
static void fit_segment(struct pd_server *server)
{
    struct pd_server_config *config = &server->config;
    uint64_t bytes = server->identity.segment_bytes;
    config->wal.segment_bytes = bytes;
    if (config->wal.reserve_bytes > bytes / 4) {
        config->wal.reserve_bytes = bytes / 4 / PD_DISK_BLOCK_SIZE * PD_DISK_BLOCK_SIZE;
    }
    config->wal.room_bytes = config->disk_low_bytes / PD_SERVER_ROOM_PART * 2;
    if (config->replica.log_batch_bytes_max > bytes / 16) {
        config->replica.log_batch_bytes_max = bytes / 16;
    }
}

/* One batch must take what gathers while another one is under way: all that raft lets through
 * uncommitted, behind a batch that was just not full, and one request more. */
static bool fit_batch(struct pd_server *server, char *text)
{
    struct pd_replica_config *config = &server->config.replica;
    uint64_t room = pd_wal_batch_bytes_max(&server->config.wal);
    uint64_t taken =
        config->log_batch_bytes_max + config->kv.limits.request_bytes_max + BATCH_SLACK_BYTES;
    if (room < taken + BATCH_SLACK_BYTES) {
        (void)snprintf(text, PD_SERVER_TEXT_MAX,
                       "segments of the log of %" PRIu64
                       " bytes are too small: one batch takes up to %" PRIu64 " bytes",
                       server->config.wal.segment_bytes, taken + BATCH_SLACK_BYTES);
        return false;
    }
    if (config->raft.uncommitted_bytes_max > room - taken) {
        config->raft.uncommitted_bytes_max = room - taken;
    }
    uint64_t message = config->raft.append_bytes_max + config->kv.limits.request_bytes_max;
    uint64_t backlog = room - taken > message ? room - taken - message : 0;
    if (config->log_backlog_bytes_max > backlog) {
        config->log_backlog_bytes_max = backlog;
    }
    return true;
}

static void prepare(struct pd_server *server)
{
    server->lease.generation = 1;
    server->stop.kind = PD_SERVER_STOP;
    server->log.durable.kind = PD_SERVER_LOG_DURABLE;
    server->log.space.kind = PD_SERVER_LOG_SPACE;
    server->log.group_id = server->config.replica.raft.group_id;
    server->writer.write.kind = PD_SERVER_JOB_WRITE;
    server->writer.flush.kind = PD_SERVER_JOB_FLUSH;
    server->writer.reset.kind = PD_SERVER_JOB_RESET;
    server->writer.write.message.kind = PD_SERVER_STORE_DONE;
    server->writer.flush.message.kind = PD_SERVER_STORE_DONE;
    server->writer.reset.message.kind = PD_SERVER_STORE_DONE;
    server->writer.members.kind = PD_SERVER_JOB_MEMBERS;
    server->writer.members.message.kind = PD_SERVER_STORE_DONE;
    server->reader_count = server->config.readers;
    for (uint32_t i = 0; i < server->reader_count; i++) {
        server->readers[i].server = server;
    }
}

/* Of a new cluster this node alone is a member, or those of cluster.json are. */
static void set_first_conf(struct pd_server *server, struct pd_raft_conf *conf)
{
    const struct pd_members_file *file = &server->peers.file;
    memset(conf, 0, sizeof *conf);
    for (uint32_t i = 0; i < file->count && file->start != PD_MEMBERS_START_JOIN; i++) {
        if (file->members[i].role == PD_KV_MEMBER_VOTER) {
            conf->voters[conf->voter_count++] = file->members[i].node; /* sorted */
        }
    }
    if (file->count == 0) {
        conf->voters[0] = server->identity.node_id;
        conf->voter_count = 1;
    }
}

/* Who may be asked for a state; behind the `count` that are there. */
static uint32_t add_others(const struct pd_server *server, const struct pd_members_file *file,
                           pd_raft_node *others, uint32_t count)
{
    for (uint32_t i = 0; i < file->count; i++) {
        uint64_t node = file->members[i].node;
        bool is_known = node == server->identity.node_id;
        for (uint32_t j = 0; j < count && !is_known; j++) {
            is_known = others[j] == node;
        }
        if (!is_known) {
            others[count++] = node;
        }
    }
    return count;
}

/* A first member, one that joins, or a node that was here before. */
static enum pd_status open_replica(struct pd_server *server, bool is_new)
{
    struct pd_replica_config *config = &server->config.replica;
    config->cluster_id = server->identity.cluster_id;
    config->raft.id = server->identity.node_id;
    const struct pd_members_file *file = &server->peers.file;
    bool joins = file->count > 0 && file->start == PD_MEMBERS_START_JOIN;
    config->start = !is_new ? PD_REPLICA_START_EXISTING
                    : joins ? PD_REPLICA_START_JOIN
                            : PD_REPLICA_START_BOOTSTRAP;
    set_first_conf(server, &config->initial_conf);
    pd_raft_node others[2 * PD_MEMBERS_FILE_MAX];
    uint32_t count = add_others(server, &server->peers.known, others, 0);
    count = add_others(server, file, others, count);
    config->peer_count = count < PD_RAFT_MEMBERS_MAX ? count : PD_RAFT_MEMBERS_MAX;
    config->peers = others;
    server->host->ops->entropy(server->host, (uint8_t *)&config->raft.seed,
                               sizeof config->raft.seed);
    if (config->raft.lease_reads && config->raft.lease_ns == 0) {
        /* Clocks of two nodes may differ in speed by a fifth, and the lease still ends first. */
        config->raft.lease_ns = config->raft.election_ticks * server->config.tick_ns / 5 * 4;
    }
    enum pd_status status = pd_replica_open(config, &server->replica);
    pd_forwards_begin(&server->peers.forwards, server->replica, server->peers.transport);
    return status;
}

/* The first record shows that this is a node that was here before. */
static enum pd_status recover(void *state, const struct pd_wal_record *record)
{
    struct pd_server *server = state;
    enum pd_status status = PD_OK;
    if (server->replica == NULL) {
        status = open_replica(server, false);
    }
    server->about.log_records++;
    return status == PD_OK ? pd_replica_recover(server->replica, record) : status;
}

static enum pd_status open_log_disk(struct pd_server *server, char *text)
{
    char path[PD_SERVER_TEXT_MAX];
    int size = snprintf(path, sizeof path, "%s/log", server->folder);
    enum pd_status status = (size_t)size < sizeof path
                                ? pd_host_disk_open(path, true, &server->log.disk)
                                : PD_ERR_INVALID;
    if (status == PD_OK && access(path, W_OK) != 0) {
        status = PD_ERR_DENIED; /* opened for reading, which a log can be, too */
    }
    if (status != PD_OK) {
        (void)snprintf(text, PD_SERVER_TEXT_MAX, "cannot open '%s/log': %s", server->folder,
                       status == PD_ERR_EXISTS    ? "another process reads it"
                       : status == PD_ERR_INVALID ? "its path is too long"
                                                  : strerror(errno));
    }
    return status;
}

static enum pd_status log_failed(const struct pd_server *server, const struct pd_wal_report *report,
                                 enum pd_status status, char *text)
{
    const char *why = report->text[0] != '\0' ? report->text : pd_status_text(status);
    if (server->replica != NULL && pd_replica_text(server->replica)[0] != '\0') {
        why = pd_replica_text(server->replica);
    }
    (void)snprintf(text, PD_SERVER_TEXT_MAX, "the log in '%s/log' cannot be used: %s",
                   server->folder, why);
    return status;
}

static enum pd_status open_log(struct pd_server *server, char *text)
{
    struct pd_wal_report report;
    enum pd_status status = open_log_disk(server, text);
    if (status != PD_OK) {
        return status;
    }
    server->config.wal.identity = server->identity.log_identity;
    status = pd_wal_open(server->log.disk, &server->config.wal, recover, server, &report,
                         &server->log.wal);
    if (status != PD_OK) {
        return log_failed(server, &report, status, text);
    }
    server->about.torn_bytes = report.torn_bytes;
    if (report.identity != server->identity.log_identity) {
        (void)snprintf(text, PD_SERVER_TEXT_MAX,
                       "'%s/log' is another node's log: node.json names %016" PRIx64
                       ", the log is %016" PRIx64 ". Put back what belongs here",
                       server->folder, server->identity.log_identity, report.identity);
        return PD_ERR_CORRUPT;
    }
    if (server->replica == NULL && server->identity.has_begun) {
        (void)snprintf(text, PD_SERVER_TEXT_MAX,
                       "'%s/log' is empty, but this node has written to it: the log is lost, and "
                       "with it what was not in the store. Restore the folder from a backup",
                       server->folder);
        return PD_ERR_CORRUPT;
    }
    server->about.is_new = server->replica == NULL;
    status = server->replica == NULL ? open_replica(server, true) : PD_OK;
    for (bool more = true; more && status == PD_OK;) {
        status = pd_wal_maintain(server->log.wal, &more);
    }
    /* Without room for spares it starts all the same, and refuses writes. */
    return status == PD_OK || status == PD_ERR_FULL ? PD_OK
                                                    : log_failed(server, &report, status, text);
}

static enum pd_status start_replica(struct pd_server *server, char *text)
{
    bool is_lost = false;
    enum pd_status status = pd_server_store_open(server, &is_lost, text);
    if (status != PD_OK) {
        return status;
    }
    struct pd_store *store = server->store;
    struct pd_replica_store_state state = {.applied_index = store->ops->applied_index(store),
                                           .durable_index = store->ops->durable_index(store),
                                           .is_lost = is_lost};
    server->about.store_was_lost = is_lost;
    server->about.cluster_id = server->identity.cluster_id;
    server->about.node_id = server->identity.node_id;
    if (server->about.is_new && state.applied_index != 0) {
        (void)snprintf(text, PD_SERVER_TEXT_MAX,
                       "'%s/store' is another node's: this one has written nothing yet. Remove it, "
                       "or put back the log that belongs to it",
                       server->folder);
        return PD_ERR_CORRUPT;
    }
    server->row_bytes_max = pd_kv_row_bytes_max(pd_replica_kv(server->replica));
    status = pd_replica_start(server->replica, &state, pd_host_now_ns(server->host),
                              server->host->ops->wall_ns(server->host));
    if (status != PD_OK) {
        (void)snprintf(text, PD_SERVER_TEXT_MAX, "%s", pd_replica_text(server->replica));
    }
    return status;
}

static enum pd_status start(struct pd_server *server, const char *name,
                            enum pd_thread_priority priority, void (*run)(void *), void *argument,
                            struct pd_thread *thread, bool *is_started)
{
    enum pd_status status =
        server->host->ops->thread_start(server->host, name, priority, run, argument, thread);
    *is_started = status == PD_OK;
    return status;
}

static enum pd_status start_threads(struct pd_server *server, char *text)
{
    /* The log's thread and the transport's run the core, too: not before its own is there, so that
     * a start that fails leaves nothing of it under way. */
    atomic_store(&server->core_is_held, true);
    enum pd_status status = start(server, "pando-log", PD_THREAD_HIGH, pd_server_log_main, server,
                                  &server->log.thread, &server->log.is_started);
    if (status == PD_OK) {
        status = start(server, "pando-store", PD_THREAD_NORMAL, pd_server_writer_main, server,
                       &server->writer.thread, &server->writer.is_started);
    }
    for (uint32_t i = 0; i < server->reader_count && status == PD_OK; i++) {
        struct pd_server_reader *reader = &server->readers[i];
        status = start(server, "pando-reader", PD_THREAD_NORMAL, pd_server_reader_main, reader,
                       &reader->thread, &reader->is_started);
    }
    if (status == PD_OK) {
        pd_server_peers_start(server);
        status = start(server, "pando-core", PD_THREAD_HIGH, pd_server_core_main, server,
                       &server->core, &server->is_started);
    }
    if (status == PD_OK) {
        atomic_store(&server->core_is_held, false);
        pd_server_wake(server->host, &server->inbox);
    } else {
        (void)snprintf(text, PD_SERVER_TEXT_MAX, "cannot start a thread: %s", strerror(errno));
    }
    return status;
}

enum pd_status pd_server_open(const struct pd_server_config *config, char text[PD_SERVER_TEXT_MAX],
                              struct pd_server **server_out)
{
    text[0] = '\0';
    pd_assert(config->clients_max > 0 && config->readers > 0 &&
              config->readers <= PD_SERVER_READERS_MAX && config->tick_ns > 0);
    struct pd_server *server = pd_alloc_zeroed(1, sizeof *server);
    if (server == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    server->config = *config;
    server->host = config->host;
    prepare(server);
    enum pd_status status = take_memory(server) ? PD_OK : PD_ERR_NO_MEMORY;
    if (status == PD_OK) {
        status = pd_server_folder_open(server, &server->identity, text);
    }
    if (status == PD_OK) {
        fit_segment(server);
        status = fit_batch(server, text) ? PD_OK : PD_ERR_INVALID;
    }
    status = status == PD_OK ? pd_server_peers_open(server, text) : status;
    status = status == PD_OK ? open_log(server, text) : status;
    status = status == PD_OK ? start_replica(server, text) : status;
    status = status == PD_OK ? start_threads(server, text) : status;
    if (status != PD_OK) {
        if (text[0] == '\0') {
            (void)snprintf(text, PD_SERVER_TEXT_MAX, "cannot start the node in '%s': %s",
                           config->folder, pd_status_text(status));
        }
        pd_server_close(server);
        return status;
    }
    *server_out = server;
    return PD_OK;
}

/* -- Closing ----------------------------------------------------------------------------------- */

static void stop_thread(struct pd_server *server, bool *is_started, struct pd_thread thread,
                        atomic_bool *stops, struct pd_server_queue *queue)
{
    if (*is_started) {
        atomic_store(stops, true);
        pd_server_wake(server->host, queue);
        server->host->ops->thread_join(server->host, thread);
        *is_started = false;
    }
}

/* What nobody took: a server that never got as far as a core thread has none. */
static void free_unread(struct pd_server *server)
{
    struct pd_server_message *message = pd_server_take(&server->inbox);
    while (message != NULL) {
        struct pd_server_message *next = pd_server_next(message);
        if (message->kind == PD_SERVER_REQUEST || message->kind == PD_SERVER_CLIENT_GONE) {
            pd_free(pd_container_of(message, struct pd_server_request, message));
        } else if (message->kind == PD_SERVER_PACKET || message->kind == PD_SERVER_PEER_LOST ||
                   message->kind == PD_SERVER_PEER_REMOVED) {
            pd_free(pd_container_of(message, struct pd_server_packet, message));
        }
        message = next;
    }
    struct pd_server_read *held = server->reads_held;
    while (held != NULL) {
        struct pd_server_message *next = pd_server_next(&held->message);
        pd_server_read_free(held);
        held = next == NULL ? NULL : pd_container_of(next, struct pd_server_read, message);
    }
}

void pd_server_close(struct pd_server *server)
{
    if (server == NULL) {
        return;
    }
    atomic_store(&server->is_closed, true);
    if (server->is_started) {
        pd_server_wake_core(server, &server->stop);
        server->host->ops->thread_join(server->host, server->core);
        pd_assert(server->places_free_count == server->config.clients_max);
    }
    pd_server_peers_stop(server); /* until here the others heard what this node had to say */
    for (uint32_t i = 0; i < server->reader_count; i++) {
        struct pd_server_reader *reader = &server->readers[i];
        stop_thread(server, &reader->is_started, reader->thread, &reader->stops, &reader->queue);
    }
    stop_thread(server, &server->writer.is_started, server->writer.thread, &server->writer.stops,
                &server->writer.queue);
    stop_thread(server, &server->log.is_started, server->log.thread, &server->log.stops,
                &server->log.queue);
    if (server->store != NULL) {
        if (server->is_started) {
            (void)server->store->ops->flush(server->store); /* spares the next start the log */
        }
        server->store->ops->close(server->store);
    }
    if (server->writer.disk != NULL) {
        server->writer.disk->ops->close_disk(server->writer.disk);
    }
    free_unread(server);
    pd_replica_close(server->replica);
    pd_server_peers_close(server);
    pd_wal_close(server->log.wal);
    if (server->log.disk != NULL) {
        server->log.disk->ops->close_disk(server->log.disk);
    }
    if (server->root != NULL) {
        server->root->ops->close_disk(server->root);
    }
    pd_session_shares_deinit(&server->shares);
    pd_free(server->places);
    pd_free(server->places_free);
    pd_free(server->folder);
    pd_free(server);
}

/* -- Clients ----------------------------------------------------------------------------------- */

enum pd_status pd_server_client_open(struct pd_server *server, struct pd_server_client *client)
{
    if (atomic_load(&server->is_closed)) {
        return PD_ERR_CLOSED;
    }
    enum pd_status status = PD_ERR_FULL;
    pd_spin_lock(&server->places_lock);
    if (server->places_free_count > 0) {
        uint32_t at = server->places_free[--server->places_free_count];
        server->place_generation++;
        client->id = (uint64_t)server->place_generation << 32 | at;
        client->is_unsettled = false;
        server->places[at] = (struct pd_server_place){.id = client->id, .client = client};
        status = PD_OK;
    }
    pd_spin_unlock(&server->places_lock);
    return status;
}

static struct pd_server_request *make_request(struct pd_server_client *client,
                                              enum pd_server_kind kind, struct pd_span bytes)
{
    struct pd_server_request *request = pd_alloc(sizeof *request + bytes.size);
    if (request != NULL) {
        request->message = (struct pd_server_message){.kind = kind};
        request->client = client;
        request->client_id = client->id;
        request->asked_ns = 0;
        request->size = bytes.size;
        if (bytes.size > 0) {
            memcpy(request->bytes, bytes.bytes, bytes.size);
        }
    }
    return request;
}

void pd_server_client_close(struct pd_server *server, struct pd_server_client *client)
{
    struct pd_server_request *request =
        make_request(client, PD_SERVER_CLIENT_GONE, (struct pd_span){NULL, 0});
    if (request == NULL) {
        pd_fatal("no memory to close a client: give the node more memory");
    }
    pd_server_wake_core(server, &request->message);
}

static enum pd_status submit(struct pd_server *server, struct pd_server_client *client,
                             uint64_t correlation, struct pd_span bytes, bool is_bounded)
{
    if (atomic_load_explicit(&server->is_closed, memory_order_relaxed)) {
        return PD_ERR_CLOSED;
    }
    pd_server_count(&server->counters.requests, 1);
    uint64_t count = atomic_fetch_add(&server->requests_waiting, 1);
    uint64_t size = atomic_fetch_add(&server->request_bytes_waiting, bytes.size);
    bool is_full = is_bounded && (count >= server->config.requests_max ||
                                  size + bytes.size > server->config.request_bytes_max);
    struct pd_server_request *request =
        is_full ? NULL : make_request(client, PD_SERVER_REQUEST, bytes);
    if (request == NULL) {
        (void)atomic_fetch_sub(&server->requests_waiting, 1);
        (void)atomic_fetch_sub(&server->request_bytes_waiting, bytes.size);
        pd_server_count(&server->counters.requests_refused, 1);
        return is_full ? PD_ERR_FULL : PD_ERR_NO_MEMORY;
    }
    request->correlation = correlation;
    request->asked_ns = server->config.replica.slow_ns == 0 ? 0 : pd_host_now_ns(server->host);
    pd_server_put(&server->inbox, &request->message);
    return PD_OK;
}

enum pd_status pd_server_submit_quietly(struct pd_server *server, struct pd_server_client *client,
                                        uint64_t correlation, struct pd_span bytes)
{
    return submit(server, client, correlation, bytes, true);
}

void pd_server_nudge(struct pd_server *server)
{
    pd_server_nudge_core(server);
}

void pd_server_answers_away(struct pd_server *server, uint64_t bytes)
{
    (void)atomic_fetch_add(&server->answers_away, bytes);
}

void pd_server_answers_back(struct pd_server *server, uint64_t bytes)
{
    uint64_t before = atomic_fetch_sub(&server->answers_away, bytes);
    pd_assert(before >= bytes);
    if (atomic_load(&server->reads_wait)) {
        pd_server_nudge_core(server);
    }
}

void pd_server_answers_unread(struct pd_server *server, uint64_t bytes)
{
    pd_server_answers_away(server, bytes);
    (void)atomic_fetch_add(&server->answers_unread, bytes);
}

void pd_server_answers_read(struct pd_server *server, uint64_t bytes)
{
    uint64_t before = atomic_fetch_sub(&server->answers_unread, bytes);
    pd_assert(before >= bytes);
    pd_server_answers_back(server, bytes);
}

enum pd_status pd_server_submit_of_watch(struct pd_server *server, struct pd_server_client *client,
                                         uint64_t correlation, struct pd_span bytes)
{
    enum pd_status status = submit(server, client, correlation, bytes, false);
    if (status == PD_OK) {
        pd_server_nudge_core(server);
    }
    return status;
}

enum pd_status pd_server_submit(struct pd_server *server, struct pd_server_client *client,
                                uint64_t correlation, struct pd_span bytes)
{
    enum pd_status status = pd_server_submit_quietly(server, client, correlation, bytes);
    if (status == PD_OK) {
        pd_server_nudge_core(server);
    }
    return status;
}

/* -- What it is -------------------------------------------------------------------------------- */

void pd_server_about(const struct pd_server *server, struct pd_server_about *about_out)
{
    *about_out = server->about;
}

bool pd_server_store_is_stuck(const struct pd_server *server)
{
    return atomic_load(&server->store_is_stuck);
}

bool pd_server_store_is_condemned(const struct pd_server *server)
{
    return atomic_load(&server->store_is_condemned);
}

bool pd_server_was_removed(const struct pd_server *server)
{
    return atomic_load(&server->was_removed);
}

static uint64_t count_of(const atomic_uint_least64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void pd_server_counters(const struct pd_server *server, struct pd_server_counters *counters_out)
{
    *counters_out = (struct pd_server_counters){
        .requests = count_of(&server->counters.requests),
        .requests_refused = count_of(&server->counters.requests_refused),
        .answers = count_of(&server->counters.answers),
        .log_batches = count_of(&server->counters.log_batches),
        .log_records = count_of(&server->counters.log_records),
        .store_batches = count_of(&server->counters.store_batches),
        .fetches = count_of(&server->counters.fetches),
        .slow = count_of(&server->counters.slow),
        .hot_reads = count_of(&server->counters.hot_reads),
        .slow_untold = count_of(&server->counters.slow_untold),
        .peers = {.packets = count_of(&server->peers.counters.packets),
                  .packets_dropped = count_of(&server->peers.counters.packets_dropped),
                  .sends_dropped = count_of(&server->peers.counters.sends_dropped) +
                                   count_of(&server->peers.forwards.counters.sends_dropped),
                  .forwards = count_of(&server->peers.forwards.counters.forwards),
                  .forwards_again = count_of(&server->peers.forwards.counters.again),
                  .served = count_of(&server->peers.forwards.counters.served)},
    };
}

bool pd_server_wait_ready(struct pd_server *server, uint64_t deadline_ns)
{
    while (!atomic_load(&server->is_ready)) {
        if (atomic_load(&server->is_closed) ||
            !server->host->ops->event_wait(server->host, &server->ready, deadline_ns)) {
            break;
        }
    }
    return atomic_load(&server->is_ready) && !atomic_load(&server->is_closed);
}
