#include "power-loss/model.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "internal.h"
#include "sim/queue.h"

/* -- The trace --------------------------------------------------------------------------------- */

/* The record at the offset; NULL: it is not whole. */
static const struct pd_power_record *record_at(const struct pd_power_log *log, size_t offset,
                                               struct pd_power_record *room)
{
    size_t end = log->is_whole ? log->size : log->mapped;
    if (end - offset < sizeof *room) {
        return NULL;
    }
    memcpy(room, log->bytes + offset, sizeof *room);
    return room->size >= sizeof *room && room->size <= end - offset ? room : NULL;
}

enum pd_status pd_power_log_open(const char *path, struct pd_power_log *log_out)
{
    struct stat about;
    *log_out = (struct pd_power_log){.bytes = NULL};
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0 || fstat(descriptor, &about) != 0 || about.st_size == 0) {
        if (descriptor >= 0) {
            close(descriptor);
        }
        return PD_ERR_UNKNOWN;
    }
    void *bytes = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    close(descriptor);
    if (bytes == MAP_FAILED) {
        return PD_ERR_UNKNOWN;
    }
    log_out->bytes = bytes;
    log_out->mapped = (size_t)about.st_size;
    struct pd_power_record record;
    while (record_at(log_out, log_out->size, &record) != NULL) {
        log_out->size += record.size;
        log_out->record_count++;
    }
    log_out->is_whole = true;
    /* A process that goes on in the folder appends to it. */
    return truncate(path, (off_t)log_out->size) == 0 ? PD_OK : PD_ERR_UNKNOWN;
}

void pd_power_log_close(struct pd_power_log *log)
{
    if (log->bytes != NULL) {
        munmap((void *)(uintptr_t)log->bytes, log->mapped);
    }
    *log = (struct pd_power_log){.bytes = NULL};
}

struct pd_power_rest pd_power_log_rest(const struct pd_power_log *log)
{
    struct pd_power_rest rest = {0, 0};
    struct pd_power_record record;
    uint8_t *kinds = NULL; /* of the calls under way, by number */
    size_t capacity = 0;
    size_t count = 0;
    for (size_t at = 0; at < log->size; at += record.size) {
        memcpy(&record, log->bytes + at, sizeof record);
        if (record.call >= count) {
            kinds = pd_sim_grow(kinds, &capacity, (size_t)record.call + 1, 1);
            memset(kinds + count, 0, (size_t)record.call + 1 - count);
            count = (size_t)record.call + 1;
        }
        kinds[record.call] = record.kind == PD_POWER_DONE ? 0 : (uint8_t)record.kind;
    }
    for (size_t i = 0; i < count; i++) {
        rest.names += kinds[i] >= PD_POWER_OPEN && kinds[i] <= PD_POWER_MKDIR;
        rest.files += kinds[i] >= PD_POWER_WRITE && kinds[i] <= PD_POWER_EXTEND;
    }
    pd_free(kinds);
    return rest;
}

uint64_t pd_power_log_moment(const struct pd_power_log *log, struct pd_random *random)
{
    struct pd_power_record record;
    uint64_t at = pd_random_below(random, log->record_count + 1);
    uint64_t number = 0;
    uint64_t renames = 0;
    uint64_t chosen = 0;
    for (size_t offset = 0; offset < log->size; offset += record.size) {
        memcpy(&record, log->bytes + offset, sizeof record);
        number++;
        if (record.kind == PD_POWER_RENAME && pd_random_below(random, ++renames) == 0) {
            chosen = number; /* each with the same chance */
        }
    }
    switch (pd_random_below(random, 4)) {
    case 0:
        return log->record_count; /* where most is under way */
    case 1:
        chosen += 1 + pd_random_below(random, 100);
        return renames == 0 || chosen > log->record_count ? at : chosen;
    default:
        return at;
    }
}

/* -- The model --------------------------------------------------------------------------------- */

enum pd_status pd_power_fail(struct pd_power_model *model, enum pd_status status,
                             const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(model->text, sizeof model->text, format, arguments);
    va_end(arguments);
    return status;
}

void pd_power_model_close(struct pd_power_model *model)
{
    if (model == NULL) {
        return;
    }
    while (model->files != NULL) {
        struct pd_power_file *file = model->files;
        model->files = file->next;
        pd_power_file_free(file);
    }
    pd_free(model->calls);
    pd_free(model);
}

