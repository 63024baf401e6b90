/* Names become addresses on threads of their own: getaddrinfo blocks, and cannot be called off.
 *
 * A lookup has two owners: who asked for it, and the thread that does it. It is freed by whoever is
 * last. `lock` of the resolver guards all of them. */
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

struct pd_lookup {
    struct pd_real_sockets *sockets;
    struct pd_lookup *next;
    void *process;
    bool is_over;
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

static void look_up(struct pd_lookup *lookup)
{
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *first = NULL;
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

/* Take the first that waits, do it, and say so. Under the lock, which is given up meanwhile. */
static void do_first(struct pd_resolver *resolver)
{
    struct pd_lookup *lookup = resolver->first;
    resolver->first = lookup->next;
    if (resolver->first == NULL) {
        resolver->end = &resolver->first;
    }
    bool is_wanted = !lookup->is_closed;
    (void)pthread_mutex_unlock(&resolver->lock);
    if (is_wanted) {
        look_up(lookup);
    }
    (void)pthread_mutex_lock(&resolver->lock);
    resolver->count--;
    lookup->is_over = true;
    if (lookup->is_closed) {
        pd_free(lookup);
    } else {
        lookup->sockets->interface.wake(lookup->process);
    }
}

static void *resolver_main(void *argument)
{
    struct pd_resolver *resolver = argument;
    (void)pthread_setname_np(pthread_self(), "pando-names");
    (void)pthread_mutex_lock(&resolver->lock);
    while (!resolver->is_stopping) {
        if (resolver->first != NULL) {
            do_first(resolver);
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
    bool has_some = resolver->first != NULL;
    while (resolver->first != NULL) {
        do_first(resolver);
    }
    (void)pthread_mutex_unlock(&resolver->lock);
    return has_some;
}

void pd_resolver_init(struct pd_resolver *resolver)
{
    (void)pthread_mutex_init(&resolver->lock, NULL);
    (void)pthread_cond_init(&resolver->has_work, NULL);
    resolver->end = &resolver->first;
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
    while (resolver->first != NULL) { /* of guests that are gone: nobody began them */
        struct pd_lookup *lookup = resolver->first;
        resolver->first = lookup->next;
        pd_assert(lookup->is_closed);
        pd_free(lookup);
    }
    (void)pthread_cond_destroy(&resolver->has_work);
    (void)pthread_mutex_destroy(&resolver->lock);
}

/* --- For who asks ----------------------------------------------------------------------------- */

/* Somebody must do it; under the lock. */
static int call_thread(struct pd_real_sockets *sockets)
{
    struct pd_resolver *resolver = &sockets->resolver;
    if (sockets->is_inline || resolver->idle_count > 0) {
        (void)pthread_cond_signal(&resolver->has_work);
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

int pd_resolver_lookup(struct pd_sockets *sockets, const char *name, size_t name_size,
                       void *process, struct pd_lookup **lookup_out)
{
    pd_assert(name_size <= PD_LOOKUP_NAME_MAX);
    struct pd_real_sockets *real = pd_real_sockets_of(sockets);
    struct pd_resolver *resolver = &real->resolver;
    struct pd_lookup *lookup = pd_alloc_zeroed(1, sizeof *lookup);
    if (lookup == NULL) {
        return ENOMEM;
    }
    lookup->sockets = real;
    lookup->process = process;
    memcpy(lookup->name, name, name_size);
    (void)pthread_mutex_lock(&resolver->lock);
    int error = resolver->count >= PD_LOOKUPS_MAX ? PD_SOCKET_AGAIN : call_thread(real);
    if (error == 0) {
        *resolver->end = lookup;
        resolver->end = &lookup->next;
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
    bool is_over = lookup->is_over;
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
    bool is_over = lookup->is_over;
    lookup->is_closed = true;
    (void)pthread_mutex_unlock(&resolver->lock);
    if (is_over) {
        pd_free(lookup);
    }
}

const char *pd_resolver_text(int error)
{
    return gai_strerror(error);
}

uint32_t pd_real_sockets_lookup_count(struct pd_real_sockets *sockets)
{
    (void)pthread_mutex_lock(&sockets->resolver.lock);
    uint32_t count = sockets->resolver.count;
    (void)pthread_mutex_unlock(&sockets->resolver.lock);
    return count;
}
