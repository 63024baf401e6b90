/* seen - which keys may have a record: it spares a new key the look into the store. Private to kv.
 *
 * Model   A Bloom filter in blocks of 32 bytes: a key's hash chooses a block, and a bit in each of
 *         its eight words. Keys are added when a record of theirs is written, and by the pass over
 *         all live records with which a start verifies the store. Once that is over the filter is
 *         whole: a key that it lacks has no record now. It tells nothing of earlier revisions.
 *         Nothing is ever taken out: with many more keys than there is room for, it only excludes
 *         less.
 * Bounds  The bytes given at init; 0: it never excludes anything.
 * Threads The owner's. */
#ifndef PD_KV_SEEN_H
#define PD_KV_SEEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

#define PD_KV_SEEN_WORDS 8u

struct pd_kv_seen_block {
    uint32_t words[PD_KV_SEEN_WORDS];
};

struct pd_kv_seen {
    struct pd_kv_seen_block *blocks; /* NULL: there are none */
    uint64_t block_count;            /* below 2^32 */
    uint64_t seed;
    bool has_keys;
    bool is_whole;
};

PD_NODISCARD enum pd_status pd_kv_seen_init(struct pd_kv_seen *seen, uint64_t bytes, uint64_t seed);
void pd_kv_seen_deinit(struct pd_kv_seen *seen);
/* Nothing is in it, and it is not whole. */
void pd_kv_seen_clear(struct pd_kv_seen *seen);
void pd_kv_seen_add(struct pd_kv_seen *seen, struct pd_span key);
/* Every live record's key was added. */
void pd_kv_seen_complete(struct pd_kv_seen *seen);
/* true: the key has no record. */
bool pd_kv_seen_excludes(const struct pd_kv_seen *seen, struct pd_span key);

#endif
