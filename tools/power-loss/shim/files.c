/* The calls that change what a file holds, and those that make it durable. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

/* The kernel takes an offset in two halves where a register cannot hold it. */
#define LOW(offset) ((unsigned long)(offset))
#define HIGH(offset) 0ul
_Static_assert(sizeof(long) == 8, "offsets go to the kernel in one register");

/* -- Writes ------------------------------------------------------------------------------------ */

struct write_call {
    int descriptor;
    const struct iovec *parts;
    int count;
    off_t offset; /* -1: where the descriptor stands */
    int flags;    /* of pwritev2 */
};

static ssize_t pass_on(const struct write_call *call)
{
    if (call->flags != 0) {
        return syscall(SYS_pwritev2, call->descriptor, call->parts, call->count, LOW(call->offset),
                       HIGH(call->offset), call->flags);
    }
    if (call->offset >= 0) {
        return syscall(SYS_pwritev, call->descriptor, call->parts, call->count, LOW(call->offset),
                       HIGH(call->offset));
    }
    return syscall(SYS_writev, call->descriptor, call->parts, call->count);
}

/* Where the bytes will go. */
static uint64_t place(const struct write_call *call, int flags)
{
    struct stat about;
    bool appends = (flags & O_APPEND) != 0 || (call->flags & RWF_APPEND) != 0;
    if (appends && fstat(call->descriptor, &about) == 0) {
        return (uint64_t)about.st_size;
    }
    return call->offset >= 0 ? (uint64_t)call->offset
                             : (uint64_t)lseek(call->descriptor, 0, SEEK_CUR);
}

static ssize_t follow_write(const struct write_call *call)
{
    uint64_t inode = 0;
    if (!pd_power_follows(call->descriptor, &inode)) {
        return pass_on(call);
    }
    int flags = fcntl(call->descriptor, F_GETFL);
    bool is_durable = (flags & (O_DSYNC | O_SYNC)) != 0 || (call->flags & RWF_DSYNC) != 0;
    struct pd_power_record record = {
        .inode = inode, .offset = place(call, flags), .flags = is_durable ? PD_POWER_DSYNC : 0};
    for (int i = 0; i < call->count; i++) {
        record.length += call->parts[i].iov_len;
    }
    uint64_t number = pd_power_begin_write(&record, call->parts, call->count);
    ssize_t result = pass_on(call);
    pd_power_done(number, result, 0);
    return result;
}

static ssize_t write_bytes(int descriptor, const void *bytes, size_t size, off_t offset)
{
    struct iovec part = {(void *)(uintptr_t)bytes, size};
    return follow_write(&(struct write_call){descriptor, &part, 1, offset, 0});
}

ssize_t write(int descriptor, const void *bytes, size_t size)
{
    return write_bytes(descriptor, bytes, size, -1);
}

/* A negative offset is refused by the kernel before it means anything here. */
static bool is_refused(off_t offset)
{
    if (offset < 0) {
        errno = EINVAL;
    }
    return offset < 0;
}

ssize_t pwrite(int descriptor, const void *bytes, size_t size, off_t offset)
{
    return is_refused(offset) ? -1 : write_bytes(descriptor, bytes, size, offset);
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t size, off64_t offset)
{
    return is_refused(offset) ? -1 : write_bytes(descriptor, bytes, size, offset);
}

ssize_t writev(int descriptor, const struct iovec *parts, int count)
{
    return follow_write(&(struct write_call){descriptor, parts, count, -1, 0});
}

ssize_t pwritev(int descriptor, const struct iovec *parts, int count, off_t offset)
{
    return is_refused(offset)
               ? -1
               : follow_write(&(struct write_call){descriptor, parts, count, offset, 0});
}

ssize_t pwritev64(int descriptor, const struct iovec *parts, int count, off64_t offset)
{
    return pwritev(descriptor, parts, count, offset);
}

ssize_t pwritev2(int descriptor, const struct iovec *parts, int count, off_t offset, int flags)
{
    return follow_write(&(struct write_call){descriptor, parts, count, offset, flags});
}

ssize_t pwritev64v2(int descriptor, const struct iovec *parts, int count, off64_t offset, int flags)
{
    return pwritev2(descriptor, parts, count, offset, flags);
}

/* -- Sizes ------------------------------------------------------------------------------------- */

int ftruncate(int descriptor, off_t size)
{
    uint64_t inode = 0;
    if (!pd_power_follows(descriptor, &inode)) {
        return (int)syscall(SYS_ftruncate, descriptor, size);
    }
    struct pd_power_record record = {
        .kind = PD_POWER_TRUNCATE, .inode = inode, .length = (uint64_t)size};
    uint64_t number = pd_power_begin(&record, NULL, NULL);
    int result = (int)syscall(SYS_ftruncate, descriptor, size);
    pd_power_done(number, result, 0);
    return result;
}

int ftruncate64(int descriptor, off64_t size)
{
    return ftruncate(descriptor, size);
}

