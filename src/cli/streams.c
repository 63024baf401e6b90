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
#include "host/output.h"

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

static ssize_t put_out(void *cookie, const char *bytes, size_t size)
{
    (void)cookie;
    enum pd_file_error error = pd_host_output(STDOUT_FILENO, (const uint8_t *)bytes, size);
    return error == PD_FILE_OK ? (ssize_t)size : 0; /* 0: the stream has failed */
}

void pd_streams_print_without_waiting(void)
{
    FILE *stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = put_out});
    if (stream != NULL) {
        (void)fflush(stdout);
        stdout = stream;
    }
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
    pd_host_output_drain();
    const char *why = fails ? strerror(errno) : "not all of it was taken";
    if ((!fails && !had_failed) || code != PD_EXIT_CODE_OK || is_closed_pipe()) {
        return code;
    }
    return pd_command_failed("cannot write to standard output: %s", why);
}
