/* guest_internal - the layout of a guest and what its source files share. Private to src/wasm.
 *
 * Model      A *frame* is one level of guest code: the entry call, or a nested one. At each level
 *            one host call at most is in progress; `top` is the innermost level.
 *
 *              IDLE ──call──► DONE | TRAPPED ──► IDLE          (finished on the fiber)
 *                │  └──suspend──► DEFERRED ──step──► DONE | TRAPPED | WAITING | NESTED
 *                └──suspend──► WAITING ──step, resume──► DONE | TRAPPED | WAITING | NESTED
 *                └──suspend──► NESTED ──wait_poll, finish──► DONE | TRAPPED | WAITING | NESTED */
#ifndef PD_WASM_GUEST_INTERNAL_H
#define PD_WASM_GUEST_INTERNAL_H

#include "wasm/guest.h"

/* The function that suspends has a name that no guest can know: linker_add refuses other modules
 * than tables name, and modules that import it are refused, since no table has it. */
#define PD_SUSPEND_MODULE "pando::engine"
#define PD_SUSPEND_NAME "suspend"

/* A function that may be suspended in the middle, when its thread goes on elsewhere. TSan keeps one
 * call stack per thread and would lose its count of entries and exits. */
#if defined(__clang__) && __has_attribute(disable_sanitizer_instrumentation)
#define PD_SUSPENDED_FUNCTION __attribute__((disable_sanitizer_instrumentation))
#elif defined(__SANITIZE_THREAD__)
#define PD_SUSPENDED_FUNCTION __attribute__((no_sanitize_thread))
#else
#define PD_SUSPENDED_FUNCTION
#endif

enum pd_frame_state {
    PD_FRAME_IDLE = 0,
    PD_FRAME_DEFERRED = 1,
    PD_FRAME_WAITING = 2,
    PD_FRAME_NESTED = 3,
    PD_FRAME_DONE = 4,
    PD_FRAME_TRAPPED = 5
};

enum pd_guest_phase {
    PD_PHASE_NEW = 0,
    PD_PHASE_STARTED = 1,
    PD_PHASE_INSTANTIATING = 2,
    PD_PHASE_INITIALIZING = 3,
    PD_PHASE_RUNNING = 4,
    PD_PHASE_ENDED = 5
};

enum pd_memory_state {
    PD_MEMORY_UNKNOWN = 0,
    PD_MEMORY_FOUND = 1,
    PD_MEMORY_ABSENT = 2
};

struct pd_nested;

struct pd_frame {
    struct pd_call call;
    const struct pd_import *import;
    struct pd_frame *parent;
    struct pd_nested *nested;     /* asked for or running, of state NESTED */
    struct pd_blocking *blocking; /* of pd_call_block */
    uint8_t state;                /* enum pd_frame_state */
    bool has_timer;
    bool is_blocking_submitted;
};

struct pd_nested {
    struct pd_frame frame;
    const struct pd_module_export *export;
    wasmtime_func_t func;
    wasmtime_val_t params[PD_GUEST_NESTED_PARAMS_MAX];
    wasmtime_val_t result;
    wasmtime_call_future_t *future; /* NULL until it is begun */
    wasm_trap_t *trap;
    wasmtime_error_t *error;
    enum pd_call_result (*finish)(struct pd_call *call, bool is_ok, uint32_t value);
};

#define PD_GUEST_INLINE_PARAMS 2u

struct pd_guest {
    struct pd_frame *top;
    wasmtime_context_t *context;
    wasmtime_caller_t *caller; /* inside of a host function on the fiber; else NULL */
    uint64_t store_id;         /* 0: not known yet */
    wasmtime_memory_t memory;
    pd_guest_tracer tracer;
    struct pd_machine *machine;
    struct pd_module *module;
    void *process;
    wasmtime_store_t *store;
    wasmtime_call_future_t *future;
    wasm_trap_t *trap;
    wasmtime_error_t *error;
    wasmtime_instance_t instance;
    wasmtime_func_t func;
    const struct pd_module_export *entry; /* NULL: there is no such */
    wasmtime_val_t *params;               /* params_inline, or the heap's */
    wasmtime_val_t params_inline[PD_GUEST_INLINE_PARAMS];
    uint64_t fuel_budget;
    char *failure; /* of PD_GUEST_FAILURE_SIZE; NULL unless a text was set */
    atomic_uint_least64_t fuel_used;
    atomic_uint_least64_t memory_size;
    _Atomic(const struct pd_import *) waiting_in;
    uint32_t exit_code;
    uint8_t param_count;
    uint8_t phase;        /* enum pd_guest_phase */
    uint8_t memory_state; /* enum pd_memory_state */
    uint8_t end;          /* enum pd_guest_end, once ENDED or is_end_set */
    uint8_t trap_code;
    uint8_t nested_count;
    bool is_end_set; /* a host function decided how it ends */
    bool is_yield_forced;
    bool is_dying;
    bool is_initialized_first;
    struct pd_frame frame; /* the outermost level */
};

/* Where all host functions enter, on the fiber. `env` is the linker's struct pd_linked_import. */
wasm_trap_t *pd_guest_call_callback(void *env, wasmtime_caller_t *caller,
                                    wasmtime_val_raw_t *values, size_t count);

/* The host function that suspends; see guest_call.c. */
void pd_guest_suspend_callback(void *env, wasmtime_caller_t *caller, const wasmtime_val_t *args,
                               size_t nargs, wasmtime_val_t *results, size_t nresults,
                               wasm_trap_t **trap_ret,
                               wasmtime_async_continuation_t *continuation_ret);

/* Run what the top frame has to do off the fiber: the deferred function, or `resume`. */
void pd_guest_run_deferred(struct pd_frame *frame);
void pd_guest_run_resume(struct pd_frame *frame);

/* Note how a call ended, or for what it waits. */
void pd_frame_settle(struct pd_frame *frame, enum pd_call_result result);

/* Give back what the calls in progress hold, innermost first. The guest is about to go. */
void pd_guest_abandon_calls(struct pd_guest *guest);

/* Nested calls, for wait_poll. Begin or continue the frame's; true: it is over and `finish` was
 * run. */
bool pd_nested_poll(struct pd_frame *frame);
/* The frame's continuation is dropped: end what it runs. */
void pd_nested_drop(struct pd_frame *frame);

/* Forget an ending that a host function set: a nested call caught it. */
void pd_guest_clear_end(struct pd_guest *guest);

static inline struct pd_frame *pd_frame_of(struct pd_call *call)
{
    return (struct pd_frame *)(void *)call;
}

_Static_assert(offsetof(struct pd_frame, call) == 0, "pd_frame_of relies on it");
_Static_assert(sizeof(struct pd_guest) <= 640, "a million guests pay for it");

#endif
