/* The transport between nodes of one process: what transport.h promises, and cuts. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "net/memory.h"

#define QUEUE_BYTES_MAX 4096u
#define MESSAGE_BYTES_MAX 1024u

struct seen {
    struct pd_transport *transport;
    uint32_t messages;
    uint32_t out_of_order;
    uint32_t connected;
    uint32_t lost;
    uint64_t last[4];
    bool echoes;
    struct pd_transport *chokes; /* sends into this one's own queue until it is full */
    enum pd_status choked;
};

static void on_message(void *state, uint64_t from, enum pd_transport_lane lane,
                       struct pd_span bytes)
{
    struct seen *seen = state;
    uint64_t number = pd_get_u64(bytes.bytes);
    seen->messages++;
    seen->out_of_order += number <= seen->last[from] ? 1 : 0;
    seen->last[from] = number;
    if (seen->echoes) {
        (void)seen->transport->ops->send(seen->transport, from, lane, bytes);
    }
    while (seen->chokes != NULL && seen->choked == PD_OK) {
        seen->choked = seen->chokes->ops->send(seen->chokes, 1, lane, bytes);
    }
}

static void on_connected(void *state, uint64_t node)
{
    (void)node;
    ((struct seen *)state)->connected++;
}

static void on_lost(void *state, uint64_t node)
{
    (void)node;
    ((struct seen *)state)->lost++;
}

static void begin(struct pd_net_memory *hub, uint64_t node, struct seen *seen)
{
    struct pd_transport_peer peers[3] = {0};
    for (uint32_t i = 0; i < 3; i++) {
        peers[i].node = i + 1;
        peers[i].key[0] = (uint8_t)(i + 1);
    }
    memset(seen, 0, sizeof *seen);
    seen->transport = pd_net_memory_transport(hub, node);
    const struct pd_transport_handler handler = {
        .message = on_message, .connected = on_connected, .lost = on_lost, .state = seen};
    assert_int_equal(seen->transport->ops->set_peers(seen->transport, peers, 3), PD_OK);
    seen->transport->ops->start(seen->transport, &handler);
}

static enum pd_status say(struct seen *from, uint64_t to, uint64_t number, size_t size)
{
    uint8_t bytes[MESSAGE_BYTES_MAX + 1] = {0};
    pd_put_u64(bytes, number);
    return from->transport->ops->send(from->transport, to, PD_TRANSPORT_RAFT,
                                      (struct pd_span){bytes, size});
}

static void end(struct pd_net_memory *hub, struct seen *nodes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        nodes[i].transport->ops->stop(nodes[i].transport);
    }
    pd_net_memory_destroy(hub);
}

