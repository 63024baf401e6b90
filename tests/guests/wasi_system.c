/* wasi_system - arguments, environment, clocks, sleeping, polling, entropy and the input through
 * wasi-libc. Wants the arguments "one" and "two words", PANDO_TEST=yes in the environment, and
 * "line one\nline two\n" as its input. Ends with exit code 7 after "OK all", by exit() in a
 * function called at exit. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("FAILED line %d: %s (errno %d: %s)\n", __LINE__, #condition, errno,             \
                   strerror(errno));                                                               \
            _Exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static long long nanoseconds(clockid_t clock)
{
    struct timespec now;
    CHECK(clock_gettime(clock, &now) == 0);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void clocks(void)
{
    long long before = nanoseconds(CLOCK_MONOTONIC);
    struct timespec nap = {.tv_nsec = 20000000};
    CHECK(nanosleep(&nap, NULL) == 0);
    CHECK(nanoseconds(CLOCK_MONOTONIC) - before >= 20000000);
    CHECK(usleep(1000) == 0);
    struct timespec resolution;
    CHECK(clock_getres(CLOCK_REALTIME, &resolution) == 0);
    CHECK(clock_getres(CLOCK_MONOTONIC, &resolution) == 0);
    CHECK(resolution.tv_sec == 0 && resolution.tv_nsec > 0);
    CHECK(time(NULL) >= 0);
    CHECK(sched_yield() == 0);
    puts("OK clocks");
}

static void entropy(void)
{
    unsigned char one[64] = {0}, two[64] = {0};
    CHECK(getentropy(one, sizeof one) == 0 && getentropy(two, sizeof two) == 0);
    CHECK(memcmp(one, two, sizeof one) != 0);
    puts("OK entropy");
}

static void input(void)
{
    struct pollfd items[2] = {{.fd = 0, .events = POLLIN}, {.fd = 1, .events = POLLOUT}};
    CHECK(poll(items, 2, 5000) >= 1);
    CHECK((items[1].revents & POLLOUT) != 0);
    CHECK(poll(items, 1, 5000) == 1 && (items[0].revents & POLLIN) != 0);
    struct pollfd bad = {.fd = 99, .events = POLLIN};
    CHECK(poll(&bad, 1, 0) == 1 && (bad.revents & POLLNVAL) != 0);
    CHECK(poll(NULL, 0, 5) == 0 || errno == ENOTSUP || errno == EINVAL);
    char line[64];
    CHECK(fgets(line, sizeof line, stdin) != NULL && strcmp(line, "line one\n") == 0);
    CHECK(fgets(line, sizeof line, stdin) != NULL && strcmp(line, "line two\n") == 0);
    CHECK(fgets(line, sizeof line, stdin) == NULL && feof(stdin));
    puts("OK input");
}

static void at_exit(void)
{
    fputs("the end, without a newline", stdout);
}

int main(int argc, char **argv)
{
    CHECK(argc == 3 && strcmp(argv[1], "one") == 0 && strcmp(argv[2], "two words") == 0);
    puts("OK arguments");
    const char *value = getenv("PANDO_TEST");
    CHECK(value != NULL && strcmp(value, "yes") == 0);
    CHECK(getenv("HOME") == NULL);
    puts("OK environment");
    clocks();
    entropy();
    input();
    errno = 0;
    CHECK(open("/etc/passwd", O_RDONLY) == -1);
    puts("OK no directory");
    fputs("to the error stream\n", stderr);
    CHECK(atexit(at_exit) == 0);
    puts("OK all");
    exit(7);
}
