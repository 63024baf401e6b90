/* Scheduler threads that wait for sockets themselves, for TSan and ASan: bytes go to and fro
 * between processes while others are woken by timers, by messages and from outside, and some are
 * killed. A wake that is lost is a test that hangs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
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
#include "base/host_sockets.h"
#include "host/real.h"
#include "host/sockets.h"
#include "support/effort.h"

#define PAIRS 24u
#define ROUNDS PD_TEST_EFFORT(400u, 60u)
#define TICKS PD_TEST_EFFORT(200u, 50u)
#define TICK_NS 50000u
#define LIMIT_S 200
#define LONG_ROUNDS 20u

struct world {
    struct pd_real_host *host;
    struct pd_real_sockets *real;
    struct pd_sockets *sockets;
    struct pd_runtime runtime;
    struct pd_environment *environment;
    atomic_uint_least64_t bytes;    /* that were read */
    atomic_uint_least64_t messages; /* that the counter got */
    atomic_uint_least64_t wrong;
};

static void wake(void *process)
{
    pd_process_wake(process);
}

static void open_world(struct world *world, uint32_t threads)
{
    struct pd_runtime_config config = pd_runtime_config_default();
    config.scheduler_count = threads;
    config.processes_max = 256;
    assert_int_equal(pd_real_host_create(1, 16, &world->host), PD_OK);
    assert_int_equal(pd_real_sockets_create(false, &world->real), PD_OK);
    world->sockets = pd_real_sockets_interface(world->real);
    world->sockets->wake = wake;
    assert_int_equal(
        pd_runtime_init(&world->runtime, pd_real_host_interface(world->host), &config, NULL),
        PD_OK);
    assert_int_equal(pd_environment_create(&world->runtime, 1, &world->environment), PD_OK);
    pd_runtime_set_sockets(&world->runtime, world->sockets);
    assert_int_equal(pd_runtime_start(&world->runtime), PD_OK);
}

static void pause_shortly(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
}

/* Until so many processes are left. */
static void await_processes(struct world *world, uint64_t count)
{
    time_t until = time(NULL) + LIMIT_S;
    while (atomic_load(&world->runtime.process_count) > count) {
        assert_true(time(NULL) < until);
        pause_shortly();
    }
}

static void await_count(atomic_uint_least64_t *count, uint64_t wanted)
{
    time_t until = time(NULL) + LIMIT_S;
    while (atomic_load(count) < wanted) {
        assert_true(time(NULL) < until);
        pause_shortly();
    }
}

static void close_world(struct world *world)
{
    pd_runtime_stop(&world->runtime);
    assert_int_equal(atomic_load(&world->runtime.process_count), 0);
    assert_int_equal(atomic_load(&world->wrong), 0);
    pd_environment_destroy(world->environment);
    pd_runtime_deinit(&world->runtime);
    assert_int_equal(pd_real_sockets_count(world->real), 0);
    pd_real_sockets_destroy(world->real);
    pd_real_host_destroy(world->host);
}

static uint64_t spawn(struct world *world, const struct pd_behavior *behavior, void *data)
{
    struct pd_process *process = NULL;
    assert_int_equal(pd_process_create(world->environment, 0, behavior, data, &process), PD_OK);
    uint64_t pid = process->pid;
    pd_process_start(process);
    return pid;
}

/* --- Who reads and writes --------------------------------------------------------------------- */

struct end {
    struct world *world;
    struct pd_socket *socket;
    struct pd_socket_wait wait;
    uint32_t left; /* bytes to read */
};

static void write_byte(struct end *end)
{
    const struct pd_span part = {.bytes = (const uint8_t *)"x", .size = 1};
    size_t count = 0; /* an error: the other end is gone, as the next read says too */
    if (end->world->sockets->ops->write(end->socket, &part, 1, &count) == 0 && count != 1) {
        atomic_fetch_add(&end->world->wrong, 1);
    }
}

/* Answers each byte with one. */
static enum pd_resume_result answer(struct pd_process *self, uint32_t *cost_out)
{
    struct end *end = self->data;
    const struct pd_sockets_ops *ops = end->world->sockets->ops;
    *cost_out = 20;
    (void)pd_process_drain(self);
    for (;;) {
        uint8_t bytes[4];
        size_t count = 0;
        int error = ops->read(end->socket, bytes, sizeof bytes, false, &count);
        if (error == PD_SOCKET_AGAIN) {
            end->wait.process = self;
            end->wait.events = PD_SOCKET_READABLE;
            if (ops->wait(end->socket, &end->wait) != 0) {
                atomic_fetch_add(&end->world->wrong, 1);
            }
            return PD_RESUME_WAIT;
        }
        if (error != 0 || count == 0 || --end->left == 0) {
            return PD_RESUME_EXIT;
        }
        atomic_fetch_add(&end->world->bytes, count);
        write_byte(end);
    }
}

