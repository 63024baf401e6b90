#include "gateway/http1.h"

#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "gateway/http1_internal.h"

#define KIB ((size_t)1024)
#define MIB (KIB * KIB)
#define SECOND_NS UINT64_C(1000000000)
#define PART_MAX (16 * KIB) /* of the output, at a time */
#define OUTPUT_MAX (512 * MIB)

struct pd_http1_config pd_http1_config_default(void)
{
    return (struct pd_http1_config){
        .head_bytes_max = 16 * 1024,
        .body_bytes_max = 12 * MIB, /* 8 MiB of value as base64, and what is around it */
        .bodies_bytes_max = 256 * MIB,
        .ahead_bytes = 64 * KIB,
        .output_bytes_soft = MIB,
        .request_ns = 60 * SECOND_NS,
        .idle_ns = 60 * SECOND_NS,
        .page_ns = 5 * SECOND_NS,
    };
}

/* -- The head ---------------------------------------------------------------------------------- */

static struct pd_http1 *http_of(const http_parser *parser)
{
    return parser->data;
}

struct pd_span pd_http1_path(const struct pd_http1 *http)
{
    const char *query = memchr(http->url, '?', http->url_size);
    size_t size = query == NULL ? http->url_size : (size_t)(query - http->url);
    return (struct pd_span){(const uint8_t *)http->url, size};
}

bool pd_http1_has_parameter(const struct pd_http1 *http, const char *name)
{
    size_t size = strlen(name);
    const char *at = strchr(http->url, '?');
    while (at != NULL) {
        at++;
        if (strncmp(at, name, size) == 0 && (at[size] == '\0' || at[size] == '&')) {
            return true;
        }
        if (strncmp(at, name, size) == 0 && at[size] == '=') {
            return strncmp(at + size, "=false", 6) != 0;
        }
        at = strchr(at, '&');
    }
    return false;
}

static void refuse_nonsense(struct pd_http1 *http)
{
    http->keeps_alive = false;
    http->is_head = false;
    if (HTTP_PARSER_ERRNO(&http->parser) == HPE_HEADER_OVERFLOW) { /* the library's own bound */
        pd_http1_refuse(http, 431, "the request's headers are too long\n");
        return;
    }
    pd_http1_refuse(http, 400, "this is no HTTP/1.1 request\n");
}

static int on_begin(http_parser *parser)
{
    struct pd_http1 *http = http_of(parser);
    pd_assert(http->phase == PD_HTTP1_IDLE);
    http->phase = PD_HTTP1_HEAD;
    http->request_deadline_ns = http->now_ns + http->shared->config.request_ns;
    http->shared->counters.requests++;
    return 0;
}

/* Whether so much more of a head is still within the bound. */
static bool count_head(struct pd_http1 *http, size_t size)
{
    http->head_bytes += size;
    if (http->head_bytes > http->shared->config.head_bytes_max) {
        pd_http1_refuse(http, 431, "the request's headers are too long\n");
        return false;
    }
    return true;
}

static int on_url(http_parser *parser, const char *bytes, size_t size)
{
    struct pd_http1 *http = http_of(parser);
    if (!count_head(http, size)) {
        return -1;
    }
    if (size > PD_HTTP1_URL_MAX - http->url_size) {
        pd_http1_refuse(http, 414, "the request's path is too long\n");
        return -1;
    }
    memcpy(http->url + http->url_size, bytes, size);
    http->url_size += size;
    return 0;
}

static enum pd_http1_header header_of(const char *name, size_t size)
{
    static const struct {
        const char *name;
        enum pd_http1_header header;
    } known[] = {
        {"host", PD_HTTP1_HEADER_HOST},
        {"origin", PD_HTTP1_HEADER_ORIGIN},
        {"content-type", PD_HTTP1_HEADER_CONTENT_TYPE},
        {"expect", PD_HTTP1_HEADER_EXPECT},
        {"grpc-metadata-hasleader", PD_HTTP1_HEADER_HASLEADER},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strlen(known[i].name) == size && strncasecmp(known[i].name, name, size) == 0) {
            return known[i].header;
        }
    }
    return PD_HTTP1_HEADER_OTHER;
}

