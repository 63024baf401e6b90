/* KV: ranges, puts, deletes, transactions, compaction. */
#include "gateway/kv_request.h"
#include "gateway/kv_response.h"
#include "gateway/service_internal.h"

static void answered(struct pd_service_wait *wait, const struct pd_backend_answer *answer)
{
    struct pd_service_call *call = pd_service_call_of(wait);
    struct pd_service *service = call->service;
    struct pd_kv_reader reader;
    struct pd_kv_answer_head head;
    if (!pd_service_take(call, answer, &reader, &head)) {
        return;
    }
    struct pd_arena *arena = &service->answers;
    const ProtobufCMessageDescriptor *type = call->entry->method.response;
    Etcdserverpb__ResponseHeader *header = pd_service_header(service, head.revision, answer->term);
    const void *response = NULL;
    enum pd_kv_answer_kind kind = PD_KV_ANSWER_NONE;
    if (type == &etcdserverpb__range_response__descriptor) {
        kind = PD_KV_ANSWER_RANGE;
        response = pd_kv_response_range(arena, &reader, header);
    } else if (type == &etcdserverpb__put_response__descriptor) {
        kind = PD_KV_ANSWER_PUT;
        response = pd_kv_response_put(arena, &reader, header);
    } else if (type == &etcdserverpb__delete_range_response__descriptor) {
        kind = PD_KV_ANSWER_DELETE;
        response = pd_kv_response_delete(arena, &reader, header);
    } else if (type == &etcdserverpb__txn_response__descriptor) {
        kind = PD_KV_ANSWER_TXN;
        response = pd_kv_response_txn(arena, &reader, header);
    } else {
        Etcdserverpb__CompactionResponse *compaction = pd_service_make(service, type);
        if (compaction != NULL) {
            compaction->header = header;
        }
        response = compaction;
    }
    if (head.kind != kind || (response != NULL && !pd_kv_answer_is_whole(&reader))) {
        pd_service_end(call, PD_CODE_INTERNAL, "etcdserver: the node's answer makes no sense");
    } else {
        pd_service_finish(call, response);
    }
}

/* The kind of request that the message is, and its command. */
static enum pd_kv_error map(struct pd_service_call *call, const ProtobufCMessage *message,
                            struct pd_backend_request *request)
{
    struct pd_arena *arena = &call->service->arena;
    const ProtobufCMessageDescriptor *type = message->descriptor;
    const void *any = message;
    request->kind = PD_BACKEND_WRITE;
    if (type == &etcdserverpb__range_request__descriptor) {
        const Etcdserverpb__RangeRequest *range = any;
        request->kind = PD_BACKEND_READ;
        request->serializable = range->serializable;
        return pd_kv_request_range(arena, range, &request->body);
    }
    if (type == &etcdserverpb__put_request__descriptor) {
        return pd_kv_request_put(arena, any, &request->body);
    }
    if (type == &etcdserverpb__delete_range_request__descriptor) {
        return pd_kv_request_delete(arena, any, &request->body);
    }
    if (type == &etcdserverpb__txn_request__descriptor) {
        bool is_read = false;
        enum pd_kv_error error =
            pd_kv_request_txn(arena, any, &call->service->config.limits, &request->body, &is_read);
        request->kind = is_read ? PD_BACKEND_REPEATABLE : PD_BACKEND_WRITE;
        return error;
    }
    const Etcdserverpb__CompactionRequest *compaction = any;
    const struct pd_kv_command command = {.kind = PD_KV_COMPACT, .revision = compaction->revision};
    request->body = pd_kv_request_simple(arena, &command);
    return request->body.size == 0 ? PD_KV_ERR_TOO_LARGE : PD_KV_OK;
}

static void request(struct pd_service_call *call, const ProtobufCMessage *message)
{
    struct pd_backend_request asked = {0};
    enum pd_kv_error error = map(call, message, &asked);
    if (error != PD_KV_OK) {
        pd_service_fail_kv(call, error);
        return;
    }
    pd_service_ask(call, &asked, answered);
}

const struct pd_service_handler pd_service_kv = {.request = request};
