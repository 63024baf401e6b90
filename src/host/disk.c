#include "host/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/alloc.h"

#define FILES_MAX 64

/* Two descriptors of one file: writes of whole, aligned blocks go past the page cache, where the
 * file system can. */
struct file {
    int plain;  /* -1: the slot is free */
    int direct; /* -1: the file system has no O_DIRECT */
};

struct disk {
    struct pd_disk base;
    int folder;
    struct file files[FILES_MAX];
};

static struct disk *disk_of(struct pd_disk *base)
{
    return (struct disk *)base;
}

static enum pd_status status_of(int error)
{
    switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EMFILE: /* nothing was done, and later there may be one */
    case ENFILE:
        return PD_ERR_FULL;
    case ENOENT:
        return PD_ERR_UNKNOWN;
    case EEXIST:
        return PD_ERR_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
        return PD_ERR_DENIED;
    default:
        return PD_ERR_IO;
    }
}

static enum pd_status open_file(struct disk *disk, const char *name, int flags,
                                struct pd_disk_file *file_out)
{
    int slot = 0;
    while (slot < FILES_MAX && disk->files[slot].plain >= 0) {
        slot++;
    }
    if (slot == FILES_MAX) {
        return PD_ERR_IO;
    }
    int plain = openat(disk->folder, name, flags | O_RDWR | O_CLOEXEC, 0600);
    if (plain < 0 && (errno == EACCES || errno == EROFS) && (flags & O_CREAT) == 0) {
        plain = openat(disk->folder, name, O_RDONLY | O_CLOEXEC);
    }
    if (plain < 0) {
        return status_of(errno);
    }
    disk->files[slot].plain = plain;
    disk->files[slot].direct = openat(disk->folder, name, O_WRONLY | O_DIRECT | O_CLOEXEC);
    file_out->handle = slot;
    return PD_OK;
}

static enum pd_status create_op(struct pd_disk *base, const char *name,
                                struct pd_disk_file *file_out)
{
    return open_file(disk_of(base), name, O_CREAT | O_EXCL, file_out);
}

static void close_op(struct pd_disk *base, struct pd_disk_file file)
{
    struct file *slot = &disk_of(base)->files[file.handle];
    close(slot->plain);
    if (slot->direct >= 0) {
        close(slot->direct);
    }
    slot->plain = -1;
}

static enum pd_status open_op(struct pd_disk *base, const char *name, struct pd_disk_file *file_out,
                              uint64_t *size_out)
{
    enum pd_status status = open_file(disk_of(base), name, 0, file_out);
    if (status != PD_OK) {
        return status;
    }
    struct stat about;
    if (fstat(disk_of(base)->files[file_out->handle].plain, &about) != 0 ||
        !S_ISREG(about.st_mode)) {
        close_op(base, *file_out);
        return PD_ERR_IO;
    }
    *size_out = (uint64_t)about.st_size;
    return PD_OK;
}

static enum pd_status write_all(int descriptor, uint64_t offset, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = pwrite(descriptor, bytes, size, (off_t)offset);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return written == 0 ? PD_ERR_IO : status_of(errno);
        }
        bytes += written;
        offset += (uint64_t)written;
        size -= (size_t)written;
    }
    return PD_OK;
}

static enum pd_status write_op(struct pd_disk *base, struct pd_disk_file file, uint64_t offset,
                               const uint8_t *bytes, size_t size)
{
    struct file *slot = &disk_of(base)->files[file.handle];
    bool is_aligned = ((uintptr_t)bytes | offset | size) % PD_DISK_BLOCK_SIZE == 0;
    if (slot->direct < 0 || !is_aligned) {
        return write_all(slot->plain, offset, bytes, size);
    }
    enum pd_status status = write_all(slot->direct, offset, bytes, size);
    if (status == PD_ERR_IO && errno == EINVAL) {
        /* Some file systems open with O_DIRECT and then refuse it. */
        close(slot->direct);
        slot->direct = -1;
        status = write_all(slot->plain, offset, bytes, size);
    }
    return status;
}

static enum pd_status read_op(struct pd_disk *base, struct pd_disk_file file, uint64_t offset,
                              uint8_t *bytes, size_t size, size_t *size_out)
{
    size_t got = 0;
    while (got < size) {
        ssize_t count = pread(disk_of(base)->files[file.handle].plain, bytes + got, size - got,
                              (off_t)(offset + got));
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            return PD_ERR_IO;
        }
        if (count == 0) {
            break;
        }
        got += (size_t)count;
    }
    *size_out = got;
    return PD_OK;
}

static enum pd_status truncate_op(struct pd_disk *base, struct pd_disk_file file, uint64_t size)
{
    return ftruncate(disk_of(base)->files[file.handle].plain, (off_t)size) == 0 ? PD_OK
                                                                                : status_of(errno);
}

