/* Messages as JSON: every type there and back at random, judged by protobuf's own encoding and by
 * jansson; then texts that a person, another program or an attacker would send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/alloc.h"
#include "gateway/base64.h"
#include "gateway/json.h"
#include "gateway/json_number.h"
#include "gateway/json_reader.h"
#include "gateway/service.h"
#include "proto/rpc.pb-c.h"
#include "support/seed.h"

#define TYPES_MAX 256u
#define ARENA_MAX ((size_t)64 * 1024 * 1024)
#define DEPTH_MAX 4u
#define ROUNDS 40u

static struct pd_span span_of(const char *text)
{
    return (struct pd_span){(const uint8_t *)text, strlen(text)};
}

/* -- Every type -------------------------------------------------------------------------------- */

struct types {
    const ProtobufCMessageDescriptor *at[TYPES_MAX];
    uint32_t count;
};

static void add_type(struct types *types, const ProtobufCMessageDescriptor *type)
{
    for (uint32_t i = 0; i < types->count; i++) {
        if (types->at[i] == type) {
            return;
        }
    }
    assert_true(types->count < TYPES_MAX);
    types->at[types->count++] = type;
}

/* Those of all methods, and those within them. */
static void find_types(struct types *types)
{
    const struct pd_service_method *method = NULL;
    for (uint32_t i = 0; (method = pd_service_method_at(i)) != NULL; i++) {
        add_type(types, method->request);
        add_type(types, method->response);
    }
    for (uint32_t i = 0; i < types->count; i++) {
        for (unsigned j = 0; j < types->at[i]->n_fields; j++) {
            if (types->at[i]->fields[j].type == PROTOBUF_C_TYPE_MESSAGE) {
                add_type(types, types->at[i]->fields[j].descriptor);
            }
        }
    }
}

/* Messages that are to be filled. */
struct filling {
    struct pd_random random;
    struct pd_arena arena;
    struct {
        ProtobufCMessage *message;
        uint32_t depth;
    } work[4096];
    uint32_t count;
};

static ProtobufCMessage *make(struct filling *filling, const ProtobufCMessageDescriptor *type,
                              uint32_t depth)
{
    ProtobufCMessage *message = pd_arena_take(&filling->arena, type->sizeof_message);
    protobuf_c_message_init(type, message);
    assert_true(filling->count < 4096);
    filling->work[filling->count].message = message;
    filling->work[filling->count++].depth = depth;
    return message;
}

static uint64_t random_number(struct filling *filling)
{
    static const uint64_t edges[] = {0,         1,          INT64_MAX,        UINT64_MAX,
                                     INT32_MAX, UINT32_MAX, (uint64_t)1 << 63};
    uint64_t which = pd_random_below(&filling->random, 14);
    return which < 7 ? edges[which] : pd_random_next(&filling->random) >> (8 * (which % 8));
}

static void fill_text(struct filling *filling, char **to)
{
    static const char *const parts[] = {"a",    "\"",       "\\", "\n",
                                        "\x01", "\xc3\xa4", "/",  "\xf0\x9f\x8e\x89"};
    char *text = pd_arena_take_zeroed(&filling->arena, 1, 64);
    uint64_t count = pd_random_below(&filling->random, 8);
    for (uint64_t i = 0, at = 0; i < count; i++) {
        const char *part = parts[pd_random_below(&filling->random, 8)];
        memcpy(text + at, part, strlen(part));
        at += strlen(part);
    }
    *to = text;
}

static void fill_scalar(struct filling *filling, const ProtobufCFieldDescriptor *field, void *to)
{
    uint64_t number = random_number(filling);
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        fill_text(filling, to);
    } else if (field->type == PROTOBUF_C_TYPE_BYTES) {
        size_t size = pd_random_below(&filling->random, 20);
        ProtobufCBinaryData *bytes = to;
        bytes->data = pd_arena_take(&filling->arena, size);
        bytes->len = size;
        pd_random_fill(&filling->random, bytes->data, size);
    } else if (field->type == PROTOBUF_C_TYPE_BOOL) {
        *(protobuf_c_boolean *)to = number % 2 == 1;
    } else if (field->type == PROTOBUF_C_TYPE_ENUM) {
        const ProtobufCEnumDescriptor *names = field->descriptor;
        *(int32_t *)to = number % 4 == 0 ? (int32_t)(number >> 1) % 100000
                                         : names->values[number % names->n_values].value;
    } else {
        memcpy(to, &number, pd_json_element_size(field->type));
    }
}

