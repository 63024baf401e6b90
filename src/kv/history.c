/* history - pages of events for those who are behind: read beside the commands, each up to the
 * revision at which it began.
 *
 * The 'h' rows tell which events there are, in order; a few are read ahead. The records that they
 * tell of lie anywhere in the store: what memory has is taken from there, and the rest is fetched
 * for several events at once. Each of these has a lane, where what comes waits until the events
 * before it are in the page: so a page is what it would be if they were read one by one.
 *
 * A row that is looked for in the overlay and is not there is in the store, unless a compaction has
 * passed it: what a lane's fetch brings needs no second look at the overlay. */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/sometimes.h"
#include "kv/internal.h"

#define TRACES_MAX 64u     /* 'h' rows of one fetch */
#define TRACES_BYTES 4096u /* of those that wait, and one more */
#define H_KEY_BYTES 13u
#define OWN_MAX 128u /* events of a revision that are looked at for another one of the same key */

/* What is kept of an 'h' row until its turn comes; its key follows. */
struct trace_head {
    int64_t revision;
    int64_t replaced_revision;
    uint32_t sub;
    uint32_t replaced_sub;
    uint32_t key_size;
    bool is_delete;
};

static struct pd_kv_history_read *page_at(const struct pd_kv *kv, uint32_t page)
{
    pd_assert(page < kv->config.histories_max);
    pd_assert(kv->histories[page].is_open);
    return &kv->histories[page];
}

static uint32_t first_slot(const struct pd_kv *kv, uint32_t page)
{
    return pd_kv_first_history_slot(kv) + page * PD_KV_HISTORY_SLOTS;
}

static uint32_t lane_slot(const struct pd_kv *kv, const struct pd_kv_history_read *h,
                          const struct pd_kv_lane *lane)
{
    return first_slot(kv, (uint32_t)(h - kv->histories)) + 1 + (uint32_t)(lane - h->lanes);
}

static struct pd_kv_lane *lane_of(struct pd_kv_history_read *h, uint32_t event)
{
    return &h->lanes[event % PD_KV_HISTORY_LANES];
}

static uint32_t lane_count(const struct pd_kv_history_read *h)
{
    return h->begun - h->result.count;
}

static void cancel_slots(struct pd_kv *kv, uint32_t page)
{
    for (uint32_t i = 0; i < PD_KV_HISTORY_SLOTS; i++) {
        pd_kv_slot_cancel(kv, first_slot(kv, page) + i);
    }
}

/* -- Begin and end ----------------------------------------------------------------------------- */

static bool make_room(struct pd_kv *kv, struct pd_kv_history_read *h)
{
    /* The last event begins within bytes_max: what it needs finds room. */
    h->bytes = pd_alloc(h->bytes_max + 2 * pd_kv_row_bytes_max(kv));
    h->events_max = (uint32_t)(h->bytes_max / sizeof *h->events) + 1;
    h->events = pd_alloc(h->events_max * sizeof *h->events);
    h->traces_max = TRACES_BYTES + sizeof(struct trace_head) + kv->config.limits.key_bytes_max;
    h->traces = pd_alloc(h->traces_max + H_KEY_BYTES + 1);
    if (h->bytes == NULL || h->events == NULL || h->traces == NULL) {
        return false;
    }
    h->at.bytes = h->traces + h->traces_max;
    return true;
}

enum pd_status pd_kv_read_history(struct pd_kv *kv, int64_t revision, uint32_t sub,
                                  size_t bytes_max, uint32_t *read_out)
{
    uint32_t page = 0;
    while (page < kv->config.histories_max && kv->histories[page].is_open) {
        page++;
    }
    if (page == kv->config.histories_max) {
        return PD_ERR_FULL;
    }
    struct pd_kv_history_read *h = &kv->histories[page];
    *h = (struct pd_kv_history_read){
        .is_open = true,
        .revision = kv->meta.revision,
        .bytes_max = bytes_max,
        .traces_are_last = revision > kv->meta.revision,
    };
    if (!make_room(kv, h)) {
        pd_kv_history_end(kv, page);
        return PD_ERR_NO_MEMORY;
    }
    h->result.next_revision = revision;
    pd_kv_h_key(&h->at, revision, sub);
    *read_out = kv->config.reads_max + page;
    return PD_OK;
}

