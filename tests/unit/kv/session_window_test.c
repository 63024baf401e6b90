/* A session's window: each meaning at its edges, then random use against a list without slots. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "kv/session_window.h"
#include "support/seed.h"

#define WINDOW 4u
#define SEQUENCES_MAX 4096u

static uint8_t *answer(uint8_t mark)
{
    uint8_t *bytes = pd_alloc(1);
    assert_non_null(bytes);
    bytes[0] = mark;
    return bytes;
}

static void each_meaning_begins_where_the_other_ends(void **state)
{
    (void)state;
    struct pd_kv_stored slots[WINDOW] = {0};
    assert_int_equal(pd_kv_window_meaning(slots, WINDOW, 10, 9), PD_KV_SEQUENCE_STALE);
    assert_int_equal(pd_kv_window_meaning(slots, WINDOW, 10, 10), PD_KV_SEQUENCE_NEW);
    assert_int_equal(pd_kv_window_meaning(slots, WINDOW, 10, 13), PD_KV_SEQUENCE_NEW);
    assert_int_equal(pd_kv_window_meaning(slots, WINDOW, 10, 14), PD_KV_SEQUENCE_AHEAD);
    /* The end of the numbers: low + window would wrap. */
    assert_int_equal(pd_kv_window_meaning(slots, WINDOW, UINT64_MAX - 1, UINT64_MAX),
                     PD_KV_SEQUENCE_NEW);
    assert_int_equal(pd_kv_window_meaning(slots, WINDOW, UINT64_MAX, 1), PD_KV_SEQUENCE_STALE);
}

static void a_kept_answer_is_a_repeat_until_it_is_replaced_or_passed(void **state)
{
    (void)state;
    struct pd_kv_stored slots[WINDOW] = {0};
    assert_int_equal(pd_kv_window_keep(slots, WINDOW, 5, answer(5), 1), 0);
    assert_int_equal(pd_kv_window_meaning(slots, WINDOW, 2, 5), PD_KV_SEQUENCE_REPEAT);
    assert_int_equal(pd_kv_window_meaning(slots, WINDOW, 6, 9), PD_KV_SEQUENCE_NEW);
    assert_int_equal(pd_kv_window_keep(slots, WINDOW, 9, answer(9), 1), 1);
    assert_int_equal(pd_kv_window_meaning(slots, WINDOW, 6, 9), PD_KV_SEQUENCE_REPEAT);
    assert_int_equal(pd_kv_window_forget_below(slots, WINDOW, 9), 0);
    assert_int_equal(slots[9 % WINDOW].bytes[0], 9);
    assert_int_equal(pd_kv_window_forget_below(slots, WINDOW, 10), 1);
    assert_null(slots[9 % WINDOW].bytes);
    assert_int_equal(pd_kv_window_meaning(slots, WINDOW, 9, 9), PD_KV_SEQUENCE_NEW);
}

static void random_use_agrees_with_a_list(void **state)
{
    (void)state;
    struct pd_random random = test_random("session_window");
    for (int round = 0; round < 50; round++) {
        struct pd_kv_stored slots[8] = {0};
        static uint32_t sizes[SEQUENCES_MAX]; /* by sequence, plus one; 0: no answer */
        memset(sizes, 0, sizeof sizes);
        uint32_t window = 1 + (uint32_t)pd_random_below(&random, 8);
        uint64_t low = 1;
        uint64_t held = 0;
        for (int step = 0; step < 1000; step++) {
            uint64_t from = low > 3 ? low - 3 : 1;
            uint64_t sequence = from + pd_random_below(&random, window + 6);
            enum pd_kv_sequence_meaning wanted = sequence < low             ? PD_KV_SEQUENCE_STALE
                                                 : sequence >= low + window ? PD_KV_SEQUENCE_AHEAD
                                                 : sizes[sequence] != 0     ? PD_KV_SEQUENCE_REPEAT
                                                                            : PD_KV_SEQUENCE_NEW;
            assert_int_equal(pd_kv_window_meaning(slots, window, low, sequence), wanted);
            if (wanted == PD_KV_SEQUENCE_NEW) {
                uint32_t size = (uint32_t)pd_random_below(&random, 100);
                held += size;
                held -= pd_kv_window_keep(slots, window, sequence, answer(1), size);
                sizes[sequence] = size + 1;
            }
            if (pd_random_below(&random, 4) == 0) {
                low += pd_random_below(&random, 3);
                held -= pd_kv_window_forget_below(slots, window, low);
            }
            uint64_t expected = 0;
            for (uint64_t i = low; i < low + window; i++) {
                expected += sizes[i] == 0 ? 0 : sizes[i] - 1;
            }
            assert_true(held == expected);
        }
        held -= pd_kv_window_forget_below(slots, window, UINT64_MAX);
        assert_true(held == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_meaning_begins_where_the_other_ends),
        cmocka_unit_test(a_kept_answer_is_a_repeat_until_it_is_replaced_or_passed),
        cmocka_unit_test(random_use_agrees_with_a_list),
    };
    return cmocka_run_group_tests_name("session_window", tests, NULL, NULL);
}
