/* runtime - all that the processes of one program share: pool, scheduler threads, environments,
 * limits.
 *
 * Model      An *environment* is a world of pids, names and groups; processes of different
 *            environments cannot reach each other. The runtime owns the scheduler threads that run
 *            them all.
 * Bounds     struct pd_runtime_config. Nothing grows beyond it.
 * Ownership  The caller owns the host and keeps it alive as long as the runtime. */
#ifndef PD_ACTOR_RUNTIME_H
#define PD_ACTOR_RUNTIME_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "actor/process.h"
#include "actor/runqueue.h"
#include "base/host.h"
#include "base/random.h"
#include "base/trace.h"

struct pd_sockets;
struct pd_supervisor_action;

#define PD_SCHEDULERS_MAX 64u
#define PD_TIMERS_MAX (1u << 22)

struct pd_runtime_config {
    /* threads, 1 to PD_SCHEDULERS_MAX; ignored in the deterministic mode */
    uint32_t scheduler_count;
    uint32_t processes_max; /* per environment, rounded up to a power of two */
    uint32_t messages_max;  /* per mailbox */
    uint64_t mailbox_bytes_max;
    uint32_t message_bytes_max; /* of one message's data */
    uint32_t signals_max;       /* pending link, monitor and exit requests of one process */
    uint32_t bonds_max;         /* links and monitors that one process may begin */
    uint32_t names_max;         /* registry entries and group memberships per environment, each */
    uint32_t message_timers_max;
    uint64_t seed; /* of the deterministic mode */
};

/* Values for a program of its own on this machine. */
struct pd_runtime_config pd_runtime_config_default(void);

struct pd_scheduler {
    struct pd_runtime *runtime;
    struct pd_runqueue queue;
    struct pd_process *lifo; /* woken by what runs here: next, if the slice is not spent */
    struct pd_timer_queue timers;
    struct pd_event event;
    struct pd_thread thread;
    struct pd_process *running;
    bool is_lending; /* `running` runs on the stack of another that waits */
    bool is_polling; /* it looks at sockets: whom it wakes is not woken by `running` */
    /* ended while lent a stack: to be torn down on our own; through run_next */
    struct pd_process *ended;
    uint32_t index;
    int32_t credit; /* thousandths of a slice left for `lifo` */
    uint32_t tick;
    struct pd_random random;
    atomic_uint_least64_t run_count;
    atomic_uint_least64_t steal_count;
    /* Of the turns that were taken here: */
    atomic_uint_least64_t sent_count;
    atomic_uint_least64_t received_count;
    atomic_uint_least64_t fuel_count; /* that behaviors burnt, in their own unit */
};

/* What the runtime tells the program that embeds it. Called on the owner's thread. */
struct pd_runtime_hooks {
    void *context;
    /* A process ended; it is out of the table, its names, groups and its behavior's data still
     * there. Links and monitors are told afterwards. */
    void (*exited)(void *context, struct pd_process *process);
    /* A supervisor acted on a child that ended, or gave up: of the action kinds REPORT and
     * GIVE_UP. */
    void (*supervised)(void *context, struct pd_process *supervisor,
                       const struct pd_supervisor_action *action);
    /* A turn is over, on the scheduler's own stack; is_last: nothing else waits to run here. So
     * what turns give to other threads can leave in batches. */
    void (*turned)(void *context, bool is_last);
};

struct pd_runtime {
    struct pd_host *host;
    struct pd_runtime_config config;
    struct pd_runtime_hooks hooks;
    struct pd_trace *trace; /* NULL unless deterministic */
    struct pd_scheduler *schedulers;
    uint32_t scheduler_count;
    uint32_t started_count;          /* threads that run */
    atomic_uint_least64_t idle_mask; /* bit i: scheduler i sleeps or is about to */
    struct pd_sockets *sockets;   /* once there are some, one idle scheduler waits there; or NULL */
    atomic_uint_least32_t poller; /* index of the one that polls them; PD_SCHEDULERS_MAX: none */
    atomic_bool is_stopping;
    struct pd_runqueue injected; /* woken from outside of the scheduler threads */
    atomic_uint_least64_t ref_last;
    struct pd_spin pool_lock;
    struct pd_process *pool_free; /* through run_next */
    struct pd_process_block *pool_blocks;
    atomic_uint_least64_t process_count; /* live, in all environments */
    atomic_uint_least64_t started_processes;
    atomic_uint_least64_t ended_processes[PD_EXIT_REASONS];
    struct pd_spin timers_lock;
    struct pd_message_timer **message_timers; /* by id, chained */
    uint32_t message_timer_buckets;
    uint32_t message_timer_count;
    uint32_t message_timers_firing;
    uint64_t message_timer_last;
    struct pd_event drained; /* set when process_count falls to 0 */
};

