/* http_server - HTTP/1.1 with one process a connection, whose connection outlives it.
 *
 *   pando run --net local http_server.wasm 8080
 *   pando run --net local http_server.wasm 8080 20      kill a worker about every 20 ms
 *
 *   GET /             a greeting
 *   GET /worker       the pid of the worker
 *   POST /echo        the body again
 *
 * Three roles. The listener accepts, and hands each connection to a keeper. The keeper holds on to
 * it, gives a clone to a worker, and when that dies, to a fresh one. The worker peeks until a whole
 * request is there and takes it only when it has the answer: a worker that is killed while it waits
 * has lost nothing, and the client notices nothing. */
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pando/pando.h>

#define REQUEST_MAX 16384u /* what is longer is refused */
#define IDLE_MS 30000u     /* for a request to begin */
#define REQUEST_MS 5000u /* for the rest of it: a slow client holds one process, and not for long */
#define WRITE_MS 5000u
#define PAUSE_MS 5u
#define WORKERS_SHOWN 64u

struct request {
    uint32_t head_size; /* with the empty line */
    uint32_t body_size;
    bool is_last; /* the client asks to close */
};

static char incoming[REQUEST_MAX + 1];
static char outgoing[REQUEST_MAX + 512];

/* --- Requests --------------------------------------------------------------------------------- */

/* The value of a header line, or NULL. `name` in small letters. */
static const char *header(const char *head, const char *name)
{
    size_t size = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
        line += 2;
        size_t at = 0;
        while (at < size && (line[at] | 0x20) == name[at]) {
            at++;
        }
        if (at == size && line[at] == ':') {
            return line + at + 1 + strspn(line + at + 1, " ");
        }
    }
    return NULL;
}

/* 0: more must come; otherwise a status, 200 if `request` is whole. */
static int parse(uint32_t size, struct request *request)
{
    incoming[size] = '\0';
    char *end = strstr(incoming, "\r\n\r\n");
    if (end == NULL) {
        return size == REQUEST_MAX ? 431 : 0;
    }
    request->head_size = (uint32_t)(end - incoming) + 4;
    char kept = incoming[request->head_size];
    incoming[request->head_size] = '\0';
    const char *length = header(incoming, "content-length");
    const char *connection = header(incoming, "connection");
    bool is_chunked = header(incoming, "transfer-encoding") != NULL;
    uint64_t body_size = length == NULL ? 0 : strtoull(length, NULL, 10);
    request->is_last = connection != NULL && strncmp(connection, "close", 5) == 0;
    bool is_http = strstr(incoming, " HTTP/1.") != NULL;
    incoming[request->head_size] = kept;
    if (is_chunked) {
        return 411;
    }
    if (!is_http) {
        return 400;
    }
    if (body_size > REQUEST_MAX - request->head_size) {
        return 413;
    }
    request->body_size = (uint32_t)body_size;
    return size >= request->head_size + request->body_size ? 200 : 0;
}

/* --- Answers ---------------------------------------------------------------------------------- */

static uint32_t answer(int status, const char *words, const char *body, uint32_t body_size,
                       bool is_last)
{
    int size = snprintf(outgoing, sizeof outgoing,
                        "HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %" PRIu32
                        "\r\n%s\r\n",
                        status, words, body_size, is_last ? "Connection: close\r\n" : "");
    memcpy(outgoing + size, body, body_size);
    return (uint32_t)size + body_size;
}

static uint32_t answer_request(const struct request *request)
{
    char text[64];
    if (strncmp(incoming, "GET / ", 6) == 0) {
        return answer(200, "OK", "Hello from an actor\n", 20, request->is_last);
    }
    if (strncmp(incoming, "GET /worker ", 12) == 0) {
        int size = snprintf(text, sizeof text, "%" PRIu64 "\n", pando_self());
        return answer(200, "OK", text, (uint32_t)size, request->is_last);
    }
    if (strncmp(incoming, "POST /echo ", 11) == 0) {
        return answer(200, "OK", incoming + request->head_size, request->body_size,
                      request->is_last);
    }
    return answer(404, "Not Found", "not found\n", 10, request->is_last);
}

/* --- The worker ------------------------------------------------------------------------------- */

/* Peek until a request is there. The status to answer with; 0: the client has gone, or never
 * began. */
static int await_request(uint64_t stream, struct request *request)
{
    uint64_t size = 0;
    uint32_t waited_ms = 0;
    pando_tcp_set_timeouts(stream, IDLE_MS, WRITE_MS);
    for (;;) {
        enum pando_result result = pando_tcp_peek(stream, incoming, REQUEST_MAX, &size);
        if (result == PANDO_ERROR) {
            pando_error_drop(size);
        }
        if (result != PANDO_OK || size == 0) {
            return 0;
        }
        int status = parse((uint32_t)size, request);
        if (status != 0) {
            return status;
        }
        if (waited_ms >= REQUEST_MS) {
            return 408;
        }
        pando_sleep(PAUSE_MS); /* what is there would be seen again at once */
        waited_ms += PAUSE_MS;
    }
}

