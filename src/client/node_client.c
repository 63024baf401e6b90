#include "client/node_client.h"

#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/frame.h"

#define RETRY_MS 50
#define ANSWER_BYTES_MAX (UINT32_C(128) << 20)
#define SESSION_NS UINT64_C(60000000000)
#define CONNECT_MS UINT64_C(3000) /* to one endpoint, when there are others */
#define INPUT_BYTES ((size_t)16 << 10)
#define NOBODY 0u /* the correlation of what has no answer of its own, but a refusal */

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

/* -- Connecting -------------------------------------------------------------------------------- */

void pd_node_client_init_endpoints(struct pd_node_client *client, const char *const *endpoints,
                                   size_t endpoint_count, const struct pd_link_config *link_config,
                                   uint64_t timeout_ms)
{
    *client = (struct pd_node_client){.endpoints = endpoints,
                                      .endpoint_count = endpoint_count,
                                      .link_config = *link_config,
                                      .timeout_ms = timeout_ms};
    pd_link_init(&client->link);
}

void pd_node_client_init(struct pd_node_client *client, const char *path, uint64_t timeout_ms)
{
    pd_node_client_init_endpoints(client, NULL, 1, &(struct pd_link_config){.ca_file = NULL},
                                  timeout_ms);
    (void)snprintf(client->path, sizeof client->path, "unix:%s", path);
    client->only = client->path;
    client->endpoints = &client->only;
}

bool pd_node_client_is_connected(const struct pd_node_client *client)
{
    return client->link.descriptor >= 0;
}

void pd_node_client_disconnect(struct pd_node_client *client)
{
    pd_link_close(&client->link);
    client->input_size = 0;
    client->input_at = 0;
}

void pd_node_client_go_on(struct pd_node_client *client)
{
    pd_node_client_disconnect(client);
    client->endpoint = (client->endpoint + 1) % client->endpoint_count;
}

void pd_node_client_deinit(struct pd_node_client *client)
{
    pd_node_client_disconnect(client);
    pd_free(client->input);
    client->input = NULL;
}

/* What the link says of itself. */
static enum pd_status fail_link(struct pd_node_client *client, enum pd_status status)
{
    return fail(client, status, "%s", client->link.text);
}

/* To the first endpoint that takes us, from the present one on. */
static enum pd_status connect_any(struct pd_node_client *client, uint64_t deadline_ms)
{
    enum pd_status status = PD_ERR_CLOSED;
    for (size_t i = 0; i < client->endpoint_count; i++) {
        /* Each has its share of what time is left: one that is silent leaves some for the
         * others. */
        uint64_t now = pd_link_now_ms();
        uint64_t left = deadline_ms > now ? deadline_ms - now : 0;
        uint64_t share = left / (client->endpoint_count - i);
        uint64_t until_ms = client->endpoint_count == 1
                                ? deadline_ms
                                : now + (share < CONNECT_MS ? share : CONNECT_MS);
        pd_node_client_disconnect(client);
        status = pd_link_open(&client->link, client->endpoints[client->endpoint],
                              &client->link_config, until_ms);
        if (status == PD_OK) {
            return PD_OK;
        }
        (void)fail_link(client, status);
        client->endpoint = (client->endpoint + 1) % client->endpoint_count;
    }
    return status;
}

/* -- Frames ------------------------------------------------------------------------------------ */

/* Half a frame is worth nothing: the connection ends with it. */
static enum pd_status send_bytes(struct pd_node_client *client, struct pd_span bytes,
                                 uint64_t deadline_ms)
{
    enum pd_status status = pd_link_send(&client->link, bytes.bytes, bytes.size, deadline_ms);
    if (status != PD_OK) {
        pd_node_client_disconnect(client);
        return fail_link(client, status);
    }
    return PD_OK;
}

static bool give_room(struct pd_node_client *client, size_t size)
{
    if (size > client->input_capacity) {
        uint8_t *grown = pd_realloc(client->input, size);
        if (grown == NULL) {
            return false;
        }
        client->input = grown;
        client->input_capacity = size;
    }
    return true;
}

