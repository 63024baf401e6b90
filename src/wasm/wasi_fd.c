/* Descriptors: what they are, where they stand, closing and moving them. */
#include <string.h>

#include "wasm/wasi_internal.h"

/* Begin a call on a file: the guest's part and a descriptor with rights. */
static enum pd_file_error begin(struct pd_call *call, uint64_t rights, struct pd_wasi **wasi_out,
                                struct wasi_fd *fd_out)
{
    *wasi_out = pd_guest_wasi(call->guest);
    return *wasi_out == NULL
               ? PD_FILE_NOMEM
               : pd_wasi_fd_require_file(*wasi_out, pd_call_u32(call, 0), rights, fd_out);
}

/* The same for calls that directories know too. */
static enum pd_file_error begin_any(struct pd_call *call, uint64_t rights,
                                    struct pd_wasi **wasi_out, struct wasi_fd *fd_out)
{
    *wasi_out = pd_guest_wasi(call->guest);
    return *wasi_out == NULL ? PD_FILE_NOMEM
                             : pd_wasi_fd_require(*wasi_out, pd_call_u32(call, 0), rights, fd_out);
}

/* Lines and the program's input have no place on a disk: what is about that is not for them. */
static bool is_standard(const struct wasi_fd *fd)
{
    return fd->kind == WASI_FD_INPUT || fd->kind == WASI_FD_OUTPUT;
}

/* Run a job for the call's descriptor with up to two numbers; NULL finish answers its error. */
static enum pd_call_result run(struct pd_call *call, struct pd_wasi *wasi, const struct wasi_fd *fd,
                               const struct wasi_job *values, const char *name,
                               void (*work)(struct pd_blocking *self),
                               enum pd_call_result (*finish)(struct pd_call *call,
                                                             struct pd_blocking *self))
{
    struct wasi_job *job = pd_wasi_job_create(wasi, name, fd, 0);
    if (job == NULL) {
        return pd_wasi_answer(call, PD_FILE_NOMEM);
    }
    if (values != NULL) {
        job->offset = values->offset;
        job->size = values->size;
        job->flags = values->flags;
        job->times = values->times;
        job->memory = values->memory;
    }
    return pd_wasi_job_run(call, job, work, finish);
}

/* --- fd_advise, fd_allocate, fd_sync, fd_datasync --------------------------------------------- */

static void advise_work(struct pd_blocking *self)
{
    struct wasi_job *job = pd_wasi_job_of(self);
    job->error = job->files->ops->advise(job->files, job->file, job->offset, job->size, job->flags);
}

enum pd_call_result pd_wasi_fd_advise(struct pd_call *call)
{
    struct pd_wasi *wasi;
    struct wasi_fd fd;
    enum pd_file_error error = begin(call, 0, &wasi, &fd);
    if (error == PD_FILE_OK && (is_standard(&fd) || fd.file->is_stream)) {
        error = PD_FILE_SPIPE;
    }
    if (error == PD_FILE_OK) {
        error = begin(call, WASI_RIGHT_FD_ADVISE, &wasi, &fd);
    }
    if (error != PD_FILE_OK) {
        return pd_wasi_answer(call, error);
    }
    struct wasi_job values = {
        .offset = call->arguments[1], .size = call->arguments[2], .flags = pd_call_u32(call, 3)};
    return run(call, wasi, &fd, &values, "fd_advise", advise_work, NULL);
}

static void allocate_work(struct pd_blocking *self)
{
    struct wasi_job *job = pd_wasi_job_of(self);
    job->error = job->files->ops->allocate(job->files, job->file, job->offset, job->size);
}

enum pd_call_result pd_wasi_fd_allocate(struct pd_call *call)
{
    struct pd_wasi *wasi;
    struct wasi_fd fd;
    enum pd_file_error error = begin(call, WASI_RIGHT_FD_ALLOCATE, &wasi, &fd);
    if (error != PD_FILE_OK) {
        return pd_wasi_answer(call, error);
    }
    struct wasi_job values = {.offset = call->arguments[1], .size = call->arguments[2]};
    return run(call, wasi, &fd, &values, "fd_allocate", allocate_work, NULL);
}

