#include "base/within.h"

#include <pthread.h>
#include <time.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "host/detached.h"

#define SECOND_NS UINT64_C(1000000000)

struct pd_within {
    struct pd_within_work work;
    pthread_mutex_t lock;
    pthread_cond_t done;
    uint32_t holders; /* who waits, and the thread */
    bool is_done;
};

static struct pd_within *make(const struct pd_within_work *work)
{
    struct pd_within *within = pd_alloc_zeroed(1, sizeof *within);
    pthread_condattr_t attributes;
    if (within == NULL) {
        return NULL;
    }
    int result = pthread_mutex_init(&within->lock, NULL);
    result |= pthread_condattr_init(&attributes);
    result |= pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    result |= pthread_cond_init(&within->done, &attributes);
    result |= pthread_condattr_destroy(&attributes);
    pd_assert(result == 0); /* on Linux they need nothing that could lack */
    within->work = *work;
    within->holders = 2;
    return within;
}

static void destroy(struct pd_within *within)
{
    (void)pthread_mutex_destroy(&within->lock);
    (void)pthread_cond_destroy(&within->done);
    pd_free(within);
}

/* Under the lock, which is given up. */
static void let_go(struct pd_within *within)
{
    bool is_last = --within->holders == 0;
    (void)pthread_mutex_unlock(&within->lock);
    if (is_last) {
        within->work.release(within->work.job);
        destroy(within);
    }
}

static void *run(void *argument)
{
    struct pd_within *within = argument;
    within->work.run(within->work.job);
    (void)pthread_mutex_lock(&within->lock);
    within->is_done = true;
    (void)pthread_cond_signal(&within->done);
    let_go(within);
    return NULL;
}

struct pd_within *pd_within_start(const struct pd_within_work *work)
{
    struct pd_within *within = make(work);
    if (within != NULL && !pd_host_detached(work->name, run, within)) {
        destroy(within);
        within = NULL;
    }
    return within;
}

bool pd_within_wait(struct pd_within *within, uint64_t deadline_ns)
{
    const struct timespec until = {.tv_sec = (time_t)(deadline_ns / SECOND_NS),
                                   .tv_nsec = (long)(deadline_ns % SECOND_NS)};
    int result = 0;
    (void)pthread_mutex_lock(&within->lock);
    while (!within->is_done && result == 0) {
        result = pthread_cond_timedwait(&within->done, &within->lock, &until);
    }
    bool is_done = within->is_done;
    (void)pthread_mutex_unlock(&within->lock);
    return is_done;
}

void pd_within_leave(struct pd_within *within)
{
    (void)pthread_mutex_lock(&within->lock);
    let_go(within);
}
