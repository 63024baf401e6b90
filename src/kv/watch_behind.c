/* watch_behind - readers, each of which walks history once for all watchers that have gathered
 * there, and the page that is being given out. */
#include "base/assert.h"
#include "base/mutant.h"
#include "base/sometimes.h"
#include "kv/watch_internal.h"

#define MATCH_BUDGET 64u /* events of a page, in one turn */
#define RING_PAGE 256u   /* revisions of a page that lies in the ring */
#define MOVE_BUDGET 64u  /* watchers that gather or step in, in one turn */

static bool is_free(const struct pd_kv_watch_reader *reader)
{
    return reader->state == PD_KV_WATCH_READER_FREE;
}

static void raise_to(struct pd_kv_position *position, struct pd_kv_position least)
{
    if (pd_kv_position_before(*position, least)) {
        *position = least;
    }
}

void pd_kv_watch_readers_begin(struct pd_kv_watch_hub *hub)
{
    for (uint32_t i = 0; i < hub->config.readers_max; i++) {
        struct pd_kv_watch_reader *reader = &hub->readers[i];
        pd_assert(reader->member_count == 0);
        reader->state = PD_KV_WATCH_READER_FREE;
        reader->is_whole_wanted = false;
    }
}

/* -- Gathering --------------------------------------------------------------------------------- */

static void join_reader(struct pd_kv_watch_hub *hub, struct pd_kv_watcher *watcher, uint32_t index)
{
    struct pd_kv_watch_reader *reader = &hub->readers[index];
    watcher->state = PD_KV_WATCHER_READING;
    watcher->reader = index;
    pd_list_append(&reader->members, &watcher->place);
    pd_kv_watch_index_insert(&reader->index, &watcher->node);
    reader->member_count++;
    reader->fragment_count += watcher->is_in_fragment;
}

void pd_kv_watch_leave_reader(struct pd_kv_watch_hub *hub, struct pd_kv_watcher *watcher)
{
    struct pd_kv_watch_reader *reader = &hub->readers[watcher->reader];
    pd_assert(watcher->state == PD_KV_WATCHER_READING);
    pd_assert(reader->member_count > 0);
    pd_list_remove(&watcher->place);
    pd_list_remove(&watcher->turn);
    pd_kv_watch_index_remove(&reader->index, &watcher->node);
    reader->member_count--;
    reader->fragment_count -= watcher->is_in_fragment;
}

/* The reader that a watcher gathers at: one close before it, else a free one, else any before it;
 * readers_max: none now. */
static uint32_t choose_reader(const struct pd_kv_watch_hub *hub,
                              const struct pd_kv_watcher *watcher)
{
    uint32_t none = hub->config.readers_max;
    uint32_t nearest = none;
    uint32_t free_one = none;
    for (uint32_t i = 0; i < hub->config.readers_max; i++) {
        if (is_free(&hub->readers[i])) {
            free_one = free_one == none ? i : free_one;
            continue;
        }
        bool is_before = !pd_kv_position_before(watcher->next, hub->readers[i].at);
        if (is_before && (nearest == none ||
                          pd_kv_position_before(hub->readers[nearest].at, hub->readers[i].at))) {
            nearest = i;
        }
    }
    bool is_near = nearest != none && watcher->next.revision - hub->readers[nearest].at.revision <=
                                          hub->config.near_revisions;
    return is_near || free_one == none ? nearest : free_one;
}

/* The first of those who wait for a reader. Strictly in turn: so readers run empty, become free,
 * and nobody waits for ever. false: it waits on. */
static bool assign_first(struct pd_kv_watch_hub *hub)
{
    struct pd_list *first = pd_list_first(&hub->ready);
    if (first == NULL) {
        return false;
    }
    struct pd_kv_watcher *watcher = pd_kv_watcher_of(first, place);
    uint32_t index = choose_reader(hub, watcher);
    if (index == hub->config.readers_max) {
        PD_SOMETIMES(KV_WATCH_WAITS_FOR_READER, true);
        return false;
    }
    pd_list_remove(&watcher->place);
    struct pd_kv_watch_reader *reader = &hub->readers[index];
    if (is_free(reader)) {
        reader->state = PD_KV_WATCH_READER_ACTIVE;
        reader->at = watcher->next;
        reader->is_whole_wanted = false;
    }
    join_reader(hub, watcher, index);
    return true;
}

