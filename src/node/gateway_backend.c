#include "node/gateway_backend.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/list.h"
#include "base/postbox.h"
#include "host/folder.h"
#include "node/gateway_hot.h"
#include "node/gateway_peers.h"
#include "node/gateway_reads.h"
#include "node/gateway_writes.h"
#include "node/members.h"
#include "node/replica_about.h"
#include "node/replica_watch.h"
#include "node/snapshot_format.h"

_Static_assert(PD_BACKEND_CHUNK_LAST == PD_SNAPSHOT_END, "the gateway looks at a chunk's kind");

#define URL_MAX 160u
#define SECOND_NS UINT64_C(1000000000)
/* Of the server's places for clients; the others are its own and its socket's. */
#define PEERS_MAX 2048u
/* Room to encode a watch beside its keys. */
#define WATCH_BYTES_MAX 128u
/* A correlation of the server's is the gateway's, below 2^56, and the request's kind: what an
 * answer is depends on what was asked. */
#define KIND_SHIFT 56u
#define CORRELATION_MASK ((UINT64_C(1) << KIND_SHIFT) - 1)
/* And of a read that was gathered. */
#define GATHERED (UINT64_C(1) << 61)
/* Of requests without an answer that anybody waits for. */
#define CORRELATION_NOBODY (UINT64_C(1) << 62)

/* Answers of one turn on their way from the core to the gateway's thread. */
struct post {
    struct pd_posted link;
    size_t size;
    size_t capacity;
    size_t away;     /* bytes that the server counts */
    bool is_large;   /* one answer to a range, that takes long to be written out */
    uint8_t bytes[]; /* each: struct answer_head, the answer */
};
#define POST_BYTES ((size_t)4096)
#define LARGE_BYTES ((size_t)1 << 20)

struct answer_head {
    uint64_t correlation;
    size_t size;
};

struct pd_gateway_backend {
    struct pd_backend interface; /* first */
    struct pd_gateway_backend_config config;
    struct pd_server_client client;
    struct pd_backend_events events;
    struct pd_gateway_writes writes;
    struct pd_gateway_reads reads;
    enum pd_replica_outcome reads_outcome; /* of those that are refused */
    struct pd_gateway_peers peers;
    struct pd_event closed;
    struct pd_postbox posts;
    struct pd_gateway_hot hot;
    /* Taken from it, and given one by one. */
    struct pd_posted *large;
    struct pd_posted **large_end;
    struct post *filling; /* whoever holds the core fills it; NULL: there is none */
    atomic_bool is_attached;
    bool is_open;       /* as a client of the server */
    bool has_submitted; /* and the core was not woken for it yet */
    uint8_t *room;      /* of a request */
    size_t room_size;
    uint64_t node_id;
    char *store_folder;
    uint64_t output_told;   /* to the server, of answers that wait for clients */
    uint64_t writes_failed; /* answered, but not as done */
    uint64_t store_bytes;   /* as of store_looked_ns */
    uint64_t store_looked_ns;
    char url[URL_MAX];
    /* Of the answer about the members that is being given. */
    struct pd_backend_about about;
    char texts[PD_BACKEND_MEMBERS_MAX * (2 * PD_BACKEND_URLS_MAX + 1)][URL_MAX];
};

static struct pd_gateway_backend *backend_of(struct pd_backend *interface)
{
    return (struct pd_gateway_backend *)(void *)interface;
}

static uint64_t now_ns(const struct pd_backend *interface)
{
    const struct pd_gateway_backend *backend =
        (const struct pd_gateway_backend *)(const void *)interface;
    return pd_host_now_ns(backend->config.host);
}

/* -- From the core ----------------------------------------------------------------------------- */

static void hand_over(struct pd_gateway_backend *backend)
{
    if (backend->filling != NULL) {
        (void)pd_postbox_put(&backend->posts, &backend->filling->link);
        backend->filling = NULL;
    }
}

/* It may be passed by any other: a watch's answers, say, may not. */
static bool is_large_read(uint64_t tag, struct pd_span bytes)
{
    return bytes.size >= LARGE_BYTES && (tag & PD_GATEWAY_WRITES_TAG) == 0 &&
           tag != CORRELATION_NOBODY &&
           (enum pd_backend_kind)((tag & ~GATHERED) >> KIND_SHIFT) == PD_BACKEND_READ;
}

