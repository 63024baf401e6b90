/* Reads: one ReadIndex round for all that gathered meanwhile, then wait until its index is applied,
 * then read in bounded steps. Serializable ones, and those under a leader's lease, skip the round.
 *
 *   GATHERED -> ASKED -> APPLY -> OPENING -> ROWS -> answered
 *            <- the round was lost: asked again
 *            -> OPENING, at once (serializable, lease)
 *                                   ROWS -> LARGE, when it grows and there is no room for it
 *                                        <- there is, in the order in which they came
 *
 * A read that is not wanted any more leaves its line when its turn comes. */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/hash.h"
#include "base/mutant.h"
#include "base/sometimes.h"
#include "node/replica_internal.h"

#define ROUND_BITS 24u
#define OPEN_SLICE 64u                  /* reads begun in one slice */
#define ANSWERS_SLICE ((size_t)4 << 20) /* bytes given in one slice, and one answer more */

uint64_t pd_replica_first_round(const struct pd_replica *replica)
{
    uint64_t hash = pd_hash_u64(replica->config.raft.seed, replica->now_ns);
    hash = pd_hash_u64(hash, replica->wall_ns);
    return (hash >> (ROUND_BITS + 1)) << ROUND_BITS;
}

/* -- Lines ------------------------------------------------------------------------------------- */

static void line_up(struct pd_replica *replica, struct pd_replica_read *read,
                    enum pd_replica_read_state state)
{
    struct pd_replica_read_line *line = &replica->lines[state];
    uint32_t place = (uint32_t)(read - replica->reads) + 1;
    read->state = state;
    read->next = 0;
    if (line->tail == 0) {
        line->head = place;
    } else {
        replica->reads[line->tail - 1].next = place;
    }
    line->tail = place;
}

static struct pd_replica_read *line_head(const struct pd_replica *replica,
                                         enum pd_replica_read_state state)
{
    uint32_t head = replica->lines[state].head;
    return head == 0 ? NULL : &replica->reads[head - 1];
}

static struct pd_replica_read *line_take(struct pd_replica *replica,
                                         enum pd_replica_read_state state)
{
    struct pd_replica_read *read = line_head(replica, state);
    if (read != NULL) {
        replica->lines[state].head = read->next;
        if (read->next == 0) {
            replica->lines[state].tail = 0;
        }
    }
    return read;
}

void pd_replica_reads_init(struct pd_replica *replica)
{
    for (uint32_t i = 0; i < replica->config.reads_max; i++) {
        line_up(replica, &replica->reads[i], PD_REPLICA_READ_FREE);
    }
}

static void tell(struct pd_replica *replica, struct pd_replica_read *read,
                 enum pd_replica_outcome outcome, struct pd_span body)
{
    if (read->is_wanted) {
        read->is_wanted = false;
        pd_replica_tell_if_slow(replica, &read->timed, read->client, read->correlation, outcome);
        pd_replica_answer(replica, read->client, read->correlation, outcome, body);
    }
}

static void tell_text(struct pd_replica *replica, struct pd_replica_read *read,
                      enum pd_replica_outcome outcome, const char *text)
{
    tell(replica, read, outcome, (struct pd_span){(const uint8_t *)text, strlen(text)});
}

/* It has left its line. It is the next one to be taken: what was just used is near. */
static void release(struct pd_replica *replica, struct pd_replica_read *read)
{
    struct pd_replica_read_line *line = &replica->lines[PD_REPLICA_READ_FREE];
    uint32_t place = (uint32_t)(read - replica->reads) + 1;
    pd_assert(replica->reads_open > 0);
    replica->reads_open--;
    read->is_wanted = false;
    read->state = PD_REPLICA_READ_FREE;
    read->next = line->head;
    line->head = place;
    line->tail = line->tail == 0 ? place : line->tail;
}

/* -- Begin ------------------------------------------------------------------------------------- */

/* Whether the body of a READ is one range; its spans point into `body`. */
static enum pd_kv_error decode_range(struct pd_replica *replica, struct pd_span body,
                                     struct pd_kv_range *range_out)
{
    struct pd_kv_command command;
    enum pd_kv_error error =
        pd_kv_command_decode(body, &replica->config.kv.limits, &replica->room, &command);
    if (error == PD_KV_OK && (command.kind != PD_KV_OPS || command.op_count != 1 ||
                              command.ops[0].kind != PD_KV_OP_RANGE)) {
        error = PD_KV_ERR_INVALID;
    }
    if (error == PD_KV_OK) {
        *range_out = command.ops[0].as.range;
    }
    return error;
}

