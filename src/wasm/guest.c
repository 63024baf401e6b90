#include "wasm/guest.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "wasm/guest_internal.h"

/* More than any guest can use, and far from where sums of it could wrap. */
#define FUEL_UNLIMITED_BUDGET (UINT64_C(1) << 62)
#define MEMORY_BYTES_LIMIT (UINT64_C(4) * 1024 * 1024 * 1024)

enum pd_status pd_machine_init(struct pd_machine *machine, struct pd_host *host,
                               uint64_t yield_interval, void (*wake)(void *process),
                               void (*wake_at)(void *process, uint64_t deadline_ns))
{
    if (yield_interval == 0) {
        return PD_ERR_INVALID;
    }
    machine->host = host;
    machine->yield_interval = yield_interval;
    machine->wake = wake;
    machine->wake_at = wake_at;
    machine->lend = NULL;
    machine->is_lending = NULL;
    pd_job_gate_init(&machine->jobs, host, wake);
    return PD_OK;
}

void pd_machine_set_lending(struct pd_machine *machine, bool (*lend)(void *process),
                            bool (*is_lending)(void))
{
    machine->lend = lend;
    machine->is_lending = is_lending;
}

void pd_machine_deinit(struct pd_machine *machine)
{
    pd_assert(pd_job_gate_is_idle(&machine->jobs));
}

/* --- Making and starting ---------------------------------------------------------------------- */

static void must_not_fail(wasmtime_error_t *error)
{
    /* Fuel is on in every engine of ours, and no interval is 0: there is nothing that could be
     * refused. */
    pd_assert(error == NULL);
}

static void open_store(struct pd_guest *guest, const struct pd_guest_limits *limits)
{
    guest->store = wasmtime_store_new(guest->module->linker->engine->engine, guest, NULL);
    guest->context = wasmtime_store_context(guest->store);
    wasmtime_store_limiter(guest->store, (int64_t)limits->memory_bytes_max,
                           (int64_t)limits->table_elements_max, 1, 1, 1);
    guest->fuel_budget =
        limits->fuel_max == PD_GUEST_FUEL_UNLIMITED || limits->fuel_max > FUEL_UNLIMITED_BUDGET
            ? FUEL_UNLIMITED_BUDGET
            : limits->fuel_max;
    must_not_fail(wasmtime_context_set_fuel(guest->context, guest->fuel_budget));
    must_not_fail(
        wasmtime_context_fuel_async_yield_interval(guest->context, guest->machine->yield_interval));
}

