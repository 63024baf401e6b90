/* state_time - the one clock of the replicated state, and what is due by it. Pure.
 *
 * Model  Every command carries the time that its leader gave it. State time follows: never back,
 *        and by at most one step a command, so that a leader's wild clock expires nothing at a
 *        stroke. A deadline is reached when state time is.
 * Time   Nanoseconds. A sum that would pass the type's end stops at UINT64_MAX.
 * Proof  Proven: the whole effect, for all numbers. */
#ifndef PD_KV_STATE_TIME_H
#define PD_KV_STATE_TIME_H

#include <stdbool.h>
#include <stdint.h>

/*@ logic integer time_after(integer from_ns, integer duration_ns) =
      from_ns + duration_ns <= UINT64_MAX ? from_ns + duration_ns : UINT64_MAX; */

/* The time `duration_ns` after `from_ns`: a deadline. */
/*@ assigns \nothing;
    ensures exact: \result == time_after(from_ns, duration_ns);
    ensures later: \result >= from_ns; */
uint64_t pd_kv_time_after(uint64_t from_ns, uint64_t duration_ns);

/* State time after a command that was given `given_ns`, when it was `last_ns` before. */
/*@ assigns \nothing;
    ensures never_back: \result >= last_ns;
    ensures bounded: \result - last_ns <= step_max_ns;
    ensures late: given_ns <= last_ns ==> \result == last_ns;
    ensures taken: last_ns <= given_ns <= last_ns + step_max_ns ==> \result == given_ns;
    ensures early: given_ns > last_ns + step_max_ns ==> \result == last_ns + step_max_ns; */
uint64_t pd_kv_state_time_next(uint64_t last_ns, uint64_t given_ns, uint64_t step_max_ns);

/* Whether what lives until `deadline_ns` has expired. */
/*@ assigns \nothing;
    ensures exact: \result <==> deadline_ns <= now_ns; */
bool pd_kv_is_due(uint64_t deadline_ns, uint64_t now_ns);

#endif
