/* Random lives on real threads, for TSan and ASan: whoever was monitored is told of exactly once,
 * nobody is lost or stuck, and nothing is left. Interleavings are the machine's, so no seed
 * replays them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "actor/environment.h"
#include "actor/mailbox.h"
#include "actor/runtime.h"
#include "base/alloc.h"
#include "base/random.h"
#include "host/real.h"

#define THREADS 4u
#define LIVES_DEFAULT 20000u /* PD_TEST_LIVES for more */
#define LIVE_AT_ONCE 200u
#define TURNS 30u
#define WATCHERS 4u
#define LAST 0u /* a watcher's last message: no pid */
#define LIMIT_S 200

struct world {
    struct pd_real_host *host;
    struct pd_runtime runtime;
    struct pd_environment *environment;
    uint64_t watchers[WATCHERS];
    atomic_uint_least64_t made;
    atomic_uint_least64_t destroyed;
    atomic_uint_least64_t asked; /* monitors of the watchers */
    atomic_uint_least64_t told;  /* DOWN notices that they got */
    atomic_uint_least64_t lasts; /* LAST, that the watchers got */
    atomic_uint_least64_t wrong;
    uint64_t lives_max;
};

struct life {
    struct world *world;
    struct pd_random random;
    uint32_t turns_left;
};

static const struct pd_behavior life_behavior;

static bool spawn_life(struct world *world, struct pd_process *parent)
{
    uint64_t number = atomic_fetch_add(&world->made, 1);
    if (number >= world->lives_max) {
        atomic_fetch_sub(&world->made, 1);
        return false;
    }
    struct life *life = malloc(sizeof *life);
    pd_random_init(&life->random, number, "life");
    life->world = world;
    life->turns_left = TURNS;
    struct pd_process *process = NULL;
    if (life == NULL || pd_process_create(world->environment, parent == NULL ? 0 : parent->pid,
                                          &life_behavior, life, &process) != PD_OK) {
        free(life);
        atomic_fetch_sub(&world->made, 1);
        return false;
    }
    process->trapping = (uint8_t)(number % 3);
    if (parent != NULL && number % 2 == 0) {
        (void)!pd_process_link_child(parent, process, number);
    }
    pd_process_start(process);
    return true;
}

static void send_to(struct pd_process *self, uint64_t pid, uint64_t tag)
{
    struct pd_message *message = pd_message_create(tag, 16);
    if (message != NULL && pd_process_send_waiting(self, pid, message) != PD_OK) {
        pd_message_destroy(message);
    }
}

static uint64_t some_pid(struct life *life)
{
    uint64_t made = atomic_load(&life->world->made);
    uint64_t window = made < 2 * LIVE_AT_ONCE ? made : 2 * LIVE_AT_ONCE;
    return WATCHERS + made - pd_random_below(&life->random, window); /* never a watcher's */
}

static enum pd_resume_result live(struct pd_process *self, uint32_t *cost_out)
{
    struct life *life = self->data;
    struct world *world = life->world;
    struct pd_runtime *runtime = &world->runtime;
    *cost_out = 100;
    (void)pd_process_drain(self);
    pd_message_destroy(pd_process_take(self, NULL, 0));
    if (life->turns_left-- == 0) {
        return PD_RESUME_EXIT;
    }
    uint64_t pid = some_pid(life);
    uint64_t id = 0;
    struct pd_message *message = NULL;
    switch (pd_random_below(&life->random, 12)) {
    case 0:
    case 1:
        send_to(self, pid, 1);
        break;
    case 2:
        (void)!pd_process_link(self, pid, 5);
        break;
    case 3:
        pd_process_unlink(self, pid);
        break;
    case 4:
        (void)!pd_process_monitor(self, pid, pd_runtime_new_ref(runtime));
        break;
    case 5:
        pd_process_exit_signal(self, pid, (enum pd_exit_reason)pd_random_below(&life->random, 4),
                               NULL);
        break;
    case 6:
        pd_process_wake_at(self,
                           pd_host_now_ns(runtime->host) + pd_random_below(&life->random, 100000));
        return PD_RESUME_WAIT;
    case 7:
        message = pd_message_create(2, 0);
        if (message != NULL && pd_runtime_send_at(runtime, world->environment, pid, message,
                                                  pd_host_now_ns(runtime->host) +
                                                      pd_random_below(&life->random, 50000),
                                                  &id) != PD_OK) {
            pd_message_destroy(message);
        } else if (message != NULL && id % 2 == 0) {
            (void)pd_runtime_cancel_send(runtime, id);
        }
        break;
    case 8: /* a watcher shall see how it goes on with somebody */
        send_to(self, world->watchers[pid % WATCHERS], pid);
        break;
    case 9:
        (void)spawn_life(world, self);
        break;
    case 10:
        pd_process_wake_at(self, pd_host_now_ns(runtime->host) + 20000);
        return PD_RESUME_WAIT;
    default:
        break;
    }
    return PD_RESUME_YIELD;
}

static void end_life(struct pd_process *process)
{
    struct life *life = process->data;
    atomic_fetch_add(&life->world->destroyed, 1);
    free(life);
}

static const struct pd_behavior life_behavior = {
    .name = "life", .resume = live, .destroy = end_life};

