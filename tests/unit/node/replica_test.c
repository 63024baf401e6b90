/* What clients see of replicas: outcomes that are never mixed up, reads that are never old, retries
 * that happen once, leases and time across leaders, full disks, changes of the membership. */
#include "base/bytes.h"
#include "kv/member.h"
#include "node/members.h"
#include "node/replica_world.h"

#define SECOND UINT64_C(1000000000)

static struct pd_span span(const char *text)
{
    return (struct pd_span){(const uint8_t *)text, strlen(text)};
}

static uint64_t ask_command(struct world *world, pd_raft_node id,
                            const struct pd_kv_command *command)
{
    uint8_t bytes[256];
    struct pd_kv_writer writer = {.bytes = bytes, .bytes_max = sizeof bytes};
    pd_kv_command_encode(&writer, command);
    assert_false(writer.is_full);
    const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_WRITE,
                                                 .body = {writer.bytes, writer.size}};
    return world_ask(world, id, &head);
}

/* A linearizable read. */
static uint64_t ask_get(struct world *world, pd_raft_node id, const char *key)
{
    uint8_t bytes[128];
    struct pd_kv_writer writer = {.bytes = bytes, .bytes_max = sizeof bytes};
    const struct pd_kv_range range = {.key = span(key)};
    pd_kv_encode_range(&writer, &range);
    const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_READ,
                                                 .body = {writer.bytes, writer.size}};
    return world_ask(world, id, &head);
}

static uint64_t ask_member(struct world *world, pd_raft_node id, enum pd_replica_request_kind kind,
                           pd_raft_node node)
{
    const struct pd_replica_request_head head = {.kind = kind, .number = node};
    return world_ask(world, id, &head);
}

static struct pd_kv_answer_head head_of(const struct world_answer *answer,
                                        struct pd_kv_reader *reader)
{
    struct pd_kv_answer_head head;
    pd_kv_reader_init(reader, answer->body);
    pd_kv_answer_head(reader, &head);
    assert_false(reader->is_bad);
    return head;
}

static void assert_value(const struct world_answer *answer, const char *value)
{
    struct pd_kv_reader reader;
    struct pd_kv_record record;
    assert_int_equal(answer->outcome, PD_REPLICA_OK);
    assert_int_equal(head_of(answer, &reader).error, PD_KV_OK);
    bool is_there = pd_kv_answer_record(&reader, &record);
    assert_int_equal(is_there, value != NULL);
    if (value != NULL) {
        assert_int_equal(record.value.size, strlen(value));
        assert_memory_equal(record.value.bytes, value, record.value.size);
    }
}

static pd_raft_node other_than(pd_raft_node node, pd_raft_node also)
{
    for (pd_raft_node id = 1; id <= 3; id++) {
        if (id != node && id != also) {
            return id;
        }
    }
    return 0;
}

static void cut_off(struct world *world, pd_raft_node node, bool is_cut)
{
    for (pd_raft_node id = 1; id <= world->count; id++) {
        world->is_cut[node][id] = is_cut;
        world->is_cut[id][node] = is_cut;
    }
}

/* Until somebody else than `node` serves. */
static pd_raft_node elect_another(struct world *world, pd_raft_node node)
{
    for (uint32_t i = 0; i < 300; i++) {
        pd_raft_node leader = world_leader(world);
        if (leader != 0 && leader != node) {
            return leader;
        }
        world_tick(world);
    }
    fail_msg("nobody else leads after 300 ticks");
    return 0;
}

static struct world *three(uint64_t seed)
{
    struct world *world = world_open(3, 3, seed);
    world_start_all(world, 3);
    (void)world_elect(world);
    return world;
}

/* -- Outcomes ---------------------------------------------------------------------------------- */

static void an_answer_waits_for_the_log(void **state)
{
    (void)state;
    struct world *world = world_open(1, 1, 1);
    world_start_all(world, 1);
    pd_raft_node leader = world_elect(world);
    world_node(world, leader)->hold_log = true;
    uint64_t put = world_ask_put(world, leader, "k", span("v"));
    world_ticks(world, 3);
    assert_null(world_answer(world, put));
    assert_null(world_get(world, leader, "k"));
    world_node(world, leader)->hold_log = false;
    assert_int_equal(world_await(world, put)->outcome, PD_REPLICA_OK);
    world_crash(world, leader);
    world_start(world, leader);
    (void)world_elect(world);
    assert_string_equal(world_get(world, leader, "k"), "v");
    world_close(world);
}

static void a_follower_names_the_leader(void **state)
{
    (void)state;
    struct world *world = three(1);
    pd_raft_node leader = world_elect(world);
    const struct world_answer *answer =
        world_await(world, world_ask_put(world, other_than(leader, 0), "k", span("v")));
    assert_int_equal(answer->outcome, PD_REPLICA_NOT_LEADER);
    assert_int_equal(answer->leader, leader);
    world_close(world);
}

