/* net - what lunatic::networking keeps for one actor, and how its functions wait.
 *
 * Model      A function tries on the scheduler's stack, straight between the socket and the guest's
 *            memory. If it would block, a wait is left with the socket (host_sockets.h), the actor
 *            is suspended, and when it is woken the function tries again: no byte is ever held in
 *            between, and no other thread sees the guest's memory.
 * Sharing    A socket object is reference counted: clones of a stream are references, also from
 *            several actors, and a stream in a message is one. The last reference closes it.
 * Killing    Suspended in a call: `abandon` takes the wait back before the guest's memory goes; the
 *            rest goes with the process. A message that nobody takes closes what it carries.
 * Bounds     What TLS takes counts: an actor holds as much as its memory may have, apart from that.
 *            PD_NET_SOCKETS_MAX sockets an actor, those in its messages aside; the node's are the
 *            host's. PD_NET_NAMES_MAX address lists ("DNS iterators"), PD_NET_IO_MAX bytes a call.
 * Errors     An id with a text, as Rust words it ("... (os error 111)"). A lack of rights too: the
 *            text names the right and how it is granted. */
#ifndef PD_WASM_NET_H
#define PD_WASM_NET_H

#include <stdatomic.h>

#include "base/host_sockets.h"
#include "wasm/wasm_process.h"

#define PD_NET_SOCKETS_MAX 4096u
#define PD_NET_NAMES_MAX 4096u
#define PD_NET_IO_MAX (1u << 20)
#define PD_NET_TIMED_OUT 9027u
/* What a TLS stream counts of its actor's memory, and of that of all guests: a session of GnuTLS,
 * and its buffers when both are full. */
#define PD_NET_TLS_STREAM_BYTES (UINT64_C(96) << 10)
/* And each byte of certificates that are its own, or its listener's: read, they take 26 to 43. */
#define PD_NET_TLS_CERTIFICATE_FACTOR 48u
#define PD_NET_FOREVER UINT64_MAX

struct pd_net_socket {
    atomic_uint_least32_t references;
    struct pd_sockets *sockets;
    struct pd_socket *socket;
    struct pd_socket_tls *tls;           /* of a TLS stream, else NULL */
    struct pd_socket_identity *identity; /* of a TLS listener, else NULL */
    uint64_t charged;                    /* of TLS: bytes that count for whoever has it */
    /* Of all its clones, as in Lunatic. Milliseconds. */
    atomic_uint_least64_t read_timeout;
    atomic_uint_least64_t write_timeout;
    atomic_uint_least64_t peek_timeout;
};

/* Addresses, given out one by one. */
struct pd_net_names {
    uint32_t count;
    uint32_t at;
    struct pd_socket_address addresses[];
};

/* Tries: DONE, TRAP, or WAIT when the socket says PD_SOCKET_AGAIN. `socket` outlives it. */
typedef enum pd_call_result (*pd_net_attempt)(struct pd_call *call, struct pd_net_socket *socket);

struct pd_net_state {
    struct pd_id_table names;     /* struct pd_net_names */
    struct pd_id_table listeners; /* struct pd_net_socket */
    struct pd_id_table streams;
    struct pd_id_table datagrams;
    struct pd_id_table tls_listeners;
    struct pd_id_table tls_streams;
    struct pd_net_grants grants;
    struct pd_sockets *sockets; /* of the call that waits */
    /* Of the call that waits: there is one at a time. */
    struct pd_socket_wait wait;
    struct pd_net_socket *waits_for; /* a reference */
    pd_net_attempt attempt;
    unsigned id_argument; /* where the id of an error goes */
    uint32_t wants;       /* what its socket must be ready for; an attempt of TLS may change it */
    bool may_wait_first;  /* without having tried */
    struct pd_lookup *lookup;
    uint64_t deadline_ns;
};

/* --- State ------------------------------------------------------------------------------------ */

/* NULL after a trap (no memory). */
struct pd_net_state *pd_net_state_of(struct pd_call *call);
void pd_net_state_destroy(struct pd_wasm_process *self); /* there may be none */

/* The sockets of the system; NULL: the call has an error now, return its result. A deterministic
 * run has none. `id_argument` is where the error's id goes. */
struct pd_sockets *pd_net_sockets(struct pd_call *call, unsigned id_argument,
                                  enum pd_call_result *result_out);

/* Whose sockets and lookups they are: its environment's. */
uint64_t pd_net_owner(const struct pd_call *call);

