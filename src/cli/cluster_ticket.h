/* cluster_ticket - pando cluster ticket. */
#ifndef PD_CLI_CLUSTER_TICKET_H
#define PD_CLI_CLUSTER_TICKET_H

#include "client/node_client.h"
#include "node/members_ticket.h"

struct pd_cluster_ticket_wish {
    const char *folder;  /* of the running node that signs */
    uint64_t valid_s;    /* from now on */
    bool is_for_workers; /* such a ticket makes no voter */
    bool is_json;        /* an object, with what the ticket is; else the ticket alone */
};
/* Print a ticket for the cluster of a running node. An exit code. */
int pd_cluster_ticket(const struct pd_cluster_ticket_wish *wish, struct pd_node_client *client);

/* The word of a command that is a ticket's text, or "@FILE". An exit code, after it was said
 * why. */
int pd_cluster_ticket_read(const char *word, char text[PD_TICKET_TEXT_MAX]);

#endif
