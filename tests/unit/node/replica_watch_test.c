/* Watches through whole replicas: what a client is told, over crashes, snapshots and its own
 * slowness, is each event of its range, once and in order. */
#include "base/sometimes.h"
#include "node/replica_watch.h"
#include "node/replica_world.h"
#include "support/seed.h"

#define TRUTHS 6000u

/* What was written, as its answers told: one put for each revision. */
struct truth {
    int64_t revision;
    char key[16];
};
static struct truth truths[TRUTHS];
static uint32_t truth_count;

/* A client with one watch of [low, high). */
struct watcher {
    pd_raft_node node;
    uint64_t correlation;
    uint32_t looked; /* answers */
    bool is_created;
    bool is_ended;
    char low[16];
    char high[16];
    uint32_t cursor; /* truths before it were told */
    int64_t through;
    uint32_t answers;
    uint64_t bytes;  /* of events and progress, since the watch was made */
    uint64_t untold; /* of them, not given back as credit */
    uint32_t progress;
    int64_t compact_revision;
};

static struct pd_span text(const char *given)
{
    return (struct pd_span){(const uint8_t *)given, strlen(given)};
}

static void watch(struct world *world, struct watcher *watcher, pd_raft_node node, uint32_t credit,
                  bool from_now)
{
    uint8_t room[256];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    const struct pd_replica_watch_request request = {
        .key = text(watcher->low),
        .range_end = text(watcher->high),
        .start_revision = from_now ? 0 : watcher->through + 1,
        .credit = credit,
    };
    pd_replica_watch_request_put(&writer, &request);
    const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_WATCH,
                                                 .body = {room, writer.size}};
    watcher->node = node;
    watcher->is_created = false;
    watcher->is_ended = false;
    watcher->bytes = 0;
    watcher->untold = 0;
    watcher->looked = world->answer_count;
    watcher->correlation = world_ask(world, node, &head);
}

static void grant(struct world *world, struct watcher *watcher, uint32_t credit, bool progress)
{
    uint8_t room[64];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    const struct pd_replica_watch_credit more = {.credit = credit, .wants_progress = progress};
    pd_replica_watch_credit_put(&writer, &more);
    const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_WATCH_CREDIT,
                                                 .number = watcher->correlation,
                                                 .body = {room, writer.size}};
    uint64_t asked = world_ask(world, watcher->node, &head);
    assert_null(world_answer(world, asked));
}

static bool is_watched(const struct watcher *watcher, const struct truth *truth)
{
    if (watcher->high[0] == 0) {
        return strcmp(watcher->low, truth->key) == 0;
    }
    return strcmp(watcher->low, truth->key) <= 0 && strcmp(truth->key, watcher->high) < 0;
}

static uint32_t expected(const struct watcher *watcher)
{
    uint32_t at = watcher->cursor;
    while (at < truth_count && !is_watched(watcher, &truths[at])) {
        at++;
    }
    return at;
}

static void take(struct watcher *watcher, const struct world_answer *answer)
{
    struct pd_kv_reader reader;
    struct pd_replica_watch_head head;
    struct pd_kv_event event;
    pd_kv_reader_init(&reader, answer->body);
    pd_replica_watch_head_get(&reader, &head);
    assert_false(watcher->is_ended);
    if (answer->outcome != PD_REPLICA_OK) {
        assert_int_equal(answer->outcome, PD_REPLICA_CANCELLED);
        assert_int_equal(head.kind, PD_REPLICA_WATCH_CANCELLED);
        assert_true(head.reason.size > 0);
        watcher->is_ended = true;
        watcher->compact_revision = head.compact_revision;
        return;
    }
    assert_int_equal(head.kind == PD_REPLICA_WATCH_CREATED, !watcher->is_created);
    watcher->is_created = true;
    while (pd_replica_watch_event_get(&reader, &event)) {
        uint32_t at = expected(watcher);
        assert_true(at < truth_count);
        assert_int_equal(event.record.mod_revision, truths[at].revision);
        assert_int_equal(event.record.key.size, strlen(truths[at].key));
        assert_memory_equal(event.record.key.bytes, truths[at].key, event.record.key.size);
        watcher->cursor = at + 1;
    }
    assert_true(pd_kv_answer_is_whole(&reader));
    if (head.kind == PD_REPLICA_WATCH_CREATED) {
        return;
    }
    watcher->answers++;
    watcher->bytes += answer->body.size;
    watcher->untold += answer->body.size;
    watcher->progress += head.kind == PD_REPLICA_WATCH_PROGRESS;
    watcher->through = head.is_fragment ? watcher->through : head.through_revision;
    uint32_t next = expected(watcher);
    assert_true(next == truth_count || truths[next].revision > watcher->through);
}

