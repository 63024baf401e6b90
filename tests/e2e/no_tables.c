/* Preloaded into a node by stuck_store.sh: while the file exists that PANDO_NO_TABLES names, no new
 * table of the store can be created, as when the process has no file descriptor left at just that
 * moment. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char ending[] = ".sst";

static bool is_refused(const char *path, int flags)
{
    const char *name = getenv("PANDO_NO_TABLES");
    size_t size = strlen(path);
    return (flags & O_CREAT) != 0 && size >= sizeof ending - 1 &&
           strcmp(path + size - (sizeof ending - 1), ending) == 0 && name != NULL &&
           access(name, F_OK) == 0;
}

static int open_or_refuse(int folder, const char *path, int flags, mode_t mode)
{
    if (is_refused(path, flags)) {
        errno = EMFILE;
        return -1;
    }
    return (int)syscall(SYS_openat, folder, path, flags, mode);
}

static mode_t mode_of(int flags, va_list arguments)
{
    return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_or_refuse(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_or_refuse(AT_FDCWD, path, flags, mode);
}