static void on_answer(struct pd_server_client *client, uint64_t correlation, struct pd_span bytes)
{
    struct pd_gateway_backend *backend = pd_container_of(client, struct pd_gateway_backend, client);
    const struct answer_head head = {.correlation = correlation, .size = bytes.size};
    size_t size = sizeof head + bytes.size;
    bool is_large = is_large_read(correlation, bytes);
    if (backend->filling != NULL &&
        (is_large || size > backend->filling->capacity - backend->filling->size)) {
        hand_over(backend);
    }
    if (backend->filling == NULL) {
        size_t capacity = size < POST_BYTES ? POST_BYTES : size;
        backend->filling = pd_alloc(sizeof *backend->filling + capacity);
        if (backend->filling == NULL) {
            pd_fatal("no memory for an answer of %zu bytes: give the node more memory", bytes.size);
        }
        backend->filling->size = 0;
        backend->filling->capacity = capacity;
        backend->filling->away = 0;
        backend->filling->is_large = is_large;
    }
    if (bytes.size >= PD_SERVER_ANSWER_LARGE) {
        backend->filling->away += bytes.size;
        pd_server_answers_away(backend->config.server, bytes.size);
    }
    uint8_t *to = backend->filling->bytes + backend->filling->size;
    memcpy(to, &head, sizeof head);
    memcpy(to + sizeof head, bytes.bytes, bytes.size);
    backend->filling->size += size;
    if (is_large) {
        hand_over(backend); /* alone */
    }
}

static void wake_gateway(void *state)
{
    struct pd_gateway_backend *backend = state;
    if (atomic_load(&backend->is_attached)) {
        backend->events.wake(backend->events.state);
    }
}

/* Once for all answers of a turn. */
static void on_settled(struct pd_server_client *client)
{
    struct pd_gateway_backend *backend = pd_container_of(client, struct pd_gateway_backend, client);
    hand_over(backend);
    wake_gateway(backend);
}

static void on_closed(struct pd_server_client *client)
{
    struct pd_gateway_backend *backend = pd_container_of(client, struct pd_gateway_backend, client);
    backend->config.host->ops->event_set(backend->config.host, &backend->closed);
}

/* -- To the core ------------------------------------------------------------------------------- */

/* Room for a head and `size` bytes more; NULL: no memory. */
static uint8_t *request_room(struct pd_gateway_backend *backend, size_t size)
{
    size_t wanted = PD_REPLICA_REQUEST_HEAD_SIZE + size;
    if (wanted > backend->room_size) {
        uint8_t *grown = pd_realloc(backend->room, wanted);
        if (grown == NULL) {
            return NULL;
        }
        backend->room = grown;
        backend->room_size = wanted;
    }
    return backend->room;
}

/* The request's bytes, in the room; none: no memory. */
static struct pd_span encode(struct pd_gateway_backend *backend,
                             const struct pd_replica_request_head *head)
{
    uint8_t *room = request_room(backend, head->body.size);
    if (room == NULL) {
        return (struct pd_span){NULL, 0};
    }
    pd_replica_request_put_head(room, head);
    if (head->body.size > 0) {
        memcpy(room + PD_REPLICA_REQUEST_HEAD_SIZE, head->body.bytes, head->body.size);
    }
    return (struct pd_span){room, PD_REPLICA_REQUEST_HEAD_SIZE + head->body.size};
}

/* The core is woken by `submitted`. */
static enum pd_status submit_bytes(struct pd_gateway_backend *backend, uint64_t correlation,
                                   struct pd_span bytes)
{
    backend->has_submitted = true;
    return pd_server_submit_quietly(backend->config.server, &backend->client, correlation, bytes);
}

static enum pd_status submit_head(struct pd_gateway_backend *backend, uint64_t correlation,
                                  const struct pd_replica_request_head *head)
{
    struct pd_span bytes = encode(backend, head);
    if (bytes.size == 0) {
        return PD_ERR_NO_MEMORY;
    }
    return submit_bytes(backend, correlation, bytes);
}

/* To a watch or a snapshot that runs. Nobody would say it again. */
static void tell_watch(struct pd_gateway_backend *backend,
                       const struct pd_replica_request_head *head)
{
    struct pd_span bytes = encode(backend, head);
    enum pd_status status =
        bytes.size == 0 ? PD_ERR_NO_MEMORY
                        : pd_server_submit_of_watch(backend->config.server, &backend->client,
                                                    CORRELATION_NOBODY, bytes);
    if (status == PD_ERR_NO_MEMORY) {
        pd_fatal("no memory for a watch: give the node more memory");
    }
}

static uint64_t tag_of(uint64_t correlation, enum pd_backend_kind kind)
{
    return (uint64_t)kind << KIND_SHIFT | correlation;
}

static void send_writes(struct pd_gateway_backend *backend)
{
    struct pd_gateway_sending sending;
    uint64_t now = pd_host_now_ns(backend->config.host);
    while (pd_gateway_writes_next(&backend->writes, now, &sending)) {
        if (submit_head(backend, sending.tag, &sending.head) != PD_OK) {
            pd_gateway_writes_refused(&backend->writes, sending.tag, now);
        }
    }
}

