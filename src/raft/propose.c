/* Proposals. */
#include <string.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "base/sometimes.h"
#include "raft/raft_internal.h"

static uint64_t payload(const struct pd_span *data, uint32_t count)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        bytes += data[i].size;
    }
    return bytes;
}

enum pd_status pd_core_append_own(struct pd_raft *raft, enum pd_raft_entry_type type,
                                  const struct pd_span *data, uint32_t count)
{
    uint64_t bytes = payload(data, count);
    /* What weighs nothing is never refused: a leader's first entry, leaving a joint configuration
     * (item 13). */
    bool is_over = (raft->uncommitted_bytes > 0 || PD_MUTANT(RAFT_EMPTY_ENTRY_REFUSED)) &&
                   (bytes > 0 || PD_MUTANT(RAFT_EMPTY_ENTRY_REFUSED)) &&
                   (bytes > raft->config.uncommitted_bytes_max ||
                    raft->uncommitted_bytes >= raft->config.uncommitted_bytes_max - bytes + 1);
    if (raft->config.uncommitted_bytes_max != PD_RAFT_NO_LIMIT && is_over) {
        PD_TRACE(raft, WARN,
                 "%llx appending new entries to log would exceed uncommitted entry size limit; "
                 "dropping proposal",
                 (pd_ull)raft->config.id);
        return PD_ERR_FULL;
    }
    uint32_t spare = bytes > 0 && type == PD_RAFT_ENTRY_NORMAL ? PD_RAFT_SPARE_SLOTS : 0;
    if (!pd_log_memory_fits(&raft->log.memory, data, count, spare)) {
        return PD_ERR_FULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct pd_raft_entry entry = {
            .term = raft->term,
            .index = pd_log_last(&raft->log) + 1,
            .type = type,
            .data = data[i],
        };
        enum pd_status status = pd_log_append(&raft->log, &entry);
        pd_assert(status == PD_OK);
    }
    raft->uncommitted_bytes += bytes;
    /* It acknowledges to itself, after its own write like everybody (items 14 and 17). */
    struct pd_raft_message ack = {
        .type = PD_RAFT_MSG_APP_RESP, .to = raft->config.id, .index = pd_log_last(&raft->log)};
    (void)pd_core_send(raft, ack);
    return PD_OK;
}

enum pd_status pd_core_lead_proposal(struct pd_raft *raft, enum pd_raft_entry_type type,
                                     const struct pd_span *data, uint32_t count)
{
    if (pd_core_member(raft, raft->config.id) == NULL) {
        return PD_ERR_CLOSED; /* removed while leading */
    }
    PD_SOMETIMES(RAFT_PROPOSAL_IN_TRANSFER, raft->transferee != 0);
    if (raft->transferee != 0 && !PD_MUTANT(RAFT_PROPOSES_IN_TRANSFER)) {
        PD_TRACE(raft, DEBUG,
                 "%llx [term %llu] transfer leadership to %llx is in progress; dropping proposal",
                 (pd_ull)raft->config.id, (pd_ull)raft->term, (pd_ull)raft->transferee);
        return PD_ERR_CLOSED;
    }
    enum pd_status status = PD_OK;
    enum pd_status appended = PD_OK;
    if (type == PD_RAFT_ENTRY_NORMAL) {
        appended = pd_core_append_own(raft, type, data, count);
    } else {
        status = pd_core_lead_conf_change(raft, type, data[0]);
        if (status == PD_ERR_EXISTS) {
            struct pd_span empty = {.bytes = NULL, .size = 0};
            appended = pd_core_append_own(raft, PD_RAFT_ENTRY_NORMAL, &empty, 1);
        } else if (status == PD_OK) {
            appended = pd_core_append_own(raft, type, data, 1);
            if (appended == PD_OK) {
                raft->pending_conf_index = pd_log_last(&raft->log);
            }
        } else {
            return status;
        }
    }
    if (appended != PD_OK) {
        return appended;
    }
    pd_core_broadcast_append(raft);
    return status;
}

