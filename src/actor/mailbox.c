#include "actor/mailbox.h"

#include "actor/environment.h"
#include "actor/runtime.h"
#include "actor/tags.h"
#include "base/assert.h"

#define WAKE_BATCH 32u /* senders woken at a time */

enum post_class {
    CLASS_MESSAGE,
    CLASS_REQUEST,
    CLASS_NOTICE
};

static enum post_class class_of(const struct pd_message *message)
{
    switch ((enum pd_message_kind)message->kind) {
    case PD_MESSAGE_DATA:
    case PD_MESSAGE_REPLY:
        return CLASS_MESSAGE;
    case PD_SIGNAL_LINK:
    case PD_SIGNAL_MONITOR:
    case PD_SIGNAL_EXIT:
    case PD_SIGNAL_INSPECT:
        return CLASS_REQUEST;
    case PD_MESSAGE_LINK_DIED:
    case PD_MESSAGE_PROCESS_DIED:
    case PD_MESSAGE_DOWN:
    case PD_SIGNAL_LINK_DIED:
    case PD_SIGNAL_PROCESS_DIED:
    case PD_SIGNAL_UNLINK:    /* as many as there were links */
    case PD_SIGNAL_DEMONITOR: /* as many as there were monitors */
        return CLASS_NOTICE;
    }
    pd_assert(false);
    return CLASS_NOTICE;
}

/* The process with this pid, locked; NULL: none. */
static struct pd_process *lock_process(struct pd_environment *environment, uint64_t pid)
{
    struct pd_process *process = pd_environment_at(environment, pid);
    if (process == NULL) {
        return NULL;
    }
    pd_spin_lock(&process->lock);
    if (process->pid != pid || process->environment != environment ||
        process->run_state == PD_RUN_DEAD || process->run_state == PD_RUN_FREE) {
        pd_spin_unlock(&process->lock);
        return NULL;
    }
    return process;
}

/* Under the lock: note that there is something to do. True: the caller must enqueue it after
 * unlocking. */
static bool notify(struct pd_process *process)
{
    if (process->run_state == PD_RUN_WAITING) {
        process->run_state = PD_RUN_QUEUED;
        return true;
    }
    if (process->run_state == PD_RUN_RUNNING) {
        process->run_state = PD_RUN_NOTIFIED;
    }
    return false;
}

/* What a mailbox holds, or would hold. */
struct load {
    uint32_t messages;
    uint32_t signals;
    size_t bytes;
};

/* Under the lock. */
static struct load load_of(const struct pd_process *process)
{
    return (struct load){.messages = process->mailbox_count,
                         .signals = process->signal_count,
                         .bytes = process->mailbox_bytes};
}

static bool has_room(const struct pd_runtime_config *config, const struct load *load,
                     enum post_class class, size_t footprint)
{
    switch (class) {
    case CLASS_MESSAGE:
        return load->messages == 0 || (load->messages < config->messages_max &&
                                       load->bytes + footprint <= config->mailbox_bytes_max);
    case CLASS_REQUEST:
        return load->signals < config->signals_max;
    case CLASS_NOTICE:
        return true;
    }
    return false;
}

/* Under the lock: it waits for a message with this tag, and runs as soon as it has one. */
static bool awaits(const struct pd_process *process, uint64_t tag)
{
    return process->run_state == PD_RUN_WAITING && tag != 0 &&
           pd_tags_contain(process->awaited_tags, process->awaited_tag_count, tag);
}

/* Under the lock. */
static void append(struct pd_process *process, struct pd_message *message, enum post_class class)
{
    message->next = NULL;
    if (process->inbound_last == NULL) {
        process->inbound_first = message;
    } else {
        process->inbound_last->next = message;
    }
    process->inbound_last = message;
    atomic_store_explicit(&process->has_news, true, memory_order_relaxed);
    if (class == CLASS_MESSAGE) {
        process->mailbox_count++;
        process->mailbox_bytes += pd_message_footprint(message);
    } else if (class == CLASS_REQUEST) {
        process->signal_count++;
    }
}

static void fold_delivery(struct pd_environment *environment, uint64_t pid,
                          const struct pd_message *message)
{
    struct pd_trace *trace = environment->runtime->trace;
    if (trace == NULL) {
        return;
    }
    uint64_t digest = 0;
    if (class_of(message) == CLASS_MESSAGE) {
        digest = pd_hash_bytes(message->ref, message->data, message->size);
    }
    pd_trace_fold(trace, PD_TRACE_DELIVER, pid, (uint64_t)message->kind << 56 | message->tag,
                  digest ^ message->pid);
}

