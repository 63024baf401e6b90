/* group - named sets of processes within one environment.
 *
 * Model      join, leave, members, broadcast. A process leaves all its groups when it dies. Members are listed in
 *            the order in which they joined.
 * Locks      One short lock of its own; no process lock is taken under it.
 * Bounds     memberships_max memberships in all; a name is 1 to PD_NAME_MAX bytes (registry.h). */
#ifndef PD_ACTOR_GROUP_H
#define PD_ACTOR_GROUP_H

#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/spin.h"
#include "base/status.h"

struct pd_environment;
struct pd_group;
struct pd_membership;

struct pd_group_set {
    struct pd_spin lock;
    struct pd_group **groups;           /* by name, chained */
    struct pd_membership **memberships; /* by pid, chained */
    uint32_t bucket_count;              /* of both */
    uint32_t count;                     /* memberships */
    uint32_t memberships_max;
};

void pd_group_set_init(struct pd_group_set *set, uint32_t memberships_max);
void pd_group_set_deinit(struct pd_group_set *set);

/* PD_ERR_EXISTS: it is a member already. PD_ERR_UNKNOWN: no such process. PD_ERR_INVALID: the name's size.
 * PD_ERR_FULL, PD_ERR_NO_MEMORY. On error nothing changes. */
PD_NODISCARD enum pd_status pd_group_join(struct pd_environment *environment, const char *name,
                                          size_t name_size, uint64_t pid);

/* PD_ERR_UNKNOWN: it is no member. */
PD_NODISCARD enum pd_status pd_group_leave(struct pd_environment *environment, const char *name,
                                           size_t name_size, uint64_t pid);

/* Write up to pids_max members; returns how many there are. */
uint32_t pd_group_members(struct pd_environment *environment, const char *name, size_t name_size,
                          uint64_t *pids, uint32_t pids_max);

/* Leave every group. */
void pd_group_forget(struct pd_environment *environment, uint64_t pid);

#endif
