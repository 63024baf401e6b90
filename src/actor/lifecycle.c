#include "actor/lifecycle.h"

#include "actor/child_spec.h"
#include "actor/environment.h"
#include "actor/inspect.h"
#include "actor/mailbox.h"
#include "actor/runtime.h"
#include "actor/tags.h"
#include "actor/tracer.h"
#include "base/assert.h"

/* --- Making ----------------------------------------------------------------------------------- */

enum pd_status pd_process_create(struct pd_environment *environment, uint64_t parent,
                                 const struct pd_behavior *behavior, void *data,
                                 struct pd_process **process_out)
{
    struct pd_runtime *runtime = environment->runtime;
    uint64_t pid = 0;
    enum pd_status status = pd_environment_take_pid(environment, &pid);
    if (status != PD_OK) {
        return status;
    }
    struct pd_process *process = pd_runtime_pool_take(runtime);
    if (process == NULL) {
        pd_environment_give_pid(environment, pid);
        return PD_ERR_NO_MEMORY;
    }
    pd_spin_lock(&process->lock); /* a stale pointer may be looking at it */
    process->pid = pid;
    process->environment = environment;
    pd_spin_unlock(&process->lock);
    process->parent = parent;
    process->behavior = behavior;
    process->data = data;
    process->birth_ns = pd_host_now_ns(runtime->host);
    atomic_fetch_add_explicit(&runtime->process_count, 1, memory_order_relaxed);
    pd_trace_fold(runtime->trace, PD_TRACE_SPAWN, pid, parent, environment->id);
    *process_out = process;
    return PD_OK;
}

/* Give back pid and structure. */
static void give_back(struct pd_process *process)
{
    struct pd_environment *environment = process->environment;
    struct pd_runtime *runtime = environment->runtime;
    uint64_t pid = process->pid;
    pd_mailbox_free(process);
    pd_environment_give_pid(environment, pid);
    pd_runtime_pool_give(runtime, process);
    if (atomic_fetch_sub_explicit(&runtime->process_count, 1, memory_order_acq_rel) == 1) {
        runtime->host->ops->event_set(runtime->host, &runtime->drained);
    }
}

void pd_process_discard(struct pd_process *process)
{
    pd_assert(!process->is_started);
    pd_bond_set_deinit(&process->bonds);
    pd_exit_text_release(process->exit.text);
    pd_child_spec_release(process->spec);
    give_back(process);
}

void pd_process_start(struct pd_process *process)
{
    pd_assert(!process->is_started);
    struct pd_runtime *runtime = process->environment->runtime;
    struct pd_scheduler *here = pd_scheduler_current();
    struct pd_process *maker = here == NULL ? NULL : here->running;
    if (maker != NULL && pd_process_is_traced(maker)) {
        pd_tracer_note(maker, (struct pd_traced){.kind = PD_TRACED_SPAWNED, .pid = process->pid});
    }
    process->is_started = true;
    atomic_fetch_add_explicit(&runtime->started_processes, 1, memory_order_relaxed);
    pd_mailbox_open(process);
    pd_runtime_enqueue(runtime, process);
}

/* --- Bonds ------------------------------------------------------------------------------------ */

/* What bonds leave behind counts too: else one that watches the dead and never looks would grow for
 * ever. */
static bool has_bond_room(const struct pd_process *self)
{
    return (uint64_t)self->bonds.count + self->notice_count <
           self->environment->runtime->config.bonds_max;
}

static void note_bond(struct pd_process *self, enum pd_traced_kind kind, uint64_t peer)
{
    if (pd_process_is_traced(self)) {
        pd_tracer_note(self, (struct pd_traced){.kind = (uint8_t)kind, .pid = peer});
    }
}

enum pd_status pd_process_link_child(struct pd_process *parent, struct pd_process *child,
                                     uint64_t tag)
{
    if (!has_bond_room(parent)) {
        return PD_ERR_FULL;
    }
    struct pd_bond *of_parent = pd_bond_create(PD_BOND_LINK, child->pid, tag, 0);
    struct pd_bond *of_child = pd_bond_create(PD_BOND_LINK, parent->pid, 0, 0);
    if (of_parent == NULL || of_child == NULL) {
        pd_message_destroy(of_parent == NULL ? NULL : &of_parent->message);
        pd_message_destroy(of_child == NULL ? NULL : &of_child->message);
        return PD_ERR_NO_MEMORY;
    }
    note_bond(parent, PD_TRACED_LINKED, child->pid);
    pd_bond_set_insert(&parent->bonds, of_parent);
    pd_bond_set_insert(&child->bonds, of_child);
    return PD_OK;
}