static void fill_value(struct filling *filling, const ProtobufCFieldDescriptor *field,
                       uint32_t depth, void *to)
{
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        *(ProtobufCMessage **)to = make(filling, field->descriptor, depth + 1);
    } else {
        fill_scalar(filling, field, to);
    }
}

static void fill_field(struct filling *filling, ProtobufCMessage *message,
                       const ProtobufCFieldDescriptor *field, uint32_t depth)
{
    void *to = (uint8_t *)message + field->offset;
    void *quantifier = (uint8_t *)message + field->quantifier_offset;
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        size_t count = pd_random_below(&filling->random, 7);
        size_t size = pd_json_element_size(field->type);
        uint8_t *elements = pd_arena_take_zeroed(&filling->arena, count + 1, size);
        for (size_t i = 0; i < count; i++) {
            fill_value(filling, field, depth, elements + i * size);
        }
        *(size_t *)quantifier = count;
        *(void **)to = elements;
        return;
    }
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
        if (*(uint32_t *)quantifier != 0) {
            return;
        }
        *(uint32_t *)quantifier = field->id;
    }
    fill_value(filling, field, depth, to);
}

static ProtobufCMessage *random_message(struct filling *filling,
                                        const ProtobufCMessageDescriptor *type)
{
    filling->count = 0;
    ProtobufCMessage *root = make(filling, type, 0);
    for (uint32_t i = 0; i < filling->count; i++) {
        ProtobufCMessage *message = filling->work[i].message;
        uint32_t depth = filling->work[i].depth;
        for (unsigned j = 0; j < message->descriptor->n_fields; j++) {
            const ProtobufCFieldDescriptor *field = &message->descriptor->fields[j];
            bool is_message = field->type == PROTOBUF_C_TYPE_MESSAGE;
            if (pd_random_below(&filling->random, 2) == 0 && (!is_message || depth < DEPTH_MAX)) {
                fill_field(filling, message, field, depth);
            }
        }
    }
    return root;
}

static void assert_same(const ProtobufCMessage *one, const ProtobufCMessage *other)
{
    size_t size = protobuf_c_message_get_packed_size(one);
    uint8_t *bytes = malloc(size + 1);
    uint8_t *others = malloc(size + 1);
    assert_int_equal(protobuf_c_message_get_packed_size(other), size);
    (void)protobuf_c_message_pack(one, bytes);
    (void)protobuf_c_message_pack(other, others);
    assert_memory_equal(bytes, others, size);
    free(bytes);
    free(others);
}

static void check_there_and_back(struct filling *filling, const ProtobufCMessage *message)
{
    struct pd_text text;
    struct pd_arena arena;
    char words[PD_JSON_WORDS_MAX];
    ProtobufCMessage *back = NULL;
    pd_text_init(&text, ARENA_MAX);
    pd_arena_init(&arena, ARENA_MAX);
    pd_json_encode(message, &text);
    assert_false(text.has_failed);
    json_error_t error;
    json_t *judged =
        json_loadb((const char *)text.bytes, text.size, JSON_REJECT_DUPLICATES, &error);
    if (judged == NULL) {
        fail_msg("%s: jansson says: %s: %.*s", message->descriptor->name, error.text,
                 (int)text.size, (const char *)text.bytes);
    }
    json_decref(judged);
    enum pd_status status =
        pd_json_decode(message->descriptor, pd_text_span(&text), &arena, &back, words);
    if (status != PD_OK) {
        fail_msg("%s: %s: %.*s", message->descriptor->name, words, (int)text.size,
                 (const char *)text.bytes);
    }
    assert_same(message, back);
    (void)filling;
    pd_arena_deinit(&arena);
    pd_text_deinit(&text);
}

