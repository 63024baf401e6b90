/* When reads go: at once where there are few, together where there are many, and all of them in the
 * end. */
#include "node/gateway_reads.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"

#define US UINT64_C(1000)

static struct pd_gateway_reads reads;
static uint64_t now;

static int set_up(void **state)
{
    (void)state;
    reads = (struct pd_gateway_reads){0};
    now = 1000000 * US;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pd_gateway_reads_deinit(&reads);
    return 0;
}

static void add(uint64_t tag)
{
    uint8_t bytes[sizeof tag];
    memcpy(bytes, &tag, sizeof tag);
    assert_int_equal(
        pd_gateway_reads_add(&reads, tag, (struct pd_span){bytes, 1 + tag % sizeof bytes}), PD_OK);
}

static void add_many(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        add(i);
    }
}

static bool next(uint64_t *tag_out)
{
    struct pd_span request;
    if (!pd_gateway_reads_next(&reads, now, tag_out, &request)) {
        return false;
    }
    assert_int_equal(request.size, 1 + *tag_out % sizeof *tag_out);
    assert_memory_equal(request.bytes, tag_out, request.size);
    return true;
}

static uint32_t send(void)
{
    uint64_t tag = 0;
    uint32_t count = 0;
    while (next(&tag)) {
        count++;
    }
    return count;
}

static void answer(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        pd_gateway_reads_answered(&reads, now);
    }
}

static void few_go_at_once(void **state)
{
    (void)state;
    assert_int_equal(pd_gateway_reads_deadline_ns(&reads), UINT64_MAX);
    for (uint64_t i = 0; i < 15; i++) {
        uint64_t tag = 0;
        add(i);
        assert_true(next(&tag));
        assert_int_equal(tag, i);
        assert_false(next(&tag));
        assert_int_equal(pd_gateway_reads_deadline_ns(&reads), UINT64_MAX);
    }
    now += 1000 * US;
    answer(15);
    add(1);
    assert_int_equal(send(), 1);
}

static void many_wait_for_the_round_and_for_those_who_ask_again(void **state)
{
    (void)state;
    add_many(20);
    assert_int_equal(send(), 20);
    add_many(5);
    assert_int_equal(send(), 0); /* the round is under way */
    assert_int_equal(pd_gateway_reads_deadline_ns(&reads), now + 4000 * US);
    now += 600 * US;
    answer(20);
    add_many(19);
    assert_int_equal(send(), 0); /* 25 were under way, and 24 have come */
    assert_int_equal(pd_gateway_reads_deadline_ns(&reads), now + 1200 * US);
    add_many(1);
    assert_int_equal(send(), 25);

    now += 3000 * US;
    answer(25);
    add_many(16);
    assert_int_equal(pd_gateway_reads_deadline_ns(&reads), now + 2000 * US); /* not 6000 */
    now += 2000 * US - 1;
    assert_int_equal(send(), 0);
    now += 1;
    assert_int_equal(send(), 16);

    now += 100 * US;
    answer(16); /* so short a round is not waited for longer */
    add_many(16);
    assert_int_equal(send(), 16);
}

static void a_round_that_does_not_end_holds_up_nobody(void **state)
{
    (void)state;
    add_many(20);
    assert_int_equal(send(), 20);
    add_many(3);
    now += 4000 * US - 1;
    assert_int_equal(send(), 0);
    now += 1;
    assert_int_equal(send(), 3);
    add_many(255);
    assert_int_equal(send(), 0);
    add_many(1);
    assert_int_equal(send(), 256);
    static uint8_t large[64u << 10];
    assert_int_equal(pd_gateway_reads_add(&reads, 7, (struct pd_span){large, sizeof large}), PD_OK);
    uint64_t tag = 0;
    struct pd_span request;
    assert_true(pd_gateway_reads_next(&reads, now, &tag, &request));
    assert_int_equal(request.size, sizeof large);
}

static void what_cannot_be_sent_is_given_back(void **state)
{
    (void)state;
    uint64_t tag = 0;
    for (uint64_t i = 0; i < 5; i++) {
        add(i);
    }
    assert_true(next(&tag));
    assert_true(next(&tag));
    pd_gateway_reads_refused(&reads);
    assert_int_equal(pd_gateway_reads_deadline_ns(&reads), 0);
    assert_true(next(&tag)); /* those behind it are judged for themselves */
    assert_int_equal(tag, 2);
    assert_true(next(&tag));
    pd_gateway_reads_refused(&reads);
    assert_true(next(&tag));
    assert_false(next(&tag));
    assert_true(pd_gateway_reads_next_refused(&reads, &tag));
    assert_int_equal(tag, 1);
    add(5); /* within an answer */
    assert_true(next(&tag));
    pd_gateway_reads_refused(&reads);
    assert_true(pd_gateway_reads_next_refused(&reads, &tag));
    assert_int_equal(tag, 3);
    assert_true(pd_gateway_reads_next_refused(&reads, &tag));
    assert_int_equal(tag, 5);
    assert_false(pd_gateway_reads_next_refused(&reads, &tag));
    assert_int_equal(pd_gateway_reads_deadline_ns(&reads), UINT64_MAX);
    answer(3);
    add(9);
    assert_int_equal(send(), 1);
}

