/* Messages to be sent later: fired, cancelled or purged, each exactly once, from any thread. */
#include "live_world.h"

#include "base/host.h"

static struct pd_runtime_config small_config(void)
{
    struct pd_runtime_config config = pd_runtime_config_default();
    config.processes_max = 64;
    config.message_timers_max = 64;
    return config;
}

static enum pd_status send_at(struct world *world, uint64_t pid, uint64_t deadline_ns,
                              uint64_t *id_out)
{
    struct pd_message *message = pd_message_create(1, 8);
    assert_non_null(message);
    enum pd_status status =
        pd_runtime_send_at(&world->runtime, world->environment, pid, message, deadline_ns, id_out);
    if (status != PD_OK) {
        pd_message_destroy(message);
    }
    return status;
}

/* --- Without threads: the test fires ---------------------------------------------------------- */

static uint32_t fire_until(struct world *world, uint64_t now_ns)
{
    uint32_t count = 0;
    struct pd_timer *timer = NULL;
    while ((timer = pd_timer_queue_take_due(&world->runtime.schedulers[0].timers, now_ns)) !=
           NULL) {
        pd_message_timer_fire(&world->runtime, timer, now_ns);
        count++;
    }
    return count;
}

static void a_message_comes_at_its_time_or_never(void **state)
{
    (void)state;
    struct world world;
    struct pd_runtime_config config = small_config();
    world_open(&world, &config);
    struct pd_process *sink = world_spawn(&world);
    uint64_t first = 0;
    uint64_t second = 0;
    uint64_t third = 0;
    assert_int_equal(send_at(&world, sink->pid, 10, &first), PD_OK);
    assert_int_equal(send_at(&world, sink->pid, 10, &second), PD_OK);
    assert_int_equal(send_at(&world, 999, 10, &third), PD_OK); /* nobody: dropped when due */
    assert_true(first != second && second != third && first != 0);
    assert_int_equal(fire_until(&world, 9), 0);
    assert_true(pd_runtime_cancel_send(&world.runtime, first));
    assert_false(pd_runtime_cancel_send(&world.runtime, first));
    assert_int_equal(fire_until(&world, 10), 2);
    assert_false(pd_runtime_cancel_send(&world.runtime, second));
    assert_false(pd_runtime_cancel_send(&world.runtime, 12345));
    assert_int_equal(sink->mailbox_count, 1);
    assert_int_equal(world.runtime.message_timer_count, 0);
    assert_ptr_equal(pd_runqueue_take(&world.runtime.injected), sink);
    world_end(sink);
    world_close(&world);
}

static void a_full_receiver_is_asked_again(void **state)
{
    (void)state;
    struct world world;
    struct pd_runtime_config config = small_config();
    config.messages_max = 1;
    world_open(&world, &config);
    struct pd_process *sink = world_spawn(&world);
    uint64_t id = 0;
    assert_int_equal(send_at(&world, sink->pid, 10, &id), PD_OK);
    assert_int_equal(send_at(&world, sink->pid, 10, &id), PD_OK);
    assert_int_equal(fire_until(&world, 10), 2);
    assert_int_equal(world.runtime.message_timer_count, 1);
    assert_int_equal(fire_until(&world, 10), 0); /* not at once */
    assert_true(pd_timer_queue_next_ns(&world.runtime.schedulers[0].timers) > 10);
    assert_true(pd_runtime_cancel_send(&world.runtime, id)); /* still to be cancelled */
    assert_int_equal(fire_until(&world, UINT64_MAX - 1), 0);
    assert_ptr_equal(pd_runqueue_take(&world.runtime.injected), sink);
    world_end(sink);
    world_close(&world);
}

