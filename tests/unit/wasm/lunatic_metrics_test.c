/* lunatic::metrics as guests call it, and the table behind it: limits, kinds, snapshots,
 * threads. */
#include <math.h>
#include <pthread.h>

#include "abi_actor.h"

#define METRICS "lunatic::metrics"
#define NAME 100

struct fixture {
    struct world world;
    struct actor actor;
    struct pd_metrics_snapshot snapshot;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct pd_runtime_config config = world_config();
    world_open(&f->world, &config);
    f->actor = actor_spawn(&f->world);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    pd_metrics_snapshot_deinit(&f->snapshot);
    world_close(&f->world);
    free(f);
    return 0;
}

static uint64_t bits(double number)
{
    uint64_t as_bits = 0;
    memcpy(&as_bits, &number, sizeof as_bits);
    return as_bits;
}

static const struct pd_metric *look(struct fixture *f, enum pd_metric_kind kind, const char *name)
{
    pd_metrics_snapshot_deinit(&f->snapshot);
    assert_int_equal(pd_metrics_snapshot(f->world.system.metrics, &f->snapshot), PD_OK);
    for (uint32_t i = 0; i < f->snapshot.count; i++) {
        const struct pd_metric *metric = &f->snapshot.metrics[i];
        if (metric->kind == kind && strcmp(metric->name, name) == 0) {
            return metric;
        }
    }
    return NULL;
}

static void guests_count(void **state)
{
    struct fixture *f = *state;
    uint32_t size = actor_put(&f->actor, NAME, "jobs");
    (void)CALL(&f->actor, METRICS, "increment_counter", NAME, size);
    (void)CALL(&f->actor, METRICS, "counter", NAME, size, 41);
    assert_int_equal(look(f, PD_METRIC_COUNTER, "jobs")->value.counter, 42);
    (void)CALL(&f->actor, METRICS, "counter", NAME, size, UINT64_MAX);
    assert_true(look(f, PD_METRIC_COUNTER, "jobs")->value.counter == UINT64_MAX); /* stops there */

    (void)CALL(&f->actor, METRICS, "gauge", NAME, size, bits(10.5));
    (void)CALL(&f->actor, METRICS, "increment_gauge", NAME, size, bits(2));
    (void)CALL(&f->actor, METRICS, "decrement_gauge", NAME, size, bits(0.5));
    assert_true(look(f, PD_METRIC_GAUGE, "jobs")->value.gauge == 12.0);

    (void)CALL(&f->actor, METRICS, "histogram", NAME, size, bits(0.25));
    (void)CALL(&f->actor, METRICS, "histogram", NAME, size, bits(-3));
    (void)CALL(&f->actor, METRICS, "histogram", NAME, size, bits(1e300));
    const struct pd_metric_histogram *histogram =
        &look(f, PD_METRIC_HISTOGRAM, "jobs")->value.histogram;
    assert_int_equal(histogram->count, 3);
    assert_true(histogram->minimum == -3.0);
    assert_true(histogram->maximum == 1e300);
    assert_int_equal(histogram->buckets[0], 1);
    assert_int_equal(histogram->buckets[9], 1); /* at most 4^-1 */
    assert_int_equal(histogram->buckets[PD_METRIC_BUCKETS - 1], 1);
    assert_int_equal(f->snapshot.refused_count, 0);
}

static void what_is_no_number_is_refused_not_recorded(void **state)
{
    struct fixture *f = *state;
    uint32_t size = actor_put(&f->actor, NAME, "g");
    (void)CALL(&f->actor, METRICS, "gauge", NAME, size, bits((double)NAN));
    (void)CALL(&f->actor, METRICS, "histogram", NAME, size, bits((double)INFINITY));
    assert_null(look(f, PD_METRIC_GAUGE, "g"));
    (void)CALL(&f->actor, METRICS, "gauge", NAME, size, bits(1.7e308));
    (void)CALL(&f->actor, METRICS, "increment_gauge", NAME, size, bits(1.7e308)); /* overflows */
    assert_true(look(f, PD_METRIC_GAUGE, "g")->value.gauge == 1.7e308);
    assert_int_equal(f->snapshot.refused_count, 3);
    static const char *const names[] = {"gauge", "increment_gauge", "decrement_gauge", "histogram"};
    const double odd[] = {(double)NAN, (double)INFINITY, (double)-INFINITY};
    for (size_t i = 0; i < 4 * 3; i++) {
        const uint64_t arguments[3] = {NAME, size, bits(odd[i % 3])};
        (void)actor_call(&f->actor, METRICS, names[i / 3], arguments, 3);
    }
    assert_true(look(f, PD_METRIC_GAUGE, "g")->value.gauge == 1.7e308);
    assert_null(look(f, PD_METRIC_HISTOGRAM, "g"));
    assert_int_equal(f->snapshot.refused_count, 15);
}

static const char *const recorders[] = {"counter",         "increment_counter", "gauge",
                                        "increment_gauge", "decrement_gauge",   "histogram"};
#define RECORDER_COUNT (sizeof recorders / sizeof recorders[0])

