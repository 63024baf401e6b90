/* guest - one running instance of a module: a fiber that is stepped. Knows nothing of processes.
 *
 * Model      pd_guest_step runs the guest on the calling thread until its slice of fuel is used, it
 *            must wait, or it ends. Instantiation, `_initialize` and the entry function are one
 *            run.
 *
 *              create ──start──► (step) INSTANTIATING ──► INITIALIZING ──► RUNNING ──► ENDED
 *                                  │ ▲
 *                                  ▼ │
 *                           YIELDED / WAITING
 *
 * Calls      A host function runs on the fiber, or on the caller's stack (see hostcall.h). A step
 *            hosts at most PD_GUEST_DEFERRED_PER_STEP deferred calls, then yields, so that cheap
 *            loops over them stay fair.
 * Re-entry   A host function may call an export (pd_call_nested); the inner call runs on a fiber of
 *            its own, may wait and yield, and dies with the guest. PD_GUEST_NESTED_MAX deep.
 * Bounds     limits; about 0.5 KiB here and 8 KiB in Wasmtime, one stack and the memory's pages per
 *            guest.
 * Ownership  A guest holds a reference to its module. The machine outlives its guests.
 * Threads    One thread at a time; any thread. The readers at the end may run on any thread beside
 *            it. */
#ifndef PD_WASM_GUEST_H
#define PD_WASM_GUEST_H

#include <stdatomic.h>

#include "base/host.h"
#include "wasm/hostcall.h"
#include "wasm/job_gate.h"
#include "wasm/module.h"

#define PD_GUEST_DEFERRED_PER_STEP 32u
#define PD_GUEST_NESTED_MAX 8u
#define PD_GUEST_NESTED_PARAMS_MAX 4u
#define PD_GUEST_FAILURE_SIZE 501u
#define PD_GUEST_FUEL_UNLIMITED 0u
#define PD_GUEST_YIELD_INTERVAL_DEFAULT 100000u

/* What all guests of one runtime share. The caller's storage; set once, before the first guest. */
struct pd_machine {
    struct pd_host *host;
    uint64_t yield_interval; /* units of fuel per slice, > 0 */
    struct pd_job_gate jobs;
    /* Run `process` soon. Any thread; may come late and without need, even after the guest is gone:
     * the pointer must stay valid as long as the machine. */
    void (*wake)(void *process);
    /* NULL, or: `process` is about to wait on its fiber. Run on this very stack whom it just woke,
     * and return true if something arrived for `process` meanwhile: then it need not suspend
     * (scheduler.c, pd_process_lend). */
    bool (*lend)(void *process);
    /* True: this thread runs a guest on the stack of another's fiber. Deferred calls wait then. */
    bool (*is_lending)(void);
    /* Wake it at deadline_ns, in place of the former deadline; PD_TIME_NEVER: not at all. The
     * stepping thread. */
    void (*wake_at)(void *process, uint64_t deadline_ns);
};

/* PD_OK, PD_ERR_INVALID (yield_interval 0). deinit after the last guest is destroyed and its jobs
 * are finished. */
PD_NODISCARD enum pd_status pd_machine_init(struct pd_machine *machine, struct pd_host *host,
                                            uint64_t yield_interval, void (*wake)(void *process),
                                            void (*wake_at)(void *process, uint64_t deadline_ns));
void pd_machine_deinit(struct pd_machine *machine);

/* Let guests that wait lend their stacks. Before the first guest. */
void pd_machine_set_lending(struct pd_machine *machine, bool (*lend)(void *process),
                            bool (*is_lending)(void));

struct pd_guest_limits {
    uint64_t memory_bytes_max;
    uint32_t table_elements_max; /* <= PD_GUEST_TABLE_ELEMENTS_MAX */
    uint64_t fuel_max;           /* units; PD_GUEST_FUEL_UNLIMITED: none */
};

enum pd_guest_step {
    PD_GUEST_YIELDED = 0, /* its slice is used: step again after the others */
    PD_GUEST_WAITING = 1, /* step again after a wake */
    PD_GUEST_EXITED = 2   /* pd_guest_exit says how: never step again */
};

enum pd_guest_end {
    PD_GUEST_RETURNED = 0,  /* the entry function returned */
    PD_GUEST_EXIT_CODE = 1, /* proc_exit(exit_code) */
    PD_GUEST_TRAP = 2,      /* of the guest's own code: trap_code */
    PD_GUEST_HOST_TRAP = 3, /* pd_call_trap */
    PD_GUEST_FUEL = 4,      /* fuel_max is used */
    PD_GUEST_MEMORY = 5,    /* instantiation needs more memory, table or slots than it may have */
    PD_GUEST_DENIED = 6,    /* pd_call_trap_denied: the guest lacks a right */
    PD_GUEST_NO_ENTRY = 7   /* no such function, or its parameters differ */
};

