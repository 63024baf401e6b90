/* The deterministic form of the files: contents are real, and what a rerun on another day or
 * machine could not repeat is virtual.
 *
 * Numbers    A file gets the next inode number when it is first seen, and loses it when its last
 *            name is removed, so that the system's reuse of inodes does not show. All lie on device
 *            1.
 * Times      0 until the run changes them: creation, writing and set_times stamp the virtual time.
 * Sizes      Directories have none of their own: theirs depends on the file system.
 * Streams    Always ready: reading waits, and the only thread with it. Input is part of the run.
 * Bounds     TRACKED_MAX files are remembered; further ones get a new number at each look, which is
 *            still the same in every run. */
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "host/files_posix.h"

#define BUCKETS 4096u
#define TRACKED_MAX 262144u
#define NONE UINT32_MAX

struct tracked {
    uint64_t device;
    uint64_t inode;
    uint64_t number;
    uint64_t accessed_ns;
    uint64_t modified_ns;
    uint64_t changed_ns;
    uint32_t next; /* in its bucket or in the free list */
};

struct pd_files_virtual {
    struct pd_files_ops ops;
    struct pd_host *host;
    struct tracked *tracked;
    uint64_t numbers_given;
    uint32_t count;
    uint32_t capacity;
    uint32_t free_first;
    uint32_t buckets[BUCKETS];
};

static struct pd_files_virtual *state_of(struct pd_files *files)
{
    return pd_posix_files_of(files)->virtual_state;
}

static uint64_t now_ns(const struct pd_files_virtual *state)
{
    return state->host->ops->wall_ns(state->host);
}

static uint32_t *bucket_of(struct pd_files_virtual *state, uint64_t device, uint64_t inode)
{
    return &state->buckets[pd_hash_u64(pd_hash_u64(0, device), inode) % BUCKETS];
}

/* The link that points to the record, or the bucket's last link, which holds NONE. */
static uint32_t *find(struct pd_files_virtual *state, uint64_t device, uint64_t inode)
{
    uint32_t *link = bucket_of(state, device, inode);
    while (*link != NONE) {
        struct tracked *record = &state->tracked[*link];
        if (record->device == device && record->inode == inode) {
            break;
        }
        link = &record->next;
    }
    return link;
}

static uint32_t take_slot(struct pd_files_virtual *state)
{
    if (state->free_first != NONE) {
        uint32_t slot = state->free_first;
        state->free_first = state->tracked[slot].next;
        return slot;
    }
    if (state->count == state->capacity) {
        uint32_t grown = state->capacity == 0 ? 64 : state->capacity * 2;
        struct tracked *moved =
            grown > TRACKED_MAX ? NULL : pd_realloc(state->tracked, grown * sizeof *state->tracked);
        if (moved == NULL) {
            return NONE;
        }
        state->tracked = moved;
        state->capacity = grown;
    }
    return state->count++;
}

/* The record of a real file, made when it is new; NULL when there is no room. */
static struct tracked *track(struct pd_files_virtual *state, uint64_t device, uint64_t inode)
{
    uint32_t slot = *find(state, device, inode);
    if (slot != NONE) {
        return &state->tracked[slot];
    }
    slot = take_slot(state);
    if (slot == NONE) {
        return NULL;
    }
    uint32_t *bucket = bucket_of(state, device, inode);
    state->tracked[slot] = (struct tracked){
        .device = device, .inode = inode, .number = ++state->numbers_given, .next = *bucket};
    *bucket = slot;
    return &state->tracked[slot];
}

static void forget(struct pd_files_virtual *state, const struct pd_file_stat *real)
{
    uint32_t *link = find(state, real->device, real->inode);
    if (*link != NONE) {
        uint32_t slot = *link;
        *link = state->tracked[slot].next;
        state->tracked[slot].next = state->free_first;
        state->free_first = slot;
    }
}

static void stamp(struct pd_files_virtual *state, const struct pd_file_stat *real, bool is_new)
{
    if (is_new) {
        forget(state, real);
    }
    struct tracked *record = track(state, real->device, real->inode);
    if (record != NULL) {
        record->modified_ns = record->changed_ns = now_ns(state);
        record->accessed_ns = is_new ? record->modified_ns : record->accessed_ns;
    }
}

static void stamp_file(struct pd_files *files, struct pd_file *file)
{
    struct pd_file_stat real;
    if (pd_files_posix_ops.stat(files, file, &real) == PD_FILE_OK) {
        stamp(state_of(files), &real, false);
    }
}

static void stamp_new_at(struct pd_files *files, struct pd_file *dir, const char *path)
{
    struct pd_file_stat real;
    if (pd_files_stat_at(files, dir, path, false, &real) == PD_FILE_OK) {
        stamp(state_of(files), &real, true);
    }
}

static void make_virtual(struct pd_files_virtual *state, struct pd_file_stat *stat)
{
    const struct tracked *record = track(state, stat->device, stat->inode);
    stat->device = 1;
    stat->inode = record == NULL ? ++state->numbers_given : record->number;
    stat->accessed_ns = record == NULL ? 0 : record->accessed_ns;
    stat->modified_ns = record == NULL ? 0 : record->modified_ns;
    stat->changed_ns = record == NULL ? 0 : record->changed_ns;
    if (stat->type == PD_FILE_TYPE_DIRECTORY) {
        stat->size = 0;
        stat->link_count = 1;
    }
}

