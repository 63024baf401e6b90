/* Messages to be sent later. The table by id decides who owns a timer: whoever takes it out of the table,
 * the canceller or the firing thread, decides its fate; the firing thread frees what was cancelled under it. */
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
};

static struct pd_message_timer **bucket_of(struct pd_runtime *runtime, uint64_t id)
{
    return &runtime->message_timers[pd_hash_u64(0, id) & (runtime->message_timer_buckets - 1)];
}

/* Under timers_lock. Without memory the chains get longer. */
static void grow(struct pd_runtime *runtime)
{
    uint32_t count = runtime->message_timer_buckets == 0 ? BUCKETS_FIRST
                                                         : runtime->message_timer_buckets * 2;
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

/* PD_OK: it is in the table, with an id. */
static enum pd_status table_insert(struct pd_runtime *runtime, struct pd_message_timer *entry)
{
    enum pd_status status = PD_OK;
    pd_spin_lock(&runtime->timers_lock);
    if (runtime->message_timer_count >= runtime->message_timer_buckets) {
        grow(runtime);
    }
    if (runtime->message_timer_buckets == 0) {
        status = PD_ERR_NO_MEMORY;
    } else if (runtime->message_timer_count >= runtime->config.message_timers_max) {
        status = PD_ERR_FULL;
    } else {
        if (entry->id == 0) {
            entry->id = ++runtime->message_timer_last;
        }
        struct pd_message_timer **bucket = bucket_of(runtime, entry->id);
        entry->chain = *bucket;
        *bucket = entry;
        runtime->message_timer_count++;
    }
    pd_spin_unlock(&runtime->timers_lock);
    return status;
}

/* Take the entry with this id (and, unless NULL, this address) out of the table. */
static struct pd_message_timer *table_take(struct pd_runtime *runtime, uint64_t id,
                                           const struct pd_message_timer *only)
{
    struct pd_message_timer *found = NULL;
    pd_spin_lock(&runtime->timers_lock);
    if (runtime->message_timer_buckets != 0) {
        struct pd_message_timer **at = bucket_of(runtime, id);
        while (*at != NULL && ((*at)->id != id || (only != NULL && *at != only))) {
            at = &(*at)->chain;
        }
        found = *at;
        if (found != NULL) {
            *at = found->chain;
            found->chain = NULL;
            runtime->message_timer_count--;
        }
    }
    pd_spin_unlock(&runtime->timers_lock);
    return found;
}

static void destroy(struct pd_message_timer *entry)
{
    pd_message_destroy(entry->message);
    pd_free(entry);
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
    entry->environment = environment;
    entry->pid = pid;
    entry->message = message;
    enum pd_status status = table_insert(runtime, entry);
    if (status == PD_OK) {
        uint64_t id = entry->id; /* once it is set it may fire and be gone */
        status = pd_runtime_set_timer(runtime, &entry->timer, deadline_ns);
        if (status == PD_OK) {
            *id_out = id;
            return PD_OK;
        }
        (void)table_take(runtime, id, entry);
    }
    pd_free(entry);
    return status;
}

bool pd_runtime_cancel_send(struct pd_runtime *runtime, uint64_t id)
{
    struct pd_message_timer *entry = table_take(runtime, id, NULL);
    if (entry == NULL) {
        return false;
    }
    if (pd_timer_cancel(&entry->timer)) {
        destroy(entry);
    } /* else it is firing: that thread will not find it in the table, and frees it */
    return true;
}

void pd_message_timer_fire(struct pd_runtime *runtime, struct pd_timer *timer, uint64_t now_ns)
{
    struct pd_message_timer *entry = pd_container_of(timer, struct pd_message_timer, timer);
    if (table_take(runtime, entry->id, entry) == NULL) {
        destroy(entry);
        return;
    }
    enum pd_status status = pd_mailbox_post(entry->environment, entry->pid, entry->message);
    if (status == PD_ERR_FULL && table_insert(runtime, entry) == PD_OK) {
        if (pd_runtime_set_timer(runtime, timer, now_ns + RETRY_NS) == PD_OK) {
            return;
        }
        (void)table_take(runtime, entry->id, entry);
    }
    if (status == PD_OK) {
        entry->message = NULL;
    }
    destroy(entry);
}

/* Under no lock: the first entry of an environment (NULL: of any). */
static struct pd_message_timer *take_any(struct pd_runtime *runtime,
                                         const struct pd_environment *environment)
{
    struct pd_message_timer *found = NULL;
    pd_spin_lock(&runtime->timers_lock);
    for (uint32_t i = 0; i < runtime->message_timer_buckets && found == NULL; i++) {
        struct pd_message_timer **at = &runtime->message_timers[i];
        while (*at != NULL && environment != NULL && (*at)->environment != environment) {
            at = &(*at)->chain;
        }
        found = *at;
        if (found != NULL) {
            *at = found->chain;
            runtime->message_timer_count--;
        }
    }
    pd_spin_unlock(&runtime->timers_lock);
    return found;
}

void pd_runtime_purge_sends(struct pd_runtime *runtime, struct pd_environment *environment)
{
    struct pd_message_timer *entry = NULL;
    while (runtime->message_timer_count > 0 &&
           (entry = take_any(runtime, environment)) != NULL) {
        if (pd_timer_cancel(&entry->timer)) {
            destroy(entry);
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
