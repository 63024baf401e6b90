/* supervisor_world - make-believe processes around the supervision state machine, for its
 * scenarios.
 *
 * Role  A scenario feeds events by name and compares what the supervisor wanted done as one text.
 *       Included by each test program once. */
#ifndef PD_TEST_SUPERVISOR_WORLD_H
#define PD_TEST_SUPERVISOR_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "actor/supervisor.h"
#include "base/alloc.h"
#include "base/random.h"

#define MS UINT64_C(1000000)
#define S (1000 * MS)
#define TRACE_SIZE 8192u
#define KINDS 16u

/* --- A world of make-believe processes that executes what the supervisor asks ----------------- */

/* How the children of one id behave. */
struct kind {
    char id[16];
    int failing_spawns; /* so many spawns fail, then they work */
    bool ignores_shutdown;
    bool holds_spawn;  /* does not answer SPAWN by itself */
    bool keeps_living; /* even a kill is answered only by the test */
};

struct world {
    struct pd_supervisor *supervisor;
    uint64_t now_ns;
    uint64_t pid_last;
    struct kind kinds[KINDS];
    uint32_t kind_count;
    struct pd_pid dying[64]; /* told to end, and willing: their exits come next */
    enum pd_exit_reason dying_reason[64];
    uint32_t dying_count;
    struct pd_child_id held; /* a SPAWN without answer */
    char trace[TRACE_SIZE];
    size_t trace_size;
    char last_text[PD_EXIT_TEXT_MAX + 1];
};

static inline void trace(struct world *world, const char *format, ...) PD_PRINTF(2, 3);
static inline void trace(struct world *world, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(world->trace + world->trace_size, TRACE_SIZE - world->trace_size, format,
                         arguments);
    va_end(arguments);
    assert_true(size >= 0 && world->trace_size + (size_t)size < TRACE_SIZE);
    world->trace_size += (size_t)size;
}

static inline struct kind *kind_of(struct world *world, const char *id)
{
    for (uint32_t i = 0; i < world->kind_count; i++) {
        if (strcmp(world->kinds[i].id, id) == 0) {
            return &world->kinds[i];
        }
    }
    assert_true(world->kind_count < KINDS);
    struct kind *kind = &world->kinds[world->kind_count++];
    memset(kind, 0, sizeof *kind);
    snprintf(kind->id, sizeof kind->id, "%s", id);
    return kind;
}

static inline void step(struct world *world, struct pd_supervisor_event event)
{
    event.now_ns = world->now_ns;
    pd_supervisor_step(world->supervisor, &event);
    pd_supervisor_check(world->supervisor);
}

static inline void answer_spawn(struct world *world, struct pd_child_id child)
{
    step(world, (struct pd_supervisor_event){.kind = PD_SUPERVISOR_CHILD_STARTED,
                                             .child = child,
                                             .pid = {++world->pid_last}});
}

static inline void fail_spawn(struct world *world, struct pd_child_id child)
{
    struct pd_exit exit = {PD_EXIT_FAILURE, pd_exit_text_create("no module", 9)};
    step(world, (struct pd_supervisor_event){.kind = PD_SUPERVISOR_CHILD_FAILED,
                                             .child = child,
                                             .status = PD_ERR_INVALID,
                                             .exit = exit});
    pd_exit_text_release(exit.text);
}

static inline void execute_spawn(struct world *world, const struct pd_supervisor_action *action)
{
    struct kind *kind = kind_of(world, action->spec->id);
    trace(world, "spawn %s; ", action->spec->id);
    if (kind->holds_spawn) {
        world->held = action->child;
    } else if (kind->failing_spawns > 0) {
        kind->failing_spawns--;
        fail_spawn(world, action->child);
    } else {
        answer_spawn(world, action->child);
    }
}

static inline void execute_exit_signal(struct world *world,
                                       const struct pd_supervisor_action *action)
{
    const struct kind *kind = kind_of(world, action->spec->id);
    bool is_kill = action->exit.reason == PD_EXIT_KILLED;
    trace(world, "%s %s; ", is_kill ? "kill" : "shutdown", action->spec->id);
    if ((is_kill && !kind->keeps_living) || (!is_kill && !kind->ignores_shutdown)) {
        assert_true(world->dying_count < 64);
        world->dying_reason[world->dying_count] = action->exit.reason;
        world->dying[world->dying_count++] = action->pid;
    }
}

static inline void execute(struct world *world, const struct pd_supervisor_action *action)
{
    static const char *const reports[] = {"restart", "ended", "no-start", "no-stop"};
    const char *id = action->spec == NULL ? "-" : action->spec->id;
    if (action->exit.text != NULL) {
        snprintf(world->last_text, sizeof world->last_text, "%s",
                 pd_exit_text_bytes(action->exit.text));
    }
    switch (action->kind) {
    case PD_SUPERVISOR_SPAWN:
        execute_spawn(world, action);
        return;
    case PD_SUPERVISOR_EXIT_SIGNAL:
        execute_exit_signal(world, action);
        return;
    case PD_SUPERVISOR_REPLY:
        trace(world, "reply %d %s %s; ", (int)action->ref, id, pd_status_text(action->status));
        return;
    case PD_SUPERVISOR_STARTED:
        trace(world, "up; ");
        return;
    case PD_SUPERVISOR_REPORT:
        trace(world, "%s %s", reports[action->report], id);
        if (action->report == PD_REPORT_RESTART) {
            trace(world, " %u/%u", (unsigned)action->restart_count, (unsigned)action->restarts_max);
        }
        trace(world, "; ");
        return;
    case PD_SUPERVISOR_GIVE_UP:
        trace(world, "give up %s; ", id);
        return;
    case PD_SUPERVISOR_STOPPED:
        trace(world, "stopped %s; ", pd_exit_reason_text(action->exit.reason));
        return;
    }
    fail_msg("unknown action %d", (int)action->kind);
}

