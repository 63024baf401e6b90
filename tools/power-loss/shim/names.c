/* The calls that make, change and remove names. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

/* What a fortified program calls instead of open; glibc declares them for itself only. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int from, const char *path, int flags);
int __openat64_2(int from, const char *path, int flags);

static int follow_open(int from, const char *path, int flags, mode_t mode)
{
    struct pd_power_path name;
    if ((flags & (O_CREAT | O_TRUNC)) == 0) {
        return (int)syscall(SYS_openat, from, path, flags, mode);
    }
    pd_power_resolve(from, path, &name);
    if (name.size == 0) {
        return (int)syscall(SYS_openat, from, path, flags, mode);
    }
    uint64_t inode = 0;
    struct pd_power_record record = {.kind = PD_POWER_OPEN,
                                     .flags = (flags & O_TRUNC) != 0 ? PD_POWER_EMPTIES : 0};
    pd_power_lock_names();
    uint64_t call = pd_power_begin(&record, &name, NULL);
    int result = (int)syscall(SYS_openat, from, path, flags, mode);
    if (result >= 0) {
        pd_power_follows(result, &inode);
    }
    pd_power_done(call, result, inode);
    pd_power_unlock_names();
    return result;
}

/* The mode is there only where it means something. */
#define TAKE_MODE(flags, mode)                                                                     \
    mode_t mode = 0;                                                                               \
    if (((flags)&O_CREAT) != 0 || ((flags)&O_TMPFILE) == O_TMPFILE) {                              \
        va_list more;                                                                              \
        va_start(more, flags);                                                                     \
        mode = va_arg(more, mode_t);                                                               \
        va_end(more);                                                                              \
    }

int open(const char *path, int flags, ...)
{
    TAKE_MODE(flags, mode)
    return follow_open(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    TAKE_MODE(flags, mode)
    return follow_open(AT_FDCWD, path, flags, mode);
}

int openat(int from, const char *path, int flags, ...)
{
    TAKE_MODE(flags, mode)
    return follow_open(from, path, flags, mode);
}

int openat64(int from, const char *path, int flags, ...)
{
    TAKE_MODE(flags, mode)
    return follow_open(from, path, flags, mode);
}

int __open_2(const char *path, int flags)
{
    return follow_open(AT_FDCWD, path, flags, 0);
}

int __open64_2(const char *path, int flags)
{
    return follow_open(AT_FDCWD, path, flags, 0);
}

int __openat_2(int from, const char *path, int flags)
{
    return follow_open(from, path, flags, 0);
}

int __openat64_2(int from, const char *path, int flags)
{
    return follow_open(from, path, flags, 0);
}

int creat(const char *path, mode_t mode)
{
    return follow_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int creat64(const char *path, mode_t mode)
{
    return creat(path, mode);
}

/* A change of one or two names; `make` is the system call. A name on one side only of the folder's
 * border would come from, or go to, where nothing is known. */
struct name_call {
    enum pd_power_kind kind;
    struct pd_power_path first;
    struct pd_power_path second;
    bool has_second;
};

static uint64_t begin_names(struct name_call *call)
{
    struct pd_power_record record = {.kind = (uint32_t)call->kind};
    if (call->has_second && (call->first.size == 0) != (call->second.size == 0)) {
        record.kind = PD_POWER_UNSEEN;
        call->first = call->first.size == 0 ? call->second : call->first;
    }
    return pd_power_begin(&record, &call->first, call->has_second ? &call->second : NULL);
}

static bool is_followed(const struct name_call *call)
{
    return call->first.size > 0 || (call->has_second && call->second.size > 0);
}

static int rename_names(int from, const char *old, int to, const char *new, unsigned int flags)
{
    struct name_call call = {.kind = PD_POWER_RENAME, .has_second = true};
    pd_power_resolve(from, old, &call.first);
    pd_power_resolve(to, new, &call.second);
    if (!is_followed(&call)) {
        return (int)syscall(SYS_renameat2, from, old, to, new, flags);
    }
    if ((flags & ~(unsigned int)RENAME_NOREPLACE) != 0) {
        call.kind = PD_POWER_UNSEEN;
    }
    pd_power_lock_names();
    uint64_t number = begin_names(&call);
    int result = (int)syscall(SYS_renameat2, from, old, to, new, flags);
    pd_power_done(number, result, 0);
    pd_power_unlock_names();
    return result;
}

int rename(const char *old, const char *new)
{
    return rename_names(AT_FDCWD, old, AT_FDCWD, new, 0);
}

int renameat(int from, const char *old, int to, const char *new)
{
    return rename_names(from, old, to, new, 0);
}

int renameat2(int from, const char *old, int to, const char *new, unsigned int flags)
{
    return rename_names(from, old, to, new, flags);
}

int linkat(int from, const char *old, int to, const char *new, int flags)
{
    struct name_call call = {.kind = PD_POWER_LINK, .has_second = true};
    pd_power_resolve(from, old, &call.first);
    pd_power_resolve(to, new, &call.second);
    if (!is_followed(&call)) {
        return (int)syscall(SYS_linkat, from, old, to, new, flags);
    }
    pd_power_lock_names();
    uint64_t number = begin_names(&call);
    int result = (int)syscall(SYS_linkat, from, old, to, new, flags);
    pd_power_done(number, result, 0);
    pd_power_unlock_names();
    return result;
}

int link(const char *old, const char *new)
{
    return linkat(AT_FDCWD, old, AT_FDCWD, new, 0);
}

int unlinkat(int from, const char *path, int flags)
{
    struct name_call call = {.kind = PD_POWER_REMOVE};
    pd_power_resolve(from, path, &call.first);
    if (!is_followed(&call)) {
        return (int)syscall(SYS_unlinkat, from, path, flags);
    }
    pd_power_lock_names();
    uint64_t number = begin_names(&call);
    int result = (int)syscall(SYS_unlinkat, from, path, flags);
    pd_power_done(number, result, 0);
    pd_power_unlock_names();
    return result;
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int remove(const char *path)
{
    int result = unlink(path);
    return result != 0 && errno == EISDIR ? rmdir(path) : result;
}

int mkdirat(int from, const char *path, mode_t mode)
{
    struct name_call call = {.kind = PD_POWER_MKDIR};
    uint64_t inode = 0;
    pd_power_resolve(from, path, &call.first);
    if (!is_followed(&call)) {
        return (int)syscall(SYS_mkdirat, from, path, mode);
    }
    pd_power_lock_names();
    uint64_t number = begin_names(&call);
    int result = (int)syscall(SYS_mkdirat, from, path, mode);
    int made = result == 0 ? (int)syscall(SYS_openat, from, path, O_PATH | O_CLOEXEC) : -1;
    if (made >= 0) {
        pd_power_follows(made, &inode);
        close(made);
    }
    pd_power_done(number, result, inode);
    pd_power_unlock_names();
    return result;
}

int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}
