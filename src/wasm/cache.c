#include "wasm/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"

/* File: magic, payload size, sha256 of the payload, padding, then the payload at a multiple of 64
 * (Wasmtime reads its native code as aligned structures). */
#define HEADER_SIZE 64u
#define MAGIC_SIZE 8u
#define SIZE_OFFSET 8u
#define HASH_OFFSET 16u
#define HASH_SIZE 32u
static const uint8_t magic[MAGIC_SIZE] = {'p', 'd', 'c', 'o', 'd', 'e', '1', '\n'};

#define NAME_SIZE (2u * PD_CACHE_KEY_SIZE + 1u)
#define TEMPORARY_PREFIX "tmp-"
#define PATH_SIZE 4096u
/* Of a crashed writer; older than any that still writes. */
#define TEMPORARY_AGE_S 3600

/* --- The folder ------------------------------------------------------------------------------- */

/* Make PATH and what is missing above it. The last part is checked by descriptor afterwards. */
static enum pd_status make_folders(char *path)
{
    for (char *at = path + 1; *at != '\0'; at++) {
        if (*at != '/') {
            continue;
        }
        *at = '\0';
        int failed = mkdir(path, 0700);
        *at = '/';
        if (failed != 0 && errno != EEXIST) {
            return PD_ERR_IO;
        }
    }
    return mkdir(path, 0700) != 0 && errno != EEXIST ? PD_ERR_IO : PD_OK;
}

static bool default_path(char *path)
{
    const char *base = getenv("XDG_CACHE_HOME");
    int size = 0;
    if (base != NULL && base[0] == '/') {
        size = snprintf(path, PATH_SIZE, "%s/pando/modules", base);
    } else {
        const char *home = getenv("HOME");
        if (home == NULL || home[0] != '/') {
            return false;
        }
        size = snprintf(path, PATH_SIZE, "%s/.cache/pando/modules", home);
    }
    return size > 0 && (unsigned)size < PATH_SIZE;
}

static bool is_private(const struct stat *status)
{
    return status->st_uid == geteuid() && (status->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

enum pd_status pd_cache_open(struct pd_cache *cache, const char *path, uint64_t bytes_max)
{
    char name[PATH_SIZE];
    cache->folder = -1;
    cache->bytes_max = bytes_max;
    if (path == NULL) {
        if (!default_path(name)) {
            errno = ENOENT;
            return PD_ERR_IO;
        }
    } else {
        int size = snprintf(name, sizeof name, "%s", path);
        if (size <= 0 || (unsigned)size >= sizeof name) {
            errno = ENAMETOOLONG;
            return PD_ERR_IO;
        }
    }
    enum pd_status status = make_folders(name);
    if (status != PD_OK) {
        return status;
    }
    int folder = open(name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0) {
        return PD_ERR_IO;
    }
    struct stat about;
    if (fstat(folder, &about) != 0 || !is_private(&about)) {
        (void)close(folder);
        return PD_ERR_DENIED;
    }
    /* Others may not even look; a folder from an older time is tightened. */
    if ((about.st_mode & 0077) != 0 && fchmod(folder, 0700) != 0) {
        (void)close(folder);
        return PD_ERR_DENIED;
    }
    cache->folder = folder;
    return PD_OK;
}

void pd_cache_close(struct pd_cache *cache)
{
    if (cache->folder >= 0) {
        (void)close(cache->folder);
        cache->folder = -1;
    }
}

/* --- Keys ------------------------------------------------------------------------------------- */

static void hash_text(struct sha256_ctx *hash, const char *text)
{
    /* With its end, so that "ab" + "c" is not "a" + "bc". */
    sha256_update(hash, strlen(text) + 1, (const uint8_t *)text);
}

/* What the processor can do: compiled code uses all of it. Folders may be shared by machines. */
static void hash_processor(struct sha256_ctx *hash)
{
    char line[4096];
    FILE *file = fopen("/proc/cpuinfo", "re");
    if (file == NULL) {
        return; /* Wasmtime refuses code for features that are not there */
    }
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "flags", 5) == 0 || strncmp(line, "Features", 8) == 0) {
            hash_text(hash, line);
            break;
        }
    }
    (void)fclose(file);
}

