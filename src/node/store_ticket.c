/* Tickets: what an actor's call is while it is under way, step by step on the actor's thread. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "node/store_port_internal.h"

#define BACKOFF_MAX 5u /* doublings of retry_ns */
#define SESSION_NS UINT64_C(60000000000)
#define SETTLE_NS UINT64_C(100000)

static struct pd_store_port *port_of(struct pd_kv_port *interface)
{
    return pd_container_of(interface, struct pd_store_port, interface);
}

/* -- Begin ------------------------------------------------------------------------------------- */

static enum pd_kv_code refuse(char *text, enum pd_kv_code code, const char *why)
{
    (void)snprintf(text, PD_KV_PORT_TEXT_MAX, "%s", why);
    return code;
}

static void copy_parts(struct pd_kv_ticket *ticket, const struct pd_kv_ask *ask)
{
    uint8_t *to = ticket->request + PD_REPLICA_REQUEST_HEAD_SIZE + ticket->room;
    ticket->key_size = ask->key.size;
    ticket->end_size = ask->end.size;
    if (ask->key.size > 0) {
        memcpy(to, ask->key.bytes, ask->key.size);
    }
    if (ask->end.size > 0) {
        memcpy(to + ask->key.size, ask->end.bytes, ask->end.size);
    }
}

static void prepare(struct pd_kv_ticket *ticket, struct pd_store_port *port,
                    const struct pd_kv_ask *ask)
{
    ticket->port = port;
    ticket->process = ask->process;
    pd_list_init(&ticket->line);
    pd_list_init(&ticket->idle);
    atomic_init(&ticket->references, 1);
    ticket->deadline_ns = ask->deadline_ns;
    ticket->place = PD_STORE_NONE;
    ticket->lane = PD_STORE_NONE;
    ticket->is_get = ask->kind == PD_KV_ASK_GET;
    ticket->is_watch = ask->kind == PD_KV_ASK_WATCH;
    ticket->next_revision = ask->revision;
    ticket->watch_flags = ask->flags;
}

static enum pd_kv_code encode(struct pd_kv_ticket *ticket, const struct pd_kv_ask *ask, char *text)
{
    const char *why = "";
    struct pd_kv_writer writer = {.bytes = ticket->request + PD_REPLICA_REQUEST_HEAD_SIZE,
                                  .bytes_max = ticket->room};
    bool is_repeatable = false;
    enum pd_kv_code code = pd_store_ask_encode(ask, &writer, &ticket->head, &is_repeatable, &why);
    ticket->body_size = writer.size;
    ticket->is_write = ticket->head.kind == PD_REPLICA_REQUEST_WRITE;
    ticket->is_numbered = ticket->is_write && !is_repeatable;
    return code == PD_KV_CODE_OK ? code : refuse(text, code, why);
}

static enum pd_kv_code begin(struct pd_kv_port *interface, const struct pd_kv_ask *ask,
                             struct pd_kv_ticket **ticket_out, char text[PD_KV_PORT_TEXT_MAX])
{
    struct pd_store_port *port = port_of(interface);
    if (ask->key.size + ask->end.size + ask->value.size > port->config.request_bytes_max) {
        return refuse(text, PD_KV_CODE_TOO_LARGE, "the request is larger than requests may be");
    }
    size_t room = pd_store_ask_bytes_max(ask);
    size_t parts = ask->kind == PD_KV_ASK_WATCH ? ask->key.size + ask->end.size : 0;
    size_t held = PD_REPLICA_REQUEST_HEAD_SIZE + room + parts;
    if (atomic_fetch_add(&port->request_bytes, held) + held > port->config.bytes_max) {
        (void)atomic_fetch_sub(&port->request_bytes, held);
        return refuse(text, PD_KV_CODE_UNAVAILABLE,
                      "the requests that wait for the store hold as much memory as they may: try "
                      "again");
    }
    struct pd_kv_ticket *ticket = pd_alloc(sizeof *ticket + held);
    if (ticket == NULL) {
        (void)atomic_fetch_sub(&port->request_bytes, held);
        return refuse(text, PD_KV_CODE_UNAVAILABLE, "no memory for the request");
    }
    memset(ticket, 0, sizeof *ticket);
    ticket->room = room;
    ticket->held = held;
    prepare(ticket, port, ask);
    if (ticket->is_watch) {
        copy_parts(ticket, ask);
    }
    enum pd_kv_code code = encode(ticket, ask, text);
    if (code != PD_KV_CODE_OK) {
        pd_free(ticket);
        (void)atomic_fetch_sub(&port->request_bytes, held);
        return code;
    }
    pd_store_count(&port->counters.begun);
    *ticket_out = ticket;
    return PD_KV_CODE_OK;
}