uint64_t pd_power_model_time_ns(const struct pd_power_model *model)
{
    return model->time_ns;
}

const char *pd_power_model_text(const struct pd_power_model *model)
{
    return model->text;
}

/* The file that an inode names now. Numbers are used again: the newest file is meant. */
static struct pd_power_file *file_of(struct pd_power_model *model, uint64_t inode)
{
    struct pd_power_file *file = model->files;
    while (file != NULL && file->inode != inode) {
        file = file->next;
    }
    return file;
}

static struct pd_power_call *call_at(struct pd_power_model *model, uint64_t number)
{
    if (number >= model->call_count) {
        model->calls = pd_sim_grow(model->calls, &model->call_capacity, (size_t)number + 1,
                                   sizeof model->calls[0]);
        memset(model->calls + model->call_count, 0,
               ((size_t)number + 1 - model->call_count) * sizeof model->calls[0]);
        model->call_count = (size_t)number + 1;
    }
    return &model->calls[number];
}

/* A record's paths, wherever they lie in the trace. */
struct paths {
    const char *first;
    size_t first_size;
    const char *second;
    size_t second_size;
    const uint8_t *bytes; /* behind them */
};

static struct paths paths_of(const uint8_t *at)
{
    struct pd_power_record record;
    memcpy(&record, at, sizeof record);
    const char *first = (const char *)at + sizeof record;
    return (struct paths){first, record.first_size, first + record.first_size, record.second_size,
                          at + sizeof record + record.first_size + record.second_size};
}

static enum pd_status change_name(struct pd_power_model *model, const struct paths *paths,
                                  uint32_t kind, struct pd_power_file *made)
{
    char from[PD_POWER_NAME_MAX + 1];
    struct pd_power_change change = {.done_at = model->records, .file = made};
    struct pd_power_file *old = pd_power_folder_of(model, paths->first, paths->first_size, from);
    struct pd_power_file *folder = old;
    memcpy(change.to, from, sizeof change.to);
    if (kind == PD_POWER_RENAME || kind == PD_POWER_LINK) {
        folder = pd_power_folder_of(model, paths->second, paths->second_size, change.to);
        change.file = old == NULL ? NULL : pd_power_names_find(&old->now, from);
        if (kind == PD_POWER_RENAME) {
            memcpy(change.from, from, sizeof change.from);
        }
        if (change.file == NULL) {
            folder = NULL;
        }
    }
    if (folder == NULL) {
        return pd_power_fail(model, PD_ERR_CORRUPT,
                             "the trace changes a name that is not there: %.*s",
                             (int)paths->first_size, paths->first);
    }
    if (kind == PD_POWER_RENAME && folder != old) {
        return pd_power_fail(model, PD_ERR_UNSUPPORTED,
                             "a file moves from one folder to another: %.*s",
                             (int)paths->first_size, paths->first);
    }
    pd_power_folder_change(folder, &change);
    return PD_OK;
}

/* A file was opened that may be new, and may have been emptied. */
static enum pd_status opened(struct pd_power_model *model, const struct paths *paths,
                             const struct pd_power_record *record, uint64_t inode, uint64_t call)
{
    char name[PD_POWER_NAME_MAX + 1];
    struct pd_power_file *folder = pd_power_folder_of(model, paths->first, paths->first_size, name);
    struct pd_power_file *file = folder == NULL ? NULL : pd_power_names_find(&folder->now, name);
    if (file == NULL) {
        file = pd_power_file_new(model, inode);
        return change_name(model, paths, PD_POWER_OPEN, file);
    }
    if (file->inode != inode) {
        return pd_power_fail(model, PD_ERR_CORRUPT, "%.*s is another file than the trace told",
                             (int)paths->first_size, paths->first);
    }
    if ((record->flags & PD_POWER_EMPTIES) != 0) {
        pd_power_file_resize(file, call, 0);
    }
    return PD_OK;
}

static void sync_all(struct pd_power_model *model, uint64_t at)
{
    for (struct pd_power_file *file = model->files; file != NULL; file = file->next) {
        pd_power_file_sync(file, model->calls, at, 0);
        pd_power_folder_sync(file, at);
    }
}

