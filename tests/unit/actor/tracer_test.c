/* What a process does is noted in order, up to every limit, and nothing outlives its process. */
#include "actor/live_world.h"

#include "actor/tracer.h"

struct traced_world {
    struct world world;
    struct pd_process *process;
    struct pd_process *other;
    struct pd_tracer *tracer;
};

static void open_world(struct traced_world *t, uint32_t events_max, uint64_t deadline_ns)
{
    struct pd_runtime_config config = pd_runtime_config_default();
    config.processes_max = 64;
    world_open(&t->world, &config);
    t->process = world_spawn(&t->world);
    t->other = world_spawn(&t->world);
    assert_int_equal(pd_tracer_create(events_max, deadline_ns, &t->tracer), PD_OK);
    assert_int_equal(pd_tracer_attach(t->process, t->tracer), PD_OK);
}

static void close_world(struct traced_world *t)
{
    world_end(t->process);
    world_end(t->other);
    pd_tracer_release(t->tracer);
    world_close(&t->world);
}

/* Let what was posted to a process arrive. */
static void arrive(struct traced_world *t)
{
    struct pd_process *process = pd_runqueue_take(&t->world.runtime.injected);
    bool is_killed = false;
    assert_non_null(process);
    pd_lifecycle_handle(process, pd_mailbox_begin(process, &is_killed));
    assert_true(pd_mailbox_settle(process));
}

static struct pd_message *message(uint64_t tag, uint32_t size)
{
    uint8_t bytes[64] = {0};
    struct pd_message *made = pd_message_create(tag, size);
    assert_non_null(made);
    assert_int_equal(pd_message_append(&made, bytes, size, sizeof bytes), PD_OK);
    return made;
}

static struct pd_traced next(struct traced_world *t)
{
    struct pd_traced event;
    assert_int_equal(pd_tracer_take(t->tracer, &event, 1), 1);
    return event;
}

static void expect(struct traced_world *t, enum pd_traced_kind kind, uint64_t pid)
{
    struct pd_traced event = next(t);
    assert_int_equal(event.kind, kind);
    assert_int_equal(event.pid, pid);
}

static void expect_nothing(struct traced_world *t)
{
    struct pd_traced event;
    assert_int_equal(pd_tracer_take(t->tracer, &event, 1), 0);
}

static void note_numbers(struct pd_process *process, uint64_t from, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        pd_tracer_note(process, (struct pd_traced){.kind = PD_TRACED_SPAWNED, .pid = from + i});
    }
}

static void messages_are_noted_with_tag_and_size(void **state)
{
    (void)state;
    struct traced_world t;
    open_world(&t, 100, UINT64_MAX);
    assert_int_equal(pd_process_send(t.process, t.other->pid, message(7, 24)), PD_OK);
    arrive(&t);
    assert_int_equal(pd_process_send(t.other, t.process->pid, message(9, 3)), PD_OK);
    arrive(&t);
    struct pd_traced event = next(&t);
    assert_int_equal(event.kind, PD_TRACED_SENT);
    assert_int_equal(event.pid, t.other->pid);
    assert_int_equal(event.tag, 7);
    assert_int_equal(event.size, 24);
    uint64_t sent_ns = event.at_ns;
    event = next(&t);
    assert_int_equal(event.kind, PD_TRACED_RECEIVED);
    assert_int_equal(event.tag, 9);
    assert_int_equal(event.size, 3);
    assert_true(event.at_ns >= sent_ns);
    expect_nothing(&t); /* what the other did is not its */
    close_world(&t);
}

