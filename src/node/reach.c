#include "node/reach.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "host/resolve_within.h"
#include "net/address.h"

#define SLICE_NS UINT64_C(10000000) /* of a look-up: then the links are looked at */

/* -- On the net's thread ----------------------------------------------------------------------- */

/* Under the lock. Of this dial; it may be told of before pd_net_dial has named it. NULL: it is of a
 * former one. */
static struct pd_reach_way *way_of(struct pd_reach *reach, uint64_t link)
{
    if (link <= reach->past) {
        return NULL;
    }
    for (uint32_t i = 0; i < reach->count; i++) {
        if (reach->ways[i].link == link) {
            return &reach->ways[i];
        }
    }
    if (reach->count == PD_KV_MEMBER_ADDRESSES_MAX) {
        return NULL;
    }
    struct pd_reach_way *way = &reach->ways[reach->count++];
    *way = (struct pd_reach_way){.link = link};
    return way;
}

static void turn(struct pd_reach *reach, uint64_t link, enum pd_reach_state state, const char *why)
{
    pd_spin_lock(&reach->lock);
    struct pd_reach_way *way = way_of(reach, link);
    if (way != NULL) {
        way->state = state;
        way->why = why;
    }
    pd_spin_unlock(&reach->lock);
    reach->host->ops->event_set(reach->host, &reach->event);
}

void pd_reach_opened(struct pd_reach *reach, uint64_t link)
{
    turn(reach, link, PD_REACH_OPEN, NULL);
}

void pd_reach_closed(struct pd_reach *reach, uint64_t link, const char *why)
{
    turn(reach, link, PD_REACH_CLOSED, why);
}

void pd_reach_stop(struct pd_reach *reach)
{
    atomic_store(&reach->stops, true);
    reach->host->ops->event_set(reach->host, &reach->event);
}

/* -- On the thread that dials ------------------------------------------------------------------ */

struct dial {
    struct pd_reach *reach;
    struct pd_net *net;
    uint32_t service;
    const struct pd_kv_member *member;
    uint64_t until_ns;
    uint64_t links[PD_KV_MEMBER_ADDRESSES_MAX]; /* by address; 0: it could not be dialed */
    uint32_t dialed;                            /* of the addresses, whose turn has come */
    char *text;
};

/* What has become of those that were dialed: the address of one that is up, and how many may be
 * yet. False: none is up. */
static bool look(struct dial *dial, uint32_t *at_out, uint32_t *pending_out)
{
    struct pd_reach *reach = dial->reach;
    bool is_up = false;
    *pending_out = 0;
    pd_spin_lock(&reach->lock);
    for (uint32_t at = 0; at < dial->dialed && !is_up; at++) {
        const struct pd_reach_way *way =
            dial->links[at] == 0 ? NULL : way_of(reach, dial->links[at]);
        if (way == NULL) {
            continue;
        }
        *pending_out += way->state == PD_REACH_DIALED;
        if (way->state == PD_REACH_OPEN) {
            is_up = true;
            *at_out = at;
        }
        if (way->state == PD_REACH_CLOSED) {
            (void)snprintf(dial->text, PD_REACH_TEXT_MAX, "%s", way->why);
        }
    }
    pd_spin_unlock(&reach->lock);
    return is_up;
}

/* Where a name's place is, until until_ns; or until there is something better to do: a link is up,
 * or nothing is to be dialed any more. */
static enum pd_status find_place(struct dial *dial, const char *place, uint64_t until_ns,
                                 struct pd_transport_address *address_out,
                                 char why[PD_RESOLVE_TEXT_MAX])
{
    struct pd_reach *reach = dial->reach;
    struct pd_resolve_lookup *lookup = NULL;
    uint32_t at = 0;
    uint32_t pending = 0;
    enum pd_status status = pd_host_resolve_start(place, &lookup, why);
    if (status != PD_OK) {
        return status;
    }
    do {
        uint64_t now_ns = pd_host_now_ns(reach->host);
        uint64_t left_ns = until_ns > now_ns ? until_ns - now_ns : 0;
        status =
            pd_host_resolve_wait(lookup, left_ns < SLICE_NS ? left_ns : SLICE_NS, address_out, why);
    } while (status == PD_ERR_TIMEOUT && pd_host_now_ns(reach->host) < until_ns &&
             !atomic_load(&reach->stops) && !look(dial, &at, &pending));
    pd_host_resolve_leave(lookup);
    return status;
}

