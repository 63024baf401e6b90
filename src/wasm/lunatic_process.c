/* lunatic::process - spawning, signals, configurations and modules (lunatic-abi section 1). */
#include "actor/mailbox.h"
#include "base/alloc.h"
#include "wasm/abi_tables.h"
#include "wasm/spawn_call.h"
#include "wasm/wasi.h"
#include "wasm/wasm_process.h"

#define NO_PERMISSION UINT32_MAX /* -1 */

/* --- Modules ---------------------------------------------------------------------------------- */

static enum pd_call_result compile_finish(struct pd_call *call, struct pd_blocking *blocking)
{
    struct pd_compile_job *job = (struct pd_compile_job *)(void *)blocking;
    struct pd_wasm_process *self = pd_call_process(call);
    uint32_t id_address = pd_call_u32(call, 2);
    if (job->status != PD_OK) {
        return pd_call_error(call, id_address, "%s", job->message.text);
    }
    uint64_t id = 0;
    if (pd_id_table_add(&self->modules, job->module, &id) != PD_OK) {
        return pd_call_error(call, id_address, "too many modules are held: drop some");
    }
    job->module = NULL;
    return pd_call_write_u64(call, id_address, id);
}

static enum pd_call_result compile_module(struct pd_call *call)
{
    struct pd_wasm_process *self = pd_call_process(call);
    if (!self->rights->can_compile) {
        return pd_call_done(call, NO_PERMISSION);
    }
    uint32_t size = pd_call_u32(call, 1);
    const uint8_t *bytes = pd_call_bytes(call, pd_call_u32(call, 0), size, "module");
    if (bytes == NULL) {
        return PD_CALL_TRAP;
    }
    if (pd_guest_memory(call->guest, pd_call_u32(call, 2), sizeof(uint64_t)) == NULL) {
        return pd_call_trap_bounds(call, "id"); /* before a module is made that nobody knows */
    }
    struct pd_compile_job *job = NULL;
    enum pd_status status = pd_compile_job_open(&self->system->compile, bytes, size, &job);
    if (status != PD_OK) {
        const char *why = status == PD_ERR_RANGE  ? "it is larger than modules may be"
                          : status == PD_ERR_FULL ? "too many modules are being compiled: try again"
                                                  : pd_status_text(status);
        return pd_call_error(call, pd_call_u32(call, 2), "cannot compile the module: %s", why);
    }
    job->blocking.finish = compile_finish;
    return pd_call_block(call, &job->blocking);
}

static enum pd_call_result drop_module(struct pd_call *call)
{
    void *module = pd_id_table_take(&pd_call_process(call)->modules, call->arguments[0]);
    if (module == NULL) {
        return pd_call_trap(call, "no module has the id %llu",
                            (unsigned long long)call->arguments[0]);
    }
    pd_module_release(module);
    return PD_CALL_DONE;
}

/* --- Configurations --------------------------------------------------------------------------- */

static enum pd_call_result create_config(struct pd_call *call)
{
    struct pd_wasm_process *self = pd_call_process(call);
    if (!self->rights->can_configure) {
        call->result = UINT64_MAX;
        return PD_CALL_DONE;
    }
    struct pd_rights *rights = pd_rights_create_child(self->system->files, self->rights);
    if (rights == NULL || pd_id_table_add(&self->configs, rights, &call->result) != PD_OK) {
        pd_rights_release(rights);
        return pd_call_trap(call, "no room for another configuration: drop some");
    }
    return PD_CALL_DONE;
}

/* The configuration of argument 0, or NULL after a trap. */
static struct pd_rights *config_of(struct pd_call *call)
{
    struct pd_rights *rights = pd_id_table_get(&pd_call_process(call)->configs, call->arguments[0]);
    if (rights == NULL) {
        (void)pd_call_trap(call, "no configuration has the id %llu",
                           (unsigned long long)call->arguments[0]);
    }
    return rights;
}

