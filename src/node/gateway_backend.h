/* gateway_backend - a node behind the gateway: gateway/backend.h on node/server.h.
 *
 * Model      One client of the server. Requests go to the core's queue from the gateway's thread;
 *            answers come while the core is held, are kept as bytes, and are taken up on the
 *            gateway's thread, where they are decoded. Writes go through gateway_writes.h, each
 *            once.
 * Bounds     The server's, and gateway_writes.h's.
 * Ownership  open and close: the thread that owns the server, which outlives it. In between it
 *            belongs to the gateway's thread. */
#ifndef PD_NODE_GATEWAY_BACKEND_H
#define PD_NODE_GATEWAY_BACKEND_H

#include "gateway/backend.h"
#include "node/server.h"

struct pd_gateway_backend;

/* Who adds to /metrics, on the gateway's thread. write NULL: nobody does. */
struct pd_gateway_more_metrics {
    void (*write)(void *state, struct pd_text *text);
    void *state;
};

struct pd_gateway_backend_config {
    struct pd_server *server;
    struct pd_host *host;
    const char *folder; /* the node's */
    const char *name;   /* of this node, while the directory does not know one; borrowed */
    struct pd_gateway_more_metrics more;
};

/* PD_ERR_FULL, PD_ERR_CLOSED: as pd_server_client_open. PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_gateway_backend_open(const struct pd_gateway_backend_config *config,
                                                    struct pd_gateway_backend **backend_out);
struct pd_backend *pd_gateway_backend_interface(struct pd_gateway_backend *backend);
/* Where clients reach this node, known once the gateway listens. Before its thread runs. */
void pd_gateway_backend_set_url(struct pd_gateway_backend *backend, const char *client_url);
/* After the gateway is closed, if there was one. */
void pd_gateway_backend_close(struct pd_gateway_backend *backend);

#endif
