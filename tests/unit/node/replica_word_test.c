/* Who hears no leader asks the others for the directory; and what comes in may be anything. */
#include "node/replica_world.h"

#include "base/varint.h"
#include "node/directory_word.h"
#include "node/replica_internal.h"

#define QUESTIONS_MAX 64u

static uint64_t node_of(const uint8_t key[PD_KV_MEMBER_KEY_SIZE])
{
    return key[0];
}

static struct world *open_with_directory(void)
{
    struct world *world = world_open(3, 3, 31);
    for (uint32_t i = 0; i < 3; i++) {
        world->nodes[i].config.has_directory = true;
        world->nodes[i].config.node_of = node_of;
    }
    return world;
}

/* What a node sent of its frames, and when; nothing else passes, either way. */
struct watcher {
    pd_raft_node node; /* is cut off */
    bool is_open;      /* it is not */
    uint32_t count;
    uint64_t ticks[QUESTIONS_MAX];
};

static bool watches(struct world *world, struct world_message *message, void *state)
{
    struct watcher *watcher = state;
    bool is_frame = message->bytes[1] == PD_REPLICA_FRAME_DIRECTORY_FIELDS;
    if (is_frame && message->from == watcher->node) {
        assert_true(watcher->count < QUESTIONS_MAX);
        watcher->ticks[watcher->count++] = world->ticks;
    }
    return watcher->is_open || (message->from != watcher->node && message->to != watcher->node);
}

static void nobody_asks_who_hears_a_leader(void **state)
{
    (void)state;
    struct world *world = open_with_directory();
    struct watcher watcher = {.node = 1, .is_open = true};
    world->filter = watches;
    world->filter_state = &watcher;
    world_start_all(world, 3);
    (void)world_elect(world);
    for (pd_raft_node id = 1; id <= 3; id++) {
        watcher.node = id;
        world_ticks(world, 100);
        assert_int_equal(watcher.count, 0);
    }
    world_close(world);
}

static void the_pauses_grow(void **state)
{
    (void)state;
    static const uint64_t timeouts[] = {1, 2, 4, 8, 8, 8};
    struct world *world = open_with_directory();
    world_start_all(world, 3);
    (void)world_elect(world);
    struct watcher watcher = {.node = world_elect(world) % 3 + 1};
    world_tick(world);
    uint64_t since = world->ticks;
    uint64_t timeout = world->nodes[0].config.raft.election_ticks;
    world->filter = watches;
    world->filter_state = &watcher;
    world_ticks(world, (uint32_t)(36 * timeout));
    assert_true(watcher.ticks[0] - since >= 2 * timeout);
    assert_true(watcher.ticks[0] - since <= 3 * timeout);
    assert_int_equal(watcher.count, 2 * 7); /* two others, each time */
    for (uint32_t i = 0; i < 6; i++) {
        assert_int_equal(watcher.ticks[2 * i + 2] - watcher.ticks[2 * i], timeouts[i] * timeout);
    }
    watcher.is_open = true;
    assert_true(world_converges(world, 100));
    watcher.count = 0;
    world_ticks(world, 100);
    assert_int_equal(watcher.count, 0);
    world_close(world);
}

/* -- What comes in ----------------------------------------------------------------------------- */

struct body {
    uint8_t bytes[PD_DIRECTORY_WORD_SIZE_MAX];
    size_t size;
};

static void add_bytes(struct body *body, uint8_t tag, const uint8_t *bytes, size_t size)
{
    assert_true(size < 128);
    body->bytes[body->size++] = tag;
    body->bytes[body->size++] = (uint8_t)size;
    memcpy(body->bytes + body->size, bytes, size);
    body->size += size;
}

static void add_number(struct body *body, uint8_t tag, uint8_t number)
{
    add_bytes(body, tag, &number, 1);
}

static void add_member_as(struct body *body, uint8_t node, uint8_t key, enum pd_kv_member_role role)
{
    uint8_t row[128] = {node};
    struct pd_kv_writer writer = {.bytes = row, .bytes_max = sizeof row, .size = 1};
    struct pd_kv_member member = {.node = node, .role = role};
    memset(member.key, key, sizeof member.key);
    pd_kv_member_encode(&writer, &member);
    add_bytes(body, 3, row, writer.size);
}

static void add_member(struct body *body, uint8_t node)
{
    add_member_as(body, node, node, PD_KV_MEMBER_VOTER);
}

static enum pd_status open_body(const struct body *body, struct pd_directory_word **word_out)
{
    uint8_t *bytes = malloc(body->size + 1); /* what lies behind it is noticed */
    memcpy(bytes, body->bytes, body->size);
    enum pd_status status =
        pd_directory_word_open((struct pd_span){bytes, body->size}, node_of, word_out);
    free(bytes);
    return status;
}