/* Take in what came. */
static void look(struct world *world, struct watcher *watcher)
{
    for (; watcher->looked < world->answer_count; watcher->looked++) {
        const struct world_answer *answer = &world->answers[watcher->looked];
        if (answer->correlation == watcher->correlation) {
            take(watcher, answer);
        }
    }
}

/* The answers that all have looked at go, so that the world's room lasts. */
static void forget_answers(struct world *world)
{
    for (uint32_t i = 0; i < world->answer_count; i++) {
        free(world->answers[i].bytes);
    }
    world->answer_count = 0;
}

/* A write that is done, and noted. */
static void put(struct world *world, const char *key, size_t size)
{
    static uint8_t value[4000];
    pd_raft_node leader = world_elect(world);
    uint64_t asked = world_ask_put(world, leader, key, (struct pd_span){value, size});
    const struct world_answer *answer = world_await(world, asked);
    assert_int_equal(answer->outcome, PD_REPLICA_OK);
    struct pd_kv_reader reader;
    struct pd_kv_answer_head head;
    pd_kv_reader_init(&reader, answer->body);
    pd_kv_answer_head(&reader, &head);
    assert_int_equal(head.error, PD_KV_OK);
    assert_true(truth_count < TRUTHS);
    struct truth *truth = &truths[truth_count++];
    truth->revision = head.revision;
    snprintf(truth->key, sizeof truth->key, "%s", key);
}

static void put_random(struct world *world, size_t size)
{
    char key[16];
    snprintf(key, sizeof key, "k%02u", (unsigned)pd_random_below(&world->random, 20));
    put(world, key, size);
}

static struct world *start(uint32_t nodes, uint64_t seed)
{
    struct world *world = world_open(nodes, nodes, seed);
    truth_count = 0;
    world_start_all(world, nodes);
    (void)world_elect(world);
    return world;
}

/* -- Cases ------------------------------------------------------------------------------------- */

static void a_watch_goes_on_elsewhere_when_its_node_crashes(void **state)
{
    (void)state;
    struct pd_random random = test_random("crashes");
    uint32_t crashes = 0;
    for (uint32_t round = 0; round < 6; round++) {
        struct world *world = start(3, pd_random_next(&random));
        struct watcher watchers[3] = {
            {.low = "k00", .high = "k99"}, {.low = "k05", .high = "k12"}, {.low = "k07"}};
        for (uint32_t i = 0; i < 3; i++) {
            watchers[i].through = 1;
            watch(world, &watchers[i], i + 1, 1 << 20, false);
        }
        for (uint32_t step = 0; step < 120; step++) {
            put_random(world, 20);
            if (step % 10 == 9) {
                pd_raft_node victim = 1 + (pd_raft_node)pd_random_below(&random, 3);
                for (uint32_t i = 0; i < 3; i++) {
                    look(world, &watchers[i]);
                }
                world_stop(world, victim, pd_random_below(&random, 2) == 0);
                crashes++;
                put_random(world, 20);
                world_start(world, victim);
                for (uint32_t i = 0; i < 3; i++) {
                    if (watchers[i].node == victim) {
                        look(world, &watchers[i]);
                        pd_raft_node to = 1 + (pd_raft_node)pd_random_below(&random, 3);
                        world_ticks(world, 3);
                        watch(world, &watchers[i], to, 1 << 20, false);
                    }
                }
            }
            world_tick(world);
        }
        assert_true(world_converges(world, 100));
        for (uint32_t i = 0; i < 3; i++) {
            look(world, &watchers[i]);
            assert_true(watchers[i].is_created);
            assert_int_equal(expected(&watchers[i]), truth_count);
        }
        world_close(world);
    }
    assert_int_equal(crashes, 72);
}

