/* gateway_world - services over a backend that the test plays: what was submitted is kept, and the
 * test answers it. */
#ifndef PD_TEST_GATEWAY_WORLD_H
#define PD_TEST_GATEWAY_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/list.h"
#include "gateway/service.h"
#include "proto/election.pb-c.h"
#include "proto/lock.pb-c.h"
#include "proto/rpc.pb-c.h"

#define ASKED_MAX 64u
#define BODY_MAX 4096u

struct asked {
    uint64_t correlation;
    enum pd_backend_kind kind;
    bool serializable;
    uint64_t number;
    uint8_t body[BODY_MAX];
    size_t body_size;
    struct pd_backend_watch watch; /* its keys lie in body */
};

struct world {
    struct pd_backend backend; /* first */
    struct pd_service *service;
    struct pd_service_client client; /* whose calls they are */
    struct asked asked[ASKED_MAX];   /* not answered yet, oldest first */
    uint32_t asked_count;
    uint32_t submitted;
    uint32_t cancelled;
    uint64_t cancelled_last;
    uint32_t credited; /* bytes */
    uint32_t progress_asked;
    enum pd_status refuse; /* what submit answers; PD_OK: it takes */
    bool is_leaderless;
    uint64_t now_ns;
    uint8_t answer[BODY_MAX];
    struct pd_kv_writer writer;
};

static inline struct world *world_of(struct pd_backend *backend)
{
    return (struct world *)(void *)backend;
}

static inline uint64_t world_now(const struct pd_backend *backend)
{
    return ((const struct world *)(const void *)backend)->now_ns;
}

static inline enum pd_status world_submit(struct pd_backend *backend, uint64_t correlation,
                                          const struct pd_backend_request *request)
{
    struct world *world = world_of(backend);
    if (world->refuse != PD_OK) {
        return world->refuse;
    }
    assert_true(world->asked_count < ASKED_MAX);
    struct asked *asked = &world->asked[world->asked_count++];
    *asked = (struct asked){.correlation = correlation,
                            .kind = request->kind,
                            .serializable = request->serializable,
                            .number = request->number};
    assert_true(request->body.size <= BODY_MAX);
    if (request->body.size > 0) {
        memcpy(asked->body, request->body.bytes, request->body.size);
    }
    asked->body_size = request->body.size;
    if (request->watch != NULL) {
        asked->watch = *request->watch;
        assert_true(request->watch->key.size + request->watch->range_end.size <= BODY_MAX);
        if (request->watch->key.size > 0) {
            memcpy(asked->body, request->watch->key.bytes, request->watch->key.size);
        }
        if (request->watch->range_end.size > 0) {
            memcpy(asked->body + request->watch->key.size, request->watch->range_end.bytes,
                   request->watch->range_end.size);
        }
        asked->watch.key.bytes = asked->body;
        asked->watch.range_end.bytes = asked->body + request->watch->key.size;
    }
    world->submitted++;
    return PD_OK;
}

static inline void world_cancel(struct pd_backend *backend, uint64_t correlation,
                                enum pd_backend_kind kind)
{
    (void)kind;
    world_of(backend)->cancelled++;
    world_of(backend)->cancelled_last = correlation;
}

static inline void world_credit(struct pd_backend *backend, uint64_t correlation, uint32_t credit,
                                bool wants_progress)
{
    (void)correlation;
    world_of(backend)->credited += credit;
    world_of(backend)->progress_asked += wants_progress;
}

static inline bool world_has_leader(const struct pd_backend *backend)
{
    return !((const struct world *)(const void *)backend)->is_leaderless;
}

static const struct pd_backend_ops world_ops = {.submit = world_submit,
                                                .cancel = world_cancel,
                                                .credit = world_credit,
                                                .has_leader = world_has_leader};

static inline void world_open(struct world *world, const struct pd_service_config *config)
{
    *world = (struct world){
        .backend = {.ops = &world_ops, .cluster_id = 77, .member_id = 5, .now_ns = world_now}};
    struct pd_service_config filled = *config;
    filled.backend = &world->backend;
    assert_int_equal(pd_service_open(&filled, &world->service), PD_OK);
}

static inline void world_close(struct world *world)
{
    assert_int_equal(world->client.watches, 0);
    assert_int_equal(world->client.watch_key_bytes, 0);
    pd_service_client_leave(&world->client);
    pd_service_close(world->service);
}

/* The oldest request that was not answered. */
static inline struct asked *world_asked(struct world *world, enum pd_backend_kind kind)
{
    assert_true(world->asked_count > 0);
    assert_int_equal(world->asked[0].kind, kind);
    return &world->asked[0];
}

static inline struct pd_kv_command *world_command(struct world *world,
                                                  struct pd_kv_command *command,
                                                  const struct pd_kv_command_room *room)
{
    const struct pd_kv_limits limits = pd_kv_config_default().limits;
    assert_true(world->asked_count > 0);
    struct pd_span body = {world->asked[0].body, world->asked[0].body_size};
    assert_int_equal(pd_kv_command_decode(body, &limits, room, command), PD_KV_OK);
    return command;
}

static inline void world_give(struct world *world, uint64_t correlation,
                              const struct pd_backend_answer *answer)
{
    pd_service_answered(world->service, correlation, answer);
}

