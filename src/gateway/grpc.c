/* The connection: nghttp2's callbacks, the headers that begin a call, and the protocol. */
#include "gateway/grpc.h"

#include <string.h>

#include "base/alloc.h"
#include "gateway/grpc_internal.h"
#include "gateway/grpc_text.h"

#define KIB 1024u
#define MIB (KIB * KIB)
#define HEADER_COST 32u /* RFC 9113, 6.5.2 */
#define SECOND_NS UINT64_C(1000000000)

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

static void stream_free(struct pd_grpc_stream *stream)
{
    if (stream->call != NULL) {
        struct pd_service_call *call = stream->call;
        stream->call = NULL;
        pd_service_cancel(call);
    }
    pd_grpc_deadline_remove(stream);
    pd_grpc_drop_input(stream);
    pd_grpc_drop_output(stream);
    pd_list_remove(&stream->link);
    pd_list_remove(&stream->resumable);
    pd_free(stream->text);
    pd_free(stream);
}

/* -- nghttp2's callbacks ----------------------------------------------------------------------- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct pd_grpc *grpc = user;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0;
    }
    struct pd_grpc_stream *stream = pd_alloc_zeroed(1, sizeof *stream);
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

/* It is no request: reset. Returns `result`: TEMPORAL_CALLBACK_FAILURE ends a block of headers, 0
 * anything else, of which nothing more is told then. */
static int reset_malformed(const struct pd_grpc_stream *stream, int result)
{
    return nghttp2_submit_rst_stream(stream->grpc->session, NGHTTP2_FLAG_NONE, stream->id,
                                     NGHTTP2_PROTOCOL_ERROR) == 0
               ? result
               : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *user)
{
    const struct pd_grpc *grpc = user;
    struct pd_grpc_stream *stream =
        nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    struct pd_span key = {name, name_size};
    struct pd_span text = {value, value_size};
    (void)flags;
    if (stream == NULL) {
        return 0;
    }
    stream->header_bytes += name_size + value_size + HEADER_COST;
    if (stream->header_bytes > grpc->config->header_bytes_max) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* the stream is reset */
    }
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return pd_grpc_trailer_is_good(key, text)
                   ? 0
                   : reset_malformed(stream, NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE);
    }
    if (!pd_grpc_headers_take(&stream->headers, key, text)) {
        return reset_malformed(stream, NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE);
    }
    if (is_name(key, ":path")) {
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

static void begin_call(struct pd_grpc_stream *stream)
{
    struct pd_grpc *grpc = stream->grpc;
    if (!stream->is_grpc || !stream->is_post) {
        pd_grpc_refuse(stream, stream->is_grpc ? "405" : "415");
        return;
    }
    if (stream->method == NULL) {
        pd_grpc_finish(stream, PD_CODE_UNIMPLEMENTED, "unknown service or method");
        return;
    }
    if (stream->is_malformed) {
        /* As Go's servers answer: it is not late, nobody knows when it is. */
        pd_grpc_finish(stream, PD_CODE_INTERNAL, "malformed grpc-timeout");
        return;
    }
    if (grpc->heap_count < grpc->config->streams_max) {
        stream->call = pd_service_begin(grpc->service, stream->method, &pd_grpc_carrier, stream,
                                        &grpc->client);
    }
    if (stream->call == NULL) {
        pd_grpc_finish(stream, PD_CODE_RESOURCE_EXHAUSTED, "etcdserver: too many requests");
        return;
    }
    if (stream->wants_leader && !pd_service_require_leader(stream->call)) {
        return;
    }
    if (stream->timeout_ns < UINT64_MAX - grpc->now_ns) {
        stream->call_deadline_ns = grpc->now_ns + stream->timeout_ns;
        pd_grpc_deadline_set(stream);
    }
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)user;
    struct pd_grpc_stream *stream =
        nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (stream == NULL || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)) {
        return 0;
    }
    bool is_request =
        frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
    bool is_end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    bool is_trailers = frame->hd.type == NGHTTP2_HEADERS && !is_request;
    if ((is_request && !pd_grpc_headers_are_whole(&stream->headers)) ||
        (is_end && !pd_grpc_headers_fit_body(&stream->headers)) || (is_trailers && !is_end)) {
        return reset_malformed(stream, 0);
    }
    if (is_request) {
        begin_call(stream);
    }
    if (is_end) {
        stream->client_ended = true;
        pd_grpc_end_request(stream);
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t size, void *user)
{
    (void)user;
    (void)flags;
    struct pd_grpc_stream *stream = nghttp2_session_get_stream_user_data(session, id);
    (void)nghttp2_session_consume_connection(session, size);
    if (stream == NULL) {
        return 0;
    }
    if (!pd_grpc_headers_take_body(&stream->headers, size)) {
        return reset_malformed(stream, 0);
    }
    size_t taken = stream->held_size > 0 ? 0 : pd_grpc_take_data(stream, bytes, size);
    if (taken < size && !pd_grpc_hold(stream, bytes + taken, size - taken)) {
        pd_grpc_end_call(stream, PD_CODE_RESOURCE_EXHAUSTED, "etcdserver: too many requests");
        taken = size;
    }
    (void)nghttp2_session_consume_stream(session, id, taken);
    return 0;
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)user;
    const struct pd_grpc_stream *stream =
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
    struct pd_grpc_stream *stream = nghttp2_session_get_stream_user_data(session, id);
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
        struct pd_grpc_stream *stream =
            pd_container_of(pd_list_first(&grpc->resumable), struct pd_grpc_stream, resumable);
        pd_list_remove(&stream->resumable);
        if (stream->call != NULL && stream->is_held &&
            stream->output_bytes <= grpc->config->output_bytes_soft / 2) {
            stream->is_held = false;
            pd_service_resume(stream->call);
        }
        if (stream->call != NULL && !pd_service_is_full(stream->call) &&
            (stream->held_size > 0 || stream->client_ended)) {
            pd_grpc_take_held(stream);
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

static void close_state(void *state)
{
    struct pd_grpc *grpc = state;
    while (!pd_list_is_empty(&grpc->streams)) {
        struct pd_grpc_stream *stream =
            pd_container_of(pd_list_first(&grpc->streams), struct pd_grpc_stream, link);
        if (grpc->session != NULL) {
            (void)nghttp2_session_set_stream_user_data(grpc->session, stream->id, NULL);
        }
        stream_free(stream);
    }
    pd_service_client_leave(&grpc->client);
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
    .expire = pd_grpc_expire,
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
    nghttp2_option_set_no_http_messaging(option, 1); /* but by us: grpc_headers.h */
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
    grpc->heap = pd_alloc_zeroed((size_t)config->streams_max + 1, sizeof(struct pd_grpc_stream *));
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
    pd_grpc_wants_output(grpc);
}
