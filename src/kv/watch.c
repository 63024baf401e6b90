/* watch - watchers, what is published, and those in step. */
#include "kv/watch.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/mutant.h"
#include "base/sometimes.h"
#include "kv/codec.h"
#include "kv/watch_internal.h"

#define KIB 1024u
#define CREDIT_MAX (INT64_MAX / 2)

struct pd_kv_watch_config pd_kv_watch_config_default(void)
{
    return (struct pd_kv_watch_config){
        .watches_max = 65536,
        .key_bytes_max = (uint64_t)16 * KIB * KIB,
        .recent_revisions_max = 2048,
        .recent_events_max = 8192,
        .recent_bytes = 4 * KIB * KIB,
        .readers_max = 4,
        .near_revisions = 1024,
        .answer_bytes_max = 256 * KIB,
        .answer_events_max = 65536,
        .whole_bytes_max = 18 * KIB * KIB,
        .page_bytes = 64 * KIB,
        .progress_ticks = 6000,
        .hash_seed = 0x7761746368,
    };
}

static bool is_sound(const struct pd_kv_watch_config *config)
{
    return config->watches_max > 0 && config->recent_revisions_max > 0 &&
           config->recent_events_max > 0 && config->recent_bytes > 0 && config->readers_max > 0 &&
           config->answer_events_max > 0 && config->whole_bytes_max >= config->answer_bytes_max &&
           config->whole_bytes_max >= config->page_bytes && config->progress_ticks > 0;
}

enum pd_status pd_kv_watch_open(const struct pd_kv_watch_config *config,
                                struct pd_kv_watch_hub **hub_out)
{
    if (!is_sound(config)) {
        return PD_ERR_INVALID;
    }
    struct pd_kv_watch_hub *hub = pd_alloc_zeroed(1, sizeof *hub);
    if (hub == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    hub->config = *config;
    hub->watchers = pd_alloc_zeroed(config->watches_max, sizeof *hub->watchers);
    hub->free = pd_alloc_zeroed(config->watches_max, sizeof *hub->free);
    hub->readers = pd_alloc_zeroed(config->readers_max, sizeof *hub->readers);
    hub->taken =
        (const struct pd_kv_event **)pd_alloc_zeroed(config->answer_events_max, sizeof *hub->taken);
    enum pd_status status = pd_kv_recent_init(&hub->recent, config->recent_revisions_max,
                                              config->recent_events_max, config->recent_bytes);
    if (hub->watchers == NULL || hub->free == NULL || hub->readers == NULL || hub->taken == NULL ||
        status != PD_OK) {
        pd_kv_watch_close(hub);
        return PD_ERR_NO_MEMORY;
    }
    struct pd_list *lists[] = {&hub->hot, &hub->marked, &hub->ready, &hub->ended};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        pd_list_init(lists[i]);
    }
    for (uint32_t i = 0; i < config->watches_max; i++) {
        hub->free[i] = config->watches_max - 1 - i; /* the watchers are not touched before use */
    }
    hub->free_count = config->watches_max;
    pd_kv_watch_index_init(&hub->in_step, config->hash_seed);
    for (uint32_t i = 0; i < config->readers_max; i++) {
        pd_kv_watch_index_init(&hub->readers[i].index, config->hash_seed);
        pd_list_init(&hub->readers[i].members);
    }
    pd_kv_watch_begin(hub, 1, 0);
    *hub_out = hub;
    return PD_OK;
}

void pd_kv_watch_close(struct pd_kv_watch_hub *hub)
{
    if (hub == NULL) {
        return;
    }
    for (uint32_t i = 0; hub->watchers != NULL && i < hub->used; i++) {
        pd_free(hub->watchers[i].bytes);
    }
    for (uint32_t i = 0; hub->readers != NULL && i < hub->config.readers_max; i++) {
        pd_kv_watch_index_deinit(&hub->readers[i].index);
    }
    pd_kv_watch_index_deinit(&hub->in_step);
    pd_kv_recent_deinit(&hub->recent);
    pd_free(hub->watchers);
    pd_free(hub->free);
    pd_free(hub->readers);
    pd_free((void *)hub->taken);
    pd_free(hub);
}

