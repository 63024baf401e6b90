/* protocol - what a connection's bytes mean, whatever socket they came through. Private to
 * src/gateway.
 *
 * Model      The socket's owner peeks at the first bytes, chooses a protocol, opens it, and then
 *            gives it every byte that comes. What it wants to send it is asked for. No I/O and no
 *            clock of its own.
 * Time       now_ns comes with receive and expire; deadline_ns arms the one timer.
 * Ownership  Output is borrowed until the next call of any function of the protocol. */
#ifndef PD_GATEWAY_PROTOCOL_H
#define PD_GATEWAY_PROTOCOL_H

#include <stdbool.h>

#include "base/span.h"
#include "base/status.h"

/* The socket's side. */
struct pd_protocol_owner {
    /* There is output that was not asked for: an answer came. May be called from within any
     * function of the protocol. */
    void (*wants_output)(void *connection);
    void *connection;
};

struct pd_protocol {
    /* The next bytes of the peer. Not PD_OK: it broke the protocol; what output there is may be
     * sent, then hang up. */
    enum pd_status (*receive)(void *state, struct pd_span bytes, uint64_t now_ns);
    /* The next bytes for the peer; empty: none now. */
    struct pd_span (*output)(void *state);
    /* Nothing will come any more: hang up once the output has left. */
    bool (*has_ended)(const void *state);
    /* More is not wanted now: do not read from the peer until it is false. NULL: never. */
    bool (*is_full)(const void *state);
    /* The peer is not read from any more, so what it has begun to say is nothing that it could be
     * late with; or it is again. NULL: that does not matter. */
    void (*paced)(void *state, bool is_paused, uint64_t now_ns);
    uint64_t (*deadline_ns)(const void *state); /* UINT64_MAX: none */
    /* Not PD_OK: the peer is too slow; hang up, whatever still waits to be sent. */
    enum pd_status (*expire)(void *state, uint64_t now_ns);
    void (*close)(void *state);
};

#endif
