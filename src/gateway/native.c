#include "gateway/native.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/frame.h"
#include "base/list.h"
#include "gateway/text.h"

#define PART_BYTES ((size_t)32 << 10) /* of output, at a time */
#define BUFFER_MAX (SIZE_MAX / 4)     /* other bounds count before it */
#define SECOND_NS UINT64_C(1000000000)
#define MIB ((size_t)1 << 20)

struct buffer {
    struct pd_text text;
    size_t at; /* behind what is done with */
};

struct pd_native {
    struct pd_backend_peer peer;
    struct pd_native_shared *shared;
    struct pd_protocol_owner owner;
    struct pd_service_client client; /* whose output it is */
    struct buffer input;
    struct buffer output;
    size_t given;         /* of the output, by the last call */
    uint64_t deadline_ns; /* of the frame that has begun; UINT64_MAX: none */
    bool is_broken;       /* its output is lost: it ends */
};

struct pd_native_config pd_native_config_default(void)
{
    return (struct pd_native_config){
        .frame_bytes_max = (uint32_t)(9 * MIB), /* as on the node's own socket */
        .input_bytes_max = 128 * MIB,
        .output_bytes_soft = 4 * MIB,
        .frame_ns = 60 * SECOND_NS,
    };
}

/* -- Buffers ----------------------------------------------------------------------------------- */

/* What is done with goes; of an empty one its memory too, unless that is not much. */
static void tidy(struct buffer *buffer)
{
    struct pd_text *text = &buffer->text;
    if (buffer->at == text->size) {
        pd_text_reset(text);
    } else if (buffer->at > 0) {
        memmove(text->bytes, text->bytes + buffer->at, text->size - buffer->at);
        text->size -= buffer->at;
    }
    buffer->at = 0;
}

/* False: no memory. What has left gives its room back once it is half of all: a client that is
 * always a little behind costs what waits for it, not what it was ever sent. */
static bool append(struct buffer *buffer, const uint8_t *bytes, size_t size)
{
    struct pd_text *text = &buffer->text;
    if (size > text->capacity - text->size && buffer->at >= text->size - buffer->at) {
        tidy(buffer);
    }
    pd_text_put(text, bytes, size);
    return !text->has_failed;
}

static size_t waiting(const struct buffer *buffer)
{
    return buffer->text.size - buffer->at;
}

/* -- From the backend -------------------------------------------------------------------------- */

static void answered(struct pd_backend_peer *peer, uint64_t correlation, struct pd_span bytes)
{
    struct pd_native *native = pd_container_of(peer, struct pd_native, peer);
    uint8_t head[PD_FRAME_HEAD_SIZE];
    if (native->is_broken) {
        return;
    }
    pd_frame_put_head(head, (uint32_t)bytes.size, correlation);
    bool fits = pd_service_output(native->shared->service, &native->client,
                                  waiting(&native->output) + sizeof head + bytes.size);
    if (!fits || !append(&native->output, head, sizeof head) ||
        !append(&native->output, bytes.bytes, bytes.size)) {
        native->is_broken = true;
        native->shared->counters.cut_off++;
    }
    native->owner.wants_output(native->owner.connection);
}

/* -- The protocol ------------------------------------------------------------------------------ */