static enum pd_status sync_op(struct pd_disk *base, struct pd_disk_file file)
{
    return fdatasync(disk_of(base)->files[file.handle].plain) == 0 ? PD_OK : PD_ERR_IO;
}

static enum pd_status rename_op(struct pd_disk *base, const char *from, const char *to)
{
    int folder = disk_of(base)->folder;
    return renameat(folder, from, folder, to) == 0 ? PD_OK : status_of(errno);
}

static enum pd_status remove_op(struct pd_disk *base, const char *name)
{
    return unlinkat(disk_of(base)->folder, name, 0) == 0 ? PD_OK : status_of(errno);
}

static enum pd_status sync_names_op(struct pd_disk *base)
{
    return fsync(disk_of(base)->folder) == 0 ? PD_OK : PD_ERR_IO;
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(((const struct pd_disk_name *)left)->text,
                  ((const struct pd_disk_name *)right)->text);
}

static enum pd_status list_op(struct pd_disk *base, struct pd_disk_name *names, uint32_t names_max,
                              uint32_t *count_out)
{
    int again = openat(disk_of(base)->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = again < 0 ? NULL : fdopendir(again);
    if (folder == NULL) {
        if (again >= 0) {
            close(again);
        }
        return PD_ERR_IO;
    }
    enum pd_status status = PD_OK;
    uint32_t count = 0;
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        size_t size = strlen(entry->d_name);
        if (entry->d_name[0] == '.' || size > PD_DISK_NAME_MAX) {
            continue; /* nobody here makes such names */
        }
        if (count == names_max) {
            status = PD_ERR_RANGE;
            break;
        }
        memcpy(names[count++].text, entry->d_name, size + 1);
    }
    closedir(folder);
    qsort(names, count, sizeof *names, compare_names);
    *count_out = count;
    return status;
}

static enum pd_status free_bytes_op(struct pd_disk *base, uint64_t *bytes_out)
{
    struct statvfs about;
    if (fstatvfs(disk_of(base)->folder, &about) != 0) {
        return PD_ERR_IO;
    }
    *bytes_out = (uint64_t)about.f_bavail * about.f_frsize;
    return PD_OK;
}

static void close_disk_op(struct pd_disk *base)
{
    struct disk *disk = disk_of(base);
    for (int i = 0; i < FILES_MAX; i++) {
        if (disk->files[i].plain >= 0) {
            close_op(base, (struct pd_disk_file){.handle = i});
        }
    }
    close(disk->folder);
    pd_free(disk);
}

static const struct pd_disk_ops ops = {
    .create = create_op,
    .open = open_op,
    .close = close_op,
    .write = write_op,
    .read = read_op,
    .truncate = truncate_op,
    .sync = sync_op,
    .rename = rename_op,
    .remove = remove_op,
    .sync_names = sync_names_op,
    .list = list_op,
    .free_bytes = free_bytes_op,
    .close_disk = close_disk_op,
};

/* The folder's own name is as much a part of the log as what is in it. */
static bool sync_own_name(int folder)
{
    int parent = openat(folder, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool is_synced = parent >= 0 && fsync(parent) == 0;
    if (parent >= 0) {
        close(parent);
    }
    return is_synced;
}

/* A descriptor of the folder, locked; -1 and *status_out otherwise. */
static int hold_folder(const char *path, bool may_write, enum pd_status *status_out)
{
    if (may_write && mkdir(path, 0700) != 0 && errno != EEXIST) {
        *status_out = status_of(errno);
        return -1;
    }
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) {
        *status_out = status_of(errno);
        return -1;
    }
    if (flock(folder, (may_write ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0) {
        *status_out = errno == EWOULDBLOCK ? PD_ERR_EXISTS : PD_ERR_IO;
        close(folder);
        return -1;
    }
    if (may_write && !sync_own_name(folder)) {
        *status_out = PD_ERR_IO;
        close(folder);
        return -1;
    }
    return folder;
}

enum pd_status pd_host_disk_open(const char *path, bool may_write, struct pd_disk **disk_out)
{
    enum pd_status status = PD_OK;
    int folder = hold_folder(path, may_write, &status);
    if (folder < 0) {
        return status;
    }
    struct disk *disk = pd_alloc_zeroed(1, sizeof *disk);
    if (disk == NULL) {
        close(folder);
        return PD_ERR_NO_MEMORY;
    }
    disk->base.ops = &ops;
    disk->folder = folder;
    for (int i = 0; i < FILES_MAX; i++) {
        disk->files[i] = (struct file){.plain = -1, .direct = -1};
    }
    *disk_out = &disk->base;
    return PD_OK;
}
