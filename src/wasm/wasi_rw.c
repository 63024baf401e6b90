/* Reading and writing. Bytes pass through a buffer that the job owns; the guest's memory is touched
 * only by the thread that runs the guest, before and after. */
#include <string.h>

#include "base/assert.h"
#include "wasm/wasi_internal.h"

/* The guest's list of buffers, checked: every one of the first PD_WASI_IOVECS_MAX lies in
 * memory. */
struct iovecs {
    uint32_t at;
    uint32_t count;
    size_t size; /* of all together, at most PD_WASI_IO_MAX */
};

static uint32_t iovec_address(const uint8_t *list, uint32_t index)
{
    return pd_get_u32(list + (size_t)index * WASI_IOVEC_SIZE);
}

static uint32_t iovec_size(const uint8_t *list, uint32_t index)
{
    return pd_get_u32(list + (size_t)index * WASI_IOVEC_SIZE + 4);
}

static enum pd_file_error iovecs_check(struct pd_call *call, uint32_t at, uint32_t count,
                                       struct iovecs *iovecs_out)
{
    const uint8_t *list = pd_guest_memory(call->guest, at, (uint64_t)count * WASI_IOVEC_SIZE);
    if (list == NULL) {
        return PD_FILE_FAULT;
    }
    *iovecs_out =
        (struct iovecs){.at = at, .count = count < PD_WASI_IOVECS_MAX ? count : PD_WASI_IOVECS_MAX};
    uint64_t size = 0;
    for (uint32_t i = 0; i < iovecs_out->count; i++) {
        if (!pd_wasi_is_memory(call, iovec_address(list, i), iovec_size(list, i))) {
            return PD_FILE_FAULT;
        }
        size += iovec_size(list, i);
    }
    iovecs_out->size = size < PD_WASI_IO_MAX ? (size_t)size : PD_WASI_IO_MAX;
    return PD_FILE_OK;
}

/* --- Reading ---------------------------------------------------------------------------------- */

static void read_work(struct pd_blocking *self)
{
    struct wasi_job *job = pd_wasi_job_of(self);
    struct pd_file_io io = {
        .bytes = job->data,
        .size = job->data_size,
        .offset = job->offset,
        .is_nonblocking = job->is_nonblocking,
        .is_peek = job->is_peek,
        .cancel = job->cancel,
    };
    job->error = job->files->ops->read(job->files, job->file, &io);
    job->result = io.done;
}

/* Scatter `count` bytes over the buffers that were noted when the call began, from `skipped` bytes
 * on. False: they do not lie in memory. */
static bool scatter(struct pd_call *call, const struct wasi_job *job, size_t skipped, size_t count)
{
    size_t done = 0;
    for (uint32_t i = 0; i < job->iovec_count && done < count; i++) {
        size_t room = job->iovecs[2 * i + 1];
        size_t full = skipped < room ? skipped : room;
        size_t piece = room - full < count - done ? room - full : count - done;
        skipped -= full;
        if (piece > 0) {
            uint8_t *to = pd_guest_memory(call->guest, job->iovecs[2 * i] + (uint32_t)full, piece);
            if (to == NULL) {
                return false;
            }
            memcpy(to, job->data + done, piece);
        }
        done += piece;
    }
    return true;
}

static enum pd_call_result receive_on(struct pd_call *call);

static enum pd_call_result read_finish(struct pd_call *call, struct pd_blocking *self)
{
    const struct wasi_job *job = pd_wasi_job_of(self);
    struct pd_wasi *wasi = pd_guest_wasi(call->guest);
    pd_assert(wasi != NULL);
    pd_wasi_wait_over(wasi);
    if (pd_wasi_job_again(call, job)) {
        return PD_CALL_WAIT;
    }
    uint32_t before = job->is_whole ? wasi->received : 0;
    if (job->error != PD_FILE_OK && before == 0) {
        return pd_wasi_answer(call, job->error);
    }
    /* After a failure the next call has the error, and this one what came until then. */
    size_t came = job->error == PD_FILE_OK ? (size_t)job->result : 0;
    if (!scatter(call, job, before, came)) {
        return pd_wasi_answer(call, PD_FILE_FAULT);
    }
    uint32_t done = before + (uint32_t)came;
    bool may_wait = !job->is_nonblocking || job->again != NULL;
    if (job->is_whole && may_wait && came > 0 && came < job->data_size) {
        wasi->received = done;
        return receive_on(call);
    }
    return pd_wasi_answer_u32(call, job->count_at, done);
}

