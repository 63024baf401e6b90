/* watch_world - a kv over a store that lags, a hub beside it, and what every watcher must be told:
 * a plain list of all events, filtered. For tests and the fuzzer. */
#ifndef PD_TEST_KV_WATCH_WORLD_H
#define PD_TEST_KV_WATCH_WORLD_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/random.h"
#include "kv/watch.h"
#include "store/memory.h"

#define WORLD_KEYS 24u
#define WORLD_EVENTS 60000u
#define WORLD_WATCHES 40u
#define WORLD_VALUE 700u
#define WORLD_PAGES 8u
#define WORLD_READERS 4u

struct world_event {
    int64_t revision;
    uint32_t sub;
    uint32_t key;
    bool is_delete;
    bool has_previous;
    uint32_t value; /* its size, and the seed of its bytes */
    uint32_t previous;
};
/* A watcher as the model sees it. */
struct world_watch {
    bool is_open;
    uint64_t id;
    uint32_t low; /* keys [low, high) */
    uint32_t high;
    struct pd_kv_watch asked;
    int64_t credit;
    uint32_t cursor; /* the first event that it was not told of and may want */
    int64_t start;
    bool in_fragment;
    bool progress_asked;
};
/* A page that was read and is not supplied yet. */
struct world_page {
    bool is_out;
    uint32_t id;
    struct pd_store_page page;
};
struct world_reader {
    bool is_open;
    bool is_given;
    uint32_t read;
};
struct world {
    struct pd_kv *kv;
    struct pd_store *store;
    struct pd_kv_watch_hub *hub;
    struct pd_kv_watch_config config;
    struct pd_random random;
    uint64_t index;
    int64_t revision;
    int64_t compacted;
    uint32_t values[WORLD_KEYS]; /* 0: there is none; else as in world_event, + 1 */
    struct world_event *events;
    uint32_t event_count;
    struct world_watch watches[WORLD_WATCHES];
    struct world_page pages[WORLD_PAGES];
    struct world_reader readers[WORLD_READERS];
    uint32_t given;     /* events */
    uint32_t fragments; /* answers that said so */
    uint32_t ended;
    uint32_t progress;
};

static inline uint32_t world_below(struct world *world, uint32_t bound)
{
    return (uint32_t)pd_random_below(&world->random, bound);
}

/* Keys are one letter, and every third has a longer one behind it. */
static inline struct pd_span world_key(uint32_t key, uint8_t room[4])
{
    room[0] = (uint8_t)('a' + key / 3 * 2);
    room[1] = (uint8_t)(key % 3 == 1 ? 0 : 'x');
    return (struct pd_span){room, key % 3 == 0 ? 1 : 2};
}

static inline struct pd_span world_value(uint32_t value, uint8_t room[WORLD_VALUE])
{
    uint32_t size = value % WORLD_VALUE;
    for (uint32_t i = 0; i < size; i++) {
        room[i] = (uint8_t)(value >> (8 * (i % 4)));
    }
    return (struct pd_span){room, size};
}

/* -- The store, late and out of step ----------------------------------------------------------- */

static inline void world_write(struct world *world)
{
    struct pd_kv_batch batch;
    if (pd_kv_take_writes(world->kv, &batch)) {
        enum pd_status status =
            world->store->ops->apply(world->store, batch.writes, batch.count, batch.index);
        pd_assert(status == PD_OK);
        pd_kv_written(world->kv);
    }
}

static inline void world_supply(struct world *world, struct world_page *page)
{
    enum pd_status status = pd_kv_supply(world->kv, page->id, &page->page);
    pd_assert(status == PD_OK || status == PD_ERR_UNKNOWN);
    free(page->page.bytes);
    page->is_out = false;
}

/* Read what is wanted now; supply some of it now or later. */
static inline void world_serve(struct world *world, bool is_urgent)
{
    for (uint32_t i = 0; i < WORLD_PAGES; i++) {
        struct world_page *page = &world->pages[i];
        struct pd_kv_fetch fetch;
        if (!page->is_out && pd_kv_next_fetch(world->kv, &fetch)) {
            size_t max = pd_kv_row_bytes_max(world->kv) + 64;
            *page = (struct world_page){.is_out = true, .id = fetch.id};
            page->page = (struct pd_store_page){.bytes = malloc(max), .bytes_max = max};
            /* It may be full before it has the rows that were wanted. */
            page->page.rows_max = 1 + world_below(world, fetch.rows_max == 0 ? 5 : fetch.rows_max);
            enum pd_status status = world->store->ops->scan(world->store, fetch.low, fetch.high,
                                                            fetch.descending, &page->page);
            pd_assert(status == PD_OK);
        }
        if (world_below(world, 3) == 0) {
            world_write(world);
        }
        if (page->is_out && (is_urgent || world_below(world, 2) == 0)) {
            world_supply(world, page);
        }
    }
}

