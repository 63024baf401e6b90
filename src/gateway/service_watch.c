/* Watch: many watches on one stream, each under an id.
 *
 * Order      `created` comes before a watch's events; its end is its last response.
 * Whole      What the node splits because it is large is put together again, unless the client
 *            allows fragments: then it is told so, part by part.
 * Again      A watch that the node ends for reasons of its own (it takes over a newer state) goes
 *            on behind the last revision that was given, and the client does not notice.
 * Progress   A client may ask how far all of the stream's watches are: each is asked, and the least
 *            is told under the id -1, once all have answered.
 * Flow       A watch has credit for watch_credit bytes. What its answers cost is given back when
 *            the carrier takes more, half of it at a time. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "gateway/kv_response.h"
#include "gateway/service_internal.h"

#define ID_ALL (-1)
#define EVENTS_TEXT                                                                                \
    "etcdserver: a revision has more events than one response takes: watch it with fragments"

#define PART_HEAD 4u /* a fragment's size */

struct watch {
    struct pd_service_wait wait;
    struct pd_service_call *call;
    struct pd_list link;        /* of the stream */
    struct pd_table_node by_id; /* of the service */
    int64_t id;
    int64_t through;               /* every event up to here was given */
    struct pd_backend_watch asked; /* its spans lie behind this structure */
    uint32_t owed;                 /* credit that was used and not given back */
    bool is_created;               /* the client was told */
    bool is_cancelling;            /* by the client: the end is awaited */
    bool wants_progress;           /* asked for all of the stream */
    bool may_fragment;             /* for the client */
    /* The parts of a response that is not whole, encoded one behind the other; for a client that
     * takes fragments each behind its size. */
    uint8_t *parts;
    size_t parts_size;
    uint8_t keys[];
};

struct stream {
    struct pd_list watches;
    int64_t next_id;
    uint32_t progress_left; /* watches that have not answered yet */
    int64_t progress_through;
    bool progress_again; /* asked for once more meanwhile */
    uint64_t term;       /* of the last answer */
};

static uint64_t hash_of(const struct pd_service_call *call, int64_t id)
{
    return pd_hash_u64((uint64_t)(uintptr_t)call, (uint64_t)id);
}

/* One that is being cancelled has no id any more: its end comes before another's `created`. */
static struct watch *find(struct pd_service_call *call, int64_t id)
{
    struct pd_table_node *node = pd_table_find(&call->service->watches, hash_of(call, id));
    for (; node != NULL; node = pd_table_next(node)) {
        struct watch *watch = pd_container_of(node, struct watch, by_id);
        if (watch->call == call && watch->id == id && !watch->is_cancelling) {
            return watch;
        }
    }
    return NULL;
}

static size_t key_bytes(const struct pd_backend_watch *asked)
{
    return asked->key.size + asked->range_end.size;
}

static void free_watch(struct watch *watch)
{
    struct pd_service *service = watch->call->service;
    pd_service_forget(service, &watch->wait);
    pd_table_remove(&service->watches, &watch->by_id);
    pd_list_remove(&watch->link);
    service->counters.watches--;
    if (watch->call->client != NULL) {
        watch->call->client->watches--;
        watch->call->client->watch_key_bytes -= key_bytes(&watch->asked);
    }
    pd_free(watch->parts);
    pd_free(watch);
}

/* -- Responses --------------------------------------------------------------------------------- */

static Etcdserverpb__WatchResponse *make_response(struct pd_service_call *call, int64_t id,
                                                  int64_t revision)
{
    const struct stream *stream = call->state;
    Etcdserverpb__WatchResponse *response =
        pd_service_make(call->service, &etcdserverpb__watch_response__descriptor);
    if (response != NULL) {
        response->watch_id = id;
        response->header = pd_service_header(call->service, revision, stream->term);
        response = response->header == NULL ? NULL : response;
    }
    return response;
}

/* An end that the client hears of: false: the whole call has ended. */
static bool give_end(struct pd_service_call *call, int64_t id, int64_t revision, const char *reason,
                     bool is_created, int64_t compact_revision)
{
    Etcdserverpb__WatchResponse *response = make_response(call, id, revision);
    if (response != NULL) {
        response->created = is_created;
        response->canceled = true;
        response->cancel_reason = pd_proto_text(reason);
        response->compact_revision = compact_revision;
    }
    return pd_service_give(call, response);
}