static enum pd_status receive(void *state, struct pd_span bytes, uint64_t now_ns)
{
    struct pd_native *native = state;
    struct pd_native_shared *shared = native->shared;
    struct pd_backend *backend = shared->backend;
    struct pd_frame frame;
    enum pd_frame_state frame_state = PD_FRAME_WHOLE;
    size_t before = native->input.text.size;
    if (bytes.size == 0) {
        return PD_OK; /* there may be no buffer yet */
    }
    if (!append(&native->input, bytes.bytes, bytes.size)) {
        return PD_ERR_NO_MEMORY;
    }
    while (frame_state == PD_FRAME_WHOLE) {
        struct pd_span there = {native->input.text.bytes + native->input.at,
                                waiting(&native->input)};
        frame_state = pd_frame_take(there, shared->config.frame_bytes_max, &frame);
        if (frame_state == PD_FRAME_WHOLE) {
            backend->ops->peer_submit(backend, &native->peer, frame.correlation, frame.body);
            native->input.at += PD_FRAME_HEAD_SIZE + frame.body_size;
            shared->counters.frames++;
        }
    }
    bool has_moved = native->input.at > 0;
    tidy(&native->input);
    shared->input_bytes = shared->input_bytes - before + native->input.text.size;
    if (native->input.text.size == 0) {
        native->deadline_ns = UINT64_MAX;
    } else if (has_moved || before == 0) {
        native->deadline_ns = now_ns + shared->config.frame_ns;
    }
    if (frame_state == PD_FRAME_BAD) {
        shared->counters.bad_frames++;
        return PD_ERR_INVALID;
    }
    if (shared->input_bytes > shared->config.input_bytes_max) {
        shared->counters.crowded++;
        return PD_ERR_FULL;
    }
    return PD_OK;
}

static struct pd_span output(void *state)
{
    struct pd_native *native = state;
    struct buffer *buffer = &native->output;
    buffer->at += native->given;
    native->given = 0;
    if (native->is_broken || waiting(buffer) == 0) {
        tidy(buffer);
        (void)pd_service_output(native->shared->service, &native->client, waiting(buffer));
        return (struct pd_span){NULL, 0};
    }
    (void)pd_service_output(native->shared->service, &native->client, waiting(buffer));
    native->given = waiting(buffer) < PART_BYTES ? waiting(buffer) : PART_BYTES;
    return (struct pd_span){buffer->text.bytes + buffer->at, native->given};
}

static bool has_ended(const void *state)
{
    const struct pd_native *native = state;
    return native->is_broken;
}

static bool is_full(const void *state)
{
    const struct pd_native *native = state;
    return waiting(&native->output) > native->shared->config.output_bytes_soft;
}

/* A frame that has begun has its whole time again. */
static void paced(void *state, bool is_paused, uint64_t now_ns)
{
    struct pd_native *native = state;
    native->deadline_ns = is_paused || native->input.text.size == 0
                              ? UINT64_MAX
                              : now_ns + native->shared->config.frame_ns;
}

static uint64_t deadline_ns(const void *state)
{
    const struct pd_native *native = state;
    return native->deadline_ns;
}

static enum pd_status expire(void *state, uint64_t now_ns)
{
    struct pd_native *native = state;
    if (now_ns < native->deadline_ns) {
        return PD_OK;
    }
    native->shared->counters.late_frames++;
    return PD_ERR_TIMEOUT;
}

static void close_native(void *state)
{
    struct pd_native *native = state;
    struct pd_backend *backend = native->shared->backend;
    backend->ops->peer_close(backend, &native->peer);
    (void)pd_service_output(native->shared->service, &native->client, 0);
    native->shared->input_bytes -= native->input.text.size;
    pd_text_deinit(&native->input.text);
    pd_text_deinit(&native->output.text);
    pd_free(native);
}

const struct pd_protocol pd_native_protocol = {
    .receive = receive,
    .output = output,
    .has_ended = has_ended,
    .is_full = is_full,
    .paced = paced,
    .deadline_ns = deadline_ns,
    .expire = expire,
    .close = close_native,
};

struct pd_native *pd_native_open(struct pd_native_shared *shared,
                                 const struct pd_protocol_owner *owner)
{
    struct pd_backend *backend = shared->backend;
    struct pd_native *native = pd_alloc_zeroed(1, sizeof *native);
    if (native == NULL) {
        shared->counters.connections_refused++;
        return NULL;
    }
    native->peer.answered = answered;
    native->shared = shared;
    native->owner = *owner;
    native->deadline_ns = UINT64_MAX;
    pd_text_init(&native->input.text, BUFFER_MAX);
    pd_text_init(&native->output.text, BUFFER_MAX);
    if (backend->ops->peer_open == NULL ||
        backend->ops->peer_open(backend, &native->peer) != PD_OK) {
        shared->counters.connections_refused++;
        pd_free(native);
        return NULL;
    }
    shared->counters.connections++;
    return native;
}