/* A notice to ourselves that what we wanted to bond with is not there. Reuses the request's
 * block. */
static void notice_to_self(struct pd_process *self, struct pd_message *request,
                           enum pd_message_kind kind, uint64_t pid)
{
    request->kind = (uint8_t)kind;
    request->pid = pid;
    request->reason = PD_EXIT_NO_PROCESS;
    enum pd_status status = pd_mailbox_post(self->environment, self->pid, request);
    if (status != PD_OK) { /* we are ending: our bonds are told anyway */
        pd_message_destroy(request);
    }
}

/* The receiver does not exist. Takes the message. */
static void undeliverable(struct pd_process *self, struct pd_message *message, uint64_t pid)
{
    if (message->kind == PD_SIGNAL_LINK) {
        notice_to_self(self, message, PD_SIGNAL_LINK_DIED, pid);
        return;
    }
    if (message->kind == PD_SIGNAL_MONITOR) {
        if (message->ref != 0) {
            notice_to_self(self, message, PD_SIGNAL_PROCESS_DIED, pid);
            return;
        }
        struct pd_bond *watching = pd_bond_set_find(&self->bonds, PD_BOND_WATCHING, pid, 0);
        if (watching != NULL) {
            pd_bond_set_remove(&self->bonds, watching);
            pd_message_destroy(&watching->message);
        }
    }
    pd_message_destroy(message);
}

static void outbox_append(struct pd_process *self, struct pd_message *message, uint64_t pid)
{
    message->to = pid;
    message->next = NULL;
    if (self->outbox_first == NULL) {
        self->outbox_end = &self->outbox_first;
    }
    *self->outbox_end = message;
    self->outbox_end = &message->next;
    self->outbox_count++;
}

/* Send a request that must arrive: through the outbox when the receiver has no room. */
static void post_request(struct pd_process *self, uint64_t pid, struct pd_message *message)
{
    enum pd_status status = PD_ERR_FULL;
    if (self->outbox_first == NULL) {
        status = pd_mailbox_post(self->environment, pid, message);
    }
    if (status == PD_ERR_FULL) {
        outbox_append(self, message, pid);
    } else if (status != PD_OK) {
        undeliverable(self, message, pid);
    }
}

bool pd_lifecycle_flush_outbox(struct pd_process *self)
{
    while (self->outbox_first != NULL) {
        struct pd_message *message = self->outbox_first;
        uint64_t pid = message->to;
        struct pd_message *next = message->next;
        enum pd_status status =
            pd_mailbox_post_or_wait(self->environment, pid, message, &self->waiter);
        if (status == PD_ERR_FULL) {
            return false;
        }
        self->outbox_first = next;
        self->outbox_count--;
        if (status != PD_OK) {
            pd_mailbox_stop_waiting(&self->waiter);
            undeliverable(self, message, pid);
        }
    }
    return true;
}

/* It counts in a mailbox. */
static bool is_counted(const struct pd_message *message)
{
    return message->kind == PD_MESSAGE_DATA || message->kind == PD_MESSAGE_REPLY;
}

/* The sender ends: what it had not sent yet is lost, but others must not be left with half a
 * bond. */
static void empty_outbox(struct pd_process *self)
{
    while (self->outbox_first != NULL) {
        struct pd_message *message = self->outbox_first;
        self->outbox_first = message->next;
        if (is_counted(message) ||
            pd_mailbox_post(self->environment, message->to, message) != PD_OK) {
            pd_message_destroy(message);
        }
    }
}

