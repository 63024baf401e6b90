#include "node/server_socket.h"

#include <signal.h>
#include <string.h>

#include "base/alloc.h"
#include "base/list.h"
#include "host/output.h"

#define MIB (UINT64_C(1) << 20)

struct pd_server_socket {
    struct pd_server *server;
    uint64_t grace_ms;
    void (*stopping)(void *state);
    void *state;
    bool is_stopping;
    struct pd_frames *frames;
};

struct peer {
    struct pd_server_client client;
    struct pd_frames_connection *connection;
};

struct pd_server_socket_config pd_server_socket_config_default(void)
{
    return (struct pd_server_socket_config){
        .connections_max = 1024,
        .frame_bytes_max = (uint32_t)(9 * MIB), /* a whole request, and its head */
        .output_bytes_soft = 4 * MIB,
        .output_bytes_max = 256 * MIB,
    };
}

static void send_refusal(struct pd_frames_connection *connection, uint64_t correlation,
                         enum pd_replica_outcome outcome, const char *text)
{
    uint8_t bytes[PD_REPLICA_ANSWER_HEAD_SIZE + PD_FRAMES_TEXT_MAX];
    struct pd_replica_answer_head head = {.outcome = outcome};
    size_t size = strnlen(text, PD_FRAMES_TEXT_MAX);
    pd_replica_answer_put_head(bytes, &head);
    memcpy(bytes + PD_REPLICA_ANSWER_HEAD_SIZE, text, size);
    pd_frames_send(connection, correlation,
                   (struct pd_span){bytes, PD_REPLICA_ANSWER_HEAD_SIZE + size});
}

static void on_answer(struct pd_server_client *client, uint64_t correlation, struct pd_span bytes)
{
    struct peer *peer = pd_container_of(client, struct peer, client);
    pd_frames_send(peer->connection, correlation, bytes);
}

static void on_client_closed(struct pd_server_client *client)
{
    struct peer *peer = pd_container_of(client, struct peer, client);
    pd_frames_release(peer->connection);
    pd_free(peer);
}

static bool on_opened(void *state, struct pd_frames_connection *connection)
{
    struct pd_server_socket *socket = state;
    struct peer *peer = pd_alloc_zeroed(1, sizeof *peer);
    if (peer == NULL) {
        return false;
    }
    peer->client.answer = on_answer;
    peer->client.closed = on_client_closed;
    peer->client.name = "socket";
    peer->connection = connection;
    if (pd_server_client_open(socket->server, &peer->client) != PD_OK) {
        pd_free(peer);
        return false;
    }
    pd_frames_set_context(connection, peer);
    return true;
}

static void on_frame(void *state, struct pd_frames_connection *connection, uint64_t correlation,
                     struct pd_span bytes)
{
    struct pd_server_socket *socket = state;
    struct peer *peer = pd_frames_context(connection);
    enum pd_status status = pd_server_submit(socket->server, &peer->client, correlation, bytes);
    if (status == PD_ERR_CLOSED) {
        send_refusal(connection, correlation, PD_REPLICA_NOT_READY, "the node is stopping");
    } else if (status != PD_OK) {
        send_refusal(connection, correlation, PD_REPLICA_BUSY,
                     "too many requests wait for the node");
    }
}

static void on_bad(void *state, struct pd_frames_connection *connection, uint64_t correlation,
                   const char *text)
{
    (void)state;
    send_refusal(connection, correlation, PD_REPLICA_INVALID, text);
}

static void on_closed(void *state, struct pd_frames_connection *connection)
{
    struct pd_server_socket *socket = state;
    struct peer *peer = pd_frames_context(connection);
    pd_server_client_close(socket->server, &peer->client);
}

static void on_signal(void *state, int number)
{
    struct pd_server_socket *socket = state;
    bool waits = number != SIGINT && socket->grace_ms > 0 && !socket->is_stopping;
    pd_host_output_hurry(); /* it shall not wait for who reads what it says */
    socket->is_stopping = true;
    if (waits) {
        socket->stopping(socket->state);
        pd_frames_stop_later(socket->frames, socket->grace_ms);
    } else {
        pd_frames_stop(socket->frames);
    }
}

enum pd_status pd_server_socket_open(const struct pd_server_socket_config *config,
                                     char text[PD_FRAMES_TEXT_MAX],
                                     struct pd_server_socket **socket_out)
{
    text[0] = '\0';
    struct pd_server_socket *socket = pd_alloc_zeroed(1, sizeof *socket);
    if (socket == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    socket->server = config->server;
    socket->grace_ms = config->grace_ms;
    socket->stopping = config->stopping;
    socket->state = config->state;
    struct pd_frames_config frames = {.path = config->path,
                                      .connections_max = config->connections_max,
                                      .frame_bytes_max = config->frame_bytes_max,
                                      .output_bytes_soft = config->output_bytes_soft,
                                      .output_bytes_max = config->output_bytes_max,
                                      .opened = on_opened,
                                      .frame = on_frame,
                                      .bad = on_bad,
                                      .closed = on_closed,
                                      .signal = config->stops_by_signal ? on_signal : NULL,
                                      .state = socket};
    enum pd_status status = pd_frames_open(&frames, text, &socket->frames);
    if (status != PD_OK) {
        pd_free(socket);
        return status;
    }
    *socket_out = socket;
    return PD_OK;
}

void pd_server_socket_run(struct pd_server_socket *socket)
{
    pd_frames_run(socket->frames);
}

void pd_server_socket_stop(struct pd_server_socket *socket)
{
    pd_frames_stop(socket->frames);
}

void pd_server_socket_close(struct pd_server_socket *socket)
{
    if (socket != NULL) {
        pd_frames_close(socket->frames);
        pd_free(socket);
    }
}

void pd_server_socket_counters(const struct pd_server_socket *socket,
                               struct pd_frames_counters *counters_out)
{
    pd_frames_counters(socket->frames, counters_out);
}
