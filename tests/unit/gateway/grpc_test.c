/* Calls of gRPC over HTTP/2, their bounds and their ends. */
#include "gateway/grpc_world.h"

/* -- Tests ------------------------------------------------------------------------------------- */

static void test_a_call(void **state)
{
    (void)state;
    uint8_t room[256];
    struct got *got =
        send_request("/etcdserverpb.KV/Put", room, put_frame(room, "v"), false, NULL, NULL);
    exchange();
    assert_false(got->is_closed);
    wants = 0;
    answer_put(7);
    assert_true(wants > 0);
    exchange();
    is_put(got, 7);
}

/* A watch of the health is told by itself, and goes with its stream. */
static void test_health_is_watched(void **state)
{
    (void)state;
    static const uint8_t serving[] = {0, 0, 0, 0, 2, 0x08, 1};
    static const uint8_t both[] = {0, 0, 0, 0, 2, 0x08, 1, 0, 0, 0, 0, 2, 0x08, 2};
    static const uint8_t request[5];
    static atomic_bool is_stopping;
    (void)close_world(NULL);
    struct pd_service_config service = pd_service_config_default();
    service.is_stopping = &is_stopping;
    world_open(&world, &service);
    open_pair();
    const char *path = "/grpc.health.v1.Health/Watch";
    struct got *got = send_request(path, request, sizeof request, false, NULL, NULL);
    exchange();
    assert_int_equal(got->size, sizeof serving);
    assert_memory_equal(got->body, serving, sizeof serving);
    assert_false(got->is_closed);
    atomic_store(&is_stopping, true);
    wants = 0;
    pd_service_health_changed(world.service);
    assert_true(wants > 0);
    exchange();
    assert_int_equal(got->size, sizeof both);
    assert_memory_equal(got->body, both, sizeof both);
    assert_false(got->is_closed);
    assert_int_equal(nghttp2_submit_rst_stream(client, NGHTTP2_FLAG_NONE, got->id, NGHTTP2_CANCEL),
                     0);
    exchange();
    atomic_store(&is_stopping, false);
    pd_service_health_changed(world.service); /* to nobody */
    exchange();
    assert_int_equal(got->size, sizeof both);
}

/* However the bytes are cut. */
static void test_byte_by_byte(void **state)
{
    (void)state;
    uint8_t room[256];
    struct got *got =
        send_request("/etcdserverpb.KV/Put", room, put_frame(room, "v"), false, NULL, NULL);
    exchange_by(1);
    answer_put(8);
    exchange_by(1);
    is_put(got, 8);
}

/* A message of many DATA frames is put together; windows are given back. */
static void test_a_large_message(void **state)
{
    (void)state;
    static uint8_t room[BYTES_MAX * 3];
    static char value[BYTES_MAX * 2 + 1];
    memset(value, 'x', BYTES_MAX * 2);
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    range.key = bytes_of(value);
    size_t size = frame(&range, room);
    /* The world's room is smaller: what the service makes of it is refused there. */
    world.refuse = PD_ERR_FULL;
    for (int i = 0; i < 8; i++) { /* more than the connection's window in all */
        struct got *got = send_request("/etcdserverpb.KV/Range", room, size, false, NULL, NULL);
        exchange();
        ends_with(got, PD_CODE_RESOURCE_EXHAUSTED, "etcdserver: too many requests");
        assert_int_equal(got->out_at, size);
    }
}

static void small_messages(struct pd_grpc_config *changed)
{
    changed->message_bytes_max = 100;
}

static void test_a_message_that_is_too_large(void **state)
{
    (void)state;
    (void)open_with(small_messages);
    uint8_t room[256];
    static const uint8_t huge[] = {0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3};
    struct got *got = send_request("/etcdserverpb.KV/Put", huge, sizeof huge, true, NULL, NULL);
    exchange();
    ends_with(got, PD_CODE_INVALID_ARGUMENT, "etcdserver: request is too large");
    assert_true(got->is_closed); /* what would still come is not wanted */
    char value[101];
    memset(value, 'v', 100);
    value[100] = '\0';
    got = send_request("/etcdserverpb.KV/Put", room, put_frame(room, value), false, NULL, NULL);
    exchange();
    ends_with(got, PD_CODE_INVALID_ARGUMENT, "etcdserver: request is too large");
    assert_int_equal(world.submitted, 0);
}

