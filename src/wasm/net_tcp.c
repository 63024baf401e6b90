/* The TCP functions of lunatic::networking. */
#include "wasm/net.h"
#include "wasm/net_calls.h"

#define LISTENER "TCP listener"
#define STREAM "TCP stream"

static struct pd_net_socket *listener_of(struct pd_call *call)
{
    return pd_net_find(call, PD_RESOURCE_TCP_LISTENER, LISTENER);
}

static struct pd_net_socket *stream_of(struct pd_call *call)
{
    return pd_net_find(call, PD_RESOURCE_TCP_STREAM, STREAM);
}

/* --- Listening -------------------------------------------------------------------------------- */

enum pd_call_result pd_net_tcp_bind(struct pd_call *call)
{
    struct pd_socket_address address;
    struct pd_net_state *net = pd_net_state_of(call);
    if (net == NULL || !pd_net_read_address(call, 0, &address) || !pd_net_has_place(call, 5)) {
        return PD_CALL_TRAP;
    }
    char text[PD_NET_ADDRESS_TEXT_SIZE];
    pd_net_address_text(&address, text);
    if (!pd_net_may_listen(call, &address)) {
        return pd_net_denied(call, 5, "listen at", text);
    }
    enum pd_call_result result = PD_CALL_DONE;
    struct pd_sockets *sockets = pd_net_sockets(call, 5, &result);
    if (sockets == NULL) {
        return result;
    }
    struct pd_socket *socket = NULL;
    int error = sockets->ops->listen(sockets, pd_net_owner(call), &address, pd_net_is_v6_only(call),
                                     &socket);
    if (error != 0) {
        return pd_net_error(call, 5, text, error);
    }
    uint64_t id = 0;
    enum pd_status status = pd_net_socket_add(net, &net->listeners, sockets, socket, &id);
    return status == PD_OK ? pd_call_write_u64(call, pd_call_u32(call, 5), id)
                           : pd_net_status(call, 5, status);
}

enum pd_call_result pd_net_tcp_local_addr(struct pd_call *call)
{
    struct pd_net_socket *listener = listener_of(call);
    if (listener == NULL) {
        return PD_CALL_TRAP;
    }
    struct pd_socket_address address;
    int error = listener->sockets->ops->local_address(listener->socket, &address);
    return pd_net_answer_address(call, error, &address);
}

/* The connection is the actor's only when both ids are. */
static enum pd_call_result add_accepted(struct pd_call *call, struct pd_sockets *sockets,
                                        struct pd_socket *socket,
                                        const struct pd_socket_address *peer)
{
    struct pd_net_state *net = pd_call_process(call)->net;
    uint64_t id = 0;
    uint64_t names = 0;
    enum pd_status status = pd_net_socket_add(net, &net->streams, sockets, socket, &id);
    if (status != PD_OK) {
        return pd_net_status(call, 1, status);
    }
    status = pd_net_names_add(net, peer, 1, &names);
    if (status != PD_OK) {
        pd_net_socket_release(pd_id_table_take(&net->streams, id));
        return pd_net_status(call, 1, status);
    }
    enum pd_call_result result = pd_call_write_u64(call, pd_call_u32(call, 1), id);
    return result == PD_CALL_DONE ? pd_call_write_u64(call, pd_call_u32(call, 2), names) : result;
}

static enum pd_call_result accept_one(struct pd_call *call, struct pd_net_socket *listener)
{
    struct pd_socket *socket = NULL;
    struct pd_socket_address peer;
    int error = listener->sockets->ops->accept(listener->socket, &socket, &peer);
    if (error == PD_SOCKET_AGAIN) {
        return PD_CALL_WAIT;
    }
    return error != 0 ? pd_net_error(call, 1, "accepting a connection", error)
                      : add_accepted(call, listener->sockets, socket, &peer);
}

enum pd_call_result pd_net_tcp_accept(struct pd_call *call)
{
    struct pd_net_socket *listener = listener_of(call);
    if (listener == NULL || !pd_net_has_place(call, 2)) {
        return PD_CALL_TRAP;
    }
    if (!pd_net_has_room_to_accept(pd_call_process(call)->net)) {
        return pd_net_status(call, 1, PD_ERR_FULL); /* the connection waits for better times */
    }
    return pd_net_try(call, listener, PD_SOCKET_READABLE, PD_NET_FOREVER, accept_one, 1);
}

