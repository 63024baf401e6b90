#include "gateway/gateway.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/list.h"

#define BACKLOG 512
#define ROOM_BYTES ((size_t)256 * 1024)
#define PLAIN_BYTES (ROOM_BYTES + PD_TLS_AHEAD_BYTES)
#define WIRE_BYTES PD_TLS_WIRE_BYTES(ROOM_BYTES)
#define NOTE_NS (10 * SECOND_NS) /* between two of what peers do */
#define KEEPALIVE_S 60
#define ACCEPT_AGAIN_MS 100 /* there was no memory for one who came */
#define MILLISECOND_NS UINT64_C(1000000)
#define SECOND_NS UINT64_C(1000000000)

/* How HTTP/2 begins (RFC 9113, 3.4), and the node's own protocol. No HTTP/1.1 request does. */
static const char http2_preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
static const char native_preface[] = PD_NATIVE_PREFACE;
#define PEEK_SIZE (sizeof http2_preface - 1)
_Static_assert(sizeof native_preface <= sizeof http2_preface, "what is peeked at has room for it");

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

struct connection {
    uv_tcp_t socket; /* first */
    uv_timer_t timer;
    uv_write_t write;
    struct pd_gateway *gateway;
    struct pd_list link;
    struct pd_list dirty;               /* linked: it may have output */
    struct pd_list turn;                /* linked: of the gateway's handshakes, or its waiting */
    struct pd_tls *tls;                 /* NULL: none, or it is not its turn yet */
    uint64_t shakes_ns;                 /* since when */
    const struct pd_protocol *protocol; /* NULL: not known yet */
    void *state;
    uint64_t hello_deadline_ns;
    uint64_t armed_ns;                /* what the timer stands at; UINT64_MAX: nothing */
    uint8_t *pending;                 /* what the socket did not take at once */
    struct pd_service_client waiting; /* pending's bytes */
    size_t left;                      /* of it, when that was last looked at; pending is not NULL */
    uint64_t stall_deadline_ns;
    uint32_t handles; /* open */
    uint8_t peeked[PEEK_SIZE];
    uint8_t peeked_size;
    bool is_paused; /* not read from: it does not read */
    bool is_reset;  /* it takes nothing: the system is not to keep what waits for it */
    bool ends;      /* once its output has left */
    bool shakes;    /* of the gateway's handshakes */
    bool is_silent; /* TLS has told the protocol, and nothing came since */
    bool is_closing;
};

struct pd_gateway {
    struct pd_gateway_config config;
    struct pd_backend *backend;
    struct pd_service *service;
    struct pd_http1_shared http1;
    struct pd_native_shared native;
    uv_loop_t loop;
    uv_tcp_t listener;
    uv_async_t wake;
    uv_check_t turn; /* after what a turn of the loop has read */
    uv_timer_t backend_timer;
    uv_timer_t accept_timer;
    uint64_t backend_armed_ns;
    struct pd_list connections;
    struct pd_list dirty;
    uint32_t connection_count;
    struct pd_gateway_counters counters;
    struct pd_list handshakes; /* under way, oldest first */
    struct pd_list waiting;    /* for their turn, and not read from */
    uint32_t handshake_count;
    struct pd_tls_credentials *credentials; /* NULL: no TLS */
    _Atomic(struct pd_tls_credentials *) renewed;
    uint64_t noted_ns;
    uint8_t *room_in;
    uint8_t *room_out;
    uint8_t *room_plain; /* of TLS; so for the next */
    uint8_t *room_wire;
    atomic_bool is_asked_to_stop;
    bool stops;
    uint16_t port;
};

struct pd_gateway_config pd_gateway_config_default(void)
{
    return (struct pd_gateway_config){
        .address = "127.0.0.1",
        .port = 2379,
        .connections_max = 16384,
        .hello_ns = 10 * SECOND_NS,
        .stall_ns = 60 * SECOND_NS,
        .handshakes_max = 256,
        .handshake_pressed_ns = SECOND_NS,
        .service = pd_service_config_default(),
        .grpc = pd_grpc_config_default(),
        .http1 = pd_http1_config_default(),
        .native = pd_native_config_default(),
    };
}

