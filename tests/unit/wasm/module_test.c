/* What loads, what is refused and in which words, and what a module knows of itself. */
#include <nettle/sha2.h>

#include "guest_world.h"

static struct world world;

static enum pd_status load_bytes(const uint8_t *bytes, size_t size, size_t bytes_max,
                                 struct pd_module **module_out, struct pd_module_message *message)
{
    struct pd_module_source source = {.bytes = bytes, .size = size, .wasm_bytes_max = bytes_max};
    return pd_module_load(&world.linker, &source, module_out, message);
}

static void refuses(const uint8_t *bytes, size_t size, enum pd_status status, const char *part)
{
    struct pd_module_message message;
    struct pd_module *module = NULL;
    assert_int_equal(load_bytes(bytes, size, 1000, &module, &message), status);
    assert_null(module);
    if (strstr(message.text, part) == NULL) {
        print_error("\"%s\" is not in \"%s\"\n", part, message.text);
    }
    assert_non_null(strstr(message.text, part));
}

static void refuses_text(const char *wat, enum pd_status status, const char *part)
{
    struct pd_module_message message;
    struct pd_module *module = NULL;
    assert_int_equal(pd_module_load_text(&world.linker, wat, &module, &message), status);
    assert_null(module);
    if (strstr(message.text, part) == NULL) {
        print_error("\"%s\" is not in \"%s\"\n", part, message.text);
    }
    assert_non_null(strstr(message.text, part));
}

static void what_is_no_module_is_refused(void **state)
{
    (void)state;
    static const uint8_t component[] = {0, 'a', 's', 'm', 0x0d, 0, 1, 0};
    static const uint8_t future[] = {0, 'a', 's', 'm', 2, 0, 0, 0};
    static const uint8_t broken[] = {0, 'a', 's', 'm', 1, 0, 0, 0, 99, 200};
    static const uint8_t large[1001] = {0, 'a', 's', 'm', 1};
    refuses((const uint8_t *)"", 0, PD_ERR_INVALID, "not a WebAssembly module");
    refuses((const uint8_t *)"\0asm", 4, PD_ERR_INVALID, "not a WebAssembly module");
    refuses((const uint8_t *)"(module)", 8, PD_ERR_INVALID, "wat2wasm");
    refuses(component, sizeof component, PD_ERR_UNSUPPORTED, "WASI 0.2 component");
    refuses(component, sizeof component, PD_ERR_UNSUPPORTED, "wasm32-wasip1");
    refuses(future, sizeof future, PD_ERR_UNSUPPORTED, "version 2.0");
    refuses(broken, sizeof broken, PD_ERR_INVALID, "the module is not valid");
    refuses(large, sizeof large, PD_ERR_RANGE, "1001 bytes; at most 1000");
}

static void invalid_text_is_explained(void **state)
{
    (void)state;
    refuses_text("(module", PD_ERR_INVALID, "expected");
    refuses_text("(module (func (result i32)))", PD_ERR_INVALID, "type mismatch");
}

static void what_one_guest_cannot_have_is_refused(void **state)
{
    (void)state;
    refuses_text("(module (memory 1) (memory 1))", PD_ERR_INVALID, "not valid");
    refuses_text("(module (memory i64 1))", PD_ERR_INVALID, "not valid");
    refuses_text("(module (memory 1 1 shared))", PD_ERR_INVALID, "not valid");
}

