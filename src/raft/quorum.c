#include "raft/quorum.h"

/* How many voters have matched `index`. */
/*@ requires count <= PD_QUORUM_VOTERS_MAX && \valid_read(match + (0 .. count - 1));
    assigns \nothing;
    ensures exact: \result == reached_by(match, count, index);
    ensures range: \result <= count; */
static uint32_t count_reached(const uint64_t *match, uint32_t count, uint64_t index)
{
    uint32_t reached = 0;
    /*@ loop invariant 0 <= i <= count && reached <= i;
        loop invariant reached == reached_by(match, i, index);
        loop assigns i, reached;
        loop variant count - i; */
    for (uint32_t i = 0; i < count; i++) {
        if (match[i] >= index) {
            reached++;
        }
    }
    return reached;
}

/* What the scan's result rests on: the higher the index, the fewer have reached it; and between two
 * indexes that no voter holds nothing changes, so that only what voters hold need be tried. */
/*@ ghost
  /@ requires count <= PD_QUORUM_VOTERS_MAX && \valid_read(match + (0 .. count - 1));
     requires none: \forall integer i; 0 <= i < count && match[i] > best ==>
       2 * reached_by(match, count, match[i]) <= count;
     requires count > 0;
     assigns \nothing;
     ensures maximal: \forall integer k; best < k <= UINT64_MAX ==> !is_reached(match, count, k); @/
  void lemma_maximal(const uint64_t *match, uint32_t count, uint64_t best)
  {
    uint64_t least = 0;
    uint32_t has_least = 0;
    /@ loop invariant 0 <= i <= count && 0 <= has_least <= 1;
       loop invariant has_least == 0 ==> \forall integer j; 0 <= j < i ==> match[j] <= best;
       loop invariant has_least == 1 ==> least > best &&
         (\exists integer j; 0 <= j < i && match[j] == least);
       loop invariant has_least == 1 ==>
         \forall integer j; 0 <= j < i ==> match[j] <= best || match[j] >= least;
       loop assigns i, least, has_least;
       loop variant count - i; @/
    for (uint32_t i = 0; i < count; i++) {
      if (match[i] > best && (has_least == 0 || match[i] < least)) {
        least = match[i];
        has_least = 1;
      }
    }
    /@ loop invariant 0 <= n <= count;
       loop invariant has_least == 0 ==> \forall integer k; best < k <= UINT64_MAX ==>
         reached_by(match, n, k) == 0;
       loop invariant has_least == 1 ==> \forall integer k; best < k <= UINT64_MAX ==>
         reached_by(match, n, k) <= reached_by(match, n, least);
       loop assigns n;
       loop variant count - n; @/
    for (uint32_t n = 0; n < count; n++) {
    }
  }
*/

/*@ ghost
  /@ requires count <= PD_QUORUM_VOTERS_MAX && \valid_read(match + (0 .. count - 1));
     assigns \nothing;
     ensures antitone: \forall integer j, k; j <= k ==>
       reached_by(match, count, k) <= reached_by(match, count, j);
     ensures all: reached_by(match, count, 0) == count; @/
  void lemma_antitone(const uint64_t *match, uint32_t count)
  {
    /@ loop invariant 0 <= n <= count;
       loop invariant \forall integer j, k; j <= k ==>
         reached_by(match, n, k) <= reached_by(match, n, j);
       loop invariant reached_by(match, n, 0) == n;
       loop assigns n;
       loop variant count - n; @/
    for (uint32_t n = 0; n < count; n++) {
    }
  }
*/

uint64_t pd_quorum_committed(const uint64_t *match, uint32_t count)
{
    if (count == 0) {
        return UINT64_MAX;
    }
    //@ ghost lemma_antitone(match, count);
    uint64_t best = 0;
    /*@ loop invariant 0 <= i <= count;
        loop invariant reached: 2 * reached_by(match, count, best) > count;
        loop invariant tried: \forall integer j; 0 <= j < i && match[j] > best ==>
          2 * reached_by(match, count, match[j]) <= count;
        loop assigns i, best;
        loop variant count - i; */
    for (uint32_t i = 0; i < count; i++) {
        if (match[i] > best && count_reached(match, count, match[i]) > count / 2) {
            best = match[i];
        }
    }
    //@ ghost lemma_maximal(match, count, best);
    return best;
}

uint64_t pd_quorum_joint_committed(const uint64_t *incoming, uint32_t incoming_count,
                                   const uint64_t *outgoing, uint32_t outgoing_count)
{
    uint64_t first = pd_quorum_committed(incoming, incoming_count);
    uint64_t second = pd_quorum_committed(outgoing, outgoing_count);
    /*@ ghost
      if (incoming_count > 0) {
        lemma_antitone(incoming, incoming_count);
      }
      if (outgoing_count > 0) {
        lemma_antitone(outgoing, outgoing_count);
      }
    */
    return first < second ? first : second;
}

enum pd_vote_result pd_quorum_vote(uint32_t granted, uint32_t refused, uint32_t count)
{
    if (count == 0 || granted > count / 2) {
        return PD_VOTE_WON;
    }
    /* A majority is count / 2 + 1; so many voters may still grant. */
    return count - refused > count / 2 ? PD_VOTE_PENDING : PD_VOTE_LOST;
}

enum pd_vote_result pd_quorum_joint_vote(enum pd_vote_result incoming, enum pd_vote_result outgoing)
{
    if (incoming == PD_VOTE_LOST || outgoing == PD_VOTE_LOST) {
        return PD_VOTE_LOST;
    }
    return incoming == PD_VOTE_WON && outgoing == PD_VOTE_WON ? PD_VOTE_WON : PD_VOTE_PENDING;
}
