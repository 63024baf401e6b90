#include "node/twin.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "host/resolve_within.h"
#include "host/udp.h"
#include "net/address.h"
#include "net/net.h"
#include "node/reach.h"
#include "node/server_peers_join.h"

/* The addresses that are dialed, as numbers: a name is looked up once. */
struct places {
    char texts[PD_KV_MEMBER_ADDRESSES_MAX][PD_NET_ADDRESS_TEXT_MAX];
    struct pd_kv_member member;
};

static void on_opened(void *state, uint64_t link, const uint8_t key[PD_NET_KEY_SIZE])
{
    (void)key; /* that which was dialed */
    pd_reach_opened(state, link);
}

static void on_closed(void *state, uint64_t link, const char *text)
{
    pd_reach_closed(state, link, text);
}

/* Nobody is there, if this process could listen there: whoever else does keeps it from that. */
static bool is_free(struct pd_host *host, const struct pd_transport_address *address)
{
    char why[PD_UDP_TEXT_MAX];
    struct pd_udp *udp = NULL;
    const struct pd_udp_config config = {.host = host, .address = *address};
    if (pd_udp_open(&config, why, &udp) != PD_OK) {
        return false;
    }
    pd_udp_close(udp);
    return true;
}

static void collect(struct pd_host *host, const struct pd_kv_member *known, uint64_t until_ns,
                    struct places *places)
{
    for (uint32_t i = 0; i < known->peer_count; i++) {
        char place[PD_KV_MEMBER_ADDRESS_MAX + 1];
        char why[PD_RESOLVE_TEXT_MAX];
        struct pd_transport_address address;
        uint64_t now_ns = pd_host_now_ns(host);
        uint64_t left_ns = until_ns > now_ns ? until_ns - now_ns : 0;
        left_ns = left_ns > PD_REACH_NAME_NS ? PD_REACH_NAME_NS : left_ns;
        (void)snprintf(place, sizeof place, "%.*s", (int)known->peers[i].size,
                       (const char *)known->peers[i].bytes);
        bool is_known = pd_net_address_parse(place, &address) == PD_OK ||
                        pd_host_resolve_within(place, left_ns, &address, why) == PD_OK;
        if (is_known && address.port != 0 && !is_free(host, &address)) {
            uint32_t at = places->member.peer_count++;
            pd_net_address_print(&address, places->texts[at]);
            places->member.peers[at] =
                (struct pd_span){(const uint8_t *)places->texts[at], strlen(places->texts[at])};
        }
    }
}

static bool dial(struct pd_host *host, struct pd_udp *udp, const struct places *places,
                 uint64_t until_ns, uint32_t *at_out)
{
    struct pd_net_identity identity;
    uint8_t secret[PD_NET_KEY_SIZE];
    struct pd_reach reach = {.host = host};
    struct pd_net *net = NULL;
    struct pd_net_config config = pd_net_config_default();
    const struct pd_net_offer offer = {
        .name = PD_JOIN_SERVICE, /* whose door is open to every key */
        .handler = {.opened = on_opened, .closed = on_closed, .state = &reach}};
    char why[PD_REACH_TEXT_MAX];
    uint64_t link = 0;
    host->ops->entropy(host, secret, sizeof secret);
    pd_net_identity_init(&identity, secret);
    config.host = host;
    config.loop = pd_udp_loop(udp);
    config.identity = &identity;
    config.offers = &offer;
    config.offer_count = 1;
    if (pd_net_open(&config, &net) != PD_OK) {
        return false;
    }
    bool is_there = pd_reach_dial(&reach, net, 0, &places->member, until_ns, &link, at_out, why);
    pd_net_close(net);
    return is_there;
}

bool pd_twin_look(struct pd_host *host, const struct pd_kv_member *known, uint64_t until_ns,
                  char place_out[PD_KV_MEMBER_ADDRESS_MAX + 1])
{
    struct places places = {.member = {.node = known->node}};
    const struct pd_udp_config any = {.host = host};
    char why[PD_UDP_TEXT_MAX];
    struct pd_udp *udp = NULL;
    uint32_t at = 0;
    memcpy(places.member.key, known->key, sizeof places.member.key);
    collect(host, known, until_ns, &places);
    if (places.member.peer_count == 0 || pd_udp_open(&any, why, &udp) != PD_OK) {
        return false;
    }
    bool is_there = dial(host, udp, &places, until_ns, &at);
    pd_udp_close(udp);
    if (is_there) {
        (void)snprintf(place_out, PD_KV_MEMBER_ADDRESS_MAX + 1, "%s", places.texts[at]);
    }
    return is_there;
}
