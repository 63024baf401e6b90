/* Whom a node connects with and lets in, while members are put into the directory and taken out. */
#include "node/replica_world.h"

#include "kv/codec.h"
#include "node/directory.h"
#include "node/directory_word.h"
#include "node/replica_internal.h"

#define LISTED 5u

struct rows {
    struct pd_replica_first_member first[LISTED];
    uint8_t bytes[LISTED][PD_KV_MEMBER_BYTES_MAX];
    struct pd_members_file file;
};

static uint64_t node_of(const uint8_t key[PD_KV_MEMBER_KEY_SIZE])
{
    return key[0];
}

/* The first three are a cluster whose directory will hold five members. */
static struct world *open_listed(uint32_t count, struct rows *rows)
{
    struct world *world = world_open(count, 3, 8);
    memset(rows, 0, sizeof *rows);
    for (uint32_t i = 0; i < LISTED; i++) {
        struct pd_kv_member *member = &rows->file.members[i];
        struct pd_kv_writer writer = {.bytes = rows->bytes[i], .bytes_max = sizeof rows->bytes[i]};
        member->node = i + 1;
        memset(member->key, (int)i + 1, sizeof member->key);
        pd_kv_member_encode(&writer, member);
        rows->first[i] =
            (struct pd_replica_first_member){.node = i + 1, .bytes = {writer.bytes, writer.size}};
    }
    rows->file.count = LISTED;
    for (uint32_t i = 0; i < count; i++) {
        world->nodes[i].config.has_directory = true;
        world->nodes[i].config.node_of = node_of;
        world->nodes[i].config.first_members = rows->first;
        world->nodes[i].config.first_member_count = LISTED;
    }
    return world;
}

/* Bits of the nodes that the table would name. */
static uint32_t table_of(const struct pd_directory *directory, const struct pd_replica *replica)
{
    struct pd_directory_walk walk = {0};
    struct pd_kv_member member;
    uint32_t table = 0;
    while (pd_directory_next(directory, replica, &walk, &member)) {
        table |= 1u << member.node;
    }
    return table;
}

static void leave(struct world *world, pd_raft_node node)
{
    const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_LEAVE, .number = node};
    assert_int_equal(world_await(world, world_ask(world, world_elect(world), &head))->outcome,
                     PD_REPLICA_OK);
    assert_true(world_converges(world, 50));
}

static void who_was_removed_is_let_in_no_more(void **state)
{
    (void)state;
    static struct rows rows;
    static const struct pd_members_file nobody;
    struct world *world = open_listed(3, &rows);
    struct pd_directory directory;
    world_start_all(world, 3);
    const struct pd_replica *replica = world_node(world, 1)->replica;
    pd_directory_init(&directory, &rows.file, &nobody);
    assert_int_equal(table_of(&directory, replica), 0x3e); /* of the file, as yet */
    (void)world_elect(world);
    world_ticks(world, 30);
    assert_true(world_converges(world, 50));
    assert_int_equal(pd_directory_look(&directory, replica), PD_DIRECTORY_IS_ANOTHER);
    pd_directory_followed(&directory, replica, true);
    assert_int_equal(pd_directory_look(&directory, replica), PD_DIRECTORY_NONE);
    assert_int_equal(pd_directory_standing(&directory, replica, 5), PD_KV_MEMBER_LIVE);
    leave(world, 5);
    assert_int_equal(pd_directory_look(&directory, replica), PD_DIRECTORY_IS_ANOTHER);
    assert_int_equal(pd_directory_standing(&directory, replica, 5), PD_KV_MEMBER_REMOVED);
    assert_int_equal(table_of(&directory, replica), 0x1e); /* though the file names it */
    pd_directory_followed(&directory, replica, false);
    assert_int_equal(pd_directory_look(&directory, replica), PD_DIRECTORY_IS_ANOTHER); /* again */
    world_close(world);
}