static int on_field(http_parser *parser, const char *bytes, size_t size)
{
    struct pd_http1 *http = http_of(parser);
    if (!count_head(http, size)) {
        return -1;
    }
    /* The library as it is packaged lets spaces pass: who else reads "Content-Length : 5" so would
     * see another request than we do. */
    if (memchr(bytes, ' ', size) != NULL) {
        refuse_nonsense(http);
        return -1;
    }
    if (http->phase != PD_HTTP1_HEAD) {
        return 0; /* behind a chunked body: too late to mean anything */
    }
    if (http->is_in_value) {
        http->is_in_value = false;
        http->name_size = 0;
    }
    /* A longer name than there is room for is none that is looked at. */
    size_t room = PD_HTTP1_NAME_MAX - http->name_size;
    size_t part = size < room ? size : room;
    memcpy(http->name + http->name_size, bytes, part);
    http->name_size += part;
    return 0;
}

static int on_value(http_parser *parser, const char *bytes, size_t size)
{
    struct pd_http1 *http = http_of(parser);
    if (!count_head(http, size + 4)) { /* ": " and the line's end */
        return -1;
    }
    if (http->phase != PD_HTTP1_HEAD) {
        return 0;
    }
    if (!http->is_in_value) {
        http->is_in_value = true;
        http->header = header_of(http->name, http->name_size);
        struct pd_http1_value *begun = &http->values[http->header];
        begun->is_bad = begun->is_bad || begun->came;
        begun->came = true;
    }
    struct pd_http1_value *value = &http->values[http->header];
    if (http->header == PD_HTTP1_HEADER_OTHER) {
        return 0;
    }
    if (size > PD_HTTP1_VALUE_MAX - value->size) {
        value->is_bad = true;
        return 0;
    }
    memcpy(value->bytes + value->size, bytes, size);
    value->size += size;
    return 0;
}

/* -- Judging the head -------------------------------------------------------------------------- */

static bool has_body(const http_parser *parser)
{
    return (parser->flags & F_CHUNKED) != 0 ||
           (parser->content_length > 0 && parser->content_length != UINT64_MAX);
}

/* An answer instead of what was asked. Always true, for the caller to return. */
static bool turn_away(struct pd_http1 *http, unsigned status, const char *headers,
                      const char *words)
{
    if (has_body(&http->parser)) {
        pd_http1_cut(http); /* nobody wants it */
    }
    pd_http1_answer_words(http, status, headers, words);
    return true;
}

static bool value_begins(const struct pd_http1 *http, enum pd_http1_header header,
                         const char *words)
{
    const struct pd_http1_value *value = &http->values[header];
    size_t size = strlen(words);
    return value->size >= size && strncasecmp(value->bytes, words, size) == 0;
}

static bool is_malformed(struct pd_http1 *http)
{
    for (unsigned i = 1; i < PD_HTTP1_HEADER_COUNT; i++) {
        if (http->values[i].is_bad) {
            return turn_away(http, 400, "", "a header is too long, or comes twice\n");
        }
    }
    if (http->parser.http_major != 1) {
        return turn_away(http, 505, "", "HTTP/1.1 is spoken here\n");
    }
    if (!http->values[PD_HTTP1_HEADER_HOST].came && http->parser.http_minor >= 1) {
        return turn_away(http, 400, "", "the request lacks its Host\n");
    }
    if (http->url_size == 0 || http->url[0] != '/') {
        return turn_away(http, 400, "", "the request's path begins with a slash\n");
    }
    if (http->values[PD_HTTP1_HEADER_EXPECT].came &&
        !value_begins(http, PD_HTTP1_HEADER_EXPECT, "100-continue")) {
        return turn_away(http, 417, "", "only 100-continue can be expected\n");
    }
    return false;
}

static bool is_foreign(struct pd_http1 *http)
{
    const struct pd_http1_rules *rules = &http->shared->config.rules;
    struct pd_span host = pd_http1_header(http, PD_HTTP1_HEADER_HOST);
    struct pd_span origin = pd_http1_header(http, PD_HTTP1_HEADER_ORIGIN);
    if (http->values[PD_HTTP1_HEADER_HOST].came && !pd_http1_host_is_good(rules, host)) {
        http->shared->counters.refused_foreign++;
        return turn_away(http, 403, "",
                         "this node does not answer for that Host: ask it by its address or as "
                         "localhost, or start it with --allow-host NAME\n");
    }
    if (!http->values[PD_HTTP1_HEADER_ORIGIN].came) {
        return false;
    }
    http->origin = pd_http1_origin_of(rules, origin, host);
    if (http->origin == PD_HTTP1_ORIGIN_FOREIGN) {
        http->shared->counters.refused_foreign++;
        return turn_away(http, 403, "",
                         "this node does not answer pages from that Origin: start it with "
                         "--allow-origin ORIGIN if they may use it\n");
    }
    return false;
}

