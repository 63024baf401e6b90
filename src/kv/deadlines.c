#include "kv/deadlines.h"

#include <stdbool.h>

/*@ lemma place_above: \forall integer p; 0 < p ==> 0 <= above(p) < p;
    lemma order_is_transitive{L}:
      \forall struct pd_kv_deadline *keys, integer a, b, c;
        !is_before(keys, b, a) && !is_before(keys, c, b) ==> !is_before(keys, c, a);
    predicate keys_same{L1,L2}(struct pd_kv_deadline *keys, integer max) =
      \forall integer i; 0 <= i < max ==> key_same{L1,L2}(keys + i);
    predicate heap_ready{L}(struct pd_kv_deadlines *d) =
      deadlines_shape(d) && d->count <= d->items_max &&
      heap_placed(d->heap, d->places, d->count, d->items_max);
    predicate ordered_but{L}(struct pd_kv_deadlines *d, integer place) =
      \forall integer p; 0 < p < d->count && p != place && above(p) != place ==>
        link_ordered(d->keys, d->heap, p);
    predicate below_ordered{L}(struct pd_kv_deadlines *d, integer place) =
      \forall integer p; 0 < p < d->count && above(p) == place ==>
        link_ordered(d->keys, d->heap, p);
    predicate below_fits_above{L}(struct pd_kv_deadlines *d, integer place) =
      place > 0 ==> \forall integer p; 0 < p < d->count && above(p) == place ==>
        !is_before(d->keys, d->heap[p], d->heap[above(place)]); */

/*@ requires \valid_read(keys + a) && \valid_read(keys + b);
    assigns \nothing;
    ensures exact: \result <==> is_before(keys, a, b); */
static bool is_before(const struct pd_kv_deadline *keys, uint32_t a, uint32_t b)
{
    if (keys[a].deadline_ns != keys[b].deadline_ns) {
        return keys[a].deadline_ns < keys[b].deadline_ns;
    }
    return keys[a].id != keys[b].id ? keys[a].id < keys[b].id : a < b;
}

/* Whether the item at place `a` is before the one at place `b`. */
/*@ requires ready: heap_ready(d) && a < d->count && b < d->count;
    assigns \nothing;
    ensures exact: \result <==> is_before(d->keys, d->heap[a], d->heap[b]); */
static bool place_is_before(const struct pd_kv_deadlines *d, uint32_t a, uint32_t b)
{
    return is_before(d->keys, d->heap[a], d->heap[b]);
}

/* The items at two places change places. */
/*@ requires ready: heap_ready(d) && a < d->count && b < d->count && a != b;
    assigns d->heap[0 .. d->items_max - 1], d->places[0 .. d->items_max - 1];
    ensures ready: heap_ready(d);
    ensures changed: d->heap[a] == \old(d->heap[b]) && d->heap[b] == \old(d->heap[a]);
    ensures others: \forall integer p; 0 <= p < d->count && p != a && p != b ==>
      d->heap[p] == \old(d->heap[p]);
    ensures members: members_same{Pre,Post}(d->places, d->items_max); */
static void swap(struct pd_kv_deadlines *d, uint32_t a, uint32_t b)
{
    uint32_t first = d->heap[a];
    uint32_t second = d->heap[b];
    d->heap[a] = second;
    d->heap[b] = first;
    d->places[second] = (int32_t)a;
    d->places[first] = (int32_t)b;
}

/* One step up: all is in order but the link above `place`, which is not; then only the one above
 * the place that its item comes to. */
/*@ requires ready: heap_ready(d) && 0 < place < d->count;
    requires order: ordered_but(d, place) && below_ordered(d, place) && below_fits_above(d, place);
    requires early: is_before(d->keys, d->heap[place], d->heap[above(place)]);
    assigns d->heap[0 .. d->items_max - 1], d->places[0 .. d->items_max - 1];
    ensures ready: heap_ready(d);
    ensures up: \result == above(place);
    ensures order: ordered_but(d, \result);
    ensures below: below_ordered(d, \result);
    ensures fits: below_fits_above(d, \result);
    ensures members: members_same{Pre,Post}(d->places, d->items_max); */
static uint32_t step_up(struct pd_kv_deadlines *d, uint32_t place)
{
    uint32_t parent = (place - 1) / 2;
    swap(d, place, parent);
    return parent;
}

