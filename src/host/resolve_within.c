#include "host/resolve_within.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/within.h"

#define SECOND_NS UINT64_C(1000000000)
#define PLACE_MAX (PD_RESOLVE_HOST_MAX + 10u) /* with brackets, a port and a zero byte */

struct pd_resolve_lookup {
    struct pd_within *within;
    enum pd_status status;
    struct pd_transport_address address;
    char text[PD_RESOLVE_TEXT_MAX];
    char place[PLACE_MAX];
};

static void run(void *job)
{
    struct pd_resolve_lookup *lookup = job;
    lookup->status = pd_host_resolve(lookup->place, &lookup->address, lookup->text);
}

static uint64_t time_after(uint64_t timeout_ns)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
    return timeout_ns > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + timeout_ns;
}

enum pd_status pd_host_resolve_start(const char *place, struct pd_resolve_lookup **lookup_out,
                                     char text[PD_RESOLVE_TEXT_MAX])
{
    struct pd_transport_address none;
    if (strlen(place) >= PLACE_MAX) {
        enum pd_status status = pd_host_resolve(place, &none, text);
        pd_assert(status != PD_OK); /* it is no place, and text says so */
        return status;
    }
    struct pd_resolve_lookup *lookup = pd_alloc_zeroed(1, sizeof *lookup);
    if (lookup != NULL) {
        memcpy(lookup->place, place, strlen(place) + 1);
        lookup->within = pd_within_start(&(struct pd_within_work){
            .name = "pando-name", .run = run, .release = pd_free, .job = lookup});
    }
    if (lookup == NULL || lookup->within == NULL) {
        pd_free(lookup);
        (void)snprintf(text, PD_RESOLVE_TEXT_MAX, "no memory or threads to look '%s' up", place);
        return PD_ERR_NO_MEMORY;
    }
    *lookup_out = lookup;
    return PD_OK;
}

enum pd_status pd_host_resolve_wait(struct pd_resolve_lookup *lookup, uint64_t timeout_ns,
                                    struct pd_transport_address *address_out,
                                    char text[PD_RESOLVE_TEXT_MAX])
{
    if (!pd_within_wait(lookup->within, time_after(timeout_ns))) {
        (void)snprintf(text, PD_RESOLVE_TEXT_MAX, "the system does not say where '%s' is",
                       lookup->place);
        return PD_ERR_TIMEOUT;
    }
    memcpy(text, lookup->text, sizeof lookup->text);
    if (lookup->status == PD_OK) {
        *address_out = lookup->address;
    }
    return lookup->status;
}

void pd_host_resolve_leave(struct pd_resolve_lookup *lookup)
{
    pd_within_leave(lookup->within);
}

enum pd_status pd_host_resolve_within(const char *place, uint64_t timeout_ns,
                                      struct pd_transport_address *address_out,
                                      char text[PD_RESOLVE_TEXT_MAX])
{
    struct pd_resolve_lookup *lookup = NULL;
    enum pd_status status = pd_host_resolve_start(place, &lookup, text);
    if (status == PD_OK) {
        status = pd_host_resolve_wait(lookup, timeout_ns, address_out, text);
        pd_host_resolve_leave(lookup);
    }
    return status;
}
