/* Reads without the core: what they see beside those who write, and that they answer as the core
 * does. */
#include "node/server_world.h"

/* -- Many threads ------------------------------------------------------------------------------ */

#define WRITERS 4
#define WRITES 200

struct writer_thread {
    struct pd_server *server;
    uint32_t number;
    struct pd_thread thread;
    atomic_uint acknowledged;
    atomic_int_least64_t revision; /* that was told with it */
    struct caller caller;
};

/* Of the last answer. */
static int64_t told_revision(const struct caller *caller)
{
    struct pd_replica_answer_head answer;
    struct pd_kv_reader reader;
    struct pd_kv_answer_head head;
    assert_int_equal(
        pd_replica_answer_decode((struct pd_span){caller->bytes, caller->size}, &answer), PD_OK);
    pd_kv_reader_init(&reader, answer.body);
    pd_kv_answer_head(&reader, &head);
    return head.revision;
}

static void write_numbers(void *argument)
{
    struct writer_thread *writer = argument;
    char key[32];
    char value[32];
    open_caller(writer->server, &writer->caller);
    (void)snprintf(key, sizeof key, "writer%u", writer->number);
    for (unsigned i = 1; i <= WRITES; i++) {
        (void)snprintf(value, sizeof value, "%u", i);
        put(&writer->caller, key, value);
        atomic_store(&writer->revision, told_revision(&writer->caller));
        atomic_store(&writer->acknowledged, i);
    }
    close_caller(&writer->caller);
}

static unsigned read_number(const struct pd_kv_record *record)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%.*s", (int)record->value.size,
                   (const char *)record->value.bytes);
    return (unsigned)strtoul(text, NULL, 10);
}

/* An answer without the core of a read of `key`, which may be given by it alone. */
static bool ask_hot(struct pd_server *server, const char *key, struct pd_kv_answer_head *head_out,
                    struct pd_kv_record *record_out)
{
    static uint8_t room[PD_SERVER_HOT_ANSWER_MAX];
    uint8_t bytes[256];
    struct pd_kv_writer writer = {.bytes = bytes, .bytes_max = sizeof bytes};
    struct pd_replica_answer_head answer;
    struct pd_kv_reader reader;
    bool more = true;
    int64_t count = 0;
    pd_kv_encode_range(&writer, &(struct pd_kv_range){.key = span(key)});
    if (!pd_server_answer_hot(server, (struct pd_span){bytes, writer.size}, room, sizeof room,
                              &answer)) {
        return false;
    }
    pd_kv_reader_init(&reader, answer.body);
    pd_kv_answer_head(&reader, head_out);
    assert_true(pd_kv_answer_record(&reader, record_out));
    assert_false(pd_kv_answer_record(&reader, &(struct pd_kv_record){0}));
    pd_kv_answer_range_tail(&reader, &more, &count);
    assert_true(pd_kv_answer_is_whole(&reader));
    assert_int_equal(answer.outcome, PD_REPLICA_OK);
    assert_false(more);
    assert_int_equal(count, 1);
    return true;
}

/* What was acknowledged before a hot read began is in it, while four threads write. */
static void see_what_was_acknowledged(bool lease_reads)
{
    static struct writer_thread writers[WRITERS];
    struct pd_server_config config = small_config();
    config.replica.raft.lease_reads = lease_reads;
    struct pd_server *server = open_with(&config);
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i].server = server;
        writers[i].number = i;
        atomic_store(&writers[i].acknowledged, 0);
        atomic_store(&writers[i].revision, 0);
        assert_int_equal(host->ops->thread_start(host, "writer", PD_THREAD_NORMAL, write_numbers,
                                                 &writers[i], &writers[i].thread),
                         PD_OK);
    }
    uint64_t seen = 0;
    uint64_t answered = 0;
    bool is_over = false;
    while (!is_over) {
        is_over = true;
        for (uint32_t i = 0; i < WRITERS; i++) {
            char key[32];
            uint8_t room[256];
            struct pd_kv_record record;
            struct pd_kv_answer_head head;
            (void)snprintf(key, sizeof key, "writer%u", i);
            unsigned before = atomic_load(&writers[i].acknowledged);
            enum pd_status status =
                pd_server_read_hot(server, span(key), room, sizeof room, &record);
            if (status == PD_OK) {
                assert_true(read_number(&record) >= before);
                assert_true(read_number(&record) <= atomic_load(&writers[i].acknowledged) + 1);
                seen++;
            } else {
                /* Not in memory yet, or no lease at that moment; never "there is no such key". */
                assert_true(status == PD_ERR_RANGE || before == 0);
            }
            int64_t revision = atomic_load(&writers[(i + 1) % WRITERS].revision);
            before = atomic_load(&writers[i].acknowledged);
            if (ask_hot(server, key, &head, &record)) {
                assert_true(read_number(&record) >= before);
                /* And the whole answer is as new as what anybody was told before. */
                assert_true(head.revision >= revision);
                assert_true(head.revision >= record.mod_revision);
                answered++;
            }
            is_over = is_over && before == WRITES;
        }
    }
    for (uint32_t i = 0; i < WRITERS; i++) {
        host->ops->thread_join(host, writers[i].thread);
    }
    assert_true(seen > 0);
    assert_true(answered > 0);
    pd_server_close(server);
}

