/* server_peers_join - new nodes ask to be taken into the cluster: a service of net.h, for whoever
 * shows a ticket (members_ticket.h).
 *
 * Model      A joining node dials a member by the key that its ticket names, and so knows whom it
 *            speaks to; its own key is proven by the handshake. It sends the ticket and what the
 *            directory is to say of it. The member looks whether the ticket's signer is a member
 *            and the time not over, puts the node into the directory, adds it as a learner (a
 *            worker is not), and answers with the members. Asking again goes on with what is left.
 * Names      A node with the name of a member is refused, unless it speaks from that member's
 *            address: then that one is removed first.
 * Bounds     One at a time; others are asked to come again.
 * Threads    open and close: the server's owner. The rest: the net's and the core's. */
#ifndef PD_NODE_SERVER_PEERS_JOIN_H
#define PD_NODE_SERVER_PEERS_JOIN_H

#include "base/host.h"
#include "kv/answer.h"
#include "kv/member.h"
#include "net/net.h"
#include "node/members_ticket.h"
#include "node/server.h"

struct pd_names;

#define PD_JOIN_SERVICE "pando-join/1"
/* Why a request is refused whose form is not known: every version says so in these words. */
#define PD_JOIN_UNKNOWN_TEXT "not a request that this version knows"
#define PD_JOIN_REQUEST_MAX (PD_TICKET_TEXT_MAX + PD_KV_MEMBER_BYTES_MAX + 64u)

struct pd_join;

/* The service's handler, for pd_net_open; before the server it serves is known, everybody is asked
 * to come again. PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_join_create(struct pd_host *host, struct pd_join **join_out);
struct pd_net_handler pd_join_handler(struct pd_join *join);
/* The net has been closed. */
void pd_join_destroy(struct pd_join *join);

/* The net that was opened with its handler. names: the members' addresses, if they are names; may
 * be NULL. It outlives the net. */
void pd_join_attach(struct pd_join *join, struct pd_net *net, struct pd_names *names);
/* From now on it serves. PD_ERR_FULL: the server takes no more clients. */
PD_NODISCARD enum pd_status pd_join_open(struct pd_join *join, struct pd_server *server);
/* Before the server is closed. */
void pd_join_close(struct pd_join *join);

/* -- What is asked and answered ---------------------------------------------------------------- */

enum pd_join_outcome {
    PD_JOIN_TAKEN = 0, /* text: empty, or whose place it takes */
    PD_JOIN_AGAIN,     /* soon */
    PD_JOIN_REFUSED    /* for good; text says why */
};
/* member: its key is not sent, the handshake tells it. limit: how far the new node's program can
 * follow the cluster's version; PD_KV_VERSION_FIRST asks as programs of that version do, whose
 * members refuse what is asked in any other way. */
void pd_join_put_request(struct pd_kv_writer *writer, const char *ticket,
                         const struct pd_kv_member *member, uint32_t limit);
struct pd_join_answer {
    enum pd_join_outcome outcome;
    struct pd_span text;
    struct pd_kv_reader members; /* TAKEN: pd_members_next reads on from here */
};
/* What time it is there: anybody may ask, without a ticket, also before the member serves. A
 * program that does not know the question answers as to a request that it does not know. */
void pd_join_put_clock_question(struct pd_kv_writer *writer);
/* *wall_ns_out: since 1970. PD_ERR_CORRUPT: it is not told. */
PD_NODISCARD enum pd_status pd_join_read_clock(struct pd_span bytes, uint64_t *wall_ns_out);
/* PD_ERR_CORRUPT: not an answer. Spans point into `bytes`. */
PD_NODISCARD enum pd_status pd_join_read_answer(struct pd_span bytes,
                                                struct pd_join_answer *answer_out);

#endif
