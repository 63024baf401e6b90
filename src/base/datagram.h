/* datagram - one UDP socket served by one thread: the interface whose real half is src/host/udp.c.
 *
 * Model      The loop owns the socket, the timer and the thread; the user owns what the datagrams
 *            mean. After anything has happened (datagrams came, the deadline passed, somebody woke
 *            the loop) the loop calls `turn`, then sends what `next` gives until it gives nothing,
 *            then asks for the deadline.
 * Ownership  Bytes that come in are borrowed for the call; bytes of `next` until its next call.
 * Threads    The user's functions run on the loop's thread, one at a time. wake: any thread.
 * Time       now_ns is the host's. */
#ifndef PD_BASE_DATAGRAM_H
#define PD_BASE_DATAGRAM_H

#include "base/transport.h"

#define PD_DATAGRAM_BYTES_MAX 2048u /* of one that comes in; longer ones are dropped */
#define PD_DATAGRAM_BATCH_MAX 64u

struct pd_datagram_loop;

struct pd_datagram {
    struct pd_transport_address remote;
    uint8_t ecn; /* the two bits of the IP header */
    const uint8_t *bytes;
    size_t size;
    /* Going out: several datagrams of segment_size each, the last one may be shorter; 0: it is
     * one. */
    size_t segment_size;
};

struct pd_datagram_user {
    void (*received)(void *state, uint64_t now_ns, const struct pd_datagram *datagrams,
                     uint32_t count);
    void (*turn)(void *state, uint64_t now_ns);
    bool (*next)(void *state, uint64_t now_ns, struct pd_datagram *datagram_out);
    uint64_t (*deadline_ns)(void *state); /* PD_TIME_NEVER: none */
    /* This machine's addresses have changed, as far as the system tells. `turn` follows. May be
     * NULL. */
    void (*moved)(void *state, uint64_t now_ns);
    void *state;
};

/* Since it was opened. */
struct pd_datagram_counters {
    uint64_t trains;         /* several datagrams that the system took as one */
    uint64_t trains_refused; /* that it did not, while it took their datagrams */
    uint64_t moves;          /* changes of this machine's addresses */
};

struct pd_datagram_loop_ops {
    /* Start the thread. Once. PD_ERR_IO: there is none to be had. */
    enum pd_status (*start)(struct pd_datagram_loop *loop, const struct pd_datagram_user *user);
    /* A last turn, then what `next` still gives is sent if the socket takes it at once; end the
     * thread. Not from within the user's functions. */
    void (*stop)(struct pd_datagram_loop *loop);
    void (*wake)(struct pd_datagram_loop *loop);
    /* Where the socket is bound. */
    void (*local)(struct pd_datagram_loop *loop, struct pd_transport_address *address_out);
    /* On the loop's thread, or when it does not run. */
    void (*counters)(struct pd_datagram_loop *loop, struct pd_datagram_counters *counters_out);
};

struct pd_datagram_loop {
    const struct pd_datagram_loop_ops *ops;
};

#endif
