/* wasi_fake - a guest that is only memory and a call: what WASI is tested and fuzzed against.
 *
 * Model    fake_call runs one imported function to its end: jobs run on a thread of their own (or
 *          inline), waits for time move a virtual clock. fake_begin stops at the first wait, so
 *          that a test can kill the guest there.
 * Memory   An allocation of exactly the guest's size, so that ASan sees one byte past it.
 * Life     A killed guest's job finishes alone; fake_wait_jobs waits for all of them. */
#ifndef PD_TEST_WASI_FAKE_H
#define PD_TEST_WASI_FAKE_H

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/host.h"
#include "host/files.h"
#include "wasm/wasi.h"

#define FAKE_MEMORY_SIZE 131072u
#define FAKE_OUTPUT_SIZE (1u << 20)

struct fake_host {
    struct pd_host host; /* first */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t now_ns; /* virtual; moves when a guest waits for time */
    uint64_t wall_offset_ns;
    uint32_t jobs_running;
    bool runs_inline;                /* jobs run within submit */
    bool refuses_jobs;               /* submit answers PD_ERR_FULL */
    enum pd_file_error output_error; /* what output answers */
    bool output_is_full;             /* its reader stands still */
    uint32_t output_calls;
    uint8_t *output[2];
    size_t output_size[2];
    uint8_t entropy_next;
};

struct pd_guest {
    struct fake_host *host;
    uint8_t *memory;
    uint32_t memory_size;
    uint32_t heap; /* where fake_put puts the next thing */
    struct pd_wasi_config *config;
    struct pd_wasi *wasi;
    struct pd_call call;
    const struct pd_import *import;
    struct fake_work *work; /* of the call that waits, or NULL */
    uint64_t wake_ns;
    uint32_t slices_begun;
    bool has_exited;
    bool has_trapped;
    uint32_t exit_code;
    char trap[512];
};

/* A job on its way: shared by the guest and the thread that runs it. */
struct fake_work {
    struct pd_blocking *blocking;
    struct fake_host *host;
    bool is_done;
    bool is_abandoned;
};

/* --- Host ------------------------------------------------------------------------------------- */

static inline struct fake_host *fake_host_of(struct pd_host *host)
{
    return (struct fake_host *)(void *)host;
}

static uint64_t fake_now_ns(struct pd_host *host)
{
    return fake_host_of(host)->now_ns;
}

static uint64_t fake_wall_ns(struct pd_host *host)
{
    return fake_host_of(host)->now_ns + fake_host_of(host)->wall_offset_ns;
}

static uint64_t fake_cpu_ns(struct pd_host *host, enum pd_cpu_clock clock)
{
    (void)host;
    return clock == PD_CPU_PROCESS ? 7000 : 3000;
}

static void fake_entropy(struct pd_host *host, uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bytes[i] = ++fake_host_of(host)->entropy_next;
    }
}

struct fake_thread_argument {
    void (*run)(void *argument);
    void *argument;
    struct fake_host *host;
};

static void *fake_thread(void *pointer)
{
    struct fake_thread_argument *argument = pointer;
    struct fake_host *host = argument->host;
    argument->run(argument->argument);
    free(argument);
    pthread_mutex_lock(&host->lock);
    host->jobs_running--;
    pthread_cond_broadcast(&host->changed);
    pthread_mutex_unlock(&host->lock);
    return NULL;
}

static void fake_run_apart(struct fake_host *host, void (*run)(void *argument), void *argument)
{
    struct fake_thread_argument *starting = malloc(sizeof *starting);
    pd_assert(starting != NULL);
    *starting = (struct fake_thread_argument){.run = run, .argument = argument, .host = host};
    pthread_mutex_lock(&host->lock);
    host->jobs_running++;
    pthread_mutex_unlock(&host->lock);
    pthread_t thread;
    pd_assert(pthread_create(&thread, NULL, fake_thread, starting) == 0);
    pthread_detach(thread);
}

static void fake_job_run(void *argument)
{
    struct pd_job *job = argument;
    job->run(job);
}

static enum pd_status fake_submit(struct pd_host *base, struct pd_job *job)
{
    struct fake_host *host = fake_host_of(base);
    if (host->refuses_jobs) {
        return PD_ERR_FULL;
    }
    if (host->runs_inline) {
        job->run(job);
    } else {
        fake_run_apart(host, fake_job_run, job);
    }
    return PD_OK;
}

