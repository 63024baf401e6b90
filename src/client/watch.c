#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "client/internal.h"
#include "node/replica_watch.h"

#define CREDIT (UINT32_C(1) << 20)
#define CREDIT_BACK (UINT32_C(1) << 18) /* what was taken in is given back in portions */
#define RETRY_MS UINT64_C(200)
#define ASK_MS UINT64_C(3000) /* to connect and ask */
#define UNREADABLE "the node's answer cannot be read: is it of another version?"

/* Where it is. What has been given out is known by (revision, how many of it), so that a revision
 * that broke off in its middle goes on there and not at its beginning.
 *
 *     IDLE --ask--> ASKED --CREATED--> LIVE
 *      ^-------------'--- lost ----------'      ENDED: from any, for good */
enum phase {
    PHASE_IDLE = 0,
    PHASE_ASKED,
    PHASE_LIVE,
    PHASE_ENDED
};

struct pando_watch {
    struct pd_client_config config;
    struct pd_node_client node;
    enum phase phase;
    enum pando_status end; /* of ENDED */
    uint8_t *bytes;        /* of both below */
    struct pd_span key;
    struct pd_span range_end;
    bool with_previous;
    bool was_live; /* once at least */
    bool is_lost;  /* and told */
    uint64_t retry_ms;
    int64_t next_revision; /* to begin at; 0: now */
    int64_t given_revision;
    uint64_t given_count;
    int64_t seen_revision; /* of the answers since it was asked for */
    uint64_t seen_count;
    int64_t compact_revision;
    uint32_t taken; /* bytes, not yet given back */
    /* Of the answer whose events are being given out: */
    bool has_answer;
    struct pd_kv_reader reader;
    uint32_t answer_size;
    int64_t through_revision; /* 0: it says none */
    struct pando_event event;
};

enum pando_status pando_watch_open(struct pando_client *client, const struct pando_keys *keys,
                                   int64_t revision, unsigned flags, struct pando_watch **watch_out)
{
    struct pd_span key;
    struct pd_span end;
    if (keys->key.size > PD_CLIENT_REQUEST_MAX / 4 || keys->end.size > PD_CLIENT_REQUEST_MAX / 4) {
        return pd_client_fail(client, PANDO_INVALID, "the key is too large");
    }
    size_t room_size = keys->key.size + 1;
    struct pando_watch *watch = pd_alloc_zeroed(1, sizeof *watch);
    uint8_t *room = pd_alloc(3 * room_size + keys->end.size);
    bool has_room = watch != NULL && room != NULL &&
                    pd_client_config_copy(&watch->config, &client->config) == PD_OK;
    if (!has_room || !pd_client_range(keys, room, &key, &end)) {
        if (has_room) {
            pd_client_config_free(&watch->config);
        }
        pd_free(watch);
        pd_free(room);
        return has_room
                   ? pd_client_fail(client, PANDO_INVALID, "a key or the end of a range is empty")
                   : pd_client_fail(client, PANDO_NO_MEMORY, "no memory");
    }
    watch->bytes = room;
    watch->key = (struct pd_span){room + room_size, key.size};
    watch->range_end = (struct pd_span){room + 2 * room_size, end.size};
    memcpy(room + room_size, key.bytes, key.size);
    if (end.size > 0) {
        memcpy(room + 2 * room_size, end.bytes, end.size);
    }
    watch->next_revision = revision < 0 ? 0 : revision;
    watch->with_previous = (flags & PANDO_WATCH_PREVIOUS) != 0;
    pd_client_node_init(&watch->node, &watch->config);
    watch->node.endpoint = client->node.endpoint;
    *watch_out = watch;
    return PANDO_OK;
}

void pando_watch_close(struct pando_watch *watch)
{
    if (watch != NULL) {
        pd_node_client_deinit(&watch->node);
        pd_client_config_free(&watch->config);
        pd_free(watch->bytes);
        pd_free(watch);
    }
}

