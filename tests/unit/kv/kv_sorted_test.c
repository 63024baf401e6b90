/* Sorted ranges of which little is asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "kv_world.h"

struct rig {
    struct chooser chooser;
    struct script script;
    struct world world;
    uint8_t room[8192];
    uint8_t inner[8192];
};

static struct rig *rig_open(void)
{
    struct rig *rig = calloc(1, sizeof *rig);
    struct pd_kv_config config = world_config();
    pd_random_init(&rig->chooser.random, 5, "sorted");
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

static void put(struct rig *rig, const char *key, const char *value)
{
    struct pd_kv_op op = {.kind = PD_KV_OP_PUT, .as.put = {.key = text(key), .value = text(value)}};
    const struct pd_kv_command command = {.kind = PD_KV_OPS, .ops = &op, .op_count = 1};
    struct pd_kv_writer inner = {.bytes = rig->inner, .bytes_max = sizeof rig->inner};
    pd_kv_command_encode(&inner, &command);
    struct pd_kv_writer outer = {.bytes = rig->room, .bytes_max = sizeof rig->room};
    pd_kv_envelope_encode(&outer, &(struct pd_kv_envelope){.command = {rig->inner, inner.size}});
    assert_false(inner.is_full || outer.is_full);
    script_add(&rig->script, pd_kv_span(rig->room, outer.size));
    world_catch_up(&rig->world);
}

enum {
    BEST_KEYS = 200,
    BEST_VALUE = 3000,
    BEST_STEP = 37 /* of the values' order beside the keys' */
};

/* What a range of them all gives, in order: the numbers of the keys. */
static void best_are(struct rig *rig, struct pd_kv_range range, const uint32_t *numbers,
                     uint32_t count)
{
    uint32_t read;
    struct pd_kv_answer_head head;
    struct pd_kv_record record;
    struct pd_kv_reader reader;
    bool more = false;
    int64_t all = 0;
    range.key = text("k");
    range.range_end = text("l");
    assert_int_equal(pd_kv_read_range(rig->world.kv, &range, &read), PD_OK);
    pd_kv_reader_init(&reader, world_read(&rig->world, read));
    pd_kv_answer_head(&reader, &head);
    assert_int_equal(head.error, PD_KV_OK);
    for (uint32_t i = 0; i < count; i++) {
        char key[8];
        char value[8];
        (void)snprintf(key, sizeof key, "k%04u", numbers[i]);
        (void)snprintf(value, sizeof value, "%04u", numbers[i] * BEST_STEP % BEST_KEYS);
        assert_true(pd_kv_answer_record(&reader, &record));
        assert_int_equal(record.key.size, 5);
        assert_memory_equal(record.key.bytes, key, 5);
        assert_int_equal(record.value.size, range.keys_only ? 0 : BEST_VALUE);
        assert_true(range.keys_only || memcmp(record.value.bytes, value, 4) == 0);
    }
    assert_false(pd_kv_answer_record(&reader, &record));
    pd_kv_answer_range_tail(&reader, &more, &all);
    assert_true(pd_kv_answer_is_whole(&reader));
    assert_int_equal(more, count < BEST_KEYS);
    assert_int_equal(all, BEST_KEYS);
    pd_kv_read_end(rig->world.kv, read);
}

/* What is sorted has more than twice the bytes that an answer has room for; what is asked for of
 * it does not. */
static void the_best_of_much_is_found_in_little_room(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    static char value[BEST_VALUE + 1];
    uint32_t ascending[BEST_KEYS];
    uint32_t descending[BEST_KEYS];
    uint32_t by_value[BEST_KEYS];
    for (uint32_t i = 0; i < BEST_KEYS; i++) {
        char key[8];
        (void)snprintf(key, sizeof key, "k%04u", i);
        memset(value, 'v', BEST_VALUE);
        char digits[8];
        (void)snprintf(digits, sizeof digits, "%04u", i * BEST_STEP % BEST_KEYS);
        memcpy(value, digits, 4);
        put(rig, key, value);
        ascending[i] = i;
        descending[BEST_KEYS - 1 - i] = i;
        by_value[i * BEST_STEP % BEST_KEYS] = i;
    }
    best_are(rig,
             (struct pd_kv_range){
                 .sort_target = PD_KV_SORT_MOD, .sort_order = PD_KV_SORT_DESCEND, .limit = 1},
             descending, 1);
    best_are(rig,
             (struct pd_kv_range){
                 .sort_target = PD_KV_SORT_MOD, .sort_order = PD_KV_SORT_DESCEND, .limit = 30},
             descending, 30);
    best_are(rig,
             (struct pd_kv_range){
                 .sort_target = PD_KV_SORT_CREATE, .sort_order = PD_KV_SORT_ASCEND, .limit = 3},
             ascending, 3);
    best_are(rig,
             (struct pd_kv_range){
                 .sort_target = PD_KV_SORT_VALUE, .sort_order = PD_KV_SORT_ASCEND, .limit = 9},
             by_value, 9);
    best_are(rig,
             (struct pd_kv_range){.sort_target = PD_KV_SORT_VALUE,
                                  .sort_order = PD_KV_SORT_ASCEND,
                                  .limit = 9,
                                  .keys_only = true},
             by_value, 9);
    best_are(rig, (struct pd_kv_range){.sort_order = PD_KV_SORT_DESCEND, .keys_only = true},
             descending, BEST_KEYS);
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_of_much_is_found_in_little_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
