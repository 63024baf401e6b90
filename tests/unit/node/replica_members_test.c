/* Removals: of voters while others are down, and as of the cluster's version. Names. The lead. */
#include "node/members.h"
#include "node/members_heard.h"
#include "node/replica_world.h"

static enum pd_replica_outcome change_at(struct world *world, pd_raft_node leader,
                                         enum pd_replica_request_kind kind, pd_raft_node node)
{
    const struct pd_replica_request_head head = {.kind = kind, .number = node};
    return world_await(world, world_ask(world, leader, &head))->outcome;
}

/* Of three nodes the one that is neither. */
static pd_raft_node third(pd_raft_node one, pd_raft_node other)
{
    return 6 - one - other;
}

static struct world *three(uint64_t seed)
{
    struct world *world = world_open(3, 3, seed);
    world_start_all(world, 3);
    (void)world_elect(world);
    return world;
}

/* -- While others are down --------------------------------------------------------------------- */

static void those_that_stay_keep_a_majority(void **state)
{
    (void)state;
    struct world *world = three(81);
    world_ticks(world, 3 * world_config(1).raft.election_ticks);
    pd_raft_node leader = world_elect(world);
    pd_raft_node down = leader % 3 + 1;
    pd_raft_node up = third(leader, down);
    world_crash(world, down);
    world_miss(world);
    /* One that answers is no more dispensable just after raft began to count anew. */
    for (uint32_t i = 0; i <= world_config(1).raft.election_ticks; i++) {
        assert_int_equal(change_at(world, leader, PD_REPLICA_REQUEST_REMOVE, up),
                         PD_REPLICA_INVALID);
        assert_int_equal(change_at(world, leader, PD_REPLICA_REQUEST_LEAVE, up),
                         PD_REPLICA_INVALID);
        world_tick(world);
    }
    assert_int_equal(change_at(world, leader, PD_REPLICA_REQUEST_REMOVE, leader),
                     PD_REPLICA_INVALID);
    assert_int_equal(world_status(world, leader).raft.conf.voter_count, 3);
    assert_int_equal(change_at(world, leader, PD_REPLICA_REQUEST_REMOVE, down), PD_REPLICA_OK);
    world_put(world, "k", "two are left");
    assert_int_equal(change_at(world, leader, PD_REPLICA_REQUEST_REMOVE, up), PD_REPLICA_OK);
    world_put(world, "k", "one is left");
    world_close(world);
}

static void all_that_answer_may_go_one_by_one(void **state)
{
    (void)state;
    struct world *world = three(82);
    world_ticks(world, 3 * world_config(1).raft.election_ticks);
    pd_raft_node leader = world_elect(world);
    for (uint32_t i = 0; i < 2; i++) { /* at every moment of raft's count */
        world_ticks(world, world_config(1).raft.election_ticks / 2);
        assert_int_equal(change_at(world, leader, PD_REPLICA_REQUEST_REMOVE, (leader + i) % 3 + 1),
                         PD_REPLICA_OK);
    }
    world_put(world, "k", "one is left");
    world_close(world);
}

/* The one that stays beside it is heard late: it is neither refused for good nor let go. */
static void a_new_leader_waits_for_those_that_stay(void **state)
{
    (void)state;
    for (uint32_t comes_back = 0; comes_back < 2; comes_back++) {
        struct world *world = three(83);
        world_put(world, "k", "v");
        assert_true(world_converges(world, 50));
        pd_raft_node old = world_elect(world);
        pd_raft_node leader = old % 3 + 1;
        pd_raft_node late = third(old, leader);
        world->is_cut[late][leader] = true;
        assert_int_equal(change_at(world, old, PD_REPLICA_REQUEST_TRANSFER, leader), PD_REPLICA_OK);
        for (uint32_t i = 0; i < 100 && world_leader(world) != leader; i++) {
            world_tick(world);
        }
        assert_int_equal(world_leader(world), leader);
        assert_int_equal(change_at(world, leader, PD_REPLICA_REQUEST_LEAVE, old),
                         PD_REPLICA_NOT_READY);
        world->is_cut[late][leader] = comes_back == 0;
        enum pd_replica_outcome outcome = PD_REPLICA_NOT_READY;
        for (uint32_t i = 0; i < 100 && outcome == PD_REPLICA_NOT_READY; i++) {
            world_tick(world);
            outcome = change_at(world, leader, PD_REPLICA_REQUEST_REMOVE, old);
        }
        assert_int_equal(outcome, comes_back == 1 ? PD_REPLICA_OK : PD_REPLICA_INVALID);
        world_close(world);
    }
}

/* -- Who has fallen silent --------------------------------------------------------------------- */

/* It had caught up, and nobody told the leader that it is gone: it would be a voter that is not
 * there. */
