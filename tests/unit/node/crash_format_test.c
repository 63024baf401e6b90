/* The words of crash reports. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/crash_format.h"
#include "node/crash_report.h"

static const uint8_t hash[PD_CRASH_HASH_SHOWN] = {0xab, 0x01, 0x02, 0x03, 0x04, 0xff};

static struct pd_crash_facts facts_of_all(void)
{
    return (struct pd_crash_facts){
        .pid = 7,
        .parent = 2,
        .name = "mapper",
        .path = "root/mappers/mapper-1",
        .module_hash = hash,
        .module_file = "count.wasm",
        .function = "map",
        .reason = PD_EXIT_FAILURE,
        .reason_text = "wasm trap: integer divide by zero\nand more",
        .last_errors = "one\ntwo",
        .backtrace = "  0: map\n       at map.c:5:1\n",
        .message_count = 3,
        .message_bytes = 480,
        .fuel_used = 12345,
        .memory_size = 65536,
        .age_ns = 1234567,
    };
}

static void everything_that_is_known(void **state)
{
    (void)state;
    char text[PD_CRASH_REPORT_SIZE];
    struct pd_crash_facts facts = facts_of_all();
    size_t size = pd_crash_format_full(&facts, text, sizeof text);
    assert_string_equal(text,
                        "pando: process 7 \"mapper\" crashed: failure: wasm trap: integer divide "
                        "by zero\n"
                        "  path       root/mappers/mapper-1\n"
                        "  parent     2\n"
                        "  module     ab01020304ff count.wasm\n"
                        "  function   map\n"
                        "  fuel       12345\n"
                        "  memory     65536 bytes\n"
                        "  mailbox    3 messages, 480 bytes\n"
                        "  lived      1.234 ms\n"
                        "  its last lines on standard error\n"
                        "    | one\n"
                        "    | two\n"
                        "  backtrace\n"
                        "    0: map\n"
                        "         at map.c:5:1\n");
    assert_int_equal(size, strlen(text));
}

static void little_is_known(void **state)
{
    (void)state;
    char text[PD_CRASH_REPORT_SIZE];
    struct pd_crash_facts facts = {.pid = 9, .reason = PD_EXIT_NO_PROCESS, .is_secondhand = true};
    (void)pd_crash_format_full(&facts, text, sizeof text);
    assert_string_equal(text, "pando: process 9 crashed: no process\n"
                              "  mailbox    0 messages, 0 bytes\n"
                              "  lived      0.000 ms\n"
                              "  cause      a linked process ended, or an exit signal\n");
}

static void one_line(void **state)
{
    (void)state;
    char text[512];
    struct pd_crash_facts facts = facts_of_all();
    (void)pd_crash_format_brief(&facts, text, sizeof text);
    assert_string_equal(text, "pando: process 7 \"mapper\" (root/mappers/mapper-1) crashed: "
                              "failure: wasm trap: integer divide by zero");
    facts.reason = PD_EXIT_KILLED;
    facts.reason_text = "by the operator";
    facts.path = NULL;
    (void)pd_crash_format_brief(&facts, text, sizeof text);
    assert_string_equal(text, "pando: process 7 \"mapper\" was killed: by the operator");
}

static void expect_outcome(struct pd_crash_outcome outcome, const char *full, const char *brief)
{
    char text[160];
    (void)pd_crash_format_outcome(&outcome, false, text, sizeof text);
    assert_string_equal(text, full);
    (void)pd_crash_format_outcome(&outcome, true, text, sizeof text);
    assert_string_equal(text, brief);
}

static void what_becomes_of_it(void **state)
{
    (void)state;
    expect_outcome((struct pd_crash_outcome){.is_known = false}, "", "\n");
    expect_outcome(
        (struct pd_crash_outcome){
            .is_known = true, .is_restarted = true, .restart_count = 2, .restarts_max = 3},
        "  restart    2 of 3\n", " (restart 2 of 3)\n");
    expect_outcome((struct pd_crash_outcome){.is_known = true}, "  restart    none\n",
                   " (restart none)\n");
    expect_outcome((struct pd_crash_outcome){.is_known = true, .has_given_up = true},
                   "  restart    none: its supervisor gives up\n",
                   " (restart none: its supervisor gives up)\n");
}

static void guests_cannot_play_with_the_terminal(void **state)
{
    (void)state;
    char text[PD_CRASH_REPORT_SIZE];
    struct pd_crash_facts facts = facts_of_all();
    facts.name = "a\x1b[2Jb\nc";
    facts.last_errors = "\x1b]0;title\x07\npando: process 1 crashed";
    facts.backtrace = "";
    size_t size = pd_crash_format_full(&facts, text, sizeof text);
    assert_null(memchr(text, 0x1b, size));
    assert_null(memchr(text, 0x07, size));
    assert_non_null(strstr(text, "\"a?[2Jb\" crashed"));
    assert_non_null(strstr(text, "    | pando: process 1 crashed\n"));
}

/* However long the texts are: the report ends at the end of a line, within its room. */
static void what_is_too_long_is_cut(void **state)
{
    (void)state;
    char *lines = malloc(100001);
    char *text = malloc(PD_CRASH_REPORT_SIZE);
    assert_non_null(lines);
    assert_non_null(text);
    for (size_t i = 0; i < 100000; i++) {
        lines[i] = i % 60 == 59 ? '\n' : 'x';
    }
    lines[100000] = '\0';
    struct pd_crash_facts facts = facts_of_all();
    facts.last_errors = lines;
    facts.backtrace = lines;
    for (size_t room = 256; room <= PD_CRASH_REPORT_SIZE; room += 97) {
        size_t size = pd_crash_format_full(&facts, text, room);
        assert_true(size < room);
        assert_int_equal(size, strlen(text));
        facts.reason_text = lines;
        facts.name = lines;
        size = pd_crash_format_brief(&facts, text, room);
        assert_true(size < room);
        facts.reason_text = "";
        facts.name = "";
    }
    free(lines);
    free(text);
}

/* A burst, then so many a second; what is refused is counted. */
static void the_rate_is_bounded(void **state)
{
    (void)state;
    const uint64_t second = UINT64_C(1000000000);
    struct pd_crash_reports reports = {.tokens = (uint64_t)PD_CRASH_BURST * 1000};
    uint32_t admitted = 0;
    for (uint32_t i = 0; i < 50000; i++) {
        admitted += pd_crash_reports_admit(&reports, 0) ? 1 : 0;
    }
    assert_int_equal(admitted, PD_CRASH_BURST);
    assert_int_equal(reports.left_out_count, 50000 - PD_CRASH_BURST);
    admitted = 0;
    for (uint64_t now_ns = 0; now_ns < 10 * second; now_ns += second / 5000) {
        admitted += pd_crash_reports_admit(&reports, now_ns) ? 1 : 0;
    }
    assert_in_range(admitted, 10 * PD_CRASH_RATE - 1, 10 * PD_CRASH_RATE + 1);
    admitted = 0;
    for (uint32_t i = 0; i < 1000; i++) { /* a quiet hour refills the burst, not more */
        admitted += pd_crash_reports_admit(&reports, 3610 * second) ? 1 : 0;
    }
    assert_int_equal(admitted, PD_CRASH_BURST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_that_is_known),
        cmocka_unit_test(little_is_known),
        cmocka_unit_test(one_line),
        cmocka_unit_test(what_becomes_of_it),
        cmocka_unit_test(guests_cannot_play_with_the_terminal),
        cmocka_unit_test(what_is_too_long_is_cut),
        cmocka_unit_test(the_rate_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