static struct connection *connection_of(uv_handle_t *handle)
{
    return handle->data;
}

static uint64_t now_ns(const struct pd_gateway *gateway)
{
    return gateway->backend->now_ns(gateway->backend);
}

/* Whole milliseconds until then, at least one: a timer must not come early. */
static uint64_t wait_ms(uint64_t now, uint64_t deadline_ns)
{
    return deadline_ns <= now ? 1 : (deadline_ns - now) / MILLISECOND_NS + 1;
}

/* What a peer did; the first of a while, so that no peer fills the log. */
static void note_peer(struct connection *connection, const char *what, const char *why)
{
    struct pd_gateway *gateway = connection->gateway;
    char name[INET6_ADDRSTRLEN] = "?";
    char text[PD_GATEWAY_TEXT_MAX];
    struct sockaddr_storage address;
    int size = sizeof address;
    uint64_t now = now_ns(gateway);
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

/* -- The end of a connection ------------------------------------------------------------------- */

static void begin_waiting(struct pd_gateway *gateway);

/* Its handshake is over, or it is. */
static void leave_turn(struct connection *connection)
{
    struct pd_gateway *gateway = connection->gateway;
    pd_list_remove(&connection->turn);
    if (connection->shakes) {
        connection->shakes = false;
        gateway->handshake_count--;
        begin_waiting(gateway);
    }
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct connection *connection = connection_of(handle);
    if (--connection->handles == 0) {
        (void)pd_service_output(connection->gateway->service, &connection->waiting, 0);
        pd_free(connection->pending);
        pd_free(connection);
    }
}

static void hang_up(struct connection *connection)
{
    if (connection->is_closing) {
        return;
    }
    connection->is_closing = true;
    if (connection->protocol != NULL) {
        connection->protocol->close(connection->state);
        connection->protocol = NULL;
    }
    pd_tls_close(connection->tls);
    connection->tls = NULL;
    pd_list_remove(&connection->link);
    pd_list_remove(&connection->dirty);
    connection->gateway->connection_count--;
    leave_turn(connection);
    uv_close((uv_handle_t *)&connection->timer, on_handle_closed);
    if (!connection->is_reset || uv_tcp_close_reset(&connection->socket, on_handle_closed) != 0) {
        uv_close((uv_handle_t *)&connection->socket, on_handle_closed);
    }
}

static void break_off(struct connection *connection)
{
    connection->gateway->counters.connections_broken++;
    hang_up(connection);
}

/* -- Output ------------------------------------------------------------------------------------ */

static void flush(struct connection *connection);
static void pace(struct connection *connection);
static void settle(struct pd_gateway *gateway);

static void mark_dirty(void *state)
{
    struct connection *connection = state;
    if (!connection->is_closing && !pd_list_is_linked(&connection->dirty)) {
        pd_list_append(&connection->gateway->dirty, &connection->dirty);
    }
}

static void on_written(uv_write_t *write, int status)
{
    struct connection *connection = connection_of((uv_handle_t *)write->handle);
    (void)pd_service_output(connection->gateway->service, &connection->waiting, 0);
    pd_free(connection->pending);
    connection->pending = NULL;
    if (status < 0) {
        hang_up(connection);
    }
    mark_dirty(connection);
    settle(connection->gateway);
}

/* What the protocol has, as far as the room goes. */
static size_t gather(struct connection *connection)
{
    uint8_t *room = connection->gateway->room_out;
    size_t size = 0;
    /* nghttp2 gives a frame at a time, at most 16 KiB and its head. */
    while (size + 32 * 1024 <= ROOM_BYTES) {
        struct pd_span part = connection->protocol->output(connection->state);
        if (part.size == 0) {
            break;
        }
        pd_assert(part.size <= ROOM_BYTES - size);
        memcpy(room + size, part.bytes, part.size);
        size += part.size;
    }
    return size;
}

/* The rest goes when the socket takes it. False: the connection is gone. */
static bool write_rest(struct connection *connection, const uint8_t *bytes, size_t size)
{
    bool fits = pd_service_output(connection->gateway->service, &connection->waiting, size);
    connection->pending = fits ? pd_alloc(size) : NULL;
    if (connection->pending == NULL) {
        break_off(connection);
        return false;
    }
    memcpy(connection->pending, bytes, size);
    connection->left = size;
    connection->stall_deadline_ns =
        now_ns(connection->gateway) + connection->gateway->config.stall_ns;
    uv_buf_t buffer = uv_buf_init((char *)connection->pending, (unsigned)size);
    if (uv_write(&connection->write, (uv_stream_t *)&connection->socket, &buffer, 1, on_written) !=
        0) {
        hang_up(connection);
        return false;
    }
    return true;
}

/* To the socket, which takes nothing else now. False: the connection is gone. */
static bool write_now(struct connection *connection, const uint8_t *bytes, size_t size)
{
    union {
        const uint8_t *given;
        char *wanted; /* libuv reads it only */
    } base = {.given = bytes};
    uv_buf_t buffer = uv_buf_init(base.wanted, (unsigned)size);
    int written = uv_try_write((uv_stream_t *)&connection->socket, &buffer, 1);
    if (written == UV_EAGAIN) {
        written = 0;
    }
    if (written < 0) {
        hang_up(connection);
        return false;
    }
    return (size_t)written == size ||
           write_rest(connection, bytes + written, size - (size_t)written);
}

/* As write_now, of what the protocol said. */
static bool send_out(struct connection *connection, const uint8_t *bytes, size_t size)
{
    struct pd_tls_room wire = {connection->gateway->room_wire, 0, WIRE_BYTES};
    if (connection->tls == NULL) {
        return write_now(connection, bytes, size);
    }
    if (pd_tls_send(connection->tls, (struct pd_span){bytes, size}, &wire) != PD_OK) {
        break_off(connection);
        return false;
    }
    return write_now(connection, wire.bytes, wire.size);
}

/* Everything has left: the end, which TLS tells. */
static void finish(struct connection *connection)
{
    if (connection->tls != NULL && connection->pending == NULL) {
        struct pd_tls_room wire = {connection->gateway->room_wire, 0, WIRE_BYTES};
        pd_tls_say_end(connection->tls, &wire);
        if (wire.size > 0) {
            uv_buf_t buffer = uv_buf_init((char *)wire.bytes, (unsigned)wire.size);
            (void)uv_try_write((uv_stream_t *)&connection->socket, &buffer, 1);
        }
    }
    hang_up(connection);
}

static void flush(struct connection *connection)
{
    struct pd_gateway *gateway = connection->gateway;
    while (connection->pending == NULL && !connection->is_closing && connection->protocol != NULL) {
        size_t size = gather(connection);
        if (size == 0) {
            break;
        }
        if (!send_out(connection, gateway->room_out, size)) {
            return;
        }
    }
    if (connection->pending == NULL && !connection->is_closing &&
        (connection->ends ||
         (connection->protocol != NULL && connection->protocol->has_ended(connection->state)))) {
        finish(connection);
    }
    pace(connection);
}

/* -- Timers ------------------------------------------------------------------------------------ */

static void on_timer(uv_timer_t *timer);
static void arm(struct connection *connection);

/* Who connects and says nothing holds a place for hello_ns only, with TLS or without. */
static bool waits_for_hello(const struct connection *connection)
{
    return connection->protocol == NULL || connection->is_silent;
}

/* Whether the peer has taken nothing for too long. */
static bool is_stalled(struct connection *connection, uint64_t now)
{
    if (connection->pending == NULL || now < connection->stall_deadline_ns) {
        return false;
    }
    size_t left = uv_stream_get_write_queue_size((uv_stream_t *)&connection->socket);
    if (left == connection->left) {
        return true;
    }
    connection->left = left;
    connection->stall_deadline_ns = now + connection->gateway->config.stall_ns;
    return false;
}

static void on_timer(uv_timer_t *timer)
{
    struct connection *connection = connection_of((uv_handle_t *)timer);
    struct pd_gateway *gateway = connection->gateway;
    uint64_t now = now_ns(gateway);
    connection->armed_ns = UINT64_MAX;
    if (waits_for_hello(connection)) {
        if (connection->hello_deadline_ns <= now) {
            gateway->counters.tls_failed += connection->shakes && !connection->ends;
            break_off(connection);
            settle(gateway);
            return;
        }
    } else {
        if (is_stalled(connection, now) ||
            connection->protocol->expire(connection->state, now) != PD_OK) {
            connection->is_reset = connection->pending != NULL;
            break_off(connection);
            settle(gateway);
            return;
        }
        mark_dirty(connection);
    }
    settle(gateway);
    if (!connection->is_closing) {
        arm(connection);
    }
}

static void arm(struct connection *connection)
{
    uint64_t deadline = waits_for_hello(connection)
                            ? connection->hello_deadline_ns
                            : connection->protocol->deadline_ns(connection->state);
    if (connection->pending != NULL && connection->stall_deadline_ns < deadline) {
        deadline = connection->stall_deadline_ns;
    }
    if (deadline >= connection->armed_ns) {
        return; /* it comes early enough, and looks again */
    }
    connection->armed_ns = deadline;
    (void)uv_timer_start(&connection->timer, on_timer,
                         wait_ms(now_ns(connection->gateway), deadline), 0);
}

static void on_backend_timer(uv_timer_t *timer)
{
    struct pd_gateway *gateway = timer->data;
    gateway->backend_armed_ns = UINT64_MAX;
    gateway->backend->ops->expire(gateway->backend, now_ns(gateway));
    settle(gateway);
}

static void tell_backend(struct pd_gateway *gateway)
{
    if (gateway->backend->ops->submitted != NULL) {
        gateway->backend->ops->submitted(gateway->backend);
    }
}

/* After anything that may have caused requests or output: hand them over, and see to the timers. */
static void settle(struct pd_gateway *gateway)
{
    tell_backend(gateway); /* the node works beside the writing */
    while (!pd_list_is_empty(&gateway->dirty)) {
        struct connection *connection =
            pd_container_of(pd_list_first(&gateway->dirty), struct connection, dirty);
        pd_list_remove(&connection->dirty);
        flush(connection);
        if (!connection->is_closing) {
            arm(connection);
        }
    }
    tell_backend(gateway); /* room for answers lets requests in */
    if (gateway->stops) {
        return;
    }
    uint64_t deadline = gateway->backend->ops->deadline_ns(gateway->backend);
    if (deadline < gateway->backend_armed_ns) {
        gateway->backend_armed_ns = deadline;
        (void)uv_timer_start(&gateway->backend_timer, on_backend_timer,
                             wait_ms(now_ns(gateway), deadline), 0);
    }
}

/* -- Input ------------------------------------------------------------------------------------- */

static bool open_protocol(struct connection *connection, enum speech speech)
{
    struct pd_gateway *gateway = connection->gateway;
    const struct pd_protocol_owner owner = {.wants_output = mark_dirty, .connection = connection};
    const struct pd_protocol *protocol = &pd_http1_protocol;
    if (speech == SPEECH_HTTP2) {
        protocol = &pd_grpc_protocol;
        connection->state = pd_grpc_open(&gateway->config.grpc, gateway->service, &owner);
    } else if (speech == SPEECH_NATIVE) {
        protocol = &pd_native_protocol;
        connection->state = pd_native_open(&gateway->native, &owner);
    } else {
        connection->state = pd_http1_open(&gateway->http1, &owner);
    }
    connection->protocol = connection->state == NULL ? NULL : protocol;
    return connection->protocol != NULL;
}

static void give(struct connection *connection, struct pd_span bytes)
{
    if (bytes.size == 0) {
        return;
    }
    connection->is_silent = false;
    enum pd_status status =
        connection->protocol->receive(connection->state, bytes, now_ns(connection->gateway));
    mark_dirty(connection);
    if (status != PD_OK) {
        connection->gateway->counters.connections_broken++;
        connection->ends = true;
    }
}

static bool may_be(const struct connection *connection, const char *preface, size_t size)
{
    size_t seen = connection->peeked_size < size ? connection->peeked_size : size;
    return memcmp(connection->peeked, preface, seen) == 0;
}

/* What the bytes that were peeked at begin. */
static enum speech speech_of(const struct connection *connection)
{
    bool may_be_http2 = may_be(connection, http2_preface, PEEK_SIZE);
    bool may_be_native = may_be(connection, native_preface, sizeof native_preface - 1);
    if (may_be_native && connection->peeked_size >= sizeof native_preface - 1) {
        return SPEECH_NATIVE;
    }
    if (may_be_http2 && connection->peeked_size == PEEK_SIZE) {
        return SPEECH_HTTP2;
    }
    return may_be_http2 || may_be_native ? SPEECH_UNKNOWN : SPEECH_HTTP1;
}

/* The first bytes, until they tell what this is. Returns how many of `bytes` were kept. */
static size_t peek(struct connection *connection, const uint8_t *bytes, size_t size)
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
        break_off(connection);
        return size;
    }
    if (speech != SPEECH_NATIVE) { /* whose protocol begins behind its preface */
        give(connection, (struct pd_span){connection->peeked, connection->peeked_size});
    }
    return at;
}

