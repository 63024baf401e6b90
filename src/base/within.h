/* within - work that may last longer than anybody would wait for it, as a question to the system's
 * resolver: done on a thread of its own, and waited for until some time and no longer.
 *
 * Model      The thread ends by itself when the work is done. What the work needs and makes is a
 *            job of the caller's, which the thread and who waits both hold: whoever lets go last
 *            releases it.
 *
 *                pd_within_start -> pd_within_wait ... -> pd_within_leave
 *
 * Bounds     One thread for each work under way: the caller's to bound.
 * Threads    Any. The program's signals are not the work's. Implemented in src/host. */
#ifndef PD_BASE_WITHIN_H
#define PD_BASE_WITHIN_H

#include <stdbool.h>
#include <stdint.h>

struct pd_within;

struct pd_within_work {
    const char *name;           /* the thread's: at most 15 bytes */
    void (*run)(void *job);     /* on the thread */
    void (*release)(void *job); /* on the thread, or by pd_within_leave */
    void *job;
};

/* NULL: no memory, or no thread: job is the caller's as before. Else to be left. */
struct pd_within *pd_within_start(const struct pd_within_work *work);
/* Whether the work is done, at deadline_ns of CLOCK_MONOTONIC at the latest. Then what it made is
 * the caller's to read, and to take, until it leaves. */
bool pd_within_wait(struct pd_within *within, uint64_t deadline_ns);
/* Nobody waits any more: the job is not the caller's from here on. */
void pd_within_leave(struct pd_within *within);

#endif
