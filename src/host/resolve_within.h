/* resolve_within - resolve.h for who cannot wait for as long as the system may take, which is
 * minutes while its resolver is silent.
 *
 * Model      A thread of its own asks; who asked waits until the time is over, and no longer. The
 *            thread then ends by itself, when the system has answered it.
 * Bounds     One thread for each name under way: for programs that ask for few. */
#ifndef PD_HOST_RESOLVE_WITHIN_H
#define PD_HOST_RESOLVE_WITHIN_H

#include "host/resolve.h"

/* As pd_host_resolve; and PD_ERR_TIMEOUT: the system has not answered yet. PD_ERR_NO_MEMORY, also
 * for a thread. text: as there. */
PD_NODISCARD enum pd_status pd_host_resolve_within(const char *place, uint64_t timeout_ns,
                                                   struct pd_transport_address *address_out,
                                                   char text[PD_RESOLVE_TEXT_MAX]);

/* The same for who has to look at something else meanwhile: it asks for a slice of time, again and
 * again, whether the answer is there. */
struct pd_resolve_lookup;

/* *lookup_out: to be left. PD_ERR_INVALID, PD_ERR_NO_MEMORY: there is none, and text says why. */
PD_NODISCARD enum pd_status pd_host_resolve_start(const char *place,
                                                  struct pd_resolve_lookup **lookup_out,
                                                  char text[PD_RESOLVE_TEXT_MAX]);
/* As pd_host_resolve_within; after PD_ERR_TIMEOUT it may be waited for again. */
PD_NODISCARD enum pd_status pd_host_resolve_wait(struct pd_resolve_lookup *lookup,
                                                 uint64_t timeout_ns,
                                                 struct pd_transport_address *address_out,
                                                 char text[PD_RESOLVE_TEXT_MAX]);
void pd_host_resolve_leave(struct pd_resolve_lookup *lookup);

#endif
