#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#define PARTS_MAX 64
#define DESCRIPTOR_MIN 512 /* out of the way of the program's own */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t trace_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t names_lock = PTHREAD_MUTEX_INITIALIZER;
static char folder[PATH_MAX];
static size_t folder_size;
static int trace = -1;
static uint64_t calls;

/* A trace with a hole in it would prove what is not so. */
static void give_up(const char *what)
{
    fprintf(stderr, "power-loss: %s: %s\n", what, strerror(errno));
    abort();
}

static void start(void)
{
    const char *name = getenv(PD_POWER_TRACE);
    const char *watched = getenv(PD_POWER_FOLDER);
    if (name == NULL || watched == NULL) {
        return;
    }
    folder_size = strnlen(watched, sizeof folder - 1);
    memcpy(folder, watched, folder_size);
    int opened =
        (int)syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    trace = opened < 0 ? -1 : fcntl(opened, F_DUPFD_CLOEXEC, DESCRIPTOR_MIN);
    if (trace < 0) {
        give_up(name);
    }
    close(opened);
    /* Numbers that no process has used that wrote to this trace before. */
    struct stat about;
    if (fstat(trace, &about) != 0) {
        give_up(name);
    }
    calls = (uint64_t)about.st_size / sizeof(struct pd_power_record);
}

/* Where the descriptor's file is, below the folder. False: elsewhere. */
static bool read_link(int descriptor, struct pd_power_path *path_out)
{
    char link[64];
    char target[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t size = readlink(link, target, sizeof target - 1);
    path_out->size = 0;
    if (size < (ssize_t)folder_size || memcmp(target, folder, folder_size) != 0) {
        return false;
    }
    if ((size_t)size > folder_size && target[folder_size] != '/') {
        return false;
    }
    size_t skipped = (size_t)size > folder_size ? folder_size + 1 : folder_size;
    path_out->size = (uint32_t)((size_t)size - skipped);
    memcpy(path_out->text, target + skipped, path_out->size);
    return true;
}

bool pd_power_follows(int descriptor, uint64_t *inode_out)
{
    int error = errno;
    struct stat about;
    struct pd_power_path path;
    pthread_once(&once, start);
    bool is_followed = trace >= 0 && fstat(descriptor, &about) == 0 &&
                       (S_ISREG(about.st_mode) || S_ISDIR(about.st_mode)) &&
                       read_link(descriptor, &path);
    *inode_out = is_followed ? (uint64_t)about.st_ino : 0;
    errno = error;
    return is_followed;
}

void pd_power_resolve(int from, const char *path, struct pd_power_path *path_out)
{
    int error = errno;
    char parent[PATH_MAX];
    pthread_once(&once, start);
    path_out->size = 0;
    size_t size = path == NULL || trace < 0 ? 0 : strnlen(path, PATH_MAX);
    while (size > 1 && size < PATH_MAX && path[size - 1] == '/') {
        size--;
    }
    size_t last = size;
    while (last > 0 && size < PATH_MAX && path[last - 1] != '/') {
        last--;
    }
    if (size == last || size == PATH_MAX) {
        errno = error;
        return;
    }
    snprintf(parent, sizeof parent, "%.*s", last == 0 ? 1 : (int)last, last == 0 ? "." : path);
    int opened = (int)syscall(SYS_openat, from, parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct pd_power_path above;
    if (opened >= 0 && read_link(opened, &above)) {
        int written =
            snprintf(path_out->text, sizeof path_out->text, "%.*s%s%.*s", (int)above.size,
                     above.text, above.size > 0 ? "/" : "", (int)(size - last), path + last);
        path_out->size = written > 0 && written < PATH_MAX ? (uint32_t)written : 0;
    }
    if (opened >= 0) {
        close(opened);
    }
    errno = error;
}

static void append(struct pd_power_record *record, struct iovec *parts, int count)
{
    struct timespec now;
    pthread_mutex_lock(&trace_lock);
    clock_gettime(CLOCK_MONOTONIC, &now);
    record->time_ns = (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
    long written = syscall(SYS_writev, trace, parts, count);
    if (written != (long)record->size) {
        give_up("the trace cannot be written");
    }
    pthread_mutex_unlock(&trace_lock);
}

static uint64_t begin(struct pd_power_record *record, const struct pd_power_path *first,
                      const struct pd_power_path *second, const struct iovec *bytes, int count)
{
    int error = errno;
    struct iovec parts[PARTS_MAX];
    int used = 0;
    record->call = __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
    record->size = sizeof *record;
    parts[used++] = (struct iovec){record, sizeof *record};
    const struct pd_power_path *paths[2] = {first, second};
    for (int i = 0; i < 2; i++) {
        uint32_t size = paths[i] == NULL ? 0 : paths[i]->size;
        *(i == 0 ? &record->first_size : &record->second_size) = size;
        record->size += size;
        if (size > 0) {
            char *text = (char *)(uintptr_t)paths[i]->text; /* iovec has no const */
            parts[used++] = (struct iovec){text, size};
        }
    }
    for (int i = 0; i < count; i++) {
        if (used == PARTS_MAX) {
            errno = EMSGSIZE;
            give_up("a write of too many parts");
        }
        parts[used++] = bytes[i];
        record->size += bytes[i].iov_len;
    }
    append(record, parts, used);
    errno = error;
    return record->call;
}

uint64_t pd_power_begin(struct pd_power_record *record, const struct pd_power_path *first,
                        const struct pd_power_path *second)
{
    return begin(record, first, second, NULL, 0);
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
    return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

uint64_t pd_power_begin_write(struct pd_power_record *record, const struct iovec *parts, int count)
{
    bool has_bytes = false;
    for (int i = 0; i < count; i++) {
        has_bytes = has_bytes || !is_zero(parts[i].iov_base, parts[i].iov_len);
    }
    record->kind = PD_POWER_WRITE;
    record->flags |= has_bytes ? 0u : (uint32_t)PD_POWER_ZEROES;
    return begin(record, NULL, NULL, parts, has_bytes ? count : 0);
}

void pd_power_done(uint64_t call, int64_t result, uint64_t inode)
{
    int error = errno;
    struct pd_power_record record = {.size = sizeof record,
                                     .kind = PD_POWER_DONE,
                                     .call = call,
                                     .result = result,
                                     .inode = inode};
    struct iovec part = {&record, sizeof record};
    append(&record, &part, 1);
    errno = error;
}

void pd_power_unseen(int descriptor)
{
    int error = errno;
    struct stat about;
    struct pd_power_path path;
    pthread_once(&once, start);
    if (trace >= 0 && fstat(descriptor, &about) == 0 && S_ISREG(about.st_mode) &&
        read_link(descriptor, &path)) {
        struct pd_power_record record = {.kind = PD_POWER_UNSEEN};
        pd_power_begin(&record, &path, NULL);
    }
    errno = error;
}

void pd_power_lock_names(void)
{
    pthread_mutex_lock(&names_lock);
}

void pd_power_unlock_names(void)
{
    pthread_mutex_unlock(&names_lock);
}
