/* Two nodes in one process over the loopback: raft's lane, requests, the bulk lane; and TCP beside
 * them in the same run. Prints ratios: absolute figures move with what else the machine does. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "bench.h"
#include "host/real.h"
#include "host/udp.h"
#include "net/address.h"
#include "net/net.h"

enum way {
    WAY_LANE = 0,
    WAY_REQUEST,
    WAYS
};

struct node {
    uint64_t id;
    struct pd_udp *udp;
    struct pd_net_identity identity;
    struct pd_net *net;
    struct pd_transport *transport;
    struct pd_transport_address address;
    bool is_client;
    pthread_mutex_t lock;
    pthread_cond_t told;
    uint64_t connected;
    uint64_t returned; /* echoes, or the far end's bulk messages */
    uint64_t link;
};

static int compare(const void *one, const void *other)
{
    uint64_t a = *(const uint64_t *)one;
    uint64_t b = *(const uint64_t *)other;
    return a < b ? -1 : a > b;
}

double median_us(uint64_t *times_ns, uint32_t count)
{
    qsort(times_ns, count, sizeof times_ns[0], compare);
    return (double)times_ns[count / 2] / 1e3;
}

static void add(struct node *node, uint64_t *counter)
{
    (void)pthread_mutex_lock(&node->lock);
    (*counter)++;
    (void)pthread_cond_signal(&node->told);
    (void)pthread_mutex_unlock(&node->lock);
}

static void wait_until(struct node *node, const uint64_t *counter, uint64_t value)
{
    (void)pthread_mutex_lock(&node->lock);
    while (*counter < value) {
        (void)pthread_cond_wait(&node->told, &node->lock);
    }
    (void)pthread_mutex_unlock(&node->lock);
}

static void on_connected(void *state, uint64_t peer)
{
    (void)peer;
    add(state, &((struct node *)state)->connected);
}

static void on_message(void *state, uint64_t from, enum pd_transport_lane lane,
                       struct pd_span bytes)
{
    struct node *node = state;
    if (!node->is_client && lane == PD_TRANSPORT_RAFT) {
        (void)node->transport->ops->send(node->transport, from, lane, bytes);
    } else {
        add(node, &node->returned);
    }
}

static bool on_admit(void *state, const uint8_t key[PD_NET_KEY_SIZE])
{
    (void)state;
    (void)key;
    return true;
}

static void on_request(void *state, uint64_t link, uint64_t correlation, struct pd_span bytes)
{
    struct node *node = state;
    enum pd_status status = pd_net_answer(node->net, link, correlation, bytes, true);
    pd_assert(status == PD_OK);
}

static void on_ended(void *state, uint64_t link, uint64_t correlation, enum pd_status status)
{
    (void)link;
    (void)correlation;
    pd_assert(status == PD_OK);
    add(state, &((struct node *)state)->returned);
}

static void open_node(struct node *node, struct pd_host *host, uint8_t id)
{
    char text[PD_UDP_TEXT_MAX];
    uint8_t secret[PD_NET_KEY_SIZE];
    memset(node, 0, sizeof *node);
    memset(secret, id, sizeof secret);
    node->id = id;
    node->is_client = id == 1;
    (void)pthread_mutex_init(&node->lock, NULL);
    (void)pthread_cond_init(&node->told, NULL);
    pd_net_identity_init(&node->identity, secret);
    struct pd_udp_config udp = {.host = host, .buffer_bytes = 4u << 20};
    pd_assert(pd_net_address_parse("127.0.0.1:0", &udp.address) == PD_OK);
    enum pd_status status = pd_udp_open(&udp, text, &node->udp);
    pd_assert(status == PD_OK);
    const struct pd_net_offer offer = {
        "pando-client/1",
        {.admit = on_admit, .request = on_request, .ended = on_ended, .state = node}};
    struct pd_net_config config = pd_net_config_default();
    config.host = host;
    config.loop = pd_udp_loop(node->udp);
    config.loop->ops->local(config.loop, &node->address);
    config.identity = &node->identity;
    config.offers = &offer;
    config.offer_count = 1;
    status = pd_net_open(&config, &node->net);
    pd_assert(status == PD_OK);
    node->transport = pd_net_transport(node->net);
    const struct pd_transport_handler handler = {
        .message = on_message, .connected = on_connected, .state = node};
    node->transport->ops->start(node->transport, &handler);
}

static void close_node(struct node *node)
{
    node->transport->ops->stop(node->transport);
    pd_net_close(node->net);
    pd_udp_close(node->udp);
}

static void introduce(struct node *one, struct node *two)
{
    struct pd_transport_peer peers[2];
    struct node *nodes[] = {one, two};
    for (uint32_t i = 0; i < 2; i++) {
        peers[i] = (struct pd_transport_peer){
            .node = nodes[i]->id, .address_count = 1, .addresses = {nodes[i]->address}};
        memcpy(peers[i].key, nodes[i]->identity.key, PD_NET_KEY_SIZE);
    }
    for (uint32_t i = 0; i < 2; i++) {
        enum pd_status status = nodes[i]->transport->ops->set_peers(nodes[i]->transport, peers, 2);
        pd_assert(status == PD_OK);
    }
    wait_until(one, &one->connected, 1);
    wait_until(two, &two->connected, 1);
    enum pd_status status = pd_net_dial(one->net, 0, two->identity.key, &two->address, &one->link);
    pd_assert(status == PD_OK);
}

