/* pando::process and pando::message - what Erlang's users expect: references, reasons, calls that
 * cannot hang. */
#include <string.h>

#include "actor/mailbox.h"
#include "wasm/abi_tables.h"
#include "wasm/text.h"
#include "wasm/wasm_process.h"

#define TIMED_OUT 9027u

/* What sends and calls answer. */
enum {
    ANSWER_OK = 0,
    ANSWER_FULL = 1,
    ANSWER_GONE = 2 /* no such process, or it died before it replied: last_reason says which */
};

/* --- Monitors, exits -------------------------------------------------------------------------- */

static enum pd_call_result monitor(struct pd_call *call)
{
    struct pd_process *process = pd_call_process(call)->process;
    uint64_t ref = pd_runtime_new_ref(process->environment->runtime);
    enum pd_status status = pd_process_monitor(process, call->arguments[0], ref);
    call->result = status == PD_OK ? ref : 0;
    return pd_call_settle(call, 0);
}

static enum pd_call_result demonitor(struct pd_call *call)
{
    struct pd_process *process = pd_call_process(call)->process;
    uint64_t ref = call->arguments[0];
    bool is_known = ref != 0 && pd_bond_set_find(&process->bonds, PD_BOND_WATCHING, 0, ref) != NULL;
    if (ref != 0) {
        pd_process_demonitor(process, 0, ref, pd_call_u32(call, 1) != 0);
    }
    return pd_call_done(call, is_known);
}

static enum pd_call_result trap_exit(struct pd_call *call)
{
    struct pd_process *process = pd_call_process(call)->process;
    process->trapping = pd_call_u32(call, 0) != 0 ? PD_TRAP_ALL : PD_TRAP_NONE;
    return PD_CALL_DONE;
}

/* The reason and text arguments of `exit` and `exit_self`. False: a trap was set. */
static bool read_reason(struct pd_call *call, unsigned first, enum pd_exit_reason *reason_out,
                        struct pd_exit_text **text_out)
{
    uint32_t reason = pd_call_u32(call, first);
    uint32_t size = pd_call_u32(call, first + 2);
    if (reason > PD_EXIT_DENIED) {
        (void)pd_call_trap(call, "%u is no exit reason", reason);
        return false;
    }
    uint32_t address = pd_call_u32(call, first + 1);
    const uint8_t *all = pd_call_bytes(call, address, size, "exit message");
    if (all == NULL) {
        return false;
    }
    /* What will be cut off is not looked at. */
    size = (uint32_t)pd_text_fit((const char *)all, size, PD_EXIT_TEXT_MAX);
    const char *bytes = pd_call_text(call, address, size, PD_EXIT_TEXT_MAX, "exit message");
    if (bytes == NULL) {
        return false;
    }
    *reason_out = (enum pd_exit_reason)reason;
    *text_out = size == 0 ? NULL : pd_exit_text_create(bytes, size);
    return true;
}

static enum pd_call_result exit_other(struct pd_call *call)
{
    struct pd_process *process = pd_call_process(call)->process;
    enum pd_exit_reason reason = PD_EXIT_NORMAL;
    struct pd_exit_text *text = NULL;
    if (!read_reason(call, 1, &reason, &text)) {
        return PD_CALL_TRAP;
    }
    pd_process_exit_signal(process, call->arguments[0], reason, text);
    pd_exit_text_release(text);
    return pd_call_settle(call, call->arguments[0]);
}

static enum pd_call_result exit_self(struct pd_call *call)
{
    struct pd_process *process = pd_call_process(call)->process;
    enum pd_exit_reason reason = PD_EXIT_NORMAL;
    struct pd_exit_text *text = NULL;
    if (!read_reason(call, 0, &reason, &text)) {
        return PD_CALL_TRAP;
    }
    pd_process_set_exit(process, reason, pd_exit_text_bytes(text), pd_exit_text_size(text));
    pd_exit_text_release(text);
    return pd_call_trap(call, "exit: %s", pd_exit_reason_text(reason));
}

