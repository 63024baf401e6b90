/* Lines leave whole, in one write a batch, with their tag; nothing is held without need. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "wasm/output.h"

#define ROOM (1u << 20)

struct sink {
    struct pd_output_sink base; /* first */
    char text[ROOM];
    size_t size;
    unsigned writes;
    enum pd_file_error error;
};

static enum pd_file_error sink_write(struct pd_output_sink *base, int stream, const uint8_t *bytes,
                                     size_t size)
{
    struct sink *sink = (struct sink *)(void *)base;
    assert_int_equal(stream, 1);
    assert_true(size > 0 && size <= ROOM - sink->size);
    memcpy(sink->text + sink->size, bytes, size);
    sink->size += size;
    sink->writes++;
    return sink->error;
}

struct fixture {
    struct sink sink;
    struct pd_output output;
    struct pd_output_route route;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->sink.base.write = sink_write;
    f->route = (struct pd_output_route){.sink = &f->sink.base, .stream = 1};
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    pd_output_deinit(&f->output);
    free(f);
    return 0;
}

static enum pd_file_error say(struct fixture *f, const char *text)
{
    return pd_output_write(&f->output, &f->route, (const uint8_t *)text, strlen(text));
}

static void assert_said(struct fixture *f, const char *text, unsigned writes)
{
    assert_int_equal(f->sink.size, strlen(text));
    assert_memory_equal(f->sink.text, text, f->sink.size);
    assert_int_equal(f->sink.writes, writes);
}

static void whole_lines_leave_in_one_write(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(say(f, "one\ntwo\nthr"), PD_FILE_OK);
    assert_said(f, "one\ntwo\n", 1);
    assert_int_equal(say(f, "e"), PD_FILE_OK);
    assert_said(f, "one\ntwo\n", 1);
    assert_int_equal(say(f, "e\nfour\nf"), PD_FILE_OK);
    assert_said(f, "one\ntwo\nthree\nfour\n", 2);
    assert_int_equal(pd_output_flush(&f->output, &f->route), PD_FILE_OK);
    assert_said(f, "one\ntwo\nthree\nfour\nf", 3);
    assert_int_equal(pd_output_flush(&f->output, &f->route), PD_FILE_OK);
    assert_said(f, "one\ntwo\nthree\nfour\nf", 3);
}

static void byte_by_byte_is_one_write_a_line(void **state)
{
    struct fixture *f = *state;
    for (const char *c = "ab\n\ncd\n"; *c != '\0'; c++) {
        assert_int_equal(pd_output_write(&f->output, &f->route, (const uint8_t *)c, 1), PD_FILE_OK);
    }
    assert_said(f, "ab\n\ncd\n", 3);
    assert_null(f->output.held);
}

static void each_line_has_the_tag(void **state)
{
    struct fixture *f = *state;
    f->route.tag = "7 map";
    assert_int_equal(say(f, "one\n\ntw"), PD_FILE_OK);
    assert_said(f, "[7 map] one\n[7 map] \n", 1);
    assert_int_equal(say(f, "o\nend"), PD_FILE_OK);
    assert_int_equal(pd_output_flush(&f->output, &f->route), PD_FILE_OK);
    assert_said(f, "[7 map] one\n[7 map] \n[7 map] two\n[7 map] end", 3);
}

static void a_line_beyond_the_limit_leaves_in_pieces(void **state)
{
    struct fixture *f = *state;
    size_t size = 3 * PD_OUTPUT_LINE_MAX + 5;
    char *text = malloc(size);
    assert_non_null(text);
    memset(text, 'x', size);
    for (size_t at = 0; at < size; at += 1000) {
        size_t piece = size - at < 1000 ? size - at : 1000;
        assert_int_equal(pd_output_write(&f->output, &f->route, (const uint8_t *)text + at, piece),
                         PD_FILE_OK);
        assert_true(f->output.held_size <= PD_OUTPUT_LINE_MAX);
    }
    assert_int_equal(f->sink.size, 3 * PD_OUTPUT_LINE_MAX);
    assert_int_equal(pd_output_flush(&f->output, &f->route), PD_FILE_OK);
    assert_int_equal(f->sink.size, size);
    assert_memory_equal(f->sink.text, text, size);
    free(text);
}