static void fill_event(Mvccpb__Event *to, const struct pd_kv_event *event, Mvccpb__KeyValue *kvs)
{
    *to = (Mvccpb__Event)MVCCPB__EVENT__INIT;
    to->type =
        event->is_delete ? MVCCPB__EVENT__EVENT_TYPE__DELETE : MVCCPB__EVENT__EVENT_TYPE__PUT;
    pd_kv_response_fill(&kvs[0], &event->record);
    to->kv = &kvs[0];
    if (event->has_previous) {
        pd_kv_response_fill(&kvs[1], &event->previous);
        to->prev_kv = &kvs[1];
    }
}

/* false: no room for them, or they are not sound. */
static bool put_events(struct pd_service *service, const struct pd_backend_watch_answer *answer,
                       Etcdserverpb__WatchResponse *response)
{
    struct pd_kv_reader reader = answer->events;
    struct pd_kv_event event;
    size_t count = 0;
    while (answer->event(&reader, &event)) {
        count++;
    }
    if (!pd_kv_answer_is_whole(&reader)) {
        return false;
    }
    Mvccpb__Event *events = pd_arena_take(&service->answers, count * sizeof *events);
    Mvccpb__Event **list = pd_arena_take(&service->answers, count * sizeof *list);
    Mvccpb__KeyValue *kvs = pd_arena_take(&service->answers, 2 * count * sizeof *kvs);
    if (events == NULL || list == NULL || kvs == NULL) {
        return false;
    }
    reader = answer->events;
    for (size_t i = 0; answer->event(&reader, &event); i++) {
        fill_event(&events[i], &event, &kvs[2 * i]);
        list[i] = &events[i];
    }
    response->events = list;
    response->n_events = count;
    return true;
}

/* -- Credit ------------------------------------------------------------------------------------ */

static void give_back(struct watch *watch)
{
    struct pd_service *service = watch->call->service;
    if (watch->owed >= service->config.watch_credit / 2 && watch->wait.place != 0) {
        uint32_t owed = watch->owed;
        watch->owed = 0;
        service->backend->ops->credit(service->backend,
                                      pd_service_correlation(service, &watch->wait), owed, false);
    }
}

static void resumed(struct pd_service_call *call)
{
    const struct stream *stream = call->state;
    if (stream == NULL) {
        return;
    }
    for (struct pd_list *link = stream->watches.next; link != &stream->watches; link = link->next) {
        give_back(pd_container_of(link, struct watch, link));
    }
}

/* -- Progress of the stream -------------------------------------------------------------------- */

static void ask_progress(struct pd_service_call *call)
{
    struct pd_service *service = call->service;
    struct stream *stream = call->state;
    if (stream->progress_left > 0) {
        stream->progress_again = true;
        return;
    }
    stream->progress_through = INT64_MAX;
    for (struct pd_list *link = stream->watches.next; link != &stream->watches; link = link->next) {
        struct watch *watch = pd_container_of(link, struct watch, link);
        if (watch->wait.place != 0 && !watch->is_cancelling) {
            watch->wants_progress = true;
            stream->progress_left++;
            service->backend->ops->credit(service->backend,
                                          pd_service_correlation(service, &watch->wait), 0, true);
        }
    }
}

/* One less to wait for. false: the call has ended. */
static bool progress_of(struct watch *watch, int64_t through)
{
    struct pd_service_call *call = watch->call;
    struct stream *stream = call->state;
    if (!watch->wants_progress) {
        return true;
    }
    watch->wants_progress = false;
    if (through > 0 && through < stream->progress_through) {
        stream->progress_through = through;
    }
    if (--stream->progress_left > 0) {
        return true;
    }
    if (stream->progress_through < INT64_MAX &&
        !pd_service_give(call, make_response(call, ID_ALL, stream->progress_through))) {
        return false;
    }
    if (stream->progress_again) {
        stream->progress_again = false;
        ask_progress(call);
    }
    return true;
}

/* -- The node's answers ------------------------------------------------------------------------ */

static void answered(struct pd_service_wait *wait, const struct pd_backend_answer *answer);

static enum pd_status submit(struct watch *watch)
{
    watch->wait.answered = answered;
    watch->wait.is_watch = true;
    const struct pd_backend_request request = {.kind = PD_BACKEND_WATCH, .watch = &watch->asked};
    return pd_service_submit(watch->call->service, watch->call->client, &watch->wait, &request);
}

/* The end of one watch, and what the client is told. */
static void end_watch(struct watch *watch, int64_t revision, const char *reason,
                      int64_t compact_revision)
{
    struct pd_service_call *call = watch->call;
    int64_t id = watch->is_created ? watch->id : ID_ALL;
    bool is_created = watch->is_created;
    if (!progress_of(watch, 0)) {
        return;
    }
    free_watch(watch);
    (void)give_end(call, id, revision, reason, !is_created, compact_revision);
}

