/* One stream: frames that wait to be written and acknowledged, frames that come in.
 *
 *   call:     opened -> request and end written -> answers -> the peer's end, a reset   -> ENDED
 *   request:  opened by the peer -> frame and end -> REQUEST -> answers -> our end
 *                                                        \-> the peer's stop            ->
 *                                                        CANCELLED
 *   lane:     opened at the first message, open as long as the connection */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "net/internal.h"

struct pd_net_stream *pd_net_stream_make(struct pd_net_connection *connection,
                                         enum pd_net_stream_kind kind)
{
    struct pd_net_stream *stream = pd_alloc_zeroed(1, sizeof *stream);
    if (stream == NULL) {
        return NULL;
    }
    stream->connection = connection;
    stream->kind = kind;
    stream->id = -1;
    pd_list_init(&stream->link);
    pd_list_init(&stream->ready);
    pd_list_append(&connection->streams, &stream->link);
    connection->calls += kind == PD_NET_STREAM_CALL ? 1 : 0;
    connection->requests += kind == PD_NET_STREAM_REQUEST ? 1 : 0;
    return stream;
}

/* The bytes of a frame that is not whole are counted, here and over all connections. */
static void count_input(struct pd_net_connection *connection, size_t before, size_t now)
{
    connection->input_bytes += now;
    connection->input_bytes -= before;
    connection->endpoint->input_bytes += now;
    connection->endpoint->input_bytes -= before;
}

static void drop_buffer(struct pd_net_stream *stream)
{
    struct pd_net_buffer *buffer = stream->buffers;
    stream->buffers = buffer->next;
    stream->connection->output_bytes -= buffer->size;
    pd_net_buffer_free(buffer);
}

void pd_net_stream_free(struct pd_net_stream *stream)
{
    struct pd_net_connection *connection = stream->connection;
    if (stream->is_known) {
        pd_table_remove(&connection->correlations, &stream->by_correlation);
    }
    for (uint32_t i = 0; i < PD_TRANSPORT_LANES; i++) {
        if (connection->lanes[i] == stream) {
            connection->lanes[i] = NULL;
        }
    }
    while (stream->buffers != NULL) {
        connection->endpoint->counters.messages_dropped +=
            stream->kind == PD_NET_STREAM_LANE_OUT ? 1 : 0;
        drop_buffer(stream);
    }
    count_input(connection, stream->assembly.size, 0);
    pd_net_assembly_deinit(&stream->assembly);
    connection->calls -= stream->kind == PD_NET_STREAM_CALL ? 1 : 0;
    connection->requests -= stream->kind == PD_NET_STREAM_REQUEST ? 1 : 0;
    pd_list_remove(&stream->ready);
    pd_list_remove(&stream->link);
    pd_free(stream);
}

/* -- Output ------------------------------------------------------------------------------------ */

bool pd_net_stream_has_output(const struct pd_net_stream *stream)
{
    return stream->preface_sent < stream->preface_size || stream->unsent != NULL ||
           (stream->ends && !stream->end_is_sent);
}

void pd_net_stream_make_ready(struct pd_net_stream *stream)
{
    struct pd_net_connection *connection = stream->connection;
    bool is_urgent = stream->kind == PD_NET_STREAM_LANE_OUT && stream->lane == PD_TRANSPORT_RAFT;
    if (stream->id >= 0 && pd_net_stream_has_output(stream) && !pd_list_is_linked(&stream->ready)) {
        pd_list_append(&connection->ready[is_urgent ? 0 : 1], &stream->ready);
    }
    pd_net_connection_make_dirty(connection);
}

void pd_net_stream_append(struct pd_net_stream *stream, struct pd_net_buffer *buffer)
{
    pd_assert(!stream->ends);
    buffer->next = NULL;
    if (stream->buffers == NULL) {
        stream->buffers = buffer;
    } else {
        stream->newest->next = buffer;
    }
    stream->newest = buffer;
    if (stream->unsent == NULL) {
        stream->unsent = buffer;
        stream->unsent_at = 0;
    }
    stream->connection->output_bytes += buffer->size;
    pd_net_stream_make_ready(stream);
}