static void every_type_comes_back_as_it_was(void **state)
{
    (void)state;
    struct types types = {.count = 0};
    struct filling *filling = malloc(sizeof *filling);
    find_types(&types);
    assert_true(types.count > 60);
    filling->random = test_random("json");
    pd_arena_init(&filling->arena, ARENA_MAX);
    for (uint32_t i = 0; i < types.count; i++) {
        for (uint32_t round = 0; round < ROUNDS; round++) {
            pd_arena_reset(&filling->arena);
            check_there_and_back(filling, random_message(filling, types.at[i]));
        }
    }
    pd_arena_deinit(&filling->arena);
    free(filling);
}

/* -- What is written --------------------------------------------------------------------------- */

static void assert_encodes(const ProtobufCMessage *message, const char *expected)
{
    struct pd_text text;
    pd_text_init(&text, ARENA_MAX);
    pd_json_encode(message, &text);
    pd_text_put(&text, "", 1);
    assert_false(text.has_failed);
    assert_string_equal((const char *)text.bytes, expected);
    pd_text_deinit(&text);
}

static ProtobufCBinaryData bytes_of(char *text)
{
    return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)text};
}

static void messages_are_written_as_etcd_writes_them(void **state)
{
    (void)state;
    char key[] = "foo";
    char value[] = "bar?>";
    Etcdserverpb__RangeResponse range = ETCDSERVERPB__RANGE_RESPONSE__INIT;
    Etcdserverpb__ResponseHeader header = ETCDSERVERPB__RESPONSE_HEADER__INIT;
    Mvccpb__KeyValue kv = MVCCPB__KEY_VALUE__INIT;
    Mvccpb__KeyValue *kvs[] = {&kv, &kv};
    assert_encodes(&range.base, "{}");
    header.cluster_id = UINT64_MAX;
    header.revision = -2;
    kv.key = bytes_of(key);
    kv.value = bytes_of(value);
    kv.create_revision = 2;
    kv.lease = INT64_MIN;
    range.header = &header;
    range.kvs = kvs;
    range.n_kvs = 2;
    range.more = 1;
    assert_encodes(&range.base,
                   "{\"header\":{\"cluster_id\":\"18446744073709551615\",\"revision\":\"-2\"},"
                   "\"kvs\":[{\"key\":\"Zm9v\",\"create_revision\":\"2\",\"value\":\"YmFyPz4=\","
                   "\"lease\":\"-9223372036854775808\"},"
                   "{\"key\":\"Zm9v\",\"create_revision\":\"2\",\"value\":\"YmFyPz4=\","
                   "\"lease\":\"-9223372036854775808\"}],\"more\":true}");
    Etcdserverpb__Compare compare = ETCDSERVERPB__COMPARE__INIT;
    compare.result = ETCDSERVERPB__COMPARE__COMPARE_RESULT__NOT_EQUAL;
    compare.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_VERSION;
    compare.version = 0; /* chosen, though it is the default */
    assert_encodes(&compare.base, "{\"result\":\"NOT_EQUAL\",\"version\":\"0\"}");
    Etcdserverpb__HashResponse hash = ETCDSERVERPB__HASH_RESPONSE__INIT;
    hash.hash = UINT32_MAX;
    assert_encodes(&hash.base, "{\"hash\":4294967295}");
    Etcdserverpb__RangeRequest odd = ETCDSERVERPB__RANGE_REQUEST__INIT;
    odd.sort_order = (Etcdserverpb__RangeRequest__SortOrder)77;
    assert_encodes(&odd.base, "{\"sort_order\":77}");
}

static void text_that_is_no_utf8_is_told_apart(void **state)
{
    (void)state;
    Etcdserverpb__Member member;
    etcdserverpb__member__init(&member);
    char name[] = "\xff\xfe";
    member.name = name;
    assert_encodes(&member.base, "{\"name\":\"\xef\xbf\xbd\"}");
    char control[] = "a\"\\\b\t\x1f";
    member.name = control;
    assert_encodes(&member.base, "{\"name\":\"a\\\"\\\\\\u0008\\t\\u001f\"}");
}

