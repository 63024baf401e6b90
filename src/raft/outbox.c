/* Messages on their way to the next Ready. */
#include "base/assert.h"
#include "base/mutant.h"
#include "raft/raft_internal.h"

struct pd_raft_outbox *pd_core_outbox(struct pd_raft *raft)
{
    return &raft->outboxes[raft->outbox_current];
}

bool pd_core_outbox_has_room(struct pd_raft *raft)
{
    return pd_core_outbox(raft)->message_count < raft->config.messages_max;
}

/* Answers that vouch for a write wait for it (item 14). */
static bool waits_for_write(enum pd_raft_message_type type)
{
    if (PD_MUTANT(RAFT_VOTE_BEFORE_SYNC) && type == PD_RAFT_MSG_VOTE_RESP) {
        return false;
    }
    if (PD_MUTANT(RAFT_ACK_BEFORE_SYNC) && type == PD_RAFT_MSG_APP_RESP) {
        return false;
    }
    return type == PD_RAFT_MSG_APP_RESP || type == PD_RAFT_MSG_VOTE_RESP ||
           type == PD_RAFT_MSG_PRE_VOTE_RESP;
}

/* One to this node itself must not be lost: it takes the place of an older one of its kind when the
 * room that is kept for them is used up too. */
static bool send_after(struct pd_raft *raft, const struct pd_raft_message *message)
{
    struct pd_raft_outbox *outbox = pd_core_outbox(raft);
    bool is_own = message->to == raft->config.id;
    uint32_t room = raft->config.messages_max + (is_own ? PD_RAFT_SPARE_MESSAGES : 0);
    if (outbox->after_count < room) {
        outbox->after[outbox->after_count++] = *message;
        return true;
    }
    for (uint32_t i = outbox->after_count; is_own && i > 0; i--) {
        struct pd_raft_message *older = &outbox->after[i - 1];
        if (older->to == raft->config.id && older->type == message->type) {
            *older = *message;
            return true;
        }
    }
    return false;
}

bool pd_core_send(struct pd_raft *raft, struct pd_raft_message message)
{
    struct pd_raft_outbox *outbox = pd_core_outbox(raft);
    message.group_id = raft->config.group_id;
    message.from = message.from == 0 ? raft->config.id : message.from;
    switch (message.type) {
    case PD_RAFT_MSG_VOTE:
    case PD_RAFT_MSG_VOTE_RESP:
    case PD_RAFT_MSG_PRE_VOTE:
    case PD_RAFT_MSG_PRE_VOTE_RESP:
        pd_assert(message.term != 0);
        break;
    case PD_RAFT_MSG_PROP:
    case PD_RAFT_MSG_READ_INDEX:
        message.term = 0; /* as if asked at the leader, whatever its term */
        break;
    case PD_RAFT_MSG_APP:
    case PD_RAFT_MSG_APP_RESP:
    case PD_RAFT_MSG_SNAP:
    case PD_RAFT_MSG_HEARTBEAT:
    case PD_RAFT_MSG_HEARTBEAT_RESP:
    case PD_RAFT_MSG_READ_INDEX_RESP:
    case PD_RAFT_MSG_TRANSFER_LEADER:
    case PD_RAFT_MSG_TIMEOUT_NOW:
    case PD_RAFT_MSG_FORGET_LEADER:
    case PD_RAFT_MSG_SNAP_STATUS:
    case PD_RAFT_MSG_UNREACHABLE:
        message.term = raft->term;
        break;
    }
    if (waits_for_write(message.type)) {
        return send_after(raft, &message);
    }
    if (outbox->message_count >= raft->config.messages_max) {
        return false;
    }
    outbox->epochs[outbox->message_count] = raft->log.epoch;
    outbox->messages[outbox->message_count++] = message;
    return true;
}
