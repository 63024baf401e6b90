/* The application file's door to the real files. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/app.h"

static enum pd_status status_of_errno(void)
{
    switch (errno) {
    case ENOENT:
    case ENOTDIR:
        return PD_ERR_UNKNOWN;
    case EACCES:
    case EPERM:
        return PD_ERR_DENIED;
    default:
        return PD_ERR_IO;
    }
}

static enum pd_status read_all(int descriptor, uint8_t *bytes, size_t size, size_t *size_out)
{
    size_t done = 0;
    while (done < size) {
        ssize_t count = read(descriptor, bytes + done, size - done);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            return status_of_errno();
        }
        if (count == 0) {
            break;
        }
        done += (size_t)count;
    }
    *size_out = done;
    return PD_OK;
}

/* O_NONBLOCK: a pipe that nobody writes to is told to be no file, not waited for. */
static enum pd_status read_file(void *context, const char *path, uint8_t *bytes, size_t size,
                                size_t *size_out)
{
    (void)context;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) {
        return status_of_errno();
    }
    struct stat about;
    enum pd_status status = PD_ERR_INVALID;
    if (fstat(descriptor, &about) != 0) {
        status = status_of_errno();
    } else if (S_ISREG(about.st_mode)) {
        status = read_all(descriptor, bytes, size, size_out);
    }
    (void)close(descriptor);
    return status;
}

const struct pd_app_files pd_app_real_files = {.context = NULL, .read = read_file};
