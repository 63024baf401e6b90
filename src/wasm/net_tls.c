/* The TLS functions of lunatic::networking. A handshake belongs to the stream and not to accepting:
 * it begins with the stream and is waited for when that is first read, written or flushed, within
 * that call's timeout, so no peer holds up a listener by being slow. */
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/memory_budget.h"
#include "wasm/net.h"
#include "wasm/net_calls.h"

#define LISTENER "TLS listener"
#define STREAM "TLS stream"
#define CIOVEC_SIZE 8u
#define ROOTS_MAX 256u
#define ROOTS_BYTES_MAX (64u << 10) /* some dozens; parsed on a scheduler, kept with the stream */
#define CHAIN_BYTES_MAX (64u << 10)
#define KEY_BYTES_MAX (8u << 10)
#define BUSY_NS (UINT64_C(20) * 1000 * 1000)

static struct pd_net_socket *listener_of(struct pd_call *call)
{
    return pd_net_find(call, PD_RESOURCE_TLS_LISTENER, LISTENER);
}

static struct pd_net_socket *stream_of(struct pd_call *call)
{
    return pd_net_find(call, PD_RESOURCE_TLS_STREAM, STREAM);
}

static enum pd_call_result fail(struct pd_call *call, unsigned id_argument, const char *what,
                                int error)
{
    const struct pd_sockets *sockets = pd_call_process(call)->system->sockets;
    return error > 0 ? pd_net_error(call, id_argument, what, error)
                     : pd_call_error(call, pd_call_u32(call, id_argument), "%s: %s", what,
                                     sockets->ops->tls_text(error));
}

/* --- Memory ----------------------------------------------------------------------------------- */

static uint64_t charged_in(const struct pd_id_table *table)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < table->count; i++) {
        const struct pd_net_socket *socket = table->entries[i].object;
        sum += socket->charged;
    }
    return sum;
}

/* What an actor may have of TLS besides is as much as its memory may. A clone counts like another,
 * and what came in a message, too. */
static bool has_memory(const struct pd_call *call, uint64_t bytes)
{
    const struct pd_wasm_process *self = pd_call_process(call);
    uint64_t held = charged_in(&self->net->tls_streams) + charged_in(&self->net->tls_listeners);
    uint64_t bytes_max = self->rights->memory_bytes_max;
    return held <= bytes_max && bytes <= bytes_max - held;
}

static void give_back(void *budget, uint64_t bytes)
{
    pd_memory_budget_give(budget, bytes);
}

/* Count what it will take, before it does. False: the actor, or all guests, may not have it. */
static bool take_share(const struct pd_call *call, uint64_t bytes,
                       struct pd_socket_share *share_out)
{
    struct pd_memory_budget *budget = pd_call_process(call)->system->budget;
    if (!has_memory(call, bytes) ||
        (budget != NULL && !pd_memory_budget_take(budget, PD_MEMORY_OTHER, bytes))) {
        return false;
    }
    *share_out = (struct pd_socket_share){
        .give = budget == NULL ? NULL : give_back, .context = budget, .bytes = bytes};
    return true;
}

static enum pd_call_result refuse_memory(struct pd_call *call, unsigned id_argument, uint64_t bytes)
{
    return pd_call_error(call, pd_call_u32(call, id_argument),
                         "no memory for TLS: it counts %" PRIu64
                         " bytes, and this actor or all guests together may not have them",
                         bytes);
}

/* --- Listening -------------------------------------------------------------------------------- */

/* Bytes of the call; false: a trap was set. */
static bool read_span(struct pd_call *call, unsigned first, const char *what, struct pd_span *span)
{
    span->size = pd_call_u32(call, first + 1);
    span->bytes = pd_call_bytes(call, pd_call_u32(call, first), (uint32_t)span->size, what);
    return span->bytes != NULL;
}

