/* HTTP/1.1 byte by byte: what is answered, in which order, what is refused, and what is too slow.
 */
#include <stdlib.h>

#include "gateway/http1_world.h"

static const char put[] = "{\"key\":\"Zm9v\",\"value\":\"YmFy\"}";

static struct http *open_default(void)
{
    struct pd_http1_config config = pd_http1_config_default();
    return http_open(&config);
}

/* -- Requests ---------------------------------------------------------------------------------- */

static void a_put_is_asked_and_answered(void **state)
{
    (void)state;
    struct http *http = open_default();
    http_post(http, "/v3/kv/put", put);
    assert_int_equal(http->out_size, 0);
    struct pd_kv_op ops[4];
    struct pd_kv_compare compares[4];
    struct pd_kv_command command;
    struct pd_kv_command_room room = {
        .ops = ops, .ops_max = 4, .compares = compares, .compares_max = 4};
    (void)world_command(&http->world, &command, &room);
    http_put_done(http, 3);
    http_flush(http);
    http_is_status(http, 200);
    http_says(http, "Content-Type: application/json\r\n");
    http_says(http, "Content-Length: 77\r\n");
    http_says(http, "\r\n\r\n{\"header\":{\"cluster_id\":\"77\",\"member_id\":\"5\",\"revision\":"
                    "\"3\",\"raft_term\":\"9\"}}");
    assert_false(pd_http1_protocol.has_ended(http->state));
    http_close(http);
}

static void bytes_may_come_one_by_one_and_bodies_in_chunks(void **state)
{
    (void)state;
    static const char text[] = "POST /v3/kv/put HTTP/1.1\r\nhOST:\t localhost:2379 \r\n"
                               "Transfer-Encoding: chunked\r\n\r\n"
                               "5;x=y\r\n{\"key\r\n18\r\n\":\"Zm9v\",\"value\":\"YmFy\"}\r\n"
                               "0\r\nX-Trailer: 1\r\n\r\n";
    struct http *http = open_default();
    for (size_t i = 0; i < sizeof text - 1; i++) {
        assert_int_equal(http->world.asked_count, 0);
        http_take(http, text + i, 1);
        assert_int_equal(http->status, PD_OK);
        http_flush(http);
    }
    if (http->world.asked_count != 1) {
        fail_msg("%s", http->out);
    }
    http_put_done(http, 3);
    http_flush(http);
    http_is_status(http, 200);
    http_close(http);
}

static void requests_behind_one_wait_for_its_answer(void **state)
{
    (void)state;
    struct http *http = open_default();
    char text[2048];
    int size = snprintf(text, sizeof text,
                        "POST /v3/kv/put HTTP/1.1\r\nHost: [::1]:9\r\nContent-Length: %zu\r\n\r\n%s"
                        "GET /version HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
                        "POST /v3/kv/put HTTP/1.1\r\nHost: a.localhost\r\nContent-Length: %zu\r\n"
                        "\r\n%s"
                        "GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
                        "GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n",
                        sizeof put - 1, put, sizeof put - 1, put);
    http_take(http, text, (size_t)size);
    http_flush(http);
    assert_int_equal(http->world.submitted, 1);
    assert_int_equal(http->out_size, 0);
    http_put_done(http, 2);
    http_flush(http);
    assert_int_equal(http->world.submitted, 2);
    http_says(http, "\"revision\":\"2\"");
    http_says(http, "etcdserver");
    http_says_not(http, "\"revision\":\"3\"");
    assert_false(pd_http1_protocol.has_ended(http->state));
    http_put_done(http, 3);
    http_flush(http);
    http_says(http, "\"revision\":\"3\"");
    http_says(http, "Connection: close\r\n");
    assert_true(pd_http1_protocol.has_ended(http->state));
    unsigned answers = 0;
    for (const char *at = http->out; (at = strstr(at, "HTTP/1.1 200 OK")) != NULL; at++) {
        answers++;
    }
    assert_int_equal(answers, 4); /* and none to what came behind "close" */
    http_close(http);
}

static void who_is_ahead_is_not_read_from(void **state)
{
    (void)state;
    struct pd_http1_config config = pd_http1_config_default();
    config.ahead_bytes = 100;
    struct http *http = http_open(&config);
    http_post(http, "/v3/kv/put", put);
    assert_false(pd_http1_protocol.is_full(http->state));
    http_get(http, "/version");
    assert_false(pd_http1_protocol.is_full(http->state));
    for (int i = 0; i < 4; i++) {
        http_get(http, "/version");
    }
    assert_true(pd_http1_protocol.is_full(http->state));
    http_put_done(http, 2);
    http_flush(http);
    assert_false(pd_http1_protocol.is_full(http->state));
    assert_int_equal(http->shared.counters.requests, 6);
    http_close(http);
}