static void send_reads(struct pd_gateway_backend *backend)
{
    uint64_t tag = 0;
    struct pd_span request;
    uint64_t now = pd_host_now_ns(backend->config.host);
    while (pd_gateway_reads_next(&backend->reads, now, &tag, &request)) {
        enum pd_status status = submit_bytes(backend, tag, request);
        if (status != PD_OK) {
            /* It is told so from `expire`: here nothing may be answered. */
            backend->reads_outcome =
                status == PD_ERR_CLOSED ? PD_REPLICA_NOT_READY : PD_REPLICA_BUSY;
            pd_gateway_reads_refused(&backend->reads);
        }
    }
}

static enum pd_status submit_gathered(struct pd_gateway_backend *backend, uint64_t tag,
                                      const struct pd_replica_request_head *head)
{
    struct pd_span bytes = encode(backend, head);
    if (bytes.size == 0) {
        return PD_ERR_NO_MEMORY;
    }
    enum pd_status status = pd_gateway_reads_add(&backend->reads, tag, bytes);
    if (status == PD_ERR_FULL) {
        send_reads(backend); /* a loop's turn may bring more than is kept at once */
        status = pd_gateway_reads_add(&backend->reads, tag, bytes);
    }
    return status;
}

static enum pd_status submit_watch(struct pd_gateway_backend *backend, uint64_t correlation,
                                   const struct pd_backend_watch *watch)
{
    const struct pd_replica_watch_request asked = {
        .key = watch->key,
        .range_end = watch->range_end,
        .start_revision = watch->start_revision,
        .credit = watch->credit,
        .no_put = watch->no_put,
        .no_delete = watch->no_delete,
        .with_previous = watch->with_previous,
        .with_progress = watch->with_progress,
        .may_fragment = watch->may_fragment,
    };
    size_t most = watch->key.size + watch->range_end.size + WATCH_BYTES_MAX;
    uint8_t *room = request_room(backend, most);
    if (room == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_WATCH};
    pd_replica_request_put_head(room, &head);
    struct pd_kv_writer writer = {.bytes = room + PD_REPLICA_REQUEST_HEAD_SIZE, .bytes_max = most};
    pd_replica_watch_request_put(&writer, &asked);
    pd_assert(!writer.is_full);
    struct pd_span bytes = {room, PD_REPLICA_REQUEST_HEAD_SIZE + writer.size};
    return submit_bytes(backend, correlation, bytes);
}

/* In one request, if the cluster's version has that; before, the directory keeps it, and who asks
 * again when all nodes are new has it removed there as well. */
static enum pd_replica_request_kind removal(const struct pd_gateway_backend *backend)
{
    struct pd_server_figures figures;
    pd_server_figures(backend->config.server, &figures);
    return figures.cluster_version < PD_REPLICA_LEAVE_VERSION ? PD_REPLICA_REQUEST_REMOVE
                                                              : PD_REPLICA_REQUEST_LEAVE;
}

static enum pd_replica_request_kind kind_of(const struct pd_gateway_backend *backend,
                                            enum pd_backend_kind kind)
{
    switch (kind) {
    case PD_BACKEND_READ:
        return PD_REPLICA_REQUEST_READ;
    case PD_BACKEND_LEASE:
        return PD_REPLICA_REQUEST_LEASE;
    case PD_BACKEND_LEASES:
        return PD_REPLICA_REQUEST_LEASES;
    case PD_BACKEND_ABOUT:
        return PD_REPLICA_REQUEST_ABOUT;
    case PD_BACKEND_WATCH:
        return PD_REPLICA_REQUEST_WATCH;
    case PD_BACKEND_ADD_LEARNER:
        return PD_REPLICA_REQUEST_ADD_LEARNER;
    case PD_BACKEND_PROMOTE:
        return PD_REPLICA_REQUEST_PROMOTE;
    case PD_BACKEND_REMOVE:
        return removal(backend);
    case PD_BACKEND_TRANSFER:
        return PD_REPLICA_REQUEST_TRANSFER;
    case PD_BACKEND_SNAPSHOT:
        return PD_REPLICA_REQUEST_SNAPSHOT;
    case PD_BACKEND_SNAPSHOT_END:
        return PD_REPLICA_REQUEST_SNAPSHOT_END;
    case PD_BACKEND_WRITE:
    case PD_BACKEND_REPEATABLE:
        break;
    }
    return PD_REPLICA_REQUEST_WRITE;
}