/* -- To the link ------------------------------------------------------------------------------- */

static void over(struct pd_kv_ticket *ticket, enum pd_kv_code code, const char *text, size_t size)
{
    ticket->stage = PD_STORE_OVER;
    ticket->code = code;
    if (code != PD_KV_CODE_OK) {
        size_t room = sizeof ticket->text - 1;
        size = size < room ? size : room;
        memmove(ticket->text, text, size); /* it may be its own */
        ticket->text[size] = '\0';
    }
    pd_store_place_give(ticket, true);
}

static void over_text(struct pd_kv_ticket *ticket, enum pd_kv_code code, const char *text)
{
    over(ticket, code, text, strlen(text));
}

/* Too late: what is known of it is told. */
static void expire(struct pd_kv_ticket *ticket)
{
    bool flies = ticket->stage == PD_STORE_FLYING && ticket->is_write && !ticket->opens_lane;
    pd_store_line_leave(ticket);
    if (flies || ticket->may_be_done) {
        over_text(ticket, PD_KV_CODE_UNKNOWN, "no answer in time: it may or may not have happened");
    } else {
        over_text(ticket, PD_KV_CODE_UNAVAILABLE,
                  ticket->text[0] != '\0' ? ticket->text : "the store did not answer in time");
    }
}

/* Again later; `why` is remembered for the case that there is no later. */
static void sleep_for(struct pd_kv_ticket *ticket, uint64_t now_ns, const char *why, size_t size)
{
    struct pd_store_port *port = ticket->port;
    size = size < sizeof ticket->text - 1 ? size : sizeof ticket->text - 1;
    memcpy(ticket->text, why, size);
    ticket->text[size] = '\0';
    pd_store_place_give(ticket, false);
    uint32_t doublings = ticket->sleeps < BACKOFF_MAX ? ticket->sleeps : BACKOFF_MAX;
    ticket->sleeps++;
    ticket->stage = PD_STORE_SLEEPING;
    ticket->retry_at_ns = now_ns + (port->config.retry_ns << doublings);
    pd_store_count(&port->counters.repeated);
}

/* Until the link is up, in any case. */
static void wait_for_link(struct pd_kv_ticket *ticket)
{
    struct pd_store_port *port = ticket->port;
    ticket->waits_for_link = true;
    ticket->was_listed = true;
    pd_spin_lock(&port->lock);
    if (!pd_list_is_linked(&ticket->idle)) {
        pd_list_append(&port->idle, &ticket->idle);
    }
    pd_spin_unlock(&port->lock);
}

/* What is given to the link now: the request, or the opening of a session for it. */
static enum pd_status give(struct pd_kv_ticket *ticket)
{
    struct pd_store_port *port = ticket->port;
    uint64_t correlation = pd_store_correlation(port, ticket->place);
    if (ticket->opens_lane) {
        uint8_t bytes[PD_REPLICA_REQUEST_HEAD_SIZE + 64];
        const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_WRITE};
        struct pd_kv_writer writer = {.bytes = bytes + PD_REPLICA_REQUEST_HEAD_SIZE,
                                      .bytes_max = 64};
        pd_replica_request_put_head(bytes, &head);
        pd_kv_command_encode(&writer, &(struct pd_kv_command){.kind = PD_KV_SESSION_OPEN,
                                                              .duration_ns = SESSION_NS});
        return port->link->ops->submit(
            port->link, correlation,
            (struct pd_span){bytes, PD_REPLICA_REQUEST_HEAD_SIZE + writer.size});
    }
    if (ticket->is_numbered) {
        ticket->head.session = ticket->session;
        ticket->head.sequence = ticket->sequence;
        ticket->head.low = pd_store_lane_low(ticket);
    }
    pd_replica_request_put_head(ticket->request, &ticket->head);
    return port->link->ops->submit(
        port->link, correlation,
        (struct pd_span){ticket->request, PD_REPLICA_REQUEST_HEAD_SIZE + ticket->body_size});
}