/* -- The way to the node ----------------------------------------------------------------------- */

static enum pd_status ask(struct pando_watch *watch)
{
    const struct pd_replica_watch_request wanted = {
        .key = watch->key,
        .range_end = watch->range_end,
        .start_revision = watch->next_revision,
        .credit = CREDIT,
        .with_previous = watch->with_previous,
        .with_progress = true, /* how far it is, so that it need not begin far behind */
    };
    size_t size = watch->key.size + watch->range_end.size + 256;
    uint8_t *room = pd_alloc(size);
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = size};
    if (room == NULL) {
        (void)snprintf(watch->node.text, sizeof watch->node.text, "no memory");
        return PD_ERR_NO_MEMORY;
    }
    pd_replica_watch_request_put(&writer, &wanted);
    const struct pd_replica_request_head request = {.kind = PD_REPLICA_REQUEST_WATCH,
                                                    .body = {room, writer.size}};
    watch->node.timeout_ms = watch->config.timeout_ms < ASK_MS ? watch->config.timeout_ms : ASK_MS;
    watch->node.was_sent = false;
    enum pd_status status = pd_node_client_begin(&watch->node, &request);
    pd_free(room);
    watch->taken = 0;
    watch->seen_revision = 0;
    watch->seen_count = 0;
    return status;
}

static enum pd_status give_back(struct pando_watch *watch)
{
    uint8_t room[64];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    const struct pd_replica_watch_credit credit = {.credit = watch->taken};
    if (watch->taken < CREDIT_BACK) {
        return PD_OK;
    }
    pd_replica_watch_credit_put(&writer, &credit);
    const struct pd_replica_request_head request = {.kind = PD_REPLICA_REQUEST_WATCH_CREDIT,
                                                    .number = watch->node.correlation,
                                                    .body = {room, writer.size}};
    watch->taken = 0;
    return pd_node_client_also(&watch->node, &request);
}

static enum pando_status finish(struct pando_watch *watch, enum pando_status status)
{
    pd_node_client_disconnect(&watch->node);
    watch->phase = PHASE_ENDED;
    watch->end = status;
    watch->has_answer = false;
    return status;
}

static enum pando_status finish_unreadable(struct pando_watch *watch)
{
    (void)snprintf(watch->node.text, sizeof watch->node.text, UNREADABLE);
    return finish(watch, PANDO_PROTOCOL);
}

/* -- What a turn comes to ---------------------------------------------------------------------- */

/* A turn says PANDO_OK with an event to give out, another status to return, or goes on. */
enum turn {
    TURN_ON = 0,
    TURN_EVENT,
    TURN_STATUS
};

static enum turn tell(struct pando_watch *watch, enum pando_event_kind kind)
{
    watch->event = (struct pando_event){.kind = kind, .revision = watch->next_revision};
    return TURN_EVENT;
}

/* The connection broke, or nobody took us; in a while it is tried again. */
static enum turn lose(struct pando_watch *watch, enum pd_status status,
                      enum pando_status *status_out)
{
    bool is_final = status == PD_ERR_CORRUPT || status == PD_ERR_NO_MEMORY ||
                    status == PD_ERR_INVALID || status == PD_ERR_DENIED;
    pd_node_client_disconnect(&watch->node);
    watch->has_answer = false;
    watch->phase = PHASE_IDLE;
    watch->retry_ms = pd_link_now_ms() + RETRY_MS;
    watch->node.outcome = PD_REPLICA_OUTCOME_COUNT;
    *status_out = pd_client_status(&watch->node, status, NULL, false);
    if (is_final) {
        (void)finish(watch, *status_out);
        return TURN_STATUS;
    }
    if (!watch->was_live) {
        return TURN_STATUS;
    }
    bool is_told = watch->is_lost;
    watch->is_lost = true;
    return is_told ? TURN_ON : tell(watch, PANDO_EVENT_LOST);
}

