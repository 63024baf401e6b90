/* http1 - HTTP/1.1 as a protocol (protocol.h): the API as JSON, and pages for people and monitors.
 * Private to src/gateway.
 *
 * Model      libhttp_parser reads the requests; one at a time is answered, those behind it wait.
 *            POST /v3/... are calls of service.h as JSON (http1_call.c); GET pages are made of
 *            such calls too (http1_pages.c). A streaming call is answered line by line as long as
 *            the client stays.
 * Bounds     struct pd_http1_config. What is too long, too large or too slow is refused with the
 *            status that says so, and the connection ends. Who sends ahead is not read from.
 * Trust      http1_guard.h decides which Host and Origin are answered. */
#ifndef PD_GATEWAY_HTTP1_H
#define PD_GATEWAY_HTTP1_H

#include <stdatomic.h>

#include "gateway/http1_guard.h"
#include "gateway/protocol.h"
#include "gateway/service.h"

struct pd_http1_config {
    uint32_t head_bytes_max;  /* of a request: its line and headers */
    size_t body_bytes_max;    /* of a request, or of one message of a streaming one */
    size_t bodies_bytes_max;  /* of all connections together */
    size_t ahead_bytes;       /* sent ahead of an answer: not read from beyond */
    size_t output_bytes_soft; /* a stream is held beyond */
    uint64_t request_ns;      /* from a request's first byte to its last */
    uint64_t idle_ns;         /* without a request, or without reading the answer: twice at most */
    uint64_t page_ns;         /* for what a page asks the node */
    struct pd_http1_rules rules;
    const atomic_bool *is_stopping; /* the node ends soon, and is not ready; NULL: never */
};
struct pd_http1_config pd_http1_config_default(void);

struct pd_http1_counters {
    uint64_t requests;
    uint64_t refused_foreign; /* Host or Origin */
    uint64_t refused_bad;     /* no HTTP, or beyond a bound */
    uint64_t answers_5xx;
};

struct pd_gateway_counters;
struct pd_native_counters;

/* What all connections of a gateway share. */
struct pd_http1_shared {
    struct pd_http1_config config;
    struct pd_service *service;
    struct pd_backend *backend;                         /* the service's */
    const struct pd_gateway_counters *gateway_counters; /* without the service's */
    const struct pd_native_counters *native_counters;
    const char *version; /* told as the server's */
    struct pd_http1_counters counters;
    size_t bodies_bytes; /* held now */
};

struct pd_http1;

extern const struct pd_protocol pd_http1_protocol; /* its state is a struct pd_http1 */

/* NULL: no memory. shared outlives it. */
struct pd_http1 *pd_http1_open(struct pd_http1_shared *shared,
                               const struct pd_protocol_owner *owner);

#endif
