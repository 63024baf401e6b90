/* Every scalar value is valid, every other short sequence is judged as a slow decoder judges it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"
#include "support/seed.h"

#define SCALAR_END 0x110000u

static size_t encode(uint32_t scalar, uint8_t *out)
{
    if (scalar < 0x80) {
        out[0] = (uint8_t)scalar;
        return 1;
    }
    if (scalar < 0x800) {
        out[0] = (uint8_t)(0xC0 | scalar >> 6);
        out[1] = (uint8_t)(0x80 | (scalar & 0x3F));
        return 2;
    }
    if (scalar < 0x10000) {
        out[0] = (uint8_t)(0xE0 | scalar >> 12);
        out[1] = (uint8_t)(0x80 | (scalar >> 6 & 0x3F));
        out[2] = (uint8_t)(0x80 | (scalar & 0x3F));
        return 3;
    }
    out[0] = (uint8_t)(0xF0 | scalar >> 18);
    out[1] = (uint8_t)(0x80 | (scalar >> 12 & 0x3F));
    out[2] = (uint8_t)(0x80 | (scalar >> 6 & 0x3F));
    out[3] = (uint8_t)(0x80 | (scalar & 0x3F));
    return 4;
}

static bool is_surrogate(uint32_t scalar)
{
    return scalar >= 0xD800 && scalar <= 0xDFFF;
}

/* Decode by bit patterns, then see whether encoding gives the same: shortest form, no surrogate. */
static bool is_valid_model(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size;) {
        uint8_t lead = bytes[i];
        size_t length = lead < 0x80 ? 1 : lead >> 5 == 6 ? 2 : lead >> 4 == 14 ? 3 : 4;
        if (length == 4 && lead >> 3 != 30) {
            return false;
        }
        if (length > size - i) {
            return false;
        }
        static const uint8_t lead_mask[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
        uint32_t scalar = lead & lead_mask[length];
        for (size_t j = 1; j < length; j++) {
            if (bytes[i + j] >> 6 != 2) {
                return false;
            }
            scalar = scalar << 6 | (bytes[i + j] & 0x3F);
        }
        uint8_t again[4];
        if (scalar >= SCALAR_END || is_surrogate(scalar) || encode(scalar, again) != length) {
            return false;
        }
        i += length;
    }
    return true;
}

/* In a block of exactly this size, so that the address sanitizer sees a read beyond it. */
static bool judge(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size == 0 ? 1 : size);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    bool is_valid = pd_utf8_is_valid(copy, size);
    free(copy);
    return is_valid;
}

static void every_scalar_is_valid_and_no_part_of_it_is(void **state)
{
    (void)state;
    for (uint32_t scalar = 0; scalar < SCALAR_END; scalar++) {
        uint8_t bytes[4];
        size_t size = encode(scalar, bytes);
        if (pd_utf8_is_valid(bytes, size) != !is_surrogate(scalar)) {
            fail_msg("U+%04X", scalar);
        }
        for (size_t part = 1; part < size; part++) {
            assert_false(pd_utf8_is_valid(bytes, part));
            assert_false(pd_utf8_is_valid(bytes + part, size - part));
        }
    }
    assert_true(pd_utf8_is_valid(NULL, 0));
}

static void short_sequences_agree_with_the_model(void **state)
{
    (void)state;
    for (uint32_t word = 0; word < 1u << 24; word++) {
        uint8_t bytes[3] = {(uint8_t)(word >> 16), (uint8_t)(word >> 8), (uint8_t)word};
        if (bytes[2] >= 0x10 && bytes[2] < 0x7F && bytes[2] != 'a') {
            continue; /* plain letters tell nothing new */
        }
        for (size_t size = 1; size <= 3; size++) {
            if (pd_utf8_is_valid(bytes, size) != is_valid_model(bytes, size)) {
                fail_msg("%02X %02X %02X, size %zu", bytes[0], bytes[1], bytes[2], size);
            }
        }
    }
}

static void long_sequences_agree_with_the_model(void **state)
{
    (void)state;
    struct pd_random random = test_random("utf8");
    static const uint8_t edges[] = {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC1,
                                    0xC2, 0xDF, 0xE0, 0xED, 0xEF, 0xF0, 0xF4, 0xF5, 0xFF};
    uint32_t valid = 0;
    for (int step = 0; step < 300000; step++) {
        uint8_t bytes[64];
        size_t size = 0;
        size_t pieces = pd_random_below(&random, 12);
        for (size_t i = 0; i < pieces; i++) {
            uint32_t scalar = (uint32_t)pd_random_below(&random, SCALAR_END);
            size += encode(scalar, bytes + size);
        }
        if (size > 0 && pd_random_below(&random, 2) == 0) { /* spoil one byte */
            bytes[pd_random_below(&random, size)] = edges[pd_random_below(&random, sizeof edges)];
        }
        bool expected = is_valid_model(bytes, size);
        valid += expected;
        assert_int_equal(judge(bytes, size), expected);
    }
    assert_true(valid > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_scalar_is_valid_and_no_part_of_it_is),
        cmocka_unit_test(short_sequences_agree_with_the_model),
        cmocka_unit_test(long_sequences_agree_with_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
