/* The sockets of guests with their threads, and without the one that listens, where the test polls
 * instead: waits that end by events and by cancelling. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/host.h"
#include "host/sockets_internal.h"
#include "support/effort.h"

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t is_woken;
    uint32_t wakes;
    struct pd_sockets *polled; /* by whoever awaits; or NULL */
};

static void waiter_init(struct waiter *waiter)
{
    *waiter = (struct waiter){.wakes = 0};
    assert_int_equal(pthread_mutex_init(&waiter->lock, NULL), 0);
    assert_int_equal(pthread_cond_init(&waiter->is_woken, NULL), 0);
}

static void wake(void *process)
{
    struct waiter *waiter = process;
    (void)pthread_mutex_lock(&waiter->lock);
    waiter->wakes++;
    (void)pthread_cond_broadcast(&waiter->is_woken);
    (void)pthread_mutex_unlock(&waiter->lock);
}

/* Until it was woken; the count begins anew. */
static void await(struct waiter *waiter)
{
    (void)pthread_mutex_lock(&waiter->lock);
    while (waiter->wakes == 0) {
        if (waiter->polled == NULL) {
            (void)pthread_cond_wait(&waiter->is_woken, &waiter->lock);
            continue;
        }
        (void)pthread_mutex_unlock(&waiter->lock);
        waiter->polled->ops->poll(waiter->polled, PD_TIME_NEVER);
        (void)pthread_mutex_lock(&waiter->lock);
    }
    waiter->wakes = 0;
    (void)pthread_mutex_unlock(&waiter->lock);
}

struct fixture {
    struct pd_real_sockets *real;
    struct pd_sockets *sockets;
    struct waiter waiter;
};

static int setup(void **state)
{
    static struct fixture f;
    waiter_init(&f.waiter);
    assert_int_equal(pd_real_sockets_create(false, &f.real), PD_OK);
    f.sockets = pd_real_sockets_interface(f.real);
    f.sockets->wake = wake;
    *state = &f;
    return 0;
}

static int setup_polled(void **state)
{
    (void)setup(state);
    struct fixture *f = *state;
    f->sockets->is_polled = true;
    f->waiter.polled = f->sockets;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(pd_real_sockets_count(f->real), 0);
    pd_real_sockets_destroy(f->real);
    (void)pthread_cond_destroy(&f->waiter.is_woken);
    (void)pthread_mutex_destroy(&f->waiter.lock);
    return 0;
}

static const struct pd_socket_address loopback = {
    .ip = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};

static struct pd_socket_wait wait_of(struct waiter *waiter, uint32_t events)
{
    struct pd_socket_wait wait = {.process = waiter, .events = events};
    return wait;
}

/* Wait until the socket is ready for it. */
static void wait_for(struct fixture *f, struct pd_socket *socket, uint32_t events)
{
    struct pd_socket_wait wait = wait_of(&f->waiter, events);
    pd_list_init(&wait.node);
    assert_int_equal(f->sockets->ops->wait(socket, &wait), 0);
    await(&f->waiter);
    f->sockets->ops->cancel(socket, &wait);
}

static struct pd_socket *listen_here(struct fixture *f, struct pd_socket_address *address)
{
    struct pd_socket *listener = NULL;
    assert_int_equal(f->sockets->ops->listen(f->sockets, 1, &loopback, true, &listener), 0);
    assert_int_equal(f->sockets->ops->local_address(listener, address), 0);
    return listener;
}

/* Both ends of a connection. */
static void connect_pair(struct fixture *f, struct pd_socket *ends[2])
{
    struct pd_socket_address address;
    struct pd_socket_address peer;
    struct pd_socket *listener = listen_here(f, &address);
    assert_int_equal(f->sockets->ops->connect(f->sockets, 1, &address, &ends[0]), 0);
    int error = PD_SOCKET_AGAIN;
    while ((error = f->sockets->ops->accept(listener, &ends[1], &peer)) == PD_SOCKET_AGAIN) {
        wait_for(f, listener, PD_SOCKET_READABLE);
    }
    assert_int_equal(error, 0);
    while ((error = f->sockets->ops->connected(ends[0])) == PD_SOCKET_AGAIN) {
        wait_for(f, ends[0], PD_SOCKET_WRITABLE);
    }
    assert_int_equal(error, 0);
    f->sockets->ops->close(listener);
}