static void sync_work(struct pd_blocking *self)
{
    struct wasi_job *job = pd_wasi_job_of(self);
    job->error = job->files->ops->sync(job->files, job->file, job->flags != 0);
}

static enum pd_call_result synchronise(struct pd_call *call, uint64_t right, bool is_data_only)
{
    struct pd_wasi *wasi;
    struct wasi_fd fd;
    enum pd_file_error error = begin_any(call, 0, &wasi, &fd);
    if (error == PD_FILE_OK && is_standard(&fd)) {
        error = PD_FILE_INVAL; /* as POSIX says it of pipes and terminals */
    } else if (error == PD_FILE_OK) {
        error = begin_any(call, right, &wasi, &fd);
    }
    if (error != PD_FILE_OK) {
        return pd_wasi_answer(call, error);
    }
    struct wasi_job values = {.flags = is_data_only};
    return run(call, wasi, &fd, &values, is_data_only ? "fd_datasync" : "fd_sync", sync_work, NULL);
}

enum pd_call_result pd_wasi_fd_sync(struct pd_call *call)
{
    return synchronise(call, WASI_RIGHT_FD_SYNC, false);
}

enum pd_call_result pd_wasi_fd_datasync(struct pd_call *call)
{
    return synchronise(call, WASI_RIGHT_FD_DATASYNC, true);
}

/* --- fd_close, fd_renumber -------------------------------------------------------------------- */

static void close_work(struct pd_blocking *self)
{
    struct wasi_job *job = pd_wasi_job_of(self);
    pd_wasi_fd_release(job->files, &job->closing);
}

/* Let go of a descriptor that has left the table. The last close of a file may wait for its
 * disk. */
static enum pd_call_result let_go(struct pd_call *call, struct pd_wasi *wasi, struct wasi_fd *taken)
{
    bool may_block = taken->kind == WASI_FD_FILE || taken->kind == WASI_FD_DIRECTORY;
    if (taken->preopen != 0 || !may_block) {
        pd_wasi_fd_release(wasi->config->files, taken);
        return pd_wasi_answer(call, PD_FILE_OK);
    }
    struct wasi_job *job = pd_wasi_job_create(wasi, "fd_close", NULL, 0);
    if (job == NULL) {
        pd_wasi_fd_release(wasi->config->files, taken); /* closing must not fail */
        return pd_wasi_answer(call, PD_FILE_OK);
    }
    job->closing = *taken;
    return pd_wasi_job_run(call, job, close_work, NULL);
}

enum pd_call_result pd_wasi_fd_close(struct pd_call *call)
{
    struct pd_wasi *wasi = pd_guest_wasi(call->guest);
    struct wasi_fd taken;
    if (wasi == NULL) {
        return pd_wasi_answer(call, PD_FILE_NOMEM);
    }
    enum pd_file_error error = pd_wasi_fd_take(wasi, pd_call_u32(call, 0), &taken);
    if (error != PD_FILE_OK) {
        return pd_wasi_answer(call, error);
    }
    if (taken.kind == WASI_FD_OUTPUT) {
        struct pd_output_route route =
            pd_wasi_route(wasi, pd_guest_host(call->guest), taken.stream);
        error = pd_output_flush(&wasi->lines[taken.stream - 1], &route);
        pd_wasi_fd_release(wasi->config->files, &taken); /* closed, even where that failed */
        return pd_wasi_answer(call, error);
    }
    return let_go(call, wasi, &taken);
}

enum pd_call_result pd_wasi_fd_renumber(struct pd_call *call)
{
    struct pd_wasi *wasi = pd_guest_wasi(call->guest);
    struct wasi_fd replaced;
    if (wasi == NULL) {
        return pd_wasi_answer(call, PD_FILE_NOMEM);
    }
    enum pd_file_error error =
        pd_wasi_fd_move(wasi, pd_call_u32(call, 0), pd_call_u32(call, 1), &replaced);
    return error != PD_FILE_OK ? pd_wasi_answer(call, error) : let_go(call, wasi, &replaced);
}