/* One that is never quite up to date with its requests costs no more memory for it. */
static void what_was_answered_is_kept_no_longer(void **state)
{
    (void)state;
    struct pd_http1_config config = pd_http1_config_default();
    config.ahead_bytes = 500;
    struct http *http = http_open(&config);
    http_post(http, "/v3/kv/put", put);
    http_post(http, "/v3/kv/put", put);
    for (int i = 0; i < 200; i++) {
        http_post(http, "/v3/kv/put", put);
        http_put_done(http, 2);
        http_flush(http);
        assert_true(http->state->ahead.size > http->state->ahead_at);
        assert_true(http->state->ahead.size < 2000);
    }
    assert_int_equal(http->shared.counters.requests, 201);
    http_close(http);
}

static void a_body_is_asked_for_when_that_is_expected(void **state)
{
    (void)state;
    struct http *http = open_default();
    http_send(http, "POST /v3/kv/put HTTP/1.1\r\nHost: localhost\r\nExpect: 100-Continue\r\n"
                    "Content-Length: 29\r\n\r\n");
    assert_string_equal(http->out, "HTTP/1.1 100 Continue\r\n\r\n");
    http_send(http, put);
    http_put_done(http, 2);
    http_forget(http);
    http_flush(http);
    http_is_status(http, 200);
    http_forget(http);
    http_send(http, "POST /v3/kv/put HTTP/1.1\r\nHost: localhost\r\nExpect: tea\r\n"
                    "Content-Length: 30\r\n\r\n");
    http_is_status(http, 417);
    http_close(http);
}

static void http10_ends_with_the_answer_unless_asked_otherwise(void **state)
{
    (void)state;
    struct http *http = open_default();
    http_send(http, "GET /version HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    http_is_status(http, 200);
    http_says(http, "Connection: keep-alive\r\n");
    assert_false(pd_http1_protocol.has_ended(http->state));
    http_forget(http);
    http_send(http, "GET /version HTTP/1.0\r\n\r\n");
    http_is_status(http, 200);
    assert_true(pd_http1_protocol.has_ended(http->state));
    http_close(http);
}

/* -- Refusals ---------------------------------------------------------------------------------- */

struct refusal {
    const char *text;
    unsigned status;
    const char *says;
    bool ends;
};

static void check_refusals(const struct refusal *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct http *http = open_default();
        http_send(http, cases[i].text);
        if (http->out_size == 0) {
            fail_msg("no answer to: %s", cases[i].text);
        }
        http_is_status(http, cases[i].status);
        http_says(http, cases[i].says);
        /* It waits a moment for what the client still sends, then ends; or goes on. */
        (void)pd_http1_protocol.expire(http->state, http->world.now_ns + SECOND);
        if (pd_http1_protocol.has_ended(http->state) != cases[i].ends) {
            fail_msg("%s: ends: %d", cases[i].text, !cases[i].ends);
        }
        if (!cases[i].ends) {
            http_forget(http);
            http_get(http, "/version");
            http_is_status(http, 200);
        }
        assert_int_equal(http->world.submitted, 0);
        http_close(http);
    }
}

