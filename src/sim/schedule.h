/* schedule - the faults of one run: a list that is drawn from the seed before the run begins, so
 * that any part of it can be replayed.
 *
 * Model      A fault is (time, kind, target, duration, amount). Nothing in it depends on what
 *            happens in the run: the target "leader" is looked up when the time comes, and a fault
 *            that the budget does not allow then is passed over. So leaving some out changes
 *            nothing about the others, which is what lets pd_sim_shrink() find the few that matter.
 * Ownership  init/deinit; the faults belong to the schedule. */
#ifndef PD_SIM_SCHEDULE_H
#define PD_SIM_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/random.h"
#include "base/status.h"

/* name, group, what it does, weight in a swarm, takes time, amount_max */
#define PD_SIM_FAULTS(X)                                                                           \
    X(SPLIT, split, network, "the nodes fall into two sets", 8, true, UINT32_MAX)                  \
    X(ISOLATE, isolate, network, "one node reaches nobody", 8, true, 1)                            \
    X(ONE_WAY, one_way, network, "one node is heard by nobody, or hears nobody", 6, true, 2)       \
    X(PARTIAL, partial, network, "two nodes cut off from each other only", 6, true, UINT32_MAX)    \
    X(FLAP, flap, network, "a link that comes and goes", 4, true, UINT32_MAX)                      \
    X(DROP, drop, network, "messages are lost", 8, true, 400000)                                   \
    X(DUPLICATE, duplicate, network, "messages arrive twice", 8, true, 400000)                     \
    X(REORDER, reorder, network, "messages overtake each other", 8, true, 600000)                  \
    X(DELAY, delay, network, "every delay is many times longer", 6, true, 60)                      \
    X(SLOW_READER, slow_reader, network, "one node takes messages slowly", 4, true, 20)            \
    X(DISK_SLOW, disk_slow, disk, "one disk is many times slower", 8, true, 60)                    \
    X(DISK_WRITE, disk_write, disk, "a write is refused", 3, false, 4)                             \
    X(DISK_SYNC, disk_sync, disk, "a sync is refused and loses what it should have written", 3,    \
      false, 4)                                                                                    \
    X(DISK_FULL, disk_full, disk, "no space left", 3, true, 1)                                     \
    X(DISK_ROT, disk_rot, disk, "a synced bit flips, then the node restarts", 3, false, 1)         \
    X(STORE_LOSS, store_loss, disk, "the store's folder is gone, then the node restarts", 3,       \
      false, 1)                                                                                    \
    X(STORE_ROT, store_rot, disk, "the store's rows cannot be read any more", 3, false, 1)         \
    X(CRASH, crash, process, "the process is killed; the system lives on", 10, true, 1)            \
    X(POWER, power, process, "the power goes: unsynced blocks and names are lost or torn", 10,     \
      true, 1)                                                                                     \
    X(POWER_ALL, power_all, process, "the power goes everywhere", 3, true, 1)                      \
    X(PAUSE, pause, process, "the process stands still, its clock does not", 8, true, 1)           \
    X(WIPE, wipe, process, "a node comes back with an empty disk", 3, true, 1)                     \
    X(COPY, copy, process, "a second process starts from a copy of a node's disk", 2, true, 1)     \
    X(DRIFT, drift, clock, "a clock runs fast or slow", 6, true, 200000)                           \
    X(JUMP, jump, clock, "a boot clock jumps ahead", 4, false, 30000)                              \
    X(WALL_JUMP, wall_jump, clock, "a wall clock jumps back or ahead", 6, false, 4000000)          \
    X(FREEZE, freeze, clock, "a clock stands still", 4, true, 1)                                   \
    X(ADD, add, cluster, "a learner joins and is promoted", 8, false, 1)                           \
    X(REMOVE, remove, cluster, "a member is removed", 6, false, 1)                                 \
    X(REPLACE, replace, cluster, "a member is replaced by a new one in one joint change", 6,       \
      false, 1)                                                                                    \
    X(TRANSFER, transfer, cluster, "leadership is handed to another", 10, false, UINT32_MAX)       \
    X(COMPACT, compact, cluster, "a snapshot is due while a node catches up", 6, true, 1)          \
    X(VERSION, version, process, "a node restarts with the other version of the program", 8, true, \
      1)

enum pd_sim_fault_kind {
#define PD_SIM_FAULT_ENUM(name, text, group, help, weight, lasts, amount) PD_SIM_FAULT_##name,
    PD_SIM_FAULTS(PD_SIM_FAULT_ENUM)
#undef PD_SIM_FAULT_ENUM
    PD_SIM_FAULT_COUNT
};

#define PD_SIM_TARGET_LEADER 0u

struct pd_sim_fault {
    uint64_t at_ns;
    uint64_t duration_ns;
    enum pd_sim_fault_kind kind;
    uint32_t target; /* PD_SIM_TARGET_LEADER, or the number of a machine, from 1 */
    uint32_t amount;
};

struct pd_sim_schedule {
    struct pd_sim_fault *faults; /* by time */
    size_t count;
    size_t capacity;
};

struct pd_sim_fault_rates {
    bool is_on[PD_SIM_FAULT_COUNT];
    uint64_t interval_ns; /* mean, between two faults of any kind */
    uint64_t duration_ns; /* mean */
    uint64_t begin_ns;
    uint64_t end_ns;
    uint32_t machines;
};

const char *pd_sim_fault_name(enum pd_sim_fault_kind kind);
const char *pd_sim_fault_help(enum pd_sim_fault_kind kind);

/* Switch on what a list of names, groups, "all" or "none" names. False: *unknown_out is a word of
 * it that means nothing (its size in *size_out). */
bool pd_sim_fault_list(const char *list, bool is_on[PD_SIM_FAULT_COUNT], const char **unknown_out,
                       size_t *size_out);

void pd_sim_schedule_init(struct pd_sim_schedule *schedule);
void pd_sim_schedule_deinit(struct pd_sim_schedule *schedule);
void pd_sim_schedule_add(struct pd_sim_schedule *schedule, const struct pd_sim_fault *fault);
void pd_sim_schedule_copy(struct pd_sim_schedule *to, const struct pd_sim_schedule *from);
/* Draw one. */
void pd_sim_schedule_draw(struct pd_sim_schedule *schedule, uint64_t seed,
                          const struct pd_sim_fault_rates *rates);

/* What a saved schedule says beside its faults. */
struct pd_sim_replay {
    uint64_t seed;
    uint64_t minutes;
    uint64_t nodes; /* 0: drawn */
};

/* As text, one fault a line, that read() takes back. */
void pd_sim_schedule_write(const struct pd_sim_schedule *schedule,
                           const struct pd_sim_replay *replay, FILE *stream);
/* PD_ERR_CORRUPT: *line_out is the first line that is no fault. */
PD_NODISCARD enum pd_status pd_sim_schedule_read(struct pd_sim_schedule *schedule,
                                                 struct pd_sim_replay *replay_out, FILE *stream,
                                                 uint32_t *line_out);

/* Delta debugging (Zeller and Hildebrandt 2002): leave out faults as long as `fails` holds, at most
 * tries_max times. `schedule` becomes a list of which no single fault can be left out, or the
 * shortest found. Returns the number of tries. */
uint32_t pd_sim_shrink(struct pd_sim_schedule *schedule, uint32_t tries_max,
                       bool (*fails)(void *state, const struct pd_sim_schedule *schedule),
                       void *state);

#endif
