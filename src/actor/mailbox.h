/* mailbox - the meeting point of a process and all others: arrival, room, wakes, and the end.
 *
 * Role    The one file in which process locks are taken. Everything else about a process is done by
 *         its owner.
 * Model   Messages and signals arrive in one FIFO, so that what one sender did first is seen first.
 *         Before each run the owner takes the whole FIFO: signals take effect, messages join its
 *         own queue.
 * Locks   One process lock at a time; no other lock of this folder is taken under it, and none is
 *         held when a process is put in a run queue.
 * Bounds  MESSAGE class: messages_max and mailbox_bytes_max, but an empty mailbox takes any
 *         message, or a large one would wait for ever; and a process that waits for certain tags
 *         takes the one message that it waits for into a full one, or it would wait for ever behind
 *         what it does not want yet. REQUEST class: signals_max. NOTICE class
 *         (deaths, ends of links and monitors) and kills: always accepted, each uses the memory of
 *         its link or monitor. */
#ifndef PD_ACTOR_MAILBOX_H
#define PD_ACTOR_MAILBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "actor/process.h"
#include "base/status.h"

struct pd_environment;
struct pd_runtime;

/* --- For everyone ----------------------------------------------------------------------------- */

/* Give a message or signal to a process and wake it. The class follows from its kind.
 * PD_OK: taken. PD_ERR_UNKNOWN: no such process. PD_ERR_FULL. On errors it is still the
 * caller's. */
PD_NODISCARD enum pd_status pd_mailbox_post(struct pd_environment *environment, uint64_t pid,
                                            struct pd_message *message);

/* As above; on PD_ERR_FULL the waiter is in line, and its process will be woken when there is room.
 * It may have stood there already, for the same message: then it keeps its place. */
PD_NODISCARD enum pd_status pd_mailbox_post_or_wait(struct pd_environment *environment,
                                                    uint64_t pid, struct pd_message *message,
                                                    struct pd_waiter *waiter);

/* Leave the line, if the waiter is in one; room that it was woken for goes to the next. */
void pd_mailbox_stop_waiting(struct pd_waiter *waiter);

/* Ask for the end. The first kill's reason stays. PD_ERR_UNKNOWN: no such process. */
PD_NODISCARD enum pd_status pd_mailbox_kill(struct pd_environment *environment, uint64_t pid,
                                            enum pd_exit_reason reason, struct pd_exit_text *text);

/* True: alive and in the table. */
bool pd_mailbox_exists(struct pd_environment *environment, uint64_t pid);

/* The pid that a structure has right now, 0: none. */
uint64_t pd_mailbox_pid(struct pd_process *process);

/* Remember that names or groups may speak of it, so that its death cleans them. PD_ERR_UNKNOWN. */
PD_NODISCARD enum pd_status pd_mailbox_mark(struct pd_environment *environment, uint64_t pid,
                                            bool has_names, bool has_groups);

/* Figures of one process, for `pando ps`. */
struct pd_mailbox_view {
    uint64_t pid;
    uint64_t parent;
    uint8_t run_state;
    uint32_t message_count;
    size_t message_bytes;
    uint32_t sender_count; /* that wait for room */
};

/* PD_ERR_UNKNOWN: no such process. `visit` (may be NULL) runs under its lock: short, no other
 * lock. */
PD_NODISCARD enum pd_status pd_mailbox_look(
    struct pd_environment *environment, uint64_t pid, struct pd_mailbox_view *view_out,
    void (*visit)(struct pd_process *process, void *context), void *context);

/* --- For the scheduler: the owner's side ------------------------------------------------------ */

/* QUEUED to RUNNING; returns what arrived, in order. *is_killed_out: a kill is pending. */
struct pd_message *pd_mailbox_begin(struct pd_process *process, bool *is_killed_out);

/* Take what arrived meanwhile; stays RUNNING. */
struct pd_message *pd_mailbox_take_inbound(struct pd_process *process, bool *is_killed_out);

/* RUNNING to WAITING. False: something arrived or woke it; it is still RUNNING. */
bool pd_mailbox_settle(struct pd_process *process);

/* RUNNING to QUEUED. The caller puts it in a run queue. */
void pd_mailbox_requeue(struct pd_process *process);

/* Created to QUEUED, and into the table. The caller puts it in a run queue. */
void pd_mailbox_open(struct pd_process *process);

/* To DEAD and out of the table; returns what was still inbound. Wakes all that wait for room.
 * The kill's reason, if any, becomes process->exit when that is not set. */
struct pd_message *pd_mailbox_close(struct pd_process *process, bool *has_names_out,
                                    bool *has_groups_out);

/* DEAD to FREE. */
void pd_mailbox_free(struct pd_process *process);

#endif
