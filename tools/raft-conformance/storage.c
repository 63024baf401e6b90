#include "raft-conformance/storage.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

static uint64_t last_index(const struct storage *storage)
{
    return storage->index + storage->count;
}

const char *storage_append(struct storage *storage, const struct pd_raft_entry *entries,
                           uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (entries[i].index <= storage->index) {
            continue; /* compacted already */
        }
        if (entries[i].index > last_index(storage) + 1) {
            return "missing log entry";
        }
        storage->count = (uint32_t)(entries[i].index - storage->index - 1);
        if (storage->count == storage->room) {
            uint32_t room = storage->room == 0 ? 64 : storage->room * 2;
            struct pd_raft_entry *grown =
                pd_realloc(storage->entries, room * sizeof *storage->entries);
            pd_assert(grown != NULL);
            storage->entries = grown;
            storage->room = room;
        }
        storage->entries[storage->count++] = entries[i];
    }
    return NULL;
}

bool storage_install(struct storage *storage, const struct pd_raft_snapshot_meta *snapshot)
{
    if (storage->snapshot_index >= snapshot->index) {
        return false;
    }
    storage->snapshot_index = snapshot->index;
    storage->index = snapshot->index;
    storage->term = snapshot->term;
    storage->count = 0;
    return true;
}

const char *storage_compact(struct storage *storage, uint64_t index)
{
    if (index <= storage->index) {
        return "requested index is unavailable due to compaction";
    }
    if (index > last_index(storage)) {
        return "cannot compact beyond the last index";
    }
    uint32_t cut = (uint32_t)(index - storage->index);
    storage->term = storage->entries[cut - 1].term;
    storage->index = index;
    storage->count -= cut;
    memmove(storage->entries, storage->entries + cut, storage->count * sizeof *storage->entries);
    return NULL;
}

void storage_free(struct storage *storage)
{
    pd_free(storage->entries);
}
