/* The log's decoders over any bytes: nothing outside of them is read, and what is accepted is
 * encoded alike again. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "sim/disk.h"
#include "wal/decode.h"
#include "wal/record.h"
#include "wal/segment.h"

/* Give the batch at `bytes` the checksums and the chain that its content asks for, so that the
 * search gets past them. */
static void mend(uint8_t *bytes, size_t size, uint64_t sequence)
{
    struct pd_wal_batch_header header;
    if (pd_wal_batch_header_decode(bytes, size, &header) != PD_OK) {
        return;
    }
    uint32_t seed = pd_wal_seed(1, 1, sequence);
    pd_put_u64(bytes + 8, sequence);
    pd_put_u64(bytes + 24, 0);
    uint64_t chain = 0;
    size_t offset = PD_WAL_BATCH_HEADER_SIZE;
    for (uint32_t i = 0; i < header.record_count; i++) {
        struct pd_wal_record_header record;
        size_t left = PD_WAL_BATCH_HEADER_SIZE + header.size - offset;
        if (pd_wal_record_header_decode(bytes + offset, left, &record) != PD_OK) {
            return;
        }
        size_t whole = PD_WAL_RECORD_HEADER_SIZE + (size_t)record.payload_size;
        chain = pd_wal_chain(chain, bytes + offset, whole);
        pd_put_u64(bytes + offset + 40, chain);
        pd_put_u32(bytes + offset, pd_crc32c(seed, bytes + offset + 4, whole - 4));
        offset += whole;
    }
    pd_put_u32(bytes, pd_crc32c(seed, bytes + 4, PD_WAL_BATCH_HEADER_SIZE - 4));
}

static void check_batch(const uint8_t *bytes, size_t size)
{
    uint64_t chain = 0;
    size_t used = 0;
    if (pd_wal_batch_check(bytes, size, 1, 1, 5, &chain, &used) != PD_OK) {
        return;
    }
    uint32_t count = pd_get_u32(bytes + 16);
    struct pd_wal_record *records = calloc(count, sizeof *records);
    uint8_t *again = malloc(used);
    size_t offset = PD_WAL_BATCH_HEADER_SIZE;
    pd_assert(records != NULL && again != NULL);
    for (uint32_t i = 0; i < count; i++) {
        offset = pd_wal_batch_record(bytes, offset, &records[i]);
    }
    uint64_t link = 0;
    pd_assert(pd_wal_batch_encode(again, 1, 1, 5, records, count, &link) == used);
    pd_assert(link == chain);
    pd_assert(memcmp(again, bytes, offset) == 0);
    free(records);
    free(again);
}

/* The first block of a file, as it is and with a checksum that fits. */
static void check_segment(const uint8_t *bytes, size_t size)
{
    uint8_t block[PD_DISK_BLOCK_SIZE] = {0};
    uint8_t again[PD_DISK_BLOCK_SIZE];
    struct pd_wal_segment_header header;
    memcpy(block, bytes, size < 60 ? size : 60);
    for (int is_mended = 0; is_mended <= 1; is_mended++) {
        if (is_mended) {
            memcpy(block, "PANDOLOG", 8);
            pd_put_u32(block + 56, pd_crc32c(0, block, 56));
        }
        enum pd_status status = pd_wal_segment_decode(block, &header);
        if (status == PD_OK) {
            pd_wal_segment_encode(again, &header);
            memcpy(again + 12, block + 12, 4); /* not looked at */
            pd_put_u32(again + 56, pd_crc32c(0, again, 56));
            pd_assert(memcmp(again, block, sizeof block) == 0);
        } else {
            pd_assert(status == PD_ERR_CORRUPT || (is_mended && status == PD_ERR_UNSUPPORTED));
        }
    }
    /* A name is a segment's in just one way. */
    char text[PD_DISK_NAME_MAX + 1] = {0};
    struct pd_disk_name name;
    uint64_t sequence = 0;
    memcpy(text, bytes, size < PD_DISK_NAME_MAX ? size : PD_DISK_NAME_MAX);
    if (pd_wal_segment_parse(text, &sequence)) {
        pd_wal_segment_name(sequence, &name);
        pd_assert(strcmp(name.text, text) == 0);
    }
}

/* A folder whose only segment holds the bytes: opening it gives a status, whatever they are. */
static void check_log(const uint8_t *bytes, size_t size)
{
    struct pd_sim_disk disk;
    struct pd_wal_config config = pd_wal_config_default();
    config.segment_bytes = 16 * (uint64_t)PD_DISK_BLOCK_SIZE;
    config.groups_max = 2;
    config.mark_bytes_max = 64;
    config.segments_max = 4;
    config.reserve_bytes = 0;
    pd_sim_disk_init(&disk, 1u << 22);
    struct pd_disk_name name;
    struct pd_disk_file file;
    static uint8_t segment[16 * PD_DISK_BLOCK_SIZE];
    memset(segment, 0, sizeof segment);
    pd_wal_segment_encode(segment, &(struct pd_wal_segment_header){.identity = 1,
                                                                   .sequence = 1,
                                                                   .segment_bytes = sizeof segment,
                                                                   .first_batch = 5});
    size_t room = sizeof segment - PD_DISK_BLOCK_SIZE;
    if (size > 0) {
        memcpy(segment + PD_DISK_BLOCK_SIZE, bytes, size < room ? size : room);
    }
    pd_wal_segment_name(1, &name);
    pd_assert(disk.base.ops->create(&disk.base, name.text, &file) == PD_OK);
    pd_assert(disk.base.ops->write(&disk.base, file, 0, segment, sizeof segment) == PD_OK);
    disk.base.ops->close(&disk.base, file);
    struct pd_wal *wal = NULL;
    struct pd_wal_report report;
    if (pd_wal_open(&disk.base, &config, NULL, NULL, &report, &wal) == PD_OK) {
        struct pd_wal_record record = {.type = PD_WAL_HARD_STATE, .term = 1};
        enum pd_status status = pd_wal_write(wal, &record, 1);
        pd_assert(status == PD_OK || status == PD_ERR_INVALID);
        pd_assert(pd_wal_sync(wal) == PD_OK);
        pd_wal_close(wal);
    }
    pd_sim_disk_deinit(&disk);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size + 1);
    pd_assert(copy != NULL);
    if (size > 0) {
        memcpy(copy, bytes, size);
    }
    check_batch(copy, size);
    mend(copy, size, 5);
    check_batch(copy, size);
    check_log(copy, size);
    check_segment(copy, size);
    free(copy);
    return 0;
}
