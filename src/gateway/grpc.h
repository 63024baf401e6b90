/* grpc - gRPC over HTTP/2 as a protocol (protocol.h): nghttp2 around the services. Private to
 * src/gateway.
 *
 * Model      A stream is a call. Its request's messages are cut from DATA frames, decoded and given
 *            to the service; responses wait in the stream until the peer's window takes them; the
 *            end is a status in the trailers.
 * Bounds     struct pd_grpc_config. A message, a header block or a stream too many is refused; a
 *            stream whose responses wait is held (service.h); a peer that lets output_bytes_max
 *            gather, or more than the service has left for all, is hung up on. Window is given back
 *            for what was taken, no earlier. Of what comes in part, a connection may hold as much
 *            as is left for all others: so few that never end theirs do not shut out many.
 * Timeout    grpc-timeout ends a call with DEADLINE_EXCEEDED. Its work may still happen. A message
 *            that was begun is whole within message_ns, or ends its call likewise; the time for
 *            which the connection is not read from does not count. */
#ifndef PD_GATEWAY_GRPC_H
#define PD_GATEWAY_GRPC_H

#include "gateway/protocol.h"
#include "gateway/service.h"

struct pd_grpc_config {
    uint32_t streams_max;       /* of a connection */
    uint32_t header_bytes_max;  /* of a request: names, values, 32 for each */
    uint32_t message_bytes_max; /* of a request */
    uint64_t input_bytes_max;   /* of a connection: requests that are not whole, or wait */
    uint64_t inputs_bytes_max;  /* of all connections together */
    uint64_t message_ns;        /* from a message's first byte to its last */
    uint32_t stream_window;     /* bytes that a peer may send ahead */
    uint32_t connection_window;
    uint64_t output_bytes_soft; /* of a stream: held beyond */
    uint64_t output_bytes_max;  /* of a connection: hung up on beyond */
};
struct pd_grpc_config pd_grpc_config_default(void);

/* What all connections of a gateway share. */
struct pd_grpc_shared {
    struct pd_grpc_config config;
    struct pd_service *service;
    uint64_t input_bytes; /* held now */
};

struct pd_grpc;

extern const struct pd_protocol pd_grpc_protocol; /* its state is a struct pd_grpc */

/* NULL: no memory. shared outlives it. */
struct pd_grpc *pd_grpc_open(struct pd_grpc_shared *shared, const struct pd_protocol_owner *owner);
/* No new streams; those under way go on. */
void pd_grpc_go_away(struct pd_grpc *grpc);

#endif