static void a_slow_client_holds_up_itself_alone(void **state)
{
    (void)state;
    static uint64_t hits[PD_SOMETIMES_COUNT];
    pd_sometimes_hits = hits;
    struct world *world = start(1, 7);
    struct watcher slow = {.low = "k00", .high = "k99", .through = 1};
    struct watcher fast = slow;
    watch(world, &slow, 1, 500, false);
    watch(world, &fast, 1, UINT32_MAX, false);
    for (uint32_t i = 0; i < 800; i++) {
        put_random(world, 300);
        look(world, &slow);
        look(world, &fast);
        assert_int_equal(expected(&fast), truth_count);
        forget_answers(world);
        slow.looked = 0;
        fast.looked = 0;
    }
    /* 500 bytes, overdrawn by one answer at most. */
    assert_in_range(slow.answers, 1, 2);
    assert_true(slow.bytes < 500 + 500);
    assert_int_equal(hits[PD_SOMETIMES_KV_WATCH_FELL_BEHIND], 1);
    /* It goes on wherever it stood, while writes go on. */
    for (uint32_t i = 0; i < 400 && expected(&slow) < truth_count; i++) {
        uint32_t answers = slow.answers;
        grant(world, &slow, (uint32_t)slow.untold, false);
        slow.untold = 0;
        if (i < 100) {
            put_random(world, 300);
        }
        world_settle(world);
        look(world, &slow);
        assert_true(slow.answers > answers);
        forget_answers(world);
        slow.looked = 0;
    }
    assert_int_equal(expected(&slow), truth_count);
    assert_true(hits[PD_SOMETIMES_KV_WATCH_CAUGHT_UP] > 0);
    pd_sometimes_hits = NULL;
    world_close(world);
}

static void cut_off(struct world *world, pd_raft_node id, bool is_cut)
{
    for (uint32_t i = 1; i <= world->count; i++) {
        world->is_cut[i][id] = is_cut;
        world->is_cut[id][i] = is_cut;
    }
}

static void a_snapshot_ends_the_watches_of_the_state_before_it(void **state)
{
    (void)state;
    struct world *world = start(3, 11);
    struct watcher watcher = {.low = "k00", .high = "k99", .through = 1};
    pd_raft_node follower = world_elect(world) % 3 + 1;
    for (uint32_t i = 0; i < 10; i++) {
        put_random(world, 20);
    }
    assert_true(world_converges(world, 50));
    watch(world, &watcher, follower, 1 << 20, false);
    world_settle(world);
    look(world, &watcher);
    assert_int_equal(expected(&watcher), truth_count);
    cut_off(world, follower, true);
    world_miss(world);
    for (uint32_t i = 0; i < 200; i++) {
        put_random(world, 20);
    }
    cut_off(world, follower, false);
    assert_true(world_converges(world, 200));
    assert_int_equal(world_status(world, follower).counters.snapshots_installed, 1);
    look(world, &watcher);
    assert_true(watcher.is_ended);
    assert_int_equal(watcher.compact_revision, 0);
    assert_true(expected(&watcher) < truth_count);
    watch(world, &watcher, follower, 1 << 20, false);
    world_settle(world);
    put_random(world, 20);
    assert_true(world_converges(world, 50));
    look(world, &watcher);
    assert_int_equal(expected(&watcher), truth_count);
    world_close(world);
}

static void what_is_compacted_ends_a_watch(void **state)
{
    (void)state;
    struct world *world = start(1, 3);
    for (uint32_t i = 0; i < 30; i++) {
        put_random(world, 20);
    }
    uint8_t room[64];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    const struct pd_kv_command command = {.kind = PD_KV_COMPACT, .revision = 20};
    pd_kv_command_encode(&writer, &command);
    const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_WRITE,
                                                 .body = {room, writer.size}};
    assert_int_equal(world_await(world, world_ask(world, 1, &head))->outcome, PD_REPLICA_OK);
    struct watcher below = {.low = "k00", .high = "k99", .through = 18};
    struct watcher at = {.low = "k00", .high = "k99", .through = 19};
    watch(world, &below, 1, 0, false);
    watch(world, &at, 1, 1 << 20, false);
    at.cursor = 18; /* revision 20 */
    world_settle(world);
    look(world, &below);
    look(world, &at);
    assert_true(below.is_created);
    assert_true(below.is_ended);
    assert_int_equal(below.compact_revision, 20);
    assert_false(at.is_ended);
    assert_int_equal(expected(&at), truth_count);
    world_close(world);
}

static enum pd_replica_outcome ask(struct world *world, uint64_t client, uint64_t correlation,
                                   enum pd_replica_request_kind kind, uint64_t number,
                                   struct pd_span body)
{
    uint8_t bytes[512];
    const struct pd_replica_request_head head = {.kind = kind, .number = number};
    assert_true(PD_REPLICA_REQUEST_HEAD_SIZE + body.size <= sizeof bytes);
    pd_replica_request_put_head(bytes, &head);
    if (body.size > 0) {
        memcpy(bytes + PD_REPLICA_REQUEST_HEAD_SIZE, body.bytes, body.size);
    }
    uint32_t before = world->answer_count;
    pd_replica_request(world->nodes[0].replica, 0, client, correlation, bytes,
                       PD_REPLICA_REQUEST_HEAD_SIZE + body.size);
    world_loop(world, &world->nodes[0]);
    const struct world_answer *answer = NULL;
    for (uint32_t i = before; i < world->answer_count; i++) {
        if (world->answers[i].client == client && world->answers[i].correlation == correlation) {
            answer = &world->answers[i];
        }
    }
    return answer == NULL ? PD_REPLICA_OUTCOME_COUNT : answer->outcome;
}

