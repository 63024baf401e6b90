/* http1_guard - which requests a browser may have been tricked into. Pure. Private to src/gateway.
 *
 * Why        The port has no password yet and often listens on loopback: a page from anywhere must
 *            not reach it through the visitor's browser. A page can point a name of its own at this
 *            address (DNS rebinding): then the Host is that name. Or it can send a POST here: then
 *            the browser says where the page is from, in Origin.
 * Model      A Host is good when no DNS is behind it (an address in numbers, localhost), or when it
 *            was configured. An Origin is good when it is the Host's own, or was configured. */
#ifndef PD_GATEWAY_HTTP1_GUARD_H
#define PD_GATEWAY_HTTP1_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

#define PD_HTTP1_ALLOWED_MAX 16u

/* Each "*" is any. */
struct pd_http1_rules {
    uint32_t host_count;
    uint32_t origin_count;
    const char *hosts[PD_HTTP1_ALLOWED_MAX];   /* names without a port */
    const char *origins[PD_HTTP1_ALLOWED_MAX]; /* "https://console.example.org" */
};

/* host: the header's value, with a port perhaps. */
bool pd_http1_host_is_good(const struct pd_http1_rules *rules, struct pd_span host);

enum pd_http1_origin {
    PD_HTTP1_ORIGIN_OWN = 0,
    PD_HTTP1_ORIGIN_ALLOWED, /* the answer must say so, else the browser keeps it to itself */
    PD_HTTP1_ORIGIN_FOREIGN
};
enum pd_http1_origin pd_http1_origin_of(const struct pd_http1_rules *rules, struct pd_span origin,
                                        struct pd_span host);

#endif
