/* Locks and elections whose waiting is done here, in the keys and the order of Go's `concurrency`
 * package, so that its clients and these exclude each other.
 *
 * Model      Whoever waits has a key `name/lease-in-hex` of its own. Of a name's keys the one that
 *            was created first holds. One waits for the end of the key before one's own alone, so
 *            that an end wakes one waiter.
 *
 *                GRANT (without a lease) -> ENTER -> [PROCLAIM] -> BEFORE -> WATCH -> BEFORE ...
 *                                                                    -> CHECK -> held
 *
 * Giving up  A waiter whose client goes away removes its key; while ENTER is under way it stays
 *            until that is answered, and removes the key then. So does one that fails. A key that
 *            was there before is another call's, and stays.
 *
 *   Leader, Proclaim, Resign, Unlock ask once.   Observe: FIRST -> [WATCH_NAME ->] tell ->
 *   WATCH_KEY tells each value until the key ends -> FIRST ... */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "gateway/kv_request.h"
#include "gateway/kv_response.h"
#include "gateway/service_internal.h"

#define LEASE_TTL_S 60 /* of a lease that is granted for a caller without one */
#define WATCH_CREDIT (64u * 1024u)

enum stage {
    STAGE_GRANT = 0,
    STAGE_ENTER,
    STAGE_PROCLAIM,
    STAGE_BEFORE,
    STAGE_CHECK,
    STAGE_ONCE, /* Unlock, Proclaim, Resign, Leader: one answer is the end */
    STAGE_FIRST
};

struct waiter {
    struct pd_service *service;
    struct pd_service_call *call;    /* NULL: its client has gone, and this is cleaning up */
    struct pd_service_client client; /* without a call: whose share it is of */
    struct pd_service_wait wait;
    struct pd_service_wait watch;
    struct pd_list link; /* without a call: of the service's orphans */
    uint32_t owed;       /* credit of the watch, to be given back when the carrier takes more */
    enum stage stage;
    bool is_election;
    bool is_ours;    /* the key was made by this call */
    bool sees_name;  /* the watch is of the whole name, for a first key */
    bool is_leaving; /* the key is being removed */
    int64_t lease;
    int64_t revision; /* at which the key was created */
    int64_t entered;  /* revision of the header that ENTER came with */
    uint64_t term;
    size_t prefix_size; /* of key: "name/" */
    size_t key_size;
    size_t value_size;
    size_t seen_size; /* a key that is watched: Observe's, or the one before */
    uint8_t *seen;
    uint8_t *value;
    uint8_t key[]; /* room for the prefix and 16 digits */
};

static void answered(struct pd_service_wait *wait, const struct pd_backend_answer *answer);

/* -- Life -------------------------------------------------------------------------------------- */

static void free_waiter(struct waiter *waiter)
{
    pd_list_remove(&waiter->link);
    pd_service_forget(waiter->service, &waiter->wait);
    pd_service_forget(waiter->service, &waiter->watch);
    pd_service_client_leave(&waiter->client);
    pd_free(waiter->seen);
    pd_free(waiter->value);
    pd_free(waiter);
}

static struct waiter *make_waiter(struct pd_service_call *call, struct pd_span name,
                                  struct pd_span value)
{
    struct waiter *waiter = pd_alloc(sizeof *waiter + name.size + 1 + 17);
    uint8_t *kept = pd_alloc(value.size + 1);
    if (waiter == NULL || kept == NULL) {
        pd_free(waiter);
        pd_free(kept);
        pd_service_fail_status(call, PD_ERR_NO_MEMORY);
        return NULL;
    }
    *waiter = (struct waiter){.service = call->service, .call = call, .value = kept};
    if (name.size > 0) {
        memcpy(waiter->key, name.bytes, name.size);
    }
    waiter->key[name.size] = '/';
    waiter->prefix_size = name.size + 1;
    waiter->key_size = waiter->prefix_size;
    if (value.size > 0) {
        memcpy(kept, value.bytes, value.size);
    }
    waiter->value_size = value.size;
    waiter->wait.answered = answered;
    pd_list_init(&waiter->link);
    call->state = waiter;
    return waiter;
}

