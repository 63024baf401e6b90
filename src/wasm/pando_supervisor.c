/* pando::supervisor: trees of processes that are started, watched and restarted by native code.
 *
 * A *specification* is built, then started; starting consumes it.
 *   create(strategy, restarts_max, period_ms) -> spec      0 one_for_one, 1 one_for_all,
 *       2 rest_for_one, 3 dynamic; more than restarts_max restarts within period_ms: it gives up
 *   set_name(spec, name, len) · set_limits(spec, children_max, auto_shutdown) · drop(spec)
 *   add_worker(spec, id, len, config, module, fn, fnlen, params, plen, restart, flags, stop_ms)
 *       config and module as in spawn; restart 0 permanent, 1 transient, 2 temporary; flags 1: it
 *       handles shutdown, 2: significant; stop_ms 0: brutal, u64::MAX: infinity. In a dynamic
 *       supervisor it is the template of all children.
 *   add_supervisor(spec, child_spec, id, len, restart, stop_ms) consumes child_spec
 *   set_ready(spec, ready_ms) the child added last counts as started when it says ready()
 *   start(spec, link_tag, out) -> 0 pid, 1 error id; returns when the first children are up
 *
 * A *supervisor* is a process, asked by pid. All answer 0, 1 with an error id at `out`, or 9027.
 *   start_child(pid, params, plen, timeout, out) -> pid    of the template, with these parameters
 *   restart_child(pid, id, len, timeout, out) -> pid       of a child that was stopped
 *   stop_child(pid, child_pid, timeout, out) · delete_child(pid, id, len, timeout, out)
 *   count(pid, four_out, timeout, out)                     specs, active, live, waiting: u32 each
 *   list(pid, after, rows, room, timeout, out) -> bytes    rows as supervisor_process.h has them
 *   stop(pid, brutal, timeout, out)                        returns when it has ended
 *   ready() tells one's own supervisor, if there is one. */
#include "actor/supervisor_process.h"

#include <stdio.h>
#include <string.h>

#include "actor/mailbox.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "wasm/abi_tables.h"
#include "wasm/spawn_call.h"
#include "wasm/supervised.h"

#define MODULE "pando::supervisor"
#define TIMED_OUT 9027u
#define FLAG_HANDLES_SHUTDOWN 1u
#define FLAG_SIGNIFICANT 2u
#define NS_PER_MS UINT64_C(1000000)
#define READY_RETRY_NS (10 * NS_PER_MS)

/* --- Specifications --------------------------------------------------------------------------- */

static struct pd_supervised_tree *tree_of(struct pd_call *call, uint64_t id)
{
    struct pd_supervised_tree *tree = pd_id_table_get(&pd_call_process(call)->supervisors, id);
    if (tree == NULL) {
        (void)pd_call_trap(call, MODULE ": no specification has the id %llu",
                           (unsigned long long)id);
    }
    return tree;
}

static enum pd_call_result create(struct pd_call *call)
{
    struct pd_wasm_process *self = pd_call_process(call);
    struct pd_supervisor_config config = pd_supervisor_config_default();
    uint32_t strategy = pd_call_u32(call, 0);
    uint64_t period_ms = call->arguments[2];
    config.restarts_max = pd_call_u32(call, 1);
    if (strategy > PD_DYNAMIC) {
        return pd_call_trap(call, MODULE "::create: %u is no strategy", strategy);
    }
    if (config.restarts_max > PD_SUPERVISOR_RESTARTS_MAX || period_ms == 0 ||
        period_ms > PD_CHILD_TIME_MS_MAX) {
        return pd_call_trap(call, MODULE "::create: at most %u restarts within 1 ms to a year",
                            PD_SUPERVISOR_RESTARTS_MAX);
    }
    config.strategy = (enum pd_supervisor_strategy)strategy;
    config.period_ns = period_ms * NS_PER_MS;
    config.seed = pd_runtime_new_ref(self->system->runtime);
    struct pd_supervised_tree *tree = pd_supervised_tree_create(&config);
    if (tree == NULL || pd_id_table_add(&self->supervisors, tree, &call->result) != PD_OK) {
        pd_supervised_tree_release(tree);
        return pd_call_trap(call, MODULE "::create: no room for another specification");
    }
    return PD_CALL_DONE;
}

