/* lunatic::metrics: what guests count. A recording that finds no room is dropped and counted, never
 * a trap: a guest must not die of being watched. */
#include "wasm/metrics.h"

#include <string.h>

#include "wasm/abi_tables.h"
#include "wasm/wasm_process.h"

/* The name of arguments 0 and 1, and where to record it. False: a trap was set. */
static bool target(struct pd_call *call, const char **name_out, struct pd_metrics **metrics_out)
{
    *metrics_out = pd_call_process(call)->system->metrics;
    *name_out = pd_call_text(call, pd_call_u32(call, 0), pd_call_u32(call, 1), PD_METRIC_NAME_MAX,
                             "metric name");
    return *name_out != NULL;
}

static double number_of(const struct pd_call *call)
{
    double number = 0;
    memcpy(&number, &call->arguments[2], sizeof number);
    return number;
}

static enum pd_call_result count(struct pd_call *call, uint64_t value)
{
    struct pd_metrics *metrics = NULL;
    const char *name = NULL;
    if (!target(call, &name, &metrics)) {
        return PD_CALL_TRAP;
    }
    if (metrics != NULL) {
        enum pd_status status = pd_metrics_counter_add(metrics, name, pd_call_u32(call, 1), value);
        (void)status; /* counted there */
    }
    return PD_CALL_DONE;
}

static enum pd_call_result counter(struct pd_call *call)
{
    return count(call, call->arguments[2]);
}

static enum pd_call_result increment_counter(struct pd_call *call)
{
    return count(call, 1);
}

typedef enum pd_status (*record_number)(struct pd_metrics *metrics, const char *name,
                                        size_t name_size, double value);

static enum pd_call_result record(struct pd_call *call, record_number function, double number)
{
    struct pd_metrics *metrics = NULL;
    const char *name = NULL;
    if (!target(call, &name, &metrics)) {
        return PD_CALL_TRAP;
    }
    if (metrics != NULL) {
        enum pd_status status = function(metrics, name, pd_call_u32(call, 1), number);
        (void)status; /* counted there */
    }
    return PD_CALL_DONE;
}

static enum pd_call_result gauge(struct pd_call *call)
{
    return record(call, pd_metrics_gauge_set, number_of(call));
}

static enum pd_call_result increment_gauge(struct pd_call *call)
{
    return record(call, pd_metrics_gauge_add, number_of(call));
}

static enum pd_call_result decrement_gauge(struct pd_call *call)
{
    return record(call, pd_metrics_gauge_add, -number_of(call));
}

static enum pd_call_result histogram(struct pd_call *call)
{
    return record(call, pd_metrics_histogram_record, number_of(call));
}

const struct pd_import pd_lunatic_metrics_imports[] = {
    {"lunatic::metrics", "counter", "iiI->", PD_CALL_SYNC, counter},
    {"lunatic::metrics", "increment_counter", "ii->", PD_CALL_SYNC, increment_counter},
    {"lunatic::metrics", "gauge", "iiD->", PD_CALL_SYNC, gauge},
    {"lunatic::metrics", "increment_gauge", "iiD->", PD_CALL_SYNC, increment_gauge},
    {"lunatic::metrics", "decrement_gauge", "iiD->", PD_CALL_SYNC, decrement_gauge},
    {"lunatic::metrics", "histogram", "iiD->", PD_CALL_SYNC, histogram},
};
const size_t pd_lunatic_metrics_import_count =
    sizeof pd_lunatic_metrics_imports / sizeof pd_lunatic_metrics_imports[0];