/* What was said, TLS or none; it may be the end of the connection. */
static void take(struct connection *connection, const uint8_t *bytes, size_t size)
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

static void fail_tls(struct connection *connection, enum pd_status status)
{
    struct pd_gateway_counters *counters = &connection->gateway->counters;
    if (!pd_tls_is_open(connection->tls)) {
        counters->tls_failed++;
        counters->tls_denied += status == PD_ERR_DENIED;
        note_peer(connection, "TLS failed: ", pd_tls_error(connection->tls));
    }
    counters->connections_broken++;
    connection->ends = true;
    mark_dirty(connection);
}

/* The first byte tells that this is none. */
static void refuse_plain(struct connection *connection)
{
    connection->gateway->counters.tls_failed++;
    connection->gateway->counters.tls_not++;
    connection->gateway->counters.connections_broken++;
    note_peer(connection, "speaks no TLS, and this port does: use https", "");
    connection->ends = true;
    if (write_now(connection, (const uint8_t *)speaks_tls, sizeof speaks_tls - 1)) {
        mark_dirty(connection);
    }
}

static void end_handshake(struct connection *connection)
{
    enum pd_tls_alpn alpn = pd_tls_alpn(connection->tls);
    connection->gateway->counters.tls_handshakes++;
    leave_turn(connection);
    connection->is_silent = true;
    if (alpn != PD_TLS_ALPN_NONE &&
        !open_protocol(connection, alpn == PD_TLS_ALPN_HTTP2 ? SPEECH_HTTP2 : SPEECH_HTTP1)) {
        break_off(connection);
    } else {
        mark_dirty(connection);
    }
}

