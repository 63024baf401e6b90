#include "base/fixed.h"

uint32_t pd_fixed_get32(const uint8_t *from)
{
    return from[0] + 0x100u * from[1] + 0x10000u * from[2] + 0x1000000u * from[3];
}

uint64_t pd_fixed_get64(const uint8_t *from)
{
    return pd_fixed_get32(from) + UINT64_C(0x100000000) * pd_fixed_get32(from + 4);
}

void pd_fixed_put32(uint8_t *to, uint32_t value)
{
    to[0] = (uint8_t)(value % 0x100);
    to[1] = (uint8_t)(value / 0x100 % 0x100);
    to[2] = (uint8_t)(value / 0x10000 % 0x100);
    to[3] = (uint8_t)(value / 0x1000000);
}

void pd_fixed_put64(uint8_t *to, uint64_t value)
{
    pd_fixed_put32(to, (uint32_t)(value % 0x100000000));
    pd_fixed_put32(to + 4, (uint32_t)(value / 0x100000000));
}
