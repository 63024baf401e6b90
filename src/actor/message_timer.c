/* Messages to be sent later. The table by id decides their fate: whoever takes an entry out of it,
 * the canceller or the firing thread, decides whether the message is sent. An entry lives as long
 * as somebody may look at it: the table, the timer queue, and whoever works on it hold a reference
 * each. */
#include "actor/environment.h"
#include "actor/mailbox.h"
#include "actor/runtime.h"
#include "base/alloc.h"
#include "base/assert.h"

#define RETRY_NS 1000000u /* a full receiver is asked again after a millisecond */
#define BUCKETS_FIRST 64u

struct pd_message_timer {
    struct pd_timer timer;
    struct pd_message_timer *chain;
    struct pd_environment *environment;
    struct pd_message *message;
    uint64_t id;
    uint64_t pid;
    atomic_uint_least32_t references;
    bool is_listed; /* in the table; under timers_lock */
};

static struct pd_message_timer **bucket_of(struct pd_runtime *runtime, uint64_t id)
{
    return &runtime->message_timers[pd_hash_u64(0, id) & (runtime->message_timer_buckets - 1)];
}

/* Under timers_lock. Without memory the chains get longer. */
static void grow(struct pd_runtime *runtime)
{
    uint32_t count =
        runtime->message_timer_buckets == 0 ? BUCKETS_FIRST : runtime->message_timer_buckets * 2;
    struct pd_message_timer **buckets = pd_alloc_zeroed(count, sizeof *buckets);
    if (buckets == NULL) {
        return;
    }
    struct pd_message_timer **old = runtime->message_timers;
    uint32_t old_count = runtime->message_timer_buckets;
    runtime->message_timers = buckets;
    runtime->message_timer_buckets = count;
    for (uint32_t i = 0; i < old_count; i++) {
        while (old[i] != NULL) {
            struct pd_message_timer *entry = old[i];
            old[i] = entry->chain;
            struct pd_message_timer **bucket = bucket_of(runtime, entry->id);
            entry->chain = *bucket;
            *bucket = entry;
        }
    }
    pd_free(old);
}

static void retain(struct pd_message_timer *entry)
{
    atomic_fetch_add_explicit(&entry->references, 1, memory_order_relaxed);
}

static void release(struct pd_message_timer *entry)
{
    if (atomic_fetch_sub_explicit(&entry->references, 1, memory_order_acq_rel) == 1) {
        pd_message_destroy(entry->message);
        pd_free(entry);
    }
}

/* PD_OK: it is in the table, with an id. One that had an id and is firing still has its place. */
static enum pd_status table_insert(struct pd_runtime *runtime, struct pd_message_timer *entry)
{
    enum pd_status status = PD_OK;
    pd_spin_lock(&runtime->timers_lock);
    if (runtime->message_timer_count >= runtime->message_timer_buckets) {
        grow(runtime);
    }
    if (runtime->message_timer_buckets == 0) {
        status = PD_ERR_NO_MEMORY;
    } else if (entry->id == 0 && runtime->message_timer_count + runtime->message_timers_firing >=
                                     runtime->config.message_timers_max) {
        status = PD_ERR_FULL;
    } else {
        if (entry->id == 0) {
            entry->id = ++runtime->message_timer_last;
        }
        struct pd_message_timer **bucket = bucket_of(runtime, entry->id);
        entry->chain = *bucket;
        *bucket = entry;
        runtime->message_timer_count++;
        entry->is_listed = true;
        retain(entry);
    }
    pd_spin_unlock(&runtime->timers_lock);
    return status;
}

/* Under timers_lock: take out the entry that *link points to. Its reference is the caller's. */
static struct pd_message_timer *unlist(struct pd_runtime *runtime, struct pd_message_timer **link)
{
    struct pd_message_timer *entry = *link;
    *link = entry->chain;
    entry->chain = NULL;
    entry->is_listed = false;
    runtime->message_timer_count--;
    return entry;
}

/* Take the entry with this id out of the table. NULL: another did. `is_firing`:
 * pd_runtime_purge_sends waits until it is said to be done. */
static struct pd_message_timer *table_take(struct pd_runtime *runtime, uint64_t id, bool is_firing)
{
    struct pd_message_timer *found = NULL;
    pd_spin_lock(&runtime->timers_lock);
    if (runtime->message_timer_buckets != 0) {
        struct pd_message_timer **at = bucket_of(runtime, id);
        while (*at != NULL && (*at)->id != id) {
            at = &(*at)->chain;
        }
        if (*at != NULL) {
            found = unlist(runtime, at);
            runtime->message_timers_firing += is_firing ? 1 : 0;
        }
    }
    pd_spin_unlock(&runtime->timers_lock);
    return found;
}

