/* What etcd does, case by case: options of ranges, errors and their texts, comparisons, nested
 * transactions, what expires when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kv_world.h"

struct rig {
    struct chooser chooser;
    struct script script;
    struct world world;
    uint64_t now_ns;
    uint8_t room[8192];
    uint8_t inner[8192];
    uint8_t answer[8192];
    struct pd_kv_reader reader;
};

static struct rig *rig_open(void)
{
    struct rig *rig = calloc(1, sizeof *rig);
    struct pd_kv_config config = world_config();
    pd_random_init(&rig->chooser.random, 5, "etcd");
    world_open(&rig->world, &config, &rig->script, &rig->chooser);
    return rig;
}

static void rig_close(struct rig *rig)
{
    world_close(&rig->world);
    script_clear(&rig->script);
    free(rig);
}

static struct pd_span text(const char *given)
{
    return pd_kv_span(given, strlen(given));
}

static enum pd_kv_error say(struct rig *rig, const struct pd_kv_command *command)
{
    struct pd_kv_writer inner = {.bytes = rig->inner, .bytes_max = sizeof rig->inner};
    pd_kv_command_encode(&inner, command);
    struct pd_kv_writer outer = {.bytes = rig->room, .bytes_max = sizeof rig->room};
    pd_kv_envelope_encode(&outer, &(struct pd_kv_envelope){.state_time_ns = rig->now_ns,
                                                           .command = {rig->inner, inner.size}});
    script_add(&rig->script, pd_kv_span(rig->room, outer.size));
    world_catch_up(&rig->world);
    struct pd_kv_applied applied;
    pd_kv_applied(rig->world.kv, &applied);
    memcpy(rig->answer, applied.answer.bytes, applied.answer.size);
    struct pd_kv_answer_head head;
    pd_kv_reader_init(&rig->reader, pd_kv_span(rig->answer, applied.answer.size));
    pd_kv_answer_head(&rig->reader, &head);
    return head.error;
}

static enum pd_kv_error say_ops(struct rig *rig, struct pd_kv_op *ops, uint32_t count,
                                struct pd_kv_compare *compares, uint32_t compare_count)
{
    return say(rig, &(struct pd_kv_command){.kind = PD_KV_OPS,
                                            .ops = ops,
                                            .op_count = count,
                                            .compares = compares,
                                            .compare_count = compare_count});
}

static struct pd_kv_op a_put(const char *key, const char *value)
{
    return (struct pd_kv_op){.kind = PD_KV_OP_PUT,
                             .as.put = {.key = text(key), .value = text(value)}};
}

static void put(struct rig *rig, const char *key, const char *value)
{
    struct pd_kv_op op = a_put(key, value);
    assert_int_equal(say_ops(rig, &op, 1, NULL, 0), PD_KV_OK);
}

/* Keys of a range's answer, one letter each; and its tail. */
static void expect(struct rig *rig, struct pd_kv_range range, const char *keys, bool more,
                   int64_t count)
{
    struct pd_kv_op op = {.kind = PD_KV_OP_RANGE, .as.range = range};
    assert_int_equal(say_ops(rig, &op, 1, NULL, 0), PD_KV_OK);
    char found[16] = {0};
    size_t size = 0;
    struct pd_kv_record record;
    while (pd_kv_answer_record(&rig->reader, &record)) {
        found[size++] = (char)record.key.bytes[0];
        assert_true(!range.keys_only || record.value.size == 0);
    }
    bool has_more;
    int64_t total;
    pd_kv_answer_range_tail(&rig->reader, &has_more, &total);
    assert_true(pd_kv_answer_is_whole(&rig->reader));
    assert_string_equal(found, keys);
    assert_int_equal(has_more, more);
    assert_int_equal(total, count);
}