static enum pd_call_result drop(struct pd_call *call)
{
    struct pd_supervised_tree *tree = tree_of(call, call->arguments[0]);
    if (tree == NULL) {
        return PD_CALL_TRAP;
    }
    (void)pd_id_table_take(&pd_call_process(call)->supervisors, call->arguments[0]);
    pd_supervised_tree_release(tree);
    return PD_CALL_DONE;
}

static enum pd_call_result set_name(struct pd_call *call)
{
    struct pd_supervised_tree *tree = tree_of(call, call->arguments[0]);
    uint32_t size = pd_call_u32(call, 2);
    const char *name =
        tree == NULL ? NULL
                     : pd_call_text(call, pd_call_u32(call, 1), size, PD_CHILD_ID_SIZE_MAX, "name");
    if (name == NULL) {
        return PD_CALL_TRAP;
    }
    if (size == 0 || size > PD_CHILD_ID_SIZE_MAX || memchr(name, '\0', size) != NULL) {
        return pd_call_trap(call, MODULE "::set_name: 1 to %u bytes, none of them 0",
                            PD_CHILD_ID_SIZE_MAX);
    }
    memcpy(tree->name, name, size);
    tree->name[size] = '\0';
    return PD_CALL_DONE;
}

static enum pd_call_result set_limits(struct pd_call *call)
{
    struct pd_supervised_tree *tree = tree_of(call, call->arguments[0]);
    if (tree == NULL) {
        return PD_CALL_TRAP;
    }
    uint32_t children_max = pd_call_u32(call, 1);
    uint32_t auto_shutdown = pd_call_u32(call, 2);
    if (children_max == 0 || children_max > PD_CHILDREN_MAX ||
        auto_shutdown > PD_AUTO_SHUTDOWN_ALL) {
        return pd_call_trap(call,
                            MODULE "::set_limits: 1 to %u children, and an automatic "
                                   "shutdown of 0 (never), 1 (any) or 2 (all)",
                            PD_CHILDREN_MAX);
    }
    tree->config.children_max = children_max;
    tree->config.auto_shutdown = (enum pd_supervisor_auto_shutdown)auto_shutdown;
    return PD_CALL_DONE;
}

/* A zero-terminated copy of a text in guest memory into `to`. False: a trap was set. */
static bool copy_text(struct pd_call *call, uint32_t address, uint32_t size, char *to,
                      uint32_t size_max, const char *what)
{
    const char *text = pd_call_text(call, address, size, size_max, what);
    if (text == NULL) {
        return false;
    }
    if (size == 0 || size > size_max || memchr(text, '\0', size) != NULL) {
        (void)pd_call_trap(call, MODULE ": %s: 1 to %u bytes, none of them 0", what, size_max);
        return false;
    }
    memcpy(to, text, size);
    to[size] = '\0';
    return true;
}

static void set_stop(struct pd_child_spec *spec, uint64_t stop_ms)
{
    spec->stop_ms = stop_ms;
    if (stop_ms == 0) {
        spec->shutdown = PD_CHILD_STOP_BRUTAL;
    } else if (stop_ms == UINT64_MAX) {
        spec->shutdown = PD_CHILD_STOP_INFINITY;
        spec->stop_ms = 0;
    } else {
        spec->shutdown = PD_CHILD_STOP_TIMEOUT;
    }
}

