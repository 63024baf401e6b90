/* host_sockets - sockets and names for guests, as one interface.
 *
 * Role       The door between the network functions of guests and the operating system;
 *            src/host/sockets.h has the real half. There is none in a deterministic run.
 * Model      Every socket is nonblocking. A call that cannot go on answers PD_SOCKET_AGAIN; then
 *            the caller leaves a wait with the socket, and its process is woken once when trying
 *            again makes sense. Who has threads that run processes lets them wait for sockets
 *            themselves (`is_polled`, `poll`), so that no thread wakes another for each event; else
 *            one thread listens for all. It does the work of TLS in any case. No other thread ever
 *            sees the buffers of a call. Names are looked up by a thread of their own.
 * Bounds     PD_SOCKETS_MAX sockets, and their part of the descriptors that the process may have:
 *            the node's own files never lack one. An owner (any number: the environment) has three
 *            quarters of them at most. PD_LOOKUPS_MAX names at once, PD_LOOKUPS_OF_OWNER_MAX of an
 *            owner.
 * Ownership  Who opened or accepted a socket closes it, after the last wait was cancelled. Any
 *            thread, and several may use one socket at once.
 * Errors     0, PD_SOCKET_AGAIN, or the system's error number; error_text puts it in words. */
#ifndef PD_BASE_HOST_SOCKETS_H
#define PD_BASE_HOST_SOCKETS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/span.h"

#define PD_SOCKETS_MAX 65536u
#define PD_SOCKET_BACKLOG 1024
#define PD_SOCKET_PARTS_MAX 64u /* of one write */
#define PD_LOOKUPS_MAX 512u
#define PD_LOOKUPS_OF_OWNER_MAX 64u
#define PD_LOOKUP_ADDRESSES_MAX 32u
#define PD_LOOKUP_NAME_MAX 253u
#define PD_LOOKUP_TTL_NONE UINT32_MAX
#define PD_SOCKET_AGAIN (-1)

/* An IPv4 address is ::ffff:a.b.c.d here, whichever way it came: one form, so that one check sees
 * both. `flow` and `scope` are of IPv6. */
struct pd_socket_address {
    uint8_t ip[16];
    uint16_t port;
    uint32_t flow;
    uint32_t scope;
};

static inline bool pd_socket_address_is_v4(const struct pd_socket_address *address)
{
    for (int i = 0; i < 10; i++) {
        if (address->ip[i] != 0) {
            return false;
        }
    }
    return address->ip[10] == 0xff && address->ip[11] == 0xff;
}

enum pd_socket_events {
    PD_SOCKET_READABLE = 1, /* or closed by the peer, or failed */
    PD_SOCKET_WRITABLE = 2, /* or connected, or failed */
    PD_SOCKET_DRAINED = 4   /* of TLS: what was written is the system's, or failed */
};

enum pd_socket_option {
    PD_SOCKET_BROADCAST = 0,
    PD_SOCKET_TTL = 1
};

struct pd_socket;
struct pd_sockets;
struct pd_lookup;
struct pd_socket_tls;
struct pd_socket_identity;

/* The caller's, in its own memory, from `wait` until `cancel`. */
struct pd_socket_wait {
    struct pd_list node; /* the socket's; pd_list_init before the first `wait` */
    void *process;       /* whom to wake; valid as long as the sockets */
    uint32_t events;     /* enum pd_socket_events, ored */
};

/* Bytes that count somewhere for memory. Who has a share gives it back, once and from any thread,
 * when that memory is gone; who it was taken from holds one without `give`. */
struct pd_socket_share {
    void (*give)(void *context, uint64_t bytes); /* NULL: nothing counts */
    void *context;                               /* outlives the sockets */
    uint64_t bytes;
};

static inline void pd_socket_share_give(struct pd_socket_share *share)
{
    if (share->give != NULL) {
        share->give(share->context, share->bytes);
    }
    *share = (struct pd_socket_share){.give = NULL};
}

/* It has another owner from here on. */
static inline struct pd_socket_share pd_socket_share_take(struct pd_socket_share *share)
{
    struct pd_socket_share taken = *share;
    *share = (struct pd_socket_share){.give = NULL};
    return taken;
}

struct pd_lookup_result {
    struct pd_socket_address address;
    uint32_t ttl_s; /* what name servers say; PD_LOOKUP_TTL_NONE: it came from elsewhere */
    bool is_own;    /* an address of this machine */
};

struct pd_sockets_ops {
    /* Listen on an address; port 0: any free one. is_v6_only: "::" does not mean IPv4 as well. */
    int (*listen)(struct pd_sockets *sockets, uint64_t owner,
                  const struct pd_socket_address *address, bool is_v6_only,
                  struct pd_socket **socket_out);
    /* The connection is of the listener's owner. */
    int (*accept)(struct pd_socket *listener, struct pd_socket **socket_out,
                  struct pd_socket_address *peer_out);
    /* Begin to connect; `connected` says what became of it, once the socket is writable. */
    int (*connect)(struct pd_sockets *sockets, uint64_t owner,
                   const struct pd_socket_address *address, struct pd_socket **socket_out);
    int (*connected)(struct pd_socket *socket);

    /* At most `size` bytes; 0 of a stream that was asked for some: the peer has ended. */
    int (*read)(struct pd_socket *socket, uint8_t *to, size_t size, bool is_peek,
                size_t *count_out);
    int (*write)(struct pd_socket *socket, const struct pd_span *parts, size_t part_count,
                 size_t *count_out);