/* What the functions that read have apart. */
struct reading {
    const char *name;
    uint64_t offset;
    uint32_t count_at;
    uint32_t done; /* bytes that have come already */
    bool is_peek;
    bool is_whole; /* the buffers are to be full */
    enum pd_call_result (*again)(struct pd_call *call);
};

static struct wasi_job *read_job(struct pd_call *call, struct pd_wasi *wasi,
                                 const struct reading *reading, const struct wasi_fd *fd,
                                 const struct iovecs *iovecs)
{
    pd_assert(iovecs->size > reading->done);
    size_t noted = (size_t)iovecs->count * 2 * sizeof(uint32_t);
    size_t wanted = iovecs->size - reading->done;
    struct wasi_job *job = pd_wasi_job_create(wasi, reading->name, fd, noted + wanted);
    if (job == NULL) {
        return NULL;
    }
    job->iovecs = (uint32_t *)(void *)job->bytes;
    job->iovec_count = iovecs->count;
    job->data = job->bytes + noted;
    job->data_size = wanted;
    job->offset = reading->offset;
    job->count_at = reading->count_at;
    job->is_peek = reading->is_peek;
    job->is_whole = reading->is_whole;
    job->is_nonblocking = (fd->flags & WASI_FDFLAG_NONBLOCK) != 0;
    const uint8_t *list =
        pd_guest_memory(call->guest, iovecs->at, (uint64_t)iovecs->count * WASI_IOVEC_SIZE);
    pd_assert(list != NULL);
    for (uint32_t i = 0; i < iovecs->count; i++) {
        job->iovecs[2 * i] = iovec_address(list, i);
        job->iovecs[2 * i + 1] = iovec_size(list, i);
    }
    return job;
}

/* The rights for reading or writing at an offset of one's own are also those to seek; streams have
 * none. */
static enum pd_file_error transfer_begin(struct pd_call *call, uint64_t right, bool has_offset,
                                         struct pd_wasi **wasi_out, struct wasi_fd *fd_out)
{
    *wasi_out = pd_guest_wasi(call->guest);
    if (*wasi_out == NULL) {
        return PD_FILE_NOMEM;
    }
    uint32_t number = pd_call_u32(call, 0);
    enum pd_file_error error = pd_wasi_fd_require_file(*wasi_out, number, right, fd_out);
    if (error != PD_FILE_OK || !has_offset) {
        return error;
    }
    if (fd_out->kind != WASI_FD_FILE || fd_out->file->is_stream) {
        return PD_FILE_SPIPE;
    }
    if (call->arguments[3] > INT64_MAX) {
        return PD_FILE_INVAL;
    }
    return pd_wasi_fd_require_file(*wasi_out, number, right | WASI_RIGHT_FD_SEEK, fd_out);
}

static enum pd_call_result read_call(struct pd_call *call, const struct reading *reading)
{
    uint64_t offset = reading->offset;
    uint32_t count_at = reading->count_at;
    struct pd_wasi *wasi;
    struct wasi_fd fd;
    struct iovecs iovecs;
    enum pd_file_error error =
        transfer_begin(call, WASI_RIGHT_FD_READ, offset != PD_FILE_POSITION, &wasi, &fd);
    if (error == PD_FILE_OK) {
        error = iovecs_check(call, pd_call_u32(call, 1), pd_call_u32(call, 2), &iovecs);
    }
    if (error == PD_FILE_OK && !pd_wasi_is_memory(call, count_at, 4)) {
        error = PD_FILE_FAULT;
    }
    if (error != PD_FILE_OK) {
        return pd_wasi_answer(call, error);
    }
    /* The list may lie in its own buffers: what came can have made it a shorter one. */
    if (iovecs.size <= reading->done) {
        return pd_wasi_answer_u32(call, count_at, reading->done);
    }
    struct wasi_job *job = read_job(call, wasi, reading, &fd, &iovecs);
    if (job == NULL) { /* what has come already is in the guest's memory, and counts */
        return reading->done > 0 ? pd_wasi_answer_u32(call, count_at, reading->done)
                                 : pd_wasi_answer(call, PD_FILE_NOMEM);
    }
    return fd.file->is_stream
               ? pd_wasi_job_run_stream(call, job, reading->again, read_work, read_finish)
               : pd_wasi_job_run(call, job, read_work, read_finish);
}

