/* The core: what came in -> the replica, what the replica wants -> the other threads.
 *
 * One thread at a time holds it: the core thread, or the log thread when a batch has become
 * durable. That one has just been woken by the disk; handing the news to a sleeping core thread,
 * and getting the next batch back, would cost two wake-ups for each write of a client that waits
 * for it. It goes back to the disk as soon as there is a batch to write, and leaves the rest to the
 * core thread.
 *
 * And the transport's thread, for what came from other nodes: a heartbeat and its answer, or the
 * acknowledgement that a whole round of reads waits for, would otherwise cost a wake-up there and
 * one back. It works a few slices, whose messages it then sends itself, and leaves the rest. */
#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "node/server_internal.h"
#include "node/server_members.h"

/* Between two looks at what came in: requests that are given to the replica before it works on
 * them, so that they share a log write; and slices of its work. */
#define EVENTS_A_TURN 256u
#define SLICES_A_TURN 32u
#define SLICES_OF_NET 4u /* others' packets wait meanwhile */
/* Of all slices of a turn, about: one that answers with many megabytes takes some milliseconds, and
 * ticks, heartbeats and what is small wait for the end of the turn. */
#define TURN_NS UINT64_C(5000000)
#define STORE_ROWS_AT_ONCE 1024u
#define HANDOVER_NS UINT64_C(1000000000) /* for a lead to be taken over, at the end */

/* -- The queue --------------------------------------------------------------------------------- */

void pd_server_put(struct pd_server_queue *queue, struct pd_server_message *message)
{
    (void)pd_postbox_put(&queue->box, &message->link);
}

void pd_server_push(struct pd_host *host, struct pd_server_queue *queue,
                    struct pd_server_message *message)
{
    pd_server_put(queue, message);
    pd_server_wake(host, queue);
}

void pd_server_wake(struct pd_host *host, struct pd_server_queue *queue)
{
    /* Sequentially consistent, as in pd_server_sleep: either the taker sees what was pushed, or we
     * see that it sleeps. */
    if (atomic_load(&queue->sleeps) && atomic_exchange(&queue->sleeps, false)) {
        host->ops->event_set(host, &queue->event);
    }
}

struct pd_server_message *pd_server_take(struct pd_server_queue *queue)
{
    struct pd_posted *oldest = pd_postbox_take(&queue->box);
    return oldest == NULL ? NULL : pd_container_of(oldest, struct pd_server_message, link);
}

void pd_server_sleep(struct pd_host *host, struct pd_server_queue *queue, uint64_t deadline_ns)
{
    atomic_store(&queue->sleeps, true);
    if (pd_postbox_is_empty(&queue->box)) {
        (void)host->ops->event_wait(host, &queue->event, deadline_ns);
    }
    atomic_store(&queue->sleeps, false);
}

/* -- Outputs ----------------------------------------------------------------------------------- */

/* text NULL: nobody needs to be told, the server is being closed. */
static void fail(struct pd_server *server, const char *text)
{
    if (server->has_failed) {
        return;
    }
    server->has_failed = true;
    if (pd_replica_store_is_damaged(server->replica)) {
        pd_server_store_condemn(server);
        atomic_store(&server->store_is_condemned, true);
    }
    /* Before anybody sees that it is closed, and asks why. */
    if (text != NULL && server->config.failed != NULL) {
        server->config.failed(server->config.state, text);
    }
    atomic_store(&server->is_closed, true);
    pd_server_lease_publish(server);
    server->host->ops->event_set(server->host, &server->ready);
}

static struct pd_server_place *place_of(struct pd_server *server, uint64_t id)
{
    uint32_t at = (uint32_t)id;
    pd_assert(at < server->config.clients_max);
    return server->places[at].id == id ? &server->places[at] : NULL;
}

void pd_server_answer(struct pd_server *server, uint64_t client_id, uint64_t correlation,
                      struct pd_span bytes)
{
    struct pd_server_place *place = place_of(server, client_id);
    if (place == NULL) {
        return;
    }
    struct pd_server_client *client = place->client;
    if (place->share != NULL) {
        pd_session_shares_answered(place->share, correlation, bytes, server->now_ns);
    }
    pd_server_count(&server->counters.answers, 1);
    client->answer(client, correlation, bytes);
    if (client->settled != NULL && !client->is_unsettled) {
        client->is_unsettled = true;
        client->next_unsettled = server->unsettled;
        server->unsettled = client;
    }
}