static void every_missing_import_is_named(void **state)
{
    (void)state;
    static const char text[] = "(module"
                               "(import \"t\" \"add\" (func (param i32 i32) (result i32)))"
                               "(import \"t\" \"report\" (func (param i64)))"
                               "(import \"lunatic::message\" \"sned\" (func (param i64)))"
                               "(import \"env\" \"memory\" (memory 1))"
                               "(import \"pando::engine\" \"suspend\" (func))"
                               "(import \"t\" \"mix\" (func (param v128 f32) (result i32))))";
    refuses_text(text, PD_ERR_UNSUPPORTED, "\n  lunatic::message::sned");
    refuses_text(text, PD_ERR_UNSUPPORTED, "\n  t::report as I-> (it is i->)");
    refuses_text(text, PD_ERR_UNSUPPORTED, "\n  env::memory (a memory, table or global");
    refuses_text(text, PD_ERR_UNSUPPORTED, "\n  pando::engine::suspend");
    refuses_text(text, PD_ERR_UNSUPPORTED, "\n  t::mix as VF->i (it is iID->I)");
    /* More than fits: the rest is counted. */
    char many[16000] = "(module";
    size_t size = strlen(many);
    for (int i = 0; i < 200; i++) {
        size += (size_t)snprintf(many + size, sizeof many - size,
                                 "(import \"nobody\" \"function_%d\" (func))", i);
    }
    (void)snprintf(many + size, sizeof many - size, ")");
    refuses_text(many, PD_ERR_UNSUPPORTED, "more");
    refuses_text(many, PD_ERR_UNSUPPORTED, "\n  nobody::function_0");
}

static void what_toolchains_emit_loads(void **state)
{
    (void)state;
    static const char *const texts[] = {
        /* multi-value, blocks with parameters */
        "(module (func (result i32 i64) i32.const 1 i64.const 2)"
        "  (func (result i32) (i32.const 1) (block (param i32) (result i32))))",
        /* bulk memory, passive segments */
        "(module (memory 1) (data \"abc\") (func (memory.init 0 (i32.const 0) (i32.const 0)"
        "  (i32.const 3)) (data.drop 0) (memory.copy (i32.const 0) (i32.const 1) (i32.const 2))"
        "  (memory.fill (i32.const 0) (i32.const 0) (i32.const 9))))",
        /* sign extension, saturating conversions */
        "(module (func (drop (i32.extend8_s (i32.const 1))) (drop (i64.extend32_s (i64.const 1)))"
        "  (drop (i32.trunc_sat_f64_u (f64.const 1)))))",
        /* SIMD, also in exported signatures */
        "(module (func (export \"v\") (param v128) (result v128) (i32x4.add (local.get 0)"
        "  (v128.const i32x4 1 2 3 4))))",
        "(module (func (drop (i8x16.relaxed_swizzle (v128.const i64x2 0 0) (v128.const i64x2 0 "
        "0)))))",
        /* reference types: funcref tables, table instructions, typed select */
        "(module (table $t (export \"t\") 2 funcref) (func $f) (elem declare func $f)"
        "  (func (table.set $t (i32.const 0) (ref.func $f)) (drop (table.size $t))"
        "    (drop (ref.is_null (select (result funcref) (ref.null func) (ref.func $f)"
        "      (i32.const 0))))))",
        /* mutable globals exported, tail calls */
        "(module (global (export \"g\") (mut i32) (i32.const 0)) (func $f (return_call $f)))",
        "(module (func (export \"refs\") (param funcref) (result funcref) (local.get 0)))",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        pd_module_release(load(&world, texts[i]));
    }
}

/* Since Rust 1.82 and LLVM 19 the table of call_indirect is a number of five bytes, relocatable:
 * with reference types only. */
static void padded_table_numbers_load(void **state)
{
    (void)state;
    static const uint8_t wasm[] = {
        0,  'a', 's', 'm',  1,   0,    0, 0,    1, 4,    1,    0x60, 0,    0, /* type () -> () */
        3,  2,   1,   0,                                                      /* one function */
        4,  4,   1,   0x70, 0,   1,       /* table of one funcref */
        7,  5,   1,   1,    'f', 0,    0, /* export f */
        10, 13,  1,   11,   0,   0x41, 0, 0x11, 0, 0x80, 0x80, 0x80, 0x80, 0, 0x0b, /* its body */
    };
    struct pd_module_message message;
    struct pd_module *module = NULL;
    enum pd_status status = load_bytes(wasm, sizeof wasm, 1000, &module, &message);
    if (status != PD_OK) {
        print_error("%s\n", message.text);
    }
    assert_int_equal(status, PD_OK);
    struct process process;
    spawn(&world, &process, module, "f");
    assert_int_equal(run_guest(&process), PD_GUEST_EXITED);
    assert_end(&process, PD_GUEST_TRAP); /* the table is empty */
    pd_guest_destroy(process.guest);
    pd_module_release(module);
}

