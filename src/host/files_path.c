/* Paths, none of which leads out of the directory that it begins in.
 *
 * Whatever opens or looks goes through openat2 with RESOLVE_BENEATH as a whole. Whatever creates,
 * removes or renames splits off the last name, resolves the rest to a parent the same way, and acts
 * on that one name in it with the *at calls, which then see neither a slash nor a dot name: so
 * there is nothing left to resolve that could be exchanged in between. A trailing slash is never
 * handed to them either, because behind it Linux follows a link with no RESOLVE_BENEATH in
 * force. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "host/files_posix.h"

/* RESOLVE_BENEATH answers EAGAIN when a rename elsewhere raced with a "..". */
#define RESOLVE_TRIES_MAX 64

int pd_files_resolve(int dir_fd, const char *path, uint64_t flags, uint64_t mode)
{
    struct open_how how = {
        .flags = flags | O_CLOEXEC,
        .mode = mode,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    long fd = -1;
    for (int tries = 0; tries < RESOLVE_TRIES_MAX; tries++) {
        fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof how);
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) {
            break;
        }
    }
    return (int)fd;
}

/* errno of pd_files_resolve as ours: EXDEV means that the path leads out. */
static enum pd_file_error resolve_error(void)
{
    return errno == EXDEV ? PD_FILE_PERM : pd_files_error(errno);
}

/* One name in one open directory. */
struct place {
    int parent_fd;
    bool owns_parent;
    bool has_slash;          /* the path ended in a slash */
    char name[NAME_MAX + 1]; /* without slashes, not a dot name */
};

static bool is_dot_name(const char *name, size_t size)
{
    return (size == 1 && name[0] == '.') || (size == 2 && name[0] == '.' && name[1] == '.');
}

static void place_close(struct place *place)
{
    if (place->owns_parent) {
        close(place->parent_fd);
        place->owns_parent = false;
    }
}

/* A path whose last component is a dot name has no name to act on. If it resolves at all,
 * `when_dot` is the answer. */
static enum pd_file_error dot_error(int dir_fd, const char *path, enum pd_file_error when_dot)
{
    int fd = pd_files_resolve(dir_fd, path, O_PATH | O_DIRECTORY, 0);
    if (fd < 0) {
        return resolve_error();
    }
    close(fd);
    return when_dot;
}

/* Find the place of `path` beneath `dir`. On PD_FILE_OK, place_close it. */
static enum pd_file_error place_open(struct pd_file *dir, const char *path,
                                     enum pd_file_error when_dot, struct place *place)
{
    int dir_fd = pd_posix_file_of(dir)->fd;
    size_t size = strlen(path);
    *place = (struct place){.parent_fd = dir_fd};
    if (path[0] == '/') {
        return PD_FILE_PERM;
    }
    size_t end = size;
    while (end > 0 && path[end - 1] == '/') {
        end--;
    }
    place->has_slash = end != size;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/') {
        start--;
    }
    size_t name_size = end - start;
    if (name_size == 0) {
        return PD_FILE_NOENT;
    }
    if (is_dot_name(path + start, name_size)) {
        return dot_error(dir_fd, path, when_dot);
    }
    if (name_size > NAME_MAX) {
        return PD_FILE_NAMETOOLONG;
    }
    memcpy(place->name, path + start, name_size);
    place->name[name_size] = '\0';
    if (start == 0) {
        return PD_FILE_OK;
    }
    if (start >= PD_FILE_PATH_MAX) {
        return PD_FILE_NAMETOOLONG;
    }
    char parent[PD_FILE_PATH_MAX];
    memcpy(parent, path, start);
    parent[start] = '\0';
    place->parent_fd = pd_files_resolve(dir_fd, parent, O_PATH | O_DIRECTORY, 0);
    if (place->parent_fd < 0) {
        return resolve_error();
    }
    place->owns_parent = true;
    return PD_FILE_OK;
}

/* What lies behind "name/": `when_directory` if it is one. */
static enum pd_file_error slash_error(struct pd_file *dir, const char *path,
                                      enum pd_file_error when_directory)
{
    return dot_error(pd_posix_file_of(dir)->fd, path, when_directory);
}

