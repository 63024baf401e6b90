/* What /metrics say of the application inside of a node: figures of the runtime, and names that
 * guests chose, hostile ones too. */
#include "node/control_world.h"

#include <unistd.h>

#include "actor/message.h"
#include "node/program_metrics.h"

#define TEXT_MAX ((size_t)64 << 20)

static char *page_of(struct world *world)
{
    struct pd_text text;
    pd_text_init(&text, TEXT_MAX);
    pd_program_metrics_write(&world->program, &text);
    pd_text_put(&text, "", 1);
    assert_false(text.has_failed);
    char *page = strdup((const char *)text.bytes);
    assert_non_null(page);
    assert_int_equal(strlen(page), text.size - 1);
    pd_text_deinit(&text);
    return page;
}

static bool has(struct world *world, const char *wanted)
{
    char *page = page_of(world);
    bool is_there = strstr(page, wanted) != NULL;
    free(page);
    return is_there;
}

/* The schedulers count on their own threads: a moment may pass. */
static void await(struct world *world, const char *wanted)
{
    for (uint32_t i = 0; i < 60000 && !has(world, wanted); i++) {
        (void)usleep(1000);
    }
    char *page = page_of(world);
    expect_in(page, wanted);
    free(page);
}

/* Takes messages, and ends with the one that has tag 3. */
static enum pd_resume_result three_resume(struct pd_process *process, uint32_t *cost_out)
{
    struct pd_message *message = NULL;
    *cost_out = 1;
    while ((message = pd_process_take(process, NULL, 0)) != NULL) {
        uint64_t tag = message->tag;
        pd_message_destroy(message);
        if (tag == 3) {
            pd_process_set_exit(process, PD_EXIT_FAILURE, "three", 5);
            return PD_RESUME_EXIT;
        }
    }
    return PD_RESUME_WAIT;
}

static const struct pd_behavior three = {
    .name = "three", .resume = three_resume, .destroy = no_destroy, .activity = no_activity};

/* Sends messages with the tags 1 to 3 to the process before it, and ends well. */
static enum pd_resume_result sender_resume(struct pd_process *process, uint32_t *cost_out)
{
    *cost_out = 1;
    for (uint64_t tag = 1; tag <= 3; tag++) {
        struct pd_message *message = pd_message_create(tag, 0);
        assert_non_null(message);
        assert_int_equal(pd_process_send(process, process->pid - 1, message), PD_OK);
    }
    pd_process_set_exit(process, PD_EXIT_NORMAL, "", 0);
    return PD_RESUME_EXIT;
}

static const struct pd_behavior sender = {
    .name = "sender", .resume = sender_resume, .destroy = no_destroy, .activity = no_activity};

static void actors_are_counted(void **state)
{
    struct world world;
    (void)state;
    world_open(&world);
    (void)world_spawn(&world, &idle, 0, NULL);
    (void)world_spawn(&world, &three, 0, NULL);
    (void)world_spawn(&world, &sender, 0, NULL);
    await(&world, "\npando_actors 1\n");
    await(&world, "\npando_actors_messages_received_total 3\n");
    await(&world, "\npando_actors_messages_sent_total 3\n");
    await(&world, "\npando_actors_run_queue_length{scheduler=\"0\"} 0\n");
    await(&world, "\npando_actors_run_queue_length{scheduler=\"1\"} 0\n");
    await(&world, "\npando_actors_run_queue_length{scheduler=\"outside\"} 0\n");
    char *page = page_of(&world);
    expect_in(page, "# TYPE pando_actors gauge\npando_actors 1\n");
    expect_in(page, "# TYPE pando_actors_spawned_total counter\npando_actors_spawned_total 3\n");
    expect_in(page, "\npando_actors_ended_total{reason=\"normal\"} 1\n");
    expect_in(page, "\npando_actors_ended_total{reason=\"failure\"} 1\n");
    expect_in(page, "\npando_actors_ended_total{reason=\"out of fuel\"} 0\n");
    expect_in(page, "\npando_app_is_running 0\n"); /* none of these is the main process */
    free(page);
    world_close(&world);
}

static void count(struct world *world, const char *name, uint64_t by)
{
    assert_int_equal(pd_metrics_counter_add(world->program.system.metrics, name, strlen(name), by),
                     PD_OK);
}

