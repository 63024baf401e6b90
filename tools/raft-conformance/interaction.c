/* The interaction mode: one function a command. An answer other than NULL is an error's text. */
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "raft-conformance/changes.h"
#include "raft-conformance/describe.h"
#include "raft-conformance/modes.h"
#include "raft/conf_change.h"
#include "raft/trace.h"

#define DROPPED "raft proposal dropped"

/* The node that the argument names, or NULL. */
static struct node *node_at(struct environment *environment, const struct command *command,
                            uint32_t argument)
{
    uint64_t id = 0;
    if (argument >= command->argument_count || !read_u64(command->arguments[argument].key, &id) ||
        id == 0 || id > environment->node_count) {
        return NULL;
    }
    return environment->nodes[id - 1];
}

/* All that are named without a value. */
static const char *nodes_of(struct environment *environment, const struct command *command,
                            struct node *nodes[ARGUMENTS_MAX], uint32_t *count_out)
{
    *count_out = 0;
    for (uint32_t i = 0; i < command->argument_count; i++) {
        if (command->arguments[i].value_count == 0) {
            struct node *node = node_at(environment, command, i);
            if (node == NULL) {
                return "no such node";
            }
            nodes[(*count_out)++] = node;
        }
    }
    return NULL;
}

static const char *run_raft_log(struct environment *environment, struct node *node)
{
    const struct storage *storage = &node->storage;
    if (storage->count == 0) {
        print(environment, "log is empty: first index=%" PRIu64 ", last index=%" PRIu64,
              storage->index + 1, storage->index);
    } else if (environment->level != LEVEL_NONE) {
        describe_entries(environment->output, storage->entries, storage->count);
    }
    return NULL;
}

static const char *run_compact(struct environment *environment, const struct command *command,
                               struct node *node)
{
    uint64_t index = 0;
    if (command->argument_count < 2 || !read_u64(command->arguments[1].key, &index)) {
        return "compact wants a node and an index";
    }
    const char *wrong = storage_compact(&node->storage, index);
    if (wrong != NULL) {
        return wrong;
    }
    pd_raft_compact(node->raft, index);
    return run_raft_log(environment, node);
}

static int message_type(const char *name)
{
    /* The storage's, and those that never leave a node. */
    static const char *const other_names[] = {"",
                                              "MsgStorageAppend",
                                              "MsgStorageAppendResp",
                                              "MsgStorageApply",
                                              "MsgStorageApplyResp",
                                              "MsgHup",
                                              "MsgBeat",
                                              "MsgCheckQuorum"};
    for (int i = PD_RAFT_MSG_APP; i <= PD_RAFT_MSG_UNREACHABLE; i++) {
        if (strcmp(pd_raft_message_text((enum pd_raft_message_type)i), name) == 0) {
            return i;
        }
    }
    for (int i = 1; i < 8; i++) {
        if (strcmp(other_names[i], name) == 0) {
            return 100 + i;
        }
    }
    return -2;
}

static const char *run_deliver(struct environment *environment, const struct command *command)
{
    int type = -1;
    uint32_t count = 0;
    const struct argument *wanted = command_find(command, "type");
    if (wanted != NULL && wanted->value_count == 1) {
        type = message_type(wanted->values[0]);
    }
    if (type == -2) {
        return "unknown message type";
    }
    for (uint32_t i = 0; i < command->argument_count; i++) {
        const struct argument *argument = &command->arguments[i];
        uint64_t id = 0;
        if (argument->value_count == 0) {
            if (!read_u64(argument->key, &id)) {
                return "no such node";
            }
            count += deliver(environment, id, type, false);
        }
        for (uint32_t v = 0; v < argument->value_count; v++) {
            if (strcmp(argument->key, "drop") == 0 && read_u64(argument->values[v], &id)) {
                count += deliver(environment, id, type, true);
            }
        }
    }
    if (count == 0) {
        print(environment, "no messages\n");
    }
    return NULL;
}

