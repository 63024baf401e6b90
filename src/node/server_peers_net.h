/* server_peers_net - a server's peers over QUIC: its key in FOLDER/node.key, one UDP socket.
 *
 * Ownership  The structure is the caller's, and outlives the server. */
#ifndef PD_NODE_SERVER_PEERS_NET_H
#define PD_NODE_SERVER_PEERS_NET_H

#include "base/host.h"
#include "net/identity.h"
#include "node/server_peers.h"

struct pd_udp;
struct pd_net;

struct pd_server_peers_net {
    struct pd_host *host;
    struct pd_net_identity identity;
    struct pd_udp *udp;
    struct pd_net *net;
};

/* Fill in what a server asks for; addresses, name and bounds stay as they are. */
void pd_server_peers_net_use(struct pd_server_peers_net *peers, struct pd_host *host,
                             struct pd_server_peers_config *config);

#endif
