/* grpc_headers - whether a request of HTTP/2 is well-formed (RFC 9113, 8.1 to 8.3). Pure. Private
 * to src/gateway.
 *
 * Model      nghttp2 has a check of its own, which is off: it refuses each ":authority" that is
 *            none by RFC 3986, and clients of gRPC send such ones: a whole URL (etcd's client 3.4),
 *            or "#initially=[...]" (3.5.0). Nothing here is chosen by that field, so it may be any
 *            text. What stays is what tells a request from nonsense: names, the order and number of
 *            the pseudo-headers, no headers of a connection, and a body as long as was said.
 * Result     False means a malformed request: its stream is reset with PROTOCOL_ERROR. */
#ifndef PD_GATEWAY_GRPC_HEADERS_H
#define PD_GATEWAY_GRPC_HEADERS_H

#include <stdbool.h>

#include "base/span.h"

struct pd_grpc_headers {
    unsigned seen;     /* a bit for each pseudo-header that came */
    bool has_fields;   /* a header that is none came: no pseudo-header may follow */
    bool has_length;   /* a content-length came */
    uint64_t length;   /* what it says */
    uint64_t received; /* bytes of the body so far */
};

/* The next header of a request. */
bool pd_grpc_headers_take(struct pd_grpc_headers *headers, struct pd_span name,
                          struct pd_span value);
/* All have come: whether none is missing. */
bool pd_grpc_headers_are_whole(const struct pd_grpc_headers *headers);
/* `size` bytes more of the body. */
bool pd_grpc_headers_take_body(struct pd_grpc_headers *headers, size_t size);
/* Whether a body may end here. */
bool pd_grpc_headers_fit_body(const struct pd_grpc_headers *headers);
/* A header behind the body. */
bool pd_grpc_trailer_is_good(struct pd_span name, struct pd_span value);

#endif
