/* watch - the hub of watchers: who is told of which events, and from where. Pure: no I/O or clock.
 *
 * Model      A watcher wants the events of [key, range_end) from a revision on. It is
 *            in step:  an index finds it when a command's events are published. Events lie once, in
 *                      one ring of recent revisions that all watchers share; a watcher that has
 *                      something there only remembers where it begins.
 *            behind:   it remembers a position (revision, sub) and nothing else. Behind watchers
 *                      with credit gather at a few readers. A reader walks history from its
 *                      position on, page by page, once for all who have gathered there, each with
 *                      its own filter: from the store's (revision, sub) rows while they are older
 *                      than the ring, then from the ring itself, and when it stands behind the
 *                      newest revision its watchers step in: no gap, no duplicate, and commands go
 *                      on meanwhile.
 *            So the hard case is the plain one: of ten thousand watchers a stuck one costs its
 *            slot. When the ring needs the room of the first revision that it did not take, it is
 *            behind, and nobody waits for it.
 * Flow       Events and progress are given only to watchers with credit, which the owner grants and
 *            spends in whatever unit it likes. Giving may overdraw by one answer. The end of a
 *            watch needs no credit.
 * Order      Each watcher is given its events in order of (revision, sub), each one once, and only
 *            of finished commands. Events of one revision come in one answer, unless they exceed
 *            whole_bytes_max or answer_events_max, or the watcher allows fragments: then each part
 *            but the last says so (the last one may be empty).
 * Cost       A published event: O(log watchers + matches). A page event: the same among the
 *            watchers of its reader. A command with more events than the ring can take sends the
 *            watchers concerned (all, when its events are cut) behind, one by one.
 * Bounds     struct pd_kv_watch_config, taken at open. Beside it one block for each watcher's keys,
 *            in all key_bytes_max.
 * Ownership  One thread owns a hub. What pd_kv_watch_next gives is borrowed until the next call of
 *            any function of the hub. */
#ifndef PD_KV_WATCH_H
#define PD_KV_WATCH_H

#include "kv/kv.h"

struct pd_kv_watch_hub;

struct pd_kv_watch_config {
    uint32_t watches_max;
    uint64_t key_bytes_max;        /* of all watchers' keys and range ends */
    uint32_t recent_revisions_max; /* the ring: revisions, events, and bytes of keys and values */
    uint32_t recent_events_max;
    uint32_t recent_bytes;
    uint32_t readers_max;
    uint32_t near_revisions;    /* who is this little ahead of a reader waits for it */
    uint32_t answer_bytes_max;  /* keys, values and 64 for each event; always at least one event */
    uint32_t answer_events_max; /* of any answer */
    uint32_t whole_bytes_max;   /* up to here a revision is not split; >= answer_bytes_max */
    uint32_t page_bytes;        /* asked of history at once; a revision beyond: whole_bytes_max */
    uint32_t progress_ticks;    /* an idle watcher hears within twice this */
    uint64_t hash_seed;
};
struct pd_kv_watch_config pd_kv_watch_config_default(void);

/* PD_ERR_INVALID: the configuration contradicts itself; PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_kv_watch_open(const struct pd_kv_watch_config *config,
                                             struct pd_kv_watch_hub **hub_out);
void pd_kv_watch_close(struct pd_kv_watch_hub *hub);
/* Start at a state whose events were never published: every watcher is gone, without a word, and so
 * are pages that were wanted. */
void pd_kv_watch_begin(struct pd_kv_watch_hub *hub, int64_t revision, int64_t compacted_revision);

/* -- Watchers ---------------------------------------------------------------------------------- */

struct pd_kv_watch {
    struct pd_span key;       /* empty: "\0", as in etcd */
    struct pd_span range_end; /* as in a pd_kv_range */
    int64_t start_revision;   /* 0: from now on; beyond now: waits for it */
    bool no_put;
    bool no_delete;
    bool with_previous;
    bool with_progress; /* a progress answer now and then while it is idle */
    bool may_fragment;
    int64_t credit;
    uint64_t owner; /* given back with every answer */
};
/* PD_ERR_FULL: a bound is reached. PD_ERR_INVALID: the range is empty, or the revision negative.
 * PD_ERR_NO_MEMORY. A start below the compaction is taken, and ends with the next answer. */
