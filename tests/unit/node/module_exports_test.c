/* What a module exports, read from its bytes: whole, cut, and of any other bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "node/module_exports.h"

#define CODE 10

/* Two functions ("main", "b") and a memory; lengths are padded as linkers do it. */
static const uint8_t module[] = {
    0,    'a',  's',  'm',  1,    0, 0,    0,          /* header */
    0,    3,    1,    'x',  9,                         /* custom */
    1,    0x84, 0x80, 0x80, 0x80, 0, 1,    0x60, 0, 0, /* types */
    13,   1,    0,                                     /* tags */
    7,    0x95, 0x80, 0,    3,                         /* exports: 21 bytes, 3 of them */
    4,    'm',  'a',  'i',  'n',  0, 0x80, 0x80, 0,    /* */
    3,    'm',  'e',  'm',  2,    0,                   /* */
    1,    'b',  0,    0x81, 0,                         /* */
    CODE, 0x7f,                                        /* is not looked at */
};

static void functions_are_named(void **state)
{
    (void)state;
    struct pd_module_exports exports;
    const char *name = NULL;
    size_t size = 0;
    uint32_t index = 7;
    assert_int_equal(pd_module_exports_begin(&exports, module, sizeof module), PD_OK);
    assert_int_equal(pd_module_exports_next(&exports, &name, &size, &index), PD_OK);
    assert_int_equal(index, 0);
    assert_int_equal(size, 4);
    assert_memory_equal(name, "main", 4);
    assert_int_equal(pd_module_exports_next(&exports, &name, &size, &index), PD_OK);
    assert_int_equal(index, 1);
    assert_int_equal(size, 1);
    assert_memory_equal(name, "b", 1);
    assert_int_equal(pd_module_exports_next(&exports, &name, &size, &index), PD_ERR_UNKNOWN);
    assert_int_equal(pd_module_exports_next(&exports, &name, &size, &index), PD_ERR_UNKNOWN);
}

static void a_module_that_is_cut_wants_more(void **state)
{
    (void)state;
    struct pd_module_exports exports;
    for (size_t size = 0; size < sizeof module - 2; size++) {
        assert_int_equal(pd_module_exports_begin(&exports, module, size), PD_ERR_FULL);
    }
    /* What comes behind is not needed, nor waited for. */
    assert_int_equal(pd_module_exports_begin(&exports, module, sizeof module - 2), PD_OK);
    static const uint8_t none[] = {0, 'a', 's', 'm', 1, 0, 0, 0, CODE};
    const char *name = NULL;
    size_t size = 0;
    uint32_t index = 0;
    assert_int_equal(pd_module_exports_begin(&exports, none, sizeof none), PD_OK);
    assert_int_equal(pd_module_exports_next(&exports, &name, &size, &index), PD_ERR_UNKNOWN);
    assert_int_equal(pd_module_exports_begin(&exports, (const uint8_t *)"(module) ", 9),
                     PD_ERR_INVALID);
}

/* Each in a block of its own size, so that a byte outside is found by the sanitizer. */
static void any_bytes_end(void **state)
{
    (void)state;
    struct pd_random random;
    pd_random_init(&random, 11, "module_exports");
    uint32_t whole = 0;
    for (int round = 0; round < 20000; round++) {
        size_t size = 8 + (size_t)pd_random_below(&random, sizeof module - 7);
        uint8_t *bytes = malloc(size);
        assert_non_null(bytes);
        memcpy(bytes, module, size);
        for (uint64_t i = pd_random_below(&random, 4); i > 0; i--) {
            bytes[pd_random_below(&random, size)] = (uint8_t)pd_random_below(&random, 256);
        }
        struct pd_module_exports exports;
        const char *name = NULL;
        size_t name_size = 0;
        uint32_t index = 0;
        if (pd_module_exports_begin(&exports, bytes, size) == PD_OK) {
            while (pd_module_exports_next(&exports, &name, &name_size, &index) == PD_OK) {
                assert_true((const uint8_t *)name >= bytes);
                assert_true((const uint8_t *)name + name_size < bytes + size);
                whole++;
            }
        }
        free(bytes);
    }
    assert_true(whole > 1000);
}

