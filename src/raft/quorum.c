#include "raft/quorum.h"

/* How many voters have matched `index`. */
static uint32_t count_reached(const uint64_t *match, uint32_t count, uint64_t index)
{
    uint32_t reached = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (match[i] >= index) {
            reached++;
        }
    }
    return reached;
}

uint64_t pd_quorum_committed(const uint64_t *match, uint32_t count)
{
    if (count == 0) {
        return UINT64_MAX;
    }
    uint64_t best = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (match[i] > best && count_reached(match, count, match[i]) > count / 2) {
            best = match[i];
        }
    }
    return best;
}

uint64_t pd_quorum_joint_committed(const uint64_t *incoming, uint32_t incoming_count,
                                   const uint64_t *outgoing, uint32_t outgoing_count)
{
    uint64_t first = pd_quorum_committed(incoming, incoming_count);
    uint64_t second = pd_quorum_committed(outgoing, outgoing_count);
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
