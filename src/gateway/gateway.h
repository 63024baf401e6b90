/* gateway - the port that clients know: connections, and whose protocol each speaks.
 *
 * Model      One thread with libuv's loop. A connection's first bytes tell what it is: HTTP/2 is
 *            gRPC (grpc.h), anything else HTTP/1.1 (http1.h). Protocols have no I/O; here are
 *            their sockets, their timers, and the thread that the backend's answers come to.
 * Bounds     struct pd_gateway_config. A connection too many is closed at once. A peer that does
 *            not read is not read from. One that says nothing at first is closed after hello_ns.
 * Threads    open, run, close: one thread. stop: any. */
#ifndef PD_GATEWAY_GATEWAY_H
#define PD_GATEWAY_GATEWAY_H

#include "gateway/backend.h"
#include "gateway/grpc.h"
#include "gateway/http1.h"
#include "gateway/service.h"

#define PD_GATEWAY_TEXT_MAX 256u

struct pd_gateway;

struct pd_gateway_config {
    const char *address; /* numeric: "127.0.0.1", "::1" */
    uint16_t port;       /* 0: a free one */
    uint32_t connections_max;
    uint64_t hello_ns;                /* until a connection has said what it speaks */
    uint64_t stall_ns;                /* for which one may take nothing of what was written to it */
    struct pd_service_config service; /* its backend too */
    struct pd_grpc_config grpc;
    struct pd_http1_config http1;
};
/* As shipped; the backend is the caller's. */
struct pd_gateway_config pd_gateway_config_default(void);

/* Listens when it returns. PD_ERR_EXISTS: the port is taken. PD_ERR_INVALID: not an address.
 * PD_ERR_IO, PD_ERR_NO_MEMORY. text: for a person. */
PD_NODISCARD enum pd_status pd_gateway_open(const struct pd_gateway_config *config,
                                            char text[PD_GATEWAY_TEXT_MAX],
                                            struct pd_gateway **gateway_out);
uint16_t pd_gateway_port(const struct pd_gateway *gateway);
/* Serve until pd_gateway_stop. */
void pd_gateway_run(struct pd_gateway *gateway);
void pd_gateway_stop(struct pd_gateway *gateway);
/* After run. Detaches the backend. */
void pd_gateway_close(struct pd_gateway *gateway);

struct pd_gateway_counters {
    uint64_t connections;
    uint64_t connections_refused;
    uint64_t connections_broken; /* the peer broke its protocol, or was too slow */
    struct pd_service_counters service;
};
/* After run. */
void pd_gateway_counters(const struct pd_gateway *gateway,
                         struct pd_gateway_counters *counters_out);

#endif
