/* Maintenance.Snapshot: the node's state, chunk by chunk, and a checksum of all of it.
 *
 * A chunk is asked for when the one before has been taken off: a client that reads slowly holds up
 * nobody, and nothing gathers here. The bytes are those of node/snapshot_format.h, sealed (seal.h)
 * as etcd's clients expect. */
#include <string.h>

#include "base/alloc.h"
#include "gateway/seal.h"
#include "gateway/service_internal.h"

#define BLOB_MAX ((size_t)1 << 20) /* many clients take no message beyond 4 MiB */

struct saving {
    uint64_t number;
    uint64_t next; /* chunk */
    struct pd_seal seal;
    bool is_over; /* the backend has given its last chunk, or has ended it */
};

static void answered(struct pd_service_wait *wait, const struct pd_backend_answer *answer);

static void ask(struct pd_service_call *call)
{
    const struct saving *saving = call->state;
    const struct pd_backend_request request = {.kind = PD_BACKEND_SNAPSHOT,
                                               .serializable = true,
                                               .number = saving->number,
                                               .sequence = saving->next};
    pd_service_ask(call, &request, answered);
}

/* false: the call has ended. */
static bool give(struct pd_service_call *call, struct pd_span blob, uint64_t remaining)
{
    struct pd_service *service = call->service;
    pd_arena_reset(&service->answers);
    Etcdserverpb__SnapshotResponse *response =
        pd_service_make(service, &etcdserverpb__snapshot_response__descriptor);
    if (response != NULL) {
        /* How much it will be is known at the end; until then the checksum at least follows. */
        response->remaining_bytes = remaining;
        response->blob = pd_proto_bytes(blob);
        response->version = pd_proto_text(service->config.version);
    }
    return pd_service_give(call, response);
}

static void finish(struct pd_service_call *call)
{
    struct saving *saving = call->state;
    uint8_t tail[PD_SEAL_TAIL_MAX];
    size_t size = pd_seal_end(&saving->seal, tail);
    size_t zeros = size - PD_SEAL_HASH_SIZE;
    if ((zeros == 0 || give(call, (struct pd_span){tail, zeros}, PD_SEAL_HASH_SIZE)) &&
        give(call, (struct pd_span){tail + zeros, PD_SEAL_HASH_SIZE}, 0)) {
        pd_service_end(call, PD_CODE_OK, "");
    }
}

static void answered(struct pd_service_wait *wait, const struct pd_backend_answer *answer)
{
    struct pd_service_call *call = pd_service_call_of(wait);
    struct saving *saving = call->state;
    struct pd_span chunk = answer->body;
    if (answer->outcome != PD_BACKEND_OK || chunk.size <= PD_BACKEND_CHUNK_KIND_AT) {
        saving->is_over = true;
        pd_service_fail(call, answer);
        return;
    }
    saving->is_over = chunk.bytes[PD_BACKEND_CHUNK_KIND_AT] == PD_BACKEND_CHUNK_LAST;
    saving->next++;
    pd_seal_add(&saving->seal, chunk);
    while (chunk.size > 0) {
        size_t size = chunk.size < BLOB_MAX ? chunk.size : BLOB_MAX;
        if (!give(call, (struct pd_span){chunk.bytes, size}, PD_SEAL_HASH_SIZE)) {
            return;
        }
        chunk = (struct pd_span){chunk.bytes + size, chunk.size - size};
    }
    if (saving->is_over) {
        finish(call);
    } else if (!call->is_held) {
        ask(call);
    }
}

static void resumed(struct pd_service_call *call)
{
    if (call->wait.place == 0) {
        ask(call);
    }
}

static void request(struct pd_service_call *call, const ProtobufCMessage *message)
{
    struct saving *saving = pd_alloc_zeroed(1, sizeof *saving);
    (void)message; /* it is empty */
    if (saving == NULL) {
        pd_service_fail_status(call, PD_ERR_NO_MEMORY);
        return;
    }
    saving->number = ++call->service->snapshot_number;
    pd_seal_init(&saving->seal);
    call->state = saving;
    ask(call);
}

static void dropped(struct pd_service_call *call, bool was_cancelled)
{
    struct saving *saving = call->state;
    struct pd_backend *backend = call->service->backend;
    (void)was_cancelled;
    if (saving == NULL) {
        return;
    }
    if (!saving->is_over) {
        backend->ops->cancel(backend, saving->number, PD_BACKEND_SNAPSHOT_END);
    }
    pd_free(saving);
    call->state = NULL;
}

const struct pd_service_handler pd_service_snapshot = {
    .request = request, .resumed = resumed, .dropped = dropped};