/* Its row would be put when it has left, and live on. */
static void nobody_leaves_before_the_directory_names_it(void **state)
{
    (void)state;
    static struct rows rows;
    struct world *world = open_listed(3, &rows);
    world_start_all(world, 3);
    pd_raft_node leader = world_elect(world);
    const pd_raft_node node = leader % 3 + 1;
    const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_LEAVE, .number = node};
    const struct pd_replica *replica = world_node(world, leader)->replica;
    struct pd_directory directory;
    static const struct pd_members_file nobody;
    pd_directory_init(&directory, &nobody, &nobody);
    enum pd_replica_outcome outcome = world_await(world, world_ask(world, leader, &head))->outcome;
    for (uint32_t i = 0; i < 50 && outcome == PD_REPLICA_BUSY; i++) {
        world_ticks(world, 1);
        outcome = world_await(world, world_ask(world, leader, &head))->outcome;
    }
    assert_int_equal(outcome, PD_REPLICA_OK);
    world_ticks(world, 30); /* whatever is to be filled */
    (void)pd_directory_look(&directory, replica);
    assert_int_equal(pd_directory_standing(&directory, replica, node), PD_KV_MEMBER_REMOVED);
    world_close(world);
}

static void those_known_last_count_while_they_are_newer(void **state)
{
    (void)state;
    static struct rows rows;
    static struct pd_members_file last;
    static const struct pd_members_file nobody;
    struct world *world = open_listed(3, &rows);
    struct pd_directory directory;
    world_start_all(world, 3);
    (void)world_elect(world);
    world_ticks(world, 30);
    leave(world, 4);
    const struct pd_replica *replica = world_node(world, 1)->replica;
    last = (struct pd_members_file){.count = 2,
                                    .index = world_status(world, 1).kv.applied_index + 1,
                                    .members = {{.node = 4}, {.node = 7}}};
    pd_directory_init(&directory, &nobody, &last);
    assert_int_equal(table_of(&directory, replica), 1u << 4 | 1u << 7); /* nothing else is known */
    assert_int_equal(pd_directory_look(&directory, replica), PD_DIRECTORY_IS_ANOTHER);
    pd_directory_followed(&directory, replica, true);
    assert_int_equal(table_of(&directory, replica), 0x2e | 1u << 7);
    world_put(world, "a", "b");
    assert_true(world_converges(world, 50));
    assert_int_equal(pd_directory_look(&directory, replica), PD_DIRECTORY_IS_ANOTHER);
    assert_int_equal(table_of(&directory, replica), 0x2e);
    world_close(world);
}

/* -- Another member's word --------------------------------------------------------------------- */

static void put(struct world *world, pd_raft_node node)
{
    uint8_t row[PD_KV_MEMBER_BYTES_MAX];
    uint8_t bytes[PD_KV_MEMBER_BYTES_MAX + 64];
    struct pd_kv_writer inner = {.bytes = row, .bytes_max = sizeof row};
    struct pd_kv_writer writer = {.bytes = bytes, .bytes_max = sizeof bytes};
    struct pd_kv_member member = {.node = node};
    memset(member.key, (int)node, sizeof member.key);
    pd_kv_member_encode(&inner, &member);
    pd_kv_command_encode(&writer, &(struct pd_kv_command){.kind = PD_KV_MEMBER_PUT,
                                                          .id = (int64_t)node,
                                                          .bytes = {inner.bytes, inner.size}});
    const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_WRITE,
                                                 .body = {writer.bytes, writer.size}};
    assert_int_equal(world_await(world, world_ask(world, world_elect(world), &head))->outcome,
                     PD_REPLICA_OK);
}

static void cut(struct world *world, pd_raft_node one, pd_raft_node other, bool is_cut)
{
    world->is_cut[one][other] = is_cut;
    world->is_cut[other][one] = is_cut;
}

static void await_news(struct world *world, struct pd_directory *directory, pd_raft_node node,
                       enum pd_directory_news wanted)
{
    const struct pd_replica *replica = world_node(world, node)->replica;
    for (uint32_t i = 0; i < 300; i++) {
        enum pd_directory_news news = pd_directory_look(directory, replica);
        if (news == wanted) {
            return;
        }
        assert_int_equal(news, PD_DIRECTORY_NONE);
        world_tick(world);
    }
    fail_msg("nothing is known anew after 300 ticks");
}

