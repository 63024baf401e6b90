/* search - runs of many seeds, in worker processes, and what they add up to.
 *
 * Model      A run is one world from beginning to end. A search gives seeds to workers (forked, so
 *            that a crash of the code under test is a failed seed and not the end), takes their
 *            results and checks floors: the work that a set of seeds must at least have done.
 * Floors     Lines "NAME COUNT": at least COUNT in 100 seeds. Names as pd_sim_total_name gives
 *            them. */
#ifndef PD_SIM_SEARCH_H
#define PD_SIM_SEARCH_H

#include <stdio.h>

#include "sim/world.h"

struct pd_sim_result {
    uint64_t seed;
    bool is_failed;
    uint64_t trace_hash;
    uint64_t event_number; /* of the failure */
    uint64_t time_ns;      /* virtual, at the end */
    uint64_t wall_ns;      /* that it took; not part of anything that is compared */
    uint64_t cpu_ns;
    struct pd_sim_counts counts;
    uint64_t marks[PD_SOMETIMES_COUNT];
    char failure[PD_SIM_TEXT_MAX];
};

struct pd_sim_run {
    struct pd_sim_options options;
    const struct pd_sim_core_ops *core;
    const struct pd_sim_schedule *schedule; /* NULL: drawn from the seed */
    FILE *trace;                            /* every event; NULL: none */
    FILE *recent;                           /* the last events of a failure; NULL: none */
};

/* One run in this process. False: options.faults names something unknown. */
bool pd_sim_run_one(const struct pd_sim_run *run, struct pd_sim_result *result_out);
/* The schedule that a seed draws. */
bool pd_sim_run_schedule(const struct pd_sim_run *run, struct pd_sim_schedule *schedule_out);
/* The same in a child process: a crash is a result. */
void pd_sim_run_apart(const struct pd_sim_run *run, struct pd_sim_result *result_out);

struct pd_sim_totals {
    uint64_t seeds;
    uint64_t failed;
    uint64_t time_ns;
    struct pd_sim_counts counts;
    uint64_t marks[PD_SOMETIMES_COUNT];
};

/* Seeds first..last with `workers` processes; `done` for each as it ends. */
void pd_sim_search(const struct pd_sim_run *run, uint64_t first, uint64_t last, uint32_t workers,
                   struct pd_sim_totals *totals_out,
                   void (*done)(void *state, const struct pd_sim_result *result), void *state);

/* Leave out faults of a failed run as long as it fails in the same way. Returns the number of
 * tries. */
uint32_t pd_sim_run_shrink(const struct pd_sim_run *run, const struct pd_sim_result *failed,
                           uint32_t tries_max, struct pd_sim_schedule *schedule);

/* Counts by name: "commits", "crashes", "fault:split", ... NULL: no more. */
const char *pd_sim_total_name(uint32_t index, char *room, size_t room_size);
uint64_t pd_sim_total_value(const struct pd_sim_counts *counts, uint32_t index);

/* Compare with a file of floors; says on `stream` what lies below. PD_ERR_CORRUPT: a line of it
 * means nothing; PD_ERR_RANGE: something lies below. */
PD_NODISCARD enum pd_status pd_sim_floors_check(const struct pd_sim_totals *totals, FILE *floors,
                                                FILE *stream);

#endif