/* What has its place in the table keeps it while it is asked again, however full the table is. */
static void a_full_table_loses_nothing(void **state)
{
    (void)state;
    struct world world;
    struct pd_runtime_config config = small_config();
    config.messages_max = 1;
    config.message_timers_max = 4;
    world_open(&world, &config);
    struct pd_process *sink = world_spawn(&world);
    uint64_t id = 0;
    assert_int_equal(send_at(&world, sink->pid, 1, &id), PD_OK);
    assert_int_equal(fire_until(&world, 1), 1); /* it is full now */
    for (uint64_t i = 0; i < 4; i++) {
        assert_int_equal(send_at(&world, sink->pid, 2 + i, &id), PD_OK);
    }
    for (uint64_t now_ns = 2; now_ns < 10; now_ns++) {
        (void)fire_until(&world, now_ns);
        assert_int_equal(world.runtime.message_timer_count, 4);
        assert_int_equal(send_at(&world, sink->pid, 10, &id), PD_ERR_FULL);
    }
    assert_ptr_equal(pd_runqueue_take(&world.runtime.injected), sink);
    world_end(sink);
    world_close(&world);
}

static void limits_and_failing_allocations_leave_the_message_to_its_owner(void **state)
{
    (void)state;
    struct world world;
    struct pd_runtime_config config = small_config();
    config.message_timers_max = 2;
    world_open(&world, &config);
    struct pd_process *sink = world_spawn(&world);
    struct pd_message *message = pd_message_create(1, 8);
    uint64_t id = 0;
    for (uint64_t nth = 1; nth <= 3; nth++) { /* entry, table, heap */
        pd_alloc_fail_nth(nth);
        assert_int_equal(
            pd_runtime_send_at(&world.runtime, world.environment, sink->pid, message, 10, &id),
            PD_ERR_NO_MEMORY);
        pd_alloc_fail_nth(0);
        assert_int_equal(world.runtime.message_timer_count, 0);
    }
    pd_message_destroy(message);
    assert_int_equal(send_at(&world, sink->pid, 10, &id), PD_OK);
    assert_int_equal(send_at(&world, sink->pid, 10, &id), PD_OK);
    assert_int_equal(send_at(&world, sink->pid, 10, &id), PD_ERR_FULL);
    assert_true(pd_runtime_cancel_send(&world.runtime, id));
    assert_int_equal(send_at(&world, sink->pid, 10, &id), PD_OK);
    world_end(sink);
    world_close(&world); /* with two that never came due */
}

static void an_environment_takes_its_messages_with_it(void **state)
{
    (void)state;
    struct world world;
    struct pd_runtime_config config = small_config();
    config.message_timers_max = 1000;
    world_open(&world, &config);
    struct pd_environment *other = NULL;
    assert_int_equal(pd_environment_create(&world.runtime, 2, &other), PD_OK);
    uint64_t id = 0;
    for (uint64_t i = 0; i < 500; i++) {
        assert_int_equal(send_at(&world, 1, i, &id), PD_OK);
        struct pd_message *message = pd_message_create(1, 8);
        assert_int_equal(pd_runtime_send_at(&world.runtime, other, 1, message, i, &id), PD_OK);
    }
    pd_environment_destroy(other);
    assert_int_equal(world.runtime.message_timer_count, 500);
    assert_int_equal(fire_until(&world, UINT64_MAX - 1), 500);
    world_close(&world);
}

/* --- Threads ---------------------------------------------------------------------------------- */

static atomic_uint_least64_t taken;

static enum pd_resume_result sink_resume(struct pd_process *process, uint32_t *cost_out)
{
    struct pd_message *message = NULL;
    *cost_out = 10;
    while ((message = pd_process_take(process, NULL, 0)) != NULL) {
        pd_message_destroy(message);
        atomic_fetch_add(&taken, 1);
    }
    return PD_RESUME_WAIT;
}

static const struct pd_behavior sink_behavior = {
    .name = "sink", .resume = sink_resume, .destroy = idle_destroy};

struct canceller {
    struct world *world;
    struct pd_random random;
    uint64_t pid;
    uint32_t sent;
    uint32_t cancelled;
};

#define SENDS 50000u
#define OPEN 8u

