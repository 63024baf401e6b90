/* abi_fake - guests without an engine: memory, and one call at a time. Everything else is real.
 *
 * Model    A test asks an actor to call a function; the actor does so when the scheduler runs it,
 *          as a guest would, waits if the function waits, and dies of its traps.
 * Memory   An allocation of exactly the guest's size, so that ASan sees one byte past it.
 * Link     This file defines all of guest.h, module.h and the engine's part of hostcall.h that the
 *          rest calls, so that the linker never takes the engine out of its archive. Duplicate
 *          symbols mean that something new is called: define it here too. */
#ifndef PD_TEST_ABI_FAKE_H
#define PD_TEST_ABI_FAKE_H

#include "abi_world.h"

#define FAKE_MEMORY_SIZE 65536u
#define FAKE_MODULE_BYTES 1000u  /* what one counts on a budget */
#define FAKE_FAR_AT (128u << 20) /* where fake_far lies, for whoever sets it */
#define FAKE_FAR_SIZE (64u << 20)

enum fake_state {
    FAKE_IDLE,
    FAKE_ASKED,
    FAKE_WAITING,
    FAKE_DONE
};

struct pd_guest {
    struct pd_machine *machine;
    struct pd_module *module;
    struct pd_process *process;
    uint8_t *memory;
    const struct pd_import *import;
    struct pd_call call;
    struct pd_blocking *blocking; /* held back: fake_holds_jobs */
    enum fake_state state;
    bool has_attempted;
    bool is_over;
    struct pd_guest_exit exit;
    char failure[PD_GUEST_FAILURE_SIZE];
};

/* --- Knobs and notes of the test -------------------------------------------------------------- */

static bool fake_holds_jobs;        /* jobs never finish: their calls wait for ever */
static uint8_t *fake_far;           /* more memory of every guest; NULL: there is none */
static bool fake_is_uninstantiated; /* pd_guest_is_instantiated says false */
static bool fake_starts_vary;       /* some modules take turns to start, some fail */
static bool fake_catches;           /* a trap ends the call alone, as lunatic::trap::catch has it */
static bool fake_has_caught;        /* it did since this was last cleared */
static uint32_t fake_job_count;

/* What the next nested call finds. */
static struct {
    bool is_missing;
    bool is_ok;
    uint32_t value;
    char name[64];
    uint32_t arguments[PD_GUEST_NESTED_PARAMS_MAX];
    uint32_t count;
} fake_nested;

/* --- guest.h ---------------------------------------------------------------------------------- */

enum pd_status pd_machine_init(struct pd_machine *machine, struct pd_host *host,
                               uint64_t yield_interval, void (*wake)(void *process),
                               void (*wake_at)(void *process, uint64_t deadline_ns))
{
    machine->host = host;
    machine->yield_interval = yield_interval;
    machine->wake = wake;
    machine->wake_at = wake_at;
    return PD_OK;
}

void pd_machine_deinit(struct pd_machine *machine)
{
    machine->host = NULL;
}

enum pd_status pd_guest_create(struct pd_machine *machine, struct pd_module *module,
                               const struct pd_guest_limits *limits, void *process,
                               struct pd_guest **guest_out)
{
    if (limits->memory_bytes_max < FAKE_MEMORY_SIZE) {
        return PD_ERR_NO_MEMORY;
    }
    struct pd_guest *guest = pd_alloc_zeroed(1, sizeof *guest);
    uint8_t *memory = pd_alloc_zeroed(1, FAKE_MEMORY_SIZE);
    if (guest == NULL || memory == NULL) {
        pd_free(guest);
        pd_free(memory);
        return PD_ERR_NO_MEMORY;
    }
    guest->memory = memory;
    guest->machine = machine;
    guest->module = pd_module_acquire(module);
    guest->process = process;
    guest->call.guest = guest;
    *guest_out = guest;
    return PD_OK;
}

enum pd_status pd_guest_start(struct pd_guest *guest, const struct pd_guest_entry *entry)
{
    (void)guest;
    return entry->param_count > PD_MODULE_PARAMS_MAX ? PD_ERR_INVALID : PD_OK;
}

static inline void fake_settle(struct pd_guest *guest, enum pd_call_result result)
{
    guest->has_attempted = true;
    switch (result) {
    case PD_CALL_DONE:
        guest->state = FAKE_DONE;
        guest->machine->wake_at(guest->process, PD_TIME_NEVER);
        break;
    case PD_CALL_WAIT:
        pd_assert(guest->call.resume != NULL || guest->blocking != NULL);
        guest->state = FAKE_WAITING;
        break;
    case PD_CALL_TRAP:
        pd_assert(guest->is_over); /* TRAP is returned through pd_call_trap or pd_call_exit only */
        guest->state = FAKE_DONE;
        break;
    }
}

