#include "node/gateway_peers.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/list.h"
#include "kv/command.h"

struct peer {
    struct pd_server_client client;
    struct pd_gateway_peers *peers;
    struct pd_backend_peer *gateway; /* NULL: it has been closed. The gateway's thread's */
};

/* An answer on its way from the core to the gateway's thread; or, without bytes, the peer's end. */
struct post {
    struct pd_posted link;
    struct peer *peer;
    uint64_t correlation;
    bool is_end;
    size_t size;
    uint8_t bytes[];
};

void pd_gateway_peers_init(struct pd_gateway_peers *peers, struct pd_server *server,
                           uint32_t peers_max, void (*wake)(void *state), void *state)
{
    *peers = (struct pd_gateway_peers){
        .server = server, .peers_max = peers_max, .wake = wake, .state = state};
}

/* -- From the core ----------------------------------------------------------------------------- */

static void post(struct peer *peer, uint64_t correlation, bool is_end, struct pd_span bytes)
{
    struct post *made = pd_alloc(sizeof *made + bytes.size);
    if (made == NULL) {
        pd_fatal("no memory for an answer of %zu bytes: give the node more memory", bytes.size);
    }
    made->peer = peer;
    made->correlation = correlation;
    made->is_end = is_end;
    made->size = bytes.size;
    if (bytes.size > 0) {
        memcpy(made->bytes, bytes.bytes, bytes.size);
    }
    if (bytes.size >= PD_SERVER_ANSWER_LARGE) {
        pd_server_answers_away(peer->peers->server, bytes.size);
    }
    (void)pd_postbox_put(&peer->peers->posts, &made->link);
}

static void on_answer(struct pd_server_client *client, uint64_t correlation, struct pd_span bytes)
{
    post(pd_container_of(client, struct peer, client), correlation, false, bytes);
}

static void on_settled(struct pd_server_client *client)
{
    const struct peer *peer = pd_container_of(client, struct peer, client);
    peer->peers->wake(peer->peers->state);
}

static void on_closed(struct pd_server_client *client)
{
    struct peer *peer = pd_container_of(client, struct peer, client);
    struct pd_gateway_peers *peers = peer->peers;
    post(peer, 0, true, (struct pd_span){NULL, 0});
    peers->wake(peers->state);
}

/* -- The gateway's thread ---------------------------------------------------------------------- */

