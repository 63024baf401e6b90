#include "sim/disk.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/list.h"
#include "base/sometimes.h"
#include "sim/disk_file.h"
#include "sim/queue.h"

static struct pd_sim_disk *of(struct pd_disk *disk)
{
    return pd_container_of(disk, struct pd_sim_disk, base);
}

static struct pd_disk_name name_of(const char *text)
{
    struct pd_disk_name name = {{0}};
    size_t size = strnlen(text, PD_DISK_NAME_MAX);
    memcpy(name.text, text, size);
    return name;
}

/* Where the name is, or would be. */
static size_t position(const struct pd_sim_names *names, const char *text, bool *found_out)
{
    size_t low = 0;
    size_t high = names->count;
    *found_out = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(names->entries[middle].name.text, text);
        if (order == 0) {
            *found_out = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct pd_sim_file *lookup(const struct pd_sim_names *names, const char *text)
{
    bool found = false;
    size_t at = position(names, text, &found);
    return found ? names->entries[at].file : NULL;
}

static void link_name(struct pd_sim_names *names, const char *text, struct pd_sim_file *file)
{
    bool found = false;
    size_t at = position(names, text, &found);
    if (!found) {
        names->entries =
            pd_sim_grow(names->entries, &names->capacity, names->count + 1, sizeof *names->entries);
        memmove(&names->entries[at + 1], &names->entries[at],
                (names->count - at) * sizeof names->entries[0]);
        names->count++;
        names->entries[at].name = name_of(text);
    }
    names->entries[at].file = file;
}

static void unlink_name(struct pd_sim_names *names, const char *text)
{
    bool found = false;
    size_t at = position(names, text, &found);
    if (found) {
        names->count--;
        memmove(&names->entries[at], &names->entries[at + 1],
                (names->count - at) * sizeof names->entries[0]);
    }
}

static void add_change(struct pd_sim_disk *disk, enum pd_sim_name_change_kind kind,
                       const char *from, const char *to, struct pd_sim_file *file)
{
    disk->changes = pd_sim_grow(disk->changes, &disk->change_capacity, disk->change_count + 1,
                                sizeof disk->changes[0]);
    disk->changes[disk->change_count++] = (struct pd_sim_name_change){
        .kind = kind,
        .from = name_of(from),
        .to = name_of(to),
        .file = file,
    };
}

static void copy_names(struct pd_sim_names *to, const struct pd_sim_names *from)
{
    if (from->count > 0) {
        to->entries = pd_sim_grow(to->entries, &to->capacity, from->count, sizeof to->entries[0]);
        memcpy(to->entries, from->entries, from->count * sizeof from->entries[0]);
    }
    to->count = from->count;
}

/* Free the files that no name, change or open handle means. */
static void sweep(struct pd_sim_disk *disk)
{
    disk->used = 0;
    for (size_t i = 0; i < disk->now.count; i++) {
        disk->now.entries[i].file->is_marked = true;
    }
    for (size_t i = 0; i < disk->durable.count; i++) {
        disk->durable.entries[i].file->is_marked = true;
    }
    for (size_t i = 0; i < disk->change_count; i++) {
        if (disk->changes[i].file != NULL) {
            disk->changes[i].file->is_marked = true;
        }
    }
    for (size_t i = 0; i < PD_SIM_HANDLES_MAX; i++) {
        if (disk->handles[i] != NULL) {
            disk->handles[i]->is_marked = true;
        }
    }
    struct pd_sim_file **link = &disk->files;
    while (*link != NULL) {
        struct pd_sim_file *file = *link;
        if (!file->is_marked) {
            *link = file->next;
            pd_sim_file_free(file);
            continue;
        }
        file->is_marked = false;
        disk->used += (uint64_t)file->block_count * PD_DISK_BLOCK_SIZE;
        link = &file->next;
    }
}

static enum pd_status open_handle(struct pd_sim_disk *disk, struct pd_sim_file *file,
                                  struct pd_disk_file *file_out)
{
    for (uint32_t i = 0; i < PD_SIM_HANDLES_MAX; i++) {
        if (disk->handles[i] == NULL) {
            disk->handles[i] = file;
            file_out->handle = (int32_t)i;
            return PD_OK;
        }
    }
    return PD_ERR_FULL;
}

static struct pd_sim_file *opened(struct pd_sim_disk *disk, struct pd_disk_file file)
{
    pd_assert(file.handle >= 0 && (uint32_t)file.handle < PD_SIM_HANDLES_MAX);
    pd_assert(disk->handles[file.handle] != NULL);
    return disk->handles[file.handle];
}

static enum pd_status disk_create(struct pd_disk *base, const char *name,
                                  struct pd_disk_file *file_out)
{
    struct pd_sim_disk *disk = of(base);
    if (strlen(name) > PD_DISK_NAME_MAX) {
        return PD_ERR_INVALID;
    }
    if (lookup(&disk->now, name) != NULL) {
        return PD_ERR_EXISTS;
    }
    if (disk->now.count >= PD_SIM_FILES_MAX || disk->used >= disk->capacity) {
        disk->full_count++;
        return PD_ERR_FULL;
    }
    struct pd_sim_file *file = pd_sim_file_new();
    file->next = disk->files;
    disk->files = file;
    link_name(&disk->now, name, file);
    add_change(disk, PD_SIM_NAME_LINK, name, name, file);
    return open_handle(disk, file, file_out);
}

static enum pd_status disk_open(struct pd_disk *base, const char *name,
                                struct pd_disk_file *file_out, uint64_t *size_out)
{
    struct pd_sim_disk *disk = of(base);
    struct pd_sim_file *file = lookup(&disk->now, name);
    if (file == NULL) {
        return PD_ERR_UNKNOWN;
    }
    *size_out = file->size;
    return open_handle(disk, file, file_out);
}

static void disk_close(struct pd_disk *base, struct pd_disk_file file)
{
    struct pd_sim_disk *disk = of(base);
    (void)opened(disk, file);
    disk->handles[file.handle] = NULL;
}

/* Whether the fault that counts down to this call strikes now. */
static bool strikes(uint32_t *countdown)
{
    if (*countdown == 0) {
        return false;
    }
    (*countdown)--;
    return *countdown == 0;
}

static enum pd_status disk_write(struct pd_disk *base, struct pd_disk_file handle, uint64_t offset,
                                 const uint8_t *bytes, size_t size)
{
    struct pd_sim_disk *disk = of(base);
    struct pd_sim_file *file = opened(disk, handle);
    uint64_t growth = pd_sim_file_growth(file, offset, size);
    if (growth > 0 && disk->used + growth > disk->capacity) {
        disk->full_count++;
        return PD_ERR_FULL;
    }
    if (strikes(&disk->fail_write)) {
        disk->failed_count++;
        pd_sim_file_write(file, offset, bytes, size / 2); /* a part of it may be there */
        return PD_ERR_IO;
    }
    disk->used += growth;
    disk->bytes_written += size;
    pd_sim_file_write(file, offset, bytes, size);
    return PD_OK;
}

static enum pd_status disk_read(struct pd_disk *base, struct pd_disk_file handle, uint64_t offset,
                                uint8_t *bytes, size_t size, size_t *size_out)
{
    *size_out = pd_sim_file_read(opened(of(base), handle), offset, bytes, size);
    return PD_OK;
}

static enum pd_status disk_truncate(struct pd_disk *base, struct pd_disk_file handle, uint64_t size)
{
    struct pd_sim_disk *disk = of(base);
    struct pd_sim_file *file = opened(disk, handle);
    uint64_t growth = pd_sim_file_growth(file, size, 0);
    if (growth > 0 && disk->used + growth > disk->capacity) {
        disk->full_count++;
        return PD_ERR_FULL;
    }
    disk->used += growth;
    pd_sim_file_truncate(file, size);
    return PD_OK;
}

static enum pd_status disk_sync(struct pd_disk *base, struct pd_disk_file handle)
{
    struct pd_sim_disk *disk = of(base);
    struct pd_sim_file *file = opened(disk, handle);
    disk->sync_count++;
    if (strikes(&disk->fail_sync)) {
        disk->failed_count++;
        pd_sim_file_sync_failed(file);
        return PD_ERR_IO;
    }
    pd_sim_file_sync(file);
    return PD_OK;
}

static enum pd_status disk_rename(struct pd_disk *base, const char *from, const char *to)
{
    struct pd_sim_disk *disk = of(base);
    struct pd_sim_file *file = lookup(&disk->now, from);
    if (file == NULL) {
        return PD_ERR_UNKNOWN;
    }
    unlink_name(&disk->now, from);
    link_name(&disk->now, to, file);
    add_change(disk, PD_SIM_NAME_RENAME, from, to, file);
    return PD_OK;
}

static enum pd_status disk_remove(struct pd_disk *base, const char *name)
{
    struct pd_sim_disk *disk = of(base);
    if (lookup(&disk->now, name) == NULL) {
        return PD_ERR_UNKNOWN;
    }
    unlink_name(&disk->now, name);
    add_change(disk, PD_SIM_NAME_REMOVE, name, name, NULL);
    return PD_OK;
}

static enum pd_status disk_sync_names(struct pd_disk *base)
{
    struct pd_sim_disk *disk = of(base);
    disk->sync_count++;
    if (strikes(&disk->fail_sync)) {
        disk->failed_count++;
        return PD_ERR_IO;
    }
    if (disk->change_count > 0) {
        copy_names(&disk->durable, &disk->now);
        disk->change_count = 0;
        sweep(disk);
    }
    return PD_OK;
}

static enum pd_status disk_list(struct pd_disk *base, struct pd_disk_name *names,
                                uint32_t names_max, uint32_t *count_out)
{
    struct pd_sim_disk *disk = of(base);
    *count_out = 0;
    if (disk->now.count > names_max) {
        return PD_ERR_RANGE;
    }
    for (size_t i = 0; i < disk->now.count; i++) {
        names[i] = disk->now.entries[i].name;
    }
    *count_out = (uint32_t)disk->now.count;
    return PD_OK;
}

static enum pd_status disk_free_bytes(struct pd_disk *base, uint64_t *bytes_out)
{
    struct pd_sim_disk *disk = of(base);
    *bytes_out = disk->capacity > disk->used ? disk->capacity - disk->used : 0;
    return PD_OK;
}

static void disk_close_disk(struct pd_disk *base)
{
    pd_sim_disk_kill(of(base));
}

static const struct pd_disk_ops disk_ops = {
    .create = disk_create,
    .open = disk_open,
    .close = disk_close,
    .write = disk_write,
    .read = disk_read,
    .truncate = disk_truncate,
    .sync = disk_sync,
    .rename = disk_rename,
    .remove = disk_remove,
    .sync_names = disk_sync_names,
    .list = disk_list,
    .free_bytes = disk_free_bytes,
    .close_disk = disk_close_disk,
};

void pd_sim_disk_init(struct pd_sim_disk *disk, uint64_t capacity)
{
    *disk = (struct pd_sim_disk){.base = {.ops = &disk_ops}, .capacity = capacity};
}

void pd_sim_disk_wipe(struct pd_sim_disk *disk)
{
    disk->now.count = 0;
    disk->durable.count = 0;
    disk->change_count = 0;
    memset(disk->handles, 0, sizeof disk->handles);
    sweep(disk);
    disk->fail_write = 0;
    disk->fail_sync = 0;
}

void pd_sim_disk_deinit(struct pd_sim_disk *disk)
{
    pd_sim_disk_wipe(disk);
    pd_free(disk->now.entries);
    pd_free(disk->durable.entries);
    pd_free(disk->changes);
    *disk = (struct pd_sim_disk){0};
}

void pd_sim_disk_kill(struct pd_sim_disk *disk)
{
    memset(disk->handles, 0, sizeof disk->handles);
    sweep(disk);
}

bool pd_sim_disk_is_dirty(const struct pd_sim_disk *disk)
{
    if (disk->change_count > 0) {
        return true;
    }
    for (const struct pd_sim_file *file = disk->files; file != NULL; file = file->next) {
        if (pd_sim_file_is_dirty(file)) {
            return true;
        }
    }
    return false;
}

static void apply_change(struct pd_sim_names *names, const struct pd_sim_name_change *change)
{
    switch (change->kind) {
    case PD_SIM_NAME_LINK:
        link_name(names, change->from.text, change->file);
        break;
    case PD_SIM_NAME_RENAME:
        /* Without the name that it was made under there is nothing to rename. */
        if (lookup(names, change->from.text) == change->file) {
            unlink_name(names, change->from.text);
            link_name(names, change->to.text, change->file);
        }
        break;
    case PD_SIM_NAME_REMOVE:
        unlink_name(names, change->from.text);
        break;
    }
}

bool pd_sim_disk_power_cut(struct pd_sim_disk *disk, struct pd_random *random)
{
    bool has_lost = false;
    memset(disk->handles, 0, sizeof disk->handles);
    /* Either a prefix of the changes or, as POSIX allows, any of them. */
    bool is_prefix = pd_random_below(random, 2) == 0;
    size_t kept = (size_t)pd_random_below(random, disk->change_count + 1);
    for (size_t i = 0; i < disk->change_count; i++) {
        bool is_kept = is_prefix ? i < kept : pd_random_below(random, 2) == 0;
        if (is_kept) {
            apply_change(&disk->durable, &disk->changes[i]);
        } else {
            PD_SOMETIMES(SIM_NAME_LOST, true);
            has_lost = true;
        }
    }
    disk->change_count = 0;
    copy_names(&disk->now, &disk->durable);
    for (struct pd_sim_file *file = disk->files; file != NULL; file = file->next) {
        if (pd_sim_file_is_dirty(file)) {
            has_lost = pd_sim_file_power_cut(file, random) || has_lost;
        }
    }
    sweep(disk);
    return has_lost;
}

bool pd_sim_disk_rot(struct pd_sim_disk *disk, struct pd_random *random,
                     struct pd_disk_name *name_out, uint64_t *offset_out)
{
    if (disk->now.count == 0) {
        return false;
    }
    size_t first = (size_t)pd_random_below(random, disk->now.count);
    for (size_t i = 0; i < disk->now.count; i++) {
        struct pd_sim_name *entry = &disk->now.entries[(first + i) % disk->now.count];
        if (pd_sim_file_rot(entry->file, random, offset_out)) {
            *name_out = entry->name;
            return true;
        }
    }
    return false;
}

void pd_sim_disk_copy(struct pd_sim_disk *to, const struct pd_sim_disk *from)
{
    pd_sim_disk_wipe(to);
    for (size_t i = 0; i < from->durable.count; i++) {
        struct pd_sim_file *file = pd_sim_file_copy_durable(from->durable.entries[i].file);
        file->next = to->files;
        to->files = file;
        link_name(&to->durable, from->durable.entries[i].name.text, file);
    }
    copy_names(&to->now, &to->durable);
    sweep(to);
}
