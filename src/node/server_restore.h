/* server_restore - a node's folder from a snapshot's file: a new cluster of one node, later than
 * anything that the first one may have told anybody (kv/raise.h).
 *
 * Model      The state is built beside whatever is in the folder, then takes its place at one
 *            moment (server_switch.c): a crash leaves the folder as it was, or as it is to be.
 * Identity   Cluster and log are new: a node of the first cluster is refused by this one, and its
 *            messages are of another cluster. The node's own key may stay.
 * Bounds     Room on the disk for the new state beside the old one. */
#ifndef PD_NODE_SERVER_RESTORE_H
#define PD_NODE_SERVER_RESTORE_H

#include "base/disk.h"
#include "base/host.h"
#include "node/backup_file.h"
#include "node/members_file.h"

#define PD_RESTORE_TEXT_MAX 768u

struct pd_restore_config {
    struct pd_host *host;
    const char *folder;   /* exists, and is held */
    struct pd_disk *root; /* that hold */
    struct pd_kv_raise_config raise;
    uint64_t node_id;
    uint64_t segment_bytes; /* of the log's files; 0: as shipped */
    /* What cluster.json is to say, its cluster id but for; NULL: there is to be none, and there is
     * none. */
    struct pd_members_file *members;
};

struct pd_restore_report {
    uint64_t cluster_id; /* the new one */
    struct pd_backup_about about;
    struct pd_kv_raise_state to;
};

/* PD_OK           the folder is a new cluster's only node.
 * PD_ERR_CORRUPT  the file is damaged. PD_ERR_RANGE: raise by less. The folder is as it was.
 * PD_ERR_FULL, PD_ERR_IO, PD_ERR_NO_MEMORY, PD_ERR_INVALID  likewise, unless the last moment has
 *                 come: then the next start ends it.
 * text: what is wrong and what to do, for a person. */
PD_NODISCARD enum pd_status pd_server_restore(const struct pd_restore_config *config,
                                              const struct pd_backup_source *source,
                                              struct pd_restore_report *report_out,
                                              char text[PD_RESTORE_TEXT_MAX]);
/* What an attempt that was cut short left behind. */
PD_NODISCARD enum pd_status pd_server_restore_clear(const char *folder);

#endif