/* --- fd_fdstat_* ------------------------------------------------------------------------------ */

enum pd_call_result pd_wasi_fd_fdstat_get(struct pd_call *call)
{
    struct pd_wasi *wasi;
    struct wasi_fd fd;
    enum pd_file_error error = begin_any(call, 0, &wasi, &fd);
    if (error != PD_FILE_OK) {
        return pd_wasi_answer(call, error);
    }
    uint8_t *to = pd_guest_memory(call->guest, pd_call_u32(call, 1), WASI_FDSTAT_SIZE);
    if (to == NULL) {
        return pd_wasi_answer(call, PD_FILE_FAULT);
    }
    memset(to, 0, WASI_FDSTAT_SIZE);
    to[0] = (uint8_t)pd_wasi_fd_type(&fd);
    pd_put_u16(to + 2, fd.flags);
    pd_put_u64(to + 8, fd.base);
    pd_put_u64(to + 16, fd.inheriting);
    return pd_wasi_answer(call, PD_FILE_OK);
}

enum pd_call_result pd_wasi_fd_fdstat_set_flags(struct pd_call *call)
{
    struct pd_wasi *wasi;
    struct wasi_fd fd;
    uint32_t flags = pd_call_u32(call, 1);
    enum pd_file_error error = begin(call, WASI_RIGHT_FD_FDSTAT_SET_FLAGS, &wasi, &fd);
    if (error != PD_FILE_OK) {
        return pd_wasi_answer(call, error);
    }
    if ((flags & ~WASI_FDFLAGS_ALL) != 0) {
        return pd_wasi_answer(call, PD_FILE_INVAL);
    }
    /* Linux cannot change how an open file synchronises. */
    uint32_t fixed = WASI_FDFLAG_DSYNC | WASI_FDFLAG_RSYNC | WASI_FDFLAG_SYNC;
    if (((flags ^ fd.flags) & fixed) != 0) {
        return pd_wasi_answer(call, PD_FILE_NOTSUP);
    }
    struct wasi_fd *entry = pd_wasi_fd_edit(wasi, pd_call_u32(call, 0), &error);
    if (entry == NULL) {
        return pd_wasi_answer(call, error);
    }
    struct pd_files *files = wasi->config->files;
    if (fd.kind == WASI_FD_FILE && ((flags ^ fd.flags) & WASI_FDFLAG_APPEND) != 0) {
        error = files->ops->set_append(files, fd.file, (flags & WASI_FDFLAG_APPEND) != 0);
    }
    if (error == PD_FILE_OK) {
        /* NONBLOCK is ours alone: the program's own streams are shared with other programs. */
        entry->flags = (uint16_t)flags;
    }
    return pd_wasi_answer(call, error);
}

enum pd_call_result pd_wasi_fd_fdstat_set_rights(struct pd_call *call)
{
    struct pd_wasi *wasi;
    struct wasi_fd fd;
    uint64_t base = call->arguments[1];
    uint64_t inheriting = call->arguments[2];
    enum pd_file_error error = begin_any(call, 0, &wasi, &fd);
    if (error == PD_FILE_OK && ((base & ~fd.base) != 0 || (inheriting & ~fd.inheriting) != 0)) {
        error = PD_FILE_NOTCAPABLE;
    }
    if (error != PD_FILE_OK) {
        return pd_wasi_answer(call, error);
    }
    struct wasi_fd *entry = pd_wasi_fd_edit(wasi, pd_call_u32(call, 0), &error);
    if (entry != NULL) {
        entry->base = base;
        entry->inheriting = inheriting;
    }
    return pd_wasi_answer(call, error);
}

/* --- fd_filestat_* ---------------------------------------------------------------------------- */

static void stat_work(struct pd_blocking *self)
{
    struct wasi_job *job = pd_wasi_job_of(self);
    job->error = job->files->ops->stat(job->files, job->file, &job->stat);
}

