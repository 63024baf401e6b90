/* node_folder - the folder of a node that is about to begin, or to join: held, and its key. What
 * goes wrong is told to a person; the result is an exit code. */
#ifndef PD_CLI_NODE_FOLDER_H
#define PD_CLI_NODE_FOLDER_H

#include "base/disk.h"
#include "base/host.h"
#include "net/identity.h"

/* Made, if only it is missing. *disk_out is the caller's: no other process has the folder until it
 * is closed. */
int pd_node_folder_hold(const char *folder, struct pd_disk **disk_out);
/* The key that the folder holds; one is made when there is none. */
int pd_node_folder_key(struct pd_host *host, const char *folder,
                       struct pd_net_identity *identity_out);

#endif