/* A read of a key that this thread may look up itself; its answer waits for `submitted`. */
static bool read_hot(struct pd_gateway_backend *backend, uint64_t correlation,
                     const struct pd_backend_request *request)
{
    uint8_t room[PD_SERVER_HOT_ANSWER_MAX];
    struct pd_replica_answer_head answer;
    return request->kind == PD_BACKEND_READ &&
           pd_server_answer_hot(backend->config.server, request->body, room, sizeof room,
                                &answer) &&
           pd_gateway_hot_add(&backend->hot, correlation, &answer);
}

static enum pd_status submit(struct pd_backend *interface, uint64_t correlation,
                             const struct pd_backend_request *request)
{
    struct pd_gateway_backend *backend = backend_of(interface);
    pd_assert(correlation >> KIND_SHIFT == 0);
    if (read_hot(backend, correlation, request)) {
        return PD_OK;
    }
    if (request->kind == PD_BACKEND_WRITE || request->kind == PD_BACKEND_REPEATABLE) {
        enum pd_status status = pd_gateway_writes_add(&backend->writes, correlation, request->body,
                                                      request->kind == PD_BACKEND_REPEATABLE,
                                                      pd_host_now_ns(backend->config.host));
        if (status == PD_OK) {
            send_writes(backend);
        }
        return status;
    }
    if (request->kind == PD_BACKEND_WATCH) {
        return submit_watch(backend, tag_of(correlation, request->kind), request->watch);
    }
    const struct pd_replica_request_head head = {
        .kind = kind_of(backend, request->kind),
        .flags = request->serializable ? PD_REPLICA_REQUEST_SERIALIZABLE : 0,
        .sequence = request->sequence,
        .number = request->number,
        .body = request->body,
    };
    uint64_t tag = tag_of(correlation, request->kind);
    if (request->kind == PD_BACKEND_READ && !request->serializable) {
        return submit_gathered(backend, tag | GATHERED, &head);
    }
    return submit_head(backend, tag, &head);
}

static void cancel(struct pd_backend *interface, uint64_t correlation, enum pd_backend_kind kind)
{
    if (kind == PD_BACKEND_WATCH) {
        const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_UNWATCH,
                                                     .number = tag_of(correlation, kind)};
        tell_watch(backend_of(interface), &head);
    } else if (kind == PD_BACKEND_SNAPSHOT_END) {
        const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_SNAPSHOT_END,
                                                     .number = correlation};
        tell_watch(backend_of(interface), &head);
    }
}

static void credit(struct pd_backend *interface, uint64_t correlation, uint32_t bytes,
                   bool wants_progress)
{
    uint8_t room[32];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    const struct pd_replica_watch_credit given = {.credit = bytes,
                                                  .wants_progress = wants_progress};
    pd_replica_watch_credit_put(&writer, &given);
    pd_assert(!writer.is_full);
    const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_WATCH_CREDIT,
                                                 .number = tag_of(correlation, PD_BACKEND_WATCH),
                                                 .body = {writer.bytes, writer.size}};
    tell_watch(backend_of(interface), &head);
}

/* -- Answers, on the gateway's thread ---------------------------------------------------------- */

static enum pd_backend_outcome outcome_of(enum pd_replica_outcome outcome)
{
    switch (outcome) {
    case PD_REPLICA_OK:
        return PD_BACKEND_OK;
    case PD_REPLICA_NOT_LEADER:
    case PD_REPLICA_NOT_READY:
    case PD_REPLICA_DROPPED:
        return PD_BACKEND_NO_LEADER;
    case PD_REPLICA_BUSY:
        return PD_BACKEND_BUSY;
    case PD_REPLICA_DISK_LOW:
        return PD_BACKEND_NO_SPACE;
    case PD_REPLICA_INVALID:
        return PD_BACKEND_INVALID;
    case PD_REPLICA_CANCELLED:
        return PD_BACKEND_CANCELLED;
    case PD_REPLICA_UNKNOWN:
    case PD_REPLICA_OUTCOME_COUNT:
        break;
    }
    return PD_BACKEND_UNKNOWN;
}

/* A text of the directory, with what goes before it; the next place is taken. */
static const char *keep_text(struct pd_gateway_backend *backend, uint32_t *at, const char *before,
                             struct pd_span text)
{
    char *kept = backend->texts[(*at)++];
    (void)snprintf(kept, URL_MAX, "%s%.*s", before, (int)text.size,
                   text.size == 0 ? "" : (const char *)text.bytes);
    return kept;
}

