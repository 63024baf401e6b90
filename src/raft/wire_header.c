#include "raft/wire_header.h"

static void put32(uint8_t *to, uint32_t value)
{
    to[0] = (uint8_t)(value & 255u);
    to[1] = (uint8_t)((value >> 8) & 255u);
    to[2] = (uint8_t)((value >> 16) & 255u);
    to[3] = (uint8_t)((value >> 24) & 255u);
}

static void put64(uint8_t *to, uint64_t value)
{
    put32(to, (uint32_t)(value & 0xFFFFFFFFu));
    put32(to + 4, (uint32_t)(value >> 32));
}

static uint32_t get32(const uint8_t *from)
{
    return (uint32_t)from[0] | ((uint32_t)from[1] << 8) | ((uint32_t)from[2] << 16) |
           ((uint32_t)from[3] << 24);
}

static uint64_t get64(const uint8_t *from)
{
    return (uint64_t)get32(from) | ((uint64_t)get32(from + 4) << 32);
}

void pd_raft_wire_header_put(uint8_t *bytes, const struct pd_raft_wire_header *header)
{
    bytes[0] = (uint8_t)PD_RAFT_WIRE_VERSION;
    bytes[1] = (uint8_t)header->type;
    bytes[2] = (uint8_t)header->flags;
    bytes[3] = 0;
    put32(bytes + 4, header->group_id);
    put64(bytes + 8, header->from);
    put64(bytes + 16, header->to);
    put64(bytes + 24, header->term);
    put64(bytes + 32, header->log_term);
    put64(bytes + 40, header->index);
    put64(bytes + 48, header->commit);
    put64(bytes + 56, header->reject_hint);
    put64(bytes + 64, header->session);
    put64(bytes + 72, header->token);
    put32(bytes + 80, header->entry_count);
    put32(bytes + 84, header->snapshot_size);
}

enum pd_status pd_raft_wire_header_get(const uint8_t *bytes, uint64_t size,
                                       struct pd_raft_wire_header *header_out)
{
    if (size < PD_RAFT_WIRE_HEADER_SIZE) {
        return PD_ERR_RANGE;
    }
    if (bytes[0] != PD_RAFT_WIRE_VERSION || bytes[1] == 0 || bytes[1] > PD_RAFT_WIRE_TYPE_MAX ||
        bytes[2] > (PD_RAFT_WIRE_REJECT | PD_RAFT_WIRE_TRANSFER) || bytes[3] != 0) {
        return PD_ERR_CORRUPT;
    }
    uint64_t from = get64(bytes + 8);
    uint64_t to = get64(bytes + 16);
    if (from == 0 || to == 0) {
        return PD_ERR_CORRUPT;
    }
    header_out->type = bytes[1];
    header_out->flags = bytes[2];
    header_out->group_id = get32(bytes + 4);
    header_out->from = from;
    header_out->to = to;
    header_out->term = get64(bytes + 24);
    header_out->log_term = get64(bytes + 32);
    header_out->index = get64(bytes + 40);
    header_out->commit = get64(bytes + 48);
    header_out->reject_hint = get64(bytes + 56);
    header_out->session = get64(bytes + 64);
    header_out->token = get64(bytes + 72);
    header_out->entry_count = get32(bytes + 80);
    header_out->snapshot_size = get32(bytes + 84);
    return PD_OK;
}