/* A node that refuses, or ended the watch by its own word. */
static enum turn take_refusal(struct pando_watch *watch,
                              const struct pd_replica_answer_head *answer,
                              enum pando_status *status_out)
{
    struct pd_kv_reader reader;
    struct pd_replica_watch_head head;
    if (answer->outcome != PD_REPLICA_CANCELLED) {
        enum pd_status status = pd_node_client_refused(&watch->node, answer);
        *status_out = pd_client_status(&watch->node, status, NULL, false);
        if (answer->outcome == PD_REPLICA_INVALID) {
            (void)finish(watch, *status_out);
            return TURN_STATUS;
        }
        enum pando_status refused = *status_out;
        pd_node_client_go_on(&watch->node);
        enum turn turn = lose(watch, PD_ERR_CLOSED, status_out);
        *status_out = refused;
        return turn;
    }
    pd_kv_reader_init(&reader, answer->body);
    pd_replica_watch_head_get(&reader, &head);
    if (reader.is_bad) {
        *status_out = finish_unreadable(watch);
        return TURN_STATUS;
    }
    if (head.compact_revision == 0) {
        (void)snprintf(watch->node.text, sizeof watch->node.text, "the watch ended: %.*s",
                       (int)(head.reason.size < 200 ? head.reason.size : 200),
                       head.reason.size == 0 ? "" : (const char *)head.reason.bytes);
        return lose(watch, PD_ERR_CLOSED, status_out);
    }
    (void)snprintf(watch->node.text, sizeof watch->node.text,
                   "what happened before revision %lld is compacted, and cannot be told any more",
                   (long long)head.compact_revision);
    watch->compact_revision = head.compact_revision;
    *status_out = finish(watch, PANDO_COMPACTED);
    return TURN_STATUS;
}

static enum turn take_answer(struct pando_watch *watch, const struct pd_replica_answer_head *answer,
                             enum pando_status *status_out)
{
    struct pd_replica_watch_head head;
    if (answer->outcome != PD_REPLICA_OK) {
        return take_refusal(watch, answer, status_out);
    }
    pd_kv_reader_init(&watch->reader, answer->body);
    pd_replica_watch_head_get(&watch->reader, &head);
    if (watch->reader.is_bad) {
        *status_out = finish_unreadable(watch);
        return TURN_STATUS;
    }
    watch->through_revision = head.is_fragment ? 0 : head.through_revision;
    if (head.kind == PD_REPLICA_WATCH_EVENTS) {
        watch->has_answer = true;
        watch->answer_size = (uint32_t)answer->body.size;
        return TURN_ON;
    }
    if (head.kind == PD_REPLICA_WATCH_PROGRESS) {
        watch->taken += (uint32_t)answer->body.size;
    }
    if (!head.is_fragment) {
        watch->next_revision = head.through_revision + 1;
    }
    if (head.kind == PD_REPLICA_WATCH_CREATED) {
        watch->phase = PHASE_LIVE;
        watch->was_live = true;
        watch->is_lost = false;
        return tell(watch, PANDO_EVENT_LIVE);
    }
    return TURN_ON;
}

/* False: it was given out before the connection broke. */
static bool is_new(struct pando_watch *watch, int64_t revision)
{
    if (revision != watch->seen_revision) {
        watch->seen_revision = revision;
        watch->seen_count = 0;
    }
    watch->seen_count++;
    if (revision < watch->given_revision ||
        (revision == watch->given_revision && watch->seen_count <= watch->given_count)) {
        return false;
    }
    watch->given_revision = revision;
    watch->given_count = watch->seen_count;
    return true;
}

