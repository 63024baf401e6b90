/* Endpoints in virtual time: who may speak to whom, messages in order, and what happens when links
 * lose, nodes vanish and come back, members go, memory runs out. */
#include "net/address.h"
#include "net/net_world.h"

static struct world world;

static void start_nodes(uint64_t seed, uint32_t count)
{
    const struct pd_net_limits limits = world_limits();
    world_init(&world, seed);
    for (uint32_t i = 1; i <= count; i++) {
        world_start(&world, i, &limits);
    }
}

static void connect_two(uint64_t seed)
{
    start_nodes(seed, 2);
    world_introduce(&world);
    world_wait(&world, 1, PD_NET_PEER_CONNECTED, 1);
    world_wait(&world, 2, PD_NET_PEER_CONNECTED, 1);
}

static void know(uint32_t node, const struct pd_transport_peer *peers, uint32_t count)
{
    assert_int_equal(
        pd_net_endpoint_set_peers(world.stations[node - 1].endpoint, world.now_ns, peers, count),
        PD_OK);
}

/* Messages 1 to `count` in this order, and nothing else. */
static void assert_in_order(uint32_t node, enum pd_transport_lane lane, uint64_t count)
{
    const struct station *station = &world.stations[node - 1];
    uint64_t next = 1;
    assert_true(station->seen_count <= SEEN_MAX);
    for (uint32_t i = 0; i < station->seen_count; i++) {
        if (station->seen[i].kind == PD_NET_MESSAGE && station->seen[i].lane == lane) {
            assert_int_equal(station->seen[i].first, next);
            next++;
        }
    }
    assert_int_equal(next, count + 1);
    assert_int_equal(station->bad_bytes, 0);
}

static void peers_connect_and_messages_arrive_in_order(void **state)
{
    (void)state;
    start_nodes(1, 2);
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
    assert_in_order(2, PD_TRANSPORT_RAFT, 500);
    assert_in_order(1, PD_TRANSPORT_BULK, 500);
    world_run(&world, SECOND); /* all of it is acknowledged, and freed */
    assert_int_equal(atomic_load(&world.stations[0].account->bytes), 0);
    struct pd_transport_peer_state peer;
    assert_int_equal(pd_net_endpoint_peer_state(world.stations[0].endpoint, 2, &peer), PD_OK);
    assert_true(peer.is_connected);
    assert_in_range(peer.round_trip_ns, 2 * MS, 30 * MS);
    world_deinit(&world);
}

static void bad_links_lose_nothing_that_was_sent(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        start_nodes(seed, 2);
        world.loss_ppm = 100000;
        world.repeat_ppm = 50000;
        world.reorder_ppm = 200000;
        world.cut_short_ppm = 20000;
        world.damage_ppm = 20000;
        world_introduce(&world);
        world_wait(&world, 1, PD_NET_PEER_CONNECTED, 1);
        for (uint64_t i = 1; i <= 200; i++) {
            assert_int_equal(world_say(&world, 1, 2, PD_TRANSPORT_RAFT, i, 3000), PD_OK);
        }
        world_wait(&world, 2, PD_NET_MESSAGE, 200);
        assert_in_order(2, PD_TRANSPORT_RAFT, 200);
        world_deinit(&world);
    }
}

static void the_same_seed_runs_the_same(void **state)
{
    (void)state;
    uint64_t ends[2];
    uint64_t packets[2];
    for (uint32_t run = 0; run < 2; run++) {
        start_nodes(7, 2);
        world.loss_ppm = 50000;
        world_introduce(&world);
        world_wait(&world, 1, PD_NET_PEER_CONNECTED, 1);
        for (uint64_t i = 1; i <= 100; i++) {
            assert_int_equal(world_say(&world, 1, 2, PD_TRANSPORT_RAFT, i, 2000), PD_OK);
        }
        world_wait(&world, 2, PD_NET_MESSAGE, 100);
        ends[run] = world.now_ns;
        packets[run] = world.sent;
        world_deinit(&world);
    }
    assert_int_equal(ends[0], ends[1]);
    assert_int_equal(packets[0], packets[1]);
}

static void a_snapshot_never_holds_up_an_append(void **state)
{
    (void)state;
    connect_two(11);
    for (uint64_t i = 1; i <= 4; i++) {
        assert_int_equal(world_say(&world, 1, 2, PD_TRANSPORT_BULK, i, 4u << 20), PD_OK);
    }
    world_run(&world, 20 * MS); /* it is under way */
    uint64_t bulk = world.stations[1].kinds[PD_NET_MESSAGE];
    assert_true(bulk < 4);
    assert_int_equal(world_say(&world, 1, 2, PD_TRANSPORT_RAFT, 1, 100), PD_OK);
    uint64_t sent_ns = world.now_ns;
    while (world.stations[1].seen[world.stations[1].seen_count - 1].lane != PD_TRANSPORT_RAFT) {
        assert_true(world_step(&world, sent_ns + 10 * MS));
        world_settle(&world);
    }
    assert_true(world.stations[1].kinds[PD_NET_MESSAGE] < 5);
    world_wait(&world, 2, PD_NET_MESSAGE, 5);
    assert_in_order(2, PD_TRANSPORT_BULK, 4);
    world_deinit(&world);
}

