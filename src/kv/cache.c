#include "kv/cache.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/hash.h"
#include "kv/codec.h"

_Static_assert(sizeof(struct pd_kv_cache_slot) == PD_KV_CACHE_SLOT_BYTES, "slot size");

#define SLOT_ROOM (PD_KV_CACHE_SLOT_BYTES - PD_KV_CACHE_SLOT_HEAD)
#define SLOT_WORDS (sizeof(struct pd_kv_cache_slot) / 8)
#define SHARED_TRIES 1000u

enum pd_status pd_kv_cache_init(struct pd_kv_cache *cache, uint64_t bytes, uint64_t seed)
{
    uint64_t count = bytes / sizeof(struct pd_kv_cache_set);
    count = count == 0 ? 1 : count;
    *cache = (struct pd_kv_cache){.set_count = count, .seed = seed};
    cache->sets = pd_alloc_zeroed((size_t)count, sizeof(struct pd_kv_cache_set));
    return cache->sets == NULL ? PD_ERR_NO_MEMORY : PD_OK;
}

void pd_kv_cache_deinit(struct pd_kv_cache *cache)
{
    pd_free(cache->sets);
    *cache = (struct pd_kv_cache){0};
}

static uint64_t hash_of(const struct pd_kv_cache *cache, struct pd_span key)
{
    uint64_t hash = pd_hash_bytes(cache->seed, key.bytes, key.size);
    return hash == 0 ? 1 : hash;
}

static struct pd_kv_cache_set *set_of(const struct pd_kv_cache *cache, uint64_t hash)
{
    return &cache->sets[hash % cache->set_count];
}

