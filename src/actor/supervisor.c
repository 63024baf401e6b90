#include "actor/supervisor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "actor/supervisor_state.h"
#include "base/assert.h"

#define NONE PD_CHILD_NONE
#define NEVER UINT64_MAX

/* --- Actions ---------------------------------------------------------------------------------- */

/* The caller fills in what is particular to its kind. The text stays the caller's, too. */
static struct pd_supervisor_action *push(struct pd_supervisor *s,
                                         enum pd_supervisor_action_kind kind, uint32_t slot,
                                         struct pd_exit exit)
{
    pd_assert(s->outbox_first + s->outbox_count < PD_SUPERVISOR_OUTBOX_MAX);
    struct pd_supervisor_action *action = &s->outbox[s->outbox_first + s->outbox_count++];
    *action = (struct pd_supervisor_action){
        .kind = kind,
        .exit = {exit.reason, pd_exit_text_share(exit.text)},
    };
    if (slot != NONE) {
        struct pd_child_record *record = pd_children_at(&s->children, slot);
        action->child = pd_children_name(&s->children, slot);
        action->spec = pd_child_spec_share(record->spec);
        bool is_of_the_past = kind == PD_SUPERVISOR_REPORT || kind == PD_SUPERVISOR_GIVE_UP;
        action->pid = is_of_the_past && record->pid.value == 0 ? record->ended : record->pid;
    }
    return action;
}

static const struct pd_exit no_exit = {PD_EXIT_NORMAL, NULL};

static void report(struct pd_supervisor *s, enum pd_supervisor_report kind, uint32_t slot,
                   struct pd_exit exit)
{
    struct pd_supervisor_action *action = push(s, PD_SUPERVISOR_REPORT, slot, exit);
    action->report = kind;
    action->restart_count = s->restart_count;
    action->restarts_max = s->config.restarts_max;
}

static void reply(struct pd_supervisor *s, const struct pd_supervisor_request *request,
                  enum pd_status status, uint32_t slot, struct pd_exit exit)
{
    struct pd_supervisor_action *action = push(s, PD_SUPERVISOR_REPLY, slot, exit);
    action->asker = request->asker;
    action->ref = request->ref;
    action->status = status;
}

static void send_exit(struct pd_supervisor *s, uint32_t slot, enum pd_exit_reason reason)
{
    push(s, PD_SUPERVISOR_EXIT_SIGNAL, slot, (struct pd_exit){reason, NULL});
    pd_children_at(&s->children, slot)->is_killed = reason == PD_EXIT_KILLED;
}

/* --- Operations ------------------------------------------------------------------------------- */

static void end_operation(struct pd_supervisor *s)
{
    pd_assert(s->current == NONE);
    s->operation = PD_OPERATION_NONE;
    s->stage = PD_STAGE_IDLE;
    s->is_single = false;
    s->first = NONE;
    s->cursor = NONE;
    pd_supervisor_request_deinit(&s->request);
}

static void begin_operation(struct pd_supervisor *s, enum pd_supervisor_operation operation,
                            enum pd_supervisor_stage stage, uint32_t first, bool is_single,
                            uint32_t cursor)
{
    s->operation = operation;
    s->stage = stage;
    s->first = first;
    s->is_single = is_single;
    s->cursor = cursor;
}

static void wait_for(struct pd_supervisor *s, uint32_t slot, uint64_t deadline_ns)
{
    s->current = slot;
    s->deadline_ns = deadline_ns;
}

static void wait_no_more(struct pd_supervisor *s)
{
    wait_for(s, NONE, NEVER);
    s->is_start_overdue = false;
}

static bool stops_in_parallel(const struct pd_supervisor *s)
{
    return s->phase == PD_PHASE_STOPPING && s->config.strategy == PD_DYNAMIC;
}

/* Forget a child that ended; a walk that stands on it goes on. */
static void remove_child(struct pd_supervisor *s, uint32_t slot)
{
    pd_work_remove_child(&s->work, slot);
    if (s->cursor == slot) {
        s->cursor = pd_children_at(&s->children, slot)->before;
    }
    pd_children_remove(&s->children, slot);
}

