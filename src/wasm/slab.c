#include "wasm/slab_internal.h"

#include <stdbool.h>

#include "base/alloc.h"

/* Stacks: what stays resident, and how far below a trace of a deeper run is looked for. */
#define STACK_KEEP_BYTES 16384u
#define STACK_WATCH_STEP 256u

static uint32_t own_shard(const struct pd_slab *slab)
{
    static atomic_uint_least32_t threads_seen;
    static _Thread_local uint32_t number;
    if (number == 0) {
        number = 1 + (atomic_fetch_add_explicit(&threads_seen, 1, memory_order_relaxed) & 0xffff);
    }
    return (number - 1) % slab->config.shards;
}

uint8_t *pd_slab_base(const struct pd_slab *slab, struct pd_slab_slot slot)
{
    pd_assert(slot.size_class < slab->class_count);
    return pd_slab_slot_start(&slab->classes[slot.size_class], slot.index) + slab->guard_size;
}

size_t pd_slab_size(const struct pd_slab *slab, struct pd_slab_slot slot)
{
    pd_assert(slot.size_class < slab->class_count);
    return slab->classes[slot.size_class].slot_size - slab->guard_size;
}

size_t pd_slab_slot_size_max(const struct pd_slab *slab)
{
    return slab->config.slot_size_max;
}

/* --- Lists of one shard and class; its lock is held ------------------------------------------- */

static void list_remove(struct tier *tier, struct offers *offers, uint32_t index)
{
    struct group *group = &tier->groups[index];
    if (group->list == LIST_NONE) {
        return;
    }
    if (group->previous != NO_GROUP) {
        tier->groups[group->previous].next = group->next;
    } else {
        offers->heads[group->list] = group->next;
    }
    if (group->next != NO_GROUP) {
        tier->groups[group->next].previous = group->previous;
    }
    group->list = LIST_NONE;
}

static void list_push(struct tier *tier, struct offers *offers, uint32_t index, enum list_id list)
{
    struct group *group = &tier->groups[index];
    uint32_t head = offers->heads[list];
    group->previous = NO_GROUP;
    group->next = head;
    group->list = (uint8_t)list;
    if (head != NO_GROUP) {
        tier->groups[head].previous = index;
    }
    offers->heads[list] = index;
}

/* Put the group into the list that its slots call for. */
static void relist(struct tier *tier, struct offers *offers, uint32_t index)
{
    struct group *group = &tier->groups[index];
    enum list_id wanted = pd_slab_list_wanted(tier, group);
    if (wanted != (enum list_id)group->list) {
        list_remove(tier, offers, index);
        if (wanted != LIST_NONE) {
            list_push(tier, offers, index, wanted);
        }
    }
}

/* The group becomes the next to be handed out: its pages are the warmest. */
static void move_to_front(struct tier *tier, struct offers *offers, uint32_t index)
{
    enum list_id list = (enum list_id)tier->groups[index].list;
    if (list != LIST_NONE && offers->heads[list] != index) {
        list_remove(tier, offers, index);
        list_push(tier, offers, index, list);
    }
}

/* --- New groups, outside of the lock ---------------------------------------------------------- */

static void guard_stacks(struct pd_slab *slab, struct tier *tier, uint32_t index, uint8_t mask)
{
    uint32_t first = index << tier->slots_shift;
    for (uint32_t i = 0; i < pd_slab_bits(mask); i++) {
        /* Without memory for the guard the stack is as safe as on kernels that have none. */
        (void)pd_pages_guard(&slab->pages, pd_slab_slot_start(tier, first + i));
    }
}

/* Make new groups, cold, and give them to a shard. */
static enum pd_status refill(struct pd_slab *slab, uint32_t size_class, uint32_t shard)
{
    struct tier *tier = &slab->classes[size_class];
    struct carved carved;
    enum pd_status status = pd_slab_carve(slab, tier, &carved);
    if (status != PD_OK) {
        return status;
    }
    struct offers *offers = &slab->shards[shard].offers[size_class];
    /* Backwards, so that the lowest is handed out first. */
    for (uint32_t i = carved.first + carved.count; i > carved.first; i--) {
        uint8_t mask = pd_slab_group_mask(tier, i - 1, carved.slots_max);
        if (slab->guard_size != 0) {
            guard_stacks(slab, tier, i - 1, mask);
        }
        pd_spin_lock(&slab->shards[shard].lock);
        tier->groups[i - 1] =
            (struct group){.list = LIST_NONE, .shard = (uint8_t)shard, .cold = mask};
        relist(tier, offers, i - 1);
        pd_spin_unlock(&slab->shards[shard].lock);
    }
    return PD_OK;
}

