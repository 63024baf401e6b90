/* Arguments, environment, clocks, entropy and the end of the process. */
#include <string.h>

#include "base/assert.h"
#include "wasm/wasi_internal.h"

#define CLOCK_REALTIME_ID 0u
#define CLOCK_MONOTONIC_ID 1u
#define CLOCK_PROCESS_ID 2u
#define CLOCK_THREAD_ID 3u

#define SIGNALS_MAX 30u

/* Entropy is drawn in pieces, so that no call holds its thread for long. */
#define ENTROPY_PIECE (1u << 20)

static enum pd_call_result strings_get(struct pd_call *call, const struct wasi_strings *strings)
{
    uint32_t pointers_at = pd_call_u32(call, 0);
    uint32_t bytes_at = pd_call_u32(call, 1);
    uint8_t *pointers = pd_guest_memory(call->guest, pointers_at, (uint64_t)strings->count * 4);
    uint8_t *bytes = pd_guest_memory(call->guest, bytes_at, strings->size);
    if (pointers == NULL || bytes == NULL) {
        return pd_wasi_answer(call, PD_FILE_FAULT);
    }
    if (strings->size > 0) {
        memcpy(bytes, strings->bytes, strings->size);
    }
    uint32_t at = 0;
    for (uint32_t i = 0; i < strings->count; i++) {
        pd_put_u32(pointers + (size_t)i * 4, bytes_at + at);
        at += (uint32_t)strlen(strings->bytes + at) + 1;
    }
    pd_assert(at == strings->size);
    return pd_wasi_answer(call, PD_FILE_OK);
}

static enum pd_call_result strings_sizes_get(struct pd_call *call,
                                             const struct wasi_strings *strings)
{
    enum pd_call_result result = pd_wasi_answer_u32(call, pd_call_u32(call, 0), strings->count);
    return call->result != PD_FILE_OK
               ? result
               : pd_wasi_answer_u32(call, pd_call_u32(call, 1), strings->size);
}

enum pd_call_result pd_wasi_args_get(struct pd_call *call)
{
    struct pd_wasi *wasi = pd_guest_wasi(call->guest);
    return wasi == NULL ? pd_wasi_answer(call, PD_FILE_NOMEM)
                        : strings_get(call, &wasi->config->arguments);
}

enum pd_call_result pd_wasi_args_sizes_get(struct pd_call *call)
{
    struct pd_wasi *wasi = pd_guest_wasi(call->guest);
    return wasi == NULL ? pd_wasi_answer(call, PD_FILE_NOMEM)
                        : strings_sizes_get(call, &wasi->config->arguments);
}

enum pd_call_result pd_wasi_environ_get(struct pd_call *call)
{
    struct pd_wasi *wasi = pd_guest_wasi(call->guest);
    return wasi == NULL ? pd_wasi_answer(call, PD_FILE_NOMEM)
                        : strings_get(call, &wasi->config->variables);
}

enum pd_call_result pd_wasi_environ_sizes_get(struct pd_call *call)
{
    struct pd_wasi *wasi = pd_guest_wasi(call->guest);
    return wasi == NULL ? pd_wasi_answer(call, PD_FILE_NOMEM)
                        : strings_sizes_get(call, &wasi->config->variables);
}

enum pd_call_result pd_wasi_clock_res_get(struct pd_call *call)
{
    if (pd_call_u32(call, 0) > CLOCK_THREAD_ID) {
        return pd_wasi_answer(call, PD_FILE_INVAL);
    }
    return pd_wasi_answer_u64(call, pd_call_u32(call, 1), 1);
}

enum pd_call_result pd_wasi_clock_time_get(struct pd_call *call)
{
    struct pd_host *host = pd_guest_host(call->guest);
    uint64_t time_ns;
    switch (pd_call_u32(call, 0)) {
    case CLOCK_REALTIME_ID:
        time_ns = host->ops->wall_ns(host);
        break;
    case CLOCK_MONOTONIC_ID:
        time_ns = host->ops->now_ns(host);
        break;
    case CLOCK_PROCESS_ID:
        time_ns = host->ops->cpu_ns(host, PD_CPU_PROCESS);
        break;
    case CLOCK_THREAD_ID:
        time_ns = host->ops->cpu_ns(host, PD_CPU_THREAD);
        break;
    default:
        return pd_wasi_answer(call, PD_FILE_INVAL);
    }
    return pd_wasi_answer_u64(call, pd_call_u32(call, 2), time_ns);
}

/* Fill the next piece, and let others run before the one after it. call->state counts what is
 * done. */
static enum pd_call_result random_continue(struct pd_call *call)
{
    uint32_t size = pd_call_u32(call, 1);
    uint32_t done = (uint32_t)(uintptr_t)call->state;
    uint8_t *bytes = pd_guest_memory(call->guest, pd_call_u32(call, 0), size);
    if (bytes == NULL) {
        return pd_wasi_answer(call, PD_FILE_FAULT);
    }
    struct pd_host *host = pd_guest_host(call->guest);
    uint32_t piece = size - done < ENTROPY_PIECE ? size - done : ENTROPY_PIECE;
    if (piece > 0) {
        host->ops->entropy(host, bytes + done, piece);
        done += piece;
    }
    if (done == size) {
        return pd_wasi_answer(call, PD_FILE_OK);
    }
    call->state = (void *)(uintptr_t)done;
    call->resume = random_continue;
    pd_call_wake_at(call, pd_host_now_ns(host));
    return PD_CALL_WAIT;
}

enum pd_call_result pd_wasi_random_get(struct pd_call *call)
{
    call->state = NULL;
    return random_continue(call);
}

enum pd_call_result pd_wasi_proc_exit(struct pd_call *call)
{
    return pd_call_exit(call, pd_call_u32(call, 0));
}

/* Preview 1 numbers the signals as most Unix systems do. */
enum pd_call_result pd_wasi_proc_raise(struct pd_call *call)
{
    static const char *const names[SIGNALS_MAX + 1] = {
        NULL,      "SIGHUP",    "SIGINT",  "SIGQUIT", "SIGILL",  "SIGTRAP", "SIGABRT", "SIGBUS",
        "SIGFPE",  "SIGKILL",   "SIGUSR1", "SIGSEGV", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM",
        NULL,      NULL,        "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", NULL,      "SIGXCPU",
        "SIGXFSZ", "SIGVTALRM", "SIGPROF", NULL,      "SIGPOLL", "SIGPWR",  "SIGSYS"};
    uint32_t number = pd_call_u32(call, 0);
    if (number > SIGNALS_MAX) {
        return pd_wasi_answer(call, PD_FILE_INVAL);
    }
    if (names[number] == NULL) {
        return pd_wasi_answer(call, PD_FILE_OK); /* none, and those that are ignored by default */
    }
    return pd_call_trap(call, "proc_raise: the guest raised %s", names[number]);
}

static enum pd_call_result yielded(struct pd_call *call)
{
    pd_call_begin_slice(call);
    return pd_wasi_answer(call, PD_FILE_OK);
}

/* Wait for a time that is now: whoever is runnable goes first. What follows is a whole turn, which
 * no kill interrupts. */
enum pd_call_result pd_wasi_sched_yield(struct pd_call *call)
{
    call->resume = yielded;
    pd_call_wake_at(call, pd_host_now_ns(pd_guest_host(call->guest)));
    return PD_CALL_WAIT;
}
