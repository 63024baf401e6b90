/* What strangers and enemies on the way may do: floods, garbage, replays, stolen tokens. They are
 * refused, counted, and cost no more than the limits say. */
#include "net/net_world.h"

static struct world world;

#define VICTIM 1u
#define FRIEND 2u
#define ENEMY 3u

static struct station *station(uint32_t node)
{
    return &world.stations[node - 1];
}

static void inject(const struct pd_transport_address *from, const uint8_t *bytes, size_t size)
{
    /* Exactly its size, so that a sanitizer sees who reads behind its end. */
    uint8_t *copy = pd_alloc(size == 0 ? 1 : size);
    memcpy(copy, bytes, size);
    const struct pd_datagram datagram = {.remote = *from, .bytes = copy, .size = size};
    pd_net_endpoint_receive(station(VICTIM)->endpoint, world.now_ns, &datagram);
    pd_free(copy);
}

/* What the victim has to say now; it goes nowhere. Returns how many bytes. */
static size_t swallow(void)
{
    struct pd_datagram datagram;
    size_t size = 0;
    while (pd_net_endpoint_next_datagram(station(VICTIM)->endpoint, world.now_ns, world.room,
                                         &datagram)) {
        size += datagram.size;
    }
    return size;
}

/* The first packet of a new connection of the enemy's. */
static size_t first_packet(uint64_t link, uint8_t *bytes)
{
    struct station *enemy = station(ENEMY);
    struct pd_datagram datagram;
    assert_int_equal(pd_net_endpoint_dial(enemy->endpoint, world.now_ns, link, 0,
                                          station(VICTIM)->identity.key, &station(VICTIM)->address),
                     PD_OK);
    assert_true(
        pd_net_endpoint_next_datagram(enemy->endpoint, world.now_ns, world.room, &datagram));
    size_t size = datagram.segment_size == 0 ? datagram.size : datagram.segment_size;
    memcpy(bytes, datagram.bytes, size);
    while (pd_net_endpoint_next_datagram(enemy->endpoint, world.now_ns, world.room, &datagram)) {
    }
    return size;
}

static void start(uint64_t seed)
{
    struct pd_net_limits limits = world_limits();
    world_init(&world, seed);
    limits.handshakes_max = 32;
    limits.retry_from = 8;
    world_start(&world, VICTIM, &limits);
    limits = world_limits();
    world_start(&world, FRIEND, &limits);
    limits.connections_max = 1000;
    world_start(&world, ENEMY, &limits);
}

static void introduce_friends(void)
{
    const struct pd_transport_peer peers[] = {world_peer(&world, VICTIM),
                                              world_peer(&world, FRIEND)};
    for (uint32_t node = VICTIM; node <= FRIEND; node++) {
        assert_int_equal(pd_net_endpoint_set_peers(station(node)->endpoint, world.now_ns, peers, 2),
                         PD_OK);
    }
}

static void a_flood_of_handshakes_is_bounded(void **state)
{
    (void)state;
    start(1);
    uint8_t bytes[PD_DATAGRAM_BYTES_MAX];
    size_t received = 0;
    size_t sent = 0;
    for (uint32_t i = 0; i < 300; i++) {
        struct pd_transport_address spoofed = world_address(i % 250, (uint16_t)(1000 + i));
        spoofed.ip[13] = 77;
        size_t size = first_packet(2 * (uint64_t)i + 1, bytes);
        inject(&spoofed, bytes, size);
        received += size;
        sent += swallow();
        pd_net_endpoint_check(station(VICTIM)->endpoint);
    }
    struct pd_net_counters counters = world_counters(&world, VICTIM);
    assert_int_equal(counters.handshakes, 8); /* the others must show their address first */
    assert_int_equal(counters.connections, 8);
    assert_int_equal(counters.retries, 292);
    assert_true(sent <= 3 * received);
    world_stop(&world, ENEMY);
    introduce_friends(); /* in the midst of it a friend comes through */
    world_wait(&world, FRIEND, PD_NET_PEER_CONNECTED, 1);
    world_wait(&world, VICTIM, PD_NET_PEER_CONNECTED, 1);
    world_run(&world, 10 * SECOND);
    counters = world_counters(&world, VICTIM);
    assert_int_equal(counters.handshakes, 0); /* given up, and forgotten */
    assert_int_equal(counters.timed_out, 8);
    assert_true(counters.connections <= 2);
    world_deinit(&world);
}

