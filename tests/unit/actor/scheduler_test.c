/* Who runs when: one history for one seed, turns shared fairly (counted in slices, never timed),
 * clocks, and no memory at any point. */
#include <pthread.h>

#include "base/random.h"
#include "host/real.h"
#include "stage.h"
#include "support/seed.h"

/* --- The seeded scheduler --------------------------------------------------------------------- */

/* One turn of a random life. Its own generator, so that only the schedule differs between seeds. */
struct life {
    struct pd_random random;
    uint32_t turns_left;
    uint32_t turns_all;
};

static enum pd_resume_result run_life(struct puppet *puppet)
{
    struct life *life = puppet->context;
    struct pd_process *self = puppet->process;
    struct pd_message *message = puppet_take(puppet);
    pd_message_destroy(message);
    if (life->turns_left == 0) {
        return PD_RESUME_EXIT;
    }
    life->turns_left--;
    uint64_t peer = pd_random_below(&life->random, puppet->stage->puppet_count) + 1;
    switch (pd_random_below(&life->random, 8)) {
    case 0:
        message = pd_message_create(1, 0);
        if (message != NULL && pd_process_send_waiting(self, peer, message) != PD_OK) {
            pd_message_destroy(message);
        }
        break;
    case 1:
        (void)!pd_process_link(self, peer, 1);
        break;
    case 2:
        (void)!pd_process_monitor(self, peer, pd_runtime_new_ref(&puppet->stage->runtime));
        break;
    case 3:
        pd_process_unlink(self, peer);
        break;
    case 4:
        pd_process_exit_signal(self, peer, PD_EXIT_NORMAL, NULL);
        break;
    case 5:
        pd_process_wake_at(self, puppet->stage->host.now_ns + pd_random_below(&life->random, 5000));
        return PD_RESUME_WAIT;
    case 6:
        if (pd_random_below(&life->random, 20) == 0) {
            pd_process_exit_signal(self, peer, PD_EXIT_KILLED, NULL);
        }
        break;
    default:
        break;
    }
    return PD_RESUME_YIELD;
}

static struct pd_trace run_lives(uint64_t seed, uint64_t nth_allocation)
{
    struct stage stage;
    struct pd_runtime_config config = stage_config();
    config.seed = seed;
    config.messages_max = 4;
    config.signals_max = 4;
    config.processes_max = 64;
    stage_open(&stage, &config);
    stage.trace.hash = 0; /* the seed itself shall not tell runs apart */
    struct life lives[40];
    for (uint32_t i = 0; i < 40; i++) {
        pd_random_init(&lives[i].random, i, "life");
        lives[i].turns_left = 100;
        struct puppet *puppet = stage_create(&stage);
        assert_non_null(puppet);
        puppet->run = run_life;
        puppet->context = &lives[i];
        puppet->process->trapping = i % 2 == 0 ? PD_TRAP_ALL : PD_TRAP_NONE;
        pd_process_start(puppet->process);
    }
    pd_alloc_fail_nth(nth_allocation);
    stage_run(&stage);
    pd_alloc_fail_nth(0);
    struct pd_trace trace = stage.trace;
    stage_close(&stage);
    return trace;
}

static void one_seed_is_one_history(void **state)
{
    (void)state;
    struct pd_random random = test_random("one_seed_is_one_history");
    uint64_t hashes[20];
    for (uint32_t i = 0; i < 20; i++) {
        uint64_t seed = pd_random_next(&random);
        struct pd_trace first = run_lives(seed, 0);
        struct pd_trace second = run_lives(seed, 0);
        assert_true(first.event_count > 1000);
        assert_int_equal(first.hash, second.hash);
        assert_int_equal(first.event_count, second.event_count);
        hashes[i] = first.hash;
        for (uint32_t j = 0; j < i; j++) {
            assert_int_not_equal(hashes[i], hashes[j]);
        }
    }
}

static void no_memory_at_any_point(void **state)
{
    (void)state;
    /* The judges: stage_close, and ASan. */
    for (uint64_t nth = 1; nth < 2000; nth += nth < 300 ? 1 : 17) {
        (void)run_lives(7, nth);
    }
}

static enum pd_resume_result run_yield(struct puppet *puppet)
{
    (void)puppet;
    return PD_RESUME_YIELD;
}

static void kill_reaches_one_that_never_waits(void **state)
{
    (void)state;
    struct stage stage;
    struct pd_runtime_config config = stage_config();
    stage_open(&stage, &config);
    struct puppet *busy = stage_create(&stage);
    busy->run = run_yield;
    pd_process_start(busy->process);
    assert_false(stage_run_turns(&stage, 1000));
    assert_int_equal(busy->run_count, 1000);
    stage_kill(&stage, busy->pid);
    stage_run(&stage);
    stage_expect_death(&stage, busy->pid, PD_EXIT_KILLED);
    stage_close(&stage);
}

/* --- Clocks ----------------------------------------------------------------------------------- */

static enum pd_resume_result run_note_time(struct puppet *puppet)
{
    *(uint64_t *)puppet->context = puppet->stage->host.now_ns;
    return PD_RESUME_WAIT;
}