static void a_word_says_who_is_what(void **state)
{
    (void)state;
    struct body body = {.size = 0};
    struct pd_directory_word *word = NULL;
    uint64_t above = 0;
    add_number(&body, 9, 1); /* a later version's */
    add_number(&body, 2, 40);
    add_member(&body, 2);
    add_member(&body, 4);
    add_number(&body, 4, 3);
    add_number(&body, 4, 5);
    assert_false(pd_directory_question_get((struct pd_span){body.bytes, body.size}, &above));
    assert_int_equal(open_body(&body, &word), PD_OK);
    assert_int_equal(word->index, 40);
    assert_int_equal(word->member_count, 2);
    for (uint64_t node = 0; node < 8; node++) {
        enum pd_kv_member_standing wanted = node == 2 || node == 4   ? PD_KV_MEMBER_LIVE
                                            : node == 3 || node == 5 ? PD_KV_MEMBER_REMOVED
                                                                     : PD_KV_MEMBER_UNKNOWN;
        assert_int_equal(pd_directory_word_standing(word, node), wanted);
    }
    assert_false(pd_directory_word_may_have_forgotten(word));
    pd_directory_word_close(word);
}

static void what_is_no_word_is_refused(void **state)
{
    (void)state;
    static struct body bodies[12];
    struct pd_directory_word *word = NULL;
    add_number(&bodies[1], 2, 0); /* of no entry */
    add_member(&bodies[2], 1);    /* likewise */
    for (uint32_t i = 3; i < 12; i++) {
        add_number(&bodies[i], 2, 9);
    }
    add_member(&bodies[3], 2); /* out of order */
    add_member(&bodies[3], 1);
    add_member(&bodies[4], 2); /* twice */
    add_member(&bodies[4], 2);
    add_member_as(&bodies[5], 2, 3, PD_KV_MEMBER_VOTER);  /* another node's key */
    add_member_as(&bodies[6], 2, 2, PD_KV_MEMBER_WORKER); /* no peer */
    add_member(&bodies[7], 2);                            /* both */
    add_number(&bodies[7], 4, 2);
    add_number(&bodies[8], 4, 2); /* out of order */
    add_number(&bodies[8], 4, 1);
    add_number(&bodies[9], 4, 0);                   /* nobody */
    bodies[10].bytes[1] = 2;                        /* more than there is */
    add_bytes(&bodies[11], 3, bodies[11].bytes, 1); /* a node without a row */
    for (uint32_t i = 0; i < 12; i++) {
        if (open_body(&bodies[i], &word) != PD_ERR_CORRUPT) {
            fail_msg("body %u was taken", i);
        }
    }
}

static void no_more_than_the_bounds_are_taken(void **state)
{
    (void)state;
    struct body body = {.size = 0};
    struct pd_directory_word *word = NULL;
    add_number(&body, 2, 9);
    for (uint8_t node = 1; node <= PD_KV_MEMBERS_MAX; node++) {
        add_member(&body, node);
    }
    assert_int_equal(open_body(&body, &word), PD_OK);
    assert_int_equal(word->member_count, PD_KV_MEMBERS_MAX);
    pd_directory_word_close(word);
    add_member(&body, PD_KV_MEMBERS_MAX + 1);
    assert_int_equal(open_body(&body, &word), PD_ERR_CORRUPT);
    body.size = 0;
    add_number(&body, 2, 9);
    for (uint32_t node = 1; node <= PD_KV_MEMBERS_REMOVED_MAX; node++) {
        uint8_t number[PD_VARINT_SIZE_MAX];
        add_bytes(&body, 4, number, pd_varint_put(number, node));
    }
    assert_int_equal(open_body(&body, &word), PD_OK);
    assert_true(pd_directory_word_may_have_forgotten(word));
    pd_directory_word_close(word);
    add_bytes(&body, 4, (const uint8_t[]){0xff, 0x7f}, 2);
    assert_int_equal(open_body(&body, &word), PD_ERR_CORRUPT);
}

static void give(struct world *world, pd_raft_node from, pd_raft_node to, const struct body *body)
{
    struct world_node *node = world_node(world, to);
    uint8_t frame[PD_REPLICA_FRAME_SIZE + 512];
    assert_true(body->size <= 512);
    pd_replica_frame_put(world_node(world, from)->replica, PD_REPLICA_FRAME_DIRECTORY_FIELDS, to,
                         frame);
    memcpy(frame + PD_REPLICA_FRAME_SIZE, body->bytes, body->size);
    pd_replica_message(node->replica, from, frame, PD_REPLICA_FRAME_SIZE + body->size);
    world_loop(world, node);
}

