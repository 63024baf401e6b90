/* watchers - clients that follow the history of some keys, on one node after the other.
 *
 * Model      A watcher opens a watch from the revision behind the last one that it has wholly seen,
 *            gives back credit as it takes answers in, sometimes late, and goes elsewhere when it
 *            hears nothing or feels like it.
 * Check      What it is given is compared with the model's list of all committed changes: no gap,
 *            no duplicate, in order of revision, nothing that was not committed, each previous
 *            record as it was; and a compaction is the only reason to lose any. */
#ifndef PD_SIM_WATCHERS_H
#define PD_SIM_WATCHERS_H

#include "sim/world.h"

struct pd_sim_watcher {
    uint32_t key;
    uint32_t end; /* 0: the key alone */
    bool no_put;
    bool no_delete;
    bool with_previous;
    bool may_fragment;
    uint32_t credit; /* that it begins with */
    uint64_t token;  /* of the watch that it listens to; 0: none */
    uint32_t machine;
    int64_t next_revision; /* everything before was given; 0: it has not begun */
    size_t next_event;     /* in the model's list: where next_revision begins */
    size_t at;             /* the next one to be given */
    uint64_t taken;        /* bytes since credit was given back */
    int64_t balance;       /* credit given, less what was taken */
    uint64_t heard_ns;     /* when it last was told something new */
    uint64_t arrival_ns;   /* of the last answer under way: a stream keeps its order */
};

struct pd_sim_watchers {
    struct pd_sim_watcher watchers[PD_SIM_WATCHERS_MAX];
    struct pd_random random;
    uint64_t next_token;
};

void pd_sim_watchers_init(struct pd_sim_world *world);
void pd_sim_watchers_deinit(struct pd_sim_world *world);
/* Its timer. */
void pd_sim_watcher_go(struct pd_sim_world *world, uint32_t watcher, uint64_t token);
void pd_sim_watcher_answer(struct pd_sim_world *world, uint32_t watcher, uint64_t token,
                           struct pd_span bytes);
/* When an answer to `client` arrives that would arrive at at_ns by itself. */
uint64_t pd_sim_watcher_arrival(struct pd_sim_world *world, uint64_t client, uint64_t at_ns);
/* Each has seen what was committed before the healing, or the world fails. */
void pd_sim_watchers_check_progress(struct pd_sim_world *world);

#endif
