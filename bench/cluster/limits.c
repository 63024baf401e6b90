/* raw-limits: what a durable put on several nodes rests on, with nothing of Pando in it.
 *
 *     raw-limits FOLDER SECONDS       prints "fdatasync_us P50 round_trip_us P50"
 *
 * One write of 4 KiB into a file that is there, and its fdatasync; and a datagram of 100 bytes to
 * another thread over the loopback and back, each side asleep in recv. In turns, so that a slow
 * moment of the machine strikes both. */
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096u
#define BLOCKS 4096u
#define DATAGRAM 100u
#define SAMPLES_MAX 1000000u
#define TURNS 10

struct samples {
    double us[SAMPLES_MAX];
    uint32_t count;
};

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void add(struct samples *samples, double us)
{
    if (samples->count < SAMPLES_MAX) {
        samples->us[samples->count++] = us;
    }
}

static int by_size(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median(struct samples *samples)
{
    qsort(samples->us, samples->count, sizeof samples->us[0], by_size);
    return samples->count == 0 ? 0 : samples->us[samples->count / 2];
}

/* -- The disk ---------------------------------------------------------------------------------- */

static int make_file(const char *folder, char *path, size_t path_max)
{
    static const uint8_t block[BLOCK];
    (void)snprintf(path, path_max, "%s/raw-limits-%ld", folder, (long)getpid());
    int file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    for (uint32_t i = 0; file >= 0 && i < BLOCKS; i++) {
        if (pwrite(file, block, BLOCK, (off_t)i * BLOCK) != BLOCK) {
            die(path);
        }
    }
    if (file < 0 || fsync(file) != 0) {
        die(path);
    }
    return file;
}

static void sync_for(int file, double end_us, struct samples *samples)
{
    static uint8_t block[BLOCK];
    static uint32_t next;
    double began_us = now_us();
    while (began_us < end_us) {
        memset(block, (int)(next & 0xff), sizeof block);
        if (pwrite(file, block, BLOCK, (off_t)(next++ % BLOCKS) * BLOCK) != BLOCK ||
            fdatasync(file) != 0) {
            die("fdatasync");
        }
        double us = now_us();
        add(samples, us - began_us);
        began_us = us;
    }
}

/* -- The loopback ------------------------------------------------------------------------------ */

static void *echo(void *argument)
{
    const int *file = argument;
    uint8_t bytes[DATAGRAM];
    ssize_t size = 0;
    while ((size = recv(*file, bytes, sizeof bytes, 0)) > 1) { /* one byte: the end */
        if (send(*file, bytes, (size_t)size, 0) != size) {
            die("send");
        }
    }
    return NULL;
}

static void open_pair(int files[2])
{
    struct sockaddr_in names[2];
    for (int i = 0; i < 2; i++) {
        socklen_t size = sizeof names[i];
        names[i] =
            (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
        files[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (files[i] < 0 || bind(files[i], (struct sockaddr *)&names[i], sizeof names[i]) != 0 ||
            getsockname(files[i], (struct sockaddr *)&names[i], &size) != 0) {
            die("socket");
        }
    }
    if (connect(files[0], (struct sockaddr *)&names[1], sizeof names[1]) != 0 ||
        connect(files[1], (struct sockaddr *)&names[0], sizeof names[0]) != 0) {
        die("connect");
    }
}

static void go_round(int file, double end_us, struct samples *samples)
{
    uint8_t bytes[DATAGRAM] = {0};
    double began_us = now_us();
    while (began_us < end_us) {
        if (send(file, bytes, sizeof bytes, 0) != sizeof bytes ||
            recv(file, bytes, sizeof bytes, 0) != sizeof bytes) {
            die("round trip");
        }
        double us = now_us();
        add(samples, us - began_us);
        began_us = us;
    }
}

int main(int argc, char **argv)
{
    static struct samples syncs;
    static struct samples rounds;
    char path[4096];
    int ends[2];
    pthread_t thread;
    double seconds = argc == 3 ? strtod(argv[2], NULL) : 0;
    if (seconds <= 0) {
        (void)fputs("usage: raw-limits FOLDER SECONDS\n", stderr);
        return 2;
    }
    int file = make_file(argv[1], path, sizeof path);
    open_pair(ends);
    if (pthread_create(&thread, NULL, echo, &ends[1]) != 0) {
        die("thread");
    }
    for (int turn = 0; turn < TURNS; turn++) {
        sync_for(file, now_us() + seconds / TURNS / 2 * 1e6, &syncs);
        go_round(ends[0], now_us() + seconds / TURNS / 2 * 1e6, &rounds);
    }
    (void)send(ends[0], "", 1, 0);
    (void)pthread_join(thread, NULL);
    (void)close(file);
    (void)unlink(path);
    (void)printf("fdatasync_us %.1f round_trip_us %.1f\n", median(&syncs), median(&rounds));
    return 0;
}