/*@ requires ready: heap_ready(d) && place < d->count;
    requires order: ordered_but(d, place) && below_ordered(d, place) && below_fits_above(d, place);
    assigns d->heap[0 .. d->items_max - 1], d->places[0 .. d->items_max - 1];
    ensures ready: heap_ready(d);
    ensures order: heap_ordered(d->keys, d->heap, d->count);
    ensures members: members_same{Pre,Post}(d->places, d->items_max); */
static void sift_up(struct pd_kv_deadlines *d, uint32_t place)
{
    /*@ loop invariant ready: heap_ready(d) && 0 <= place < d->count;
        loop invariant order: ordered_but(d, place);
        loop invariant below: below_ordered(d, place);
        loop invariant fits: below_fits_above(d, place);
        loop invariant members: members_same{Pre,Here}(d->places, d->items_max);
        loop assigns place, d->heap[0 .. d->items_max - 1], d->places[0 .. d->items_max - 1];
        loop variant place; */
    while (place > 0 && place_is_before(d, place, (place - 1) / 2)) {
        place = step_up(d, place);
    }
}

/* The place below `place` (there is one) whose item is first. */
/*@ requires ready: heap_ready(d) && 2 * place + 1 < d->count;
    assigns \nothing;
    ensures below: \result < d->count && \result > 0 && above(\result) == place;
    ensures least: \forall integer p; 0 < p < d->count && above(p) == place ==>
      !is_before(d->keys, d->heap[p], d->heap[\result]); */
static uint32_t first_below(const struct pd_kv_deadlines *d, uint32_t place)
{
    uint32_t left = 2 * place + 1;
    //@ assert two: \forall integer p; 0 < p && above(p) == place ==> p == left || p == left + 1;
    return left + 1 < d->count && place_is_before(d, left + 1, left) ? left + 1 : left;
}

/* One step down, to `child`, the first of those below and before what is at `place`. */
/*@ requires ready: heap_ready(d) && place < d->count && 0 < child < d->count;
    requires child: above(child) == place;
    requires least: \forall integer p; 0 < p < d->count && above(p) == place ==>
      !is_before(d->keys, d->heap[p], d->heap[child]);
    requires order: ordered_but(d, place) && below_fits_above(d, place);
    requires above: place > 0 ==> link_ordered(d->keys, d->heap, place);
    requires late: is_before(d->keys, d->heap[child], d->heap[place]);
    assigns d->heap[0 .. d->items_max - 1], d->places[0 .. d->items_max - 1];
    ensures ready: heap_ready(d);
    ensures order: ordered_but(d, child);
    ensures fits: below_fits_above(d, child);
    ensures above: link_ordered(d->keys, d->heap, child);
    ensures members: members_same{Pre,Post}(d->places, d->items_max); */
static void step_down(struct pd_kv_deadlines *d, uint32_t place, uint32_t child)
{
    swap(d, place, child);
}

/*@ requires ready: heap_ready(d) && place < d->count;
    requires order: ordered_but(d, place) && below_fits_above(d, place);
    requires above: place > 0 ==> link_ordered(d->keys, d->heap, place);
    assigns d->heap[0 .. d->items_max - 1], d->places[0 .. d->items_max - 1];
    ensures ready: heap_ready(d);
    ensures order: heap_ordered(d->keys, d->heap, d->count);
    ensures members: members_same{Pre,Post}(d->places, d->items_max); */
static void sift_down(struct pd_kv_deadlines *d, uint32_t place)
{
    /*@ loop invariant ready: heap_ready(d) && 0 <= place < d->count;
        loop invariant order: ordered_but(d, place);
        loop invariant fits: below_fits_above(d, place);
        loop invariant above: place > 0 ==> link_ordered(d->keys, d->heap, place);
        loop invariant members: members_same{Pre,Here}(d->places, d->items_max);
        loop assigns place, d->heap[0 .. d->items_max - 1], d->places[0 .. d->items_max - 1];
        loop variant d->count - place; */
    while (2 * place + 1 < d->count) {
        uint32_t child = first_below(d, place);
        if (!place_is_before(d, child, place)) {
            //@ assert done: below_ordered(d, place);
            return;
        }
        step_down(d, place, child);
        place = child;
    }
}