enum pd_status pd_gateway_peers_open(struct pd_gateway_peers *peers, struct pd_backend_peer *peer)
{
    if (peers->peer_count >= peers->peers_max) {
        return PD_ERR_FULL;
    }
    struct peer *made = pd_alloc_zeroed(1, sizeof *made);
    if (made == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    made->client.answer = on_answer;
    made->client.settled = on_settled;
    made->client.closed = on_closed;
    made->client.name = "native";
    made->client.is_outside = true;
    made->peers = peers;
    made->gateway = peer;
    enum pd_status status = pd_server_client_open(peers->server, &made->client);
    if (status != PD_OK) {
        pd_free(made);
        return status;
    }
    peer->at = made;
    peers->peer_count++;
    return PD_OK;
}

void pd_gateway_peers_close(struct pd_gateway_peers *peers, struct pd_backend_peer *peer)
{
    struct peer *closed = peer->at;
    closed->gateway = NULL;
    pd_server_client_close(peers->server, &closed->client);
}

static bool may_ask(const struct pd_replica_request_head *head)
{
    switch (head->kind) {
    case PD_REPLICA_REQUEST_WRITE:
        return pd_replica_command_is_clients(head->body);
    case PD_REPLICA_REQUEST_READ:
    case PD_REPLICA_REQUEST_LEASE:
    case PD_REPLICA_REQUEST_LEASES:
    case PD_REPLICA_REQUEST_WATCH:
    case PD_REPLICA_REQUEST_UNWATCH:
    case PD_REPLICA_REQUEST_WATCH_CREDIT:
        return true;
    case PD_REPLICA_REQUEST_ADD_LEARNER:
    case PD_REPLICA_REQUEST_PROMOTE:
    case PD_REPLICA_REQUEST_REMOVE:
    case PD_REPLICA_REQUEST_LEAVE:
    case PD_REPLICA_REQUEST_TRANSFER:
    case PD_REPLICA_REQUEST_STATUS:
    case PD_REPLICA_REQUEST_MEMBERS:
    case PD_REPLICA_REQUEST_ABOUT:
    case PD_REPLICA_REQUEST_SNAPSHOT:
    case PD_REPLICA_REQUEST_SNAPSHOT_END:
    case PD_REPLICA_REQUEST_HEARD:
        break;
    }
    return false;
}

bool pd_gateway_peers_may_ask(struct pd_span request)
{
    struct pd_replica_request_head head;
    return pd_replica_request_decode(request, &head) == PD_OK && may_ask(&head);
}

static void refuse(struct pd_backend_peer *peer, uint64_t correlation,
                   enum pd_replica_outcome outcome, const char *text)
{
    uint8_t bytes[PD_REPLICA_ANSWER_HEAD_SIZE + 128];
    const struct pd_replica_answer_head head = {.outcome = outcome};
    size_t size = strnlen(text, 128);
    pd_replica_answer_put_head(bytes, &head);
    memcpy(bytes + PD_REPLICA_ANSWER_HEAD_SIZE, text, size);
    peer->answered(peer, correlation, (struct pd_span){bytes, PD_REPLICA_ANSWER_HEAD_SIZE + size});
}

/* A read of a key that this thread may look up itself. */
static bool answer_hot(struct pd_gateway_peers *peers, struct pd_backend_peer *peer,
                       uint64_t correlation, const struct pd_replica_request_head *head)
{
    uint8_t room[PD_REPLICA_ANSWER_HEAD_SIZE + PD_SERVER_HOT_ANSWER_MAX];
    struct pd_replica_answer_head answer;
    if (head->kind != PD_REPLICA_REQUEST_READ ||
        !pd_server_answer_hot(peers->server, head->body, room + PD_REPLICA_ANSWER_HEAD_SIZE,
                              PD_SERVER_HOT_ANSWER_MAX, &answer)) {
        return false;
    }
    pd_replica_answer_put_head(room, &answer);
    peer->answered(peer, correlation,
                   (struct pd_span){room, PD_REPLICA_ANSWER_HEAD_SIZE + answer.body.size});
    return true;
}

void pd_gateway_peers_submit(struct pd_gateway_peers *peers, struct pd_backend_peer *peer,
                             uint64_t correlation, struct pd_span bytes)
{
    struct peer *from = peer->at;
    struct pd_replica_request_head head;
    if (pd_replica_request_decode(bytes, &head) != PD_OK || !may_ask(&head)) {
        refuse(peer, correlation, PD_REPLICA_INVALID,
               "this cannot be asked at a client port: ask at the node's own socket");
        return;
    }
    if (answer_hot(peers, peer, correlation, &head)) {
        return;
    }
    enum pd_status status =
        pd_server_submit_quietly(peers->server, &from->client, correlation, bytes);
    if (status == PD_ERR_CLOSED) {
        refuse(peer, correlation, PD_REPLICA_NOT_READY, "the node is stopping");
    } else if (status != PD_OK) {
        refuse(peer, correlation, PD_REPLICA_BUSY, "too many requests wait for the node");
    }
}

void pd_gateway_peers_drain(struct pd_gateway_peers *peers)
{
    struct pd_posted *link = pd_postbox_take(&peers->posts);
    while (link != NULL) {
        struct post *taken = pd_container_of(link, struct post, link);
        struct peer *peer = taken->peer;
        link = link->next;
        if (taken->is_end) {
            pd_assert(peer->gateway == NULL && peers->peer_count > 0);
            peers->peer_count--;
            pd_free(peer);
        } else if (peer->gateway != NULL) {
            peer->gateway->answered(peer->gateway, taken->correlation,
                                    (struct pd_span){taken->bytes, taken->size});
        }
        size_t size = taken->size;
        pd_free(taken);
        if (size >= PD_SERVER_ANSWER_LARGE) {
            pd_server_answers_back(peers->server, size);
        }
    }
}

void pd_gateway_peers_deinit(struct pd_gateway_peers *peers)
{
    pd_gateway_peers_drain(peers); /* every one is closed: nobody is answered */
    pd_assert(peers->peer_count == 0);
}
