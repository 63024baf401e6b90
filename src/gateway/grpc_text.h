/* grpc_text - the texts of gRPC's headers. Pure. Private to src/gateway.
 *
 * See "gRPC over HTTP/2", sections Requests and Responses. */
#ifndef PD_GATEWAY_GRPC_TEXT_H
#define PD_GATEWAY_GRPC_TEXT_H

#include <stdbool.h>

#include "base/span.h"

/* A status message as a header's value: everything but printable ASCII, and '%', as %XX. Cut at
 * `room`; returns its size. */
size_t pd_grpc_encode_message(const char *text, char *to, size_t room);

/* "100m", "5S": at most eight digits and a unit. False: not a timeout. */
bool pd_grpc_parse_timeout(struct pd_span text, uint64_t *timeout_ns_out);

#endif
