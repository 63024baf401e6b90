/* A FIFO that many threads push to and steal from without losing or doubling anyone. */
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

#include "actor/process.h"
#include "actor/runqueue.h"
#include "support/seed.h"

#define PROCESSES 1200u

static struct pd_process processes[PROCESSES];

static void push_range(struct pd_runqueue *queue, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        pd_runqueue_push(queue, &processes[i]);
    }
}

static void first_in_first_out(void **state)
{
    (void)state;
    struct pd_runqueue queue = {0};
    assert_null(pd_runqueue_take(&queue));
    push_range(&queue, 5);
    assert_int_equal(pd_runqueue_count(&queue), 5);
    for (uint32_t i = 0; i < 5; i++) {
        assert_ptr_equal(pd_runqueue_take(&queue), &processes[i]);
    }
    assert_null(pd_runqueue_take(&queue));
    push_range(&queue, 1); /* usable after it was empty */
    assert_ptr_equal(pd_runqueue_take(&queue), &processes[0]);
}

static void any_of_the_window_can_be_taken(void **state)
{
    (void)state;
    struct pd_runqueue queue = {0};
    push_range(&queue, PD_RUNQUEUE_WINDOW);
    assert_ptr_equal(pd_runqueue_take_at(&queue, PD_RUNQUEUE_WINDOW - 1),
                     &processes[PD_RUNQUEUE_WINDOW - 1]); /* the last: the tail moves */
    pd_runqueue_push(&queue, &processes[100]);
    assert_ptr_equal(pd_runqueue_take_at(&queue, 1), &processes[1]);
    assert_ptr_equal(pd_runqueue_take_at(&queue, 0), &processes[0]);
    for (uint32_t i = 2; i < PD_RUNQUEUE_WINDOW - 1; i++) {
        assert_ptr_equal(pd_runqueue_take(&queue), &processes[i]);
    }
    assert_ptr_equal(pd_runqueue_take_at(&queue, 0), &processes[100]);
    assert_int_equal(pd_runqueue_count(&queue), 0);
    assert_null(pd_runqueue_take(&queue));
}

/* The thief gets the older half in order; what is left keeps its order too. */
static void a_thief_takes_the_older_half(void **state)
{
    (void)state;
    for (uint32_t count = 0; count <= PROCESSES; count += count < 20 ? 1 : 59) {
        struct pd_runqueue from = {0};
        struct pd_runqueue to = {0};
        pd_runqueue_push(&to, &processes[PROCESSES - 1]); /* it had one already */
        uint32_t usable = count < PROCESSES ? count : PROCESSES - 1;
        push_range(&from, usable);
        uint32_t stolen = (usable + 1) / 2;
        stolen = stolen < PD_RUNQUEUE_STEAL_MAX ? stolen : PD_RUNQUEUE_STEAL_MAX;
        struct pd_process *first = pd_runqueue_steal(&from, &to);
        assert_ptr_equal(first, usable == 0 ? NULL : &processes[0]);
        assert_int_equal(pd_runqueue_count(&from), usable - stolen);
        assert_int_equal(pd_runqueue_count(&to), stolen == 0 ? 1 : stolen);
        assert_ptr_equal(pd_runqueue_take(&to), &processes[PROCESSES - 1]);
        for (uint32_t i = 1; i < stolen; i++) {
            assert_ptr_equal(pd_runqueue_take(&to), &processes[i]);
        }
        for (uint32_t i = stolen; i < usable; i++) {
            assert_ptr_equal(pd_runqueue_take(&from), &processes[i]);
        }
        assert_null(pd_runqueue_take(&from));
        assert_null(pd_runqueue_take(&to));
    }
}

/* --- Against a model -------------------------------------------------------------------------- */

struct model {
    uint32_t items[PROCESSES];
    uint32_t count;
};

static uint32_t model_take(struct model *model, uint32_t index)
{
    uint32_t item = model->items[index];
    memmove(&model->items[index], &model->items[index + 1],
            (model->count - index - 1) * sizeof *model->items);
    model->count--;
    return item;
}

static struct pd_process *model_steal(struct model *from, struct model *to)
{
    if (from->count == 0) {
        return NULL;
    }
    uint32_t stolen = (from->count + 1) / 2;
    stolen = stolen < PD_RUNQUEUE_STEAL_MAX ? stolen : PD_RUNQUEUE_STEAL_MAX;
    struct pd_process *first = &processes[model_take(from, 0)];
    for (uint32_t i = 1; i < stolen; i++) {
        to->items[to->count++] = model_take(from, 0);
    }
    return first;
}

