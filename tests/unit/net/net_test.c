/* The whole of it over real sockets on the loopback: threads, messages, requests, two processes. */
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "host/real.h"
#include "host/udp.h"
#include "net/address.h"
#include "net/net.h"

#define WAIT_S 120
#define FAST 1000u

struct node {
    struct pd_real_host *host;
    struct pd_udp *udp;
    struct pd_net_identity identity;
    struct pd_net *net;
    struct pd_transport *transport;
    struct pd_transport_address address;
    bool has_trains;
    pthread_mutex_t lock;
    pthread_cond_t told;
    /* Under the lock. */
    uint32_t connected;
    uint32_t lost;
    uint32_t messages[PD_TRANSPORT_LANES];
    uint32_t out_of_order;
    uint64_t next[PD_TRANSPORT_LANES];
    uint64_t bytes;
    uint32_t opened;
    uint32_t closed;
    uint32_t answers;
    uint32_t ended;
    uint32_t failed;
    uint32_t slow_at; /* how many answers had come when the slow one's did */
    uint64_t slow_link;
    uint32_t requests;
    uint32_t cancelled;
    bool echoes_messages;
    bool counts_when_settled; /* then node 1 is told how many messages came since */
    uint32_t unsettled;
    uint64_t settled_count; /* as the other node counts */
    char text[128];
};

#define COUNT_BYTES 9u /* of a message that tells a count; no other is that long */

static void tell(struct node *node)
{
    (void)pthread_cond_broadcast(&node->told);
    (void)pthread_mutex_unlock(&node->lock);
}

#define WAIT_FOR(node, condition)                                                                  \
    do {                                                                                           \
        struct timespec until;                                                                     \
        int result = 0;                                                                            \
        (void)clock_gettime(CLOCK_REALTIME, &until);                                               \
        until.tv_sec += WAIT_S;                                                                    \
        (void)pthread_mutex_lock(&(node)->lock);                                                   \
        while (!(condition) && result == 0) {                                                      \
            result = pthread_cond_timedwait(&(node)->told, &(node)->lock, &until);                 \
        }                                                                                          \
        bool is_so = (condition);                                                                  \
        (void)pthread_mutex_unlock(&(node)->lock);                                                 \
        assert_true(is_so);                                                                        \
    } while (0)

/* -- Handlers ---------------------------------------------------------------------------------- */

static void on_connected(void *state, uint64_t peer)
{
    struct node *node = state;
    (void)peer;
    (void)pthread_mutex_lock(&node->lock);
    node->connected++;
    tell(node);
}

static void on_lost(void *state, uint64_t peer)
{
    struct node *node = state;
    (void)peer;
    (void)pthread_mutex_lock(&node->lock);
    node->lost++;
    tell(node);
}

static void on_message(void *state, uint64_t from, enum pd_transport_lane lane,
                       struct pd_span bytes)
{
    struct node *node = state;
    uint64_t number = pd_get_u64(bytes.bytes);
    if (node->echoes_messages) {
        (void)node->transport->ops->send(node->transport, from, lane, bytes);
    }
    (void)pthread_mutex_lock(&node->lock);
    node->messages[lane]++;
    node->unsettled++;
    node->settled_count += bytes.size == COUNT_BYTES ? number : 0;
    node->out_of_order += number == node->next[lane] ? 0 : 1;
    node->next[lane] = number + 1;
    node->bytes += bytes.size;
    tell(node);
}

static bool on_admit(void *state, const uint8_t key[PD_NET_KEY_SIZE])
{
    (void)state;
    (void)key;
    return true;
}

static void on_opened(void *state, uint64_t link, const uint8_t key[PD_NET_KEY_SIZE])
{
    struct node *node = state;
    (void)link;
    (void)key;
    (void)pthread_mutex_lock(&node->lock);
    node->opened++;
    tell(node);
}

static void on_closed(void *state, uint64_t link, const char *text)
{
    struct node *node = state;
    (void)link;
    (void)pthread_mutex_lock(&node->lock);
    node->closed++;
    (void)snprintf(node->text, sizeof node->text, "%s", text);
    tell(node);
}

/* Number 0 is slow: it is answered when the test says so. The others at once. */
static void on_request(void *state, uint64_t link, uint64_t correlation, struct pd_span bytes)
{
    struct node *node = state;
    if (correlation != 0) {
        assert_int_equal(pd_net_answer(node->net, link, correlation, bytes, true), PD_OK);
    }
    (void)pthread_mutex_lock(&node->lock);
    node->slow_link = correlation == 0 ? link : node->slow_link;
    node->requests++;
    tell(node);
}