static enum pd_status receive_more(struct pd_node_client *client, size_t wanted,
                                   uint64_t deadline_ms)
{
    size_t got = 0;
    if (!give_room(client, wanted < INPUT_BYTES ? INPUT_BYTES : wanted)) {
        pd_node_client_disconnect(client);
        return fail(client, PD_ERR_NO_MEMORY, "no memory for an answer of %zu bytes", wanted);
    }
    enum pd_status status =
        pd_link_receive(&client->link, client->input + client->input_size,
                        client->input_capacity - client->input_size, deadline_ms, &got);
    client->input_size += got;
    if (status != PD_OK && status != PD_ERR_TIMEOUT) {
        pd_node_client_disconnect(client);
    }
    return status == PD_OK ? PD_OK : fail_link(client, status);
}

/* A port with TLS answers in its own words, too. */
static enum pd_status fail_stranger(struct pd_node_client *client)
{
    const char *endpoint = client->endpoints[client->endpoint];
    bool is_tcp = strncmp(endpoint, "tcp:", 4) == 0;
    return fail(client, PD_ERR_CORRUPT, "what listens on '%s' is not a node of Pando%s%s", endpoint,
                is_tcp ? ". If it speaks TLS, say tls:" : "", is_tcp ? endpoint + 4 : "");
}

/* The next whole frame. What has come of it before a PD_ERR_TIMEOUT is kept. */
static enum pd_status receive_frame(struct pd_node_client *client, uint64_t deadline_ms,
                                    struct pd_frame *frame_out)
{
    for (;;) {
        struct pd_span there = {client->input, client->input_size};
        if (client->input_at > 0) {
            there.bytes += client->input_at;
            there.size -= client->input_at;
        }
        enum pd_frame_state state = pd_frame_take(there, ANSWER_BYTES_MAX, frame_out);
        if (state == PD_FRAME_WHOLE) {
            client->input_at += PD_FRAME_HEAD_SIZE + frame_out->body_size;
            return PD_OK;
        }
        if (state == PD_FRAME_BAD) {
            pd_node_client_disconnect(client);
            return fail_stranger(client);
        }
        if (client->input_at > 0) {
            client->input_size -= client->input_at;
            memmove(client->input, client->input + client->input_at, client->input_size);
            client->input_at = 0;
        }
        enum pd_status status =
            receive_more(client, PD_FRAME_HEAD_SIZE + (size_t)frame_out->body_size, deadline_ms);
        if (status != PD_OK) {
            return status;
        }
    }
}

/* The answer with our correlation: those of calls that were given up are passed over. */
static enum pd_status receive_answer(struct pd_node_client *client, uint64_t deadline_ms,
                                     struct pd_replica_answer_head *answer_out)
{
    struct pd_frame frame = {.correlation = 0};
    do {
        enum pd_status status = receive_frame(client, deadline_ms, &frame);
        if (status != PD_OK) {
            return status;
        }
    } while (frame.correlation != client->correlation && frame.correlation != NOBODY);
    if (frame.correlation == NOBODY) {
        /* Credit that was not taken: the watch would stand still, and is better made anew. */
        pd_node_client_disconnect(client);
        return fail(client, PD_ERR_CLOSED, "the node is too busy to hear this client");
    }
    enum pd_status status = pd_replica_answer_decode(frame.body, answer_out);
    if (status != PD_OK) {
        pd_node_client_disconnect(client);
        return fail(client, PD_ERR_CORRUPT,
                    "the node's answer cannot be read: is it of another version?");
    }
    return PD_OK;
}

static enum pd_status send_request(struct pd_node_client *client,
                                   const struct pd_replica_request_head *request,
                                   uint64_t correlation, uint64_t deadline_ms)
{
    size_t size = PD_REPLICA_REQUEST_HEAD_SIZE + request->body.size;
    uint8_t head[PD_FRAME_HEAD_SIZE + PD_REPLICA_REQUEST_HEAD_SIZE];
    pd_frame_put_head(head, (uint32_t)size, correlation);
    pd_replica_request_put_head(head + PD_FRAME_HEAD_SIZE, request);
    enum pd_status status = send_bytes(client, (struct pd_span){head, sizeof head}, deadline_ms);
    return status == PD_OK ? send_bytes(client, request->body, deadline_ms) : status;
}