/* True: it may have one more. */
bool pd_net_has_room(const struct pd_net_state *net);
/* And for the peer's address, so that a connection is taken only when it can be given. */
bool pd_net_has_room_to_accept(const struct pd_net_state *net);

/* Make an object of what was opened, and give it an id in `table`. On an error the socket is
 * closed. PD_ERR_NO_MEMORY, PD_ERR_FULL. */
PD_NODISCARD enum pd_status pd_net_socket_add(struct pd_net_state *net, struct pd_id_table *table,
                                              struct pd_sockets *sockets, struct pd_socket *socket,
                                              uint64_t *id_out);
/* Give an object an id in `table`, and write that where the argument says: takes the reference in
 * every case. Errors likewise. */
enum pd_call_result pd_net_answer_socket(struct pd_call *call, struct pd_id_table *table,
                                         struct pd_net_socket *socket, unsigned id_argument);

/* The parts that argument 1 (count in 2) points to, as many as one write takes. False: a trap was
 * set. */
bool pd_net_read_parts(struct pd_call *call, struct pd_span *parts, size_t *count_out);

/* There is a place for an id, or a count, where that argument points. False: a trap was set. To be
 * asked before anything is opened, taken or moved, so that a caught trap leaves all as it was. */
bool pd_net_has_place(struct pd_call *call, unsigned argument);

/* NULL: no memory, and the socket is closed. */
struct pd_net_socket *pd_net_socket_create(struct pd_sockets *sockets, struct pd_socket *socket);
struct pd_net_socket *pd_net_socket_share(struct pd_net_socket *socket);
void pd_net_socket_release(void *socket);

/* Argument 0's; NULL after a trap that names `thing` ("TCP stream"). */
struct pd_net_socket *pd_net_find(struct pd_call *call, enum pd_resource_kind kind,
                                  const char *thing);

/* The table of a kind that messages carry. NULL after a trap. */
struct pd_id_table *pd_net_table(struct pd_call *call, enum pd_resource_kind kind);

/* Drop and clone, alike for all. */
enum pd_call_result pd_net_drop(struct pd_call *call, struct pd_id_table *table, const char *thing);
enum pd_call_result pd_net_clone(struct pd_call *call, struct pd_id_table *table,
                                 const char *thing);

/* --- Waiting ---------------------------------------------------------------------------------- */

/* Whether an attempt that has checked its arguments should begin to wait at once: the socket is
 * known not to be ready. */
bool pd_net_must_wait(const struct pd_call *call, const struct pd_net_socket *socket);

/* Try, and go on trying when the socket is ready for `events`, for so long; PD_NET_TIMED_OUT then.
 * Return its result. Errors of the wait itself go to the argument `id_argument`, as does what
 * `attempt` answers: it traps first if that is no place. */
enum pd_call_result pd_net_try(struct pd_call *call, struct pd_net_socket *socket, uint32_t events,
                               uint64_t timeout_ms, pd_net_attempt attempt, unsigned id_argument);

/* --- Addresses -------------------------------------------------------------------------------- */

/* The five arguments of a socket address from `first` on. False: a trap was set. */
bool pd_net_read_address(struct pd_call *call, unsigned first, struct pd_socket_address *to);

/* An iterator over `count` addresses. PD_ERR_FULL, PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_net_names_add(struct pd_net_state *net,
                                             const struct pd_socket_address *addresses,
                                             uint32_t count, uint64_t *id_out);

/* The answer of the *_addr functions: an iterator over this one, its id at argument 1. */
enum pd_call_result pd_net_answer_address(struct pd_call *call, int error,
                                          const struct pd_socket_address *address);

/* --- Errors ----------------------------------------------------------------------------------- */

/* "WHAT: text (os error N)". */
enum pd_call_result pd_net_error(struct pd_call *call, unsigned id_argument, const char *what,
                                 int error);
enum pd_call_result pd_net_status(struct pd_call *call, unsigned id_argument,
                                  enum pd_status status);

/* Its right does not reach so far: "may not VERB TARGET". */
enum pd_call_result pd_net_denied(struct pd_call *call, unsigned id_argument, const char *verb,
                                  const char *target);

/* --- Checks ----------------------------------------------------------------------------------- */

/* May it? The address is where it will really get. */
bool pd_net_may_connect(struct pd_call *call, struct pd_socket_address *address);
bool pd_net_may_listen(struct pd_call *call, const struct pd_socket_address *address);

/* Whether "::" shall leave IPv4 alone: whose right is a list named IPv6 only. */
bool pd_net_is_v6_only(const struct pd_call *call);

#endif
