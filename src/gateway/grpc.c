#include "gateway/grpc.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/list.h"
#include "gateway/grpc_text.h"
#include "proto/depth.h"

#define KIB 1024u
#define MIB (KIB * KIB)
#define PREFIX_SIZE 5u /* of a message: compressed or not, size */
#define MESSAGE_TEXT_MAX 1024u
#define HEADER_COST 32u /* RFC 9113, 6.5.2 */
#define INPUT_STEP ((size_t)64 * KIB)
#define SECOND_NS UINT64_C(1000000000)

/* One response message, with its prefix. */
struct chunk {
    struct chunk *next;
    size_t size;
    size_t at;
    uint8_t bytes[];
};

struct stream {
    struct pd_grpc *grpc;
    struct pd_list link;      /* of the connection */
    struct pd_list resumable; /* linked: its output has gone down */
    int32_t id;
    const struct pd_service_method *method;
    struct pd_service_call *call; /* NULL: not begun, or ended */
    /* Of the request's headers. */
    size_t header_bytes;
    uint64_t timeout_ns;
    bool is_post;
    bool is_grpc;
    bool is_malformed; /* its grpc-timeout is none */
    bool path_came;
    bool wants_leader;
    bool is_refused; /* answered before it began */
    /* The message that is coming. */
    uint8_t prefix[PREFIX_SIZE];
    uint32_t prefix_size;
    uint8_t *input;
    size_t input_size;
    size_t input_capacity;
    /* What came while the call was full. */
    uint8_t *held;
    size_t held_size; /* 0: nothing */
    size_t held_at;   /* before it, it was taken */
    bool client_ended;
    /* The responses. */
    struct chunk *output;
    struct chunk **output_end;
    uint64_t output_bytes;
    bool has_begun; /* the response's headers are given to nghttp2 */
    bool is_held;
    bool has_ended;
    enum pd_service_code code;
    char *text; /* NULL: none */
    /* Its place in the heap of deadlines, from 1; 0: none. */
    uint32_t heap_place;
    uint64_t deadline_ns;         /* the earlier one of: */
    uint64_t call_deadline_ns;    /* what the client said; UINT64_MAX: nothing */
    uint64_t message_deadline_ns; /* of the message that is coming; UINT64_MAX: none */
};

struct pd_grpc {
    struct pd_grpc_shared *shared;
    const struct pd_grpc_config *config; /* shared's; so for the next */
    struct pd_service *service;
    struct pd_protocol_owner owner;
    nghttp2_session *session;
    struct pd_list streams;
    struct pd_list resumable;
    struct stream **heap; /* 1 .. streams_max */
    uint32_t heap_count;
    uint64_t now_ns;
    uint64_t input_bytes;
    uint64_t output_bytes;
    struct pd_service_client client;
    uint64_t read_since_ns; /* it was not read from before */
    bool is_paused;         /* it is not read from */
    bool is_cut_off;
};

struct pd_grpc_config pd_grpc_config_default(void)
{
    return (struct pd_grpc_config){
        .streams_max = 4096,
        .header_bytes_max = 64 * KIB,
        .message_bytes_max = 8 * MIB + 64 * KIB,
        .input_bytes_max = (uint64_t)64 * MIB,
        .inputs_bytes_max = (uint64_t)256 * MIB,
        .message_ns = 60 * SECOND_NS,
        .stream_window = 1 * MIB,
        .connection_window = 8 * MIB,
        .output_bytes_soft = 1 * MIB,
        .output_bytes_max = (uint64_t)256 * MIB,
    };
}

/* -- Deadlines: a binary heap ------------------------------------------------------------------ */

static void heap_set(struct pd_grpc *grpc, uint32_t place, struct stream *stream)
{
    grpc->heap[place] = stream;
    stream->heap_place = place;
}

static void heap_up(struct pd_grpc *grpc, uint32_t place)
{
    struct stream *stream = grpc->heap[place];
    while (place > 1 && grpc->heap[place / 2]->deadline_ns > stream->deadline_ns) {
        heap_set(grpc, place, grpc->heap[place / 2]);
        place /= 2;
    }
    heap_set(grpc, place, stream);
}

