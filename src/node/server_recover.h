/* server_recover - the node in a folder goes on alone, as a new cluster, when the majority of the
 * old one is lost for ever.
 *
 * Model      The folder is held. Of its log and store a copy is made, and a node that counts
 *            nobody but itself runs over that copy until it has applied all that the log holds:
 *            what was acknowledged and reached this node is in it, and so may be what never was.
 *            Its state becomes the folder's (server_restore.h), raised as after a restore. The old
 *            log and store stay beside it.
 * Refused    while the members that answer would be a majority with this one: then nothing is lost,
 *            and two clusters would go on. Who does not answer now may answer later: that they are
 *            lost for ever is the caller's word.
 * Crash      Before the last moment the node is the old one, and its files are untouched; after it
 *            the new one.
 * Time       Blocks: minutes for many gigabytes. */
#ifndef PD_NODE_SERVER_RECOVER_H
#define PD_NODE_SERVER_RECOVER_H

#include "node/server_restore.h"

struct pd_recover_config {
    struct pd_host *host;
    const char *folder;
    struct pd_kv_raise_config raise;
    /* Whether this member answers, and proves its key. */
    bool (*answers)(void *state, const struct pd_kv_member *member);
    void *state;
};

struct pd_recover_report {
    bool was_pending; /* an earlier attempt had come to its last moment, and was ended; all else is
                       * zero */
    uint64_t old_cluster_id;
    uint64_t node_id;
    uint64_t last_index; /* the last entry of the log that was kept */
    uint64_t last_term;
    uint32_t voters;    /* of the old cluster */
    uint32_t answering; /* of the others */
    struct pd_restore_report restored;
};

/* PD_OK           the folder is a new cluster's only node.
 * PD_ERR_DENIED   a majority answers, or can be had by starting this node.
 * PD_ERR_EXISTS   a process runs in the folder.
 * PD_ERR_UNKNOWN  it is no node's folder.
 * PD_ERR_CORRUPT  log or store are damaged: restore from a backup.
 * PD_ERR_RANGE, PD_ERR_FULL, PD_ERR_IO, PD_ERR_INVALID, PD_ERR_NO_MEMORY.
 * text: what is wrong and what to do, for a person. */
PD_NODISCARD enum pd_status pd_server_recover(const struct pd_recover_config *config,
                                              struct pd_recover_report *report_out,
                                              char text[PD_RESTORE_TEXT_MAX]);

#endif
