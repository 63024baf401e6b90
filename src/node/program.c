#include "node/program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actor/mailbox.h"
#include "actor/supervisor_process.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "host/certificates.h"

/* Two of them may wait for streams, four run SQL, two wait for its locks, two close the databases
 * of the dead; two are always free for short work. */
#define HELPERS 12u
#define JOBS_MAX 4096u
#define COMPILE_JOBS_MAX 4u
#define COMPILE_BYTES_MAX (UINT64_C(128) << 20)
#define MODULE_BYTES_MAX ((size_t)256 << 20)
#define GUEST_MODULE_BYTES_MAX ((size_t)64 << 20)
#define HOT_SLOTS_MAX 4096u
#define NODE_SLICE_NS UINT64_C(20000000)
#define MESSAGE_SHARE 8u /* an eighth of the guests' budget is for their messages alone */
#define DIRTY_BYTES_MAX (UINT64_C(32) << 20)
#define ADDRESS_SPACE_MAX (UINT64_C(1) << 45)

struct pd_program_config pd_program_config_default(void)
{
    struct pd_runtime_config runtime = pd_runtime_config_default();
    return (struct pd_program_config){
        .yield_interval = PD_GUEST_YIELD_INTERVAL_DEFAULT,
        .processes_max = runtime.processes_max,
        .messages_max = runtime.messages_max,
        .mailbox_bytes_max = runtime.mailbox_bytes_max,
        .guarded_guests_max = 10000,
        .environment_id = 1,
    };
}

static void say(struct pd_module_message *message, const char *text)
{
    (void)snprintf(message->text, sizeof message->text, "%s", text);
}

/* --- Opening, in the order of dependence ------------------------------------------------------ */

static enum pd_status open_host(struct pd_program *program)
{
    if (program->config.is_deterministic) {
        program->trace.hash = program->config.seed;
        pd_virtual_host_init(&program->virtual_host, program->config.seed, &program->trace);
        program->host = pd_virtual_host_interface(&program->virtual_host);
        return pd_files_create_deterministic(program->host, &program->files);
    }
    enum pd_status status = pd_real_host_create(HELPERS, JOBS_MAX, &program->real_host);
    if (status != PD_OK) {
        return status;
    }
    program->host = pd_real_host_interface(program->real_host);
    if (program->config.guest_bytes_max != 0) { /* a node's: its own threads go first */
        pd_real_host_set_low_slice(program->real_host, NODE_SLICE_NS);
    }
    return pd_files_create(&program->files);
}

static enum pd_status open_slabs(struct pd_program *program, uint32_t shards)
{
    struct pd_slab_config config = {
        .kind = PD_SLAB_MEMORY,
        .slot_size_min = (size_t)64 << 10,
        .slot_size_max = (size_t)4 << 30,
        .bytes_max = ADDRESS_SPACE_MAX,
        .slots_max = program->config.processes_max + HOT_SLOTS_MAX,
        .hot_slots_max = HOT_SLOTS_MAX,
        .dirty_bytes_max = DIRTY_BYTES_MAX,
        .shards = shards,
        .finder = PD_PAGES_AUTO,
    };
    enum pd_status status = pd_slab_open(&config, &program->memories);
    if (status != PD_OK) {
        return status;
    }
    config.kind = PD_SLAB_STACK;
    config.slot_size_min = PD_GUEST_STACK_SIZE;
    config.slot_size_max = PD_GUEST_STACK_SIZE;
    config.dirty_bytes_max = 0;
    status = pd_slab_open(&config, &program->stacks);
    if (status == PD_OK) {
        pd_creators_init(&program->creators, program->memories, program->stacks);
        if (program->config.guest_bytes_max != 0) {
            program->creators.budget.bytes_max = program->config.guest_bytes_max;
            program->creators.budget.reserve = program->config.guest_bytes_max / MESSAGE_SHARE;
        }
    }
    return status;
}

static uint64_t read_map_count_max(void)
{
    unsigned long long value = 0;
    FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
    if (file != NULL) {
        if (fscanf(file, "%llu", &value) != 1) {
            value = 0;
        }
        (void)fclose(file);
    }
    return value;
}