size_t pd_net_stream_parts(const struct pd_net_stream *stream, ngtcp2_vec *parts, size_t parts_max,
                           bool *is_all_out)
{
    /* ngtcp2 reads them only. */
    union {
        const uint8_t *given;
        uint8_t *wanted;
    } preface = {.given = stream->preface + stream->preface_sent};
    size_t count = 0;
    if (stream->preface_sent < stream->preface_size) {
        parts[count++] = (ngtcp2_vec){preface.wanted, stream->preface_size - stream->preface_sent};
    }
    struct pd_net_buffer *buffer = stream->unsent;
    size_t at = stream->unsent_at;
    while (buffer != NULL && count < parts_max) {
        parts[count++] = (ngtcp2_vec){buffer->bytes + at, buffer->size - at};
        buffer = buffer->next;
        at = 0;
    }
    *is_all_out = buffer == NULL;
    return count;
}

/* How many of `size` bytes belong to the preface, of which `*done` are done. */
static size_t count_preface(uint32_t *done, uint32_t whole, uint64_t size)
{
    uint32_t rest = whole - *done;
    uint32_t more = size < rest ? (uint32_t)size : rest;
    *done += more;
    return more;
}

void pd_net_stream_wrote(struct pd_net_stream *stream, size_t size, bool with_end)
{
    size -= count_preface(&stream->preface_sent, stream->preface_size, size);
    while (size > 0) {
        pd_assert(stream->unsent != NULL);
        size_t rest = stream->unsent->size - stream->unsent_at;
        if (size < rest) {
            stream->unsent_at += size;
            break;
        }
        size -= rest;
        stream->unsent = stream->unsent->next;
        stream->unsent_at = 0;
    }
    if (with_end) {
        stream->end_is_sent = true;
    }
    if (!pd_net_stream_has_output(stream)) {
        pd_list_remove(&stream->ready);
    }
}

void pd_net_stream_acked(struct pd_net_stream *stream, uint64_t size)
{
    size -= count_preface(&stream->preface_acked, stream->preface_sent, size);
    stream->acked_at += size;
    while (stream->buffers != NULL && stream->buffers != stream->unsent &&
           stream->acked_at >= stream->buffers->size) {
        stream->acked_at -= stream->buffers->size;
        drop_buffer(stream);
    }
}

/* -- Correlations ------------------------------------------------------------------------------ */

struct pd_net_stream *pd_net_stream_find(struct pd_net_connection *connection, uint64_t correlation)
{
    uint64_t hash = pd_hash_u64(connection->endpoint->hash_seed, correlation);
    struct pd_table_node *node = pd_table_find(&connection->correlations, hash);
    while (node != NULL) {
        struct pd_net_stream *stream = pd_container_of(node, struct pd_net_stream, by_correlation);
        if (stream->correlation == correlation) {
            return stream;
        }
        node = pd_table_next(node);
    }
    return NULL;
}

void pd_net_stream_name(struct pd_net_stream *stream, uint64_t correlation)
{
    uint64_t hash = pd_hash_u64(stream->connection->endpoint->hash_seed, correlation);
    stream->correlation = correlation;
    stream->is_known = true;
    pd_table_insert(&stream->connection->correlations, &stream->by_correlation, hash);
}

void pd_net_stream_finish(struct pd_net_stream *stream)
{
    stream->is_over = true;
    if (stream->is_known) {
        stream->is_known = false;
        pd_table_remove(&stream->connection->correlations, &stream->by_correlation);
    }
}

/* -- Events ------------------------------------------------------------------------------------ */

static void tell(struct pd_net_stream *stream, const struct pd_net_event *what, uint8_t *owned)
{
    struct pd_net_connection *connection = stream->connection;
    struct pd_net_event event = *what;
    event.link = connection->link_id;
    event.service = connection->service;
    event.correlation = stream->correlation;
    if (pd_net_tell(connection->endpoint, &event, owned) != PD_OK) {
        pd_net_connection_mark(connection, PD_NET_CODE_BUSY, "no memory");
    }
}

static void end_call(struct pd_net_stream *stream, enum pd_status status)
{
    if (!stream->is_over) {
        const struct pd_net_event event = {.kind = PD_NET_ENDED, .status = status};
        pd_net_stream_finish(stream);
        tell(stream, &event, NULL);
    }
}

