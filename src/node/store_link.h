/* store_link - the links that a store_port has: to a node in the same process, and to one beside it
 * through its Unix socket (server_socket.h).
 *
 * Ownership  A link opens and closes its port. The server link is a client of its server from open
 *            to close. */
#ifndef PD_NODE_STORE_LINK_H
#define PD_NODE_STORE_LINK_H

#include "host/frames_client.h"
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

#endif