/* Take what was looked at, and answer. A process may be killed where its turn ends: by yielding it
 * begins a whole one, of which this is a small part, and nothing in it waits, so no kill comes in
 * between. (Only an answer to a client that does not read what it asked for before may wait.) */
static bool take_and_answer(uint64_t stream, uint32_t taken, uint32_t size)
{
    uint64_t error = 0;
    uint64_t count = 0;
    (void)sched_yield();
    if (pando_tcp_read(stream, incoming, taken, &count) == PANDO_OK && count == taken &&
        pando_tcp_write(stream, outgoing, size, &error) == PANDO_OK) {
        return true;
    }
    return false;
}

PANDO_EXPORT("worker") void worker(void);
void worker(void)
{
    if (pando_receive(PANDO_FOREVER) != PANDO_DATA) {
        return;
    }
    uint64_t stream = pando_message_take_stream(0);
    (void)pando_group_join("workers");
    struct request request = {0};
    for (;;) {
        int status = await_request(stream, &request);
        if (status == 0) {
            return;
        }
        if (status != 200) {
            uint64_t error = 0;
            uint32_t size = answer(status, "Refused", "", 0, true);
            (void)pando_tcp_write(stream, outgoing, size, &error);
            return;
        }
        uint32_t size = answer_request(&request);
        if (!take_and_answer(stream, request.head_size + request.body_size, size) ||
            request.is_last) {
            return;
        }
    }
}

/* --- The keeper ------------------------------------------------------------------------------- */

static bool begin_worker(uint64_t stream)
{
    uint64_t pid = 0;
    if (pando_spawn("worker", NULL, 0, &pid) != PANDO_OK) {
        return false;
    }
    (void)pando_monitor(pid);
    pando_message_create(0, 0);
    (void)pando_message_push_stream(pando_tcp_clone(stream));
    pando_send(pid);
    return true;
}

PANDO_EXPORT("keeper") void keeper(void);
void keeper(void)
{
    if (pando_receive(PANDO_FOREVER) != PANDO_DATA) {
        return;
    }
    uint64_t stream = pando_message_take_stream(0);
    bool goes_on = begin_worker(stream);
    while (goes_on && pando_receive(PANDO_FOREVER) == PANDO_DOWN) {
        goes_on = pando_message_reason() == PANDO_REASON_KILLED && begin_worker(stream);
    }
}

/* --- Trouble ---------------------------------------------------------------------------------- */

/* Kills one worker after the other, whichever it finds. */
PANDO_EXPORT("trouble") void trouble(int64_t every_ms);
void trouble(int64_t every_ms)
{
    static uint64_t pids[WORKERS_SHOWN];
    uint32_t number = 1;
    for (;;) {
        pando_sleep((uint64_t)every_ms);
        uint32_t count = pando_group_members("workers", pids, WORKERS_SHOWN);
        number = number * 1103515245u + 12345u;
        if (count > 0) {
            pando_kill(pids[(number >> 16) % (count < WORKERS_SHOWN ? count : WORKERS_SHOWN)]);
        }
    }
}

/* --- The listener ----------------------------------------------------------------------------- */

static int complain(const char *what, uint64_t error)
{
    static char text[1025];
    (void)pando_error_take(error, text, sizeof text);
    fprintf(stderr, "http_server: %s: %s\n", what, text);
    return 1;
}

static void serve(uint64_t listener)
{
    for (;;) {
        uint64_t stream = 0;
        if (pando_tcp_accept(listener, &stream) != PANDO_OK) {
            (void)complain("accept", stream);
            pando_sleep(100); /* descriptors are short: others must end first */
            continue;
        }
        uint64_t pid = 0;
        if (pando_spawn("keeper", NULL, 0, &pid) != PANDO_OK) {
            pando_tcp_close(stream);
            continue;
        }
        pando_message_create(0, 0);
        (void)pando_message_push_stream(stream);
        pando_send(pid);
    }
}

int main(int argument_count, char **arguments)
{
    struct pando_address at =
        pando_address_local(argument_count > 1 ? (uint16_t)strtoul(arguments[1], NULL, 10) : 8080);
    uint64_t listener = 0;
    if (pando_tcp_listen(&at, &listener) != PANDO_OK) {
        return complain("cannot listen", listener);
    }
    uint64_t error = 0;
    if (pando_tcp_local_address(listener, &at, &error) != PANDO_OK) {
        return complain("where?", error);
    }
    printf("listening on 127.0.0.1:%u\n", at.port);
    fflush(stdout);
    if (argument_count > 2) {
        struct pando_param every = pando_i64(strtoll(arguments[2], NULL, 10));
        uint64_t pid = 0;
        (void)pando_spawn("trouble", &every, 1, &pid);
    }
    serve(listener);
    return 0;
}
