/* watch_internal - the inside of the hub, for src/kv/watch*.c alone. */
#ifndef PD_KV_WATCH_INTERNAL_H
#define PD_KV_WATCH_INTERNAL_H

#include "base/list.h"
#include "kv/watch.h"
#include "kv/watch_index.h"
#include "kv/watch_recent.h"

/*            add                    evicted, or its history is needed
 *   FREE ----------> IN_STEP ---------------------------------+
 *     |                 ^                                     v
 *     | add, old start  | reader_join                   has credit? -- no --> PARKED
 *     |                 |                                     | yes              |
 *     +-------------> READY <---------------------------------+ <----- grant ----+
 *                       | assign      no credit in a page: PARKED
 *                       v
 *                    READING          below the compaction, or add: ENDED */
enum pd_kv_watcher_state {
    PD_KV_WATCHER_FREE = 0,
    PD_KV_WATCHER_IN_STEP,
    PD_KV_WATCHER_READY,   /* behind, waits for a reader */
    PD_KV_WATCHER_READING, /* behind, gathered at one */
    PD_KV_WATCHER_PARKED,  /* behind, without credit */
    PD_KV_WATCHER_ENDED    /* its end is to be told */
};

struct pd_kv_position {
    int64_t revision;
    uint32_t sub;
};

struct pd_kv_watcher {
    enum pd_kv_watcher_state state;
    uint32_t generation;
    uint32_t reader;
    struct pd_kv_watch_node node;
    uint8_t *bytes; /* of key and range end */
    struct pd_kv_watch asked;
    int64_t credit;
    /* Nothing before it is wanted (any more). Exact while it is behind or waits in the ring. */
    struct pd_kv_position next;
    int64_t pending_revision; /* IN_STEP: where in the ring it waits; 0: nothing is there for it */
    uint64_t page_from;       /* READING, marked: the page's first event that may be for it */
    bool is_in_fragment;
    bool is_progress_due;
    bool has_spoken; /* since it was looked at for progress */
    /* IN_STEP: in the ring's revision. READY: hub->ready. READING: members. ENDED: hub->ended. */
    struct pd_list place;
    struct pd_list turn; /* IN_STEP: hub->hot. READING: hub->marked */
};

enum pd_kv_watch_reader_state {
    PD_KV_WATCH_READER_FREE = 0,
    PD_KV_WATCH_READER_ACTIVE, /* its next page is to be decided, or is given out */
    PD_KV_WATCH_READER_WANTS,  /* a page of history */
    PD_KV_WATCH_READER_OUT     /* the owner is reading it */
};
struct pd_kv_watch_reader {
    enum pd_kv_watch_reader_state state;
    struct pd_kv_watch_index index;
    struct pd_list members;
    uint32_t member_count;
    uint32_t fragment_count; /* members in a fragment */
    struct pd_kv_position at;
    bool is_whole_wanted; /* the page was too small for one revision */
};

/* A run of whole revisions, or a part of one: in the ring, or in a page of history. */
struct pd_kv_watch_source {
    const struct pd_kv_event *events; /* NULL: the ring's */
    uint64_t begin;
    uint64_t end;
    struct pd_kv_position end_at; /* sub > 0: in the middle of a revision */
};
struct pd_kv_watch_page {
    bool is_open;
    uint32_t reader;
    struct pd_kv_watch_source source;
    uint64_t matched; /* events before it have marked those whom they concern */
};

struct pd_kv_watch_hub {
    struct pd_kv_watch_config config;
    int64_t revision;
    int64_t compacted;
    struct pd_kv_watcher *watchers;
    uint32_t *free; /* slots, the next one last */
    uint32_t free_count;
    uint32_t used; /* slots from the first on that were ever taken: the rest is untouched */
    uint32_t in_step_count;
    uint64_t key_bytes;
    struct pd_kv_watch_index in_step;
    struct pd_kv_recent recent;
    struct pd_kv_watch_reader *readers;
    uint32_t reader_turn;
    struct pd_kv_watch_page page;
    bool is_page_turn;
    struct pd_list hot;    /* in step, has credit, and something may be given */
    struct pd_list marked; /* concerned by the page */
    struct pd_list ready;
    struct pd_list ended;
    const struct pd_kv_event **taken; /* answer_events_max */
    uint32_t look;                    /* the slot whose turn it is to hear of progress */
};

#define pd_kv_watcher_of(link, member) pd_container_of(link, struct pd_kv_watcher, member)

static inline bool pd_kv_position_before(struct pd_kv_position a, struct pd_kv_position b)
{
    return a.revision < b.revision || (a.revision == b.revision && a.sub < b.sub);
}
static inline struct pd_kv_position pd_kv_position_of(const struct pd_kv_event *event)
{
    return (struct pd_kv_position){event->record.mod_revision, event->sub};
}

/* watch.c */
const struct pd_kv_event *pd_kv_watch_event(const struct pd_kv_watch_hub *hub,
                                            const struct pd_kv_watch_source *source, uint64_t at);
/* It may be told of an event of one of its keys. */
bool pd_kv_watcher_wants(const struct pd_kv_watcher *watcher, const struct pd_kv_event *event);
bool pd_kv_watcher_has_credit(const struct pd_kv_watcher *watcher);
void pd_kv_watcher_step_in(struct pd_kv_watch_hub *hub, struct pd_kv_watcher *watcher);
void pd_kv_watcher_free(struct pd_kv_watch_hub *hub, struct pd_kv_watcher *watcher);
/* It is in no list and no index. */
void pd_kv_watcher_is_behind(struct pd_kv_watch_hub *hub, struct pd_kv_watcher *watcher);
void pd_kv_watcher_end(struct pd_kv_watch_hub *hub, struct pd_kv_watcher *watcher);

/* watch_take.c: what of a source goes into one answer. */
enum pd_kv_watch_taken {
    PD_KV_WATCH_TAKEN_NOTHING = 0, /* the watcher is behind the source's end now */
    PD_KV_WATCH_TAKEN_ANSWER,      /* the next event that may be for it: *rest_out */
    PD_KV_WATCH_TAKEN_UNKNOWN      /* a previous record is needed that the source has not */
};
enum pd_kv_watch_taken pd_kv_watch_take(struct pd_kv_watch_hub *hub, struct pd_kv_watcher *watcher,
                                        const struct pd_kv_watch_source *source, uint64_t from,
                                        struct pd_kv_watch_answer *answer, uint64_t *rest_out);
void pd_kv_watcher_set_fragment(struct pd_kv_watch_hub *hub, struct pd_kv_watcher *watcher,
                                bool is_in_fragment);

/* watch_behind.c */
void pd_kv_watch_leave_reader(struct pd_kv_watch_hub *hub, struct pd_kv_watcher *watcher);
enum pd_kv_watch_turn pd_kv_watch_page_turn(struct pd_kv_watch_hub *hub,
                                            struct pd_kv_watch_answer *answer_out);
/* Whoever waits for a reader, and readers that wait to go on. */
enum pd_kv_watch_turn pd_kv_watch_readers_turn(struct pd_kv_watch_hub *hub);
/* The ring's revision is about to go: a page that lies there ends before its time. */
void pd_kv_watch_page_yield(struct pd_kv_watch_hub *hub, uint64_t event_end);
void pd_kv_watch_readers_begin(struct pd_kv_watch_hub *hub);
void pd_kv_watch_readers_check(const struct pd_kv_watch_hub *hub);

#endif
