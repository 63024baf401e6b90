/* First members find each other: in any order, with crashes in between, never two clusters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kv/codec.h"
#include "node/gather.h"

#define NODES_MAX 8u
#define SECRET "a secret of some length"

/* A node of the test: what it has in memory, and what is on its disk. */
struct node {
    struct pd_gather gather;
    uint8_t key[PD_KV_MEMBER_KEY_SIZE];
    char address[32];
    const char *secret;
    uint32_t place; /* where it is in the list, or NOWHERE */
    bool runs;
    enum pd_gather_state disk; /* AGREED: "gather"; MEMBER: "new" */
    uint64_t disk_set;
    uint64_t joined; /* by a ticket: which cluster */
};

static struct node nodes[NODES_MAX];
static uint32_t node_count;
static uint32_t place_count;
static uint32_t founders;
static uint32_t state_of_random;

static uint32_t random_below(uint32_t limit)
{
    state_of_random = state_of_random * 1664525u + 1013904223u;
    return (state_of_random >> 8) % limit;
}

static void name_node(struct node *node, uint32_t number, uint32_t life)
{
    memset(node->key, (int)(number * 16 + life), sizeof node->key);
    node->key[0] = (uint8_t)(200 - number); /* the order of keys is not that of places */
}

static void start(struct node *node)
{
    struct pd_kv_member own = {.role = PD_KV_MEMBER_VOTER, .peer_count = 1};
    own.peers[0] = pd_kv_span(node->address, strlen(node->address));
    memcpy(own.key, node->key, sizeof own.key);
    pd_gather_init(&node->gather, pd_kv_span(node->secret, strlen(node->secret)), &own);
    pd_gather_look_for(&node->gather, place_count, founders, node->place);
    if (node->disk != PD_GATHER_FREE) {
        pd_gather_set_state(&node->gather, node->disk, node->disk_set);
    } else if (node->joined != 0) {
        pd_gather_set_state(&node->gather, PD_GATHER_MEMBER, node->joined);
    }
    node->runs = true;
}

static void set_up(uint32_t count, uint32_t places, uint32_t wanted)
{
    memset(nodes, 0, sizeof nodes);
    node_count = count;
    place_count = places;
    founders = wanted;
    for (uint32_t i = 0; i < count; i++) {
        nodes[i].place = i < places ? i : PD_GATHER_NOWHERE;
        nodes[i].secret = SECRET;
        (void)snprintf(nodes[i].address, sizeof nodes[i].address, "10.0.0.%u:1", (unsigned)i);
        name_node(&nodes[i], i, 0);
    }
}

/* `from` asks whoever is at a place. */
static enum pd_status ask(struct node *from, uint32_t place)
{
    uint8_t question[PD_GATHER_MESSAGE_MAX];
    uint8_t answer[PD_GATHER_MESSAGE_MAX];
    struct pd_kv_writer asked = {.bytes = question, .bytes_max = sizeof question};
    struct pd_kv_writer answered = {.bytes = answer, .bytes_max = sizeof answer};
    struct node *to = &nodes[place];
    bool is_free = false;
    if (!to->runs || to == from) {
        return PD_ERR_CLOSED;
    }
    pd_gather_put_question(&from->gather, to->key, &asked);
    enum pd_status status =
        pd_gather_read_question(&to->gather, from->key, pd_kv_span(question, asked.size), &is_free);
    struct pd_span ticket = is_free && to->gather.state == PD_GATHER_MEMBER
                                ? pd_kv_span("ticket", 6)
                                : pd_kv_span(NULL, 0);
    pd_gather_put_answer(&to->gather, from->key, status, ticket, &answered);
    assert_false(asked.is_full || answered.is_full);
    return pd_gather_hear(&from->gather, place, to->key, pd_kv_span(answer, answered.size));
}

