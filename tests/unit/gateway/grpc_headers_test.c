#include "gateway/grpc_headers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct pd_span span(const char *text)
{
    return (struct pd_span){(const uint8_t *)text, strlen(text)};
}

/* Headers as "name=value name=value": whether all are taken and none is missing. */
static bool is_good(const char *text)
{
    struct pd_grpc_headers headers = {0};
    char copy[256];
    char *rest = NULL;
    assert_true(strlen(text) < sizeof copy);
    memcpy(copy, text, strlen(text) + 1);
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        char *value = strchr(word, '=');
        assert_non_null(value);
        *value++ = '\0';
        if (!pd_grpc_headers_take(&headers, span(word), span(value))) {
            return false;
        }
    }
    return pd_grpc_headers_are_whole(&headers);
}

#define PSEUDO ":method=POST :scheme=http :path=/x "

static void test_pseudo_headers(void **state)
{
    (void)state;
    assert_true(is_good(PSEUDO));
    assert_true(is_good(":path=/x :authority=http://127.0.0.1:2379 :scheme=http :method=POST a=b"));
    assert_true(is_good(PSEUDO ":authority=#initially=[http://127.0.0.1:2379]"));
    assert_true(is_good(PSEUDO ":authority="));
    assert_false(is_good(""));
    assert_false(is_good(":method=POST :scheme=http"));
    assert_false(is_good(":method=POST :path=/x"));
    assert_false(is_good(":scheme=http :path=/x"));
    assert_false(is_good(PSEUDO ":path=/y"));
    assert_false(is_good(PSEUDO ":authority=a :authority=b"));
    assert_false(is_good(":method=POST :scheme=http a=b :path=/x"));
    assert_false(is_good(PSEUDO "a=b :authority=a"));
    assert_false(is_good(PSEUDO ":status=200"));
    assert_false(is_good(PSEUDO ":=a"));
    assert_false(is_good(PSEUDO ":Path=/x"));
}

static bool takes(const char *name, size_t name_size, const char *value, size_t value_size)
{
    struct pd_span key = {(const uint8_t *)name, name_size};
    struct pd_span text = {(const uint8_t *)value, value_size};
    struct pd_grpc_headers headers = {0};
    bool is_taken = pd_grpc_headers_take(&headers, key, text);
    if (name_size > 0 && name[0] != ':') {
        assert_int_equal(pd_grpc_trailer_is_good(key, text), is_taken);
    }
    return is_taken;
}

static void test_names_and_values(void **state)
{
    (void)state;
    assert_true(takes("x-a_b.c!9", 9, "a b\t\"\xff", 6));
    assert_true(takes("a", 1, "", 0));
    assert_false(takes("", 0, "v", 1));
    assert_false(takes("Accept", 6, "v", 1));
    assert_false(takes("a b", 3, "v", 1));
    assert_false(takes("a:", 2, "v", 1));
    assert_false(takes("a\0", 2, "v", 1));
    assert_false(takes("\xe9", 1, "v", 1));
    assert_false(takes("a", 1, "v\0w", 3));
    assert_false(takes("a", 1, "v\r", 2));
    assert_false(takes("a", 1, "\nv", 2));
    assert_false(takes(":path", 5, "/\0", 2));
    assert_false(takes(":authority", 10, "a\nb", 3));
    assert_false(pd_grpc_trailer_is_good(span(":path"), span("/x")));
}

static void test_headers_of_a_connection(void **state)
{
    (void)state;
    assert_true(takes("te", 2, "trailers", 8));
    assert_false(takes("te", 2, "gzip", 4));
    assert_false(takes("connection", 10, "close", 5));
    assert_false(takes("keep-alive", 10, "5", 1));
    assert_false(takes("proxy-connection", 16, "close", 5));
    assert_false(takes("transfer-encoding", 17, "chunked", 7));
    assert_false(takes("upgrade", 7, "h2c", 3));
}

static void test_lengths(void **state)
{
    (void)state;
    assert_true(is_good(PSEUDO "content-length=0"));
    assert_true(is_good(PSEUDO "content-length=999999999999999999"));
    assert_false(is_good(PSEUDO "content-length=1000000000000000000"));
    assert_false(is_good(PSEUDO "content-length="));
    assert_false(is_good(PSEUDO "content-length=-1"));
    assert_false(is_good(PSEUDO "content-length=1x"));
    assert_false(is_good(PSEUDO "content-length=5 content-length=5"));
}

static void test_a_body_is_as_long_as_was_said(void **state)
{
    (void)state;
    struct pd_grpc_headers headers = {0};
    assert_true(pd_grpc_headers_fit_body(&headers));
    assert_true(pd_grpc_headers_take_body(&headers, SIZE_MAX));
    assert_true(pd_grpc_headers_fit_body(&headers));
    headers = (struct pd_grpc_headers){0};
    assert_true(pd_grpc_headers_take(&headers, span("content-length"), span("12")));
    assert_false(pd_grpc_headers_fit_body(&headers));
    assert_true(pd_grpc_headers_take_body(&headers, 5));
    assert_false(pd_grpc_headers_fit_body(&headers));
    assert_true(pd_grpc_headers_take_body(&headers, 7));
    assert_true(pd_grpc_headers_fit_body(&headers));
    assert_false(pd_grpc_headers_take_body(&headers, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pseudo_headers),
        cmocka_unit_test(test_names_and_values),
        cmocka_unit_test(test_headers_of_a_connection),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_a_body_is_as_long_as_was_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