static void take_tls(struct connection *connection, const uint8_t *bytes, size_t size)
{
    struct pd_gateway *gateway = connection->gateway;
    struct pd_tls_room plain = {gateway->room_plain, 0, PLAIN_BYTES};
    struct pd_tls_room wire = {gateway->room_wire, 0, WIRE_BYTES};
    if (connection->tls == NULL) {
        if (!pd_tls_begins(bytes[0])) {
            refuse_plain(connection);
            return;
        }
        connection->tls = pd_tls_open(gateway->credentials);
        if (connection->tls == NULL) {
            break_off(connection);
            return;
        }
    }
    bool was_open = pd_tls_is_open(connection->tls);
    enum pd_status status =
        pd_tls_receive(connection->tls, (struct pd_span){bytes, size}, &plain, &wire);
    if (wire.size > 0 && !write_now(connection, wire.bytes, wire.size)) {
        return;
    }
    mark_dirty(connection); /* what was not taken at once stops the reading */
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
        mark_dirty(connection);
    } else {
        fail_tls(connection, status);
    }
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)suggested;
    *buffer = uv_buf_init((char *)connection_of(handle)->gateway->room_in, ROOM_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct connection *connection = connection_of((uv_handle_t *)stream);
    if (size < 0) {
        hang_up(connection);
        return;
    }
    pd_assert(connection->pending == NULL); /* else it would not be read from */
    const uint8_t *bytes = (const uint8_t *)buffer->base;
    if (size > 0 && connection->gateway->credentials != NULL) {
        take_tls(connection, bytes, (size_t)size);
    } else {
        take(connection, bytes, (size_t)size);
    }
    pace(connection); /* libuv may read on before the turn is over */
}

