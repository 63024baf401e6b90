/* What a call answers: messages that wait until the peer's window takes them, then the status. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "gateway/grpc_internal.h"
#include "gateway/grpc_text.h"

#define MESSAGE_TEXT_MAX 1024u

void pd_grpc_drop_output(struct pd_grpc_stream *stream)
{
    struct pd_grpc_chunk *chunk = stream->output;
    while (chunk != NULL) {
        struct pd_grpc_chunk *next = chunk->next;
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

static nghttp2_nv pair(const char *name, const char *value, size_t value_size)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .value = (uint8_t *)(uintptr_t)value,
                        .namelen = strlen(name),
                        .valuelen = value_size,
                        .flags = NGHTTP2_NV_FLAG_NONE};
}

/* Writes grpc-status and, if there is one, grpc-message. */
static size_t put_status(const struct pd_grpc_stream *stream, char status[16],
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
    struct pd_grpc_stream *stream = source->ptr;
    struct pd_grpc *grpc = user;
    size_t size = 0;
    (void)id;
    while (stream->output != NULL && size < room) {
        struct pd_grpc_chunk *chunk = stream->output;
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
static void send_more(struct pd_grpc_stream *stream)
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
    pd_grpc_wants_output(grpc);
}

/* No message has been sent: the status goes with the headers. */
static void send_status_alone(struct pd_grpc_stream *stream)
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
    pd_grpc_wants_output(stream->grpc);
}

/* Beyond it the connection would be cut off: what was not begun is refused instead. */
static bool may_wait(struct pd_grpc_stream *stream, uint64_t bytes)
{
    struct pd_grpc *grpc = stream->grpc;
    uint64_t all = grpc->output_bytes + bytes;
    bool fits = all <= grpc->config->output_bytes_max &&
                pd_service_output(grpc->service, &grpc->client, all);
    (void)pd_service_output(grpc->service, &grpc->client, grpc->output_bytes);
    return fits;
}

static bool on_response(struct pd_service_call *call, const ProtobufCMessage *message)
{
    struct pd_grpc_stream *stream = pd_service_context(call);
    struct pd_grpc *grpc = stream->grpc;
    size_t size = protobuf_c_message_get_packed_size(message);
    if (!pd_service_method_of(call)->server_streams &&
        !may_wait(stream, PD_GRPC_PREFIX_SIZE + size)) {
        stream->is_crowded = true;
        return true;
    }
    struct pd_grpc_chunk *chunk = pd_alloc(sizeof *chunk + PD_GRPC_PREFIX_SIZE + size);
    if (chunk == NULL || size > UINT32_MAX) {
        pd_free(chunk);
        grpc->is_cut_off = true; /* an answer that cannot be told must not look like none */
        return false;
    }
    *chunk = (struct pd_grpc_chunk){.size = PD_GRPC_PREFIX_SIZE + size};
    chunk->bytes[0] = 0;
    for (unsigned i = 0; i < 4; i++) {
        chunk->bytes[1 + i] = (uint8_t)(size >> (24 - 8 * i));
    }
    (void)protobuf_c_message_pack(message, chunk->bytes + PD_GRPC_PREFIX_SIZE);
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

void pd_grpc_finish(struct pd_grpc_stream *stream, enum pd_service_code code, const char *text)
{
    pd_assert(!stream->has_ended);
    stream->has_ended = true;
    stream->code = code;
    stream->text = text[0] == '\0' ? NULL : pd_alloc_text(text, strlen(text));
    pd_grpc_deadline_remove(stream);
    pd_grpc_drop_input(stream);
    if (stream->has_begun) {
        send_more(stream);
    } else {
        send_status_alone(stream);
    }
}

static void on_ended(struct pd_service_call *call, enum pd_service_code code, const char *text)
{
    struct pd_grpc_stream *stream = pd_service_context(call);
    stream->call = NULL;
    if (stream->is_crowded && code == PD_CODE_OK) {
        code = PD_CODE_RESOURCE_EXHAUSTED;
        text = "etcdserver: too many requests";
    }
    pd_grpc_finish(stream, code, text);
}

/* By us, not by the service. */
void pd_grpc_end_call(struct pd_grpc_stream *stream, enum pd_service_code code, const char *text)
{
    if (stream->call != NULL) {
        struct pd_service_call *call = stream->call;
        stream->call = NULL;
        pd_service_cancel(call);
    }
    pd_grpc_finish(stream, code, text);
}

static void on_roomy(struct pd_service_call *call)
{
    struct pd_grpc_stream *stream = pd_service_context(call);
    if (stream->held_size > 0 || stream->client_ended) {
        /* Not from within the service's own work. */
        if (!pd_list_is_linked(&stream->resumable)) {
            pd_list_append(&stream->grpc->resumable, &stream->resumable);
        }
        pd_grpc_wants_output(stream->grpc);
    }
}

const struct pd_service_carrier pd_grpc_carrier = {
    .response = on_response, .ended = on_ended, .roomy = on_roomy};

/* Not gRPC: in HTTP's own words. */
void pd_grpc_refuse(struct pd_grpc_stream *stream, const char *status)
{
    const nghttp2_nv pairs[] = {pair(":status", status, 3)};
    stream->is_refused = true;
    stream->has_ended = true;
    if (nghttp2_submit_response(stream->grpc->session, stream->id, pairs, 1, NULL) != 0) {
        stream->grpc->is_cut_off = true;
    }
}