static uint64_t kept_index(struct world *world, pd_raft_node node)
{
    const struct pd_directory_word *word =
        pd_replica_directory_word(world_node(world, node)->replica);
    return word == NULL ? 0 : word->index;
}

static void the_newest_word_is_kept_of_those_that_were_asked_for(void **state)
{
    (void)state;
    struct world *world = open_with_directory();
    static struct body bodies[3];
    world_start_all(world, 3);
    struct watcher watcher = {.node = world_elect(world) % 3 + 1};
    pd_raft_node other = watcher.node % 3 + 1;
    assert_true(world_converges(world, 50));
    uint8_t index = (uint8_t)(world_status(world, watcher.node).kv.applied_index);
    for (uint32_t i = 0; i < 3; i++) {
        add_number(&bodies[i], 2, (uint8_t)(index + 10 * i));
        add_member(&bodies[i], 2);
    }
    give(world, other, watcher.node, &bodies[1]);
    assert_int_equal(kept_index(world, watcher.node), 0); /* it hears a leader */
    world->filter = watches;
    world->filter_state = &watcher;
    while (watcher.count == 0) {
        world_tick(world);
    }
    give(world, other, watcher.node, &bodies[0]);
    assert_int_equal(kept_index(world, watcher.node), 0); /* it is no newer */
    give(world, other, watcher.node, &bodies[1]);
    assert_int_equal(kept_index(world, watcher.node), index + 10);
    give(world, other, watcher.node, &bodies[2]);
    assert_int_equal(kept_index(world, watcher.node), index + 20);
    give(world, other, watcher.node, &bodies[1]);
    assert_int_equal(kept_index(world, watcher.node), index + 20);
    uint64_t dropped = world_status(world, watcher.node).counters.messages_dropped;
    bodies[2].size--;
    give(world, other, watcher.node, &bodies[2]);
    assert_int_equal(world_status(world, watcher.node).counters.messages_dropped, dropped + 1);
    world_close(world);
}

static void so_many_questions_are_answered_at_once(void **state)
{
    (void)state;
    struct world *world = open_with_directory();
    struct body question = {.size = 0};
    add_number(&question, 1, 0);
    world_start_all(world, 3);
    pd_raft_node asked = world_elect(world);
    struct watcher watcher = {.node = asked, .is_open = true};
    world->filter = watches;
    world->filter_state = &watcher;
    for (uint32_t i = 0; i < 20; i++) {
        give(world, asked % 3 + 1, asked, &question);
    }
    world_settle(world);
    assert_int_equal(watcher.count, 8);
    world_tick(world);
    give(world, asked % 3 + 1, asked, &question);
    world_settle(world);
    assert_int_equal(watcher.count, 9);
    question.bytes[2] = 127; /* it has applied no more than that */
    give(world, asked % 3 + 1, asked, &question);
    world_settle(world);
    assert_int_equal(watcher.count, 9);
    world_close(world);
}

/* As all those whose program is of version 1, and where there is no directory. */
static void who_does_not_know_how_neither_asks_nor_answers(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 2; round++) {
        struct world *world = open_with_directory();
        struct body question = {.size = 0};
        add_number(&question, 1, 0);
        for (uint32_t i = 0; i < 3; i++) {
            world->nodes[i].config.kv.version_max = round == 0 ? 1 : 2;
            world->nodes[i].config.has_directory = round == 0;
        }
        world_start_all(world, 3);
        struct watcher watcher = {.node = world_elect(world) % 3 + 1};
        pd_raft_node other = watcher.node % 3 + 1;
        world->filter = watches;
        world->filter_state = &watcher;
        world_ticks(world, 100);
        uint64_t dropped = world_status(world, watcher.node).counters.messages_dropped;
        give(world, other, watcher.node, &question);
        assert_int_equal(world_status(world, watcher.node).counters.messages_dropped, dropped + 1);
        world_settle(world);
        assert_int_equal(watcher.count, 0);
        world_close(world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_asks_who_hears_a_leader),
        cmocka_unit_test(the_pauses_grow),
        cmocka_unit_test(a_word_says_who_is_what),
        cmocka_unit_test(what_is_no_word_is_refused),
        cmocka_unit_test(no_more_than_the_bounds_are_taken),
        cmocka_unit_test(the_newest_word_is_kept_of_those_that_were_asked_for),
        cmocka_unit_test(so_many_questions_are_answered_at_once),
        cmocka_unit_test(who_does_not_know_how_neither_asks_nor_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
