/* Calls, and their answers. Who waits for which answer of the backend lies in service_wait.c, what
 * the methods do in the other service_*.c. */
#include "gateway/service.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "gateway/service_internal.h"

#define KIB ((size_t)1024)
#define MIB (KIB * KIB)
#define SECOND_NS UINT64_C(1000000000)
#define LEADERLESS_MAX 3u /* as etcd's servers */
#define NO_LEADER_TEXT "etcdserver: no leader"

struct pd_service_config pd_service_config_default(void)
{
    struct pd_kv_config kv = pd_kv_config_default();
    return (struct pd_service_config){
        .limits = kv.limits,
        .waits_max = 65536,
        .writes_max = 16384,
        .write_bytes_max = 128 * MIB,
        .keepalives_max = 128,
        .watches_max = 16384,
        .watch_key_bytes_max = 4 * MIB,
        .health_watches_max = 8192,
        .output_bytes_max = 1024 * MIB,
        .leader_look_ns = SECOND_NS,
        .watch_credit = 64 * KIB,
        .watch_response_max = 64 * MIB,
        .arena_max = 256 * MIB,
        .version = "3.6.0",
    };
}

enum pd_status pd_service_open(const struct pd_service_config *config,
                               struct pd_service **service_out)
{
    struct pd_service *service = pd_alloc_zeroed(1, sizeof *service);
    if (service == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    service->config = *config;
    service->backend = config->backend;
    if (!pd_service_waits_open(service)) {
        pd_free(service);
        return PD_ERR_NO_MEMORY;
    }
    pd_list_init(&service->orphans);
    pd_list_init(&service->led);
    pd_list_init(&service->health_watchers);
    pd_arena_init(&service->arena, config->arena_max);
    pd_arena_init(&service->answers, config->arena_max);
    *service_out = service;
    return PD_OK;
}

void pd_service_close(struct pd_service *service)
{
    if (service == NULL) {
        return;
    }
    pd_assert(service->call_count == 0);
    pd_service_lock_close(service);
    while (service->free_calls != NULL) {
        struct pd_service_call *call = service->free_calls;
        service->free_calls = call->next_free;
        pd_free(call);
    }
    pd_assert(service->watches.count == 0);
    pd_assert(service->health_count == 0);
    pd_table_deinit(&service->watches);
    pd_arena_deinit(&service->arena);
    pd_arena_deinit(&service->answers);
    pd_service_waits_close(service);
    pd_free(service);
}

struct pd_arena *pd_service_arena(struct pd_service *service)
{
    pd_arena_reset(&service->arena);
    return &service->arena;
}

void pd_service_counters(const struct pd_service *service, struct pd_service_counters *counters_out)
{
    *counters_out = service->counters;
}

bool pd_service_output(struct pd_service *service, struct pd_service_client *client, uint64_t bytes)
{
    uint64_t *total = &service->counters.output_bytes;
    uint64_t most = service->config.output_bytes_max;
    bool is_less = bytes <= client->output_bytes;
    pd_assert(*total >= client->output_bytes);
    *total = *total - client->output_bytes + bytes;
    client->output_bytes = bytes;
    if (service->backend->ops->output != NULL) {
        service->backend->ops->output(service->backend, *total);
    }
    return is_less || (*total <= most && bytes <= most - *total);
}

/* -- Answers ----------------------------------------------------------------------------------- */

void *pd_service_make(struct pd_service *service, const ProtobufCMessageDescriptor *descriptor)
{
    ProtobufCMessage *message = pd_arena_take(&service->answers, descriptor->sizeof_message);
    if (message != NULL) {
        protobuf_c_message_init(descriptor, message);
    }
    return message;
}

Etcdserverpb__ResponseHeader *pd_service_header(struct pd_service *service, int64_t revision,
                                                uint64_t term)
{
    Etcdserverpb__ResponseHeader *header =
        pd_service_make(service, &etcdserverpb__response_header__descriptor);
    if (header != NULL) {
        header->cluster_id = service->backend->cluster_id;
        header->member_id = service->backend->member_id;
        header->revision = revision;
        header->raft_term = term;
    }
    return header;
}

static void drop(struct pd_service_call *call, bool was_cancelled)
{
    struct pd_service *service = call->service;
    pd_service_forget(service, &call->wait);
    pd_list_remove(&call->led);
    if (call->entry->handler->dropped != NULL) {
        call->entry->handler->dropped(call, was_cancelled);
    }
    pd_assert(call->state == NULL);
    call->next_free = service->free_calls;
    service->free_calls = call;
    service->call_count--;
}

void pd_service_end(struct pd_service_call *call, enum pd_service_code code, const char *text)
{
    if (code != PD_CODE_OK) {
        call->service->counters.failures++;
    }
    call->carrier->ended(call, code, text);
    drop(call, false);
}

void pd_service_finish(struct pd_service_call *call, const void *message)
{
    if (message == NULL) {
        pd_service_end(call, PD_CODE_RESOURCE_EXHAUSTED, "etcdserver: answer is too large");
        return;
    }
    (void)call->carrier->response(call, message);
    pd_service_end(call, PD_CODE_OK, "");
}

bool pd_service_give(struct pd_service_call *call, const void *message)
{
    if (message == NULL) {
        pd_service_end(call, PD_CODE_RESOURCE_EXHAUSTED, "etcdserver: answer is too large");
        return false;
    }
    call->is_held = !call->carrier->response(call, message);
    return true;
}

void pd_service_fail_kv(struct pd_service_call *call, enum pd_kv_error error)
{
    pd_service_end(call, (enum pd_service_code)pd_kv_error_grpc_code(error),
                   pd_kv_error_text(error));
}

static void set_error(struct pd_service_error *error, enum pd_service_code code, const char *text)
{
    error->code = code;
    (void)snprintf(error->text, sizeof error->text, "%s", text);
}

static void outcome_error(const struct pd_backend_answer *answer, struct pd_service_error *error)
{
    switch (answer->outcome) {
    case PD_BACKEND_OK:
    case PD_BACKEND_CANCELLED:
        set_error(error, PD_CODE_INTERNAL, "etcdserver: the node's answer makes no sense");
        return;
    case PD_BACKEND_NO_LEADER:
        set_error(error, PD_CODE_UNAVAILABLE, NO_LEADER_TEXT);
        return;
    case PD_BACKEND_BUSY:
        set_error(error, PD_CODE_RESOURCE_EXHAUSTED, "etcdserver: too many requests");
        return;
    case PD_BACKEND_NO_SPACE:
        set_error(error, PD_CODE_RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded");
        return;
    case PD_BACKEND_CLOSED:
        set_error(error, PD_CODE_UNAVAILABLE, "etcdserver: server stopped");
        return;
    case PD_BACKEND_INVALID:
        error->code = PD_CODE_INVALID_ARGUMENT;
        (void)snprintf(error->text, sizeof error->text, "etcdserver: %.*s",
                       (int)(answer->text.size < 128 ? answer->text.size : 128),
                       answer->text.size == 0 ? "" : (const char *)answer->text.bytes);
        return;
    case PD_BACKEND_UNKNOWN:
        set_error(error, PD_CODE_UNAVAILABLE, "etcdserver: request timed out");
        return;
    }
}

/* Of an answer that is not OK, or whose head carries an error. */
void pd_service_error_of(const struct pd_backend_answer *answer, struct pd_service_error *error_out)
{
    if (answer->outcome == PD_BACKEND_OK) {
        struct pd_kv_reader reader;
        struct pd_kv_answer_head head;
        pd_kv_reader_init(&reader, answer->body);
        pd_kv_answer_head(&reader, &head);
        if (!reader.is_bad && head.error != PD_KV_OK) {
            set_error(error_out, (enum pd_service_code)pd_kv_error_grpc_code(head.error),
                      pd_kv_error_text(head.error));
            return;
        }
    }
    outcome_error(answer, error_out);
}

void pd_service_fail(struct pd_service_call *call, const struct pd_backend_answer *answer)
{
    struct pd_service_error error;
    pd_service_error_of(answer, &error);
    pd_service_end(call, error.code, error.text);
}

void pd_service_fail_status(struct pd_service_call *call, enum pd_status status)
{
    if (status == PD_ERR_CLOSED) {
        pd_service_end(call, PD_CODE_UNAVAILABLE, "etcdserver: server stopped");
    } else {
        pd_service_end(call, PD_CODE_RESOURCE_EXHAUSTED, "etcdserver: too many requests");
    }
}

bool pd_service_take(struct pd_service_call *call, const struct pd_backend_answer *answer,
                     struct pd_kv_reader *reader_out, struct pd_kv_answer_head *head_out)
{
    if (answer->outcome == PD_BACKEND_OK) {
        pd_kv_reader_init(reader_out, answer->body);
        pd_kv_answer_head(reader_out, head_out);
        if (!reader_out->is_bad && head_out->error == PD_KV_OK) {
            return true;
        }
    }
    pd_service_fail(call, answer);
    return false;
}

/* -- Calls ------------------------------------------------------------------------------------- */

struct pd_service_call *pd_service_begin(struct pd_service *service,
                                         const struct pd_service_method *method,
                                         const struct pd_service_carrier *carrier, void *context,
                                         struct pd_service_client *client)
{
    struct pd_service_call *call = service->free_calls;
    if (call != NULL) {
        service->free_calls = call->next_free;
    } else {
        call = pd_alloc(sizeof *call);
    }
    if (call == NULL) {
        return NULL;
    }
    *call = (struct pd_service_call){
        .service = service,
        .entry = (const struct pd_service_entry *)(const void *)method, /* its first field */
        .carrier = carrier,
        .context = context,
        .client = client,
    };
    pd_list_init(&call->led);
    service->call_count++;
    service->counters.calls++;
    return call;
}

/* -- Who requires a leader --------------------------------------------------------------------- */

static bool has_leader(const struct pd_service *service)
{
    return service->backend->ops->has_leader == NULL ||
           service->backend->ops->has_leader(service->backend);
}

bool pd_service_require_leader(struct pd_service_call *call)
{
    struct pd_service *service = call->service;
    pd_assert(!call->was_asked);
    if (!has_leader(service)) {
        pd_service_end(call, PD_CODE_UNAVAILABLE, NO_LEADER_TEXT);
        return false;
    }
    if (call->entry->method.server_streams && !pd_list_is_linked(&call->led)) {
        if (pd_list_is_empty(&service->led)) {
            service->look_ns =
                service->backend->now_ns(service->backend) + service->config.leader_look_ns;
            service->leaderless = 0;
        }
        pd_list_append(&service->led, &call->led);
    }
    return true;
}

uint64_t pd_service_deadline_ns(const struct pd_service *service)
{
    return pd_list_is_empty(&service->led) ? UINT64_MAX : service->look_ns;
}

void pd_service_expire(struct pd_service *service, uint64_t now_ns)
{
    if (now_ns < pd_service_deadline_ns(service)) {
        return;
    }
    service->look_ns = now_ns + service->config.leader_look_ns;
    service->leaderless = has_leader(service) ? 0 : service->leaderless + 1;
    if (service->leaderless < LEADERLESS_MAX) {
        return;
    }
    service->leaderless = 0;
    while (!pd_list_is_empty(&service->led)) {
        struct pd_service_call *call =
            pd_container_of(pd_list_first(&service->led), struct pd_service_call, led);
        pd_arena_reset(&service->answers);
        pd_service_end(call, PD_CODE_UNAVAILABLE, NO_LEADER_TEXT);
    }
}

void *pd_service_context(const struct pd_service_call *call)
{
    return call->context;
}

const struct pd_service_method *pd_service_method_of(const struct pd_service_call *call)
{
    return &call->entry->method;
}

void pd_service_request(struct pd_service_call *call, const ProtobufCMessage *message)
{
    pd_assert(message->descriptor == call->entry->method.request);
    pd_arena_reset(&call->service->answers);
    if (call->was_asked && !call->entry->method.client_streams) {
        pd_service_end(call, PD_CODE_INVALID_ARGUMENT,
                       "etcdserver: this call takes one request, and there came another");
        return;
    }
    call->was_asked = true;
    call->entry->handler->request(call, message);
}

void pd_service_half_close(struct pd_service_call *call)
{
    pd_arena_reset(&call->service->answers);
    if (!call->was_asked && !call->entry->method.client_streams) {
        pd_service_end(call, PD_CODE_INVALID_ARGUMENT,
                       "etcdserver: the call has ended without a request");
    } else if (call->entry->handler->half_closed != NULL) {
        call->entry->handler->half_closed(call);
    }
}

bool pd_service_is_full(const struct pd_service_call *call)
{
    return call->is_full;
}

void pd_service_resume(struct pd_service_call *call)
{
    if (call->is_held) {
        call->is_held = false;
        pd_arena_reset(&call->service->answers);
        if (call->entry->handler->resumed != NULL) {
            call->entry->handler->resumed(call);
        }
    }
}

void pd_service_cancel(struct pd_service_call *call)
{
    drop(call, true);
}