static void nothing_opened_starts_no_thread(void **state)
{
    (void)state; /* teardown destroys what never began */
}

static void a_reader_is_woken_by_a_writer_and_by_the_end(void **state)
{
    struct fixture *f = *state;
    struct pd_socket *ends[2];
    connect_pair(f, ends);
    uint8_t bytes[8];
    size_t count = 0;
    assert_int_equal(f->sockets->ops->read(ends[1], bytes, 8, false, &count), PD_SOCKET_AGAIN);
    struct pd_socket_wait wait = wait_of(&f->waiter, PD_SOCKET_READABLE);
    pd_list_init(&wait.node);
    assert_int_equal(f->sockets->ops->wait(ends[1], &wait), 0);
    assert_int_equal(f->sockets->ops->wait(ends[1], &wait), 0); /* it waits already */
    const struct pd_span part = {.bytes = (const uint8_t *)"abc", .size = 3};
    assert_int_equal(f->sockets->ops->write(ends[0], &part, 1, &count), 0);
    await(&f->waiter);
    assert_false(pd_list_is_linked(&wait.node));
    assert_int_equal(f->sockets->ops->read(ends[1], bytes, 8, true, &count), 0);
    assert_int_equal(count, 3);
    assert_int_equal(f->sockets->ops->read(ends[1], bytes, 8, false, &count), 0);
    assert_memory_equal(bytes, "abc", 3);
    f->sockets->ops->close(ends[0]);
    wait_for(f, ends[1], PD_SOCKET_READABLE);
    assert_int_equal(f->sockets->ops->read(ends[1], bytes, 8, false, &count), 0);
    assert_int_equal(count, 0);
    f->sockets->ops->close(ends[1]);
}

/* One that reads and one that writes wait at the same socket; each is woken for its own reason. */
static void two_can_wait_for_different_things(void **state)
{
    struct fixture *f = *state;
    struct pd_socket *ends[2];
    struct waiter writer;
    waiter_init(&writer);
    writer.polled = f->waiter.polled;
    connect_pair(f, ends);
    struct pd_socket_wait reads = wait_of(&f->waiter, PD_SOCKET_READABLE);
    struct pd_socket_wait writes = wait_of(&writer, PD_SOCKET_WRITABLE);
    pd_list_init(&reads.node);
    pd_list_init(&writes.node);
    assert_int_equal(f->sockets->ops->wait(ends[1], &reads), 0);
    assert_int_equal(f->sockets->ops->wait(ends[1], &writes), 0);
    await(&writer); /* there is room at once */
    size_t count = 0;
    const struct pd_span part = {.bytes = (const uint8_t *)"x", .size = 1};
    assert_int_equal(f->sockets->ops->write(ends[0], &part, 1, &count), 0);
    await(&f->waiter); /* the first wait outlived the second */
    f->sockets->ops->cancel(ends[1], &reads);
    f->sockets->ops->cancel(ends[1], &writes);
    f->sockets->ops->close(ends[0]);
    f->sockets->ops->close(ends[1]);
    (void)pthread_cond_destroy(&writer.is_woken);
    (void)pthread_mutex_destroy(&writer.lock);
}

/* Events, cancelling, closing and opening anew race with each other: the wait is in memory that is
 * filled with rubbish as soon as cancel returned. */