/* Everything that is due, but at most `turns` answers and pieces of work. false: idle. */
static inline bool world_turn(struct world *world, uint32_t turns);

/* -- Commands, and the model's list ------------------------------------------------------------ */

static inline void world_note(struct world *world, uint32_t key, uint32_t value, bool is_delete,
                              uint32_t *sub)
{
    pd_assert(world->event_count < WORLD_EVENTS);
    uint32_t before = world->values[key];
    world->events[world->event_count++] = (struct world_event){
        .revision = world->revision + 1,
        .sub = (*sub)++,
        .key = key,
        .is_delete = is_delete,
        .has_previous = before != 0,
        .value = is_delete ? 0 : value,
        .previous = before == 0 ? 0 : before - 1,
    };
    world->values[key] = is_delete ? 0 : value + 1;
}

static inline void world_run(struct world *world, const struct pd_kv_command *command)
{
    static uint8_t inner_room[1 << 17];
    static uint8_t outer_room[1 << 17];
    struct pd_kv_writer inner = {.bytes = inner_room, .bytes_max = sizeof inner_room};
    struct pd_kv_writer outer = {.bytes = outer_room, .bytes_max = sizeof outer_room};
    pd_kv_command_encode(&inner, command);
    struct pd_kv_envelope envelope = {.command = {inner_room, inner.size}};
    pd_kv_envelope_encode(&outer, &envelope);
    pd_assert(!inner.is_full && !outer.is_full);
    pd_kv_apply_begin(world->kv, ++world->index, 1, (struct pd_span){outer_room, outer.size});
    enum pd_kv_progress progress;
    while ((progress = pd_kv_apply_step(world->kv, 5)) != PD_KV_DONE) {
        pd_assert(progress != PD_KV_FAILED);
        world_serve(world, true);
        if (progress == PD_KV_FULL) {
            world_write(world);
        }
        (void)world_turn(world, 1 + world_below(world, 3));
    }
    struct pd_kv_applied applied;
    pd_kv_applied(world->kv, &applied);
    struct pd_kv_reader reader;
    struct pd_kv_answer_head head;
    pd_kv_reader_init(&reader, applied.answer);
    pd_kv_answer_head(&reader, &head);
    pd_assert(head.error == PD_KV_OK);
    struct pd_kv_events events;
    struct pd_kv_status status;
    pd_kv_take_events(world->kv, &events);
    pd_kv_watch_publish(world->hub, &events);
    pd_kv_status(world->kv, &status);
    pd_kv_watch_compacted(world->hub, status.compacted_revision);
    bool has_written =
        world->event_count > 0 && world->events[world->event_count - 1].revision > world->revision;
    world->revision += has_written;
    pd_assert(status.revision == world->revision);
}

/* A txn of puts and deletes, each key in at most one of them. */
static inline void world_command(struct world *world, uint32_t value_max, uint32_t ops_max)
{
    static uint8_t values[WORLD_KEYS][WORLD_VALUE];
    static uint8_t keys[2 * WORLD_KEYS][4];
    struct pd_kv_op ops[WORLD_KEYS + 1];
    uint32_t count = 1;
    uint32_t sub = 0;
    uint32_t at = world_below(world, 3);
    uint32_t wanted = 1 + world_below(world, ops_max);
    for (; at < WORLD_KEYS && count <= wanted; at += 1 + world_below(world, 6)) {
        struct pd_kv_op *op = &ops[count];
        *op = (struct pd_kv_op){0};
        struct pd_span key = world_key(at, keys[2 * count]);
        if (world_below(world, 4) > 0) {
            uint32_t value =
                world_below(world, 1 << 20) * WORLD_VALUE + world_below(world, value_max);
            op->kind = PD_KV_OP_PUT;
            op->as.put = (struct pd_kv_put){.key = key, .value = world_value(value, values[count])};
            world_note(world, at, value, false, &sub);
        } else {
            uint32_t end = at + 1 + world_below(world, 4);
            end = end > WORLD_KEYS - 1 ? WORLD_KEYS - 1 : end;
            op->kind = PD_KV_OP_DELETE;
            op->as.delete_range.key = key;
            if (end > at + 1) {
                op->as.delete_range.range_end = world_key(end, keys[2 * count + 1]);
            } else {
                end = at + 1;
            }
            for (uint32_t k = at; k < end; k++) {
                if (world->values[k] != 0) {
                    world_note(world, k, 0, true, &sub);
                }
            }
            at = end;
        }
        count++;
    }
    ops[0] = (struct pd_kv_op){.kind = PD_KV_OP_TXN, .as.txn = {.then_count = count - 1}};
    struct pd_kv_command command = {.kind = PD_KV_OPS, .ops = ops, .op_count = count};
    world_run(world, &command);
}

