/* http1_world - one connection of HTTP/1.1 over services whose backend the test plays. */
#ifndef PD_TEST_HTTP1_WORLD_H
#define PD_TEST_HTTP1_WORLD_H

#include "gateway/gateway.h"
#include "gateway/gateway_world.h"
#include "gateway/http1.h"
#include "gateway/http1_internal.h"

#define OUT_MAX ((size_t)4 * 1024 * 1024)
#define SECOND UINT64_C(1000000000)

struct http {
    struct world world;
    struct pd_gateway_counters counters;
    struct pd_native_counters native;
    struct pd_http1_shared shared;
    struct pd_http1 *state;
    char *out; /* all that was sent, a zero byte behind it */
    size_t out_size;
    uint32_t wanted; /* times that output was announced */
    enum pd_status status;
};

/* One connection at a time: the fuzzer is ten times quicker for it. */
static char http_out[OUT_MAX];

static inline void http_wants(void *connection)
{
    struct http *http = connection;
    http->wanted++;
}

static inline struct http *http_open(const struct pd_http1_config *config)
{
    struct http *http = calloc(1, sizeof *http);
    struct pd_service_config service = pd_service_config_default();
    const struct pd_protocol_owner owner = {.wants_output = http_wants, .connection = http};
    service.waits_max = 64;
    world_open(&http->world, &service);
    http->world.now_ns = SECOND;
    http->shared = (struct pd_http1_shared){.config = *config,
                                            .service = http->world.service,
                                            .backend = &http->world.backend,
                                            .gateway_counters = &http->counters,
                                            .native_counters = &http->native,
                                            .version = "3.6.0"};
    http->state = pd_http1_open(&http->shared, &owner);
    assert_non_null(http->state);
    http->out = http_out;
    http->out[0] = '\0';
    return http;
}

static inline void http_close(struct http *http)
{
    pd_http1_protocol.close(http->state);
    assert_int_equal(http->shared.bodies_bytes, 0);
    world_close(&http->world);
    free(http);
}

/* As the socket's owner does: whatever there is leaves. */
static inline void http_flush(struct http *http)
{
    struct pd_span part = pd_http1_protocol.output(http->state);
    while (part.size > 0) {
        assert_true(part.size <= (size_t)32 * 1024);
        assert_true(http->out_size + part.size < OUT_MAX);
        memcpy(http->out + http->out_size, part.bytes, part.size);
        http->out_size += part.size;
        part = pd_http1_protocol.output(http->state);
    }
    http->out[http->out_size] = '\0';
}

static inline void http_take(struct http *http, const void *bytes, size_t size)
{
    /* A copy of its own: reading past its end is seen by ASan. */
    uint8_t *copy = malloc(size + (size == 0));
    memcpy(copy, bytes, size);
    http->status =
        pd_http1_protocol.receive(http->state, (struct pd_span){copy, size}, http->world.now_ns);
    free(copy);
}

static inline void http_send(struct http *http, const char *text)
{
    http_take(http, text, strlen(text));
    assert_int_equal(http->status, PD_OK);
    http_flush(http);
}

static inline void http_post(struct http *http, const char *path, const char *json)
{
    char text[4096];
    int size = snprintf(text, sizeof text,
                        "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s",
                        path, strlen(json), json);
    assert_true(size > 0 && (size_t)size < sizeof text);
    http_send(http, text);
}

static inline void http_get(struct http *http, const char *path)
{
    char text[2048];
    (void)snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
    http_send(http, text);
}

/* Forget what was sent so far. */
static inline void http_forget(struct http *http)
{
    http->out_size = 0;
    http->out[0] = '\0';
}

static inline void http_says(const struct http *http, const char *text)
{
    if (strstr(http->out, text) == NULL) {
        fail_msg("'%s' is not in:\n%s", text, http->out);
    }
}

static inline void http_says_not(const struct http *http, const char *text)
{
    if (strstr(http->out, text) != NULL) {
        fail_msg("'%s' is in:\n%s", text, http->out);
    }
}

static inline void http_is_status(const struct http *http, unsigned status)
{
    char text[32];
    (void)snprintf(text, sizeof text, "HTTP/1.1 %u ", status);
    if (strncmp(http->out, text, strlen(text)) != 0) {
        fail_msg("not %u: %s", status, http->out);
    }
}

/* The oldest write is done. */
static inline void http_put_done(struct http *http, int64_t revision)
{
    (void)world_asked(&http->world, PD_BACKEND_WRITE);
    struct pd_kv_writer *writer = world_begin(&http->world, PD_KV_OK, revision, PD_KV_ANSWER_PUT);
    pd_kv_answer_put_end(writer);
    world_kv(&http->world);
}

static inline void http_range_done(struct http *http)
{
    (void)world_asked(&http->world, PD_BACKEND_READ);
    struct pd_kv_writer *writer = world_begin(&http->world, PD_KV_OK, 7, PD_KV_ANSWER_RANGE);
    pd_kv_answer_put_end(writer);
    pd_kv_answer_put_number(writer, 0);
    pd_kv_answer_put_number(writer, 0);
    world_kv(&http->world);
}

static inline void http_about_done(struct http *http, uint64_t leader, bool is_learner)
{
    static struct pd_backend_about about;
    about = (struct pd_backend_about){.revision = 7,
                                      .committed_index = 11,
                                      .applied_index = 10,
                                      .store_bytes = 4096,
                                      .is_learner = is_learner,
                                      .member_count = 1};
    about.members[0] = (struct pd_backend_member){.id = 5,
                                                  .name = "<b>&\"'",
                                                  .client_url_count = 2,
                                                  .client_urls = {"http://a", "javascript:x"}};
    (void)world_asked(&http->world, PD_BACKEND_ABOUT);
    const struct pd_backend_answer answer = {
        .outcome = PD_BACKEND_OK, .leader = leader, .term = 9, .about = &about};
    world_answer(&http->world, &answer);
}

#endif
