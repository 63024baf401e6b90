/* Requests over the control socket: what is understood, and what is refused with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/control_request.h"

static struct pd_control_request read_good(const char *line)
{
    struct pd_control_request request;
    char mistake[PD_CONTROL_MISTAKE_SIZE];
    enum pd_status status = pd_control_request_parse(line, strlen(line), &request, mistake);
    if (status != PD_OK) {
        print_error("%s: %s\n", line, mistake);
    }
    assert_int_equal(status, PD_OK);
    return request;
}

static void expect_mistake(const char *line, size_t size, const char *words)
{
    struct pd_control_request request;
    char mistake[PD_CONTROL_MISTAKE_SIZE];
    assert_int_equal(pd_control_request_parse(line, size, &request, mistake), PD_ERR_INVALID);
    if (strstr(mistake, words) == NULL) {
        fail_msg("%s: '%s' does not say '%s'", line, mistake, words);
    }
}

static void refuse(const char *line, const char *words)
{
    expect_mistake(line, strlen(line), words);
}

static void every_request_is_understood(void **state)
{
    (void)state;
    assert_int_equal(read_good("{\"op\":\"program\"}").op, PD_CONTROL_PROGRAM);
    assert_int_equal(read_good(" { \"op\" : \"list\" } ").op, PD_CONTROL_LIST);
    struct pd_control_request request = read_good("{\"process\":\"a b\",\"op\":\"info\"}");
    assert_int_equal(request.op, PD_CONTROL_INFO);
    assert_string_equal(request.process, "a b");
    request = read_good("{\"op\":\"kill\",\"process\":\"\\u00e4\"}");
    assert_int_equal(request.op, PD_CONTROL_KILL);
    assert_string_equal(request.process, "\xc3\xa4");
    request = read_good("{\"op\":\"trace\",\"process\":\"7\"}");
    assert_int_equal(request.count, 1000);
    assert_int_equal(request.seconds, 10);
    request = read_good("{\"op\":\"trace\",\"process\":\"7\",\"count\":1000000,\"seconds\":3600}");
    assert_int_equal(request.op, PD_CONTROL_TRACE);
    assert_int_equal(request.count, 1000000);
    assert_int_equal(request.seconds, 3600);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    refuse("", "not JSON");
    refuse("garbage", "not JSON");
    refuse("{\"op\":\"list\"} x", "not JSON");
    refuse("{\"op\":\"list\",\"op\":\"kill\"}", "not JSON");
    refuse("[]", "\"op\" is wanted");
    refuse("{}", "\"op\" is wanted");
    refuse("{\"op\":7}", "\"op\" is wanted");
    refuse("{\"op\":\"fly\"}", "\"fly\" is none of");
    refuse("{\"op\":\"kill\"}", "which \"process\"?");
    refuse("{\"op\":\"kill\",\"process\":\"\"}", "wants a pid or a name");
    refuse("{\"op\":\"kill\",\"process\":7}", "wants a pid or a name");
    refuse("{\"op\":\"kill\",\"process\":\"a\\u0000b\"}", "not JSON");
    refuse("{\"op\":\"list\",\"process\":\"a\"}", "\"process\" is unknown here");
    refuse("{\"op\":\"info\",\"process\":\"a\",\"count\":1}", "\"count\" is unknown here");
    refuse("{\"op\":\"trace\",\"process\":\"a\",\"count\":0}", "from 1 to 1000000");
    refuse("{\"op\":\"trace\",\"process\":\"a\",\"count\":1000001}", "from 1 to 1000000");
    refuse("{\"op\":\"trace\",\"process\":\"a\",\"count\":1.5}", "from 1 to 1000000");
    refuse("{\"op\":\"trace\",\"process\":\"a\",\"seconds\":-1}", "from 1 to 3600");
    refuse("{\"op\":\"trace\",\"process\":\"a\",\"seconds\":3601}", "from 1 to 3600");
    refuse("{\"op\":\"trace\",\"process\":\"a\",\"seconds\":99999999999999999999}", "not JSON");
    expect_mistake("{\"op\":\"list\"}\0", 15, "not JSON");
}

static void names_and_lines_have_bounds(void **state)
{
    (void)state;
    static char line[PD_CONTROL_LINE_MAX + 2];
    static const char begin[] = "{\"op\":\"info\",\"process\":\"";
    size_t size = sizeof begin - 1;
    memcpy(line, begin, size);
    memset(line + size, 'n', PD_CONTROL_NAME_MAX);
    memcpy(line + size + PD_CONTROL_NAME_MAX, "\"}", 3);
    assert_int_equal(strlen(read_good(line).process), PD_CONTROL_NAME_MAX);
    memcpy(line + size + PD_CONTROL_NAME_MAX, "n\"}", 4);
    refuse(line, "wants a pid or a name");
    memset(line, ' ', sizeof line);
    memcpy(line, "{\"op\":\"list\"}", 13);
    struct pd_control_request request;
    char mistake[PD_CONTROL_MISTAKE_SIZE];
    assert_int_equal(pd_control_request_parse(line, PD_CONTROL_LINE_MAX, &request, mistake), PD_OK);
    expect_mistake(line, PD_CONTROL_LINE_MAX + 1, "too long");
    memset(line, '[', sizeof line);
    expect_mistake(line, PD_CONTROL_LINE_MAX, "not JSON");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_request_is_understood),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(names_and_lines_have_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
