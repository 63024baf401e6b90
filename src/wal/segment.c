#include "wal/segment.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"

#define MAGIC UINT64_C(0x474f4c4f444e4150) /* "PANDOLOG" */
#define CRC_OFFSET 56u

void pd_wal_segment_name(uint64_t sequence, struct pd_disk_name *name_out)
{
    snprintf(name_out->text, sizeof name_out->text, "log-%016llx", (unsigned long long)sequence);
}

bool pd_wal_segment_parse(const char *name, uint64_t *sequence_out)
{
    uint64_t sequence = 0;
    if (strncmp(name, "log-", 4) != 0 || strlen(name) != 20) {
        return false;
    }
    for (const char *at = name + 4; *at != '\0'; at++) {
        bool is_digit = *at >= '0' && *at <= '9';
        if (!is_digit && (*at < 'a' || *at > 'f')) {
            return false;
        }
        sequence = sequence << 4 | (uint64_t)(is_digit ? *at - '0' : *at - 'a' + 10);
    }
    *sequence_out = sequence;
    return true;
}

void pd_wal_segment_encode(uint8_t *to, const struct pd_wal_segment_header *header)
{
    memset(to, 0, PD_DISK_BLOCK_SIZE);
    pd_put_u64(to, MAGIC);
    pd_put_u32(to + 8, PD_WAL_VERSION);
    pd_put_u64(to + 16, header->identity);
    pd_put_u64(to + 24, header->sequence);
    pd_put_u64(to + 32, header->segment_bytes);
    pd_put_u64(to + 40, header->first_batch);
    pd_put_u64(to + 48, header->chain);
    pd_put_u32(to + CRC_OFFSET, pd_crc32c(0, to, CRC_OFFSET));
}

enum pd_status pd_wal_segment_decode(const uint8_t *block, struct pd_wal_segment_header *header_out)
{
    if (pd_get_u64(block) != MAGIC ||
        pd_get_u32(block + CRC_OFFSET) != pd_crc32c(0, block, CRC_OFFSET)) {
        return PD_ERR_CORRUPT;
    }
    if (pd_get_u32(block + 8) != PD_WAL_VERSION) {
        return PD_ERR_UNSUPPORTED;
    }
    *header_out = (struct pd_wal_segment_header){.identity = pd_get_u64(block + 16),
                                                 .sequence = pd_get_u64(block + 24),
                                                 .segment_bytes = pd_get_u64(block + 32),
                                                 .first_batch = pd_get_u64(block + 40),
                                                 .chain = pd_get_u64(block + 48)};
    return PD_OK;
}