/* A listener with that identity; NULL: *result_out is the call's. */
static struct pd_net_socket *listen_with(struct pd_call *call, struct pd_sockets *sockets,
                                         const struct pd_socket_address *address,
                                         struct pd_span certificate, struct pd_span key,
                                         struct pd_socket_share *share,
                                         enum pd_call_result *result_out)
{
    struct pd_socket_identity *identity = NULL;
    int error = sockets->ops->tls_server_identity(certificate, key, share, &identity);
    if (error != 0) {
        *result_out = fail(call, 5, "the certificate and its key", error);
        return NULL;
    }
    struct pd_socket *opened = NULL;
    error = sockets->ops->listen(sockets, pd_net_owner(call), address, pd_net_is_v6_only(call),
                                 &opened);
    if (error != 0) {
        char text[PD_NET_ADDRESS_TEXT_SIZE];
        pd_net_address_text(address, text);
        sockets->ops->tls_identity_release(identity);
        *result_out = pd_net_error(call, 5, text, error);
        return NULL;
    }
    struct pd_net_socket *socket = pd_net_socket_create(sockets, opened);
    if (socket == NULL) {
        sockets->ops->tls_identity_release(identity);
        *result_out = pd_net_status(call, 5, PD_ERR_NO_MEMORY);
        return NULL;
    }
    socket->identity = identity;
    return socket;
}