/* -- A reader's way ---------------------------------------------------------------------------- */

static void open_page(struct pd_kv_watch_hub *hub, uint32_t index,
                      const struct pd_kv_watch_source *source)
{
    struct pd_kv_watch_reader *reader = &hub->readers[index];
    pd_assert(!hub->page.is_open);
    pd_assert(pd_list_is_empty(&hub->marked));
    hub->page = (struct pd_kv_watch_page){
        .is_open = true, .reader = index, .source = *source, .matched = source->begin};
    if (reader->fragment_count == 0) {
        return;
    }
    /* Those in a fragment are to hear of its end, even when it has no more events for them. */
    for (struct pd_list *link = reader->members.next; link != &reader->members; link = link->next) {
        struct pd_kv_watcher *watcher = pd_kv_watcher_of(link, place);
        if (watcher->is_in_fragment) {
            watcher->page_from = source->begin;
            pd_list_append(&hub->marked, &watcher->turn);
        }
    }
}

/* What the ring has from the reader's position on, up to an event whose previous record only the
 * store has. false: nothing. */
static bool open_recent(struct pd_kv_watch_hub *hub, uint32_t index)
{
    const struct pd_kv_recent *recent = &hub->recent;
    int64_t revision = hub->readers[index].at.revision;
    if (!pd_kv_recent_holds(recent, revision)) {
        return false;
    }
    struct pd_kv_watch_source source = {.begin = pd_kv_recent_at(recent, revision)->event_begin};
    for (uint32_t i = 0; i < RING_PAGE && revision <= recent->newest_revision; i++) {
        const struct pd_kv_recent_revision *at = pd_kv_recent_at(recent, revision);
        if (at->has_unknown) {
            break;
        }
        source.end = at->event_end;
        source.end_at.revision = ++revision;
    }
    if (source.end_at.revision == 0) {
        return false;
    }
    PD_SOMETIMES(KV_WATCH_READ_RING, true);
    open_page(hub, index, &source);
    return true;
}

/* The newest revision is behind it: its watchers step in, some at a time. */
static void step_in(struct pd_kv_watch_hub *hub, struct pd_kv_watch_reader *reader)
{
    for (uint32_t i = 0; i < MOVE_BUDGET && reader->member_count > 0; i++) {
        struct pd_kv_watcher *watcher = pd_kv_watcher_of(pd_list_first(&reader->members), place);
        pd_kv_watch_leave_reader(hub, watcher);
        pd_assert(!watcher->is_in_fragment || PD_MUTANT(KV_WATCH_JOIN_GAP));
        raise_to(&watcher->next, reader->at);
        PD_SOMETIMES(KV_WATCH_CAUGHT_UP, true);
        pd_kv_watcher_step_in(hub, watcher);
    }
}

/* The history below `least` is gone: whoever needs it has ended. */
static void end_below(struct pd_kv_watch_hub *hub, struct pd_kv_watch_reader *reader,
                      struct pd_kv_position least)
{
    struct pd_list *link = reader->members.next;
    while (link != &reader->members) {
        struct pd_kv_watcher *watcher = pd_kv_watcher_of(link, place);
        link = link->next;
        if (pd_kv_position_before(watcher->next, least) &&
            !PD_MUTANT(KV_WATCH_COMPACTION_IGNORED)) {
            pd_kv_watch_leave_reader(hub, watcher);
            pd_kv_watcher_end(hub, watcher);
        }
    }
    raise_to(&reader->at, least);
}

/* Before history is read, make sure that it is for somebody. Members without credit could not be
 * given it: they leave. When all others are ahead of the reader, it goes to the first of them. One
 * for whom the page is comes to the front: so few are looked at. true: it has moved, or nobody is
 * left. */
