/* Preloaded into a node by torture.py: its wall clock goes wrong by what a file says, as it runs.
 *
 * PANDO_WALL_CLOCK names a file of eight bytes: nanoseconds to add, in the machine's order. Other
 * clocks are left alone, as they are when somebody sets a machine's time. (libfaketime does so for
 * other programs; it calls itself before it is ready when jemalloc is in the program.) */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS INT64_C(1000000000)

/* Mapped shared, so that a change is seen at once and no call of the system is needed for it. */
static const _Atomic int64_t *offset_ns;

__attribute__((constructor)) static void map(void)
{
    const char *name = getenv("PANDO_WALL_CLOCK");
    int file = name == NULL ? -1 : open(name, O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        void *mapped = mmap(NULL, sizeof *offset_ns, PROT_READ, MAP_SHARED, file, 0);
        offset_ns = mapped == MAP_FAILED ? NULL : mapped;
        (void)close(file);
    }
}

int clock_gettime(clockid_t clock, struct timespec *time_out)
{
    int result = (int)syscall(SYS_clock_gettime, clock, time_out);
    if (result == 0 && offset_ns != NULL &&
        (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t now_ns = (int64_t)time_out->tv_sec * SECOND_NS + time_out->tv_nsec +
                         atomic_load_explicit(offset_ns, memory_order_relaxed);
        time_out->tv_sec = (time_t)(now_ns / SECOND_NS);
        time_out->tv_nsec = (long)(now_ns % SECOND_NS);
    }
    return result;
}

int gettimeofday(struct timeval *restrict time_out, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    int result = clock_gettime(CLOCK_REALTIME, &now);
    *time_out = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return result;
}

time_t time(time_t *time_out)
{
    struct timespec now = {0, 0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (time_out != NULL) {
        *time_out = now.tv_sec;
    }
    return now.tv_sec;
}
