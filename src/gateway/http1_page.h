/* http1_page - what GET answers: the pages, and what the node said of itself while one is made.
 * Private to src/gateway. */
#ifndef PD_GATEWAY_HTTP1_PAGE_H
#define PD_GATEWAY_HTTP1_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#define PD_HTTP1_WORDS_MAX 160u

enum pd_http1_page_kind {
    PD_HTTP1_PAGE_VERSION = 0,
    PD_HTTP1_PAGE_HEALTH,
    PD_HTTP1_PAGE_LIVEZ,
    PD_HTTP1_PAGE_READYZ,
    PD_HTTP1_PAGE_METRICS,
    PD_HTTP1_PAGE_BROWSER
};

struct pd_http1_page {
    const char *path;
    enum pd_http1_page_kind kind;
};

/* What is asked of the node, in this order. */
enum pd_http1_step {
    PD_HTTP1_STEP_STATUS = 0,
    PD_HTTP1_STEP_READ_LOCAL, /* a serializable range */
    PD_HTTP1_STEP_READ,       /* a linearizable one */
    PD_HTTP1_STEP_MEMBERS,    /* and the page for the browser is written at once */
    PD_HTTP1_STEP_COUNT
};

struct pd_http1_survey {
    unsigned wanted; /* bit: the step is asked */
    enum pd_http1_step step;
    bool is_written; /* http->answer is the page */
    bool goes_on;    /* a step has ended: the next one may begin, outside of the service's work */
    uint64_t deadline_ns;
    /* Of each step: "" when it went well. */
    char wrong[PD_HTTP1_STEP_COUNT][PD_HTTP1_WORDS_MAX];
    /* Of the status. */
    int64_t revision;
    int64_t store_bytes;
    uint64_t leader;
    uint64_t term;
    uint64_t committed_index;
    uint64_t applied_index;
    bool is_learner;
    bool disk_is_low;
};

#endif