/* Cut off from the leader alone, while one member is removed and another one put: the third node
 * says so. */
static void a_newer_word_counts_until_the_own_state_is_there(void **state)
{
    (void)state;
    static struct rows rows;
    static struct pd_members_file last = {.count = 1, .members = {{.node = 7}}};
    static const struct pd_members_file nobody;
    struct world *world = open_listed(3, &rows);
    struct pd_directory directory;
    world_start_all(world, 3);
    pd_raft_node leader = world_elect(world);
    pd_raft_node away = leader % 3 + 1;
    world_ticks(world, 30);
    assert_true(world_converges(world, 50));
    const struct pd_replica *replica = world_node(world, away)->replica;
    pd_directory_init(&directory, &rows.file, &nobody);
    assert_int_equal(pd_directory_look(&directory, replica), PD_DIRECTORY_IS_ANOTHER);
    pd_directory_followed(&directory, replica, true);
    cut(world, away, leader, true);
    const struct pd_replica_request_head gone = {.kind = PD_REPLICA_REQUEST_LEAVE, .number = 5};
    assert_int_equal(world_await(world, world_ask(world, leader, &gone))->outcome, PD_REPLICA_OK);
    put(world, 6);
    await_news(world, &directory, away, PD_DIRECTORY_IS_TOLD);
    assert_int_equal(table_of(&directory, replica), 0x1e | 1u << 6);
    assert_int_equal(pd_directory_standing(&directory, replica, 5), PD_KV_MEMBER_LIVE);
    assert_int_equal(pd_directory_standing(&directory, replica, 6), PD_KV_MEMBER_UNKNOWN);
    pd_directory_followed(&directory, replica, false); /* no table could be made of it */
    assert_int_equal(pd_directory_look(&directory, replica), PD_DIRECTORY_IS_ANOTHER);
    pd_directory_followed(&directory, replica, true);
    assert_int_equal(pd_directory_look(&directory, replica), PD_DIRECTORY_NONE);
    /* Those known last count beside it only if they are newer still. */
    struct pd_directory beside;
    last.index = pd_replica_directory_word(replica)->index + 1;
    pd_directory_init(&beside, &nobody, &last);
    (void)pd_directory_look(&beside, replica);
    assert_int_equal(table_of(&beside, replica), 0x1e | 1u << 6 | 1u << 7);
    last.index--;
    assert_int_equal(table_of(&beside, replica), 0x1e | 1u << 6);
    cut(world, away, leader, false);
    world_put(world, "a", "b");
    assert_true(world_converges(world, 100));
    world_tick(world);
    assert_null(pd_replica_directory_word(replica));
    assert_int_equal(pd_directory_look(&directory, replica), PD_DIRECTORY_IS_ANOTHER);
    assert_int_equal(pd_directory_standing(&directory, replica, 5), PD_KV_MEMBER_REMOVED);
    assert_int_equal(table_of(&directory, replica), 0x1e | 1u << 6);
    world_close(world);
}

/* As of `index`, of one member, `node`, and nobody else. */
static void tell(struct world *world, pd_raft_node from, pd_raft_node to, uint8_t index,
                 uint8_t node)
{
    uint8_t row[128];
    uint8_t frame[PD_REPLICA_FRAME_SIZE + 256];
    struct pd_kv_writer inner = {.bytes = row, .bytes_max = sizeof row};
    struct pd_kv_writer writer = {.bytes = frame, .bytes_max = sizeof frame};
    struct pd_kv_member member = {.node = node};
    memset(member.key, node, sizeof member.key);
    pd_kv_write_u64(&inner, node);
    pd_kv_member_encode(&inner, &member);
    pd_replica_frame_put(world_node(world, from)->replica, PD_REPLICA_FRAME_DIRECTORY_FIELDS, to,
                         frame);
    writer.size = PD_REPLICA_FRAME_SIZE;
    pd_kv_write_u64(&writer, 2); /* the index */
    pd_kv_write_span(&writer, pd_kv_span(&index, 1));
    pd_kv_write_u64(&writer, 3); /* a member */
    pd_kv_write_span(&writer, pd_kv_span(row, inner.size));
    pd_replica_message(world_node(world, to)->replica, from, frame, writer.size);
    world_loop(world, world_node(world, to));
}