static void dial_next(struct dial *dial)
{
    struct pd_reach *reach = dial->reach;
    char place[PD_KV_MEMBER_ADDRESS_MAX + 1];
    char unknown[PD_RESOLVE_TEXT_MAX] = "no memory";
    struct pd_transport_address address;
    uint32_t at = dial->dialed++;
    const struct pd_span *known = &dial->member->peers[at];
    uint64_t now_ns = pd_host_now_ns(reach->host);
    bool is_last = dial->dialed == dial->member->peer_count;
    bool is_short = !is_last && dial->until_ns > now_ns + PD_REACH_NAME_NS;
    uint64_t until_ns = is_short ? now_ns + PD_REACH_NAME_NS : dial->until_ns;
    (void)snprintf(place, sizeof place, "%.*s", (int)known->size, (const char *)known->bytes);
    uint64_t link = 0;
    bool is_number = pd_net_address_parse(place, &address) == PD_OK; /* it needs no look-up */
    if ((!is_number && find_place(dial, place, until_ns, &address, unknown) != PD_OK) ||
        pd_net_dial(dial->net, dial->service, dial->member->key, &address, &link) != PD_OK) {
        (void)snprintf(dial->text, PD_REACH_TEXT_MAX, "%.200s", unknown);
        return;
    }
    dial->links[at] = link;
    pd_spin_lock(&reach->lock);
    const struct pd_reach_way *way = way_of(reach, link);
    pd_spin_unlock(&reach->lock);
    pd_assert(way != NULL); /* there is one for each address */
}

/* Until one is up, or all have failed, or the time is over. */
static bool race(struct dial *dial, uint32_t *at_out)
{
    struct pd_reach *reach = dial->reach;
    uint64_t next_ns = 0;
    uint32_t pending = 0;
    while (!atomic_load(&reach->stops)) {
        if (look(dial, at_out, &pending)) {
            return true;
        }
        uint64_t now_ns = pd_host_now_ns(reach->host);
        bool has_more = dial->dialed < dial->member->peer_count;
        if (now_ns >= dial->until_ns || (pending == 0 && !has_more)) {
            break;
        }
        if (has_more && (pending == 0 || now_ns >= next_ns)) {
            dial_next(dial);
            next_ns = pd_host_now_ns(reach->host) + PD_REACH_PAUSE_NS;
            continue;
        }
        uint64_t wait_ns = has_more && next_ns < dial->until_ns ? next_ns : dial->until_ns;
        (void)reach->host->ops->event_wait(reach->host, &reach->event, wait_ns);
    }
    return false;
}

bool pd_reach_dial(struct pd_reach *reach, struct pd_net *net, uint32_t service,
                   const struct pd_kv_member *member, uint64_t until_ns, uint64_t *link_out,
                   uint32_t *at_out, char text[PD_REACH_TEXT_MAX])
{
    struct dial dial = {.reach = reach,
                        .net = net,
                        .service = service,
                        .member = member,
                        .until_ns = until_ns,
                        .text = text};
    pd_assert(member->peer_count <= PD_KV_MEMBER_ADDRESSES_MAX);
    (void)snprintf(text, PD_REACH_TEXT_MAX, "no answer");
    bool is_up = race(&dial, at_out);
    uint64_t past = 0;
    for (uint32_t at = 0; at < dial.dialed; at++) {
        past = dial.links[at] > past ? dial.links[at] : past;
    }
    pd_spin_lock(&reach->lock);
    reach->past = past > reach->past ? past : reach->past;
    reach->count = 0;
    pd_spin_unlock(&reach->lock);
    for (uint32_t at = 0; at < dial.dialed; at++) {
        if (dial.links[at] != 0 && !(is_up && at == *at_out)) {
            enum pd_status status = pd_net_hang_up(net, dial.links[at]);
            (void)status; /* what cannot be hung up ends with the net */
        }
    }
    *link_out = is_up ? dial.links[*at_out] : 0;
    return is_up;
}

/* -- Where they are ---------------------------------------------------------------------------- */

bool pd_reach_is_here(const struct pd_kv_member *members, uint32_t count,
                      struct pd_transport_address *address_out, struct pd_span *elsewhere_out)
{
    static const uint8_t loopback[13] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127};
    struct pd_transport_address address;
    uint32_t seen = 0;
    *elsewhere_out = (struct pd_span){NULL, 0};
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < members[i].peer_count; k++) {
            char place[PD_KV_MEMBER_ADDRESS_MAX + 1];
            const struct pd_span *known = &members[i].peers[k];
            (void)snprintf(place, sizeof place, "%.*s", (int)known->size,
                           (const char *)known->bytes);
            if (pd_net_address_parse(place, &address) != PD_OK ||
                memcmp(address.ip, loopback, sizeof loopback) != 0) {
                *elsewhere_out = *known;
                return false;
            }
            *address_out = seen++ == 0 ? address : *address_out;
        }
    }
    return seen > 0;
}
