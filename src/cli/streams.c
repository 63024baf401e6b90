#include "cli/streams.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"

void pd_streams_hold(void)
{
    int descriptor = 0;
    do {
        descriptor = open("/dev/null", O_RDWR); /* not closed: it is the lowest one that is free */
    } while (descriptor >= 0 && descriptor <= STDERR_FILENO);
    if (descriptor < 0) {
        _exit(PD_EXIT_CODE_FAILED); /* there may be nobody to tell */
    }
    (void)close(descriptor);
}

static bool is_closed_pipe(void)
{
    struct pollfd pipe = {.fd = STDOUT_FILENO};
    return poll(&pipe, 1, 0) == 1 && (pipe.revents & POLLERR) != 0;
}

int pd_streams_end(int code)
{
    bool had_failed = ferror(stdout) != 0;
    bool fails = fflush(stdout) != 0;
    const char *why = fails ? strerror(errno) : "not all of it was taken";
    if ((!fails && !had_failed) || code != PD_EXIT_CODE_OK || is_closed_pipe()) {
        return code;
    }
    return pd_command_failed("cannot write to standard output: %s", why);
}