static void what_nobody_knows_is_told_as_that(void **state)
{
    (void)state;
    struct world *world = three(2);
    pd_raft_node old = world_elect(world);
    world_node(world, old)->config.request_ticks_max = 5;
    cut_off(world, old, true);
    uint64_t put = world_ask_put(world, old, "k", span("old"));
    for (uint32_t i = 0; i < 400 && world_answer(world, put) == NULL; i++) {
        world_tick(world);
    }
    assert_non_null(world_answer(world, put));
    /* It lies in that node's log and may yet be committed: no other word is right. */
    assert_int_equal(world_answer(world, put)->outcome, PD_REPLICA_UNKNOWN);
    world_close(world);
}

static void what_another_took_the_place_of_never_happens(void **state)
{
    (void)state;
    struct world *world = three(3);
    pd_raft_node old = world_elect(world);
    world_put(world, "k", "before");
    cut_off(world, old, true);
    uint64_t put = world_ask_put(world, old, "k", span("old"));
    pd_raft_node leader = elect_another(world, old);
    assert_int_equal(world_await(world, world_ask_put(world, leader, "k", span("new")))->outcome,
                     PD_REPLICA_OK);
    cut_off(world, old, false);
    assert_int_equal(world_await(world, put)->outcome, PD_REPLICA_DROPPED);
    assert_true(world_converges(world, 100));
    assert_string_equal(world_get(world, old, "k"), "new");
    world_close(world);
}

static void a_full_line_of_proposals_is_busy_and_recovers(void **state)
{
    (void)state;
    struct world *world = world_open(1, 1, 4);
    world_start_all(world, 1);
    pd_raft_node leader = world_elect(world);
    world_node(world, leader)->hold_log = true;
    uint32_t busy = 0;
    uint64_t last = 0;
    for (uint32_t i = 0; i < 600; i++) {
        uint64_t put = world_ask_put(world, leader, "k", span("v"));
        const struct world_answer *answer = world_answer(world, put);
        if (answer == NULL) {
            last = put;
        } else {
            assert_int_equal(answer->outcome, PD_REPLICA_BUSY);
            busy++;
        }
    }
    assert_true(busy > 0 && busy < 600);
    world_node(world, leader)->hold_log = false;
    assert_int_equal(world_await(world, last)->outcome, PD_REPLICA_OK);
    world_put(world, "k", "again");
    world_close(world);
}

static void a_small_window_with_large_values_never_sticks(void **state)
{
    (void)state;
    struct world *world = world_open(1, 1, 5);
    world_node(world, 1)->config.raft.log_bytes_max = 24000;
    world_node(world, 1)->config.flush_entries = 100000;
    world_node(world, 1)->config.log_retain_entries = 100000;
    world_start_all(world, 1);
    static uint8_t value[3000];
    for (uint32_t i = 0; i < 200; i++) {
        const struct pd_span bytes = {value, sizeof value};
        const struct world_answer *answer =
            world_await(world, world_ask_put(world, world_elect(world), "k", bytes));
        assert_true(answer->outcome == PD_REPLICA_OK || answer->outcome == PD_REPLICA_BUSY);
    }
    world_put(world, "k", "end");
    world_close(world);
}

static void refused_commands_are_answered_in_words(void **state)
{
    (void)state;
    struct world *world = world_open(1, 1, 6);
    world_start_all(world, 1);
    pd_raft_node leader = world_elect(world);
    struct pd_kv_reader reader;
    const struct world_answer *answer =
        world_await(world, world_ask_put(world, leader, "", span("v")));
    assert_int_equal(answer->outcome, PD_REPLICA_OK);
    assert_int_equal(head_of(answer, &reader).error, PD_KV_ERR_EMPTY_KEY);
    const enum pd_kv_command_kind own[] = {PD_KV_NOOP, PD_KV_LEASES_EXTEND, PD_KV_LEASE_EXPIRE,
                                           PD_KV_SESSION_EXPIRE};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        answer = world_await(
            world, ask_command(world, leader, &(struct pd_kv_command){.kind = own[i], .id = 1}));
        assert_int_equal(answer->outcome, PD_REPLICA_INVALID);
    }
    const struct pd_replica_request_head garbage = {.kind = PD_REPLICA_REQUEST_WRITE,
                                                    .body = span("\xff\xff\xff")};
    answer = world_await(world, world_ask(world, leader, &garbage));
    assert_int_equal(head_of(answer, &reader).error, PD_KV_ERR_MALFORMED);
    pd_replica_request(world_node(world, leader)->replica, 0, 1, 4711, (const uint8_t *)"", 1);
    world_loop(world, world_node(world, leader));
    assert_int_equal(world_answer(world, 4711)->outcome, PD_REPLICA_INVALID);
    world_close(world);
}

/* -- Reads ------------------------------------------------------------------------------------- */

static void a_cut_off_leader_answers_no_read(void **state)
{
    (void)state;
    struct world *world = three(7);
    pd_raft_node old = world_elect(world);
    world_put(world, "k", "old");
    cut_off(world, old, true);
    pd_raft_node leader = elect_another(world, old);
    assert_int_equal(world_await(world, world_ask_put(world, leader, "k", span("new")))->outcome,
                     PD_REPLICA_OK);
    uint64_t get = ask_get(world, old, "k");
    world_ticks(world, 20);
    assert_null(world_answer(world, get)); /* it cannot know, and waits */
    cut_off(world, old, false);
    assert_value(world_await(world, get), "new");
    world_close(world);
}