/* Make the spec and give it, with its subject, to the tree. */
static enum pd_call_result add(struct pd_call *call, struct pd_supervised_tree *tree,
                               const struct pd_child_spec *description)
{
    struct pd_child_spec *spec = NULL;
    const char *mistake = pd_child_spec_mistake(description);
    enum pd_status status = PD_ERR_INVALID;
    if (mistake == NULL) {
        mistake = "not enough memory";
        status = pd_child_spec_create(description, &spec);
    }
    if (status != PD_OK) {
        description->subject_release(description->subject);
        return pd_call_trap(call, MODULE ": child '%s': %s", description->id, mistake);
    }
    status = pd_supervised_tree_add(tree, spec);
    if (status == PD_OK) {
        return PD_CALL_DONE;
    }
    /* The description's texts are the caller's: only its subject goes with the spec. */
    pd_child_spec_release(spec);
    const char *why = status == PD_ERR_EXISTS  ? "there is one with this id (a dynamic supervisor "
                                                 "has one template)"
                      : status == PD_ERR_FULL  ? "the supervisor has as many as it can"
                      : status == PD_ERR_RANGE ? "the tree is too deep"
                                               : pd_status_text(status);
    return pd_call_trap(call, MODULE ": child '%s': %s", description->id, why);
}

/* add_worker's arguments. */
enum {
    WORKER_SPEC,
    WORKER_ID,
    WORKER_ID_SIZE,
    WORKER_CONFIG,
    WORKER_MODULE,
    WORKER_FUNCTION,
    WORKER_FUNCTION_SIZE,
    WORKER_PARAMS,
    WORKER_PARAMS_SIZE,
    WORKER_RESTART,
    WORKER_FLAGS,
    WORKER_STOP_MS
};

static enum pd_call_result add_worker(struct pd_call *call)
{
    struct pd_supervised_tree *tree = tree_of(call, call->arguments[WORKER_SPEC]);
    const struct pd_spawn_arguments arguments = {
        .config = call->arguments[WORKER_CONFIG],
        .module = call->arguments[WORKER_MODULE],
        .function = pd_call_u32(call, WORKER_FUNCTION),
        .function_size = pd_call_u32(call, WORKER_FUNCTION_SIZE),
        .params = pd_call_u32(call, WORKER_PARAMS),
        .params_size = pd_call_u32(call, WORKER_PARAMS_SIZE),
    };
    struct pd_spawn_request request;
    char id[PD_CHILD_ID_SIZE_MAX + 1];
    char function[PD_CHILD_FUNCTION_SIZE_MAX + 1];
    if (tree == NULL || !pd_spawn_decode(call, &arguments, &request) ||
        !copy_text(call, pd_call_u32(call, WORKER_ID), pd_call_u32(call, WORKER_ID_SIZE), id,
                   PD_CHILD_ID_SIZE_MAX, "child id") ||
        !copy_text(call, arguments.function, arguments.function_size, function,
                   PD_CHILD_FUNCTION_SIZE_MAX, "function name")) {
        return PD_CALL_TRAP;
    }
    uint32_t restart = pd_call_u32(call, WORKER_RESTART);
    uint32_t flags = pd_call_u32(call, WORKER_FLAGS);
    if (restart > PD_CHILD_TEMPORARY || flags > (FLAG_HANDLES_SHUTDOWN | FLAG_SIGNIFICANT)) {
        return pd_call_trap(call, MODULE "::add_worker: '%s': restart %u, flags %u: unknown", id,
                            restart, flags);
    }
    struct pd_supervised_worker *worker = pd_supervised_worker_create(
        pd_call_process(call)->system, request.module, request.rights, NULL);
    if (worker == NULL) {
        return pd_call_trap(call, MODULE "::add_worker: not enough memory");
    }
    struct pd_child_spec spec = {
        .id = id,
        .function = function,
        .arguments = pd_call_bytes(call, arguments.params, arguments.params_size, "params"),
        .arguments_size = arguments.params_size,
        .subject = worker,
        .subject_share = pd_supervised_worker_share,
        .subject_release = pd_supervised_worker_release,
        .restart = (enum pd_child_restart)restart,
        .kind = PD_CHILD_WORKER,
        .handles_shutdown = (flags & FLAG_HANDLES_SHUTDOWN) != 0,
        .is_significant = (flags & FLAG_SIGNIFICANT) != 0,
    };
    set_stop(&spec, call->arguments[WORKER_STOP_MS]);
    return add(call, tree, &spec);
}

