/* From a folder to the model, and from the model to a folder. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "internal.h"
#include "sim/queue.h"

/* Folders that are still to be visited: deep trees need no deep stack. */
struct visit {
    struct pd_power_file *folder;
    char *path;
};

struct visits {
    struct visit *entries;
    size_t count;
    size_t capacity;
};

static char *join(const char *folder, const char *name)
{
    size_t size = strlen(folder) + 1 + strlen(name) + 1;
    char *path = pd_sim_alloc(size);
    snprintf(path, size, "%s/%s", folder, name);
    return path;
}

/* The path is the list's from now on. */
static void add_visit(struct visits *visits, struct pd_power_file *folder, char *path)
{
    visits->entries = pd_sim_grow(visits->entries, &visits->capacity, visits->count + 1,
                                  sizeof visits->entries[0]);
    visits->entries[visits->count++] = (struct visit){folder, path};
}

static void free_visits(struct visits *visits)
{
    while (visits->count > 0) {
        pd_free(visits->entries[--visits->count].path);
    }
    pd_free(visits->entries);
}

static enum pd_status io_failed(struct pd_power_model *model, const char *path)
{
    return pd_power_fail(model, PD_ERR_IO, "%s: %s", path, strerror(errno));
}

/* -- Reading a folder -------------------------------------------------------------------------- */

static enum pd_status load_file(struct pd_power_model *model, struct pd_power_file *file,
                                const char *path, uint64_t size)
{
    static uint8_t bytes[64 * PD_POWER_BLOCK];
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        return io_failed(model, path);
    }
    enum pd_status status = PD_OK;
    /* Holes are zeroes already. */
    off_t at = lseek(descriptor, 0, SEEK_DATA);
    while (status == PD_OK && at >= 0 && (uint64_t)at < size) {
        ssize_t got = pread(descriptor, bytes, sizeof bytes, at);
        if (got <= 0) {
            status = io_failed(model, path);
            break;
        }
        pd_power_file_write(file, 0, (uint64_t)at, (uint64_t)got, bytes);
        at = lseek(descriptor, at + got, SEEK_DATA);
    }
    close(descriptor);
    if (file->size != size) {
        pd_power_file_resize(file, 0, size);
    }
    pd_power_file_settle(file);
    return status;
}

static enum pd_status load_entry(struct pd_power_model *model, struct visits *visits,
                                 struct pd_power_file *folder, const char *name, char *path)
{
    struct stat about;
    if (lstat(path, &about) != 0) {
        return io_failed(model, path);
    }
    struct pd_power_change change = {.done_at = 1};
    snprintf(change.to, sizeof change.to, "%s", name);
    change.file = pd_power_file_new(model, (uint64_t)about.st_ino);
    pd_power_folder_change(folder, &change);
    if (S_ISDIR(about.st_mode)) {
        change.file->is_folder = true;
        add_visit(visits, change.file, join(path, "."));
        return PD_OK;
    }
    return load_file(model, change.file, path, (uint64_t)about.st_size);
}

