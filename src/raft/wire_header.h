/* wire_header - the fixed part of a raft message on the wire. Pure; a provable leaf: any bytes may
 * come in.
 *
 * Layout  Little endian: version u8, type u8, flags u8, 0 u8, group u32, from, to, term, log term,
 *         index, commit, reject hint, session, token (u64 each), entry count u32, snapshot size u32
 *         (0: none). */
#ifndef PD_RAFT_WIRE_HEADER_H
#define PD_RAFT_WIRE_HEADER_H

#include <stdint.h>

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

/* Write PD_RAFT_WIRE_HEADER_SIZE bytes. */
void pd_raft_wire_header_put(uint8_t *bytes, const struct pd_raft_wire_header *header);

/* Read a header from the beginning of `size` bytes.
 *
 * PD_OK           *header_out is written; type is in 1..TYPE_MAX, flags only known ones.
 * PD_ERR_RANGE    fewer than PD_RAFT_WIRE_HEADER_SIZE bytes.
 * PD_ERR_CORRUPT  another version, an unknown type or flag, a sender or receiver 0. */
PD_NODISCARD enum pd_status pd_raft_wire_header_get(const uint8_t *bytes, uint64_t size,
                                                    struct pd_raft_wire_header *header_out);

#endif
