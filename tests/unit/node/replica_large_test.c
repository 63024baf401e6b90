/* What is small never stands behind much that is large: counted in answers, by their order. */
#include "node/answer_sizes.h"
#include "node/replica_world.h"

#define CLIENTS 20u
#define ROWS 6u
#define ROW_BYTES 1500u
#define ANSWER_BYTES (ROWS * ROW_BYTES)
#define LARGE_MAX 8192u /* less than one of the answers */
#define UNKNOWN_MAX 8u  /* go at once while nothing is known of them */

static struct world *open_large(uint32_t count, uint64_t large_bytes_max)
{
    static const uint8_t value[ROW_BYTES] = {7};
    struct world *world = world_open(count, count, 5);
    for (uint32_t i = 0; i < count; i++) {
        if (large_bytes_max != 0) {
            world->nodes[i].config.large_bytes_max = large_bytes_max;
        }
    }
    world_start_all(world, count);
    pd_raft_node leader = world_elect(world);
    for (uint32_t i = 0; i < ROWS; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "large/%u", (unsigned)i);
        const struct pd_span span = {value, sizeof value};
        assert_int_equal(world_await(world, world_ask_put(world, leader, key, span))->outcome,
                         PD_REPLICA_OK);
    }
    return world;
}

/* A write that answers with all keys from `key` to `end`. */
static uint64_t ask_rows(struct world *world, pd_raft_node node, const char *key, const char *end)
{
    uint8_t bytes[256];
    struct pd_kv_writer writer = {.bytes = bytes, .bytes_max = sizeof bytes};
    const struct pd_kv_range range = {.key = {(const uint8_t *)key, strlen(key)},
                                      .range_end = {(const uint8_t *)end, strlen(end)}};
    pd_kv_encode_range(&writer, &range);
    assert_false(writer.is_full);
    const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_WRITE,
                                                 .body = {writer.bytes, writer.size}};
    return world_ask(world, node, &head);
}

static uint64_t ask_large(struct world *world, pd_raft_node node)
{
    return ask_rows(world, node, "large/", "large0");
}

static uint64_t ask_small(struct world *world, pd_raft_node node)
{
    return world_ask_put(world, node, "s", (struct pd_span){(const uint8_t *)"v", 1});
}

static const struct world_answer *await_ok(struct world *world, uint64_t correlation)
{
    const struct world_answer *answer = world_await(world, correlation);
    assert_int_equal(answer->outcome, PD_REPLICA_OK);
    return answer;
}

/* How many answers of many bytes came since `first`, before the answer to `correlation`. */
static uint32_t large_before(struct world *world, uint32_t first, uint64_t correlation)
{
    uint32_t count = 0;
    (void)await_ok(world, correlation);
    for (uint32_t i = first; world->answers[i].correlation != correlation; i++) {
        count += world->answers[i].body.size >= ANSWER_BYTES;
    }
    return count;
}

/* All of them, and then one put: how many were answered before it. */
static uint32_t crowd(struct world *world, pd_raft_node leader)
{
    uint64_t asked[CLIENTS];
    uint32_t first = world->answer_count;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        asked[i] = ask_large(world, leader);
    }
    uint32_t before = large_before(world, first, ask_small(world, leader));
    for (uint32_t i = 0; i < CLIENTS; i++) {
        assert_true(await_ok(world, asked[i])->body.size >= ANSWER_BYTES);
    }
    return before;
}

static void a_put_passes_large_answers(void **state)
{
    (void)state;
    struct world *world = open_large(3, LARGE_MAX);
    pd_raft_node leader = world_elect(world);
    assert_true(crowd(world, leader) <= UNKNOWN_MAX); /* nobody knows yet how large they are */
    assert_true(crowd(world, leader) <= 1);           /* the one that is under way */
    assert_true(crowd(world, leader) <= 1);
    assert_true(world_status(world, leader).counters.large_waited >= 2 * (CLIENTS - 1));
    world_close(world);
}

