/* The generator is the published one; draws below a bound are fair. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "support/seed.h"

/* The vector that other implementations of xoshiro256** are tested with. */
static void gives_the_published_numbers(void **state)
{
    (void)state;
    struct pd_random random = {.state = {1, 2, 3, 4}};
    static const uint64_t expected[] = {11520u,
                                        0u,
                                        1509978240u,
                                        1215971899390074240u,
                                        1216172134540287360u,
                                        607988272756665600u,
                                        16172922978634559625u,
                                        8476171486693032832u,
                                        10595114339597558777u,
                                        2904607092377533576u};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        assert_true(pd_random_next(&random) == expected[i]);
    }
}

static void seed_and_name_decide_the_sequence(void **state)
{
    (void)state;
    struct pd_random a;
    struct pd_random b;
    pd_random_init(&a, 7, "disk");
    pd_random_init(&b, 7, "disk");
    for (int i = 0; i < 100; i++) {
        assert_true(pd_random_next(&a) == pd_random_next(&b));
    }
    pd_random_init(&a, 7, "disk");
    pd_random_init(&b, 7, "net");
    assert_true(pd_random_next(&a) != pd_random_next(&b));
    pd_random_init(&b, 8, "disk");
    pd_random_init(&a, 7, "disk");
    assert_true(pd_random_next(&a) != pd_random_next(&b));
    pd_random_init(&a, 0, "");
    assert_true((a.state[0] | a.state[1] | a.state[2] | a.state[3]) != 0); /* all zero is stuck */
}

static void below_stays_below(void **state)
{
    (void)state;
    struct pd_random random = test_random("below");
    for (int i = 0; i < 1000; i++) {
        assert_true(pd_random_below(&random, 1) == 0);
        assert_true(pd_random_below(&random, 2) < 2);
        assert_true(pd_random_below(&random, UINT64_MAX) < UINT64_MAX);
        assert_true(pd_random_below(&random, (UINT64_C(1) << 63) + 1) <= UINT64_C(1) << 63);
    }
}

static void below_is_fair(void **state)
{
    (void)state;
    struct pd_random random = test_random("fair");
    enum {
        BOUND = 7,
        DRAWS = 70000
    };
    uint32_t seen[BOUND] = {0};
    for (int i = 0; i < DRAWS; i++) {
        seen[pd_random_below(&random, BOUND)]++;
    }
    for (int i = 0; i < BOUND; i++) { /* ten standard deviations of 93 */
        assert_in_range(seen[i], DRAWS / BOUND - 930, DRAWS / BOUND + 930);
    }
    /* A remainder of 2^64 by 3 * 2^62 would give the lower third twice as often. */
    uint64_t bound = UINT64_C(3) << 62;
    uint32_t low = 0;
    for (int i = 0; i < DRAWS; i++) {
        low += pd_random_below(&random, bound) < UINT64_C(1) << 62;
    }
    assert_in_range(low, DRAWS / 3 - 1300, DRAWS / 3 + 1300);
}

static void fill_writes_exactly_its_bytes(void **state)
{
    (void)state;
    for (size_t size = 0; size <= 33; size++) {
        struct pd_random a;
        struct pd_random b;
        pd_random_init(&a, size, "fill");
        pd_random_init(&b, size, "fill");
        uint8_t bytes[40];
        memset(bytes, 0xA5, sizeof bytes);
        pd_random_fill(&a, bytes, size);
        for (size_t i = 0; i < size; i += 8) {
            uint64_t word = pd_random_next(&b);
            for (size_t j = i; j < size && j < i + 8; j++) {
                assert_int_equal(bytes[j], (uint8_t)(word >> (8 * (j - i))));
            }
        }
        for (size_t i = size; i < sizeof bytes; i++) {
            assert_int_equal(bytes[i], 0xA5);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_published_numbers),
        cmocka_unit_test(seed_and_name_decide_the_sequence),
        cmocka_unit_test(below_stays_below),
        cmocka_unit_test(below_is_fair),
        cmocka_unit_test(fill_writes_exactly_its_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
