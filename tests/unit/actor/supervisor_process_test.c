/* Supervisors as processes, on real scheduler threads, with native children. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "actor/mailbox.h"
#include "actor/runtime.h"
#include "actor/supervisor_process.h"
#include "base/alloc.h"
#include "host/real.h"

#define PATIENCE_S 120
#define LOG_SIZE 65536u

/* --- A runtime that writes down what happens -------------------------------------------------- */

struct fixture {
    struct pd_real_host *host;
    struct pd_runtime runtime;
    struct pd_environment *environment;
    struct pd_supervisor_hooks hooks;
    pthread_mutex_t lock;
    char log[LOG_SIZE];
    size_t log_size;
    struct pd_exit exit_of_root;
    uint64_t root;
    uint64_t pids[256]; /* of the last incarnation, by the first byte of the id */
};

static void note(struct fixture *f, const char *format, ...) PD_PRINTF(2, 3);
static void note(struct fixture *f, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    pthread_mutex_lock(&f->lock);
    int size = vsnprintf(f->log + f->log_size, LOG_SIZE - f->log_size, format, arguments);
    f->log_size += (size_t)size < LOG_SIZE - f->log_size ? (size_t)size : 0;
    pthread_mutex_unlock(&f->lock);
    va_end(arguments);
}

static bool has_noted(struct fixture *f, const char *text)
{
    pthread_mutex_lock(&f->lock);
    bool found = strstr(f->log, text) != NULL;
    pthread_mutex_unlock(&f->lock);
    return found;
}

static void clear_log(struct fixture *f)
{
    pthread_mutex_lock(&f->lock);
    f->log_size = 0;
    memset(f->log, 0, sizeof f->log);
    pthread_mutex_unlock(&f->lock);
}

static void expect_log(struct fixture *f, const char *wanted)
{
    pthread_mutex_lock(&f->lock);
    assert_string_equal(f->log, wanted);
    pthread_mutex_unlock(&f->lock);
}

