/* What comes in through a connection: which protocol it is, TLS, and whose turn a handshake is. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "gateway/gateway_internal.h"

#define NOTE_NS (10 * PD_GATEWAY_SECOND_NS) /* between two of what peers do */

/* How HTTP/2 begins (RFC 9113, 3.4), and the node's own protocol. No HTTP/1.1 request does. */
static const char http2_preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
static const char native_preface[] = PD_NATIVE_PREFACE;
_Static_assert(sizeof http2_preface - 1 == PD_GATEWAY_PEEK_SIZE, "it is the longest");
_Static_assert(sizeof native_preface - 1 <= PD_GATEWAY_PEEK_SIZE, "it has room, too");

enum speech {
    SPEECH_UNKNOWN = 0,
    SPEECH_HTTP1,
    SPEECH_HTTP2,
    SPEECH_NATIVE
};

/* For whoever speaks plainly where TLS is spoken; HTTP/1.0, so that anything understands it. */
static const char speaks_tls[] = "HTTP/1.0 400 Bad Request\r\n"
                                 "Content-Type: text/plain; charset=utf-8\r\n"
                                 "Connection: close\r\n"
                                 "\r\n"
                                 "this port speaks TLS: use https\n";

/* What a peer did; the first of a while, so that no peer fills the log. */
static void note_peer(struct pd_gateway_connection *connection, const char *what, const char *why)
{
    struct pd_gateway *gateway = connection->gateway;
    char name[INET6_ADDRSTRLEN] = "?";
    char text[PD_GATEWAY_TEXT_MAX];
    struct sockaddr_storage address;
    int size = sizeof address;
    uint64_t now = pd_gateway_now_ns(gateway);
    if (gateway->config.note == NULL || now < gateway->noted_ns) {
        return;
    }
    gateway->noted_ns = now + NOTE_NS;
    if (uv_tcp_getpeername(&connection->socket, (struct sockaddr *)&address, &size) == 0) {
        (void)uv_ip_name((const struct sockaddr *)&address, name, sizeof name);
    }
    (void)snprintf(text, sizeof text, "client %s: %s%s", name, what, why);
    gateway->config.note(gateway->config.note_state, text);
}

/* -- Input ------------------------------------------------------------------------------------- */

static bool open_protocol(struct pd_gateway_connection *connection, enum speech speech)
{
    struct pd_gateway *gateway = connection->gateway;
    const struct pd_protocol_owner owner = {.wants_output = pd_gateway_mark_dirty,
                                            .connection = connection};
    const struct pd_protocol *protocol = &pd_http1_protocol;
    if (speech == SPEECH_HTTP2) {
        protocol = &pd_grpc_protocol;
        connection->state = pd_grpc_open(&gateway->grpc, &owner);
    } else if (speech == SPEECH_NATIVE) {
        protocol = &pd_native_protocol;
        connection->state = pd_native_open(&gateway->native, &owner);
    } else {
        connection->state = pd_http1_open(&gateway->http1, &owner);
    }
    connection->protocol = connection->state == NULL ? NULL : protocol;
    return connection->protocol != NULL;
}

static void give(struct pd_gateway_connection *connection, struct pd_span bytes)
{
    if (bytes.size == 0) {
        return;
    }
    connection->is_silent = false;
    enum pd_status status = connection->protocol->receive(connection->state, bytes,
                                                          pd_gateway_now_ns(connection->gateway));
    pd_gateway_mark_dirty(connection);
    if (status != PD_OK) {
        connection->gateway->counters.connections_broken++;
        connection->ends = true;
    }
}

static bool may_be(const struct pd_gateway_connection *connection, const char *preface, size_t size)
{
    size_t seen = connection->peeked_size < size ? connection->peeked_size : size;
    return memcmp(connection->peeked, preface, seen) == 0;
}

/* What the bytes that were peeked at begin. */
static enum speech speech_of(const struct pd_gateway_connection *connection)
{
    bool may_be_http2 = may_be(connection, http2_preface, PD_GATEWAY_PEEK_SIZE);
    bool may_be_native = may_be(connection, native_preface, sizeof native_preface - 1);
    if (may_be_native && connection->peeked_size >= sizeof native_preface - 1) {
        return SPEECH_NATIVE;
    }
    if (may_be_http2 && connection->peeked_size == PD_GATEWAY_PEEK_SIZE) {
        return SPEECH_HTTP2;
    }
    return may_be_http2 || may_be_native ? SPEECH_UNKNOWN : SPEECH_HTTP1;
}