void pd_kv_history_end(struct pd_kv *kv, uint32_t page)
{
    struct pd_kv_history_read *h = &kv->histories[page];
    if (!h->is_open) {
        return;
    }
    cancel_slots(kv, page);
    pd_free(h->bytes);
    pd_free(h->events);
    pd_free(h->traces); /* and `at`, behind them */
    for (uint32_t i = 0; i < PD_KV_HISTORY_LANES; i++) {
        pd_free(h->lanes[i].bytes);
    }
    *h = (struct pd_kv_history_read){0};
}

/* -- 'h' rows that were read ------------------------------------------------------------------- */

/* false: none waits. */
static bool first_trace(const struct pd_kv_history_read *h, struct pd_kv_trace *trace_out)
{
    if (h->trace_count == 0) {
        return false;
    }
    struct trace_head head;
    memcpy(&head, h->traces + h->traces_at, sizeof head);
    *trace_out = (struct pd_kv_trace){
        .key = pd_kv_span(h->traces + h->traces_at + sizeof head, head.key_size),
        .revision = head.revision,
        .sub = head.sub,
        .replaced_revision = head.replaced_revision,
        .replaced_sub = head.replaced_sub,
        .is_delete = head.is_delete,
    };
    return true;
}

static void drop_trace(struct pd_kv_history_read *h, const struct pd_kv_trace *trace)
{
    h->traces_at += sizeof(struct trace_head) + trace->key.size;
    h->trace_count--;
}

/* false: no room; the first always has it. */
static bool keep_trace(struct pd_kv_history_read *h, const struct pd_kv_trace *trace)
{
    const struct trace_head head = {
        .revision = trace->revision,
        .replaced_revision = trace->replaced_revision,
        .sub = trace->sub,
        .replaced_sub = trace->replaced_sub,
        .key_size = (uint32_t)trace->key.size,
        .is_delete = trace->is_delete,
    };
    if (trace->key.size + sizeof head > h->traces_max - h->traces_size) {
        return false;
    }
    memcpy(h->traces + h->traces_size, &head, sizeof head);
    memcpy(h->traces + h->traces_size + sizeof head, trace->key.bytes, trace->key.size);
    h->traces_size += sizeof head + trace->key.size;
    h->trace_count++;
    return true;
}

/* The overlay's first 'h' row at or behind `at`; NULL: none. */
static const struct pd_kv_entry *overlay_trace(const struct pd_kv *kv,
                                               const struct pd_kv_history_read *h)
{
    uint64_t position = pd_kv_overlay_seek(&kv->overlay, pd_kv_place_span(&h->at));
    const struct pd_kv_entry *entry =
        position == 0 ? NULL : pd_kv_overlay_at(&kv->overlay, position);
    return entry != NULL && pd_kv_entry_key(entry).bytes[0] == 'h' ? entry : NULL;
}

/* Those that wait, to the beginning of their room. */
static void gather_traces(struct pd_kv_history_read *h)
{
    h->traces_size -= h->traces_at;
    memmove(h->traces, h->traces + h->traces_at, h->traces_size);
    h->traces_at = 0;
}

/* The 'h' rows from `at` on, the store's and the overlay's: as many as the page tells of. They are
 * of finished commands, and stay until they are compacted: those that wait need no second look. */
static enum pd_status trace_rows(struct pd_kv *kv, struct pd_kv_history_read *h,
                                 const struct pd_store_page *page)
{
    struct pd_span key = {0};
    struct pd_span value = {0};
    size_t at = 0;
    bool is_bad = false;
    bool has_row = pd_kv_page_row(page, &at, &key, &value, &is_bad);
    gather_traces(h);
    while (!is_bad) {
        const struct pd_kv_entry *entry = overlay_trace(kv, h);
        if (!has_row && (entry == NULL || !page->is_complete)) {
            h->traces_are_last = page->is_complete;
            break;
        }
        int order = entry == NULL ? 1
                    : !has_row    ? -1
                                  : pd_kv_span_compare(pd_kv_entry_key(entry), key);
        struct pd_span row_key = order <= 0 ? pd_kv_entry_key(entry) : key;
        struct pd_kv_trace trace;
        if (!pd_kv_h_parse(row_key, order <= 0 ? pd_kv_entry_value(entry) : value, &trace) ||
            trace.key.size > kv->config.limits.key_bytes_max) {
            return PD_ERR_CORRUPT;
        }
        if (trace.revision > h->revision) {
            h->traces_are_last = true;
            break;
        }
        if (!keep_trace(h, &trace)) {
            break;
        }
        pd_kv_place_set(&h->at, row_key);
        h->at.bytes[h->at.size++] = 0;
        if (order >= 0) {
            has_row = pd_kv_page_row(page, &at, &key, &value, &is_bad);
        }
    }
    return is_bad ? PD_ERR_CORRUPT : PD_OK;
}

