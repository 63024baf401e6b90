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
#define KEEPALIVE_S 60
#define MILLISECOND_NS UINT64_C(1000000)
#define SECOND_NS UINT64_C(1000000000)

/* How HTTP/2 begins (RFC 9113, 3.4). No HTTP/1.1 request does. */
static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
#define PEEK_SIZE (sizeof preface - 1)

struct connection {
    uv_tcp_t socket; /* first */
    uv_timer_t timer;
    uv_write_t write;
    struct pd_gateway *gateway;
    struct pd_list link;
    struct pd_list dirty;               /* linked: it may have output */
    const struct pd_protocol *protocol; /* NULL: not known yet */
    void *state;
    uint64_t hello_deadline_ns;
    uint64_t armed_ns; /* what the timer stands at; UINT64_MAX: nothing */
    uint8_t *pending;  /* what the socket did not take at once */
    size_t left;       /* of it, when that was last looked at; pending is not NULL */
    uint64_t stall_deadline_ns;
    uint32_t handles; /* open */
    uint8_t peeked[PEEK_SIZE];
    uint8_t peeked_size;
    bool is_paused; /* not read from: it does not read */
    bool is_reset;  /* it takes nothing: the system is not to keep what waits for it */
    bool ends;      /* once its output has left */
    bool is_closing;
};

