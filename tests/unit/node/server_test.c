/* A server with its real threads, files and clock: what opening finds, and requests. */
#include <sys/resource.h>

#include "node/server_world.h"

/* -- Many answers, one wake-up ----------------------------------------------------------------- */

#define MANY 64u

struct many {
    struct pd_server_client client;
    struct pd_event event; /* all answers have come */
    struct pd_event gone;  /* the core is done with it */
    uint32_t answers;      /* the core's; so the next one */
    uint32_t settled;      /* times */
};

static void on_many_answer(struct pd_server_client *client, uint64_t correlation,
                           struct pd_span bytes)
{
    struct many *many = pd_container_of(client, struct many, client);
    struct pd_replica_answer_head head;
    assert_in_range(correlation, 1, MANY);
    assert_int_equal(pd_replica_answer_decode(bytes, &head), PD_OK);
    assert_int_equal(head.outcome, PD_REPLICA_OK);
    many->answers++;
}

static void on_many_settled(struct pd_server_client *client)
{
    struct many *many = pd_container_of(client, struct many, client);
    many->settled++;
    assert_true(many->settled <= many->answers);
    if (many->answers == MANY) {
        host->ops->event_set(host, &many->event);
    }
}

static void on_many_closed(struct pd_server_client *client)
{
    struct many *many = pd_container_of(client, struct many, client);
    host->ops->event_set(host, &many->gone);
}

static void a_client_is_told_behind_its_answers(void **state)
{
    (void)state;
    struct pd_server *server = open_server();
    struct many many = {
        .client = {.answer = on_many_answer, .settled = on_many_settled, .closed = on_many_closed}};
    assert_int_equal(pd_server_client_open(server, &many.client), PD_OK);
    uint8_t bytes[ANSWER_MAX];
    const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_WRITE};
    pd_replica_request_put_head(bytes, &head);
    struct pd_kv_writer writer = {.bytes = bytes + PD_REPLICA_REQUEST_HEAD_SIZE, .bytes_max = 256};
    pd_kv_encode_put(&writer, &(struct pd_kv_put){.key = span("key"), .value = span("value")});
    for (uint64_t i = 1; i <= MANY; i++) {
        assert_int_equal(pd_server_submit_quietly(
                             server, &many.client, i,
                             (struct pd_span){bytes, PD_REPLICA_REQUEST_HEAD_SIZE + writer.size}),
                         PD_OK);
    }
    pd_server_nudge(server);
    wait_for(&many.event);
    pd_server_client_close(server, &many.client);
    wait_for(&many.gone);
    assert_int_equal(many.answers, MANY);
    pd_server_close(server);
}

/* -- Opening ----------------------------------------------------------------------------------- */

static void a_new_folder_becomes_a_node_and_stays_one(void **state)
{
    (void)state;
    struct caller caller;
    struct pd_server_about first;
    struct pd_server_about again;
    struct pd_server *server = open_server();
    pd_server_about(server, &first);
    assert_true(first.is_new);
    open_caller(server, &caller);
    put(&caller, "a", "1");
    put(&caller, "b", "2");
    assert_string_equal(get(&caller, "a"), "1");
    assert_null(get(&caller, "c"));
    close_caller(&caller);
    pd_server_close(server);

    server = open_server();
    pd_server_about(server, &again);
    assert_false(again.is_new);
    assert_false(again.store_was_lost);
    assert_true(again.log_records > 0);
    assert_int_equal(again.cluster_id, first.cluster_id);
    open_caller(server, &caller);
    assert_string_equal(get(&caller, "b"), "2");
    close_caller(&caller);
    pd_server_close(server);
}

static void a_folder_is_held_by_one_node(void **state)
{
    (void)state;
    struct pd_server *server = open_server();
    refuses(PD_ERR_EXISTS, "in use by another node");
    pd_server_close(server);
    server = open_server();
    pd_server_close(server);
}

static void what_is_no_nodes_folder_is_left_alone(void **state)
{
    (void)state;
    write_file("thesis.txt", "do not touch");
    refuses(PD_ERR_DENIED, "thesis.txt");
    assert_int_equal(access(inside("node.json"), F_OK), -1);
    assert_int_equal(access(inside("log"), F_OK), -1);
}

