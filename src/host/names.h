/* names - addresses of names for threads that never wait: asked of the system (resolve.h) by a
 * thread of its own, again and again, since they change.
 *
 * Model      Who wants an address asks; the first time there is none yet. When one came or changed
 *            the version is another one: ask again then. A name that has no address any more keeps
 *            its last one.
 * Bounds     PD_NAMES_MAX names, which stay until close; more have no address.
 * Threads    open, close: one. find, version: any, and they never wait for the system. Nor does
 *            close: the thread ends by itself when the system has answered it. */
#ifndef PD_HOST_NAMES_H
#define PD_HOST_NAMES_H

#include "base/host.h"
#include "base/transport.h"

#define PD_NAMES_MAX 256u
#define PD_NAMES_TEXT_MAX 272u

struct pd_names;

/* PD_ERR_NO_MEMORY. The thread begins with the first name. */
PD_NODISCARD enum pd_status pd_names_open(struct pd_names **names_out);
void pd_names_close(struct pd_names *names);

/* "HOST:PORT". False: not known, not yet or not at all. */
bool pd_names_find(struct pd_names *names, const char *place,
                   struct pd_transport_address *address_out);
uint64_t pd_names_version(const struct pd_names *names);

#endif
