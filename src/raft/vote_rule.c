#include "raft/vote_rule.h"

bool pd_log_is_up_to_date(uint64_t last_term, uint64_t last_index, uint64_t their_term,
                          uint64_t their_index)
{
    return their_term > last_term || (their_term == last_term && their_index >= last_index);
}

/* Whether nothing that the voter has said in this term binds it to another. */
/*@ requires \valid_read(voter) && \valid_read(request);
    assigns \nothing;
    ensures exact: \result <==>
      voter->vote == request->from || (voter->vote == 0 && voter->leader == 0) ||
      (request->is_pre_vote && request->term > voter->term); */
static bool is_free_to_vote(const struct pd_vote_voter *voter,
                            const struct pd_vote_request *request)
{
    if (voter->vote == request->from) {
        return true;
    }
    if (voter->vote == 0 && voter->leader == 0) {
        return true;
    }
    return request->is_pre_vote && request->term > voter->term;
}

bool pd_vote_may_grant(const struct pd_vote_voter *voter, const struct pd_vote_request *request)
{
    return is_free_to_vote(voter, request) &&
           pd_log_is_up_to_date(voter->last_term, voter->last_index, request->last_term,
                                request->last_index);
}

bool pd_vote_is_in_lease(bool check_quorum, uint64_t leader, uint32_t elapsed_ticks,
                         uint32_t election_ticks, bool is_transfer)
{
    return check_quorum && leader != 0 && elapsed_ticks < election_ticks && !is_transfer;
}