/* What a form of any page can send without being asked for permission is no JSON. A client that is
 * no browser (it tells no Origin) may call it what it likes: curl -d calls it a form. */
static bool is_form(struct pd_http1 *http)
{
    bool is_json = value_begins(http, PD_HTTP1_HEADER_CONTENT_TYPE, PD_HTTP1_JSON);
    bool is_browser = http->values[PD_HTTP1_HEADER_ORIGIN].came;
    if ((is_browser && !is_json) ||
        value_begins(http, PD_HTTP1_HEADER_CONTENT_TYPE, "multipart/")) {
        return turn_away(http, 415, "", "send JSON, with Content-Type: application/json\n");
    }
    return false;
}

/* Whether a browser's page of an allowed origin may send its JSON. */
static bool is_preflight(struct pd_http1 *http)
{
    if (http->parser.method != HTTP_OPTIONS) {
        return false;
    }
    const char *headers = http->origin == PD_HTTP1_ORIGIN_ALLOWED
                              ? "Allow: GET, HEAD, POST, OPTIONS\r\n"
                                "Access-Control-Allow-Methods: GET, POST\r\n"
                                "Access-Control-Allow-Headers: Content-Type\r\n"
                                "Access-Control-Max-Age: 600\r\n"
                              : "Allow: GET, HEAD, POST, OPTIONS\r\n";
    if (has_body(&http->parser)) {
        pd_http1_cut(http);
    }
    pd_http1_answer(http, 204, NULL, headers, (struct pd_span){NULL, 0});
    return true;
}

static bool begins_with(struct pd_span text, const char *words)
{
    size_t size = strlen(words);
    return text.size >= size && memcmp(text.bytes, words, size) == 0;
}

static bool turn_away_json(struct pd_http1 *http, unsigned status, const char *headers,
                           enum pd_service_code code, const char *message)
{
    if (has_body(&http->parser)) {
        pd_http1_cut(http);
    }
    pd_http1_answer_code(http, status, headers, code, message);
    return true;
}

static bool turn_away_unknown(struct pd_http1 *http)
{
    struct pd_span path = pd_http1_path(http);
    if (begins_with(path, "/v3/")) {
        return turn_away_json(http, 404, "", PD_CODE_NOT_FOUND, "Not Found");
    }
    return turn_away(
        http, 404, "",
        "there is no such page. GET / shows this node; /version, /health, /livez, "
        "/readyz and /metrics tell its state;\nPOST /v3/kv/range and the like are etcd's API as "
        "JSON; gRPC is served on this port too\n");
}

/* Finds what is asked. True: nothing that can be answered; it is turned away. */
static bool is_unknown(struct pd_http1 *http)
{
    struct pd_span path = pd_http1_path(http);
    bool is_get = http->parser.method == HTTP_GET || http->parser.method == HTTP_HEAD;
    const struct pd_service_method *method = pd_http1_route(path);
    const struct pd_http1_page *page = pd_http1_page_of(path);
    if (method == NULL && page == NULL) {
        return turn_away_unknown(http);
    }
    if (method != NULL && http->parser.method != HTTP_POST) {
        return turn_away_json(http, 405, "Allow: POST, OPTIONS\r\n", PD_CODE_UNIMPLEMENTED,
                              "Method Not Allowed");
    }
    if (page != NULL && !is_get) {
        return turn_away(http, 405, "Allow: GET, HEAD, OPTIONS\r\n", "this is read with GET\n");
    }
    if (method != NULL && is_form(http)) {
        return true;
    }
    http->method = method;
    http->page = page;
    return false;
}

