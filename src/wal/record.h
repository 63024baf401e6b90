/* record - the bytes of a batch and its records: how they are written. Pure. decode.h reads them.
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

/* What the sums below are is not said to the prover, and nothing proven depends on it: only that
 * they are functions of what they are given. */
/*@ axiomatic Sums {
      logic integer seed_of(integer identity, integer segment, integer batch);
      logic integer sum_of{L}(integer seed, uint8_t *bytes, integer size)
        reads bytes[0 .. size - 1];
      logic integer chain_of{L}(integer chain, uint8_t *record, integer size)
        reads record[0 .. size - 1];
    } */

/* What the checksums of a batch begin with. */
/*@ assigns \nothing;
    ensures exact: \result == seed_of(identity, segment, batch); */
uint32_t pd_wal_seed(uint64_t identity, uint64_t segment, uint64_t batch);
/* The checksum of some bytes of a batch. */
/*@ requires \valid_read(bytes + (0 .. size - 1));
    assigns \nothing;
    ensures exact: \result == sum_of(seed, bytes, size); */
uint32_t pd_wal_sum(uint32_t seed, const uint8_t *bytes, size_t size);
/* Chain after a record; `record` are its bytes, header and payload. */
/*@ requires size >= PD_WAL_RECORD_HEADER_SIZE && \valid_read(record + (0 .. size - 1));
    assigns \nothing;
    ensures exact: \result == chain_of(chain, record, size); */
uint64_t pd_wal_chain(uint64_t chain, const uint8_t *record, size_t size);

/* Write the batch of `records` to `to`, which has room for it and its padding. Returns the padded
 * size. *chain is the chain before, then after. */
size_t pd_wal_batch_encode(uint8_t *to, uint64_t identity, uint64_t segment, uint64_t sequence,
                           const struct pd_wal_record *records, uint32_t count, uint64_t *chain);
/* Padded size of a batch. */
uint64_t pd_wal_batch_size(const struct pd_wal_record *records, uint32_t count);

#endif
