/* dialer - asks other nodes whether they are there, under a key of nobody's: whoever answers must
 * prove its own.
 *
 * Model  One node at a time, over QUIC, until it has proved its key, refused, or DIAL_NS is over.
 *        Nothing is asked of it beyond that, but what time it is there. */
#ifndef PD_CLI_DIALER_H
#define PD_CLI_DIALER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/host.h"
#include "base/transport.h"

#define PD_DIALER_TEXT_MAX 256u

struct pd_net;
struct pd_udp;

struct pd_dialer {
    struct pd_host *host;
    struct pd_udp *udp;
    struct pd_net *net;
    struct pd_event event;
    /* The newest link that was opened, and closed, and why; written by the network's thread. A link
     * that was given up may still be either: links are numbered upwards. */
    atomic_uint_least64_t opened;
    atomic_uint_least64_t closed;
    atomic_uint_least64_t answered; /* the newest link that was answered about the clock: */
    atomic_uint_least64_t there_ns; /* its time; 0: not told */
    atomic_uint_least64_t came_ns;  /* the time here when that came */
    uint64_t link;                  /* that was dialed last */
    const char *closed_why;         /* static, as the next; written before `closed` */
    const char *why;                /* why the last one did not answer */
};

/* PD_OK: to be closed. Else text says why not. The dialer is not moved while it is open. */
PD_NODISCARD enum pd_status pd_dialer_open(struct pd_dialer *dialer, struct pd_host *host,
                                           char text[PD_DIALER_TEXT_MAX]);
/* Whether who holds `key` answers at `address`; dialer->why: why not. */
bool pd_dialer_dial(struct pd_dialer *dialer, const uint8_t key[PD_TRANSPORT_KEY_SIZE],
                    const struct pd_transport_address *address);
/* Of the one that was dialed last, and is there: how far its clock is ahead of the one here, below
 * 0: behind, and how far that may be off, as the answer took twice so long. False: it does not
 * tell. */
bool pd_dialer_clock(struct pd_dialer *dialer, int64_t *ahead_ns_out, uint64_t *error_ns_out);
void pd_dialer_close(struct pd_dialer *dialer);

#endif
