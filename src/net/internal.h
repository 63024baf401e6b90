/* internal - the inside of an endpoint, for src/net alone: nothing of ngtcp2 or GnuTLS leaves
 * the folder.
 *
 * Files      tls.c (keys and sessions), stream.c (frames in and out), connection.c (one ngtcp2
 *            connection), write.c (its packets), silence.c (whether it still leads to the other
 *            side), packet.c (datagrams of no connection, routing), peers.c (the table, who is
 *            dialed when), endpoint.c (lists, timers, the interface).
 * Callbacks  ngtcp2 calls into stream.c and connection.c. Nothing there reads, writes or deletes a
 *            connection: events are queued, and what must end is marked. */
#ifndef PD_NET_INTERNAL_H
#define PD_NET_INTERNAL_H

#include <gnutls/gnutls.h>
#include <ngtcp2/ngtcp2.h>
#include <ngtcp2/ngtcp2_crypto.h>

#include "base/host.h"
#include "base/list.h"
#include "base/table.h"
#include "net/endpoint.h"

#define PD_NET_CID_SIZE 8u
#define PD_NET_PACKET_MAX 1500u
#define PD_NET_LOOSE_MAX 64u /* packets of no connection that wait to leave */
#define PD_NET_SERVICE_RAFT UINT32_MAX
/* Which lane a stream is, and which life of the sender it comes from: u8, u64. */
#define PD_NET_PREFACE_SIZE 9u

/* What a connection is closed with; what a stream is reset with. */
enum pd_net_code {
    PD_NET_CODE_BYE = 0,
    PD_NET_CODE_NOT_MEMBER = 1,
    PD_NET_CODE_MALFORMED = 2,
    PD_NET_CODE_BUSY = 3,
    PD_NET_CODE_TOO_LARGE = 4,
    PD_NET_CODE_CANCELLED = 5,
    PD_NET_CODE_REMOVED = 6, /* not a member any more, for good */
    PD_NET_CODE_REPLACED = 7 /* another connection took its place */
};

/* -- Timers: endpoint.c ------------------------------------------------------------------------ */

enum pd_net_timer_kind {
    PD_NET_TIMER_CONNECTION = 0,
    PD_NET_TIMER_PEER
};
struct pd_net_timer {
    uint64_t deadline_ns;
    uint32_t place; /* in the heap, from 1; 0: not set */
    enum pd_net_timer_kind kind;
};
/* PD_TIME_NEVER: not at all. */
void pd_net_timer_set(struct pd_net_endpoint *endpoint, struct pd_net_timer *timer,
                      uint64_t deadline_ns);

/* -- Streams: stream.c ------------------------------------------------------------------------- */

enum pd_net_stream_kind {
    PD_NET_STREAM_LANE_OUT = 0,
    PD_NET_STREAM_LANE_IN,
    PD_NET_STREAM_CALL,   /* our request */
    PD_NET_STREAM_REQUEST /* the peer's */
};

struct pd_net_stream {
    struct pd_list link;  /* in the connection's streams, or its waiting calls */
    struct pd_list ready; /* in one of its lists of what can be written */
    struct pd_table_node by_correlation;
    struct pd_net_connection *connection;
    enum pd_net_stream_kind kind;
    int64_t id;                  /* -1: not open */
    enum pd_transport_lane lane; /* of an incoming one: known with its preface */
    uint64_t correlation;
    bool is_known;  /* by its correlation */
    bool is_over;   /* of a request or call: told, or not wanted */
    bool was_asked; /* of a request: it came whole, and REQUEST was told */
    /* Output, oldest first. */
    struct pd_net_buffer *buffers;
    struct pd_net_buffer *newest;
    struct pd_net_buffer *unsent; /* where the rest begins */
    size_t unsent_at;
    size_t acked_at; /* bytes of the oldest that are acknowledged */
    /* Of a lane: its first bytes. */
    uint8_t preface[PD_NET_PREFACE_SIZE];
    uint32_t preface_size; /* going out: all of it, or 0; coming in: what has come */
    uint32_t preface_sent;
    uint32_t preface_acked;
    bool ends; /* after these buffers */
    bool end_is_sent;
    /* Input. */
    struct pd_net_assembly assembly;
};