enum pd_status pd_process_link(struct pd_process *self, uint64_t pid, uint64_t tag)
{
    if (pid == self->pid) {
        return PD_OK;
    }
    struct pd_bond *known = pd_bond_set_find(&self->bonds, PD_BOND_LINK, pid, 0);
    if (known == NULL && !has_bond_room(self)) {
        return PD_ERR_FULL;
    }
    struct pd_bond *request = pd_bond_create(PD_BOND_LINK, self->pid, tag, 0);
    struct pd_bond *own = known != NULL ? known : pd_bond_create(PD_BOND_LINK, pid, tag, 0);
    if (request == NULL || own == NULL) {
        pd_message_destroy(request == NULL ? NULL : &request->message);
        if (known == NULL && own != NULL) {
            pd_message_destroy(&own->message);
        }
        return PD_ERR_NO_MEMORY;
    }
    own->message.tag = tag;
    own->asked = pd_runtime_new_ref(self->environment->runtime);
    request->asked = own->asked;
    note_bond(self, PD_TRACED_LINKED, pid);
    if (known == NULL) {
        pd_bond_set_insert(&self->bonds, own);
    }
    request->message.kind = PD_SIGNAL_LINK;
    post_request(self, pid, &request->message);
    return PD_OK;
}

/* Turn a bond into the signal that undoes it at the peer. */
static void undo_at_peer(struct pd_process *self, struct pd_bond *bond, enum pd_message_kind kind)
{
    uint64_t peer = bond->peer;
    pd_bond_set_remove(&self->bonds, bond);
    bond->message.kind = (uint8_t)kind;
    bond->message.pid = self->pid;
    post_request(self, peer, &bond->message);
}

void pd_process_unlink(struct pd_process *self, uint64_t pid)
{
    struct pd_bond *bond = pd_bond_set_find(&self->bonds, PD_BOND_LINK, pid, 0);
    if (bond != NULL) {
        note_bond(self, PD_TRACED_UNLINKED, pid);
        undo_at_peer(self, bond, PD_SIGNAL_UNLINK);
    }
}

enum pd_status pd_process_monitor(struct pd_process *self, uint64_t pid, uint64_t ref)
{
    if (pd_bond_set_find(&self->bonds, PD_BOND_WATCHING, pid, ref) != NULL) {
        return PD_OK;
    }
    if (!has_bond_room(self)) {
        return PD_ERR_FULL;
    }
    struct pd_bond *own = pd_bond_create(PD_BOND_WATCHING, pid, 0, ref);
    struct pd_bond *request = pd_bond_create(PD_BOND_WATCHED_BY, self->pid, 0, ref);
    if (own == NULL || request == NULL) {
        pd_message_destroy(own == NULL ? NULL : &own->message);
        pd_message_destroy(request == NULL ? NULL : &request->message);
        return PD_ERR_NO_MEMORY;
    }
    note_bond(self, PD_TRACED_MONITORED, pid);
    pd_bond_set_insert(&self->bonds, own);
    request->message.kind = PD_SIGNAL_MONITOR;
    request->message.pid = self->pid;
    post_request(self, pid, &request->message);
    return PD_OK;
}

/* Remove what matches from the owner's queue: the down notice or reply of a reference. */
static void flush_ref(struct pd_process *self, uint64_t ref)
{
    for (;;) {
        struct pd_message *message = pd_process_take_ref(self, ref);
        if (message == NULL) {
            return;
        }
        pd_message_destroy(message);
    }
}

void pd_process_demonitor(struct pd_process *self, uint64_t pid, uint64_t ref, bool flush)
{
    struct pd_bond *bond = pd_bond_set_find(&self->bonds, PD_BOND_WATCHING, pid, ref);
    if (bond != NULL) {
        note_bond(self, PD_TRACED_DEMONITORED, bond->peer);
        undo_at_peer(self, bond, PD_SIGNAL_DEMONITOR);
    }
    if (flush && ref != 0) {
        flush_ref(self, ref);
    }
}

void pd_process_exit_signal(struct pd_process *self, uint64_t pid, enum pd_exit_reason reason,
                            struct pd_exit_text *text)
{
    if (pd_process_is_traced(self)) {
        pd_tracer_note(
            self,
            (struct pd_traced){.kind = PD_TRACED_EXIT_SENT, .pid = pid, .reason = (uint8_t)reason});
    }
    if (reason == PD_EXIT_KILLED) {
        enum pd_status status = pd_mailbox_kill(self->environment, pid, reason, text);
        (void)status; /* a missing pid is no error */
        return;
    }
    struct pd_message *message = pd_message_create(0, 0);
    if (message == NULL) { /* without memory a polite request becomes a firm one */
        enum pd_status status = pd_mailbox_kill(self->environment, pid, reason, text);
        (void)status;
        return;
    }
    message->kind = PD_SIGNAL_EXIT;
    message->pid = self->pid;
    message->reason = (uint8_t)reason;
    message->text = pd_exit_text_share(text);
    post_request(self, pid, message);
}