/* The first bytes, until they tell what this is. Returns how many of `bytes` were kept. */
static size_t peek(struct pd_gateway_connection *connection, const uint8_t *bytes, size_t size)
{
    size_t at = 0;
    enum speech speech = SPEECH_UNKNOWN;
    while (at < size && speech == SPEECH_UNKNOWN) {
        connection->peeked[connection->peeked_size++] = bytes[at++];
        speech = speech_of(connection);
    }
    if (speech == SPEECH_UNKNOWN) {
        return at;
    }
    if (!open_protocol(connection, speech)) {
        pd_gateway_break_off(connection);
        return size;
    }
    if (speech != SPEECH_NATIVE) { /* whose protocol begins behind its preface */
        give(connection, (struct pd_span){connection->peeked, connection->peeked_size});
    }
    return at;
}

/* What was said, TLS or none; it may be the end of the connection. */
static void take(struct pd_gateway_connection *connection, const uint8_t *bytes, size_t size)
{
    size_t at = 0;
    if (connection->protocol == NULL) {
        if (size > 0 && connection->tls == NULL && connection->peeked_size == 0 &&
            pd_tls_begins(bytes[0])) {
            connection->gateway->counters.tls_unwanted++;
            note_peer(connection, "speaks TLS, and this port does not: use http, or --cert-file",
                      "");
        }
        at = peek(connection, bytes, size);
    }
    if (connection->protocol != NULL && !connection->ends) {
        give(connection, (struct pd_span){bytes + at, size - at});
    }
}

/* -- TLS --------------------------------------------------------------------------------------- */

static void fail_tls(struct pd_gateway_connection *connection, enum pd_status status)
{
    struct pd_gateway_counters *counters = &connection->gateway->counters;
    if (!pd_tls_is_open(connection->tls)) {
        counters->tls_failed++;
        counters->tls_denied += status == PD_ERR_DENIED;
        note_peer(connection, "TLS failed: ", pd_tls_error(connection->tls));
    }
    counters->connections_broken++;
    connection->ends = true;
    pd_gateway_mark_dirty(connection);
}

/* The first byte tells that this is none. */
static void refuse_plain(struct pd_gateway_connection *connection)
{
    connection->gateway->counters.tls_failed++;
    connection->gateway->counters.tls_not++;
    connection->gateway->counters.connections_broken++;
    note_peer(connection, "speaks no TLS, and this port does: use https", "");
    connection->ends = true;
    if (pd_gateway_write_now(connection, (const uint8_t *)speaks_tls, sizeof speaks_tls - 1)) {
        pd_gateway_mark_dirty(connection);
    }
}

static void end_handshake(struct pd_gateway_connection *connection)
{
    enum pd_tls_alpn alpn = pd_tls_alpn(connection->tls);
    connection->gateway->counters.tls_handshakes++;
    pd_gateway_leave_turn(connection);
    connection->hello_deadline_ns = connection->shakes_ns + connection->gateway->config.hello_ns;
    connection->is_silent = true;
    if (alpn != PD_TLS_ALPN_NONE &&
        !open_protocol(connection, alpn == PD_TLS_ALPN_HTTP2 ? SPEECH_HTTP2 : SPEECH_HTTP1)) {
        pd_gateway_break_off(connection);
    } else {
        pd_gateway_mark_dirty(connection);
    }
}

static void take_tls(struct pd_gateway_connection *connection, const uint8_t *bytes, size_t size)
{
    struct pd_gateway *gateway = connection->gateway;
    struct pd_tls_room plain = {gateway->room_plain, 0, PD_GATEWAY_PLAIN_BYTES};
    struct pd_tls_room wire = {gateway->room_wire, 0, PD_GATEWAY_WIRE_BYTES};
    if (connection->tls == NULL) {
        if (!pd_tls_begins(bytes[0])) {
            refuse_plain(connection);
            return;
        }
        connection->tls = pd_tls_open(gateway->credentials);
        if (connection->tls == NULL) {
            pd_gateway_break_off(connection);
            return;
        }
    }
    bool was_open = pd_tls_is_open(connection->tls);
    enum pd_status status =
        pd_tls_receive(connection->tls, (struct pd_span){bytes, size}, &plain, &wire);
    if (wire.size > 0 && !pd_gateway_write_now(connection, wire.bytes, wire.size)) {
        return;
    }
    pd_gateway_mark_dirty(connection); /* what was not taken at once stops the reading */
    if (pd_tls_is_open(connection->tls) && !was_open) {
        end_handshake(connection);
    }
    if (!connection->is_closing && plain.size > 0) {
        take(connection, plain.bytes, plain.size);
    }
    if (connection->is_closing || status == PD_OK) {
        return;
    }
    if (status == PD_ERR_CLOSED) {
        connection->ends = true;
        pd_gateway_mark_dirty(connection);
    } else {
        fail_tls(connection, status);
    }
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)suggested;
    *buffer = uv_buf_init((char *)pd_gateway_connection_of(handle)->gateway->room_in,
                          PD_GATEWAY_ROOM_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct pd_gateway_connection *connection = pd_gateway_connection_of((uv_handle_t *)stream);
    if (size < 0) {
        pd_gateway_hang_up(connection);
        return;
    }
    pd_assert(connection->pending == NULL); /* else it would not be read from */
    const uint8_t *bytes = (const uint8_t *)buffer->base;
    if (size > 0 && connection->gateway->credentials != NULL) {
        take_tls(connection, bytes, (size_t)size);
    } else {
        take(connection, bytes, (size_t)size);
    }
    pd_gateway_pace(connection); /* libuv may read on before the turn is over */
}