static void a_folder_above_that_is_missing_is_named(void **state)
{
    (void)state;
    struct pd_server_config config = small_config();
    char text[PD_SERVER_TEXT_MAX];
    struct pd_server *server = NULL;
    config.folder = "/nonexistent-for-pando/node";
    assert_int_equal(pd_server_open(&config, text, &server), PD_ERR_UNKNOWN);
    assert_non_null(strstr(text, "/nonexistent-for-pando/node"));
}

static void a_damaged_identity_is_not_guessed(void **state)
{
    (void)state;
    pd_server_close(open_server());
    static const char *const bad[] = {"", "{", "{\"format\":1}",
                                      "{\"format\":2,\"cluster\":\"1\",\"node\":\"1\",\"log\":"
                                      "\"1\",\"segment\":16777216,\"has_begun\":true}",
                                      "{\"format\":1,\"cluster\":\"1x\",\"node\":\"1\",\"log\":"
                                      "\"1\",\"segment\":16777216,\"has_begun\":true}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        write_file("node.json", bad[i]);
        refuses(PD_ERR_CORRUPT, "node.json");
    }
}

static void a_log_that_is_gone_is_not_begun_anew(void **state)
{
    (void)state;
    pd_server_close(open_server());
    (void)remove_tree(inside("log"));
    refuses(PD_ERR_CORRUPT, "the log is lost");
}

static void another_nodes_log_is_refused(void **state)
{
    (void)state;
    pd_server_close(open_server());
    write_file("node.json", "{\"format\":1,\"cluster\":\"1\",\"node\":\"1\",\"log\":\"1\","
                            "\"segment\":16777216,\"has_begun\":true}");
    refuses(PD_ERR_CORRUPT, "another node's log");
}

static void segments_too_small_for_a_batch_are_refused(void **state)
{
    (void)state;
    struct pd_server_config config = small_config();
    char text[PD_SERVER_TEXT_MAX];
    struct pd_server *server = NULL;
    config.wal.segment_bytes = 1u << 20;
    assert_int_equal(pd_server_open(&config, text, &server), PD_ERR_INVALID);
    assert_non_null(strstr(text, "too small"));
}

/* -- The store --------------------------------------------------------------------------------- */

static void fill(struct pd_server *server, int count)
{
    struct caller caller;
    open_caller(server, &caller);
    for (int i = 0; i < count; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "key%d", i);
        put(&caller, key, key);
    }
    close_caller(&caller);
}

static void holds(struct pd_server *server, int count)
{
    struct caller caller;
    open_caller(server, &caller);
    for (int i = 0; i < count; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "key%d", i);
        assert_string_equal(get(&caller, key), key);
    }
    close_caller(&caller);
}

static void a_store_that_is_gone_is_rebuilt(void **state)
{
    (void)state;
    struct pd_server *server = open_server();
    fill(server, 50);
    pd_server_close(server);
    (void)remove_tree(inside("store"));
    server = open_server();
    holds(server, 50);
    pd_server_close(server);
}

static void a_store_that_is_damaged_is_put_aside_and_rebuilt(void **state)
{
    (void)state;
    struct pd_server_about about;
    struct pd_server *server = open_server();
    fill(server, 50);
    pd_server_close(server);
    for (int i = 1; i <= 2; i++) {
        char name[64];
        write_file("store/CURRENT", "MANIFEST-999999\n");
        server = open_server();
        pd_server_about(server, &about);
        assert_true(about.store_was_lost);
        holds(server, 50);
        pd_server_close(server);
        (void)snprintf(name, sizeof name, "store.damaged-%d", i);
        assert_int_equal(access(inside(name), F_OK), 0);
    }
}

static void a_store_that_was_condemned_is_put_aside(void **state)
{
    (void)state;
    struct pd_server_about about;
    struct pd_server *server = open_server();
    fill(server, 5);
    pd_server_close(server);
    write_file("store.is-damaged", "");
    server = open_server();
    pd_server_about(server, &about);
    assert_true(about.store_was_lost);
    holds(server, 5);
    pd_server_close(server);
    assert_int_equal(access(inside("store.is-damaged"), F_OK), -1);
    server = open_server();
    pd_server_about(server, &about);
    assert_false(about.store_was_lost);
    pd_server_close(server);
}

/* -- Requests ---------------------------------------------------------------------------------- */