static enum pd_status open_profile(struct pd_program *program, enum pd_engine_profile profile)
{
    if (profile == PD_ENGINE_GUARDED && program->config.guest_bytes_max != 0) {
        return PD_ERR_UNSUPPORTED;
    }
    struct pd_profile *opened = &program->profiles[profile];
    struct pd_engine_config config = pd_engine_config_default();
    config.profile = profile;
    config.is_deterministic = program->config.is_deterministic;
    config.memory_creator = &program->creators.memory;
    config.stack_creator = &program->creators.stack;
    config.guests_max = program->config.guarded_guests_max;
    config.memory_bytes_max = PD_MEMORY_BYTES_MAX;
    config.map_count_max = read_map_count_max();
    enum pd_status status = pd_engine_open(&opened->engine, &config);
    if (status != PD_OK) {
        return status;
    }
    status = pd_linker_open(&opened->linker, &opened->engine);
    if (status != PD_OK) {
        pd_engine_close(&opened->engine);
        return status;
    }
    const struct pd_import_table *tables = NULL;
    size_t count = pd_abi_tables(&tables);
    for (size_t i = 0; i < count && status == PD_OK; i++) {
        status = pd_linker_add(&opened->linker, tables[i].imports, tables[i].count);
    }
    if (status == PD_OK) {
        status = pd_linker_seal(&opened->linker);
    }
    if (status != PD_OK) {
        pd_linker_close(&opened->linker);
        pd_engine_close(&opened->engine);
        return status;
    }
    opened->is_open = true;
    return PD_OK;
}

static void process_exited(void *context, struct pd_process *process)
{
    struct pd_program *program = context;
    if (program->exit_hook != NULL) {
        program->exit_hook(program->exit_hook_context, program, process);
    }
    if (process->pid != atomic_load_explicit(&program->main_pid, memory_order_acquire)) {
        return;
    }
    program->main_exit.reason = process->exit.reason;
    program->main_exit.text = pd_exit_text_share(process->exit.text);
    /* A tree whose significant children have ended ends with shutdown: that is its good end. */
    bool is_good = process->exit.reason == PD_EXIT_NORMAL ||
                   (process->exit.reason == PD_EXIT_SHUTDOWN && pd_process_is_supervisor(process));
    program->main_exit_code = is_good ? 0 : 1;
    const struct pd_wasm_process *wasm = pd_process_is_wasm(process) ? process->data : NULL;
    if (wasm != NULL && pd_guest_has_ended(wasm->guest)) { /* not killed */
        struct pd_guest_exit exit = pd_guest_exit(wasm->guest);
        if (exit.end == PD_GUEST_EXIT_CODE) {
            program->main_exit_code = exit.exit_code;
            program->has_main_exit_code = true;
        }
    }
    atomic_store_explicit(&program->is_main_over, true, memory_order_release);
    program->host->ops->event_set(program->host, &program->changed);
}

static void child_supervised(void *context, struct pd_process *supervisor,
                             const struct pd_supervisor_action *action)
{
    struct pd_program *program = context;
    if (program->supervised_hook != NULL) {
        program->supervised_hook(program->exit_hook_context, program, supervisor, action);
    }
}

/* What actors asked of the store leaves in batches: one wake-up of the core for many. */
static void turned(void *context, bool is_last)
{
    const struct pd_program *program = context;
    program->config.kv->ops->flush(program->config.kv, is_last);
}

static enum pd_status open_runtime(struct pd_program *program, uint32_t scheduler_count)
{
    struct pd_runtime_config config = pd_runtime_config_default();
    config.scheduler_count = scheduler_count;
    config.processes_max = program->config.processes_max;
    config.messages_max = program->config.messages_max;
    config.mailbox_bytes_max = program->config.mailbox_bytes_max;
    config.seed = program->config.seed;
    if (config.message_bytes_max > config.mailbox_bytes_max) {
        config.message_bytes_max = (uint32_t)config.mailbox_bytes_max;
    }
    struct pd_runtime_hooks hooks = {
        .context = program, .exited = process_exited, .supervised = child_supervised};
    if (program->config.kv != NULL) {
        hooks.turned = turned;
        program->config.kv->is_flushed = true;
    }
    enum pd_status status = pd_runtime_init(&program->runtime, program->host, &config, &hooks);
    if (status != PD_OK) {
        return status;
    }
    if (program->config.is_deterministic) {
        program->runtime.trace = &program->trace;
    }
    return pd_environment_create(&program->runtime, program->config.environment_id,
                                 &program->environment);
}