static bool aim(struct pd_kv_watch_hub *hub, struct pd_kv_watch_reader *reader)
{
    struct pd_kv_watcher *first = NULL;
    struct pd_list *link = reader->members.next;
    while (link != &reader->members) {
        struct pd_kv_watcher *watcher = pd_kv_watcher_of(link, place);
        link = link->next;
        if (!pd_kv_watcher_has_credit(watcher)) {
            raise_to(&watcher->next, reader->at);
            pd_kv_watch_leave_reader(hub, watcher);
            pd_kv_watcher_is_behind(hub, watcher);
            continue;
        }
        if (first == NULL || pd_kv_position_before(watcher->next, first->next)) {
            first = watcher;
        }
        if (!pd_kv_position_before(reader->at, first->next)) {
            pd_list_remove(&first->place);
            pd_list_append(reader->members.next, &first->place);
            return false;
        }
    }
    if (first != NULL) {
        PD_SOMETIMES(KV_WATCH_READER_SKIPS, true);
        reader->at = first->next;
        reader->is_whole_wanted = false;
    }
    return true;
}

static bool reader_turn(struct pd_kv_watch_hub *hub, uint32_t index)
{
    struct pd_kv_watch_reader *reader = &hub->readers[index];
    bool is_out = reader->state == PD_KV_WATCH_READER_OUT;
    if (is_free(reader) || is_out) {
        return false;
    }
    if (reader->member_count == 0) {
        reader->state = PD_KV_WATCH_READER_FREE;
        return true;
    }
    if (reader->state == PD_KV_WATCH_READER_WANTS) {
        return false;
    }
    if (reader->at.revision + (PD_MUTANT(KV_WATCH_JOIN_GAP) ? 1 : 0) > hub->revision) {
        step_in(hub, reader);
        return true;
    }
    if (open_recent(hub, index)) {
        return true;
    }
    if (reader->at.revision < hub->compacted) {
        end_below(hub, reader, (struct pd_kv_position){hub->compacted, 0});
        return true;
    }
    if (aim(hub, reader)) {
        return true;
    }
    reader->state = PD_KV_WATCH_READER_WANTS;
    return true;
}

enum pd_kv_watch_turn pd_kv_watch_readers_turn(struct pd_kv_watch_hub *hub)
{
    bool any = false;
    for (uint32_t i = 0; i < MOVE_BUDGET && assign_first(hub); i++) {
        any = true;
    }
    for (uint32_t i = 0; i < hub->config.readers_max && !hub->page.is_open; i++) {
        hub->reader_turn = (hub->reader_turn + 1) % hub->config.readers_max;
        any = reader_turn(hub, hub->reader_turn) || any;
    }
    return any ? PD_KV_WATCH_MORE : PD_KV_WATCH_IDLE;
}

bool pd_kv_watch_next_want(struct pd_kv_watch_hub *hub, struct pd_kv_watch_want *want_out)
{
    for (uint32_t i = 0; i < hub->config.readers_max; i++) {
        struct pd_kv_watch_reader *reader = &hub->readers[i];
        if (reader->state == PD_KV_WATCH_READER_WANTS && reader->member_count > 0) {
            reader->state = PD_KV_WATCH_READER_OUT;
            *want_out = (struct pd_kv_watch_want){
                .reader = i,
                .revision = reader->at.revision,
                .sub = reader->at.sub,
                .bytes_max =
                    reader->is_whole_wanted ? hub->config.whole_bytes_max : hub->config.page_bytes,
            };
            return true;
        }
    }
    return false;
}

void pd_kv_watch_want_again(struct pd_kv_watch_hub *hub, uint32_t reader)
{
    pd_assert(reader < hub->config.readers_max);
    pd_assert(hub->readers[reader].state == PD_KV_WATCH_READER_OUT);
    hub->readers[reader].state = PD_KV_WATCH_READER_WANTS;
}

/* -- A page ------------------------------------------------------------------------------------ */

