/* supervisor_process - a supervisor as an ordinary process: the state machine of supervisor.h fed
 * by a mailbox. It knows nothing of what its children are; hooks make them.
 *
 * Model      It monitors its children: a monitor, unlike a link, cannot be undone by the child, so
 *            no guest can hide its death. Children start when their monitor stands, so no death is
 *            missed. What ends it: its parent's death or exit signal, an exit signal of nobody
 *            (pid 0: the operator), a STOP call, or giving up. When it is killed, its children are
 *            killed with it.
 * Calls      Others reach it with a *call*, which travels as a resource that guests cannot forge;
 *            any other data message is dropped. An answer that finds the asker's mailbox full is
 *            dropped: the asker's timeout tells it.
 * Bounds     One turn handles at most PD_SUPERVISOR_TURN_MAX messages or actions; children and
 *            requests as in supervisor.h.
 * Ownership  The process owns machine and specs. Hooks and their context are the caller's and
 *            outlive every supervisor that was given them. */
#ifndef PD_ACTOR_SUPERVISOR_PROCESS_H
#define PD_ACTOR_SUPERVISOR_PROCESS_H

#include "actor/environment.h"
#include "actor/process.h"
#include "actor/supervisor.h"

#define PD_SUPERVISOR_TURN_MAX 512u
/* bytes before the rows of a LIST or the figures of a COUNT */
#define PD_SUPERVISOR_ANSWER_SIZE 21u
#define PD_SUPERVISOR_LIST_SIZE_MAX 65536u

struct pd_supervisor_hooks {
    void *context;
    /* Make, but do not start, the process of `child` in the supervisor's environment, with the
     * supervisor as its parent. On errors *why_out may be given a text (the callee's reference is
     * the caller's then). Runs on the supervisor's thread; must not block. */
    enum pd_status (*create)(void *context, struct pd_process *supervisor,
                             const struct pd_supervisor_child *child,
                             struct pd_process **process_out, struct pd_exit_text **why_out);
    /* May be NULL. Of the action kinds REPORT, GIVE_UP, STARTED and STOPPED. */
    void (*report)(void *context, struct pd_process *supervisor,
                   const struct pd_supervisor_action *action);
};

/* What may be asked of a supervisor process. The first five are those of supervisor.h. */
enum pd_supervisor_call_kind {
    /* `spec`; NULL: the template, with `arguments` */
    PD_SUPERVISOR_CALL_START = PD_SUPERVISOR_START_CHILD,
    PD_SUPERVISOR_CALL_STOP_CHILD = PD_SUPERVISOR_STOP_CHILD,
    PD_SUPERVISOR_CALL_RESTART = PD_SUPERVISOR_RESTART_CHILD,
    PD_SUPERVISOR_CALL_DELETE = PD_SUPERVISOR_DELETE_CHILD,
    PD_SUPERVISOR_CALL_REPLACE = PD_SUPERVISOR_REPLACE_CHILD,
    PD_SUPERVISOR_CALL_READY, /* `pid` says that it is ready */
    PD_SUPERVISOR_CALL_COUNT, /* answered with counts */
    /* answered with the children after `child` that fit, in start order */
    PD_SUPERVISOR_CALL_LIST,
    PD_SUPERVISOR_CALL_STOP /* the supervisor itself ends with shutdown; is_brutal: kill */
};

/* Filled in by the caller; pd_supervisor_call_post copies texts and takes a reference to the
 * spec. */
struct pd_supervisor_call {
    enum pd_supervisor_call_kind kind;
    struct pd_child_spec *spec;
    const uint8_t *arguments;
    uint32_t arguments_size;
    struct pd_child_id child;
    struct pd_pid pid;
    const char *id;
    bool is_brutal;
};

/* What came back. `rows` points into the message. */
struct pd_supervisor_answer {
    enum pd_status status;
    struct pd_child_id child;
    struct pd_pid pid;
    enum pd_exit_reason reason; /* of a start that failed; its text is the message's */
    const uint8_t *rows;
    uint32_t rows_size;
};

/* One row of a LIST. */
struct pd_supervisor_row {
    struct pd_child_id child;
    struct pd_pid pid;
    enum pd_child_state state;
    enum pd_child_kind kind;
    enum pd_child_restart restart;
    uint32_t restart_count;
    const char *id; /* id_size bytes, not terminated */
    uint32_t id_size;
};

/* Make a supervisor with its first children, to be started with pd_process_start. `template_spec`
 * (NULL: none) is what START makes when it is given no spec. Takes references of its own to the
 * specs. PD_ERR_INVALID: config, or more than children_max. PD_ERR_EXISTS: two children have one
 * id. PD_ERR_NO_MEMORY, PD_ERR_FULL, PD_ERR_CLOSED: as pd_process_create. */
PD_NODISCARD enum pd_status pd_supervisor_process_create(
    struct pd_environment *environment, uint64_t parent, const struct pd_supervisor_config *config,
    struct pd_child_spec *const *specs, uint32_t spec_count, struct pd_child_spec *template_spec,
    const struct pd_supervisor_hooks *hooks, struct pd_process **process_out);

/* True: its behavior is that of this file. */
bool pd_process_is_supervisor(const struct pd_process *process);

/* Its path in the tree, as configured; the machine, for a look from its own thread. */
const char *pd_supervisor_process_name(const struct pd_process *process);
struct pd_supervisor *pd_supervisor_process_machine(const struct pd_process *process);

/* Ask supervisor `pid`, from any thread. The answer goes to process `asker` (0: no answer) as a
 * REPLY with `ref`; the asker sets its awaited_ref first, and monitors if it wants to know of a
 * death. PD_ERR_UNKNOWN: no such process, or not a supervisor. PD_ERR_FULL: its mailbox.
 * PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_supervisor_call_post(struct pd_environment *environment,
                                                    uint64_t pid,
                                                    const struct pd_supervisor_call *call,
                                                    uint64_t asker, uint64_t ref);

/* Tell the supervisor that `self` is ready, if its parent is one; once. Called by its owner.
 * PD_ERR_FULL: the supervisor's mailbox is: try again later. PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_supervisor_say_ready(struct pd_process *self);

/* Read a REPLY. PD_ERR_INVALID: it is no answer of a supervisor. */
PD_NODISCARD enum pd_status pd_supervisor_answer_read(const struct pd_message *message,
                                                      struct pd_supervisor_answer *answer_out);

/* Read the row at *offset of a LIST's rows and move on. False: no more. */
bool pd_supervisor_row_read(const struct pd_supervisor_answer *answer, uint32_t *offset,
                            struct pd_supervisor_row *row_out);

/* Read the figures of a COUNT. PD_ERR_INVALID: it is not the answer of one. */
PD_NODISCARD enum pd_status pd_supervisor_counts_read(const struct pd_supervisor_answer *answer,
                                                      struct pd_supervisor_counts *counts_out);

#endif
