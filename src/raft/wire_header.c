#include "raft/wire_header.h"

/*@ requires \valid(bytes + (0 .. 23)) && \valid_read(header);
    requires \separated(header, bytes + (0 .. 23));
    requires known: 0 < header->type <= PD_RAFT_WIRE_TYPE_MAX && header->flags <= 3;
    requires named: header->from != 0 && header->to != 0;
    assigns bytes[0 .. 23];
    ensures marks: bytes[0] == PD_RAFT_WIRE_VERSION && bytes[3] == 0;
    ensures written: head_reads(bytes, header); */
static void put_head(uint8_t *bytes, const struct pd_raft_wire_header *header)
{
    bytes[0] = (uint8_t)PD_RAFT_WIRE_VERSION;
    bytes[1] = (uint8_t)header->type;
    bytes[2] = (uint8_t)header->flags;
    bytes[3] = 0;
    pd_fixed_put32(bytes + 4, header->group_id);
    pd_fixed_put64(bytes + 8, header->from);
    //@ assert fixed32(bytes + 4) == header->group_id;
    pd_fixed_put64(bytes + 16, header->to);
    //@ assert fixed32(bytes + 4) == header->group_id;
    //@ assert fixed64(bytes + 8) == header->from;
    /*@ assert bytes[0] == PD_RAFT_WIRE_VERSION && bytes[1] == header->type &&
          bytes[2] == header->flags && bytes[3] == 0; */
}

/*@ requires \valid(bytes + (24 .. 55)) && \valid_read(header);
    requires \separated(header, bytes + (24 .. 55));
    assigns bytes[24 .. 55];
    ensures written: place_reads(bytes, header); */
static void put_place(uint8_t *bytes, const struct pd_raft_wire_header *header)
{
    pd_fixed_put64(bytes + 24, header->term);
    pd_fixed_put64(bytes + 32, header->log_term);
    //@ assert fixed64(bytes + 24) == header->term;
    pd_fixed_put64(bytes + 40, header->index);
    //@ assert fixed64(bytes + 24) == header->term;
    //@ assert fixed64(bytes + 32) == header->log_term;
    pd_fixed_put64(bytes + 48, header->commit);
    //@ assert fixed64(bytes + 24) == header->term;
    //@ assert fixed64(bytes + 32) == header->log_term;
    //@ assert fixed64(bytes + 40) == header->index;
}

/*@ requires \valid(bytes + (56 .. 87)) && \valid_read(header);
    requires \separated(header, bytes + (56 .. 87));
    assigns bytes[56 .. 87];
    ensures written: tail_reads(bytes, header); */
static void put_tail(uint8_t *bytes, const struct pd_raft_wire_header *header)
{
    pd_fixed_put64(bytes + 56, header->reject_hint);
    pd_fixed_put64(bytes + 64, header->session);
    //@ assert fixed64(bytes + 56) == header->reject_hint;
    pd_fixed_put64(bytes + 72, header->token);
    //@ assert fixed64(bytes + 56) == header->reject_hint;
    //@ assert fixed64(bytes + 64) == header->session;
    pd_fixed_put32(bytes + 80, header->entry_count);
    //@ assert fixed64(bytes + 56) == header->reject_hint;
    //@ assert fixed64(bytes + 64) == header->session;
    //@ assert fixed64(bytes + 72) == header->token;
    pd_fixed_put32(bytes + 84, header->snapshot_size);
    //@ assert fixed64(bytes + 56) == header->reject_hint;
    //@ assert fixed64(bytes + 64) == header->session;
    //@ assert fixed64(bytes + 72) == header->token;
    //@ assert fixed32(bytes + 80) == header->entry_count;
}

/* Facts that stay are asserted one by one: each is small, all at once are too much. */
/*@ requires \valid(bytes + (24 .. 87)) && \valid_read(header);
    requires \separated(header, bytes + (24 .. 87));
    assigns bytes[24 .. 87];
    ensures place: place_reads(bytes, header);
    ensures tail: tail_reads(bytes, header); */
static void put_rest(uint8_t *bytes, const struct pd_raft_wire_header *header)
{
    put_place(bytes, header);
    put_tail(bytes, header);
    //@ assert fixed64(bytes + 24) == header->term;
    //@ assert fixed64(bytes + 32) == header->log_term;
    //@ assert fixed64(bytes + 40) == header->index;
    //@ assert fixed64(bytes + 48) == header->commit;
}

void pd_raft_wire_header_put(uint8_t *bytes, const struct pd_raft_wire_header *header)
{
    put_head(bytes, header);
    put_rest(bytes, header);
    /*@ assert bytes[0] == PD_RAFT_WIRE_VERSION && bytes[1] == header->type &&
          bytes[2] == header->flags && bytes[3] == 0; */
    //@ assert fixed32(bytes + 4) == header->group_id;
    //@ assert fixed64(bytes + 8) == header->from;
    //@ assert fixed64(bytes + 16) == header->to;
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
    uint64_t from = pd_fixed_get64(bytes + 8);
    uint64_t to = pd_fixed_get64(bytes + 16);
    if (from == 0 || to == 0) {
        return PD_ERR_CORRUPT;
    }
    header_out->type = bytes[1];
    header_out->flags = bytes[2];
    header_out->group_id = pd_fixed_get32(bytes + 4);
    header_out->from = from;
    header_out->to = to;
    header_out->term = pd_fixed_get64(bytes + 24);
    header_out->log_term = pd_fixed_get64(bytes + 32);
    header_out->index = pd_fixed_get64(bytes + 40);
    header_out->commit = pd_fixed_get64(bytes + 48);
    header_out->reject_hint = pd_fixed_get64(bytes + 56);
    header_out->session = pd_fixed_get64(bytes + 64);
    header_out->token = pd_fixed_get64(bytes + 72);
    header_out->entry_count = pd_fixed_get32(bytes + 80);
    header_out->snapshot_size = pd_fixed_get32(bytes + 84);
    return PD_OK;
}