/* Under the lock of `process`: stand in its line. Requests stand in front: their room is not the
 * messages'. */
static void line_up(struct pd_process *process, struct pd_waiter *waiter, enum post_class class,
                    const struct pd_message *message, size_t footprint)
{
    if (pd_list_is_linked(&waiter->node)) {
        return;
    }
    waiter->at = process;
    waiter->footprint = footprint;
    waiter->tag = class == CLASS_MESSAGE ? message->tag : 0;
    waiter->is_request = class == CLASS_REQUEST;
    struct pd_list *senders = &process->senders;
    pd_list_append(waiter->is_request ? senders->next : senders, &waiter->node);
}

enum pd_status pd_mailbox_post_or_wait(struct pd_environment *environment, uint64_t pid,
                                       struct pd_message *message, struct pd_waiter *waiter)
{
    fold_delivery(environment, pid, message);
    struct pd_process *process = lock_process(environment, pid);
    if (process == NULL) {
        return PD_ERR_UNKNOWN;
    }
    pd_assert(waiter == NULL || waiter->at == NULL || waiter->at == process);
    enum post_class class = class_of(message);
    size_t footprint = class == CLASS_MESSAGE ? pd_message_footprint(message) : 0;
    struct load load = load_of(process);
    bool is_awaited = class == CLASS_MESSAGE && awaits(process, message->tag);
    if (!is_awaited && !has_room(&environment->runtime->config, &load, class, footprint)) {
        if (waiter != NULL) {
            line_up(process, waiter, class, message, footprint);
        }
        pd_spin_unlock(&process->lock);
        return PD_ERR_FULL;
    }
    if (waiter != NULL) {
        pd_list_remove(&waiter->node);
        waiter->at = NULL;
    }
    append(process, message, class);
    bool must_enqueue = notify(process);
    pd_spin_unlock(&process->lock);
    if (must_enqueue) {
        pd_runtime_enqueue(environment->runtime, process);
    }
    return PD_OK;
}

enum pd_status pd_mailbox_post(struct pd_environment *environment, uint64_t pid,
                               struct pd_message *message)
{
    return pd_mailbox_post_or_wait(environment, pid, message, NULL);
}

enum pd_status pd_mailbox_kill(struct pd_environment *environment, uint64_t pid,
                               enum pd_exit_reason reason, struct pd_exit_text *text)
{
    pd_trace_fold(environment->runtime->trace, PD_TRACE_SIGNAL, pid, PD_SIGNAL_EXIT,
                  (uint64_t)reason);
    struct pd_process *process = lock_process(environment, pid);
    if (process == NULL) {
        return PD_ERR_UNKNOWN;
    }
    if (!process->is_killed) {
        process->is_killed = true;
        process->kill_reason = (uint8_t)reason;
        process->kill_text = pd_exit_text_share(text);
        atomic_store_explicit(&process->has_news, true, memory_order_relaxed);
    }
    bool must_enqueue = notify(process);
    pd_spin_unlock(&process->lock);
    if (must_enqueue) {
        pd_runtime_enqueue(environment->runtime, process);
    }
    return PD_OK;
}

bool pd_mailbox_exists(struct pd_environment *environment, uint64_t pid)
{
    struct pd_process *process = lock_process(environment, pid);
    if (process != NULL) {
        pd_spin_unlock(&process->lock);
    }
    return process != NULL;
}

uint64_t pd_mailbox_pid(struct pd_process *process)
{
    pd_spin_lock(&process->lock);
    uint64_t pid = process->pid;
    pd_spin_unlock(&process->lock);
    return pid;
}

enum pd_status pd_mailbox_mark(struct pd_environment *environment, uint64_t pid, bool has_names,
                               bool has_groups)
{
    struct pd_process *process = lock_process(environment, pid);
    if (process == NULL) {
        return PD_ERR_UNKNOWN;
    }
    process->has_names |= has_names;
    process->has_groups |= has_groups;
    pd_spin_unlock(&process->lock);
    return PD_OK;
}

static uint32_t list_length(const struct pd_list *list)
{
    uint32_t count = 0;
    for (const struct pd_list *at = list->next; at != list; at = at->next) {
        count++;
    }
    return count;
}