/* Who does not read, or is ahead of what its protocol can take, is not read from. */
static void pace(struct connection *connection)
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
        protocol->paced(connection->state, waits, now_ns(connection->gateway));
        mark_dirty(connection); /* it may have another deadline now */
    }
}

static void begin_reading(struct connection *connection)
{
    (void)uv_read_start((uv_stream_t *)&connection->socket, on_room, on_read);
}

static void begin_handshake(struct connection *connection)
{
    struct pd_gateway *gateway = connection->gateway;
    connection->shakes = true;
    connection->shakes_ns = now_ns(gateway);
    connection->hello_deadline_ns = connection->shakes_ns + gateway->config.hello_ns;
    gateway->handshake_count++;
    pd_list_append(&gateway->handshakes, &connection->turn);
    begin_reading(connection);
}

static void begin_waiting(struct pd_gateway *gateway)
{
    while (!gateway->stops && !pd_list_is_empty(&gateway->waiting) &&
           gateway->handshake_count < gateway->config.handshakes_max) {
        struct connection *next =
            pd_container_of(pd_list_first(&gateway->waiting), struct connection, turn);
        pd_list_remove(&next->turn);
        begin_handshake(next);
    }
}

/* Its turn, now or after others'. Whoever only holds a place while others wait loses it. */
static void ask_for_turn(struct connection *connection)
{
    struct pd_gateway *gateway = connection->gateway;
    pd_list_append(&gateway->waiting, &connection->turn);
    if (gateway->handshake_count == gateway->config.handshakes_max) {
        struct connection *oldest =
            pd_container_of(pd_list_first(&gateway->handshakes), struct connection, turn);
        if (oldest->shakes_ns + gateway->config.handshake_pressed_ns <= now_ns(gateway)) {
            gateway->counters.tls_failed++;
            break_off(oldest);
        }
    }
    begin_waiting(gateway);
}