static bool is_too_large(struct pd_http1 *http)
{
    uint64_t most = http->page != NULL ? 0 : http->shared->config.body_bytes_max;
    bool is_sized = (http->parser.flags & F_CONTENTLENGTH) != 0;
    if (is_sized && http->parser.content_length > most) {
        return turn_away(http, 413, "", "the request is too large\n");
    }
    return false;
}

static int on_head(http_parser *parser)
{
    struct pd_http1 *http = http_of(parser);
    http->keeps_alive = http_should_keep_alive(parser) != 0;
    http->is_head = parser->method == HTTP_HEAD;
    parser->upgrade = 0; /* nothing is switched to; it is answered as if that was not asked */
    http->phase = PD_HTTP1_BODY;
    bool is_answered = is_malformed(http) || is_foreign(http) || is_preflight(http) ||
                       is_unknown(http) || is_too_large(http);
    if (is_answered) {
        return http->ends ? -1 : 0;
    }
    if (http->values[PD_HTTP1_HEADER_EXPECT].came && has_body(parser)) {
        pd_http1_continue(http);
    }
    if (http->method != NULL) {
        pd_http1_call_begin(http);
    }
    return http->ends ? -1 : 0;
}

/* -- The body ---------------------------------------------------------------------------------- */

static void count_body(struct pd_http1 *http)
{
    http->shared->bodies_bytes += http->body.size;
    http->shared->bodies_bytes -= http->body_counted;
    http->body_counted = http->body.size;
}

static int on_body(http_parser *parser, const char *bytes, size_t size)
{
    struct pd_http1 *http = http_of(parser);
    struct pd_http1_shared *shared = http->shared;
    if (http->is_done) {
        return 0;
    }
    if (http->page != NULL || size > shared->config.body_bytes_max - http->body.size) {
        pd_http1_refuse(http, 413, "the request is too large\n");
        return -1;
    }
    if (size > shared->config.bodies_bytes_max - shared->bodies_bytes) {
        pd_http1_refuse(http, 503, "too much is being sent to this node: try again soon\n");
        return -1;
    }
    pd_text_put(&http->body, bytes, size);
    if (http->body.has_failed) {
        pd_http1_refuse(http, 503, "this node has no memory for the request\n");
        return -1;
    }
    if (http->method->client_streams) {
        pd_http1_call_take(http);
    }
    count_body(http);
    return http->ends ? -1 : 0;
}

static int on_whole(http_parser *parser)
{
    struct pd_http1 *http = http_of(parser);
    http->phase = PD_HTTP1_ANSWERING;
    http_parser_pause(parser, 1); /* the next one has to wait for its turn */
    if (http->is_done) {
        return 0;
    }
    if (http->page != NULL) {
        pd_http1_page_begin(http);
    } else {
        pd_http1_call_end(http);
        count_body(http);
    }
    return 0;
}

static const http_parser_settings settings = {
    .on_message_begin = on_begin,
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
    .on_body = on_body,
    .on_message_complete = on_whole,
};

/* -- The connection ---------------------------------------------------------------------------- */

static void drop_request(struct pd_http1 *http)
{
    if (http->call != NULL) {
        struct pd_service_call *call = http->call;
        http->call = NULL;
        pd_service_cancel(call);
    }
    pd_text_reset(&http->body);
    pd_text_reset(&http->answer);
    count_body(http);
}

/* The answer is whole, and so is the request: the next one's turn. */
static void finish(struct pd_http1 *http)
{
    drop_request(http);
    http->phase = PD_HTTP1_IDLE;
    http->head_bytes = 0;
    http->url_size = 0;
    http->name_size = 0;
    http->is_in_value = false;
    memset(http->url, 0, sizeof http->url);
    for (unsigned i = 0; i < PD_HTTP1_HEADER_COUNT; i++) {
        http->values[i].came = false;
        http->values[i].is_bad = false;
        http->values[i].size = 0;
    }
    memset(&http->value, 0, sizeof http->value);
    http->origin = PD_HTTP1_ORIGIN_OWN;
    http->method = NULL;
    http->page = NULL;
    http->has_called = false;
    http->is_half_closed = false;
    http->has_begun = false;
    http->is_chunked = false;
    http->is_done = false;
    http->is_held = false;
    http->is_roomy = false;
    http->ends = http->ends || !http->keeps_alive;
}

static void finish_if_done(struct pd_http1 *http)
{
    if (http->is_done && http->phase == PD_HTTP1_ANSWERING) {
        finish(http);
    }
}