static enum pd_call_result add_supervisor(struct pd_call *call)
{
    struct pd_wasm_process *self = pd_call_process(call);
    struct pd_supervised_tree *tree = tree_of(call, call->arguments[0]);
    struct pd_supervised_tree *child = tree == NULL ? NULL : tree_of(call, call->arguments[1]);
    char id[PD_CHILD_ID_SIZE_MAX + 1];
    if (child == NULL || !copy_text(call, pd_call_u32(call, 2), pd_call_u32(call, 3), id,
                                    PD_CHILD_ID_SIZE_MAX, "child id")) {
        return PD_CALL_TRAP;
    }
    uint32_t restart = pd_call_u32(call, 4);
    if (tree == child || tree->config.strategy == PD_DYNAMIC || restart > PD_CHILD_TEMPORARY) {
        return pd_call_trap(call,
                            MODULE "::add_supervisor: '%s': it cannot be below itself or a "
                                   "dynamic one, and restart is 0, 1 or 2",
                            id);
    }
    struct pd_child_spec spec = {
        .id = id,
        .subject = child,
        .subject_share = pd_supervised_tree_share,
        .subject_release = pd_supervised_tree_release,
        .restart = (enum pd_child_restart)restart,
        .kind = PD_CHILD_SUPERVISOR,
    };
    set_stop(&spec, call->arguments[5]);
    pd_supervised_tree_share(child);
    enum pd_call_result result = add(call, tree, &spec);
    if (result == PD_CALL_DONE) {
        (void)pd_id_table_take(&self->supervisors, call->arguments[1]);
        pd_supervised_tree_release(child);
    }
    return result;
}

static enum pd_call_result set_ready(struct pd_call *call)
{
    struct pd_supervised_tree *tree = tree_of(call, call->arguments[0]);
    if (tree == NULL) {
        return PD_CALL_TRAP;
    }
    struct pd_child_spec **last = tree->config.strategy == PD_DYNAMIC ? &tree->template_spec
                                  : tree->spec_count == 0             ? NULL
                                                          : &tree->specs[tree->spec_count - 1];
    if (last == NULL || *last == NULL) {
        return pd_call_trap(call, MODULE "::set_ready: there is no child yet");
    }
    struct pd_child_spec description = **last;
    description.needs_ready = true;
    description.ready_ms = call->arguments[1];
    const char *mistake = pd_child_spec_mistake(&description);
    if (mistake != NULL) {
        return pd_call_trap(call, MODULE "::set_ready: child '%s': %s", description.id, mistake);
    }
    struct pd_child_spec *changed = NULL;
    description.subject_share(description.subject);
    if (pd_child_spec_create(&description, &changed) != PD_OK) {
        description.subject_release(description.subject);
        return pd_call_trap(call, MODULE "::set_ready: not enough memory");
    }
    pd_child_spec_release(*last);
    *last = changed;
    return PD_CALL_DONE;
}

/* --- Asking a supervisor ---------------------------------------------------------------------- */

/* What is done with an answer; the message is the caller's to destroy. */
typedef enum pd_call_result (*answer_function)(struct pd_call *call,
                                               const struct pd_supervisor_answer *answer,
                                               const struct pd_message *message);

/* Lives as call->state from the question to the answer. */
struct question {
    answer_function answered;
    uint64_t supervisor;
    uint32_t out;       /* where an error id goes */
    bool is_end_wanted; /* its death is the answer */
};

static void forget(struct pd_call *call)
{
    pd_free(call->state);
    call->state = NULL;
}

static void end_question(struct pd_call *call)
{
    struct pd_wasm_process *self = pd_call_process(call);
    pd_process_demonitor(self->process, 0, self->call_ref, true);
    self->process->awaited_ref = 0;
    self->call_ref = 0;
    forget(call);
}

