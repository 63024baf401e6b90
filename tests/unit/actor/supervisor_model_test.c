/* Random lives of a supervisor against what must always hold; again with failing allocations. */
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

#define MODEL_PROCESSES 4096u
#define MODEL_REQUESTS 4096u

/* What the model knows for itself: which processes live, and what was promised. */
struct model {
    struct pd_supervisor *supervisor;
    struct pd_supervisor_config config;
    struct pd_random random;
    uint64_t now_ns;
    uint64_t child_of[MODEL_PROCESSES]; /* by pid; 0: dead, or never was */
    bool is_told[MODEL_PROCESSES];
    bool is_killed[MODEL_PROCESSES];
    uint32_t pid_last;
    uint32_t live_count;
    uint64_t held; /* a child whose SPAWN waits for an answer */
    uint64_t restart_ns[PD_SUPERVISOR_RESTARTS_MAX / 10000 + 8];
    uint32_t restart_count;
    bool is_answered[MODEL_REQUESTS];
    uint32_t request_count;
    uint32_t answer_count;
    bool is_stopping; /* GIVE_UP was given out, or STOP fed */
    bool is_stopped;
    uint32_t stop_position; /* of the child that was stopped last */
};

static uint32_t draw(struct model *model, uint32_t bound)
{
    return (uint32_t)pd_random_below(&model->random, bound);
}

static uint32_t position_of(struct model *model, struct pd_child_id child)
{
    struct pd_supervisor_child at;
    struct pd_child_id id = {0};
    uint32_t position = 1;
    for (; pd_supervisor_child_after(model->supervisor, id, &at); position++) {
        if (at.child.value == child.value) {
            return position;
        }
        id = at.child;
    }
    fail_msg("an action about an unknown child");
    return 0;
}

static void model_step(struct model *model, struct pd_supervisor_event event)
{
    event.now_ns = model->now_ns;
    pd_supervisor_step(model->supervisor, &event);
    pd_supervisor_check(model->supervisor);
}

static void model_answer_spawn(struct model *model, uint64_t child)
{
    if (draw(model, 8) == 0 || model->pid_last + 1 >= MODEL_PROCESSES) {
        model_step(model, (struct pd_supervisor_event){.kind = PD_SUPERVISOR_CHILD_FAILED,
                                                       .child = {child},
                                                       .exit = {PD_EXIT_MEMORY, NULL}});
        return;
    }
    for (uint32_t pid = 1; pid <= model->pid_last; pid++) {
        assert_int_not_equal(model->child_of[pid], child); /* never two incarnations */
    }
    uint32_t pid = ++model->pid_last;
    model->child_of[pid] = child;
    model->live_count++;
    model_step(model, (struct pd_supervisor_event){
                          .kind = PD_SUPERVISOR_CHILD_STARTED, .child = {child}, .pid = {pid}});
}

static void model_exit_signal(struct model *model, const struct pd_supervisor_action *action)
{
    uint64_t pid = action->pid.value;
    assert_true(pid > 0 && pid <= model->pid_last);
    assert_int_equal(model->child_of[pid], action->child.value); /* only the living are told */
    bool is_kill = action->exit.reason == PD_EXIT_KILLED;
    assert_true(is_kill || action->exit.reason == PD_EXIT_SHUTDOWN);
    assert_false(model->is_killed[pid]); /* one kill is enough */
    assert_true(is_kill || !model->is_told[pid]);
    if (!model->is_told[pid] && model->is_stopping) {
        uint32_t position = position_of(model, action->child);
        /* In reverse order, but for a dynamic child whose spawn was on its way. */
        bool is_late = model->config.strategy == PD_DYNAMIC && pid == model->pid_last;
        assert_true(position < model->stop_position || is_late);
        model->stop_position = is_late ? model->stop_position : position;
    }
    model->is_told[pid] = true;
    model->is_killed[pid] = is_kill;
}

static void model_report(struct model *model, const struct pd_supervisor_action *action)
{
    if (action->report != PD_REPORT_RESTART) {
        return;
    }
    uint32_t within = 1;
    for (uint32_t i = 0; i < model->restart_count; i++) {
        within += model->now_ns - model->restart_ns[i] <= model->config.period_ns;
    }
    assert_true(within <= model->config.restarts_max);
    assert_int_equal(action->restart_count, within);
    uint32_t size = sizeof model->restart_ns / sizeof model->restart_ns[0];
    if (model->restart_count == size) {
        memmove(&model->restart_ns[0], &model->restart_ns[1],
                (size - 1) * sizeof model->restart_ns[0]);
        model->restart_count--;
    }
    model->restart_ns[model->restart_count++] = model->now_ns;
}