static bool may_parse(const struct pd_http1 *http)
{
    return !http->ends && http->phase != PD_HTTP1_ANSWERING &&
           http->output.size - http->output_at + http->tail.size <=
               http->shared->config.output_bytes_soft;
}

/* As many requests as can be answered at once. Returns how many bytes that took. */
static size_t parse(struct pd_http1 *http, struct pd_span bytes)
{
    size_t at = 0;
    while (at < bytes.size && may_parse(http)) {
        at += http_parser_execute(&http->parser, &settings, (const char *)bytes.bytes + at,
                                  bytes.size - at);
        enum http_errno error = HTTP_PARSER_ERRNO(&http->parser);
        if (error == HPE_PAUSED) {
            http_parser_pause(&http->parser, 0);
        } else if (error != HPE_OK && !http->ends) {
            refuse_nonsense(http);
        }
        finish_if_done(http);
    }
    return at;
}

/* What came ahead, as far as its turn has come. */
static void parse_ahead(struct pd_http1 *http)
{
    while (http->ahead_at < http->ahead.size && may_parse(http)) {
        struct pd_span rest = {http->ahead.bytes + http->ahead_at,
                               http->ahead.size - http->ahead_at};
        http->ahead_at += parse(http, rest);
    }
    if (http->ahead_at == http->ahead.size || http->ends) {
        pd_text_reset(&http->ahead);
        http->ahead_at = 0;
    } else if (http->ahead_at > http->shared->config.ahead_bytes) {
        /* A client that is always ahead must not make it grow for ever. */
        http->ahead.size -= http->ahead_at;
        memmove(http->ahead.bytes, http->ahead.bytes + http->ahead_at, http->ahead.size);
        http->ahead_at = 0;
    }
}

static enum pd_status receive(void *state, struct pd_span bytes, uint64_t now_ns)
{
    struct pd_http1 *http = state;
    http->now_ns = now_ns;
    http->was_active = true;
    if (http->watch_deadline_ns == UINT64_MAX) {
        http->watch_deadline_ns = now_ns + http->shared->config.idle_ns;
    }
    size_t taken = http->ahead.size > 0 ? 0 : parse(http, bytes);
    if (taken < bytes.size && !http->ends) {
        pd_text_put(&http->ahead, bytes.bytes + taken, bytes.size - taken);
    }
    return http->ahead.has_failed ? PD_ERR_NO_MEMORY : PD_OK;
}

/* What had to wait until the service's work was done. */
static void go_on(struct pd_http1 *http)
{
    if (http->page != NULL) {
        pd_http1_page_go_on(http);
    }
    if (http->is_held && http->call != NULL &&
        http->output.size - http->output_at <= http->shared->config.output_bytes_soft / 2) {
        http->is_held = false;
        pd_service_resume(http->call);
    }
    if (http->is_roomy) {
        http->is_roomy = false;
        if (http->phase == PD_HTTP1_ANSWERING) {
            pd_http1_call_end(http);
        } else if (http->call != NULL) {
            pd_http1_call_take(http);
        }
        count_body(http);
    }
    finish_if_done(http);
    parse_ahead(http);
}

static struct pd_span output(void *state)
{
    struct pd_http1 *http = state;
    struct pd_text *text = &http->output;
    if (http->output_at == text->size) {
        pd_text_reset(text);
        http->output_at = 0;
        if (http->tail.size > 0) {
            pd_text_deinit(text);
            *text = http->tail;
            pd_text_init(&http->tail, text->size_max);
        }
    } else if (http->output_at > http->shared->config.output_bytes_soft &&
               http->output_at > text->size / 2) { /* what is moved was paid for by what has gone */
        memmove(text->bytes, text->bytes + http->output_at, text->size - http->output_at);
        text->size -= http->output_at; /* a stream that never rests must not grow for ever */
        http->output_at = 0;
    }
    go_on(http);
    size_t left = text->size - http->output_at;
    size_t size = left < PART_MAX ? left : PART_MAX;
    struct pd_span part = {size == 0 ? NULL : text->bytes + http->output_at, size};
    http->output_at += size;
    /* What is handed out last lies here until its owner has sent it, and asks again. */
    (void)pd_service_output(http->shared->service, &http->client,
                            size == 0 ? 0 : text->capacity + http->tail.capacity);
    http->was_active = http->was_active || size > 0;
    return part;
}

