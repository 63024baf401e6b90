/* Whether nodes are there, asked one after the other: what becomes of one says nothing of the next.
 * It takes the dialer's patience twice, since what is looked for happens in its second half. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/dialer.h"
#include "host/real.h"
#include "host/udp.h"
#include "net/address.h"
#include "net/net.h"
#include "node/server_peers_join.h"

/* A socket that takes what comes and never answers. */
static int silent(struct pd_transport_address *address_out)
{
    struct sockaddr_in here = {.sin_family = AF_INET};
    socklen_t size = sizeof here;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(descriptor >= 0);
    assert_int_equal(bind(descriptor, (const struct sockaddr *)&here, sizeof here), 0);
    assert_int_equal(getsockname(descriptor, (struct sockaddr *)&here, &size), 0);
    *address_out = (struct pd_transport_address){.ip = {[10] = 0xff, [11] = 0xff},
                                                 .port = ntohs(here.sin_port)};
    memcpy(address_out->ip + 12, &here.sin_addr, sizeof here.sin_addr);
    return descriptor;
}

/* The first one's handshake ends, in vain, while the second one is asked. */
static void the_end_of_one_is_not_the_next_ones(void **state)
{
    static struct pd_dialer dialer; /* too large for a frame */
    static const uint8_t key[PD_TRANSPORT_KEY_SIZE] = {1};
    struct pd_real_host *real = NULL;
    char text[PD_DIALER_TEXT_MAX];
    (void)state;
    assert_int_equal(pd_real_host_create(1, 4, &real), PD_OK);
    assert_int_equal(pd_dialer_open(&dialer, pd_real_host_interface(real), text), PD_OK);
    for (uint32_t i = 0; i < 2; i++) {
        struct pd_transport_address address;
        int descriptor = silent(&address);
        assert_false(pd_dialer_dial(&dialer, key, &address));
        assert_string_equal(dialer.why, "no answer");
        assert_int_equal(close(descriptor), 0);
    }
    pd_dialer_close(&dialer);
    pd_real_host_destroy(real);
}

/* -- Clocks ------------------------------------------------------------------------------------ */

#define AHEAD_NS UINT64_C(700000000)

static struct pd_host_ops other_ops;
static uint64_t (*here_ns)(struct pd_host *host);

static uint64_t ahead_ns(struct pd_host *host)
{
    return here_ns(host) + AHEAD_NS;
}

/* A member of before, which knows no question about clocks: the join service says so. */
static struct pd_net *old_net;

static void on_old_request(void *state, uint64_t link, uint64_t correlation, struct pd_span bytes)
{
    static const uint8_t refusal[] = {1, 2, 0};
    (void)state;
    (void)bytes;
    assert_int_equal(
        pd_net_answer(old_net, link, correlation, (struct pd_span){refusal, sizeof refusal}, true),
        PD_OK);
}

static bool admit_all(void *state, const uint8_t key[PD_NET_KEY_SIZE])
{
    (void)state;
    (void)key;
    return true;
}

struct member {
    struct pd_udp *udp;
    struct pd_net *net;
    struct pd_net_identity identity;
    struct pd_transport_address address;
};

static void open_member(struct member *member, struct pd_host *host, struct pd_net_handler handler)
{
    static const uint8_t secret[PD_NET_KEY_SIZE] = {9};
    char text[PD_UDP_TEXT_MAX];
    struct pd_udp_config udp = {.host = host};
    struct pd_net_config config = pd_net_config_default();
    const struct pd_net_offer offer = {.name = PD_JOIN_SERVICE, .handler = handler};
    assert_int_equal(pd_net_address_parse("127.0.0.1:1", &udp.address), PD_OK);
    udp.address.port = 0;
    assert_int_equal(pd_udp_open(&udp, text, &member->udp), PD_OK);
    pd_net_identity_init(&member->identity, secret);
    config.host = host;
    config.loop = pd_udp_loop(member->udp);
    config.identity = &member->identity;
    config.offers = &offer;
    config.offer_count = 1;
    assert_int_equal(pd_net_open(&config, &member->net), PD_OK);
    pd_udp_loop(member->udp)->ops->local(pd_udp_loop(member->udp), &member->address);
}

static void close_member(struct member *member)
{
    pd_net_close(member->net);
    pd_udp_close(member->udp);
}

/* The clock of the other one is ahead, and is told so by both sides; who does not know the question
 * tells nothing. */
static void clocks_are_compared(void **state)
{
    static struct pd_dialer dialer; /* too large for a frame */
    struct pd_real_host *reals[2];
    struct pd_host *hosts[2];
    struct pd_join *join = NULL;
    struct member member;
    struct member old;
    char text[PD_DIALER_TEXT_MAX];
    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(pd_real_host_create(1, 8, &reals[i]), PD_OK);
        hosts[i] = pd_real_host_interface(reals[i]);
    }
    other_ops = *hosts[1]->ops;
    here_ns = other_ops.wall_ns;
    other_ops.wall_ns = ahead_ns;
    hosts[1]->ops = &other_ops;
    for (uint32_t is_here = 0; is_here < 2; is_here++) {
        struct pd_host *there = hosts[1 - is_here];
        int64_t ahead = 0;
        uint64_t error = 0;
        assert_int_equal(pd_join_create(there, &join), PD_OK);
        open_member(&member, there, pd_join_handler(join));
        pd_join_attach(join, member.net, NULL);
        assert_int_equal(pd_dialer_open(&dialer, hosts[is_here], text), PD_OK);
        assert_true(pd_dialer_dial(&dialer, member.identity.key, &member.address));
        assert_true(pd_dialer_clock(&dialer, &ahead, &error));
        int64_t wanted = is_here == 0 ? (int64_t)AHEAD_NS : -(int64_t)AHEAD_NS;
        assert_true(ahead >= wanted - (int64_t)error - 1 && ahead <= wanted + (int64_t)error + 1);
        pd_dialer_close(&dialer);
        close_member(&member);
        pd_join_destroy(join);
    }
    open_member(&old, hosts[0],
                (struct pd_net_handler){.admit = admit_all, .request = on_old_request});
    old_net = old.net;
    int64_t ahead = 0;
    uint64_t error = 0;
    assert_int_equal(pd_dialer_open(&dialer, hosts[0], text), PD_OK);
    assert_true(pd_dialer_dial(&dialer, old.identity.key, &old.address));
    assert_false(pd_dialer_clock(&dialer, &ahead, &error));
    pd_dialer_close(&dialer);
    close_member(&old);
    for (uint32_t i = 0; i < 2; i++) {
        pd_real_host_destroy(reals[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clocks_are_compared),
        cmocka_unit_test(the_end_of_one_is_not_the_next_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
