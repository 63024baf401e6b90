/* Names: resolve, and the iterators over addresses ("DNS iterators" in Lunatic). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "wasm/net.h"
#include "wasm/net_calls.h"

#define BUSY_NS (UINT64_C(20) * 1000 * 1000) /* until it asks again for a place */
#define TYPE_V4 4u
#define TYPE_V6 6u

/* --- "host:port" ------------------------------------------------------------------------------ */

#define TEXT_MAX (PD_LOOKUP_NAME_MAX + 8u) /* with brackets and a port */

struct target {
    const char *host; /* in guest memory */
    size_t host_size;
    uint16_t port;
};

/* The last colon ends the host; an IPv6 address stands in brackets. */
static bool read_target(const char *text, size_t size, struct target *target)
{
    size_t colon = size;
    while (colon > 0 && text[colon - 1] != ':') {
        colon--;
    }
    size_t digits = size - colon;
    if (colon < 2 || digits == 0 || digits > 5) {
        return false;
    }
    uint32_t port = 0;
    for (size_t i = colon; i < size; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        port = port * 10 + (uint32_t)(text[i] - '0');
    }
    *target = (struct target){.host = text, .host_size = colon - 1, .port = (uint16_t)port};
    if (text[0] == '[' && text[colon - 2] == ']') {
        target->host++;
        target->host_size -= 2;
    }
    return port <= UINT16_MAX && target->host_size > 0;
}

/* The text of the call, looked up anew after each wait. False: a trap was set. */
static const char *text_of(struct pd_call *call)
{
    return pd_call_text(call, pd_call_u32(call, 0), pd_call_u32(call, 1), TEXT_MAX, "name");
}

/* --- resolve ---------------------------------------------------------------------------------- */

static enum pd_call_result answer(struct pd_call *call, const struct pd_socket_address *addresses,
                                  uint32_t count)
{
    uint64_t id = 0;
    enum pd_status status = pd_net_names_add(pd_call_process(call)->net, addresses, count, &id);
    return status == PD_OK ? pd_call_write_u64(call, pd_call_u32(call, 3), id)
                           : pd_net_status(call, 3, status);
}

/* Also when the process is being taken apart: its state is all that there is then. */
static void end_lookup(struct pd_call *call)
{
    struct pd_net_state *net = call->state;
    call->abandon = NULL;
    if (net->lookup != NULL) {
        net->sockets->ops->lookup_close(net->lookup);
        net->lookup = NULL;
    }
}

/* The guest was suspended, so its text is what it was. */
static enum pd_call_result found(struct pd_call *call, const struct pd_lookup_result *results,
                                 uint32_t count)
{
    const char *text = text_of(call);
    struct target target;
    if (text == NULL) {
        return PD_CALL_TRAP;
    }
    if (!read_target(text, pd_call_u32(call, 1), &target)) {
        return pd_call_trap(call, "the name changed while it was looked up");
    }
    struct pd_wasm_process *self = pd_call_process(call);
    struct pd_socket_address addresses[PD_LOOKUP_ADDRESSES_MAX];
    uint64_t now_ns = pd_host_now_ns(pd_guest_host(call->guest));
    for (uint32_t i = 0; i < count; i++) {
        addresses[i] = results[i].address;
        addresses[i].port = target.port;
        if (self->rights->network == PD_NETWORK_LIST) {
            pd_net_grant(&self->net->grants, self->rights->network_list, target.host,
                         target.host_size, target.port, &results[i], now_ns);
        }
    }
    return answer(call, addresses, count);
}

static bool is_late(struct pd_call *call)
{
    uint64_t deadline_ns = pd_call_process(call)->net->deadline_ns;
    return deadline_ns != PD_TIME_NEVER &&
           pd_host_now_ns(pd_guest_host(call->guest)) >= deadline_ns;
}

