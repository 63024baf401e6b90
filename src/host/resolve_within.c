#include "host/resolve_within.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/within.h"

#define SECOND_NS UINT64_C(1000000000)
#define PLACE_MAX (PD_RESOLVE_HOST_MAX + 10u) /* with brackets, a port and a zero byte */

struct lookup {
    enum pd_status status;
    struct pd_transport_address address;
    char text[PD_RESOLVE_TEXT_MAX];
    char place[PLACE_MAX];
};

static void run(void *job)
{
    struct lookup *lookup = job;
    lookup->status = pd_host_resolve(lookup->place, &lookup->address, lookup->text);
}

static uint64_t time_after(uint64_t timeout_ns)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
    return timeout_ns > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + timeout_ns;
}

/* NULL: no memory or threads. */
static struct pd_within *start(const char *place, struct lookup **lookup_out)
{
    struct lookup *lookup = pd_alloc_zeroed(1, sizeof *lookup);
    if (lookup == NULL) {
        return NULL;
    }
    memcpy(lookup->place, place, strlen(place) + 1);
    struct pd_within *within = pd_within_start(&(struct pd_within_work){
        .name = "pando-name", .run = run, .release = pd_free, .job = lookup});
    if (within == NULL) {
        pd_free(lookup);
    }
    *lookup_out = lookup;
    return within;
}

enum pd_status pd_host_resolve_within(const char *place, uint64_t timeout_ns,
                                      struct pd_transport_address *address_out,
                                      char text[PD_RESOLVE_TEXT_MAX])
{
    uint64_t deadline_ns = time_after(timeout_ns);
    struct lookup *lookup = NULL;
    if (strlen(place) >= PLACE_MAX) {
        return pd_host_resolve(place, address_out, text); /* which is no place, and says so */
    }
    struct pd_within *within = start(place, &lookup);
    if (within == NULL) {
        (void)snprintf(text, PD_RESOLVE_TEXT_MAX, "no memory or threads to look '%s' up", place);
        return PD_ERR_NO_MEMORY;
    }
    enum pd_status status = PD_ERR_TIMEOUT;
    if (pd_within_wait(within, deadline_ns)) {
        status = lookup->status;
        memcpy(text, lookup->text, sizeof lookup->text);
    } else {
        (void)snprintf(text, PD_RESOLVE_TEXT_MAX, "the system does not say where '%s' is", place);
    }
    if (status == PD_OK) {
        *address_out = lookup->address;
    }
    pd_within_leave(within);
    return status;
}