enum pd_call_result pd_net_drop_tcp_listener(struct pd_call *call)
{
    return pd_net_drop(call, pd_net_table(call, PD_RESOURCE_TCP_LISTENER), LISTENER);
}

/* --- Connecting ------------------------------------------------------------------------------- */

static enum pd_call_result connect_over(struct pd_call *call, struct pd_net_socket *socket)
{
    struct pd_net_state *net = pd_call_process(call)->net;
    int error = socket->sockets->ops->connected(socket->socket);
    if (error == PD_SOCKET_AGAIN) {
        return PD_CALL_WAIT;
    }
    if (error != 0) {
        return pd_net_error(call, 6, "connecting", error);
    }
    uint64_t id = 0;
    enum pd_status status =
        pd_net_has_room(net) ? pd_id_table_add(&net->streams, socket, &id) : PD_ERR_FULL;
    if (status != PD_OK) {
        return pd_net_status(call, 6, status);
    }
    (void)pd_net_socket_share(socket);
    return pd_call_write_u64(call, pd_call_u32(call, 6), id);
}

enum pd_call_result pd_net_tcp_connect(struct pd_call *call)
{
    struct pd_socket_address address;
    struct pd_net_state *net = pd_net_state_of(call);
    if (net == NULL || !pd_net_read_address(call, 0, &address) || !pd_net_has_place(call, 6)) {
        return PD_CALL_TRAP;
    }
    char text[PD_NET_ADDRESS_TEXT_SIZE];
    bool may = pd_net_may_connect(call, &address);
    pd_net_address_text(&address, text);
    if (!may) {
        return pd_net_denied(call, 6, "connect to", text);
    }
    enum pd_call_result result = PD_CALL_DONE;
    struct pd_sockets *sockets = pd_net_sockets(call, 6, &result);
    if (sockets == NULL) {
        return result;
    }
    if (!pd_net_has_room(net)) {
        return pd_net_status(call, 6, PD_ERR_FULL);
    }
    struct pd_socket *opened = NULL;
    int error = sockets->ops->connect(sockets, pd_net_owner(call), &address, &opened);
    if (error != 0) {
        return pd_net_error(call, 6, text, error);
    }
    struct pd_net_socket *socket = pd_net_socket_create(sockets, opened);
    if (socket == NULL) {
        return pd_net_status(call, 6, PD_ERR_NO_MEMORY);
    }
    /* The wait, or the id, holds a reference of its own. */
    result = pd_net_try(call, socket, PD_SOCKET_WRITABLE, call->arguments[5], connect_over, 6);
    pd_net_socket_release(socket);
    return result;
}

/* --- Streams ---------------------------------------------------------------------------------- */

static enum pd_call_result receive(struct pd_call *call, struct pd_net_socket *stream, bool is_peek)
{
    uint32_t size = pd_call_u32(call, 2);
    uint8_t *to = pd_guest_memory(call->guest, pd_call_u32(call, 1), size);
    if (to == NULL) {
        return pd_call_trap_bounds(call, "buffer");
    }
    if (size > 0 && pd_net_must_wait(call, stream)) {
        return PD_CALL_WAIT;
    }
    size_t count = 0;
    size_t size_max = size < PD_NET_IO_MAX ? size : PD_NET_IO_MAX;
    int error =
        size == 0 ? 0 : stream->sockets->ops->read(stream->socket, to, size_max, is_peek, &count);
    if (error == PD_SOCKET_AGAIN) {
        return PD_CALL_WAIT;
    }
    return error != 0 ? pd_net_error(call, 3, "reading", error)
                      : pd_call_write_u64(call, pd_call_u32(call, 3), count);
}

static enum pd_call_result read_some(struct pd_call *call, struct pd_net_socket *stream)
{
    return receive(call, stream, false);
}

static enum pd_call_result peek_some(struct pd_call *call, struct pd_net_socket *stream)
{
    return receive(call, stream, true);
}

enum pd_call_result pd_net_tcp_read(struct pd_call *call)
{
    struct pd_net_socket *stream = stream_of(call);
    return stream == NULL ? PD_CALL_TRAP
                          : pd_net_try(call, stream, PD_SOCKET_READABLE,
                                       atomic_load(&stream->read_timeout), read_some, 3);
}

