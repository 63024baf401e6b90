#include "actor/supervisor_process.h"

#include <string.h>

#include "actor/mailbox.h"
#include "actor/runtime.h"
#include "actor/supervisor_call.h"
#include "actor/tracer.h"
#include "base/alloc.h"
#include "base/assert.h"

#define READY_RETRY_NS UINT64_C(10000000)
#define ITEM_COST 10u /* thousandths of a slice for one message or action */

struct supervisor_process {
    struct pd_supervisor *machine;
    struct pd_child_spec *template_spec;
    const struct pd_supervisor_hooks *hooks;
    uint64_t armed_ns; /* the wake that is set */
    bool is_started;
    bool must_tell_ready; /* all first children are up, and our own supervisor does not know yet */
    char name[];
};

static struct supervisor_process *data_of(const struct pd_process *process)
{
    return process->data;
}

static void step(struct pd_process *self, struct pd_supervisor_event event)
{
    event.now_ns = pd_host_now_ns(self->environment->runtime->host);
    pd_supervisor_step(data_of(self)->machine, &event);
}

/* --- Children --------------------------------------------------------------------------------- */

/* Both sides of a monitor on a child that has not started: nothing it does can undo it. Not counted
 * against bonds_max: children_max bounds it. */
static enum pd_status watch(struct pd_process *self, struct pd_process *child)
{
    uint64_t ref = pd_runtime_new_ref(self->environment->runtime);
    struct pd_bond *own = pd_bond_create(PD_BOND_WATCHING, child->pid, 0, ref);
    struct pd_bond *theirs = pd_bond_create(PD_BOND_WATCHED_BY, self->pid, 0, ref);
    if (own == NULL || theirs == NULL) {
        pd_message_destroy(own == NULL ? NULL : &own->message);
        pd_message_destroy(theirs == NULL ? NULL : &theirs->message);
        return PD_ERR_NO_MEMORY;
    }
    pd_bond_set_insert(&self->bonds, own);
    pd_bond_set_insert(&child->bonds, theirs);
    return PD_OK;
}

static enum pd_status create_child(struct pd_process *self, const struct pd_supervisor_child *child,
                                   struct pd_process **process_out, struct pd_exit_text **why_out)
{
    const struct pd_supervisor_hooks *hooks = data_of(self)->hooks;
    struct pd_process *process = NULL;
    enum pd_status status = hooks->create(hooks->context, self, child, &process, why_out);
    if (status != PD_OK) {
        return status;
    }
    status = watch(self, process);
    if (status != PD_OK) {
        process->behavior->destroy(process);
        pd_process_discard(process);
        return status;
    }
    process->restart_count = child->restart_count;
    process->spec = pd_child_spec_share(child->spec);
    *process_out = process;
    return PD_OK;
}

static struct pd_exit exit_of_status(enum pd_status status, struct pd_exit_text *why)
{
    enum pd_exit_reason reason = status == PD_ERR_DENIED      ? PD_EXIT_DENIED
                                 : status == PD_ERR_NO_MEMORY ? PD_EXIT_MEMORY
                                                              : PD_EXIT_FAILURE;
    if (why == NULL) {
        const char *text = pd_status_text(status);
        why = pd_exit_text_create(text, strlen(text));
    }
    return (struct pd_exit){reason, why};
}

static void spawn(struct pd_process *self, const struct pd_supervisor_action *action)
{
    struct pd_supervisor_child child;
    bool is_known = pd_supervisor_find(data_of(self)->machine, action->child, &child);
    pd_assert(is_known);
    struct pd_process *process = NULL;
    struct pd_exit_text *why = NULL;
    enum pd_status status = create_child(self, &child, &process, &why);
    if (status != PD_OK) {
        struct pd_exit exit = exit_of_status(status, why);
        step(self, (struct pd_supervisor_event){.kind = PD_SUPERVISOR_CHILD_FAILED,
                                                .child = action->child,
                                                .status = status,
                                                .exit = exit});
        pd_exit_text_release(exit.text);
        return;
    }
    step(self, (struct pd_supervisor_event){.kind = PD_SUPERVISOR_CHILD_STARTED,
                                            .child = action->child,
                                            .pid = {process->pid}});
    pd_process_start(process);
}

/* --- Actions ---------------------------------------------------------------------------------- */

static void answer(struct pd_process *self, uint64_t asker, uint64_t ref,
                   const struct pd_supervisor_answer *content, struct pd_exit_text *text)
{
    if (asker == 0) {
        return;
    }
    struct pd_message *message = pd_supervisor_answer_create(content, text);
    if (message == NULL) {
        return; /* the asker's timeout tells it */
    }
    message->ref = ref;
    message->pid = self->pid;
    if (pd_process_send(self, asker, message) != PD_OK) {
        pd_message_destroy(message);
    }
}