static void exports_are_found(void **state)
{
    (void)state;
    struct pd_module *module = load(
        &world, "(module (memory (export \"memory\") 3) (global (export \"g\") i32 (i32.const 1))"
                "(func (export \"b\") (param i32 i64 f32 f64 v128 funcref) (result f64)"
                "  (f64.const 1))"
                "(func (export \"a\")) (func (export \"\")) (func (export \"ab\"))"
                "(func (export \"#lunatic_test_x\")))");
    assert_int_equal(module->memory_bytes_min, 3 * 65536);
    assert_int_equal(module->export_count, 5);
    const struct pd_module_export *b = pd_module_find(module, "b", 1);
    assert_non_null(b);
    assert_int_equal(b->param_count, 6);
    assert_int_equal(b->params[0], WASMTIME_I32);
    assert_int_equal(b->params[4], WASMTIME_V128);
    assert_int_equal(b->params[5], 255);
    assert_int_equal(b->result_count, 1);
    assert_int_equal(b->result, WASMTIME_F64);
    assert_non_null(pd_module_find(module, "", 0));
    assert_non_null(pd_module_find(module, "ab", 2));
    assert_string_equal(pd_module_find(module, "abc", 2)->name, "ab");
    assert_null(pd_module_find(module, "abc", 3));
    assert_null(pd_module_find(module, "g", 1));
    assert_null(pd_module_find(module, "memory", 6));
    pd_module_release(module);
}

static void modules_are_counted_and_hashed(void **state)
{
    (void)state;
    static const uint8_t empty[] = {0, 'a', 's', 'm', 1, 0, 0, 0};
    struct pd_module_message message;
    struct pd_module *module = NULL;
    assert_int_equal(load_bytes(empty, sizeof empty, 8, &module, &message), PD_OK);
    uint8_t digest[PD_MODULE_HASH_SIZE];
    struct sha256_ctx hash;
    sha256_init(&hash);
    sha256_update(&hash, sizeof empty, empty);
    sha256_digest(&hash, sizeof digest, digest);
    assert_memory_equal(module->hash, digest, sizeof digest);
    assert_ptr_equal(pd_module_acquire(module), module);
    pd_module_release(module);
    pd_module_release(module);
    pd_module_release(NULL);
}

static void failing_allocations_are_reported(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth <= 3; nth++) {
        struct pd_module_message message;
        struct pd_module *module = NULL;
        pd_alloc_fail_nth(nth);
        assert_int_equal(
            pd_module_load_text(&world.linker, "(module (func (export \"f\")))", &module, &message),
            PD_ERR_NO_MEMORY);
        pd_alloc_fail_nth(0);
        assert_non_null(strstr(message.text, "no memory"));
    }
}

static void tables_with_mistakes_are_refused(void **state)
{
    (void)state;
    struct pd_linker linker;
    static const struct pd_import bad[] = {
        {"m", "no_arrow", "ii", PD_CALL_SYNC, call_add},
        {"m", "letter", "x->", PD_CALL_SYNC, call_add},
        {"m", "results", "->ii", PD_CALL_SYNC, call_add},
        {"m", "long", "iiiiiiiiiiiii->", PD_CALL_SYNC, call_add},
        {"m", "function", "->", PD_CALL_SYNC, NULL},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(pd_linker_open(&linker, &world.engine), PD_OK);
        assert_int_equal(pd_linker_add(&linker, &bad[i], 1), PD_ERR_INVALID);
        pd_linker_close(&linker);
    }
    assert_int_equal(pd_linker_open(&linker, &world.engine), PD_OK);
    assert_int_equal(pd_linker_add(&linker, test_imports, 1), PD_OK);
    assert_int_equal(pd_linker_add(&linker, test_imports, 1), PD_ERR_EXISTS);
    pd_linker_close(&linker);
    pd_alloc_fail_nth(1);
    assert_int_equal(pd_linker_open(&linker, &world.engine), PD_ERR_NO_MEMORY);
    pd_alloc_fail_nth(0);
    assert_null(pd_linker_find(&world.linker, "t", 1, "ad", 2));
    assert_null(pd_linker_find(&world.linker, "", 0, "add", 3));
    for (size_t i = 0; i < TEST_IMPORT_COUNT; i++) {
        assert_ptr_equal(pd_linker_find(&world.linker, "t", 1, test_imports[i].name,
                                        strlen(test_imports[i].name)),
                         &test_imports[i]);
    }
}