static enum pd_file_error fake_output(struct pd_host *base, int stream, const uint8_t *bytes,
                                      size_t size)
{
    struct fake_host *host = fake_host_of(base);
    if (host->output_error != PD_FILE_OK) {
        return host->output_error;
    }
    pd_assert(stream == 1 || stream == 2);
    if (size == 0) {
        return host->output_is_full ? PD_FILE_AGAIN : PD_FILE_OK;
    }
    host->output_calls++;
    size_t *used = &host->output_size[stream - 1];
    if (size > FAKE_OUTPUT_SIZE - *used) {
        *used = 0; /* fuzzing writes without end */
        size = size < FAKE_OUTPUT_SIZE ? size : FAKE_OUTPUT_SIZE;
    }
    memcpy(host->output[stream - 1] + *used, bytes, size);
    *used += size;
    return PD_FILE_OK;
}

static const struct pd_host_ops fake_host_ops = {
    .now_ns = fake_now_ns,
    .wall_ns = fake_wall_ns,
    .cpu_ns = fake_cpu_ns,
    .entropy = fake_entropy,
    .submit = fake_submit,
    .output = fake_output,
};

static inline void fake_host_init(struct fake_host *host)
{
    *host = (struct fake_host){
        .host = {.ops = &fake_host_ops},
        .now_ns = 1000000000,
        .wall_offset_ns = 1600000000000000000,
    };
    pthread_mutex_init(&host->lock, NULL);
    pthread_cond_init(&host->changed, NULL);
    for (int i = 0; i < 2; i++) {
        host->output[i] = calloc(1, FAKE_OUTPUT_SIZE);
        pd_assert(host->output[i] != NULL);
    }
}

static inline void fake_wait_jobs(struct fake_host *host)
{
    pthread_mutex_lock(&host->lock);
    while (host->jobs_running > 0) {
        pthread_cond_wait(&host->changed, &host->lock);
    }
    pthread_mutex_unlock(&host->lock);
}

static inline void fake_host_deinit(struct fake_host *host)
{
    fake_wait_jobs(host);
    free(host->output[0]);
    free(host->output[1]);
    pthread_cond_destroy(&host->changed);
    pthread_mutex_destroy(&host->lock);
}

/* --- What hostcall.h asks of a guest ---------------------------------------------------------- */

uint8_t *pd_guest_memory(struct pd_guest *guest, uint32_t address, uint64_t size)
{
    bool is_inside = size <= guest->memory_size && address <= guest->memory_size - size;
    return is_inside ? guest->memory + address : NULL;
}

struct pd_host *pd_guest_host(struct pd_guest *guest)
{
    return &guest->host->host;
}

struct pd_wasi *pd_guest_wasi(struct pd_guest *guest)
{
    if (guest->wasi == NULL && pd_wasi_create(guest->config, &guest->wasi) != PD_OK) {
        return NULL;
    }
    return guest->wasi;
}

enum pd_call_result pd_call_trap(struct pd_call *call, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(call->guest->trap, sizeof call->guest->trap, format, arguments);
    va_end(arguments);
    call->guest->has_trapped = true;
    return PD_CALL_TRAP;
}

enum pd_call_result pd_call_trap_bounds(struct pd_call *call, const char *what)
{
    return pd_call_trap(call, "%s: pointer out of bounds", what);
}

enum pd_call_result pd_call_exit(struct pd_call *call, uint32_t exit_code)
{
    call->guest->has_exited = true;
    call->guest->exit_code = exit_code;
    return PD_CALL_TRAP;
}

void pd_call_wake_at(struct pd_call *call, uint64_t deadline_ns)
{
    call->guest->wake_ns = deadline_ns;
}

void pd_call_begin_slice(struct pd_call *call)
{
    call->guest->slices_begun++;
}

static void fake_work_run(void *argument)
{
    struct fake_work *work = argument;
    struct fake_host *host = work->host;
    work->blocking->work(work->blocking);
    pthread_mutex_lock(&host->lock);
    work->is_done = true;
    bool is_abandoned = work->is_abandoned;
    pthread_cond_broadcast(&host->changed);
    pthread_mutex_unlock(&host->lock);
    if (is_abandoned) {
        work->blocking->release(work->blocking);
        free(work);
    }
}

static enum pd_call_result fake_work_resume(struct pd_call *call)
{
    struct fake_work *work = call->guest->work;
    pthread_mutex_lock(&work->host->lock);
    bool is_done = work->is_done;
    pthread_mutex_unlock(&work->host->lock);
    if (!is_done) {
        return PD_CALL_WAIT;
    }
    call->guest->work = NULL;
    enum pd_call_result result = work->blocking->finish(call, work->blocking);
    work->blocking->release(work->blocking);
    free(work);
    return result;
}