static void on_cancelled(void *state, uint64_t link, uint64_t correlation)
{
    struct node *node = state;
    (void)link;
    (void)correlation;
    (void)pthread_mutex_lock(&node->lock);
    node->cancelled++;
    tell(node);
}

static void on_answer(void *state, uint64_t link, uint64_t correlation, struct pd_span bytes)
{
    struct node *node = state;
    (void)link;
    (void)pthread_mutex_lock(&node->lock);
    node->slow_at = correlation == 0 ? node->answers : node->slow_at;
    node->answers++;
    node->out_of_order += pd_get_u64(bytes.bytes) == correlation ? 0 : 1;
    tell(node);
}

static void on_ended(void *state, uint64_t link, uint64_t correlation, enum pd_status status)
{
    struct node *node = state;
    (void)link;
    (void)correlation;
    (void)pthread_mutex_lock(&node->lock);
    node->ended++;
    node->failed += status == PD_OK ? 0 : 1;
    tell(node);
}

static void on_settled(void *state)
{
    struct node *node = state;
    (void)pthread_mutex_lock(&node->lock);
    uint8_t count[COUNT_BYTES] = {0};
    pd_put_u64(count, node->unsettled);
    bool counts = node->counts_when_settled && node->unsettled > 0;
    node->unsettled = 0;
    (void)pthread_mutex_unlock(&node->lock);
    if (counts) {
        (void)node->transport->ops->send(node->transport, 1, PD_TRANSPORT_RAFT,
                                         (struct pd_span){count, sizeof count});
    }
}

/* -- Nodes ------------------------------------------------------------------------------------- */

/* idle_ns 0: as usual. */
static void open_node_idle(struct node *node, uint8_t number, bool no_trains, uint64_t idle_ns)
{
    char text[PD_UDP_TEXT_MAX];
    uint8_t secret[PD_NET_KEY_SIZE];
    memset(node, 0, sizeof *node);
    memset(secret, number, sizeof secret);
    pd_net_identity_init(&node->identity, secret);
    (void)pthread_mutex_init(&node->lock, NULL);
    (void)pthread_cond_init(&node->told, NULL);
    assert_int_equal(pd_real_host_create(1, 16, &node->host), PD_OK);
    struct pd_host *host = pd_real_host_interface(node->host);
    struct pd_udp_config udp = {.host = host, .no_trains = no_trains, .buffer_bytes = 1u << 20};
    assert_int_equal(pd_net_address_parse("127.0.0.1:0", &udp.address), PD_OK);
    assert_int_equal(pd_udp_open(&udp, text, &node->udp), PD_OK);
    struct pd_datagram_loop *loop = pd_udp_loop(node->udp);
    loop->ops->local(loop, &node->address);
    struct pd_udp_counters counters;
    pd_udp_counters(node->udp, &counters);
    node->has_trains = counters.has_trains;
    const struct pd_net_offer offers[] = {
        {"pando-client/1",
         {on_admit, on_opened, on_closed, on_request, on_cancelled, on_answer, on_ended, node}},
        {"pando-blob/1", {.opened = on_opened, .closed = on_closed, .state = node}},
    };
    struct pd_net_config config = pd_net_config_default();
    config.host = host;
    config.loop = loop;
    config.identity = &node->identity;
    config.offers = offers;
    config.offer_count = 2;
    config.limits.idle_ns = idle_ns == 0 ? config.limits.idle_ns : idle_ns;
    assert_int_equal(pd_net_open(&config, &node->net), PD_OK);
    node->transport = pd_net_transport(node->net);
    const struct pd_transport_handler handler = {.message = on_message,
                                                 .connected = on_connected,
                                                 .lost = on_lost,
                                                 .settled = on_settled,
                                                 .state = node};
    assert_true(node->transport->ops->settles);
    node->transport->ops->start(node->transport, &handler);
}

static void open_node(struct node *node, uint8_t number, bool no_trains)
{
    open_node_idle(node, number, no_trains, 0);
}

static void close_node(struct node *node)
{
    node->transport->ops->stop(node->transport);
    pd_net_close(node->net);
    pd_udp_close(node->udp);
    pd_real_host_destroy(node->host);
    (void)pthread_mutex_destroy(&node->lock);
    (void)pthread_cond_destroy(&node->told);
}

