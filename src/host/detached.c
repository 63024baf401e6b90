#include "host/detached.h"

#include <pthread.h>
#include <signal.h>

bool pd_host_detached(const char *name, void *(*run)(void *argument), void *argument)
{
    pthread_t thread;
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    bool is_started = pthread_create(&thread, NULL, run, argument) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (is_started) {
        (void)pthread_setname_np(thread, name);
        (void)pthread_detach(thread);
    }
    return is_started;
}
