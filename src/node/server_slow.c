/* Requests that took too long: whose they were, how many, and what is told of them. */
#include "node/server_internal.h"

#define SECOND_NS UINT64_C(1000000000)

/* So many a second: a node that is slow is not to be made slower by its log. */
static bool may_be_told(struct pd_server *server)
{
    uint64_t second = server->now_ns / SECOND_NS;
    if (second != server->slow_second) {
        server->slow_second = second;
        server->slow_lines = 0;
    }
    return server->slow_lines < PD_SERVER_SLOW_LINES;
}

static void tell(struct pd_server *server, const struct pd_server_slow *slow)
{
    pd_server_count(&server->counters.slow, 1);
    if (server->config.slow != NULL && may_be_told(server)) {
        server->slow_lines++;
        if (server->config.slow(server->config.state, slow)) {
            return;
        }
    }
    pd_server_count(&server->counters.slow_untold, 1);
}

/* NULL: nobody is told of it. */
static const char *name_of(const struct pd_server *server, uint64_t client_id)
{
    const struct pd_server_place *place = &server->places[(uint32_t)client_id];
    if (client_id == 0 || place->id != client_id) {
        return NULL;
    }
    return place->client->name == NULL ? "node" : place->client->name;
}

void pd_server_slow_told(struct pd_server *server, const struct pd_replica_output *output)
{
    struct pd_server_slow slow = {.request = output->slow};
    if (output->client == PD_FORWARD_CLIENT_SERVED) {
        slow.from = "peer";
        slow.node = server->peers.forwards.served[output->correlation].node;
    } else if (output->client == PD_FORWARD_CLIENT_SELF) {
        slow.from =
            name_of(server, pd_forwards_client(&server->peers.forwards, output->correlation));
    } else {
        slow.from = name_of(server, output->client);
    }
    if (slow.from != NULL) {
        tell(server, &slow);
    }
}

void pd_server_slow_forwarded(struct pd_server *server, const struct pd_forward *forward,
                              struct pd_span answer)
{
    struct pd_replica_answer_head head;
    struct pd_replica_slow request;
    struct pd_replica_timed timed = {.asked_ns = forward->asked_ns,
                                     .begun_ns = forward->begun_ns,
                                     .logged_ns = forward->begun_ns,
                                     .agreed_ns = forward->begun_ns};
    struct pd_server_slow slow = {.request = &request,
                                  .from = name_of(server, forward->client_id),
                                  .is_forwarded = true,
                                  .leader = forward->sent_to};
    /* What this node served itself was told by its replica. */
    if (forward->asked_ns == 0 || slow.from == NULL ||
        server->now_ns - forward->asked_ns < server->config.replica.slow_ns ||
        forward->sent_to == server->identity.node_id ||
        pd_replica_answer_decode(answer, &head) != PD_OK) {
        return;
    }
    pd_replica_timed_request(server->replica, (struct pd_span){forward->bytes, forward->size},
                             &timed);
    pd_replica_timed_end(&timed, server->now_ns, head.outcome, &request);
    slow.forward_ns = request.apply_ns;
    request.apply_ns = 0;
    tell(server, &slow);
}
