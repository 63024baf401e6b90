/* Slow requests, in virtual time: where the time went is told exactly. */
#include "node/replica_world.h"

#define TICKS 4u /* below an election's time */
#define SLOW_NS (3 * WORLD_TICK_NS)

static struct world *open_slow(uint32_t count, uint64_t slow_ns)
{
    struct world *world = world_open(count, count, 21);
    for (uint32_t i = 0; i < count; i++) {
        world->nodes[i].config.slow_ns = slow_ns;
    }
    world_start_all(world, count);
    (void)world_elect(world);
    world_put(world, "users/1", "first");
    world->slow_count = 0; /* of the election, maybe */
    return world;
}

static void cut_off(struct world *world, pd_raft_node node, bool is_cut)
{
    for (pd_raft_node id = 1; id <= world->count; id++) {
        world->is_cut[node][id] = is_cut;
        world->is_cut[id][node] = is_cut;
    }
}

static uint64_t ask_put(struct world *world, pd_raft_node leader, const char *key)
{
    static const char secret[] = "secret";
    return world_ask_put(world, leader, key,
                         (struct pd_span){(const uint8_t *)secret, sizeof secret - 1});
}

static uint64_t ask_range(struct world *world, pd_raft_node node, const char *key)
{
    uint8_t bytes[256];
    struct pd_kv_writer writer = {.bytes = bytes, .bytes_max = sizeof bytes};
    const struct pd_kv_range range = {.key = {(const uint8_t *)key, strlen(key)}};
    pd_kv_encode_range(&writer, &range);
    assert_false(writer.is_full);
    const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_READ,
                                                 .body = {writer.bytes, writer.size}};
    return world_ask(world, node, &head);
}

static void expect(const struct world *world, uint64_t correlation, const char *what,
                   const char *key, enum pd_replica_outcome outcome)
{
    const struct pd_replica_slow *slow = &world->slow;
    assert_int_equal(world->slow_count, 1);
    assert_int_equal(world->slow_correlation, correlation);
    assert_string_equal(slow->what, what);
    assert_int_equal(slow->key_size, strlen(key));
    assert_memory_equal(slow->key, key, strlen(key));
    assert_int_equal(slow->outcome, outcome);
    assert_int_equal(slow->queue_ns + slow->sync_ns + slow->replicate_ns + slow->apply_ns,
                     slow->total_ns);
    assert_true(slow->total_ns >= SLOW_NS);
}

static void a_quick_one_is_not_told(void **state)
{
    (void)state;
    struct world *world = open_slow(3, SLOW_NS);
    pd_raft_node leader = world_elect(world);
    assert_int_equal(world_await(world, ask_put(world, leader, "a"))->outcome, PD_REPLICA_OK);
    assert_int_equal(world_await(world, ask_range(world, leader, "a"))->outcome, PD_REPLICA_OK);
    assert_int_equal(world->slow_count, 0);
    world_close(world);
}

static void the_own_log_is_waited_for(void **state)
{
    (void)state;
    struct world *world = open_slow(1, SLOW_NS);
    uint64_t correlation = 0;
    world->nodes[0].hold_log = true;
    correlation = ask_put(world, 1, "users/1");
    world_ticks(world, TICKS);
    world->nodes[0].hold_log = false;
    assert_int_equal(world_await(world, correlation)->outcome, PD_REPLICA_OK);
    expect(world, correlation, "put", "users/1", PD_REPLICA_OK);
    assert_int_equal(world->slow.sync_ns, TICKS * WORLD_TICK_NS);
    assert_int_equal(world->slow.total_ns, TICKS * WORLD_TICK_NS);
    world_close(world);
}