/* What a call did shows when it is over; of a write, some may show before. */
static enum pd_status done(struct pd_power_model *model, const struct pd_power_record *end)
{
    struct pd_power_call *call = call_at(model, end->call);
    struct pd_power_record record;
    if (call->record == NULL || call->done_at != 0) {
        return pd_power_fail(model, PD_ERR_CORRUPT, "the trace ends a call that did not begin");
    }
    struct paths paths = paths_of(call->record);
    memcpy(&record, call->record, sizeof record);
    call->done_at = model->records;
    if (record.kind == PD_POWER_WRITE && end->result != (int64_t)record.length) {
        call->file->is_unknown = true;
        return PD_OK;
    }
    if (end->result < 0) {
        return PD_OK;
    }
    switch ((enum pd_power_kind)record.kind) {
    case PD_POWER_WRITE:
        if ((record.flags & PD_POWER_DSYNC) != 0) {
            pd_power_file_sync(call->file, model->calls, model->records + 1, end->call);
        }
        return PD_OK;
    case PD_POWER_TRUNCATE:
        pd_power_file_resize(call->file, end->call, record.length);
        return PD_OK;
    case PD_POWER_EXTEND:
        if (record.offset + record.length > call->file->size) {
            pd_power_file_resize(call->file, end->call, record.offset + record.length);
        }
        return PD_OK;
    case PD_POWER_SYNC:
        pd_power_file_sync(call->file, model->calls, call->begun_at, 0);
        pd_power_folder_sync(call->file, call->begun_at);
        return PD_OK;
    case PD_POWER_SYNC_ALL:
        sync_all(model, call->begun_at);
        return PD_OK;
    case PD_POWER_OPEN:
        return opened(model, &paths, &record, end->inode, end->call);
    case PD_POWER_MKDIR: {
        struct pd_power_file *made = pd_power_file_new(model, end->inode);
        made->is_folder = true;
        return change_name(model, &paths, record.kind, made);
    }
    case PD_POWER_RENAME:
    case PD_POWER_LINK:
    case PD_POWER_REMOVE:
        return change_name(model, &paths, record.kind, NULL);
    case PD_POWER_DONE:
    case PD_POWER_STREAM:
    case PD_POWER_UNSEEN:
        return PD_OK;
    }
    return pd_power_fail(model, PD_ERR_CORRUPT, "the trace has a record of an unknown kind");
}

static enum pd_status begun(struct pd_power_model *model, const struct pd_power_record *record,
                            const uint8_t *at)
{
    struct paths paths = paths_of(at);
    bool names_inode = record->kind == PD_POWER_WRITE || record->kind == PD_POWER_TRUNCATE ||
                       record->kind == PD_POWER_EXTEND || record->kind == PD_POWER_SYNC ||
                       record->kind == PD_POWER_STREAM;
    struct pd_power_file *file = names_inode ? file_of(model, record->inode) : NULL;
    if (record->kind == PD_POWER_UNSEEN) {
        return pd_power_fail(model, PD_ERR_UNSUPPORTED,
                             "%.*s is changed in a way that is not followed", (int)paths.first_size,
                             paths.first);
    }
    if (names_inode && file == NULL) {
        return pd_power_fail(model, PD_ERR_CORRUPT, "the trace writes a file that it did not open");
    }
    struct pd_power_call *call = call_at(model, record->call);
    *call = (struct pd_power_call){.record = at, .file = file, .begun_at = model->records};
    if (record->kind == PD_POWER_STREAM) {
        file->is_unknown = true;
    } else if (record->kind == PD_POWER_WRITE) {
        pd_power_file_write(file, record->call, record->offset, record->length,
                            (record->flags & PD_POWER_ZEROES) != 0 ? NULL : paths.bytes);
    }
    return PD_OK;
}

enum pd_status pd_power_model_replay(struct pd_power_model *model, const struct pd_power_log *log,
                                     uint64_t records)
{
    struct pd_power_record record;
    enum pd_status status = PD_OK;
    while (status == PD_OK && model->records < records &&
           record_at(log, model->offset, &record) != NULL) {
        const uint8_t *at = log->bytes + model->offset;
        model->records++;
        model->offset += record.size;
        model->time_ns = record.time_ns;
        status = record.kind == PD_POWER_DONE ? done(model, &record) : begun(model, &record, at);
    }
    return status;
}