static void cancel_request(struct pd_net_stream *stream)
{
    if (stream->was_asked && !stream->is_over) {
        const struct pd_net_event event = {.kind = PD_NET_CANCELLED};
        tell(stream, &event, NULL);
    }
    pd_net_stream_finish(stream);
}

static enum pd_status status_of(uint64_t code)
{
    switch (code) {
    case PD_NET_CODE_BUSY:
        return PD_ERR_FULL;
    case PD_NET_CODE_TOO_LARGE:
        return PD_ERR_RANGE;
    case PD_NET_CODE_MALFORMED:
        return PD_ERR_INVALID;
    default:
        return PD_ERR_CLOSED;
    }
}

void pd_net_stream_broken(struct pd_net_stream *stream, uint64_t code)
{
    switch (stream->kind) {
    case PD_NET_STREAM_CALL:
        end_call(stream, status_of(code));
        return;
    case PD_NET_STREAM_REQUEST:
        cancel_request(stream);
        return;
    case PD_NET_STREAM_LANE_OUT:
    case PD_NET_STREAM_LANE_IN:
        pd_net_connection_mark(stream->connection, PD_NET_CODE_MALFORMED, "a lane was closed");
        return;
    }
}

/* -- Input ------------------------------------------------------------------------------------- */

/* A stream that cannot be taken ends alone; a lane ends its connection. */
static void refuse(struct pd_net_stream *stream, enum pd_net_code code)
{
    struct pd_net_connection *connection = stream->connection;
    connection->endpoint->counters.bad_frames += code == PD_NET_CODE_BUSY ? 0 : 1;
    count_input(connection, stream->assembly.size, 0);
    pd_net_assembly_deinit(&stream->assembly);
    if (stream->kind == PD_NET_STREAM_LANE_IN) {
        pd_net_connection_mark(connection, code, "a message that cannot be taken");
        return;
    }
    if (stream->kind == PD_NET_STREAM_REQUEST) {
        connection->endpoint->counters.requests_refused++;
        cancel_request(stream);
    } else {
        end_call(stream, PD_ERR_CLOSED);
    }
    if (ngtcp2_conn_shutdown_stream(connection->quic, stream->id, (uint64_t)code) != 0) {
        pd_net_connection_mark(connection, PD_NET_CODE_BUSY, "no memory");
    }
}

static void take_message(struct pd_net_stream *stream, const struct pd_net_frame *frame)
{
    struct pd_net_connection *connection = stream->connection;
    connection->was_used = true;
    const struct pd_net_event event = {.kind = PD_NET_MESSAGE,
                                       .node = connection->peer->about.node,
                                       .lane = stream->lane,
                                       .bytes = {frame->bytes, frame->size}};
    if (pd_net_tell(connection->endpoint, &event, frame->bytes) != PD_OK) {
        pd_net_connection_mark(connection, PD_NET_CODE_BUSY, "no memory");
    }
}

static void take_request(struct pd_net_stream *stream, const struct pd_net_frame *frame)
{
    if (stream->was_asked || pd_net_stream_find(stream->connection, frame->correlation) != NULL) {
        pd_free(frame->bytes);
        refuse(stream, PD_NET_CODE_MALFORMED);
        return;
    }
    const struct pd_net_event event = {.kind = PD_NET_REQUEST,
                                       .bytes = {frame->bytes, frame->size}};
    stream->was_asked = true;
    stream->connection->endpoint->counters.requests++;
    pd_net_stream_name(stream, frame->correlation);
    tell(stream, &event, frame->bytes);
}

static void take_answer(struct pd_net_stream *stream, const struct pd_net_frame *frame)
{
    if (frame->correlation != stream->correlation) {
        pd_free(frame->bytes);
        refuse(stream, PD_NET_CODE_MALFORMED);
        return;
    }
    const struct pd_net_event event = {.kind = PD_NET_ANSWER, .bytes = {frame->bytes, frame->size}};
    tell(stream, &event, frame->bytes);
}