struct pd_net_stream *pd_net_stream_make(struct pd_net_connection *connection,
                                         enum pd_net_stream_kind kind);
/* Forget it: its buffers and its room in tables; ngtcp2 does not know it any more. */
void pd_net_stream_free(struct pd_net_stream *stream);
void pd_net_stream_append(struct pd_net_stream *stream, struct pd_net_buffer *buffer);
/* It has bytes or its end to write: put it into the connection's list. */
void pd_net_stream_make_ready(struct pd_net_stream *stream);
bool pd_net_stream_has_output(const struct pd_net_stream *stream);
/* What is written next; returns how many parts. *is_all_out: nothing is left behind them. */
size_t pd_net_stream_parts(const struct pd_net_stream *stream, ngtcp2_vec *parts, size_t parts_max,
                           bool *is_all_out);
/* `size` more bytes are in packets; the end too, if `with_end`. */
void pd_net_stream_wrote(struct pd_net_stream *stream, size_t size, bool with_end);
void pd_net_stream_acked(struct pd_net_stream *stream, uint64_t size);
/* Bytes from the peer. */
void pd_net_stream_receive(struct pd_net_stream *stream, bool is_end, struct pd_span bytes);
/* The peer's reset or stop, or ngtcp2's word that it is over. */
void pd_net_stream_broken(struct pd_net_stream *stream, uint64_t code);
/* From now on it is found by its correlation; not any more, and nothing is told of it. */
void pd_net_stream_name(struct pd_net_stream *stream, uint64_t correlation);
void pd_net_stream_finish(struct pd_net_stream *stream);
/* NULL: none has that correlation. */
struct pd_net_stream *pd_net_stream_find(struct pd_net_connection *connection,
                                         uint64_t correlation);

/* -- Connections: connection.c ----------------------------------------------------------------- */

struct pd_net_cid {
    struct pd_table_node by_bytes;
    struct pd_list link; /* in the connection's cids */
    struct pd_net_connection *connection;
    ngtcp2_cid cid;
};

struct pd_net_event_item {
    struct pd_list link;
    struct pd_net_event event;
    uint8_t *owned; /* bytes of the event; NULL: none */
};

/* Where a handshake comes from, as far as it is one machine's or one network's: an IPv4 address, or
 * the first half of an IPv6 one. The other half is the holder's to choose. */
struct pd_net_source {
    uint8_t bytes[16];
};

struct pd_net_connection {
    struct pd_net_endpoint *endpoint;
    struct pd_list link;  /* in the endpoint's connections */
    struct pd_list dirty; /* has something to write */
    struct pd_table_node by_link;
    struct pd_table_node by_remote;
    struct pd_transport_address remote; /* as of by_remote */
    struct pd_table_node by_source;     /* of a server's side, until it is confirmed */
    struct pd_net_source source;
    struct pd_net_timer timer;
    struct pd_list cids;
    ngtcp2_conn *quic;
    gnutls_session_t tls;
    ngtcp2_crypto_conn_ref reference;
    bool is_server;
    bool is_completed; /* the handshake, on this side */
    bool is_confirmed; /* told of, and used */
    bool is_refused;   /* its key was judged and found wanting */
    /* Set in a callback: close with this code once it has returned. */
    bool must_close;
    enum pd_net_code close_code;
    const char *close_text;
    uint32_t service; /* PD_NET_SERVICE_RAFT, or its place */
    bool has_service;
    uint8_t key[PD_NET_KEY_SIZE]; /* the peer's; of a client: who is dialed */
    bool takes_any_key;           /* of a client: whoever answers; who that is, `key` tells then */
    /* Raft's. */
    struct pd_net_peer *peer;
    struct pd_list by_peer; /* in the peer's connections, once confirmed */
    struct pd_net_stream *lanes[PD_TRANSPORT_LANES];
    uint64_t begun_ns; /* of one that was accepted */
    uint64_t confirmed_ns;
    uint64_t life; /* the peer's, which it told; 0: not yet */
    bool was_used; /* messages went over it, either way: its end may have lost some */
    /* silence.c's: of bytes in flight. */
    uint64_t flight_bytes; /* when it was last looked at */
    uint64_t flight_ns;    /* when some left it, or the first entered; NEVER: there are none */
    uint64_t heard_ns;     /* when some left it, or the handshake was over */
    uint64_t silent_ns;    /* not 0: none left for too long; who was heard later is well */
    uint64_t closes_ns;    /* of a silent one: another is well, so that it ends then */
    uint64_t look_ns;      /* not 0: the second look */
    bool is_suspect;       /* this machine's addresses have changed: too long comes sooner */
    /* The other services'. */
    uint64_t link_id; /* 0: none yet */
    struct pd_table correlations;
    struct pd_list waiting;           /* calls without a stream yet */
    uint32_t calls;                   /* under way and waiting */
    uint32_t requests;                /* of the peer, under way */
    uint32_t credits_owed;            /* streams that it may open when its answers have left */
    struct pd_net_event_item *closed; /* LINK_CLOSED needs no memory then */
    /* All. */
    struct pd_list streams;
    struct pd_list ready[2]; /* raft's lane goes first */
    struct pd_list blocked;  /* by the peer's flow control */
    uint64_t output_bytes;
    uint64_t input_bytes; /* of frames that are not whole */
};

