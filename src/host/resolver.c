/* Names become addresses on threads of their own: getaddrinfo blocks, and cannot be called off.
 *
 *              asked ──► WAITING ──a thread──► RUNNING ──► OVER ──► taken, closed
 *                           │ closed: freed       └ closed: the thread frees it
 *                           └ its name was looked up for another: OVER as well
 *
 * Fairness   An owner (an environment) has at most PD_LOOKUPS_OF_OWNER_MAX lookups, and at most
 *            RUNNING_OF_OWNER_MAX of the threads; a thread that is free serves the owner with the
 *            fewest running. A name is looked up once for all that wait for it. So slow names cost
 *            those who ask for them, and others at most a moment.
 * Locks      `lock` of the resolver guards all lookups. */
#include <errno.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <resolv.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "host/sockets_internal.h"

#define TRY_SECONDS 3
#define TRIES 2
#define RUNNING_OF_OWNER_MAX 4u

enum lookup_state {
    LOOKUP_WAITING = 0,
    LOOKUP_RUNNING = 1,
    LOOKUP_OVER = 2
};

struct pd_lookup {
    struct pd_real_sockets *sockets;
    struct pd_list node; /* the resolver's, until it is over; first come first */
    uint64_t owner;
    void *process;
    enum lookup_state state;
    bool is_closed; /* who asked is gone */
    int error;
    uint32_t count;
    struct pd_lookup_result results[PD_LOOKUP_ADDRESSES_MAX];
    char name[PD_LOOKUP_NAME_MAX + 1];
};

/* --- One lookup ------------------------------------------------------------------------------- */

static void mark_own(struct pd_lookup *lookup)
{
    struct ifaddrs *first = NULL;
    if (getifaddrs(&first) != 0) {
        for (uint32_t i = 0; i < lookup->count; i++) {
            lookup->results[i].is_own = true; /* nobody knows: then rather not */
        }
        return;
    }
    for (const struct ifaddrs *at = first; at != NULL; at = at->ifa_next) {
        if (at->ifa_addr == NULL ||
            (at->ifa_addr->sa_family != AF_INET && at->ifa_addr->sa_family != AF_INET6)) {
            continue;
        }
        struct pd_socket_address own;
        union pd_system_address system;
        memcpy(&system, at->ifa_addr,
               at->ifa_addr->sa_family == AF_INET ? sizeof system.v4 : sizeof system.v6);
        pd_address_from_system(&system, &own);
        for (uint32_t i = 0; i < lookup->count; i++) {
            struct pd_lookup_result *result = &lookup->results[i];
            result->is_own |= memcmp(result->address.ip, own.ip, sizeof own.ip) == 0;
        }
    }
    freeifaddrs(first);
}

static void look_up(const struct pd_resolver *resolver, struct pd_lookup *lookup)
{
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *first = NULL;
    if (resolver->instead != NULL) {
        lookup->error = resolver->instead(resolver->context, lookup->name);
        return;
    }
    /* This thread's own: how long a silent name server is waited for. */
    if (res_init() == 0) {
        _res.retrans = TRY_SECONDS;
        _res.retry = TRIES;
    }
    lookup->error = getaddrinfo(lookup->name, NULL, &hints, &first);
    if (lookup->error != 0) {
        return;
    }
    for (const struct addrinfo *at = first; at != NULL && lookup->count < PD_LOOKUP_ADDRESSES_MAX;
         at = at->ai_next) {
        if (at->ai_family != AF_INET && at->ai_family != AF_INET6) {
            continue;
        }
        union pd_system_address system;
        memset(&system, 0, sizeof system);
        memcpy(&system, at->ai_addr,
               at->ai_addrlen < sizeof system ? at->ai_addrlen : sizeof system);
        pd_address_from_system(&system, &lookup->results[lookup->count++].address);
    }
    freeaddrinfo(first);
    mark_own(lookup);
}

/* --- Threads ---------------------------------------------------------------------------------- */

static struct pd_lookup *lookup_of(struct pd_list *node)
{
    return pd_container_of(node, struct pd_lookup, node);
}

/* How many of an owner there are: all, and those that run. */
static uint32_t count_of(const struct pd_resolver *resolver, uint64_t owner, uint32_t *running_out)
{
    uint32_t count = 0;
    *running_out = 0;
    for (struct pd_list *at = resolver->lookups.next; at != &resolver->lookups; at = at->next) {
        const struct pd_lookup *lookup = lookup_of(at);
        if (lookup->owner == owner) {
            count++;
            *running_out += lookup->state == LOOKUP_RUNNING ? 1u : 0u;
        }
    }
    return count;
}