static void take_member(struct pd_gateway_backend *backend, const struct pd_members_item *item,
                        uint32_t *text_at)
{
    struct pd_backend_about *about = &backend->about;
    struct pd_backend_member *member = &about->members[about->member_count++];
    *member = (struct pd_backend_member){
        .id = item->member.node, .is_learner = item->standing == PD_MEMBERS_LEARNER, .name = ""};
    bool is_self = item->member.node == backend->node_id;
    about->is_learner = about->is_learner || (is_self && member->is_learner);
    if (item->is_listed) {
        member->name = keep_text(backend, text_at, "", item->member.name);
        for (uint32_t i = 0; i < item->member.client_count; i++) {
            member->client_urls[member->client_url_count++] =
                keep_text(backend, text_at, "", item->member.clients[i]);
        }
        for (uint32_t i = 0; i < item->member.peer_count; i++) {
            member->peer_urls[member->peer_url_count++] =
                keep_text(backend, text_at, "quic://", item->member.peers[i]);
        }
    }
    if (is_self && member->name[0] == '\0') {
        member->name = backend->config.name;
    }
    /* A node alone tells the directory nothing after its first start: it may listen elsewhere now,
     * or speak TLS. */
    bool is_stale = member->client_url_count == 0 || item->member.peer_count == 0;
    if (is_self && is_stale && backend->url[0] != '\0') {
        member->client_urls[0] = backend->url;
        member->client_url_count = 1;
    }
}

/* Not looked for more often than once a second. */
static uint64_t store_bytes(struct pd_gateway_backend *backend)
{
    uint64_t now = pd_host_now_ns(backend->config.host);
    if (backend->store_looked_ns == 0 || now - backend->store_looked_ns > SECOND_NS) {
        backend->store_bytes = pd_host_folder_bytes(backend->store_folder);
        backend->store_looked_ns = now;
    }
    return backend->store_bytes;
}

static void figures(struct pd_backend *interface, struct pd_backend_figures *figures_out)
{
    struct pd_gateway_backend *backend = backend_of(interface);
    struct pd_server_figures node;
    struct pd_server_counters counters;
    pd_server_figures(backend->config.server, &node);
    pd_server_counters(backend->config.server, &counters);
    *figures_out = (struct pd_backend_figures){
        .leader = node.leader,
        .leader_changes = node.leader_changes,
        .term = node.term,
        .last_index = node.last_index,
        .committed_index = node.committed_index,
        .applied_index = node.applied_index,
        .revision = node.revision,
        .compacted_revision = node.compacted_revision,
        .key_count = node.key_count,
        .lease_count = node.lease_count,
        .cluster_version = node.cluster_version,
        .version_limit = node.version_limit,
        .proposals = node.proposals,
        .large_waited = node.large_waited,
        .proposals_failed = backend->writes_failed,
        .reads = node.reads + counters.hot_reads,
        .reads_turned_away = node.reads_turned_away,
        .read_bytes = node.read_bytes,
        .snapshots_sent = node.snapshots_sent,
        .snapshots_installed = node.snapshots_installed,
        .store_bytes = store_bytes(backend),
        .log_batches = counters.log_batches,
        .log_records = counters.log_records,
        .requests = counters.requests,
        .requests_refused = counters.requests_refused,
        .requests_slow = counters.slow,
        .requests_slow_untold = counters.slow_untold,
        .peer_packets = counters.peers.packets,
        .peer_packets_dropped = counters.peers.packets_dropped,
        .peer_sends_dropped = counters.peers.sends_dropped,
        .datagrams_dropped = node.datagrams_dropped,
        .versions_refused = node.versions_refused,
        .bad_tokens = node.bad_tokens,
        .connections_failed = node.connections_failed,
        .connections_timed_out = node.connections_timed_out,
        .bad_frames = node.bad_frames,
        .peers_refused_busy = node.peers_refused_busy,
        .peers_refused_flood = node.peers_refused_flood,
        .peers_refused_key = node.peers_refused_key,
        .connections_silent = node.connections_silent,
        .peers_moved = node.peers_moved,
        .own_moves = node.own_moves,
        .trains = node.trains,
        .trains_refused = node.trains_refused,
        .forwards = counters.peers.forwards,
        .is_learner = node.is_learner != 0,
        .disk_is_low = node.disk_is_low != 0,
        .sync = node.sync,
        .apply = node.apply,
        .store_write = node.store_write,
    };
}

static void more_metrics(struct pd_backend *interface, struct pd_text *text)
{
    const struct pd_gateway_more_metrics *more = &backend_of(interface)->config.more;
    if (more->write != NULL) {
        more->write(more->state, text);
    }
}

