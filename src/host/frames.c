#include "host/frames.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/frame.h"
#include "base/list.h"
#include "base/postbox.h"
#include "host/hangup.h"

#define BACKLOG 128
#define READ_BYTES ((size_t)256 * 1024)
#define WRITE_BUFFERS 64u

/* From any thread to the loop. */
struct post {
    struct pd_posted link;
    struct pd_frames_connection *connection;
    bool is_release;
    size_t size; /* with the frame's head */
    uint8_t bytes[];
};

struct pd_frames_connection {
    uv_pipe_t pipe; /* first */
    struct pd_frames *frames;
    struct pd_list link; /* in frames->connections, until it closes */
    void *context;
    uint8_t *input; /* what has come and is not a whole frame yet */
    size_t input_size;
    size_t input_capacity;
    struct pd_posted *output; /* oldest first */
    struct pd_posted **output_end;
    size_t output_at; /* bytes of the oldest one that are written */
    uint64_t output_bytes;
    uv_write_t write;
    uint32_t posts_writing; /* the oldest ones, in the write that is under way */
    bool is_writing;
    bool is_paused;  /* not read from */
    bool ends;       /* once its output has left */
    bool is_closing; /* the socket */
    bool is_closed;  /* and has been */
    bool is_released;
    bool was_told; /* the handler knows of it */
};

struct pd_frames {
    struct pd_frames_config config;
    uv_loop_t loop;
    uv_pipe_t listener;
    uv_async_t wake;
    uv_signal_t terminated;
    uv_signal_t interrupted;
    uv_signal_t hung_up;
    uv_timer_t later;
    bool listens;
    bool stops;
    atomic_bool is_asked_to_stop;
    uint32_t connection_count; /* until released */
    struct pd_list connections;
    struct pd_frames_counters counters;
    struct pd_postbox posts;
    uint8_t *room; /* for reads */
};

static struct pd_frames_connection *connection_of(uv_handle_t *handle)
{
    return (struct pd_frames_connection *)(void *)handle;
}

/* -- The end of a connection ------------------------------------------------------------------- */

static void close_handles(struct pd_frames *frames)
{
    uv_handle_t *handles[] = {(uv_handle_t *)&frames->wake, (uv_handle_t *)&frames->terminated,
                              (uv_handle_t *)&frames->interrupted, (uv_handle_t *)&frames->hung_up,
                              (uv_handle_t *)&frames->later};
    for (size_t i = 0; i < sizeof handles / sizeof handles[0]; i++) {
        if (!uv_is_closing(handles[i])) {
            uv_close(handles[i], NULL);
        }
    }
}

static void end_when_empty(struct pd_frames *frames)
{
    if (frames->stops && frames->connection_count == 0) {
        close_handles(frames); /* nothing is left to wait for: the loop ends */
    }
}

static void drop_output(struct pd_frames_connection *connection)
{
    struct pd_posted *link = connection->output;
    while (link != NULL) {
        struct post *post = pd_container_of(link, struct post, link);
        link = link->next;
        pd_free(post);
    }
    connection->output = NULL;
    connection->output_end = &connection->output;
    connection->output_bytes = 0;
}

static void free_when_done(struct pd_frames_connection *connection)
{
    if (connection->is_closed && connection->is_released) {
        struct pd_frames *frames = connection->frames;
        drop_output(connection);
        pd_free(connection->input);
        pd_free(connection);
        frames->connection_count--;
        end_when_empty(frames);
    }
}

static void on_closed(uv_handle_t *handle)
{
    struct pd_frames_connection *connection = connection_of(handle);
    connection->is_closed = true;
    if (connection->was_told) {
        connection->frames->config.closed(connection->frames->config.state, connection);
    } else {
        connection->is_released = true;
    }
    free_when_done(connection);
}

static void hang_up(struct pd_frames_connection *connection)
{
    if (!connection->is_closing) {
        connection->is_closing = true;
        pd_list_remove(&connection->link);
        uv_close((uv_handle_t *)&connection->pipe, on_closed);
    }
}