/* -- Keys and services ------------------------------------------------------------------------- */

static void only_members_speak_raft(void **state)
{
    (void)state;
    start_nodes(20, 2);
    struct pd_transport_peer two = world_peer(&world, 2);
    know(1, &two, 1); /* 2 does not know 1 */
    world_run(&world, 30 * SECOND);
    assert_int_equal(world.stations[0].kinds[PD_NET_PEER_CONNECTED], 0);
    assert_int_equal(world.stations[1].kinds[PD_NET_PEER_CONNECTED], 0);
    struct pd_net_counters counters = world_counters(&world, 2);
    assert_true(counters.refused_key >= 5); /* it is tried again and again, with pauses */
    assert_true(counters.refused_key <= 60);
    assert_int_equal(counters.confirmed, 0);
    assert_int_equal(counters.handshakes, 0);
    struct pd_transport_peer one = world_peer(&world, 1);
    know(2, &one, 1);
    world_wait(&world, 1, PD_NET_PEER_CONNECTED, 1);
    world_deinit(&world);
}

static void a_node_with_another_key_is_not_the_peer(void **state)
{
    (void)state;
    start_nodes(21, 3);
    struct pd_transport_peer one = world_peer(&world, 1);
    struct pd_transport_peer two = world_peer(&world, 2);
    know(2, &one, 1);
    know(3, &one, 1);
    two.addresses[0] = world.stations[2].address; /* 3 sits where 2 is thought to be */
    one.address_count = 0;
    know(2, &one, 1);
    know(3, &one, 1);
    know(1, &two, 1);
    world_run(&world, 10 * SECOND);
    assert_int_equal(world.stations[0].kinds[PD_NET_PEER_CONNECTED], 0);
    assert_int_equal(world.stations[2].kinds[PD_NET_PEER_CONNECTED], 0);
    assert_true(world_counters(&world, 1).refused_key > 0);
    two.addresses[1] = world.stations[1].address; /* the second address is right */
    two.address_count = 2;
    know(1, &two, 1);
    world_wait(&world, 1, PD_NET_PEER_CONNECTED, 1);
    world_deinit(&world);
}

static enum pd_status dial(uint32_t from, uint32_t to, uint64_t link, uint32_t service)
{
    return pd_net_endpoint_dial(world.stations[from - 1].endpoint, world.now_ns, link, service,
                                world.stations[to - 1].identity.key,
                                &world.stations[to - 1].address);
}

static const struct seen *last_seen(uint32_t node, enum pd_net_event_kind kind)
{
    const struct station *station = &world.stations[node - 1];
    for (uint32_t i = station->seen_count; i > 0; i--) {
        if (station->seen[(i - 1) % SEEN_MAX].kind == kind) {
            return &station->seen[(i - 1) % SEEN_MAX];
        }
    }
    fail_msg("node %u was never told %d", node, (int)kind);
    return NULL;
}

static void unknown_services_and_strangers_are_refused(void **state)
{
    (void)state;
    const struct pd_net_limits limits = world_limits();
    world_init(&world, 22);
    world_start(&world, 1, &limits);
    world.stations[1].services_less = 1;
    world_start(&world, 2, &limits);
    assert_int_equal(dial(1, 2, 1, 1), PD_OK); /* 2 does not offer it */
    world_wait(&world, 1, PD_NET_LINK_CLOSED, 1);
    assert_string_equal(last_seen(1, PD_NET_LINK_CLOSED)->text,
                        "the other side does not offer this service");
    world_stop(&world, 2);
    world.stations[1].services_less = 0;
    world_start(&world, 2, &limits);
    assert_int_equal(dial(1, 2, 3, 1), PD_OK); /* it is for members */
    world_wait(&world, 1, PD_NET_LINK_CLOSED, 2);
    assert_string_equal(last_seen(1, PD_NET_LINK_CLOSED)->text, "the other side refused this key");
    everybody = false;
    assert_int_equal(dial(1, 2, 5, 0), PD_OK); /* it is not admitted */
    world_wait(&world, 1, PD_NET_LINK_CLOSED, 3);
    everybody = true;
    assert_int_equal(world.stations[0].kinds[PD_NET_LINK_OPENED], 0);
    assert_int_equal(world.stations[1].kinds[PD_NET_LINK_OPENED], 0);
    assert_int_equal(dial(1, 2, 7, 0), PD_OK);
    world_wait(&world, 1, PD_NET_LINK_OPENED, 1);
    world_wait(&world, 2, PD_NET_LINK_OPENED, 1);
    struct pd_transport_peer one = world_peer(&world, 1);
    know(2, &one, 1);
    assert_int_equal(dial(1, 2, 9, 1), PD_OK);
    world_wait(&world, 1, PD_NET_LINK_OPENED, 2);
    know(2, &one, 0); /* a member no more: the members' service closes, the other one stays */
    world_wait(&world, 1, PD_NET_LINK_CLOSED, 4);
    assert_int_equal(last_seen(1, PD_NET_LINK_CLOSED)->link, 9);
    world_deinit(&world);
}