/* --- Versions --------------------------------------------------------------------------------- */

static enum pd_call_result call_now(struct pd_call *call)
{
    return pd_call_done(call, 2 * pd_call_u32(call, 0) + pd_call_u32(call, 1));
}

static enum pd_call_result call_before(struct pd_call *call)
{
    return pd_call_done(call, 100 + pd_call_u32(call, 0));
}

static enum pd_call_result call_long_ago(struct pd_call *call)
{
    call->result = UINT64_C(1) << 40;
    return PD_CALL_DONE;
}

static const struct pd_import version_imports[] = {
    {"t", "f", "ii->i", PD_CALL_SYNC, call_now},
    {"t", "g", "ii->i", PD_CALL_SYNC, call_now},
    {"t", "f", "i->i", PD_CALL_DEFERRED, call_before},
    {"t", "f", "->I", PD_CALL_ASYNC, call_long_ago},
};

/* What `f` of the module answers, which has a function `main` that traps unless it is so. */
static void runs_well(struct pd_linker *linker, const char *wat)
{
    struct pd_module_message message;
    struct pd_module *module = NULL;
    enum pd_status status = pd_module_load_text(linker, wat, &module, &message);
    if (status != PD_OK) {
        print_error("%s\n", message.text);
    }
    assert_int_equal(status, PD_OK);
    struct process process;
    spawn(&world, &process, module, "main");
    assert_int_equal(run_guest(&process), PD_GUEST_EXITED);
    assert_end(&process, PD_GUEST_RETURNED);
    pd_guest_destroy(process.guest);
    pd_module_release(module);
}

static void refused_by(struct pd_linker *linker, const char *wat, const char *part)
{
    struct pd_module_message message;
    struct pd_module *module = NULL;
    assert_int_equal(pd_module_load_text(linker, wat, &module, &message), PD_ERR_UNSUPPORTED);
    assert_null(module);
    if (strstr(message.text, part) == NULL) {
        print_error("\"%s\" is not in \"%s\"\n", part, message.text);
    }
    assert_non_null(strstr(message.text, part));
}

static void open_versions(struct pd_linker *linker)
{
    assert_int_equal(pd_linker_open(linker, &world.engine), PD_OK);
    assert_int_equal(
        pd_linker_add(linker, version_imports, sizeof version_imports / sizeof version_imports[0]),
        PD_OK);
}

#define CHECKS(VALUE) "(func (export \"main\") (if (i32.ne " VALUE ") (then unreachable))))"