static const char *failure_text(enum pd_status status)
{
    switch (status) {
    case PD_ERR_UNKNOWN:
        return "no such child, or no such supervisor";
    case PD_ERR_EXISTS:
        return "the child is not stopped, or its id is taken";
    case PD_ERR_FULL:
        return "the supervisor has as many children, or requests, as it can";
    case PD_ERR_CLOSED:
        return "the supervisor is stopping, or the child ended before it was ready";
    case PD_ERR_INVALID:
        return "the supervisor has no template for such a child";
    case PD_OK:
    case PD_ERR_RANGE:
    case PD_ERR_DENIED:
    case PD_ERR_TIMEOUT:
    case PD_ERR_IO:
    case PD_ERR_NO_MEMORY:
    case PD_ERR_CORRUPT:
    case PD_ERR_UNSUPPORTED:
        break;
    }
    return pd_status_text(status);
}

static enum pd_call_result gone(struct pd_call *call, const struct pd_message *notice,
                                const struct question *question)
{
    if (question->is_end_wanted) {
        return pd_call_done(call, 0);
    }
    const char *text = pd_exit_text_bytes(notice->text);
    return pd_call_error(call, question->out, "the supervisor ended: %s%s%s",
                         pd_exit_reason_text((enum pd_exit_reason)notice->reason),
                         text[0] == '\0' ? "" : ": ", text);
}

static enum pd_call_result question_resume(struct pd_call *call)
{
    struct pd_wasm_process *self = pd_call_process(call);
    struct pd_message *message = pd_process_take_ref(self->process, self->call_ref);
    if (message == NULL) {
        if (self->deadline_ns == PD_TIME_NEVER ||
            pd_host_now_ns(pd_guest_host(call->guest)) < self->deadline_ns) {
            return PD_CALL_WAIT;
        }
        end_question(call);
        return pd_call_done(call, TIMED_OUT);
    }
    struct question question = *(struct question *)call->state;
    struct pd_supervisor_answer answer;
    enum pd_call_result result;
    end_question(call);
    if (message->kind != PD_MESSAGE_REPLY) {
        result = gone(call, message, &question);
    } else if (pd_supervisor_answer_read(message, &answer) != PD_OK) {
        result = pd_call_error(call, question.out, "the supervisor's answer is no answer");
    } else {
        result = question.answered(call, &answer, message);
    }
    pd_message_destroy(message);
    return result;
}

/* Monitor, ask, and wait for the answer. `ask` is NULL when only the end is awaited. */
static enum pd_call_result pose(struct pd_call *call, const struct pd_supervisor_call *ask,
                                const struct question *content, uint64_t timeout_ms)
{
    struct pd_wasm_process *self = pd_call_process(call);
    struct pd_process *process = self->process;
    if (pd_call_bytes(call, content->out, sizeof(uint64_t), "result pointer") == NULL) {
        return PD_CALL_TRAP;
    }
    struct question *question = pd_alloc_zeroed(1, sizeof *question);
    if (question == NULL) {
        return pd_call_trap(call, MODULE ": not enough memory");
    }
    *question = *content;
    if (self->call_ref != 0) { /* of a call whose guest code was cut off by a caught trap */
        pd_process_demonitor(process, 0, self->call_ref, true);
    }
    uint64_t ref = pd_runtime_new_ref(process->environment->runtime);
    if (pd_process_monitor(process, question->supervisor, ref) != PD_OK) {
        pd_free(question);
        return pd_call_trap(call, MODULE ": too many links and monitors");
    }
    call->state = question;
    self->call_ref = ref;
    process->awaited_ref = ref;
    enum pd_status status =
        pd_supervisor_call_post(process->environment, question->supervisor, ask, process->pid,
                                question->is_end_wanted ? 0 : ref);
    if (status != PD_OK) {
        uint32_t out = question->out;
        end_question(call);
        return pd_call_error(call, out, "cannot ask supervisor %llu: %s",
                             (unsigned long long)content->supervisor, failure_text(status));
    }
    self->deadline_ns = pd_call_deadline_ns(call, timeout_ms);
    pd_call_wake_at(call, self->deadline_ns);
    call->resume = question_resume;
    call->abandon = forget;
    return PD_CALL_WAIT;
}

static enum pd_call_result refused(struct pd_call *call, uint32_t out,
                                   const struct pd_supervisor_answer *answer,
                                   const struct pd_message *message)
{
    const char *text = pd_exit_text_bytes(message->text);
    return pd_call_error(call, out, "%s%s%s", failure_text(answer->status),
                         text[0] == '\0' ? "" : ": ", text);
}

