/* cluster_backup - pando cluster snapshot, restore and recover. */
#ifndef PD_CLI_CLUSTER_BACKUP_H
#define PD_CLI_CLUSTER_BACKUP_H

#include <stdbool.h>

#include "client/node_client.h"

struct pd_cluster_backup {
    const char *folder;
    const char *file;
    bool is_forced;
    bool is_json;
    uint64_t bump; /* 0: as shipped */
    /* Of restore, for the new node; as `pando start` takes them. */
    const char *name;        /* NULL: it has none yet */
    const char *listen_peer; /* HOST:PORT, where others reach it; NULL: it is alone so far */
    uint64_t log_segment;    /* bytes; 0: as shipped */
};

/* Each returns an exit code; what is wrong was printed. */
int pd_cluster_snapshot(const struct pd_cluster_backup *backup, struct pd_node_client *client);
int pd_cluster_restore(const struct pd_cluster_backup *backup);
int pd_cluster_recover(const struct pd_cluster_backup *backup);

#endif