struct pd_rights *pd_call_config_for_change(struct pd_call *call)
{
    struct pd_rights *rights = config_of(call);
    if (rights == NULL || atomic_load_explicit(&rights->references, memory_order_relaxed) == 1) {
        return rights;
    }
    /* A process was spawned with it and keeps what it got: go on with a copy. */
    struct pd_rights *copy = pd_rights_copy(rights);
    if (copy == NULL) {
        (void)pd_call_trap(call, "no memory for a configuration");
        return NULL;
    }
    pd_id_table_replace(&pd_call_process(call)->configs, call->arguments[0], copy);
    pd_rights_release(rights);
    return copy;
}

static enum pd_call_result drop_config(struct pd_call *call)
{
    void *rights = pd_id_table_take(&pd_call_process(call)->configs, call->arguments[0]);
    if (rights == NULL) {
        return pd_call_trap(call, "no configuration has the id %llu",
                            (unsigned long long)call->arguments[0]);
    }
    pd_rights_release(rights);
    return PD_CALL_DONE;
}

static enum pd_call_result set_max_memory(struct pd_call *call)
{
    struct pd_rights *rights = pd_call_config_for_change(call);
    if (rights == NULL) {
        return PD_CALL_TRAP;
    }
    uint64_t bytes = call->arguments[1];
    /* Lunatic's default of all that 32 bits address means "no limit of its own". */
    uint64_t limit = pd_call_process(call)->rights->memory_bytes_max;
    if (bytes > limit && bytes < UINT32_MAX) {
        return pd_call_trap_right(call, "a child's memory limit beyond its parent's");
    }
    rights->memory_bytes_max = bytes > limit ? limit : bytes;
    return PD_CALL_DONE;
}

static enum pd_call_result get_max_memory(struct pd_call *call)
{
    const struct pd_rights *rights = config_of(call);
    if (rights == NULL) {
        return PD_CALL_TRAP;
    }
    call->result = rights->memory_bytes_max;
    return PD_CALL_DONE;
}

static enum pd_call_result set_max_fuel(struct pd_call *call)
{
    struct pd_rights *rights = pd_call_config_for_change(call);
    if (rights == NULL) {
        return PD_CALL_TRAP;
    }
    uint64_t portions = call->arguments[1];
    uint64_t limit = pd_call_process(call)->rights->fuel_portions_max;
    if (limit != 0 && (portions == 0 || portions > limit)) {
        return pd_call_trap_right(call, "a child's fuel limit beyond its parent's");
    }
    rights->fuel_portions_max = portions;
    return PD_CALL_DONE;
}

static enum pd_call_result get_max_fuel(struct pd_call *call)
{
    const struct pd_rights *rights = config_of(call);
    if (rights == NULL) {
        return PD_CALL_TRAP;
    }
    call->result = rights->fuel_portions_max;
    return PD_CALL_DONE;
}

/* The permissions are alike but for the field. */
enum permission {
    MAY_COMPILE,
    MAY_CONFIGURE,
    MAY_SPAWN
};

static bool *permission_of(struct pd_rights *rights, enum permission permission)
{
    switch (permission) {
    case MAY_COMPILE:
        return &rights->can_compile;
    case MAY_CONFIGURE:
        return &rights->can_configure;
    case MAY_SPAWN:
        return &rights->can_spawn;
    }
    return &rights->can_spawn;
}

static enum pd_call_result get_permission(struct pd_call *call, enum permission permission)
{
    struct pd_rights *rights = config_of(call);
    return rights == NULL ? PD_CALL_TRAP : pd_call_done(call, *permission_of(rights, permission));
}

static enum pd_call_result set_permission(struct pd_call *call, enum permission permission)
{
    struct pd_rights *rights = pd_call_config_for_change(call);
    if (rights == NULL) {
        return PD_CALL_TRAP;
    }
    bool is_granted = pd_call_u32(call, 1) != 0;
    if (is_granted && !*permission_of(pd_call_process(call)->rights, permission)) {
        return pd_call_trap_right(call, "granting a child a permission that its parent lacks");
    }
    *permission_of(rights, permission) = is_granted;
    return PD_CALL_DONE;
}

static enum pd_call_result get_can_compile(struct pd_call *call)
{
    return get_permission(call, MAY_COMPILE);
}

static enum pd_call_result set_can_compile(struct pd_call *call)
{
    return set_permission(call, MAY_COMPILE);
}

static enum pd_call_result get_can_configure(struct pd_call *call)
{
    return get_permission(call, MAY_CONFIGURE);
}