static void messages_pass_and_cuts_are_told(void **state)
{
    (void)state;
    struct pd_net_memory *hub;
    struct seen nodes[3];
    assert_int_equal(pd_net_memory_create(QUEUE_BYTES_MAX, MESSAGE_BYTES_MAX, &hub), PD_OK);
    begin(hub, 1, &nodes[0]);
    assert_int_equal(say(&nodes[0], 2, 1, 8), PD_ERR_CLOSED);
    begin(hub, 2, &nodes[1]);
    begin(hub, 3, &nodes[2]);
    assert_int_equal(nodes[0].connected, 2);
    nodes[1].echoes = true;
    assert_int_equal(say(&nodes[0], 2, 1, 8), PD_OK);
    assert_int_equal(nodes[1].messages, 1);
    assert_int_equal(nodes[0].messages, 1);
    assert_int_equal(say(&nodes[0], 2, 1, MESSAGE_BYTES_MAX + 1), PD_ERR_RANGE);
    assert_int_equal(say(&nodes[0], 9, 1, 8), PD_ERR_UNKNOWN);
    assert_int_equal(say(&nodes[0], 1, 1, 8), PD_ERR_UNKNOWN); /* itself */

    pd_net_memory_cut(hub, 1, 2);
    assert_int_equal(nodes[0].lost, 1);
    assert_int_equal(nodes[1].lost, 1);
    assert_int_equal(say(&nodes[0], 2, 2, 8), PD_ERR_CLOSED);
    assert_int_equal(say(&nodes[2], 2, 2, 8), PD_OK);
    pd_net_memory_mend(hub, 2, 1);
    assert_int_equal(say(&nodes[0], 2, 3, 8), PD_OK);

    nodes[1].transport->ops->stop(nodes[1].transport);
    assert_int_equal(nodes[0].lost, 2);
    begin(hub, 2, &nodes[1]);
    assert_int_equal(say(&nodes[0], 2, 4, 8), PD_OK);

    struct pd_transport_peer_state peer;
    assert_int_equal(nodes[0].transport->ops->peer_state(nodes[0].transport, 2, &peer), PD_OK);
    assert_true(peer.is_connected);
    assert_int_equal(peer.connects, 3);
    struct pd_transport_counters counters;
    nodes[0].transport->ops->counters(nodes[0].transport, &counters);
    assert_int_equal(counters.sent[PD_TRANSPORT_RAFT], 3);
    assert_int_equal(counters.dropped_unconnected, 2);

    const struct pd_transport_peer twice[2] = {{.node = 2, .key = {2}}, {.node = 3, .key = {2}}};
    assert_int_equal(nodes[0].transport->ops->set_peers(nodes[0].transport, twice, 2),
                     PD_ERR_INVALID);
    assert_int_equal(nodes[0].transport->ops->set_peers(nodes[0].transport, twice, 1), PD_OK);
    assert_int_equal(say(&nodes[0], 3, 5, 8), PD_ERR_UNKNOWN);
    end(hub, nodes, 3);
}

static void a_full_queue_drops_and_counts(void **state)
{
    (void)state;
    struct pd_net_memory *hub;
    struct seen nodes[2];
    assert_int_equal(pd_net_memory_create(QUEUE_BYTES_MAX, MESSAGE_BYTES_MAX, &hub), PD_OK);
    begin(hub, 1, &nodes[0]);
    begin(hub, 2, &nodes[1]);
    nodes[0].chokes = nodes[1].transport; /* while its handler runs nothing is handed out */
    assert_int_equal(say(&nodes[1], 1, 1, MESSAGE_BYTES_MAX), PD_OK);
    assert_int_equal(nodes[0].choked, PD_ERR_FULL);
    struct pd_transport_counters counters;
    nodes[1].transport->ops->counters(nodes[1].transport, &counters);
    assert_int_equal(counters.dropped_full, 1);
    assert_int_equal(counters.sent[PD_TRANSPORT_RAFT], nodes[0].messages);
    end(hub, nodes, 2);
}

#define CROWD_MESSAGES 2000u

static void *chatter(void *argument)
{
    struct seen *seen = argument;
    for (uint64_t i = 1; i <= CROWD_MESSAGES; i++) {
        for (uint64_t to = 1; to <= 3; to++) {
            (void)say(seen, to, i, 8);
        }
    }
    return NULL;
}

static void threads_keep_the_order_of_each_sender(void **state)
{
    (void)state;
    struct pd_net_memory *hub;
    struct seen nodes[3];
    pthread_t threads[3];
    assert_int_equal(pd_net_memory_create(UINT64_MAX, MESSAGE_BYTES_MAX, &hub), PD_OK);
    for (uint32_t i = 0; i < 3; i++) {
        begin(hub, i + 1, &nodes[i]);
    }
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, chatter, &nodes[i]), 0);
    }
    for (uint32_t i = 0; i < 3; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    for (uint32_t i = 0; i < 3; i++) {
        nodes[i].transport->ops->stop(nodes[i].transport);
        assert_int_equal(nodes[i].messages, 2 * CROWD_MESSAGES);
        assert_int_equal(nodes[i].out_of_order, 0);
    }
    pd_net_memory_destroy(hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_pass_and_cuts_are_told),
        cmocka_unit_test(a_full_queue_drops_and_counts),
        cmocka_unit_test(threads_keep_the_order_of_each_sender),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
