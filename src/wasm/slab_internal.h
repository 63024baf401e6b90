/* slab_internal - what the files of the slab share: slab.c, slab_carve.c, slab_check.c. */
#ifndef PD_WASM_SLAB_INTERNAL_H
#define PD_WASM_SLAB_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/assert.h"
#include "base/spin.h"
#include "wasm/slab.h"

/* How the pieces hang together:
 *
 *   tier     one class: reservations, each twice the last -> groups of eight slots, numbered
 *            through
 *   shard    a lock, and for each class lists of the groups that it carved, by what they offer:
 *
 *            READY  hot slots                handed out first
 *            MANY   at least half is dirty   cleaned next: one call for several slots
 *            COLD   cold slots               handed out third: pages must be faulted in
 *            FEW    something dirty          cleaned when much is dirty, or nothing else is left
 *            none   all slots live, or busy
 *
 *   slot     release   live -> dirty (memory), live -> hot (stack)
 *            clean     dirty -> busy -> hot       busy: a thread works on it, without the lock
 *            purge     dirty, hot -> busy -> cold
 *            acquire   hot, cold -> live
 *
 * The slots of a group are bits of one byte for each state, so a group fits into 16 bytes. */

#define GROUP_SLOTS_SHIFT 3u
/* Larger slots stand alone and are cleaned at once: too much would stay resident otherwise. */
#define GROUPED_SIZE_MAX ((size_t)2 << 20)
#define FIRST_CHUNK_BYTES ((size_t)4 << 20)
#define CHUNKS_MAX 32u
/* Carved at once: one cache line of groups, so that shards do not share lines. */
#define CARVE_GROUPS 4u
#define NO_GROUP UINT32_MAX

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

/* A class. */
struct tier {
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
    struct tier classes[PD_SLAB_CLASSES_MAX];
    struct shard *shards;
    void *shards_block; /* as it was allocated: shards is aligned */
};

/* --- slab_carve.c: where slots come from ------------------------------------------------------ */

void pd_slab_tier_init(struct pd_slab *slab, struct tier *tier, size_t slot_size);
void pd_slab_tier_deinit(struct tier *tier);

/* New groups: numbers, and how many slots the class may have. */
struct carved {
    uint32_t first;
    uint32_t count;
    uint32_t slots_max;
};

/* Take up to CARVE_GROUPS new groups of a class. They are the caller's, and not filled in.
 * PD_OK: count >= 1. PD_ERR_FULL, PD_ERR_NO_MEMORY: none. */
PD_NODISCARD enum pd_status pd_slab_carve(struct pd_slab *slab, struct tier *tier,
                                          struct carved *carved_out);

/* --- Shared leaves ---------------------------------------------------------------------------- */

static inline uint32_t pd_slab_bits(uint8_t bits)
{
    return (uint32_t)__builtin_popcount(bits);
}

/* The slots that a group has: the last one may have fewer. */
static inline uint8_t pd_slab_group_mask(const struct tier *tier, uint32_t index,
                                         uint32_t slots_max)
{
    uint32_t first = index << tier->slots_shift;
    uint32_t count = 1u << tier->slots_shift;
    if (count > slots_max - first) {
        count = slots_max - first;
    }
    return (uint8_t)((1u << count) - 1);
}

static inline uint8_t *pd_slab_group_base(const struct tier *tier, uint32_t group)
{
    uint32_t chunk = 31u - (uint32_t)__builtin_clz(group / tier->chunk_groups + 1);
    uint32_t first = tier->chunk_groups * ((1u << chunk) - 1);
    pd_assert(chunk < CHUNKS_MAX && tier->chunks[chunk] != NULL);
    return tier->chunks[chunk] + ((size_t)(group - first) << tier->slots_shift) * tier->slot_size;
}

static inline uint8_t *pd_slab_slot_start(const struct tier *tier, uint32_t index)
{
    uint32_t group = index >> tier->slots_shift;
    return pd_slab_group_base(tier, group) +
           (index - (group << tier->slots_shift)) * tier->slot_size;
}

/* The list that a group's slots call for. */
static inline enum list_id pd_slab_list_wanted(const struct tier *tier, const struct group *group)
{
    if (group->hot != 0) {
        return LIST_READY;
    }
    if (group->cold != 0) {
        return LIST_COLD;
    }
    if (group->dirty != 0) {
        return pd_slab_bits(group->dirty) * 2 >= 1u << tier->slots_shift ? LIST_MANY : LIST_FEW;
    }
    return LIST_NONE;
}

#endif
