/* State time at every edge, and random steps of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kv/state_time.h"
#include "support/seed.h"

static void it_never_goes_back(void **state)
{
    (void)state;
    assert_true(pd_kv_state_time_next(100, 99, 10) == 100);
    assert_true(pd_kv_state_time_next(100, 100, 10) == 100);
    assert_true(pd_kv_state_time_next(100, 0, 10) == 100);
    assert_true(pd_kv_state_time_next(UINT64_MAX, 5, 10) == UINT64_MAX);
}

static void it_follows_by_one_step_at_most(void **state)
{
    (void)state;
    assert_true(pd_kv_state_time_next(100, 101, 10) == 101);
    assert_true(pd_kv_state_time_next(100, 110, 10) == 110);
    assert_true(pd_kv_state_time_next(100, 111, 10) == 110);
    assert_true(pd_kv_state_time_next(100, UINT64_MAX, 10) == 110);
    assert_true(pd_kv_state_time_next(100, 101, 0) == 100);
    assert_true(pd_kv_state_time_next(UINT64_MAX - 3, UINT64_MAX, 10) == UINT64_MAX);
}

static void a_deadline_stops_at_the_end_and_is_due_when_reached(void **state)
{
    (void)state;
    assert_true(pd_kv_time_after(1, 2) == 3);
    assert_true(pd_kv_time_after(UINT64_MAX - 1, 1) == UINT64_MAX);
    assert_true(pd_kv_time_after(UINT64_MAX - 1, 2) == UINT64_MAX);
    assert_true(pd_kv_time_after(UINT64_MAX, UINT64_MAX) == UINT64_MAX);
    assert_false(pd_kv_is_due(10, 9));
    assert_true(pd_kv_is_due(10, 10));
    assert_true(pd_kv_is_due(10, 11));
}

static void random_clocks_move_it_forward_in_bounded_steps(void **state)
{
    (void)state;
    struct pd_random random = test_random("state_time");
    uint64_t now_ns = 0;
    for (int i = 0; i < 100000; i++) {
        uint64_t given_ns = pd_random_next(&random) >> pd_random_below(&random, 64);
        uint64_t step_ns = pd_random_next(&random) >> pd_random_below(&random, 64);
        uint64_t next_ns = pd_kv_state_time_next(now_ns, given_ns, step_ns);
        assert_true(next_ns >= now_ns);
        assert_true(next_ns - now_ns <= step_ns);
        assert_true(next_ns == now_ns || next_ns <= given_ns);
        now_ns = i % 100 == 0 ? 0 : next_ns;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_never_goes_back),
        cmocka_unit_test(it_follows_by_one_step_at_most),
        cmocka_unit_test(a_deadline_stops_at_the_end_and_is_due_when_reached),
        cmocka_unit_test(random_clocks_move_it_forward_in_bounded_steps),
    };
    return cmocka_run_group_tests_name("state_time", tests, NULL, NULL);
}
