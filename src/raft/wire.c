#include "raft/wire.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "raft/wire_header.h"

_Static_assert(PD_RAFT_WIRE_TYPE_MAX == PD_RAFT_MSG_FORGET_LEADER, "local messages never travel");

static size_t put_list(uint8_t *to, const pd_raft_node *nodes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        pd_put_u64(to + 8u * (size_t)i, nodes[i]);
    }
    return 8u * (size_t)count;
}

size_t pd_raft_wire_conf_put(uint8_t *bytes, const struct pd_raft_conf *conf)
{
    bytes[0] = (uint8_t)conf->voter_count;
    bytes[1] = (uint8_t)conf->voter_outgoing_count;
    bytes[2] = (uint8_t)conf->learner_count;
    bytes[3] = (uint8_t)conf->learner_next_count;
    bytes[4] = conf->auto_leave ? 1 : 0;
    size_t size = 5;
    size += put_list(bytes + size, conf->voters, conf->voter_count);
    size += put_list(bytes + size, conf->voters_outgoing, conf->voter_outgoing_count);
    size += put_list(bytes + size, conf->learners, conf->learner_count);
    size += put_list(bytes + size, conf->learners_next, conf->learner_next_count);
    return size;
}

static bool get_list(const uint8_t *from, uint32_t count, pd_raft_node *nodes)
{
    pd_raft_node last = 0;
    for (uint32_t i = 0; i < count; i++) {
        nodes[i] = pd_get_u64(from + 8u * (size_t)i);
        if (nodes[i] <= last) {
            return false;
        }
        last = nodes[i];
    }
    return true;
}

enum pd_status pd_raft_wire_conf_get(struct pd_span bytes, struct pd_raft_conf *conf_out)
{
    memset(conf_out, 0, sizeof(*conf_out));
    if (bytes.size < 5 || bytes.bytes[4] > 1) {
        return PD_ERR_CORRUPT;
    }
    size_t total = 0;
    for (int i = 0; i < 4; i++) {
        if (bytes.bytes[i] > PD_RAFT_MEMBERS_MAX) {
            return PD_ERR_CORRUPT;
        }
        total += bytes.bytes[i];
    }
    if (bytes.size != 5 + 8 * total) {
        return PD_ERR_CORRUPT;
    }
    conf_out->voter_count = bytes.bytes[0];
    conf_out->voter_outgoing_count = bytes.bytes[1];
    conf_out->learner_count = bytes.bytes[2];
    conf_out->learner_next_count = bytes.bytes[3];
    conf_out->auto_leave = bytes.bytes[4] == 1;
    const uint8_t *at = bytes.bytes + 5;
    bool is_good = get_list(at, conf_out->voter_count, conf_out->voters);
    at += 8u * (size_t)conf_out->voter_count;
    is_good = get_list(at, conf_out->voter_outgoing_count, conf_out->voters_outgoing) && is_good;
    at += 8u * (size_t)conf_out->voter_outgoing_count;
    is_good = get_list(at, conf_out->learner_count, conf_out->learners) && is_good;
    at += 8u * (size_t)conf_out->learner_count;
    is_good = get_list(at, conf_out->learner_next_count, conf_out->learners_next) && is_good;
    return is_good ? PD_OK : PD_ERR_CORRUPT;
}

static size_t conf_size(const struct pd_raft_conf *conf)
{
    return 5 + 8u * ((size_t)conf->voter_count + conf->voter_outgoing_count + conf->learner_count +
                     conf->learner_next_count);
}

static size_t snapshot_size(const struct pd_raft_message *message)
{
    return message->snapshot == NULL ? 0 : 16 + conf_size(&message->snapshot->conf);
}

size_t pd_raft_wire_size(const struct pd_raft_message *message)
{
    size_t size = PD_RAFT_WIRE_HEADER_SIZE + snapshot_size(message);
    for (uint32_t i = 0; i < message->entry_count; i++) {
        size += PD_RAFT_WIRE_ENTRY_HEAD_SIZE + message->entries[i].data.size;
    }
    return size;
}