/* The next event of the answer that is here, or its end. */
static enum turn take_event(struct pando_watch *watch, enum pando_status *status_out)
{
    struct pd_kv_event event;
    while (pd_replica_watch_event_get(&watch->reader, &event)) {
        if (!is_new(watch, event.record.mod_revision)) {
            continue;
        }
        watch->event =
            (struct pando_event){.kind = event.is_delete ? PANDO_EVENT_DELETE : PANDO_EVENT_PUT,
                                 .revision = event.record.mod_revision,
                                 .record = pd_client_record(&event.record),
                                 .has_previous = event.has_previous};
        if (event.has_previous) {
            watch->event.previous = pd_client_record(&event.previous);
        }
        return TURN_EVENT;
    }
    watch->has_answer = false;
    if (!pd_kv_answer_is_whole(&watch->reader)) {
        *status_out = finish_unreadable(watch);
        return TURN_STATUS;
    }
    if (watch->through_revision != 0) {
        watch->next_revision = watch->through_revision + 1;
    }
    watch->taken += watch->answer_size;
    enum pd_status status = give_back(watch);
    return status == PD_OK ? TURN_ON : lose(watch, status, status_out);
}

/* Ask for the watch, when it is time to. */
static enum turn begin(struct pando_watch *watch, uint64_t deadline_ms,
                       enum pando_status *status_out)
{
    uint64_t now = pd_link_now_ms();
    if (now < watch->retry_ms && deadline_ms < watch->retry_ms) {
        (void)poll(NULL, 0, now < deadline_ms ? (int)(deadline_ms - now) : 0);
        *status_out = PANDO_TIMEOUT;
        return TURN_STATUS;
    }
    if (now < watch->retry_ms) {
        (void)poll(NULL, 0, (int)(watch->retry_ms - now));
    }
    enum pd_status status = ask(watch);
    if (status != PD_OK) {
        return lose(watch, status, status_out);
    }
    watch->phase = PHASE_ASKED;
    return TURN_ON;
}

static enum turn receive(struct pando_watch *watch, uint64_t deadline_ms,
                         enum pando_status *status_out)
{
    struct pd_replica_answer_head answer;
    enum pd_status status = pd_node_client_next(&watch->node, deadline_ms, &answer);
    if (status == PD_OK) {
        return take_answer(watch, &answer, status_out);
    }
    if (status == PD_ERR_TIMEOUT) {
        *status_out = PANDO_TIMEOUT;
        return TURN_STATUS;
    }
    return lose(watch, status, status_out);
}

/* -- Public ------------------------------------------------------------------------------------ */

enum pando_status pando_watch_next(struct pando_watch *watch, uint64_t timeout_ms,
                                   const struct pando_event **event_out)
{
    uint64_t now = pd_link_now_ms();
    uint64_t deadline_ms = timeout_ms > UINT64_MAX - now ? UINT64_MAX : now + timeout_ms;
    enum pando_status status = PANDO_OK;
    enum turn turn = TURN_ON;
    while (turn == TURN_ON) {
        if (watch->phase == PHASE_ENDED) {
            return watch->end;
        }
        if (watch->has_answer) {
            turn = take_event(watch, &status);
        } else if (watch->phase == PHASE_IDLE) {
            turn = begin(watch, deadline_ms, &status);
        } else {
            turn = receive(watch, deadline_ms, &status);
        }
    }
    if (turn == TURN_STATUS) {
        return status;
    }
    *event_out = &watch->event;
    return PANDO_OK;
}

int pando_watch_descriptor(const struct pando_watch *watch)
{
    return watch->node.link.descriptor;
}

uint64_t pando_watch_wait_ms(const struct pando_watch *watch)
{
    uint64_t now = pd_link_now_ms();
    if (watch->phase != PHASE_IDLE) {
        return UINT64_MAX;
    }
    return watch->retry_ms > now ? watch->retry_ms - now : 0;
}

int64_t pando_watch_revision(const struct pando_watch *watch)
{
    return watch->next_revision;
}

int64_t pando_watch_compacted(const struct pando_watch *watch)
{
    return watch->compact_revision;
}

const char *pando_watch_message(const struct pando_watch *watch)
{
    return watch->node.text;
}
