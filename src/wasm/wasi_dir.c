/* fd_readdir: a directory is read whole when it is read from its beginning, and then told piece by
 * piece from that snapshot, in which cookies count. So entries that are removed on the way upset
 * nothing. */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "wasm/wasi_internal.h"

/* Copy as much as fits: preview 1 cuts the last entry, and a full buffer means that there is
 * more. */
static uint32_t put_cut(uint8_t *buffer, uint32_t room, uint32_t used, const void *bytes,
                        size_t size)
{
    size_t piece = room - used < size ? room - used : size;
    if (piece > 0) {
        memcpy(buffer + used, bytes, piece);
    }
    return used + (uint32_t)piece;
}

static enum pd_call_result tell(struct pd_call *call, const struct pd_file_listing *listing)
{
    uint32_t room = pd_call_u32(call, 2);
    uint64_t cookie = call->arguments[3];
    uint8_t *buffer = pd_guest_memory(call->guest, pd_call_u32(call, 1), room);
    if (buffer == NULL) {
        return pd_wasi_answer(call, PD_FILE_FAULT);
    }
    uint32_t used = 0;
    for (uint64_t i = cookie; i < listing->entry_count && used < room; i++) {
        const struct pd_file_entry *entry = &listing->entries[i];
        uint8_t head[WASI_DIRENT_SIZE] = {0};
        pd_put_u64(head, i + 1);
        pd_put_u64(head + 8, entry->inode);
        pd_put_u32(head + 16, entry->name_size);
        head[20] = entry->type;
        used = put_cut(buffer, room, used, head, sizeof head);
        used = put_cut(buffer, room, used, listing->names + entry->name_at, entry->name_size);
    }
    return pd_wasi_answer_u32(call, pd_call_u32(call, 4), used);
}

static void list_work(struct pd_blocking *self)
{
    struct wasi_job *job = pd_wasi_job_of(self);
    job->listing = pd_alloc_zeroed(1, sizeof *job->listing);
    if (job->listing == NULL) {
        job->error = PD_FILE_NOMEM;
        return;
    }
    job->error = job->files->ops->list(job->files, job->file, &job->listing->listing);
}

/* Exchange the descriptor's snapshot for the job's; the old one goes with the job. */
static enum pd_call_result list_finish(struct pd_call *call, struct pd_blocking *self)
{
    struct wasi_job *job = pd_wasi_job_of(self);
    struct pd_wasi *wasi = pd_guest_wasi(call->guest);
    pd_assert(wasi != NULL);
    enum pd_file_error error = job->error;
    struct wasi_fd *entry = error != PD_FILE_OK ? NULL : pd_wasi_fd_edit(wasi, job->fd, &error);
    if (entry == NULL) {
        return pd_wasi_answer(call, error);
    }
    struct wasi_listing *old = entry->listing;
    entry->listing = job->listing;
    job->listing = old;
    return tell(call, &entry->listing->listing);
}

enum pd_call_result pd_wasi_fd_readdir(struct pd_call *call)
{
    struct pd_wasi *wasi = pd_guest_wasi(call->guest);
    struct wasi_fd fd;
    if (wasi == NULL) {
        return pd_wasi_answer(call, PD_FILE_NOMEM);
    }
    enum pd_file_error error =
        pd_wasi_fd_require_directory(wasi, pd_call_u32(call, 0), WASI_RIGHT_FD_READDIR, &fd);
    if (error == PD_FILE_OK &&
        (!pd_wasi_is_memory(call, pd_call_u32(call, 1), pd_call_u32(call, 2)) ||
         !pd_wasi_is_memory(call, pd_call_u32(call, 4), 4))) {
        error = PD_FILE_FAULT;
    }
    if (error != PD_FILE_OK) {
        return pd_wasi_answer(call, error);
    }
    if (fd.listing != NULL && call->arguments[3] != 0) {
        return tell(call, &fd.listing->listing);
    }
    struct wasi_job *job = pd_wasi_job_create(wasi, "fd_readdir", &fd, 0);
    if (job == NULL) {
        return pd_wasi_answer(call, PD_FILE_NOMEM);
    }
    job->fd = pd_call_u32(call, 0);
    return pd_wasi_job_run(call, job, list_work, list_finish);
}