/* A response that nests without end, as no node makes them, and a room that is too small. */
static void what_cannot_be_written_fails(void **state)
{
    (void)state;
    enum {
        DEPTH = 2000
    };
    Etcdserverpb__TxnResponse *txns = calloc(DEPTH, sizeof *txns);
    Etcdserverpb__ResponseOp *ops = calloc(DEPTH, sizeof *ops);
    Etcdserverpb__ResponseOp **lists = calloc(DEPTH, sizeof *lists);
    for (int i = 0; i < DEPTH; i++) {
        etcdserverpb__txn_response__init(&txns[i]);
        etcdserverpb__response_op__init(&ops[i]);
        lists[i] = &ops[i];
        if (i + 1 < DEPTH) {
            txns[i].responses = &lists[i];
            txns[i].n_responses = 1;
            ops[i].response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_TXN;
            ops[i].response_txn = &txns[i + 1];
        }
    }
    struct pd_text text;
    pd_text_init(&text, ARENA_MAX);
    pd_json_encode(&txns[0].base, &text);
    assert_true(text.has_failed);
    pd_text_deinit(&text);
    pd_text_init(&text, 10);
    pd_json_encode(&txns[DEPTH - 10].base, &text);
    assert_true(text.has_failed);
    assert_true(text.size <= 10);
    pd_text_deinit(&text);
    free(txns);
    free(ops);
    free(lists);
}

/* -- What is read ------------------------------------------------------------------------------ */

static struct pd_arena arena;
static char words[PD_JSON_WORDS_MAX];

static int open_arena(void **state)
{
    (void)state;
    pd_arena_init(&arena, ARENA_MAX);
    return 0;
}

static int close_arena(void **state)
{
    (void)state;
    pd_arena_deinit(&arena);
    return 0;
}

static void *decode(const ProtobufCMessageDescriptor *type, const char *json)
{
    ProtobufCMessage *message = NULL;
    pd_arena_reset(&arena);
    enum pd_status status = pd_json_decode(type, span_of(json), &arena, &message, words);
    if (status != PD_OK) {
        fail_msg("%s: %s", json, words);
    }
    return message;
}

static void assert_refused(const ProtobufCMessageDescriptor *type, const char *json,
                           const char *why)
{
    ProtobufCMessage *message = NULL;
    pd_arena_reset(&arena);
    assert_int_equal(pd_json_decode(type, span_of(json), &arena, &message, words), PD_ERR_INVALID);
    if (strstr(words, why) == NULL) {
        fail_msg("%s: '%s' instead of '%s'", json, words, why);
    }
}

#define RANGE (&etcdserverpb__range_request__descriptor)
#define TXN (&etcdserverpb__txn_request__descriptor)

static void names_and_values_have_their_other_forms(void **state)
{
    (void)state;
    const Etcdserverpb__RangeRequest *range = decode(
        RANGE, " {\"key\" : \"-_-_\", \"rangeEnd\":\"+/+/\",\n\"range_end_x\":[{\"a\":[null,1e9]}],"
               "\"limit\":7,\"revision\":\"-8\",\"sortOrder\":\"DESCEND\",\"sort_target\":4,"
               "\"serializable\":true,\"keysOnly\":false,\"minModRevision\":1.5e1,"
               "\"max_mod_revision\":\"200e-2\",\"count_only\":null} ");
    assert_int_equal(range->key.len, 3);
    assert_int_equal(range->range_end.len, 3);
    assert_memory_equal(range->key.data, range->range_end.data, 3);
    assert_int_equal(range->limit, 7);
    assert_int_equal(range->revision, -8);
    assert_int_equal(range->sort_order, ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__DESCEND);
    assert_int_equal(range->sort_target, ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__VALUE);
    assert_true(range->serializable);
    assert_false(range->keys_only);
    assert_false(range->count_only);
    assert_int_equal(range->min_mod_revision, 15);
    assert_int_equal(range->max_mod_revision, 2);
    const Etcdserverpb__LeaseGrantRequest *grant =
        decode(&etcdserverpb__lease_grant_request__descriptor, "{\"TTL\":\"5\",\"I\\u0044\":6}");
    assert_int_equal(grant->ttl, 5);
    assert_int_equal(grant->id, 6);
    const Etcdserverpb__MemberAddRequest *add =
        decode(&etcdserverpb__member_add_request__descriptor,
               "{\"peerURLs\":[\"http://a\",\"\\u00e4\\ud83c\\udf89\\/\"]}");
    assert_int_equal(add->n_peerurls, 2);
    assert_string_equal(add->peerurls[1], "\xc3\xa4\xf0\x9f\x8e\x89/");
    range = decode(RANGE, " \n");
    assert_int_equal(range->key.len, 0);
    range = decode(RANGE, "{}");
    assert_int_equal(range->limit, 0);
}

