/* gateway - the port that clients know: connections, and whose protocol each speaks.
 *
 * Model      One thread with libuv's loop. A connection's first bytes tell what it is: HTTP/2 is
 *            gRPC (grpc.h), the preface of native.h the node's own protocol, anything else HTTP/1.1
 *            (http1.h). Protocols have no I/O; here are
 *            their sockets, their timers, and the thread that the backend's answers come to. With
 *            credentials all of it is inside of TLS (tls.h), and ALPN may tell the protocol.
 * Bounds     struct pd_gateway_config. A connection too many is closed at once. A peer that does
 *            not read is not read from. One that says nothing at first is closed after hello_ns.
 *            Of TLS's handshakes handshakes_max are under way; further connections wait for their
 *            turn, and while any waits, a handshake may take handshake_pressed_ns.
 * Threads    open, run, close: one thread. stop: any. */
#ifndef PD_GATEWAY_GATEWAY_H
#define PD_GATEWAY_GATEWAY_H

#include "gateway/backend.h"
#include "gateway/grpc.h"
#include "gateway/http1.h"
#include "gateway/native.h"
#include "gateway/service.h"
#include "gateway/tls.h"

#define PD_GATEWAY_TEXT_MAX 256u

struct pd_gateway;

struct pd_gateway_config {
    const char *address; /* numeric: "127.0.0.1", "::1" */
    uint16_t port;       /* 0: a free one */
    uint32_t connections_max;
    uint64_t hello_ns; /* until a connection has said what it speaks */
    uint64_t stall_ns; /* for which one may take nothing of what was written to it */
    struct pd_tls_credentials *credentials; /* NULL: no TLS; held from open to close */
    uint32_t handshakes_max;
    uint64_t handshake_pressed_ns;
    /* Words for the log, from the gateway's thread; few, whatever peers do. NULL: not wanted. */
    void (*note)(void *state, const char *text);
    void *note_state;
    struct pd_service_config service; /* its backend too */
    struct pd_grpc_config grpc;
    struct pd_http1_config http1;
    struct pd_native_config native;
};
/* As shipped; the backend is the caller's. */
struct pd_gateway_config pd_gateway_config_default(void);

/* Listens when it returns. PD_ERR_EXISTS: the port is taken. PD_ERR_INVALID: not an address.
 * PD_ERR_IO, PD_ERR_NO_MEMORY. text: for a person. */
PD_NODISCARD enum pd_status pd_gateway_open(const struct pd_gateway_config *config,
                                            char text[PD_GATEWAY_TEXT_MAX],
                                            struct pd_gateway **gateway_out);
/* Whether one could listen there now: it does, for a moment, and serves nobody. As pd_gateway_open.
 */
PD_NODISCARD enum pd_status pd_gateway_try_address(const char *address, uint16_t port,
                                                   char text[PD_GATEWAY_TEXT_MAX]);
uint16_t pd_gateway_port(const struct pd_gateway *gateway);
/* Serve until pd_gateway_stop. */
void pd_gateway_run(struct pd_gateway *gateway);
void pd_gateway_stop(struct pd_gateway *gateway);
/* config.service.is_stopping has changed: who watches the health is told. Any thread, until close.
 */
void pd_gateway_health_changed(struct pd_gateway *gateway);
/* Connections from now on get these. Taken: the gateway releases them. Any thread, until close;
 * only where there were credentials before. */
void pd_gateway_renew(struct pd_gateway *gateway, struct pd_tls_credentials *credentials);
/* After run. Detaches the backend. */
void pd_gateway_close(struct pd_gateway *gateway);

struct pd_gateway_counters {
    uint64_t connections;
    uint64_t connections_refused;
    uint64_t connections_broken; /* the peer broke its protocol, or was too slow */
    uint64_t tls_handshakes;     /* that were completed; so for those below, begun */
    uint64_t tls_failed;         /* all that were not, those that follow too */
    uint64_t tls_denied;         /* no certificate, or one that is not trusted */
    uint64_t tls_not;            /* plain bytes where TLS is spoken */
    uint64_t tls_unwanted;       /* TLS where it is not spoken */
    uint64_t tls_end_s;          /* when the certificate ends, since 1970; 0: no TLS */
    struct pd_service_counters service;
};
/* After run. */
void pd_gateway_counters(const struct pd_gateway *gateway,
                         struct pd_gateway_counters *counters_out);

#endif