static bool keep_part(struct watch *watch, const Etcdserverpb__WatchResponse *response)
{
    struct pd_service *service = watch->call->service;
    size_t head = watch->may_fragment ? PART_HEAD : 0;
    size_t size = etcdserverpb__watch_response__get_packed_size(response);
    if (watch->parts_size + head + size > service->config.watch_response_max) {
        return false;
    }
    uint8_t *grown = pd_realloc(watch->parts, watch->parts_size + head + size);
    if (grown == NULL) {
        return false;
    }
    watch->parts = grown;
    grown += watch->parts_size;
    if (head > 0) {
        pd_put_u32(grown, (uint32_t)size);
    }
    (void)etcdserverpb__watch_response__pack(response, grown + head);
    watch->parts_size += head + size;
    return true;
}

static void forget_parts(struct watch *watch)
{
    pd_free(watch->parts);
    watch->parts = NULL;
    watch->parts_size = 0;
}

/* The parts as one: encoded messages one behind the other are one message, their lists joined. */
static Etcdserverpb__WatchResponse *join_parts(struct watch *watch)
{
    struct pd_service *service = watch->call->service;
    Etcdserverpb__WatchResponse *response = etcdserverpb__watch_response__unpack(
        &service->answers.allocator, watch->parts_size, watch->parts);
    forget_parts(watch);
    return response;
}

/* The fragments so far, with nothing of another watch between them: etcd's own client loses those
 * before such an answer. False: the whole call has ended. */
static bool give_parts(struct watch *watch)
{
    struct pd_service_call *call = watch->call;
    uint8_t *parts = watch->parts;
    size_t size = watch->parts_size;
    watch->parts = NULL;
    watch->parts_size = 0;
    bool goes_on = true;
    for (size_t at = 0; at < size && goes_on;) {
        uint32_t part_size = pd_get_u32(parts + at);
        Etcdserverpb__WatchResponse *part = etcdserverpb__watch_response__unpack(
            &call->service->answers.allocator, part_size, parts + at + PART_HEAD);
        at += PART_HEAD + part_size;
        goes_on = pd_service_give(call, part);
    }
    pd_free(parts);
    return goes_on;
}

/* A part of a response, or the last one. False: the watch is over, or the whole call. */
static bool give_part(struct watch *watch, Etcdserverpb__WatchResponse *response,
                      const struct pd_backend_watch_answer *answer)
{
    struct pd_service_call *call = watch->call;
    bool is_kept = keep_part(watch, response);
    if (!watch->may_fragment) {
        if (!is_kept) {
            end_watch(watch, answer->revision, EVENTS_TEXT, 0);
            return false;
        }
        return answer->is_fragment || pd_service_give(call, join_parts(watch));
    }
    if (!is_kept) { /* more than is kept: what others are told may come between */
        return give_parts(watch) && pd_service_give(call, response);
    }
    return answer->is_fragment || give_parts(watch);
}

static void give_events(struct watch *watch, const struct pd_backend_watch_answer *answer)
{
    struct pd_service_call *call = watch->call;
    Etcdserverpb__WatchResponse *response = make_response(call, watch->id, 0);
    if (response == NULL || !put_events(call->service, answer, response)) {
        end_watch(watch, answer->revision, EVENTS_TEXT, 0);
        return;
    }
    int64_t revision = answer->through_revision;
    if (response->n_events > 0 &&
        response->events[response->n_events - 1]->kv->mod_revision > revision) {
        revision = response->events[response->n_events - 1]->kv->mod_revision;
    }
    response->header->revision = revision;
    response->fragment = answer->is_fragment && watch->may_fragment;
    if (!answer->is_fragment) {
        watch->through = answer->through_revision;
    }
    bool is_part = answer->is_fragment || watch->parts != NULL;
    if (is_part ? give_part(watch, response, answer) : pd_service_give(call, response)) {
        watch->owed += (uint32_t)answer->cost;
        if (!call->is_held) {
            give_back(watch);
        }
    }
}

static void give_progress(struct watch *watch, const struct pd_backend_watch_answer *answer)
{
    struct pd_service_call *call = watch->call;
    watch->through = answer->through_revision;
    watch->owed += (uint32_t)answer->cost;
    if (watch->wants_progress) {
        if (!progress_of(watch, answer->through_revision)) {
            return;
        }
    } else if (!pd_service_give(call, make_response(call, watch->id, answer->through_revision))) {
        return;
    }
    if (!call->is_held) {
        give_back(watch);
    }
}