enum pd_call_result pd_net_tcp_peek(struct pd_call *call)
{
    struct pd_net_socket *stream = stream_of(call);
    return stream == NULL ? PD_CALL_TRAP
                          : pd_net_try(call, stream, PD_SOCKET_READABLE,
                                       atomic_load(&stream->peek_timeout), peek_some, 3);
}

static enum pd_call_result write_some(struct pd_call *call, struct pd_net_socket *stream)
{
    struct pd_span parts[PD_SOCKET_PARTS_MAX];
    size_t part_count = 0;
    if (!pd_net_read_parts(call, parts, &part_count)) {
        return PD_CALL_TRAP;
    }
    size_t count = 0;
    int error = part_count == 0
                    ? 0
                    : stream->sockets->ops->write(stream->socket, parts, part_count, &count);
    if (error == PD_SOCKET_AGAIN) {
        return PD_CALL_WAIT;
    }
    return error != 0 ? pd_net_error(call, 3, "writing", error)
                      : pd_call_write_u64(call, pd_call_u32(call, 3), count);
}

enum pd_call_result pd_net_tcp_write_vectored(struct pd_call *call)
{
    struct pd_net_socket *stream = stream_of(call);
    return stream == NULL ? PD_CALL_TRAP
                          : pd_net_try(call, stream, PD_SOCKET_WRITABLE,
                                       atomic_load(&stream->write_timeout), write_some, 3);
}

/* What was written is the system's: there is nothing to flush. */
enum pd_call_result pd_net_tcp_flush(struct pd_call *call)
{
    return stream_of(call) == NULL ? PD_CALL_TRAP
                                   : pd_call_write_u64(call, pd_call_u32(call, 1), 0);
}

enum pd_call_result pd_net_tcp_peer_addr(struct pd_call *call)
{
    struct pd_net_socket *stream = stream_of(call);
    if (stream == NULL) {
        return PD_CALL_TRAP;
    }
    struct pd_socket_address address;
    int error = stream->sockets->ops->peer_address(stream->socket, &address);
    return pd_net_answer_address(call, error, &address);
}

enum pd_call_result pd_net_clone_tcp_stream(struct pd_call *call)
{
    return pd_net_clone(call, pd_net_table(call, PD_RESOURCE_TCP_STREAM), STREAM);
}

enum pd_call_result pd_net_drop_tcp_stream(struct pd_call *call)
{
    return pd_net_drop(call, pd_net_table(call, PD_RESOURCE_TCP_STREAM), STREAM);
}

/* --- Timeouts --------------------------------------------------------------------------------- */

static enum pd_call_result set_timeout(struct pd_call *call, size_t offset)
{
    struct pd_net_socket *stream = stream_of(call);
    if (stream == NULL) {
        return PD_CALL_TRAP;
    }
    atomic_uint_least64_t *timeout = (atomic_uint_least64_t *)(void *)((uint8_t *)stream + offset);
    atomic_store(timeout, call->arguments[1]);
    return PD_CALL_DONE;
}

static enum pd_call_result get_timeout(struct pd_call *call, size_t offset)
{
    struct pd_net_socket *stream = stream_of(call);
    if (stream == NULL) {
        return PD_CALL_TRAP;
    }
    atomic_uint_least64_t *timeout = (atomic_uint_least64_t *)(void *)((uint8_t *)stream + offset);
    call->result = atomic_load(timeout);
    return PD_CALL_DONE;
}

enum pd_call_result pd_net_set_read_timeout(struct pd_call *call)
{
    return set_timeout(call, offsetof(struct pd_net_socket, read_timeout));
}

enum pd_call_result pd_net_get_read_timeout(struct pd_call *call)
{
    return get_timeout(call, offsetof(struct pd_net_socket, read_timeout));
}

enum pd_call_result pd_net_set_write_timeout(struct pd_call *call)
{
    return set_timeout(call, offsetof(struct pd_net_socket, write_timeout));
}

enum pd_call_result pd_net_get_write_timeout(struct pd_call *call)
{
    return get_timeout(call, offsetof(struct pd_net_socket, write_timeout));
}

enum pd_call_result pd_net_set_peek_timeout(struct pd_call *call)
{
    return set_timeout(call, offsetof(struct pd_net_socket, peek_timeout));
}

enum pd_call_result pd_net_get_peek_timeout(struct pd_call *call)
{
    return get_timeout(call, offsetof(struct pd_net_socket, peek_timeout));
}