bool pd_kv_watch_has_page(const struct pd_kv_watch_hub *hub)
{
    return hub->page.is_open;
}

/* The part of a page that is whole revisions; when it begins with one that does not end there:
 * that. */
static struct pd_kv_watch_source trim(const struct pd_kv_history *history, bool *is_part_out)
{
    struct pd_kv_watch_source source = {.events = history->events,
                                        .end = history->count,
                                        .end_at = {history->next_revision, history->next_sub}};
    *is_part_out = false;
    if (history->seen_revision != 0) {
        source.end_at = (struct pd_kv_position){history->seen_revision + 1, 0};
        return source;
    }
    uint64_t whole = history->count;
    while (whole > 0 && history->events[whole - 1].record.mod_revision == history->next_revision) {
        whole--;
    }
    if (whole > 0) {
        source.end = whole;
        source.end_at.sub = 0;
    }
    *is_part_out = whole == 0 && history->count > 0;
    return source;
}

void pd_kv_watch_page(struct pd_kv_watch_hub *hub, uint32_t index,
                      const struct pd_kv_history *history)
{
    pd_assert(index < hub->config.readers_max);
    struct pd_kv_watch_reader *reader = &hub->readers[index];
    pd_assert(reader->state == PD_KV_WATCH_READER_OUT);
    reader->state = PD_KV_WATCH_READER_ACTIVE;
    bool was_whole_wanted = reader->is_whole_wanted;
    reader->is_whole_wanted = false;
    if (history->error != PD_KV_OK) {
        /* What history says is not there is not asked for again, whatever we were told. */
        int64_t least = reader->at.revision + 1;
        least = least > hub->compacted ? least : hub->compacted;
        end_below(hub, reader, (struct pd_kv_position){least, 0});
        return;
    }
    bool is_part;
    struct pd_kv_watch_source source = trim(history, &is_part);
    bool can_be_whole = reader->at.sub == 0 && !was_whole_wanted &&
                        hub->config.whole_bytes_max > hub->config.page_bytes;
    if (is_part && can_be_whole) {
        reader->is_whole_wanted = true;
        return;
    }
    PD_SOMETIMES(KV_WATCH_REVISION_SPLIT, is_part);
    pd_assert(source.end_at.revision <= hub->revision + 1);
    pd_assert(!pd_kv_position_before(source.end_at, reader->at));
    open_page(hub, index, &source);
}

/* Mark whom the next events concern. */
static void match(struct pd_kv_watch_hub *hub)
{
    struct pd_kv_watch_page *page = &hub->page;
    struct pd_kv_watch_index *index = &hub->readers[page->reader].index;
    for (uint32_t i = 0; i < MATCH_BUDGET && page->matched < page->source.end; i++) {
        const struct pd_kv_event *event = pd_kv_watch_event(hub, &page->source, page->matched);
        struct pd_span key = event->record.key;
        for (struct pd_kv_watch_node *node = pd_kv_watch_index_first(index, key); node != NULL;
             node = pd_kv_watch_index_next(index, node, key)) {
            struct pd_kv_watcher *watcher = pd_kv_watcher_of(node, node);
            if (!pd_list_is_linked(&watcher->turn) && pd_kv_watcher_wants(watcher, event)) {
                watcher->page_from = page->matched;
                pd_list_append(&hub->marked, &watcher->turn);
            }
        }
        page->matched++;
    }
}

/* Where its revision begins: so that it is read as a whole. */
static struct pd_kv_position revision_of(const struct pd_kv_event *event)
{
    return (struct pd_kv_position){event->record.mod_revision, 0};
}

/* A watcher leaves the page, and its reader, before it was given what is there for it. */
static void put_off(struct pd_kv_watch_hub *hub, struct pd_kv_watcher *watcher)
{
    const struct pd_kv_watch_source *source = &hub->page.source;
    if (!watcher->is_in_fragment && watcher->page_from < source->end) {
        raise_to(&watcher->next, revision_of(pd_kv_watch_event(hub, source, watcher->page_from)));
    }
    pd_kv_watch_leave_reader(hub, watcher);
    pd_kv_watcher_is_behind(hub, watcher);
}

