#include "cli/dialer.h"

#include <stdio.h>

#include "host/udp.h"
#include "net/net.h"
#include "node/server_peers_join.h"

#define SECOND_NS UINT64_C(1000000000)
#define DIAL_NS (3 * SECOND_NS)
#define CLOCK_NS (1 * SECOND_NS)

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

/* One question is asked over each link. */
static void on_answer(void *state, uint64_t link, uint64_t correlation, struct pd_span bytes)
{
    struct pd_dialer *dialer = state;
    uint64_t there_ns = 0;
    (void)correlation;
    if (link > atomic_load(&dialer->answered)) {
        bool is_told = pd_join_read_clock(bytes, &there_ns) == PD_OK;
        atomic_store(&dialer->came_ns, dialer->host->ops->wall_ns(dialer->host));
        atomic_store(&dialer->there_ns, is_told ? there_ns : 0);
        atomic_store(&dialer->answered, link);
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
        .handler = {
            .opened = on_opened, .closed = on_closed, .answer = on_answer, .state = dialer}};
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
    dialer->link = link;
    dialer->why = is_refused ? dialer->closed_why : "no answer";
    return is_there; /* the link ends with the net */
}

bool pd_dialer_clock(struct pd_dialer *dialer, int64_t *ahead_ns_out, uint64_t *error_ns_out)
{
    struct pd_host *host = dialer->host;
    uint8_t room[1];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    uint64_t link = dialer->link;
    uint64_t end_ns = pd_host_now_ns(host) + CLOCK_NS;
    pd_join_put_clock_question(&writer);
    uint64_t asked_ns = host->ops->wall_ns(host);
    if (pd_net_call(dialer->net, link, 1, (struct pd_span){room, writer.size}) != PD_OK) {
        return false;
    }
    while (atomic_load(&dialer->answered) != link && atomic_load(&dialer->closed) != link &&
           pd_host_now_ns(host) < end_ns) {
        (void)host->ops->event_wait(host, &dialer->event, end_ns);
    }
    uint64_t there_ns = atomic_load(&dialer->there_ns);
    uint64_t came_ns = atomic_load(&dialer->came_ns);
    if (atomic_load(&dialer->answered) != link || there_ns == 0 || came_ns < asked_ns) {
        return false; /* or the clock here was put back meanwhile */
    }
    *error_ns_out = (came_ns - asked_ns) / 2;
    *ahead_ns_out = (int64_t)(there_ns - asked_ns - *error_ns_out);
    return true;
}

void pd_dialer_close(struct pd_dialer *dialer)
{
    pd_net_close(dialer->net);
    pd_udp_close(dialer->udp);
}