/* Answer the oldest request; what it was is forgotten before. */
static inline void world_answer(struct world *world, const struct pd_backend_answer *answer)
{
    assert_true(world->asked_count > 0);
    uint64_t correlation = world->asked[0].correlation;
    world->asked_count--;
    memmove(&world->asked[0], &world->asked[1], world->asked_count * sizeof world->asked[0]);
    world_give(world, correlation, answer);
}

/* An answer of the store's: begun here, ended by world_kv. */
static inline struct pd_kv_writer *world_begin(struct world *world, enum pd_kv_error error,
                                               int64_t revision, enum pd_kv_answer_kind kind)
{
    world->writer = (struct pd_kv_writer){.bytes = world->answer, .bytes_max = BODY_MAX};
    const struct pd_kv_answer_head head = {.error = error, .revision = revision, .kind = kind};
    pd_kv_answer_put_head(&world->writer, &head);
    return &world->writer;
}

static inline void world_kv(struct world *world)
{
    assert_false(world->writer.is_full);
    const struct pd_backend_answer answer = {.outcome = PD_BACKEND_OK,
                                             .term = 9,
                                             .leader = 5,
                                             .body = {world->writer.bytes, world->writer.size}};
    world_answer(world, &answer);
}

static inline void world_outcome(struct world *world, enum pd_backend_outcome outcome)
{
    const struct pd_backend_answer answer = {.outcome = outcome, .term = 9};
    world_answer(world, &answer);
}

/* Of two members, of which 5, the node that is asked, leads. */
static inline void world_answer_about(struct world *world)
{
    static const struct pd_backend_about about = {
        .revision = 42,
        .compacted_revision = 30,
        .committed_index = 1000,
        .applied_index = 999,
        .hash = 0x123456789,
        .store_bytes = 4096,
        .member_count = 2,
        .members = {{.id = 5,
                     .name = "one",
                     .client_url_count = 1,
                     .client_urls = {"http://127.0.0.1:1"},
                     .peer_url_count = 1,
                     .peer_urls = {"quic://127.0.0.1:2"}},
                    {.id = 6, .name = "two", .is_learner = true}},
    };
    const struct pd_backend_answer answer = {
        .outcome = PD_BACKEND_OK, .term = 9, .leader = 5, .about = &about};
    world_answer(world, &answer);
}

/* -- A carrier that keeps what it is given ----------------------------------------------------- */

#define KEPT_MAX 32u

struct kept {
    struct pd_service_call *call;
    const ProtobufCMessageDescriptor *type;
    ProtobufCMessage *messages[KEPT_MAX];
    uint32_t count;
    bool has_ended;
    bool is_held; /* it takes no more */
    uint32_t roomy;
    enum pd_service_code code;
    char text[256];
};

static inline bool kept_response(struct pd_service_call *call, const ProtobufCMessage *message)
{
    struct kept *kept = pd_service_context(call);
    assert_true(kept->count < KEPT_MAX);
    assert_false(kept->has_ended);
    assert_ptr_equal(message->descriptor, kept->type);
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = pd_alloc(size + 1);
    assert_non_null(bytes);
    assert_int_equal(protobuf_c_message_pack(message, bytes), size);
    kept->messages[kept->count] = protobuf_c_message_unpack(kept->type, NULL, size, bytes);
    assert_non_null(kept->messages[kept->count]);
    kept->count++;
    pd_free(bytes);
    return !kept->is_held;
}

static inline void kept_ended(struct pd_service_call *call, enum pd_service_code code,
                              const char *text)
{
    struct kept *kept = pd_service_context(call);
    assert_false(kept->has_ended);
    kept->has_ended = true;
    kept->code = code;
    (void)snprintf(kept->text, sizeof kept->text, "%s", text);
    kept->call = NULL;
}

static inline void kept_roomy(struct pd_service_call *call)
{
    struct kept *kept = pd_service_context(call);
    kept->roomy++;
}

static const struct pd_service_carrier kept_carrier = {
    .response = kept_response, .ended = kept_ended, .roomy = kept_roomy};

static inline void kept_begin(struct world *world, struct kept *kept, const char *path)
{
    const struct pd_service_method *method =
        pd_service_find((struct pd_span){(const uint8_t *)path, strlen(path)});
    assert_non_null(method);
    *kept = (struct kept){.type = method->response};
    kept->call = pd_service_begin(world->service, method, &kept_carrier, kept, &world->client);
    assert_non_null(kept->call);
}

/* A unary call: one request. */
static inline void kept_ask(struct world *world, struct kept *kept, const char *path,
                            const void *message)
{
    kept_begin(world, kept, path);
    pd_service_request(kept->call, message);
    if (kept->call != NULL) {
        pd_service_half_close(kept->call);
    }
}

static inline void kept_free(struct kept *kept)
{
    if (kept->call != NULL) {
        pd_service_cancel(kept->call);
    }
    for (uint32_t i = 0; i < kept->count; i++) {
        protobuf_c_message_free_unpacked(kept->messages[i], NULL);
    }
    *kept = (struct kept){0};
}

static inline void kept_failed(const struct kept *kept, enum pd_service_code code, const char *text)
{
    assert_true(kept->has_ended);
    assert_string_equal(kept->text, text);
    assert_int_equal(kept->code, code);
}

static inline ProtobufCBinaryData bytes_of(const char *text)
{
    return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)(uintptr_t)text};
}

static inline void is_bytes(ProtobufCBinaryData bytes, const char *text)
{
    assert_int_equal(bytes.len, strlen(text));
    assert_memory_equal(bytes.data, text, bytes.len);
}

#endif