static uint64_t open_flags(uint32_t flags)
{
    static const struct {
        uint32_t ours;
        uint64_t os;
    } table[] = {
        {PD_FILE_OPEN_CREATE, O_CREAT},   {PD_FILE_OPEN_DIRECTORY, O_DIRECTORY},
        {PD_FILE_OPEN_EXCLUSIVE, O_EXCL}, {PD_FILE_OPEN_TRUNCATE, O_TRUNC},
        {PD_FILE_OPEN_DSYNC, O_DSYNC},    {PD_FILE_OPEN_SYNC, O_SYNC},
    };
    /* O_NONBLOCK: opening a pipe must not wait for its other end in a helper that nothing can call
     * back. */
    uint64_t os = O_NONBLOCK | O_NOCTTY;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if ((flags & table[i].ours) != 0) {
            os |= table[i].os;
        }
    }
    if ((flags & PD_FILE_OPEN_FOLLOW) == 0) {
        os |= O_NOFOLLOW;
    }
    if ((flags & PD_FILE_OPEN_WRITE) == 0) {
        return os | O_RDONLY;
    }
    return os | ((flags & PD_FILE_OPEN_READ) != 0 ? O_RDWR : O_WRONLY);
}

/* Whether a file is one of /proc. They are doors into processes, this one first (its memory,
 * variables and descriptors), and not what somebody means who grants "/". Opening them does
 * nothing yet, so it is enough to close them again. */
static bool is_of_processes(int fd)
{
    struct statfs os;
    return fstatfs(fd, &os) != 0 || os.f_type == PROC_SUPER_MAGIC;
}

/* A descriptor and its type; -1 and *error_out otherwise. */
static int open_beneath(struct pd_file *dir, const char *path, uint32_t flags,
                        enum pd_file_type *type_out, enum pd_file_error *error_out)
{
    bool is_created = (flags & PD_FILE_OPEN_CREATE) != 0;
    int fd =
        pd_files_resolve(pd_posix_file_of(dir)->fd, path, open_flags(flags), is_created ? 0666 : 0);
    if (fd < 0) {
        *error_out = resolve_error();
        return -1;
    }
    struct stat os;
    enum pd_file_error error = fstat(fd, &os) != 0 ? pd_files_error(errno) : PD_FILE_OK;
    if (error == PD_FILE_OK && !S_ISDIR(os.st_mode) && is_of_processes(fd)) {
        error = PD_FILE_PERM;
    }
    if (error != PD_FILE_OK) {
        close(fd);
        *error_out = error;
        return -1;
    }
    *type_out = pd_files_type(os.st_mode);
    return fd;
}

enum pd_file_error pd_files_open_at(struct pd_files *files, struct pd_file *dir, const char *path,
                                    uint32_t flags, struct pd_file **file_out)
{
    uint32_t create_directory = PD_FILE_OPEN_CREATE | PD_FILE_OPEN_DIRECTORY;
    if ((flags & create_directory) == create_directory) {
        return PD_FILE_INVAL; /* Linux before 6.3 would create a regular file */
    }
    if (!pd_files_reserve(files)) {
        return PD_FILE_NFILE;
    }
    enum pd_file_type type = PD_FILE_TYPE_UNKNOWN;
    enum pd_file_error error = PD_FILE_OK;
    int fd = open_beneath(dir, path, flags, &type, &error);
    if (fd < 0) {
        pd_files_unreserve(files);
        return error;
    }
    error = pd_files_wrap(files, fd, type, file_out);
    if (error == PD_FILE_OK && (flags & PD_FILE_OPEN_APPEND) != 0) {
        error = files->ops->set_append(files, *file_out, true);
    }
    return error;
}

/* A descriptor of the thing itself, not for reading it; links in the last place are followed or
 * kept. */
static int look(struct pd_file *dir, const char *path, bool follows)
{
    return pd_files_resolve(pd_posix_file_of(dir)->fd, path, follows ? O_PATH : O_PATH | O_NOFOLLOW,
                            0);
}

enum pd_file_error pd_files_stat_at(struct pd_files *files, struct pd_file *dir, const char *path,
                                    bool follows, struct pd_file_stat *stat_out)
{
    (void)files;
    int fd = look(dir, path, follows);
    if (fd < 0) {
        return resolve_error();
    }
    enum pd_file_error error = pd_files_stat_fd(fd, stat_out);
    close(fd);
    return error;
}

enum pd_file_error pd_files_set_times_at(struct pd_files *files, struct pd_file *dir,
                                         const char *path, bool follows,
                                         const struct pd_file_times *times)
{
    (void)files;
    int fd = look(dir, path, follows);
    if (fd < 0) {
        return resolve_error();
    }
    struct timespec pair[2];
    pd_files_times(times, pair);
    enum pd_file_error error = PD_FILE_OK;
    if (utimensat(fd, "", pair, AT_EMPTY_PATH) != 0) {
        error = pd_files_error(errno);
    }
    close(fd);
    return error;
}

enum pd_file_error pd_files_make_directory_at(struct pd_files *files, struct pd_file *dir,
                                              const char *path)
{
    (void)files;
    struct place place;
    enum pd_file_error error = place_open(dir, path, PD_FILE_EXIST, &place);
    if (error != PD_FILE_OK) {
        return error;
    }
    if (mkdirat(place.parent_fd, place.name, 0777) != 0) {
        error = pd_files_error(errno);
    }
    place_close(&place);
    return error;
}

