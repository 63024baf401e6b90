#include "node/control.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"

#define BACKLOG 16
#define READ_SIZE 4096u
#define DEAF_NS UINT64_C(200000000)
#define NS_PER_MS UINT64_C(1000000)

/* poll's table: these two, then the connections by place. */
#define POLL_STOP 0u
#define POLL_LISTENER 1u
#define POLL_FIRST 2u
#define POLL_COUNT (POLL_FIRST + PD_CONTROL_CONNECTIONS_MAX)

static uint64_t now(const struct pd_control *control)
{
    return pd_host_now_ns(control->target.program->host);
}

/* --- Connections ------------------------------------------------------------------------------ */

static void hang_up(struct pd_control_connection *connection)
{
    pd_control_session_destroy(connection->session);
    (void)close(connection->descriptor);
    *connection = (struct pd_control_connection){.descriptor = -1};
}

static struct pd_control_connection *free_place(struct pd_control *control)
{
    for (uint32_t i = 0; i < PD_CONTROL_CONNECTIONS_MAX; i++) {
        if (control->connections[i].session == NULL) {
            return &control->connections[i];
        }
    }
    return NULL;
}

static bool is_ours(int descriptor)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    return getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           peer.uid == geteuid();
}

static void take_connection(struct pd_control *control)
{
    int descriptor = accept4(control->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (descriptor < 0) {
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
            control->deaf_until_ns = now(control) + DEAF_NS;
        }
        return;
    }
    struct pd_control_connection *place = free_place(control);
    struct pd_control_session *session =
        place != NULL && is_ours(descriptor) ? pd_control_session_create(&control->target) : NULL;
    if (session == NULL) {
        (void)close(descriptor);
        return;
    }
    *place = (struct pd_control_connection){
        .descriptor = descriptor, .session = session, .heard_ns = now(control)};
}

