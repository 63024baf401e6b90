/* What a client asks: messages that are cut from DATA frames, decoded and given to the service, and
 * what is held of them meanwhile. */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "gateway/grpc_internal.h"
#include "proto/depth.h"

#define INPUT_STEP ((size_t)64 * 1024)

/* False: it is too much, or more than is left for all other connections; nothing was counted. */
static bool count_input(struct pd_grpc *grpc, uint64_t more)
{
    uint64_t *total = &grpc->shared->input_bytes;
    uint64_t own = grpc->input_bytes + more;
    uint64_t most = grpc->config->inputs_bytes_max;
    if (own > grpc->config->input_bytes_max || *total + more > most ||
        own > most - (*total + more)) {
        return false;
    }
    grpc->input_bytes += more;
    *total += more;
    return true;
}

static void count_input_less(struct pd_grpc *grpc, uint64_t less)
{
    pd_assert(grpc->input_bytes >= less);
    pd_assert(grpc->shared->input_bytes >= less);
    grpc->input_bytes -= less;
    grpc->shared->input_bytes -= less;
}

void pd_grpc_drop_input(struct pd_grpc_stream *stream)
{
    count_input_less(stream->grpc, stream->input_capacity + stream->held_size);
    pd_free(stream->input);
    pd_free(stream->held);
    stream->input = NULL;
    stream->held = NULL;
    stream->input_size = 0;
    stream->input_capacity = 0;
    stream->held_size = 0;
    stream->held_at = 0;
}

static void give_message(struct pd_grpc_stream *stream, const uint8_t *bytes, size_t size)
{
    const struct pd_service_method *method = stream->method;
    if (method->may_nest && !pd_proto_is_shallow(method->request, (struct pd_span){bytes, size})) {
        pd_grpc_end_call(stream, PD_CODE_INVALID_ARGUMENT,
                         "etcdserver: too many operations in txn request");
        return;
    }
    struct pd_arena *arena = pd_service_arena(stream->grpc->service);
    ProtobufCMessage *message =
        protobuf_c_message_unpack(method->request, &arena->allocator, size, bytes);
    if (message == NULL) {
        pd_grpc_end_call(stream, PD_CODE_INTERNAL,
                         "grpc: the request is not a message of its method, or has too many parts");
        return;
    }
    pd_service_request(stream->call, message);
}

/* Room for what comes of a message: not at once for what it says that it has. */
static bool grow_input(struct pd_grpc_stream *stream, size_t size, size_t whole)
{
    struct pd_grpc *grpc = stream->grpc;
    size_t wanted = stream->input_capacity == 0 ? INPUT_STEP : stream->input_capacity;
    while (wanted < size) {
        wanted *= 2;
    }
    wanted = wanted < whole ? wanted : whole;
    if (wanted <= stream->input_capacity) {
        return true;
    }
    uint64_t more = wanted - stream->input_capacity;
    if (!count_input(grpc, more)) {
        return false;
    }
    uint8_t *grown = pd_realloc(stream->input, wanted);
    if (grown == NULL) {
        count_input_less(grpc, more);
        return false;
    }
    stream->input = grown;
    stream->input_capacity = wanted;
    return true;
}

/* Whether the prefix is whole and good; the size of what follows it. */
static bool read_prefix(struct pd_grpc_stream *stream, size_t *size_out)
{
    const uint8_t *prefix = stream->prefix;
    size_t size = (size_t)prefix[1] << 24 | (size_t)prefix[2] << 16 | (size_t)prefix[3] << 8 |
                  (size_t)prefix[4];
    if (prefix[0] != 0) {
        pd_grpc_end_call(stream, PD_CODE_UNIMPLEMENTED, "grpc: compressed messages are not taken");
        return false;
    }
    if (size > stream->grpc->config->message_bytes_max) {
        pd_grpc_end_call(stream, PD_CODE_INVALID_ARGUMENT, "etcdserver: request is too large");
        return false;
    }
    *size_out = size;
    return true;
}

