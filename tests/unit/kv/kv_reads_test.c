/* What the answers of open reads hold together, counted in bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "kv_world.h"

enum {
    KEYS = 60,
    VALUE = 3000,
    READS = 12,
    READ_MAX = 1 << 18,
    SMALL = 8 * 1024
};

struct rig {
    struct chooser chooser;
    struct script script;
    struct world world;
    uint8_t room[8192];
    uint8_t inner[8192];
    uint64_t most; /* bytes held at once */
};

static struct pd_span text(const char *given)
{
    return pd_kv_span(given, strlen(given));
}

static void put(struct rig *rig, const char *key, struct pd_span value)
{
    struct pd_kv_op op = {.kind = PD_KV_OP_PUT, .as.put = {.key = text(key), .value = value}};
    const struct pd_kv_command command = {.kind = PD_KV_OPS, .ops = &op, .op_count = 1};
    struct pd_kv_writer inner = {.bytes = rig->inner, .bytes_max = sizeof rig->inner};
    pd_kv_command_encode(&inner, &command);
    struct pd_kv_writer outer = {.bytes = rig->room, .bytes_max = sizeof rig->room};
    pd_kv_envelope_encode(&outer, &(struct pd_kv_envelope){.command = {rig->inner, inner.size}});
    assert_false(inner.is_full || outer.is_full);
    script_add(&rig->script, pd_kv_span(rig->room, outer.size));
    world_catch_up(&rig->world);
}

static struct rig *rig_open(void)
{
    static uint8_t value[VALUE];
    struct rig *rig = calloc(1, sizeof *rig);
    struct pd_kv_config config = world_config();
    config.reads_max = 32;
    config.read_bytes_max = READ_MAX;
    config.reads_bytes_max = READ_MAX;
    config.small_read_bytes = SMALL;
    pd_random_init(&rig->chooser.random, 5, "reads");
    world_open(&rig->world, &config, &rig->script, &rig->chooser);
    for (uint32_t i = 0; i < KEYS; i++) {
        char key[8];
        (void)snprintf(key, sizeof key, "k%03u", i);
        put(rig, key, pd_kv_span(value, sizeof value));
    }
    return rig;
}

static void rig_close(struct rig *rig)
{
    struct pd_kv_status status;
    pd_kv_status(rig->world.kv, &status);
    assert_int_equal(status.reads_held, 0);
    world_close(&rig->world);
    script_clear(&rig->script);
    free(rig);
}

static uint32_t begin(struct rig *rig, int64_t limit, enum pd_kv_sort_order order)
{
    uint32_t read = 0;
    const struct pd_kv_range range = {
        .key = text("k"), .range_end = text("l"), .limit = limit, .sort_order = order};
    assert_int_equal(pd_kv_read_range(rig->world.kv, &range, &read), PD_OK);
    return read;
}

static void end(struct rig *rig, uint32_t read, uint32_t count)
{
    struct pd_kv_answer_head head;
    struct pd_kv_record record;
    struct pd_kv_reader reader;
    pd_kv_reader_init(&reader, pd_kv_read_answer(rig->world.kv, read));
    pd_kv_answer_head(&reader, &head);
    assert_int_equal(head.error, PD_KV_OK);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(pd_kv_answer_record(&reader, &record));
        assert_int_equal(record.value.size, VALUE);
    }
    assert_false(pd_kv_answer_record(&reader, &record));
    pd_kv_read_end(rig->world.kv, read);
}

static uint64_t held(struct rig *rig)
{
    struct pd_kv_status status;
    pd_kv_check(rig->world.kv);
    pd_kv_status(rig->world.kv, &status);
    rig->most = status.reads_held > rig->most ? status.reads_held : rig->most;
    return status.reads_held;
}

/* READS reads of everything, as a replica steps them: those that are turned away stand in line.
 *  */
static void read_all(struct rig *rig, enum pd_kv_sort_order order)
{
    struct pd_kv *kv = rig->world.kv;
    uint32_t reads[READS];
    bool in_line[READS] = {false};
    bool is_done[READS] = {false};
    uint32_t done = 0;
    uint32_t waiting = 0;
    for (uint32_t i = 0; i < READS; i++) {
        reads[i] = begin(rig, 0, order);
    }
    for (uint32_t round = 0; done < READS; round++) {
        assert_in_range(round, 0, 20000);
        for (uint32_t i = 0; i < READS; i++) {
            if (in_line[i] && pd_kv_reads_have_room(kv)) {
                reads[i] = begin(rig, 0, order);
                pd_kv_read_admit(kv, reads[i]);
                in_line[i] = false;
                waiting--;
            }
            pd_kv_reads_line(kv, waiting > 0);
            if (is_done[i] || in_line[i]) {
                continue;
            }
            enum pd_kv_progress progress = pd_kv_read_step(kv, reads[i], 3);
            if (progress == PD_KV_DONE) {
                (void)held(rig);
                end(rig, reads[i], KEYS);
                is_done[i] = true;
                done++;
            } else if (progress == PD_KV_FULL && pd_kv_read_is_turned_away(kv, reads[i])) {
                pd_kv_read_end(kv, reads[i]);
                in_line[i] = true;
                waiting++;
            }
        }
        world_turn(&rig->world, true);
        /* All that is held, but for what the first one may have beyond the rest. */
        assert_in_range(held(rig), 0, 2 * READ_MAX);
    }
}

