/* Answers that a gateway has at once: in order, none lost, whatever is added while they are
 * given. */
#include "node/gateway_hot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"

static bool add(struct pd_gateway_hot *hot, uint64_t correlation, size_t size)
{
    static uint8_t bytes[2048];
    memset(bytes, (int)(correlation & 0xff), sizeof bytes);
    const struct pd_replica_answer_head answer = {
        .outcome = PD_REPLICA_OK, .leader = 7, .term = correlation + 1, .body = {bytes, size}};
    return pd_gateway_hot_add(hot, correlation, &answer);
}

static void expect(struct pd_gateway_hot *hot, uint64_t wanted, size_t size)
{
    uint64_t correlation = 0;
    struct pd_replica_answer_head answer;
    assert_true(pd_gateway_hot_next(hot, &correlation, &answer));
    assert_int_equal(correlation, wanted);
    assert_int_equal(answer.outcome, PD_REPLICA_OK);
    assert_int_equal(answer.leader, 7);
    assert_int_equal(answer.term, wanted + 1);
    assert_int_equal(answer.body.size, size);
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(answer.body.bytes[i], wanted & 0xff);
    }
}

static void expect_end(struct pd_gateway_hot *hot)
{
    uint64_t correlation = 0;
    struct pd_replica_answer_head answer;
    assert_false(pd_gateway_hot_next(hot, &correlation, &answer));
}

static void in_order_and_whole(void **state)
{
    (void)state;
    struct pd_gateway_hot hot = {0};
    assert_false(pd_gateway_hot_take(&hot));
    expect_end(&hot);
    for (uint64_t i = 0; i < 100; i++) {
        assert_true(add(&hot, i, (size_t)i * 13 % 700));
    }
    expect_end(&hot); /* not before they are taken */
    assert_true(pd_gateway_hot_take(&hot));
    for (uint64_t i = 0; i < 100; i++) {
        expect(&hot, i, (size_t)i * 13 % 700);
    }
    expect_end(&hot);
    assert_false(pd_gateway_hot_take(&hot));
    pd_gateway_hot_deinit(&hot);
}

/* As when an answer lets the client's next request in. */
static void what_is_added_meanwhile_waits(void **state)
{
    (void)state;
    struct pd_gateway_hot hot = {0};
    assert_true(add(&hot, 1, 30));
    assert_true(pd_gateway_hot_take(&hot));
    for (uint64_t i = 1; i < 300; i++) {
        uint64_t correlation = 0;
        struct pd_replica_answer_head answer;
        assert_true(pd_gateway_hot_next(&hot, &correlation, &answer));
        assert_true(add(&hot, i + 1, 30 + (size_t)i)); /* it grows, and the answer stays */
        assert_int_equal(correlation, i);
        assert_int_equal(answer.body.bytes[0], i & 0xff);
        expect_end(&hot);
        assert_true(pd_gateway_hot_take(&hot));
    }
    expect(&hot, 300, 30 + 299);
    pd_gateway_hot_deinit(&hot);
}

static void what_a_burst_took_goes_back(void **state)
{
    (void)state;
    struct pd_gateway_hot hot = {0};
    uint64_t count = 2 * PD_GATEWAY_HOT_KEPT / 1500;
    for (uint64_t i = 0; i < count; i++) {
        assert_true(add(&hot, i, 1500));
    }
    assert_true(pd_gateway_hot_take(&hot));
    for (uint64_t i = 0; i < count; i++) {
        expect(&hot, i, 1500);
    }
    assert_false(pd_gateway_hot_take(&hot));
    assert_true(hot.added.capacity + hot.taken.capacity <= PD_GATEWAY_HOT_KEPT);
    pd_gateway_hot_deinit(&hot);
}

static void without_memory_nothing_is_added(void **state)
{
    (void)state;
    struct pd_gateway_hot hot = {0};
    pd_alloc_fail_nth(1);
    assert_false(add(&hot, 1, 10));
    assert_false(pd_gateway_hot_take(&hot));
    assert_true(add(&hot, 2, 10));
    pd_alloc_fail_nth(1);
    while (add(&hot, 3, 2048)) {
    }
    pd_alloc_fail_nth(0);
    assert_true(pd_gateway_hot_take(&hot));
    expect(&hot, 2, 10);
    pd_gateway_hot_deinit(&hot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order_and_whole),
        cmocka_unit_test(what_is_added_meanwhile_waits),
        cmocka_unit_test(what_a_burst_took_goes_back),
        cmocka_unit_test(without_memory_nothing_is_added),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