static struct pd_transport_peer peer_of(uint8_t number, const struct pd_transport_address *address)
{
    struct pd_net_identity identity;
    uint8_t secret[PD_NET_KEY_SIZE];
    memset(secret, number, sizeof secret);
    pd_net_identity_init(&identity, secret);
    struct pd_transport_peer peer = {.node = number};
    memcpy(peer.key, identity.key, sizeof peer.key);
    if (address != NULL) {
        peer.address_count = 1;
        peer.addresses[0] = *address;
    }
    return peer;
}

static void introduce(struct node *one, struct node *two)
{
    const struct pd_transport_peer peers[] = {peer_of(1, &one->address), peer_of(2, &two->address)};
    assert_int_equal(one->transport->ops->set_peers(one->transport, peers, 2), PD_OK);
    assert_int_equal(two->transport->ops->set_peers(two->transport, peers, 2), PD_OK);
    WAIT_FOR(one, one->connected > 0);
    WAIT_FOR(two, two->connected > 0);
}

static enum pd_status say(struct node *node, uint64_t to, enum pd_transport_lane lane,
                          uint64_t number, size_t size)
{
    uint8_t *bytes = pd_alloc_zeroed(1, size);
    assert_non_null(bytes);
    pd_put_u64(bytes, number);
    enum pd_status status =
        node->transport->ops->send(node->transport, to, lane, (struct pd_span){bytes, size});
    pd_free(bytes);
    return status;
}

/* -- Tests ------------------------------------------------------------------------------------- */

static void messages_and_snapshots(bool no_trains)
{
    static struct node one;
    static struct node two;
    open_node(&one, 1, no_trains);
    open_node(&two, 2, no_trains);
    assert_int_equal(say(&one, 2, PD_TRANSPORT_RAFT, 0, 8), PD_ERR_UNKNOWN);
    introduce(&one, &two);
    two.echoes_messages = true;
    for (uint64_t i = 0; i < 8; i++) {
        assert_int_equal(say(&one, 2, PD_TRANSPORT_BULK, i, 2u << 20), PD_OK);
    }
    for (uint64_t i = 0; i < 2000; i++) {
        assert_int_equal(say(&one, 2, PD_TRANSPORT_RAFT, i, 100), PD_OK);
    }
    WAIT_FOR(&one, one.messages[PD_TRANSPORT_RAFT] == 2000);
    WAIT_FOR(&one, one.messages[PD_TRANSPORT_BULK] == 8);
    assert_int_equal(one.out_of_order + two.out_of_order, 0);
    assert_int_equal(one.bytes, 2000 * 100 + 8 * (2u << 20));
    assert_int_equal(say(&one, 2, PD_TRANSPORT_RAFT, 0, (32u << 20) + 1), PD_ERR_RANGE);
    struct pd_transport_counters counters;
    one.transport->ops->counters(one.transport, &counters);
    assert_int_equal(counters.sent[PD_TRANSPORT_RAFT], 2000);
    assert_int_equal(counters.received[PD_TRANSPORT_BULK], 8);
    assert_int_equal(counters.connects, 1);
    assert_int_equal(counters.trains > 0, one.has_trains);
    assert_int_equal(counters.trains_refused, 0);
    close_node(&two);
    WAIT_FOR(&one, one.lost == 1); /* it has said goodbye */
    assert_int_equal(say(&one, 2, PD_TRANSPORT_RAFT, 0, 8), PD_ERR_CLOSED);
    close_node(&one);
}

/* What comes and is no good is counted, whoever sent it. Datagrams may be lost, even here. */
static void garbage_is_counted(void **state)
{
    (void)state;
    static struct node one;
    static uint8_t unknown[1200] = {0xc0, 0xba, 0xba, 0xba, 0xba, 8}; /* a version of QUIC */
    static const uint8_t garbage[40] = "what begins so is of a connection";
    struct pd_transport_counters counters;
    open_node(&one, 1, false);
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(one.address.port)};
    memcpy(&to.sin6_addr, one.address.ip, sizeof one.address.ip);
    int stranger = socket(AF_INET6, SOCK_DGRAM, 0);
    assert_true(stranger >= 0);
    one.transport->ops->counters(one.transport, &counters);
    assert_int_equal(counters.datagrams_dropped, 0);
    assert_int_equal(counters.versions_refused, 0);
    for (int tries = 0; counters.datagrams_dropped < 5 || counters.versions_refused < 5; tries++) {
        assert_true(tries < WAIT_S * 1000);
        (void)sendto(stranger, garbage, sizeof garbage, 0, (struct sockaddr *)&to, sizeof to);
        (void)sendto(stranger, unknown, sizeof unknown, 0, (struct sockaddr *)&to, sizeof to);
        (void)usleep(1000);
        one.transport->ops->counters(one.transport, &counters);
    }
    (void)close(stranger);
    close_node(&one);
}