void pd_kv_watch_begin(struct pd_kv_watch_hub *hub, int64_t revision, int64_t compacted_revision)
{
    for (uint32_t i = 0; i < hub->used; i++) {
        if (hub->watchers[i].state != PD_KV_WATCHER_FREE) {
            pd_kv_watcher_free(hub, &hub->watchers[i]);
        }
    }
    hub->page.is_open = false;
    hub->revision = revision;
    hub->compacted = compacted_revision;
    pd_kv_recent_restart(&hub->recent, revision);
    pd_kv_watch_readers_begin(hub);
}

/* -- Watchers ---------------------------------------------------------------------------------- */

static struct pd_kv_watcher *find(const struct pd_kv_watch_hub *hub, uint64_t id)
{
    uint32_t slot = (uint32_t)(id & UINT32_MAX);
    if (slot >= hub->used || hub->watchers[slot].generation != id >> 32 ||
        hub->watchers[slot].state == PD_KV_WATCHER_FREE) {
        return NULL;
    }
    return &hub->watchers[slot];
}

bool pd_kv_watcher_has_credit(const struct pd_kv_watcher *watcher)
{
    return watcher->credit > 0 || PD_MUTANT(KV_WATCH_CREDIT_IGNORED);
}

/* Into the hot list, if there may be something to give and it may be given. */
static void heat(struct pd_kv_watch_hub *hub, struct pd_kv_watcher *watcher)
{
    bool is_due = watcher->pending_revision != 0 || watcher->is_progress_due;
    if (watcher->state == PD_KV_WATCHER_IN_STEP && is_due && pd_kv_watcher_has_credit(watcher) &&
        !pd_list_is_linked(&watcher->turn)) {
        pd_list_append(&hub->hot, &watcher->turn);
    }
}

void pd_kv_watcher_step_in(struct pd_kv_watch_hub *hub, struct pd_kv_watcher *watcher)
{
    watcher->state = PD_KV_WATCHER_IN_STEP;
    watcher->pending_revision = 0;
    pd_kv_watch_index_insert(&hub->in_step, &watcher->node);
    hub->in_step_count++;
    heat(hub, watcher);
}

static void step_out(struct pd_kv_watch_hub *hub, struct pd_kv_watcher *watcher)
{
    pd_assert(watcher->state == PD_KV_WATCHER_IN_STEP);
    pd_list_remove(&watcher->place);
    pd_list_remove(&watcher->turn);
    pd_kv_watch_index_remove(&hub->in_step, &watcher->node);
    watcher->pending_revision = 0;
    hub->in_step_count--;
}

void pd_kv_watcher_is_behind(struct pd_kv_watch_hub *hub, struct pd_kv_watcher *watcher)
{
    if (pd_kv_watcher_has_credit(watcher)) {
        watcher->state = PD_KV_WATCHER_READY;
        pd_list_append(&hub->ready, &watcher->place);
    } else {
        watcher->state = PD_KV_WATCHER_PARKED;
    }
}

void pd_kv_watcher_end(struct pd_kv_watch_hub *hub, struct pd_kv_watcher *watcher)
{
    watcher->state = PD_KV_WATCHER_ENDED;
    pd_list_append(&hub->ended, &watcher->place);
}

/* In step no longer: `next` says from where on it needs history. */
static void fall_behind(struct pd_kv_watch_hub *hub, struct pd_kv_watcher *watcher)
{
    step_out(hub, watcher);
    pd_kv_watcher_is_behind(hub, watcher);
}

static void detach(struct pd_kv_watch_hub *hub, struct pd_kv_watcher *watcher)
{
    switch (watcher->state) {
    case PD_KV_WATCHER_IN_STEP:
        step_out(hub, watcher);
        break;
    case PD_KV_WATCHER_READING:
        pd_kv_watch_leave_reader(hub, watcher);
        break;
    case PD_KV_WATCHER_READY:
    case PD_KV_WATCHER_ENDED:
        pd_list_remove(&watcher->place);
        break;
    case PD_KV_WATCHER_PARKED:
    case PD_KV_WATCHER_FREE:
        break;
    }
}

void pd_kv_watcher_free(struct pd_kv_watch_hub *hub, struct pd_kv_watcher *watcher)
{
    detach(hub, watcher);
    hub->key_bytes -= watcher->node.low.size + watcher->node.end.size;
    pd_free(watcher->bytes);
    watcher->bytes = NULL;
    watcher->state = PD_KV_WATCHER_FREE;
    hub->free[hub->free_count++] = (uint32_t)(watcher - hub->watchers);
}

