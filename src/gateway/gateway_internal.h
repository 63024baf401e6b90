/* gateway_internal - the gateway and one connection, as the files that serve them share them.
 *
 *   gateway.c             who comes in, the loop, opening and closing
 *   gateway_connection.c  what leaves a connection, when it is late, how it ends
 *   gateway_input.c       what comes in through it: which protocol, TLS, whose turn a handshake is
 *
 * All of it runs on the gateway's thread. Whatever may have caused requests or output marks its
 * connection and settles once, at the end of what the loop called. */
#ifndef PD_GATEWAY_GATEWAY_INTERNAL_H
#define PD_GATEWAY_GATEWAY_INTERNAL_H

#include <stdatomic.h>
#include <uv.h>

#include "base/list.h"
#include "gateway/gateway.h"

/* What is read, or gathered for writing, at a time. */
#define PD_GATEWAY_ROOM_BYTES ((size_t)256 * 1024)
#define PD_GATEWAY_PLAIN_BYTES (PD_GATEWAY_ROOM_BYTES + PD_TLS_AHEAD_BYTES)
#define PD_GATEWAY_WIRE_BYTES PD_TLS_WIRE_BYTES(PD_GATEWAY_ROOM_BYTES)
/* The longest of the beginnings that tell a protocol (gateway_input.c). */
#define PD_GATEWAY_PEEK_SIZE 24u
#define PD_GATEWAY_SECOND_NS UINT64_C(1000000000)

struct pd_gateway_connection {
    uv_tcp_t socket; /* first */
    uv_timer_t timer;
    uv_write_t write;
    struct pd_gateway *gateway;
    struct pd_list link;
    struct pd_list dirty;               /* linked: it may have output */
    struct pd_list turn;                /* linked: of the gateway's handshakes, or its waiting */
    struct pd_tls *tls;                 /* NULL: none, or it is not its turn yet */
    uint64_t shakes_ns;                 /* since when */
    const struct pd_protocol *protocol; /* NULL: not known yet */
    void *state;
    uint64_t hello_deadline_ns;
    uint64_t armed_ns;                /* what the timer stands at; UINT64_MAX: nothing */
    uint8_t *pending;                 /* what the socket did not take at once */
    struct pd_service_client waiting; /* pending's bytes */
    size_t left;                      /* of it, when that was last looked at; pending is not NULL */
    uint64_t stall_deadline_ns;
    uint32_t handles; /* open */
    uint8_t peeked[PD_GATEWAY_PEEK_SIZE];
    uint8_t peeked_size;
    bool is_paused; /* not read from: it does not read */
    bool is_reset;  /* it takes nothing: the system is not to keep what waits for it */
    bool ends;      /* once its output has left */
    bool shakes;    /* of the gateway's handshakes */
    bool is_silent; /* TLS has told the protocol, and nothing came since */
    bool is_closing;
};

struct pd_gateway {
    struct pd_gateway_config config;
    struct pd_backend *backend;
    struct pd_service *service;
    struct pd_grpc_shared grpc;
    struct pd_http1_shared http1;
    struct pd_native_shared native;
    uv_loop_t loop;
    uv_tcp_t listener;
    uv_async_t wake;
    uv_check_t turn; /* after what a turn of the loop has read */
    uv_timer_t backend_timer;
    uv_timer_t accept_timer;
    uint64_t backend_armed_ns;
    struct pd_list connections;
    struct pd_list dirty;
    struct pd_list rest; /* by `dirty`: they go on in the next turn */
    uint32_t connection_count;
    struct pd_gateway_counters counters;
    struct pd_list handshakes; /* under way, oldest first */
    struct pd_list waiting;    /* for their turn, and not read from */
    uint32_t handshake_count;
    struct pd_tls_credentials *credentials; /* NULL: no TLS */
    _Atomic(struct pd_tls_credentials *) renewed;
    uint64_t noted_ns;
    uint8_t *room_in;
    uint8_t *room_out;
    uint8_t *room_plain; /* of TLS; so for the next */
    uint8_t *room_wire;
    atomic_bool is_asked_to_stop;
    atomic_bool health_changed;
    bool stops;
    uint16_t port;
};

static inline struct pd_gateway_connection *pd_gateway_connection_of(uv_handle_t *handle)
{
    return handle->data;
}

static inline uint64_t pd_gateway_now_ns(const struct pd_gateway *gateway)
{
    return gateway->backend->now_ns(gateway->backend);
}

/* Whole milliseconds until then, at least one: a timer must not come early. */
static inline uint64_t pd_gateway_wait_ms(uint64_t now, uint64_t deadline_ns)
{
    return deadline_ns <= now ? 1 : (deadline_ns - now) / UINT64_C(1000000) + 1;
}

/* -- gateway.c --------------------------------------------------------------------------------- */

/* After anything that may have caused requests or output: hand them over, and see to the timers. */
void pd_gateway_settle(struct pd_gateway *gateway);

/* -- gateway_connection.c ---------------------------------------------------------------------- */

/* It ends now, and is gone once the loop has closed what it had open. Again: nothing. */
void pd_gateway_hang_up(struct pd_gateway_connection *connection);
/* As pd_gateway_hang_up, of a peer that broke a rule: counted. */
void pd_gateway_break_off(struct pd_gateway_connection *connection);
/* Everything has left: the end, which TLS tells. */
void pd_gateway_finish(struct pd_gateway_connection *connection);
/* It may have output: pd_gateway_settle looks. A struct pd_protocol_owner's wants_output. */
void pd_gateway_mark_dirty(void *connection);
/* To the socket, which takes nothing else now. False: the connection is gone. */
bool pd_gateway_write_now(struct pd_gateway_connection *connection, const uint8_t *bytes,
                          size_t size);
/* What its protocol has to say, as far as the socket takes it. */
void pd_gateway_flush(struct pd_gateway_connection *connection);
/* The timer comes when something of it is due. */
void pd_gateway_arm(struct pd_gateway_connection *connection);

/* -- gateway_input.c --------------------------------------------------------------------------- */

/* Who does not read, or is ahead of what its protocol can take, is not read from. */
void pd_gateway_pace(struct pd_gateway_connection *connection);
void pd_gateway_begin_reading(struct pd_gateway_connection *connection);
/* Its handshake's turn, now or after others'. Whoever only holds a place while others wait loses
 * it. */
void pd_gateway_ask_for_turn(struct pd_gateway_connection *connection);
/* Its handshake is over, or it is. */
void pd_gateway_leave_turn(struct pd_gateway_connection *connection);

#endif