/* No message is the last that is told without `settled` behind it, and what is sent there
 * leaves. */
static void what_came_together_is_settled(void **state)
{
    (void)state;
    static struct node one;
    static struct node two;
    open_node(&one, 1, false);
    open_node(&two, 2, false);
    two.counts_when_settled = true;
    introduce(&one, &two);
    for (uint64_t i = 1; i <= 500; i++) {
        assert_int_equal(say(&one, 2, PD_TRANSPORT_RAFT, i, 8), PD_OK);
        if (i % 100 == 0) {
            WAIT_FOR(&one, one.settled_count == i);
        }
    }
    close_node(&two);
    close_node(&one);
}

static void messages_pass_in_trains(void **state)
{
    (void)state;
    messages_and_snapshots(false);
}

static void messages_pass_one_by_one(void **state)
{
    (void)state;
    messages_and_snapshots(true);
}

static void a_lane_that_is_full_says_so(void **state)
{
    (void)state;
    static struct node one;
    static struct node two;
    /* To fill it may take longer than the silence after which a peer is given up. */
    uint64_t idle_ns = WAIT_S * UINT64_C(1000000000);
    open_node_idle(&one, 1, false, idle_ns);
    open_node_idle(&two, 2, false, idle_ns);
    introduce(&one, &two);
    (void)pthread_mutex_lock(&two.lock); /* its loop stands still at the first message */
    enum pd_status status = PD_OK;
    uint64_t taken = 0;
    while (status == PD_OK && taken < 1000) {
        status = say(&one, 2, PD_TRANSPORT_BULK, taken, 1u << 20);
        taken += status == PD_OK ? 1 : 0;
    }
    (void)pthread_mutex_unlock(&two.lock);
    assert_int_equal(status, PD_ERR_FULL);
    assert_in_range(taken, 60, 200);
    WAIT_FOR(&two, two.messages[PD_TRANSPORT_BULK] == taken);
    assert_int_equal(two.out_of_order, 0);
    close_node(&one);
    close_node(&two);
}

static void one_slow_answer_holds_up_none_of_a_thousand(void **state)
{
    (void)state;
    static struct node server;
    static struct node client;
    open_node(&server, 1, false);
    open_node(&client, 2, false);
    uint64_t link;
    uint8_t bytes[100] = {0};
    assert_int_equal(pd_net_dial(client.net, 0, server.identity.key, &server.address, &link),
                     PD_OK);
    for (uint64_t i = 0; i <= FAST; i++) { /* number 0 first: it is the slow one */
        pd_put_u64(bytes, i);
        assert_int_equal(pd_net_call(client.net, link, i, (struct pd_span){bytes, sizeof bytes}),
                         PD_OK);
    }
    WAIT_FOR(&client, client.ended == FAST);
    WAIT_FOR(&server, server.slow_link != 0);
    pd_put_u64(bytes, 0);
    for (uint32_t i = 0; i < 3; i++) { /* it has three answers */
        assert_int_equal(pd_net_answer(server.net, server.slow_link, 0,
                                       (struct pd_span){bytes, sizeof bytes}, i == 2),
                         PD_OK);
    }
    WAIT_FOR(&client, client.ended == FAST + 1);
    assert_int_equal(client.answers, FAST + 3);
    assert_int_equal(client.failed, 0);
    assert_int_equal(client.out_of_order, 0);
    assert_true(client.slow_at >= FAST);
    assert_int_equal(server.requests, FAST + 1);
    assert_int_equal(client.opened, 1);
    assert_int_equal(pd_net_hang_up(client.net, link), PD_OK);
    WAIT_FOR(&client, client.closed == 1);
    WAIT_FOR(&server, server.closed == 1);
    /* On a link that is gone: it ends all the same. */
    assert_int_equal(pd_net_call(client.net, link, 1, (struct pd_span){bytes, sizeof bytes}),
                     PD_OK);
    WAIT_FOR(&client, client.failed == 1);
    close_node(&client);
    close_node(&server);
}