static bool is_forgotten_when_stopped(const struct pd_supervisor *s, uint32_t slot)
{
    return s->children.is_dynamic || s->children.records[slot].spec->restart == PD_CHILD_TEMPORARY;
}

/* The whole supervisor ends with `exit` (its text is the caller's, too). */
static void begin_stop(struct pd_supervisor *s, struct pd_exit exit)
{
    pd_assert(s->phase == PD_PHASE_NEW || s->phase == PD_PHASE_LIVE);
    if (s->operation == PD_OPERATION_REQUEST) {
        reply(s, &s->request, PD_ERR_CLOSED, NONE, no_exit);
        pd_supervisor_request_deinit(&s->request);
    }
    s->phase = PD_PHASE_STOPPING;
    s->exit = (struct pd_exit){exit.reason, pd_exit_text_share(exit.text)};
    s->stop_began_ns = s->now_ns;
    bool is_parallel = stops_in_parallel(s);
    begin_operation(s, PD_OPERATION_STOP_ALL, is_parallel ? PD_STAGE_SIGNAL : PD_STAGE_STOP, NONE,
                    false, s->children.last);
    /* A child that is half-way down or not up yet is waited for first, as before. */
    uint8_t state = s->current == NONE ? (uint8_t)PD_CHILD_STOPPED
                                       : pd_children_at(&s->children, s->current)->state;
    if (is_parallel || (state != PD_CHILD_STOPPING && state != PD_CHILD_SPAWNING)) {
        wait_no_more(s);
    }
}

static struct pd_exit_text *text_of_giving_up(struct pd_supervisor *s, uint32_t slot,
                                              const char *what, bool is_too_often,
                                              struct pd_exit cause)
{
    const char *detail = pd_exit_text_bytes(cause.text);
    char limit[96];
    if (is_too_often && s->config.period_ns % PD_NS_PER_S == 0) {
        snprintf(limit, sizeof limit, "more than %" PRIu32 " restarts in %" PRIu64 " s",
                 s->config.restarts_max, s->config.period_ns / PD_NS_PER_S);
    } else if (is_too_often) {
        snprintf(limit, sizeof limit, "more than %" PRIu32 " restarts in %" PRIu64 " ms",
                 s->config.restarts_max, s->config.period_ns / PD_NS_PER_MS);
    } else {
        snprintf(limit, sizeof limit, "it cannot start");
    }
    char text[PD_EXIT_TEXT_MAX];
    int size = snprintf(text, sizeof text, "supervisor %s gave up: %s\n  child %s %s %s%s%s",
                        s->name, limit, pd_children_at(&s->children, slot)->spec->id, what,
                        pd_exit_reason_text(cause.reason), detail[0] == '\0' ? "" : ": ", detail);
    pd_assert(size > 0);
    size_t length = (size_t)size < sizeof text ? (size_t)size : sizeof text - 1;
    return pd_exit_text_create(text, length);
}

/* Escalate: end with a failure whose text is the chain of reasons. */
static void give_up(struct pd_supervisor *s, uint32_t slot, const char *what, bool is_too_often,
                    struct pd_exit cause)
{
    struct pd_exit exit = {PD_EXIT_FAILURE, text_of_giving_up(s, slot, what, is_too_often, cause)};
    push(s, PD_SUPERVISOR_GIVE_UP, slot, exit);
    begin_stop(s, exit);
    pd_exit_text_release(exit.text);
}

/* --- Starting --------------------------------------------------------------------------------- */

static void child_is_up(struct pd_supervisor *s, uint32_t slot)
{
    wait_no_more(s);
    pd_children_set_state(&s->children, slot, PD_CHILD_RUNNING);
    if (s->operation == PD_OPERATION_REQUEST) {
        reply(s, &s->request, PD_OK, slot, no_exit);
        end_operation(s);
    } else {
        s->cursor = s->is_single ? NONE : pd_children_at(&s->children, slot)->after;
    }
}