static void end_answering(struct pd_process *process)
{
    struct end *end = process->data;
    end->world->sockets->ops->cancel(end->socket, &end->wait);
    end->world->sockets->ops->close(end->socket);
    free(end);
}

static const struct pd_behavior answering = {
    .name = "answering", .resume = answer, .destroy = end_answering};

static struct end *end_create(struct world *world, struct pd_socket *socket)
{
    struct end *end = calloc(1, sizeof *end);
    assert_non_null(end);
    end->world = world;
    end->socket = socket;
    end->left = ROUNDS;
    pd_list_init(&end->wait.node);
    return end;
}

/* The test's own thread must not wait for events. */
static void connect_pair(struct world *world, struct pd_socket **near_out,
                         struct pd_socket **far_out)
{
    const struct pd_sockets_ops *ops = world->sockets->ops;
    struct pd_socket_address address = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
    struct pd_socket_address peer;
    struct pd_socket *listener = NULL;
    assert_int_equal(ops->listen(world->sockets, 1, &address, true, &listener), 0);
    assert_int_equal(ops->local_address(listener, &address), 0);
    assert_int_equal(ops->connect(world->sockets, 1, &address, near_out), 0);
    while (ops->accept(listener, far_out, &peer) == PD_SOCKET_AGAIN) {
        pause_shortly();
    }
    ops->close(listener);
}

/* Two who answer each other; the pid of one. */
static uint64_t spawn_pair(struct world *world)
{
    struct pd_socket *near = NULL;
    struct pd_socket *far = NULL;
    connect_pair(world, &near, &far);
    struct end *first = end_create(world, near);
    struct end *second = end_create(world, far);
    write_byte(first);
    uint64_t pid = spawn(world, &answering, first);
    (void)spawn(world, &answering, second);
    return pid;
}

/* --- Who is woken otherwise ------------------------------------------------------------------- */

struct ticker {
    uint32_t left;
};

static enum pd_resume_result tick(struct pd_process *self, uint32_t *cost_out)
{
    struct ticker *ticker = self->data;
    *cost_out = 1;
    (void)pd_process_drain(self);
    if (ticker->left-- == 0) {
        return PD_RESUME_EXIT;
    }
    pd_process_wake_at(self, pd_host_now_ns(self->environment->runtime->host) + TICK_NS);
    return PD_RESUME_WAIT;
}

static void end_ticking(struct pd_process *process)
{
    free(process->data);
}

static const struct pd_behavior ticking = {
    .name = "ticking", .resume = tick, .destroy = end_ticking};

/* Uses whole slices, so that it is not idle threads alone that look at the sockets. */
static enum pd_resume_result spin(struct pd_process *self, uint32_t *cost_out)
{
    struct ticker *ticker = self->data;
    *cost_out = 1000;
    (void)pd_process_drain(self);
    return ticker->left-- == 0 ? PD_RESUME_EXIT : PD_RESUME_YIELD;
}

static const struct pd_behavior spinning = {
    .name = "spinning", .resume = spin, .destroy = end_ticking};

static struct ticker *ticker_create(uint32_t count)
{
    struct ticker *ticker = calloc(1, sizeof *ticker);
    assert_non_null(ticker);
    ticker->left = count;
    return ticker;
}

static enum pd_resume_result count_messages(struct pd_process *self, uint32_t *cost_out)
{
    struct world *world = self->data;
    struct pd_message *message = NULL;
    *cost_out = 1;
    (void)pd_process_drain(self);
    while ((message = pd_process_take(self, NULL, 0)) != NULL) {
        atomic_fetch_add(&world->messages, 1);
        pd_message_destroy(message);
    }
    return PD_RESUME_WAIT;
}

static void end_counting(struct pd_process *process)
{
    (void)process;
}

static const struct pd_behavior counting = {
    .name = "counting", .resume = count_messages, .destroy = end_counting};

/* --- Who runs long ---------------------------------------------------------------------------- */

/* The first byte costs it a slice. In the turn of the second one it stays until somebody else has
 * read a byte. */
