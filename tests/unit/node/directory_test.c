/* Whom a node connects with and lets in, while members are put into the directory and taken out. */
#include "node/replica_world.h"

#include "node/directory.h"

#define LISTED 5u

struct rows {
    struct pd_replica_first_member first[LISTED];
    uint8_t bytes[LISTED][PD_KV_MEMBER_BYTES_MAX];
    struct pd_members_file file;
};

/* Three replicas whose directory will hold five members. */
static struct world *open_listed(struct rows *rows)
{
    struct world *world = world_open(3, 3, 8);
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
    for (uint32_t i = 0; i < 3; i++) {
        world->nodes[i].config.has_directory = true;
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
    struct world *world = open_listed(&rows);
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
    struct world *world = open_listed(&rows);
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
    struct world *world = open_listed(&rows);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_was_removed_is_let_in_no_more),
        cmocka_unit_test(nobody_leaves_before_the_directory_names_it),
        cmocka_unit_test(those_known_last_count_while_they_are_newer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
