/* Lease: grant, revoke, time to live, all of them; and the stream that keeps them alive. */
#include "base/alloc.h"
#include "base/assert.h"
#include "gateway/kv_request.h"
#include "gateway/service_internal.h"

/* -- One request, one response ----------------------------------------------------------------- */

static bool read_keys(struct pd_service *service, struct pd_kv_reader *reader, size_t *count_out,
                      ProtobufCBinaryData **keys_out)
{
    struct pd_kv_reader ahead = *reader;
    struct pd_span key;
    size_t count = 0;
    while (pd_kv_answer_key(&ahead, &key)) {
        count++;
    }
    ProtobufCBinaryData *keys = pd_arena_take(&service->answers, count * sizeof *keys);
    if (keys == NULL) {
        return false;
    }
    for (size_t i = 0; pd_kv_answer_key(reader, &key); i++) {
        keys[i] = pd_proto_bytes(key);
    }
    *count_out = count;
    *keys_out = keys;
    return true;
}

static const void *time_to_live(struct pd_service *service, struct pd_kv_reader *reader,
                                Etcdserverpb__ResponseHeader *header, bool with_keys)
{
    Etcdserverpb__LeaseTimeToLiveResponse *response =
        pd_service_make(service, &etcdserverpb__lease_time_to_live_response__descriptor);
    if (response == NULL) {
        return NULL;
    }
    response->header = header;
    response->id = pd_kv_answer_number(reader);
    response->ttl = pd_kv_answer_number(reader);
    response->grantedttl = pd_kv_answer_number(reader);
    if (!read_keys(service, reader, &response->n_keys, &response->keys)) {
        return NULL;
    }
    if (!with_keys) {
        response->n_keys = 0;
    }
    return response;
}

static const void *all_leases(struct pd_service *service, struct pd_kv_reader *reader,
                              Etcdserverpb__ResponseHeader *header)
{
    Etcdserverpb__LeaseLeasesResponse *response =
        pd_service_make(service, &etcdserverpb__lease_leases_response__descriptor);
    struct pd_kv_reader ahead = *reader;
    int64_t id;
    size_t count = 0;
    while (pd_kv_answer_id(&ahead, &id)) {
        count++;
    }
    Etcdserverpb__LeaseStatus **list = pd_arena_take(&service->answers, count * sizeof *list);
    Etcdserverpb__LeaseStatus *leases = pd_arena_take(&service->answers, count * sizeof *leases);
    if (response == NULL || list == NULL || leases == NULL) {
        return NULL;
    }
    for (size_t i = 0; pd_kv_answer_id(reader, &id); i++) {
        leases[i] = (Etcdserverpb__LeaseStatus)ETCDSERVERPB__LEASE_STATUS__INIT;
        leases[i].id = id;
        list[i] = &leases[i];
    }
    response->header = header;
    response->n_leases = count;
    response->leases = list;
    return response;
}

static const void *granted(struct pd_service *service, struct pd_kv_reader *reader,
                           Etcdserverpb__ResponseHeader *header)
{
    Etcdserverpb__LeaseGrantResponse *response =
        pd_service_make(service, &etcdserverpb__lease_grant_response__descriptor);
    if (response != NULL) {
        response->header = header;
        response->id = pd_kv_answer_number(reader);
        response->ttl = pd_kv_answer_number(reader);
    }
    return response;
}

