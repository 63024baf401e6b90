#include "cli/signals.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/assert.h"
#include "host/hangup.h"
#include "host/output.h"
#include "node/program.h"

static pthread_t watcher;
static atomic_int last_signal;
static atomic_bool is_stopping;
static _Atomic(struct pd_program *) watched_program;

static sigset_t watched(void)
{
    sigset_t set = pd_host_ending_signals();
    sigaddset(&set, SIGUSR2); /* ours: the watcher shall end */
    return set;
}

void pd_signals_block(void)
{
    sigset_t set = watched();
    int result = pthread_sigmask(SIG_BLOCK, &set, NULL);
    pd_assert(result == 0);
    (void)signal(SIGPIPE, SIG_IGN);
}

/* As if nobody watched. */
static void die_of(int number)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    (void)signal(number, SIG_DFL);
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    (void)raise(number);
}

static void *watch(void *argument)
{
    (void)argument;
    sigset_t set = watched();
    for (;;) {
        int number = 0;
        if (sigwait(&set, &number) != 0) {
            continue;
        }
        if (atomic_load(&is_stopping)) {
            return NULL;
        }
        struct pd_program *program = atomic_load(&watched_program);
        if (number != SIGUSR2 && program == NULL) {
            die_of(number);
        } else if (number != SIGUSR2) {
            pd_host_output_hurry();
            atomic_store(&last_signal, number);
            pd_program_interrupt(program);
        }
    }
}

void pd_signals_watch(struct pd_program *program)
{
    pd_signals_attach(program);
    if (pthread_create(&watcher, NULL, watch, NULL) != 0) {
        pd_fatal("cannot start the thread that watches for signals");
    }
}

void pd_signals_attach(struct pd_program *program)
{
    atomic_store(&watched_program, program);
}

void pd_signals_stop(void)
{
    atomic_store(&is_stopping, true);
    (void)pthread_kill(watcher, SIGUSR2);
    (void)pthread_join(watcher, NULL);
    atomic_store(&is_stopping, false);
}

int pd_signals_last(void)
{
    return atomic_load(&last_signal);
}