/* -- Lanes ------------------------------------------------------------------------------------- */

static bool is_wanting(const struct pd_kv_lane *lane)
{
    return lane->wants_version || lane->wants_previous;
}

static struct pd_span lane_key(const struct pd_kv_lane *lane)
{
    return pd_kv_span(lane->bytes, lane->key_size);
}

/* A copy behind what is in the lane. */
static bool keep_in_lane(struct pd_kv_lane *lane, struct pd_span span, size_t *size_out)
{
    size_t at = lane->key_size + lane->version_size + lane->previous_size;
    if (at + span.size > lane->bytes_max) {
        size_t bytes_max = 2 * (at + span.size) + 64;
        uint8_t *bytes = pd_realloc(lane->bytes, bytes_max);
        if (bytes == NULL) {
            return false;
        }
        lane->bytes = bytes;
        lane->bytes_max = bytes_max;
    }
    if (span.size > 0) {
        memcpy(lane->bytes + at, span.bytes, span.size);
    }
    *size_out = span.size;
    return true;
}

/* The record that the lane wants next; of a previous one, version 0: there is none. false: no
 * memory. */
static bool take_record(struct pd_kv_lane *lane, const struct pd_kv_record *record)
{
    bool is_version = lane->wants_version;
    size_t *size = is_version ? &lane->version_size : &lane->previous_size;
    if (!keep_in_lane(lane, record->value, size)) {
        return false;
    }
    *(is_version ? &lane->version : &lane->previous) = *record;
    *(is_version ? &lane->wants_version : &lane->wants_previous) = false;
    lane->has_previous = lane->has_previous || (!is_version && record->version != 0);
    return true;
}

/* Where what a lane wants next lies, or begins. */
static void wanted_place(struct pd_kv *kv, const struct pd_kv_lane *lane)
{
    if (lane->wants_version) {
        pd_kv_x_key(&kv->scratch_key, lane_key(lane), lane->revision, lane->sub);
    } else if (lane->previous_is == PD_KV_PREVIOUS_BEFORE) {
        pd_kv_x_key(&kv->scratch_key, lane_key(lane), lane->revision - 1, PD_KV_SUB_LAST);
    } else {
        pd_kv_x_key(&kv->scratch_key, lane_key(lane), lane->previous_revision, lane->previous_sub);
    }
}

/* A version of the lane's key is what the lane wants next. */
static bool is_wanted(const struct pd_kv_lane *lane, const struct pd_kv_found *found)
{
    int64_t revision = found->record.mod_revision;
    if (lane->wants_version) {
        return revision == lane->revision && found->sub == lane->sub && found->record.version != 0;
    }
    if (lane->previous_is == PD_KV_PREVIOUS_BEFORE) {
        return revision < lane->revision;
    }
    return revision == lane->previous_revision && found->sub == lane->previous_sub &&
           found->record.version != 0;
}

/* The record that a lane wants, from memory. The overlay holds what was written last: what it has
 * of a key before a revision is the newest. */
static bool known_record(struct pd_kv *kv, const struct pd_kv_lane *lane,
                         struct pd_kv_record *record_out)
{
    struct pd_kv_found found;
    bool is_before = !lane->wants_version && lane->previous_is == PD_KV_PREVIOUS_BEFORE;
    if (!is_before && pd_kv_cache_get(&kv->cache, lane_key(lane), &found) && found.has_value &&
        is_wanted(lane, &found)) {
        *record_out = found.record;
        return true;
    }
    wanted_place(kv, lane);
    struct pd_span wanted = pd_kv_place_span(&kv->scratch_key);
    uint64_t position = pd_kv_overlay_seek(&kv->overlay, wanted);
    const struct pd_kv_entry *entry =
        position == 0 ? NULL : pd_kv_overlay_at(&kv->overlay, position);
    if (entry == NULL || entry->key_size != wanted.size ||
        memcmp(pd_kv_entry_key(entry).bytes, wanted.bytes, wanted.size - PD_KV_X_TAIL) != 0) {
        return false;
    }
    struct pd_kv_row row;
    bool is_whole =
        pd_kv_x_parse(pd_kv_entry_key(entry), pd_kv_entry_value(entry), &kv->scratch_user, &row);
    pd_assert(is_whole);
    *record_out = row.found.record;
    return is_wanted(lane, &row.found);
}

