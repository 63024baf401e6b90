/* overlay - the rows that were written and that the store does not show yet, in order of writing
 * and in order of key. Pure; private to kv.
 *
 * Model      A ring of entries, each {row key, value or deletion}. Positions only grow; the
 *            oldest are released first. A skip list through the entries orders the indexed ones
 *            by key; a later entry of the same key takes the earlier one's place in it.
 * Bounds     The ring's bytes, taken at init.
 * Ownership  Spans point into the ring, until the entry is released or taken back. */
#ifndef PD_KV_OVERLAY_H
#define PD_KV_OVERLAY_H

#include <stdbool.h>

#include "base/random.h"
#include "base/span.h"
#include "base/status.h"

#define PD_KV_OVERLAY_LEVELS 14u

enum pd_kv_entry_kind {
    PD_KV_ENTRY_PUT = 0,
    PD_KV_ENTRY_DELETE = 1,
    PD_KV_ENTRY_PAD = 2 /* the unused end of the ring */
};

struct pd_kv_entry {
    uint64_t before;   /* the entry written before; 0: none */
    uint64_t replaced; /* the entry whose place this one took; 0: none */
    uint32_t size;     /* all of it, in the ring */
    uint32_t key_size;
    uint32_t value_size;
    uint8_t kind;
    uint8_t height;    /* links that follow */
    uint8_t indexed;   /* it is in the skip list now */
    uint8_t is_joined; /* the owner's: goes to the store in one batch with what follows it */
    uint64_t next[];   /* then key, then value */
};

struct pd_kv_overlay {
    uint8_t *ring;
    uint64_t ring_size;
    uint64_t tail;      /* oldest entry */
    uint64_t head;      /* where the next one goes */
    uint64_t last;      /* newest entry; 0: none */
    uint64_t forgotten; /* the tail when pages were given back last */
    uint64_t links[PD_KV_OVERLAY_LEVELS];
    struct pd_random random; /* of heights; its seed is fixed */
};

PD_NODISCARD enum pd_status pd_kv_overlay_init(struct pd_kv_overlay *overlay, uint64_t size);
void pd_kv_overlay_deinit(struct pd_kv_overlay *overlay);
void pd_kv_overlay_clear(struct pd_kv_overlay *overlay);

/* Bytes that surely can be appended as one entry are what is left less twice the entry: the
 * ring's end may be lost. */
uint64_t pd_kv_overlay_room_left(const struct pd_kv_overlay *overlay);
uint64_t pd_kv_overlay_entry_size(size_t key_size, size_t value_size);

/* Append; the value is `head` then `body`. The position, or 0 when there is no room. */
uint64_t pd_kv_overlay_append(struct pd_kv_overlay *overlay, enum pd_kv_entry_kind kind,
                              struct pd_span key, struct pd_span head, struct pd_span body,
                              bool is_indexed);
struct pd_kv_entry *pd_kv_overlay_at(const struct pd_kv_overlay *overlay, uint64_t position);
struct pd_span pd_kv_entry_key(const struct pd_kv_entry *entry);
struct pd_span pd_kv_entry_value(const struct pd_kv_entry *entry);

/* The first indexed entry with a key >= `key`, and the next one in key order; 0: none. */
uint64_t pd_kv_overlay_seek(const struct pd_kv_overlay *overlay, struct pd_span key);
uint64_t pd_kv_overlay_next(const struct pd_kv_overlay *overlay, uint64_t position);
/* The entry that a position leads to which was the head once: the ring's end may lie between. */
uint64_t pd_kv_overlay_from(const struct pd_kv_overlay *overlay, uint64_t position);
/* The entry written after the one at `position` (pads included), or head. */
uint64_t pd_kv_overlay_after(const struct pd_kv_overlay *overlay, uint64_t position);

/* Release all before `position`. */
void pd_kv_overlay_release(struct pd_kv_overlay *overlay, uint64_t position);
/* Take back all from `position` on. */
void pd_kv_overlay_take_back(struct pd_kv_overlay *overlay, uint64_t position);
void pd_kv_overlay_check(const struct pd_kv_overlay *overlay);

#endif