static enum pd_call_result stat_finish(struct pd_call *call, struct pd_blocking *self)
{
    const struct wasi_job *job = pd_wasi_job_of(self);
    return job->error != PD_FILE_OK ? pd_wasi_answer(call, job->error)
                                    : pd_wasi_answer_stat(call, job->memory, &job->stat);
}

enum pd_call_result pd_wasi_fd_filestat_get(struct pd_call *call)
{
    struct pd_wasi *wasi;
    struct wasi_fd fd;
    enum pd_file_error error = begin_any(call, WASI_RIGHT_FD_FILESTAT_GET, &wasi, &fd);
    if (error == PD_FILE_OK && !pd_wasi_is_memory(call, pd_call_u32(call, 1), WASI_FILESTAT_SIZE)) {
        error = PD_FILE_FAULT;
    }
    if (error != PD_FILE_OK) {
        return pd_wasi_answer(call, error);
    }
    if (is_standard(&fd)) {
        struct pd_file_stat stat = {.link_count = 1, .type = pd_wasi_fd_type(&fd)};
        return pd_wasi_answer_stat(call, pd_call_u32(call, 1), &stat);
    }
    struct wasi_job values = {.memory = pd_call_u32(call, 1)};
    return run(call, wasi, &fd, &values, "fd_filestat_get", stat_work, stat_finish);
}

static void set_size_work(struct pd_blocking *self)
{
    struct wasi_job *job = pd_wasi_job_of(self);
    job->error = job->files->ops->set_size(job->files, job->file, job->size);
}

enum pd_call_result pd_wasi_fd_filestat_set_size(struct pd_call *call)
{
    struct pd_wasi *wasi;
    struct wasi_fd fd;
    enum pd_file_error error = begin(call, WASI_RIGHT_FD_FILESTAT_SET_SIZE, &wasi, &fd);
    if (error != PD_FILE_OK) {
        return pd_wasi_answer(call, error);
    }
    struct wasi_job values = {.size = call->arguments[1]};
    return run(call, wasi, &fd, &values, "fd_filestat_set_size", set_size_work, NULL);
}

static void set_times_work(struct pd_blocking *self)
{
    struct wasi_job *job = pd_wasi_job_of(self);
    job->error = job->files->ops->set_times(job->files, job->file, &job->times);
}

enum pd_call_result pd_wasi_fd_filestat_set_times(struct pd_call *call)
{
    struct pd_wasi *wasi;
    struct wasi_fd fd;
    struct wasi_job values = {0};
    enum pd_file_error error = begin_any(call, WASI_RIGHT_FD_FILESTAT_SET_TIMES, &wasi, &fd);
    if (error == PD_FILE_OK) {
        error = pd_wasi_times(call->arguments[1], call->arguments[2], pd_call_u32(call, 3),
                              &values.times);
    }
    if (error != PD_FILE_OK) {
        return pd_wasi_answer(call, error);
    }
    return run(call, wasi, &fd, &values, "fd_filestat_set_times", set_times_work, NULL);
}

/* --- fd_prestat_* ----------------------------------------------------------------------------- */

static enum pd_file_error preopen_of(struct pd_call *call, const char **path_out)
{
    struct pd_wasi *wasi;
    struct wasi_fd fd;
    enum pd_file_error error = begin_any(call, 0, &wasi, &fd);
    if (error == PD_FILE_OK && fd.preopen == 0) {
        error = PD_FILE_BADF; /* what libc takes for the end of the preopens */
    }
    if (error == PD_FILE_OK) {
        *path_out = wasi->config->preopens[fd.preopen - 1].guest_path;
    }
    return error;
}

enum pd_call_result pd_wasi_fd_prestat_get(struct pd_call *call)
{
    const char *path = NULL;
    enum pd_file_error error = preopen_of(call, &path);
    if (error != PD_FILE_OK) {
        return pd_wasi_answer(call, error);
    }
    uint8_t *to = pd_guest_memory(call->guest, pd_call_u32(call, 1), WASI_PRESTAT_SIZE);
    if (to == NULL) {
        return pd_wasi_answer(call, PD_FILE_FAULT);
    }
    memset(to, 0, WASI_PRESTAT_SIZE); /* tag 0: a directory */
    pd_put_u32(to + 4, (uint32_t)strlen(path));
    return pd_wasi_answer(call, PD_FILE_OK);
}