/* What memory has of the records that a lane wants; a fetch for the rest. A key's versions lie
 * together, the newest first: both come with one. */
static void serve_lane(struct pd_kv *kv, const struct pd_kv_history_read *h,
                       struct pd_kv_lane *lane)
{
    struct pd_kv_record known;
    bool is_known = true;
    while (is_known && is_wanting(lane)) {
        is_known = known_record(kv, lane, &known) && take_record(lane, &known);
    }
    if (is_known) {
        return;
    }
    wanted_place(kv, lane);
    pd_kv_x_prefix(&kv->scratch_end, lane_key(lane));
    kv->scratch_end.bytes[kv->scratch_end.size - 1]++;
    pd_kv_want(kv, lane_slot(kv, h, lane), pd_kv_place_span(&kv->scratch_key),
               pd_kv_place_span(&kv->scratch_end),
               (uint32_t)lane->wants_version + (uint32_t)lane->wants_previous);
}

/* Rows of a lane's key, from the first one on that it wants. */
static enum pd_status lane_rows(struct pd_kv *kv, const struct pd_kv_history_read *h,
                                struct pd_kv_lane *lane, const struct pd_store_page *page)
{
    struct pd_span key = {0};
    struct pd_span value = {0};
    struct pd_kv_row row;
    size_t at = 0;
    bool is_bad = false;
    bool has_any = false;
    while (is_wanting(lane) && pd_kv_page_row(page, &at, &key, &value, &is_bad)) {
        if (key.size > kv->row_key_max || !pd_kv_x_parse(key, value, &kv->scratch_user, &row) ||
            !pd_kv_span_equal(row.found.record.key, lane_key(lane))) {
            return PD_ERR_CORRUPT;
        }
        if (!is_wanted(lane, &row.found)) {
            if (lane->previous_is == PD_KV_PREVIOUS_BEFORE && !lane->wants_version) {
                continue; /* another one of the same revision */
            }
            break;
        }
        if (!take_record(lane, &row.found.record)) {
            return PD_ERR_NO_MEMORY;
        }
        has_any = true;
    }
    if (!lane->wants_version && lane->previous_is == PD_KV_PREVIOUS_BEFORE && page->is_complete) {
        lane->wants_previous = false; /* there was nothing before */
    }
    bool is_missing = !has_any && is_wanting(lane);
    if (is_bad || (is_missing && (lane->wants_version || lane->revision > kv->meta.compacted))) {
        return PD_ERR_CORRUPT;
    }
    if (is_missing) {
        lane->wants_previous = false; /* a compaction has taken it meanwhile */
    }
    serve_lane(kv, h, lane);
    return PD_OK;
}

enum pd_status pd_kv_history_supply(struct pd_kv *kv, uint32_t slot,
                                    const struct pd_store_page *page)
{
    struct pd_kv_history_read *h = page_at(kv, slot / PD_KV_HISTORY_SLOTS);
    uint32_t place = slot % PD_KV_HISTORY_SLOTS;
    pd_assert(!h->is_done);
    struct pd_kv_lane *lane = place == 0 ? NULL : &h->lanes[place - 1];
    int64_t revision = lane == NULL ? (int64_t)pd_kv_get_be64(h->at.bytes + 1) : lane->revision;
    if (pd_kv_is_compacted(kv, revision)) {
        h->result.error = PD_KV_ERR_COMPACTED; /* rows may be missing that were removed meanwhile */
        return PD_OK;
    }
    return lane == NULL ? trace_rows(kv, h, page) : lane_rows(kv, h, lane, page);
}

/* -- The page ---------------------------------------------------------------------------------- */

static size_t used(const struct pd_kv_history_read *h)
{
    return h->bytes_size + h->result.count * sizeof *h->events;
}

/* About what the page has used when the events in lanes and `more` others are in it: as far as is
 * known. */