/* -- Output ------------------------------------------------------------------------------------ */

static void write_more(struct pd_frames_connection *connection);
static void read_more(struct pd_frames_connection *connection);

static void on_written(uv_write_t *write, int status)
{
    struct pd_frames_connection *connection =
        pd_container_of(write, struct pd_frames_connection, write);
    connection->is_writing = false;
    for (uint32_t i = 0; i < connection->posts_writing; i++) {
        struct post *post = pd_container_of(connection->output, struct post, link);
        connection->output = post->link.next;
        connection->output_bytes -= post->size;
        pd_free(post);
    }
    if (connection->output == NULL) {
        connection->output_end = &connection->output;
    }
    connection->posts_writing = 0;
    if (status < 0) {
        hang_up(connection);
    }
    if (!connection->is_closing) {
        write_more(connection);
        read_more(connection);
    }
}

static void write_more(struct pd_frames_connection *connection)
{
    if (connection->is_writing || connection->is_closing) {
        return;
    }
    uv_buf_t buffers[WRITE_BUFFERS];
    uint32_t count = 0;
    for (struct pd_posted *link = connection->output; link != NULL && count < WRITE_BUFFERS;
         link = link->next) {
        struct post *post = pd_container_of(link, struct post, link);
        buffers[count++] = uv_buf_init((char *)post->bytes, (unsigned)post->size);
    }
    if (count == 0) {
        if (connection->ends) {
            hang_up(connection);
        }
        return;
    }
    connection->posts_writing = count;
    connection->is_writing = true;
    if (uv_write(&connection->write, (uv_stream_t *)&connection->pipe, buffers, count,
                 on_written) != 0) {
        connection->is_writing = false;
        connection->posts_writing = 0;
        hang_up(connection);
    }
}

static void take_output(struct pd_frames_connection *connection, struct post *post)
{
    struct pd_frames *frames = connection->frames;
    post->link.next = NULL;
    *connection->output_end = &post->link;
    connection->output_end = &post->link.next;
    connection->output_bytes += post->size;
    if (connection->is_closing) {
        if (!connection->is_writing) {
            drop_output(connection);
        }
    } else if (connection->output_bytes > frames->config.output_bytes_max) {
        frames->counters.cut_off++;
        hang_up(connection);
    }
}

static void send_post(struct pd_frames *frames, struct post *post)
{
    if (pd_postbox_put(&frames->posts, &post->link)) {
        (void)uv_async_send(&frames->wake);
    }
}

static struct post *make_post(struct pd_frames_connection *connection, size_t size)
{
    struct post *post = pd_alloc(sizeof *post + size);
    if (post == NULL) {
        pd_fatal("no memory for an answer of %zu bytes: give the node more memory", size);
    }
    *post = (struct post){.connection = connection, .size = size};
    return post;
}

void pd_frames_send(struct pd_frames_connection *connection, uint64_t correlation,
                    struct pd_span bytes)
{
    struct post *post = make_post(connection, PD_FRAME_HEAD_SIZE + bytes.size);
    pd_frame_put_head(post->bytes, (uint32_t)bytes.size, correlation);
    if (bytes.size > 0) {
        memcpy(post->bytes + PD_FRAME_HEAD_SIZE, bytes.bytes, bytes.size);
    }
    send_post(connection->frames, post);
}

void pd_frames_release(struct pd_frames_connection *connection)
{
    struct post *post = make_post(connection, 0);
    post->is_release = true;
    send_post(connection->frames, post);
}

/* -- What other threads want ------------------------------------------------------------------- */

static void stop_now(struct pd_frames *frames)
{
    frames->stops = true;
    if (frames->listens) {
        frames->listens = false;
        uv_close((uv_handle_t *)&frames->listener, NULL);
    }
    while (!pd_list_is_empty(&frames->connections)) {
        hang_up(pd_container_of(pd_list_first(&frames->connections), struct pd_frames_connection,
                                link));
    }
    end_when_empty(frames);
}

