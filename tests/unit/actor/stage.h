/* stage - native processes under the deterministic scheduler, led by the test like puppets.
 *
 * Model  Between two stage_run calls nothing runs, and the test acts in a puppet's name: it calls
 *        the functions that are the owner's (pd_process_send, pd_process_link, ...) with
 *        puppet->process. stage_run lets everyone run until nobody has anything to do. A puppet's
 *        own code is puppet->run, or nothing.
 * Bounds STAGE_PUPPETS_MAX puppets in the life of a stage. A puppet outlives its process. */
#ifndef PD_TEST_ACTOR_STAGE_H
#define PD_TEST_ACTOR_STAGE_H

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
#include "actor/lifecycle.h"
#include "actor/mailbox.h"
#include "actor/runtime.h"
#include "base/alloc.h"
#include "host/virtual.h"

#define STAGE_PUPPETS_MAX 512u

struct puppet {
    struct stage *stage;
    struct pd_process *process; /* NULL once it is destroyed */
    uint64_t pid;
    enum pd_resume_result (*run)(struct puppet *puppet);
    void *context;
    uint32_t run_count;
    uint32_t destroy_count;
};

struct stage_death {
    uint64_t pid;
    enum pd_exit_reason reason;
    char text[64];
};

struct stage {
    struct pd_virtual_host host;
    struct pd_trace trace;
    struct pd_runtime runtime;
    struct pd_environment *environment;
    struct puppet *puppets[STAGE_PUPPETS_MAX];
    uint32_t puppet_count;
    struct stage_death deaths[STAGE_PUPPETS_MAX];
    uint32_t death_count;
    uint64_t turns_left; /* until stage_run gives up: endless loops are possible */
};

static enum pd_resume_result puppet_resume(struct pd_process *process, uint32_t *cost_out)
{
    struct puppet *puppet = process->data;
    assert_ptr_equal(puppet->process, process);
    puppet->run_count++;
    *cost_out = 10;
    return puppet->run == NULL ? PD_RESUME_WAIT : puppet->run(puppet);
}

static void puppet_destroy(struct pd_process *process)
{
    struct puppet *puppet = process->data;
    puppet->process = NULL;
    puppet->destroy_count++;
}

static const struct pd_behavior puppet_behavior = {
    .name = "puppet", .resume = puppet_resume, .destroy = puppet_destroy};

static void stage_exited(void *context, struct pd_process *process)
{
    struct stage *stage = context;
    assert_true(stage->death_count < STAGE_PUPPETS_MAX);
    struct stage_death *death = &stage->deaths[stage->death_count++];
    death->pid = process->pid;
    death->reason = process->exit.reason;
    (void)snprintf(death->text, sizeof death->text, "%s", pd_exit_text_bytes(process->exit.text));
}

static inline struct pd_runtime_config stage_config(void)
{
    struct pd_runtime_config config = pd_runtime_config_default();
    config.processes_max = 1024;
    return config;
}

static inline void stage_open(struct stage *stage, const struct pd_runtime_config *config)
{
    memset(stage, 0, sizeof *stage);
    stage->trace.hash = config->seed;
    pd_virtual_host_init(&stage->host, config->seed, &stage->trace);
    const struct pd_runtime_hooks hooks = {.context = stage, .exited = stage_exited};
    assert_int_equal(
        pd_runtime_init(&stage->runtime, pd_virtual_host_interface(&stage->host), config, &hooks),
        PD_OK);
    stage->runtime.trace = &stage->trace;
    assert_int_equal(pd_environment_create(&stage->runtime, 1, &stage->environment), PD_OK);
}

static bool stage_is_over(void *context)
{
    struct stage *stage = context;
    return stage->turns_left-- == 0;
}

/* Let all run, `turns` turns at most. True: nobody has anything to do any more. */
static inline bool stage_run_turns(struct stage *stage, uint64_t turns)
{
    stage->turns_left = turns;
    return !pd_runtime_run(&stage->runtime, stage_is_over, stage, pd_virtual_host_advance);
}

static inline void stage_run(struct stage *stage)
{
    assert_true(stage_run_turns(stage, 1000000));
}

/* A puppet that has not started, or NULL when there is no memory. */
static inline struct puppet *stage_create(struct stage *stage)
{
    assert_true(stage->puppet_count < STAGE_PUPPETS_MAX);
    struct puppet *puppet = calloc(1, sizeof *puppet);
    assert_non_null(puppet);
    puppet->stage = stage;
    if (pd_process_create(stage->environment, 0, &puppet_behavior, puppet, &puppet->process) !=
        PD_OK) {
        free(puppet);
        return NULL;
    }
    puppet->pid = puppet->process->pid;
    stage->puppets[stage->puppet_count++] = puppet;
    return puppet;
}

