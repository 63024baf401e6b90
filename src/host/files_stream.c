/* Waiting for streams in a way that another thread can end. */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "host/files_posix.h"

#define NS_PER_S 1000000000u

struct pd_file_cancel {
    atomic_uint_least32_t refs;
    int event_fd;
};

struct pd_file_cancel *pd_files_cancel_create(struct pd_files *files)
{
    (void)files;
    struct pd_file_cancel *cancel = pd_alloc_zeroed(1, sizeof *cancel);
    if (cancel == NULL) {
        return NULL;
    }
    atomic_init(&cancel->refs, 2);
    cancel->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (cancel->event_fd < 0) {
        pd_free(cancel);
        return NULL;
    }
    return cancel;
}

void pd_files_cancel_signal(struct pd_files *files, struct pd_file_cancel *cancel)
{
    (void)files;
    /* The counter cannot overflow: it is signalled once. */
    (void)!eventfd_write(cancel->event_fd, 1);
}

void pd_files_cancel_release(struct pd_files *files, struct pd_file_cancel *cancel)
{
    (void)files;
    if (cancel == NULL || atomic_fetch_sub_explicit(&cancel->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    close(cancel->event_fd);
    pd_free(cancel);
}

static int poll_until(struct pollfd *items, nfds_t count, uint64_t timeout_ns)
{
    struct timespec wait = {.tv_sec = (time_t)(timeout_ns / NS_PER_S),
                            .tv_nsec = (long)(timeout_ns % NS_PER_S)};
    return ppoll(items, count, timeout_ns == PD_TIME_NEVER ? NULL : &wait, NULL);
}

enum pd_file_error pd_files_wait(int fd, short events, bool is_nonblocking,
                                 struct pd_file_cancel *cancel)
{
    struct pollfd items[2] = {{.fd = fd, .events = events},
                              {.fd = cancel == NULL ? -1 : cancel->event_fd, .events = POLLIN}};
    int count;
    do {
        count = poll_until(items, 2, is_nonblocking ? 0 : PD_TIME_NEVER);
    } while (count < 0 && errno == EINTR);
    if (count < 0) {
        return pd_files_error(errno);
    }
    if (items[1].revents != 0) {
        return PD_FILE_CANCELED;
    }
    /* POLLNVAL: the program was started with this stream closed; the read will say so. */
    return items[0].revents == 0 ? PD_FILE_AGAIN : PD_FILE_OK;
}

/* What FIONREAD and the size tell of the bytes to read. */
static uint64_t bytes_available(int fd)
{
    struct stat os;
    if (fstat(fd, &os) == 0 && S_ISREG(os.st_mode)) {
        off_t position = lseek(fd, 0, SEEK_CUR);
        return position < 0 || position >= os.st_size ? 0 : (uint64_t)(os.st_size - position);
    }
    int count = 0;
    return ioctl(fd, FIONREAD, &count) == 0 && count >= 0 ? (uint64_t)count : 1;
}

static bool take_events(struct pd_file_poll *item, short events)
{
    if (events == 0) {
        return false;
    }
    item->is_ready = true;
    item->is_hung_up = (events & POLLHUP) != 0;
    item->error = (events & POLLNVAL) != 0 ? PD_FILE_BADF : PD_FILE_OK;
    item->available = 1;
    if (!item->for_write && item->error == PD_FILE_OK) {
        item->available = bytes_available(pd_posix_file_of(item->file)->fd);
    }
    return true;
}

enum pd_file_error pd_files_poll(struct pd_files *files, struct pd_file_poll *items, size_t count,
                                 uint64_t timeout_ns, struct pd_file_cancel *cancel)
{
    (void)files;
    struct pollfd *os = pd_alloc_zeroed(count + 1, sizeof *os);
    if (os == NULL) {
        return PD_FILE_NOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        os[i] = (struct pollfd){.fd = pd_posix_file_of(items[i].file)->fd,
                                .events = items[i].for_write ? POLLOUT : POLLIN};
        items[i].is_ready = false;
    }
    os[count] = (struct pollfd){.fd = cancel == NULL ? -1 : cancel->event_fd, .events = POLLIN};
    enum pd_file_error error = PD_FILE_OK;
    /* A signal ends the wait early: as if the time had passed, which the caller checks anyway. */
    if (poll_until(os, (nfds_t)(count + 1), timeout_ns) < 0 && errno != EINTR) {
        error = pd_files_error(errno);
    } else if (os[count].revents != 0) {
        error = PD_FILE_CANCELED;
    } else {
        for (size_t i = 0; i < count; i++) {
            take_events(&items[i], os[i].revents);
        }
    }
    pd_free(os);
    return error;
}