static void a_read_at_a_follower_waits_until_it_has_applied(void **state)
{
    (void)state;
    struct world *world = three(8);
    world_put(world, "k", "old");
    world_put_many(world, 100, 20, 20); /* the stores are flushed behind it */
    assert_true(world_converges(world, 50));
    pd_raft_node follower = other_than(world_elect(world), 0);
    /* After a restart no row is in memory: the next write of k waits for the store there. */
    world_crash(world, follower);
    world_start(world, follower);
    assert_true(world_converges(world, 100));
    world_node(world, follower)->hold_store = true;
    world_put(world, "k", "new");
    uint64_t get = ask_get(world, follower, "k");
    world_ticks(world, 3);
    assert_null(world_answer(world, get));
    world_node(world, follower)->hold_store = false;
    assert_value(world_await(world, get), "new");
    world_close(world);
}

static void a_read_of_now_is_not_too_old_for_a_compaction(void **state)
{
    (void)state;
    struct world *world = world_open(1, 1, 34);
    world_start_all(world, 1);
    for (uint32_t i = 0; i < 3; i++) {
        world_put(world, "k", "old");
    }
    world_put_many(world, 100, 20, 20);
    world_stop(world, 1, false);
    world_start(world, 1); /* no row is in memory: the read waits for the store */
    (void)world_elect(world);
    world_put(world, "other", "1");
    world_settle(world);
    world_node(world, 1)->hold_store = true;
    uint64_t get = ask_get(world, 1, "k");
    world_ticks(world, 2);
    assert_null(world_answer(world, get));
    world_put(world, "other", "2");
    const struct world_answer *compacted = world_await(
        world,
        ask_command(world, 1,
                    &(struct pd_kv_command){.kind = PD_KV_COMPACT,
                                            .revision = world_status(world, 1).kv.revision}));
    struct pd_kv_reader reader;
    assert_int_equal(head_of(compacted, &reader).error, PD_KV_OK);
    world_node(world, 1)->hold_store = false;
    assert_value(world_await(world, get), "old");
    world_close(world);
}

/* A follower whose disk stands still takes no more than one write can hold, and catches up. */
static void a_slow_disk_does_not_gather_without_bound(void **state)
{
    (void)state;
    struct world *world = world_open(3, 3, 35);
    for (pd_raft_node id = 1; id <= 3; id++) {
        world_node(world, id)->config.log_batch_bytes_max = 8192;
        world_node(world, id)->config.log_backlog_bytes_max = 8192;
    }
    world_start_all(world, 3);
    pd_raft_node follower = other_than(world_elect(world), 0);
    world_node(world, follower)->hold_log = true;
    static uint8_t value[4000];
    for (uint32_t i = 0; i < 120; i++) {
        const struct pd_span bytes = {value, sizeof value};
        assert_int_equal(
            world_await(world, world_ask_put(world, world_elect(world), "k", bytes))->outcome,
            PD_REPLICA_OK);
    }
    uint64_t dropped = world_status(world, follower).counters.messages_dropped;
    world_node(world, follower)->hold_log = false;
    assert_true(dropped > 0);
    assert_true(world_converges(world, 200));
    world_close(world);
}

static void many_reads_share_a_round(void **state)
{
    (void)state;
    struct world *world = three(9);
    pd_raft_node leader = world_elect(world);
    world_put(world, "k", "v");
    uint64_t before = world_status(world, leader).counters.read_rounds;
    uint64_t first = 0;
    uint64_t last = 0;
    for (uint32_t i = 0; i < 40; i++) {
        last = ask_get(world, leader, "k");
        first = first == 0 ? last : first;
    }
    for (uint64_t get = first; get <= last; get++) {
        assert_value(world_await(world, get), "v");
    }
    assert_true(world_status(world, leader).counters.read_rounds - before <= 2);
    world_close(world);
}

static void too_many_reads_are_busy_and_late_ones_are_told(void **state)
{
    (void)state;
    struct world *world = three(10);
    pd_raft_node old = world_elect(world);
    cut_off(world, old, true);
    uint64_t first = ask_get(world, old, "k");
    uint64_t last = first;
    for (uint32_t i = 0; i < 100; i++) {
        last = ask_get(world, old, "k");
    }
    assert_int_equal(world_await(world, last)->outcome, PD_REPLICA_BUSY);
    assert_int_equal(world_await(world, first)->outcome, PD_REPLICA_NOT_READY);
    cut_off(world, old, false);
    assert_true(world_converges(world, 100));
    assert_value(world_await(world, ask_get(world, old, "k")), NULL);
    world_close(world);
}

/* -- Exactly once ------------------------------------------------------------------------------ */

