/* endpoint - QUIC connections of one node without a socket, a clock or a thread: datagrams and time
 * go in, datagrams and events come out.
 *
 * Model      Every connection is authenticated both ways by Ed25519 keys (RFC 7250 raw public keys
 *            in TLS 1.3) and speaks one service, chosen by ALPN: PD_NET_RAFT, which is for the
 *            members in the table of peers alone, or one of config.services. Raft: one stream each
 *            way for each lane, frames in order. Other services: each request is a stream of its
 *            own, answered by one frame or many; no stream waits for another one.
 * Peers      Whoever has a peer's address dials, unless a connection stands, and dials again after
 *            a pause that doubles. Two connections at a time are possible (both dialed): the older
 *            one is sent on, both are read. When one of them ends that messages went over, the peer
 *            is told lost and connected: some may be gone. Each side greets with the number of its
 *            life; when a new one is heard of, what is left of the last one is closed, and the peer
 *            is told lost and connected. Who says goodbye on one connection has ended.
 * Paths      When bytes in flight are not acknowledged for too long (silence.c) the peer is dialed
 *            beside the connection; what is heard first is used, and the other one ends.
 * Trust      A connection is told of once both sides have proven their keys and the dialed one has
 *            confirmed it. Whatever comes in may be anything: what is no good is counted and
 *            dropped, and costs a bounded amount of memory.
 * Removed    Whoever shows a key of which config.was_removed says so is told that, by a code that
 *            only the holder of a member's key can send it under, and the connection ends. Who is
 *            told it by a peer hears PEER_REMOVED.
 * Load       Beyond retry_from handshakes under way a stranger must first show that it receives at
 *            its address (Retry); beyond handshakes_max it is dropped. A part of the room for
 *            handshakes and connections is kept for those who come from a peer's address.
 * Sources    The same for each source, which is one IPv4 address or 64 bits of an IPv6 one: so one
 *            machine takes no more than source_handshakes_max places, and whoever writes another's
 *            address on its packets no more than source_retry_from of that one's. Beyond, who shows
 *            its address takes the place of the source's oldest handshake, if that one hangs.
 * Ownership  Bytes of an event are good until the next call of pd_net_endpoint_next_event. Buffers
 *            are given, whatever the status.
 * Time       now_ns never goes back. Every call takes it. */
#ifndef PD_NET_ENDPOINT_H
#define PD_NET_ENDPOINT_H

#include "base/datagram.h"
#include "net/frame.h"
#include "net/identity.h"

#define PD_NET_RAFT "pando-raft/1"
#define PD_NET_SERVICES_MAX 8u
#define PD_NET_SERVICE_NAME_MAX 31u
/* Of pd_net_endpoint_next_datagram's room. */
#define PD_NET_ROOM_SIZE 65536u

struct pd_net_endpoint;

struct pd_net_limits {
    uint32_t peers_max;
    uint32_t connections_max; /* the peers' included */
    uint32_t handshakes_max;  /* incoming and not confirmed */
    uint32_t retry_from;
    uint32_t source_handshakes_max; /* of one source */
    uint32_t source_retry_from;
    uint64_t message_bytes_max;                  /* of raft */
    uint64_t lane_bytes_max[PD_TRANSPORT_LANES]; /* of one peer, until they are acknowledged */
    uint32_t requests_max;                       /* of one connection, under way */
    uint64_t request_bytes_max;
    uint64_t answer_bytes_max;      /* of one answer */
    uint64_t input_bytes_max;       /* of frames that are not whole, of one connection */
    uint64_t input_bytes_total_max; /* of all connections; beyond, requests are refused as busy */
    uint64_t output_bytes_soft;     /* of answers that wait for one connection: no new requests */
    uint64_t output_bytes_max;      /* then it is cut off */
    uint64_t window_bytes;          /* of one stream: what may be under way */
    uint64_t connection_window_bytes;
    uint64_t idle_ns;
    uint64_t keep_alive_ns;
    uint64_t handshake_ns;
    uint64_t backoff_min_ns;
    uint64_t backoff_max_ns;
    uint32_t replies_a_second; /* to datagrams of no connection */
};
struct pd_net_limits pd_net_limits_default(void);

struct pd_net_service {
    char name[PD_NET_SERVICE_NAME_MAX + 1]; /* as in ALPN */
    /* Whether a key may use it. NULL: the members' may. Must not call the endpoint. */
    bool (*admit)(void *state, const uint8_t key[PD_NET_KEY_SIZE]);
    void *state;
};

