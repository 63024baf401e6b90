/* Counting and verifying a slab as a whole. */
#include "wasm/slab_internal.h"

struct pd_slab_stats pd_slab_stats(struct pd_slab *slab)
{
    struct pd_slab_stats stats = {
        .mapped_bytes = atomic_load_explicit(&slab->mapped_bytes, memory_order_relaxed),
        .mappings_count = atomic_load_explicit(&slab->mappings_count, memory_order_relaxed),
        .finder = slab->pages.finder,
    };
    for (uint32_t i = 0; i < slab->config.shards; i++) {
        pd_spin_lock(&slab->shards[i].lock);
        for (uint32_t k = 0; k < slab->class_count; k++) {
            const struct offers *offers = &slab->shards[i].offers[k];
            stats.slots_live += offers->live_count;
            stats.slots_hot += offers->hot_count;
            stats.slots_dirty += offers->dirty_count;
        }
        pd_spin_unlock(&slab->shards[i].lock);
    }
    for (uint32_t k = 0; k < slab->class_count; k++) {
        struct tier *tier = &slab->classes[k];
        pthread_mutex_lock(&tier->lock);
        uint64_t slots = (uint64_t)tier->groups_carved << tier->slots_shift;
        stats.slots_carved += slots < tier->slots_max ? slots : tier->slots_max;
        pthread_mutex_unlock(&tier->lock);
    }
    return stats;
}

/* The links and the list of one group, whatever its slots say. */
static void check_group(const struct tier *tier, uint32_t index, uint32_t slots_max)
{
    const struct group *group = &tier->groups[index];
    uint8_t any = group->live | group->dirty | group->hot | group->cold | group->busy;
    uint32_t sum = pd_slab_bits(group->live) + pd_slab_bits(group->dirty) +
                   pd_slab_bits(group->hot) + pd_slab_bits(group->cold) + pd_slab_bits(group->busy);
    pd_assert(group->busy == 0);
    pd_assert(any == pd_slab_group_mask(tier, index, slots_max));
    pd_assert(sum == pd_slab_bits(any));
    pd_assert((enum list_id)group->list == pd_slab_list_wanted(tier, group));
}

/* The lists of a shard hold what they should, and nothing twice. Returns the number of groups in
 * them. */
static uint32_t check_lists(const struct tier *tier, const struct offers *offers, uint32_t shard)
{
    uint32_t count = 0;
    for (uint32_t list = 0; list < LIST_COUNT; list++) {
        uint32_t previous = NO_GROUP;
        for (uint32_t at = offers->heads[list]; at != NO_GROUP; at = tier->groups[at].next) {
            pd_assert(at < tier->groups_carved && count < tier->groups_carved);
            pd_assert(tier->groups[at].list == list);
            pd_assert(tier->groups[at].shard == shard);
            pd_assert(tier->groups[at].previous == previous);
            previous = at;
            count++;
        }
    }
    return count;
}

void pd_slab_check(struct pd_slab *slab)
{
    for (uint32_t k = 0; k < slab->class_count; k++) {
        const struct tier *tier = &slab->classes[k];
        struct offers counted[PD_SLAB_SHARDS_MAX] = {0};
        uint32_t listed = 0;
        for (uint32_t i = 0; i < tier->groups_carved; i++) {
            const struct group *group = &tier->groups[i];
            check_group(tier, i, tier->slots_max);
            struct offers *offers = &counted[group->shard];
            offers->live_count += pd_slab_bits(group->live);
            offers->dirty_count += pd_slab_bits(group->dirty);
            offers->hot_count += pd_slab_bits(group->dirty) + pd_slab_bits(group->hot);
            listed += group->list != LIST_NONE ? 1 : 0;
        }
        for (uint32_t i = 0; i < slab->config.shards; i++) {
            const struct offers *offers = &slab->shards[i].offers[k];
            listed -= check_lists(tier, offers, i);
            pd_assert(offers->live_count == counted[i].live_count);
            pd_assert(offers->dirty_count == counted[i].dirty_count);
            pd_assert(offers->hot_count == counted[i].hot_count);
            pd_assert(offers->hot_count <= slab->hot_max);
        }
        pd_assert(listed == 0);
    }
}