/* Begin the lookup, now or when there is room. */
static enum pd_call_result begin(struct pd_call *call, int *error_out)
{
    struct pd_wasm_process *self = pd_call_process(call);
    struct pd_sockets *sockets = self->net->sockets;
    const char *text = text_of(call);
    struct target target;
    if (text == NULL || !read_target(text, pd_call_u32(call, 1), &target)) {
        return pd_call_trap(call, "the name changed while it waited for its turn");
    }
    *error_out = sockets->ops->lookup(sockets, pd_net_owner(call), target.host, target.host_size,
                                      self->process, &self->net->lookup);
    uint64_t wake_ns = self->net->deadline_ns;
    if (*error_out == PD_SOCKET_AGAIN) {
        uint64_t soon_ns = pd_host_now_ns(pd_guest_host(call->guest)) + BUSY_NS;
        wake_ns = soon_ns < wake_ns ? soon_ns : wake_ns;
    }
    pd_call_wake_at(call, wake_ns);
    return PD_CALL_WAIT;
}

static enum pd_call_result resume(struct pd_call *call)
{
    struct pd_net_state *net = pd_call_process(call)->net;
    const struct pd_sockets *sockets = net->sockets;
    struct pd_lookup_result results[PD_LOOKUP_ADDRESSES_MAX];
    uint32_t count = 0;
    int error = 0;
    if (net->lookup != NULL && sockets->ops->lookup_take(net->lookup, results, &count, &error)) {
        end_lookup(call);
        return error == 0 ? found(call, results, count)
                          : pd_call_error(call, pd_call_u32(call, 3),
                                          "failed to lookup address information: %s",
                                          sockets->ops->lookup_text(error));
    }
    if (is_late(call)) {
        end_lookup(call);
        return pd_call_done(call, PD_NET_TIMED_OUT);
    }
    if (net->lookup != NULL) {
        return PD_CALL_WAIT;
    }
    enum pd_call_result result = begin(call, &error);
    return result == PD_CALL_WAIT && error != 0 && error != PD_SOCKET_AGAIN
               ? pd_net_error(call, 3, "looking up a name", error)
               : result;
}

static enum pd_call_result denied(struct pd_call *call, const struct target *target)
{
    char name[PD_LOOKUP_NAME_MAX + 8];
    (void)snprintf(name, sizeof name, "%.*s:%u", (int)target->host_size, target->host,
                   target->port);
    return pd_net_denied(call, 3, "resolve", name);
}

/* An address needs no name server: it is itself, for whoever may reach it. */
static enum pd_call_result resolve_address(struct pd_call *call, const struct target *target,
                                           struct pd_socket_address *address)
{
    address->port = target->port;
    struct pd_socket_address reached = *address;
    return pd_net_may_connect(call, &reached) || pd_net_may_listen(call, address)
               ? answer(call, address, 1)
               : denied(call, target);
}

