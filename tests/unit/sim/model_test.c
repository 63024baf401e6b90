/* The model of the store, and the judging of answers against it: it must notice what is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "sim/model.h"
#include "sim/operation.h"

#define SECOND UINT64_C(1000000000)

struct rig {
    struct pd_sim_model model;
    uint64_t index;
    uint64_t now_ns;
};

static void rig_open(struct rig *rig)
{
    struct pd_kv_config config = pd_kv_config_default();
    memset(rig, 0, sizeof *rig);
    pd_sim_model_init(&rig->model, &config);
}

static bool give_command(struct rig *rig, struct pd_span command, uint64_t session,
                         uint64_t sequence)
{
    uint8_t bytes[2048];
    struct pd_kv_writer writer = {.bytes = bytes, .bytes_max = sizeof bytes};
    pd_kv_envelope_encode(&writer, &(struct pd_kv_envelope){.state_time_ns = rig->now_ns,
                                                            .session_id = session,
                                                            .sequence = sequence,
                                                            .low = sequence,
                                                            .command = command});
    const struct pd_raft_entry entry = {
        .index = ++rig->index, .term = 1, .data = {bytes, writer.size}};
    return pd_sim_model_apply(&rig->model, &entry);
}

/* As a client sends it. */
static bool give(struct rig *rig, const struct pd_sim_operation *operation)
{
    uint8_t bytes[PD_SIM_REQUEST_BYTES_MAX];
    size_t size = pd_sim_operation_encode(operation, bytes);
    return give_command(
        rig,
        (struct pd_span){bytes + PD_REPLICA_REQUEST_HEAD_SIZE, size - PD_REPLICA_REQUEST_HEAD_SIZE},
        operation->session, operation->sequence);
}

static bool expire(struct rig *rig, int64_t lease)
{
    uint8_t bytes[64];
    struct pd_kv_writer writer = {.bytes = bytes, .bytes_max = sizeof bytes};
    pd_kv_command_encode(&writer, &(struct pd_kv_command){.kind = PD_KV_LEASE_EXPIRE, .id = lease});
    return give_command(rig, (struct pd_span){bytes, writer.size}, 0, 0);
}

static void open_session(struct rig *rig)
{
    const struct pd_sim_operation open = {.op = PD_SIM_OPEN, .duration_ns = 10 * SECOND};
    assert_true(give(rig, &open));
}

static void a_retry_is_answered_and_not_applied(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    open_session(&rig);
    const struct pd_sim_operation put = {
        .op = PD_SIM_WRITE, .session = 1, .sequence = 1, .key = 3, .value = 7};
    assert_true(give(&rig, &put));
    const struct pd_sim_outcome *outcome = pd_sim_model_outcome(&rig.model, 1, 1);
    assert_non_null(outcome);
    assert_true(outcome->has_written);
    assert_int_equal(outcome->revision, 2);
    assert_true(give(&rig, &put));
    assert_int_equal(rig.model.now.revision, 2);
    assert_int_equal(rig.model.repeats, 1);
    pd_sim_model_deinit(&rig.model);
}

/* A retry that has lost its session on the way. */
static void a_value_that_is_written_twice_is_noticed(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    const struct pd_sim_operation put = {.op = PD_SIM_WRITE, .key = 3, .value = 7};
    assert_true(give(&rig, &put));
    assert_false(give(&rig, &put));
    assert_non_null(strstr(rig.model.text, "written twice"));
    pd_sim_model_deinit(&rig.model);
}

static void a_lease_ends_by_state_time_and_takes_its_keys(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    const struct pd_sim_operation grant = {.op = PD_SIM_GRANT, .lease = 9, .ttl_s = 5};
    assert_true(give(&rig, &grant));
    for (uint32_t key = 0; key < 2; key++) {
        const struct pd_sim_operation put = {
            .op = PD_SIM_ATTACH, .key = key, .value = 1 + 2 * (uint64_t)key, .lease = 9};
        assert_true(give(&rig, &put));
    }
    rig.now_ns = 5 * SECOND - 1;
    assert_true(expire(&rig, 9));
    assert_int_equal(rig.model.now.lease_count, 1);
    assert_int_equal(rig.model.now.key_count, 2);
    rig.now_ns = 5 * SECOND;
    assert_true(expire(&rig, 9));
    assert_int_equal(rig.model.now.lease_count, 0);
    assert_int_equal(rig.model.now.key_count, 0);
    assert_int_equal(rig.model.now.revision, 4);
    assert_null(pd_sim_model_version(&rig.model, 1, 4));
    assert_int_equal(pd_sim_model_version(&rig.model, 1, 3)->value, 3);
    assert_int_equal(pd_sim_model_at(&rig.model, 3)->key_count, 2);
    pd_sim_model_deinit(&rig.model);
}

static void a_value_shows_any_changed_byte(void **state)
{
    (void)state;
    for (uint64_t number = 1; number < 300; number++) {
        struct pd_sim_value value;
        uint64_t parsed = 0;
        pd_sim_value_make(number, &value);
        assert_true(pd_sim_value_parse(pd_sim_value_span(&value), &parsed));
        assert_int_equal(parsed, number);
        if (value.size > 8) {
            value.bytes[8 + number % (value.size - 8)] ^= 1;
            assert_false(pd_sim_value_parse(pd_sim_value_span(&value), &parsed));
        }
    }
    uint32_t key = 0;
    assert_false(pd_sim_key_parse((struct pd_span){(const uint8_t *)"k3", 2}, &key));
    assert_true(pd_sim_key_parse((struct pd_span){(const uint8_t *)"k31", 3}, &key));
    assert_int_equal(key, 31);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_retry_is_answered_and_not_applied),
        cmocka_unit_test(a_value_that_is_written_twice_is_noticed),
        cmocka_unit_test(a_lease_ends_by_state_time_and_takes_its_keys),
        cmocka_unit_test(a_value_shows_any_changed_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
