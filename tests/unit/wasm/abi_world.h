/* abi_world - what host functions live in, for tests: a real runtime on the deterministic host, one
 * environment, files, metrics. What a guest is stands in abi_fake.h, or in the engine itself. */
#ifndef PD_TEST_ABI_WORLD_H
#define PD_TEST_ABI_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "actor/environment.h"
#include "actor/mailbox.h"
#include "actor/runtime.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "host/files.h"
#include "host/virtual.h"
#include "wasm/metrics.h"
#include "wasm/wasi.h"
#include "wasm/wasm_process.h"

#define WORLD_MEMORY_MAX (1u << 20)
#define WORLD_METRICS_MAX 8u
#define MS UINT64_C(1000000)

struct world {
    struct pd_virtual_host host; /* first */
    uint64_t pass_until_ns;
    struct pd_files *files;
    struct pd_runtime runtime;
    struct pd_environment *environment;
    struct pd_wasm_system system;
    /* Of the last process that ended. */
    uint64_t last_pid;
    enum pd_exit_reason last_reason;
    char last_text[600];
    uint32_t exit_count;
};

static inline void world_exited(void *context, struct pd_process *process)
{
    struct world *world = context;
    world->last_pid = process->pid;
    world->last_reason = process->exit.reason;
    world->exit_count++;
    (void)snprintf(world->last_text, sizeof world->last_text, "%s",
                   pd_exit_text_bytes(process->exit.text));
}

/* Small limits, so that each can be reached. */
static inline struct pd_runtime_config world_config(void)
{
    struct pd_runtime_config config = pd_runtime_config_default();
    config.processes_max = 256;
    config.messages_max = 8;
    config.mailbox_bytes_max = 1u << 18;
    config.message_bytes_max = 1u << 16;
    config.signals_max = 64;
    config.bonds_max = 64;
    config.names_max = 16;
    config.message_timers_max = 16;
    return config;
}

static inline void world_open(struct world *world, const struct pd_runtime_config *config)
{
    memset(world, 0, sizeof *world);
    pd_virtual_host_init(&world->host, 7, NULL);
    struct pd_host *host = pd_virtual_host_interface(&world->host);
    const struct pd_runtime_hooks hooks = {.context = world, .exited = world_exited};
    bool is_open =
        pd_files_create_deterministic(host, &world->files) == PD_OK &&
        pd_runtime_init(&world->runtime, host, config, &hooks) == PD_OK &&
        pd_environment_create(&world->runtime, 1, &world->environment) == PD_OK &&
        pd_metrics_create(WORLD_METRICS_MAX, 1, &world->system.metrics) == PD_OK &&
        pd_machine_init(&world->system.machine, host, 1000, pd_wasm_wake, pd_wasm_wake_at) == PD_OK;
    pd_assert(is_open);
    world->system.runtime = &world->runtime;
    world->system.files = world->files;
    pd_compile_budget_init(&world->system.compile, NULL, NULL, 2, 1u << 20, 1u << 16);
}

/* --- Running ---------------------------------------------------------------------------------- */

struct world_until {
    struct world *world;
    bool (*is_done)(void *context);
    void *context;
};

static inline bool world_is_over(void *context)
{
    const struct world_until *until = context;
    return until->is_done(until->context);
}

static inline bool world_is_later(void *context)
{
    const struct world_until *until = context;
    return until->world->host.now_ns >= until->world->pass_until_ns;
}

/* To the next deadline, but not beyond what world_pass was asked for. */
static inline void world_advance_within(struct pd_host *host, uint64_t now_ns)
{
    const struct world *world = (const struct world *)(const void *)host;
    pd_virtual_host_advance(host, now_ns < world->pass_until_ns ? now_ns : world->pass_until_ns);
}

static inline bool world_never(void *context)
{
    (void)context;
    return false;
}

/* Until `is_done`, or nothing can ever run again. */
static inline bool world_run(struct world *world, bool (*is_done)(void *context), void *context)
{
    struct world_until until = {.world = world, .is_done = is_done, .context = context};
    return pd_runtime_run(&world->runtime, world_is_over, &until, pd_virtual_host_advance);
}

/* Until nothing can ever run again. */
static inline void world_settle(struct world *world)
{
    (void)pd_runtime_run(&world->runtime, world_never, NULL, pd_virtual_host_advance);
}

/* Let this much time pass. */
static inline void world_pass(struct world *world, uint64_t duration_ns)
{
    struct world_until until = {.world = world};
    world->pass_until_ns = world->host.now_ns + duration_ns;
    (void)pd_runtime_run(&world->runtime, world_is_later, &until, world_advance_within);
    pd_virtual_host_advance(&world->host.interface, world->pass_until_ns);
}

/* Kill all that lives, and see that nothing stays behind. */
static inline void world_close(struct world *world)
{
    for (uint64_t pid = 1; pid <= world->environment->pid_last; pid++) {
        enum pd_status status = pd_mailbox_kill(world->environment, pid, PD_EXIT_KILLED, NULL);
        pd_assert(status == PD_OK || status == PD_ERR_UNKNOWN);
    }
    world_settle(world);
    pd_assert(pd_environment_count(world->environment) == 0);
    pd_assert(world->environment->registry.names.count == 0);
    pd_assert(world->environment->registry.owners.count == 0);
    pd_assert(world->environment->registry.waiters.count == 0);
    pd_assert(world->environment->groups.memberships.count == 0);
    pd_environment_destroy(world->environment);
    pd_machine_deinit(&world->system.machine);
    pd_runtime_deinit(&world->runtime);
    pd_metrics_destroy(world->system.metrics);
    pd_files_destroy(world->files);
}

/* --- Processes -------------------------------------------------------------------------------- */

/* Everything is permitted. The caller's reference. */
static inline struct pd_rights *world_rights(struct world *world)
{
    struct pd_rights *rights = pd_rights_create(world->files, WORLD_MEMORY_MAX, 0);
    pd_assert(rights != NULL);
    rights->can_compile = true;
    rights->can_configure = true;
    rights->can_spawn = true;
    return rights;
}

/* A process that has begun to run `function` of the module. */
static inline struct pd_process *world_spawn(struct world *world, struct pd_module *module,
                                             struct pd_rights *rights, const char *function)
{
    const struct pd_wasm_spawn spawn = {
        .environment = world->environment,
        .module = module,
        .rights = rights,
        .entry = {.function = function, .function_size = strlen(function)},
    };
    struct pd_wasm_process *made = NULL;
    enum pd_status status = pd_wasm_process_create(&world->system, &spawn, &made);
    pd_assert(status == PD_OK);
    struct pd_process *process = made->process;
    pd_process_start(process);
    return process;
}

#endif