struct pd_gateway {
    struct pd_gateway_config config;
    struct pd_backend *backend;
    struct pd_service *service;
    struct pd_http1_shared http1;
    uv_loop_t loop;
    uv_tcp_t listener;
    uv_async_t wake;
    uv_timer_t backend_timer;
    uint64_t backend_armed_ns;
    struct pd_list connections;
    struct pd_list dirty;
    uint32_t connection_count;
    struct pd_gateway_counters counters;
    uint8_t *room_in;
    uint8_t *room_out;
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
        .service = pd_service_config_default(),
        .grpc = pd_grpc_config_default(),
        .http1 = pd_http1_config_default(),
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

/* -- The end of a connection ------------------------------------------------------------------- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct connection *connection = connection_of(handle);
    if (--connection->handles == 0) {
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
    pd_list_remove(&connection->link);
    pd_list_remove(&connection->dirty);
    connection->gateway->connection_count--;
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
    connection->pending = pd_alloc(size);
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

static void flush(struct connection *connection)
{
    struct pd_gateway *gateway = connection->gateway;
    while (connection->pending == NULL && !connection->is_closing && connection->protocol != NULL) {
        size_t size = gather(connection);
        if (size == 0) {
            break;
        }
        uv_buf_t buffer = uv_buf_init((char *)gateway->room_out, (unsigned)size);
        int written = uv_try_write((uv_stream_t *)&connection->socket, &buffer, 1);
        if (written == UV_EAGAIN) {
            written = 0;
        }
        if (written < 0) {
            hang_up(connection);
            return;
        }
        if ((size_t)written < size &&
            !write_rest(connection, gateway->room_out + written, size - (size_t)written)) {
            return;
        }
    }
    if (connection->pending == NULL && !connection->is_closing && connection->protocol != NULL &&
        (connection->ends || connection->protocol->has_ended(connection->state))) {
        hang_up(connection);
    }
    pace(connection);
}

/* -- Timers ------------------------------------------------------------------------------------ */

static void on_timer(uv_timer_t *timer);
static void arm(struct connection *connection);

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
    if (connection->protocol == NULL) {
        if (connection->hello_deadline_ns <= now) {
            break_off(connection);
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
    uint64_t deadline = connection->protocol == NULL
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

/* After anything that may have caused output: write it, and see to the timers. */
static void settle(struct pd_gateway *gateway)
{
    while (!pd_list_is_empty(&gateway->dirty)) {
        struct connection *connection =
            pd_container_of(pd_list_first(&gateway->dirty), struct connection, dirty);
        pd_list_remove(&connection->dirty);
        flush(connection);
        if (!connection->is_closing) {
            arm(connection);
        }
    }
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

static bool open_protocol(struct connection *connection, bool is_http2)
{
    struct pd_gateway *gateway = connection->gateway;
    const struct pd_protocol_owner owner = {.wants_output = mark_dirty, .connection = connection};
    connection->state = is_http2
                            ? (void *)pd_grpc_open(&gateway->config.grpc, gateway->service, &owner)
                            : (void *)pd_http1_open(&gateway->http1, &owner);
    connection->protocol = connection->state == NULL ? NULL
                           : is_http2                ? &pd_grpc_protocol
                                                     : &pd_http1_protocol;
    return connection->protocol != NULL;
}

static void give(struct connection *connection, struct pd_span bytes)
{
    if (bytes.size == 0) {
        return;
    }
    enum pd_status status =
        connection->protocol->receive(connection->state, bytes, now_ns(connection->gateway));
    mark_dirty(connection);
    if (status != PD_OK) {
        connection->gateway->counters.connections_broken++;
        connection->ends = true;
    }
}

/* The first bytes, until they tell what this is. Returns how many of `bytes` were kept. */
static size_t peek(struct connection *connection, const uint8_t *bytes, size_t size)
{
    size_t at = 0;
    bool is_http2 = true;
    while (at < size && connection->peeked_size < PEEK_SIZE && is_http2) {
        uint8_t byte = bytes[at++];
        is_http2 = byte == (uint8_t)preface[connection->peeked_size];
        connection->peeked[connection->peeked_size++] = byte;
    }
    if (is_http2 && connection->peeked_size < PEEK_SIZE) {
        return at;
    }
    if (!open_protocol(connection, is_http2)) {
        break_off(connection);
        return size;
    }
    give(connection, (struct pd_span){connection->peeked, connection->peeked_size});
    return at;
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)suggested;
    *buffer = uv_buf_init((char *)connection_of(handle)->gateway->room_in, ROOM_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct connection *connection = connection_of((uv_handle_t *)stream);
    struct pd_gateway *gateway = connection->gateway;
    if (size < 0) {
        hang_up(connection);
        settle(gateway);
        return;
    }
    const uint8_t *bytes = (const uint8_t *)buffer->base;
    size_t at = 0;
    if (connection->protocol == NULL) {
        at = peek(connection, bytes, (size_t)size);
    }
    if (connection->protocol != NULL && !connection->ends) {
        give(connection, (struct pd_span){bytes + at, (size_t)size - at});
    }
    settle(gateway);
}

/* Who does not read, or is ahead of what its protocol can take, is not read from. */
static void pace(struct connection *connection)
{
    if (connection->is_closing || connection->protocol == NULL) {
        return;
    }
    const struct pd_protocol *protocol = connection->protocol;
    bool waits = connection->pending != NULL || connection->ends ||
                 (protocol->is_full != NULL && protocol->is_full(connection->state));
    if (waits && !connection->is_paused) {
        (void)uv_read_stop((uv_stream_t *)&connection->socket);
    } else if (!waits && connection->is_paused) {
        (void)uv_read_start((uv_stream_t *)&connection->socket, on_room, on_read);
    }
    connection->is_paused = waits;
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct pd_gateway *gateway = listener->data;
    struct connection *connection = status < 0 ? NULL : pd_alloc_zeroed(1, sizeof *connection);
    if (connection == NULL) {
        return; /* libuv asks again with the next one */
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
    (void)uv_read_start((uv_stream_t *)&connection->socket, on_room, on_read);
    arm(connection);
}

/* -- The loop ---------------------------------------------------------------------------------- */

static void stop_now(struct pd_gateway *gateway)
{
    gateway->stops = true;
    while (!pd_list_is_empty(&gateway->connections)) {
        hang_up(pd_container_of(pd_list_first(&gateway->connections), struct connection, link));
    }
    uv_close((uv_handle_t *)&gateway->listener, NULL);
    uv_close((uv_handle_t *)&gateway->wake, NULL);
    uv_close((uv_handle_t *)&gateway->backend_timer, NULL);
}

static void on_wake(uv_async_t *wake)
{
    struct pd_gateway *gateway = wake->data;
    if (gateway->stops) {
        return;
    }
    gateway->backend->ops->drain(gateway->backend);
    settle(gateway);
    if (atomic_load(&gateway->is_asked_to_stop)) {
        stop_now(gateway);
    }
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
    result |= uv_timer_init(&gateway->loop, &gateway->backend_timer);
    pd_assert(result == 0); /* they fail for arguments only; the async one for a lack of files */
    gateway->listener.data = gateway;
    gateway->wake.data = gateway;
    gateway->backend_timer.data = gateway;
}

static void free_memory(struct pd_gateway *gateway)
{
    pd_service_close(gateway->service);
    pd_free(gateway->room_in);
    pd_free(gateway->room_out);
    pd_free(gateway);
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
    gateway->room_in = pd_alloc(ROOM_BYTES);
    gateway->room_out = pd_alloc(ROOM_BYTES);
    pd_list_init(&gateway->connections);
    pd_list_init(&gateway->dirty);
    if (gateway->room_in == NULL || gateway->room_out == NULL ||
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