static void options_of_ranges(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    /*              revision  version  create  value */
    put(rig, "a", "3"); /* 2 */
    put(rig, "b", "1"); /* 3 */
    put(rig, "c", "2"); /* 4 */
    put(rig, "d", "0"); /* 5 */
    put(rig, "b", "9"); /* 6:   b 2       3  */
    put(rig, "b", "1"); /* 7:   b 3       3  */
    put(rig, "a", "3"); /* 8:   a 2       2  */
    struct pd_kv_range all = {.key = text("a"), .range_end = text("z")};
    static const struct {
        enum pd_kv_sort_target target;
        const char *ascending;
        const char *descending;
    } sorts[] = {{PD_KV_SORT_KEY, "abcd", "dcba"},
                 {PD_KV_SORT_VERSION, "cdab", "bacd"},
                 {PD_KV_SORT_CREATE, "abcd", "dcba"},
                 {PD_KV_SORT_MOD, "cdba", "abdc"},
                 {PD_KV_SORT_VALUE, "dbca", "acbd"}};
    for (size_t i = 0; i < sizeof sorts / sizeof sorts[0]; i++) {
        struct pd_kv_range range = all;
        range.sort_target = sorts[i].target;
        expect(rig, range, sorts[i].ascending, false, 4); /* no order: ascending */
        range.sort_order = PD_KV_SORT_ASCEND;
        expect(rig, range, sorts[i].ascending, false, 4);
        range.sort_order = PD_KV_SORT_DESCEND;
        expect(rig, range, sorts[i].descending, false, 4);
        range.limit = 2; /* sorted first, then cut; the count is of all */
        char two[3] = {sorts[i].descending[0], sorts[i].descending[1], 0};
        expect(rig, range, two, true, 4);
        range.limit = 4;
        range.keys_only = true;
        expect(rig, range, sorts[i].descending, false, 4);
    }
    struct pd_kv_range range = all;
    range.limit = 3;
    expect(rig, range, "abc", true, 4);
    range.limit = -1;
    expect(rig, range, "abcd", false, 4);
    range.count_only = true;
    range.limit = 1;
    expect(rig, range, "", false, 4);
    range = all;
    range.min_mod_revision = 5; /* filters come after the count */
    expect(rig, range, "abd", false, 4);
    range.max_mod_revision = 7;
    expect(rig, range, "bd", false, 4);
    range.limit = 1;
    expect(rig, range, "b", true, 4);
    range = all;
    range.min_create_revision = 3;
    range.max_create_revision = 4;
    expect(rig, range, "bc", false, 4);
    range = all;
    range.revision = 4;
    expect(rig, range, "abc", false, 3);
    range.range_end = text("a"); /* behind its own end */
    expect(rig, range, "", false, 0);
    range = (struct pd_kv_range){.key = text("c"), .range_end = pd_kv_span("\0", 1)};
    expect(rig, range, "cd", false, 2);
    range.key = pd_kv_span("\0", 1);
    expect(rig, range, "abcd", false, 4);
    range.range_end = pd_kv_span(NULL, 0);
    expect(rig, range, "", false, 0);
    /* Without an order only the first of them, and one more, are sorted; with a bound all are. */
    range = all;
    range.sort_target = PD_KV_SORT_VALUE; /* d 0, b 1, c 2, a 3 */
    range.limit = 2;
    expect(rig, range, "bc", true, 4);
    range.limit = 3;
    expect(rig, range, "dbc", true, 4);
    range.limit = 2;
    range.sort_order = PD_KV_SORT_ASCEND;
    expect(rig, range, "db", true, 4);
    range.sort_order = PD_KV_SORT_NONE;
    range.min_mod_revision = 1;
    expect(rig, range, "db", true, 4);
    rig_close(rig);
}

static void refused(struct rig *rig, struct pd_kv_op op, const char *why, uint32_t code)
{
    enum pd_kv_error error = say_ops(rig, &op, 1, NULL, 0);
    assert_string_equal(pd_kv_error_text(error), why);
    assert_int_equal(pd_kv_error_grpc_code(error), code);
}

static void errors_and_their_texts(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    put(rig, "a", "1");
    struct pd_kv_op op = a_put("", "1");
    refused(rig, op, "etcdserver: key is not provided", 3);
    op = a_put("a", "1");
    op.as.put.ignore_value = true;
    refused(rig, op, "etcdserver: value is provided", 3);
    op.as.put.value.size = 0;
    op.as.put.key = text("none");
    refused(rig, op, "etcdserver: key not found", 3);
    op = a_put("a", "1");
    op.as.put.lease = 9;
    refused(rig, op, "etcdserver: requested lease not found", 5);
    op.as.put.ignore_lease = true;
    refused(rig, op, "etcdserver: lease is provided", 3);
    op = (struct pd_kv_op){.kind = PD_KV_OP_RANGE, .as.range = {.key = text("a"), .revision = 3}};
    refused(rig, op, "etcdserver: mvcc: required revision is a future revision", 11);
    op.as.range.revision = 0;
    op.as.range.sort_target = (enum pd_kv_sort_target)5;
    refused(rig, op, "etcdserver: invalid sort option", 3);
    op.as.range.key.size = 0; /* the key is looked at first */
    refused(rig, op, "etcdserver: key is not provided", 3);
    put(rig, "a", "2");
    assert_int_equal(say(rig, &(struct pd_kv_command){.kind = PD_KV_COMPACT, .revision = 3}),
                     PD_KV_OK);
    op = (struct pd_kv_op){.kind = PD_KV_OP_RANGE, .as.range = {.key = text("a"), .revision = 2}};
    refused(rig, op, "etcdserver: mvcc: required revision has been compacted", 11);
    struct pd_kv_command grant = {
        .kind = PD_KV_LEASE_GRANT, .id = 1, .ttl_s = PD_KV_LEASE_TTL_MAX_S + 1};
    assert_string_equal(pd_kv_error_text(say(rig, &grant)), "etcdserver: too large lease TTL");
    grant.ttl_s = 5;
    assert_int_equal(say(rig, &grant), PD_KV_OK);
    assert_string_equal(pd_kv_error_text(say(rig, &grant)), "etcdserver: lease already exists");
    grant.id = -7; /* any number but 0 is an id */
    assert_int_equal(say(rig, &grant), PD_KV_OK);
    rig_close(rig);
}