static enum pd_status open_system(struct pd_program *program)
{
    struct pd_wasm_system *system = &program->system;
    system->runtime = &program->runtime;
    system->files = program->files;
    system->budget = program->config.guest_bytes_max != 0 ? &program->creators.budget : NULL;
    system->kv = program->config.kv;
    if (system->kv != NULL) {
        system->kv->wake = pd_wasm_wake;
    }
    if (program->sockets != NULL) {
        system->sockets = pd_real_sockets_interface(program->sockets);
        system->sockets->wake = pd_wasm_wake;
        pd_runtime_set_sockets(&program->runtime, system->sockets);
    }
    system->certificates = program->config.is_deterministic ? NULL : pd_real_certificates();
    if (pd_metrics_create(PD_PROGRAM_METRICS_MAX, program->config.seed, &system->metrics) !=
        PD_OK) {
        return PD_ERR_NO_MEMORY;
    }
    pd_compile_budget_init(&system->compile, &program->profiles[PD_ENGINE_DENSE].linker,
                           program->has_cache ? &program->cache : NULL, COMPILE_JOBS_MAX,
                           COMPILE_BYTES_MAX, GUEST_MODULE_BYTES_MAX);
    system->compile.memory = system->budget;
    enum pd_status status =
        pd_machine_init(&system->machine, program->host, program->config.yield_interval,
                        pd_wasm_wake, pd_wasm_wake_at);
    if (status == PD_OK && !program->config.is_deterministic) {
        pd_machine_set_lending(&system->machine, pd_wasm_lend, pd_scheduler_is_lending);
    }
    return status;
}

static void open_cache(struct pd_program *program)
{
    const char *folder = program->config.cache_folder;
    if (folder != NULL && folder[0] == '\0') {
        return;
    }
    /* Without a cache everything works, only slower. */
    program->has_cache =
        pd_cache_open(&program->cache, folder, PD_CACHE_BYTES_MAX_DEFAULT) == PD_OK;
}

enum pd_status pd_program_open(struct pd_program *program, const struct pd_program_config *config,
                               struct pd_module_message *message)
{
    *program = (struct pd_program){.config = *config};
    uint32_t scheduler_count =
        config->scheduler_count != 0 ? config->scheduler_count : pd_real_host_processor_count();
    if (scheduler_count > PD_SCHEDULERS_MAX) {
        scheduler_count = PD_SCHEDULERS_MAX;
    }
    enum pd_status status = open_host(program);
    const char *what = "the host: threads or memory are missing";
    if (status == PD_OK) {
        what = "address space for guests (is the virtual memory of this process limited?)";
        status = open_slabs(program, scheduler_count);
    }
    if (status == PD_OK) {
        what = "the WebAssembly engine";
        open_cache(program);
        status = open_profile(program, PD_ENGINE_DENSE);
    }
    if (status == PD_OK) {
        what = "the actor runtime (check the limits given)";
        status = open_runtime(program, scheduler_count);
    }
    if (status == PD_OK && !config->is_deterministic) {
        status = pd_real_sockets_create(false, &program->sockets);
    }
    if (status == PD_OK) {
        status = open_system(program);
    }
    if (status == PD_OK && !config->is_deterministic) {
        what = "scheduler threads";
        status = pd_runtime_start(&program->runtime);
    }
    if (status != PD_OK) {
        (void)snprintf(message->text, sizeof message->text, "cannot open %s: %s", what,
                       pd_status_text(status));
        pd_program_close(program);
    }
    return status;
}

