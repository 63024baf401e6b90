/* What an application inside of a node is told of it. */
#include "cli/hosted.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *variable_of(const struct pd_settings *settings, uint64_t node)
{
    static struct pd_run_options options; /* too large for a frame */
    options = pd_hosted_options(settings, node);
    assert_int_equal(options.variable_count, 1);
    return options.variables[0];
}

/* As every other place writes an id: zeros at its beginning are digits, too. */
static void a_node_without_a_name_is_its_id(void **state)
{
    static struct pd_settings settings; /* too large for a frame */
    (void)state;
    assert_int_equal(pd_settings_init(&settings), PD_OK);
    assert_string_equal(variable_of(&settings, UINT64_C(0x2f056b33ba33bb)),
                        "PANDO_NODE=002f056b33ba33bb");
    settings.name = "mill";
    assert_string_equal(variable_of(&settings, 1), "PANDO_NODE=mill");
    pd_settings_deinit(&settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_without_a_name_is_its_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