static void on_wake(uv_async_t *wake)
{
    struct pd_frames *frames = pd_container_of(wake, struct pd_frames, wake);
    /* Looked at first: what was posted before the stop was asked for still goes out. */
    bool is_asked_to_stop = atomic_load(&frames->is_asked_to_stop);
    struct pd_posted *link = pd_postbox_take(&frames->posts);
    /* First all of it into the outputs, then one write for each connection. */
    struct pd_frames_connection *last = NULL;
    while (link != NULL) {
        struct post *post = pd_container_of(link, struct post, link);
        link = link->next; /* before the post is freed, or joins the outputs */
        struct pd_frames_connection *connection = post->connection;
        if (last != NULL && last != connection) {
            write_more(last);
        }
        last = connection;
        if (post->is_release) {
            pd_free(post);
            connection->is_released = true;
            last = NULL;
            free_when_done(connection);
        } else {
            take_output(connection, post);
        }
    }
    if (last != NULL) {
        write_more(last);
    }
    if (is_asked_to_stop && !frames->stops) {
        stop_now(frames);
    }
}

void pd_frames_stop(struct pd_frames *frames)
{
    atomic_store(&frames->is_asked_to_stop, true);
    (void)uv_async_send(&frames->wake);
}

/* -- Input ------------------------------------------------------------------------------------- */

static void refuse_frame(struct pd_frames_connection *connection, uint64_t correlation,
                         uint32_t size)
{
    struct pd_frames *frames = connection->frames;
    char text[PD_FRAMES_TEXT_MAX];
    frames->counters.bad_frames++;
    (void)snprintf(text, sizeof text,
                   "a frame of %u bytes is more than %u: not one of this protocol, or too large",
                   (unsigned)size, (unsigned)frames->config.frame_bytes_max);
    frames->config.bad(frames->config.state, connection, correlation, text);
    connection->ends = true;
    connection->is_paused = true;
    (void)uv_read_stop((uv_stream_t *)&connection->pipe);
}

/* Whole frames from the front of `bytes`; returns how much of it they were. */
static size_t take_frames(struct pd_frames_connection *connection, const uint8_t *bytes,
                          size_t size)
{
    struct pd_frames *frames = connection->frames;
    size_t at = 0;
    while (!connection->ends) {
        struct pd_frame frame;
        switch (pd_frame_take((struct pd_span){bytes + at, size - at},
                              frames->config.frame_bytes_max, &frame)) {
        case PD_FRAME_PART:
            return at;
        case PD_FRAME_BAD:
            refuse_frame(connection, frame.correlation, frame.body_size);
            return at;
        case PD_FRAME_WHOLE:
            break;
        }
        frames->counters.frames++;
        frames->config.frame(frames->config.state, connection, frame.correlation, frame.body);
        at += PD_FRAME_HEAD_SIZE + frame.body_size;
    }
    return at;
}

/* False: no memory. */
static bool keep_input(struct pd_frames_connection *connection, const uint8_t *bytes, size_t size)
{
    size_t wanted = connection->input_size + size;
    if (wanted > connection->input_capacity) {
        size_t capacity = wanted < 4096 ? 4096 : wanted * 2;
        uint8_t *grown = pd_realloc(connection->input, capacity);
        if (grown == NULL) {
            return false;
        }
        connection->input = grown;
        connection->input_capacity = capacity;
    }
    if (size > 0) {
        memcpy(connection->input + connection->input_size, bytes, size);
    }
    connection->input_size = wanted;
    return true;
}

