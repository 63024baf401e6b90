/* State time: what nobody wrote in, what a clock jumps, and what is told of it. */
#include "node/replica_world.h"

#define TICKS_A_SECOND 10u
#define IDLE_S 300u
#define DAY_S UINT64_C(86400)
#define SECOND_NS UINT64_C(1000000000)

static void pass(struct world *world, uint32_t seconds)
{
    world_ticks(world, seconds * TICKS_A_SECOND);
}

/* Every clock at once, and no tick of it is heard: the machine was suspended. */
static void jump(struct world *world, uint64_t seconds)
{
    world->now_ns += seconds * SECOND_NS;
    for (uint32_t i = 0; i < world->count; i++) {
        if (world->nodes[i].is_up) {
            pd_replica_clock(world->nodes[i].replica, world->now_ns, world->now_ns);
        }
    }
}

/* The error, and the first number of the body. */
static enum pd_kv_error command(struct world *world, const struct pd_kv_command *command,
                                int64_t *number_out)
{
    uint8_t bytes[256];
    struct pd_kv_writer writer = {.bytes = bytes, .bytes_max = sizeof bytes};
    pd_kv_command_encode(&writer, command);
    const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_WRITE,
                                                 .body = {writer.bytes, writer.size}};
    const struct world_answer *answer =
        world_await(world, world_ask(world, world_elect(world), &head));
    assert_int_equal(answer->outcome, PD_REPLICA_OK);
    struct pd_kv_reader reader;
    struct pd_kv_answer_head told;
    pd_kv_reader_init(&reader, answer->body);
    pd_kv_answer_head(&reader, &told);
    *number_out = pd_kv_answer_number(&reader);
    return told.error;
}

static int64_t grant(struct world *world, int64_t ttl_s)
{
    int64_t lease = 0;
    assert_int_equal(
        command(world, &(struct pd_kv_command){.kind = PD_KV_LEASE_GRANT, .ttl_s = ttl_s}, &lease),
        PD_KV_OK);
    return lease;
}

static void keep_alive(struct world *world, int64_t lease)
{
    int64_t number = 0;
    assert_int_equal(command(world,
                             &(struct pd_kv_command){.kind = PD_KV_LEASE_KEEPALIVE, .id = lease},
                             &number),
                     PD_KV_OK);
}

/* As a node tells it; -1: there is none. */
static int64_t time_to_live(struct world *world, pd_raft_node node, int64_t lease)
{
    const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_LEASE,
                                                 .number = (uint64_t)lease};
    const struct world_answer *answer = world_await(world, world_ask(world, node, &head));
    assert_int_equal(answer->outcome, PD_REPLICA_OK);
    struct pd_kv_reader reader;
    struct pd_kv_answer_head told;
    pd_kv_reader_init(&reader, answer->body);
    pd_kv_answer_head(&reader, &told);
    assert_int_equal(pd_kv_answer_number(&reader), lease);
    return pd_kv_answer_number(&reader);
}

static struct world *open_world(uint32_t count, uint64_t seed)
{
    struct world *world = world_open(count, count, seed);
    world_start_all(world, count);
    world_put(world, "a", "b");
    return world;
}

static bool lives(struct world *world)
{
    return world_status(world, world_elect(world)).kv.lease_count > 0;
}

static void a_lease_of_an_idle_cluster_lives_as_long_as_it_was_told(void **state)
{
    (void)state;
    for (uint32_t count = 1; count <= 3; count += 2) {
        struct world *world = open_world(count, 21);
        uint64_t before = world_status(world, world_elect(world)).counters.proposals;
        pass(world, IDLE_S);
        uint64_t carried = world_status(world, world_elect(world)).counters.proposals - before;
        assert_in_range(carried, 5, 10); /* half a step of time each */
        int64_t lease = grant(world, 30);
        assert_int_equal(time_to_live(world, world_elect(world), lease), 30);
        pass(world, 29);
        assert_true(lives(world));
        pass(world, 3);
        assert_false(lives(world));
        world_close(world);
    }
}

static void what_is_kept_alive_slowly_lives(void **state)
{
    (void)state;
    struct world *world = open_world(3, 22);
    int64_t lease = grant(world, 600);
    for (uint32_t i = 0; i < 9; i++) { /* a third of its time, as etcd's client does */
        pass(world, 200);
        keep_alive(world, lease);
        assert_true(lives(world));
    }
    pass(world, 595);
    assert_true(lives(world));
    pass(world, 10);
    assert_false(lives(world));
    world_close(world);
}

/* At once, before any entry has carried time on. */
static void a_clock_that_jumps_ends_nothing_that_came_later(void **state)
{
    (void)state;
    struct world *world = open_world(1, 23);
    int64_t old = grant(world, 600);
    jump(world, 3 * DAY_S);
    int64_t lease = grant(world, 10);
    pass(world, 9);
    assert_int_equal(world_status(world, 1).kv.lease_count, 2);
    assert_in_range(time_to_live(world, 1, lease), 1, 1);
    pass(world, 3);
    assert_int_equal(world_status(world, 1).kv.lease_count, 1);
    assert_in_range(time_to_live(world, 1, old), 600 - 60 - 12, 600 - 12);
    world_close(world);
}

/* Those that were there lose a step of it at most, and all of it counts that passes afterwards. */
static void a_jump_takes_a_step_of_time_at_most(void **state)
{
    (void)state;
    struct world *world = open_world(1, 24);
    int64_t lease = grant(world, 100);
    jump(world, DAY_S);
    pass(world, 1);
    jump(world, DAY_S);
    world_tick(world); /* another step, unless it was carried on: as long as it takes to be due */
    assert_int_equal(time_to_live(world, 1, lease), -1);
    int64_t other = grant(world, 100);
    jump(world, DAY_S);
    pass(world, 35);
    assert_in_range(time_to_live(world, 1, other), 1, 6);
    world_close(world);
}

static void the_time_that_is_left_runs_while_nobody_writes(void **state)
{
    (void)state;
    struct world *world = open_world(3, 25);
    int64_t lease = grant(world, 60);
    pass(world, 12);
    for (pd_raft_node node = 1; node <= 3; node++) {
        assert_in_range(time_to_live(world, node, lease), 47, 49);
    }
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_of_an_idle_cluster_lives_as_long_as_it_was_told),
        cmocka_unit_test(what_is_kept_alive_slowly_lives),
        cmocka_unit_test(a_clock_that_jumps_ends_nothing_that_came_later),
        cmocka_unit_test(a_jump_takes_a_step_of_time_at_most),
        cmocka_unit_test(the_time_that_is_left_runs_while_nobody_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
