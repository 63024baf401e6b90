/* gateway_reads - a gateway's linearizable reads, gathered so that many share one round. Pure: no
 * I/O or clock; memory within bounds.
 *
 * Model      Whatever else a cluster does for such a read, it asks the members once who leads, for
 *            all reads that came before: the same work for one read and for a hundred. So where
 *            many are under way, those that come are kept until a round is over, and then for as
 *            long as it takes those who were just answered to ask again: at most twice the time of
 *            the round, and 2 ms. Where few are under way each goes at once.
 * Order      A read goes as it came, and later than it came: what it sees is never older for that.
 *            One that takes longer than two rounds at most may last (a scan) is not among the many.
 * Time       A round without any answer holds up nobody for longer than 4 ms: with what follows it,
 *            6, and up to 2 more in a loop that waits by whole milliseconds.
 * Bounds     64 KiB, or 256 reads, those included that are refused and not told: no more are taken.
 *            One that is larger is taken when fewer bytes than that are kept.
 * Ownership  A read's bytes are copied. What `next` gives is borrowed until something is added. */
#ifndef PD_NODE_GATEWAY_READS_H
#define PD_NODE_GATEWAY_READS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

#define PD_GATEWAY_READS_MAX 256u

struct pd_gateway_reads {
    uint8_t *bytes; /* of those that are kept: each a head, and its request */
    size_t size;
    size_t capacity;
    size_t at; /* up to here they were sent */
    uint32_t count;
    uint64_t last; /* the tag that was given last */
    /* Were sent, and are not answered: since window_ns, in the window before, and earlier. */
    uint32_t flying;
    uint32_t before;
    uint32_t stale;
    uint64_t window_ns;
    bool is_sending; /* until nothing is kept */
    bool is_asked;   /* nothing was answered since some were sent */
    uint32_t wanted; /* that many need not wait for due_ns */
    uint64_t sent_ns;
    uint64_t due_ns;
    uint64_t refused[PD_GATEWAY_READS_MAX]; /* tags that are to be told so */
    uint32_t refused_at;
    uint32_t refused_count;
};

void pd_gateway_reads_deinit(struct pd_gateway_reads *reads);

/* PD_ERR_FULL: the bounds are reached, and what is kept is due (`next`), or refused ones are to be
 * told. PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_gateway_reads_add(struct pd_gateway_reads *reads, uint64_t tag,
                                                 struct pd_span request);

/* The next one that is to be sent now; it is done with. */
bool pd_gateway_reads_next(struct pd_gateway_reads *reads, uint64_t now_ns, uint64_t *tag_out,
                           struct pd_span *request_out);

/* Of one that was sent, once. */
void pd_gateway_reads_answered(struct pd_gateway_reads *reads, uint64_t now_ns);

/* The one that `next` gave last could not be sent. It is given by next_refused. */
void pd_gateway_reads_refused(struct pd_gateway_reads *reads);
bool pd_gateway_reads_next_refused(struct pd_gateway_reads *reads, uint64_t *tag_out);

/* When `next`, or next_refused, is to be called if nothing happens before; UINT64_MAX: never. */
uint64_t pd_gateway_reads_deadline_ns(const struct pd_gateway_reads *reads);

#endif