struct pd_cache_key pd_cache_key_of(const uint8_t wasm_hash[PD_CACHE_KEY_SIZE],
                                    const char *engine_version, const char *settings)
{
    struct pd_cache_key key;
    struct sha256_ctx hash;
    sha256_init(&hash);
    sha256_update(&hash, PD_CACHE_KEY_SIZE, wasm_hash);
    hash_text(&hash, engine_version);
    hash_text(&hash, settings);
    hash_processor(&hash);
    sha256_digest(&hash, sizeof key.bytes, key.bytes);
    return key;
}

static void write_name(const struct pd_cache_key *key, char name[NAME_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < PD_CACHE_KEY_SIZE; i++) {
        name[2 * i] = digits[key->bytes[i] >> 4];
        name[2 * i + 1] = digits[key->bytes[i] & 15];
    }
    name[NAME_SIZE - 1] = '\0';
}

static bool is_name(const char *name)
{
    return strlen(name) == NAME_SIZE - 1 && strspn(name, "0123456789abcdef") == NAME_SIZE - 1;
}

/* --- Reading ---------------------------------------------------------------------------------- */

static bool is_sound(const uint8_t *file, size_t size)
{
    if (size < HEADER_SIZE || memcmp(file, magic, MAGIC_SIZE) != 0 ||
        pd_get_u64(file + SIZE_OFFSET) != size - HEADER_SIZE) {
        return false;
    }
    uint8_t digest[HASH_SIZE];
    struct sha256_ctx hash;
    sha256_init(&hash);
    sha256_update(&hash, size - HEADER_SIZE, file + HEADER_SIZE);
    sha256_digest(&hash, sizeof digest, digest);
    return memcmp(digest, file + HASH_OFFSET, HASH_SIZE) == 0;
}

enum pd_status pd_cache_load(struct pd_cache *cache, const struct pd_cache_key *key,
                             struct pd_cache_entry *entry_out)
{
    char name[NAME_SIZE];
    write_name(key, name);
    int file = openat(cache->folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) {
        return PD_ERR_UNKNOWN;
    }
    struct stat about;
    void *mapping = MAP_FAILED;
    if (fstat(file, &about) == 0 && S_ISREG(about.st_mode) && is_private(&about) &&
        about.st_size > (off_t)HEADER_SIZE && (uint64_t)about.st_size <= cache->bytes_max) {
        /* Writers never change a file in place, and nobody but this user could: what is hashed is
         * what runs. */
        mapping = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
    }
    if (mapping == MAP_FAILED) {
        (void)close(file);
        return PD_ERR_UNKNOWN;
    }
    size_t size = (size_t)about.st_size;
    if (!is_sound(mapping, size)) {
        (void)munmap(mapping, size);
        (void)close(file);
        (void)unlinkat(cache->folder, name, 0);
        return PD_ERR_UNKNOWN;
    }
    (void)futimens(file, NULL); /* used now: the last to be removed */
    (void)close(file);
    entry_out->bytes = (const uint8_t *)mapping + HEADER_SIZE;
    entry_out->size = size - HEADER_SIZE;
    entry_out->mapping = mapping;
    entry_out->mapping_size = size;
    return PD_OK;
}

void pd_cache_entry_close(struct pd_cache_entry *entry)
{
    int failed = munmap(entry->mapping, entry->mapping_size);
    pd_assert(failed == 0);
    memset(entry, 0, sizeof *entry);
}

/* --- Writing ---------------------------------------------------------------------------------- */

static bool write_all(int file, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = write(file, bytes, size);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return false;
        }
        bytes += written;
        size -= (size_t)written;
    }
    return true;
}

