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

#endif
