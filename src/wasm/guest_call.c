/* The way of a call from guest code to a host function and back.
 *
 *   guest code ──► pd_guest_call_callback (fiber) ──► function ──DONE──► back to guest code
 *                        │ DEFERRED, or it waits
 *                        ▼
 *                  suspend: calls the engine's own async function, whose continuation (wait_poll)
 *                  says "not yet"
 *                        ▼
 *                  the fiber is suspended; pd_guest_step runs the function or `resume` on its own
 *                  stack, polls again when there is a result, and suspend returns on the fiber.
 *
 * Every function is defined without Wasmtime's checked or async wrappers (7 ns a call, against 70
 * and 120); only those that truly wait pay for suspending. */
#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "wasm/guest_internal.h"
#include "wasm/text.h"

#define BLOCK_RETRY_NS (1000u * 1000u)

/* --- On the fiber ----------------------------------------------------------------------------- */

static bool wait_poll(void *env)
{
    struct pd_frame *frame = env;
    for (;;) {
        switch ((enum pd_frame_state)frame->state) {
        case PD_FRAME_DONE:
        case PD_FRAME_TRAPPED:
            return true;
        case PD_FRAME_NESTED:
            if (!pd_nested_poll(frame)) {
                return false;
            }
            break;
        case PD_FRAME_DEFERRED:
        case PD_FRAME_WAITING:
        case PD_FRAME_IDLE:
            return false;
        }
    }
}

static void wait_drop(void *env)
{
    pd_nested_drop(env);
}

void pd_guest_suspend_callback(void *env, wasmtime_caller_t *caller, const wasmtime_val_t *args,
                               size_t nargs, wasmtime_val_t *results, size_t nresults,
                               wasm_trap_t **trap_ret,
                               wasmtime_async_continuation_t *continuation_ret)
{
    (void)env;
    (void)args;
    (void)nargs;
    (void)results;
    (void)nresults;
    (void)trap_ret;
    struct pd_guest *guest = wasmtime_context_get_data(wasmtime_caller_context(caller));
    continuation_ret->callback = wait_poll;
    continuation_ret->env = guest->top;
    continuation_ret->finalizer = wait_drop;
}

/* The suspending function in this guest's store. */
static wasmtime_func_t suspend_func(struct pd_guest *guest)
{
    wasmtime_func_t func = guest->module->linker->suspend;
    if (guest->store_id == 0) {
        /* Only while `start` runs: no export of the store has been seen. Any function tells its
         * number. */
        wasmtime_extern_t found;
        bool is_found = wasmtime_linker_get(guest->module->linker->linker, guest->context,
                                            PD_SUSPEND_MODULE, sizeof PD_SUSPEND_MODULE - 1,
                                            PD_SUSPEND_NAME, sizeof PD_SUSPEND_NAME - 1, &found);
        pd_assert(is_found);
        guest->store_id = found.of.func.store_id;
    }
    func.store_id = guest->store_id;
    return func;
}

/* Suspend the fiber until the frame is settled. False: the guest is being destroyed. */
PD_SUSPENDED_FUNCTION
static bool suspend(struct pd_guest *guest)
{
    wasmtime_func_t func = suspend_func(guest);
    wasmtime_val_raw_t none[1];
    wasm_trap_t *trap = NULL;
    wasmtime_error_t *error = wasmtime_func_call_unchecked(guest->context, &func, none, 0, &trap);
    if (error == NULL && trap == NULL) {
        return true;
    }
    if (error != NULL) {
        wasmtime_error_delete(error);
    }
    if (trap != NULL) {
        wasm_trap_delete(trap);
    }
    return false;
}

