/* record - the bytes of a batch and its records. Pure, over any bytes.
 *
 * Format     All numbers little-endian. A batch begins at a block, and is padded with zeroes to the
 *            next.
 *              batch header  0 crc32c  4 size of the records  8 sequence  16 record count  20 zero
 *                            24 chain before
 *              record        0 crc32c  4 payload size  8 type  9 kind  10 zero  12 group  16 index
 *                            24 term
 *                            32 node  40 chain  48 payload
 *            A checksum covers what stands behind it up to the end of the header or payload, and
 *            begins with the seed of the segment and the batch's sequence, so that bytes of another
 *            life of the file never verify.
 * Chain      Each record's is the hash of the one before and its own content: a log cannot be
 *            spliced. */
#ifndef PD_WAL_RECORD_H
#define PD_WAL_RECORD_H

#include "wal/wal.h"

#define PD_WAL_BATCH_HEADER_SIZE 32u
#define PD_WAL_RECORD_HEADER_SIZE 48u

struct pd_wal_batch_header {
    uint32_t crc;
    uint32_t size;
    uint64_t sequence;
    uint32_t record_count;
    uint64_t chain;
};

struct pd_wal_record_header {
    uint32_t crc;
    uint32_t payload_size;
    uint8_t type;
    uint8_t kind;
    uint32_t group_id;
    uint64_t index;
    uint64_t term;
    uint64_t node;
    uint64_t chain;
};

/* Read a header from `size` bytes. The checksum is not looked at.
 * PD_ERR_RANGE    fewer bytes than a header, or than it promises.
 * PD_ERR_CORRUPT  no record fits its size, or bytes that are zero in every batch are not. */
PD_NODISCARD enum pd_status pd_wal_batch_header_decode(const uint8_t *bytes, size_t size,
                                                       struct pd_wal_batch_header *header_out);
/* PD_ERR_CORRUPT: no such type, or bytes that are zero in every record are not. */
PD_NODISCARD enum pd_status pd_wal_record_header_decode(const uint8_t *bytes, size_t size,
                                                        struct pd_wal_record_header *header_out);

/* What the checksums of a batch begin with. */
uint32_t pd_wal_seed(uint64_t identity, uint64_t segment, uint64_t batch);
/* Chain after a record; `record` are its bytes, header and payload. */
uint64_t pd_wal_chain(uint64_t chain, const uint8_t *record, size_t size);

/* Write the batch of `records` to `to`, which has room for it and its padding. Returns the padded
 * size. *chain is the chain before, then after. */
size_t pd_wal_batch_encode(uint8_t *to, uint64_t identity, uint64_t segment, uint64_t sequence,
                           const struct pd_wal_record *records, uint32_t count, uint64_t *chain);
/* Padded size of a batch. */
uint64_t pd_wal_batch_size(const struct pd_wal_record *records, uint32_t count);

/* Whether `bytes` begin with the whole, sound batch `sequence`: every checksum, the chain, the
 * count. *chain as in encode; *size_out its padded size. PD_ERR_RANGE: the bytes end before it
 * does. */
PD_NODISCARD enum pd_status pd_wal_batch_check(const uint8_t *bytes, size_t size, uint64_t identity,
                                               uint64_t segment, uint64_t sequence, uint64_t *chain,
                                               size_t *size_out);
/* The record at `offset` of a batch that pd_wal_batch_check found sound. Returns the offset of the
 * next. */
size_t pd_wal_batch_record(const uint8_t *bytes, size_t offset, struct pd_wal_record *record_out);

#endif