static uint64_t open_session(struct world *world)
{
    struct pd_kv_reader reader;
    const struct world_answer *answer =
        world_await(world, ask_command(world, world_elect(world),
                                       &(struct pd_kv_command){.kind = PD_KV_SESSION_OPEN,
                                                               .duration_ns = 1000 * SECOND}));
    assert_int_equal(answer->outcome, PD_REPLICA_OK);
    assert_int_equal(head_of(answer, &reader).error, PD_KV_OK);
    return (uint64_t)pd_kv_answer_number(&reader);
}

static uint64_t ask_in_session(struct world *world, pd_raft_node id, uint64_t session,
                               uint64_t sequence, const char *key, const char *value)
{
    uint8_t bytes[128];
    struct pd_kv_writer writer = {.bytes = bytes, .bytes_max = sizeof bytes};
    const struct pd_kv_put put = {.key = span(key), .value = span(value)};
    pd_kv_encode_put(&writer, &put);
    const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_WRITE,
                                                 .session = session,
                                                 .sequence = sequence,
                                                 .low = sequence,
                                                 .body = {writer.bytes, writer.size}};
    return world_ask(world, id, &head);
}

static void a_retry_at_a_new_leader_happens_once(void **state)
{
    (void)state;
    struct world *world = three(11);
    uint64_t session = open_session(world);
    pd_raft_node old = world_elect(world);
    uint64_t first = ask_in_session(world, old, session, 1, "k", "v");
    struct pd_kv_reader reader;
    int64_t revision = head_of(world_await(world, first), &reader).revision;
    world_crash(world, old);
    pd_raft_node leader = elect_another(world, old);
    const struct world_answer *again =
        world_await(world, ask_in_session(world, leader, session, 1, "k", "v"));
    assert_int_equal(head_of(again, &reader).error, PD_KV_OK);
    assert_int_equal(head_of(again, &reader).revision, revision);
    assert_int_equal(world_status(world, leader).kv.revision, revision);
    world_close(world);
}

/* -- Time -------------------------------------------------------------------------------------- */

static int64_t grant(struct world *world, int64_t ttl_s)
{
    struct pd_kv_reader reader;
    const struct world_answer *answer = world_await(
        world, ask_command(world, world_elect(world),
                           &(struct pd_kv_command){.kind = PD_KV_LEASE_GRANT, .ttl_s = ttl_s}));
    assert_int_equal(head_of(answer, &reader).error, PD_KV_OK);
    return pd_kv_answer_number(&reader);
}

static void put_with_lease(struct world *world, const char *key, int64_t lease)
{
    uint8_t bytes[128];
    struct pd_kv_writer writer = {.bytes = bytes, .bytes_max = sizeof bytes};
    const struct pd_kv_put put = {.key = span(key), .value = span("v"), .lease = lease};
    pd_kv_encode_put(&writer, &put);
    const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_WRITE,
                                                 .body = {writer.bytes, writer.size}};
    assert_int_equal(world_await(world, world_ask(world, world_elect(world), &head))->outcome,
                     PD_REPLICA_OK);
}

static void a_lease_ends_by_the_leaders_clock_and_not_before(void **state)
{
    (void)state;
    struct world *world = three(12);
    put_with_lease(world, "k", grant(world, 5));
    world_ticks(world, 45); /* of a tenth of a second */
    assert_string_equal(world_get(world, world_elect(world), "k"), "v");
    world_ticks(world, 10);
    assert_null(world_get(world, world_elect(world), "k"));
    assert_int_equal(world_status(world, world_elect(world)).kv.lease_count, 0);
    world_close(world);
}

static void a_new_leader_gives_leases_their_whole_time_again(void **state)
{
    (void)state;
    struct world *world = three(13);
    put_with_lease(world, "k", grant(world, 8));
    world_ticks(world, 60);
    pd_raft_node old = world_elect(world);
    world_crash(world, old);
    pd_raft_node leader = elect_another(world, old);
    world_ticks(world, 50); /* more than eight seconds since it was granted */
    assert_string_equal(world_get(world, leader, "k"), "v");
    world_ticks(world, 40);
    assert_null(world_get(world, leader, "k"));
    world_close(world);
}

static void hand_to(struct world *world, pd_raft_node to)
{
    pd_raft_node leader = world_elect(world);
    assert_int_equal(
        world_await(world, ask_member(world, leader, PD_REPLICA_REQUEST_TRANSFER, to))->outcome,
        PD_REPLICA_OK);
    assert_int_equal(world_leader(world), to); /* the answer waits for it */
}

static void a_leader_that_comes_back_begins_anew(void **state)
{
    (void)state;
    struct world *world = three(24);
    pd_raft_node first = world_elect(world);
    put_with_lease(world, "k", grant(world, 8));
    world_ticks(world, 10);
    hand_to(world, other_than(first, 0));
    world_ticks(world, 70);
    hand_to(world, first);
    world_ticks(world, 40); /* past what the other leader had given, not past what this one gives */
    assert_string_equal(world_get(world, first, "k"), "v");
    world_ticks(world, 60);
    assert_null(world_get(world, first, "k"));
    world_close(world);
}