static void a_removed_member_is_cut_off(void **state)
{
    (void)state;
    connect_two(23);
    struct pd_transport_peer nobody = {0};
    know(2, &nobody, 0);
    assert_int_equal(world.stations[1].endpoint != NULL, true);
    world_wait(&world, 1, PD_NET_PEER_LOST, 1);
    assert_int_equal(world.stations[1].kinds[PD_NET_PEER_LOST], 1);
    assert_int_equal(world_say(&world, 2, 1, PD_TRANSPORT_RAFT, 1, 8), PD_ERR_UNKNOWN);
    world_run(&world, 20 * SECOND);
    assert_int_equal(world.stations[0].kinds[PD_NET_PEER_CONNECTED], 1);
    assert_int_equal(world.stations[0].kinds[PD_NET_PEER_REMOVED], 0); /* nobody says for good */
    assert_int_equal(world_counters(&world, 2).connections, 0);
    world_deinit(&world);
}

/* While it is connected, and whenever it comes back. */
static void a_removed_member_is_told_so(void **state)
{
    (void)state;
    connect_two(231);
    struct pd_transport_peer nobody = {0};
    world.stations[1].gone = 1;
    know(2, &nobody, 0);
    world_wait(&world, 1, PD_NET_PEER_REMOVED, 1);
    assert_int_equal(last_seen(1, PD_NET_PEER_REMOVED)->node, 2);
    world_wait(&world, 1, PD_NET_PEER_REMOVED, 3); /* it dials again */
    assert_int_equal(world.stations[0].kinds[PD_NET_PEER_CONNECTED], 1);
    assert_int_equal(world.stations[1].kinds[PD_NET_PEER_CONNECTED], 1);
    assert_int_equal(world.stations[1].kinds[PD_NET_PEER_REMOVED], 0);
    assert_true(world_counters(&world, 2).refused_key > 0);
    assert_int_equal(world_counters(&world, 2).handshakes, 0);
    world_deinit(&world);
}

/* Who answers at a member's address, and is not that member, cannot say it. */
static void nobody_else_says_that_one_was_removed(void **state)
{
    (void)state;
    start_nodes(232, 3);
    struct pd_transport_peer two = world_peer(&world, 2);
    know(1, &two, 1);
    world_stop(&world, 2);
    world.stations[2].gone = 1;
    world.stations[2].address = world.stations[1].address;
    world_run(&world, 20 * SECOND);
    assert_int_equal(world.stations[0].kinds[PD_NET_PEER_REMOVED], 0);
    assert_true(world_counters(&world, 1).refused_key > 0); /* it was asked */
    world_deinit(&world);
}

static void bad_tables_change_nothing(void **state)
{
    (void)state;
    connect_two(24);
    struct pd_net_endpoint *endpoint = world.stations[0].endpoint;
    struct pd_transport_peer peers[3] = {world_peer(&world, 2), world_peer(&world, 2),
                                         world_peer(&world, 1)};
    assert_int_equal(pd_net_endpoint_set_peers(endpoint, world.now_ns, peers, 2), PD_ERR_INVALID);
    peers[1].node = 9;
    assert_int_equal(pd_net_endpoint_set_peers(endpoint, world.now_ns, peers, 2), PD_ERR_INVALID);
    peers[0].node = 0;
    assert_int_equal(pd_net_endpoint_set_peers(endpoint, world.now_ns, peers, 1), PD_ERR_INVALID);
    assert_int_equal(pd_net_endpoint_set_peers(endpoint, world.now_ns, peers, 100000), PD_ERR_FULL);
    assert_int_equal(world_say(&world, 1, 2, PD_TRANSPORT_RAFT, 1, 8), PD_OK);
    world_wait(&world, 2, PD_NET_MESSAGE, 1);
    assert_int_equal(world.stations[0].kinds[PD_NET_PEER_LOST], 0);
    world_deinit(&world);
}

/* -- Nodes and links that come and go ---------------------------------------------------------- */

