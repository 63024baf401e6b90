/* The path_* functions: decode, check, and hand to a job. What a path may reach is decided below,
 * by files. */
#include <string.h>

#include "base/assert.h"
#include "wasm/wasi_internal.h"

/* One path argument of a call: where it lies, and beneath which directory. */
struct path_argument {
    uint32_t fd;
    uint32_t address;
    uint32_t size;
    uint64_t rights;
};

static struct path_argument path_argument(struct pd_call *call, unsigned fd_index,
                                          unsigned path_index, uint64_t rights)
{
    return (struct path_argument){
        .fd = pd_call_u32(call, fd_index),
        .address = pd_call_u32(call, path_index),
        .size = pd_call_u32(call, path_index + 1),
        .rights = rights,
    };
}

static char *copy_text(struct pd_call *call, char *to, uint32_t address, uint32_t size)
{
    const uint8_t *from = pd_guest_memory(call->guest, address, size);
    pd_assert(from != NULL);
    memcpy(to, from, size);
    to[size] = '\0';
    return to;
}

/* Check a path and its directory, and make the job that holds copies of both. `room` more bytes
 * follow the text; `second` (may be NULL) is another path. */
static enum pd_file_error path_job(struct pd_call *call, const char *name,
                                   const struct path_argument *first,
                                   const struct path_argument *second, size_t room,
                                   struct wasi_job **job_out)
{
    struct pd_wasi *wasi = pd_guest_wasi(call->guest);
    struct wasi_fd dir;
    struct wasi_fd second_dir;
    if (wasi == NULL) {
        return PD_FILE_NOMEM;
    }
    enum pd_file_error error = pd_wasi_fd_require_directory(wasi, first->fd, first->rights, &dir);
    if (error == PD_FILE_OK && second != NULL) {
        error = pd_wasi_fd_require_directory(wasi, second->fd, second->rights, &second_dir);
    }
    if (error == PD_FILE_OK) {
        error = pd_wasi_path_check(call, first->address, first->size);
    }
    if (error == PD_FILE_OK && second != NULL) {
        error = pd_wasi_path_check(call, second->address, second->size);
    }
    if (error != PD_FILE_OK) {
        return error;
    }
    size_t texts = (size_t)first->size + 1 + (second == NULL ? 0 : (size_t)second->size + 1);
    struct wasi_job *job = pd_wasi_job_create(wasi, name, &dir, texts + room);
    if (job == NULL) {
        return PD_FILE_NOMEM;
    }
    job->path = copy_text(call, (char *)job->bytes, first->address, first->size);
    if (second != NULL) {
        job->other_path =
            copy_text(call, job->path + first->size + 1, second->address, second->size);
        job->files->ops->retain(job->files, second_dir.file);
        job->other = second_dir.file;
    }
    job->data = job->bytes + texts;
    job->data_size = room;
    *job_out = job;
    return PD_FILE_OK;
}

/* The calls that take one path and answer only an error. */
static enum pd_call_result simple(struct pd_call *call, const char *name, uint64_t right,
                                  void (*work)(struct pd_blocking *self))
{
    struct path_argument path = path_argument(call, 0, 1, right);
    struct wasi_job *job = NULL;
    enum pd_file_error error = path_job(call, name, &path, NULL, 0, &job);
    return error != PD_FILE_OK ? pd_wasi_answer(call, error)
                               : pd_wasi_job_run(call, job, work, NULL);
}

static void create_directory_work(struct pd_blocking *self)
{
    struct wasi_job *job = pd_wasi_job_of(self);
    job->error = job->files->ops->make_directory_at(job->files, job->file, job->path);
}

enum pd_call_result pd_wasi_path_create_directory(struct pd_call *call)
{
    return simple(call, "path_create_directory", WASI_RIGHT_PATH_CREATE_DIRECTORY,
                  create_directory_work);
}

static void remove_directory_work(struct pd_blocking *self)
{
    struct wasi_job *job = pd_wasi_job_of(self);
    job->error = job->files->ops->remove_directory_at(job->files, job->file, job->path);
}

enum pd_call_result pd_wasi_path_remove_directory(struct pd_call *call)
{
    return simple(call, "path_remove_directory", WASI_RIGHT_PATH_REMOVE_DIRECTORY,
                  remove_directory_work);
}

static void unlink_work(struct pd_blocking *self)
{
    struct wasi_job *job = pd_wasi_job_of(self);
    job->error = job->files->ops->unlink_at(job->files, job->file, job->path);
}

enum pd_call_result pd_wasi_path_unlink_file(struct pd_call *call)
{
    return simple(call, "path_unlink_file", WASI_RIGHT_PATH_UNLINK_FILE, unlink_work);
}

/* --- path_filestat_* -------------------------------------------------------------------------- */