static enum pd_file_error virtual_read(struct pd_files *files, struct pd_file *file,
                                       struct pd_file_io *io)
{
    io->is_nonblocking = false;
    return pd_files_posix_ops.read(files, file, io);
}

static enum pd_file_error virtual_write(struct pd_files *files, struct pd_file *file,
                                        struct pd_file_io *io)
{
    io->is_nonblocking = false;
    enum pd_file_error error = pd_files_posix_ops.write(files, file, io);
    if (error == PD_FILE_OK) {
        stamp_file(files, file);
    }
    return error;
}

static enum pd_file_error virtual_stat(struct pd_files *files, struct pd_file *file,
                                       struct pd_file_stat *stat_out)
{
    enum pd_file_error error = pd_files_posix_ops.stat(files, file, stat_out);
    if (error == PD_FILE_OK) {
        make_virtual(state_of(files), stat_out);
    }
    return error;
}

static enum pd_file_error virtual_set_size(struct pd_files *files, struct pd_file *file,
                                           uint64_t size)
{
    enum pd_file_error error = pd_files_posix_ops.set_size(files, file, size);
    if (error == PD_FILE_OK) {
        stamp_file(files, file);
    }
    return error;
}

static enum pd_file_error virtual_allocate(struct pd_files *files, struct pd_file *file,
                                           uint64_t offset, uint64_t size)
{
    enum pd_file_error error = pd_files_posix_ops.allocate(files, file, offset, size);
    if (error == PD_FILE_OK) {
        stamp_file(files, file);
    }
    return error;
}

static void remember_times(struct pd_files_virtual *state, const struct pd_file_stat *real,
                           const struct pd_file_times *times)
{
    struct tracked *record = track(state, real->device, real->inode);
    if (record == NULL) {
        return;
    }
    uint64_t now = now_ns(state);
    if ((times->flags & (PD_FILE_TIME_ACCESSED | PD_FILE_TIME_ACCESSED_NOW)) != 0) {
        bool is_now = (times->flags & PD_FILE_TIME_ACCESSED_NOW) != 0;
        record->accessed_ns = is_now ? now : times->accessed_ns;
    }
    if ((times->flags & (PD_FILE_TIME_MODIFIED | PD_FILE_TIME_MODIFIED_NOW)) != 0) {
        bool is_now = (times->flags & PD_FILE_TIME_MODIFIED_NOW) != 0;
        record->modified_ns = is_now ? now : times->modified_ns;
    }
    record->changed_ns = now;
}

static enum pd_file_error virtual_set_times(struct pd_files *files, struct pd_file *file,
                                            const struct pd_file_times *times)
{
    struct pd_file_stat real;
    enum pd_file_error error = pd_files_posix_ops.set_times(files, file, times);
    if (error == PD_FILE_OK && pd_files_posix_ops.stat(files, file, &real) == PD_FILE_OK) {
        remember_times(state_of(files), &real, times);
    }
    return error;
}

static enum pd_file_error virtual_set_times_at(struct pd_files *files, struct pd_file *dir,
                                               const char *path, bool follows,
                                               const struct pd_file_times *times)
{
    struct pd_file_stat real;
    enum pd_file_error error = pd_files_set_times_at(files, dir, path, follows, times);
    if (error == PD_FILE_OK && pd_files_stat_at(files, dir, path, follows, &real) == PD_FILE_OK) {
        remember_times(state_of(files), &real, times);
    }
    return error;
}

static enum pd_file_error virtual_list(struct pd_files *files, struct pd_file *dir,
                                       struct pd_file_listing *listing_out)
{
    struct pd_file_stat real;
    enum pd_file_error error = pd_files_posix_ops.stat(files, dir, &real);
    if (error == PD_FILE_OK) {
        error = pd_files_list(files, dir, listing_out);
    }
    for (uint32_t i = 0; error == PD_FILE_OK && i < listing_out->entry_count; i++) {
        struct pd_file_entry *entry = &listing_out->entries[i];
        struct pd_file_stat named = {.device = real.device, .inode = entry->inode};
        make_virtual(state_of(files), &named);
        entry->inode = named.inode;
    }
    return error;
}

static enum pd_file_error virtual_open_at(struct pd_files *files, struct pd_file *dir,
                                          const char *path, uint32_t flags,
                                          struct pd_file **file_out)
{
    struct pd_file_stat before;
    bool was_there = pd_files_stat_at(files, dir, path, true, &before) == PD_FILE_OK;
    enum pd_file_error error = pd_files_open_at(files, dir, path, flags, file_out);
    struct pd_file_stat real;
    bool changes = !was_there || (flags & PD_FILE_OPEN_TRUNCATE) != 0;
    if (error == PD_FILE_OK && changes &&
        pd_files_posix_ops.stat(files, *file_out, &real) == PD_FILE_OK) {
        stamp(state_of(files), &real, !was_there);
    }
    return error;
}