static void heap_down(struct pd_grpc *grpc, uint32_t place)
{
    struct stream *stream = grpc->heap[place];
    while (2 * place <= grpc->heap_count) {
        uint32_t below = 2 * place;
        if (below < grpc->heap_count &&
            grpc->heap[below + 1]->deadline_ns < grpc->heap[below]->deadline_ns) {
            below++;
        }
        if (grpc->heap[below]->deadline_ns >= stream->deadline_ns) {
            break;
        }
        heap_set(grpc, place, grpc->heap[below]);
        place = below;
    }
    heap_set(grpc, place, stream);
}

static void heap_add(struct pd_grpc *grpc, struct stream *stream)
{
    pd_assert(grpc->heap_count < grpc->config->streams_max);
    grpc->heap_count++;
    heap_set(grpc, grpc->heap_count, stream);
    heap_up(grpc, grpc->heap_count);
}

static void heap_remove(struct pd_grpc *grpc, struct stream *stream)
{
    uint32_t place = stream->heap_place;
    if (place == 0) {
        return;
    }
    struct stream *last = grpc->heap[grpc->heap_count--];
    stream->heap_place = 0;
    if (last != stream) {
        heap_set(grpc, place, last);
        heap_up(grpc, place);
        heap_down(grpc, last->heap_place);
    }
}

/* It is due at the earlier of its deadlines. */
static void set_deadline(struct stream *stream)
{
    uint64_t call = stream->call_deadline_ns;
    uint64_t message = stream->message_deadline_ns;
    uint64_t deadline = call < message ? call : message;
    struct pd_grpc *grpc = stream->grpc;
    if (stream->heap_place != 0 && stream->deadline_ns == deadline) {
        return;
    }
    heap_remove(grpc, stream);
    stream->deadline_ns = deadline;
    if (deadline != UINT64_MAX && grpc->heap_count < grpc->config->streams_max) {
        heap_add(grpc, stream);
    }
}

/* -- What is held of requests ------------------------------------------------------------------ */

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

/* -- The end of a stream ----------------------------------------------------------------------- */

static void drop_input(struct stream *stream)
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

static void drop_output(struct stream *stream)
{
    struct chunk *chunk = stream->output;
    while (chunk != NULL) {
        struct chunk *next = chunk->next;
        pd_free(chunk);
        chunk = next;
    }
    stream->grpc->output_bytes -= stream->output_bytes;
    (void)pd_service_output(stream->grpc->service, &stream->grpc->client,
                            stream->grpc->output_bytes);
    stream->output_bytes = 0;
    stream->output = NULL;
    stream->output_end = &stream->output;
}

static void stream_free(struct stream *stream)
{
    struct pd_grpc *grpc = stream->grpc;
    if (stream->call != NULL) {
        struct pd_service_call *call = stream->call;
        stream->call = NULL;
        pd_service_cancel(call);
    }
    heap_remove(grpc, stream);
    drop_input(stream);
    drop_output(stream);
    pd_list_remove(&stream->link);
    pd_list_remove(&stream->resumable);
    pd_free(stream->text);
    pd_free(stream);
}

static void wants_output(struct pd_grpc *grpc)
{
    grpc->owner.wants_output(grpc->owner.connection);
}

/* -- Responses --------------------------------------------------------------------------------- */

static nghttp2_nv pair(const char *name, const char *value, size_t value_size)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .value = (uint8_t *)(uintptr_t)value,
                        .namelen = strlen(name),
                        .valuelen = value_size,
                        .flags = NGHTTP2_NV_FLAG_NONE};
}

/* Writes grpc-status and, if there is one, grpc-message. */
static size_t put_status(const struct stream *stream, char status[16],
                         char message[MESSAGE_TEXT_MAX], nghttp2_nv *pairs)
{
    int size = snprintf(status, 16, "%d", (int)stream->code);
    size_t count = 0;
    pairs[count++] = pair("grpc-status", status, (size_t)size);
    if (stream->text != NULL) {
        size_t text = pd_grpc_encode_message(stream->text, message, MESSAGE_TEXT_MAX);
        pairs[count++] = pair("grpc-message", message, text);
    }
    return count;
}

