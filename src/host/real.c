#include "host/real.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/list.h"
#include "base/spin.h"
#include "host/cgroup.h"
#include "host/output.h"

#define NS_PER_S UINT64_C(1000000000)
#define LOW_PRIORITY_NICE 5
#define HIGH_PRIORITY_NICE (-10)
#define HELPERS_MAX 64u
#define SPINS 100u

struct pd_real_host {
    struct pd_host interface; /* first */
    pthread_mutex_t lock;
    pthread_cond_t has_job;
    struct pd_job *first;
    struct pd_job **end;
    uint32_t queued;
    uint32_t jobs_max;
    uint32_t helper_count;
    bool is_stopping;
    uint64_t low_slice_ns; /* 0: the system's */
    struct pd_thread helpers[HELPERS_MAX];
};

struct thread_start {
    void (*run)(void *argument);
    void *argument;
    enum pd_thread_priority priority;
    uint64_t slice_ns; /* 0: the system's */
    char name[16];
};

/* sched_setattr(2); libc has neither the call nor, beside its own headers, the structure. */
struct scheduling {
    uint32_t size;
    uint32_t policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns;
    uint64_t deadline_ns;
    uint64_t period_ns;
};
_Static_assert(sizeof(struct scheduling) == 48, "its first version");

static struct pd_real_host *real_of(struct pd_host *host)
{
    return pd_container_of(host, struct pd_real_host, interface);
}

void pd_spin_wait(struct pd_spin *lock)
{
    for (unsigned i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&lock->held, memory_order_relaxed) == 0) {
            return;
        }
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }
    (void)sched_yield();
}

/* --- Time and entropy ------------------------------------------------------------------------- */

static uint64_t read_clock(clockid_t clock)
{
    struct timespec time;
    int result = clock_gettime(clock, &time);
    pd_assert(result == 0);
    return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

static uint64_t real_now_ns(struct pd_host *host)
{
    (void)host;
    return read_clock(CLOCK_BOOTTIME);
}

static uint64_t real_wall_ns(struct pd_host *host)
{
    (void)host;
    return read_clock(CLOCK_REALTIME);
}

static uint64_t real_cpu_ns(struct pd_host *host, enum pd_cpu_clock clock)
{
    (void)host;
    return read_clock(clock == PD_CPU_PROCESS ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_THREAD_CPUTIME_ID);
}

static void real_entropy(struct pd_host *host, uint8_t *bytes, size_t size)
{
    (void)host;
    while (size > 0) {
        ssize_t got = getrandom(bytes, size, 0);
        if (got < 0) {
            if (errno == EINTR) {
                continue;
            }
            pd_fatal("the system gives no random numbers: %s", strerror(errno));
        }
        bytes += got;
        size -= (size_t)got;
    }
}

/* --- Threads and events ----------------------------------------------------------------------- */

/* Where the system knows slices of ordinary threads (Linux 6.12): before, it looks at nothing but
 * the rest. Refusal changes speed, not results. */
static void set_slice(uint64_t slice_ns)
{
    struct scheduling scheduling = {.size = sizeof scheduling,
                                    .policy = SCHED_OTHER,
                                    .nice = getpriority(PRIO_PROCESS, 0),
                                    .runtime_ns = slice_ns};
    (void)syscall(SYS_sched_setattr, 0, &scheduling, 0);
}

static void *thread_main(void *argument)
{
    struct thread_start start = *(struct thread_start *)argument;
    pd_free(argument);
    (void)pthread_setname_np(pthread_self(), start.name);
    if (start.priority != PD_THREAD_NORMAL) {
        /* On Linux niceness belongs to the thread. Refusal changes speed, not results. */
        int change = start.priority == PD_THREAD_LOW ? LOW_PRIORITY_NICE : HIGH_PRIORITY_NICE;
        int nice_now = getpriority(PRIO_PROCESS, 0);
        (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), nice_now + change);
    }
    if (start.slice_ns != 0) {
        set_slice(start.slice_ns);
    }
    start.run(start.argument);
    return NULL;
}

static enum pd_status real_thread_start(struct pd_host *host, const char *name,
                                        enum pd_thread_priority priority,
                                        void (*run)(void *argument), void *argument,
                                        struct pd_thread *thread_out)
{
    struct thread_start *start = pd_alloc(sizeof *start);
    if (start == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    *start = (struct thread_start){.run = run, .argument = argument, .priority = priority};
    start->slice_ns = priority == PD_THREAD_LOW ? real_of(host)->low_slice_ns : 0;
    (void)snprintf(start->name, sizeof start->name, "%s", name);
    pthread_t thread;
    if (pthread_create(&thread, NULL, thread_main, start) != 0) {
        pd_free(start);
        return PD_ERR_IO;
    }
    thread_out->handle = (uintptr_t)thread;
    return PD_OK;
}

static void real_thread_join(struct pd_host *host, struct pd_thread thread)
{
    (void)host;
    int result = pthread_join((pthread_t)thread.handle, NULL);
    pd_assert(result == 0);
}

/* An event is a futex word: 0 clear, 1 set. */
static long futex(uint32_t *word, int operation, uint32_t value, const struct timespec *timeout)
{
    return syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, timeout, NULL,
                   FUTEX_BITSET_MATCH_ANY);
}

static bool take_event(struct pd_event *event)
{
    return __atomic_exchange_n(&event->word, 0, __ATOMIC_ACQ_REL) == 1;
}