/* key NULL: whoever answers. NULL: no memory, or connections_max. */
struct pd_net_connection *pd_net_connection_dial(struct pd_net_endpoint *endpoint, uint64_t now_ns,
                                                 uint32_t service,
                                                 const uint8_t key[PD_NET_KEY_SIZE],
                                                 const struct pd_transport_address *address);
struct pd_net_accept {
    const ngtcp2_pkt_hd *head;
    const ngtcp2_cid *original; /* not NULL: after a Retry */
    const struct pd_transport_address *remote;
};
struct pd_net_connection *pd_net_connection_accept(struct pd_net_endpoint *endpoint,
                                                   uint64_t now_ns,
                                                   const struct pd_net_accept *accept);
/* One packet. True: the connection is gone. */
bool pd_net_connection_read(struct pd_net_connection *connection, uint64_t now_ns,
                            const struct pd_datagram *datagram);
/* Its timer is due. True: the connection is gone. */
bool pd_net_connection_expire(struct pd_net_connection *connection, uint64_t now_ns);
/* Write what may leave now into room: a train of packets of one size. 0: nothing. *is_gone_out: the
 * connection is gone. */
size_t pd_net_connection_write(struct pd_net_connection *connection, uint64_t now_ns, uint8_t *room,
                               struct pd_datagram *datagram_out, bool *is_gone_out);
/* After a call of ngtcp2's, with its result. True: the connection is gone. */
bool pd_net_connection_settle(struct pd_net_connection *connection, uint64_t now_ns, int result);
void pd_net_take_address(const ngtcp2_path *path, struct pd_transport_address *address_out);
/* Tell the peer, and forget it. */
void pd_net_connection_close(struct pd_net_connection *connection, uint64_t now_ns,
                             enum pd_net_code code, const char *text);
/* Without a word. */
void pd_net_connection_drop(struct pd_net_connection *connection, const char *text);
/* This machine's addresses have changed: a dialed connection validates its path anew. */
void pd_net_connection_move(struct pd_net_connection *connection, uint64_t now_ns);
void pd_net_connection_make_dirty(struct pd_net_connection *connection);
void pd_net_connection_set_timer(struct pd_net_connection *connection, uint64_t now_ns);
/* Close it once ngtcp2's callback has returned. */
void pd_net_connection_mark(struct pd_net_connection *connection, enum pd_net_code code,
                            const char *text);
/* Both sides have agreed: it may be used from here on. False: it may not after all. */
bool pd_net_connection_confirm(struct pd_net_connection *connection);
/* Whether the holder of a key may speak the connection's service. */
bool pd_net_connection_admits(const struct pd_net_connection *connection,
                              const uint8_t key[PD_NET_KEY_SIZE]);
/* Whether the holder of a key was a member that was removed, and the service is for members. */
bool pd_net_connection_was_removed(const struct pd_net_connection *connection,
                                   const uint8_t key[PD_NET_KEY_SIZE]);