static void write_begin(struct pd_kv_cache_set *set)
{
    __atomic_store_n(&set->sequence, set->sequence + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

static void write_end(struct pd_kv_cache_set *set)
{
    __atomic_store_n(&set->sequence, set->sequence + 1, __ATOMIC_RELEASE);
}

/* Copied word by word, so that a reader beside it is not a data race. */
static void store_slot(struct pd_kv_cache_slot *to, const struct pd_kv_cache_slot *from,
                       size_t words)
{
    uint64_t *target = (uint64_t *)(void *)to;
    const uint64_t *source = (const uint64_t *)(const void *)from;
    for (size_t i = 0; i < words; i++) {
        __atomic_store_n(&target[i], source[i], __ATOMIC_RELAXED);
    }
}

static bool is_empty(const struct pd_kv_cache_set *set)
{
    for (uint32_t way = 0; way < PD_KV_CACHE_WAYS; way++) {
        if (set->slots[way].hash != 0) {
            return false;
        }
    }
    return true;
}

void pd_kv_cache_clear(struct pd_kv_cache *cache)
{
    for (uint64_t i = 0; i < cache->set_count; i++) {
        struct pd_kv_cache_set *set = &cache->sets[i];
        if (is_empty(set)) {
            continue; /* a page that was never written is not made for this */
        }
        write_begin(set);
        for (uint32_t way = 0; way < PD_KV_CACHE_WAYS; way++) {
            __atomic_store_n(&set->slots[way].hash, 0, __ATOMIC_RELAXED);
        }
        write_end(set);
    }
}

static struct pd_kv_cache_slot *find(const struct pd_kv_cache *cache, struct pd_span key,
                                     uint64_t hash)
{
    struct pd_kv_cache_set *set = set_of(cache, hash);
    for (uint32_t way = 0; way < PD_KV_CACHE_WAYS; way++) {
        struct pd_kv_cache_slot *slot = &set->slots[way];
        if (slot->hash == hash && pd_kv_span_equal(pd_kv_span(slot->bytes, slot->key_size), key)) {
            return slot;
        }
    }
    return NULL;
}

static void read_slot(const struct pd_kv_cache_slot *slot, struct pd_span key, const uint8_t *bytes,
                      struct pd_kv_record *record)
{
    *record = (struct pd_kv_record){
        .key = key,
        .value = pd_kv_span(bytes + slot->key_size, slot->has_value ? slot->value_size : 0),
        .create_revision = slot->create_revision,
        .mod_revision = slot->mod_revision,
        .version = slot->version,
        .lease = slot->lease,
    };
}

bool pd_kv_cache_get(struct pd_kv_cache *cache, struct pd_span key, struct pd_kv_found *found_out)
{
    if (key.size > SLOT_ROOM) {
        return false;
    }
    uint64_t hash = hash_of(cache, key);
    struct pd_kv_cache_slot *slot = find(cache, key, hash);
    if (slot == NULL) {
        return false;
    }
    read_slot(slot, key, (const uint8_t *)slot->bytes, &found_out->record);
    found_out->value_hash[0] = slot->value_hash[0];
    found_out->value_hash[1] = slot->value_hash[1];
    found_out->sub = slot->sub;
    found_out->has_value = slot->has_value;
    return true;
}

void pd_kv_cache_put(struct pd_kv_cache *cache, struct pd_span key, const struct pd_kv_found *found)
{
    if (key.size > SLOT_ROOM) {
        return;
    }
    uint64_t hash = hash_of(cache, key);
    struct pd_kv_cache_set *set = set_of(cache, hash);
    struct pd_kv_cache_slot *slot = find(cache, key, hash);
    for (uint32_t way = 0; slot == NULL && way < PD_KV_CACHE_WAYS; way++) {
        slot = set->slots[way].hash == 0 ? &set->slots[way] : NULL;
    }
    if (slot == NULL) {
        slot = &set->slots[set->counter++ % PD_KV_CACHE_WAYS];
    }
    struct pd_kv_cache_slot fresh;
    memset(&fresh, 0, sizeof fresh);
    const struct pd_kv_record *record = &found->record;
    fresh.hash = hash;
    fresh.create_revision = record->create_revision;
    fresh.mod_revision = record->mod_revision;
    fresh.version = record->version;
    fresh.lease = record->lease;
    fresh.value_hash[0] = found->value_hash[0];
    fresh.value_hash[1] = found->value_hash[1];
    fresh.sub = found->sub;
    fresh.key_size = (uint16_t)key.size;
    fresh.has_value = found->has_value && record->value.size <= SLOT_ROOM - key.size;
    fresh.value_size = fresh.has_value ? (uint32_t)record->value.size : 0;
    memcpy(fresh.bytes, key.bytes, key.size);
    if (fresh.value_size > 0) {
        memcpy((uint8_t *)fresh.bytes + key.size, record->value.bytes, fresh.value_size);
    }
    size_t used = PD_KV_CACHE_SLOT_HEAD + key.size + fresh.value_size;
    write_begin(set);
    store_slot(slot, &fresh, (used + 7) / 8);
    write_end(set);
}

void pd_kv_cache_drop(struct pd_kv_cache *cache, struct pd_span key)
{
    if (key.size > SLOT_ROOM) {
        return;
    }
    uint64_t hash = hash_of(cache, key);
    struct pd_kv_cache_slot *slot = find(cache, key, hash);
    if (slot != NULL) {
        struct pd_kv_cache_set *set = set_of(cache, hash);
        write_begin(set);
        __atomic_store_n(&slot->hash, 0, __ATOMIC_RELAXED);
        write_end(set);
    }
}

void pd_kv_cache_together_begin(struct pd_kv_cache *cache)
{
    pd_assert((cache->together & 1) == 0);
    __atomic_store_n(&cache->together, cache->together + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

void pd_kv_cache_together_end(struct pd_kv_cache *cache)
{
    pd_assert((cache->together & 1) == 1);
    __atomic_store_n(&cache->together, cache->together + 1, __ATOMIC_RELEASE);
}

/* A slot as it was at one moment; false: none with this hash. */
static bool copy_slot(const struct pd_kv_cache_set *set, uint64_t hash, struct pd_kv_cache_slot *to)
{
    for (uint32_t way = 0; way < PD_KV_CACHE_WAYS; way++) {
        if (__atomic_load_n(&set->slots[way].hash, __ATOMIC_RELAXED) == hash) {
            const uint64_t *source = (const uint64_t *)(const void *)&set->slots[way];
            uint64_t *target = (uint64_t *)(void *)to;
            for (size_t i = 0; i < SLOT_WORDS; i++) {
                target[i] = __atomic_load_n(&source[i], __ATOMIC_RELAXED);
            }
            return true;
        }
    }
    return false;
}

enum pd_status pd_kv_cache_get_shared(const struct pd_kv_cache *cache, struct pd_span key,
                                      uint8_t *room, size_t room_max,
                                      struct pd_kv_record *record_out)
{
    if (key.size > SLOT_ROOM) {
        return PD_ERR_RANGE;
    }
    uint64_t hash = hash_of(cache, key);
    const struct pd_kv_cache_set *set = set_of(cache, hash);
    struct pd_kv_cache_slot slot = {0};
    for (uint32_t try = 0; try < SHARED_TRIES; try++) {
        uint64_t together = __atomic_load_n(&cache->together, __ATOMIC_ACQUIRE);
        uint64_t before = __atomic_load_n(&set->sequence, __ATOMIC_ACQUIRE);
        bool is_still = ((together | before) & 1) == 0;
        bool is_found = is_still && copy_slot(set, hash, &slot);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (!is_still || __atomic_load_n(&set->sequence, __ATOMIC_RELAXED) != before ||
            __atomic_load_n(&cache->together, __ATOMIC_RELAXED) != together) {
            continue;
        }
        if (!is_found || !pd_kv_span_equal(pd_kv_span(slot.bytes, slot.key_size), key)) {
            return PD_ERR_RANGE;
        }
        if (slot.version == 0) {
            return PD_ERR_UNKNOWN;
        }
        size_t size = (size_t)slot.key_size + slot.value_size;
        if (!slot.has_value || size > room_max) {
            return PD_ERR_RANGE;
        }
        memcpy(room, slot.bytes, size);
        read_slot(&slot, pd_kv_span(room, slot.key_size), room, record_out);
        return PD_OK;
    }
    return PD_ERR_RANGE;
}