static void model_execute(struct model *model, const struct pd_supervisor_action *action)
{
    assert_false(model->is_stopped && action->kind != PD_SUPERVISOR_REPLY);
    switch (action->kind) {
    case PD_SUPERVISOR_SPAWN:
        assert_false(model->is_stopping);
        assert_int_equal(model->held, 0);
        if (draw(model, 4) == 0) {
            model->held = action->child.value;
        } else {
            model_answer_spawn(model, action->child.value);
        }
        return;
    case PD_SUPERVISOR_EXIT_SIGNAL:
        model_exit_signal(model, action);
        return;
    case PD_SUPERVISOR_REPLY:
        assert_true(action->ref < model->request_count);
        assert_false(model->is_answered[action->ref]);
        model->is_answered[action->ref] = true;
        model->answer_count++;
        return;
    case PD_SUPERVISOR_REPORT:
        model_report(model, action);
        return;
    case PD_SUPERVISOR_GIVE_UP:
        assert_false(model->is_stopping);
        model->is_stopping = true;
        return;
    case PD_SUPERVISOR_STOPPED:
        assert_int_equal(model->live_count, 0); /* no child is left */
        assert_int_equal(model->held, 0);
        model->is_stopped = true;
        return;
    case PD_SUPERVISOR_STARTED:
        return;
    }
}

static void model_settle(struct model *model)
{
    struct pd_supervisor_action action;
    while (pd_supervisor_next(model->supervisor, &action)) {
        model_execute(model, &action);
        pd_supervisor_check(model->supervisor);
    }
}

static struct pd_child_spec *model_spec(struct model *model)
{
    char id[8];
    snprintf(id, sizeof id, "%c", 'a' + (int)draw(model, 8));
    struct pd_child_spec from = {
        .id = id,
        .restart = (enum pd_child_restart)draw(model, 3),
        .shutdown = (enum pd_child_shutdown)draw(model, 3),
        .stop_ms = draw(model, 300),
        .needs_ready = draw(model, 3) == 0,
        .ready_ms = 1 + draw(model, 300),
        .handles_shutdown = true,
    };
    from.is_significant = from.restart != PD_CHILD_PERMANENT && draw(model, 4) == 0;
    struct pd_child_spec *spec = NULL;
    (void)!pd_child_spec_create(&from, &spec); /* may lack memory: then a request without spec */
    return spec;
}

static uint32_t model_living(struct model *model)
{
    if (model->live_count == 0) {
        return 0;
    }
    uint32_t wanted = draw(model, model->live_count);
    for (uint32_t pid = 1; pid <= model->pid_last; pid++) {
        if (model->child_of[pid] != 0 && wanted-- == 0) {
            return pid;
        }
    }
    return 0;
}

static void model_die(struct model *model, uint32_t pid)
{
    struct pd_exit exit = {(enum pd_exit_reason)draw(model, PD_EXIT_DENIED + 1), NULL};
    if (draw(model, 2) == 0) {
        exit.text = pd_exit_text_create("because", 7);
    }
    if (model->child_of[pid] != 0) {
        model->child_of[pid] = 0;
        model->live_count--;
    }
    model_step(model, (struct pd_supervisor_event){
                          .kind = PD_SUPERVISOR_CHILD_EXITED, .pid = {pid}, .exit = exit});
    pd_exit_text_release(exit.text);
}

static void model_request(struct model *model)
{
    if (model->request_count == MODEL_REQUESTS) {
        return;
    }
    struct pd_supervisor_request request = {
        .kind = (enum pd_supervisor_request_kind)draw(model, 5),
        .ref = model->request_count++,
        .pid = {model_living(model)},
    };
    if (request.kind == PD_SUPERVISOR_START_CHILD ||
        (request.kind == PD_SUPERVISOR_REPLACE_CHILD && draw(model, 2) == 0)) {
        request.spec = model_spec(model);
    }
    if (draw(model, 2) == 0) {
        char id = (char)('a' + (int)draw(model, 8));
        request.pid.value = 0;
        request.id = pd_alloc_text(&id, 1);
    }
    model_step(model,
               (struct pd_supervisor_event){.kind = PD_SUPERVISOR_REQUEST, .request = request});
}

