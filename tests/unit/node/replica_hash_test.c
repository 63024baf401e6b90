/* Replicas show each other their hashes: equal ones go on, and one flipped bit is caught. */
#include "node/replica_world.h"

#include "base/bytes.h"
#include "node/replica_internal.h"
#include "support/seed.h"

static void equal_replicas_compare_and_go_on(void **state)
{
    (void)state;
    struct world *world = world_open(3, 3, 1);
    world_start_all(world, 3);
    for (uint32_t i = 0; i < 20; i++) {
        world_put_many(world, 20, 30, 40);
        world_ticks(world, 3);
    }
    assert_true(world_converges(world, 50));
    for (pd_raft_node id = 1; id <= 3; id++) {
        assert_false(world_node(world, id)->is_fatal);
        assert_true(world_status(world, id).counters.hashes_compared > 20);
    }
    world_close(world);
}

struct flip {
    pd_raft_node to;
    bool is_done;
};

/* One bit of a value is another one when it comes to one of them: whatever lies between a leader's
 * memory and a follower's could do that. */
static bool flip_a_bit(struct world *world, struct world_message *message, void *state)
{
    (void)world;
    struct flip *flip = state;
    static const char marker[] = "the value that is not what it was";
    if (flip->is_done || message->to != flip->to || message->bytes[1] != PD_REPLICA_FRAME_RAFT ||
        message->size < sizeof marker) {
        return true;
    }
    for (size_t at = 0; at + sizeof marker - 1 <= message->size; at++) {
        if (memcmp(message->bytes + at, marker, sizeof marker - 1) == 0) {
            message->bytes[at] ^= 1;
            flip->is_done = true;
        }
    }
    return true;
}

static void diverge(struct world *world, struct flip *flip, pd_raft_node to)
{
    *flip = (struct flip){.to = to};
    world->filter = flip_a_bit;
    world->filter_state = flip;
    world_put(world, "odd", "the value that is not what it was");
    assert_true(flip->is_done);
    world->filter = NULL;
}

static pd_raft_node follower(struct world *world)
{
    return world_elect(world) == 1 ? 2 : 1;
}

static void one_flipped_bit_stops_the_odd_one_and_no_other(void **state)
{
    (void)state;
    struct world *world = world_open(3, 3, 2);
    world_start_all(world, 3);
    world_put_many(world, 50, 30, 40);
    assert_true(world_converges(world, 50));
    pd_raft_node odd = follower(world);
    struct flip flip;
    diverge(world, &flip, odd);
    for (uint32_t i = 0; i < 40 && !world_node(world, odd)->is_fatal; i++) {
        world_put_many(world, 4, 30, 40);
        world_tick(world);
    }
    assert_true(world_node(world, odd)->is_fatal);
    assert_non_null(strstr(world_node(world, odd)->text, "not that of the majority"));
    assert_true(pd_replica_store_is_damaged(world_node(world, odd)->replica));
    world_put_many(world, 200, 30, 40);
    world_ticks(world, 100);
    for (pd_raft_node id = 1; id <= 3; id++) {
        assert_true(world_node(world, id)->is_fatal == (id == odd));
    }
    /* Its store is removed, and what it needs is not in the logs any more: it is equal again. */
    world_put_many(world, 3000, 30, 300);
    world_stop(world, odd, false);
    world_lose_store(world, odd);
    world_start(world, odd);
    assert_true(world_converges(world, 200));
    world_put_many(world, 50, 30, 40);
    world_ticks(world, 60);
    assert_true(world_converges(world, 50));
    assert_false(world_node(world, odd)->is_fatal);
    world_close(world);
}

/* The odd one may lead: it stops all the same, and another one leads. */
static void the_odd_one_stops_even_if_it_leads(void **state)
{
    (void)state;
    struct world *world = world_open(3, 3, 3);
    world_start_all(world, 3);
    world_put_many(world, 50, 30, 40);
    assert_true(world_converges(world, 50));
    pd_raft_node odd = follower(world);
    struct flip flip;
    diverge(world, &flip, odd);
    const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_TRANSFER,
                                                 .number = odd};
    (void)world_await(world, world_ask(world, world_elect(world), &head));
    for (uint32_t i = 0; i < 60 && !world_node(world, odd)->is_fatal; i++) {
        world_put_many(world, 4, 30, 40);
        world_tick(world);
    }
    assert_true(world_node(world, odd)->is_fatal);
    assert_int_not_equal(world_elect(world), odd);
    world_put(world, "after", "1");
    world_close(world);
}