/* The child at the cursor has no process (any more) and did not come up. */
static void start_failed(struct pd_supervisor *s, uint32_t slot, enum pd_status status,
                         struct pd_exit exit)
{
    pd_assert(s->stage == PD_STAGE_START && s->cursor == slot);
    wait_no_more(s);
    if (s->operation == PD_OPERATION_REQUEST) {
        pd_children_set_state(&s->children, slot, PD_CHILD_STOPPED);
        bool is_new = s->request.kind == PD_SUPERVISOR_START_CHILD;
        reply(s, &s->request, status, slot, exit);
        end_operation(s);
        if (is_new || is_forgotten_when_stopped(s, slot)) {
            remove_child(s, slot);
        }
        return;
    }
    report(s, PD_REPORT_NO_START, slot, exit);
    if (s->operation == PD_OPERATION_START_ALL) {
        pd_children_set_state(&s->children, slot, PD_CHILD_STOPPED);
        give_up(s, slot, "could not be started:", false, exit);
        return;
    }
    pd_assert(s->operation == PD_OPERATION_RESTART);
    pd_children_set_state(&s->children, slot, PD_CHILD_RETRY);
    pd_children_set_exit(&s->children, slot, exit);
    pd_work_add_child(&s->work, slot);
    end_operation(s);
}

static void start_stage_is_done(struct pd_supervisor *s)
{
    if (s->operation == PD_OPERATION_START_ALL) {
        push(s, PD_SUPERVISOR_STARTED, NONE, no_exit);
    }
    end_operation(s);
}

static void advance_start(struct pd_supervisor *s)
{
    uint32_t slot = s->cursor;
    if (slot == NONE) {
        start_stage_is_done(s);
        return;
    }
    pd_assert(pd_children_at(&s->children, slot)->pid.value == 0);
    pd_work_remove_child(&s->work, slot);
    pd_children_forget_exit(&s->children, slot);
    pd_children_set_state(&s->children, slot, PD_CHILD_SPAWNING);
    pd_children_at(&s->children, slot)->is_killed = false;
    wait_for(s, slot, NEVER);
    push(s, PD_SUPERVISOR_SPAWN, slot, no_exit);
}

/* --- Stopping --------------------------------------------------------------------------------- */

/* When patience with a child that was told to end at `began_ns` is over. */
static uint64_t patience_ends_ns(const struct pd_child_record *record, uint64_t began_ns)
{
    if (record->is_killed || record->spec->shutdown != PD_CHILD_STOP_TIMEOUT) {
        return NEVER;
    }
    return began_ns + record->spec->stop_ms * PD_NS_PER_MS;
}

static void tell_to_end(struct pd_supervisor *s, uint32_t slot)
{
    struct pd_child_record *record = pd_children_at(&s->children, slot);
    bool is_kill = s->is_brutal || record->spec->shutdown == PD_CHILD_STOP_BRUTAL;
    pd_children_set_state(&s->children, slot, PD_CHILD_STOPPING);
    send_exit(s, slot, is_kill ? PD_EXIT_KILLED : PD_EXIT_SHUTDOWN);
}

static void stop_stage_is_done(struct pd_supervisor *s)
{
    switch (s->operation) {
    case PD_OPERATION_RESTART:
        s->stage = PD_STAGE_START;
        s->cursor = s->first == NONE ? s->children.first : s->first;
        return;
    case PD_OPERATION_REQUEST:
        if (s->request.kind == PD_SUPERVISOR_REPLACE_CHILD) {
            struct pd_child_record *record = pd_children_at(&s->children, s->first);
            if (s->request.spec != NULL) {
                struct pd_child_spec *old = record->spec;
                record->spec = pd_child_spec_share(s->request.spec);
                pd_child_spec_release(old);
            }
            s->stage = PD_STAGE_START;
            s->cursor = s->first;
            return;
        }
        reply(s, &s->request, PD_OK, s->first, no_exit);
        if (is_forgotten_when_stopped(s, s->first)) {
            remove_child(s, s->first);
        }
        end_operation(s);
        return;
    case PD_OPERATION_STOP_ALL:
        pd_assert(s->children.live_count == 0);
        s->phase = PD_PHASE_STOPPED;
        wait_no_more(s);
        push(s, PD_SUPERVISOR_STOPPED, NONE, s->exit);
        end_operation(s);
        return;
    case PD_OPERATION_NONE:
    case PD_OPERATION_START_ALL:
        break;
    }
    pd_assert(s->operation == PD_OPERATION_STOP_ALL); /* the others stop nobody */
}

