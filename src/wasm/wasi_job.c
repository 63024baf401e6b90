/* Blocking operations as jobs, and what all calls share: answers, checked paths, times. */
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "wasm/wasi_internal.h"

/* Any thread, after the job or without it. */
static void job_release(struct pd_blocking *blocking)
{
    struct wasi_job *job = pd_wasi_job_of(blocking);
    struct pd_files *files = job->files;
    if (job->listing != NULL) {
        files->ops->listing_deinit(files, &job->listing->listing);
        pd_free(job->listing);
    }
    if (job->opened != NULL) {
        files->ops->release(files, job->opened);
    }
    if (job->other != NULL) {
        files->ops->release(files, job->other);
    }
    if (job->file != NULL) {
        files->ops->release(files, job->file);
    }
    pd_wasi_fd_release(files, &job->closing);
    files->ops->cancel_release(files, job->cancel);
    if (job->has_wait_place) {
        pd_files_wait_end(files);
    }
    pd_free(job);
}

static enum pd_call_result finish_plain(struct pd_call *call, struct pd_blocking *blocking)
{
    return pd_wasi_answer(call, pd_wasi_job_of(blocking)->error);
}

struct wasi_job *pd_wasi_job_create(struct pd_wasi *wasi, const char *name,
                                    const struct wasi_fd *fd, size_t room)
{
    struct wasi_job *job = pd_alloc(sizeof *job + room);
    if (job == NULL) {
        return NULL;
    }
    memset(job, 0, sizeof *job); /* the room may be large, and is written before it is read */
    job->blocking.release = job_release;
    job->blocking.name = name;
    job->files = wasi->config->files;
    if (fd != NULL) {
        job->files->ops->retain(job->files, fd->file);
        job->file = fd->file;
    }
    return job;
}

enum pd_call_result pd_wasi_job_run(struct pd_call *call, struct wasi_job *job,
                                    void (*work)(struct pd_blocking *self),
                                    enum pd_call_result (*finish)(struct pd_call *call,
                                                                  struct pd_blocking *self))
{
    job->blocking.work = work;
    job->blocking.finish = finish != NULL ? finish : finish_plain;
    return pd_call_block(call, &job->blocking);
}

/* PD_FILE_NFILE: no descriptor for it. */
static enum pd_file_error prepare_wait(struct pd_wasi *wasi, struct wasi_job *job,
                                       enum pd_call_result (*again)(struct pd_call *call))
{
    job->has_wait_place = pd_files_wait_begin(job->files);
    if (!job->has_wait_place) {
        job->is_nonblocking = true;
        job->again = again;
        return PD_FILE_OK;
    }
    job->cancel = job->files->ops->cancel_create(job->files);
    if (job->cancel == NULL) {
        return PD_FILE_NFILE;
    }
    wasi->waiting = job->cancel; /* its second reference */
    return PD_FILE_OK;
}

enum pd_call_result pd_wasi_job_run_stream(struct pd_call *call, struct wasi_job *job,
                                           enum pd_call_result (*again)(struct pd_call *call),
                                           void (*work)(struct pd_blocking *self),
                                           enum pd_call_result (*finish)(struct pd_call *call,
                                                                         struct pd_blocking *self))
{
    enum pd_file_error error =
        job->is_nonblocking ? PD_FILE_OK : prepare_wait(pd_guest_wasi(call->guest), job, again);
    if (error != PD_FILE_OK) {
        job->error = error;
        enum pd_call_result result = finish(call, &job->blocking);
        job->blocking.release(&job->blocking);
        return result;
    }
    return pd_wasi_job_run(call, job, work, finish);
}

bool pd_wasi_job_again(struct pd_call *call, const struct wasi_job *job)
{
    if (job->again == NULL || job->error != PD_FILE_AGAIN) {
        return false;
    }
    call->resume = job->again;
    pd_call_wake_at(call, pd_host_now_ns(pd_guest_host(call->guest)) + WASI_LOOK_INTERVAL_NS);
    return true;
}

void pd_wasi_wait_over(struct pd_wasi *wasi)
{
    struct pd_files *files = wasi->config->files;
    if (wasi->waiting != NULL) {
        files->ops->cancel_release(files, wasi->waiting);
        wasi->waiting = NULL;
    }
}

enum pd_call_result pd_wasi_answer_u32(struct pd_call *call, uint32_t address, uint32_t value)
{
    uint8_t *to = pd_guest_memory(call->guest, address, sizeof value);
    if (to == NULL) {
        return pd_wasi_answer(call, PD_FILE_FAULT);
    }
    pd_put_u32(to, value);
    return pd_wasi_answer(call, PD_FILE_OK);
}

enum pd_call_result pd_wasi_answer_u64(struct pd_call *call, uint32_t address, uint64_t value)
{
    uint8_t *to = pd_guest_memory(call->guest, address, sizeof value);
    if (to == NULL) {
        return pd_wasi_answer(call, PD_FILE_FAULT);
    }
    pd_put_u64(to, value);
    return pd_wasi_answer(call, PD_FILE_OK);
}

enum pd_call_result pd_wasi_answer_stat(struct pd_call *call, uint32_t address,
                                        const struct pd_file_stat *stat)
{
    uint8_t *to = pd_guest_memory(call->guest, address, WASI_FILESTAT_SIZE);
    if (to == NULL) {
        return pd_wasi_answer(call, PD_FILE_FAULT);
    }
    memset(to, 0, WASI_FILESTAT_SIZE);
    pd_put_u64(to, stat->device);
    pd_put_u64(to + 8, stat->inode);
    to[16] = (uint8_t)stat->type;
    pd_put_u64(to + 24, stat->link_count);
    pd_put_u64(to + 32, stat->size);
    pd_put_u64(to + 40, stat->accessed_ns);
    pd_put_u64(to + 48, stat->modified_ns);
    pd_put_u64(to + 56, stat->changed_ns);
    return pd_wasi_answer(call, PD_FILE_OK);
}

enum pd_file_error pd_wasi_path_check(struct pd_call *call, uint32_t address, uint32_t size)
{
    const uint8_t *path = pd_guest_memory(call->guest, address, size);
    if (path == NULL) {
        return PD_FILE_FAULT;
    }
    if (size == 0) {
        return PD_FILE_NOENT;
    }
    if (size >= PD_FILE_PATH_MAX) {
        return PD_FILE_NAMETOOLONG;
    }
    if (memchr(path, '\0', size) != NULL) {
        return PD_FILE_INVAL;
    }
    if (!pd_utf8_is_valid(path, size)) {
        return PD_FILE_ILSEQ;
    }
    return path[0] == '/' ? PD_FILE_PERM : PD_FILE_OK;
}

enum pd_file_error pd_wasi_times(uint64_t accessed_ns, uint64_t modified_ns, uint32_t flags,
                                 struct pd_file_times *times_out)
{
    uint32_t both_accessed = PD_FILE_TIME_ACCESSED | PD_FILE_TIME_ACCESSED_NOW;
    uint32_t both_modified = PD_FILE_TIME_MODIFIED | PD_FILE_TIME_MODIFIED_NOW;
    if ((flags & ~WASI_FSTFLAGS_ALL) != 0 || (flags & both_accessed) == both_accessed ||
        (flags & both_modified) == both_modified) {
        return PD_FILE_INVAL;
    }
    *times_out = (struct pd_file_times){
        .accessed_ns = accessed_ns, .modified_ns = modified_ns, .flags = flags};
    return PD_FILE_OK;
}
