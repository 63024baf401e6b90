/* snapshot_format - the one form in which a state leaves its store: for a peer, for a backup, for
 * the simulator. Pure.
 *
 * Model      A snapshot is the rows of one group at one exact applied index, as a chain of chunks:
 *            one HEAD, any number of ROWS in bytewise key order, one END with the totals. The head
 *            carries the kv's own account of the state (its meta row) and the raft configuration
 *            of that index, so these rows are not among the others. Rows that belong to one store
 *            alone (how far its removal of compacted rows has come) are left out.
 * Chain      Every chunk's checksum begins with a hash of all chunks before it, and covers cluster,
 *            group, transfer, index and number: a chunk of another snapshot, or in another place,
 *            never verifies.
 * Equality   Two sound snapshots of the same index may differ in bytes: compacted rows may be gone
 *            from one store and not yet from the other. Whether the states are equal is told by
 *            the hashes in the kv's meta row, never by these bytes.
 * Layout     Little endian. A chunk: crc32c u32 (of what follows), version u8, kind u8, 0 u16, body
 *            size u32, group u32, cluster u64, transfer u64, index u64, number u64, body.
 *              HEAD  term u64, sender's raft term u64, configuration size u32, meta size u32, both
 *              ROWS  count u32, then (key size u32, value size u32, key, value) each
 *              END   rows u64, bytes of rows u64, chain u64, flags u32, 0 u32, raft term u64, raft
 *                    session u64
 * Bounds     The caller's: a chunk is as large as what is put into it. Decoding looks at nothing
 *            outside of the bytes, and takes time in proportion to them.
 * Ownership  Spans of a decoded chunk borrow from its bytes.
 * Trust      Any bytes may be decoded. */
#ifndef PD_NODE_SNAPSHOT_FORMAT_H
#define PD_NODE_SNAPSHOT_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

#define PD_SNAPSHOT_VERSION 1u
#define PD_SNAPSHOT_CHUNK_HEAD_SIZE 48u
#define PD_SNAPSHOT_ROWS_AT (PD_SNAPSHOT_CHUNK_HEAD_SIZE + 4u) /* the first row of a ROWS chunk */
#define PD_SNAPSHOT_ROW_HEAD_SIZE 8u
#define PD_SNAPSHOT_END_SIZE (PD_SNAPSHOT_CHUNK_HEAD_SIZE + 48u)

enum pd_snapshot_kind {
    PD_SNAPSHOT_HEAD = 1,
    PD_SNAPSHOT_ROWS = 2,
    PD_SNAPSHOT_END = 3
};

/* What all chunks of a snapshot have in common. */
struct pd_snapshot_id {
    uint64_t cluster_id;
    uint64_t transfer; /* which one: of a sender's choice */
    uint64_t index;    /* applied */
    uint32_t group_id;
};

/* Where a chain of chunks stands: the same on the side that writes and on the one that reads. */
struct pd_snapshot_chain {
    struct pd_snapshot_id id;
    uint64_t number; /* of the next chunk */
    uint64_t rows;
    uint64_t bytes; /* of rows, their heads included */
    uint64_t link;  /* hash of all chunks so far */
    bool is_ended;
};

struct pd_snapshot_head {
    uint64_t term;        /* of the entry at the index */
    uint64_t sender_term; /* the sender's raft term when it began */
    struct pd_span conf;  /* raft/wire.h */
    struct pd_span meta;  /* the kv's */
};

/* What the receiver tells its own raft, when the sender's had asked for this transfer: the message
 * that raft would have sent if it could carry the rows. */
struct pd_snapshot_end {
    bool is_for_raft;
    uint64_t raft_term;
    uint64_t raft_session;
};

struct pd_snapshot_chunk {
    enum pd_snapshot_kind kind;
    struct pd_snapshot_head head;
    struct pd_span rows;
    uint32_t row_count;
    struct pd_snapshot_end end;
};

void pd_snapshot_chain_init(struct pd_snapshot_chain *chain, const struct pd_snapshot_id *id);

/* -- Writing: the chunks of a chain, in order -------------------------------------------------- */

size_t pd_snapshot_head_size(const struct pd_snapshot_head *head);
/* Writes pd_snapshot_head_size bytes. Only as the first chunk. */
void pd_snapshot_put_head(struct pd_snapshot_chain *chain, uint8_t *bytes,
                          const struct pd_snapshot_head *head);
/* The caller has put `count` > 0 rows of `size` bytes at bytes + PD_SNAPSHOT_ROWS_AT, keys
 * ascending; this makes a chunk of PD_SNAPSHOT_ROWS_AT + size bytes of it. */
void pd_snapshot_seal_rows(struct pd_snapshot_chain *chain, uint8_t *bytes, uint32_t count,
                           size_t size);
/* One row behind `size` bytes of rows; returns their new size. The caller has the room. */
size_t pd_snapshot_put_row(uint8_t *rows, size_t size, struct pd_span key, struct pd_span value);
/* Writes PD_SNAPSHOT_END_SIZE bytes. */
void pd_snapshot_put_end(struct pd_snapshot_chain *chain, uint8_t *bytes,
                         const struct pd_snapshot_end *end);

/* -- Reading ----------------------------------------------------------------------------------- */

struct pd_snapshot_peek {
    enum pd_snapshot_kind kind;
    struct pd_snapshot_id id;
    uint64_t number;
};
/* What a chunk says that it is; nothing is verified. PD_ERR_CORRUPT: not exactly one chunk of a
 * known version. */
PD_NODISCARD enum pd_status pd_snapshot_peek(struct pd_span bytes,
                                             struct pd_snapshot_peek *peek_out);
/* The next chunk of the chain.
 *
 * PD_OK           *chunk_out is written, the chain has moved on. After END it is over.
 * PD_ERR_CORRUPT  not the next chunk of this chain, damaged, or an END whose totals differ. The
 *                 chain is as before: the same place may be tried again. */
PD_NODISCARD enum pd_status pd_snapshot_take(struct pd_snapshot_chain *chain, struct pd_span bytes,
                                             struct pd_snapshot_chunk *chunk_out);
/* The next row of a taken chunk; *at begins at 0. false: there is none left. */
bool pd_snapshot_row(const struct pd_snapshot_chunk *chunk, size_t *at, struct pd_span *key_out,
                     struct pd_span *value_out);

#endif
