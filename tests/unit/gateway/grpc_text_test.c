#include "gateway/grpc_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void encodes(const char *text, const char *wanted)
{
    char room[64];
    size_t size = pd_grpc_encode_message(text, room, sizeof room);
    assert_int_equal(size, strlen(wanted));
    assert_memory_equal(room, wanted, size);
}

static void test_messages(void **state)
{
    (void)state;
    encodes("", "");
    encodes("etcdserver: key not found", "etcdserver: key not found");
    encodes("100%", "100%25");
    encodes("a\nb\x7f", "a%0Ab%7F");
    encodes("\xc3\xa9", "%C3%A9");
    char room[5];
    assert_int_equal(pd_grpc_encode_message("abc\n", room, sizeof room), 3); /* not in half */
    assert_int_equal(pd_grpc_encode_message("abcdefgh", room, sizeof room), 5);
}

static void takes(const char *text, uint64_t wanted)
{
    uint64_t timeout = 0;
    assert_true(
        pd_grpc_parse_timeout((struct pd_span){(const uint8_t *)text, strlen(text)}, &timeout));
    assert_int_equal(timeout, wanted);
}

static void refuses(const char *text)
{
    uint64_t timeout = 0;
    assert_false(
        pd_grpc_parse_timeout((struct pd_span){(const uint8_t *)text, strlen(text)}, &timeout));
}

static void test_timeouts(void **state)
{
    (void)state;
    takes("0n", 0);
    takes("99999999n", 99999999);
    takes("7u", 7000);
    takes("100m", 100000000);
    takes("5S", UINT64_C(5000000000));
    takes("2M", UINT64_C(120000000000));
    takes("1H", UINT64_C(3600000000000));
    takes("99999999H", UINT64_MAX);
    refuses("");
    refuses("S");
    refuses("5");
    refuses("5s");
    refuses("-5S");
    refuses("123456789S");
    refuses("5 S");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_timeouts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