enum pd_file_error pd_files_remove_directory_at(struct pd_files *files, struct pd_file *dir,
                                                const char *path)
{
    (void)files;
    struct place place;
    enum pd_file_error error = place_open(dir, path, PD_FILE_INVAL, &place);
    if (error != PD_FILE_OK) {
        return error;
    }
    if (unlinkat(place.parent_fd, place.name, AT_REMOVEDIR) != 0) {
        error = pd_files_error(errno);
    }
    place_close(&place);
    return error;
}

enum pd_file_error pd_files_unlink_at(struct pd_files *files, struct pd_file *dir, const char *path)
{
    (void)files;
    struct place place;
    enum pd_file_error error = place_open(dir, path, PD_FILE_ISDIR, &place);
    if (error != PD_FILE_OK) {
        return error;
    }
    if (place.has_slash) {
        error = slash_error(dir, path, PD_FILE_ISDIR);
    } else if (unlinkat(place.parent_fd, place.name, 0) != 0) {
        error = pd_files_error(errno);
    }
    place_close(&place);
    return error;
}

/* With a slash on either side both must be directories; the kernel checks the second once the first
 * is. */
static enum pd_file_error rename_places(const struct place *from, const struct place *to)
{
    if (from->has_slash || to->has_slash) {
        struct stat os;
        if (fstatat(from->parent_fd, from->name, &os, AT_SYMLINK_NOFOLLOW) != 0) {
            return pd_files_error(errno);
        }
        if (!S_ISDIR(os.st_mode)) {
            return PD_FILE_NOTDIR;
        }
    }
    if (renameat(from->parent_fd, from->name, to->parent_fd, to->name) != 0) {
        return pd_files_error(errno);
    }
    return PD_FILE_OK;
}

enum pd_file_error pd_files_rename_at(struct pd_files *files, struct pd_file *dir, const char *path,
                                      struct pd_file *new_dir, const char *new_path)
{
    (void)files;
    struct place from;
    struct place to;
    enum pd_file_error error = place_open(dir, path, PD_FILE_BUSY, &from);
    if (error != PD_FILE_OK) {
        return error;
    }
    error = place_open(new_dir, new_path, PD_FILE_BUSY, &to);
    if (error == PD_FILE_OK) {
        error = rename_places(&from, &to);
        place_close(&to);
    }
    place_close(&from);
    return error;
}

enum pd_file_error pd_files_link_at(struct pd_files *files, struct pd_file *dir, const char *path,
                                    struct pd_file *new_dir, const char *new_path)
{
    (void)files;
    struct place from;
    struct place to;
    enum pd_file_error error = place_open(dir, path, PD_FILE_PERM, &from);
    if (error != PD_FILE_OK) {
        return error;
    }
    if (from.has_slash) {
        error = slash_error(dir, path, PD_FILE_PERM);
        place_close(&from);
        return error;
    }
    error = place_open(new_dir, new_path, PD_FILE_EXIST, &to);
    if (error == PD_FILE_OK) {
        if (to.has_slash) {
            error = slash_error(new_dir, new_path, PD_FILE_EXIST);
        } else if (linkat(from.parent_fd, from.name, to.parent_fd, to.name, 0) != 0) {
            error = pd_files_error(errno);
        }
        place_close(&to);
    }
    place_close(&from);
    return error;
}

enum pd_file_error pd_files_symlink_at(struct pd_files *files, const char *target,
                                       struct pd_file *dir, const char *path)
{
    (void)files;
    if (target[0] == '/') {
        return PD_FILE_PERM;
    }
    struct place place;
    enum pd_file_error error = place_open(dir, path, PD_FILE_EXIST, &place);
    if (error != PD_FILE_OK) {
        return error;
    }
    if (place.has_slash) {
        error = slash_error(dir, path, PD_FILE_EXIST);
    } else if (symlinkat(target, place.parent_fd, place.name) != 0) {
        error = pd_files_error(errno);
    }
    place_close(&place);
    return error;
}

enum pd_file_error pd_files_readlink_at(struct pd_files *files, struct pd_file *dir,
                                        const char *path, char *text_out, size_t size,
                                        size_t *size_out)
{
    (void)files;
    int fd = look(dir, path, false);
    if (fd < 0) {
        return resolve_error();
    }
    enum pd_file_error error = PD_FILE_OK;
    ssize_t count = readlinkat(fd, "", text_out, size);
    if (count < 0) {
        /* An O_PATH descriptor of anything else answers ENOENT. */
        error = errno == ENOENT ? PD_FILE_INVAL : pd_files_error(errno);
    } else {
        *size_out = (size_t)count;
    }
    close(fd);
    return error;
}