static void what_is_not_served_is_refused_with_words(void **state)
{
    (void)state;
#define HOST "Host: localhost\r\n"
    static const struct refusal cases[] = {
        {"GET /nope HTTP/1.1\r\n" HOST "\r\n", 404, "there is no such page", false},
        {"GET /v3/nope HTTP/1.1\r\n" HOST "\r\n", 404, "{\"code\":5,\"message\":", false},
        {"GET /v3/kv/put HTTP/1.1\r\n" HOST "\r\n", 405, "Allow: POST", false},
        {"PUT /v3/kv/put HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}", 405, "{\"code\":12",
         true},
        {"DELETE /health HTTP/1.1\r\n" HOST "\r\n", 405, "Allow: GET, HEAD", false},
        {"POST /version HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}", 405, "GET", true},
        {"GET /version HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}", 413, "too large", true},
        {"GET http://localhost/version HTTP/1.1\r\n" HOST "\r\n", 400, "begins with a slash",
         false},
        {"GET /version HTTP/1.1\r\n\r\n", 400, "lacks its Host", false},
        {"GET /version HTTP/1.1\r\n" HOST HOST "\r\n", 400, "comes twice", false},
        {"GET /version HTTP/2.0\r\n" HOST "\r\n", 505, "HTTP/1.1", true},
        {"NONSENSE\r\n\r\n", 400, "no HTTP/1.1 request", true},
        {"\x16\x03\x01\x02", 400, "no HTTP/1.1 request", true},
        {"GET /version HTTP/1.1\r\n" HOST "A b: c\r\n\r\n", 400, "no HTTP/1.1", true},
        {"POST /v3/kv/put HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n", 400, "no HTTP/1.1",
         true},
        {"POST /v3/kv/put HTTP/1.1\r\n" HOST
         "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         400, "no HTTP/1.1", true},
        {"POST /v3/kv/put HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400,
         "no HTTP/1.1", true},
        {"POST /v3/kv/put HTTP/1.1\r\n" HOST "Content-Length: 99999999\r\n\r\n", 413, "too large",
         true},
        {"POST /v3/kv/put HTTP/1.1\r\n" HOST "Content-Length: 8\r\n\r\n{\"key\":5", 400,
         "{\"code\":3,\"message\":\"field 'key': a value of another type", false},
        {"POST /v3/kv/put HTTP/1.1\r\n" HOST "Content-Length: 7\r\n\r\n{\"key\":", 400,
         "{\"code\":3,\"message\":\"bad JSON: it ends too early", false},
    };
    check_refusals(cases, sizeof cases / sizeof cases[0]);
}

static void foreign_pages_and_names_are_refused(void **state)
{
    (void)state;
#define BODY "Content-Length: 2\r\n\r\n{}"
    static const struct refusal cases[] = {
        {"GET /version HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403, "--allow-host", false},
        {"GET /version HTTP/1.1\r\nHost: evil.example:2379\r\n\r\n", 403, "--allow-host", false},
        {"GET /version HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\n\r\n", 403, "Host", false},
        {"GET /version HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", 403, "Host", false},
        {"GET /version HTTP/1.1\r\nHost: 2130706433\r\n\r\n", 403, "Host", false},
        {"GET /version HTTP/1.1\r\nHost: localhost:x\r\n\r\n", 403, "Host", false},
        {"GET /version HTTP/1.1\r\nHost:\r\n\r\n", 403, "Host", false},
        {"POST /v3/kv/put HTTP/1.1\r\n" HOST "Origin: http://evil.example\r\n" BODY, 403,
         "--allow-origin", true},
        {"POST /v3/kv/put HTTP/1.1\r\n" HOST "Origin: null\r\n" BODY, 403, "Origin", true},
        {"POST /v3/kv/put HTTP/1.1\r\n" HOST "Origin: http://localhost.evil\r\n" BODY, 403,
         "Origin", true},
        {"OPTIONS /v3/kv/put HTTP/1.1\r\n" HOST "Origin: http://evil.example\r\n\r\n", 403,
         "Origin", false},
        {"POST /v3/kv/put HTTP/1.1\r\n" HOST "Origin: http://localhost\r\nContent-Type: "
         "text/plain\r\n" BODY,
         415, "application/json", true},
        {"POST /v3/kv/put HTTP/1.1\r\n" HOST
         "Content-Type: multipart/form-data; boundary=x\r\n" BODY,
         415, "application/json", true},
    };
    check_refusals(cases, sizeof cases / sizeof cases[0]);
}

static void what_was_allowed_by_name_is_answered(void **state)
{
    (void)state;
    struct pd_http1_config config = pd_http1_config_default();
    config.rules = (struct pd_http1_rules){.host_count = 1,
                                           .hosts = {"db.example"},
                                           .origin_count = 1,
                                           .origins = {"https://console.example"}};
    struct http *http = http_open(&config);
    http_send(http, "OPTIONS /v3/kv/put HTTP/1.1\r\nHost: DB.example:1\r\n"
                    "Origin: https://console.example\r\n\r\n");
    http_is_status(http, 204);
    http_says(http, "Access-Control-Allow-Origin: https://console.example\r\n");
    http_says(http, "Access-Control-Allow-Headers: Content-Type\r\n");
    http_says_not(http, "Content-Length");
    http_forget(http);
    http_send(http, "POST /v3/kv/put HTTP/1.1\r\nHost: db.example\r\nContent-Length: 29\r\n"
                    "Content-Type: application/json\r\nOrigin: https://console.example\r\n\r\n");
    http_send(http, put);
    http_put_done(http, 2);
    http_flush(http);
    http_is_status(http, 200);
    http_says(http, "Access-Control-Allow-Origin: https://console.example\r\n");
    http_forget(http);
    http_send(http,
              "GET /version HTTP/1.1\r\nHost: db.example\r\nOrigin: http://db.example\r\n\r\n");
    http_is_status(http, 200); /* its own page */
    http_says_not(http, "Access-Control");
    http_close(http);
}

static void what_is_too_long_is_refused(void **state)
{
    (void)state;
    char *text = malloc(40000);
    struct http *http = open_default();
    memset(text, 'a', 39999);
    memcpy(text, "GET /", 5);
    text[2000] = '\0';
    http_send(http, text);
    http_is_status(http, 414);
    http_close(http);

    memset(text, 'a', 39999);
    int size = snprintf(text, 100, "GET / HTTP/1.1\r\nHost: localhost\r\nX: ");
    text[size] = 'a';
    text[39999] = '\0';
    http = open_default();
    http_send(http, text);
    http_is_status(http, 431);
    assert_int_equal(http->shared.counters.refused_bad, 1);
    http_close(http);

    /* More at once than the parser itself takes of a head. */
    char *longest = malloc(200000);
    memcpy(longest, text, 40000);
    memset(longest + 39999, 'a', 160000);
    longest[199999] = '\0';
    http = open_default();
    http_send(http, longest);
    http_is_status(http, 431);
    http_close(http);
    free(longest);

    struct pd_http1_config config = pd_http1_config_default();
    config.body_bytes_max = 100;
    config.bodies_bytes_max = 150;
    http = http_open(&config);
    http_send(http, "POST /v3/kv/put HTTP/1.1\r\nHost: localhost\r\n"
                    "Transfer-Encoding: chunked\r\n\r\n40\r\n");
    text[0x40] = '\0';
    http_send(http, text);
    assert_int_equal(http->shared.bodies_bytes, 0x40);
    assert_int_equal(http->out_size, 0);
    http->shared.bodies_bytes += 80; /* another connection's */
    http_send(http, "\r\n8\r\n        ");
    http_is_status(http, 503);
    http->shared.bodies_bytes -= 80;
    http_close(http);

    http = http_open(&config);
    http_send(http, "POST /v3/kv/put HTTP/1.1\r\nHost: localhost\r\n"
                    "Transfer-Encoding: chunked\r\n\r\n40\r\n");
    http_send(http, text);
    http_send(http, "\r\n40\r\n");
    http_send(http, text);
    http_is_status(http, 413);
    http_close(http);
    free(text);
}

/* -- Time -------------------------------------------------------------------------------------- */

static void who_is_too_slow_is_told_and_left(void **state)
{
    (void)state;
    struct http *http = open_default();
    uint64_t begun = http->world.now_ns;
    http_send(http, "POST /v3/kv/put HTTP/1.1\r\nHost: localhost\r\nContent-Length: 30\r\n\r\n{");
    for (int i = 1; i < 60; i++) { /* a byte a second is not enough */
        http->world.now_ns = begun + (uint64_t)i * SECOND;
        assert_int_equal(pd_http1_protocol.expire(http->state, http->world.now_ns), PD_OK);
        if (i % 3 == 0) {
            http_send(http, " ");
        }
    }
    assert_int_equal(http->out_size, 0);
    assert_int_equal(pd_http1_protocol.deadline_ns(http->state), begun + 60 * SECOND);
    assert_int_equal(pd_http1_protocol.expire(http->state, begun + 60 * SECOND), PD_OK);
    http_flush(http);
    http_is_status(http, 408);
    http_says(http, "Connection: close\r\n");
    assert_false(pd_http1_protocol.has_ended(http->state));
    assert_int_equal(pd_http1_protocol.expire(http->state, begun + 61 * SECOND), PD_OK);
    assert_true(pd_http1_protocol.has_ended(http->state));
    http_close(http);
}

static void who_asks_nothing_is_left_and_who_waits_is_not(void **state)
{
    (void)state;
    struct http *http = open_default();
    http_get(http, "/version");
    uint64_t now = pd_http1_protocol.deadline_ns(http->state);
    assert_int_equal(pd_http1_protocol.expire(http->state, now), PD_OK);
    assert_int_equal(pd_http1_protocol.expire(http->state, now + 60 * SECOND), PD_ERR_TIMEOUT);
    http_close(http);

    http = open_default();
    http_post(http, "/v3/kv/put", put);
    now = http->world.now_ns;
    for (int i = 1; i < 10; i++) { /* the node is slow, not the client */
        assert_int_equal(pd_http1_protocol.expire(http->state, now + (uint64_t)i * 100 * SECOND),
                         PD_OK);
    }
    http_put_done(http, 2); /* and now the client does not read */
    assert_int_equal(pd_http1_protocol.expire(http->state, now + 2000 * SECOND), PD_ERR_TIMEOUT);
    http_close(http);
}

/* -- Streams ----------------------------------------------------------------------------------- */

static void watch_answer(struct http *http, enum pd_backend_watch_kind kind, uint64_t correlation)
{
    struct pd_backend_watch_answer watch = {.kind = kind, .revision = 8, .through_revision = 8};
    const struct pd_backend_answer answer = {
        .outcome = PD_BACKEND_OK, .term = 9, .leader = 5, .watch = &watch};
    world_give(&http->world, correlation, &answer);
}

static void a_watch_is_lines_until_the_client_leaves(void **state)
{
    (void)state;
    struct http *http = open_default();
    http_post(http, "/v3/watch",
              "{\"create_request\":{\"key\":\"Zm9v\",\"progress_notify\":true}}");
    const struct asked *asked = world_asked(&http->world, PD_BACKEND_WATCH);
    assert_memory_equal(asked->watch.key.bytes, "foo", 3);
    assert_int_equal(http->out_size, 0);
    watch_answer(http, PD_BACKEND_WATCH_CREATED, asked->correlation);
    http_flush(http);
    http_is_status(http, 200);
    http_says(http, "Transfer-Encoding: chunked\r\n");
    http_says(http, "{\"result\":{\"header\":");
    http_says(http, "\"created\":true}}\n\r\n");
    for (int i = 1; i < 5; i++) { /* a quiet watch is no idle connection */
        assert_int_equal(
            pd_http1_protocol.expire(http->state, http->world.now_ns + (uint64_t)i * 100 * SECOND),
            PD_OK);
    }
    assert_false(pd_http1_protocol.has_ended(http->state));
    http_close(http);
}

static void a_watch_that_fails_says_so_in_its_line(void **state)
{
    (void)state;
    struct http *http = open_default();
    http_post(http, "/v3/watch", "{\"create_request\":{\"key\":7}}");
    http_is_status(http, 400);
    http_says(http, "{\"error\":{\"code\":3,\"message\":\"field 'key': a value of another type");
    http_says(http, "}}\n\r\n0\r\n\r\n");
    http_close(http);
    http = open_default();
    http_post(http, "/v3/watch", "{\"create_request\":");
    http_is_status(http, 400);
    http_says(http, "it ends too early");
    http_close(http);
    http = open_default();
    http_post(http, "/v3/watch", "[]");
    http_is_status(http, 400);
    http_close(http);
}

/* What gRPC calls metadata are headers with a prefix, as in etcd's gateway. */
static void a_leader_is_required_by_a_header(void **state)
{
    static const char head[] = "POST /v3/kv/put HTTP/1.1\r\nHost: localhost\r\n"
                               "Grpc-Metadata-HasLeader: %s\r\nContent-Length: %zu\r\n\r\n%s";
    char text[1024];
    (void)state;
    struct http *http = open_default();
    http->world.is_leaderless = true;
    (void)snprintf(text, sizeof text, head, "false", strlen(put), put);
    http_send(http, text);
    http_put_done(http, 3);
    http_flush(http);
    http_is_status(http, 200);
    http_forget(http);
    (void)snprintf(text, sizeof text, head, "true", strlen(put), put);
    http_send(http, text);
    http_is_status(http, 503);
    http_says(http, "\"code\":14");
    http_says(http, "etcdserver: no leader");
    assert_int_equal(http->world.submitted, 1);
    http_close(http);
}

static void keepalives_are_values_one_behind_the_other(void **state)
{
    (void)state;
    struct http *http = open_default();
    http_send(http, "POST /v3/lease/keepalive HTTP/1.1\r\nHost: localhost\r\n"
                    "Transfer-Encoding: chunked\r\n\r\n");
    http_send(http, "9\r\n{\"ID\":\"7\"\r\n");
    assert_int_equal(http->world.submitted, 0);
    http_send(http, "b\r\n} \n{\"I}\":1}\r\n");
    assert_int_equal(http->world.submitted, 2); /* a field that is not known is passed over */
    struct pd_kv_writer *writer = world_begin(&http->world, PD_KV_OK, 4, PD_KV_ANSWER_LEASE);
    pd_kv_answer_put_number(writer, 7);
    pd_kv_answer_put_number(writer, 60);
    world_kv(&http->world);
    http_flush(http);
    http_says(http, "\"ID\":\"7\",\"TTL\":\"60\"}}\n");
    assert_false(pd_http1_protocol.has_ended(http->state));
    writer = world_begin(&http->world, PD_KV_ERR_LEASE_NOT_FOUND, 4, PD_KV_ANSWER_NONE);
    world_kv(&http->world);
    http_send(http, "0\r\n\r\n");
    http_says(http, "\r\n0\r\n\r\n");
    http_forget(http);
    http_get(http, "/version"); /* the connection goes on */
    http_is_status(http, 200);
    http_close(http);
}

static void a_stream_that_is_not_read_is_held(void **state)
{
    (void)state;
    struct pd_http1_config config = pd_http1_config_default();
    config.output_bytes_soft = 200;
    struct http *http = http_open(&config);
    http_post(http, "/v3/watch", "{\"create_request\":{\"key\":\"Zm9v\"}}");
    const uint64_t correlation = world_asked(&http->world, PD_BACKEND_WATCH)->correlation;
    watch_answer(http, PD_BACKEND_WATCH_CREATED, correlation);
    assert_true(http->state->is_held);
    http_flush(http);
    assert_false(http->state->is_held);
    http_close(http);
}

static uint64_t waiting_bytes(const struct http *http)
{
    struct pd_service_counters counters;
    pd_service_counters(http->world.service, &counters);
    return counters.output_bytes;
}

/* A body that is not copied behind its head, and what was asked for behind it. */
static void a_large_body_is_whole_and_in_its_place(void **state)
{
    (void)state;
    static uint8_t value[400000];
    static uint8_t body[sizeof value + 1024];
    const struct pd_kv_answer_head head = {.revision = 7, .kind = PD_KV_ANSWER_RANGE};
    const struct pd_kv_record record = {
        .key = {value, 1}, .value = {value, sizeof value}, .version = 1};
    struct http *http = open_default();
    http_post(http, "/v3/kv/range", "{\"key\":\"Zm9v\"}");
    (void)world_asked(&http->world, PD_BACKEND_READ);
    struct pd_kv_writer *writer = &http->world.writer;
    *writer = (struct pd_kv_writer){.bytes = body, .bytes_max = sizeof body};
    pd_kv_answer_put_head(writer, &head);
    pd_kv_answer_put_record(writer, &record);
    pd_kv_answer_put_end(writer);
    pd_kv_answer_put_number(writer, 0);
    pd_kv_answer_put_number(writer, 1);
    world_kv(&http->world);
    assert_in_range(http->state->output.size, 1, 1024); /* its head alone */
    assert_in_range(waiting_bytes(http), sizeof value, 4 * sizeof value);
    assert_false(pd_http1_protocol.has_ended(http->state));
    struct pd_span part = pd_http1_protocol.output(http->state);
    memcpy(http->out, part.bytes, part.size);
    http->out_size = part.size;
    http_get(http, "/version");
    const char *begin = strstr(http->out, "\r\n\r\n");
    const char *length = strstr(http->out, "Content-Length: ");
    assert_non_null(begin);
    assert_non_null(length);
    const char *next = begin + 4 + strtoul(length + 16, NULL, 10);
    assert_memory_equal(next - 12, "\"count\":\"1\"}", 12);
    assert_memory_equal(next, "HTTP/1.1 200 ", 13);
    http_says(http, "etcdserver");
    assert_int_equal(waiting_bytes(http), 0);
    http_close(http);
}

/* Others have nearly all: it is said so, and not with the status of what there is no room for. */
static void an_answer_without_room_is_refused_and_the_connection_lives(void **state)
{
    (void)state;
    static uint8_t value[1500];
    struct http *http = open_default();
    struct pd_service_client others = {0};
    const uint64_t most = pd_service_config_default().output_bytes_max;
    const struct pd_kv_record record = {
        .key = {value, 1}, .value = {value, sizeof value}, .version = 1};
    for (unsigned i = 0; i < 2; i++) {
        (void)pd_service_output(http->world.service, &others, i == 0 ? most - 2048 : 0);
        http_forget(http);
        http_post(http, "/v3/kv/range", "{\"key\":\"Zm9v\"}");
        (void)world_asked(&http->world, PD_BACKEND_READ);
        struct pd_kv_writer *writer = world_begin(&http->world, PD_KV_OK, 7, PD_KV_ANSWER_RANGE);
        pd_kv_answer_put_record(writer, &record);
        pd_kv_answer_put_end(writer);
        pd_kv_answer_put_number(writer, 0);
        pd_kv_answer_put_number(writer, 1);
        world_kv(&http->world);
        http_flush(http);
        http_is_status(http, i == 0 ? 429 : 200);
        http_says(http, i == 0 ? "too many requests" : "\"count\":\"1\"");
        assert_false(pd_http1_protocol.has_ended(http->state));
    }
    http_close(http);
}

/* Whoever was given the last of it may still have to wait for the client: it is held until then. */
static void an_answer_counts_until_it_has_left(void **state)
{
    (void)state;
    static const char ask[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    struct http *http = open_default();
    http_take(http, ask, sizeof ask - 1);
    const size_t held = http->state->output.capacity;
    const size_t size = http->state->output.size;
    assert_int_equal(waiting_bytes(http), held);
    struct pd_span whole = pd_http1_protocol.output(http->state);
    assert_int_equal(whole.size, size); /* all of it, in one part */
    assert_int_equal(waiting_bytes(http), held);
    assert_int_equal(pd_http1_protocol.output(http->state).size, 0);
    assert_int_equal(waiting_bytes(http), 0);
    http_take(http, ask, sizeof ask - 1);
    (void)pd_http1_protocol.output(http->state);
    assert_true(waiting_bytes(http) > 0);
    pd_http1_protocol.close(http->state); /* the client is gone before it has left */
    assert_int_equal(waiting_bytes(http), 0);
    world_close(&http->world);
    free(http);
}

/* -- Pages ------------------------------------------------------------------------------------- */

static void health_is_what_the_node_says(void **state)
{
    (void)state;
    struct http *http = open_default();
    http_get(http, "/health");
    http_about_done(http, 5, false);
    http_flush(http);
    assert_false(world_asked(&http->world, PD_BACKEND_READ)->serializable);
    http_range_done(http);
    http_flush(http);
    http_is_status(http, 200);
    http_says(http, "\r\n\r\n{\"health\":\"true\",\"reason\":\"\"}");

    http_forget(http);
    http_get(http, "/health?serializable=true");
    http_about_done(http, 0, false); /* without a leader: what is asked is local */
    http_flush(http);
    assert_true(world_asked(&http->world, PD_BACKEND_READ)->serializable);
    http_range_done(http);
    http_flush(http);
    http_is_status(http, 200);

    http_forget(http);
    http_get(http, "/health?serializable=false");
    http_about_done(http, 0, false);
    http_flush(http);
    world_outcome(&http->world, PD_BACKEND_NO_LEADER);
    http_flush(http);
    http_is_status(http, 503);
    http_says(http, "{\"health\":\"false\",\"reason\":\"RAFT NO LEADER\"}");
    assert_int_equal(http->shared.counters.answers_5xx, 1);
    http_close(http);
}

static void readiness_names_each_check(void **state)
{
    (void)state;
    struct http *http = open_default();
    http_get(http, "/readyz?verbose");
    http_about_done(http, 5, true);
    http_flush(http);
    http_range_done(http);
    http_flush(http);
    world_outcome(&http->world, PD_BACKEND_NO_LEADER);
    http_flush(http);
    http_is_status(http, 503);
    http_says(http, "[+]serializable_read ok\n[-]linearizable_read failed: etcdserver: no leader\n"
                    "[-]non_learner failed: this node is a learner\n/readyz check failed\n");
    http_forget(http);
    http_get(http, "/livez");
    http_range_done(http);
    http_flush(http);
    http_is_status(http, 200);
    http_says(http, "\r\n\r\nok\n");
    http_close(http);
}

static void a_page_waits_for_the_node_no_longer_than_it_may(void **state)
{
    (void)state;
    struct http *http = open_default();
    http_get(http, "/health");
    uint64_t deadline = http->world.now_ns + http->shared.config.page_ns;
    assert_int_equal(pd_http1_protocol.deadline_ns(http->state), deadline);
    assert_int_equal(pd_http1_protocol.expire(http->state, deadline), PD_OK);
    http_flush(http);
    http_is_status(http, 503);
    http_says(http, "no answer within 5000 ms");
    assert_int_equal(http->world.cancelled, 1);
    http_close(http);
}

static void the_browsers_page_holds_no_markup_of_members(void **state)
{
    (void)state;
    struct http *http = open_default();
    http_get(http, "/");
    http_about_done(http, 5, false);
    http_flush(http);
    http_about_done(http, 5, false);
    http_flush(http);
    http_is_status(http, 200);
    http_says(http, "Content-Security-Policy: default-src 'none'");
    http_says(http, "This node leads.");
    http_says(http, "&lt;b&gt;&amp;&quot;&#39;");
    http_says(http, "<a href=\"http://a/\">");
    http_says_not(http, "<b>");
    http_says_not(http, "href=\"javascript");
    http_says_not(http, "<script");
    http_forget(http);
    http_send(http, "HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    http_about_done(http, 5, false);
    http_flush(http);
    http_about_done(http, 5, false);
    http_flush(http);
    http_is_status(http, 200);
    http_says_not(http, "<html");
    http_close(http);
}

static void metrics_are_told_at_once(void **state)
{
    (void)state;
    struct http *http = open_default();
    http->counters.connections = 17;
    http->native = (struct pd_native_counters){.connections = 21,
                                               .connections_refused = 22,
                                               .frames = 23,
                                               .bad_frames = 24,
                                               .late_frames = 25,
                                               .crowded = 26,
                                               .cut_off = 27};
    http_get(http, "/metrics");
    http_is_status(http, 200);
    http_says(http, "\npando_client_connections_total 17\n");
    http_says(http, "\npando_native_connections_total 21\n");
    http_says(http, "\npando_native_connections_refused_total 22\n");
    http_says(http, "\npando_native_frames_total 23\n");
    http_says(http, "\npando_native_bad_frames_total 24\n");
    http_says(http, "\npando_native_late_frames_total 25\n");
    http_says(http, "\npando_native_crowded_total 26\n");
    http_says(http, "\npando_native_cut_off_total 27\n");
    http_says(http, "\npando_http_requests_total 1\n");
    http_says(http, "# TYPE process_cpu_seconds_total counter\n");
    assert_int_equal(http->world.submitted, 0);
    http_close(http);
}

static void of_the_node(struct pd_backend *backend, struct pd_backend_figures *figures_out)
{
    (void)backend;
    *figures_out = (struct pd_backend_figures){.peer_packets_dropped = 24,
                                               .datagrams_dropped = 25,
                                               .versions_refused = 26,
                                               .bad_tokens = 27,
                                               .connections_failed = 28,
                                               .connections_timed_out = 29,
                                               .bad_frames = 30,
                                               .peers_refused_busy = 31,
                                               .peers_refused_flood = 32,
                                               .peers_refused_key = 33,
                                               .connections_silent = 34,
                                               .peers_moved = 35,
                                               .own_moves = 36,
                                               .trains = 37,
                                               .trains_refused = 38};
}

static void metrics_of_the_port_for_nodes_are_told(void **state)
{
    (void)state;
    static const struct pd_backend_ops ops = {.submit = world_submit,
                                              .cancel = world_cancel,
                                              .credit = world_credit,
                                              .figures = of_the_node};
    struct http *http = open_default();
    http->world.backend.ops = &ops;
    http_get(http, "/metrics");
    http_is_status(http, 200);
    http_says(http, "\npando_peer_packets_dropped_total 24\n");
    http_says(http, "\npando_peer_datagrams_dropped_total 25\n");
    http_says(http, "\npando_peer_versions_refused_total 26\n");
    http_says(http, "\npando_peer_tokens_refused_total 27\n");
    http_says(http, "\npando_peer_connections_failed_total 28\n");
    http_says(http, "\npando_peer_connections_timed_out_total 29\n");
    http_says(http, "\npando_peer_frames_refused_total 30\n");
    http_says(http, "\npando_peer_handshakes_refused_total 31\n");
    http_says(http, "\npando_peer_handshakes_flood_total 32\n");
    http_says(http, "\npando_peer_keys_refused_total 33\n");
    http_says(http, "\npando_peer_connections_silent_total 34\n");
    http_says(http, "\npando_peer_connections_moved_total 35\n");
    http_says(http, "\npando_address_changes_total 36\n");
    http_says(http, "\npando_peer_trains_total 37\n");
    http_says(http, "\npando_peer_trains_refused_total 38\n");
    http_close(http);
}

/* -- All of it --------------------------------------------------------------------------------- */

static void every_method_has_a_path_and_every_path_a_method(void **state)
{
    (void)state;
    struct pd_span called;
    for (uint32_t i = 0; pd_http1_route_at(i, &called) != NULL; i++) {
        const char *path = pd_http1_route_at(i, &called);
        const struct pd_service_method *method = pd_service_find(called);
        assert_ptr_equal(pd_http1_route((struct pd_span){(const uint8_t *)path, strlen(path)}),
                         method);
    }
    const struct pd_service_method *method = NULL;
    for (uint32_t i = 0; (method = pd_service_method_at(i)) != NULL; i++) {
        bool is_there = strncmp(method->path, "/grpc.", 6) == 0; /* of gRPC alone, as etcd's */
        for (uint32_t j = 0; pd_http1_route_at(j, &called) != NULL; j++) {
            is_there = is_there || (called.size == strlen(method->path) &&
                                    memcmp(called.bytes, method->path, called.size) == 0);
        }
        if (!is_there) {
            fail_msg("%s has no path", method->path);
        }
    }
    static const char beta[] = "/v3beta/kv/range";
    static const char *const none[] = {"/v3beta/", "/v3beta", "/v3beta/kv/nothing"};
    assert_ptr_equal(pd_http1_route((struct pd_span){(const uint8_t *)beta, sizeof beta - 1}),
                     pd_http1_route((struct pd_span){(const uint8_t *)"/v3/kv/range", 12}));
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_null(pd_http1_route((struct pd_span){(const uint8_t *)none[i], strlen(none[i])}));
    }
}

/* Each allocation in turn fails: a request is answered, refused or hung up on; nothing leaks. */
static void no_memory_is_an_answer_or_the_end(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth < 40; nth++) {
        struct http *http = open_default();
        char text[512];
        int size =
            snprintf(text, sizeof text,
                     "POST /v3/kv/put HTTP/1.1\r\nHost: localhost\r\n"
                     "Content-Length: %zu\r\n\r\n%sGET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
                     sizeof put - 1, put);
        pd_alloc_fail_nth(nth);
        http_take(http, text, (size_t)size);
        http_flush(http);
        if (http->world.asked_count > 0) {
            world_outcome(&http->world, PD_BACKEND_NO_LEADER);
        }
        http_flush(http);
        pd_alloc_fail_nth(0);
        http_close(http);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_put_is_asked_and_answered),
        cmocka_unit_test(bytes_may_come_one_by_one_and_bodies_in_chunks),
        cmocka_unit_test(requests_behind_one_wait_for_its_answer),
        cmocka_unit_test(who_is_ahead_is_not_read_from),
        cmocka_unit_test(what_was_answered_is_kept_no_longer),
        cmocka_unit_test(a_body_is_asked_for_when_that_is_expected),
        cmocka_unit_test(http10_ends_with_the_answer_unless_asked_otherwise),
        cmocka_unit_test(what_is_not_served_is_refused_with_words),
        cmocka_unit_test(foreign_pages_and_names_are_refused),
        cmocka_unit_test(what_was_allowed_by_name_is_answered),
        cmocka_unit_test(what_is_too_long_is_refused),
        cmocka_unit_test(who_is_too_slow_is_told_and_left),
        cmocka_unit_test(who_asks_nothing_is_left_and_who_waits_is_not),
        cmocka_unit_test(a_watch_is_lines_until_the_client_leaves),
        cmocka_unit_test(a_watch_that_fails_says_so_in_its_line),
        cmocka_unit_test(a_leader_is_required_by_a_header),
        cmocka_unit_test(keepalives_are_values_one_behind_the_other),
        cmocka_unit_test(a_stream_that_is_not_read_is_held),
        cmocka_unit_test(an_answer_counts_until_it_has_left),
        cmocka_unit_test(a_large_body_is_whole_and_in_its_place),
        cmocka_unit_test(an_answer_without_room_is_refused_and_the_connection_lives),
        cmocka_unit_test(health_is_what_the_node_says),
        cmocka_unit_test(readiness_names_each_check),
        cmocka_unit_test(a_page_waits_for_the_node_no_longer_than_it_may),
        cmocka_unit_test(the_browsers_page_holds_no_markup_of_members),
        cmocka_unit_test(metrics_are_told_at_once),
        cmocka_unit_test(metrics_of_the_port_for_nodes_are_told),
        cmocka_unit_test(every_method_has_a_path_and_every_path_a_method),
        cmocka_unit_test(no_memory_is_an_answer_or_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