static void what_cannot_be_read_is_refused_in_words(void **state)
{
    (void)state;
    struct caller caller;
    struct pd_replica_answer_head answer;
    struct pd_server *server = open_server();
    open_caller(server, &caller);
    caller.correlation++;
    assert_int_equal(
        pd_server_submit(server, &caller.client, caller.correlation, span("not a request")), PD_OK);
    wait_for(&caller.event);
    assert_int_equal(pd_replica_answer_decode((struct pd_span){caller.bytes, caller.size}, &answer),
                     PD_OK);
    assert_int_equal(answer.outcome, PD_REPLICA_INVALID);
    assert_true(answer.body.size > 0);
    answer = call(&caller, PD_REPLICA_REQUEST_STATUS, (struct pd_span){NULL, 0});
    assert_int_equal(answer.outcome, PD_REPLICA_OK);
    assert_int_equal(answer.body.bytes[0], '{');
    close_caller(&caller);
    pd_server_close(server);
}

static void a_full_queue_is_a_status(void **state)
{
    (void)state;
    struct caller caller;
    struct pd_server_counters counters;
    struct pd_server_config config = small_config();
    config.request_bytes_max = 100;
    struct pd_server *server = open_with(&config);
    open_caller(server, &caller);
    uint8_t large[101] = {0};
    assert_int_equal(
        pd_server_submit(server, &caller.client, 1, (struct pd_span){large, sizeof large}),
        PD_ERR_FULL);
    put(&caller, "a", "1"); /* and what fits goes on */
    /* What a watch is told comes through however full it is. */
    caller.correlation++;
    assert_int_equal(pd_server_submit_of_watch(server, &caller.client, caller.correlation,
                                               (struct pd_span){large, sizeof large}),
                     PD_OK);
    wait_for(&caller.event);
    pd_server_counters(server, &counters);
    assert_int_equal(counters.requests, 3);
    assert_int_equal(counters.requests_refused, 1);
    assert_int_equal(counters.answers, 2);
    close_caller(&caller);
    pd_server_close(server);
}

static void clients_are_bounded_and_their_places_come_back(void **state)
{
    (void)state;
    struct caller callers[3];
    struct pd_server_config config = small_config();
    config.clients_max = 2;
    struct pd_server *server = open_with(&config);
    open_caller(server, &callers[0]);
    open_caller(server, &callers[1]);
    memset(&callers[2], 0, sizeof callers[2]);
    assert_int_equal(pd_server_client_open(server, &callers[2].client), PD_ERR_FULL);
    uint64_t old_id = callers[0].client.id;
    close_caller(&callers[0]);
    open_caller(server, &callers[2]);
    assert_true(callers[2].client.id != old_id);
    put(&callers[2], "a", "1");
    assert_string_equal(get(&callers[1], "a"), "1");
    close_caller(&callers[1]);
    close_caller(&callers[2]);
    pd_server_close(server);
}

static void a_client_that_goes_hears_nothing_more(void **state)
{
    (void)state;
    static struct caller callers[50]; /* nobody else hears what one is told too late */
    struct caller other;
    uint8_t room[256];
    struct pd_server *server = open_server();
    open_caller(server, &other);
    for (int i = 0; i < 50; i++) {
        struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
        struct caller *caller = &callers[i];
        open_caller(server, caller);
        pd_kv_encode_put(&writer, &(struct pd_kv_put){.key = span("k"), .value = span("v")});
        struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_WRITE,
                                               .body = {room, writer.size}};
        assert_int_equal(submit(caller, &head), PD_OK);
        close_caller(caller);
        assert_true(caller->answers <= 1); /* it may come before the end */
    }
    put(&other, "last", "1"); /* it stands behind the others in the log */
    const char *value = get(&other, "k");
    assert_non_null(value);
    assert_string_equal(value, "v");
    close_caller(&other);
    pd_server_close(server);
}

/* -- A disk that is nearly full ---------------------------------------------------------------- */

static void grant(struct caller *caller, int64_t lease, int64_t ttl_s)
{
    uint8_t room[ANSWER_MAX];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    pd_kv_command_encode(
        &writer, &(struct pd_kv_command){.kind = PD_KV_LEASE_GRANT, .id = lease, .ttl_s = ttl_s});
    struct pd_replica_answer_head answer =
        call(caller, PD_REPLICA_REQUEST_WRITE, (struct pd_span){room, writer.size});
    assert_int_equal(answer.outcome, PD_REPLICA_OK);
}

/* Writes are refused; reads, deletes and the end of leases are not. With room it takes writes
 * again. */
