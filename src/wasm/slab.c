#include "wasm/slab.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/spin.h"

/* How the pieces hang together:
 *
 *   class    reservations (doubling in size) -> groups of eight slots, numbered through
 *   shard    a lock, and for each class lists of the groups that it carved, by what they offer:
 *
 *            READY  hot slots                handed out first
 *            MANY   at least half is dirty   cleaned next: one call for several slots
 *            COLD   cold slots               handed out third: pages must be faulted in
 *            FEW    something dirty          cleaned when much is dirty, or nothing else is left
 *            none   all slots live, or busy
 *
 *   slot     acquire:  hot -> live     clean: dirty -> busy -> hot     (busy: a thread works on it unlocked)
 *            cold -> live              purge: dirty or hot -> busy -> cold
 *            release:  live -> dirty (memory) or hot (stack)
 *
 * The slots of a group are bits of one byte for each state, so that any group fits into 16 bytes. */

#define GROUP_SLOTS_SHIFT 3u
/* Larger slots stand alone and are cleaned at once: too much would stay resident otherwise. */
#define GROUPED_SIZE_MAX ((size_t)2 << 20)
#define FIRST_CHUNK_BYTES ((size_t)4 << 20)
#define CHUNKS_MAX 32u
/* Carved at once: one cache line of groups, so that shards do not share lines. */
#define CARVE_GROUPS 4u
#define NO_GROUP UINT32_MAX

/* Stacks: what stays resident, and how far below a trace of a deeper run is looked for. */
#define STACK_KEEP_BYTES 16384u
#define STACK_WATCH_STEP 256u

enum list_id {
    LIST_READY = 0,
    LIST_MANY = 1,
    LIST_FEW = 2,
    LIST_COLD = 3,
    LIST_COUNT = 4
};
#define LIST_NONE LIST_COUNT

struct group {
    uint32_t previous;
    uint32_t next;
    uint8_t live;
    uint8_t dirty;
    uint8_t hot;
    uint8_t cold;
    uint8_t busy;
    uint8_t list;
    uint8_t shard; /* never changes once carved */
    uint8_t unused;
};
_Static_assert(sizeof(struct group) == 16, "four groups fill a cache line");

struct class {
    size_t slot_size;
    uint32_t slots_shift;  /* slots in a group, as a power of two */
    uint32_t dirty_max;    /* slots that may wait for cleaning, of one shard; 0: none waits */
    uint32_t chunk_groups; /* in the first chunk; chunk i has that << i, the last one maybe less */
    struct group *groups;  /* reserved at first use */
    size_t groups_size;    /* bytes */
    uint8_t *chunks[CHUNKS_MAX];
    size_t chunk_sizes[CHUNKS_MAX];
    pthread_mutex_t lock; /* of what follows; held across the reservation of a chunk */
    uint32_t slots_max;   /* as configured, less when the address space budget ends before */
    uint32_t chunk_count;
    uint32_t groups_mapped;
    uint32_t groups_carved;
};

struct offers {
    uint32_t heads[LIST_COUNT];
    uint32_t live_count;
    uint32_t hot_count; /* dirty, hot */
    uint32_t dirty_count;
};

struct shard {
    _Alignas(64) struct pd_spin lock;
    struct offers offers[PD_SLAB_CLASSES_MAX];
};

struct pd_slab {
    struct pd_slab_config config;
    struct pd_pages pages;
    uint32_t class_count;
    uint32_t hot_max;  /* of one shard and class */
    uint32_t hot_soft; /* from here on, groups without live slots are purged */
    size_t guard_size;
    size_t stack_keep_size; /* 0: stacks are too small to be trimmed */
    atomic_uint_least64_t mapped_bytes;
    atomic_uint_least32_t mappings_count;
    struct class classes[PD_SLAB_CLASSES_MAX];
    struct shard *shards;
    void *shards_block; /* as it was allocated: shards is aligned */
};

static uint32_t own_shard(const struct pd_slab *slab)
{
    static atomic_uint_least32_t threads_seen;
    static _Thread_local uint32_t number;
    if (number == 0) {
        number = 1 + (atomic_fetch_add_explicit(&threads_seen, 1, memory_order_relaxed) & 0xffff);
    }
    return (number - 1) % slab->config.shards;
}

