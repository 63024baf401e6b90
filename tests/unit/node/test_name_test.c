/* How exports name tests, which are wanted, and what a panic said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "node/test_name.h"

static struct pd_test_name parsed(const char *text)
{
    struct pd_test_name name;
    assert_true(pd_test_name_parse(text, strlen(text), &name));
    return name;
}

static void assert_path(const struct pd_test_name *name, const char *path)
{
    assert_int_equal(name->path_size, strlen(path));
    assert_memory_equal(name->path, path, name->path_size);
}

static void names_are_parsed(void **state)
{
    (void)state;
    struct pd_test_name name = parsed("#lunatic_test_app::works");
    assert_path(&name, "app::works");
    assert_false(name.is_ignored);
    assert_null(name.panic);

    name = parsed("#lunatic_test_#ignore_app::slow");
    assert_path(&name, "app::slow");
    assert_true(name.is_ignored);

    name = parsed("#lunatic_test_#panic_#app::dies");
    assert_path(&name, "app::dies");
    assert_non_null(name.panic);
    assert_int_equal(name.panic_size, 0);

    char text[64];
    name = parsed("#lunatic_test_#ignore_#panic_no \\#1 of \\#2#app::both");
    assert_path(&name, "app::both");
    assert_true(name.is_ignored);
    size_t size = pd_test_name_expected(&name, text);
    assert_int_equal(size, strlen("no #1 of #2"));
    assert_memory_equal(text, "no #1 of #2", size);
}

static void other_exports_are_no_tests(void **state)
{
    (void)state;
    static const char *const others[] = {"",
                                         "_start",
                                         "#lunatic_test",
                                         "lunatic_test_app::works",
                                         "#lunatic_test_#panic_never ends",
                                         "#lunatic_test_#panic_escaped \\#app::x"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct pd_test_name name;
        assert_false(pd_test_name_parse(others[i], strlen(others[i]), &name));
    }
}

static void choices(void **state)
{
    (void)state;
    struct pd_test_name name = parsed("#lunatic_test_app::mailbox::order");
    struct pd_test_name ignored = parsed("#lunatic_test_#ignore_app::slow");
    struct pd_test_choice choice = {0};
    assert_true(pd_test_choice_wants(&choice, &name));
    assert_true(pd_test_choice_wants(&choice, &ignored)); /* it is told that it was ignored */

    const char *const filters[] = {"nothing", "mailbox"};
    choice = (struct pd_test_choice){.filters = filters, .filter_count = 1};
    assert_false(pd_test_choice_wants(&choice, &name));
    choice.filter_count = 2;
    assert_true(pd_test_choice_wants(&choice, &name));
    assert_false(pd_test_choice_wants(&choice, &ignored));
    choice.is_exact = true;
    assert_false(pd_test_choice_wants(&choice, &name));

    const char *const whole[] = {"app::mailbox::order"};
    choice = (struct pd_test_choice){.filters = whole, .filter_count = 1, .is_exact = true};
    assert_true(pd_test_choice_wants(&choice, &name));
    choice = (struct pd_test_choice){.skips = whole, .skip_count = 1};
    assert_false(pd_test_choice_wants(&choice, &name));
    assert_true(pd_test_choice_wants(&choice, &ignored));
    choice = (struct pd_test_choice){.only_ignored = true};
    assert_false(pd_test_choice_wants(&choice, &name));
    assert_true(pd_test_choice_wants(&choice, &ignored));
}

static void assert_words(const char *output, const char *words)
{
    size_t size = 0;
    const char *found = pd_test_panic_words(output, strlen(output), &size);
    if (words == NULL) {
        assert_null(found);
        return;
    }
    assert_non_null(found);
    assert_int_equal(size, strlen(words));
    assert_memory_equal(found, words, size);
}

static void panics_are_found(void **state)
{
    (void)state;
    size_t size = 0;
    assert_null(pd_test_panic_words(NULL, 0, &size));
    assert_words("", NULL);
    assert_words("it panicked a little", NULL);
    assert_words("out\nthread '<unnamed>' panicked at 'no, 'it's', \nlost', src/a.rs:1:2\nnote: x",
                 "no, 'it's', \nlost");
    assert_words("thread 'main' panicked at src/a.rs:1:2:\nleft\nright\nnote: run with `RUST_",
                 "left\nright");
    assert_words("panicked at 'cut", "cut");
    assert_words("panicked at ", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_parsed),
        cmocka_unit_test(other_exports_are_no_tests),
        cmocka_unit_test(choices),
        cmocka_unit_test(panics_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