static void name_key(struct waiter *waiter)
{
    char digits[17];
    int size = snprintf(digits, sizeof digits, "%llx", (unsigned long long)waiter->lease);
    memcpy(waiter->key + waiter->prefix_size, digits, (size_t)size);
    waiter->key_size = waiter->prefix_size + (size_t)size;
}

static struct pd_span own_key(const struct waiter *waiter)
{
    return (struct pd_span){waiter->key, waiter->key_size};
}

/* -- Asking ------------------------------------------------------------------------------------ */

static struct pd_service_client *client_of(struct waiter *waiter)
{
    return waiter->call != NULL ? waiter->call->client : &waiter->client;
}

static void fail_status(struct waiter *waiter, enum pd_status status)
{
    if (waiter->call == NULL) {
        free_waiter(waiter);
    } else {
        pd_service_fail_status(waiter->call, status);
    }
}

static void ask(struct waiter *waiter, enum stage stage, enum pd_backend_kind kind,
                struct pd_span body)
{
    const struct pd_backend_request request = {.kind = kind, .body = body};
    waiter->stage = stage;
    enum pd_status status = body.size == 0 ? PD_ERR_NO_MEMORY
                                           : pd_service_submit(waiter->service, client_of(waiter),
                                                               &waiter->wait, &request);
    if (status != PD_OK) {
        fail_status(waiter, status);
    }
}

static void ask_range(struct waiter *waiter, enum stage stage,
                      const Etcdserverpb__RangeRequest *range)
{
    struct pd_span body = {NULL, 0};
    enum pd_kv_error error = pd_kv_request_range(pd_service_arena(waiter->service), range, &body);
    pd_assert(error == PD_KV_OK || body.size == 0);
    ask(waiter, stage, PD_BACKEND_READ, body);
}

/* The end of "name/": the same with the next character. */
static struct pd_span prefix_end(struct waiter *waiter)
{
    struct pd_arena *arena = &waiter->service->arena;
    uint8_t *end = pd_arena_take(arena, waiter->prefix_size);
    if (end == NULL) {
        return (struct pd_span){NULL, 0};
    }
    memcpy(end, waiter->key, waiter->prefix_size);
    end[waiter->prefix_size - 1] = '/' + 1;
    return (struct pd_span){end, waiter->prefix_size};
}

/* The name's keys by creation: the last one that is older than ours, or the first of all. */
static void ask_by_creation(struct waiter *waiter, enum stage stage, int64_t before)
{
    (void)pd_service_arena(waiter->service);
    struct pd_span end = prefix_end(waiter);
    const Etcdserverpb__RangeRequest range = {
        .key = pd_proto_bytes((struct pd_span){waiter->key, waiter->prefix_size}),
        .range_end = pd_proto_bytes(end),
        .limit = 1,
        .sort_target = ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__CREATE,
        .sort_order = before > 0 ? ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__DESCEND
                                 : ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__ASCEND,
        .max_create_revision = before,
    };
    struct pd_span body = {NULL, 0};
    enum pd_kv_error error = end.size == 0
                                 ? PD_KV_ERR_TOO_LARGE
                                 : pd_kv_request_range(&waiter->service->arena, &range, &body);
    pd_assert(error == PD_KV_OK || body.size == 0);
    ask(waiter, stage, PD_BACKEND_READ, body);
}

/* If the key was created at `revision`: `then`; else `other`, if there is one. */
static void ask_if(struct waiter *waiter, enum stage stage, int64_t revision,
                   Etcdserverpb__RequestOp *then, Etcdserverpb__RequestOp *other)
{
    Etcdserverpb__Compare compare = ETCDSERVERPB__COMPARE__INIT;
    Etcdserverpb__TxnRequest txn = ETCDSERVERPB__TXN_REQUEST__INIT;
    compare.result = ETCDSERVERPB__COMPARE__COMPARE_RESULT__EQUAL;
    compare.target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__CREATE;
    compare.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION;
    compare.create_revision = revision;
    compare.key = pd_proto_bytes(own_key(waiter));
    Etcdserverpb__Compare *compares[] = {&compare};
    Etcdserverpb__RequestOp *thens[] = {then};
    Etcdserverpb__RequestOp *others[] = {other};
    txn.n_compare = 1;
    txn.compare = compares;
    txn.n_success = 1;
    txn.success = thens;
    txn.n_failure = other == NULL ? 0 : 1;
    txn.failure = others;
    struct pd_span body = {NULL, 0};
    bool is_read = false;
    enum pd_kv_error error = pd_kv_request_txn(pd_service_arena(waiter->service), &txn,
                                               &waiter->service->config.limits, &body, &is_read);
    pd_assert(error == PD_KV_OK || body.size == 0);
    ask(waiter, stage, PD_BACKEND_WRITE, body);
}

