/* watch_recent - the ring of recent revisions that all watchers share. Pure; private to the watches
 * of kv.
 *
 * Model      Revisions follow each other without a gap, from oldest_revision to newest_revision;
 *            the oldest is evicted first. Events have numbers that only grow. Their bytes are
 *            copied in; one event's bytes are never parted.
 * Bounds     Revisions, events and bytes, taken at init.
 * Ownership  Events are borrowed until their revision is evicted. */
#ifndef PD_KV_WATCH_RECENT_H
#define PD_KV_WATCH_RECENT_H

#include "base/list.h"
#include "kv/kv.h"

struct pd_kv_recent_revision {
    struct pd_list waiting; /* watchers whose first event that was not given is in it */
    uint64_t event_begin;
    uint64_t event_end;
    uint64_t bytes_end;
    bool has_unknown; /* an event's previous record is not known */
};

struct pd_kv_recent {
    struct pd_kv_recent_revision *revisions; /* by revision % revisions_max */
    struct pd_kv_event *events;              /* by number % events_max */
    uint8_t *bytes;
    uint32_t revisions_max;
    uint32_t events_max;
    uint32_t bytes_max;
    int64_t oldest_revision; /* newest_revision + 1: empty */
    int64_t newest_revision;
    uint64_t event_tail;
    uint64_t event_head;
    uint64_t bytes_tail;
    uint64_t bytes_head;
};

PD_NODISCARD enum pd_status pd_kv_recent_init(struct pd_kv_recent *recent, uint32_t revisions_max,
                                              uint32_t events_max, uint32_t bytes_max);
void pd_kv_recent_deinit(struct pd_kv_recent *recent);
/* Empty, behind `revision`. */
void pd_kv_recent_restart(struct pd_kv_recent *recent, int64_t revision);

bool pd_kv_recent_holds(const struct pd_kv_recent *recent, int64_t revision);
struct pd_kv_recent_revision *pd_kv_recent_at(const struct pd_kv_recent *recent, int64_t revision);
const struct pd_kv_event *pd_kv_recent_event(const struct pd_kv_recent *recent, uint64_t number);

/* Whether the events can ever be held. */
bool pd_kv_recent_can_hold(const struct pd_kv_recent *recent, const struct pd_kv_events *events);
/* Whether they fit now, without an eviction. */
bool pd_kv_recent_has_room(const struct pd_kv_recent *recent, const struct pd_kv_events *events);
/* Nobody waits in the oldest revision any more. */
void pd_kv_recent_evict(struct pd_kv_recent *recent);
/* The next revision. There is room. */
void pd_kv_recent_add(struct pd_kv_recent *recent, const struct pd_kv_events *events);
void pd_kv_recent_check(const struct pd_kv_recent *recent);

#endif
