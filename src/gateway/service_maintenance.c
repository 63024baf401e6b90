/* Maintenance: status, hashes, alarms, moving the lead; and Auth, which is not offered. */
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "gateway/kv_request.h"
#include "gateway/service_internal.h"

#define HASH_PAGE_KEYS 8192

static Etcdserverpb__ResponseHeader *header_of(struct pd_service_call *call,
                                               const struct pd_backend_answer *answer)
{
    return pd_service_header(call->service, answer->about->revision, answer->term);
}

/* -- Status, alarms, hash ---------------------------------------------------------------------- */

static const void *status_response(struct pd_service_call *call,
                                   const struct pd_backend_answer *answer)
{
    struct pd_service *service = call->service;
    const struct pd_backend_about *about = answer->about;
    Etcdserverpb__StatusResponse *response =
        pd_service_make(service, &etcdserverpb__status_response__descriptor);
    Etcdserverpb__DowngradeInfo *downgrade =
        pd_service_make(service, &etcdserverpb__downgrade_info__descriptor);
    char **errors = pd_arena_take(&service->answers, sizeof *errors);
    if (response == NULL || downgrade == NULL || errors == NULL) {
        return NULL;
    }
    response->header = header_of(call, answer);
    response->version = pd_proto_text(service->config.version);
    response->storageversion = pd_proto_text(service->config.version);
    response->dbsize = (int64_t)about->store_bytes;
    response->dbsizeinuse = (int64_t)about->store_bytes;
    response->leader = answer->leader;
    response->raftindex = about->committed_index;
    response->raftterm = answer->term;
    response->raftappliedindex = about->applied_index;
    response->islearner = about->is_learner;
    response->downgradeinfo = downgrade;
    if (about->disk_is_low) {
        errors[0] = pd_proto_text("etcdserver: mvcc: database space exceeded");
        response->errors = errors;
        response->n_errors = 1;
    }
    return response;
}

static const void *alarm_response(struct pd_service_call *call,
                                  const struct pd_backend_answer *answer)
{
    struct pd_service *service = call->service;
    Etcdserverpb__AlarmResponse *response =
        pd_service_make(service, &etcdserverpb__alarm_response__descriptor);
    Etcdserverpb__AlarmMember *alarm =
        pd_service_make(service, &etcdserverpb__alarm_member__descriptor);
    Etcdserverpb__AlarmMember **list = pd_arena_take(&service->answers, sizeof *list);
    if (response == NULL || alarm == NULL || list == NULL) {
        return NULL;
    }
    response->header = header_of(call, answer);
    if (answer->about->disk_is_low) {
        alarm->memberid = service->backend->member_id;
        alarm->alarm = ETCDSERVERPB__ALARM_TYPE__NOSPACE;
        list[0] = alarm;
        response->alarms = list;
        response->n_alarms = 1;
    }
    return response;
}

static const void *hash_response(struct pd_service_call *call,
                                 const struct pd_backend_answer *answer)
{
    Etcdserverpb__HashResponse *response =
        pd_service_make(call->service, &etcdserverpb__hash_response__descriptor);
    if (response != NULL) {
        response->header = header_of(call, answer);
        response->hash = (uint32_t)answer->about->hash;
    }
    return response;
}

static void about_answered(struct pd_service_wait *wait, const struct pd_backend_answer *answer)
{
    struct pd_service_call *call = pd_service_call_of(wait);
    const ProtobufCMessageDescriptor *type = call->entry->method.response;
    if (answer->outcome != PD_BACKEND_OK || answer->about == NULL) {
        pd_service_fail(call, answer);
    } else if (type == &etcdserverpb__status_response__descriptor) {
        pd_service_finish(call, status_response(call, answer));
    } else if (type == &etcdserverpb__alarm_response__descriptor) {
        pd_service_finish(call, alarm_response(call, answer));
    } else {
        pd_service_finish(call, hash_response(call, answer));
    }
}

static void ask_about(struct pd_service_call *call,
                      void (*answered)(struct pd_service_wait *wait,
                                       const struct pd_backend_answer *answer))
{
    const struct pd_backend_request request = {.kind = PD_BACKEND_ABOUT, .serializable = true};
    pd_service_ask(call, &request, answered);
}

/* -- HashKV: of the keyspace as one revision shows it ------------------------------------------ */

/* Read in pages, so that a large keyspace holds up nobody. */
struct hashing {
    int64_t revision;
    int64_t compacted;
    int64_t now; /* of the store */
    int64_t page_keys;
    uint32_t crc;
    size_t after_size; /* the last key that was read, with a zero byte behind it */
    uint8_t *after;
};