static uint64_t will_use(const struct pd_kv *kv, const struct pd_kv_history_read *h, uint32_t more)
{
    uint32_t count = h->result.count;
    size_t values = count == 0 ? kv->history_value_bytes : h->value_bytes / count;
    return used(h) + (uint64_t)(lane_count(h) + more) * (sizeof *h->events + values);
}

static struct pd_span keep_bytes(struct pd_kv_history_read *h, const uint8_t *bytes, size_t size)
{
    uint8_t *to = h->bytes + h->bytes_size;
    if (size > 0) {
        memcpy(to, bytes, size);
    }
    h->bytes_size += size;
    return pd_kv_span(to, size);
}

/* What the lane's event replaced, if an earlier event of the page tells; NULL: none does. */
static const struct pd_kv_record *replaced_in_page(const struct pd_kv_history_read *h,
                                                   const struct pd_kv_lane *lane)
{
    if (lane->previous_is == PD_KV_PREVIOUS_WITH_EVENT) {
        const struct pd_kv_event *other = &h->events[lane->previous_event];
        return other->has_previous ? &other->previous : NULL;
    }
    if (lane->previous_is != PD_KV_PREVIOUS_IN_PAGE) {
        return NULL;
    }
    int64_t revision = lane->previous_revision;
    uint32_t sub = lane->previous_sub;
    uint32_t low = 0;
    uint32_t high = h->result.count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct pd_kv_event *event = &h->events[middle];
        bool is_before = event->record.mod_revision < revision ||
                         (event->record.mod_revision == revision && event->sub < sub);
        low = is_before ? middle + 1 : low;
        high = is_before ? high : middle;
    }
    const struct pd_kv_event *event = &h->events[low];
    bool is_it = low < h->result.count && event->record.mod_revision == revision &&
                 event->sub == sub && !event->is_delete;
    return is_it ? &event->record : NULL;
}

static void add_previous(struct pd_kv_history_read *h, const struct pd_kv_lane *lane,
                         struct pd_kv_event *event)
{
    const struct pd_kv_record *before = replaced_in_page(h, lane);
    event->has_previous = before != NULL || lane->has_previous;
    if (before != NULL) {
        event->previous = *before; /* its bytes serve both */
    } else if (lane->has_previous) {
        event->previous = lane->previous;
        event->previous.value =
            keep_bytes(h, lane->bytes + lane->key_size + lane->version_size, lane->previous_size);
        h->value_bytes += lane->previous_size;
    }
    event->previous.key = event->record.key;
}

/* The event that is next in order, whose records are all there. */
static void add_event(const struct pd_kv *kv, struct pd_kv_history_read *h,
                      const struct pd_kv_lane *lane)
{
    pd_assert(h->result.count < h->events_max);
    struct pd_kv_event *event = &h->events[h->result.count];
    *event = (struct pd_kv_event){
        .is_delete = lane->is_delete, .sub = lane->sub, .record = lane->version};
    event->record.key = keep_bytes(h, lane->bytes, lane->key_size);
    event->record.value = keep_bytes(h, lane->bytes + lane->key_size, lane->version_size);
    event->record.mod_revision = lane->revision;
    h->value_bytes += lane->version_size;
    event->previous_known = true;
    /* What a compacted revision replaced is gone, as in etcd, here or soon. */
    if (lane->revision > kv->meta.compacted) {
        add_previous(h, lane, event);
    }
    h->result.count++;
}

/* -- Steps ------------------------------------------------------------------------------------- */

/* The revision from which on all events are in the page, or in lanes. */
static int64_t whole_from(const struct pd_kv_history_read *h, const struct pd_kv_trace *trace)
{
    int64_t first = h->begun == 0          ? trace->revision
                    : h->result.count == 0 ? h->lanes[0].revision
                                           : h->events[0].record.mod_revision;
    return first + 1; /* of the first one it may have a part */
}

/* Where an event of the page lies that its command wrote before, to the same key, in *event_out.
 * false: there is none; or it may lie before what is looked at: *is_open_out. */