/* Also when nothing is asked for meanwhile: a loop's turn may bring any number. */
static void no_more_are_kept_than_the_bounds_say(void **state)
{
    (void)state;
    const struct pd_span none = {NULL, 0};
    for (uint64_t i = 0; i < PD_GATEWAY_READS_MAX; i++) {
        add(i);
    }
    assert_int_equal(pd_gateway_reads_add(&reads, 7, none), PD_ERR_FULL);
    uint64_t tag = 0;
    for (uint64_t i = 0; i < 10; i++) {
        assert_true(next(&tag));
        pd_gateway_reads_refused(&reads);
    }
    assert_int_equal(pd_gateway_reads_add(&reads, 7, none), PD_ERR_FULL);
    while (next(&tag)) {
        pd_gateway_reads_refused(&reads);
    }
    assert_int_equal(pd_gateway_reads_add(&reads, 7, none), PD_ERR_FULL);
    for (uint64_t i = 0; i < PD_GATEWAY_READS_MAX; i++) {
        assert_true(pd_gateway_reads_next_refused(&reads, &tag));
        assert_int_equal(tag, i);
    }
    static uint8_t large[1u << 20];
    const struct pd_span span = {large, sizeof large};
    assert_int_equal(pd_gateway_reads_add(&reads, 1, span), PD_OK);
    assert_int_equal(pd_gateway_reads_add(&reads, 2, span), PD_ERR_FULL);
    struct pd_span request;
    assert_true(pd_gateway_reads_next(&reads, now, &tag, &request));
    assert_int_equal(request.size, sizeof large);
    assert_false(next(&tag));
    assert_true(reads.capacity <= 64u << 10); /* what only the large one needed is given back */
}

/* Twenty that read much are no round, and who reads little beside them is one of few. */
static void slow_ones_are_not_waited_for(void **state)
{
    (void)state;
    add_many(20);
    assert_int_equal(send(), 20);
    now += 9000 * US;
    for (uint64_t i = 0; i < 1000; i++) {
        add(i);
        assert_int_equal(send(), 1);
        now += 300 * US;
        answer(1);
    }
    answer(20);
    now += 20000 * US;
    add(1);
    assert_int_equal(send(), 1);
}

/* Whatever happens when: each goes once, in its order, and no later than 6 ms after it came. */
static void each_goes_once_and_soon(void **state)
{
    (void)state;
    struct pd_random random;
    static uint64_t came[100000];
    uint64_t added = 0;
    uint64_t sent = 0;
    uint64_t answered = 0;
    pd_random_init(&random, 7, "reads");
    for (uint32_t i = 0; i < 100000; i++) {
        uint64_t dice = pd_random_below(&random, 100);
        if (dice < 60) {
            came[added] = now;
            add(added++);
        } else if (dice < 80 && answered < sent) {
            uint64_t most = sent - answered;
            uint32_t count = 1 + (uint32_t)pd_random_below(&random, most);
            answer(count);
            answered += count;
        } else {
            uint64_t step = pd_random_below(&random, 400 * US);
            uint64_t deadline = pd_gateway_reads_deadline_ns(&reads);
            now = deadline > now && deadline - now < step ? deadline : now + step;
        }
        uint64_t tag = 0;
        while (next(&tag)) {
            assert_int_equal(tag, sent);
            assert_true(now - came[sent] <= 6000 * US);
            sent++;
        }
        assert_true(added - sent <= 256);
        assert_int_equal(pd_gateway_reads_deadline_ns(&reads) == UINT64_MAX, added == sent);
    }
    now += 4000 * US;
    sent += send();
    assert_int_equal(sent, added);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(few_go_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_wait_for_the_round_and_for_those_who_ask_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_round_that_does_not_end_holds_up_nobody, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_sent_is_given_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_more_are_kept_than_the_bounds_say, set_up, tear_down),
        cmocka_unit_test_setup_teardown(slow_ones_are_not_waited_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_goes_once_and_soon, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
