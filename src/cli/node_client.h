/* node_client - a blocking client of a node's socket (node/server_socket.h), for commands.
 *
 * Model      One request at a time. open_session gives the client a session: a write whose
 *            connection breaks is sent again over a new one, and applies once.
 * Ownership  An answer's bytes are the client's until its next call. */
#ifndef PD_CLI_NODE_CLIENT_H
#define PD_CLI_NODE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kv/answer.h"
#include "node/replica_request.h"

#define PD_NODE_FOLDER "pando-data"
#define PD_NODE_PATH_MAX 4096u
#define PD_NODE_TEXT_MAX 512u

/* DIR/pando.sock, or `socket` when it is given. False: too long. */
bool pd_node_socket_path(const char *folder, const char *socket, char path[PD_NODE_PATH_MAX]);

struct pd_node_client {
    char path[PD_NODE_PATH_MAX];
    int descriptor; /* -1: not connected */
    uint64_t correlation;
    uint64_t session;
    uint64_t sequence;
    uint64_t timeout_ms;
    enum pd_replica_outcome outcome; /* of the last answer */
    uint8_t *bytes;                  /* of the last frame, or the request */
    size_t capacity;
    char text[PD_NODE_TEXT_MAX]; /* of the last failure, for a person */
};

void pd_node_client_init(struct pd_node_client *client, const char *path, uint64_t timeout_ms);
void pd_node_client_deinit(struct pd_node_client *client);

/* PD_OK; PD_ERR_CLOSED: nobody listens; PD_ERR_TIMEOUT; PD_ERR_IO; PD_ERR_CORRUPT: it does not
 * speak this protocol; PD_ERR_NO_MEMORY. client->text says what a person wants to know. */
PD_NODISCARD enum pd_status pd_node_client_connect(struct pd_node_client *client);
/* Send and wait for the answer. In a session a write is repeated until it is answered or the time
 * runs out, also when the node is busy, or not ready yet. */
PD_NODISCARD enum pd_status pd_node_client_call(struct pd_node_client *client,
                                                const struct pd_replica_request_head *request,
                                                struct pd_replica_answer_head *answer_out);
/* Of an answer that is not OK: client->text says why, and what to do. PD_ERR_DENIED. */
enum pd_status pd_node_client_refused(struct pd_node_client *client,
                                      const struct pd_replica_answer_head *answer);
PD_NODISCARD enum pd_status pd_node_client_open_session(struct pd_node_client *client);
void pd_node_client_close_session(struct pd_node_client *client);
/* For requests with many answers. begin: send one over a fresh connection, if there is none,
 * without waiting. next: the next answer of the last one that was begun, whenever it comes. also:
 * send what has no answer of its own. Statuses as of connect. */
PD_NODISCARD enum pd_status pd_node_client_begin(struct pd_node_client *client,
                                                 const struct pd_replica_request_head *request);
PD_NODISCARD enum pd_status pd_node_client_next(struct pd_node_client *client,
                                                struct pd_replica_answer_head *answer_out);
PD_NODISCARD enum pd_status pd_node_client_also(struct pd_node_client *client,
                                                const struct pd_replica_request_head *request);
/* Let the connection go; the next request makes another. */
void pd_node_client_disconnect(struct pd_node_client *client);

/* A write of `command` in the session, if there is one; the answer's head is taken, *reader_out
 * stands behind it. client->text: why not, in any words of node or store. PD_ERR_DENIED:
 * refused. */
PD_NODISCARD enum pd_status pd_node_client_write(struct pd_node_client *client,
                                                 struct pd_span command,
                                                 struct pd_kv_answer_head *head_out,
                                                 struct pd_kv_reader *reader_out);
PD_NODISCARD enum pd_status pd_node_client_read(struct pd_node_client *client,
                                                struct pd_span command, bool is_serializable,
                                                struct pd_kv_answer_head *head_out,
                                                struct pd_kv_reader *reader_out);

#endif
