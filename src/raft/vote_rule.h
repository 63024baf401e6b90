/* vote_rule - who may be given a vote. Pure.
 *
 * Model  Two logs compare by (term of the last entry, its index). A vote is granted to a candidate
 *        whose log is at least as good, by a voter that has not voted for another in this term
 *        (raft.md, item 2). A pre-vote for a later term is a question only: it binds nobody (item
 *        3).
 * Proof  Proven: granted when and only when the rule says so. */
#ifndef PD_RAFT_VOTE_RULE_H
#define PD_RAFT_VOTE_RULE_H

#include <stdbool.h>
#include <stdint.h>

/* What a candidate asks with. */
struct pd_vote_request {
    bool is_pre_vote;
    uint64_t from; /* the candidate */
    uint64_t term; /* it campaigns for this one; a pre-vote, for the next after its own */
    uint64_t last_term;
    uint64_t last_index;
};

/* What the voter knows when it answers: for a vote, after it has entered the request's term. */
struct pd_vote_voter {
    uint64_t term;
    uint64_t vote;   /* given in this term; 0: none */
    uint64_t leader; /* known in this term; 0: none */
    uint64_t last_term;
    uint64_t last_index;
};

/*@ predicate log_up_to_date(integer last_term, integer last_index, integer their_term,
                             integer their_index) =
      their_term > last_term || (their_term == last_term && their_index >= last_index); */

/* Whether a log that ends in (their_term, their_index) is at least as good as one that ends in
 * (last_term, last_index). */
/*@ assigns \nothing;
    ensures exact: \result <==> log_up_to_date(last_term, last_index, their_term, their_index); */
bool pd_log_is_up_to_date(uint64_t last_term, uint64_t last_index, uint64_t their_term,
                          uint64_t their_index);

/* Whether the voter may grant: the log is good enough, and it is a repeat, or no vote was given and
 * no leader is known, or a pre-vote for a later term. */
/*@ requires \valid_read(voter) && \valid_read(request);
    assigns \nothing;
    ensures exact: \result <==>
      (voter->vote == request->from || (voter->vote == 0 && voter->leader == 0) ||
       (request->is_pre_vote && request->term > voter->term)) &&
      log_up_to_date(voter->last_term, voter->last_index, request->last_term, request->last_index);
*/
bool pd_vote_may_grant(const struct pd_vote_voter *voter, const struct pd_vote_request *request);

/* Whether a request of a later term is not even looked at: with check-quorum, a voter that has
 * heard its leader within an election timeout ignores it, unless a transfer forces the vote (items
 * 4 and 7). */
/*@ assigns \nothing;
    ensures exact: \result <==>
      check_quorum && leader != 0 && elapsed_ticks < election_ticks && !is_transfer; */
bool pd_vote_is_in_lease(bool check_quorum, uint64_t leader, uint32_t elapsed_ticks,
                         uint32_t election_ticks, bool is_transfer);

#endif
