/* histogram - how long something takes, counted in buckets. Pure.
 *
 * Model      Bucket i counts what took no longer than pd_histogram_bound_ns(i); the last one what
 *            took longer than all of them.
 * Threads    One adds, any may copy: relaxed counts, each whole, not all of one moment. */
#ifndef PD_BASE_HISTOGRAM_H
#define PD_BASE_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#define PD_HISTOGRAM_BOUNDS 20u /* 10 us, twice as much each, up to 5.2 s */

struct pd_histogram {
    atomic_uint_least64_t counts[PD_HISTOGRAM_BOUNDS + 1];
    atomic_uint_least64_t sum_ns;
};

struct pd_histogram_copy {
    uint64_t counts[PD_HISTOGRAM_BOUNDS + 1];
    uint64_t sum_ns;
};

static inline uint64_t pd_histogram_bound_ns(uint32_t bucket)
{
    return UINT64_C(10000) << bucket;
}

static inline void pd_histogram_add(struct pd_histogram *histogram, uint64_t duration_ns)
{
    uint32_t bucket = 0;
    while (bucket < PD_HISTOGRAM_BOUNDS && duration_ns > pd_histogram_bound_ns(bucket)) {
        bucket++;
    }
    (void)atomic_fetch_add_explicit(&histogram->counts[bucket], 1, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&histogram->sum_ns, duration_ns, memory_order_relaxed);
}

static inline void pd_histogram_read(const struct pd_histogram *histogram,
                                     struct pd_histogram_copy *copy_out)
{
    for (uint32_t i = 0; i <= PD_HISTOGRAM_BOUNDS; i++) {
        copy_out->counts[i] = atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
    }
    copy_out->sum_ns = atomic_load_explicit(&histogram->sum_ns, memory_order_relaxed);
}

#endif