/* Put the caller's entry in the table and its timer in a queue. On error it is in neither. */
static enum pd_status enlist(struct pd_runtime *runtime, struct pd_message_timer *entry,
                             uint64_t deadline_ns)
{
    enum pd_status status = table_insert(runtime, entry);
    if (status != PD_OK) {
        return status;
    }
    retain(entry); /* the queue's */
    status = pd_runtime_set_timer(runtime, &entry->timer, deadline_ns);
    if (status != PD_OK) {
        release(entry);
        if (table_take(runtime, entry->id, false) == NULL) {
            return PD_OK; /* cancelled meanwhile: it is settled */
        }
        release(entry);
        return status;
    }
    pd_spin_lock(&runtime->timers_lock);
    bool is_listed = entry->is_listed;
    pd_spin_unlock(&runtime->timers_lock);
    /* Who cancelled before the timer was set could not unset it. */
    if (!is_listed && pd_timer_cancel(&entry->timer)) {
        release(entry);
    }
    return PD_OK;
}

enum pd_status pd_runtime_send_at(struct pd_runtime *runtime, struct pd_environment *environment,
                                  uint64_t pid, struct pd_message *message, uint64_t deadline_ns,
                                  uint64_t *id_out)
{
    struct pd_message_timer *entry = pd_alloc_zeroed(1, sizeof *entry);
    if (entry == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    pd_timer_init(&entry->timer, PD_TIMER_MESSAGE);
    atomic_init(&entry->references, 1);
    entry->environment = environment;
    entry->pid = pid;
    entry->message = message;
    enum pd_status status = enlist(runtime, entry, deadline_ns);
    if (status == PD_OK) {
        *id_out = entry->id;
    } else {
        entry->message = NULL; /* the caller's again */
    }
    release(entry);
    return status;
}

/* What was taken out of the table is not to be sent. */
static void drop(struct pd_message_timer *entry)
{
    if (pd_timer_cancel(&entry->timer)) {
        release(entry); /* the queue's reference */
    }
    release(entry);
}

bool pd_runtime_cancel_send(struct pd_runtime *runtime, uint64_t id)
{
    struct pd_message_timer *entry = table_take(runtime, id, false);
    if (entry != NULL) {
        drop(entry);
    }
    return entry != NULL;
}

void pd_message_timer_fire(struct pd_runtime *runtime, struct pd_timer *timer, uint64_t now_ns)
{
    struct pd_message_timer *entry = pd_container_of(timer, struct pd_message_timer, timer);
    if (table_take(runtime, entry->id, true) != NULL) {
        release(entry); /* the table's reference; the queue's is ours now */
        enum pd_status status = pd_mailbox_post(entry->environment, entry->pid, entry->message);
        if (status == PD_OK) {
            entry->message = NULL;
        } else if (status == PD_ERR_FULL) {
            (void)enlist(runtime, entry, now_ns + RETRY_NS); /* else it is lost: no memory */
        }
        pd_spin_lock(&runtime->timers_lock);
        runtime->message_timers_firing--;
        pd_spin_unlock(&runtime->timers_lock);
    }
    release(entry);
}

/* An entry of the environment (NULL: of any), looking from bucket *from on; NULL: there is none. */
static struct pd_message_timer *take_any(struct pd_runtime *runtime,
                                         const struct pd_environment *environment, uint32_t *from)
{
    struct pd_message_timer *found = NULL;
    pd_spin_lock(&runtime->timers_lock);
    while (*from < runtime->message_timer_buckets && found == NULL) {
        struct pd_message_timer **at = &runtime->message_timers[*from];
        while (*at != NULL && environment != NULL && (*at)->environment != environment) {
            at = &(*at)->chain;
        }
        if (*at != NULL) {
            found = unlist(runtime, at);
        } else {
            (*from)++;
        }
    }
    pd_spin_unlock(&runtime->timers_lock);
    return found;
}

void pd_runtime_purge_sends(struct pd_runtime *runtime, struct pd_environment *environment)
{
    bool may_return = true; /* what is being sent right now may find no room, and be set anew */
    while (may_return) {
        pd_spin_lock(&runtime->timers_lock);
        may_return = runtime->message_timers_firing > 0;
        bool is_empty = runtime->message_timer_count == 0;
        pd_spin_unlock(&runtime->timers_lock);
        uint32_t from = 0;
        struct pd_message_timer *entry = NULL;
        while (!is_empty && (entry = take_any(runtime, environment, &from)) != NULL) {
            drop(entry);
        }
        if (may_return) {
            pd_spin_wait(&runtime->timers_lock);
        }
    }
}

void pd_message_timers_deinit(struct pd_runtime *runtime)
{
    pd_runtime_purge_sends(runtime, NULL);
    pd_free(runtime->message_timers);
    runtime->message_timers = NULL;
    runtime->message_timer_buckets = 0;
}
