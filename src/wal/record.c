#include "wal/record.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/hash.h"
#include "base/mutant.h"

uint32_t pd_wal_seed(uint64_t identity, uint64_t segment, uint64_t batch)
{
    uint8_t bytes[24];
    pd_put_u64(bytes, identity);
    pd_put_u64(bytes + 8, PD_MUTANT(WAL_SEED_WITHOUT_SEGMENT) ? 0 : segment);
    pd_put_u64(bytes + 16, batch);
    return pd_crc32c(0, bytes, sizeof bytes);
}

uint32_t pd_wal_sum(uint32_t seed, const uint8_t *bytes, size_t size)
{
    return pd_crc32c(seed, bytes, size);
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
    pd_put_u32(to, pd_wal_sum(seed, to + 4, size - 4));
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
    pd_put_u32(to, pd_wal_sum(seed, to + 4, PD_WAL_BATCH_HEADER_SIZE - 4));
    size_t padded = (size + PD_DISK_BLOCK_SIZE - 1) / PD_DISK_BLOCK_SIZE * PD_DISK_BLOCK_SIZE;
    memset(to + size, 0, padded - size);
    return padded;
}
