#include "wasm/wasm_process.h"

#include <stdio.h>
#include <string.h>

#include "actor/tracer.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/memory_budget.h"
#include "base/utf8.h"
#include "wasm/error_text.h"
#include "wasm/net.h"
#include "wasm/pando_kv.h"
#include "wasm/sqlite_state.h"
#include "wasm/supervised.h"
#include "wasm/wasi.h"

#define COST_FULL 1000u
#define NS_PER_MS UINT64_C(1000000)
#define EXIT_TEXT_SIZE 1024u

/* --- Behavior --------------------------------------------------------------------------------- */

static enum pd_exit_reason reason_of(struct pd_guest_exit exit)
{
    switch (exit.end) {
    case PD_GUEST_RETURNED:
        return PD_EXIT_NORMAL;
    case PD_GUEST_EXIT_CODE:
        return exit.exit_code == 0 ? PD_EXIT_NORMAL : PD_EXIT_FAILURE;
    case PD_GUEST_TRAP:
    case PD_GUEST_HOST_TRAP:
    case PD_GUEST_NO_ENTRY:
        return PD_EXIT_FAILURE;
    case PD_GUEST_FUEL:
        return PD_EXIT_FUEL;
    case PD_GUEST_MEMORY:
        return PD_EXIT_MEMORY;
    case PD_GUEST_DENIED:
        return PD_EXIT_DENIED;
    }
    return PD_EXIT_FAILURE;
}

static void take_exit(struct pd_wasm_process *self)
{
    enum pd_exit_reason reason = reason_of(pd_guest_exit(self->guest));
    if (reason == PD_EXIT_NORMAL) {
        pd_process_set_exit(self->process, reason, NULL, 0);
        return;
    }
    char text[EXIT_TEXT_SIZE];
    size_t size = pd_guest_exit_text(self->guest, text, sizeof text);
    pd_process_set_exit(self->process, reason, text, size);
}

/* Take the name that it was made with. Only a process in the table can have one, so not before
 * now. */
static void register_self(struct pd_wasm_process *self)
{
    struct pd_process *process = self->process;
    enum pd_status status =
        pd_registry_put(process->environment, self->registering, strlen(self->registering), 0,
                        process->pid, process->pid, true);
    pd_free(self->registering);
    self->registering = NULL;
    if (status != PD_OK) {
        static const char text[] = "its name cannot be registered: too many names";
        pd_process_set_exit(process, PD_EXIT_FAILURE, text, sizeof text - 1);
    }
}

static enum pd_resume_result wasm_resume(struct pd_process *process, uint32_t *cost_out)
{
    struct pd_wasm_process *self = process->data;
    if (__builtin_expect(self->registering != NULL, 0)) {
        register_self(self);
        if (process->is_exit_set) {
            return PD_RESUME_EXIT;
        }
    }
    if (__builtin_expect(self->kv != NULL, 0)) {
        pd_kv_watches_begin_turn(self);
    }
    if (__builtin_expect(self->reserved != 0, 0)) {
        pd_wasm_process_unreserve(self);
    }
    uint64_t before = pd_guest_fuel_used(self->guest);
    enum pd_guest_step step = pd_guest_step(self->guest);
    uint64_t used = pd_guest_fuel_used(self->guest) - before;
    struct pd_runtime *runtime = process->environment->runtime;
    pd_scheduler_count(&runtime->schedulers[process->scheduler_index].fuel_count, used);
    uint64_t cost = used * COST_FULL / self->system->machine.yield_interval;
    *cost_out = cost == 0 ? 1 : cost > COST_FULL ? COST_FULL : (uint32_t)cost;
    switch (step) {
    case PD_GUEST_YIELDED:
        return PD_RESUME_YIELD;
    case PD_GUEST_WAITING:
        return self->kv != NULL && pd_kv_watches_end_turn(self) ? PD_RESUME_YIELD : PD_RESUME_WAIT;
    case PD_GUEST_EXITED:
        take_exit(self);
        return PD_RESUME_EXIT;
    }
    return PD_RESUME_EXIT;
}

void pd_wasm_process_unreserve(struct pd_wasm_process *self)
{
    if (self->reserved != 0) {
        pd_memory_budget_give(self->system->budget, self->reserved);
        self->reserved = 0;
    }
}

static void destroy_self(struct pd_wasm_process *self)
{
    pd_wasm_process_unreserve(self);
    pd_guest_destroy(self->guest); /* first: what it holds may refer to the rest */
    if (self->held != 0) {
        pd_memory_budget_give(self->system->budget, self->held);
    }
    pd_message_destroy(self->scratch);
    pd_kv_state_destroy(self);
    pd_net_state_destroy(self);
    pd_sqlite_state_destroy(self);
    void *object = NULL;
    while ((object = pd_id_table_take_any(&self->errors)) != NULL) {
        pd_error_text_destroy(object);
    }
    while ((object = pd_id_table_take_any(&self->modules)) != NULL) {
        pd_module_release(object);
    }
    while ((object = pd_id_table_take_any(&self->configs)) != NULL) {
        pd_rights_release(object);
    }
    while ((object = pd_id_table_take_any(&self->supervisors)) != NULL) {
        pd_supervised_tree_release(object);
    }
    pd_timer_ids_deinit(&self->timers);
    pd_wasi_destroy(self->wasi, self->system->machine.host);
    pd_rights_release(self->rights);
    pd_free(self->tags);
    pd_free(self->registering);
    pd_free(self->function);
    pd_free(self);
}

