/* gateway_peers - clients that speak the node's own protocol through the gateway's port: the peers
 * of gateway/backend.h on node/server.h.
 *
 * Model      Each peer is one client of the server. Requests go to the core's queue from the
 *            gateway's thread; answers come while the core is held, and are taken up on the
 *            gateway's thread by drain.
 * Rights     Keys, leases, watches and sessions. Who belongs to the cluster, and what a node does,
 *            is asked at the node's own socket, which only its user can open.
 * Bounds     peers_max; the server's queue, beyond which a request is answered BUSY.
 * Threads    open, submit, close and drain: the gateway's. deinit: when the server has told of the
 *            end of every peer, which it does in order. */
#ifndef PD_NODE_GATEWAY_PEERS_H
#define PD_NODE_GATEWAY_PEERS_H

#include "base/postbox.h"
#include "gateway/backend.h"
#include "node/server.h"

struct pd_gateway_peers {
    struct pd_server *server;
    uint32_t peers_max;
    void (*wake)(void *state); /* any thread: drain soon */
    void *state;
    uint32_t peer_count;
    struct pd_postbox posts;
};

void pd_gateway_peers_init(struct pd_gateway_peers *peers, struct pd_server *server,
                           uint32_t peers_max, void (*wake)(void *state), void *state);
/* What waits to be taken up is dropped. */
void pd_gateway_peers_deinit(struct pd_gateway_peers *peers);

/* PD_ERR_FULL: peers_max, or the server's own bound; PD_ERR_CLOSED; PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_gateway_peers_open(struct pd_gateway_peers *peers,
                                                  struct pd_backend_peer *peer);
/* Answered in any case, if need be within the call. The core is woken by pd_server_nudge. */
void pd_gateway_peers_submit(struct pd_gateway_peers *peers, struct pd_backend_peer *peer,
                             uint64_t correlation, struct pd_span bytes);
/* Nothing is given to peer->answered any more. */
void pd_gateway_peers_close(struct pd_gateway_peers *peers, struct pd_backend_peer *peer);
void pd_gateway_peers_drain(struct pd_gateway_peers *peers);

/* Whether a request may come through the port. Pure; any bytes. */
bool pd_gateway_peers_may_ask(struct pd_span request);

#endif