static void hash_answered(struct pd_service_wait *wait, const struct pd_backend_answer *answer);

static void hash_page(struct pd_service_call *call)
{
    const struct hashing *hashing = call->state;
    static const uint8_t zero = 0;
    struct pd_arena *arena = pd_service_arena(call->service);
    const struct pd_kv_range all = {
        .key = hashing->after == NULL ? (struct pd_span){&zero, 1}
                                      : (struct pd_span){hashing->after, hashing->after_size},
        .range_end = {&zero, 1},
        .limit = hashing->page_keys,
        .revision = hashing->revision,
        .uncounted = true, /* each page would count all keys behind it */
    };
    struct pd_backend_request request = {.kind = PD_BACKEND_READ, .serializable = true};
    enum pd_kv_error error = pd_kv_request_page(arena, &all, &request.body);
    if (error != PD_KV_OK) {
        pd_service_fail_kv(call, error);
        return;
    }
    pd_service_ask(call, &request, hash_answered);
}

static void hash_record(struct hashing *hashing, const struct pd_kv_record *record)
{
    const uint64_t numbers[] = {record->key.size,
                                record->value.size,
                                (uint64_t)record->create_revision,
                                (uint64_t)record->mod_revision,
                                (uint64_t)record->version,
                                (uint64_t)record->lease};
    uint8_t bytes[sizeof numbers];
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        pd_put_u64(bytes + 8 * i, numbers[i]);
    }
    hashing->crc = pd_crc32c(hashing->crc, bytes, sizeof bytes);
    hashing->crc = pd_crc32c(hashing->crc, record->key.bytes, record->key.size);
    hashing->crc = pd_crc32c(hashing->crc, record->value.bytes, record->value.size);
}

/* Go on behind this key. */
static bool remember(struct hashing *hashing, struct pd_span key)
{
    uint8_t *after = pd_realloc(hashing->after, key.size + 1);
    if (after == NULL) {
        return false;
    }
    memcpy(after, key.bytes, key.size);
    after[key.size] = 0;
    hashing->after = after;
    hashing->after_size = key.size + 1;
    return true;
}

static void hash_finish(struct pd_service_call *call, const struct pd_backend_answer *answer)
{
    const struct hashing *hashing = call->state;
    Etcdserverpb__HashKVResponse *response =
        pd_service_make(call->service, &etcdserverpb__hash_kvresponse__descriptor);
    if (response != NULL) {
        response->header = pd_service_header(call->service, hashing->now, answer->term);
        response->hash = hashing->crc;
        response->hash_revision = hashing->revision;
        response->compact_revision = hashing->compacted == 0 ? -1 : hashing->compacted;
    }
    pd_service_finish(call, response);
}

/* Of a page: large values. */
static bool is_too_large(const struct pd_backend_answer *answer)
{
    struct pd_kv_reader reader;
    struct pd_kv_answer_head head;
    pd_kv_reader_init(&reader, answer->body);
    pd_kv_answer_head(&reader, &head);
    return answer->outcome == PD_BACKEND_OK && head.error == PD_KV_ERR_ANSWER_TOO_LARGE;
}

static void hash_answered(struct pd_service_wait *wait, const struct pd_backend_answer *answer)
{
    struct pd_service_call *call = pd_service_call_of(wait);
    struct hashing *hashing = call->state;
    struct pd_kv_reader reader;
    struct pd_kv_answer_head head;
    if (is_too_large(answer) && hashing->page_keys > 1) {
        hashing->page_keys /= 8;
        hash_page(call);
        return;
    }
    if (!pd_service_take(call, answer, &reader, &head)) {
        return;
    }
    struct pd_kv_record record;
    struct pd_span last = {NULL, 0};
    while (pd_kv_answer_record(&reader, &record)) {
        hash_record(hashing, &record);
        last = record.key;
    }
    bool more = false;
    int64_t count = 0;
    pd_kv_answer_range_tail(&reader, &more, &count);
    hashing->now = head.revision;
    if (!pd_kv_answer_is_whole(&reader)) {
        pd_service_fail(call, answer);
    } else if (!more) {
        hash_finish(call, answer);
    } else if (last.size == 0 || !remember(hashing, last)) {
        pd_service_fail_status(call, PD_ERR_NO_MEMORY);
    } else {
        hash_page(call);
    }
}