static bool take_about(struct pd_gateway_backend *backend, struct pd_span body)
{
    struct pd_kv_reader reader;
    struct pd_replica_about about;
    pd_kv_reader_init(&reader, body);
    pd_replica_about_get(&reader, &about);
    backend->about = (struct pd_backend_about){
        .revision = about.revision,
        .compacted_revision = about.compacted_revision,
        .committed_index = about.committed_index,
        .applied_index = about.applied_index,
        .hash = about.hash,
        .key_count = about.key_count,
        .store_bytes = store_bytes(backend),
        .disk_is_low = about.disk_is_low,
    };
    struct pd_members_item item;
    uint32_t text_at = 0;
    while (pd_members_next(&reader, &item)) {
        /* One that neither votes nor learns has no etcd that could be asked. */
        if (item.standing != PD_MEMBERS_NONE &&
            backend->about.member_count < PD_BACKEND_MEMBERS_MAX) {
            take_member(backend, &item, &text_at);
        }
    }
    return pd_kv_answer_is_whole(&reader);
}

static bool take_watch(struct pd_span body, struct pd_backend_watch_answer *watch_out)
{
    struct pd_replica_watch_head head;
    struct pd_kv_reader reader;
    pd_kv_reader_init(&reader, body);
    pd_replica_watch_head_get(&reader, &head);
    static const enum pd_backend_watch_kind kinds[] = {
        [PD_REPLICA_WATCH_CREATED] = PD_BACKEND_WATCH_CREATED,
        [PD_REPLICA_WATCH_EVENTS] = PD_BACKEND_WATCH_EVENTS,
        [PD_REPLICA_WATCH_PROGRESS] = PD_BACKEND_WATCH_PROGRESS,
        [PD_REPLICA_WATCH_CANCELLED] = PD_BACKEND_WATCH_ENDED,
    };
    bool costs = head.kind == PD_REPLICA_WATCH_EVENTS || head.kind == PD_REPLICA_WATCH_PROGRESS;
    *watch_out = (struct pd_backend_watch_answer){
        .kind = kinds[head.kind],
        .revision = head.revision,
        .through_revision = head.through_revision,
        .compact_revision = head.compact_revision,
        .is_fragment = head.is_fragment,
        .cost = costs ? body.size : 0,
        .events = reader,
        .event = pd_replica_watch_event_get,
        .reason = head.reason,
    };
    return !reader.is_bad;
}

static void give(struct pd_gateway_backend *backend, uint64_t correlation,
                 enum pd_backend_kind kind, enum pd_replica_outcome outcome,
                 const struct pd_replica_answer_head *head)
{
    struct pd_backend_watch_answer watch;
    struct pd_backend_answer answer = {
        .outcome = outcome_of(outcome),
        .leader = head->leader,
        .term = head->term,
    };
    bool is_sound = true;
    backend->writes_failed += kind == PD_BACKEND_WRITE && outcome != PD_REPLICA_OK;
    if (kind == PD_BACKEND_WATCH && (outcome == PD_REPLICA_OK || outcome == PD_REPLICA_CANCELLED)) {
        is_sound = take_watch(head->body, &watch);
        answer.watch = &watch;
    } else if (outcome != PD_REPLICA_OK) {
        answer.text = head->body;
    } else if (kind == PD_BACKEND_ABOUT) {
        is_sound = take_about(backend, head->body);
        answer.about = &backend->about;
    } else {
        answer.body = head->body;
    }
    pd_assert(is_sound); /* this node wrote it */
    backend->events.answered(backend->events.state, correlation, &answer);
}

/* A write for which the store had no session: its own word, for it is not that nobody leads. */
static void give_crowded(struct pd_gateway_backend *backend, uint64_t correlation)
{
    uint8_t room[32];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    pd_kv_answer_put_head(&writer, &(struct pd_kv_answer_head){.error = PD_KV_ERR_SESSIONS_FULL});
    pd_assert(!writer.is_full);
    backend->writes_failed++;
    give(backend, correlation, PD_BACKEND_WRITE, PD_REPLICA_OK,
         &(struct pd_replica_answer_head){.body = {writer.bytes, writer.size}});
}

static void take_answer(struct pd_gateway_backend *backend, uint64_t tag, struct pd_span bytes,
                        uint64_t now)
{
    struct pd_replica_answer_head head;
    enum pd_status status = pd_replica_answer_decode(bytes, &head);
    pd_assert(status == PD_OK); /* this node wrote it */
    if ((tag & PD_GATEWAY_WRITES_TAG) != 0) {
        uint64_t correlation = 0;
        enum pd_replica_outcome outcome = PD_REPLICA_OK;
        if (pd_gateway_writes_answered(&backend->writes, tag, &head, now, &correlation, &outcome)) {
            give(backend, correlation, PD_BACKEND_WRITE, outcome, &head);
        }
    } else if (tag != CORRELATION_NOBODY) {
        if ((tag & GATHERED) != 0) {
            pd_gateway_reads_answered(&backend->reads, now);
            tag &= ~GATHERED;
        }
        enum pd_backend_kind kind = (enum pd_backend_kind)(tag >> KIND_SHIFT);
        uint64_t correlation = tag & CORRELATION_MASK;
        give(backend, correlation, kind, head.outcome, &head);
    }
}