/* Its keys in one block of its own. */
static bool take_keys(struct pd_kv_watcher *watcher, struct pd_span key, struct pd_span end)
{
    watcher->bytes = pd_alloc(key.size + end.size);
    if (watcher->bytes == NULL) {
        return false;
    }
    memcpy(watcher->bytes, key.bytes, key.size);
    if (end.size > 0) {
        memcpy(watcher->bytes + key.size, end.bytes, end.size);
    }
    watcher->node.low = pd_kv_span(watcher->bytes, key.size);
    watcher->node.end = pd_kv_span(watcher->bytes + key.size, end.size);
    return true;
}

enum pd_status pd_kv_watch_add(struct pd_kv_watch_hub *hub, const struct pd_kv_watch *watch,
                               uint64_t *id_out)
{
    static const uint8_t zero[] = {0};
    struct pd_span key = watch->key.size == 0 ? pd_kv_span(zero, 1) : watch->key;
    struct pd_span end = watch->range_end;
    bool is_empty =
        end.size > 0 && !pd_kv_range_end_is_open(end) && pd_kv_span_compare(key, end) >= 0;
    if (is_empty || watch->start_revision < 0) {
        return PD_ERR_INVALID;
    }
    if (hub->free_count == 0 || key.size + end.size > hub->config.key_bytes_max - hub->key_bytes) {
        return PD_ERR_FULL;
    }
    uint32_t slot = hub->free[hub->free_count - 1];
    struct pd_kv_watcher *watcher = &hub->watchers[slot];
    if (!take_keys(watcher, key, end)) {
        return PD_ERR_NO_MEMORY;
    }
    if (slot >= hub->used) {
        hub->used = slot + 1;
        pd_list_init(&watcher->place);
        pd_list_init(&watcher->turn);
    }
    hub->free_count--;
    hub->key_bytes += key.size + end.size;
    watcher->generation++;
    watcher->asked = *watch;
    watcher->credit = watch->credit;
    watcher->next = (struct pd_kv_position){
        watch->start_revision == 0 ? hub->revision + 1 : watch->start_revision, 0};
    watcher->is_in_fragment = false;
    watcher->is_progress_due = false;
    watcher->has_spoken = true;
    if (watcher->next.revision > hub->revision) {
        pd_kv_watcher_step_in(hub, watcher);
    } else if (watcher->next.revision < hub->compacted && !PD_MUTANT(KV_WATCH_COMPACTION_IGNORED)) {
        pd_kv_watcher_end(hub, watcher);
    } else {
        pd_kv_watcher_is_behind(hub, watcher);
    }
    *id_out = (uint64_t)watcher->generation << 32 | (uint64_t)(watcher - hub->watchers);
    return PD_OK;
}

enum pd_status pd_kv_watch_remove(struct pd_kv_watch_hub *hub, uint64_t id)
{
    struct pd_kv_watcher *watcher = find(hub, id);
    if (watcher == NULL) {
        return PD_ERR_UNKNOWN;
    }
    pd_kv_watcher_free(hub, watcher);
    return PD_OK;
}

enum pd_status pd_kv_watch_grant(struct pd_kv_watch_hub *hub, uint64_t id, uint32_t credit)
{
    struct pd_kv_watcher *watcher = find(hub, id);
    if (watcher == NULL) {
        return PD_ERR_UNKNOWN;
    }
    watcher->credit = watcher->credit > CREDIT_MAX ? CREDIT_MAX : watcher->credit + credit;
    heat(hub, watcher);
    if (watcher->state == PD_KV_WATCHER_PARKED && pd_kv_watcher_has_credit(watcher)) {
        pd_kv_watcher_is_behind(hub, watcher);
    }
    return PD_OK;
}

enum pd_status pd_kv_watch_spend(struct pd_kv_watch_hub *hub, uint64_t id, uint32_t credit)
{
    struct pd_kv_watcher *watcher = find(hub, id);
    if (watcher == NULL) {
        return PD_ERR_UNKNOWN;
    }
    watcher->credit = watcher->credit < -CREDIT_MAX ? -CREDIT_MAX : watcher->credit - credit;
    return PD_OK;
}

enum pd_status pd_kv_watch_ask_progress(struct pd_kv_watch_hub *hub, uint64_t id)
{
    struct pd_kv_watcher *watcher = find(hub, id);
    if (watcher == NULL) {
        return PD_ERR_UNKNOWN;
    }
    watcher->is_progress_due = true;
    heat(hub, watcher);
    return PD_OK;
}