static enum pd_file_error virtual_stat_at(struct pd_files *files, struct pd_file *dir,
                                          const char *path, bool follows,
                                          struct pd_file_stat *stat_out)
{
    enum pd_file_error error = pd_files_stat_at(files, dir, path, follows, stat_out);
    if (error == PD_FILE_OK) {
        make_virtual(state_of(files), stat_out);
    }
    return error;
}

static enum pd_file_error virtual_make_directory_at(struct pd_files *files, struct pd_file *dir,
                                                    const char *path)
{
    enum pd_file_error error = pd_files_make_directory_at(files, dir, path);
    if (error == PD_FILE_OK) {
        stamp_new_at(files, dir, path);
    }
    return error;
}

static enum pd_file_error virtual_symlink_at(struct pd_files *files, const char *target,
                                             struct pd_file *dir, const char *path)
{
    enum pd_file_error error = pd_files_symlink_at(files, target, dir, path);
    if (error == PD_FILE_OK) {
        stamp_new_at(files, dir, path);
    }
    return error;
}

static enum pd_file_error virtual_remove_directory_at(struct pd_files *files, struct pd_file *dir,
                                                      const char *path)
{
    struct pd_file_stat real;
    bool is_known = pd_files_stat_at(files, dir, path, false, &real) == PD_FILE_OK;
    enum pd_file_error error = pd_files_remove_directory_at(files, dir, path);
    if (error == PD_FILE_OK && is_known) {
        forget(state_of(files), &real);
    }
    return error;
}

static enum pd_file_error virtual_unlink_at(struct pd_files *files, struct pd_file *dir,
                                            const char *path)
{
    struct pd_file_stat real;
    bool is_known = pd_files_stat_at(files, dir, path, false, &real) == PD_FILE_OK;
    enum pd_file_error error = pd_files_unlink_at(files, dir, path);
    if (error == PD_FILE_OK && is_known && real.link_count <= 1) {
        forget(state_of(files), &real);
    }
    return error;
}

static enum pd_file_error virtual_rename_at(struct pd_files *files, struct pd_file *dir,
                                            const char *path, struct pd_file *new_dir,
                                            const char *new_path)
{
    struct pd_file_stat from;
    struct pd_file_stat over;
    bool is_over = pd_files_stat_at(files, dir, path, false, &from) == PD_FILE_OK &&
                   pd_files_stat_at(files, new_dir, new_path, false, &over) == PD_FILE_OK &&
                   (from.device != over.device || from.inode != over.inode);
    enum pd_file_error error = pd_files_rename_at(files, dir, path, new_dir, new_path);
    if (error == PD_FILE_OK && is_over &&
        (over.link_count <= 1 || over.type == PD_FILE_TYPE_DIRECTORY)) {
        forget(state_of(files), &over);
    }
    return error;
}

static enum pd_file_error virtual_poll(struct pd_files *files, struct pd_file_poll *items,
                                       size_t count, uint64_t timeout_ns,
                                       struct pd_file_cancel *cancel)
{
    (void)timeout_ns;
    (void)cancel;
    for (size_t i = 0; i < count; i++) {
        if (!items[i].file->is_stream) {
            enum pd_file_error error = pd_files_poll(files, &items[i], 1, 0, NULL);
            if (error != PD_FILE_OK) {
                return error;
            }
            continue;
        }
        items[i].is_ready = true;
        items[i].is_hung_up = false;
        items[i].error = PD_FILE_OK;
        items[i].available = 1;
    }
    return PD_FILE_OK;
}

/* The table: the real one with what is virtual put over it. */
static struct pd_files_ops virtual_ops(void)
{
    struct pd_files_ops ops = pd_files_posix_ops;
    ops.read = virtual_read;
    ops.write = virtual_write;
    ops.stat = virtual_stat;
    ops.set_size = virtual_set_size;
    ops.set_times = virtual_set_times;
    ops.allocate = virtual_allocate;
    ops.list = virtual_list;
    ops.open_at = virtual_open_at;
    ops.stat_at = virtual_stat_at;
    ops.set_times_at = virtual_set_times_at;
    ops.make_directory_at = virtual_make_directory_at;
    ops.remove_directory_at = virtual_remove_directory_at;
    ops.unlink_at = virtual_unlink_at;
    ops.rename_at = virtual_rename_at;
    ops.symlink_at = virtual_symlink_at;
    ops.poll = virtual_poll;
    return ops;
}

struct pd_files_virtual *pd_files_virtual_create(struct pd_host *host)
{
    struct pd_files_virtual *state = pd_alloc_zeroed(1, sizeof *state);
    if (state != NULL) {
        state->host = host;
        state->ops = virtual_ops();
        state->free_first = NONE;
        memset(state->buckets, 0xFF, sizeof state->buckets);
    }
    return state;
}

const struct pd_files_ops *pd_files_virtual_ops(const struct pd_files_virtual *state)
{
    return &state->ops;
}

void pd_files_virtual_destroy(struct pd_files_virtual *state)
{
    if (state != NULL) {
        pd_free(state->tracked);
        pd_free(state);
    }
}