/* --- The owner's queue ------------------------------------------------------------------------ */

static void note_arrival(struct pd_process *self, const struct pd_message *message)
{
    pd_tracer_note(self, (struct pd_traced){
                             .kind = is_counted(message) ? PD_TRACED_RECEIVED : PD_TRACED_NOTICE,
                             .pid = message->pid,
                             .tag = message->tag,
                             .size = message->size,
                             .reason = message->reason,
                         });
}

static void count_notice(struct pd_process *self, const struct pd_message *message, uint32_t change)
{
    if (is_counted(message)) {
        return;
    }
    if (message->to != 0) {
        self->exit_count += change;
    } else {
        self->notice_count += change;
    }
}

static void queue_append(struct pd_process *self, struct pd_message *message)
{
    if (pd_process_is_traced(self)) {
        note_arrival(self, message);
    }
    message->next = NULL;
    *self->queue_end = message;
    self->queue_end = &message->next;
    count_notice(self, message, 1);
    uint64_t count = atomic_load_explicit(&self->received_count, memory_order_relaxed);
    atomic_store_explicit(&self->received_count, count + 1, memory_order_relaxed);
}

static void count_taken(struct pd_process *self, const struct pd_message *message)
{
    if (is_counted(message)) {
        self->taken_count++;
        self->taken_bytes += pd_message_footprint(message);
    }
}

/* Take out the message that *link points to. */
static struct pd_message *queue_take(struct pd_process *self, struct pd_message **link)
{
    struct pd_message *message = *link;
    *link = message->next;
    if (message->next == NULL) {
        self->queue_end = link;
    }
    message->next = NULL;
    self->scan = NULL;
    count_taken(self, message);
    count_notice(self, message, (uint32_t)-1);
    return message;
}

static bool is_wanted(const struct pd_message *message, const uint64_t *tags, uint32_t tag_count)
{
    if (message->kind == PD_MESSAGE_REPLY) {
        return false; /* only by reference */
    }
    if (tag_count == 0) {
        return true;
    }
    return message->tag != 0 && message->kind != PD_MESSAGE_PROCESS_DIED &&
           pd_tags_contain(tags, tag_count, message->tag);
}

static struct pd_message *take_from(struct pd_process *self, struct pd_message **link,
                                    const uint64_t *tags, uint32_t tag_count)
{
    while (*link != NULL) {
        if (is_wanted(*link, tags, tag_count)) {
            return queue_take(self, link);
        }
        link = &(*link)->next;
    }
    self->scan = link;
    return NULL;
}

struct pd_message *pd_process_take(struct pd_process *self, const uint64_t *tags,
                                   uint32_t tag_count)
{
    return take_from(self, &self->queue_first, tags, tag_count);
}

struct pd_message *pd_process_take_more(struct pd_process *self, const uint64_t *tags,
                                        uint32_t tag_count)
{
    struct pd_message **link = self->scan != NULL ? self->scan : &self->queue_first;
    return take_from(self, link, tags, tag_count);
}

void pd_process_skip_queue(struct pd_process *self)
{
    (void)pd_process_drain(self);
    self->scan = self->queue_end;
}

struct pd_message *pd_process_take_ref(struct pd_process *self, uint64_t ref)
{
    for (struct pd_message **link = &self->queue_first; *link != NULL; link = &(*link)->next) {
        if ((*link)->ref == ref &&
            ((*link)->kind == PD_MESSAGE_REPLY || (*link)->kind == PD_MESSAGE_DOWN)) {
            return queue_take(self, link);
        }
    }
    return NULL;
}

static bool take_in(struct pd_process *self, bool *is_killed_out)
{
    struct pd_message *batch = pd_mailbox_take_inbound(self, is_killed_out);
    pd_lifecycle_handle(self, batch);
    return batch != NULL || *is_killed_out;
}

bool pd_process_drain(struct pd_process *self)
{
    /* A hint that comes too late is no harm: settling looks again under the lock. */
    bool is_killed = false;
    return atomic_load_explicit(&self->has_news, memory_order_relaxed) && take_in(self, &is_killed);
}

