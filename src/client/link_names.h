/* link_names - the addresses of a host's name, asked of the system for no longer than a deadline.
 *
 * Model      Addresses in numbers are there at once. A name is asked for by a thread of its own,
 *            which nobody waits for once the deadline is over: it ends when the system has answered
 *            it.
 * Bounds     PD_LINK_LOOKUPS_MAX such threads in the process, those that nobody waits for included;
 *            who comes then waits for a place.
 * Threads    Any. */
#ifndef PD_CLIENT_LINK_NAMES_H
#define PD_CLIENT_LINK_NAMES_H

#include <netdb.h>

#include "client/link.h"

#define PD_LINK_LOOKUPS_MAX 8u

/* The caller's, to be freed with freeaddrinfo. PD_ERR_CLOSED: there is no such host, or it cannot
 * be told; PD_ERR_TIMEOUT: of it, or of as many lookups before it as may be; PD_ERR_NO_MEMORY.
 * link->text says why. */
PD_NODISCARD enum pd_status pd_link_find(struct pd_link *link,
                                         const struct pd_link_endpoint *endpoint,
                                         uint64_t deadline_ms, struct addrinfo **found_out);

#endif
