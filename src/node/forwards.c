/* Requests that only the leader can serve, at a node that does not lead.
 *
 *                  a leader is known, the session has room
 *   take -> WAITS ---------------------------------------> SENT -> answered
 *             ^                                             |
 *             '-- nothing was done, or the session sees to it '-> the leader is lost, or another
 *
 * A write without a session of its client's is numbered in a session of this node. A request that
 * may have happened, and whose repetition nobody would notice, is not asked for again: its outcome
 * is unknown. The same holds when the session turns out to be gone.
 *
 * Numbers  A session's numbers are given in the order of sending; `low` is the lowest one without
 *          an answer, and goes along with each. A request that is given up keeps its number: it can
 *          happen no more when `low` has passed it. One that the session has no room for gives its
 *          number back: else `low` would wait for it, and the answers above hold the room.
 * Frames   mark u8, kind u8, 0 u16, group u32, cluster u64, number u64; then a request or an
 *          answer of replica_request.h. The number is the asking node's; it begins at random, so
 *          that an answer to a former life of that node finds nobody. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/mutant.h"
#include "base/sometimes.h"
#include "kv/answer.h"
#include "node/forwards.h"

#define FRAME_MARK 0xf1u /* a replica's frames begin with their version */
#define FRAME_REQUEST 1u
#define FRAME_ANSWER 2u
#define FRAME_SIZE 24u
#define SMALL_BYTES 65536u /* what may stand in raft's way */
#define SECOND_NS UINT64_C(1000000000)
#define SESSION_NS (60 * SECOND_NS)
#define NONE PD_FORWARD_NONE
#define AT_ONCE 256u /* are looked at in a turn */

