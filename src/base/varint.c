#include "base/varint.h"

uint32_t pd_varint_size(uint64_t value)
{
    uint32_t size = 1;
    while (value >= 128) {
        value /= 128;
        size++;
    }
    return size;
}

uint32_t pd_varint_put(uint8_t *to, uint64_t value)
{
    uint32_t i = 0;
    while (value >= 128) {
        to[i] = (uint8_t)(128 + value % 128);
        value /= 128;
        i++;
    }
    to[i] = (uint8_t)value;
    return i + 1;
}

enum pd_status pd_varint_get(const uint8_t *bytes, uint64_t size, uint64_t *value_out,
                             uint32_t *used_out)
{
    uint64_t value = 0;
    uint64_t weight = 1;
    uint32_t i = 0;
    /* Nine bytes carry 63 bits, so neither sum nor weight can wrap here. */
    while (i < PD_VARINT_SIZE_MAX - 1 && i < size && bytes[i] >= 128) {
        value += weight * (bytes[i] - 128u);
        weight *= 128;
        i++;
    }
    if (i == size) {
        return PD_ERR_RANGE;
    }
    /* The tenth byte has room for one bit; a last byte of 0 would be a longer form. */
    if ((i == PD_VARINT_SIZE_MAX - 1 && bytes[i] > 1) || (i > 0 && bytes[i] == 0)) {
        return PD_ERR_CORRUPT;
    }
    *value_out = value + weight * bytes[i];
    *used_out = i + 1;
    return PD_OK;
}