/* One of the three processing commands, for each node that is named. */
static const char *run_process(struct environment *environment, const struct command *command,
                               const char *title,
                               const char *(*process)(struct environment *, struct node *))
{
    struct node *nodes[ARGUMENTS_MAX];
    uint32_t count = 0;
    const char *wrong = nodes_of(environment, command, nodes, &count);
    for (uint32_t i = 0; i < count && wrong == NULL; i++) {
        if (count == 1) {
            return process(environment, nodes[i]);
        }
        struct text inner;
        print(environment, "> %" PRIu64 " %s\n", nodes[i]->id, title);
        struct text *outer = indent_begin(environment, &inner);
        wrong = process(environment, nodes[i]);
        indent_end(environment, outer);
    }
    return wrong;
}

static const char *run_propose(const struct command *command, struct node *node)
{
    if (command->argument_count != 2) {
        return "propose wants a node and its data";
    }
    const char *text = command->arguments[1].key;
    struct pd_span data = {.size = strlen(text)};
    char *copy = must_copy(text, data.size);
    data.bytes = (const uint8_t *)copy;
    uint64_t index = 0;
    enum pd_status status = pd_raft_propose(node->raft, &data, 1, &index);
    pd_free(copy);
    return status == PD_OK ? NULL : DROPPED;
}

static const char *read_transition(struct environment *environment, const struct command *command,
                                   struct pd_raft_conf_change *change, bool *is_v1)
{
    for (uint32_t i = 1; i < command->argument_count; i++) {
        const struct argument *argument = &command->arguments[i];
        for (uint32_t v = 0; v < argument->value_count; v++) {
            const char *value = argument->values[v];
            if (strcmp(argument->key, "v1") == 0) {
                if (!read_bool(value, is_v1)) {
                    return error_text(environment,
                                      "strconv.ParseBool: parsing \"%s\": invalid syntax", value);
                }
            } else if (strcmp(argument->key, "transition") != 0) {
                return error_text(environment, "unknown command %s", argument->key);
            } else if (strcmp(value, "auto") == 0) {
                change->transition = PD_RAFT_TRANSITION_AUTO;
            } else if (strcmp(value, "implicit") == 0) {
                change->transition = PD_RAFT_TRANSITION_JOINT_IMPLICIT;
            } else if (strcmp(value, "explicit") == 0) {
                change->transition = PD_RAFT_TRANSITION_JOINT_EXPLICIT;
            } else {
                return error_text(environment, "unknown transition %s", value);
            }
        }
    }
    return NULL;
}

static const char *run_propose_conf_change(struct environment *environment,
                                           const struct command *command, struct node *node)
{
    struct pd_raft_conf_change change = {0};
    bool is_v1 = false;
    uint64_t index = 0;
    const char *reason = read_transition(environment, command, &change, &is_v1);
    struct text unread = {0};
    if (reason != NULL) {
        return reason;
    }
    if (!changes_read(command->input, &change, &unread)) {
        reason = error_text(environment, "%s", unread.bytes);
        text_free(&unread);
        return reason;
    }
    if (is_v1 && (change.count != 1 || change.transition != PD_RAFT_TRANSITION_AUTO)) {
        return "v1 conf change can only have one operation and no transition";
    }
    enum pd_status status = pd_raft_propose_conf_change(node->raft, &change, is_v1, &index);
    /* EXISTS: it was replaced by an empty entry, which is no error to the proposer here. */
    return status == PD_OK || status == PD_ERR_EXISTS ? NULL : DROPPED;
}

static const char *run_raft_state(struct environment *environment)
{
    for (uint32_t i = 0; i < environment->node_count; i++) {
        struct pd_raft_status status;
        pd_raft_status(environment->nodes[i]->raft, &status);
        print(environment, "%" PRIu64 ": %s %s Term:%" PRIu64 " Lead:%" PRIu64 "\n", status.id,
              pd_raft_role_text(status.role),
              pd_conf_is_voter(&status.conf, status.id) ? "(Voter)" : "(Non-Voter)",
              status.hard_state.term, status.leader);
    }
    return NULL;
}