static void a_disk_that_is_low_refuses_what_takes_space(void **state)
{
    (void)state;
    struct caller caller;
    struct pd_server_config config = small_config();
    struct pd_server *server = open_with(&config);
    open_caller(server, &caller);
    grant(&caller, 7, 2);
    assert_int_equal(try_put(&caller, "leased", "1", 7), PD_REPLICA_OK);
    put(&caller, "a", "1");
    close_caller(&caller);
    pd_server_close(server);

    config.disk_low_bytes = UINT64_MAX / 4; /* no disk has so much */
    server = open_with(&config);
    open_caller(server, &caller);
    enum pd_replica_outcome outcome = PD_REPLICA_OK;
    while (outcome == PD_REPLICA_OK) { /* until the log thread has looked */
        outcome = try_put(&caller, "b", "1", 0);
    }
    assert_int_equal(outcome, PD_REPLICA_DISK_LOW);
    assert_string_equal(get(&caller, "a"), "1");
    del(&caller, "a");
    assert_null(get(&caller, "a"));
    while (get(&caller, "leased") != NULL) { /* two seconds of state time */
    }
    close_caller(&caller);
    pd_server_close(server);

    config.disk_low_bytes = 0;
    server = open_with(&config);
    open_caller(server, &caller);
    put(&caller, "b", "2");
    assert_null(get(&caller, "leased"));
    close_caller(&caller);
    pd_server_close(server);
}

/* A read that the core can answer at once is answered at once, and not with its next tick. Each
 * begins when the one before was answered, so a tick would be a whole tick away; a third of them
 * may find the machine as busy as it likes, twice over. */
static void an_answer_does_not_wait_for_a_tick(void **state)
{
    (void)state;
    struct pd_server *server = open_server();
    struct caller caller;
    uint8_t room[256];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    pd_kv_encode_range(&writer, &(struct pd_kv_range){.key = {(const uint8_t *)"key", 3}});
    struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_READ,
                                           .flags = PD_REPLICA_REQUEST_SERIALIZABLE,
                                           .body = {room, writer.size}};
    uint32_t quick = 0;
    open_caller(server, &caller);
    for (uint32_t i = 0; i < 30; i++) {
        uint64_t began_ns = pd_host_now_ns(host);
        assert_int_equal(submit(&caller, &head), PD_OK);
        wait_for(&caller.event);
        quick += pd_host_now_ns(host) - began_ns < small_config().tick_ns / 2 ? 1 : 0;
    }
    close_caller(&caller);
    pd_server_close(server);
    assert_true(quick >= 10);
}

/* The process has none left: as with a full disk, and nothing ends. With some it takes writes
 * again. */
