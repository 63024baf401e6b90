#include "client/link_names.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/assert.h"

/* Of who waits, and the thread: whoever lets go last frees it. */
struct lookup {
    pthread_mutex_t lock;
    pthread_cond_t done;
    uint32_t holders;
    bool is_done;
    int result;
    struct addrinfo *found;
    struct pd_link_endpoint endpoint;
};

/* Of those who look up at once. */
static struct {
    pthread_once_t once;
    pthread_mutex_t lock;
    pthread_cond_t is_free;
    uint32_t taken;
} places = {.once = PTHREAD_ONCE_INIT, .lock = PTHREAD_MUTEX_INITIALIZER};

static const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};

/* Whose waits end by the clock of pd_link_now_ms. */
static void init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    int result = pthread_condattr_init(&attributes);
    result |= pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    result |= pthread_cond_init(condition, &attributes);
    result |= pthread_condattr_destroy(&attributes);
    pd_assert(result == 0); /* on Linux they need nothing that could lack */
}

static struct timespec time_of(uint64_t ms)
{
    return (struct timespec){.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
}

static void init_places(void)
{
    init_condition(&places.is_free);
}

/* False: none was free until then. */
static bool take_place(uint64_t deadline_ms)
{
    const struct timespec until = time_of(deadline_ms);
    (void)pthread_once(&places.once, init_places);
    (void)pthread_mutex_lock(&places.lock);
    while (places.taken == PD_LINK_LOOKUPS_MAX && pd_link_now_ms() < deadline_ms) {
        (void)pthread_cond_timedwait(&places.is_free, &places.lock, &until);
    }
    bool is_free = places.taken < PD_LINK_LOOKUPS_MAX;
    places.taken += is_free ? 1 : 0;
    (void)pthread_mutex_unlock(&places.lock);
    return is_free;
}

static void give_place_back(void)
{
    (void)pthread_mutex_lock(&places.lock);
    places.taken--;
    (void)pthread_cond_signal(&places.is_free);
    (void)pthread_mutex_unlock(&places.lock);
}

static struct lookup *make(const struct pd_link_endpoint *endpoint)
{
    struct lookup *lookup = pd_alloc_zeroed(1, sizeof *lookup);
    if (lookup == NULL) {
        return NULL;
    }
    int result = pthread_mutex_init(&lookup->lock, NULL);
    pd_assert(result == 0); /* as with conditions */
    init_condition(&lookup->done);
    lookup->endpoint = *endpoint;
    lookup->holders = 1;
    return lookup;
}

/* Under the lock, which is given up. */
static void let_go(struct lookup *lookup)
{
    bool is_last = --lookup->holders == 0;
    (void)pthread_mutex_unlock(&lookup->lock);
    if (is_last) {
        if (lookup->found != NULL) {
            freeaddrinfo(lookup->found);
        }
        (void)pthread_mutex_destroy(&lookup->lock);
        (void)pthread_cond_destroy(&lookup->done);
        pd_free(lookup);
    }
}

static void *run(void *argument)
{
    struct lookup *lookup = argument;
    struct addrinfo *found = NULL;
    int result = getaddrinfo(lookup->endpoint.host, lookup->endpoint.port, &hints, &found);
    give_place_back();
    (void)pthread_mutex_lock(&lookup->lock);
    lookup->result = result;
    lookup->found = result == 0 ? found : NULL;
    lookup->is_done = true;
    (void)pthread_cond_signal(&lookup->done);
    let_go(lookup);
    return NULL;
}

/* The program's signals are not this thread's. */
static bool start(struct lookup *lookup)
{
    pthread_t thread;
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    lookup->holders++;
    bool is_started = pthread_create(&thread, NULL, run, lookup) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (is_started) {
        (void)pthread_detach(thread);
    } else {
        lookup->holders--;
    }
    return is_started;
}

static enum pd_status not_found(struct pd_link *link, const struct pd_link_endpoint *endpoint,
                                int result)
{
    return pd_link_fail(link, PD_ERR_CLOSED, "cannot find the host '%s': %s", endpoint->host,
                        gai_strerror(result));
}

/* Lets go of it. */
static enum pd_status wait_for(struct pd_link *link, struct lookup *lookup, uint64_t deadline_ms,
                               struct addrinfo **found_out)
{
    const struct timespec until = time_of(deadline_ms);
    enum pd_status status = PD_OK;
    (void)pthread_mutex_lock(&lookup->lock);
    while (!lookup->is_done && pd_link_now_ms() < deadline_ms) {
        (void)pthread_cond_timedwait(&lookup->done, &lookup->lock, &until);
    }
    if (!lookup->is_done) {
        status = pd_link_fail(link, PD_ERR_TIMEOUT,
                              "cannot find the host '%s' in time: the system's resolver does not "
                              "answer",
                              lookup->endpoint.host);
    } else if (lookup->result != 0) {
        status = not_found(link, &lookup->endpoint, lookup->result);
    } else {
        *found_out = lookup->found;
        lookup->found = NULL;
    }
    let_go(lookup);
    return status;
}

enum pd_status pd_link_find(struct pd_link *link, const struct pd_link_endpoint *endpoint,
                            uint64_t deadline_ms, struct addrinfo **found_out)
{
    struct addrinfo in_numbers = hints;
    in_numbers.ai_flags = AI_NUMERICHOST;
    *found_out = NULL;
    int result = getaddrinfo(endpoint->host, endpoint->port, &in_numbers, found_out);
    if (result != EAI_NONAME) {
        return result == 0 ? PD_OK : not_found(link, endpoint, result);
    }
    if (!take_place(deadline_ms)) {
        return pd_link_fail(link, PD_ERR_TIMEOUT,
                            "cannot find the host '%s' in time: the system's resolver has not "
                            "answered %u lookups before it",
                            endpoint->host, PD_LINK_LOOKUPS_MAX);
    }
    struct lookup *lookup = make(endpoint);
    if (lookup != NULL && start(lookup)) {
        return wait_for(link, lookup, deadline_ms, found_out);
    }
    give_place_back();
    if (lookup != NULL) {
        (void)pthread_mutex_lock(&lookup->lock);
        let_go(lookup);
    }
    return pd_link_fail(link, PD_ERR_NO_MEMORY, "no memory to look up '%s'", endpoint->host);
}
