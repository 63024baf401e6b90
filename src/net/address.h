/* address - transport addresses as text and as the system's. Pure.
 *
 * Model  Text is "192.0.2.1:7000" or "[2001:db8::1]:7000"; names are not addresses. */
#ifndef PD_NET_ADDRESS_H
#define PD_NET_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>

#include "base/transport.h"

#define PD_NET_ADDRESS_TEXT_MAX 64u

/* PD_ERR_INVALID: not an address with a port. */
PD_NODISCARD enum pd_status pd_net_address_parse(const char *text,
                                                 struct pd_transport_address *address_out);
/* As parse takes it. */
void pd_net_address_print(const struct pd_transport_address *address,
                          char text[PD_NET_ADDRESS_TEXT_MAX]);
bool pd_net_address_is_equal(const struct pd_transport_address *one,
                             const struct pd_transport_address *other);
/* IPv4 stays mapped into IPv6. */
void pd_net_address_to_system(const struct pd_transport_address *address,
                              struct sockaddr_in6 *system_out);

#endif
