/* log_memory - entries in a fixed memory: a ring of slots and a ring of bytes. Pure.
 *
 * Model      A contiguous run of entries. It grows at the end, is cut at the end (a conflict) and
 *            at the beginning (compaction). Each slot is kept twice, a ring's length apart, so that
 *            every run of entries is one array; each payload is contiguous.
 * Bounds     slots_max entries and bytes_max bytes of payload. A payload never wraps: what remains
 *            before the ring's end is skipped.
 * Ownership  The caller gives the memory. Spans of entries are good until the entry is cut. */
#ifndef PD_RAFT_LOG_MEMORY_H
#define PD_RAFT_LOG_MEMORY_H

#include "raft/raft.h"

struct pd_log_memory {
    struct pd_raft_entry *slots; /* 2 * slots_max */
    uint8_t *bytes;
    uint32_t slots_max;
    uint64_t bytes_max;
    uint64_t first; /* index of the first entry held */
    uint32_t count;
    uint64_t head; /* oldest byte in use; counts up, taken modulo bytes_max */
    uint64_t tail; /* next free byte */
};

void pd_log_memory_init(struct pd_log_memory *memory, struct pd_raft_entry *slots,
                        uint32_t slots_max, uint8_t *bytes, uint64_t bytes_max, uint64_t first);

/* Append a copy. Its index is first + count. PD_ERR_FULL: nothing changed. */
PD_NODISCARD enum pd_status pd_log_memory_append(struct pd_log_memory *memory,
                                                 const struct pd_raft_entry *entry);
/* Whether `count` entries with these sizes would fit, spare_slots left. */
bool pd_log_memory_fits(const struct pd_log_memory *memory, const struct pd_span *data,
                        uint32_t count, uint32_t spare_slots);
/* Forget entries from `index` on, or those before it. */
void pd_log_memory_cut_from(struct pd_log_memory *memory, uint64_t index);
void pd_log_memory_cut_before(struct pd_log_memory *memory, uint64_t index);
/* Forget all; the next entry is `first`. */
void pd_log_memory_clear(struct pd_log_memory *memory, uint64_t first);

/* The entry at an index that is held; the ones after it follow in the array. */
const struct pd_raft_entry *pd_log_memory_at(const struct pd_log_memory *memory, uint64_t index);

void pd_log_memory_check(const struct pd_log_memory *memory);

#endif