/* The ticket has a place. */
static enum pd_status submit(struct pd_kv_ticket *ticket)
{
    struct pd_store_port *port = ticket->port;
    struct pd_store_place *place = pd_store_place_of(port, ticket->place);
    ticket->ups_seen = atomic_load(&port->ups);
    atomic_store(&place->state, PD_STORE_PLACE_FLYING);
    enum pd_status status = give(ticket);
    if (status == PD_OK) {
        pd_store_count(&port->counters.submitted);
        ticket->stage = PD_STORE_FLYING;
        return PD_OK;
    }
    /* Nothing is under way. A link that was lost just now may have said so already. */
    uint_least32_t flying = PD_STORE_PLACE_FLYING;
    (void)atomic_compare_exchange_strong(&place->state, &flying, PD_STORE_PLACE_HELD);
    return status;
}

/* The body of a watch, from where it stands. */
static void encode_watch(struct pd_kv_ticket *ticket)
{
    uint8_t *body = ticket->request + PD_REPLICA_REQUEST_HEAD_SIZE;
    const uint8_t *parts = body + ticket->room;
    struct pd_kv_writer writer = {.bytes = body, .bytes_max = ticket->room};
    uint32_t held = atomic_load(&ticket->outstanding);
    uint32_t most = ticket->port->config.watch_credit;
    ticket->unreturned = held;
    atomic_store(&ticket->unreturned_seen, held);
    pd_store_watch_encode(&writer, (struct pd_span){parts, ticket->key_size},
                          (struct pd_span){parts + ticket->key_size, ticket->end_size},
                          ticket->watch_flags, ticket->next_revision,
                          held < most ? most - held : 0);
    pd_assert(!writer.is_full);
    ticket->body_size = writer.size;
}

static void depart(struct pd_kv_ticket *ticket, uint64_t now_ns)
{
    static const char full[] = "too many requests wait for the node";
    if (ticket->is_watch) {
        encode_watch(ticket);
    }
    enum pd_status status = submit(ticket);
    if (status == PD_OK) {
        return;
    }
    if (status == PD_ERR_CLOSED) {
        const char *why = ticket->port->link->ops->text(ticket->port->link);
        sleep_for(ticket, now_ns, why, strlen(why));
        wait_for_link(ticket);
    } else {
        sleep_for(ticket, now_ns, full, sizeof full - 1);
    }
}

/* -- Answers ----------------------------------------------------------------------------------- */

/* The answer was not the last: the next request goes out from the same place, and nobody in the
 * line goes first. */
static void keep_place(struct pd_kv_ticket *ticket)
{
    struct pd_store_place *place = pd_store_place_of(ticket->port, ticket->place);
    (void)atomic_fetch_add_explicit(&place->generation, 1, memory_order_relaxed);
    atomic_store(&place->state, PD_STORE_PLACE_HELD);
    ticket->stage = PD_STORE_READY;
}

/* True: it kept its place, and knows its number. */
static bool has_lane(const struct pd_kv_ticket *ticket)
{
    return ticket->place != PD_STORE_NONE && ticket->lane != PD_STORE_NONE;
}

