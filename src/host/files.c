/* Open files: reading, writing and all that works on a descriptor. Paths are in files_path.c. */
#include "host/files.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "host/descriptors.h"
#include "host/files_posix.h"

static struct pd_file *standard(struct pd_files *files, int stream)
{
    pd_assert(stream >= 0 && stream <= 2);
    return &pd_posix_files_of(files)->standard[stream].base;
}

static void retain(struct pd_files *files, struct pd_file *file)
{
    (void)files;
    if (!pd_posix_file_of(file)->is_borrowed) {
        atomic_fetch_add_explicit(&file->refs, 1, memory_order_relaxed);
    }
}

bool pd_files_reserve(struct pd_files *files)
{
    struct pd_posix_files *posix = pd_posix_files_of(files);
    if (atomic_fetch_add(&posix->open_count, 1) < atomic_load(&posix->open_max)) {
        return true;
    }
    pd_files_unreserve(files);
    return false;
}

void pd_files_unreserve(struct pd_files *files)
{
    uint32_t before = atomic_fetch_sub(&pd_posix_files_of(files)->open_count, 1);
    pd_assert(before > 0);
}

static void release(struct pd_files *files, struct pd_file *file)
{
    struct pd_posix_file *posix = pd_posix_file_of(file);
    if (posix->is_borrowed ||
        atomic_fetch_sub_explicit(&file->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    close(posix->fd);
    pd_files_unreserve(files);
    pd_free(posix);
}

enum pd_file_error pd_files_wrap(struct pd_files *files, int fd, enum pd_file_type type,
                                 struct pd_file **file_out)
{
    struct pd_posix_file *posix = pd_alloc_zeroed(1, sizeof *posix);
    if (posix == NULL) {
        close(fd);
        pd_files_unreserve(files);
        return PD_FILE_NOMEM;
    }
    atomic_init(&posix->base.refs, 1);
    posix->base.type = type;
    posix->base.is_stream = type != PD_FILE_TYPE_REGULAR && type != PD_FILE_TYPE_DIRECTORY &&
                            type != PD_FILE_TYPE_BLOCK_DEVICE;
    posix->fd = fd;
    *file_out = &posix->base;
    return PD_FILE_OK;
}

/* At the end of the file, wherever that is by then, and the position moves behind it. O_APPEND
 * would do the same, but on Linux also to pwrite, which has a place of its own. */
static ssize_t append(int fd, const struct pd_file_io *io)
{
    struct iovec piece = {.iov_base = io->bytes, .iov_len = io->size};
    return pwritev2(fd, &piece, 1, -1, RWF_APPEND);
}

/* pread, read or a look at what a connection holds; pwrite or write. EINTR is retried. */
static ssize_t transfer(struct pd_file *file, struct pd_file_io *io, bool is_write)
{
    int fd = pd_posix_file_of(file)->fd;
    bool is_append = pd_posix_file_of(file)->is_append;
    ssize_t count;
    do {
        if (io->is_peek) {
            count = recv(fd, io->bytes, io->size, MSG_PEEK);
        } else if (io->offset == PD_FILE_POSITION) {
            count = !is_write   ? read(fd, io->bytes, io->size)
                    : is_append ? append(fd, io)
                                : write(fd, io->bytes, io->size);
        } else if (io->offset > INT64_MAX) {
            errno = EINVAL;
            return -1;
        } else {
            off_t offset = (off_t)io->offset;
            count = is_write ? pwrite(fd, io->bytes, io->size, offset)
                             : pread(fd, io->bytes, io->size, offset);
        }
    } while (count < 0 && errno == EINTR);
    return count;
}

/* A stream is waited for with poll, so that the wait can be ended, and only then touched. Another
 * reader may have been quicker: then wait again. */
static enum pd_file_error move_bytes(struct pd_file *file, struct pd_file_io *io, bool is_write)
{
    int fd = pd_posix_file_of(file)->fd;
    short events = is_write ? POLLOUT : POLLIN;
    for (;;) {
        if (file->is_stream) {
            enum pd_file_error error = pd_files_wait(fd, events, io->is_nonblocking, io->cancel);
            if (error != PD_FILE_OK) {
                return error;
            }
        }
        ssize_t count = transfer(file, io, is_write);
        if (count >= 0) {
            io->done = (size_t)count;
            return PD_FILE_OK;
        }
        if (errno != EAGAIN || !file->is_stream || io->is_nonblocking) {
            return pd_files_error(errno);
        }
    }
}

static enum pd_file_error read_bytes(struct pd_files *files, struct pd_file *file,
                                     struct pd_file_io *io)
{
    (void)files;
    return move_bytes(file, io, false);
}

static enum pd_file_error write_bytes(struct pd_files *files, struct pd_file *file,
                                      struct pd_file_io *io)
{
    (void)files;
    return move_bytes(file, io, true);
}

static enum pd_file_error seek(struct pd_files *files, struct pd_file *file, int64_t delta,
                               enum pd_file_whence whence, uint64_t *position_out)
{
    (void)files;
    static const int os_whence[] = {
        [PD_FILE_FROM_START] = SEEK_SET,
        [PD_FILE_FROM_POSITION] = SEEK_CUR,
        [PD_FILE_FROM_END] = SEEK_END,
    };
    if (file->is_stream) {
        return PD_FILE_SPIPE;
    }
    off_t position = lseek(pd_posix_file_of(file)->fd, delta, os_whence[whence]);
    if (position < 0) {
        return pd_files_error(errno);
    }
    *position_out = (uint64_t)position;
    return PD_FILE_OK;
}

static enum pd_file_error stat_file(struct pd_files *files, struct pd_file *file,
                                    struct pd_file_stat *stat_out)
{
    (void)files;
    return pd_files_stat_fd(pd_posix_file_of(file)->fd, stat_out);
}

static enum pd_file_error set_size(struct pd_files *files, struct pd_file *file, uint64_t size)
{
    (void)files;
    if (size > INT64_MAX) {
        return PD_FILE_INVAL;
    }
    return ftruncate(pd_posix_file_of(file)->fd, (off_t)size) == 0 ? PD_FILE_OK
                                                                   : pd_files_error(errno);
}

static enum pd_file_error set_times(struct pd_files *files, struct pd_file *file,
                                    const struct pd_file_times *times)
{
    (void)files;
    struct timespec pair[2];
    pd_files_times(times, pair);
    return futimens(pd_posix_file_of(file)->fd, pair) == 0 ? PD_FILE_OK : pd_files_error(errno);
}

static enum pd_file_error set_append(struct pd_files *files, struct pd_file *file, bool is_append)
{
    (void)files;
    struct pd_posix_file *posix = pd_posix_file_of(file);
    if (posix->is_borrowed) {
        return PD_FILE_NOTSUP; /* the description is shared with other programs */
    }
    posix->is_append = is_append && !file->is_stream;
    return PD_FILE_OK;
}

static enum pd_file_error sync_file(struct pd_files *files, struct pd_file *file, bool is_data_only)
{
    (void)files;
    int fd = pd_posix_file_of(file)->fd;
    return (is_data_only ? fdatasync(fd) : fsync(fd)) == 0 ? PD_FILE_OK : pd_files_error(errno);
}

static enum pd_file_error advise(struct pd_files *files, struct pd_file *file, uint64_t offset,
                                 uint64_t size, unsigned advice)
{
    (void)files;
    static const int os_advice[] = {POSIX_FADV_NORMAL,   POSIX_FADV_SEQUENTIAL, POSIX_FADV_RANDOM,
                                    POSIX_FADV_WILLNEED, POSIX_FADV_DONTNEED,   POSIX_FADV_NOREUSE};
    if (advice >= sizeof os_advice / sizeof os_advice[0] || offset > INT64_MAX ||
        size > INT64_MAX) {
        return PD_FILE_INVAL;
    }
    int os_errno =
        posix_fadvise(pd_posix_file_of(file)->fd, (off_t)offset, (off_t)size, os_advice[advice]);
    return os_errno == 0 ? PD_FILE_OK : pd_files_error(os_errno);
}

/* fallocate alone: glibc's emulation for systems without it would write every block. */
static enum pd_file_error allocate(struct pd_files *files, struct pd_file *file, uint64_t offset,
                                   uint64_t size)
{
    (void)files;
    if (size == 0 || offset > INT64_MAX || size > INT64_MAX - offset) {
        return PD_FILE_INVAL;
    }
    int result;
    do {
        result = fallocate(pd_posix_file_of(file)->fd, 0, (off_t)offset, (off_t)size);
    } while (result != 0 && errno == EINTR);
    return result == 0 ? PD_FILE_OK : pd_files_error(errno);
}

/* Locks of the open file description, not of the process: those would not hold between two opens of
 * one program, and any close of the file would drop them. */
static enum pd_file_error lock_bytes(struct pd_files *files, struct pd_file *file, uint64_t offset,
                                     uint64_t size, enum pd_file_lock lock)
{
    (void)files;
    static const short os_lock[] = {
        [PD_FILE_LOCK_NONE] = F_UNLCK,
        [PD_FILE_LOCK_SHARED] = F_RDLCK,
        [PD_FILE_LOCK_EXCLUSIVE] = F_WRLCK,
    };
    if (offset > INT64_MAX || size == 0 || size > INT64_MAX - offset) {
        return PD_FILE_INVAL;
    }
    struct flock os = {.l_type = os_lock[lock],
                       .l_whence = SEEK_SET,
                       .l_start = (off_t)offset,
                       .l_len = (off_t)size};
    if (fcntl(pd_posix_file_of(file)->fd, F_OFD_SETLK, &os) == 0) {
        return PD_FILE_OK;
    }
    return errno == EACCES || errno == EAGAIN ? PD_FILE_AGAIN : pd_files_error(errno);
}

static enum pd_file_error is_locked(struct pd_files *files, struct pd_file *file, uint64_t offset,
                                    uint64_t size, bool *is_held_out)
{
    (void)files;
    if (offset > INT64_MAX || size == 0 || size > INT64_MAX - offset) {
        return PD_FILE_INVAL;
    }
    struct flock os = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)offset, .l_len = (off_t)size};
    if (fcntl(pd_posix_file_of(file)->fd, F_OFD_GETLK, &os) != 0) {
        return pd_files_error(errno);
    }
    *is_held_out = os.l_type != F_UNLCK;
    return PD_FILE_OK;
}