static void bonds_and_deaths_are_noted(void **state)
{
    (void)state;
    struct traced_world t;
    open_world(&t, 100, UINT64_MAX);
    struct pd_process *third = world_spawn(&t.world);
    uint64_t other = t.other->pid;
    t.process->trapping = PD_TRAP_ALL;
    assert_int_equal(pd_process_link(t.process, other, 5), PD_OK);
    arrive(&t);
    pd_process_unlink(t.process, other);
    arrive(&t);
    assert_int_equal(pd_process_monitor(t.process, other, 77), PD_OK);
    arrive(&t);
    pd_process_demonitor(t.process, other, 77, false);
    arrive(&t);
    assert_int_equal(pd_process_link(third, t.process->pid, 6), PD_OK);
    arrive(&t);
    pd_process_exit_signal(t.process, other, PD_EXIT_NORMAL, NULL);
    arrive(&t);
    uint64_t third_pid = third->pid;
    pd_process_set_exit(third, PD_EXIT_FAILURE, "why", 3);
    pd_lifecycle_end(third);
    arrive(&t);
    expect(&t, PD_TRACED_LINKED, other);
    expect(&t, PD_TRACED_UNLINKED, other);
    expect(&t, PD_TRACED_MONITORED, other);
    expect(&t, PD_TRACED_DEMONITORED, other);
    expect(&t, PD_TRACED_LINKED, third_pid);
    expect(&t, PD_TRACED_EXIT_SENT, other);
    struct pd_traced event = next(&t);
    assert_int_equal(event.kind, PD_TRACED_NOTICE);
    assert_int_equal(event.pid, third_pid);
    assert_int_equal(event.reason, PD_EXIT_FAILURE);
    expect_nothing(&t);
    close_world(&t);
}

static void a_full_ring_counts_what_it_loses(void **state)
{
    (void)state;
    struct traced_world t;
    open_world(&t, PD_TRACER_EVENTS_MAX, UINT64_MAX);
    note_numbers(t.process, 1, PD_TRACER_RING + 10);
    assert_int_equal(pd_tracer_lost_count(t.tracer), 10);
    for (uint64_t i = 1; i <= PD_TRACER_RING; i++) {
        expect(&t, PD_TRACED_SPAWNED, i);
    }
    note_numbers(t.process, 5000, 3); /* round the end of the ring */
    struct pd_traced events[8];
    assert_int_equal(pd_tracer_take(t.tracer, events, 8), 3);
    assert_int_equal(events[2].pid, 5002);
    assert_false(pd_tracer_is_over(t.tracer));
    close_world(&t);
}

static void the_last_event_allowed_ends_it(void **state)
{
    (void)state;
    struct traced_world t;
    open_world(&t, 3, UINT64_MAX);
    note_numbers(t.process, 1, 5);
    assert_true(pd_tracer_is_over(t.tracer));
    assert_false(pd_process_is_traced(t.process));
    struct pd_traced events[8];
    assert_int_equal(pd_tracer_take(t.tracer, events, 8), 3);
    assert_int_equal(pd_tracer_lost_count(t.tracer), 0);
    close_world(&t);
}

static void after_the_deadline_nothing_is_noted(void **state)
{
    (void)state;
    struct traced_world t;
    open_world(&t, 3, 0);
    note_numbers(t.process, 1, 1);
    expect_nothing(&t);
    assert_true(pd_tracer_is_over(t.tracer));
    assert_false(pd_process_is_traced(t.process));
    close_world(&t);
}

static void one_tracer_at_a_time(void **state)
{
    (void)state;
    struct traced_world t;
    struct pd_tracer *second = NULL;
    open_world(&t, 3, UINT64_MAX);
    assert_int_equal(pd_tracer_create(3, UINT64_MAX, &second), PD_OK);
    assert_int_equal(pd_tracer_attach(t.process, second), PD_ERR_EXISTS);
    pd_tracer_stop(t.tracer);
    pd_tracer_stop(t.tracer);
    expect_nothing(&t);
    assert_int_equal(pd_tracer_attach(t.process, second), PD_OK);
    note_numbers(t.process, 1, 1);
    struct pd_traced event;
    assert_int_equal(pd_tracer_take(second, &event, 1), 1);
    pd_tracer_detach(t.process);
    pd_tracer_detach(t.process);
    assert_true(pd_tracer_is_over(second));
    pd_tracer_release(second);
    close_world(&t);
}