static inline void world_compact(struct world *world)
{
    int64_t span = world->revision - world->compacted;
    if (span < 2) {
        return;
    }
    world->compacted += 1 + (int64_t)world_below(world, (uint32_t)span);
    struct pd_kv_command command = {.kind = PD_KV_COMPACT, .revision = world->compacted};
    world_run(world, &command);
}

/* -- What a watcher must be told --------------------------------------------------------------- */

static inline bool world_wants(const struct world_watch *watch, const struct world_event *event)
{
    return event->revision >= watch->start && event->key >= watch->low &&
           event->key < watch->high &&
           !(event->is_delete ? watch->asked.no_delete : watch->asked.no_put);
}

/* The next event that it must be told of; event_count: none. */
static inline uint32_t world_expects(const struct world *world, const struct world_watch *watch)
{
    uint32_t at = watch->cursor;
    while (at < world->event_count && !world_wants(watch, &world->events[at])) {
        at++;
    }
    return at;
}

static inline bool world_is(struct pd_span bytes, struct pd_span wanted)
{
    return bytes.size == wanted.size &&
           (wanted.size == 0 || memcmp(bytes.bytes, wanted.bytes, wanted.size) == 0);
}

static inline void world_check_event(const struct world *world, const struct world_event *wanted,
                                     const struct pd_kv_event *event, bool with_previous)
{
    uint8_t key[4];
    uint8_t value[WORLD_VALUE];
    pd_assert(wanted->revision <= world->revision); /* of a finished command */
    pd_assert(event->record.mod_revision == wanted->revision);
    pd_assert(event->sub == wanted->sub);
    pd_assert(event->is_delete == wanted->is_delete);
    pd_assert(world_is(event->record.key, world_key(wanted->key, key)));
    if (!wanted->is_delete) {
        pd_assert(world_is(event->record.value, world_value(wanted->value, value)));
    }
    /* What a compacted revision replaced may be gone. */
    if (with_previous && wanted->revision > world->compacted) {
        pd_assert(event->has_previous == wanted->has_previous);
        if (event->has_previous) {
            pd_assert(event->previous_known);
            pd_assert(world_is(event->previous.value, world_value(wanted->previous, value)));
        }
    }
}

/* Whether all events of a revision are more than an answer, or a page of history, must hold. */
static inline bool world_is_large(const struct world *world, int64_t revision)
{
    uint64_t bytes = 0;
    uint32_t count = 0;
    for (uint32_t i = world->event_count; i-- > 0 && world->events[i].revision >= revision;) {
        const struct world_event *event = &world->events[i];
        if (event->revision == revision) {
            bytes += sizeof(struct pd_kv_event) + 4 + event->value % WORLD_VALUE +
                     event->previous % WORLD_VALUE;
            count++;
        }
    }
    return bytes >= world->config.whole_bytes_max || count > world->config.answer_events_max;
}

static inline void world_take_events(struct world *world, struct world_watch *watch,
                                     const struct pd_kv_watch_answer *answer)
{
    pd_assert(answer->count <= world->config.answer_events_max);
    pd_assert(answer->count > 0 || watch->in_fragment);
    int64_t last = 0;
    for (uint32_t i = 0; i < answer->count; i++) {
        uint32_t at = world_expects(world, watch);
        pd_assert(at < world->event_count);
        const struct world_event *wanted = &world->events[at];
        world_check_event(world, wanted, answer->events[i], watch->asked.with_previous);
        pd_assert(!answer->is_fragment || i == 0 || last == wanted->revision);
        last = wanted->revision;
        watch->cursor = at + 1;
    }
    world->given += answer->count;
    uint32_t next = world_expects(world, watch);
    if (answer->is_fragment) {
        world->fragments++;
        pd_assert(watch->asked.may_fragment || world_is_large(world, last));
    } else if (last != 0 && next < world->event_count) {
        pd_assert(world->events[next].revision > last);
    }
    pd_assert(answer->through_revision >= (answer->is_fragment ? last - 1 : last));
    watch->in_fragment = answer->is_fragment;
}

