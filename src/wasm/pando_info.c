/* pando::info: what a process may know about itself and its world. All answer one u64.
 *
 *   fuel_used     units, as of the end of its last slice        fuel_limit    units; 0 is unlimited
 *   memory_size   bytes of linear memory, likewise              memory_limit  bytes
 *   message_count messages in its mailbox, not received yet     received      messages that ever
 *   arrived process_count processes of its environment                  now_ns        the host's
 *   monotonic time */
#include "actor/environment.h"
#include "actor/mailbox.h"
#include "wasm/abi_tables.h"
#include "wasm/wasm_process.h"

#define MODULE "pando::info"

static enum pd_call_result done(struct pd_call *call, uint64_t result)
{
    call->result = result;
    return PD_CALL_DONE;
}

static enum pd_call_result fuel_used(struct pd_call *call)
{
    return done(call, pd_guest_fuel_used(call->guest));
}

static enum pd_call_result fuel_limit(struct pd_call *call)
{
    uint64_t portions = pd_call_process(call)->rights->fuel_portions_max;
    /* A limit beyond what can be counted is none. */
    return done(call, portions > UINT64_MAX / PD_FUEL_PORTION ? 0 : portions * PD_FUEL_PORTION);
}

static enum pd_call_result memory_size(struct pd_call *call)
{
    return done(call, pd_guest_memory_size(call->guest));
}

static enum pd_call_result memory_limit(struct pd_call *call)
{
    return done(call, pd_call_process(call)->rights->memory_bytes_max);
}

static enum pd_call_result message_count(struct pd_call *call)
{
    const struct pd_process *self = pd_call_process(call)->process;
    struct pd_mailbox_view view;
    if (pd_mailbox_look(self->environment, self->pid, &view, NULL, NULL) != PD_OK) {
        return done(call, 0);
    }
    /* What it took since its slice began is still counted by the mailbox. */
    return done(call, view.message_count - self->taken_count);
}

static enum pd_call_result received(struct pd_call *call)
{
    struct pd_process *self = pd_call_process(call)->process;
    return done(call, atomic_load_explicit(&self->received_count, memory_order_relaxed));
}

static enum pd_call_result process_count(struct pd_call *call)
{
    return done(call, pd_environment_count(pd_call_process(call)->process->environment));
}

static enum pd_call_result now_ns(struct pd_call *call)
{
    return done(call, pd_host_now_ns(pd_guest_host(call->guest)));
}

const struct pd_import pd_pando_info_imports[] = {
    {MODULE, "fuel_used", "->I", PD_CALL_SYNC, fuel_used},
    {MODULE, "fuel_limit", "->I", PD_CALL_SYNC, fuel_limit},
    {MODULE, "memory_size", "->I", PD_CALL_SYNC, memory_size},
    {MODULE, "memory_limit", "->I", PD_CALL_SYNC, memory_limit},
    {MODULE, "message_count", "->I", PD_CALL_SYNC, message_count},
    {MODULE, "received", "->I", PD_CALL_SYNC, received},
    {MODULE, "process_count", "->I", PD_CALL_SYNC, process_count},
    {MODULE, "now_ns", "->I", PD_CALL_SYNC, now_ns},
};
const size_t pd_pando_info_import_count =
    sizeof pd_pando_info_imports / sizeof pd_pando_info_imports[0];