static void history_is_compacted_by_itself(void **state)
{
    (void)state;
    for (uint32_t mode = 0; mode < 2; mode++) {
        struct world *world = world_open(3, 3, 14);
        for (pd_raft_node id = 1; id <= 3; id++) {
            struct pd_replica_config *config = &world_node(world, id)->config;
            config->compaction =
                mode == 0 ? PD_REPLICA_COMPACTION_PERIODIC : PD_REPLICA_COMPACTION_REVISION;
            config->compaction_retention_ns = 10 * SECOND;
            config->compaction_revisions = 30;
        }
        world_start_all(world, 3);
        world_put_many(world, 100, 10, 8);
        int64_t revision = world_status(world, world_elect(world)).kv.revision;
        world_ticks(world, 90);
        world_put(world, "later", "1");
        if (mode == 0) {
            /* Nine seconds are within what is kept. */
            assert_int_equal(world_status(world, world_elect(world)).kv.compacted_revision, 0);
        }
        world_ticks(world, 60);
        int64_t compacted = world_status(world, world_elect(world)).kv.compacted_revision;
        assert_true(compacted > 0);
        assert_true(mode == 0 ? compacted <= revision : compacted <= revision + 1 - 30);
        world_close(world);
    }
}

/* -- Disks ------------------------------------------------------------------------------------- */

static void a_leader_with_a_full_disk_hands_over(void **state)
{
    (void)state;
    struct world *world = three(15);
    pd_raft_node old = world_elect(world);
    pd_replica_disk_low(world_node(world, old)->replica, true);
    (void)elect_another(world, old);
    world_put(world, "k", "v");
    pd_replica_disk_low(world_node(world, old)->replica, false);
    assert_true(world_converges(world, 50));
    world_close(world);
}

static const struct world_answer *delete_key(struct world *world, pd_raft_node id, const char *key)
{
    uint8_t bytes[64];
    struct pd_kv_writer writer = {.bytes = bytes, .bytes_max = sizeof bytes};
    pd_kv_encode_delete(&writer, &(struct pd_kv_delete){.key = span(key)});
    const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_WRITE,
                                                 .body = {writer.bytes, writer.size}};
    return world_await(world, world_ask(world, id, &head));
}

static void a_full_disk_alone_takes_what_frees_space(void **state)
{
    (void)state;
    struct world *world = world_open(1, 1, 16);
    world_start_all(world, 1);
    put_with_lease(world, "leased", grant(world, 3));
    world_put(world, "k", "v");
    struct pd_replica *replica = world_node(world, 1)->replica;
    pd_replica_disk_low(replica, true);
    assert_int_equal(world_await(world, world_ask_put(world, 1, "k", span("w")))->outcome,
                     PD_REPLICA_DISK_LOW);
    assert_int_equal(delete_key(world, 1, "k")->outcome, PD_REPLICA_OK);
    int64_t revision = world_status(world, 1).kv.revision;
    struct pd_kv_reader reader;
    const struct world_answer *compacted = world_await(
        world, ask_command(world, 1,
                           &(struct pd_kv_command){.kind = PD_KV_COMPACT, .revision = revision}));
    assert_int_equal(head_of(compacted, &reader).error, PD_KV_OK);
    world_ticks(world, 40);
    assert_null(world_get(world, 1, "leased"));
    pd_replica_disk_low(replica, false);
    world_put(world, "k", "w");
    world_close(world);
}

/* A log that is full waits for a cut, and a cut for a store that had no reason to hurry (seed
 * 7043). */
static void a_low_disk_lets_the_log_go(void **state)
{
    (void)state;
    struct world *world = world_open(1, 1, 18);
    world_node(world, 1)->config.flush_entries = 100000;
    world_node(world, 1)->config.log_retain_entries = 100000;
    world_start_all(world, 1);
    world_put_many(world, 200, 20, 50);
    struct pd_replica *replica = world_node(world, 1)->replica;
    assert_true(world_status(world, 1).raft.first_index < 10);
    pd_replica_disk_low(replica, true);
    world_ticks(world, 2);
    uint64_t first = world_status(world, 1).raft.first_index;
    assert_true(first > 200);

    /* What comes while it stays low goes too. */
    for (uint32_t i = 0; i < 20; i++) {
        const struct world_answer *answer = delete_key(world, 1, "k");
        assert_int_equal(answer->outcome, PD_REPLICA_OK);
    }
    world_ticks(world, 65 * world_node(world, 1)->config.raft.election_ticks);
    assert_true(world_status(world, 1).raft.first_index >= first + 20);
    pd_replica_disk_low(replica, false);
    world_put(world, "k", "w");
    world_close(world);
}

