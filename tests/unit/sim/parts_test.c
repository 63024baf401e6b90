/* The simulator's queue, clock, network and schedule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "sim/clock.h"
#include "sim/network.h"
#include "sim/queue.h"
#include "sim/schedule.h"

static void the_queue_orders_by_time_then_by_push(void **state)
{
    (void)state;
    struct pd_sim_queue queue;
    pd_sim_queue_init(&queue);
    struct pd_random random;
    pd_random_init(&random, 3, "queue");
    for (uint64_t i = 0; i < 1000; i++) {
        struct pd_sim_event event = {.time_ns = pd_random_below(&random, 50), .value = i};
        pd_sim_queue_push(&queue, &event);
    }
    struct pd_sim_event last = {0};
    struct pd_sim_event event;
    for (uint64_t i = 0; i < 1000; i++) {
        assert_true(pd_sim_queue_pop(&queue, &event));
        assert_true(event.time_ns >= last.time_ns);
        if (i > 0 && event.time_ns == last.time_ns) {
            assert_true(event.value > last.value);
        }
        last = event;
    }
    assert_false(pd_sim_queue_pop(&queue, &event));
    pd_sim_queue_deinit(&queue);
}

static void what_is_hastened_keeps_its_order(void **state)
{
    (void)state;
    struct pd_sim_queue queue;
    pd_sim_queue_init(&queue);
    struct pd_random random;
    pd_random_init(&random, 4, "queue");
    for (uint64_t i = 0; i < 1000; i++) {
        struct pd_sim_event event = {
            .time_ns = pd_random_below(&random, 50), .kind = i % 2 + 1, .value = i};
        pd_sim_queue_push(&queue, &event);
    }
    pd_sim_queue_hasten(&queue, 1, 20);
    struct pd_sim_event last = {0};
    struct pd_sim_event event;
    uint32_t late = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        assert_true(pd_sim_queue_pop(&queue, &event));
        assert_true(event.time_ns >= last.time_ns);
        assert_true(i == 0 || event.time_ns > last.time_ns || event.value > last.value);
        assert_true(event.kind == 2 || event.time_ns <= 20);
        late += event.time_ns > 20;
        last = event;
    }
    assert_true(late > 100); /* the others come when they came */
    assert_false(pd_sim_queue_pop(&queue, &event));
    pd_sim_queue_deinit(&queue);
}

static void clocks_drift_jump_and_freeze(void **state)
{
    (void)state;
    const uint64_t second = 1000000000;
    struct pd_sim_clock clock;
    pd_sim_clock_init(&clock, 5 * second, 100 * second);
    assert_int_equal(pd_sim_clock_boot_ns(&clock, second), 6 * second);
    assert_int_equal(pd_sim_clock_wall_ns(&clock, second), 101 * second);
    pd_sim_clock_set_drift(&clock, second, 100000);
    assert_int_equal(pd_sim_clock_boot_ns(&clock, 11 * second), 17 * second);
    pd_sim_clock_freeze(&clock, 11 * second, true);
    assert_int_equal(pd_sim_clock_boot_ns(&clock, 50 * second), 17 * second);
    pd_sim_clock_freeze(&clock, 50 * second, false);
    pd_sim_clock_set_drift(&clock, 50 * second, 0);
    assert_int_equal(pd_sim_clock_boot_ns(&clock, 51 * second), 18 * second);
    pd_sim_clock_jump_boot(&clock, 51 * second, (int64_t)(2 * second));
    assert_int_equal(pd_sim_clock_boot_ns(&clock, 51 * second), 20 * second);
    uint64_t wall_ns = pd_sim_clock_wall_ns(&clock, 52 * second);
    pd_sim_clock_reboot(&clock, 52 * second, second);
    assert_int_equal(pd_sim_clock_boot_ns(&clock, 53 * second), 2 * second);
    assert_int_equal(pd_sim_clock_wall_ns(&clock, 53 * second), wall_ns + second);
    pd_sim_clock_jump_wall(&clock, -(int64_t)(1000 * second));
    assert_int_equal(pd_sim_clock_wall_ns(&clock, 51 * second), 0);
}