static void wasm_destroy(struct pd_process *process)
{
    struct pd_wasm_process *self = process->data;
    process->data = NULL;
    destroy_self(self);
}

static const char *wasm_activity(const struct pd_process *process)
{
    const struct pd_wasm_process *self = process->data;
    const struct pd_import *import = pd_guest_waiting_in(self->guest);
    return import == NULL ? NULL : import->name;
}

static bool wasm_is_light(const struct pd_process *process)
{
    const struct pd_wasm_process *self = process->data;
    return pd_guest_is_light(self->guest) && !pd_kv_has_watches(self);
}

bool pd_wasm_lend(void *process)
{
    return pd_process_lend(process);
}

const struct pd_behavior pd_wasm_behavior = {
    .name = "wasm",
    .resume = wasm_resume,
    .destroy = wasm_destroy,
    .is_light = wasm_is_light,
    .activity = wasm_activity,
};

void pd_wasm_wake(void *process)
{
    pd_process_wake(process);
}

void pd_wasm_wake_at(void *process, uint64_t deadline_ns)
{
    pd_process_wake_at(process, deadline_ns);
}

/* --- Host calls in the trace of a deterministic run ------------------------------------------- */

static void trace_call(void *process, const struct pd_import *import, const struct pd_call *call,
                       enum pd_call_result result)
{
    const struct pd_process *caller = process;
    struct pd_trace *trace = caller->environment->runtime->trace;
    uint64_t digest = pd_hash_bytes((uint64_t)result, call->arguments, sizeof call->arguments);
    if (result == PD_CALL_DONE) {
        digest = pd_hash_u64(digest, call->result);
    }
    pd_trace_fold(trace, PD_TRACE_HOST_CALL, caller->pid, pd_hash_text(0, import->name), digest);
}

/* --- Host calls for an onlooker --------------------------------------------------------------- */

static void note_call(void *process, const struct pd_import *import, const struct pd_call *call,
                      enum pd_call_result result)
{
    (void)result;
    struct pd_process *caller = process;
    if (!pd_process_is_traced(caller)) {
        pd_guest_set_tracer(call->guest, NULL);
        return;
    }
    pd_tracer_note(caller, (struct pd_traced){.kind = PD_TRACED_HOST_CALL,
                                              .space = import->module,
                                              .name = import->name});
}

void pd_wasm_process_trace_calls(struct pd_wasm_process *self)
{
    if (self->process->environment->runtime->trace == NULL) {
        pd_guest_set_tracer(self->guest, note_call);
    }
}

/* --- Making ----------------------------------------------------------------------------------- */

static enum pd_status make_guest(struct pd_wasm_process *self, const struct pd_wasm_spawn *spawn)
{
    struct pd_memory_budget *budget = self->system->budget;
    struct pd_guest_limits limits = {
        .memory_bytes_max = self->rights->memory_bytes_max,
        .table_elements_max =
            budget == NULL ? PD_GUEST_TABLE_ELEMENTS_MAX : spawn->module->table_elements_max,
        .fuel_max = self->rights->fuel_portions_max > UINT64_MAX / PD_FUEL_PORTION
                        ? PD_GUEST_FUEL_UNLIMITED
                        : self->rights->fuel_portions_max * PD_FUEL_PORTION,
    };
    if (budget != NULL) {
        uint64_t held = spawn->module->instance_bytes;
        uint64_t reserved = spawn->module->memory_bytes_min + PD_MEMORY_BUDGET_STACK_BYTES;
        if (!pd_memory_budget_take(budget, PD_MEMORY_SPAWN, held + reserved)) {
            return PD_ERR_NO_MEMORY;
        }
        self->held = held;
        self->reserved = reserved;
    }
    enum pd_status status = pd_guest_create(&self->system->machine, spawn->module, &limits,
                                            self->process, &self->guest);
    if (status != PD_OK) {
        return status;
    }
    if (self->process->environment->runtime->trace != NULL) {
        pd_guest_set_tracer(self->guest, trace_call);
    }
    return pd_guest_start(self->guest, &spawn->entry);
}