static uint32_t count_bits(uint8_t bits)
{
    return (uint32_t)__builtin_popcount(bits);
}

/* --- Addresses ---------------------------------------------------------------------------------- */

static uint8_t *group_base(const struct class *class, uint32_t group)
{
    uint32_t chunk = 31u - (uint32_t)__builtin_clz(group / class->chunk_groups + 1);
    uint32_t first = class->chunk_groups * ((1u << chunk) - 1);
    pd_assert(chunk < CHUNKS_MAX && class->chunks[chunk] != NULL);
    return class->chunks[chunk] + ((size_t)(group - first) << class->slots_shift) * class->slot_size;
}

static uint8_t *slot_start(const struct class *class, uint32_t index)
{
    uint32_t group = index >> class->slots_shift;
    return group_base(class, group) +
           (index - (group << class->slots_shift)) * class->slot_size;
}

uint8_t *pd_slab_base(const struct pd_slab *slab, struct pd_slab_slot slot)
{
    pd_assert(slot.size_class < slab->class_count);
    return slot_start(&slab->classes[slot.size_class], slot.index) + slab->guard_size;
}

size_t pd_slab_size(const struct pd_slab *slab, struct pd_slab_slot slot)
{
    pd_assert(slot.size_class < slab->class_count);
    return slab->classes[slot.size_class].slot_size - slab->guard_size;
}

/* --- Lists of one shard and class; its lock is held ---------------------------------------------- */

static void list_remove(struct class *class, struct offers *offers, uint32_t index)
{
    struct group *group = &class->groups[index];
    if (group->list == LIST_NONE) {
        return;
    }
    if (group->previous != NO_GROUP) {
        class->groups[group->previous].next = group->next;
    } else {
        offers->heads[group->list] = group->next;
    }
    if (group->next != NO_GROUP) {
        class->groups[group->next].previous = group->previous;
    }
    group->list = LIST_NONE;
}

static void list_push(struct class *class, struct offers *offers, uint32_t index, enum list_id list)
{
    struct group *group = &class->groups[index];
    uint32_t head = offers->heads[list];
    group->previous = NO_GROUP;
    group->next = head;
    group->list = (uint8_t)list;
    if (head != NO_GROUP) {
        class->groups[head].previous = index;
    }
    offers->heads[list] = index;
}

static enum list_id list_wanted(const struct class *class, const struct group *group)
{
    if (group->hot != 0) {
        return LIST_READY;
    }
    if (group->cold != 0) {
        return LIST_COLD;
    }
    if (group->dirty != 0) {
        return count_bits(group->dirty) * 2 >= 1u << class->slots_shift ? LIST_MANY : LIST_FEW;
    }
    return LIST_NONE;
}

/* Put the group into the list that its slots call for. */
static void relist(struct class *class, struct offers *offers, uint32_t index)
{
    struct group *group = &class->groups[index];
    enum list_id wanted = list_wanted(class, group);
    if (wanted != (enum list_id)group->list) {
        list_remove(class, offers, index);
        if (wanted != LIST_NONE) {
            list_push(class, offers, index, wanted);
        }
    }
}

/* The group becomes the next to be handed out: its pages are the warmest. */
static void move_to_front(struct class *class, struct offers *offers, uint32_t index)
{
    enum list_id list = (enum list_id)class->groups[index].list;
    if (list != LIST_NONE && offers->heads[list] != index) {
        list_remove(class, offers, index);
        list_push(class, offers, index, list);
    }
}

/* --- Carving ------------------------------------------------------------------------------------ */

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
static uint64_t chunk_slots(const struct pd_slab *slab, const struct class *class)
{
    uint64_t first = (uint64_t)class->groups_mapped << class->slots_shift;
    if (first >= class->slots_max || class->chunk_count == CHUNKS_MAX) {
        return 0;
    }
    uint64_t count = (uint64_t)class->chunk_groups << class->chunk_count << class->slots_shift;
    if (count > class->slots_max - first) {
        count = class->slots_max - first;
    }
    uint64_t mapped = atomic_load_explicit(&slab->mapped_bytes, memory_order_relaxed);
    uint64_t affordable = (slab->config.bytes_max - mapped) / class->slot_size;
    return count < affordable ? count : affordable;
}