static enum pd_status load_folder(struct pd_power_model *model, struct visits *visits,
                                  const struct visit *visit)
{
    DIR *list = opendir(visit->path);
    enum pd_status status = list == NULL ? io_failed(model, visit->path) : PD_OK;
    while (status == PD_OK) {
        const struct dirent *entry = readdir(list);
        if (entry == NULL) {
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        char *path = join(visit->path, entry->d_name);
        status = load_entry(model, visits, visit->folder, entry->d_name, path);
        pd_free(path);
    }
    if (list != NULL) {
        closedir(list);
    }
    pd_power_folder_sync(visit->folder, 2);
    return status;
}

enum pd_status pd_power_model_open(const char *folder, struct pd_power_model **model_out)
{
    struct pd_power_model *model = pd_sim_alloc(sizeof *model);
    struct visits visits = {.entries = NULL};
    struct stat about;
    enum pd_status status = PD_OK;
    if (stat(folder, &about) != 0) {
        status = io_failed(model, folder);
    } else {
        model->root = pd_power_file_new(model, (uint64_t)about.st_ino);
        model->root->is_folder = true;
        add_visit(&visits, model->root, join(folder, "."));
    }
    while (status == PD_OK && visits.count > 0) {
        struct visit visit = visits.entries[--visits.count];
        status = load_folder(model, &visits, &visit);
        pd_free(visit.path);
    }
    free_visits(&visits);
    if (status != PD_OK) {
        fprintf(stderr, "%s\n", model->text);
        pd_power_model_close(model);
        return status;
    }
    *model_out = model;
    return PD_OK;
}

/* -- A power cut ------------------------------------------------------------------------------- */

/* The number of the version that the cut leaves; `count` of them were written. 0: the durable
 * one. */
static size_t choose(struct pd_random *random, enum pd_power_style style, size_t count)
{
    switch (style) {
    case PD_POWER_LOSES_ALL:
        return 0;
    case PD_POWER_KEEPS_ALL:
        return count;
    case PD_POWER_MIXES:
        break;
    }
    switch (pd_random_below(random, 3)) {
    case 0:
        return 0;
    case 1:
        return count;
    default:
        return (size_t)pd_random_below(random, count + 1);
    }
}

static const uint8_t *version(const struct pd_power_block *block, size_t number)
{
    return number == 0 ? block->durable : block->versions[number - 1].bytes;
}

/* What the cut leaves of a block, in `room` if it is torn. NULL: zeroes. */
static const uint8_t *cut_block(const struct pd_power_block *block, struct pd_random *random,
                                enum pd_power_style style, uint8_t room[PD_POWER_BLOCK])
{
    if (block->count == 0) {
        return block->durable;
    }
    const uint8_t *left = version(block, choose(random, style, block->count));
    if (style != PD_POWER_MIXES || pd_random_below(random, 4) != 0) {
        return left;
    }
    const uint8_t *right = version(block, choose(random, style, block->count));
    uint64_t draw = pd_random_next(random);
    for (size_t sector = 0; sector < PD_POWER_BLOCK / PD_POWER_SECTOR; sector++) {
        const uint8_t *from = (draw >> sector & 1) != 0 ? left : right;
        uint8_t *to = room + sector * PD_POWER_SECTOR;
        if (from == NULL) {
            memset(to, 0, PD_POWER_SECTOR);
        } else {
            memcpy(to, from + sector * PD_POWER_SECTOR, PD_POWER_SECTOR);
        }
    }
    return room;
}

static uint64_t cut_size(const struct pd_power_file *file, struct pd_random *random,
                         enum pd_power_style style)
{
    size_t chosen = choose(random, style, file->length_count);
    return chosen == 0 ? file->durable_size : file->lengths[chosen - 1].size;
}

static enum pd_status write_file(struct pd_power_model *model, const struct pd_power_file *file,
                                 struct pd_random *random, enum pd_power_style style,
                                 const char *path)
{
    uint8_t room[PD_POWER_BLOCK];
    int descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (descriptor < 0) {
        return io_failed(model, path);
    }
    uint64_t size = cut_size(file, random, style);
    enum pd_status status =
        ftruncate(descriptor, (off_t)size) == 0 ? PD_OK : io_failed(model, path);
    for (size_t i = 0; status == PD_OK && i < file->block_count; i++) {
        const uint8_t *bytes = cut_block(&file->blocks[i], random, style, room);
        uint64_t at = (uint64_t)i * PD_POWER_BLOCK;
        if (bytes == NULL || at >= size) {
            continue;
        }
        size_t left = size - at < PD_POWER_BLOCK ? (size_t)(size - at) : PD_POWER_BLOCK;
        if (pwrite(descriptor, bytes, left, (off_t)at) != (ssize_t)left) {
            status = io_failed(model, path);
        }
    }
    close(descriptor);
    return status;
}

/* The names that the cut leaves of a folder. */
static void cut_names(const struct pd_power_file *folder, bool is_ordered, struct pd_random *random,
                      enum pd_power_style style, struct pd_power_names *names)
{
    size_t first = choose(random, style, folder->change_count); /* that is lost, and all after */
    pd_power_names_copy(names, &folder->durable);
    for (size_t i = 0; i < folder->change_count; i++) {
        bool is_kept = style == PD_POWER_KEEPS_ALL ||
                       (style == PD_POWER_MIXES && pd_random_below(random, 2) == 0);
        is_kept = is_ordered ? i < first : is_kept;
        if (is_kept) {
            pd_power_names_apply(names, &folder->changes[i]);
        }
    }
}

static enum pd_status write_entry(struct pd_power_model *model, struct visits *visits,
                                  struct pd_power_file *file, struct pd_random *random,
                                  enum pd_power_style style, char *path)
{
    if (file->is_folder) {
        if (mkdir(path, 0700) != 0) {
            return io_failed(model, path);
        }
        add_visit(visits, file, join(path, "."));
        return PD_OK;
    }
    if (file->image[0] != '\0') {
        return link(file->image, path) == 0 ? PD_OK : io_failed(model, path);
    }
    if (snprintf(file->image, sizeof file->image, "%s", path) >= (int)sizeof file->image) {
        errno = ENAMETOOLONG;
        return io_failed(model, path);
    }
    return write_file(model, file, random, style, path);
}

enum pd_status pd_power_model_cut(struct pd_power_model *model, struct pd_random *random,
                                  enum pd_power_style blocks, enum pd_power_style names,
                                  const char *ordered, const char *folder)
{
    struct visits visits = {.entries = NULL};
    struct pd_power_names chosen = {.entries = NULL};
    enum pd_status status = mkdir(folder, 0700) == 0 ? PD_OK : io_failed(model, folder);
    for (struct pd_power_file *file = model->files; file != NULL; file = file->next) {
        file->image[0] = '\0';
    }
    add_visit(&visits, model->root, join(folder, "."));
    while (status == PD_OK && visits.count > 0) {
        struct visit visit = visits.entries[--visits.count];
        cut_names(visit.folder, visit.folder->is_ordered, random, names, &chosen);
        for (size_t i = 0; status == PD_OK && i < chosen.count; i++) {
            char *path = join(visit.path, chosen.entries[i].text);
            chosen.entries[i].file->is_ordered = strcmp(chosen.entries[i].text, ordered) == 0;
            status = write_entry(model, &visits, chosen.entries[i].file, random, blocks, path);
            pd_free(path);
        }
        pd_free(visit.path);
    }
    free_visits(&visits);
    pd_free(chosen.entries);
    return status;
}

/* -- The proof that nothing was missed --------------------------------------------------------- */

static enum pd_status compare_file(struct pd_power_model *model, const struct pd_power_file *file,
                                   const char *path)
{
    static const uint8_t zeroes[PD_POWER_BLOCK];
    uint8_t bytes[PD_POWER_BLOCK];
    struct stat about;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0 || fstat(descriptor, &about) != 0) {
        return pd_power_fail(model, PD_ERR_CORRUPT, "%s is in the trace and not in the folder",
                             path);
    }
    enum pd_status status = PD_OK;
    if ((uint64_t)about.st_size != file->size) {
        status = pd_power_fail(model, PD_ERR_CORRUPT, "%s has %lld bytes, %llu in the trace", path,
                               (long long)about.st_size, (unsigned long long)file->size);
    }
    for (uint64_t at = 0; status == PD_OK && at < file->size; at += PD_POWER_BLOCK) {
        const uint8_t *wanted = pd_power_file_block(file, (size_t)(at / PD_POWER_BLOCK));
        ssize_t got = pread(descriptor, bytes, sizeof bytes, (off_t)at);
        if (got <= 0 || memcmp(bytes, wanted == NULL ? zeroes : wanted, (size_t)got) != 0) {
            status = pd_power_fail(model, PD_ERR_CORRUPT,
                                   "%s differs from the trace in the block at %llu", path,
                                   (unsigned long long)at);
        }
    }
    close(descriptor);
    return status;
}