static void a_node_that_comes_back_is_found_at_once(void **state)
{
    (void)state;
    const struct pd_net_limits limits = world_limits();
    connect_two(30);
    world_run(&world, 3 * SECOND);
    for (uint32_t round = 1; round <= 4; round++) {
        uint32_t node = 1 + round % 2; /* the one that dialed, and the other one */
        uint32_t other = 3 - node;
        uint64_t connected = world.stations[other - 1].kinds[PD_NET_PEER_CONNECTED];
        uint64_t lost = world.stations[other - 1].kinds[PD_NET_PEER_LOST];
        world_stop(&world, node); /* killed: it says nothing */
        world_start(&world, node, &limits);
        world_introduce(&world);
        uint64_t began_ns = world.now_ns;
        world_wait(&world, node, PD_NET_PEER_CONNECTED,
                   world.stations[node - 1].kinds[PD_NET_PEER_CONNECTED] + 1);
        /* The other side is told lost, and connected, when it hears of the new life. */
        world_wait(&world, other, PD_NET_PEER_CONNECTED, connected + 1);
        assert_true(world.now_ns - began_ns < SECOND);
        uint64_t messages = world.stations[node - 1].kinds[PD_NET_MESSAGE];
        assert_int_equal(world_say(&world, other, node, PD_TRANSPORT_RAFT, round, 100), PD_OK);
        world_wait(&world, node, PD_NET_MESSAGE, messages + 1);
        assert_true(world.now_ns - began_ns < 2 * SECOND);
        world_run(&world, 15 * SECOND); /* what is left of the old one is gone */
        assert_true(world_counters(&world, other).connections <= 2);
        assert_int_equal(world.stations[other - 1].kinds[PD_NET_PEER_CONNECTED], connected + 1);
        assert_int_equal(world.stations[other - 1].kinds[PD_NET_PEER_LOST], lost + 1);
    }
    world_deinit(&world);
}

static void a_stateless_reset_ends_what_the_other_side_forgot(void **state)
{
    (void)state;
    const struct pd_net_limits limits = world_limits();
    world_init(&world, 31);
    world_start(&world, 1, &limits);
    world_start(&world, 2, &limits);
    assert_int_equal(dial(1, 2, 1, 0), PD_OK);
    world_wait(&world, 1, PD_NET_LINK_OPENED, 1);
    world_stop(&world, 2);
    world_start(&world, 2, &limits);
    uint64_t began_ns = world.now_ns;
    assert_int_equal(pd_net_endpoint_call(world.stations[0].endpoint, 1, 1,
                                          world_buffer(&world.stations[0], 1, 1, 100)),
                     PD_OK);
    world_wait(&world, 1, PD_NET_LINK_CLOSED, 1);
    assert_true(world.now_ns - began_ns < SECOND); /* and not after the idle time */
    assert_int_equal(world_counters(&world, 1).resets_received, 1);
    assert_true(world_counters(&world, 2).resets_sent >= 1);
    world_deinit(&world);
}

static void silence_is_noticed_and_healed(void **state)
{
    (void)state;
    connect_two(32);
    uint64_t sent = world.sent;
    world_run(&world, 60 * SECOND); /* nothing to say: kept alive with few packets */
    assert_int_equal(world.stations[0].kinds[PD_NET_PEER_LOST], 0);
    assert_true(world.sent - sent < 400);
    world.is_cut[0][1] = true; /* one way only */
    uint64_t cut_ns = world.now_ns;
    world_wait(&world, 1, PD_NET_PEER_LOST, 1);
    world_wait(&world, 2, PD_NET_PEER_LOST, 1);
    assert_true(world.now_ns - cut_ns < 15 * SECOND);
    world_run(&world, 30 * SECOND);
    world.is_cut[0][1] = false;
    uint64_t mended_ns = world.now_ns;
    world_wait(&world, 1, PD_NET_PEER_CONNECTED, 2);
    world_wait(&world, 2, PD_NET_PEER_CONNECTED, 2);
    assert_true(world.now_ns - mended_ns < 6 * SECOND); /* the longest pause, and a handshake */
    world_deinit(&world);
}