static enum pd_call_result set_can_configure(struct pd_call *call)
{
    return set_permission(call, MAY_CONFIGURE);
}

static enum pd_call_result get_can_spawn(struct pd_call *call)
{
    return get_permission(call, MAY_SPAWN);
}

static enum pd_call_result set_can_spawn(struct pd_call *call)
{
    return set_permission(call, MAY_SPAWN);
}

/* Spawning runs on the fiber: making a store takes little stack, and instantiation is the child's
 * own first step; suspending for it would cost a tenth of the spawn. */

/* --- Spawning --------------------------------------------------------------------------------- */

static enum pd_call_result spawn_failed(struct pd_call *call, const char *why, uint32_t id_address)
{
    return pd_call_error(call, id_address, "cannot spawn: %s", why);
}

static enum pd_call_result spawn_finish(struct pd_call *call, enum pd_status status, uint64_t pid,
                                        const char *why)
{
    uint32_t id_address = pd_call_u32(call, 7);
    return status == PD_OK ? pd_call_write_u64(call, id_address, pid)
                           : spawn_failed(call, why, id_address);
}

static enum pd_call_result spawn(struct pd_call *call)
{
    const struct pd_spawn_arguments arguments = {
        .config = call->arguments[1],
        .module = call->arguments[2],
        .function = pd_call_u32(call, 3),
        .function_size = pd_call_u32(call, 4),
        .params = pd_call_u32(call, 5),
        .params_size = pd_call_u32(call, 6),
    };
    struct pd_spawn_request request;
    if (!pd_spawn_decode(call, &arguments, &request)) {
        return PD_CALL_TRAP;
    }
    if (pd_guest_memory(call->guest, pd_call_u32(call, 7), sizeof(uint64_t)) == NULL) {
        return pd_call_trap_bounds(call, "id");
    }
    return pd_spawn_run(call, &request, call->arguments[0], spawn_finish);
}

/* get_or_spawn(name, len, link, config, module, fn, fnlen, params, plen, node, id): 0 spawned, 1
 * error, 2 found. */
enum {
    GET_NAME,
    GET_NAME_SIZE,
    GET_LINK,
    GET_CONFIG,
    GET_MODULE,
    GET_FUNCTION,
    GET_FUNCTION_SIZE,
    GET_PARAMS,
    GET_PARAMS_SIZE,
    GET_NODE,
    GET_ID
};

/* The name of the call, looked up anew: the memory may have moved. */
static const char *held_name(struct pd_call *call, uint32_t *size_out)
{
    *size_out = pd_call_u32(call, GET_NAME_SIZE);
    return pd_call_text(call, pd_call_u32(call, GET_NAME), *size_out, PD_NAME_MAX, "name");
}

static enum pd_call_result named_finish(struct pd_call *call, enum pd_status status, uint64_t pid,
                                        const char *why)
{
    struct pd_wasm_process *self = pd_call_process(call);
    struct pd_environment *environment = self->process->environment;
    uint32_t id_address = pd_call_u32(call, GET_ID);
    uint32_t name_size = 0;
    const char *name = held_name(call, &name_size);
    if (name == NULL) {
        return PD_CALL_TRAP;
    }
    if (status != PD_OK) {
        pd_registry_release(environment, name, name_size, self->process->pid);
        return spawn_failed(call, why, id_address);
    }
    status = pd_registry_put(environment, name, name_size, 0, pid, self->process->pid, true);
    if (status != PD_OK && status != PD_ERR_UNKNOWN) { /* unknown: the child ended already */
        /* Without its name it is not what was asked for: it goes at once, and no link tells of
         * it. */
        pd_process_unlink(self->process, pid);
        pd_process_exit_signal(self->process, pid, PD_EXIT_KILLED, NULL);
        pd_registry_release(environment, name, name_size, self->process->pid);
        return pd_call_error(call, id_address, "cannot name the new process: %s",
                             pd_status_text(status));
    }
    enum pd_call_result result = pd_call_write_u64(call, pd_call_u32(call, GET_NODE), 0);
    return result == PD_CALL_DONE ? pd_call_write_u64(call, id_address, pid) : result;
}