static void a_transaction_is_read(void **state)
{
    (void)state;
    const Etcdserverpb__TxnRequest *txn = decode(
        TXN, "{\"compare\":[{\"target\":\"CREATE\",\"key\":\"Zm9v\",\"createRevision\":\"0\"}],"
             "\"success\":[{\"requestPut\":{\"key\":\"Zm9v\",\"value\":\"YmFy\"}},"
             "{\"request_txn\":{\"failure\":[{\"request_range\":{\"key\":\"AA\"}}]}}],"
             "\"failure\":[]}");
    assert_int_equal(txn->n_compare, 1);
    assert_int_equal(txn->compare[0]->target_union_case,
                     ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION);
    assert_int_equal(txn->n_success, 2);
    assert_int_equal(txn->n_failure, 0);
    assert_memory_equal(txn->success[0]->request_put->value.data, "bar", 3);
    assert_int_equal(txn->success[1]->request_txn->failure[0]->request_range->key.len, 1);
}

static void what_is_no_message_is_refused_with_a_reason(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        const char *why;
    } cases[] = {
        {"[]", "an object is expected"},
        {"7", "an object is expected"},
        {"null", "an object is expected"},
        {"{", "a field's name in quotes"},
        {"{}}", "something follows"},
        {"{} x", "something follows"},
        {"{\"key\":\"Zm9v\",}", "a field's name in quotes"},
        {"{\"key\" \"Zm9v\"}", "a colon"},
        {"{\"key\":\"Zm9v\" \"limit\":1}", "a comma or '}'"},
        {"{key:1}", "a field's name in quotes"},
        {"{\"key\":'Zm9v'}", "a value is expected"},
        {"{\"key\":\"Zm9v", "a string does not end"},
        {"{\"key\":\"\n\"}", "a control character"},
        {"{\"key\":\"\\x\"}", "no such escape"},
        {"{\"key\":\"\\u12g4\"}", "no such escape"},
        {"{\"key\":\"\\ud800\"}", "no such escape"},
        {"{\"key\":\"\\udc00\"}", "no such escape"},
        {"{\"key\":\"\\ud800\\u0041\"}", "no such escape"},
        {"{\"key\":\"\xff\"}", "UTF-8"},
        {"{\"x\":tru}", "a value is expected"},
        {"{\"x\":-}", "no number"},
        {"{\"x\":01}", "a comma or '}'"},
        {"{\"x\":1.}", "no number"},
        {"{\"x\":1e}", "no number"},
        {"{\"x\":[1,]}", "a value is expected"},
        {"{\"x\":[1 2]}", "a comma or ']'"},
        {"{\"key\":\"Zm9v\",\"key\":\"Zm9v\"}", "'key': it comes twice"},
        {"{\"range_end\":\"\",\"rangeEnd\":\"\"}", "'range_end': it comes twice"},
        {"{\"key\":\"Zm9=v\"}", "base64"},
        {"{\"key\":\"Z\"}", "base64"},
        {"{\"key\":\"Zg=\"}", "base64"},
        {"{\"key\":\"Zm9v====\"}", "base64"},
        {"{\"key\":\"!\"}", "base64"},
        {"{\"key\":5}", "another type"},
        {"{\"key\":[\"Zm9v\"]}", "another type"},
        {"{\"key\":{}}", "another type"},
        {"{\"limit\":true}", "another type"},
        {"{\"limit\":1.5}", "an integer"},
        {"{\"limit\":\"1.5\"}", "an integer"},
        {"{\"limit\":\"\"}", "an integer"},
        {"{\"limit\":\" 1\"}", "an integer"},
        {"{\"limit\":\"0x10\"}", "an integer"},
        {"{\"limit\":9223372036854775808}", "an integer"},
        {"{\"limit\":-9223372036854775809}", "an integer"},
        {"{\"limit\":1e999999999999999999999}", "an integer"},
        {"{\"serializable\":1}", "another type"},
        {"{\"serializable\":\"true\"}", "another type"},
        {"{\"sort_order\":\"DOWN\"}", "no such value"},
        {"{\"sort_order\":2147483648}", "no such value"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_refused(RANGE, cases[i].json, cases[i].why);
    }
    assert_refused(TXN, "{\"compare\":{}}", "a list");
    assert_refused(TXN, "{\"compare\":[1]}", "an object");
    assert_refused(TXN, "{\"compare\":[null]}", "an object");
    assert_refused(TXN, "{\"success\":[{\"request_put\":{},\"request_range\":{}}]}", "oneof");
    assert_refused(TXN, "{\"compare\":[{\"version\":1,\"lease\":2}]}", "oneof");
    assert_refused(&etcdserverpb__member_remove_request__descriptor, "{\"ID\":-1}", "an integer");
    assert_refused(&etcdserverpb__member_add_request__descriptor, "{\"peerURLs\":[\"a\\u0000\"]}",
                   "zero byte");
}