void pd_raft_wire_put(uint8_t *bytes, const struct pd_raft_message *message)
{
    struct pd_raft_wire_header header = {.type = (uint32_t)message->type,
                                         .flags =
                                             (message->reject ? PD_RAFT_WIRE_REJECT : 0u) |
                                             (message->is_transfer ? PD_RAFT_WIRE_TRANSFER : 0u),
                                         .group_id = message->group_id,
                                         .entry_count = message->entry_count,
                                         .snapshot_size = (uint32_t)snapshot_size(message),
                                         .from = message->from,
                                         .to = message->to,
                                         .term = message->term,
                                         .log_term = message->log_term,
                                         .index = message->index,
                                         .commit = message->commit,
                                         .reject_hint = message->reject_hint,
                                         .session = message->session,
                                         .token = message->token};
    pd_assert(header.type >= 1 && header.type <= PD_RAFT_WIRE_TYPE_MAX);
    pd_raft_wire_header_put(bytes, &header);
    uint8_t *at = bytes + PD_RAFT_WIRE_HEADER_SIZE;
    if (message->snapshot != NULL) {
        pd_put_u64(at, message->snapshot->index);
        pd_put_u64(at + 8, message->snapshot->term);
        at += 16;
        at += pd_raft_wire_conf_put(at, &message->snapshot->conf);
    }
    for (uint32_t i = 0; i < message->entry_count; i++) {
        const struct pd_raft_entry *entry = &message->entries[i];
        pd_put_u64(at, entry->term);
        pd_put_u64(at + 8, entry->index);
        at[16] = (uint8_t)entry->type;
        pd_put_u32(at + 17, (uint32_t)entry->data.size);
        at += PD_RAFT_WIRE_ENTRY_HEAD_SIZE;
        if (entry->data.size > 0) {
            memcpy(at, entry->data.bytes, entry->data.size);
        }
        at += entry->data.size;
    }
}

static enum pd_status get_entries(struct pd_span bytes, uint32_t count,
                                  struct pd_raft_wire_room *room)
{
    size_t at = 0;
    if (count > room->entries_max) {
        return PD_ERR_FULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (bytes.size - at < PD_RAFT_WIRE_ENTRY_HEAD_SIZE) {
            return PD_ERR_CORRUPT;
        }
        const uint8_t *from = bytes.bytes + at;
        uint32_t size = pd_get_u32(from + 17);
        at += PD_RAFT_WIRE_ENTRY_HEAD_SIZE;
        if (from[16] > PD_RAFT_ENTRY_CONF_CHANGE_V2 || size > bytes.size - at) {
            return PD_ERR_CORRUPT;
        }
        room->entries[i] = (struct pd_raft_entry){.term = pd_get_u64(from),
                                                  .index = pd_get_u64(from + 8),
                                                  .type = (enum pd_raft_entry_type)from[16],
                                                  .data = {bytes.bytes + at, size}};
        at += size;
    }
    return at == bytes.size ? PD_OK : PD_ERR_CORRUPT;
}

enum pd_status pd_raft_wire_get(struct pd_span bytes, struct pd_raft_wire_room *room,
                                struct pd_raft_message *message_out)
{
    struct pd_raft_wire_header header;
    if (pd_raft_wire_header_get(bytes.bytes, bytes.size, &header) != PD_OK) {
        return PD_ERR_CORRUPT;
    }
    struct pd_span rest = {bytes.bytes + PD_RAFT_WIRE_HEADER_SIZE,
                           bytes.size - PD_RAFT_WIRE_HEADER_SIZE};
    bool has_snapshot = header.snapshot_size > 0;
    if (has_snapshot != (header.type == PD_RAFT_MSG_SNAP)) {
        return PD_ERR_CORRUPT;
    }
    if (has_snapshot) {
        if (header.snapshot_size < 16 || header.snapshot_size > rest.size) {
            return PD_ERR_CORRUPT;
        }
        room->snapshot.index = pd_get_u64(rest.bytes);
        room->snapshot.term = pd_get_u64(rest.bytes + 8);
        struct pd_span conf = {rest.bytes + 16, header.snapshot_size - 16u};
        if (pd_raft_wire_conf_get(conf, &room->snapshot.conf) != PD_OK) {
            return PD_ERR_CORRUPT;
        }
        rest.bytes += header.snapshot_size;
        rest.size -= header.snapshot_size;
    }
    enum pd_status status = get_entries(rest, header.entry_count, room);
    if (status != PD_OK) {
        return status;
    }
    *message_out =
        (struct pd_raft_message){.type = (enum pd_raft_message_type)header.type,
                                 .group_id = header.group_id,
                                 .from = header.from,
                                 .to = header.to,
                                 .term = header.term,
                                 .log_term = header.log_term,
                                 .index = header.index,
                                 .commit = header.commit,
                                 .reject_hint = header.reject_hint,
                                 .session = header.session,
                                 .token = header.token,
                                 .reject = (header.flags & PD_RAFT_WIRE_REJECT) != 0,
                                 .is_transfer = (header.flags & PD_RAFT_WIRE_TRANSFER) != 0,
                                 .entries = room->entries,
                                 .entry_count = header.entry_count,
                                 .snapshot = has_snapshot ? &room->snapshot : NULL};
    return PD_OK;
}
