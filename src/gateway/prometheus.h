/* prometheus - figures in the text format that Prometheus reads (0.0.4). For src/gateway, and for
 * what src/node adds to /metrics.
 *
 * Model      A *family* has one head, and then its samples, all of them. Durations are given in
 *            nanoseconds and written as seconds. */
#ifndef PD_GATEWAY_PROMETHEUS_H
#define PD_GATEWAY_PROMETHEUS_H

#include "base/histogram.h"
#include "gateway/text.h"

/* type: "gauge", "counter", "histogram". */
void pd_prometheus_head(struct pd_text *text, const char *name, const char *type, const char *help);
/* Families of one sample without labels. */
void pd_prometheus_gauge(struct pd_text *text, const char *name, const char *help, uint64_t value);
void pd_prometheus_counter(struct pd_text *text, const char *name, const char *help,
                           uint64_t value);
void pd_prometheus_histogram(struct pd_text *text, const char *name, const char *help,
                             const struct pd_histogram_copy *copy);
/* Nanoseconds as seconds, exactly. */
void pd_prometheus_seconds(struct pd_text *text, uint64_t ns);
/* A number as this format writes it: also one that is none, or without an end. */
void pd_prometheus_number(struct pd_text *text, double number);

#endif
