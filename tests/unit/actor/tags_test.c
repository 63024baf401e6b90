/* Sets of tags: sorted whatever their order was, and found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "actor/tags.h"
#include "base/random.h"
#include "support/seed.h"

#define COUNT_MAX 70u

static uint32_t count_of(const uint64_t *tags, uint32_t count, uint64_t tag)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i++) {
        found += tags[i] == tag;
    }
    return found;
}

static void check_sorted(const uint64_t *before, const uint64_t *after, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        assert_true(i == 0 || after[i - 1] <= after[i]);
        assert_int_equal(count_of(before, count, after[i]), count_of(after, count, after[i]));
        assert_true(pd_tags_contain(after, count, before[i]));
    }
}

static void sets_are_sorted_and_searched(void **state)
{
    (void)state;
    struct pd_random random = test_random("tags");
    for (uint32_t round = 0; round < 5000; round++) {
        uint64_t before[COUNT_MAX];
        uint64_t after[COUNT_MAX];
        uint32_t count = (uint32_t)pd_random_below(&random, COUNT_MAX + 1);
        uint64_t range = round % 3 == 0 ? 8 : round % 3 == 1 ? 1000 : UINT64_MAX;
        for (uint32_t i = 0; i < count; i++) {
            before[i] = pd_random_below(&random, range);
        }
        memcpy(after, before, sizeof after[0] * count);
        pd_tags_sort(after, count);
        check_sorted(before, after, count);
        uint64_t other = pd_random_below(&random, range);
        assert_int_equal(pd_tags_contain(after, count, other), count_of(before, count, other) > 0);
    }
}

static void edges_are_found(void **state)
{
    (void)state;
    uint64_t tags[] = {UINT64_MAX, 7, 0, 7, UINT64_MAX - 1};
    assert_false(pd_tags_contain(tags, 0, 0));
    pd_tags_sort(tags, 0);
    pd_tags_sort(tags, 1);
    assert_true(pd_tags_contain(tags, 1, UINT64_MAX));
    assert_false(pd_tags_contain(tags, 1, 0));
    pd_tags_sort(tags, 5);
    const uint64_t sorted[] = {0, 7, 7, UINT64_MAX - 1, UINT64_MAX};
    assert_memory_equal(tags, sorted, sizeof sorted);
    static const uint64_t absent[] = {1, 6, 8, UINT64_MAX - 2};
    for (uint32_t i = 0; i < 5; i++) {
        assert_true(pd_tags_contain(tags, 5, sorted[i]));
        assert_false(pd_tags_contain(tags, 5, absent[i % 4]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_are_sorted_and_searched),
        cmocka_unit_test(edges_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
