/* trace - the running hash that tells whether two deterministic runs were the same run. Pure.
 *
 * Model  Every event that could differ is folded in order: kind first, then up to three numbers.
 *        Equal hashes mean equal histories; the events are not kept. */
#ifndef PD_BASE_TRACE_H
#define PD_BASE_TRACE_H

#include <stdint.h>

#include "base/hash.h"

enum pd_trace_kind {
    PD_TRACE_SCHEDULE = 1,  /* pid, runnable count */
    PD_TRACE_DELIVER = 2,   /* receiver, tag, digest of the data */
    PD_TRACE_SIGNAL = 3,    /* receiver, kind, peer */
    PD_TRACE_HOST_CALL = 4, /* pid, name hash, digest of arguments and result */
    PD_TRACE_ENTROPY = 5,   /* size, digest */
    PD_TRACE_EXIT = 6,      /* pid, reason */
    PD_TRACE_TIME = 7,      /* virtual now_ns */
    PD_TRACE_SPAWN = 8,     /* pid, parent */
    PD_TRACE_JOB = 9        /* pid, digest of the outcome */
};

struct pd_trace {
    uint64_t hash;
    uint64_t event_count;
};

static inline void pd_trace_fold(struct pd_trace *trace, enum pd_trace_kind kind, uint64_t a,
                                 uint64_t b, uint64_t c)
{
    if (trace == (struct pd_trace *)0) {
        return;
    }
    uint64_t hash = pd_hash_u64(trace->hash, (uint64_t)kind);
    trace->hash = pd_hash_u64(pd_hash_u64(pd_hash_u64(hash, a), b), c);
    trace->event_count++;
}

#endif
