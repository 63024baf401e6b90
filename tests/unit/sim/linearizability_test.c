/* The linearizability check: every kind by hand, limits and faults, and small random histories
 * against a search through all orders. */
#include "sim/linearizability.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/random.h"
#include "support/seed.h"

#define NONE PD_HISTORY_NONE
#define NEVER PD_HISTORY_NEVER
#define SMALL_MAX 7u

static struct pd_history_operation put(uint64_t from, uint64_t to, uint64_t value)
{
    return (struct pd_history_operation){
        .kind = PD_HISTORY_WRITE, .invoke_time = from, .finish_time = to, .value = value};
}

static struct pd_history_operation get(uint64_t from, uint64_t to, uint64_t observed)
{
    return (struct pd_history_operation){
        .kind = PD_HISTORY_READ, .invoke_time = from, .finish_time = to, .observed = observed};
}

static struct pd_history_operation cas(uint64_t from, uint64_t to, uint64_t expected,
                                       uint64_t value, bool succeeded)
{
    return (struct pd_history_operation){.kind = PD_HISTORY_CAS,
                                         .invoke_time = from,
                                         .finish_time = to,
                                         .expected = expected,
                                         .value = value,
                                         .succeeded = succeeded};
}

static struct pd_history_operation del(uint64_t from, uint64_t to, bool succeeded)
{
    return (struct pd_history_operation){
        .kind = PD_HISTORY_DELETE, .invoke_time = from, .finish_time = to, .succeeded = succeeded};
}

static struct pd_history_operation at_revision(struct pd_history_operation operation,
                                               uint64_t revision)
{
    operation.revision = revision;
    return operation;
}

static enum pd_history_verdict judge(const struct pd_history_operation *operations, uint32_t count)
{
    const struct pd_history_limits limits = pd_history_limits_default();
    struct pd_history_report report;
    assert_int_equal(pd_linearizability_check(operations, count, NONE, &limits, &report), PD_OK);
    return report.verdict;
}

#define assert_good(...)                                                                           \
    do {                                                                                           \
        const struct pd_history_operation history_[] = {__VA_ARGS__};                              \
        assert_int_equal(judge(history_, sizeof history_ / sizeof history_[0]),                    \
                         PD_HISTORY_LINEARIZABLE);                                                 \
    } while (0)
#define assert_bad(...)                                                                            \
    do {                                                                                           \
        const struct pd_history_operation history_[] = {__VA_ARGS__};                              \
        assert_int_equal(judge(history_, sizeof history_ / sizeof history_[0]),                    \
                         PD_HISTORY_NOT_LINEARIZABLE);                                             \
    } while (0)

static void reads_see_the_last_write(void **state)
{
    (void)state;
    assert_int_equal(judge(NULL, 0), PD_HISTORY_LINEARIZABLE);
    assert_good(get(1, 2, NONE));
    assert_bad(get(1, 2, 5));
    assert_good(put(1, 2, 5), get(3, 4, 5));
    assert_bad(put(1, 2, 5), get(3, 4, NONE));
    assert_good(put(1, 6, 5), get(2, 3, NONE), get(4, 5, 5));
    assert_bad(put(1, 6, 5), get(2, 3, 5), get(4, 5, NONE));
    /* What touches in time counts as concurrent. */
    assert_good(put(1, 3, 5), get(3, 4, NONE));
    /* In any order of the array. */
    assert_bad(get(4, 5, NONE), put(1, 6, 5), get(2, 3, 5));
}

static void compare_and_delete(void **state)
{
    (void)state;
    assert_good(cas(1, 2, NONE, 1, true), cas(3, 4, 1, 2, true), get(5, 6, 2));
    assert_bad(cas(1, 2, NONE, 1, true), cas(3, 4, 1, 2, false));
    assert_bad(cas(1, 9, NONE, 1, true), cas(2, 8, NONE, 2, true));
    assert_good(put(1, 2, 1), del(3, 4, true), del(5, 6, false), get(7, 8, NONE));
    assert_bad(put(1, 2, 1), del(3, 9, true), del(4, 8, true));
}

