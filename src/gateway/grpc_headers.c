#include "gateway/grpc_headers.h"

#include <string.h>

static const char *const pseudo_headers[] = {":method", ":scheme", ":path", ":authority"};
#define PSEUDO_COUNT (sizeof pseudo_headers / sizeof pseudo_headers[0])
#define NEEDED 7u /* all but the last; whose place in the table is its bit */

static bool is_text(struct pd_span span, const char *text)
{
    return span.size == strlen(text) && memcmp(span.bytes, text, span.size) == 0;
}

/* A token (RFC 9110, 5.6.2) without capital letters. */
static bool is_name(struct pd_span name)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < name.size; i++) {
        uint8_t byte = name.bytes[i];
        bool is_alphanumeric = (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9');
        if (!is_alphanumeric && (byte == '\0' || strchr(others, byte) == NULL)) {
            return false;
        }
    }
    return name.size > 0;
}

/* What could not be written as a line of HTTP/1.1 is no value. */
static bool is_value(struct pd_span value)
{
    for (size_t i = 0; i < value.size; i++) {
        if (value.bytes[i] == '\0' || value.bytes[i] == '\r' || value.bytes[i] == '\n') {
            return false;
        }
    }
    return true;
}

/* RFC 9113, 8.2.2. */
static bool is_of_connection(struct pd_span name, struct pd_span value)
{
    static const char *const names[] = {"connection", "keep-alive", "proxy-connection",
                                        "transfer-encoding", "upgrade"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (is_text(name, names[i])) {
            return true;
        }
    }
    return is_text(name, "te") && !is_text(value, "trailers");
}

static bool take_length(struct pd_grpc_headers *headers, struct pd_span value)
{
    if (headers->has_length || value.size == 0 || value.size > 18) {
        return false;
    }
    for (size_t i = 0; i < value.size; i++) {
        if (value.bytes[i] < '0' || value.bytes[i] > '9') {
            return false;
        }
        headers->length = headers->length * 10 + (uint64_t)(value.bytes[i] - '0');
    }
    headers->has_length = true;
    return true;
}

static bool take_pseudo(struct pd_grpc_headers *headers, struct pd_span name)
{
    for (unsigned i = 0; i < PSEUDO_COUNT; i++) {
        if (is_text(name, pseudo_headers[i])) {
            bool is_first = (headers->seen & (1u << i)) == 0;
            headers->seen |= 1u << i;
            return is_first && !headers->has_fields;
        }
    }
    return false;
}

bool pd_grpc_headers_take(struct pd_grpc_headers *headers, struct pd_span name,
                          struct pd_span value)
{
    if (!is_value(value)) {
        return false;
    }
    if (name.size > 0 && name.bytes[0] == ':') {
        return take_pseudo(headers, name);
    }
    headers->has_fields = true;
    if (is_text(name, "content-length")) {
        return take_length(headers, value);
    }
    return is_name(name) && !is_of_connection(name, value);
}

bool pd_grpc_headers_are_whole(const struct pd_grpc_headers *headers)
{
    return (headers->seen & NEEDED) == NEEDED;
}

bool pd_grpc_headers_take_body(struct pd_grpc_headers *headers, size_t size)
{
    headers->received += size;
    return !headers->has_length || headers->received <= headers->length;
}

bool pd_grpc_headers_fit_body(const struct pd_grpc_headers *headers)
{
    return !headers->has_length || headers->received == headers->length;
}

bool pd_grpc_trailer_is_good(struct pd_span name, struct pd_span value)
{
    return is_name(name) && is_value(value) && !is_of_connection(name, value);
}
