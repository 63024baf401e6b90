/* One connection: what leaves it, when it is late, how it ends. */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "gateway/gateway_internal.h"

#define TURN_BYTES (2 * PD_GATEWAY_ROOM_BYTES) /* that one connection sends in a turn */

/* -- The end ----------------------------------------------------------------------------------- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct pd_gateway_connection *connection = pd_gateway_connection_of(handle);
    if (--connection->handles == 0) {
        (void)pd_service_output(connection->gateway->service, &connection->waiting, 0);
        pd_free(connection->pending);
        pd_free(connection);
    }
}

void pd_gateway_hang_up(struct pd_gateway_connection *connection)
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
    pd_gateway_leave_turn(connection);
    uv_close((uv_handle_t *)&connection->timer, on_handle_closed);
    if (!connection->is_reset || uv_tcp_close_reset(&connection->socket, on_handle_closed) != 0) {
        uv_close((uv_handle_t *)&connection->socket, on_handle_closed);
    }
}

void pd_gateway_break_off(struct pd_gateway_connection *connection)
{
    connection->gateway->counters.connections_broken++;
    pd_gateway_hang_up(connection);
}

/* -- Output ------------------------------------------------------------------------------------ */

void pd_gateway_mark_dirty(void *state)
{
    struct pd_gateway_connection *connection = state;
    if (!connection->is_closing && !pd_list_is_linked(&connection->dirty)) {
        pd_list_append(&connection->gateway->dirty, &connection->dirty);
    }
}

static void on_written(uv_write_t *write, int status)
{
    struct pd_gateway_connection *connection =
        pd_gateway_connection_of((uv_handle_t *)write->handle);
    (void)pd_service_output(connection->gateway->service, &connection->waiting, 0);
    pd_free(connection->pending);
    connection->pending = NULL;
    if (status < 0) {
        pd_gateway_hang_up(connection);
    }
    pd_gateway_mark_dirty(connection);
    pd_gateway_settle(connection->gateway);
}

/* What the protocol has, as far as the room goes. */
static size_t gather(struct pd_gateway_connection *connection)
{
    uint8_t *room = connection->gateway->room_out;
    size_t size = 0;
    /* nghttp2 gives a frame at a time, at most 16 KiB and its head. */
    while (size + 32 * 1024 <= PD_GATEWAY_ROOM_BYTES) {
        struct pd_span part = connection->protocol->output(connection->state);
        if (part.size == 0) {
            break;
        }
        pd_assert(part.size <= PD_GATEWAY_ROOM_BYTES - size);
        memcpy(room + size, part.bytes, part.size);
        size += part.size;
    }
    return size;
}

/* The rest goes when the socket takes it. False: the connection is gone. */
static bool write_rest(struct pd_gateway_connection *connection, const uint8_t *bytes, size_t size)
{
    bool fits = pd_service_output(connection->gateway->service, &connection->waiting, size);
    connection->pending = fits ? pd_alloc(size) : NULL;
    if (connection->pending == NULL) {
        pd_gateway_break_off(connection);
        return false;
    }
    memcpy(connection->pending, bytes, size);
    connection->left = size;
    connection->stall_deadline_ns =
        pd_gateway_now_ns(connection->gateway) + connection->gateway->config.stall_ns;
    uv_buf_t buffer = uv_buf_init((char *)connection->pending, (unsigned)size);
    if (uv_write(&connection->write, (uv_stream_t *)&connection->socket, &buffer, 1, on_written) !=
        0) {
        pd_gateway_hang_up(connection);
        return false;
    }
    return true;
}

bool pd_gateway_write_now(struct pd_gateway_connection *connection, const uint8_t *bytes,
                          size_t size)
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
        pd_gateway_hang_up(connection);
        return false;
    }
    return (size_t)written == size ||
           write_rest(connection, bytes + written, size - (size_t)written);
}

/* As pd_gateway_write_now, of what the protocol said. */
static bool send_out(struct pd_gateway_connection *connection, const uint8_t *bytes, size_t size)
{
    struct pd_tls_room wire = {connection->gateway->room_wire, 0, PD_GATEWAY_WIRE_BYTES};
    if (connection->tls == NULL) {
        return pd_gateway_write_now(connection, bytes, size);
    }
    if (pd_tls_send(connection->tls, (struct pd_span){bytes, size}, &wire) != PD_OK) {
        pd_gateway_break_off(connection);
        return false;
    }
    return pd_gateway_write_now(connection, wire.bytes, wire.size);
}

