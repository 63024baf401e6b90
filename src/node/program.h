/* program - one running Pando: host, engines, runtime, and the environment in which an application
 * lives.
 *
 * Model      open ──load modules, spawn──► run until the main process ends ──► close kills what is
 *            left. Real: scheduler threads run from open on. Deterministic: everything runs inside
 *            pd_program_wait.
 * Ownership  The caller owns the program from open to close. Modules are released by whoever loaded
 *            them, before close.
 * Threads    open, load, wait and close on one thread; the process hooks run on schedulers. */
#ifndef PD_NODE_PROGRAM_H
#define PD_NODE_PROGRAM_H

#include <stdatomic.h>

#include "actor/environment.h"
#include "actor/runtime.h"
#include "base/kv_port.h"
#include "host/files.h"
#include "host/real.h"
#include "host/sockets.h"
#include "host/virtual.h"
#include "wasm/cache.h"
#include "wasm/creators.h"
#include "wasm/engine.h"
#include "wasm/linker.h"
#include "wasm/metrics.h"
#include "wasm/module.h"
#include "wasm/slab.h"
#include "wasm/wasm_process.h"

#define PD_PROFILE_COUNT 2
#define PD_PROGRAM_METRICS_MAX 1024u /* that guests may record */

struct pd_program_config {
    bool is_deterministic;
    uint64_t seed;
    uint32_t scheduler_count; /* 0: one a processor */
    uint64_t yield_interval;  /* units of fuel a slice */
    uint32_t processes_max;
    uint32_t messages_max;
    uint64_t mailbox_bytes_max;
    uint32_t guarded_guests_max;
    /* of all guests' memories together; 0: no limit. Spawns and growth beyond are refused. Of the
     * dense profile; guarded guests are not counted, and cannot be where there is a limit. */
    uint64_t guest_bytes_max;
    const char *cache_folder; /* NULL: the user's; "": no cache */
    uint64_t environment_id;  /* what guests see */
    /* the store that guests may be given rights to; NULL: none. Borrowed until close. */
    struct pd_kv_port *kv;
};

struct pd_program_config pd_program_config_default(void);

struct pd_program;

/* Called on a scheduler thread when a process ended, before its links are told. */
typedef void (*pd_program_exit_hook)(void *context, struct pd_program *program,
                                     struct pd_process *process);

/* Called on a supervisor's thread when it acted on a child that ended (REPORT), or gave up
 * (GIVE_UP). */
typedef void (*pd_program_supervised_hook)(void *context, struct pd_program *program,
                                           struct pd_process *supervisor,
                                           const struct pd_supervisor_action *action);

struct pd_profile {
    struct pd_engine engine;
    struct pd_linker linker;
    bool is_open;
};

struct pd_program {
    struct pd_program_config config;
    struct pd_host *host;
    struct pd_real_host *real_host; /* NULL when deterministic */
    struct pd_virtual_host virtual_host;
    struct pd_trace trace;
    struct pd_files *files;
    struct pd_real_sockets *sockets; /* NULL when deterministic */
    struct pd_slab *memories;
    struct pd_slab *stacks;
    struct pd_creators creators;
    /* by enum pd_engine_profile; guarded opens when asked for */
    struct pd_profile profiles[PD_PROFILE_COUNT];
    struct pd_cache cache;
    bool has_cache;
    struct pd_runtime runtime;
    struct pd_environment *environment;
    struct pd_environment **others; /* pd_program_add_environment's, other_count of them */
    uint32_t other_count;
    struct pd_wasm_system system;
    pd_program_exit_hook exit_hook;
    pd_program_supervised_hook supervised_hook;
    void *exit_hook_context;        /* of both hooks */
    atomic_uint_least64_t main_pid; /* the process whose end is the program's */
    atomic_bool is_main_over;
    struct pd_exit main_exit; /* once is_main_over */
    uint32_t main_exit_code;  /* the guest's own, or 1 */
    bool has_main_exit_code;  /* it called proc_exit: the number says it all */
    struct pd_event changed;  /* main ended, or pd_program_interrupt */
    atomic_uint_least32_t interrupts;
};

/* Open. On failure *message says what is wrong, and nothing is left.
 * PD_ERR_NO_MEMORY, PD_ERR_IO, PD_ERR_INVALID, PD_ERR_UNSUPPORTED. */
PD_NODISCARD enum pd_status pd_program_open(struct pd_program *program,
                                            const struct pd_program_config *config,
                                            struct pd_module_message *message);

/* Kill and await what is left, then free everything. */
void pd_program_close(struct pd_program *program);

/* Load a module from a file for one profile. Statuses of pd_module_load; PD_ERR_UNKNOWN: no such
 * file. */
PD_NODISCARD enum pd_status pd_program_load(struct pd_program *program,
                                            enum pd_engine_profile profile, const char *path,
                                            struct pd_module **module_out,
                                            struct pd_module_message *message);

/* Let this process be the program's main one, and start it. */
void pd_program_start_main(struct pd_program *program, struct pd_process *process);

/* Run until the main process ended, pd_program_interrupt was called more often than
 * `interrupts_seen`, or deadline_ns has passed (pd_host_now_ns time; not in the deterministic
 * mode). True: it ended. False: interrupted, too late, or (deterministic only) nothing can ever run
 * again. */
bool pd_program_wait(struct pd_program *program, uint32_t interrupts_seen, uint64_t deadline_ns);

/* From a signal handler or any thread: let pd_program_wait return. */
void pd_program_interrupt(struct pd_program *program);

/* Ask a process to exit, from outside of every process. PD_ERR_UNKNOWN: no such process. */
PD_NODISCARD enum pd_status pd_program_exit_signal(struct pd_program *program, uint64_t pid,
                                                   enum pd_exit_reason reason, const char *text);

/* A further world of pids, names and groups, which guests see as `id`. It lives until close.
 * PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_program_add_environment(struct pd_program *program, uint64_t id,
                                                       struct pd_environment **environment_out);

/* Let nothing more begin in this environment, and kill what is there; it ends in a while. */
void pd_program_kill_environment(struct pd_environment *environment);

/* Kill every process of every environment and wait until none is left. */
void pd_program_kill_all(struct pd_program *program);

#endif
