/* Which requests of HTTP/2 are taken, as they come from foreign clients. */
#include <zlib.h>

#include "gateway/grpc_world.h"

#define PREFIX 5 /* of a message */

/* etcd's clients before 3.5 send a URL there, 3.5.0 "#initially=[...]"; etcd takes all of these. */
static void test_any_authority(void **state)
{
    static const char *const authorities[] = {"http://127.0.0.1:2379", "a b", "", "[::1]:2379",
                                              "#initially=[http://127.0.0.1:2379]"};
    (void)state;
    uint8_t room[256];
    size_t size = put_frame(room, "v");
    for (int i = 0; i < 6; i++) { /* the last one has none */
        const nghttp2_nv pairs[] = {
            pair(":method", "POST"),
            pair(":scheme", "http"),
            pair(":path", "/etcdserverpb.KV/Put"),
            i < 5 ? pair(":authority", authorities[i]) : pair("host", "a b"),
            pair("content-type", "application/grpc"),
        };
        const struct got *got = send_headers(pairs, 5, room, size);
        answer_put(10 + i);
        exchange();
        is_put(got, 10 + i);
    }
}

static void is_malformed(const struct got *got)
{
    assert_true(got->is_closed);
    assert_int_equal(got->reset, NGHTTP2_PROTOCOL_ERROR);
    assert_int_equal(got->http_status, 0);
    assert_int_equal(got->status, -1);
    assert_false(is_broken);
}

static void test_malformed_requests(void **state)
{
    static const char *const more[][2] = {
        {":path", "/etcdserverpb.KV/Put"}, /* behind others */
        {"two words", "v"},
        {"connection", "close"},
        {"content-length", "12x"},
        {"content-length", "1"}, /* less than it is */
    };
    (void)state;
    uint8_t room[256];
    size_t size = put_frame(room, "v");
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++) {
        struct got *got =
            send_request("/etcdserverpb.KV/Put", room, size, false, more[i][0], more[i][1]);
        exchange();
        is_malformed(got);
    }
    const nghttp2_nv pairs[] = {
        pair(":method", "POST"),
        pair(":scheme", "http"),
        pair("content-type", "application/grpc"),
    };
    is_malformed(send_headers(pairs, 3, room, size)); /* no path */
    assert_int_equal(world.submitted, 0);
    struct got *more_said =
        send_request("/etcdserverpb.KV/Put", room, size, false, "content-length", "500");
    exchange();
    is_malformed(more_said); /* known at its end: its message was whole, and may have been given */
    assert_int_equal(world.cancelled, 1);
    answer_put(2);
    /* The connection lives, and a length that fits is none to refuse. */
    char length[16];
    (void)snprintf(length, sizeof length, "%zu", size);
    struct got *got =
        send_request("/etcdserverpb.KV/Put", room, size, false, "content-length", length);
    exchange();
    answer_put(3);
    exchange();
    is_put(got, 3);
}

static void test_malformed_trailers(void **state)
{
    (void)state;
    static const uint8_t nothing[1];
    const nghttp2_nv good = pair("x-checked", "yes");
    const nghttp2_nv bad = pair(":path", "/x");
    const uint8_t flags[] = {NGHTTP2_FLAG_END_STREAM, NGHTTP2_FLAG_END_STREAM, NGHTTP2_FLAG_NONE};
    for (int i = 0; i < 3; i++) {
        struct got *got =
            send_request("/etcdserverpb.Lease/LeaseKeepAlive", nothing, 0, true, NULL, NULL);
        exchange();
        assert_false(got->is_closed);
        assert_int_equal(
            nghttp2_submit_headers(client, flags[i], got->id, NULL, i == 1 ? &bad : &good, 1, NULL),
            0);
        exchange();
        if (i == 0) {
            assert_int_equal(got->status, 0); /* the end of the request, and so of the answer */
        } else {
            is_malformed(got);
        }
    }
}