static void depth_and_size_are_bounded(void **state)
{
    (void)state;
    char *deep = malloc(1000000);
    struct pd_text text;
    pd_text_init(&text, ARENA_MAX);
    for (int i = 0; i < 400; i++) {
        pd_text_puts(&text, "{\"success\":[{\"request_txn\":");
    }
    pd_text_put(&text, "", 1);
    assert_refused(TXN, (const char *)text.bytes, "nests too deep");
    pd_text_deinit(&text);
    memcpy(deep, "{\"x\":", 5);
    memset(deep + 5, '[', 999994);
    deep[999999] = '\0';
    assert_refused(RANGE, deep, "nests too deep");
    free(deep);
    struct pd_arena small;
    ProtobufCMessage *message = NULL;
    pd_arena_init(&small, (size_t)64 * 1024);
    pd_text_init(&text, ARENA_MAX);
    pd_text_puts(&text, "{\"success\":[{}");
    for (int i = 0; i < 10000; i++) {
        pd_text_puts(&text, ",{}");
    }
    pd_text_puts(&text, "]}");
    assert_int_equal(pd_json_decode(TXN, pd_text_span(&text), &small, &message, words),
                     PD_ERR_NO_MEMORY);
    assert_int_equal(pd_json_decode(TXN, pd_text_span(&text), &arena, &message, words), PD_OK);
    pd_text_deinit(&text);
    pd_arena_deinit(&small);
}