static void wakes_come_in_time(void **state)
{
    (void)state;
    struct stage stage;
    struct pd_runtime_config config = stage_config();
    stage_open(&stage, &config);
    uint64_t woken_ns[50] = {0};
    struct puppet *puppets[50];
    for (uint32_t i = 0; i < 50; i++) {
        puppets[i] = stage_spawn(&stage);
    }
    uint64_t start_ns = stage.host.now_ns + 1000000;
    for (uint32_t i = 0; i < 50; i++) {
        puppets[i]->run = run_note_time;
        puppets[i]->context = &woken_ns[i];
        pd_process_wake_at(puppets[i]->process, start_ns + 1); /* replaced */
        pd_process_wake_at(puppets[i]->process, start_ns + (i + 1) * UINT64_C(100000));
    }
    pd_process_wake_at(puppets[7]->process, PD_TIME_NEVER);
    stage_kill(&stage, puppets[9]->pid);
    stage_run(&stage);
    for (uint32_t i = 0; i < 50; i++) {
        if (i == 7 || i == 9) {
            assert_int_equal(woken_ns[i], 0);
            continue;
        }
        uint64_t wanted_ns = start_ns + (i + 1) * UINT64_C(100000);
        assert_in_range(woken_ns[i], wanted_ns, wanted_ns + 99999);
        assert_int_equal(puppets[i]->run_count, 2);
    }
    stage_close(&stage);
}

static void without_memory_for_a_clock_it_ends(void **state)
{
    (void)state;
    struct stage stage;
    struct pd_runtime_config config = stage_config();
    stage_open(&stage, &config);
    struct puppet *puppet = stage_spawn(&stage);
    pd_alloc_fail_nth(1);
    pd_process_wake_at(puppet->process, stage.host.now_ns + 5);
    pd_alloc_fail_nth(0);
    puppet_wake(puppet);
    stage_run(&stage);
    stage_expect_death(&stage, puppet->pid, PD_EXIT_MEMORY);
    stage_close(&stage);
}

/* --- Fairness of the real scheduler, on one thread: counted in slices ------------------------- */

#define LOOPS 1000u
#define HOPS 2000u
#define SLICE_COST 1000u

struct fair {
    struct pd_real_host *host;
    struct pd_runtime runtime;
    struct pd_environment *environment;
    uint32_t loops;
    atomic_uint_least64_t slices; /* of the endless loops */
    uint64_t sent_at;             /* slices when the hop began */
    uint64_t hops[HOPS];          /* slices that it took */
    atomic_uint_least32_t hop_count;
    uint64_t pids[2];
    struct pd_process *sleeper;
    atomic_bool is_over;
};

static enum pd_resume_result loop_resume(struct pd_process *process, uint32_t *cost_out)
{
    struct fair *fair = process->data;
    *cost_out = SLICE_COST;
    atomic_fetch_add(&fair->slices, 1);
    return atomic_load(&fair->is_over) ? PD_RESUME_EXIT : PD_RESUME_YIELD;
}

static void note_hop(struct fair *fair)
{
    uint32_t count = atomic_load(&fair->hop_count);
    if (count < HOPS) {
        fair->hops[count] = atomic_load(&fair->slices) - fair->sent_at;
        atomic_store(&fair->hop_count, count + 1);
    }
    if (count + 1 >= HOPS) {
        atomic_store(&fair->is_over, true);
    }
}

static enum pd_resume_result player_resume(struct pd_process *process, uint32_t *cost_out)
{
    struct fair *fair = process->data;
    *cost_out = 1;
    (void)pd_process_drain(process);
    struct pd_message *message = pd_process_take(process, NULL, 0);
    if (message != NULL) {
        note_hop(fair);
        fair->sent_at = atomic_load(&fair->slices);
        uint64_t peer = process->pid == fair->pids[0] ? fair->pids[1] : fair->pids[0];
        assert_int_equal(pd_process_send(process, peer, message), PD_OK);
    }
    return PD_RESUME_WAIT;
}

static void nothing_to_destroy(struct pd_process *process)
{
    (void)process;
}

static const struct pd_behavior loop_behavior = {
    .name = "loop", .resume = loop_resume, .destroy = nothing_to_destroy};
static const struct pd_behavior player_behavior = {
    .name = "player", .resume = player_resume, .destroy = nothing_to_destroy};

static struct pd_process *fair_spawn(struct fair *fair, const struct pd_behavior *behavior)
{
    struct pd_process *process = NULL;
    assert_int_equal(pd_process_create(fair->environment, 0, behavior, fair, &process), PD_OK);
    return process;
}

static void fair_open(struct fair *fair, uint32_t loops)
{
    memset(fair, 0, sizeof *fair);
    fair->loops = loops;
    struct pd_runtime_config config = stage_config();
    config.processes_max = 4096;
    assert_int_equal(pd_real_host_create(1, 16, &fair->host), PD_OK);
    assert_int_equal(
        pd_runtime_init(&fair->runtime, pd_real_host_interface(fair->host), &config, NULL), PD_OK);
    assert_int_equal(pd_environment_create(&fair->runtime, 1, &fair->environment), PD_OK);
}