enum pd_call_result pd_wasi_fd_prestat_dir_name(struct pd_call *call)
{
    const char *path = NULL;
    uint32_t room = pd_call_u32(call, 2);
    enum pd_file_error error = preopen_of(call, &path);
    if (error != PD_FILE_OK) {
        return pd_wasi_answer(call, error);
    }
    size_t size = strlen(path);
    if (room < size) {
        return pd_wasi_answer(call, PD_FILE_NAMETOOLONG);
    }
    uint8_t *to = pd_guest_memory(call->guest, pd_call_u32(call, 1), size);
    if (to == NULL) {
        return pd_wasi_answer(call, PD_FILE_FAULT);
    }
    memcpy(to, path, size);
    return pd_wasi_answer(call, PD_FILE_OK);
}

/* --- fd_seek, fd_tell ------------------------------------------------------------------------- */

static void seek_work(struct pd_blocking *self)
{
    struct wasi_job *job = pd_wasi_job_of(self);
    job->error = job->files->ops->seek(job->files, job->file, (int64_t)job->offset,
                                       (enum pd_file_whence)job->flags, &job->result);
}

static enum pd_call_result seek_finish(struct pd_call *call, struct pd_blocking *self)
{
    const struct wasi_job *job = pd_wasi_job_of(self);
    return job->error != PD_FILE_OK ? pd_wasi_answer(call, job->error)
                                    : pd_wasi_answer_u64(call, job->memory, job->result);
}

static enum pd_call_result seek(struct pd_call *call, uint64_t delta, uint32_t whence,
                                uint32_t result_at)
{
    struct pd_wasi *wasi;
    struct wasi_fd fd;
    bool only_tells = delta == 0 && whence == PD_FILE_FROM_POSITION;
    enum pd_file_error error = begin(call, 0, &wasi, &fd);
    if (error == PD_FILE_OK && (is_standard(&fd) || fd.file->is_stream)) {
        error = PD_FILE_SPIPE;
    }
    if (error == PD_FILE_OK) {
        /* The right to seek includes the right to tell. */
        uint64_t rights = only_tells && (fd.base & WASI_RIGHT_FD_SEEK) == 0 ? WASI_RIGHT_FD_TELL
                                                                            : WASI_RIGHT_FD_SEEK;
        error = begin(call, rights, &wasi, &fd);
    }
    if (error == PD_FILE_OK && whence > PD_FILE_FROM_END) {
        error = PD_FILE_INVAL;
    }
    if (error == PD_FILE_OK && !pd_wasi_is_memory(call, result_at, 8)) {
        error = PD_FILE_FAULT;
    }
    if (error != PD_FILE_OK) {
        return pd_wasi_answer(call, error);
    }
    if (whence == PD_FILE_FROM_END) { /* asks for the size, which may lie on another machine */
        struct wasi_job values = {.offset = delta, .flags = whence, .memory = result_at};
        return run(call, wasi, &fd, &values, "fd_seek", seek_work, seek_finish);
    }
    struct pd_files *files = wasi->config->files;
    uint64_t position = 0;
    error =
        files->ops->seek(files, fd.file, (int64_t)delta, (enum pd_file_whence)whence, &position);
    return error != PD_FILE_OK ? pd_wasi_answer(call, error)
                               : pd_wasi_answer_u64(call, result_at, position);
}

enum pd_call_result pd_wasi_fd_seek(struct pd_call *call)
{
    return seek(call, call->arguments[1], pd_call_u32(call, 2), pd_call_u32(call, 3));
}

enum pd_call_result pd_wasi_fd_tell(struct pd_call *call)
{
    return seek(call, 0, PD_FILE_FROM_POSITION, pd_call_u32(call, 1));
}