enum pd_call_result pd_net_resolve(struct pd_call *call)
{
    struct pd_net_state *net = pd_net_state_of(call);
    uint32_t size = pd_call_u32(call, 1);
    if (net == NULL || !pd_net_has_place(call, 3)) {
        return PD_CALL_TRAP;
    }
    if (size > TEXT_MAX) { /* before all of it is looked at: that takes time */
        return pd_call_bytes(call, pd_call_u32(call, 0), size, "name") == NULL
                   ? PD_CALL_TRAP
                   : pd_call_error(call, pd_call_u32(call, 3), "the name is longer than %u bytes",
                                   PD_LOOKUP_NAME_MAX);
    }
    const char *text = text_of(call);
    if (text == NULL) {
        return PD_CALL_TRAP;
    }
    struct target target;
    if (!read_target(text, pd_call_u32(call, 1), &target) ||
        memchr(target.host, '\0', target.host_size) != NULL) {
        return pd_call_error(call, pd_call_u32(call, 3),
                             "invalid socket address: host:port is wanted");
    }
    struct pd_socket_address address = {.port = 0};
    if (pd_net_ip_parse(target.host, target.host_size, address.ip)) {
        return resolve_address(call, &target, &address);
    }
    if (target.host_size > PD_LOOKUP_NAME_MAX) {
        return pd_call_error(call, pd_call_u32(call, 3), "the name is longer than %u bytes",
                             PD_LOOKUP_NAME_MAX);
    }
    const struct pd_rights *rights = pd_call_process(call)->rights;
    if (!pd_net_may_resolve((enum pd_network_right)rights->network, rights->network_list,
                            target.host, target.host_size, target.port)) {
        return denied(call, &target);
    }
    enum pd_call_result result = PD_CALL_DONE;
    net->sockets = pd_net_sockets(call, 3, &result);
    if (net->sockets == NULL) {
        return result;
    }
    uint64_t timeout_ms = call->arguments[2];
    net->deadline_ns =
        timeout_ms == PD_NET_FOREVER ? PD_TIME_NEVER : pd_call_deadline_ns(call, timeout_ms);
    call->state = net;
    call->resume = resume;
    call->abandon = end_lookup;
    call->needs_stack = true;
    int error = 0;
    result = begin(call, &error);
    if (result == PD_CALL_WAIT && error != 0 && error != PD_SOCKET_AGAIN) {
        call->abandon = NULL;
        return pd_net_error(call, 3, "looking up a name", error);
    }
    return result;
}

/* --- Iterators -------------------------------------------------------------------------------- */

static enum pd_call_result no_iterator(struct pd_call *call)
{
    return pd_call_trap(call, "no DNS iterator has the id %" PRIu64, call->arguments[0]);
}

/* Where resolve_next writes; NULL after a trap. */
static uint8_t *place(struct pd_call *call, unsigned argument, uint32_t size, const char *what)
{
    uint8_t *to = pd_guest_memory(call->guest, pd_call_u32(call, argument), size);
    if (to == NULL) {
        (void)pd_call_trap_bounds(call, what);
    }
    return to;
}

enum pd_call_result pd_net_resolve_next(struct pd_call *call)
{
    struct pd_net_state *net = pd_net_state_of(call);
    if (net == NULL) {
        return PD_CALL_TRAP;
    }
    struct pd_net_names *names = pd_id_table_get(&net->names, call->arguments[0]);
    if (names == NULL) {
        return no_iterator(call);
    }
    if (names->at == names->count) {
        return pd_call_done(call, 1);
    }
    const struct pd_socket_address *address = &names->addresses[names->at];
    bool is_v4 = pd_socket_address_is_v4(address);
    uint8_t *type = place(call, 1, 4, "type");
    uint8_t *ip = place(call, 2, is_v4 ? 4 : 16, "address");
    uint8_t *port = place(call, 3, 2, "port");
    uint8_t *flow = is_v4 ? type : place(call, 4, 4, "flow");
    uint8_t *scope = is_v4 ? type : place(call, 5, 4, "scope");
    if (type == NULL || ip == NULL || port == NULL || flow == NULL || scope == NULL) {
        return PD_CALL_TRAP;
    }
    if (is_v4) {
        memcpy(ip, address->ip + 12, 4);
    } else {
        memcpy(ip, address->ip, 16);
        pd_put_u32(flow, address->flow);
        pd_put_u32(scope, address->scope);
    }
    pd_put_u32(type, is_v4 ? TYPE_V4 : TYPE_V6);
    pd_put_u16(port, address->port);
    names->at++;
    return pd_call_done(call, 0);
}

enum pd_call_result pd_net_drop_dns_iterator(struct pd_call *call)
{
    struct pd_net_state *net = pd_net_state_of(call);
    if (net == NULL) {
        return PD_CALL_TRAP;
    }
    struct pd_net_names *names = pd_id_table_take(&net->names, call->arguments[0]);
    if (names == NULL) {
        return no_iterator(call);
    }
    pd_free(names);
    return PD_CALL_DONE;
}
