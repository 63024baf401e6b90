/* store_port - the port of base/kv_port.h, over a *link* that carries requests of
 * replica_request.h to a node and answers back: into the same process (store_link.h), over its
 * socket, later over QUIC.
 *
 *      actor's thread                        any thread of the link
 *      begin: copy, encode
 *      step:  a place, a session ──submit──►  link ──► core
 *      (suspended)                            answer: copied, the place ANSWERED, wake
 *      step:  judge ──► over, or again
 *
 * Model      A *place* is one request under way: FLYING until its answer comes; then its ticket's,
 *            or, if that was released meanwhile (ABANDONED), free again. So an answer for an actor
 *            that is gone goes nowhere. Who finds no place stands in a line, by age.
 *            Writes go through sessions of the port (*lanes*): what is asked again, because its
 *            fate was unknown, happens once. Transactions that only read, and renewals of leases,
 *            do no harm twice and need none. Lanes are opened as they are needed and opened anew
 *            when the node does not know them any more.
 * Again      Nothing was done (BUSY, NOT_READY, DROPPED, not the leader): after retry_ns. Unknown,
 *            or the link was lost: reads, and writes in the same session, when the link is up. At
 *            the deadline a write that was once given to the link is UNKNOWN, any other
 *            UNAVAILABLE.
 * Watches    Hold credit of watch_credit bytes at the node, less what lies in messages. A link that
 *            is lost and comes back goes on where the last whole block ended.
 * Bounds     struct pd_store_port_config. Further calls wait in the line; the bytes of all requests
 *            are bounded, and of answers that nobody has read yet: beyond, nothing is submitted.
 *            Watches are refused beyond watches_max.
 * Locks      `lock` guards line, places' free list and lanes: a few instructions, nothing is called
 *            under it. The link's threads take it only when an actor has died. */
#ifndef PD_NODE_STORE_PORT_H
#define PD_NODE_STORE_PORT_H

#include "base/host.h"
#include "base/kv_port.h"
#include "kv/answer.h"

/* What a link must do. It calls pd_store_port_answer, _lost and _up from one thread at a time. */
struct pd_store_link;
struct pd_store_link_ops {
    /* Any thread; the bytes are copied. PD_OK: one answer follows (a watch: many), or
     * pd_store_port_lost. PD_ERR_FULL, PD_ERR_NO_MEMORY: again soon. PD_ERR_CLOSED: there is no
     * node now; pd_store_port_up follows when there is. */
    enum pd_status (*submit)(struct pd_store_link *link, uint64_t correlation,
                             struct pd_span bytes);
    /* As the port's; NULL: what is submitted leaves at once. */
    void (*flush)(struct pd_store_link *link, bool is_last);
    /* As pd_server_read_hot; NULL: never. */
    enum pd_status (*read_hot)(struct pd_store_link *link, struct pd_span key, uint8_t *room,
                               size_t room_max, struct pd_kv_record *record_out);
    /* Why there is no node, for a person; never NULL. */
    const char *(*text)(struct pd_store_link *link);
};
struct pd_store_link {
    const struct pd_store_link_ops *ops;
};

#define PD_STORE_LANES 16u

struct pd_store_port_config {
    struct pd_host *host;
    uint32_t calls_max;         /* under way */
    uint32_t watches_max;       /* of all actors */
    uint32_t request_bytes_max; /* of one */
    uint64_t bytes_max;         /* of all requests, and again of all answers not read yet */
    uint32_t watch_credit;      /* bytes of one watch that its actor has not done with */
    uint64_t retry_ns;
};
struct pd_store_port_config pd_store_port_config_default(void);

struct pd_store_port;

/* PD_ERR_NO_MEMORY. The link outlives the port's last ticket, and calls nothing before this. */
PD_NODISCARD enum pd_status pd_store_port_open(const struct pd_store_port_config *config,
                                               struct pd_store_link *link,
                                               struct pd_store_port **port_out);
/* Every ticket is released and the link is quiet. NULL is allowed. */
void pd_store_port_close(struct pd_store_port *port);
struct pd_kv_port *pd_store_port_interface(struct pd_store_port *port);

/* For the link. */
void pd_store_port_answer(struct pd_store_port *port, uint64_t correlation, struct pd_span bytes);
/* What was under way will have no answer. */
void pd_store_port_lost(struct pd_store_port *port);
/* Requests may be given again. */
void pd_store_port_up(struct pd_store_port *port);

/* Any thread. */
struct pd_store_port_counters {
    uint64_t begun;
    uint64_t submitted;
    uint64_t waited; /* in the line */
    uint64_t repeated;
    uint64_t abandoned; /* their answers went nowhere */
    uint32_t places_taken;
    uint64_t bytes_held;
};
void pd_store_port_counters(struct pd_store_port *port,
                            struct pd_store_port_counters *counters_out);

#endif
