/* http1_internal - one connection of HTTP/1.1, as the files that serve it share it.
 *
 * A request's way:
 *
 *   IDLE --first byte--> HEAD --head is good--> BODY --last byte--> ANSWERING --answer is whole-->
 *    ^                                                                                        |
 *    +----------------------------------------------------------------------------------------+
 *
 * A streaming call answers from BODY on. is_done: the answer is whole; ends: after this answer
 * nothing more is read, and the connection ends once it has left. */
#ifndef PD_GATEWAY_HTTP1_INTERNAL_H
#define PD_GATEWAY_HTTP1_INTERNAL_H

#include <http_parser.h>

#include "gateway/http1.h"
#include "gateway/http1_page.h"
#include "gateway/text.h"

#define PD_HTTP1_URL_MAX 1024u
#define PD_HTTP1_VALUE_MAX 512u
#define PD_HTTP1_NAME_MAX 32u

enum pd_http1_phase {
    PD_HTTP1_IDLE = 0,
    PD_HTTP1_HEAD,
    PD_HTTP1_BODY,
    PD_HTTP1_ANSWERING
};

/* The headers that are looked at; others are passed over. */
enum pd_http1_header {
    PD_HTTP1_HEADER_OTHER = 0,
    PD_HTTP1_HEADER_HOST,
    PD_HTTP1_HEADER_ORIGIN,
    PD_HTTP1_HEADER_CONTENT_TYPE,
    PD_HTTP1_HEADER_EXPECT,
    PD_HTTP1_HEADER_HASLEADER, /* as etcd's JSON gateway has what gRPC calls metadata */
    PD_HTTP1_HEADER_COUNT
};

struct pd_http1_value {
    bool came;
    bool is_bad; /* twice, or too long */
    size_t size;
    char bytes[PD_HTTP1_VALUE_MAX];
};

struct pd_http1 {
    struct pd_http1_shared *shared;
    struct pd_protocol_owner owner;
    http_parser parser;
    uint64_t now_ns;
    enum pd_http1_phase phase;

    /* The head. */
    size_t head_bytes;
    size_t url_size;
    size_t name_size;
    bool is_in_value;
    enum pd_http1_header header; /* whose value comes */
    char url[PD_HTTP1_URL_MAX + 1];
    char name[PD_HTTP1_NAME_MAX];
    struct pd_http1_value values[PD_HTTP1_HEADER_COUNT];
    bool is_head; /* HEAD: the answer has no body */
    bool keeps_alive;
    enum pd_http1_origin origin;

    /* What is asked: one of the two. */
    const struct pd_service_method *method;
    const struct pd_http1_page *page;
    struct pd_service_call *call; /* NULL: not begun, or ended */
    bool has_called;
    bool is_half_closed;
    struct pd_text body; /* of the request, as far as it was not taken */
    size_t body_counted; /* in shared->bodies_bytes */
    struct {             /* of a streaming request: where the next value ends */
        size_t at;
        uint32_t depth;
        bool is_in_string;
        bool is_escaped;
    } value;

    /* The answer. */
    struct pd_text answer; /* while it is made */
    bool has_begun;        /* of a stream: its head is out */
    bool is_chunked;
    bool is_done;
    bool is_held;  /* the streaming call is told to wait */
    bool is_roomy; /* the call takes requests again */
    struct pd_http1_survey survey;

    /* The connection. */
    struct pd_text output;
    struct pd_service_client client;
    size_t output_at;
    struct pd_text tail;  /* a large body that follows `output`; empty: none */
    struct pd_text ahead; /* came before its turn */
    size_t ahead_at;
    bool ends;
    bool lingers; /* the client still sends: an answer would be lost if we hung up on it */
    bool was_active;
    uint64_t request_deadline_ns;
    uint64_t linger_deadline_ns;
    uint64_t watch_deadline_ns; /* of the next look whether something moved */
};

/* Its value, without the space behind it. */
static inline struct pd_span pd_http1_header(const struct pd_http1 *http,
                                             enum pd_http1_header header)
{
    const struct pd_http1_value *value = &http->values[header];
    size_t size = value->size;
    while (size > 0 && (value->bytes[size - 1] == ' ' || value->bytes[size - 1] == '\t')) {
        size--;
    }
    return (struct pd_span){(const uint8_t *)value->bytes, size};
}
/* The URL before its '?', and behind it. */
struct pd_span pd_http1_path(const struct pd_http1 *http);
/* Whether the query has this parameter: alone, or with a value but "false". */
bool pd_http1_has_parameter(const struct pd_http1 *http, const char *name);

/* -- http1_answer.c ---------------------------------------------------------------------------- */

#define PD_HTTP1_JSON "application/json"
#define PD_HTTP1_PLAIN "text/plain; charset=utf-8"
#define PD_HTTP1_HTML "text/html; charset=utf-8"

/* The whole answer. headers: "Name: value\r\n"..., may be "". Nothing follows. */
void pd_http1_answer(struct pd_http1 *http, unsigned status, const char *type, const char *headers,
                     struct pd_span body);
/* Whether what was put into http->answer, with its head, may wait for the client: else it is
 * refused, before it was told that all is well. */
bool pd_http1_has_room(struct pd_http1 *http);
void pd_http1_answer_words(struct pd_http1 *http, unsigned status, const char *headers,
                           const char *words);
/* {"code":..., "message":...} */
void pd_http1_answer_code(struct pd_http1 *http, unsigned status, const char *headers,
                          enum pd_service_code code, const char *message);
/* The request was refused while more of it comes, or is no HTTP: the connection ends. */
void pd_http1_refuse(struct pd_http1 *http, unsigned status, const char *words);
/* Nothing more is read. What the client still sends is passed over for a moment: if it were hung up
 * on at once, it might lose the answer. */
void pd_http1_cut(struct pd_http1 *http);
/* Of a stream: its head if that is not out yet, then bytes. */
void pd_http1_stream(struct pd_http1 *http, unsigned status, struct pd_span bytes);
void pd_http1_stream_end(struct pd_http1 *http);
void pd_http1_continue(struct pd_http1 *http);
unsigned pd_http1_status_of(enum pd_service_code code);

/* -- http1_call.c ------------------------------------------------------------------------------ */

/* The method that is called by POST to this path; NULL: none. */
const struct pd_service_method *pd_http1_route(struct pd_span path);
/* For the test that every method is reachable. NULL: past the last. */
const char *pd_http1_route_at(uint32_t index, struct pd_span *method_path_out);
/* The head is good; of a streaming call messages may be taken from now on. */
void pd_http1_call_begin(struct pd_http1 *http);
/* More of a streaming request's body is there. */
void pd_http1_call_take(struct pd_http1 *http);
/* The request is whole. */
void pd_http1_call_end(struct pd_http1 *http);

/* -- http1_pages.c ----------------------------------------------------------------------------- */

const struct pd_http1_page *pd_http1_page_of(struct pd_span path);
void pd_http1_page_begin(struct pd_http1 *http);
/* If a step has ended: the next one, or the answer. */
void pd_http1_page_go_on(struct pd_http1 *http);
uint64_t pd_http1_page_deadline_ns(const struct pd_http1 *http); /* UINT64_MAX: none */
void pd_http1_page_expire(struct pd_http1 *http);

#endif