static struct pd_span watch_body(const char *key, const char *end, uint8_t room[128])
{
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = 128};
    const struct pd_replica_watch_request request = {
        .key = text(key), .range_end = text(end), .credit = 1000};
    pd_replica_watch_request_put(&writer, &request);
    assert_false(writer.is_full);
    return (struct pd_span){room, writer.size};
}

static void requests_are_refused_with_an_outcome(void **state)
{
    (void)state;
    struct world *world = start(1, 5);
    uint8_t room[128];
    struct pd_span body = watch_body("a", "", room);
    const struct pd_span none = {NULL, 0};
    const enum pd_replica_request_kind make = PD_REPLICA_REQUEST_WATCH;
    const enum pd_replica_request_kind end = PD_REPLICA_REQUEST_UNWATCH;
    assert_int_equal(ask(world, 9, 1, make, 0, none), PD_REPLICA_INVALID);
    assert_int_equal(ask(world, 9, 1, PD_REPLICA_REQUEST_WATCH_CREDIT, 1, none),
                     PD_REPLICA_INVALID);
    assert_int_equal(ask(world, 9, 1, end, 1, none), PD_REPLICA_INVALID);
    assert_int_equal(ask(world, 9, 1, make, 0, body), PD_REPLICA_OK);
    /* Names are of one client. */
    assert_int_equal(ask(world, 8, 2, end, 1, none), PD_REPLICA_INVALID);
    assert_int_equal(ask(world, 8, 1, make, 0, body), PD_REPLICA_OK);
    assert_int_equal(ask(world, 9, 2, end, 1, none), PD_REPLICA_OK);
    const struct world_answer *ended = &world->answers[world->answer_count - 2];
    assert_int_equal(ended->correlation, 1);
    assert_int_equal(ended->outcome, PD_REPLICA_CANCELLED);
    /* The same name again: neither lives. */
    assert_int_equal(ask(world, 8, 1, make, 0, body), PD_REPLICA_INVALID);
    assert_int_equal(ask(world, 8, 2, end, 1, none), PD_REPLICA_INVALID);
    assert_int_equal(ask(world, 8, 1, make, 0, watch_body("b", "b", room)), PD_REPLICA_INVALID);
    char long_key[80];
    memset(long_key, 'x', sizeof long_key);
    long_key[65] = 0;
    assert_int_equal(ask(world, 8, 1, make, 0, watch_body(long_key, "", room)), PD_REPLICA_INVALID);
    /* A client that is gone leaves its room. */
    body = watch_body("a", "", room);
    for (uint32_t turn = 0; turn < 3; turn++) {
        for (uint64_t i = 0; i < 64; i++) {
            assert_int_equal(ask(world, 10 + i % 3, 100 + i, make, 0, body), PD_REPLICA_OK);
        }
        assert_int_equal(ask(world, 20, 1, make, 0, body), PD_REPLICA_BUSY);
        for (uint64_t client = 10; client < 13; client++) {
            pd_replica_client_gone(world->nodes[0].replica, client);
        }
    }
    put(world, "a", 10);
    assert_int_equal(world_answer(world, 100)->outcome, PD_REPLICA_OK);
    world_close(world);
}

/* Three quarters of the watches, and of the room for their keys: what is left is for others. */
static void one_client_does_not_take_all(void **state)
{
    (void)state;
    struct world *world = start(1, 5);
    uint8_t room[128];
    const struct pd_span body = watch_body("a", "", room);
    const enum pd_replica_request_kind make = PD_REPLICA_REQUEST_WATCH;
    const enum pd_replica_request_kind end = PD_REPLICA_REQUEST_UNWATCH;
    for (uint64_t i = 0; i < 48; i++) {
        assert_int_equal(ask(world, 9, 100 + i, make, 0, body), PD_REPLICA_OK);
    }
    assert_int_equal(ask(world, 9, 99, make, 0, body), PD_REPLICA_BUSY);
    for (uint64_t i = 0; i < 16; i++) {
        assert_int_equal(ask(world, 8, 100 + i, make, 0, body), PD_REPLICA_OK);
    }
    assert_int_equal(ask(world, 7, 1, make, 0, body), PD_REPLICA_BUSY);
    assert_int_equal(ask(world, 9, 1, end, 100, (struct pd_span){NULL, 0}), PD_REPLICA_OK);
    assert_int_equal(ask(world, 9, 99, make, 0, body), PD_REPLICA_OK);
    world_close(world);
}

