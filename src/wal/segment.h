/* segment - a log file's name and first block. Pure.
 *
 * Format     Block 0: 0 magic "PANDOLOG"  8 version  12 zero  16 identity of the log  24 sequence
 *            32 segment size 40 sequence of its first batch  48 chain before that batch  56 crc32c
 *            of bytes 0..55; the rest zero. */
#ifndef PD_WAL_SEGMENT_H
#define PD_WAL_SEGMENT_H

#include "base/disk.h"

#define PD_WAL_VERSION 1u

struct pd_wal_segment_header {
    uint64_t identity;
    uint64_t sequence; /* 1 for the first one */
    uint64_t segment_bytes;
    uint64_t first_batch;
    uint64_t chain;
};

/* "log-0000000000000001" */
void pd_wal_segment_name(uint64_t sequence, struct pd_disk_name *name_out);
/* False: not a segment's name. */
bool pd_wal_segment_parse(const char *name, uint64_t *sequence_out);
/* `to`: a whole block. */
void pd_wal_segment_encode(uint8_t *to, const struct pd_wal_segment_header *header);
/* PD_ERR_CORRUPT; PD_ERR_UNSUPPORTED: of a newer version. */
PD_NODISCARD enum pd_status pd_wal_segment_decode(const uint8_t *block,
                                                  struct pd_wal_segment_header *header_out);

#endif