static void cancelled_waits_are_never_touched_again(void **state)
{
    struct fixture *f = *state;
    uint32_t rounds = PD_TEST_EFFORT(3000, 300);
    for (uint32_t i = 0; i < rounds; i++) {
        struct pd_socket *ends[2];
        struct pd_socket_address address;
        struct pd_socket *near = NULL;
        struct pd_socket *far = NULL;
        assert_int_equal(f->sockets->ops->datagram_open(f->sockets, 1, &loopback, true, &near), 0);
        assert_int_equal(f->sockets->ops->local_address(near, &address), 0);
        assert_int_equal(f->sockets->ops->datagram_open(f->sockets, 1, &loopback, true, &far), 0);
        ends[0] = far;
        ends[1] = near;
        struct pd_socket_wait wait = wait_of(&f->waiter, PD_SOCKET_READABLE);
        pd_list_init(&wait.node);
        assert_int_equal(f->sockets->ops->wait(ends[1], &wait), 0);
        size_t count = 0;
        assert_int_equal(
            f->sockets->ops->datagram_send(ends[0], (const uint8_t *)"x", 1, &address, &count), 0);
        f->sockets->ops->cancel(ends[1], &wait);
        memset(&wait, 0xDD, sizeof wait);
        f->sockets->ops->close(ends[1]);
        f->sockets->ops->close(ends[0]);
    }
}

static void write_text(struct fixture *f, struct pd_socket *socket, const char *text)
{
    const struct pd_span part = {.bytes = (const uint8_t *)text, .size = strlen(text)};
    size_t count = 0;
    assert_int_equal(f->sockets->ops->write(socket, &part, 1, &count), 0);
    assert_int_equal(count, part.size);
}

/* What there is, at most `size` bytes; it need not be waited for. */
static void expect_text(struct fixture *f, struct pd_socket *socket, size_t size, bool is_peek,
                        const char *text)
{
    uint8_t bytes[64];
    size_t count = 0;
    assert_int_equal(f->sockets->ops->read(socket, bytes, size, is_peek, &count), 0);
    assert_int_equal(count, strlen(text));
    assert_memory_equal(bytes, text, count);
}

static void expect_nothing(struct fixture *f, struct pd_socket *socket)
{
    uint8_t byte = 0;
    size_t count = 0;
    assert_int_equal(f->sockets->ops->read(socket, &byte, 1, false, &count), PD_SOCKET_AGAIN);
}

static bool may_read(struct fixture *f, struct pd_socket *socket)
{
    return f->sockets->ops->may_be_ready(socket, PD_SOCKET_READABLE);
}

/* Let what has happened be told. */
static void poll_all(struct fixture *f)
{
    f->sockets->ops->poll(f->sockets, 0);
}

/* The event is told between an attempt that finds nothing and the wait for it. */
static void an_event_before_the_wait_is_not_lost(void **state)
{
    struct fixture *f = *state;
    struct pd_socket *ends[2];
    connect_pair(f, ends);
    wait_for(f, ends[1], PD_SOCKET_WRITABLE); /* to try */
    expect_nothing(f, ends[1]);
    struct pd_socket_wait wait = wait_of(&f->waiter, PD_SOCKET_READABLE);
    pd_list_init(&wait.node);
    assert_int_equal(f->sockets->ops->wait(ends[1], &wait), 0);
    assert_true(pd_list_is_linked(&wait.node));
    f->sockets->ops->cancel(ends[1], &wait);
    write_text(f, ends[0], "early");
    poll_all(f); /* nobody waits for it */
    assert_int_equal(f->waiter.wakes, 0);
    assert_int_equal(f->sockets->ops->wait(ends[1], &wait), 0);
    assert_false(pd_list_is_linked(&wait.node));
    await(&f->waiter);
    expect_text(f, ends[1], 64, false, "early");
    /* And one that is told while an attempt is under way. */
    expect_nothing(f, ends[1]);
    uint32_t then = pd_socket_readiness(ends[1]);
    write_text(f, ends[0], "late");
    poll_all(f);
    pd_socket_is_dry(ends[1], PD_SOCKET_READABLE, then);
    assert_true(may_read(f, ends[1]));
    f->sockets->ops->close(ends[0]);
    f->sockets->ops->close(ends[1]);
}

