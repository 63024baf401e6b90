/* addresses - whether this machine's addresses have changed, as Linux tells it (rtnetlink).
 *
 * Model      A file becomes readable when interfaces or addresses come, go or change. Most such
 *            words mean nothing here (a container starts, a lifetime is renewed): what counts is
 *            the set of addresses from which another machine can be reached, of interfaces that are
 *            up; links' own addresses (fe80::/10, 169.254.0.0/16) and loopback's are none.
 * Ownership  open and close; the structure is the caller's.
 * Threads    One. */
#ifndef PD_HOST_ADDRESSES_H
#define PD_HOST_ADDRESSES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

struct ifaddrs;

struct pd_addresses {
    int file; /* to be watched for reading; -1: none */
    uint64_t seen;
};

/* PD_ERR_UNSUPPORTED: the system does not tell; file is -1, and close may be called. */
PD_NODISCARD enum pd_status pd_addresses_open(struct pd_addresses *addresses);
void pd_addresses_close(struct pd_addresses *addresses);

/* The file became readable: take what is there. True: the addresses are others than at the last
 * call or at open. */
bool pd_addresses_have_changed(struct pd_addresses *addresses);

/* A number for the addresses in a list that count, in whatever order. For tests. */
uint64_t pd_addresses_digest(const struct ifaddrs *list);

#endif
