/* drawn_sockets - a network of which every answer is drawn: success, an error, nothing yet. No
 * system call is made and no other program is reached. It holds those who use it to the contract of
 * base/host_sockets.h: every socket is closed once, after its last wait; every share is given. */
#ifndef PD_FUZZ_DRAWN_SOCKETS_H
#define PD_FUZZ_DRAWN_SOCKETS_H

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/host_sockets.h"
#include "drawn.h"

struct pd_socket {
    struct pd_list waits;
    bool is_session; /* tls_close closes it */
};

struct pd_socket_tls {
    struct pd_socket *socket;
    struct pd_socket_identity *identity;
    struct pd_socket_share share;
};

struct pd_socket_identity {
    uint32_t references;
    struct pd_socket_share share;
};

struct pd_lookup {
    void *process;
};

static struct {
    struct pd_sockets interface; /* first */
    struct script *script;
    uint32_t open; /* whatever was given and not taken back */
    uint8_t seen;  /* of all that was written */
} drawn_sockets;

/* 0 for most bytes, PD_SOCKET_AGAIN for some, else an error. */
static int draw_error(void)
{
    static const int errors[] = {ECONNRESET, EPIPE,    ENOTCONN, EMFILE, ECONNREFUSED,
                                 EADDRINUSE, EMSGSIZE, EINVAL,   ENOMEM, ETIMEDOUT};
    uint8_t drawn = next_byte(drawn_sockets.script);
    return drawn < 0xA0   ? 0
           : drawn < 0xE0 ? PD_SOCKET_AGAIN
                          : errors[drawn % (sizeof errors / sizeof errors[0])];
}

/* Where nothing can be waited for. */
static int draw_failure(void)
{
    int error = draw_error();
    return error == PD_SOCKET_AGAIN ? 0 : error;
}

static size_t draw_count(size_t size)
{
    size_t drawn = next_u16(drawn_sockets.script);
    return size == 0 ? 0 : drawn % (size + 1);
}

static void draw_address(struct pd_socket_address *address_out)
{
    *address_out = (struct pd_socket_address){.ip = {[10] = 0xff, [11] = 0xff, [12] = 127}};
    uint8_t kind = next_byte(drawn_sockets.script);
    if (kind % 4 != 0) {
        next_bytes(drawn_sockets.script, address_out->ip + (kind % 4 == 1 ? 12 : 0),
                   kind % 4 == 1 ? 4 : 16);
    }
    address_out->port = next_u16(drawn_sockets.script);
    address_out->flow = kind;
    address_out->scope = kind / 4;
}

/* --- Sockets ---------------------------------------------------------------------------------- */

static int drawn_make(struct pd_socket **socket_out)
{
    struct pd_socket *made = pd_alloc_zeroed(1, sizeof *made);
    if (made == NULL) {
        return ENOMEM;
    }
    pd_list_init(&made->waits);
    drawn_sockets.open++;
    *socket_out = made;
    return 0;
}

static int drawn_open(struct pd_sockets *sockets, uint64_t owner,
                      const struct pd_socket_address *address, bool is_v6_only,
                      struct pd_socket **socket_out)
{
    (void)sockets, (void)owner, (void)address, (void)is_v6_only;
    int error = draw_failure();
    return error != 0 ? error : drawn_make(socket_out);
}

static int drawn_accept(struct pd_socket *listener, struct pd_socket **socket_out,
                        struct pd_socket_address *peer_out)
{
    (void)listener;
    int error = draw_error();
    if (error == 0) {
        draw_address(peer_out);
        error = drawn_make(socket_out);
    }
    return error;
}

static int drawn_connect(struct pd_sockets *sockets, uint64_t owner,
                         const struct pd_socket_address *address, struct pd_socket **socket_out)
{
    return drawn_open(sockets, owner, address, false, socket_out);
}

static int drawn_connected(struct pd_socket *socket)
{
    (void)socket;
    return draw_error();
}

static int drawn_read(struct pd_socket *socket, uint8_t *to, size_t size, bool is_peek,
                      size_t *count_out)
{
    (void)socket, (void)is_peek;
    int error = draw_error();
    if (error == 0) {
        *count_out = draw_count(size);
        memset(to, next_byte(drawn_sockets.script), *count_out);
    }
    return error;
}

/* Every byte is looked at, as the system would. */
static int drawn_write(struct pd_socket *socket, const struct pd_span *parts, size_t part_count,
                       size_t *count_out)
{
    (void)socket;
    size_t size = 0;
    pd_assert(part_count <= PD_SOCKET_PARTS_MAX);
    for (size_t i = 0; i < part_count; i++) {
        size += parts[i].size;
        for (size_t j = 0; j < parts[i].size; j++) {
            drawn_sockets.seen ^= parts[i].bytes[j];
        }
    }
    int error = draw_error();
    if (error == 0) {
        *count_out = draw_count(size);
    }
    return error;
}

