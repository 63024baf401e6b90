#include "wasm/net.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"

#define TYPE_V4 4u
#define CIOVEC_SIZE 8u
#define VECTORS_MAX 1024u /* looked at in one call */
#define TYPE_V6 6u

/* --- Sockets ---------------------------------------------------------------------------------- */

struct pd_net_socket *pd_net_socket_create(struct pd_sockets *sockets, struct pd_socket *socket)
{
    struct pd_net_socket *made = pd_alloc(sizeof *made);
    if (made == NULL) {
        sockets->ops->close(socket);
        return NULL;
    }
    atomic_init(&made->references, 1);
    made->sockets = sockets;
    made->socket = socket;
    made->tls = NULL;
    made->identity = NULL;
    made->charged = 0;
    atomic_init(&made->read_timeout, PD_NET_FOREVER);
    atomic_init(&made->write_timeout, PD_NET_FOREVER);
    atomic_init(&made->peek_timeout, PD_NET_FOREVER);
    return made;
}

struct pd_net_socket *pd_net_socket_share(struct pd_net_socket *socket)
{
    atomic_fetch_add_explicit(&socket->references, 1, memory_order_relaxed);
    return socket;
}

void pd_net_socket_release(void *object)
{
    struct pd_net_socket *socket = object;
    uint32_t before = atomic_fetch_sub_explicit(&socket->references, 1, memory_order_acq_rel);
    pd_assert(before > 0);
    if (before == 1) {
        const struct pd_sockets_ops *ops = socket->sockets->ops;
        if (socket->identity != NULL) {
            ops->tls_identity_release(socket->identity);
        }
        if (socket->tls != NULL) {
            ops->tls_close(socket->tls);
        } else {
            ops->close(socket->socket);
        }
        pd_free(socket);
    }
}

bool pd_net_has_room(const struct pd_net_state *net)
{
    return net->listeners.count + net->streams.count + net->datagrams.count +
               net->tls_listeners.count + net->tls_streams.count <
           PD_NET_SOCKETS_MAX;
}

bool pd_net_has_room_to_accept(const struct pd_net_state *net)
{
    return pd_net_has_room(net) && net->names.count < PD_NET_NAMES_MAX;
}