/* With the third away nobody can tell who is wrong: better no answer than a wrong one. */
static void without_a_majority_both_stop(void **state)
{
    (void)state;
    struct world *world = world_open(3, 3, 4);
    world_start_all(world, 3);
    world_put_many(world, 50, 30, 40);
    assert_true(world_converges(world, 50));
    pd_raft_node leader = world_elect(world);
    pd_raft_node odd = follower(world);
    pd_raft_node away = 6 - leader - odd;
    world_crash(world, away);
    struct flip flip;
    diverge(world, &flip, odd);
    for (uint32_t i = 0; i < 200; i++) {
        if (world_node(world, leader)->is_fatal || world_node(world, odd)->is_fatal) {
            break;
        }
        world_put_many(world, 2, 30, 40);
        world_tick(world);
    }
    world_ticks(world, 20);
    assert_true(world_node(world, leader)->is_fatal);
    assert_true(world_node(world, odd)->is_fatal);
    assert_non_null(strstr(world_node(world, odd)->text, "no majority"));
    world_close(world);
}

/* With the third back in time the majority tells, and it alone goes on. */
static void the_third_decides_when_it_comes_back(void **state)
{
    (void)state;
    struct world *world = world_open(3, 3, 5);
    world_start_all(world, 3);
    world_put_many(world, 50, 30, 40);
    assert_true(world_converges(world, 50));
    pd_raft_node leader = world_elect(world);
    pd_raft_node odd = follower(world);
    pd_raft_node away = 6 - leader - odd;
    world_crash(world, away);
    struct flip flip;
    diverge(world, &flip, odd);
    for (uint32_t i = 0; i < 8; i++) {
        world_put_many(world, 2, 30, 40);
        world_tick(world);
    }
    world_start(world, away);
    for (uint32_t i = 0; i < 80; i++) {
        world_put_many(world, 2, 30, 40);
        world_tick(world);
    }
    assert_true(world_node(world, odd)->is_fatal);
    assert_false(world_node(world, leader)->is_fatal);
    assert_false(world_node(world, away)->is_fatal);
    world_close(world);
}

static void any_bytes_may_come(void **state)
{
    (void)state;
    struct pd_random random = test_random("hash frames");
    struct world *world = world_open(3, 3, 6);
    world_start_all(world, 3);
    world_put_many(world, 50, 30, 40);
    assert_true(world_converges(world, 50));
    const struct world_node *node = world_node(world, 1);
    for (uint32_t i = 0; i < 5000; i++) {
        uint8_t bytes[PD_REPLICA_FRAME_SIZE + 600] = {
            PD_REPLICA_FRAME_VERSION,
            (uint8_t)(PD_REPLICA_FRAME_CHUNK +
                      pd_random_below(&random,
                                      1 + PD_REPLICA_FRAME_HASH - PD_REPLICA_FRAME_CHUNK))};
        size_t size = (size_t)pd_random_below(&random, 600);
        pd_put_u32(bytes + 4, node->config.raft.group_id);
        pd_put_u64(bytes + 8, node->config.cluster_id);
        pd_put_u64(bytes + 16, 9); /* a stranger: whatever it says changes nothing */
        pd_put_u64(bytes + 24, 1);
        pd_random_fill(&random, bytes + PD_REPLICA_FRAME_SIZE, size);
        pd_replica_message(node->replica, 9, bytes, PD_REPLICA_FRAME_SIZE + size);
        world_loop(world, world_node(world, 1));
    }
    assert_true(world_status(world, 1).counters.messages_dropped > 1000);
    assert_false(node->is_fatal);
    world_put_many(world, 50, 30, 40);
    assert_true(world_converges(world, 50));
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_replicas_compare_and_go_on),
        cmocka_unit_test(one_flipped_bit_stops_the_odd_one_and_no_other),
        cmocka_unit_test(the_odd_one_stops_even_if_it_leads),
        cmocka_unit_test(without_a_majority_both_stop),
        cmocka_unit_test(the_third_decides_when_it_comes_back),
        cmocka_unit_test(any_bytes_may_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