static void on_connection(uv_stream_t *listener, int status);

static void on_accept_timer(uv_timer_t *timer)
{
    struct pd_gateway *gateway = timer->data;
    on_connection((uv_stream_t *)&gateway->listener, 0);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct pd_gateway *gateway = listener->data;
    struct connection *connection = status < 0 ? NULL : pd_alloc_zeroed(1, sizeof *connection);
    if (connection == NULL) {
        if (status == 0) {
            /* libuv takes nobody until this one is taken. */
            (void)uv_timer_start(&gateway->accept_timer, on_accept_timer, ACCEPT_AGAIN_MS, 0);
        }
        return;
    }
    connection->gateway = gateway;
    connection->armed_ns = UINT64_MAX;
    connection->hello_deadline_ns = now_ns(gateway) + gateway->config.hello_ns;
    (void)uv_tcp_init(&gateway->loop, &connection->socket);
    (void)uv_timer_init(&gateway->loop, &connection->timer);
    connection->handles = 2;
    connection->socket.data = connection;
    connection->timer.data = connection;
    pd_list_append(&gateway->connections, &connection->link);
    pd_list_init(&connection->dirty);
    pd_list_init(&connection->turn);
    gateway->connection_count++;
    if (uv_accept(listener, (uv_stream_t *)&connection->socket) != 0) {
        hang_up(connection);
        return;
    }
    if (gateway->connection_count > gateway->config.connections_max) {
        gateway->counters.connections_refused++;
        hang_up(connection);
        return;
    }
    gateway->counters.connections++;
    (void)uv_tcp_nodelay(&connection->socket, 1);
    (void)uv_tcp_keepalive(&connection->socket, 1, KEEPALIVE_S);
    arm(connection);
    if (gateway->credentials == NULL) {
        begin_reading(connection);
    } else {
        ask_for_turn(connection);
    }
}

/* -- The loop ---------------------------------------------------------------------------------- */

static void stop_now(struct pd_gateway *gateway)
{
    gateway->stops = true;
    while (!pd_list_is_empty(&gateway->connections)) {
        finish(pd_container_of(pd_list_first(&gateway->connections), struct connection, link));
    }
    uv_close((uv_handle_t *)&gateway->listener, NULL);
    uv_close((uv_handle_t *)&gateway->wake, NULL);
    uv_close((uv_handle_t *)&gateway->turn, NULL);
    uv_close((uv_handle_t *)&gateway->backend_timer, NULL);
    uv_close((uv_handle_t *)&gateway->accept_timer, NULL);
}