/* A message with its prefix, in gzip, made of one that frame() made. */
static size_t pack(const uint8_t *framed, size_t size, uint8_t *to, size_t room)
{
    z_stream gzip = {.next_in = (Bytef *)(uintptr_t)(framed + PREFIX),
                     .avail_in = (uInt)(size - PREFIX),
                     .next_out = to + PREFIX,
                     .avail_out = (uInt)(room - PREFIX)};
    assert_int_equal(
        deflateInit2(&gzip, Z_BEST_SPEED, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&gzip, Z_FINISH), Z_STREAM_END);
    assert_int_equal(deflateEnd(&gzip), Z_OK);
    to[0] = 1;
    for (unsigned i = 0; i < 4; i++) {
        to[1 + i] = (uint8_t)(gzip.total_out >> (24 - 8 * i));
    }
    return PREFIX + gzip.total_out;
}

static size_t packed_put(uint8_t *to, size_t room, const char *value)
{
    static uint8_t framed[BYTES_MAX];
    return pack(framed, put_frame(framed, value), to, room);
}

static struct got *send_gzip(const uint8_t *bytes, size_t size)
{
    return send_request("/etcdserverpb.KV/Put", bytes, size, false, "grpc-encoding", "gzip");
}

static void asks_for_value(const char *value)
{
    struct pd_kv_op ops[4];
    struct pd_kv_compare compares[4];
    struct pd_kv_command command;
    const struct pd_kv_command_room room = {
        .ops = ops, .ops_max = 4, .compares = compares, .compares_max = 4};
    (void)world_command(&world, &command, &room);
    assert_int_equal(command.op_count, 1);
    assert_int_equal(ops[0].as.put.value.size, strlen(value));
    assert_memory_equal(ops[0].as.put.value.bytes, value, strlen(value));
}

/* Whole, byte by byte, and beside a plain one: the encoding says what may be, the flag what is. */
static void test_gzip(void **state)
{
    (void)state;
    uint8_t room[256];
    uint8_t plain[256];
    const struct got *got = send_gzip(room, packed_put(room, sizeof room, "a packed value"));
    exchange();
    asks_for_value("a packed value");
    answer_put(5);
    exchange();
    is_put(got, 5);
    assert_int_equal(got->body[0], 0); /* the answer is plain */
    got = send_gzip(room, packed_put(room, sizeof room, "in parts"));
    exchange_by(1);
    asks_for_value("in parts");
    answer_put(6);
    exchange();
    is_put(got, 6);
    got = send_gzip(plain, put_frame(plain, "plain"));
    exchange();
    asks_for_value("plain");
    answer_put(7);
    exchange();
    is_put(got, 7);
    assert_int_equal(shared.input_bytes, 0);
}

static void test_gzip_in_a_stream(void **state)
{
    (void)state;
    uint8_t framed[64];
    uint8_t room[512];
    size_t size = 0;
    for (int64_t i = 1; i <= 3; i++) {
        Etcdserverpb__LeaseKeepAliveRequest beat = ETCDSERVERPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
        beat.id = i;
        size += pack(framed, frame(&beat, framed), room + size, sizeof room - size);
    }
    (void)send_request("/etcdserverpb.Lease/LeaseKeepAlive", room, size, false, "grpc-encoding",
                       "gzip");
    exchange();
    assert_int_equal(world.submitted, 3);
}

static void small_messages(struct pd_grpc_config *changed)
{
    changed->message_bytes_max = 100000;
    changed->input_bytes_max = 150000;
}

/* What is unpacked has a plain message's bound, to the byte, and what all hold has its own. */
static void test_gzip_has_a_bound(void **state)
{
    (void)state;
    (void)open_with(small_messages);
    static char value[500001];
    static uint8_t room[8192];
    memset(value, 'v', 500000);
    struct got *got = send_gzip(room, packed_put(room, sizeof room, value));
    exchange();
    ends_with(got, PD_CODE_INVALID_ARGUMENT, "etcdserver: request is too large");
    value[100000 - 6] = '\0'; /* the key has three bytes, and the value's head four */
    got = send_gzip(room, packed_put(room, sizeof room, value));
    exchange();
    ends_with(got, PD_CODE_INVALID_ARGUMENT, "etcdserver: request is too large");
    assert_int_equal(world.submitted, 0);
    static const uint8_t half[60000] = {0, 0, 1, 0x80, 0}; /* of 98,304 bytes */
    const struct got *holds =
        send_request("/etcdserverpb.KV/Put", half, sizeof half, true, NULL, NULL);
    exchange();
    assert_int_equal(holds->status, -1);
    value[90000] = '\0';
    got = send_gzip(room, packed_put(room, sizeof room, value));
    exchange();
    ends_with(got, PD_CODE_RESOURCE_EXHAUSTED, "etcdserver: too many requests");
    assert_int_equal(nghttp2_submit_rst_stream(client, 0, holds->id, NGHTTP2_CANCEL), 0);
    world.refuse =
        PD_ERR_INVALID; /* it is too large for the test's backend: that it comes is all */
    value[100000 - 7] = '\0';
    got = send_gzip(room, packed_put(room, sizeof room, value));
    exchange();
    assert_string_not_equal(got->message, "etcdserver: request is too large");
    assert_int_not_equal(got->status, PD_CODE_INTERNAL);
    assert_int_equal(shared.input_bytes, 0);
}