static void a_full_house_takes_nobody(void **state)
{
    (void)state;
    struct pd_net_limits limits = world_limits();
    world_init(&world, 2);
    limits.connections_max = 5;
    world_start(&world, VICTIM, &limits);
    limits.connections_max = 100;
    world_start(&world, ENEMY, &limits);
    for (uint64_t link = 1; link <= 19; link += 2) {
        assert_int_equal(pd_net_endpoint_dial(station(ENEMY)->endpoint, world.now_ns, link, 0,
                                              station(VICTIM)->identity.key,
                                              &station(VICTIM)->address),
                         PD_OK);
    }
    world_run(&world, SECOND);
    struct pd_net_counters counters = world_counters(&world, VICTIM);
    assert_int_equal(counters.connections, 5);
    assert_true(counters.refused_busy >= 5);
    assert_int_equal(station(ENEMY)->kinds[PD_NET_LINK_OPENED], 5);
    world_run(&world, 6 * SECOND);
    assert_int_equal(station(ENEMY)->kinds[PD_NET_LINK_CLOSED], 5);
    world_deinit(&world);
}

static void a_crowd_leaves_room_for_members(void **state)
{
    (void)state;
    struct pd_net_limits limits = world_limits();
    world_init(&world, 8);
    limits.connections_max = 6;
    world_start(&world, VICTIM, &limits);
    world_start(&world, FRIEND, &limits);
    limits.connections_max = 100;
    world_start(&world, ENEMY, &limits);
    const struct pd_transport_peer friend = world_peer(&world, FRIEND);
    assert_int_equal(pd_net_endpoint_set_peers(station(VICTIM)->endpoint, world.now_ns, &friend, 1),
                     PD_OK);
    world.is_cut[VICTIM - 1][FRIEND - 1] = true; /* it cannot dial: the crowd is there first */
    for (uint64_t link = 1; link <= 39; link += 2) {
        assert_int_equal(pd_net_endpoint_dial(station(ENEMY)->endpoint, world.now_ns, link, 0,
                                              station(VICTIM)->identity.key,
                                              &station(VICTIM)->address),
                         PD_OK);
    }
    world_run(&world, SECOND);
    assert_true(world_counters(&world, VICTIM).connections <= 4);
    world.is_cut[VICTIM - 1][FRIEND - 1] = false;
    introduce_friends();
    world_wait(&world, FRIEND, PD_NET_PEER_CONNECTED, 1);
    world_deinit(&world);
}

/* The datagram that answers a Retry which the victim has to say now, from the enemy. */
static size_t answer_retry(uint8_t *bytes)
{
    struct pd_datagram datagram;
    struct station *enemy = station(ENEMY);
    assert_true(pd_net_endpoint_next_datagram(station(VICTIM)->endpoint, world.now_ns, world.room,
                                              &datagram));
    datagram.remote = station(VICTIM)->address;
    pd_net_endpoint_receive(enemy->endpoint, world.now_ns, &datagram);
    assert_true(
        pd_net_endpoint_next_datagram(enemy->endpoint, world.now_ns, world.room, &datagram));
    memcpy(bytes, datagram.bytes, datagram.size);
    return datagram.size;
}

static size_t packet_with_token(uint8_t *bytes)
{
    size_t size = first_packet(1001, bytes);
    inject(&station(ENEMY)->address, bytes, size);
    return answer_retry(bytes);
}

/* -- One source -------------------------------------------------------------------------------- */

#define SOURCE_MAX 6u
#define SOURCE_RETRY 3u

static void start_bounded(uint64_t seed)
{
    struct pd_net_limits limits = world_limits();
    world_init(&world, seed);
    limits.source_handshakes_max = SOURCE_MAX;
    limits.source_retry_from = SOURCE_RETRY;
    world_start(&world, VICTIM, &limits);
    limits = world_limits();
    world_start(&world, FRIEND, &limits);
    limits.connections_max = 1000;
    world_start(&world, ENEMY, &limits);
}

/* `count` beginnings from ports of one address, which answers what it is asked, and goes no
 * further. */
static void begin_many(struct pd_transport_address from, uint32_t count)
{
    static uint64_t link = 1;
    uint8_t bytes[PD_DATAGRAM_BYTES_MAX];
    for (uint32_t i = 0; i < count; i++) {
        uint64_t retries = world_counters(&world, VICTIM).retries;
        from.port++;
        link += 2;
        inject(&from, bytes, first_packet(link, bytes));
        if (world_counters(&world, VICTIM).retries > retries) {
            inject(&from, bytes, answer_retry(bytes));
        }
        (void)swallow();
        pd_net_endpoint_check(station(VICTIM)->endpoint);
    }
}