static void a_module_gets_the_version_that_it_imports(void **state)
{
    (void)state;
    struct pd_linker linker;
    open_versions(&linker);
    assert_int_equal(pd_linker_seal(&linker), PD_OK);
    assert_ptr_equal(pd_linker_find(&linker, "t", 1, "f", 1), &version_imports[0]);
    static const char *const texts[] = {
        "(module (import \"t\" \"f\" (func $f (param i32 i32) (result i32)))" CHECKS(
            "(call $f (i32.const 3) (i32.const 4)) (i32.const 10)"),
        "(module (import \"t\" \"f\" (func $f (param i32) (result i32)))"
        "  (import \"t\" \"g\" (func $g (param i32 i32) (result i32)))" CHECKS(
            "(call $f (call $g (i32.const 3) (i32.const 4))) (i32.const 110)"),
        "(module (import \"t\" \"f\" (func $f (result i64)))" CHECKS(
            "(i32.wrap_i64 (i64.shr_u (call $f) (i64.const 40))) (i32.const 1)"),
        /* Twice the same is one choice. */
        "(module (import \"t\" \"f\" (func $f (param i32) (result i32)))"
        "  (import \"t\" \"f\" (func $e (param i32) (result i32)))" CHECKS(
            "(call $f (call $e (i32.const 3))) (i32.const 203)"),
    };
    for (size_t round = 0; round < 2; round++) { /* no module changes what the next one gets */
        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
            runs_well(&linker, texts[i]);
        }
    }
    refused_by(&linker, "(module (import \"t\" \"f\" (func (param i64) (result i32))))",
               "t::f as I->i (it is ii->i)");
    refused_by(&linker, "(module (import \"t\" \"g\" (func (param i32) (result i32))))",
               "t::g as i->i (it is ii->i)");
    refused_by(&linker,
               "(module (import \"t\" \"f\" (func (param i32) (result i32)))"
               "  (import \"t\" \"f\" (func (param i32 i32) (result i32))))",
               "incompatible import type for `t::f`");
    pd_linker_close(&linker);
}

static void versions_are_bounded_and_not_repeated(void **state)
{
    (void)state;
    static const char *const signatures[] = {
        "->",   "i->",  "I->",  "D->", "ii->", "iI->", "iD->", "Ii->",  "II->",  "ID->",
        "Di->", "DI->", "DD->", "->i", "i->i", "I->i", "D->i", "ii->i", "iI->i",
    };
    struct pd_linker linker;
    assert_int_equal(pd_linker_open(&linker, &world.engine), PD_OK);
    struct pd_import rows[PD_LINKER_FORMER_MAX + 2];
    assert_true(sizeof signatures / sizeof signatures[0] >= PD_LINKER_FORMER_MAX + 2);
    for (size_t i = 0; i < PD_LINKER_FORMER_MAX + 2; i++) {
        rows[i] = (struct pd_import){"t", "f", signatures[i], PD_CALL_SYNC, call_now};
    }
    assert_int_equal(pd_linker_add(&linker, rows, PD_LINKER_FORMER_MAX + 1), PD_OK);
    assert_int_equal(pd_linker_add(&linker, &rows[3], 1), PD_ERR_EXISTS);
    assert_int_equal(pd_linker_add(&linker, &rows[PD_LINKER_FORMER_MAX + 1], 1), PD_ERR_FULL);
    pd_linker_close(&linker);
    open_versions(&linker);
    assert_int_equal(pd_linker_add(&linker, &version_imports[2], 1), PD_ERR_EXISTS);
    pd_linker_close(&linker);
}

static int open_world(void **state)
{
    (void)state;
    world_open(&world, PD_ENGINE_DENSE, 10000);
    return 0;
}

static int open_guarded(void **state)
{
    (void)state;
    world_open(&world, PD_ENGINE_GUARDED, 10000);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    world_close(&world);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_module_is_refused),
        cmocka_unit_test(invalid_text_is_explained),
        cmocka_unit_test(what_one_guest_cannot_have_is_refused),
        cmocka_unit_test(every_missing_import_is_named),
        cmocka_unit_test(what_toolchains_emit_loads),
        cmocka_unit_test(padded_table_numbers_load),
        cmocka_unit_test(exports_are_found),
        cmocka_unit_test(modules_are_counted_and_hashed),
        cmocka_unit_test(failing_allocations_are_reported),
        cmocka_unit_test(tables_with_mistakes_are_refused),
        cmocka_unit_test(a_module_gets_the_version_that_it_imports),
        cmocka_unit_test(versions_are_bounded_and_not_repeated),
    };
    int failed = cmocka_run_group_tests_name("dense", tests, open_world, close_world);
    failed += cmocka_run_group_tests_name("guarded", tests, open_guarded, close_world);
    return failed;
}