/* A puppet that waits. */
static inline struct puppet *stage_spawn(struct stage *stage)
{
    struct puppet *puppet = stage_create(stage);
    assert_non_null(puppet);
    pd_process_start(puppet->process);
    stage_run(stage);
    return puppet;
}

static enum pd_resume_result puppet_run_exit(struct puppet *puppet)
{
    (void)puppet;
    return PD_RESUME_EXIT;
}

/* Let it run without cause. */
static inline void puppet_wake(struct puppet *puppet)
{
    pd_process_wake(puppet->process);
}

/* It ends by itself when it runs next. */
static inline void puppet_exit(struct puppet *puppet, enum pd_exit_reason reason, const char *text)
{
    pd_process_set_exit(puppet->process, reason, text, strlen(text));
    puppet->run = puppet_run_exit;
    puppet_wake(puppet);
}

static inline void stage_kill(struct stage *stage, uint64_t pid)
{
    assert_int_equal(pd_mailbox_kill(stage->environment, pid, PD_EXIT_KILLED, NULL), PD_OK);
}

static inline bool puppet_is_alive(const struct puppet *puppet)
{
    return puppet->process != NULL;
}

/* Its next message, whatever it is; NULL: none is here. The caller's. */
static inline struct pd_message *puppet_take(struct puppet *puppet)
{
    (void)pd_process_drain(puppet->process);
    return pd_process_take(puppet->process, NULL, 0);
}

static inline enum pd_status puppet_send(struct puppet *from, uint64_t pid, uint64_t tag)
{
    struct pd_message *message = pd_message_create(tag, 0);
    assert_non_null(message);
    enum pd_status status = pd_process_send_waiting(from->process, pid, message);
    if (status != PD_OK) {
        pd_message_destroy(message);
    }
    return status;
}

/* Its next message is data with this tag. */
static inline void puppet_expect(struct puppet *puppet, uint64_t tag)
{
    struct pd_message *message = puppet_take(puppet);
    assert_non_null(message);
    assert_int_equal(message->kind, PD_MESSAGE_DATA);
    assert_int_equal(message->tag, tag);
    pd_message_destroy(message);
}

/* Its next message is a notice of this death. */
static inline void puppet_expect_notice(struct puppet *puppet, enum pd_message_kind kind,
                                        uint64_t pid, enum pd_exit_reason reason)
{
    struct pd_message *message = puppet_take(puppet);
    assert_non_null(message);
    assert_int_equal(message->kind, kind);
    assert_int_equal(message->pid, pid);
    assert_int_equal(message->reason, reason);
    pd_message_destroy(message);
}

static inline void puppet_expect_nothing(struct puppet *puppet)
{
    assert_null(puppet_take(puppet));
}

static inline const struct stage_death *stage_death_of(const struct stage *stage, uint64_t pid)
{
    const struct stage_death *found = NULL;
    for (uint32_t i = 0; i < stage->death_count; i++) {
        if (stage->deaths[i].pid == pid) {
            assert_null(found); /* nobody dies twice */
            found = &stage->deaths[i];
        }
    }
    return found;
}

static inline void stage_expect_death(const struct stage *stage, uint64_t pid,
                                      enum pd_exit_reason reason)
{
    const struct stage_death *death = stage_death_of(stage, pid);
    assert_non_null(death);
    assert_int_equal(death->reason, reason);
}

/* Kill whoever is left; then nothing may be left. */
static inline void stage_close(struct stage *stage)
{
    for (uint32_t i = 0; i < stage->puppet_count; i++) {
        if (puppet_is_alive(stage->puppets[i])) {
            stage->puppets[i]->run = NULL;
            stage_kill(stage, stage->puppets[i]->pid);
        }
    }
    stage_run(stage);
    assert_int_equal(pd_environment_count(stage->environment), 0);
    assert_int_equal(atomic_load(&stage->runtime.process_count), 0);
    for (uint32_t i = 0; i < stage->puppet_count; i++) {
        assert_int_equal(stage->puppets[i]->destroy_count, 1);
        free(stage->puppets[i]);
    }
    pd_environment_destroy(stage->environment);
    assert_int_equal(stage->runtime.schedulers[0].timers.count, 0);
    pd_runtime_deinit(&stage->runtime);
}

#endif
