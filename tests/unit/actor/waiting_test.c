/* Senders that wait for room: who gets it, what becomes of it when they die, and what never
 * waits. */
#include "stage.h"

static struct pd_runtime_config small_config(uint32_t messages_max, uint32_t signals_max)
{
    struct pd_runtime_config config = stage_config();
    config.messages_max = messages_max;
    config.signals_max = signals_max;
    return config;
}

static uint32_t line_length(struct stage *stage, uint64_t pid)
{
    struct pd_mailbox_view view;
    assert_int_equal(pd_mailbox_look(stage->environment, pid, &view, NULL, NULL), PD_OK);
    return view.sender_count;
}

/* `puppet` sends and is left waiting in the receiver's line. */
static void send_and_wait(struct puppet *puppet, uint64_t pid, uint64_t tag)
{
    uint32_t before = line_length(puppet->stage, pid);
    assert_int_equal(puppet_send(puppet, pid, tag), PD_OK);
    assert_true(pd_process_must_wait(puppet->process));
    assert_false(pd_lifecycle_flush_outbox(puppet->process));
    assert_int_equal(line_length(puppet->stage, pid), before + 1);
}

static void a_full_mailbox_makes_the_sender_wait(void **state)
{
    (void)state;
    struct stage stage;
    struct pd_runtime_config config = small_config(2, 10);
    stage_open(&stage, &config);
    struct puppet *receiver = stage_spawn(&stage);
    struct puppet *sender = stage_spawn(&stage);
    for (uint64_t tag = 1; tag <= 2; tag++) {
        assert_int_equal(puppet_send(sender, receiver->pid, tag), PD_OK);
    }
    assert_false(pd_process_must_wait(sender->process));
    for (uint64_t tag = 3; tag <= 5; tag++) {
        assert_int_equal(puppet_send(sender, receiver->pid, tag), PD_OK);
    }
    uint32_t runs = sender->run_count;
    puppet_wake(sender);
    stage_run(&stage);
    assert_int_equal(sender->run_count, runs); /* it does not run on */
    assert_int_equal(line_length(&stage, receiver->pid), 1);
    for (uint64_t tag = 1; tag <= 5; tag++) {
        puppet_expect(receiver, tag);
        puppet_wake(receiver); /* gives the room back */
        stage_run(&stage);
    }
    assert_false(pd_process_must_wait(sender->process));
    assert_true(sender->run_count > runs);
    stage_close(&stage);
}

/* The answer that a process waits for is not kept out by what it does not want yet, whether it
 * comes before the wait or after. */
static void what_is_waited_for_finds_room(void **state)
{
    (void)state;
    struct stage stage;
    struct pd_runtime_config config = small_config(2, 10);
    stage_open(&stage, &config);
    struct puppet *receiver = stage_spawn(&stage);
    struct puppet *flood = stage_spawn(&stage);
    struct puppet *server = stage_spawn(&stage);
    assert_int_equal(puppet_send(flood, receiver->pid, 1), PD_OK);
    assert_int_equal(puppet_send(flood, receiver->pid, 2), PD_OK);
    send_and_wait(flood, receiver->pid, 3);
    send_and_wait(server, receiver->pid, 9);
    stage_run(&stage);
    assert_int_equal(line_length(&stage, receiver->pid), 2);

    const uint64_t answer[] = {8, 9};
    receiver->process->awaited_tags = answer;
    receiver->process->awaited_tag_count = 2;
    puppet_wake(receiver);
    stage_run(&stage);
    assert_int_equal(line_length(&stage, receiver->pid), 1); /* the flood's */
    (void)pd_process_drain(receiver->process);
    struct pd_message *message = pd_process_take(receiver->process, answer, 2);
    assert_non_null(message);
    pd_message_destroy(message);

    puppet_wake(receiver);
    stage_run(&stage);
    assert_int_equal(puppet_send(server, receiver->pid, 8), PD_OK);
    assert_false(pd_process_must_wait(server->process));
    assert_int_equal(puppet_send(server, receiver->pid, 8), PD_OK); /* one is enough */
    assert_true(pd_process_must_wait(server->process));
    stage_close(&stage);
}