void pd_gateway_finish(struct pd_gateway_connection *connection)
{
    if (connection->tls != NULL && connection->pending == NULL) {
        struct pd_tls_room wire = {connection->gateway->room_wire, 0, PD_GATEWAY_WIRE_BYTES};
        pd_tls_say_end(connection->tls, &wire);
        if (wire.size > 0) {
            uv_buf_t buffer = uv_buf_init((char *)wire.bytes, (unsigned)wire.size);
            (void)uv_try_write((uv_stream_t *)&connection->socket, &buffer, 1);
        }
    }
    pd_gateway_hang_up(connection);
}

/* It has had its part of the turn. */
static void wait_for_next_turn(struct pd_gateway_connection *connection)
{
    struct pd_gateway *gateway = connection->gateway;
    pd_list_remove(&connection->dirty);
    pd_list_append(&gateway->rest, &connection->dirty);
    (void)uv_async_send(&gateway->wake);
    pd_gateway_pace(connection);
}

void pd_gateway_flush(struct pd_gateway_connection *connection)
{
    struct pd_gateway *gateway = connection->gateway;
    size_t sent = 0;
    while (connection->pending == NULL && !connection->is_closing && connection->protocol != NULL) {
        size_t size = gather(connection);
        if (size == 0) {
            break;
        }
        if (!send_out(connection, gateway->room_out, size)) {
            return;
        }
        sent += size;
        if (sent >= TURN_BYTES && connection->pending == NULL) {
            wait_for_next_turn(connection);
            return;
        }
    }
    if (connection->pending == NULL && !connection->is_closing &&
        (connection->ends ||
         (connection->protocol != NULL && connection->protocol->has_ended(connection->state)))) {
        pd_gateway_finish(connection);
    }
    pd_gateway_pace(connection);
}

/* -- Timers ------------------------------------------------------------------------------------ */

/* Who connects and says nothing holds a place for hello_ns only, with TLS or without. */
static bool waits_for_hello(const struct pd_gateway_connection *connection)
{
    return connection->protocol == NULL || connection->is_silent;
}

/* When that is over. Who waits for its turn is not late: it may say nothing yet. */
static uint64_t hello_deadline_ns(const struct pd_gateway_connection *connection)
{
    bool waits_for_turn = pd_list_is_linked(&connection->turn) && !connection->shakes;
    return waits_for_turn ? UINT64_MAX : connection->hello_deadline_ns;
}

/* Whether the peer has taken nothing for too long. */
static bool is_stalled(struct pd_gateway_connection *connection, uint64_t now)
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
    struct pd_gateway_connection *connection = pd_gateway_connection_of((uv_handle_t *)timer);
    struct pd_gateway *gateway = connection->gateway;
    uint64_t now = pd_gateway_now_ns(gateway);
    connection->armed_ns = UINT64_MAX;
    if (waits_for_hello(connection)) {
        if (hello_deadline_ns(connection) <= now) {
            gateway->counters.tls_failed += connection->shakes && !connection->ends;
            pd_gateway_break_off(connection);
            pd_gateway_settle(gateway);
            return;
        }
    } else {
        if (is_stalled(connection, now) ||
            connection->protocol->expire(connection->state, now) != PD_OK) {
            connection->is_reset = connection->pending != NULL;
            pd_gateway_break_off(connection);
            pd_gateway_settle(gateway);
            return;
        }
        pd_gateway_mark_dirty(connection);
    }
    pd_gateway_settle(gateway);
    if (!connection->is_closing) {
        pd_gateway_arm(connection);
    }
}

void pd_gateway_arm(struct pd_gateway_connection *connection)
{
    uint64_t deadline = waits_for_hello(connection)
                            ? hello_deadline_ns(connection)
                            : connection->protocol->deadline_ns(connection->state);
    if (connection->pending != NULL && connection->stall_deadline_ns < deadline) {
        deadline = connection->stall_deadline_ns;
    }
    if (deadline >= connection->armed_ns) {
        return; /* it comes early enough, and looks again */
    }
    connection->armed_ns = deadline;
    (void)uv_timer_start(&connection->timer, on_timer,
                         pd_gateway_wait_ms(pd_gateway_now_ns(connection->gateway), deadline), 0);
}