static void hash_begin(struct pd_service_wait *wait, const struct pd_backend_answer *answer)
{
    struct pd_service_call *call = pd_service_call_of(wait);
    struct hashing *hashing = call->state;
    if (answer->outcome != PD_BACKEND_OK || answer->about == NULL) {
        pd_service_fail(call, answer);
        return;
    }
    hashing->compacted = answer->about->compacted_revision;
    hashing->now = answer->about->revision;
    if (hashing->revision < 0) { /* as etcd: nothing was there then */
        hash_finish(call, answer);
        return;
    }
    if (hashing->revision == 0) {
        hashing->revision = answer->about->revision;
    }
    hash_page(call);
}

static void hash_kv(struct pd_service_call *call, int64_t revision)
{
    struct hashing *hashing = pd_alloc_zeroed(1, sizeof *hashing);
    if (hashing == NULL) {
        pd_service_fail_status(call, PD_ERR_NO_MEMORY);
        return;
    }
    hashing->revision = revision;
    hashing->page_keys = HASH_PAGE_KEYS;
    call->state = hashing;
    ask_about(call, hash_begin);
}

/* -- The lead ---------------------------------------------------------------------------------- */

static void moved(struct pd_service_wait *wait, const struct pd_backend_answer *answer)
{
    struct pd_service_call *call = pd_service_call_of(wait);
    if (answer->outcome == PD_BACKEND_INVALID) {
        pd_service_end(call, PD_CODE_FAILED_PRECONDITION, "etcdserver: bad leader transferee");
    } else if (answer->outcome == PD_BACKEND_BUSY) {
        pd_service_end(call, PD_CODE_UNAVAILABLE,
                       "etcdserver: request timed out, leader transfer took too long");
    } else if (answer->outcome != PD_BACKEND_OK) {
        pd_service_fail(call, answer);
    } else {
        pd_service_finish(call, pd_service_make(call->service, call->entry->method.response));
    }
}

static void move_leader(struct pd_service_call *call, uint64_t target)
{
    pd_service_ask(
        call, &(struct pd_backend_request){.kind = PD_BACKEND_TRANSFER, .number = target}, moved);
}

/* -- Downgrade --------------------------------------------------------------------------------- */

static bool is_number(const char *text, size_t size)
{
    uint64_t number = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9' || number > (uint64_t)INT64_MAX / 10) {
            return false;
        }
        number = number * 10 + (uint64_t)(text[i] - '0');
    }
    return size > 0 && number <= (uint64_t)INT64_MAX;
}

