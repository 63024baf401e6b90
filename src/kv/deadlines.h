/* deadlines - which of a table's items ends next: a heap of item numbers. Pure.
 *
 * Model      An item is a number below items_max; it is in the heap from the first set until its
 *            removal, under a key (deadline, id). Keys are ordered by deadline, then id, then
 *            item, so that all replicas expire in the same order. The first is at hand; setting
 *            and removing cost a logarithm.
 * Bounds     items_max items, PD_KV_DEADLINES_MAX at most, in the caller's three arrays.
 * Ownership  The caller keeps the arrays alive as long as the heap.
 * Proof      Proven: order and places hold after every call, first is the least of all that are in,
 *            and no call touches another item's key or membership. */
#ifndef PD_KV_DEADLINES_H
#define PD_KV_DEADLINES_H

#include <stdint.h>

#define PD_KV_DEADLINES_MAX 16777216u
#define PD_KV_DEADLINE_OUT (-1)

struct pd_kv_deadline {
    uint64_t deadline_ns;
    uint64_t id;
};

struct pd_kv_deadlines {
    struct pd_kv_deadline *keys; /* by item */
    uint32_t *heap;              /* items: none is before the one at half its place */
    int32_t *places;             /* by item: where in the heap, or PD_KV_DEADLINE_OUT */
    uint64_t count;
    uint64_t items_max;
};

/*@ predicate is_before{L}(struct pd_kv_deadline *keys, integer a, integer b) =
      keys[a].deadline_ns < keys[b].deadline_ns ||
      (keys[a].deadline_ns == keys[b].deadline_ns &&
       (keys[a].id < keys[b].id || (keys[a].id == keys[b].id && a < b)));
    logic integer above(integer place) = (place - 1) / 2;
    predicate arrays_shape(struct pd_kv_deadline *keys, uint32_t *heap, int32_t *places,
                           integer max) =
      0 < max <= PD_KV_DEADLINES_MAX && \valid(keys + (0 .. max - 1)) &&
      \valid(heap + (0 .. max - 1)) && \valid(places + (0 .. max - 1)) &&
      \separated(keys + (0 .. max - 1), heap + (0 .. max - 1), places + (0 .. max - 1));
    predicate heap_placed{L}(uint32_t *heap, int32_t *places, integer count, integer max) =
      (\forall integer p; 0 <= p < count ==> heap[p] < max && places[heap[p]] == p) &&
      (\forall integer i; 0 <= i < max && places[i] != PD_KV_DEADLINE_OUT ==>
        0 <= places[i] < count && heap[places[i]] == i);
    predicate link_ordered{L}(struct pd_kv_deadline *keys, uint32_t *heap, integer p) =
      !is_before(keys, heap[p], heap[above(p)]);
    predicate heap_ordered{L}(struct pd_kv_deadline *keys, uint32_t *heap, integer count) =
      \forall integer p; 0 < p < count ==> link_ordered(keys, heap, p);
    predicate deadlines_shape{L}(struct pd_kv_deadlines *d) =
      \valid(d) && arrays_shape(d->keys, d->heap, d->places, d->items_max) &&
      \separated(d, d->keys + (0 .. d->items_max - 1), d->heap + (0 .. d->items_max - 1),
                 d->places + (0 .. d->items_max - 1));
    predicate deadlines_ok{L}(struct pd_kv_deadlines *d) =
      deadlines_shape(d) && d->count <= d->items_max &&
      heap_placed(d->heap, d->places, d->count, d->items_max) &&
      heap_ordered(d->keys, d->heap, d->count);
    predicate is_in{L}(struct pd_kv_deadlines *d, integer item) =
      d->places[item] != PD_KV_DEADLINE_OUT;
    predicate key_same{L1,L2}(struct pd_kv_deadline *key) =
      \at(key->deadline_ns, L1) == \at(key->deadline_ns, L2) &&
      \at(key->id, L1) == \at(key->id, L2);
    predicate members_same{L1,L2}(int32_t *places, integer max) =
      \forall integer i; 0 <= i < max ==>
        (\at(places[i], L1) == PD_KV_DEADLINE_OUT <==> \at(places[i], L2) == PD_KV_DEADLINE_OUT); */

/* An empty heap over arrays of `items_max` each. */
/*@ requires \valid(deadlines) && arrays_shape(keys, heap, places, items_max);
    requires \separated(deadlines, keys + (0 .. items_max - 1), heap + (0 .. items_max - 1),
                        places + (0 .. items_max - 1));
    assigns *deadlines, places[0 .. items_max - 1];
    ensures ok: deadlines_ok(deadlines);
    ensures arrays: deadlines->keys == keys && deadlines->heap == heap &&
      deadlines->places == places && deadlines->items_max == items_max;
    ensures empty: deadlines->count == 0 &&
      \forall integer i; 0 <= i < items_max ==> !is_in(deadlines, i); */
void pd_kv_deadlines_init(struct pd_kv_deadlines *deadlines, struct pd_kv_deadline *keys,
                          uint32_t *heap, int32_t *places, uint32_t items_max);

/* Put `item` in under this key, or give it this key if it is in. There is room: of items_max items
 * one that is not in leaves at most the others. */
/*@ requires ok: deadlines_ok(deadlines) && item < deadlines->items_max;
    requires room: is_in(deadlines, item) || deadlines->count < deadlines->items_max;
    assigns deadlines->count, deadlines->keys[item], deadlines->heap[0 .. deadlines->items_max - 1],
      deadlines->places[0 .. deadlines->items_max - 1];
    ensures ok: deadlines_ok(deadlines);
    ensures set: is_in(deadlines, item) && deadlines->keys[item].deadline_ns == deadline_ns &&
      deadlines->keys[item].id == id;
    ensures others: \forall integer i; 0 <= i < deadlines->items_max && i != item ==>
      (is_in{Pre}(deadlines, i) <==> is_in{Post}(deadlines, i));
    ensures count: deadlines->count ==
      \old(deadlines->count) + (\old(deadlines->places[item]) == PD_KV_DEADLINE_OUT ? 1 : 0); */
void pd_kv_deadlines_set(struct pd_kv_deadlines *deadlines, uint32_t item, uint64_t deadline_ns,
                         uint64_t id);

/* Take `item` out, if it is in. */
/*@ requires ok: deadlines_ok(deadlines) && item < deadlines->items_max;
    assigns deadlines->count, deadlines->heap[0 .. deadlines->items_max - 1],
      deadlines->places[0 .. deadlines->items_max - 1];
    ensures ok: deadlines_ok(deadlines);
    ensures out: !is_in(deadlines, item);
    ensures others: \forall integer i; 0 <= i < deadlines->items_max && i != item ==>
      (is_in{Pre}(deadlines, i) <==> is_in{Post}(deadlines, i));
    ensures count: deadlines->count ==
      \old(deadlines->count) - (\old(deadlines->places[item]) == PD_KV_DEADLINE_OUT ? 0 : 1); */
void pd_kv_deadlines_remove(struct pd_kv_deadlines *deadlines, uint32_t item);

/* The item that ends before all others; items_max when none is in. */
/*@ requires ok: deadlines_ok(deadlines);
    assigns \nothing;
    ensures none: \result == deadlines->items_max <==> deadlines->count == 0;
    ensures in: deadlines->count > 0 ==> \result < deadlines->items_max &&
      is_in(deadlines, \result);
    ensures least: \forall integer i; 0 <= i < deadlines->items_max && is_in(deadlines, i) ==>
      !is_before(deadlines->keys, i, \result); */
uint32_t pd_kv_deadlines_first(const struct pd_kv_deadlines *deadlines);

#endif
