/* Monitors by reference and the old kind without, and replies by reference: each told once, late
 * ones never. */
#include "base/random.h"
#include "stage.h"
#include "support/seed.h"

struct pair {
    struct stage stage;
    struct puppet *watcher;
    struct puppet *target;
};

static void pair_open(struct pair *pair)
{
    struct pd_runtime_config config = stage_config();
    stage_open(&pair->stage, &config);
    pair->watcher = stage_spawn(&pair->stage);
    pair->target = stage_spawn(&pair->stage);
}

static void watch(struct puppet *watcher, uint64_t pid, uint64_t ref)
{
    assert_int_equal(pd_process_monitor(watcher->process, pid, ref), PD_OK);
}

static void expect_down(struct puppet *watcher, uint64_t pid, uint64_t ref)
{
    struct pd_message *message = puppet_take(watcher);
    assert_non_null(message);
    assert_int_equal(message->kind, PD_MESSAGE_DOWN);
    assert_int_equal(message->pid, pid);
    assert_int_equal(message->ref, ref);
    pd_message_destroy(message);
}

static void references_are_monitors_of_their_own(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair);
    for (uint64_t ref = 1; ref <= 3; ref++) {
        watch(pair.watcher, pair.target->pid, ref);
        watch(pair.watcher, pair.target->pid, ref);
    }
    watch(pair.watcher, pair.target->pid, 0);
    watch(pair.watcher, pair.target->pid, 0);
    stage_run(&pair.stage);
    assert_int_equal(pair.watcher->process->bonds.count, 4);
    assert_int_equal(pair.target->process->bonds.count, 4);
    pd_process_demonitor(pair.watcher->process, 0, 2, false);
    stage_run(&pair.stage);
    assert_int_equal(pair.target->process->bonds.count, 3);
    stage_kill(&pair.stage, pair.target->pid);
    stage_run(&pair.stage);
    expect_down(pair.watcher, pair.target->pid, 1);
    expect_down(pair.watcher, pair.target->pid, 3);
    puppet_expect_notice(pair.watcher, PD_MESSAGE_PROCESS_DIED, pair.target->pid, PD_EXIT_KILLED);
    puppet_expect_nothing(pair.watcher);
    stage_close(&pair.stage);
}

static void a_missing_process(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair);
    watch(pair.watcher, 4242, 5); /* at once */
    expect_down(pair.watcher, 4242, 5);
    watch(pair.watcher, 4242, 0); /* never: the old kind */
    stage_run(&pair.stage);
    puppet_expect_nothing(pair.watcher);
    assert_int_equal(pair.watcher->process->bonds.count, 0);
    stage_close(&pair.stage);
}

static void who_demonitors_is_not_told(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair);
    watch(pair.watcher, pair.target->pid, 1);
    watch(pair.watcher, pair.target->pid, 2);
    watch(pair.watcher, pair.target->pid, 0);
    stage_run(&pair.stage);
    pd_process_demonitor(pair.watcher->process, pair.target->pid, 0, false);
    stage_kill(&pair.stage, pair.target->pid);
    stage_run(&pair.stage);
    /* The notices are in its mailbox: not handled, handled and not taken. */
    pd_process_demonitor(pair.watcher->process, 0, 1, true);
    (void)pd_process_drain(pair.watcher->process);
    pd_process_demonitor(pair.watcher->process, 0, 2, true);
    puppet_expect_nothing(pair.watcher);
    pd_process_demonitor(pair.watcher->process, 0, 3, true); /* unknown */
    stage_close(&pair.stage);
}

static void without_flush_what_has_come_stays(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair);
    watch(pair.watcher, pair.target->pid, 2);
    stage_kill(&pair.stage, pair.target->pid);
    stage_run(&pair.stage);
    (void)pd_process_drain(pair.watcher->process);
    pd_process_demonitor(pair.watcher->process, 0, 2, false);
    expect_down(pair.watcher, pair.target->pid, 2);
    stage_close(&pair.stage);
}

static void the_watcher_dies_first(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair);
    watch(pair.watcher, pair.target->pid, 1);
    watch(pair.watcher, pair.target->pid, 0);
    stage_run(&pair.stage);
    stage_kill(&pair.stage, pair.watcher->pid);
    stage_run(&pair.stage);
    assert_int_equal(pair.target->process->bonds.count, 0);
    stage_kill(&pair.stage, pair.target->pid);
    stage_close(&pair.stage);
}

static void of_itself(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair);
    watch(pair.watcher, pair.watcher->pid, 1);
    watch(pair.watcher, pair.watcher->pid, 0);
    stage_run(&pair.stage);
    stage_kill(&pair.stage, pair.watcher->pid);
    stage_close(&pair.stage);
}

static void without_memory_nothing_changes(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth <= 2; nth++) {
        struct pair pair;
        pair_open(&pair);
        pd_alloc_fail_nth(nth);
        assert_int_equal(pd_process_monitor(pair.watcher->process, pair.target->pid, 1),
                         PD_ERR_NO_MEMORY);
        stage_run(&pair.stage);
        assert_int_equal(pair.watcher->process->bonds.count, 0);
        assert_int_equal(pair.target->process->bonds.count, 0);
        stage_close(&pair.stage);
    }
}

/* --- Replies ---------------------------------------------------------------------------------- */

