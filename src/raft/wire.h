/* wire - raft messages and configurations as bytes. Pure.
 *
 * Layout     wire_header.h, then the snapshot's mark {index u64, term u64, configuration}, then the
 *            entries, each {term u64, index u64, type u8, size u32, data}. Little endian. A
 *            configuration is four counts (u8), a flag (u8) and the node ids (u64) of its lists in
 *            the order of struct pd_raft_conf.
 * Ownership  A decoded message points into the bytes and into the room that the caller gave.
 * Trust      Any bytes: what decodes is well-formed, and whether it makes sense is raft's to
 *            judge. */
#ifndef PD_RAFT_WIRE_H
#define PD_RAFT_WIRE_H

#include "raft/raft.h"

#define PD_RAFT_WIRE_CONF_SIZE_MAX (5u + 4u * 8u * PD_RAFT_MEMBERS_MAX)
#define PD_RAFT_WIRE_ENTRY_HEAD_SIZE 21u

/* At most PD_RAFT_WIRE_CONF_SIZE_MAX bytes; returns how many. */
size_t pd_raft_wire_conf_put(uint8_t *bytes, const struct pd_raft_conf *conf);
/* PD_ERR_CORRUPT: not exactly one configuration, or a list that is too long or not sorted. */
PD_NODISCARD enum pd_status pd_raft_wire_conf_get(struct pd_span bytes,
                                                  struct pd_raft_conf *conf_out);

/* Bytes that the message takes. */
size_t pd_raft_wire_size(const struct pd_raft_message *message);
/* Write exactly pd_raft_wire_size bytes. */
void pd_raft_wire_put(uint8_t *bytes, const struct pd_raft_message *message);

struct pd_raft_wire_room {
    struct pd_raft_entry *entries;
    uint32_t entries_max;
    struct pd_raft_snapshot_meta snapshot;
};
/* PD_ERR_CORRUPT: not exactly one message. PD_ERR_FULL: more entries than entries_max. */
PD_NODISCARD enum pd_status pd_raft_wire_get(struct pd_span bytes, struct pd_raft_wire_room *room,
                                             struct pd_raft_message *message_out);

#endif