static bool find_memory(struct pd_guest *guest)
{
    wasmtime_extern_t found;
    bool is_found = false;
    if (guest->caller != NULL) {
        is_found = wasmtime_caller_export_get(guest->caller, "memory", 6, &found);
    } else if (guest->phase > PD_PHASE_INSTANTIATING) {
        is_found =
            wasmtime_instance_export_get(guest->context, &guest->instance, "memory", 6, &found);
    }
    if (!is_found || found.kind != WASMTIME_EXTERN_MEMORY) {
        guest->memory_state = PD_MEMORY_ABSENT;
        return false;
    }
    guest->memory = found.of.memory;
    guest->memory_state = PD_MEMORY_FOUND;
    return true;
}

static void read_arguments(struct pd_call *call, const struct pd_linked_import *linked,
                           const wasmtime_val_raw_t *values)
{
    uint32_t narrow = linked->narrow_mask;
    for (uint32_t i = 0; i < linked->argument_count; i++, narrow >>= 1) {
        uint64_t value = (uint64_t)values[i].i64;
        call->arguments[i] = (narrow & 1) != 0 ? (uint32_t)value : value;
    }
}

/* The function ran as far as it could on the fiber, or did not begin: suspend until it has a
 * result. */
PD_SUSPENDED_FUNCTION
static enum pd_call_result wait_for_result(struct pd_guest *guest, struct pd_frame *frame)
{
    if (!suspend(guest)) {
        pd_assert(guest->is_dying);
        return PD_CALL_TRAP;
    }
    if (frame->has_timer) {
        pd_call_wake_at(&frame->call, PD_TIME_NEVER);
    }
    return frame->state == PD_FRAME_DONE ? PD_CALL_DONE : PD_CALL_TRAP;
}

/* Before it suspends: let whom it woke run first, on this stack. What that one answers is then here
 * already, and a conversation of two costs one suspension a round instead of two. */
PD_SUSPENDED_FUNCTION
static enum pd_call_result lend_while_waiting(struct pd_guest *guest, struct pd_frame *frame)
{
    enum pd_call_result result = PD_CALL_WAIT;
    if (guest->machine->lend == NULL || frame->parent != NULL) {
        return result;
    }
    while (result == PD_CALL_WAIT && frame->nested == NULL && frame->blocking == NULL &&
           !frame->call.needs_stack && guest->machine->lend(guest->process)) {
        result = frame->call.resume(&frame->call);
    }
    if (result == PD_CALL_DONE && frame->has_timer) {
        pd_call_wake_at(&frame->call, PD_TIME_NEVER);
    }
    return result;
}

PD_SUSPENDED_FUNCTION
static enum pd_call_result dispatch(struct pd_guest *guest, struct pd_frame *frame,
                                    wasmtime_caller_t *caller)
{
    const struct pd_import *import = frame->import;
    struct pd_call *call = &frame->call;
    call->resume = NULL;
    call->abandon = NULL;
    call->state = NULL;
    call->needs_stack = false;
    if (import->kind == PD_CALL_DEFERRED) {
        frame->state = PD_FRAME_DEFERRED;
        return wait_for_result(guest, frame);
    }
    guest->caller = caller;
    enum pd_call_result result = import->function(call);
    guest->caller = NULL;
    if (__builtin_expect(result != PD_CALL_WAIT, 1)) {
        return result;
    }
    result = lend_while_waiting(guest, frame);
    if (result != PD_CALL_WAIT) {
        return result;
    }
    pd_frame_settle(frame, result);
    return wait_for_result(guest, frame);
}

