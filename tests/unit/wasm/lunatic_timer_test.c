/* lunatic::timer: delivery on time, cancelling, whose ids they are, and every limit. */
#include "abi_actor.h"

#define TIMER "lunatic::timer"
#define TIMED_OUT 9027u

struct fixture {
    struct world world;
    struct actor sender;
    struct actor receiver;
    char text[100];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct pd_runtime_config config = world_config();
    world_open(&f->world, &config);
    f->sender = actor_spawn(&f->world);
    f->receiver = actor_spawn(&f->world);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    world_close(&f->world);
    free(f);
    return 0;
}

static uint64_t send_after(struct fixture *f, const char *text, uint64_t pid, uint64_t ms)
{
    actor_create_message(&f->sender, 5, text);
    return CALL(&f->sender, TIMER, "send_after", pid, ms);
}

static uint32_t receive(struct fixture *f)
{
    return actor_receive(&f->receiver, f->text, sizeof f->text);
}

static void messages_come_when_their_time_has_come(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(send_after(f, "late", f->receiver.pid, 200), 0);
    assert_int_equal(send_after(f, "soon", f->receiver.pid, 100), 1);
    assert_null(actor_wasm(&f->sender)->scratch); /* consumed */
    assert_int_equal(receive(f), TIMED_OUT);
    world_pass(&f->world, 150 * MS);
    assert_int_equal(receive(f), 0);
    assert_string_equal(f->text, "soon");
    assert_int_equal(CALL(&f->receiver, "lunatic::message", "get_tag"), 5);
    assert_int_equal(receive(f), TIMED_OUT);
    world_pass(&f->world, 100 * MS);
    assert_int_equal(receive(f), 0);
    assert_string_equal(f->text, "late");
}

static void cancelling_tells_whether_it_was_pending(void **state)
{
    struct fixture *f = *state;
    uint64_t first = send_after(f, "one", f->receiver.pid, 100);
    uint64_t second = send_after(f, "two", f->receiver.pid, 100);
    assert_int_equal(CALL(&f->sender, TIMER, "cancel_timer", first), 1);
    assert_int_equal(CALL(&f->sender, TIMER, "cancel_timer", first), 0);
    world_pass(&f->world, 200 * MS);
    assert_int_equal(CALL(&f->sender, TIMER, "cancel_timer", second), 0); /* it fired */
    assert_int_equal(CALL(&f->sender, TIMER, "cancel_timer", 99), 0);
    assert_int_equal(CALL(&f->sender, TIMER, "cancel_timer", UINT64_MAX), 0);
    assert_int_equal(receive(f), 0);
    assert_string_equal(f->text, "two");
    assert_int_equal(receive(f), TIMED_OUT);
}

static void nobody_cancels_the_timer_of_another(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(send_after(f, "mine", f->receiver.pid, 100), 0);
    for (uint64_t id = 0; id < 4; id++) {
        assert_int_equal(CALL(&f->receiver, TIMER, "cancel_timer", id), 0);
    }
    actor_create_message(&f->receiver, 0, "own");
    assert_int_equal(CALL(&f->receiver, TIMER, "send_after", f->receiver.pid, 1000), 0);
    assert_int_equal(CALL(&f->receiver, TIMER, "cancel_timer", 0), 1); /* its own 0 */
    world_pass(&f->world, 200 * MS);
    assert_int_equal(receive(f), 0);
    assert_string_equal(f->text, "mine");
}

static void timers_outlive_their_sender(void **state)
{
    struct fixture *f = *state;
    (void)send_after(f, "testament", f->receiver.pid, 100);
    assert_int_equal(pd_mailbox_kill(f->world.environment, f->sender.pid, PD_EXIT_KILLED, NULL),
                     PD_OK);
    world_pass(&f->world, 200 * MS);
    assert_false(actor_lives(&f->sender));
    assert_int_equal(receive(f), 0);
    assert_string_equal(f->text, "testament");
}

static void a_missing_receiver_is_no_error(void **state)
{
    struct fixture *f = *state;
    (void)send_after(f, "nobody", 200, 10);
    (void)send_after(f, "nobody", 0, 0);
    (void)send_after(f, "nobody", UINT64_MAX, 10);
    world_pass(&f->world, 100 * MS);
    assert_true(actor_lives(&f->sender));
    assert_int_equal(f->world.runtime.message_timer_count, 0);
}