static enum pd_resume_result stay(struct pd_process *self, uint32_t *cost_out)
{
    struct end *end = self->data;
    const struct pd_sockets_ops *ops = end->world->sockets->ops;
    uint8_t byte = 0;
    size_t count = 0;
    *cost_out = 1;
    (void)pd_process_drain(self);
    if (ops->read(end->socket, &byte, 1, false, &count) == 0) {
        *cost_out = 100000;
        uint64_t others = atomic_load(&end->world->bytes);
        time_t until = time(NULL) + LIMIT_S / 10;
        bool is_last = atomic_fetch_add(&end->world->messages, 1) % 2 == 1;
        while (is_last && atomic_load(&end->world->bytes) == others) {
            if (time(NULL) >= until) {
                atomic_fetch_add(&end->world->wrong, 1);
                return PD_RESUME_EXIT;
            }
        }
        if (is_last) {
            return PD_RESUME_EXIT;
        }
    }
    end->wait.process = self;
    end->wait.events = PD_SOCKET_READABLE;
    (void)ops->wait(end->socket, &end->wait);
    return PD_RESUME_WAIT;
}

static const struct pd_behavior staying = {
    .name = "staying", .resume = stay, .destroy = end_answering};

static void send_byte(struct world *world, struct pd_socket *socket)
{
    const struct pd_span part = {.bytes = (const uint8_t *)"x", .size = 1};
    size_t count = 0;
    assert_int_equal(world->sockets->ops->write(socket, &part, 1, &count), 0);
    assert_int_equal(count, 1);
}

/* --- Tests ------------------------------------------------------------------------------------ */

static void everybody_is_woken(uint32_t threads)
{
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    open_world(world, threads);
    uint64_t counter = spawn(world, &counting, world);
    (void)spawn(world, &ticking, ticker_create(TICKS));
    (void)spawn(world, &spinning, ticker_create(TICKS));
    for (uint32_t i = 0; i < PAIRS; i++) {
        uint64_t pid = spawn_pair(world);
        if (i % 4 == 3) {
            (void)!pd_mailbox_kill(world->environment, pid, PD_EXIT_KILLED, NULL);
        }
    }
    await_processes(world, 1);
    assert_true(atomic_load(&world->bytes) >= PAIRS / 4 * 3 * (ROUNDS - 1));
    /* All threads sleep, or soon do, one of them at the sockets: what comes from outside reaches
     * them, now or at its time. */
    for (uint32_t i = 0; i < TICKS; i++) {
        struct pd_message *now = pd_message_create(1, 0);
        struct pd_message *later = pd_message_create(2, 0);
        uint64_t id = 0;
        assert_non_null(now);
        assert_non_null(later);
        assert_int_equal(pd_runtime_send_at(&world->runtime, world->environment, counter, later,
                                            pd_host_now_ns(world->runtime.host) + TICK_NS, &id),
                         PD_OK);
        assert_int_equal(pd_mailbox_post(world->environment, counter, now), PD_OK);
        await_count(&world->messages, 2 * (uint64_t)(i + 1));
    }
    assert_int_equal(pd_mailbox_kill(world->environment, counter, PD_EXIT_KILLED, NULL), PD_OK);
    await_processes(world, 0);
    close_world(world);
    free(world);
}

static void one_thread_runs_and_polls(void **state)
{
    (void)state;
    everybody_is_woken(1);
}

static void one_of_four_threads_polls(void **state)
{
    (void)state;
    everybody_is_woken(4);
}

/* The thread that polls runs who waits there. If that may take long another one polls meanwhile. */
static void a_long_turn_makes_no_socket_deaf(void **state)
{
    (void)state;
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    open_world(world, 2);
    for (uint32_t i = 0; i < LONG_ROUNDS; i++) {
        struct pd_socket *heavy[2] = {NULL, NULL};
        struct pd_socket *light[2] = {NULL, NULL};
        connect_pair(world, &heavy[0], &heavy[1]);
        connect_pair(world, &light[0], &light[1]);
        (void)spawn(world, &staying, end_create(world, heavy[1]));
        (void)spawn(world, &answering, end_create(world, light[1]));
        send_byte(world, heavy[0]);
        await_count(&world->messages, 2 * (uint64_t)i + 1);
        pause_shortly(); /* both threads find nothing to do: if not, there is nothing to see */
        send_byte(world, heavy[0]);
        await_count(&world->messages, 2 * (uint64_t)i + 2);
        send_byte(world, light[0]);
        await_count(&world->bytes, (uint64_t)i + 1);
        world->sockets->ops->close(heavy[0]);
        world->sockets->ops->close(light[0]);
        await_processes(world, 0);
    }
    close_world(world);
    free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_runs_and_polls),
        cmocka_unit_test(one_of_four_threads_polls),
        cmocka_unit_test(a_long_turn_makes_no_socket_deaf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