/* Close it for somebody who is no member, or not any more. */
void pd_net_connection_dismiss(struct pd_net_connection *connection, uint64_t now_ns);
/* Waiting calls get streams, and the peer gets credits for new ones. */
void pd_net_connection_serve_streams(struct pd_net_connection *connection);

/* -- Silence: silence.c ------------------------------------------------------------------------ */

/* Packets were written; or a timer of ngtcp2's has run. */
void pd_net_silence_wrote(struct pd_net_connection *connection, uint64_t now_ns);
/* A packet was read. */
void pd_net_silence_read(struct pd_net_connection *connection, uint64_t now_ns);
/* This machine's addresses have changed. */
void pd_net_silence_suspect(struct pd_net_connection *connection);
/* Another one of its peer's is well: it has a last moment to be heard. */
void pd_net_silence_doom(struct pd_net_connection *connection, uint64_t now_ns);
/* When there is something to judge; PD_TIME_NEVER: nothing is awaited. */
uint64_t pd_net_silence_deadline_ns(const struct pd_net_connection *connection);
/* Its timer is due: judge. */
void pd_net_silence_expire(struct pd_net_connection *connection, uint64_t now_ns);

/* -- TLS: tls.c -------------------------------------------------------------------------------- */

struct pd_net_tls {
    gnutls_certificate_credentials_t credentials;
    gnutls_priority_t priority;
};
PD_NODISCARD enum pd_status pd_net_tls_init(struct pd_net_tls *tls,
                                            const struct pd_net_identity *identity);
void pd_net_tls_deinit(struct pd_net_tls *tls);
/* A session for connection->is_server and ->service. PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_net_tls_session(struct pd_net_connection *connection);

/* -- Peers: peers.c ---------------------------------------------------------------------------- */

struct pd_net_peer {
    struct pd_table_node by_node;
    struct pd_table_node by_key;
    struct pd_list link; /* in the endpoint's peers */
    struct pd_net_endpoint *endpoint;
    struct pd_transport_peer about;
    struct pd_list connections; /* confirmed; the newest last */
    struct pd_net_connection *dialing;
    uint32_t address; /* the next one to try */
    uint32_t failures;
    uint64_t due_ns; /* when it may be dialed again */
    bool has_moved;  /* it, or this machine: it is dialed though a connection stands */
    bool doubts;     /* one that stands is silent, and no other was heard since */
    uint64_t life;   /* the last one that was heard of */
    struct pd_net_timer timer;
    uint64_t connects;
    bool is_told;                   /* of being connected */
    struct pd_net_event_item *lost; /* PEER_LOST needs no memory then */
    bool is_kept;                   /* scratch of set_peers */
};
struct pd_net_peer *pd_net_peer_of_node(const struct pd_net_endpoint *endpoint, uint64_t node);
struct pd_net_peer *pd_net_peer_of_key(const struct pd_net_endpoint *endpoint,
                                       const uint8_t key[PD_NET_KEY_SIZE]);
void pd_net_peer_free(struct pd_net_peer *peer);
/* A raft connection is up (false: no memory to tell); it is gone. */
bool pd_net_peer_gained(struct pd_net_peer *peer, struct pd_net_connection *connection);
void pd_net_peer_lost(struct pd_net_peer *peer, struct pd_net_connection *connection);
/* One of its connections leads nowhere, as it seems, also at its last moment; while there were
 * doubts one was heard. */
void pd_net_peer_silent(struct pd_net_peer *peer, struct pd_net_connection *connection,
                        bool is_last_moment);
void pd_net_peer_heard(struct pd_net_peer *peer);
/* This machine's addresses have changed: what is dialed is dialed anew, and who had dialed it. */
void pd_net_peer_moved(struct pd_net_peer *peer);
/* On this connection the peer said that it ends: none of the others leads anywhere. */
void pd_net_peer_left(struct pd_net_peer *peer, struct pd_net_connection *connection);
/* On this connection the peer told which life of its own it is in. */
void pd_net_peer_greeted(struct pd_net_peer *peer, struct pd_net_connection *connection,
                         uint64_t life);
/* A stream out, which begins with the greeting. NULL: no memory, or the peer's limit. */
struct pd_net_stream *pd_net_peer_open_lane(struct pd_net_connection *connection,
                                            enum pd_transport_lane lane);