static void without_descriptors_it_refuses_and_then_goes_on(void **state)
{
    (void)state;
    struct caller caller;
    struct rlimit before;
    struct pd_server *server = open_server();
    open_caller(server, &caller);
    put(&caller, "a", "1");
    int first = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(first >= 0);
    close(first);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit none = {.rlim_cur = (rlim_t)first, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    enum pd_replica_outcome outcome = PD_REPLICA_OK;
    while (outcome == PD_REPLICA_OK) { /* until the store has been given something */
        outcome = try_put(&caller, "b", "1", 0);
    }
    assert_int_equal(outcome, PD_REPLICA_DISK_LOW);
    assert_string_equal(get(&caller, "a"), "1");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    while (outcome == PD_REPLICA_DISK_LOW) {
        outcome = try_put(&caller, "b", "2", 0);
    }
    assert_int_equal(outcome, PD_REPLICA_OK);
    assert_string_equal(get(&caller, "b"), "2");
    close_caller(&caller);
    pd_server_close(server);
    server = open_server();
    open_caller(server, &caller);
    assert_string_equal(get(&caller, "b"), "2");
    close_caller(&caller);
    pd_server_close(server);
}

/* -- Slow requests ----------------------------------------------------------------------------- */

struct slow_log {
    uint32_t said;
    uint32_t refused; /* of those, for the reader had no room */
    bool is_bad;
};

static bool on_slow(void *state, const struct pd_server_slow *slow)
{
    struct slow_log *log = state;
    const struct pd_replica_slow *request = slow->request;
    uint64_t sum = request->queue_ns + request->sync_ns + request->replicate_ns + request->apply_ns;
    log->is_bad = log->is_bad || strcmp(slow->from, "test") != 0 || slow->node != 0 ||
                  slow->is_forwarded || strcmp(request->what, "put") != 0 ||
                  request->key_size != 8 || memcmp(request->key, "users/17", 8) != 0 ||
                  request->outcome != PD_REPLICA_OK || request->total_ns == 0 ||
                  sum != request->total_ns;
    bool has_room = ++log->said % 2 == 1;
    log->refused += has_room ? 0 : 1;
    return has_room;
}

static void slow_requests_are_told_and_counted(void **state)
{
    struct pd_server_config config = small_config();
    struct pd_server_counters counters;
    struct slow_log log = {0};
    struct caller caller;
    (void)state;
    config.replica.slow_ns = 1;
    config.slow = on_slow;
    config.state = &log;
    struct pd_server *server = open_with(&config);
    open_caller(server, &caller);
    caller.client.name = "test";
    uint64_t began_ns = pd_host_now_ns(host);
    for (uint32_t i = 0; i < 50; i++) {
        put(&caller, "users/17", "secret");
    }
    uint64_t seconds = (pd_host_now_ns(host) - began_ns) / SECOND_NS + 2;
    pd_server_counters(server, &counters);
    close_caller(&caller);
    pd_server_close(server);
    assert_false(log.is_bad);
    assert_int_equal(counters.slow, 50);
    assert_in_range(log.said, 10, PD_SERVER_SLOW_LINES * seconds);
    assert_int_equal(counters.slow_untold, 50 - log.said + log.refused);
}

/* As many as that are asked for; how many there were before one was refused. */
static uint32_t open_sessions(struct caller *caller, uint32_t count)
{
    const struct pd_kv_command open = {.kind = PD_KV_SESSION_OPEN,
                                       .duration_ns = 86400 * SECOND_NS};
    uint8_t room[64];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    pd_kv_command_encode(&writer, &open);
    for (uint32_t i = 0; i < count; i++) {
        struct pd_kv_reader reader;
        struct pd_kv_answer_head head;
        struct pd_replica_answer_head answer =
            call(caller, PD_REPLICA_REQUEST_WRITE, (struct pd_span){room, writer.size});
        assert_int_equal(answer.outcome, PD_REPLICA_OK);
        pd_kv_reader_init(&reader, answer.body);
        pd_kv_answer_head(&reader, &head);
        if (head.error != PD_KV_OK) {
            assert_int_equal(head.error, PD_KV_ERR_SESSIONS_FULL);
            return i;
        }
    }
    return count;
}

/* Nobody from outside takes the sessions that a node writes through. */
static void clients_from_outside_leave_sessions_for_the_node(void **state)
{
    (void)state;
    struct caller outside[2];
    struct caller inside;
    struct pd_server_config config = small_config();
    config.replica.kv.sessions_max = 64;
    struct pd_server *server = open_with(&config);
    open_caller(server, &inside);
    for (uint32_t i = 0; i < 2; i++) {
        open_caller(server, &outside[i]);
        outside[i].client.is_outside = true; /* before it asks for anything */
    }
    assert_int_equal(open_sessions(&outside[0], 64), 32);
    assert_int_equal(open_sessions(&outside[1], 64), 16);
    assert_int_equal(open_sessions(&inside, 16), 16);
    close_caller(&outside[0]);
    close_caller(&outside[1]);
    put(&inside, "a", "1");
    close_caller(&inside);
    pd_server_close(server);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_new_folder_becomes_a_node_and_stays_one),
        TEST(a_client_is_told_behind_its_answers),
        TEST(a_folder_is_held_by_one_node),
        TEST(what_is_no_nodes_folder_is_left_alone),
        TEST(a_folder_above_that_is_missing_is_named),
        TEST(a_damaged_identity_is_not_guessed),
        TEST(a_log_that_is_gone_is_not_begun_anew),
        TEST(another_nodes_log_is_refused),
        TEST(segments_too_small_for_a_batch_are_refused),
        TEST(a_store_that_is_gone_is_rebuilt),
        TEST(a_store_that_is_damaged_is_put_aside_and_rebuilt),
        TEST(a_store_that_was_condemned_is_put_aside),
        TEST(what_cannot_be_read_is_refused_in_words),
        TEST(a_full_queue_is_a_status),
        TEST(clients_are_bounded_and_their_places_come_back),
        TEST(a_client_that_goes_hears_nothing_more),
        TEST(a_disk_that_is_low_refuses_what_takes_space),
        TEST(without_descriptors_it_refuses_and_then_goes_on),
        TEST(an_answer_does_not_wait_for_a_tick),
        TEST(slow_requests_are_told_and_counted),
        TEST(clients_from_outside_leave_sessions_for_the_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