static inline void world_take(struct world *world, const struct pd_kv_watch_answer *answer)
{
    pd_assert(answer->owner < WORLD_WATCHES);
    struct world_watch *watch = &world->watches[answer->owner];
    pd_assert(watch->is_open);
    pd_assert(watch->id == answer->id);
    pd_assert(answer->revision == world->revision);
    if (answer->kind == PD_KV_WATCH_COMPACTED) {
        pd_assert(answer->compact_revision == world->compacted);
        pd_assert(answer->through_revision + 1 < world->compacted);
        watch->is_open = false;
        world->ended++;
        return;
    }
    pd_assert(watch->credit > 0);
    if (answer->kind == PD_KV_WATCH_EVENTS) {
        world_take_events(world, watch, answer);
    } else {
        world->progress++;
        pd_assert(answer->through_revision == world->revision);
        pd_assert(!watch->in_fragment);
    }
    /* The promise: what comes later is later. */
    uint32_t next = world_expects(world, watch);
    pd_assert(next == world->event_count ||
              world->events[next].revision > answer->through_revision);
    watch->credit -= 1 + answer->count;
    enum pd_status status = pd_kv_watch_spend(world->hub, answer->id, 1 + answer->count);
    pd_assert(status == PD_OK);
}

/* -- Driving ----------------------------------------------------------------------------------- */

static inline bool world_turn(struct world *world, uint32_t turns)
{
    bool any = false;
    for (uint32_t i = 0; i < WORLD_READERS; i++) {
        struct world_reader *reader = &world->readers[i];
        if (reader->is_open && reader->is_given && !pd_kv_watch_has_page(world->hub)) {
            pd_kv_read_end(world->kv, reader->read);
            *reader = (struct world_reader){0};
        }
        if (!reader->is_open || reader->is_given || pd_kv_watch_has_page(world->hub)) {
            continue;
        }
        any = true;
        if (pd_kv_read_step(world->kv, reader->read, 8) == PD_KV_DONE) {
            struct pd_kv_history history;
            pd_kv_read_history_result(world->kv, reader->read, &history);
            pd_kv_watch_page(world->hub, i, &history);
            reader->is_given = true;
        }
    }
    struct pd_kv_watch_want want;
    while (pd_kv_watch_next_want(world->hub, &want)) {
        struct world_reader *reader = &world->readers[want.reader];
        if (reader->is_open) {
            pd_kv_read_end(world->kv, reader->read);
        }
        *reader = (struct world_reader){.is_open = true};
        enum pd_status status =
            pd_kv_read_history(world->kv, want.revision, want.sub, want.bytes_max, &reader->read);
        pd_assert(status == PD_OK);
        any = true;
    }
    for (uint32_t i = 0; i < turns; i++) {
        struct pd_kv_watch_answer answer;
        switch (pd_kv_watch_next(world->hub, &answer)) {
        case PD_KV_WATCH_ANSWER:
            world_take(world, &answer);
            any = true;
            break;
        case PD_KV_WATCH_MORE:
            any = true;
            break;
        case PD_KV_WATCH_IDLE:
            i = turns;
            break;
        }
    }
    return any;
}

static inline void world_add(struct world *world)
{
    uint32_t slot = world_below(world, WORLD_WATCHES);
    struct world_watch *watch = &world->watches[slot];
    if (watch->is_open) {
        return;
    }
    uint8_t low[4];
    uint8_t high[4];
    *watch = (struct world_watch){.low = world_below(world, WORLD_KEYS)};
    watch->asked = (struct pd_kv_watch){
        .key = world_key(watch->low, low),
        .no_put = world_below(world, 6) == 0,
        .no_delete = world_below(world, 6) == 0,
        .with_previous = world_below(world, 2) == 0,
        .with_progress = world_below(world, 2) == 0,
        .may_fragment = world_below(world, 3) == 0,
        .credit = world_below(world, 3) == 0 ? 0 : (int64_t)world_below(world, 20),
        .owner = slot,
    };
    uint32_t shape = world_below(world, 4);
    watch->high = watch->low + 1;
    if (shape == 0) {
        watch->asked.range_end = (struct pd_span){(const uint8_t *)"\0", 1};
        watch->high = WORLD_KEYS;
        if (world_below(world, 2) == 0) {
            watch->asked.key.size = 0;
            watch->low = 0;
        }
    } else if (shape < 3 && watch->high < WORLD_KEYS) {
        watch->high += world_below(world, WORLD_KEYS - watch->high);
        watch->asked.range_end = world_key(watch->high, high);
    }
    watch->start = world->revision + 1;
    if (world_below(world, 3) > 0) {
        watch->start = 1 + (int64_t)world_below(world, (uint32_t)world->revision + 4);
        watch->asked.start_revision = watch->start;
    }
    watch->credit = watch->asked.credit;
    enum pd_status status = pd_kv_watch_add(world->hub, &watch->asked, &watch->id);
    pd_assert(status == PD_OK);
    watch->is_open = true;
}

