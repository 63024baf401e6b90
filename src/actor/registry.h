/* registry - names of processes within one environment.
 *
 * Model      A name stands for a (node, pid) and goes with its process. A name may be *held*:
 *            reserved by a process that will put it, while others who ask for it wait
 *            (`get_or_spawn`, `get_or_put_later`).
 *
 *              absent ──get(hold)──► held ──put──► named
 *              absent ──────────put──────────────► named
 *              held  ──release, forget──► absent
 *              named ──remove, forget, put of a dead pid──► absent
 *
 * Locks      One short lock of its own; no process lock is taken under it, and nobody is woken
 *            under it.
 * Bounds     names_max entries, named or held; a name is 1 to PD_NAME_MAX bytes. A process waits
 *            for one name at most.
 * Ownership  Names are copied.
 * Order      Waiters are woken in the order in which they began to wait; names of a process are
 *            kept oldest first. */
#ifndef PD_ACTOR_REGISTRY_H
#define PD_ACTOR_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/spin.h"
#include "base/status.h"
#include "base/table.h"

#define PD_NAME_MAX 1024u

struct pd_environment;
struct pd_process;

struct pd_registry {
    struct pd_spin lock;
    struct pd_table names;   /* entries by name; its count is what names_max bounds */
    struct pd_table owners;  /* by pid: what a process has and holds */
    struct pd_table waiters; /* by pid */
    uint32_t names_max;
    uint64_t seed; /* of the hashes */
};

/* The seed keeps guests from choosing names that fall together. */
void pd_registry_init(struct pd_registry *registry, uint32_t names_max, uint64_t seed);
void pd_registry_deinit(struct pd_registry *registry);

/* Give a name to a process, replacing who had it when `overwrite`. A hold on the name ends: that of
 * `by` (0: nobody), and with `overwrite` any.
 *
 * PD_OK             The name is the process's, until it dies.
 * PD_ERR_EXISTS     Taken, or held by another (only without overwrite). Nothing changed.
 * PD_ERR_UNKNOWN    No such process. The hold has ended; with overwrite the name is free.
 * PD_ERR_INVALID    The name's size. Nothing changed.
 * PD_ERR_FULL, PD_ERR_NO_MEMORY   Nothing changed; a hold of `by` is still there. */
PD_NODISCARD enum pd_status pd_registry_put(struct pd_environment *environment, const char *name,
                                            size_t name_size, uint64_t node, uint64_t pid,
                                            uint64_t by, bool overwrite);

enum pd_registry_answer {
    PD_REGISTRY_FOUND = 0,
    PD_REGISTRY_ABSENT = 1, /* with hold: it is held for `by` now */
    PD_REGISTRY_HELD = 2    /* another holds it: `waiter` will be woken, then ask again */
};

/* Look a name up. `hold`: reserve it for `by` when absent. When it is held by another, `waiter`
 * (NULL: answer ABSENT; not with hold) is woken once when that ends. `by` is the pid of the asking
 * process, which is `waiter` and does not end during the call; 0 with neither hold nor waiter.
 *
 * *status_out other than PD_OK: the answer is ABSENT, and nothing is held or awaited.
 * PD_ERR_INVALID: the name's size. PD_ERR_FULL: it cannot be held, names_max are there.
 * PD_ERR_NO_MEMORY. PD_ERR_UNKNOWN: `by` is no process. */
enum pd_registry_answer pd_registry_get(struct pd_environment *environment, const char *name,
                                        size_t name_size, bool hold, uint64_t by,
                                        struct pd_process *waiter, uint64_t *node_out,
                                        uint64_t *pid_out, enum pd_status *status_out);

/* Give a hold back without a put. */
void pd_registry_release(struct pd_environment *environment, const char *name, size_t name_size,
                         uint64_t by);

/* Forget a name; a hold stays. True: it was there. */
bool pd_registry_remove(struct pd_environment *environment, const char *name, size_t name_size);

/* Forget every name, hold and wait of a process that died. Call after it left the table. */
void pd_registry_forget(struct pd_environment *environment, uint64_t pid);

/* Write the names of a process, oldest first, each with a zero byte behind it, as many as fit;
 * returns how many were written. *count_out: how many it has. */
uint32_t pd_registry_names_of(struct pd_environment *environment, uint64_t pid, char *out,
                              size_t size, uint32_t *count_out);

/* Write the first name of a process into `out` (zero-terminated, cut to size > 0). False: it has
 * none. */
bool pd_registry_name_of(struct pd_environment *environment, uint64_t pid, char *out, size_t size);

#endif