/* --- Cleaning and purging, outside of the lock ------------------------------------------------ */

/* Slots of one group that this thread took out of circulation. */
struct work {
    uint32_t group;
    uint8_t clean; /* dirty -> hot */
    uint8_t purge; /* dirty or hot -> cold */
};

/* Mark dirty slots as busy. The lock is held. */
static struct work work_clean(struct tier *tier, struct offers *offers, uint32_t index)
{
    struct group *group = &tier->groups[index];
    struct work work = {.group = index, .clean = group->dirty};
    group->busy |= group->dirty;
    group->dirty = 0;
    offers->dirty_count -= pd_slab_bits(work.clean);
    relist(tier, offers, index);
    return work;
}

static struct work work_purge(struct tier *tier, struct offers *offers, uint32_t index)
{
    struct group *group = &tier->groups[index];
    struct work work = {.group = index, .purge = (uint8_t)(group->dirty | group->hot)};
    offers->dirty_count -= pd_slab_bits(group->dirty);
    offers->hot_count -= pd_slab_bits(work.purge);
    group->busy |= work.purge;
    group->dirty = 0;
    group->hot = 0;
    relist(tier, offers, index);
    return work;
}

/* The work itself; nobody else sees these slots. */
static void work_run(const struct pd_slab *slab, const struct tier *tier, struct work work)
{
    if (work.clean != 0) {
        pd_pages_clean(&slab->pages, pd_slab_group_base(tier, work.group), tier->slot_size,
                       work.clean);
    }
    if (work.purge != 0) {
        pd_pages_discard_slots(pd_slab_group_base(tier, work.group), tier->slot_size, work.purge);
    }
}

/* Back into circulation. The lock is held. */
static void work_end(struct tier *tier, struct offers *offers, struct work work)
{
    struct group *group = &tier->groups[work.group];
    uint8_t slots = work.clean | work.purge;
    pd_assert((group->busy & slots) == slots);
    group->busy = (uint8_t)(group->busy & ~slots);
    group->hot |= work.clean;
    group->cold |= work.purge;
    relist(tier, offers, work.group);
}

/* --- Acquire ---------------------------------------------------------------------------------- */

/* Take a slot from the head of a list of clean slots. The lock is held. */
static uint32_t take(struct tier *tier, struct offers *offers, enum list_id list)
{
    uint32_t index = offers->heads[list];
    struct group *group = &tier->groups[index];
    uint8_t *offered = list == LIST_READY ? &group->hot : &group->cold;
    pd_assert(*offered != 0);
    uint32_t bit = (uint32_t)__builtin_ctz(*offered);
    *offered = (uint8_t)(*offered & ~(1u << bit));
    group->live |= (uint8_t)(1u << bit);
    offers->live_count++;
    offers->hot_count -= list == LIST_READY ? 1 : 0;
    relist(tier, offers, index);
    return (index << tier->slots_shift) + bit;
}

/* Clean the dirty slots of the group at the head of `list` and take one. The lock is held, and let
 * go meanwhile. */
static uint32_t clean_and_take(struct pd_slab *slab, struct tier *tier, struct shard *shard,
                               struct offers *offers, enum list_id list)
{
    struct work work = work_clean(tier, offers, offers->heads[list]);
    pd_spin_unlock(&shard->lock);
    work_run(slab, tier, work);
    pd_spin_lock(&shard->lock);
    work_end(tier, offers, work);
    /* This group now leads READY, and has at least one hot slot. */
    return take(tier, offers, LIST_READY);
}

/* Take a slot of one shard: `thorough` also where that means to clean for a single slot. */
static bool acquire_from(struct pd_slab *slab, uint32_t size_class, uint32_t shard_index,
                         bool thorough, uint32_t *index_out)
{
    struct tier *tier = &slab->classes[size_class];
    struct shard *shard = &slab->shards[shard_index];
    struct offers *offers = &shard->offers[size_class];
    const uint32_t *heads = offers->heads;
    bool found = true;
    pd_spin_lock(&shard->lock);
    if (heads[LIST_READY] != NO_GROUP) {
        *index_out = take(tier, offers, LIST_READY);
    } else if (heads[LIST_MANY] != NO_GROUP) {
        *index_out = clean_and_take(slab, tier, shard, offers, LIST_MANY);
    } else if (heads[LIST_FEW] != NO_GROUP &&
               (thorough || offers->dirty_count >= tier->dirty_max / 2)) {
        *index_out = clean_and_take(slab, tier, shard, offers, LIST_FEW);
    } else if (heads[LIST_COLD] != NO_GROUP) {
        *index_out = take(tier, offers, LIST_COLD);
    } else {
        found = false;
    }
    pd_spin_unlock(&shard->lock);
    return found;
}

