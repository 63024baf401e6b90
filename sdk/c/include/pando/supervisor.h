/* supervisor - trees of processes that Pando starts, watches and restarts.
 *
 * Model      Describe a supervisor (pando_supervisor_create, then children), start it, and go on by
 *            its pid. It is a process itself, native: it runs no guest code and cannot crash. What
 *            was described is consumed by starting it.
 * Strategy   When a child ends and is to be restarted: one_for_one restarts it, one_for_all all
 *            children, rest_for_one it and those added after it. A dynamic supervisor has any
 *            number of alike children, started one by one.
 * Limits     More than restarts_max restarts within period_ms, and the supervisor gives up: it
 *            stops its children and ends with a failure that tells the chain of reasons.
 * Order      Children start in the order in which they were added, and stop in reverse.
 * Shutdown   A child is asked by an exit signal with reason shutdown; one that traps exits gets it
 *            as a message (PANDO_LINK_DIED, reason shutdown) and has stop_ms to end, others end at
 *            once.
 * Rights     Starting supervisors and children needs the right to spawn.
 * Traps      Mistakes in a description: unknown ids, two children with one id, texts too long. */
#ifndef PANDO_SUPERVISOR_H
#define PANDO_SUPERVISOR_H

#include "process.h"

enum pando_strategy {
    PANDO_ONE_FOR_ONE = 0,
    PANDO_ONE_FOR_ALL = 1,
    PANDO_REST_FOR_ONE = 2,
    PANDO_DYNAMIC = 3
};

enum pando_restart {
    PANDO_PERMANENT = 0, /* always */
    PANDO_TRANSIENT = 1, /* unless it ended with normal or shutdown */
    PANDO_TEMPORARY = 2  /* never; forgotten when it ends */
};

/* When the end of children that are significant ends the supervisor. */
enum pando_auto_shutdown {
    PANDO_NEVER = 0,
    PANDO_ANY_SIGNIFICANT = 1,
    PANDO_ALL_SIGNIFICANT = 2
};

#define PANDO_STOP_BRUTALLY UINT64_C(0)  /* killed at once */
#define PANDO_STOP_INFINITELY UINT64_MAX /* waited for as long as it takes */

/* One child. Begin with pando_child. */
struct pando_child {
    const char *id;                   /* 1 to 255 bytes, of this supervisor alone */
    struct pando_spawn_options spawn; /* link_tag is not used: the supervisor watches by itself */
    enum pando_restart restart;
    uint64_t stop_ms;      /* how long it may take to shut down, 5,000 by default */
    bool handles_shutdown; /* it ends when told to: asked for with PANDO_STOP_INFINITELY */
    bool is_significant;
    uint64_t ready_ms; /* not 0: counts as started when it says pando_ready, within this time */
};

/* How many children there are. */
struct pando_child_counts {
    uint32_t described; /* all that the supervisor knows, the stopped ones included */
    uint32_t active;    /* that run, start, stop or wait for a restart */
    uint32_t live;      /* with a process */
    uint32_t requests;  /* that wait for the operation in progress */
};

PANDO_IMPORT("pando::supervisor", "create")
uint64_t pando_import_supervisor_create(uint32_t strategy, uint32_t restarts_max,
                                        uint64_t period_ms);
PANDO_IMPORT("pando::supervisor", "drop") void pando_import_supervisor_drop(uint64_t spec);
PANDO_IMPORT("pando::supervisor", "set_name")
void pando_import_supervisor_set_name(uint64_t spec, const char *name, uint32_t size);
PANDO_IMPORT("pando::supervisor", "set_limits")
void pando_import_supervisor_set_limits(uint64_t spec, uint32_t children_max,
                                        uint32_t auto_shutdown);
PANDO_IMPORT("pando::supervisor", "add_worker")
void pando_import_supervisor_add_worker(uint64_t spec, const char *id, uint32_t id_size,
                                        uint64_t config, uint64_t module, const char *function,
                                        uint32_t function_size, const struct pando_param *params,
                                        uint32_t params_size, uint32_t restart, uint32_t flags,
                                        uint64_t stop_ms);
