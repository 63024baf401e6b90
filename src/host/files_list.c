/* A directory read whole and sorted. A snapshot has the one order that removing entries on the way
 * cannot upset, which the kernel's own positions do not promise on every file system. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "host/files_posix.h"

#define READ_SIZE 32768u

/* What getdents64 writes (linux/dirent.h is not for programs). */
struct kernel_entry {
    uint64_t inode;
    int64_t next;
    uint16_t size;
    uint8_t type;
    char name[];
};

struct gathering {
    struct pd_file_listing listing;
    uint32_t entries_capacity;
    uint32_t names_capacity;
};

static enum pd_file_type entry_type(int dir_fd, const struct kernel_entry *entry)
{
    if (entry->type != DT_UNKNOWN) {
        return pd_files_type((unsigned)entry->type << 12); /* DTTOIF */
    }
    struct stat os; /* some file systems do not tell */
    if (fstatat(dir_fd, entry->name, &os, AT_SYMLINK_NOFOLLOW) != 0) {
        return PD_FILE_TYPE_UNKNOWN;
    }
    return pd_files_type(os.st_mode);
}

/* At least `wanted` elements; doubles. */
static bool reserve(void **block, uint32_t *capacity, uint32_t wanted, size_t element_size)
{
    if (wanted <= *capacity) {
        return true;
    }
    uint32_t grown = *capacity == 0 ? 64 : *capacity;
    while (grown < wanted) {
        grown *= 2;
    }
    void *moved = pd_realloc(*block, grown * element_size);
    if (moved == NULL) {
        return false;
    }
    *block = moved;
    *capacity = grown;
    return true;
}

static enum pd_file_error gather(struct gathering *to, int dir_fd, const struct kernel_entry *entry)
{
    struct pd_file_listing *listing = &to->listing;
    uint32_t name_size = (uint32_t)strlen(entry->name);
    if (name_size == 0 || !pd_utf8_is_valid((const uint8_t *)entry->name, name_size)) {
        return PD_FILE_OK; /* no guest could name it */
    }
    if (listing->entry_count >= PD_FILE_LISTING_ENTRIES_MAX ||
        listing->names_size + name_size > PD_FILE_LISTING_NAMES_MAX) {
        return PD_FILE_OVERFLOW;
    }
    void *entries = listing->entries;
    void *names = listing->names;
    bool fits = reserve(&entries, &to->entries_capacity, listing->entry_count + 1,
                        sizeof *listing->entries);
    listing->entries = entries;
    fits = fits && reserve(&names, &to->names_capacity, listing->names_size + name_size, 1);
    listing->names = names;
    if (!fits) {
        return PD_FILE_NOMEM;
    }
    listing->entries[listing->entry_count++] = (struct pd_file_entry){
        .inode = entry->inode,
        .name_at = listing->names_size,
        .name_size = (uint16_t)name_size,
        .type = (uint8_t)entry_type(dir_fd, entry),
    };
    memcpy(listing->names + listing->names_size, entry->name, name_size);
    listing->names_size += name_size;
    return PD_FILE_OK;
}

static enum pd_file_error gather_all(struct gathering *to, int dir_fd, uint8_t *buffer)
{
    for (;;) {
        ssize_t size = getdents64(dir_fd, buffer, READ_SIZE);
        if (size < 0) {
            return pd_files_error(errno);
        }
        if (size == 0) {
            return PD_FILE_OK;
        }
        for (ssize_t at = 0; at < size;) {
            const struct kernel_entry *entry = (const void *)(buffer + at);
            enum pd_file_error error = gather(to, dir_fd, entry);
            if (error != PD_FILE_OK) {
                return error;
            }
            at += entry->size;
        }
    }
}

/* "." is 0, ".." is 1, all others 2. */
static int rank(const char *name, size_t size)
{
    if (name[0] != '.' || size > 2) {
        return 2;
    }
    return size == 1 ? 0 : name[1] == '.' ? 1 : 2;
}

static int compare(const void *left, const void *right, void *names_argument)
{
    const char *names = names_argument;
    const struct pd_file_entry *a = left;
    const struct pd_file_entry *b = right;
    const char *a_name = names + a->name_at;
    const char *b_name = names + b->name_at;
    int a_rank = rank(a_name, a->name_size);
    int b_rank = rank(b_name, b->name_size);
    if (a_rank != b_rank) {
        return a_rank - b_rank;
    }
    size_t common = a->name_size < b->name_size ? a->name_size : b->name_size;
    int order = memcmp(a_name, b_name, common);
    return order != 0 ? order : (int)a->name_size - (int)b->name_size;
}

enum pd_file_error pd_files_list(struct pd_files *files, struct pd_file *dir,
                                 struct pd_file_listing *listing_out)
{
    struct gathering all = {0};
    /* A descriptor of our own: the directory's is shared, and reading moves its position. */
    int fd = pd_files_resolve(pd_posix_file_of(dir)->fd, ".", O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0) {
        return pd_files_error(errno);
    }
    enum pd_file_error error = PD_FILE_NOMEM;
    uint8_t *buffer = pd_alloc(READ_SIZE);
    if (buffer != NULL) {
        error = gather_all(&all, fd, buffer);
        pd_free(buffer);
    }
    close(fd);
    if (error != PD_FILE_OK) {
        pd_files_listing_deinit(files, &all.listing);
        return error;
    }
    struct pd_file_listing *listing = &all.listing;
    if (listing->entry_count > 0) {
        qsort_r(listing->entries, listing->entry_count, sizeof *listing->entries, compare,
                listing->names);
    }
    /* ".." may lie outside of the sandbox: its number is nobody's business. */
    if (listing->entry_count >= 2 && listing->entries[1].name_size == 2) {
        listing->entries[1].inode = listing->entries[0].inode;
    }
    *listing_out = *listing;
    return PD_FILE_OK;
}

void pd_files_listing_deinit(struct pd_files *files, struct pd_file_listing *listing)
{
    (void)files;
    pd_free(listing->entries);
    pd_free(listing->names);
    *listing = (struct pd_file_listing){0};
}