/* False: the connection is broken. */
static bool read_some(struct pd_control *control, struct pd_control_connection *connection)
{
    char bytes[READ_SIZE];
    size_t room = pd_control_session_room(connection->session);
    if (room == 0) {
        return true;
    }
    ssize_t got = recv(connection->descriptor, bytes, room < sizeof bytes ? room : sizeof bytes, 0);
    if (got < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    if (got == 0) {
        connection->has_ended = true;
        return true;
    }
    pd_control_session_feed(connection->session, bytes, (size_t)got);
    connection->heard_ns = now(control);
    return true;
}

static bool write_some(struct pd_control *control, struct pd_control_connection *connection)
{
    const char *bytes = NULL;
    size_t size = pd_control_session_output(connection->session, &bytes);
    if (size == 0) {
        return true;
    }
    ssize_t sent = send(connection->descriptor, bytes, size, MSG_NOSIGNAL);
    if (sent < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    pd_control_session_sent(connection->session, (size_t)sent);
    connection->heard_ns = now(control);
    return true;
}

/* True: nothing more will come of it. */
static bool is_done(const struct pd_control *control,
                    const struct pd_control_connection *connection)
{
    const char *bytes = NULL;
    bool owes = pd_control_session_output(connection->session, &bytes) > 0;
    bool is_idle = pd_control_session_is_idle(connection->session);
    if (!owes &&
        (pd_control_session_is_over(connection->session) || (connection->has_ended && is_idle))) {
        return true;
    }
    return (owes || is_idle) && now(control) - connection->heard_ns > PD_CONTROL_SILENCE_NS;
}

static void serve(struct pd_control *control, struct pd_control_connection *connection,
                  short events)
{
    bool is_sound = (events & (POLLERR | POLLNVAL)) == 0;
    if (is_sound && (events & POLLHUP) != 0) {
        is_sound = (events & POLLIN) != 0; /* its last request may still be unread */
    }
    if (is_sound && (events & POLLIN) != 0) {
        is_sound = read_some(control, connection);
    }
    if (is_sound) {
        pd_control_session_work(connection->session);
        is_sound = write_some(control, connection);
    }
    if (!is_sound || is_done(control, connection)) {
        hang_up(connection);
    }
}

/* --- The thread ------------------------------------------------------------------------------- */

/* What to wait for; returns for how long. */
static int prepare(const struct pd_control *control, struct pollfd *polled)
{
    int timeout_ms = PD_CONTROL_TICK_MS;
    bool is_deaf = now(control) < control->deaf_until_ns;
    polled[POLL_STOP] = (struct pollfd){.fd = control->stop, .events = POLLIN};
    polled[POLL_LISTENER] =
        (struct pollfd){.fd = is_deaf ? -1 : control->listener, .events = POLLIN};
    for (uint32_t i = 0; i < PD_CONTROL_CONNECTIONS_MAX; i++) {
        const struct pd_control_connection *connection = &control->connections[i];
        struct pollfd *one = &polled[POLL_FIRST + i];
        *one = (struct pollfd){.fd = -1};
        if (connection->session == NULL) {
            continue;
        }
        const char *bytes = NULL;
        one->fd = connection->descriptor;
        if (pd_control_session_room(connection->session) > 0 && !connection->has_ended) {
            one->events |= POLLIN;
        }
        if (pd_control_session_output(connection->session, &bytes) > 0) {
            one->events |= POLLOUT;
        }
        int wait_ms = pd_control_session_wait_ms(connection->session);
        if (wait_ms >= 0 && wait_ms < timeout_ms) {
            timeout_ms = wait_ms;
        }
    }
    return timeout_ms;
}

/* The program ends: who asked for that (kill of the main process) and who watched is told. */
static void say_last_words(struct pd_control *control)
{
    for (uint32_t i = 0; i < PD_CONTROL_CONNECTIONS_MAX; i++) {
        struct pd_control_connection *connection = &control->connections[i];
        if (connection->session != NULL) {
            pd_control_session_work(connection->session);
            (void)write_some(control, connection);
        }
    }
}

static void run(void *argument)
{
    struct pd_control *control = argument;
    struct pollfd polled[POLL_COUNT];
    uint64_t ticked_ns = now(control);
    for (;;) {
        int timeout_ms = prepare(control, polled);
        if (poll(polled, POLL_COUNT, timeout_ms) < 0 && errno != EINTR) {
            return; /* no memory in the kernel: the program goes on without this socket */
        }
        if ((polled[POLL_STOP].revents & POLLIN) != 0) {
            say_last_words(control);
            return;
        }
        for (uint32_t i = 0; i < PD_CONTROL_CONNECTIONS_MAX; i++) {
            if (control->connections[i].session != NULL) {
                serve(control, &control->connections[i], polled[POLL_FIRST + i].revents);
            }
        }
        if ((polled[POLL_LISTENER].revents & POLLIN) != 0) {
            take_connection(control);
        }
        uint64_t now_ns = now(control);
        if (control->tick != NULL && now_ns - ticked_ns >= PD_CONTROL_TICK_MS * NS_PER_MS) {
            ticked_ns = now_ns;
            control->tick(control->tick_context);
        }
    }
}

/* --- Opening and closing ---------------------------------------------------------------------- */

static enum pd_status fail(char *why, const char *what)
{
    (void)snprintf(why, PD_CONTROL_WHY_SIZE, "%s: %s", what, strerror(errno));
    return PD_ERR_IO;
}

/* Listen under a name that nobody looks for, then take the real one. */
static enum pd_status publish(struct pd_control *control, const char *folder, char *why)
{
    struct sockaddr_un making;
    int os_pid = control->target.os_pid;
    if (pd_control_address(folder, os_pid, ".making", &making) != PD_OK ||
        pd_control_address(folder, os_pid, ".sock", &control->address) != PD_OK) {
        (void)snprintf(why, PD_CONTROL_WHY_SIZE, "%s is too long for a socket", folder);
        return PD_ERR_RANGE;
    }
    (void)unlink(making.sun_path); /* of a program with the same number that died right here */
    if (fchmod(control->listener, 0600) != 0 ||
        bind(control->listener, (const struct sockaddr *)&making, sizeof making) != 0) {
        return fail(why, making.sun_path);
    }
    if (chmod(making.sun_path, 0600) == 0 && listen(control->listener, BACKLOG) == 0 &&
        rename(making.sun_path, control->address.sun_path) == 0) {
        return PD_OK;
    }
    enum pd_status status = fail(why, control->address.sun_path);
    (void)unlink(making.sun_path);
    return status;
}

static void close_descriptors(struct pd_control *control)
{
    if (control->listener >= 0) {
        (void)close(control->listener);
    }
    if (control->stop >= 0) {
        (void)close(control->stop);
    }
}

enum pd_status pd_control_open(struct pd_control *control, const struct pd_control_target *target,
                               void (*tick)(void *context), void *tick_context,
                               char why_out[PD_CONTROL_WHY_SIZE])
{
    struct pd_host *host = target->program->host;
    if (host->is_deterministic) {
        (void)snprintf(why_out, PD_CONTROL_WHY_SIZE, "a deterministic run cannot be looked into");
        return PD_ERR_UNSUPPORTED;
    }
    char folder[PD_CONTROL_FOLDER_SIZE];
    enum pd_status status = pd_control_folder(folder, why_out);
    if (status != PD_OK) {
        return status;
    }
    *control = (struct pd_control){.target = *target, .tick = tick, .tick_context = tick_context};
    for (uint32_t i = 0; i < PD_CONTROL_CONNECTIONS_MAX; i++) {
        control->connections[i].descriptor = -1;
    }
    control->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    control->stop = eventfd(0, EFD_CLOEXEC);
    status = control->listener < 0 || control->stop < 0 ? fail(why_out, "no socket")
                                                        : publish(control, folder, why_out);
    if (status == PD_OK) {
        status = host->ops->thread_start(host, "pando-control", PD_THREAD_NORMAL, run, control,
                                         &control->thread);
        if (status != PD_OK) {
            (void)snprintf(why_out, PD_CONTROL_WHY_SIZE, "no thread for the control socket");
            (void)unlink(control->address.sun_path);
        }
    }
    if (status != PD_OK) {
        close_descriptors(control);
    }
    return status;
}

void pd_control_close(struct pd_control *control)
{
    struct pd_host *host = control->target.program->host;
    (void)unlink(control->address.sun_path);
    uint64_t one = 1;
    ssize_t written = write(control->stop, &one, sizeof one);
    pd_assert(written == (ssize_t)sizeof one);
    host->ops->thread_join(host, control->thread);
    for (uint32_t i = 0; i < PD_CONTROL_CONNECTIONS_MAX; i++) {
        if (control->connections[i].session != NULL) {
            hang_up(&control->connections[i]);
        }
    }
    close_descriptors(control);
}