static ssize_t read_output(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
                           uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct stream *stream = source->ptr;
    struct pd_grpc *grpc = user;
    size_t size = 0;
    (void)id;
    while (stream->output != NULL && size < room) {
        struct chunk *chunk = stream->output;
        size_t left = chunk->size - chunk->at;
        size_t part = left < room - size ? left : room - size;
        memcpy(to + size, chunk->bytes + chunk->at, part);
        chunk->at += part;
        size += part;
        if (chunk->at == chunk->size) {
            stream->output = chunk->next;
            pd_free(chunk);
        }
    }
    if (stream->output == NULL) {
        stream->output_end = &stream->output;
    }
    stream->output_bytes -= size;
    grpc->output_bytes -= size;
    (void)pd_service_output(grpc->service, &grpc->client, grpc->output_bytes);
    if (stream->is_held && stream->output_bytes <= grpc->config->output_bytes_soft / 2 &&
        !pd_list_is_linked(&stream->resumable)) {
        pd_list_append(&grpc->resumable, &stream->resumable);
    }
    if (stream->output == NULL && stream->has_ended) {
        char status[16];
        char message[MESSAGE_TEXT_MAX];
        nghttp2_nv pairs[2];
        size_t count = put_status(stream, status, message, pairs);
        *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (nghttp2_submit_trailer(session, stream->id, pairs, count) != 0) {
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        }
    } else if (size == 0) {
        return NGHTTP2_ERR_DEFERRED;
    }
    return (ssize_t)size;
}

/* Begin the response, or wake it when it waits for more to send. */
static void send_more(struct stream *stream)
{
    struct pd_grpc *grpc = stream->grpc;
    if (stream->has_begun) {
        (void)nghttp2_session_resume_data(grpc->session, stream->id); /* if it was deferred */
    } else {
        const nghttp2_nv pairs[] = {
            pair(":status", "200", 3),
            pair("content-type", "application/grpc", 16),
        };
        nghttp2_data_provider provider = {.source.ptr = stream, .read_callback = read_output};
        stream->has_begun = true;
        if (nghttp2_submit_response(grpc->session, stream->id, pairs, 2, &provider) != 0) {
            grpc->is_cut_off = true;
        }
    }
    wants_output(grpc);
}

/* No message has been sent: the status goes with the headers. */
static void send_status_alone(struct stream *stream)
{
    char status[16];
    char message[MESSAGE_TEXT_MAX];
    nghttp2_nv pairs[4] = {
        pair(":status", "200", 3),
        pair("content-type", "application/grpc", 16),
    };
    size_t count = 2 + put_status(stream, status, message, pairs + 2);
    stream->has_begun = true;
    if (nghttp2_submit_response(stream->grpc->session, stream->id, pairs, count, NULL) != 0) {
        stream->grpc->is_cut_off = true;
    }
    wants_output(stream->grpc);
}

static bool on_response(struct pd_service_call *call, const ProtobufCMessage *message)
{
    struct stream *stream = pd_service_context(call);
    struct pd_grpc *grpc = stream->grpc;
    size_t size = protobuf_c_message_get_packed_size(message);
    struct chunk *chunk = pd_alloc(sizeof *chunk + PREFIX_SIZE + size);
    if (chunk == NULL || size > UINT32_MAX) {
        pd_free(chunk);
        grpc->is_cut_off = true; /* an answer that cannot be told must not look like none */
        return false;
    }
    *chunk = (struct chunk){.size = PREFIX_SIZE + size};
    chunk->bytes[0] = 0;
    for (unsigned i = 0; i < 4; i++) {
        chunk->bytes[1 + i] = (uint8_t)(size >> (24 - 8 * i));
    }
    (void)protobuf_c_message_pack(message, chunk->bytes + PREFIX_SIZE);
    *stream->output_end = chunk;
    stream->output_end = &chunk->next;
    stream->output_bytes += chunk->size;
    grpc->output_bytes += chunk->size;
    bool fits = pd_service_output(grpc->service, &grpc->client, grpc->output_bytes);
    if (!fits || grpc->output_bytes > grpc->config->output_bytes_max) {
        grpc->is_cut_off = true;
    }
    send_more(stream);
    stream->is_held = stream->output_bytes > grpc->config->output_bytes_soft;
    return !stream->is_held;
}

static void finish(struct stream *stream, enum pd_service_code code, const char *text)
{
    pd_assert(!stream->has_ended);
    stream->has_ended = true;
    stream->code = code;
    stream->text = text[0] == '\0' ? NULL : pd_alloc_text(text, strlen(text));
    heap_remove(stream->grpc, stream);
    drop_input(stream);
    if (stream->has_begun) {
        send_more(stream);
    } else {
        send_status_alone(stream);
    }
}