static void await(struct fixture *f, const char *text)
{
    for (int i = 0; i < PATIENCE_S * 1000; i++) {
        if (has_noted(f, text)) {
            return;
        }
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    fail_msg("waited in vain for '%s'; the log: %s", text, f->log);
}

static void await_nobody(struct fixture *f)
{
    for (int i = 0; i < PATIENCE_S * 1000; i++) {
        if (atomic_load(&f->runtime.process_count) == 0) {
            return;
        }
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    fail_msg("%d processes are left; the log: %s", (int)atomic_load(&f->runtime.process_count),
             f->log);
}

static uint64_t pid_of(struct fixture *f, char id)
{
    pthread_mutex_lock(&f->lock);
    uint64_t pid = f->pids[(unsigned char)id];
    pthread_mutex_unlock(&f->lock);
    return pid;
}

/* --- A native child --------------------------------------------------------------------------- */

struct child {
    struct fixture *f;
    bool is_known;
    bool is_stubborn; /* hears shutdown and stays */
    bool crashes;     /* at once */
    bool is_quick;    /* ends at once */
    char id[64];
};

static void child_hear(struct pd_process *self, const struct pd_message *message)
{
    struct child *child = self->data;
    if (message->kind == PD_MESSAGE_LINK_DIED && message->reason == PD_EXIT_SHUTDOWN) {
        if (!child->is_stubborn) {
            pd_process_set_exit(self, PD_EXIT_SHUTDOWN, "", 0);
        }
    } else if (message->kind == PD_MESSAGE_DATA && message->size == 1) {
        switch (message->data[0]) {
        case 'd':
            pd_process_set_exit(self, PD_EXIT_FAILURE, "told to die", 11);
            break;
        case 'n':
            pd_process_set_exit(self, PD_EXIT_NORMAL, "", 0);
            break;
        case 'r':
            assert_int_equal(pd_supervisor_say_ready(self), PD_OK);
            assert_int_equal(pd_supervisor_say_ready(self), PD_OK);
            break;
        default:
            break;
        }
    }
}

static enum pd_resume_result child_resume(struct pd_process *self, uint32_t *cost_out)
{
    struct child *child = self->data;
    self->trapping = PD_TRAP_ALL;
    *cost_out = 10;
    if (child->crashes) {
        pd_process_set_exit(self, PD_EXIT_FAILURE, "crashed", 7);
    }
    if (child->is_quick) {
        pd_process_set_exit(self, PD_EXIT_NORMAL, "", 0);
    }
    struct pd_message *message;
    while (!self->is_exit_set && (message = pd_process_take(self, NULL, 0)) != NULL) {
        child_hear(self, message);
        pd_message_destroy(message);
    }
    return self->is_exit_set ? PD_RESUME_EXIT : PD_RESUME_WAIT;
}

static void child_destroy(struct pd_process *self)
{
    struct child *child = self->data;
    note(child->f, "-%s ", child->id);
    free(child);
}

static const char *child_activity(const struct pd_process *process)
{
    (void)process;
    return NULL;
}

static const struct pd_behavior child_behavior = {
    .name = "test",
    .resume = child_resume,
    .destroy = child_destroy,
    .activity = child_activity,
};

/* --- Hooks ------------------------------------------------------------------------------------ */

/* A supervisor as a subject: what it is made from. */
struct subtree {
    struct pd_supervisor_config config;
    struct pd_child_spec *specs[8];
    uint32_t spec_count;
};

static void subtree_release(void *subject)
{
    struct subtree *subtree = subject;
    for (uint32_t i = 0; i < subtree->spec_count; i++) {
        pd_child_spec_release(subtree->specs[i]);
    }
    free(subtree);
}

static enum pd_status create(void *context, struct pd_process *supervisor,
                             const struct pd_supervisor_child *child,
                             struct pd_process **process_out, struct pd_exit_text **why_out)
{
    struct fixture *f = context;
    const struct pd_child_spec *spec = child->spec;
    const char *function = spec->function == NULL ? "" : spec->function;
    enum pd_status status;
    if (strcmp(function, "denied") == 0) {
        *why_out = pd_exit_text_create("not allowed", 11);
        return PD_ERR_DENIED;
    }
    if (strcmp(function, "silent") == 0) {
        return PD_ERR_NO_MEMORY;
    }
    if (spec->kind == PD_CHILD_SUPERVISOR) {
        struct subtree *subtree = spec->subject;
        note(f, "+%s ", spec->id);
        status = pd_supervisor_process_create(f->environment, supervisor->pid, &subtree->config,
                                              subtree->specs, subtree->spec_count, NULL, &f->hooks,
                                              process_out);
    } else {
        struct child *data = calloc(1, sizeof *data);
        assert_non_null(data);
        *data = (struct child){
            .f = f,
            .is_stubborn = strcmp(function, "stubborn") == 0,
            .crashes = strcmp(function, "crash") == 0,
            .is_quick = strcmp(function, "quick") == 0,
        };
        snprintf(data->id, sizeof data->id, "%s", spec->id);
        note(f, "+%s%s%.*s ", spec->id, spec->arguments_size > 0 ? ":" : "",
             (int)spec->arguments_size, (const char *)spec->arguments);
        status =
            pd_process_create(f->environment, supervisor->pid, &child_behavior, data, process_out);
        if (status != PD_OK) {
            free(data);
        }
    }
    if (status == PD_OK) {
        pthread_mutex_lock(&f->lock);
        f->pids[(unsigned char)spec->id[0]] = (*process_out)->pid;
        pthread_mutex_unlock(&f->lock);
    }
    return status;
}

static void report(void *context, struct pd_process *supervisor,
                   const struct pd_supervisor_action *action)
{
    struct fixture *f = context;
    const char *name = pd_supervisor_process_name(supervisor);
    const char *id = action->spec == NULL ? "" : action->spec->id;
    switch (action->kind) {
    case PD_SUPERVISOR_STARTED:
        note(f, "%s:up ", name);
        return;
    case PD_SUPERVISOR_STOPPED:
        note(f, "%s:stopped ", name);
        return;
    case PD_SUPERVISOR_GIVE_UP:
        note(f, "%s:give-up(%s) ", name, id);
        return;
    case PD_SUPERVISOR_REPORT:
        note(f, "%s:report%d(%s,%u) ", name, (int)action->report, id,
             (unsigned)action->restart_count);
        return;
    case PD_SUPERVISOR_SPAWN:
    case PD_SUPERVISOR_EXIT_SIGNAL:
    case PD_SUPERVISOR_REPLY:
        break;
    }
    fail_msg("not for the hooks");
}

static void exited(void *context, struct pd_process *process)
{
    struct fixture *f = context;
    if (process->pid == f->root) {
        f->exit_of_root.reason = process->exit.reason;
        f->exit_of_root.text = pd_exit_text_share(process->exit.text);
    }
}

static struct fixture *fixture_make(void)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    pthread_mutex_init(&f->lock, NULL);
    f->hooks = (struct pd_supervisor_hooks){.context = f, .create = create, .report = report};
    assert_int_equal(pd_real_host_create(1, 16, &f->host), PD_OK);
    struct pd_runtime_config config = pd_runtime_config_default();
    config.scheduler_count = 2;
    config.processes_max = 65536;
    struct pd_runtime_hooks hooks = {.context = f, .exited = exited};
    assert_int_equal(pd_runtime_init(&f->runtime, pd_real_host_interface(f->host), &config, &hooks),
                     PD_OK);
    assert_int_equal(pd_environment_create(&f->runtime, 1, &f->environment), PD_OK);
    assert_int_equal(pd_runtime_start(&f->runtime), PD_OK);
    return f;
}

static void fixture_free(struct fixture *f)
{
    await_nobody(f);
    pd_runtime_stop(&f->runtime);
    pd_environment_destroy(f->environment);
    pd_runtime_deinit(&f->runtime);
    pd_real_host_destroy(f->host);
    pd_exit_text_release(f->exit_of_root.text);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

static struct pd_child_spec *worker(const char *id, const char *function,
                                    enum pd_child_restart restart)
{
    struct pd_child_spec from = {.id = id, .function = function, .restart = restart, .stop_ms = 50};
    if (strcmp(function, "ready") == 0) {
        from.needs_ready = true;
        from.ready_ms = 10000;
    }
    struct pd_child_spec *spec = NULL;
    assert_int_equal(pd_child_spec_create(&from, &spec), PD_OK);
    return spec;
}

static struct subtree *subtree_make(const char *name, enum pd_supervisor_strategy strategy)
{
    struct subtree *subtree = calloc(1, sizeof *subtree);
    assert_non_null(subtree);
    subtree->config = pd_supervisor_config_default();
    subtree->config.name = name;
    subtree->config.strategy = strategy;
    return subtree;
}

static void subtree_add(struct subtree *subtree, struct pd_child_spec *spec)
{
    subtree->specs[subtree->spec_count++] = spec;
}

/* Takes the subtree. */
static struct pd_child_spec *supervisor_spec(const char *id, struct subtree *subtree)
{
    struct pd_child_spec from = {
        .id = id,
        .subject = subtree,
        .subject_release = subtree_release,
        .kind = PD_CHILD_SUPERVISOR,
        .shutdown = PD_CHILD_STOP_INFINITY,
        .needs_ready = true,
        .ready_ms = PD_CHILD_NO_TIMEOUT,
    };
    struct pd_child_spec *spec = NULL;
    assert_int_equal(pd_child_spec_create(&from, &spec), PD_OK);
    return spec;
}

/* Takes the subtree. */
static void start_root(struct fixture *f, struct subtree *subtree,
                       struct pd_child_spec *template_spec)
{
    struct pd_process *process = NULL;
    assert_int_equal(pd_supervisor_process_create(f->environment, 0, &subtree->config,
                                                  subtree->specs, subtree->spec_count,
                                                  template_spec, &f->hooks, &process),
                     PD_OK);
    f->root = process->pid;
    pd_process_start(process);
    subtree_release(subtree);
}

static void tell(struct fixture *f, uint64_t pid, char what)
{
    struct pd_message *message = pd_message_create(0, 1);
    assert_non_null(message);
    message->data[0] = (uint8_t)what;
    message->size = 1;
    if (pd_mailbox_post(f->environment, pid, message) != PD_OK) {
        pd_message_destroy(message);
    }
}

static void call(struct fixture *f, struct pd_supervisor_call what)
{
    assert_int_equal(pd_supervisor_call_post(f->environment, f->root, &what, 0, 0), PD_OK);
}

static void stop_root(struct fixture *f)
{
    call(f, (struct pd_supervisor_call){.kind = PD_SUPERVISOR_CALL_STOP});
}

/* --- Scenarios -------------------------------------------------------------------------------- */

static struct subtree *tree_of_two_levels(void)
{
    struct subtree *sub = subtree_make("top/s", PD_ONE_FOR_ONE);
    subtree_add(sub, worker("b", "plain", PD_CHILD_PERMANENT));
    subtree_add(sub, worker("c", "plain", PD_CHILD_PERMANENT));
    struct subtree *top = subtree_make("top", PD_ONE_FOR_ONE);
    subtree_add(top, worker("a", "plain", PD_CHILD_PERMANENT));
    subtree_add(top, supervisor_spec("s", sub));
    subtree_add(top, worker("d", "plain", PD_CHILD_PERMANENT));
    return top;
}

static void a_tree_starts_depth_first_and_stops_in_reverse(void **state)
{
    (void)state;
    struct fixture *f = fixture_make();
    start_root(f, tree_of_two_levels(), NULL);
    await(f, "top:up ");
    expect_log(f, "+a +s +b +c top/s:up +d top:up ");
    clear_log(f);
    stop_root(f);
    await(f, "top:stopped ");
    expect_log(f, "-d -c -b top/s:stopped -a top:stopped ");
    await_nobody(f);
    assert_int_equal(f->exit_of_root.reason, PD_EXIT_SHUTDOWN);
    fixture_free(f);
}

static void a_child_that_dies_is_started_again(void **state)
{
    (void)state;
    struct fixture *f = fixture_make();
    start_root(f, tree_of_two_levels(), NULL);
    await(f, "top:up ");
    uint64_t former = pid_of(f, 'b');
    tell(f, former, 'd');
    await(f, "-b top/s:report0(b,1) +b ");
    assert_int_not_equal(pid_of(f, 'b'), former);
    stop_root(f);
    fixture_free(f);
}

static void escalation_carries_the_chain_to_the_root(void **state)
{
    (void)state;
    struct fixture *f = fixture_make();
    struct subtree *sub = subtree_make("top/s", PD_ONE_FOR_ONE);
    subtree_add(sub, worker("b", "crash", PD_CHILD_PERMANENT));
    sub->config.restarts_max = 1;
    struct subtree *top = subtree_make("top", PD_ONE_FOR_ALL);
    top->config.restarts_max = 1;
    subtree_add(top, worker("a", "plain", PD_CHILD_PERMANENT));
    subtree_add(top, supervisor_spec("s", sub));
    start_root(f, top, NULL);
    await(f, "top:stopped ");
    await_nobody(f);
    assert_int_equal(f->exit_of_root.reason, PD_EXIT_FAILURE);
    assert_string_equal(pd_exit_text_bytes(f->exit_of_root.text),
                        "supervisor top gave up: more than 1 restarts in 5 s\n"
                        "  child s ended with failure: "
                        "supervisor top/s gave up: more than 1 restarts in 5 s\n"
                        "  child b ended with failure: crashed");
    fixture_free(f);
}

static void a_first_child_that_cannot_be_made_fails_the_root(void **state)
{
    (void)state;
    const char *functions[] = {"denied", "silent"};
    const char *texts[] = {"denied: not allowed", "out of memory: out of memory"};
    for (int i = 0; i < 2; i++) {
        struct fixture *f = fixture_make();
        struct subtree *top = subtree_make("top", PD_ONE_FOR_ONE);
        subtree_add(top, worker("a", "plain", PD_CHILD_PERMANENT));
        subtree_add(top, worker("x", functions[i], PD_CHILD_PERMANENT));
        start_root(f, top, NULL);
        await_nobody(f);
        expect_log(f, "+a top:report2(x,0) top:give-up(x) -a top:stopped ");
        assert_int_equal(f->exit_of_root.reason, PD_EXIT_FAILURE);
        assert_non_null(strstr(pd_exit_text_bytes(f->exit_of_root.text), texts[i]));
        fixture_free(f);
    }
}

static void killing_a_supervisor_leaves_no_orphan(void **state)
{
    (void)state;
    struct fixture *f = fixture_make();
    start_root(f, tree_of_two_levels(), NULL);
    await(f, "top:up ");
    assert_int_equal(pd_mailbox_kill(f->environment, f->root, PD_EXIT_KILLED, NULL), PD_OK);
    await_nobody(f);
    assert_int_equal(f->exit_of_root.reason, PD_EXIT_KILLED);
    fixture_free(f);
}

static void a_killed_subtree_is_rebuilt(void **state)
{
    (void)state;
    struct fixture *f = fixture_make();
    start_root(f, tree_of_two_levels(), NULL);
    await(f, "top:up ");
    clear_log(f);
    assert_int_equal(pd_mailbox_kill(f->environment, pid_of(f, 's'), PD_EXIT_KILLED, NULL), PD_OK);
    await(f, "top/s:up ");
    await(f, "-b ");
    await(f, "-c ");
    stop_root(f);
    fixture_free(f);
}

static void a_stubborn_child_is_killed_after_its_timeout(void **state)
{
    (void)state;
    struct fixture *f = fixture_make();
    struct subtree *top = subtree_make("top", PD_ONE_FOR_ONE);
    subtree_add(top, worker("a", "stubborn", PD_CHILD_PERMANENT));
    start_root(f, top, NULL);
    await(f, "top:up ");
    stop_root(f);
    await(f, "top:report3(a,0) -a top:stopped ");
    fixture_free(f);
}

static void an_exit_signal_of_the_operator_stops_in_order(void **state)
{
    (void)state;
    struct fixture *f = fixture_make();
    start_root(f, tree_of_two_levels(), NULL);
    await(f, "top:up ");
    struct pd_message *message = pd_message_create(0, 0);
    assert_non_null(message);
    message->kind = PD_SIGNAL_EXIT;
    message->reason = PD_EXIT_SHUTDOWN;
    assert_int_equal(pd_mailbox_post(f->environment, f->root, message), PD_OK);
    await(f, "-d -c -b top/s:stopped -a top:stopped ");
    fixture_free(f);
}

static void readiness_holds_the_next_child_back(void **state)
{
    (void)state;
    struct fixture *f = fixture_make();
    struct subtree *top = subtree_make("top", PD_ONE_FOR_ONE);
    subtree_add(top, worker("a", "ready", PD_CHILD_PERMANENT));
    subtree_add(top, worker("b", "plain", PD_CHILD_PERMANENT));
    start_root(f, top, NULL);
    await(f, "+a ");
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    assert_false(has_noted(f, "+b "));
    tell(f, pid_of(f, 'a'), 'r');
    await(f, "+b top:up ");
    stop_root(f);
    fixture_free(f);
}

/* --- Calls ------------------------------------------------------------------------------------ */

/* A process that asks the root one thing and notes the answer. */
struct asker {
    struct fixture *f;
    struct pd_supervisor_call call;
    uint64_t ref;
};

static void note_answer(struct asker *asker, const struct pd_message *message)
{
    struct pd_supervisor_answer answer;
    assert_int_equal(pd_supervisor_answer_read(message, &answer), PD_OK);
    note(asker->f, "answer:%s ", pd_status_text(answer.status));
    struct pd_supervisor_counts counts;
    if (asker->call.kind == PD_SUPERVISOR_CALL_COUNT) {
        assert_int_equal(pd_supervisor_counts_read(&answer, &counts), PD_OK);
        note(asker->f, "specs=%u,live=%u ", (unsigned)counts.specs, (unsigned)counts.live);
    }
    uint32_t offset = 0;
    struct pd_supervisor_row row;
    while (asker->call.kind == PD_SUPERVISOR_CALL_LIST &&
           pd_supervisor_row_read(&answer, &offset, &row)) {
        note(asker->f, "[%.*s%s] ", (int)row.id_size, row.id,
             row.state == PD_CHILD_RUNNING ? "" : " down");
    }
    note(asker->f, "end ");
}

static enum pd_resume_result asker_resume(struct pd_process *self, uint32_t *cost_out)
{
    struct asker *asker = self->data;
    *cost_out = 10;
    if (asker->ref == 0) {
        asker->ref = pd_runtime_new_ref(self->environment->runtime);
        self->awaited_ref = asker->ref;
        enum pd_status status = pd_supervisor_call_post(self->environment, asker->f->root,
                                                        &asker->call, self->pid, asker->ref);
        if (status != PD_OK) {
            note(asker->f, "no call: %s end ", pd_status_text(status));
            return PD_RESUME_EXIT;
        }
    }
    struct pd_message *message = pd_process_take_ref(self, asker->ref);
    if (message == NULL) {
        return PD_RESUME_WAIT;
    }
    note_answer(asker, message);
    pd_message_destroy(message);
    return PD_RESUME_EXIT;
}

static void asker_destroy(struct pd_process *self)
{
    free(self->data);
}

static const struct pd_behavior asker_behavior = {
    .name = "asker",
    .resume = asker_resume,
    .destroy = asker_destroy,
    .activity = child_activity,
};

/* Ask, and compare all that was noted until the answer. */
static void ask(struct fixture *f, struct pd_supervisor_call what, const char *log_wanted)
{
    clear_log(f);
    struct asker *asker = calloc(1, sizeof *asker);
    assert_non_null(asker);
    asker->f = f;
    asker->call = what;
    struct pd_process *process = NULL;
    assert_int_equal(pd_process_create(f->environment, 0, &asker_behavior, asker, &process), PD_OK);
    pd_process_start(process);
    await(f, "end ");
    expect_log(f, log_wanted);
}

static void calls_are_answered(void **state)
{
    (void)state;
    struct fixture *f = fixture_make();
    start_root(f, tree_of_two_levels(), NULL);
    await(f, "top:up ");
    struct pd_child_spec *spec = worker("e", "plain", PD_CHILD_TRANSIENT);
    struct pd_supervisor_call start = {.kind = PD_SUPERVISOR_CALL_START, .spec = spec};
    ask(f, start, "+e answer:success end ");
    ask(f, start, "answer:already exists end ");
    pd_child_spec_release(spec);
    struct pd_supervisor_call by_id = {.kind = PD_SUPERVISOR_CALL_STOP_CHILD, .id = "e"};
    ask(f, by_id, "-e answer:success end ");
    ask(f, (struct pd_supervisor_call){.kind = PD_SUPERVISOR_CALL_LIST},
        "answer:success [a] [s] [d] [e down] end ");
    ask(f, (struct pd_supervisor_call){.kind = PD_SUPERVISOR_CALL_COUNT},
        "answer:success specs=4,live=3 end ");
    by_id.kind = PD_SUPERVISOR_CALL_RESTART;
    ask(f, by_id, "+e answer:success end ");
    by_id.kind = PD_SUPERVISOR_CALL_REPLACE;
    ask(f, by_id, "-e +e answer:success end ");
    by_id.kind = PD_SUPERVISOR_CALL_DELETE;
    ask(f, by_id, "answer:already exists end ");
    by_id.id = "nobody";
    ask(f, by_id, "answer:not found end ");
    ask(f, (struct pd_supervisor_call){.kind = PD_SUPERVISOR_CALL_START},
        "answer:invalid end "); /* neither spec nor template */
    ask(f, (struct pd_supervisor_call){.kind = PD_SUPERVISOR_CALL_LIST, .child = {12345}},
        "answer:not found end ");
    spec = worker("x", "denied", PD_CHILD_TRANSIENT);
    start.spec = spec;
    ask(f, start, "answer:permission denied end ");
    pd_child_spec_release(spec);
    stop_root(f);
    fixture_free(f);
}

static void only_supervisors_can_be_called(void **state)
{
    (void)state;
    struct fixture *f = fixture_make();
    start_root(f, tree_of_two_levels(), NULL);
    await(f, "top:up ");
    struct pd_supervisor_call what = {.kind = PD_SUPERVISOR_CALL_COUNT};
    assert_int_equal(pd_supervisor_call_post(f->environment, pid_of(f, 'a'), &what, 0, 0),
                     PD_ERR_UNKNOWN);
    assert_int_equal(pd_supervisor_call_post(f->environment, 60000, &what, 0, 0), PD_ERR_UNKNOWN);
    stop_root(f);
    fixture_free(f);
}

static void forged_messages_change_nothing(void **state)
{
    (void)state;
    struct fixture *f = fixture_make();
    start_root(f, tree_of_two_levels(), NULL);
    await(f, "top:up ");
    for (int kind = PD_SUPERVISOR_CALL_START; kind <= PD_SUPERVISOR_CALL_STOP; kind++) {
        tell(f, f->root, (char)kind);
    }
    struct pd_message *exit = pd_message_create(0, 0); /* a child's exit signal is not its death */
    assert_non_null(exit);
    exit->kind = PD_SIGNAL_EXIT;
    exit->pid = pid_of(f, 'a');
    exit->reason = PD_EXIT_FAILURE;
    assert_int_equal(pd_mailbox_post(f->environment, f->root, exit), PD_OK);
    ask(f, (struct pd_supervisor_call){.kind = PD_SUPERVISOR_CALL_LIST},
        "answer:success [a] [s] [d] end ");
    stop_root(f);
    fixture_free(f);
}

static void a_template_makes_many(void **state)
{
    (void)state;
    struct fixture *f = fixture_make();
    struct subtree *top = subtree_make("top", PD_DYNAMIC);
    top->config.children_max = 5000;
    struct pd_child_spec *spec = worker("w", "plain", PD_CHILD_TEMPORARY);
    start_root(f, top, spec);
    pd_child_spec_release(spec);
    await(f, "top:up ");
    static const uint8_t arguments[] = "seven";
    struct pd_supervisor_call start = {
        .kind = PD_SUPERVISOR_CALL_START, .arguments = arguments, .arguments_size = 5};
    ask(f, start, "+w:seven answer:success end ");
    start.arguments_size = 0;
    for (int i = 1; i < 5000; i++) {
        enum pd_status status;
        while ((status = pd_supervisor_call_post(f->environment, f->root, &start, 0, 0)) ==
               PD_ERR_FULL) {
            nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
        }
        assert_int_equal(status, PD_OK);
    }
    while (atomic_load(&f->runtime.process_count) < 5001) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    ask(f, start, "answer:limit reached end ");
    stop_root(f);
    fixture_free(f);
}

static void a_storm_of_deaths_loses_nobody(void **state)
{
    (void)state;
    struct fixture *f = fixture_make();
    struct subtree *top = subtree_make("top", PD_ONE_FOR_ALL);
    top->config.restarts_max = 100000;
    subtree_add(top, worker("a", "plain", PD_CHILD_PERMANENT));
    subtree_add(top, worker("b", "plain", PD_CHILD_PERMANENT));
    subtree_add(top, worker("c", "plain", PD_CHILD_PERMANENT));
    start_root(f, top, NULL);
    await(f, "top:up ");
    for (int i = 0; i < 2000; i++) {
        tell(f, pid_of(f, (char)('a' + i % 3)), 'd');
        if (i % 7 == 0) {
            (void)!pd_mailbox_kill(f->environment, pid_of(f, (char)('a' + i % 2)), PD_EXIT_KILLED,
                                   NULL);
        }
        if (i % 100 == 0) {
            clear_log(f);
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        }
    }
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    ask(f, (struct pd_supervisor_call){.kind = PD_SUPERVISOR_CALL_LIST},
        "answer:success [a] [b] [c] end ");
    stop_root(f);
    fixture_free(f);
}

static void a_process_that_cannot_be_made_leaks_nothing(void **state)
{
    (void)state;
    struct fixture *f = fixture_make();
    struct pd_child_spec *specs[] = {worker("a", "plain", PD_CHILD_PERMANENT),
                                     worker("a", "plain", PD_CHILD_PERMANENT)};
    struct pd_supervisor_config config = pd_supervisor_config_default();
    struct pd_process *process = NULL;
    assert_int_equal(pd_supervisor_process_create(f->environment, 0, &config, specs, 2, NULL,
                                                  &f->hooks, &process),
                     PD_ERR_EXISTS);
    config.children_max = 1;
    assert_int_equal(pd_supervisor_process_create(f->environment, 0, &config, specs + 1, 1, NULL,
                                                  &f->hooks, &process),
                     PD_OK);
    process->behavior->destroy(process);
    pd_process_discard(process);
    config.period_ns = 0;
    assert_int_equal(pd_supervisor_process_create(f->environment, 0, &config, specs, 1, NULL,
                                                  &f->hooks, &process),
                     PD_ERR_INVALID);
    config = pd_supervisor_config_default();
    for (uint64_t nth = 1; nth <= 4; nth++) {
        pd_alloc_fail_nth(nth);
        enum pd_status status = pd_supervisor_process_create(f->environment, 0, &config, specs, 1,
                                                             NULL, &f->hooks, &process);
        pd_alloc_fail_nth(0);
        assert_int_equal(status, PD_ERR_NO_MEMORY);
    }
    pd_child_spec_release(specs[0]);
    pd_child_spec_release(specs[1]);
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_starts_depth_first_and_stops_in_reverse),
        cmocka_unit_test(a_child_that_dies_is_started_again),
        cmocka_unit_test(escalation_carries_the_chain_to_the_root),
        cmocka_unit_test(a_first_child_that_cannot_be_made_fails_the_root),
        cmocka_unit_test(killing_a_supervisor_leaves_no_orphan),
        cmocka_unit_test(a_killed_subtree_is_rebuilt),
        cmocka_unit_test(a_stubborn_child_is_killed_after_its_timeout),
        cmocka_unit_test(an_exit_signal_of_the_operator_stops_in_order),
        cmocka_unit_test(readiness_holds_the_next_child_back),
        cmocka_unit_test(calls_are_answered),
        cmocka_unit_test(only_supervisors_can_be_called),
        cmocka_unit_test(forged_messages_change_nothing),
        cmocka_unit_test(a_template_makes_many),
        cmocka_unit_test(a_storm_of_deaths_loses_nobody),
        cmocka_unit_test(a_process_that_cannot_be_made_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