static void hot_reads_see_what_was_acknowledged(void **state)
{
    (void)state;
    see_what_was_acknowledged(true);
}

static void so_do_those_of_the_only_voter(void **state)
{
    (void)state;
    see_what_was_acknowledged(false);
}

/* One transaction writes the same number to two keys. */
static void put_both(struct caller *caller, const char *value)
{
    uint8_t room[ANSWER_MAX];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    struct pd_kv_op ops[3] = {
        {.kind = PD_KV_OP_TXN}, {.kind = PD_KV_OP_PUT}, {.kind = PD_KV_OP_PUT}};
    ops[0].end = 3;
    ops[0].as.txn.then_count = 2;
    ops[1].end = 2;
    ops[1].as.put = (struct pd_kv_put){.key = span("first"), .value = span(value)};
    ops[2].end = 3;
    ops[2].as.put = (struct pd_kv_put){.key = span("second"), .value = span(value)};
    struct pd_kv_command command = {.kind = PD_KV_OPS, .ops = ops, .op_count = 3};
    pd_kv_command_encode(&writer, &command);
    struct pd_replica_answer_head answer =
        call(caller, PD_REPLICA_REQUEST_WRITE, (struct pd_span){room, writer.size});
    assert_int_equal(answer.outcome, PD_REPLICA_OK);
}

static void write_pairs(void *argument)
{
    struct writer_thread *writer = argument;
    char value[32];
    open_caller(writer->server, &writer->caller);
    for (unsigned i = 1; i <= WRITES; i++) {
        (void)snprintf(value, sizeof value, "%u", i);
        put_both(&writer->caller, value);
        atomic_store(&writer->acknowledged, i);
    }
    close_caller(&writer->caller);
}

static void hot_reads_never_see_half_a_transaction(void **state)
{
    (void)state;
    static struct writer_thread writer;
    struct pd_server_config config = small_config();
    config.replica.raft.lease_reads = true;
    struct pd_server *server = open_with(&config);
    writer.server = server;
    atomic_store(&writer.acknowledged, 0);
    assert_int_equal(host->ops->thread_start(host, "writer", PD_THREAD_NORMAL, write_pairs, &writer,
                                             &writer.thread),
                     PD_OK);
    uint64_t seen = 0;
    while (atomic_load(&writer.acknowledged) < WRITES || seen == 0) {
        uint8_t room[256];
        struct pd_kv_record record;
        if (pd_server_read_hot(server, span("first"), room, sizeof room, &record) != PD_OK) {
            continue;
        }
        unsigned first = read_number(&record);
        if (pd_server_read_hot(server, span("second"), room, sizeof room, &record) == PD_OK) {
            assert_true(read_number(&record) >= first);
            seen++;
        }
    }
    host->ops->thread_join(host, writer.thread);
    pd_server_close(server);
}

static void hot_reads_tell_a_key_that_was_deleted(void **state)
{
    (void)state;
    struct caller caller;
    uint8_t room[256];
    struct pd_kv_record record;
    struct pd_server_config config = small_config();
    config.replica.raft.lease_reads = true;
    struct pd_server *server = open_with(&config);
    open_caller(server, &caller);
    put(&caller, "a", "1");
    assert_int_equal(pd_server_read_hot(server, span("a"), room, sizeof room, &record), PD_OK);
    assert_int_equal(record.value.size, 1);
    assert_int_equal(record.version, 1);
    assert_int_equal(pd_server_read_hot(server, span("a"), room, 1, &record), PD_ERR_RANGE);
    assert_int_equal(pd_server_read_hot(server, span("b"), room, sizeof room, &record),
                     PD_ERR_RANGE);
    del(&caller, "a");
    assert_int_equal(pd_server_read_hot(server, span("a"), room, sizeof room, &record),
                     PD_ERR_UNKNOWN);
    close_caller(&caller);
    pd_server_close(server);
}

