#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "node/replica_internal.h"

#define ARENA_KEPT ((size_t)8 << 20) /* what was grown for large answers goes with them */

uint8_t *pd_replica_bytes_add(struct pd_replica_bytes *bytes, size_t size)
{
    if (bytes->bytes == NULL || bytes->capacity - bytes->size < size) {
        size_t capacity = bytes->capacity < 4096 ? 4096 : bytes->capacity;
        while (capacity - bytes->size < size) {
            capacity *= 2;
        }
        uint8_t *grown = pd_realloc(bytes->bytes, capacity);
        if (grown == NULL) {
            pd_fatal("no memory for %zu bytes of messages: give the node more memory or lower its "
                     "limits",
                     capacity);
        }
        bytes->bytes = grown;
        bytes->capacity = capacity;
    }
    uint8_t *at = bytes->bytes + bytes->size;
    bytes->size += size;
    return at;
}

void *pd_replica_grow(void *array, uint32_t *capacity, uint32_t count, size_t item_size)
{
    if (count <= *capacity) {
        return array;
    }
    uint32_t grown_capacity = *capacity < 16 ? 16 : *capacity * 2;
    while (grown_capacity < count) {
        grown_capacity *= 2;
    }
    void *grown = pd_realloc(array, grown_capacity * item_size);
    if (grown == NULL) {
        pd_fatal("no memory for %u items of a log write: give the node more memory",
                 grown_capacity);
    }
    *capacity = grown_capacity;
    return grown;
}

struct pd_replica_output *pd_replica_emit(struct pd_replica *replica,
                                          enum pd_replica_output_kind kind)
{
    if (replica->queue_head == replica->queue_count) {
        replica->queue_head = 0;
        replica->queue_count = 0;
        replica->arena.size = 0;
        if (replica->arena.capacity > ARENA_KEPT) {
            pd_free(replica->arena.bytes);
            replica->arena = (struct pd_replica_bytes){0};
        }
    }
    if (replica->queue_count == replica->queue_capacity) {
        uint32_t capacity = (uint32_t)replica->queue_capacity;
        replica->queue =
            pd_replica_grow(replica->queue, &capacity, capacity + 1, sizeof(replica->queue[0]));
        replica->queue_capacity = capacity;
    }
    struct pd_replica_queued *queued = &replica->queue[replica->queue_count++];
    memset(queued, 0, sizeof(*queued));
    queued->output.kind = kind;
    return &queued->output;
}

uint8_t *pd_replica_emit_bytes(struct pd_replica *replica, enum pd_replica_output_kind kind,
                               pd_raft_node node, uint64_t client, uint64_t correlation,
                               size_t size)
{
    struct pd_replica_output *output = pd_replica_emit(replica, kind);
    output->node = node;
    output->client = client;
    output->correlation = correlation;
    output->bytes.size = size;
    struct pd_replica_queued *queued = &replica->queue[replica->queue_count - 1];
    queued->offset = replica->arena.size;
    queued->in_arena = true;
    return pd_replica_bytes_add(&replica->arena, size);
}

void pd_replica_frame_put(const struct pd_replica *replica, enum pd_replica_frame kind,
                          pd_raft_node to, uint8_t *bytes)
{
    bytes[0] = PD_REPLICA_FRAME_VERSION;
    bytes[1] = (uint8_t)kind;
    pd_put_u16(bytes + 2, 0);
    pd_put_u32(bytes + 4, replica->config.raft.group_id);
    pd_put_u64(bytes + 8, replica->config.cluster_id);
    pd_put_u64(bytes + 16, replica->config.raft.id);
    pd_put_u64(bytes + 24, to);
}

uint8_t *pd_replica_emit_frame(struct pd_replica *replica, enum pd_replica_frame kind,
                               pd_raft_node to, size_t size)
{
    uint8_t *bytes =
        pd_replica_emit_bytes(replica, PD_REPLICA_SEND, to, 0, 0, PD_REPLICA_FRAME_SIZE + size);
    if (kind == PD_REPLICA_FRAME_CHUNK) {
        replica->queue[replica->queue_count - 1].output.lane = PD_TRANSPORT_BULK;
    }
    pd_replica_frame_put(replica, kind, to, bytes);
    return bytes + PD_REPLICA_FRAME_SIZE;
}

