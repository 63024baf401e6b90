/* Sockets, as far as preview 1 has them: connections are accepted from a listener that the guest
 * was given, and used; none is opened. A connection is a stream, which fd_read and fd_write move as
 * well. */
#include "base/assert.h"
#include "wasm/wasi_internal.h"

/* Begin a call on a socket. PD_FILE_NOTSOCK comes before the question of rights. */
static enum pd_file_error begin(struct pd_call *call, uint64_t rights, struct pd_wasi **wasi_out,
                                struct wasi_fd *fd_out)
{
    uint32_t number = pd_call_u32(call, 0);
    *wasi_out = pd_guest_wasi(call->guest);
    if (*wasi_out == NULL) {
        return PD_FILE_NOMEM;
    }
    enum pd_file_error error = pd_wasi_fd_get(*wasi_out, number, fd_out);
    if (error == PD_FILE_OK &&
        (fd_out->kind != WASI_FD_FILE || fd_out->file->type != PD_FILE_TYPE_SOCKET_STREAM)) {
        error = PD_FILE_NOTSOCK;
    }
    return error != PD_FILE_OK ? error : pd_wasi_fd_require(*wasi_out, number, rights, fd_out);
}

/* --- sock_accept ------------------------------------------------------------------------------ */

static void accept_work(struct pd_blocking *self)
{
    struct wasi_job *job = pd_wasi_job_of(self);
    job->error = job->files->ops->accept(job->files, job->file, job->is_nonblocking, job->cancel,
                                         &job->opened);
}

static enum pd_call_result accept_finish(struct pd_call *call, struct pd_blocking *self)
{
    struct wasi_job *job = pd_wasi_job_of(self);
    struct pd_wasi *wasi = pd_guest_wasi(call->guest);
    pd_assert(wasi != NULL);
    pd_wasi_wait_over(wasi);
    if (pd_wasi_job_again(call, job)) {
        return PD_CALL_WAIT;
    }
    if (job->error != PD_FILE_OK) {
        return pd_wasi_answer(call, job->error);
    }
    struct wasi_fd fd = {.file = job->opened,
                         .base = job->base,
                         .kind = WASI_FD_FILE,
                         .flags = (uint16_t)job->flags};
    uint32_t number = 0;
    enum pd_file_error error = pd_wasi_fd_add(wasi, &fd, &number);
    if (error != PD_FILE_OK) {
        return pd_wasi_answer(call, error); /* the job closes it */
    }
    job->opened = NULL;
    return pd_wasi_answer_u32(call, job->memory, number);
}

enum pd_call_result pd_wasi_sock_accept(struct pd_call *call)
{
    struct pd_wasi *wasi;
    struct wasi_fd fd;
    uint32_t flags = pd_call_u32(call, 1);
    uint32_t memory = pd_call_u32(call, 2);
    enum pd_file_error error = begin(call, WASI_RIGHT_SOCK_ACCEPT, &wasi, &fd);
    if (error == PD_FILE_OK && (flags & ~WASI_FDFLAG_NONBLOCK) != 0) {
        error = PD_FILE_INVAL;
    }
    if (error == PD_FILE_OK && !pd_wasi_is_memory(call, memory, 4)) {
        error = PD_FILE_FAULT;
    }
    if (error == PD_FILE_OK) {
        error = pd_wasi_fd_reserve(wasi); /* before a client is taken in and turned away */
    }
    if (error != PD_FILE_OK) {
        return pd_wasi_answer(call, error);
    }
    struct wasi_job *job = pd_wasi_job_create(wasi, "sock_accept", &fd, 0);
    if (job == NULL) {
        return pd_wasi_answer(call, PD_FILE_NOMEM);
    }
    job->base = fd.inheriting;
    job->flags = flags;
    job->memory = memory;
    job->is_nonblocking = (fd.flags & WASI_FDFLAG_NONBLOCK) != 0;
    return pd_wasi_job_run_stream(call, job, pd_wasi_sock_accept, accept_work, accept_finish);
}

/* --- sock_recv, sock_send, sock_shutdown ------------------------------------------------------ */

enum pd_call_result pd_wasi_sock_recv(struct pd_call *call)
{
    struct pd_wasi *wasi;
    struct wasi_fd fd;
    uint32_t flags = pd_call_u32(call, 3);
    enum pd_file_error error = begin(call, WASI_RIGHT_FD_READ, &wasi, &fd);
    uint32_t both = WASI_RIFLAG_PEEK | WASI_RIFLAG_WAITALL;
    if (error == PD_FILE_OK && (flags & ~both) != 0) {
        error = PD_FILE_INVAL;
    } else if (error == PD_FILE_OK && flags == both) {
        error = PD_FILE_NOTSUP; /* what is seen in pieces must be taken in pieces */
    }
    uint8_t *flags_out = pd_guest_memory(call->guest, pd_call_u32(call, 5), 2);
    if (error == PD_FILE_OK && flags_out == NULL) {
        error = PD_FILE_FAULT;
    }
    if (error != PD_FILE_OK) {
        return pd_wasi_answer(call, error);
    }
    pd_put_u16(flags_out, 0); /* a stream's data is never cut off */
    return pd_wasi_receive(call);
}

enum pd_call_result pd_wasi_sock_send(struct pd_call *call)
{
    struct pd_wasi *wasi;
    struct wasi_fd fd;
    enum pd_file_error error = begin(call, WASI_RIGHT_FD_WRITE, &wasi, &fd);
    if (error == PD_FILE_OK && pd_call_u32(call, 3) != 0) {
        error = PD_FILE_INVAL; /* preview 1 has no flags for it */
    }
    return error != PD_FILE_OK ? pd_wasi_answer(call, error)
                               : pd_wasi_send(call, pd_call_u32(call, 4), pd_wasi_sock_send);
}

enum pd_call_result pd_wasi_sock_shutdown(struct pd_call *call)
{
    struct pd_wasi *wasi;
    struct wasi_fd fd;
    uint32_t sides = pd_call_u32(call, 1);
    enum pd_file_error error = begin(call, WASI_RIGHT_SOCK_SHUTDOWN, &wasi, &fd);
    if (error == PD_FILE_OK && (sides == 0 || sides > (PD_FILE_SHUT_READ | PD_FILE_SHUT_WRITE))) {
        error = PD_FILE_INVAL;
    }
    if (error == PD_FILE_OK) {
        struct pd_files *files = wasi->config->files;
        error = files->ops->shutdown(files, fd.file, sides);
    }
    return pd_wasi_answer(call, error);
}