/* False: no memory. */
static bool take_input(struct pd_frames_connection *connection, const uint8_t *bytes, size_t size)
{
    if (connection->input_size == 0) {
        size_t taken = take_frames(connection, bytes, size);
        return connection->ends || keep_input(connection, bytes + taken, size - taken);
    }
    if (!keep_input(connection, bytes, size)) {
        return false;
    }
    size_t taken = take_frames(connection, connection->input, connection->input_size);
    connection->input_size -= taken;
    memmove(connection->input, connection->input + taken, connection->input_size);
    if (connection->input_size == 0) {
        pd_free(connection->input); /* a large one is not kept by an idle peer */
        connection->input = NULL;
        connection->input_capacity = 0;
    }
    return true;
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)suggested;
    *buffer = uv_buf_init((char *)connection_of(handle)->frames->room, READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct pd_frames_connection *connection = connection_of((uv_handle_t *)stream);
    if (size < 0) {
        hang_up(connection);
        return;
    }
    if (size > 0 && !take_input(connection, (const uint8_t *)buffer->base, (size_t)size)) {
        hang_up(connection);
        return;
    }
    if (!connection->is_closing && !connection->is_paused &&
        connection->output_bytes > connection->frames->config.output_bytes_soft) {
        connection->is_paused = true;
        (void)uv_read_stop(stream);
    }
}

static void read_more(struct pd_frames_connection *connection)
{
    if (connection->is_paused && !connection->ends &&
        connection->output_bytes <= connection->frames->config.output_bytes_soft / 2) {
        connection->is_paused = false;
        (void)uv_read_start((uv_stream_t *)&connection->pipe, on_room, on_read);
    }
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct pd_frames *frames =
        pd_container_of((uv_pipe_t *)(void *)listener, struct pd_frames, listener);
    if (status < 0) {
        return;
    }
    struct pd_frames_connection *connection = pd_alloc_zeroed(1, sizeof *connection);
    if (connection == NULL) {
        return; /* libuv asks again with the next one */
    }
    connection->frames = frames;
    connection->output_end = &connection->output;
    (void)uv_pipe_init(&frames->loop, &connection->pipe, 0);
    pd_list_append(&frames->connections, &connection->link);
    frames->connection_count++;
    if (uv_accept(listener, (uv_stream_t *)&connection->pipe) != 0) {
        hang_up(connection);
        return;
    }
    connection->was_told = frames->connection_count <= frames->config.connections_max &&
                           frames->config.opened(frames->config.state, connection);
    if (!connection->was_told) {
        frames->counters.connections_refused++;
        hang_up(connection);
        return;
    }
    frames->counters.connections++;
    (void)uv_read_start((uv_stream_t *)&connection->pipe, on_room, on_read);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct pd_frames *frames = handle->data;
    frames->config.signal(frames->config.state, number);
}

static void on_later(uv_timer_t *timer)
{
    struct pd_frames *frames = timer->data;
    pd_frames_stop(frames);
}

void pd_frames_stop_later(struct pd_frames *frames, uint64_t after_ms)
{
    int result = uv_timer_start(&frames->later, on_later, after_ms, 0);
    pd_assert(result == 0); /* it fails for a closed timer only */
}

/* -- Opening ----------------------------------------------------------------------------------- */

static bool somebody_listens(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path) + 1);
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool does = probe >= 0 && connect(probe, (struct sockaddr *)&address, sizeof address) == 0;
    if (probe >= 0) {
        (void)close(probe);
    }
    return does;
}

/* Something else than a socket has this name: not ours to remove. */
static bool is_taken(const char *path, char *text)
{
    struct stat about;
    if (lstat(path, &about) != 0 || S_ISSOCK(about.st_mode)) {
        return false;
    }
    (void)snprintf(text, PD_FRAMES_TEXT_MAX,
                   "'%s' is there and is no socket: choose another with --socket", path);
    return true;
}