static void unknown_outcomes_stay_open(void **state)
{
    (void)state;
    assert_good(put(1, NEVER, 1), get(2, 3, NONE), get(4, 5, NONE), get(6, 7, 1));
    assert_bad(put(1, NEVER, 1), get(2, 3, 1), get(4, 5, NONE));
    assert_bad(get(1, 2, 1), put(3, NEVER, 1));
    assert_bad(put(1, NEVER, 1), put(2, 3, 2), get(4, 5, 1), put(6, 7, 2), get(8, 9, 1));
    assert_good(put(1, NEVER, 1), put(1, NEVER, 1), put(2, 3, 2), get(4, 5, 1), put(6, 7, 2),
                get(8, 9, 1));
    assert_good(cas(1, NEVER, 2, 3, false), put(4, 5, 2), get(6, 7, 3));
    assert_good(get(1, NEVER, 77), get(2, 3, NONE));
    assert_good(del(1, NEVER, false), put(2, 3, 1), get(4, 5, 1), get(6, 7, NONE));
}

static void revisions_rise(void **state)
{
    (void)state;
    assert_good(at_revision(put(1, 2, 1), 7), at_revision(get(3, 4, 1), 7));
    assert_bad(at_revision(put(1, 2, 1), 7), at_revision(get(3, 4, 1), 6));
    assert_bad(at_revision(put(1, 2, 1), 7), at_revision(put(3, 4, 1), 7));
    assert_good(at_revision(put(1, 9, 1), 8), at_revision(put(2, 8, 1), 7),
                at_revision(get(10, 11, 1), 8));
    /* The write that told no revision is told by the read. */
    assert_good(put(1, 2, 1), at_revision(get(3, 4, 1), 5), at_revision(get(5, 6, 1), 5));
    assert_bad(put(1, 2, 1), at_revision(get(3, 4, 1), 5), at_revision(get(5, 6, 1), 6));
    assert_good(put(1, 2, 1), at_revision(get(3, 4, 1), 5), put(4, NEVER, 1),
                at_revision(get(5, 6, 1), 6));
}

static void limits_and_bad_input(void **state)
{
    (void)state;
    struct pd_history_operation many[40];
    struct pd_history_report report = {0};
    for (uint32_t i = 0; i < 39; i++) {
        many[i] = put(1, NEVER, i);
    }
    many[39] = get(50, 51, 1000);
    struct pd_history_limits limits = pd_history_limits_default();
    limits.steps_max = 1000;
    assert_int_equal(pd_linearizability_check(many, 40, NONE, &limits, &report), PD_OK);
    assert_int_equal(report.verdict, PD_HISTORY_UNKNOWN);
    limits = pd_history_limits_default();
    limits.memory_bytes = 65536;
    assert_int_equal(pd_linearizability_check(many, 40, NONE, &limits, &report), PD_OK);
    assert_int_equal(report.verdict, PD_HISTORY_UNKNOWN);
    assert_true(report.states <= 65536 / 16);

    struct pd_history_operation bad = get(5, 4, 1);
    assert_int_equal(pd_linearizability_check(&bad, 1, NONE, &limits, &report), PD_ERR_INVALID);
    struct pd_history_operation good[] = {put(1, 2, 1), get(3, 4, 1)};
    for (uint64_t nth = 1; nth <= 5; nth++) {
        pd_alloc_fail_nth(nth);
        assert_int_equal(pd_linearizability_check(good, 2, NONE, &limits, &report),
                         PD_ERR_NO_MEMORY);
    }
    pd_alloc_fail_nth(0);
    assert_int_equal(pd_linearizability_check(good, 2, NONE, &limits, &report), PD_OK);
    assert_string_equal(pd_history_verdict_text(report.verdict), "linearizable");
}

