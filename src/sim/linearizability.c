#include "sim/linearizability.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

#define NO_EVENT UINT32_MAX
#define SLOTS_FIRST 1024u

/* What the register holds. Revisions are known to lie above `floor`, or to be exactly it. */
struct state {
    uint64_t value;
    uint64_t floor;
    bool is_exact;
};

struct fingerprint {
    uint64_t low;
    uint64_t high;
};

/* An invocation or a return, in the doubly linked list of those that are not placed yet. */
struct event {
    uint64_t time;
    uint32_t operation;
    uint32_t match; /* of an invocation: its return, or NO_EVENT */
    uint32_t next;
    uint32_t previous;
    bool is_return;
};

/* A placed operation, to take back when its branch leads nowhere. */
struct step {
    struct state before;
    uint32_t event;
    bool is_forced; /* no other choice was as good: nothing to try instead */
};

struct search {
    const struct pd_history_operation *operations;
    struct event *events; /* events[0] is the head of the list */
    uint32_t event_count;
    struct step *steps;
    uint32_t depth;
    uint32_t returns_left; /* operations with a return that are not placed */
    uint32_t *twin; /* of an open operation: the one before it with the same effect, plus 1 */
    bool *is_placed;
    struct state state;
    struct fingerprint placed; /* of the set of placed operations */
    struct fingerprint *slots; /* hash table; both halves 0: free */
    uint64_t slot_count;
    struct pd_history_limits limits;
    struct pd_history_report report;
};

const char *pd_history_verdict_text(enum pd_history_verdict verdict)
{
    switch (verdict) {
    case PD_HISTORY_LINEARIZABLE:
        return "linearizable";
    case PD_HISTORY_NOT_LINEARIZABLE:
        return "not-linearizable";
    case PD_HISTORY_UNKNOWN:
        return "unknown";
    }
    return "unknown";
}

struct pd_history_limits pd_history_limits_default(void)
{
    return (struct pd_history_limits){.steps_max = 50000000,
                                      .memory_bytes = (uint64_t)256 * 1024 * 1024};
}

/* The finisher of splitmix64: every bit of the input moves half of the output's. */
static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* Each operation has a random number of 128 bits; a set is their exclusive or. */
static void toggle(struct fingerprint *set, uint32_t operation)
{
    uint64_t seed = ((uint64_t)operation + 1) * UINT64_C(0x9e3779b97f4a7c15);
    set->low ^= mix(seed);
    set->high ^= mix(seed ^ UINT64_C(0x6a09e667f3bcc909));
}

static struct fingerprint fingerprint_of(const struct search *search)
{
    const struct state *state = &search->state;
    uint64_t a = mix(state->value ^ UINT64_C(0xbb67ae8584caa73b));
    uint64_t b = mix(state->floor * 2 + state->is_exact + UINT64_C(0x3c6ef372fe94f82b));
    struct fingerprint key = {.low = search->placed.low ^ mix(a + b * 3),
                              .high = search->placed.high ^ mix(a * 5 + b)};
    key.low += key.low == 0 && key.high == 0;
    return key;
}

static bool is_open(const struct pd_history_operation *operation)
{
    return operation->finish_time == PD_HISTORY_NEVER;
}

/* An unanswered read says nothing. */
static bool is_ignored(const struct pd_history_operation *operation)
{
    return operation->kind == PD_HISTORY_READ && is_open(operation);
}

/* A write's revision lies above all before it. */
static bool take_write(struct state *state, uint64_t value, uint64_t revision)
{
    state->value = value;
    if (revision == 0) {
        /* Some revision above the one before: the bound stays, and is no longer exact. */
        state->is_exact = false;
        return true;
    }
    if (revision <= state->floor) {
        return false;
    }
    state->floor = revision;
    state->is_exact = true;
    return true;
}

/* A read's revision is that of the last write. */
static bool take_revision(struct state *state, uint64_t revision)
{
    if (revision == 0 || state->value == PD_HISTORY_NONE) {
        return true;
    }
    if (state->is_exact) {
        return revision == state->floor;
    }
    if (revision <= state->floor) {
        return false;
    }
    state->floor = revision;
    state->is_exact = true;
    return true;
}