/* `calm`: time passes and what was told to end ends, nothing new happens. */
static void model_event(struct model *model, bool is_calm)
{
    if (model->held != 0 && draw(model, 3) == 0) {
        uint64_t child = model->held;
        model->held = 0;
        model_answer_spawn(model, child);
        return;
    }
    uint32_t pid = model_living(model);
    bool may_die = pid != 0 && (model->is_killed[pid] || (model->is_told[pid] && !is_calm));
    switch (draw(model, is_calm ? 3 : 6)) {
    case 0:
        model->now_ns += draw(model, 400) * MS;
        model_step(model, (struct pd_supervisor_event){.kind = PD_SUPERVISOR_TICK});
        return;
    case 1:
    case 2:
        if (may_die || (pid != 0 && draw(model, is_calm ? 4 : 40) == 0)) {
            model_die(model, pid);
        }
        return;
    case 3:
        model_step(model,
                   (struct pd_supervisor_event){.kind = PD_SUPERVISOR_CHILD_READY, .pid = {pid}});
        return;
    case 4:
        model_request(model);
        return;
    default: /* an echo of some former process */
        if (model->pid_last > 0) {
            uint32_t former = 1 + draw(model, model->pid_last);
            if (model->child_of[former] == 0) {
                model_die(model, former);
            }
        }
        return;
    }
}

static void model_stop(struct model *model, bool is_brutal)
{
    model->is_stopping = true;
    model_step(model, (struct pd_supervisor_event){.kind = PD_SUPERVISOR_STOP,
                                                   .exit = {PD_EXIT_SHUTDOWN, NULL},
                                                   .is_brutal = is_brutal});
}

/* One life from start to STOPPED. */
static void model_run(uint64_t seed, uint64_t fail_nth)
{
    struct model *model = calloc(1, sizeof *model);
    assert_non_null(model);
    pd_random_init(&model->random, seed, "supervisor");
    model->stop_position = UINT32_MAX;
    model->config = pd_supervisor_config_default();
    model->config.strategy = (enum pd_supervisor_strategy)draw(model, 4);
    model->config.auto_shutdown = (enum pd_supervisor_auto_shutdown)draw(model, 3);
    model->config.restarts_max = draw(model, 20);
    model->config.children_max = 1 + draw(model, 10);
    model->config.requests_max = 1 + draw(model, 10);
    model->config.seed = seed;
    pd_alloc_fail_nth(fail_nth);
    if (pd_supervisor_create(&model->config, &model->supervisor) != PD_OK) {
        free(model);
        return;
    }
    for (uint32_t i = draw(model, 5); i > 0; i--) {
        struct pd_child_spec *spec = model_spec(model);
        if (spec != NULL) {
            (void)!pd_supervisor_add(model->supervisor, spec);
            pd_child_spec_release(spec);
        }
    }
    model_step(model, (struct pd_supervisor_event){.kind = PD_SUPERVISOR_START});
    model_settle(model);
    for (uint32_t i = draw(model, 300); i > 0; i--) {
        model_event(model, false);
        model_settle(model);
    }
    if (!model->is_stopped) {
        model_stop(model, draw(model, 4) == 0);
        model_settle(model);
    }
    for (uint32_t i = 0; i < 20000 && !model->is_stopped; i++) {
        if (i == 50 && draw(model, 2) == 0) {
            model_stop(model, true);
        } else {
            model_event(model, true);
        }
        model_settle(model);
    }
    pd_alloc_fail_nth(0);
    assert_true(model->is_stopped); /* liveness: in the end everything is down */
    assert_int_equal(model->answer_count, model->request_count); /* and everyone has an answer */
    pd_supervisor_destroy(model->supervisor);
    free(model);
}

static void random_lives_keep_the_invariants(void **state)
{
    (void)state;
    const char *given = getenv("PD_TEST_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : 1;
    uint64_t last = given != NULL ? seed : 20000;
    for (; seed <= last; seed++) {
        model_run(seed, 0);
    }
}

static void every_nth_allocation_may_fail(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        for (uint64_t nth = 1; nth <= 60; nth++) {
            model_run(seed, nth);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_lives_keep_the_invariants),
        cmocka_unit_test(every_nth_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