/* Prepare; no thread yet. PD_ERR_NO_MEMORY, PD_ERR_INVALID (a limit is 0 or too large). */
PD_NODISCARD enum pd_status pd_runtime_init(struct pd_runtime *runtime, struct pd_host *host,
                                            const struct pd_runtime_config *config,
                                            const struct pd_runtime_hooks *hooks);

/* Before the start: schedulers wait for these and wake whom their events concern, from the first
 * socket on. They outlive the threads. */
void pd_runtime_set_sockets(struct pd_runtime *runtime, struct pd_sockets *sockets);

/* Start the scheduler threads. PD_ERR_IO: the system gave no thread; none runs. */
PD_NODISCARD enum pd_status pd_runtime_start(struct pd_runtime *runtime);

/* Stop and join the threads; processes stay as they are. Then pd_runtime_deinit frees all. */
void pd_runtime_stop(struct pd_runtime *runtime);
void pd_runtime_deinit(struct pd_runtime *runtime);

/* The deterministic mode: run on the calling thread until `is_done` says so, or nothing can ever
 * run again. `advance` moves the virtual clock to a deadline. True: is_done did. */
bool pd_runtime_run(struct pd_runtime *runtime, bool (*is_done)(void *context), void *context,
                    void (*advance)(struct pd_host *host, uint64_t now_ns));

/* A reference that no other request of this runtime has. Never 0. */
uint64_t pd_runtime_new_ref(struct pd_runtime *runtime);

/* Send `message` to a pid at deadline_ns. Takes the message on PD_OK. *id_out cancels it.
 * PD_ERR_FULL: message_timers_max are set. PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_runtime_send_at(struct pd_runtime *runtime,
                                               struct pd_environment *environment, uint64_t pid,
                                               struct pd_message *message, uint64_t deadline_ns,
                                               uint64_t *id_out);

/* True: it was waiting and is gone. False: it fired, or was cancelled, or never was. */
bool pd_runtime_cancel_send(struct pd_runtime *runtime, uint64_t id);

/* The scheduler of the calling thread, or NULL. */
struct pd_scheduler *pd_scheduler_current(void);

/* One of a scheduler's counts, on its own thread: nobody else writes it. */
static inline void pd_scheduler_count(atomic_uint_least64_t *count, uint64_t by)
{
    uint64_t before = atomic_load_explicit(count, memory_order_relaxed);
    atomic_store_explicit(count, before + by, memory_order_relaxed);
}

/* On its own thread: others than the one that runs wait to run here. */
bool pd_scheduler_has_others(struct pd_scheduler *scheduler);

/* Put a QUEUED process where it will run. For mailbox.c. */
void pd_runtime_enqueue(struct pd_runtime *runtime, struct pd_process *process);

/* Set a timer in the queue of the calling scheduler (else of the first). PD_ERR_FULL,
 * PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_runtime_set_timer(struct pd_runtime *runtime, struct pd_timer *timer,
                                                 uint64_t deadline_ns);

/* Drop every message that waits to be sent within an environment. */
void pd_runtime_purge_sends(struct pd_runtime *runtime, struct pd_environment *environment);

/* --- For message_timer.c ---------------------------------------------------------------------- */

/* A message timer fell due: send, or wait for room. */
void pd_message_timer_fire(struct pd_runtime *runtime, struct pd_timer *timer, uint64_t now_ns);
void pd_message_timers_deinit(struct pd_runtime *runtime);

/* --- For lifecycle.c -------------------------------------------------------------------------- */
struct pd_process *pd_runtime_pool_take(struct pd_runtime *runtime);
void pd_runtime_pool_give(struct pd_runtime *runtime, struct pd_process *process);

#endif
