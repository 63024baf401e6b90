/* udp - base/datagram.h on Linux: a UDP socket on a thread with libuv's loop.
 *
 * Model      The socket is watched by uv_poll and read by recvmmsg, because uv_udp shows no control
 *            messages. Trains of datagrams leave in one sendmsg (UDP_SEGMENT) and come in by one
 *            read (UDP_GRO) when the kernel has that, else one by one. A train that the system
 *            refuses as one leaves packet by packet; when 16 in a row were refused, and none taken
 *            between them, all do from there on. What the socket does not take waits until it can
 *            be written.
 * Bounds     One train waits; PD_DATAGRAM_BATCH_MAX datagrams come in at once.
 * Address    An IPv6 socket takes IPv4 as well; where there is no IPv6, an IPv4 one. Never
 *            fragmented: a datagram that is too large for the path is lost. A socket that is bound
 *            to every address leaves from whichever leads there; one that is bound to one stays
 *            there, is mute while this machine does not have it, and works again when it returns.
 * Moves      The user is told when this machine's addresses change (addresses.h), not more often
 *            than they are looked at. */
#ifndef PD_HOST_UDP_H
#define PD_HOST_UDP_H

#include "base/datagram.h"
#include "base/host.h"

#define PD_UDP_TEXT_MAX 256u

struct pd_udp;

struct pd_udp_config {
    struct pd_host *host;                /* its clock */
    struct pd_transport_address address; /* port 0: any */
    uint32_t
        buffer_bytes; /* of the socket, each way, as far as the system allows; 0: its default */
    bool no_trains;   /* one datagram a call, as on a kernel without UDP_SEGMENT: for tests */
    /* On the loop's thread, once at most: what an operator should know. May be NULL. */
    void (*note)(void *state, const char *text);
    /* For tests; NULL: nothing is refused. Asked before each call of the system's, with the bytes
     * of the train or the datagram: 0, or the errno that it fails with. */
    int (*refuse)(void *state, size_t size, bool is_train);
    void *state; /* of both */
};

/* PD_ERR_EXISTS: the address is in use. PD_ERR_DENIED: the system refuses it. PD_ERR_IO,
 * PD_ERR_NO_MEMORY. text: for a person; empty with PD_OK. */
PD_NODISCARD enum pd_status pd_udp_open(const struct pd_udp_config *config,
                                        char text[PD_UDP_TEXT_MAX], struct pd_udp **udp_out);
struct pd_datagram_loop *pd_udp_loop(struct pd_udp *udp);
/* After stop, or if it was never started. */
void pd_udp_close(struct pd_udp *udp);

struct pd_udp_counters {
    uint64_t received;
    uint64_t reads;     /* calls of recvmmsg that gave something */
    uint64_t too_large; /* dropped */
    uint64_t sent;
    uint64_t writes;
    uint64_t refused; /* datagrams and trains, by the system: no route, too large for the path */
    uint64_t trains;  /* taken as one */
    uint64_t trains_refused; /* as trains, while their packets were taken */
    uint64_t waits;          /* the socket's buffer was full */
    uint64_t moves;          /* changes of this machine's addresses */
    bool has_trains;
};
/* On the loop's thread, or when it does not run. */
void pd_udp_counters(const struct pd_udp *udp, struct pd_udp_counters *counters_out);

#endif