/* -- What happens ------------------------------------------------------------------------------ */

/* Room for one revision more: those who wait in the oldest one fall behind. */
static void evict_oldest(struct pd_kv_watch_hub *hub)
{
    struct pd_kv_recent_revision *oldest =
        pd_kv_recent_at(&hub->recent, hub->recent.oldest_revision);
    pd_kv_watch_page_yield(hub, oldest->event_end);
    struct pd_list *first;
    while ((first = pd_list_first(&oldest->waiting)) != NULL) {
        struct pd_kv_watcher *watcher = pd_kv_watcher_of(first, place);
        PD_SOMETIMES(KV_WATCH_FELL_BEHIND, true);
        if (PD_MUTANT(KV_WATCH_BEHIND_DROPS)) {
            pd_list_remove(&watcher->place);
            pd_list_remove(&watcher->turn);
            watcher->pending_revision = 0;
            continue;
        }
        if (PD_MUTANT(KV_WATCH_BEHIND_TWICE) && watcher->next.revision > 2) {
            watcher->next.revision--;
        }
        fall_behind(hub, watcher);
    }
    pd_kv_recent_evict(&hub->recent);
}

static void raise_next(struct pd_kv_watcher *watcher, int64_t revision)
{
    struct pd_kv_position from = {revision, 0};
    if (pd_kv_position_before(watcher->next, from)) {
        watcher->next = from;
    }
}

/* Something in the ring's newest revision is for it. */
static void wait_in_ring(struct pd_kv_watch_hub *hub, struct pd_kv_watcher *watcher,
                         int64_t revision)
{
    if (watcher->pending_revision == 0) {
        watcher->pending_revision = revision;
        raise_next(watcher, revision);
        pd_list_append(&pd_kv_recent_at(&hub->recent, revision)->waiting, &watcher->place);
        heat(hub, watcher);
    }
}

/* The ring does not take the revision: those whom it concerns read it from the store. The hot list
 * can only hold some whose progress is due: they will be told when they are in step again. */
static void publish_beside(struct pd_kv_watch_hub *hub, const struct pd_kv_events *events)
{
    struct pd_list concerned;
    pd_list_init(&concerned);
    for (uint32_t i = 0; events->is_cut && i < hub->used; i++) {
        struct pd_kv_watcher *watcher = &hub->watchers[i];
        if (watcher->state == PD_KV_WATCHER_IN_STEP) {
            pd_list_remove(&watcher->turn);
            pd_list_append(&concerned, &watcher->turn);
        }
    }
    for (uint32_t i = 0; !events->is_cut && i < events->count; i++) {
        struct pd_span key = events->events[i].record.key;
        for (struct pd_kv_watch_node *node = pd_kv_watch_index_first(&hub->in_step, key);
             node != NULL; node = pd_kv_watch_index_next(&hub->in_step, node, key)) {
            struct pd_kv_watcher *watcher = pd_kv_watcher_of(node, node);
            pd_list_remove(&watcher->turn);
            pd_list_append(&concerned, &watcher->turn);
        }
    }
    struct pd_list *first;
    while ((first = pd_list_first(&concerned)) != NULL) {
        struct pd_kv_watcher *watcher = pd_kv_watcher_of(first, turn);
        raise_next(watcher, events->revision);
        if (watcher->next.revision > events->revision) {
            pd_list_remove(&watcher->turn); /* it begins later: it stays in step */
            heat(hub, watcher);
            continue;
        }
        fall_behind(hub, watcher);
    }
}

void pd_kv_watch_publish(struct pd_kv_watch_hub *hub, const struct pd_kv_events *events)
{
    if (events->revision == 0) {
        return;
    }
    pd_assert(events->revision == hub->revision + 1);
    hub->revision++;
    bool is_wanted = hub->free_count < hub->config.watches_max;
    bool is_held = is_wanted && pd_kv_recent_can_hold(&hub->recent, events);
    while (hub->recent.oldest_revision <= hub->recent.newest_revision &&
           !(is_held && pd_kv_recent_has_room(&hub->recent, events))) {
        evict_oldest(hub);
    }
    if (!is_held) {
        PD_SOMETIMES(KV_WATCH_PAST_RING, is_wanted);
        pd_kv_recent_restart(&hub->recent, events->revision);
        if (is_wanted) {
            publish_beside(hub, events);
        }
        return;
    }
    pd_kv_recent_add(&hub->recent, events);
    for (uint32_t i = 0; i < events->count; i++) {
        const struct pd_kv_event *event = &events->events[i];
        struct pd_span key = event->record.key;
        for (struct pd_kv_watch_node *node = pd_kv_watch_index_first(&hub->in_step, key);
             node != NULL; node = pd_kv_watch_index_next(&hub->in_step, node, key)) {
            struct pd_kv_watcher *watcher = pd_kv_watcher_of(node, node);
            if (pd_kv_watcher_wants(watcher, event)) {
                wait_in_ring(hub, watcher, events->revision);
            }
        }
    }
}

