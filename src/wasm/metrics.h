/* metrics - counters, gauges and histograms by name, as guests record them.
 *
 * Model      A metric comes to be when it is first recorded and stays. Each kind has names of its
 *            own. Counters stop at UINT64_MAX. Histograms count values in fixed buckets, each four
 *            times as wide as the one before.
 * Bounds     metrics_max metrics in all; a name is 1 to PD_METRIC_NAME_MAX bytes. What is refused
 *            is counted.
 * Ownership  Names are copied. A snapshot is the caller's.
 * Threads    Any; one short lock. A snapshot locks once a metric, so it may see one recording and
 *            not the next.
 * Order      Snapshots are sorted by name, bytewise, then by kind. */
#ifndef PD_WASM_METRICS_H
#define PD_WASM_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define PD_METRIC_NAME_MAX 256u
#define PD_METRIC_BUCKETS 22u /* bounds 4^-10 to 4^10, and one without */

struct pd_metrics;

enum pd_metric_kind {
    PD_METRIC_COUNTER = 0,
    PD_METRIC_GAUGE = 1,
    PD_METRIC_HISTOGRAM = 2
};

struct pd_metric_histogram {
    uint64_t count;
    double sum;
    double minimum; /* 0 while count is 0 */
    double maximum;
    uint64_t buckets[PD_METRIC_BUCKETS]; /* not cumulative */
};

struct pd_metric {
    enum pd_metric_kind kind;
    uint32_t name_size;
    const char *name; /* the metrics', zero-terminated, as long as they live */
    union {
        uint64_t counter;
        double gauge;
        struct pd_metric_histogram histogram;
    } value;
};

struct pd_metrics_snapshot {
    struct pd_metric *metrics;
    uint32_t count;
    uint64_t refused_count; /* recordings that found no room or were no numbers */
};

/* `seed` keeps guests from choosing names that fall together. PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_metrics_create(uint32_t metrics_max, uint64_t seed,
                                              struct pd_metrics **metrics_out);
void pd_metrics_destroy(struct pd_metrics *metrics); /* NULL is allowed */

/* Record. On error nothing changes but refused_count.
 *
 * PD_ERR_INVALID    The name's size.
 * PD_ERR_RANGE      Not a finite number; or a gauge would become one.
 * PD_ERR_FULL       metrics_max are there already.
 * PD_ERR_NO_MEMORY */
PD_NODISCARD enum pd_status pd_metrics_counter_add(struct pd_metrics *metrics, const char *name,
                                                   size_t name_size, uint64_t value);
PD_NODISCARD enum pd_status pd_metrics_gauge_set(struct pd_metrics *metrics, const char *name,
                                                 size_t name_size, double value);
PD_NODISCARD enum pd_status pd_metrics_gauge_add(struct pd_metrics *metrics, const char *name,
                                                 size_t name_size, double value);
PD_NODISCARD enum pd_status pd_metrics_histogram_record(struct pd_metrics *metrics,
                                                        const char *name, size_t name_size,
                                                        double value);

/* Copy all. Free it with pd_metrics_snapshot_deinit, before the metrics. PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_metrics_snapshot(struct pd_metrics *metrics,
                                                struct pd_metrics_snapshot *snapshot_out);
void pd_metrics_snapshot_deinit(struct pd_metrics_snapshot *snapshot);

/* The greatest value that bucket `index` counts; infinity for the last. */
double pd_metric_bucket_bound(uint32_t index);

#endif