static void a_long_tagged_write_leaves_in_batches(void **state)
{
    struct fixture *f = *state;
    f->route.tag = "t";
    char text[4096];
    for (size_t i = 0; i < sizeof text; i += 4) {
        memcpy(text + i, "abc\n", 4);
    }
    for (int i = 0; i < 64; i++) {
        assert_int_equal(pd_output_write(&f->output, &f->route, (const uint8_t *)text, sizeof text),
                         PD_FILE_OK);
    }
    assert_int_equal(f->sink.writes, 64);
    assert_int_equal(f->sink.size, 64 * (sizeof text / 4) * 8);
    assert_null(f->output.held);
}

static void the_limit_is_exact(void **state)
{
    struct fixture *f = *state;
    char *text = malloc(PD_OUTPUT_LINE_MAX + 1);
    assert_non_null(text);
    memset(text, 'y', PD_OUTPUT_LINE_MAX);
    text[PD_OUTPUT_LINE_MAX] = '\n';
    assert_int_equal(
        pd_output_write(&f->output, &f->route, (const uint8_t *)text, PD_OUTPUT_LINE_MAX),
        PD_FILE_OK);
    assert_int_equal(f->sink.writes, 0);
    assert_int_equal(say(f, "\n"), PD_FILE_OK);
    assert_int_equal(f->sink.size, PD_OUTPUT_LINE_MAX + 1);
    assert_memory_equal(f->sink.text, text, PD_OUTPUT_LINE_MAX + 1);
    free(text);
}

static void a_closed_stream_holds_nothing(void **state)
{
    struct fixture *f = *state;
    f->sink.error = PD_FILE_PIPE;
    assert_int_equal(say(f, "begin"), PD_FILE_OK);
    assert_int_equal(say(f, " end\nmore"), PD_FILE_PIPE);
    assert_null(f->output.held);
    f->sink.error = PD_FILE_NOSPC;
    assert_int_equal(say(f, "plain\n"), PD_FILE_NOSPC);
    assert_int_equal(say(f, "open"), PD_FILE_OK);
    assert_int_equal(pd_output_flush(&f->output, &f->route), PD_FILE_NOSPC);
    assert_null(f->output.held);
    assert_int_equal(pd_output_flush(&f->output, &f->route), PD_FILE_OK);
}

static void without_memory_the_bytes_still_leave(void **state)
{
    struct fixture *f = *state;
    pd_alloc_fail_nth(1);
    assert_int_equal(say(f, "open"), PD_FILE_OK);
    assert_said(f, "open", 1);
    assert_int_equal(say(f, "line"), PD_FILE_OK);
    pd_alloc_fail_nth(1);
    assert_int_equal(say(f, " closed\n"), PD_FILE_OK);
    assert_said(f, "openline closed\n", 3);
    f->sink.error = PD_FILE_NOSPC;
    pd_alloc_fail_nth(1);
    assert_int_equal(say(f, "open"), PD_FILE_NOSPC);
    assert_int_equal(say(f, "line"), PD_FILE_OK);
    pd_alloc_fail_nth(1);
    assert_int_equal(say(f, " closed\n"), PD_FILE_NOSPC);
    pd_alloc_fail_nth(0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(whole_lines_leave_in_one_write),
        TEST(byte_by_byte_is_one_write_a_line),
        TEST(each_line_has_the_tag),
        TEST(a_line_beyond_the_limit_leaves_in_pieces),
        TEST(a_long_tagged_write_leaves_in_batches),
        TEST(the_limit_is_exact),
        TEST(a_closed_stream_holds_nothing),
        TEST(without_memory_the_bytes_still_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
