/* tracer - a bounded record of what one process does, written by its owner and read by an onlooker.
 *
 * Model      An onlooker makes a tracer and has it attached from inside of the process (inspect.h).
 *            The owner notes events until the limit, the deadline, a stop or its own end, and then
 *            lets go of it. Only the owner follows process->tracer, so it cannot vanish under
 *            anyone.
 * Cost       A process that is not traced pays one predictable branch for each event.
 * Bounds     PD_TRACER_RING events wait to be taken; those that find no room are counted as lost.
 *            events_max in all.
 * Ownership  Counted references: the onlooker's and the process's.
 * Threads    attach, detach and note: the owner. Everything else: any thread. */
#ifndef PD_ACTOR_TRACER_H
#define PD_ACTOR_TRACER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "actor/process.h"
#include "base/status.h"

#define PD_TRACER_RING 1024u
#define PD_TRACER_EVENTS_MAX 1000000u

enum pd_traced_kind {
    PD_TRACED_SENT = 0,        /* pid: to whom; tag, size */
    PD_TRACED_RECEIVED = 1,    /* it arrived; pid: from whom, where that is known; tag, size */
    PD_TRACED_NOTICE = 2,      /* of the death of pid: reason, tag */
    PD_TRACED_SPAWNED = 3,     /* pid: the child */
    PD_TRACED_LINKED = 4,      /* pid: the peer */
    PD_TRACED_UNLINKED = 5,    /* by this process */
    PD_TRACED_MONITORED = 6,   /* this process monitors pid */
    PD_TRACED_DEMONITORED = 7, /* no longer */
    PD_TRACED_EXIT_SENT = 8,   /* it asked pid to exit: reason */
    PD_TRACED_HOST_CALL = 9,   /* a call ended: space and name of the function */
    /* a supervisor restarts the child that was pid: reason; size: which time */
    PD_TRACED_RESTARTED = 10,
    PD_TRACED_EXITED = 11 /* the last one: reason */
};

struct pd_traced {
    uint64_t at_ns; /* set by pd_tracer_note */
    uint64_t pid;
    uint64_t tag;
    uint64_t size;
    const char *space; /* static texts */
    const char *name;
    uint8_t kind;   /* enum pd_traced_kind */
    uint8_t reason; /* enum pd_exit_reason */
};

struct pd_tracer;

/* Events after deadline_ns are not noted. PD_ERR_INVALID: events_max is 0 or beyond
 * PD_TRACER_EVENTS_MAX. PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_tracer_create(uint32_t events_max, uint64_t deadline_ns,
                                             struct pd_tracer **tracer_out);
struct pd_tracer *pd_tracer_share(struct pd_tracer *tracer);
void pd_tracer_release(struct pd_tracer *tracer); /* NULL is allowed */

/* Let `self` note its events here; takes a reference of its own.
 * PD_ERR_EXISTS: it is traced already, and that trace is not over. */
PD_NODISCARD enum pd_status pd_tracer_attach(struct pd_process *self, struct pd_tracer *tracer);

/* Let go of the tracer, if there is one. */
void pd_tracer_detach(struct pd_process *self);

static inline bool pd_process_is_traced(const struct pd_process *self)
{
    return __builtin_expect(atomic_load_explicit(&self->tracer, memory_order_relaxed) != NULL, 0);
}

/* Note an event of a process that is traced. A trace that is over is detached instead. */
void pd_tracer_note(struct pd_process *self, struct pd_traced event);

/* Nothing more is noted; what was not taken is lost. */
void pd_tracer_stop(struct pd_tracer *tracer);

/* Take up to events_max events, the oldest first; returns how many. */
uint32_t pd_tracer_take(struct pd_tracer *tracer, struct pd_traced *events, uint32_t events_max);

/* True: no event will be noted any more. What is there can still be taken. */
bool pd_tracer_is_over(struct pd_tracer *tracer);

/* How many events found no room. */
uint64_t pd_tracer_lost_count(struct pd_tracer *tracer);

#endif