int truncate(const char *path, off_t size)
{
    int descriptor = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC);
    if (descriptor < 0) {
        return -1;
    }
    int result = ftruncate(descriptor, size);
    int error = errno;
    close(descriptor);
    errno = error;
    return result;
}

int truncate64(const char *path, off64_t size)
{
    return truncate(path, size);
}

int fallocate(int descriptor, int mode, off_t offset, off_t size)
{
    uint64_t inode = 0;
    if (!pd_power_follows(descriptor, &inode)) {
        return (int)syscall(SYS_fallocate, descriptor, mode, offset, size);
    }
    struct stat about;
    uint64_t known_size = fstat(descriptor, &about) == 0 ? (uint64_t)about.st_size : 0;
    struct pd_power_record record = {.kind = PD_POWER_EXTEND,
                                     .inode = inode,
                                     .offset = (uint64_t)offset,
                                     .length = (uint64_t)size};
    if ((mode & FALLOC_FL_PUNCH_HOLE) != 0) {
        /* Zeroes up to the end of the file, which stays where it is. */
        uint64_t left = record.offset < known_size ? known_size - record.offset : 0;
        record.kind = PD_POWER_WRITE;
        record.flags = PD_POWER_ZEROES;
        record.length = record.length < left ? record.length : left;
    } else if ((mode & FALLOC_FL_KEEP_SIZE) != 0) {
        return (int)syscall(SYS_fallocate, descriptor, mode, offset, size); /* nothing to see */
    }
    if ((mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE)) != 0) {
        pd_power_unseen(descriptor);
    }
    uint64_t number = pd_power_begin(&record, NULL, NULL);
    int result = (int)syscall(SYS_fallocate, descriptor, mode, offset, size);
    pd_power_done(number, result == 0 ? (int64_t)record.length : -1, 0);
    return result;
}

int fallocate64(int descriptor, int mode, off64_t offset, off64_t size)
{
    return fallocate(descriptor, mode, offset, size);
}

int posix_fallocate(int descriptor, off_t offset, off_t size)
{
    int before = errno;
    int result = fallocate(descriptor, 0, offset, size) == 0 ? 0 : errno;
    errno = before;
    return result;
}

int posix_fallocate64(int descriptor, off64_t offset, off64_t size)
{
    return posix_fallocate(descriptor, offset, size);
}

/* -- Syncs ------------------------------------------------------------------------------------- */

static int follow_sync(long call, int descriptor)
{
    uint64_t inode = 0;
    if (!pd_power_follows(descriptor, &inode)) {
        return (int)syscall(call, descriptor);
    }
    struct pd_power_record record = {.kind = call == SYS_syncfs ? PD_POWER_SYNC_ALL : PD_POWER_SYNC,
                                     .inode = inode};
    uint64_t number = pd_power_begin(&record, NULL, NULL);
    int result = (int)syscall(call, descriptor);
    pd_power_done(number, result, 0);
    return result;
}

int fsync(int descriptor)
{
    return follow_sync(SYS_fsync, descriptor);
}

int fdatasync(int descriptor)
{
    return follow_sync(SYS_fdatasync, descriptor);
}

int syncfs(int descriptor)
{
    return follow_sync(SYS_syncfs, descriptor);
}

/* -- What is not followed ---------------------------------------------------------------------- */

void *mmap(void *at, size_t size, int protection, int flags, int descriptor, off_t offset)
{
    if (descriptor >= 0 && (flags & MAP_SHARED) != 0 && (protection & PROT_WRITE) != 0) {
        pd_power_unseen(descriptor);
    }
    // NOLINTNEXTLINE(performance-no-int-to-ptr): what the kernel returns is an address
    return (void *)syscall(SYS_mmap, at, size, protection, flags, descriptor, offset);
}

void *mmap64(void *at, size_t size, int protection, int flags, int descriptor, off64_t offset)
{
    return mmap(at, size, protection, flags, descriptor, offset);
}

ssize_t copy_file_range(int from, off64_t *from_offset, int to, off64_t *to_offset, size_t size,
                        unsigned int flags)
{
    pd_power_unseen(to);
    return syscall(SYS_copy_file_range, from, from_offset, to, to_offset, size, flags);
}

ssize_t sendfile(int to, int from, off_t *offset, size_t size)
{
    pd_power_unseen(to);
    return syscall(SYS_sendfile, to, from, offset, size);
}

ssize_t sendfile64(int to, int from, off64_t *offset, size_t size)
{
    return sendfile(to, from, offset, size);
}

/* stdio writes below these functions. */
FILE *fdopen(int descriptor, const char *mode)
{
    FILE *(*next)(int, const char *) = NULL;
    void *symbol = dlsym(RTLD_NEXT, "fdopen");
    memcpy(&next, &symbol, sizeof next);
    uint64_t inode = 0;
    if (strpbrk(mode, "wa+") != NULL && pd_power_follows(descriptor, &inode)) {
        struct pd_power_record record = {.kind = PD_POWER_STREAM, .inode = inode};
        pd_power_begin(&record, NULL, NULL);
    }
    return next(descriptor, mode);
}