static void guests_count_under_labels(void **state)
{
    struct world world;
    (void)state;
    world_open(&world);
    struct pd_metrics *metrics = world.program.system.metrics;
    count(&world, "jobs.done", 7);
    assert_int_equal(pd_metrics_gauge_set(metrics, "depth", 5, -2.5), PD_OK);
    assert_int_equal(pd_metrics_histogram_record(metrics, "jobs.done", 9, 0.5), PD_OK);
    assert_int_equal(pd_metrics_histogram_record(metrics, "jobs.done", 9, 1e300), PD_OK);
    assert_int_equal(pd_metrics_histogram_record(metrics, "huge", 4, 1.7e308), PD_OK);
    assert_int_equal(pd_metrics_histogram_record(metrics, "huge", 4, 1.7e308), PD_OK);
    char *page = page_of(&world);
    expect_in(page, "# TYPE pando_guest_counter_total counter\n"
                    "pando_guest_counter_total{name=\"jobs.done\"} 7\n");
    expect_in(page, "# TYPE pando_guest_gauge gauge\npando_guest_gauge{name=\"depth\"} -2.5\n");
    expect_in(page, "\npando_guest_histogram_bucket{name=\"jobs.done\",le=\"0.25\"} 0\n");
    expect_in(page, "\npando_guest_histogram_bucket{name=\"jobs.done\",le=\"1\"} 1\n");
    expect_in(page, "\npando_guest_histogram_bucket{name=\"jobs.done\",le=\"1048576\"} 1\n");
    expect_in(page, "\npando_guest_histogram_bucket{name=\"jobs.done\",le=\"+Inf\"} 2\n"
                    "pando_guest_histogram_sum{name=\"jobs.done\"} 1.0000000000000001e+300\n"
                    "pando_guest_histogram_count{name=\"jobs.done\"} 2\n");
    expect_in(page, "\npando_guest_histogram_sum{name=\"huge\"} +Inf\n");
    expect_in(page, "\npando_guest_metrics 4\n");
    expect_in(page, "\npando_guest_metrics_hidden 0\n");
    free(page);
    world_close(&world);
}

static void names_that_lie_are_hidden(void **state)
{
    static const char *const bad[] = {
        "x\"} 1\netcd_server_has_leader 0",
        "two words",
        "back\\slash",
        "line\nbreak",
        "9lives",
        ".hidden",
        "umlaut\xc3\xa4",
        "not utf-8 \xff",
        "brace{",
    };
    struct world world;
    char longest[PD_PROGRAM_METRIC_NAME_MAX + 2];
    (void)state;
    world_open(&world);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(pd_program_metric_is_shown(bad[i], strlen(bad[i])));
        count(&world, bad[i], 1);
    }
    assert_false(pd_program_metric_is_shown("", 0));
    assert_false(pd_program_metric_is_shown("a\0b", 3));
    memset(longest, 'a', sizeof longest);
    assert_true(pd_program_metric_is_shown(longest, PD_PROGRAM_METRIC_NAME_MAX));
    assert_false(pd_program_metric_is_shown(longest, PD_PROGRAM_METRIC_NAME_MAX + 1));
    assert_true(pd_program_metric_is_shown("_:a.Z9", 6));
    count(&world, "good", 1);
    char *page = page_of(&world);
    expect_in(page, "\npando_guest_metrics 10\n");
    expect_in(page, "\npando_guest_metrics_hidden 9\n");
    expect_in(page, "pando_guest_counter_total{name=\"good\"} 1\n# HELP");
    assert_null(strstr(page, "etcd_"));
    free(page);
    world_close(&world);
}

static void a_flood_of_names_is_bounded(void **state)
{
    struct world world;
    char name[PD_PROGRAM_METRIC_NAME_MAX + 1];
    (void)state;
    world_open(&world);
    for (uint32_t i = 0; i < PD_PROGRAM_METRICS_MAX + 500; i++) {
        (void)snprintf(name, sizeof name, "%0*u", (int)sizeof name - 1, i);
        name[0] = 'n';
        enum pd_status status = pd_metrics_histogram_record(world.program.system.metrics, name,
                                                            sizeof name - 1, (double)i);
        assert_int_equal(status, i < PD_PROGRAM_METRICS_MAX ? PD_OK : PD_ERR_FULL);
    }
    char *page = page_of(&world);
    expect_in(page, "\npando_guest_metrics 1024\n");
    expect_in(page, "\npando_guest_metrics_refused_total 500\n");
    assert_true(strlen(page) < (size_t)6 << 20);
    free(page);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(actors_are_counted),
        cmocka_unit_test(guests_count_under_labels),
        cmocka_unit_test(names_that_lie_are_hidden),
        cmocka_unit_test(a_flood_of_names_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