static void the_outbox_is_bounded(void **state)
{
    (void)state;
    struct stage stage;
    struct pd_runtime_config config = small_config(1, 10);
    stage_open(&stage, &config);
    struct puppet *receiver = stage_spawn(&stage);
    struct puppet *sender = stage_spawn(&stage);
    for (uint32_t i = 0; i < PD_OUTBOX_MAX + 1; i++) {
        assert_int_equal(puppet_send(sender, receiver->pid, i), PD_OK);
    }
    assert_int_equal(puppet_send(sender, receiver->pid, 0), PD_ERR_FULL);
    stage_close(&stage);
}

static void a_full_mailbox_of_its_own(void **state)
{
    (void)state;
    struct stage stage;
    struct pd_runtime_config config = small_config(2, 10);
    stage_open(&stage, &config);
    struct puppet *puppet = stage_spawn(&stage);
    assert_int_equal(puppet_send(puppet, puppet->pid, 1), PD_OK);
    assert_int_equal(puppet_send(puppet, puppet->pid, 2), PD_OK);
    assert_int_equal(puppet_send(puppet, puppet->pid, 3), PD_ERR_INVALID);
    assert_false(pd_process_must_wait(puppet->process));
    puppet_expect(puppet, 1); /* what was taken in this very turn makes room at once */
    assert_int_equal(puppet_send(puppet, puppet->pid, 4), PD_OK);
    puppet_expect(puppet, 2);
    puppet_expect(puppet, 4);
    stage_close(&stage);
}

/* Takes what there is, then kills whom the context names: who is first in line and is woken by the
 * room has been killed already. */
static enum pd_resume_result take_then_kill(struct puppet *puppet)
{
    pd_message_destroy(puppet_take(puppet));
    if (puppet->context != NULL) {
        struct puppet *victim = puppet->context;
        puppet->context = NULL;
        stage_kill(puppet->stage, victim->pid);
    }
    return PD_RESUME_WAIT;
}

static void room_of_a_sender_that_died_goes_to_the_next(void **state)
{
    (void)state;
    struct stage stage;
    struct pd_runtime_config config = small_config(1, 10);
    stage_open(&stage, &config);
    struct puppet *receiver = stage_spawn(&stage);
    struct puppet *first = stage_spawn(&stage);
    struct puppet *second = stage_spawn(&stage);
    struct puppet *third = stage_spawn(&stage);
    assert_int_equal(puppet_send(first, receiver->pid, 1), PD_OK);
    send_and_wait(second, receiver->pid, 2);
    send_and_wait(third, receiver->pid, 3);
    receiver->run = take_then_kill;
    receiver->context = second;
    puppet_wake(receiver);
    stage_run(&stage);
    assert_false(puppet_is_alive(second));
    assert_int_equal(line_length(&stage, receiver->pid), 0);
    assert_false(pd_process_must_wait(third->process));
    stage_close(&stage);
}

static void more_wait_than_are_woken_at_a_time(void **state)
{
    (void)state;
    struct stage stage;
    struct pd_runtime_config config = small_config(100, 10);
    stage_open(&stage, &config);
    struct puppet *receiver = stage_spawn(&stage);
    struct puppet *filler = stage_spawn(&stage);
    struct puppet *senders[150];
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(puppet_send(filler, receiver->pid, 1), PD_OK);
    }
    for (uint32_t i = 0; i < 150; i++) {
        senders[i] = stage_spawn(&stage);
        send_and_wait(senders[i], receiver->pid, i + 2);
    }
    /* All room at once, and those whom it wakes die of it. */
    for (uint32_t i = 0; i < 100; i++) {
        puppet_expect(receiver, 1);
    }
    for (uint32_t i = 0; i < 60; i++) {
        stage_kill(&stage, senders[i]->pid);
    }
    puppet_wake(receiver);
    stage_run(&stage);
    for (uint32_t i = 60; i < 150; i++) {
        assert_false(pd_process_must_wait(senders[i]->process));
    }
    struct pd_message *message = NULL;
    uint32_t count = 0;
    while ((message = puppet_take(receiver)) != NULL) {
        pd_message_destroy(message);
        count++;
    }
    assert_int_equal(count, 90);
    stage_close(&stage);
}