bool pd_lifecycle_catch_up(struct pd_process *self)
{
    bool is_killed = false;
    return atomic_load_explicit(&self->has_news, memory_order_relaxed) &&
           take_in(self, &is_killed) && !is_killed && !self->is_exit_set;
}

/* --- Signals ---------------------------------------------------------------------------------- */

static void handle_link(struct pd_process *self, struct pd_message *message)
{
    struct pd_bond *bond = pd_bond_of(message);
    struct pd_bond *known = pd_bond_set_find(&self->bonds, PD_BOND_LINK, bond->peer, 0);
    if (known != NULL) {
        known->message.tag = message->tag;
        known->seen = bond->asked;
        pd_message_destroy(message);
        return;
    }
    bond->seen = bond->asked;
    bond->asked = 0;
    note_bond(self, PD_TRACED_LINKED, bond->peer);
    pd_bond_set_insert(&self->bonds, bond);
}

static void handle_monitor(struct pd_process *self, struct pd_message *message)
{
    struct pd_bond *bond = pd_bond_of(message);
    if (pd_bond_set_find(&self->bonds, PD_BOND_WATCHED_BY, bond->peer, message->ref) != NULL) {
        pd_message_destroy(message);
        return;
    }
    pd_bond_set_insert(&self->bonds, bond);
}

/* The peer undid a bond: forget our side. */
static void handle_undo(struct pd_process *self, struct pd_message *message, enum pd_bond_type type)
{
    uint64_t ref = type == PD_BOND_LINK ? 0 : message->ref;
    struct pd_bond *bond = pd_bond_set_find(&self->bonds, type, message->pid, ref);
    bool has_asked_since = bond != NULL && bond->asked > pd_bond_of(message)->seen;
    if (bond != NULL && !has_asked_since) {
        pd_bond_set_remove(&self->bonds, bond);
        pd_message_destroy(&bond->message);
    }
    pd_message_destroy(message);
}

static void end_with(struct pd_process *self, const struct pd_message *message)
{
    if (!self->is_exit_set) {
        self->is_exit_set = true;
        self->exit.reason = (enum pd_exit_reason)message->reason;
        self->exit.text = pd_exit_text_share(message->text);
    }
}

/* A death or an exit request reaches us: a message, our own death, or nothing. Takes the
 * message. */
static void suffer(struct pd_process *self, struct pd_message *message, uint64_t tag,
                   bool is_request)
{
    bool is_normal = message->reason == PD_EXIT_NORMAL;
    bool is_told =
        self->trapping == PD_TRAP_ALL || (self->trapping == PD_TRAP_FAILURES && !is_normal);
    if (is_told) {
        message->kind = PD_MESSAGE_LINK_DIED;
        message->tag = tag;
        message->to = is_request;
        if (is_request && self->exit_count >= self->environment->runtime->config.signals_max) {
            pd_message_destroy(message); /* it was told more than often enough */
        } else {
            queue_append(self, message);
        }
        return;
    }
    if (!is_normal) {
        end_with(self, message);
    }
    pd_message_destroy(message);
}

static void handle_link_died(struct pd_process *self, struct pd_message *message)
{
    struct pd_bond *bond = pd_bond_set_find(&self->bonds, PD_BOND_LINK, message->pid, 0);
    if (bond == NULL) { /* unlinked meanwhile */
        pd_message_destroy(message);
        return;
    }
    uint64_t tag = bond->message.tag;
    pd_bond_set_remove(&self->bonds, bond);
    pd_message_destroy(&bond->message);
    suffer(self, message, tag, false);
}

static void handle_process_died(struct pd_process *self, struct pd_message *message)
{
    struct pd_bond *bond =
        pd_bond_set_find(&self->bonds, PD_BOND_WATCHING, message->pid, message->ref);
    if (bond == NULL) { /* no longer watching */
        pd_message_destroy(message);
        return;
    }
    pd_bond_set_remove(&self->bonds, bond);
    pd_message_destroy(&bond->message);
    message->kind = message->ref == 0 ? PD_MESSAGE_PROCESS_DIED : PD_MESSAGE_DOWN;
    message->to = 0; /* the request may have waited in an outbox */
    queue_append(self, message);
}