enum pd_status pd_wasm_process_create(struct pd_wasm_system *system,
                                      const struct pd_wasm_spawn *spawn,
                                      struct pd_wasm_process **process_out)
{
    struct pd_wasm_process *self = pd_alloc_zeroed(1, sizeof *self);
    if (self == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    self->system = system;
    self->rights = pd_rights_share(spawn->rights);
    enum pd_status status = PD_ERR_NO_MEMORY;
    self->function = pd_alloc_text(spawn->entry.function, spawn->entry.function_size);
    bool is_named = spawn->registered != NULL;
    if (is_named) {
        self->registering = pd_alloc_text(spawn->registered, strlen(spawn->registered));
    }
    if (self->function != NULL && (!is_named || self->registering != NULL)) {
        status = pd_process_create(spawn->environment, spawn->parent, &pd_wasm_behavior, self,
                                   &self->process);
    }
    if (status == PD_OK) {
        status = make_guest(self, spawn);
        if (status != PD_OK) {
            pd_process_discard(self->process);
        }
    }
    if (status != PD_OK) {
        destroy_self(self);
        return status;
    }
    *process_out = self;
    return PD_OK;
}

void pd_wasm_process_discard(struct pd_wasm_process *process)
{
    pd_process_discard(process->process);
    destroy_self(process);
}

/* --- WASI ------------------------------------------------------------------------------------- */

/* What it is called now: names come and go. */
static bool tag_output(struct pd_wasm_process *self)
{
    const struct pd_process *process = self->process;
    char tag[PD_WASI_TAG_MAX];
    if (!pd_registry_name_of(process->environment, process->pid, tag, sizeof tag)) {
        (void)snprintf(tag, sizeof tag, "<%llu>", (unsigned long long)process->pid);
    }
    for (char *at = tag; *at != '\0'; at++) {
        *at = (unsigned char)*at < ' ' || *at == 0x7f ? '?' : *at; /* one line stays one */
    }
    return pd_wasi_set_tag(self->wasi, tag) == PD_OK;
}

struct pd_wasi *pd_guest_wasi(struct pd_guest *guest)
{
    struct pd_wasm_process *self = ((struct pd_process *)pd_guest_process(guest))->data;
    if (self->wasi == NULL && pd_wasi_create(self->rights->wasi, &self->wasi) != PD_OK) {
        return NULL;
    }
    if (self->system->is_tagged && !tag_output(self)) {
        return NULL;
    }
    return self->wasi;
}

/* --- Shorthands ------------------------------------------------------------------------------- */

void pd_wasm_process_set_scratch(struct pd_wasm_process *self, struct pd_message *message)
{
    pd_message_destroy(self->scratch);
    self->scratch = message;
}

uint32_t pd_wasm_receive_code(const struct pd_message *message)
{
    switch ((enum pd_message_kind)message->kind) {
    case PD_MESSAGE_LINK_DIED:
        return 1;
    case PD_MESSAGE_PROCESS_DIED:
        return 2;
    case PD_MESSAGE_DOWN:
        return 3;
    case PD_MESSAGE_DATA:
    case PD_MESSAGE_REPLY:
    case PD_SIGNAL_LINK:
    case PD_SIGNAL_UNLINK:
    case PD_SIGNAL_LINK_DIED:
    case PD_SIGNAL_MONITOR:
    case PD_SIGNAL_DEMONITOR:
    case PD_SIGNAL_PROCESS_DIED:
    case PD_SIGNAL_EXIT:
    case PD_SIGNAL_INSPECT:
        break;
    }
    return 0;
}

enum pd_call_result pd_call_write_u64(struct pd_call *call, uint32_t address, uint64_t value)
{
    uint8_t *to = pd_guest_memory(call->guest, address, sizeof value);
    if (to == NULL) {
        return pd_call_trap_bounds(call, "result pointer");
    }
    pd_put_u64(to, value);
    return pd_call_done(call, 0);
}

const uint8_t *pd_call_bytes(struct pd_call *call, uint32_t address, uint32_t size,
                             const char *what)
{
    const uint8_t *bytes = pd_guest_memory(call->guest, address, size);
    if (bytes == NULL) {
        (void)pd_call_trap_bounds(call, what);
    }
    return bytes;
}

const char *pd_call_text(struct pd_call *call, uint32_t address, uint32_t size, uint32_t size_max,
                         const char *what)
{
    const uint8_t *bytes = pd_call_bytes(call, address, size, what);
    if (bytes != NULL && size <= size_max && !pd_utf8_is_valid(bytes, size)) {
        (void)pd_call_trap(call, "%s is not valid UTF-8", what);
        return NULL;
    }
    return (const char *)bytes;
}

uint64_t pd_call_deadline_ns(struct pd_call *call, uint64_t timeout_ms)
{
    uint64_t now_ns = pd_host_now_ns(pd_guest_host(call->guest));
    if (timeout_ms >= (PD_TIME_NEVER - now_ns) / NS_PER_MS) {
        return PD_TIME_NEVER;
    }
    return now_ns + timeout_ms * NS_PER_MS;
}

enum pd_call_result pd_call_trap_right(struct pd_call *call, const char *what)
{
    return pd_call_trap_denied(call, "permission denied: %s", what);
}

static enum pd_call_result settle_resume(struct pd_call *call)
{
    return pd_process_must_wait(pd_call_process(call)->process) ? PD_CALL_WAIT : PD_CALL_DONE;
}

enum pd_call_result pd_call_settle(struct pd_call *call, uint64_t pid)
{
    const struct pd_process *process = pd_call_process(call)->process;
    if (!pd_process_must_wait(process) && pid != process->pid) {
        return PD_CALL_DONE;
    }
    call->resume = settle_resume;
    return PD_CALL_WAIT;
}