static void enter(struct waiter *waiter)
{
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    Etcdserverpb__RangeRequest get = ETCDSERVERPB__RANGE_REQUEST__INIT;
    Etcdserverpb__RequestOp then = ETCDSERVERPB__REQUEST_OP__INIT;
    Etcdserverpb__RequestOp other = ETCDSERVERPB__REQUEST_OP__INIT;
    name_key(waiter);
    put.key = pd_proto_bytes(own_key(waiter));
    put.value = pd_proto_bytes((struct pd_span){waiter->value, waiter->value_size});
    put.lease = waiter->lease;
    get.key = put.key;
    then.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
    then.request_put = &put;
    other.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
    other.request_range = &get;
    ask_if(waiter, STAGE_ENTER, 0, &then, &other);
}

static void proclaim(struct waiter *waiter, enum stage stage)
{
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    Etcdserverpb__RequestOp then = ETCDSERVERPB__REQUEST_OP__INIT;
    put.key = pd_proto_bytes(own_key(waiter));
    put.value = pd_proto_bytes((struct pd_span){waiter->value, waiter->value_size});
    put.lease = waiter->lease;
    then.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
    then.request_put = &put;
    ask_if(waiter, stage, waiter->revision, &then, NULL);
}

static void leave(struct waiter *waiter, enum stage stage)
{
    Etcdserverpb__DeleteRangeRequest removal = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
    Etcdserverpb__RequestOp then = ETCDSERVERPB__REQUEST_OP__INIT;
    removal.key = pd_proto_bytes(own_key(waiter));
    then.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
    then.request_delete_range = &removal;
    ask_if(waiter, stage, waiter->revision, &then, NULL);
}

/* -- Watching a key ---------------------------------------------------------------------------- */

static void watch_answered(struct pd_service_wait *wait, const struct pd_backend_answer *answer);

static bool keep_seen(struct waiter *waiter, struct pd_span key)
{
    uint8_t *seen = pd_realloc(waiter->seen, key.size + 1);
    if (seen == NULL) {
        return false;
    }
    memcpy(seen, key.bytes, key.size);
    waiter->seen = seen;
    waiter->seen_size = key.size;
    return true;
}

static void begin_watch(struct waiter *waiter, struct pd_span key, struct pd_span end,
                        int64_t revision, bool no_put)
{
    const struct pd_backend_watch watch = {.key = key,
                                           .range_end = end,
                                           .start_revision = revision,
                                           .credit = WATCH_CREDIT,
                                           .no_put = no_put};
    const struct pd_backend_request request = {.kind = PD_BACKEND_WATCH, .watch = &watch};
    waiter->watch.answered = watch_answered;
    waiter->owed = 0;
    enum pd_status status =
        pd_service_submit(waiter->service, client_of(waiter), &waiter->watch, &request);
    if (status != PD_OK) {
        fail_status(waiter, status);
    }
}

/* -- The end of a call ------------------------------------------------------------------------- */

static const void *held_response(struct waiter *waiter, int64_t revision)
{
    struct pd_service *service = waiter->service;
    Etcdserverpb__ResponseHeader *header = pd_service_header(service, revision, waiter->term);
    if (!waiter->is_election) {
        V3lockpb__LockResponse *response =
            pd_service_make(service, &v3lockpb__lock_response__descriptor);
        if (response != NULL) {
            response->header = header;
            response->key = pd_proto_bytes(own_key(waiter));
        }
        return response;
    }
    V3electionpb__CampaignResponse *response =
        pd_service_make(service, &v3electionpb__campaign_response__descriptor);
    V3electionpb__LeaderKey *leader =
        pd_service_make(service, &v3electionpb__leader_key__descriptor);
    if (response == NULL || leader == NULL) {
        return NULL;
    }
    leader->name = pd_proto_bytes((struct pd_span){waiter->key, waiter->prefix_size - 1});
    leader->key = pd_proto_bytes(own_key(waiter));
    leader->rev = waiter->revision;
    leader->lease = waiter->lease;
    response->header = header;
    response->leader = leader;
    return response;
}

