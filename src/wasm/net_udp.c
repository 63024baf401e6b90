/* The UDP functions of lunatic::networking. */
#include "wasm/net.h"
#include "wasm/net_calls.h"

#define SOCKET "UDP socket"
#define NOT_CONNECTED 1u
#define OTHER_ERROR 2u

static struct pd_net_socket *socket_of(struct pd_call *call)
{
    return pd_net_find(call, PD_RESOURCE_UDP_SOCKET, SOCKET);
}

enum pd_call_result pd_net_udp_bind(struct pd_call *call)
{
    struct pd_socket_address address;
    struct pd_net_state *net = pd_net_state_of(call);
    if (net == NULL || !pd_net_read_address(call, 0, &address) || !pd_net_has_place(call, 5)) {
        return PD_CALL_TRAP;
    }
    char text[PD_NET_ADDRESS_TEXT_SIZE];
    pd_net_address_text(&address, text);
    if (!pd_net_may_listen(call, &address)) {
        return pd_net_denied(call, 5, "bind", text);
    }
    enum pd_call_result result = PD_CALL_DONE;
    struct pd_sockets *sockets = pd_net_sockets(call, 5, &result);
    if (sockets == NULL) {
        return result;
    }
    struct pd_socket *socket = NULL;
    int error = sockets->ops->datagram_open(sockets, pd_net_owner(call), &address,
                                            pd_net_is_v6_only(call), &socket);
    if (error != 0) {
        return pd_net_error(call, 5, text, error);
    }
    uint64_t id = 0;
    enum pd_status status = pd_net_socket_add(net, &net->datagrams, sockets, socket, &id);
    return status == PD_OK ? pd_call_write_u64(call, pd_call_u32(call, 5), id)
                           : pd_net_status(call, 5, status);
}

enum pd_call_result pd_net_udp_local_addr(struct pd_call *call)
{
    struct pd_net_socket *socket = socket_of(call);
    if (socket == NULL) {
        return PD_CALL_TRAP;
    }
    struct pd_socket_address address;
    int error = socket->sockets->ops->local_address(socket->socket, &address);
    return pd_net_answer_address(call, error, &address);
}

enum pd_call_result pd_net_udp_peer_addr(struct pd_call *call)
{
    struct pd_net_socket *socket = socket_of(call);
    if (socket == NULL) {
        return PD_CALL_TRAP;
    }
    struct pd_socket_address address;
    int error = socket->sockets->ops->peer_address(socket->socket, &address);
    enum pd_call_result result = pd_net_answer_address(call, error, &address);
    if (result == PD_CALL_DONE && call->result != 0) {
        bool is_unconnected = error != 0 && socket->sockets->ops->is_unconnected(error);
        call->result = is_unconnected ? NOT_CONNECTED : OTHER_ERROR;
    }
    return result;
}

/* --- Receiving -------------------------------------------------------------------------------- */

/* One datagram. True: it is there, and `result_out` has the answer if that went wrong. */
static enum pd_call_result receive(struct pd_call *call, struct pd_net_socket *socket,
                                   struct pd_socket_address *from)
{
    uint32_t size = pd_call_u32(call, 2);
    uint8_t *to = pd_guest_memory(call->guest, pd_call_u32(call, 1), size);
    if (to == NULL) {
        return pd_call_trap_bounds(call, "buffer");
    }
    size_t count = 0;
    int error = socket->sockets->ops->datagram_receive(socket->socket, to, size, from, &count);
    if (error == PD_SOCKET_AGAIN) {
        return PD_CALL_WAIT;
    }
    return error != 0 ? pd_net_error(call, 3, "receiving", error)
                      : pd_call_write_u64(call, pd_call_u32(call, 3), count);
}

static enum pd_call_result receive_one(struct pd_call *call, struct pd_net_socket *socket)
{
    struct pd_socket_address from;
    return receive(call, socket, &from);
}

static enum pd_call_result receive_from(struct pd_call *call, struct pd_net_socket *socket)
{
    struct pd_socket_address from;
    struct pd_net_state *net = pd_call_process(call)->net;
    if (net->names.count >= PD_NET_NAMES_MAX) {
        return pd_net_status(call, 3, PD_ERR_FULL); /* before a datagram is lost by it */
    }
    enum pd_call_result result = receive(call, socket, &from);
    if (result != PD_CALL_DONE || call->result != 0) {
        return result;
    }
    uint64_t id = 0;
    enum pd_status status = pd_net_names_add(net, &from, 1, &id);
    return status == PD_OK ? pd_call_write_u64(call, pd_call_u32(call, 4), id)
                           : pd_net_status(call, 3, status);
}

enum pd_call_result pd_net_udp_receive(struct pd_call *call)
{
    struct pd_net_socket *socket = socket_of(call);
    return socket == NULL
               ? PD_CALL_TRAP
               : pd_net_try(call, socket, PD_SOCKET_READABLE, PD_NET_FOREVER, receive_one, 3);
}

enum pd_call_result pd_net_udp_receive_from(struct pd_call *call)
{
    struct pd_net_socket *socket = socket_of(call);
    return socket == NULL || !pd_net_has_place(call, 4)
               ? PD_CALL_TRAP
               : pd_net_try(call, socket, PD_SOCKET_READABLE, PD_NET_FOREVER, receive_from, 3);
}