/* The item at `place` goes to where its key belongs: everything else is in order. */
/*@ requires ready: heap_ready(d) && place < d->count;
    requires order: ordered_but(d, place) && below_fits_above(d, place);
    assigns d->heap[0 .. d->items_max - 1], d->places[0 .. d->items_max - 1];
    ensures ok: deadlines_ok(d);
    ensures members: members_same{Pre,Post}(d->places, d->items_max); */
static void settle(struct pd_kv_deadlines *d, uint32_t place)
{
    if (place > 0 && place_is_before(d, place, (place - 1) / 2)) {
        sift_up(d, place);
    } else {
        sift_down(d, place);
    }
}

void pd_kv_deadlines_init(struct pd_kv_deadlines *deadlines, struct pd_kv_deadline *keys,
                          uint32_t *heap, int32_t *places, uint32_t items_max)
{
    deadlines->keys = keys;
    deadlines->heap = heap;
    deadlines->places = places;
    deadlines->count = 0;
    deadlines->items_max = items_max;
    /*@ loop invariant 0 <= i <= items_max;
        loop invariant \forall integer j; 0 <= j < i ==> places[j] == PD_KV_DEADLINE_OUT;
        loop assigns i, places[0 .. items_max - 1];
        loop variant items_max - i; */
    for (uint32_t i = 0; i < items_max; i++) {
        places[i] = PD_KV_DEADLINE_OUT;
    }
}

/* `item`, which is not in, takes the last place, out of order. */
/*@ requires ok: deadlines_ok(d) && item < d->items_max && !is_in(d, item);
    requires room: d->count < d->items_max;
    assigns d->count, d->heap[d->count], d->places[item];
    ensures ready: heap_ready(d);
    ensures order: ordered_but(d, \result) && below_fits_above(d, \result);
    ensures placed: \result == d->count - 1 && d->places[item] == \result &&
      d->heap[\result] == item;
    ensures count: d->count == \old(d->count) + 1;
    ensures others: \forall integer i; 0 <= i < d->items_max && i != item ==>
      d->places[i] == \old(d->places[i]); */
static uint32_t append(struct pd_kv_deadlines *d, uint32_t item)
{
    uint32_t place = (uint32_t)d->count;
    d->count++;
    //@ assert keys: keys_same{Pre,Here}(d->keys, d->items_max);
    /*@ assert links_stay: \forall integer p;
          0 < p < place && link_ordered{Pre}(d->keys, d->heap, p) ==>
          link_ordered(d->keys, d->heap, p); */
    //@ assert links: heap_ordered(d->keys, d->heap, place);
    d->heap[place] = item;
    //@ assert heap: \forall integer p; 0 <= p < place ==> d->heap[p] == \at(d->heap[p], Pre);
    //@ assert places: \forall integer p; 0 < p < place ==> 0 <= above(p) < place;
    //@ assert links_stay_too: heap_ordered(d->keys, d->heap, place);
    d->places[item] = (int32_t)place;
    return place;
}

/* The key of the item at `place` changes, and with it nothing but the order of its own links. */
/*@ requires ready: heap_ready(d) && place < d->count;
    requires order: ordered_but(d, place) && below_fits_above(d, place);
    requires item: item == d->heap[place];
    assigns d->keys[item];
    ensures ready: heap_ready(d);
    ensures order: ordered_but(d, place) && below_fits_above(d, place);
    ensures set: d->keys[item].deadline_ns == deadline_ns && d->keys[item].id == id; */
static void change_key(struct pd_kv_deadlines *d, uint32_t place, uint32_t item,
                       uint64_t deadline_ns, uint64_t id)
{
    (void)place;
    d->keys[item].deadline_ns = deadline_ns;
    d->keys[item].id = id;
}

/* In an ordered heap what is below a place is not before what is above it. */
/*@ ghost
  /@ requires ok: deadlines_ok(d) && place < d->count;
     assigns \nothing;
     ensures fits: below_fits_above(d, place); @/
  void lemma_fits(const struct pd_kv_deadlines *d, uint32_t place)
  {
    /@ assert above: place > 0 ==> !is_before(d->keys, d->heap[place], d->heap[above(place)]); @/
    /@ assert below: \forall integer p; 0 < p < d->count && above(p) == place ==>
         link_ordered(d->keys, d->heap, p) && !is_before(d->keys, d->heap[p], d->heap[place]); @/
  }
*/

