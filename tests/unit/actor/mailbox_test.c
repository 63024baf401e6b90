/* Arrival and taking: order, tags, bounds, and that what one sender did first is seen first. */
#include "actor/tags.h"
#include "base/random.h"
#include "stage.h"
#include "support/seed.h"

static void stage_open_default(struct stage *stage)
{
    struct pd_runtime_config config = stage_config();
    stage_open(stage, &config);
}

/* Take by tags; the tag found, 0 for none. */
static uint64_t take_tag(struct puppet *puppet, const uint64_t *tags, uint32_t count)
{
    (void)pd_process_drain(puppet->process);
    struct pd_message *message = pd_process_take(puppet->process, tags, count);
    uint64_t tag = message == NULL ? 0 : message->tag;
    pd_message_destroy(message);
    return tag;
}

static void selective_receive_keeps_the_order_of_the_rest(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_default(&stage);
    struct puppet *a = stage_spawn(&stage);
    struct puppet *b = stage_spawn(&stage);
    static const uint64_t sent[] = {1, 2, 3, 1, 2, 3, 4};
    for (size_t i = 0; i < sizeof sent / sizeof sent[0]; i++) {
        assert_int_equal(puppet_send(a, b->pid, sent[i]), PD_OK);
    }
    const uint64_t two[] = {2};
    const uint64_t four_or_three[] = {3, 4};
    const uint64_t nine[] = {9};
    assert_int_equal(take_tag(b, two, 1), 2);
    assert_int_equal(take_tag(b, nine, 1), 0);
    /* the first that came, not the first wanted */
    assert_int_equal(take_tag(b, four_or_three, 2), 3);
    assert_int_equal(take_tag(b, NULL, 0), 1);
    assert_int_equal(take_tag(b, NULL, 0), 1);
    assert_int_equal(take_tag(b, four_or_three, 2), 3);
    assert_int_equal(take_tag(b, four_or_three, 2), 4);
    assert_int_equal(take_tag(b, NULL, 0), 2);
    puppet_expect_nothing(b);
    stage_close(&stage);
}

static void no_tag_and_old_notices_match_no_tag(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_default(&stage);
    struct puppet *a = stage_spawn(&stage);
    struct puppet *b = stage_spawn(&stage);
    assert_int_equal(pd_process_monitor(b->process, a->pid, 0), PD_OK);
    stage_run(&stage);
    assert_int_equal(puppet_send(a, b->pid, 0), PD_OK);
    stage_kill(&stage, a->pid);
    stage_run(&stage);
    const uint64_t zero[] = {0};
    (void)pd_process_drain(b->process);
    assert_null(pd_process_take(b->process, zero, 1));
    puppet_expect(b, 0);
    puppet_expect_notice(b, PD_MESSAGE_PROCESS_DIED, a->pid, PD_EXIT_KILLED);
    stage_close(&stage);
}

static void looking_further_sees_only_what_is_new(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_default(&stage);
    struct puppet *a = stage_spawn(&stage);
    struct puppet *b = stage_spawn(&stage);
    const uint64_t five[] = {5};
    assert_int_equal(puppet_send(a, b->pid, 5), PD_OK);
    assert_int_equal(puppet_send(a, b->pid, 6), PD_OK);
    pd_process_skip_queue(b->process); /* what is here already is not the answer */
    assert_null(pd_process_take_more(b->process, five, 1));
    assert_int_equal(puppet_send(a, b->pid, 7), PD_OK);
    assert_int_equal(puppet_send(a, b->pid, 5), PD_OK);
    (void)pd_process_drain(b->process);
    struct pd_message *message = pd_process_take_more(b->process, five, 1);
    assert_non_null(message);
    pd_message_destroy(message);
    /* The former one is still the first. */
    puppet_expect(b, 5);
    puppet_expect(b, 6);
    puppet_expect(b, 7);
    puppet_expect_nothing(b);
    /* Skipping an empty queue. */
    pd_process_skip_queue(b->process);
    assert_int_equal(puppet_send(a, b->pid, 5), PD_OK);
    (void)pd_process_drain(b->process);
    message = pd_process_take_more(b->process, five, 1);
    assert_non_null(message);
    pd_message_destroy(message);
    stage_close(&stage);
}

