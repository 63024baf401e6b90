/* node_client - a blocking client of a node (replica_request.h), under the library's calls and the
 * commands.
 *
 * Model      One request at a time, over one connection to one of several endpoints; when that is
 *            lost, or its node has no leader, the next one is tried. open_session gives the client
 *            a session: a write whose connection breaks is sent again over a new one, and applies
 *            once.
 * Bounds     An answer of 128 MiB.
 * Ownership  An answer's bytes are the client's until its next call. Endpoints and link settings
 *            are borrowed from init to deinit. */
#ifndef PD_CLIENT_NODE_CLIENT_H
#define PD_CLIENT_NODE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/link.h"
#include "kv/answer.h"
#include "node/replica_request.h"

#define PD_NODE_FOLDER "pando-data"
#define PD_NODE_PATH_MAX 4096u
#define PD_NODE_TEXT_MAX 512u

/* DIR/pando.sock, or `socket` when it is given. False: too long. */
bool pd_node_socket_path(const char *folder, const char *socket, char path[PD_NODE_PATH_MAX]);

struct pd_node_client {
    const char *const *endpoints;
    size_t endpoint_count;
    size_t endpoint; /* the one that is used, or tried next */
    const char *only;
    char path[PD_NODE_PATH_MAX]; /* of `only` */
    struct pd_link_config link_config;
    struct pd_link link;
    uint64_t correlation;
    uint64_t session;
    uint64_t sequence;
    uint64_t timeout_ms;
    enum pd_replica_outcome outcome; /* of the last answer */
    bool was_sent;                   /* the last request, to anybody */
    bool is_uncertain; /* of the last request: what was sent before its answer may have happened */
    bool is_harmless;  /* to send a write again without a session */
    bool is_hasty;     /* ask once: nothing is tried again */
    uint8_t *input;    /* frames that have come, whole or in part */
    size_t input_size;
    size_t input_capacity;
    size_t input_at;             /* behind what was given out */
    char text[PD_NODE_TEXT_MAX]; /* of the last failure, for a person */
};

/* Of one endpoint: the socket at `path`. */
void pd_node_client_init(struct pd_node_client *client, const char *path, uint64_t timeout_ms);
/* Of several; there is one at least. */
void pd_node_client_init_endpoints(struct pd_node_client *client, const char *const *endpoints,
                                   size_t endpoint_count, const struct pd_link_config *link_config,
                                   uint64_t timeout_ms);
void pd_node_client_deinit(struct pd_node_client *client);

/* Statuses of what follows: PD_OK; PD_ERR_CLOSED: nobody listens, or the connection was lost;
 * PD_ERR_TIMEOUT; PD_ERR_IO; PD_ERR_CORRUPT: it does not speak this protocol; PD_ERR_NO_MEMORY; and
 * those of pd_link_open. client->text says what a person wants to know. */

bool pd_node_client_is_connected(const struct pd_node_client *client);
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
 * without waiting. next: the next answer of the last one that was begun, until the deadline (of
 * pd_link_now_ms); after PD_ERR_TIMEOUT it may be asked again. also: send what has no answer of its
 * own. */
PD_NODISCARD enum pd_status pd_node_client_begin(struct pd_node_client *client,
                                                 const struct pd_replica_request_head *request);
PD_NODISCARD enum pd_status pd_node_client_next(struct pd_node_client *client, uint64_t deadline_ms,
                                                struct pd_replica_answer_head *answer_out);
PD_NODISCARD enum pd_status pd_node_client_also(struct pd_node_client *client,
                                                const struct pd_replica_request_head *request);
/* Let the connection go; the next request makes another. */
void pd_node_client_disconnect(struct pd_node_client *client);
/* Likewise, to the next endpoint. */
void pd_node_client_go_on(struct pd_node_client *client);

/* A write of `command` in the session, if there is one; the answer's head is taken, *reader_out
 * stands behind it. client->text: why not, in any words of node or store. PD_ERR_DENIED:
 * refused. */
PD_NODISCARD enum pd_status pd_node_client_write(struct pd_node_client *client,
                                                 struct pd_span command,
                                                 struct pd_kv_answer_head *head_out,
                                                 struct pd_kv_reader *reader_out);
/* Likewise of one that may happen twice, without a session. */
PD_NODISCARD enum pd_status pd_node_client_write_harmless(struct pd_node_client *client,
                                                          struct pd_span command,
                                                          struct pd_kv_answer_head *head_out,
                                                          struct pd_kv_reader *reader_out);
/* Likewise of a request whose answer is of kv/answer.h. */
PD_NODISCARD enum pd_status pd_node_client_ask(struct pd_node_client *client,
                                               const struct pd_replica_request_head *request,
                                               struct pd_kv_answer_head *head_out,
                                               struct pd_kv_reader *reader_out);
PD_NODISCARD enum pd_status pd_node_client_read(struct pd_node_client *client,
                                                struct pd_span command, bool is_serializable,
                                                struct pd_kv_answer_head *head_out,
                                                struct pd_kv_reader *reader_out);

#endif
