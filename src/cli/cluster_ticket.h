/* cluster_ticket - pando cluster ticket. */
#ifndef PD_CLI_CLUSTER_TICKET_H
#define PD_CLI_CLUSTER_TICKET_H

#include "client/node_client.h"
#include "node/members_ticket.h"

/* Print a ticket for the cluster of the running node in `folder`, signed by that node. One for
 * workers makes no voter. An exit code. */
int pd_cluster_ticket(const char *folder, uint64_t valid_s, bool is_for_workers,
                      struct pd_node_client *client);

/* The word of a command that is a ticket's text, or "@FILE". An exit code, after it was said
 * why. */
int pd_cluster_ticket_read(const char *word, char text[PD_TICKET_TEXT_MAX]);

#endif