void pd_gateway_pace(struct pd_gateway_connection *connection)
{
    const struct pd_protocol *protocol = connection->protocol;
    if (connection->is_closing) {
        return;
    }
    bool waits =
        connection->pending != NULL || connection->ends ||
        (protocol != NULL && protocol->is_full != NULL && protocol->is_full(connection->state));
    if (waits == connection->is_paused) {
        return;
    }
    connection->is_paused = waits;
    if (waits) {
        (void)uv_read_stop((uv_stream_t *)&connection->socket);
    } else {
        (void)uv_read_start((uv_stream_t *)&connection->socket, on_room, on_read);
    }
    if (protocol != NULL && protocol->paced != NULL) {
        protocol->paced(connection->state, waits, pd_gateway_now_ns(connection->gateway));
        pd_gateway_mark_dirty(connection); /* it may have another deadline now */
    }
}

void pd_gateway_begin_reading(struct pd_gateway_connection *connection)
{
    (void)uv_read_start((uv_stream_t *)&connection->socket, on_room, on_read);
}

/* While others wait it has less time, so that each of them has its turn. */
static void time_handshake(struct pd_gateway_connection *connection)
{
    const struct pd_gateway_config *config = &connection->gateway->config;
    uint64_t most = config->hello_ns;
    if (!pd_list_is_empty(&connection->gateway->waiting) && config->handshake_pressed_ns < most) {
        most = config->handshake_pressed_ns;
    }
    connection->hello_deadline_ns = connection->shakes_ns + most;
    pd_gateway_arm(connection);
}

static void begin_handshake(struct pd_gateway_connection *connection)
{
    struct pd_gateway *gateway = connection->gateway;
    connection->shakes = true;
    connection->shakes_ns = pd_gateway_now_ns(gateway);
    gateway->handshake_count++;
    pd_list_append(&gateway->handshakes, &connection->turn);
    time_handshake(connection);
    pd_gateway_begin_reading(connection);
}

static void begin_waiting(struct pd_gateway *gateway)
{
    while (!gateway->stops && !pd_list_is_empty(&gateway->waiting) &&
           gateway->handshake_count < gateway->config.handshakes_max) {
        struct pd_gateway_connection *next =
            pd_container_of(pd_list_first(&gateway->waiting), struct pd_gateway_connection, turn);
        pd_list_remove(&next->turn);
        begin_handshake(next);
    }
}

void pd_gateway_ask_for_turn(struct pd_gateway_connection *connection)
{
    struct pd_gateway *gateway = connection->gateway;
    pd_list_append(&gateway->waiting, &connection->turn);
    if (gateway->handshake_count == gateway->config.handshakes_max) {
        struct pd_gateway_connection *oldest = pd_container_of(pd_list_first(&gateway->handshakes),
                                                               struct pd_gateway_connection, turn);
        if (oldest->shakes_ns + gateway->config.handshake_pressed_ns <=
            pd_gateway_now_ns(gateway)) {
            gateway->counters.tls_failed++;
            pd_gateway_break_off(oldest);
        }
    }
    begin_waiting(gateway);
    if (gateway->waiting.next == &connection->turn) { /* the first that waits: all are pressed */
        for (struct pd_list *link = gateway->handshakes.next; link != &gateway->handshakes;
             link = link->next) {
            time_handshake(pd_container_of(link, struct pd_gateway_connection, turn));
        }
    }
}

void pd_gateway_leave_turn(struct pd_gateway_connection *connection)
{
    struct pd_gateway *gateway = connection->gateway;
    pd_list_remove(&connection->turn);
    if (connection->shakes) {
        connection->shakes = false;
        gateway->handshake_count--;
        begin_waiting(gateway);
    }
}