static void take_renewed(struct pd_gateway *gateway)
{
    struct pd_tls_credentials *renewed = atomic_exchange(&gateway->renewed, NULL);
    if (renewed != NULL) {
        pd_tls_credentials_release(gateway->credentials);
        gateway->credentials = renewed;
        gateway->counters.tls_end_s = pd_tls_credentials_end_s(renewed);
    }
}

static void on_wake(uv_async_t *wake)
{
    struct pd_gateway *gateway = wake->data;
    if (gateway->stops) {
        return;
    }
    take_renewed(gateway);
    gateway->backend->ops->drain(gateway->backend);
    if (atomic_load(&gateway->is_asked_to_stop)) {
        settle(gateway);
        stop_now(gateway);
    }
}

/* Once for all that came in together: of many requests, the node is woken once; of many answers,
 * each connection writes once. */
static void on_turn(uv_check_t *turn)
{
    settle(turn->data);
}

static void answered(void *state, uint64_t correlation, const struct pd_backend_answer *answer)
{
    struct pd_gateway *gateway = state;
    pd_service_answered(gateway->service, correlation, answer);
}

static void wake(void *state)
{
    struct pd_gateway *gateway = state;
    (void)uv_async_send(&gateway->wake);
}

/* -- Opening ----------------------------------------------------------------------------------- */

static enum pd_status listen_at(struct pd_gateway *gateway, char *text)
{
    const struct pd_gateway_config *config = &gateway->config;
    struct sockaddr_storage address;
    int result = uv_ip4_addr(config->address, config->port, (struct sockaddr_in *)&address);
    if (result != 0) {
        result = uv_ip6_addr(config->address, config->port, (struct sockaddr_in6 *)&address);
    }
    if (result != 0) {
        (void)snprintf(text, PD_GATEWAY_TEXT_MAX,
                       "'%s' is no address to listen on: give numbers as 127.0.0.1 or ::1",
                       config->address);
        return PD_ERR_INVALID;
    }
    result = uv_tcp_bind(&gateway->listener, (const struct sockaddr *)&address, 0);
    if (result == 0) {
        result = uv_listen((uv_stream_t *)&gateway->listener, BACKLOG, on_connection);
    }
    int size = sizeof address;
    if (result == 0) {
        result = uv_tcp_getsockname(&gateway->listener, (struct sockaddr *)&address, &size);
    }
    if (result != 0) {
        (void)snprintf(text, PD_GATEWAY_TEXT_MAX,
                       "cannot listen for clients on %s, port %u: %s; choose another with "
                       "--listen-client ADDRESS:PORT, or 'off'",
                       config->address, (unsigned)config->port, uv_strerror(result));
        return result == UV_EADDRINUSE ? PD_ERR_EXISTS : PD_ERR_IO;
    }
    gateway->port =
        ntohs(address.ss_family == AF_INET ? ((const struct sockaddr_in *)&address)->sin_port
                                           : ((const struct sockaddr_in6 *)&address)->sin6_port);
    return PD_OK;
}

static void open_loop(struct pd_gateway *gateway)
{
    int result = uv_tcp_init(&gateway->loop, &gateway->listener);
    result |= uv_async_init(&gateway->loop, &gateway->wake, on_wake);
    result |= uv_check_init(&gateway->loop, &gateway->turn);
    result |= uv_check_start(&gateway->turn, on_turn);
    result |= uv_timer_init(&gateway->loop, &gateway->backend_timer);
    result |= uv_timer_init(&gateway->loop, &gateway->accept_timer);
    pd_assert(result == 0); /* they fail for arguments only; the async one for a lack of files */
    gateway->listener.data = gateway;
    gateway->wake.data = gateway;
    gateway->turn.data = gateway;
    gateway->backend_timer.data = gateway;
    gateway->accept_timer.data = gateway;
}