static void numbers_are_exact(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_good;
        int64_t value;
    } cases[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"0.000", true, 0},
        {"0e99999999999999999999", true, 0},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"92233720368547758070e-1", true, INT64_MAX},
        {"9.223372036854775807e18", true, INT64_MAX},
        {"9.2233720368547758071e18", false, 0},
        {"1e18", true, INT64_C(1000000000000000000)},
        {"1e19", false, 0},
        {"1000e-3", true, 1},
        {"1000e-4", false, 0},
        {"0.00012e5", true, 12},
        {"0.00012e4", false, 0},
        {"1.0", true, 1},
        {"1E+2", true, 100},
        {"", false, 0},
        {"-", false, 0},
        {"+1", false, 0},
        {"00", false, 0},
        {".5", false, 0},
        {"1 ", false, 0},
        {"1e", false, 0},
        {"1e1x", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t value = 77;
        bool is_good = pd_json_number_signed(span_of(cases[i].text), &value);
        if (is_good != cases[i].is_good || (is_good && value != cases[i].value)) {
            fail_msg("'%s': %d, %lld", cases[i].text, is_good, (long long)value);
        }
    }
    uint64_t natural = 0;
    assert_true(pd_json_number_unsigned(span_of("18446744073709551615"), &natural));
    assert_true(natural == UINT64_MAX);
    assert_false(pd_json_number_unsigned(span_of("18446744073709551616"), &natural));
    assert_false(pd_json_number_unsigned(span_of("-1"), &natural));
    assert_true(pd_json_number_unsigned(span_of("-0"), &natural));
}

static void base64_of_every_length_comes_back(void **state)
{
    (void)state;
    struct pd_random random = test_random("base64");
    uint8_t bytes[67];
    uint8_t text[96];
    uint8_t back[96];
    pd_random_fill(&random, bytes, sizeof bytes);
    for (size_t size = 0; size <= sizeof bytes; size++) {
        size_t written = pd_base64_size(size);
        size_t read = 0;
        pd_base64_encode((struct pd_span){bytes, size}, text);
        assert_true(pd_base64_decode((struct pd_span){text, written}, back, &read));
        assert_int_equal(read, size);
        assert_memory_equal(back, bytes, size);
        size_t bare = written;
        while (bare > 0 && text[bare - 1] == '=') {
            bare--;
        }
        assert_true(pd_base64_decode((struct pd_span){text, bare}, back, &read));
        assert_int_equal(read, size);
        assert_memory_equal(back, bytes, size);
    }
}

/* Texts made of JSON's own pieces: the reader and jansson say the same of each. */
static void the_reader_judges_as_jansson_does(void **state)
{
    (void)state;
    static const char *const pieces[] = {"{",     "}",     "[",       "]",       ",",     ":",
                                         "\"a\"", "\"b\"", "1",       "-2.5",    "true",  "null",
                                         " ",     "\"",    "\\u00e4", "\\ud83c", "false", "0"};
    struct pd_random random = test_random("pieces");
    uint32_t good = 0;
    for (int round = 0; round < 60000; round++) {
        char text[128] = "";
        size_t size = 0;
        uint64_t count = 1 + pd_random_below(&random, 9);
        for (uint64_t i = 0; i < count; i++) {
            const char *piece = pieces[pd_random_below(&random, sizeof pieces / sizeof pieces[0])];
            memcpy(text + size, piece, strlen(piece) + 1);
            size += strlen(piece);
        }
        struct pd_json_reader reader;
        pd_json_reader_init(&reader, span_of(text));
        bool is_good = pd_json_skip(&reader) && pd_json_next(&reader) == PD_JSON_END;
        json_error_t error;
        json_t *judged = json_loadb(text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
        if (is_good != (judged != NULL)) {
            fail_msg("'%s': %s, jansson: %s", text, is_good ? "good" : reader.wrong,
                     judged != NULL ? "good" : error.text);
        }
        good += is_good;
        json_decref(judged);
    }
    assert_true(good > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_comes_back_as_it_was),
        cmocka_unit_test(messages_are_written_as_etcd_writes_them),
        cmocka_unit_test(text_that_is_no_utf8_is_told_apart),
        cmocka_unit_test(what_cannot_be_written_fails),
        cmocka_unit_test(names_and_values_have_their_other_forms),
        cmocka_unit_test(a_transaction_is_read),
        cmocka_unit_test(what_is_no_message_is_refused_with_a_reason),
        cmocka_unit_test(depth_and_size_are_bounded),
        cmocka_unit_test(numbers_are_exact),
        cmocka_unit_test(base64_of_every_length_comes_back),
        cmocka_unit_test(the_reader_judges_as_jansson_does),
    };
    return cmocka_run_group_tests(tests, open_arena, close_arena);
}
