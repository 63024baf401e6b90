/* http1 - HTTP/1.1 as a protocol (protocol.h). Private to src/gateway.
 *
 * Model      Every request is answered 501 in plain words, and the connection ends. */
#ifndef PD_GATEWAY_HTTP1_H
#define PD_GATEWAY_HTTP1_H

#include "gateway/protocol.h"

struct pd_http1;

extern const struct pd_protocol pd_http1_protocol; /* its state is a struct pd_http1 */

/* NULL: no memory. */
struct pd_http1 *pd_http1_open(const struct pd_protocol_owner *owner);

#endif