static void on_ended(struct pd_service_call *call, enum pd_service_code code, const char *text)
{
    struct stream *stream = pd_service_context(call);
    stream->call = NULL;
    finish(stream, code, text);
}

/* By us, not by the service. */
static void end_call(struct stream *stream, enum pd_service_code code, const char *text)
{
    if (stream->call != NULL) {
        struct pd_service_call *call = stream->call;
        stream->call = NULL;
        pd_service_cancel(call);
    }
    finish(stream, code, text);
}

static void take_held(struct stream *stream);

static void on_roomy(struct pd_service_call *call)
{
    struct stream *stream = pd_service_context(call);
    if (stream->held_size > 0 || stream->client_ended) {
        /* Not from within the service's own work. */
        if (!pd_list_is_linked(&stream->resumable)) {
            pd_list_append(&stream->grpc->resumable, &stream->resumable);
        }
        wants_output(stream->grpc);
    }
}

static const struct pd_service_carrier carrier = {
    .response = on_response, .ended = on_ended, .roomy = on_roomy};

/* -- Requests ---------------------------------------------------------------------------------- */

static void give_message(struct stream *stream, const uint8_t *bytes, size_t size)
{
    const struct pd_service_method *method = stream->method;
    if (method->may_nest && !pd_proto_is_shallow(method->request, (struct pd_span){bytes, size})) {
        end_call(stream, PD_CODE_INVALID_ARGUMENT,
                 "etcdserver: too many operations in txn request");
        return;
    }
    struct pd_arena *arena = pd_service_arena(stream->grpc->service);
    ProtobufCMessage *message =
        protobuf_c_message_unpack(method->request, &arena->allocator, size, bytes);
    if (message == NULL) {
        end_call(stream, PD_CODE_INTERNAL,
                 "grpc: the request is not a message of its method, or has too many parts");
        return;
    }
    pd_service_request(stream->call, message);
}

/* Room for what comes of a message: not at once for what it says that it has. */
static bool grow_input(struct stream *stream, size_t size, size_t whole)
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
static bool read_prefix(struct stream *stream, size_t *size_out)
{
    const uint8_t *prefix = stream->prefix;
    size_t size = (size_t)prefix[1] << 24 | (size_t)prefix[2] << 16 | (size_t)prefix[3] << 8 |
                  (size_t)prefix[4];
    if (prefix[0] != 0) {
        end_call(stream, PD_CODE_UNIMPLEMENTED, "grpc: compressed messages are not taken");
        return false;
    }
    if (size > stream->grpc->config->message_bytes_max) {
        end_call(stream, PD_CODE_INVALID_ARGUMENT, "etcdserver: request is too large");
        return false;
    }
    *size_out = size;
    return true;
}