static void without_the_bound_it_waits_for_all(void **state)
{
    (void)state;
    struct world *world = open_large(3, UINT64_C(1) << 40);
    (void)await_ok(world, ask_large(world, world_elect(world)));
    assert_int_equal(crowd(world, world_elect(world)), CLIENTS);
    world_close(world);
}

/* A write that answers with rows, of one client. */
static uint64_t ask_as(struct world *world, pd_raft_node node, uint64_t client,
                       const struct pd_kv_range *range)
{
    uint8_t request[PD_REPLICA_REQUEST_HEAD_SIZE + 64];
    struct pd_kv_writer writer = {.bytes = request + PD_REPLICA_REQUEST_HEAD_SIZE, .bytes_max = 64};
    uint64_t correlation = ++world->correlation;
    pd_kv_encode_range(&writer, range);
    assert_false(writer.is_full);
    pd_replica_request_put_head(
        request, &(struct pd_replica_request_head){.kind = PD_REPLICA_REQUEST_WRITE});
    pd_replica_request(world->nodes[node - 1].replica, 0, client, correlation, request,
                       PD_REPLICA_REQUEST_HEAD_SIZE + writer.size);
    world_loop(world, &world->nodes[node - 1]);
    return correlation;
}

/* One small row that nobody asked for before. */
static uint64_t ask_little(struct world *world, pd_raft_node node, uint64_t client)
{
    const struct pd_kv_range range = {.key = {(const uint8_t *)"s", 1}};
    return ask_as(world, node, client, &range);
}

/* Of an asker that nobody knows, and of one that is known for what it asked for last: it may be
 * many, so what is not known of its keys has a line of its own too. */
static void who_asks_for_little_passes_too(void **state)
{
    (void)state;
    for (uint64_t client = 1; client <= 2; client++) {
        struct world *world = open_large(3, LARGE_MAX);
        pd_raft_node leader = world_elect(world);
        (void)await_ok(world, ask_small(world, leader));
        (void)await_ok(world, ask_large(world, leader));
        uint32_t first = world->answer_count;
        for (uint32_t i = 0; i < CLIENTS; i++) {
            (void)ask_large(world, leader);
        }
        assert_true(large_before(world, first, ask_little(world, leader, client)) <= 2);
        world_close(world);
    }
}

/* Who pages asks for another range each time: that it was small so far says nothing of the next. */
static void a_new_range_is_not_known_by_who_asks(void **state)
{
    (void)state;
    struct world *world = open_large(3, LARGE_MAX);
    pd_raft_node leader = world_elect(world);
    (void)await_ok(world, ask_small(world, leader));
    for (uint64_t client = 1; client <= CLIENTS; client++) {
        (void)await_ok(world, ask_little(world, leader, client));
    }
    uint32_t first = world->answer_count;
    for (uint64_t client = 1; client <= CLIENTS; client++) {
        char end[16];
        (void)snprintf(end, sizeof end, "large0%02u", (unsigned)client);
        const struct pd_kv_range range = {.key = {(const uint8_t *)"large/", 6},
                                          .range_end = {(const uint8_t *)end, strlen(end)}};
        (void)ask_as(world, leader, client, &range);
    }
    assert_true(large_before(world, first, ask_small(world, leader)) <= UNKNOWN_MAX);
    world_close(world);
}

/* One client for many, as a gateway is: little ones of new keys go together between two large ones
 * that it asks for as well. */
static void little_ones_of_a_crowd_do_not_go_one_by_one(void **state)
{
    (void)state;
    struct world *world = open_large(3, LARGE_MAX);
    pd_raft_node leader = world_elect(world);
    (void)await_ok(world, ask_large(world, leader));
    uint32_t first = world->answer_count;
    uint64_t last = 0;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        (void)ask_large(world, leader);
    }
    for (uint32_t i = 0; i < CLIENTS; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "little/%u", (unsigned)i);
        const struct pd_kv_range range = {.key = {(const uint8_t *)key, strlen(key)}};
        last = ask_as(world, leader, 1, &range);
    }
    assert_true(large_before(world, first, last) <= CLIENTS / 4);
    world_close(world);
}