PD_NODISCARD enum pd_status pd_kv_watch_add(struct pd_kv_watch_hub *hub,
                                            const struct pd_kv_watch *watch, uint64_t *id_out);
/* PD_ERR_UNKNOWN: there is no such watcher; so for the three that follow. */
PD_NODISCARD enum pd_status pd_kv_watch_remove(struct pd_kv_watch_hub *hub, uint64_t id);
PD_NODISCARD enum pd_status pd_kv_watch_grant(struct pd_kv_watch_hub *hub, uint64_t id,
                                              uint32_t credit);
/* What an answer cost. */
PD_NODISCARD enum pd_status pd_kv_watch_spend(struct pd_kv_watch_hub *hub, uint64_t id,
                                              uint32_t credit);
/* Tell it once how far it is, as soon as it is in step and has been given everything. */
PD_NODISCARD enum pd_status pd_kv_watch_ask_progress(struct pd_kv_watch_hub *hub, uint64_t id);

/* -- What happens ------------------------------------------------------------------------------ */

/* The events of the next revision; revision 0: nothing. They are copied. */
void pd_kv_watch_publish(struct pd_kv_watch_hub *hub, const struct pd_kv_events *events);
/* Revisions below are refused from now on. */
void pd_kv_watch_compacted(struct pd_kv_watch_hub *hub, int64_t revision);
void pd_kv_watch_tick(struct pd_kv_watch_hub *hub);

/* -- History, for those behind ----------------------------------------------------------------- */

struct pd_kv_watch_want {
    uint32_t reader;
    int64_t revision;
    uint32_t sub;
    uint32_t bytes_max;
};
/* The next history page that is wanted (pd_kv_read_history) and was not handed out yet. */
bool pd_kv_watch_next_want(struct pd_kv_watch_hub *hub, struct pd_kv_watch_want *want_out);
/* It could not be read now: it is wanted on. */
void pd_kv_watch_want_again(struct pd_kv_watch_hub *hub, uint32_t reader);
/* A page is being given out: it must stay as it is, and the next one waits. */
bool pd_kv_watch_has_page(const struct pd_kv_watch_hub *hub);
/* The page that reader wanted. Only while there is none. The compaction must have been told. */
void pd_kv_watch_page(struct pd_kv_watch_hub *hub, uint32_t reader,
                      const struct pd_kv_history *history);

/* -- Answers ----------------------------------------------------------------------------------- */

enum pd_kv_watch_kind {
    PD_KV_WATCH_EVENTS = 0,
    PD_KV_WATCH_PROGRESS, /* no events; everything up to through_revision was given */
    PD_KV_WATCH_COMPACTED /* the watcher has ended: what it needs is compacted */
};
struct pd_kv_watch_answer {
    enum pd_kv_watch_kind kind;
    uint64_t id;
    uint64_t owner;
    int64_t revision;         /* of the store */
    int64_t through_revision; /* this watcher was given every event up to here */
    int64_t compact_revision; /* COMPACTED */
    bool is_fragment;         /* more events of the last revision follow in the next answer */
    bool with_previous;
    const struct pd_kv_event *const *events; /* record.mod_revision tells each one's revision */
    uint32_t count;
};
enum pd_kv_watch_turn {
    PD_KV_WATCH_IDLE = 0, /* nothing to give or do */
    PD_KV_WATCH_ANSWER,   /* answer_out is written */
    PD_KV_WATCH_MORE      /* a bounded piece of work was done: call again */
};
enum pd_kv_watch_turn pd_kv_watch_next(struct pd_kv_watch_hub *hub,
                                       struct pd_kv_watch_answer *answer_out);

/* -- What it is -------------------------------------------------------------------------------- */

struct pd_kv_watch_status {
    int64_t revision;
    int64_t recent_revision; /* the oldest one that the ring covers, or revision + 1 */
    uint32_t watch_count;
    uint32_t in_step_count;
    uint32_t behind_count; /* gathered at a reader, waiting for one, or without credit */
    uint64_t visits;       /* members of the in-step index that were looked at, since open */
};
void pd_kv_watch_status(const struct pd_kv_watch_hub *hub, struct pd_kv_watch_status *status_out);
/* Every invariant; asserts. */
void pd_kv_watch_check(const struct pd_kv_watch_hub *hub);

#endif
