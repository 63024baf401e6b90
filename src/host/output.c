#include "host/output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "host/detached.h"
#include "host/files_posix.h"

#define LOOK_MS 100
#define HURRY_LOOKS 10 /* of LOOK_MS, until what nobody reads is given up */
#define NS_PER_MS 1000000L
#define NS_PER_S 1000000000L

struct chunk {
    struct chunk *next;
    size_t size;
    size_t at; /* up to here it is written */
    uint8_t bytes[];
};

enum kind {
    KIND_PLAIN = 0, /* written to as it is: a file */
    KIND_OWN,       /* a pipe or terminal, by a description of ours that does not wait */
    KIND_PIPE,      /* one that we may not open again: a piece at a time, where there is room */
    KIND_SOCKET
};

struct stream {
    int number;
    pthread_mutex_t lock;
    pthread_cond_t has_some;
    pthread_cond_t is_empty;
    /* Under the lock: */
    bool is_known; /* what it leads to: the next three */
    dev_t device;
    ino_t inode;
    enum kind kind;
    int file; /* what is written to */
    struct chunk *first;
    struct chunk *last;
    size_t held;
    enum pd_file_error failure; /* that nobody was told of yet */
    bool has_thread;
};

static struct stream streams[2] = {
    {.number = STDOUT_FILENO,
     .lock = PTHREAD_MUTEX_INITIALIZER,
     .has_some = PTHREAD_COND_INITIALIZER,
     .is_empty = PTHREAD_COND_INITIALIZER},
    {.number = STDERR_FILENO,
     .lock = PTHREAD_MUTEX_INITIALIZER,
     .has_some = PTHREAD_COND_INITIALIZER,
     .is_empty = PTHREAD_COND_INITIALIZER},
};
static atomic_bool hurries;

static struct stream *stream_of(int number)
{
    pd_assert(number == STDOUT_FILENO || number == STDERR_FILENO);
    return &streams[number - 1];
}

/* -- What a stream leads to -------------------------------------------------------------------- */

/* A description of its own: the flag of the one that was inherited is everybody's who has it. */
static int open_again(const struct stream *stream)
{
    char path[32];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", stream->number);
    return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static void look(struct stream *stream)
{
    struct stat about;
    if (fstat(stream->number, &about) != 0) {
        about = (struct stat){0};
    }
    if (stream->is_known && stream->device == about.st_dev && stream->inode == about.st_ino) {
        return;
    }
    if (stream->kind == KIND_OWN) {
        (void)close(stream->file);
    }
    stream->is_known = true;
    stream->device = about.st_dev;
    stream->inode = about.st_ino;
    stream->kind = KIND_PLAIN;
    stream->file = stream->number;
    if (S_ISSOCK(about.st_mode)) {
        stream->kind = KIND_SOCKET;
    } else if (S_ISFIFO(about.st_mode) || (S_ISCHR(about.st_mode) && isatty(stream->number) != 0)) {
        int file = open_again(stream);
        stream->kind = file >= 0 ? KIND_OWN : KIND_PIPE;
        stream->file = file >= 0 ? file : stream->number;
    }
}

/* -- Writing ----------------------------------------------------------------------------------- */

/* All of it, however long it takes. */
static enum pd_file_error write_all(int file, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = write(file, bytes, size);
        if (written < 0 && errno == EAGAIN) { /* somebody made it so: wait as if it were not */
            struct pollfd room = {.fd = file, .events = POLLOUT};
            (void)poll(&room, 1, -1);
            continue;
        }
        if (written < 0 && errno != EINTR) {
            return pd_files_error(errno);
        }
        if (written > 0) {
            bytes += written;
            size -= (size_t)written;
        }
    }
    return PD_FILE_OK;
}