PANDO_IMPORT("pando::supervisor", "add_supervisor")
void pando_import_supervisor_add_supervisor(uint64_t spec, uint64_t child, const char *id,
                                            uint32_t id_size, uint32_t restart, uint64_t stop_ms);
PANDO_IMPORT("pando::supervisor", "set_ready")
void pando_import_supervisor_set_ready(uint64_t spec, uint64_t ready_ms);
PANDO_IMPORT("pando::supervisor", "start")
uint32_t pando_import_supervisor_start(uint64_t spec, uint64_t link_tag, uint64_t *out);
PANDO_IMPORT("pando::supervisor", "start_child")
uint32_t pando_import_supervisor_start_child(uint64_t pid, const struct pando_param *params,
                                             uint32_t params_size, uint64_t timeout_ms,
                                             uint64_t *out);
PANDO_IMPORT("pando::supervisor", "restart_child")
uint32_t pando_import_supervisor_restart_child(uint64_t pid, const char *id, uint32_t size,
                                               uint64_t timeout_ms, uint64_t *out);
PANDO_IMPORT("pando::supervisor", "stop_child")
uint32_t pando_import_supervisor_stop_child(uint64_t pid, uint64_t child, uint64_t timeout_ms,
                                            uint64_t *out);
PANDO_IMPORT("pando::supervisor", "delete_child")
uint32_t pando_import_supervisor_delete_child(uint64_t pid, const char *id, uint32_t size,
                                              uint64_t timeout_ms, uint64_t *out);
PANDO_IMPORT("pando::supervisor", "count")
uint32_t pando_import_supervisor_count(uint64_t pid, struct pando_child_counts *counts_out,
                                       uint64_t timeout_ms, uint64_t *out);
PANDO_IMPORT("pando::supervisor", "stop")
uint32_t pando_import_supervisor_stop(uint64_t pid, uint32_t brutal, uint64_t timeout_ms,
                                      uint64_t *out);
PANDO_IMPORT("pando::supervisor", "ready") void pando_import_supervisor_ready(void);

/* --- Describing ------------------------------------------------------------------------------- */

/* A supervisor without children. The id is this process's own, until it is started, added to
 * another, or dropped. restarts_max: 0 to 1,000,000; period_ms: 1 to a year. 3 in 5,000 is
 * usual. */
static inline uint64_t pando_supervisor_create(enum pando_strategy strategy, uint32_t restarts_max,
                                               uint64_t period_ms)
{
    return pando_import_supervisor_create((uint32_t)strategy, restarts_max, period_ms);
}

/* Its name in reports and in `pando ps`: 1 to 255 bytes. Those below another are named by their
 * path. */
static inline void pando_supervisor_set_name(uint64_t supervisor, const char *name)
{
    pando_import_supervisor_set_name(supervisor, name, pando_text_size(name));
}

/* children_max: how many there may be at once, 65,536 by default. */
static inline void pando_supervisor_set_limits(uint64_t supervisor, uint32_t children_max,
                                               enum pando_auto_shutdown auto_shutdown)
{
    pando_import_supervisor_set_limits(supervisor, children_max, (uint32_t)auto_shutdown);
}

static inline void pando_supervisor_drop(uint64_t supervisor)
{
    pando_import_supervisor_drop(supervisor);
}

/* A permanent child that runs `function` of this module with the parent's rights. */
static inline struct pando_child pando_child(const char *id, const char *function,
                                             const struct pando_param *params, uint32_t param_count)
{
    struct pando_child child;
    child.id = id;
    child.spawn = pando_spawn_options(function, params, param_count);
    child.restart = PANDO_PERMANENT;
    child.stop_ms = 5000;
    child.handles_shutdown = false;
    child.is_significant = false;
    child.ready_ms = 0;
    return child;
}

/* Add a child; of a dynamic supervisor, say what all its children are like. Texts are copied. */
static inline void pando_supervisor_add(uint64_t supervisor, const struct pando_child *child)
{
    const struct pando_spawn_options *spawn = &child->spawn;
    pando_import_supervisor_add_worker(
        supervisor, child->id, pando_text_size(child->id), spawn->config, spawn->module,
        spawn->function, pando_text_size(spawn->function), spawn->params,
        spawn->param_count * (uint32_t)sizeof(struct pando_param), (uint32_t)child->restart,
        (child->handles_shutdown ? 1u : 0u) | (child->is_significant ? 2u : 0u), child->stop_ms);
    if (child->ready_ms != 0) {
        pando_import_supervisor_set_ready(supervisor, child->ready_ms);
    }
}

