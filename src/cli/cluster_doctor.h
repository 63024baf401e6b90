/* cluster_doctor - pando cluster doctor: what around a node could keep it from serving well. */
#ifndef PD_CLI_CLUSTER_DOCTOR_H
#define PD_CLI_CLUSTER_DOCTOR_H

#include "client/node_client.h"

/* Look at the machine, at the folder, and at the cluster of the node that runs in it. An exit code:
 * failed, when something is wrong. */
int pd_cluster_doctor(const char *folder, bool is_json, struct pd_node_client *client);

#endif
