/* server_peers_net - a server's peers over QUIC: its key in FOLDER/node.key, one UDP socket.
 *
 * Ownership  The structure is the caller's, and outlives the server. */
#ifndef PD_NODE_SERVER_PEERS_NET_H
#define PD_NODE_SERVER_PEERS_NET_H

#include "base/host.h"
#include "base/spin.h"
#include "kv/kv.h"
#include "net/identity.h"
#include "node/server_peers.h"

struct pd_names;
struct pd_udp;
struct pd_net;
struct pd_join;
struct pd_clients;
struct pd_gather_net;
struct pd_server;

struct pd_server_peers_net {
    struct pd_host *host;
    struct pd_net_identity identity;
    struct pd_udp *udp;
    struct pd_net *net;
    struct pd_names *names;
    struct pd_join *join;
    struct pd_clients *clients;
    struct pd_gather_net *gather; /* NULL: without a secret */
    struct pd_spin lock;          /* of the next two */
    uint32_t removed_count;
    uint64_t removed[PD_KV_MEMBERS_REMOVED_MAX]; /* nodes that are members no more, by id */
    const char *listen; /* the caller's; NULL: at the address that the others know */
    /* The caller's: by it new nodes find the cluster (gather.h). Empty: by tickets alone. */
    struct pd_span secret;
    /* What an operator should know of the socket. On a thread of its own. NULL: nobody listens. */
    void (*note)(void *state, const char *text);
    void *note_state;
};

/* Fill in what a server asks for; addresses, name and bounds stay as they are. listen, secret
 * and note may be set after it. */
void pd_server_peers_net_use(struct pd_server_peers_net *peers, struct pd_host *host,
                             struct pd_server_peers_config *config);
/* New nodes may join, and programs elsewhere use the store, from now on, if this one has a net.
 * PD_ERR_FULL: too many clients. */
PD_NODISCARD enum pd_status pd_server_peers_net_serve(struct pd_server_peers_net *peers,
                                                      struct pd_server *server);
/* Before the server is closed. */
void pd_server_peers_net_end(struct pd_server_peers_net *peers);

#endif