/* Everything that is in the folder is in the trace. */
static enum pd_status compare_names(struct pd_power_model *model,
                                    const struct pd_power_file *folder, const char *path)
{
    DIR *list = opendir(path);
    enum pd_status status = list == NULL ? io_failed(model, path) : PD_OK;
    size_t count = 0;
    while (status == PD_OK) {
        const struct dirent *entry = readdir(list);
        if (entry == NULL) {
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        count++;
        if (pd_power_names_find(&folder->now, entry->d_name) == NULL) {
            status =
                pd_power_fail(model, PD_ERR_CORRUPT, "%s/%s is in the folder and not in the trace",
                              path, entry->d_name);
        }
    }
    if (list != NULL) {
        closedir(list);
    }
    if (status == PD_OK && count != folder->now.count) {
        status = pd_power_fail(model, PD_ERR_CORRUPT, "%s has %zu names, %zu in the trace", path,
                               count, folder->now.count);
    }
    return status;
}

/* A file under a call that was not over is as unknown as the disk is. */
static void mark_unfinished(struct pd_power_model *model)
{
    for (size_t i = 0; i < model->call_count; i++) {
        struct pd_power_call *call = &model->calls[i];
        if (call->record != NULL && call->done_at == 0 && call->file != NULL) {
            call->file->is_unknown = true;
        }
    }
}

enum pd_status pd_power_model_compare(struct pd_power_model *model, const char *folder)
{
    struct visits visits = {.entries = NULL};
    enum pd_status status = PD_OK;
    mark_unfinished(model);
    add_visit(&visits, model->root, join(folder, "."));
    while (status == PD_OK && visits.count > 0) {
        struct visit visit = visits.entries[--visits.count];
        status = compare_names(model, visit.folder, visit.path);
        for (size_t i = 0; status == PD_OK && i < visit.folder->now.count; i++) {
            struct pd_power_name *name = &visit.folder->now.entries[i];
            char *path = join(visit.path, name->text);
            if (name->file->is_folder) {
                add_visit(&visits, name->file, join(path, "."));
            } else if (!name->file->is_unknown) {
                status = compare_file(model, name->file, path);
            }
            pd_free(path);
        }
        pd_free(visit.path);
    }
    free_visits(&visits);
    return status;
}