static enum pd_call_result spawn_named(struct pd_call *call, const char *name, uint32_t name_size)
{
    struct pd_wasm_process *self = pd_call_process(call);
    const struct pd_spawn_arguments arguments = {
        .config = call->arguments[GET_CONFIG],
        .module = call->arguments[GET_MODULE],
        .function = pd_call_u32(call, GET_FUNCTION),
        .function_size = pd_call_u32(call, GET_FUNCTION_SIZE),
        .params = pd_call_u32(call, GET_PARAMS),
        .params_size = pd_call_u32(call, GET_PARAMS_SIZE),
    };
    struct pd_spawn_request request;
    if (!pd_spawn_decode(call, &arguments, &request)) {
        pd_registry_release(self->process->environment, name, name_size, self->process->pid);
        return PD_CALL_TRAP;
    }
    return pd_spawn_run(call, &request, call->arguments[GET_LINK], named_finish);
}

static enum pd_call_result get_or_spawn(struct pd_call *call)
{
    struct pd_wasm_process *self = pd_call_process(call);
    uint32_t name_size = 0;
    const char *name = held_name(call, &name_size);
    if (name == NULL) {
        return PD_CALL_TRAP;
    }
    /* Before anything is held or spawned. */
    if (pd_guest_memory(call->guest, pd_call_u32(call, GET_NODE), sizeof(uint64_t)) == NULL) {
        return pd_call_trap_bounds(call, "node id");
    }
    if (pd_guest_memory(call->guest, pd_call_u32(call, GET_ID), sizeof(uint64_t)) == NULL) {
        return pd_call_trap_bounds(call, "id");
    }
    uint64_t node = 0;
    uint64_t pid = 0;
    enum pd_status status = PD_OK;
    switch (pd_registry_get(self->process->environment, name, name_size, true, self->process->pid,
                            self->process, &node, &pid, &status)) {
    case PD_REGISTRY_FOUND:
        if (pd_call_write_u64(call, pd_call_u32(call, GET_NODE), node) != PD_CALL_DONE ||
            pd_call_write_u64(call, pd_call_u32(call, GET_ID), pid) != PD_CALL_DONE) {
            return PD_CALL_TRAP;
        }
        return pd_call_done(call, 2);
    case PD_REGISTRY_HELD:
        call->resume = get_or_spawn;
        return PD_CALL_WAIT;
    case PD_REGISTRY_ABSENT:
        break;
    }
    if (status != PD_OK) {
        return pd_call_error(call, pd_call_u32(call, GET_ID), "cannot hold the name: %s",
                             pd_status_text(status));
    }
    return spawn_named(call, name, name_size);
}

/* --- Signals and identity --------------------------------------------------------------------- */

static enum pd_call_result sleep_resume(struct pd_call *call)
{
    bool is_over = pd_host_now_ns(pd_guest_host(call->guest)) >= pd_call_process(call)->deadline_ns;
    return is_over ? PD_CALL_DONE : PD_CALL_WAIT;
}

static enum pd_call_result sleep_ms(struct pd_call *call)
{
    struct pd_wasm_process *self = pd_call_process(call);
    self->deadline_ns = pd_call_deadline_ns(call, call->arguments[0]);
    pd_call_wake_at(call, self->deadline_ns);
    call->resume = sleep_resume;
    return PD_CALL_WAIT;
}

static enum pd_call_result die_when_link_dies(struct pd_call *call)
{
    bool dies = pd_call_u32(call, 0) != 0;
    pd_call_process(call)->process->trapping = dies ? PD_TRAP_NONE : PD_TRAP_FAILURES;
    return PD_CALL_DONE;
}

static enum pd_call_result process_id(struct pd_call *call)
{
    call->result = pd_call_process(call)->process->pid;
    return PD_CALL_DONE;
}

static enum pd_call_result environment_id(struct pd_call *call)
{
    call->result = pd_call_process(call)->process->environment->id;
    return PD_CALL_DONE;
}

static enum pd_call_result bond_failed(struct pd_call *call, enum pd_status status)
{
    return pd_call_trap(call, "cannot link or monitor: %s", pd_status_text(status));
}