/* The argument that says where result and error id go is the last of each function. */
static enum pd_call_result answered_at(struct pd_call *call, unsigned out,
                                       const struct pd_supervisor_answer *answer,
                                       const struct pd_message *message, bool has_pid)
{
    if (answer->status != PD_OK) {
        return refused(call, pd_call_u32(call, out), answer, message);
    }
    return has_pid ? pd_call_write_u64(call, pd_call_u32(call, out), answer->pid.value)
                   : pd_call_done(call, 0);
}

/* --- Starting --------------------------------------------------------------------------------- */

/* start(spec, link_tag, out): argument 0 was replaced by the pid. */
static enum pd_call_result started(struct pd_call *call, const struct pd_supervisor_answer *answer,
                                   const struct pd_message *message)
{
    if (answer->status == PD_ERR_UNKNOWN) {
        return pd_call_write_u64(call, pd_call_u32(call, 2), call->arguments[0]);
    }
    return refused(call, pd_call_u32(call, 2), answer, message);
}

static enum pd_call_result start(struct pd_call *call)
{
    struct pd_wasm_process *self = pd_call_process(call);
    struct pd_supervised_tree *tree = tree_of(call, call->arguments[0]);
    uint32_t out = pd_call_u32(call, 2);
    if (tree == NULL) {
        return PD_CALL_TRAP;
    }
    if (!self->rights->can_spawn) {
        return pd_call_trap_right(call, "starting supervisors");
    }
    if (!pd_guest_is_instantiated(call->guest)) {
        return pd_call_trap(call, MODULE "::start: not while the module is instantiated");
    }
    if (pd_guest_memory(call->guest, out, sizeof(uint64_t)) == NULL) {
        return pd_call_trap_bounds(call, "pid");
    }
    struct pd_process *process = NULL;
    enum pd_status status =
        pd_supervised_tree_open(self->process->environment, self->process->pid, tree, &process);
    (void)pd_id_table_take(&self->supervisors, call->arguments[0]);
    pd_supervised_tree_release(tree);
    if (status == PD_OK && call->arguments[1] != 0) {
        status = pd_process_link_child(self->process, process, call->arguments[1]);
        if (status != PD_OK) {
            process->behavior->destroy(process);
            pd_process_discard(process);
        }
    }
    if (status != PD_OK) {
        return pd_call_error(call, out, "cannot start the supervisor: %s",
                             status == PD_ERR_FULL ? "the limit of processes or links is reached"
                                                   : pd_status_text(status));
    }
    uint64_t pid = process->pid;
    call->arguments[0] = pid;
    pd_process_start(process);
    /* A request about nobody waits until the first children are up, and then finds nobody. */
    struct pd_supervisor_call ask = {.kind = PD_SUPERVISOR_CALL_RESTART, .child = {UINT64_MAX}};
    struct question question = {.answered = started, .supervisor = pid, .out = out};
    enum pd_call_result result = pose(call, &ask, &question, UINT64_MAX);
    if (result != PD_CALL_WAIT) { /* nobody would learn its pid; its end is not the caller's */
        pd_process_unlink(self->process, pid);
        status = pd_mailbox_kill(self->process->environment, pid, PD_EXIT_KILLED, NULL);
        pd_assert(status == PD_OK || status == PD_ERR_UNKNOWN);
    }
    return result;
}

/* --- Requests --------------------------------------------------------------------------------- */

static enum pd_call_result child_started(struct pd_call *call,
                                         const struct pd_supervisor_answer *answer,
                                         const struct pd_message *message)
{
    return answered_at(call, 4, answer, message, true);
}