struct pd_net_endpoint_config {
    const struct pd_net_identity *identity; /* copied */
    struct pd_net_limits limits;
    const struct pd_net_service *services; /* copied; besides raft */
    uint32_t service_count;
    /* Whether a key is one that was a member's, and never will be again. May be NULL. Must not call
     * the endpoint. */
    bool (*was_removed)(void *state, const uint8_t key[PD_NET_KEY_SIZE]);
    void *removed_state;
    /* Unpredictable bytes, for connection ids and tokens. */
    void (*random)(void *state, uint8_t *bytes, size_t size);
    void *random_state;
    struct pd_transport_address local;
    uint64_t now_ns;
};

/* PD_ERR_NO_MEMORY; PD_ERR_UNSUPPORTED: GnuTLS lacks what is needed. */
PD_NODISCARD enum pd_status pd_net_endpoint_open(const struct pd_net_endpoint_config *config,
                                                 struct pd_net_endpoint **endpoint_out);
/* Without a word to anybody: hang up first. */
void pd_net_endpoint_close(struct pd_net_endpoint *endpoint);

/* -- Time and datagrams ------------------------------------------------------------------------ */

void pd_net_endpoint_receive(struct pd_net_endpoint *endpoint, uint64_t now_ns,
                             const struct pd_datagram *datagram);
/* Later than any now_ns so far; PD_TIME_NEVER: none. At once while events wait to be told. */
uint64_t pd_net_endpoint_deadline_ns(const struct pd_net_endpoint *endpoint);
void pd_net_endpoint_expire(struct pd_net_endpoint *endpoint, uint64_t now_ns);
/* What should leave now, written into `room`; false: nothing. */
bool pd_net_endpoint_next_datagram(struct pd_net_endpoint *endpoint, uint64_t now_ns,
                                   uint8_t room[PD_NET_ROOM_SIZE],
                                   struct pd_datagram *datagram_out);
/* This machine's addresses have changed: dialed connections validate their paths anew, and whoever
 * does not answer soon is dialed. A word too many costs a packet each way. */
void pd_net_endpoint_move(struct pd_net_endpoint *endpoint, uint64_t now_ns);

/* -- Events ------------------------------------------------------------------------------------ */

enum pd_net_event_kind {
    PD_NET_PEER_CONNECTED = 0, /* node */
    PD_NET_PEER_LOST,          /* node */
    PD_NET_PEER_REMOVED,       /* node: it says that this node's key was removed for good */
    PD_NET_MESSAGE,            /* node, lane, bytes */
    PD_NET_LINK_OPENED,        /* link, service, key */
    PD_NET_LINK_CLOSED,        /* link, service, text: nothing comes after it */
    PD_NET_REQUEST,            /* link, service, correlation, bytes: to be answered */
    PD_NET_CANCELLED,          /* link, service, correlation: answers are not wanted any more */
    PD_NET_ANSWER,             /* link, service, correlation, bytes */
    PD_NET_ENDED /* link, service, correlation, status: no more answers. PD_OK: all have come.
                    PD_ERR_FULL, PD_ERR_RANGE, PD_ERR_INVALID: refused, nothing was done.
                    PD_ERR_CLOSED: nobody knows what was done */
};

struct pd_net_event {
    enum pd_net_event_kind kind;
    uint64_t node;
    enum pd_transport_lane lane;
    uint64_t link;
    uint32_t service; /* its place in config.services */
    uint64_t correlation;
    enum pd_status status;
    uint8_t key[PD_NET_KEY_SIZE];
    struct pd_span bytes;
    const char *text; /* static */
};
bool pd_net_endpoint_next_event(struct pd_net_endpoint *endpoint, struct pd_net_event *event_out);

/* -- Peers ------------------------------------------------------------------------------------- */

/* Whether a table may be set: PD_ERR_INVALID, PD_ERR_FULL as pd_transport_ops.set_peers. */
PD_NODISCARD enum pd_status pd_net_peers_judge(const struct pd_net_limits *limits,
                                               const struct pd_transport_peer *peers,
                                               uint32_t count);
/* As pd_transport_ops.set_peers. */
PD_NODISCARD enum pd_status pd_net_endpoint_set_peers(struct pd_net_endpoint *endpoint,
                                                      uint64_t now_ns,
                                                      const struct pd_transport_peer *peers,
                                                      uint32_t count);
/* PD_ERR_UNKNOWN, PD_ERR_CLOSED: as pd_transport_ops.send. The bound is the giver's, who knows the
 * account. */
PD_NODISCARD enum pd_status pd_net_endpoint_send(struct pd_net_endpoint *endpoint, uint64_t node,
                                                 enum pd_transport_lane lane,
                                                 struct pd_net_buffer *buffer);
