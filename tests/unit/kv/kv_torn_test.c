/* A crash in the middle of a command, at every place where a batch ends: replayed, the command
 * comes to the same state, answer and hashes as without a crash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/sometimes.h"
#include "kv_world.h"
#include "support/effort.h"

#define KEYS 700u

struct rig {
    struct chooser chooser;
    struct script script;
    struct model *model;
    struct world calm;
    struct world torn;
    uint64_t now_ns;
    uint8_t room[65536];
    uint8_t inner[65536];
};

static struct pd_kv_config config(void)
{
    struct pd_kv_config config = world_config();
    config.writes_max = 16;
    return config;
}

static struct rig *rig_open(void)
{
    struct rig *rig = calloc(1, sizeof *rig);
    struct pd_kv_config c = config();
    pd_random_init(&rig->chooser.random, 7, "torn");
    rig->model = model_open(&c);
    world_open(&rig->calm, &c, &rig->script, &rig->chooser);
    world_open(&rig->torn, &c, &rig->script, &rig->chooser);
    rig->torn.lag = 1;
    rig->torn.page_rows = 200;
    rig->calm.page_rows = 200;
    return rig;
}

static void rig_close(struct rig *rig)
{
    world_close(&rig->calm);
    world_close(&rig->torn);
    model_close(rig->model);
    script_clear(&rig->script);
    free(rig);
}

static void say(struct rig *rig, const struct pd_kv_command *command, uint64_t session,
                uint64_t sequence)
{
    struct pd_kv_writer inner = {.bytes = rig->inner, .bytes_max = sizeof rig->inner};
    pd_kv_command_encode(&inner, command);
    struct pd_kv_writer outer = {.bytes = rig->room, .bytes_max = sizeof rig->room};
    struct pd_kv_envelope envelope = {.state_time_ns = rig->now_ns,
                                      .session_id = session,
                                      .sequence = sequence,
                                      .low = sequence,
                                      .command = {rig->inner, inner.size}};
    pd_kv_envelope_encode(&outer, &envelope);
    model_check(!inner.is_full && !outer.is_full);
    script_add(&rig->script, pd_kv_span(rig->room, outer.size));
    model_apply(rig->model, rig->script.count, pd_kv_span(rig->room, outer.size));
}

static void say_op(struct rig *rig, struct pd_kv_op op)
{
    say(rig, &(struct pd_kv_command){.kind = PD_KV_OPS, .ops = &op, .op_count = 1}, 0, 0);
}

/* Many keys of lease 1, each written twice, and a few of lease 2. Without values, so that the
 * overlay is full before an answer of them all is. */
static void fill(struct rig *rig)
{
    struct pd_kv_op ops[17];
    char names[16][16];
    for (int64_t id = 1; id <= 20; id++) {
        say(rig, &(struct pd_kv_command){.kind = PD_KV_LEASE_GRANT, .id = id, .ttl_s = 10 * id}, 0,
            0);
    }
    ops[0] = (struct pd_kv_op){.kind = PD_KV_OP_TXN, .as.txn = {.then_count = 16}};
    for (uint32_t i = 0; i < 2 * KEYS; i += 16) {
        for (uint32_t k = 0; k < 16; k++) {
            (void)snprintf(names[k], sizeof names[k], "k%04u", (i + k) % KEYS);
            ops[1 + k] = (struct pd_kv_op){.kind = PD_KV_OP_PUT,
                                           .as.put = {.key = pd_kv_span(names[k], strlen(names[k])),
                                                      .lease = (i + k) % 50 == 0 ? 2 : 1}};
        }
        say(rig, &(struct pd_kv_command){.kind = PD_KV_OPS, .ops = ops, .op_count = 17}, 0, 0);
    }
}

static void compare(struct rig *rig)
{
    world_compare_status(&rig->torn, rig->model);
    world_compare_twins(&rig->calm, &rig->torn);
    for (int64_t id = 1; id <= 3; id++) {
        world_compare_lease(&rig->torn, rig->model, id);
    }
    struct pd_kv_range all = {.key = pd_kv_span("\0", 1), .range_end = pd_kv_span("\0", 1)};
    world_compare_range(&rig->torn, rig->model, &all);
    all.revision = rig->model->revision - 1;
    world_compare_range(&rig->torn, rig->model, &all);
    world_verify(&rig->torn);
}

/* One command, without and with a crash after 1, 2, ... batches (under a sanitizer: after some of
 * them), and another crash on the way back. The commands that follow see its effect. */
