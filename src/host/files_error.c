/* One table from Linux's errno to preview 1's, and the two small translations that go with stat. */
#include <errno.h>
#include <sys/stat.h>
#include <time.h>

#include "host/files_posix.h"

#define NS_PER_S 1000000000u

static const struct {
    int os;
    enum pd_file_error error;
} error_table[] = {
    {E2BIG, PD_FILE_2BIG},
    {EACCES, PD_FILE_ACCES},
    {EAGAIN, PD_FILE_AGAIN},
    {EBADF, PD_FILE_BADF},
    {EBUSY, PD_FILE_BUSY},
    {ECANCELED, PD_FILE_CANCELED},
    {ECONNABORTED, PD_FILE_CONNABORTED},
    {ECONNRESET, PD_FILE_CONNRESET},
    {EDQUOT, PD_FILE_DQUOT},
    {EEXIST, PD_FILE_EXIST},
    {EFAULT, PD_FILE_FAULT},
    {EFBIG, PD_FILE_FBIG},
    {EILSEQ, PD_FILE_ILSEQ},
    {EINTR, PD_FILE_INTR},
    {EINVAL, PD_FILE_INVAL},
    {EIO, PD_FILE_IO},
    {EISDIR, PD_FILE_ISDIR},
    {ELOOP, PD_FILE_LOOP},
    {EMFILE, PD_FILE_MFILE},
    {EMLINK, PD_FILE_MLINK},
    {ENAMETOOLONG, PD_FILE_NAMETOOLONG},
    {ENFILE, PD_FILE_NFILE},
    {ENOBUFS, PD_FILE_NOBUFS},
    {ENODEV, PD_FILE_NODEV},
    {ENOENT, PD_FILE_NOENT},
    {ENOLCK, PD_FILE_NOLCK},
    {ENOMEM, PD_FILE_NOMEM},
    {ENOSPC, PD_FILE_NOSPC},
    {ENOSYS, PD_FILE_NOSYS},
    {ENOTCONN, PD_FILE_NOTCONN},
    {ENOTDIR, PD_FILE_NOTDIR},
    {ENOTEMPTY, PD_FILE_NOTEMPTY},
    {ENOTSOCK, PD_FILE_NOTSOCK},
    {EOPNOTSUPP, PD_FILE_NOTSUP},
    {ENOTTY, PD_FILE_NOTTY},
    {ENXIO, PD_FILE_NXIO},
    {EOVERFLOW, PD_FILE_OVERFLOW},
    {EPERM, PD_FILE_PERM},
    {EPIPE, PD_FILE_PIPE},
    {ERANGE, PD_FILE_RANGE},
    {EROFS, PD_FILE_ROFS},
    {ESPIPE, PD_FILE_SPIPE},
    {ESTALE, PD_FILE_STALE},
    {ETIMEDOUT, PD_FILE_TIMEDOUT},
    {ETXTBSY, PD_FILE_TXTBSY},
    {EXDEV, PD_FILE_XDEV},
};

enum pd_file_error pd_files_error(int os_errno)
{
    for (size_t i = 0; i < sizeof error_table / sizeof error_table[0]; i++) {
        if (error_table[i].os == os_errno) {
            return error_table[i].error;
        }
    }
    return PD_FILE_IO;
}

enum pd_file_type pd_files_type(unsigned mode)
{
    switch (mode & S_IFMT) {
    case S_IFBLK:
        return PD_FILE_TYPE_BLOCK_DEVICE;
    case S_IFCHR:
        return PD_FILE_TYPE_CHARACTER_DEVICE;
    case S_IFDIR:
        return PD_FILE_TYPE_DIRECTORY;
    case S_IFREG:
        return PD_FILE_TYPE_REGULAR;
    case S_IFLNK:
        return PD_FILE_TYPE_LINK;
    case S_IFSOCK:
        return PD_FILE_TYPE_SOCKET_STREAM;
    default:
        return PD_FILE_TYPE_UNKNOWN; /* a pipe: preview 1 has no word for it */
    }
}

/* Nanoseconds since the epoch; what lies before it, or past the year 2554, is pinned to the
 * edge. */
static uint64_t nanoseconds(const struct timespec *time)
{
    if (time->tv_sec < 0) {
        return 0;
    }
    if ((uint64_t)time->tv_sec > UINT64_MAX / NS_PER_S - 1) {
        return UINT64_MAX;
    }
    return (uint64_t)time->tv_sec * NS_PER_S + (uint64_t)time->tv_nsec;
}

enum pd_file_error pd_files_stat_fd(int fd, struct pd_file_stat *stat_out)
{
    struct stat os;
    if (fstat(fd, &os) != 0) {
        return pd_files_error(errno);
    }
    *stat_out = (struct pd_file_stat){
        .device = os.st_dev,
        .inode = os.st_ino,
        .link_count = os.st_nlink,
        .size = os.st_size < 0 ? 0 : (uint64_t)os.st_size,
        .accessed_ns = nanoseconds(&os.st_atim),
        .modified_ns = nanoseconds(&os.st_mtim),
        .changed_ns = nanoseconds(&os.st_ctim),
        .type = pd_files_type(os.st_mode),
    };
    return PD_FILE_OK;
}

static struct timespec time_to_set(uint64_t ns, bool is_set, bool is_now)
{
    if (is_now) {
        return (struct timespec){.tv_nsec = UTIME_NOW};
    }
    if (!is_set) {
        return (struct timespec){.tv_nsec = UTIME_OMIT};
    }
    return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
}

void pd_files_times(const struct pd_file_times *times, struct timespec pair_out[2])
{
    pair_out[0] = time_to_set(times->accessed_ns, (times->flags & PD_FILE_TIME_ACCESSED) != 0,
                              (times->flags & PD_FILE_TIME_ACCESSED_NOW) != 0);
    pair_out[1] = time_to_set(times->modified_ns, (times->flags & PD_FILE_TIME_MODIFIED) != 0,
                              (times->flags & PD_FILE_TIME_MODIFIED_NOW) != 0);
}