static enum pd_call_result start_child(struct pd_call *call)
{
    wasmtime_val_t params[PD_MODULE_PARAMS_MAX];
    uint32_t param_count = 0;
    if (!pd_call_process(call)->rights->can_spawn) {
        return pd_call_trap_right(call, "starting children");
    }
    uint32_t size = pd_call_u32(call, 2);
    const uint8_t *bytes =
        pd_spawn_decode_params(call, pd_call_u32(call, 1), size, params, &param_count);
    if (bytes == NULL) {
        return PD_CALL_TRAP;
    }
    struct pd_supervisor_call ask = {
        .kind = PD_SUPERVISOR_CALL_START, .arguments = bytes, .arguments_size = size};
    struct question question = {
        .answered = child_started, .supervisor = call->arguments[0], .out = pd_call_u32(call, 4)};
    return pose(call, &ask, &question, call->arguments[3]);
}

static enum pd_call_result child_named(struct pd_call *call, enum pd_supervisor_call_kind kind,
                                       answer_function answered)
{
    char id[PD_CHILD_ID_SIZE_MAX + 1];
    if (!copy_text(call, pd_call_u32(call, 1), pd_call_u32(call, 2), id, PD_CHILD_ID_SIZE_MAX,
                   "child id")) {
        return PD_CALL_TRAP;
    }
    struct pd_supervisor_call ask = {.kind = kind, .id = id};
    struct question question = {
        .answered = answered, .supervisor = call->arguments[0], .out = pd_call_u32(call, 4)};
    return pose(call, &ask, &question, call->arguments[3]);
}

static enum pd_call_result restart_child(struct pd_call *call)
{
    return child_named(call, PD_SUPERVISOR_CALL_RESTART, child_started);
}

static enum pd_call_result child_deleted(struct pd_call *call,
                                         const struct pd_supervisor_answer *answer,
                                         const struct pd_message *message)
{
    return answered_at(call, 4, answer, message, false);
}

static enum pd_call_result delete_child(struct pd_call *call)
{
    return child_named(call, PD_SUPERVISOR_CALL_DELETE, child_deleted);
}

static enum pd_call_result child_stopped(struct pd_call *call,
                                         const struct pd_supervisor_answer *answer,
                                         const struct pd_message *message)
{
    return answered_at(call, 3, answer, message, false);
}

static enum pd_call_result stop_child(struct pd_call *call)
{
    if (call->arguments[1] == 0) {
        return pd_call_trap(call, MODULE "::stop_child: 0 is no pid");
    }
    struct pd_supervisor_call ask = {.kind = PD_SUPERVISOR_CALL_STOP_CHILD,
                                     .pid = {call->arguments[1]}};
    struct question question = {
        .answered = child_stopped, .supervisor = call->arguments[0], .out = pd_call_u32(call, 3)};
    return pose(call, &ask, &question, call->arguments[2]);
}

static enum pd_call_result counted(struct pd_call *call, const struct pd_supervisor_answer *answer,
                                   const struct pd_message *message)
{
    struct pd_supervisor_counts counts;
    if (answer->status != PD_OK || pd_supervisor_counts_read(answer, &counts) != PD_OK) {
        return refused(call, pd_call_u32(call, 3), answer, message);
    }
    uint8_t *to = pd_guest_memory(call->guest, pd_call_u32(call, 1), 4 * sizeof(uint32_t));
    if (to == NULL) {
        return pd_call_trap_bounds(call, "counts");
    }
    pd_put_u32(to, counts.specs);
    pd_put_u32(to + 4, counts.active);
    pd_put_u32(to + 8, counts.live);
    pd_put_u32(to + 12, counts.waiting);
    return pd_call_done(call, 0);
}

static enum pd_call_result count(struct pd_call *call)
{
    struct pd_supervisor_call ask = {.kind = PD_SUPERVISOR_CALL_COUNT};
    struct question question = {
        .answered = counted, .supervisor = call->arguments[0], .out = pd_call_u32(call, 3)};
    if (pd_call_bytes(call, pd_call_u32(call, 1), 4 * sizeof(uint32_t), "counts") == NULL) {
        return PD_CALL_TRAP;
    }
    return pose(call, &ask, &question, call->arguments[2]);
}

