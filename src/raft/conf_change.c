#include "raft/conf_change.h"

#include <string.h>

#include "base/assert.h"

bool pd_conf_has(const pd_raft_node *nodes, uint32_t count, pd_raft_node node)
{
    for (uint32_t i = 0; i < count; i++) {
        if (nodes[i] == node) {
            return true;
        }
    }
    return false;
}

/* False: no room. */
static bool set_add(pd_raft_node *nodes, uint32_t *count, pd_raft_node node)
{
    if (pd_conf_has(nodes, *count, node)) {
        return true;
    }
    if (*count >= PD_RAFT_MEMBERS_MAX) {
        return false;
    }
    uint32_t at = *count;
    for (; at > 0 && nodes[at - 1] > node; at--) {
        nodes[at] = nodes[at - 1];
    }
    nodes[at] = node;
    (*count)++;
    return true;
}

static void set_remove(pd_raft_node *nodes, uint32_t *count, pd_raft_node node)
{
    for (uint32_t i = 0; i < *count; i++) {
        if (nodes[i] == node) {
            memmove(&nodes[i], &nodes[i + 1], (*count - i - 1) * sizeof nodes[0]);
            (*count)--;
            return;
        }
    }
}

bool pd_conf_is_voter(const struct pd_raft_conf *conf, pd_raft_node node)
{
    return pd_conf_has(conf->voters, conf->voter_count, node) ||
           pd_conf_has(conf->voters_outgoing, conf->voter_outgoing_count, node);
}

bool pd_conf_is_learner(const struct pd_raft_conf *conf, pd_raft_node node)
{
    return pd_conf_has(conf->learners, conf->learner_count, node);
}

bool pd_conf_is_member(const struct pd_raft_conf *conf, pd_raft_node node)
{
    return pd_conf_is_voter(conf, node) || pd_conf_is_learner(conf, node) ||
           pd_conf_has(conf->learners_next, conf->learner_next_count, node);
}

/* False: more than fit. */
static bool collect(const struct pd_raft_conf *conf, pd_raft_node *members, uint32_t *count)
{
    const pd_raft_node *const lists[] = {conf->voters, conf->voters_outgoing, conf->learners,
                                         conf->learners_next};
    const uint32_t counts[] = {conf->voter_count, conf->voter_outgoing_count, conf->learner_count,
                               conf->learner_next_count};
    *count = 0;
    for (uint32_t list = 0; list < 4; list++) {
        for (uint32_t i = 0; i < counts[list]; i++) {
            if (!set_add(members, count, lists[list][i])) {
                return false;
            }
        }
    }
    return true;
}

uint32_t pd_conf_members(const struct pd_raft_conf *conf,
                         pd_raft_node members_out[PD_RAFT_MEMBERS_MAX])
{
    uint32_t count = 0;
    bool is_within = collect(conf, members_out, &count);
    pd_assert(is_within);
    return count;
}

static bool is_sorted(const pd_raft_node *nodes, uint32_t count)
{
    if (count > PD_RAFT_MEMBERS_MAX) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (nodes[i] == 0 || (i > 0 && nodes[i - 1] >= nodes[i])) {
            return false;
        }
    }
    return true;
}

bool pd_conf_is_valid(const struct pd_raft_conf *conf)
{
    pd_raft_node members[PD_RAFT_MEMBERS_MAX];
    uint32_t count = 0;
    if (!is_sorted(conf->voters, conf->voter_count) ||
        !is_sorted(conf->voters_outgoing, conf->voter_outgoing_count) ||
        !is_sorted(conf->learners, conf->learner_count) ||
        !is_sorted(conf->learners_next, conf->learner_next_count) ||
        !collect(conf, members, &count)) {
        return false;
    }
    for (uint32_t i = 0; i < conf->learner_count; i++) {
        if (pd_conf_is_voter(conf, conf->learners[i])) {
            return false;
        }
    }
    for (uint32_t i = 0; i < conf->learner_next_count; i++) {
        if (!pd_conf_has(conf->voters_outgoing, conf->voter_outgoing_count,
                         conf->learners_next[i]) ||
            pd_conf_has(conf->voters, conf->voter_count, conf->learners_next[i])) {
            return false;
        }
    }
    /* An empty group has nobody at all; a joint one has an incoming half. */
    if (conf->voter_count == 0) {
        return count == 0 && !conf->auto_leave;
    }
    return conf->voter_outgoing_count > 0 || !conf->auto_leave;
}

static enum pd_status refuse(struct pd_conf_result *result, const char *reason)
{
    result->reason = reason;
    return PD_ERR_INVALID;
}

static void begin(struct pd_conf_result *result, const struct pd_raft_conf *conf)
{
    result->conf = *conf;
    result->fresh_count = 0;
    result->reason = NULL;
}

static bool is_tracked(const struct pd_conf_result *result, pd_raft_node node)
{
    return pd_conf_is_member(&result->conf, node);
}

static void remove_member(struct pd_conf_result *result, pd_raft_node node)
{
    struct pd_raft_conf *conf = &result->conf;
    set_remove(conf->voters, &conf->voter_count, node);
    set_remove(conf->learners, &conf->learner_count, node);
    set_remove(conf->learners_next, &conf->learner_next_count, node);
    if (!is_tracked(result, node)) {
        set_remove(result->fresh, &result->fresh_count, node);
    }
}