enum pd_status pd_program_add_environment(struct pd_program *program, uint64_t id,
                                          struct pd_environment **environment_out)
{
    size_t size = (program->other_count + (size_t)1) * sizeof *program->others;
    struct pd_environment **others = pd_realloc(program->others, size);
    if (others == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    program->others = others;
    enum pd_status status = pd_environment_create(&program->runtime, id, environment_out);
    if (status == PD_OK) {
        others[program->other_count++] = *environment_out;
    }
    return status;
}

/* --- Closing ---------------------------------------------------------------------------------- */

static bool is_empty(void *context)
{
    struct pd_program *program = context;
    uint32_t count = pd_environment_count(program->environment);
    for (uint32_t i = 0; i < program->other_count; i++) {
        count += pd_environment_count(program->others[i]);
    }
    return count == 0;
}

void pd_program_kill_environment(struct pd_environment *environment)
{
    pd_environment_close(environment);
    for (uint32_t slot = 0; slot < environment->capacity && pd_environment_count(environment) > 0;
         slot++) {
        struct pd_process *process = pd_environment_at(environment, slot);
        if (process != NULL) {
            /* A recycled structure only means that this pid is gone already. */
            (void)!pd_mailbox_kill(environment, pd_mailbox_pid(process), PD_EXIT_KILLED, NULL);
        }
    }
}

void pd_program_kill_all(struct pd_program *program)
{
    pd_environment_close(program->environment);
    while (!is_empty(program)) {
        pd_program_kill_environment(program->environment);
        for (uint32_t i = 0; i < program->other_count; i++) {
            pd_program_kill_environment(program->others[i]);
        }
        if (program->config.is_deterministic) {
            if (!pd_runtime_run(&program->runtime, is_empty, program, pd_virtual_host_advance)) {
                break;
            }
        } else {
            uint64_t soon_ns = pd_host_now_ns(program->host) + 10000000;
            (void)program->host->ops->event_wait(program->host, &program->runtime.drained, soon_ns);
        }
    }
}

static void close_profile(struct pd_profile *profile)
{
    if (profile->is_open) {
        pd_linker_close(&profile->linker);
        pd_engine_close(&profile->engine);
        profile->is_open = false;
    }
}

void pd_program_close(struct pd_program *program)
{
    if (program->environment != NULL) {
        if (program->runtime.started_count > 0 || program->config.is_deterministic) {
            pd_program_kill_all(program);
        }
        pd_runtime_stop(&program->runtime);
        pd_environment_destroy(program->environment);
        for (uint32_t i = 0; i < program->other_count; i++) {
            pd_environment_destroy(program->others[i]);
        }
        pd_free(program->others);
        if (program->config.kv != NULL) {
            program->config.kv->ops->settle(program->config.kv); /* it wakes processes */
        }
    }
    pd_real_sockets_stop(program->sockets); /* it wakes processes */
    /* Jobs of killed guests end before what they use does. */
    pd_real_host_destroy(program->real_host);
    if (program->system.machine.host != NULL) {
        pd_machine_deinit(&program->system.machine);
    }
    if (program->runtime.schedulers != NULL) {
        pd_runtime_deinit(&program->runtime);
    }
    pd_real_sockets_destroy(program->sockets); /* timers held messages, and those sockets */
    pd_metrics_destroy(program->system.metrics);
    for (int i = 0; i < PD_PROFILE_COUNT; i++) {
        close_profile(&program->profiles[i]);
    }
    if (program->has_cache) {
        pd_cache_close(&program->cache);
    }
    pd_slab_close(program->memories);
    pd_slab_close(program->stacks);
    pd_files_destroy(program->files);
    pd_exit_text_release(program->main_exit.text);
    *program = (struct pd_program){0};
}

/* --- Modules ---------------------------------------------------------------------------------- */

static enum pd_status read_file(const char *path, uint8_t **bytes_out, size_t *size_out,
                                struct pd_module_message *message)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        (void)snprintf(message->text, sizeof message->text, "cannot open %s: %s", path,
                       strerror(errno));
        return PD_ERR_UNKNOWN;
    }
    enum pd_status status = PD_ERR_IO;
    struct stat stat;
    uint8_t *bytes = NULL;
    size_t size = 0;
    if (fstat(descriptor, &stat) != 0 || !S_ISREG(stat.st_mode)) {
        (void)snprintf(message->text, sizeof message->text, "%s is not a file", path);
        goto cleanup;
    }
    if ((uint64_t)stat.st_size > MODULE_BYTES_MAX) {
        status = PD_ERR_RANGE;
        say(message, "the file is larger than modules may be (256 MiB)");
        goto cleanup;
    }
    bytes = pd_alloc((size_t)stat.st_size + 1);
    if (bytes == NULL) {
        status = PD_ERR_NO_MEMORY;
        say(message, "no memory to read the module");
        goto cleanup;
    }
    while (size < (size_t)stat.st_size) {
        ssize_t got = read(descriptor, bytes + size, (size_t)stat.st_size - size);
        if (got <= 0) {
            (void)snprintf(message->text, sizeof message->text, "cannot read %s: %s", path,
                           got == 0 ? "it is shorter than it was" : strerror(errno));
            goto cleanup;
        }
        size += (size_t)got;
    }
    status = PD_OK;
    *bytes_out = bytes;
    *size_out = size;
    bytes = NULL;