static void settle_clients(struct pd_server *server)
{
    while (server->unsettled != NULL) {
        struct pd_server_client *client = server->unsettled;
        server->unsettled = client->next_unsettled;
        client->is_unsettled = false;
        client->settled(client);
    }
}

void pd_server_say(char text[PD_SERVER_TEXT_MAX], const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, PD_SERVER_TEXT_MAX, format, arguments);
    va_end(arguments);
}

void pd_server_note(struct pd_server *server, const char *text)
{
    if (server->config.note != NULL) {
        server->config.note(server->config.state, text);
    }
}

void pd_server_fail(struct pd_server *server, const char *text)
{
    settle_clients(server); /* what they were told last is on its way before all is closed */
    fail(server, text);
}

static void answer(struct pd_server *server, const struct pd_replica_output *output)
{
    if (!pd_forwards_answered(&server->peers.forwards, output->client, output->correlation,
                              output->bytes)) {
        pd_server_answer(server, output->client, output->correlation, output->bytes);
    }
}

static void write_log(struct pd_server *server, const struct pd_replica_output *output)
{
    struct pd_server_log *log = &server->log;
    pd_assert(!server->log_is_busy);
    server->log_is_busy = true;
    log->records = output->records;
    log->record_count = output->record_count;
    log->ticket = output->ticket;
    pd_server_count(&server->counters.log_batches, 1);
    pd_server_count(&server->counters.log_records, output->record_count);
    pd_server_push(server->host, &log->queue, &log->write);
}

static void write_store(struct pd_server *server, const struct pd_replica_output *output)
{
    struct pd_server_store_job *job = &server->writer.write;
    pd_assert(!server->store_is_busy);
    server->store_is_busy = true;
    job->writes = output->writes;
    job->write_count = output->write_count;
    job->index = output->index;
    pd_server_count(&server->counters.store_batches, 1);
    /* Behind the answer, and not beside the next one: small batches wait for the next tick, and
     * what is applied meanwhile makes up the batch after them. */
    pd_server_put(&server->writer.queue, &job->message);
    if (job->write_count >= STORE_ROWS_AT_ONCE || server->is_stopping) {
        pd_server_wake(server->host, &server->writer.queue);
    } else {
        server->store_waits = true;
    }
}

static void flush_store(struct pd_server *server)
{
    if (!server->flush_is_busy) {
        server->flush_is_busy = true;
        pd_server_push(server->host, &server->writer.queue, &server->writer.flush.message);
    }
}

/* Nobody may read the store beside its reset. */
static void reset_when_idle(struct pd_server *server)
{
    if (server->reset_waits && server->reads_under_way == 0) {
        server->reset_waits = false;
        pd_server_push(server->host, &server->writer.queue, &server->writer.reset.message);
    }
}

static void serve(struct pd_server *server, const struct pd_replica_output *output)
{
    switch (output->kind) {
    case PD_REPLICA_SEND:
        pd_server_peers_send(server, output->node, output->lane, output->bytes);
        return;
    case PD_REPLICA_LOG_WRITE:
        write_log(server, output);
        return;
    case PD_REPLICA_LOG_CUT:
        atomic_store(&server->log.cut, output->index);
        pd_server_wake(server->host, &server->log.queue);
        return;
    case PD_REPLICA_STORE_WRITE:
        write_store(server, output);
        return;
    case PD_REPLICA_STORE_FLUSH:
        flush_store(server);
        return;
    case PD_REPLICA_STORE_RESET:
        server->reset_waits = true;
        server->reset_runs = true;
        reset_when_idle(server);
        return;
    case PD_REPLICA_FETCH:
        pd_server_count(&server->counters.fetches, 1);
        pd_server_read_rows(server, PD_SERVER_JOB_FETCH, output);
        return;
    case PD_REPLICA_SNAPSHOT_OPEN:
        pd_server_read_rows(server, PD_SERVER_JOB_SNAPSHOT_OPEN, output);
        return;
    case PD_REPLICA_SNAPSHOT_READ:
        pd_server_read_rows(server, PD_SERVER_JOB_SNAPSHOT_READ, output);
        return;
    case PD_REPLICA_SNAPSHOT_CLOSE:
        pd_server_read_rows(server, PD_SERVER_JOB_SNAPSHOT_CLOSE, output);
        return;
    case PD_REPLICA_ANSWER:
        answer(server, output);
        return;
    case PD_REPLICA_SLOW:
        pd_server_slow_told(server, output);
        return;
    case PD_REPLICA_NOTE:
        pd_server_note(server, output->text);
        return;
    case PD_REPLICA_FATAL:
        fail(server, output->text);
        return;
    }
}