static void reply(struct pd_process *self, const struct pd_supervisor_action *action)
{
    struct pd_supervisor_answer content = {
        .status = action->status,
        .child = action->child,
        .pid = action->pid,
        .reason = action->exit.reason,
    };
    answer(self, action->asker.value, action->ref, &content, action->exit.text);
}

static void tell_ready(struct pd_process *self)
{
    struct supervisor_process *data = data_of(self);
    if (!data->must_tell_ready) {
        return;
    }
    enum pd_status status = pd_supervisor_say_ready(self);
    data->must_tell_ready = status == PD_ERR_FULL || status == PD_ERR_NO_MEMORY;
}

static void tell_runtime(struct pd_process *self, const struct pd_supervisor_action *action)
{
    const struct pd_runtime_hooks *hooks = &self->environment->runtime->hooks;
    if (hooks->supervised != NULL) {
        hooks->supervised(hooks->context, self, action);
    }
    if (action->kind == PD_SUPERVISOR_REPORT && action->report == PD_REPORT_RESTART &&
        pd_process_is_traced(self)) {
        pd_tracer_note(self, (struct pd_traced){.kind = PD_TRACED_RESTARTED,
                                                .pid = action->pid.value,
                                                .size = action->restart_count,
                                                .reason = (uint8_t)action->exit.reason});
    }
}

static void tell_hooks(struct pd_process *self, const struct pd_supervisor_action *action)
{
    const struct pd_supervisor_hooks *hooks = data_of(self)->hooks;
    if (hooks->report != NULL) {
        hooks->report(hooks->context, self, action);
    }
}

static void execute(struct pd_process *self, const struct pd_supervisor_action *action)
{
    switch (action->kind) {
    case PD_SUPERVISOR_SPAWN:
        spawn(self, action);
        return;
    case PD_SUPERVISOR_EXIT_SIGNAL:
        pd_process_exit_signal(self, action->pid.value, action->exit.reason, NULL);
        return;
    case PD_SUPERVISOR_REPLY:
        reply(self, action);
        return;
    case PD_SUPERVISOR_STARTED:
        tell_hooks(self, action);
        data_of(self)->must_tell_ready = true;
        return;
    case PD_SUPERVISOR_REPORT:
    case PD_SUPERVISOR_GIVE_UP:
        tell_runtime(self, action);
        tell_hooks(self, action);
        return;
    case PD_SUPERVISOR_STOPPED:
        tell_hooks(self, action);
        pd_process_set_exit(self, action->exit.reason, pd_exit_text_bytes(action->exit.text),
                            pd_exit_text_size(action->exit.text));
        return;
    }
}

/* Execute what is to be done, at most *budget of it. False: there is more. */
static bool execute_all(struct pd_process *self, uint32_t *budget)
{
    struct pd_supervisor_action action;
    while (*budget > 0) {
        if (!pd_supervisor_next(data_of(self)->machine, &action)) {
            return true;
        }
        execute(self, &action);
        (*budget)--;
    }
    return false;
}

/* --- Messages --------------------------------------------------------------------------------- */

static void take_request(struct pd_process *self, struct pd_held_call *held, uint64_t asker,
                         uint64_t ref)
{
    struct supervisor_process *data = data_of(self);
    const struct pd_supervisor_call *call = &held->call;
    struct pd_supervisor_request request = {
        .kind = (enum pd_supervisor_request_kind)call->kind,
        .ref = ref,
        .asker = {asker},
        .spec = pd_child_spec_share(call->spec),
        .child = call->child,
        .pid = call->pid,
        .id = held->id,
    };
    held->id = NULL;
    if (call->kind == PD_SUPERVISOR_CALL_START && request.spec == NULL &&
        data->template_spec != NULL) {
        enum pd_status status = pd_child_spec_derive(data->template_spec, call->arguments,
                                                     call->arguments_size, &request.spec);
        if (status != PD_OK) {
            struct pd_supervisor_answer refusal = {.status = status};
            answer(self, asker, ref, &refusal, NULL);
            pd_free(request.id);
            return;
        }
    }
    step(self, (struct pd_supervisor_event){.kind = PD_SUPERVISOR_REQUEST, .request = request});
}

static void answer_count(struct pd_process *self, uint64_t asker, uint64_t ref)
{
    uint8_t rows[64];
    struct pd_supervisor_answer content = {.rows = rows};
    content.rows_size =
        pd_supervisor_counts_write(pd_supervisor_count(data_of(self)->machine), rows);
    answer(self, asker, ref, &content, NULL);
}

