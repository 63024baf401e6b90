/* group - named sets of processes within one environment.
 *
 * Model      join, leave, members, broadcast. A process leaves all its groups when it dies. A group
 *            is there as long as it has members.
 * Locks      One short lock of its own; no process lock is taken under it.
 * Bounds     memberships_max memberships in all; a name is 1 to PD_NAME_MAX bytes (registry.h).
 * Ownership  Names are copied.
 * Order      Members are listed in the order in which they joined; who leaves and joins again is
 *            the newest. */
#ifndef PD_ACTOR_GROUP_H
#define PD_ACTOR_GROUP_H

#include <stddef.h>
#include <stdint.h>

#include "base/spin.h"
#include "base/status.h"
#include "base/table.h"

struct pd_environment;

struct pd_group_set {
    struct pd_spin lock;
    struct pd_table groups;      /* by name */
    struct pd_table memberships; /* by (group, pid); its count is what memberships_max bounds */
    struct pd_table members;     /* by pid: what a process is a member of */
    uint32_t memberships_max;
    uint64_t sequence; /* of the last join */
    uint64_t seed;     /* of the hashes */
};

/* Where a walk over a group is. All zero bytes: at the front. */
struct pd_group_cursor {
    uint64_t sequence; /* of the last member that was met */
    uint64_t end;      /* who joins after it is not met; 0: not begun */
};

/* The seed keeps guests from choosing names that fall together. */
void pd_group_set_init(struct pd_group_set *set, uint32_t memberships_max, uint64_t seed);
void pd_group_set_deinit(struct pd_group_set *set);

/* PD_ERR_EXISTS: it is a member already. PD_ERR_UNKNOWN: no such process. PD_ERR_INVALID: the
 * name's size. PD_ERR_FULL, PD_ERR_NO_MEMORY. On error nothing changes. */
PD_NODISCARD enum pd_status pd_group_join(struct pd_environment *environment, const char *name,
                                          size_t name_size, uint64_t pid);

/* PD_ERR_UNKNOWN: it is no member. */
PD_NODISCARD enum pd_status pd_group_leave(struct pd_environment *environment, const char *name,
                                           size_t name_size, uint64_t pid);

/* Write up to pids_max members, the oldest first; returns how many there are. */
uint32_t pd_group_members(struct pd_environment *environment, const char *name, size_t name_size,
                          uint64_t *pids, uint32_t pids_max);

/* Write the next members of a walk, up to pids_max (> 0); returns how many, 0: it is over. Stable
 * under changes: who is a member from the first call to the end is met exactly once, and nobody is
 * met after leaving. A broadcast to any number of members takes batches of it without
 * allocating. */
uint32_t pd_group_walk(struct pd_environment *environment, const char *name, size_t name_size,
                       struct pd_group_cursor *cursor, uint64_t *pids, uint32_t pids_max);

/* Write the names of the groups of a process, as joined, each with a zero byte behind it, as many
 * as fit; returns how many were written. *count_out: of how many it is a member. */
uint32_t pd_group_names_of(struct pd_environment *environment, uint64_t pid, char *out, size_t size,
                           uint32_t *count_out);

/* Leave every group. Call after the process left the table. */
void pd_group_forget(struct pd_environment *environment, uint64_t pid);

#endif