static void dial_victim(uint32_t node, uint64_t link)
{
    assert_int_equal(pd_net_endpoint_dial(station(node)->endpoint, world.now_ns, link, 0,
                                          station(VICTIM)->identity.key, &station(VICTIM)->address),
                     PD_OK);
}

static void one_address_never_takes_the_places_of_others(void **state)
{
    (void)state;
    start_bounded(9);
    begin_many(station(ENEMY)->address, 50);
    struct pd_net_counters counters = world_counters(&world, VICTIM);
    assert_int_equal(counters.handshakes, SOURCE_MAX);
    assert_int_equal(counters.retries, SOURCE_MAX - SOURCE_RETRY); /* then it hears nothing */
    assert_int_equal(counters.refused_source, 50 - SOURCE_MAX);
    assert_int_equal(counters.refused_busy, 0);
    /* Others notice nothing; it gets no further itself until its handshakes are given up. */
    dial_victim(FRIEND, 1);
    world_wait(&world, FRIEND, PD_NET_LINK_OPENED, 1);
    counters = world_counters(&world, VICTIM);
    assert_int_equal(counters.handshakes, SOURCE_MAX);
    assert_int_equal(counters.retries, SOURCE_MAX - SOURCE_RETRY);
    world_stop(&world, ENEMY);
    world_run(&world, 10 * SECOND);
    counters = world_counters(&world, VICTIM);
    assert_int_equal(counters.handshakes, 0);
    assert_int_equal(counters.timed_out, SOURCE_MAX);
    const struct pd_net_limits limits = world_limits();
    world_start(&world, ENEMY, &limits);
    dial_victim(ENEMY, 1);
    world_wait(&world, ENEMY, PD_NET_LINK_OPENED, 1);
    world_deinit(&world);
}

/* Whoever writes its address on packets does not receive there. */
static void an_address_that_others_write_on_packets_still_gets_in(void **state)
{
    (void)state;
    start_bounded(10);
    uint8_t bytes[PD_DATAGRAM_BYTES_MAX];
    struct pd_transport_address written = station(FRIEND)->address;
    for (uint64_t i = 1; i <= 50; i++) {
        written.port++;
        inject(&written, bytes, first_packet(2 * i + 1, bytes));
        (void)swallow();
    }
    struct pd_net_counters counters = world_counters(&world, VICTIM);
    assert_int_equal(counters.handshakes, SOURCE_RETRY);
    assert_int_equal(counters.retries, 50 - SOURCE_RETRY);
    assert_int_equal(counters.refused_source, 0);
    world_stop(&world, ENEMY);
    dial_victim(FRIEND, 1);
    world_wait(&world, FRIEND, PD_NET_LINK_OPENED, 1);
    assert_int_equal(world_counters(&world, VICTIM).retries, 51 - SOURCE_RETRY);
    world_deinit(&world);
}

/* It shares the address with somebody who begins, and goes no further: whoever shows that it
 * receives there takes the place of one that hangs. */
static void a_neighbour_of_a_flood_gets_in(void **state)
{
    (void)state;
    start_bounded(13);
    uint8_t bytes[PD_DATAGRAM_BYTES_MAX];
    struct pd_transport_address shared = station(FRIEND)->address;
    begin_many(shared, 50);
    struct pd_net_counters before = world_counters(&world, VICTIM);
    assert_int_equal(before.handshakes, SOURCE_MAX);
    /* What hangs makes room for nobody who only writes the address on its packets. */
    world.now_ns += SECOND / 2;
    inject(&shared, bytes, first_packet(1001, bytes));
    (void)swallow();
    struct pd_net_counters counters = world_counters(&world, VICTIM);
    assert_int_equal(counters.retries, before.retries + 1);
    assert_int_equal(counters.refused_source, before.refused_source);
    world_stop(&world, ENEMY);
    uint64_t begun_ns = world.now_ns;
    dial_victim(FRIEND, 1);
    world_wait(&world, FRIEND, PD_NET_LINK_OPENED, 1);
    assert_true(world.now_ns - begun_ns < SECOND);
    counters = world_counters(&world, VICTIM);
    assert_int_equal(counters.handshakes, SOURCE_MAX - 1);
    assert_int_equal(counters.refused_source, before.refused_source + 1);
    pd_net_endpoint_check(station(VICTIM)->endpoint);
    world_deinit(&world);
}