static void what_one_sender_did_first_is_seen_first(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_default(&stage);
    struct puppet *a = stage_spawn(&stage);
    struct puppet *b = stage_spawn(&stage);
    b->process->trapping = PD_TRAP_ALL;
    assert_int_equal(pd_process_link(a->process, b->pid, 9), PD_OK);
    assert_int_equal(puppet_send(a, b->pid, 1), PD_OK);
    pd_process_exit_signal(a->process, b->pid, PD_EXIT_SHUTDOWN, NULL);
    assert_int_equal(puppet_send(a, b->pid, 2), PD_OK);
    puppet_exit(a, PD_EXIT_FAILURE, "");
    stage_run(&stage);
    puppet_expect(b, 1);
    puppet_expect_notice(b, PD_MESSAGE_LINK_DIED, a->pid, PD_EXIT_SHUTDOWN);
    puppet_expect(b, 2);
    puppet_expect_notice(b, PD_MESSAGE_LINK_DIED, a->pid, PD_EXIT_FAILURE);
    puppet_expect_nothing(b);
    stage_close(&stage);
}

static void signals_take_effect_before_messages_are_seen(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_default(&stage);
    struct puppet *a = stage_spawn(&stage);
    struct puppet *b = stage_spawn(&stage);
    uint32_t runs = b->run_count;
    assert_int_equal(puppet_send(a, b->pid, 1), PD_OK);
    pd_process_exit_signal(a->process, b->pid, PD_EXIT_SHUTDOWN, NULL);
    stage_run(&stage);
    assert_false(puppet_is_alive(b));
    assert_int_equal(b->run_count, runs); /* it never ran again */
    stage_close(&stage);
}

static void bytes_and_messages_are_bounded(void **state)
{
    (void)state;
    struct stage stage;
    struct pd_runtime_config config = stage_config();
    config.messages_max = 5;
    config.mailbox_bytes_max = 3000;
    config.message_bytes_max = 1000;
    stage_open(&stage, &config);
    struct puppet *a = stage_spawn(&stage);
    struct puppet *b = stage_spawn(&stage);
    struct pd_mailbox_view view;
    /* Two of 1,000 bytes and their headers; a third passes 3,000. */
    for (int i = 0; i < 3; i++) {
        struct pd_message *message = pd_message_create(1, 1000);
        assert_int_equal(pd_process_send(a->process, b->pid, message), i < 2 ? PD_OK : PD_ERR_FULL);
        if (i == 2) {
            pd_message_destroy(message);
        }
    }
    assert_int_equal(pd_mailbox_look(stage.environment, b->pid, &view, NULL, NULL), PD_OK);
    assert_int_equal(view.message_count, 2);
    assert_int_equal(view.message_bytes, 2 * (1000 + sizeof(struct pd_message)));
    for (int i = 0; i < 4; i++) {
        struct pd_message *message = pd_message_create(1, 0);
        assert_int_equal(pd_process_send(a->process, b->pid, message), i < 3 ? PD_OK : PD_ERR_FULL);
        if (i == 3) {
            pd_message_destroy(message);
        }
    }
    stage_run(&stage);
    assert_true(puppet_is_alive(b)); /* nobody dies of it */
    struct pd_message *message = NULL;
    while ((message = puppet_take(b)) != NULL) {
        pd_message_destroy(message);
    }
    puppet_wake(b);
    stage_run(&stage);
    assert_int_equal(pd_mailbox_look(stage.environment, b->pid, &view, NULL, NULL), PD_OK);
    assert_int_equal(view.message_count, 0);
    assert_int_equal(view.message_bytes, 0);
    stage_close(&stage);
}