/* The store's own word on a write or read of ours. */
static void judge_store(struct pd_kv_ticket *ticket, uint64_t now_ns, struct pd_span body)
{
    struct pd_kv_reader reader;
    struct pd_kv_answer_head head;
    const char *text = "";
    pd_kv_reader_init(&reader, body);
    pd_kv_answer_head(&reader, &head);
    ticket->revision = head.revision;
    if (!reader.is_bad && ticket->opens_lane && head.error == PD_KV_OK) {
        int64_t session = pd_kv_answer_number(&reader);
        if (reader.is_bad || session == 0) {
            over_text(ticket, PD_KV_CODE_UNAVAILABLE, "the node's session cannot be read");
        } else {
            pd_store_lane_opened(ticket, (uint64_t)session);
            keep_place(ticket);
        }
        return;
    }
    if (ticket->is_numbered && !ticket->opens_lane && head.error == PD_KV_ERR_SESSION_UNKNOWN &&
        !ticket->may_be_done) {
        pd_store_lane_forget(ticket); /* nothing was applied: in a new one */
        pd_store_place_give(ticket, false);
        ticket->stage = PD_STORE_READY;
        return;
    }
    if (head.error == PD_KV_ERR_SESSION_ANSWERS_FULL || head.error == PD_KV_ERR_SESSION_AHEAD) {
        text = pd_kv_error_text(head.error);
        if (has_lane(ticket) && !ticket->opens_lane) {
            pd_store_lane_full(ticket); /* else the lane's `low` waits for it, and it for `low` */
        }
        sleep_for(ticket, now_ns, text, strlen(text));
        return;
    }
    enum pd_kv_code code = pd_store_answer_decode(&reader, &head, ticket->is_get, &ticket->bytes,
                                                  &ticket->size, &text);
    bool is_lost_track =
        head.error == PD_KV_ERR_SESSION_UNKNOWN || head.error == PD_KV_ERR_SESSION_STALE;
    over_text(ticket, is_lost_track && ticket->may_be_done ? PD_KV_CODE_UNKNOWN : code, text);
}

/* This try was refused for good; one before it may have been taken, and then a repetition that is
 * let in brings its answer. */
static void refused_for_good(struct pd_kv_ticket *ticket, uint64_t now_ns, enum pd_kv_code code,
                             const char *text, size_t size)
{
    if (ticket->may_be_done) {
        sleep_for(ticket, now_ns, text, size);
    } else {
        over(ticket, code, text, size);
    }
}

static void judge(struct pd_kv_ticket *ticket, uint64_t now_ns, struct pd_span bytes)
{
    struct pd_replica_answer_head answer;
    if (pd_replica_answer_decode(bytes, &answer) != PD_OK) {
        over_text(ticket, PD_KV_CODE_UNKNOWN,
                  "the node's answer cannot be read: is it of another version?");
        return;
    }
    const char *text = (const char *)answer.body.bytes;
    size_t size = answer.body.size;
    if (answer.outcome != PD_REPLICA_OK && size == 0) {
        text = pd_replica_outcome_text(answer.outcome);
        size = strlen(text);
    }
    switch (answer.outcome) {
    case PD_REPLICA_OK:
        judge_store(ticket, now_ns, answer.body);
        return;
    case PD_REPLICA_UNKNOWN:
        ticket->may_be_done = ticket->may_be_done || (ticket->is_write && !ticket->opens_lane);
        sleep_for(ticket, now_ns, text, size);
        return;
    case PD_REPLICA_NOT_LEADER:
    case PD_REPLICA_NOT_READY:
    case PD_REPLICA_BUSY:
    case PD_REPLICA_DROPPED:
        sleep_for(ticket, now_ns, text, size);
        return;
    case PD_REPLICA_DISK_LOW:
        refused_for_good(ticket, now_ns, PD_KV_CODE_FULL, text, size);
        return;
    case PD_REPLICA_INVALID:
        refused_for_good(ticket, now_ns, PD_KV_CODE_INVALID, text, size);
        return;
    case PD_REPLICA_CANCELLED:
    case PD_REPLICA_OUTCOME_COUNT:
        break;
    }
    over_text(ticket, PD_KV_CODE_UNKNOWN, "the node's answer makes no sense here");
}