/* -- Events ------------------------------------------------------------------------------------ */

static void take_request(struct pd_server *server, struct pd_server_request *request)
{
    (void)atomic_fetch_sub(&server->requests_waiting, 1);
    (void)atomic_fetch_sub(&server->request_bytes_waiting, request->size);
    if (pd_server_peers_refuse(server, request)) {
        pd_free(request);
        return;
    }
    struct pd_server_place *place = place_of(server, request->client_id);
    if (!server->has_failed && !server->is_stopping && place != NULL &&
        !pd_server_sessions_refuse(server, place, request) &&
        !pd_forwards_take(&server->peers.forwards, request->asked_ns, request->client_id,
                          request->correlation, (struct pd_span){request->bytes, request->size})) {
        pd_replica_request(server->replica, request->asked_ns, request->client_id,
                           request->correlation, request->bytes, request->size);
    }
    pd_free(request);
}

static void forget_client(struct pd_server *server, struct pd_server_request *request)
{
    struct pd_server_client *client = request->client;
    struct pd_server_place *place = place_of(server, request->client_id);
    pd_free(request);
    pd_assert(place != NULL);
    settle_clients(server); /* it may be one of them, and is the caller's soon */
    if (!server->has_failed) {
        pd_replica_client_gone(server->replica, place->id);
    }
    pd_forwards_client_gone(&server->peers.forwards, place->id);
    pd_session_shares_gone(&server->shares, place->share);
    place->share = NULL;
    place->id = 0;
    pd_spin_lock(&server->places_lock);
    server->places_free[server->places_free_count++] = (uint32_t)(place - server->places);
    pd_spin_unlock(&server->places_lock);
    client->closed(client);
}

static void log_is_durable(struct pd_server *server)
{
    pd_assert(server->log_is_busy);
    server->log_is_busy = false;
    if (server->log.gave_up) {
        fail(server, NULL);
        return;
    }
    if (server->identity.has_begun == false) {
        /* From here on an empty log is a loss, and never a new node. */
        server->identity.has_begun = true;
        if (pd_server_peers_begun(server) != PD_OK ||
            pd_server_identity_write(server, &server->identity) != PD_OK) {
            server->identity.has_begun = false; /* with the next batch, then */
        }
    }
    if (!server->has_failed) {
        pd_replica_log_durable(server->replica, server->log.ticket);
    }
}

static void judge_space(struct pd_server *server)
{
    bool is_low = atomic_load(&server->log.is_low) || atomic_load(&server->writer.is_full);
    if (is_low != server->disk_is_low && !server->has_failed) {
        server->disk_is_low = is_low;
        pd_replica_lacks_descriptors(server->replica,
                                     atomic_load(&server->log.lacks_descriptors) ||
                                         atomic_load(&server->writer.lacks_descriptors));
        pd_replica_disk_low(server->replica, is_low);
    }
}

static void store_is_done(struct pd_server *server, struct pd_server_store_job *job)
{
    if (job->is_stuck) {
        atomic_store(&server->store_is_stuck, true);
        fail(server, "the store found no file descriptor, and cannot go on as it is: it is opened "
                     "anew. The log holds everything");
    }
    if (job->gave_up) {
        fail(server, NULL);
    }
    bool lives = !server->has_failed;
    judge_space(server);
    switch (job->kind) {
    case PD_SERVER_JOB_WRITE: {
        server->store_is_busy = false;
        uint64_t durable_index = job->durable_index;
        if (lives) {
            pd_replica_store_written(server->replica);
        }
        /* RocksDB flushes by itself, too. */
        if (lives && durable_index > server->durable_told && !server->flush_is_busy) {
            server->durable_told = durable_index;
            pd_replica_store_durable(server->replica, durable_index);
        }
        return;
    }
    case PD_SERVER_JOB_FLUSH:
        server->flush_is_busy = false;
        if (lives) {
            server->durable_told = job->durable_index;
            pd_replica_store_durable(server->replica, job->durable_index);
        }
        return;
    case PD_SERVER_JOB_RESET:
        server->reset_runs = false;
        server->durable_told = 0;
        if (lives) {
            pd_replica_store_was_reset(server->replica);
        }
        pd_server_reads_release(server);
        return;
    case PD_SERVER_JOB_MEMBERS:
        pd_server_members_written(server, job->status);
        return;
    case PD_SERVER_JOB_FETCH:
    case PD_SERVER_JOB_SNAPSHOT_OPEN:
    case PD_SERVER_JOB_SNAPSHOT_READ:
    case PD_SERVER_JOB_SNAPSHOT_CLOSE:
        break;
    }
    pd_assert(false);
}