static uint64_t cpu_ns(struct pd_host *host)
{
    return host->ops->cpu_ns(host, PD_CPU_PROCESS);
}

static void ask(struct node *node, enum way way, uint64_t number)
{
    static const uint8_t bytes[ECHO_BYTES];
    const struct pd_span span = {bytes, sizeof bytes};
    enum pd_status status =
        way == WAY_LANE ? node->transport->ops->send(node->transport, 2, PD_TRANSPORT_RAFT, span)
                        : pd_net_call(node->net, node->link, number, span);
    pd_assert(status == PD_OK);
}

static void measure_echo(struct pd_host *host, struct node *node, enum way way, uint32_t count,
                         struct result *result)
{
    static uint64_t times_ns[1000000];
    uint64_t began_cpu_ns = cpu_ns(host);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t began_ns = pd_host_now_ns(host);
        uint64_t wanted = node->returned + 1;
        ask(node, way, i);
        wait_until(node, &node->returned, wanted);
        times_ns[i] = pd_host_now_ns(host) - began_ns;
    }
    result->cpu_us = (double)(cpu_ns(host) - began_cpu_ns) / 1e3 / count;
    result->p50_us = median_us(times_ns, count);
}

static void measure_busy(struct pd_host *host, struct node *node, enum way way, uint32_t count,
                         struct result *result)
{
    uint64_t began_ns = pd_host_now_ns(host);
    uint64_t began_cpu_ns = cpu_ns(host);
    uint64_t base = node->returned;
    for (uint32_t i = 0; i < count; i++) {
        if (i >= BUSY_IN_FLIGHT) {
            wait_until(node, &node->returned, base + i - BUSY_IN_FLIGHT + 1);
        }
        ask(node, way, i);
    }
    wait_until(node, &node->returned, base + count);
    result->busy_cpu_us = (double)(cpu_ns(host) - began_cpu_ns) / 1e3 / count;
    result->busy_per_s = count / ((double)(pd_host_now_ns(host) - began_ns) / 1e9);
}

static void measure_bulk(struct pd_host *host, struct node *from, struct node *to, uint32_t count,
                         struct result *result)
{
    static uint8_t bytes[BULK_BYTES];
    uint64_t began_ns = pd_host_now_ns(host);
    uint64_t began_cpu_ns = cpu_ns(host);
    uint64_t base = to->returned;
    for (uint32_t i = 0; i < count; i++) {
        if (i >= 16) {
            wait_until(to, &to->returned, base + i - 15);
        }
        enum pd_status status = from->transport->ops->send(from->transport, 2, PD_TRANSPORT_BULK,
                                                           (struct pd_span){bytes, sizeof bytes});
        pd_assert(status == PD_OK);
    }
    wait_until(to, &to->returned, base + count);
    double whole = (double)count * BULK_BYTES;
    result->bulk_cpu_ns = (double)(cpu_ns(host) - began_cpu_ns) / whole;
    result->bulk_mb_per_s = whole / 1e6 / ((double)(pd_host_now_ns(host) - began_ns) / 1e9);
}

static void row(const char *what, double lane, double request, double tcp)
{
    printf("%-42s %10.2f %10.2f %10.2f %8.1f\n", what, lane, request, tcp, lane / tcp);
}

int main(int argc, char **argv)
{
    uint32_t scale = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1;
    if (scale < 1 || scale > 10) {
        (void)fprintf(stderr, "net-bench [SCALE]: from 1 to 10\n");
        return 2;
    }
    const struct rounds rounds = {10000 * scale, 100032 * scale, 256 * scale};
    struct pd_real_host *real;
    if (pd_real_host_create(1, 16, &real) != PD_OK) {
        return 1;
    }
    struct pd_host *host = pd_real_host_interface(real);
    static struct node one;
    static struct node two;
    open_node(&one, host, 1);
    open_node(&two, host, 2);
    introduce(&one, &two);
    struct result results[WAYS] = {{0}};
    struct result tcp = {0};
    measure_tcp(host, &rounds, &tcp);
    for (enum way way = WAY_LANE; way < WAYS; way++) {
        measure_echo(host, &one, way, rounds.echoes, &results[way]);
        measure_busy(host, &one, way, rounds.busy, &results[way]);
    }
    measure_bulk(host, &one, &two, rounds.bulk, &results[WAY_LANE]);
    const struct result *lane = &results[WAY_LANE];
    const struct result *request = &results[WAY_REQUEST];
    printf("%-42s %10s %10s %10s %8s\n", "", "lane", "request", "tcp", "lane/tcp");
    row("round trip of 100 bytes, p50, us", lane->p50_us, request->p50_us, tcp.p50_us);
    row("  CPU of both sides, us", lane->cpu_us, request->cpu_us, tcp.cpu_us);
    row("round trips a second, 64 in flight, k", lane->busy_per_s / 1e3, request->busy_per_s / 1e3,
        tcp.busy_per_s / 1e3);
    row("  CPU of both sides, us", lane->busy_cpu_us, request->busy_cpu_us, tcp.busy_cpu_us);
    row("messages of 1 MiB, MB/s", lane->bulk_mb_per_s, 0, tcp.bulk_mb_per_s);
    row("  CPU of both sides, ns a byte", lane->bulk_cpu_ns, 0, tcp.bulk_cpu_ns);
    close_node(&one);
    close_node(&two);
    pd_real_host_destroy(real);
    return 0;
}