static void advance_stop(struct pd_supervisor *s)
{
    uint32_t slot = s->cursor;
    if (slot == NONE) {
        stop_stage_is_done(s);
        return;
    }
    struct pd_child_record *record = pd_children_at(&s->children, slot);
    switch ((enum pd_child_state)record->state) {
    case PD_CHILD_STARTING:
    case PD_CHILD_RUNNING:
        tell_to_end(s, slot);
        wait_for(s, slot, patience_ends_ns(record, s->now_ns));
        return;
    case PD_CHILD_STOPPED:
    case PD_CHILD_EXITED:
    case PD_CHILD_RETRY:
        pd_work_remove_child(&s->work, slot);
        pd_children_forget_exit(&s->children, slot);
        pd_children_set_state(&s->children, slot, PD_CHILD_STOPPED);
        s->cursor = s->is_single || slot == s->first ? NONE : record->before;
        if (s->operation == PD_OPERATION_RESTART && is_forgotten_when_stopped(s, slot)) {
            remove_child(s, slot);
        }
        return;
    case PD_CHILD_SPAWNING:
    case PD_CHILD_STOPPING:
        break; /* it would be `current`, and we would wait */
    }
    pd_assert(s->current == slot); /* never: then we would wait, not be here */
}

/* One child of a dynamic supervisor that stops: told to end at first, killed when its time is
 * over. */
static void advance_signal(struct pd_supervisor *s)
{
    uint32_t slot = s->cursor;
    if (slot == NONE) {
        s->stage = PD_STAGE_WAIT;
        return;
    }
    struct pd_child_record *record = pd_children_at(&s->children, slot);
    s->cursor = record->before;
    switch ((enum pd_child_state)record->state) {
    case PD_CHILD_STARTING:
    case PD_CHILD_RUNNING:
        tell_to_end(s, slot);
        break;
    case PD_CHILD_STOPPING:
        if (patience_ends_ns(record, s->stop_began_ns) <= s->now_ns) {
            report(s, PD_REPORT_NO_STOP, slot, no_exit);
            send_exit(s, slot, PD_EXIT_KILLED);
        } else if (s->is_brutal && !record->is_killed) {
            send_exit(s, slot, PD_EXIT_KILLED);
        }
        break;
    case PD_CHILD_STOPPED:
    case PD_CHILD_EXITED:
    case PD_CHILD_RETRY:
        remove_child(s, slot);
        return;
    case PD_CHILD_SPAWNING:
        return; /* told when it has a process */
    }
    uint64_t patience_ns = patience_ends_ns(record, s->stop_began_ns);
    s->deadline_ns = patience_ns < s->deadline_ns ? patience_ns : s->deadline_ns;
}

static void advance_wait(struct pd_supervisor *s)
{
    if (s->children.count == 0) {
        stop_stage_is_done(s);
    }
}

/* --- Restarting ------------------------------------------------------------------------------- */

/* Count one restart now. False: one more than allowed within the period. */
static bool admit_restart(struct pd_supervisor *s)
{
    uint32_t max = s->config.restarts_max;
    while (s->restart_count > 0 &&
           s->now_ns - s->restarts[s->restart_first] > s->config.period_ns) {
        s->restart_first = (s->restart_first + 1) % max;
        s->restart_count--;
    }
    if (s->restart_count == max) {
        return false;
    }
    s->restarts[(s->restart_first + s->restart_count) % max] = s->now_ns;
    s->restart_count++;
    return true;
}