static enum pd_status begin(struct pd_node_client *client,
                            const struct pd_replica_request_head *request, uint64_t deadline_ms)
{
    if (!pd_node_client_is_connected(client)) {
        enum pd_status status = connect_any(client, deadline_ms);
        if (status != PD_OK) {
            return status;
        }
    }
    client->correlation++;
    return send_request(client, request, client->correlation, deadline_ms);
}

enum pd_status pd_node_client_begin(struct pd_node_client *client,
                                    const struct pd_replica_request_head *request)
{
    return begin(client, request, pd_link_now_ms() + client->timeout_ms);
}

enum pd_status pd_node_client_next(struct pd_node_client *client, uint64_t deadline_ms,
                                   struct pd_replica_answer_head *answer_out)
{
    if (!pd_node_client_is_connected(client)) {
        return fail(client, PD_ERR_CLOSED, "there is no connection");
    }
    return receive_answer(client, deadline_ms, answer_out);
}

enum pd_status pd_node_client_also(struct pd_node_client *client,
                                   const struct pd_replica_request_head *request)
{
    return send_request(client, request, NOBODY, pd_link_now_ms() + client->timeout_ms);
}

/* -- Calls ------------------------------------------------------------------------------------- */

/* A certificate's refusal may come while we write; what it was is told by reading. */
static enum pd_status call_once(struct pd_node_client *client,
                                const struct pd_replica_request_head *request, uint64_t deadline_ms,
                                struct pd_replica_answer_head *answer_out)
{
    enum pd_status status = begin(client, request, deadline_ms);
    if (status == PD_OK) {
        status = receive_answer(client, deadline_ms, answer_out);
    }
    if (status == PD_ERR_TIMEOUT) {
        return fail(client, status, "the node did not answer within %" PRIu64 " ms",
                    client->timeout_ms);
    }
    return status;
}

/* Whether asking again may help, and is safe: nothing was done, or the session sees to it. */
static bool may_retry(const struct pd_node_client *client,
                      const struct pd_replica_request_head *request, enum pd_status status,
                      const struct pd_replica_answer_head *answer)
{
    bool is_safe =
        request->session != 0 || request->kind != PD_REPLICA_REQUEST_WRITE || client->is_harmless;
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
    case PD_REPLICA_NOT_LEADER:
        return client->endpoint_count > 1;
    case PD_REPLICA_OK:
    case PD_REPLICA_DISK_LOW:
    case PD_REPLICA_INVALID:
    case PD_REPLICA_CANCELLED:
    case PD_REPLICA_OUTCOME_COUNT:
        break;
    }
    return false;
}

/* One that has no leader may be cut off from the others, whom we may reach. */
static bool is_better_elsewhere(const struct pd_node_client *client, enum pd_status status,
                                const struct pd_replica_answer_head *answer)
{
    return client->endpoint_count > 1 && status == PD_OK &&
           (answer->outcome == PD_REPLICA_NOT_LEADER || answer->outcome == PD_REPLICA_NOT_READY);
}

