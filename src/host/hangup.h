/* hangup - SIGHUP: the terminal is gone, or who started this is. */
#ifndef PD_HOST_HANGUP_H
#define PD_HOST_HANGUP_H

#include <signal.h>
#include <stdbool.h>

/* Whether it shall end this process. False where it was ignored from the start, as by nohup. */
bool pd_host_hangup_ends(void);
/* What ends a process in order: SIGINT, SIGTERM and, if it does, SIGHUP. */
sigset_t pd_host_ending_signals(void);

#endif
