/* server_peers_clients - programs elsewhere use the store: a service of net.h, for whoever shows a
 * ticket (members_ticket.h), `pando run --cluster`, and for members that are workers.
 *
 * Model      A link's first request, PD_CLIENTS_HELLO, is a ticket's text, or empty: then the key
 *            that the link has proven is shown in its place. When the ticket's signer is a member
 *            and its time not over, or the key is a member's, the answer is that of
 *            PD_REPLICA_REQUEST_MEMBERS, and from then on the link's requests are a client's of the
 *            server, under its correlations. Answers are those of replica_request.h.
 * End        The time of a ticket is looked at when it is shown: a link outlives it. When the
 *            signer, or the key's node, is removed, the link is closed.
 * Rights     All keys, as through the node's socket; not the membership, nor snapshots.
 * Bounds     PD_CLIENTS_LINKS_MAX links, PD_CLIENTS_STRANGERS_MAX of them not let in yet,
 *            PD_CLIENTS_WATCHES_MAX watches of each; the net's limits.
 * Threads    create, open, close, destroy: the server's owner. The rest: the net's and the
 *            core's. */
#ifndef PD_NODE_SERVER_PEERS_CLIENTS_H
#define PD_NODE_SERVER_PEERS_CLIENTS_H

#include "base/host.h"
#include "net/net.h"
#include "node/server.h"

#define PD_CLIENTS_SERVICE "pando-client/1"
#define PD_CLIENTS_HELLO UINT64_MAX
#define PD_CLIENTS_LINKS_MAX 256u
#define PD_CLIENTS_STRANGERS_MAX 32u /* of them, not let in yet */
#define PD_CLIENTS_WATCHES_MAX 4096u

struct pd_clients;

/* The service's handler, for pd_net_open; before there is a server everybody is asked to come
 * again. PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_clients_create(struct pd_host *host,
                                              struct pd_clients **clients_out);
struct pd_net_handler pd_clients_handler(struct pd_clients *clients);
/* The net that was opened with its handler. */
void pd_clients_attach(struct pd_clients *clients, struct pd_net *net);
/* From now on it serves. */
void pd_clients_open(struct pd_clients *clients, struct pd_server *server);
/* The core: these nodes are members no more. Links that were let in by their keys, or by tickets
 * that they signed, are closed. */
void pd_clients_cut(struct pd_clients *clients, const uint64_t *nodes, uint32_t count);
/* Before the server is closed. */
void pd_clients_close(struct pd_clients *clients);
/* The net has been closed. NULL is allowed. */
void pd_clients_destroy(struct pd_clients *clients);

#endif