static void free_memory(struct pd_gateway *gateway)
{
    pd_service_close(gateway->service);
    pd_free(gateway->room_in);
    pd_free(gateway->room_out);
    pd_free(gateway->room_plain);
    pd_free(gateway->room_wire);
    pd_tls_credentials_release(gateway->credentials);
    pd_tls_credentials_release(atomic_load(&gateway->renewed));
    pd_free(gateway);
}

static bool make_rooms(struct pd_gateway *gateway)
{
    gateway->room_in = pd_alloc(ROOM_BYTES);
    gateway->room_out = pd_alloc(ROOM_BYTES);
    bool is_made = gateway->room_in != NULL && gateway->room_out != NULL;
    if (is_made && gateway->config.credentials != NULL) {
        gateway->credentials = gateway->config.credentials;
        pd_tls_credentials_hold(gateway->credentials);
        gateway->counters.tls_end_s = pd_tls_credentials_end_s(gateway->credentials);
        gateway->room_plain = pd_alloc(PLAIN_BYTES);
        gateway->room_wire = pd_alloc(WIRE_BYTES);
        is_made = gateway->room_plain != NULL && gateway->room_wire != NULL;
    }
    return is_made;
}

enum pd_status pd_gateway_open(const struct pd_gateway_config *config,
                               char text[PD_GATEWAY_TEXT_MAX], struct pd_gateway **gateway_out)
{
    text[0] = '\0';
    struct pd_gateway *gateway = pd_alloc_zeroed(1, sizeof *gateway);
    if (gateway == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    gateway->config = *config;
    gateway->backend = config->service.backend;
    gateway->backend_armed_ns = UINT64_MAX;
    pd_list_init(&gateway->connections);
    pd_list_init(&gateway->dirty);
    pd_list_init(&gateway->handshakes);
    pd_list_init(&gateway->waiting);
    if (!make_rooms(gateway) ||
        pd_service_open(&gateway->config.service, &gateway->service) != PD_OK ||
        uv_loop_init(&gateway->loop) != 0) {
        free_memory(gateway);
        (void)snprintf(text, PD_GATEWAY_TEXT_MAX, "cannot serve clients: no memory or files");
        return PD_ERR_NO_MEMORY;
    }
    gateway->http1 = (struct pd_http1_shared){.config = config->http1,
                                              .service = gateway->service,
                                              .backend = gateway->backend,
                                              .gateway_counters = &gateway->counters,
                                              .version = config->service.version};
    gateway->native = (struct pd_native_shared){
        .config = config->native, .service = gateway->service, .backend = gateway->backend};
    open_loop(gateway);
    enum pd_status status = listen_at(gateway, text);
    const struct pd_backend_events events = {.answered = answered, .wake = wake, .state = gateway};
    gateway->backend->ops->attach(gateway->backend, &events);
    if (status != PD_OK) {
        stop_now(gateway);
        pd_gateway_run(gateway);
        pd_gateway_close(gateway);
        return status;
    }
    *gateway_out = gateway;
    return PD_OK;
}

uint16_t pd_gateway_port(const struct pd_gateway *gateway)
{
    return gateway->port;
}

void pd_gateway_run(struct pd_gateway *gateway)
{
    (void)uv_run(&gateway->loop, UV_RUN_DEFAULT);
    /* Before the loop goes: the node's threads must wake it no more. */
    gateway->backend->ops->detach(gateway->backend);
}

void pd_gateway_stop(struct pd_gateway *gateway)
{
    atomic_store(&gateway->is_asked_to_stop, true);
    (void)uv_async_send(&gateway->wake);
}

void pd_gateway_renew(struct pd_gateway *gateway, struct pd_tls_credentials *credentials)
{
    pd_tls_credentials_release(atomic_exchange(&gateway->renewed, credentials));
    (void)uv_async_send(&gateway->wake);
}

void pd_gateway_close(struct pd_gateway *gateway)
{
    if (gateway == NULL) {
        return;
    }
    int result = uv_loop_close(&gateway->loop);
    pd_assert(result == 0);
    free_memory(gateway);
}

void pd_gateway_counters(const struct pd_gateway *gateway, struct pd_gateway_counters *counters_out)
{
    *counters_out = gateway->counters;
    pd_service_counters(gateway->service, &counters_out->service);
}