/* What is known of a range says nothing of its first row. */
static void a_limit_is_part_of_the_question(void **state)
{
    (void)state;
    struct world *world = open_large(3, LARGE_MAX);
    pd_raft_node leader = world_elect(world);
    (void)await_ok(world, ask_large(world, leader));
    uint32_t first = world->answer_count;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        (void)ask_large(world, leader);
    }
    const struct pd_kv_range range = {.key = {(const uint8_t *)"large/", 6},
                                      .range_end = {(const uint8_t *)"large0", 6},
                                      .limit = 1};
    assert_true(large_before(world, first, ask_as(world, leader, 2, &range)) <= 2);
    world_close(world);
}

static void a_large_value_waits_like_a_large_answer(void **state)
{
    (void)state;
    static const uint8_t value[3000] = {1};
    struct world *world = open_large(3, LARGE_MAX);
    pd_raft_node leader = world_elect(world);
    uint64_t asked[CLIENTS];
    uint32_t first = world->answer_count;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        asked[i] = world_ask_put(world, leader, "value", (struct pd_span){value, sizeof value});
    }
    uint64_t small = ask_small(world, leader);
    (void)await_ok(world, small);
    uint32_t before = 0;
    while (world->answers[first + before].correlation != small) {
        before++;
    }
    assert_true(before <= LARGE_MAX / sizeof value);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        (void)await_ok(world, asked[i]);
    }
    world_close(world);
}

/* Nothing is applied: one is under way, the others wait. */
static void crowd_held(struct world *world, pd_raft_node leader, uint64_t asked[CLIENTS])
{
    (void)await_ok(world, ask_large(world, leader));
    for (uint32_t i = 0; i < world->count; i++) {
        world->nodes[i].hold_log = true;
    }
    for (uint32_t i = 0; i < CLIENTS; i++) {
        asked[i] = ask_large(world, leader);
    }
    assert_true(world_status(world, leader).counters.large_waited >= CLIENTS - 1);
}

static void after_their_time_nothing_was_done(void **state)
{
    (void)state;
    struct world *world = open_large(1, LARGE_MAX);
    uint64_t asked[CLIENTS];
    crowd_held(world, 1, asked);
    uint32_t ticks = world->nodes[0].config.request_ticks_max;
    world_ticks(world, ticks / 2 - 1);
    assert_null(world_answer(world, asked[1]));
    world_tick(world);
    assert_null(world_answer(world, asked[0]));
    for (uint32_t i = 1; i < CLIENTS; i++) {
        assert_int_equal(world_answer(world, asked[i])->outcome, PD_REPLICA_BUSY);
    }
    world_ticks(world, ticks);
    assert_int_equal(world_answer(world, asked[0])->outcome, PD_REPLICA_UNKNOWN);
    world->nodes[0].hold_log = false;
    world_settle(world);
    (void)await_ok(world, ask_small(world, 1));
    world_close(world);
}

static void when_the_lead_is_lost_nothing_was_done(void **state)
{
    (void)state;
    struct world *world = open_large(3, LARGE_MAX);
    pd_raft_node leader = world_elect(world);
    uint64_t asked[CLIENTS];
    crowd_held(world, leader, asked);
    for (pd_raft_node id = 1; id <= world->count; id++) {
        world->is_cut[leader][id] = true;
        world->is_cut[id][leader] = true;
        world->nodes[id - 1].hold_log = false;
    }
    world_ticks(world, 60);
    assert_false(pd_replica_leads(world->nodes[leader - 1].replica));
    for (uint32_t i = 1; i < CLIENTS; i++) {
        assert_non_null(world_answer(world, asked[i]));
        assert_int_equal(world_answer(world, asked[i])->outcome, PD_REPLICA_NOT_LEADER);
    }
    world_close(world);
}

