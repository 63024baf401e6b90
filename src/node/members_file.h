/* members_file - FOLDER/cluster.json: of which cluster a node is, and whom it knew at first.
 *
 * Model      Written before a node's first start, by who brings a cluster up or by a node that
 *            joins one. The first members of a cluster have the same list, and begin with it as
 *            voters; a node that joins has those that it may ask. Afterwards the directory in the
 *            store is what counts; the file's addresses are tried as well, when a node has moved
 *            and nobody could be told yet.
 * Ownership  A file that was read owns its texts until deinit.
 * Bounds     PD_MEMBERS_FILE_MAX members. */
#ifndef PD_NODE_MEMBERS_FILE_H
#define PD_NODE_MEMBERS_FILE_H

#include "base/disk.h"
#include "kv/member.h"

#define PD_MEMBERS_FILE_NAME "cluster.json"
#define PD_MEMBERS_FILE_NEW_NAME "cluster.json.new" /* while it is written */
#define PD_MEMBERS_FILE_MAX 31u

/* What the node in the folder is to do, or has done. */
enum pd_members_start {
    PD_MEMBERS_START_NEW = 0, /* begin a cluster, with the others of the list */
    PD_MEMBERS_START_JOIN,    /* the cluster is there already, and adds this node */
    /* It was started before: whatever is missing in the folder was lost. A voter without its log
     * could vote twice, so it never begins anew. */
    PD_MEMBERS_START_BEGUN,
    /* It agreed with the others of the list to begin, and does not know yet that all did
     * (gather.h). */
    PD_MEMBERS_START_GATHER,
    /* It runs actors over the store of the listed ones: no log, no store, no vote. */
    PD_MEMBERS_START_WORKER
};

struct pd_members_file {
    uint64_t cluster_id;
    enum pd_members_start start;
    /* The entry of the log as of which it is, for a list that is kept up; such a file tells a sum
     * over all that it says. 0: it is what it was at first. */
    uint64_t index;
    uint32_t count;
    struct pd_kv_member members[PD_MEMBERS_FILE_MAX]; /* by node id */
    char *texts; /* what their spans point into; NULL: somebody else's */
};

/* PD_OK; PD_ERR_UNKNOWN: there is none; PD_ERR_CORRUPT: `text` says what is wrong with it;
 * PD_ERR_IO, PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_members_file_read(struct pd_disk *folder, char *text,
                                                 size_t text_max, struct pd_members_file *file_out);
/* The same of a file with another name. */
PD_NODISCARD enum pd_status pd_members_file_read_as(struct pd_disk *folder, const char *name,
                                                    char *text, size_t text_max,
                                                    struct pd_members_file *file_out);
/* In the place of the one before, whole or not at all. PD_ERR_INVALID: a member that cannot be one;
 * else the disk's. */
PD_NODISCARD enum pd_status pd_members_file_write(struct pd_disk *folder,
                                                  const struct pd_members_file *file);
/* The same under another name. */
PD_NODISCARD enum pd_status pd_members_file_write_as(struct pd_disk *folder, const char *name,
                                                     const struct pd_members_file *file);
void pd_members_file_deinit(struct pd_members_file *file);

/* The members' texts, borrowed so far, become the file's own: file->texts has `size` bytes, enough
 * for all of them. */
void pd_members_file_own(struct pd_members_file *file, size_t size);

const struct pd_kv_member *pd_members_file_find(const struct pd_members_file *file, uint64_t node);

#endif