/* A part of a message's body, or all of it. Returns how many bytes it took. */
static size_t take_body(struct stream *stream, const uint8_t *bytes, size_t size, size_t whole)
{
    size_t missing = whole - stream->input_size;
    if (stream->input_size == 0 && size >= missing) { /* the usual one: it is not copied */
        stream->prefix_size = 0;
        give_message(stream, bytes, whole);
        return whole;
    }
    size_t part = size < missing ? size : missing;
    if (!grow_input(stream, stream->input_size + part, whole)) {
        end_call(stream, PD_CODE_RESOURCE_EXHAUSTED, "etcdserver: too many requests");
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
static void time_message(struct stream *stream, bool ended_one)
{
    if (stream->call == NULL) {
        return;
    }
    if (stream->prefix_size == 0) {
        stream->message_deadline_ns = UINT64_MAX;
    } else if (stream->message_deadline_ns == UINT64_MAX || ended_one) {
        stream->message_deadline_ns = stream->grpc->now_ns + stream->grpc->config->message_ns;
    }
    set_deadline(stream);
}

/* As much as the call takes. Returns how many bytes that was. */
static size_t take_data(struct stream *stream, const uint8_t *bytes, size_t size)
{
    size_t at = 0;
    bool ended_one = false;
    while (stream->call != NULL && !pd_service_is_full(stream->call)) {
        while (stream->prefix_size < PREFIX_SIZE && at < size) {
            stream->prefix[stream->prefix_size++] = bytes[at++];
        }
        size_t whole = 0;
        if (stream->prefix_size < PREFIX_SIZE || !read_prefix(stream, &whole) ||
            (at == size && whole > 0)) {
            break;
        }
        at += take_body(stream, bytes + at, size - at, whole);
        ended_one |= stream->prefix_size == 0;
    }
    time_message(stream, ended_one);
    return stream->call == NULL ? size : at; /* who has ended takes anything, and looks at none */
}

static void end_of_request(struct stream *stream)
{
    if (stream->call == NULL || stream->held_size > 0 || pd_service_is_full(stream->call)) {
        return; /* later, or never */
    }
    if (stream->prefix_size > 0) {
        end_call(stream, PD_CODE_INTERNAL, "grpc: the request ends within a message");
    } else {
        pd_service_half_close(stream->call);
    }
}

static bool hold(struct stream *stream, const uint8_t *bytes, size_t size)
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

/* The call takes requests again. */
static void take_held(struct stream *stream)
{
    struct pd_grpc *grpc = stream->grpc;
    uint8_t *held = stream->held;
    size_t size = stream->held_size;
    size_t at = stream->held_at;
    /* The call may end meanwhile, and give back what it holds. */
    stream->held = NULL;
    stream->held_size = 0;
    stream->held_at = 0;
    size_t taken = at == size ? 0 : take_data(stream, held + at, size - at);
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
        end_of_request(stream);
    }
}

/* -- nghttp2's callbacks ----------------------------------------------------------------------- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct pd_grpc *grpc = user;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0;
    }
    struct stream *stream = pd_alloc_zeroed(1, sizeof *stream);
    if (stream == NULL) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    stream->grpc = grpc;
    stream->id = frame->hd.stream_id;
    stream->output_end = &stream->output;
    stream->timeout_ns = UINT64_MAX;
    stream->call_deadline_ns = UINT64_MAX;
    stream->message_deadline_ns = UINT64_MAX;
    pd_list_append(&grpc->streams, &stream->link);
    pd_list_init(&stream->resumable);
    (void)nghttp2_session_set_stream_user_data(session, stream->id, stream);
    return 0;
}

static bool is_name(struct pd_span name, const char *text)
{
    return name.size == strlen(text) && memcmp(name.bytes, text, name.size) == 0;
}

static bool begins_with(struct pd_span value, const char *text)
{
    size_t size = strlen(text);
    return value.size >= size && memcmp(value.bytes, text, size) == 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *user)
{
    const struct pd_grpc *grpc = user;
    struct stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    (void)flags;
    if (stream == NULL || frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0;
    }
    stream->header_bytes += name_size + value_size + HEADER_COST;
    if (stream->header_bytes > grpc->config->header_bytes_max) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* the stream is reset */
    }
    struct pd_span key = {name, name_size};
    struct pd_span text = {value, value_size};
    if (is_name(key, ":path")) {
        stream->path_came = true;
        stream->method = pd_service_find(text);
    } else if (is_name(key, ":method")) {
        stream->is_post = is_name(text, "POST");
    } else if (is_name(key, "content-type")) {
        stream->is_grpc = begins_with(text, "application/grpc");
    } else if (is_name(key, "hasleader")) { /* of etcd's clients: WithRequireLeader */
        stream->wants_leader = is_name(text, "true");
    } else if (is_name(key, "grpc-timeout") && !pd_grpc_parse_timeout(text, &stream->timeout_ns)) {
        stream->is_malformed = true;
    }
    return 0;
}

/* Not gRPC: in HTTP's own words. */
static void refuse(struct stream *stream, const char *status)
{
    const nghttp2_nv pairs[] = {pair(":status", status, 3)};
    stream->is_refused = true;
    stream->has_ended = true;
    if (nghttp2_submit_response(stream->grpc->session, stream->id, pairs, 1, NULL) != 0) {
        stream->grpc->is_cut_off = true;
    }
}

