/* Timers fire in (deadline, order of setting), whatever is cancelled between, from any thread. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "actor/timer.h"
#include "base/alloc.h"
#include "base/host.h"
#include "support/seed.h"

static void equal_deadlines_fire_in_the_order_of_setting(void **state)
{
    (void)state;
    struct pd_timer_queue queue;
    struct pd_timer timers[100];
    pd_timer_queue_init(&queue, 100);
    for (int i = 0; i < 100; i++) {
        pd_timer_init(&timers[i], PD_TIMER_WAKE);
        assert_int_equal(pd_timer_set(&queue, &timers[i], 10), PD_OK);
    }
    assert_null(pd_timer_queue_take_due(&queue, 9));
    for (int i = 0; i < 100; i++) {
        assert_ptr_equal(pd_timer_queue_take_due(&queue, 10), &timers[i]);
    }
    assert_null(pd_timer_queue_take_due(&queue, UINT64_MAX));
    pd_timer_queue_deinit(&queue);
}

static void next_is_the_earliest(void **state)
{
    (void)state;
    struct pd_timer_queue queue;
    struct pd_timer a;
    struct pd_timer b;
    pd_timer_init(&a, PD_TIMER_WAKE);
    pd_timer_init(&b, PD_TIMER_MESSAGE);
    pd_timer_queue_init(&queue, 2);
    assert_true(pd_timer_queue_next_ns(&queue) == PD_TIME_NEVER);
    assert_int_equal(pd_timer_set(&queue, &a, 20), PD_OK);
    assert_int_equal(pd_timer_set(&queue, &b, 5), PD_OK);
    assert_true(pd_timer_queue_next_ns(&queue) == 5);
    assert_true(pd_timer_cancel(&b));
    assert_false(pd_timer_cancel(&b));
    assert_true(pd_timer_queue_next_ns(&queue) == 20);
    assert_ptr_equal(pd_timer_queue_take_due(&queue, 20), &a);
    assert_false(pd_timer_cancel(&a));
    assert_true(pd_timer_queue_next_ns(&queue) == PD_TIME_NEVER);
    pd_timer_queue_deinit(&queue);
}

static void limits_are_statuses(void **state)
{
    (void)state;
    struct pd_timer_queue queue;
    struct pd_timer timers[3];
    pd_timer_queue_init(&queue, 2);
    for (int i = 0; i < 3; i++) {
        pd_timer_init(&timers[i], PD_TIMER_WAKE);
    }
    pd_alloc_fail_nth(1);
    assert_int_equal(pd_timer_set(&queue, &timers[0], 1), PD_ERR_NO_MEMORY);
    assert_false(pd_timer_cancel(&timers[0]));
    assert_int_equal(pd_timer_set(&queue, &timers[0], 1), PD_OK);
    assert_int_equal(pd_timer_set(&queue, &timers[1], 1), PD_OK);
    assert_int_equal(pd_timer_set(&queue, &timers[2], 1), PD_ERR_FULL);
    assert_false(pd_timer_cancel(&timers[2]));
    assert_true(pd_timer_cancel(&timers[0]));
    assert_int_equal(pd_timer_set(&queue, &timers[2], 1), PD_OK);
    assert_ptr_equal(pd_timer_queue_take_due(&queue, 1), &timers[1]);
    assert_ptr_equal(pd_timer_queue_take_due(&queue, 1), &timers[2]);
    pd_timer_queue_deinit(&queue);
}

/* --- Against a sorted list -------------------------------------------------------------------- */

#define TIMERS 200u
#define QUEUES 2u

struct model {
    uint32_t order[QUEUES][TIMERS]; /* by (deadline, time of setting) */
    uint32_t count[QUEUES];
    int at[TIMERS]; /* queue, or -1 */
    uint64_t deadline_ns[TIMERS];
};

static void model_insert(struct model *model, uint32_t queue, uint32_t timer, uint64_t deadline_ns)
{
    uint32_t place = model->count[queue]++;
    uint32_t *order = model->order[queue];
    while (place > 0 && model->deadline_ns[order[place - 1]] > deadline_ns) {
        order[place] = order[place - 1];
        place--;
    }
    order[place] = timer;
    model->deadline_ns[timer] = deadline_ns;
    model->at[timer] = (int)queue;
}

static void model_remove(struct model *model, uint32_t timer)
{
    uint32_t queue = (uint32_t)model->at[timer];
    uint32_t kept = 0;
    for (uint32_t i = 0; i < model->count[queue]; i++) {
        if (model->order[queue][i] != timer) {
            model->order[queue][kept++] = model->order[queue][i];
        }
    }
    model->count[queue] = kept;
    model->at[timer] = -1;
}

