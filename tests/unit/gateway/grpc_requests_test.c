/* Which requests of HTTP/2 are taken, as they come from foreign clients. */
#include "gateway/grpc_world.h"

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

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
    const struct CMUnitTest tests[] = {
        CASE(test_any_authority),
        CASE(test_malformed_requests),
        CASE(test_malformed_trailers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