/* Execute what is to be done, and let those die who were told to, until all is quiet. */
static inline void settle(struct world *world)
{
    struct pd_supervisor_action action;
    for (;;) {
        while (pd_supervisor_next(world->supervisor, &action)) {
            execute(world, &action);
        }
        if (world->dying_count == 0) {
            return;
        }
        struct pd_pid pid = world->dying[0];
        enum pd_exit_reason reason = world->dying_reason[0];
        world->dying_count--;
        memmove(&world->dying[0], &world->dying[1], world->dying_count * sizeof world->dying[0]);
        memmove(&world->dying_reason[0], &world->dying_reason[1],
                world->dying_count * sizeof world->dying_reason[0]);
        step(world, (struct pd_supervisor_event){
                        .kind = PD_SUPERVISOR_CHILD_EXITED, .pid = pid, .exit = {reason, NULL}});
    }
}

static inline void expect(struct world *world, const char *trace_wanted)
{
    assert_string_equal(world->trace, trace_wanted);
    world->trace_size = 0;
    world->trace[0] = '\0';
}

static inline struct pd_child_spec *spec_make(const char *id, enum pd_child_restart restart)
{
    struct pd_child_spec from = {.id = id, .restart = restart, .stop_ms = 100};
    struct pd_child_spec *spec = NULL;
    assert_int_equal(pd_child_spec_create(&from, &spec), PD_OK);
    return spec;
}

static inline void add(struct world *world, struct pd_child_spec *spec)
{
    assert_int_equal(pd_supervisor_add(world->supervisor, spec), PD_OK);
    pd_child_spec_release(spec);
}

static inline struct world *world_make(struct pd_supervisor_config config)
{
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    assert_int_equal(pd_supervisor_create(&config, &world->supervisor), PD_OK);
    return world;
}

static inline struct world *world_of(enum pd_supervisor_strategy strategy)
{
    struct pd_supervisor_config config = pd_supervisor_config_default();
    config.name = "top";
    config.strategy = strategy;
    return world_make(config);
}

/* Permanent children a, b, c that run. */
static inline struct world *world_of_three(enum pd_supervisor_strategy strategy)
{
    struct world *world = world_of(strategy);
    add(world, spec_make("a", PD_CHILD_PERMANENT));
    add(world, spec_make("b", PD_CHILD_PERMANENT));
    add(world, spec_make("c", PD_CHILD_PERMANENT));
    step(world, (struct pd_supervisor_event){.kind = PD_SUPERVISOR_START});
    settle(world);
    expect(world, "spawn a; spawn b; spawn c; up; ");
    return world;
}

static inline void world_free(struct world *world)
{
    pd_supervisor_destroy(world->supervisor);
    free(world);
}

static inline struct pd_pid pid_of(struct world *world, const char *id)
{
    struct pd_supervisor_child child;
    assert_true(pd_supervisor_find_id(world->supervisor, id, &child));
    return child.pid;
}

static inline void die_silently(struct world *world, struct pd_pid pid, enum pd_exit_reason reason,
                                const char *why)
{
    struct pd_exit exit = {reason, why == NULL ? NULL : pd_exit_text_create(why, strlen(why))};
    step(world, (struct pd_supervisor_event){
                    .kind = PD_SUPERVISOR_CHILD_EXITED, .pid = pid, .exit = exit});
    pd_exit_text_release(exit.text);
}

static inline void die(struct world *world, const char *id, enum pd_exit_reason reason)
{
    die_silently(world, pid_of(world, id), reason, NULL);
    settle(world);
}

static inline void stop(struct world *world, bool is_brutal)
{
    step(world, (struct pd_supervisor_event){.kind = PD_SUPERVISOR_STOP,
                                             .exit = {PD_EXIT_SHUTDOWN, NULL},
                                             .is_brutal = is_brutal});
    settle(world);
}

static inline void tick_after(struct world *world, uint64_t ns)
{
    world->now_ns += ns;
    step(world, (struct pd_supervisor_event){.kind = PD_SUPERVISOR_TICK});
    settle(world);
}

/* By id, as a sender would; takes spec. */
static inline void ask_only(struct world *world, enum pd_supervisor_request_kind kind, uint64_t ref,
                            const char *id, struct pd_child_spec *spec)
{
    char *copy = id == NULL ? NULL : pd_alloc_text(id, strlen(id));
    step(world, (struct pd_supervisor_event){
                    .kind = PD_SUPERVISOR_REQUEST,
                    .request = {.kind = kind, .ref = ref, .spec = spec, .id = copy}});
}

static inline void ask(struct world *world, enum pd_supervisor_request_kind kind, uint64_t ref,
                       const char *id, struct pd_child_spec *spec)
{
    ask_only(world, kind, ref, id, spec);
    settle(world);
}

static inline struct pd_child_spec *spec_ready(const char *id, enum pd_child_restart restart)
{
    struct pd_child_spec from = {
        .id = id, .restart = restart, .stop_ms = 100, .needs_ready = true, .ready_ms = 50};
    struct pd_child_spec *spec = NULL;
    assert_int_equal(pd_child_spec_create(&from, &spec), PD_OK);
    return spec;
}

#endif