static void links_keep_their_order_unless_told(void **state)
{
    (void)state;
    struct pd_sim_network network;
    pd_sim_network_init(&network, 9, 1000000, 8);
    uint64_t last = 0;
    uint64_t arrivals[PD_SIM_COPIES_MAX];
    for (uint64_t i = 0; i < 500; i++) {
        assert_int_equal(pd_sim_network_send(&network, 0, 1, i * 1000, arrivals), 1);
        assert_true(arrivals[0] > last);
        last = arrivals[0];
    }
    network.reorder_ppm = 500000;
    bool has_overtaken = false;
    for (uint64_t i = 500; i < 1000; i++) {
        assert_int_equal(pd_sim_network_send(&network, 0, 1, i * 1000, arrivals), 1);
        has_overtaken = has_overtaken || arrivals[0] < last;
        last = arrivals[0];
    }
    assert_true(has_overtaken);
}

static void cuts_add_up_and_heal(void **state)
{
    (void)state;
    struct pd_sim_network network;
    pd_sim_network_init(&network, 9, 1000000, 8);
    uint64_t arrivals[PD_SIM_COPIES_MAX];
    pd_sim_network_cut(&network, 0, 1);
    pd_sim_network_cut(&network, 0, 1);
    pd_sim_network_mend(&network, 0, 1);
    assert_int_equal(pd_sim_network_send(&network, 0, 1, 0, arrivals), 0);
    assert_int_equal(pd_sim_network_send(&network, 1, 0, 0, arrivals), 1);
    network.drop_ppm = 1000000;
    assert_int_equal(pd_sim_network_send(&network, 1, 0, 0, arrivals), 0);
    pd_sim_network_heal(&network, UINT64_MAX);
    assert_int_equal(pd_sim_network_send(&network, 0, 1, 0, arrivals), 1);
    network.duplicate_ppm = 1000000;
    assert_int_equal(pd_sim_network_send(&network, 0, 1, 0, arrivals), PD_SIM_COPIES_MAX);
}

/* Messages of a link keep their order, so one that a storm delays holds up all behind it: but not
 * beyond the healing (seed 2686). */
static void what_a_storm_delays_holds_up_nobody_after_the_healing(void **state)
{
    (void)state;
    struct pd_sim_network network;
    pd_sim_network_init(&network, 9, 1000000, 8);
    uint64_t arrivals[PD_SIM_COPIES_MAX];
    network.extra_delay = 1000;
    assert_int_equal(pd_sim_network_send(&network, 0, 1, 0, arrivals), 1);
    assert_true(arrivals[0] > 100000000);
    pd_sim_network_heal(&network, 50000000);
    assert_int_equal(pd_sim_network_send(&network, 0, 1, 0, arrivals), 1);
    assert_true(arrivals[0] <= 256000000);
    assert_true(network.links[0][1].last_arrival_ns >= 50000000);
}

static void delays_have_a_heavy_tail(void **state)
{
    (void)state;
    struct pd_random random;
    pd_random_init(&random, 4, "tail");
    uint32_t above = 0;
    for (int i = 0; i < 10000; i++) {
        uint64_t draw = pd_sim_heavy_tail(&random, 1000, 10);
        assert_true(draw >= 500 && draw <= 1000u << 10);
        above += draw > 8000 ? 1 : 0;
    }
    assert_true(above > 300 && above < 1500);
}

static void rates_for(struct pd_sim_fault_rates *rates)
{
    *rates = (struct pd_sim_fault_rates){
        .interval_ns = 1000000000,
        .duration_ns = 1000000000,
        .end_ns = 60000000000,
        .machines = 3,
    };
    memset(rates->is_on, 1, sizeof rates->is_on);
}

static void a_schedule_survives_its_file(void **state)
{
    (void)state;
    struct pd_sim_fault_rates rates;
    rates_for(&rates);
    struct pd_sim_schedule drawn;
    struct pd_sim_schedule again;
    pd_sim_schedule_init(&drawn);
    pd_sim_schedule_init(&again);
    pd_sim_schedule_draw(&drawn, 12, &rates);
    assert_true(drawn.count > 20);
    FILE *file = tmpfile();
    assert_non_null(file);
    const struct pd_sim_replay replay = {.seed = 12, .minutes = 1, .nodes = 3};
    pd_sim_schedule_write(&drawn, &replay, file);
    rewind(file);
    struct pd_sim_replay found;
    uint32_t line = 0;
    assert_int_equal(pd_sim_schedule_read(&again, &found, file, &line), PD_OK);
    assert_int_equal(found.seed, 12);
    assert_int_equal(found.nodes, 3);
    assert_int_equal(again.count, drawn.count);
    for (size_t i = 0; i < again.count; i++) {
        assert_int_equal(again.faults[i].at_ns, drawn.faults[i].at_ns);
        assert_int_equal(again.faults[i].kind, drawn.faults[i].kind);
        assert_int_equal(again.faults[i].amount, drawn.faults[i].amount);
    }
    assert_int_equal(fclose(file), 0);
    pd_sim_schedule_deinit(&drawn);
    pd_sim_schedule_deinit(&again);
}

