/* watch_take - what of a run of events goes into one answer of one watcher. */
#include "base/assert.h"
#include "base/mutant.h"
#include "kv/codec.h"
#include "kv/watch_internal.h"

#define EVENT_BYTES 64u

const struct pd_kv_event *pd_kv_watch_event(const struct pd_kv_watch_hub *hub,
                                            const struct pd_kv_watch_source *source, uint64_t at)
{
    pd_assert(at >= source->begin);
    pd_assert(at < source->end);
    return source->events != NULL ? &source->events[at] : pd_kv_recent_event(&hub->recent, at);
}

bool pd_kv_watcher_wants(const struct pd_kv_watcher *watcher, const struct pd_kv_event *event)
{
    const struct pd_kv_watch *asked = &watcher->asked;
    if (pd_kv_position_before(pd_kv_position_of(event), watcher->next) &&
        !PD_MUTANT(KV_WATCH_START_IGNORED)) {
        return false;
    }
    bool is_filtered = event->is_delete ? asked->no_delete : asked->no_put;
    if (PD_MUTANT(KV_WATCH_FILTER_SWAPPED)) {
        is_filtered = event->is_delete ? asked->no_put : asked->no_delete;
    }
    return !is_filtered;
}

static bool lacks_previous(const struct pd_kv_watcher *watcher, const struct pd_kv_event *event)
{
    return watcher->asked.with_previous && event->has_previous && !event->previous_known &&
           !PD_MUTANT(KV_WATCH_PREVIOUS_LOST);
}

static uint64_t event_bytes(const struct pd_kv_watcher *watcher, const struct pd_kv_event *event)
{
    bool has_previous = watcher->asked.with_previous && event->has_previous;
    return EVENT_BYTES + (uint64_t)event->record.key.size + event->record.value.size +
           (has_previous ? (uint64_t)event->record.key.size + event->previous.value.size : 0);
}

void pd_kv_watcher_set_fragment(struct pd_kv_watch_hub *hub, struct pd_kv_watcher *watcher,
                                bool is_in_fragment)
{
    if (watcher->state == PD_KV_WATCHER_READING && watcher->is_in_fragment != is_in_fragment) {
        struct pd_kv_watch_reader *reader = &hub->readers[watcher->reader];
        pd_assert(is_in_fragment || reader->fragment_count > 0);
        reader->fragment_count += is_in_fragment ? 1u : UINT32_MAX;
    }
    watcher->is_in_fragment = is_in_fragment;
}

/* Events gathered so far. */
struct gathered {
    uint32_t count;
    uint32_t whole; /* how many of them are of whole revisions */
    uint64_t bytes;
    uint64_t at;             /* the first event that was not looked at, or does not fit */
    int64_t revision;        /* of the event looked at last */
    uint64_t revision_begin; /* its first event in the source */
    bool is_full;
    bool is_unknown;
};

/* Whether one event more is too much. A revision that came first is split only if it must be. */
static bool is_over(const struct pd_kv_watch_hub *hub, const struct pd_kv_watcher *watcher,
                    const struct gathered *g, uint64_t bytes)
{
    if (g->count == 0) {
        return false;
    }
    bool is_too_much = g->bytes + bytes > hub->config.answer_bytes_max;
    bool is_beyond =
        g->count == hub->config.answer_events_max || g->bytes + bytes > hub->config.whole_bytes_max;
    return is_beyond || (is_too_much && (g->whole > 0 || watcher->asked.may_fragment));
}

static void gather(struct pd_kv_watch_hub *hub, const struct pd_kv_watcher *watcher,
                   const struct pd_kv_watch_source *source, struct gathered *g)
{
    for (; g->at < source->end; g->at++) {
        const struct pd_kv_event *event = pd_kv_watch_event(hub, source, g->at);
        if (event->record.mod_revision != g->revision) {
            g->revision = event->record.mod_revision;
            g->revision_begin = g->at;
            g->whole = g->count;
        }
        if (!pd_kv_watcher_wants(watcher, event) ||
            !pd_kv_range_contains(watcher->node.low, watcher->node.end, event->record.key)) {
            continue;
        }
        if (lacks_previous(watcher, event)) {
            g->is_unknown = true;
            return;
        }
        uint64_t bytes = event_bytes(watcher, event);
        if (is_over(hub, watcher, g, bytes)) {
            g->is_full = true;
            return;
        }
        hub->taken[g->count++] = event;
        g->bytes += bytes;
    }
}

/* Where the watcher stands after what was gathered; true: more of the same revision follows. */
static bool settle(struct pd_kv_watch_hub *hub, struct pd_kv_watcher *watcher,
                   const struct pd_kv_watch_source *source, struct gathered *g)
{
    if (g->is_full || g->is_unknown) {
        if (g->whole > 0 || g->is_unknown) {
            g->count = g->whole;
            g->at = g->revision_begin;
        }
        watcher->next = pd_kv_position_of(pd_kv_watch_event(hub, source, g->at));
        return g->whole == 0;
    }
    watcher->next = source->end_at;
    return source->end_at.sub > 0 && (g->count > 0 || watcher->is_in_fragment);
}

enum pd_kv_watch_taken pd_kv_watch_take(struct pd_kv_watch_hub *hub, struct pd_kv_watcher *watcher,
                                        const struct pd_kv_watch_source *source, uint64_t from,
                                        struct pd_kv_watch_answer *answer, uint64_t *rest_out)
{
    struct gathered g = {.at = from};
    struct pd_kv_position began = watcher->next;
    bool was_in_fragment = watcher->is_in_fragment;
    if (pd_kv_position_before(source->end_at, watcher->next)) {
        return PD_KV_WATCH_TAKEN_NOTHING; /* it is ahead of the source, and stays there */
    }
    gather(hub, watcher, source, &g);
    if (g.is_unknown && g.whole == 0) {
        return PD_KV_WATCH_TAKEN_UNKNOWN;
    }
    bool is_split = settle(hub, watcher, source, &g);
    pd_kv_watcher_set_fragment(hub, watcher, is_split);
    *rest_out = g.at;
    bool closes = was_in_fragment && !is_split && began.revision < watcher->next.revision;
    if (g.count == 0 && !closes) {
        return PD_KV_WATCH_TAKEN_NOTHING;
    }
    *answer = (struct pd_kv_watch_answer){
        .kind = PD_KV_WATCH_EVENTS,
        .id = (uint64_t)watcher->generation << 32 | (uint64_t)(watcher - hub->watchers),
        .owner = watcher->asked.owner,
        .revision = hub->revision,
        .through_revision = watcher->next.revision - 1,
        .is_fragment = is_split && !PD_MUTANT(KV_WATCH_FRAGMENT_SILENT),
        .with_previous = watcher->asked.with_previous,
        .events = hub->taken,
        .count = g.count,
    };
    watcher->has_spoken = true;
    return PD_KV_WATCH_TAKEN_ANSWER;
}