/* A name of its own until it listens: who finds the socket can use it. */
static enum pd_status listen_at(struct pd_frames *frames, char *text)
{
    const char *path = frames->config.path;
    char early[sizeof(((struct sockaddr_un *)0)->sun_path)];
    _Static_assert(PD_FRAMES_PATH_MAX + sizeof ".new" == sizeof early, "it has room for both");
    if ((size_t)snprintf(early, sizeof early, "%s.new", path) >= sizeof early) {
        (void)snprintf(text, PD_FRAMES_TEXT_MAX,
                       "the path of the socket '%s' is longer than %u bytes: choose a shorter one "
                       "with --socket",
                       path, PD_FRAMES_PATH_MAX);
        return PD_ERR_RANGE;
    }
    if (somebody_listens(path)) {
        (void)snprintf(text, PD_FRAMES_TEXT_MAX,
                       "somebody listens on '%s' already: stop that, or choose another socket",
                       path);
        return PD_ERR_EXISTS;
    }
    if (is_taken(path, text) || is_taken(early, text)) {
        return PD_ERR_EXISTS;
    }
    (void)unlink(early);
    mode_t mask = umask(0177);
    int result = uv_pipe_bind(&frames->listener, early);
    (void)umask(mask);
    if (result == 0) {
        result = uv_listen((uv_stream_t *)&frames->listener, BACKLOG, on_connection);
    }
    if (result == 0 && rename(early, path) != 0) {
        result = uv_translate_sys_error(errno);
    }
    if (result != 0) {
        (void)unlink(early);
        (void)snprintf(text, PD_FRAMES_TEXT_MAX, "cannot listen on '%s': %s", path,
                       uv_strerror(result));
        return PD_ERR_IO;
    }
    return PD_OK;
}

static bool open_loop(struct pd_frames *frames)
{
    frames->room = pd_alloc(READ_BYTES);
    if (frames->room == NULL || uv_loop_init(&frames->loop) != 0) {
        return false;
    }
    int result = uv_pipe_init(&frames->loop, &frames->listener, 0);
    frames->listens = true;
    result |= uv_async_init(&frames->loop, &frames->wake, on_wake);
    result |= uv_signal_init(&frames->loop, &frames->terminated);
    result |= uv_signal_init(&frames->loop, &frames->interrupted);
    result |= uv_signal_init(&frames->loop, &frames->hung_up);
    result |= uv_timer_init(&frames->loop, &frames->later);
    frames->terminated.data = frames;
    frames->interrupted.data = frames;
    frames->hung_up.data = frames;
    frames->later.data = frames;
    if (frames->config.signal != NULL) {
        result |= uv_signal_start(&frames->terminated, on_signal, SIGTERM);
        result |= uv_signal_start(&frames->interrupted, on_signal, SIGINT);
    }
    if (frames->config.signal != NULL && pd_host_hangup_ends()) {
        result |= uv_signal_start(&frames->hung_up, on_signal, SIGHUP);
    }
    pd_assert(result == 0); /* they fail for arguments only; the async one for a lack of files */
    return true;
}

enum pd_status pd_frames_open(const struct pd_frames_config *config, char text[PD_FRAMES_TEXT_MAX],
                              struct pd_frames **frames_out)
{
    text[0] = '\0';
    struct pd_frames *frames = pd_alloc_zeroed(1, sizeof *frames);
    if (frames == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    frames->config = *config;
    pd_list_init(&frames->connections);
    if (!open_loop(frames)) {
        pd_free(frames->room);
        pd_free(frames);
        (void)snprintf(text, PD_FRAMES_TEXT_MAX, "cannot make an event loop: no memory or files");
        return PD_ERR_NO_MEMORY;
    }
    enum pd_status status = listen_at(frames, text);
    if (status != PD_OK) {
        stop_now(frames);
        pd_frames_run(frames);
        frames->config.path = NULL; /* it is not ours */
        pd_frames_close(frames);
        return status;
    }
    *frames_out = frames;
    return PD_OK;
}

void pd_frames_run(struct pd_frames *frames)
{
    (void)uv_run(&frames->loop, UV_RUN_DEFAULT);
}

void pd_frames_close(struct pd_frames *frames)
{
    if (frames == NULL) {
        return;
    }
    if (frames->config.path != NULL) {
        (void)unlink(frames->config.path);
    }
    int result = uv_loop_close(&frames->loop);
    pd_assert(result == 0);
    pd_free(frames->room);
    pd_free(frames);
}

void pd_frames_set_context(struct pd_frames_connection *connection, void *context)
{
    connection->context = context;
}

void *pd_frames_context(const struct pd_frames_connection *connection)
{
    return connection->context;
}

void pd_frames_counters(const struct pd_frames *frames, struct pd_frames_counters *counters_out)
{
    *counters_out = frames->counters;
}
