/* The state machine over the plainest of stores, which shows its rows late and answers fetches
 * late. Random commands are compared with a model that is an array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/random.h"
#include "kv/kv.h"

#define ROWS_MAX 60000u
#define SECOND UINT64_C(1000000000)

struct row {
    uint8_t *key;
    size_t key_size;
    uint8_t *value;
    size_t value_size;
};
struct rig {
    struct pd_kv *kv;
    struct row rows[ROWS_MAX]; /* sorted */
    size_t row_count;
    uint64_t index;
    uint64_t now_ns;
    uint32_t lag; /* a batch is written once in `lag` chances */
    struct pd_random random;
    uint8_t page[1 << 20];
    uint8_t log[1 << 16];
    uint8_t answer[1 << 18];
    struct pd_span last;
    bool is_repeat;
    uint32_t fetches; /* that were served */
    uint32_t rounds;  /* in which some were: those of one round are under way together */
    bool is_still;    /* nothing is written while fetches are served */
};

static int order(const struct row *row, struct pd_span key)
{
    size_t least = row->key_size < key.size ? row->key_size : key.size;
    int c = memcmp(row->key, key.bytes, least);
    return c != 0 ? c : row->key_size < key.size ? -1 : row->key_size > key.size;
}

static size_t find(const struct rig *rig, struct pd_span key)
{
    size_t low = 0;
    size_t high = rig->row_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (order(&rig->rows[middle], key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static uint8_t *copy(struct pd_span span)
{
    uint8_t *bytes = malloc(span.size + 1);
    if (span.size > 0) {
        memcpy(bytes, span.bytes, span.size);
    }
    return bytes;
}

static void write_one(struct rig *rig, const struct pd_store_write *write)
{
    size_t at = find(rig, write->key);
    bool is_there = at < rig->row_count && order(&rig->rows[at], write->key) == 0;
    struct row *row = &rig->rows[at];
    if (is_there) {
        free(row->key);
        free(row->value);
    }
    if (write->kind == PD_STORE_DELETE) {
        if (is_there) {
            rig->row_count--;
            memmove(row, row + 1, (rig->row_count - at) * sizeof *row);
        }
        return;
    }
    if (!is_there) {
        assert_true(rig->row_count < ROWS_MAX);
        memmove(row + 1, row, (rig->row_count - at) * sizeof *row);
        rig->row_count++;
    }
    *row = (struct row){copy(write->key), write->key.size, copy(write->value), write->value.size};
}

static void write_batch(struct rig *rig)
{
    struct pd_kv_batch batch;
    if (pd_kv_take_writes(rig->kv, &batch)) {
        for (size_t i = 0; i < batch.count; i++) {
            write_one(rig, &batch.writes[i]);
        }
        pd_kv_written(rig->kv);
    }
}

static struct pd_store_page read_page(struct rig *rig, const struct pd_kv_fetch *fetch)
{
    struct pd_store_page page = {.bytes = rig->page, .bytes_max = sizeof rig->page};
    size_t at = find(rig, fetch->low);
    /* A page may be full before it has the rows that were wanted. */
    uint32_t rows_max =
        1 + (uint32_t)pd_random_below(&rig->random, fetch->rows_max != 0 ? fetch->rows_max : 9);
    page.is_complete = true;
    for (; at < rig->row_count && order(&rig->rows[at], fetch->high) < 0; at++) {
        const struct row *row = &rig->rows[at];
        if (page.row_count == rows_max) {
            page.is_complete = false;
            break;
        }
        uint8_t *to = page.bytes + page.size;
        pd_put_u32(to, (uint32_t)row->key_size);
        pd_put_u32(to + 4, (uint32_t)row->value_size);
        memcpy(to + 8, row->key, row->key_size);
        memcpy(to + 8 + row->key_size, row->value, row->value_size);
        page.size += 8 + row->key_size + row->value_size;
        page.row_count++;
    }
    return page;
}

static void serve(struct rig *rig)
{
    struct pd_kv_fetch fetch;
    uint32_t before = rig->fetches;
    while (pd_kv_next_fetch(rig->kv, &fetch)) {
        struct pd_store_page page = read_page(rig, &fetch);
        /* The page is older than what is written now. */
        if (!rig->is_still && pd_random_below(&rig->random, 2) == 0) {
            write_batch(rig);
        }
        assert_int_equal(pd_kv_supply(rig->kv, fetch.id, &page), PD_OK);
        rig->fetches++;
    }
    rig->rounds += rig->fetches > before ? 1 : 0;
}

static struct pd_kv_config config(void)
{
    struct pd_kv_config c = pd_kv_config_default();
    c.limits.key_bytes_max = 64;
    c.limits.request_bytes_max = 4096;
    c.answer_bytes_max = 32768;
    c.overlay_bytes = 400000;
    c.cache_bytes = 4096;
    c.reads_max = 4;
    c.prefetch_max = 4;
    c.leases_max = 50;
    c.sessions_max = 8;
    c.session_window_max = 4;
    c.writes_max = 100;
    c.session_answer_bytes_max = 4096;
    c.read_bytes_max = 1 << 18;
    c.event_bytes_max = 1 << 18;
    return c;
}

static struct rig *rig_open(uint64_t seed)
{
    struct rig *rig = calloc(1, sizeof *rig);
    struct pd_kv_config c = config();
    assert_int_equal(pd_kv_open(&c, &rig->kv), PD_OK);
    pd_random_init(&rig->random, seed, "kv");
    rig->lag = 3;
    return rig;
}

static void rig_close(struct rig *rig)
{
    pd_kv_close(rig->kv);
    for (size_t i = 0; i < rig->row_count; i++) {
        free(rig->rows[i].key);
        free(rig->rows[i].value);
    }
    free(rig);
}

static void verify(struct rig *rig)
{
    pd_kv_verify_begin(rig->kv);
    enum pd_kv_progress progress;
    while ((progress = pd_kv_verify_step(rig->kv, 1)) != PD_KV_DONE) {
        assert_int_not_equal(progress, PD_KV_FAILED);
        serve(rig);
    }
}

/* A crash that lost nothing: memory goes, rows stay. */
static void restart(struct rig *rig)
{
    struct pd_kv_status before;
    struct pd_kv_status after;
    for (int i = 0; i < 100; i++) {
        write_batch(rig);
    }
    pd_kv_status(rig->kv, &before);
    pd_kv_load_begin(rig->kv);
    enum pd_kv_progress progress;
    while ((progress = pd_kv_load_step(rig->kv, 1)) != PD_KV_DONE) {
        assert_int_not_equal(progress, PD_KV_FAILED);
        serve(rig);
    }
    pd_kv_status(rig->kv, &after);
    assert_int_equal(before.applied_index, after.applied_index);
    assert_int_equal(before.revision, after.revision);
    assert_int_equal(before.set_hash.low, after.set_hash.low);
    assert_int_equal(before.fold_hash, after.fold_hash);
    assert_int_equal(before.state_time_ns, after.state_time_ns);
    verify(rig);
}

static struct pd_kv_answer_head run(struct rig *rig, const struct pd_kv_command *command,
                                    uint64_t session, uint64_t sequence, uint64_t low,
                                    struct pd_kv_reader *reader)
{
    static uint8_t room[8192];
    struct pd_kv_writer inner = {.bytes = room, .bytes_max = sizeof room};
    pd_kv_command_encode(&inner, command);
    struct pd_kv_writer outer = {.bytes = rig->log, .bytes_max = sizeof rig->log};
    struct pd_kv_envelope envelope = {.state_time_ns = rig->now_ns,
                                      .session_id = session,
                                      .sequence = sequence,
                                      .low = low,
                                      .command = {room, inner.size}};
    pd_kv_envelope_encode(&outer, &envelope);
    assert_false(inner.is_full || outer.is_full);
    struct pd_span bytes = {rig->log, outer.size};
    if (pd_random_below(&rig->random, 2) == 0) {
        pd_kv_prefetch(rig->kv, bytes);
        serve(rig);
    }
    pd_kv_apply_begin(rig->kv, ++rig->index, 1, bytes);
    enum pd_kv_progress progress;
    while ((progress = pd_kv_apply_step(rig->kv, 3)) != PD_KV_DONE) {
        serve(rig);
        if (progress == PD_KV_FULL || pd_random_below(&rig->random, rig->lag) == 0) {
            write_batch(rig);
        }
    }
    pd_kv_check(rig->kv);
    if (pd_random_below(&rig->random, rig->lag) == 0) {
        write_batch(rig);
    }
    struct pd_kv_applied applied;
    pd_kv_applied(rig->kv, &applied);
    memcpy(rig->answer, applied.answer.bytes, applied.answer.size);
    rig->last = (struct pd_span){rig->answer, applied.answer.size};
    rig->is_repeat = applied.is_repeat;
    struct pd_kv_answer_head head;
    pd_kv_reader_init(reader, rig->last);
    pd_kv_answer_head(reader, &head);
    assert_false(reader->is_bad);
    return head;
}

static struct pd_span text(const char *given)
{
    return (struct pd_span){(const uint8_t *)given, strlen(given)};
}

static struct pd_kv_answer_head put(struct rig *rig, const char *key, const char *value,
                                    int64_t lease, struct pd_kv_reader *reader)
{
    struct pd_kv_op op = {
        .kind = PD_KV_OP_PUT,
        .as.put = {.key = text(key), .value = text(value), .lease = lease, .prev_kv = true}};
    struct pd_kv_command c = {.kind = PD_KV_OPS, .ops = &op, .op_count = 1};
    return run(rig, &c, 0, 0, 0, reader);
}

static int64_t remove_range(struct rig *rig, const char *key, const char *end)
{
    struct pd_kv_reader reader;
    struct pd_kv_op op = {.kind = PD_KV_OP_DELETE,
                          .as.delete_range = {.key = text(key), .range_end = text(end)}};
    struct pd_kv_command c = {.kind = PD_KV_OPS, .ops = &op, .op_count = 1};
    assert_int_equal(run(rig, &c, 0, 0, 0, &reader).error, PD_KV_OK);
    struct pd_kv_record record;
    assert_false(pd_kv_answer_record(&reader, &record));
    return pd_kv_answer_delete_tail(&reader);
}

/* The record of a key by a read; version 0: none. Spans are good until the next read. */
static struct pd_kv_record get(struct rig *rig, const char *key, int64_t revision)
{
    struct pd_kv_range range = {.key = text(key), .revision = revision};
    uint32_t read;
    assert_int_equal(pd_kv_read_range(rig->kv, &range, &read), PD_OK);
    while (pd_kv_read_step(rig->kv, read, 1) != PD_KV_DONE) {
        serve(rig);
    }
    struct pd_span answer = pd_kv_read_answer(rig->kv, read);
    memcpy(rig->answer, answer.bytes, answer.size);
    pd_kv_read_end(rig->kv, read);
    struct pd_kv_reader reader;
    struct pd_kv_answer_head head;
    struct pd_kv_record record;
    pd_kv_reader_init(&reader, (struct pd_span){rig->answer, answer.size});
    pd_kv_answer_head(&reader, &head);
    assert_int_equal(head.error, PD_KV_OK);
    (void)pd_kv_answer_record(&reader, &record);
    return record;
}

static void a_put_is_read_and_versions_count(void **state)
{
    (void)state;
    struct rig *rig = rig_open(1);
    struct pd_kv_reader reader;
    assert_int_equal(put(rig, "a", "1", 0, &reader).revision, 2);
    assert_int_equal(put(rig, "a", "2", 0, &reader).revision, 3);
    struct pd_kv_record record = get(rig, "a", 0);
    assert_int_equal(record.version, 2);
    assert_int_equal(record.create_revision, 2);
    assert_int_equal(record.mod_revision, 3);
    assert_int_equal(get(rig, "a", 2).version, 1);
    assert_int_equal(remove_range(rig, "a", ""), 1);
    assert_int_equal(remove_range(rig, "a", ""), 0);
    assert_int_equal(get(rig, "a", 0).version, 0);
    assert_int_equal(put(rig, "a", "3", 0, &reader).revision, 5);
    assert_int_equal(get(rig, "a", 0).create_revision, 5);
    restart(rig);
    assert_int_equal(get(rig, "a", 0).version, 1);
    rig_close(rig);
}

static void a_lease_takes_its_keys_along_when_it_is_due(void **state)
{
    (void)state;
    struct rig *rig = rig_open(2);
    struct pd_kv_reader reader;
    struct pd_kv_command grant = {.kind = PD_KV_LEASE_GRANT, .id = 7, .ttl_s = 10};
    assert_int_equal(run(rig, &grant, 0, 0, 0, &reader).error, PD_KV_OK);
    assert_int_equal(put(rig, "x", "1", 8, &reader).error, PD_KV_ERR_LEASE_NOT_FOUND);
    assert_int_equal(put(rig, "x", "1", 7, &reader).error, PD_KV_OK);
    assert_int_equal(put(rig, "y", "1", 7, &reader).error, PD_KV_OK);
    assert_int_equal(put(rig, "z", "1", 7, &reader).error, PD_KV_OK);
    assert_int_equal(put(rig, "y", "2", 0, &reader).error, PD_KV_OK); /* detached */
    restart(rig);
    struct pd_kv_command expire = {.kind = PD_KV_LEASE_EXPIRE, .id = 7};
    rig->now_ns = 9 * SECOND;
    assert_int_equal(run(rig, &expire, 0, 0, 0, &reader).error, PD_KV_OK);
    assert_int_equal(get(rig, "x", 0).version, 1);
    rig->now_ns = 10 * SECOND;
    assert_int_equal(pd_kv_next_deadline_ns(rig->kv), 10 * SECOND);
    assert_int_equal(run(rig, &expire, 0, 0, 0, &reader).error, PD_KV_OK);
    assert_int_equal(get(rig, "x", 0).version, 0);
    assert_int_equal(get(rig, "z", 0).version, 0);
    assert_int_equal(get(rig, "y", 0).version, 2);
    rig->now_ns = 1 * SECOND; /* a slower leader: state time stays */
    assert_int_equal(put(rig, "q", "1", 0, &reader).error, PD_KV_OK);
    struct pd_kv_status status;
    pd_kv_status(rig->kv, &status);
    assert_int_equal(status.state_time_ns, 10 * SECOND);
    restart(rig);
    rig_close(rig);
}

static struct pd_kv_answer_head lease_command(struct rig *rig, enum pd_kv_command_kind kind,
                                              int64_t id, int64_t ttl_s)
{
    struct pd_kv_reader reader;
    struct pd_kv_command c = {.kind = kind, .id = id, .ttl_s = ttl_s};
    return run(rig, &c, 0, 0, 0, &reader);
}

/* Whichever leases are gone meanwhile. */
static void a_new_leader_extends_every_live_lease(void **state)
{
    (void)state;
    struct rig *rig = rig_open(12);
    for (int64_t id = 1; id <= 4; id++) {
        assert_int_equal(lease_command(rig, PD_KV_LEASE_GRANT, id, 10).error, PD_KV_OK);
    }
    assert_int_equal(lease_command(rig, PD_KV_LEASE_REVOKE, 1, 0).error, PD_KV_OK);
    assert_int_equal(lease_command(rig, PD_KV_LEASE_REVOKE, 3, 0).error, PD_KV_OK);
    struct pd_kv_reader reader;
    assert_int_equal(put(rig, "lock", "mine", 3, &reader).error, PD_KV_ERR_LEASE_NOT_FOUND);
    assert_int_equal(lease_command(rig, PD_KV_LEASE_GRANT, 5, 10).error, PD_KV_OK);
    rig->now_ns += 9 * SECOND;
    assert_int_equal(lease_command(rig, PD_KV_LEASES_EXTEND, 0, 0).error, PD_KV_OK);
    assert_int_equal(pd_kv_next_deadline_ns(rig->kv), 19 * SECOND);
    struct pd_kv_status status;
    pd_kv_status(rig->kv, &status);
    assert_int_equal(status.lease_count, 3);
    rig_close(rig);
}

/* Else a watch from behind the revision that a list told would miss what was written meanwhile. */
static void a_read_tells_the_revision_that_it_saw(void **state)
{
    (void)state;
    struct rig *rig = rig_open(13);
    struct pd_kv_reader reader;
    int64_t before = put(rig, "a", "1", 0, &reader).revision;
    struct pd_kv_range range = {.key = text("a"), .range_end = text("c")};
    uint32_t read;
    assert_int_equal(pd_kv_read_range(rig->kv, &range, &read), PD_OK);
    assert_int_equal(put(rig, "b", "2", 0, &reader).revision, before + 1);
    while (pd_kv_read_step(rig->kv, read, 1) != PD_KV_DONE) {
        serve(rig);
    }
    struct pd_kv_answer_head head;
    struct pd_kv_record record;
    pd_kv_reader_init(&reader, pd_kv_read_answer(rig->kv, read));
    pd_kv_answer_head(&reader, &head);
    assert_int_equal(head.revision, before);
    assert_true(pd_kv_answer_record(&reader, &record));
    assert_false(pd_kv_answer_record(&reader, &record));
    pd_kv_read_end(rig->kv, read);
    rig_close(rig);
}

static void a_retry_gets_the_first_answer(void **state)
{
    (void)state;
    struct rig *rig = rig_open(3);
    struct pd_kv_reader reader;
    struct pd_kv_command open = {.kind = PD_KV_SESSION_OPEN, .duration_ns = 5 * SECOND};
    assert_int_equal(run(rig, &open, 0, 0, 0, &reader).error, PD_KV_OK);
    uint64_t id = (uint64_t)pd_kv_answer_number(&reader);
    struct pd_kv_op op = {.kind = PD_KV_OP_PUT, .as.put = {.key = text("k"), .value = text("v")}};
    struct pd_kv_command c = {.kind = PD_KV_OPS, .ops = &op, .op_count = 1};
    assert_int_equal(run(rig, &c, id, 1, 1, &reader).revision, 2);
    assert_int_equal(run(rig, &c, id, 2, 1, &reader).revision, 3);
    restart(rig);
    assert_int_equal(run(rig, &c, id, 1, 1, &reader).revision, 2);
    assert_true(rig->is_repeat);
    assert_int_equal(get(rig, "k", 0).version, 2);
    assert_int_equal(run(rig, &c, id, 3, 3, &reader).revision, 4);
    assert_int_equal(run(rig, &c, id, 2, 2, &reader).error, PD_KV_ERR_SESSION_STALE);
    assert_int_equal(run(rig, &c, id, 9, 3, &reader).error, PD_KV_ERR_SESSION_AHEAD);
    assert_int_equal(run(rig, &c, 77, 1, 1, &reader).error, PD_KV_ERR_SESSION_UNKNOWN);
    rig->now_ns = 5 * SECOND;
    struct pd_kv_command expire = {.kind = PD_KV_SESSION_EXPIRE, .id = (int64_t)id};
    assert_int_equal(run(rig, &expire, 0, 0, 0, &reader).error, PD_KV_OK);
    assert_int_equal(run(rig, &c, id, 4, 4, &reader).error, PD_KV_ERR_SESSION_UNKNOWN);
    assert_int_equal(get(rig, "k", 0).version, 3);
    restart(rig);
    rig_close(rig);
}

static void a_txn_takes_one_branch_at_one_revision(void **state)
{
    (void)state;
    struct rig *rig = rig_open(4);
    struct pd_kv_reader reader;
    (void)put(rig, "a", "1", 0, &reader);
    struct pd_kv_compare compares[] = {
        {.target = PD_KV_COMPARE_VALUE, .key = text("a"), .value = text("1")},
        {.target = PD_KV_COMPARE_CREATE, .key = text("none"), .number = 0},
        {.target = PD_KV_COMPARE_VERSION, .key = text("b"), .range_end = text("d"), .number = 1}};
    struct pd_kv_op ops[] = {
        {.kind = PD_KV_OP_TXN,
         .as.txn = {.compare_first = 0, .compare_count = 2, .then_count = 4, .else_count = 1}},
        {.kind = PD_KV_OP_PUT, .as.put = {.key = text("b"), .value = text("x")}},
        {.kind = PD_KV_OP_TXN,
         .as.txn = {.compare_first = 2, .compare_count = 1, .then_count = 1, .else_count = 1}},
        {.kind = PD_KV_OP_PUT, .as.put = {.key = text("then"), .value = text("t")}},
        {.kind = PD_KV_OP_PUT, .as.put = {.key = text("then"), .value = text("e")}},
        {.kind = PD_KV_OP_RANGE, .as.range = {.key = text("a"), .range_end = text("c")}},
        {.kind = PD_KV_OP_DELETE, .as.delete_range = {.key = text("a"), .prev_kv = true}},
        {.kind = PD_KV_OP_PUT, .as.put = {.key = text("b"), .value = text("else")}}};
    struct pd_kv_command c = {
        .kind = PD_KV_OPS, .ops = ops, .op_count = 8, .compares = compares, .compare_count = 3};
    struct pd_kv_answer_head head = run(rig, &c, 0, 0, 0, &reader);
    assert_int_equal(head.error, PD_KV_OK);
    assert_int_equal(head.revision, 3);
    bool succeeded;
    uint32_t count;
    struct pd_kv_record record;
    pd_kv_answer_txn(&reader, &succeeded, &count);
    assert_true(succeeded);
    assert_int_equal(count, 4);
    assert_int_equal(pd_kv_answer_response(&reader), PD_KV_ANSWER_PUT);
    assert_false(pd_kv_answer_record(&reader, &record));
    assert_int_equal(pd_kv_answer_response(&reader), PD_KV_ANSWER_TXN);
    pd_kv_answer_txn(&reader, &succeeded, &count);
    assert_false(succeeded); /* an empty range has version 0 */
    assert_int_equal(pd_kv_answer_response(&reader), PD_KV_ANSWER_PUT);
    assert_false(pd_kv_answer_record(&reader, &record));
    assert_int_equal(pd_kv_answer_response(&reader), PD_KV_ANSWER_RANGE);
    assert_true(pd_kv_answer_record(&reader, &record));
    assert_true(pd_kv_answer_record(&reader, &record)); /* sees the put */
    assert_int_equal(record.mod_revision, 3);
    assert_false(pd_kv_answer_record(&reader, &record));
    bool more;
    int64_t total;
    pd_kv_answer_range_tail(&reader, &more, &total);
    assert_int_equal(total, 2);
    assert_int_equal(pd_kv_answer_response(&reader), PD_KV_ANSWER_DELETE);
    assert_true(pd_kv_answer_record(&reader, &record));
    assert_int_equal(record.version, 1);
    assert_false(pd_kv_answer_record(&reader, &record));
    assert_int_equal(pd_kv_answer_delete_tail(&reader), 1);
    assert_true(pd_kv_answer_is_whole(&reader));
    assert_memory_equal(get(rig, "then", 0).value.bytes, "e", 1);
    restart(rig);
    rig_close(rig);
}

/* -- Random puts and deletes against an array
 * ---------------------------------------------------- */

#define KEYS 40

static void random_commands_agree_with_an_array(void **state)
{
    (void)state;
    const char *given = getenv("PD_TEST_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : 42;
    print_message("replay with PD_TEST_SEED=%llu\n", (unsigned long long)seed);
    struct rig *rig = rig_open(seed);
    int64_t version[KEYS] = {0};
    int64_t created[KEYS] = {0};
    int64_t revision = 1;
    char key[16];
    char end[16];
    char value[600];
    for (int step = 0; step < 4000; step++) {
        struct pd_kv_reader reader;
        uint32_t k = (uint32_t)pd_random_below(&rig->random, KEYS);
        (void)snprintf(key, sizeof key, "k%02u", k);
        uint64_t what = pd_random_below(&rig->random, 100);
        rig->lag = 1 + (uint32_t)pd_random_below(&rig->random, 12);
        if (what < 50) {
            size_t size = pd_random_below(&rig->random, sizeof value);
            memset(value, 'v', size);
            value[size == sizeof value ? size - 1 : size] = 0;
            revision++;
            assert_int_equal(put(rig, key, value, 0, &reader).revision, revision);
            struct pd_kv_record previous;
            bool had = pd_kv_answer_record(&reader, &previous);
            assert_int_equal(had, version[k] > 0);
            assert_int_equal(had ? previous.version : 0, version[k]);
            created[k] = version[k]++ == 0 ? revision : created[k];
        } else if (what < 60) {
            uint32_t to = k + (uint32_t)pd_random_below(&rig->random, 12);
            (void)snprintf(end, sizeof end, "k%02u", to);
            int64_t live = 0;
            for (uint32_t i = k; i < to && i < KEYS; i++) {
                live += version[i] > 0;
                version[i] = 0;
            }
            if (to > k) {
                assert_int_equal(remove_range(rig, key, end), live);
                revision += live > 0;
            }
        } else if (what < 99) {
            struct pd_kv_record record = get(rig, key, 0);
            assert_int_equal(record.version, version[k]);
            assert_int_equal(record.create_revision, version[k] > 0 ? created[k] : 0);
            uint8_t room[1024];
            enum pd_status hot = pd_kv_get_hot(rig->kv, text(key), room, sizeof room, &record);
            if (hot != PD_ERR_RANGE) {
                assert_int_equal(hot == PD_OK ? record.version : 0, version[k]);
            }
        } else {
            restart(rig);
        }
    }
    restart(rig);
    rig_close(rig);
}

/* Whatever memory held of the keys is pushed out of it, but for which ones there are. */
static void push_out(struct rig *rig, uint32_t round)
{
    struct pd_kv_reader reader;
    char key[16];
    for (uint32_t i = 0; i < 100; i++) {
        (void)snprintf(key, sizeof key, "z%u-%u", (unsigned)round, (unsigned)i);
        (void)put(rig, key, "v", 0, &reader);
    }
    for (int i = 0; i < 100; i++) {
        write_batch(rig);
    }
}

static void a_new_key_costs_no_look_into_the_store(void **state)
{
    (void)state;
    struct rig *rig = rig_open(9);
    struct pd_kv_reader reader;
    (void)put(rig, "early", "1", 0, &reader);
    assert_int_equal(rig->fetches, 1); /* nobody looked through the store yet */
    verify(rig);
    uint32_t fetches = rig->fetches;
    push_out(rig, 1);
    assert_int_equal(get(rig, "never", 0).version, 0);
    assert_int_equal(rig->fetches, fetches);
    /* What was written before the look, and after it, is found. */
    assert_int_equal(get(rig, "early", 0).version, 1);
    assert_int_equal(get(rig, "z1-0", 0).version, 1);
    assert_int_equal(rig->fetches, fetches + 2);
    (void)put(rig, "z1-1", "2", 0, &reader);
    push_out(rig, 2);
    assert_int_equal(get(rig, "z1-1", 0).version, 2);
    assert_int_equal(remove_range(rig, "z1-2", ""), 1);
    push_out(rig, 3);
    assert_int_equal(get(rig, "z1-2", 0).version, 0);
    (void)put(rig, "z1-2", "2", 0, &reader);
    push_out(rig, 4);
    assert_int_equal(get(rig, "z1-2", 0).version, 1);
    /* An earlier revision is another matter: the key may have been there. */
    assert_int_equal(remove_range(rig, "early", ""), 1);
    restart(rig);
    fetches = rig->fetches;
    assert_int_equal(get(rig, "early", 0).version, 0);
    assert_int_equal(rig->fetches, fetches); /* it was not among the live ones */
    assert_int_equal(get(rig, "early", 2).version, 1);
    (void)put(rig, "early", "2", 0, &reader);
    assert_int_equal(get(rig, "early", 0).version, 1);
    restart(rig);
    rig_close(rig);
}

static void a_range_larger_than_the_overlay_is_deleted_in_parts(void **state)
{
    (void)state;
    struct rig *rig = rig_open(5);
    struct pd_kv_reader reader;
    char key[16];
    for (uint32_t i = 0; i < 4000; i++) {
        (void)snprintf(key, sizeof key, "k%05u", i);
        (void)put(rig, key, "v", 0, &reader);
    }
    assert_int_equal(remove_range(rig, "k", "l"), 4000);
    struct pd_kv_status status;
    pd_kv_status(rig->kv, &status);
    assert_int_equal(status.revision, 4002);
    assert_int_equal(status.key_count, 0);
    assert_int_equal(get(rig, "k00003", 0).version, 0);
    assert_int_equal(get(rig, "k00003", 4001).version, 1);
    restart(rig);
    rig_close(rig);
}

/* -- History ----------------------------------------------------------------------------------- */

static void write_all(struct rig *rig)
{
    for (int i = 0; i < 100; i++) {
        write_batch(rig);
    }
}

/* One page; what it took is in *fetches and *rounds. The caller ends the read. */
static uint32_t read_history(struct rig *rig, int64_t revision, size_t bytes_max,
                             struct pd_kv_history *history_out, uint32_t *fetches_out,
                             uint32_t *rounds_out)
{
    uint32_t read;
    uint32_t fetches = rig->fetches;
    uint32_t rounds = rig->rounds;
    assert_int_equal(pd_kv_read_history(rig->kv, revision, 0, bytes_max, &read), PD_OK);
    enum pd_kv_progress progress;
    while ((progress = pd_kv_read_step(rig->kv, read, 5)) != PD_KV_DONE) {
        pd_kv_check(rig->kv);
        if (progress == PD_KV_FETCH) {
            serve(rig);
        }
    }
    pd_kv_read_history_result(rig->kv, read, history_out);
    *fetches_out = rig->fetches - fetches;
    *rounds_out = rig->rounds - rounds;
    return read;
}

/* Half of the rows are in the store, half in memory: an event in the store costs one fetch, eight
 * of them at once, and one in memory none. Few fetches find where all of them are. */
static void history_costs_at_most_one_fetch_an_event(void **state)
{
    (void)state;
    enum {
        EVENTS = 300
    };
    struct rig *rig = rig_open(77);
    struct pd_kv_reader reader;
    char key[16];
    rig->lag = 1000000;
    for (int i = 0; i < EVENTS; i++) {
        (void)snprintf(key, sizeof key, "key%d", i);
        rig->is_still = i >= EVENTS / 2;
        assert_int_equal(put(rig, key, "v", 0, &reader).error, PD_KV_OK);
        if (i == EVENTS / 2 - 1) {
            write_all(rig);
        }
    }
    uint32_t read;
    for (uint64_t nth = 1; nth < 4; nth++) {
        pd_alloc_fail_nth(nth);
        assert_int_equal(pd_kv_read_history(rig->kv, 2, 0, 1 << 20, &read), PD_ERR_NO_MEMORY);
    }
    pd_alloc_fail_nth(0);
    struct pd_kv_history history;
    uint32_t fetches;
    uint32_t rounds;
    read = read_history(rig, 2, 1 << 20, &history, &fetches, &rounds);
    assert_int_equal(history.count, EVENTS);
    for (int i = 0; i < EVENTS; i++) {
        const struct pd_kv_event *event = &history.events[i];
        size_t size = (size_t)snprintf(key, sizeof key, "key%d", i);
        assert_int_equal(event->record.mod_revision, 2 + i);
        assert_int_equal(event->record.key.size, size);
        assert_memory_equal(event->record.key.bytes, key, size);
        assert_false(event->has_previous);
    }
    printf("%u events, half in memory: %u fetches in %u rounds\n", EVENTS, fetches, rounds);
    assert_in_range(fetches, EVENTS / 2, EVENTS / 2 + EVENTS / 8);
    assert_in_range(rounds, EVENTS / 16, EVENTS / 8);
    pd_kv_read_end(rig->kv, read);

    /* A page that is full knows what comes next: hardly anything is fetched for that alone. */
    for (int i = 0; i < 50; i++) {
        read = read_history(rig, 2 + i, 1, &history, &fetches, &rounds);
        assert_int_equal(history.count, 1);
        assert_int_equal(history.next_revision, 3 + i);
        assert_in_range(fetches, 2, 3);
        pd_kv_read_end(rig->kv, read);
    }
    rig_close(rig);
}

/* What an event replaced is mostly another event of the page: its bytes are there, and serve
 * both. */
static void what_was_replaced_is_taken_from_the_page(void **state)
{
    (void)state;
    enum {
        TIMES = 15
    };
    struct rig *rig = rig_open(78);
    struct pd_kv_reader reader;
    char key[16];
    for (int i = 0; i < KEYS * TIMES; i++) {
        (void)snprintf(key, sizeof key, "key%d", i % KEYS);
        assert_int_equal(put(rig, key, "value", 0, &reader).error, PD_KV_OK);
    }
    write_all(rig);
    struct pd_kv_history history;
    uint32_t fetches;
    uint32_t rounds;
    int64_t first = 2 + KEYS; /* the second version of the first key */
    uint32_t read = read_history(rig, first, 1 << 20, &history, &fetches, &rounds);
    assert_int_equal(history.count, KEYS * (TIMES - 1));
    for (uint32_t i = 0; i < history.count; i++) {
        assert_true(history.events[i].has_previous && history.events[i].previous_known);
        assert_int_equal(history.events[i].previous.mod_revision, first + i - KEYS);
        assert_int_equal(history.events[i].previous.value.size, 5);
    }
    /* The first of each key may need two, as pages here have one row now and then. */
    printf("%u events: %u fetches in %u rounds\n", history.count, fetches, rounds);
    assert_in_range(fetches, history.count / 2, history.count + KEYS + history.count / 8);
    pd_kv_read_end(rig->kv, read);
    rig_close(rig);
}

/* Events are begun before it is known how large those before them are: where all are large, few are
 * fetched in vain. */
static void large_values_are_not_fetched_in_vain(void **state)
{
    (void)state;
    enum {
        EVENTS = 40,
        VALUE = 2000
    };
    struct rig *rig = rig_open(79);
    struct pd_kv_reader reader;
    char key[16];
    static char value[VALUE + 1];
    memset(value, 'v', VALUE);
    for (int i = 0; i < EVENTS; i++) {
        (void)snprintf(key, sizeof key, "key%d", i);
        assert_int_equal(put(rig, key, value, 0, &reader).error, PD_KV_OK);
    }
    write_all(rig);
    struct pd_kv_history history = {.next_revision = 2};
    uint32_t all = 0;
    uint32_t events = 0;
    while (history.seen_revision == 0) {
        uint32_t fetches;
        uint32_t rounds;
        uint32_t read = read_history(rig, history.next_revision, 8192, &history, &fetches, &rounds);
        assert_in_range(history.count, 1, 5);
        events += history.count;
        all += fetches;
        pd_kv_read_end(rig->kv, read);
    }
    assert_int_equal(events, EVENTS);
    printf("%u large events: %u fetches\n", events, all);
    assert_in_range(all, EVENTS, 2 * EVENTS);
    rig_close(rig);
}

/* Whoever reads history needs none of the slots that clients' reads fill (seed 1419). */
static void history_has_room_beside_reads(void **state)
{
    (void)state;
    struct rig *rig = rig_open(80);
    struct pd_kv_reader reader;
    uint32_t read;
    assert_int_equal(put(rig, "k", "v", 0, &reader).error, PD_KV_OK);
    write_all(rig);
    const struct pd_kv_range range = {.key = text("a"), .range_end = text("z")};
    while (pd_kv_read_range(rig->kv, &range, &read) == PD_OK) {
    }
    struct pd_kv_history history;
    uint32_t fetches;
    uint32_t rounds;
    read = read_history(rig, 2, 1 << 16, &history, &fetches, &rounds);
    assert_int_equal(history.count, 1);
    for (uint32_t i = 1; i < pd_kv_config_default().histories_max; i++) {
        assert_int_equal(pd_kv_read_history(rig->kv, 2, 0, 1 << 16, &read), PD_OK);
    }
    assert_int_equal(pd_kv_read_history(rig->kv, 2, 0, 1 << 16, &read), PD_ERR_FULL);
    rig_close(rig);
}

/* A page of many keys costs what it gives, and not what lies behind it. */
static void a_page_that_is_not_counted_ends_at_its_limit(void **state)
{
    (void)state;
    enum {
        ALL_OF_THEM = 300,
        A_PAGE = 10
    };
    struct rig *rig = rig_open(82);
    struct pd_kv_reader reader;
    for (int i = 0; i < ALL_OF_THEM; i++) {
        char key[8];
        (void)snprintf(key, sizeof key, "k%04d", i);
        assert_int_equal(put(rig, key, "v", 0, &reader).error, PD_KV_OK);
    }
    write_all(rig);
    uint32_t fetches[2];
    for (int uncounted = 0; uncounted < 2; uncounted++) {
        const struct pd_kv_range range = {
            .key = text("k"), .range_end = text("l"), .limit = A_PAGE, .uncounted = uncounted != 0};
        uint32_t read;
        uint32_t before = rig->fetches;
        assert_int_equal(pd_kv_read_range(rig->kv, &range, &read), PD_OK);
        while (pd_kv_read_step(rig->kv, read, 9) != PD_KV_DONE) {
            serve(rig);
        }
        fetches[uncounted] = rig->fetches - before;
        struct pd_kv_answer_head head;
        struct pd_kv_record record;
        uint32_t given = 0;
        bool more = false;
        int64_t count = 0;
        pd_kv_reader_init(&reader, pd_kv_read_answer(rig->kv, read));
        pd_kv_answer_head(&reader, &head);
        assert_int_equal(head.error, PD_KV_OK);
        while (pd_kv_answer_record(&reader, &record)) {
            given++;
        }
        pd_kv_answer_range_tail(&reader, &more, &count);
        assert_true(pd_kv_answer_is_whole(&reader));
        assert_int_equal(given, A_PAGE);
        assert_true(more);
        assert_in_range(count, A_PAGE + 1, uncounted != 0 ? ALL_OF_THEM / 2 : ALL_OF_THEM);
        pd_kv_read_end(rig->kv, read);
    }
    assert_true(fetches[1] < fetches[0] / 4);
    rig_close(rig);
}

static struct pd_span put_envelope(const char *key, uint8_t *room, size_t room_max)
{
    uint8_t command[256];
    struct pd_kv_writer inner = {.bytes = command, .bytes_max = sizeof command};
    struct pd_kv_writer outer = {.bytes = room, .bytes_max = room_max};
    pd_kv_encode_put(&inner, &(struct pd_kv_put){.key = text(key), .value = text("new")});
    pd_kv_envelope_encode(&outer, &(struct pd_kv_envelope){.command = {inner.bytes, inner.size}});
    assert_false(inner.is_full || outer.is_full);
    return (struct pd_span){room, outer.size};
}

/* A command waits for its row; the row of the next one is named and comes meanwhile: it is not
 * fetched again. */
static void a_row_that_comes_while_a_command_waits_is_kept(void **state)
{
    (void)state;
    struct rig *rig = rig_open(81);
    struct pd_kv_reader reader;
    const char *const names[] = {"first", "second", "a", "b", "c", "d", "e", "f"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) { /* the cache has four places */
        assert_int_equal(put(rig, names[i], "v", 0, &reader).error, PD_KV_OK);
    }
    write_all(rig);
    uint8_t rooms[2][256];
    struct pd_span first = put_envelope("first", rooms[0], sizeof rooms[0]);
    struct pd_span second = put_envelope("second", rooms[1], sizeof rooms[1]);
    pd_kv_apply_begin(rig->kv, ++rig->index, 1, first);
    assert_int_equal(pd_kv_apply_step(rig->kv, 9), PD_KV_FETCH);
    struct pd_kv_fetch urgent;
    assert_true(pd_kv_next_fetch(rig->kv, &urgent));
    assert_true(urgent.is_urgent);
    pd_kv_prefetch(rig->kv, second);
    uint32_t fetches = rig->fetches;
    serve(rig);
    assert_int_equal(rig->fetches, fetches + 1);
    struct pd_store_page page = read_page(rig, &urgent);
    assert_int_equal(pd_kv_supply(rig->kv, urgent.id, &page), PD_OK);
    assert_int_equal(pd_kv_apply_step(rig->kv, 9), PD_KV_DONE);
    pd_kv_apply_begin(rig->kv, ++rig->index, 1, second);
    assert_int_equal(pd_kv_apply_step(rig->kv, 9), PD_KV_DONE);
    rig_close(rig);
}

/* What a store may know as one group is asked for by itself, from within it to its end. */
static void a_key_is_fetched_within_its_group(void **state)
{
    (void)state;
    struct rig *rig = rig_open(82);
    struct pd_kv_reader reader;
    const char *const names[] = {"first", "a", "b", "c", "d", "e", "f"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) { /* the cache has four places */
        assert_int_equal(put(rig, names[i], "v", 0, &reader).error, PD_KV_OK);
    }
    write_all(rig);
    uint8_t room[256];
    pd_kv_apply_begin(rig->kv, ++rig->index, 1, put_envelope("first", room, sizeof room));
    assert_int_equal(pd_kv_apply_step(rig->kv, 9), PD_KV_FETCH);
    struct pd_kv_fetch fetch;
    assert_true(pd_kv_next_fetch(rig->kv, &fetch));
    size_t size = pd_kv_row_group_size(fetch.low);
    assert_int_equal(size, 1 + strlen("first") + 2);
    assert_int_equal(fetch.high.size, size);
    assert_memory_equal(fetch.high.bytes, fetch.low.bytes, size - 1);
    assert_int_equal(fetch.high.bytes[size - 1], fetch.low.bytes[size - 1] + 1);
    struct pd_store_page page = read_page(rig, &fetch);
    assert_int_equal(pd_kv_supply(rig->kv, fetch.id, &page), PD_OK);
    assert_int_equal(pd_kv_apply_step(rig->kv, 9), PD_KV_DONE);
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_fetched_within_its_group),
        cmocka_unit_test(a_put_is_read_and_versions_count),
        cmocka_unit_test(a_lease_takes_its_keys_along_when_it_is_due),
        cmocka_unit_test(a_new_leader_extends_every_live_lease),
        cmocka_unit_test(a_read_tells_the_revision_that_it_saw),
        cmocka_unit_test(a_retry_gets_the_first_answer),
        cmocka_unit_test(a_txn_takes_one_branch_at_one_revision),
        cmocka_unit_test(random_commands_agree_with_an_array),
        cmocka_unit_test(a_new_key_costs_no_look_into_the_store),
        cmocka_unit_test(a_range_larger_than_the_overlay_is_deleted_in_parts),
        cmocka_unit_test(history_costs_at_most_one_fetch_an_event),
        cmocka_unit_test(what_was_replaced_is_taken_from_the_page),
        cmocka_unit_test(large_values_are_not_fetched_in_vain),
        cmocka_unit_test(history_has_room_beside_reads),
        cmocka_unit_test(a_row_that_comes_while_a_command_waits_is_kept),
        cmocka_unit_test(a_page_that_is_not_counted_ends_at_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
