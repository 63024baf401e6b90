/* Messages that arrive, and everybody at work until nothing is left to do. */
#include <string.h>

#include "raft-conformance/describe.h"
#include "raft/conf_change.h"

/* Two nodes that take each other for the leader pass a proposal on forever. */
#define ROUNDS_MAX 10000u

static bool is_local(const struct packet *packet)
{
    const struct pd_raft_message *message = &packet->message;
    return message->from == message->to || message->from >= APPLY_THREAD ||
           message->to >= APPLY_THREAD;
}

/* Storage messages have types of their own, beyond those of the core. */
static int type_of(const struct packet *packet)
{
    return packet->kind == PACKET_RAFT ? (int)packet->message.type : 100 + (int)packet->kind;
}

bool has_messages(const struct environment *environment, pd_raft_node to)
{
    for (uint32_t i = 0; i < environment->messages.count; i++) {
        if (environment->messages.items[i].message.to == to) {
            return true;
        }
    }
    return false;
}

static const char *step_text(enum pd_status status, const struct packet *packet)
{
    if (status == PD_OK || status == PD_ERR_EXISTS) {
        return NULL; /* a change that came too early was replaced by an empty entry */
    }
    if (status == PD_ERR_UNKNOWN) {
        return "raft: cannot step as peer not found";
    }
    if (packet->message.type == PD_RAFT_MSG_PROP) {
        return "raft proposal dropped";
    }
    if (packet->message.type == PD_RAFT_MSG_APP_RESP ||
        packet->message.type == PD_RAFT_MSG_HEARTBEAT_RESP) {
        return NULL; /* of another membership: passed over without a word */
    }
    return "raft: cannot step raft local message";
}

/* The scripts' nodes take an own answer that comes by way of the storage for a peer's: none of a
 * stranger's. */
static bool is_own_of_stranger(const struct node *node, const struct pd_raft_message *message)
{
    struct pd_raft_status status;
    pd_raft_status(node->raft, &status);
    bool is_answer = message->type == PD_RAFT_MSG_APP_RESP ||
                     message->type == PD_RAFT_MSG_VOTE_RESP ||
                     message->type == PD_RAFT_MSG_PRE_VOTE_RESP;
    return is_answer && message->from == node->id && !pd_conf_is_member(&status.conf, node->id);
}

static const char *step(struct node *node, const struct packet *packet)
{
    const struct pd_raft_message *message = &packet->message;
    switch (packet->kind) {
    case PACKET_RAFT:
        if (is_own_of_stranger(node, message)) {
            return step_text(PD_ERR_UNKNOWN, packet);
        }
        return step_text(pd_raft_step(node->raft, message), packet);
    case PACKET_APPEND_DONE:
        pd_raft_append_done(node->raft, &packet->mark);
        break;
    case PACKET_APPLY_DONE:
        pd_raft_apply_done(node->raft, message->entries[message->entry_count - 1].index);
        break;
    case PACKET_APPEND:
    case PACKET_APPLY:
        break;
    }
    return NULL;
}

static void arrive(struct environment *environment, const struct packet *packet, bool is_dropped)
{
    struct text line = {0};
    describe_packet(&line, packet);
    print(environment, "%s%s\n", is_dropped ? "dropped: " : "", line.bytes);
    text_free(&line);
    pd_raft_node to = packet->message.to;
    if (is_dropped || to == 0 || to > environment->node_count) {
        return;
    }
    struct node *node = environment->nodes[to - 1];
    const char *wrong = step(node, packet);
    if (wrong != NULL) {
        print(environment, "%s\n", wrong);
    }
    pd_raft_check(node->raft);
}

uint32_t deliver(struct environment *environment, pd_raft_node to, int type, bool is_dropped)
{
    struct packets *messages = &environment->messages;
    struct packets chosen = {0};
    uint32_t kept = 0;
    for (uint32_t i = 0; i < messages->count; i++) {
        const struct packet *packet = &messages->items[i];
        if (packet->message.to == to && (type < 0 || type_of(packet) == type) &&
            !(is_dropped && is_local(packet))) {
            packets_add(&chosen, packet);
        } else {
            messages->items[kept++] = *packet;
        }
    }
    messages->count = kept;
    for (uint32_t i = 0; i < chosen.count; i++) {
        arrive(environment, &chosen.items[i], is_dropped);
    }
    uint32_t count = chosen.count;
    packets_free(&chosen);
    return count;
}

static const char *work_off(struct environment *environment, struct node *node, bool is_append)
{
    const struct packets *work = is_append ? &node->append_work : &node->apply_work;
    const char *wrong = NULL;
    print(environment, "> %u processing %s thread\n", (unsigned)node->id,
          is_append ? "append" : "apply");
    while (work->count > 0 && wrong == NULL) {
        struct text inner;
        struct text *outer = indent_begin(environment, &inner);
        wrong = is_append ? process_append_thread(environment, node)
                          : process_apply_thread(environment, node);
        indent_end(environment, outer);
    }
    return wrong;
}

static const char *handle_readys(struct environment *environment, struct node *const *nodes,
                                 uint32_t count, bool *is_done)
{
    for (uint32_t i = 0; i < count; i++) {
        if (pd_raft_has_ready(nodes[i]->raft)) {
            struct text inner;
            print(environment, "> %u handling Ready\n", (unsigned)nodes[i]->id);
            struct text *outer = indent_begin(environment, &inner);
            const char *wrong = process_ready(environment, nodes[i]);
            indent_end(environment, outer);
            if (wrong != NULL) {
                return wrong;
            }
            *is_done = false;
        }
    }
    return NULL;
}

static void receive_all(struct environment *environment, struct node *const *nodes, uint32_t count,
                        bool *is_done)
{
    for (uint32_t i = 0; i < count; i++) {
        if (has_messages(environment, nodes[i]->id)) {
            struct text inner;
            print(environment, "> %u receiving messages\n", (unsigned)nodes[i]->id);
            struct text *outer = indent_begin(environment, &inner);
            (void)deliver(environment, nodes[i]->id, -1, false);
            indent_end(environment, outer);
            *is_done = false;
        }
    }
}

const char *stabilize(struct environment *environment, struct node *const *nodes, uint32_t count)
{
    bool is_done = false;
    for (uint32_t round = 0; !is_done; round++) {
        is_done = true;
        if (round == ROUNDS_MAX) {
            return "the nodes do not come to rest";
        }
        const char *wrong = handle_readys(environment, nodes, count, &is_done);
        if (wrong != NULL) {
            return wrong;
        }
        receive_all(environment, nodes, count, &is_done);
        for (uint32_t thread = 0; thread < 2; thread++) {
            for (uint32_t i = 0; i < count; i++) {
                const struct packets *work =
                    thread == 0 ? &nodes[i]->append_work : &nodes[i]->apply_work;
                if (work->count == 0) {
                    continue;
                }
                wrong = work_off(environment, nodes[i], thread == 0);
                if (wrong != NULL) {
                    return wrong;
                }
                is_done = false;
            }
        }
    }
    return NULL;
}