/* Its timer is due. */
void pd_net_peer_expire(struct pd_net_peer *peer, uint64_t now_ns);

/* -- Packets of no connection: packet.c -------------------------------------------------------- */

struct pd_net_loose {
    struct pd_transport_address remote;
    size_t size;
    uint8_t bytes[PD_NET_PACKET_MAX];
};
/* The next place of the ring, to be filled and then counted by pd_net_loose_add; NULL: full, or,
 * for a reply to somebody unknown, too many of them this second. */
struct pd_net_loose *pd_net_loose_room(struct pd_net_endpoint *endpoint, bool is_reply);
void pd_net_loose_add(struct pd_net_endpoint *endpoint, struct pd_net_loose *loose,
                      const struct pd_transport_address *remote, ngtcp2_ssize size);
/* A datagram whose connection is not known. */
void pd_net_packet_unknown(struct pd_net_endpoint *endpoint, uint64_t now_ns,
                           const struct pd_datagram *datagram, const ngtcp2_version_cid *ids,
                           bool is_version_known);
/* How many handshakes of a source are under way. */
uint32_t pd_net_source_count(const struct pd_net_endpoint *endpoint,
                             const struct pd_net_source *source);
/* One has begun, which connection->remote tells the source of; it is over. */
void pd_net_source_enter(struct pd_net_connection *connection);
void pd_net_source_leave(struct pd_net_connection *connection);
void pd_net_packet_retry(struct pd_net_endpoint *endpoint, uint64_t now_ns,
                         const struct pd_transport_address *remote, const ngtcp2_pkt_hd *head);

/* -- All of it: endpoint.c --------------------------------------------------------------------- */

struct pd_net_endpoint {
    struct pd_net_limits limits;
    struct pd_net_identity identity;
    struct pd_net_service services[PD_NET_SERVICES_MAX];
    uint32_t service_count;
    bool (*was_removed)(void *state, const uint8_t key[PD_NET_KEY_SIZE]); /* NULL: nobody */
    void *removed_state;
    void (*random)(void *state, uint8_t *bytes, size_t size);
    void *random_state;
    struct pd_transport_address local;
    struct pd_net_tls tls;
    uint8_t reset_secret[PD_NET_KEY_SIZE]; /* the same in every life of this node */
    uint8_t token_secret[PD_NET_KEY_SIZE]; /* of this life */
    uint64_t hash_seed;
    uint64_t life;        /* drawn; tells this life from the last one */
    uint64_t input_bytes; /* of all connections */
    uint64_t now_ns;

    struct pd_list connections;
    struct pd_list dirty;
    struct pd_table by_cid;
    struct pd_table by_link;
    struct pd_table by_remote;
    struct pd_table by_source; /* handshakes under way */
    uint64_t next_link;
    struct pd_list peers;
    struct pd_table by_node;
    struct pd_table by_key;
    uint32_t peer_count;
    bool is_closing; /* nobody is dialed any more */

    struct pd_net_timer **heap; /* room for connections_max + peers_max */
    uint32_t heap_count;

    struct pd_list events;
    struct pd_net_event_item *told; /* handed out last; freed with the next one */

    struct pd_net_loose *loose; /* a ring */
    uint32_t loose_at;
    uint32_t loose_count;
    uint64_t replies_since_ns;
    uint32_t replies;
    /* A packet that did not fit the train that was written. */
    bool has_held;
    struct pd_datagram held;
    uint8_t held_bytes[PD_NET_PACKET_MAX];

    struct pd_net_counters counters;
};

void pd_net_look_at_clock(struct pd_net_endpoint *endpoint, uint64_t now_ns);
/* Queue an event; `owned` is the endpoint's from here on, also on an error. PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_net_tell(struct pd_net_endpoint *endpoint,
                                        const struct pd_net_event *event, uint8_t *owned);
uint64_t pd_net_hash(const struct pd_net_endpoint *endpoint, const void *bytes, size_t size);
/* NULL: nobody has it. */
struct pd_net_connection *pd_net_by_cid(const struct pd_net_endpoint *endpoint,
                                        const uint8_t *bytes, size_t size);

#endif
