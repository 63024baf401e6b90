/* replica_about - what a replica says of itself to programs: the body of an answer to
 * PD_REPLICA_REQUEST_ABOUT. Pure.
 *
 * Model      These numbers, then the members as members.h has them.
 * Trust      Reading accepts any bytes. */
#ifndef PD_NODE_REPLICA_ABOUT_H
#define PD_NODE_REPLICA_ABOUT_H

#include "kv/answer.h"

struct pd_replica_about {
    int64_t revision;
    int64_t compacted_revision;
    uint64_t committed_index;
    uint64_t applied_index;
    uint64_t hash; /* of all live keys, leases and sessions */
    uint64_t key_count;
    uint32_t version; /* of the cluster */
    bool disk_is_low;
};

void pd_replica_about_put(struct pd_kv_writer *writer, const struct pd_replica_about *about);
void pd_replica_about_get(struct pd_kv_reader *reader, struct pd_replica_about *about_out);

#endif
