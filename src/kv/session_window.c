#include "kv/session_window.h"

#include <stddef.h>

#include "base/alloc.h"

enum pd_kv_sequence_meaning pd_kv_window_meaning(const struct pd_kv_stored *stored, uint32_t window,
                                                 uint64_t low, uint64_t sequence)
{
    if (sequence < low) {
        return PD_KV_SEQUENCE_STALE;
    }
    /* Written so, because low + window may pass the type's end. */
    if (sequence - low >= window) {
        return PD_KV_SEQUENCE_AHEAD;
    }
    return stored[sequence % window].sequence == sequence ? PD_KV_SEQUENCE_REPEAT
                                                          : PD_KV_SEQUENCE_NEW;
}

/*@ requires \valid(slot);
    assigns *slot;
    ensures slot->sequence == sequence && slot->bytes == bytes && slot->size == size; */
static void fill(struct pd_kv_stored *slot, uint64_t sequence, uint8_t *bytes, uint32_t size)
{
    slot->sequence = sequence;
    slot->bytes = bytes;
    slot->size = size;
}

uint32_t pd_kv_window_keep(struct pd_kv_stored *stored, uint32_t window, uint64_t sequence,
                           uint8_t *bytes, uint32_t size)
{
    uint32_t at = (uint32_t)(sequence % window);
    uint32_t replaced = stored[at].size;
    pd_free(stored[at].bytes);
    fill(&stored[at], sequence, bytes, size);
    return replaced;
}

/*@ requires \valid(slot);
    assigns *slot;
    ensures passed: is_passed{Pre}(slot, low) ==> slot_is_empty{Post}(slot);
    ensures other: !is_passed{Pre}(slot, low) ==> slot_same{Pre,Post}(slot);
    ensures bytes: \result == (0 < \old(slot->sequence) < low ? \old(slot->size) : 0); */
static uint32_t forget_if_below(struct pd_kv_stored *slot, uint64_t low)
{
    if (slot->sequence == 0 || slot->sequence >= low) {
        return 0;
    }
    uint32_t size = slot->size;
    pd_free(slot->bytes);
    fill(slot, 0, NULL, 0);
    return size;
}

uint64_t pd_kv_window_forget_below(struct pd_kv_stored *stored, uint32_t window, uint64_t low)
{
    uint64_t bytes = 0;
    /*@ loop invariant 0 <= i <= window;
        loop invariant bytes == passed_bytes{Pre}(stored, i, low);
        loop invariant bytes <= i * UINT32_MAX;
        loop invariant swept: \forall integer j; 0 <= j < i && is_passed{Pre}(stored + j, low) ==>
          slot_is_empty{Here}(stored + j);
        loop invariant spared: \forall integer j; 0 <= j < i && !is_passed{Pre}(stored + j, low) ==>
          slot_same{Pre,Here}(stored + j);
        loop invariant rest: \forall integer j; i <= j < window ==> slot_same{Pre,Here}(stored + j);
        loop assigns i, bytes, stored[0 .. window - 1];
        loop variant window - i; */
    for (uint32_t i = 0; i < window; i++) {
        bytes += forget_if_below(&stored[i], low);
    }
    return bytes;
}