/* No name, one that is too long, and one more than there is room for. */
static void each_recorder_refuses(struct fixture *f)
{
    (void)look(f, PD_METRIC_COUNTER, "m00");
    uint64_t before = f->snapshot.refused_count;
    memset(actor_memory(&f->actor, 0), 'x', PD_METRIC_NAME_MAX + 1);
    static const uint64_t sizes[] = {0, PD_METRIC_NAME_MAX + 1, PD_METRIC_NAME_MAX};
    for (size_t i = 0; i < 3 * RECORDER_COUNT; i++) {
        const uint64_t arguments[3] = {0, sizes[i % 3], 1};
        (void)actor_call(&f->actor, METRICS, recorders[i / 3], arguments, 3);
    }
    (void)look(f, PD_METRIC_COUNTER, "m00");
    assert_int_equal(f->snapshot.refused_count, before + 3 * RECORDER_COUNT);
    assert_int_equal(f->snapshot.count, WORLD_METRICS_MAX);
}

static void limits_refuse_and_never_trap(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < WORLD_METRICS_MAX + 5; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "m%02u", i);
        uint32_t size = actor_put(&f->actor, NAME, name);
        (void)CALL(&f->actor, METRICS, "increment_counter", NAME, size);
    }
    memset(actor_memory(&f->actor, 0), 'x', PD_METRIC_NAME_MAX + 1);
    (void)CALL(&f->actor, METRICS, "increment_counter", 0, PD_METRIC_NAME_MAX + 1);
    (void)CALL(&f->actor, METRICS, "increment_counter", 0, 0);
    uint32_t size = actor_put(&f->actor, NAME, "m00"); /* one that is there still counts */
    (void)CALL(&f->actor, METRICS, "increment_counter", NAME, size);
    assert_int_equal(look(f, PD_METRIC_COUNTER, "m00")->value.counter, 2);
    assert_int_equal(f->snapshot.count, WORLD_METRICS_MAX);
    assert_int_equal(f->snapshot.refused_count, 7);
    for (uint32_t i = 1; i < f->snapshot.count; i++) { /* sorted */
        assert_true(strcmp(f->snapshot.metrics[i - 1].name, f->snapshot.metrics[i].name) < 0);
    }
    each_recorder_refuses(f);
}

static void bad_names_trap(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < RECORDER_COUNT; i++) {
        struct actor actor = actor_spawn(&f->world);
        uint32_t size = actor_put(&actor, NAME, "\xFF");
        assert_says(TRAP(&actor, METRICS, recorders[i], NAME, size, 0), "UTF-8");
        actor = actor_spawn(&f->world);
        assert_says(TRAP(&actor, METRICS, recorders[i], FAKE_MEMORY_SIZE, 1, 0), "out of bounds");
    }
}

static void without_a_table_nothing_is_counted(void **state)
{
    struct fixture *f = *state;
    struct pd_metrics *metrics = f->world.system.metrics;
    f->world.system.metrics = NULL;
    uint32_t size = actor_put(&f->actor, NAME, "x");
    (void)CALL(&f->actor, METRICS, "increment_counter", NAME, size);
    (void)CALL(&f->actor, METRICS, "gauge", NAME, size, 0);
    f->world.system.metrics = metrics;
    assert_null(look(f, PD_METRIC_COUNTER, "x"));
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    struct pd_metrics *metrics = NULL;
    pd_alloc_fail_nth(1);
    assert_int_equal(pd_metrics_create(4, 0, &metrics), PD_ERR_NO_MEMORY);
    pd_alloc_fail_nth(0);
    assert_int_equal(pd_metrics_create(4, 0, &metrics), PD_OK);
    pd_alloc_fail_nth(1);
    assert_int_equal(pd_metrics_counter_add(metrics, "a", 1, 1), PD_ERR_NO_MEMORY);
    pd_alloc_fail_nth(0);
    assert_int_equal(pd_metrics_counter_add(metrics, "a", 1, 1), PD_OK);
    struct pd_metrics_snapshot snapshot;
    pd_alloc_fail_nth(1);
    assert_int_equal(pd_metrics_snapshot(metrics, &snapshot), PD_ERR_NO_MEMORY);
    pd_alloc_fail_nth(0);
    assert_int_equal(pd_metrics_snapshot(metrics, &snapshot), PD_OK);
    assert_int_equal(snapshot.count, 1);
    assert_int_equal(snapshot.refused_count, 1);
    pd_metrics_snapshot_deinit(&snapshot);
    pd_metrics_destroy(metrics);
    pd_metrics_destroy(NULL);
}

#define ROUNDS 20000

static void *count_much(void *argument)
{
    struct pd_metrics *metrics = argument;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "t%u", i % 20);
        assert_int_equal(pd_metrics_counter_add(metrics, name, strlen(name), 1), PD_OK);
    }
    return NULL;
}

static void threads_count_together(void **state)
{
    (void)state;
    struct pd_metrics *metrics = NULL;
    assert_int_equal(pd_metrics_create(100, 0, &metrics), PD_OK);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_much, metrics), 0);
    }
    for (int i = 0; i < 50; i++) {
        struct pd_metrics_snapshot snapshot;
        assert_int_equal(pd_metrics_snapshot(metrics, &snapshot), PD_OK);
        pd_metrics_snapshot_deinit(&snapshot);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    struct pd_metrics_snapshot snapshot;
    assert_int_equal(pd_metrics_snapshot(metrics, &snapshot), PD_OK);
    assert_int_equal(snapshot.count, 20);
    for (uint32_t i = 0; i < snapshot.count; i++) {
        assert_int_equal(snapshot.metrics[i].value.counter, 4 * ROUNDS / 20);
    }
    pd_metrics_snapshot_deinit(&snapshot);
    pd_metrics_destroy(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(guests_count, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_number_is_refused_not_recorded, setup, teardown),
        cmocka_unit_test_setup_teardown(limits_refuse_and_never_trap, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_names_trap, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_table_nothing_is_counted, setup, teardown),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(threads_count_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
