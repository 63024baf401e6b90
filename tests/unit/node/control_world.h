/* control_world - a running program with native processes, and one conversation about it without a
 * socket. */
#ifndef PD_TEST_CONTROL_WORLD_H
#define PD_TEST_CONTROL_WORLD_H

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "actor/registry.h"
#include "base/alloc.h"
#include "node/control_session.h"

struct world {
    struct pd_program program;
    struct pd_control_session *session;
    char *answer; /* all lines since the last ask */
    size_t answer_size;
    size_t answer_max;
};

/* Waits for ever. */
static enum pd_resume_result idle_resume(struct pd_process *process, uint32_t *cost_out)
{
    (void)process;
    *cost_out = 1;
    return PD_RESUME_WAIT;
}

static void no_destroy(struct pd_process *process)
{
    (void)process;
}

static const char *no_activity(const struct pd_process *process)
{
    (void)process;
    return NULL;
}

static const struct pd_behavior idle = {
    .name = "idle", .resume = idle_resume, .destroy = no_destroy, .activity = no_activity};

static inline void world_open(struct world *world)
{
    static struct pd_module_message message;
    struct pd_program_config config = pd_program_config_default();
    config.scheduler_count = 2;
    config.processes_max = 256;
    config.cache_folder = "";
    *world = (struct world){.session = NULL};
    assert_int_equal(pd_program_open(&world->program, &config, &message), PD_OK);
    const struct pd_control_target target = {.program = &world->program,
                                             .os_pid = 4711,
                                             .file = "test.wasm",
                                             .began_ns = pd_host_now_ns(world->program.host)};
    world->session = pd_control_session_create(&target);
    assert_non_null(world->session);
}

static inline void world_close(struct world *world)
{
    pd_control_session_destroy(world->session);
    pd_program_close(&world->program);
    free(world->answer);
}

static inline uint64_t world_spawn(struct world *world, const struct pd_behavior *behavior,
                                   uint64_t parent, const char *name)
{
    struct pd_process *process = NULL;
    struct pd_environment *environment = world->program.environment;
    assert_int_equal(pd_process_create(environment, parent, behavior, world, &process), PD_OK);
    uint64_t pid = process->pid;
    pd_process_start(process);
    if (name != NULL) {
        assert_int_equal(pd_registry_put(environment, name, strlen(name), 0, pid, 0, false), PD_OK);
    }
    return pid;
}

/* Take up to `size` bytes of the output, as a client would. */
static inline size_t world_take(struct world *world, size_t size)
{
    const char *bytes = NULL;
    size_t there = pd_control_session_output(world->session, &bytes);
    size = there < size ? there : size;
    if (world->answer_size + size + 1 > world->answer_max) {
        world->answer_max = 2 * (world->answer_size + size + 1); /* answers may be megabytes */
        world->answer = realloc(world->answer, world->answer_max);
        assert_non_null(world->answer);
    }
    memcpy(world->answer + world->answer_size, bytes, size);
    world->answer_size += size;
    world->answer[world->answer_size] = '\0';
    pd_control_session_sent(world->session, size);
    return size;
}

/* Send a text and take all that is said to it. */
static inline const char *world_ask(struct world *world, const char *text)
{
    size_t size = strlen(text);
    world->answer_size = 0;
    do {
        size_t room = pd_control_session_room(world->session);
        size_t piece = size < room ? size : room;
        pd_control_session_feed(world->session, text, piece);
        text += piece;
        size -= piece;
        pd_control_session_work(world->session);
        if (world_take(world, SIZE_MAX) == 0) {
            (void)sched_yield();
        }
    } while ((size > 0 && !pd_control_session_is_over(world->session)) ||
             pd_control_session_wait_ms(world->session) >= 0);
    (void)world_take(world, SIZE_MAX);
    return world->answer;
}

static inline void expect_in(const char *text, const char *wanted)
{
    if (strstr(text, wanted) == NULL) {
        fail_msg("no %s in %s", wanted, text);
    }
}

static inline uint32_t line_count(const char *text)
{
    uint32_t count = 0;
    for (; *text != '\0'; text++) {
        count += *text == '\n' ? 1 : 0;
    }
    return count;
}

#endif
