/* The cluster's version between replicas: it rises when every member can follow, not before; who
 * cannot stops at it and loses nothing; and what comes in from a peer may be anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kv/version.h"
#include "replica_world.h"

#define FRAME_HEAD 32u
#define FRAME_FIELDS 6u /* its kind */

static struct world *open_as(uint32_t count, uint32_t members, uint32_t limit)
{
    struct world *world = world_open(count, members, 21);
    for (uint32_t i = 0; i < count; i++) {
        world->nodes[i].config.kv.version_max = limit;
        world->nodes[i].config.raises_version = true;
    }
    return world;
}

static uint32_t version_at(struct world *world, pd_raft_node id)
{
    return world_status(world, id).kv.version;
}

static void pass_timeouts(struct world *world, uint32_t count)
{
    world_ticks(world, count * world->nodes[0].config.raft.election_ticks);
}

/* Again, on the same disks, with the program of another limit. */
static void start_as(struct world *world, pd_raft_node id, uint32_t limit)
{
    if (world_node(world, id)->is_up) {
        world_stop(world, id, false);
    }
    world_node(world, id)->config.kv.version_max = limit;
    world_start(world, id);
}

static void await_version(struct world *world, uint32_t version)
{
    for (uint32_t i = 0; i < 100; i++) {
        bool is_there = true;
        for (pd_raft_node id = 1; id <= world->count; id++) {
            is_there =
                is_there && (!world_node(world, id)->is_up || version_at(world, id) == version);
        }
        if (is_there) {
            return;
        }
        pass_timeouts(world, 1);
    }
    fail_msg("version %u was not reached", version);
}

static void stopped_for_its_age(struct world *world, pd_raft_node id)
{
    const struct world_node *node = world_node(world, id);
    for (uint32_t i = 0; i < 400 && !node->is_fatal; i++) {
        world_tick(world);
    }
    assert_true(node->is_fatal);
    assert_non_null(strstr(node->text, "the cluster is of version 2, and this program can follow "
                                       "up to version 1"));
    assert_false(pd_replica_store_is_damaged(node->replica)); /* nobody empties its store */
}

static void it_rises_when_the_last_one_can_follow(void **state)
{
    (void)state;
    struct world *world = open_as(3, 3, 1);
    world_start_all(world, 3);
    for (pd_raft_node id = 1; id <= 3; id++) {
        (void)world_elect(world);
        world_put(world, "key", "value");
        pass_timeouts(world, 6);
        for (pd_raft_node other = 1; other <= 3; other++) {
            assert_int_equal(version_at(world, other), 1);
        }
        start_as(world, id, 2);
    }
    await_version(world, 2);
    world_put(world, "key", "after");
    assert_true(world_converges(world, 100));
    world_close(world);
}

/* A voter that is away has not told; a learner's word counts as well. */
static void who_is_away_holds_it_back(void **state)
{
    (void)state;
    struct world *world = open_as(4, 3, 2);
    world_start_all(world, 2);
    pd_raft_node leader = world_elect(world);
    pass_timeouts(world, 10);
    assert_int_equal(version_at(world, leader), 1);
    world_node(world, 4)->config.kv.version_max = 1;
    world_start(world, 4);
    uint64_t asked = world_ask(
        world, leader,
        &(struct pd_replica_request_head){.kind = PD_REPLICA_REQUEST_ADD_LEARNER, .number = 4});
    assert_int_equal(world_await(world, asked)->outcome, PD_REPLICA_OK);
    world_start(world, 3);
    pass_timeouts(world, 10);
    assert_int_equal(version_at(world, leader), 1);
    start_as(world, 4, 2);
    await_version(world, 2);
    world_close(world);
}

static void who_cannot_follow_stops_and_goes_on_with_a_newer_program(void **state)
{
    (void)state;
    struct world *world = open_as(3, 3, 2);
    world_start_all(world, 3);
    (void)world_elect(world);
    await_version(world, 2);
    world_put_many(world, 60, 10, 40);
    start_as(world, 3, 1);
    stopped_for_its_age(world, 3);
    start_as(world, 3, 2);
    assert_true(world_converges(world, 200));
    assert_int_equal(version_at(world, 3), 2);
    world_close(world);
}

/* Its log does not reach back to the raise: a snapshot brings it. */
static void who_cannot_follow_stops_at_a_snapshot(void **state)
{
    (void)state;
    struct world *world = open_as(4, 3, 2);
    world_start_all(world, 3);
    pd_raft_node leader = world_elect(world);
    await_version(world, 2);
    world_put_many(world, 120, 10, 40);
    assert_true(world_status(world, leader).raft.first_index > 20); /* the raise is cut off */
    world_node(world, 4)->config.kv.version_max = 1;
    world_start(world, 4);
    uint64_t asked = world_ask(
        world, leader,
        &(struct pd_replica_request_head){.kind = PD_REPLICA_REQUEST_ADD_LEARNER, .number = 4});
    assert_int_equal(world_await(world, asked)->outcome, PD_REPLICA_OK);
    stopped_for_its_age(world, 4);
    start_as(world, 4, 2);
    assert_true(world_converges(world, 400));
    assert_int_equal(version_at(world, 4), 2);
    world_close(world);
}

/* -- What comes in ----------------------------------------------------------------------------- */

static bool drops_fields(struct world *world, struct world_message *message, void *state)
{
    (void)world;
    uint32_t *seen = state;
    bool is_fields = message->size >= FRAME_HEAD && message->bytes[1] == FRAME_FIELDS;
    *seen += is_fields;
    return !is_fields;
}