/* It is ours: nothing is to be cleaned up when the call ends. */
static void held(struct waiter *waiter, int64_t revision)
{
    waiter->is_ours = false;
    pd_service_finish(waiter->call, held_response(waiter, revision));
}

/* All responses that are a header alone have it as their first field. */
static const void *bare_response(struct waiter *waiter, int64_t revision)
{
    const ProtobufCMessageDescriptor *type = waiter->call->entry->method.response;
    Etcdserverpb__ResponseHeader *header =
        pd_service_header(waiter->service, revision, waiter->term);
    void *made = pd_service_make(waiter->service, type);
    if (made == NULL || header == NULL) {
        return NULL;
    }
    if (type == &v3lockpb__unlock_response__descriptor) {
        ((V3lockpb__UnlockResponse *)made)->header = header;
    } else if (type == &v3electionpb__proclaim_response__descriptor) {
        ((V3electionpb__ProclaimResponse *)made)->header = header;
    } else {
        pd_assert(type == &v3electionpb__resign_response__descriptor);
        ((V3electionpb__ResignResponse *)made)->header = header;
    }
    return made;
}

static const void *leader_response(struct waiter *waiter, const struct pd_kv_record *record,
                                   int64_t revision)
{
    V3electionpb__LeaderResponse *response =
        pd_service_make(waiter->service, &v3electionpb__leader_response__descriptor);
    Mvccpb__KeyValue *kv = pd_arena_take(&waiter->service->answers, sizeof *kv);
    if (response == NULL || kv == NULL) {
        return NULL;
    }
    pd_kv_response_fill(kv, record);
    response->header = pd_service_header(waiter->service, revision, waiter->term);
    response->kv = kv;
    return response;
}

/* -- What comes back --------------------------------------------------------------------------- */

static void wait_in_line(struct waiter *waiter)
{
    ask_by_creation(waiter, STAGE_BEFORE, waiter->revision - 1);
}

static void granted(struct waiter *waiter, struct pd_kv_reader *reader)
{
    waiter->lease = pd_kv_answer_number(reader);
    enter(waiter);
}

/* The key was made; or it was there, and its record comes. */
static void entered(struct waiter *waiter, struct pd_kv_reader *reader, int64_t revision)
{
    bool succeeded = false;
    uint32_t count = 0;
    struct pd_kv_record record = {0};
    pd_kv_answer_txn(reader, &succeeded, &count);
    enum pd_kv_answer_kind kind = pd_kv_answer_response(reader);
    waiter->entered = revision;
    waiter->revision = revision;
    waiter->is_ours = succeeded;
    if (waiter->call == NULL) {
        if (succeeded) {
            waiter->is_leaving = true;
            leave(waiter, STAGE_ONCE);
        } else {
            free_waiter(waiter);
        }
        return;
    }
    if (!succeeded) {
        bool is_there = kind == PD_KV_ANSWER_RANGE && pd_kv_answer_record(reader, &record);
        if (!is_there) {
            pd_service_end(waiter->call, PD_CODE_INTERNAL,
                           "etcdserver: the node's answer makes no sense");
            return;
        }
        waiter->revision = record.create_revision;
        bool is_same = record.value.size == waiter->value_size &&
                       memcmp(record.value.bytes, waiter->value, waiter->value_size) == 0;
        if (waiter->is_election && !is_same) {
            proclaim(waiter, STAGE_PROCLAIM);
            return;
        }
    }
    wait_in_line(waiter);
}

static void proclaimed(struct waiter *waiter, struct pd_kv_reader *reader)
{
    bool succeeded = false;
    uint32_t count = 0;
    pd_kv_answer_txn(reader, &succeeded, &count);
    if (succeeded) {
        wait_in_line(waiter);
    } else {
        pd_service_end(waiter->call, PD_CODE_UNKNOWN, "election: not leader");
    }
}