static void read_is_done(struct pd_server *server, struct pd_server_read *read)
{
    server->reads_under_way--;
    server->readers[read->reader].under_way--;
    if (!server->has_failed) {
        switch (read->kind) {
        case PD_SERVER_JOB_FETCH:
            pd_replica_rows(server->replica, read->fetch_id, read->status, &read->page);
            break;
        case PD_SERVER_JOB_SNAPSHOT_OPEN:
            pd_replica_snapshot_opened(server->replica, read->transfer, read->status, read->index);
            break;
        case PD_SERVER_JOB_SNAPSHOT_READ:
            pd_replica_snapshot_rows(server->replica, read->transfer, read->status, &read->page);
            break;
        case PD_SERVER_JOB_SNAPSHOT_CLOSE:
        case PD_SERVER_JOB_WRITE:
        case PD_SERVER_JOB_FLUSH:
        case PD_SERVER_JOB_RESET:
        case PD_SERVER_JOB_MEMBERS:
            break;
        }
    }
    pd_server_read_free(read);
    reset_when_idle(server);
}

/* A lead that goes on elsewhere spares the others an election. */
static void begin_stop(struct pd_server *server)
{
    server->is_stopping = true;
    server->stop_deadline_ns = 0;
    if (!server->has_failed && server->peers.transport != NULL &&
        pd_replica_hand_over(server->replica)) {
        server->stop_deadline_ns = server->now_ns + HANDOVER_NS;
    }
}

static void deliver(struct pd_server *server, struct pd_server_message *message)
{
    switch ((enum pd_server_kind)message->kind) {
    case PD_SERVER_REQUEST:
        take_request(server, pd_container_of(message, struct pd_server_request, message));
        return;
    case PD_SERVER_CLIENT_GONE:
        forget_client(server, pd_container_of(message, struct pd_server_request, message));
        return;
    case PD_SERVER_LOG_DURABLE:
        log_is_durable(server);
        return;
    case PD_SERVER_LOG_SPACE:
        atomic_store(&server->log.space_is_told, false);
        judge_space(server);
        return;
    case PD_SERVER_STORE_DONE:
        store_is_done(server, pd_container_of(message, struct pd_server_store_job, message));
        return;
    case PD_SERVER_READ_DONE:
        read_is_done(server, pd_container_of(message, struct pd_server_read, message));
        return;
    case PD_SERVER_PACKET:
        pd_server_peers_packet(server, pd_container_of(message, struct pd_server_packet, message));
        return;
    case PD_SERVER_PEER_LOST:
        pd_server_peers_lost(server, pd_container_of(message, struct pd_server_packet, message));
        return;
    case PD_SERVER_PEER_REMOVED:
        pd_server_peers_removed(server, pd_container_of(message, struct pd_server_packet, message));
        return;
    case PD_SERVER_STOP:
        begin_stop(server);
        return;
    }
}

/* -- The loop ---------------------------------------------------------------------------------- */

/* Whose thread holds the core. */
enum holder {
    HOLDER_CORE = 0,
    HOLDER_LOG,
    HOLDER_NET
};