static void reply(struct puppet *from, uint64_t pid, uint64_t ref)
{
    struct pd_message *message = pd_message_create(0, 0);
    assert_non_null(message);
    message->kind = PD_MESSAGE_REPLY;
    message->ref = ref;
    assert_int_equal(pd_process_send(from->process, pid, message), PD_OK);
}

static void a_reply_comes_by_reference_only(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair);
    pair.watcher->process->awaited_ref = 77;
    assert_int_equal(puppet_send(pair.target, pair.watcher->pid, 1), PD_OK);
    reply(pair.target, pair.watcher->pid, 76); /* of another call, too late */
    reply(pair.target, pair.watcher->pid, 77);
    assert_int_equal(puppet_send(pair.target, pair.watcher->pid, 2), PD_OK);
    (void)pd_process_drain(pair.watcher->process);
    assert_null(pd_process_take_ref(pair.watcher->process, 76));
    puppet_expect(pair.watcher, 1);
    puppet_expect(pair.watcher, 2);
    puppet_expect_nothing(pair.watcher); /* plain receive never sees it */
    struct pd_message *message = pd_process_take_ref(pair.watcher->process, 77);
    assert_non_null(message);
    pd_message_destroy(message);
    stage_close(&pair.stage);
}

static void late_replies_are_dropped_and_give_their_room_back(void **state)
{
    (void)state;
    struct stage stage;
    struct pd_runtime_config config = stage_config();
    config.messages_max = 1;
    stage_open(&stage, &config);
    struct puppet *caller = stage_spawn(&stage);
    struct puppet *server = stage_spawn(&stage);
    for (uint64_t ref = 1; ref <= 10; ref++) {
        reply(server, caller->pid, ref);
        stage_run(&stage);
        struct pd_mailbox_view view;
        assert_int_equal(pd_mailbox_look(stage.environment, caller->pid, &view, NULL, NULL), PD_OK);
        assert_int_equal(view.message_count, 0);
        assert_int_equal(view.message_bytes, 0);
    }
    stage_close(&stage);
}

/* --- Random lives: each reference answers once, or was given up ------------------------------- */

#define WATCHERS 6u
#define TARGETS 40u
#define REFS 400u

static void every_reference_is_answered_once(void **state)
{
    (void)state;
    struct pd_random random = test_random("every_reference_is_answered_once");
    for (uint32_t life = 0; life < 60; life++) {
        struct stage stage;
        struct pd_runtime_config config = stage_config();
        config.seed = pd_random_next(&random);
        config.signals_max = (uint32_t)pd_random_below(&random, 5) + 1;
        stage_open(&stage, &config);
        struct puppet *watchers[WATCHERS];
        struct puppet *targets[TARGETS];
        struct {
            struct puppet *watcher;
            uint32_t answers;
            bool is_given_up;
        } refs[REFS];
        for (uint32_t i = 0; i < WATCHERS; i++) {
            watchers[i] = stage_spawn(&stage);
        }
        for (uint32_t i = 0; i < TARGETS; i++) {
            targets[i] = stage_spawn(&stage);
        }
        for (uint32_t i = 0; i < REFS; i++) {
            refs[i].watcher = watchers[pd_random_below(&random, WATCHERS)];
            refs[i].answers = 0;
            refs[i].is_given_up = false;
            watch(refs[i].watcher, targets[pd_random_below(&random, TARGETS)]->pid, i + 1);
            (void)stage_run_turns(&stage, pd_random_below(&random, 3));
            struct puppet *target = targets[pd_random_below(&random, TARGETS)];
            if (pd_random_below(&random, 12) == 0 && puppet_is_alive(target)) {
                stage_kill(&stage, target->pid);
            }
            uint64_t given_up = pd_random_below(&random, i + 1);
            if (pd_random_below(&random, 5) == 0) {
                refs[given_up].is_given_up = true;
                pd_process_demonitor(refs[given_up].watcher->process, 0, given_up + 1, true);
            }
        }
        for (uint32_t i = 0; i < TARGETS; i++) {
            if (puppet_is_alive(targets[i])) {
                stage_kill(&stage, targets[i]->pid);
            }
        }
        for (uint32_t i = 0; i < WATCHERS; i++) {
            puppet_wake(watchers[i]);
        }
        stage_run(&stage);
        for (uint32_t i = 0; i < WATCHERS; i++) {
            struct pd_message *message = NULL;
            while ((message = puppet_take(watchers[i])) != NULL) {
                assert_int_equal(message->kind, PD_MESSAGE_DOWN);
                assert_ptr_equal(refs[message->ref - 1].watcher, watchers[i]);
                refs[message->ref - 1].answers++;
                pd_message_destroy(message);
            }
            assert_int_equal(watchers[i]->process->bonds.count, 0);
        }
        for (uint32_t i = 0; i < REFS; i++) {
            assert_int_equal(refs[i].answers, refs[i].is_given_up ? 0 : 1);
        }
        stage_close(&stage);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references_are_monitors_of_their_own),
        cmocka_unit_test(a_missing_process),
        cmocka_unit_test(who_demonitors_is_not_told),
        cmocka_unit_test(without_flush_what_has_come_stays),
        cmocka_unit_test(the_watcher_dies_first),
        cmocka_unit_test(of_itself),
        cmocka_unit_test(without_memory_nothing_changes),
        cmocka_unit_test(a_reply_comes_by_reference_only),
        cmocka_unit_test(late_replies_are_dropped_and_give_their_room_back),
        cmocka_unit_test(every_reference_is_answered_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