static void fire(struct pd_timer_queue *queues, struct pd_timer *timers, struct model *model,
                 uint32_t queue, uint64_t now_ns)
{
    struct pd_timer *due = pd_timer_queue_take_due(&queues[queue], now_ns);
    uint32_t first = model->order[queue][0];
    if (model->count[queue] == 0 || model->deadline_ns[first] > now_ns) {
        assert_null(due);
        return;
    }
    assert_ptr_equal(due, &timers[first]);
    assert_true(due->deadline_ns == model->deadline_ns[first]);
    model_remove(model, first);
}

static void agrees_with_a_sorted_list(void **state)
{
    (void)state;
    struct pd_random random = test_random("timer");
    static struct pd_timer timers[TIMERS];
    static struct model model;
    struct pd_timer_queue queues[QUEUES];
    for (uint32_t i = 0; i < QUEUES; i++) {
        pd_timer_queue_init(&queues[i], TIMERS);
    }
    for (uint32_t i = 0; i < TIMERS; i++) {
        pd_timer_init(&timers[i], PD_TIMER_WAKE);
        model.at[i] = -1;
    }
    for (int step = 0; step < 300000; step++) {
        uint32_t timer = (uint32_t)pd_random_below(&random, TIMERS);
        uint32_t queue = (uint32_t)pd_random_below(&random, QUEUES);
        uint64_t time_ns = pd_random_below(&random, 50); /* many are equal */
        uint64_t what = pd_random_below(&random, 8);
        if (what == 0) {
            fire(queues, timers, &model, queue, time_ns);
        } else if (model.at[timer] >= 0) {
            assert_true(pd_timer_cancel(&timers[timer]));
            model_remove(&model, timer);
        } else if (what < 6) {
            assert_int_equal(pd_timer_set(&queues[queue], &timers[timer], time_ns), PD_OK);
            model_insert(&model, queue, timer, time_ns);
        } else {
            assert_false(pd_timer_cancel(&timers[timer]));
        }
        uint64_t next_ns =
            model.count[queue] == 0 ? PD_TIME_NEVER : model.deadline_ns[model.order[queue][0]];
        assert_true(pd_timer_queue_next_ns(&queues[queue]) == next_ns);
    }
    for (uint32_t queue = 0; queue < QUEUES; queue++) {
        while (model.count[queue] > 0) {
            fire(queues, timers, &model, queue, UINT64_MAX);
        }
        pd_timer_queue_deinit(&queues[queue]);
    }
}

/* --- Threads ---------------------------------------------------------------------------------- */

/* Two threads fire, each its own queue; a third sets timers here or there and cancels them. Each
 * setting ends either fired or cancelled, never both, never neither. */
#define ROUNDS 200000u

struct race {
    struct pd_timer_queue queues[QUEUES];
    atomic_bool is_over;
    atomic_uint fired;
};

struct firing {
    struct race *race;
    uint32_t queue;
};

static void *fire_until_over(void *argument)
{
    struct firing *firing = argument;
    struct race *race = firing->race;
    while (!atomic_load(&race->is_over)) {
        if (pd_timer_queue_take_due(&race->queues[firing->queue], 1) != NULL) {
            atomic_fetch_add(&race->fired, 1);
        } else {
            (void)sched_yield();
        }
    }
    return NULL;
}

static void cancelling_races_with_firing(void **state)
{
    (void)state;
    struct pd_random random = test_random("timer threads");
    static struct race race;
    static struct pd_timer timers[16];
    pthread_t threads[QUEUES];
    struct firing firings[QUEUES];
    for (uint32_t i = 0; i < QUEUES; i++) {
        pd_timer_queue_init(&race.queues[i], 16);
        firings[i] = (struct firing){.race = &race, .queue = i};
        assert_int_equal(pthread_create(&threads[i], NULL, fire_until_over, &firings[i]), 0);
    }
    for (uint32_t i = 0; i < 16; i++) {
        pd_timer_init(&timers[i], PD_TIMER_WAKE);
    }
    uint32_t set = 0;
    uint32_t cancelled = 0;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct pd_timer *timer = &timers[pd_random_below(&random, 16)];
        cancelled += pd_timer_cancel(timer) ? 1 : 0;
        struct pd_timer_queue *queue = &race.queues[pd_random_below(&random, QUEUES)];
        uint64_t deadline_ns = pd_random_below(&random, 3); /* 2: not due, only cancelled */
        assert_int_equal(pd_timer_set(queue, timer, deadline_ns), PD_OK);
        set++;
    }
    for (uint32_t i = 0; i < 16; i++) {
        cancelled += pd_timer_cancel(&timers[i]) ? 1 : 0;
    }
    atomic_store(&race.is_over, true);
    for (uint32_t i = 0; i < QUEUES; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        pd_timer_queue_deinit(&race.queues[i]);
    }
    assert_int_equal(atomic_load(&race.fired) + cancelled, set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_deadlines_fire_in_the_order_of_setting),
        cmocka_unit_test(next_is_the_earliest),
        cmocka_unit_test(limits_are_statuses),
        cmocka_unit_test(agrees_with_a_sorted_list),
        cmocka_unit_test(cancelling_races_with_firing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