PD_SUSPENDED_FUNCTION
wasm_trap_t *pd_guest_call_callback(void *env, wasmtime_caller_t *caller,
                                    wasmtime_val_raw_t *values, size_t count)
{
    const struct pd_linked_import *linked = env;
    const struct pd_import *import = linked->import;
    struct pd_guest *guest = wasmtime_context_get_data(wasmtime_caller_context(caller));
    struct pd_frame *frame = guest->top;
    frame->import = import;
    read_arguments(&frame->call, linked, values);
    if (__builtin_expect(guest->phase == PD_PHASE_INSTANTIATING, 0) &&
        guest->memory_state == PD_MEMORY_UNKNOWN) {
        guest->caller = caller; /* deferred functions of `start` find the memory only now */
        (void)find_memory(guest);
        guest->caller = NULL;
    }
    enum pd_call_result result = dispatch(guest, frame, caller);
    if (__builtin_expect(guest->tracer != NULL, 0) && !guest->is_dying) {
        guest->tracer(guest->process, import, &frame->call, result);
    }
    frame->state = PD_FRAME_IDLE;
    if (__builtin_expect(result != PD_CALL_DONE, 0)) {
        return wasmtime_trap_new_code(WASMTIME_TRAP_CODE_INTERRUPT);
    }
    if (count > 0) { /* room for arguments or results, whichever are more; none for neither */
        values[0].i64 = (int64_t)frame->call.result;
    }
    return NULL;
}

/* --- On the stack of whoever steps ------------------------------------------------------------ */

void pd_frame_settle(struct pd_frame *frame, enum pd_call_result result)
{
    switch (result) {
    case PD_CALL_DONE:
        frame->state = PD_FRAME_DONE;
        break;
    case PD_CALL_TRAP:
        frame->state = PD_FRAME_TRAPPED;
        break;
    case PD_CALL_WAIT:
        pd_assert(frame->nested != NULL || frame->call.resume != NULL);
        frame->state = frame->nested != NULL ? PD_FRAME_NESTED : PD_FRAME_WAITING;
        break;
    }
}

void pd_guest_run_deferred(struct pd_frame *frame)
{
    pd_frame_settle(frame, frame->import->function(&frame->call));
}

void pd_guest_run_resume(struct pd_frame *frame)
{
    pd_frame_settle(frame, frame->call.resume(&frame->call));
}

static void abandon_call(struct pd_frame *frame)
{
    struct pd_blocking *blocking = frame->blocking;
    frame->blocking = NULL;
    if (blocking != NULL && frame->is_blocking_submitted) {
        pd_job_gate_abandon(blocking);
    } else if (blocking != NULL) {
        blocking->release(blocking);
    }
    if (frame->call.abandon != NULL) {
        frame->call.abandon(&frame->call);
    }
}

void pd_guest_abandon_calls(struct pd_guest *guest)
{
    for (struct pd_frame *frame = guest->top; frame != NULL; frame = frame->parent) {
        if (frame->state == PD_FRAME_WAITING || frame->state == PD_FRAME_NESTED) {
            abandon_call(frame);
        }
    }
}

/* --- For host functions (hostcall.h) ---------------------------------------------------------- */

uint8_t *pd_guest_memory(struct pd_guest *guest, uint32_t address, uint64_t size)
{
    static uint8_t nothing[1];
    if (guest->memory_state != PD_MEMORY_FOUND &&
        (guest->memory_state == PD_MEMORY_ABSENT || !find_memory(guest))) {
        return NULL;
    }
    uint64_t length = wasmtime_memory_data_size(guest->context, &guest->memory);
    atomic_store_explicit(&guest->memory_size, length, memory_order_relaxed);
    if (address > length || size > length - address) {
        return NULL;
    }
    uint8_t *data = wasmtime_memory_data(guest->context, &guest->memory);
    /* An empty memory may have no address at all; NULL would read as "outside". */
    return length == 0 ? nothing : data + address;
}

struct pd_host *pd_guest_host(struct pd_guest *guest)
{
    return guest->machine->host;
}

void pd_guest_clear_end(struct pd_guest *guest)
{
    guest->is_end_set = false;
    pd_free(guest->failure);
    guest->failure = NULL;
}