static uint32_t class_of(const struct pd_slab *slab, size_t size)
{
    uint32_t tier = 0;
    while (tier < slab->class_count && size > slab->classes[tier].slot_size - slab->guard_size) {
        tier++;
    }
    return tier;
}

enum pd_status pd_slab_acquire(struct pd_slab *slab, size_t size, struct pd_slab_slot *slot_out)
{
    uint32_t size_class = class_of(slab, size);
    if (size_class == slab->class_count) {
        return PD_ERR_RANGE;
    }
    slot_out->size_class = size_class;
    uint32_t own = own_shard(slab);
    enum pd_status status = PD_OK;
    /* Another thread of this shard may take what was carved: then carve again, until there is no
     * more. */
    while (status == PD_OK) {
        if (acquire_from(slab, size_class, own, false, &slot_out->index)) {
            return PD_OK;
        }
        status = refill(slab, size_class, own);
    }
    for (uint32_t i = 0; i < slab->config.shards; i++) {
        uint32_t shard = (own + i) % slab->config.shards;
        if (acquire_from(slab, size_class, shard, true, &slot_out->index)) {
            return PD_OK;
        }
    }
    return status;
}

/* --- Release ---------------------------------------------------------------------------------- */

/* A run that went deeper than usual leaves words in the page below those that stay. Reading them is
 * free: a page that was not touched is the kernel's zero page. What no word shows is bounded by
 * hot_slots_max. */
__attribute__((no_sanitize("address", "thread"))) static bool ran_deep(const uint8_t *page,
                                                                       size_t page_size)
{
    uint64_t seen = 0;
    for (size_t i = 0; i < page_size; i += STACK_WATCH_STEP) {
        seen |= *(const volatile uint64_t *)(const volatile void *)(page + i);
    }
    return seen != 0;
}

/* Trim a stack that is about to be released, unless it will be purged anyhow. */
static void stack_trim(const struct pd_slab *slab, struct shard *shard, struct pd_slab_slot slot)
{
    pd_spin_lock(&shard->lock);
    bool stays = shard->offers[slot.size_class].hot_count < slab->hot_max;
    pd_spin_unlock(&shard->lock);
    if (!stays || slab->stack_keep_size == 0) {
        return;
    }
    uint8_t *base = pd_slab_base(slab, slot);
    size_t below = pd_slab_size(slab, slot) - slab->stack_keep_size;
    size_t page_size = slab->pages.page_size;
    if (ran_deep(base + below - 2 * page_size, page_size)) {
        pd_pages_discard(base, below);
    }
}

/* What a release into this group calls for. The lock is held. */
static struct work work_after_release(const struct pd_slab *slab, struct tier *tier,
                                      struct offers *offers, uint32_t index)
{
    const struct group *group = &tier->groups[index];
    bool has_live = (group->live | group->busy) != 0;
    if (offers->hot_count > slab->hot_max || (offers->hot_count > slab->hot_soft && !has_live)) {
        return work_purge(tier, offers, index);
    }
    if (group->dirty != 0 && offers->dirty_count > tier->dirty_max) {
        return work_clean(tier, offers, index);
    }
    return (struct work){.group = index};
}

void pd_slab_release(struct pd_slab *slab, struct pd_slab_slot slot)
{
    pd_assert(slot.size_class < slab->class_count);
    struct tier *tier = &slab->classes[slot.size_class];
    uint32_t index = slot.index >> tier->slots_shift;
    uint8_t bit = (uint8_t)(1u << (slot.index - (index << tier->slots_shift)));
    struct group *group = &tier->groups[index];
    struct shard *shard = &slab->shards[group->shard];
    struct offers *offers = &shard->offers[slot.size_class];
    if (slab->config.kind == PD_SLAB_STACK) {
        stack_trim(slab, shard, slot);
    }
    pd_spin_lock(&shard->lock);
    pd_assert((group->live & bit) != 0);
    group->live = (uint8_t)(group->live & ~bit);
    offers->live_count--;
    offers->hot_count++;
    if (slab->config.kind == PD_SLAB_STACK) {
        group->hot |= bit;
    } else {
        group->dirty |= bit;
        offers->dirty_count++;
    }
    relist(tier, offers, index);
    move_to_front(tier, offers, index);
    struct work work = work_after_release(slab, tier, offers, index);
    pd_spin_unlock(&shard->lock);
    if ((work.clean | work.purge) != 0) {
        work_run(slab, tier, work);
        pd_spin_lock(&shard->lock);
        work_end(tier, offers, work);
        pd_spin_unlock(&shard->lock);
    }
}