static void restart_child(struct pd_supervisor *s, uint32_t slot)
{
    struct pd_child_record *record = pd_children_at(&s->children, slot);
    bool is_retry = record->state == PD_CHILD_RETRY;
    if (!admit_restart(s)) {
        give_up(s, slot, is_retry ? "could not be restarted:" : "ended with", true, record->exit);
        return;
    }
    record->restart_count++;
    report(s, PD_REPORT_RESTART, slot, record->exit);
    switch (s->config.strategy) {
    case PD_ONE_FOR_ONE:
    case PD_DYNAMIC:
        begin_operation(s, PD_OPERATION_RESTART, PD_STAGE_START, slot, true, slot);
        return;
    case PD_REST_FOR_ONE:
        begin_operation(s, PD_OPERATION_RESTART, PD_STAGE_STOP, slot, false, s->children.last);
        return;
    case PD_ONE_FOR_ALL:
        begin_operation(s, PD_OPERATION_RESTART, PD_STAGE_STOP, NONE, false, s->children.last);
        return;
    }
}

/* A child ended by itself and stays down. */
static void leave_ended(struct pd_supervisor *s, uint32_t slot)
{
    struct pd_child_record *record = pd_children_at(&s->children, slot);
    bool is_significant = record->spec->is_significant;
    bool is_failure =
        record->exit.reason != PD_EXIT_NORMAL && record->exit.reason != PD_EXIT_SHUTDOWN;
    if (is_failure) {
        report(s, PD_REPORT_ENDED, slot, record->exit);
    }
    char text[PD_CHILD_ID_SIZE_MAX + 64];
    int size = snprintf(text, sizeof text, "significant child %s ended", record->spec->id);
    pd_children_forget_exit(&s->children, slot);
    pd_children_set_state(&s->children, slot, PD_CHILD_STOPPED);
    if (is_forgotten_when_stopped(s, slot)) {
        remove_child(s, slot);
    }
    bool is_over =
        s->config.auto_shutdown == PD_AUTO_SHUTDOWN_ANY ||
        (s->config.auto_shutdown == PD_AUTO_SHUTDOWN_ALL && s->children.significant_count == 0);
    if (is_significant && is_over) {
        struct pd_exit exit = {PD_EXIT_SHUTDOWN, pd_exit_text_create(text, (size_t)size)};
        begin_stop(s, exit);
        pd_exit_text_release(exit.text);
    }
}

static void handle_ended_child(struct pd_supervisor *s, uint32_t slot)
{
    struct pd_child_record *record = pd_children_at(&s->children, slot);
    if (record->state == PD_CHILD_RETRY) {
        restart_child(s, slot);
        return;
    }
    pd_assert(record->state == PD_CHILD_EXITED);
    bool is_expected =
        record->exit.reason == PD_EXIT_NORMAL || record->exit.reason == PD_EXIT_SHUTDOWN;
    switch (record->spec->restart) {
    case PD_CHILD_PERMANENT:
        restart_child(s, slot);
        return;
    case PD_CHILD_TRANSIENT:
        if (is_expected) {
            leave_ended(s, slot);
        } else {
            restart_child(s, slot);
        }
        return;
    case PD_CHILD_TEMPORARY:
        leave_ended(s, slot);
        return;
    }
}

/* --- Requests --------------------------------------------------------------------------------- */

static uint32_t find_target(const struct pd_supervisor *s,
                            const struct pd_supervisor_request *request)
{
    if (request->child.value != 0) {
        return pd_children_find(&s->children, request->child);
    }
    if (request->pid.value != 0) {
        return pd_children_find_pid(&s->children, request->pid);
    }
    return request->id == NULL ? NONE : pd_children_find_id(&s->children, request->id);
}

static void refuse_request(struct pd_supervisor *s, enum pd_status status, uint32_t slot)
{
    reply(s, &s->request, status, slot, no_exit);
    end_operation(s);
}

static void begin_start_child(struct pd_supervisor *s)
{
    if (s->request.spec == NULL) {
        refuse_request(s, PD_ERR_INVALID, NONE);
        return;
    }
    uint32_t slot = NONE;
    enum pd_status status = pd_children_add(&s->children, s->request.spec, &slot);
    if (status != PD_OK) {
        refuse_request(s, status, slot);
        return;
    }
    begin_operation(s, PD_OPERATION_REQUEST, PD_STAGE_START, slot, true, slot);
}

