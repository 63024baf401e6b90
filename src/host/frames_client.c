#include "host/frames_client.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/frame.h"

#define READ_BYTES ((size_t)64 << 10)
#define RECONNECT_FIRST_MS 10u

struct pd_frames_client {
    struct pd_frames_client_config config;
    struct sockaddr_un address;
    struct pd_thread thread;
    int wake; /* an eventfd: there is output to wait for, or the end */
    atomic_bool is_closing;
    pthread_mutex_t lock;
    /* Under `lock`. */
    int descriptor; /* -1: not connected */
    uint8_t *output;
    size_t output_size;
    size_t output_capacity;
    size_t output_at; /* bytes that have left */
    /* The thread's. */
    uint8_t *input;
    size_t input_size;
    size_t input_capacity;
};

/* -- Connecting -------------------------------------------------------------------------------- */

/* A descriptor, or -1 and errno. */
static int connect_once(const struct pd_frames_client *client)
{
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) {
        return -1;
    }
    if (connect(descriptor, (const struct sockaddr *)&client->address, sizeof client->address) !=
        0) {
        int error = errno;
        (void)close(descriptor);
        errno = error;
        return -1;
    }
    return descriptor;
}

static enum pd_status connect_first(struct pd_frames_client *client, char *text)
{
    client->descriptor = connect_once(client);
    if (client->descriptor >= 0) {
        return PD_OK;
    }
    bool is_absent = errno == ENOENT || errno == ECONNREFUSED;
    (void)snprintf(text, PD_FRAMES_TEXT_MAX, "cannot connect to '%s': %s", client->config.path,
                   is_absent ? "no node listens there" : strerror(errno));
    return is_absent ? PD_ERR_CLOSED : PD_ERR_IO;
}

/* -- Sending ----------------------------------------------------------------------------------- */

/* Under the lock: keep what the socket did not take. */
static enum pd_status queue(struct pd_frames_client *client, const struct iovec *parts, size_t skip)
{
    size_t size = parts[0].iov_len + parts[1].iov_len - skip;
    if (client->output_size + size > client->output_capacity) {
        size_t capacity = client->output_capacity == 0 ? 4096 : client->output_capacity;
        while (capacity < client->output_size + size) {
            capacity *= 2;
        }
        uint8_t *grown = pd_realloc(client->output, capacity);
        if (grown == NULL) {
            return PD_ERR_NO_MEMORY;
        }
        client->output = grown;
        client->output_capacity = capacity;
    }
    for (int i = 0; i < 2; i++) {
        size_t gone = skip < parts[i].iov_len ? skip : parts[i].iov_len;
        size_t left = parts[i].iov_len - gone;
        if (left > 0) {
            memcpy(client->output + client->output_size, (const uint8_t *)parts[i].iov_base + gone,
                   left);
        }
        client->output_size += left;
        skip -= gone;
    }
    return PD_OK;
}

static void wake_thread(const struct pd_frames_client *client)
{
    uint64_t one = 1;
    ssize_t written = write(client->wake, &one, sizeof one);
    (void)written; /* it is full: the thread is awake */
}

