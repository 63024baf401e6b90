#include "gateway/grpc_text.h"

#define DIGITS_MAX 8u

size_t pd_grpc_encode_message(const char *text, char *to, size_t room)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t size = 0;
    for (const char *at = text; *at != '\0'; at++) {
        unsigned char byte = (unsigned char)*at;
        bool is_plain = byte >= 0x20 && byte <= 0x7e && byte != '%';
        if (size + (is_plain ? 1 : 3) > room) {
            break;
        }
        if (is_plain) {
            to[size++] = (char)byte;
        } else {
            to[size++] = '%';
            to[size++] = hex[byte >> 4];
            to[size++] = hex[byte & 15u];
        }
    }
    return size;
}

bool pd_grpc_parse_timeout(struct pd_span text, uint64_t *timeout_ns_out)
{
    if (text.size < 2 || text.size > DIGITS_MAX + 1) {
        return false;
    }
    uint64_t value = 0;
    for (size_t i = 0; i + 1 < text.size; i++) {
        if (text.bytes[i] < '0' || text.bytes[i] > '9') {
            return false;
        }
        value = value * 10 + (uint64_t)(text.bytes[i] - '0');
    }
    uint64_t unit = 0;
    switch (text.bytes[text.size - 1]) {
    case 'H':
        unit = UINT64_C(3600000000000);
        break;
    case 'M':
        unit = UINT64_C(60000000000);
        break;
    case 'S':
        unit = UINT64_C(1000000000);
        break;
    case 'm':
        unit = UINT64_C(1000000);
        break;
    case 'u':
        unit = UINT64_C(1000);
        break;
    case 'n':
        unit = 1;
        break;
    default:
        return false;
    }
    /* Eight digits of hours do not fit: for ever is long enough. */
    *timeout_ns_out = value > UINT64_MAX / unit ? UINT64_MAX : value * unit;
    return true;
}