enum pd_status pd_net_socket_add(struct pd_net_state *net, struct pd_id_table *table,
                                 struct pd_sockets *sockets, struct pd_socket *socket,
                                 uint64_t *id_out)
{
    struct pd_net_socket *made = pd_net_socket_create(sockets, socket);
    if (made == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    enum pd_status status =
        pd_net_has_room(net) ? pd_id_table_add(table, made, id_out) : PD_ERR_FULL;
    if (status != PD_OK) {
        pd_net_socket_release(made);
    }
    return status;
}

enum pd_call_result pd_net_answer_socket(struct pd_call *call, struct pd_id_table *table,
                                         struct pd_net_socket *socket, unsigned id_argument)
{
    uint64_t id = 0;
    enum pd_status status = pd_net_has_room(pd_call_process(call)->net)
                                ? pd_id_table_add(table, socket, &id)
                                : PD_ERR_FULL;
    if (status == PD_OK) {
        return pd_call_write_u64(call, pd_call_u32(call, id_argument), id);
    }
    pd_net_socket_release(socket);
    return pd_net_status(call, id_argument, status);
}

/* --- State ------------------------------------------------------------------------------------ */

struct pd_net_state *pd_net_state_of(struct pd_call *call)
{
    struct pd_wasm_process *self = pd_call_process(call);
    if (self->net == NULL) {
        self->net = pd_alloc_zeroed(1, sizeof *self->net);
        if (self->net == NULL) {
            (void)pd_call_trap(call, "no memory for sockets");
            return NULL;
        }
        pd_list_init(&self->net->wait.node);
    }
    return self->net;
}

uint64_t pd_net_owner(const struct pd_call *call)
{
    return pd_call_process(call)->process->environment->id;
}

static void release_all(struct pd_id_table *table)
{
    struct pd_net_socket *socket = NULL;
    while ((socket = pd_id_table_take_any(table)) != NULL) {
        pd_net_socket_release(socket);
    }
}

void pd_net_state_destroy(struct pd_wasm_process *self)
{
    struct pd_net_state *net = self->net;
    if (net == NULL) {
        return;
    }
    pd_assert(net->waits_for == NULL); /* the guest is gone: its call was abandoned */
    pd_assert(net->lookup == NULL);
    struct pd_net_names *names = NULL;
    while ((names = pd_id_table_take_any(&net->names)) != NULL) {
        pd_free(names);
    }
    release_all(&net->listeners);
    release_all(&net->streams);
    release_all(&net->datagrams);
    release_all(&net->tls_listeners);
    release_all(&net->tls_streams);
    pd_free(net);
    self->net = NULL;
}

struct pd_sockets *pd_net_sockets(struct pd_call *call, unsigned id_argument,
                                  enum pd_call_result *result_out)
{
    struct pd_sockets *sockets = pd_call_process(call)->system->sockets;
    if (sockets == NULL) {
        *result_out = pd_call_error(call, pd_call_u32(call, id_argument),
                                    "a deterministic run (--seed) has no network");
    }
    return sockets;
}

struct pd_id_table *pd_net_table(struct pd_call *call, enum pd_resource_kind kind)
{
    struct pd_net_state *net = pd_net_state_of(call);
    if (net == NULL) {
        return NULL;
    }
    switch (kind) {
    case PD_RESOURCE_TCP_LISTENER:
        return &net->listeners;
    case PD_RESOURCE_TCP_STREAM:
        return &net->streams;
    case PD_RESOURCE_UDP_SOCKET:
        return &net->datagrams;
    case PD_RESOURCE_TLS_LISTENER:
        return &net->tls_listeners;
    case PD_RESOURCE_TLS_STREAM:
        return &net->tls_streams;
    case PD_RESOURCE_MODULE:
    case PD_RESOURCE_KV_CREDIT:
        break;
    }
    return NULL;
}

bool pd_net_has_place(struct pd_call *call, unsigned argument)
{
    return pd_call_bytes(call, pd_call_u32(call, argument), sizeof(uint64_t), "result pointer") !=
           NULL;
}

static enum pd_call_result no_such(struct pd_call *call, const char *thing)
{
    return pd_call_trap(call, "no %s has the id %" PRIu64, thing, call->arguments[0]);
}

struct pd_net_socket *pd_net_find(struct pd_call *call, enum pd_resource_kind kind,
                                  const char *thing)
{
    struct pd_id_table *table = pd_net_table(call, kind);
    struct pd_net_socket *socket =
        table == NULL ? NULL : pd_id_table_get(table, call->arguments[0]);
    if (table != NULL && socket == NULL) {
        (void)no_such(call, thing);
    }
    return socket;
}

enum pd_call_result pd_net_drop(struct pd_call *call, struct pd_id_table *table, const char *thing)
{
    if (table == NULL) {
        return PD_CALL_TRAP;
    }
    struct pd_net_socket *socket = pd_id_table_take(table, call->arguments[0]);
    if (socket == NULL) {
        return no_such(call, thing);
    }
    pd_net_socket_release(socket);
    return PD_CALL_DONE;
}

enum pd_call_result pd_net_clone(struct pd_call *call, struct pd_id_table *table, const char *thing)
{
    if (table == NULL) {
        return PD_CALL_TRAP;
    }
    struct pd_net_socket *socket = pd_id_table_get(table, call->arguments[0]);
    if (socket == NULL) {
        return no_such(call, thing);
    }
    if (!pd_net_has_room(pd_call_process(call)->net) ||
        pd_id_table_add(table, socket, &call->result) != PD_OK) {
        return pd_call_trap(call, "a %s cannot be cloned: %u sockets are the most", thing,
                            PD_NET_SOCKETS_MAX);
    }
    (void)pd_net_socket_share(socket);
    return PD_CALL_DONE;
}

/* --- Waiting ---------------------------------------------------------------------------------- */

/* Also when the process is being taken apart: its state is all that there is then. */
static void end_wait(struct pd_call *call)
{
    struct pd_net_state *net = call->state;
    struct pd_net_socket *socket = net->waits_for;
    net->waits_for = NULL;
    net->attempt = NULL;
    call->abandon = NULL;
    socket->sockets->ops->cancel(socket->socket, &net->wait);
    pd_net_socket_release(socket);
}

static enum pd_call_result try_again(struct pd_call *call)
{
    struct pd_net_state *net = pd_call_process(call)->net;
    struct pd_net_socket *socket = net->waits_for;
    net->may_wait_first = false; /* it was woken, or its time is up: look */
    enum pd_call_result result = net->attempt(call, socket);
    if (result == PD_CALL_WAIT && net->deadline_ns != PD_TIME_NEVER &&
        pd_host_now_ns(pd_guest_host(call->guest)) >= net->deadline_ns) {
        result = pd_call_done(call, PD_NET_TIMED_OUT);
    }
    if (result == PD_CALL_WAIT) {
        if (net->wants != net->wait.events) {
            socket->sockets->ops->cancel(socket->socket, &net->wait);
            net->wait.events = net->wants;
        }
        int error = socket->sockets->ops->wait(socket->socket, &net->wait);
        if (error == 0) {
            return PD_CALL_WAIT;
        }
        result = pd_net_error(call, net->id_argument, "waiting for a socket", error);
    }
    end_wait(call);
    return result;
}

bool pd_net_must_wait(const struct pd_call *call, const struct pd_net_socket *socket)
{
    const struct pd_net_state *net = pd_call_process(call)->net;
    return net->may_wait_first && !socket->sockets->ops->may_be_ready(socket->socket, net->wants);
}

enum pd_call_result pd_net_try(struct pd_call *call, struct pd_net_socket *socket, uint32_t events,
                               uint64_t timeout_ms, pd_net_attempt attempt, unsigned id_argument)
{
    struct pd_net_state *net = pd_call_process(call)->net;
    if (!pd_net_has_place(call, id_argument)) {
        return PD_CALL_TRAP;
    }
    net->wants = events;
    net->may_wait_first = timeout_ms != 0;
    enum pd_call_result result = attempt(call, socket);
    if (result != PD_CALL_WAIT) {
        return result;
    }
    if (timeout_ms == 0) {
        return pd_call_done(call, PD_NET_TIMED_OUT);
    }
    pd_assert(net->waits_for == NULL);
    net->wait.events = net->wants;
    net->wait.process = pd_guest_process(call->guest);
    int error = socket->sockets->ops->wait(socket->socket, &net->wait);
    if (error != 0) {
        return pd_net_error(call, id_argument, "waiting for a socket", error);
    }
    net->waits_for = pd_net_socket_share(socket);
    net->attempt = attempt;
    net->id_argument = id_argument;
    net->deadline_ns = PD_TIME_NEVER;
    if (timeout_ms != PD_NET_FOREVER) {
        net->deadline_ns = pd_call_deadline_ns(call, timeout_ms);
        pd_call_wake_at(call, net->deadline_ns);
    }
    call->state = net;
    call->resume = try_again;
    call->abandon = end_wait;
    call->needs_stack = true;
    return PD_CALL_WAIT;
}

/* --- Parts of a write ------------------------------------------------------------------------- */

bool pd_net_read_parts(struct pd_call *call, struct pd_span *parts, size_t *count_out)
{
    uint32_t wanted = pd_call_u32(call, 2);
    const uint8_t *vectors =
        pd_guest_memory(call->guest, pd_call_u32(call, 1), (uint64_t)wanted * CIOVEC_SIZE);
    if (vectors == NULL) {
        (void)pd_call_trap_bounds(call, "vectors");
        return false;
    }
    size_t count = 0;
    size_t size = 0;
    /* Empty ones count too: a write of fewer bytes than asked for is always allowed. */
    wanted = wanted < VECTORS_MAX ? wanted : VECTORS_MAX;
    for (uint32_t i = 0; i < wanted && count < PD_SOCKET_PARTS_MAX && size < PD_NET_IO_MAX; i++) {
        uint32_t part_size = pd_get_u32(vectors + (size_t)i * CIOVEC_SIZE + 4);
        const uint8_t *bytes =
            pd_guest_memory(call->guest, pd_get_u32(vectors + (size_t)i * CIOVEC_SIZE), part_size);
        if (bytes == NULL) {
            (void)pd_call_trap_bounds(call, "vector");
            return false;
        }
        if (part_size > 0) {
            size_t room = PD_NET_IO_MAX - size;
            parts[count] =
                (struct pd_span){.bytes = bytes, .size = part_size < room ? part_size : room};
            size += parts[count++].size;
        }
    }
    *count_out = count;
    return true;
}

/* --- Addresses -------------------------------------------------------------------------------- */

bool pd_net_read_address(struct pd_call *call, unsigned first, struct pd_socket_address *to)
{
    uint32_t type = pd_call_u32(call, first);
    if (type != TYPE_V4 && type != TYPE_V6) {
        (void)pd_call_trap(call, "%u is no type of address: 4 or 6", type);
        return false;
    }
    uint32_t size = type == TYPE_V4 ? 4 : 16;
    const uint8_t *bytes = pd_call_bytes(call, pd_call_u32(call, first + 1), size, "address");
    if (bytes == NULL) {
        return false;
    }
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    *to = (struct pd_socket_address){.port = (uint16_t)pd_call_u32(call, first + 2)};
    if (type == TYPE_V4) {
        memcpy(to->ip, mapped, sizeof mapped);
        memcpy(to->ip + sizeof mapped, bytes, 4);
    } else {
        memcpy(to->ip, bytes, 16);
        to->flow = pd_call_u32(call, first + 3);
        to->scope = pd_call_u32(call, first + 4);
    }
    return true;
}

enum pd_status pd_net_names_add(struct pd_net_state *net, const struct pd_socket_address *addresses,
                                uint32_t count, uint64_t *id_out)
{
    if (net->names.count >= PD_NET_NAMES_MAX) {
        return PD_ERR_FULL;
    }
    struct pd_net_names *names = pd_alloc(sizeof *names + count * sizeof addresses[0]);
    if (names == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    names->count = count;
    names->at = 0;
    memcpy(names->addresses, addresses, count * sizeof addresses[0]);
    enum pd_status status = pd_id_table_add(&net->names, names, id_out);
    if (status != PD_OK) {
        pd_free(names);
    }
    return status;
}

enum pd_call_result pd_net_answer_address(struct pd_call *call, int error,
                                          const struct pd_socket_address *address)
{
    if (error != 0) {
        return pd_net_error(call, 1, "the address of the socket", error);
    }
    if (!pd_net_has_place(call, 1)) {
        return PD_CALL_TRAP;
    }
    uint64_t id = 0;
    enum pd_status status = pd_net_names_add(pd_call_process(call)->net, address, 1, &id);
    return status == PD_OK ? pd_call_write_u64(call, pd_call_u32(call, 1), id)
                           : pd_net_status(call, 1, status);
}

/* --- Errors ----------------------------------------------------------------------------------- */

enum pd_call_result pd_net_error(struct pd_call *call, unsigned id_argument, const char *what,
                                 int error)
{
    const struct pd_sockets *sockets = pd_call_process(call)->system->sockets;
    return pd_call_error(call, pd_call_u32(call, id_argument), "%s: %s (os error %d)", what,
                         sockets->ops->error_text(error), error);
}

enum pd_call_result pd_net_status(struct pd_call *call, unsigned id_argument, enum pd_status status)
{
    uint32_t address = pd_call_u32(call, id_argument);
    return status == PD_ERR_FULL
               ? pd_call_error(call, address,
                               "too many are open: %u sockets and %u lists of addresses are the "
                               "most of one actor; drop some",
                               PD_NET_SOCKETS_MAX, PD_NET_NAMES_MAX)
               : pd_call_error(call, address, "no memory for a socket");
}

enum pd_call_result pd_net_denied(struct pd_call *call, unsigned id_argument, const char *verb,
                                  const char *target)
{
    static const char *const rights[] = {"none", "local", "a list without it", "all"};
    unsigned right = pd_call_process(call)->rights->network;
    return pd_call_error(call, pd_call_u32(call, id_argument),
                         "permission denied: this actor may not %s %s: its right 'network' is %s; "
                         "--net (or `network:` of an application file) grants more",
                         verb, target, rights[right & 3u]);
}

/* --- Checks ----------------------------------------------------------------------------------- */

bool pd_net_may_connect(struct pd_call *call, struct pd_socket_address *address)
{
    const struct pd_wasm_process *self = pd_call_process(call);
    pd_net_normalize(address);
    return pd_net_may_reach((enum pd_network_right)self->rights->network,
                            self->rights->network_list,
                            self->net == NULL ? NULL : &self->net->grants, address,
                            pd_host_now_ns(pd_guest_host(call->guest)));
}

bool pd_net_may_listen(struct pd_call *call, const struct pd_socket_address *address)
{
    const struct pd_rights *rights = pd_call_process(call)->rights;
    return pd_net_may_bind((enum pd_network_right)rights->network, rights->network_list, address);
}

bool pd_net_is_v6_only(const struct pd_call *call)
{
    return pd_call_process(call)->rights->network != PD_NETWORK_ALL;
}