static const char *run_status(struct environment *environment, struct node *node)
{
    struct pd_raft_status status;
    pd_raft_status(node->raft, &status);
    for (uint32_t i = 0; i < status.member_count; i++) {
        print(environment, "%" PRIu64 ": %s\n", status.members[i].node,
              pd_raft_member_text(&status.members[i]).text);
    }
    return NULL;
}

static const char *run_report_unreachable(struct environment *environment,
                                          const struct command *command)
{
    struct node *from = node_at(environment, command, 0);
    struct node *to = node_at(environment, command, 1);
    if (from == NULL || to == NULL) {
        return "must specify exactly two node indexes: node on which to report, and reported node";
    }
    pd_raft_report_unreachable(from->raft, to->id);
    return NULL;
}

/* 0: the node does not lead the other. */
static uint64_t session_of(const struct pd_raft_status *status, pd_raft_node node)
{
    for (uint32_t i = 0; i < status->member_count; i++) {
        if (status->members[i].node == node) {
            return status->members[i].session;
        }
    }
    return 0;
}

/* As if the transport had sent one by itself. */
static const char *run_send_snapshot(struct environment *environment, const struct command *command)
{
    struct node *from = node_at(environment, command, 0);
    struct node *to = node_at(environment, command, 1);
    if (from == NULL || to == NULL) {
        return "must specify exactly two node indexes";
    }
    struct pd_raft_status status;
    pd_raft_status(from->raft, &status);
    struct pd_raft_message message = {.type = PD_RAFT_MSG_SNAP,
                                      .group_id = from->config.group_id,
                                      .from = from->id,
                                      .to = to->id,
                                      .term = status.hard_state.term,
                                      .session = session_of(&status, to->id),
                                      .snapshot = &from->applied};
    struct packet packet = copy_message(environment, &message);
    struct text line = {0};
    packets_add(&environment->messages, &packet);
    describe_packet(&line, &packet);
    print(environment, "%s", line.bytes);
    text_free(&line);
    return NULL;
}

static const char *run_set_timeout(const struct command *command, struct node *node)
{
    const struct argument *argument = command_find(command, "timeout");
    uint64_t ticks = 0;
    if (argument == NULL || argument->value_count != 1 || !read_u64(argument->values[0], &ticks) ||
        ticks == 0 || ticks > UINT32_MAX) {
        return "timeout=TICKS is missing";
    }
    pd_raft_set_election_timeout(node->raft, (uint32_t)ticks);
    return NULL;
}

static const char *run_stabilize(struct environment *environment, const struct command *command)
{
    struct node *nodes[ARGUMENTS_MAX];
    uint32_t count = 0;
    int level = environment->level;
    const struct argument *argument = command_find(command, "log-level");
    const char *wrong = nodes_of(environment, command, nodes, &count);
    if (wrong != NULL) {
        return wrong;
    }
    if (argument != NULL && argument->value_count == 1 &&
        !set_level(environment, argument->values[0])) {
        return "log levels must be either of [DEBUG INFO WARN ERROR FATAL NONE]";
    }
    wrong = count == 0 ? stabilize(environment, environment->nodes, environment->node_count)
                       : stabilize(environment, nodes, count);
    environment->level = level;
    return wrong;
}

static const char *run_transfer(struct environment *environment, const struct command *command)
{
    const struct argument *from = command_find(command, "from");
    const struct argument *to = command_find(command, "to");
    uint64_t from_id = 0;
    uint64_t to_id = 0;
    if (from == NULL || to == NULL || from->value_count != 1 || to->value_count != 1 ||
        !read_u64(from->values[0], &from_id) || !read_u64(to->values[0], &to_id) || from_id == 0 ||
        from_id > environment->node_count) {
        return "from=NODE and to=NODE are missing";
    }
    (void)!pd_raft_transfer(environment->nodes[from_id - 1]->raft, to_id);
    return NULL;
}

static const char *tick(struct node *node, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        pd_raft_tick(node->raft, 0);
    }
    return NULL;
}

