/* hostcall - how a function that guests import is written, whatever engine runs them.
 *
 * Model      Functions stand in tables (struct pd_import). A call sees its arguments, its guest,
 *            and the guest's memory through the checked accessors below; it ends in one
 *            pd_call_result.
 *            SYNC      runs on the guest's fiber: cheap work, under 2 KiB of stack, never waits,
 *                      never a syscall.
 *            ASYNC     tries on the fiber, and may wait.
 *            DEFERRED  suspends the fiber first and runs on the scheduler thread's own stack:
 *                      whatever needs stack or a syscall. It may wait.
 * Waiting    A function that cannot finish sets call->resume and returns PD_CALL_WAIT. When the
 *            process is woken (message, timer, finished job), resume(call) runs on the scheduler's
 *            stack and again ends in a pd_call_result. Wakes may be spurious. If the process is
 *            killed, resume never runs: the guest's destruction calls call->abandon(call), which
 *            must give back what the call held.
 * Jobs       Blocking system calls go to helper threads by pd_call_block. A job owns its buffers;
 *            no other thread ever holds a pointer into guest memory. A killed guest's job finishes
 *            alone and frees itself.
 * Memory     Pointers into guest memory are valid until the function returns: never kept across a
 *            wait, since the memory may move when it grows. Look them up again in `resume`.
 * Errors     A trap ends the guest with a text. Pointers out of bounds and unknown ids trap
 *            (Lunatic's rule); WASI answers errno instead. */
#ifndef PD_WASM_HOSTCALL_H
#define PD_WASM_HOSTCALL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/host.h"
#include "base/list.h"
#include "base/status.h"

#define PD_CALL_ARGUMENTS_MAX 12

struct pd_guest;
struct pd_job_gate;
struct pd_call;

enum pd_call_result {
    PD_CALL_DONE = 0, /* call->result is the answer */
    PD_CALL_TRAP = 1, /* returned only through pd_call_trap or pd_call_exit */
    PD_CALL_WAIT = 2  /* call->resume is set */
};

enum pd_call_kind {
    PD_CALL_SYNC = 0,
    PD_CALL_ASYNC = 1,
    PD_CALL_DEFERRED = 2
};

struct pd_call {
    struct pd_guest *guest;
    /* i32 zero-extended, i64 as is, f64 as its bits. */
    uint64_t arguments[PD_CALL_ARGUMENTS_MAX];
    uint64_t result;
    enum pd_call_result (*resume)(struct pd_call *call);
    void (*abandon)(struct pd_call *call); /* may be NULL */
    void *state;                           /* the function's own, between wait and resume */
    bool needs_stack; /* set with PD_CALL_WAIT: `resume` must not run on a fiber (it may else) */
};

typedef enum pd_call_result (*pd_call_function)(struct pd_call *call);

struct pd_import {
    const char *module;    /* "wasi_snapshot_preview1" */
    const char *name;      /* "fd_read" */
    const char *signature; /* arguments and result: i = i32, I = i64, D = f64; "iiI->i", "I->" */
    enum pd_call_kind kind;
    pd_call_function function;
};

/* Argument `index` as unsigned or signed 32 bits. */
static inline uint32_t pd_call_u32(const struct pd_call *call, unsigned index)
{
    return (uint32_t)call->arguments[index];
}

static inline int32_t pd_call_i32(const struct pd_call *call, unsigned index)
{
    return (int32_t)(uint32_t)call->arguments[index];
}

/* The result as i32. */
static inline enum pd_call_result pd_call_done(struct pd_call *call, uint32_t result)
{
    call->result = result;
    return PD_CALL_DONE;
}

/* Guest memory [address, address + size), or NULL when it is not all inside. size 0 is inside up to
 * the end. */
uint8_t *pd_guest_memory(struct pd_guest *guest, uint32_t address, uint64_t size);

/* End the guest with a failure that carries this text (bounded to 500 bytes, cut at a
 * character). */
enum pd_call_result pd_call_trap(struct pd_call *call, const char *format, ...) PD_PRINTF(2, 3);

/* The same, where the guest lacks a right: its reason is `denied`. */
enum pd_call_result pd_call_trap_denied(struct pd_call *call, const char *format, ...)
    PD_PRINTF(2, 3);

/* End the guest as proc_exit does: 0 is a normal exit. */
enum pd_call_result pd_call_exit(struct pd_call *call, uint32_t exit_code);

/* The function that is being called. */
const struct pd_import *pd_call_import(struct pd_call *call);

/* Shorthand: "NAME: pointer out of bounds". `what` names the argument. */
enum pd_call_result pd_call_trap_bounds(struct pd_call *call, const char *what);

/* The host of the guest's runtime. */
struct pd_host *pd_guest_host(struct pd_guest *guest);

/* --- Blocking work on a helper thread --------------------------------------------------------- */

/* Embed first in a structure that owns all that `work` touches. */
struct pd_blocking {
    struct pd_job job;                      /* hostcall's */
    void (*work)(struct pd_blocking *self); /* helper thread; may block; no guest, no call */
    /* Scheduler thread, the guest is alive: copy out, set the result. Then `release` is called. */
    enum pd_call_result (*finish)(struct pd_call *call, struct pd_blocking *self);
    void (*release)(
        struct pd_blocking *self); /* any thread, exactly once: free it and what it holds */
    const char *name;              /* what `pando info` shows: "fd_read" */
    struct {
        struct pd_job_gate *gate;
        void *process; /* to wake */
        struct pd_list node;
        atomic_uint_least32_t state;
    } link; /* hostcall's; need not be initialised */
};

/* Hand `self` to a helper thread and wait for it. Takes ownership in every case. When the helpers'
 * queue is full the call waits its turn in the queue of the runtime. Return its result from the
 * function. */
enum pd_call_result pd_call_block(struct pd_call *call, struct pd_blocking *self);

/* --- Calling the guest back ------------------------------------------------------------------- */

/* Call the guest's export `name` with `count` i32 arguments (at most 4); it returns one i32. The
 * inner call may wait, yield and trap; when it is over, `finish` runs on the fiber (as ASYNC does:
 * it may wait again, or call again): is_ok says whether it returned, `value` is what. A trap
 * inside, proc_exit and the end of the fuel included, is caught: is_ok is false. Traps at once if
 * there is no such export or calls nest too deep. From a function of any kind but SYNC, or from its
 * `resume`; return its result from the function. */
enum pd_call_result pd_call_nested(struct pd_call *call, const char *name,
                                   const uint32_t *arguments, uint32_t count,
                                   enum pd_call_result (*finish)(struct pd_call *call, bool is_ok,
                                                                 uint32_t value));

/* --- Waiting for time ------------------------------------------------------------------------- */

/* Arrange for a wake at deadline_ns (pd_host_now_ns time; PD_TIME_NEVER: none). Replaces the former
 * one; it is cancelled when the call ends. `resume` compares the time itself. */
void pd_call_wake_at(struct pd_call *call, uint64_t deadline_ns);

/* From `resume`: the turn that runs counts its slice of fuel from here. It would go on with the
 * rest of the former one, which a wait leaves as it is, and could end anywhere. */
void pd_call_begin_slice(struct pd_call *call);

#endif
