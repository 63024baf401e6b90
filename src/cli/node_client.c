#include "cli/node_client.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/frame.h"

#define RETRY_MS 50
#define ANSWER_BYTES_MAX (UINT32_C(128) << 20)
#define SESSION_NS UINT64_C(60000000000)

bool pd_node_socket_path(const char *folder, const char *socket, char path[PD_NODE_PATH_MAX])
{
    int size = socket != NULL ? snprintf(path, PD_NODE_PATH_MAX, "%s", socket)
                              : snprintf(path, PD_NODE_PATH_MAX, "%s/pando.sock", folder);
    return size > 0 && (size_t)size < PD_NODE_PATH_MAX;
}

static enum pd_status fail(struct pd_node_client *client, enum pd_status status, const char *format,
                           ...) PD_PRINTF(3, 4);

static enum pd_status fail(struct pd_node_client *client, enum pd_status status, const char *format,
                           ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(client->text, sizeof client->text, format, arguments);
    va_end(arguments);
    return status;
}

static uint64_t now_ms(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

void pd_node_client_init(struct pd_node_client *client, const char *path, uint64_t timeout_ms)
{
    *client = (struct pd_node_client){.descriptor = -1, .timeout_ms = timeout_ms};
    (void)snprintf(client->path, sizeof client->path, "%s", path);
}

void pd_node_client_disconnect(struct pd_node_client *client)
{
    if (client->descriptor >= 0) {
        (void)close(client->descriptor);
        client->descriptor = -1;
    }
}

void pd_node_client_deinit(struct pd_node_client *client)
{
    pd_node_client_disconnect(client);
    pd_free(client->bytes);
    client->bytes = NULL;
}

enum pd_status pd_node_client_connect(struct pd_node_client *client)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    pd_node_client_disconnect(client);
    if (strlen(client->path) >= sizeof address.sun_path) {
        return fail(client, PD_ERR_INVALID, "the path of the socket '%s' is too long",
                    client->path);
    }
    memcpy(address.sun_path, client->path, strlen(client->path) + 1);
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) {
        return fail(client, PD_ERR_IO, "cannot make a socket: %s", strerror(errno));
    }
    if (connect(descriptor, (struct sockaddr *)&address, sizeof address) != 0) {
        int error = errno;
        (void)close(descriptor);
        if (error == ENOENT || error == ECONNREFUSED) {
            return fail(client, PD_ERR_CLOSED,
                        "no node listens on '%s'. Start one with 'pando start', or name its socket "
                        "with --socket, or its folder with --data",
                        client->path);
        }
        return fail(client, PD_ERR_IO, "cannot connect to '%s': %s", client->path, strerror(error));
    }
    client->descriptor = descriptor;
    return PD_OK;
}

static bool give_room(struct pd_node_client *client, size_t size)
{
    if (size > client->capacity) {
        uint8_t *grown = pd_realloc(client->bytes, size);
        if (grown == NULL) {
            return false;
        }
        client->bytes = grown;
        client->capacity = size;
    }
    return true;
}

/* PD_ERR_TIMEOUT. */
static enum pd_status wait_for(struct pd_node_client *client, short events, uint64_t deadline_ms)
{
    for (;;) {
        uint64_t now = now_ms();
        if (now >= deadline_ms) {
            return fail(client, PD_ERR_TIMEOUT, "the node did not answer within %" PRIu64 " ms",
                        client->timeout_ms);
        }
        uint64_t left = deadline_ms - now;
        struct pollfd poll_one = {.fd = client->descriptor, .events = events};
        int result = poll(&poll_one, 1, left > 60000 ? 60000 : (int)left);
        if (result > 0) {
            return PD_OK;
        }
        if (result < 0 && errno != EINTR) {
            return fail(client, PD_ERR_IO, "cannot wait for the node: %s", strerror(errno));
        }
    }
}

static enum pd_status lost(struct pd_node_client *client)
{
    pd_node_client_disconnect(client);
    return fail(client, PD_ERR_CLOSED,
                "the node closed the connection: it may or may not have done what was asked");
}

