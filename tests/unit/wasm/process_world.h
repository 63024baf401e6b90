/* process_world - a whole program on real threads, for tests of guests as processes: what each
 * ended of. */
#ifndef PD_TEST_PROCESS_WORLD_H
#define PD_TEST_PROCESS_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "actor/mailbox.h"
#include "node/program.h"
#include "wasm/wasi.h"

#define ENDED_MAX 4096u
#define LIMIT_S 200

/* Wasmtime handles its traps in a signal handler that allocates; see guest_world.h. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "report_signal_unsafe=0";
}

struct ended {
    atomic_uint count; /* times that this pid ended: 1, or it is a bug */
    enum pd_exit_reason reason;
    char text[256];
    uint64_t memory_size;
    uint64_t slice_count;
};

struct world {
    struct pd_program program;
    struct pd_rights *rights;
    struct pd_module *module;
    struct ended ended[ENDED_MAX]; /* by pid */
};

/* The store that worlds opened from now on have; all of it is allowed. */
static struct pd_kv_port *world_kv;

static inline void world_ended(void *context, struct pd_program *program,
                               struct pd_process *process)
{
    (void)program;
    struct world *world = context;
    if (process->pid < ENDED_MAX) {
        struct ended *ended = &world->ended[process->pid];
        ended->reason = process->exit.reason;
        (void)snprintf(ended->text, sizeof ended->text, "%s",
                       pd_exit_text_bytes(process->exit.text));
        const struct pd_wasm_process *wasm = process->data;
        ended->memory_size = pd_guest_memory_size(wasm->guest);
        ended->slice_count = atomic_load(&process->slice_count);
        atomic_fetch_add(&ended->count, 1);
    }
}

/* `source` is WebAssembly text, or the path of a module. */
static inline struct world *world_open(const char *source, uint32_t messages_max)
{
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    struct pd_module_message message = {.text = ""};
    struct pd_program_config config = pd_program_config_default();
    config.cache_folder = "";
    config.scheduler_count = 2;
    config.processes_max = 2048;
    config.messages_max = messages_max;
    config.kv = world_kv;
    assert_int_equal(pd_program_open(&world->program, &config, &message), PD_OK);
    world->program.exit_hook = world_ended;
    world->program.exit_hook_context = world;
    enum pd_status status =
        source[0] == '('
            ? pd_module_load_text(&world->program.profiles[PD_ENGINE_DENSE].linker, source,
                                  &world->module, &message)
            : pd_program_load(&world->program, PD_ENGINE_DENSE, source, &world->module, &message);
    if (status != PD_OK) {
        print_error("%s\n", message.text);
    }
    assert_int_equal(status, PD_OK);
    world->rights = pd_rights_create(world->program.files, UINT64_C(1) << 20, 0);
    assert_non_null(world->rights);
    world->rights->can_spawn = true;
    if (world_kv != NULL) {
        assert_int_equal(pd_rights_allow_kv(world->rights, "", 0), PD_OK);
    }
    pd_wasi_config_set_stdio(world->rights->wasi, true);
    return world;
}

/* Nothing may be left but what is given back here. */
static inline void world_close(struct world *world)
{
    pd_program_kill_all(&world->program);
    assert_int_equal(pd_environment_count(world->program.environment), 0);
    time_t until = time(NULL) + LIMIT_S;
    while (atomic_load(&world->program.runtime.process_count) > 0) {
        assert_true(time(NULL) < until);
    }
    assert_int_equal(pd_slab_stats(world->program.memories).slots_live, 0);
    assert_int_equal(pd_slab_stats(world->program.stacks).slots_live, 0);
    pd_rights_release(world->rights);
    pd_module_release(world->module);
    pd_program_close(&world->program);
    free(world);
}

static inline uint64_t world_start_with(struct world *world, struct pd_rights *rights,
                                        const char *function, uint64_t param)
{
    const wasmtime_val_t value = {.kind = WASMTIME_I64, .of.i64 = (int64_t)param};
    const struct pd_wasm_spawn spawn = {
        .environment = world->program.environment,
        .module = world->module,
        .rights = rights,
        .entry = {.function = function,
                  .function_size = strlen(function),
                  .params = &value,
                  .param_count = 1},
    };
    struct pd_wasm_process *process = NULL;
    assert_int_equal(pd_wasm_process_create(&world->program.system, &spawn, &process), PD_OK);
    uint64_t pid = process->process->pid;
    pd_process_start(process->process);
    return pid;
}

static inline uint64_t world_start(struct world *world, const char *function, uint64_t param)
{
    return world_start_with(world, world->rights, function, param);
}

static inline void world_pause(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

static inline const struct ended *world_await(struct world *world, uint64_t pid)
{
    assert_true(pid < ENDED_MAX);
    time_t until = time(NULL) + LIMIT_S;
    while (atomic_load(&world->ended[pid].count) == 0) {
        assert_true(time(NULL) < until);
        world_pause();
    }
    assert_int_equal(atomic_load(&world->ended[pid].count), 1);
    return &world->ended[pid];
}

static inline void world_note_activity(struct pd_process *process, void *context)
{
    const char **name = context;
    *name = process->behavior->activity(process);
}

/* Wait until the process waits in the host call `name`. */
static inline void world_await_call(struct world *world, uint64_t pid, const char *name)
{
    time_t until = time(NULL) + LIMIT_S;
    for (;;) {
        struct pd_mailbox_view view;
        const char *activity = NULL;
        if (pd_mailbox_look(world->program.environment, pid, &view, world_note_activity,
                            (void *)&activity) != PD_OK) {
            fail_msg("it did not wait in %s, but ended: %s", name, world_await(world, pid)->text);
        }
        if (activity != NULL && strcmp(activity, name) == 0 && view.run_state == PD_RUN_WAITING) {
            return;
        }
        assert_true(time(NULL) < until);
        world_pause();
    }
}

static inline void world_kill(struct world *world, uint64_t pid)
{
    assert_int_equal(pd_mailbox_kill(world->program.environment, pid, PD_EXIT_KILLED, NULL), PD_OK);
}

#endif