static void begin_request(struct pd_supervisor *s)
{
    if (s->request.kind == PD_SUPERVISOR_START_CHILD) {
        begin_start_child(s);
        return;
    }
    uint32_t slot = find_target(s, &s->request);
    if (slot == NONE) {
        refuse_request(s, PD_ERR_UNKNOWN, NONE);
        return;
    }
    struct pd_child_record *record = pd_children_at(&s->children, slot);
    bool is_stopped = record->state == PD_CHILD_STOPPED;
    switch (s->request.kind) {
    case PD_SUPERVISOR_STOP_CHILD:
        begin_operation(s, PD_OPERATION_REQUEST, PD_STAGE_STOP, slot, true, slot);
        return;
    case PD_SUPERVISOR_REPLACE_CHILD:
        if (s->request.spec != NULL && strcmp(s->request.spec->id, record->spec->id) != 0) {
            refuse_request(s, PD_ERR_INVALID, slot);
            return;
        }
        begin_operation(s, PD_OPERATION_REQUEST, PD_STAGE_STOP, slot, true, slot);
        return;
    case PD_SUPERVISOR_RESTART_CHILD:
        if (!is_stopped) {
            refuse_request(s, PD_ERR_EXISTS, slot);
            return;
        }
        begin_operation(s, PD_OPERATION_REQUEST, PD_STAGE_START, slot, true, slot);
        return;
    case PD_SUPERVISOR_DELETE_CHILD:
        refuse_request(s, is_stopped ? PD_OK : PD_ERR_EXISTS, slot);
        if (is_stopped) {
            remove_child(s, slot);
        }
        return;
    case PD_SUPERVISOR_START_CHILD:
        break;
    }
    refuse_request(s, PD_ERR_INVALID, slot); /* a number that is no kind of request */
}

static void receive_request(struct pd_supervisor *s, const struct pd_supervisor_request *request)
{
    enum pd_status status = PD_ERR_CLOSED;
    if (s->phase == PD_PHASE_NEW || s->phase == PD_PHASE_LIVE) {
        status = pd_work_add_request(&s->work, request);
    }
    if (status != PD_OK) {
        struct pd_supervisor_request refused = *request;
        reply(s, &refused, status, NONE, no_exit);
        pd_supervisor_request_deinit(&refused);
    }
}

/* --- Events ----------------------------------------------------------------------------------- */

static void child_started(struct pd_supervisor *s, const struct pd_supervisor_event *event)
{
    uint32_t slot = pd_children_find(&s->children, event->child);
    pd_assert(slot != NONE);
    pd_assert(event->pid.value != 0);
    struct pd_child_record *record = pd_children_at(&s->children, slot);
    pd_assert(record->state == PD_CHILD_SPAWNING);
    pd_children_set_pid(&s->children, slot, event->pid);
    if (s->phase == PD_PHASE_STOPPING) {
        pd_children_set_state(&s->children, slot, PD_CHILD_RUNNING);
        wait_for(s, NONE, s->deadline_ns);
        if (stops_in_parallel(s)) {
            tell_to_end(s, slot);
            uint64_t patience_ns = patience_ends_ns(record, s->stop_began_ns);
            s->deadline_ns = patience_ns < s->deadline_ns ? patience_ns : s->deadline_ns;
        }
        return;
    }
    if (!record->spec->needs_ready) {
        child_is_up(s, slot);
        return;
    }
    pd_children_set_state(&s->children, slot, PD_CHILD_STARTING);
    uint64_t ready_ms = record->spec->ready_ms;
    wait_for(s, slot,
             ready_ms == PD_CHILD_NO_TIMEOUT ? NEVER : s->now_ns + ready_ms * PD_NS_PER_MS);
}

/* A child's process is gone while the supervisor stops, or it never had one. */
static void child_is_down(struct pd_supervisor *s, uint32_t slot)
{
    pd_children_set_state(&s->children, slot, PD_CHILD_STOPPED);
    if (stops_in_parallel(s)) {
        remove_child(s, slot);
    }
}