static bool add_voter(struct pd_conf_result *result, pd_raft_node node)
{
    struct pd_raft_conf *conf = &result->conf;
    if (!is_tracked(result, node) && !set_add(result->fresh, &result->fresh_count, node)) {
        return false;
    }
    set_remove(conf->learners, &conf->learner_count, node);
    set_remove(conf->learners_next, &conf->learner_next_count, node);
    return set_add(conf->voters, &conf->voter_count, node);
}

static bool add_learner(struct pd_conf_result *result, pd_raft_node node)
{
    struct pd_raft_conf *conf = &result->conf;
    if (!is_tracked(result, node)) {
        return set_add(result->fresh, &result->fresh_count, node) &&
               set_add(conf->learners, &conf->learner_count, node);
    }
    if (pd_conf_is_learner(conf, node)) {
        return true;
    }
    /* A voter of the outgoing half becomes a learner only when the joint configuration is left
     * (item 21). */
    set_remove(conf->voters, &conf->voter_count, node);
    set_remove(conf->learners_next, &conf->learner_next_count, node);
    if (pd_conf_has(conf->voters_outgoing, conf->voter_outgoing_count, node)) {
        return set_add(conf->learners_next, &conf->learner_next_count, node);
    }
    return set_add(conf->learners, &conf->learner_count, node);
}

static enum pd_status apply_all(struct pd_conf_result *result,
                                const struct pd_raft_conf_change_single *changes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        bool is_within = true;
        if (changes[i].node == 0) {
            continue;
        }
        switch (changes[i].type) {
        case PD_RAFT_CONF_ADD_NODE:
            is_within = add_voter(result, changes[i].node);
            break;
        case PD_RAFT_CONF_ADD_LEARNER:
            is_within = add_learner(result, changes[i].node);
            break;
        case PD_RAFT_CONF_REMOVE_NODE:
            remove_member(result, changes[i].node);
            break;
        case PD_RAFT_CONF_UPDATE_NODE:
            break;
        }
        if (!is_within) {
            return refuse(result, "too many members");
        }
    }
    pd_raft_node members[PD_RAFT_MEMBERS_MAX];
    uint32_t members_count = 0;
    if (result->conf.voter_count == 0) {
        return refuse(result, "removed all voters");
    }
    if (!collect(&result->conf, members, &members_count)) {
        return refuse(result, "too many members");
    }
    return PD_OK;
}

static uint32_t difference(const struct pd_raft_conf *a, const struct pd_raft_conf *b)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < a->voter_count; i++) {
        count += pd_conf_has(b->voters, b->voter_count, a->voters[i]) ? 0 : 1;
    }
    return count;
}

enum pd_status pd_conf_simple(const struct pd_raft_conf *conf,
                              const struct pd_raft_conf_change_single *changes, uint32_t count,
                              struct pd_conf_result *result_out)
{
    begin(result_out, conf);
    if (conf->voter_outgoing_count > 0) {
        return refuse(result_out, "can't apply simple config change in joint config");
    }
    enum pd_status status = apply_all(result_out, changes, count);
    if (status != PD_OK) {
        return status;
    }
    if (difference(conf, &result_out->conf) + difference(&result_out->conf, conf) > 1) {
        return refuse(result_out, "more than one voter changed without entering joint config");
    }
    return PD_OK;
}

enum pd_status pd_conf_enter_joint(const struct pd_raft_conf *conf, bool auto_leave,
                                   const struct pd_raft_conf_change_single *changes, uint32_t count,
                                   struct pd_conf_result *result_out)
{
    begin(result_out, conf);
    if (conf->voter_outgoing_count > 0) {
        return refuse(result_out, "config is already joint");
    }
    if (conf->voter_count == 0) {
        return refuse(result_out, "can't make a zero-voter config joint");
    }
    struct pd_raft_conf *next = &result_out->conf;
    memcpy(next->voters_outgoing, conf->voters, sizeof next->voters_outgoing);
    next->voter_outgoing_count = conf->voter_count;
    enum pd_status status = apply_all(result_out, changes, count);
    next->auto_leave = auto_leave;
    return status;
}

enum pd_status pd_conf_leave_joint(const struct pd_raft_conf *conf,
                                   struct pd_conf_result *result_out)
{
    begin(result_out, conf);
    if (conf->voter_outgoing_count == 0) {
        return refuse(result_out, "can't leave a non-joint config");
    }
    struct pd_raft_conf *next = &result_out->conf;
    for (uint32_t i = 0; i < conf->learner_next_count; i++) {
        bool is_within = set_add(next->learners, &next->learner_count, conf->learners_next[i]);
        pd_assert(is_within);
    }
    next->learner_next_count = 0;
    next->voter_outgoing_count = 0;
    next->auto_leave = false;
    return PD_OK;
}

enum pd_status pd_conf_apply(const struct pd_raft_conf *conf,
                             const struct pd_raft_conf_change *change,
                             struct pd_conf_result *result_out)
{
    bool is_auto = change->transition == PD_RAFT_TRANSITION_AUTO;
    if (change->count > PD_RAFT_MEMBERS_MAX) {
        begin(result_out, conf);
        return refuse(result_out, "too many changes");
    }
    if (is_auto && change->count == 0) {
        return pd_conf_leave_joint(conf, result_out);
    }
    if (!is_auto || change->count > 1) {
        bool auto_leave = change->transition != PD_RAFT_TRANSITION_JOINT_EXPLICIT;
        return pd_conf_enter_joint(conf, auto_leave, change->changes, change->count, result_out);
    }
    return pd_conf_simple(conf, change->changes, change->count, result_out);
}
