/* Reserving address space in few, doubling chunks, and cutting it into groups of slots. */
#include "wasm/slab_internal.h"

/* Take `size` from the address space budget, or nothing. */
static bool budget_take(struct pd_slab *slab, uint64_t size)
{
    uint64_t used = atomic_load_explicit(&slab->mapped_bytes, memory_order_relaxed);
    do {
        if (size > slab->config.bytes_max - used) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&slab->mapped_bytes, &used, used + size,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

static uint8_t *reserve(struct pd_slab *slab, uint64_t size)
{
    uint8_t *base = pd_pages_reserve(size);
    if (base != NULL) {
        atomic_fetch_add_explicit(&slab->mappings_count, 1, memory_order_relaxed);
    }
    return base;
}

/* How many slots the next chunk holds: 0 when a limit is reached. The class's lock is held. */
static uint64_t chunk_slots(const struct pd_slab *slab, const struct tier *tier)
{
    uint64_t first = (uint64_t)tier->groups_mapped << tier->slots_shift;
    if (first >= tier->slots_max || tier->chunk_count == CHUNKS_MAX) {
        return 0;
    }
    uint64_t count = (uint64_t)tier->chunk_groups << tier->chunk_count << tier->slots_shift;
    if (count > tier->slots_max - first) {
        count = tier->slots_max - first;
    }
    uint64_t mapped = atomic_load_explicit(&slab->mapped_bytes, memory_order_relaxed);
    uint64_t affordable = (slab->config.bytes_max - mapped) / tier->slot_size;
    return count < affordable ? count : affordable;
}

/* Reserve the class's next chunk. The class's lock is held. On error nothing changes. */
static enum pd_status map_chunk(struct pd_slab *slab, struct tier *tier)
{
    if (tier->groups == NULL) {
        tier->groups = (struct group *)(void *)reserve(slab, tier->groups_size);
        if (tier->groups == NULL) {
            return PD_ERR_NO_MEMORY;
        }
    }
    uint64_t slots = chunk_slots(slab, tier);
    uint64_t size = slots * tier->slot_size;
    if (slots == 0 || !budget_take(slab, size)) {
        return PD_ERR_FULL;
    }
    uint8_t *base = reserve(slab, size);
    if (base == NULL) {
        atomic_fetch_sub_explicit(&slab->mapped_bytes, size, memory_order_relaxed);
        return PD_ERR_NO_MEMORY;
    }
    uint64_t full = (uint64_t)tier->chunk_groups << tier->chunk_count << tier->slots_shift;
    if (slots < full) {
        /* A shorter chunk breaks the doubling by which groups are found, so it must be the last. */
        tier->slots_max = (uint32_t)(((uint64_t)tier->groups_mapped << tier->slots_shift) + slots);
    }
    tier->chunks[tier->chunk_count] = base;
    tier->chunk_sizes[tier->chunk_count] = size;
    tier->chunk_count++;
    uint64_t group_slots = UINT64_C(1) << tier->slots_shift;
    tier->groups_mapped += (uint32_t)((slots + group_slots - 1) >> tier->slots_shift);
    return PD_OK;
}

enum pd_status pd_slab_carve(struct pd_slab *slab, struct tier *tier, struct carved *carved_out)
{
    enum pd_status status = PD_OK;
    pthread_mutex_lock(&tier->lock);
    if (tier->groups_carved == tier->groups_mapped) {
        status = map_chunk(slab, tier);
    }
    uint32_t count = tier->groups_mapped - tier->groups_carved;
    *carved_out = (struct carved){
        .first = tier->groups_carved,
        .count = count < CARVE_GROUPS ? count : CARVE_GROUPS,
        .slots_max = tier->slots_max,
    };
    tier->groups_carved += carved_out->count;
    pthread_mutex_unlock(&tier->lock);
    return status;
}

void pd_slab_tier_init(struct pd_slab *slab, struct tier *tier, size_t slot_size)
{
    const struct pd_slab_config *config = &slab->config;
    uint64_t fitting = config->bytes_max / slot_size;
    tier->slot_size = slot_size;
    tier->slots_shift = slot_size <= GROUPED_SIZE_MAX ? GROUP_SLOTS_SHIFT : 0;
    tier->slots_max = fitting < config->slots_max ? (uint32_t)fitting : config->slots_max;
    uint32_t group_slots = 1u << tier->slots_shift;
    if (group_slots > 1 && config->dirty_bytes_max > 0) {
        uint64_t waiting = config->dirty_bytes_max / config->shards / slot_size;
        tier->dirty_max = waiting < group_slots         ? group_slots
                          : waiting < config->slots_max ? (uint32_t)waiting
                                                        : config->slots_max;
    }
    uint64_t groups_max = (tier->slots_max + group_slots - 1) >> tier->slots_shift;
    size_t page_size = slab->pages.page_size;
    tier->groups_size = (groups_max * sizeof(struct group) + page_size) / page_size * page_size;
    size_t chunk_groups = FIRST_CHUNK_BYTES / slot_size >> tier->slots_shift;
    tier->chunk_groups = chunk_groups > 1 ? (uint32_t)chunk_groups : 1;
    int result = pthread_mutex_init(&tier->lock, NULL);
    pd_assert(result == 0);
}

void pd_slab_tier_deinit(struct tier *tier)
{
    for (uint32_t i = 0; i < tier->chunk_count; i++) {
        pd_pages_unreserve(tier->chunks[i], tier->chunk_sizes[i]);
    }
    if (tier->groups != NULL) {
        pd_pages_unreserve((uint8_t *)tier->groups, tier->groups_size);
    }
    int result = pthread_mutex_destroy(&tier->lock);
    pd_assert(result == 0);
}