/* Asked for, and the link was lost before the answer. */
static void judge_lost(struct pd_kv_ticket *ticket, uint64_t now_ns)
{
    static const char why[] = "the connection to the node was lost";
    ticket->may_be_done = ticket->may_be_done || (ticket->is_write && !ticket->opens_lane);
    ticket->sleeps = 0;
    sleep_for(ticket, now_ns, why, sizeof why - 1);
}

/* The first answer of a watch: it stands, or why not. */
static void judge_watch(struct pd_kv_ticket *ticket, uint64_t now_ns, struct pd_store_news *news)
{
    struct pd_replica_answer_head answer;
    struct pd_replica_watch_head head;
    struct pd_kv_block *block = NULL;
    struct pd_span bytes = {news->bytes, news->size};
    if (pd_replica_answer_decode(bytes, &answer) != PD_OK || answer.outcome != PD_REPLICA_OK) {
        judge(ticket, now_ns, bytes);
        pd_store_news_free(news);
        return;
    }
    if (pd_store_watch_decode(answer.body, &head, &block) != PD_OK ||
        head.kind != PD_REPLICA_WATCH_CREATED) {
        over_text(ticket, PD_KV_CODE_UNKNOWN, "the node's answer to a watch makes no sense");
        pd_free(block);
        pd_store_news_free(news);
        return;
    }
    pd_assert(block == NULL || head.kind == PD_REPLICA_WATCH_CREATED);
    pd_free(block);
    ticket->pending = news->next;
    news->next = NULL;
    pd_store_news_free(news);
    ticket->revision = head.revision;
    ticket->next_revision = head.through_revision + 1;
    ticket->stage = PD_STORE_WATCHING;
}

/* True: an answer was there and is judged. */
static bool take_answer(struct pd_kv_ticket *ticket, uint64_t now_ns)
{
    struct pd_store_port *port = ticket->port;
    struct pd_store_place *place = pd_store_place_of(port, ticket->place);
    bool is_last =
        atomic_load_explicit(&place->state, memory_order_acquire) == PD_STORE_PLACE_ANSWERED;
    if (!is_last && !ticket->is_watch) {
        return false;
    }
    struct pd_store_news *news = pd_store_news_take(port, place);
    if (news == NULL && is_last) {
        judge_lost(ticket, now_ns);
    } else if (news != NULL && ticket->is_watch) {
        judge_watch(ticket, now_ns, news);
    } else if (news != NULL) {
        judge(ticket, now_ns, (struct pd_span){news->bytes, news->size});
        pd_store_news_free(news);
    }
    return news != NULL || is_last;
}

/* -- Steps ------------------------------------------------------------------------------------- */

/* True: it is time to try again. */
static bool has_slept(struct pd_kv_ticket *ticket, uint64_t now_ns)
{
    struct pd_store_port *port = ticket->port;
    bool is_up = ticket->waits_for_link && atomic_load(&port->ups) != ticket->ups_seen;
    if (!is_up && now_ns < ticket->retry_at_ns) {
        return false;
    }
    if (ticket->waits_for_link) {
        ticket->waits_for_link = false;
        pd_store_line_leave(ticket);
    }
    ticket->stage = PD_STORE_READY;
    return true;
}

/* True: the ticket moved on. */
static bool move(struct pd_kv_ticket *ticket, uint64_t now_ns)
{
    switch (ticket->stage) {
    case PD_STORE_READY:
        if (has_lane(ticket) || pd_store_place_take(ticket)) {
            depart(ticket, now_ns);
            return true;
        }
        if (ticket->is_watch) {
            over_text(ticket, PD_KV_CODE_FULL, "as many watches are held here as may be");
        }
        return ticket->is_watch;
    case PD_STORE_FLYING:
        return take_answer(ticket, now_ns);
    case PD_STORE_SLEEPING:
        return has_slept(ticket, now_ns);
    case PD_STORE_OVER:
    case PD_STORE_WATCHING:
        break;
    }
    return false;
}

static bool is_settled(const struct pd_kv_ticket *ticket)
{
    return ticket->stage == PD_STORE_OVER || ticket->stage == PD_STORE_WATCHING;
}