static void a_new_address_keeps_the_connection(void **state)
{
    (void)state;
    const struct pd_net_limits limits = world_limits();
    world_init(&world, 33);
    world_start(&world, 1, &limits);
    world_start(&world, 2, &limits);
    world.stations[1].echoes = true;
    assert_int_equal(dial(1, 2, 1, 0), PD_OK);
    world_wait(&world, 1, PD_NET_LINK_OPENED, 1);
    world_run(&world, SECOND);
    struct station *one = &world.stations[0];
    one->address = world_address(1, 7001); /* a router forgot it: it does not know itself */
    assert_int_equal(pd_net_endpoint_call(one->endpoint, 1, 1, world_buffer(one, 1, 1, 100)),
                     PD_OK);
    world_wait(&world, 1, PD_NET_ANSWER, 1);
    world_run(&world, SECOND);
    assert_int_equal(world_counters(&world, 2).moved, 1);
    one->address = world_address(9, 7009); /* another network, and it knows */
    pd_net_endpoint_move(one->endpoint, world.now_ns);
    assert_int_equal(pd_net_endpoint_call(one->endpoint, 1, 2, world_buffer(one, 2, 2, 100)),
                     PD_OK);
    world_wait(&world, 1, PD_NET_ANSWER, 2);
    world_run(&world, SECOND);
    assert_int_equal(world_counters(&world, 2).moved, 2);
    assert_int_equal(world.stations[0].kinds[PD_NET_LINK_CLOSED], 0);
    world_deinit(&world);
}

static void three_nodes_all_connect(void **state)
{
    (void)state;
    start_nodes(34, 3);
    world_introduce(&world);
    for (uint32_t i = 1; i <= 3; i++) {
        world_wait(&world, i, PD_NET_PEER_CONNECTED, 2);
    }
    for (uint32_t i = 1; i <= 3; i++) {
        pd_net_endpoint_hang_up_all(world.stations[i - 1].endpoint, world.now_ns);
        world_settle(&world);
    }
    world_run(&world, 100 * MS);
    for (uint32_t i = 1; i <= 3; i++) {
        assert_int_equal(world.stations[i - 1].kinds[PD_NET_PEER_LOST], 2);
    }
    world_deinit(&world);
}

/* -- Two connections to one peer: both have dialed --------------------------------------------- */

static uint64_t told(uint32_t node, enum pd_net_event_kind kind)
{
    return world.stations[node - 1].kinds[kind];
}

/* Both have dialed at once; then node 1 moves behind its back, so that one of the two leads
 * nowhere: the one that it did not dial. */
static void connect_twice_and_move(uint64_t seed, uint64_t messages)
{
    connect_two(seed);
    world_run(&world, SECOND);
    assert_int_equal(world_counters(&world, 1).connections, 2);
    assert_int_equal(world_counters(&world, 2).connections, 2);
    for (uint64_t i = 1; i <= messages; i++) {
        assert_int_equal(world_say(&world, 1, 2, PD_TRANSPORT_RAFT, i, 100), PD_OK);
        assert_int_equal(world_say(&world, 2, 1, PD_TRANSPORT_RAFT, i, 100), PD_OK);
    }
    world_run(&world, SECOND);
    assert_int_equal(told(1, PD_NET_MESSAGE), messages);
    assert_int_equal(told(2, PD_NET_MESSAGE), messages);
    world.stations[0].address = world_address(1, 7001);
}

/* Of what is sent now nothing is lost without a word. True: some was lost. */
static bool nothing_is_lost_in_silence(uint32_t from, uint32_t to)
{
    uint64_t messages = told(to, PD_NET_MESSAGE);
    uint64_t lost = told(from, PD_NET_PEER_LOST);
    uint64_t connected = told(from, PD_NET_PEER_CONNECTED);
    for (uint64_t i = 0; i < 10; i++) {
        assert_int_equal(world_say(&world, from, to, PD_TRANSPORT_RAFT, i, 100), PD_OK);
    }
    uint64_t until_ns =
        world.now_ns + 3 * SECOND; /* who does not know that it moved speaks by then */
    while (told(to, PD_NET_MESSAGE) < messages + 10 && told(from, PD_NET_PEER_LOST) == lost) {
        assert_true(world_step(&world, until_ns));
        world_settle(&world);
    }
    bool was_lost = told(from, PD_NET_PEER_LOST) > lost;
    if (was_lost) { /* and at once it goes on, on the other connection */
        assert_int_equal(told(from, PD_NET_PEER_CONNECTED), connected + 1);
        messages = told(to, PD_NET_MESSAGE);
        assert_int_equal(world_say(&world, from, to, PD_TRANSPORT_RAFT, 11, 100), PD_OK);
        world_wait(&world, to, PD_NET_MESSAGE, messages + 1);
        assert_true(world.now_ns <= until_ns);
    }
    return was_lost;
}

static void what_the_end_of_one_of_two_connections_lost_is_told(void **state)
{
    (void)state;
    uint32_t lost = 0;
    uint32_t kept = 0;
    for (uint64_t seed = 50; seed < 56; seed++) {
        for (uint32_t from = 1; from <= 2; from++) {
            connect_twice_and_move(seed, seed % 2);
            bool was_lost = nothing_is_lost_in_silence(from, 3 - from);
            lost += was_lost ? 1 : 0;
            kept += was_lost ? 0 : 1;
            world_deinit(&world);
        }
    }
    assert_true(lost > 0 && kept > 0); /* both cases were there */
}