/* PD_ERR_UNKNOWN. bytes_waiting is the giver's. */
PD_NODISCARD enum pd_status pd_net_endpoint_peer_state(struct pd_net_endpoint *endpoint,
                                                       uint64_t node,
                                                       struct pd_transport_peer_state *state_out);

/* -- Links: connections of the other services -------------------------------------------------- */

/* Connect as a client of config.services[service] to whoever holds `key`; NULL: to whoever answers,
 * and LINK_OPENED tells whose key that is. `link` is the caller's
 * choice, odd and new; LINK_OPENED or LINK_CLOSED follows. PD_ERR_FULL: connections_max.
 * PD_ERR_NO_MEMORY. On an error nothing follows. */
PD_NODISCARD enum pd_status pd_net_endpoint_dial(struct pd_net_endpoint *endpoint, uint64_t now_ns,
                                                 uint64_t link, uint32_t service,
                                                 const uint8_t key[PD_NET_KEY_SIZE],
                                                 const struct pd_transport_address *address);
/* Whose key the other side has proven. False: there is no such link, or not yet. */
bool pd_net_endpoint_link_key(const struct pd_net_endpoint *endpoint, uint64_t link,
                              uint8_t key_out[PD_NET_KEY_SIZE]);
/* From which address the other side speaks: proven when the link came up, and the last one since.
 * False: as link_key. */
bool pd_net_endpoint_link_address(const struct pd_net_endpoint *endpoint, uint64_t link,
                                  struct pd_transport_address *address_out);
/* A request, as its buffer has it; `correlation` is new on this link. ENDED follows, or LINK_CLOSED
 * for all. May be called before LINK_OPENED. Beyond the peer's requests_max it waits here.
 * PD_ERR_CLOSED: there is no such link. PD_ERR_EXISTS: the correlation is in use. PD_ERR_FULL:
 * twice requests_max are under way. PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_net_endpoint_call(struct pd_net_endpoint *endpoint, uint64_t link,
                                                 uint64_t correlation,
                                                 struct pd_net_buffer *buffer);
/* The answers are not wanted any more; nothing follows. */
void pd_net_endpoint_cancel(struct pd_net_endpoint *endpoint, uint64_t link, uint64_t correlation);
/* An answer to a request; buffer NULL with is_last: no more come. For a request that is gone
 * nothing happens. */
void pd_net_endpoint_answer(struct pd_net_endpoint *endpoint, uint64_t link, uint64_t correlation,
                            struct pd_net_buffer *buffer, bool is_last);
/* Close it; LINK_CLOSED follows. */
void pd_net_endpoint_hang_up(struct pd_net_endpoint *endpoint, uint64_t now_ns, uint64_t link);
/* Every connection, the peers' as well; nobody is dialed any more. */
void pd_net_endpoint_hang_up_all(struct pd_net_endpoint *endpoint, uint64_t now_ns);
/* -- Counters ---------------------------------------------------------------------------------- */

struct pd_net_counters {
    uint64_t datagrams_in;
    uint64_t datagrams_out;
    uint64_t datagrams_dropped; /* of no connection, and no beginning of one */
    uint64_t accepted;
    uint64_t confirmed;
    uint64_t refused_busy;   /* handshakes_max or connections_max */
    uint64_t refused_source; /* source_handshakes_max */
    uint64_t refused_key;    /* not a member, not admitted, or not who was dialed */
    uint64_t retries;        /* Retry packets */
    uint64_t bad_tokens;
    uint64_t resets_sent; /* stateless */
    uint64_t resets_received;
    uint64_t versions_refused;
    uint64_t replies_withheld; /* replies_a_second */
    uint64_t failed;           /* connections that ended by an error */
    uint64_t timed_out;        /* idle, or in the handshake */
    uint64_t bad_frames;
    uint64_t requests;
    uint64_t requests_refused;
    uint64_t answers_late;     /* their request was gone */
    uint64_t messages_dropped; /* their connection ended before they were acknowledged */
    uint64_t cut_off;          /* slow readers */
    uint64_t moved;            /* a peer was found at another address */
    uint64_t silent;           /* connections that seemed to lead nowhere */
    uint32_t connections;
    uint32_t handshakes;
};
void pd_net_endpoint_counters(const struct pd_net_endpoint *endpoint,
                              struct pd_net_counters *counters_out);
/* Every invariant; asserts. */
void pd_net_endpoint_check(const struct pd_net_endpoint *endpoint);

#endif
