/* browser - the page that a person sees who opens the port in a browser. Private to src/gateway.
 *
 * Model      Plain HTML, whole in itself: no scripts, nothing from elsewhere. What nodes say of
 *            themselves is text and never markup. */
#ifndef PD_GATEWAY_BROWSER_H
#define PD_GATEWAY_BROWSER_H

#include "gateway/http1_page.h"
#include "gateway/text.h"
#include "proto/rpc.pb-c.h"

/* The headers that go with it: what the page may not do. */
#define PD_BROWSER_HEADERS                                                                         \
    "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; "                     \
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'\r\n"                              \
    "Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n"

struct pd_browser_page {
    uint64_t cluster_id;
    uint64_t member_id;
    const char *version;                             /* of the API */
    const char *host;                                /* as the browser called us; "" unknown */
    const struct pd_http1_survey *survey;            /* its status */
    const Etcdserverpb__MemberListResponse *members; /* NULL: not known */
};

void pd_browser_write(const struct pd_browser_page *page, struct pd_text *text);

#endif
