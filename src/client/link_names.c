#include "client/link_names.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/within.h"

#define MS_NS 1000000

struct lookup {
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

/* Its waits end by the clock of pd_link_now_ms. */
static void init_places(void)
{
    pthread_condattr_t attributes;
    int result = pthread_condattr_init(&attributes);
    result |= pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    result |= pthread_cond_init(&places.is_free, &attributes);
    result |= pthread_condattr_destroy(&attributes);
    pd_assert(result == 0); /* on Linux they need nothing that could lack */
}

/* False: none was free until then. */
static bool take_place(uint64_t deadline_ms)
{
    const struct timespec until = {.tv_sec = (time_t)(deadline_ms / 1000),
                                   .tv_nsec = (long)(deadline_ms % 1000) * MS_NS};
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

static void run(void *job)
{
    struct lookup *lookup = job;
    lookup->result =
        getaddrinfo(lookup->endpoint.host, lookup->endpoint.port, &hints, &lookup->found);
    give_place_back();
}

static void release(void *job)
{
    struct lookup *lookup = job;
    if (lookup->result == 0 && lookup->found != NULL) {
        freeaddrinfo(lookup->found);
    }
    pd_free(lookup);
}

static enum pd_status not_found(struct pd_link *link, const struct pd_link_endpoint *endpoint,
                                int result)
{
    return pd_link_fail(link, PD_ERR_CLOSED, "cannot find the host '%s': %s", endpoint->host,
                        gai_strerror(result));
}

/* Lets go of it. */
static enum pd_status wait_for(struct pd_link *link, struct pd_within *within,
                               struct lookup *lookup, uint64_t deadline_ms,
                               struct addrinfo **found_out)
{
    enum pd_status status = PD_OK;
    uint64_t deadline_ns = deadline_ms > UINT64_MAX / MS_NS ? UINT64_MAX : deadline_ms * MS_NS;
    if (!pd_within_wait(within, deadline_ns)) {
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
    pd_within_leave(within);
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
    struct lookup *lookup = pd_alloc_zeroed(1, sizeof *lookup);
    struct pd_within *within = NULL;
    if (lookup != NULL) {
        lookup->endpoint = *endpoint;
        within = pd_within_start(&(struct pd_within_work){
            .name = "pando-name", .run = run, .release = release, .job = lookup});
    }
    if (within != NULL) {
        return wait_for(link, within, lookup, deadline_ms, found_out);
    }
    give_place_back();
    pd_free(lookup);
    return pd_link_fail(link, PD_ERR_NO_MEMORY, "no memory to look up '%s'", endpoint->host);
}
