#include "kv/watch_recent.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "kv/codec.h"

enum pd_status pd_kv_recent_init(struct pd_kv_recent *recent, uint32_t revisions_max,
                                 uint32_t events_max, uint32_t bytes_max)
{
    *recent = (struct pd_kv_recent){
        .revisions = pd_alloc_zeroed(revisions_max, sizeof *recent->revisions),
        .events = pd_alloc_zeroed(events_max, sizeof *recent->events),
        .bytes = pd_alloc(bytes_max),
        .revisions_max = revisions_max,
        .events_max = events_max,
        .bytes_max = bytes_max,
    };
    if (recent->revisions == NULL || recent->events == NULL || recent->bytes == NULL) {
        pd_kv_recent_deinit(recent);
        return PD_ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < revisions_max; i++) {
        pd_list_init(&recent->revisions[i].waiting);
    }
    pd_kv_recent_restart(recent, 0);
    return PD_OK;
}

void pd_kv_recent_deinit(struct pd_kv_recent *recent)
{
    pd_free(recent->revisions);
    pd_free(recent->events);
    pd_free(recent->bytes);
    *recent = (struct pd_kv_recent){0};
}

void pd_kv_recent_restart(struct pd_kv_recent *recent, int64_t revision)
{
    recent->newest_revision = revision;
    recent->oldest_revision = revision + 1;
    recent->event_tail = recent->event_head;
    recent->bytes_tail = recent->bytes_head;
}

bool pd_kv_recent_holds(const struct pd_kv_recent *recent, int64_t revision)
{
    return revision >= recent->oldest_revision && revision <= recent->newest_revision;
}

static struct pd_kv_recent_revision *slot(const struct pd_kv_recent *recent, int64_t revision)
{
    return &recent->revisions[(uint64_t)revision % recent->revisions_max];
}

struct pd_kv_recent_revision *pd_kv_recent_at(const struct pd_kv_recent *recent, int64_t revision)
{
    pd_assert(pd_kv_recent_holds(recent, revision));
    return slot(recent, revision);
}

const struct pd_kv_event *pd_kv_recent_event(const struct pd_kv_recent *recent, uint64_t number)
{
    pd_assert(number >= recent->event_tail);
    pd_assert(number < recent->event_head);
    return &recent->events[number % recent->events_max];
}

static uint64_t bytes_of(const struct pd_kv_event *event)
{
    bool has_previous = event->has_previous && event->previous_known;
    return (uint64_t)event->record.key.size + event->record.value.size +
           (has_previous ? event->previous.value.size : 0);
}

/* With what may be lost at the ring's end: less than the largest event. */
static uint64_t bytes_needed(const struct pd_kv_events *events)
{
    uint64_t all = 0;
    uint64_t largest = 0;
    for (uint32_t i = 0; i < events->count; i++) {
        uint64_t bytes = bytes_of(&events->events[i]);
        all += bytes;
        largest = bytes > largest ? bytes : largest;
    }
    return all + largest;
}

bool pd_kv_recent_can_hold(const struct pd_kv_recent *recent, const struct pd_kv_events *events)
{
    return !events->is_cut && events->count <= recent->events_max &&
           bytes_needed(events) <= recent->bytes_max;
}

bool pd_kv_recent_has_room(const struct pd_kv_recent *recent, const struct pd_kv_events *events)
{
    uint64_t used = recent->bytes_head - recent->bytes_tail;
    return recent->newest_revision + 1 - recent->oldest_revision < recent->revisions_max &&
           events->count <= recent->events_max - (recent->event_head - recent->event_tail) &&
           bytes_needed(events) <= recent->bytes_max - used;
}

void pd_kv_recent_evict(struct pd_kv_recent *recent)
{
    const struct pd_kv_recent_revision *oldest = pd_kv_recent_at(recent, recent->oldest_revision);
    pd_assert(pd_list_is_empty(&oldest->waiting));
    recent->event_tail = oldest->event_end;
    recent->bytes_tail = oldest->bytes_end;
    recent->oldest_revision++;
}

static struct pd_span keep(uint8_t **to, struct pd_span span)
{
    uint8_t *bytes = *to;
    if (span.size > 0) {
        memcpy(bytes, span.bytes, span.size);
        *to += span.size;
    }
    return pd_kv_span(bytes, span.size);
}

static void add_event(struct pd_kv_recent *recent, const struct pd_kv_event *event)
{
    uint64_t size = bytes_of(event);
    uint64_t left = recent->bytes_max - recent->bytes_head % recent->bytes_max;
    if (size > left) {
        recent->bytes_head += left;
    }
    uint8_t *to = recent->bytes + recent->bytes_head % recent->bytes_max;
    recent->bytes_head += size;
    struct pd_kv_event *kept = &recent->events[recent->event_head++ % recent->events_max];
    *kept = *event;
    kept->record.key = keep(&to, event->record.key);
    kept->record.value = keep(&to, event->record.value);
    kept->previous.key = kept->record.key;
    bool has_previous = event->has_previous && event->previous_known;
    kept->previous.value = has_previous ? keep(&to, event->previous.value) : pd_kv_span(NULL, 0);
}

void pd_kv_recent_add(struct pd_kv_recent *recent, const struct pd_kv_events *events)
{
    pd_assert(pd_kv_recent_has_room(recent, events));
    struct pd_kv_recent_revision *revision = slot(recent, events->revision);
    pd_assert(pd_list_is_empty(&revision->waiting));
    revision->event_begin = recent->event_head;
    revision->has_unknown = false;
    for (uint32_t i = 0; i < events->count; i++) {
        const struct pd_kv_event *event = &events->events[i];
        revision->has_unknown =
            revision->has_unknown || (event->has_previous && !event->previous_known);
        add_event(recent, event);
    }
    revision->event_end = recent->event_head;
    revision->bytes_end = recent->bytes_head;
    recent->newest_revision++;
    pd_assert(events->revision == recent->newest_revision);
}

void pd_kv_recent_check(const struct pd_kv_recent *recent)
{
    pd_assert(recent->oldest_revision <= recent->newest_revision + 1);
    pd_assert(recent->event_head - recent->event_tail <= recent->events_max);
    pd_assert(recent->bytes_head - recent->bytes_tail <= recent->bytes_max);
    uint64_t event = recent->event_tail;
    for (int64_t r = recent->oldest_revision; r <= recent->newest_revision; r++) {
        const struct pd_kv_recent_revision *revision = pd_kv_recent_at(recent, r);
        pd_assert(revision->event_begin == event);
        pd_assert(revision->event_end >= event);
        event = revision->event_end;
    }
    pd_assert(event == recent->event_head);
}