static void *send_and_cancel(void *argument)
{
    struct canceller *canceller = argument;
    struct pd_runtime *runtime = &canceller->world->runtime;
    uint64_t ids[OPEN] = {0};
    for (uint32_t i = 0; i < SENDS; i++) {
        uint64_t *id = &ids[i % OPEN];
        if (*id != 0 && pd_runtime_cancel_send(runtime, *id)) {
            canceller->cancelled++;
        }
        uint64_t now_ns = pd_host_now_ns(runtime->host);
        uint64_t deadline_ns = now_ns + pd_random_below(&canceller->random, 3000);
        struct pd_message *message = pd_message_create(1, 8);
        enum pd_status status = pd_runtime_send_at(runtime, canceller->world->environment,
                                                   canceller->pid, message, deadline_ns, id);
        if (status != PD_OK) { /* the sink is slow: its messages wait for room */
            pd_message_destroy(message);
            *id = 0;
            continue;
        }
        canceller->sent++;
        /* Guessed ids are cancelled too, also before their timer is set. */
        if (i % 5 == 0 && pd_runtime_cancel_send(runtime, *id + 1)) {
            canceller->cancelled++;
        }
        /* And some in the moment in which they fire. */
        while (i % 2 == 0 && pd_host_now_ns(runtime->host) < deadline_ns) {
        }
        if (i % 2 == 0 && pd_runtime_cancel_send(runtime, *id)) {
            canceller->cancelled++;
        }
    }
    return NULL;
}

static void each_message_is_sent_or_cancelled_once_between_threads(void **state)
{
    (void)state;
    struct pd_random random = test_random("message timer threads");
    struct world world;
    struct pd_runtime_config config = small_config();
    config.scheduler_count = 2;
    config.messages_max = 4; /* so that it is full at times */
    world_open(&world, &config);
    struct pd_process *sink = NULL;
    assert_int_equal(pd_process_create(world.environment, 0, &sink_behavior, NULL, &sink), PD_OK);
    uint64_t pid = sink->pid;
    pd_process_start(sink);
    assert_int_equal(pd_runtime_start(&world.runtime), PD_OK);
    pthread_t threads[2];
    struct canceller cancellers[2];
    for (uint32_t i = 0; i < 2; i++) {
        cancellers[i] = (struct canceller){.world = &world, .pid = pid};
        pd_random_init(&cancellers[i].random, pd_random_next(&random), "canceller");
        assert_int_equal(pthread_create(&threads[i], NULL, send_and_cancel, &cancellers[i]), 0);
    }
    uint64_t sent = 0;
    uint64_t cancelled = 0; /* one thread may have cancelled more than it sent */
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        sent += cancellers[i].sent;
        cancelled += cancellers[i].cancelled;
    }
    uint64_t expected = sent - cancelled;
    while (atomic_load(&taken) < expected) {
        (void)sched_yield();
    }
    assert_int_equal(pd_mailbox_kill(world.environment, pid, PD_EXIT_KILLED, NULL), PD_OK);
    struct pd_host *host = pd_real_host_interface(world.host);
    while (atomic_load(&world.runtime.process_count) > 0) {
        (void)host->ops->event_wait(host, &world.runtime.drained, PD_TIME_NEVER);
    }
    pd_environment_destroy(world.environment); /* while threads may be firing */
    assert_int_equal(pd_environment_create(&world.runtime, 3, &world.environment), PD_OK);
    pd_runtime_stop(&world.runtime);
    assert_int_equal(atomic_load(&taken), expected);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_comes_at_its_time_or_never),
        cmocka_unit_test(a_full_receiver_is_asked_again),
        cmocka_unit_test(a_full_table_loses_nothing),
        cmocka_unit_test(limits_and_failing_allocations_leave_the_message_to_its_owner),
        cmocka_unit_test(an_environment_takes_its_messages_with_it),
        cmocka_unit_test(each_message_is_sent_or_cancelled_once_between_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