static void tear(struct rig *rig, const struct pd_kv_command *command, uint64_t session,
                 uint32_t batches_min)
{
    world_catch_up(&rig->calm);
    world_catch_up(&rig->torn);
    world_drain(&rig->torn);
    model_check(rig->torn.store->ops->flush(rig->torn.store) == PD_OK);
    rig->torn.keeps_durable = true;
    say(rig, command, session, 1);
    uint64_t index = rig->script.count;
    uint8_t *answer = malloc(rig->model->answer_size);
    size_t answer_size = rig->model->answer_size;
    memcpy(answer, rig->model->answer, answer_size);
    say_op(rig, (struct pd_kv_op){.kind = PD_KV_OP_PUT,
                                  .as.put = {.key = pd_kv_span("k0003", 5), .prev_kv = true}});
    say_op(rig, (struct pd_kv_op){.kind = PD_KV_OP_PUT, .as.put = {.key = pd_kv_span("new", 3)}});
    world_catch_up(&rig->calm);
    bool has_ended = false;
    uint32_t batches = 0;
    while (!has_ended) {
        model_check(pd_store_memory_crash(rig->torn.store, NULL) == PD_OK);
        world_restart(&rig->torn);
        batches += batches < 3 ? 1 : PD_TEST_EFFORT(1, 7);
        rig->torn.batches_max = batches;
        has_ended = world_apply_one(&rig->torn, index);
        if (has_ended) {
            world_drain(&rig->torn);
            has_ended = !rig->torn.has_crashed;
        }
        if (!has_ended) {
            world_restart(&rig->torn);
            rig->torn.batches_max = 1 + batches % 7;
            if (world_applied(&rig->torn) < index && !world_apply_one(&rig->torn, index)) {
                world_restart(&rig->torn);
            }
            rig->torn.batches_max = 0;
            if (world_applied(&rig->torn) < index) {
                model_check(world_apply_one(&rig->torn, index));
            }
        }
        rig->torn.batches_max = 0;
        rig->torn.has_crashed = false;
        struct pd_kv_applied applied;
        pd_kv_applied(rig->torn.kv, &applied);
        model_check(applied.index != index ||
                    (applied.answer.size == answer_size &&
                     memcmp(applied.answer.bytes, answer, answer_size) == 0));
        world_catch_up(&rig->torn);
        compare(rig);
    }
    print_message("crashed after up to %u batches\n", batches - 1);
    assert_true(batches > batches_min);
    rig->torn.keeps_durable = false;
    free(answer);
}

static void a_torn_deletion_of_many_keys(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    fill(rig);
    struct pd_kv_op op = {
        .kind = PD_KV_OP_DELETE,
        .as.delete_range = {.key = pd_kv_span("k", 1), .range_end = pd_kv_span("l", 1)}};
    tear(rig, &(struct pd_kv_command){.kind = PD_KV_OPS, .ops = &op, .op_count = 1}, 0, 40);
    rig_close(rig);
}

static void a_torn_deletion_whose_answer_is_too_large(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    fill(rig);
    struct pd_kv_op op = {.kind = PD_KV_OP_DELETE,
                          .as.delete_range = {.key = pd_kv_span("k", 1),
                                              .range_end = pd_kv_span("l", 1),
                                              .prev_kv = true}};
    uint64_t before = pd_sometimes_hits[PD_SOMETIMES_KV_UNDONE];
    tear(rig, &(struct pd_kv_command){.kind = PD_KV_OPS, .ops = &op, .op_count = 1}, 0, 40);
    assert_true(pd_sometimes_hits[PD_SOMETIMES_KV_UNDONE] > before);
    assert_int_equal(rig->model->version_count, 2 * KEYS + (16 - 2 * KEYS % 16) % 16 + 2);
    rig_close(rig);
}

static void a_torn_revoke_of_many_keys(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    fill(rig);
    tear(rig, &(struct pd_kv_command){.kind = PD_KV_LEASE_REVOKE, .id = 1}, 0, 40);
    /* The same id again: nothing of the old one is attached to it. */
    say(rig, &(struct pd_kv_command){.kind = PD_KV_LEASE_GRANT, .id = 1, .ttl_s = 50}, 0, 0);
    say_op(rig, (struct pd_kv_op){.kind = PD_KV_OP_PUT,
                                  .as.put = {.key = pd_kv_span("k0001", 5), .lease = 1}});
    world_catch_up(&rig->calm);
    world_catch_up(&rig->torn);
    compare(rig);
    rig_close(rig);
}