static bool step(struct pd_kv_ticket *ticket, uint64_t now_ns, uint64_t *wake_at_ns)
{
    while (!is_settled(ticket) && move(ticket, now_ns)) {
        /* The next stage may have something to do at once. */
    }
    if (!is_settled(ticket) && now_ns >= ticket->deadline_ns) {
        expire(ticket);
    }
    *wake_at_ns = ticket->deadline_ns;
    if (ticket->stage == PD_STORE_SLEEPING && ticket->retry_at_ns < ticket->deadline_ns) {
        *wake_at_ns = ticket->retry_at_ns;
    }
    return is_settled(ticket);
}

static void result(const struct pd_kv_ticket *ticket, struct pd_kv_result *result_out)
{
    pd_assert(is_settled(ticket));
    *result_out = (struct pd_kv_result){.code = ticket->code,
                                        .revision = ticket->revision,
                                        .bytes = {ticket->bytes, ticket->size},
                                        .text = ticket->text[0] != '\0' ? ticket->text : "failed"};
}

static uint8_t *take(struct pd_kv_ticket *ticket)
{
    uint8_t *bytes = ticket->bytes;
    ticket->bytes = NULL;
    ticket->size = 0;
    return bytes;
}

/* -- Watches ----------------------------------------------------------------------------------- */

static struct pd_kv_block *end_watch(struct pd_kv_ticket *ticket, enum pd_kv_code code,
                                     const char *text, size_t size)
{
    struct pd_kv_block *block = pd_store_watch_ended(code, ticket->next_revision - 1, text, size);
    if (block == NULL) {
        ticket->is_behind = true; /* later */
        return NULL;
    }
    pd_store_news_free(ticket->pending);
    ticket->pending = NULL;
    ticket->stage = PD_STORE_OVER;
    pd_store_place_give(ticket, true);
    return block;
}

static struct pd_kv_block *refused(struct pd_kv_ticket *ticket,
                                   const struct pd_replica_answer_head *answer)
{
    struct pd_replica_watch_head head;
    struct pd_kv_block *none = NULL;
    struct pd_span text = answer->body;
    enum pd_kv_code code =
        answer->outcome == PD_REPLICA_INVALID ? PD_KV_CODE_INVALID : PD_KV_CODE_UNAVAILABLE;
    if (answer->outcome == PD_REPLICA_CANCELLED &&
        pd_store_watch_decode(answer->body, &head, &none) == PD_OK) {
        text = head.reason;
        code = head.compact_revision != 0 ? PD_KV_CODE_COMPACTED : PD_KV_CODE_UNAVAILABLE;
    }
    pd_free(none);
    return end_watch(ticket, code, (const char *)text.bytes, text.size);
}

/* One answer. NULL: it brought nothing. */
static struct pd_kv_block *take_events(struct pd_kv_ticket *ticket,
                                       const struct pd_store_news *news)
{
    static const char unreadable[] = "the node's answer cannot be read: is it of another version?";
    struct pd_replica_answer_head answer;
    struct pd_replica_watch_head head;
    struct pd_kv_block *block = NULL;
    if (pd_replica_answer_decode((struct pd_span){news->bytes, news->size}, &answer) != PD_OK) {
        return end_watch(ticket, PD_KV_CODE_UNKNOWN, unreadable, sizeof unreadable - 1);
    }
    if (answer.outcome != PD_REPLICA_OK) {
        return refused(ticket, &answer);
    }
    enum pd_status status = pd_store_watch_decode(answer.body, &head, &block);
    if (status == PD_ERR_NO_MEMORY) {
        ticket->is_behind = true;
        return NULL;
    }
    if (status != PD_OK || answer.body.size > UINT32_MAX / 4) {
        pd_free(block);
        return end_watch(ticket, PD_KV_CODE_UNKNOWN, unreadable, sizeof unreadable - 1);
    }
    if (head.kind != PD_REPLICA_WATCH_CREATED) {
        ticket->unreturned += (uint32_t)answer.body.size;
        atomic_store(&ticket->unreturned_seen, ticket->unreturned);
    }
    if (!head.is_fragment) {
        ticket->next_revision = head.through_revision + 1;
    }
    if (block != NULL) {
        block->cost = (uint32_t)answer.body.size;
        (void)atomic_fetch_add(&ticket->outstanding, block->cost);
    }
    return block;
}

