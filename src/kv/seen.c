#include "kv/seen.h"

#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"

#define BLOCKS_MAX UINT32_MAX

enum pd_status pd_kv_seen_init(struct pd_kv_seen *seen, uint64_t bytes, uint64_t seed)
{
    uint64_t count = bytes / sizeof(struct pd_kv_seen_block);
    count = count > BLOCKS_MAX ? BLOCKS_MAX : count;
    *seen = (struct pd_kv_seen){.block_count = count, .seed = seed};
    if (count > 0) {
        seen->blocks = pd_alloc_zeroed((size_t)count, sizeof(struct pd_kv_seen_block));
    }
    return count > 0 && seen->blocks == NULL ? PD_ERR_NO_MEMORY : PD_OK;
}

void pd_kv_seen_deinit(struct pd_kv_seen *seen)
{
    pd_free(seen->blocks);
    *seen = (struct pd_kv_seen){0};
}

void pd_kv_seen_clear(struct pd_kv_seen *seen)
{
    if (seen->has_keys) { /* else its pages need not be made for this */
        memset(seen->blocks, 0, (size_t)seen->block_count * sizeof(struct pd_kv_seen_block));
    }
    seen->has_keys = false;
    seen->is_whole = false;
}

/* Where a key's bits are. */
struct place {
    uint64_t block;
    uint64_t bits; /* five for each word */
};

static struct place place_of(const struct pd_kv_seen *seen, struct pd_span key)
{
    uint64_t hash = pd_hash_bytes(seen->seed, key.bytes, key.size);
    return (struct place){.block = (hash >> 32) * seen->block_count >> 32,
                          .bits = pd_hash_u64(seen->seed, hash)};
}

static uint32_t bit_of(const struct place *place, uint32_t word)
{
    return UINT32_C(1) << (place->bits >> 5 * word & 31);
}

void pd_kv_seen_add(struct pd_kv_seen *seen, struct pd_span key)
{
    if (seen->blocks == NULL) {
        return;
    }
    struct place place = place_of(seen, key);
    for (uint32_t i = 0; i < PD_KV_SEEN_WORDS; i++) {
        seen->blocks[place.block].words[i] |= bit_of(&place, i);
    }
    seen->has_keys = true;
}

void pd_kv_seen_complete(struct pd_kv_seen *seen)
{
    seen->is_whole = true;
}

bool pd_kv_seen_excludes(const struct pd_kv_seen *seen, struct pd_span key)
{
    if (!seen->is_whole || seen->blocks == NULL) {
        return false;
    }
    struct place place = place_of(seen, key);
    uint32_t missing = 0;
    for (uint32_t i = 0; i < PD_KV_SEEN_WORDS; i++) {
        missing |= bit_of(&place, i) & ~seen->blocks[place.block].words[i];
    }
    return missing != 0;
}