static void a_damaged_schedule_is_refused_with_its_line(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_true(fputs("pando-schedule 1\nseed 3\nfault at 9 earthquake target 1 for 2 amount 3\n",
                      file) >= 0);
    rewind(file);
    struct pd_sim_schedule schedule;
    pd_sim_schedule_init(&schedule);
    struct pd_sim_replay found;
    uint32_t line = 0;
    assert_int_equal(pd_sim_schedule_read(&schedule, &found, file, &line), PD_ERR_CORRUPT);
    assert_int_equal(line, 3);
    pd_sim_schedule_deinit(&schedule);
    assert_int_equal(fclose(file), 0);
}

/* Fails when a crash and a split are both there. */
static bool needs_crash_and_split(void *state, const struct pd_sim_schedule *schedule)
{
    (void)state;
    bool has_crash = false;
    bool has_split = false;
    for (size_t i = 0; i < schedule->count; i++) {
        has_crash = has_crash || schedule->faults[i].kind == PD_SIM_FAULT_CRASH;
        has_split = has_split || schedule->faults[i].kind == PD_SIM_FAULT_SPLIT;
    }
    return has_crash && has_split;
}

static void shrinking_finds_the_two_that_matter(void **state)
{
    (void)state;
    struct pd_sim_fault_rates rates;
    rates_for(&rates);
    struct pd_sim_schedule schedule;
    pd_sim_schedule_init(&schedule);
    pd_sim_schedule_draw(&schedule, 5, &rates);
    const struct pd_sim_fault both[] = {
        {.at_ns = 1, .kind = PD_SIM_FAULT_CRASH},
        {.at_ns = 2, .kind = PD_SIM_FAULT_SPLIT},
    };
    pd_sim_schedule_add(&schedule, &both[0]);
    pd_sim_schedule_add(&schedule, &both[1]);
    uint32_t tries = pd_sim_shrink(&schedule, 1000, needs_crash_and_split, NULL);
    assert_int_equal(schedule.count, 2);
    assert_true(tries < 200);
    pd_sim_schedule_deinit(&schedule);
}

static void fault_lists_name_groups_and_kinds(void **state)
{
    (void)state;
    bool is_on[PD_SIM_FAULT_COUNT];
    const char *unknown = NULL;
    size_t size = 0;
    assert_true(pd_sim_fault_list("clock,crash", is_on, &unknown, &size));
    assert_true(is_on[PD_SIM_FAULT_DRIFT] && is_on[PD_SIM_FAULT_CRASH]);
    assert_false(is_on[PD_SIM_FAULT_SPLIT]);
    assert_true(pd_sim_fault_list("none", is_on, &unknown, &size));
    assert_false(is_on[PD_SIM_FAULT_CRASH]);
    assert_false(pd_sim_fault_list("crash,quake", is_on, &unknown, &size));
    assert_int_equal(size, 5);
    assert_memory_equal(unknown, "quake", 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_queue_orders_by_time_then_by_push),
        cmocka_unit_test(what_is_hastened_keeps_its_order),
        cmocka_unit_test(clocks_drift_jump_and_freeze),
        cmocka_unit_test(links_keep_their_order_unless_told),
        cmocka_unit_test(cuts_add_up_and_heal),
        cmocka_unit_test(what_a_storm_delays_holds_up_nobody_after_the_healing),
        cmocka_unit_test(delays_have_a_heavy_tail),
        cmocka_unit_test(a_schedule_survives_its_file),
        cmocka_unit_test(a_damaged_schedule_is_refused_with_its_line),
        cmocka_unit_test(shrinking_finds_the_two_that_matter),
        cmocka_unit_test(fault_lists_name_groups_and_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