static void the_end_of_a_connection_that_was_not_used_is_not_told(void **state)
{
    (void)state;
    connect_twice_and_move(60, 0);
    world_run(&world, 20 * SECOND);
    for (uint32_t node = 1; node <= 2; node++) {
        assert_true(world_counters(&world, node).silent > 0);
        assert_in_range(world_counters(&world, node).connections, 1, 2);
        assert_int_equal(told(node, PD_NET_PEER_LOST), 0);
        assert_int_equal(told(node, PD_NET_PEER_CONNECTED), 1);
    }
    world_deinit(&world);
}

/* Who ends closes both, and is told as lost once. */
static void a_goodbye_ends_both_connections(void **state)
{
    (void)state;
    for (uint32_t says_once = 0; says_once < 2; says_once++) {
        connect_twice_and_move(61, 1);
        world.stations[0].address = world_address(1, 7000);
        pd_net_endpoint_hang_up_all(world.stations[0].endpoint, world.now_ns);
        world.breaks_at = says_once == 1 ? world.sent + 1 : 0; /* the second one is lost */
        world_run(&world, 10 * MS);
        assert_int_equal(told(2, PD_NET_PEER_LOST), 1);
        assert_int_equal(told(2, PD_NET_PEER_CONNECTED), 1);
        assert_int_equal(world_counters(&world, 2).connections, 0);
        assert_int_equal(world_say(&world, 2, 1, PD_TRANSPORT_RAFT, 1, 8), PD_ERR_CLOSED);
        world_deinit(&world);
    }
}

/* -- Nodes that move --------------------------------------------------------------------------- */

/* Node 2 alone has dialed, so that it is the client; then 1 learns where 2 is. */
static void connect_from_two(uint64_t seed)
{
    start_nodes(seed, 2);
    struct pd_transport_peer one = world_peer(&world, 1);
    struct pd_transport_peer two = world_peer(&world, 2);
    two.address_count = 0;
    know(1, &two, 1);
    know(2, &one, 1);
    world_wait(&world, 1, PD_NET_PEER_CONNECTED, 1);
    world_wait(&world, 2, PD_NET_PEER_CONNECTED, 1);
    two = world_peer(&world, 2);
    know(1, &two, 1);
    world_run(&world, 10 * SECOND);
    assert_int_equal(world_counters(&world, 1).connections, 1);
}

/* Messages pass both ways, each within a time. */
static void pass_both_ways(uint64_t within_ns)
{
    for (uint32_t from = 1; from <= 2; from++) {
        uint64_t began_ns = world.now_ns;
        uint64_t messages = told(3 - from, PD_NET_MESSAGE);
        assert_int_equal(world_say(&world, from, 3 - from, PD_TRANSPORT_RAFT, 1, 100), PD_OK);
        world_wait(&world, 3 - from, PD_NET_MESSAGE, messages + 1);
        assert_true(world.now_ns - began_ns <= within_ns);
    }
}

/* Where a node finds another one that is at none of its addresses; port 0: it does not. */
static struct pd_transport_address found(uint32_t node, uint32_t other)
{
    struct pd_transport_peer_state seen;
    assert_int_equal(pd_net_endpoint_peer_state(world.stations[node - 1].endpoint, other, &seen),
                     PD_OK);
    return seen.elsewhere;
}

/* The server of a connection has moved: only a new connection reaches it, and only it can dial. */
static void a_server_that_moves_dials(void **state)
{
    (void)state;
    for (uint32_t knows = 0; knows < 2; knows++) {
        connect_from_two(70);
        assert_int_equal(found(2, 1).port, 0);
        world.stations[0].address = world_address(1, 7001);
        uint64_t moved_ns = world.now_ns;
        if (knows == 1) {
            pd_net_endpoint_move(world.stations[0].endpoint, world.now_ns);
            world_run(&world, 10 * MS);
        } else { /* it has to notice: half a second, a handshake, a last moment */
            assert_int_equal(world_say(&world, 1, 2, PD_TRANSPORT_RAFT, 1, 100), PD_OK);
            world_wait(&world, 1, PD_NET_PEER_LOST, 1);
            assert_int_equal(told(1, PD_NET_PEER_CONNECTED), 2);
            assert_true(world.now_ns - moved_ns <= 750 * MS);
        }
        pass_both_ways(10 * MS); /* the other side follows, though nobody told it */
        world_run(&world, 10 * SECOND);
        for (uint32_t node = 1; node <= 2; node++) {
            assert_in_range(world_counters(&world, node).connections, 1, 2);
            assert_true(told(node, PD_NET_PEER_LOST) <= 1);
            assert_int_equal(told(node, PD_NET_PEER_CONNECTED), told(node, PD_NET_PEER_LOST) + 1);
        }
        struct pd_transport_address at = found(2, 1);
        assert_true(pd_net_address_is_equal(&at, &world.stations[0].address));
        const struct pd_transport_peer one = world_peer(&world, 1); /* the table follows */
        know(2, &one, 1);
        assert_int_equal(found(2, 1).port, 0);
        world_deinit(&world);
    }
}