static void a_majority_is_waited_for(void **state)
{
    (void)state;
    struct world *world = open_slow(3, SLOW_NS);
    pd_raft_node leader = world_elect(world);
    cut_off(world, leader, true);
    uint64_t correlation = ask_put(world, leader, "users/1");
    world_settle(world); /* its own log takes no time */
    world_ticks(world, TICKS);
    cut_off(world, leader, false);
    assert_int_equal(world_await(world, correlation)->outcome, PD_REPLICA_OK);
    expect(world, correlation, "put", "users/1", PD_REPLICA_OK);
    assert_int_equal(world->slow.replicate_ns, world->slow.total_ns);
    world_close(world);
}

static void one_that_nobody_took_ends_where_it_stood(void **state)
{
    (void)state;
    struct world *world = open_slow(3, SLOW_NS);
    pd_raft_node leader = world_elect(world);
    cut_off(world, leader, true);
    uint64_t correlation = ask_put(world, leader, "users/1");
    assert_int_equal(world_await(world, correlation)->outcome, PD_REPLICA_UNKNOWN);
    expect(world, correlation, "put", "users/1", PD_REPLICA_UNKNOWN);
    assert_int_equal(world->slow.replicate_ns, world->slow.total_ns);
    world_close(world);
}

/* After a lead was lost, the next one's proposals are followed from their own beginning. */
static void lost_ones_leave_no_trace(void **state)
{
    (void)state;
    struct world *world = open_slow(3, SLOW_NS);
    pd_raft_node leader = world_elect(world);
    uint64_t last = 0;
    cut_off(world, leader, true);
    for (uint32_t i = 0; i < 5; i++) {
        last = ask_put(world, leader, "lost");
    }
    assert_int_equal(world_await(world, last)->outcome, PD_REPLICA_UNKNOWN);
    cut_off(world, leader, false);
    assert_true(world_converges(world, 300));
    leader = world_elect(world);
    world_put(world, "found", "it");
    world->slow_count = 0;
    world_node(world, leader)->hold_log = true;
    for (pd_raft_node id = 1; id <= 3; id++) {
        world_node(world, id)->hold_log = true;
    }
    uint64_t correlation = ask_put(world, leader, "users/2");
    world_ticks(world, TICKS);
    world_node(world, leader)->hold_log = false;
    world_ticks(world, 1);
    for (pd_raft_node id = 1; id <= 3; id++) {
        world_node(world, id)->hold_log = false;
    }
    assert_int_equal(world_await(world, correlation)->outcome, PD_REPLICA_OK);
    expect(world, correlation, "put", "users/2", PD_REPLICA_OK);
    assert_int_equal(world->slow.sync_ns, (TICKS + 1) * WORLD_TICK_NS); /* its turn has its time */
    world_close(world);
}

static void the_queue_is_counted(void **state)
{
    (void)state;
    struct world *world = open_slow(1, SLOW_NS);
    struct world_node *node = world_node(world, 1);
    uint8_t bytes[PD_REPLICA_REQUEST_HEAD_SIZE];
    const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_LEASES};
    pd_replica_request_put_head(bytes, &head);
    pd_replica_request(node->replica, world->now_ns - 7 * WORLD_TICK_NS, 1, 4711, bytes,
                       sizeof bytes);
    world_loop(world, node);
    assert_int_equal(world_await(world, 4711)->outcome, PD_REPLICA_OK);
    expect(world, 4711, "leases", "", PD_REPLICA_OK);
    assert_int_equal(world->slow.queue_ns, 7 * WORLD_TICK_NS);
    /* One that is refused at once, and one that is no request. */
    world->slow_count = 0;
    pd_replica_request(node->replica, world->now_ns - SLOW_NS, 1, 4712, bytes, 1);
    world_loop(world, node);
    assert_int_equal(world_await(world, 4712)->outcome, PD_REPLICA_INVALID);
    expect(world, 4712, "request", "", PD_REPLICA_INVALID);
    /* Nobody looks at its time. */
    world->slow_count = 0;
    pd_replica_request(node->replica, 0, 1, 4713, bytes, sizeof bytes);
    world_loop(world, node);
    assert_int_equal(world_await(world, 4713)->outcome, PD_REPLICA_OK);
    assert_int_equal(world->slow_count, 0);
    world_close(world);
}