static void what_may_not_be_used_is_refused(void **state)
{
    (void)state;
    static struct node server;
    static struct node client;
    open_node(&server, 1, false);
    open_node(&client, 2, false);
    uint64_t link;
    assert_int_equal(pd_net_dial(client.net, 1, server.identity.key, &server.address, &link),
                     PD_OK);
    WAIT_FOR(&client, client.closed == 1); /* a service for members */
    assert_string_equal(client.text, "the other side refused this key");
    assert_int_equal(pd_net_dial(client.net, 0, client.identity.key, &server.address, &link),
                     PD_OK);
    WAIT_FOR(&client, client.closed == 2); /* not who was dialed */
    assert_string_equal(client.text, "the other side's key is not the expected one");
    assert_int_equal(client.opened, 0);
    assert_int_equal(pd_net_dial(client.net, 0, server.identity.key, &server.address, &link),
                     PD_OK);
    uint8_t bytes[8] = {0};
    assert_int_equal(pd_net_call(client.net, link, 0, (struct pd_span){bytes, sizeof bytes}),
                     PD_OK);
    WAIT_FOR(&server, server.requests == 1);
    assert_int_equal(pd_net_cancel(client.net, link, 0), PD_OK);
    WAIT_FOR(&server, server.cancelled == 1);
    assert_int_equal(client.ended, 0);
    close_node(&server);
    WAIT_FOR(&client, client.closed == 3);
    close_node(&client);
}

/* The other half of the next test, in a process of its own: echo until killed. */
static void serve_in_child(int go, int result)
{
    static struct node node;
    uint8_t byte;
    if (read(go, &byte, 1) != 1) {
        _exit(1);
    }
    open_node(&node, 2, false);
    node.echoes_messages = true;
    const struct pd_transport_peer peer = peer_of(1, NULL); /* it will dial */
    if (node.transport->ops->set_peers(node.transport, &peer, 1) != PD_OK ||
        write(result, &node.address, sizeof node.address) != (ssize_t)sizeof node.address) {
        _exit(1);
    }
    for (;;) {
        (void)pause();
    }
}

struct child {
    pid_t process;
    int go;
    int result;
};

/* Before this process has threads; it serves once told to. */
static struct child make_child(void)
{
    int go[2];
    int result[2];
    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    assert_int_equal(pipe2(result, O_CLOEXEC), 0);
    pid_t process = fork();
    assert_true(process >= 0);
    if (process == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when a test fails */
        (void)close(go[1]);
        (void)close(result[0]);
        serve_in_child(go[0], result[1]);
    }
    (void)close(go[0]);
    (void)close(result[1]);
    return (struct child){process, go[1], result[0]};
}

static struct pd_transport_peer wake_child(const struct child *child)
{
    struct pd_transport_address address;
    assert_int_equal(write(child->go, "", 1), 1);
    assert_int_equal(read(child->result, &address, sizeof address), sizeof address);
    return peer_of(2, &address);
}

static void kill_child(const struct child *child)
{
    assert_int_equal(kill(child->process, SIGKILL), 0);
    assert_int_equal(waitpid(child->process, NULL, 0), child->process);
    (void)close(child->go);
    (void)close(child->result);
}

static void two_processes_and_one_is_killed(void **state)
{
    (void)state;
    static struct node one;
    const struct child first = make_child();
    const struct child second = make_child();
    open_node(&one, 1, false);
    struct pd_transport_peer peer = wake_child(&first);
    assert_int_equal(one.transport->ops->set_peers(one.transport, &peer, 1), PD_OK);
    WAIT_FOR(&one, one.connected == 1);
    for (uint64_t i = 0; i < 100; i++) {
        assert_int_equal(say(&one, 2, PD_TRANSPORT_RAFT, i, 1000), PD_OK);
    }
    WAIT_FOR(&one, one.messages[PD_TRANSPORT_RAFT] == 100);
    assert_int_equal(one.out_of_order, 0);
    kill_child(&first);
    peer = wake_child(&second); /* its next life is at another port: the table tells */
    assert_int_equal(one.transport->ops->set_peers(one.transport, &peer, 1), PD_OK);
    WAIT_FOR(&one, one.connected == 2);
    assert_int_equal(one.lost, 1);
    assert_int_equal(say(&one, 2, PD_TRANSPORT_RAFT, 100, 1000), PD_OK);
    WAIT_FOR(&one, one.messages[PD_TRANSPORT_RAFT] == 101);
    kill_child(&second);
    close_node(&one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_processes_and_one_is_killed),
        cmocka_unit_test(what_came_together_is_settled),
        cmocka_unit_test(garbage_is_counted),
        cmocka_unit_test(messages_pass_in_trains),
        cmocka_unit_test(messages_pass_one_by_one),
        cmocka_unit_test(a_lane_that_is_full_says_so),
        cmocka_unit_test(one_slow_answer_holds_up_none_of_a_thousand),
        cmocka_unit_test(what_may_not_be_used_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