static void progress_is_told_when_asked_for(void **state)
{
    (void)state;
    struct world *world = start(1, 4);
    struct watcher watcher = {.low = "z"};
    put_random(world, 20);
    watch(world, &watcher, 1, 1000, true);
    put_random(world, 20);
    look(world, &watcher);
    assert_int_equal(watcher.answers, 0);
    grant(world, &watcher, 0, true);
    world_settle(world);
    look(world, &watcher);
    assert_int_equal(watcher.progress, 1);
    assert_int_equal(watcher.through, truths[truth_count - 1].revision);
    world_close(world);
}

static void bodies_come_back_as_they_were(void **state)
{
    (void)state;
    uint8_t room[256];
    for (uint32_t flags = 0; flags < 32; flags++) {
        struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
        const struct pd_replica_watch_request request = {
            .key = text("key"),
            .range_end = text(flags % 2 == 0 ? "" : "end"),
            .start_revision = INT64_MAX,
            .credit = UINT32_MAX,
            .no_put = (flags & 1) != 0,
            .no_delete = (flags & 2) != 0,
            .with_previous = (flags & 4) != 0,
            .with_progress = (flags & 8) != 0,
            .may_fragment = (flags & 16) != 0,
        };
        struct pd_replica_watch_request got;
        pd_replica_watch_request_put(&writer, &request);
        assert_false(writer.is_full);
        struct pd_span bytes = {room, writer.size};
        assert_int_equal(pd_replica_watch_request_decode(bytes, &got), PD_OK);
        assert_memory_equal(got.key.bytes, "key", 3);
        assert_int_equal(got.range_end.size, request.range_end.size);
        assert_int_equal(got.start_revision, INT64_MAX);
        assert_int_equal(got.credit, UINT32_MAX);
        assert_int_equal(got.no_put, request.no_put);
        assert_int_equal(got.no_delete, request.no_delete);
        assert_int_equal(got.with_previous, request.with_previous);
        assert_int_equal(got.with_progress, request.with_progress);
        assert_int_equal(got.may_fragment, request.may_fragment);
        for (size_t size = 0; size < writer.size; size++) {
            bytes.size = size;
            assert_int_equal(pd_replica_watch_request_decode(bytes, &got), PD_ERR_CORRUPT);
        }
    }
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    const struct pd_replica_watch_head head = {
        .kind = PD_REPLICA_WATCH_EVENTS, .revision = 9, .through_revision = 8, .is_fragment = true};
    struct pd_kv_event event = {
        .is_delete = true,
        .record = {.key = text("k"), .mod_revision = 9},
        .has_previous = true,
        .previous_known = true,
        .previous = {.key = text("k"), .value = text("old"), .mod_revision = 5, .version = 2}};
    pd_replica_watch_head_put(&writer, &head);
    pd_replica_watch_event_put(&writer, &event, true);
    pd_replica_watch_event_put(&writer, &event, false);
    pd_replica_watch_end_put(&writer);
    struct pd_kv_reader reader;
    struct pd_replica_watch_head got;
    pd_kv_reader_init(&reader, (struct pd_span){room, writer.size});
    pd_replica_watch_head_get(&reader, &got);
    assert_int_equal(got.kind, PD_REPLICA_WATCH_EVENTS);
    assert_int_equal(got.revision, 9);
    assert_int_equal(got.through_revision, 8);
    assert_true(got.is_fragment);
    assert_true(pd_replica_watch_event_get(&reader, &event));
    assert_true(event.is_delete);
    assert_true(event.has_previous);
    assert_memory_equal(event.previous.value.bytes, "old", 3);
    assert_memory_equal(event.previous.key.bytes, "k", 1);
    assert_true(pd_replica_watch_event_get(&reader, &event));
    assert_false(event.has_previous);
    assert_false(pd_replica_watch_event_get(&reader, &event));
    assert_true(pd_kv_answer_is_whole(&reader));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_come_back_as_they_were),
        cmocka_unit_test(requests_are_refused_with_an_outcome),
        cmocka_unit_test(one_client_does_not_take_all),
        cmocka_unit_test(progress_is_told_when_asked_for),
        cmocka_unit_test(what_is_compacted_ends_a_watch),
        cmocka_unit_test(a_slow_client_holds_up_itself_alone),
        cmocka_unit_test(a_snapshot_ends_the_watches_of_the_state_before_it),
        cmocka_unit_test(a_watch_goes_on_elsewhere_when_its_node_crashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