static void a_request_waits_for_signals_only(void **state)
{
    (void)state;
    struct stage stage;
    struct pd_runtime_config config = small_config(1, 1);
    stage_open(&stage, &config);
    struct puppet *receiver = stage_spawn(&stage);
    struct puppet *a = stage_spawn(&stage);
    struct puppet *b = stage_spawn(&stage);
    struct puppet *sender = stage_spawn(&stage);
    assert_int_equal(puppet_send(sender, receiver->pid, 1), PD_OK); /* full, and stays so */
    send_and_wait(sender, receiver->pid, 2);
    assert_int_equal(pd_process_link(a->process, receiver->pid, 7), PD_OK);
    assert_int_equal(pd_process_link(b->process, receiver->pid, 7), PD_OK);
    assert_false(pd_lifecycle_flush_outbox(b->process));
    stage_run(&stage);
    assert_false(pd_process_must_wait(a->process));
    assert_false(pd_process_must_wait(b->process));
    assert_true(pd_process_must_wait(sender->process));
    stage_kill(&stage, b->pid);
    stage_run(&stage);
    assert_false(puppet_is_alive(receiver)); /* so it was linked */
    stage_expect_death(&stage, receiver->pid, PD_EXIT_KILLED);
    assert_false(puppet_is_alive(a)); /* and with a, too */
    assert_true(puppet_is_alive(sender));
    assert_false(pd_process_must_wait(sender->process));
    stage_close(&stage);
}

static void a_message_beyond_the_bytes_of_a_mailbox_gets_through(void **state)
{
    (void)state;
    struct stage stage;
    struct pd_runtime_config config = stage_config();
    config.message_bytes_max = 1000;
    config.mailbox_bytes_max = 1000;
    stage_open(&stage, &config);
    struct puppet *receiver = stage_spawn(&stage);
    struct puppet *sender = stage_spawn(&stage);
    for (uint64_t tag = 1; tag <= 2; tag++) {
        struct pd_message *message = pd_message_create(tag, 1000);
        assert_int_equal(pd_process_send_waiting(sender->process, receiver->pid, message), PD_OK);
    }
    assert_true(pd_process_must_wait(sender->process)); /* one, not two */
    puppet_wake(sender);
    stage_run(&stage);
    puppet_expect(receiver, 1);
    puppet_wake(receiver);
    stage_run(&stage);
    assert_false(pd_process_must_wait(sender->process));
    puppet_expect(receiver, 2);
    stage_close(&stage);
}

static void who_is_woken_without_cause_keeps_its_place(void **state)
{
    (void)state;
    struct stage stage;
    struct pd_runtime_config config = small_config(1, 10);
    stage_open(&stage, &config);
    struct puppet *receiver = stage_spawn(&stage);
    struct puppet *first = stage_spawn(&stage);
    struct puppet *second = stage_spawn(&stage);
    assert_int_equal(puppet_send(first, receiver->pid, 1), PD_OK);
    send_and_wait(first, receiver->pid, 2);
    send_and_wait(second, receiver->pid, 3);
    assert_int_equal(puppet_send(second, first->pid, 9), PD_OK); /* behind 3 in its outbox */
    puppet_wake(first);
    stage_run(&stage);
    puppet_expect(receiver, 1);
    puppet_wake(receiver);
    stage_run(&stage);
    puppet_expect(receiver, 2);
    puppet_wake(receiver);
    stage_run(&stage);
    puppet_expect(receiver, 3);
    puppet_expect(first, 9);
    stage_close(&stage);
}

static void a_sender_that_waits_can_be_killed(void **state)
{
    (void)state;
    struct stage stage;
    struct pd_runtime_config config = small_config(1, 10);
    stage_open(&stage, &config);
    struct puppet *receiver = stage_spawn(&stage);
    struct puppet *sender = stage_spawn(&stage);
    assert_int_equal(puppet_send(sender, receiver->pid, 1), PD_OK);
    send_and_wait(sender, receiver->pid, 2);
    stage_kill(&stage, sender->pid);
    stage_run(&stage);
    stage_expect_death(&stage, sender->pid, PD_EXIT_KILLED);
    assert_int_equal(line_length(&stage, receiver->pid), 0);
    puppet_expect(receiver, 1);
    puppet_expect_nothing(receiver);
    assert_true(puppet_is_alive(receiver));
    stage_close(&stage);
}