/* The key before ours; without one, the turn is ours, if our key is still there. */
static void before_came(struct waiter *waiter, struct pd_kv_reader *reader, int64_t revision)
{
    struct pd_kv_record record;
    if (pd_kv_answer_record(reader, &record)) {
        if (!keep_seen(waiter, record.key)) {
            pd_service_fail_status(waiter->call, PD_ERR_NO_MEMORY);
            return;
        }
        begin_watch(waiter, (struct pd_span){waiter->seen, waiter->seen_size},
                    (struct pd_span){NULL, 0}, revision + 1, true);
        return;
    }
    const Etcdserverpb__RangeRequest own = {.key = pd_proto_bytes(own_key(waiter))};
    ask_range(waiter, STAGE_CHECK, &own);
}

static void check_came(struct waiter *waiter, struct pd_kv_reader *reader, int64_t revision)
{
    struct pd_kv_record record;
    if (!pd_kv_answer_record(reader, &record) || record.create_revision != waiter->revision) {
        pd_service_end(waiter->call, PD_CODE_UNKNOWN, "mutex: session is expired");
    } else {
        held(waiter, waiter->is_election ? waiter->entered : revision);
    }
}

static void once_came(struct waiter *waiter, struct pd_kv_reader *reader,
                      const struct pd_kv_answer_head *head)
{
    const ProtobufCMessageDescriptor *type = waiter->call->entry->method.response;
    if (head->kind == PD_KV_ANSWER_TXN) {
        bool succeeded = false;
        uint32_t count = 0;
        pd_kv_answer_txn(reader, &succeeded, &count);
        if (!succeeded && type == &v3electionpb__proclaim_response__descriptor) {
            pd_service_end(waiter->call, PD_CODE_UNKNOWN, "election: not leader");
            return;
        }
    }
    pd_service_finish(waiter->call, bare_response(waiter, head->revision));
}

static void tell_leader(struct waiter *waiter, const struct pd_kv_record *record, int64_t revision)
{
    struct pd_service_call *call = waiter->call;
    if (!keep_seen(waiter, record->key)) {
        pd_service_fail_status(call, PD_ERR_NO_MEMORY);
        return;
    }
    if (pd_service_give(call, leader_response(waiter, record, revision))) {
        begin_watch(waiter, (struct pd_span){waiter->seen, waiter->seen_size},
                    (struct pd_span){NULL, 0}, revision + 1, false);
    }
}

static void first_came(struct waiter *waiter, struct pd_kv_reader *reader, int64_t revision)
{
    struct pd_service_call *call = waiter->call;
    struct pd_kv_record record;
    bool is_any = pd_kv_answer_record(reader, &record);
    waiter->sees_name = false;
    if (is_any && call->entry->method.server_streams) {
        tell_leader(waiter, &record, revision);
    } else if (is_any) {
        pd_service_finish(call, leader_response(waiter, &record, revision));
    } else if (!call->entry->method.server_streams) {
        pd_service_end(call, PD_CODE_UNKNOWN, "election: no leader");
    } else {
        (void)pd_service_arena(waiter->service);
        waiter->sees_name = true;
        begin_watch(waiter, (struct pd_span){waiter->key, waiter->prefix_size}, prefix_end(waiter),
                    revision + 1, false);
    }
}

/* etcd's servers are clients of themselves there, and pass on texts without their codes. */
static void fail(struct pd_service_call *call, const struct pd_backend_answer *answer)
{
    struct pd_service_error error;
    pd_service_error_of(answer, &error);
    pd_service_end(call, answer->outcome == PD_BACKEND_OK ? PD_CODE_UNKNOWN : error.code,
                   error.text);
}