static enum pd_status send_all(struct pd_node_client *client, const uint8_t *bytes, size_t size,
                               uint64_t deadline_ms)
{
    while (size > 0) {
        ssize_t sent = send(client->descriptor, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) {
            bytes += sent;
            size -= (size_t)sent;
        } else if (errno == EAGAIN) {
            enum pd_status status = wait_for(client, POLLOUT, deadline_ms);
            if (status != PD_OK) {
                return status;
            }
        } else if (errno != EINTR) {
            return lost(client);
        }
    }
    return PD_OK;
}

static enum pd_status receive_all(struct pd_node_client *client, uint8_t *bytes, size_t size,
                                  uint64_t deadline_ms)
{
    while (size > 0) {
        enum pd_status status = wait_for(client, POLLIN, deadline_ms);
        if (status != PD_OK) {
            return status;
        }
        ssize_t got = recv(client->descriptor, bytes, size, MSG_DONTWAIT);
        if (got > 0) {
            bytes += got;
            size -= (size_t)got;
        } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            return lost(client);
        }
    }
    return PD_OK;
}

/* The answer with our correlation: those of calls that were given up are passed over. */
static enum pd_status receive_answer(struct pd_node_client *client, uint64_t deadline_ms,
                                     struct pd_replica_answer_head *answer_out)
{
    for (;;) {
        uint8_t head[PD_FRAME_HEAD_SIZE];
        enum pd_status status = receive_all(client, head, sizeof head, deadline_ms);
        if (status != PD_OK) {
            return status;
        }
        struct pd_frame frame;
        if (pd_frame_take((struct pd_span){head, sizeof head}, ANSWER_BYTES_MAX, &frame) ==
            PD_FRAME_BAD) {
            pd_node_client_disconnect(client);
            return fail(client, PD_ERR_CORRUPT, "what listens on '%s' is not a node of Pando",
                        client->path);
        }
        uint32_t size = frame.body_size;
        if (!give_room(client, size)) {
            return fail(client, PD_ERR_NO_MEMORY, "no memory for an answer of %u bytes", size);
        }
        status = receive_all(client, client->bytes, size, deadline_ms);
        if (status != PD_OK) {
            return status;
        }
        if (frame.correlation != client->correlation) {
            continue;
        }
        status = pd_replica_answer_decode((struct pd_span){client->bytes, size}, answer_out);
        return status == PD_OK
                   ? PD_OK
                   : fail(client, PD_ERR_CORRUPT,
                          "the node's answer cannot be read: is it of another version?");
    }
}

static enum pd_status send_request(struct pd_node_client *client,
                                   const struct pd_replica_request_head *request,
                                   uint64_t correlation, uint64_t deadline_ms)
{
    size_t size = PD_REPLICA_REQUEST_HEAD_SIZE + request->body.size;
    uint8_t head[PD_FRAME_HEAD_SIZE + PD_REPLICA_REQUEST_HEAD_SIZE];
    pd_frame_put_head(head, (uint32_t)size, correlation);
    pd_replica_request_put_head(head + PD_FRAME_HEAD_SIZE, request);
    enum pd_status status = send_all(client, head, sizeof head, deadline_ms);
    return status == PD_OK ? send_all(client, request->body.bytes, request->body.size, deadline_ms)
                           : status;
}

static enum pd_status begin(struct pd_node_client *client,
                            const struct pd_replica_request_head *request, uint64_t deadline_ms)
{
    if (client->descriptor < 0) {
        enum pd_status status = pd_node_client_connect(client);
        if (status != PD_OK) {
            return status;
        }
    }
    client->correlation++;
    return send_request(client, request, client->correlation, deadline_ms);
}

static enum pd_status call_once(struct pd_node_client *client,
                                const struct pd_replica_request_head *request, uint64_t deadline_ms,
                                struct pd_replica_answer_head *answer_out)
{
    enum pd_status status = begin(client, request, deadline_ms);
    return status == PD_OK ? receive_answer(client, deadline_ms, answer_out) : status;
}

