#include "wasm/metrics.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/spin.h"
#include "base/table.h"

#define BUCKET_FIRST_EXPONENT (-20) /* 4^-10 */
#define BUCKET_EXPONENT_STEP 2

struct entry {
    struct pd_table_node node; /* first: freed through it */
    struct entry *older;
    struct pd_metric metric;
    char name[];
};

struct pd_metrics {
    struct pd_spin lock;
    struct pd_table table; /* by kind and name; its count is what metrics_max bounds */
    struct entry *newest;  /* entries never go, so that a walk needs no lock between its steps */
    uint32_t metrics_max;
    uint64_t seed;
    uint64_t refused_count;
};

struct key {
    enum pd_metric_kind kind;
    const char *name;
    uint32_t size;
    uint64_t hash;
};

enum pd_status pd_metrics_create(uint32_t metrics_max, uint64_t seed,
                                 struct pd_metrics **metrics_out)
{
    struct pd_metrics *metrics = pd_alloc_zeroed(1, sizeof *metrics);
    if (metrics == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    metrics->metrics_max = metrics_max;
    metrics->seed = seed;
    *metrics_out = metrics;
    return PD_OK;
}

void pd_metrics_destroy(struct pd_metrics *metrics)
{
    if (metrics == NULL) {
        return;
    }
    for (struct entry *entry = metrics->newest; entry != NULL;) {
        struct entry *older = entry->older;
        pd_free(entry);
        entry = older;
    }
    pd_table_deinit(&metrics->table);
    pd_free(metrics);
}

/* --- Under the lock --------------------------------------------------------------------------- */

static struct entry *find(const struct pd_metrics *metrics, const struct key *key)
{
    struct pd_table_node *at = pd_table_find(&metrics->table, key->hash);
    for (; at != NULL; at = pd_table_next(at)) {
        struct entry *entry = pd_container_of(at, struct entry, node);
        if (entry->metric.kind == key->kind && entry->metric.name_size == key->size &&
            memcmp(entry->name, key->name, key->size) == 0) {
            return entry;
        }
    }
    return NULL;
}

static enum pd_status gauge_set(double *gauge, double value)
{
    if (!isfinite(value)) {
        return PD_ERR_RANGE;
    }
    *gauge = value;
    return PD_OK;
}

static uint32_t bucket_of(double value)
{
    uint32_t index = 0;
    while (index < PD_METRIC_BUCKETS - 1 && value > pd_metric_bucket_bound(index)) {
        index++;
    }
    return index;
}

static void record(struct pd_metric_histogram *histogram, double value)
{
    if (histogram->count == 0 || value < histogram->minimum) {
        histogram->minimum = value;
    }
    if (histogram->count == 0 || value > histogram->maximum) {
        histogram->maximum = value;
    }
    histogram->count++;
    histogram->sum += value;
    histogram->buckets[bucket_of(value)]++;
}

/* What a recording does to its metric. */
struct change {
    uint64_t counter;
    double number;
    bool is_relative; /* of a gauge */
};

static enum pd_status apply(struct pd_metric *metric, const struct change *change)
{
    switch (metric->kind) {
    case PD_METRIC_COUNTER: {
        uint64_t room = UINT64_MAX - metric->value.counter;
        metric->value.counter += change->counter < room ? change->counter : room;
        return PD_OK;
    }
    case PD_METRIC_GAUGE:
        return gauge_set(&metric->value.gauge, change->is_relative
                                                   ? metric->value.gauge + change->number
                                                   : change->number);
    case PD_METRIC_HISTOGRAM:
        record(&metric->value.histogram, change->number);
        return PD_OK;
    }
    return PD_OK;
}

/* --- The interface ---------------------------------------------------------------------------- */

static void refuse(struct pd_metrics *metrics)
{
    pd_spin_lock(&metrics->lock);
    metrics->refused_count++;
    pd_spin_unlock(&metrics->lock);
}

static struct entry *make_entry(const struct key *key)
{
    struct entry *entry = pd_alloc_zeroed(1, sizeof *entry + key->size + 1);
    if (entry != NULL) {
        entry->metric =
            (struct pd_metric){.kind = key->kind, .name_size = key->size, .name = entry->name};
        memcpy(entry->name, key->name, key->size);
    }
    return entry;
}

/* A recording under a name that was not there a moment ago. */
static enum pd_status change_new(struct pd_metrics *metrics, const struct key *key,
                                 const struct change *change)
{
    struct entry *spare = make_entry(key);
    enum pd_status status = spare == NULL ? PD_ERR_NO_MEMORY : PD_OK;
    pd_spin_lock(&metrics->lock);
    struct entry *entry = find(metrics, key);
    if (entry == NULL && status == PD_OK) {
        if (metrics->table.count >= metrics->metrics_max) {
            status = PD_ERR_FULL;
        } else {
            entry = spare;
            spare = NULL;
            entry->older = metrics->newest;
            metrics->newest = entry;
            pd_table_insert(&metrics->table, &entry->node, key->hash);
        }
    }
    if (entry != NULL) {
        status = apply(&entry->metric, change);
    }
    if (status != PD_OK) {
        metrics->refused_count++;
    }
    pd_spin_unlock(&metrics->lock);
    pd_free(spare);
    return status;
}

static enum pd_status change_metric(struct pd_metrics *metrics, enum pd_metric_kind kind,
                                    const char *name, size_t name_size, const struct change *change)
{
    enum pd_status status = !isfinite(change->number)                          ? PD_ERR_RANGE
                            : name_size == 0 || name_size > PD_METRIC_NAME_MAX ? PD_ERR_INVALID
                                                                               : PD_OK;
    if (status != PD_OK) {
        refuse(metrics);
        return status;
    }
    const struct key key = {
        .kind = kind,
        .name = name,
        .size = (uint32_t)name_size,
        .hash = pd_hash_bytes(pd_hash_u64(metrics->seed, (uint64_t)kind), name, name_size)};
    pd_spin_lock(&metrics->lock);
    struct entry *entry = find(metrics, &key);
    if (entry != NULL) {
        status = apply(&entry->metric, change);
        if (status != PD_OK) {
            metrics->refused_count++;
        }
    }
    pd_spin_unlock(&metrics->lock);
    return entry != NULL ? status : change_new(metrics, &key, change);
}

enum pd_status pd_metrics_counter_add(struct pd_metrics *metrics, const char *name,
                                      size_t name_size, uint64_t value)
{
    const struct change change = {.counter = value};
    return change_metric(metrics, PD_METRIC_COUNTER, name, name_size, &change);
}

enum pd_status pd_metrics_gauge_set(struct pd_metrics *metrics, const char *name, size_t name_size,
                                    double value)
{
    const struct change change = {.number = value};
    return change_metric(metrics, PD_METRIC_GAUGE, name, name_size, &change);
}

enum pd_status pd_metrics_gauge_add(struct pd_metrics *metrics, const char *name, size_t name_size,
                                    double value)
{
    const struct change change = {.number = value, .is_relative = true};
    return change_metric(metrics, PD_METRIC_GAUGE, name, name_size, &change);
}

enum pd_status pd_metrics_histogram_record(struct pd_metrics *metrics, const char *name,
                                           size_t name_size, double value)
{
    const struct change change = {.number = value};
    return change_metric(metrics, PD_METRIC_HISTOGRAM, name, name_size, &change);
}

static int compare(const void *left, const void *right)
{
    const struct pd_metric *a = left;
    const struct pd_metric *b = right;
    size_t shorter = a->name_size < b->name_size ? a->name_size : b->name_size;
    int order = memcmp(a->name, b->name, shorter);
    if (order != 0) {
        return order;
    }
    if (a->name_size != b->name_size) {
        return a->name_size < b->name_size ? -1 : 1;
    }
    return (int)a->kind - (int)b->kind;
}

enum pd_status pd_metrics_snapshot(struct pd_metrics *metrics,
                                   struct pd_metrics_snapshot *snapshot_out)
{
    pd_spin_lock(&metrics->lock);
    const struct entry *newest = metrics->newest;
    uint32_t count = metrics->table.count;
    *snapshot_out = (struct pd_metrics_snapshot){.refused_count = metrics->refused_count};
    pd_spin_unlock(&metrics->lock);
    if (count == 0) {
        return PD_OK;
    }
    struct pd_metric *copies = pd_alloc_zeroed(count, sizeof *copies);
    if (copies == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    uint32_t at = 0;
    for (const struct entry *entry = newest; entry != NULL; entry = entry->older) {
        pd_assert(at < count);
        pd_spin_lock(&metrics->lock);
        copies[at++] = entry->metric;
        pd_spin_unlock(&metrics->lock);
    }
    qsort(copies, count, sizeof *copies, compare);
    snapshot_out->metrics = copies;
    snapshot_out->count = count;
    return PD_OK;
}

void pd_metrics_snapshot_deinit(struct pd_metrics_snapshot *snapshot)
{
    pd_free(snapshot->metrics);
    *snapshot = (struct pd_metrics_snapshot){0};
}

double pd_metric_bucket_bound(uint32_t index)
{
    if (index >= PD_METRIC_BUCKETS - 1) {
        return (double)INFINITY;
    }
    return ldexp(1.0, BUCKET_FIRST_EXPONENT + BUCKET_EXPONENT_STEP * (int)index);
}