enum pd_status pd_mailbox_look(struct pd_environment *environment, uint64_t pid,
                               struct pd_mailbox_view *view_out,
                               void (*visit)(struct pd_process *process, void *context),
                               void *context)
{
    struct pd_process *process = lock_process(environment, pid);
    if (process == NULL) {
        return PD_ERR_UNKNOWN;
    }
    *view_out = (struct pd_mailbox_view){
        .pid = pid,
        .parent = process->parent,
        .run_state = process->run_state,
        .message_count = process->mailbox_count,
        .message_bytes = process->mailbox_bytes,
        .sender_count = list_length(&process->senders),
    };
    if (visit != NULL) {
        visit(process, context);
    }
    pd_spin_unlock(&process->lock);
    return PD_OK;
}

void pd_process_wake(struct pd_process *process)
{
    pd_spin_lock(&process->lock);
    struct pd_environment *environment = process->environment;
    bool must_enqueue = notify(process);
    pd_spin_unlock(&process->lock);
    if (must_enqueue) {
        pd_runtime_enqueue(environment->runtime, process);
    }
}

/* Senders that were taken out of line under the lock, to be woken after it. */
struct woken {
    struct pd_process *processes[WAKE_BATCH];
    uint32_t count;
};

/* Under the lock: take those who find room, the oldest first; of a dead process as many as fit. */
static void take_senders(struct pd_process *process, struct woken *woken)
{
    const struct pd_runtime_config *config = &process->environment->runtime->config;
    struct load load = load_of(process); /* as if those who are woken had posted already */
    struct pd_list *at = process->senders.next;
    woken->count = 0;
    for (uint32_t seen = 0; seen < WAKE_BATCH && at != &process->senders; seen++) {
        struct pd_waiter *waiter = pd_container_of(at, struct pd_waiter, node);
        at = at->next;
        enum post_class class = waiter->is_request ? CLASS_REQUEST : CLASS_MESSAGE;
        if (process->run_state != PD_RUN_DEAD &&
            !has_room(config, &load, class, waiter->footprint)) {
            continue;
        }
        load.signals += waiter->is_request ? 1 : 0;
        load.messages += waiter->is_request ? 0 : 1;
        load.bytes += waiter->footprint;
        pd_list_remove(&waiter->node);
        woken->processes[woken->count++] = waiter->process;
    }
}

/* Under the lock, as the process begins to wait: the oldest sender that has what it waits for is
 * woken too, wherever it stands in line. */
static void take_awaited(struct pd_process *process, struct woken *woken)
{
    if (process->awaited_tag_count == 0 || woken->count == WAKE_BATCH) {
        return;
    }
    for (struct pd_list *at = process->senders.next; at != &process->senders; at = at->next) {
        struct pd_waiter *waiter = pd_container_of(at, struct pd_waiter, node);
        if (awaits(process, waiter->tag)) {
            pd_list_remove(&waiter->node);
            woken->processes[woken->count++] = waiter->process;
            return;
        }
    }
}

/* A sender that was meanwhile woken otherwise, or is gone, takes it as a spurious wake. */
static void wake_senders(const struct woken *woken)
{
    for (uint32_t i = 0; i < woken->count; i++) {
        pd_process_wake(woken->processes[i]);
    }
}

void pd_mailbox_stop_waiting(struct pd_waiter *waiter)
{
    /* By pointer, not by pid: the line of a process that is ending still holds its waiters. */
    struct pd_process *target = waiter->at;
    if (target == NULL) {
        return;
    }
    struct woken woken;
    woken.count = 0;
    pd_spin_lock(&target->lock);
    if (pd_list_is_linked(&waiter->node)) {
        pd_list_remove(&waiter->node);
    } else if (!pd_list_is_empty(&target->senders)) {
        take_senders(target, &woken); /* it was woken, and leaves its room to the others */
    }
    pd_spin_unlock(&target->lock);
    waiter->at = NULL;
    wake_senders(&woken);
}

/* Under the lock. */
static struct pd_message *take_inbound(struct pd_process *process)
{
    struct pd_message *first = process->inbound_first;
    process->inbound_first = NULL;
    process->inbound_last = NULL;
    atomic_store_explicit(&process->has_news, process->is_killed, memory_order_relaxed);
    process->signal_count = 0;
    process->mailbox_count -= process->taken_count;
    process->mailbox_bytes -= process->taken_bytes;
    process->taken_count = 0;
    process->taken_bytes = 0;
    return first;
}