/* The second half of an IPv6 address is its holder's to choose; one of IPv4 is one of many. */
static void half_an_ipv6_address_is_one_source(void **state)
{
    (void)state;
    start_bounded(11);
    struct pd_transport_address from = {.ip = {0x20, 0x01, 0x0d, 0xb8}, .port = 1000};
    for (uint32_t i = 0; i < SOURCE_MAX + 2; i++) {
        from.ip[8 + i] = 1;
        begin_many(from, 1);
    }
    assert_int_equal(world_counters(&world, VICTIM).handshakes, SOURCE_MAX);
    assert_int_equal(world_counters(&world, VICTIM).refused_source, 2);
    from.ip[7] = 1;
    begin_many(from, 1);
    for (uint32_t i = 0; i < 4; i++) {
        begin_many(world_address(100 + i, 1000), 1);
    }
    assert_int_equal(world_counters(&world, VICTIM).handshakes, SOURCE_MAX + 5);
    assert_int_equal(world_counters(&world, VICTIM).refused_source, 2);
    world_deinit(&world);
}

/* As when all nodes of a machine start at once, with the limits that ship. */
static void a_crowd_at_one_address_only_waits(void **state)
{
    (void)state;
    struct pd_net_limits limits = world_limits();
    world_init(&world, 12);
    limits.connections_max = 300;
    world_start(&world, VICTIM, &limits);
    world_start(&world, ENEMY, &limits);
    for (uint64_t link = 1; link < 200; link += 2) {
        dial_victim(ENEMY, link);
    }
    uint64_t begun_ns = world.now_ns;
    world_wait(&world, ENEMY, PD_NET_LINK_OPENED, 100);
    assert_true(world.now_ns - begun_ns < SECOND);
    assert_int_equal(station(ENEMY)->kinds[PD_NET_LINK_CLOSED], 0);
    assert_true(world_counters(&world, VICTIM).refused_source > 0);
    world_deinit(&world);
}

static void a_token_is_good_for_one_address_and_a_while(void **state)
{
    (void)state;
    start(3);
    uint8_t bytes[PD_DATAGRAM_BYTES_MAX];
    for (uint32_t i = 0; i < 8; i++) { /* until Retry is asked for */
        struct pd_transport_address spoofed = world_address(200, (uint16_t)(1000 + i));
        inject(&spoofed, bytes, first_packet(2 * (uint64_t)i + 1, bytes));
        (void)swallow();
    }
    size_t size = packet_with_token(bytes);
    uint64_t accepted = world_counters(&world, VICTIM).accepted;
    struct pd_transport_address thief = world_address(99, 7000);
    inject(&thief, bytes, size);
    assert_int_equal(world_counters(&world, VICTIM).bad_tokens, 1);
    world.now_ns += 11 * SECOND;
    inject(&station(ENEMY)->address, bytes, size); /* too old */
    assert_int_equal(world_counters(&world, VICTIM).bad_tokens, 2);
    assert_int_equal(world_counters(&world, VICTIM).accepted, accepted);
    world_deinit(&world);
}

static void garbage_is_dropped_and_costs_little(void **state)
{
    (void)state;
    start(4);
    introduce_friends();
    world_wait(&world, VICTIM, PD_NET_PEER_CONNECTED, 1);
    world_wait(&world, FRIEND, PD_NET_PEER_CONNECTED, 1);
    struct pd_random random;
    uint8_t bytes[1500];
    size_t sent = 0;
    pd_random_init(&random, 4, "garbage");
    for (uint32_t i = 0; i < 20000; i++) {
        size_t size = pd_random_below(&random, i % 2 == 0 ? 40 : sizeof bytes + 1);
        pd_random_fill(&random, bytes, size);
        if (size > 5 && i % 3 == 0) { /* looks like the beginning of a connection */
            const uint8_t head[] = {(uint8_t)(0xc0 | (bytes[0] & 0x3f)), 0, 0, 0, 1};
            memcpy(bytes, head, sizeof head);
        }
        /* From the friend's own address half of the time. */
        struct pd_transport_address from =
            i % 4 < 2 ? station(FRIEND)->address : world_address(150, 1);
        inject(&from, bytes, size);
        sent += swallow();
    }
    struct pd_net_counters counters = world_counters(&world, VICTIM);
    assert_true(counters.connections <= 2);
    assert_true(counters.resets_sent + counters.versions_refused + counters.retries <=
                counters.replies_withheld + 1000);
    assert_true(sent < 1000 * 1500); /* replies_a_second */
    assert_int_equal(world_say(&world, FRIEND, VICTIM, PD_TRANSPORT_RAFT, 1, 100), PD_OK);
    world_wait(&world, VICTIM, PD_NET_MESSAGE, 1);
    assert_int_equal(station(VICTIM)->kinds[PD_NET_PEER_LOST], 0);
    world_deinit(&world);
}