static void take_post(struct pd_gateway_backend *backend, struct post *post, uint64_t now)
{
    for (size_t at = 0; at < post->size;) {
        struct answer_head head;
        memcpy(&head, post->bytes + at, sizeof head);
        at += sizeof head;
        take_answer(backend, head.correlation, (struct pd_span){post->bytes + at, head.size}, now);
        at += head.size;
    }
    size_t away = post->away;
    pd_free(post);
    if (away > 0) {
        pd_server_answers_back(backend->config.server, away);
    }
}

/* One a turn of the gateway's loop, so that other clients have theirs. */
static void take_large(struct pd_gateway_backend *backend, uint64_t now)
{
    struct pd_posted *first = backend->large;
    if (first == NULL) {
        return;
    }
    backend->large = first->next;
    if (first->next == NULL) {
        backend->large_end = &backend->large;
    } else {
        backend->events.wake(backend->events.state);
    }
    take_post(backend, pd_container_of(first, struct post, link), now);
}

static void drain(struct pd_backend *interface)
{
    struct pd_gateway_backend *backend = backend_of(interface);
    struct pd_posted *link = pd_postbox_take(&backend->posts);
    uint64_t now = pd_host_now_ns(backend->config.host);
    while (link != NULL) {
        struct post *post = pd_container_of(link, struct post, link);
        link = link->next;
        if (post->is_large) {
            post->link.next = NULL;
            *backend->large_end = &post->link;
            backend->large_end = &post->link.next;
        } else {
            take_post(backend, post, now);
        }
    }
    take_large(backend, now);
    pd_gateway_peers_drain(&backend->peers);
    send_writes(backend);
    send_reads(backend);
}

static void output(struct pd_backend *interface, uint64_t bytes)
{
    struct pd_gateway_backend *backend = backend_of(interface);
    uint64_t told = backend->output_told;
    if (bytes >= told + PD_SERVER_ANSWER_LARGE) {
        pd_server_answers_unread(backend->config.server, bytes - told);
        backend->output_told = bytes;
    } else if (told >= bytes + PD_SERVER_ANSWER_LARGE) {
        pd_server_answers_read(backend->config.server, told - bytes);
        backend->output_told = bytes;
    }
}

static void give_hot(struct pd_gateway_backend *backend)
{
    uint64_t correlation = 0;
    struct pd_replica_answer_head answer;
    while (pd_gateway_hot_take(&backend->hot)) { /* an answer may let the next request in */
        while (pd_gateway_hot_next(&backend->hot, &correlation, &answer)) {
            give(backend, correlation, PD_BACKEND_READ, answer.outcome, &answer);
        }
    }
}

static void submitted(struct pd_backend *interface)
{
    struct pd_gateway_backend *backend = backend_of(interface);
    send_reads(backend);
    if (backend->has_submitted) {
        backend->has_submitted = false;
        pd_server_nudge(backend->config.server);
    }
    give_hot(backend);
}

static enum pd_status peer_open(struct pd_backend *interface, struct pd_backend_peer *peer)
{
    return pd_gateway_peers_open(&backend_of(interface)->peers, peer);
}

static void peer_submit(struct pd_backend *interface, struct pd_backend_peer *peer,
                        uint64_t correlation, struct pd_span bytes)
{
    struct pd_gateway_backend *backend = backend_of(interface);
    backend->has_submitted = true;
    pd_gateway_peers_submit(&backend->peers, peer, correlation, bytes);
}

static void peer_close(struct pd_backend *interface, struct pd_backend_peer *peer)
{
    pd_gateway_peers_close(&backend_of(interface)->peers, peer);
}

/* -- The gateway's timer, and its life --------------------------------------------------------- */

static uint64_t deadline_ns(const struct pd_backend *interface)
{
    const struct pd_gateway_backend *backend =
        (const struct pd_gateway_backend *)(const void *)interface;
    uint64_t writes = pd_gateway_writes_deadline_ns(&backend->writes);
    uint64_t reads = pd_gateway_reads_deadline_ns(&backend->reads);
    return reads < writes ? reads : writes;
}

static void expire(struct pd_backend *interface, uint64_t now)
{
    struct pd_gateway_backend *backend = backend_of(interface);
    const struct pd_replica_answer_head nothing = {.outcome = PD_REPLICA_NOT_READY};
    uint64_t correlation = 0;
    while (pd_gateway_reads_next_refused(&backend->reads, &correlation)) {
        give(backend, correlation & CORRELATION_MASK, PD_BACKEND_READ, backend->reads_outcome,
             &nothing);
    }
    enum pd_replica_outcome outcome = PD_REPLICA_OK;
    while (pd_gateway_writes_expired(&backend->writes, now, &correlation, &outcome)) {
        if (outcome == PD_REPLICA_NOT_READY && pd_gateway_writes_are_crowded(&backend->writes)) {
            give_crowded(backend, correlation);
        } else {
            give(backend, correlation, PD_BACKEND_WRITE, outcome, &nothing);
        }
    }
    send_writes(backend);
    send_reads(backend);
}