/* true: a tick was due. */
static bool look_at_clock(struct pd_server *server)
{
    struct pd_host *host = server->host;
    server->now_ns = pd_host_now_ns(host);
    pd_forwards_clock(&server->peers.forwards, server->now_ns);
    uint64_t due_ns = atomic_load_explicit(&server->tick_due_ns, memory_order_relaxed);
    bool is_due = server->now_ns >= due_ns;
    if (is_due) {
        /* A process that slept is not a clock that ran: ticks that were missed are not made up. */
        due_ns += server->config.tick_ns;
        due_ns = due_ns <= server->now_ns ? server->now_ns + server->config.tick_ns : due_ns;
        atomic_store_explicit(&server->tick_due_ns, due_ns, memory_order_relaxed);
    }
    if (server->store_waits && (is_due || server->is_stopping)) {
        server->store_waits = false;
        pd_server_wake(host, &server->writer.queue);
    }
    if (!server->has_failed) {
        server->wall_ns = host->ops->wall_ns(host);
        pd_replica_clock(server->replica, server->now_ns, server->wall_ns);
        if (is_due) {
            pd_replica_tick(server->replica);
        }
    }
    return is_due;
}

static bool batch_waits(struct pd_server *server)
{
    return !pd_postbox_is_empty(&server->log.queue.box);
}

static void serve_all(struct pd_server *server)
{
    struct pd_replica_output output;
    pd_server_lease_publish(server);
    while (!server->has_failed && pd_replica_next(server->replica, &output)) {
        serve(server, &output);
    }
    pd_server_readers_wake(server);
}

static bool step(struct pd_server *server)
{
    uint64_t unread = atomic_load(&server->answers_unread);
    uint64_t away = atomic_load(&server->answers_away);
    pd_replica_reads_away(server->replica, away, unread < away ? unread : away);
    bool more = pd_replica_step(server->replica);
    bool waits = pd_replica_reads_wait(server->replica);
    if (waits != atomic_load_explicit(&server->reads_wait, memory_order_relaxed)) {
        atomic_store(&server->reads_wait, waits);
    }
    return more;
}

/* True: there is more to do at once. The log thread leaves it where a batch waits. */
static bool work(struct pd_server *server, enum holder holder)
{
    bool more = true;
    bool has_time = true;
    uint32_t slices = holder == HOLDER_NET ? SLICES_OF_NET : SLICES_A_TURN;
    for (uint32_t i = 0; i < slices && more && has_time && !server->has_failed &&
                         !(holder == HOLDER_LOG && i > 0 && batch_waits(server));
         i++) {
        serve_all(server);
        uint64_t now_ns = i > 0 ? pd_host_now_ns(server->host) : server->now_ns;
        has_time = now_ns - server->now_ns < TURN_NS;
        if (i > 0 && !server->has_failed && server->config.replica.slow_ns != 0) {
            /* What takes long in a turn is to be seen in it. */
            pd_replica_clock(server->replica, now_ns, server->wall_ns);
        }
        more = !server->has_failed && step(server);
    }
    serve_all(server); /* what the last slice gave: nobody would look for it before the next tick */
    return more && !server->has_failed;
}

static void turn(struct pd_server *server, enum holder holder)
{
    if (server->unread == NULL) {
        server->unread = pd_server_take(&server->inbox);
    }
    bool is_tick = look_at_clock(server);
    for (uint32_t i = 0; i < EVENTS_A_TURN && server->unread != NULL; i++) {
        struct pd_server_message *message = server->unread;
        server->unread = pd_server_next(message);
        deliver(server, message);
    }
    uint64_t applied = pd_replica_applied_count(server->replica);
    server->more = work(server, holder);
    if (pd_replica_applied_count(server->replica) != applied) {
        pd_histogram_add(&server->gauges.apply, pd_host_now_ns(server->host) - server->now_ns);
    }
    if (is_tick) {
        pd_server_gauges_publish(server);
        pd_server_sessions_tick(server);
    }
    server->more = pd_server_peers_turn(server, is_tick) || server->more;
    settle_clients(server);
}

static void tell_ready(struct pd_server *server)
{
    if (!atomic_load_explicit(&server->is_ready, memory_order_relaxed) && !server->has_failed) {
        const struct pd_replica_status *status = &server->status;
        pd_replica_status(server->replica, &server->status);
        /* A leader that has taken over serves what it can, also when its disk is nearly full. */
        bool leads = status->phase == PD_REPLICA_RUNNING && status->raft.role == PD_RAFT_LEADER &&
                     status->kv.applied_term == status->raft.hard_state.term;
        bool follows = status->phase == PD_REPLICA_RUNNING &&
                       status->raft.role == PD_RAFT_FOLLOWER && status->raft.leader != 0;
        if (status->serves_writes || (leads && status->disk_is_low) || follows) {
            atomic_store(&server->is_ready, true);
            server->host->ops->event_set(server->host, &server->ready);
            if (server->config.ready != NULL) {
                server->config.ready(server->config.state);
            }
        }
    }
}

