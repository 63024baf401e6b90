/* Two and three endpoints in virtual time: who may speak to whom, messages in order, what happens
 * when links lose, keys are wrong, nodes vanish and come back. */
#include "net/net_world.h"

static struct world world;

static void two_nodes(uint64_t seed)
{
    const struct pd_net_limits limits = world_limits();
    world_init(&world, seed);
    world_start(&world, 1, &limits);
    world_start(&world, 2, &limits);
}

static void peers_connect_and_messages_arrive_in_order(void **state)
{
    (void)state;
    two_nodes(1);
    assert_int_equal(world_say(&world, 1, 2, PD_TRANSPORT_RAFT, 1, 100), PD_ERR_UNKNOWN);
    world_introduce(&world);
    assert_int_equal(world_say(&world, 1, 2, PD_TRANSPORT_RAFT, 1, 100), PD_ERR_CLOSED);
    world_wait(&world, 1, PD_NET_PEER_CONNECTED, 1);
    world_wait(&world, 2, PD_NET_PEER_CONNECTED, 1);
    for (uint64_t i = 1; i <= 500; i++) {
        assert_int_equal(world_say(&world, 1, 2, PD_TRANSPORT_RAFT, i, 8 + i), PD_OK);
        assert_int_equal(world_say(&world, 2, 1, PD_TRANSPORT_BULK, i, 9000), PD_OK);
    }
    world_wait(&world, 2, PD_NET_MESSAGE, 500);
    world_wait(&world, 1, PD_NET_MESSAGE, 500);
    const struct station *station = &world.stations[1];
    uint64_t next = 1;
    for (uint32_t i = 0; i < station->seen_count; i++) {
        if (station->seen[i].kind == PD_NET_MESSAGE) {
            assert_int_equal(station->seen[i].first, next);
            assert_int_equal(station->seen[i].size, 8 + next);
            assert_int_equal(station->seen[i].node, 1);
            assert_int_equal(station->seen[i].lane, PD_TRANSPORT_RAFT);
            next++;
        }
    }
    assert_int_equal(next, 501);
    assert_int_equal(world.stations[0].bad_bytes + world.stations[1].bad_bytes, 0);
    world_run(&world, SECOND); /* all of it is acknowledged, and freed */
    assert_int_equal(atomic_load(&world.stations[0].account->bytes), 0);
    struct pd_transport_peer_state peer;
    assert_int_equal(pd_net_endpoint_peer_state(world.stations[0].endpoint, 2, &peer), PD_OK);
    assert_true(peer.is_connected);
    assert_in_range(peer.round_trip_ns, 2 * MS, 30 * MS);
    world_deinit(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peers_connect_and_messages_arrive_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