/* As all those do whose program never heard of versions. */
static void who_tells_nothing_holds_it_back(void **state)
{
    (void)state;
    struct world *world = open_as(3, 3, 2);
    uint32_t seen = 0;
    world->filter = drops_fields;
    world->filter_state = &seen;
    world_start_all(world, 3);
    pd_raft_node leader = world_elect(world);
    pass_timeouts(world, 10);
    assert_int_equal(version_at(world, leader), 1);
    assert_true(seen > 0);
    world->filter = NULL;
    await_version(world, 2);
    world->filter = drops_fields;
    world_settle(world);
    seen = 0;
    pass_timeouts(world, 10);
    assert_int_equal(seen, 0); /* there is nothing left to tell */
    world_close(world);
}

/* A later version's fields stand before and behind the one that is known. */
static bool adds_fields(struct world *world, struct world_message *message, void *state)
{
    static const uint8_t before[] = {9, 3, 1, 2, 3};
    static const uint8_t behind[] = {10, 0};
    (void)world;
    (void)state;
    if (message->size < FRAME_HEAD || message->bytes[1] != FRAME_FIELDS) {
        return true;
    }
    size_t body = message->size - FRAME_HEAD;
    uint8_t *bytes = malloc(message->size + sizeof before + sizeof behind);
    memcpy(bytes, message->bytes, FRAME_HEAD);
    memcpy(bytes + FRAME_HEAD, before, sizeof before);
    memcpy(bytes + FRAME_HEAD + sizeof before, message->bytes + FRAME_HEAD, body);
    memcpy(bytes + FRAME_HEAD + sizeof before + body, behind, sizeof behind);
    free(message->bytes);
    message->bytes = bytes;
    message->size += sizeof before + sizeof behind;
    return true;
}

static void unknown_fields_are_skipped(void **state)
{
    (void)state;
    struct world *world = open_as(3, 3, 2);
    world->filter = adds_fields;
    world_start_all(world, 3);
    (void)world_elect(world);
    await_version(world, 2);
    world_close(world);
}

struct forger {
    uint8_t body[16];
    size_t size;
};

static bool forges_fields(struct world *world, struct world_message *message, void *state)
{
    const struct forger *forger = state;
    (void)world;
    if (message->size >= FRAME_HEAD && message->bytes[1] == FRAME_FIELDS) {
        uint8_t *bytes = malloc(FRAME_HEAD + sizeof forger->body);
        memcpy(bytes, message->bytes, FRAME_HEAD);
        memcpy(bytes + FRAME_HEAD, forger->body, forger->size);
        free(message->bytes);
        message->bytes = bytes;
        message->size = FRAME_HEAD + forger->size;
    }
    return true;
}

static void bad_fields_are_dropped(void **state)
{
    (void)state;
    static struct forger forgers[] = {
        {{1}, 1},                                  /* a tag alone */
        {{1, 5, 2}, 3},                            /* its bytes are missing */
        {{1, 0}, 2},                               /* no number */
        {{1, 2, 2, 0}, 4},                         /* more than a number */
        {{1, 5, 0xff, 0xff, 0xff, 0xff, 0x7f}, 7}, /* too large */
        {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 6}, /* a tag without an end */
        {{1, 0xff, 0xff, 0xff, 0xff, 0x0f}, 6},    /* larger than all there is */
        {{9, 1, 2, 1, 1}, 5},                      /* cut in the second field */
    };
    struct world *world = open_as(3, 3, 2);
    world->filter = forges_fields;
    world->filter_state = &forgers[0];
    world_start_all(world, 3);
    pd_raft_node leader = world_elect(world);
    for (size_t i = 0; i < sizeof forgers / sizeof forgers[0]; i++) {
        world->filter_state = &forgers[i];
        uint64_t dropped = world_status(world, leader).counters.messages_dropped;
        pass_timeouts(world, 6);
        assert_true(world_status(world, leader).counters.messages_dropped > dropped);
        assert_int_equal(version_at(world, leader), 1);
    }
    world_close(world);
}

static enum pd_replica_outcome outcome_of(struct world *world, const struct pd_kv_command *command)
{
    uint8_t room[256];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    pd_kv_command_encode(&writer, command);
    assert_false(writer.is_full);
    uint64_t asked = world_ask(world, world_elect(world),
                               &(struct pd_replica_request_head){.kind = PD_REPLICA_REQUEST_WRITE,
                                                                 .body = {room, writer.size}});
    return world_await(world, asked)->outcome;
}

static void what_a_client_may_ask(void **state)
{
    (void)state;
    static const uint8_t program[] = "0.1.0";
    struct world *world = open_as(1, 1, 1);
    world_start_all(world, 1);
    const struct pd_kv_command raise = {.kind = PD_KV_VERSION_RAISE, .version = 2};
    const struct pd_kv_command tell = {
        .kind = PD_KV_MEMBER_TELL, .id = 1, .version = 2, .bytes = {program, 5}};
    assert_int_equal(outcome_of(world, &raise), PD_REPLICA_INVALID);
    assert_int_equal(outcome_of(world, &tell), PD_REPLICA_INVALID);
    start_as(world, 1, 2);
    await_version(world, 2);
    assert_int_equal(outcome_of(world, &raise), PD_REPLICA_INVALID);
    assert_int_equal(outcome_of(world, &tell), PD_REPLICA_OK); /* the store says: no such member */
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_rises_when_the_last_one_can_follow),
        cmocka_unit_test(who_is_away_holds_it_back),
        cmocka_unit_test(who_cannot_follow_stops_and_goes_on_with_a_newer_program),
        cmocka_unit_test(who_cannot_follow_stops_at_a_snapshot),
        cmocka_unit_test(who_tells_nothing_holds_it_back),
        cmocka_unit_test(unknown_fields_are_skipped),
        cmocka_unit_test(bad_fields_are_dropped),
        cmocka_unit_test(what_a_client_may_ask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