enum pd_guest_step pd_guest_step(struct pd_guest *guest)
{
    pd_assert(!guest->is_over);
    if (guest->state == FAKE_ASKED) {
        fake_settle(guest, guest->import->function(&guest->call));
    } else if (guest->state == FAKE_WAITING && guest->blocking == NULL) {
        fake_settle(guest, guest->call.resume(&guest->call));
    }
    if (guest->is_over && fake_catches) {
        guest->is_over = false;
        fake_has_caught = true;
    }
    return guest->is_over ? PD_GUEST_EXITED : PD_GUEST_WAITING;
}

enum pd_guest_made pd_guest_make(struct pd_guest *guest)
{
    static uint32_t made_count;
    if (!fake_starts_vary) {
        return PD_GUEST_MADE;
    }
    made_count++;
    if (made_count % 5 == 0) {
        (void)pd_call_trap(&guest->call, "its start function trapped");
        return PD_GUEST_NOT_MADE;
    }
    return made_count % 2 == 0 ? PD_GUEST_MAKING : PD_GUEST_MADE;
}

void pd_guest_destroy(struct pd_guest *guest)
{
    if (guest == NULL) {
        return;
    }
    memset(guest->memory, 0xDD, FAKE_MEMORY_SIZE);
    pd_free(guest->memory); /* at once, as when a slot gets its next owner */
    guest->memory = NULL;
    if (guest->blocking != NULL) {
        guest->blocking->work(guest->blocking); /* a killed guest's job finishes alone */
        guest->blocking->release(guest->blocking);
    }
    if (guest->state == FAKE_WAITING && guest->call.abandon != NULL) {
        guest->call.abandon(&guest->call);
    }
    pd_module_release(guest->module);
    pd_free(guest);
}

struct pd_guest_exit pd_guest_exit(const struct pd_guest *guest)
{
    return guest->exit;
}

size_t pd_guest_exit_text(const struct pd_guest *guest, char *text, size_t text_size)
{
    (void)snprintf(text, text_size, "%s", guest->failure);
    return strlen(text);
}

size_t pd_guest_backtrace_text(const struct pd_guest *guest, char *text, size_t text_size)
{
    (void)guest;
    (void)text_size;
    text[0] = '\0';
    return 0;
}

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
    (void)guest;
    return !fake_is_uninstantiated;
}

bool pd_guest_is_light(const struct pd_guest *guest)
{
    (void)guest;
    return true;
}

void pd_guest_force_yield(struct pd_guest *guest)
{
    (void)guest;
}

void pd_guest_set_tracer(struct pd_guest *guest, pd_guest_tracer tracer)
{
    (void)guest;
    (void)tracer;
}

uint64_t pd_guest_fuel_used(const struct pd_guest *guest)
{
    (void)guest;
    return 12345;
}

uint64_t pd_guest_memory_size(const struct pd_guest *guest)
{
    (void)guest;
    return FAKE_MEMORY_SIZE;
}

const struct pd_import *pd_guest_waiting_in(const struct pd_guest *guest)
{
    return guest->state == FAKE_WAITING ? guest->import : NULL;
}

/* --- The engine's part of hostcall.h ---------------------------------------------------------- */

uint8_t *pd_guest_memory(struct pd_guest *guest, uint32_t address, uint64_t size)
{
    if (fake_far != NULL && address >= FAKE_FAR_AT && address - FAKE_FAR_AT <= FAKE_FAR_SIZE &&
        size <= FAKE_FAR_SIZE - (address - FAKE_FAR_AT)) {
        return fake_far + (address - FAKE_FAR_AT);
    }
    bool is_inside = size <= FAKE_MEMORY_SIZE && address <= FAKE_MEMORY_SIZE - size;
    return is_inside ? guest->memory + address : NULL;
}

struct pd_host *pd_guest_host(struct pd_guest *guest)
{
    return guest->machine->host;
}

static inline enum pd_call_result fake_end(struct pd_call *call, enum pd_guest_end end,
                                           uint32_t exit_code)
{
    call->guest->is_over = true;
    call->guest->exit = (struct pd_guest_exit){.end = end, .exit_code = exit_code};
    return PD_CALL_TRAP;
}

