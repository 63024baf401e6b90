/* forwards - requests that only the leader can serve, at a node that does not lead; and those of
 * other nodes, at the one that does. Pure: no thread, clock or random number of its own, so that
 * the simulator runs it too.
 *
 * Model      forwards.c has the diagram. A request that is taken is answered once through
 *            config.answer, by the leader's word or by this node's, at the latest a second after
 *            patience_ns. A write without a session of its client's is numbered in a session of
 *            this node's own, unless it does no harm twice: it happens once, also when the leader
 *            changes while it is under way.
 * Replica    Requests are given to it, and its answers come to pd_forwards_answered: those of the
 *            two clients below are not for any client of the node.
 * Bounds     forwards_max requests of this node's clients, of bytes_max bytes; as many of other
 *            nodes'. Then BUSY.
 * Ownership  init/deinit; deinit also after an init that failed, or of zeroes. Bytes are copied.
 * Frames     From other nodes: any bytes. The transport repeats none (base/transport.h): a refusal
 *            says that nothing was done, and could not, were the same frame served once more.
 * Threads    The core's, but for the counters, which anybody reads. */
#ifndef PD_NODE_FORWARDS_H
#define PD_NODE_FORWARDS_H

#include <stdatomic.h>

#include "base/transport.h"
#include "node/replica.h"
#include "node/session_width.h"

#define PD_FORWARD_WINDOW 64u
#define PD_FORWARD_NONE UINT32_MAX
/* Who the replica answers when it is none of the clients. */
#define PD_FORWARD_CLIENT_SELF (UINT64_MAX - 1) /* this node's forwards, now that it leads itself */
#define PD_FORWARD_CLIENT_SERVED (UINT64_MAX - 2) /* other nodes' */

struct pd_forward;

struct pd_forwards_config {
    uint32_t forwards_max;
    uint64_t bytes_max;
    uint32_t group_id;
    uint64_t cluster_id;
    uint64_t node_id;
    uint64_t tick_ns;     /* between two tries */
    uint64_t patience_ns; /* of a client */
    uint64_t random;      /* another one in each life of the node */
    /* What the client of a request is told; both are borrowed. */
    void (*answer)(void *state, const struct pd_forward *forward, struct pd_span bytes);
    void *state;
};

enum pd_forward_state {
    PD_FORWARD_FREE = 0,
    PD_FORWARD_WAITS, /* for a leader, for a session, or for its turn */
    PD_FORWARD_SENT
};
/* What sees to it that it happens once. */
enum pd_forward_kind {
    PD_FORWARD_PLAIN = 0,  /* nothing does: it is asked for once */
    PD_FORWARD_NUMBERED,   /* this node's session */
    PD_FORWARD_IN_SESSION, /* its client's session */
    PD_FORWARD_REPEATABLE, /* it may happen twice: pd_replica_is_repeatable */
    PD_FORWARD_LEAVE,      /* a node leaves but once */
    PD_FORWARD_OPENING     /* of this node's session: one that is opened twice ends by itself */
};
/* A request that only the leader can serve. */
struct pd_forward {
    enum pd_forward_state state;
    enum pd_forward_kind kind;
    bool is_uncertain; /* a try before this one may have happened */
    uint16_t generation;
    uint32_t next;      /* in the line of those that wait, or of the free ones */
    uint32_t previous;  /* in the line of those that wait */
    uint64_t client_id; /* 0: the node's own, or its client is gone */
    uint64_t correlation;
    uint64_t session; /* of this node, in which it has its number; 0: not yet */
    uint64_t sequence;
    uint64_t sent_to;
    uint64_t deadline_ns;
    uint64_t again_ns; /* not before */
    uint64_t asked_ns; /* 0: it is not timed */
    uint64_t begun_ns;
    size_t size;
    uint8_t *bytes; /* a request; owned */
};
/* A request of another node's, that this one serves as the leader. */
struct pd_forward_served {
    uint64_t node; /* 0: free */
    uint64_t id;   /* its own number for it */
    uint32_t next; /* of the free ones */
};

struct pd_forwards {
    struct pd_forwards_config config;
    struct pd_replica *replica;
    struct pd_transport *transport; /* NULL: alone */
    uint64_t now_ns;
    struct pd_forward *places;
    uint32_t place_free;
    uint32_t count;
    uint64_t bytes;
    uint32_t waits_first;
    uint32_t waits_last;
    uint64_t leader; /* whom they were last sent to */
    uint64_t id_base;
    struct pd_forward_served *served;
    uint32_t served_free;
    struct {
        uint64_t id; /* 0: none */
        bool is_opening;
        uint64_t used_ns;
        uint64_t next; /* number */
        uint64_t low;
        struct pd_session_width width;
        uint32_t window[PD_FORWARD_WINDOW]; /* of number % that: who has it; NONE: nobody */
    } session;
    struct {
        atomic_uint_least64_t forwards;
        atomic_uint_least64_t again;
        atomic_uint_least64_t served;
        atomic_uint_least64_t sends_dropped; /* answers to other nodes */
    } counters;
};

/* *forwards: zeroes. PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_forwards_init(struct pd_forwards *forwards,
                                             const struct pd_forwards_config *config);
void pd_forwards_deinit(struct pd_forwards *forwards);
/* Before anything but the two above. Both are borrowed. transport NULL: nothing is taken. */
void pd_forwards_begin(struct pd_forwards *forwards, struct pd_replica *replica,
                       struct pd_transport *transport);
void pd_forwards_clock(struct pd_forwards *forwards, uint64_t now_ns);

/* A client's request, any bytes; client is not 0; asked_ns as for pd_replica_request. false: it is
 * this node's own to serve. */
bool pd_forwards_take(struct pd_forwards *forwards, uint64_t asked_ns, uint64_t client,
                      uint64_t correlation, struct pd_span bytes);
/* A request of this node's own, about whose answer nobody is told. false: full. */
bool pd_forwards_own(struct pd_forwards *forwards, const uint8_t *bytes, size_t size);
/* Which client's request the replica has, whose answer goes to PD_FORWARD_CLIENT_SELF. 0: none. */
uint64_t pd_forwards_client(struct pd_forwards *forwards, uint64_t number);
/* The frames that are not the replica's. */
bool pd_forwards_is_frame(struct pd_span bytes);
void pd_forwards_frame(struct pd_forwards *forwards, uint64_t from, struct pd_span bytes);
/* An answer of this node's replica. false: a client's. */
bool pd_forwards_answered(struct pd_forwards *forwards, uint64_t client, uint64_t correlation,
                          struct pd_span bytes);
void pd_forwards_client_gone(struct pd_forwards *forwards, uint64_t client);
/* This node is no member any more: who asked for that is answered. */
void pd_forwards_left(struct pd_forwards *forwards);
/* The connection to a node is lost, and what was under way on it. */
void pd_forwards_lost(struct pd_forwards *forwards, uint64_t node);
/* After the replica's work. true: something was given to the replica, or more is to be sent. */
bool pd_forwards_turn(struct pd_forwards *forwards, bool is_tick);

#endif
