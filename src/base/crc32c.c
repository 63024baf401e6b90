#include "base/crc32c.h"

#include <string.h>

/* Four bits at a time: 64 bytes of table, quick enough where the processor has no instruction for
 * it. */
static const uint32_t table[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};

uint32_t pd_crc32c_by_table(uint32_t crc, const void *bytes, size_t size)
{
    const uint8_t *from = bytes;
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= from[i];
        crc = table[crc & 15] ^ crc >> 4;
        crc = table[crc & 15] ^ crc >> 4;
    }
    return ~crc;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *from,
                                                                 size_t size)
{
    uint64_t wide = (uint32_t)~crc;
    for (; size >= 8; size -= 8, from += 8) {
        uint64_t word = 0;
        memcpy(&word, from, sizeof word);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    uint32_t narrow = (uint32_t)wide;
    for (; size > 0; size--, from++) {
        narrow = __builtin_ia32_crc32qi(narrow, *from);
    }
    return ~narrow;
}

uint32_t pd_crc32c(uint32_t crc, const void *bytes, size_t size)
{
    return __builtin_cpu_supports("sse4.2") ? by_instruction(crc, bytes, size)
                                            : pd_crc32c_by_table(crc, bytes, size);
}

#else

uint32_t pd_crc32c(uint32_t crc, const void *bytes, size_t size)
{
    return pd_crc32c_by_table(crc, bytes, size);
}

#endif