static bool keep_body(struct pd_replica_read *read, struct pd_span body)
{
    if (body.size > read->body_capacity) {
        uint8_t *grown = pd_realloc(read->body, body.size);
        if (grown == NULL) {
            return false;
        }
        read->body = grown;
        read->body_capacity = body.size;
    }
    if (body.size > 0) {
        memcpy(read->body, body.bytes, body.size);
    }
    read->body_size = body.size;
    return true;
}

static bool needs_round(const struct pd_replica *replica,
                        const struct pd_replica_request_head *head)
{
    return (head->flags & PD_REPLICA_REQUEST_SERIALIZABLE) == 0 &&
           !PD_MUTANT(NODE_READ_WITHOUT_ROUND) &&
           !pd_replica_may_read_now(replica, replica->now_ns);
}

void pd_replica_read(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                     const struct pd_replica_request_head *head)
{
    struct pd_kv_range range;
    if (head->kind == PD_REPLICA_REQUEST_READ) {
        enum pd_kv_error error = decode_range(replica, head->body, &range);
        if (error != PD_KV_OK) {
            pd_replica_answer_error(replica, client, correlation, error);
            return;
        }
        pd_replica_timed_key(&replica->asking.timed, range.key);
    }
    struct pd_replica_read *read = line_head(replica, PD_REPLICA_READ_FREE);
    if (read == NULL || !keep_body(read, head->body)) {
        PD_SOMETIMES(NODE_BUSY, true);
        pd_replica_answer_text(replica, client, correlation, PD_REPLICA_BUSY,
                               "too many reads are under way: try again");
        return;
    }
    read = line_take(replica, PD_REPLICA_READ_FREE);
    replica->reads_open++;
    replica->counters.reads++;
    read->kind = head->kind;
    read->is_wanted = true;
    read->client = client;
    read->correlation = correlation;
    read->number = head->number;
    read->since_tick = replica->tick;
    read->index = 0;
    read->is_of_now = false;
    read->timed = replica->asking.timed;
    bool waits = needs_round(replica, head);
    read->timed.agreed_ns = waits ? 0 : read->timed.agreed_ns;
    line_up(replica, read, waits ? PD_REPLICA_READ_GATHERED : PD_REPLICA_READ_OPENING);
}

/* -- Rounds ------------------------------------------------------------------------------------ */

void pd_replica_read_ready(struct pd_replica *replica, const struct pd_raft_read *ready)
{
    if ((ready->context & PD_REPLICA_NEWCOMER_ROUND) != 0) {
        pd_replica_newcomer_ready(replica, ready->context);
        return;
    }
    if (!replica->round_is_open || ready->context != replica->round) {
        return; /* of a round that was given up */
    }
    replica->round_is_open = false;
    struct pd_replica_read *read;
    while ((read = line_take(replica, PD_REPLICA_READ_ASKED)) != NULL) {
        read->index = PD_MUTANT(NODE_READ_BEFORE_APPLIED) ? 0 : ready->index;
        read->timed.agreed_ns = replica->now_ns;
        line_up(replica, read, PD_REPLICA_READ_APPLY);
    }
}

/* What was asked in a round that got no answer gathers again. */
static void give_up_round(struct pd_replica *replica)
{
    PD_SOMETIMES(NODE_READ_ROUND_LOST, true);
    replica->round_is_open = false;
    struct pd_replica_read *read;
    while ((read = line_take(replica, PD_REPLICA_READ_ASKED)) != NULL) {
        line_up(replica, read, PD_REPLICA_READ_GATHERED);
    }
}

static void ask(struct pd_replica *replica)
{
    if (replica->round_is_open || line_head(replica, PD_REPLICA_READ_GATHERED) == NULL ||
        pd_raft_read_index(replica->raft, replica->round + 1) != PD_OK) {
        return; /* no leader is known yet: a later slice asks again */
    }
    replica->round++;
    replica->round_is_open = true;
    replica->round_tick = replica->tick;
    replica->counters.read_rounds++;
    struct pd_replica_read *read;
    while ((read = line_take(replica, PD_REPLICA_READ_GATHERED)) != NULL) {
        if (read->is_wanted) {
            line_up(replica, read, PD_REPLICA_READ_ASKED);
        } else {
            release(replica, read);
        }
    }
}

/* -- Rows -------------------------------------------------------------------------------------- */