static void a_store_that_lags_is_caught_up_from_the_log(void **state)
{
    (void)state;
    for (uint64_t seed = 20; seed < 30; seed++) {
        struct world *world = world_open(1, 1, seed);
        world_start_all(world, 1);
        for (uint32_t life = 0; life < 5; life++) {
            char value[32];
            (void)snprintf(value, sizeof value, "%u", life);
            world_put_many(world, 37, 20, 50);
            world_put(world, "life", value);
            uint64_t applied = world_status(world, 1).kv.applied_index;
            world_crash(world, 1);
            world_start(world, 1);
            (void)world_elect(world);
            assert_true(world_status(world, 1).kv.applied_index >= applied);
            assert_string_equal(world_get(world, 1, "life"), value);
        }
        world_close(world);
    }
}

/* A majority without it has the entries: it applies them, and its log is still being written. */
static void a_store_is_never_ahead_of_its_own_log(void **state)
{
    (void)state;
    struct world *world = world_open(3, 3, 36);
    for (pd_raft_node id = 1; id <= 3; id++) {
        world_node(world, id)->config.raft.apply_unstable = true;
    }
    world_start_all(world, 3);
    world_put(world, "k", "0");
    assert_true(world_converges(world, 50));
    pd_raft_node follower = other_than(world_elect(world), 0);
    world_node(world, follower)->hold_log = true;
    for (uint32_t i = 1; i < 8; i++) {
        char value[16];
        (void)snprintf(value, sizeof value, "%u", i);
        world_put(world, "k", value);
    }
    world_ticks(world, 2);
    struct pd_replica_status status = world_status(world, follower);
    assert_true(status.kv.applied_index > status.raft.stable_index);
    assert_true(status.kv.visible_index <= status.raft.stable_index);
    /* Whatever the store was given outlives the crash. */
    struct pd_store *store = world_node(world, follower)->store;
    assert_int_equal(store->ops->flush(store), PD_OK);
    world_crash(world, follower);
    world_start(world, follower);
    assert_true(world_converges(world, 100));
    assert_string_equal(world_get(world, follower, "k"), "7");
    world_close(world);
}

/* Flip one bit of a live value in a store that is at rest. */
static void rot(struct world_node *node, const char *value)
{
    static uint8_t bytes[1 << 18];
    struct pd_store_page page = {.bytes = bytes, .bytes_max = sizeof bytes};
    struct pd_store *store = node->store;
    assert_int_equal(store->ops->scan(store, span("x"), span("y"), false, &page), PD_OK);
    size_t size = strlen(value);
    for (size_t at = 0; at + 8 <= page.size;) {
        struct pd_store_write write = {
            PD_STORE_PUT,
            {bytes + at + 8, pd_get_u32(bytes + at)},
            {bytes + at + 8 + pd_get_u32(bytes + at), pd_get_u32(bytes + at + 4)}};
        if (write.value.size >= size &&
            memcmp(write.value.bytes + write.value.size - size, value, size) == 0) {
            bytes[at + 8 + write.key.size + write.value.size - 1] ^= 1;
            assert_int_equal(store->ops->apply(store, &write, 1, store->ops->applied_index(store)),
                             PD_OK);
            assert_int_equal(store->ops->flush(store), PD_OK);
            return;
        }
        at += 8 + write.key.size + write.value.size;
    }
    fail_msg("no row holds '%s'", value);
}

static void a_start_compares_the_rows_with_their_hash(void **state)
{
    (void)state;
    for (uint32_t rots = 0; rots < 2; rots++) {
        struct world *world = world_open(1, 1, 33);
        world_start_all(world, 1);
        world_put(world, "precious", "never to be changed");
        world_put_many(world, 100, 30, 40);
        world_stop(world, 1, false);
        if (rots == 1) {
            rot(world_node(world, 1), "never to be changed");
        }
        world_start(world, 1);
        world_ticks(world, 30);
        assert_int_equal(world_node(world, 1)->is_fatal, rots == 1);
        assert_int_equal(pd_replica_store_is_damaged(world_node(world, 1)->replica), rots == 1);
        if (rots == 0) {
            assert_int_equal(world_status(world, 1).counters.verifications, 1);
        }
        world_close(world);
    }
}

/* -- Membership -------------------------------------------------------------------------------- */

static void a_member_comes_and_another_goes(void **state)
{
    (void)state;
    struct world *world = world_open(4, 3, 17);
    world_start_all(world, 4);
    pd_raft_node leader = world_elect(world);
    world_put_many(world, 60, 20, 40);
    assert_int_equal(
        world_await(world, ask_member(world, leader, PD_REPLICA_REQUEST_PROMOTE, 4))->outcome,
        PD_REPLICA_INVALID);
    assert_int_equal(
        world_await(world, ask_member(world, leader, PD_REPLICA_REQUEST_ADD_LEARNER, 4))->outcome,
        PD_REPLICA_OK);
    assert_int_equal(
        world_await(world, ask_member(world, leader, PD_REPLICA_REQUEST_ADD_LEARNER, 4))->outcome,
        PD_REPLICA_INVALID);
    enum pd_replica_outcome outcome = PD_REPLICA_BUSY;
    for (uint32_t i = 0; i < 100 && outcome == PD_REPLICA_BUSY; i++) {
        world_tick(world);
        outcome =
            world_await(world, ask_member(world, leader, PD_REPLICA_REQUEST_PROMOTE, 4))->outcome;
    }
    assert_int_equal(outcome, PD_REPLICA_OK);
    pd_raft_node gone = other_than(leader, 0);
    assert_int_equal(
        world_await(world, ask_member(world, leader, PD_REPLICA_REQUEST_REMOVE, gone))->outcome,
        PD_REPLICA_OK);
    world_stop(world, gone, false);
    /* The configuration is that of a restarted node, too. */
    world_crash(world, 4);
    world_start(world, 4);
    assert_true(world_converges(world, 100));
    assert_int_equal(world_status(world, 4).raft.conf.voter_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_not_equal(world_status(world, 4).raft.conf.voters[i], gone);
    }
    world_crash(world, leader);
    (void)elect_another(world, leader); /* two of three are left */
    world_close(world);
}