/* --- Sending ---------------------------------------------------------------------------------- */

static enum pd_call_result send_to(struct pd_call *call, struct pd_net_socket *socket,
                                   const struct pd_socket_address *to, unsigned out)
{
    uint32_t size = pd_call_u32(call, 2);
    const uint8_t *bytes = pd_guest_memory(call->guest, pd_call_u32(call, 1), size);
    if (bytes == NULL) {
        return pd_call_trap_bounds(call, "datagram");
    }
    size_t count = 0;
    int error = socket->sockets->ops->datagram_send(socket->socket, bytes, size, to, &count);
    if (error == PD_SOCKET_AGAIN) {
        return PD_CALL_WAIT;
    }
    return error != 0 ? pd_net_error(call, out, "sending", error)
                      : pd_call_write_u64(call, pd_call_u32(call, out), count);
}

static enum pd_call_result send_connected(struct pd_call *call, struct pd_net_socket *socket)
{
    return send_to(call, socket, NULL, 3);
}

enum pd_call_result pd_net_udp_send(struct pd_call *call)
{
    struct pd_net_socket *socket = socket_of(call);
    return socket == NULL
               ? PD_CALL_TRAP
               : pd_net_try(call, socket, PD_SOCKET_WRITABLE, PD_NET_FOREVER, send_connected, 3);
}

/* Checked at each attempt: what a name granted may end meanwhile. */
static enum pd_call_result send_addressed(struct pd_call *call, struct pd_net_socket *socket)
{
    struct pd_socket_address to;
    if (!pd_net_read_address(call, 3, &to)) {
        return PD_CALL_TRAP;
    }
    if (!pd_net_may_connect(call, &to)) {
        char text[PD_NET_ADDRESS_TEXT_SIZE];
        pd_net_address_text(&to, text);
        return pd_net_denied(call, 8, "send to", text);
    }
    return send_to(call, socket, &to, 8);
}

enum pd_call_result pd_net_udp_send_to(struct pd_call *call)
{
    struct pd_net_socket *socket = socket_of(call);
    return socket == NULL
               ? PD_CALL_TRAP
               : pd_net_try(call, socket, PD_SOCKET_WRITABLE, PD_NET_FOREVER, send_addressed, 8);
}

/* Nothing is sent, so it takes no time. */
enum pd_call_result pd_net_udp_connect(struct pd_call *call)
{
    struct pd_socket_address address;
    struct pd_net_socket *socket = socket_of(call);
    if (socket == NULL || !pd_net_read_address(call, 1, &address) || !pd_net_has_place(call, 7)) {
        return PD_CALL_TRAP;
    }
    char text[PD_NET_ADDRESS_TEXT_SIZE];
    bool may = pd_net_may_connect(call, &address);
    pd_net_address_text(&address, text);
    if (!may) {
        return pd_net_denied(call, 7, "connect to", text);
    }
    int error = socket->sockets->ops->datagram_connect(socket->socket, &address);
    return error != 0 ? pd_net_error(call, 7, text, error)
                      : pd_call_write_u64(call, pd_call_u32(call, 7), 0);
}

/* --- The rest --------------------------------------------------------------------------------- */

static enum pd_call_result set_option(struct pd_call *call, enum pd_socket_option option)
{
    struct pd_net_socket *socket = socket_of(call);
    if (socket == NULL) {
        return PD_CALL_TRAP;
    }
    uint32_t value = pd_call_u32(call, 1);
    int error = socket->sockets->ops->set_option(socket->socket, option, value);
    return error == 0 ? PD_CALL_DONE
                      : pd_call_trap(call, "%u is no value for this option: %s", value,
                                     socket->sockets->ops->error_text(error));
}

static enum pd_call_result get_option(struct pd_call *call, enum pd_socket_option option)
{
    struct pd_net_socket *socket = socket_of(call);
    if (socket == NULL) {
        return PD_CALL_TRAP;
    }
    uint32_t value = 0;
    int error = socket->sockets->ops->get_option(socket->socket, option, &value);
    return error == 0 ? pd_call_done(call, value)
                      : pd_call_trap(call, "the option cannot be read: %s",
                                     socket->sockets->ops->error_text(error));
}

enum pd_call_result pd_net_set_udp_socket_broadcast(struct pd_call *call)
{
    return set_option(call, PD_SOCKET_BROADCAST);
}

enum pd_call_result pd_net_get_udp_socket_broadcast(struct pd_call *call)
{
    return get_option(call, PD_SOCKET_BROADCAST);
}

enum pd_call_result pd_net_set_udp_socket_ttl(struct pd_call *call)
{
    return set_option(call, PD_SOCKET_TTL);
}

enum pd_call_result pd_net_get_udp_socket_ttl(struct pd_call *call)
{
    return get_option(call, PD_SOCKET_TTL);
}

enum pd_call_result pd_net_clone_udp_socket(struct pd_call *call)
{
    return pd_net_clone(call, pd_net_table(call, PD_RESOURCE_UDP_SOCKET), SOCKET);
}

enum pd_call_result pd_net_drop_udp_socket(struct pd_call *call)
{
    return pd_net_drop(call, pd_net_table(call, PD_RESOURCE_UDP_SOCKET), SOCKET);
}