static void small_input(struct pd_grpc_config *changed)
{
    changed->input_bytes_max = 100000;
}

/* Messages that do not come to their end share what a connection may hold. */
static void test_half_messages_have_a_bound(void **state)
{
    (void)state;
    (void)open_with(small_input);
    static uint8_t room[70000] = {0, 0, 1, 0x80, 0}; /* 98,304 bytes, it says */
    struct got *first = send_request("/etcdserverpb.KV/Put", room, sizeof room, true, NULL, NULL);
    exchange();
    assert_int_equal(first->status, -1);
    struct got *second = send_request("/etcdserverpb.KV/Put", room, sizeof room, true, NULL, NULL);
    exchange();
    ends_with(second, PD_CODE_RESOURCE_EXHAUSTED, "etcdserver: too many requests");
    assert_int_equal(first->status, -1);
    assert_int_equal(nghttp2_submit_rst_stream(client, 0, first->id, NGHTTP2_CANCEL), 0);
    exchange();
    struct got *third =
        send_request("/etcdserverpb.KV/Put", room, put_frame(room, "v"), false, NULL, NULL);
    exchange();
    answer_put(9);
    exchange();
    is_put(third, 9);
}

static void small_inputs(struct pd_grpc_config *changed)
{
    changed->inputs_bytes_max = 200000;
}

/* A connection has as much as is left for all others. */
static void test_half_messages_of_all_have_a_bound(void **state)
{
    (void)state;
    (void)open_with(small_inputs);
    static uint8_t room[70000] = {0, 0, 1, 0x80, 0}; /* 98,304 bytes, it says, and is counted so */
    struct got *first = send_request("/etcdserverpb.KV/Put", room, sizeof room, true, NULL, NULL);
    exchange();
    assert_int_equal(first->status, -1);
    assert_int_equal(shared.input_bytes, 98304);
    struct got *second = send_request("/etcdserverpb.KV/Put", room, sizeof room, true, NULL, NULL);
    exchange();
    ends_with(second, PD_CODE_RESOURCE_EXHAUSTED, "etcdserver: too many requests");
    shared.input_bytes += 60000; /* another connection's */
    struct got *third = send_request("/etcdserverpb.KV/Put", room, sizeof room, true, NULL, NULL);
    exchange();
    ends_with(third, PD_CODE_RESOURCE_EXHAUSTED, "etcdserver: too many requests");
    shared.input_bytes -= 60000;
    assert_int_equal(nghttp2_submit_rst_stream(client, 0, first->id, NGHTTP2_CANCEL), 0);
    exchange();
    assert_int_equal(shared.input_bytes, 0);
}

static void at(uint64_t now_ns)
{
    world.now_ns = now_ns;
    assert_int_equal(pd_grpc_protocol.expire(grpc, now_ns), PD_OK);
    exchange();
}

static void goes_on(struct got *got, size_t size)
{
    got->out_size += size;
    assert_int_equal(nghttp2_session_resume_data(client, got->id), 0);
    exchange();
}