/* Under the lock. */
static enum pd_status send_parts(struct pd_frames_client *client, struct iovec *parts)
{
    size_t size = parts[0].iov_len + parts[1].iov_len;
    size_t waits = client->output_size - client->output_at;
    if (waits + size > client->config.output_bytes_max) {
        return PD_ERR_FULL;
    }
    size_t sent = 0;
    if (waits == 0) {
        const struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
        ssize_t taken = sendmsg(client->descriptor, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        /* A failure is seen by the thread, which reads: the frame is lost with the connection. */
        sent = taken > 0 ? (size_t)taken : 0;
        if (sent == size) {
            return PD_OK;
        }
    }
    enum pd_status status = queue(client, parts, sent);
    if (status != PD_OK && sent > 0) {
        (void)shutdown(client->descriptor, SHUT_RDWR); /* half a frame has left */
        return PD_OK;
    }
    wake_thread(client);
    return status;
}

enum pd_status pd_frames_client_send(struct pd_frames_client *client, uint64_t correlation,
                                     struct pd_span bytes)
{
    uint8_t head[PD_FRAME_HEAD_SIZE];
    pd_assert(bytes.size <= UINT32_MAX);
    pd_frame_put_head(head, (uint32_t)bytes.size, correlation);
    union {
        const uint8_t *from;
        void *base;
    } body = {.from = bytes.bytes}; /* sendmsg only reads it */
    struct iovec parts[2] = {{.iov_base = head, .iov_len = sizeof head},
                             {.iov_base = body.base, .iov_len = bytes.size}};
    enum pd_status status = PD_ERR_CLOSED;
    (void)pthread_mutex_lock(&client->lock);
    if (client->descriptor >= 0) {
        status = send_parts(client, parts);
    }
    (void)pthread_mutex_unlock(&client->lock);
    return status;
}

/* What waits, as far as the socket takes it. False: the connection is lost. */
static bool flush(struct pd_frames_client *client)
{
    bool is_good = true;
    (void)pthread_mutex_lock(&client->lock);
    while (is_good && client->output_at < client->output_size) {
        ssize_t sent = send(client->descriptor, client->output + client->output_at,
                            client->output_size - client->output_at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) {
            client->output_at += (size_t)sent;
        } else if (errno == EAGAIN) {
            break;
        } else {
            is_good = errno == EINTR;
        }
    }
    if (client->output_at == client->output_size) {
        client->output_at = 0;
        client->output_size = 0;
    } else if (client->output_at >= client->output_size / 2) {
        client->output_size -= client->output_at;
        memmove(client->output, client->output + client->output_at, client->output_size);
        client->output_at = 0;
    }
    (void)pthread_mutex_unlock(&client->lock);
    return is_good;
}

/* -- Reading ----------------------------------------------------------------------------------- */

/* Whole frames are given to the handler. False: it is no frame of ours, or there is no memory. */
static bool take_frames(struct pd_frames_client *client)
{
    size_t at = 0;
    struct pd_frame frame;
    enum pd_frame_state frame_state = PD_FRAME_WHOLE;
    while (frame_state == PD_FRAME_WHOLE) {
        struct pd_span there = {client->input + at, client->input_size - at};
        frame_state = pd_frame_take(there, client->config.frame_bytes_max, &frame);
        if (frame_state == PD_FRAME_WHOLE) {
            client->config.frame(client->config.state, frame.correlation, frame.body);
            at += PD_FRAME_HEAD_SIZE + frame.body_size;
        }
    }
    if (frame_state == PD_FRAME_BAD) {
        return false;
    }
    client->input_size -= at;
    if (at > 0 && client->input_size > 0) {
        memmove(client->input, client->input + at, client->input_size);
    }
    return true;
}

static bool read_some(struct pd_frames_client *client)
{
    if (client->input_capacity - client->input_size < READ_BYTES) {
        size_t capacity = 2 * client->input_capacity + READ_BYTES;
        uint8_t *grown = pd_realloc(client->input, capacity);
        if (grown == NULL) {
            return false;
        }
        client->input = grown;
        client->input_capacity = capacity;
    }
    ssize_t got = recv(client->descriptor, client->input + client->input_size,
                       client->input_capacity - client->input_size, MSG_DONTWAIT);
    if (got > 0) {
        client->input_size += (size_t)got;
        return take_frames(client);
    }
    return got < 0 && (errno == EAGAIN || errno == EINTR);
}

/* -- The thread -------------------------------------------------------------------------------- */

static void disconnect(struct pd_frames_client *client)
{
    (void)pthread_mutex_lock(&client->lock);
    (void)close(client->descriptor);
    client->descriptor = -1;
    client->output_size = 0;
    client->output_at = 0;
    (void)pthread_mutex_unlock(&client->lock);
    client->input_size = 0;
}

/* Until the connection is lost, or the end. */
static void serve(struct pd_frames_client *client)
{
    bool is_good = client->descriptor >= 0;
    while (is_good && !atomic_load(&client->is_closing)) {
        (void)pthread_mutex_lock(&client->lock);
        bool has_output = client->output_at < client->output_size;
        (void)pthread_mutex_unlock(&client->lock);
        struct pollfd polled[2] = {
            {.fd = client->descriptor, .events = (short)(POLLIN | (has_output ? POLLOUT : 0))},
            {.fd = client->wake, .events = POLLIN}};
        if (poll(polled, 2, -1) < 0) {
            is_good = errno == EINTR;
            continue;
        }
        if (polled[1].revents != 0) {
            uint64_t count;
            ssize_t got = read(client->wake, &count, sizeof count);
            (void)got; /* whatever it says, we look */
        }
        is_good = ((polled[0].revents & POLLOUT) == 0 || flush(client)) &&
                  ((polled[0].revents & ~POLLOUT) == 0 || read_some(client));
    }
}

static void connect_again(struct pd_frames_client *client)
{
    uint32_t wait_ms = RECONNECT_FIRST_MS;
    while (!atomic_load(&client->is_closing)) {
        int descriptor = connect_once(client);
        if (descriptor >= 0) {
            (void)pthread_mutex_lock(&client->lock);
            client->descriptor = descriptor;
            (void)pthread_mutex_unlock(&client->lock);
            client->config.up(client->config.state);
            return;
        }
        struct pollfd polled = {.fd = client->wake, .events = POLLIN};
        (void)poll(&polled, 1, (int)wait_ms);
        wait_ms =
            wait_ms * 2 < client->config.reconnect_ms ? wait_ms * 2 : client->config.reconnect_ms;
    }
}

static void client_main(void *argument)
{
    struct pd_frames_client *client = argument;
    for (;;) {
        serve(client);
        if (atomic_load(&client->is_closing)) {
            return;
        }
        disconnect(client);
        client->config.lost(client->config.state);
        connect_again(client);
    }
}

/* -- Opening and closing ----------------------------------------------------------------------- */

static void destroy(struct pd_frames_client *client)
{
    if (client->descriptor >= 0) {
        (void)close(client->descriptor);
    }
    if (client->wake >= 0) {
        (void)close(client->wake);
    }
    (void)pthread_mutex_destroy(&client->lock);
    pd_free(client->output);
    pd_free(client->input);
    pd_free(client);
}

static enum pd_status open_all(struct pd_frames_client *client, char *text)
{
    client->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (client->wake < 0) {
        (void)snprintf(text, PD_FRAMES_TEXT_MAX, "cannot wait for a node: %s", strerror(errno));
        return PD_ERR_IO;
    }
    enum pd_status status = connect_first(client, text);
    if (status == PD_OK) {
        struct pd_host *host = client->config.host;
        status = host->ops->thread_start(host, "pando-link", PD_THREAD_NORMAL, client_main, client,
                                         &client->thread);
        if (status != PD_OK) {
            (void)snprintf(text, PD_FRAMES_TEXT_MAX, "cannot start a thread");
        }
    }
    return status;
}

enum pd_status pd_frames_client_open(const struct pd_frames_client_config *config,
                                     char text[PD_FRAMES_TEXT_MAX],
                                     struct pd_frames_client **client_out)
{
    text[0] = '\0';
    size_t size = strlen(config->path);
    struct pd_frames_client *client = pd_alloc_zeroed(1, sizeof *client);
    if (client == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    client->config = *config;
    client->descriptor = -1;
    client->wake = -1;
    (void)pthread_mutex_init(&client->lock, NULL);
    client->address.sun_family = AF_UNIX;
    enum pd_status status = PD_ERR_RANGE;
    if (size < sizeof client->address.sun_path) {
        memcpy(client->address.sun_path, config->path, size + 1);
        client->config.path = client->address.sun_path;
        status = open_all(client, text);
    } else {
        (void)snprintf(text, PD_FRAMES_TEXT_MAX, "the path of the socket is too long: %zu bytes",
                       size);
    }
    if (status != PD_OK) {
        destroy(client);
        return status;
    }
    *client_out = client;
    return PD_OK;
}

void pd_frames_client_close(struct pd_frames_client *client)
{
    if (client != NULL) {
        atomic_store(&client->is_closing, true);
        wake_thread(client);
        client->config.host->ops->thread_join(client->config.host, client->thread);
        destroy(client);
    }
}