enum pd_call_result pd_wasi_fd_read(struct pd_call *call)
{
    const struct reading reading = {.name = "fd_read",
                                    .offset = PD_FILE_POSITION,
                                    .count_at = pd_call_u32(call, 3),
                                    .again = pd_wasi_fd_read};
    return read_call(call, &reading);
}

enum pd_call_result pd_wasi_fd_pread(struct pd_call *call)
{
    /* The one offset that means something else to us is out of range for any file. */
    if (call->arguments[3] == PD_FILE_POSITION) {
        return pd_wasi_answer(call, PD_FILE_INVAL);
    }
    const struct reading reading = {.name = "fd_pread",
                                    .offset = call->arguments[3],
                                    .count_at = pd_call_u32(call, 4),
                                    .again = pd_wasi_fd_pread};
    return read_call(call, &reading);
}

/* sock_recv, from its beginning or after some of what it wants has come. */
static enum pd_call_result receive_on(struct pd_call *call)
{
    struct pd_wasi *wasi = pd_guest_wasi(call->guest);
    pd_assert(wasi != NULL);
    uint32_t flags = pd_call_u32(call, 3);
    const struct reading reading = {.name = "sock_recv",
                                    .offset = PD_FILE_POSITION,
                                    .count_at = pd_call_u32(call, 4),
                                    .done = wasi->received,
                                    .is_peek = (flags & WASI_RIFLAG_PEEK) != 0,
                                    .is_whole = (flags & WASI_RIFLAG_WAITALL) != 0,
                                    .again = receive_on};
    return read_call(call, &reading);
}

enum pd_call_result pd_wasi_receive(struct pd_call *call)
{
    pd_guest_wasi(call->guest)->received = 0;
    return receive_on(call);
}

/* --- Writing ---------------------------------------------------------------------------------- */

static void write_work(struct pd_blocking *self)
{
    struct wasi_job *job = pd_wasi_job_of(self);
    struct pd_file_io io = {
        .bytes = job->data,
        .size = job->data_size,
        .offset = job->offset,
        .is_nonblocking = job->is_nonblocking,
        .cancel = job->cancel,
    };
    job->error = job->files->ops->write(job->files, job->file, &io);
    job->result = io.done;
}

static enum pd_call_result write_finish(struct pd_call *call, struct pd_blocking *self)
{
    const struct wasi_job *job = pd_wasi_job_of(self);
    struct pd_wasi *wasi = pd_guest_wasi(call->guest);
    pd_assert(wasi != NULL);
    pd_wasi_wait_over(wasi);
    if (pd_wasi_job_again(call, job)) {
        return PD_CALL_WAIT;
    }
    return job->error != PD_FILE_OK
               ? pd_wasi_answer(call, job->error)
               : pd_wasi_answer_u32(call, job->count_at, (uint32_t)job->result);
}

/* Lines go out at once: no job. Behind a reader that stands still the actor waits, and no
 * thread. */
static enum pd_call_result write_lines(struct pd_call *call, struct pd_wasi *wasi,
                                       const struct wasi_fd *fd, const struct iovecs *iovecs,
                                       uint32_t count_at,
                                       enum pd_call_result (*again)(struct pd_call *call))
{
    int stream = fd->stream;
    struct pd_host *host = pd_guest_host(call->guest);
    struct pd_output_route route = pd_wasi_route(wasi, host, stream);
    if (route.sink == NULL && iovecs->size > 0 &&
        host->ops->output(host, stream, NULL, 0) == PD_FILE_AGAIN) {
        if ((fd->flags & WASI_FDFLAG_NONBLOCK) != 0) {
            return pd_wasi_answer(call, PD_FILE_AGAIN);
        }
        call->resume = again;
        pd_call_wake_at(call, pd_host_now_ns(host) + WASI_LOOK_INTERVAL_NS);
        return PD_CALL_WAIT;
    }
    const uint8_t *list =
        pd_guest_memory(call->guest, iovecs->at, (uint64_t)iovecs->count * WASI_IOVEC_SIZE);
    size_t done = 0;
    for (uint32_t i = 0; i < iovecs->count && done < iovecs->size; i++) {
        size_t rest = iovecs->size - done;
        size_t piece = iovec_size(list, i) < rest ? iovec_size(list, i) : rest;
        const uint8_t *from = pd_guest_memory(call->guest, iovec_address(list, i), piece);
        pd_assert(from != NULL);
        enum pd_file_error error =
            piece == 0 ? PD_FILE_OK
                       : pd_output_write(&wasi->lines[stream - 1], &route, from, piece);
        if (error == PD_FILE_AGAIN && done > 0) { /* what was taken is not given again */
            break;
        }
        if (error != PD_FILE_OK) {
            return pd_wasi_answer(call, error);
        }
        if (stream == 2) {
            pd_error_tail_keep(&wasi->errors, from, piece);
        }
        done += piece;
    }
    return pd_wasi_answer_u32(call, count_at, (uint32_t)done);
}