static void test_a_message_has_its_time(void **state)
{
    (void)state;
    const uint64_t most = shared.config.message_ns;
    uint8_t room[256];
    size_t size = put_frame(room, "v");
    struct got *slow = send_request("/etcdserverpb.KV/Put", room, 3, true, NULL, NULL);
    struct got *none = send_request("/etcdserverpb.KV/Put", room, 0, true, NULL, NULL);
    exchange();
    assert_int_equal(pd_grpc_protocol.deadline_ns(grpc), most);
    at(most - 1);
    goes_on(slow, 4); /* a part more is no more time */
    assert_int_equal(slow->status, -1);
    at(most);
    ends_with(slow, PD_CODE_DEADLINE_EXCEEDED, "grpc: the request did not come whole in its time");
    assert_true(slow->is_closed);
    assert_int_equal(none->status, -1);
    assert_true(pd_grpc_protocol.deadline_ns(grpc) == UINT64_MAX);
    /* What is whole has no such deadline; what is not read has more time. */
    struct got *whole = send_request("/etcdserverpb.KV/Put", room, 3, true, "grpc-timeout", "1H");
    struct got *waits = send_request("/etcdserverpb.KV/Put", room, 3, true, NULL, NULL);
    exchange();
    goes_on(whole, size - 3);
    assert_int_equal(world.submitted, 1);
    pd_grpc_protocol.paced(grpc, true, most);
    at(2 * most);
    assert_int_equal(waits->status, -1);
    pd_grpc_protocol.paced(grpc, false, 2 * most + 5);
    at(3 * most);
    assert_int_equal(waits->status, -1);
    at(3 * most + 5);
    ends_with(waits, PD_CODE_DEADLINE_EXCEEDED, "grpc: the request did not come whole in its time");
    assert_int_equal(whole->status, -1);
    answer_put(7);
    exchange();
    assert_int_equal(whole->status, 0);
}

/* Each message of a stream has its own. */
static void test_messages_of_a_stream_have_their_time(void **state)
{
    (void)state;
    const uint64_t most = shared.config.message_ns;
    uint8_t room[256];
    Etcdserverpb__LeaseKeepAliveRequest beat = ETCDSERVERPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    beat.id = 5;
    size_t size = frame(&beat, room);
    (void)frame(&beat, room + size);
    struct got *got =
        send_request("/etcdserverpb.Lease/LeaseKeepAlive", room, size - 1, true, NULL, NULL);
    exchange();
    at(10);
    goes_on(got, 3); /* the end of the first one, and two bytes of the next */
    assert_int_equal(world.submitted, 1);
    assert_int_equal(pd_grpc_protocol.deadline_ns(grpc), most + 10);
    goes_on(got, size - 2);
    assert_int_equal(world.submitted, 2);
    assert_true(pd_grpc_protocol.deadline_ns(grpc) == UINT64_MAX);
}

static void test_what_is_no_call(void **state)
{
    (void)state;
    uint8_t room[256];
    size_t size = put_frame(room, "v");
    struct got *got = send_request("/etcdserverpb.KV/Nothing", room, size, false, NULL, NULL);
    exchange();
    ends_with(got, PD_CODE_UNIMPLEMENTED, "unknown service or method");
    room[0] = 1;
    got = send_request("/etcdserverpb.KV/Put", room, size, false, NULL, NULL);
    exchange();
    ends_with(got, PD_CODE_UNIMPLEMENTED, "grpc: compressed messages are not taken");
    room[0] = 0;
    got = send_request("/etcdserverpb.KV/Put", room, size - 1, false, NULL, NULL);
    exchange();
    ends_with(got, PD_CODE_INTERNAL, "grpc: the request ends within a message");
    got = send_request("/etcdserverpb.KV/Put", room, 0, false, NULL, NULL);
    exchange();
    assert_int_equal(got->status, PD_CODE_INVALID_ARGUMENT);
    static const uint8_t nonsense[] = {0, 0, 0, 0, 3, 0x0a, 0x7f, 0x01};
    got = send_request("/etcdserverpb.KV/Put", nonsense, sizeof nonsense, false, NULL, NULL);
    exchange();
    assert_int_equal(got->status, PD_CODE_INTERNAL);
    assert_int_equal(world.submitted, 0);
    assert_false(is_broken);
}

static void test_not_grpc(void **state)
{
    (void)state;
    struct got *got = &gots[got_count++];
    *got = (struct got){.status = -1};
    const nghttp2_nv pairs[] = {pair(":method", "GET"), pair(":scheme", "http"),
                                pair(":path", "/health"), pair(":authority", "localhost")};
    got->id = nghttp2_submit_request(client, NULL, pairs, 4, NULL, NULL);
    exchange();
    assert_int_equal(got->http_status, 415);
    assert_true(got->is_closed);
}

