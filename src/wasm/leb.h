/* leb - numbers of 32 bits as WebAssembly's binary format has them (section 5.2.2): LEB128 in one
 * to five bytes, also when fewer would do. */
#ifndef PD_WASM_LEB_H
#define PD_WASM_LEB_H

#include <stdbool.h>
#include <stdint.h>

#define PD_LEB_U32_BYTES_MAX 5u

/* The number at *at; moves on, up to `end`. False: it does not end there, or is larger. */
static inline bool pd_leb_u32(const uint8_t **at, const uint8_t *end, uint32_t *value_out)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < PD_LEB_U32_BYTES_MAX && *at < end; i++) {
        uint8_t byte = *(*at)++;
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *value_out = (uint32_t)value;
            return value <= UINT32_MAX;
        }
    }
    return false;
}

#endif
