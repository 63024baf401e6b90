/* What a row's name tells. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kv/kv.h"

/* A key's zero bytes are 00 ff in its rows, its end is 00 01, and 12 bytes of revision follow. */
static void rows_of_one_key_are_one_group(void **state)
{
    (void)state;
    static const struct {
        const char *row;
        size_t size;
        size_t group_size;
    } cases[] = {
        {"xa\0\1\0\1\0\1\0\1\0\1\0\1\0\1", 16, 4}, /* "a" */
        {"xa\0\1", 4, 4},                          /* where its rows begin */
        {"x\0\1", 3, 3},                           /* "" */
        {"x\0\xff\0\1\0\1", 7, 5},                 /* "\0" */
        {"xa\0\xff\1\0\1\xff", 8, 7},              /* "a\0\1" */
        {"xa\xff\xff\0\1", 6, 6},                  /* "a\xff\xff" */
        {"xa\0\2", 4, 0},                          /* behind them: of no key */
        {"xa\0", 3, 0},
        {"xa\0\xff\0", 5, 0},
        {"xa", 2, 0},
        {"x", 1, 0},
        {"ha\0\1", 4, 0},
        {"", 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pd_span row = {(const uint8_t *)cases[i].row, cases[i].size};
        assert_int_equal(pd_kv_row_group_size(row), cases[i].group_size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_one_key_are_one_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