static void give_created(struct watch *watch, const struct pd_backend_watch_answer *answer)
{
    struct pd_service_call *call = watch->call;
    watch->through = answer->through_revision;
    if (watch->is_created) {
        return; /* it goes on, and the client does not notice */
    }
    Etcdserverpb__WatchResponse *response = make_response(call, watch->id, answer->revision);
    if (response != NULL) {
        response->created = true;
    }
    watch->is_created = true;
    (void)pd_service_give(call, response);
}

static void ended(struct watch *watch, const struct pd_backend_watch_answer *answer)
{
    bool is_compacted = answer->compact_revision != 0 && !watch->is_cancelling;
    if (is_compacted || watch->is_cancelling || !watch->is_created) {
        /* Of a compacted one no revision is told, as in etcd. */
        end_watch(watch, is_compacted ? 0 : answer->revision, "",
                  is_compacted ? answer->compact_revision : 0);
    } else {
        /* What was given in part is given again, as a whole. */
        watch->parts_size = 0;
        watch->asked.start_revision = watch->through + 1;
        watch->owed = 0;
        bool wants_progress = watch->wants_progress;
        if (submit(watch) != PD_OK) {
            end_watch(watch, answer->revision, "etcdserver: no leader", 0);
        } else if (wants_progress) {
            struct pd_service *service = watch->call->service;
            service->backend->ops->credit(service->backend,
                                          pd_service_correlation(service, &watch->wait), 0, true);
        }
    }
}

static void answered(struct pd_service_wait *wait, const struct pd_backend_answer *answer)
{
    struct watch *watch = pd_container_of(wait, struct watch, wait);
    struct stream *stream = watch->call->state;
    stream->term = answer->term;
    if (answer->watch == NULL) {
        struct pd_service_error error;
        pd_service_error_of(answer, &error);
        if (error.code == PD_CODE_UNAVAILABLE) {
            pd_service_end(watch->call, error.code,
                           error.text); /* clients watch again by themselves */
        } else {
            end_watch(watch, 0, error.text, 0);
        }
        return;
    }
    switch (answer->watch->kind) {
    case PD_BACKEND_WATCH_CREATED:
        give_created(watch, answer->watch);
        return;
    case PD_BACKEND_WATCH_EVENTS:
        if (!watch->is_cancelling) {
            give_events(watch, answer->watch);
        }
        return;
    case PD_BACKEND_WATCH_PROGRESS:
        if (!watch->is_cancelling) {
            give_progress(watch, answer->watch);
        }
        return;
    case PD_BACKEND_WATCH_ENDED:
        ended(watch, answer->watch);
        return;
    }
}

/* -- Requests ---------------------------------------------------------------------------------- */

/* As etcd has them: key "" is "\0"; with an end, it must lie before it. */
static bool is_empty_range(struct pd_span key, struct pd_span end)
{
    if (end.size == 0 || (end.size == 1 && end.bytes[0] == 0)) {
        return false;
    }
    size_t least = key.size < end.size ? key.size : end.size;
    int order = least == 0 ? 0 : memcmp(key.bytes, end.bytes, least);
    return order > 0 || (order == 0 && key.size >= end.size);
}

static int64_t choose_id(struct pd_service_call *call)
{
    struct stream *stream = call->state;
    while (find(call, stream->next_id) != NULL) {
        stream->next_id++;
    }
    return stream->next_id++;
}

static struct watch *make_watch(struct pd_service_call *call,
                                const Etcdserverpb__WatchCreateRequest *asked)
{
    size_t keys = asked->key.len + asked->range_end.len;
    struct watch *watch = pd_alloc(sizeof *watch + keys);
    if (watch == NULL) {
        return NULL;
    }
    *watch = (struct watch){.call = call, .may_fragment = asked->fragment};
    if (asked->key.len > 0) {
        memcpy(watch->keys, asked->key.data, asked->key.len);
    }
    if (asked->range_end.len > 0) {
        memcpy(watch->keys + asked->key.len, asked->range_end.data, asked->range_end.len);
    }
    watch->asked = (struct pd_backend_watch){
        .key = {watch->keys, asked->key.len},
        .range_end = {watch->keys + asked->key.len, asked->range_end.len},
        .start_revision = asked->start_revision,
        .credit = call->service->config.watch_credit,
        .with_previous = asked->prev_kv,
        .with_progress = asked->progress_notify,
        .may_fragment = asked->fragment,
    };
    for (size_t i = 0; i < asked->n_filters; i++) {
        watch->asked.no_put |=
            asked->filters[i] == ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NOPUT;
        watch->asked.no_delete |=
            asked->filters[i] == ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NODELETE;
    }
    return watch;
}