static void a_silent_learner_is_not_promoted(void **state)
{
    (void)state;
    struct world *world = world_open(4, 3, 88);
    world_start_all(world, 4);
    pd_raft_node leader = world_elect(world);
    assert_int_equal(change_at(world, leader, PD_REPLICA_REQUEST_ADD_LEARNER, 4), PD_REPLICA_OK);
    world_put(world, "k", "v");
    world_ticks(world, 3 * world_config(1).raft.election_ticks);
    world->is_cut[4][leader] = true;
    world_ticks(world, 3 * world_config(1).raft.election_ticks);
    assert_int_equal(world_leader(world), leader);
    assert_int_equal(change_at(world, leader, PD_REPLICA_REQUEST_PROMOTE, 4), PD_REPLICA_BUSY);
    world->is_cut[4][leader] = false;
    enum pd_replica_outcome outcome = PD_REPLICA_BUSY;
    for (uint32_t i = 0; i < 100 && outcome == PD_REPLICA_BUSY; i++) {
        world_tick(world);
        outcome = change_at(world, leader, PD_REPLICA_REQUEST_PROMOTE, 4);
    }
    assert_int_equal(outcome, PD_REPLICA_OK);
    world_close(world);
}

/* -- Whom the leader hears --------------------------------------------------------------------- */

static const struct world_answer *ask_heard(struct world *world, pd_raft_node node)
{
    const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_HEARD};
    return world_await(world, world_ask(world, node, &head));
}

/* What the leader says of a node; all others are to be up. */
static struct pd_members_heard heard_of(struct world *world, pd_raft_node leader, pd_raft_node node)
{
    struct pd_members_heard heard;
    struct pd_members_heard found = {.node = 0};
    struct pd_kv_reader reader;
    const struct world_answer *answer = ask_heard(world, leader);
    uint32_t count = 0;
    assert_int_equal(answer->outcome, PD_REPLICA_OK);
    pd_kv_reader_init(&reader, answer->body);
    for (; pd_members_heard_next(&reader, &heard); count++) {
        if (heard.node == node) {
            found = heard;
        } else {
            assert_true(heard.answers);
            assert_false(heard.is_behind);
            assert_int_equal(heard.silent_ms, 0);
        }
    }
    assert_true(pd_kv_answer_is_whole(&reader));
    assert_int_equal(count, 3);
    assert_int_equal(found.node, node);
    return found;
}

static void who_is_down_is_told_and_since_when(void **state)
{
    (void)state;
    struct world *world = three(85);
    uint32_t election_ticks = world_config(1).raft.election_ticks;
    world_ticks(world, 3 * election_ticks);
    pd_raft_node leader = world_elect(world);
    pd_raft_node down = leader % 3 + 1;
    assert_true(heard_of(world, leader, down).answers);
    assert_int_equal(ask_heard(world, down)->outcome, PD_REPLICA_NOT_LEADER);
    world_crash(world, down);
    uint64_t since_ns = world->now_ns;
    world_miss(world);
    for (uint32_t i = 0; i < 3 * election_ticks; i++) { /* at every moment of raft's count */
        world_tick(world);
        const struct pd_members_heard heard = heard_of(world, leader, down);
        uint64_t most_ms = (world->now_ns - since_ns) / 1000000;
        assert_false(heard.answers);
        assert_in_range(heard.silent_ms, most_ms / 2, most_ms);
    }
    world_put(world, "k", "that it lacks");
    assert_true(heard_of(world, leader, down).behind_entries > 0);
    world_start(world, down);
    for (uint32_t i = 0; i < 100 && !heard_of(world, leader, down).answers; i++) {
        world_tick(world);
    }
    assert_true(heard_of(world, leader, down).answers);
    assert_true(world_converges(world, 50));
    world_ticks(world, election_ticks);
    assert_int_equal(heard_of(world, leader, down).behind_entries, 0);
    world_close(world);
}

/* A leader that has only just begun knows nobody to be down. */
static void a_new_leader_says_nothing_yet_of_who_is_silent(void **state)
{
    (void)state;
    struct world *world = three(86);
    world_put(world, "k", "v");
    assert_true(world_converges(world, 50));
    pd_raft_node old = world_elect(world);
    pd_raft_node leader = old % 3 + 1;
    pd_raft_node silent = third(old, leader);
    world_crash(world, silent);
    assert_int_equal(change_at(world, old, PD_REPLICA_REQUEST_TRANSFER, leader), PD_REPLICA_OK);
    assert_int_equal(world_elect(world), leader);
    assert_int_equal(ask_heard(world, leader)->outcome, PD_REPLICA_NOT_READY);
    world_miss(world);
    assert_false(heard_of(world, leader, silent).answers);
    world_close(world);
}

