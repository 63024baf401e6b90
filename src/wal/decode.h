/* decode - batches and records out of any bytes: the format is record.h's. Pure.
 *
 * Model      A batch is sound when its header is, when every record's header, checksum and chain
 *            are, and when the records fill just the size that the header names.
 * Ownership  Bytes are borrowed for the call; a record's payload lies in them.
 * Proof      Proven for any bytes: nothing outside is read, and a batch is accepted when and only
 *            when it is sound. Trusted: the checksum and the hash. */
#ifndef PD_WAL_DECODE_H
#define PD_WAL_DECODE_H

#include "base/fixed.h"
#include "wal/record.h"

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
    uint32_t type;
    uint32_t kind;
    uint32_t group_id;
    uint64_t index;
    uint64_t term;
    uint64_t node;
    uint64_t chain;
};

/*@ predicate batch_header_reads{L}(uint8_t *b, struct pd_wal_batch_header *h) =
      h->crc == fixed32(b) && h->size == fixed32(b + 4) && h->sequence == fixed64(b + 8) &&
      h->record_count == fixed32(b + 16) && h->chain == fixed64(b + 24);
    predicate batch_header_sound{L}(uint8_t *b) =
      fixed32(b + 20) == 0 && 0 < fixed32(b + 16) <= fixed32(b + 4) / PD_WAL_RECORD_HEADER_SIZE;
    predicate batch_header_same{L1,L2}(struct pd_wal_batch_header *h) =
      \at(h->crc, L1) == \at(h->crc, L2) && \at(h->size, L1) == \at(h->size, L2) &&
      \at(h->sequence, L1) == \at(h->sequence, L2) &&
      \at(h->record_count, L1) == \at(h->record_count, L2) &&
      \at(h->chain, L1) == \at(h->chain, L2);
    predicate record_header_reads{L}(uint8_t *b, struct pd_wal_record_header *h) =
      h->crc == fixed32(b) && h->payload_size == fixed32(b + 4) && h->type == b[8] &&
      h->kind == b[9] && h->group_id == fixed32(b + 12) && h->index == fixed64(b + 16) &&
      h->term == fixed64(b + 24) && h->node == fixed64(b + 32) && h->chain == fixed64(b + 40);
    predicate record_header_sound{L}(uint8_t *b) =
      PD_WAL_ENTRY <= b[8] <= PD_WAL_FIRST && b[10] == 0 && b[11] == 0;
    predicate record_header_same{L1,L2}(struct pd_wal_record_header *h) =
      \at(h->crc, L1) == \at(h->crc, L2) && \at(h->payload_size, L1) == \at(h->payload_size, L2) &&
      \at(h->type, L1) == \at(h->type, L2) && \at(h->kind, L1) == \at(h->kind, L2) &&
      \at(h->group_id, L1) == \at(h->group_id, L2) && \at(h->index, L1) == \at(h->index, L2) &&
      \at(h->term, L1) == \at(h->term, L2) && \at(h->node, L1) == \at(h->node, L2) &&
      \at(h->chain, L1) == \at(h->chain, L2); */

/*@ logic integer record_size{L}(uint8_t *b) = PD_WAL_RECORD_HEADER_SIZE + fixed32(b + 4);
    predicate record_sound{L}(uint8_t *b, integer size, integer seed, integer chain) =
      size >= PD_WAL_RECORD_HEADER_SIZE && record_header_sound(b) && record_size(b) <= size &&
      sum_of(seed, b + 4, record_size(b) - 4) == fixed32(b) &&
      chain_of(chain, b, record_size(b)) == fixed64(b + 40);
    logic integer offset_of{L}(uint8_t *records, integer i) =
      i <= 0 ? 0 : offset_of(records, i - 1) + record_size(records + offset_of(records, i - 1));
    logic integer link_of{L}(uint8_t *records, integer chain, integer i) =
      i <= 0 ? chain
             : chain_of(link_of(records, chain, i - 1), records + offset_of(records, i - 1),
                        record_size(records + offset_of(records, i - 1)));
    predicate record_fits{L}(uint8_t *records, integer size, integer seed, integer chain,
                             integer i) =
      record_sound(records + offset_of(records, i), size - offset_of(records, i), seed,
                   link_of(records, chain, i));
    predicate records_fit{L}(uint8_t *records, integer size, integer seed, integer chain,
                             integer count) =
      \forall integer i; 0 <= i < count ==> record_fits(records, size, seed, chain, i);
    predicate batch_is_whole{L}(uint8_t *b, integer size) =
      size >= PD_WAL_BATCH_HEADER_SIZE && batch_header_sound(b) &&
      PD_WAL_BATCH_HEADER_SIZE + fixed32(b + 4) <= size;
    predicate batch_continues{L}(uint8_t *b, integer seed, integer sequence, integer chain) =
      sum_of(seed, b + 4, PD_WAL_BATCH_HEADER_SIZE - 4) == fixed32(b) &&
      fixed64(b + 8) == sequence && fixed64(b + 24) == chain;
    predicate batch_sound{L}(uint8_t *b, integer size, integer seed, integer sequence,
                             integer chain) =
      batch_is_whole(b, size) && batch_continues(b, seed, sequence, chain) &&
      records_fit(b + PD_WAL_BATCH_HEADER_SIZE, fixed32(b + 4), seed, chain, fixed32(b + 16)) &&
      offset_of(b + PD_WAL_BATCH_HEADER_SIZE, fixed32(b + 16)) == fixed32(b + 4); */

