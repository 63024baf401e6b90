#include "cli/dev_children.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "host/hangup.h"
#include "host/output.h"

#define READ_BYTES 4096u
#define SLICE_MS 100

static sigset_t taken_over(void)
{
    sigset_t set = pd_host_ending_signals();
    (void)sigaddset(&set, SIGCHLD);
    return set;
}

enum pd_status pd_dev_children_init(struct pd_dev_children *children)
{
    sigset_t set = taken_over();
    children->count = 0;
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0) {
        return PD_ERR_IO;
    }
    children->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return children->signals >= 0 ? PD_OK : PD_ERR_IO;
}

/* -- Starting ---------------------------------------------------------------------------------- */

/* In the child: nothing here may allocate or lock. */
static void become(int output, pid_t parent, char *const *words)
{
    sigset_t set = taken_over();
    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) {
        _exit(1); /* it died before it could be told of */
    }
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (nothing < 0 || dup2(nothing, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0) {
        _exit(1);
    }
    (void)execv("/proc/self/exe", words);
    _exit(1);
}

enum pd_status pd_dev_children_start(struct pd_dev_children *children, char *const *words)
{
    int ends[2];
    pid_t parent = getpid();
    pd_assert(children->count < PD_DEV_CHILDREN_MAX);
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return PD_ERR_IO;
    }
    pid_t pid = fork();
    if (pid == 0) {
        become(ends[1], parent, words);
    }
    int error = errno;
    (void)close(ends[1]);
    if (pid < 0) {
        (void)close(ends[0]);
        errno = error;
        return PD_ERR_IO;
    }
    (void)setpgid(pid, pid); /* whoever comes first */
    (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
    children->children[children->count++] = (struct pd_dev_child){.pid = pid, .pipe = ends[0]};
    return PD_OK;
}

/* -- Listening --------------------------------------------------------------------------------- */

static void end_line(struct pd_dev_children *children, struct pd_dev_child *child)
{
    child->line[child->line_size] = '\0';
    child->line_size = 0;
    children->line(children->state, (uint32_t)(child - children->children), child->line);
}

static void take_bytes(struct pd_dev_children *children, struct pd_dev_child *child,
                       const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != '\n') {
            child->line[child->line_size++] = bytes[i];
        }
        if (bytes[i] == '\n' || child->line_size == PD_DEV_LINE_MAX) {
            end_line(children, child);
        }
    }
}

static void read_pipe(struct pd_dev_children *children, struct pd_dev_child *child)
{
    char bytes[READ_BYTES];
    while (child->pipe >= 0) {
        ssize_t size = read(child->pipe, bytes, sizeof bytes);
        if (size > 0) {
            take_bytes(children, child, bytes, (size_t)size);
        } else if (size == 0 || (errno != EAGAIN && errno != EINTR)) {
            (void)close(child->pipe);
            child->pipe = -1;
            if (child->line_size > 0) {
                end_line(children, child);
            }
        } else if (errno == EAGAIN) {
            return;
        }
    }
}

static void reap(struct pd_dev_children *children)
{
    for (uint32_t i = 0; i < children->count; i++) {
        struct pd_dev_child *child = &children->children[i];
        if (child->pid != 0 && waitpid(child->pid, &child->wait_status, WNOHANG) == child->pid) {
            child->pid = 0;
            read_pipe(children, child); /* its last words come first */
            children->ended(children->state, i, child->wait_status);
        }
    }
}

/* false: this process is to end. */
static bool read_signals(struct pd_dev_children *children)
{
    struct signalfd_siginfo info;
    bool goes_on = true;
    while (read(children->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        goes_on = goes_on && info.ssi_signo == SIGCHLD;
    }
    if (!goes_on) {
        pd_host_output_hurry();
    }
    reap(children); /* several that end at once are one signal */
    return goes_on;
}

bool pd_dev_children_wait(struct pd_dev_children *children, int timeout_ms)
{
    struct pollfd polled[1 + PD_DEV_CHILDREN_MAX];
    /* Behind a reader who stands still nothing more is read: then they wait, too. */
    bool reads = pd_host_output(STDOUT_FILENO, NULL, 0) != PD_FILE_AGAIN;
    if (!reads && (timeout_ms < 0 || timeout_ms > SLICE_MS)) {
        timeout_ms = SLICE_MS;
    }
    polled[0] = (struct pollfd){.fd = children->signals, .events = POLLIN};
    for (uint32_t i = 0; i < children->count; i++) {
        int pipe = reads ? children->children[i].pipe : -1;
        polled[1 + i] = (struct pollfd){.fd = pipe, .events = POLLIN};
    }
    if (poll(polled, 1 + children->count, timeout_ms) <= 0) {
        return true;
    }
    for (uint32_t i = 0; i < children->count; i++) {
        if (polled[1 + i].revents != 0) {
            read_pipe(children, &children->children[i]);
        }
    }
    return polled[0].revents == 0 || read_signals(children);
}

uint32_t pd_dev_children_alive(const struct pd_dev_children *children)
{
    uint32_t alive = 0;
    for (uint32_t i = 0; i < children->count; i++) {
        alive += children->children[i].pid != 0;
    }
    return alive;
}

/* -- Ending ------------------------------------------------------------------------------------ */

static uint64_t now_ms(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

void pd_dev_children_stop(struct pd_dev_children *children, uint64_t patience_ms)
{
    for (uint32_t i = children->count; i > 0; i--) {
        struct pd_dev_child *child = &children->children[i - 1];
        uint64_t deadline_ms = now_ms() + patience_ms;
        if (child->pid != 0) {
            (void)kill(child->pid, SIGTERM);
        }
        while (child->pid != 0) {
            if (now_ms() >= deadline_ms) {
                (void)kill(child->pid, SIGKILL);
                deadline_ms = UINT64_MAX;
            }
            (void)pd_dev_children_wait(children, SLICE_MS); /* asked again: it is under way */
        }
    }
}