static enum pd_status open_failed(int os_errno, const char *host_path, char *why_out,
                                  size_t why_size)
{
    enum pd_status status = PD_ERR_IO;
    const char *reason = "cannot be opened";
    if (os_errno == ENOENT || os_errno == ENOTDIR) {
        status = PD_ERR_UNKNOWN;
        reason = os_errno == ENOENT ? "does not exist" : "is not a directory";
    } else if (os_errno == EACCES || os_errno == EPERM) {
        status = PD_ERR_DENIED;
        reason = "may not be opened by this user";
    } else if (os_errno == ENOSYS) {
        status = PD_ERR_UNSUPPORTED;
        reason = "cannot be confined: this kernel has no openat2 (Linux 5.6 or newer has it)";
    }
    if (why_out != NULL && why_size > 0) {
        snprintf(why_out, why_size, "the directory '%s' %s (%s)", host_path, reason,
                 strerrordesc_np(os_errno));
    }
    return status;
}

/* A descriptor of a directory in which the kernel confines paths; -1 and errno otherwise. */
static int open_confined(const char *host_path)
{
    int fd = open(host_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    /* The probe: a sandbox that the kernel cannot hold must not be opened at all. A seccomp filter
     * that knows openat2 only by absence answers EPERM. */
    int probe = pd_files_resolve(fd, ".", O_PATH | O_DIRECTORY, 0);
    if (probe < 0) {
        int os_errno = errno == EPERM ? ENOSYS : errno;
        close(fd);
        errno = os_errno;
        return -1;
    }
    close(probe);
    return fd;
}

static enum pd_status directory_open(struct pd_files *files, const char *host_path,
                                     struct pd_file **dir_out, char *why_out, size_t why_size)
{
    if (!pd_files_reserve(files)) {
        return open_failed(EMFILE, host_path, why_out, why_size);
    }
    int fd = open_confined(host_path);
    if (fd < 0) {
        int os_errno = errno;
        pd_files_unreserve(files);
        return open_failed(os_errno, host_path, why_out, why_size);
    }
    if (pd_files_wrap(files, fd, PD_FILE_TYPE_DIRECTORY, dir_out) != PD_FILE_OK) {
        return PD_ERR_NO_MEMORY;
    }
    return PD_OK;
}

const struct pd_files_ops pd_files_posix_ops = {
    .directory_open = directory_open,
    .standard = standard,
    .retain = retain,
    .release = release,
    .read = read_bytes,
    .write = write_bytes,
    .seek = seek,
    .stat = stat_file,
    .set_size = set_size,
    .set_times = set_times,
    .set_append = set_append,
    .sync = sync_file,
    .advise = advise,
    .allocate = allocate,
    .lock = lock_bytes,
    .is_locked = is_locked,
    .list = pd_files_list,
    .listing_deinit = pd_files_listing_deinit,
    .open_at = pd_files_open_at,
    .stat_at = pd_files_stat_at,
    .set_times_at = pd_files_set_times_at,
    .make_directory_at = pd_files_make_directory_at,
    .remove_directory_at = pd_files_remove_directory_at,
    .unlink_at = pd_files_unlink_at,
    .rename_at = pd_files_rename_at,
    .link_at = pd_files_link_at,
    .symlink_at = pd_files_symlink_at,
    .readlink_at = pd_files_readlink_at,
    .listen = pd_files_listen,
    .accept = pd_files_accept,
    .shutdown = pd_files_shutdown,
    .poll = pd_files_poll,
    .cancel_create = pd_files_cancel_create,
    .cancel_signal = pd_files_cancel_signal,
    .cancel_release = pd_files_cancel_release,
};

static void standard_init(struct pd_posix_file *posix, int fd)
{
    struct stat os;
    atomic_init(&posix->base.refs, 1);
    posix->fd = fd;
    posix->is_borrowed = true;
    posix->base.type = fstat(fd, &os) == 0 ? pd_files_type(os.st_mode) : PD_FILE_TYPE_UNKNOWN;
    /* Input from a file is always ready, and poll(2) says so: treating it as a stream is right
     * too. */
    posix->base.is_stream = true;
}

enum pd_status pd_files_create(struct pd_files **files_out)
{
    struct pd_posix_files *files = pd_alloc_zeroed(1, sizeof *files);
    if (files == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    files->base.ops = &pd_files_posix_ops;
    atomic_init(&files->open_count, 0);
    atomic_init(&files->open_max, pd_descriptors_of_process().files);
    for (int stream = 0; stream < 3; stream++) {
        standard_init(&files->standard[stream], stream);
    }
    signal(SIGPIPE, SIG_IGN);
    *files_out = &files->base;
    return PD_OK;
}

enum pd_status pd_files_create_deterministic(struct pd_host *host, struct pd_files **files_out)
{
    struct pd_files *files = NULL;
    enum pd_status status = pd_files_create(&files);
    if (status != PD_OK) {
        return status;
    }
    struct pd_posix_files *posix = pd_posix_files_of(files);
    posix->virtual_state = pd_files_virtual_create(host);
    if (posix->virtual_state == NULL) {
        pd_files_destroy(files);
        return PD_ERR_NO_MEMORY;
    }
    for (int stream = 0; stream < 3; stream++) {
        posix->standard[stream].base.type = PD_FILE_TYPE_CHARACTER_DEVICE;
    }
    files->ops = pd_files_virtual_ops(posix->virtual_state);
    *files_out = files;
    return PD_OK;
}

void pd_files_set_max(struct pd_files *files, uint32_t files_max)
{
    atomic_store(&pd_posix_files_of(files)->open_max, files_max);
}

void pd_files_destroy(struct pd_files *files)
{
    if (files == NULL) {
        return;
    }
    pd_files_virtual_destroy(pd_posix_files_of(files)->virtual_state);
    pd_free(files);
}
