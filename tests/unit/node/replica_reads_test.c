/* Large reads that have no room: they wait, small ones do not; too long, and they are refused. */
#include "node/replica_world.h"

enum {
    KEYS = 60,
    VALUE = 3500,
    READS = 20,
    ROOM = 1 << 18 /* of all reads' answers: for one of them */
};

static uint64_t ask_range(struct world *world, const char *key, const char *end)
{
    uint8_t bytes[128];
    struct pd_kv_writer writer = {.bytes = bytes, .bytes_max = sizeof bytes};
    const struct pd_kv_range range = {.key = {(const uint8_t *)key, strlen(key)},
                                      .range_end = {(const uint8_t *)end, strlen(end)}};
    pd_kv_encode_range(&writer, &range);
    const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_READ,
                                                 .body = {writer.bytes, writer.size}};
    return world_ask(world, 1, &head);
}

static struct world *one_with_keys(void)
{
    static uint8_t value[VALUE];
    struct world *world = world_open(1, 1, 77);
    struct pd_replica_config *config = &world->nodes[0].config;
    config->read_ticks_max = 200;
    config->kv.reads_max = 16;
    config->kv.small_read_bytes = ROOM / 16;
    config->kv.read_bytes_max = ROOM;
    config->kv.reads_bytes_max = ROOM;
    world_start_all(world, 1);
    (void)world_elect(world);
    for (uint32_t i = 0; i < KEYS; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "big/%03u", i);
        uint64_t put = world_ask_put(world, 1, key, (struct pd_span){value, sizeof value});
        assert_int_equal(world_await(world, put)->outcome, PD_REPLICA_OK);
    }
    world_put(world, "small", "is here");
    return world;
}

static void assert_whole(const struct world_answer *answer, uint32_t count)
{
    struct pd_kv_reader reader;
    struct pd_kv_answer_head head;
    struct pd_kv_record record;
    assert_int_equal(answer->outcome, PD_REPLICA_OK);
    pd_kv_reader_init(&reader, answer->body);
    pd_kv_answer_head(&reader, &head);
    assert_int_equal(head.error, PD_KV_OK);
    uint32_t found = 0;
    while (pd_kv_answer_record(&reader, &record)) {
        found++;
    }
    assert_int_equal(found, count);
}

/* More than all may hold, and more than may be large at once. */
static void every_large_read_has_its_turn(void **state)
{
    (void)state;
    struct world *world = one_with_keys();
    uint64_t asked[READS];
    struct pd_replica *replica = world_node(world, 1)->replica;
    pd_replica_reads_away(replica, ROOM, 0); /* until all are there */
    for (uint32_t i = 0; i < READS; i++) {
        asked[i] = ask_range(world, "big/", "big0");
    }
    world_ticks(world, 1);
    pd_replica_reads_away(replica, 0, 0);
    for (uint32_t i = 0; i < READS; i++) {
        assert_whole(world_await(world, asked[i]), KEYS);
    }
    struct pd_replica_status status = world_status(world, 1);
    assert_in_range(status.counters.reads_turned_away, READS, UINT64_MAX);
    assert_int_equal(status.kv.reads_held, 0);
    assert_false(pd_replica_reads_wait(replica));
    world_close(world);
}

static void what_clients_have_not_taken_holds_large_reads_back(void **state)
{
    (void)state;
    struct world *world = one_with_keys();
    struct pd_replica *replica = world_node(world, 1)->replica;
    pd_replica_reads_away(replica, ROOM, 0);
    uint64_t large = ask_range(world, "big/", "big0");
    world_ticks(world, 120); /* longer than request_ticks_max */
    assert_null(world_answer(world, large));
    assert_true(pd_replica_reads_wait(replica));
    assert_whole(world_await(world, ask_range(world, "small", "smalm")), 1);
    assert_whole(world_await(world, ask_range(world, "big/000", "big/001")), 1);
    pd_replica_reads_away(replica, 0, 0);
    assert_whole(world_await(world, large), KEYS);
    assert_false(pd_replica_reads_wait(replica));
    world_close(world);
}

static void a_read_that_has_no_room_for_long_is_refused(void **state)
{
    (void)state;
    struct world *world = one_with_keys();
    struct pd_replica *replica = world_node(world, 1)->replica;
    pd_replica_reads_away(replica, ROOM, 0);
    uint64_t large = ask_range(world, "big/", "big0");
    world_ticks(world, 201);
    const struct world_answer *answer = world_answer(world, large);
    assert_non_null(answer);
    assert_int_equal(answer->outcome, PD_REPLICA_BUSY); /* and not that nobody leads */
    pd_replica_reads_away(replica, 0, 0);
    assert_whole(world_await(world, ask_range(world, "big/", "big0")), KEYS);
    assert_false(pd_replica_reads_wait(replica));
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_large_read_has_its_turn),
        cmocka_unit_test(what_clients_have_not_taken_holds_large_reads_back),
        cmocka_unit_test(a_read_that_has_no_room_for_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