static void reads_together_hold_no_more_than_they_may(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    read_all(rig, PD_KV_SORT_NONE);
    assert_in_range(rig->most, KEYS * VALUE, 2 * READ_MAX);
    rig_close(rig);
}

/* Twice the bytes, to be put in order. */
static void sorted_reads_wait_likewise(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    pd_kv_reads_away(rig->world.kv, READ_MAX, 0);
    uint32_t read = begin(rig, 30, PD_KV_SORT_DESCEND);
    for (uint32_t i = 0; i < 200; i++) {
        assert_int_not_equal(pd_kv_read_step(rig->world.kv, read, 3), PD_KV_DONE);
        world_turn(&rig->world, true);
        assert_in_range(held(rig), 0, SMALL);
    }
    pd_kv_reads_away(rig->world.kv, 0, 0);
    (void)world_read(&rig->world, read);
    assert_in_range(held(rig), 2 * 30 * VALUE, 2 * READ_MAX);
    end(rig, read, 30);
    rig_close(rig);
}

/* Answers that wait for their clients have all the room. */
static void small_reads_pass_large_ones_that_wait(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    struct pd_kv *kv = rig->world.kv;
    pd_kv_reads_away(kv, READ_MAX, 0);
    uint32_t large = begin(rig, 0, PD_KV_SORT_NONE);
    while (pd_kv_read_step(kv, large, 3) != PD_KV_FULL) {
        world_turn(&rig->world, true);
    }
    assert_true(pd_kv_read_is_turned_away(kv, large));
    assert_false(pd_kv_reads_have_room(kv));
    assert_in_range(held(rig), 0, SMALL);
    uint32_t small = begin(rig, 2, PD_KV_SORT_NONE);
    (void)world_read(&rig->world, small);
    end(rig, small, 2);
    assert_int_equal(pd_kv_read_step(kv, large, 3), PD_KV_FULL);
    pd_kv_reads_away(kv, 0, 0);
    assert_true(pd_kv_reads_have_room(kv));
    pd_kv_reads_line(kv, true); /* others were there before it */
    assert_int_equal(pd_kv_read_step(kv, large, 3), PD_KV_FULL);
    pd_kv_reads_line(kv, false);
    (void)world_read(&rig->world, large);
    end(rig, large, KEYS);
    rig_close(rig);
}

static void an_admitted_read_waits_with_what_it_has(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    struct pd_kv *kv = rig->world.kv;
    uint32_t first = begin(rig, 0, PD_KV_SORT_NONE);
    pd_kv_read_admit(kv, first);
    pd_kv_reads_away(kv, READ_MAX, 0);
    assert_false(pd_kv_reads_have_room(kv));
    while (pd_kv_read_step(kv, first, 3) != PD_KV_FULL) {
        world_turn(&rig->world, true);
    }
    assert_false(pd_kv_read_is_turned_away(kv, first)); /* it keeps what it has */
    pd_kv_reads_away(kv, 0, 0);
    (void)world_read(&rig->world, first);
    end(rig, first, KEYS);
    rig_close(rig);
}

/* One connection that takes nothing keeps nobody else from reading. */
static void what_clients_do_not_take_holds_up_no_first_read(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    struct pd_kv *kv = rig->world.kv;
    pd_kv_reads_away(kv, 2 * READ_MAX, 2 * READ_MAX);
    assert_true(pd_kv_reads_have_room(kv));
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t large = begin(rig, 0, PD_KV_SORT_NONE);
        (void)world_read(&rig->world, large);
        end(rig, large, KEYS);
    }
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_together_hold_no_more_than_they_may),
        cmocka_unit_test(sorted_reads_wait_likewise),
        cmocka_unit_test(small_reads_pass_large_ones_that_wait),
        cmocka_unit_test(an_admitted_read_waits_with_what_it_has),
        cmocka_unit_test(what_clients_do_not_take_holds_up_no_first_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