enum pd_status pd_node_client_call(struct pd_node_client *client,
                                   const struct pd_replica_request_head *request,
                                   struct pd_replica_answer_head *answer_out)
{
    uint64_t deadline_ms = pd_link_now_ms() + client->timeout_ms;
    bool was_connected = pd_node_client_is_connected(client);
    client->was_sent = false;
    client->is_uncertain = false;
    client->outcome = PD_REPLICA_OUTCOME_COUNT; /* not told */
    for (;;) {
        uint64_t correlation = client->correlation;
        enum pd_status status = call_once(client, request, deadline_ms, answer_out);
        bool is_sent = client->correlation != correlation;
        /* Nobody there at all is told at once; one that was there may come back. */
        was_connected = was_connected || is_sent;
        client->was_sent = client->was_sent || is_sent;
        client->is_uncertain = client->is_uncertain || (is_sent && status != PD_OK) ||
                               (status == PD_OK && answer_out->outcome == PD_REPLICA_UNKNOWN);
        if (!was_connected || client->is_hasty || !may_retry(client, request, status, answer_out) ||
            pd_link_now_ms() + RETRY_MS >= deadline_ms) {
            if (status == PD_ERR_TIMEOUT && client->endpoint_count > 1) {
                pd_node_client_go_on(client); /* it may be stopped: the next call asks another */
            }
            return status;
        }
        if (is_better_elsewhere(client, status, answer_out)) {
            pd_node_client_go_on(client);
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
               "status`, or allow more time";
    case PD_REPLICA_NOT_LEADER:
        return ". Ask another node: `pando cluster status` tells which one leads";
    case PD_REPLICA_BUSY:
        return ". Try again, or allow more time";
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
        /* As docs/etcd-api.md: etcd's words name no bound. */
        const char *bounds = head_out->error == PD_KV_ERR_TOO_LARGE
                                 ? ": a key has at most 8 KiB, a request 8 MiB"
                                 : "";
        return fail(client, PD_ERR_DENIED, "%s%s", pd_kv_error_text(head_out->error), bounds);
    }
    return PD_OK;
}

enum pd_status pd_node_client_ask(struct pd_node_client *client,
                                  const struct pd_replica_request_head *request,
                                  struct pd_kv_answer_head *head_out,
                                  struct pd_kv_reader *reader_out)
{
    struct pd_replica_answer_head answer = {.outcome = PD_REPLICA_UNKNOWN};
    enum pd_status status = pd_node_client_call(client, request, &answer);
    return status == PD_OK ? judge(client, &answer, head_out, reader_out) : status;
}

enum pd_status pd_node_client_write(struct pd_node_client *client, struct pd_span command,
                                    struct pd_kv_answer_head *head_out,
                                    struct pd_kv_reader *reader_out)
{
    struct pd_replica_request_head request = {.kind = PD_REPLICA_REQUEST_WRITE, .body = command};
    if (client->session != 0) {
        request.session = client->session;
        request.sequence = ++client->sequence;
        request.low = client->sequence; /* one at a time: all before are answered, or given up */
    }
    return pd_node_client_ask(client, &request, head_out, reader_out);
}

enum pd_status pd_node_client_write_harmless(struct pd_node_client *client, struct pd_span command,
                                             struct pd_kv_answer_head *head_out,
                                             struct pd_kv_reader *reader_out)
{
    struct pd_replica_request_head request = {.kind = PD_REPLICA_REQUEST_WRITE, .body = command};
    client->is_harmless = true;
    enum pd_status status = pd_node_client_ask(client, &request, head_out, reader_out);
    client->is_harmless = false;
    return status;
}

enum pd_status pd_node_client_read(struct pd_node_client *client, struct pd_span command,
                                   bool is_serializable, struct pd_kv_answer_head *head_out,
                                   struct pd_kv_reader *reader_out)
{
    struct pd_replica_request_head request = {
        .kind = PD_REPLICA_REQUEST_READ,
        .flags = is_serializable ? PD_REPLICA_REQUEST_SERIALIZABLE : 0,
        .body = command};
    return pd_node_client_ask(client, &request, head_out, reader_out);
}

enum pd_status pd_node_client_open_session(struct pd_node_client *client)
{
    uint8_t room[64];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    struct pd_kv_command command = {.kind = PD_KV_SESSION_OPEN, .duration_ns = SESSION_NS};
    struct pd_kv_answer_head head = {.error = PD_KV_OK};
    struct pd_kv_reader reader;
    pd_kv_command_encode(&writer, &command);
    client->session = 0;
    /* One too many ends by its time. */
    enum pd_status status =
        pd_node_client_write_harmless(client, (struct pd_span){room, writer.size}, &head, &reader);
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
    struct pd_kv_answer_head head = {.error = PD_KV_OK};
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
