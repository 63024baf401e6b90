/* What people and programs write as transactions: what it comes to, and where it is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "cli/txn_text.h"
#include "kv/command.h"

static struct pd_txn txn;

static enum pd_status read_text(const char *text)
{
    return pd_txn_read(&txn, (struct pd_span){(const uint8_t *)text, strlen(text)});
}

static void assert_span(struct pd_span span, const char *text)
{
    assert_int_equal(span.size, strlen(text));
    assert_memory_equal(span.bytes, text, span.size);
}

/* What both forms of the same come to. */
static void check_sample(void)
{
    const struct pd_kv_txn *root = &txn.ops[0].as.txn;
    assert_int_equal(txn.op_count, 6);
    assert_int_equal(txn.compare_count, 4);
    assert_int_equal(root->compare_count, 4);
    assert_int_equal(root->then_count, 3);
    assert_int_equal(root->else_count, 2);
    assert_int_equal(txn.compares[0].target, PD_KV_COMPARE_VALUE);
    assert_int_equal(txn.compares[0].result, PD_KV_EQUAL);
    assert_span(txn.compares[0].key, "a");
    assert_span(txn.compares[0].value, "x y");
    assert_int_equal(txn.compares[1].target, PD_KV_COMPARE_MOD);
    assert_int_equal(txn.compares[1].result, PD_KV_GREATER);
    assert_int_equal(txn.compares[1].number, 7);
    assert_int_equal(txn.compares[2].target, PD_KV_COMPARE_VERSION);
    assert_int_equal(txn.compares[2].result, PD_KV_EQUAL);
    assert_int_equal(txn.compares[2].number, 0);
    assert_span(txn.compares[2].key, "lock");
    assert_int_equal(txn.compares[3].target, PD_KV_COMPARE_LEASE);
    assert_int_equal(txn.compares[3].result, PD_KV_NOT_EQUAL);
    assert_int_equal(txn.compares[3].number, 0xabc);
    assert_int_equal(txn.ops[1].kind, PD_KV_OP_PUT);
    assert_span(txn.ops[1].as.put.key, "k");
    assert_span(txn.ops[1].as.put.value, "v");
    assert_int_equal(txn.ops[1].as.put.lease, 0x10);
    assert_int_equal(txn.ops[2].kind, PD_KV_OP_RANGE);
    assert_span(txn.ops[2].as.range.key, "p/");
    assert_span(txn.ops[2].as.range.range_end, "p0");
    assert_int_equal(txn.ops[3].kind, PD_KV_OP_DELETE);
    assert_span(txn.ops[3].as.delete_range.key, "d");
    assert_int_equal(txn.ops[3].as.delete_range.range_end.size, 0);
    assert_int_equal(txn.ops[4].kind, PD_KV_OP_RANGE);
    assert_int_equal(txn.ops[4].as.range.key.size, 1); /* all keys */
    assert_int_equal(txn.ops[5].kind, PD_KV_OP_PUT);
    assert_span(txn.ops[5].as.put.value, "");
}

static void test_both_forms(void **state)
{
    (void)state;
    assert_int_equal(
        read_text("# a comment; and \"quotes\" in it\n"
                  "if value a = \"x y\" and mod m > 7\n and missing lock and lease l != "
                  "ABC\nthen put k v lease 10; get prefix p/\tdel d\r\n"
                  "else get prefix \"\" put e \"\""),
        PD_OK);
    check_sample();
    pd_txn_deinit(&txn);
    assert_int_equal(
        read_text("\n {\"if\":[{\"value\":\"a\",\"is\":\"=\",\"to\":\"x y\"},"
                  "{\"mod\":\"m\",\"is\":\">\",\"to\":7},{\"missing\":\"lock\"},"
                  "{\"lease\":\"l\",\"is\":\"!=\",\"to\":\"abc\"}],"
                  "\"then\":[{\"put\":\"k\",\"value\":\"v\",\"lease\":\"10\"},"
                  "{\"get\":\"p/\",\"prefix\":true},{\"del\":\"d\"}],"
                  "\"else\":[{\"get\":\"\",\"prefix\":true},{\"put\":\"e\",\"value\":\"\"}]}"),
        PD_OK);
    check_sample();
    pd_txn_deinit(&txn);
}

