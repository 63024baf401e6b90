/* grpc_world - gRPC over HTTP/2 without a socket: nghttp2's client on the other side of
 * pd_grpc_protocol, over gateway_world.h's services. */
#ifndef PD_TEST_GRPC_WORLD_H
#define PD_TEST_GRPC_WORLD_H

#include <nghttp2/nghttp2.h>
#include <stdlib.h>

#include "gateway/gateway_world.h"
#include "gateway/grpc.h"

#define STREAMS_MAX 16
#define BYTES_MAX ((size_t)1 << 20)

/* What the client got on a stream. */
struct got {
    int32_t id;
    uint8_t *body;
    size_t size;
    int http_status;
    int status; /* -1: none came */
    char message[256];
    bool is_closed;
    uint32_t reset; /* the code; 0: it was not, or NO_ERROR */
    const uint8_t *out;
    size_t out_size;
    size_t out_at;
    bool stays_open; /* does not end its request */
};

static struct world world;
static struct pd_grpc_shared shared;
static struct pd_grpc *grpc;
static nghttp2_session *client;
static struct got gots[STREAMS_MAX];
static uint32_t got_count;
static unsigned wants;
static unsigned pongs;
static bool is_broken;

static inline void wants_output(void *connection)
{
    (void)connection;
    wants++;
}

static inline struct got *got_of(int32_t id)
{
    for (uint32_t i = 0; i < got_count; i++) {
        if (gots[i].id == id) {
            return &gots[i];
        }
    }
    return NULL;
}

static inline int on_header(nghttp2_session *session, const nghttp2_frame *frame,
                            const uint8_t *name, size_t name_size, const uint8_t *value,
                            size_t value_size, uint8_t flags, void *user)
{
    (void)session;
    (void)flags;
    (void)user;
    struct got *got = got_of(frame->hd.stream_id);
    char text[256];
    (void)snprintf(text, sizeof text, "%.*s", (int)value_size, (const char *)value);
    if (name_size == 7 && memcmp(name, ":status", 7) == 0) {
        got->http_status = (int)strtol(text, NULL, 10);
    } else if (name_size == 11 && memcmp(name, "grpc-status", 11) == 0) {
        got->status = (int)strtol(text, NULL, 10);
    } else if (name_size == 12 && memcmp(name, "grpc-message", 12) == 0) {
        (void)snprintf(got->message, sizeof got->message, "%s", text);
    }
    return 0;
}

static inline int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                          size_t size, void *user)
{
    (void)session;
    (void)flags;
    (void)user;
    struct got *got = got_of(id);
    assert_true(got->size + size <= BYTES_MAX);
    memcpy(got->body + got->size, bytes, size);
    got->size += size;
    return 0;
}

static inline int on_closed(nghttp2_session *session, int32_t id, uint32_t error, void *user)
{
    (void)session;
    (void)user;
    struct got *got = got_of(id);
    got->is_closed = true;
    got->reset = error;
    return 0;
}

static inline int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)session;
    (void)user;
    pongs += frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0;
    return 0;
}

static inline void open_pair(void)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    const struct pd_protocol_owner owner = {.wants_output = wants_output};
    shared.service = world.service;
    grpc = pd_grpc_open(&shared, &owner);
    assert_non_null(grpc);
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    assert_int_equal(nghttp2_option_new(&option), 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_closed);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    assert_int_equal(nghttp2_session_client_new2(&client, callbacks, NULL, option), 0);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    assert_int_equal(nghttp2_submit_settings(client, NGHTTP2_FLAG_NONE, NULL, 0), 0);
    got_count = 0;
    pongs = 0;
    is_broken = false;
}

static inline int open_world(void **state)
{
    (void)state;
    const struct pd_service_config service = pd_service_config_default();
    world_open(&world, &service);
    shared.config = pd_grpc_config_default();
    open_pair();
    return 0;
}

static inline void close_pair(void)
{
    pd_grpc_protocol.close(grpc);
    assert_int_equal(shared.input_bytes, 0);
    nghttp2_session_del(client);
    for (uint32_t i = 0; i < got_count; i++) {
        pd_free(gots[i].body);
    }
}

static inline int close_world(void **state)
{
    (void)state;
    close_pair();
    world_close(&world);
    return 0;
}

static inline int open_with(void (*change)(struct pd_grpc_config *config))
{
    (void)close_world(NULL);
    const struct pd_service_config service = pd_service_config_default();
    world_open(&world, &service);
    shared.config = pd_grpc_config_default();
    change(&shared.config);
    open_pair();
    return 0;
}

