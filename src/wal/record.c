#include "wal/record.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/hash.h"
#include "base/mutant.h"

enum pd_status pd_wal_batch_header_decode(const uint8_t *bytes, size_t size,
                                          struct pd_wal_batch_header *header_out)
{
    if (size < PD_WAL_BATCH_HEADER_SIZE) {
        return PD_ERR_RANGE;
    }
    struct pd_wal_batch_header header = {.crc = pd_get_u32(bytes),
                                         .size = pd_get_u32(bytes + 4),
                                         .sequence = pd_get_u64(bytes + 8),
                                         .record_count = pd_get_u32(bytes + 16),
                                         .chain = pd_get_u64(bytes + 24)};
    if (pd_get_u32(bytes + 20) != 0 || header.record_count == 0 ||
        header.size / PD_WAL_RECORD_HEADER_SIZE < header.record_count) {
        return PD_ERR_CORRUPT;
    }
    if (size - PD_WAL_BATCH_HEADER_SIZE < header.size) {
        return PD_ERR_RANGE;
    }
    *header_out = header;
    return PD_OK;
}

enum pd_status pd_wal_record_header_decode(const uint8_t *bytes, size_t size,
                                           struct pd_wal_record_header *header_out)
{
    if (size < PD_WAL_RECORD_HEADER_SIZE) {
        return PD_ERR_RANGE;
    }
    struct pd_wal_record_header header = {.crc = pd_get_u32(bytes),
                                          .payload_size = pd_get_u32(bytes + 4),
                                          .type = bytes[8],
                                          .kind = bytes[9],
                                          .group_id = pd_get_u32(bytes + 12),
                                          .index = pd_get_u64(bytes + 16),
                                          .term = pd_get_u64(bytes + 24),
                                          .node = pd_get_u64(bytes + 32),
                                          .chain = pd_get_u64(bytes + 40)};
    if (header.type < PD_WAL_ENTRY || header.type > PD_WAL_FIRST || bytes[10] != 0 ||
        bytes[11] != 0) {
        return PD_ERR_CORRUPT;
    }
    if (size - PD_WAL_RECORD_HEADER_SIZE < header.payload_size) {
        return PD_ERR_RANGE;
    }
    *header_out = header;
    return PD_OK;
}

uint32_t pd_wal_seed(uint64_t identity, uint64_t segment, uint64_t batch)
{
    uint8_t bytes[24];
    pd_put_u64(bytes, identity);
    pd_put_u64(bytes + 8, segment);
    pd_put_u64(bytes + 16, batch);
    return pd_crc32c(0, bytes, sizeof bytes);
}

uint64_t pd_wal_chain(uint64_t chain, const uint8_t *record, size_t size)
{
    /* Not the checksum, which depends on where the record lies, and not the chain itself. */
    chain = pd_hash_bytes(chain, record + 4, 36);
    return pd_hash_bytes(chain, record + PD_WAL_RECORD_HEADER_SIZE,
                         size - PD_WAL_RECORD_HEADER_SIZE);
}

uint64_t pd_wal_record_bytes(const struct pd_wal_record *record)
{
    return PD_WAL_RECORD_HEADER_SIZE + record->payload.size;
}

uint64_t pd_wal_batch_size(const struct pd_wal_record *records, uint32_t count)
{
    uint64_t size = PD_WAL_BATCH_HEADER_SIZE;
    for (uint32_t i = 0; i < count; i++) {
        size += pd_wal_record_bytes(&records[i]);
    }
    return (size + PD_DISK_BLOCK_SIZE - 1) / PD_DISK_BLOCK_SIZE * PD_DISK_BLOCK_SIZE;
}

static size_t encode_record(uint8_t *to, uint32_t seed, const struct pd_wal_record *record,
                            uint64_t *chain)
{
    size_t size = (size_t)pd_wal_record_bytes(record);
    pd_put_u32(to + 4, (uint32_t)record->payload.size);
    to[8] = (uint8_t)record->type;
    to[9] = record->kind;
    to[10] = 0;
    to[11] = 0;
    pd_put_u32(to + 12, record->group_id);
    pd_put_u64(to + 16, record->index);
    pd_put_u64(to + 24, record->term);
    pd_put_u64(to + 32, record->node);
    if (record->payload.size > 0) {
        memcpy(to + PD_WAL_RECORD_HEADER_SIZE, record->payload.bytes, record->payload.size);
    }
    *chain = pd_wal_chain(*chain, to, size);
    pd_put_u64(to + 40, *chain);
    pd_put_u32(to, pd_crc32c(seed, to + 4, size - 4));
    return size;
}