/* A part of a message's body, or all of it. Returns how many bytes it took. */
static size_t take_body(struct pd_grpc_stream *stream, const uint8_t *bytes, size_t size,
                        size_t whole)
{
    size_t missing = whole - stream->input_size;
    if (stream->input_size == 0 && size >= missing) { /* the usual one: it is not copied */
        stream->prefix_size = 0;
        give_message(stream, bytes, whole);
        return whole;
    }
    size_t part = size < missing ? size : missing;
    if (!grow_input(stream, stream->input_size + part, whole)) {
        pd_grpc_end_call(stream, PD_CODE_RESOURCE_EXHAUSTED, "etcdserver: too many requests");
        return size;
    }
    memcpy(stream->input + stream->input_size, bytes, part);
    stream->input_size += part;
    if (stream->input_size == whole) {
        stream->prefix_size = 0;
        uint8_t *message = stream->input;
        count_input_less(stream->grpc, stream->input_capacity);
        stream->input = NULL;
        stream->input_size = 0;
        stream->input_capacity = 0;
        give_message(stream, message, whole);
        pd_free(message);
    }
    return part;
}

/* A message that is not whole has its time, from its first bytes on. */
static void time_message(struct pd_grpc_stream *stream, bool ended_one)
{
    if (stream->call == NULL) {
        return;
    }
    if (stream->prefix_size == 0) {
        stream->message_deadline_ns = UINT64_MAX;
    } else if (stream->message_deadline_ns == UINT64_MAX || ended_one) {
        stream->message_deadline_ns = stream->grpc->now_ns + stream->grpc->config->message_ns;
    }
    pd_grpc_deadline_set(stream);
}

/* As much as the call takes. Returns how many bytes that was. */
size_t pd_grpc_take_data(struct pd_grpc_stream *stream, const uint8_t *bytes, size_t size)
{
    size_t at = 0;
    bool ended_one = false;
    while (stream->call != NULL && !pd_service_is_full(stream->call)) {
        while (stream->prefix_size < PD_GRPC_PREFIX_SIZE && at < size) {
            stream->prefix[stream->prefix_size++] = bytes[at++];
        }
        size_t whole = 0;
        if (stream->prefix_size < PD_GRPC_PREFIX_SIZE || !read_prefix(stream, &whole) ||
            (at == size && whole > 0)) {
            break;
        }
        at += take_body(stream, bytes + at, size - at, whole);
        ended_one |= stream->prefix_size == 0;
    }
    time_message(stream, ended_one);
    return stream->call == NULL ? size : at; /* who has ended takes anything, and looks at none */
}

void pd_grpc_end_request(struct pd_grpc_stream *stream)
{
    if (stream->call == NULL || stream->held_size > 0 || pd_service_is_full(stream->call)) {
        return; /* later, or never */
    }
    if (stream->prefix_size > 0) {
        pd_grpc_end_call(stream, PD_CODE_INTERNAL, "grpc: the request ends within a message");
    } else {
        pd_service_half_close(stream->call);
    }
}

bool pd_grpc_hold(struct pd_grpc_stream *stream, const uint8_t *bytes, size_t size)
{
    struct pd_grpc *grpc = stream->grpc;
    if (!count_input(grpc, size)) {
        return false;
    }
    uint8_t *grown = pd_realloc(stream->held, stream->held_size + size);
    if (grown == NULL) {
        count_input_less(grpc, size);
        return false;
    }
    memcpy(grown + stream->held_size, bytes, size);
    stream->held = grown;
    stream->held_size += size;
    return true;
}

void pd_grpc_take_held(struct pd_grpc_stream *stream)
{
    struct pd_grpc *grpc = stream->grpc;
    uint8_t *held = stream->held;
    size_t size = stream->held_size;
    size_t at = stream->held_at;
    /* The call may end meanwhile, and give back what it holds. */
    stream->held = NULL;
    stream->held_size = 0;
    stream->held_at = 0;
    size_t taken = at == size ? 0 : pd_grpc_take_data(stream, held + at, size - at);
    at += taken;
    if (at == size) {
        count_input_less(grpc, size);
        pd_free(held);
    } else {
        if (at > size / 2) { /* not for each message: there may be a hundred thousand of them */
            count_input_less(grpc, at);
            size -= at;
            memmove(held, held + at, size);
            at = 0;
        }
        stream->held = held;
        stream->held_size = size;
        stream->held_at = at;
    }
    (void)nghttp2_session_consume_stream(grpc->session, stream->id, taken);
    if (stream->client_ended) {
        pd_grpc_end_request(stream);
    }
}
