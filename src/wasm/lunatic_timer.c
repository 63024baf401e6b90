/* lunatic::timer: messages to be sent later. They outlive their sender, and a receiver that is
 * missing is no error. A timer belongs to the runtime; its id to the guest that set it, and only
 * that guest can cancel it. */
#include "wasm/timer_ids.h"

#include "wasm/abi_tables.h"
#include "wasm/wasm_process.h"

static enum pd_call_result full(struct pd_call *call, enum pd_status status)
{
    if (status == PD_ERR_FULL) {
        return pd_call_trap(call, "lunatic::timer::send_after: the limit of pending timers is "
                                  "reached");
    }
    return pd_call_trap(call, "lunatic::timer::send_after: no memory");
}

static enum pd_call_result send_after(struct pd_call *call)
{
    struct pd_wasm_process *self = pd_call_process(call);
    struct pd_message *message = self->scratch;
    if (message == NULL) {
        return pd_call_trap(call, "lunatic::timer::send_after: no message: create one first");
    }
    uint64_t now_ns = pd_host_now_ns(pd_guest_host(call->guest));
    uint64_t deadline_ns = pd_call_deadline_ns(call, call->arguments[1]);
    enum pd_status status = pd_timer_ids_reserve(&self->timers, now_ns);
    if (status != PD_OK) {
        return full(call, status);
    }
    /* A received notice or reply that is passed on is plain data from here on. */
    message->kind = PD_MESSAGE_DATA;
    message->ref = 0;
    message->pid = 0;
    message->cursor = 0;
    uint64_t runtime_id = 0;
    status = pd_runtime_send_at(self->system->runtime, self->process->environment,
                                call->arguments[0], message, deadline_ns, &runtime_id);
    if (status != PD_OK) {
        return full(call, status);
    }
    self->scratch = NULL;
    call->result = pd_timer_ids_add(&self->timers, runtime_id, deadline_ns);
    return PD_CALL_DONE;
}

static enum pd_call_result cancel_timer(struct pd_call *call)
{
    struct pd_wasm_process *self = pd_call_process(call);
    uint64_t runtime_id = 0;
    bool was_pending = pd_timer_ids_take(&self->timers, call->arguments[0], &runtime_id) &&
                       pd_runtime_cancel_send(self->system->runtime, runtime_id);
    return pd_call_done(call, was_pending ? 1 : 0);
}

/* Cancelling destroys the message with all that it carries, which may be much. */
const struct pd_import pd_lunatic_timer_imports[] = {
    {"lunatic::timer", "send_after", "II->I", PD_CALL_SYNC, send_after},
    {"lunatic::timer", "cancel_timer", "I->i", PD_CALL_DEFERRED, cancel_timer},
};
const size_t pd_lunatic_timer_import_count =
    sizeof pd_lunatic_timer_imports / sizeof pd_lunatic_timer_imports[0];
