#include "gateway/json_number.h"

#define EXPONENT_MAX INT64_C(1000000000000)

/* A number's parts: (-1)^is_negative * digits * 10^exponent, the digits a run with a point in it
 * perhaps. */
struct parts {
    bool is_negative;
    struct pd_span digits;
    size_t fraction; /* digits behind the point */
    int64_t exponent;
};

static bool is_digit(struct pd_span text, size_t at)
{
    return at < text.size && text.bytes[at] >= '0' && text.bytes[at] <= '9';
}

static bool split_exponent(struct pd_span text, size_t at, int64_t *exponent_out)
{
    bool is_negative = at < text.size && text.bytes[at] == '-';
    if (at < text.size && (text.bytes[at] == '-' || text.bytes[at] == '+')) {
        at++;
    }
    if (!is_digit(text, at)) {
        return false;
    }
    int64_t exponent = 0;
    for (; is_digit(text, at); at++) {
        exponent = exponent * 10 + (text.bytes[at] - '0');
        exponent = exponent > EXPONENT_MAX ? EXPONENT_MAX : exponent; /* out of any range */
    }
    *exponent_out = is_negative ? -exponent : exponent;
    return at == text.size;
}

static bool split(struct pd_span text, struct parts *parts_out)
{
    size_t at = 0;
    *parts_out = (struct parts){.is_negative = text.size > 0 && text.bytes[0] == '-'};
    at += parts_out->is_negative;
    size_t begin = at;
    if (!is_digit(text, at) || (text.bytes[at] == '0' && is_digit(text, at + 1))) {
        return false;
    }
    while (is_digit(text, at)) {
        at++;
    }
    if (at < text.size && text.bytes[at] == '.') {
        size_t point = at++;
        while (is_digit(text, at)) {
            at++;
        }
        parts_out->fraction = at - point - 1;
        if (parts_out->fraction == 0) {
            return false;
        }
    }
    parts_out->digits = (struct pd_span){text.bytes + begin, at - begin};
    if (at < text.size && (text.bytes[at] == 'e' || text.bytes[at] == 'E')) {
        return split_exponent(text, at + 1, &parts_out->exponent);
    }
    return at == text.size;
}

/* Its size, without the sign. False: no integer, or too large. */
static bool magnitude(const struct parts *parts, uint64_t *value_out)
{
    uint64_t value = 0;
    /* A digit counts 10^place. */
    int64_t place = (int64_t)(parts->digits.size - (parts->fraction > 0)) -
                    (int64_t)parts->fraction + parts->exponent;
    for (size_t i = 0; i < parts->digits.size; i++) {
        uint8_t byte = parts->digits.bytes[i];
        if (byte == '.') {
            continue;
        }
        place--;
        unsigned digit = (unsigned)(byte - '0');
        if (digit != 0 && place < 0) {
            return false;
        }
        if (place >= 0) {
            if (value > (UINT64_MAX - digit) / 10) {
                return false;
            }
            value = value * 10 + digit;
        }
    }
    for (; place > 0 && value > 0; place--) {
        if (value > UINT64_MAX / 10) {
            return false;
        }
        value *= 10;
    }
    *value_out = value;
    return true;
}

bool pd_json_number_signed(struct pd_span text, int64_t *value_out)
{
    struct parts parts;
    uint64_t value = 0;
    if (!split(text, &parts) || !magnitude(&parts, &value) ||
        value > (uint64_t)INT64_MAX + parts.is_negative) {
        return false;
    }
    *value_out = parts.is_negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

bool pd_json_number_unsigned(struct pd_span text, uint64_t *value_out)
{
    struct parts parts;
    uint64_t value = 0;
    if (!split(text, &parts) || !magnitude(&parts, &value) || (parts.is_negative && value > 0)) {
        return false;
    }
    *value_out = value;
    return true;
}
