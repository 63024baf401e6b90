/* wire_header - the fixed part of a raft message on the wire. Pure; any bytes may come in.
 *
 * Layout  Little endian: version u8, type u8, flags u8, 0 u8, group u32, from, to, term, log term,
 *         index, commit, reject hint, session, token (u64 each), entry count u32, snapshot size u32
 *         (0: none).
 * Proof   Proven: what get accepts, when and only when; that it gives what put wrote. */
#ifndef PD_RAFT_WIRE_HEADER_H
#define PD_RAFT_WIRE_HEADER_H

#include <stdint.h>

#include "base/fixed.h"
#include "base/status.h"

#define PD_RAFT_WIRE_VERSION 1u
#define PD_RAFT_WIRE_HEADER_SIZE 88u
#define PD_RAFT_WIRE_TYPE_MAX 15u /* PD_RAFT_MSG_FORGET_LEADER: the last that travels */
#define PD_RAFT_WIRE_REJECT 1u
#define PD_RAFT_WIRE_TRANSFER 2u

struct pd_raft_wire_header {
    uint32_t type;
    uint32_t flags;
    uint32_t group_id;
    uint32_t entry_count;
    uint32_t snapshot_size;
    uint64_t from;
    uint64_t to;
    uint64_t term;
    uint64_t log_term;
    uint64_t index;
    uint64_t commit;
    uint64_t reject_hint;
    uint64_t session;
    uint64_t token;
};

/*@ predicate head_reads{L}(uint8_t *bytes, struct pd_raft_wire_header *h) =
      h->type == bytes[1] && h->flags == bytes[2] && h->group_id == fixed32(bytes + 4) &&
      h->from == fixed64(bytes + 8) && h->to == fixed64(bytes + 16);
    predicate place_reads{L}(uint8_t *bytes, struct pd_raft_wire_header *h) =
      h->term == fixed64(bytes + 24) && h->log_term == fixed64(bytes + 32) &&
      h->index == fixed64(bytes + 40) && h->commit == fixed64(bytes + 48);
    predicate tail_reads{L}(uint8_t *bytes, struct pd_raft_wire_header *h) =
      h->reject_hint == fixed64(bytes + 56) && h->session == fixed64(bytes + 64) &&
      h->token == fixed64(bytes + 72) && h->entry_count == fixed32(bytes + 80) &&
      h->snapshot_size == fixed32(bytes + 84);
    predicate header_reads{L}(uint8_t *bytes, struct pd_raft_wire_header *h) =
      head_reads(bytes, h) && place_reads(bytes, h) && tail_reads(bytes, h);
    predicate header_sound{L}(uint8_t *bytes) =
      bytes[0] == PD_RAFT_WIRE_VERSION && 0 < bytes[1] <= PD_RAFT_WIRE_TYPE_MAX && bytes[2] <= 3 &&
      bytes[3] == 0 && fixed64(bytes + 8) != 0 && fixed64(bytes + 16) != 0;
    predicate header_same{L1,L2}(struct pd_raft_wire_header *h) =
      \at(h->type, L1) == \at(h->type, L2) && \at(h->flags, L1) == \at(h->flags, L2) &&
      \at(h->group_id, L1) == \at(h->group_id, L2) &&
      \at(h->entry_count, L1) == \at(h->entry_count, L2) &&
      \at(h->snapshot_size, L1) == \at(h->snapshot_size, L2) &&
      \at(h->from, L1) == \at(h->from, L2) && \at(h->to, L1) == \at(h->to, L2) &&
      \at(h->term, L1) == \at(h->term, L2) && \at(h->log_term, L1) == \at(h->log_term, L2) &&
      \at(h->index, L1) == \at(h->index, L2) && \at(h->commit, L1) == \at(h->commit, L2) &&
      \at(h->reject_hint, L1) == \at(h->reject_hint, L2) &&
      \at(h->session, L1) == \at(h->session, L2) && \at(h->token, L1) == \at(h->token, L2); */

/* Write PD_RAFT_WIRE_HEADER_SIZE bytes. */
/*@ requires \valid(bytes + (0 .. PD_RAFT_WIRE_HEADER_SIZE - 1)) && \valid_read(header);
    requires \separated(header, bytes + (0 .. PD_RAFT_WIRE_HEADER_SIZE - 1));
    requires known: 0 < header->type <= PD_RAFT_WIRE_TYPE_MAX && header->flags <= 3;
    requires named: header->from != 0 && header->to != 0;
    assigns bytes[0 .. PD_RAFT_WIRE_HEADER_SIZE - 1];
    ensures sound: header_sound(bytes);
    ensures head: head_reads(bytes, header);
    ensures place: place_reads(bytes, header);
    ensures tail: tail_reads(bytes, header); */
void pd_raft_wire_header_put(uint8_t *bytes, const struct pd_raft_wire_header *header);

/* Read a header from the beginning of `size` bytes.
 *
 * PD_OK           *header_out is written; type is in 1..TYPE_MAX, flags only known ones.
 * PD_ERR_RANGE    fewer than PD_RAFT_WIRE_HEADER_SIZE bytes.
 * PD_ERR_CORRUPT  another version, an unknown type or flag, a sender or receiver 0. */
/*@ requires \valid_read(bytes + (0 .. size - 1)) && \valid(header_out);
    requires \separated(header_out, bytes + (0 .. size - 1));
    assigns *header_out;
    ensures range: \result == PD_ERR_RANGE <==> size < PD_RAFT_WIRE_HEADER_SIZE;
    ensures ok: \result == PD_OK <==> size >= PD_RAFT_WIRE_HEADER_SIZE && header_sound(bytes);
    ensures status: \result == PD_OK || \result == PD_ERR_RANGE || \result == PD_ERR_CORRUPT;
    ensures read: \result == PD_OK ==> header_reads(bytes, header_out);
    ensures error: \result != PD_OK ==> header_same{Pre,Post}(header_out); */
PD_NODISCARD enum pd_status pd_raft_wire_header_get(const uint8_t *bytes, uint64_t size,
                                                    struct pd_raft_wire_header *header_out);

#endif