size_t pd_wal_batch_encode(uint8_t *to, uint64_t identity, uint64_t segment, uint64_t sequence,
                           const struct pd_wal_record *records, uint32_t count, uint64_t *chain)
{
    uint32_t seed = pd_wal_seed(identity, segment, sequence);
    size_t size = PD_WAL_BATCH_HEADER_SIZE;
    pd_put_u64(to + 8, sequence);
    pd_put_u32(to + 16, count);
    pd_put_u32(to + 20, 0);
    pd_put_u64(to + 24, *chain);
    for (uint32_t i = 0; i < count; i++) {
        size += encode_record(to + size, seed, &records[i], chain);
    }
    pd_put_u32(to + 4, (uint32_t)(size - PD_WAL_BATCH_HEADER_SIZE));
    pd_put_u32(to, pd_crc32c(seed, to + 4, PD_WAL_BATCH_HEADER_SIZE - 4));
    size_t padded = (size + PD_DISK_BLOCK_SIZE - 1) / PD_DISK_BLOCK_SIZE * PD_DISK_BLOCK_SIZE;
    memset(to + size, 0, padded - size);
    return padded;
}

/* The record at `bytes` is sound and continues the chain. */
static bool record_is_sound(const uint8_t *bytes, size_t size, uint32_t seed, uint64_t *chain,
                            size_t *size_out)
{
    struct pd_wal_record_header header;
    if (pd_wal_record_header_decode(bytes, size, &header) != PD_OK) {
        return false;
    }
    size_t whole = PD_WAL_RECORD_HEADER_SIZE + (size_t)header.payload_size;
    if (pd_crc32c(seed, bytes + 4, whole - 4) != header.crc && !PD_MUTANT(WAL_CRC_IGNORED)) {
        return false;
    }
    *chain = pd_wal_chain(*chain, bytes, whole);
    *size_out = whole;
    return *chain == header.chain || PD_MUTANT(WAL_CRC_IGNORED);
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
    if (pd_crc32c(seed, bytes + 4, PD_WAL_BATCH_HEADER_SIZE - 4) != header.crc ||
        header.chain != *chain || (header.sequence != sequence && !PD_MUTANT(WAL_STALE_BATCH))) {
        return PD_ERR_CORRUPT;
    }
    uint64_t link = *chain;
    size_t used = 0;
    for (uint32_t i = 0; i < header.record_count; i++) {
        size_t record_size = 0;
        if (!record_is_sound(bytes + PD_WAL_BATCH_HEADER_SIZE + used, header.size - used, seed,
                             &link, &record_size)) {
            return PD_ERR_CORRUPT;
        }
        used += record_size;
    }
    if (used != header.size) {
        return PD_ERR_CORRUPT;
    }
    *chain = link;
    *size_out = (PD_WAL_BATCH_HEADER_SIZE + used + PD_DISK_BLOCK_SIZE - 1) / PD_DISK_BLOCK_SIZE *
                PD_DISK_BLOCK_SIZE;
    return PD_OK;
}

size_t pd_wal_batch_record(const uint8_t *bytes, size_t offset, struct pd_wal_record *record_out)
{
    const uint8_t *from = bytes + offset;
    uint32_t payload_size = pd_get_u32(from + 4);
    *record_out = (struct pd_wal_record){
        .type = (enum pd_wal_record_type)from[8],
        .kind = from[9],
        .group_id = pd_get_u32(from + 12),
        .index = pd_get_u64(from + 16),
        .term = pd_get_u64(from + 24),
        .node = pd_get_u64(from + 32),
        .payload = {.bytes = from + PD_WAL_RECORD_HEADER_SIZE, .size = payload_size}};
    return offset + PD_WAL_RECORD_HEADER_SIZE + payload_size;
}