static void handle_reply(struct pd_process *self, struct pd_message *message)
{
    if (message->ref == self->awaited_ref && message->ref != 0) {
        queue_append(self, message);
        return;
    }
    count_taken(self, message); /* too late: nobody waits for it */
    pd_message_destroy(message);
}

static void handle_one(struct pd_process *self, struct pd_message *message)
{
    switch ((enum pd_message_kind)message->kind) {
    case PD_MESSAGE_DATA:
    case PD_MESSAGE_LINK_DIED:
    case PD_MESSAGE_PROCESS_DIED:
    case PD_MESSAGE_DOWN:
        queue_append(self, message);
        break;
    case PD_MESSAGE_REPLY:
        handle_reply(self, message);
        break;
    case PD_SIGNAL_LINK:
        handle_link(self, message);
        break;
    case PD_SIGNAL_UNLINK:
        handle_undo(self, message, PD_BOND_LINK);
        break;
    case PD_SIGNAL_LINK_DIED:
        handle_link_died(self, message);
        break;
    case PD_SIGNAL_MONITOR:
        handle_monitor(self, message);
        break;
    case PD_SIGNAL_DEMONITOR:
        handle_undo(self, message, PD_BOND_WATCHED_BY);
        break;
    case PD_SIGNAL_PROCESS_DIED:
        handle_process_died(self, message);
        break;
    case PD_SIGNAL_EXIT:
        suffer(self, message, 0, true);
        break;
    case PD_SIGNAL_INSPECT: {
        struct pd_inspect_request *request =
            pd_container_of(message, struct pd_inspect_request, message);
        request->look(self, request);
        pd_message_destroy(message);
        break;
    }
    }
}

void pd_lifecycle_handle(struct pd_process *self, struct pd_message *batch)
{
    while (batch != NULL) {
        struct pd_message *next = batch->next;
        handle_one(self, batch);
        batch = next;
    }
}

/* --- The end ---------------------------------------------------------------------------------- */

static void free_list(struct pd_message *first)
{
    while (first != NULL) {
        struct pd_message *next = first->next;
        pd_message_destroy(first);
        first = next;
    }
}

/* The bond itself becomes the notice and travels to the peer. */
static void tell(struct pd_process *self, struct pd_bond *bond, enum pd_message_kind kind)
{
    struct pd_message *message = &bond->message;
    message->kind = (uint8_t)kind;
    message->pid = self->pid;
    message->reason = (uint8_t)self->exit.reason;
    message->text = pd_exit_text_share(self->exit.text);
    if (pd_mailbox_post(self->environment, bond->peer, message) != PD_OK) {
        pd_message_destroy(message);
    }
}

/* Links first, in the order in which they were made, then monitors. */
static void tell_everyone(struct pd_process *self)
{
    struct pd_list later;
    pd_list_init(&later);
    struct pd_bond *bond = NULL;
    while ((bond = pd_bond_set_take_first(&self->bonds)) != NULL) {
        if (bond->type == PD_BOND_LINK) {
            tell(self, bond, PD_SIGNAL_LINK_DIED);
        } else {
            pd_list_append(&later, &bond->node);
        }
    }
    while (!pd_list_is_empty(&later)) {
        bond = pd_container_of(later.next, struct pd_bond, node);
        pd_list_remove(&bond->node);
        tell(self, bond,
             bond->type == PD_BOND_WATCHED_BY ? PD_SIGNAL_PROCESS_DIED : PD_SIGNAL_DEMONITOR);
    }
}