static void child_failed(struct pd_supervisor *s, const struct pd_supervisor_event *event)
{
    uint32_t slot = pd_children_find(&s->children, event->child);
    pd_assert(slot != NONE);
    pd_assert(pd_children_at(&s->children, slot)->state == PD_CHILD_SPAWNING);
    if (s->phase == PD_PHASE_STOPPING) {
        s->current = NONE;
        child_is_down(s, slot);
        return;
    }
    start_failed(s, slot, event->status == PD_OK ? PD_ERR_CLOSED : event->status, event->exit);
}

static void child_ready(struct pd_supervisor *s, struct pd_pid pid)
{
    uint32_t slot = pd_children_find_pid(&s->children, pid);
    /* Said twice, or too late: nobody waits for it. */
    if (slot == NONE || slot != s->current ||
        pd_children_at(&s->children, slot)->state != PD_CHILD_STARTING) {
        return;
    }
    child_is_up(s, slot);
}

static void overdue_child_ended(struct pd_supervisor *s, uint32_t slot)
{
    char text[96];
    int size = snprintf(text, sizeof text, "it did not say that it is ready within %" PRIu64 " ms",
                        pd_children_at(&s->children, slot)->spec->ready_ms);
    struct pd_exit exit = {PD_EXIT_FAILURE, pd_exit_text_create(text, (size_t)size)};
    start_failed(s, slot, PD_ERR_TIMEOUT, exit);
    pd_exit_text_release(exit.text);
}

static void child_exited(struct pd_supervisor *s, struct pd_pid pid, struct pd_exit exit)
{
    uint32_t slot = pd_children_find_pid(&s->children, pid);
    if (slot == NONE) {
        return; /* a former incarnation, or no child at all */
    }
    struct pd_child_record *record = pd_children_at(&s->children, slot);
    enum pd_child_state state = (enum pd_child_state)record->state;
    bool is_overdue = s->is_start_overdue && s->current == slot;
    pd_children_set_pid(&s->children, slot, (struct pd_pid){0});
    record->ended = pid;
    if (s->current == slot) {
        wait_no_more(s);
    }
    if (s->phase == PD_PHASE_STOPPING) {
        child_is_down(s, slot);
        return;
    }
    pd_assert(s->phase == PD_PHASE_LIVE);
    if (is_overdue) {
        overdue_child_ended(s, slot);
    } else if (state == PD_CHILD_STARTING) {
        start_failed(s, slot, PD_ERR_CLOSED, exit);
    } else if (state == PD_CHILD_RUNNING) {
        pd_children_set_state(&s->children, slot, PD_CHILD_EXITED);
        pd_children_set_exit(&s->children, slot, exit);
        pd_work_add_child(&s->work, slot);
    } else {
        pd_assert(state == PD_CHILD_STOPPING);
        pd_children_set_state(&s->children, slot, PD_CHILD_STOPPED);
    }
}

static void deadline_passed(struct pd_supervisor *s)
{
    if (s->now_ns < s->deadline_ns) {
        return;
    }
    s->deadline_ns = NEVER;
    if (stops_in_parallel(s)) {
        s->stage = PD_STAGE_SIGNAL;
        s->cursor = s->children.last;
        return;
    }
    pd_assert(s->current != NONE);
    uint32_t slot = s->current;
    if (pd_children_at(&s->children, slot)->state == PD_CHILD_STARTING) {
        s->is_start_overdue = true;
        pd_children_set_state(&s->children, slot, PD_CHILD_STOPPING);
    } else {
        report(s, PD_REPORT_NO_STOP, slot, no_exit);
    }
    send_exit(s, slot, PD_EXIT_KILLED);
}

