/* The values are fixed for ever, every byte counts, and buckets fill evenly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "support/seed.h"

/* Traces of one version are compared with those of another: a change here breaks them. */
static void values_never_change(void **state)
{
    (void)state;
    assert_true(pd_hash_u64(0, 0) == UINT64_C(0x546838e789360f83));
    assert_true(pd_hash_u64(1, 2) == UINT64_C(0x9695c0565f3950f2));
    assert_true(pd_hash_bytes(0, "", 0) == UINT64_C(0x807979c943d58578));
    assert_true(pd_hash_bytes(42, "pando", 5) == UINT64_C(0xba41fa4e59613708));
    assert_true(pd_hash_bytes(42, "one root, many trunks", 21) == UINT64_C(0x0d0349fd98fc2f10));
}

static void text_is_its_bytes(void **state)
{
    (void)state;
    assert_true(pd_hash_text(9, "trunk") == pd_hash_bytes(9, "trunk", 5));
    assert_true(pd_hash_text(9, "") == pd_hash_bytes(9, "", 0));
}

static void every_bit_and_the_size_count(void **state)
{
    (void)state;
    for (size_t size = 0; size <= 40; size++) {
        uint8_t *bytes =
            calloc(1, size + 1); /* exactly as large as it may read, with one more zero */
        assert_non_null(bytes);
        uint64_t hash = pd_hash_bytes(5, bytes, size);
        assert_true(hash != pd_hash_bytes(5, bytes, size + 1));
        assert_true(hash != pd_hash_bytes(6, bytes, size));
        for (size_t bit = 0; bit < size * 8; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_true(hash != pd_hash_bytes(5, bytes, size));
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        free(bytes);
    }
}

static void u64_is_one_to_one_and_depends_on_order(void **state)
{
    (void)state;
    struct pd_random random = test_random("hash");
    for (int i = 0; i < 100000; i++) {
        uint64_t a = pd_random_next(&random);
        uint64_t b = pd_random_next(&random);
        assert_true(pd_hash_u64(3, a) != pd_hash_u64(3, b));
        assert_true(pd_hash_u64(pd_hash_u64(0, a), b) != pd_hash_u64(pd_hash_u64(0, b), a));
    }
}

/* Small numbers and numbered names are what tables are full of. */
static void buckets_fill_evenly(void **state)
{
    (void)state;
    enum {
        BUCKETS = 1024,
        KEYS = BUCKETS * 16
    };
    static uint32_t by_number[BUCKETS];
    static uint32_t by_name[BUCKETS];
    static uint32_t by_stride[BUCKETS];
    for (uint32_t i = 0; i < KEYS; i++) {
        char name[24];
        int size = snprintf(name, sizeof name, "worker-%u", i);
        by_number[pd_hash_u64(11, i) % BUCKETS]++;
        by_stride[pd_hash_u64(11, (uint64_t)i << 20) % BUCKETS]++;
        by_name[pd_hash_bytes(11, name, (size_t)size) % BUCKETS]++;
    }
    for (uint32_t i = 0; i < BUCKETS; i++) { /* 16 expected, standard deviation 4 */
        assert_true(by_number[i] <= 48 && by_name[i] <= 48 && by_stride[i] <= 48);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_never_change),
        cmocka_unit_test(text_is_its_bytes),
        cmocka_unit_test(every_bit_and_the_size_count),
        cmocka_unit_test(u64_is_one_to_one_and_depends_on_order),
        cmocka_unit_test(buckets_fill_evenly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