void pd_replica_tell_if_slow(struct pd_replica *replica, const struct pd_replica_timed *timed,
                             uint64_t client, uint64_t correlation, enum pd_replica_outcome outcome)
{
    if (timed->asked_ns == 0 || replica->now_ns < timed->asked_ns ||
        replica->now_ns - timed->asked_ns < replica->config.slow_ns) {
        return;
    }
    struct pd_replica_slow slow;
    pd_replica_timed_end(timed, replica->now_ns, outcome, &slow);
    uint8_t *bytes =
        pd_replica_emit_bytes(replica, PD_REPLICA_SLOW, 0, client, correlation, sizeof slow);
    memcpy(bytes, &slow, sizeof slow);
}

void pd_replica_answer(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                       enum pd_replica_outcome outcome, struct pd_span body)
{
    struct pd_replica_asking *asking = &replica->asking;
    if (asking->is_open && asking->client == client && asking->correlation == correlation) {
        asking->is_open = false;
        pd_replica_tell_if_slow(replica, &asking->timed, client, correlation, outcome);
    }
    uint8_t *bytes = pd_replica_emit_bytes(replica, PD_REPLICA_ANSWER, 0, client, correlation,
                                           PD_REPLICA_ANSWER_HEAD_SIZE + body.size);
    struct pd_replica_answer_head head = {
        .outcome = outcome, .leader = replica->leader, .term = replica->term};
    pd_replica_answer_put_head(bytes, &head);
    if (body.size > 0) {
        memcpy(bytes + PD_REPLICA_ANSWER_HEAD_SIZE, body.bytes, body.size);
    }
}

void pd_replica_answer_text(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                            enum pd_replica_outcome outcome, const char *text)
{
    struct pd_span body = {(const uint8_t *)text, strlen(text)};
    pd_replica_answer(replica, client, correlation, outcome, body);
}

static void say(struct pd_replica *replica, const char *format, va_list arguments) PD_PRINTF(2, 0);

static void say(struct pd_replica *replica, const char *format, va_list arguments)
{
    (void)vsnprintf(replica->text, sizeof(replica->text), format, arguments);
}

void pd_replica_say(struct pd_replica *replica, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(replica, format, arguments);
    va_end(arguments);
}

static void emit_text(struct pd_replica *replica, enum pd_replica_output_kind kind,
                      const char *text)
{
    size_t size = strlen(text) + 1;
    uint8_t *bytes = pd_replica_emit_bytes(replica, kind, 0, 0, 0, size);
    memcpy(bytes, text, size);
}

void pd_replica_note(struct pd_replica *replica, const char *format, ...)
{
    char text[PD_REPLICA_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    emit_text(replica, PD_REPLICA_NOTE, text);
}

void pd_replica_fatal(struct pd_replica *replica, const char *format, ...)
{
    if (replica->phase == PD_REPLICA_DEAD) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    say(replica, format, arguments);
    va_end(arguments);
    replica->phase = PD_REPLICA_DEAD;
    /* Nothing that waits may leave any more: it could rest on what is wrong. */
    replica->queue_head = replica->queue_count;
    emit_text(replica, PD_REPLICA_FATAL, replica->text);
}

void pd_replica_rows_are_damaged(struct pd_replica *replica)
{
    replica->store_is_damaged = true;
    pd_replica_fatal(replica, "the store's rows are damaged. Remove the store folder and start "
                              "again: it is rebuilt from the log or from another member");
}

bool pd_replica_next(struct pd_replica *replica, struct pd_replica_output *output_out)
{
    if (replica->queue_head == replica->queue_count) {
        return false;
    }
    const struct pd_replica_queued *queued = &replica->queue[replica->queue_head++];
    *output_out = queued->output;
    if (queued->in_arena) {
        output_out->bytes.bytes = replica->arena.bytes + queued->offset;
        if (queued->output.kind == PD_REPLICA_NOTE || queued->output.kind == PD_REPLICA_FATAL) {
            output_out->text = (const char *)output_out->bytes.bytes;
        }
        if (queued->output.kind == PD_REPLICA_SLOW) {
            memcpy(&replica->slow_told, output_out->bytes.bytes, sizeof replica->slow_told);
            output_out->slow = &replica->slow_told;
        }
    }
    return true;
}

void pd_replica_outputs_free(struct pd_replica *replica)
{
    pd_free(replica->queue);
    pd_free(replica->arena.bytes);
}

const char *pd_replica_text(const struct pd_replica *replica)
{
    return replica->text;
}
