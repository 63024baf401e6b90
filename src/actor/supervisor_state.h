/* supervisor_state - what a supervisor remembers. Private to supervisor*.c; supervisor.h is the
 * contract. */
#ifndef PD_ACTOR_SUPERVISOR_STATE_H
#define PD_ACTOR_SUPERVISOR_STATE_H

#include "actor/supervisor.h"
#include "actor/supervisor_work.h"

#define PD_NS_PER_MS UINT64_C(1000000)
#define PD_NS_PER_S UINT64_C(1000000000)
#define PD_SUPERVISOR_OUTBOX_MAX 8u /* more than any one step or advance puts in */

enum pd_supervisor_phase {
    PD_PHASE_NEW = 0,
    PD_PHASE_LIVE,
    PD_PHASE_STOPPING,
    PD_PHASE_STOPPED
};

enum pd_supervisor_operation {
    PD_OPERATION_NONE = 0,
    PD_OPERATION_START_ALL,
    PD_OPERATION_RESTART,
    PD_OPERATION_REQUEST,
    PD_OPERATION_STOP_ALL
};

/* What the operation does with the child at the cursor. */
enum pd_supervisor_stage {
    PD_STAGE_IDLE = 0,
    PD_STAGE_STOP,   /* towards the front: stop it and wait for its end */
    PD_STAGE_START,  /* towards the back: start it and wait until it is up */
    PD_STAGE_SIGNAL, /* dynamic, towards the front: tell it to end, do not wait */
    PD_STAGE_WAIT    /* dynamic: all were told */
};

struct pd_supervisor {
    struct pd_supervisor_config config;
    struct pd_children children;
    struct pd_supervisor_work work;
    enum pd_supervisor_phase phase;
    enum pd_supervisor_operation operation;
    enum pd_supervisor_stage stage;
    bool is_single;        /* the range is the one child `first` */
    bool is_brutal;        /* stopping, and nobody is asked any more */
    bool is_start_overdue; /* `current` was killed because it never said ready */
    uint32_t first;        /* where the range begins; NONE: with the first child */
    uint32_t cursor;
    uint32_t current; /* the child that the operation waits for, or NONE */
    uint64_t deadline_ns;
    uint64_t now_ns;
    uint64_t stop_began_ns;
    struct pd_supervisor_request request; /* of PD_OPERATION_REQUEST */
    struct pd_exit exit;                  /* what it will end with */
    uint64_t *restarts;                   /* ring of the last times */
    uint32_t restart_first;
    uint32_t restart_count;
    struct pd_supervisor_action outbox[PD_SUPERVISOR_OUTBOX_MAX]; /* each with references */
    uint32_t outbox_first;
    uint32_t outbox_count;
    struct pd_supervisor_action given; /* the last one given out: keeps its references alive */
    char name[];
};

/* Give back an action's references. */
void pd_supervisor_action_deinit(struct pd_supervisor_action *action);

#endif