/* Reserve the class's next chunk. The class's lock is held. On error nothing changes. */
static enum pd_status map_chunk(struct pd_slab *slab, struct class *class)
{
    if (class->groups == NULL) {
        class->groups = (struct group *)(void *)reserve(slab, class->groups_size);
        if (class->groups == NULL) {
            return PD_ERR_NO_MEMORY;
        }
    }
    uint64_t slots = chunk_slots(slab, class);
    uint64_t size = slots * class->slot_size;
    if (slots == 0 || !budget_take(slab, size)) {
        return PD_ERR_FULL;
    }
    uint8_t *base = reserve(slab, size);
    if (base == NULL) {
        atomic_fetch_sub_explicit(&slab->mapped_bytes, size, memory_order_relaxed);
        return PD_ERR_NO_MEMORY;
    }
    uint64_t full = (uint64_t)class->chunk_groups << class->chunk_count << class->slots_shift;
    if (slots < full) {
        /* A shorter chunk breaks the doubling by which groups are found, so it must be the last. */
        class->slots_max = (uint32_t)(((uint64_t)class->groups_mapped << class->slots_shift) + slots);
    }
    class->chunks[class->chunk_count] = base;
    class->chunk_sizes[class->chunk_count] = size;
    class->chunk_count++;
    uint64_t group_slots = UINT64_C(1) << class->slots_shift;
    class->groups_mapped += (uint32_t)((slots + group_slots - 1) >> class->slots_shift);
    return PD_OK;
}

/* The slots that a group has: the last one may have fewer. */
static uint8_t group_mask(const struct class *class, uint32_t index, uint32_t slots_max)
{
    uint32_t first = index << class->slots_shift;
    uint32_t count = 1u << class->slots_shift;
    if (count > slots_max - first) {
        count = slots_max - first;
    }
    return (uint8_t)((1u << count) - 1);
}

static void guard_stacks(struct pd_slab *slab, struct class *class, uint32_t index, uint8_t mask)
{
    uint32_t first = index << class->slots_shift;
    for (uint32_t i = 0; i < count_bits(mask); i++) {
        /* Without memory for the guard the stack is as safe as on kernels that have none. */
        (void)pd_pages_guard(&slab->pages, slot_start(class, first + i));
    }
}

/* Make new groups, cold, and give them to a shard. */
static enum pd_status carve(struct pd_slab *slab, uint32_t size_class, uint32_t shard)
{
    struct class *class = &slab->classes[size_class];
    enum pd_status status = PD_OK;
    pthread_mutex_lock(&class->lock);
    if (class->groups_carved == class->groups_mapped) {
        status = map_chunk(slab, class);
    }
    uint32_t first = class->groups_carved;
    uint32_t count = class->groups_mapped - first;
    if (count > CARVE_GROUPS) {
        count = CARVE_GROUPS;
    }
    class->groups_carved += count;
    uint32_t slots_max = class->slots_max;
    pthread_mutex_unlock(&class->lock);

    struct offers *offers = &slab->shards[shard].offers[size_class];
    /* Backwards, so that the lowest is handed out first. */
    for (uint32_t i = first + count; i > first; i--) {
        uint8_t mask = group_mask(class, i - 1, slots_max);
        if (slab->guard_size != 0) {
            guard_stacks(slab, class, i - 1, mask);
        }
        pd_spin_lock(&slab->shards[shard].lock);
        class->groups[i - 1] =
            (struct group){.list = LIST_NONE, .shard = (uint8_t)shard, .cold = mask};
        relist(class, offers, i - 1);
        pd_spin_unlock(&slab->shards[shard].lock);
    }
    return status;
}

/* --- Cleaning and purging, outside of the lock ---------------------------------------------------- */

/* Slots of one group that this thread took out of circulation. */
struct work {
    uint32_t group;
    uint8_t clean; /* dirty -> hot */
    uint8_t purge; /* dirty or hot -> cold */
};

