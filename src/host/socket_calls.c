/* The system calls of sockets, and the table of the interface. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/assert.h"
#include "host/sockets_internal.h"

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* --- Addresses -------------------------------------------------------------------------------- */

socklen_t pd_address_to_system(const struct pd_socket_address *address,
                               union pd_system_address *system_out)
{
    memset(system_out, 0, sizeof *system_out);
    if (pd_socket_address_is_v4(address)) {
        system_out->v4.sin_family = AF_INET;
        system_out->v4.sin_port = htons(address->port);
        memcpy(&system_out->v4.sin_addr, address->ip + sizeof mapped, 4);
        return sizeof system_out->v4;
    }
    system_out->v6.sin6_family = AF_INET6;
    system_out->v6.sin6_port = htons(address->port);
    system_out->v6.sin6_flowinfo = address->flow;
    system_out->v6.sin6_scope_id = address->scope;
    memcpy(&system_out->v6.sin6_addr, address->ip, sizeof address->ip);
    return sizeof system_out->v6;
}

void pd_address_from_system(const union pd_system_address *system,
                            struct pd_socket_address *address_out)
{
    *address_out = (struct pd_socket_address){.port = 0};
    if (system->base.sa_family == AF_INET6) {
        address_out->port = ntohs(system->v6.sin6_port);
        address_out->flow = system->v6.sin6_flowinfo;
        address_out->scope = system->v6.sin6_scope_id;
        memcpy(address_out->ip, &system->v6.sin6_addr, sizeof address_out->ip);
    } else {
        address_out->port = ntohs(system->v4.sin_port);
        memcpy(address_out->ip, mapped, sizeof mapped);
        memcpy(address_out->ip + sizeof mapped, &system->v4.sin_addr, 4);
    }
}

/* What errno says of an attempt that began with this readiness, and needed `event`. */
static int not_ready_or_error(struct pd_socket *socket, uint32_t event, uint32_t readiness)
{
    int error = errno;
    if (error == EAGAIN || error == EWOULDBLOCK) {
        pd_socket_is_dry(socket, event, readiness);
        return PD_SOCKET_AGAIN;
    }
    return error == EINTR ? PD_SOCKET_AGAIN : error;
}

/* --- Opening ---------------------------------------------------------------------------------- */

/* A small write that is held back until the peer acknowledges the one before (Nagle's algorithm)
 * waits for as long as a peer with nothing to say delays that: 40 ms on Linux. No function of the
 * ABI turns it off. What is accepted has it of its listener (tcp(7), Linux). */
static void send_at_once(int descriptor)
{
    const int yes = 1;
    int set = setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    (void)set; /* else it is slow */
}

/* A nonblocking socket for this kind of address, in a slot; NULL, and why. */
static struct pd_socket *open_socket(struct pd_sockets *sockets, uint64_t owner,
                                     const struct pd_socket_address *address, int type,
                                     int *error_out)
{
    int family = pd_socket_address_is_v4(address) ? AF_INET : AF_INET6;
    struct pd_socket *made = NULL;
    *error_out = pd_socket_reserve(pd_real_sockets_of(sockets), owner, &made);
    if (*error_out != 0) {
        return NULL;
    }
    int descriptor = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0) {
        *error_out = errno;
        pd_socket_close(made);
        return NULL;
    }
    if (type == SOCK_STREAM) {
        send_at_once(descriptor);
    }
    pd_socket_adopt(made, descriptor);
    return made;
}