/* One step of what it decides; is_cut: it crashes behind the write, before anybody hears of it. */
static enum pd_gather_next act(struct node *node, bool is_cut)
{
    struct pd_members_file file;
    char text[PD_GATHER_TEXT_MAX];
    enum pd_gather_next next = pd_gather_next(&node->gather, text);
    if (next == PD_GATHER_AGREE) {
        assert_int_equal(node->disk, PD_GATHER_FREE); /* once in its life */
        pd_gather_put_set(&node->gather, &file);
        assert_int_equal(file.count, founders);
        node->disk = PD_GATHER_AGREED;
        node->disk_set = file.cluster_id;
        node->runs = !is_cut;
        pd_gather_set_state(&node->gather, PD_GATHER_AGREED, file.cluster_id);
    } else if (next == PD_GATHER_BEGIN) {
        node->disk = PD_GATHER_MEMBER;
        node->runs = !is_cut;
        pd_gather_set_state(&node->gather, PD_GATHER_MEMBER, node->disk_set);
    } else if (next == PD_GATHER_JOIN) {
        for (uint32_t i = 0; i < place_count; i++) {
            if (node->gather.places[i].is_heard &&
                node->gather.places[i].state == PD_GATHER_MEMBER) {
                node->joined = node->gather.places[i].set_id;
            }
        }
        pd_gather_set_state(&node->gather, PD_GATHER_MEMBER, node->joined);
    }
    return next;
}

static uint64_t cluster_of(const struct node *node)
{
    return node->disk == PD_GATHER_MEMBER ? node->disk_set : node->joined;
}

/* All that have a cluster have the same. */
static uint32_t count_members(void)
{
    uint64_t cluster = 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < node_count; i++) {
        uint64_t id = cluster_of(&nodes[i]);
        assert_true(id == 0 || cluster == 0 || id == cluster);
        cluster = id != 0 ? id : cluster;
        count += id != 0;
    }
    return count;
}

/* Every node asks everybody and acts, until nothing changes. */
static void settle(void)
{
    for (uint32_t round = 0; round < 20; round++) {
        for (uint32_t i = 0; i < node_count; i++) {
            for (uint32_t j = 0; j < place_count; j++) {
                if (nodes[i].runs && cluster_of(&nodes[i]) == 0) {
                    (void)ask(&nodes[i], j);
                }
            }
            if (nodes[i].runs && cluster_of(&nodes[i]) == 0) {
                (void)act(&nodes[i], false);
            }
        }
    }
}

static void test_three_begin_one_cluster(void **state)
{
    (void)state;
    set_up(3, 3, 3);
    start(&nodes[0]);
    start(&nodes[1]);
    settle();
    assert_int_equal(count_members(), 0); /* the third one is not there */
    assert_int_equal(nodes[0].disk, PD_GATHER_FREE);
    start(&nodes[2]);
    settle();
    assert_int_equal(count_members(), 3);
}

static void test_one_alone_and_a_part_of_the_list(void **state)
{
    (void)state;
    set_up(1, 1, 1);
    start(&nodes[0]);
    settle();
    assert_int_equal(count_members(), 1);
    set_up(4, 4, 3); /* the fourth of the list is no first member */
    for (uint32_t i = 0; i < 4; i++) {
        start(&nodes[i]);
    }
    settle();
    assert_int_equal(count_members(), 4);
    assert_int_not_equal(nodes[3].joined, 0);
    assert_int_equal(nodes[2].joined, 0);
}

/* A fourth node with the same file is never counted among the first, and joins. */
static void test_a_fourth_joins(void **state)
{
    (void)state;
    set_up(4, 3, 3);
    start(&nodes[0]);
    start(&nodes[1]);
    start(&nodes[3]);
    settle();
    assert_int_equal(count_members(), 0);
    start(&nodes[2]);
    settle();
    assert_int_equal(count_members(), 4);
    assert_int_not_equal(nodes[3].joined, 0);
}

/* Crashes and starts at any moment, and messages in any order: one cluster, of all. */
static void test_any_order_with_crashes(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 3000; seed++) {
        state_of_random = seed;
        uint32_t wanted = 1 + random_below(5);
        set_up(wanted + random_below(3), wanted, wanted);
        for (uint32_t step = 0; step < 200; step++) {
            struct node *node = &nodes[random_below(node_count)];
            if (!node->runs) {
                start(node);
            } else if (random_below(12) == 0) {
                node->runs = false;
            } else if (cluster_of(node) == 0 && random_below(3) != 0) {
                (void)ask(node, random_below(place_count));
            } else if (cluster_of(node) == 0) {
                (void)act(node, random_below(3) == 0);
            }
            (void)count_members();
        }
        for (uint32_t i = 0; i < node_count; i++) {
            start(&nodes[i]);
        }
        settle();
        if (count_members() != node_count) {
            print_error("seed %u\n", (unsigned)seed);
        }
        assert_int_equal(count_members(), node_count);
    }
}

