/* Time, in ticks. */
#include "raft/raft_internal.h"

static void tick_follower(struct pd_raft *raft)
{
    raft->election_elapsed++;
    if (pd_core_promotable(raft) && raft->election_elapsed >= raft->election_timeout) {
        raft->election_elapsed = 0;
        pd_core_hup(raft, raft->config.pre_vote ? PD_CAMPAIGN_PRE_ELECTION : PD_CAMPAIGN_ELECTION);
    }
}

static void tick_leader(struct pd_raft *raft)
{
    raft->heartbeat_elapsed++;
    raft->election_elapsed++;
    if (raft->election_elapsed >= raft->config.election_ticks) {
        raft->election_elapsed = 0;
        if (raft->config.check_quorum) {
            pd_core_check_quorum(raft);
        }
        /* It could not be handed over in time: lead on (item 7). */
        if (raft->role == PD_RAFT_LEADER) {
            raft->transferee = 0;
        }
    }
    if (raft->role == PD_RAFT_LEADER && raft->heartbeat_elapsed >= raft->config.heartbeat_ticks) {
        raft->heartbeat_elapsed = 0;
        pd_core_broadcast_heartbeat(raft);
    }
}

void pd_raft_tick(struct pd_raft *raft, uint64_t now_ns)
{
    raft->now_ns = now_ns > raft->now_ns ? now_ns : raft->now_ns;
    raft->ticks++;
    if (raft->role == PD_RAFT_LEADER) {
        tick_leader(raft);
    } else {
        tick_follower(raft);
    }
}
