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
static bool fake_is_uninstantiated; /* pd_guest_is_instantiated says false */
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
    return guest->is_over ? PD_GUEST_EXITED : PD_GUEST_WAITING;
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

struct pd_module *pd_module_acquire(struct pd_module *module)
{
    atomic_fetch_add(&module->reference_count, 1);
    return module;
}

void pd_module_release(struct pd_module *module)
{
    if (module != NULL && atomic_fetch_sub(&module->reference_count, 1) == 1) {
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

/* --- Actors ----------------------------------------------------------------------------------- */

struct actor {
    struct world *world;
    struct pd_process *process;
    uint64_t pid;
};

static inline struct actor actor_spawn_with(struct world *world, struct pd_rights *rights)
{
    struct pd_module *module = fake_module();
    struct pd_process *process = world_spawn(world, module, rights, "main");
    pd_module_release(module);
    struct actor actor = {.world = world, .process = process, .pid = process->pid};
    return actor;
}

static inline struct actor actor_spawn(struct world *world)
{
    struct pd_rights *rights = world_rights(world);
    struct actor actor = actor_spawn_with(world, rights);
    pd_rights_release(rights);
    return actor;
}

static inline bool actor_lives(const struct actor *actor)
{
    return pd_mailbox_exists(actor->world->environment, actor->pid);
}

static inline struct pd_wasm_process *actor_wasm(const struct actor *actor)
{
    pd_assert(actor_lives(actor));
    return actor->process->data;
}

static inline struct pd_guest *actor_guest(const struct actor *actor)
{
    return actor_wasm(actor)->guest;
}

static inline uint8_t *actor_memory(const struct actor *actor, uint32_t address)
{
    return actor_guest(actor)->memory + address;
}

/* Write a text to guest memory; returns its length. */
static inline uint32_t actor_put(const struct actor *actor, uint32_t address, const char *text)
{
    size_t size = strlen(text);
    pd_assert(address + size <= FAKE_MEMORY_SIZE);
    memcpy(actor_memory(actor, address), text, size);
    return (uint32_t)size;
}

static inline uint64_t actor_u64(const struct actor *actor, uint32_t address)
{
    return pd_get_u64(actor_memory(actor, address));
}

static inline bool actor_has_attempted(void *context)
{
    const struct actor *actor = context;
    return !actor_lives(actor) || actor_guest(actor)->has_attempted;
}

static inline bool actor_is_done(void *context)
{
    const struct actor *actor = context;
    return !actor_lives(actor) || actor_guest(actor)->state == FAKE_DONE;
}

static inline bool actor_is_waiting(const struct actor *actor)
{
    return actor_lives(actor) && actor_guest(actor)->state == FAKE_WAITING;
}

static inline const struct pd_import *abi_find(const char *module, const char *name)
{
    const struct pd_import_table *tables = NULL;
    size_t count = pd_abi_tables(&tables);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < tables[i].count; j++) {
            const struct pd_import *import = &tables[i].imports[j];
            if (strcmp(import->module, module) == 0 && strcmp(import->name, name) == 0) {
                return import;
            }
        }
    }
    return NULL;
}

/* Have the actor make a call, and run until it did or waits. */
static inline void actor_begin(struct actor *actor, const struct pd_import *import,
                               const uint64_t *arguments, size_t count)
{
    pd_assert(import != NULL && count <= PD_CALL_ARGUMENTS_MAX);
    struct pd_guest *guest = actor_guest(actor);
    pd_assert(guest->state != FAKE_WAITING);
    guest->import = import;
    guest->call = (struct pd_call){.guest = guest};
    if (count > 0) {
        memcpy(guest->call.arguments, arguments, count * sizeof *arguments);
    }
    guest->state = FAKE_ASKED;
    guest->has_attempted = false;
    pd_process_wake(actor->process);
    (void)world_run(actor->world, actor_has_attempted, actor);
}

/* Run until the call is over (or can never be). */
static inline void actor_finish(struct actor *actor)
{
    (void)world_run(actor->world, actor_is_done, actor);
}

static inline uint64_t actor_result(const struct actor *actor)
{
    if (!actor_lives(actor)) {
        print_error("trapped: %s\n", actor->world->last_text);
    }
    assert_true(actor_lives(actor));
    assert_int_equal(actor_guest(actor)->state, FAKE_DONE);
    return actor_guest(actor)->call.result;
}

static inline uint64_t actor_call(struct actor *actor, const char *module, const char *name,
                                  const uint64_t *arguments, size_t count)
{
    actor_begin(actor, abi_find(module, name), arguments, count);
    actor_finish(actor);
    return actor_result(actor);
}

/* The call traps: what it says, and the actor is gone. */
static inline const char *actor_trap(struct actor *actor, const char *module, const char *name,
                                     const uint64_t *arguments, size_t count)
{
    actor_begin(actor, abi_find(module, name), arguments, count);
    actor_finish(actor);
    assert_false(actor_lives(actor));
    assert_int_equal(actor->world->last_pid, actor->pid);
    return actor->world->last_text;
}

/* CALL(&actor, "lunatic::error", "drop", 4): its result. */
#define CALL(actor, module, ...) CALL_(actor, module, __VA_ARGS__, 0)
#define CALL_(actor, module, name, ...)                                                            \
    actor_call(actor, module, name, (const uint64_t[]){__VA_ARGS__},                               \
               sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t) - 1)
#define BEGIN(actor, module, ...) BEGIN_(actor, module, __VA_ARGS__, 0)
#define BEGIN_(actor, module, name, ...)                                                           \
    actor_begin(actor, abi_find(module, name), (const uint64_t[]){__VA_ARGS__},                    \
                sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t) - 1)
#define TRAP(actor, module, ...) TRAP_(actor, module, __VA_ARGS__, 0)
#define TRAP_(actor, module, name, ...)                                                            \
    actor_trap(actor, module, name, (const uint64_t[]){__VA_ARGS__},                               \
               sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t) - 1)

static inline void assert_says(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        print_error("\"%s\" is not in \"%s\"\n", part, text);
    }
    assert_non_null(strstr(text, part));
}

/* A data message in the actor's scratch. */
static inline void actor_create_message(struct actor *actor, uint64_t tag, const char *text)
{
    (void)CALL(actor, "lunatic::message", "create_data", tag, 0);
    uint32_t size = actor_put(actor, 60000, text);
    assert_int_equal(CALL(actor, "lunatic::message", "write_data", 60000, size), size);
}

/* Receive without waiting: 0 data, 9027 nothing. The text is at 61000, its size returned. */
static inline uint32_t actor_receive(struct actor *actor, char *text, size_t text_size)
{
    uint32_t answer = (uint32_t)CALL(actor, "lunatic::message", "receive", 0, 0, 0);
    if (answer != 0) {
        return answer;
    }
    uint32_t size = (uint32_t)CALL(actor, "lunatic::message", "read_data", 61000, 1000);
    assert_true(size < text_size);
    memcpy(text, actor_memory(actor, 61000), size);
    text[size] = '\0';
    return 0;
}

#endif