static bool is_running(const struct pd_resolver *resolver, const char *name)
{
    for (struct pd_list *at = resolver->lookups.next; at != &resolver->lookups; at = at->next) {
        const struct pd_lookup *lookup = lookup_of(at);
        if (lookup->state == LOOKUP_RUNNING && strcmp(lookup->name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Whom a free thread serves: the first of the owner with the fewest running; NULL: nobody now. */
static struct pd_lookup *choose(const struct pd_resolver *resolver)
{
    struct pd_lookup *chosen = NULL;
    uint32_t fewest = RUNNING_OF_OWNER_MAX;
    for (struct pd_list *at = resolver->lookups.next; at != &resolver->lookups && fewest > 0;
         at = at->next) {
        struct pd_lookup *lookup = lookup_of(at);
        uint32_t running = 0;
        if (lookup->state != LOOKUP_WAITING) {
            continue;
        }
        (void)count_of(resolver, lookup->owner, &running);
        if (running < fewest && !is_running(resolver, lookup->name)) {
            chosen = lookup;
            fewest = running;
        }
    }
    return chosen;
}

/* It leaves the resolver, with its answer. */
static void finish(struct pd_resolver *resolver, struct pd_lookup *lookup)
{
    pd_list_remove(&lookup->node);
    resolver->count--;
    lookup->state = LOOKUP_OVER;
    if (lookup->is_closed) {
        pd_free(lookup);
    } else {
        lookup->sockets->interface.wake(lookup->process);
    }
}

/* Those that wait for the same name have their answer too. */
static void finish_same(struct pd_resolver *resolver, const struct pd_lookup *done)
{
    struct pd_list *next = NULL;
    for (struct pd_list *at = resolver->lookups.next; at != &resolver->lookups; at = next) {
        next = at->next;
        struct pd_lookup *lookup = lookup_of(at);
        if (lookup->state == LOOKUP_WAITING && strcmp(lookup->name, done->name) == 0) {
            lookup->error = done->error;
            lookup->count = done->count;
            memcpy(lookup->results, done->results, sizeof lookup->results);
            finish(resolver, lookup);
        }
    }
}

/* Do one, and say so. Under the lock, which is given up meanwhile. */
static void do_one(struct pd_resolver *resolver, struct pd_lookup *lookup)
{
    lookup->state = LOOKUP_RUNNING;
    (void)pthread_mutex_unlock(&resolver->lock);
    look_up(resolver, lookup);
    (void)pthread_mutex_lock(&resolver->lock);
    finish_same(resolver, lookup);
    finish(resolver, lookup);
    /* What waited for this name or this owner may be for a thread that is idle. */
    (void)pthread_cond_signal(&resolver->has_work);
}

static void *resolver_main(void *argument)
{
    struct pd_resolver *resolver = argument;
    (void)pthread_setname_np(pthread_self(), "pando-names");
    (void)pthread_mutex_lock(&resolver->lock);
    while (!resolver->is_stopping) {
        struct pd_lookup *lookup = choose(resolver);
        if (lookup != NULL) {
            do_one(resolver, lookup);
            continue;
        }
        resolver->idle_count++;
        (void)pthread_cond_wait(&resolver->has_work, &resolver->lock);
        resolver->idle_count--;
    }
    (void)pthread_mutex_unlock(&resolver->lock);
    return NULL;
}

bool pd_resolver_poll(struct pd_real_sockets *sockets)
{
    struct pd_resolver *resolver = &sockets->resolver;
    (void)pthread_mutex_lock(&resolver->lock);
    struct pd_lookup *lookup = choose(resolver);
    bool has_some = lookup != NULL;
    for (; lookup != NULL; lookup = choose(resolver)) {
        do_one(resolver, lookup);
    }
    (void)pthread_mutex_unlock(&resolver->lock);
    return has_some;
}

void pd_resolver_init(struct pd_resolver *resolver)
{
    (void)pthread_mutex_init(&resolver->lock, NULL);
    (void)pthread_cond_init(&resolver->has_work, NULL);
    pd_list_init(&resolver->lookups);
}

void pd_resolver_deinit(struct pd_resolver *resolver)
{
    (void)pthread_mutex_lock(&resolver->lock);
    resolver->is_stopping = true;
    (void)pthread_cond_broadcast(&resolver->has_work);
    (void)pthread_mutex_unlock(&resolver->lock);
    for (uint32_t i = 0; i < resolver->thread_count; i++) {
        (void)pthread_join(resolver->threads[i], NULL);
    }
    pd_assert(pd_list_is_empty(&resolver->lookups)); /* nobody asks any more */
    (void)pthread_cond_destroy(&resolver->has_work);
    (void)pthread_mutex_destroy(&resolver->lock);
}

/* --- For who asks ----------------------------------------------------------------------------- */

/* Somebody must do it; under the lock. */
static int call_thread(struct pd_real_sockets *sockets)
{
    struct pd_resolver *resolver = &sockets->resolver;
    (void)pthread_cond_signal(&resolver->has_work);
    /* An idle thread that was woken counts as idle until it runs: it is not promised twice. */
    uint32_t waiting = 1; /* this one */
    for (struct pd_list *at = resolver->lookups.next; at != &resolver->lookups; at = at->next) {
        waiting += lookup_of(at)->state == LOOKUP_WAITING;
    }
    if (sockets->is_inline || resolver->idle_count >= waiting) {
        return 0;
    }
    if (resolver->thread_count < PD_LOOKUP_THREADS_MAX) {
        int error = pthread_create(&resolver->threads[resolver->thread_count], NULL, resolver_main,
                                   resolver);
        if (error == 0) {
            resolver->thread_count++;
        } else if (resolver->thread_count == 0) {
            return error;
        }
    }
    return 0;
}

int pd_resolver_lookup(struct pd_sockets *sockets, uint64_t owner, const char *name,
                       size_t name_size, void *process, struct pd_lookup **lookup_out)
{
    pd_assert(name_size <= PD_LOOKUP_NAME_MAX);
    struct pd_real_sockets *real = pd_real_sockets_of(sockets);
    struct pd_resolver *resolver = &real->resolver;
    struct pd_lookup *lookup = pd_alloc_zeroed(1, sizeof *lookup);
    if (lookup == NULL) {
        return ENOMEM;
    }
    lookup->sockets = real;
    lookup->owner = owner;
    lookup->process = process;
    pd_list_init(&lookup->node);
    memcpy(lookup->name, name, name_size);
    (void)pthread_mutex_lock(&resolver->lock);
    uint32_t running = 0;
    bool is_full = resolver->count >= PD_LOOKUPS_MAX ||
                   count_of(resolver, owner, &running) >= PD_LOOKUPS_OF_OWNER_MAX;
    int error = is_full ? PD_SOCKET_AGAIN : call_thread(real);
    if (error == 0) {
        pd_list_append(&resolver->lookups, &lookup->node);
        resolver->count++;
    }
    (void)pthread_mutex_unlock(&resolver->lock);
    if (error != 0) {
        pd_free(lookup);
        return error;
    }
    *lookup_out = lookup;
    return 0;
}

bool pd_resolver_take(struct pd_lookup *lookup, struct pd_lookup_result *results,
                      uint32_t *count_out, int *error_out)
{
    struct pd_resolver *resolver = &lookup->sockets->resolver;
    (void)pthread_mutex_lock(&resolver->lock);
    bool is_over = lookup->state == LOOKUP_OVER;
    (void)pthread_mutex_unlock(&resolver->lock);
    if (is_over) {
        *error_out = lookup->error;
        *count_out = lookup->count;
        memcpy(results, lookup->results, lookup->count * sizeof *results);
    }
    return is_over;
}

void pd_resolver_close(struct pd_lookup *lookup)
{
    struct pd_resolver *resolver = &lookup->sockets->resolver;
    (void)pthread_mutex_lock(&resolver->lock);
    bool is_a_threads = lookup->state == LOOKUP_RUNNING;
    lookup->is_closed = true;
    if (lookup->state == LOOKUP_WAITING) {
        pd_list_remove(&lookup->node);
        resolver->count--;
    }
    (void)pthread_mutex_unlock(&resolver->lock);
    if (!is_a_threads) {
        pd_free(lookup);
    }
}

const char *pd_resolver_text(int error)
{
    return gai_strerror(error);
}

void pd_real_sockets_set_lookup(struct pd_real_sockets *sockets,
                                int (*instead)(void *context, const char *name), void *context)
{
    (void)pthread_mutex_lock(&sockets->resolver.lock);
    sockets->resolver.instead = instead;
    sockets->resolver.context = context;
    (void)pthread_mutex_unlock(&sockets->resolver.lock);
}

uint32_t pd_real_sockets_lookup_count(struct pd_real_sockets *sockets)
{
    (void)pthread_mutex_lock(&sockets->resolver.lock);
    uint32_t count = sockets->resolver.count;
    (void)pthread_mutex_unlock(&sockets->resolver.lock);
    return count;
}