/* "3.5", or three numbers and what semantic versions may have behind them. */
static bool is_version(const char *text)
{
    size_t core = strcspn(text, "-+");
    bool is_short = text[core] == '\0';
    uint32_t parts = 0;
    for (size_t at = 0; at <= core; parts++) {
        size_t size = strcspn(text + at, ".-+");
        if (!is_number(text + at, size)) {
            return false;
        }
        at += size + 1;
    }
    return (parts == 3 || (parts == 2 && is_short)) &&
           strspn(text + core, "-+.0123456789abcdefghijklmnopqrstuvwxyz"
                               "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == strlen(text + core);
}

static void not_downgrading(struct pd_service_wait *wait, const struct pd_backend_answer *answer)
{
    struct pd_service_call *call = pd_service_call_of(wait);
    if (answer->outcome != PD_BACKEND_OK || answer->about == NULL) {
        pd_service_fail(call, answer);
        return;
    }
    Etcdserverpb__DowngradeResponse *response =
        pd_service_make(call->service, &etcdserverpb__downgrade_response__descriptor);
    if (response != NULL) {
        response->header = header_of(call, answer);
        response->version = pd_proto_text("3.6"); /* of the API, as etcd tells it here */
    }
    pd_service_finish(call, response);
}

/* No earlier etcd reads what this node writes, so that none is a target; and where nothing was
 * begun, there is nothing to cancel, which is no error to etcd. */
static void downgrade(struct pd_service_call *call, const Etcdserverpb__DowngradeRequest *asked)
{
    const struct pd_backend_request about = {.kind = PD_BACKEND_ABOUT};
    switch ((int)asked->action) { /* as a number: it may be any */
    case ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__VALIDATE:
    case ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__ENABLE:
        pd_service_end(call, PD_CODE_INVALID_ARGUMENT,
                       is_version(asked->version)
                           ? "etcdserver: invalid downgrade target version"
                           : "etcdserver: wrong downgrade target version format");
        return;
    case ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__CANCEL:
        pd_service_ask(call, &about, not_downgrading);
        return;
    default:
        pd_service_end(call, PD_CODE_UNKNOWN, "etcdserver: unknown method");
        return;
    }
}

/* -- Requests ---------------------------------------------------------------------------------- */

static void alarm_request(struct pd_service_call *call, const Etcdserverpb__AlarmRequest *asked)
{
    if (asked->action == ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__ACTIVATE) {
        pd_service_end(call, PD_CODE_UNIMPLEMENTED,
                       "etcdserver: alarms are raised by a disk that is nearly full, and by nobody "
                       "else");
        return;
    }
    /* Nothing is to be disarmed: an alarm ends when the disk has room again. */
    ask_about(call, about_answered);
}

static void request(struct pd_service_call *call, const ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    const void *any = message;
    if (type == &etcdserverpb__hash_kvrequest__descriptor) {
        const Etcdserverpb__HashKVRequest *asked = any;
        hash_kv(call, asked->revision);
    } else if (type == &etcdserverpb__move_leader_request__descriptor) {
        const Etcdserverpb__MoveLeaderRequest *asked = any;
        move_leader(call, asked->targetid);
    } else if (type == &etcdserverpb__alarm_request__descriptor) {
        alarm_request(call, any);
    } else if (type == &etcdserverpb__defragment_request__descriptor) {
        /* The store gives space back by itself. */
        pd_service_finish(call, pd_service_make(call->service, call->entry->method.response));
    } else if (type == &etcdserverpb__downgrade_request__descriptor) {
        downgrade(call, any);
    } else {
        ask_about(call, about_answered); /* Status, Hash */
    }
}

static void dropped(struct pd_service_call *call, bool was_cancelled)
{
    struct hashing *hashing = call->state;
    (void)was_cancelled;
    if (hashing != NULL) {
        pd_free(hashing->after);
        pd_free(hashing);
        call->state = NULL;
    }
}

const struct pd_service_handler pd_service_maintenance = {.request = request, .dropped = dropped};

#define NO_USER "etcdserver: user name not found"
#define NO_ROLE "etcdserver: role name not found"

/* -- Auth -------------------------------------------------------------------------------------- */

static void auth_answered(struct pd_service_wait *wait, const struct pd_backend_answer *answer)
{
    struct pd_service_call *call = pd_service_call_of(wait);
    if (answer->outcome != PD_BACKEND_OK || answer->about == NULL) {
        pd_service_fail(call, answer);
        return;
    }
    if (call->entry->method.response != &etcdserverpb__auth_status_response__descriptor) {
        Etcdserverpb__AuthResponse *nothing =
            pd_service_make(call->service, call->entry->method.response);
        if (nothing != NULL) {
            nothing->header = header_of(call, answer);
        }
        pd_service_finish(call, nothing);
        return;
    }
    Etcdserverpb__AuthStatusResponse *response =
        pd_service_make(call->service, &etcdserverpb__auth_status_response__descriptor);
    if (response != NULL) {
        response->header = header_of(call, answer);
        response->enabled = false;
        response->authrevision = 1;
    }
    pd_service_finish(call, response);
}

/* What etcd says while it has no users and no roles; what would make some is refused. NULL: it is
 * done, and there is nothing to tell. */
static const char *auth_refusal(const char *path)
{
    static const struct {
        const char *name;
        const char *text;
    } texts[] = {
        {"AuthStatus", NULL},
        {"AuthDisable", NULL},
        {"UserList", NULL},
        {"RoleList", NULL},
        {"AuthEnable", "etcdserver: root user does not exist"},
        {"UserGet", NO_USER},
        {"UserDelete", NO_USER},
        {"UserChangePassword", NO_USER},
        {"UserGrantRole", NO_USER},
        {"UserRevokeRole", NO_USER},
        {"RoleGet", NO_ROLE},
        {"RoleDelete", NO_ROLE},
        {"RoleGrantPermission", NO_ROLE},
        {"RoleRevokePermission", NO_ROLE},
    };
    const char *name = strrchr(path, '/') + 1;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (strcmp(texts[i].name, name) == 0) {
            return texts[i].text;
        }
    }
    return "etcdserver: authentication is not enabled"; /* Authenticate, UserAdd, RoleAdd */
}

static void auth_request(struct pd_service_call *call, const ProtobufCMessage *message)
{
    (void)message;
    const char *text = auth_refusal(call->entry->method.path);
    if (text == NULL) {
        ask_about(call, auth_answered);
    } else {
        pd_service_end(call, PD_CODE_FAILED_PRECONDITION, text);
    }
}

const struct pd_service_handler pd_service_auth = {.request = auth_request};