/* -- What it answers --------------------------------------------------------------------------- */

static struct pd_span encode(uint8_t room[ANSWER_MAX], const struct pd_kv_range *range)
{
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = ANSWER_MAX};
    pd_kv_encode_range(&writer, range);
    return (struct pd_span){room, writer.size};
}

static void answers_as_the_core_does(void **state)
{
    (void)state;
    struct caller caller;
    uint8_t asked[ANSWER_MAX];
    uint8_t room[PD_SERVER_HOT_ANSWER_MAX];
    struct pd_replica_answer_head hot;
    struct pd_server *server = open_server();
    struct pd_server_counters counters;
    open_caller(server, &caller);
    put(&caller, "a", "1");
    put(&caller, "a", "2");
    put(&caller, "empty", "");
    put(&caller, "other", "3");
    const struct pd_kv_range plain[] = {
        {.key = span("a")},
        {.key = span("empty")},
        {.key = span("a"), .limit = 1},
        {.key = span("a"), .limit = 5, .uncounted = true},
        {.key = span("other"), .sort_order = PD_KV_SORT_DESCEND, .sort_target = PD_KV_SORT_VALUE},
    };
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        struct pd_span body = encode(asked, &plain[i]);
        struct pd_replica_answer_head cold = call(&caller, PD_REPLICA_REQUEST_READ, body);
        assert_true(pd_server_answer_hot(server, body, room, sizeof room, &hot));
        assert_int_equal(hot.outcome, cold.outcome);
        assert_int_equal(hot.leader, cold.leader);
        assert_int_equal(hot.term, cold.term);
        assert_int_equal(hot.body.size, cold.body.size);
        assert_memory_equal(hot.body.bytes, cold.body.bytes, cold.body.size);
    }
    pd_server_counters(server, &counters);
    assert_int_equal(counters.hot_reads, sizeof plain / sizeof plain[0]);
    close_caller(&caller);
    pd_server_close(server);
}

static void leaves_the_rest_to_the_core(void **state)
{
    (void)state;
    struct caller caller;
    uint8_t asked[ANSWER_MAX];
    uint8_t room[PD_SERVER_HOT_ANSWER_MAX];
    struct pd_replica_answer_head hot;
    struct pd_server *server = open_server();
    open_caller(server, &caller);
    put(&caller, "a", "1");
    del(&caller, "a");
    put(&caller, "b", "2");
    const struct pd_kv_range others[] = {
        {.key = span("a")},      /* gone, as of a revision that is not known here */
        {.key = span("unseen")}, /* not in memory */
        {.key = span("b"), .range_end = span("c")},
        {.key = span("b"), .revision = 2},
        {.key = span("b"), .keys_only = true},
        {.key = span("b"), .count_only = true},
        {.key = span("b"), .min_mod_revision = 1},
        {.key = span("b"), .max_mod_revision = 1},
        {.key = span("b"), .min_create_revision = 1},
        {.key = span("b"), .max_create_revision = 1},
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_false(
            pd_server_answer_hot(server, encode(asked, &others[i]), room, sizeof room, &hot));
    }
    struct pd_span good = encode(asked, &(struct pd_kv_range){.key = span("b")});
    assert_true(pd_server_answer_hot(server, good, room, sizeof room, &hot));
    assert_false(pd_server_answer_hot(server, good, room, 8, &hot)); /* no room */
    for (size_t size = 0; size < good.size; size++) {
        assert_false(pd_server_answer_hot(server, (struct pd_span){good.bytes, size}, room,
                                          sizeof room, &hot));
    }
    struct pd_kv_writer writer = {.bytes = asked, .bytes_max = sizeof asked};
    pd_kv_encode_put(&writer, &(struct pd_kv_put){.key = span("b"), .value = span("3")});
    assert_false(pd_server_answer_hot(server, (struct pd_span){asked, writer.size}, room,
                                      sizeof room, &hot));
    close_caller(&caller);
    pd_server_close(server);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(hot_reads_see_what_was_acknowledged),
        TEST(so_do_those_of_the_only_voter),
        TEST(hot_reads_never_see_half_a_transaction),
        TEST(hot_reads_tell_a_key_that_was_deleted),
        TEST(answers_as_the_core_does),
        TEST(leaves_the_rest_to_the_core),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