enum pd_status pd_node_client_begin(struct pd_node_client *client,
                                    const struct pd_replica_request_head *request)
{
    return begin(client, request, now_ms() + client->timeout_ms);
}

enum pd_status pd_node_client_next(struct pd_node_client *client,
                                   struct pd_replica_answer_head *answer_out)
{
    return receive_answer(client, UINT64_MAX, answer_out);
}

enum pd_status pd_node_client_also(struct pd_node_client *client,
                                   const struct pd_replica_request_head *request)
{
    return send_request(client, request, 0, now_ms() + client->timeout_ms); /* 0: nobody's */
}

/* Whether asking again may help, and is safe: nothing was done, or the session sees to it. */
static bool may_retry(const struct pd_replica_request_head *request, enum pd_status status,
                      const struct pd_replica_answer_head *answer)
{
    bool is_safe = request->session != 0 || request->kind != PD_REPLICA_REQUEST_WRITE;
    if (status != PD_OK) {
        return is_safe && status == PD_ERR_CLOSED;
    }
    switch (answer->outcome) {
    case PD_REPLICA_NOT_READY:
    case PD_REPLICA_BUSY:
    case PD_REPLICA_DROPPED:
        return true;
    case PD_REPLICA_UNKNOWN:
        return is_safe;
    case PD_REPLICA_OK:
    case PD_REPLICA_NOT_LEADER:
    case PD_REPLICA_DISK_LOW:
    case PD_REPLICA_INVALID:
    case PD_REPLICA_CANCELLED:
    case PD_REPLICA_OUTCOME_COUNT:
        break;
    }
    return false;
}

enum pd_status pd_node_client_call(struct pd_node_client *client,
                                   const struct pd_replica_request_head *request,
                                   struct pd_replica_answer_head *answer_out)
{
    uint64_t deadline_ms = now_ms() + client->timeout_ms;
    bool was_connected = client->descriptor >= 0;
    for (;;) {
        enum pd_status status = call_once(client, request, deadline_ms, answer_out);
        was_connected = was_connected || client->descriptor >= 0 || status == PD_OK;
        /* Nobody there at all is told at once; one that was there may come back. */
        if (!was_connected || !may_retry(request, status, answer_out) ||
            now_ms() + RETRY_MS >= deadline_ms) {
            return status;
        }
        (void)poll(NULL, 0, RETRY_MS);
    }
}

/* What a person does about it; "" when the node's own words say it all. */
static const char *remedy(enum pd_replica_outcome outcome)
{
    switch (outcome) {
    case PD_REPLICA_NOT_READY:
        return ". Most of the voters must run and reach each other: look with `pando cluster "
               "status`, or wait longer with --timeout";
    case PD_REPLICA_NOT_LEADER:
        return ". Ask another node: `pando cluster status` tells which one leads";
    case PD_REPLICA_BUSY:
        return ". Try again, or wait longer with --timeout";
    case PD_REPLICA_DISK_LOW:
        return ". Make room there; deleting keys still works";
    case PD_REPLICA_DROPPED:
        return ". Try again";
    case PD_REPLICA_UNKNOWN:
        return ". Look before doing it again";
    case PD_REPLICA_OK:
    case PD_REPLICA_INVALID:
    case PD_REPLICA_CANCELLED:
    case PD_REPLICA_OUTCOME_COUNT:
        break;
    }
    return "";
}