static enum pd_call_result last_reason(struct pd_call *call)
{
    return pd_call_done(call, pd_call_process(call)->last_reason);
}

/* --- Sending and calling ---------------------------------------------------------------------- */

/* Make scratch a message with these marks and try to send it. On FULL it stays in scratch,
 * unmarked. */
static uint32_t send_marked(struct pd_call *call, uint64_t pid, enum pd_message_kind kind,
                            uint64_t ref, uint64_t sender)
{
    struct pd_wasm_process *self = pd_call_process(call);
    struct pd_message *message = self->scratch;
    message->kind = (uint8_t)kind;
    message->ref = ref;
    message->pid = sender;
    message->cursor = 0;
    if (!pd_mailbox_exists(self->process->environment, pid)) {
        message->kind = PD_MESSAGE_DATA;
        self->last_reason = PD_EXIT_NO_PROCESS;
        return ANSWER_GONE;
    }
    if (pd_process_send(self->process, pid, message) != PD_OK) {
        message->kind = PD_MESSAGE_DATA;
        return ANSWER_FULL;
    }
    self->scratch = NULL;
    return ANSWER_OK;
}

static enum pd_call_result trap_empty(struct pd_call *call)
{
    return pd_call_trap(call, "no message to send: create one first");
}

static enum pd_call_result send(struct pd_call *call)
{
    if (pd_call_process(call)->scratch == NULL) {
        return trap_empty(call);
    }
    return pd_call_done(call, send_marked(call, call->arguments[0], PD_MESSAGE_DATA, 0, 0));
}

static enum pd_call_result reply(struct pd_call *call)
{
    if (pd_call_process(call)->scratch == NULL) {
        return trap_empty(call);
    }
    if (call->arguments[1] == 0) {
        return pd_call_trap(call, "reply: 0 is no reference: was the message a call?");
    }
    return pd_call_done(
        call, send_marked(call, call->arguments[0], PD_MESSAGE_REPLY, call->arguments[1], 0));
}

/* A call is over: its monitor goes, and what may still come for it is not awaited any more. */
static void end_call(struct pd_wasm_process *self)
{
    pd_process_demonitor(self->process, 0, self->call_ref, true);
    self->process->awaited_ref = 0;
    self->call_ref = 0;
}

static enum pd_call_result call_resume(struct pd_call *call)
{
    struct pd_wasm_process *self = pd_call_process(call);
    struct pd_message *message = pd_process_take_ref(self->process, self->call_ref);
    if (message == NULL) {
        if (self->deadline_ns == PD_TIME_NEVER ||
            pd_host_now_ns(pd_guest_host(call->guest)) < self->deadline_ns) {
            return PD_CALL_WAIT;
        }
        end_call(self);
        return pd_call_done(call, TIMED_OUT);
    }
    bool is_reply = message->kind == PD_MESSAGE_REPLY;
    end_call(self);
    if (is_reply) {
        message->kind = PD_MESSAGE_DATA;
        message->ref = 0;
        pd_wasm_process_set_scratch(self, message);
        return pd_call_done(call, ANSWER_OK);
    }
    self->last_reason = message->reason;
    pd_message_destroy(message);
    return pd_call_done(call, ANSWER_GONE);
}

/* call = monitor + send + receive by reference. A late reply finds nobody who awaits it, and is
 * dropped. */
