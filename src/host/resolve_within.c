#include "host/resolve_within.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "host/detached.h"

#define SECOND_NS UINT64_C(1000000000)
#define PLACE_MAX (PD_RESOLVE_HOST_MAX + 10u) /* with brackets, a port and a zero byte */

/* Of who waits, and the thread: whoever lets go last frees it. */
struct lookup {
    pthread_mutex_t lock;
    pthread_cond_t done;
    uint32_t holders;
    bool is_done;
    enum pd_status status;
    struct pd_transport_address address;
    char text[PD_RESOLVE_TEXT_MAX];
    char place[PLACE_MAX];
};

static struct lookup *make(const char *place)
{
    struct lookup *lookup = pd_alloc_zeroed(1, sizeof *lookup);
    pthread_condattr_t attributes;
    if (lookup == NULL) {
        return NULL;
    }
    int result = pthread_mutex_init(&lookup->lock, NULL);
    result |= pthread_condattr_init(&attributes);
    result |= pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    result |= pthread_cond_init(&lookup->done, &attributes);
    result |= pthread_condattr_destroy(&attributes);
    pd_assert(result == 0); /* on Linux they need nothing that could lack */
    memcpy(lookup->place, place, strlen(place) + 1);
    lookup->holders = 1;
    return lookup;
}

/* Under the lock, which is given up. */
static void let_go(struct lookup *lookup)
{
    bool is_last = --lookup->holders == 0;
    (void)pthread_mutex_unlock(&lookup->lock);
    if (is_last) {
        (void)pthread_mutex_destroy(&lookup->lock);
        (void)pthread_cond_destroy(&lookup->done);
        pd_free(lookup);
    }
}

static void *run(void *argument)
{
    struct lookup *lookup = argument;
    struct pd_transport_address address = {.port = 0};
    char text[PD_RESOLVE_TEXT_MAX];
    enum pd_status status = pd_host_resolve(lookup->place, &address, text);
    (void)pthread_mutex_lock(&lookup->lock);
    lookup->status = status;
    lookup->address = address;
    memcpy(lookup->text, text, sizeof text);
    lookup->is_done = true;
    (void)pthread_cond_signal(&lookup->done);
    let_go(lookup);
    return NULL;
}

static bool start(struct lookup *lookup)
{
    lookup->holders++;
    bool is_started = pd_host_detached("pando-name", run, lookup);
    if (!is_started) {
        lookup->holders--;
    }
    return is_started;
}

static struct timespec time_after(uint64_t timeout_ns)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t nanoseconds = (uint64_t)until.tv_nsec + timeout_ns % SECOND_NS;
    until.tv_sec += (time_t)(timeout_ns / SECOND_NS + nanoseconds / SECOND_NS);
    until.tv_nsec = (long)(nanoseconds % SECOND_NS);
    return until;
}

enum pd_status pd_host_resolve_within(const char *place, uint64_t timeout_ns,
                                      struct pd_transport_address *address_out,
                                      char text[PD_RESOLVE_TEXT_MAX])
{
    const struct timespec until = time_after(timeout_ns);
    if (strlen(place) >= PLACE_MAX) {
        return pd_host_resolve(place, address_out, text); /* which is no place, and says so */
    }
    struct lookup *lookup = make(place);
    if (lookup == NULL || !start(lookup)) {
        (void)snprintf(text, PD_RESOLVE_TEXT_MAX, "no memory or threads to look '%s' up", place);
        pd_free(lookup);
        return PD_ERR_NO_MEMORY;
    }
    (void)pthread_mutex_lock(&lookup->lock);
    int result = 0;
    while (!lookup->is_done && result == 0) {
        result = pthread_cond_timedwait(&lookup->done, &lookup->lock, &until);
    }
    enum pd_status status = lookup->is_done ? lookup->status : PD_ERR_TIMEOUT;
    if (status == PD_ERR_TIMEOUT) {
        (void)snprintf(text, PD_RESOLVE_TEXT_MAX, "the system does not say where '%s' is", place);
    } else {
        memcpy(text, lookup->text, sizeof lookup->text);
    }
    if (status == PD_OK) {
        *address_out = lookup->address;
    }
    let_go(lookup);
    return status;
}