static void a_read_waits_to_be_confirmed(void **state)
{
    (void)state;
    struct world *world = open_slow(3, SLOW_NS);
    pd_raft_node leader = world_elect(world);
    cut_off(world, leader, true);
    uint64_t correlation = ask_range(world, leader, "users/1");
    world_ticks(world, TICKS);
    cut_off(world, leader, false);
    assert_int_equal(world_await(world, correlation)->outcome, PD_REPLICA_OK);
    expect(world, correlation, "range", "users/1", PD_REPLICA_OK);
    assert_true(world->slow.replicate_ns >= TICKS * WORLD_TICK_NS);
    assert_int_equal(world->slow.replicate_ns, world->slow.total_ns);
    world_close(world);
}

static void what_a_request_is(void **state)
{
    (void)state;
    struct pd_replica_timed timed = {.asked_ns = 1};
    char key[1000];
    memset(key, 'k', sizeof key);
    struct pd_kv_op ops[] = {
        {.kind = PD_KV_OP_TXN},
        {.kind = PD_KV_OP_DELETE, .as.delete_range.key = {(const uint8_t *)"gone", 4}},
    };
    struct pd_kv_compare compare = {.key = {(const uint8_t *)key, sizeof key},
                                    .value = {(const uint8_t *)"secret", 6}};
    struct pd_kv_command command = {.kind = PD_KV_OPS, .ops = ops, .op_count = 2};
    pd_replica_timed_command(&timed, &command);
    assert_string_equal(timed.what, "txn");
    assert_int_equal(timed.key_size, 4);
    assert_memory_equal(timed.key, "gone", 4);
    command.compares = &compare;
    command.compare_count = 1;
    pd_replica_timed_command(&timed, &command);
    assert_int_equal(timed.key_size, sizeof key);
    assert_memory_equal(timed.key, key, sizeof timed.key);
    command = (struct pd_kv_command){.kind = PD_KV_OPS, .ops = &ops[1], .op_count = 1};
    pd_replica_timed_command(&timed, &command);
    assert_string_equal(timed.what, "delete");
    command = (struct pd_kv_command){.kind = PD_KV_LEASE_KEEPALIVE, .id = 7};
    pd_replica_timed_command(&timed, &command);
    assert_string_equal(timed.what, "lease keep-alive");
    /* Clocks that stood still, or a majority that was quicker than the own log. */
    timed = (struct pd_replica_timed){
        .asked_ns = 100, .begun_ns = 90, .logged_ns = 150, .agreed_ns = 120, .what = "put"};
    struct pd_replica_slow slow;
    pd_replica_timed_end(&timed, 200, PD_REPLICA_OK, &slow);
    assert_int_equal(slow.queue_ns, 0);
    assert_int_equal(slow.sync_ns, 0);
    assert_int_equal(slow.replicate_ns, 30);
    assert_int_equal(slow.apply_ns, 80);
}

static void nobody_wants_to_know(void **state)
{
    (void)state;
    struct world *world = open_slow(1, 0);
    world->nodes[0].hold_log = true;
    uint64_t correlation = ask_put(world, 1, "users/1");
    world_ticks(world, 30);
    world->nodes[0].hold_log = false;
    assert_int_equal(world_await(world, correlation)->outcome, PD_REPLICA_OK);
    assert_int_equal(world->slow_count, 0);
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quick_one_is_not_told),
        cmocka_unit_test(the_own_log_is_waited_for),
        cmocka_unit_test(a_majority_is_waited_for),
        cmocka_unit_test(one_that_nobody_took_ends_where_it_stood),
        cmocka_unit_test(lost_ones_leave_no_trace),
        cmocka_unit_test(the_queue_is_counted),
        cmocka_unit_test(a_read_waits_to_be_confirmed),
        cmocka_unit_test(what_a_request_is),
        cmocka_unit_test(nobody_wants_to_know),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