static void agrees_with_the_model(void **state)
{
    (void)state;
    struct pd_random random = test_random("runqueue");
    static struct pd_runqueue queues[2];
    static struct model models[2];
    static uint32_t free_items[PROCESSES];
    uint32_t free_count = PROCESSES;
    for (uint32_t i = 0; i < PROCESSES; i++) {
        free_items[i] = i;
    }
    for (int step = 0; step < 200000; step++) {
        uint32_t which = (uint32_t)pd_random_below(&random, 2);
        struct pd_runqueue *queue = &queues[which];
        struct model *model = &models[which];
        struct pd_process *got = NULL;
        uint64_t what = pd_random_below(&random, step / 10000 % 2 == 0 ? 40 : 90);
        if (what < 30) {
            if (free_count > 0) {
                uint32_t item = free_items[--free_count];
                pd_runqueue_push(queue, &processes[item]);
                model->items[model->count++] = item;
            }
        } else if (what == 30) {
            got = pd_runqueue_steal(queue, &queues[1 - which]);
            assert_ptr_equal(got, model_steal(model, &models[1 - which]));
        } else if (model->count == 0) {
            assert_null(pd_runqueue_take(queue));
        } else if (what % 2 == 0) {
            got = pd_runqueue_take(queue);
            assert_ptr_equal(got, &processes[model_take(model, 0)]);
        } else {
            uint32_t window = model->count < PD_RUNQUEUE_WINDOW ? model->count : PD_RUNQUEUE_WINDOW;
            uint32_t index = (uint32_t)pd_random_below(&random, window);
            got = pd_runqueue_take_at(queue, index);
            assert_ptr_equal(got, &processes[model_take(model, index)]);
        }
        if (got != NULL) {
            free_items[free_count++] = (uint32_t)(got - processes);
        }
        assert_int_equal(pd_runqueue_count(queue), model->count);
    }
}

/* --- Threads ---------------------------------------------------------------------------------- */

#define THREADS 4u
#define TURNS 40000u

struct ring {
    struct pd_runqueue queues[THREADS];
    atomic_bool is_running[PROCESSES]; /* taken, and not yet pushed again */
};

struct worker {
    struct ring *ring;
    uint32_t index;
    uint32_t turns;
};

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct ring *ring = worker->ring;
    struct pd_runqueue *own = &ring->queues[worker->index];
    for (uint32_t turn = 0; turn < TURNS; turn++) {
        struct pd_process *process = pd_runqueue_take(own);
        if (process == NULL) {
            process = pd_runqueue_steal(&ring->queues[(worker->index + turn) % THREADS], own);
        }
        if (process == NULL) {
            (void)sched_yield();
            continue;
        }
        uint32_t item = (uint32_t)(process - processes);
        if (atomic_exchange(&ring->is_running[item], true)) {
            abort(); /* two threads have it */
        }
        worker->turns++;
        atomic_store(&ring->is_running[item], false);
        pd_runqueue_push(turn % 7 == 0 ? &ring->queues[turn % THREADS] : own, process);
    }
    return NULL;
}

static void nobody_is_lost_or_doubled_between_threads(void **state)
{
    (void)state;
    static struct ring ring;
    enum {
        COUNT = 300
    };
    push_range(&ring.queues[0], COUNT);
    pthread_t threads[THREADS];
    struct worker workers[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.ring = &ring, .index = i};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    static bool is_seen[PROCESSES];
    uint32_t count = 0;
    for (uint32_t i = 0; i < THREADS; i++) {
        struct pd_process *process = NULL;
        while ((process = pd_runqueue_take(&ring.queues[i])) != NULL) {
            assert_false(is_seen[process - processes]);
            is_seen[process - processes] = true;
            count++;
        }
        assert_int_equal(pd_runqueue_count(&ring.queues[i]), 0);
    }
    assert_int_equal(count, COUNT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_in_first_out),
        cmocka_unit_test(any_of_the_window_can_be_taken),
        cmocka_unit_test(a_thief_takes_the_older_half),
        cmocka_unit_test(agrees_with_the_model),
        cmocka_unit_test(nobody_is_lost_or_doubled_between_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