void pd_kv_watch_page_yield(struct pd_kv_watch_hub *hub, uint64_t event_end)
{
    struct pd_kv_watch_page *page = &hub->page;
    if (!page->is_open || page->source.events != NULL || event_end <= page->source.begin) {
        return;
    }
    PD_SOMETIMES(KV_WATCH_PAGE_YIELDS, true);
    struct pd_list *first;
    while ((first = pd_list_first(&hub->marked)) != NULL) {
        put_off(hub, pd_kv_watcher_of(first, turn));
    }
    struct pd_kv_watch_reader *reader = &hub->readers[page->reader];
    raise_to(&reader->at, page->matched < page->source.end
                              ? revision_of(pd_kv_watch_event(hub, &page->source, page->matched))
                              : page->source.end_at);
    page->is_open = false;
}

static enum pd_kv_watch_turn give_page(struct pd_kv_watch_hub *hub, struct pd_kv_watcher *watcher,
                                       struct pd_kv_watch_answer *answer_out)
{
    const struct pd_kv_watch_source *source = &hub->page.source;
    if (!pd_kv_watcher_has_credit(watcher)) {
        PD_SOMETIMES(KV_WATCH_PARKED, true);
        put_off(hub, watcher);
        return PD_KV_WATCH_MORE;
    }
    pd_list_remove(&watcher->turn);
    uint64_t rest = source->end;
    enum pd_kv_watch_taken taken =
        pd_kv_watch_take(hub, watcher, source, watcher->page_from, answer_out, &rest);
    pd_assert(taken != PD_KV_WATCH_TAKEN_UNKNOWN);
    if (taken == PD_KV_WATCH_TAKEN_NOTHING) {
        return PD_KV_WATCH_MORE;
    }
    if (rest < source->end) {
        watcher->page_from = rest;
        pd_list_append(&hub->marked, &watcher->turn);
    }
    return PD_KV_WATCH_ANSWER;
}

enum pd_kv_watch_turn pd_kv_watch_page_turn(struct pd_kv_watch_hub *hub,
                                            struct pd_kv_watch_answer *answer_out)
{
    struct pd_kv_watch_page *page = &hub->page;
    pd_assert(page->is_open);
    if (page->matched < page->source.end) {
        match(hub);
        return PD_KV_WATCH_MORE;
    }
    struct pd_list *first = pd_list_first(&hub->marked);
    if (first != NULL) {
        return give_page(hub, pd_kv_watcher_of(first, turn), answer_out);
    }
    hub->readers[page->reader].at = page->source.end_at;
    page->is_open = false;
    return PD_KV_WATCH_MORE;
}

/* -- What it is -------------------------------------------------------------------------------- */

static void check_reader(const struct pd_kv_watch_hub *hub, uint32_t index)
{
    const struct pd_kv_watch_reader *reader = &hub->readers[index];
    uint32_t members = 0;
    uint32_t fragments = 0;
    for (struct pd_list *link = reader->members.next; link != &reader->members; link = link->next) {
        const struct pd_kv_watcher *watcher = pd_kv_watcher_of(link, place);
        pd_assert(watcher->state == PD_KV_WATCHER_READING);
        pd_assert(watcher->reader == index);
        members++;
        fragments += watcher->is_in_fragment;
    }
    pd_assert(members == reader->member_count);
    pd_assert(fragments == reader->fragment_count);
    pd_assert(members == reader->index.count);
    pd_assert(members == 0 || !is_free(reader));
    pd_kv_watch_index_check(&reader->index);
}

void pd_kv_watch_readers_check(const struct pd_kv_watch_hub *hub)
{
    for (uint32_t i = 0; i < hub->config.readers_max; i++) {
        check_reader(hub, i);
    }
    pd_assert(hub->page.is_open || pd_list_is_empty(&hub->marked));
}
