/* conf_change - configurations and what a change makes of them. Pure.
 *
 * Model   A change is simple (at most one voter differs), or enters a joint configuration, or
 *         leaves it.
 * Source  etcd-io/raft's confchange package: the same rules, the same reasons. */
#ifndef PD_RAFT_CONF_CHANGE_H
#define PD_RAFT_CONF_CHANGE_H

#include "raft/raft.h"

struct pd_conf_result {
    struct pd_raft_conf conf;
    /* Members whose progress begins anew: they were not members, or were removed and added again.
     * */
    pd_raft_node fresh[PD_RAFT_MEMBERS_MAX];
    uint32_t fresh_count;
    const char *reason; /* of a refusal; NULL: accepted */
};

/* PD_ERR_INVALID: refused, result_out->reason says why. */
PD_NODISCARD enum pd_status pd_conf_simple(const struct pd_raft_conf *conf,
                                           const struct pd_raft_conf_change_single *changes,
                                           uint32_t count, struct pd_conf_result *result_out);
PD_NODISCARD enum pd_status pd_conf_enter_joint(const struct pd_raft_conf *conf, bool auto_leave,
                                                const struct pd_raft_conf_change_single *changes,
                                                uint32_t count, struct pd_conf_result *result_out);
PD_NODISCARD enum pd_status pd_conf_leave_joint(const struct pd_raft_conf *conf,
                                                struct pd_conf_result *result_out);
/* Whichever of the three the change asks for. */
PD_NODISCARD enum pd_status pd_conf_apply(const struct pd_raft_conf *conf,
                                          const struct pd_raft_conf_change *change,
                                          struct pd_conf_result *result_out);

bool pd_conf_has(const pd_raft_node *nodes, uint32_t count, pd_raft_node node);
/* Everybody: voters of both halves and learners, sorted. */
uint32_t pd_conf_members(const struct pd_raft_conf *conf,
                         pd_raft_node members_out[PD_RAFT_MEMBERS_MAX]);
bool pd_conf_is_member(const struct pd_raft_conf *conf, pd_raft_node node);
bool pd_conf_is_voter(const struct pd_raft_conf *conf, pd_raft_node node); /* of either half */
bool pd_conf_is_learner(const struct pd_raft_conf *conf, pd_raft_node node);
/* Sorted lists without repeats, no 0, counts within bounds, and the rules of joint configurations:
 * for what a peer or a disk says. */
bool pd_conf_is_valid(const struct pd_raft_conf *conf);

#endif
