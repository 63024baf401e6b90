#include "net/endpoint.h"

#include <string.h>

#include <gnutls/crypto.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/hash.h"
#include "net/internal.h"

#define MIB (UINT64_C(1) << 20)
#define MS UINT64_C(1000000)

struct pd_net_limits pd_net_limits_default(void)
{
    return (struct pd_net_limits){
        .peers_max = PD_TRANSPORT_PEERS_MAX,
        .connections_max = 2048,
        .handshakes_max = 256,
        .retry_from = 64,
        /* All nodes of a machine, or behind one router, share them. More at once than this are a
         * matter of milliseconds: those that are dropped are sent again by QUIC. */
        .source_handshakes_max = 32,
        .source_retry_from = 16,
        .message_bytes_max = 32 * MIB,
        .lane_bytes_max = {64 * MIB, 64 * MIB},
        .requests_max = 1024,
        .request_bytes_max = 9 * MIB,
        .answer_bytes_max = 32 * MIB,
        .input_bytes_max = 64 * MIB,
        .input_bytes_total_max = 512 * MIB,
        .output_bytes_soft = 16 * MIB,
        .output_bytes_max = 128 * MIB,
        .window_bytes = 4 * MIB,
        .connection_window_bytes = 16 * MIB,
        .idle_ns = 6000 * MS,
        .keep_alive_ns = 2000 * MS,
        .handshake_ns = 5000 * MS,
        .backoff_min_ns = 50 * MS,
        .backoff_max_ns = 5000 * MS,
        .replies_a_second = 1000,
    };
}

void pd_net_look_at_clock(struct pd_net_endpoint *endpoint, uint64_t now_ns)
{
    pd_assert(now_ns >= endpoint->now_ns);
    endpoint->now_ns = now_ns;
}

uint64_t pd_net_hash(const struct pd_net_endpoint *endpoint, const void *bytes, size_t size)
{
    return pd_hash_bytes(endpoint->hash_seed, bytes, size);
}

/* -- Timers: a heap, the earliest first -------------------------------------------------------- */

static void put_at(struct pd_net_endpoint *endpoint, uint32_t place, struct pd_net_timer *timer)
{
    endpoint->heap[place - 1] = timer;
    timer->place = place;
}

static void sift(struct pd_net_endpoint *endpoint, struct pd_net_timer *timer)
{
    uint32_t place = timer->place;
    while (place > 1 && endpoint->heap[place / 2 - 1]->deadline_ns > timer->deadline_ns) {
        put_at(endpoint, place, endpoint->heap[place / 2 - 1]);
        place /= 2;
    }
    for (;;) {
        uint32_t child = 2 * place;
        if (child > endpoint->heap_count) {
            break;
        }
        if (child < endpoint->heap_count &&
            endpoint->heap[child]->deadline_ns < endpoint->heap[child - 1]->deadline_ns) {
            child++;
        }
        if (endpoint->heap[child - 1]->deadline_ns >= timer->deadline_ns) {
            break;
        }
        put_at(endpoint, place, endpoint->heap[child - 1]);
        place = child;
    }
    put_at(endpoint, place, timer);
}

void pd_net_timer_set(struct pd_net_endpoint *endpoint, struct pd_net_timer *timer,
                      uint64_t deadline_ns)
{
    timer->deadline_ns = deadline_ns;
    if (deadline_ns != PD_TIME_NEVER) {
        if (timer->place == 0) {
            pd_assert(endpoint->heap_count <
                      endpoint->limits.connections_max + endpoint->limits.peers_max);
            put_at(endpoint, ++endpoint->heap_count, timer);
        }
        sift(endpoint, timer);
        return;
    }
    if (timer->place != 0) {
        uint32_t place = timer->place;
        struct pd_net_timer *last = endpoint->heap[--endpoint->heap_count];
        timer->place = 0;
        if (last != timer) {
            put_at(endpoint, place, last);
            sift(endpoint, last);
        }
    }
}

/* -- Opening ----------------------------------------------------------------------------------- */