/* Whether the operation can happen in *state, and its effect. An open one that would have none here
 * cannot: left out it hinders less. */
static bool take_effect(const struct pd_history_operation *operation, struct state *state)
{
    bool is_known = !is_open(operation);
    uint64_t revision = is_known ? operation->revision : 0;
    switch (operation->kind) {
    case PD_HISTORY_READ:
        return state->value == operation->observed && take_revision(state, revision);
    case PD_HISTORY_WRITE:
        return take_write(state, operation->value, revision);
    case PD_HISTORY_DELETE:
        if (is_known && operation->succeeded != (state->value != PD_HISTORY_NONE)) {
            return false;
        }
        if (state->value == PD_HISTORY_NONE) {
            return is_known;
        }
        return take_write(state, PD_HISTORY_NONE, revision);
    case PD_HISTORY_CAS:
        if (is_known && !operation->succeeded) {
            return state->value != operation->expected;
        }
        return state->value == operation->expected && take_write(state, operation->value, revision);
    }
    return false;
}

static bool is_same_state(const struct state *a, const struct state *b)
{
    return a->value == b->value && a->floor == b->floor && a->is_exact == b->is_exact;
}

/* By time; at the same time invocations first, so that touching operations count as concurrent. */
static int compare_events(const void *left, const void *right)
{
    const struct event *a = left;
    const struct event *b = right;
    if (a->time != b->time) {
        return a->time < b->time ? -1 : 1;
    }
    if (a->is_return != b->is_return) {
        return a->is_return ? 1 : -1;
    }
    return a->operation < b->operation ? -1 : a->operation > b->operation;
}

static void unlink_event(struct search *search, uint32_t at)
{
    const struct event *event = &search->events[at];
    search->events[event->previous].next = event->next;
    if (event->next != NO_EVENT) {
        search->events[event->next].previous = event->previous;
    }
}

static void relink_event(struct search *search, uint32_t at)
{
    const struct event *event = &search->events[at];
    search->events[event->previous].next = at;
    if (event->next != NO_EVENT) {
        search->events[event->next].previous = at;
    }
}

static void place(struct search *search, uint32_t at, struct state after, bool is_forced)
{
    const struct event *event = &search->events[at];
    search->steps[search->depth++] =
        (struct step){.before = search->state, .event = at, .is_forced = is_forced};
    search->state = after;
    search->is_placed[event->operation] = true;
    toggle(&search->placed, event->operation);
    unlink_event(search, at);
    if (event->match != NO_EVENT) {
        unlink_event(search, event->match);
        pd_assert(search->returns_left > 0);
        search->returns_left--;
    }
}

/* Undo the last step, and all before it that were forced. Where to go on, or NO_EVENT: all was
 * tried. */
static uint32_t take_back(struct search *search)
{
    while (search->depth > 0) {
        const struct step *step = &search->steps[--search->depth];
        const struct event *event = &search->events[step->event];
        search->state = step->before;
        search->is_placed[event->operation] = false;
        toggle(&search->placed, event->operation);
        if (event->match != NO_EVENT) {
            relink_event(search, event->match);
            search->returns_left++;
        }
        relink_event(search, step->event);
        if (!step->is_forced) {
            return event->next;
        }
    }
    return NO_EVENT;
}

static void insert(struct fingerprint *slots, uint64_t slot_count, struct fingerprint key)
{
    uint64_t at = key.low & (slot_count - 1);
    while (slots[at].low != 0 || slots[at].high != 0) {
        at = (at + 1) & (slot_count - 1);
    }
    slots[at] = key;
}

