/* environment - a world of pids: the table that turns a pid into a process, its names and its
 * groups.
 *
 * Model      Pids count up from 1 and are never used twice. A process sits in slot (pid mod
 *            capacity); a pid whose slot is taken is skipped. So a look-up is one load, and pids
 *            still look like Lunatic's.
 * Locks      `lock` guards allocation only; slots are read without it (process.h: type-stable
 *            memory).
 * Ownership  Created and destroyed by the program; destroyed only when no process is left in it. */
#ifndef PD_ACTOR_ENVIRONMENT_H
#define PD_ACTOR_ENVIRONMENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "actor/group.h"
#include "actor/registry.h"
#include "base/spin.h"
#include "base/status.h"

struct pd_process;
struct pd_runtime;

/* One field, so that the array has a plain type. */
struct pd_environment_slot {
    _Atomic(struct pd_process *) process;
};

struct pd_environment {
    struct pd_runtime *runtime;
    uint64_t id; /* `lunatic::process::environment_id` */
    struct pd_spin lock;
    uint64_t pid_last;
    uint64_t *taken; /* a bit a slot */
    uint32_t capacity;
    uint32_t count; /* bits set */
    bool is_closed; /* no new processes */
    struct pd_environment_slot *slots;
    struct pd_registry registry;
    struct pd_group_set groups;
};

/* PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_environment_create(struct pd_runtime *runtime, uint64_t id,
                                                  struct pd_environment **environment_out);
void pd_environment_destroy(struct pd_environment *environment);

/* Refuse new processes from here on. */
void pd_environment_close(struct pd_environment *environment);

/* Reserve a pid. PD_ERR_FULL: every slot is taken. PD_ERR_CLOSED. */
PD_NODISCARD enum pd_status pd_environment_take_pid(struct pd_environment *environment,
                                                    uint64_t *pid_out);
void pd_environment_give_pid(struct pd_environment *environment, uint64_t pid);

/* The process that may have this pid: lock it and compare before use. NULL: none. */
static inline struct pd_process *pd_environment_at(struct pd_environment *environment, uint64_t pid)
{
    return atomic_load_explicit(&environment->slots[pid & (environment->capacity - 1)].process,
                                memory_order_acquire);
}

/* Live processes and reservations. */
uint32_t pd_environment_count(struct pd_environment *environment);

#endif