/* Add a supervisor below; its description is consumed. stop_ms: PANDO_STOP_INFINITELY is usual. */
static inline void pando_supervisor_add_supervisor(uint64_t supervisor, const char *id,
                                                   uint64_t child, enum pando_restart restart,
                                                   uint64_t stop_ms)
{
    pando_import_supervisor_add_supervisor(supervisor, child, id, pando_text_size(id),
                                           (uint32_t)restart, stop_ms);
}

/* Start it, linked to this process under link_tag (0: not linked), and wait until its first
 * children have started. PANDO_OK: *pid_out is the supervisor. PANDO_ERROR: *pid_out is an error
 * id; but a child that could not be started also ends a caller that is linked and does not trap
 * exits. */
static inline enum pando_result pando_supervisor_start(uint64_t supervisor, uint64_t link_tag,
                                                       uint64_t *pid_out)
{
    return (enum pando_result)pando_import_supervisor_start(supervisor, link_tag, pid_out);
}

/* --- Asking one that runs --------------------------------------------------------------------- */

/* Start a child of a dynamic supervisor with parameters of its own. PANDO_OK: *pid_out is its pid.
 * PANDO_ERROR: *pid_out is an error id. PANDO_TIMED_OUT: it may still be started. */
static inline enum pando_result pando_supervisor_start_child(uint64_t supervisor,
                                                             const struct pando_param *params,
                                                             uint32_t param_count,
                                                             uint64_t timeout_ms, uint64_t *pid_out)
{
    return (enum pando_result)pando_import_supervisor_start_child(
        supervisor, params, param_count * (uint32_t)sizeof(struct pando_param), timeout_ms,
        pid_out);
}

/* Stop the child that has this pid. It stays stopped; a dynamic supervisor forgets it. */
static inline enum pando_result pando_supervisor_stop_child(uint64_t supervisor, uint64_t child,
                                                            uint64_t timeout_ms,
                                                            uint64_t *error_out)
{
    return (enum pando_result)pando_import_supervisor_stop_child(supervisor, child, timeout_ms,
                                                                 error_out);
}

/* Start a child that was stopped. As pando_supervisor_start_child. */
static inline enum pando_result pando_supervisor_restart_child(uint64_t supervisor, const char *id,
                                                               uint64_t timeout_ms,
                                                               uint64_t *pid_out)
{
    return (enum pando_result)pando_import_supervisor_restart_child(
        supervisor, id, pando_text_size(id), timeout_ms, pid_out);
}

/* Forget a child that was stopped. */
static inline enum pando_result pando_supervisor_delete_child(uint64_t supervisor, const char *id,
                                                              uint64_t timeout_ms,
                                                              uint64_t *error_out)
{
    return (enum pando_result)pando_import_supervisor_delete_child(
        supervisor, id, pando_text_size(id), timeout_ms, error_out);
}

/* How many children it has. */
static inline enum pando_result pando_supervisor_count(uint64_t supervisor, uint64_t timeout_ms,
                                                       struct pando_child_counts *counts_out,
                                                       uint64_t *error_out)
{
    return (enum pando_result)pando_import_supervisor_count(supervisor, counts_out, timeout_ms,
                                                            error_out);
}

/* Stop it and all below it, in order, and wait until it has ended. is_brutal: kill them. The caller
 * is unlinked from it first, so as not to be told of what it asked for. */
static inline enum pando_result pando_supervisor_stop(uint64_t supervisor, bool is_brutal,
                                                      uint64_t timeout_ms, uint64_t *error_out)
{
    pando_unlink(supervisor);
    return (enum pando_result)pando_import_supervisor_stop(supervisor, is_brutal, timeout_ms,
                                                           error_out);
}

/* Tell one's supervisor that the work can begin: for children with ready_ms. Without one:
 * nothing. */
static inline void pando_ready(void)
{
    pando_import_supervisor_ready();
}

#endif