enum pd_call_result pd_net_tls_bind(struct pd_call *call)
{
    struct pd_socket_address address;
    struct pd_span certificate;
    struct pd_span key;
    struct pd_net_state *net = pd_net_state_of(call);
    if (net == NULL || !pd_net_read_address(call, 0, &address) || !pd_net_has_place(call, 5) ||
        !read_span(call, 6, "certificate", &certificate) || !read_span(call, 8, "key", &key)) {
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
    /* A key of 4,096 bits has about 3,300 bytes; who brings one of 40,000 would have every
     * handshake take the I/O thread for many seconds. */
    if (certificate.size > CHAIN_BYTES_MAX || key.size > KEY_BYTES_MAX) {
        return pd_call_error(call, pd_call_u32(call, 5),
                             "at most %u bytes of certificates and %u of a key are taken",
                             CHAIN_BYTES_MAX, KEY_BYTES_MAX);
    }
    uint64_t bytes = certificate.size * PD_NET_TLS_CERTIFICATE_FACTOR;
    struct pd_socket_share share;
    if (!take_share(call, bytes, &share)) {
        return refuse_memory(call, 5, bytes);
    }
    struct pd_net_socket *socket =
        listen_with(call, sockets, &address, certificate, key, &share, &result);
    if (socket == NULL) {
        pd_socket_share_give(&share);
        return result;
    }
    socket->charged = bytes;
    return pd_net_answer_socket(call, &net->tls_listeners, socket, 5);
}

enum pd_call_result pd_net_tls_local_addr(struct pd_call *call)
{
    struct pd_net_socket *listener = listener_of(call);
    if (listener == NULL) {
        return PD_CALL_TRAP;
    }
    struct pd_socket_address address;
    int error = listener->sockets->ops->local_address(listener->socket, &address);
    return pd_net_answer_address(call, error, &address);
}

static enum pd_call_result accept_one(struct pd_call *call, struct pd_net_socket *listener)
{
    struct pd_net_state *net = pd_call_process(call)->net;
    const struct pd_sockets_ops *ops = listener->sockets->ops;
    struct pd_socket *opened = NULL;
    struct pd_socket_address peer;
    int error = ops->accept(listener->socket, &opened, &peer);
    if (error == PD_SOCKET_AGAIN) {
        return PD_CALL_WAIT;
    }
    if (error != 0) {
        return pd_net_error(call, 1, "accepting a connection", error);
    }
    struct pd_net_socket *socket = pd_net_socket_create(listener->sockets, opened);
    if (socket == NULL) {
        return pd_net_status(call, 1, PD_ERR_NO_MEMORY);
    }
    struct pd_socket_share share;
    if (!take_share(call, PD_NET_TLS_STREAM_BYTES, &share)) {
        pd_net_socket_release(socket);
        return refuse_memory(call, 1, PD_NET_TLS_STREAM_BYTES);
    }
    socket->charged = share.bytes;
    error = ops->tls_open(socket->socket, listener->identity, NULL, false, &share, &socket->tls);
    if (error != 0) {
        pd_socket_share_give(&share);
        pd_net_socket_release(socket);
        return fail(call, 1, "accepting a connection", error);
    }
    uint64_t names = 0;
    enum pd_status status = pd_net_names_add(net, &peer, 1, &names);
    if (status != PD_OK) {
        pd_net_socket_release(socket);
        return pd_net_status(call, 1, status);
    }
    enum pd_call_result result = pd_net_answer_socket(call, &net->tls_streams, socket, 1);
    if (result != PD_CALL_DONE || call->result != 0) {
        pd_free(pd_id_table_take(&net->names, names)); /* nobody was told of it */
        return result;
    }
    return pd_call_write_u64(call, pd_call_u32(call, 2), names);
}

enum pd_call_result pd_net_tls_accept(struct pd_call *call)
{
    struct pd_net_socket *listener = listener_of(call);
    if (listener == NULL || !pd_net_has_place(call, 2)) {
        return PD_CALL_TRAP;
    }
    if (!pd_net_has_room_to_accept(pd_call_process(call)->net)) {
        return pd_net_status(call, 1, PD_ERR_FULL);
    }
    if (!has_memory(call, PD_NET_TLS_STREAM_BYTES)) { /* who waits is left with the system */
        return refuse_memory(call, 1, PD_NET_TLS_STREAM_BYTES);
    }
    return pd_net_try(call, listener, PD_SOCKET_READABLE, PD_NET_FOREVER, accept_one, 1);
}

enum pd_call_result pd_net_drop_tls_listener(struct pd_call *call)
{
    return pd_net_drop(call, pd_net_table(call, PD_RESOURCE_TLS_LISTENER), LISTENER);
}

/* --- Streams ---------------------------------------------------------------------------------- */

static enum pd_call_result read_some(struct pd_call *call, struct pd_net_socket *stream)
{
    uint32_t size = pd_call_u32(call, 2);
    uint8_t *to = pd_guest_memory(call->guest, pd_call_u32(call, 1), size);
    if (to == NULL) {
        return pd_call_trap_bounds(call, "buffer");
    }
    size_t count = 0;
    int error = size == 0 ? 0
                          : stream->sockets->ops->tls_read(stream->tls, to, size, &count,
                                                           &pd_call_process(call)->net->wants);
    if (error == PD_SOCKET_AGAIN) {
        return PD_CALL_WAIT;
    }
    return error != 0 ? fail(call, 3, "reading", error)
                      : pd_call_write_u64(call, pd_call_u32(call, 3), count);
}

enum pd_call_result pd_net_tls_read(struct pd_call *call)
{
    struct pd_net_socket *stream = stream_of(call);
    return stream == NULL ? PD_CALL_TRAP
                          : pd_net_try(call, stream, PD_SOCKET_READABLE,
                                       atomic_load(&stream->read_timeout), read_some, 3);
}

static enum pd_call_result write_some(struct pd_call *call, struct pd_net_socket *stream)
{
    struct pd_net_state *net = pd_call_process(call)->net;
    struct pd_span parts[PD_SOCKET_PARTS_MAX];
    size_t part_count = 0;
    if (!pd_net_read_parts(call, parts, &part_count)) {
        return PD_CALL_TRAP;
    }
    size_t count = 0;
    int error =
        stream->sockets->ops->tls_write(stream->tls, parts, part_count, &count, &net->wants);
    if (error == PD_SOCKET_AGAIN) {
        return PD_CALL_WAIT;
    }
    return error != 0 ? fail(call, 3, "writing", error)
                      : pd_call_write_u64(call, pd_call_u32(call, 3), count);
}

enum pd_call_result pd_net_tls_write_vectored(struct pd_call *call)
{
    struct pd_net_socket *stream = stream_of(call);
    return stream == NULL ? PD_CALL_TRAP
                          : pd_net_try(call, stream, PD_SOCKET_WRITABLE,
                                       atomic_load(&stream->write_timeout), write_some, 3);
}

static enum pd_call_result flush_some(struct pd_call *call, struct pd_net_socket *stream)
{
    int error = stream->sockets->ops->tls_flush(stream->tls, &pd_call_process(call)->net->wants);
    if (error == PD_SOCKET_AGAIN) {
        return PD_CALL_WAIT;
    }
    return error != 0 ? fail(call, 1, "flushing", error)
                      : pd_call_write_u64(call, pd_call_u32(call, 1), 0);
}

/* It has no answer for a timeout, so it waits as long as it takes. */
enum pd_call_result pd_net_tls_flush(struct pd_call *call)
{
    struct pd_net_socket *stream = stream_of(call);
    return stream == NULL
               ? PD_CALL_TRAP
               : pd_net_try(call, stream, PD_SOCKET_WRITABLE, PD_NET_FOREVER, flush_some, 1);
}

enum pd_call_result pd_net_clone_tls_stream(struct pd_call *call)
{
    return pd_net_clone(call, pd_net_table(call, PD_RESOURCE_TLS_STREAM), STREAM);
}

enum pd_call_result pd_net_drop_tls_stream(struct pd_call *call)
{
    return pd_net_drop(call, pd_net_table(call, PD_RESOURCE_TLS_STREAM), STREAM);
}

enum pd_call_result pd_net_set_tls_read_timeout(struct pd_call *call)
{
    struct pd_net_socket *stream = stream_of(call);
    if (stream == NULL) {
        return PD_CALL_TRAP;
    }
    atomic_store(&stream->read_timeout, call->arguments[1]);
    return PD_CALL_DONE;
}

enum pd_call_result pd_net_get_tls_read_timeout(struct pd_call *call)
{
    struct pd_net_socket *stream = stream_of(call);
    if (stream == NULL) {
        return PD_CALL_TRAP;
    }
    call->result = atomic_load(&stream->read_timeout);
    return PD_CALL_DONE;
}

enum pd_call_result pd_net_set_tls_write_timeout(struct pd_call *call)
{
    struct pd_net_socket *stream = stream_of(call);
    if (stream == NULL) {
        return PD_CALL_TRAP;
    }
    atomic_store(&stream->write_timeout, call->arguments[1]);
    return PD_CALL_DONE;
}

enum pd_call_result pd_net_get_tls_write_timeout(struct pd_call *call)
{
    struct pd_net_socket *stream = stream_of(call);
    if (stream == NULL) {
        return PD_CALL_TRAP;
    }
    call->result = atomic_load(&stream->write_timeout);
    return PD_CALL_DONE;
}

/* --- Connecting ------------------------------------------------------------------------------- */

/* A call of tls_connect on its way: name, address after address, handshake. */
struct connecting {
    struct pd_sockets *sockets;
    struct pd_socket_identity *identity;
    struct pd_lookup *lookup;
    struct pd_net_socket *socket; /* being connected, or shaking hands */
    struct pd_socket_wait wait;
    uint64_t deadline_ns;
    uint64_t charged;             /* of the stream to be: from before its certificates are read */
    struct pd_socket_share share; /* its session's to be */
    bool is_address;
    bool is_looked_up;
    uint16_t port;
    uint32_t at;
    uint32_t count;
    int error; /* of the last address */
    struct pd_lookup_result results[PD_LOOKUP_ADDRESSES_MAX];
    char host[PD_LOOKUP_NAME_MAX + 1];
};

static void let_go(struct connecting *way)
{
    if (way->socket != NULL) {
        way->sockets->ops->cancel(way->socket->socket, &way->wait);
        pd_net_socket_release(way->socket);
        way->socket = NULL;
    }
}

static void end(struct connecting *way)
{
    let_go(way);
    if (way->lookup != NULL) {
        way->sockets->ops->lookup_close(way->lookup);
    }
    if (way->identity != NULL) {
        way->sockets->ops->tls_identity_release(way->identity);
    }
    pd_socket_share_give(&way->share);
    pd_free(way);
}

static void abandon(struct pd_call *call)
{
    end(call->state);
}

/* Its result, and the end of the way. */
static enum pd_call_result over(struct pd_call *call, enum pd_call_result result)
{
    end(call->state);
    call->state = NULL;
    call->abandon = NULL;
    return result;
}

static enum pd_call_result wait_for(struct pd_call *call, struct connecting *way, uint32_t events)
{
    if (way->wait.events != events) {
        way->sockets->ops->cancel(way->socket->socket, &way->wait);
        way->wait.events = events;
    }
    int error = way->sockets->ops->wait(way->socket->socket, &way->wait);
    return error == 0 ? PD_CALL_WAIT : over(call, fail(call, 4, "waiting", error));
}

/* PD_CALL_WAIT: not yet. DONE with 0: the addresses are there. */
static enum pd_call_result look_up(struct pd_call *call, struct connecting *way)
{
    int error = 0;
    if (way->lookup == NULL) {
        error = way->sockets->ops->lookup(way->sockets, pd_net_owner(call), way->host,
                                          strlen(way->host), pd_guest_process(call->guest),
                                          &way->lookup);
        if (error == PD_SOCKET_AGAIN) {
            uint64_t soon_ns = pd_host_now_ns(pd_guest_host(call->guest)) + BUSY_NS;
            pd_call_wake_at(call, soon_ns < way->deadline_ns ? soon_ns : way->deadline_ns);
            return PD_CALL_WAIT;
        }
        if (error != 0) {
            return fail(call, 4, "looking up a name", error);
        }
        pd_call_wake_at(call, way->deadline_ns);
    }
    if (!way->sockets->ops->lookup_take(way->lookup, way->results, &way->count, &error)) {
        return PD_CALL_WAIT;
    }
    way->sockets->ops->lookup_close(way->lookup);
    way->lookup = NULL;
    if (error != 0) {
        return pd_call_error(call, pd_call_u32(call, 4), "failed to lookup address information: %s",
                             way->sockets->ops->lookup_text(error));
    }
    struct pd_wasm_process *self = pd_call_process(call);
    for (uint32_t i = 0; i < way->count && self->rights->network == PD_NETWORK_LIST; i++) {
        pd_net_grant(&self->net->grants, self->rights->network_list, way->host, strlen(way->host),
                     way->port, &way->results[i], pd_host_now_ns(pd_guest_host(call->guest)));
    }
    way->is_looked_up = true;
    return pd_call_done(call, 0);
}

/* Begin with the next address. False: the call has its result, in *result_out. */
static bool begin_next(struct pd_call *call, struct connecting *way,
                       enum pd_call_result *result_out)
{
    while (way->at < way->count) {
        struct pd_socket_address address = way->results[way->at++].address;
        address.port = way->port;
        struct pd_socket *opened = NULL;
        if (!pd_net_may_connect(call, &address)) {
            continue;
        }
        way->error =
            way->sockets->ops->connect(way->sockets, pd_net_owner(call), &address, &opened);
        if (way->error != 0) {
            continue;
        }
        way->socket = pd_net_socket_create(way->sockets, opened);
        if (way->socket == NULL) {
            *result_out = pd_net_status(call, 4, PD_ERR_NO_MEMORY);
            return false;
        }
        return true;
    }
    *result_out = way->error != 0 ? fail(call, 4, way->host, way->error)
                                  : pd_net_denied(call, 4, "connect to", way->host);
    return false;
}

/* One that is connected becomes a session. AGAIN: *events_out says what for. */
static int shake_hands(struct connecting *way, uint32_t *events_out)
{
    struct pd_net_socket *socket = way->socket;
    const struct pd_sockets_ops *ops = way->sockets->ops;
    if (socket->tls == NULL) {
        *events_out = PD_SOCKET_WRITABLE;
        int error = ops->connected(socket->socket);
        if (error == 0) {
            error = ops->tls_open(socket->socket, way->identity, way->host, way->is_address,
                                  &way->share, &socket->tls);
        }
        if (error != 0) {
            return error;
        }
    }
    return ops->tls_handshake(socket->tls, events_out);
}

static enum pd_call_result go_on(struct pd_call *call)
{
    struct connecting *way = call->state;
    enum pd_call_result result = PD_CALL_DONE;
    if (way->deadline_ns != PD_TIME_NEVER &&
        pd_host_now_ns(pd_guest_host(call->guest)) >= way->deadline_ns) {
        return over(call, pd_call_done(call, PD_NET_TIMED_OUT));
    }
    if (!way->is_looked_up) {
        result = look_up(call, way);
        if (result == PD_CALL_WAIT) {
            return result;
        }
        if (!way->is_looked_up) {
            return over(call, result);
        }
    }
    for (;;) {
        if (way->socket == NULL && !begin_next(call, way, &result)) {
            return over(call, result);
        }
        uint32_t events = 0;
        int error = shake_hands(way, &events);
        if (error == PD_SOCKET_AGAIN) {
            return wait_for(call, way, events);
        }
        if (error != 0 && way->socket->tls != NULL) {
            return over(call, fail(call, 4, way->host, error)); /* nobody else is asked then */
        }
        if (error == 0) {
            struct pd_net_socket *socket = pd_net_socket_share(way->socket);
            socket->charged = way->charged;
            return over(call, pd_net_answer_socket(call, &pd_call_process(call)->net->tls_streams,
                                                   socket, 4));
        }
        way->error = error;
        let_go(way);
    }
}

/* The certificates of the call. False: the call has its result. */
static bool read_roots(struct pd_call *call, struct connecting *way,
                       enum pd_call_result *result_out)
{
    uint32_t count = pd_call_u32(call, 6);
    struct pd_span roots[ROOTS_MAX];
    *result_out = PD_CALL_TRAP;
    const uint8_t *vectors =
        pd_guest_memory(call->guest, pd_call_u32(call, 5), (uint64_t)count * CIOVEC_SIZE);
    if (vectors == NULL) {
        (void)pd_call_trap_bounds(call, "certificates");
        return false;
    }
    if (count > ROOTS_MAX) {
        *result_out = pd_call_error(call, pd_call_u32(call, 4), "at most %u certificates are taken",
                                    ROOTS_MAX);
        return false;
    }
    uint64_t whole = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t size = pd_get_u32(vectors + (size_t)i * CIOVEC_SIZE + 4);
        whole += size;
        roots[i].size = size;
        roots[i].bytes =
            pd_call_bytes(call, pd_get_u32(vectors + (size_t)i * CIOVEC_SIZE), size, "certificate");
        if (roots[i].bytes == NULL) {
            return false;
        }
    }
    if (whole > ROOTS_BYTES_MAX) {
        *result_out = pd_call_error(call, pd_call_u32(call, 4),
                                    "at most %u bytes of certificates are taken", ROOTS_BYTES_MAX);
        return false;
    }
    uint64_t bytes = whole * PD_NET_TLS_CERTIFICATE_FACTOR;
    way->charged = PD_NET_TLS_STREAM_BYTES + bytes;
    if (!take_share(call, way->charged, &way->share)) {
        *result_out = refuse_memory(call, 4, way->charged);
        return false;
    }
    struct pd_socket_share share = way->share; /* in two: the certificates', and the session's */
    share.bytes = bytes;
    way->share.bytes = PD_NET_TLS_STREAM_BYTES;
    int error =
        way->sockets->ops->tls_client_identity(way->sockets, roots, count, &share, &way->identity);
    pd_socket_share_give(&share); /* what was not taken */
    if (error != 0) {
        *result_out = fail(call, 4, "the certificates", error);
    }
    return error == 0;
}