/* Plain register semantics, once more and without cleverness. An open operation may happen or
 * not. */
static bool happens(const struct pd_history_operation *operation, uint64_t *value)
{
    bool is_open = operation->finish_time == NEVER;
    switch (operation->kind) {
    case PD_HISTORY_READ:
        return is_open || operation->observed == *value;
    case PD_HISTORY_WRITE:
        *value = operation->value;
        return true;
    case PD_HISTORY_DELETE: {
        bool was_there = *value != NONE;
        *value = NONE;
        return is_open || operation->succeeded == was_there;
    }
    case PD_HISTORY_CAS: {
        bool is_equal = *value == operation->expected;
        if (!is_open && operation->succeeded != is_equal) {
            return false;
        }
        *value = is_equal ? operation->value : *value;
        return true;
    }
    }
    return false;
}

/* All orders of all subsets that hold every answered operation, by counting through them. */
static bool brute_force(const struct pd_history_operation *operations, uint32_t count)
{
    uint32_t order[SMALL_MAX] = {0};
    uint64_t values[SMALL_MAX + 1] = {NONE};
    uint32_t depth = 0;
    uint32_t placed = 0;
    uint32_t answered = 0;
    for (uint32_t i = 0; i < count; i++) {
        answered |= operations[i].finish_time == NEVER ? 0 : 1u << i;
    }
    uint32_t next = 0;
    for (;;) {
        if ((placed & answered) == answered) {
            return true;
        }
        uint32_t chosen = next;
        for (; chosen < count; chosen++) {
            bool is_first = (placed & 1u << chosen) == 0;
            for (uint32_t i = 0; i < count && is_first; i++) {
                is_first = (placed & 1u << i) != 0 ||
                           operations[i].finish_time >= operations[chosen].invoke_time;
            }
            values[depth + 1] = values[depth];
            if (is_first && happens(&operations[chosen], &values[depth + 1])) {
                break;
            }
        }
        if (chosen < count) {
            order[depth++] = chosen;
            placed |= 1u << chosen;
            next = 0;
        } else if (depth == 0) {
            return false;
        } else {
            depth--;
            placed &= ~(1u << order[depth]);
            next = order[depth] + 1;
        }
    }
}

static void agrees_with_brute_force(void **state)
{
    (void)state;
    struct pd_random random = test_random("agrees_with_brute_force");
    uint32_t good = 0;
    uint32_t bad = 0;
    for (uint32_t round = 0; round < 60000; round++) {
        struct pd_history_operation operations[SMALL_MAX];
        uint32_t count = 1 + (uint32_t)pd_random_below(&random, SMALL_MAX);
        for (uint32_t i = 0; i < count; i++) {
            uint64_t from = pd_random_below(&random, 12);
            bool is_open = pd_random_below(&random, 4) == 0;
            operations[i] = (struct pd_history_operation){
                .kind = (enum pd_history_kind)pd_random_below(&random, 4),
                .invoke_time = from,
                .finish_time = is_open ? NEVER : from + pd_random_below(&random, 8),
                .succeeded = pd_random_below(&random, 2) == 0,
                .expected = pd_random_below(&random, 2),
                .value = pd_random_below(&random, 3),
                .observed = pd_random_below(&random, 3)};
            operations[i].observed = operations[i].observed == 2 ? NONE : operations[i].observed;
        }
        bool is_good = brute_force(operations, count);
        assert_int_equal(judge(operations, count),
                         is_good ? PD_HISTORY_LINEARIZABLE : PD_HISTORY_NOT_LINEARIZABLE);
        good += is_good ? 1 : 0;
        bad += is_good ? 0 : 1;
    }
    assert_true(good > 1000 && bad > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_see_the_last_write),   cmocka_unit_test(compare_and_delete),
        cmocka_unit_test(unknown_outcomes_stay_open), cmocka_unit_test(revisions_rise),
        cmocka_unit_test(limits_and_bad_input),       cmocka_unit_test(agrees_with_brute_force),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