static void what_a_later_program_adds_is_skipped(void **state)
{
    (void)state;
    static const uint8_t told[] = {1, 6, 7, 0, 200, 1, 9, 99, 1, 4, 8, 1, 0, 0, 0};
    struct pd_members_heard heard;
    struct pd_kv_reader reader;
    pd_kv_reader_init(&reader, (struct pd_span){told, sizeof told});
    assert_true(pd_members_heard_next(&reader, &heard));
    assert_int_equal(heard.node, 7);
    assert_false(heard.answers);
    assert_int_equal(heard.silent_ms, 200);
    assert_int_equal(heard.behind_entries, 9);
    assert_true(pd_members_heard_next(&reader, &heard));
    assert_int_equal(heard.node, 8);
    assert_true(heard.answers);
    assert_false(pd_members_heard_next(&reader, &heard));
    assert_true(pd_kv_answer_is_whole(&reader));
    for (size_t size = 0; size < sizeof told; size++) {
        pd_kv_reader_init(&reader, (struct pd_span){told, size});
        while (pd_members_heard_next(&reader, &heard)) {
        }
        assert_false(pd_kv_answer_is_whole(&reader));
    }
}

/* -- As of the cluster's version --------------------------------------------------------------- */

struct rows {
    struct pd_replica_first_member first[3];
    uint8_t bytes[3][PD_KV_MEMBER_BYTES_MAX];
};

static struct world *open_listed(struct rows *rows, uint32_t version_max)
{
    struct world *world = world_open(3, 3, 84);
    for (uint32_t i = 0; i < 3; i++) {
        struct pd_kv_member member = {.node = i + 1};
        struct pd_kv_writer writer = {.bytes = rows->bytes[i], .bytes_max = sizeof rows->bytes[i]};
        memset(member.key, (int)i + 1, sizeof member.key);
        pd_kv_member_encode(&writer, &member);
        rows->first[i] =
            (struct pd_replica_first_member){.node = i + 1, .bytes = {writer.bytes, writer.size}};
    }
    for (uint32_t i = 0; i < 3; i++) {
        struct pd_replica_config *config = &world->nodes[i].config;
        config->has_directory = true;
        config->first_members = rows->first;
        config->first_member_count = 3;
        config->kv.version_max = version_max;
        config->raises_version = true;
    }
    return world;
}

/* Who asks need not know which version that is. */
static void what_is_removed_leaves_the_directory_too(void **state)
{
    (void)state;
    for (uint32_t version = 1; version <= 2; version++) {
        struct rows rows;
        struct pd_kv_member member;
        struct world *world = open_listed(&rows, version);
        world_start_all(world, 3);
        (void)world_elect(world);
        for (uint32_t i = 0; i < 300 && (i < 100 || world_status(world, 1).kv.version < version);
             i++) {
            world_tick(world);
        }
        pd_raft_node leader = world_elect(world);
        assert_int_equal(world_status(world, leader).kv.version, version);
        pd_raft_node gone = leader % 3 + 1;
        assert_int_equal(change_at(world, leader, PD_REPLICA_REQUEST_REMOVE, gone), PD_REPLICA_OK);
        const struct pd_kv *kv = pd_replica_kv(world_node(world, leader)->replica);
        assert_int_equal(pd_kv_member_find(kv, gone, &member),
                         version == 1 ? PD_KV_MEMBER_LIVE : PD_KV_MEMBER_REMOVED);
        assert_int_equal(world_status(world, leader).raft.conf.voter_count, 2);
        world_close(world);
    }
}

/* -- Names ------------------------------------------------------------------------------------- */

static struct pd_span span_of(const char *text)
{
    return (struct pd_span){(const uint8_t *)text, strlen(text)};
}

/* "" or why not. The node's id is made of `number`. */
static const char *put_row(struct world *world, uint8_t number, const char *name,
                           const char *address)
{
    static char why[256];
    uint8_t row[PD_KV_MEMBER_BYTES_MAX];
    uint8_t room[PD_KV_MEMBER_BYTES_MAX + 64];
    struct pd_kv_writer inner = {.bytes = row, .bytes_max = sizeof row};
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    struct pd_kv_member member = {.name = span_of(name), .peer_count = 1};
    memset(member.key, number, sizeof member.key);
    member.peers[0] = span_of(address);
    pd_kv_member_encode(&inner, &member);
    pd_kv_command_encode(&writer,
                         &(struct pd_kv_command){.kind = PD_KV_MEMBER_PUT,
                                                 .id = (int64_t)pd_members_node_of(member.key),
                                                 .bytes = {inner.bytes, inner.size}});
    const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_WRITE,
                                                 .body = {writer.bytes, writer.size}};
    const struct world_answer *answer =
        world_await(world, world_ask(world, world_elect(world), &head));
    assert_int_equal(answer->outcome, answer->outcome == PD_REPLICA_OK ? 0 : PD_REPLICA_INVALID);
    (void)snprintf(why, sizeof why, "%.*s",
                   answer->outcome == PD_REPLICA_OK ? 0 : (int)answer->body.size,
                   (const char *)answer->body.bytes);
    return why;
}

