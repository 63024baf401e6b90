/* cluster_doctor_node - what the system allows the process of a running node: it may be less than
 * what who asks has. */
#ifndef PD_CLI_CLUSTER_DOCTOR_NODE_H
#define PD_CLI_CLUSTER_DOCTOR_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "client/node_client.h"

struct pd_cluster_doctor_node {
    bool is_node;    /* it is a node's; else this process's, as no node's can be seen */
    uint64_t pid;    /* of the node */
    uint64_t files;  /* open at once; UINT64_MAX: no limit */
    uint64_t memory; /* bytes that its control groups allow; UINT64_MAX: no limit */
    uint64_t cpu;    /* thousandths of a processor, likewise */
};

/* Asks the node to know which process it is. */
void pd_cluster_doctor_node(struct pd_node_client *client, struct pd_cluster_doctor_node *node_out);

/* The soft limit of open files in a text as /proc/PID/limits has it; UINT64_MAX: none. False: the
 * text does not say. */
bool pd_cluster_doctor_files(const char *text, uint64_t *files_out);

#endif