/* What lies between what the node gave and what the actor still holds goes back. */
static void return_credit(struct pd_kv_ticket *ticket)
{
    struct pd_store_port *port = ticket->port;
    uint32_t spare = ticket->unreturned - atomic_load(&ticket->outstanding);
    if (ticket->place == PD_STORE_NONE || spare < port->config.watch_credit / 4) {
        return;
    }
    uint8_t bytes[PD_REPLICA_REQUEST_HEAD_SIZE + 32];
    const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_WATCH_CREDIT,
                                                 .number =
                                                     pd_store_correlation(port, ticket->place)};
    struct pd_kv_writer writer = {.bytes = bytes + PD_REPLICA_REQUEST_HEAD_SIZE, .bytes_max = 32};
    pd_replica_request_put_head(bytes, &head);
    pd_replica_watch_credit_put(&writer, &(struct pd_replica_watch_credit){.credit = spare});
    pd_assert(!writer.is_full);
    enum pd_status status = port->link->ops->submit(
        port->link, 0, (struct pd_span){bytes, PD_REPLICA_REQUEST_HEAD_SIZE + writer.size});
    if (status == PD_OK) {
        ticket->unreturned -= spare;
        atomic_store(&ticket->unreturned_seen, ticket->unreturned);
    } else if (status != PD_ERR_CLOSED) {
        ticket->is_behind = true;
    }
}

/* After the link was lost: again from where it stands. NULL, or its end. */
static struct pd_kv_block *resume_watch(struct pd_kv_ticket *ticket)
{
    static const char full[] = "as many watches are held here as may be";
    if (!pd_store_place_take(ticket)) {
        return end_watch(ticket, PD_KV_CODE_FULL, full, sizeof full - 1);
    }
    encode_watch(ticket);
    enum pd_status status = submit(ticket);
    if (status == PD_OK) {
        ticket->stage = PD_STORE_WATCHING;
        return NULL;
    }
    pd_store_place_give(ticket, false);
    if (status == PD_ERR_CLOSED) {
        wait_for_link(ticket);
        ticket->is_behind = atomic_load(&ticket->port->ups) != ticket->ups_seen;
    } else {
        ticket->is_behind = true;
    }
    return NULL;
}

/* Move what has come to `pending`. True: the link was lost, and all that came is there. */
static bool gather(struct pd_kv_ticket *ticket)
{
    struct pd_store_port *port = ticket->port;
    struct pd_store_place *place = pd_store_place_of(port, ticket->place);
    bool is_last =
        atomic_load_explicit(&place->state, memory_order_acquire) == PD_STORE_PLACE_ANSWERED;
    struct pd_store_news **end = &ticket->pending;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = pd_store_news_take(port, place);
    return is_last && place->is_lost;
}

static struct pd_kv_block *next(struct pd_kv_ticket *ticket)
{
    struct pd_kv_block *block = NULL;
    bool is_lost = false;
    if (ticket->stage != PD_STORE_WATCHING) {
        return NULL;
    }
    ticket->is_behind = false;
    if (ticket->place != PD_STORE_NONE) {
        is_lost = gather(ticket);
    }
    while (ticket->pending != NULL && block == NULL && !ticket->is_behind) {
        struct pd_store_news *news = ticket->pending;
        block = take_events(ticket, news);
        if (ticket->pending == news && !ticket->is_behind) { /* it did not end */
            ticket->pending = news->next;
            news->next = NULL;
            pd_store_news_free(news);
        }
    }
    if (ticket->stage != PD_STORE_WATCHING) {
        return block;
    }
    if (is_lost) {
        pd_store_place_give(ticket, false);
    }
    if (ticket->place == PD_STORE_NONE && ticket->pending == NULL && block == NULL) {
        return resume_watch(ticket);
    }
    return_credit(ticket);
    return block;
}