void pd_kv_watch_compacted(struct pd_kv_watch_hub *hub, int64_t revision)
{
    if (revision > hub->compacted) {
        hub->compacted = revision;
    }
}

void pd_kv_watch_tick(struct pd_kv_watch_hub *hub)
{
    uint32_t slots = hub->config.watches_max / hub->config.progress_ticks + 1;
    for (uint32_t i = 0; i < slots; i++) {
        uint32_t slot = hub->look;
        struct pd_kv_watcher *watcher = &hub->watchers[slot];
        hub->look = (hub->look + 1) % hub->config.watches_max;
        if (slot >= hub->used) {
            continue;
        }
        if (watcher->state != PD_KV_WATCHER_FREE && watcher->asked.with_progress &&
            !watcher->has_spoken) {
            watcher->is_progress_due = true;
            heat(hub, watcher);
        }
        watcher->has_spoken = false;
    }
}

/* -- Answers ----------------------------------------------------------------------------------- */

static enum pd_kv_watch_turn tell_end(struct pd_kv_watch_hub *hub,
                                      struct pd_kv_watch_answer *answer_out)
{
    struct pd_kv_watcher *watcher = pd_kv_watcher_of(pd_list_first(&hub->ended), place);
    *answer_out = (struct pd_kv_watch_answer){
        .kind = PD_KV_WATCH_COMPACTED,
        .id = (uint64_t)watcher->generation << 32 | (uint64_t)(watcher - hub->watchers),
        .owner = watcher->asked.owner,
        .revision = hub->revision,
        .through_revision = watcher->next.revision - 1,
        .compact_revision = hub->compacted,
    };
    pd_kv_watcher_free(hub, watcher);
    return PD_KV_WATCH_ANSWER;
}

static enum pd_kv_watch_turn tell_progress(struct pd_kv_watch_hub *hub,
                                           struct pd_kv_watcher *watcher,
                                           struct pd_kv_watch_answer *answer_out)
{
    watcher->is_progress_due = false;
    watcher->has_spoken = true;
    *answer_out = (struct pd_kv_watch_answer){
        .kind = PD_KV_WATCH_PROGRESS,
        .id = (uint64_t)watcher->generation << 32 | (uint64_t)(watcher - hub->watchers),
        .owner = watcher->asked.owner,
        .revision = hub->revision,
        .through_revision = hub->revision,
    };
    return PD_KV_WATCH_ANSWER;
}

/* What waits in the ring for one watcher. */
static enum pd_kv_watch_turn give_recent(struct pd_kv_watch_hub *hub, struct pd_kv_watcher *watcher,
                                         struct pd_kv_watch_answer *answer_out)
{
    uint64_t from = pd_kv_recent_at(&hub->recent, watcher->pending_revision)->event_begin;
    struct pd_kv_watch_source source = {
        .begin = from,
        .end = hub->recent.event_head,
        .end_at = {hub->revision + 1, 0},
    };
    uint64_t rest = source.end;
    enum pd_kv_watch_taken taken = pd_kv_watch_take(hub, watcher, &source, from, answer_out, &rest);
    if (taken == PD_KV_WATCH_TAKEN_UNKNOWN) {
        PD_SOMETIMES(KV_WATCH_PREVIOUS_UNKNOWN, true);
        fall_behind(hub, watcher);
        return PD_KV_WATCH_MORE;
    }
    pd_list_remove(&watcher->place);
    watcher->pending_revision = 0;
    if (rest < source.end) {
        int64_t revision = pd_kv_watch_event(hub, &source, rest)->record.mod_revision;
        watcher->pending_revision = revision;
        pd_list_append(&pd_kv_recent_at(&hub->recent, revision)->waiting, &watcher->place);
    }
    heat(hub, watcher);
    return taken == PD_KV_WATCH_TAKEN_ANSWER ? PD_KV_WATCH_ANSWER : PD_KV_WATCH_MORE;
}

