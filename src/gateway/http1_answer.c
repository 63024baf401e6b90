/* Answers as bytes. */
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "gateway/http1_internal.h"
#include "gateway/json.h"

#define LINGER_NS UINT64_C(1000000000)
#define DATE_MAX 40u
#define TAIL_MIN ((size_t)256 << 10)
#define HEAD_MOST ((size_t)4096) /* with what the output's memory is larger than its bytes */

unsigned pd_http1_status_of(enum pd_service_code code)
{
    switch (code) {
    case PD_CODE_OK:
        return 200;
    case PD_CODE_CANCELLED:
        return 499;
    case PD_CODE_INVALID_ARGUMENT:
    case PD_CODE_FAILED_PRECONDITION:
    case PD_CODE_OUT_OF_RANGE:
        return 400;
    case PD_CODE_DEADLINE_EXCEEDED:
        return 504;
    case PD_CODE_NOT_FOUND:
        return 404;
    case PD_CODE_RESOURCE_EXHAUSTED:
        return 429;
    case PD_CODE_UNIMPLEMENTED:
        return 501;
    case PD_CODE_UNAVAILABLE:
        return 503;
    case PD_CODE_UNKNOWN:
    case PD_CODE_INTERNAL:
    case PD_CODE_DATA_LOSS:
        break;
    }
    return 500;
}

static const char *reason_of(unsigned status)
{
    return status == 499 ? "Client Closed Request" : http_status_str((enum http_status)status);
}

/* RFC 9110, 5.6.7. */
static void put_date(struct pd_text *text)
{
    time_t now = time(NULL);
    struct tm parts;
    char date[DATE_MAX];
    if (gmtime_r(&now, &parts) != NULL &&
        strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &parts) > 0) {
        pd_text_format(text, "Date: %s\r\n", date);
    }
}

/* What comes next stands behind it. */
static void join_tail(struct pd_http1 *http)
{
    if (http->tail.size > 0) {
        pd_text_put(&http->output, http->tail.bytes, http->tail.size);
        pd_text_deinit(&http->tail);
    }
}

static void put_head(struct pd_http1 *http, unsigned status, const char *type, const char *headers)
{
    struct pd_text *output = &http->output;
    join_tail(http);
    http->keeps_alive = http->keeps_alive && !http->ends;
    pd_text_format(output, "HTTP/1.1 %u %s\r\n", status, reason_of(status));
    put_date(output);
    if (type != NULL) {
        pd_text_format(output, "Content-Type: %s\r\nX-Content-Type-Options: nosniff\r\n", type);
    }
    if (http->origin == PD_HTTP1_ORIGIN_ALLOWED) {
        struct pd_span origin = pd_http1_header(http, PD_HTTP1_HEADER_ORIGIN);
        pd_text_format(output, "Access-Control-Allow-Origin: %.*s\r\nVary: Origin\r\n",
                       (int)origin.size, (const char *)origin.bytes);
    }
    pd_text_puts(output, headers);
    if (!http->keeps_alive) {
        pd_text_puts(output, "Connection: close\r\n");
    } else if (http->parser.http_major == 1 && http->parser.http_minor == 0) {
        pd_text_puts(output, "Connection: keep-alive\r\n");
    }
    http->shared->counters.answers_5xx += status >= 500;
}

/* More waits for the client. If that is too much, with what waits for others, it hears no more. */
static void has_output(struct pd_http1 *http)
{
    size_t bytes = http->output.capacity + http->tail.capacity;
    if (!pd_service_output(http->shared->service, &http->client, bytes)) {
        pd_text_reset(&http->output);
        pd_text_deinit(&http->tail);
        http->output_at = 0;
        http->lingers = false;
        http->ends = true;
    }
    http->owner.wants_output(http->owner.connection);
}

static void done(struct pd_http1 *http)
{
    http->is_done = true;
    http->ends = http->ends || http->output.has_failed;
    has_output(http);
}