/* What it proposed when it was cut off is gone from its log, and in nobody's way when it leads
 * again. */
static void a_change_that_was_lost_is_not_under_way(void **state)
{
    (void)state;
    struct world *world = three(28);
    pd_raft_node old = world_elect(world);
    uint8_t row[PD_KV_MEMBER_BYTES_MAX];
    uint8_t room[PD_KV_MEMBER_BYTES_MAX + 64];
    struct pd_kv_member member = {.key = {7}};
    struct pd_kv_writer inner = {.bytes = row, .bytes_max = sizeof row};
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    pd_kv_member_encode(&inner, &member);
    pd_kv_command_encode(&writer,
                         &(struct pd_kv_command){.kind = PD_KV_MEMBER_PUT,
                                                 .id = (int64_t)pd_members_node_of(member.key),
                                                 .bytes = {row, inner.size}});
    const struct pd_replica_request_head put = {.kind = PD_REPLICA_REQUEST_WRITE,
                                                .body = {room, writer.size}};
    cut_off(world, old, true);
    for (uint32_t i = 0; i < 30; i++) {
        (void)world_ask_put(world, old, "k", span("lost"));
        world_settle(world);
    }
    uint64_t lost = world_ask(world, old, &put);
    (void)elect_another(world, old);
    cut_off(world, old, false);
    assert_int_not_equal(world_await(world, lost)->outcome, PD_REPLICA_OK);
    hand_to(world, old);
    assert_int_equal(world_await(world, world_ask(world, old, &put))->outcome, PD_REPLICA_OK);
    assert_int_equal(
        world_await(world, ask_member(world, old, PD_REPLICA_REQUEST_REMOVE, other_than(old, 0)))
            ->outcome,
        PD_REPLICA_OK);
    world_close(world);
}

static void a_learner_without_a_log_is_not_promoted(void **state)
{
    (void)state;
    struct world *world = world_open(4, 3, 18);
    world_start_all(world, 3);
    pd_raft_node leader = world_elect(world);
    assert_int_equal(
        world_await(world, ask_member(world, leader, PD_REPLICA_REQUEST_ADD_LEARNER, 4))->outcome,
        PD_REPLICA_OK);
    assert_int_equal(
        world_await(world, ask_member(world, leader, PD_REPLICA_REQUEST_PROMOTE, 4))->outcome,
        PD_REPLICA_BUSY);
    world_close(world);
}

static void the_last_voter_stays(void **state)
{
    (void)state;
    struct world *world = world_open(1, 1, 19);
    world_start_all(world, 1);
    pd_raft_node leader = world_elect(world);
    assert_int_equal(
        world_await(world, ask_member(world, leader, PD_REPLICA_REQUEST_REMOVE, 1))->outcome,
        PD_REPLICA_INVALID);
    assert_int_equal(
        world_await(world, ask_member(world, leader, PD_REPLICA_REQUEST_TRANSFER, 0))->outcome,
        PD_REPLICA_INVALID);
    world_close(world);
}

static void a_lead_that_was_handed_over_serves_no_more(void **state)
{
    (void)state;
    struct world *world = three(21);
    world_put(world, "k", "old");
    pd_raft_node old = world_elect(world);
    assert_int_equal(
        world_await(world, ask_member(world, old, PD_REPLICA_REQUEST_TRANSFER, 0))->outcome,
        PD_REPLICA_OK);
    pd_raft_node leader = elect_another(world, old);
    assert_int_equal(world_await(world, world_ask_put(world, leader, "k", span("new")))->outcome,
                     PD_REPLICA_OK);
    assert_false(world_status(world, old).serves_writes);
    assert_false(pd_replica_may_read_now(world_node(world, old)->replica, world->now_ns));
    assert_int_equal(world_await(world, world_ask_put(world, old, "k", span("older")))->outcome,
                     PD_REPLICA_NOT_LEADER);
    world_close(world);
}