static bool real_event_wait(struct pd_host *host, struct pd_event *event, uint64_t deadline_ns)
{
    while (!take_event(event)) {
        struct timespec left;
        const struct timespec *timeout = NULL;
        if (deadline_ns != PD_TIME_NEVER) {
            uint64_t now_ns = real_now_ns(host);
            if (now_ns >= deadline_ns) {
                return false;
            }
            left.tv_sec = (time_t)((deadline_ns - now_ns) / NS_PER_S);
            left.tv_nsec = (long)((deadline_ns - now_ns) % NS_PER_S);
            timeout = &left;
        }
        (void)futex(&event->word, FUTEX_WAIT, 0, timeout);
    }
    return true;
}

static void real_event_set(struct pd_host *host, struct pd_event *event)
{
    (void)host;
    if (__atomic_exchange_n(&event->word, 1, __ATOMIC_ACQ_REL) == 0) {
        (void)futex(&event->word, FUTEX_WAKE, INT_MAX, NULL);
    }
}

/* --- Jobs ------------------------------------------------------------------------------------- */

static enum pd_status real_submit(struct pd_host *host, struct pd_job *job)
{
    struct pd_real_host *real = real_of(host);
    enum pd_status status = PD_OK;
    pthread_mutex_lock(&real->lock);
    if (real->queued >= real->jobs_max) {
        status = PD_ERR_FULL;
    } else {
        job->next = NULL;
        *real->end = job;
        real->end = &job->next;
        real->queued++;
        pthread_cond_signal(&real->has_job);
    }
    pthread_mutex_unlock(&real->lock);
    return status;
}

static struct pd_job *next_job(struct pd_real_host *real)
{
    pthread_mutex_lock(&real->lock);
    while (real->first == NULL && !real->is_stopping) {
        pthread_cond_wait(&real->has_job, &real->lock);
    }
    struct pd_job *job = real->first;
    if (job != NULL) {
        real->first = job->next;
        if (real->first == NULL) {
            real->end = &real->first;
        }
        real->queued--;
    }
    pthread_mutex_unlock(&real->lock);
    return job;
}

static void helper_main(void *argument)
{
    struct pd_real_host *real = argument;
    struct pd_job *job = NULL;
    while ((job = next_job(real)) != NULL) {
        job->run(job);
    }
}

/* --- Output ----------------------------------------------------------------------------------- */

enum pd_file_error pd_real_host_output(struct pd_host *host, int stream, const uint8_t *bytes,
                                       size_t size)
{
    /* How long a reader takes is not what a seed decides. */
    return host->is_deterministic ? pd_host_output_blocking(stream, bytes, size)
                                  : pd_host_output(stream, bytes, size);
}

static const struct pd_host_ops real_ops = {
    .now_ns = real_now_ns,
    .wall_ns = real_wall_ns,
    .cpu_ns = real_cpu_ns,
    .entropy = real_entropy,
    .submit = real_submit,
    .thread_start = real_thread_start,
    .thread_join = real_thread_join,
    .event_wait = real_event_wait,
    .event_set = real_event_set,
    .output = pd_real_host_output,
};

/* --- Life ------------------------------------------------------------------------------------- */

static void stop_helpers(struct pd_real_host *real)
{
    pthread_mutex_lock(&real->lock);
    real->is_stopping = true;
    pthread_cond_broadcast(&real->has_job);
    pthread_mutex_unlock(&real->lock);
    for (uint32_t i = 0; i < real->helper_count; i++) {
        real_thread_join(&real->interface, real->helpers[i]);
    }
    real->helper_count = 0;
}

enum pd_status pd_real_host_create(uint32_t helper_count, uint32_t jobs_max,
                                   struct pd_real_host **host_out)
{
    pd_assert(helper_count >= 1 && helper_count <= HELPERS_MAX);
    struct pd_real_host *real = pd_alloc_zeroed(1, sizeof *real);
    if (real == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    real->interface.ops = &real_ops;
    real->jobs_max = jobs_max;
    real->end = &real->first;
    pthread_mutex_init(&real->lock, NULL);
    pthread_cond_init(&real->has_job, NULL);
    for (uint32_t i = 0; i < helper_count; i++) {
        enum pd_status status = real_thread_start(&real->interface, "pando-helper", PD_THREAD_LOW,
                                                  helper_main, real, &real->helpers[i]);
        if (status != PD_OK) {
            pd_real_host_destroy(real);
            return status;
        }
        real->helper_count++;
    }
    *host_out = real;
    return PD_OK;
}

void pd_real_host_destroy(struct pd_real_host *host)
{
    if (host == NULL) {
        return;
    }
    stop_helpers(host);
    pd_assert(host->first == NULL);
    pd_host_output_drain();
    pthread_cond_destroy(&host->has_job);
    pthread_mutex_destroy(&host->lock);
    pd_free(host);
}

void pd_real_host_set_low_slice(struct pd_real_host *host, uint64_t slice_ns)
{
    host->low_slice_ns = slice_ns;
}

struct pd_host *pd_real_host_interface(struct pd_real_host *host)
{
    return &host->interface;
}

uint32_t pd_real_host_processor_count(void)
{
    cpu_set_t set;
    int count = 1;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        count = CPU_COUNT(&set);
    }
    uint64_t milli = pd_cgroup_cpu_max("/proc/self/cgroup", "/sys/fs/cgroup");
    uint64_t allowed = milli / 1000 + (milli % 1000 > 0 ? 1 : 0);
    count = allowed < (uint64_t)count ? (int)allowed : count;
    return count < 1 ? 1 : (uint32_t)count;
}

uint64_t pd_real_host_memory_bytes(void)
{
    uint64_t all = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t allowed = pd_cgroup_memory_max("/proc/self/cgroup", "/sys/fs/cgroup");
    return allowed < all ? allowed : all;
}
