/* process - one actor: identity, mailbox, bonds, and the behavior that gives it life.
 *
 * Model      A process is WAITING, QUEUED in one run queue, or RUNNING on exactly one scheduler
 *            thread, which is its *owner* for that time. Others reach it only by pid, through
 *            mailbox.h.
 *
 *              create ──start──► QUEUED ◄──wake── WAITING
 *                                  │ ▲              ▲
 *                          run_one │ │yield         │ nothing to do
 *                                  ▼ │              │
 *                                RUNNING ───────────┘
 *                                  │ exit, kill, death of a link
 *                                  ▼
 *                                DEAD ──teardown──► back to the pool
 *
 * Memory     Structures are type-stable: they return to the runtime's pool, never to the heap,
 *            while the runtime lives. So a stale pointer can be locked and its pid compared.
 * Locks      `lock` guards the first group of fields. One lock at a time, never two (see
 *            mailbox.c).
 * Bounds     mailbox: messages_max and bytes_max of the environment; pending signals: signals_max;
 *            notices of death and kills always have room. Bonds and the notices that came of them:
 *            bonds_max. Of exit requests that were trapped and not looked at, signals_max are kept,
 *            further ones dropped. */
#ifndef PD_ACTOR_PROCESS_H
#define PD_ACTOR_PROCESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "actor/bond.h"
#include "actor/exit.h"
#include "actor/message.h"
#include "actor/timer.h"
#include "base/list.h"
#include "base/spin.h"
#include "base/status.h"

struct pd_child_spec;
struct pd_environment;
struct pd_process;
struct pd_runtime;
struct pd_tracer;

enum pd_run_state {
    PD_RUN_FREE = 0, /* in the pool, or being made */
    PD_RUN_WAITING = 1,
    PD_RUN_QUEUED = 2,
    PD_RUN_RUNNING = 3,
    PD_RUN_NOTIFIED = 4, /* running, and woken meanwhile: run once more */
    PD_RUN_DEAD = 5
};

enum pd_resume_result {
    PD_RESUME_YIELD = 0, /* has more to do: run again after the others */
    PD_RESUME_WAIT = 1,  /* run again when woken */
    PD_RESUME_EXIT = 2   /* over: process->exit says why */
};

/* What becomes of the death of a link. */
enum pd_trapping {
    PD_TRAP_NONE = 0, /* it dies too, unless the reason was normal */
    /* a message, unless the reason was normal: `lunatic`'s die_when_link_dies(0) */
    PD_TRAP_FAILURES = 1,
    PD_TRAP_ALL = 2 /* a message, always: Erlang's trap_exit */
};

/* What a process does when it runs. All are called by the owner. */
struct pd_behavior {
    const char *name; /* "wasm", "supervisor" */
    /* Run for at most one slice. *cost_out: thousandths of a slice that it took (at least 1). */
    enum pd_resume_result (*resume)(struct pd_process *process, uint32_t *cost_out);
    /* Free process->data. Called once, after the process left the table and everyone was told. */
    void (*destroy)(struct pd_process *process);
    /* NULL, or: true when it may run on the stack of a waiting process's fiber (see
     * pd_process_lend). */
    bool (*is_light)(const struct pd_process *process);
    /* What it is doing, in words, for `pando ps`: static text, or NULL. Safe from any thread. */
    const char *(*activity)(const struct pd_process *process);
};

/* A process that waits for room in another's mailbox. Linked under the lock of the other. */
struct pd_waiter {
    struct pd_list node;
    struct pd_process *process;
    struct pd_process *at; /* whose line it is in, or was until woken; the owner's */
    size_t footprint;      /* of what waits */
    uint64_t tag;          /* of what waits, 0: none */
    bool is_request;       /* it waits for room for signals */
};