enum pd_call_result pd_call_trap(struct pd_call *call, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(call->guest->failure, sizeof call->guest->failure, format, arguments);
    va_end(arguments);
    return fake_end(call, PD_GUEST_HOST_TRAP, 0);
}

enum pd_call_result pd_call_trap_denied(struct pd_call *call, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(call->guest->failure, sizeof call->guest->failure, format, arguments);
    va_end(arguments);
    return fake_end(call, PD_GUEST_DENIED, 0);
}

const struct pd_import *pd_call_import(struct pd_call *call)
{
    return call->guest->import;
}

enum pd_call_result pd_call_trap_bounds(struct pd_call *call, const char *what)
{
    return pd_call_trap(call, "%s::%s: %s: pointer out of bounds", call->guest->import->module,
                        call->guest->import->name, what);
}

enum pd_call_result pd_call_exit(struct pd_call *call, uint32_t exit_code)
{
    call->guest->failure[0] = '\0';
    return fake_end(call, PD_GUEST_EXIT_CODE, exit_code);
}

enum pd_call_result pd_call_block(struct pd_call *call, struct pd_blocking *self)
{
    fake_job_count++;
    if (fake_holds_jobs) {
        call->guest->blocking = self;
        return PD_CALL_WAIT;
    }
    self->work(self);
    enum pd_call_result result = self->finish(call, self);
    self->release(self);
    return result;
}

enum pd_call_result pd_call_nested(struct pd_call *call, const char *name,
                                   const uint32_t *arguments, uint32_t count,
                                   enum pd_call_result (*finish)(struct pd_call *call, bool is_ok,
                                                                 uint32_t value))
{
    (void)snprintf(fake_nested.name, sizeof fake_nested.name, "%s", name);
    pd_assert(count <= PD_GUEST_NESTED_PARAMS_MAX);
    memcpy(fake_nested.arguments, arguments, count * sizeof *arguments);
    fake_nested.count = count;
    if (fake_nested.is_missing) {
        return pd_call_trap(call, "the module must export %s", name);
    }
    return finish(call, fake_nested.is_ok, fake_nested.value);
}

void pd_call_wake_at(struct pd_call *call, uint64_t deadline_ns)
{
    call->guest->machine->wake_at(call->guest->process, deadline_ns);
}

void pd_call_begin_slice(struct pd_call *call)
{
    (void)call;
}

/* --- module.h --------------------------------------------------------------------------------- */

enum pd_status pd_module_load(struct pd_linker *linker, const struct pd_module_source *source,
                              struct pd_module **module_out, struct pd_module_message *message)
{
    (void)linker;
    if (source->size < 4 || memcmp(source->bytes, "\0asm", 4) != 0) {
        (void)snprintf(message->text, sizeof message->text, "not a module");
        return PD_ERR_INVALID;
    }
    struct pd_module *module = pd_alloc_zeroed(1, sizeof *module);
    if (module == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    atomic_init(&module->reference_count, 1);
    *module_out = module;
    return PD_OK;
}

enum pd_status pd_module_count_on(struct pd_module *module, struct pd_memory_budget *budget)
{
    if (!pd_memory_budget_take(budget, PD_MEMORY_OTHER, FAKE_MODULE_BYTES)) {
        return PD_ERR_NO_MEMORY;
    }
    module->budget = budget;
    return PD_OK;
}

struct pd_module *pd_module_acquire(struct pd_module *module)
{
    atomic_fetch_add(&module->reference_count, 1);
    return module;
}

void pd_module_release(struct pd_module *module)
{
    if (module != NULL && atomic_fetch_sub(&module->reference_count, 1) == 1) {
        if (module->budget != NULL) {
            pd_memory_budget_give(module->budget, FAKE_MODULE_BYTES);
        }
        pd_free(module);
    }
}

const struct pd_module_export *pd_module_find(const struct pd_module *module, const char *name,
                                              size_t name_size)
{
    (void)module;
    (void)name;
    (void)name_size;
    return NULL;
}

static inline struct pd_module *fake_module(void)
{
    static const uint8_t bytes[8] = {0, 'a', 's', 'm', 1, 0, 0, 0};
    const struct pd_module_source source = {.bytes = bytes, .size = sizeof bytes};
    struct pd_module_message message;
    struct pd_module *module = NULL;
    enum pd_status status = pd_module_load(NULL, &source, &module, &message);
    pd_assert(status == PD_OK);
    return module;
}

#endif