enum pd_status pd_slab_grow(struct pd_slab *slab, struct pd_slab_slot *slot, size_t used,
                            size_t size)
{
    pd_assert(slab->config.kind == PD_SLAB_MEMORY);
    pd_assert(used <= pd_slab_size(slab, *slot));
    if (size <= pd_slab_size(slab, *slot)) {
        return PD_OK;
    }
    struct pd_slab_slot larger;
    enum pd_status status = pd_slab_acquire(slab, size, &larger);
    if (status != PD_OK) {
        return status;
    }
    if (used > 0) {
        pd_pages_copy(&slab->pages, pd_slab_base(slab, larger), pd_slab_base(slab, *slot), used);
    }
    pd_slab_release(slab, *slot);
    *slot = larger;
    return PD_OK;
}

/* --- Open, close, look ------------------------------------------------------------------------ */

static bool is_power_of_two(size_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

static bool config_is_sound(const struct pd_slab_config *config, size_t page_size)
{
    return is_power_of_two(config->slot_size_min) && is_power_of_two(config->slot_size_max) &&
           config->slot_size_min >= page_size && config->slot_size_min <= config->slot_size_max &&
           config->slot_size_max >> (PD_SLAB_CLASSES_MAX - 1) <= config->slot_size_min &&
           config->slots_max >= 1 && config->slots_max <= PD_SLAB_SLOTS_MAX &&
           config->shards >= 1 && config->shards <= PD_SLAB_SHARDS_MAX &&
           config->bytes_max <= INT64_MAX;
}

static void stack_init(struct pd_slab *slab)
{
    size_t page_size = slab->pages.page_size;
    /* A guard must not eat a noticeable part of the stack where pages are large. */
    if (slab->pages.has_guards && page_size <= slab->config.slot_size_min / 16) {
        slab->guard_size = page_size;
    }
    size_t keep = page_size > STACK_KEEP_BYTES ? page_size : STACK_KEEP_BYTES;
    if (keep + 2 * page_size <= slab->config.slot_size_min - slab->guard_size) {
        slab->stack_keep_size = keep;
    }
}

static enum pd_status shards_init(struct pd_slab *slab)
{
    const size_t alignment = _Alignof(struct shard);
    slab->shards_block = pd_alloc_zeroed(slab->config.shards + 1, sizeof(struct shard));
    if (slab->shards_block == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    uint8_t *block = slab->shards_block;
    size_t skip = (alignment - (uintptr_t)block % alignment) % alignment;
    slab->shards = (struct shard *)(void *)(block + skip);
    for (uint32_t i = 0; i < slab->config.shards; i++) {
        for (uint32_t k = 0; k < PD_SLAB_CLASSES_MAX; k++) {
            for (uint32_t list = 0; list < LIST_COUNT; list++) {
                slab->shards[i].offers[k].heads[list] = NO_GROUP;
            }
        }
    }
    return PD_OK;
}

enum pd_status pd_slab_open(const struct pd_slab_config *config, struct pd_slab **slab_out)
{
    struct pd_slab *slab = pd_alloc_zeroed(1, sizeof *slab);
    if (slab == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    slab->config = *config;
    enum pd_status status = pd_pages_open(&slab->pages, config->finder);
    if (status != PD_OK) {
        goto free_slab;
    }
    status = PD_ERR_INVALID;
    if (!config_is_sound(config, slab->pages.page_size) ||
        (config->kind == PD_SLAB_STACK && config->slot_size_min != config->slot_size_max)) {
        goto close_pages;
    }
    status = shards_init(slab);
    if (status != PD_OK) {
        goto close_pages;
    }
    slab->hot_max = config->hot_slots_max / config->shards;
    slab->hot_soft = slab->hot_max - slab->hot_max / 4;
    if (config->kind == PD_SLAB_STACK) {
        stack_init(slab);
    }
    for (size_t size = config->slot_size_min; size != 0 && size <= config->slot_size_max;
         size *= 2) {
        pd_slab_tier_init(slab, &slab->classes[slab->class_count++], size);
    }
    *slab_out = slab;
    return PD_OK;
close_pages:
    pd_pages_close(&slab->pages);
free_slab:
    pd_free(slab);
    return status;
}

void pd_slab_close(struct pd_slab *slab)
{
    if (slab == NULL) {
        return;
    }
    pd_assert(pd_slab_stats(slab).slots_live == 0);
    for (uint32_t k = 0; k < slab->class_count; k++) {
        pd_slab_tier_deinit(&slab->classes[k]);
    }
    pd_pages_close(&slab->pages);
    pd_free(slab->shards_block);
    pd_free(slab);
}