static void answered(struct pd_service_wait *wait, const struct pd_backend_answer *answer)
{
    struct waiter *waiter = pd_container_of(wait, struct waiter, wait);
    struct pd_kv_reader reader;
    struct pd_kv_answer_head head = {.error = PD_KV_ERR_INVALID};
    waiter->term = answer->term;
    if (answer->outcome == PD_BACKEND_OK) {
        pd_kv_reader_init(&reader, answer->body);
        pd_kv_answer_head(&reader, &head);
    }
    bool is_good = answer->outcome == PD_BACKEND_OK && head.error == PD_KV_OK && !reader.is_bad;
    if (waiter->call == NULL && (!is_good || waiter->stage != STAGE_ENTER || waiter->is_leaving)) {
        free_waiter(waiter); /* cleaned up; or it cannot be, and the lease's end does it */
        return;
    }
    if (!is_good) {
        fail(waiter->call, answer);
        return;
    }
    switch (waiter->stage) {
    case STAGE_GRANT:
        granted(waiter, &reader);
        return;
    case STAGE_ENTER:
        entered(waiter, &reader, head.revision);
        return;
    case STAGE_PROCLAIM:
        proclaimed(waiter, &reader);
        return;
    case STAGE_BEFORE:
        before_came(waiter, &reader, head.revision);
        return;
    case STAGE_CHECK:
        check_came(waiter, &reader, head.revision);
        return;
    case STAGE_ONCE:
        once_came(waiter, &reader, &head);
        return;
    case STAGE_FIRST:
        first_came(waiter, &reader, head.revision);
        return;
    }
}

/* -- What the watch tells ---------------------------------------------------------------------- */

static void give_back(struct waiter *waiter)
{
    struct pd_service *service = waiter->service;
    if (!waiter->call->is_held && waiter->owed > 0 && waiter->watch.place != 0) {
        uint32_t owed = waiter->owed;
        waiter->owed = 0;
        service->backend->ops->credit(service->backend,
                                      pd_service_correlation(service, &waiter->watch), owed, false);
    }
}

/* Look again: what was watched has ended, or the watch has. */
static void look_again(struct waiter *waiter)
{
    pd_service_forget(waiter->service, &waiter->watch);
    if (waiter->call->entry->method.server_streams) {
        ask_by_creation(waiter, STAGE_FIRST, 0);
    } else {
        wait_in_line(waiter);
    }
}

static void watch_answered(struct pd_service_wait *wait, const struct pd_backend_answer *answer)
{
    struct waiter *waiter = pd_container_of(wait, struct waiter, watch);
    struct pd_service_call *call = waiter->call;
    const struct pd_backend_watch_answer *told = answer->watch;
    waiter->term = answer->term;
    if (told == NULL) {
        pd_service_fail(call, answer);
        return;
    }
    if (told->kind == PD_BACKEND_WATCH_ENDED) {
        look_again(waiter);
        return;
    }
    if (told->kind != PD_BACKEND_WATCH_EVENTS) {
        return;
    }
    struct pd_kv_reader reader = told->events;
    struct pd_kv_event event;
    bool ends = false;
    while (!ends && told->event(&reader, &event)) {
        if (!call->entry->method.server_streams) {
            ends = event.is_delete;
        } else if (event.is_delete || waiter->sees_name) {
            ends = !(event.is_delete && waiter->sees_name);
        } else if (!pd_service_give(
                       call, leader_response(waiter, &event.record, event.record.mod_revision))) {
            return; /* the waiter is gone */
        }
    }
    if (ends) {
        look_again(waiter);
    } else {
        waiter->owed += (uint32_t)told->cost;
        give_back(waiter);
    }
}

static void resumed(struct pd_service_call *call)
{
    give_back(call->state);
}

/* -- Requests ---------------------------------------------------------------------------------- */

static void begin_waiting(struct pd_service_call *call, struct pd_span name, struct pd_span value,
                          int64_t lease, bool is_election)
{
    struct waiter *waiter = make_waiter(call, name, value);
    if (waiter == NULL) {
        return;
    }
    waiter->is_election = is_election;
    waiter->lease = lease;
    if (lease != 0) {
        enter(waiter);
        return;
    }
    const struct pd_kv_command grant = {.kind = PD_KV_LEASE_GRANT, .ttl_s = LEASE_TTL_S};
    ask(waiter, STAGE_GRANT, PD_BACKEND_WRITE,
        pd_kv_request_simple(pd_service_arena(call->service), &grant));
}

