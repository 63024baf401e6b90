#include "gateway/base64.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void pd_base64_encode(struct pd_span bytes, uint8_t *to)
{
    size_t at = 0;
    for (; at + 3 <= bytes.size; at += 3) {
        uint32_t group = (uint32_t)bytes.bytes[at] << 16 | (uint32_t)bytes.bytes[at + 1] << 8 |
                         bytes.bytes[at + 2];
        *to++ = (uint8_t)letters[group >> 18];
        *to++ = (uint8_t)letters[group >> 12 & 63];
        *to++ = (uint8_t)letters[group >> 6 & 63];
        *to++ = (uint8_t)letters[group & 63];
    }
    size_t left = bytes.size - at;
    if (left > 0) {
        uint32_t group =
            (uint32_t)bytes.bytes[at] << 16 | (left == 2 ? (uint32_t)bytes.bytes[at + 1] << 8 : 0);
        *to++ = (uint8_t)letters[group >> 18];
        *to++ = (uint8_t)letters[group >> 12 & 63];
        *to++ = (uint8_t)(left == 2 ? letters[group >> 6 & 63] : '=');
        *to++ = '=';
    }
}

/* -1: no digit of either alphabet. */
static int32_t value_of(uint8_t letter)
{
    if (letter >= 'A' && letter <= 'Z') {
        return letter - 'A';
    }
    if (letter >= 'a' && letter <= 'z') {
        return letter - 'a' + 26;
    }
    if (letter >= '0' && letter <= '9') {
        return letter - '0' + 52;
    }
    if (letter == '+' || letter == '-') {
        return 62;
    }
    return letter == '/' || letter == '_' ? 63 : -1;
}

bool pd_base64_decode(struct pd_span text, uint8_t *to, size_t *size_out)
{
    size_t size = text.size;
    if (size % 4 == 0 && size > 0 && text.bytes[size - 1] == '=') {
        size -= text.bytes[size - 2] == '=' ? 2 : 1;
    }
    if (size % 4 == 1) {
        return false;
    }
    uint32_t group = 0;
    size_t written = 0;
    for (size_t i = 0; i < size; i++) {
        int32_t value = value_of(text.bytes[i]);
        if (value < 0) {
            return false;
        }
        group = group << 6 | (uint32_t)value;
        if (i % 4 == 3) {
            to[written++] = (uint8_t)(group >> 16);
            to[written++] = (uint8_t)(group >> 8);
            to[written++] = (uint8_t)group;
        }
    }
    if (size % 4 == 2) {
        to[written++] = (uint8_t)(group >> 4);
    } else if (size % 4 == 3) {
        to[written++] = (uint8_t)(group >> 10);
        to[written++] = (uint8_t)(group >> 2);
    }
    *size_out = written;
    return true;
}
