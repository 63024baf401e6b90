/* live_world - an environment with live processes that do nothing, driven by the test's own thread.
 *
 * Model  No scheduler thread runs: the test is the owner of every process. A process waits; when
 *        something wakes it, it stands in the runtime's queue, from where world_take_woken gets it
 *        and lets it wait again. */
#ifndef PD_TEST_ACTOR_LIVE_WORLD_H
#define PD_TEST_ACTOR_LIVE_WORLD_H

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "actor/environment.h"
#include "actor/lifecycle.h"
#include "actor/mailbox.h"
#include "actor/runtime.h"
#include "base/alloc.h"
#include "host/real.h"
#include "support/seed.h"

struct world {
    struct pd_real_host *host;
    struct pd_runtime runtime;
    struct pd_environment *environment;
};

static enum pd_resume_result idle_resume(struct pd_process *process, uint32_t *cost_out)
{
    (void)process;
    *cost_out = 1;
    return PD_RESUME_WAIT;
}

static void idle_destroy(struct pd_process *process)
{
    (void)process;
}

static const struct pd_behavior idle = {
    .name = "idle", .resume = idle_resume, .destroy = idle_destroy};

static inline void world_open(struct world *world, const struct pd_runtime_config *config)
{
    assert_int_equal(pd_real_host_create(1, 16, &world->host), PD_OK);
    struct pd_host *host = pd_real_host_interface(world->host);
    assert_int_equal(pd_runtime_init(&world->runtime, host, config, NULL), PD_OK);
    assert_int_equal(pd_environment_create(&world->runtime, 1, &world->environment), PD_OK);
}

static inline void world_close(struct world *world)
{
    pd_environment_destroy(world->environment);
    pd_runtime_deinit(&world->runtime);
    pd_real_host_destroy(world->host);
}

/* Let a process that is in no queue any more wait. */
static inline void world_settle(struct pd_process *process)
{
    bool is_killed = false;
    assert_null(pd_mailbox_begin(process, &is_killed));
    assert_false(is_killed);
    assert_true(pd_mailbox_settle(process));
}

/* The one that was woken first, or NULL. */
static inline struct pd_process *world_take_woken(struct world *world)
{
    struct pd_process *process = pd_runqueue_take(&world->runtime.injected);
    if (process != NULL) {
        world_settle(process);
    }
    return process;
}

static inline struct pd_process *world_spawn(struct world *world)
{
    struct pd_process *process = NULL;
    assert_int_equal(pd_process_create(world->environment, 0, &idle, NULL, &process), PD_OK);
    pd_process_start(process);
    assert_ptr_equal(world_take_woken(world), process);
    return process;
}

/* It must not be woken at this moment. */
static inline void world_end(struct pd_process *process)
{
    pd_process_set_exit(process, PD_EXIT_NORMAL, NULL, 0);
    pd_lifecycle_end(process);
}

/* Two threads: one speaks of a process, the other ends it. */
struct late {
    struct pd_environment *environment;
    struct pd_process *process;
    uint64_t pid;
    enum pd_status status; /* of the first thread's call */
    pthread_t speaker;
    pthread_t ender;
};

static inline void *late_end(void *argument)
{
    world_end(((struct late *)argument)->process);
    return NULL;
}

/* With the lock held that both need: returns when the speaker has seen the process alive, and the
 * process has left the table. */
static inline void late_start(struct late *late, void *(*speak)(void *argument),
                              bool (*is_marked)(struct pd_process *process))
{
    assert_int_equal(pthread_create(&late->speaker, NULL, speak, late), 0);
    while (!is_marked(late->process)) {
        (void)sched_yield();
    }
    assert_int_equal(pthread_create(&late->ender, NULL, late_end, late), 0);
    while (pd_environment_at(late->environment, late->pid) != NULL) {
        (void)sched_yield();
    }
}

static inline void late_join(struct late *late)
{
    assert_int_equal(pthread_join(late->speaker, NULL), 0);
    assert_int_equal(pthread_join(late->ender, NULL), 0);
}

#endif
