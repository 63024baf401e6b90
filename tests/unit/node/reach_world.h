/* reach_world - nodes on this machine for who looks for them: some that answer to a service over
 * QUIC, and addresses at which nobody does. */
#ifndef PD_TEST_REACH_WORLD_H
#define PD_TEST_REACH_WORLD_H

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/real.h"
#include "host/udp.h"
#include "net/address.h"
#include "net/net.h"

#define SECOND_NS UINT64_C(1000000000)

struct reach_node {
    struct pd_net_identity identity;
    struct pd_udp *udp;
    struct pd_net *net;
    char place[PD_NET_ADDRESS_TEXT_MAX];
};

/* secret: its first byte. */
static inline void reach_node_open(struct reach_node *node, struct pd_host *host, uint8_t secret,
                                   const struct pd_net_offer *offer)
{
    char text[PD_UDP_TEXT_MAX];
    uint8_t secrets[PD_NET_KEY_SIZE] = {secret};
    struct pd_udp_config udp = {.host = host};
    struct pd_net_config config = pd_net_config_default();
    struct pd_transport_address address;
    pd_net_identity_init(&node->identity, secrets);
    assert_int_equal(pd_net_address_parse("127.0.0.1:1", &udp.address), PD_OK);
    udp.address.port = 0;
    assert_int_equal(pd_udp_open(&udp, text, &node->udp), PD_OK);
    config.host = host;
    config.loop = pd_udp_loop(node->udp);
    config.identity = &node->identity;
    config.offers = offer;
    config.offer_count = 1;
    assert_int_equal(pd_net_open(&config, &node->net), PD_OK);
    config.loop->ops->local(config.loop, &address);
    pd_net_address_print(&address, node->place);
}

static inline void reach_node_close(struct reach_node *node)
{
    pd_net_close(node->net);
    pd_udp_close(node->udp);
}

/* A socket that takes what comes and never answers: to be closed. */
static inline int reach_silent(char place[PD_NET_ADDRESS_TEXT_MAX])
{
    struct sockaddr_in here = {.sin_family = AF_INET};
    socklen_t size = sizeof here;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(descriptor >= 0);
    assert_int_equal(bind(descriptor, (const struct sockaddr *)&here, sizeof here), 0);
    assert_int_equal(getsockname(descriptor, (struct sockaddr *)&here, &size), 0);
    (void)snprintf(place, PD_NET_ADDRESS_TEXT_MAX, "127.0.0.1:%u", (unsigned)ntohs(here.sin_port));
    return descriptor;
}

static inline struct pd_span reach_span(const char *text)
{
    return (struct pd_span){(const uint8_t *)text, strlen(text)};
}

#endif