/* What only this node can know, and knows again in its next life. */
static bool make_secrets(struct pd_net_endpoint *endpoint)
{
    static const char purpose[] = "pando stateless reset 1";
    endpoint->random(endpoint->random_state, endpoint->token_secret, sizeof endpoint->token_secret);
    endpoint->random(endpoint->random_state, (uint8_t *)&endpoint->hash_seed,
                     sizeof endpoint->hash_seed);
    endpoint->random(endpoint->random_state, (uint8_t *)&endpoint->life, sizeof endpoint->life);
    endpoint->life |= 1; /* 0 is none */
    return gnutls_hmac_fast(GNUTLS_MAC_SHA256, endpoint->identity.secret, PD_NET_KEY_SIZE, purpose,
                            sizeof purpose, endpoint->reset_secret) == 0;
}

static void init(struct pd_net_endpoint *endpoint, const struct pd_net_endpoint_config *config)
{
    endpoint->limits = config->limits;
    endpoint->identity = *config->identity;
    endpoint->service_count = config->service_count;
    for (uint32_t i = 0; i < config->service_count; i++) {
        endpoint->services[i] = config->services[i];
    }
    endpoint->random = config->random;
    endpoint->random_state = config->random_state;
    endpoint->was_removed = config->was_removed;
    endpoint->removed_state = config->removed_state;
    endpoint->local = config->local;
    endpoint->now_ns = config->now_ns;
    endpoint->next_link = 2;
    pd_list_init(&endpoint->connections);
    pd_list_init(&endpoint->dirty);
    pd_list_init(&endpoint->peers);
    pd_list_init(&endpoint->events);
}