/* May it try? False: the call has its result. */
static bool check(struct pd_call *call, struct connecting *way, enum pd_call_result *result_out)
{
    const struct pd_rights *rights = pd_call_process(call)->rights;
    bool may = way->is_address ||
               pd_net_may_resolve((enum pd_network_right)rights->network, rights->network_list,
                                  way->host, strlen(way->host), way->port);
    if (!may) {
        *result_out = pd_net_denied(call, 4, "resolve", way->host);
    }
    return may;
}

enum pd_call_result pd_net_tls_connect(struct pd_call *call)
{
    uint32_t size = pd_call_u32(call, 1);
    struct pd_net_state *net = pd_net_state_of(call);
    bool is_name = size > 0 && size <= PD_LOOKUP_NAME_MAX;
    if (net == NULL || !pd_net_has_place(call, 4)) {
        return PD_CALL_TRAP;
    }
    const char *host = pd_call_text(call, pd_call_u32(call, 0), size, PD_LOOKUP_NAME_MAX, "host");
    if (host == NULL) {
        return PD_CALL_TRAP;
    }
    if (!is_name || memchr(host, '\0', size) != NULL) {
        return pd_call_error(call, pd_call_u32(call, 4), "the host is no name");
    }
    enum pd_call_result result = PD_CALL_DONE;
    struct pd_sockets *sockets = pd_net_sockets(call, 4, &result);
    if (sockets == NULL) {
        return result;
    }
    if (!pd_net_has_room(net)) {
        return pd_net_status(call, 4, PD_ERR_FULL);
    }
    struct connecting *way = pd_alloc_zeroed(1, sizeof *way);
    if (way == NULL) {
        return pd_net_status(call, 4, PD_ERR_NO_MEMORY);
    }
    way->sockets = sockets;
    way->port = (uint16_t)pd_call_u32(call, 2);
    way->wait.process = pd_guest_process(call->guest);
    pd_list_init(&way->wait.node);
    memcpy(way->host, host, size);
    way->is_address = pd_net_ip_parse(host, size, way->results[0].address.ip);
    way->is_looked_up = way->is_address;
    way->count = way->is_address ? 1 : 0;
    way->deadline_ns = call->arguments[3] == PD_NET_FOREVER
                           ? PD_TIME_NEVER
                           : pd_call_deadline_ns(call, call->arguments[3]);
    call->state = way;
    if (!check(call, way, &result) || !read_roots(call, way, &result)) {
        return over(call, result);
    }
    pd_call_wake_at(call, way->deadline_ns);
    call->resume = go_on;
    call->abandon = abandon;
    call->needs_stack = true;
    return go_on(call);
}
