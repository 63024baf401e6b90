#include "host/names.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "host/resolve.h"

#define AGAIN_S 30 /* a name that has an address */
#define UNKNOWN_S 2

struct name {
    char place[PD_NAMES_TEXT_MAX];
    bool is_known;
    struct pd_transport_address address;
    struct timespec due;
};

/* Lives as long as the owner or the thread needs it. */
struct pd_names {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t holders; /* the owner, and the thread */
    bool has_thread;
    bool is_closed;
    uint32_t count;
    struct name names[PD_NAMES_MAX];
    atomic_uint_least64_t version;
};

enum pd_status pd_names_open(struct pd_names **names_out)
{
    struct pd_names *names = pd_alloc_zeroed(1, sizeof *names);
    pthread_condattr_t attributes;
    if (names == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    int result = pthread_mutex_init(&names->lock, NULL);
    result |= pthread_condattr_init(&attributes);
    result |= pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    result |= pthread_cond_init(&names->changed, &attributes);
    result |= pthread_condattr_destroy(&attributes);
    pd_assert(result == 0); /* on Linux they need nothing that could lack */
    names->holders = 1;
    *names_out = names;
    return PD_OK;
}

/* Under the lock, which is given up. */
static void let_go(struct pd_names *names)
{
    bool is_last = --names->holders == 0;
    (void)pthread_mutex_unlock(&names->lock);
    if (is_last) {
        (void)pthread_mutex_destroy(&names->lock);
        (void)pthread_cond_destroy(&names->changed);
        pd_free(names);
    }
}

void pd_names_close(struct pd_names *names)
{
    if (names != NULL) {
        (void)pthread_mutex_lock(&names->lock);
        names->is_closed = true;
        (void)pthread_cond_signal(&names->changed);
        let_go(names);
    }
}

static bool is_before(const struct timespec *one, const struct timespec *other)
{
    return one->tv_sec < other->tv_sec ||
           (one->tv_sec == other->tv_sec && one->tv_nsec < other->tv_nsec);
}

/* The system is asked without the lock: the places do not move. */
static void ask(struct pd_names *names, struct name *name)
{
    struct pd_transport_address address;
    char text[PD_RESOLVE_TEXT_MAX];
    (void)pthread_mutex_unlock(&names->lock);
    bool is_known = pd_host_resolve(name->place, &address, text) == PD_OK;
    (void)pthread_mutex_lock(&names->lock);
    if (is_known && (!name->is_known || name->address.port != address.port ||
                     memcmp(name->address.ip, address.ip, sizeof address.ip) != 0)) {
        name->address = address;
        name->is_known = true;
        (void)atomic_fetch_add(&names->version, 1);
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &name->due);
    name->due.tv_sec += is_known ? AGAIN_S : UNKNOWN_S;
}

static void *run(void *argument)
{
    struct pd_names *names = argument;
    (void)pthread_mutex_lock(&names->lock);
    while (!names->is_closed) {
        struct timespec now;
        struct name *next = &names->names[0]; /* there is one, or there was no thread */
        for (uint32_t i = 1; i < names->count; i++) {
            next = is_before(&names->names[i].due, &next->due) ? &names->names[i] : next;
        }
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        if (is_before(&now, &next->due)) {
            const struct timespec until = next->due;
            (void)pthread_cond_timedwait(&names->changed, &names->lock, &until);
        } else {
            ask(names, next);
        }
    }
    let_go(names);
    return NULL;
}

/* Under the lock. Without a thread the next one who asks tries again. */
static void start(struct pd_names *names)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, names) == 0) {
        (void)pthread_detach(thread);
        names->has_thread = true;
        names->holders++;
    }
}

bool pd_names_find(struct pd_names *names, const char *place,
                   struct pd_transport_address *address_out)
{
    bool is_known = false;
    (void)pthread_mutex_lock(&names->lock);
    uint32_t at = 0;
    while (at < names->count && strcmp(names->names[at].place, place) != 0) {
        at++;
    }
    if (at < names->count) {
        is_known = names->names[at].is_known;
        *address_out = names->names[at].address;
    } else if (at < PD_NAMES_MAX && strlen(place) < PD_NAMES_TEXT_MAX) {
        struct name *name = &names->names[names->count++];
        (void)snprintf(name->place, sizeof name->place, "%s", place);
        (void)pthread_cond_signal(&names->changed);
    }
    if (!names->has_thread && names->count > 0) {
        start(names);
    }
    (void)pthread_mutex_unlock(&names->lock);
    return is_known;
}

uint64_t pd_names_version(const struct pd_names *names)
{
    return atomic_load(&names->version);
}
