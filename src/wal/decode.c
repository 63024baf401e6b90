#include "wal/decode.h"

#include "base/mutant.h"

enum pd_status pd_wal_batch_header_decode(const uint8_t *bytes, size_t size,
                                          struct pd_wal_batch_header *header_out)
{
    if (size < PD_WAL_BATCH_HEADER_SIZE) {
        return PD_ERR_RANGE;
    }
    uint32_t records_size = pd_fixed_get32(bytes + 4);
    uint32_t record_count = pd_fixed_get32(bytes + 16);
    if (pd_fixed_get32(bytes + 20) != 0 || record_count == 0 ||
        records_size / PD_WAL_RECORD_HEADER_SIZE < record_count) {
        return PD_ERR_CORRUPT;
    }
    if (size - PD_WAL_BATCH_HEADER_SIZE < records_size) {
        return PD_ERR_RANGE;
    }
    header_out->crc = pd_fixed_get32(bytes);
    header_out->size = records_size;
    header_out->sequence = pd_fixed_get64(bytes + 8);
    header_out->record_count = record_count;
    header_out->chain = pd_fixed_get64(bytes + 24);
    return PD_OK;
}

enum pd_status pd_wal_record_header_decode(const uint8_t *bytes, size_t size,
                                           struct pd_wal_record_header *header_out)
{
    if (size < PD_WAL_RECORD_HEADER_SIZE) {
        return PD_ERR_RANGE;
    }
    if (bytes[8] < PD_WAL_ENTRY || bytes[8] > PD_WAL_FIRST || bytes[10] != 0 || bytes[11] != 0) {
        return PD_ERR_CORRUPT;
    }
    uint32_t payload_size = pd_fixed_get32(bytes + 4);
    if (size - PD_WAL_RECORD_HEADER_SIZE < payload_size) {
        return PD_ERR_RANGE;
    }
    header_out->crc = pd_fixed_get32(bytes);
    header_out->payload_size = payload_size;
    header_out->type = bytes[8];
    header_out->kind = bytes[9];
    header_out->group_id = pd_fixed_get32(bytes + 12);
    header_out->index = pd_fixed_get64(bytes + 16);
    header_out->term = pd_fixed_get64(bytes + 24);
    header_out->node = pd_fixed_get64(bytes + 32);
    header_out->chain = pd_fixed_get64(bytes + 40);
    return PD_OK;
}

/* The size of the record at `bytes` if it is sound and continues the chain, else 0. */
/*@ requires \valid_read(bytes + (0 .. size - 1));
    assigns \nothing;
    ensures sound: \result != 0 ==> record_sound(bytes, size, seed, chain);
    ensures unsound: \result == 0 ==> !record_sound(bytes, size, seed, chain);
    ensures size: \result != 0 ==> \result == record_size(bytes) && \result <= size; */
static size_t sound_record_size(const uint8_t *bytes, size_t size, uint32_t seed, uint64_t chain)
{
    struct pd_wal_record_header header;
    if (pd_wal_record_header_decode(bytes, size, &header) != PD_OK) {
        return 0;
    }
    size_t whole = PD_WAL_RECORD_HEADER_SIZE + (size_t)header.payload_size;
    //@ assert whole: whole == record_size(bytes) && whole <= size;
    //@ assert crc: header.crc == fixed32(bytes);
    //@ assert link: header.chain == fixed64(bytes + 40);
    if (pd_wal_sum(seed, bytes + 4, whole - 4) != header.crc && !PD_MUTANT(WAL_CRC_IGNORED)) {
        return 0;
    }
    return pd_wal_chain(chain, bytes, whole) == header.chain || PD_MUTANT(WAL_CRC_IGNORED) ? whole
                                                                                           : 0;
}

/* Whether `count` sound records fill the bytes; *chain as in pd_wal_batch_check. */
/*@ requires size <= UINT32_MAX && \valid_read(bytes + (0 .. size - 1)) && \valid(chain);
    assigns *chain;
    ensures exact: \result == PD_OK <==>
      records_fit(bytes, size, seed, \old(*chain), count) && offset_of(bytes, count) == size;
    ensures status: \result == PD_OK || \result == PD_ERR_CORRUPT;
    ensures chain: *chain ==
      (\result == PD_OK ? link_of(bytes, \old(*chain), count) : \old(*chain)); */
static enum pd_status check_records(const uint8_t *bytes, size_t size, uint32_t count,
                                    uint32_t seed, uint64_t *chain)
{
    uint64_t link = *chain;
    size_t used = 0;
    /*@ loop invariant 0 <= i <= count && used <= size;
        loop invariant offset: used == offset_of(bytes, i);
        loop invariant link: link == link_of(bytes, *chain, i);
        loop invariant sound: records_fit(bytes, size, seed, *chain, i);
        loop assigns i, link, used;
        loop variant count - i; */
    for (uint32_t i = 0; i < count; i++) {
        size_t whole = sound_record_size(bytes + used, size - used, seed, link);
        if (whole == 0) {
            //@ assert bad: !record_fits(bytes, size, seed, *chain, i);
            return PD_ERR_CORRUPT;
        }
        /* Its own chain is the one that it was checked to have. */
        link = pd_fixed_get64(bytes + used + 40);
        used += whole;
    }
    if (used != size) {
        return PD_ERR_CORRUPT;
    }
    *chain = link;
    return PD_OK;
}

enum pd_status pd_wal_batch_check(const uint8_t *bytes, size_t size, uint64_t identity,
                                  uint64_t segment, uint64_t sequence, uint64_t *chain,
                                  size_t *size_out)
{
    struct pd_wal_batch_header header;
    enum pd_status status = pd_wal_batch_header_decode(bytes, size, &header);
    if (status != PD_OK) {
        return status;
    }
    uint32_t seed = pd_wal_seed(identity, segment, header.sequence);
    if (pd_wal_sum(seed, bytes + 4, PD_WAL_BATCH_HEADER_SIZE - 4) != header.crc ||
        header.chain != *chain || (header.sequence != sequence && !PD_MUTANT(WAL_STALE_BATCH))) {
        return PD_ERR_CORRUPT;
    }
    status = check_records(bytes + PD_WAL_BATCH_HEADER_SIZE, header.size, header.record_count, seed,
                           chain);
    if (status == PD_OK) {
        *size_out = (PD_WAL_BATCH_HEADER_SIZE + (size_t)header.size + PD_DISK_BLOCK_SIZE - 1) /
                    PD_DISK_BLOCK_SIZE * PD_DISK_BLOCK_SIZE;
    }
    return status;
}

size_t pd_wal_batch_record(const uint8_t *bytes, size_t offset, struct pd_wal_record *record_out)
{
    const uint8_t *from = bytes + offset;
    uint32_t payload_size = pd_fixed_get32(from + 4);
    record_out->group_id = pd_fixed_get32(from + 12);
    record_out->index = pd_fixed_get64(from + 16);
    record_out->term = pd_fixed_get64(from + 24);
    record_out->node = pd_fixed_get64(from + 32);
    record_out->payload.bytes = from + PD_WAL_RECORD_HEADER_SIZE;
    record_out->payload.size = payload_size;
    record_out->type = (enum pd_wal_record_type)from[8];
    record_out->kind = from[9];
    return offset + PD_WAL_RECORD_HEADER_SIZE + payload_size;
}
