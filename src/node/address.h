/* address - "HOST:PORT" as people write it, for peers. Pure.
 *
 * Model   HOST is a numeric IPv4 address, or an IPv6 one in brackets. Names are not resolved here.
 * Trust   Parsing accepts any bytes. */
#ifndef PD_NODE_ADDRESS_H
#define PD_NODE_ADDRESS_H

#include "base/transport.h"

#define PD_ADDRESS_TEXT_MAX 64u

/* PD_ERR_INVALID: not an address, or port 0. */
PD_NODISCARD enum pd_status pd_address_parse(struct pd_span text,
                                             struct pd_transport_address *address_out);

#endif