void pd_http1_answer(struct pd_http1 *http, unsigned status, const char *type, const char *headers,
                     struct pd_span body)
{
    pd_assert(!http->is_done && !http->has_begun);
    put_head(http, status, type, headers);
    if (status == 204) { /* never a body, nor its size */
        pd_text_puts(&http->output, "\r\n");
    } else {
        pd_text_format(&http->output, "Content-Length: %zu\r\n\r\n", body.size);
    }
    if (!http->is_head && body.size >= TAIL_MIN && body.bytes == http->answer.bytes) {
        http->tail = http->answer; /* many MiB are not copied */
        pd_text_init(&http->answer, http->tail.size_max);
    } else if (!http->is_head && status != 204) {
        pd_text_put(&http->output, body.bytes, body.size);
    }
    done(http);
}

bool pd_http1_has_room(struct pd_http1 *http)
{
    uint64_t now = http->client.output_bytes;
    pd_text_fit(&http->answer);
    size_t size = http->answer.capacity;
    uint64_t more = (size >= TAIL_MIN ? size : 2 * size) + HEAD_MOST;
    bool fits = pd_service_output(http->shared->service, &http->client, now + more);
    (void)pd_service_output(http->shared->service, &http->client, now);
    return fits;
}

void pd_http1_answer_words(struct pd_http1 *http, unsigned status, const char *headers,
                           const char *words)
{
    struct pd_span body = {(const uint8_t *)words, strlen(words)};
    pd_http1_answer(http, status, PD_HTTP1_PLAIN, headers, body);
}

void pd_http1_answer_code(struct pd_http1 *http, unsigned status, const char *headers,
                          enum pd_service_code code, const char *message)
{
    struct pd_text *answer = &http->answer;
    pd_text_reset(answer);
    pd_text_format(answer, "{\"code\":%d,\"message\":", (int)code);
    pd_json_encode_string(message, answer);
    pd_text_puts(answer, "}");
    pd_http1_answer(http, status, PD_HTTP1_JSON, headers, pd_text_span(answer));
}

void pd_http1_cut(struct pd_http1 *http)
{
    http->ends = true;
    http->lingers = true;
    http->linger_deadline_ns = http->now_ns + LINGER_NS;
}

void pd_http1_refuse(struct pd_http1 *http, unsigned status, const char *words)
{
    http->shared->counters.refused_bad++;
    pd_http1_cut(http);
    if (http->call != NULL) { /* it has nothing to say any more */
        struct pd_service_call *call = http->call;
        http->call = NULL;
        pd_service_cancel(call);
    }
    if (!http->is_done && !http->has_begun) {
        pd_http1_answer_words(http, status, "", words);
    }
    has_output(http);
}

void pd_http1_stream(struct pd_http1 *http, unsigned status, struct pd_span bytes)
{
    struct pd_text *output = &http->output;
    if (!http->has_begun) {
        http->is_chunked = http->parser.http_minor >= 1;
        http->keeps_alive = http->keeps_alive && http->is_chunked; /* else its end is the end */
        put_head(http, status, PD_HTTP1_JSON,
                 http->is_chunked ? "Transfer-Encoding: chunked\r\n" : "");
        pd_text_puts(output, "\r\n");
        http->has_begun = true;
    }
    if (http->is_chunked && bytes.size > 0) {
        pd_text_format(output, "%zx\r\n", bytes.size);
    }
    pd_text_put(output, bytes.bytes, bytes.size);
    if (http->is_chunked && bytes.size > 0) {
        pd_text_puts(output, "\r\n");
    }
    http->ends = http->ends || output->has_failed;
    has_output(http);
}

void pd_http1_stream_end(struct pd_http1 *http)
{
    pd_assert(http->has_begun && !http->is_done);
    if (http->is_chunked) {
        pd_text_puts(&http->output, "0\r\n\r\n");
    }
    done(http);
}

void pd_http1_continue(struct pd_http1 *http)
{
    join_tail(http);
    pd_text_puts(&http->output, "HTTP/1.1 100 Continue\r\n\r\n");
    has_output(http);
}
