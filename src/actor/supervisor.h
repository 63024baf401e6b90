/* supervisor - keeps children running: starts, restarts and stops them as their specs say. Pure: no
 * I/O, no clock; heap only for new children, queued requests and the text of a failure.
 *
 * Model      One operation at a time, as in Erlang/OTP. What arrives meanwhile waits in one queue,
 *            in order.
 *
 *              NEW ──start──► LIVE: START_ALL ──all up──► idle ◄──────────────┐
 *                               │ one fails                │ exit, request    │ done
 *                               │                          ▼                  │
 *                               │              RESTART: stop range, start range
 *                               │              REQUEST: stop and/or start one ┘
 *                               ▼                          │ too many restarts, or asked to stop
 *                             STOPPING (reverse order) ◄───┘
 *                               └──no child lives──► STOPPED
 *
 *            The caller feeds events (pd_supervisor_step), then executes what pd_supervisor_next
 *            gives out until it gives nothing. SPAWN is answered with CHILD_STARTED or
 *            CHILD_FAILED, at once or later.
 * Strategies one_for_one: the child alone. rest_for_one: it and all after it. one_for_all: all.
 *            dynamic: as one_for_one, for many children: ids need not differ, a child is forgotten
 *            when it ends, all are stopped at once, and each operation takes constant time.
 * Semantics  As OTP's: a group restart starts every child of its range again, also those that had
 *            been stopped; temporary children of the range are stopped and forgotten. An exit that
 *            comes while its child is being stopped anyway counts no restart. A restart that fails
 *            is retried and counts each time.
 * Bounds     children_max, requests_max queued, restarts_max remembered times.
 * Ownership  The supervisor owns itself and references to specs. The caller owns the events; a
 *            REQUEST's spec and id are taken. An action's pointers are borrowed until the next
 *            call.
 * Time       now_ns of events, monotonic. One deadline: pd_supervisor_deadline_ns. */
#ifndef PD_ACTOR_SUPERVISOR_H
#define PD_ACTOR_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

#include "actor/child_spec.h"
#include "actor/exit.h"
#include "actor/supervisor_children.h"
#include "base/status.h"

#define PD_SUPERVISOR_RESTARTS_MAX 1000000u
#define PD_SUPERVISOR_NAME_SIZE_MAX 1024u

enum pd_supervisor_strategy {
    PD_ONE_FOR_ONE = 0,
    PD_ONE_FOR_ALL = 1,
    PD_REST_FOR_ONE = 2,
    PD_DYNAMIC = 3
};

/* When the end of significant children ends the supervisor (as OTP's auto_shutdown). */
enum pd_supervisor_auto_shutdown {
    PD_AUTO_SHUTDOWN_NEVER = 0,
    PD_AUTO_SHUTDOWN_ANY = 1, /* one ended by itself */
    PD_AUTO_SHUTDOWN_ALL = 2  /* the last one ended by itself */
};

struct pd_supervisor_config {
    const char *name; /* its path in the tree, for reasons; copied */
    enum pd_supervisor_strategy strategy;
    enum pd_supervisor_auto_shutdown auto_shutdown;
    uint32_t restarts_max; /* this many within period_ns are allowed; one more and it gives up */
    uint64_t period_ns;
    uint32_t children_max;
    uint32_t requests_max; /* waiting for the operation in progress */
    uint64_t seed;         /* of its hash tables */
};

/* one_for_one, 3 restarts in 5 s. */
struct pd_supervisor_config pd_supervisor_config_default(void);

enum pd_supervisor_event_kind {
    PD_SUPERVISOR_START = 0,     /* once, first */
    PD_SUPERVISOR_CHILD_STARTED, /* child, pid: answers SPAWN */
    PD_SUPERVISOR_CHILD_FAILED,  /* child, status, exit: answers SPAWN; there is no process */
    PD_SUPERVISOR_CHILD_READY,   /* pid: it said so */
    PD_SUPERVISOR_CHILD_EXITED,  /* pid, exit. Unknown and former pids are ignored */
    PD_SUPERVISOR_TICK,          /* the deadline may have passed */
    /* exit: what to end with. is_brutal: kill instead of asking; may follow an earlier STOP. */
    PD_SUPERVISOR_STOP,
    PD_SUPERVISOR_REQUEST /* request */
};

enum pd_supervisor_request_kind {
    /* spec. REPLY: child, pid; EXISTS: the id is taken (child, pid say by whom). */
    PD_SUPERVISOR_START_CHILD = 0,
    PD_SUPERVISOR_STOP_CHILD,    /* target. The spec stays, unless temporary or dynamic */
    PD_SUPERVISOR_RESTART_CHILD, /* target: a stopped child. EXISTS: it is not stopped */
    PD_SUPERVISOR_DELETE_CHILD,  /* target: a stopped child. EXISTS: it is not stopped */
    /* target: stop it if it runs, take `spec` if given (same id), start it. Counts no restart. */
    PD_SUPERVISOR_REPLACE_CHILD
};

/* Replies: PD_OK, PD_ERR_UNKNOWN (no such child), PD_ERR_FULL (children_max or requests_max),
 * PD_ERR_NO_MEMORY, PD_ERR_CLOSED (the supervisor is stopping), PD_ERR_EXISTS, PD_ERR_INVALID (spec
 * of another id), or the status of a start that failed, with `exit` saying why. */