struct pd_guest_exit {
    enum pd_guest_end end;
    uint32_t exit_code;
    uint8_t trap_code; /* wasmtime_trap_code_t of PD_GUEST_TRAP and PD_GUEST_FUEL */
};

/* Called when a host call of this guest ended, its result in call->result (meaningless after a
 * trap). */
typedef void (*pd_guest_tracer)(void *process, const struct pd_import *import,
                                const struct pd_call *call, enum pd_call_result result);

struct pd_guest_entry {
    const char *function; /* the export to run; copied */
    size_t function_size;
    bool is_initialized_first; /* call `_initialize` before, if the module exports it (reactors) */
    const wasmtime_val_t *params; /* numbers and v128 only; copied */
    uint32_t param_count;         /* at most PD_MODULE_PARAMS_MAX */
};

/* Make a guest. `process` is what machine->wake gets and pd_guest_process returns.
 *
 * PD_ERR_NO_MEMORY  The system has none, or the module's memory begins larger than
 *                   memory_bytes_max.
 * PD_ERR_RANGE      memory_bytes_max is beyond 4 GiB. */
PD_NODISCARD enum pd_status pd_guest_create(struct pd_machine *machine, struct pd_module *module,
                                            const struct pd_guest_limits *limits, void *process,
                                            struct pd_guest **guest_out);

/* Choose what the first step begins with. Once. A missing function or other parameters are not an
 * error here: the guest ends with PD_GUEST_NO_ENTRY.
 * PD_ERR_NO_MEMORY: nothing changed; PD_ERR_INVALID: more than PD_MODULE_PARAMS_MAX params. */
PD_NODISCARD enum pd_status pd_guest_start(struct pd_guest *guest,
                                           const struct pd_guest_entry *entry);

/* Run it. Never after PD_GUEST_EXITED. */
PD_NODISCARD enum pd_guest_step pd_guest_step(struct pd_guest *guest);

enum pd_guest_made {
    PD_GUEST_MADE = 0,    /* instantiated: the entry function comes next, by pd_guest_step */
    PD_GUEST_MAKING = 1,  /* the module's `start` used a slice: go on after the others */
    PD_GUEST_NOT_MADE = 2 /* it ended: pd_guest_exit says how. Never step it */
};

/* Only instantiate, on behalf of the one who spawns it; instead of a first step. A `start` that
 * waits is NOT_MADE, as nobody could wake it. A missing entry function is not looked at yet. */
PD_NODISCARD enum pd_guest_made pd_guest_make(struct pd_guest *guest);

/* Free it at any point but from inside a step: never started, suspended at any depth, or ended. Its
 * pending call is abandoned, its job finishes alone. NULL: nothing. */
void pd_guest_destroy(struct pd_guest *guest);

/* True: it came to an end of its own, and did not just cease to be stepped. */
bool pd_guest_has_ended(const struct pd_guest *guest);

/* How it ended. Only after PD_GUEST_EXITED. */
struct pd_guest_exit pd_guest_exit(const struct pd_guest *guest);

/* The ending in words ("wasm trap: integer divide by zero", or what pd_call_trap said), always
 * terminated, cut at a character. Returns the length. */
size_t pd_guest_exit_text(const struct pd_guest *guest, char *text, size_t text_size);

/* The frames of the trap, one a line, innermost first: "  0: app::work\n       at
 * src/lib.rs:12:5\n"; empty if there was no trap. Costs some microseconds a frame, and with
 * file:line one walk over the module's line table for all frames, of at most PD_LINE_STEPS_MAX
 * steps: up to tens of milliseconds, if the table is as large or means harm. Call it only to show
 * it. */
size_t pd_guest_backtrace_text(const struct pd_guest *guest, char *text, size_t text_size);

/* --- For host functions ----------------------------------------------------------------------- */

void *pd_guest_process(const struct pd_guest *guest);
struct pd_machine *pd_guest_machine(const struct pd_guest *guest);
struct pd_module *pd_guest_module(const struct pd_guest *guest); /* borrowed from the guest */

/* False while `start` of the module runs: Lunatic forbids spawning then. */
bool pd_guest_is_instantiated(const struct pd_guest *guest);

/* From a host function on the fiber: the guest yields at its next function entry or loop head. The
 * count of fuel is not touched. */
void pd_guest_force_yield(struct pd_guest *guest);

/* True: a step of it, begun now, needs no more than little stack: it waits in an ASYNC function. */
bool pd_guest_is_light(const struct pd_guest *guest);

/* --- For whoever looks on --------------------------------------------------------------------- */

/* NULL: none. Set before the first step, or by the stepping thread between steps. */
void pd_guest_set_tracer(struct pd_guest *guest, pd_guest_tracer tracer);

/* Any thread, while the guest exists: as of its last step. */
uint64_t pd_guest_fuel_used(const struct pd_guest *guest);
uint64_t pd_guest_memory_size(const struct pd_guest *guest);
/* The function in which it waits, or NULL. */
const struct pd_import *pd_guest_waiting_in(const struct pd_guest *guest);

#endif