/* Folders are emptied, too, as long as nobody has begun: never two clusters, though it may be that
 * none begins, and then a person is told. */
static void test_emptied_folders_never_make_two(void **state)
{
    (void)state;
    uint32_t stuck = 0;
    for (uint32_t seed = 1; seed <= 3000; seed++) {
        uint32_t life = 0;
        state_of_random = seed;
        set_up(3, 3, 3);
        for (uint32_t step = 0; step < 120; step++) {
            uint32_t which = random_below(node_count);
            struct node *node = &nodes[which];
            if (!node->runs) {
                if (random_below(4) == 0 && cluster_of(node) == 0 && life < 15) {
                    node->disk = PD_GATHER_FREE;
                    node->disk_set = 0;
                    name_node(node, which, ++life);
                }
                start(node);
            } else if (random_below(10) == 0) {
                node->runs = false;
            } else if (cluster_of(node) == 0 && random_below(3) != 0) {
                (void)ask(node, random_below(place_count));
            } else if (cluster_of(node) == 0) {
                stuck += act(node, random_below(3) == 0) == PD_GATHER_STUCK;
            }
            (void)count_members();
        }
    }
    assert_true(stuck > 0);
}

static void test_a_wrong_secret(void **state)
{
    (void)state;
    char text[PD_GATHER_TEXT_MAX];
    set_up(3, 3, 3);
    nodes[2].secret = "another secret of some length";
    for (uint32_t i = 0; i < 3; i++) {
        start(&nodes[i]);
    }
    assert_int_equal(ask(&nodes[0], 2), PD_ERR_DENIED);
    assert_int_equal(ask(&nodes[0], 1), PD_OK);
    assert_int_equal(ask(&nodes[2], 0), PD_ERR_DENIED);
    assert_int_equal(ask(&nodes[2], 1), PD_ERR_DENIED);
    /* Who is refused by most is the one that is wrong. */
    assert_int_equal(pd_gather_next(&nodes[0].gather, text), PD_GATHER_WAIT);
    assert_int_equal(pd_gather_next(&nodes[2].gather, text), PD_GATHER_STUCK);
    assert_non_null(strstr(text, "secret_file"));
    assert_false(nodes[2].gather.places[0].is_heard);
}

/* Without the secret, or with somebody else's words, nothing is told. */
static void test_proofs_are_for_one_ear(void **state)
{
    (void)state;
    uint8_t question[PD_GATHER_MESSAGE_MAX];
    uint8_t answer[PD_GATHER_MESSAGE_MAX];
    struct pd_kv_writer asked = {.bytes = question, .bytes_max = sizeof question};
    struct pd_kv_writer answered = {.bytes = answer, .bytes_max = sizeof answer};
    bool is_free = false;
    set_up(3, 3, 3);
    for (uint32_t i = 0; i < 3; i++) {
        start(&nodes[i]);
    }
    pd_gather_put_question(&nodes[0].gather, nodes[1].key, &asked);
    struct pd_span bytes = pd_kv_span(question, asked.size);
    assert_int_equal(pd_gather_read_question(&nodes[1].gather, nodes[0].key, bytes, &is_free),
                     PD_OK);
    assert_true(is_free);
    /* Not for the third; not from it; not as an answer; not changed; not cut. */
    assert_int_equal(pd_gather_read_question(&nodes[2].gather, nodes[0].key, bytes, &is_free),
                     PD_ERR_DENIED);
    assert_int_equal(pd_gather_read_question(&nodes[1].gather, nodes[2].key, bytes, &is_free),
                     PD_ERR_DENIED);
    pd_kv_write_u8(&answered, question[0]);
    pd_kv_write_u8(&answered, 0);
    pd_kv_write_raw(&answered, question + 1, asked.size - 1);
    assert_int_equal(
        pd_gather_hear(&nodes[1].gather, 0, nodes[0].key, pd_kv_span(answer, answered.size)),
        PD_ERR_DENIED);
    for (size_t i = 1; i < asked.size; i++) {
        question[i] ^= 1;
        assert_int_not_equal(
            pd_gather_read_question(&nodes[1].gather, nodes[0].key, bytes, &is_free), PD_OK);
        question[i] ^= 1;
        assert_int_not_equal(pd_gather_read_question(&nodes[1].gather, nodes[0].key,
                                                     pd_kv_span(question, i), &is_free),
                             PD_OK);
    }
    answered.size = 0;
    pd_gather_put_answer(&nodes[1].gather, nodes[0].key, PD_ERR_DENIED, pd_kv_span(NULL, 0),
                         &answered);
    assert_int_equal(answered.size, 2);
}

