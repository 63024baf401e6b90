/* transport - messages between the nodes of one cluster: the interface whose real half is src/net,
 * whose simulated half is in src/sim, and whose half for tests is net/memory.h.
 *
 * Model      A peer is a member of the cluster, known by its node id; set_peers tells who they are,
 *            where they listen and by which key they prove it. The transport connects, and connects
 *            again, by itself. A message goes into a lane of a peer. While a connection lasts, a
 *            lane delivers whole messages in the order of sending, and lanes do not wait for each
 *            other: a snapshot never holds up an append. When one connection follows another,
 *            messages may be lost, and late ones come after newer ones: the simulator does so at
 *            any time, and users must bear it. None comes twice, and none that was for a process
 *            comes to the one that is started after it. (The simulator does both to raft's, which
 *            bears them.)
 * Simulated  send() asks pd_sim_network_send for the times of arrival and queues a delivery for
 *            each; a delivery is a call of the handler's `message`. Everybody is always connected,
 *            a cut link loses what is sent.
 * Trust      A message comes from the node whose key the table names, and from nobody else; its
 *            bytes may be anything.
 * Bounds     The implementation's configuration: peers, bytes that wait per peer and lane, bytes of
 *            one message. Full means that a message is dropped and counted, never growth.
 * Ownership  Spans are borrowed for the call. The handler outlives stop().
 * Threads    Every function may be called by any thread, never waits for the network, and may be
 *            called from within the handler, but for start and stop. */
#ifndef PD_BASE_TRANSPORT_H
#define PD_BASE_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

#define PD_TRANSPORT_KEY_SIZE 32u     /* of an Ed25519 public key */
#define PD_TRANSPORT_ADDRESSES_MAX 4u /* of one peer */
#define PD_TRANSPORT_PEERS_MAX 256u

struct pd_transport;

enum pd_transport_lane {
    PD_TRANSPORT_RAFT = 0, /* small and urgent */
    PD_TRANSPORT_BULK = 1, /* large: a snapshot's chunks */
    PD_TRANSPORT_LANES = 2
};

/* An IPv6 address, or an IPv4 one mapped into it (::ffff:a.b.c.d). Names are resolved by whoever
 * makes the table. */
struct pd_transport_address {
    uint8_t ip[16];
    uint16_t port;
};

struct pd_transport_peer {
    uint64_t node; /* not 0 */
    uint8_t key[PD_TRANSPORT_KEY_SIZE];
    uint32_t address_count;                                            /* 0: it is waited for */
    struct pd_transport_address addresses[PD_TRANSPORT_ADDRESSES_MAX]; /* tried in turn */
};

/* What comes in. On a thread of the transport's, one call at a time; it must be short, never wait,
 * and not call stop. Who cannot take a message drops it. */
struct pd_transport_handler {
    void (*message)(void *state, uint64_t from, enum pd_transport_lane lane, struct pd_span bytes);
    /* The peer can be reached from now on; it cannot any more. Messages that were sent between
     * `lost` and `connected` were dropped, and those on their way at `lost`, either way, may be.
     * Both in a row: one of several connections ended, or the peer began anew. Any may be NULL. */
    void (*connected)(void *state, uint64_t node);
    void (*lost)(void *state, uint64_t node);
    /* That peer says that this node was removed from the cluster, for good. */
    void (*removed)(void *state, uint64_t node);
    /* What had come in together was told, and what is sent from here leaves together: by transports
     * whose operations say that they settle, after any of the others. */
    void (*settled)(void *state);
    void *state;
};

struct pd_transport_peer_state {
    bool is_connected;
    uint64_t connects;      /* connections so far */
    uint64_t round_trip_ns; /* smoothed; 0: not measured */
    uint64_t bytes_waiting[PD_TRANSPORT_LANES];
    /* Where it is, proven by its key, if it is connected from none of its addresses. Port 0: it is
     * not, or that is not known. It may be a NAT's, or about to be given up. */
    struct pd_transport_address elsewhere;
};

struct pd_transport_counters {
    uint64_t sent[PD_TRANSPORT_LANES]; /* messages taken */
    uint64_t received[PD_TRANSPORT_LANES];
    uint64_t sent_bytes;
    uint64_t received_bytes;
    uint64_t dropped_full;        /* a peer's lane was full */
    uint64_t dropped_unconnected; /* no connection, or it ended before they left */
    uint64_t connects;
    uint64_t losts;
    /* Of what came from outside, whoever sent it: */
    uint64_t datagrams_dropped; /* of no connection, and no beginning of one */
    uint64_t versions_refused;  /* datagrams of a version of QUIC that is not spoken */
    uint64_t bad_tokens;        /* whose proof of an address is false, or too old */
    uint64_t failed;            /* connections that an error ended */
    uint64_t timed_out;         /* connections of which nothing came any more */
    uint64_t bad_frames;        /* messages that were none, or not whole */
    /* Connections that others began: */
    uint64_t refused_busy;  /* there was no room for them */
    uint64_t refused_flood; /* their address had as many under way as one may have */
    uint64_t refused_key;   /* who showed its key has no business here */
    /* Of paths, for every service; by transports that have them: */
    uint64_t silent;         /* connections that seemed to lead nowhere */
    uint64_t peers_moved;    /* whose other end was found at another address */
    uint64_t own_moves;      /* changes of this machine's addresses */
    uint64_t trains;         /* several datagrams that the system took as one */
    uint64_t trains_refused; /* that it did not, while it took their datagrams */
};

struct pd_transport_ops {
    bool settles; /* the handler's `settled` is called */
    /* From now on the handler is called. Once. */
    void (*start)(struct pd_transport *transport, const struct pd_transport_handler *handler);
    /* When it returns no call is under way and none will come. What waits is dropped. */
    void (*stop)(struct pd_transport *transport);

    /* The whole table, in place of the last one, copied. A peer that is not in it any more, or has
     * another key, is disconnected and refused; one whose addresses alone changed keeps its
     * connection. The own node may be in it and is passed over.
     *
     * PD_ERR_INVALID  a node or key twice, or node 0: nothing changed.
     * PD_ERR_FULL     more than the implementation's bound: nothing changed.
     * PD_ERR_NO_MEMORY  nothing changed. */
    enum pd_status (*set_peers)(struct pd_transport *transport,
                                const struct pd_transport_peer *peers, uint32_t count);

    /* One message; whoever sends into one lane from several threads has no order between them.
     *
     * PD_OK           taken; it may be lost all the same.
     * PD_ERR_UNKNOWN  no such peer.
     * PD_ERR_CLOSED   not connected just now.
     * PD_ERR_FULL     the lane holds all that it may: the peer is slower than the sender.
     * PD_ERR_RANGE    larger than a message may be; it can never be sent.
     * PD_ERR_NO_MEMORY. On any error nothing was sent. */
    enum pd_status (*send)(struct pd_transport *transport, uint64_t node,
                           enum pd_transport_lane lane, struct pd_span bytes);

    /* PD_ERR_UNKNOWN: no such peer. */
    enum pd_status (*peer_state)(struct pd_transport *transport, uint64_t node,
                                 struct pd_transport_peer_state *state_out);
    void (*counters)(struct pd_transport *transport, struct pd_transport_counters *counters_out);
};

struct pd_transport {
    const struct pd_transport_ops *ops;
};

#endif