/* What is wrong with one watch more; NULL: nothing. Nobody takes what others need: watches not all
 * that may be under way, and of them each client no more than is left for all others. */
static const char *crowding(const struct pd_service_call *call, size_t more_key_bytes)
{
    const struct pd_service *service = call->service;
    const struct pd_service_client *client = call->client;
    uint32_t all_max = service->config.waits_max - service->config.waits_max / 4;
    if (client != NULL && client->watches >= service->config.watches_max) {
        return "etcdserver: too many watches of one connection";
    }
    if (client != NULL &&
        client->watch_key_bytes + more_key_bytes > service->config.watch_key_bytes_max) {
        return "etcdserver: too many bytes of keys in the watches of one connection";
    }
    uint64_t own = client == NULL ? 0 : client->watches;
    return service->counters.watches + own >= all_max ? "etcdserver: too many requests" : NULL;
}

static void create(struct pd_service_call *call, const Etcdserverpb__WatchCreateRequest *asked)
{
    struct pd_service *service = call->service;
    struct stream *stream = call->state;
    const char *wrong = NULL;
    static const uint8_t zero = 0;
    struct pd_span key =
        asked->key.len == 0 ? (struct pd_span){&zero, 1} : pd_proto_span(asked->key);
    if (asked->watch_id != 0 && find(call, asked->watch_id) != NULL) {
        wrong = "mvcc: duplicate watch ID provided on the WatchStream";
    } else if (is_empty_range(key, pd_proto_span(asked->range_end))) {
        wrong = "mvcc: watcher range is empty";
    } else if (asked->start_revision < 0 || asked->watch_id < 0) {
        wrong = "etcdserver: a field is out of its range";
    } else {
        wrong = crowding(call, asked->key.len + asked->range_end.len);
    }
    struct watch *watch = wrong == NULL ? make_watch(call, asked) : NULL;
    if (watch == NULL) {
        (void)give_end(call, ID_ALL, 0, wrong == NULL ? "etcdserver: too many requests" : wrong,
                       true, 0);
        return;
    }
    watch->id = asked->watch_id == 0 ? choose_id(call) : asked->watch_id;
    pd_list_append(&stream->watches, &watch->link);
    pd_table_insert(&service->watches, &watch->by_id, hash_of(call, watch->id));
    service->counters.watches++;
    if (call->client != NULL) {
        call->client->watches++;
        call->client->watch_key_bytes += key_bytes(&watch->asked);
    }
    enum pd_status status = submit(watch);
    if (status == PD_ERR_CLOSED) {
        pd_service_fail_status(call, status);
    } else if (status != PD_OK) {
        end_watch(watch, 0, "etcdserver: too many requests", 0);
    }
}

static void cancel(struct pd_service_call *call, int64_t id)
{
    struct pd_service *service = call->service;
    struct watch *watch = find(call, id);
    if (watch == NULL || watch->wait.place == 0) {
        return; /* as in etcd: nothing is said of a watch that is not there */
    }
    watch->is_cancelling = true;
    service->backend->ops->cancel(service->backend, pd_service_correlation(service, &watch->wait),
                                  PD_BACKEND_WATCH);
}

static void request(struct pd_service_call *call, const ProtobufCMessage *message)
{
    const void *any = message;
    const Etcdserverpb__WatchRequest *asked = any;
    if (call->state == NULL) {
        struct stream *stream = pd_alloc_zeroed(1, sizeof *stream);
        if (stream == NULL) {
            pd_service_fail_status(call, PD_ERR_NO_MEMORY);
            return;
        }
        pd_list_init(&stream->watches);
        call->state = stream;
    }
    switch (asked->request_union_case) {
    case ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST:
        create(call, asked->create_request);
        return;
    case ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CANCEL_REQUEST:
        cancel(call, asked->cancel_request->watch_id);
        return;
    case ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST:
        ask_progress(call);
        return;
    case ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION__NOT_SET:
    case _ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION__CASE_IS_INT_SIZE:
        return; /* a request of a later version: etcd, too, says nothing */
    }
}

static void dropped(struct pd_service_call *call, bool was_cancelled)
{
    struct stream *stream = call->state;
    (void)was_cancelled;
    while (stream != NULL && !pd_list_is_empty(&stream->watches)) {
        free_watch(pd_container_of(pd_list_first(&stream->watches), struct watch, link));
    }
    pd_free(stream);
    call->state = NULL;
}

/* A client that sends no more still watches, as in etcd. */
const struct pd_service_handler pd_service_watch = {
    .request = request,
    .resumed = resumed,
    .dropped = dropped,
};