static void answered(struct pd_service_wait *wait, const struct pd_backend_answer *answer)
{
    struct pd_service_call *call = pd_service_call_of(wait);
    struct pd_service *service = call->service;
    const ProtobufCMessageDescriptor *type = call->entry->method.response;
    struct pd_kv_reader reader;
    struct pd_kv_answer_head head;
    bool with_keys = call->state != NULL;
    call->state = NULL;
    if (!pd_service_take(call, answer, &reader, &head)) {
        return;
    }
    Etcdserverpb__ResponseHeader *header = pd_service_header(service, head.revision, answer->term);
    const void *response = NULL;
    if (header == NULL) {
        pd_service_finish(call, NULL);
        return;
    }
    if (type == &etcdserverpb__lease_grant_response__descriptor) {
        response = granted(service, &reader, header);
    } else if (type == &etcdserverpb__lease_time_to_live_response__descriptor) {
        response = time_to_live(service, &reader, header, with_keys);
    } else if (type == &etcdserverpb__lease_leases_response__descriptor) {
        response = all_leases(service, &reader, header);
    } else {
        Etcdserverpb__LeaseRevokeResponse *revoked = pd_service_make(service, type);
        if (revoked != NULL) {
            revoked->header = header;
        }
        response = revoked;
    }
    if (response != NULL && !pd_kv_answer_is_whole(&reader)) {
        pd_service_end(call, PD_CODE_INTERNAL, "etcdserver: the node's answer makes no sense");
    } else {
        pd_service_finish(call, response);
    }
}

static void ask_command(struct pd_service_call *call, const struct pd_kv_command *command)
{
    struct pd_backend_request asked = {
        .kind = PD_BACKEND_WRITE, .body = pd_kv_request_simple(&call->service->arena, command)};
    if (asked.body.size == 0) {
        pd_service_fail_kv(call, PD_KV_ERR_TOO_LARGE);
        return;
    }
    pd_service_ask(call, &asked, answered);
}

static void request(struct pd_service_call *call, const ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    const void *any = message;
    if (type == &etcdserverpb__lease_grant_request__descriptor) {
        const Etcdserverpb__LeaseGrantRequest *grant = any;
        ask_command(call, &(struct pd_kv_command){
                              .kind = PD_KV_LEASE_GRANT, .id = grant->id, .ttl_s = grant->ttl});
    } else if (type == &etcdserverpb__lease_revoke_request__descriptor) {
        const Etcdserverpb__LeaseRevokeRequest *revoke = any;
        ask_command(call, &(struct pd_kv_command){.kind = PD_KV_LEASE_REVOKE, .id = revoke->id});
    } else if (type == &etcdserverpb__lease_time_to_live_request__descriptor) {
        const Etcdserverpb__LeaseTimeToLiveRequest *asked = any;
        static char with_keys;
        call->state = asked->keys ? &with_keys : NULL; /* remembered until the answer */
        pd_service_ask(
            call,
            &(struct pd_backend_request){.kind = PD_BACKEND_LEASE, .number = (uint64_t)asked->id},
            answered);
    } else {
        pd_service_ask(call, &(struct pd_backend_request){.kind = PD_BACKEND_LEASES}, answered);
    }
}

static void dropped(struct pd_service_call *call, bool was_cancelled)
{
    (void)was_cancelled;
    call->state = NULL;
}

const struct pd_service_handler pd_service_lease = {.request = request, .dropped = dropped};

/* -- The stream -------------------------------------------------------------------------------- */

/* One keep-alive under way. */
struct beat {
    struct pd_service_wait wait;
    struct pd_service_call *call;
    struct pd_list link;
    int64_t id;
};

struct stream {
    struct pd_list beats;
    uint32_t count;
    bool ends; /* when the last one is answered: the client sends no more */
};

static void stream_free(struct pd_service_call *call)
{
    struct stream *stream = call->state;
    call->state = NULL;
    while (stream != NULL && !pd_list_is_empty(&stream->beats)) {
        struct beat *beat = pd_container_of(pd_list_first(&stream->beats), struct beat, link);
        pd_service_forget(call->service, &beat->wait);
        pd_list_remove(&beat->link);
        pd_free(beat);
    }
    pd_free(stream);
}

/* A lease that is not there has no time left: that is no error. */
static bool keepalive_answer(const struct pd_backend_answer *answer, int64_t *ttl_out,
                             int64_t *revision_out)
{
    struct pd_kv_reader reader;
    struct pd_kv_answer_head head;
    pd_kv_reader_init(&reader, answer->body);
    pd_kv_answer_head(&reader, &head);
    *revision_out = head.revision;
    if (head.error == PD_KV_ERR_LEASE_NOT_FOUND) {
        *ttl_out = 0;
        return true;
    }
    (void)pd_kv_answer_number(&reader); /* its id */
    *ttl_out = pd_kv_answer_number(&reader);
    return head.error == PD_KV_OK && pd_kv_answer_is_whole(&reader);
}