static void test_headers_have_a_bound(void **state)
{
    (void)state;
    uint8_t room[256];
    static char value[60001];
    memset(value, 'h', 60000);
    struct got *got =
        send_request("/etcdserverpb.KV/Put", room, put_frame(room, "v"), false, "x-large", value);
    exchange();
    answer_put(3);
    exchange();
    is_put(got, 3);
    nghttp2_nv more[] = {
        pair(":method", "POST"), pair(":scheme", "http"), pair(":path", "/etcdserverpb.KV/Put"),
        pair("x-large", value),  pair("x-larger", value),
    };
    got = &gots[got_count++];
    *got = (struct got){.status = -1};
    got->id = nghttp2_submit_request(client, NULL, more, 5, NULL, NULL);
    exchange();
    assert_true(got->is_closed);
    assert_int_not_equal(got->reset, 0);
    assert_int_equal(world.submitted, 1);
}

static void test_timeouts(void **state)
{
    (void)state;
    uint8_t room[256];
    size_t size = put_frame(room, "v");
    world.now_ns = 1000;
    assert_int_equal(pd_grpc_protocol.deadline_ns(grpc), UINT64_MAX);
    struct got *late =
        send_request("/etcdserverpb.KV/Put", room, size, false, "grpc-timeout", "5m");
    struct got *early =
        send_request("/etcdserverpb.KV/Put", room, size, false, "grpc-timeout", "3m");
    struct got *never = send_request("/etcdserverpb.KV/Put", room, size, false, NULL, NULL);
    exchange();
    assert_int_equal(pd_grpc_protocol.deadline_ns(grpc), 3001000);
    pd_grpc_protocol.expire(grpc, 3000999);
    exchange();
    assert_false(early->is_closed);
    pd_grpc_protocol.expire(grpc, 3001000);
    exchange();
    ends_with(early, PD_CODE_DEADLINE_EXCEEDED, "context deadline exceeded");
    assert_int_equal(pd_grpc_protocol.deadline_ns(grpc), 5001000);
    answer_put(4); /* the first one, in time */
    exchange();
    is_put(late, 4);
    assert_int_equal(pd_grpc_protocol.deadline_ns(grpc), UINT64_MAX);
    answer_put(5); /* the one that nobody waits for */
    answer_put(6);
    exchange();
    is_put(never, 6);
}

static void test_malformed_timeouts(void **state)
{
    static const char *const texts[] = {"", "S", "5", "5q", "-1S", "123456789S", "1.5S", "5 S"};
    (void)state;
    uint8_t room[256];
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct got *got = send_request("/etcdserverpb.KV/Put", room, put_frame(room, "v"), false,
                                       "grpc-timeout", texts[i]);
        exchange();
        ends_with(got, PD_CODE_INTERNAL, "malformed grpc-timeout");
    }
    assert_int_equal(world.submitted, 0);
    assert_int_equal(pd_grpc_protocol.deadline_ns(grpc), UINT64_MAX);
}

/* As etcd's WithRequireLeader has it. */
static void test_a_leader_is_required(void **state)
{
    (void)state;
    uint8_t room[256];
    size_t size = put_frame(room, "v");
    world.is_leaderless = true;
    struct got *got = send_request("/etcdserverpb.KV/Put", room, size, false, "hasleader", "true");
    exchange();
    ends_with(got, PD_CODE_UNAVAILABLE, "etcdserver: no leader");
    got = send_request("/etcdserverpb.Watch/Watch", room, 0, true, "hasleader", "true");
    exchange();
    ends_with(got, PD_CODE_UNAVAILABLE, "etcdserver: no leader");
    assert_int_equal(world.submitted, 0);
    (void)send_request("/etcdserverpb.KV/Put", room, size, false, "hasleader", "false");
    (void)send_request("/etcdserverpb.KV/Put", room, size, false, NULL, NULL);
    world.is_leaderless = false;
    (void)send_request("/etcdserverpb.KV/Put", room, size, false, "hasleader", "true");
    exchange();
    assert_int_equal(world.submitted, 3);
    assert_true(pd_service_deadline_ns(world.service) == UINT64_MAX);
}