static void stat_work(struct pd_blocking *self)
{
    struct wasi_job *job = pd_wasi_job_of(self);
    job->error =
        job->files->ops->stat_at(job->files, job->file, job->path, job->follows, &job->stat);
}

static enum pd_call_result stat_finish(struct pd_call *call, struct pd_blocking *self)
{
    const struct wasi_job *job = pd_wasi_job_of(self);
    return job->error != PD_FILE_OK ? pd_wasi_answer(call, job->error)
                                    : pd_wasi_answer_stat(call, job->memory, &job->stat);
}

static bool lookup_flags_valid(uint32_t flags)
{
    return (flags & ~WASI_LOOKUP_FOLLOW) == 0;
}

enum pd_call_result pd_wasi_path_filestat_get(struct pd_call *call)
{
    struct path_argument path = path_argument(call, 0, 2, WASI_RIGHT_PATH_FILESTAT_GET);
    struct wasi_job *job = NULL;
    uint32_t flags = pd_call_u32(call, 1);
    uint32_t memory = pd_call_u32(call, 4);
    if (!lookup_flags_valid(flags)) {
        return pd_wasi_answer(call, PD_FILE_INVAL);
    }
    if (!pd_wasi_is_memory(call, memory, WASI_FILESTAT_SIZE)) {
        return pd_wasi_answer(call, PD_FILE_FAULT);
    }
    enum pd_file_error error = path_job(call, "path_filestat_get", &path, NULL, 0, &job);
    if (error != PD_FILE_OK) {
        return pd_wasi_answer(call, error);
    }
    job->follows = (flags & WASI_LOOKUP_FOLLOW) != 0;
    job->memory = memory;
    return pd_wasi_job_run(call, job, stat_work, stat_finish);
}

static void set_times_work(struct pd_blocking *self)
{
    struct wasi_job *job = pd_wasi_job_of(self);
    job->error =
        job->files->ops->set_times_at(job->files, job->file, job->path, job->follows, &job->times);
}

enum pd_call_result pd_wasi_path_filestat_set_times(struct pd_call *call)
{
    struct path_argument path = path_argument(call, 0, 2, WASI_RIGHT_PATH_FILESTAT_SET_TIMES);
    struct wasi_job *job = NULL;
    uint32_t flags = pd_call_u32(call, 1);
    struct pd_file_times times;
    enum pd_file_error error =
        pd_wasi_times(call->arguments[4], call->arguments[5], pd_call_u32(call, 6), &times);
    if (error == PD_FILE_OK && !lookup_flags_valid(flags)) {
        error = PD_FILE_INVAL;
    }
    if (error == PD_FILE_OK) {
        error = path_job(call, "path_filestat_set_times", &path, NULL, 0, &job);
    }
    if (error != PD_FILE_OK) {
        return pd_wasi_answer(call, error);
    }
    job->follows = (flags & WASI_LOOKUP_FOLLOW) != 0;
    job->times = times;
    return pd_wasi_job_run(call, job, set_times_work, NULL);
}

/* --- path_link, path_rename, path_symlink, path_readlink -------------------------------------- */

static void link_work(struct pd_blocking *self)
{
    struct wasi_job *job = pd_wasi_job_of(self);
    job->error =
        job->files->ops->link_at(job->files, job->file, job->path, job->other, job->other_path);
}

enum pd_call_result pd_wasi_path_link(struct pd_call *call)
{
    struct path_argument path = path_argument(call, 0, 2, WASI_RIGHT_PATH_LINK_SOURCE);
    struct path_argument new_path = path_argument(call, 4, 5, WASI_RIGHT_PATH_LINK_TARGET);
    struct wasi_job *job = NULL;
    /* Following is not offered, as elsewhere: the link's name and what it names could change in
     * between. */
    if (pd_call_u32(call, 1) != 0) {
        return pd_wasi_answer(call, PD_FILE_INVAL);
    }
    enum pd_file_error error = path_job(call, "path_link", &path, &new_path, 0, &job);
    return error != PD_FILE_OK ? pd_wasi_answer(call, error)
                               : pd_wasi_job_run(call, job, link_work, NULL);
}

static void rename_work(struct pd_blocking *self)
{
    struct wasi_job *job = pd_wasi_job_of(self);
    job->error =
        job->files->ops->rename_at(job->files, job->file, job->path, job->other, job->other_path);
}

enum pd_call_result pd_wasi_path_rename(struct pd_call *call)
{
    struct path_argument path = path_argument(call, 0, 1, WASI_RIGHT_PATH_RENAME_SOURCE);
    struct path_argument new_path = path_argument(call, 3, 4, WASI_RIGHT_PATH_RENAME_TARGET);
    struct wasi_job *job = NULL;
    enum pd_file_error error = path_job(call, "path_rename", &path, &new_path, 0, &job);
    return error != PD_FILE_OK ? pd_wasi_answer(call, error)
                               : pd_wasi_job_run(call, job, rename_work, NULL);
}

