/* crc32c - the checksum of stored bytes (Castagnoli polynomial, RFC 3720 appendix B.4). Pure. */
#ifndef PD_BASE_CRC32C_H
#define PD_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of `size` bytes, continued from that of the bytes before them (0: none). By the
 * processor's own instruction where there is one, else by a table; the same value either way. */
uint32_t pd_crc32c(uint32_t crc, const void *bytes, size_t size);

/* By the table, whatever the processor can. For tests. */
uint32_t pd_crc32c_by_table(uint32_t crc, const void *bytes, size_t size);

#endif
