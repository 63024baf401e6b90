/* Configuration changes: who is a member, from when on, and what a leader keeps of each. */
#include "base/assert.h"
#include "base/mutant.h"
#include "base/sometimes.h"
#include "raft/raft_internal.h"

static void init_progress(struct pd_raft *raft, struct pd_raft_member *member, uint64_t match,
                          uint64_t next)
{
    pd_progress_init(&member->progress, match, next, member->ring, raft->config.inflight_max,
                     raft->config.inflight_bytes_max);
    /* Answers to an earlier membership do not speak for this one (item 22). */
    member->session = ++raft->session_last;
    member->token = 0;
}

void pd_core_reset_members(struct pd_raft *raft)
{
    uint64_t last = pd_log_last(&raft->log);
    for (uint32_t i = 0; i < raft->member_count; i++) {
        struct pd_raft_member *member = &raft->members[i];
        init_progress(raft, member, member->node == raft->config.id ? last : 0, last + 1);
        member->is_active = false;
        member->ballot = PD_BALLOT_NONE;
    }
}

static struct pd_raft_inflight *free_ring(const struct pd_raft *raft, const bool *is_taken)
{
    uint32_t at = 0;
    while (is_taken[at]) {
        at++;
        pd_assert(at < PD_RAFT_MEMBERS_MAX);
    }
    return raft->rings + (size_t)at * raft->config.inflight_max;
}

static size_t ring_number(const struct pd_raft *raft, const struct pd_raft_inflight *ring)
{
    return (size_t)(ring - raft->rings) / raft->config.inflight_max;
}

void pd_core_set_conf(struct pd_raft *raft, const struct pd_conf_result *result)
{
    struct pd_raft_member next[PD_RAFT_MEMBERS_MAX];
    bool is_taken[PD_RAFT_MEMBERS_MAX] = {false};
    pd_raft_node nodes[PD_RAFT_MEMBERS_MAX];
    uint32_t count = pd_conf_members(&result->conf, nodes);
    for (uint32_t i = 0; i < count; i++) {
        const struct pd_raft_member *kept = pd_core_member(raft, nodes[i]);
        next[i] = (struct pd_raft_member){.node = nodes[i]};
        if (kept != NULL && !pd_conf_has(result->fresh, result->fresh_count, nodes[i])) {
            next[i] = *kept;
            is_taken[ring_number(raft, kept->ring)] = true;
        }
    }
    uint64_t last = pd_log_last(&raft->log);
    for (uint32_t i = 0; i < count; i++) {
        if (next[i].ring == NULL) {
            next[i].ring = free_ring(raft, is_taken);
            is_taken[ring_number(raft, next[i].ring)] = true;
            init_progress(raft, &next[i], 0, last > 0 ? last : 1);
            /* Else check-quorum could count it out before it was heard of. */
            next[i].is_active = true;
        }
        next[i].is_learner = pd_conf_is_learner(&result->conf, nodes[i]);
    }
    raft->conf = result->conf;
    raft->member_count = count;
    for (uint32_t i = 0; i < count; i++) {
        raft->members[i] = next[i];
    }
}

void pd_core_switch_conf(struct pd_raft *raft, const struct pd_conf_result *result)
{
    pd_core_set_conf(raft, result);
    PD_TRACE(raft, INFO, "%llx switched to configuration %s", (pd_ull)raft->config.id,
             pd_raft_conf_text(&raft->conf).text);
    /* Who granted a lease under another configuration may not be asked under this one (item 24). */
    raft->token_floor = raft->token_last;
    const struct pd_raft_member *own = pd_core_member(raft, raft->config.id);
    if (raft->role != PD_RAFT_LEADER) {
        return;
    }
    if (own == NULL || own->is_learner) {
        PD_SOMETIMES(RAFT_LEADER_REMOVED, true);
        if (raft->config.step_down_on_removal && !PD_MUTANT(RAFT_REMOVED_STILL_LEADS)) {
            pd_core_become_follower(raft, raft->term, 0);
        }
        return;
    }
    if (pd_core_maybe_commit(raft)) {
        pd_core_reads_committed(raft);
        pd_core_broadcast_append(raft);
    } else {
        for (uint32_t i = 0; i < raft->member_count; i++) {
            if (raft->members[i].node != raft->config.id) {
                (void)pd_core_maybe_send_append(raft, &raft->members[i], false);
            }
        }
    }
    pd_core_reads_confirm(raft);
    if (raft->transferee != 0 && !pd_conf_is_voter(&raft->conf, raft->transferee)) {
        raft->transferee = 0;
    }
}