/* Nothing passes for as long as it takes to lose a network and find another; a client's connections
 * go on there, at once when it knows. */
static void a_client_that_moves_keeps_its_connections(void **state)
{
    (void)state;
    for (uint32_t knows = 0; knows < 2; knows++) {
        connect_from_two(71);
        world.stations[0].echoes = true;
        assert_int_equal(dial(2, 1, 1, 0), PD_OK);
        world_wait(&world, 2, PD_NET_LINK_OPENED, 1);
        world_run(&world, SECOND);
        struct station *two = &world.stations[1];
        world.is_cut[0][1] = world.is_cut[1][0] = true;
        assert_int_equal(pd_net_endpoint_call(two->endpoint, 1, 1, world_buffer(two, 1, 1, 100)),
                         PD_OK);
        assert_int_equal(world_say(&world, 2, 1, PD_TRANSPORT_RAFT, 1, 100), PD_OK);
        world_run(&world, 3 * SECOND);
        world.is_cut[0][1] = world.is_cut[1][0] = false;
        two->address = world_address(9, 7009);
        uint64_t moved_ns = world.now_ns;
        if (knows == 1) {
            pd_net_endpoint_move(two->endpoint, world.now_ns);
        }
        world_wait(&world, 2, PD_NET_ANSWER, 1);
        assert_true(world.now_ns - moved_ns <= (knows == 1 ? 20 * MS : 3 * SECOND));
        world_run(&world, knows == 1 ? 20 * MS : 3 * SECOND);
        assert_int_equal(told(2, PD_NET_LINK_CLOSED), 0);
        assert_true(told(1, PD_NET_MESSAGE) + told(2, PD_NET_PEER_LOST) > 0);
        pass_both_ways(10 * MS);
        uint64_t lost = told(1, PD_NET_PEER_LOST) + told(2, PD_NET_PEER_LOST);
        world_run(&world, 10 * SECOND); /* and stay there */
        pass_both_ways(10 * MS);
        assert_int_equal(told(1, PD_NET_PEER_LOST) + told(2, PD_NET_PEER_LOST), lost);
        assert_int_equal(pd_net_endpoint_call(two->endpoint, 1, 2, world_buffer(two, 2, 2, 100)),
                         PD_OK);
        world_wait(&world, 2, PD_NET_ANSWER, 2);
        assert_int_equal(told(2, PD_NET_LINK_CLOSED), 0);
        world_deinit(&world);
    }
}

static void connect_and_rest(uint64_t seed)
{
    connect_two(seed);
    world_run(&world, 10 * SECOND);
    assert_int_equal(world_counters(&world, 1).connections, 2);
}

/* What is dialed just then waits longer and longer between two tries: it begins anew. */
static void who_dials_and_moves_dials_anew(void **state)
{
    (void)state;
    start_nodes(75, 2);
    struct pd_transport_peer one = world_peer(&world, 1);
    struct pd_transport_peer two = world_peer(&world, 2);
    one.address_count = 0;
    world.is_cut[0][1] = world.is_cut[1][0] = true;
    know(1, &two, 1);
    know(2, &one, 1);
    world_run(&world, 4 * SECOND);
    world.is_cut[0][1] = world.is_cut[1][0] = false;
    uint64_t moved_ns = world.now_ns;
    pd_net_endpoint_move(world.stations[0].endpoint, world.now_ns);
    world_wait(&world, 1, PD_NET_PEER_CONNECTED, 1);
    assert_true(world.now_ns - moved_ns <= 10 * MS);
    world_deinit(&world);
}

/* A process that gets no time for a while: its connections are silent, and heard again. */
static void who_stands_still_is_not_given_up(void **state)
{
    (void)state;
    for (uint32_t node = 1; node <= 2; node++) {
        connect_and_rest(72);
        for (uint64_t round = 1; round <= 10; round++) {
            assert_int_equal(world_say(&world, 1, 2, PD_TRANSPORT_RAFT, 2 * round, 5000), PD_OK);
            assert_int_equal(world_say(&world, 2, 1, PD_TRANSPORT_RAFT, 2 * round, 5000), PD_OK);
            world_run(&world, MS / 2); /* under way, both */
            world.stations[node - 1].still_until_ns = world.now_ns + 1500 * MS;
            world_run(&world, 4 * SECOND);
            assert_int_equal(told(1, PD_NET_MESSAGE), round);
            assert_int_equal(told(2, PD_NET_MESSAGE), round);
        }
        assert_true(world_counters(&world, 3 - node).silent > 0);
        assert_int_equal(world_counters(&world, node).silent, 0); /* it has not read yet */
        for (uint32_t i = 1; i <= 2; i++) {
            assert_int_equal(told(i, PD_NET_PEER_LOST), 0);
            assert_int_equal(world_counters(&world, i).connections, 2);
        }
        world_deinit(&world);
    }
}