/* Monitors whom it is told to, and counts what comes back. */
static enum pd_resume_result watch(struct pd_process *self, uint32_t *cost_out)
{
    struct world *world = self->data;
    *cost_out = 10;
    (void)pd_process_drain(self);
    struct pd_message *message = NULL;
    while ((message = pd_process_take(self, NULL, 0)) != NULL) {
        if (message->kind == PD_MESSAGE_DATA && message->tag == LAST) {
            atomic_fetch_add(&world->lasts, 1);
        } else if (message->kind == PD_MESSAGE_DATA) {
            if (pd_process_monitor(self, message->tag, pd_runtime_new_ref(&world->runtime)) ==
                PD_OK) {
                atomic_fetch_add(&world->asked, 1);
            }
        } else if (message->kind == PD_MESSAGE_DOWN) {
            atomic_fetch_add(&world->told, 1);
        } else if (message->kind != PD_MESSAGE_LINK_DIED) {
            atomic_fetch_add(&world->wrong, 1);
        }
        pd_message_destroy(message);
    }
    return PD_RESUME_WAIT;
}

static void end_watch(struct pd_process *process)
{
    (void)process;
}

static const struct pd_behavior watch_behavior = {
    .name = "watch", .resume = watch, .destroy = end_watch};

static void start_watchers(struct world *world)
{
    for (uint32_t i = 0; i < WATCHERS; i++) {
        struct pd_process *process = NULL;
        assert_int_equal(pd_process_create(world->environment, 0, &watch_behavior, world, &process),
                         PD_OK);
        process->trapping = PD_TRAP_ALL;
        world->watchers[i] = process->pid;
        pd_process_start(process);
    }
}

static void pause_ms(long ms)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* Kill from outside: lives may wait for room in each other's mailboxes for ever. */
static void kill_lives(struct world *world)
{
    for (uint32_t slot = 0; slot < world->environment->capacity; slot++) {
        struct pd_process *process = pd_environment_at(world->environment, slot);
        uint64_t pid = process == NULL ? 0 : pd_mailbox_pid(process);
        if (pid > WATCHERS) {
            (void)!pd_mailbox_kill(world->environment, pid, PD_EXIT_KILLED, NULL);
        }
    }
}

static void wait_until_left(struct world *world, uint64_t count)
{
    time_t until = time(NULL) + LIMIT_S;
    while (atomic_load(&world->runtime.process_count) > count) {
        assert_true(time(NULL) < until);
        pause_ms(1);
        kill_lives(world);
    }
}

/* Nobody is left to ask a watcher anything: what it was asked stands before this. */
static void let_watchers_finish(struct world *world)
{
    time_t until = time(NULL) + LIMIT_S;
    for (uint32_t i = 0; i < WATCHERS; i++) {
        struct pd_message *last = pd_message_create(LAST, 0);
        assert_non_null(last);
        while (pd_mailbox_post(world->environment, world->watchers[i], last) != PD_OK) {
            assert_true(time(NULL) < until); /* it has no room yet */
            pause_ms(1);
        }
    }
    while (atomic_load(&world->lasts) < WATCHERS) {
        assert_true(time(NULL) < until);
        pause_ms(1);
    }
}

static void random_lives(void **state)
{
    (void)state;
    struct world *world = calloc(1, sizeof *world);
    const char *lives = getenv("PD_TEST_LIVES");
    world->lives_max = lives == NULL ? LIVES_DEFAULT : strtoull(lives, NULL, 10);
    struct pd_runtime_config config = pd_runtime_config_default();
    config.scheduler_count = THREADS;
    config.processes_max = 4096;
    config.messages_max = 8;
    config.signals_max = 8;
    assert_int_equal(pd_real_host_create(1, 16, &world->host), PD_OK);
    assert_int_equal(
        pd_runtime_init(&world->runtime, pd_real_host_interface(world->host), &config, NULL),
        PD_OK);
    assert_int_equal(pd_environment_create(&world->runtime, 1, &world->environment), PD_OK);
    start_watchers(world);
    assert_int_equal(pd_runtime_start(&world->runtime), PD_OK);
    uint32_t pauses = 0;
    while (atomic_load(&world->made) < world->lives_max) {
        if (atomic_load(&world->runtime.process_count) < LIVE_AT_ONCE) {
            (void)spawn_life(world, NULL);
            continue;
        }
        pause_ms(1);
        if (++pauses % 16 == 0) {
            kill_lives(world);
        }
    }
    wait_until_left(world, WATCHERS);
    let_watchers_finish(world);
    /* Every question was answered, now that nobody is left to wait for. */
    time_t until = time(NULL) + LIMIT_S;
    while (atomic_load(&world->told) != atomic_load(&world->asked)) {
        assert_true(time(NULL) < until);
        pause_ms(1);
    }
    for (uint32_t i = 0; i < WATCHERS; i++) {
        assert_int_equal(
            pd_mailbox_kill(world->environment, world->watchers[i], PD_EXIT_KILLED, NULL), PD_OK);
    }
    wait_until_left(world, 0);
    assert_int_equal(atomic_load(&world->made), atomic_load(&world->destroyed));
    assert_int_equal(atomic_load(&world->told), atomic_load(&world->asked));
    assert_int_equal(atomic_load(&world->wrong), 0);
    assert_true(atomic_load(&world->told) > world->lives_max / 10);
    pd_runtime_stop(&world->runtime);
    pd_environment_destroy(world->environment);
    pd_runtime_deinit(&world->runtime);
    pd_real_host_destroy(world->host);
    free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_lives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
