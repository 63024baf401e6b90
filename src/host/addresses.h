/* addresses - whether this machine's addresses have changed, as Linux tells it (rtnetlink).
 *
 * Model      A file becomes readable when interfaces or addresses come, go or change. Most such
 *            words mean nothing here (a container starts, a lifetime is renewed): what counts is
 *            the set of addresses from which another machine can be reached, of interfaces that are
 *            up; links' own addresses (fe80::/10, 169.254.0.0/16) and loopback's are none. Words
 *            that cannot have changed it are read and passed over; others make a look at all of
 *            the machine's interfaces due, one for however many words.
 * Bounds     A look takes some 30 us for each interface, on a thread that may have better to do:
 *            there is at most one in PD_ADDRESSES_PAUSE_NS, and no more than one part in
 *            PD_ADDRESSES_SHARE of the time goes into them; but none waits for longer than
 *            PD_ADDRESSES_PAUSE_MAX_NS after the last one, which a machine that slept may have
 *            drawn out. PD_ADDRESSES_READS_MAX reads a call.
 * Time       now_ns is the caller's clock: it comes in with each call, and never goes back.
 * Ownership  open and close; the structure is the caller's.
 * Threads    One. */
#ifndef PD_HOST_ADDRESSES_H
#define PD_HOST_ADDRESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define PD_ADDRESSES_PAUSE_NS UINT64_C(100000000)
#define PD_ADDRESSES_PAUSE_MAX_NS UINT64_C(5000000000)
#define PD_ADDRESSES_SHARE 20u
#define PD_ADDRESSES_READS_MAX 64u

struct ifaddrs;

struct pd_addresses {
    int file;          /* to be watched for reading; -1: none */
    uint64_t seen;     /* the digest of the last look */
    bool is_due;       /* something was told since that may have changed them */
    uint64_t next_ns;  /* no look before */
    uint64_t begun_ns; /* the last look */
    uint64_t looks;
};

/* PD_ERR_UNSUPPORTED: the system does not tell; file is -1, and close may be called. */
PD_NODISCARD enum pd_status pd_addresses_open(struct pd_addresses *addresses);
void pd_addresses_close(struct pd_addresses *addresses);

/* The file became readable: take what is there. What is left keeps it readable. */
void pd_addresses_read(struct pd_addresses *addresses);
/* When a look is due; PD_TIME_NEVER: nothing was told that would need one. */
uint64_t pd_addresses_due_ns(const struct pd_addresses *addresses);
/* Look, if it is due. True: the addresses are others than at the last look or at open, or cannot be
 * seen (no memory or files). */
bool pd_addresses_have_changed(struct pd_addresses *addresses, uint64_t now_ns);
/* What have_changed did is over now: the longer it took, the later the next look. */
void pd_addresses_rest(struct pd_addresses *addresses, uint64_t now_ns);

/* Whether a read from the file may mean a change: of an address that counts, or of an interface;
 * and whatever is not understood. For tests. */
bool pd_addresses_word_counts(const uint8_t *bytes, size_t size);

/* A number for the addresses in a list that count, in whatever order. For tests. */
uint64_t pd_addresses_digest(const struct ifaddrs *list);

#endif
