#include "gateway/prometheus.h"

#include <inttypes.h>
#include <math.h>

#define SECOND_NS UINT64_C(1000000000)

void pd_prometheus_head(struct pd_text *text, const char *name, const char *type, const char *help)
{
    pd_text_format(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void pd_prometheus_gauge(struct pd_text *text, const char *name, const char *help, uint64_t value)
{
    pd_prometheus_head(text, name, "gauge", help);
    pd_text_format(text, "%s %" PRIu64 "\n", name, value);
}

void pd_prometheus_counter(struct pd_text *text, const char *name, const char *help, uint64_t value)
{
    pd_prometheus_head(text, name, "counter", help);
    pd_text_format(text, "%s %" PRIu64 "\n", name, value);
}

void pd_prometheus_seconds(struct pd_text *text, uint64_t ns)
{
    pd_text_format(text, "%" PRIu64 ".%09" PRIu64, ns / SECOND_NS, ns % SECOND_NS);
}

void pd_prometheus_histogram(struct pd_text *text, const char *name, const char *help,
                             const struct pd_histogram_copy *copy)
{
    uint64_t count = 0;
    pd_prometheus_head(text, name, "histogram", help);
    for (uint32_t i = 0; i < PD_HISTOGRAM_BOUNDS; i++) {
        count += copy->counts[i];
        pd_text_format(text, "%s_bucket{le=\"", name);
        pd_prometheus_seconds(text, pd_histogram_bound_ns(i));
        pd_text_format(text, "\"} %" PRIu64 "\n", count);
    }
    count += copy->counts[PD_HISTOGRAM_BOUNDS];
    pd_text_format(text, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum ", name, count, name);
    pd_prometheus_seconds(text, copy->sum_ns);
    pd_text_format(text, "\n%s_count %" PRIu64 "\n", name, count);
}

void pd_prometheus_number(struct pd_text *text, double number)
{
    if (isnan(number)) {
        pd_text_puts(text, "NaN");
    } else if (isinf(number)) {
        pd_text_puts(text, number > 0 ? "+Inf" : "-Inf");
    } else {
        pd_text_format(text, "%.17g", number);
    }
}