/* One txn of a compare: whether it holds. */
static bool holds(struct rig *rig, struct pd_kv_compare compare)
{
    struct pd_kv_op op = {.kind = PD_KV_OP_TXN, .as.txn = {.compare_count = 1}};
    assert_int_equal(say_ops(rig, &op, 1, &compare, 1), PD_KV_OK);
    bool succeeded;
    uint32_t count;
    pd_kv_answer_txn(&rig->reader, &succeeded, &count);
    assert_true(pd_kv_answer_is_whole(&rig->reader));
    return succeeded;
}

static void comparisons_of_every_kind(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    struct pd_kv_command grant = {.kind = PD_KV_LEASE_GRANT, .id = 5, .ttl_s = 5};
    assert_int_equal(say(rig, &grant), PD_KV_OK);
    put(rig, "a", "m"); /* 2 */
    struct pd_kv_op op = a_put("a", "m");
    op.as.put.lease = 5;
    assert_int_equal(say_ops(rig, &op, 1, NULL, 0), PD_KV_OK); /* 3: version 2 */
    put(rig, "b", "n");                                        /* 4 */
    static const struct {
        enum pd_kv_compare_target target;
        int64_t is;
    } numbers[] = {{PD_KV_COMPARE_VERSION, 2},
                   {PD_KV_COMPARE_CREATE, 2},
                   {PD_KV_COMPARE_MOD, 3},
                   {PD_KV_COMPARE_LEASE, 5}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        for (int64_t off = -1; off <= 1; off++) {
            struct pd_kv_compare compare = {
                .target = numbers[i].target, .key = text("a"), .number = numbers[i].is + off};
            static const enum pd_kv_compare_result results[] = {PD_KV_EQUAL, PD_KV_GREATER,
                                                                PD_KV_LESS, PD_KV_NOT_EQUAL};
            const bool want[] = {off == 0, off<0, off> 0, off != 0};
            for (size_t r = 0; r < 4; r++) {
                compare.result = results[r];
                assert_int_equal(holds(rig, compare), want[r]);
            }
        }
        /* A key that is not there has zeros. */
        assert_true(holds(rig, (struct pd_kv_compare){
                                   .target = numbers[i].target, .key = text("none"), .number = 0}));
    }
    struct pd_kv_compare value = {
        .target = PD_KV_COMPARE_VALUE, .key = text("a"), .value = text("m")};
    assert_true(holds(rig, value));
    value.value = text("mm");
    value.result = PD_KV_LESS;
    assert_true(holds(rig, value));
    value.key = text("none"); /* no value: nothing holds, not even "not equal" */
    value.result = PD_KV_NOT_EQUAL;
    assert_false(holds(rig, value));
    value.range_end = text("nonf");
    assert_false(holds(rig, value));
    struct pd_kv_compare range = {.target = PD_KV_COMPARE_VERSION,
                                  .result = PD_KV_GREATER,
                                  .key = text("a"),
                                  .range_end = text("z"),
                                  .number = 0};
    assert_true(holds(rig, range)); /* of every key */
    range.number = 1;
    assert_false(holds(rig, range));
    rig_close(rig);
}