struct pd_supervisor_request {
    enum pd_supervisor_request_kind kind;
    uint64_t ref; /* these two come back in the REPLY */
    struct pd_pid asker;
    struct pd_child_spec *spec; /* a reference, taken; NULL where none is asked for */
    /* The target: the first of these that is not 0. */
    struct pd_child_id child;
    struct pd_pid pid;
    char *id; /* from pd_alloc, taken; or NULL. Not in dynamic supervisors */
};

struct pd_supervisor_event {
    enum pd_supervisor_event_kind kind;
    uint64_t now_ns;
    struct pd_child_id child;
    struct pd_pid pid;
    struct pd_exit exit; /* borrowed */
    enum pd_status status;
    bool is_brutal;
    struct pd_supervisor_request request;
};

enum pd_supervisor_action_kind {
    PD_SUPERVISOR_SPAWN = 0, /* child, spec: start and link it, then answer */
    /* child, spec, pid, exit.reason: PD_EXIT_SHUTDOWN or PD_EXIT_KILLED */
    PD_SUPERVISOR_EXIT_SIGNAL,
    PD_SUPERVISOR_REPLY,   /* ref, status, child, pid, exit (of a start that failed) */
    PD_SUPERVISOR_STARTED, /* all first children are up: the supervisor itself is ready */
    /* report, child, spec, pid (before it ended), exit, restart_count, restarts_max */
    PD_SUPERVISOR_REPORT,
    PD_SUPERVISOR_GIVE_UP, /* child, spec, exit: the chain of reasons. Stops its children next */
    PD_SUPERVISOR_STOPPED  /* exit: the supervisor's own. The last action ever, but for REPLYs */
};

enum pd_supervisor_report {
    PD_REPORT_RESTART = 0,  /* it ended (exit says why) and is started again: restart n of m */
    PD_REPORT_ENDED = 1,    /* it failed and is not started again */
    PD_REPORT_NO_START = 2, /* it could not be started */
    PD_REPORT_NO_STOP = 3   /* it did not end in time and is killed */
};

struct pd_supervisor_action {
    enum pd_supervisor_action_kind kind;
    enum pd_supervisor_report report;
    enum pd_status status;
    struct pd_child_id child;
    struct pd_child_spec *spec; /* NULL where there is no child */
    struct pd_pid pid;
    struct pd_exit exit;
    uint64_t ref;
    struct pd_pid asker;
    uint32_t restart_count; /* within the period */
    uint32_t restarts_max;
};

struct pd_supervisor;

/* PD_ERR_NO_MEMORY. PD_ERR_INVALID: a number of the configuration is 0 or too large. */
PD_NODISCARD enum pd_status pd_supervisor_create(const struct pd_supervisor_config *config,
                                                 struct pd_supervisor **supervisor_out);

/* Frees everything; children that still have a process are the caller's to end
 * (pd_supervisor_child_after). */
void pd_supervisor_destroy(struct pd_supervisor *supervisor);

/* Append a child before START. Takes a reference of its own. Status as pd_children_add. */
PD_NODISCARD enum pd_status pd_supervisor_add(struct pd_supervisor *supervisor,
                                              struct pd_child_spec *spec);

/* Feed one event, when everything from pd_supervisor_next was executed, or as the answer to the
 * SPAWN just given. */
void pd_supervisor_step(struct pd_supervisor *supervisor, const struct pd_supervisor_event *event);

/* True: *action_out is to be executed now. False: nothing to do until the next event. */
bool pd_supervisor_next(struct pd_supervisor *supervisor, struct pd_supervisor_action *action_out);

/* When to send TICK, or UINT64_MAX. Valid when pd_supervisor_next gave nothing. */
uint64_t pd_supervisor_deadline_ns(const struct pd_supervisor *supervisor);

/* --- A look inside ---------------------------------------------------------------------------- */

struct pd_supervisor_child {
    struct pd_child_id child;
    struct pd_child_spec *spec; /* borrowed until the next step */
    struct pd_pid pid;          /* 0: no process */
    enum pd_child_state state;
    uint32_t restart_count; /* in its life */
};

/* The child after `child` in start order; the first after child 0. False: no more, or `child` is
 * gone. */
bool pd_supervisor_child_after(struct pd_supervisor *supervisor, struct pd_child_id child,
                               struct pd_supervisor_child *child_out);
bool pd_supervisor_find(struct pd_supervisor *supervisor, struct pd_child_id child,
                        struct pd_supervisor_child *child_out);
bool pd_supervisor_find_id(struct pd_supervisor *supervisor, const char *id,
                           struct pd_supervisor_child *child_out);
bool pd_supervisor_find_pid(struct pd_supervisor *supervisor, struct pd_pid pid,
                            struct pd_supervisor_child *child_out);

struct pd_supervisor_counts {
    uint32_t specs;   /* children known */
    uint32_t active;  /* that run, start, stop or wait for a restart */
    uint32_t live;    /* with a process */
    uint32_t waiting; /* requests */
};
struct pd_supervisor_counts pd_supervisor_count(const struct pd_supervisor *supervisor);

bool pd_supervisor_is_stopped(const struct pd_supervisor *supervisor);

/* "one_for_one", ... */
const char *pd_supervisor_strategy_text(enum pd_supervisor_strategy strategy);

/* Assert all invariants. For tests; linear. */
void pd_supervisor_check(const struct pd_supervisor *supervisor);

#endif