static void death_is_the_last_event(void **state)
{
    (void)state;
    struct traced_world t;
    open_world(&t, 10, UINT64_MAX);
    pd_process_set_exit(t.process, PD_EXIT_DENIED, NULL, 0);
    pd_lifecycle_end(t.process);
    struct pd_traced event = next(&t);
    assert_int_equal(event.kind, PD_TRACED_EXITED);
    assert_int_equal(event.reason, PD_EXIT_DENIED);
    expect_nothing(&t);
    assert_true(pd_tracer_is_over(t.tracer));
    t.process = world_spawn(&t.world); /* maybe in the same place */
    assert_false(pd_process_is_traced(t.process));
    close_world(&t);
}

static void limits_and_no_memory(void **state)
{
    (void)state;
    struct pd_tracer *tracer = NULL;
    assert_int_equal(pd_tracer_create(0, 1, &tracer), PD_ERR_INVALID);
    assert_int_equal(pd_tracer_create(PD_TRACER_EVENTS_MAX + 1, 1, &tracer), PD_ERR_INVALID);
    for (uint64_t nth = 1; nth <= 2; nth++) {
        pd_alloc_fail_nth(nth);
        assert_int_equal(pd_tracer_create(1, 1, &tracer), PD_ERR_NO_MEMORY);
    }
    pd_alloc_fail_nth(0);
    pd_tracer_release(NULL);
}

#define RACE_EVENTS 20000u

static void *note_many(void *argument)
{
    note_numbers(((struct traced_world *)argument)->process, 1, RACE_EVENTS);
    return NULL;
}

static void events_come_in_order_between_threads(void **state)
{
    (void)state;
    struct traced_world t;
    open_world(&t, PD_TRACER_EVENTS_MAX, UINT64_MAX);
    pthread_t owner;
    assert_int_equal(pthread_create(&owner, NULL, note_many, &t), 0);
    uint64_t taken = 0;
    uint64_t last = 0;
    while (taken + pd_tracer_lost_count(t.tracer) < RACE_EVENTS) {
        struct pd_traced events[32];
        uint32_t count = pd_tracer_take(t.tracer, events, 32);
        for (uint32_t i = 0; i < count; i++) {
            assert_true(events[i].pid > last);
            last = events[i].pid;
        }
        taken += count;
        if (count == 0) {
            (void)sched_yield();
        }
    }
    assert_int_equal(pthread_join(owner, NULL), 0);
    expect_nothing(&t);
    close_world(&t);
}

static void a_stop_may_come_at_any_moment(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        struct traced_world t;
        open_world(&t, PD_TRACER_EVENTS_MAX, UINT64_MAX);
        pthread_t owner;
        assert_int_equal(pthread_create(&owner, NULL, note_many, &t), 0);
        struct pd_traced event;
        while (pd_tracer_take(t.tracer, &event, 1) == 0) {
            (void)sched_yield();
        }
        pd_tracer_stop(t.tracer);
        expect_nothing(&t);
        assert_int_equal(pthread_join(owner, NULL), 0);
        close_world(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_noted_with_tag_and_size),
        cmocka_unit_test(bonds_and_deaths_are_noted),
        cmocka_unit_test(a_full_ring_counts_what_it_loses),
        cmocka_unit_test(the_last_event_allowed_ends_it),
        cmocka_unit_test(after_the_deadline_nothing_is_noted),
        cmocka_unit_test(one_tracer_at_a_time),
        cmocka_unit_test(death_is_the_last_event),
        cmocka_unit_test(limits_and_no_memory),
        cmocka_unit_test(events_come_in_order_between_threads),
        cmocka_unit_test(a_stop_may_come_at_any_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
