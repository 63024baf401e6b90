/* gRPC's health checking protocol, as far as probes of it ask: Check. */
#include <stdatomic.h>

#include "gateway/service_internal.h"
#include "proto/health.pb-c.h"

/* As etcd: of the server as a whole, and whether or not there is a leader: what asks restarts what
 * does not serve, and that would not help. */
static void request(struct pd_service_call *call, const ProtobufCMessage *message)
{
    const void *any = message;
    const Grpc__Health__V1__HealthCheckRequest *asked = any;
    const atomic_bool *is_stopping = call->service->config.is_stopping;
    if (asked->service[0] != '\0') {
        pd_service_end(call, PD_CODE_NOT_FOUND, "unknown service");
        return;
    }
    Grpc__Health__V1__HealthCheckResponse *response =
        pd_service_make(call->service, call->entry->method.response);
    if (response != NULL) {
        bool ends = is_stopping != NULL && atomic_load(is_stopping);
        response->status =
            ends ? GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING
                 : GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
    }
    pd_service_finish(call, response);
}

const struct pd_service_handler pd_service_health = {.request = request};