static bool has_news(struct pd_server *server)
{
    return !pd_postbox_is_empty(&server->inbox.box);
}

static bool has_work(struct pd_server *server)
{
    return server->more || server->unread != NULL || has_news(server) ||
           pd_host_now_ns(server->host) >=
               atomic_load_explicit(&server->tick_due_ns, memory_order_relaxed);
}

static bool is_finished(const struct pd_server *server)
{
    bool is_handed_over = server->has_failed || server->now_ns >= server->stop_deadline_ns ||
                          !pd_replica_leads(server->replica);
    return server->is_stopping && is_handed_over && server->unread == NULL &&
           !server->log_is_busy && !server->store_is_busy && !server->flush_is_busy &&
           !server->reset_waits && server->reads_under_way == 0;
}

/* Hold the core while there is something to do. It is let go before the last look at the inbox, and
 * who pushes looks whether it is held after that: so nothing stays behind. True: the server is
 * finished, and the core stays held for ever. */
static bool run_core(struct pd_server *server)
{
    do {
        if (atomic_exchange(&server->core_is_held, true)) {
            return false;
        }
        atomic_store(&server->has_rest, false);
        while (has_work(server)) {
            turn(server, HOLDER_CORE);
        }
        tell_ready(server);
        if (is_finished(server)) {
            return true;
        }
        atomic_store(&server->core_is_held, false);
    } while (has_news(server));
    return false;
}

void pd_server_core_from_log(struct pd_server *server)
{
    do {
        if (atomic_exchange(&server->core_is_held, true)) {
            return;
        }
        while (has_work(server) && !batch_waits(server)) {
            turn(server, HOLDER_LOG);
        }
        bool has_rest = server->more || server->unread != NULL;
        if (has_rest) {
            atomic_store(&server->has_rest, true);
        }
        atomic_store(&server->core_is_held, false);
        if (has_rest || (has_news(server) && batch_waits(server))) {
            pd_server_wake(server->host, &server->inbox);
            return;
        }
    } while (has_news(server));
}

void pd_server_core_from_net(struct pd_server *server)
{
    if (atomic_exchange(&server->core_is_held, true)) {
        return; /* who holds it looks at the inbox after it has let go */
    }
    /* Where a batch is being written there are entries to take and to apply beside it, and other
     * packets: that is better done on two threads. */
    if (!server->log_is_busy && has_work(server)) {
        turn(server, HOLDER_NET);
    }
    bool has_rest = server->more || server->unread != NULL;
    if (has_rest) {
        atomic_store(&server->has_rest, true);
    }
    atomic_store(&server->core_is_held, false);
    if (has_rest || has_news(server)) {
        pd_server_wake(server->host, &server->inbox);
    }
}

void pd_server_wake_core(struct pd_server *server, struct pd_server_message *message)
{
    pd_server_put(&server->inbox, message);
    pd_server_nudge_core(server);
}

void pd_server_nudge_core(struct pd_server *server)
{
    if (!atomic_load(&server->core_is_held)) {
        pd_server_wake(server->host, &server->inbox);
    }
}

/* Until there is news, or a tick. While another thread holds the core, news are its own: when it
 * leaves some behind it wakes this one. */
static void sleep_until_tick(struct pd_server *server)
{
    struct pd_server_queue *inbox = &server->inbox;
    uint64_t deadline_ns = atomic_load_explicit(&server->tick_due_ns, memory_order_relaxed);
    atomic_store(&inbox->sleeps, true);
    bool is_held = atomic_load(&server->core_is_held);
    if (is_held) { /* and so may a tick be that is due */
        deadline_ns = pd_host_now_ns(server->host) + server->config.tick_ns;
    }
    if (is_held || (!has_news(server) && !atomic_load(&server->has_rest))) {
        (void)server->host->ops->event_wait(server->host, &inbox->event, deadline_ns);
    }
    atomic_store(&inbox->sleeps, false);
}

void pd_server_core_main(void *argument)
{
    struct pd_server *server = argument;
    while (!run_core(server)) {
        sleep_until_tick(server);
    }
}