static void delays_saturate(void **state)
{
    struct fixture *f = *state;
    (void)send_after(f, "never", f->receiver.pid, UINT64_MAX);
    (void)send_after(f, "never", f->receiver.pid, UINT64_MAX - 1);
    (void)send_after(f, "now", f->receiver.pid, 0);
    world_pass(&f->world, 1000 * MS);
    assert_int_equal(receive(f), 0);
    assert_string_equal(f->text, "now");
    assert_int_equal(receive(f), TIMED_OUT);
    assert_int_equal(CALL(&f->sender, TIMER, "cancel_timer", 0), 1);
}

static void without_a_message_it_traps(void **state)
{
    struct fixture *f = *state;
    assert_says(TRAP(&f->sender, TIMER, "send_after", f->receiver.pid, 1), "no message");
}

static void the_limit_of_pending_timers_traps(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < f->world.runtime.config.message_timers_max; i++) {
        (void)send_after(f, "x", f->receiver.pid, 1000);
    }
    actor_create_message(&f->sender, 0, "one too many");
    assert_says(TRAP(&f->sender, TIMER, "send_after", f->receiver.pid, 1), "limit");
    world_pass(&f->world, 2000 * MS);
    /* The receiver has room for half of them: the rest waits, and nothing is lost. */
    assert_int_equal(f->world.runtime.message_timer_count, 8);
    for (uint32_t i = 0; i < f->world.runtime.config.message_timers_max; i++) {
        assert_int_equal(receive(f), 0);
        world_pass(&f->world, 10 * MS);
    }
    assert_int_equal(receive(f), TIMED_OUT);
}

static void ids_of_fired_timers_are_forgotten(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(send_after(f, "x", 200, 1), i);
        world_pass(&f->world, 2 * MS);
    }
    assert_true(actor_wasm(&f->sender)->timers.capacity <= 8);
}

static void a_table_of_ids_is_bounded_and_survives_any_allocation(void **state)
{
    (void)state;
    struct pd_timer_ids ids = {0};
    pd_alloc_fail_nth(1);
    assert_int_equal(pd_timer_ids_reserve(&ids, 0), PD_ERR_NO_MEMORY);
    pd_alloc_fail_nth(0);
    for (uint32_t i = 0; i < PD_TIMER_IDS_MAX; i++) {
        assert_int_equal(pd_timer_ids_reserve(&ids, 0), PD_OK);
        assert_int_equal(pd_timer_ids_add(&ids, i + 1000, 10 + i), i);
    }
    assert_int_equal(pd_timer_ids_reserve(&ids, 0), PD_ERR_FULL);
    assert_int_equal(pd_timer_ids_reserve(&ids, 10), PD_OK); /* one fell due */
    uint64_t runtime_id = 0;
    assert_false(pd_timer_ids_take(&ids, 0, &runtime_id));
    assert_true(pd_timer_ids_take(&ids, 1, &runtime_id));
    assert_int_equal(runtime_id, 1001);
    assert_false(pd_timer_ids_take(&ids, 1, &runtime_id));
    assert_true(pd_timer_ids_take(&ids, PD_TIMER_IDS_MAX - 1, &runtime_id));
    assert_int_equal(runtime_id, PD_TIMER_IDS_MAX + 999);
    pd_timer_ids_deinit(&ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(messages_come_when_their_time_has_come, setup, teardown),
        cmocka_unit_test_setup_teardown(cancelling_tells_whether_it_was_pending, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_cancels_the_timer_of_another, setup, teardown),
        cmocka_unit_test_setup_teardown(timers_outlive_their_sender, setup, teardown),
        cmocka_unit_test_setup_teardown(a_missing_receiver_is_no_error, setup, teardown),
        cmocka_unit_test_setup_teardown(delays_saturate, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_message_it_traps, setup, teardown),
        cmocka_unit_test_setup_teardown(the_limit_of_pending_timers_traps, setup, teardown),
        cmocka_unit_test_setup_teardown(ids_of_fired_timers_are_forgotten, setup, teardown),
        cmocka_unit_test(a_table_of_ids_is_bounded_and_survives_any_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