/* `from`: who proposed it first, whatever way it takes. */
static bool forward(struct pd_raft *raft, pd_raft_node from, enum pd_raft_entry_type type,
                    const struct pd_span *data, uint32_t count)
{
    struct pd_raft_outbox *outbox = pd_core_outbox(raft);
    uint64_t bytes = payload(data, count);
    if (outbox->forward_count + count > PD_RAFT_FORWARD_MAX ||
        bytes > raft->config.forward_bytes_max - outbox->forward_size ||
        !pd_core_outbox_has_room(raft)) {
        return false;
    }
    struct pd_raft_entry *entries = &outbox->forwards[outbox->forward_count];
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *to = outbox->forward_bytes + outbox->forward_size;
        if (data[i].size > 0) {
            memcpy(to, data[i].bytes, data[i].size);
        }
        entries[i] = (struct pd_raft_entry){
            .type = type, .data = {.bytes = data[i].size > 0 ? to : NULL, .size = data[i].size}};
        outbox->forward_size += data[i].size;
    }
    outbox->forward_count += count;
    return pd_core_send(raft, (struct pd_raft_message){.type = PD_RAFT_MSG_PROP,
                                                       .from = from,
                                                       .to = raft->leader,
                                                       .entries = entries,
                                                       .entry_count = count});
}

static enum pd_status propose(struct pd_raft *raft, pd_raft_node from, enum pd_raft_entry_type type,
                              const struct pd_span *data, uint32_t count)
{
    pd_ull id = raft->config.id;
    if (raft->role == PD_RAFT_LEADER) {
        return pd_core_lead_proposal(raft, type, data, count);
    }
    if (raft->role != PD_RAFT_FOLLOWER || raft->leader == 0) {
        PD_TRACE(raft, INFO, "%llx no leader at term %llu; dropping proposal", id,
                 (pd_ull)raft->term);
        return PD_ERR_CLOSED;
    }
    if (raft->config.no_forwarding) {
        PD_TRACE(raft, INFO, "%llx not forwarding to leader %llx at term %llu; dropping proposal",
                 id, (pd_ull)raft->leader, (pd_ull)raft->term);
        return PD_ERR_CLOSED;
    }
    return forward(raft, from, type, data, count) ? PD_OK : PD_ERR_FULL;
}

enum pd_status pd_core_step_proposal(struct pd_raft *raft, const struct pd_raft_message *message)
{
    struct pd_span data[PD_RAFT_FORWARD_MAX];
    pd_assert(message->entry_count > 0);
    enum pd_raft_entry_type type = message->entries[0].type;
    for (uint32_t i = 0; i < message->entry_count; i++) {
        if (message->entries[i].type != type ||
            (type != PD_RAFT_ENTRY_NORMAL && message->entry_count > 1)) {
            return PD_ERR_INVALID;
        }
        data[i] = message->entries[i].data;
    }
    return propose(raft, message->from, type, data, message->entry_count);
}

enum pd_status pd_raft_propose(struct pd_raft *raft, const struct pd_span *data, uint32_t count,
                               uint64_t *index_out)
{
    pd_assert(raft->is_started);
    uint64_t next = pd_log_last(&raft->log) + 1;
    *index_out = 0;
    if (count == 0) {
        return PD_ERR_INVALID;
    }
    enum pd_status status = propose(raft, raft->config.id, PD_RAFT_ENTRY_NORMAL, data, count);
    if (status == PD_OK && raft->role == PD_RAFT_LEADER) {
        *index_out = next;
    }
    return status;
}

enum pd_status pd_raft_propose_conf_change(struct pd_raft *raft,
                                           const struct pd_raft_conf_change *change, bool is_v1,
                                           uint64_t *index_out)
{
    pd_assert(raft->is_started);
    uint8_t bytes[PD_RAFT_CONF_CHANGE_BYTES + 4096];
    struct pd_span data = {.bytes = bytes, .size = 0};
    uint64_t next = pd_log_last(&raft->log) + 1;
    *index_out = 0;
    enum pd_status status =
        pd_raft_conf_change_encode(change, is_v1, bytes, sizeof bytes, &data.size);
    if (status != PD_OK) {
        return PD_ERR_INVALID;
    }
    status = propose(raft, raft->config.id,
                     is_v1 ? PD_RAFT_ENTRY_CONF_CHANGE : PD_RAFT_ENTRY_CONF_CHANGE_V2, &data, 1);
    if (status == PD_OK && raft->role == PD_RAFT_LEADER) {
        *index_out = next;
    }
    return status;
}
