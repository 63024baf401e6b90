/* State time: a leader's clock -> what it gives its entries; what has passed since the last one.
 *
 * An entry takes state time a step further at most (kv/state_time.h). So while nobody writes,
 * entries that do nothing else carry it on (pd_replica_duties_tick). */
#include "base/mutant.h"
#include "base/sometimes.h"
#include "node/replica_internal.h"

static uint64_t at_most_a_step(const struct pd_replica *replica, uint64_t ns)
{
    uint64_t step_ns = replica->config.kv.state_time_step_max_ns;
    return ns < step_ns || PD_MUTANT(NODE_TIME_RUNS_AHEAD) ? ns : step_ns;
}

/* Never further ahead of the last entry than that entry's successor can take it: whoever judged by
 * a later time would find that what lives by the time of the entries has run out. So what a clock
 * jumps beyond a step, as when the machine was suspended, is not counted. */
uint64_t pd_replica_state_time(const struct pd_replica *replica)
{
    return replica->lead_given_ns +
           at_most_a_step(replica, replica->now_ns - replica->lead_clock_ns);
}

void pd_replica_state_time_given(struct pd_replica *replica)
{
    PD_SOMETIMES(NODE_TIME_CUT, replica->now_ns - replica->lead_clock_ns >
                                    replica->config.kv.state_time_step_max_ns);
    replica->lead_given_ns = pd_replica_state_time(replica);
    replica->lead_clock_ns = replica->now_ns;
}

uint64_t pd_replica_since_state_time(const struct pd_replica *replica)
{
    uint64_t applied_ns = pd_kv_state_time(replica->kv);
    if (replica->role == PD_RAFT_LEADER && replica->is_serving) {
        uint64_t now_ns = pd_replica_state_time(replica);
        return now_ns > applied_ns ? now_ns - applied_ns : 0;
    }
    /* One that came with a snapshot, or was here at the start: nobody knows since when. */
    return !replica->has_seen_time || applied_ns != replica->time_seen_ns
               ? 0
               : at_most_a_step(replica, replica->now_ns - replica->time_seen_clock_ns);
}

void pd_replica_state_time_seen(struct pd_replica *replica)
{
    uint64_t applied_ns = pd_kv_state_time(replica->kv);
    if (!replica->has_seen_time || applied_ns != replica->time_seen_ns) {
        replica->has_seen_time = true;
        replica->time_seen_ns = applied_ns;
        replica->time_seen_clock_ns = replica->now_ns;
    }
}
