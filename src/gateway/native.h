/* native - the node's own protocol on the client port, as a protocol (protocol.h): frames
 * (base/frame.h), which go to the backend and come from it unread. Private to src/gateway.
 *
 * Model      A connection that begins with PD_NATIVE_PREFACE, within TLS or without. Each is one
 *            peer of the backend, which decides what may be asked.
 * Bounds     struct pd_native_config. A frame too large, or one that does not come whole in time,
 *            ends the connection; so does it when all of them together hold too much. A peer that
 *            does not read is not read from, and cut off as every client of the service is. */
#ifndef PD_GATEWAY_NATIVE_H
#define PD_GATEWAY_NATIVE_H

#include "gateway/backend.h"
#include "gateway/protocol.h"
#include "gateway/service.h"

#define PD_NATIVE_PREFACE "PANDO/1\n"

struct pd_native_config {
    uint32_t frame_bytes_max; /* without the head */
    size_t input_bytes_max;   /* of frames that have not come whole, of all connections */
    size_t output_bytes_soft; /* of one: it is not read from beyond */
    uint64_t frame_ns;        /* from a frame's first byte to its last */
};
struct pd_native_config pd_native_config_default(void);

struct pd_native_counters {
    uint64_t connections;
    uint64_t connections_refused; /* the backend had no place for another peer, or no memory */
    uint64_t frames;
    uint64_t bad_frames;  /* too large: so for those below, its connection ended */
    uint64_t late_frames; /* did not come whole in time */
    uint64_t crowded;     /* for all of them together held too much that was not whole */
    uint64_t cut_off;     /* did not read, while all clients together had too much waiting */
};

/* What all connections of a gateway share. */
struct pd_native_shared {
    struct pd_native_config config;
    struct pd_service *service;
    struct pd_backend *backend;
    struct pd_native_counters counters;
    size_t input_bytes; /* held now */
};

struct pd_native;

extern const struct pd_protocol pd_native_protocol; /* its state is a struct pd_native */

/* Behind the preface. NULL: no memory, or the backend takes no peer now. shared outlives it. */
struct pd_native *pd_native_open(struct pd_native_shared *shared,
                                 const struct pd_protocol_owner *owner);

#endif