static bool look_for_a_leader(bool is_there)
{
    world.is_leaderless = !is_there;
    world.now_ns = pd_service_deadline_ns(world.service);
    assert_true(world.now_ns != UINT64_MAX);
    pd_service_expire(world.service, world.now_ns - 1); /* not yet */
    pd_service_expire(world.service, world.now_ns);
    exchange();
    return pd_service_deadline_ns(world.service) != UINT64_MAX;
}

static void test_streams_end_without_a_leader(void **state)
{
    (void)state;
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    Etcdserverpb__WatchCreateRequest create = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    request.create_request = &create;
    uint8_t room[256];
    size_t size = frame(&request, room);
    struct got *watch =
        send_request("/etcdserverpb.Watch/Watch", room, size, true, "hasleader", "true");
    struct got *kept =
        send_request("/etcdserverpb.Lease/LeaseKeepAlive", room, 0, true, "hasleader", "true");
    struct got *stays = send_request("/etcdserverpb.Watch/Watch", room, size, true, NULL, NULL);
    exchange();
    assert_true(look_for_a_leader(false));
    assert_true(look_for_a_leader(false));
    assert_true(look_for_a_leader(true));
    assert_true(look_for_a_leader(false));
    assert_true(look_for_a_leader(false));
    assert_int_equal(watch->status, -1);
    assert_false(look_for_a_leader(false)); /* the third in a row */
    ends_with(watch, PD_CODE_UNAVAILABLE, "etcdserver: no leader");
    ends_with(kept, PD_CODE_UNAVAILABLE, "etcdserver: no leader");
    assert_int_equal(stays->status, -1);
    /* The looks are counted anew for those who come later. */
    world.is_leaderless = false;
    watch = send_request("/etcdserverpb.Watch/Watch", room, size, true, "hasleader", "true");
    exchange();
    assert_true(look_for_a_leader(false));
    assert_true(look_for_a_leader(false));
    assert_int_equal(watch->status, -1);
    assert_int_equal(nghttp2_submit_rst_stream(client, 0, watch->id, NGHTTP2_CANCEL), 0);
    exchange();
    assert_true(pd_service_deadline_ns(world.service) == UINT64_MAX);
}

static void test_the_client_cancels(void **state)
{
    (void)state;
    uint8_t room[256];
    struct got *got = send_request("/etcdserverpb.KV/Put", room, put_frame(room, "v"), false,
                                   "grpc-timeout", "3S");
    exchange();
    assert_int_equal(nghttp2_submit_rst_stream(client, 0, got->id, NGHTTP2_CANCEL), 0);
    exchange();
    assert_int_equal(world.cancelled, 1);
    assert_int_equal(pd_grpc_protocol.deadline_ns(grpc), UINT64_MAX);
    answer_put(4);
    exchange();
    assert_int_equal(got->size, 0);
}

static void test_pings(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(nghttp2_submit_ping(client, 0, NULL), 0);
    }
    exchange();
    assert_int_equal(pongs, 5);
}

static void small_streams(struct pd_grpc_config *changed)
{
    changed->streams_max = 2;
}

static void test_streams_have_a_bound(void **state)
{
    (void)state;
    (void)open_with(small_streams);
    uint8_t room[256];
    size_t size = put_frame(room, "v");
    struct got *gone[3];
    exchange(); /* settings: the client knows the bound, and keeps to it */
    for (int i = 0; i < 3; i++) {
        gone[i] = send_request("/etcdserverpb.KV/Put", room, size, false, "grpc-timeout", "1S");
    }
    exchange();
    assert_int_equal(world.submitted, 2);
    answer_put(2);
    exchange();
    is_put(gone[0], 2);
    assert_int_equal(world.submitted, 3);
}