/* Read a header from `size` bytes. The checksum is not looked at.
 * PD_ERR_RANGE    fewer bytes than a header, or than it promises.
 * PD_ERR_CORRUPT  no record fits its size, or bytes that are zero in every batch are not. */
/*@ requires \valid_read(bytes + (0 .. size - 1)) && \valid(header_out);
    assigns *header_out;
    ensures ok: \result == PD_OK <==> batch_is_whole(bytes, size);
    ensures corrupt: \result == PD_ERR_CORRUPT <==>
      size >= PD_WAL_BATCH_HEADER_SIZE && !batch_header_sound(bytes);
    ensures status: \result == PD_OK || \result == PD_ERR_RANGE || \result == PD_ERR_CORRUPT;
    ensures read: \result == PD_OK ==> batch_header_reads(bytes, header_out);
    ensures error: \result != PD_OK ==> batch_header_same{Pre,Post}(header_out); */
PD_NODISCARD enum pd_status pd_wal_batch_header_decode(const uint8_t *bytes, size_t size,
                                                       struct pd_wal_batch_header *header_out);
/* PD_ERR_CORRUPT: no such type, or bytes that are zero in every record are not. */
/*@ requires \valid_read(bytes + (0 .. size - 1)) && \valid(header_out);
    assigns *header_out;
    ensures ok: \result == PD_OK <==> size >= PD_WAL_RECORD_HEADER_SIZE &&
      record_header_sound(bytes) && record_size(bytes) <= size;
    ensures corrupt: \result == PD_ERR_CORRUPT <==>
      size >= PD_WAL_RECORD_HEADER_SIZE && !record_header_sound(bytes);
    ensures status: \result == PD_OK || \result == PD_ERR_RANGE || \result == PD_ERR_CORRUPT;
    ensures read: \result == PD_OK ==> record_header_reads(bytes, header_out);
    ensures error: \result != PD_OK ==> record_header_same{Pre,Post}(header_out); */
PD_NODISCARD enum pd_status pd_wal_record_header_decode(const uint8_t *bytes, size_t size,
                                                        struct pd_wal_record_header *header_out);

/* Whether `bytes` begin with the whole, sound batch `sequence`: every checksum, the chain, the
 * count. *chain is the chain before, then after; *size_out its padded size. On error nothing is
 * written.
 * PD_ERR_RANGE    the bytes end before it does.
 * PD_ERR_CORRUPT  anything else. */
/*@ requires \valid_read(bytes + (0 .. size - 1)) && \valid(chain) && \valid(size_out);
    requires \separated(chain, size_out);
    assigns *chain, *size_out;
    ensures ok: \result == PD_OK <==>
      batch_sound(bytes, size, seed_of(identity, segment, sequence), sequence, \old(*chain));
    ensures range: \result == PD_ERR_RANGE <==>
      size < PD_WAL_BATCH_HEADER_SIZE ||
      (batch_header_sound(bytes) && size < PD_WAL_BATCH_HEADER_SIZE + fixed32(bytes + 4));
    ensures status: \result == PD_OK || \result == PD_ERR_RANGE || \result == PD_ERR_CORRUPT;
    ensures chain: *chain == (\result == PD_OK
      ? link_of(bytes + PD_WAL_BATCH_HEADER_SIZE, \old(*chain), fixed32(bytes + 16))
      : \old(*chain));
    ensures padded: \result == PD_OK ==> *size_out % PD_DISK_BLOCK_SIZE == 0 &&
      0 <= *size_out - (PD_WAL_BATCH_HEADER_SIZE + fixed32(bytes + 4)) < PD_DISK_BLOCK_SIZE;
    ensures error: \result != PD_OK ==> *size_out == \old(*size_out); */
PD_NODISCARD enum pd_status pd_wal_batch_check(const uint8_t *bytes, size_t size, uint64_t identity,
                                               uint64_t segment, uint64_t sequence, uint64_t *chain,
                                               size_t *size_out);
/* The record at `offset` of a batch that pd_wal_batch_check found sound. Returns the offset of the
 * next. */
/*@ requires offset <= UINT32_MAX && \valid(record_out);
    requires \valid_read(bytes + (offset .. offset + PD_WAL_RECORD_HEADER_SIZE - 1));
    requires PD_WAL_ENTRY <= bytes[offset + 8] <= PD_WAL_FIRST;
    assigns *record_out;
    ensures next: \result == offset + record_size{Pre}(bytes + offset);
    ensures kind: record_out->type == \old(bytes[offset + 8]) &&
      record_out->kind == \old(bytes[offset + 9]);
    ensures place: record_out->group_id == fixed32{Pre}(bytes + offset + 12) &&
      record_out->index == fixed64{Pre}(bytes + offset + 16) &&
      record_out->term == fixed64{Pre}(bytes + offset + 24) &&
      record_out->node == fixed64{Pre}(bytes + offset + 32);
    ensures payload: record_out->payload.bytes == bytes + offset + PD_WAL_RECORD_HEADER_SIZE &&
      record_out->payload.size == fixed32{Pre}(bytes + offset + 4); */
size_t pd_wal_batch_record(const uint8_t *bytes, size_t offset, struct pd_wal_record *record_out);

#endif