static void a_name_that_a_member_has_is_not_given_to_another(void **state)
{
    (void)state;
    struct rows rows;
    struct world *world = open_listed(&rows, 2);
    world_start_all(world, 3);
    (void)world_elect(world);
    world_ticks(world, 100);
    assert_string_equal(put_row(world, 11, "one", "127.0.0.1:1"), "");
    assert_string_equal(put_row(world, 11, "one", "127.0.0.1:2"), ""); /* it moved */
    assert_string_equal(put_row(world, 12, "one", "127.0.0.1:3"),
                        "another member has that name: choose another one");
    assert_string_equal(put_row(world, 12, "two", "127.0.0.1:3"), "");
    assert_string_equal(put_row(world, 12, "one", "127.0.0.1:3"),
                        "another member has that name: choose another one");
    assert_string_equal(put_row(world, 11, "", "127.0.0.1:2"), ""); /* no name is no name's */
    assert_string_equal(put_row(world, 12, "", "127.0.0.1:3"), "");
    assert_string_equal(put_row(world, 12, "one", "127.0.0.1:3"), ""); /* it is free now */
    world_close(world);
}

/* -- The lead ---------------------------------------------------------------------------------- */

static uint64_t ask_lead(struct world *world, pd_raft_node leader, pd_raft_node to)
{
    return world_ask(
        world, leader,
        &(struct pd_replica_request_head){.kind = PD_REPLICA_REQUEST_TRANSFER, .number = to});
}

/* The other one hears that it shall lead, and is heard when raft has given it up: when it takes the
 * lead after all, who asked is told so. */
static void a_lead_that_arrives_late_is_told(void **state)
{
    (void)state;
    struct world *world = three(25);
    pd_raft_node leader = world_elect(world);
    pd_raft_node to = leader % 3 + 1;
    pd_raft_node other = third(leader, to);
    world_put(world, "k", "v");
    assert_true(world_converges(world, 50));
    world->is_cut[to][leader] = true;
    world->is_cut[to][other] = true;
    uint64_t asked = ask_lead(world, leader, to);
    world_ticks(world, world_config(1).raft.election_ticks + 2);
    assert_true(pd_replica_leads(world_node(world, leader)->replica));
    assert_int_equal(world_status(world, leader).raft.transferee, 0); /* raft has given it up */
    assert_null(world_answer(world, asked));
    world->is_cut[to][leader] = false;
    world->is_cut[to][other] = false;
    assert_int_equal(world_await(world, asked)->outcome, PD_REPLICA_OK);
    assert_int_equal(world_leader(world), to);
    world_close(world);
}

/* The other one does not hear that it shall lead. */
static void a_lead_that_does_not_arrive_is_told(void **state)
{
    (void)state;
    struct world *world = three(22);
    pd_raft_node leader = world_elect(world);
    pd_raft_node to = leader % 3 + 1;
    world->is_cut[leader][to] = true;
    uint64_t asked = ask_lead(world, leader, to);
    uint64_t second = ask_lead(world, leader, to);
    assert_int_equal(world_await(world, second)->outcome, PD_REPLICA_BUSY);
    assert_int_equal(world_await(world, asked)->outcome, PD_REPLICA_UNKNOWN);
    assert_int_equal(world_leader(world), leader);
    world->is_cut[leader][to] = false;
    world_ticks(world, 30);
    assert_int_equal(change_at(world, leader, PD_REPLICA_REQUEST_TRANSFER, to), PD_REPLICA_OK);
    /* Who leads already, is told so. */
    assert_int_equal(change_at(world, to, PD_REPLICA_REQUEST_TRANSFER, to), PD_REPLICA_OK);
    assert_int_equal(world_leader(world), to);
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_that_stay_keep_a_majority),
        cmocka_unit_test(all_that_answer_may_go_one_by_one),
        cmocka_unit_test(a_new_leader_waits_for_those_that_stay),
        cmocka_unit_test(a_silent_learner_is_not_promoted),
        cmocka_unit_test(who_is_down_is_told_and_since_when),
        cmocka_unit_test(a_new_leader_says_nothing_yet_of_who_is_silent),
        cmocka_unit_test(what_a_later_program_adds_is_skipped),
        cmocka_unit_test(what_is_removed_leaves_the_directory_too),
        cmocka_unit_test(a_name_that_a_member_has_is_not_given_to_another),
        cmocka_unit_test(a_lead_that_arrives_late_is_told),
        cmocka_unit_test(a_lead_that_does_not_arrive_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