static int drawn_datagram_connect(struct pd_socket *socket, const struct pd_socket_address *address)
{
    (void)socket, (void)address;
    return draw_failure();
}

static int drawn_datagram_receive(struct pd_socket *socket, uint8_t *to, size_t size,
                                  struct pd_socket_address *from_out, size_t *count_out)
{
    int error = drawn_read(socket, to, size, false, count_out);
    if (error == 0) {
        draw_address(from_out);
    }
    return error;
}

static int drawn_datagram_send(struct pd_socket *socket, const uint8_t *bytes, size_t size,
                               const struct pd_socket_address *to, size_t *count_out)
{
    (void)to;
    const struct pd_span part = {bytes, size};
    return drawn_write(socket, &part, 1, count_out);
}

static int drawn_set_option(struct pd_socket *socket, enum pd_socket_option option, uint32_t value)
{
    (void)socket, (void)option, (void)value;
    return draw_failure();
}

static int drawn_get_option(struct pd_socket *socket, enum pd_socket_option option,
                            uint32_t *value_out)
{
    (void)socket, (void)option;
    *value_out = next_byte(drawn_sockets.script);
    return draw_failure();
}

static int drawn_address(struct pd_socket *socket, struct pd_socket_address *address_out)
{
    (void)socket;
    draw_address(address_out);
    return draw_failure();
}

static bool drawn_is_unconnected(int error)
{
    return error == ENOTCONN;
}

static void drawn_close(struct pd_socket *socket)
{
    pd_assert(!socket->is_session);
    pd_assert(pd_list_is_empty(&socket->waits));
    drawn_sockets.open--;
    pd_free(socket);
}

/* Either it is ready at once, or nothing ever happens there. */
static int drawn_wait(struct pd_socket *socket, struct pd_socket_wait *wait)
{
    uint8_t drawn = next_byte(drawn_sockets.script);
    if (drawn >= 0xF0) {
        return ENOMEM;
    }
    if (drawn % 2 == 0) {
        drawn_sockets.interface.wake(wait->process);
    } else if (!pd_list_is_linked(&wait->node)) {
        pd_list_append(&socket->waits, &wait->node);
    }
    return 0;
}

static void drawn_cancel(struct pd_socket *socket, struct pd_socket_wait *wait)
{
    (void)socket;
    if (pd_list_is_linked(&wait->node)) {
        pd_list_remove(&wait->node);
    }
}

static bool drawn_may_be_ready(const struct pd_socket *socket, uint32_t events)
{
    (void)socket, (void)events;
    return next_byte(drawn_sockets.script) < 0xC0;
}

/* --- Names ------------------------------------------------------------------------------------ */

static int drawn_lookup(struct pd_sockets *sockets, uint64_t owner, const char *name,
                        size_t name_size, void *process, struct pd_lookup **lookup_out)
{
    (void)sockets, (void)owner, (void)name;
    pd_assert(name_size > 0 && name_size <= PD_LOOKUP_NAME_MAX);
    int error = draw_error();
    struct pd_lookup *made = error == 0 ? pd_alloc_zeroed(1, sizeof *made) : NULL;
    if (made == NULL) {
        return error == 0 ? ENOMEM : error;
    }
    made->process = process;
    drawn_sockets.open++;
    drawn_sockets.interface.wake(process);
    *lookup_out = made;
    return 0;
}

static bool drawn_lookup_take(struct pd_lookup *lookup, struct pd_lookup_result *results,
                              uint32_t *count_out, int *error_out)
{
    (void)lookup;
    int error = draw_error();
    if (error == PD_SOCKET_AGAIN) {
        return false;
    }
    *error_out = error;
    *count_out = error != 0 ? 0 : next_byte(drawn_sockets.script) % (PD_LOOKUP_ADDRESSES_MAX + 1);
    for (uint32_t i = 0; i < *count_out; i++) {
        draw_address(&results[i].address);
        uint8_t drawn = next_byte(drawn_sockets.script);
        results[i].is_own = drawn % 2 != 0;
        results[i].ttl_s = drawn < 0xC0 ? drawn : PD_LOOKUP_TTL_NONE;
    }
    return true;
}

static void drawn_lookup_close(struct pd_lookup *lookup)
{
    drawn_sockets.open--;
    pd_free(lookup);
}

/* --- TLS -------------------------------------------------------------------------------------- */

static int drawn_identity(struct pd_socket_share *share, struct pd_socket_identity **identity_out)
{
    int error = draw_failure();
    struct pd_socket_identity *made = error == 0 ? pd_alloc_zeroed(1, sizeof *made) : NULL;
    if (made == NULL) {
        return error == 0 ? ENOMEM : error;
    }
    made->references = 1;
    made->share = pd_socket_share_take(share);
    drawn_sockets.open++;
    *identity_out = made;
    return 0;
}