static enum pd_call_result listed(struct pd_call *call, const struct pd_supervisor_answer *answer,
                                  const struct pd_message *message)
{
    if (answer->status != PD_OK) {
        return refused(call, pd_call_u32(call, 5), answer, message);
    }
    uint32_t room = pd_call_u32(call, 3);
    uint8_t *to = pd_guest_memory(call->guest, pd_call_u32(call, 2), room);
    if (to == NULL) {
        return pd_call_trap_bounds(call, "rows");
    }
    uint32_t whole = 0; /* bytes of the rows that fit */
    uint32_t next = 0;
    struct pd_supervisor_row row;
    while (pd_supervisor_row_read(answer, &next, &row) && next <= room) {
        whole = next;
    }
    if (whole > 0) {
        memcpy(to, answer->rows, whole);
    }
    return pd_call_write_u64(call, pd_call_u32(call, 5), whole);
}

static enum pd_call_result list(struct pd_call *call)
{
    struct pd_supervisor_call ask = {.kind = PD_SUPERVISOR_CALL_LIST,
                                     .child = {call->arguments[1]}};
    struct question question = {
        .answered = listed, .supervisor = call->arguments[0], .out = pd_call_u32(call, 5)};
    if (pd_call_bytes(call, pd_call_u32(call, 2), pd_call_u32(call, 3), "rows") == NULL) {
        return PD_CALL_TRAP;
    }
    return pose(call, &ask, &question, call->arguments[4]);
}

static enum pd_call_result stop(struct pd_call *call)
{
    struct pd_supervisor_call ask = {.kind = PD_SUPERVISOR_CALL_STOP,
                                     .is_brutal = pd_call_u32(call, 1) != 0};
    struct question question = {
        .supervisor = call->arguments[0], .out = pd_call_u32(call, 3), .is_end_wanted = true};
    return pose(call, &ask, &question, call->arguments[2]);
}

/* --- A child speaks --------------------------------------------------------------------------- */

static enum pd_call_result ready(struct pd_call *call)
{
    enum pd_status status = pd_supervisor_say_ready(pd_call_process(call)->process);
    if (status == PD_OK) {
        return PD_CALL_DONE;
    }
    /* The supervisor's mailbox is full: again soon. */
    pd_call_wake_at(call, pd_host_now_ns(pd_guest_host(call->guest)) + READY_RETRY_NS);
    call->resume = ready;
    return PD_CALL_WAIT;
}

const struct pd_import pd_pando_supervisor_imports[] = {
    {MODULE, "create", "iiI->I", PD_CALL_DEFERRED, create},
    {MODULE, "drop", "I->", PD_CALL_DEFERRED, drop},
    {MODULE, "set_name", "Iii->", PD_CALL_DEFERRED, set_name},
    {MODULE, "set_limits", "Iii->", PD_CALL_DEFERRED, set_limits},
    {MODULE, "add_worker", "IiiIIiiiiiiI->", PD_CALL_DEFERRED, add_worker},
    {MODULE, "add_supervisor", "IIiiiI->", PD_CALL_DEFERRED, add_supervisor},
    {MODULE, "set_ready", "II->", PD_CALL_DEFERRED, set_ready},
    {MODULE, "start", "IIi->i", PD_CALL_DEFERRED, start},
    {MODULE, "start_child", "IiiIi->i", PD_CALL_DEFERRED, start_child},
    {MODULE, "restart_child", "IiiIi->i", PD_CALL_DEFERRED, restart_child},
    {MODULE, "stop_child", "IIIi->i", PD_CALL_DEFERRED, stop_child},
    {MODULE, "delete_child", "IiiIi->i", PD_CALL_DEFERRED, delete_child},
    {MODULE, "count", "IiIi->i", PD_CALL_DEFERRED, count},
    {MODULE, "list", "IIiiIi->i", PD_CALL_DEFERRED, list},
    {MODULE, "stop", "IiIi->i", PD_CALL_DEFERRED, stop},
    {MODULE, "ready", "->", PD_CALL_DEFERRED, ready},
};
const size_t pd_pando_supervisor_import_count =
    sizeof pd_pando_supervisor_imports / sizeof pd_pando_supervisor_imports[0];
