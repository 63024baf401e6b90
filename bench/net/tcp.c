/* The raw limit beside it: the same messages over one TCP connection, each side a thread that waits
 * in poll. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "bench.h"

static bool wait_for(int file, short events)
{
    struct pollfd one = {.fd = file, .events = events};
    return poll(&one, 1, -1) == 1;
}

static bool read_all(int file, uint8_t *bytes, size_t size)
{
    while (size > 0 && wait_for(file, POLLIN)) {
        ssize_t got = recv(file, bytes, size, MSG_DONTWAIT);
        if (got <= 0) {
            return false;
        }
        bytes += got;
        size -= (size_t)got;
    }
    return size == 0;
}

static bool write_all(int file, const uint8_t *bytes, size_t size)
{
    while (size > 0 && wait_for(file, POLLOUT)) {
        ssize_t put = send(file, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put < 0) {
            return false;
        }
        bytes += put;
        size -= (size_t)put;
    }
    return size == 0;
}

/* Sends back what comes, as much at once as there is; after the echoes it only swallows. */
struct far_end {
    int file;
    uint64_t echo_bytes;
    uint64_t bulk_bytes;
};

static void *serve(void *argument)
{
    static uint8_t room[BULK_BYTES];
    struct far_end *far_end = argument;
    for (uint64_t left = far_end->echo_bytes; left > 0 && wait_for(far_end->file, POLLIN);) {
        size_t most = left < 65536 ? (size_t)left : 65536;
        ssize_t got = recv(far_end->file, room, most, MSG_DONTWAIT);
        if (got <= 0 || !write_all(far_end->file, room, (size_t)got)) {
            return NULL;
        }
        left -= (uint64_t)got;
    }
    for (uint64_t left = far_end->bulk_bytes; left > 0; left -= BULK_BYTES) {
        if (!read_all(far_end->file, room, BULK_BYTES)) {
            return NULL;
        }
    }
    (void)write_all(far_end->file, room, 1);
    return NULL;
}

static void connect_both(int ends[2])
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof name;
    int yes = 1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pd_assert(bind(listener, (struct sockaddr *)&name, sizeof name) == 0);
    pd_assert(listen(listener, 1) == 0);
    pd_assert(getsockname(listener, (struct sockaddr *)&name, &size) == 0);
    ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pd_assert(connect(ends[0], (struct sockaddr *)&name, sizeof name) == 0);
    ends[1] = accept(listener, NULL, NULL);
    for (uint32_t i = 0; i < 2; i++) {
        (void)setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    }
    (void)close(listener);
}

static uint64_t cpu_ns(struct pd_host *host)
{
    return host->ops->cpu_ns(host, PD_CPU_PROCESS);
}

static void measure_echo(struct pd_host *host, int file, uint32_t count, struct result *result)
{
    static uint64_t times_ns[1000000];
    uint8_t bytes[ECHO_BYTES] = {0};
    uint64_t began_cpu_ns = cpu_ns(host);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t began_ns = pd_host_now_ns(host);
        pd_assert(write_all(file, bytes, sizeof bytes));
        pd_assert(read_all(file, bytes, sizeof bytes));
        times_ns[i] = pd_host_now_ns(host) - began_ns;
    }
    result->cpu_us = (double)(cpu_ns(host) - began_cpu_ns) / 1e3 / count;
    result->p50_us = median_us(times_ns, count);
}

static void measure_busy(struct pd_host *host, int file, uint32_t count, struct result *result)
{
    static uint8_t bytes[BUSY_IN_FLIGHT * ECHO_BYTES];
    uint64_t began_ns = pd_host_now_ns(host);
    uint64_t began_cpu_ns = cpu_ns(host);
    for (uint32_t i = 0; i < count; i += BUSY_IN_FLIGHT) {
        for (uint32_t j = 0; j < BUSY_IN_FLIGHT; j++) { /* each one is a call, as with messages */
            pd_assert(write_all(file, bytes, ECHO_BYTES));
        }
        pd_assert(read_all(file, bytes, sizeof bytes));
    }
    result->busy_cpu_us = (double)(cpu_ns(host) - began_cpu_ns) / 1e3 / count;
    result->busy_per_s = count / ((double)(pd_host_now_ns(host) - began_ns) / 1e9);
}

static void measure_bulk(struct pd_host *host, int file, uint32_t count, struct result *result)
{
    static uint8_t bytes[BULK_BYTES];
    uint64_t began_ns = pd_host_now_ns(host);
    uint64_t began_cpu_ns = cpu_ns(host);
    for (uint32_t i = 0; i < count; i++) {
        pd_assert(write_all(file, bytes, sizeof bytes));
    }
    pd_assert(read_all(file, bytes, 1));
    double whole = (double)count * BULK_BYTES;
    result->bulk_cpu_ns = (double)(cpu_ns(host) - began_cpu_ns) / whole;
    result->bulk_mb_per_s = whole / 1e6 / ((double)(pd_host_now_ns(host) - began_ns) / 1e9);
}

void measure_tcp(struct pd_host *host, const struct rounds *rounds, struct result *result_out)
{
    int ends[2];
    pthread_t thread;
    connect_both(ends);
    struct far_end far_end = {
        .file = ends[1],
        .echo_bytes = ((uint64_t)rounds->echoes + rounds->busy) * ECHO_BYTES,
        .bulk_bytes = (uint64_t)rounds->bulk * BULK_BYTES,
    };
    pd_assert(pthread_create(&thread, NULL, serve, &far_end) == 0);
    measure_echo(host, ends[0], rounds->echoes, result_out);
    measure_busy(host, ends[0], rounds->busy, result_out);
    measure_bulk(host, ends[0], rounds->bulk, result_out);
    (void)pthread_join(thread, NULL);
    (void)close(ends[0]);
    (void)close(ends[1]);
}
