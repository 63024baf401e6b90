/* virtual - the host interface of the deterministic mode: one thread, virtual time, seeded entropy,
 * jobs inline.
 *
 * Model      Time stands still until pd_virtual_host_advance moves it. A job runs before submit
 *            returns. Output goes to the real streams, since it is what the run is for.
 * Threads    None: thread_start and event_wait are bugs here. */
#ifndef PD_HOST_VIRTUAL_H
#define PD_HOST_VIRTUAL_H

#include <stdint.h>

#include "base/host.h"
#include "base/random.h"
#include "base/trace.h"

struct pd_virtual_host {
    struct pd_host interface; /* first */
    uint64_t now_ns;
    struct pd_random entropy;
    struct pd_trace *trace; /* entropy draws are folded into it; NULL: not */
};

/* The clock begins at one second, the wall clock at 2000-01-01. */
void pd_virtual_host_init(struct pd_virtual_host *host, uint64_t seed, struct pd_trace *trace);

struct pd_host *pd_virtual_host_interface(struct pd_virtual_host *host);

/* Move the clock forward; a time in the past leaves it. For pd_runtime_run. */
void pd_virtual_host_advance(struct pd_host *host, uint64_t now_ns);

#endif