static enum pd_status open_rows(struct pd_replica *replica, struct pd_replica_read *read)
{
    struct pd_kv_range range;
    struct pd_span body = {read->body, read->body_size};
    if (read->kind == PD_REPLICA_REQUEST_READ) {
        enum pd_kv_error error = decode_range(replica, body, &range);
        pd_assert(error == PD_KV_OK); /* it was when it came */
        read->is_of_now = range.revision <= 0;
        return pd_kv_read_range(replica->kv, &range, &read->kv_read);
    }
    if (read->kind == PD_REPLICA_REQUEST_MEMBERS || read->kind == PD_REPLICA_REQUEST_ABOUT) {
        pd_replica_tell_if_slow(replica, &read->timed, read->client, read->correlation,
                                PD_REPLICA_OK);
        read->timed.asked_ns = 0; /* told */
        bool is_told = pd_replica_members_answer(replica, read->client, read->correlation,
                                                 read->kind == PD_REPLICA_REQUEST_ABOUT);
        read->is_wanted = !is_told;
        return is_told ? PD_ERR_CLOSED : PD_ERR_NO_MEMORY;
    }
    if (read->kind == PD_REPLICA_REQUEST_LEASE) {
        return pd_kv_read_lease(replica->kv, (int64_t)read->number,
                                pd_replica_since_state_time(replica), true, &read->kv_read);
    }
    pd_assert(read->kind == PD_REPLICA_REQUEST_LEASES);
    return pd_kv_read_leases(replica->kv, &read->kv_read);
}

/* Give rows to those of a line whose turn it is. true: others wait that could begin at once. */
static bool open_some(struct pd_replica *replica, enum pd_replica_read_state state)
{
    bool is_large = state == PD_REPLICA_READ_LARGE;
    struct pd_replica_read *read;
    for (uint32_t i = 0; i < OPEN_SLICE; i++) {
        read = line_head(replica, state);
        if (read == NULL || (is_large && read->is_wanted && !pd_kv_reads_have_room(replica->kv))) {
            return false;
        }
        enum pd_status status = read->is_wanted ? open_rows(replica, read) : PD_ERR_CLOSED;
        if (status == PD_ERR_FULL) {
            return false; /* until one ends */
        }
        read = line_take(replica, state);
        if (status == PD_OK) {
            if (is_large) {
                pd_kv_read_admit(replica->kv, read->kv_read);
            }
            line_up(replica, read, PD_REPLICA_READ_ROWS);
        } else {
            tell_text(replica, read, PD_REPLICA_BUSY, pd_status_text(status));
            release(replica, read);
        }
    }
    return !is_large && line_head(replica, state) != NULL;
}

/* It waits for room: with the rows that it holds, or in line when those are few. */
static void wait_for_room(struct pd_replica *replica, struct pd_replica_read *read)
{
    replica->reads_wait = true;
    if (!pd_kv_read_is_turned_away(replica->kv, read->kv_read)) {
        line_up(replica, read, PD_REPLICA_READ_ROWS);
        return;
    }
    replica->counters.reads_turned_away++;
    pd_kv_read_end(replica->kv, read->kv_read);
    pd_kv_reads_line(replica->kv, true);
    line_up(replica, read, PD_REPLICA_READ_LARGE);
}

/* A read of the current revision that took so long that a compaction passed it: it sees a newer
 * one. */
static bool was_overtaken(const struct pd_replica *replica, const struct pd_replica_read *read)
{
    struct pd_kv_reader reader;
    struct pd_kv_answer_head head;
    pd_kv_reader_init(&reader, pd_kv_read_answer(replica->kv, read->kv_read));
    pd_kv_answer_head(&reader, &head);
    return head.error == PD_KV_ERR_COMPACTED && read->is_of_now;
}

/* One slice of one read. true: it goes on at once. */
static bool read_slice(struct pd_replica *replica, struct pd_replica_read *read)
{
    if (read->is_wanted) {
        switch (pd_kv_read_step(replica->kv, read->kv_read, replica->config.apply_budget)) {
        case PD_KV_MORE:
            line_up(replica, read, PD_REPLICA_READ_ROWS);
            return true;
        case PD_KV_FETCH:
            line_up(replica, read, PD_REPLICA_READ_ROWS);
            return false;
        case PD_KV_FULL:
            wait_for_room(replica, read);
            return false;
        case PD_KV_FAILED:
            line_up(replica, read, PD_REPLICA_READ_ROWS);
            pd_replica_rows_are_damaged(replica);
            return false;
        case PD_KV_DONE:
            if (was_overtaken(replica, read)) {
                PD_SOMETIMES(NODE_READ_AGAIN, true);
                pd_kv_read_end(replica->kv, read->kv_read);
                line_up(replica, read, PD_REPLICA_READ_OPENING);
                return true;
            }
            tell(replica, read, PD_REPLICA_OK, pd_kv_read_answer(replica->kv, read->kv_read));
            break;
        }
    }
    pd_kv_read_end(replica->kv, read->kv_read);
    release(replica, read);
    return replica->reads_wait; /* there is room now */
}