/* No true word says otherwise: whoever sends one that does opens no door with it. */
static void who_is_removed_here_is_let_in_on_no_word(void **state)
{
    (void)state;
    static struct rows rows;
    static const struct pd_members_file nobody;
    struct world *world = open_listed(3, &rows);
    struct pd_directory directory;
    world_start_all(world, 3);
    pd_raft_node leader = world_elect(world);
    pd_raft_node away = leader % 3 + 1;
    world_ticks(world, 30);
    leave(world, 5);
    const struct pd_replica *replica = world_node(world, away)->replica;
    pd_directory_init(&directory, &nobody, &nobody);
    (void)pd_directory_look(&directory, replica);
    pd_directory_followed(&directory, replica, true);
    cut(world, away, leader, true);
    cut(world, away, 6 - leader - away, true);
    world_ticks(world, 4 * world->nodes[0].config.raft.election_ticks); /* it has asked */
    tell(world, leader, away, 100, 6);
    assert_int_equal(pd_directory_look(&directory, replica), PD_DIRECTORY_IS_TOLD);
    assert_int_equal(table_of(&directory, replica), 1u << 6);
    tell(world, leader, away, 101, 5);
    assert_int_equal(pd_directory_look(&directory, replica), PD_DIRECTORY_IS_TOLD);
    assert_int_equal(table_of(&directory, replica), 0);
    world_close(world);
}

/* A new node, which nobody gives a state yet. */
static void a_word_counts_without_a_state(void **state)
{
    (void)state;
    static struct rows rows;
    static const struct pd_members_file nobody;
    const struct pd_replica_request_head add = {.kind = PD_REPLICA_REQUEST_ADD_LEARNER,
                                                .number = 4};
    struct world *world = open_listed(4, &rows);
    struct pd_directory directory;
    world_start_all(world, 3);
    pd_raft_node leader = world_elect(world);
    world_ticks(world, 30);
    put(world, 6);
    world_start(world, 4);
    const struct pd_replica *replica = world_node(world, 4)->replica;
    assert_false(pd_replica_has_state(replica));
    pd_directory_init(&directory, &nobody, &nobody);
    assert_int_equal(pd_directory_look(&directory, replica), PD_DIRECTORY_NONE);
    pd_directory_followed(&directory, replica, true);
    assert_int_equal(table_of(&directory, replica), 0);
    cut(world, 4, leader, true);
    await_news(world, &directory, 4, PD_DIRECTORY_IS_TOLD);
    assert_false(pd_replica_has_state(replica));
    assert_int_equal(table_of(&directory, replica), 0x3e | 1u << 6);
    pd_directory_followed(&directory, replica, true);
    assert_int_equal(pd_directory_look(&directory, replica), PD_DIRECTORY_NONE);
    cut(world, 4, leader, false);
    assert_int_equal(world_await(world, world_ask(world, leader, &add))->outcome, PD_REPLICA_OK);
    assert_true(world_converges(world, 300));
    assert_true(pd_replica_has_state(replica));
    assert_int_equal(pd_directory_look(&directory, replica), PD_DIRECTORY_IS_ANOTHER);
    assert_int_equal(table_of(&directory, replica), 0x3e | 1u << 6);
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_was_removed_is_let_in_no_more),
        cmocka_unit_test(nobody_leaves_before_the_directory_names_it),
        cmocka_unit_test(those_known_last_count_while_they_are_newer),
        cmocka_unit_test(a_newer_word_counts_until_the_own_state_is_there),
        cmocka_unit_test(who_is_removed_here_is_let_in_on_no_word),
        cmocka_unit_test(a_word_counts_without_a_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