static void fair_close(struct fair *fair)
{
    for (uint64_t pid = 1; pid <= fair->environment->pid_last; pid++) {
        (void)!pd_mailbox_kill(fair->environment, pid, PD_EXIT_KILLED, NULL);
    }
    struct pd_host *host = pd_real_host_interface(fair->host);
    while (atomic_load(&fair->runtime.process_count) > 0) {
        (void)host->ops->event_wait(host, &fair->runtime.drained,
                                    host->ops->now_ns(host) + 1000000);
    }
    pd_runtime_stop(&fair->runtime);
    pd_environment_destroy(fair->environment);
    pd_runtime_deinit(&fair->runtime);
    pd_real_host_destroy(fair->host);
}

static void run_until_over(struct fair *fair)
{
    assert_int_equal(pd_runtime_start(&fair->runtime), PD_OK);
    struct pd_host *host = pd_real_host_interface(fair->host);
    struct pd_event never = {0};
    while (!atomic_load(&fair->is_over)) {
        (void)host->ops->event_wait(host, &never, host->ops->now_ns(host) + 1000000);
    }
}

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

/* R runnable actors on one thread: 99 of 100 hops take no more than 1.5 x (R + 1) slices. */
static uint64_t hop_bound(uint32_t loops)
{
    return (loops + 2 + 1) * UINT64_C(3) / 2;
}

static void a_conversation_beside_endless_loops(void **state)
{
    (void)state;
    static const uint32_t counts[] = {1, 3, 50, LOOPS};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct fair *fair = calloc(1, sizeof *fair);
        fair_open(fair, counts[i]);
        struct pd_process *players[2];
        for (int j = 0; j < 2; j++) {
            players[j] = fair_spawn(fair, &player_behavior);
            fair->pids[j] = players[j]->pid;
            pd_process_start(players[j]);
        }
        for (uint32_t j = 0; j < counts[i]; j++) {
            pd_process_start(fair_spawn(fair, &loop_behavior));
        }
        struct pd_message *ball = pd_message_create(1, 0);
        assert_int_equal(pd_mailbox_post(fair->environment, fair->pids[0], ball), PD_OK);
        run_until_over(fair);
        qsort(fair->hops, HOPS, sizeof fair->hops[0], compare);
        assert_in_range(fair->hops[HOPS * 99 / 100], 0, hop_bound(counts[i]));
        fair_close(fair);
        free(fair);
    }
}

/* --- Woken from outside ----------------------------------------------------------------------- */

static void *wake_sleeper(void *argument)
{
    struct fair *fair = argument;
    pd_process_wake(fair->sleeper);
    return NULL;
}

/* In its own slice, lets another thread wake the sleeper: as a helper does whose job is done. */
static enum pd_resume_result waker_resume(struct pd_process *process, uint32_t *cost_out)
{
    struct fair *fair = process->data;
    if (fair->sent_at == 0) {
        fair->sent_at = atomic_load(&fair->slices) + 1;
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, wake_sleeper, fair), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
    return loop_resume(process, cost_out);
}

static enum pd_resume_result sleeper_resume(struct pd_process *process, uint32_t *cost_out)
{
    struct fair *fair = process->data;
    *cost_out = 1;
    if (fair->sent_at != 0) {
        fair->sent_at--;
        note_hop(fair);
        fair->sent_at = 0; /* once more */
    }
    return PD_RESUME_WAIT;
}

static const struct pd_behavior waker_behavior = {
    .name = "waker", .resume = waker_resume, .destroy = nothing_to_destroy};
static const struct pd_behavior sleeper_behavior = {
    .name = "sleeper", .resume = sleeper_resume, .destroy = nothing_to_destroy};

static void who_is_woken_from_outside_waits_no_longer_than_others(void **state)
{
    (void)state;
    static const uint32_t counts[] = {1, 2, 5, 20};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct fair *fair = calloc(1, sizeof *fair);
        fair_open(fair, counts[i]);
        fair->sleeper = fair_spawn(fair, &sleeper_behavior);
        pd_process_start(fair->sleeper);
        pd_process_start(fair_spawn(fair, &waker_behavior));
        for (uint32_t j = 1; j < counts[i]; j++) {
            pd_process_start(fair_spawn(fair, &loop_behavior));
        }
        run_until_over(fair);
        qsort(fair->hops, HOPS, sizeof fair->hops[0], compare);
        assert_in_range(fair->hops[HOPS * 99 / 100], 0, hop_bound(counts[i]));
        fair_close(fair);
        free(fair);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_seed_is_one_history),
        cmocka_unit_test(no_memory_at_any_point),
        cmocka_unit_test(kill_reaches_one_that_never_waits),
        cmocka_unit_test(wakes_come_in_time),
        cmocka_unit_test(without_memory_for_a_clock_it_ends),
        cmocka_unit_test(a_conversation_beside_endless_loops),
        cmocka_unit_test(who_is_woken_from_outside_waits_no_longer_than_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