static bool has_ended(const void *state)
{
    const struct pd_http1 *http = state;
    return http->ends && !http->lingers && http->output_at == http->output.size &&
           http->tail.size == 0;
}

static bool is_full(const void *state)
{
    const struct pd_http1 *http = state;
    return !http->ends &&
           (http->ahead.size - http->ahead_at > http->shared->config.ahead_bytes ||
            (http->call != NULL && http->method != NULL && http->method->client_streams &&
             pd_service_is_full(http->call) && http->body.size > http->shared->config.ahead_bytes));
}

/* -- Time -------------------------------------------------------------------------------------- */

/* Whether the client owes us the rest of a request. */
static bool is_awaited(const struct pd_http1 *http)
{
    bool is_stream = http->method != NULL && http->method->client_streams && http->has_called;
    return !http->ends && !http->is_done && !is_stream &&
           (http->phase == PD_HTTP1_HEAD || http->phase == PD_HTTP1_BODY);
}

static uint64_t deadline_ns(const void *state)
{
    const struct pd_http1 *http = state;
    uint64_t deadline = http->watch_deadline_ns;
    uint64_t page = pd_http1_page_deadline_ns(http);
    if (is_awaited(http) && http->request_deadline_ns < deadline) {
        deadline = http->request_deadline_ns;
    }
    if (http->lingers && http->linger_deadline_ns < deadline) {
        deadline = http->linger_deadline_ns;
    }
    return page < deadline ? page : deadline;
}

/* Nobody asked, or read, for long: what keeps the connection open then is a call that is quiet. */
static bool is_stale(const struct pd_http1 *http)
{
    bool is_quiet_call = http->call != NULL && http->output_at == http->output.size;
    return !http->was_active && !is_quiet_call;
}

static enum pd_status expire(void *state, uint64_t now_ns)
{
    struct pd_http1 *http = state;
    http->now_ns = now_ns;
    if (http->lingers && now_ns >= http->linger_deadline_ns) {
        http->lingers = false;
    }
    if (is_awaited(http) && now_ns >= http->request_deadline_ns) {
        http->keeps_alive = false;
        pd_http1_refuse(http, 408, "the request did not come in time\n");
    }
    if (now_ns >= pd_http1_page_deadline_ns(http)) {
        pd_http1_page_expire(http);
    }
    if (now_ns >= http->watch_deadline_ns) {
        if (is_stale(http)) {
            return PD_ERR_TIMEOUT;
        }
        http->was_active = false;
        http->watch_deadline_ns = now_ns + http->shared->config.idle_ns;
    }
    return PD_OK;
}

static void close_state(void *state)
{
    struct pd_http1 *http = state;
    drop_request(http);
    pd_text_deinit(&http->body);
    pd_text_deinit(&http->answer);
    pd_text_deinit(&http->output);
    pd_text_deinit(&http->tail);
    (void)pd_service_output(http->shared->service, &http->client, 0);
    pd_service_client_leave(&http->client);
    pd_text_deinit(&http->ahead);
    pd_free(http);
}

const struct pd_protocol pd_http1_protocol = {
    .receive = receive,
    .output = output,
    .has_ended = has_ended,
    .is_full = is_full,
    .deadline_ns = deadline_ns,
    .expire = expire,
    .close = close_state,
};

struct pd_http1 *pd_http1_open(struct pd_http1_shared *shared,
                               const struct pd_protocol_owner *owner)
{
    struct pd_http1 *http = pd_alloc_zeroed(1, sizeof *http);
    if (http == NULL) {
        return NULL;
    }
    http->shared = shared;
    http->owner = *owner;
    http->watch_deadline_ns = UINT64_MAX;
    http_parser_init(&http->parser, HTTP_REQUEST);
    http->parser.data = http;
    pd_text_init(&http->body, shared->config.body_bytes_max);
    pd_text_init(&http->answer, OUTPUT_MAX);
    pd_text_init(&http->output, OUTPUT_MAX);
    pd_text_init(&http->tail, OUTPUT_MAX);
    pd_text_init(&http->ahead, OUTPUT_MAX);
    return http;
}