static void begin_call(struct stream *stream)
{
    struct pd_grpc *grpc = stream->grpc;
    if (!stream->is_grpc || !stream->is_post) {
        refuse(stream, stream->is_grpc ? "405" : "415");
        return;
    }
    if (stream->method == NULL) {
        finish(stream, PD_CODE_UNIMPLEMENTED, "unknown service or method");
        return;
    }
    if (stream
            ->is_malformed) { /* as Go's servers answer: it is not late, nobody knows when it is */
        finish(stream, PD_CODE_INTERNAL, "malformed grpc-timeout");
        return;
    }
    if (grpc->heap_count < grpc->config->streams_max) {
        stream->call =
            pd_service_begin(grpc->service, stream->method, &carrier, stream, &grpc->client);
    }
    if (stream->call == NULL) {
        finish(stream, PD_CODE_RESOURCE_EXHAUSTED, "etcdserver: too many requests");
        return;
    }
    if (stream->wants_leader && !pd_service_require_leader(stream->call)) {
        return;
    }
    if (stream->timeout_ns < UINT64_MAX - grpc->now_ns) {
        stream->call_deadline_ns = grpc->now_ns + stream->timeout_ns;
        set_deadline(stream);
    }
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)user;
    struct stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (stream == NULL || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)) {
        return 0;
    }
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        begin_call(stream);
    }
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        stream->client_ended = true;
        end_of_request(stream);
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t size, void *user)
{
    (void)user;
    (void)flags;
    struct stream *stream = nghttp2_session_get_stream_user_data(session, id);
    (void)nghttp2_session_consume_connection(session, size);
    if (stream == NULL) {
        return 0;
    }
    size_t taken = stream->held_size > 0 ? 0 : take_data(stream, bytes, size);
    if (taken < size && !hold(stream, bytes + taken, size - taken)) {
        end_call(stream, PD_CODE_RESOURCE_EXHAUSTED, "etcdserver: too many requests");
        taken = size;
    }
    (void)nghttp2_session_consume_stream(session, id, taken);
    return 0;
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)user;
    const struct stream *stream =
        nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (stream != NULL && frame->hd.type == NGHTTP2_HEADERS && stream->has_ended &&
        !stream->client_ended && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        /* The answer is whole; what the client still sends is not wanted. */
        return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                         NGHTTP2_NO_ERROR) == 0
                   ? 0
                   : NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return 0;
}

static int on_stream_closed(nghttp2_session *session, int32_t id, uint32_t error, void *user)
{
    (void)user;
    (void)error;
    struct stream *stream = nghttp2_session_get_stream_user_data(session, id);
    if (stream != NULL) {
        stream_free(stream);
    }
    return 0;
}

/* -- The protocol ------------------------------------------------------------------------------ */

static enum pd_status receive(void *state, struct pd_span bytes, uint64_t now_ns)
{
    struct pd_grpc *grpc = state;
    grpc->now_ns = now_ns;
    ssize_t taken = nghttp2_session_mem_recv(grpc->session, bytes.bytes, bytes.size);
    return taken < 0 || grpc->is_cut_off ? PD_ERR_CORRUPT : PD_OK;
}

static void resume(struct pd_grpc *grpc)
{
    while (!pd_list_is_empty(&grpc->resumable)) {
        struct stream *stream =
            pd_container_of(pd_list_first(&grpc->resumable), struct stream, resumable);
        pd_list_remove(&stream->resumable);
        if (stream->call != NULL && stream->is_held &&
            stream->output_bytes <= grpc->config->output_bytes_soft / 2) {
            stream->is_held = false;
            pd_service_resume(stream->call);
        }
        if (stream->call != NULL && !pd_service_is_full(stream->call) &&
            (stream->held_size > 0 || stream->client_ended)) {
            take_held(stream);
        }
    }
}

static struct pd_span output(void *state)
{
    struct pd_grpc *grpc = state;
    const uint8_t *bytes = NULL;
    resume(grpc);
    ssize_t size = grpc->is_cut_off ? 0 : nghttp2_session_mem_send(grpc->session, &bytes);
    if (size < 0) {
        grpc->is_cut_off = true;
    }
    return size <= 0 ? (struct pd_span){NULL, 0} : (struct pd_span){bytes, (size_t)size};
}

static bool has_ended(const void *state)
{
    const struct pd_grpc *grpc = state;
    return grpc->is_cut_off || (nghttp2_session_want_read(grpc->session) == 0 &&
                                nghttp2_session_want_write(grpc->session) == 0);
}

static uint64_t deadline_ns(const void *state)
{
    const struct pd_grpc *grpc = state;
    if (grpc->is_cut_off) {
        return 0;
    }
    return grpc->heap_count == 0 ? UINT64_MAX : grpc->heap[1]->deadline_ns;
}

static void paced(void *state, bool is_paused, uint64_t now_ns)
{
    struct pd_grpc *grpc = state;
    grpc->is_paused = is_paused;
    grpc->read_since_ns = now_ns;
}

