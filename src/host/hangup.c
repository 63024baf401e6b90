#include "host/hangup.h"

#include <signal.h>
#include <stddef.h>

bool pd_host_hangup_ends(void)
{
    struct sigaction action;
    return sigaction(SIGHUP, NULL, &action) != 0 || action.sa_handler != SIG_IGN;
}
