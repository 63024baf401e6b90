/* host - what the program may ask of the machine under it: time, entropy, threads, helper jobs,
 * output.
 *
 * Role       The only door from the cores to the operating system. src/host holds the real half;
 *            the deterministic mode and the simulator hold others. Files are in host_files.h.
 * Model      A table of functions and a state. Every function is safe on every thread unless it
 *            says so.
 * Ownership  The host outlives everything that was given it. A job belongs to the host from submit
 *            until its `run` is entered, then to `run` itself, which frees or hands it on.
 * Time       now_ns is monotonic, counts suspended time, and starts anywhere. wall_ns is since the
 *            Unix epoch and may jump. Virtual in the deterministic mode. */
#ifndef PD_BASE_HOST_H
#define PD_BASE_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/host_files.h"
#include "base/status.h"

#define PD_TIME_NEVER UINT64_MAX

struct pd_host;

/* Work for a helper thread. Embed it in a structure that owns every buffer that the work
 * touches. */
struct pd_job {
    /* on a helper thread; may block; the job is its own from here on */
    void (*run)(struct pd_job *job);
    struct pd_job *next; /* the host's */
};

/* Something that one thread waits for and others set. Opaque storage; see host ops. */
struct pd_event {
    uint32_t word; /* the host's; 0 initially */
};

struct pd_thread {
    uintptr_t handle; /* the host's */
};

enum pd_thread_priority {
    PD_THREAD_NORMAL = 0,
    PD_THREAD_LOW = 1, /* schedulers and helpers: guests never starve the rest of the process */
    PD_THREAD_HIGH = 2 /* the core and the log, whose delay is everybody's; where it is allowed */
};

enum pd_cpu_clock {
    PD_CPU_PROCESS = 0,
    PD_CPU_THREAD = 1
};

struct pd_host_ops {
    uint64_t (*now_ns)(struct pd_host *host);
    uint64_t (*wall_ns)(struct pd_host *host);
    uint64_t (*cpu_ns)(struct pd_host *host, enum pd_cpu_clock clock);

    /* Unpredictable bytes (seeded in the deterministic mode). Cannot fail. */
    void (*entropy)(struct pd_host *host, uint8_t *bytes, size_t size);

    /* Queue a job. PD_OK: the host has it. PD_ERR_FULL: jobs_max are queued; nothing happened.
     * The deterministic host runs the job before it returns. */
    enum pd_status (*submit)(struct pd_host *host, struct pd_job *job);

    /* Start a thread; `name` is at most 15 bytes. PD_ERR_IO: the system has no more. */
    enum pd_status (*thread_start)(struct pd_host *host, const char *name,
                                   enum pd_thread_priority priority, void (*run)(void *argument),
                                   void *argument, struct pd_thread *thread_out);
    void (*thread_join)(struct pd_host *host, struct pd_thread thread);

    /* Wait until the event is set or now_ns reaches deadline_ns, then clear it. True: it was
     * set. */
    bool (*event_wait)(struct pd_host *host, struct pd_event *event, uint64_t deadline_ns);
    void (*event_set)(struct pd_host *host, struct pd_event *event);

    /* Write all bytes to the program's standard output (1) or error (2), without a wait for the
     * reader. What the system says when not all were taken: PD_FILE_PIPE, PD_FILE_NOSPC,
     * PD_FILE_IO, ... size 0: PD_FILE_AGAIN while so much waits that who can wait, should. */
    enum pd_file_error (*output)(struct pd_host *host, int stream, const uint8_t *bytes,
                                 size_t size);
};

struct pd_host {
    const struct pd_host_ops *ops;
    bool is_deterministic; /* one thread, virtual time, jobs inline */
};

static inline uint64_t pd_host_now_ns(struct pd_host *host)
{
    return host->ops->now_ns(host);
}

#endif