struct pd_process {
    /* --- Under `lock` --- */
    struct pd_spin lock;
    uint8_t run_state; /* enum pd_run_state */
    uint8_t kill_reason;
    bool is_killed;
    uint64_t pid;
    struct pd_environment *environment;
    struct pd_message *inbound_first; /* messages and signals in order of arrival */
    struct pd_message *inbound_last;
    size_t mailbox_bytes; /* of all messages not yet taken, the owner's queue included */
    uint32_t mailbox_count;
    uint32_t signal_count; /* of inbound signals that count against signals_max */
    struct pd_list senders;
    struct pd_exit_text *kill_text;
    /* something is inbound, or a kill is pending; read without the lock as a hint */
    atomic_bool has_news;
    bool has_names;  /* the registry may hold names of it */
    bool has_groups; /* it may be a member of groups */

    /* --- The owner's --- */
    uint8_t trapping; /* enum pd_trapping */
    bool is_ready;    /* said so to its supervisor */
    bool is_exit_set; /* `exit` says why it ends */
    bool is_started;
    uint8_t scheduler_index;        /* where it ran last */
    uint8_t lend_count;             /* waits that could have lent, up to LEND_FROM */
    bool was_long;                  /* its last turn cost half a slice or more */
    struct pd_message *queue_first; /* messages in order, ready for selective receive */
    struct pd_message **queue_end;
    struct pd_message **scan; /* where the next look for the same tags begins; NULL: at the front */
    uint32_t taken_count;     /* taken since the last drain: not yet subtracted from mailbox_* */
    size_t taken_bytes;
    struct pd_message *outbox_first; /* sent, but the receiver was full: we wait for its room */
    struct pd_message **outbox_end;
    uint32_t outbox_count;
    uint32_t notice_count; /* in its queue: deaths it was told, for which bonds have gone */
    uint32_t exit_count;   /* in its queue: requests to exit that it trapped */
    struct pd_bond_set bonds;
    struct pd_waiter waiter;
    struct pd_timer timeout;
    uint64_t awaited_ref; /* the one reply that may come in; 0: none */
    /* what its selective receive waits for, sorted (tags.h); others read them under the lock while
     * it is WAITING */
    const uint64_t *awaited_tags;
    uint32_t awaited_tag_count;
    const struct pd_behavior *behavior;
    void *data;          /* the behavior's */
    struct pd_exit exit; /* set by whoever ends it */
    uint64_t parent;

    /* --- Set before it starts, then constant --- */
    struct pd_child_spec *spec; /* a reference to what its supervisor made it from, or NULL */
    uint32_t restart_count;     /* by its supervisor */

    /* --- Written by the owner, read by anyone --- */
    atomic_uint_least64_t received_count; /* messages taken in */
    atomic_uint_least64_t sent_count;
    atomic_uint_least64_t slice_count;
    _Atomic(struct pd_tracer *) tracer; /* NULL: not traced */

    /* --- The run queue's --- */
    struct pd_process *run_next;
    uint64_t birth_ns;
};

#define PD_OUTBOX_MAX 64u

/* --- Life ------------------------------------------------------------------------------------- */

/* A new process with a pid, not in the table yet: nobody can reach it. The caller owns it until
 * start or discard. PD_ERR_FULL: processes_max live. PD_ERR_NO_MEMORY. PD_ERR_CLOSED: the
 * environment is ending. */
PD_NODISCARD enum pd_status pd_process_create(struct pd_environment *environment, uint64_t parent,
                                              const struct pd_behavior *behavior, void *data,
                                              struct pd_process **process_out);

/* Give up a process that never started. Its pid is spent. Does not call behavior->destroy. */
void pd_process_discard(struct pd_process *process);

/* Bond a created process to its parent, before start: the parent gets `tag`, the child none.
 * `parent` is the calling owner. PD_ERR_NO_MEMORY, PD_ERR_FULL (bonds_max): nothing changed. */
PD_NODISCARD enum pd_status pd_process_link_child(struct pd_process *parent,
                                                  struct pd_process *child, uint64_t tag);