static enum pd_call_result set_failure(struct pd_call *call, enum pd_guest_end end,
                                       const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

static enum pd_call_result set_failure(struct pd_call *call, enum pd_guest_end end,
                                       const char *format, va_list arguments)
{
    struct pd_guest *guest = call->guest;
    pd_guest_clear_end(guest);
    guest->is_end_set = true;
    guest->end = (uint8_t)end;
    guest->failure = pd_alloc(PD_GUEST_FAILURE_SIZE);
    if (guest->failure != NULL) {
        /* One byte more than fits, to see where a character would be cut. */
        char text[PD_GUEST_FAILURE_SIZE + 1];
        int size = vsnprintf(text, sizeof text, format, arguments);
        size_t length = size < 0 ? 0 : (size_t)size;
        length = length < sizeof text - 1 ? length : sizeof text - 1;
        (void)pd_text_copy(guest->failure, PD_GUEST_FAILURE_SIZE, text, length);
    }
    return PD_CALL_TRAP;
}

enum pd_call_result pd_call_trap(struct pd_call *call, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    enum pd_call_result result = set_failure(call, PD_GUEST_HOST_TRAP, format, arguments);
    va_end(arguments);
    return result;
}

enum pd_call_result pd_call_trap_denied(struct pd_call *call, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    enum pd_call_result result = set_failure(call, PD_GUEST_DENIED, format, arguments);
    va_end(arguments);
    return result;
}

const struct pd_import *pd_call_import(struct pd_call *call)
{
    return pd_frame_of(call)->import;
}

enum pd_call_result pd_call_trap_bounds(struct pd_call *call, const char *what)
{
    const struct pd_import *import = pd_frame_of(call)->import;
    return pd_call_trap(call, "%s::%s: %s: pointer out of bounds", import->module, import->name,
                        what);
}

enum pd_call_result pd_call_exit(struct pd_call *call, uint32_t exit_code)
{
    struct pd_guest *guest = call->guest;
    pd_guest_clear_end(guest);
    guest->is_end_set = true;
    guest->end = PD_GUEST_EXIT_CODE;
    guest->exit_code = exit_code;
    return PD_CALL_TRAP;
}

void pd_call_wake_at(struct pd_call *call, uint64_t deadline_ns)
{
    struct pd_guest *guest = call->guest;
    pd_frame_of(call)->has_timer = deadline_ns != PD_TIME_NEVER;
    guest->machine->wake_at(guest->process, deadline_ns);
}

void pd_call_begin_slice(struct pd_call *call)
{
    struct pd_guest *guest = call->guest;
    wasmtime_error_t *error =
        wasmtime_context_fuel_async_yield_interval(guest->context, guest->machine->yield_interval);
    pd_assert(error == NULL);
}

/* --- Blocking work ---------------------------------------------------------------------------- */

static enum pd_call_result block_resume(struct pd_call *call)
{
    struct pd_frame *frame = pd_frame_of(call);
    struct pd_blocking *blocking = frame->blocking;
    if (!pd_job_gate_take(blocking)) {
        return PD_CALL_WAIT;
    }
    frame->blocking = NULL;
    call->resume = NULL;
    enum pd_call_result result = blocking->finish(call, blocking);
    blocking->release(blocking);
    return result;
}

static enum pd_call_result block_submit(struct pd_call *call)
{
    struct pd_frame *frame = pd_frame_of(call);
    struct pd_guest *guest = call->guest;
    enum pd_status status =
        pd_job_gate_submit(&guest->machine->jobs, frame->blocking, guest->process);
    if (status == PD_OK) {
        frame->is_blocking_submitted = true;
        call->resume = block_resume;
    } else {
        /* The helpers' queue is full of others' work, so none of ours will wake us. */
        call->resume = block_submit;
        pd_call_wake_at(call, pd_host_now_ns(guest->machine->host) + BLOCK_RETRY_NS);
    }
    return PD_CALL_WAIT;
}

enum pd_call_result pd_call_block(struct pd_call *call, struct pd_blocking *self)
{
    struct pd_frame *frame = pd_frame_of(call);
    pd_assert(frame->blocking == NULL);
    frame->blocking = self;
    frame->is_blocking_submitted = false;
    return block_submit(call);
}
