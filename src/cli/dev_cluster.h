/* dev_cluster - the folders, keys and ports of `pando dev`.
 *
 * Model      DIR/node-0, DIR/node-1, ...: a node's folder each. A new DIR gets a key and a
 *            cluster.json for each; an existing one keeps them, and its addresses are written anew
 *            when the ports have changed.
 * Ports      Node i serves clients on base + 10 i, TCP, and peers on base + 10 i + 1, UDP.
 * Ownership  DIR is held against every other process until close. */
#ifndef PD_CLI_DEV_CLUSTER_H
#define PD_CLI_DEV_CLUSTER_H

#include "base/disk.h"
#include "base/host.h"

#define PD_DEV_FOLDER "pando-dev" /* unless another is named */
#define PD_DEV_NODES_MAX 9u
#define PD_DEV_PATH_MAX 400u
#define PD_DEV_TEXT_MAX 768u
#define PD_DEV_PORT_STEP 10u

struct pd_dev_node {
    char name[16];
    char folder[PD_DEV_PATH_MAX];
    char socket[PD_DEV_PATH_MAX];
    char client_address[32]; /* "127.0.0.1:2379" */
    char peer_address[32];
    uint16_t client_port;
    uint16_t peer_port;
};

struct pd_dev_cluster {
    struct pd_disk *disk; /* DIR, held */
    uint64_t cluster_id;
    bool is_new;
    uint32_t count;
    struct pd_dev_node nodes[PD_DEV_NODES_MAX];
};

/* nodes 0: as many as there are, 3 in a new DIR. scheme: "http" or "https", how clients come to
 * them. PD_OK, or text says what to do. */
PD_NODISCARD enum pd_status pd_dev_cluster_open(struct pd_host *host, const char *folder,
                                                uint32_t nodes, uint16_t base_port,
                                                const char *scheme, char text[PD_DEV_TEXT_MAX],
                                                struct pd_dev_cluster *cluster_out);
/* Whatever open came to. */
void pd_dev_cluster_close(struct pd_dev_cluster *cluster);

#endif