static void what_a_client_left_waiting_goes_with_it(void **state)
{
    (void)state;
    struct world *world = open_large(1, LARGE_MAX);
    uint64_t asked[CLIENTS];
    crowd_held(world, 1, asked);
    pd_replica_client_gone(world->nodes[0].replica, 1);
    uint64_t proposed = world_status(world, 1).counters.proposals;
    world->nodes[0].hold_log = false;
    world_settle(world);
    world_tick(world);
    assert_int_equal(world_status(world, 1).counters.proposals, proposed);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        assert_null(world_answer(world, asked[i]));
    }
    world_close(world);
}

static void too_many_are_refused(void **state)
{
    (void)state;
    struct world *world = open_large(1, LARGE_MAX);
    uint64_t asked[CLIENTS];
    crowd_held(world, 1, asked);
    uint32_t waiting = CLIENTS - 1;
    uint64_t refused = 0;
    for (; waiting <= world->nodes[0].config.proposals_max && refused == 0; waiting++) {
        uint64_t correlation = ask_large(world, 1);
        refused = world_answer(world, correlation) != NULL ? correlation : 0;
    }
    assert_int_equal(world_answer(world, refused)->outcome, PD_REPLICA_BUSY);
    assert_int_equal(waiting, world->nodes[0].config.proposals_max + 1);
    world->nodes[0].hold_log = false;
    world_settle(world);
    (void)await_ok(world, asked[CLIENTS - 1]);
    world_close(world);
}

static void the_guess_falls_slowly_and_rises_at_once(void **state)
{
    (void)state;
    static struct pd_answer_sizes sizes;
    uint32_t bytes = 0;
    assert_false(pd_answer_sizes_guess(&sizes, 1, &bytes));
    pd_answer_sizes_learn(&sizes, 1, 1000);
    pd_answer_sizes_learn(&sizes, 1, 4);
    assert_true(pd_answer_sizes_guess(&sizes, 1, &bytes));
    assert_int_equal(bytes, 750);
    pd_answer_sizes_learn(&sizes, 1, 2000);
    assert_true(pd_answer_sizes_guess(&sizes, 1, &bytes));
    assert_int_equal(bytes, 2000);
    for (uint32_t i = 0; i < 60; i++) {
        pd_answer_sizes_learn(&sizes, 1, 4);
    }
    assert_true(pd_answer_sizes_guess(&sizes, 1, &bytes));
    assert_int_equal(bytes, 4);
    /* Another one takes the place: nothing is known of the first any more. */
    uint64_t other = (UINT64_C(6) << 32) * PD_ANSWER_SIZES_MAX + 1;
    assert_int_equal(other % PD_ANSWER_SIZES_MAX, 1);
    assert_false(pd_answer_sizes_guess(&sizes, other, &bytes));
    pd_answer_sizes_learn(&sizes, other, 9);
    assert_false(pd_answer_sizes_guess(&sizes, 1, &bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_put_passes_large_answers),
        cmocka_unit_test(without_the_bound_it_waits_for_all),
        cmocka_unit_test(who_asks_for_little_passes_too),
        cmocka_unit_test(a_new_range_is_not_known_by_who_asks),
        cmocka_unit_test(little_ones_of_a_crowd_do_not_go_one_by_one),
        cmocka_unit_test(a_limit_is_part_of_the_question),
        cmocka_unit_test(a_large_value_waits_like_a_large_answer),
        cmocka_unit_test(after_their_time_nothing_was_done),
        cmocka_unit_test(when_the_lead_is_lost_nothing_was_done),
        cmocka_unit_test(what_a_client_left_waiting_goes_with_it),
        cmocka_unit_test(too_many_are_refused),
        cmocka_unit_test(the_guess_falls_slowly_and_rises_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
