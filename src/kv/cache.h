/* cache - current records in memory, read by any thread without a lock. Private to kv.
 *
 * Model      Sets of four slots of fixed size, the set chosen by the key's hash; they give way in
 *            turn. A slot holds a record, a record without its value (it was too
 *            large), or the knowledge that there is none. A set's sequence is odd while it is
 *            written; a reader that sees it move reads again.
 * Together   Between together_begin and together_end get_shared knows nothing: who reads one record
 *            of a command, and then another, does not see half of it.
 * Threads    put, drop, clear: the owner. get: the owner. get_shared: any thread, beside them. */
#ifndef PD_KV_CACHE_H
#define PD_KV_CACHE_H

#include "kv/answer.h"

#define PD_KV_CACHE_SLOT_BYTES 512u
#define PD_KV_CACHE_SLOT_HEAD 72u
#define PD_KV_CACHE_WAYS 4u

struct pd_kv_cache_slot {
    uint64_t hash; /* 0: empty */
    int64_t create_revision;
    int64_t mod_revision;
    int64_t version; /* 0: no such key */
    int64_t lease;
    uint64_t value_hash[2];
    uint32_t value_size;
    uint16_t key_size;
    uint8_t has_value;
    uint8_t unused;
    uint32_t sub;
    uint32_t unused_too;
    uint64_t bytes[(PD_KV_CACHE_SLOT_BYTES - PD_KV_CACHE_SLOT_HEAD) / 8]; /* key, value */
};

struct pd_kv_cache_set {
    uint64_t sequence;
    uint64_t counter;
    struct pd_kv_cache_slot slots[PD_KV_CACHE_WAYS];
};

struct pd_kv_cache {
    struct pd_kv_cache_set *sets;
    uint64_t set_count;
    uint64_t seed;
    uint64_t together; /* odd while the records of one command come in */
};

/* What is known of a key beside its record. */
struct pd_kv_found {
    struct pd_kv_record record; /* version 0: there is none */
    uint64_t value_hash[2];
    uint32_t sub;   /* of its revision */
    bool has_value; /* else record.value is unknown */
};

PD_NODISCARD enum pd_status pd_kv_cache_init(struct pd_kv_cache *cache, uint64_t bytes,
                                             uint64_t seed);
void pd_kv_cache_deinit(struct pd_kv_cache *cache);
void pd_kv_cache_clear(struct pd_kv_cache *cache);
/* false: nothing is known. Spans point into the cache until the next put. */
bool pd_kv_cache_get(struct pd_kv_cache *cache, struct pd_span key, struct pd_kv_found *found_out);
void pd_kv_cache_put(struct pd_kv_cache *cache, struct pd_span key,
                     const struct pd_kv_found *found);
void pd_kv_cache_drop(struct pd_kv_cache *cache, struct pd_span key);
void pd_kv_cache_together_begin(struct pd_kv_cache *cache);
void pd_kv_cache_together_end(struct pd_kv_cache *cache);
/* As pd_kv_get_hot. */
PD_NODISCARD enum pd_status pd_kv_cache_get_shared(const struct pd_kv_cache *cache,
                                                   struct pd_span key, uint8_t *room,
                                                   size_t room_max,
                                                   struct pd_kv_record *record_out);

#endif
