#include "raft/trace.h"

#include <stdarg.h>
#include <stdio.h>

void pd_trace_line(const struct pd_raft_trace *trace, enum pd_raft_log_level level,
                   const char *format, ...)
{
    if (trace->line == NULL) {
        return;
    }
    char text[2 * PD_RAFT_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    trace->line(trace->state, level, text);
}

PD_PRINTF(3, 4)
static size_t add(struct pd_raft_text *text, size_t used, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text->text + used, sizeof text->text - used, format, arguments);
    va_end(arguments);
    size_t end = used + (size > 0 ? (size_t)size : 0);
    return end < sizeof text->text ? end : sizeof text->text - 1;
}

static size_t add_set(struct pd_raft_text *text, size_t used, const pd_raft_node *nodes,
                      uint32_t count)
{
    used = add(text, used, "(");
    for (uint32_t i = 0; i < count; i++) {
        used = add(text, used, i == 0 ? "%llx" : " %llx", (unsigned long long)nodes[i]);
    }
    return add(text, used, ")");
}

struct pd_raft_text pd_raft_conf_text(const struct pd_raft_conf *conf)
{
    struct pd_raft_text text = {.text = ""};
    size_t used = add(&text, 0, "voters=");
    used = add_set(&text, used, conf->voters, conf->voter_count);
    if (conf->voter_outgoing_count > 0) {
        used = add(&text, used, "&&");
        used = add_set(&text, used, conf->voters_outgoing, conf->voter_outgoing_count);
    }
    if (conf->learner_count > 0) {
        used = add(&text, used, " learners=");
        used = add_set(&text, used, conf->learners, conf->learner_count);
    }
    if (conf->learner_next_count > 0) {
        used = add(&text, used, " learners_next=");
        used = add_set(&text, used, conf->learners_next, conf->learner_next_count);
    }
    if (conf->auto_leave) {
        (void)add(&text, used, " autoleave");
    }
    return text;
}

static size_t add_list(struct pd_raft_text *text, size_t used, const char *name,
                       const pd_raft_node *nodes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        used = add(text, used, "%s:%llu ", name, (unsigned long long)nodes[i]);
    }
    return used;
}

struct pd_raft_text pd_raft_conf_state_text(const struct pd_raft_conf *conf)
{
    struct pd_raft_text text = {.text = ""};
    size_t used = add_list(&text, 0, "voters", conf->voters, conf->voter_count);
    used = add_list(&text, used, "learners", conf->learners, conf->learner_count);
    used =
        add_list(&text, used, "voters_outgoing", conf->voters_outgoing, conf->voter_outgoing_count);
    used = add_list(&text, used, "learners_next", conf->learners_next, conf->learner_next_count);
    (void)add(&text, used, "auto_leave:%s", conf->auto_leave ? "true" : "false");
    return text;
}

static const char *progress_text(enum pd_raft_progress_state state)
{
    switch (state) {
    case PD_RAFT_PROBE:
        return "StateProbe";
    case PD_RAFT_REPLICATE:
        return "StateReplicate";
    case PD_RAFT_SNAPSHOT:
        return "StateSnapshot";
    }
    return "?";
}

struct pd_raft_text pd_raft_member_text(const struct pd_raft_member_status *member)
{
    struct pd_raft_text text = {.text = ""};
    size_t used = add(&text, 0, "%s match=%llu next=%llu", progress_text(member->state),
                      (unsigned long long)member->match, (unsigned long long)member->next);
    if (member->is_learner) {
        used = add(&text, used, " learner");
    }
    if (member->is_paused) {
        used = add(&text, used, " paused");
    }
    if (member->pending_snapshot > 0) {
        used = add(&text, used, " pendingSnap=%llu", (unsigned long long)member->pending_snapshot);
    }
    if (!member->is_active) {
        used = add(&text, used, " inactive");
    }
    if (member->inflight_count > 0) {
        used = add(&text, used, " inflight=%u", member->inflight_count);
        if (member->inflight_full) {
            (void)add(&text, used, "[full]");
        }
    }
    return text;
}

static const char *change_type_text(enum pd_raft_conf_change_type type)
{
    switch (type) {
    case PD_RAFT_CONF_ADD_NODE:
        return "ConfChangeAddNode";
    case PD_RAFT_CONF_REMOVE_NODE:
        return "ConfChangeRemoveNode";
    case PD_RAFT_CONF_UPDATE_NODE:
        return "ConfChangeUpdateNode";
    case PD_RAFT_CONF_ADD_LEARNER:
        return "ConfChangeAddLearnerNode";
    }
    return "?";
}

