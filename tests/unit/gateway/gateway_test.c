/* The gateway's sockets: a peer that asks and does not read. */
#include "gateway/gateway.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MILLISECOND_NS UINT64_C(1000000)
#define WAIT_MS 30000 /* until it is a failure */

/* -- A node that is asked nothing -------------------------------------------------------------- */

static uint64_t now_ns(const struct pd_backend *backend)
{
    (void)backend;
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 * MILLISECOND_NS + (uint64_t)now.tv_nsec;
}

static void attach(struct pd_backend *backend, const struct pd_backend_events *events)
{
    (void)backend;
    (void)events;
}

static enum pd_status submit(struct pd_backend *backend, uint64_t correlation,
                             const struct pd_backend_request *request)
{
    (void)backend;
    (void)correlation;
    (void)request;
    return PD_ERR_FULL;
}

static void cancel(struct pd_backend *backend, uint64_t correlation, enum pd_backend_kind kind)
{
    (void)backend;
    (void)correlation;
    (void)kind;
}

static void credit(struct pd_backend *backend, uint64_t correlation, uint32_t bytes,
                   bool wants_progress)
{
    (void)backend;
    (void)correlation;
    (void)bytes;
    (void)wants_progress;
}

static uint64_t deadline_ns(const struct pd_backend *backend)
{
    (void)backend;
    return UINT64_MAX;
}

static void expire(struct pd_backend *backend, uint64_t now)
{
    (void)backend;
    (void)now;
}

static void nothing(struct pd_backend *backend)
{
    (void)backend;
}

static const struct pd_backend_ops ops = {.attach = attach,
                                          .submit = submit,
                                          .cancel = cancel,
                                          .credit = credit,
                                          .drain = nothing,
                                          .deadline_ns = deadline_ns,
                                          .expire = expire,
                                          .detach = nothing};
static struct pd_backend backend = {.ops = &ops, .now_ns = now_ns};

static void *serve(void *argument)
{
    pd_gateway_run(argument);
    return NULL;
}

/* -- The peer ---------------------------------------------------------------------------------- */

/* One that sends without waiting, and for which the system keeps little. */
static int dial(uint16_t port)
{
    int small = 4096;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(peer >= 0);
    assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    assert_int_equal(connect(peer, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(fcntl(peer, F_SETFL, O_NONBLOCK), 0);
    return peer;
}

/* Asks for pages and reads none, until the gateway has had enough. */
static bool is_hung_up_on(int peer)
{
    static const char ask[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    size_t at = 0;
    struct pollfd waits = {.fd = peer, .events = POLLOUT};
    while (poll(&waits, 1, WAIT_MS) > 0) {
        ssize_t sent = send(peer, ask + at, sizeof ask - 1 - at, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) {
            return true;
        }
        at = sent < 0 ? at : (at + (size_t)sent) % (sizeof ask - 1);
    }
    return false;
}

static void who_takes_nothing_is_left(void **state)
{
    (void)state;
    char text[PD_GATEWAY_TEXT_MAX];
    struct pd_gateway *gateway = NULL;
    struct pd_gateway_counters counters;
    pthread_t thread;
    struct pd_gateway_config config = pd_gateway_config_default();
    config.port = 0;
    config.stall_ns = 50 * MILLISECOND_NS;
    config.service.backend = &backend;
    assert_int_equal(pd_gateway_open(&config, text, &gateway), PD_OK);
    assert_int_equal(pthread_create(&thread, NULL, serve, gateway), 0);
    int peer = dial(pd_gateway_port(gateway));
    bool is_left = is_hung_up_on(peer);
    pd_gateway_stop(gateway);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(close(peer), 0);
    pd_gateway_counters(gateway, &counters);
    pd_gateway_close(gateway);
    assert_true(is_left);
    assert_int_equal(counters.connections, 1);
    assert_int_equal(counters.connections_broken, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_takes_nothing_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