/* One write that does not wait. A pipe that says so has room for PIPE_BUF bytes. */
static ssize_t write_now(const struct stream *stream, const uint8_t *bytes, size_t size)
{
    struct pollfd room = {.fd = stream->file, .events = POLLOUT};
    switch (stream->kind) {
    case KIND_SOCKET:
        return send(stream->file, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    case KIND_PIPE:
        if (poll(&room, 1, 0) != 1) {
            errno = EAGAIN;
            return -1;
        }
        return write(stream->file, bytes, size < PIPE_BUF ? size : PIPE_BUF);
    case KIND_OWN:
    case KIND_PLAIN:
        break;
    }
    return write(stream->file, bytes, size);
}

/* As much as is taken at once; *done_out: so many. */
static enum pd_file_error write_some(const struct stream *stream, const uint8_t *bytes, size_t size,
                                     size_t *done_out)
{
    *done_out = 0;
    while (*done_out < size) {
        ssize_t written = write_now(stream, bytes + *done_out, size - *done_out);
        if (written < 0 && errno == EAGAIN) {
            return PD_FILE_OK;
        }
        if (written < 0 && errno != EINTR) {
            return pd_files_error(errno);
        }
        *done_out += written > 0 ? (size_t)written : 0;
    }
    return PD_FILE_OK;
}

/* -- What waits -------------------------------------------------------------------------------- */

static void drop_first(struct stream *stream)
{
    struct chunk *chunk = stream->first;
    stream->first = chunk->next;
    stream->last = stream->first == NULL ? NULL : stream->last;
    stream->held -= chunk->size;
    pd_free(chunk);
}

static void drop_all(struct stream *stream)
{
    while (stream->first != NULL) {
        drop_first(stream);
    }
}

static void write_held(struct stream *stream)
{
    while (stream->first != NULL) {
        struct chunk *chunk = stream->first;
        size_t done = 0;
        enum pd_file_error error =
            write_some(stream, chunk->bytes + chunk->at, chunk->size - chunk->at, &done);
        chunk->at += done;
        if (error != PD_FILE_OK) { /* for all that follows, too */
            stream->failure = error;
            drop_all(stream);
        } else if (chunk->at < chunk->size) {
            return;
        } else {
            drop_first(stream);
        }
    }
    pthread_cond_broadcast(&stream->is_empty);
}

static void *wait_for_reader(void *argument)
{
    struct stream *stream = argument;
    pthread_mutex_lock(&stream->lock);
    for (;;) {
        while (stream->first == NULL) {
            pthread_cond_wait(&stream->has_some, &stream->lock);
        }
        struct pollfd room = {.fd = stream->file, .events = POLLOUT};
        pthread_mutex_unlock(&stream->lock);
        (void)poll(&room, 1, LOOK_MS);
        pthread_mutex_lock(&stream->lock);
        write_held(stream);
    }
    return NULL;
}

/* It lives as long as the program: it may wait for a reader who never comes. */
static bool has_thread(struct stream *stream)
{
    stream->has_thread =
        stream->has_thread || pd_host_detached("pando-output", wait_for_reader, stream);
    return stream->has_thread;
}

static enum pd_file_error hold(struct stream *stream, const uint8_t *bytes, size_t size)
{
    if (stream->held + size > PD_HOST_OUTPUT_HARD || !has_thread(stream)) {
        return PD_FILE_AGAIN;
    }
    struct chunk *chunk = pd_alloc(sizeof *chunk + size);
    if (chunk == NULL) {
        return PD_FILE_NOMEM;
    }
    *chunk = (struct chunk){.size = size};
    memcpy(chunk->bytes, bytes, size);
    if (stream->last != NULL) {
        stream->last->next = chunk;
    } else {
        stream->first = chunk;
    }
    stream->last = chunk;
    stream->held += size;
    pthread_cond_signal(&stream->has_some);
    return PD_FILE_OK;
}

/* Under the lock, of a stream with a file of ours. */
static enum pd_file_error put(struct stream *stream, const uint8_t *bytes, size_t size)
{
    size_t done = 0;
    enum pd_file_error error = stream->failure;
    stream->failure = PD_FILE_OK;
    if (error == PD_FILE_OK && stream->held == 0) {
        error = write_some(stream, bytes, size, &done);
    }
    return error == PD_FILE_OK && done < size ? hold(stream, bytes + done, size - done) : error;
}

/* Asked before each write of a guest: it costs no system call, and takes no failure from who
 * writes. */
static enum pd_file_error ask(struct stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    bool is_full = stream->held >= PD_HOST_OUTPUT_SOFT;
    pthread_mutex_unlock(&stream->lock);
    return is_full ? PD_FILE_AGAIN : PD_FILE_OK;
}

enum pd_file_error pd_host_output(int number, const uint8_t *bytes, size_t size)
{
    struct stream *stream = stream_of(number);
    if (size == 0) {
        return ask(stream);
    }
    pthread_mutex_lock(&stream->lock);
    if (stream->held == 0) {
        look(stream);
    }
    bool is_plain = stream->kind == KIND_PLAIN;
    enum pd_file_error error = is_plain ? PD_FILE_OK : put(stream, bytes, size);
    pthread_mutex_unlock(&stream->lock);
    return is_plain ? write_all(number, bytes, size) : error;
}

static void await_empty(struct stream *stream, bool may_hurry)
{
    for (int looks = 0; stream->held > 0 && (!may_hurry || looks < HURRY_LOOKS);) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += LOOK_MS * NS_PER_MS;
        until.tv_sec += until.tv_nsec / NS_PER_S;
        until.tv_nsec %= NS_PER_S;
        (void)pthread_cond_timedwait(&stream->is_empty, &stream->lock, &until);
        looks += atomic_load(&hurries) ? 1 : 0;
    }
    drop_all(stream); /* nobody reads it: once is enough */
}

enum pd_file_error pd_host_output_blocking(int number, const uint8_t *bytes, size_t size)
{
    struct stream *stream = stream_of(number);
    pthread_mutex_lock(&stream->lock);
    await_empty(stream, false);
    pthread_mutex_unlock(&stream->lock);
    return write_all(number, bytes, size);
}

void pd_host_output_drain(void)
{
    for (int number = STDOUT_FILENO; number <= STDERR_FILENO; number++) {
        struct stream *stream = stream_of(number);
        pthread_mutex_lock(&stream->lock);
        await_empty(stream, true);
        pthread_mutex_unlock(&stream->lock);
    }
}

void pd_host_output_hurry(void)
{
    atomic_store(&hurries, true);
}