enum pd_status pd_guest_create(struct pd_machine *machine, struct pd_module *module,
                               const struct pd_guest_limits *limits, void *process,
                               struct pd_guest **guest_out)
{
    if (limits->memory_bytes_max > MEMORY_BYTES_LIMIT) {
        return PD_ERR_RANGE;
    }
    if (module->memory_bytes_min > limits->memory_bytes_max) {
        return PD_ERR_NO_MEMORY;
    }
    struct pd_guest *guest = pd_alloc_zeroed(1, sizeof *guest);
    if (guest == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    guest->machine = machine;
    guest->module = pd_module_acquire(module);
    guest->process = process;
    guest->top = &guest->frame;
    guest->frame.call.guest = guest;
    atomic_init(&guest->memory_size, module->memory_bytes_min);
    open_store(guest, limits);
    *guest_out = guest;
    return PD_OK;
}

/* The function with this name and these parameters, and no result; else why not, as the guest's
 * ending. */
static const struct pd_module_export *find_entry(struct pd_guest *guest,
                                                 const struct pd_guest_entry *entry)
{
    static const char start[] = "_start";
    const struct pd_module_export *export =
        pd_module_find(guest->module, entry->function, entry->function_size);
    if (export == NULL) {
        bool is_start = entry->function_size == sizeof start - 1 &&
                        memcmp(entry->function, start, sizeof start - 1) == 0;
        (void)pd_call_trap(&guest->frame.call, "the module exports no function \"%.*s\"%s",
                           (int)(entry->function_size < 200 ? entry->function_size : 200),
                           entry->function,
                           is_start ? ", with which a program begins: build it as a program, or "
                                      "export one"
                                    : "");
        return NULL;
    }
    bool is_same = export->param_count == entry->param_count && export->result_count == 0;
    for (uint32_t i = 0; is_same && i < entry->param_count; i++) {
        is_same = export->params[i] == entry->params[i].kind;
    }
    if (!is_same) {
        (void)pd_call_trap(&guest->frame.call,
                           "function \"%.200s\" takes %u parameters and gives %u results; it was "
                           "started with %u parameters, maybe of other types, and no result",
                           export->name, export->param_count, export->result_count,
                           entry->param_count);
        return NULL;
    }
    return export;
}

enum pd_status pd_guest_start(struct pd_guest *guest, const struct pd_guest_entry *entry)
{
    pd_assert(guest->phase == PD_PHASE_NEW);
    if (entry->param_count > PD_MODULE_PARAMS_MAX) {
        return PD_ERR_INVALID;
    }
    guest->params = guest->params_inline;
    if (entry->param_count > PD_GUEST_INLINE_PARAMS) {
        guest->params = pd_alloc(entry->param_count * sizeof(*guest->params));
        if (guest->params == NULL) {
            return PD_ERR_NO_MEMORY;
        }
    }
    if (entry->param_count > 0) {
        memcpy(guest->params, entry->params, entry->param_count * sizeof(*guest->params));
    }
    guest->param_count = (uint8_t)entry->param_count;
    guest->is_initialized_first = entry->is_initialized_first;
    guest->entry = find_entry(guest, entry);
    guest->phase = PD_PHASE_STARTED;
    return PD_OK;
}

/* --- Running ---------------------------------------------------------------------------------- */

static void end_with(struct pd_guest *guest, enum pd_guest_end end)
{
    guest->end = (uint8_t)end;
    guest->is_end_set = true;
}

/* The future is over with a trap or an error: say what kind of ending that is. */
static void end_badly(struct pd_guest *guest)
{
    if (guest->is_end_set) {
        return; /* a host function's trap, or proc_exit */
    }
    if (guest->trap == NULL) {
        /* Wasmtime could not begin: the memory, the table or the slots that it needs exceed what
         * there is. */
        end_with(guest, PD_GUEST_MEMORY);
        return;
    }
    wasmtime_trap_code_t code = 0;
    (void)wasmtime_trap_code(guest->trap, &code);
    guest->trap_code = code;
    end_with(guest, code == WASMTIME_TRAP_CODE_OUT_OF_FUEL ? PD_GUEST_FUEL : PD_GUEST_TRAP);
}

static void begin_call(struct pd_guest *guest, const struct pd_module_export *export,
                       const wasmtime_val_t *params, size_t param_count)
{
    wasmtime_extern_t found;
    bool is_found = wasmtime_instance_export_get(guest->context, &guest->instance, export->name,
                                                 export->name_size, &found);
    pd_assert(is_found);
    pd_assert(found.kind == WASMTIME_EXTERN_FUNC);
    guest->func = found.of.func;
    guest->future = wasmtime_func_call_async(guest->context, &guest->func, params, param_count,
                                             NULL, 0, &guest->trap, &guest->error);
}

/* The next call of the guest's life. False: there is none, it ended. */
static bool advance(struct pd_guest *guest)
{
    if (guest->trap != NULL || guest->error != NULL) {
        end_badly(guest);
        return false;
    }
    switch ((enum pd_guest_phase)guest->phase) {
    case PD_PHASE_STARTED:
        if (guest->entry == NULL) {
            end_with(guest, PD_GUEST_NO_ENTRY);
            return false;
        }
        guest->phase = PD_PHASE_INSTANTIATING;
        guest->future =
            wasmtime_instance_pre_instantiate_async(guest->module->instance_pre, guest->context,
                                                    &guest->instance, &guest->trap, &guest->error);
        return true;
    case PD_PHASE_INSTANTIATING:
        guest->phase = PD_PHASE_INITIALIZING;
        guest->store_id = guest->instance.store_id;
        if (guest->is_initialized_first) {
            const struct pd_module_export *export =
                pd_module_find(guest->module, "_initialize", strlen("_initialize"));
            if (export != NULL && export != guest->entry && export->param_count == 0 &&
                export->result_count == 0) {
                begin_call(guest, export, NULL, 0);
                return true;
            }
        }
        __attribute__((fallthrough));
    case PD_PHASE_INITIALIZING:
        guest->phase = PD_PHASE_RUNNING;
        begin_call(guest, guest->entry, guest->params, guest->param_count);
        return true;
    case PD_PHASE_RUNNING:
        end_with(guest, PD_GUEST_RETURNED);
        return false;
    case PD_PHASE_NEW:
    case PD_PHASE_ENDED:
        break;
    }
    pd_assert(false);
    return false;
}

/* Let the guest's calls run one after the other until one suspends. True: all are over. */
static bool run(struct pd_guest *guest)
{
    for (;;) {
        if (guest->future == NULL && !advance(guest)) {
            return true;
        }
        if (!wasmtime_call_future_poll(guest->future)) {
            return false;
        }
        wasmtime_call_future_delete(guest->future);
        guest->future = NULL;
    }
}

static enum pd_guest_step step(struct pd_guest *guest)
{
    for (uint32_t deferred = 0;;) {
        struct pd_frame *frame = guest->top;
        if (frame->state == PD_FRAME_DEFERRED) {
            bool is_lent = guest->machine->is_lending != NULL && guest->machine->is_lending();
            if (deferred == PD_GUEST_DEFERRED_PER_STEP || is_lent) {
                return PD_GUEST_YIELDED;
            }
            deferred++;
            pd_guest_run_deferred(frame);
        } else if (frame->state == PD_FRAME_WAITING) {
            pd_guest_run_resume(frame);
        }
        if (frame->state == PD_FRAME_WAITING) {
            return PD_GUEST_WAITING;
        }
        if (run(guest)) {
            return PD_GUEST_EXITED;
        }
        switch ((enum pd_frame_state)guest->top->state) {
        case PD_FRAME_DEFERRED:
            break;
        case PD_FRAME_WAITING:
            return PD_GUEST_WAITING;
        case PD_FRAME_IDLE:
        case PD_FRAME_NESTED:
        case PD_FRAME_DONE:
        case PD_FRAME_TRAPPED:
            return PD_GUEST_YIELDED;
        }
    }
}

/* For whoever looks on. The size of the memory is also noted whenever a host function looks at it,
 * so that only a guest that computes on its own needs it here. */
static void publish(struct pd_guest *guest, enum pd_guest_step result)
{
    uint64_t left = 0;
    must_not_fail(wasmtime_context_get_fuel(guest->context, &left));
    atomic_store_explicit(&guest->fuel_used, guest->fuel_budget - left, memory_order_relaxed);
    if (result != PD_GUEST_WAITING && guest->memory_state == PD_MEMORY_FOUND) {
        atomic_store_explicit(&guest->memory_size,
                              wasmtime_memory_data_size(guest->context, &guest->memory),
                              memory_order_relaxed);
    }
}

enum pd_guest_step pd_guest_step(struct pd_guest *guest)
{
    pd_assert(guest->phase != PD_PHASE_NEW);
    pd_assert(guest->phase != PD_PHASE_ENDED);
    atomic_store_explicit(&guest->waiting_in, NULL, memory_order_relaxed);
    enum pd_guest_step result = step(guest);
    if (guest->is_yield_forced) {
        guest->is_yield_forced = false;
        must_not_fail(wasmtime_context_fuel_async_yield_interval(guest->context,
                                                                 guest->machine->yield_interval));
    }
    publish(guest, result);
    if (result == PD_GUEST_WAITING) {
        atomic_store_explicit(&guest->waiting_in, guest->top->import, memory_order_relaxed);
    } else if (result == PD_GUEST_EXITED) {
        guest->phase = PD_PHASE_ENDED;
    }
    return result;
}

/* The instantiation's future is over. */
static enum pd_guest_made end_making(struct pd_guest *guest)
{
    wasmtime_call_future_delete(guest->future);
    guest->future = NULL;
    if (guest->trap != NULL || guest->error != NULL) {
        end_badly(guest);
        guest->phase = PD_PHASE_ENDED;
        return PD_GUEST_NOT_MADE;
    }
    return PD_GUEST_MADE;
}

enum pd_guest_made pd_guest_make(struct pd_guest *guest)
{
    pd_assert(guest->phase == PD_PHASE_STARTED || guest->phase == PD_PHASE_INSTANTIATING);
    if (guest->entry == NULL) {
        return PD_GUEST_MADE; /* its first step tells */
    }
    if (guest->future == NULL && !advance(guest)) {
        pd_assert(false); /* beginning to instantiate does not end it */
    }
    for (uint32_t deferred = 0; deferred < PD_GUEST_DEFERRED_PER_STEP; deferred++) {
        struct pd_frame *frame = guest->top;
        if (frame->state == PD_FRAME_DEFERRED) {
            pd_guest_run_deferred(frame);
        }
        if (frame->state == PD_FRAME_WAITING) {
            (void)pd_call_trap(&frame->call, "the module's start function waits: it may not");
            guest->phase = PD_PHASE_ENDED;
            return PD_GUEST_NOT_MADE;
        }
        if (wasmtime_call_future_poll(guest->future)) {
            return end_making(guest);
        }
        if (guest->top->state != PD_FRAME_DEFERRED && guest->top->state != PD_FRAME_WAITING) {
            break;
        }
    }
    publish(guest, PD_GUEST_YIELDED);
    return PD_GUEST_MAKING;
}

void pd_guest_destroy(struct pd_guest *guest)
{
    if (guest == NULL) {
        return;
    }
    pd_guest_abandon_calls(guest);
    guest->is_dying = true;
    if (guest->future != NULL) {
        wasmtime_call_future_delete(guest->future);
    }
    if (guest->trap != NULL) {
        wasm_trap_delete(guest->trap);
    }
    if (guest->error != NULL) {
        wasmtime_error_delete(guest->error);
    }
    wasmtime_store_delete(guest->store);
    pd_assert(guest->nested_count == 0);
    pd_module_release(guest->module);
    if (guest->params != guest->params_inline) {
        pd_free(guest->params);
    }
    pd_free(guest->failure);
    pd_free(guest);
}

/* --- For host functions and onlookers --------------------------------------------------------- */

void *pd_guest_process(const struct pd_guest *guest)
{
    return guest->process;
}

struct pd_machine *pd_guest_machine(const struct pd_guest *guest)
{
    return guest->machine;
}

struct pd_module *pd_guest_module(const struct pd_guest *guest)
{
    return guest->module;
}

bool pd_guest_is_instantiated(const struct pd_guest *guest)
{
    return guest->phase > PD_PHASE_INSTANTIATING;
}

void pd_guest_force_yield(struct pd_guest *guest)
{
    if (!guest->is_yield_forced) {
        guest->is_yield_forced = true;
        must_not_fail(wasmtime_context_fuel_async_yield_interval(guest->context, 1));
    }
}

bool pd_guest_is_light(const struct pd_guest *guest)
{
    const struct pd_frame *frame = guest->top;
    return guest->phase == PD_PHASE_RUNNING && frame->state == PD_FRAME_WAITING &&
           frame->import->kind == PD_CALL_ASYNC && frame->blocking == NULL &&
           !frame->call.needs_stack && frame->parent == NULL;
}

void pd_guest_set_tracer(struct pd_guest *guest, pd_guest_tracer tracer)
{
    guest->tracer = tracer;
}

uint64_t pd_guest_fuel_used(const struct pd_guest *guest)
{
    return atomic_load_explicit(&guest->fuel_used, memory_order_relaxed);
}

uint64_t pd_guest_memory_size(const struct pd_guest *guest)
{
    return atomic_load_explicit(&guest->memory_size, memory_order_relaxed);
}

const struct pd_import *pd_guest_waiting_in(const struct pd_guest *guest)
{
    return atomic_load_explicit(&guest->waiting_in, memory_order_relaxed);
}