static void test_garbage_ends_the_connection(void **state)
{
    (void)state;
    static const uint8_t garbage[64] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_int_not_equal(
        pd_grpc_protocol.receive(grpc, (struct pd_span){garbage, sizeof garbage}, 0), PD_OK);
}

static void small_output(struct pd_grpc_config *changed)
{
    changed->output_bytes_soft = 200;
    changed->output_bytes_max = 1000;
}

static void give_progress(uint64_t watch, int64_t through)
{
    const struct pd_backend_watch_answer told = {
        .kind = PD_BACKEND_WATCH_PROGRESS, .through_revision = through, .cost = 70000};
    const struct pd_backend_answer answer = {.outcome = PD_BACKEND_OK, .term = 9, .watch = &told};
    world_give(&world, watch, &answer);
}

/* A reader that does not read is given no credit, and is cut off when it makes too much wait. */
static void test_a_slow_reader(void **state)
{
    (void)state;
    (void)open_with(small_output);
    uint8_t room[256];
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    Etcdserverpb__WatchCreateRequest create = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
    create.key = bytes_of("k");
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    request.create_request = &create;
    struct got *got =
        send_request("/etcdserverpb.Watch/Watch", room, frame(&request, room), true, NULL, NULL);
    exchange();
    uint64_t watch = world_asked(&world, PD_BACKEND_WATCH)->correlation;
    give_progress(watch, 5);
    uint32_t free_credit = world.credited;
    assert_true(free_credit > 0);
    for (int i = 0; i < 20; i++) {
        give_progress(watch, 6 + i);
    }
    uint32_t held_credit = world.credited;
    give_progress(watch, 29);
    assert_int_equal(world.credited, held_credit); /* it is held */
    exchange();                                    /* it reads: all that is owed */
    assert_true(world.credited > held_credit);
    assert_true(got->size > 0);
    assert_false(pd_grpc_protocol.has_ended(grpc));
    for (int i = 0; i < 100; i++) {
        give_progress(watch, 30 + i);
    }
    assert_true(pd_grpc_protocol.has_ended(grpc));
    /* What it does not take is not waited for. */
    assert_int_equal(pd_grpc_protocol.deadline_ns(grpc), 0);
    assert_int_not_equal(pd_grpc_protocol.expire(grpc, world.now_ns), PD_OK);
}

/* What was not begun is refused instead, and the connection goes on. */
static void test_an_answer_without_room_is_refused(void **state)
{
    (void)state;
    static const uint8_t value[1500] = {1};
    uint8_t room[256];
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    range.key = bytes_of("k");
    (void)open_with(small_output);
    for (size_t size = sizeof value; size > 0; size = size > 100 ? 100 : 0) {
        const struct pd_kv_record record = {
            .key = {value, 1}, .value = {value, size}, .version = 1};
        struct got *got =
            send_request("/etcdserverpb.KV/Range", room, frame(&range, room), false, NULL, NULL);
        exchange();
        (void)world_asked(&world, PD_BACKEND_READ);
        struct pd_kv_writer *writer = world_begin(&world, PD_KV_OK, 7, PD_KV_ANSWER_RANGE);
        pd_kv_answer_put_record(writer, &record);
        pd_kv_answer_put_end(writer);
        pd_kv_answer_put_number(writer, 0);
        pd_kv_answer_put_number(writer, 1);
        world_kv(&world);
        exchange();
        assert_false(pd_grpc_protocol.has_ended(grpc));
        if (size > 1000) {
            ends_with(got, PD_CODE_RESOURCE_EXHAUSTED, "etcdserver: too many requests");
            assert_int_equal(got->size, 0);
        } else {
            assert_int_equal(got->status, PD_CODE_OK);
            assert_in_range(got->size, size, 1000);
        }
    }
}