static void test_what_people_are_told(void **state)
{
    (void)state;
    char text[PD_GATHER_TEXT_MAX];
    /* Two clusters at the addresses: this node cannot tell which one is meant. */
    set_up(3, 3, 3);
    for (uint32_t i = 0; i < 3; i++) {
        start(&nodes[i]);
    }
    pd_gather_set_state(&nodes[0].gather, PD_GATHER_MEMBER, 7);
    pd_gather_set_state(&nodes[1].gather, PD_GATHER_MEMBER, 8);
    assert_int_equal(ask(&nodes[2], 0), PD_OK);
    assert_int_equal(pd_gather_next(&nodes[2].gather, text), PD_GATHER_JOIN);
    assert_int_equal(ask(&nodes[2], 1), PD_OK);
    assert_int_equal(pd_gather_next(&nodes[2].gather, text), PD_GATHER_STUCK);
    assert_non_null(strstr(text, "two clusters"));
    /* Other files at other nodes. */
    set_up(3, 3, 3);
    start(&nodes[0]);
    founders = 2;
    start(&nodes[1]);
    assert_int_equal(ask(&nodes[0], 1), PD_OK);
    assert_int_equal(pd_gather_next(&nodes[0].gather, text), PD_GATHER_WAIT);
    assert_non_null(strstr(text, "the same file"));
    /* One node at two addresses. */
    set_up(3, 3, 3);
    for (uint32_t i = 0; i < 3; i++) {
        start(&nodes[i]);
    }
    memcpy(nodes[2].key, nodes[1].key, sizeof nodes[2].key);
    start(&nodes[2]);
    assert_int_equal(ask(&nodes[0], 1), PD_OK);
    assert_int_equal(ask(&nodes[0], 2), PD_OK);
    assert_int_equal(pd_gather_next(&nodes[0].gather, text), PD_GATHER_WAIT);
    assert_non_null(strstr(text, "the same node"));
}

static void test_ids_do_not_know_an_order(void **state)
{
    (void)state;
    uint8_t keys[2][PD_KV_MEMBER_KEY_SIZE] = {{1}, {2}};
    uint8_t turned[2][PD_KV_MEMBER_KEY_SIZE] = {{2}, {1}};
    assert_int_equal(pd_gather_set_id((const uint8_t(*)[PD_KV_MEMBER_KEY_SIZE])keys, 2),
                     pd_gather_set_id((const uint8_t(*)[PD_KV_MEMBER_KEY_SIZE])turned, 2));
    assert_int_not_equal(pd_gather_set_id((const uint8_t(*)[PD_KV_MEMBER_KEY_SIZE])keys, 2),
                         pd_gather_set_id((const uint8_t(*)[PD_KV_MEMBER_KEY_SIZE])keys, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_three_begin_one_cluster),
        cmocka_unit_test(test_one_alone_and_a_part_of_the_list),
        cmocka_unit_test(test_a_fourth_joins),
        cmocka_unit_test(test_any_order_with_crashes),
        cmocka_unit_test(test_emptied_folders_never_make_two),
        cmocka_unit_test(test_a_wrong_secret),
        cmocka_unit_test(test_proofs_are_for_one_ear),
        cmocka_unit_test(test_what_people_are_told),
        cmocka_unit_test(test_ids_do_not_know_an_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