static void the_receiver_dies(void **state)
{
    (void)state;
    struct stage stage;
    struct pd_runtime_config config = small_config(1, 10);
    stage_open(&stage, &config);
    struct puppet *receiver = stage_spawn(&stage);
    struct puppet *senders[100];
    for (uint32_t i = 0; i < 100; i++) {
        senders[i] = stage_spawn(&stage);
        if (i == 0) {
            assert_int_equal(puppet_send(senders[0], receiver->pid, 1), PD_OK);
        }
        send_and_wait(senders[i], receiver->pid, 2);
    }
    stage_kill(&stage, receiver->pid);
    stage_run(&stage);
    for (uint32_t i = 0; i < 100; i++) {
        assert_true(puppet_is_alive(senders[i]));
        assert_false(pd_process_must_wait(senders[i]->process));
    }
    stage_close(&stage);
}

/* Both at once, in every order that the seeds give. */
static void receiver_and_senders_die_together(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct stage stage;
        struct pd_runtime_config config = small_config(2, 10);
        config.seed = seed;
        stage_open(&stage, &config);
        struct puppet *receiver = stage_spawn(&stage);
        struct puppet *senders[20];
        for (uint32_t i = 0; i < 20; i++) {
            senders[i] = stage_spawn(&stage);
            assert_int_equal(puppet_send(senders[i], receiver->pid, i), PD_OK);
            puppet_wake(senders[i]);
        }
        stage_run(&stage);
        for (uint32_t i = 0; i < 20; i += 2) {
            stage_kill(&stage, senders[i]->pid);
        }
        stage_kill(&stage, receiver->pid);
        stage_run(&stage);
        for (uint32_t i = 1; i < 20; i += 2) {
            assert_false(pd_process_must_wait(senders[i]->process));
        }
        stage_close(&stage);
    }
}

static void no_half_bond_is_left_by_a_sender_that_waited(void **state)
{
    (void)state;
    struct stage stage;
    struct pd_runtime_config config = small_config(1, 1);
    stage_open(&stage, &config);
    struct puppet *full = stage_spawn(&stage);
    struct puppet *free_one = stage_spawn(&stage);
    struct puppet *sender = stage_spawn(&stage);
    assert_int_equal(pd_process_link(sender->process, free_one->pid, 0), PD_OK);
    stage_run(&stage);
    assert_int_equal(puppet_send(sender, full->pid, 1), PD_OK);
    assert_int_equal(puppet_send(sender, full->pid, 2), PD_OK);
    assert_int_equal(puppet_send(sender, free_one->pid, 3), PD_OK);
    pd_process_unlink(sender->process, free_one->pid); /* behind them */
    stage_kill(&stage, sender->pid);
    stage_run(&stage);
    puppet_expect(full, 1);
    puppet_expect_nothing(full);
    puppet_expect_nothing(free_one);
    assert_true(puppet_is_alive(free_one));
    assert_int_equal(free_one->process->bonds.count, 0);
    stage_close(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_mailbox_makes_the_sender_wait),
        cmocka_unit_test(what_is_waited_for_finds_room),
        cmocka_unit_test(the_outbox_is_bounded),
        cmocka_unit_test(a_full_mailbox_of_its_own),
        cmocka_unit_test(room_of_a_sender_that_died_goes_to_the_next),
        cmocka_unit_test(more_wait_than_are_woken_at_a_time),
        cmocka_unit_test(a_request_waits_for_signals_only),
        cmocka_unit_test(a_message_beyond_the_bytes_of_a_mailbox_gets_through),
        cmocka_unit_test(who_is_woken_without_cause_keeps_its_place),
        cmocka_unit_test(a_sender_that_waits_can_be_killed),
        cmocka_unit_test(the_receiver_dies),
        cmocka_unit_test(receiver_and_senders_die_together),
        cmocka_unit_test(no_half_bond_is_left_by_a_sender_that_waited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