static void the_status_is_json(void **state)
{
    (void)state;
    struct world *world = world_open(1, 1, 22);
    world_start_all(world, 1);
    (void)world_elect(world);
    const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_STATUS};
    const struct world_answer *answer = world_await(world, world_ask(world, 1, &head));
    assert_int_equal(answer->outcome, PD_REPLICA_OK);
    char text[2048] = {0};
    memcpy(text, answer->body.bytes, answer->body.size);
    assert_non_null(strstr(text, "\"role\":\"leader\""));
    /* More than half of all ids do not fit into a double: they are texts. */
    assert_non_null(strstr(text, "\"node\":\"0000000000000001\""));
    assert_non_null(strstr(text, "\"leader\":\"0000000000000001\""));
    assert_non_null(strstr(text, "\"voters\":[\"0000000000000001\"]"));
    world_close(world);
}

static uint32_t messages_to(const struct world *world, pd_raft_node to)
{
    uint32_t count = 0;
    for (const struct world_message *at = world->first; at != NULL; at = at->next) {
        count += at->to == to ? 1 : 0;
    }
    return count;
}

/* What is proposed between two looks at raft goes to each follower at once, and is answered at
 * once. */
static void puts_that_come_together_travel_together(void **state)
{
    (void)state;
    enum {
        PUTS = 40
    };
    struct world *world = world_open(3, 3, 91);
    world_start_all(world, 3);
    pd_raft_node leader = world_elect(world);
    world_put(world, "before", "1");
    world_settle(world);
    struct world_node *node = world_node(world, leader);
    uint64_t first = world->correlation + 1;
    uint8_t bytes[256];
    const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_WRITE};
    pd_replica_request_put_head(bytes, &head);
    for (uint32_t i = 0; i < PUTS; i++) {
        char key[16];
        int size = snprintf(key, sizeof key, "key-%02u", (unsigned)i);
        struct pd_kv_writer writer = {.bytes = bytes + PD_REPLICA_REQUEST_HEAD_SIZE,
                                      .bytes_max = sizeof bytes - PD_REPLICA_REQUEST_HEAD_SIZE};
        const struct pd_kv_put put = {.key = {(const uint8_t *)key, (size_t)size},
                                      .value = {(const uint8_t *)"v", 1}};
        pd_kv_encode_put(&writer, &put);
        assert_false(writer.is_full);
        pd_replica_request(node->replica, world->now_ns, 1, ++world->correlation, bytes,
                           PD_REPLICA_REQUEST_HEAD_SIZE + writer.size);
    }
    world_loop(world, node);
    for (pd_raft_node id = 1; id <= 3; id++) {
        assert_in_range(messages_to(world, id), id == leader ? 0 : 1, id == leader ? 0 : 2);
    }
    for (uint32_t i = 0; i < PUTS; i++) {
        assert_int_equal(world_await(world, first + i)->outcome, PD_REPLICA_OK);
    }
    assert_true(world_converges(world, 20));
    for (pd_raft_node id = 1; id <= 3; id++) {
        assert_string_equal(world_get(world, id, "key-39"), "v");
    }
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_waits_for_the_log),
        cmocka_unit_test(puts_that_come_together_travel_together),
        cmocka_unit_test(a_follower_names_the_leader),
        cmocka_unit_test(what_nobody_knows_is_told_as_that),
        cmocka_unit_test(what_another_took_the_place_of_never_happens),
        cmocka_unit_test(a_full_line_of_proposals_is_busy_and_recovers),
        cmocka_unit_test(a_small_window_with_large_values_never_sticks),
        cmocka_unit_test(refused_commands_are_answered_in_words),
        cmocka_unit_test(a_cut_off_leader_answers_no_read),
        cmocka_unit_test(a_read_at_a_follower_waits_until_it_has_applied),
        cmocka_unit_test(a_read_of_now_is_not_too_old_for_a_compaction),
        cmocka_unit_test(a_slow_disk_does_not_gather_without_bound),
        cmocka_unit_test(many_reads_share_a_round),
        cmocka_unit_test(too_many_reads_are_busy_and_late_ones_are_told),
        cmocka_unit_test(a_retry_at_a_new_leader_happens_once),
        cmocka_unit_test(a_lease_ends_by_the_leaders_clock_and_not_before),
        cmocka_unit_test(a_new_leader_gives_leases_their_whole_time_again),
        cmocka_unit_test(a_leader_that_comes_back_begins_anew),
        cmocka_unit_test(history_is_compacted_by_itself),
        cmocka_unit_test(a_leader_with_a_full_disk_hands_over),
        cmocka_unit_test(a_full_disk_alone_takes_what_frees_space),
        cmocka_unit_test(a_low_disk_lets_the_log_go),
        cmocka_unit_test(a_store_that_lags_is_caught_up_from_the_log),
        cmocka_unit_test(a_store_is_never_ahead_of_its_own_log),
        cmocka_unit_test(a_start_compares_the_rows_with_their_hash),
        cmocka_unit_test(a_member_comes_and_another_goes),
        cmocka_unit_test(a_change_that_was_lost_is_not_under_way),
        cmocka_unit_test(a_learner_without_a_log_is_not_promoted),
        cmocka_unit_test(the_last_voter_stays),
        cmocka_unit_test(a_lead_that_was_handed_over_serves_no_more),
        cmocka_unit_test(the_status_is_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