/* Of a leader's key, as Campaign told it. NULL: the call has ended. */
static struct waiter *resume_leader(struct pd_service_call *call,
                                    const V3electionpb__LeaderKey *leader, struct pd_span value)
{
    if (leader == NULL || leader->key.len == 0) {
        pd_service_end(call, PD_CODE_UNKNOWN, "\"leader\" field must be provided");
        return NULL;
    }
    /* The whole key stands where a waiter has its prefix. */
    struct waiter *waiter = make_waiter(call, pd_proto_span(leader->key), value);
    if (waiter != NULL) {
        waiter->key_size = leader->key.len;
        waiter->is_election = true;
        waiter->lease = leader->lease;
        waiter->revision = leader->rev;
    }
    return waiter;
}

static void unlock(struct pd_service_call *call, const V3lockpb__UnlockRequest *asked)
{
    struct waiter *waiter = make_waiter(call, pd_proto_span(asked->key), (struct pd_span){NULL, 0});
    if (waiter == NULL) {
        return;
    }
    Etcdserverpb__DeleteRangeRequest removal = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
    removal.key = asked->key;
    struct pd_span body = {NULL, 0};
    enum pd_kv_error error = pd_kv_request_delete(&call->service->arena, &removal, &body);
    pd_assert(error == PD_KV_OK || body.size == 0);
    ask(waiter, STAGE_ONCE, PD_BACKEND_WRITE, body);
}

static void request(struct pd_service_call *call, const ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    const void *any = message;
    const struct pd_span nothing = {NULL, 0};
    struct waiter *waiter = NULL;
    if (type == &v3lockpb__lock_request__descriptor) {
        const V3lockpb__LockRequest *asked = any;
        begin_waiting(call, pd_proto_span(asked->name), nothing, asked->lease, false);
    } else if (type == &v3lockpb__unlock_request__descriptor) {
        unlock(call, any);
    } else if (type == &v3electionpb__campaign_request__descriptor) {
        const V3electionpb__CampaignRequest *asked = any;
        begin_waiting(call, pd_proto_span(asked->name), pd_proto_span(asked->value), asked->lease,
                      true);
    } else if (type == &v3electionpb__proclaim_request__descriptor) {
        const V3electionpb__ProclaimRequest *asked = any;
        waiter = resume_leader(call, asked->leader, pd_proto_span(asked->value));
        if (waiter != NULL) {
            proclaim(waiter, STAGE_ONCE);
        }
    } else if (type == &v3electionpb__resign_request__descriptor) {
        const V3electionpb__ResignRequest *asked = any;
        waiter = resume_leader(call, asked->leader, nothing);
        if (waiter != NULL) {
            leave(waiter, STAGE_ONCE);
        }
    } else {
        const V3electionpb__LeaderRequest *asked = any; /* Leader, Observe */
        waiter = make_waiter(call, pd_proto_span(asked->name), nothing);
        if (waiter != NULL) {
            ask_by_creation(waiter, STAGE_FIRST, 0);
        }
    }
}

/* Its key must not stand in the others' way. */
static void dropped(struct pd_service_call *call, bool was_cancelled)
{
    struct waiter *waiter = call->state;
    (void)was_cancelled;
    call->state = NULL;
    if (waiter == NULL) {
        return;
    }
    waiter->call = NULL;
    waiter->wait.is_cleaning = true;
    pd_service_client_share(&waiter->client, call->client);
    pd_list_append(&waiter->service->orphans, &waiter->link);
    pd_service_forget(waiter->service, &waiter->watch);
    if (waiter->stage == STAGE_ENTER && waiter->wait.place != 0) {
        return; /* until it is known whether there is a key */
    }
    if (!waiter->is_ours || waiter->is_leaving) {
        free_waiter(waiter);
        return;
    }
    pd_service_forget(waiter->service, &waiter->wait);
    waiter->is_leaving = true;
    leave(waiter, STAGE_ONCE);
}

void pd_service_lock_close(struct pd_service *service)
{
    while (!pd_list_is_empty(&service->orphans)) {
        free_waiter(pd_container_of(pd_list_first(&service->orphans), struct waiter, link));
    }
}

const struct pd_service_handler pd_service_lock = {
    .request = request, .resumed = resumed, .dropped = dropped};