/* PD_ERR_EXISTS: an empty entry takes its place. */
enum pd_status pd_core_lead_conf_change(struct pd_raft *raft, enum pd_raft_entry_type type,
                                        struct pd_span data)
{
    struct pd_raft_conf_change change;
    if (pd_raft_conf_change_decode(type, data, &change) != PD_OK) {
        return PD_ERR_INVALID;
    }
    bool is_joint = raft->conf.voter_outgoing_count > 0;
    bool is_leaving = change.count == 0;
    const char *reason = NULL;
    static const char pending[] = "pending";
    if (raft->pending_conf_index > raft->log.applied && !PD_MUTANT(RAFT_TWO_CONF_CHANGES)) {
        reason = pending;
    } else if (is_joint && !is_leaving) {
        reason = "must transition out of joint config first";
    } else if (!is_joint && is_leaving) {
        reason = "not in joint state; refusing empty conf change";
    }
    if (raft->config.no_conf_change_validation) {
        return PD_OK;
    }
    if (reason == NULL) {
        struct pd_conf_result result;
        return pd_conf_apply(&raft->conf, &change, &result);
    }
    if (reason == pending) {
        PD_TRACE(raft, INFO,
                 "%llx ignoring conf change %s at config %s: possible unapplied conf change at "
                 "index %llu (applied to %llu)",
                 (pd_ull)raft->config.id, pd_raft_conf_change_text(&change).text,
                 pd_raft_conf_text(&raft->conf).text, (pd_ull)raft->pending_conf_index,
                 (pd_ull)raft->log.applied);
    } else {
        PD_TRACE(raft, INFO, "%llx ignoring conf change %s at config %s: %s",
                 (pd_ull)raft->config.id, pd_raft_conf_change_text(&change).text,
                 pd_raft_conf_text(&raft->conf).text, reason);
    }
    return PD_ERR_EXISTS;
}

enum pd_status pd_raft_apply_conf_change(struct pd_raft *raft,
                                         const struct pd_raft_conf_change *change, bool rejected,
                                         struct pd_raft_conf *conf_out)
{
    enum pd_status status = PD_OK;
    struct pd_conf_result result;
    if (!rejected) {
        status = pd_conf_apply(&raft->conf, change, &result);
        if (status == PD_OK) {
            pd_core_switch_conf(raft, &result);
        } else {
            PD_TRACE(raft, ERROR, "%llx a committed change has no effect: %s",
                     (pd_ull)raft->config.id, result.reason);
        }
    }
    if (conf_out != NULL) {
        *conf_out = raft->conf;
    }
    return status;
}

/* Leave a joint configuration that says so, again and again until it is left (item 21). */
void pd_core_maybe_auto_leave(struct pd_raft *raft)
{
    if (!raft->conf.auto_leave || raft->log.applied < raft->pending_conf_index ||
        raft->role != PD_RAFT_LEADER) {
        return;
    }
    struct pd_span empty = {.bytes = NULL, .size = 0};
    enum pd_status status = pd_core_lead_proposal(raft, PD_RAFT_ENTRY_CONF_CHANGE_V2, &empty, 1);
    if (status == PD_OK) {
        PD_TRACE(raft, INFO, "initiating automatic transition out of joint configuration %s",
                 pd_raft_conf_text(&raft->conf).text);
    } else {
        PD_TRACE(raft, DEBUG,
                 "not initiating automatic transition out of joint configuration %s: raft proposal "
                 "dropped",
                 pd_raft_conf_text(&raft->conf).text);
    }
}
