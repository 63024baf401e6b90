#include "host/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DESCRIPTORS 16
#define PIECE ((size_t)1 << 30)

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *at)
{
    (void)about;
    (void)kind;
    (void)at;
    return remove(path);
}

enum pd_status pd_host_tree_remove(const char *path)
{
    if (nftw(path, remove_one, DESCRIPTORS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) == 0 ||
        errno == ENOENT) {
        return PD_OK;
    }
    return PD_ERR_IO;
}

static enum pd_status copy_bytes(int from, int to)
{
    for (;;) {
        ssize_t moved = copy_file_range(from, NULL, to, NULL, PIECE, 0);
        if (moved < 0 && (errno == EXDEV || errno == EINVAL || errno == ENOSYS)) {
            char bytes[65536];
            moved = read(from, bytes, sizeof bytes);
            if (moved > 0 && write(to, bytes, (size_t)moved) != moved) {
                moved = -1;
            }
        }
        if (moved < 0 && errno != EINTR) {
            return errno == ENOSPC || errno == EDQUOT ? PD_ERR_FULL : PD_ERR_IO;
        }
        if (moved == 0) {
            return fsync(to) == 0 ? PD_OK : PD_ERR_IO;
        }
    }
}

static enum pd_status copy_file(int from_folder, int to_folder, const char *name)
{
    int from = openat(from_folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int to = openat(to_folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    enum pd_status status = from >= 0 && to >= 0 ? copy_bytes(from, to) : PD_ERR_IO;
    int kept = errno;
    if (from >= 0) {
        (void)close(from);
    }
    if (to >= 0) {
        (void)close(to);
    }
    errno = kept;
    return status;
}

static bool ends_in(const char *name, const char *end)
{
    size_t size = strlen(name);
    size_t end_size = end == NULL ? 0 : strlen(end);
    return end != NULL && size >= end_size && strcmp(name + size - end_size, end) == 0;
}

static enum pd_status copy_all(DIR *from, int to, const char *linked)
{
    enum pd_status status = PD_OK;
    const struct dirent *entry;
    while (status == PD_OK && (entry = readdir(from)) != NULL) {
        struct stat about;
        if (fstatat(dirfd(from), entry->d_name, &about, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(about.st_mode)) {
            continue;
        }
        if (!ends_in(entry->d_name, linked) ||
            linkat(dirfd(from), entry->d_name, to, entry->d_name, 0) != 0) {
            status = copy_file(dirfd(from), to, entry->d_name);
        }
    }
    return status == PD_OK && fsync(to) != 0 ? PD_ERR_IO : status;
}

enum pd_status pd_host_tree_copy(const char *from, const char *to, const char *linked)
{
    DIR *folder = opendir(from);
    if (folder == NULL) {
        return errno == ENOENT ? PD_ERR_UNKNOWN : PD_ERR_IO;
    }
    enum pd_status status = mkdir(to, 0700) == 0 ? PD_OK : PD_ERR_IO;
    int made = status == PD_OK ? open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    status = made >= 0 ? copy_all(folder, made, linked) : PD_ERR_IO;
    int kept = errno;
    if (made >= 0) {
        (void)close(made);
    }
    (void)closedir(folder);
    errno = kept;
    return status;
}

bool pd_host_tree_is_free(const char *path, bool (*may_stay)(const char *name))
{
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return errno == ENOENT;
    }
    bool is_free = true;
    const struct dirent *entry;
    while (is_free && (entry = readdir(folder)) != NULL) {
        is_free = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
                  may_stay(entry->d_name);
    }
    (void)closedir(folder);
    return is_free;
}
