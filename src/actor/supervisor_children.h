/* supervisor_children - the table of one supervisor's children. Its inside is private to
 * supervisor*.c.
 *
 * Model      Records in slots, in start order (a list by slot number), found in constant time by
 *            pid, by id unless the table is dynamic, and by pd_child_id, which names one record for
 *            ever: a slot that is used again has a new generation. Every state change goes through
 *            pd_children_set_state, so that the counts are always right.
 * Bounds     `max` records. Grows by doubling in pd_children_add only; nothing else allocates.
 * Ownership  The table owns its records, their reference to the spec, and the text of their
 *            exit. */
#ifndef PD_ACTOR_SUPERVISOR_CHILDREN_H
#define PD_ACTOR_SUPERVISOR_CHILDREN_H

#include <stdbool.h>
#include <stdint.h>

#include "actor/child_spec.h"
#include "actor/exit.h"
#include "base/status.h"

#define PD_CHILD_NONE UINT32_MAX /* no slot */
#define PD_CHILDREN_MAX (UINT32_C(1) << 28)

/* One record of one supervisor, for ever. 0 is no child. */
struct pd_child_id {
    uint64_t value;
};

enum pd_child_state {
    PD_CHILD_STOPPED = 0, /* no process, and none wanted */
    PD_CHILD_SPAWNING,    /* SPAWN was given out, the answer is not there yet */
    PD_CHILD_STARTING,    /* has a process that has not said ready */
    PD_CHILD_RUNNING,
    PD_CHILD_STOPPING, /* has a process that was told to end */
    PD_CHILD_EXITED,   /* its process ended by itself; waits in the work queue to be dealt with */
    PD_CHILD_RETRY     /* could not be restarted; waits in the work queue for the next try */
};

struct pd_child_record {
    struct pd_child_spec *spec; /* NULL: the slot is free */
    struct pd_pid pid;          /* 0: no process */
    struct pd_pid ended;        /* its last process, for reports */
    struct pd_exit exit;        /* of EXITED and RETRY: why */
    uint32_t before;            /* in start order; free slots: the next free one in `after` */
    uint32_t after;
    uint32_t generation;
    uint32_t restart_count;
    uint32_t work_before; /* in the supervisor's work queue */
    uint32_t work_after;
    uint8_t state; /* enum pd_child_state */
    bool is_queued;
    bool is_killed; /* STOPPING: the kill was sent */
};

struct pd_children_index {
    uint32_t *slots; /* open addressing, PD_CHILD_NONE is empty */
    uint32_t capacity;
};

struct pd_children {
    struct pd_child_record *records;
    struct pd_children_index pids;
    struct pd_children_index ids; /* unused if is_dynamic */
    uint64_t seed;
    uint32_t capacity;
    uint32_t fresh; /* slots from here on were never used */
    uint32_t free;  /* first free slot below `fresh` */
    uint32_t max;
    uint32_t count;
    uint32_t live_count;        /* with a process */
    uint32_t active_count;      /* not STOPPED */
    uint32_t significant_count; /* not STOPPED and significant */
    uint32_t first;
    uint32_t last;
    bool is_dynamic;
};

void pd_children_init(struct pd_children *children, uint32_t max, bool is_dynamic, uint64_t seed);
void pd_children_deinit(struct pd_children *children);

/* Append a child; takes a reference of its own to the spec. *slot_out is written on PD_OK.
 * PD_ERR_EXISTS: the id is taken; *slot_out is its holder. PD_ERR_FULL. PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_children_add(struct pd_children *children,
                                            struct pd_child_spec *spec, uint32_t *slot_out);

/* Forget a child without a process that is not queued. */
void pd_children_remove(struct pd_children *children, uint32_t slot);

static inline struct pd_child_record *pd_children_at(struct pd_children *children, uint32_t slot)
{
    return &children->records[slot];
}

struct pd_child_id pd_children_name(const struct pd_children *children, uint32_t slot);

/* PD_CHILD_NONE if there is none. */
uint32_t pd_children_find(const struct pd_children *children, struct pd_child_id child);
uint32_t pd_children_find_pid(const struct pd_children *children, struct pd_pid pid);
uint32_t pd_children_find_id(const struct pd_children *children, const char *id);

void pd_children_set_state(struct pd_children *children, uint32_t slot, enum pd_child_state state);

/* Give a child without a process one, or take it away (pid 0). */
void pd_children_set_pid(struct pd_children *children, uint32_t slot, struct pd_pid pid);

/* Keep why it ended, with a reference of its own to the text; pd_children_forget_exit drops it. */
void pd_children_set_exit(struct pd_children *children, uint32_t slot, struct pd_exit exit);
void pd_children_forget_exit(struct pd_children *children, uint32_t slot);

/* Assert that lists, indexes and counts agree. For tests; linear. */
void pd_children_check(const struct pd_children *children);

#endif