#define TAPE_MAX 3000u

static struct {
    struct pd_transport_address from;
    size_t size;
    uint8_t bytes[PD_DATAGRAM_BYTES_MAX];
} tape[TAPE_MAX];
static uint32_t tape_count;

/* Everything that is on its way to the victim. */
static void record(void)
{
    for (uint32_t i = 0; i < FLIGHTS_MAX && tape_count < TAPE_MAX; i++) {
        const struct flight *flight = &world.flights[i];
        if (flight->arrives_ns != 0 &&
            memcmp(&flight->to, &station(VICTIM)->address, sizeof flight->to) == 0) {
            tape[tape_count].from = flight->from;
            tape[tape_count].size = flight->size;
            memcpy(tape[tape_count].bytes, flight->bytes, flight->size);
            tape_count++;
        }
    }
}

static void what_is_played_again_or_changed_happens_once(void **state)
{
    (void)state;
    start(5);
    tape_count = 0;
    introduce_friends();
    for (uint64_t number = 0; number <= 50; number++) {
        if (number > 0) {
            assert_int_equal(world_say(&world, FRIEND, VICTIM, PD_TRANSPORT_RAFT, number, 2000),
                             PD_OK);
        }
        /* The handshake, then one message after the other. */
        uint64_t until_ns = world.now_ns + (number == 0 ? SECOND / 2 : 5 * MS);
        bool more = true;
        while (more) {
            world_settle(&world);
            record();
            more = world_step(&world, until_ns);
        }
    }
    assert_int_equal(station(VICTIM)->kinds[PD_NET_MESSAGE], 50);
    assert_true(tape_count > 50);
    struct pd_random random;
    pd_random_init(&random, 5, "changes");
    for (uint32_t i = 0; i < 2 * tape_count; i++) {
        uint32_t at = i % tape_count;
        size_t size = tape[at].size;
        if (i >= tape_count) { /* changed, cut short, from elsewhere */
            tape[at].bytes[pd_random_below(&random, size)] ^= 0x55;
            size = i % 3 == 0 ? pd_random_below(&random, size) : size;
        }
        struct pd_transport_address from = i % 5 == 0 ? world_address(99, 9) : tape[at].from;
        inject(&from, tape[at].bytes, size);
        pd_net_endpoint_check(station(VICTIM)->endpoint);
        world_settle(&world);
    }
    world_run(&world, 8 * SECOND);
    assert_int_equal(station(VICTIM)->kinds[PD_NET_MESSAGE], 50);
    assert_int_equal(station(VICTIM)->bad_bytes, 0);
    assert_int_equal(station(VICTIM)->kinds[PD_NET_PEER_LOST], 0);
    assert_int_equal(world_say(&world, FRIEND, VICTIM, PD_TRANSPORT_RAFT, 51, 100), PD_OK);
    world_wait(&world, VICTIM, PD_NET_MESSAGE, 51);
    world_deinit(&world);
}

static void other_versions_are_told_ours(void **state)
{
    (void)state;
    start(6);
    uint8_t bytes[1200] = {0xc0, 0x0a, 0x0a, 0x0a, 0x0a, 8, 1, 2, 3, 4, 5, 6, 7, 8, 8};
    inject(&station(ENEMY)->address, bytes, sizeof bytes);
    assert_in_range(swallow(), 20, 40);
    inject(&station(ENEMY)->address, bytes, 1199); /* too small to be answered */
    assert_int_equal(swallow(), 0);
    assert_int_equal(world_counters(&world, VICTIM).versions_refused, 1);
    assert_int_equal(world_counters(&world, VICTIM).datagrams_dropped, 1);
    assert_int_equal(world_counters(&world, VICTIM).connections, 0);
    world_deinit(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flood_of_handshakes_is_bounded),
        cmocka_unit_test(a_full_house_takes_nobody),
        cmocka_unit_test(a_crowd_leaves_room_for_members),
        cmocka_unit_test(one_address_never_takes_the_places_of_others),
        cmocka_unit_test(an_address_that_others_write_on_packets_still_gets_in),
        cmocka_unit_test(a_neighbour_of_a_flood_gets_in),
        cmocka_unit_test(half_an_ipv6_address_is_one_source),
        cmocka_unit_test(a_crowd_at_one_address_only_waits),
        cmocka_unit_test(a_token_is_good_for_one_address_and_a_while),
        cmocka_unit_test(garbage_is_dropped_and_costs_little),
        cmocka_unit_test(what_is_played_again_or_changed_happens_once),
        cmocka_unit_test(other_versions_are_told_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