/* PD_ERR_FULL: the limit. PD_ERR_NO_MEMORY: the heap. */
static enum pd_status grow(struct search *search)
{
    uint64_t count = search->slot_count == 0 ? SLOTS_FIRST : search->slot_count * 2;
    /* While it grows, both tables are there. */
    if (count > search->limits.memory_bytes / sizeof(struct fingerprint) / 3 * 2) {
        return PD_ERR_FULL;
    }
    struct fingerprint *slots = pd_alloc_zeroed(count, sizeof *slots);
    if (slots == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    for (uint64_t i = 0; i < search->slot_count; i++) {
        if (search->slots[i].low != 0 || search->slots[i].high != 0) {
            insert(slots, count, search->slots[i]);
        }
    }
    pd_free(search->slots);
    search->slots = slots;
    search->slot_count = count;
    return PD_OK;
}

/* Remember the present state. PD_ERR_EXISTS: it was seen before. */
static enum pd_status remember(struct search *search)
{
    if (search->report.states >= search->slot_count / 2) {
        enum pd_status status = grow(search);
        if (status != PD_OK) {
            return status;
        }
    }
    struct fingerprint key = fingerprint_of(search);
    uint64_t at = key.low & (search->slot_count - 1);
    for (; search->slots[at].low != 0 || search->slots[at].high != 0;
         at = (at + 1) & (search->slot_count - 1)) {
        if (search->slots[at].low == key.low && search->slots[at].high == key.high) {
            return PD_ERR_EXISTS;
        }
    }
    search->slots[at] = key;
    search->report.states++;
    return PD_OK;
}

/* Place every answered operation that could come first and can never change anything, such as a
 * read of the present value: whatever order is possible with it later is possible with it now. Not
 * so a write: the value that is there already may be wanted again later. */
static void place_harmless(struct search *search)
{
    uint32_t at = search->events[0].next;
    while (at != NO_EVENT && !search->events[at].is_return) {
        const struct event *event = &search->events[at];
        const struct pd_history_operation *operation = &search->operations[event->operation];
        struct state after = search->state;
        uint32_t next = event->next;
        if (!is_open(operation) && operation->kind != PD_HISTORY_WRITE &&
            take_effect(operation, &after) && is_same_state(&after, &search->state)) {
            place(search, at, after, true);
            search->report.steps++;
            /* Its return may have been the border: look on behind it. */
            next = search->events[0].next;
        }
        at = next;
    }
}

/* Whether the operation of this invocation may be placed next, and what it leaves. */
static bool may_place(const struct search *search, const struct event *event, struct state *after)
{
    const struct pd_history_operation *operation = &search->operations[event->operation];
    uint32_t twin = search->twin[event->operation];
    if (twin != 0 && !search->is_placed[twin - 1]) {
        return false; /* two that nobody can tell apart: the earlier one first */
    }
    *after = search->state;
    if (!take_effect(operation, after)) {
        return false;
    }
    return !is_open(operation) || !is_same_state(after, &search->state);
}

/* PD_ERR_FULL: a limit is reached. */
static enum pd_status run(struct search *search)
{
    place_harmless(search);
    uint32_t at = search->events[0].next;
    while (search->returns_left > 0) {
        pd_assert(at != NO_EVENT); /* a return is in the list, and nobody looks beyond the first */
        const struct event *event = &search->events[at];
        struct state after;
        if (search->depth > search->report.placed) {
            search->report.placed = search->depth;
        }
        if (!event->is_return) {
            if (!may_place(search, event, &after)) {
                at = event->next;
                continue;
            }
            if (search->report.steps++ >= search->limits.steps_max) {
                return PD_ERR_FULL;
            }
            place(search, at, after, false);
            place_harmless(search);
            enum pd_status status = remember(search);
            if (status == PD_ERR_EXISTS) {
                at = take_back(search);
                continue;
            }
            if (status != PD_OK) {
                return status;
            }
            at = search->events[0].next;
            continue;
        }
        /* The first return in line is of an operation that must be placed before it, and none
         * could. */
        if (search->depth >= search->report.placed) {
            search->report.placed = search->depth;
            search->report.blocked = event->operation;
        }
        at = take_back(search);
        if (at == NO_EVENT) {
            search->report.verdict = PD_HISTORY_NOT_LINEARIZABLE;
            return PD_OK;
        }
    }
    search->report.verdict = PD_HISTORY_LINEARIZABLE;
    search->report.placed = search->depth;
    return PD_OK;
}

/* Fill the list of events, sorted by time, and tell each invocation its return. */
static void list_events(struct search *search, uint32_t count)
{
    struct event *events = search->events;
    uint32_t used = 1;
    for (uint32_t i = 0; i < count; i++) {
        const struct pd_history_operation *operation = &search->operations[i];
        if (is_ignored(operation)) {
            continue;
        }
        events[used++] =
            (struct event){.time = operation->invoke_time, .operation = i, .match = NO_EVENT};
        if (!is_open(operation)) {
            events[used++] = (struct event){.time = operation->finish_time,
                                            .operation = i,
                                            .match = NO_EVENT,
                                            .is_return = true};
            search->returns_left++;
        }
    }
    qsort(events + 1, used - 1, sizeof *events, compare_events);
    search->event_count = used;
    uint32_t *invoked_at = search->twin; /* its room, before it is needed */
    for (uint32_t i = 0; i < used; i++) {
        events[i].previous = i == 0 ? NO_EVENT : i - 1;
        events[i].next = i + 1 < used ? i + 1 : NO_EVENT;
        if (i > 0 && events[i].is_return) {
            events[invoked_at[events[i].operation]].match = i;
        } else if (i > 0) {
            invoked_at[events[i].operation] = i;
        }
    }
    memset(search->twin, 0, count * sizeof *search->twin);
}

/* Open operations with the same effect, in the order of their invocations. */
static void find_twins(struct search *search)
{
    for (uint32_t i = 1; i < search->event_count; i++) {
        const struct event *event = &search->events[i];
        const struct pd_history_operation *operation = &search->operations[event->operation];
        if (event->is_return || !is_open(operation)) {
            continue;
        }
        for (uint32_t j = i - 1; j > 0; j--) {
            const struct event *before = &search->events[j];
            const struct pd_history_operation *other = &search->operations[before->operation];
            if (!before->is_return && is_open(other) && other->kind == operation->kind &&
                other->value == operation->value &&
                (operation->kind != PD_HISTORY_CAS || other->expected == operation->expected)) {
                search->twin[event->operation] = before->operation + 1;
                break;
            }
        }
    }
}

static bool is_valid(const struct pd_history_operation *operation)
{
    switch (operation->kind) {
    case PD_HISTORY_READ:
    case PD_HISTORY_WRITE:
    case PD_HISTORY_DELETE:
    case PD_HISTORY_CAS:
        return operation->finish_time >= operation->invoke_time;
    }
    return false;
}

enum pd_status pd_linearizability_check(const struct pd_history_operation *operations,
                                        uint32_t count, uint64_t initial,
                                        const struct pd_history_limits *limits,
                                        struct pd_history_report *report_out)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!is_valid(&operations[i])) {
            return PD_ERR_INVALID;
        }
    }
    struct search search = {
        .operations = operations, .state = {.value = initial}, .limits = *limits};
    search.report.verdict = PD_HISTORY_UNKNOWN;
    enum pd_status status = PD_ERR_NO_MEMORY;
    if (count >= NO_EVENT / 2) {
        return PD_ERR_INVALID;
    }
    search.twin = pd_alloc_zeroed((size_t)count + 1, sizeof *search.twin);
    search.events = pd_alloc_zeroed(2 * (size_t)count + 1, sizeof *search.events);
    search.steps = pd_alloc_zeroed((size_t)count + 1, sizeof *search.steps);
    search.is_placed = pd_alloc_zeroed((size_t)count + 1, sizeof *search.is_placed);
    if (search.twin == NULL || search.events == NULL || search.steps == NULL ||
        search.is_placed == NULL) {
        goto cleanup;
    }
    list_events(&search, count);
    find_twins(&search);
    status = run(&search);
    if (status == PD_ERR_FULL) {
        status = PD_OK; /* the verdict stays unknown */
    }
    *report_out = search.report;
cleanup:
    pd_free(search.twin);
    pd_free(search.events);
    pd_free(search.steps);
    pd_free(search.is_placed);
    pd_free(search.slots);
    return status;
}