static void symlink_work(struct pd_blocking *self)
{
    struct wasi_job *job = pd_wasi_job_of(self);
    job->error =
        job->files->ops->symlink_at(job->files, (const char *)job->data, job->file, job->path);
}

enum pd_call_result pd_wasi_path_symlink(struct pd_call *call)
{
    struct path_argument path = path_argument(call, 2, 3, WASI_RIGHT_PATH_SYMLINK);
    struct wasi_job *job = NULL;
    uint32_t target_size = pd_call_u32(call, 1);
    /* The target is a text like a path; that it is relative keeps host programs from being led
     * astray too. */
    enum pd_file_error error = pd_wasi_path_check(call, pd_call_u32(call, 0), target_size);
    if (error == PD_FILE_OK) {
        error = path_job(call, "path_symlink", &path, NULL, (size_t)target_size + 1, &job);
    }
    if (error != PD_FILE_OK) {
        return pd_wasi_answer(call, error);
    }
    copy_text(call, (char *)job->data, pd_call_u32(call, 0), target_size);
    return pd_wasi_job_run(call, job, symlink_work, NULL);
}

static void readlink_work(struct pd_blocking *self)
{
    struct wasi_job *job = pd_wasi_job_of(self);
    size_t size = 0;
    job->error = job->files->ops->readlink_at(job->files, job->file, job->path, (char *)job->data,
                                              job->data_size, &size);
    job->result = size;
}

static enum pd_call_result readlink_finish(struct pd_call *call, struct pd_blocking *self)
{
    const struct wasi_job *job = pd_wasi_job_of(self);
    if (job->error != PD_FILE_OK) {
        return pd_wasi_answer(call, job->error);
    }
    size_t size = job->result < job->memory_size ? (size_t)job->result : job->memory_size;
    uint8_t *to = pd_guest_memory(call->guest, job->memory, size);
    if (to == NULL) {
        return pd_wasi_answer(call, PD_FILE_FAULT);
    }
    if (size > 0) {
        memcpy(to, job->data, size);
    }
    return pd_wasi_answer_u32(call, job->count_at, (uint32_t)size);
}

enum pd_call_result pd_wasi_path_readlink(struct pd_call *call)
{
    struct path_argument path = path_argument(call, 0, 1, WASI_RIGHT_PATH_READLINK);
    struct wasi_job *job = NULL;
    uint32_t memory = pd_call_u32(call, 3);
    uint32_t memory_size = pd_call_u32(call, 4);
    if (!pd_wasi_is_memory(call, memory, memory_size) ||
        !pd_wasi_is_memory(call, pd_call_u32(call, 5), 4)) {
        return pd_wasi_answer(call, PD_FILE_FAULT);
    }
    enum pd_file_error error = path_job(call, "path_readlink", &path, NULL, PD_FILE_PATH_MAX, &job);
    if (error != PD_FILE_OK) {
        return pd_wasi_answer(call, error);
    }
    job->memory = memory;
    job->memory_size = memory_size;
    job->count_at = pd_call_u32(call, 5);
    return pd_wasi_job_run(call, job, readlink_work, readlink_finish);
}

/* --- path_open -------------------------------------------------------------------------------- */

static void open_work(struct pd_blocking *self)
{
    struct wasi_job *job = pd_wasi_job_of(self);
    job->error =
        job->files->ops->open_at(job->files, job->file, job->path, job->flags, &job->opened);
}

/* What a new descriptor has: what was asked for, can be passed on, and applies to its kind. */
static struct wasi_fd opened_fd(const struct wasi_job *job)
{
    struct wasi_fd fd = {.file = job->opened};
    if (job->opened->type == PD_FILE_TYPE_DIRECTORY) {
        fd.kind = WASI_FD_DIRECTORY;
        fd.base = job->base & WASI_RIGHTS_DIRECTORY;
        fd.inheriting = job->inheriting;
        return fd;
    }
    fd.kind = WASI_FD_FILE;
    fd.base = job->base & (job->opened->is_stream ? WASI_RIGHTS_STREAM : WASI_RIGHTS_REGULAR);
    fd.flags = (uint16_t)job->memory_size;
    return fd;
}

static enum pd_call_result open_finish(struct pd_call *call, struct pd_blocking *self)
{
    struct wasi_job *job = pd_wasi_job_of(self);
    struct pd_wasi *wasi = pd_guest_wasi(call->guest);
    pd_assert(wasi != NULL);
    if (job->error != PD_FILE_OK) {
        return pd_wasi_answer(call, job->error);
    }
    struct wasi_fd fd = opened_fd(job);
    uint32_t number = 0;
    enum pd_file_error error = pd_wasi_fd_add(wasi, &fd, &number);
    if (error != PD_FILE_OK) {
        return pd_wasi_answer(call, error); /* the job closes it */
    }
    job->opened = NULL;
    return pd_wasi_answer_u32(call, job->memory, number);
}