/* Mark dirty slots as busy. The lock is held. */
static struct work work_clean(struct class *class, struct offers *offers, uint32_t index)
{
    struct group *group = &class->groups[index];
    struct work work = {.group = index, .clean = group->dirty};
    group->busy |= group->dirty;
    group->dirty = 0;
    offers->dirty_count -= count_bits(work.clean);
    relist(class, offers, index);
    return work;
}

static struct work work_purge(struct class *class, struct offers *offers, uint32_t index)
{
    struct group *group = &class->groups[index];
    struct work work = {.group = index, .purge = (uint8_t)(group->dirty | group->hot)};
    offers->dirty_count -= count_bits(group->dirty);
    offers->hot_count -= count_bits(work.purge);
    group->busy |= work.purge;
    group->dirty = 0;
    group->hot = 0;
    relist(class, offers, index);
    return work;
}

/* The work itself; nobody else sees these slots. */
static void work_run(const struct pd_slab *slab, const struct class *class, struct work work)
{
    if (work.clean != 0) {
        pd_pages_clean(&slab->pages, group_base(class, work.group), class->slot_size, work.clean);
    }
    if (work.purge != 0) {
        pd_pages_discard_slots(group_base(class, work.group), class->slot_size, work.purge);
    }
}

/* Back into circulation. The lock is held. */
static void work_end(struct class *class, struct offers *offers, struct work work)
{
    struct group *group = &class->groups[work.group];
    uint8_t slots = work.clean | work.purge;
    pd_assert((group->busy & slots) == slots);
    group->busy = (uint8_t)(group->busy & ~slots);
    group->hot |= work.clean;
    group->cold |= work.purge;
    relist(class, offers, work.group);
}

/* --- Acquire ------------------------------------------------------------------------------------ */

/* Take a slot from the head of a list of clean slots. The lock is held. */
static uint32_t take(struct class *class, struct offers *offers, enum list_id list)
{
    uint32_t index = offers->heads[list];
    struct group *group = &class->groups[index];
    uint8_t *offered = list == LIST_READY ? &group->hot : &group->cold;
    pd_assert(*offered != 0);
    uint32_t bit = (uint32_t)__builtin_ctz(*offered);
    *offered = (uint8_t)(*offered & ~(1u << bit));
    group->live |= (uint8_t)(1u << bit);
    offers->live_count++;
    offers->hot_count -= list == LIST_READY ? 1 : 0;
    relist(class, offers, index);
    return (index << class->slots_shift) + bit;
}

/* Clean the dirty slots of the group at the head of `list` and take one. The lock is held, and let go
 * meanwhile. */
static uint32_t clean_and_take(struct pd_slab *slab, struct class *class, struct shard *shard,
                               struct offers *offers, enum list_id list)
{
    struct work work = work_clean(class, offers, offers->heads[list]);
    pd_spin_unlock(&shard->lock);
    work_run(slab, class, work);
    pd_spin_lock(&shard->lock);
    work_end(class, offers, work);
    /* This group now leads READY, and has at least one hot slot. */
    return take(class, offers, LIST_READY);
}

/* Take a slot of one shard: `thorough` also where that means to clean for a single slot. */
static bool acquire_from(struct pd_slab *slab, uint32_t size_class, uint32_t shard_index,
                         bool thorough, uint32_t *index_out)
{
    struct class *class = &slab->classes[size_class];
    struct shard *shard = &slab->shards[shard_index];
    struct offers *offers = &shard->offers[size_class];
    const uint32_t *heads = offers->heads;
    bool found = true;
    pd_spin_lock(&shard->lock);
    if (heads[LIST_READY] != NO_GROUP) {
        *index_out = take(class, offers, LIST_READY);
    } else if (heads[LIST_MANY] != NO_GROUP) {
        *index_out = clean_and_take(slab, class, shard, offers, LIST_MANY);
    } else if (heads[LIST_FEW] != NO_GROUP &&
               (thorough || offers->dirty_count >= class->dirty_max / 2)) {
        *index_out = clean_and_take(slab, class, shard, offers, LIST_FEW);
    } else if (heads[LIST_COLD] != NO_GROUP) {
        *index_out = take(class, offers, LIST_COLD);
    } else {
        found = false;
    }
    pd_spin_unlock(&shard->lock);
    return found;
}