/* Its rows are more than a batch: those that have no revision must not go before the last. */
static void a_torn_txn_in_a_session(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    fill(rig);
    say(rig, &(struct pd_kv_command){.kind = PD_KV_SESSION_OPEN, .duration_ns = MODEL_SECOND}, 0,
        0);
    uint64_t session = rig->script.count;
    struct pd_kv_op ops[17];
    char names[16][16];
    ops[0] = (struct pd_kv_op){.kind = PD_KV_OP_TXN, .as.txn = {.then_count = 16}};
    for (uint32_t k = 0; k < 16; k++) {
        (void)snprintf(names[k], sizeof names[k], "k%04u", 7 * k);
        ops[1 + k] = (struct pd_kv_op){.kind = PD_KV_OP_PUT,
                                       .as.put = {.key = pd_kv_span(names[k], strlen(names[k])),
                                                  .lease = k % 4,
                                                  .prev_kv = true}};
    }
    tear(rig, &(struct pd_kv_command){.kind = PD_KV_OPS, .ops = ops, .op_count = 17}, session, 2);
    rig_close(rig);
}

/* A read beside a command that has written half of its rows to the store. */
static void nothing_shows_of_an_unfinished_command(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    fill(rig);
    world_catch_up(&rig->torn);
    world_drain(&rig->torn);
    struct pd_kv_op op = {
        .kind = PD_KV_OP_DELETE,
        .as.delete_range = {.key = pd_kv_span("k", 1), .range_end = pd_kv_span("l", 1)}};
    struct pd_kv_range all = {.key = pd_kv_span("k", 1), .range_end = pd_kv_span("l", 1)};
    struct pd_kv_range one = {.key = pd_kv_span("k0000", 5)};
    struct pd_kv_writer inner = {.bytes = rig->inner, .bytes_max = sizeof rig->inner};
    pd_kv_command_encode(&inner,
                         &(struct pd_kv_command){.kind = PD_KV_OPS, .ops = &op, .op_count = 1});
    struct pd_kv_writer outer = {.bytes = rig->room, .bytes_max = sizeof rig->room};
    pd_kv_envelope_encode(&outer, &(struct pd_kv_envelope){.command = {rig->inner, inner.size}});
    script_add(&rig->script, pd_kv_span(rig->room, outer.size));
    rig->torn.batches_max = 20;
    assert_false(world_apply_one(&rig->torn, rig->script.count));
    rig->torn.has_crashed = false; /* it goes on */
    rig->torn.batches_max = 0;
    assert_true(world_applied(&rig->torn) < rig->script.count);
    world_compare_range(&rig->torn, rig->model, &all);
    world_compare_range(&rig->torn, rig->model, &one);
    world_compare_history(&rig->torn, rig->model, rig->model->revision - 2);
    uint8_t bytes[64];
    struct pd_kv_record record;
    assert_int_not_equal(pd_kv_get_hot(rig->torn.kv, one.key, bytes, sizeof bytes, &record),
                         PD_ERR_UNKNOWN);
    model_apply(rig->model, rig->script.count, pd_kv_span(rig->room, outer.size));
    while (pd_kv_apply_step(rig->torn.kv, 8) != PD_KV_DONE) {
        world_turn(&rig->torn, true);
    }
    world_compare_range(&rig->torn, rig->model, &all);
    rig_close(rig);
}

static void torn_commands_without_records(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    fill(rig);
    for (uint32_t i = 0; i < 4; i++) {
        say(rig, &(struct pd_kv_command){.kind = PD_KV_SESSION_OPEN, .duration_ns = MODEL_SECOND},
            0, 0);
    }
    uint64_t session = rig->script.count;
    rig->now_ns = 5 * MODEL_SECOND;
    tear(rig, &(struct pd_kv_command){.kind = PD_KV_LEASES_EXTEND}, 0, 0);
    assert_int_equal(pd_kv_next_deadline_ns(rig->torn.kv), 6 * MODEL_SECOND);
    tear(rig, &(struct pd_kv_command){.kind = PD_KV_NOOP}, session, 0);
    tear(rig, &(struct pd_kv_command){.kind = PD_KV_SESSION_CLOSE, .id = (int64_t)session}, 0, 0);
    tear(rig, &(struct pd_kv_command){.kind = PD_KV_LEASE_KEEPALIVE, .id = 2}, 0, 0);
    tear(rig, &(struct pd_kv_command){.kind = PD_KV_COMPACT, .revision = 40}, 0, 0);
    rig_close(rig);
}

int main(void)
{
    static uint64_t hits[PD_SOMETIMES_COUNT];
    pd_sometimes_hits = hits;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_torn_deletion_of_many_keys),
        cmocka_unit_test(a_torn_deletion_whose_answer_is_too_large),
        cmocka_unit_test(a_torn_revoke_of_many_keys),
        cmocka_unit_test(a_torn_txn_in_a_session),
        cmocka_unit_test(nothing_shows_of_an_unfinished_command),
        cmocka_unit_test(torn_commands_without_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