bool pd_replica_read_step(struct pd_replica *replica)
{
    if (replica->install.state != PD_REPLICA_INSTALL_NONE) {
        return false;
    }
    ask(replica);
    struct pd_replica_read *read;
    while ((read = line_head(replica, PD_REPLICA_READ_APPLY)) != NULL &&
           read->index <= replica->apply_raft) {
        read = line_take(replica, PD_REPLICA_READ_APPLY);
        line_up(replica, read, PD_REPLICA_READ_OPENING);
    }
    bool more = open_some(replica, PD_REPLICA_READ_OPENING);
    (void)open_some(replica, PD_REPLICA_READ_LARGE); /* the others when one ends */
    replica->reads_wait = line_head(replica, PD_REPLICA_READ_LARGE) != NULL;
    pd_kv_reads_line(replica->kv, replica->reads_wait);
    /* Each that holds rows once: who stays stands behind those. */
    uint32_t last = replica->lines[PD_REPLICA_READ_ROWS].tail;
    while (last != 0 && replica->phase == PD_REPLICA_RUNNING) {
        read = line_take(replica, PD_REPLICA_READ_ROWS);
        bool is_last = (uint32_t)(read - replica->reads) + 1 == last;
        more = read_slice(replica, read) || more;
        last = is_last ? 0 : last;
        if (replica->arena.size > ANSWERS_SLICE) { /* the others when these have gone */
            more = true;
            last = 0;
        }
    }
    return more || (line_head(replica, PD_REPLICA_READ_OPENING) != NULL &&
                    line_head(replica, PD_REPLICA_READ_ROWS) == NULL);
}

static void give_up(struct pd_replica *replica, struct pd_replica_read *read)
{
    switch (read->state) {
    case PD_REPLICA_READ_OPENING:
    case PD_REPLICA_READ_ROWS:
    case PD_REPLICA_READ_LARGE:
        tell_text(replica, read, PD_REPLICA_BUSY, "too many reads are under way: try again");
        return;
    case PD_REPLICA_READ_FREE:
    case PD_REPLICA_READ_GATHERED:
    case PD_REPLICA_READ_ASKED:
    case PD_REPLICA_READ_APPLY:
    case PD_REPLICA_READ_STATES:
        break;
    }
    tell_text(replica, read, PD_REPLICA_NOT_READY,
              "no leader confirmed the read in time: try again");
}

static uint32_t patience(const struct pd_replica *replica, const struct pd_replica_read *read)
{
    bool has_begun = read->state == PD_REPLICA_READ_ROWS || read->state == PD_REPLICA_READ_LARGE;
    return has_begun ? replica->config.read_ticks_max : replica->config.request_ticks_max;
}

void pd_replica_reads_away(struct pd_replica *replica, uint64_t bytes, uint64_t unread)
{
    pd_kv_reads_away(replica->kv, bytes, unread);
}

bool pd_replica_reads_wait(const struct pd_replica *replica)
{
    return replica->reads_wait;
}

void pd_replica_reads_tick(struct pd_replica *replica)
{
    if (replica->round_is_open &&
        replica->tick - replica->round_tick >= replica->config.raft.election_ticks) {
        give_up_round(replica);
    }
    /* Most ticks find none, and need not look through thousands of places. */
    for (uint32_t i = 0; i < replica->config.reads_max && replica->reads_open > 0; i++) {
        struct pd_replica_read *read = &replica->reads[i];
        if (read->is_wanted && replica->tick - read->since_tick >= patience(replica, read)) {
            give_up(replica, read);
        }
    }
}

void pd_replica_reads_drop(struct pd_replica *replica)
{
    for (uint32_t state = PD_REPLICA_READ_GATHERED; state < PD_REPLICA_READ_STATES; state++) {
        struct pd_replica_read *read;
        while ((read = line_take(replica, (enum pd_replica_read_state)state)) != NULL) {
            if (state == PD_REPLICA_READ_ROWS) {
                pd_kv_read_end(replica->kv, read->kv_read);
            }
            tell_text(replica, read, PD_REPLICA_NOT_READY,
                      "this node is fetching its state from another member");
            release(replica, read);
        }
    }
    replica->round_is_open = false;
}