static void a_key_is_written_once_in_a_txn(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    struct pd_kv_op twice[] = {
        {.kind = PD_KV_OP_TXN, .as.txn = {.then_count = 2}}, a_put("a", "1"), a_put("a", "2")};
    assert_int_equal(say_ops(rig, twice, 3, NULL, 0), PD_KV_ERR_DUPLICATE_KEY);
    struct pd_kv_op covered[] = {
        {.kind = PD_KV_OP_TXN, .as.txn = {.then_count = 2}},
        a_put("b", "1"),
        {.kind = PD_KV_OP_DELETE, .as.delete_range = {.key = text("a"), .range_end = text("c")}}};
    assert_int_equal(say_ops(rig, covered, 3, NULL, 0), PD_KV_ERR_DUPLICATE_KEY);
    struct pd_kv_op apart[] = {{.kind = PD_KV_OP_TXN, .as.txn = {.then_count = 1, .else_count = 1}},
                               a_put("a", "1"),
                               a_put("a", "2")};
    assert_int_equal(say_ops(rig, apart, 3, NULL, 0), PD_KV_OK);
    struct pd_kv_op nested[] = {
        {.kind = PD_KV_OP_TXN, .as.txn = {.then_count = 2}},
        a_put("a", "1"),
        {.kind = PD_KV_OP_TXN, .as.txn = {.then_count = 0, .else_count = 1}},
        a_put("a", "2")};
    assert_int_equal(say_ops(rig, nested, 4, NULL, 0), PD_KV_ERR_DUPLICATE_KEY);
    struct pd_kv_op deletes[] = {
        {.kind = PD_KV_OP_TXN, .as.txn = {.then_count = 2}},
        {.kind = PD_KV_OP_DELETE, .as.delete_range = {.key = text("a"), .range_end = text("c")}},
        {.kind = PD_KV_OP_DELETE, .as.delete_range = {.key = text("a"), .range_end = text("b")}}};
    assert_int_equal(say_ops(rig, deletes, 3, NULL, 0), PD_KV_OK);
    rig_close(rig);
}

static struct pd_kv_op a_delete(const char *key, const char *range_end)
{
    return (struct pd_kv_op){
        .kind = PD_KV_OP_DELETE,
        .as.delete_range = {.key = text(key), .range_end = text(range_end), .prev_kv = true}};
}

static struct pd_kv_op a_txn(uint32_t then_count, uint32_t else_count)
{
    return (struct pd_kv_op){.kind = PD_KV_OP_TXN,
                             .as.txn = {.then_count = then_count, .else_count = else_count}};
}

/* Two nested txns, then what is beside them. */
static void what_nested_txns_write_meets_by_etcds_rule(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    const struct {
        struct pd_kv_op ops[6];
        uint32_t count;
        enum pd_kv_error error;
    } cases[] = {
        /* A put, then a delete over it: allowed, whatever branches they are in. */
        {{a_txn(2, 0), a_txn(1, 0), a_put("b", "1"), a_txn(1, 0), a_delete("a", "c")}, 5, PD_KV_OK},
        {{a_txn(2, 0), a_txn(0, 1), a_put("b", "1"), a_txn(0, 1), a_delete("b", "")}, 5, PD_KV_OK},
        /* A delete, then a put under it. */
        {{a_txn(2, 0), a_txn(1, 0), a_delete("a", "c"), a_txn(1, 0), a_put("b", "1")},
         5,
         PD_KV_ERR_DUPLICATE_KEY},
        {{a_txn(2, 0), a_txn(0, 1), a_delete("b", ""), a_txn(1, 0), a_put("b", "1")},
         5,
         PD_KV_ERR_DUPLICATE_KEY},
        {{a_txn(2, 0), a_txn(1, 0), a_delete("a", "b"), a_txn(1, 0), a_put("b", "1")}, 5, PD_KV_OK},
        /* A level's own writes meet those of its children on both sides. */
        {{a_txn(2, 0), a_txn(1, 0), a_put("b", "1"), a_delete("a", "c")},
         4,
         PD_KV_ERR_DUPLICATE_KEY},
        {{a_txn(2, 0), a_put("b", "1"), a_txn(0, 1), a_delete("a", "c")},
         4,
         PD_KV_ERR_DUPLICATE_KEY},
        {{a_txn(2, 0), a_txn(1, 0), a_delete("a", "c"), a_put("b", "1")},
         4,
         PD_KV_ERR_DUPLICATE_KEY},
        /* Branches of one txn never meet; a third write meets both. */
        {{a_txn(1, 0), a_txn(1, 1), a_put("b", "1"), a_delete("a", "c")}, 4, PD_KV_OK},
        {{a_txn(1, 0), a_txn(1, 1), a_delete("a", "c"), a_put("b", "1")}, 4, PD_KV_OK},
        {{a_txn(2, 0), a_txn(1, 1), a_put("b", "1"), a_put("b", "2"), a_txn(1, 0), a_put("b", "3")},
         6,
         PD_KV_ERR_DUPLICATE_KEY},
        {{a_txn(1, 1), a_txn(1, 0), a_delete("a", "c"), a_txn(1, 0), a_put("b", "1")}, 5, PD_KV_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pd_kv_op ops[6];
        memcpy(ops, cases[i].ops, sizeof ops);
        assert_int_equal(say_ops(rig, ops, cases[i].count, NULL, 0), cases[i].error);
    }
    rig_close(rig);
}

/* A key that is put and deleted in one revision: two events, neither of which was a state, and a
 * record that is as it was before for whoever asks for the one before. */
static void a_key_written_twice_in_a_revision(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    put(rig, "b", "old"); /* 2 */
    struct pd_kv_op ops[] = {a_txn(2, 0), a_txn(1, 0), a_put("b", "new"), a_txn(1, 0),
                             a_delete("b", "")};
    assert_int_equal(say_ops(rig, ops, 5, NULL, 0), PD_KV_OK);
    struct pd_kv_events events;
    pd_kv_take_events(rig->world.kv, &events);
    assert_int_equal(events.count, 2);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(events.events[i].is_delete, i == 1);
        assert_true(events.events[i].has_previous);
    }
    assert_false(events.events[1].previous_known); /* "new" was none: to be read */
    expect(rig, (struct pd_kv_range){.key = text("b")}, "", false, 0);
    expect(rig, (struct pd_kv_range){.key = text("b"), .revision = 2}, "b", false, 1);
    assert_int_equal(say_ops(rig, ops, 5, NULL, 0), PD_KV_OK); /* 4: there was none before */
    pd_kv_take_events(rig->world.kv, &events);
    assert_int_equal(events.count, 2);
    assert_false(events.events[1].has_previous);
    rig_close(rig);
}