/* However often: what is lost is told, and no connection is left behind. */
static void links_that_break_for_a_moment_are_found_again(void **state)
{
    (void)state;
    connect_and_rest(73);
    for (uint64_t round = 1; round <= 10; round++) {
        uint64_t messages = told(2, PD_NET_MESSAGE);
        uint64_t lost = told(1, PD_NET_PEER_LOST);
        world.is_cut[0][1] = world.is_cut[1][0] = true;
        assert_int_equal(world_say(&world, 1, 2, PD_TRANSPORT_RAFT, round, 5000), PD_OK);
        world_run(&world, 300 * round * MS);
        world.is_cut[0][1] = world.is_cut[1][0] = false;
        world_run(&world, 300 * round * MS + 200 * MS); /* a probe's pause at most */
        assert_true(told(2, PD_NET_MESSAGE) > messages || told(1, PD_NET_PEER_LOST) > lost);
        pass_both_ways(10 * MS);
        world_run(&world, 2 * SECOND);
        assert_in_range(world_counters(&world, 1).connections, 1, 2);
        assert_in_range(world_counters(&world, 2).connections, 1, 2);
    }
    assert_true(world_counters(&world, 1).silent > 0);
    world_deinit(&world);
}

/* -- Memory that runs out ---------------------------------------------------------------------- */

static void every_allocation_may_fail(void **state)
{
    (void)state;
    uint64_t reached = 0;
    for (uint64_t nth = 1; nth <= 900; nth += 1 + nth / 15) {
        start_nodes(40, 2);
        world_introduce(&world);
        pd_alloc_fail_nth(nth);
        world_run(&world, 100 * MS);
        pd_alloc_fail_nth(0);
        world_wait(&world, 1, PD_NET_PEER_CONNECTED, 1);
        world_wait(&world, 2, PD_NET_PEER_CONNECTED, 1);
        /* The connection may just be failing: what was sent then is lost, and the next arrives. */
        world_run(&world, 10 * SECOND);
        struct pd_net_counters counters = world_counters(&world, 1);
        reached += counters.failed > 0 ? 1 : 0;
        uint64_t messages = world.stations[1].kinds[PD_NET_MESSAGE];
        assert_int_equal(world_say(&world, 1, 2, PD_TRANSPORT_RAFT, nth, 5000), PD_OK);
        world_wait(&world, 2, PD_NET_MESSAGE, messages + 1);
        world_deinit(&world);
    }
    assert_true(reached > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peers_connect_and_messages_arrive_in_order),
        cmocka_unit_test(bad_links_lose_nothing_that_was_sent),
        cmocka_unit_test(the_same_seed_runs_the_same),
        cmocka_unit_test(a_snapshot_never_holds_up_an_append),
        cmocka_unit_test(only_members_speak_raft),
        cmocka_unit_test(a_node_with_another_key_is_not_the_peer),
        cmocka_unit_test(unknown_services_and_strangers_are_refused),
        cmocka_unit_test(a_removed_member_is_cut_off),
        cmocka_unit_test(a_removed_member_is_told_so),
        cmocka_unit_test(nobody_else_says_that_one_was_removed),
        cmocka_unit_test(bad_tables_change_nothing),
        cmocka_unit_test(a_node_that_comes_back_is_found_at_once),
        cmocka_unit_test(a_stateless_reset_ends_what_the_other_side_forgot),
        cmocka_unit_test(silence_is_noticed_and_healed),
        cmocka_unit_test(a_new_address_keeps_the_connection),
        cmocka_unit_test(three_nodes_all_connect),
        cmocka_unit_test(what_the_end_of_one_of_two_connections_lost_is_told),
        cmocka_unit_test(the_end_of_a_connection_that_was_not_used_is_not_told),
        cmocka_unit_test(a_goodbye_ends_both_connections),
        cmocka_unit_test(a_server_that_moves_dials),
        cmocka_unit_test(a_client_that_moves_keeps_its_connections),
        cmocka_unit_test(who_dials_and_moves_dials_anew),
        cmocka_unit_test(who_stands_still_is_not_given_up),
        cmocka_unit_test(links_that_break_for_a_moment_are_found_again),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