/* The same, when all clients' output together is too much; what it had is given back. */
static void test_output_of_all_has_a_bound(void **state)
{
    (void)state;
    struct pd_service_config service = pd_service_config_default();
    struct pd_service_counters counters;
    uint8_t room[256];
    (void)close_world(NULL);
    service.output_bytes_max = 2000;
    world_open(&world, &service);
    shared.config = pd_grpc_config_default();
    open_pair();
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    Etcdserverpb__WatchCreateRequest create = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
    create.key = bytes_of("k");
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    request.create_request = &create;
    (void)send_request("/etcdserverpb.Watch/Watch", room, frame(&request, room), true, NULL, NULL);
    exchange();
    uint64_t watch = world_asked(&world, PD_BACKEND_WATCH)->correlation;
    for (int i = 0; i < 5; i++) {
        give_progress(watch, 5 + i);
    }
    pd_service_counters(world.service, &counters);
    assert_in_range(counters.output_bytes, 1, 1000);
    exchange();
    pd_service_counters(world.service, &counters);
    assert_int_equal(counters.output_bytes, 0);
    assert_false(pd_grpc_protocol.has_ended(grpc));
    for (int i = 0; i < 100; i++) {
        give_progress(watch, 30 + i);
    }
    assert_true(pd_grpc_protocol.has_ended(grpc));
    close_pair();
    pd_service_counters(world.service, &counters);
    assert_int_equal(counters.output_bytes, 0);
    open_pair(); /* for the end of the test */
}

/* While a call is full its requests wait here, and then go on in order. */
static void test_requests_wait_for_room(void **state)
{
    (void)state;
    static uint8_t room[16384];
    size_t size = 0;
    unsigned count = 200; /* 128 may be under way */
    for (unsigned i = 1; i <= count; i++) {
        Etcdserverpb__LeaseKeepAliveRequest beat = ETCDSERVERPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
        beat.id = i;
        size += frame(&beat, room + size);
    }
    struct pd_service_config service = pd_service_config_default();
    (void)close_world(NULL);
    service.keepalives_max = 8;
    world_open(&world, &service);
    shared.config = pd_grpc_config_default();
    open_pair();
    struct got *got =
        send_request("/etcdserverpb.Lease/LeaseKeepAlive", room, size, false, NULL, NULL);
    exchange();
    assert_int_equal(world.submitted, 8);
    for (unsigned i = 1; i <= count; i++) {
        (void)world_begin(&world, PD_KV_ERR_LEASE_NOT_FOUND, 3, PD_KV_ANSWER_NONE);
        world_kv(&world);
        exchange();
    }
    assert_int_equal(world.submitted, count);
    assert_int_equal(got->status, 0);
    assert_true(got->is_closed);
}

static void test_closed_with_calls_under_way(void **state)
{
    (void)state;
    uint8_t room[256];
    size_t size = put_frame(room, "v");
    for (int i = 0; i < 3; i++) {
        (void)send_request("/etcdserverpb.KV/Put", room, size, i == 1, "grpc-timeout", "1S");
    }
    exchange();
    assert_int_equal(world.submitted, 3);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
    const struct CMUnitTest tests[] = {
        CASE(test_a_call),
        CASE(test_health_is_watched),
        CASE(test_byte_by_byte),
        CASE(test_a_large_message),
        CASE(test_a_message_that_is_too_large),
        CASE(test_half_messages_have_a_bound),
        CASE(test_half_messages_of_all_have_a_bound),
        CASE(test_a_message_has_its_time),
        CASE(test_messages_of_a_stream_have_their_time),
        CASE(test_what_is_no_call),
        CASE(test_not_grpc),
        CASE(test_headers_have_a_bound),
        CASE(test_timeouts),
        CASE(test_malformed_timeouts),
        CASE(test_a_leader_is_required),
        CASE(test_streams_end_without_a_leader),
        CASE(test_the_client_cancels),
        CASE(test_pings),
        CASE(test_streams_have_a_bound),
        CASE(test_garbage_ends_the_connection),
        CASE(test_a_slow_reader),
        CASE(test_an_answer_without_room_is_refused),
        CASE(test_output_of_all_has_a_bound),
        CASE(test_requests_wait_for_room),
        CASE(test_closed_with_calls_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
