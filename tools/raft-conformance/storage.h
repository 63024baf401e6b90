/* storage - what a node wrote durably: a snapshot's mark and the entries after it. */
#ifndef PD_CONFORMANCE_STORAGE_H
#define PD_CONFORMANCE_STORAGE_H

#include "raft-conformance/text.h"
#include "raft/raft.h"

struct storage {
    uint64_t index; /* before the first entry */
    uint64_t term;
    uint64_t snapshot_index; /* the latest that was installed */
    struct pd_raft_entry *entries;
    uint32_t count;
    uint32_t room;
};

/* Entries' data must live as long as the storage. They may overwrite a tail. NULL, or why not. */
const char *storage_append(struct storage *storage, const struct pd_raft_entry *entries,
                           uint32_t count);
/* False: it is older than the one that is there. */
bool storage_install(struct storage *storage, const struct pd_raft_snapshot_meta *snapshot);
/* Forget up to `index`. NULL, or why not. */
const char *storage_compact(struct storage *storage, uint64_t index);
void storage_free(struct storage *storage);

#endif