static const char *transition_text(enum pd_raft_conf_transition transition)
{
    switch (transition) {
    case PD_RAFT_TRANSITION_AUTO:
        return "ConfChangeTransitionAuto";
    case PD_RAFT_TRANSITION_JOINT_IMPLICIT:
        return "ConfChangeTransitionJointImplicit";
    case PD_RAFT_TRANSITION_JOINT_EXPLICIT:
        return "ConfChangeTransitionJointExplicit";
    }
    return "?";
}

static size_t add_context(struct pd_raft_text *text, size_t used, struct pd_span context)
{
    if (context.size == 0) {
        return used;
    }
    used = add(text, used, " context:\"");
    for (size_t i = 0; i < context.size && i < 64; i++) {
        unsigned byte = context.bytes[i];
        bool is_plain = byte >= ' ' && byte < 127 && byte != '"' && byte != '\\';
        used = add(text, used, is_plain ? "%c" : "\\%03o", byte);
    }
    return add(text, used, "\"");
}

struct pd_raft_text pd_raft_conf_change_text(const struct pd_raft_conf_change *change)
{
    struct pd_raft_text text = {.text = ""};
    size_t used = add(&text, 0, "transition:%s", transition_text(change->transition));
    for (uint32_t i = 0; i < change->count; i++) {
        used = add(&text, used, " changes:{type:%s node_id:%llu}",
                   change_type_text(change->changes[i].type),
                   (unsigned long long)change->changes[i].node);
    }
    (void)add_context(&text, used, change->context);
    return text;
}

const char *pd_raft_message_text(enum pd_raft_message_type type)
{
    static const char *const texts[] = {
        [PD_RAFT_MSG_APP] = "MsgApp",
        [PD_RAFT_MSG_APP_RESP] = "MsgAppResp",
        [PD_RAFT_MSG_VOTE] = "MsgVote",
        [PD_RAFT_MSG_VOTE_RESP] = "MsgVoteResp",
        [PD_RAFT_MSG_PRE_VOTE] = "MsgPreVote",
        [PD_RAFT_MSG_PRE_VOTE_RESP] = "MsgPreVoteResp",
        [PD_RAFT_MSG_SNAP] = "MsgSnap",
        [PD_RAFT_MSG_HEARTBEAT] = "MsgHeartbeat",
        [PD_RAFT_MSG_HEARTBEAT_RESP] = "MsgHeartbeatResp",
        [PD_RAFT_MSG_PROP] = "MsgProp",
        [PD_RAFT_MSG_READ_INDEX] = "MsgReadIndex",
        [PD_RAFT_MSG_READ_INDEX_RESP] = "MsgReadIndexResp",
        [PD_RAFT_MSG_TRANSFER_LEADER] = "MsgTransferLeader",
        [PD_RAFT_MSG_TIMEOUT_NOW] = "MsgTimeoutNow",
        [PD_RAFT_MSG_FORGET_LEADER] = "MsgForgetLeader",
        [PD_RAFT_MSG_SNAP_STATUS] = "MsgSnapStatus",
        [PD_RAFT_MSG_UNREACHABLE] = "MsgUnreachable",
    };
    size_t at = (size_t)type;
    return at < sizeof texts / sizeof texts[0] && texts[at] != NULL ? texts[at] : "?";
}

const char *pd_raft_role_text(enum pd_raft_role role)
{
    switch (role) {
    case PD_RAFT_FOLLOWER:
        return "StateFollower";
    case PD_RAFT_CANDIDATE:
        return "StateCandidate";
    case PD_RAFT_LEADER:
        return "StateLeader";
    case PD_RAFT_PRE_CANDIDATE:
        return "StatePreCandidate";
    }
    return "?";
}

void pd_raft_peers_text(const pd_raft_node *nodes, uint32_t count, struct pd_raft_text *text_out)
{
    size_t used = 0;
    text_out->text[0] = '\0';
    for (uint32_t i = 0; i < count; i++) {
        used = add(text_out, used, i == 0 ? "%llx" : ",%llx", (unsigned long long)nodes[i]);
    }
}
