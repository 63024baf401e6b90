/* metrics - what a node counts, as Prometheus reads it (text format 0.0.4). Private to src/gateway.
 *
 * Model      Names are etcd's where the thing is the same, so that its dashboards show something;
 *            what etcd does not have begins with "pando_". Numbers are in base units: seconds,
 *            bytes. */
#ifndef PD_GATEWAY_METRICS_H
#define PD_GATEWAY_METRICS_H

#include "gateway/backend.h"
#include "gateway/gateway.h"
#include "gateway/text.h"

struct pd_metrics {
    const char *version; /* of the API */
    uint64_t member_id;
    const struct pd_backend_figures *figures; /* NULL: the backend counts nothing */
    const struct pd_gateway_counters *counters;
    const struct pd_native_counters *native;
    const struct pd_http1_counters *http;
};

void pd_metrics_write(const struct pd_metrics *metrics, struct pd_text *text);

#endif