static void count(atomic_uint_least64_t *counter)
{
    (void)atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* -- Places ------------------------------------------------------------------------------------ */

/* One more than clients may have: the session that they wait for finds a place whatever they do. */
static uint32_t places_of(const struct pd_forwards *forwards)
{
    return forwards->config.forwards_max + 1;
}

enum pd_status pd_forwards_init(struct pd_forwards *forwards,
                                const struct pd_forwards_config *config)
{
    pd_assert(config->forwards_max > 0 && config->forwards_max < UINT16_MAX);
    forwards->config = *config;
    forwards->places = pd_alloc_zeroed(places_of(forwards), sizeof *forwards->places);
    forwards->served = pd_alloc_zeroed(config->forwards_max, sizeof *forwards->served);
    if (forwards->places == NULL || forwards->served == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < config->forwards_max; i++) {
        forwards->places[i].next = i + 1;
        forwards->served[i].next = i + 1 == config->forwards_max ? NONE : i + 1;
    }
    forwards->places[config->forwards_max].next = NONE;
    for (uint32_t i = 0; i < PD_FORWARD_WINDOW; i++) {
        forwards->session.window[i] = NONE;
    }
    forwards->waits_first = NONE;
    forwards->waits_last = NONE;
    forwards->id_base = config->random & ~(uint64_t)UINT32_MAX;
    return PD_OK;
}

void pd_forwards_begin(struct pd_forwards *forwards, struct pd_replica *replica,
                       struct pd_transport *transport)
{
    forwards->replica = replica;
    forwards->transport = transport;
}

void pd_forwards_clock(struct pd_forwards *forwards, uint64_t now_ns)
{
    forwards->now_ns = now_ns;
}

void pd_forwards_deinit(struct pd_forwards *forwards)
{
    for (uint32_t i = 0; forwards->places != NULL && i < places_of(forwards); i++) {
        pd_free(forwards->places[i].bytes);
    }
    pd_free(forwards->places);
    pd_free(forwards->served);
}

static uint32_t place_of(const struct pd_forwards *forwards, const struct pd_forward *forward)
{
    return (uint32_t)(forward - forwards->places);
}

static uint64_t number_of(const struct pd_forwards *forwards, const struct pd_forward *forward)
{
    uint64_t generation = PD_MUTANT(NODE_FORWARD_ANSWER_MISTAKEN) ? 0 : forward->generation;
    return forwards->id_base | generation << 16 | place_of(forwards, forward);
}

/* NULL: of a former life, or answered already. */
static struct pd_forward *find(struct pd_forwards *forwards, uint64_t number)
{
    uint32_t at = (uint32_t)(number & UINT16_MAX);
    if (at >= places_of(forwards)) {
        return NULL;
    }
    struct pd_forward *forward = &forwards->places[at];
    return forward->state == PD_FORWARD_SENT && number_of(forwards, forward) == number ? forward
                                                                                       : NULL;
}

/* Where the one at this place names who comes behind it; NONE: where the first one is named. */
static uint32_t *link_to(struct pd_forwards *forwards, uint32_t at)
{
    return at == NONE ? &forwards->waits_first : &forwards->places[at].next;
}

/* Where it names who comes before it; NONE: where the last one is named. */
static uint32_t *link_back_to(struct pd_forwards *forwards, uint32_t at)
{
    return at == NONE ? &forwards->waits_last : &forwards->places[at].previous;
}

/* At the end; what opens the session that others wait for, before all of them: a turn does not look
 * at the whole line. */
static void line_up(struct pd_forwards *forwards, struct pd_forward *forward)
{
    uint32_t at = place_of(forwards, forward);
    forward->state = PD_FORWARD_WAITS;
    bool goes_first = forward->kind == PD_FORWARD_OPENING;
    forward->previous = goes_first ? NONE : forwards->waits_last;
    forward->next = goes_first ? forwards->waits_first : NONE;
    *link_to(forwards, forward->previous) = at;
    *link_back_to(forwards, forward->next) = at;
}

/* Whatever was lined up since it was found. */
static void leave_line(struct pd_forwards *forwards, struct pd_forward *forward)
{
    *link_to(forwards, forward->previous) = forward->next;
    *link_back_to(forwards, forward->next) = forward->previous;
    forward->next = NONE;
    forward->previous = NONE;
}

/* Its number is answered, or given up: `low` passes it. */
static void leave_session(struct pd_forwards *forwards, struct pd_forward *forward)
{
    bool is_current = forward->session != 0 && forward->session == forwards->session.id;
    if (is_current) {
        forwards->session.window[forward->sequence % PD_FORWARD_WINDOW] = NONE;
        while (forwards->session.low < forwards->session.next &&
               forwards->session.window[forwards->session.low % PD_FORWARD_WINDOW] == NONE) {
            forwards->session.low++;
        }
    }
    forward->session = 0;
    forward->sequence = 0;
}

/* It has left its line. */
static void release(struct pd_forwards *forwards, struct pd_forward *forward)
{
    leave_session(forwards, forward);
    forwards->count--;
    forwards->bytes -= forward->size;
    pd_free(forward->bytes);
    *forward = (struct pd_forward){.generation = (uint16_t)(forward->generation + 1),
                                   .next = forwards->place_free};
    forwards->place_free = place_of(forwards, forward);
}

/* NULL: clients have as much as they may; never for what opens the session, but without memory. */
static struct pd_forward *acquire(struct pd_forwards *forwards, enum pd_forward_kind kind,
                                  const uint8_t *bytes, size_t size)
{
    uint32_t others = forwards->session.is_opening ? 1 : 0;
    bool is_full = forwards->count - others >= forwards->config.forwards_max ||
                   forwards->bytes + size > forwards->config.bytes_max;
    uint8_t *copy = NULL;
    if ((is_full && kind != PD_FORWARD_OPENING) || (copy = pd_alloc(size)) == NULL) {
        return NULL;
    }
    struct pd_forward *forward = &forwards->places[forwards->place_free];
    forwards->place_free = forward->next;
    forwards->count++;
    forwards->bytes += size;
    memcpy(copy, bytes, size);
    forward->kind = kind;
    forward->bytes = copy;
    forward->size = size;
    forward->deadline_ns = forwards->now_ns + forwards->config.patience_ns;
    line_up(forwards, forward);
    return forward;
}

/* -- Answers ----------------------------------------------------------------------------------- */

static void tell(struct pd_forwards *forwards, const struct pd_forward *forward,
                 struct pd_span answer)
{
    if (forward->client_id != 0) {
        forwards->config.answer(forwards->config.state, forward, answer);
    }
}

static void tell_text(struct pd_forwards *forwards, const struct pd_forward *forward,
                      enum pd_replica_outcome outcome, const char *text)
{
    uint8_t room[PD_REPLICA_ANSWER_HEAD_SIZE + 128];
    size_t size = strlen(text);
    pd_assert(size <= sizeof room - PD_REPLICA_ANSWER_HEAD_SIZE);
    pd_replica_answer_put_head(
        room, &(struct pd_replica_answer_head){.outcome = outcome,
                                               .leader = pd_replica_leader(forwards->replica)});
    memcpy(room + PD_REPLICA_ANSWER_HEAD_SIZE, text, size);
    tell(forwards, forward, (struct pd_span){room, PD_REPLICA_ANSWER_HEAD_SIZE + size});
}

static void give_up(struct pd_forwards *forwards, struct pd_forward *forward)
{
    if (forward->kind == PD_FORWARD_OPENING) {
        forwards->session.is_opening = false;
    } else if (forward->is_uncertain && !PD_MUTANT(NODE_FORWARD_UNKNOWN_IS_REFUSED)) {
        PD_SOMETIMES(NODE_FORWARD_UNKNOWN, true);
        tell_text(forwards, forward, PD_REPLICA_UNKNOWN,
                  "the leader was lost before it answered: it may still happen");
    } else {
        PD_SOMETIMES(NODE_FORWARD_GIVEN_UP, true);
        tell_text(forwards, forward, PD_REPLICA_NOT_READY,
                  "no leader took it in time: nothing was done, try again");
    }
    release(forwards, forward);
}

/* Whether something sees to it that asking twice comes to the same as asking once. */
static bool happens_once(const struct pd_forwards *forwards, const struct pd_forward *forward)
{
    switch (forward->kind) {
    case PD_FORWARD_PLAIN:
        return false;
    case PD_FORWARD_NUMBERED:
        return forward->session != 0 && forward->session == forwards->session.id;
    case PD_FORWARD_IN_SESSION:
    case PD_FORWARD_REPEATABLE:
    case PD_FORWARD_LEAVE:
    case PD_FORWARD_OPENING:
        return true;
    }
    return false;
}

/* It is in no line. */
static void again(struct pd_forwards *forwards, struct pd_forward *forward, bool at_once)
{
    if (forward->is_uncertain && !happens_once(forwards, forward)) {
        give_up(forwards, forward);
        return;
    }
    count(&forwards->counters.again);
    PD_SOMETIMES(NODE_FORWARD_AGAIN, forward->is_uncertain && forward->kind == PD_FORWARD_NUMBERED);
    forward->again_ns = at_once ? 0 : forwards->now_ns + forwards->config.tick_ns;
    line_up(forwards, forward);
}

static enum pd_kv_error error_of(const struct pd_replica_answer_head *head)
{
    struct pd_kv_reader reader;
    struct pd_kv_answer_head answer;
    pd_kv_reader_init(&reader, head->body);
    pd_kv_answer_head(&reader, &answer);
    return reader.is_bad ? PD_KV_OK : answer.error;
}

static void session_opened(struct pd_forwards *forwards, const struct pd_replica_answer_head *head)
{
    struct pd_kv_reader reader;
    struct pd_kv_answer_head answer;
    forwards->session.is_opening = false;
    pd_kv_reader_init(&reader, head->body);
    pd_kv_answer_head(&reader, &answer);
    uint64_t id = (uint64_t)pd_kv_answer_number(&reader);
    if (head->outcome == PD_REPLICA_OK && !reader.is_bad && answer.error == PD_KV_OK && id != 0) {
        forwards->session.id = id;
        forwards->session.next = 1;
        forwards->session.low = 1;
        forwards->session.used_ns = forwards->now_ns;
        forwards->session.width = pd_session_width_of(PD_FORWARD_WINDOW);
    }
}

/* Those that have numbers in it keep them, and are not asked for again once they are uncertain. */
static void forget_session(struct pd_forwards *forwards)
{
    forwards->session.id = 0;
    for (uint32_t i = 0; i < PD_FORWARD_WINDOW; i++) {
        forwards->session.window[i] = NONE;
    }
}

/* What this node's session says to a request, and its client knows nothing of. true: the request
 * was seen to. */
static bool session_refuses(struct pd_forwards *forwards, struct pd_forward *forward,
                            enum pd_kv_error error)
{
    if (error == PD_KV_ERR_SESSION_UNKNOWN) {
        if (forward->session == forwards->session.id) {
            forget_session(forwards);
        }
        if (!forward->is_uncertain) {
            leave_session(forwards, forward); /* it gets a number in the next one */
        }
        again(forwards, forward, true);
        return true;
    }
    if (error == PD_KV_ERR_SESSION_ANSWERS_FULL || error == PD_KV_ERR_SESSION_AHEAD) {
        if (forward->session == forwards->session.id) {
            pd_session_width_refused(&forwards->session.width, forward->sequence,
                                     forwards->session.next);
        }
        if (!forward->is_uncertain) {
            leave_session(forwards, forward);
        }
        again(forwards, forward, false);
        return true;
    }
    return false;
}

/* The client's session has refused this try, and can say no more of one before it. */
static bool is_lost_track(const struct pd_forward *forward,
                          const struct pd_replica_answer_head *head)
{
    enum pd_kv_error error = error_of(head);
    return forward->is_uncertain && forward->kind == PD_FORWARD_IN_SESSION &&
           (error == PD_KV_ERR_SESSION_UNKNOWN || error == PD_KV_ERR_SESSION_STALE ||
            error == PD_KV_ERR_SESSION_AHEAD || error == PD_KV_ERR_SESSION_ANSWERS_FULL);
}

/* It has an answer that is not one of these: nothing was done, nobody knows. */
static void complete(struct pd_forwards *forwards, struct pd_forward *forward,
                     const struct pd_replica_answer_head *head, struct pd_span bytes)
{
    if (forward->is_uncertain && head->outcome != PD_REPLICA_OK) {
        /* This try was refused; one before it may have been taken. */
        again(forwards, forward, false);
        return;
    }
    if (forward->kind == PD_FORWARD_OPENING) {
        session_opened(forwards, head);
    } else if (forward->kind == PD_FORWARD_NUMBERED && head->outcome == PD_REPLICA_OK &&
               session_refuses(forwards, forward, error_of(head))) {
        return;
    } else if (is_lost_track(forward, head)) {
        tell_text(forwards, forward, PD_REPLICA_UNKNOWN,
                  "the leader was lost, and then the session refused: it may have happened");
    } else {
        if (forward->session != 0 && forward->session == forwards->session.id) {
            pd_session_width_answered(&forwards->session.width);
        }
        PD_SOMETIMES(NODE_FORWARD_ANSWERED, forward->sent_to != forwards->config.node_id);
        tell(forwards, forward, bytes);
    }
    release(forwards, forward);
}

/* The leader's answer, or this node's own. */
static void answered(struct pd_forwards *forwards, struct pd_forward *forward, struct pd_span bytes)
{
    struct pd_replica_answer_head head;
    if (pd_replica_answer_decode(bytes, &head) != PD_OK) {
        return; /* not an answer: its time will end it */
    }
    switch (head.outcome) {
    case PD_REPLICA_NOT_LEADER:
    case PD_REPLICA_NOT_READY:
    case PD_REPLICA_DROPPED:
        again(forwards, forward, false);
        return;
    case PD_REPLICA_UNKNOWN:
        forward->is_uncertain = true;
        again(forwards, forward, false);
        return;
    case PD_REPLICA_OK:
    case PD_REPLICA_BUSY:
    case PD_REPLICA_DISK_LOW:
    case PD_REPLICA_INVALID:
    case PD_REPLICA_CANCELLED:
    case PD_REPLICA_OUTCOME_COUNT:
        break;
    }
    complete(forwards, forward, &head, bytes);
}

/* -- Sending ----------------------------------------------------------------------------------- */

static void open_session(struct pd_forwards *forwards)
{
    uint8_t room[PD_REPLICA_REQUEST_HEAD_SIZE + 64];
    struct pd_kv_writer writer = {.bytes = room + PD_REPLICA_REQUEST_HEAD_SIZE, .bytes_max = 64};
    if (forwards->session.is_opening) {
        return;
    }
    pd_kv_command_encode(&writer, &(struct pd_kv_command){.kind = PD_KV_SESSION_OPEN,
                                                          .duration_ns = SESSION_NS,
                                                          .window = PD_FORWARD_WINDOW});
    pd_assert(!writer.is_full);
    pd_replica_request_put_head(
        room, &(struct pd_replica_request_head){.kind = PD_REPLICA_REQUEST_WRITE});
    forwards->session.is_opening = acquire(forwards, PD_FORWARD_OPENING, room,
                                           PD_REPLICA_REQUEST_HEAD_SIZE + writer.size) != NULL;
}

/* Its place in the session, written into the request. false: it must wait. */
static bool enter_session(struct pd_forwards *forwards, struct pd_forward *forward)
{
    bool is_idle = forwards->session.low == forwards->session.next;
    if (forwards->session.id != 0 && is_idle &&
        forwards->now_ns - forwards->session.used_ns > SESSION_NS / 2) {
        forget_session(forwards); /* it may have ended by now */
    }
    if (forwards->session.id == 0) {
        open_session(forwards);
        return false;
    }
    if (forward->session != forwards->session.id) {
        leave_session(forwards, forward); /* none of its tries was taken: it begins anew */
    }
    if (forward->session == 0 || (forward->is_uncertain && PD_MUTANT(NODE_FORWARD_NUMBERED_ANEW))) {
        if (forwards->session.next - forwards->session.low >= forwards->session.width.width) {
            return false;
        }
        forward->session = forwards->session.id;
        forward->sequence = forwards->session.next++;
        forwards->session.window[forward->sequence % PD_FORWARD_WINDOW] =
            place_of(forwards, forward);
    }
    forwards->session.used_ns = forwards->now_ns;
    struct pd_replica_request_head head;
    enum pd_status status =
        pd_replica_request_decode((struct pd_span){forward->bytes, forward->size}, &head);
    pd_assert(status == PD_OK); /* it was when it was taken */
    head.session = forward->session;
    head.sequence = forward->sequence;
    head.low = forwards->session.low;
    pd_replica_request_put_head(forward->bytes, &head);
    return true;
}

static void put_frame(const struct pd_forwards *forwards, uint8_t *frame, uint8_t kind,
                      uint64_t number)
{
    memset(frame, 0, FRAME_SIZE);
    frame[0] = FRAME_MARK;
    frame[1] = kind;
    pd_put_u32(frame + 4, forwards->config.group_id);
    pd_put_u64(frame + 8, forwards->config.cluster_id);
    pd_put_u64(frame + 16, number);
}

/* PD_OK: it may arrive. */
static enum pd_status send_frame(struct pd_forwards *forwards, uint64_t node, uint8_t kind,
                                 uint64_t number, struct pd_span bytes)
{
    struct pd_transport *transport = forwards->transport;
    uint8_t *frame = pd_alloc(FRAME_SIZE + bytes.size);
    if (frame == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    put_frame(forwards, frame, kind, number);
    memcpy(frame + FRAME_SIZE, bytes.bytes, bytes.size);
    enum pd_transport_lane lane = bytes.size > SMALL_BYTES ? PD_TRANSPORT_BULK : PD_TRANSPORT_RAFT;
    enum pd_status status = transport->ops->send(transport, node, lane,
                                                 (struct pd_span){frame, FRAME_SIZE + bytes.size});
    pd_free(frame);
    return status;
}

/* It has left its line, and goes to who leads. */
static void send_to(struct pd_forwards *forwards, struct pd_forward *forward, uint64_t leader)
{
    uint64_t number = number_of(forwards, forward);
    forward->state = PD_FORWARD_SENT;
    forward->sent_to = leader;
    if (leader == forwards->config.node_id) {
        PD_SOMETIMES(NODE_FORWARD_LEADS_ITSELF, true);
        pd_replica_request(forwards->replica, forward->asked_ns, PD_FORWARD_CLIENT_SELF, number,
                           forward->bytes, forward->size);
        return;
    }
    enum pd_status status = send_frame(forwards, leader, FRAME_REQUEST, number,
                                       (struct pd_span){forward->bytes, forward->size});
    if (status == PD_ERR_RANGE) {
        tell_text(forwards, forward, PD_REPLICA_INVALID, "too large to be passed on to the leader");
        release(forwards, forward);
    } else if (status != PD_OK) {
        again(forwards, forward, false); /* not connected, or slower than we are: nothing left */
    }
}

/* Those that wait, oldest first. true: one was sent. */
static bool send_waiting(struct pd_forwards *forwards, uint64_t leader)
{
    uint32_t last = forwards->waits_last;
    uint32_t at = forwards->waits_first;
    bool is_any = false;
    for (uint32_t i = 0; i < AT_ONCE && at != NONE; i++) {
        struct pd_forward *forward = &forwards->places[at];
        uint32_t next = forward->next;
        bool is_last = at == last; /* who joins now has its turn in the next round */
        if (forward->is_uncertain && !happens_once(forwards, forward)) {
            leave_line(forwards, forward); /* its session went while it stood here */
            give_up(forwards, forward);
            at = is_last ? NONE : next;
            continue;
        }
        bool waits = forward->again_ns > forwards->now_ns ||
                     (forward->kind == PD_FORWARD_NUMBERED && !enter_session(forwards, forward));
        if (waits) {
            PD_SOMETIMES(NODE_FORWARD_SESSION_WAITS, forward->again_ns <= forwards->now_ns);
        } else {
            leave_line(forwards, forward);
            send_to(forwards, forward, leader);
            is_any = true;
        }
        at = is_last ? NONE : next;
    }
    return is_any;
}

/* -- What the core calls ----------------------------------------------------------------------- */

static bool only_leader_serves(uint8_t kind)
{
    return kind == PD_REPLICA_REQUEST_WRITE || kind == PD_REPLICA_REQUEST_ADD_LEARNER ||
           kind == PD_REPLICA_REQUEST_PROMOTE || kind == PD_REPLICA_REQUEST_REMOVE ||
           kind == PD_REPLICA_REQUEST_TRANSFER || kind == PD_REPLICA_REQUEST_LEAVE ||
           kind == PD_REPLICA_REQUEST_HEARD;
}

static void refuse(struct pd_forwards *forwards, uint64_t client_id, uint64_t correlation)
{
    const struct pd_forward nobody = {.client_id = client_id, .correlation = correlation};
    tell_text(forwards, &nobody, PD_REPLICA_BUSY,
              "too many requests wait for the leader: try again");
}

bool pd_forwards_take(struct pd_forwards *forwards, uint64_t asked_ns, uint64_t client,
                      uint64_t correlation, struct pd_span bytes)
{
    struct pd_replica_request_head head;
    if (forwards->transport == NULL || pd_replica_request_decode(bytes, &head) != PD_OK ||
        !only_leader_serves((uint8_t)head.kind) ||
        pd_replica_leader(forwards->replica) == forwards->config.node_id) {
        return false;
    }
    enum pd_forward_kind kind = PD_FORWARD_PLAIN;
    if (head.kind == PD_REPLICA_REQUEST_WRITE && head.session != 0) {
        kind = PD_FORWARD_IN_SESSION;
    } else if (head.kind == PD_REPLICA_REQUEST_WRITE) {
        kind = pd_replica_is_repeatable(forwards->replica, head.body) ? PD_FORWARD_REPEATABLE
                                                                      : PD_FORWARD_NUMBERED;
    } else if (head.kind == PD_REPLICA_REQUEST_LEAVE) {
        kind = PD_FORWARD_LEAVE;
    } else if (head.kind == PD_REPLICA_REQUEST_HEARD) {
        kind = PD_FORWARD_REPEATABLE;
    }
    struct pd_forward *forward = acquire(forwards, kind, bytes.bytes, bytes.size);
    if (forward == NULL) {
        refuse(forwards, client, correlation);
        return true;
    }
    count(&forwards->counters.forwards);
    forward->client_id = client;
    forward->correlation = correlation;
    forward->asked_ns = asked_ns;
    forward->begun_ns = forwards->now_ns;
    return true;
}

void pd_forwards_left(struct pd_forwards *forwards)
{
    for (uint32_t i = 0; forwards->count > 0 && i < places_of(forwards); i++) {
        struct pd_forward *forward = &forwards->places[i];
        struct pd_replica_request_head head;
        if (forward->state != PD_FORWARD_FREE && forward->kind == PD_FORWARD_LEAVE &&
            pd_replica_request_decode((struct pd_span){forward->bytes, forward->size}, &head) ==
                PD_OK &&
            head.number == forwards->config.node_id) {
            tell_text(forwards, forward, PD_REPLICA_OK, "");
            forward->client_id = 0; /* it is answered; the server ends */
        }
    }
}

uint64_t pd_forwards_client(struct pd_forwards *forwards, uint64_t number)
{
    const struct pd_forward *forward = find(forwards, number);
    return forward == NULL ? 0 : forward->client_id;
}

bool pd_forwards_own(struct pd_forwards *forwards, const uint8_t *bytes, size_t size)
{
    return acquire(forwards, PD_FORWARD_PLAIN, bytes, size) != NULL;
}

void pd_forwards_client_gone(struct pd_forwards *forwards, uint64_t client_id)
{
    for (uint32_t i = 0; forwards->count > 0 && i < places_of(forwards); i++) {
        if (forwards->places[i].client_id == client_id) {
            forwards->places[i].client_id = 0; /* what was asked for still happens */
        }
    }
}

/* Those that were sent to a node which will not answer them. */
static void take_back(struct pd_forwards *forwards, uint64_t node)
{
    for (uint32_t i = 0; forwards->count > 0 && i < places_of(forwards); i++) {
        struct pd_forward *forward = &forwards->places[i];
        if (forward->state == PD_FORWARD_SENT && forward->sent_to == node) {
            forward->is_uncertain = true;
            again(forwards, forward, true);
        }
    }
}

void pd_forwards_lost(struct pd_forwards *forwards, uint64_t node)
{
    take_back(forwards, node);
}

/* Another leads: what waits for the old one's answer and may be repeated goes to the new one. The
 * others still get an answer, or their time ends them. */
static void follow_leader(struct pd_forwards *forwards, uint64_t leader)
{
    for (uint32_t i = 0; forwards->count > 0 && i < places_of(forwards); i++) {
        struct pd_forward *forward = &forwards->places[i];
        if (forward->state == PD_FORWARD_SENT && forward->sent_to != leader &&
            forward->sent_to != forwards->config.node_id && happens_once(forwards, forward)) {
            forward->is_uncertain = true;
            again(forwards, forward, true);
        }
    }
}

static void end_late(struct pd_forwards *forwards)
{
    uint32_t at = forwards->waits_first;
    while (at != NONE) {
        struct pd_forward *forward = &forwards->places[at];
        at = forward->next;
        if (forward->deadline_ns <= forwards->now_ns) {
            leave_line(forwards, forward);
            give_up(forwards, forward);
        }
    }
    for (uint32_t i = 0; i < places_of(forwards); i++) {
        struct pd_forward *forward = &forwards->places[i];
        /* The leader has the same time: its own word is better, and has a little longer. */
        if (forward->state == PD_FORWARD_SENT &&
            forward->deadline_ns + SECOND_NS <= forwards->now_ns) {
            forward->is_uncertain = true;
            give_up(forwards, forward);
        }
    }
}

bool pd_forwards_turn(struct pd_forwards *forwards, bool is_tick)
{
    if (forwards->count == 0) {
        return false;
    }
    if (is_tick) {
        end_late(forwards);
    }
    uint64_t leader = pd_replica_leader(forwards->replica);
    if (leader == 0) {
        return false;
    }
    if (leader != forwards->leader) {
        forwards->leader = leader;
        follow_leader(forwards, leader);
    }
    bool was_opening = forwards->session.is_opening;
    bool is_any = send_waiting(forwards, leader);
    return (is_any && leader == forwards->config.node_id) ||
           forwards->session.is_opening != was_opening;
}

/* -- Other nodes' requests --------------------------------------------------------------------- */

bool pd_forwards_is_frame(struct pd_span bytes)
{
    return bytes.size >= FRAME_SIZE && bytes.bytes[0] == FRAME_MARK;
}

static void send_answer(struct pd_forwards *forwards, uint64_t node, uint64_t number,
                        struct pd_span bytes)
{
    if (send_frame(forwards, node, FRAME_ANSWER, number, bytes) == PD_OK) {
        return;
    }
    count(&forwards->counters.sends_dropped);
    if (bytes.size > SMALL_BYTES) {
        /* Its lane is full of others. What is small has another one: that node asks again, and its
         * session has the answer, or, of what may happen twice, it is answered anew. A small one
         * that is lost is asked for again when its connection, or this node's lead, is lost. */
        uint8_t head[PD_REPLICA_ANSWER_HEAD_SIZE];
        pd_replica_answer_put_head(head,
                                   &(struct pd_replica_answer_head){.outcome = PD_REPLICA_UNKNOWN});
        (void)send_frame(forwards, node, FRAME_ANSWER, number, (struct pd_span){head, sizeof head});
    }
}

static void serve(struct pd_forwards *forwards, uint64_t from, uint64_t number,
                  struct pd_span bytes)
{
    bool is_known = bytes.size > 0 && only_leader_serves(bytes.bytes[0]);
    if (!is_known || forwards->served_free == NONE) {
        /* What a newer program asks for is told from what is on its way, so nobody waits for it. */
        uint8_t head[PD_REPLICA_ANSWER_HEAD_SIZE];
        pd_replica_answer_put_head(head,
                                   &(struct pd_replica_answer_head){
                                       .outcome = is_known ? PD_REPLICA_BUSY : PD_REPLICA_INVALID});
        send_answer(forwards, from, number, (struct pd_span){head, sizeof head});
        return;
    }
    PD_SOMETIMES(NODE_FORWARD_LEADS_NO_MORE, !pd_replica_leads(forwards->replica));
    uint32_t at = forwards->served_free;
    struct pd_forward_served *served = &forwards->served[at];
    forwards->served_free = served->next;
    *served = (struct pd_forward_served){.node = from, .id = number, .next = NONE};
    count(&forwards->counters.served);
    pd_replica_request(forwards->replica, forwards->now_ns, PD_FORWARD_CLIENT_SERVED, at,
                       bytes.bytes, bytes.size);
}

void pd_forwards_frame(struct pd_forwards *forwards, uint64_t from, struct pd_span bytes)
{
    uint64_t number = pd_get_u64(bytes.bytes + 16);
    struct pd_span body = {bytes.bytes + FRAME_SIZE, bytes.size - FRAME_SIZE};
    if (pd_get_u16(bytes.bytes + 2) != 0 ||
        pd_get_u32(bytes.bytes + 4) != forwards->config.group_id ||
        pd_get_u64(bytes.bytes + 8) != forwards->config.cluster_id) {
        return;
    }
    if (bytes.bytes[1] == FRAME_REQUEST) {
        serve(forwards, from, number, body);
    } else if (bytes.bytes[1] == FRAME_ANSWER) {
        struct pd_forward *forward = find(forwards, number);
        if (forward != NULL && forward->sent_to == from) {
            answered(forwards, forward, body);
        }
    }
}

bool pd_forwards_answered(struct pd_forwards *forwards, uint64_t client, uint64_t correlation,
                          struct pd_span bytes)
{
    if (client == PD_FORWARD_CLIENT_SELF) {
        struct pd_forward *forward = find(forwards, correlation);
        if (forward != NULL) {
            answered(forwards, forward, bytes);
        }
        return true;
    }
    if (client != PD_FORWARD_CLIENT_SERVED) {
        return false;
    }
    pd_assert(correlation < forwards->config.forwards_max);
    struct pd_forward_served *served = &forwards->served[correlation];
    pd_assert(served->node != 0); /* exactly one answer to each */
    send_answer(forwards, served->node, served->id, bytes);
    *served = (struct pd_forward_served){.next = forwards->served_free};
    forwards->served_free = (uint32_t)correlation;
    return true;
}
