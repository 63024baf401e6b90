/* The tail of standard error, against a model that keeps everything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "support/seed.h"
#include "wasm/error_tail.h"

static void keep(struct pd_error_tail *tail, const char *text)
{
    pd_error_tail_keep(tail, (const uint8_t *)text, strlen(text));
}

static void expect(const struct pd_error_tail *tail, size_t room, const char *wanted)
{
    char text[PD_ERROR_TAIL_MAX + 1];
    size_t size = pd_error_tail_text(tail, text, room);
    assert_string_equal(text, wanted);
    assert_int_equal(size, strlen(wanted));
}

static void little_is_kept_whole(void **state)
{
    (void)state;
    struct pd_error_tail tail = {0};
    expect(&tail, 100, "");
    assert_null(tail.bytes);
    keep(&tail, "");
    assert_null(tail.bytes); /* nothing is taken for nothing */
    keep(&tail, "panicked at ");
    keep(&tail, "'no'\n");
    expect(&tail, 100, "panicked at 'no'\n");
    assert_int_equal(pd_error_tail_text(&tail, NULL, 0), 0);
    pd_error_tail_deinit(&tail);
    expect(&tail, 100, "");
}

static void a_cut_is_made_at_a_line(void **state)
{
    (void)state;
    struct pd_error_tail tail = {0};
    keep(&tail, "first\nsecond\nthird\n");
    expect(&tail, 16, "second\nthird\n");
    expect(&tail, 13, "third\n");
    expect(&tail, 7, "third\n");
    expect(&tail, 4, "rd\n"); /* no whole line fits */
    pd_error_tail_deinit(&tail);
    keep(&tail, "\xc3\xa4\xc3\xb6\xc3\xbc"); /* never within a character */
    expect(&tail, 6, "\xc3\xb6\xc3\xbc");
    pd_error_tail_deinit(&tail);
}

static void without_memory_the_old_stays(void **state)
{
    (void)state;
    struct pd_error_tail tail = {0};
    char much[400];
    memset(much, 'x', sizeof much - 1);
    much[sizeof much - 1] = '\0';
    keep(&tail, "old\n");
    pd_alloc_fail_nth(1);
    keep(&tail, much);
    expect(&tail, 100, "old\n");
    pd_alloc_fail_nth(0);
    pd_error_tail_deinit(&tail);
}

static void the_newest_bytes_are_kept(void **state)
{
    (void)state;
    static uint8_t all[200000];
    size_t size = 0;
    struct pd_random random = test_random("newest");
    struct pd_error_tail tail = {0};
    while (size + 3000 < sizeof all) {
        size_t piece = pd_random_below(&random, pd_random_below(&random, 2) == 0 ? 40 : 3000);
        for (size_t i = 0; i < piece; i++) {
            all[size + i] = (uint8_t)(1 + pd_random_below(&random, 255));
        }
        pd_error_tail_keep(&tail, all + size, piece);
        size += piece;
        size_t kept = size < PD_ERROR_TAIL_MAX ? size : PD_ERROR_TAIL_MAX;
        assert_int_equal(tail.size, kept);
        if (kept > 0) {
            assert_memory_equal(tail.bytes, all + size - kept, kept);
        }
        char text[PD_ERROR_TAIL_MAX + 1];
        size_t shown = pd_error_tail_text(&tail, text, 1 + pd_random_below(&random, 1024));
        if (shown > 0) {
            assert_memory_equal(text, all + size - shown, shown);
        }
    }
    pd_error_tail_deinit(&tail);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(little_is_kept_whole),
        cmocka_unit_test(a_cut_is_made_at_a_line),
        cmocka_unit_test(without_memory_the_old_stays),
        cmocka_unit_test(the_newest_bytes_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