static bool is_behind(const struct pd_kv_ticket *ticket)
{
    return ticket->is_behind;
}

static void drop(struct pd_kv_ticket *ticket)
{
    if (atomic_fetch_sub_explicit(&ticket->references, 1, memory_order_acq_rel) == 1) {
        pd_free(ticket);
    }
}

static void retain(struct pd_kv_ticket *ticket)
{
    (void)atomic_fetch_add_explicit(&ticket->references, 1, memory_order_relaxed);
}

static void give_back(struct pd_kv_ticket *ticket, uint32_t cost)
{
    uint32_t left = atomic_fetch_sub(&ticket->outstanding, cost) - cost;
    uint32_t spare = atomic_load(&ticket->unreturned_seen) - left;
    if (!atomic_load(&ticket->is_released) && spare >= ticket->port->config.watch_credit / 4) {
        ticket->port->interface.wake(ticket->process); /* it returns the credit */
    }
    drop(ticket);
}

/* -- The end ----------------------------------------------------------------------------------- */

static void unwatch(struct pd_kv_ticket *ticket)
{
    struct pd_store_port *port = ticket->port;
    uint8_t bytes[PD_REPLICA_REQUEST_HEAD_SIZE];
    const struct pd_replica_request_head head = {
        .kind = PD_REPLICA_REQUEST_UNWATCH, .number = pd_store_correlation(port, ticket->place)};
    pd_replica_request_put_head(bytes, &head);
    /* If there is no room: whatever comes for it meets an abandoned place, which tells again. */
    enum pd_status status =
        port->link->ops->submit(port->link, 0, (struct pd_span){bytes, sizeof bytes});
    (void)status;
}

static void release(struct pd_kv_ticket *ticket)
{
    struct pd_store_port *port = ticket->port;
    pd_store_line_leave(ticket);
    if (ticket->is_watch && ticket->place != PD_STORE_NONE) {
        unwatch(ticket);
    }
    pd_store_place_give(ticket, true);
    pd_store_news_free(ticket->pending);
    ticket->pending = NULL;
    pd_free(ticket->bytes);
    ticket->bytes = NULL;
    (void)atomic_fetch_sub(&port->request_bytes, ticket->held);
    atomic_store(&ticket->is_released, true);
    drop(ticket);
}

static void flush(struct pd_kv_port *interface, bool is_last)
{
    struct pd_store_port *port = port_of(interface);
    if (port->link->ops->flush != NULL) {
        port->link->ops->flush(port->link, is_last);
    }
}

static void settle(struct pd_kv_port *interface)
{
    struct pd_store_port *port = port_of(interface);
    struct pd_host *host = port->config.host;
    struct pd_event event = {0};
    while (atomic_load(&port->waking) > 0) {
        (void)host->ops->event_wait(host, &event, pd_host_now_ns(host) + SETTLE_NS);
    }
}

/* -- Without a wait ---------------------------------------------------------------------------- */

static enum pd_status get_now(struct pd_kv_port *interface, struct pd_span key, uint8_t *room,
                              size_t room_max, size_t *size_out)
{
    struct pd_store_port *port = port_of(interface);
    if (port->link->ops->read_hot == NULL) {
        return PD_ERR_RANGE;
    }
    size_t half = room_max / 2;
    struct pd_kv_record record;
    enum pd_status status =
        port->link->ops->read_hot(port->link, key, room + half, room_max - half, &record);
    if (status != PD_OK) {
        return status;
    }
    record.key = key;
    *size_out = PD_KV_PORT_RECORD_SIZE + record.key.size + record.value.size;
    if (*size_out > half) {
        return PD_ERR_RANGE;
    }
    pd_store_record_put(room, &record);
    return PD_OK;
}

const struct pd_kv_port_ops pd_store_port_ops = {
    .get_now = get_now,
    .begin = begin,
    .step = step,
    .result = result,
    .take = take,
    .next = next,
    .is_behind = is_behind,
    .retain = retain,
    .give_back = give_back,
    .release = release,
    .flush = flush,
    .settle = settle,
};