static void beat_answered(struct pd_service_wait *wait, const struct pd_backend_answer *answer)
{
    struct beat *beat = pd_container_of(wait, struct beat, wait);
    struct pd_service_call *call = beat->call;
    struct pd_service *service = call->service;
    struct stream *stream = call->state;
    int64_t id = beat->id;
    int64_t ttl = 0;
    int64_t revision = 0;
    pd_list_remove(&beat->link);
    pd_free(beat);
    stream->count--;
    if (answer->outcome != PD_BACKEND_OK || !keepalive_answer(answer, &ttl, &revision)) {
        pd_service_fail(call, answer);
        return;
    }
    Etcdserverpb__LeaseKeepAliveResponse *response =
        pd_service_make(service, &etcdserverpb__lease_keep_alive_response__descriptor);
    if (response != NULL) {
        response->header = pd_service_header(service, revision, answer->term);
        response->id = id;
        response->ttl = ttl;
        service->counters.leases_kept += ttl > 0;
    }
    if (!pd_service_give(call, response)) {
        return;
    }
    if (stream->ends && stream->count == 0) {
        pd_service_end(call, PD_CODE_OK, "");
    } else if (call->is_full && !call->is_held) {
        call->is_full = false;
        call->carrier->roomy(call);
    }
}

static void keepalive_request(struct pd_service_call *call, const ProtobufCMessage *message)
{
    const void *any = message;
    const Etcdserverpb__LeaseKeepAliveRequest *asked = any;
    struct pd_service *service = call->service;
    struct stream *stream = call->state;
    if (stream == NULL) {
        stream = pd_alloc_zeroed(1, sizeof *stream);
        if (stream == NULL) {
            pd_service_fail_status(call, PD_ERR_NO_MEMORY);
            return;
        }
        pd_list_init(&stream->beats);
        call->state = stream;
    }
    struct beat *beat = pd_alloc_zeroed(1, sizeof *beat);
    if (beat == NULL) {
        pd_service_fail_status(call, PD_ERR_NO_MEMORY);
        return;
    }
    const struct pd_kv_command command = {.kind = PD_KV_LEASE_KEEPALIVE, .id = asked->id};
    const struct pd_backend_request request_out = {
        .kind = PD_BACKEND_REPEATABLE, .body = pd_kv_request_simple(&service->arena, &command)};
    beat->call = call;
    beat->id = asked->id;
    beat->wait.answered = beat_answered;
    enum pd_status status = pd_service_submit(service, call->client, &beat->wait, &request_out);
    if (status != PD_OK) {
        pd_free(beat);
        pd_service_fail_status(call, status);
        return;
    }
    pd_list_append(&stream->beats, &beat->link);
    stream->count++;
    call->is_full = stream->count >= service->config.keepalives_max || call->is_held;
}

static void keepalive_half_closed(struct pd_service_call *call)
{
    struct stream *stream = call->state;
    if (stream == NULL || stream->count == 0) {
        pd_service_end(call, PD_CODE_OK, "");
    } else {
        stream->ends = true;
    }
}

static void keepalive_resumed(struct pd_service_call *call)
{
    const struct stream *stream = call->state;
    if (call->is_full && stream->count < call->service->config.keepalives_max) {
        call->is_full = false;
        call->carrier->roomy(call);
    }
}

static void keepalive_dropped(struct pd_service_call *call, bool was_cancelled)
{
    (void)was_cancelled;
    stream_free(call);
}

const struct pd_service_handler pd_service_keepalive = {
    .request = keepalive_request,
    .half_closed = keepalive_half_closed,
    .resumed = keepalive_resumed,
    .dropped = keepalive_dropped,
};