static void test_gzip_that_is_none(void **state)
{
    (void)state;
    static const char words[] =
        "grpc: failed to decompress the received message: it is no gzip, or not one whole";
    static const uint8_t nothing[] = {1, 0, 0, 0, 0};
    static const uint8_t garbage[] = {1, 0, 0, 0, 3, 0x1f, 0x8b, 0x00};
    static const uint8_t unknown[] = {2, 0, 0, 0, 0};
    uint8_t room[256];
    struct got *got = send_gzip(nothing, sizeof nothing);
    exchange();
    ends_with(got, PD_CODE_INTERNAL, words);
    got = send_gzip(garbage, sizeof garbage);
    exchange();
    ends_with(got, PD_CODE_INTERNAL, words);
    size_t size = packed_put(room, sizeof room, "v");
    room[size - 1] ^= 1; /* the length of it */
    got = send_gzip(room, size);
    exchange();
    ends_with(got, PD_CODE_INTERNAL, words);
    size = packed_put(room, sizeof room, "v");
    room[4]--; /* cut off */
    got = send_gzip(room, size - 1);
    exchange();
    ends_with(got, PD_CODE_INTERNAL, words);
    size = packed_put(room, sizeof room, "v");
    room[4]++; /* more behind it */
    room[size] = 0;
    got = send_gzip(room, size + 1);
    exchange();
    ends_with(got, PD_CODE_INTERNAL, words);
    got = send_gzip(unknown, sizeof unknown);
    exchange();
    ends_with(got, PD_CODE_INTERNAL, "grpc: received unexpected payload format");
    assert_int_equal(world.submitted, 0);
    assert_int_equal(shared.input_bytes, 0);
}

static void test_encodings(void **state)
{
    (void)state;
    uint8_t room[256];
    size_t size = put_frame(room, "v");
    struct got *got =
        send_request("/etcdserverpb.KV/Put", room, size, false, "grpc-encoding", "zstd");
    exchange();
    ends_with(got, PD_CODE_UNIMPLEMENTED, "grpc: grpc-encoding is not gzip or identity");
    assert_string_equal(got->accepts, "gzip,identity");
    got = send_request("/etcdserverpb.KV/Put", room, size, false, "grpc-encoding", "identity");
    exchange();
    answer_put(4);
    exchange();
    is_put(got, 4);
    assert_string_equal(got->accepts, "");
}

/* Each allocation in turn fails: it is refused, and nothing is left behind. */
static void test_gzip_without_memory(void **state)
{
    (void)state;
    uint8_t room[256];
    size_t size = packed_put(room, sizeof room, "v");
    bool is_refused = false;
    for (uint64_t nth = 1; nth < 12; nth++) {
        struct got *got = send_gzip(room, size);
        pd_alloc_fail_nth(nth);
        exchange();
        pd_alloc_fail_nth(0);
        is_refused |= got->status == PD_CODE_RESOURCE_EXHAUSTED;
        if (world.asked_count > 0) {
            answer_put(9);
            exchange();
        }
        assert_int_equal(shared.input_bytes, 0);
    }
    assert_true(is_refused);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
    const struct CMUnitTest tests[] = {
        CASE(test_any_authority),       CASE(test_malformed_requests),
        CASE(test_malformed_trailers),  CASE(test_gzip),
        CASE(test_gzip_in_a_stream),    CASE(test_gzip_has_a_bound),
        CASE(test_gzip_that_is_none),   CASE(test_encodings),
        CASE(test_gzip_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
