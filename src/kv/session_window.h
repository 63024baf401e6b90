/* session_window - what a sequence number means to a session, and the answers it keeps. Pure.
 *
 * Model      A session takes sequence numbers in [low, low + window): below, the client has said
 *            that it needs no answer any more; from there on, it has too much under way. The
 *            answer to `sequence` lies in slot sequence % window until the low mark passes it, or
 *            the number one window later takes its place; a number with an answer is a repeat.
 * Bounds     1 to PD_KV_SESSION_WINDOW_MAX slots, the caller's memory.
 * Ownership  A slot owns its answer's bytes.
 * Proof      Proven: the meaning, when and only when; what a raise forgets, and that nothing else
 *            changes. */
#ifndef PD_KV_SESSION_WINDOW_H
#define PD_KV_SESSION_WINDOW_H

#include <stdint.h>

#define PD_KV_SESSION_WINDOW_MAX 1024u

struct pd_kv_stored {
    uint64_t sequence; /* 0: none */
    uint8_t *bytes;
    uint32_t size;
};

enum pd_kv_sequence_meaning {
    PD_KV_SEQUENCE_NEW = 0, /* apply it */
    PD_KV_SEQUENCE_REPEAT,  /* its slot has the answer */
    PD_KV_SEQUENCE_STALE,   /* below the low mark */
    PD_KV_SEQUENCE_AHEAD    /* a window or more above the low mark */
};

/*@ predicate window_shape(struct pd_kv_stored *stored, integer window) =
      0 < window <= PD_KV_SESSION_WINDOW_MAX && \valid(stored + (0 .. window - 1));
    predicate window_sound{L}(struct pd_kv_stored *stored, integer window) =
      \forall integer i; 0 <= i < window && stored[i].sequence != 0 ==>
        stored[i].sequence % window == i;
    predicate is_stored{L}(struct pd_kv_stored *stored, integer window, integer sequence) =
      \exists integer i; 0 <= i < window && stored[i].sequence == sequence;
    predicate is_passed{L}(struct pd_kv_stored *slot, integer low) = 0 < slot->sequence < low;
    predicate slot_is_empty{L}(struct pd_kv_stored *slot) =
      slot->sequence == 0 && slot->bytes == \null && slot->size == 0;
    predicate slot_same{L1,L2}(struct pd_kv_stored *slot) =
      \at(slot->sequence, L1) == \at(slot->sequence, L2) &&
      \at(slot->bytes, L1) == \at(slot->bytes, L2) && \at(slot->size, L1) == \at(slot->size, L2);
    logic integer passed_bytes{L}(struct pd_kv_stored *stored, integer count, integer low) =
      count <= 0 ? 0
                 : passed_bytes(stored, count - 1, low) +
                     (0 < stored[count - 1].sequence < low ? stored[count - 1].size : 0); */

/* What `sequence` (not 0) means now. */
/*@ requires shape: window_shape(stored, window) && window_sound(stored, window);
    requires sequence != 0;
    assigns \nothing;
    ensures stale: \result == PD_KV_SEQUENCE_STALE <==> sequence < low;
    ensures ahead: \result == PD_KV_SEQUENCE_AHEAD <==> sequence >= low + window;
    ensures repeat: \result == PD_KV_SEQUENCE_REPEAT <==>
      low <= sequence < low + window && is_stored(stored, window, sequence);
    ensures new: \result == PD_KV_SEQUENCE_NEW <==>
      low <= sequence < low + window && !is_stored(stored, window, sequence); */
enum pd_kv_sequence_meaning pd_kv_window_meaning(const struct pd_kv_stored *stored, uint32_t window,
                                                 uint64_t low, uint64_t sequence);

/* Keep the answer to `sequence` (not 0), the caller's allocation until now, in place of what its
 * slot held. Returns how many bytes that was. */
/*@ requires shape: window_shape(stored, window) && window_sound(stored, window);
    requires sequence != 0;
    assigns stored[0 .. window - 1];
    ensures sound: window_sound(stored, window);
    ensures kept: stored[sequence % window].sequence == sequence &&
      stored[sequence % window].bytes == bytes && stored[sequence % window].size == size;
    ensures others: \forall integer i; 0 <= i < window && i != sequence % window ==>
      slot_same{Pre,Post}(stored + i);
    ensures replaced: \result == \old(stored[sequence % window].size); */
uint32_t pd_kv_window_keep(struct pd_kv_stored *stored, uint32_t window, uint64_t sequence,
                           uint8_t *bytes, uint32_t size);

/* Forget the answers to what lies below `low`; returns how many bytes they were. */
/*@ requires shape: window_shape(stored, window) && window_sound(stored, window);
    assigns stored[0 .. window - 1];
    ensures sound: window_sound(stored, window);
    ensures forgotten: \forall integer i; 0 <= i < window && is_passed{Pre}(stored + i, low) ==>
      slot_is_empty{Post}(stored + i);
    ensures others: \forall integer i; 0 <= i < window && !is_passed{Pre}(stored + i, low) ==>
      slot_same{Pre,Post}(stored + i);
    ensures bytes: \result == passed_bytes{Pre}(stored, window, low); */
uint64_t pd_kv_window_forget_below(struct pd_kv_stored *stored, uint32_t window, uint64_t low);

#endif