static bool find_own(struct pd_kv_history_read *h, const struct pd_kv_trace *trace,
                     uint32_t *event_out, bool *is_open_out)
{
    uint32_t sub = trace->sub;
    *is_open_out = false;
    for (uint32_t i = h->begun; sub > 0; i--) {
        if (i == 0 || h->begun - i == OWN_MAX) {
            *is_open_out = true;
            return false;
        }
        const struct pd_kv_lane *lane = i > h->result.count ? lane_of(h, i - 1) : NULL;
        const struct pd_kv_event *event = &h->events[i - 1];
        struct pd_span key = lane != NULL ? lane_key(lane) : event->record.key;
        int64_t revision = lane != NULL ? lane->revision : event->record.mod_revision;
        if (revision != trace->revision) {
            return false;
        }
        if (pd_kv_span_equal(key, trace->key)) {
            *event_out = i - 1;
            return true;
        }
        sub = lane != NULL ? lane->sub : event->sub;
    }
    return false;
}

/* How what the event replaced is found. */
static void aim_at_previous(const struct pd_kv *kv, struct pd_kv_history_read *h,
                            const struct pd_kv_trace *trace, struct pd_kv_lane *lane)
{
    bool is_own = trace->replaced_revision == trace->revision;
    bool is_open = false;
    lane->previous_is = PD_KV_PREVIOUS_NONE;
    if (trace->revision <= kv->meta.compacted) {
        return; /* what a compacted revision replaced is gone, as in etcd, here or soon */
    }
    if (trace->replaced_revision != 0 && !is_own) {
        lane->previous_is = trace->replaced_revision >= whole_from(h, trace)
                                ? PD_KV_PREVIOUS_IN_PAGE
                                : PD_KV_PREVIOUS_EXACT;
    } else if (find_own(h, trace, &lane->previous_event, &is_open)) {
        lane->previous_is = PD_KV_PREVIOUS_WITH_EVENT;
    } else if (is_open || is_own) {
        lane->previous_is = PD_KV_PREVIOUS_BEFORE;
    }
    lane->wants_previous =
        lane->previous_is == PD_KV_PREVIOUS_EXACT || lane->previous_is == PD_KV_PREVIOUS_BEFORE;
}

/* The event of the 'h' row that waits first. false: no memory. */
static bool begin_event(struct pd_kv *kv, struct pd_kv_history_read *h)
{
    struct pd_kv_trace trace = {0};
    bool has_trace = first_trace(h, &trace);
    pd_assert(has_trace);
    struct pd_kv_lane *lane = lane_of(h, h->begun);
    struct pd_kv_lane fresh = {
        .revision = trace.revision,
        .sub = trace.sub,
        .is_delete = trace.is_delete,
        .wants_version = !trace.is_delete,
        .previous_revision = trace.replaced_revision,
        .previous_sub = trace.replaced_sub,
        .bytes = lane->bytes,
        .bytes_max = lane->bytes_max,
    };
    aim_at_previous(kv, h, &trace, &fresh);
    *lane = fresh;
    if (!keep_in_lane(lane, trace.key, &lane->key_size)) {
        return false;
    }
    h->begun++;
    drop_trace(h, &trace);
    PD_SOMETIMES(KV_HISTORY_LANES, lane_count(h) == PD_KV_HISTORY_LANES);
    serve_lane(kv, h, lane);
    return true;
}

/* 'h' rows are read before they are needed, unless those that wait fill the page. */
static void want_traces(struct pd_kv *kv, const struct pd_kv_history_read *h)
{
    uint32_t slot = first_slot(kv, (uint32_t)(h - kv->histories));
    size_t one = sizeof(struct trace_head) + kv->config.limits.key_bytes_max;
    bool has_place = h->traces_max - (h->traces_size - h->traces_at) >= one;
    bool is_wanted_ahead = h->trace_count < PD_KV_HISTORY_LANES && has_place &&
                           will_use(kv, h, h->trace_count) < h->bytes_max;
    if (!h->traces_are_last && kv->slots[slot].state == PD_KV_SLOT_FREE &&
        (h->trace_count == 0 || is_wanted_ahead)) {
        pd_kv_h_key(&kv->scratch_end, h->revision + 1, 0);
        pd_kv_want(kv, slot, pd_kv_place_span(&h->at), pd_kv_place_span(&kv->scratch_end),
                   TRACES_MAX);
    }
}

