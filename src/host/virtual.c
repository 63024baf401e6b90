#include "host/virtual.h"

#include "base/assert.h"
#include "base/list.h"
#include "host/real.h"

#define START_NS UINT64_C(1000000000)
/* so that START_NS is 2000-01-01 00:00:00 UTC */
#define WALL_OFFSET_NS UINT64_C(946684799000000000)

static struct pd_virtual_host *virtual_of(struct pd_host *host)
{
    return pd_container_of(host, struct pd_virtual_host, interface);
}

static uint64_t virtual_now_ns(struct pd_host *host)
{
    return virtual_of(host)->now_ns;
}

static uint64_t virtual_wall_ns(struct pd_host *host)
{
    return virtual_of(host)->now_ns + WALL_OFFSET_NS;
}

static uint64_t virtual_cpu_ns(struct pd_host *host, enum pd_cpu_clock clock)
{
    (void)clock;
    return virtual_of(host)->now_ns - START_NS;
}

static void virtual_entropy(struct pd_host *host, uint8_t *bytes, size_t size)
{
    struct pd_virtual_host *self = virtual_of(host);
    pd_random_fill(&self->entropy, bytes, size);
    pd_trace_fold(self->trace, PD_TRACE_ENTROPY, size, pd_hash_bytes(0, bytes, size), 0);
}

static enum pd_status virtual_submit(struct pd_host *host, struct pd_job *job)
{
    (void)host;
    job->run(job);
    return PD_OK;
}

static enum pd_status virtual_thread_start(struct pd_host *host, const char *name,
                                           enum pd_thread_priority priority,
                                           void (*run)(void *argument), void *argument,
                                           struct pd_thread *thread_out)
{
    (void)host, (void)name, (void)priority, (void)run, (void)argument, (void)thread_out;
    return PD_ERR_UNSUPPORTED;
}

static void virtual_thread_join(struct pd_host *host, struct pd_thread thread)
{
    (void)host, (void)thread;
    pd_assert(false);
}

static bool virtual_event_wait(struct pd_host *host, struct pd_event *event, uint64_t deadline_ns)
{
    (void)host, (void)deadline_ns;
    bool is_set = event->word == 1;
    event->word = 0;
    return is_set;
}

static void virtual_event_set(struct pd_host *host, struct pd_event *event)
{
    (void)host;
    event->word = 1;
}

static const struct pd_host_ops virtual_ops = {
    .now_ns = virtual_now_ns,
    .wall_ns = virtual_wall_ns,
    .cpu_ns = virtual_cpu_ns,
    .entropy = virtual_entropy,
    .submit = virtual_submit,
    .thread_start = virtual_thread_start,
    .thread_join = virtual_thread_join,
    .event_wait = virtual_event_wait,
    .event_set = virtual_event_set,
    .output = pd_real_host_output,
};

void pd_virtual_host_init(struct pd_virtual_host *host, uint64_t seed, struct pd_trace *trace)
{
    *host = (struct pd_virtual_host){
        .interface = {.ops = &virtual_ops, .is_deterministic = true},
        .now_ns = START_NS,
        .trace = trace,
    };
    pd_random_init(&host->entropy, seed, "entropy");
}

struct pd_host *pd_virtual_host_interface(struct pd_virtual_host *host)
{
    return &host->interface;
}

void pd_virtual_host_advance(struct pd_host *host, uint64_t now_ns)
{
    struct pd_virtual_host *self = virtual_of(host);
    if (now_ns > self->now_ns) {
        self->now_ns = now_ns;
    }
}