static int bind_socket(const struct pd_socket *socket, const struct pd_socket_address *address,
                       bool is_v6_only)
{
    union pd_system_address system;
    socklen_t size = pd_address_to_system(address, &system);
    int on = is_v6_only ? 1 : 0;
    if (system.base.sa_family == AF_INET6 &&
        setsockopt(socket->descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0) {
        return errno;
    }
    return bind(socket->descriptor, &system.base, size) == 0 ? 0 : errno;
}

static int real_listen(struct pd_sockets *sockets, uint64_t owner,
                       const struct pd_socket_address *address, bool is_v6_only,
                       struct pd_socket **socket_out)
{
    int error = 0;
    struct pd_socket *made = open_socket(sockets, owner, address, SOCK_STREAM, &error);
    if (made == NULL) {
        return error;
    }
    int on = 1;
    if (setsockopt(made->descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) {
        error = errno;
    }
    if (error == 0) {
        error = bind_socket(made, address, is_v6_only);
    }
    if (error == 0 && listen(made->descriptor, PD_SOCKET_BACKLOG) != 0) {
        error = errno;
    }
    if (error != 0) {
        pd_socket_close(made);
        return error;
    }
    *socket_out = made;
    return 0;
}

/* A connection that ended before it was accepted is nobody's business. */
static bool is_peers_trouble(int error)
{
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return true;
    default:
        return false;
    }
}

static bool has_connection(const struct pd_socket *listener)
{
    struct pollfd wanted = {.fd = listener->descriptor, .events = POLLIN};
    return poll(&wanted, 1, 0) > 0;
}

static int real_accept(struct pd_socket *listener, struct pd_socket **socket_out,
                       struct pd_socket_address *peer_out)
{
    union pd_system_address system = {.v4.sin_family = AF_INET};
    socklen_t size = sizeof system;
    struct pd_socket *made = NULL;
    /* Without a place for it the connection stays where it is, with the system. */
    uint32_t readiness = pd_socket_readiness(listener);
    int error = pd_socket_reserve(listener->owner, listener->account->owner, &made);
    if (error != 0 && has_connection(listener)) {
        return error;
    }
    if (error != 0) {
        pd_socket_is_dry(listener, PD_SOCKET_READABLE, readiness);
        return PD_SOCKET_AGAIN;
    }
    int descriptor =
        accept4(listener->descriptor, &system.base, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (descriptor < 0) {
        error = is_peers_trouble(errno)
                    ? PD_SOCKET_AGAIN
                    : not_ready_or_error(listener, PD_SOCKET_READABLE, readiness);
        pd_socket_close(made);
        return error;
    }
    pd_address_from_system(&system, peer_out);
    pd_socket_adopt(made, descriptor);
    *socket_out = made;
    return 0;
}

static int real_connect(struct pd_sockets *sockets, uint64_t owner,
                        const struct pd_socket_address *address, struct pd_socket **socket_out)
{
    int error = 0;
    struct pd_socket *made = open_socket(sockets, owner, address, SOCK_STREAM, &error);
    if (made == NULL) {
        return error;
    }
    union pd_system_address system;
    socklen_t size = pd_address_to_system(address, &system);
    if (connect(made->descriptor, &system.base, size) != 0 && errno != EINPROGRESS &&
        errno != EINTR) {
        error = errno == EAGAIN ? EADDRNOTAVAIL : errno; /* no local port is left */
        pd_socket_close(made);
        return error;
    }
    *socket_out = made;
    return 0;
}

static int real_connected(struct pd_socket *socket)
{
    int error = 0;
    socklen_t size = sizeof error;
    uint32_t readiness = pd_socket_readiness(socket);
    if (getsockopt(socket->descriptor, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
        return errno;
    }
    union pd_system_address system = {.v4.sin_family = AF_INET};
    size = sizeof system;
    if (error != 0 || getpeername(socket->descriptor, &system.base, &size) == 0) {
        return error;
    }
    if (errno != ENOTCONN) {
        return errno;
    }
    pd_socket_is_dry(socket, PD_SOCKET_WRITABLE, readiness);
    return PD_SOCKET_AGAIN;
}

/* --- Streams ---------------------------------------------------------------------------------- */

static int real_read(struct pd_socket *socket, uint8_t *to, size_t size, bool is_peek,
                     size_t *count_out)
{
    uint32_t readiness = pd_socket_readiness(socket);
    ssize_t got = recv(socket->descriptor, to, size, is_peek ? MSG_PEEK : 0);
    if (got < 0) {
        return not_ready_or_error(socket, PD_SOCKET_READABLE, readiness);
    }
    /* Fewer bytes than were asked for are all that there were: epoll(7), question 9. */
    if (got > 0 && (size_t)got < size && !is_peek && (readiness & PD_READINESS_ODD) == 0) {
        pd_socket_is_dry(socket, PD_SOCKET_READABLE, readiness);
    }
    *count_out = (size_t)got;
    return 0;
}

static int send_parts(struct pd_socket *socket, struct msghdr *head, size_t *count_out)
{
    uint32_t readiness = pd_socket_readiness(socket);
    ssize_t sent = sendmsg(socket->descriptor, head, MSG_NOSIGNAL);
    if (sent < 0) {
        return not_ready_or_error(socket, PD_SOCKET_WRITABLE, readiness);
    }
    *count_out = (size_t)sent;
    return 0;
}

static int real_write(struct pd_socket *socket, const struct pd_span *parts, size_t part_count,
                      size_t *count_out)
{
    struct iovec vectors[PD_SOCKET_PARTS_MAX];
    pd_assert(part_count <= PD_SOCKET_PARTS_MAX);
    for (size_t i = 0; i < part_count; i++) {
        vectors[i].iov_base = pd_unconst(parts[i].bytes);
        vectors[i].iov_len = parts[i].size;
    }
    struct msghdr head = {.msg_iov = vectors, .msg_iovlen = part_count};
    return send_parts(socket, &head, count_out);
}

/* --- Datagrams -------------------------------------------------------------------------------- */

static int real_datagram_open(struct pd_sockets *sockets, uint64_t owner,
                              const struct pd_socket_address *address, bool is_v6_only,
                              struct pd_socket **socket_out)
{
    int error = 0;
    struct pd_socket *made = open_socket(sockets, owner, address, SOCK_DGRAM, &error);
    if (made == NULL) {
        return error;
    }
    error = bind_socket(made, address, is_v6_only);
    if (error != 0) {
        pd_socket_close(made);
        return error;
    }
    *socket_out = made;
    return 0;
}

static int real_datagram_connect(struct pd_socket *socket, const struct pd_socket_address *address)
{
    union pd_system_address system;
    socklen_t size = pd_address_to_system(address, &system);
    return connect(socket->descriptor, &system.base, size) == 0 ? 0 : errno;
}

static int real_datagram_receive(struct pd_socket *socket, uint8_t *to, size_t size,
                                 struct pd_socket_address *from_out, size_t *count_out)
{
    union pd_system_address system = {.v4.sin_family = AF_INET};
    socklen_t address_size = sizeof system;
    uint32_t readiness = pd_socket_readiness(socket);
    ssize_t got = recvfrom(socket->descriptor, to, size, 0, &system.base, &address_size);
    if (got < 0) {
        return not_ready_or_error(socket, PD_SOCKET_READABLE, readiness);
    }
    pd_address_from_system(&system, from_out);
    *count_out = (size_t)got;
    return 0;
}

static int real_datagram_send(struct pd_socket *socket, const uint8_t *bytes, size_t size,
                              const struct pd_socket_address *to, size_t *count_out)
{
    struct iovec vector = {.iov_base = pd_unconst(bytes), .iov_len = size};
    struct msghdr head = {.msg_iov = &vector, .msg_iovlen = 1};
    union pd_system_address system;
    if (to != NULL) {
        head.msg_namelen = pd_address_to_system(to, &system);
        head.msg_name = &system;
    }
    return send_parts(socket, &head, count_out);
}

/* How one family calls an option that both have. */
static int option_level(const struct pd_socket *socket, enum pd_socket_option option, int *name_out)
{
    int family = AF_INET;
    socklen_t size = sizeof family;
    (void)getsockopt(socket->descriptor, SOL_SOCKET, SO_DOMAIN, &family, &size);
    switch (option) {
    case PD_SOCKET_BROADCAST:
        *name_out = SO_BROADCAST;
        return SOL_SOCKET;
    case PD_SOCKET_TTL:
        *name_out = family == AF_INET6 ? IPV6_UNICAST_HOPS : IP_TTL;
        return family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP;
    }
    return SOL_SOCKET;
}

static int real_set_option(struct pd_socket *socket, enum pd_socket_option option, uint32_t value)
{
    int name = 0;
    int level = option_level(socket, option, &name);
    int number = value > INT32_MAX ? INT32_MAX : (int)value;
    return setsockopt(socket->descriptor, level, name, &number, sizeof number) == 0 ? 0 : errno;
}

static int real_get_option(struct pd_socket *socket, enum pd_socket_option option,
                           uint32_t *value_out)
{
    int name = 0;
    int level = option_level(socket, option, &name);
    int number = 0;
    socklen_t size = sizeof number;
    if (getsockopt(socket->descriptor, level, name, &number, &size) != 0) {
        return errno;
    }
    *value_out = (uint32_t)number;
    return 0;
}

/* --- Names of a socket ------------------------------------------------------------------------ */

static int real_local_address(struct pd_socket *socket, struct pd_socket_address *address_out)
{
    union pd_system_address system = {.v4.sin_family = AF_INET};
    socklen_t size = sizeof system;
    if (getsockname(socket->descriptor, &system.base, &size) != 0) {
        return errno;
    }
    pd_address_from_system(&system, address_out);
    return 0;
}

static int real_peer_address(struct pd_socket *socket, struct pd_socket_address *address_out)
{
    union pd_system_address system = {.v4.sin_family = AF_INET};
    socklen_t size = sizeof system;
    if (getpeername(socket->descriptor, &system.base, &size) != 0) {
        return errno;
    }
    pd_address_from_system(&system, address_out);
    return 0;
}

static bool real_is_unconnected(int error)
{
    return error == ENOTCONN;
}

static const char *real_error_text(int error)
{
    const char *text = strerrordesc_np(error);
    return text == NULL ? "unknown error" : text;
}

const struct pd_sockets_ops pd_real_sockets_ops = {
    .listen = real_listen,
    .accept = real_accept,
    .connect = real_connect,
    .connected = real_connected,
    .read = real_read,
    .write = real_write,
    .datagram_open = real_datagram_open,
    .datagram_connect = real_datagram_connect,
    .datagram_receive = real_datagram_receive,
    .datagram_send = real_datagram_send,
    .set_option = real_set_option,
    .get_option = real_get_option,
    .local_address = real_local_address,
    .peer_address = real_peer_address,
    .is_unconnected = real_is_unconnected,
    .close = pd_socket_close,
    .wait = pd_socket_wait,
    .cancel = pd_socket_cancel,
    .may_be_ready = pd_socket_may_be_ready,
    .poll = pd_real_sockets_wait,
    .interrupt = pd_real_sockets_interrupt,
    .lookup = pd_resolver_lookup,
    .lookup_take = pd_resolver_take,
    .lookup_close = pd_resolver_close,
    .tls_server_identity = pd_socket_tls_server_identity,
    .tls_client_identity = pd_socket_tls_client_identity,
    .tls_identity_release = pd_socket_tls_identity_release,
    .tls_open = pd_socket_tls_open,
    .tls_handshake = pd_socket_tls_handshake,
    .tls_read = pd_socket_tls_read,
    .tls_write = pd_socket_tls_write,
    .tls_flush = pd_socket_tls_flush,
    .tls_close = pd_socket_tls_close,
    .tls_text = pd_socket_tls_text,
    .error_text = real_error_text,
    .lookup_text = pd_resolver_text,
};