    int (*datagram_open)(struct pd_sockets *sockets, uint64_t owner,
                         const struct pd_socket_address *address, bool is_v6_only,
                         struct pd_socket **socket_out);
    int (*datagram_connect)(struct pd_socket *socket, const struct pd_socket_address *address);
    /* What does not fit is cut off. */
    int (*datagram_receive)(struct pd_socket *socket, uint8_t *to, size_t size,
                            struct pd_socket_address *from_out, size_t *count_out);
    /* `to` NULL: to whom it is connected. */
    int (*datagram_send)(struct pd_socket *socket, const uint8_t *bytes, size_t size,
                         const struct pd_socket_address *to, size_t *count_out);
    int (*set_option)(struct pd_socket *socket, enum pd_socket_option option, uint32_t value);
    int (*get_option)(struct pd_socket *socket, enum pd_socket_option option, uint32_t *value_out);

    int (*local_address)(struct pd_socket *socket, struct pd_socket_address *address_out);
    int (*peer_address)(struct pd_socket *socket, struct pd_socket_address *address_out);
    bool (*is_unconnected)(int error); /* of peer_address: there is no peer */
    void (*close)(struct pd_socket *socket);

    /* Wake wait->process when one of wait->events is there, even if it is already. After the wake
     * the wait is over; calling this while it is not changes nothing. */
    int (*wait)(struct pd_socket *socket, struct pd_socket_wait *wait);
    /* When this returns, the wait will wake nobody any more. */
    void (*cancel)(struct pd_socket *socket, struct pd_socket_wait *wait);
    /* False: somebody has found it not ready for any of these, and no event was told since. So a
     * call that may wait need not try first. One that may not wait has to try: events are told
     * late. */
    bool (*may_be_ready)(const struct pd_socket *socket, uint32_t events);

    /* Wait for events of sockets that are no TLS session's, for so long at most (0: look;
     * PD_TIME_NEVER), and wake whom they concern, on this thread. Once `is_open`; one thread at a
     * time. It may return without a reason. */
    void (*poll)(struct pd_sockets *sockets, uint64_t timeout_ns);
    /* Who polls returns, or the next who does. Any thread, once `is_open`. */
    void (*interrupt)(struct pd_sockets *sockets);

    /* Look up `name` (at most PD_LOOKUP_NAME_MAX bytes), then wake `process`. Error texts of names
     * come from lookup_text. PD_SOCKET_AGAIN: PD_LOOKUPS_MAX are under way, or
     * PD_LOOKUPS_OF_OWNER_MAX of this owner. */
    int (*lookup)(struct pd_sockets *sockets, uint64_t owner, const char *name, size_t name_size,
                  void *process, struct pd_lookup **lookup_out);
    /* True: it is over. *error_out 0: `results` (PD_LOOKUP_ADDRESSES_MAX) and *count_out are
     * written. */
    bool (*lookup_take)(struct pd_lookup *lookup, struct pd_lookup_result *results,
                        uint32_t *count_out, int *error_out);
    void (*lookup_close)(struct pd_lookup *lookup);

    /* Who a listener is (PEM), or whom a client trusts (PEM; none: the system's). Shared by
     * sessions; the last release, theirs too, frees it. Errors of these functions: the system's
     * above 0, those of TLS below PD_SOCKET_AGAIN; tls_text has words for both. A share is taken
     * with 0 only, and never for the system's, which are there once for all. */
    int (*tls_server_identity)(struct pd_span certificate, struct pd_span key,
                               struct pd_socket_share *share,
                               struct pd_socket_identity **identity_out);
    int (*tls_client_identity)(struct pd_sockets *sockets, const struct pd_span *roots,
                               size_t root_count, struct pd_socket_share *share,
                               struct pd_socket_identity **identity_out);
    void (*tls_identity_release)(struct pd_socket_identity *identity);

    /* A session over a connected socket, which is the session's from then on. `host` is who
     * the other end must prove to be; NULL on the listener's side. Several threads may use one
     * session. Handshake and records are the I/O thread's work, which begins at once; these calls
     * only copy, from and to buffers of some records. PD_SOCKET_AGAIN: *events_out says for what
     * to wait, and nothing was taken. On an error socket and share are still the caller's. */
    int (*tls_open)(struct pd_socket *socket, struct pd_socket_identity *identity, const char *host,
                    bool is_address, struct pd_socket_share *share, struct pd_socket_tls **tls_out);
    int (*tls_handshake)(struct pd_socket_tls *tls, uint32_t *events_out);
    int (*tls_read)(struct pd_socket_tls *tls, uint8_t *to, size_t size, size_t *count_out,
                    uint32_t *events_out);
    /* Takes what there is room for, once the handshake is over. */
    int (*tls_write)(struct pd_socket_tls *tls, const struct pd_span *parts, size_t part_count,
                     size_t *count_out, uint32_t *events_out);
    /* 0: all that was written is the system's. */
    int (*tls_flush)(struct pd_socket_tls *tls, uint32_t *events_out);
    /* What was written is still sent, for a minute at most, then session and socket are closed. May
     * be called on a fiber. */
    void (*tls_close)(struct pd_socket_tls *tls);
    const char *(*tls_text)(int error);

    const char *(*error_text)(int error);
    const char *(*lookup_text)(int error);
};

struct pd_sockets {
    const struct pd_sockets_ops *ops;
    void (*wake)(void *process); /* any thread. Set before the first wait */
    bool is_polled;              /* somebody calls `poll`. Set before the first socket */
    atomic_bool is_open;         /* there is, or was, a socket */
};

#endif