enum pd_status pd_net_endpoint_open(const struct pd_net_endpoint_config *config,
                                    struct pd_net_endpoint **endpoint_out)
{
    pd_assert(config->service_count <= PD_NET_SERVICES_MAX);
    pd_assert(config->limits.connections_max > 0);
    struct pd_net_endpoint *endpoint = pd_alloc_zeroed(1, sizeof *endpoint);
    if (endpoint == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    init(endpoint, config);
    size_t timers_max = (size_t)config->limits.connections_max + config->limits.peers_max;
    endpoint->heap = pd_alloc_zeroed(timers_max, sizeof(struct pd_net_timer *));
    endpoint->loose = pd_alloc_zeroed(PD_NET_LOOSE_MAX, sizeof *endpoint->loose);
    enum pd_status status =
        endpoint->heap == NULL || endpoint->loose == NULL || !make_secrets(endpoint)
            ? PD_ERR_NO_MEMORY
            : pd_net_tls_init(&endpoint->tls, &endpoint->identity);
    if (status != PD_OK) {
        pd_net_endpoint_close(endpoint);
        return status;
    }
    *endpoint_out = endpoint;
    return PD_OK;
}

static void free_told(struct pd_net_endpoint *endpoint)
{
    if (endpoint->told != NULL) {
        pd_free(endpoint->told->owned);
        pd_free(endpoint->told);
        endpoint->told = NULL;
    }
}

void pd_net_endpoint_close(struct pd_net_endpoint *endpoint)
{
    if (endpoint == NULL) {
        return;
    }
    endpoint->is_closing = true;
    while (!pd_list_is_empty(&endpoint->peers)) {
        pd_net_peer_free(pd_container_of(endpoint->peers.next, struct pd_net_peer, link));
    }
    while (!pd_list_is_empty(&endpoint->connections)) {
        pd_net_connection_drop(
            pd_container_of(endpoint->connections.next, struct pd_net_connection, link), "closed");
    }
    struct pd_net_event event;
    while (pd_net_endpoint_next_event(endpoint, &event)) {
    }
    pd_assert(endpoint->heap_count == 0);
    pd_table_deinit(&endpoint->by_cid);
    pd_table_deinit(&endpoint->by_link);
    pd_table_deinit(&endpoint->by_remote);
    pd_table_deinit(&endpoint->by_source);
    pd_table_deinit(&endpoint->by_node);
    pd_table_deinit(&endpoint->by_key);
    pd_net_tls_deinit(&endpoint->tls);
    pd_free(endpoint->loose);
    pd_free(endpoint->heap);
    explicit_bzero(endpoint, sizeof *endpoint);
    pd_free(endpoint);
}

/* -- Time and datagrams ------------------------------------------------------------------------ */

struct pd_net_connection *pd_net_by_cid(const struct pd_net_endpoint *endpoint,
                                        const uint8_t *bytes, size_t size)
{
    struct pd_table_node *node =
        pd_table_find(&endpoint->by_cid, pd_net_hash(endpoint, bytes, size));
    while (node != NULL) {
        const struct pd_net_cid *entry = pd_container_of(node, struct pd_net_cid, by_bytes);
        if (entry->cid.datalen == size && memcmp(entry->cid.data, bytes, size) == 0) {
            return entry->connection;
        }
        node = pd_table_next(node);
    }
    return NULL;
}

void pd_net_endpoint_receive(struct pd_net_endpoint *endpoint, uint64_t now_ns,
                             const struct pd_datagram *datagram)
{
    pd_net_look_at_clock(endpoint, now_ns);
    endpoint->counters.datagrams_in++;
    ngtcp2_version_cid ids;
    int result =
        datagram->size == 0
            ? NGTCP2_ERR_INVALID_ARGUMENT
            : ngtcp2_pkt_decode_version_cid(&ids, datagram->bytes, datagram->size, PD_NET_CID_SIZE);
    bool is_version_known = result != NGTCP2_ERR_VERSION_NEGOTIATION;
    if (result != 0 && is_version_known) {
        endpoint->counters.datagrams_dropped++;
        return;
    }
    struct pd_net_connection *connection =
        ids.dcidlen <= NGTCP2_MAX_CIDLEN ? pd_net_by_cid(endpoint, ids.dcid, ids.dcidlen) : NULL;
    if (connection != NULL && is_version_known) {
        (void)pd_net_connection_read(connection, now_ns, datagram);
    } else {
        pd_net_packet_unknown(endpoint, now_ns, datagram, &ids, is_version_known);
    }
}

uint64_t pd_net_endpoint_deadline_ns(const struct pd_net_endpoint *endpoint)
{
    if (!pd_list_is_empty(&endpoint->events)) {
        return endpoint->now_ns + 1; /* what ended while datagrams were written */
    }
    if (endpoint->heap_count == 0) {
        return PD_TIME_NEVER;
    }
    uint64_t deadline_ns = endpoint->heap[0]->deadline_ns;
    return deadline_ns <= endpoint->now_ns ? endpoint->now_ns + 1 : deadline_ns;
}

void pd_net_endpoint_expire(struct pd_net_endpoint *endpoint, uint64_t now_ns)
{
    pd_net_look_at_clock(endpoint, now_ns);
    while (endpoint->heap_count > 0 && endpoint->heap[0]->deadline_ns <= now_ns) {
        struct pd_net_timer *timer = endpoint->heap[0];
        pd_net_timer_set(endpoint, timer, PD_TIME_NEVER);
        switch (timer->kind) {
        case PD_NET_TIMER_CONNECTION:
            /* Its next deadline is set when it has written. */
            (void)pd_net_connection_expire(pd_container_of(timer, struct pd_net_connection, timer),
                                           now_ns);
            break;
        case PD_NET_TIMER_PEER:
            pd_net_peer_expire(pd_container_of(timer, struct pd_net_peer, timer), now_ns);
            break;
        }
    }
}

static bool next_loose(struct pd_net_endpoint *endpoint, uint8_t *room,
                       struct pd_datagram *datagram_out)
{
    if (endpoint->has_held) {
        endpoint->has_held = false;
        memcpy(room, endpoint->held_bytes, endpoint->held.size);
        *datagram_out = endpoint->held;
        datagram_out->bytes = room;
        return true;
    }
    if (endpoint->loose_count == 0) {
        return false;
    }
    const struct pd_net_loose *loose = &endpoint->loose[endpoint->loose_at];
    memcpy(room, loose->bytes, loose->size);
    *datagram_out =
        (struct pd_datagram){.remote = loose->remote, .bytes = room, .size = loose->size};
    endpoint->loose_at = (endpoint->loose_at + 1) % PD_NET_LOOSE_MAX;
    endpoint->loose_count--;
    return true;
}

bool pd_net_endpoint_next_datagram(struct pd_net_endpoint *endpoint, uint64_t now_ns,
                                   uint8_t room[PD_NET_ROOM_SIZE], struct pd_datagram *datagram_out)
{
    pd_net_look_at_clock(endpoint, now_ns);
    bool is_found = next_loose(endpoint, room, datagram_out);
    while (!is_found && !pd_list_is_empty(&endpoint->dirty)) {
        struct pd_net_connection *connection =
            pd_container_of(endpoint->dirty.next, struct pd_net_connection, dirty);
        pd_list_remove(&connection->dirty);
        bool is_gone = false;
        is_found = pd_net_connection_write(connection, now_ns, room, datagram_out, &is_gone) > 0;
        /* Its last word is in the ring now. */
        is_found = is_found || (is_gone && next_loose(endpoint, room, datagram_out));
    }
    if (is_found) {
        endpoint->counters.datagrams_out +=
            datagram_out->segment_size == 0
                ? 1
                : (datagram_out->size + datagram_out->segment_size - 1) /
                      datagram_out->segment_size;
    }
    return is_found;
}

void pd_net_endpoint_move(struct pd_net_endpoint *endpoint, uint64_t now_ns)
{
    pd_net_look_at_clock(endpoint, now_ns);
    for (struct pd_list *link = endpoint->connections.next; link != &endpoint->connections;
         link = link->next) {
        struct pd_net_connection *connection =
            pd_container_of(link, struct pd_net_connection, link);
        pd_net_silence_suspect(connection);
        pd_net_connection_move(connection, now_ns);
        pd_net_connection_make_dirty(connection); /* its timer is another one */
    }
    for (struct pd_list *link = endpoint->peers.next; link != &endpoint->peers; link = link->next) {
        pd_net_peer_moved(pd_container_of(link, struct pd_net_peer, link));
    }
}

/* -- Events ------------------------------------------------------------------------------------ */

enum pd_status pd_net_tell(struct pd_net_endpoint *endpoint, const struct pd_net_event *event,
                           uint8_t *owned)
{
    struct pd_net_event_item *item = pd_alloc_zeroed(1, sizeof *item);
    if (item == NULL) {
        pd_free(owned);
        return PD_ERR_NO_MEMORY;
    }
    item->event = *event;
    item->owned = owned;
    pd_list_append(&endpoint->events, &item->link);
    return PD_OK;
}

bool pd_net_endpoint_next_event(struct pd_net_endpoint *endpoint, struct pd_net_event *event_out)
{
    free_told(endpoint);
    struct pd_list *first = pd_list_first(&endpoint->events);
    if (first == NULL) {
        return false;
    }
    pd_list_remove(first);
    endpoint->told = pd_container_of(first, struct pd_net_event_item, link);
    *event_out = endpoint->told->event;
    return true;
}

/* -- Links ------------------------------------------------------------------------------------- */

static struct pd_net_connection *find_link(const struct pd_net_endpoint *endpoint, uint64_t link)
{
    struct pd_table_node *node =
        pd_table_find(&endpoint->by_link, pd_net_hash(endpoint, &link, sizeof link));
    while (node != NULL) {
        struct pd_net_connection *connection =
            pd_container_of(node, struct pd_net_connection, by_link);
        if (connection->link_id == link) {
            return connection;
        }
        node = pd_table_next(node);
    }
    return NULL;
}

enum pd_status pd_net_endpoint_dial(struct pd_net_endpoint *endpoint, uint64_t now_ns,
                                    uint64_t link, uint32_t service,
                                    const uint8_t key[PD_NET_KEY_SIZE],
                                    const struct pd_transport_address *address)
{
    pd_net_look_at_clock(endpoint, now_ns);
    pd_assert(link % 2 == 1);
    pd_assert(service < endpoint->service_count);
    pd_assert(find_link(endpoint, link) == NULL);
    if (endpoint->counters.connections >= endpoint->limits.connections_max ||
        endpoint->is_closing) {
        return PD_ERR_FULL;
    }
    struct pd_net_connection *connection =
        pd_net_connection_dial(endpoint, now_ns, service, key, address);
    if (connection == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    connection->link_id = link;
    pd_table_insert(&endpoint->by_link, &connection->by_link,
                    pd_net_hash(endpoint, &link, sizeof link));
    return PD_OK;
}

bool pd_net_endpoint_link_key(const struct pd_net_endpoint *endpoint, uint64_t link,
                              uint8_t key_out[PD_NET_KEY_SIZE])
{
    const struct pd_net_connection *connection = find_link(endpoint, link);
    if (connection == NULL || !connection->is_confirmed) {
        return false;
    }
    memcpy(key_out, connection->key, PD_NET_KEY_SIZE);
    return true;
}

bool pd_net_endpoint_link_address(const struct pd_net_endpoint *endpoint, uint64_t link,
                                  struct pd_transport_address *address_out)
{
    const struct pd_net_connection *connection = find_link(endpoint, link);
    if (connection == NULL || !connection->is_confirmed) {
        return false;
    }
    *address_out = connection->remote;
    return true;
}

enum pd_status pd_net_endpoint_call(struct pd_net_endpoint *endpoint, uint64_t link,
                                    uint64_t correlation, struct pd_net_buffer *buffer)
{
    struct pd_net_connection *connection = find_link(endpoint, link);
    enum pd_status status = PD_OK;
    struct pd_net_stream *stream = NULL;
    if (connection == NULL || connection->is_server || connection->must_close) {
        status = PD_ERR_CLOSED;
    } else if (pd_net_stream_find(connection, correlation) != NULL) {
        status = PD_ERR_EXISTS;
    } else if (connection->calls >= 2 * endpoint->limits.requests_max) {
        status = PD_ERR_FULL;
    } else {
        stream = pd_net_stream_make(connection, PD_NET_STREAM_CALL);
        status = stream == NULL ? PD_ERR_NO_MEMORY : PD_OK;
    }
    if (status != PD_OK) {
        pd_net_buffer_free(buffer);
        return status;
    }
    pd_list_remove(&stream->link);
    pd_list_append(&connection->waiting, &stream->link);
    pd_net_stream_name(stream, correlation);
    pd_net_stream_append(stream, buffer);
    stream->ends = true;
    return PD_OK;
}

void pd_net_endpoint_cancel(struct pd_net_endpoint *endpoint, uint64_t link, uint64_t correlation)
{
    struct pd_net_connection *connection = find_link(endpoint, link);
    struct pd_net_stream *stream =
        connection == NULL ? NULL : pd_net_stream_find(connection, correlation);
    if (stream == NULL || stream->kind != PD_NET_STREAM_CALL) {
        return;
    }
    pd_net_stream_finish(stream);
    if (stream->id < 0) {
        pd_net_stream_free(stream);
        return;
    }
    if (ngtcp2_conn_shutdown_stream(connection->quic, stream->id, PD_NET_CODE_CANCELLED) != 0) {
        pd_net_connection_mark(connection, PD_NET_CODE_BUSY, "no memory");
    }
    pd_net_connection_make_dirty(connection);
}

void pd_net_endpoint_answer(struct pd_net_endpoint *endpoint, uint64_t link, uint64_t correlation,
                            struct pd_net_buffer *buffer, bool is_last)
{
    struct pd_net_connection *connection = find_link(endpoint, link);
    struct pd_net_stream *stream =
        connection == NULL ? NULL : pd_net_stream_find(connection, correlation);
    if (stream == NULL || stream->kind != PD_NET_STREAM_REQUEST || connection->must_close) {
        endpoint->counters.answers_late++;
        pd_net_buffer_free(buffer);
        return;
    }
    if (buffer != NULL) {
        pd_net_stream_append(stream, buffer);
    }
    if (is_last) {
        stream->ends = true;
        pd_net_stream_finish(stream);
        pd_net_stream_make_ready(stream);
    }
    if (connection->output_bytes > endpoint->limits.output_bytes_max) {
        endpoint->counters.cut_off++;
        pd_net_connection_mark(connection, PD_NET_CODE_BUSY, "its answers are not read");
    }
}

void pd_net_endpoint_hang_up(struct pd_net_endpoint *endpoint, uint64_t now_ns, uint64_t link)
{
    pd_net_look_at_clock(endpoint, now_ns);
    struct pd_net_connection *connection = find_link(endpoint, link);
    if (connection != NULL) {
        pd_net_connection_close(connection, now_ns, PD_NET_CODE_BYE, "closed here");
    }
}

void pd_net_endpoint_hang_up_all(struct pd_net_endpoint *endpoint, uint64_t now_ns)
{
    pd_net_look_at_clock(endpoint, now_ns);
    endpoint->is_closing = true;
    while (!pd_list_is_empty(&endpoint->connections)) {
        pd_net_connection_close(
            pd_container_of(endpoint->connections.next, struct pd_net_connection, link), now_ns,
            PD_NET_CODE_BYE, "closed here");
    }
}

/* -- What it is -------------------------------------------------------------------------------- */

void pd_net_endpoint_counters(const struct pd_net_endpoint *endpoint,
                              struct pd_net_counters *counters_out)
{
    *counters_out = endpoint->counters;
}

static void check_connection(const struct pd_net_connection *connection)
{
    uint64_t output = 0;
    uint64_t input = 0;
    uint32_t calls = 0;
    const struct pd_list *lists[] = {&connection->streams, &connection->waiting};
    for (uint32_t i = 0; i < 2; i++) {
        for (struct pd_list *link = lists[i]->next; link != lists[i]; link = link->next) {
            const struct pd_net_stream *stream = pd_container_of(link, struct pd_net_stream, link);
            pd_assert(stream->connection == connection);
            pd_assert((stream->id < 0) == (i == 1));
            calls += stream->kind == PD_NET_STREAM_CALL ? 1 : 0;
            input += stream->assembly.size;
            for (struct pd_net_buffer *b = stream->buffers; b != NULL; b = b->next) {
                output += b->size;
            }
        }
    }
    pd_assert(output == connection->output_bytes);
    pd_assert(input == connection->input_bytes);
    pd_assert(calls == connection->calls);
}

void pd_net_endpoint_check(const struct pd_net_endpoint *endpoint)
{
    uint32_t connections = 0;
    uint32_t handshakes = 0;
    uint64_t input = 0;
    for (struct pd_list *link = endpoint->connections.next; link != &endpoint->connections;
         link = link->next) {
        const struct pd_net_connection *connection =
            pd_container_of(link, struct pd_net_connection, link);
        check_connection(connection);
        input += connection->input_bytes;
        connections++;
        if (connection->is_server && !connection->is_confirmed) {
            handshakes++;
            pd_assert(pd_net_source_count(endpoint, &connection->source) <=
                      endpoint->limits.source_handshakes_max);
        }
    }
    pd_assert(handshakes == endpoint->by_source.count);
    pd_assert(input == endpoint->input_bytes);
    pd_assert(connections == endpoint->counters.connections);
    pd_assert(handshakes == endpoint->counters.handshakes);
    for (uint32_t place = 1; place <= endpoint->heap_count; place++) {
        pd_assert(endpoint->heap[place - 1]->place == place);
        pd_assert(place == 1 || endpoint->heap[place / 2 - 1]->deadline_ns <=
                                    endpoint->heap[place - 1]->deadline_ns);
    }
}
