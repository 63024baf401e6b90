/* Any bytes as requests of any method, any bytes as the node's answers: the services neither crash
 * nor leak, and what they submit is a command that the store can decode, or refuses for a reason
 * that etcd has words for. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "gateway/service.h"
#include "proto/depth.h"

#define PENDING_MAX 64u
#define CALLS_MAX 8u

struct pending {
    uint64_t correlation;
    enum pd_backend_kind kind;
};

struct input {
    const uint8_t *bytes;
    size_t size;
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static struct pd_backend backend;
static struct pd_service *service;
static struct pending pending[PENDING_MAX];
static uint32_t pending_count;
static struct pd_service_call *calls[CALLS_MAX];
static struct pd_kv_op ops[1024];
static struct pd_kv_compare compares[1024];

static uint64_t now_ns(const struct pd_backend *unused)
{
    (void)unused;
    return 1;
}

static enum pd_status submit(struct pd_backend *unused, uint64_t correlation,
                             const struct pd_backend_request *request)
{
    (void)unused;
    if (pending_count == PENDING_MAX) {
        return PD_ERR_FULL;
    }
    pending[pending_count++] = (struct pending){correlation, request->kind};
    if (request->kind <= PD_BACKEND_READ) {
        const struct pd_kv_limits limits = pd_kv_config_default().limits;
        const struct pd_kv_command_room room = {ops, compares, 1024, 1024};
        struct pd_kv_command command;
        enum pd_kv_error error = pd_kv_command_decode(request->body, &limits, &room, &command);
        pd_assert(error != PD_KV_ERR_MALFORMED);
    }
    return PD_OK;
}

static void cancel(struct pd_backend *unused, uint64_t correlation, enum pd_backend_kind kind)
{
    (void)unused;
    (void)correlation;
    (void)kind;
}

static void credit(struct pd_backend *unused, uint64_t correlation, uint32_t bytes, bool progress)
{
    (void)unused;
    (void)correlation;
    (void)bytes;
    (void)progress;
}

static const struct pd_backend_ops backend_ops = {
    .submit = submit, .cancel = cancel, .credit = credit};

static bool on_response(struct pd_service_call *call, const ProtobufCMessage *message)
{
    (void)call;
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = malloc(size + 1);
    size_t packed = protobuf_c_message_pack(message, bytes);
    pd_assert(packed == size);
    free(bytes);
    return size % 3 != 0;
}

static void on_ended(struct pd_service_call *call, enum pd_service_code code, const char *text)
{
    pd_assert(code != PD_CODE_OK || text[0] == '\0');
    for (uint32_t i = 0; i < CALLS_MAX; i++) {
        calls[i] = calls[i] == call ? NULL : calls[i];
    }
}

static void on_roomy(struct pd_service_call *call)
{
    (void)call;
}

static const struct pd_service_carrier carrier = {on_response, on_ended, on_roomy};

static uint8_t take(struct input *input)
{
    if (input->size == 0) {
        return 0;
    }
    input->size--;
    return *input->bytes++;
}

static struct pd_span take_span(struct input *input)
{
    size_t size = take(input);
    size = size < input->size ? size : input->size;
    struct pd_span span = {input->bytes, size};
    input->bytes += size;
    input->size -= size;
    return span;
}

static bool next_event(struct pd_kv_reader *reader, struct pd_kv_event *event_out)
{
    *event_out = (struct pd_kv_event){0};
    bool is_any = pd_kv_answer_record(reader, &event_out->record);
    event_out->is_delete = event_out->record.version == 0;
    event_out->has_previous = event_out->record.lease != 0;
    event_out->previous = event_out->record;
    return is_any;
}

static void begin(struct input *input)
{
    uint32_t at = take(input) % CALLS_MAX;
    uint32_t count = 0;
    while (pd_service_method_at(count) != NULL) {
        count++;
    }
    if (calls[at] == NULL) {
        calls[at] = pd_service_begin(service, pd_service_method_at(take(input) % count), &carrier,
                                     NULL, NULL);
    }
}

static void request(struct input *input)
{
    uint32_t at = take(input) % CALLS_MAX;
    struct pd_span bytes = take_span(input);
    if (calls[at] == NULL || pd_service_is_full(calls[at])) {
        return;
    }
    const struct pd_service_method *method = pd_service_method_of(calls[at]);
    if (method->may_nest && !pd_proto_is_shallow(method->request, bytes)) {
        return;
    }
    struct pd_arena *arena = pd_service_arena(service);
    ProtobufCMessage *message =
        protobuf_c_message_unpack(method->request, &arena->allocator, bytes.size, bytes.bytes);
    if (message != NULL) {
        pd_service_request(calls[at], message);
    }
}

static void answer(struct input *input)
{
    if (pending_count == 0) {
        return;
    }
    struct pending asked = pending[0];
    uint8_t how = take(input);
    struct pd_span bytes = take_span(input);
    static const struct pd_backend_about about = {
        .revision = 9, .member_count = 1, .members = {{.id = 4, .name = "n"}}};
    struct pd_backend_watch_answer watch = {.kind = (enum pd_backend_watch_kind)(how >> 4 & 3u),
                                            .through_revision = 4,
                                            .compact_revision = how >> 7,
                                            .is_fragment = how >> 6 & 1u,
                                            .cost = bytes.size,
                                            .event = next_event};
    pd_kv_reader_init(&watch.events, bytes);
    struct pd_backend_answer told = {
        .outcome = (enum pd_backend_outcome)(how % 3 == 0 ? how >> 2 & 7u : 0),
        .term = 2,
        .body = bytes,
        .text = bytes,
    };
    told.about = asked.kind == PD_BACKEND_ABOUT ? &about : NULL;
    if (asked.kind == PD_BACKEND_WATCH && (told.outcome == PD_BACKEND_OK || how % 2 == 0)) {
        told.outcome = watch.kind == PD_BACKEND_WATCH_ENDED ? PD_BACKEND_CANCELLED : PD_BACKEND_OK;
        told.watch = &watch;
    }
    if (told.watch == NULL || told.outcome != PD_BACKEND_OK) {
        pending_count--;
        memmove(&pending[0], &pending[1], pending_count * sizeof pending[0]);
    }
    pd_service_answered(service, asked.correlation, &told);
}

static void step(struct input *input)
{
    uint8_t what = take(input);
    struct pd_service_call *call = calls[what >> 3 & (CALLS_MAX - 1)];
    switch (what & 7u) {
    case 0:
    case 1:
        begin(input);
        break;
    case 2:
    case 3:
        request(input);
        break;
    case 4:
        if (call != NULL) {
            pd_service_half_close(call);
        }
        break;
    case 5:
        if (call != NULL) {
            pd_service_resume(call);
        }
        break;
    default:
        answer(input);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input input = {bytes, size};
    struct pd_service_config config = pd_service_config_default();
    backend = (struct pd_backend){.ops = &backend_ops, .now_ns = now_ns};
    config.backend = &backend;
    config.waits_max = 100;
    config.keepalives_max = 4;
    config.arena_max = (size_t)4 << 20;
    config.watch_credit = 64;
    config.watch_response_max = 500;
    enum pd_status status = pd_service_open(&config, &service);
    pd_assert(status == PD_OK);
    pending_count = 0;
    while (input.size > 0) {
        step(&input);
    }
    for (uint32_t i = 0; i < CALLS_MAX; i++) {
        if (calls[i] != NULL) {
            struct pd_service_call *call = calls[i];
            calls[i] = NULL;
            pd_service_cancel(call);
        }
    }
    pd_service_close(service);
    return 0;
}