static void answer_list(struct pd_process *self, struct pd_child_id after, uint64_t asker,
                        uint64_t ref)
{
    struct pd_supervisor *machine = data_of(self)->machine;
    uint8_t *rows = pd_alloc(PD_SUPERVISOR_LIST_SIZE_MAX);
    if (rows == NULL) {
        return; /* as an answer without memory */
    }
    struct pd_supervisor_answer content = {.rows = rows};
    struct pd_supervisor_child child;
    if (after.value != 0 && !pd_supervisor_find(machine, after, &child)) {
        content.status = PD_ERR_UNKNOWN;
    }
    while (content.status == PD_OK && pd_supervisor_child_after(machine, after, &child)) {
        uint32_t size = pd_supervisor_row_write(&child, rows + content.rows_size,
                                                PD_SUPERVISOR_LIST_SIZE_MAX - content.rows_size);
        if (size == 0) {
            break;
        }
        content.rows_size += size;
        after = child.child;
    }
    answer(self, asker, ref, &content, NULL);
    pd_free(rows);
}

static void stop(struct pd_process *self, struct pd_exit exit, bool is_brutal)
{
    step(self, (struct pd_supervisor_event){
                   .kind = PD_SUPERVISOR_STOP, .exit = exit, .is_brutal = is_brutal});
}

static void take_call(struct pd_process *self, struct pd_message *message)
{
    struct pd_held_call *held = pd_held_call_take(message);
    if (held == NULL) {
        return; /* nothing that a supervisor understands */
    }
    switch (held->call.kind) {
    case PD_SUPERVISOR_CALL_START:
    case PD_SUPERVISOR_CALL_STOP_CHILD:
    case PD_SUPERVISOR_CALL_RESTART:
    case PD_SUPERVISOR_CALL_DELETE:
    case PD_SUPERVISOR_CALL_REPLACE:
        take_request(self, held, message->pid, message->ref);
        break;
    case PD_SUPERVISOR_CALL_READY:
        step(self, (struct pd_supervisor_event){.kind = PD_SUPERVISOR_CHILD_READY,
                                                .pid = held->call.pid});
        break;
    case PD_SUPERVISOR_CALL_COUNT:
        answer_count(self, message->pid, message->ref);
        break;
    case PD_SUPERVISOR_CALL_LIST:
        answer_list(self, held->call.child, message->pid, message->ref);
        break;
    case PD_SUPERVISOR_CALL_STOP:
        stop(self, (struct pd_exit){PD_EXIT_SHUTDOWN, NULL}, held->call.is_brutal);
        break;
    }
    pd_held_call_destroy(held);
}

static void take_message(struct pd_process *self, struct pd_message *message)
{
    struct pd_exit exit = {(enum pd_exit_reason)message->reason, message->text};
    switch ((enum pd_message_kind)message->kind) {
    case PD_MESSAGE_DOWN:
        step(self, (struct pd_supervisor_event){
                       .kind = PD_SUPERVISOR_CHILD_EXITED, .pid = {message->pid}, .exit = exit});
        return;
    case PD_MESSAGE_LINK_DIED:
        /* Our parent or the operator ends us; links and signals of others are none of our
         * business. */
        if (message->pid == self->parent || message->pid == 0) {
            stop(self, exit, false);
        }
        return;
    case PD_MESSAGE_DATA:
        take_call(self, message);
        return;
    case PD_MESSAGE_PROCESS_DIED:
    case PD_MESSAGE_REPLY:
    case PD_SIGNAL_LINK:
    case PD_SIGNAL_UNLINK:
    case PD_SIGNAL_LINK_DIED:
    case PD_SIGNAL_MONITOR:
    case PD_SIGNAL_DEMONITOR:
    case PD_SIGNAL_PROCESS_DIED:
    case PD_SIGNAL_EXIT:
    case PD_SIGNAL_INSPECT:
        return; /* never asked for, or never seen here */
    }
}

/* --- The behavior ----------------------------------------------------------------------------- */

static void begin(struct pd_process *self)
{
    if (!data_of(self)->is_started) {
        data_of(self)->is_started = true;
        self->trapping = PD_TRAP_ALL;
        step(self, (struct pd_supervisor_event){.kind = PD_SUPERVISOR_START});
    }
}

static void arm(struct pd_process *self)
{
    struct supervisor_process *data = data_of(self);
    uint64_t deadline_ns = pd_supervisor_deadline_ns(data->machine);
    if (data->must_tell_ready) { /* our supervisor's mailbox was full: again soon */
        uint64_t soon_ns = pd_host_now_ns(self->environment->runtime->host) + READY_RETRY_NS;
        deadline_ns = soon_ns < deadline_ns ? soon_ns : deadline_ns;
    }
    if (deadline_ns != data->armed_ns) {
        data->armed_ns = deadline_ns;
        pd_process_wake_at(self, deadline_ns);
    }
}