static enum pd_call_result call_process(struct pd_call *call)
{
    struct pd_wasm_process *self = pd_call_process(call);
    struct pd_process *process = self->process;
    if (self->scratch == NULL) {
        return trap_empty(call);
    }
    if (self->call_ref != 0) { /* of a call whose guest code was cut off by a caught trap */
        end_call(self);
    }
    uint64_t ref = pd_runtime_new_ref(process->environment->runtime);
    if (pd_process_monitor(process, call->arguments[0], ref) != PD_OK) {
        return pd_call_trap(call, "call: too many links and monitors");
    }
    self->call_ref = ref;
    process->awaited_ref = ref;
    uint32_t answer = send_marked(call, call->arguments[0], PD_MESSAGE_DATA, ref, process->pid);
    if (answer != ANSWER_OK) {
        end_call(self);
        return pd_call_done(call, answer);
    }
    self->deadline_ns = PD_TIME_NEVER;
    if (call->arguments[1] != UINT64_MAX) {
        self->deadline_ns = pd_call_deadline_ns(call, call->arguments[1]);
        pd_call_wake_at(call, self->deadline_ns);
    }
    call->resume = call_resume;
    return PD_CALL_WAIT;
}

/* --- pando::message: more about the one in scratch -------------------------------------------- */

static const struct pd_message *scratch_of(struct pd_call *call)
{
    const struct pd_message *scratch = pd_call_process(call)->scratch;
    if (scratch == NULL) {
        (void)pd_call_trap(call, "no message: receive one first");
    }
    return scratch;
}

static enum pd_call_result message_ref(struct pd_call *call)
{
    const struct pd_message *scratch = scratch_of(call);
    if (scratch == NULL) {
        return PD_CALL_TRAP;
    }
    call->result = scratch->ref;
    return PD_CALL_DONE;
}

static enum pd_call_result message_pid(struct pd_call *call)
{
    const struct pd_message *scratch = scratch_of(call);
    if (scratch == NULL) {
        return PD_CALL_TRAP;
    }
    call->result = scratch->pid;
    return PD_CALL_DONE;
}

static enum pd_call_result message_reason(struct pd_call *call)
{
    const struct pd_message *scratch = scratch_of(call);
    return scratch == NULL ? PD_CALL_TRAP : pd_call_done(call, scratch->reason);
}

static enum pd_call_result message_reason_text(struct pd_call *call)
{
    const struct pd_message *scratch = scratch_of(call);
    if (scratch == NULL) {
        return PD_CALL_TRAP;
    }
    uint32_t room = pd_call_u32(call, 1);
    size_t size = pd_exit_text_size(scratch->text);
    size_t count = size < room ? size : room;
    uint8_t *to = pd_guest_memory(call->guest, pd_call_u32(call, 0), room);
    if (to == NULL) {
        return pd_call_trap_bounds(call, "text");
    }
    memcpy(to, pd_exit_text_bytes(scratch->text), count);
    return pd_call_done(call, (uint32_t)size);
}

#define PROCESS "pando::process"
#define MESSAGE "pando::message"

const struct pd_import pd_pando_process_imports[] = {
    {PROCESS, "monitor", "I->I", PD_CALL_ASYNC, monitor},
    {PROCESS, "demonitor", "Ii->i", PD_CALL_SYNC, demonitor},
    {PROCESS, "trap_exit", "i->", PD_CALL_SYNC, trap_exit},
    {PROCESS, "exit", "Iiii->", PD_CALL_ASYNC, exit_other},
    {PROCESS, "exit_self", "iii->", PD_CALL_SYNC, exit_self},
    {PROCESS, "last_reason", "->i", PD_CALL_SYNC, last_reason},
    {PROCESS, "send", "I->i", PD_CALL_SYNC, send},
    {PROCESS, "call", "II->i", PD_CALL_ASYNC, call_process},
    {PROCESS, "reply", "II->i", PD_CALL_SYNC, reply},
    {MESSAGE, "ref", "->I", PD_CALL_SYNC, message_ref},
    {MESSAGE, "pid", "->I", PD_CALL_SYNC, message_pid},
    {MESSAGE, "reason", "->i", PD_CALL_SYNC, message_reason},
    {MESSAGE, "reason_text", "ii->i", PD_CALL_SYNC, message_reason_text},
};
const size_t pd_pando_process_import_count =
    sizeof pd_pando_process_imports / sizeof pd_pando_process_imports[0];