static enum pd_kv_watch_turn hot_turn(struct pd_kv_watch_hub *hub,
                                      struct pd_kv_watch_answer *answer_out)
{
    struct pd_kv_watcher *watcher = pd_kv_watcher_of(pd_list_first(&hub->hot), turn);
    pd_list_remove(&watcher->turn);
    if (!pd_kv_watcher_has_credit(watcher)) {
        return PD_KV_WATCH_MORE; /* its credit was spent: a grant brings it back */
    }
    bool is_told = watcher->is_progress_due && PD_MUTANT(KV_WATCH_PROGRESS_EARLY);
    if (watcher->pending_revision != 0 && !is_told) {
        return give_recent(hub, watcher, answer_out);
    }
    pd_assert(watcher->is_progress_due);
    enum pd_kv_watch_turn turn = tell_progress(hub, watcher, answer_out);
    heat(hub, watcher);
    return turn;
}

enum pd_kv_watch_turn pd_kv_watch_next(struct pd_kv_watch_hub *hub,
                                       struct pd_kv_watch_answer *answer_out)
{
    if (!pd_list_is_empty(&hub->ended)) {
        return tell_end(hub, answer_out);
    }
    bool is_hot = !pd_list_is_empty(&hub->hot);
    hub->is_page_turn = !hub->is_page_turn;
    if (hub->page.is_open && (hub->is_page_turn || !is_hot)) {
        return pd_kv_watch_page_turn(hub, answer_out);
    }
    if (!hub->page.is_open && (hub->is_page_turn || !is_hot)) {
        enum pd_kv_watch_turn turn = pd_kv_watch_readers_turn(hub);
        if (turn != PD_KV_WATCH_IDLE) {
            return turn;
        }
    }
    return is_hot ? hot_turn(hub, answer_out) : PD_KV_WATCH_IDLE;
}

/* -- What it is -------------------------------------------------------------------------------- */

void pd_kv_watch_status(const struct pd_kv_watch_hub *hub, struct pd_kv_watch_status *status_out)
{
    uint32_t count = hub->config.watches_max - hub->free_count;
    *status_out = (struct pd_kv_watch_status){
        .revision = hub->revision,
        .recent_revision = hub->recent.oldest_revision,
        .watch_count = count,
        .in_step_count = hub->in_step_count,
        .behind_count = count - hub->in_step_count,
        .visits = hub->in_step.visits,
    };
}

static void check_in_step(const struct pd_kv_watch_hub *hub, const struct pd_kv_watcher *watcher)
{
    bool is_pending = watcher->pending_revision != 0;
    pd_assert(pd_list_is_linked(&watcher->place) == is_pending);
    if (is_pending) {
        pd_assert(pd_kv_recent_holds(&hub->recent, watcher->pending_revision));
        pd_assert(watcher->next.revision >= watcher->pending_revision);
    }
    bool is_due = is_pending || watcher->is_progress_due;
    pd_assert(!is_due || watcher->credit <= 0 || pd_list_is_linked(&watcher->turn));
}

void pd_kv_watch_check(const struct pd_kv_watch_hub *hub)
{
    uint32_t counts[PD_KV_WATCHER_ENDED + 1] = {0};
    uint64_t key_bytes = 0;
    for (uint32_t i = 0; i < hub->config.watches_max; i++) {
        const struct pd_kv_watcher *watcher = &hub->watchers[i];
        counts[watcher->state]++;
        if (watcher->state == PD_KV_WATCHER_IN_STEP) {
            check_in_step(hub, watcher);
        }
        if (watcher->state == PD_KV_WATCHER_PARKED) {
            pd_assert(watcher->credit <= 0);
        }
        if (watcher->state != PD_KV_WATCHER_FREE) {
            key_bytes += watcher->node.low.size + watcher->node.end.size;
        }
    }
    pd_assert(counts[PD_KV_WATCHER_FREE] == hub->free_count);
    pd_assert(counts[PD_KV_WATCHER_IN_STEP] == hub->in_step_count);
    pd_assert(hub->in_step.count == hub->in_step_count);
    pd_assert(key_bytes == hub->key_bytes);
    pd_assert(hub->recent.newest_revision == hub->revision);
    pd_kv_watch_index_check(&hub->in_step);
    pd_kv_recent_check(&hub->recent);
    pd_kv_watch_readers_check(hub);
}