static int drawn_server_identity(struct pd_span certificate, struct pd_span key,
                                 struct pd_socket_share *share,
                                 struct pd_socket_identity **identity_out)
{
    const struct pd_span parts[] = {certificate, key};
    size_t count = 0;
    (void)drawn_write(NULL, parts, 2, &count);
    return drawn_identity(share, identity_out);
}

static int drawn_client_identity(struct pd_sockets *sockets, const struct pd_span *roots,
                                 size_t root_count, struct pd_socket_share *share,
                                 struct pd_socket_identity **identity_out)
{
    (void)sockets;
    size_t count = 0;
    for (size_t i = 0; i < root_count; i++) {
        (void)drawn_write(NULL, &roots[i], 1, &count);
    }
    return drawn_identity(share, identity_out);
}

static void drawn_identity_release(struct pd_socket_identity *identity)
{
    pd_assert(identity->references > 0);
    if (--identity->references == 0) {
        pd_socket_share_give(&identity->share);
        drawn_sockets.open--;
        pd_free(identity);
    }
}

static int drawn_tls_open(struct pd_socket *socket, struct pd_socket_identity *identity,
                          const char *host, bool is_address, struct pd_socket_share *share,
                          struct pd_socket_tls **tls_out)
{
    (void)host, (void)is_address;
    int error = draw_failure();
    struct pd_socket_tls *made = error == 0 ? pd_alloc_zeroed(1, sizeof *made) : NULL;
    if (made == NULL) {
        return error == 0 ? ENOMEM : error;
    }
    pd_assert(!socket->is_session);
    socket->is_session = true;
    identity->references++;
    *made = (struct pd_socket_tls){
        .socket = socket, .identity = identity, .share = pd_socket_share_take(share)};
    drawn_sockets.open++;
    *tls_out = made;
    return 0;
}

static int draw_tls(uint32_t *events_out)
{
    int error = draw_error();
    if (error == PD_SOCKET_AGAIN) {
        *events_out = 1u + next_byte(drawn_sockets.script) % 7u;
    }
    return error;
}

static int drawn_tls_handshake(struct pd_socket_tls *tls, uint32_t *events_out)
{
    (void)tls;
    return draw_tls(events_out);
}

static int drawn_tls_read(struct pd_socket_tls *tls, uint8_t *to, size_t size, size_t *count_out,
                          uint32_t *events_out)
{
    int error = draw_tls(events_out);
    return error != 0                                                 ? error
           : drawn_read(tls->socket, to, size, false, count_out) == 0 ? 0
                                                                      : EPIPE;
}

static int drawn_tls_write(struct pd_socket_tls *tls, const struct pd_span *parts,
                           size_t part_count, size_t *count_out, uint32_t *events_out)
{
    int error = draw_tls(events_out);
    bool is_done = error == 0 && drawn_write(tls->socket, parts, part_count, count_out) == 0;
    return error != 0 ? error : is_done ? 0 : EPIPE;
}

static void drawn_tls_close(struct pd_socket_tls *tls)
{
    tls->socket->is_session = false;
    drawn_close(tls->socket);
    drawn_identity_release(tls->identity);
    pd_socket_share_give(&tls->share);
    drawn_sockets.open--;
    pd_free(tls);
}

static const char *drawn_text(int error)
{
    (void)error;
    return "drawn";
}

static const struct pd_sockets_ops drawn_sockets_ops = {
    .listen = drawn_open,
    .accept = drawn_accept,
    .connect = drawn_connect,
    .connected = drawn_connected,
    .read = drawn_read,
    .write = drawn_write,
    .datagram_open = drawn_open,
    .datagram_connect = drawn_datagram_connect,
    .datagram_receive = drawn_datagram_receive,
    .datagram_send = drawn_datagram_send,
    .set_option = drawn_set_option,
    .get_option = drawn_get_option,
    .local_address = drawn_address,
    .peer_address = drawn_address,
    .is_unconnected = drawn_is_unconnected,
    .close = drawn_close,
    .wait = drawn_wait,
    .cancel = drawn_cancel,
    .may_be_ready = drawn_may_be_ready,
    .lookup = drawn_lookup,
    .lookup_take = drawn_lookup_take,
    .lookup_close = drawn_lookup_close,
    .tls_server_identity = drawn_server_identity,
    .tls_client_identity = drawn_client_identity,
    .tls_identity_release = drawn_identity_release,
    .tls_open = drawn_tls_open,
    .tls_handshake = drawn_tls_handshake,
    .tls_read = drawn_tls_read,
    .tls_write = drawn_tls_write,
    .tls_flush = drawn_tls_handshake,
    .tls_close = drawn_tls_close,
    .tls_text = drawn_text,
    .error_text = drawn_text,
    .lookup_text = drawn_text,
};

#endif