enum pd_call_result pd_call_block(struct pd_call *call, struct pd_blocking *self)
{
    struct fake_work *work = calloc(1, sizeof *work);
    pd_assert(work != NULL && call->guest->work == NULL);
    work->blocking = self;
    work->host = call->guest->host;
    call->guest->work = work;
    call->resume = fake_work_resume;
    if (work->host->runs_inline) {
        fake_work_run(work);
        return fake_work_resume(call);
    }
    fake_run_apart(work->host, fake_work_run, work);
    return PD_CALL_WAIT;
}

/* --- Guests ----------------------------------------------------------------------------------- */

static inline void fake_guest_init(struct pd_guest *guest, struct fake_host *host,
                                   struct pd_wasi_config *config)
{
    *guest = (struct pd_guest){
        .host = host,
        .memory = calloc(1, FAKE_MEMORY_SIZE),
        .memory_size = FAKE_MEMORY_SIZE,
        .heap = 1024,
        .config = pd_wasi_config_retain(config),
    };
    pd_assert(guest->memory != NULL);
}

/* End it wherever it is: the memory is gone at once, as when a slot gets its next owner. */
static inline void fake_guest_kill(struct pd_guest *guest)
{
    struct fake_work *work = guest->work;
    if (work != NULL) {
        pthread_mutex_lock(&guest->host->lock);
        bool is_done = work->is_done;
        work->is_abandoned = true;
        pthread_mutex_unlock(&guest->host->lock);
        if (is_done) {
            work->blocking->release(work->blocking);
            free(work);
        }
    } else if (guest->call.resume != NULL && guest->call.abandon != NULL) {
        guest->call.abandon(&guest->call);
    }
    pd_wasi_destroy(guest->wasi, &guest->host->host);
    free(guest->memory);
    pd_wasi_config_release(guest->config);
    *guest = (struct pd_guest){0};
}

static inline const struct pd_import *fake_import(const char *name)
{
    for (size_t i = 0; i < pd_wasi_import_count; i++) {
        if (strcmp(pd_wasi_imports[i].name, name) == 0) {
            return &pd_wasi_imports[i];
        }
    }
    return NULL;
}

static inline enum pd_call_result fake_begin(struct pd_guest *guest, const struct pd_import *import,
                                             const uint64_t *arguments, size_t count)
{
    pd_assert(import != NULL && count <= PD_CALL_ARGUMENTS_MAX);
    guest->import = import;
    guest->call = (struct pd_call){.guest = guest};
    guest->wake_ns = PD_TIME_NEVER;
    memcpy(guest->call.arguments, arguments, count * sizeof *arguments);
    return import->function(&guest->call);
}

/* Wait for the job, or move the clock to the wake. */
static inline enum pd_call_result fake_continue(struct pd_guest *guest)
{
    struct fake_host *host = guest->host;
    if (guest->work != NULL) {
        pthread_mutex_lock(&host->lock);
        while (!guest->work->is_done) {
            pthread_cond_wait(&host->changed, &host->lock);
        }
        pthread_mutex_unlock(&host->lock);
    } else {
        pd_assert(guest->wake_ns != PD_TIME_NEVER);
        host->now_ns = guest->wake_ns > host->now_ns ? guest->wake_ns : host->now_ns;
    }
    pd_assert(guest->call.resume != NULL);
    return guest->call.resume(&guest->call);
}

#define FAKE_TRAPPED 0xFFFFu

static inline uint32_t fake_call(struct pd_guest *guest, const char *name,
                                 const uint64_t *arguments, size_t count)
{
    enum pd_call_result result = fake_begin(guest, fake_import(name), arguments, count);
    while (result == PD_CALL_WAIT) {
        result = fake_continue(guest);
    }
    guest->call.resume = NULL;
    return result == PD_CALL_DONE ? (uint32_t)guest->call.result : FAKE_TRAPPED;
}

/* CALL(guest, fd_close, 4): the errno. */
#define CALL(guest, name, ...)                                                                     \
    fake_call(guest, #name, (const uint64_t[]){__VA_ARGS__},                                       \
              sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

/* Copy something into the guest's memory; its address. */
static inline uint32_t fake_put(struct pd_guest *guest, const void *bytes, size_t size)
{
    uint32_t at = guest->heap;
    pd_assert(pd_guest_memory(guest, at, size) != NULL);
    if (size > 0) {
        memcpy(guest->memory + at, bytes, size);
    }
    guest->heap += (uint32_t)((size + 15) & ~(size_t)7);
    return at;
}

/* Forget what fake_put put. */
static inline void fake_reset(struct pd_guest *guest)
{
    guest->heap = 1024;
}

static inline uint32_t fake_u32(const struct pd_guest *guest, uint32_t at)
{
    return pd_get_u32(guest->memory + at);
}

static inline uint64_t fake_u64(const struct pd_guest *guest, uint32_t at)
{
    return pd_get_u64(guest->memory + at);
}

#endif