cleanup:
    pd_free(bytes);
    (void)close(descriptor);
    return status;
}

enum pd_status pd_program_load(struct pd_program *program, enum pd_engine_profile profile,
                               const char *path, struct pd_module **module_out,
                               struct pd_module_message *message)
{
    if (!program->profiles[profile].is_open) {
        enum pd_status status = open_profile(program, profile);
        if (status != PD_OK) {
            say(message, status == PD_ERR_UNSUPPORTED
                             ? "the guarded profile cannot be used where guests' memory is bounded"
                             : "cannot open the guarded profile: not enough address space");
            return status;
        }
    }
    uint8_t *bytes = NULL;
    size_t size = 0;
    enum pd_status status = read_file(path, &bytes, &size, message);
    if (status != PD_OK) {
        return status;
    }
    struct pd_module_source source = {
        .bytes = bytes,
        .size = size,
        .wasm_bytes_max = MODULE_BYTES_MAX,
        .cache = program->has_cache ? &program->cache : NULL,
    };
    status = pd_module_load(&program->profiles[profile].linker, &source, module_out, message);
    pd_free(bytes);
    if (status == PD_OK) {
        pd_module_set_origin(*module_out, path);
    }
    return status;
}

/* --- Running ---------------------------------------------------------------------------------- */

void pd_program_start_main(struct pd_program *program, struct pd_process *process)
{
    atomic_store_explicit(&program->main_pid, process->pid, memory_order_release);
    pd_process_start(process);
}

static bool is_main_over(void *context)
{
    struct pd_program *program = context;
    return atomic_load_explicit(&program->is_main_over, memory_order_acquire);
}

struct wait {
    struct pd_program *program;
    uint32_t interrupts_seen;
};

static bool is_interrupted(const struct wait *wait)
{
    return atomic_load_explicit(&wait->program->interrupts, memory_order_acquire) >
           wait->interrupts_seen;
}

static bool is_wait_over(void *context)
{
    const struct wait *wait = context;
    return is_main_over(wait->program) || is_interrupted(wait);
}

bool pd_program_wait(struct pd_program *program, uint32_t interrupts_seen, uint64_t deadline_ns)
{
    struct wait wait = {.program = program, .interrupts_seen = interrupts_seen};
    if (program->config.is_deterministic) {
        (void)pd_runtime_run(&program->runtime, is_wait_over, &wait, pd_virtual_host_advance);
        return is_main_over(program);
    }
    while (!is_main_over(program)) {
        if (is_interrupted(&wait)) {
            return false;
        }
        if (!program->host->ops->event_wait(program->host, &program->changed, deadline_ns)) {
            return is_main_over(program);
        }
    }
    return true;
}

void pd_program_interrupt(struct pd_program *program)
{
    atomic_fetch_add_explicit(&program->interrupts, 1, memory_order_acq_rel);
    program->host->ops->event_set(program->host, &program->changed);
}

enum pd_status pd_program_exit_signal(struct pd_program *program, uint64_t pid,
                                      enum pd_exit_reason reason, const char *text)
{
    struct pd_exit_text *shared = text == NULL ? NULL : pd_exit_text_create(text, strlen(text));
    enum pd_status status = PD_ERR_NO_MEMORY;
    struct pd_message *message = reason == PD_EXIT_KILLED ? NULL : pd_message_create(0, 0);
    if (message == NULL) {
        status = pd_mailbox_kill(program->environment, pid, reason, shared);
    } else {
        message->kind = PD_SIGNAL_EXIT;
        message->reason = (uint8_t)reason;
        message->text = pd_exit_text_share(shared);
        status = pd_mailbox_post(program->environment, pid, message);
        if (status != PD_OK) {
            pd_message_destroy(message);
        }
    }
    pd_exit_text_release(shared);
    return status;
}