static inline void world_grant(struct world *world, struct world_watch *watch, uint32_t credit)
{
    watch->credit += credit;
    enum pd_status status = pd_kv_watch_grant(world->hub, watch->id, credit);
    pd_assert(status == PD_OK);
}

static inline void world_poke(struct world *world)
{
    struct world_watch *watch = &world->watches[world_below(world, WORLD_WATCHES)];
    if (!watch->is_open) {
        return;
    }
    enum pd_status status = PD_OK;
    uint32_t what = world_below(world, 10);
    if (what == 0) {
        status = pd_kv_watch_remove(world->hub, watch->id);
        watch->is_open = false;
    } else if (what == 1) {
        status = pd_kv_watch_ask_progress(world->hub, watch->id);
    } else {
        world_grant(world, watch, 1 + world_below(world, 30));
    }
    pd_assert(status == PD_OK);
}

/* Credit for all, and nothing new: every watcher must be told of everything. */
static inline void world_settle(struct world *world)
{
    for (uint32_t i = 0; i < WORLD_WATCHES; i++) {
        if (world->watches[i].is_open) {
            world_grant(world, &world->watches[i], 1000000);
            enum pd_status status = pd_kv_watch_ask_progress(world->hub, world->watches[i].id);
            pd_assert(status == PD_OK);
        }
    }
    while (world_turn(world, 20)) {
        world_serve(world, false);
    }
    pd_kv_watch_check(world->hub);
    struct pd_kv_watch_status status;
    pd_kv_watch_status(world->hub, &status);
    pd_assert(status.behind_count == 0);
    for (uint32_t i = 0; i < WORLD_WATCHES; i++) {
        struct world_watch *watch = &world->watches[i];
        pd_assert(!watch->is_open || world_expects(world, watch) == world->event_count);
        pd_assert(!watch->is_open || !watch->in_fragment);
    }
}

static inline struct pd_kv_config world_kv_config(void)
{
    struct pd_kv_config c = pd_kv_config_default();
    c.limits.key_bytes_max = 16;
    c.limits.request_bytes_max = 32768;
    c.answer_bytes_max = 32768;
    c.overlay_bytes = 1 << 20;
    c.cache_bytes = 8192;
    c.histories_max = WORLD_READERS;
    c.prefetch_max = 0;
    c.leases_max = 4;
    c.sessions_max = 4;
    c.session_window_max = 4;
    c.writes_max = 64;
    c.read_bytes_max = 1 << 16;
    return c;
}

static inline struct world *world_open(const struct pd_kv_config *kv,
                                       const struct pd_kv_watch_config *config, uint64_t seed)
{
    struct world *world = calloc(1, sizeof *world);
    pd_assert(world != NULL);
    world->events = calloc(WORLD_EVENTS, sizeof *world->events);
    world->config = *config;
    world->store = pd_store_memory_open();
    world->revision = 1;
    pd_random_init(&world->random, seed, "watch world");
    enum pd_status status = pd_kv_open(kv, &world->kv);
    pd_assert(status == PD_OK);
    status = pd_kv_watch_open(config, &world->hub);
    pd_assert(status == PD_OK);
    pd_kv_watch_begin(world->hub, 1, 0);
    return world;
}

static inline void world_close(struct world *world)
{
    for (uint32_t i = 0; i < WORLD_PAGES; i++) {
        if (world->pages[i].is_out) {
            free(world->pages[i].page.bytes);
        }
    }
    pd_kv_watch_close(world->hub);
    pd_kv_close(world->kv);
    world->store->ops->close(world->store);
    free(world->events);
    free(world);
}

#endif