static enum pd_call_result link(struct pd_call *call)
{
    struct pd_process *process = pd_call_process(call)->process;
    enum pd_status status = pd_process_link(process, call->arguments[1], call->arguments[0]);
    return status == PD_OK ? pd_call_settle(call, 0) : bond_failed(call, status);
}

static enum pd_call_result unlink(struct pd_call *call)
{
    pd_process_unlink(pd_call_process(call)->process, call->arguments[0]);
    return PD_CALL_DONE;
}

static enum pd_call_result monitor(struct pd_call *call)
{
    struct pd_process *process = pd_call_process(call)->process;
    enum pd_status status = pd_process_monitor(process, call->arguments[0], 0);
    return status == PD_OK ? pd_call_settle(call, 0) : bond_failed(call, status);
}

static enum pd_call_result stop_monitoring(struct pd_call *call)
{
    pd_process_demonitor(pd_call_process(call)->process, call->arguments[0], 0, false);
    return PD_CALL_DONE;
}

static enum pd_call_result kill(struct pd_call *call)
{
    struct pd_process *process = pd_call_process(call)->process;
    pd_process_exit_signal(process, call->arguments[0], PD_EXIT_KILLED, NULL);
    return pd_call_settle(call, call->arguments[0]);
}

static enum pd_call_result exists(struct pd_call *call)
{
    struct pd_process *process = pd_call_process(call)->process;
    return pd_call_done(call, pd_mailbox_exists(process->environment, call->arguments[0]));
}

#define MODULE "lunatic::process"

const struct pd_import pd_lunatic_process_imports[] = {
    {MODULE, "compile_module", "iii->i", PD_CALL_DEFERRED, compile_module},
    {MODULE, "drop_module", "I->", PD_CALL_DEFERRED, drop_module},
    {MODULE, "create_config", "->I", PD_CALL_SYNC, create_config},
    {MODULE, "drop_config", "I->", PD_CALL_DEFERRED, drop_config},
    {MODULE, "config_set_max_memory", "II->", PD_CALL_SYNC, set_max_memory},
    {MODULE, "config_get_max_memory", "I->I", PD_CALL_SYNC, get_max_memory},
    {MODULE, "config_set_max_fuel", "II->", PD_CALL_SYNC, set_max_fuel},
    {MODULE, "config_get_max_fuel", "I->I", PD_CALL_SYNC, get_max_fuel},
    {MODULE, "config_can_compile_modules", "I->i", PD_CALL_SYNC, get_can_compile},
    {MODULE, "config_set_can_compile_modules", "Ii->", PD_CALL_SYNC, set_can_compile},
    {MODULE, "config_can_create_configs", "I->i", PD_CALL_SYNC, get_can_configure},
    {MODULE, "config_set_can_create_configs", "Ii->", PD_CALL_SYNC, set_can_configure},
    {MODULE, "config_can_spawn_processes", "I->i", PD_CALL_SYNC, get_can_spawn},
    {MODULE, "config_set_can_spawn_processes", "Ii->", PD_CALL_SYNC, set_can_spawn},
    {MODULE, "spawn", "IIIiiiii->i", PD_CALL_ASYNC, spawn},
    {MODULE, "get_or_spawn", "iiIIIiiiiii->i", PD_CALL_ASYNC, get_or_spawn},
    {MODULE, "sleep_ms", "I->", PD_CALL_ASYNC, sleep_ms},
    {MODULE, "die_when_link_dies", "i->", PD_CALL_SYNC, die_when_link_dies},
    {MODULE, "process_id", "->I", PD_CALL_SYNC, process_id},
    {MODULE, "environment_id", "->I", PD_CALL_SYNC, environment_id},
    {MODULE, "link", "II->", PD_CALL_ASYNC, link},
    {MODULE, "unlink", "I->", PD_CALL_SYNC, unlink},
    {MODULE, "monitor", "I->", PD_CALL_ASYNC, monitor},
    {MODULE, "stop_monitoring", "I->", PD_CALL_SYNC, stop_monitoring},
    {MODULE, "kill", "I->", PD_CALL_ASYNC, kill},
    {MODULE, "exists", "I->i", PD_CALL_SYNC, exists},
};
const size_t pd_lunatic_process_import_count =
    sizeof pd_lunatic_process_imports / sizeof pd_lunatic_process_imports[0];
