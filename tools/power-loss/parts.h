/* parts - the log and the store without a node around them: what both halves of this subject
 * share. The child holds a log of three groups and a store, and tells on its output what it is
 * about to do and what is durable; the judge compares that with what the child finds after a cut.
 *
 * Lines, with times of CLOCK_MONOTONIC in ns:
 *   H GROUP FIRST LAST TERM VOTE   the log holds this of the group (first 0: no entry)
 *   S APPLIED DURABLE              the store's indices, its rows being those of APPLIED
 *   W TEXT                         something is wrong
 *   R TIME                         all of that is taken for durable from now on
 *   T TIME GROUP LAST TERM VOTE    a batch with this end is going to be written
 *   A TIME GROUP LAST TERM VOTE    it is durable
 *   C TIME GROUP INDEX             entries below may be recycled from now on */
#ifndef POWER_LOSS_PARTS_H
#define POWER_LOSS_PARTS_H

#include <stdint.h>

#define PD_PARTS_GROUPS 3u

/* The vote of a group in a term: who sees the one without the other sees a vote that was never
 * given. */
static inline uint64_t pd_parts_vote(uint32_t group, uint64_t term)
{
    return 1 + (term * 7 + group) % 5;
}

#endif
