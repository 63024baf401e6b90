/* quorum - what a majority has reached, and how it voted. Pure.
 *
 * Model      A half is a list of voters. An index is reached by a half when more than half of its
 *            voters have matched it; by a joint configuration, when both halves have (raft.md, item
 *            21). An empty half has reached everything and agrees with everything, so that one half
 *            alone is a joint configuration too.
 * Bounds     PD_QUORUM_VOTERS_MAX voters in a half. The scan is quadratic, on purpose: no sort, no
 *            room.
 * Ownership  Arrays are borrowed for the call.
 * Proof      Proven: the commit index is the largest that is reached, over all indexes. */
#ifndef PD_RAFT_QUORUM_H
#define PD_RAFT_QUORUM_H

#include <stdint.h>

#define PD_QUORUM_VOTERS_MAX 64u

/*@ logic integer reached_by{L}(uint64_t *match, integer count, integer index) =
      count <= 0 ? 0
                 : reached_by(match, count - 1, index) + (match[count - 1] >= index ? 1 : 0);
    predicate is_reached{L}(uint64_t *match, integer count, integer index) =
      count == 0 || 2 * reached_by(match, count, index) > count; */

/* The largest index that a majority of `match` has reached; UINT64_MAX when `count` is 0. */
/*@ requires count <= PD_QUORUM_VOTERS_MAX && \valid_read(match + (0 .. count - 1));
    assigns \nothing;
    ensures reached: is_reached(match, count, \result);
    ensures maximal: \forall integer k; \result < k <= UINT64_MAX ==> !is_reached(match, count, k);
*/
uint64_t pd_quorum_committed(const uint64_t *match, uint32_t count);

/* The largest index that both halves have reached. */
/*@ requires incoming_count <= PD_QUORUM_VOTERS_MAX;
    requires outgoing_count <= PD_QUORUM_VOTERS_MAX;
    requires \valid_read(incoming + (0 .. incoming_count - 1));
    requires \valid_read(outgoing + (0 .. outgoing_count - 1));
    assigns \nothing;
    ensures reached: is_reached(incoming, incoming_count, \result) &&
      is_reached(outgoing, outgoing_count, \result);
    ensures maximal: \forall integer k; \result < k <= UINT64_MAX ==>
      !(is_reached(incoming, incoming_count, k) && is_reached(outgoing, outgoing_count, k)); */
uint64_t pd_quorum_joint_committed(const uint64_t *incoming, uint32_t incoming_count,
                                   const uint64_t *outgoing, uint32_t outgoing_count);

enum pd_vote_result {
    PD_VOTE_PENDING = 0, /* neither is certain yet */
    PD_VOTE_LOST,        /* those who did not refuse cannot make a majority any more */
    PD_VOTE_WON          /* a majority granted */
};

/* How a half of `count` voters voted so far; granted + refused <= count. */
/*@ requires granted + refused <= count;
    assigns \nothing;
    ensures won: \result == PD_VOTE_WON <==> count == 0 || 2 * granted > count;
    ensures lost: \result == PD_VOTE_LOST <==> count > 0 && 2 * (count - refused) <= count;
    ensures status: \result == PD_VOTE_WON || \result == PD_VOTE_LOST ||
      \result == PD_VOTE_PENDING; */
enum pd_vote_result pd_quorum_vote(uint32_t granted, uint32_t refused, uint32_t count);

/* Won when both halves are, lost when either is. */
/*@ assigns \nothing;
    ensures won: \result == PD_VOTE_WON <==> incoming == PD_VOTE_WON && outgoing == PD_VOTE_WON;
    ensures lost: \result == PD_VOTE_LOST <==> incoming == PD_VOTE_LOST || outgoing == PD_VOTE_LOST;
    ensures status: \result == PD_VOTE_WON || \result == PD_VOTE_LOST ||
      \result == PD_VOTE_PENDING; */
enum pd_vote_result pd_quorum_joint_vote(enum pd_vote_result incoming,
                                         enum pd_vote_result outgoing);

#endif