/* What is known of a socket spares attempts, and never hides anything. */
static void a_short_read_needs_no_second_one(void **state)
{
    struct fixture *f = *state;
    struct pd_socket *ends[2];
    connect_pair(f, ends);
    assert_true(may_read(f, ends[1])); /* nobody knows yet */
    expect_nothing(f, ends[1]);
    assert_false(may_read(f, ends[1]));
    struct pd_socket_wait wait = wait_of(&f->waiter, PD_SOCKET_READABLE);
    pd_list_init(&wait.node);
    assert_int_equal(f->sockets->ops->wait(ends[1], &wait), 0);
    write_text(f, ends[0], "abcdef");
    await(&f->waiter);
    assert_true(may_read(f, ends[1]));
    expect_text(f, ends[1], 64, true, "abcdef");
    assert_true(may_read(f, ends[1])); /* it was only peeked at */
    expect_text(f, ends[1], 3, false, "abc");
    assert_true(may_read(f, ends[1]));
    expect_text(f, ends[1], 64, false, "def");
    assert_false(may_read(f, ends[1]));
    /* The last bytes and the end come at once: the end is no event of its own any more. */
    assert_int_equal(f->sockets->ops->wait(ends[1], &wait), 0);
    write_text(f, ends[0], "last");
    f->sockets->ops->close(ends[0]);
    await(&f->waiter);
    expect_text(f, ends[1], 64, false, "last");
    wait_for(f, ends[1], PD_SOCKET_READABLE);
    expect_text(f, ends[1], 64, false, "");
    wait_for(f, ends[1], PD_SOCKET_READABLE);
    expect_text(f, ends[1], 64, false, "");
    f->sockets->ops->close(ends[1]);
}

/* A read stops at an urgent byte, with more behind it. */
static void urgent_bytes_hide_nothing(void **state)
{
    struct fixture *f = *state;
    struct pd_socket *ends[2];
    connect_pair(f, ends);
    expect_nothing(f, ends[1]);
    struct pd_socket_wait wait = wait_of(&f->waiter, PD_SOCKET_READABLE);
    pd_list_init(&wait.node);
    assert_int_equal(f->sockets->ops->wait(ends[1], &wait), 0);
    write_text(f, ends[0], "ab");
    assert_int_equal(send(ends[0]->descriptor, "!", 1, MSG_OOB), 1);
    write_text(f, ends[0], "cd");
    await(&f->waiter);
    expect_text(f, ends[1], 64, false, "ab");
    wait_for(f, ends[1], PD_SOCKET_READABLE);
    expect_text(f, ends[1], 64, false, "cd");
    f->sockets->ops->close(ends[0]);
    f->sockets->ops->close(ends[1]);
}

/* One who polls returns when it is told to, however often; and at its time. */
static void polling_can_be_interrupted(void **state)
{
    struct fixture *f = *state;
    struct pd_socket_address address;
    assert_false(atomic_load(&f->sockets->is_open));
    struct pd_socket *listener = listen_here(f, &address);
    assert_true(atomic_load(&f->sockets->is_open));
    for (int i = 0; i < 3; i++) {
        f->sockets->ops->interrupt(f->sockets);
        f->sockets->ops->interrupt(f->sockets);
        f->sockets->ops->poll(f->sockets, PD_TIME_NEVER);
    }
    f->sockets->ops->poll(f->sockets, 1);
    f->sockets->ops->poll(f->sockets, 2000000);
    assert_int_equal(f->waiter.wakes, 0);
    f->sockets->ops->close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_opened_starts_no_thread, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reader_is_woken_by_a_writer_and_by_the_end, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(two_can_wait_for_different_things, setup, teardown),
        cmocka_unit_test_setup_teardown(cancelled_waits_are_never_touched_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reader_is_woken_by_a_writer_and_by_the_end, setup_polled,
                                        teardown),
        cmocka_unit_test_setup_teardown(two_can_wait_for_different_things, setup_polled, teardown),
        cmocka_unit_test_setup_teardown(an_event_before_the_wait_is_not_lost, setup_polled,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_short_read_needs_no_second_one, setup_polled, teardown),
        cmocka_unit_test_setup_teardown(urgent_bytes_hide_nothing, setup_polled, teardown),
        cmocka_unit_test_setup_teardown(polling_can_be_interrupted, setup_polled, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