static void the_first_compaction_may_be_at_nothing(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    struct pd_kv_command compact = {.kind = PD_KV_COMPACT, .revision = -1};
    assert_int_equal(say(rig, &compact), PD_KV_ERR_COMPACTED);
    compact.revision = 0;
    assert_int_equal(say(rig, &compact), PD_KV_OK);
    world_drain(&rig->world);
    world_restart(&rig->world);
    assert_int_equal(say(rig, &compact), PD_KV_ERR_COMPACTED);
    compact.revision = 1;
    assert_int_equal(say(rig, &compact), PD_KV_OK);
    rig_close(rig);
}

/* In the order of (deadline, id), each once. */
static void expiry_is_in_order(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    static const int64_t ttls[] = {9, 3, 7, 3, 20, 5};
    for (int64_t id = 1; id <= 6; id++) {
        struct pd_kv_command grant = {.kind = PD_KV_LEASE_GRANT, .id = id, .ttl_s = ttls[id - 1]};
        assert_int_equal(say(rig, &grant), PD_KV_OK);
    }
    static const int64_t order[] = {2, 4, 6, 3, 1};
    for (uint32_t skip = 0; skip < 6; skip++) {
        uint8_t bytes[32];
        struct pd_kv_writer writer = {.bytes = bytes, .bytes_max = sizeof bytes};
        bool is_due = pd_kv_expiry_command(rig->world.kv, 10 * MODEL_SECOND, skip, &writer);
        assert_int_equal(is_due, skip < 5);
        struct pd_kv_command command;
        struct pd_kv_command_room room = {NULL, NULL, 0, 0};
        if (is_due) {
            assert_int_equal(pd_kv_command_decode(pd_kv_span(bytes, writer.size),
                                                  &rig->world.config.limits, &room, &command),
                             PD_KV_OK);
            assert_int_equal(command.kind, PD_KV_LEASE_EXPIRE);
            assert_int_equal(command.id, order[skip]);
        }
    }
    /* A new leader's extension outlives a restart. */
    rig->now_ns = 2 * MODEL_SECOND;
    assert_int_equal(say(rig, &(struct pd_kv_command){.kind = PD_KV_LEASES_EXTEND}), PD_KV_OK);
    assert_int_equal(pd_kv_next_deadline_ns(rig->world.kv), 5 * MODEL_SECOND);
    world_drain(&rig->world);
    world_restart(&rig->world);
    assert_int_equal(pd_kv_next_deadline_ns(rig->world.kv), 5 * MODEL_SECOND);
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_of_ranges),
        cmocka_unit_test(errors_and_their_texts),
        cmocka_unit_test(comparisons_of_every_kind),
        cmocka_unit_test(a_key_is_written_once_in_a_txn),
        cmocka_unit_test(what_nested_txns_write_meets_by_etcds_rule),
        cmocka_unit_test(a_key_written_twice_in_a_revision),
        cmocka_unit_test(the_first_compaction_may_be_at_nothing),
        cmocka_unit_test(expiry_is_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