/* Commands whose first argument is a node. *is_known false: it is none of them. */
static const char *run_on_node(struct environment *environment, const struct command *command,
                               bool *is_known)
{
    static const char *const names[] = {"campaign",       "compact",
                                        "propose",        "propose-conf-change",
                                        "raft-log",       "set-randomized-election-timeout",
                                        "status",         "tick-election",
                                        "tick-heartbeat", "forget-leader"};
    const size_t count = sizeof names / sizeof names[0];
    size_t which = 0;
    while (which < count && strcmp(names[which], command->name) != 0) {
        which++;
    }
    *is_known = which < count;
    struct node *node = node_at(environment, command, 0);
    if (!*is_known || node == NULL) {
        return "no such node";
    }
    switch (which) {
    case 0:
        (void)!pd_raft_campaign(node->raft);
        return NULL;
    case 1:
        return run_compact(environment, command, node);
    case 2:
        return run_propose(command, node);
    case 3:
        return run_propose_conf_change(environment, command, node);
    case 4:
        return run_raft_log(environment, node);
    case 5:
        return run_set_timeout(command, node);
    case 6:
        return run_status(environment, node);
    case 7:
        return tick(node, node->config.election_ticks);
    case 8:
        return tick(node, node->config.heartbeat_ticks);
    default:
        pd_raft_forget_leader(node->raft);
        return NULL;
    }
}

static const char *run_command(struct environment *environment, const struct command *command)
{
    const char *name = command->name;
    bool is_known = false;
    const char *wrong = run_on_node(environment, command, &is_known);
    if (is_known) {
        return wrong;
    }
    if (strcmp(name, "add-nodes") == 0) {
        return add_nodes(environment, command);
    }
    if (strcmp(name, "deliver-msgs") == 0) {
        return run_deliver(environment, command);
    }
    if (strcmp(name, "process-ready") == 0) {
        return run_process(environment, command, "handling Ready", process_ready);
    }
    if (strcmp(name, "process-append-thread") == 0) {
        return run_process(environment, command, "processing append thread", process_append_thread);
    }
    if (strcmp(name, "process-apply-thread") == 0) {
        return run_process(environment, command, "processing apply thread", process_apply_thread);
    }
    if (strcmp(name, "log-level") == 0) {
        return command->argument_count == 1 && set_level(environment, command->arguments[0].key)
                   ? NULL
                   : "log levels must be either of [DEBUG INFO WARN ERROR FATAL NONE]";
    }
    if (strcmp(name, "raft-state") == 0) {
        return run_raft_state(environment);
    }
    if (strcmp(name, "report-unreachable") == 0) {
        return run_report_unreachable(environment, command);
    }
    if (strcmp(name, "send-snapshot") == 0) {
        return run_send_snapshot(environment, command);
    }
    if (strcmp(name, "stabilize") == 0) {
        return run_stabilize(environment, command);
    }
    if (strcmp(name, "transfer-leadership") == 0) {
        return run_transfer(environment, command);
    }
    return strcmp(name, "_breakpoint") == 0 ? NULL : "unknown command";
}

static void *begin(void)
{
    return must_alloc(sizeof(struct environment));
}

static void run(void *state, const struct command *command, struct text *output)
{
    struct environment *environment = state;
    environment->output = output;
    const char *wrong = run_command(environment, command);
    if (wrong != NULL) {
        text_add(output, "%s", wrong); /* told even when nothing else is */
    }
    if (output->size == 0) {
        text_add(output, "ok");
    }
}

static void end(void *state)
{
    struct environment *environment = state;
    for (uint32_t i = 0; i < environment->node_count; i++) {
        free_node(environment->nodes[i]);
    }
    for (size_t i = 0; i < environment->block_count; i++) {
        pd_free(environment->blocks[i]);
    }
    pd_free(environment->blocks);
    packets_free(&environment->messages);
    pd_free(environment);
}

const struct mode interaction_mode = {
    .name = "interaction", .begin = begin, .run = run, .end = end};