static void stop_requested(struct pd_supervisor *s, struct pd_exit exit, bool is_brutal)
{
    if (s->phase == PD_PHASE_STOPPED) {
        return;
    }
    bool was_brutal = s->is_brutal;
    s->is_brutal = was_brutal || is_brutal;
    if (s->phase != PD_PHASE_STOPPING) {
        begin_stop(s, exit);
    }
    if (was_brutal || !is_brutal) {
        return;
    }
    if (stops_in_parallel(s)) {
        s->stage = PD_STAGE_SIGNAL;
        s->cursor = s->children.last;
        return;
    }
    uint32_t slot = s->current;
    if (slot != NONE && pd_children_at(&s->children, slot)->state == PD_CHILD_STOPPING &&
        !pd_children_at(&s->children, slot)->is_killed) {
        s->deadline_ns = NEVER;
        send_exit(s, slot, PD_EXIT_KILLED);
    }
}

void pd_supervisor_step(struct pd_supervisor *s, const struct pd_supervisor_event *event)
{
    pd_assert(s->outbox_count == 0);
    s->now_ns = event->now_ns > s->now_ns ? event->now_ns : s->now_ns;
    switch (event->kind) {
    case PD_SUPERVISOR_START:
        if (s->phase == PD_PHASE_NEW) {
            s->phase = PD_PHASE_LIVE;
            begin_operation(s, PD_OPERATION_START_ALL, PD_STAGE_START, NONE, false,
                            s->children.first);
        }
        return;
    case PD_SUPERVISOR_CHILD_STARTED:
        child_started(s, event);
        return;
    case PD_SUPERVISOR_CHILD_FAILED:
        child_failed(s, event);
        return;
    case PD_SUPERVISOR_CHILD_READY:
        child_ready(s, event->pid);
        return;
    case PD_SUPERVISOR_CHILD_EXITED:
        child_exited(s, event->pid, event->exit);
        return;
    case PD_SUPERVISOR_TICK:
        deadline_passed(s);
        return;
    case PD_SUPERVISOR_STOP:
        stop_requested(s, event->exit, event->is_brutal);
        return;
    case PD_SUPERVISOR_REQUEST:
        receive_request(s, &event->request);
        return;
    }
}

/* --- Going on --------------------------------------------------------------------------------- */

/* The next thing that waits for attention. False: nothing does. */
static bool take_work(struct pd_supervisor *s)
{
    uint32_t slot;
    struct pd_supervisor_request request;
    if (!pd_work_take(&s->work, &slot, &request)) {
        return false;
    }
    if (slot != NONE && s->phase == PD_PHASE_LIVE) {
        handle_ended_child(s, slot);
    } else if (slot == NONE && s->phase == PD_PHASE_LIVE) {
        s->request = request;
        begin_request(s);
    } else if (slot == NONE) {
        reply(s, &request, PD_ERR_CLOSED, NONE, no_exit);
        pd_supervisor_request_deinit(&request);
    }
    return true;
}

/* One more step of what is going on. False: it waits for an event. */
static bool advance(struct pd_supervisor *s)
{
    if (s->phase == PD_PHASE_NEW || s->phase == PD_PHASE_STOPPED) {
        return false;
    }
    if (s->phase == PD_PHASE_STOPPING && take_work(s)) {
        return true;
    }
    if (s->current != NONE) {
        return false;
    }
    switch (s->stage) {
    case PD_STAGE_IDLE:
        return take_work(s);
    case PD_STAGE_STOP:
        advance_stop(s);
        return true;
    case PD_STAGE_START:
        advance_start(s);
        return true;
    case PD_STAGE_SIGNAL:
        advance_signal(s);
        return true;
    case PD_STAGE_WAIT:
        advance_wait(s);
        return s->phase == PD_PHASE_STOPPED;
    }
    return false;
}

bool pd_supervisor_next(struct pd_supervisor *s, struct pd_supervisor_action *action_out)
{
    pd_supervisor_action_deinit(&s->given);
    while (s->outbox_count == 0) {
        if (!advance(s)) {
            return false;
        }
    }
    s->given = s->outbox[s->outbox_first];
    s->outbox_first++;
    s->outbox_count--;
    if (s->outbox_count == 0) {
        s->outbox_first = 0;
    }
    *action_out = s->given;
    return true;
}

uint64_t pd_supervisor_deadline_ns(const struct pd_supervisor *s)
{
    return s->deadline_ns;
}