/* Everything to and fro, `step` bytes at a time to the server. */
static inline void exchange_by(size_t step)
{
    bool more = true;
    while (more) {
        more = false;
        const uint8_t *bytes = NULL;
        ssize_t size = nghttp2_session_mem_send(client, &bytes);
        assert_true(size >= 0);
        for (ssize_t at = 0; at < size && !is_broken; at += (ssize_t)step) {
            size_t part = (size_t)(size - at) < step ? (size_t)(size - at) : step;
            is_broken = pd_grpc_protocol.receive(grpc, (struct pd_span){bytes + at, part},
                                                 world.now_ns) != PD_OK;
            more = true;
        }
        struct pd_span out = pd_grpc_protocol.output(grpc);
        if (out.size > 0) {
            assert_int_equal(nghttp2_session_mem_recv(client, out.bytes, out.size), out.size);
            more = true;
        }
    }
}

static inline void exchange(void)
{
    exchange_by(SIZE_MAX / 4);
}

static inline ssize_t read_out(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
                               uint32_t *flags, nghttp2_data_source *source, void *user)
{
    (void)session;
    (void)id;
    (void)user;
    struct got *got = source->ptr;
    size_t part = got->out_size - got->out_at;
    part = part < room ? part : room;
    if (part > 0) {
        memcpy(to, got->out + got->out_at, part);
    }
    got->out_at += part;
    if (got->out_at == got->out_size) {
        if (got->stays_open && part == 0) {
            return NGHTTP2_ERR_DEFERRED;
        }
        *flags |= got->stays_open ? 0 : NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)part;
}

static inline nghttp2_nv pair(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .value = (uint8_t *)(uintptr_t)value,
                        .namelen = strlen(name),
                        .valuelen = strlen(value)};
}

/* A request whose body is `bytes`, borrowed until it is sent. extra: a header more, or NULL. */
static inline struct got *send_request(const char *path, const void *bytes, size_t size,
                                       bool stays_open, const char *extra, const char *extra_value)
{
    assert_true(got_count < STREAMS_MAX);
    struct got *got = &gots[got_count++];
    *got = (struct got){.out = bytes, .out_size = size, .status = -1, .stays_open = stays_open};
    got->body = pd_alloc(BYTES_MAX);
    assert_non_null(got->body);
    nghttp2_nv pairs[8] = {
        pair(":method", "POST"),
        pair(":scheme", "http"),
        pair(":path", path),
        pair(":authority", "localhost"),
        pair("content-type", "application/grpc+proto"),
        pair("te", "trailers"),
    };
    size_t count = 6;
    if (extra != NULL) {
        pairs[count++] = pair(extra, extra_value);
    }
    nghttp2_data_provider provider = {.source.ptr = got, .read_callback = read_out};
    got->id = nghttp2_submit_request(client, NULL, pairs, count, &provider, NULL);
    assert_true(got->id > 0);
    return got;
}

/* A message with its prefix. */
static inline size_t frame(const void *message, uint8_t *to)
{
    size_t size = protobuf_c_message_pack(message, to + 5);
    to[0] = 0;
    to[1] = (uint8_t)(size >> 24);
    to[2] = (uint8_t)(size >> 16);
    to[3] = (uint8_t)(size >> 8);
    to[4] = (uint8_t)size;
    return 5 + size;
}

static inline size_t put_frame(uint8_t *to, const char *value)
{
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    put.key = bytes_of("k");
    put.value = bytes_of(value);
    return frame(&put, to);
}

static inline void answer_put(int64_t revision)
{
    pd_kv_answer_put_end(world_begin(&world, PD_KV_OK, revision, PD_KV_ANSWER_PUT));
    world_kv(&world);
}

static inline void is_put(const struct got *got, int64_t revision)
{
    assert_int_equal(got->http_status, 200);
    assert_int_equal(got->status, 0);
    assert_true(got->is_closed);
    assert_int_equal(got->reset, 0);
    assert_true(got->size > 5);
    Etcdserverpb__PutResponse *response =
        etcdserverpb__put_response__unpack(NULL, got->size - 5, got->body + 5);
    assert_non_null(response);
    assert_int_equal(response->header->revision, revision);
    etcdserverpb__put_response__free_unpacked(response, NULL);
}

static inline void ends_with(const struct got *got, int status, const char *message)
{
    assert_string_equal(got->message, message);
    assert_int_equal(got->status, status);
    assert_int_equal(got->http_status, 200);
}

/* A request with these headers, and `size` bytes of `room` behind them. */
static inline struct got *send_headers(const nghttp2_nv *pairs, size_t count, const uint8_t *room,
                                       size_t size)
{
    assert_true(got_count < STREAMS_MAX);
    struct got *got = &gots[got_count++];
    *got = (struct got){.out = room, .out_size = size, .status = -1};
    got->body = pd_alloc(BYTES_MAX);
    assert_non_null(got->body);
    nghttp2_data_provider provider = {.source.ptr = got, .read_callback = read_out};
    got->id = nghttp2_submit_request(client, NULL, pairs, count, &provider, NULL);
    assert_true(got->id > 0);
    exchange();
    return got;
}

#endif