/* Gather the buffers into the job. */
static void gather(struct pd_call *call, struct wasi_job *job, const struct iovecs *iovecs)
{
    const uint8_t *list =
        pd_guest_memory(call->guest, iovecs->at, (uint64_t)iovecs->count * WASI_IOVEC_SIZE);
    size_t done = 0;
    for (uint32_t i = 0; i < iovecs->count && done < iovecs->size; i++) {
        size_t rest = iovecs->size - done;
        size_t piece = iovec_size(list, i) < rest ? iovec_size(list, i) : rest;
        const uint8_t *from = pd_guest_memory(call->guest, iovec_address(list, i), piece);
        pd_assert(from != NULL);
        if (piece > 0) {
            memcpy(job->data + done, from, piece);
        }
        done += piece;
    }
}

static enum pd_call_result write_call(struct pd_call *call, const char *name, uint64_t offset,
                                      uint32_t count_at,
                                      enum pd_call_result (*again)(struct pd_call *call))
{
    struct pd_wasi *wasi;
    struct wasi_fd fd;
    struct iovecs iovecs;
    enum pd_file_error error =
        transfer_begin(call, WASI_RIGHT_FD_WRITE, offset != PD_FILE_POSITION, &wasi, &fd);
    if (error == PD_FILE_OK) {
        error = iovecs_check(call, pd_call_u32(call, 1), pd_call_u32(call, 2), &iovecs);
    }
    if (error == PD_FILE_OK && !pd_wasi_is_memory(call, count_at, 4)) {
        error = PD_FILE_FAULT;
    }
    if (error != PD_FILE_OK) {
        return pd_wasi_answer(call, error);
    }
    if (fd.kind == WASI_FD_OUTPUT) {
        return write_lines(call, wasi, &fd, &iovecs, count_at, again);
    }
    if (iovecs.size == 0) {
        return pd_wasi_answer_u32(call, count_at, 0);
    }
    struct wasi_job *job = pd_wasi_job_create(wasi, name, &fd, iovecs.size);
    if (job == NULL) {
        return pd_wasi_answer(call, PD_FILE_NOMEM);
    }
    job->data = job->bytes;
    job->data_size = iovecs.size;
    job->offset = offset;
    job->count_at = count_at;
    job->is_nonblocking = (fd.flags & WASI_FDFLAG_NONBLOCK) != 0;
    gather(call, job, &iovecs);
    return fd.file->is_stream ? pd_wasi_job_run_stream(call, job, again, write_work, write_finish)
                              : pd_wasi_job_run(call, job, write_work, write_finish);
}

enum pd_call_result pd_wasi_fd_write(struct pd_call *call)
{
    return write_call(call, "fd_write", PD_FILE_POSITION, pd_call_u32(call, 3), pd_wasi_fd_write);
}

enum pd_call_result pd_wasi_fd_pwrite(struct pd_call *call)
{
    if (call->arguments[3] == PD_FILE_POSITION) {
        return pd_wasi_answer(call, PD_FILE_INVAL);
    }
    return write_call(call, "fd_pwrite", call->arguments[3], pd_call_u32(call, 4),
                      pd_wasi_fd_pwrite);
}

enum pd_call_result pd_wasi_send(struct pd_call *call, uint32_t count_at,
                                 enum pd_call_result (*again)(struct pd_call *call))
{
    return write_call(call, "sock_send", PD_FILE_POSITION, count_at, again);
}