static uint32_t open_flags(const struct wasi_job *job, uint32_t lookup, uint32_t oflags,
                           uint32_t fdflags)
{
    _Static_assert(PD_FILE_OPEN_CREATE == 1 && PD_FILE_OPEN_DIRECTORY == 2 &&
                       PD_FILE_OPEN_EXCLUSIVE == 4 && PD_FILE_OPEN_TRUNCATE == 8,
                   "numbered as preview 1's oflags");
    uint32_t flags = oflags;
    uint64_t writing =
        WASI_RIGHT_FD_WRITE | WASI_RIGHT_FD_ALLOCATE | WASI_RIGHT_FD_FILESTAT_SET_SIZE;
    flags |= (lookup & WASI_LOOKUP_FOLLOW) != 0 ? PD_FILE_OPEN_FOLLOW : 0;
    flags |= (job->base & WASI_RIGHT_FD_READ) != 0 ? PD_FILE_OPEN_READ : 0;
    flags |= (job->base & writing) != 0 ? PD_FILE_OPEN_WRITE : 0;
    flags |= (fdflags & WASI_FDFLAG_APPEND) != 0 ? PD_FILE_OPEN_APPEND : 0;
    flags |= (fdflags & WASI_FDFLAG_DSYNC) != 0 ? PD_FILE_OPEN_DSYNC : 0;
    /* Linux has no synchronised reads of their own: O_RSYNC is O_SYNC. */
    flags |= (fdflags & (WASI_FDFLAG_SYNC | WASI_FDFLAG_RSYNC)) != 0 ? PD_FILE_OPEN_SYNC : 0;
    return flags;
}

/* The rights that opening in this way takes from the directory. */
static uint64_t open_rights(uint32_t oflags)
{
    uint64_t rights = WASI_RIGHT_PATH_OPEN;
    rights |= (oflags & PD_FILE_OPEN_CREATE) != 0 ? WASI_RIGHT_PATH_CREATE_FILE : 0;
    return rights;
}

enum pd_call_result pd_wasi_path_open(struct pd_call *call)
{
    uint32_t lookup = pd_call_u32(call, 1);
    uint32_t oflags = pd_call_u32(call, 4);
    uint64_t base = call->arguments[5];
    uint64_t inheriting = call->arguments[6];
    uint32_t fdflags = pd_call_u32(call, 7);
    uint32_t memory = pd_call_u32(call, 8);
    struct pd_wasi *wasi = pd_guest_wasi(call->guest);
    struct wasi_fd dir;
    if (wasi == NULL) {
        return pd_wasi_answer(call, PD_FILE_NOMEM);
    }
    struct path_argument path = path_argument(call, 0, 2, open_rights(oflags));
    enum pd_file_error error = pd_wasi_fd_require_directory(wasi, path.fd, path.rights, &dir);
    if (error == PD_FILE_OK && (!lookup_flags_valid(lookup) || (oflags & ~WASI_OFLAGS_ALL) != 0 ||
                                (fdflags & ~WASI_FDFLAGS_ALL) != 0)) {
        error = PD_FILE_INVAL;
    }
    if (error == PD_FILE_OK && !pd_wasi_is_memory(call, memory, 4)) {
        error = PD_FILE_FAULT;
    }
    /* The one right whose lack is `perm`: what other runtimes say, and programs compare with. */
    if (error == PD_FILE_OK && (oflags & PD_FILE_OPEN_TRUNCATE) != 0 &&
        (dir.base & WASI_RIGHT_PATH_FILESTAT_SET_SIZE) == 0) {
        error = PD_FILE_PERM;
    }
    /* Other rights are cut down in silence, as libraries ask for all; these two would be missed
     * later. */
    uint64_t transfer = WASI_RIGHT_FD_READ | WASI_RIGHT_FD_WRITE;
    if (error == PD_FILE_OK && (base & transfer & ~dir.inheriting) != 0) {
        error = PD_FILE_NOTCAPABLE;
    }
    if (error == PD_FILE_OK) {
        error = pd_wasi_fd_reserve(wasi); /* before a file is created for nothing */
    }
    struct wasi_job *job = NULL;
    if (error == PD_FILE_OK) {
        error = path_job(call, "path_open", &path, NULL, 0, &job);
    }
    if (error != PD_FILE_OK) {
        return pd_wasi_answer(call, error);
    }
    job->base = base & dir.inheriting;
    job->inheriting = inheriting & dir.inheriting;
    job->flags = open_flags(job, lookup, oflags, fdflags);
    job->memory = memory;
    job->memory_size = fdflags; /* for opened_fd */
    return pd_wasi_job_run(call, job, open_work, open_finish);
}
