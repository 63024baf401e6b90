#include "cli/dialer.h"

#include <stdio.h>

#include "host/udp.h"
#include "net/net.h"
#include "node/server_peers_join.h"

#define SECOND_NS UINT64_C(1000000000)
#define DIAL_NS (3 * SECOND_NS)

static void on_opened(void *state, uint64_t link, const uint8_t key[PD_NET_KEY_SIZE])
{
    struct pd_dialer *dialer = state;
    (void)key;
    if (link > atomic_load(&dialer->opened)) {
        atomic_store(&dialer->opened, link);
        dialer->host->ops->event_set(dialer->host, &dialer->event);
    }
}

static void on_closed(void *state, uint64_t link, const char *text)
{
    struct pd_dialer *dialer = state;
    if (link > atomic_load(&dialer->closed)) {
        dialer->closed_why = text;
        atomic_store(&dialer->closed, link);
        dialer->host->ops->event_set(dialer->host, &dialer->event);
    }
}

enum pd_status pd_dialer_open(struct pd_dialer *dialer, struct pd_host *host,
                              char text[PD_DIALER_TEXT_MAX])
{
    uint8_t secret[PD_NET_KEY_SIZE];
    struct pd_net_identity identity;
    char why[PD_UDP_TEXT_MAX] = "";
    struct pd_udp_config udp_config = {.host = host};
    const struct pd_net_offer offer = {
        .name = PD_JOIN_SERVICE,
        .handler = {.opened = on_opened, .closed = on_closed, .state = dialer}};
    *dialer = (struct pd_dialer){.host = host};
    host->ops->entropy(host, secret, sizeof secret);
    pd_net_identity_init(&identity, secret);
    enum pd_status status = pd_udp_open(&udp_config, why, &dialer->udp);
    if (status != PD_OK) {
        (void)snprintf(text, PD_DIALER_TEXT_MAX, "%s", why);
        return status;
    }
    struct pd_net_config config = pd_net_config_default();
    config.host = host;
    config.loop = pd_udp_loop(dialer->udp);
    config.identity = &identity;
    config.offers = &offer;
    config.offer_count = 1;
    status = pd_net_open(&config, &dialer->net);
    if (status != PD_OK) {
        (void)snprintf(text, PD_DIALER_TEXT_MAX, "no memory or threads");
        pd_udp_close(dialer->udp);
    }
    return status;
}

bool pd_dialer_dial(struct pd_dialer *dialer, const uint8_t key[PD_TRANSPORT_KEY_SIZE],
                    const struct pd_transport_address *address)
{
    struct pd_host *host = dialer->host;
    uint64_t link = 0;
    uint64_t end_ns = pd_host_now_ns(host) + DIAL_NS;
    bool is_asked = pd_net_dial(dialer->net, 0, key, address, &link) == PD_OK;
    while (is_asked && atomic_load(&dialer->opened) != link &&
           atomic_load(&dialer->closed) != link && pd_host_now_ns(host) < end_ns) {
        (void)host->ops->event_wait(host, &dialer->event, end_ns);
    }
    bool is_there = is_asked && atomic_load(&dialer->opened) == link;
    bool is_refused = is_asked && atomic_load(&dialer->closed) == link;
    dialer->why = is_refused ? dialer->closed_why : "no answer";
    return is_there; /* the link ends with the net */
}

void pd_dialer_close(struct pd_dialer *dialer)
{
    pd_net_close(dialer->net);
    pd_udp_close(dialer->udp);
}
