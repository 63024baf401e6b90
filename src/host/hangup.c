#include "host/hangup.h"

#include <stddef.h>

bool pd_host_hangup_ends(void)
{
    struct sigaction action;
    return sigaction(SIGHUP, NULL, &action) != 0 || action.sa_handler != SIG_IGN;
}

sigset_t pd_host_ending_signals(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    if (pd_host_hangup_ends()) {
        (void)sigaddset(&set, SIGHUP);
    }
    return set;
}
