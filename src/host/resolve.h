/* resolve - from "HOST:PORT" to an address, HOST a name or an address in numbers.
 *
 * Model  A name is asked of the system, and that may take seconds: never on a thread that others
 *        wait for. An address in numbers is answered at once. An IPv6 one stands in brackets. */
#ifndef PD_HOST_RESOLVE_H
#define PD_HOST_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/transport.h"

#define PD_RESOLVE_HOST_MAX 254u /* with its zero byte */
#define PD_RESOLVE_TEXT_MAX 384u

/* Whether the text has that form; what it is made of. */
bool pd_host_split_place(const char *text, char host[PD_RESOLVE_HOST_MAX], uint16_t *port_out);

/* The first address that the system names, one of IPv4 before one of IPv6: a node that listens on
 * any address takes both.
 * PD_ERR_INVALID  not that form.
 * PD_ERR_UNKNOWN  there is no such name, or not now: ask again later.
 * text: what is wrong, for a person; empty with PD_OK. */
PD_NODISCARD enum pd_status pd_host_resolve(const char *place,
                                            struct pd_transport_address *address_out,
                                            char text[PD_RESOLVE_TEXT_MAX]);

/* Whether it is an address of one of this machine's interfaces. */
bool pd_host_is_own_address(const struct pd_transport_address *address);

#endif