static uint32_t class_of(const struct pd_slab *slab, size_t size)
{
    uint32_t class = 0;
    while (class < slab->class_count &&
           size > slab->classes[class].slot_size - slab->guard_size) {
        class++;
    }
    return class;
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
    /* Another thread of this shard may take what was carved: then carve again, until there is no more. */
    while (status == PD_OK) {
        if (acquire_from(slab, size_class, own, false, &slot_out->index)) {
            return PD_OK;
        }
        status = carve(slab, size_class, own);
    }
    for (uint32_t i = 0; i < slab->config.shards; i++) {
        uint32_t shard = (own + i) % slab->config.shards;
        if (acquire_from(slab, size_class, shard, true, &slot_out->index)) {
            return PD_OK;
        }
    }
    return status;
}

/* --- Release ------------------------------------------------------------------------------------ */

/* A run that went deeper than usual leaves words in the page below those that stay. Reading them is free: a
 * page that was not touched is the kernel's zero page. What no word shows is bounded by hot_slots_max. */
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
static struct work work_after_release(const struct pd_slab *slab, struct class *class,
                                      struct offers *offers, uint32_t index)
{
    const struct group *group = &class->groups[index];
    bool has_live = (group->live | group->busy) != 0;
    if (offers->hot_count > slab->hot_max || (offers->hot_count > slab->hot_soft && !has_live)) {
        return work_purge(class, offers, index);
    }
    if (group->dirty != 0 && offers->dirty_count > class->dirty_max) {
        return work_clean(class, offers, index);
    }
    return (struct work){.group = index};
}

void pd_slab_release(struct pd_slab *slab, struct pd_slab_slot slot)
{
    pd_assert(slot.size_class < slab->class_count);
    struct class *class = &slab->classes[slot.size_class];
    uint32_t index = slot.index >> class->slots_shift;
    uint8_t bit = (uint8_t)(1u << (slot.index - (index << class->slots_shift)));
    struct group *group = &class->groups[index];
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
    relist(class, offers, index);
    move_to_front(class, offers, index);
    struct work work = work_after_release(slab, class, offers, index);
    pd_spin_unlock(&shard->lock);
    if ((work.clean | work.purge) != 0) {
        work_run(slab, class, work);
        pd_spin_lock(&shard->lock);
        work_end(class, offers, work);
        pd_spin_unlock(&shard->lock);
    }
}

enum pd_status pd_slab_grow(struct pd_slab *slab, struct pd_slab_slot *slot, size_t used, size_t size)
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

/* --- Open, close, look ---------------------------------------------------------------------------- */

static bool is_power_of_two(size_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

static bool config_is_sound(const struct pd_slab_config *config, size_t page_size)
{
    return is_power_of_two(config->slot_size_min) && is_power_of_two(config->slot_size_max) &&
           config->slot_size_min >= page_size && config->slot_size_min <= config->slot_size_max &&
           config->slot_size_max >> (PD_SLAB_CLASSES_MAX - 1) <= config->slot_size_min &&
           config->slots_max >= 1 && config->slots_max <= PD_SLAB_SLOTS_MAX && config->shards >= 1 &&
           config->shards <= PD_SLAB_SHARDS_MAX && config->bytes_max <= INT64_MAX;
}

static void class_init(struct pd_slab *slab, struct class *class, size_t slot_size)
{
    const struct pd_slab_config *config = &slab->config;
    uint64_t fitting = config->bytes_max / slot_size;
    class->slot_size = slot_size;
    class->slots_shift = slot_size <= GROUPED_SIZE_MAX ? GROUP_SLOTS_SHIFT : 0;
    class->slots_max = fitting < config->slots_max ? (uint32_t)fitting : config->slots_max;
    uint32_t group_slots = 1u << class->slots_shift;
    if (group_slots > 1 && config->dirty_bytes_max > 0) {
        uint64_t waiting = config->dirty_bytes_max / config->shards / slot_size;
        class->dirty_max = waiting < group_slots         ? group_slots
                           : waiting < config->slots_max ? (uint32_t)waiting
                                                         : config->slots_max;
    }
    uint64_t groups_max = (class->slots_max + group_slots - 1) >> class->slots_shift;
    size_t page_size = slab->pages.page_size;
    class->groups_size = (groups_max * sizeof(struct group) + page_size) / page_size * page_size;
    size_t chunk_groups = FIRST_CHUNK_BYTES / slot_size >> class->slots_shift;
    class->chunk_groups = chunk_groups > 1 ? (uint32_t)chunk_groups : 1;
    int result = pthread_mutex_init(&class->lock, NULL);
    pd_assert(result == 0);
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
    for (size_t size = config->slot_size_min; size != 0 && size <= config->slot_size_max; size *= 2) {
        class_init(slab, &slab->classes[slab->class_count++], size);
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
        struct class *class = &slab->classes[k];
        for (uint32_t i = 0; i < class->chunk_count; i++) {
            pd_pages_unreserve(class->chunks[i], class->chunk_sizes[i]);
        }
        if (class->groups != NULL) {
            pd_pages_unreserve((uint8_t *)class->groups, class->groups_size);
        }
        pthread_mutex_destroy(&class->lock);
    }
    pd_pages_close(&slab->pages);
    pd_free(slab->shards_block);
    pd_free(slab);
}

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
        struct class *class = &slab->classes[k];
        pthread_mutex_lock(&class->lock);
        uint64_t slots = (uint64_t)class->groups_carved << class->slots_shift;
        stats.slots_carved += slots < class->slots_max ? slots : class->slots_max;
        pthread_mutex_unlock(&class->lock);
    }
    return stats;
}