/* Its message could not come, for the connection was not read from: it has its whole time again. */
static bool has_more_time(struct stream *stream, uint64_t now_ns)
{
    const struct pd_grpc *grpc = stream->grpc;
    uint64_t since_ns = grpc->is_paused ? now_ns : grpc->read_since_ns;
    if (since_ns + grpc->config->message_ns <= now_ns) {
        return false;
    }
    stream->message_deadline_ns = since_ns + grpc->config->message_ns;
    set_deadline(stream);
    return true;
}

static enum pd_status expire(void *state, uint64_t now_ns)
{
    struct pd_grpc *grpc = state;
    grpc->now_ns = now_ns;
    while (grpc->heap_count > 0 && grpc->heap[1]->deadline_ns <= now_ns) {
        struct stream *stream = grpc->heap[1];
        if (stream->call_deadline_ns <= now_ns) {
            end_call(stream, PD_CODE_DEADLINE_EXCEEDED, "context deadline exceeded");
        } else if (!has_more_time(stream, now_ns)) {
            end_call(stream, PD_CODE_DEADLINE_EXCEEDED,
                     "grpc: the request did not come whole in its time");
        }
    }
    /* What was given to the socket may wait for ever: who is cut off does not read. */
    return grpc->is_cut_off ? PD_ERR_TIMEOUT : PD_OK;
}

static void close_state(void *state)
{
    struct pd_grpc *grpc = state;
    while (!pd_list_is_empty(&grpc->streams)) {
        struct stream *stream = pd_container_of(pd_list_first(&grpc->streams), struct stream, link);
        if (grpc->session != NULL) {
            (void)nghttp2_session_set_stream_user_data(grpc->session, stream->id, NULL);
        }
        stream_free(stream);
    }
    nghttp2_session_del(grpc->session);
    pd_free(grpc->heap);
    pd_free(grpc);
}

const struct pd_protocol pd_grpc_protocol = {
    .receive = receive,
    .output = output,
    .has_ended = has_ended,
    .paced = paced,
    .deadline_ns = deadline_ns,
    .expire = expire,
    .close = close_state,
};

static bool open_session(struct pd_grpc *grpc)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    if (nghttp2_session_callbacks_new(&callbacks) != 0) {
        return false;
    }
    if (nghttp2_option_new(&option) != 0) {
        nghttp2_session_callbacks_del(callbacks);
        return false;
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_closed);
    nghttp2_option_set_no_auto_window_update(option, 1);
    /* No priorities are given, so nobody asks for a stream that is over: kept, thousands of them
     * would make every look for a living one a miss of the processor's cache. */
    nghttp2_option_set_no_closed_streams(option, 1);
    int result = nghttp2_session_server_new2(&grpc->session, callbacks, grpc, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    if (result != 0) {
        return false;
    }
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, grpc->config->streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, grpc->config->stream_window},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, grpc->config->header_bytes_max},
    };
    return nghttp2_submit_settings(grpc->session, NGHTTP2_FLAG_NONE, settings, 3) == 0 &&
           nghttp2_session_set_local_window_size(grpc->session, NGHTTP2_FLAG_NONE, 0,
                                                 (int32_t)grpc->config->connection_window) == 0;
}

struct pd_grpc *pd_grpc_open(struct pd_grpc_shared *shared, const struct pd_protocol_owner *owner)
{
    const struct pd_grpc_config *config = &shared->config;
    struct pd_grpc *grpc = pd_alloc_zeroed(1, sizeof *grpc);
    if (grpc == NULL) {
        return NULL;
    }
    grpc->shared = shared;
    grpc->config = config;
    grpc->service = shared->service;
    grpc->owner = *owner;
    pd_list_init(&grpc->streams);
    pd_list_init(&grpc->resumable);
    grpc->heap = pd_alloc_zeroed((size_t)config->streams_max + 1, sizeof(struct stream *));
    if (grpc->heap == NULL || !open_session(grpc)) {
        close_state(grpc);
        return NULL;
    }
    return grpc;
}

void pd_grpc_go_away(struct pd_grpc *grpc)
{
    (void)nghttp2_submit_goaway(grpc->session, NGHTTP2_FLAG_NONE,
                                nghttp2_session_get_last_proc_stream_id(grpc->session),
                                NGHTTP2_NO_ERROR, NULL, 0);
    wants_output(grpc);
}