/* Put it in the table and in a run queue. The pointer is the scheduler's from here on. */
void pd_process_start(struct pd_process *process);

/* --- For the owner, from inside behavior->resume ---------------------------------------------- */

/* Send to a pid. PD_OK: taken (also when nobody has that pid: it is dropped). PD_ERR_FULL: the
 * mailbox is full; `message` is still the caller's. */
PD_NODISCARD enum pd_status pd_process_send(struct pd_process *self, uint64_t pid,
                                            struct pd_message *message);

/* As above, but a full mailbox makes the sender wait at its next yield: the message goes to the
 * outbox. PD_ERR_FULL: the outbox holds PD_OUTBOX_MAX. PD_ERR_INVALID: it is its own mailbox that
 * is full. */
PD_NODISCARD enum pd_status pd_process_send_waiting(struct pd_process *self, uint64_t pid,
                                                    struct pd_message *message);

/* True: it must wait for room before it runs on. */
static inline bool pd_process_must_wait(const struct pd_process *self)
{
    return self->outbox_first != NULL;
}

/* Take the first message whose tag is in the sorted set (tag_count 0: any message). NULL: none
 * here. */
struct pd_message *pd_process_take(struct pd_process *self, const uint64_t *tags,
                                   uint32_t tag_count);

/* As pd_process_take with the same tags as the last time, when that found nothing and nothing was
 * taken since: looks only at what is new. */
struct pd_message *pd_process_take_more(struct pd_process *self, const uint64_t *tags,
                                        uint32_t tag_count);

/* Let the next pd_process_take_more look only at what arrives from now on. */
void pd_process_skip_queue(struct pd_process *self);

/* Take the reply or the down notice of `ref`. NULL: not here yet. */
struct pd_message *pd_process_take_ref(struct pd_process *self, uint64_t ref);

/* Take in what arrived since the slice began. True: something did. */
bool pd_process_drain(struct pd_process *self);

/* Link. A missing pid leads to a notice with reason `no process`. Linking twice changes the tag; to
 * itself: nothing. PD_ERR_FULL: bonds_max. PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_process_link(struct pd_process *self, uint64_t pid, uint64_t tag);
void pd_process_unlink(struct pd_process *self, uint64_t pid);

/* Monitor. ref 0: as `lunatic` does it (a missing pid is silent, twice is once); else the notice is
 * a DOWN with this ref, and comes at once when the pid is missing. PD_ERR_FULL,
 * PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_process_monitor(struct pd_process *self, uint64_t pid, uint64_t ref);
/* Stop; a notice that has arrived already is removed when `flush`. */
void pd_process_demonitor(struct pd_process *self, uint64_t pid, uint64_t ref, bool flush);

/* Ask another (or itself) to exit. KILLED cannot be trapped; NORMAL is only seen by those who trap.
 * A missing pid: nothing. Takes no reference of `text`. */
void pd_process_exit_signal(struct pd_process *self, uint64_t pid, enum pd_exit_reason reason,
                            struct pd_exit_text *text);

/* Arrange a wake at deadline_ns (PD_TIME_NEVER: none). Replaces the former one. */
void pd_process_wake_at(struct pd_process *self, uint64_t deadline_ns);

/* For a behavior that is about to suspend a fiber: run the process that this one woke on this stack
 * instead. True: something arrived for `self`, it may go on. Only from inside `resume`; does not
 * nest. */
bool pd_process_lend(struct pd_process *self);

/* True: the calling thread is inside of pd_process_lend. */
bool pd_scheduler_is_lending(void);

/* Set why it ends; the first reason stays. The behavior then returns PD_RESUME_EXIT. */
void pd_process_set_exit(struct pd_process *self, enum pd_exit_reason reason, const char *text,
                         size_t text_size);

/* --- For any thread --------------------------------------------------------------------------- */

/* Make it run soon. Spurious wakes are allowed; the pointer may be stale. */
void pd_process_wake(struct pd_process *process);

#endif
