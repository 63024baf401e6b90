/* store_link - the links that a store_port has: to a node in the same process, to one beside it
 * through its Unix socket (server_socket.h), and to a cluster elsewhere over QUIC
 * (server_peers_clients.h).
 *
 * Ownership  A link opens and closes its port. The server link is a client of its server from open
 *            to close. */
#ifndef PD_NODE_STORE_LINK_H
#define PD_NODE_STORE_LINK_H

#include "host/frames_client.h"
#include "net/identity.h"
#include "node/members_file.h"
#include "node/server.h"
#include "node/store_port.h"

struct pd_store_server_link;

/* The server and a port over it. PD_ERR_FULL: the server has no room for another client.
 * PD_ERR_CLOSED, PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_store_server_link_open(struct pd_server *server,
                                                      const struct pd_store_port_config *config,
                                                      struct pd_store_server_link **link_out);
struct pd_store_port *pd_store_server_link_port(struct pd_store_server_link *link);
/* Every ticket is released. Waits until the server has let go; closes the port. NULL is allowed. */
void pd_store_server_link_close(struct pd_store_server_link *link);

struct pd_store_socket_link;

/* Connect to the node's socket, and a port over it. When the node goes away, what is under way is
 * lost; it is asked again when a node listens there again. Statuses and text of
 * pd_frames_client_open. */
PD_NODISCARD enum pd_status pd_store_socket_link_open(const char *path,
                                                      const struct pd_store_port_config *config,
                                                      char text[PD_FRAMES_TEXT_MAX],
                                                      struct pd_store_socket_link **link_out);
struct pd_store_port *pd_store_socket_link_port(struct pd_store_socket_link *link);
void pd_store_socket_link_close(struct pd_store_socket_link *link); /* NULL is allowed */

struct pd_store_cluster_link;

#define PD_STORE_CLUSTER_TEXT_MAX 512u

/* Show a ticket's members the ticket, one after the other, until one lets us in, and a port over
 * it; timeout_ns: for this first time. When that one goes away, what is under way is lost, and
 * asked again at the next that lets us in: of those that the cluster told of, and the ticket's.
 *
 * PD_ERR_INVALID  that is no ticket.
 * PD_ERR_DENIED   a member refuses it: its time is over, or it is of another cluster.
 * PD_ERR_CLOSED   nobody lets us in, and time is over.
 * PD_ERR_IO, PD_ERR_NO_MEMORY.
 * text: for a person; empty with PD_OK. */
PD_NODISCARD enum pd_status pd_store_cluster_link_open(const char *ticket, uint64_t timeout_ns,
                                                       const struct pd_store_port_config *config,
                                                       char text[PD_STORE_CLUSTER_TEXT_MAX],
                                                       struct pd_store_cluster_link **link_out);

/* The same for a member, which shows its key: the file says whom to ask. */
PD_NODISCARD enum pd_status pd_store_cluster_link_open_member(
    const struct pd_net_identity *identity, const struct pd_members_file *file, uint64_t timeout_ns,
    const struct pd_store_port_config *config, char text[PD_STORE_CLUSTER_TEXT_MAX],
    struct pd_store_cluster_link **link_out);
struct pd_store_port *pd_store_cluster_link_port(struct pd_store_cluster_link *link);
void pd_store_cluster_link_close(struct pd_store_cluster_link *link); /* NULL is allowed */

#endif
