/* Pids: they grow, are never used twice, skip slots that are taken, and end with their
 * environment. */
#include "base/random.h"
#include "stage.h"
#include "support/seed.h"

static void open_small(struct stage *stage, uint32_t processes_max)
{
    struct pd_runtime_config config = stage_config();
    config.processes_max = processes_max;
    stage_open(stage, &config);
}

static uint64_t take(struct stage *stage)
{
    uint64_t pid = 0;
    assert_int_equal(pd_environment_take_pid(stage->environment, &pid), PD_OK);
    return pid;
}

static void pids_count_up(void **state)
{
    (void)state;
    struct stage stage;
    open_small(&stage, 64);
    for (uint64_t i = 1; i <= 1000; i++) {
        assert_int_equal(take(&stage), i);
        pd_environment_give_pid(stage.environment, i);
    }
    stage_close(&stage);
}

static void slots_that_are_taken_are_skipped(void **state)
{
    (void)state;
    struct stage stage;
    open_small(&stage, 64);
    assert_int_equal(stage.environment->capacity, 64);
    for (uint64_t pid = 1; pid <= 64; pid++) {
        assert_int_equal(take(&stage), pid);
    }
    uint64_t pid = 0;
    assert_int_equal(pd_environment_take_pid(stage.environment, &pid), PD_ERR_FULL);
    pd_environment_give_pid(stage.environment, 40);
    assert_int_equal(take(&stage), 64 + 40);
    pd_environment_give_pid(stage.environment, 3);
    assert_int_equal(take(&stage), 128 + 3); /* behind 104, so the next time around */
    pd_environment_give_pid(stage.environment, 64);
    assert_int_equal(take(&stage), 192);
    assert_int_equal(pd_environment_take_pid(stage.environment, &pid), PD_ERR_FULL);
    for (uint64_t slot = 0; slot < 64; slot++) {
        pd_environment_give_pid(stage.environment, slot);
    }
    stage_close(&stage);
}

static void the_limit_need_not_be_a_power_of_two(void **state)
{
    (void)state;
    struct stage stage;
    open_small(&stage, 70);
    assert_int_equal(stage.environment->capacity, 128);
    uint64_t pid = 0;
    for (uint32_t i = 0; i < 70; i++) {
        assert_int_equal(pd_environment_take_pid(stage.environment, &pid), PD_OK);
    }
    assert_int_equal(pd_environment_take_pid(stage.environment, &pid), PD_ERR_FULL);
    for (uint64_t i = 1; i <= 70; i++) {
        pd_environment_give_pid(stage.environment, i);
    }
    stage_close(&stage);
}

static void a_closed_one_takes_nobody_in(void **state)
{
    (void)state;
    struct stage stage;
    open_small(&stage, 64);
    struct puppet *living = stage_spawn(&stage);
    pd_environment_close(stage.environment);
    struct pd_process *process = NULL;
    assert_int_equal(pd_process_create(stage.environment, 0, &puppet_behavior, NULL, &process),
                     PD_ERR_CLOSED);
    assert_true(pd_mailbox_exists(stage.environment, living->pid));
    stage_close(&stage);
}

static void a_pid_of_the_same_slot_is_another(void **state)
{
    (void)state;
    struct stage stage;
    open_small(&stage, 64);
    struct puppet *first = stage_spawn(&stage);
    struct puppet *sender = stage_spawn(&stage);
    stage_kill(&stage, first->pid);
    stage_run(&stage);
    struct puppet *second = NULL;
    while (second == NULL || second->pid % 64 != first->pid % 64) {
        second = stage_spawn(&stage);
        if (second->pid % 64 != first->pid % 64) {
            stage_kill(&stage, second->pid);
            stage_run(&stage);
        }
    }
    assert_false(pd_mailbox_exists(stage.environment, first->pid));
    assert_int_equal(puppet_send(sender, first->pid, 1), PD_OK);
    pd_process_exit_signal(sender->process, first->pid, PD_EXIT_KILLED, NULL);
    pd_process_exit_signal(sender->process, first->pid, PD_EXIT_FAILURE, NULL);
    stage_run(&stage);
    assert_true(puppet_is_alive(second));
    puppet_expect_nothing(second);
    stage_close(&stage);
}

static void without_memory_there_is_no_process(void **state)
{
    (void)state;
    struct stage stage;
    open_small(&stage, 1024);
    struct pd_process *process = NULL;
    pd_alloc_fail_nth(1);
    assert_int_equal(pd_process_create(stage.environment, 0, &puppet_behavior, NULL, &process),
                     PD_ERR_NO_MEMORY);
    assert_int_equal(pd_environment_count(stage.environment), 0);
    stage_close(&stage);
    for (uint64_t nth = 1; nth <= 3; nth++) {
        struct pd_environment *environment = NULL;
        open_small(&stage, 64);
        pd_alloc_fail_nth(nth);
        assert_int_equal(pd_environment_create(&stage.runtime, 2, &environment), PD_ERR_NO_MEMORY);
        pd_alloc_fail_nth(0);
        stage_close(&stage);
    }
}

static void random_lives_agree_with_a_model(void **state)
{
    (void)state;
    struct pd_random random = test_random("random_lives_agree_with_a_model");
    struct stage stage;
    open_small(&stage, 128);
    uint64_t held[128] = {0}; /* by slot */
    uint64_t last = 0;
    uint32_t count = 0;
    for (uint32_t step = 0; step < 200000; step++) {
        uint32_t slot = (uint32_t)pd_random_below(&random, 128);
        if (pd_random_below(&random, 100) < 49 && held[slot] != 0) {
            pd_environment_give_pid(stage.environment, held[slot]);
            held[slot] = 0;
            count--;
            continue;
        }
        uint64_t pid = 0;
        enum pd_status status = pd_environment_take_pid(stage.environment, &pid);
        assert_int_equal(status, count == 128 ? PD_ERR_FULL : PD_OK);
        if (status == PD_OK) {
            for (uint64_t skipped = last + 1; skipped < pid; skipped++) {
                assert_int_not_equal(held[skipped % 128], 0);
            }
            assert_true(pid > last);
            assert_int_equal(held[pid % 128], 0);
            held[pid % 128] = pid;
            last = pid;
            count++;
        }
        assert_int_equal(pd_environment_count(stage.environment), count);
    }
    for (uint32_t slot = 0; slot < 128; slot++) {
        if (held[slot] != 0) {
            pd_environment_give_pid(stage.environment, held[slot]);
        }
    }
    stage_close(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pids_count_up),
        cmocka_unit_test(slots_that_are_taken_are_skipped),
        cmocka_unit_test(the_limit_need_not_be_a_power_of_two),
        cmocka_unit_test(a_closed_one_takes_nobody_in),
        cmocka_unit_test(a_pid_of_the_same_slot_is_another),
        cmocka_unit_test(without_memory_there_is_no_process),
        cmocka_unit_test(random_lives_agree_with_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
