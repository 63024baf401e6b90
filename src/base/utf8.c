#include "base/utf8.h"

/* The bytes that follow a lead byte, and the range of the first of them; 0 for an invalid lead.
 * Table 3-7 of the Unicode standard. */
static size_t follow_count(uint8_t lead, uint8_t *low_out, uint8_t *high_out)
{
    *low_out = 0x80;
    *high_out = 0xBF;
    if (lead >= 0xC2 && lead <= 0xDF) {
        return 1;
    }
    if (lead >= 0xE0 && lead <= 0xEF) {
        *low_out = lead == 0xE0 ? 0xA0 : 0x80;
        *high_out = lead == 0xED ? 0x9F : 0xBF;
        return 2;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        *low_out = lead == 0xF0 ? 0x90 : 0x80;
        *high_out = lead == 0xF4 ? 0x8F : 0xBF;
        return 3;
    }
    return 0;
}

bool pd_utf8_is_valid(const uint8_t *bytes, size_t size)
{
    size_t i = 0;
    while (i < size) {
        if (bytes[i] < 0x80) {
            i++;
            continue;
        }
        uint8_t low = 0;
        uint8_t high = 0;
        size_t count = follow_count(bytes[i], &low, &high);
        if (count == 0 || count > size - i - 1) {
            return false;
        }
        if (bytes[i + 1] < low || bytes[i + 1] > high) {
            return false;
        }
        for (size_t j = 2; j <= count; j++) {
            if ((bytes[i + j] & 0xC0) != 0x80) {
                return false;
            }
        }
        i += count + 1;
    }
    return true;
}
