/* Integers in byte buffers: the layout is fixed, and what is put is what is got. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "support/seed.h"

static void layout_is_little_endian(void **state)
{
    (void)state;
    uint8_t bytes[8];
    pd_put_u16(bytes, 0x0102);
    assert_memory_equal(bytes, "\x02\x01", 2);
    pd_put_u32(bytes, 0x01020304);
    assert_memory_equal(bytes, "\x04\x03\x02\x01", 4);
    pd_put_u64(bytes, 0x0102030405060708);
    assert_memory_equal(bytes, "\x08\x07\x06\x05\x04\x03\x02\x01", 8);
}

static void extremes_come_back(void **state)
{
    (void)state;
    uint8_t bytes[8];
    pd_put_u16(bytes, UINT16_MAX);
    assert_int_equal(pd_get_u16(bytes), UINT16_MAX);
    pd_put_u32(bytes, UINT32_MAX);
    assert_int_equal(pd_get_u32(bytes), UINT32_MAX);
    pd_put_u64(bytes, UINT64_MAX);
    assert_true(pd_get_u64(bytes) == UINT64_MAX);
    memset(bytes, 0, sizeof bytes);
    assert_true(pd_get_u64(bytes) == 0);
}

static void random_values_come_back_and_neighbours_stay(void **state)
{
    (void)state;
    struct pd_random random = test_random("bytes");
    for (int step = 0; step < 100000; step++) {
        uint8_t buffer[24];
        memset(buffer, 0xA5, sizeof buffer);
        size_t offset = 1 + pd_random_below(&random, 15); /* any alignment */
        uint64_t value = pd_random_next(&random);
        size_t size = 0;
        switch (pd_random_below(&random, 3)) {
        case 0:
            size = 2;
            pd_put_u16(buffer + offset, (uint16_t)value);
            assert_int_equal(pd_get_u16(buffer + offset), (uint16_t)value);
            break;
        case 1:
            size = 4;
            pd_put_u32(buffer + offset, (uint32_t)value);
            assert_int_equal(pd_get_u32(buffer + offset), (uint32_t)value);
            break;
        default:
            size = 8;
            pd_put_u64(buffer + offset, value);
            assert_true(pd_get_u64(buffer + offset) == value);
            break;
        }
        assert_int_equal(buffer[offset - 1], 0xA5);
        assert_int_equal(buffer[offset + size], 0xA5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layout_is_little_endian),
        cmocka_unit_test(extremes_come_back),
        cmocka_unit_test(random_values_come_back_and_neighbours_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