static bool write_file(int file, const uint8_t *payload, size_t size)
{
    uint8_t header[HEADER_SIZE] = {0};
    memcpy(header, magic, MAGIC_SIZE);
    pd_put_u64(header + SIZE_OFFSET, size);
    struct sha256_ctx hash;
    sha256_init(&hash);
    sha256_update(&hash, size, payload);
    sha256_digest(&hash, HASH_SIZE, header + HASH_OFFSET);
    return write_all(file, header, sizeof header) && write_all(file, payload, size);
}

struct aged_file {
    char name[NAME_SIZE];
    uint64_t bytes;
    struct timespec used;
};

static int compare_age(const void *left, const void *right)
{
    const struct aged_file *a = left;
    const struct aged_file *b = right;
    if (a->used.tv_sec != b->used.tv_sec) {
        return a->used.tv_sec < b->used.tv_sec ? -1 : 1;
    }
    if (a->used.tv_nsec != b->used.tv_nsec) {
        return a->used.tv_nsec < b->used.tv_nsec ? -1 : 1;
    }
    return memcmp(a->name, b->name, NAME_SIZE);
}

struct file_list {
    struct aged_file *files;
    size_t count;
    size_t room;
    uint64_t bytes;
};

static bool note_file(struct file_list *list, const char *name, const struct stat *about)
{
    if (list->count == list->room) {
        size_t room = list->room == 0 ? 64 : 2 * list->room;
        struct aged_file *files = pd_realloc(list->files, room * sizeof *files);
        if (files == NULL) {
            return false;
        }
        list->files = files;
        list->room = room;
    }
    struct aged_file *file = &list->files[list->count++];
    memcpy(file->name, name, NAME_SIZE);
    file->bytes = (uint64_t)about->st_size;
    file->used = about->st_mtim;
    list->bytes += file->bytes;
    return true;
}

static void list_files(struct pd_cache *cache, DIR *folder, struct file_list *list)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        struct stat about;
        if (fstatat(cache->folder, entry->d_name, &about, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(about.st_mode)) {
            continue;
        }
        if (is_name(entry->d_name)) {
            if (!note_file(list, entry->d_name, &about)) {
                return;
            }
        } else if (strncmp(entry->d_name, TEMPORARY_PREFIX, strlen(TEMPORARY_PREFIX)) == 0 &&
                   about.st_mtim.tv_sec + TEMPORARY_AGE_S < now.tv_sec) {
            (void)unlinkat(cache->folder, entry->d_name, 0);
        }
    }
}

/* Remove the least recently used until all fit. The newest, which was just written, stays. */
static void trim(struct pd_cache *cache)
{
    int copy = openat(cache->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = copy < 0 ? NULL : fdopendir(copy);
    if (folder == NULL) {
        if (copy >= 0) {
            (void)close(copy);
        }
        return;
    }
    struct file_list list = {0};
    list_files(cache, folder, &list);
    (void)closedir(folder);
    if (list.bytes > cache->bytes_max) {
        qsort(list.files, list.count, sizeof *list.files, compare_age);
        for (size_t i = 0; i < list.count && list.bytes > cache->bytes_max; i++) {
            (void)unlinkat(cache->folder, list.files[i].name, 0);
            list.bytes -= list.files[i].bytes;
        }
    }
    pd_free(list.files);
}

enum pd_status pd_cache_store(struct pd_cache *cache, const struct pd_cache_key *key,
                              const uint8_t *payload, size_t size)
{
    static _Atomic unsigned counter;
    if (size > cache->bytes_max || cache->bytes_max - size < HEADER_SIZE) {
        return PD_ERR_RANGE;
    }
    char name[NAME_SIZE];
    char temporary[64];
    write_name(key, name);
    (void)snprintf(temporary, sizeof temporary, TEMPORARY_PREFIX "%ld-%u", (long)getpid(),
                   counter++);
    int file = openat(cache->folder, temporary,
                      O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0) {
        return PD_ERR_IO;
    }
    bool is_written = write_file(file, payload, size);
    is_written = close(file) == 0 && is_written;
    if (!is_written || renameat(cache->folder, temporary, cache->folder, name) != 0) {
        (void)unlinkat(cache->folder, temporary, 0);
        return PD_ERR_IO;
    }
    trim(cache);
    return PD_OK;
}