static struct pd_message *take_and_run(struct pd_process *process, bool *is_killed_out)
{
    struct woken woken;
    woken.count = 0; /* the array stays as it is: this is the hottest path */
    pd_spin_lock(&process->lock);
    struct pd_message *first = take_inbound(process);
    process->run_state = PD_RUN_RUNNING;
    *is_killed_out = process->is_killed;
    if (!pd_list_is_empty(&process->senders)) {
        take_senders(process, &woken);
    }
    pd_spin_unlock(&process->lock);
    wake_senders(&woken);
    return first;
}

struct pd_message *pd_mailbox_begin(struct pd_process *process, bool *is_killed_out)
{
    return take_and_run(process, is_killed_out);
}

struct pd_message *pd_mailbox_take_inbound(struct pd_process *process, bool *is_killed_out)
{
    return take_and_run(process, is_killed_out);
}

bool pd_mailbox_settle(struct pd_process *process)
{
    struct woken woken;
    woken.count = 0; /* the array stays as it is: this is the hottest path */
    pd_spin_lock(&process->lock);
    pd_assert(process->run_state == PD_RUN_RUNNING || process->run_state == PD_RUN_NOTIFIED);
    bool is_idle = process->run_state == PD_RUN_RUNNING && process->inbound_first == NULL &&
                   !process->is_killed;
    process->run_state = is_idle ? PD_RUN_WAITING : PD_RUN_RUNNING;
    if (is_idle) {
        (void)take_inbound(process); /* nothing is inbound: this gives back the room taken */
        if (!pd_list_is_empty(&process->senders)) {
            take_senders(process, &woken);
            take_awaited(process, &woken);
        }
    }
    pd_spin_unlock(&process->lock);
    wake_senders(&woken);
    return is_idle;
}

void pd_mailbox_requeue(struct pd_process *process)
{
    pd_spin_lock(&process->lock);
    process->run_state = PD_RUN_QUEUED;
    pd_spin_unlock(&process->lock);
}

void pd_mailbox_open(struct pd_process *process)
{
    struct pd_environment *environment = process->environment;
    pd_spin_lock(&process->lock);
    pd_assert(process->run_state == PD_RUN_FREE);
    process->run_state = PD_RUN_QUEUED;
    pd_spin_unlock(&process->lock);
    uint64_t slot = process->pid & (environment->capacity - 1);
    atomic_store_explicit(&environment->slots[slot].process, process, memory_order_release);
}

struct pd_message *pd_mailbox_close(struct pd_process *process, bool *has_names_out,
                                    bool *has_groups_out)
{
    struct pd_environment *environment = process->environment;
    uint64_t slot = process->pid & (environment->capacity - 1);
    atomic_store_explicit(&environment->slots[slot].process, NULL, memory_order_release);
    pd_spin_lock(&process->lock);
    process->run_state = PD_RUN_DEAD;
    struct pd_message *first = take_inbound(process);
    *has_names_out = process->has_names;
    *has_groups_out = process->has_groups;
    if (process->is_killed && !process->is_exit_set) {
        process->is_exit_set = true;
        process->exit.reason = (enum pd_exit_reason)process->kill_reason;
        process->exit.text = process->kill_text;
        process->kill_text = NULL;
    }
    pd_exit_text_release(process->kill_text);
    process->kill_text = NULL;
    pd_spin_unlock(&process->lock);
    struct woken woken;
    woken.count = 0; /* the array stays as it is: this is the hottest path */
    do {
        pd_spin_lock(&process->lock);
        take_senders(process, &woken);
        pd_spin_unlock(&process->lock);
        wake_senders(&woken);
    } while (woken.count > 0);
    return first;
}

void pd_mailbox_free(struct pd_process *process)
{
    pd_spin_lock(&process->lock);
    pd_assert(process->run_state == PD_RUN_DEAD || process->run_state == PD_RUN_FREE);
    pd_assert(pd_list_is_empty(&process->senders) && process->inbound_first == NULL);
    process->run_state = PD_RUN_FREE;
    process->pid = 0;
    process->is_killed = false;
    process->has_names = false;
    process->has_groups = false;
    process->mailbox_count = 0;
    process->mailbox_bytes = 0;
    process->signal_count = 0;
    process->awaited_tags = NULL;
    process->awaited_tag_count = 0;
    pd_spin_unlock(&process->lock);
}