/* Of all kinds of imports two are functions; then come two of the module's own. */
static const uint8_t typed[] = {
    0,    'a', 's',  'm',  1,    0,    0,    0,                /* header */
    1,    22,  3,                                              /* types: 22 bytes, 3 of them */
    0x60, 0,   0,                                              /* () */
    0x60, 5,   0x7f, 0x7e, 0x7b, 0x64, 0x70, 0x7c, 1,    0x7d, /* with a reference */
    0x60, 1,   0x7f, 2,    0x7f, 0x63, 0x81, 0x00,             /* (i32) -> i32, reference */
    2,    37,  6,                                              /* imports */
    1,    'm', 1,    'a',  0,    1,                            /* a function of type 1 */
    1,    'm', 1,    'b',  1,    0x70, 1,    0,    0x80, 1,    /* a table */
    0,    0,   2,    0,    1,                                  /* a memory */
    0,    0,   3,    0x7f, 0,                                  /* a global */
    0,    0,   4,    0,    0,                                  /* a tag */
    1,    'm', 0,    0,    2,                                  /* a function of type 2 */
    3,    3,   2,    0,    1,                                  /* functions */
    7,    5,   1,    1,    'f',  0,    2,                      /* exports */
    CODE,
};

static void functions_have_types(void **state)
{
    (void)state;
    static const struct {
        uint32_t type;
        uint32_t param_count;
        uint32_t result_count;
    } wanted[] = {{1, 5, 1}, {2, 1, 2}, {0, 0, 0}, {1, 5, 1}};
    static const uint8_t params[] = {PD_MODULE_I32, PD_MODULE_I64, PD_MODULE_V128, 0x64,
                                     PD_MODULE_F64};
    struct pd_module_exports exports;
    struct pd_module_type type;
    const char *name = NULL;
    size_t size = 0;
    uint32_t index = 0;
    assert_int_equal(pd_module_exports_begin(&exports, typed, sizeof typed), PD_OK);
    assert_int_equal(pd_module_exports_next(&exports, &name, &size, &index), PD_OK);
    assert_int_equal(index, 2);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(pd_module_type_of(typed, sizeof typed, i, &type), PD_OK);
        assert_int_equal(type.param_count, wanted[i].param_count);
        assert_int_equal(type.result_count, wanted[i].result_count);
        assert_memory_equal(type.params, params, type.param_count);
    }
    assert_int_equal(pd_module_type_of(typed, sizeof typed, 4, &type), PD_ERR_UNKNOWN);
    assert_int_equal(pd_module_type_of(typed, sizeof typed, UINT32_MAX, &type), PD_ERR_UNKNOWN);
}

/* Any bytes, each in a block of its own size, have types or none. */
static void any_types_end(void **state)
{
    (void)state;
    struct pd_random random;
    pd_random_init(&random, 12, "module_exports");
    uint32_t found = 0;
    for (int round = 0; round < 20000; round++) {
        size_t size = 8 + (size_t)pd_random_below(&random, sizeof typed - 7);
        uint8_t *bytes = malloc(size);
        assert_non_null(bytes);
        memcpy(bytes, typed, size);
        for (uint64_t i = pd_random_below(&random, 4); i > 0; i--) {
            bytes[pd_random_below(&random, size)] = (uint8_t)pd_random_below(&random, 256);
        }
        struct pd_module_type type;
        uint32_t index = (uint32_t)pd_random_below(&random, 5);
        found += pd_module_type_of(bytes, size, index, &type) == PD_OK;
        free(bytes);
    }
    assert_true(found > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_have_types), cmocka_unit_test(any_types_end),
        cmocka_unit_test(functions_are_named),  cmocka_unit_test(a_module_that_is_cut_wants_more),
        cmocka_unit_test(any_bytes_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