void pd_lifecycle_end(struct pd_process *self)
{
    struct pd_environment *environment = self->environment;
    struct pd_runtime *runtime = environment->runtime;
    bool has_names = false;
    bool has_groups = false;
    struct pd_message *leftover = pd_mailbox_close(self, &has_names, &has_groups);
    pd_trace_fold(runtime->trace, PD_TRACE_EXIT, self->pid, (uint64_t)self->exit.reason, 0);
    pd_assert(self->exit.reason < PD_EXIT_REASONS);
    atomic_fetch_add_explicit(&runtime->ended_processes[self->exit.reason], 1,
                              memory_order_relaxed);
    if (runtime->hooks.exited != NULL) {
        runtime->hooks.exited(runtime->hooks.context, self);
    }
    if (pd_process_is_traced(self)) {
        pd_tracer_note(self, (struct pd_traced){.kind = PD_TRACED_EXITED,
                                                .reason = (uint8_t)self->exit.reason});
        pd_tracer_detach(self);
    }
    (void)pd_timer_cancel(&self->timeout);
    pd_mailbox_stop_waiting(&self->waiter);
    if (has_names) {
        pd_registry_forget(environment, self->pid);
    }
    if (has_groups) {
        pd_group_forget(environment, self->pid);
    }
    self->is_exit_set = true; /* a late exit signal changes nothing */
    pd_lifecycle_handle(self, leftover);
    pd_tracer_detach(self); /* an inspection may have attached one meanwhile */
    empty_outbox(self);
    tell_everyone(self);
    free_list(self->queue_first);
    self->behavior->destroy(self);
    pd_bond_set_deinit(&self->bonds);
    pd_exit_text_release(self->exit.text);
    self->exit.text = NULL;
    pd_child_spec_release(self->spec);
    give_back(self);
}

void pd_process_set_exit(struct pd_process *self, enum pd_exit_reason reason, const char *text,
                         size_t text_size)
{
    if (self->is_exit_set) {
        return;
    }
    self->is_exit_set = true;
    self->exit.reason = reason;
    self->exit.text = text_size == 0 ? NULL : pd_exit_text_create(text, text_size);
}

/* --- Sending ---------------------------------------------------------------------------------- */

static void count_sent(struct pd_process *self)
{
    uint64_t count = atomic_load_explicit(&self->sent_count, memory_order_relaxed);
    atomic_store_explicit(&self->sent_count, count + 1, memory_order_relaxed);
}

/* Noted before it is sent: afterwards it is the receiver's. */
static struct pd_traced sent_event(uint64_t pid, const struct pd_message *message)
{
    return (struct pd_traced){
        .kind = PD_TRACED_SENT, .pid = pid, .tag = message->tag, .size = message->size};
}

/* To ourselves: a full mailbox may only look full until what we took is settled. */
static enum pd_status post_to_self(struct pd_process *self, struct pd_message *message)
{
    enum pd_status status = pd_mailbox_post(self->environment, self->pid, message);
    if (status == PD_ERR_FULL) {
        bool is_killed = false;
        (void)take_in(self, &is_killed); /* even if nothing arrived */
        status = pd_mailbox_post(self->environment, self->pid, message);
    }
    return status;
}

enum pd_status pd_process_send(struct pd_process *self, uint64_t pid, struct pd_message *message)
{
    struct pd_traced event = sent_event(pid, message);
    enum pd_status status = PD_ERR_FULL;
    if (pid == self->pid) {
        status = post_to_self(self, message);
    } else if (self->outbox_first == NULL) { /* never overtake what waits */
        status = pd_mailbox_post(self->environment, pid, message);
    }
    if (status == PD_ERR_FULL) {
        return status;
    }
    count_sent(self);
    if (pd_process_is_traced(self)) {
        pd_tracer_note(self, event);
    }
    if (status != PD_OK) {
        pd_message_destroy(message);
    }
    return PD_OK;
}

enum pd_status pd_process_send_waiting(struct pd_process *self, uint64_t pid,
                                       struct pd_message *message)
{
    enum pd_status status = pd_process_send(self, pid, message);
    if (status != PD_ERR_FULL) {
        return status;
    }
    if (pid == self->pid) {
        return PD_ERR_INVALID;
    }
    if (self->outbox_count >= PD_OUTBOX_MAX) {
        return PD_ERR_FULL;
    }
    count_sent(self);
    if (pd_process_is_traced(self)) {
        pd_tracer_note(self, sent_event(pid, message));
    }
    outbox_append(self, message, pid);
    return PD_OK;
}

void pd_process_wake_at(struct pd_process *self, uint64_t deadline_ns)
{
    (void)pd_timer_cancel(&self->timeout);
    if (deadline_ns == PD_TIME_NEVER) {
        return;
    }
    if (pd_runtime_set_timer(self->environment->runtime, &self->timeout, deadline_ns) != PD_OK) {
        static const char text[] = "no memory for a timer";
        pd_process_set_exit(self, PD_EXIT_MEMORY, text, sizeof text - 1);
    }
}