void pd_kv_deadlines_set(struct pd_kv_deadlines *deadlines, uint32_t item, uint64_t deadline_ns,
                         uint64_t id)
{
    uint32_t place = 0;
    if (deadlines->places[item] == PD_KV_DEADLINE_OUT) {
        place = append(deadlines, item);
    } else {
        place = (uint32_t)deadlines->places[item];
        //@ ghost lemma_fits(deadlines, place);
    }
    change_key(deadlines, place, item, deadline_ns, id);
    settle(deadlines, place);
}

/* The last place goes, with its item, which is `item`. */
/*@ requires ready: heap_ready(d) && d->count > 0 && d->heap[d->count - 1] == item;
    assigns d->count, d->places[item];
    ensures ready: heap_ready(d);
    ensures out: !is_in(d, item) && d->count == \old(d->count) - 1;
    ensures keys: keys_same{Pre,Post}(d->keys, d->items_max);
    ensures links: \forall integer p; 0 < p < d->count && link_ordered{Pre}(d->keys, d->heap, p) ==>
      link_ordered(d->keys, d->heap, p);
    ensures others: \forall integer i; 0 <= i < d->items_max && i != item ==>
      d->places[i] == \old(d->places[i]); */
static void drop_last(struct pd_kv_deadlines *d, uint32_t item)
{
    d->count--;
    d->places[item] = PD_KV_DEADLINE_OUT;
    //@ assert keys: keys_same{Pre,Here}(d->keys, d->items_max);
}

/* `item` goes; the item of the last place takes its place, out of order. */
/*@ requires ok: deadlines_ok(d) && place < d->count - 1 && item == d->heap[place];
    assigns d->count, d->heap[0 .. d->items_max - 1], d->places[0 .. d->items_max - 1];
    ensures ready: heap_ready(d);
    ensures order: ordered_but(d, place);
    ensures fits: below_fits_above(d, place);
    ensures out: !is_in(d, item) && d->count == \old(d->count) - 1;
    ensures others: \forall integer i; 0 <= i < d->items_max && i != item ==>
      (is_in{Pre}(d, i) <==> is_in{Post}(d, i)); */
static void take_out(struct pd_kv_deadlines *d, uint32_t place, uint32_t item)
{
    //@ ghost lemma_fits(d, place);
    swap(d, place, (uint32_t)d->count - 1);
    drop_last(d, item);
}

void pd_kv_deadlines_remove(struct pd_kv_deadlines *deadlines, uint32_t item)
{
    if (deadlines->places[item] == PD_KV_DEADLINE_OUT) {
        return;
    }
    uint32_t place = (uint32_t)deadlines->places[item];
    if (place == deadlines->count - 1) {
        drop_last(deadlines, item);
    } else {
        take_out(deadlines, place, item);
        settle(deadlines, place);
    }
}

/* No item of an ordered heap is before the one at its top. */
/*@ ghost
  /@ requires ok: deadlines_ok(d) && d->count > 0;
     assigns \nothing;
     ensures least: \forall integer p; 0 <= p < d->count ==>
       !is_before(d->keys, d->heap[p], d->heap[0]); @/
  void lemma_top(const struct pd_kv_deadlines *d)
  {
    /@ loop invariant 0 <= n <= d->count;
       loop invariant \forall integer p; 0 <= p < n ==> !is_before(d->keys, d->heap[p], d->heap[0]);
       loop assigns n;
       loop variant d->count - n; @/
    for (uint32_t n = 0; n < d->count; n++) {
      /@ assert n > 0 ==> 0 <= above(n) < n; @/
      /@ assert n > 0 ==> !is_before(d->keys, d->heap[above(n)], d->heap[0]); @/
      /@ assert n > 0 ==> link_ordered(d->keys, d->heap, n); @/
    }
  }
*/

uint32_t pd_kv_deadlines_first(const struct pd_kv_deadlines *deadlines)
{
    if (deadlines->count == 0) {
        return (uint32_t)deadlines->items_max;
    }
    //@ ghost lemma_top(deadlines);
    return deadlines->heap[0];
}