static void take_frame(struct pd_net_stream *stream, const struct pd_net_frame *frame)
{
    switch (stream->kind) {
    case PD_NET_STREAM_LANE_IN:
        take_message(stream, frame);
        return;
    case PD_NET_STREAM_REQUEST:
        take_request(stream, frame);
        return;
    case PD_NET_STREAM_CALL:
        take_answer(stream, frame);
        return;
    case PD_NET_STREAM_LANE_OUT:
        pd_free(frame->bytes);
        return;
    }
}

static size_t frame_bytes_max(const struct pd_net_stream *stream)
{
    const struct pd_net_limits *limits = &stream->connection->endpoint->limits;
    switch (stream->kind) {
    case PD_NET_STREAM_REQUEST:
        return limits->request_bytes_max;
    case PD_NET_STREAM_CALL:
        return limits->answer_bytes_max;
    case PD_NET_STREAM_LANE_OUT:
    case PD_NET_STREAM_LANE_IN:
        break;
    }
    return limits->message_bytes_max;
}

/* False: it is not whole yet, or refused. */
static bool take_preface(struct pd_net_stream *stream, struct pd_span *bytes)
{
    if (stream->kind != PD_NET_STREAM_LANE_IN || stream->preface_size == PD_NET_PREFACE_SIZE) {
        return true;
    }
    while (bytes->size > 0 && stream->preface_size < PD_NET_PREFACE_SIZE) {
        stream->preface[stream->preface_size++] = bytes->bytes[0];
        bytes->bytes++;
        bytes->size--;
    }
    if (stream->preface_size < PD_NET_PREFACE_SIZE) {
        return false;
    }
    uint64_t life = pd_get_u64(stream->preface + 1);
    if (stream->preface[0] >= PD_TRANSPORT_LANES || life == 0) {
        refuse(stream, PD_NET_CODE_MALFORMED);
        return false;
    }
    stream->lane = (enum pd_transport_lane)stream->preface[0];
    pd_net_peer_greeted(stream->connection->peer, stream->connection, life);
    return true;
}

static void take_frames(struct pd_net_stream *stream, struct pd_span bytes)
{
    struct pd_net_connection *connection = stream->connection;
    bool is_whole = true;
    while (is_whole && !stream->is_over && !connection->must_close) {
        struct pd_net_frame frame;
        size_t before = stream->assembly.size;
        enum pd_status status = pd_net_assembly_take(&stream->assembly, &bytes,
                                                     frame_bytes_max(stream), &is_whole, &frame);
        count_input(connection, before, stream->assembly.size);
        if (status != PD_OK) {
            refuse(stream, status == PD_ERR_RANGE ? PD_NET_CODE_TOO_LARGE : PD_NET_CODE_BUSY);
            return;
        }
        if (is_whole) {
            take_frame(stream, &frame);
        }
    }
    const struct pd_net_endpoint *endpoint = connection->endpoint;
    bool is_much = connection->input_bytes > endpoint->limits.input_bytes_max ||
                   endpoint->input_bytes > endpoint->limits.input_bytes_total_max;
    if (stream->kind != PD_NET_STREAM_LANE_IN && !stream->is_over && is_much) {
        refuse(stream, PD_NET_CODE_BUSY);
    }
}

static void take_end(struct pd_net_stream *stream)
{
    switch (stream->kind) {
    case PD_NET_STREAM_CALL:
        if (pd_net_assembly_is_empty(&stream->assembly)) {
            end_call(stream, PD_OK);
        } else {
            stream->connection->endpoint->counters.bad_frames++;
            end_call(stream, PD_ERR_CLOSED);
        }
        return;
    case PD_NET_STREAM_REQUEST:
        if (!stream->was_asked) {
            refuse(stream, PD_NET_CODE_MALFORMED);
        }
        return;
    case PD_NET_STREAM_LANE_OUT:
    case PD_NET_STREAM_LANE_IN:
        refuse(stream, PD_NET_CODE_MALFORMED);
        return;
    }
}

void pd_net_stream_receive(struct pd_net_stream *stream, bool is_end, struct pd_span bytes)
{
    struct pd_net_connection *connection = stream->connection;
    if (stream->is_over) {
        return;
    }
    if (take_preface(stream, &bytes)) {
        take_frames(stream, bytes);
    }
    if (is_end && !stream->is_over && !connection->must_close) {
        take_end(stream);
    }
}
