/* Deadlines of a connection's calls: a binary heap, whose first is due first; and what happens to
 * those that are late. */
#include "base/assert.h"
#include "gateway/grpc_internal.h"

static void heap_set(struct pd_grpc *grpc, uint32_t place, struct pd_grpc_stream *stream)
{
    grpc->heap[place] = stream;
    stream->heap_place = place;
}

static void heap_up(struct pd_grpc *grpc, uint32_t place)
{
    struct pd_grpc_stream *stream = grpc->heap[place];
    while (place > 1 && grpc->heap[place / 2]->deadline_ns > stream->deadline_ns) {
        heap_set(grpc, place, grpc->heap[place / 2]);
        place /= 2;
    }
    heap_set(grpc, place, stream);
}

static void heap_down(struct pd_grpc *grpc, uint32_t place)
{
    struct pd_grpc_stream *stream = grpc->heap[place];
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

static void heap_add(struct pd_grpc *grpc, struct pd_grpc_stream *stream)
{
    pd_assert(grpc->heap_count < grpc->config->streams_max);
    grpc->heap_count++;
    heap_set(grpc, grpc->heap_count, stream);
    heap_up(grpc, grpc->heap_count);
}

void pd_grpc_deadline_remove(struct pd_grpc_stream *stream)
{
    struct pd_grpc *grpc = stream->grpc;
    uint32_t place = stream->heap_place;
    if (place == 0) {
        return;
    }
    struct pd_grpc_stream *last = grpc->heap[grpc->heap_count--];
    stream->heap_place = 0;
    if (last != stream) {
        heap_set(grpc, place, last);
        heap_up(grpc, place);
        heap_down(grpc, last->heap_place);
    }
}

void pd_grpc_deadline_set(struct pd_grpc_stream *stream)
{
    uint64_t call = stream->call_deadline_ns;
    uint64_t message = stream->message_deadline_ns;
    uint64_t deadline = call < message ? call : message;
    struct pd_grpc *grpc = stream->grpc;
    if (stream->heap_place != 0 && stream->deadline_ns == deadline) {
        return;
    }
    pd_grpc_deadline_remove(stream);
    stream->deadline_ns = deadline;
    if (deadline != UINT64_MAX && grpc->heap_count < grpc->config->streams_max) {
        heap_add(grpc, stream);
    }
}

/* Its message could not come, for the connection was not read from: it has its whole time again. */
static bool has_more_time(struct pd_grpc_stream *stream, uint64_t now_ns)
{
    const struct pd_grpc *grpc = stream->grpc;
    uint64_t since_ns = grpc->is_paused ? now_ns : grpc->read_since_ns;
    if (since_ns + grpc->config->message_ns <= now_ns) {
        return false;
    }
    stream->message_deadline_ns = since_ns + grpc->config->message_ns;
    pd_grpc_deadline_set(stream);
    return true;
}

enum pd_status pd_grpc_expire(void *state, uint64_t now_ns)
{
    struct pd_grpc *grpc = state;
    grpc->now_ns = now_ns;
    while (grpc->heap_count > 0 && grpc->heap[1]->deadline_ns <= now_ns) {
        struct pd_grpc_stream *stream = grpc->heap[1];
        if (stream->call_deadline_ns <= now_ns) {
            pd_grpc_end_call(stream, PD_CODE_DEADLINE_EXCEEDED, "context deadline exceeded");
        } else if (!has_more_time(stream, now_ns)) {
            pd_grpc_end_call(stream, PD_CODE_DEADLINE_EXCEEDED,
                             "grpc: the request did not come whole in its time");
        }
    }
    /* What was given to the socket may wait for ever: who is cut off does not read. */
    return grpc->is_cut_off ? PD_ERR_TIMEOUT : PD_OK;
}
