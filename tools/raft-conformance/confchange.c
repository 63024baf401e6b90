/* Configuration changes: `simple`, `enter-joint [autoleave=true]`, `leave-joint` over lines such as
 * `v1 l2 r3 u4`. */
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "raft-conformance/changes.h"
#include "raft-conformance/modes.h"
#include "raft/conf_change.h"
#include "raft/trace.h"

struct tracker {
    struct pd_raft_conf conf;
    pd_raft_node nodes[PD_RAFT_MEMBERS_MAX];
    uint64_t next[PD_RAFT_MEMBERS_MAX];
    uint32_t count;
    uint64_t last_index; /* one more with each command */
};

static void *begin(void)
{
    return must_alloc(sizeof(struct tracker));
}

static uint64_t next_of(const struct tracker *tracker, const struct pd_conf_result *result,
                        pd_raft_node node)
{
    for (uint32_t i = 0; i < tracker->count; i++) {
        if (tracker->nodes[i] == node && !pd_conf_has(result->fresh, result->fresh_count, node)) {
            return tracker->next[i];
        }
    }
    return tracker->last_index > 1 ? tracker->last_index : 1;
}

static void accept(struct tracker *tracker, const struct pd_conf_result *result)
{
    pd_raft_node nodes[PD_RAFT_MEMBERS_MAX];
    uint64_t next[PD_RAFT_MEMBERS_MAX];
    uint32_t count = pd_conf_members(&result->conf, nodes);
    for (uint32_t i = 0; i < count; i++) {
        next[i] = next_of(tracker, result, nodes[i]);
    }
    memcpy(tracker->nodes, nodes, count * sizeof nodes[0]);
    memcpy(tracker->next, next, count * sizeof next[0]);
    tracker->count = count;
    tracker->conf = result->conf;
}

static enum pd_status change(struct tracker *tracker, const struct command *command,
                             const struct pd_raft_conf_change *changes,
                             struct pd_conf_result *result)
{
    if (strcmp(command->name, "simple") == 0) {
        return pd_conf_simple(&tracker->conf, changes->changes, changes->count, result);
    }
    if (strcmp(command->name, "enter-joint") == 0) {
        bool auto_leave = false;
        const struct argument *argument = command_find(command, "autoleave");
        if (argument != NULL && argument->value_count == 1) {
            (void)read_bool(argument->values[0], &auto_leave);
        }
        return pd_conf_enter_joint(&tracker->conf, auto_leave, changes->changes, changes->count,
                                   result);
    }
    if (strcmp(command->name, "leave-joint") != 0) {
        result->reason = "unknown command";
        return PD_ERR_INVALID;
    }
    if (changes->count > 0) {
        result->reason = "this command takes no input";
        return PD_ERR_INVALID;
    }
    return pd_conf_leave_joint(&tracker->conf, result);
}

static void run(void *state, const struct command *command, struct text *output)
{
    struct tracker *tracker = state;
    struct pd_raft_conf_change changes = {0};
    struct pd_conf_result result = {0};
    if (!changes_read(command->input, &changes, output)) {
        text_end_line(output);
    } else if (change(tracker, command, &changes, &result) != PD_OK) {
        text_add(output, "%s\n", result.reason);
    } else {
        accept(tracker, &result);
        text_add(output, "%s\n", pd_raft_conf_text(&tracker->conf).text);
        for (uint32_t i = 0; i < tracker->count; i++) {
            struct pd_raft_member_status member = {
                .node = tracker->nodes[i],
                .next = tracker->next[i],
                .is_active = true,
                .is_learner = pd_conf_is_learner(&tracker->conf, tracker->nodes[i])};
            text_add(output, "%" PRIu64 ": %s\n", member.node, pd_raft_member_text(&member).text);
        }
    }
    tracker->last_index++;
}

const struct mode confchange_mode = {
    .name = "confchange", .begin = begin, .run = run, .end = pd_free};
