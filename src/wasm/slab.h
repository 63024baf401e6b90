/* slab - slots of memory for a million guests in a few mappings: linear memories, or fiber stacks.
 *
 * Model      A slot has a power of two as size; the slots of one size are a *class*, carved from
 *            few huge reservations that are never returned before close. A slot is live (acquired),
 *            or free and
 *                dirty   the last owner's bytes are in it: it is cleaned before it is handed out
 *                        again;
 *                hot     clean, some pages resident;
 *                cold    clean, no pages resident.
 *            Eight neighbouring slots are a group. Dirty slots wait, so that one system call cleans
 *            several.
 * Zero       PD_SLAB_MEMORY: an acquired slot reads as zero over its whole size. PD_SLAB_STACK: it
 *            holds anything; a guard page (where the kernel has them) lies at its low end, outside
 *            of base and size.
 * Bounds     config. The free slots of a class keep at most hot_slots_max x 64 KiB resident
 *            (stacks: 24 KiB each, and what a deep run left unnoticed), and dirty ones
 *            dirty_bytes_max (but at least 8 slots a shard).
 * Ownership  A slot belongs to its acquirer until release; nobody else holds a pointer into it.
 * Threads    All functions but open and close may run on any thread. A thread prefers its shard's
 *            slots; a slot returns to the shard that carved it. Short locks, never two at once,
 *            none across a system call but the reservation's. Nothing is kept per thread, so
 *            nothing is left behind when one ends.
 * Order      Which slot is handed out depends on what ran before: guests never see addresses. */
#ifndef PD_WASM_SLAB_H
#define PD_WASM_SLAB_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "wasm/slab_pages.h"

#define PD_SLAB_CLASSES_MAX 24
#define PD_SLAB_SHARDS_MAX 64
#define PD_SLAB_SLOTS_MAX (1u << 26)

enum pd_slab_kind {
    PD_SLAB_MEMORY = 0,
    PD_SLAB_STACK = 1
};

struct pd_slab_config {
    enum pd_slab_kind kind;
    size_t slot_size_min;     /* bytes; power of two, whole pages */
    size_t slot_size_max;     /* bytes; power of two, >= slot_size_min; a stack: equal */
    uint64_t bytes_max;       /* address space of all classes: costs nothing, be generous */
    uint32_t slots_max;       /* of each class, live and free */
    uint32_t hot_slots_max;   /* of each class: free slots that may keep pages */
    uint64_t dirty_bytes_max; /* of each class: free slots waiting to be cleaned; 0: none waits */
    uint32_t shards;          /* the number of threads that acquire; 1..PD_SLAB_SHARDS_MAX */
    enum pd_pages_finder finder; /* PD_PAGES_AUTO, or one for tests */
};

struct pd_slab;

/* A live slot's name. */
struct pd_slab_slot {
    uint32_t index;
    uint32_t size_class;
};

struct pd_slab_stats {
    uint64_t slots_live;
    uint64_t slots_hot;    /* free, may be resident: hot and dirty */
    uint64_t slots_dirty;  /* of those, not cleaned yet */
    uint64_t slots_carved; /* live and free */
    uint64_t mapped_bytes; /* reserved address space */
    uint32_t mappings_count;
    enum pd_pages_finder finder; /* what AUTO chose */
};

/* PD_OK               *slab_out is the caller's until pd_slab_close.
 * PD_ERR_INVALID      the configuration contradicts itself.
 * PD_ERR_UNSUPPORTED  config.finder does not work on this system.
 * PD_ERR_NO_MEMORY    no memory for the tables. */
PD_NODISCARD enum pd_status pd_slab_open(const struct pd_slab_config *config,
                                         struct pd_slab **slab_out);

/* Every slot has been released. NULL is allowed. */
void pd_slab_close(struct pd_slab *slab);

/* Take a slot of at least `size` bytes; size 0 takes the smallest.
 *
 * PD_OK             *slot_out is the caller's until pd_slab_release.
 * PD_ERR_RANGE      larger than slot_size_max: can never succeed.
 * PD_ERR_FULL       slots_max or bytes_max is reached: answer "full", retry after releases.
 * PD_ERR_NO_MEMORY  the system refused address space. */
PD_NODISCARD enum pd_status pd_slab_acquire(struct pd_slab *slab, size_t size,
                                            struct pd_slab_slot *slot_out);
void pd_slab_release(struct pd_slab *slab, struct pd_slab_slot slot);

/* Exchange *slot for one of at least `size` bytes that begins with the same `used` bytes and is
 * zero behind them. Costs one copy of the pages that hold something (0.6 ns a byte, so that
 * doubling growth stays linear). On error, as in acquire, *slot and its bytes stay. PD_SLAB_MEMORY
 * only. */
PD_NODISCARD enum pd_status pd_slab_grow(struct pd_slab *slab, struct pd_slab_slot *slot,
                                         size_t used, size_t size);

/* The lowest address and the usable size of a live slot. Both are whole pages. */
uint8_t *pd_slab_base(const struct pd_slab *slab, struct pd_slab_slot slot);
size_t pd_slab_size(const struct pd_slab *slab, struct pd_slab_slot slot);

/* config.slot_size_max: what Wasmtime is told to ask for as a stack, although a guard takes a page
 * of it. */
size_t pd_slab_slot_size_max(const struct pd_slab *slab);

/* A sum over the shards: exact when nobody else is at work, else a close guess. */
struct pd_slab_stats pd_slab_stats(struct pd_slab *slab);

/* Verify all invariants. Nobody else may be at work. */
void pd_slab_check(struct pd_slab *slab);

#endif