/* The links and the list of one group, whatever its slots say. */
static void check_group(const struct class *class, uint32_t index, uint32_t slots_max)
{
    const struct group *group = &class->groups[index];
    uint8_t any = group->live | group->dirty | group->hot | group->cold | group->busy;
    uint32_t sum = count_bits(group->live) + count_bits(group->dirty) + count_bits(group->hot) +
                   count_bits(group->cold) + count_bits(group->busy);
    pd_assert(group->busy == 0);
    pd_assert(any == group_mask(class, index, slots_max));
    pd_assert(sum == count_bits(any));
    pd_assert((enum list_id)group->list == list_wanted(class, group));
}

/* The lists of a shard hold what they should, and nothing twice. Returns the number of groups in them. */
static uint32_t check_lists(const struct class *class, const struct offers *offers, uint32_t shard)
{
    uint32_t count = 0;
    for (uint32_t list = 0; list < LIST_COUNT; list++) {
        uint32_t previous = NO_GROUP;
        for (uint32_t at = offers->heads[list]; at != NO_GROUP; at = class->groups[at].next) {
            pd_assert(at < class->groups_carved && count < class->groups_carved);
            pd_assert(class->groups[at].list == list);
            pd_assert(class->groups[at].shard == shard);
            pd_assert(class->groups[at].previous == previous);
            previous = at;
            count++;
        }
    }
    return count;
}

void pd_slab_check(struct pd_slab *slab)
{
    for (uint32_t k = 0; k < slab->class_count; k++) {
        const struct class *class = &slab->classes[k];
        struct offers counted[PD_SLAB_SHARDS_MAX] = {0};
        uint32_t listed = 0;
        for (uint32_t i = 0; i < class->groups_carved; i++) {
            const struct group *group = &class->groups[i];
            check_group(class, i, class->slots_max);
            struct offers *offers = &counted[group->shard];
            offers->live_count += count_bits(group->live);
            offers->dirty_count += count_bits(group->dirty);
            offers->hot_count += count_bits(group->dirty) + count_bits(group->hot);
            listed += group->list != LIST_NONE ? 1 : 0;
        }
        for (uint32_t i = 0; i < slab->config.shards; i++) {
            const struct offers *offers = &slab->shards[i].offers[k];
            listed -= check_lists(class, offers, i);
            pd_assert(offers->live_count == counted[i].live_count);
            pd_assert(offers->dirty_count == counted[i].dirty_count);
            pd_assert(offers->hot_count == counted[i].hot_count);
            pd_assert(offers->hot_count <= slab->hot_max);
        }
        pd_assert(listed == 0);
    }
}

size_t pd_slab_slot_size_max(const struct pd_slab *slab)
{
    return slab->config.slot_size_max;
}