static enum pd_kv_progress finish(struct pd_kv *kv, struct pd_kv_history_read *h, int64_t revision,
                                  uint32_t sub)
{
    cancel_slots(kv, (uint32_t)(h - kv->histories));
    h->result.events = h->events;
    h->result.next_revision = revision;
    h->result.next_sub = sub;
    h->result.seen_revision = revision > h->revision ? h->revision : 0;
    h->begun = h->result.count;
    if (h->result.count > 0) {
        kv->history_value_bytes = h->value_bytes / h->result.count;
    }
    h->is_done = true;
    return PD_KV_DONE;
}

static bool is_full(const struct pd_kv_history_read *h)
{
    return h->result.count > 0 && used(h) >= h->bytes_max;
}

/* Events whose records are there go to the page, in order. */
static void fill_page(struct pd_kv *kv, struct pd_kv_history_read *h)
{
    while (lane_count(h) > 0 && !is_full(h)) {
        struct pd_kv_lane *lane = lane_of(h, h->result.count);
        if (lane->previous_is == PD_KV_PREVIOUS_IN_PAGE && replaced_in_page(h, lane) == NULL) {
            lane->previous_is = PD_KV_PREVIOUS_EXACT; /* the rows are odd: let the store say */
            lane->wants_previous = true;
            serve_lane(kv, h, lane);
        }
        if (is_wanting(lane)) {
            return;
        }
        add_event(kv, h, lane);
    }
}

/* A full page ends when it is known which event comes next: whoever reads on knows whether it is of
 * the same revision. */
static bool next_event(struct pd_kv_history_read *h, int64_t *revision_out, uint32_t *sub_out)
{
    struct pd_kv_trace trace = {0};
    bool has_trace = first_trace(h, &trace);
    const struct pd_kv_lane *lane = lane_count(h) > 0 ? lane_of(h, h->result.count) : NULL;
    *revision_out = lane != NULL ? lane->revision : trace.revision;
    *sub_out = lane != NULL ? lane->sub : trace.sub;
    return lane != NULL || has_trace;
}

static bool may_begin(const struct pd_kv *kv, const struct pd_kv_history_read *h)
{
    return h->trace_count > 0 && !is_full(h) &&
           (lane_count(h) == 0 ||
            (lane_count(h) < PD_KV_HISTORY_LANES && will_use(kv, h, 0) < h->bytes_max));
}

enum pd_kv_progress pd_kv_history_step(struct pd_kv *kv, uint32_t page, uint32_t budget)
{
    struct pd_kv_history_read *h = page_at(kv, page);
    if (h->is_done) {
        return PD_KV_DONE;
    }
    if (h->result.error != PD_KV_OK) {
        return finish(kv, h, 0, 0);
    }
    fill_page(kv, h);
    for (uint32_t i = 0; may_begin(kv, h); i++) {
        if (i > 0 && i >= budget) {
            return PD_KV_MORE;
        }
        if (!begin_event(kv, h)) {
            return PD_KV_FETCH; /* no memory now */
        }
        fill_page(kv, h);
    }
    int64_t revision;
    uint32_t sub;
    if (is_full(h) && next_event(h, &revision, &sub)) {
        return finish(kv, h, revision, sub);
    }
    if (lane_count(h) == 0 && h->trace_count == 0 && h->traces_are_last) {
        return finish(kv, h, h->revision + 1, 0);
    }
    want_traces(kv, h);
    return PD_KV_FETCH;
}

void pd_kv_read_history_result(const struct pd_kv *kv, uint32_t read,
                               struct pd_kv_history *history_out)
{
    pd_assert(read >= kv->config.reads_max);
    const struct pd_kv_history_read *h = page_at(kv, read - kv->config.reads_max);
    pd_assert(h->is_done);
    *history_out = h->result;
}

void pd_kv_history_check(const struct pd_kv *kv)
{
    for (uint32_t page = 0; page < kv->config.histories_max; page++) {
        const struct pd_kv_history_read *h = &kv->histories[page];
        pd_assert(h->result.count <= h->begun);
        pd_assert(lane_count(h) <= PD_KV_HISTORY_LANES);
        pd_assert(h->traces_at <= h->traces_size);
        for (uint32_t i = 0; i < lane_count(h); i++) {
            const struct pd_kv_lane *lane = &h->lanes[(h->result.count + i) % PD_KV_HISTORY_LANES];
            bool is_under_way = kv->slots[lane_slot(kv, h, lane)].state != PD_KV_SLOT_FREE;
            pd_assert(is_under_way == is_wanting(lane) || h->result.error != PD_KV_OK);
        }
    }
}