static void test_parts_may_be_left_out(void **state)
{
    (void)state;
    assert_int_equal(read_text("put if then del then"), PD_OK); /* keys that look like keywords */
    assert_int_equal(txn.ops[0].as.txn.then_count, 2);
    assert_span(txn.ops[1].as.put.key, "if");
    assert_span(txn.ops[2].as.delete_range.key, "then");
    pd_txn_deinit(&txn);
    assert_int_equal(read_text("if exists a else put a 1"), PD_OK);
    assert_int_equal(txn.ops[0].as.txn.then_count, 0);
    assert_int_equal(txn.ops[0].as.txn.else_count, 1);
    assert_int_equal(txn.compares[0].result, PD_KV_GREATER);
    pd_txn_deinit(&txn);
    assert_int_equal(read_text("if exists a then"), PD_OK);
    pd_txn_deinit(&txn);
    assert_int_equal(read_text("put k \"\\\"\\\\\\n\\t\\x00\\xfF\""), PD_OK);
    assert_int_equal(txn.ops[1].as.put.value.size, 6);
    assert_memory_equal(txn.ops[1].as.put.value.bytes, "\"\\\n\t\0\xff", 6);
    pd_txn_deinit(&txn);
}

static void test_what_is_wrong_is_told_with_its_place(void **state)
{
    static const struct {
        const char *text;
        const char *said;
    } cases[] = {
        {"", "line 1, column 1: there is no transaction"},
        {" \n# only\n", "line 3, column 1: there is no transaction"},
        {"frob", "line 1, column 1: put, get, del, else or the end instead of 'frob'"},
        {"if",
         "line 1, column 3: value, version, create, mod, lease, exists or missing is missing"},
        {"if valeu a = b", "line 1, column 4: value, version"},
        {"if value a\n  ~ b", "line 2, column 3: =, !=, < or > instead of '~'"},
        {"if value a =", "line 1, column 13: what it is compared with is missing at the end"},
        {"if mod a = x", "line 1, column 12: that is compared with a number"},
        {"if mod a = 99999999999999999999", "compared with a number"},
        {"if lease a = xyz", "line 1, column 14: a lease is compared with an id"},
        {"if exists a or exists b",
         "line 1, column 13: and, then, else or the end instead of 'or'"},
        {"then put a", "line 1, column 11: a value is missing at the end"},
        {"put \"\" v", "line 1, column 5: a key is not empty"},
        {"put a b lease", "the id of a lease, hexadecimal, is missing at the end"},
        {"put a b lease 0", "line 1, column 15: the id of a lease, hexadecimal, instead of '0'"},
        {"put a b; then", "line 1, column 10: put, get, del, else or the end instead of 'then'"},
        {"put a b else get a then", "line 1, column 20: put, get, del or the end"},
        {"get prefix", "a prefix of keys is missing"},
        {"put a \"b", "line 1, column 7: these quotes are never closed"},
        {"put a \"b\\", "line 1, column 9: the text ends within quotes"},
        {"put a \"\\q\"", "line 1, column 8: within quotes a \\ stands before"},
        {"put a \"\\xg0\"", "line 1, column 8: \\x wants two hexadecimal digits"},
        {"put a \"b\"c", "line 1, column 10: a blank is missing"},
        {"{", "line 1, column 1:"},
        {"{\"if\":[],\n  \"then\": [,]}", "line 2, column 12:"},
        {"{\"when\":[]}", "nobody knows \"when\""},
        {"{\"then\":{}}", "\"then\" must be a list"},
        {"{\"then\":[{\"get\":\"a\"},{\"put\":\"a\"}]}", "then[1]: \"value\" must be a text"},
        {"{\"then\":[{\"put\":\"a\",\"value\":\"\",\"x\":1}]}", "then[0]: nobody knows \"x\""},
        {"{\"then\":[{\"del\":\"\"}]}", "then[0]: a key is not empty"},
        {"{\"then\":[7]}", "then[0]: which of put, get, del?"},
        {"{\"if\":[{\"mod\":\"a\",\"is\":\"=\",\"to\":-1}]}", "if[0]: \"to\" is not below 0"},
        {"{\"if\":[{\"mod\":\"a\",\"is\":\"==\",\"to\":1}]}", "if[0]: \"is\" must be"},
        {"{\"if\":[{\"is\":\"=\"}]}", "if[0]: which of value"},
        {"{\"then\":[{\"put\":\"a\",\"value\":\"\",\"lease\":5}]}", "then[0]: \"lease\" must be"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum pd_status status = read_text(cases[i].text);
        if (status != PD_ERR_INVALID || strstr(txn.wrong, cases[i].said) == NULL) {
            fail_msg("%s: %d '%s' instead of '%s'", cases[i].text, (int)status, txn.wrong,
                     cases[i].said);
        }
        pd_txn_deinit(&txn);
    }
}

static void test_bounds(void **state)
{
    static char text[8 * PD_TXN_OPS_MAX + 64];
    size_t size = 0;
    (void)state;
    for (unsigned i = 0; i < PD_TXN_OPS_MAX; i++) {
        size += (size_t)snprintf(text + size, sizeof text - size, "del a;");
    }
    assert_int_equal(read_text(text), PD_OK);
    pd_txn_deinit(&txn);
    (void)snprintf(text + size, sizeof text - size, "del a");
    assert_int_equal(read_text(text), PD_ERR_INVALID);
    assert_non_null(strstr(txn.wrong, "more than 1024 operations"));
    pd_txn_deinit(&txn);
}

/* Any words in any order, and any bytes: it says yes or no, and what it takes can be encoded. */
static void test_any_text(void **state)
{
    static const char *const words[] = {
        "if", "then", "else",   "and",   "put", "get",     "del",    "a", "value", "mod",
        "=",  "<",    "prefix", "lease", "1",   "\"x\"",   "exists", "{", "}",     "[",
        "]",  "\"",   "\\",     ";",     "\n",  "\"put\"", ":",      ","};
    static uint8_t room[65536];
    char text[512];
    struct pd_random random;
    unsigned taken = 0;
    (void)state;
    pd_random_init(&random, 1, "txn");
    for (unsigned round = 0; round < 20000; round++) {
        size_t size = 0;
        for (uint64_t n = pd_random_below(&random, 24); n > 0; n--) {
            size +=
                (size_t)snprintf(text + size, sizeof text - size, "%s%s",
                                 words[pd_random_below(&random, sizeof words / sizeof words[0])],
                                 pd_random_below(&random, 8) == 0 ? "" : " ");
        }
        if (size > 0 && pd_random_below(&random, 4) == 0) {
            text[pd_random_below(&random, size)] = (char)pd_random_below(&random, 256);
        }
        if (pd_txn_read(&txn, (struct pd_span){(const uint8_t *)text, size}) == PD_OK) {
            const struct pd_kv_command command = {.kind = PD_KV_OPS,
                                                  .ops = txn.ops,
                                                  .op_count = txn.op_count,
                                                  .compares = txn.compares,
                                                  .compare_count = txn.compare_count};
            struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
            pd_kv_command_encode(&writer, &command);
            assert_true(writer.size > 0);
            taken++;
        } else {
            assert_true(txn.wrong[0] != '\0');
        }
        pd_txn_deinit(&txn);
    }
    assert_true(taken > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_forms),
        cmocka_unit_test(test_parts_may_be_left_out),
        cmocka_unit_test(test_what_is_wrong_is_told_with_its_place),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_any_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