enum pd_status pd_node_client_refused(struct pd_node_client *client,
                                      const struct pd_replica_answer_head *answer)
{
    bool has_text = answer->body.size > 0 && answer->body.size < PD_NODE_TEXT_MAX / 2;
    bool has_waited = answer->outcome == PD_REPLICA_NOT_READY || answer->outcome == PD_REPLICA_BUSY;
    char waited[64] = "";
    client->outcome = answer->outcome;
    if (has_waited) {
        (void)snprintf(waited, sizeof waited, ". Asked for %" PRIu64 " s in vain",
                       client->timeout_ms / 1000);
    }
    return fail(client, PD_ERR_DENIED, "%.*s%s%s",
                has_text ? (int)answer->body.size : (int)PD_NODE_TEXT_MAX,
                has_text ? (const char *)answer->body.bytes
                         : pd_replica_outcome_text(answer->outcome),
                waited, remedy(answer->outcome));
}

static enum pd_status judge(struct pd_node_client *client,
                            const struct pd_replica_answer_head *answer,
                            struct pd_kv_answer_head *head_out, struct pd_kv_reader *reader_out)
{
    client->outcome = answer->outcome;
    if (answer->outcome != PD_REPLICA_OK) {
        return pd_node_client_refused(client, answer);
    }
    pd_kv_reader_init(reader_out, answer->body);
    pd_kv_answer_head(reader_out, head_out);
    if (reader_out->is_bad) {
        return fail(client, PD_ERR_CORRUPT,
                    "the node's answer cannot be read: is it of another version?");
    }
    if (head_out->error != PD_KV_OK) {
        return fail(client, PD_ERR_DENIED, "%s", pd_kv_error_text(head_out->error));
    }
    return PD_OK;
}

enum pd_status pd_node_client_write(struct pd_node_client *client, struct pd_span command,
                                    struct pd_kv_answer_head *head_out,
                                    struct pd_kv_reader *reader_out)
{
    struct pd_replica_request_head request = {.kind = PD_REPLICA_REQUEST_WRITE, .body = command};
    struct pd_replica_answer_head answer = {.outcome = PD_REPLICA_UNKNOWN};
    if (client->session != 0) {
        request.session = client->session;
        request.sequence = ++client->sequence;
        request.low = client->sequence; /* one at a time: all before are answered */
    }
    enum pd_status status = pd_node_client_call(client, &request, &answer);
    return status == PD_OK ? judge(client, &answer, head_out, reader_out) : status;
}

enum pd_status pd_node_client_read(struct pd_node_client *client, struct pd_span command,
                                   bool is_serializable, struct pd_kv_answer_head *head_out,
                                   struct pd_kv_reader *reader_out)
{
    struct pd_replica_request_head request = {
        .kind = PD_REPLICA_REQUEST_READ,
        .flags = is_serializable ? PD_REPLICA_REQUEST_SERIALIZABLE : 0,
        .body = command};
    struct pd_replica_answer_head answer = {.outcome = PD_REPLICA_UNKNOWN};
    enum pd_status status = pd_node_client_call(client, &request, &answer);
    return status == PD_OK ? judge(client, &answer, head_out, reader_out) : status;
}

enum pd_status pd_node_client_open_session(struct pd_node_client *client)
{
    uint8_t room[64];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    struct pd_kv_command command = {.kind = PD_KV_SESSION_OPEN, .duration_ns = SESSION_NS};
    struct pd_kv_answer_head head;
    struct pd_kv_reader reader;
    pd_kv_command_encode(&writer, &command);
    enum pd_status status =
        pd_node_client_write(client, (struct pd_span){room, writer.size}, &head, &reader);
    if (status == PD_OK) {
        client->session = (uint64_t)pd_kv_answer_number(&reader);
        client->sequence = 0;
    }
    return status;
}

void pd_node_client_close_session(struct pd_node_client *client)
{
    uint8_t room[64];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    struct pd_kv_command command = {.kind = PD_KV_SESSION_CLOSE, .id = (int64_t)client->session};
    struct pd_kv_answer_head head;
    struct pd_kv_reader reader;
    if (client->session != 0) {
        client->session = 0;
        pd_kv_command_encode(&writer, &command);
        /* One that stays is closed by its time. */
        enum pd_status status =
            pd_node_client_write(client, (struct pd_span){room, writer.size}, &head, &reader);
        (void)status;
    }
}