static void signals_have_room_when_the_mailbox_is_full(void **state)
{
    (void)state;
    struct stage stage;
    struct pd_runtime_config config = stage_config();
    config.messages_max = 1;
    stage_open(&stage, &config);
    struct puppet *a = stage_spawn(&stage);
    struct puppet *b = stage_spawn(&stage);
    b->process->trapping = PD_TRAP_ALL;
    assert_int_equal(puppet_send(a, b->pid, 1), PD_OK);
    assert_int_equal(puppet_send(a, b->pid, 2), PD_OK);
    assert_true(pd_process_must_wait(a->process));
    struct puppet *c = stage_spawn(&stage);
    assert_int_equal(pd_process_link(c->process, b->pid, 3), PD_OK);
    assert_int_equal(pd_process_monitor(c->process, b->pid, 4), PD_OK);
    assert_false(pd_process_must_wait(c->process));
    stage_run(&stage);
    puppet_exit(c, PD_EXIT_FAILURE, "");
    stage_run(&stage);
    puppet_expect(b, 1);
    puppet_expect_notice(b, PD_MESSAGE_LINK_DIED, c->pid, PD_EXIT_FAILURE);
    stage_kill(&stage, b->pid);
    stage_run(&stage);
    stage_expect_death(&stage, b->pid, PD_EXIT_KILLED);
    stage_close(&stage);
}

static void nobody_is_there(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_default(&stage);
    struct puppet *a = stage_spawn(&stage);
    static const uint64_t strange[] = {0, 2, 1024, 1025, UINT64_MAX, UINT64_MAX - 1023};
    for (size_t i = 0; i < sizeof strange / sizeof strange[0]; i++) {
        struct pd_mailbox_view view;
        assert_false(pd_mailbox_exists(stage.environment, strange[i]));
        assert_int_equal(pd_mailbox_kill(stage.environment, strange[i], PD_EXIT_KILLED, NULL),
                         PD_ERR_UNKNOWN);
        assert_int_equal(pd_mailbox_look(stage.environment, strange[i], &view, NULL, NULL),
                         PD_ERR_UNKNOWN);
        assert_int_equal(pd_mailbox_mark(stage.environment, strange[i], true, true),
                         PD_ERR_UNKNOWN);
        assert_int_equal(puppet_send(a, strange[i], 1), PD_OK); /* dropped */
    }
    assert_int_equal(a->process->pid, 1);
    stage_close(&stage);
}

/* --- A model: one sender for each tag, taken by random sets ----------------------------------- */

#define TAGS 5u

static void random_takes_agree_with_a_model(void **state)
{
    (void)state;
    struct pd_random random = test_random("random_takes_agree_with_a_model");
    for (uint32_t life = 0; life < 40; life++) {
        struct stage stage;
        stage_open_default(&stage);
        struct puppet *sender = stage_spawn(&stage);
        struct puppet *receiver = stage_spawn(&stage);
        uint64_t model[2000];
        uint32_t count = 0;
        for (uint32_t step = 0; step < 1500; step++) {
            if (pd_random_below(&random, 2) == 0) {
                uint64_t tag = pd_random_below(&random, TAGS) + 1;
                model[count++] = tag;
                assert_int_equal(puppet_send(sender, receiver->pid, tag), PD_OK);
            }
            uint64_t tags[3];
            uint32_t tag_count = (uint32_t)pd_random_below(&random, 4);
            for (uint32_t i = 0; i < tag_count; i++) {
                tags[i] = pd_random_below(&random, TAGS) + 1;
            }
            pd_tags_sort(tags, tag_count);
            uint32_t at = 0;
            bool is_found = false;
            while (at < count && !is_found) {
                is_found = tag_count == 0;
                for (uint32_t i = 0; i < tag_count; i++) {
                    is_found = is_found || tags[i] == model[at];
                }
                at += is_found ? 0 : 1;
            }
            assert_int_equal(take_tag(receiver, tags, tag_count), is_found ? model[at] : 0);
            if (is_found) {
                count--;
                memmove(&model[at], &model[at + 1], (count - at) * sizeof model[0]);
            }
        }
        stage_close(&stage);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(selective_receive_keeps_the_order_of_the_rest),
        cmocka_unit_test(no_tag_and_old_notices_match_no_tag),
        cmocka_unit_test(looking_further_sees_only_what_is_new),
        cmocka_unit_test(what_one_sender_did_first_is_seen_first),
        cmocka_unit_test(signals_take_effect_before_messages_are_seen),
        cmocka_unit_test(bytes_and_messages_are_bounded),
        cmocka_unit_test(signals_have_room_when_the_mailbox_is_full),
        cmocka_unit_test(nobody_is_there),
        cmocka_unit_test(random_takes_agree_with_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