static enum pd_resume_result resume(struct pd_process *self, uint32_t *cost_out)
{
    struct supervisor_process *data = data_of(self);
    uint32_t budget = PD_SUPERVISOR_TURN_MAX;
    begin(self);
    struct pd_message *message = NULL;
    bool is_done = execute_all(self, &budget);
    while (is_done && budget > 0 && (message = pd_process_take(self, NULL, 0)) != NULL) {
        take_message(self, message);
        pd_message_destroy(message);
        budget--;
        is_done = execute_all(self, &budget);
    }
    uint64_t now_ns = pd_host_now_ns(self->environment->runtime->host);
    if (is_done && now_ns >= pd_supervisor_deadline_ns(data->machine)) {
        step(self, (struct pd_supervisor_event){.kind = PD_SUPERVISOR_TICK});
        is_done = execute_all(self, &budget);
    }
    tell_ready(self);
    *cost_out = 1 + ITEM_COST * (PD_SUPERVISOR_TURN_MAX - budget);
    if (self->is_exit_set) {
        return PD_RESUME_EXIT;
    }
    if (now_ns >= data->armed_ns) {
        data->armed_ns = PD_TIME_NEVER; /* it fired */
    }
    if (!is_done || budget == 0) {
        return PD_RESUME_YIELD;
    }
    arm(self);
    return PD_RESUME_WAIT;
}

static void destroy(struct pd_process *self)
{
    struct supervisor_process *data = data_of(self);
    static const char why[] = "its supervisor was killed";
    struct pd_exit_text *text = NULL;
    struct pd_supervisor_child child;
    struct pd_child_id after = {0};
    while (pd_supervisor_child_after(data->machine, after, &child)) {
        after = child.child;
        if (child.pid.value == 0) {
            continue;
        }
        text = text != NULL ? text : pd_exit_text_create(why, sizeof why - 1);
        /* One that is gone already needs no kill. */
        (void)!pd_mailbox_kill(self->environment, child.pid.value, PD_EXIT_KILLED, text);
    }
    pd_exit_text_release(text);
    pd_supervisor_destroy(data->machine);
    pd_child_spec_release(data->template_spec);
    pd_free(data);
}

static const char *activity(const struct pd_process *process)
{
    (void)process;
    return NULL;
}

static const struct pd_behavior supervisor_behavior = {
    .name = "supervisor",
    .resume = resume,
    .destroy = destroy,
    .activity = activity,
};

bool pd_process_is_supervisor(const struct pd_process *process)
{
    return process->behavior == &supervisor_behavior;
}

const char *pd_supervisor_process_name(const struct pd_process *process)
{
    pd_assert(pd_process_is_supervisor(process));
    return data_of(process)->name;
}

struct pd_supervisor *pd_supervisor_process_machine(const struct pd_process *process)
{
    pd_assert(pd_process_is_supervisor(process));
    return data_of(process)->machine;
}

static enum pd_status add_all(struct pd_supervisor *machine, struct pd_child_spec *const *specs,
                              uint32_t spec_count)
{
    for (uint32_t i = 0; i < spec_count; i++) {
        enum pd_status status = pd_supervisor_add(machine, specs[i]);
        if (status != PD_OK) {
            return status == PD_ERR_FULL ? PD_ERR_INVALID : status;
        }
    }
    return PD_OK;
}

enum pd_status pd_supervisor_process_create(struct pd_environment *environment, uint64_t parent,
                                            const struct pd_supervisor_config *config,
                                            struct pd_child_spec *const *specs, uint32_t spec_count,
                                            struct pd_child_spec *template_spec,
                                            const struct pd_supervisor_hooks *hooks,
                                            struct pd_process **process_out)
{
    struct pd_supervisor *machine = NULL;
    enum pd_status status = pd_supervisor_create(config, &machine);
    if (status != PD_OK) {
        return status;
    }
    size_t name_size = strlen(config->name) + 1;
    struct supervisor_process *data = pd_alloc_zeroed(1, sizeof *data + name_size);
    status = data == NULL ? PD_ERR_NO_MEMORY : add_all(machine, specs, spec_count);
    if (status == PD_OK) {
        status = pd_process_create(environment, parent, &supervisor_behavior, data, process_out);
    }
    if (status != PD_OK) {
        pd_free(data);
        pd_supervisor_destroy(machine);
        return status;
    }
    data->machine = machine;
    data->template_spec = pd_child_spec_share(template_spec);
    data->hooks = hooks;
    data->armed_ns = PD_TIME_NEVER;
    memcpy(data->name, config->name, name_size);
    return PD_OK;
}
