/* Calls from host functions back into the guest.
 *
 * The inner call is a Wasmtime call future of its own, polled from the continuation on which the
 * outer fiber waits (wait_poll), so it has a fiber and a stack of its own, and Wasmtime's limits
 * hold for it. When the inner call suspends, wait_poll says "not yet" and the outer fiber suspends
 * too: whoever steps sees the innermost frame. When the guest dies, the outer future's deletion
 * drops the continuation, whose finalizer deletes the inner future while its store still lives.
 * (Calling on the same fiber would be cheaper, but Wasmtime then grants the inner call a whole wasm
 * stack again from where the outer one stands, and both together may pass the end of the fiber's
 * stack.) */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "wasm/guest_internal.h"

static bool is_callable(const struct pd_module_export *export, uint32_t count)
{
    if (export->param_count != count || export->result_count != 1 ||
        export->result != WASMTIME_I32) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (export->params[i] != WASMTIME_I32) {
            return false;
        }
    }
    return true;
}

enum pd_call_result pd_call_nested(struct pd_call *call, const char *name,
                                   const uint32_t *arguments, uint32_t count,
                                   enum pd_call_result (*finish)(struct pd_call *call, bool is_ok,
                                                                 uint32_t value))
{
    struct pd_guest *guest = call->guest;
    struct pd_frame *frame = pd_frame_of(call);
    pd_assert(count <= PD_GUEST_NESTED_PARAMS_MAX);
    pd_assert(frame->nested == NULL);
    const struct pd_module_export *export = pd_module_find(guest->module, name, strlen(name));
    if (export == NULL || !is_callable(export, count)) {
        return pd_call_trap(call,
                            "%s::%s: the module must export %s with %u i32 parameters and an "
                            "i32 result",
                            frame->import->module, frame->import->name, name, count);
    }
    if (!pd_guest_is_instantiated(guest)) {
        return pd_call_trap(call, "%s::%s: cannot call %s before the module has started",
                            frame->import->module, frame->import->name, name);
    }
    if (guest->nested_count == PD_GUEST_NESTED_MAX) {
        return pd_call_trap(call, "%s::%s: calls into the guest nest deeper than %u",
                            frame->import->module, frame->import->name, PD_GUEST_NESTED_MAX);
    }
    struct pd_nested *nested = pd_alloc_zeroed(1, sizeof *nested);
    if (nested == NULL) {
        return pd_call_trap(call, "%s::%s: no memory", frame->import->module, frame->import->name);
    }
    nested->export = export;
    nested->finish = finish;
    nested->frame.call.guest = guest;
    nested->frame.parent = frame;
    for (uint32_t i = 0; i < count; i++) {
        nested->params[i].kind = WASMTIME_I32;
        nested->params[i].of.i32 = (int32_t)arguments[i];
    }
    frame->nested = nested;
    guest->nested_count++;
    return PD_CALL_WAIT;
}

static void begin(struct pd_guest *guest, struct pd_nested *nested)
{
    wasmtime_extern_t found;
    bool is_found = wasmtime_instance_export_get(
        guest->context, &guest->instance, nested->export->name, nested->export->name_size, &found);
    pd_assert(is_found);
    pd_assert(found.kind == WASMTIME_EXTERN_FUNC);
    nested->func = found.of.func;
    nested->future = wasmtime_func_call_async(guest->context, &nested->func, nested->params,
                                              nested->export->param_count, &nested->result, 1,
                                              &nested->trap, &nested->error);
    guest->top = &nested->frame;
}

static void free_nested(struct pd_frame *frame)
{
    struct pd_nested *nested = frame->nested;
    struct pd_guest *guest = frame->call.guest;
    if (nested->future != NULL) {
        wasmtime_call_future_delete(nested->future);
    }
    if (nested->trap != NULL) {
        wasm_trap_delete(nested->trap);
    }
    if (nested->error != NULL) {
        wasmtime_error_delete(nested->error);
    }
    frame->nested = NULL;
    pd_assert(guest->nested_count > 0);
    guest->nested_count--;
    guest->top = frame;
    pd_free(nested);
}

bool pd_nested_poll(struct pd_frame *frame)
{
    struct pd_nested *nested = frame->nested;
    struct pd_guest *guest = frame->call.guest;
    if (nested->future == NULL) {
        begin(guest, nested);
    }
    if (!wasmtime_call_future_poll(nested->future)) {
        return false;
    }
    bool is_ok = nested->trap == NULL && nested->error == NULL;
    uint32_t value = is_ok ? (uint32_t)nested->result.of.i32 : 0;
    enum pd_call_result (*finish)(struct pd_call *, bool, uint32_t) = nested->finish;
    free_nested(frame);
    if (!is_ok) {
        pd_guest_clear_end(guest);
    }
    pd_frame_settle(frame, finish(&frame->call, is_ok, value));
    return true;
}

void pd_nested_drop(struct pd_frame *frame)
{
    if (frame->nested != NULL) {
        free_nested(frame);
    }
}