static bool has_leader(const struct pd_backend *interface)
{
    const struct pd_gateway_backend *backend =
        (const struct pd_gateway_backend *)(const void *)interface;
    return pd_server_leader(backend->config.server) != 0;
}

static void attach(struct pd_backend *interface, const struct pd_backend_events *events)
{
    struct pd_gateway_backend *backend = backend_of(interface);
    backend->events = *events;
    atomic_store(&backend->is_attached, true);
}

/* The core may be within wake: until it is not, the gateway must not go. Every peer was closed
 * before, and the core tells of ends in the order in which it was asked for them. */
static void detach(struct pd_backend *interface)
{
    struct pd_gateway_backend *backend = backend_of(interface);
    pd_server_client_close(backend->config.server, &backend->client);
    (void)backend->config.host->ops->event_wait(backend->config.host, &backend->closed,
                                                PD_TIME_NEVER);
    backend->is_open = false;
    atomic_store(&backend->is_attached, false);
}

static const struct pd_backend_ops ops = {
    .attach = attach,
    .submit = submit,
    .submitted = submitted,
    .cancel = cancel,
    .credit = credit,
    .drain = drain,
    .output = output,
    .peer_open = peer_open,
    .peer_submit = peer_submit,
    .peer_close = peer_close,
    .figures = figures,
    .more_metrics = more_metrics,
    .has_leader = has_leader,
    .deadline_ns = deadline_ns,
    .expire = expire,
    .detach = detach,
};

enum pd_status pd_gateway_backend_open(const struct pd_gateway_backend_config *config,
                                       struct pd_gateway_backend **backend_out)
{
    struct pd_gateway_backend *backend = pd_alloc_zeroed(1, sizeof *backend);
    if (backend == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    struct pd_server_about about;
    struct pd_gateway_writes_config writes = pd_gateway_writes_config_default();
    pd_server_about(config->server, &about);
    backend->config = *config;
    backend->node_id = about.node_id;
    backend->interface = (struct pd_backend){
        .ops = &ops, .cluster_id = about.cluster_id, .member_id = about.node_id, .now_ns = now_ns};
    pd_gateway_peers_init(&backend->peers, config->server, PEERS_MAX, wake_gateway, backend);
    backend->large_end = &backend->large;
    backend->client.answer = on_answer;
    backend->client.name = "api";
    backend->client.settled = on_settled;
    backend->client.closed = on_closed;
    enum pd_status status = pd_gateway_writes_init(&backend->writes, &writes);
    size_t path_size = strlen(config->folder) + sizeof "/store";
    backend->store_folder = pd_alloc(path_size);
    if (status == PD_OK && backend->store_folder == NULL) {
        status = PD_ERR_NO_MEMORY;
    }
    if (status == PD_OK) {
        (void)snprintf(backend->store_folder, path_size, "%s/store", config->folder);
        status = pd_server_client_open(config->server, &backend->client);
    }
    if (status != PD_OK) {
        pd_gateway_writes_deinit(&backend->writes);
        pd_free(backend->store_folder);
        pd_free(backend);
        return status;
    }
    backend->is_open = true;
    *backend_out = backend;
    return PD_OK;
}

struct pd_backend *pd_gateway_backend_interface(struct pd_gateway_backend *backend)
{
    return &backend->interface;
}

void pd_gateway_backend_set_url(struct pd_gateway_backend *backend, const char *client_url)
{
    (void)snprintf(backend->url, sizeof backend->url, "%s", client_url);
}

static void free_posts(struct pd_posted *link)
{
    while (link != NULL) {
        struct post *post = pd_container_of(link, struct post, link);
        link = link->next;
        pd_free(post);
    }
}

void pd_gateway_backend_close(struct pd_gateway_backend *backend)
{
    if (backend == NULL) {
        return;
    }
    if (backend->is_open) { /* no gateway ever ran */
        detach(&backend->interface);
    }
    hand_over(backend);
    free_posts(pd_postbox_take(&backend->posts));
    free_posts(backend->large);
    pd_gateway_peers_deinit(&backend->peers);
    pd_gateway_writes_deinit(&backend->writes);
    pd_gateway_hot_deinit(&backend->hot);
    pd_gateway_reads_deinit(&backend->reads);
    pd_free(backend->store_folder);
    pd_free(backend->room);
    pd_free(backend);
}
