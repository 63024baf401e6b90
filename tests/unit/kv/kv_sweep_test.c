/* Removal of compacted rows: space comes back, and no read that is allowed sees a difference. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kv_world.h"

#define OVERWRITES 10000u

struct rig {
    struct chooser chooser;
    struct script script;
    struct model *model;
    struct world world;
    uint8_t room[8192];
    uint8_t inner[8192];
};

static struct rig *rig_open(void)
{
    struct rig *rig = calloc(1, sizeof *rig);
    struct pd_kv_config config = world_config();
    pd_random_init(&rig->chooser.random, 11, "sweep");
    rig->model = model_open(&config);
    world_open(&rig->world, &config, &rig->script, &rig->chooser);
    rig->world.page_rows = 50;
    return rig;
}

static void rig_close(struct rig *rig)
{
    world_close(&rig->world);
    model_close(rig->model);
    script_clear(&rig->script);
    free(rig);
}

static enum pd_kv_error say(struct rig *rig, const struct pd_kv_command *command)
{
    struct pd_kv_writer inner = {.bytes = rig->inner, .bytes_max = sizeof rig->inner};
    pd_kv_command_encode(&inner, command);
    struct pd_kv_writer outer = {.bytes = rig->room, .bytes_max = sizeof rig->room};
    pd_kv_envelope_encode(&outer, &(struct pd_kv_envelope){.command = {rig->inner, inner.size}});
    script_add(&rig->script, pd_kv_span(rig->room, outer.size));
    model_apply(rig->model, rig->script.count, pd_kv_span(rig->room, outer.size));
    world_catch_up(&rig->world);
    world_compare_answer(&rig->world, rig->model);
    struct pd_kv_reader reader;
    struct pd_kv_answer_head head;
    pd_kv_reader_init(&reader, pd_kv_span(rig->model->answer, rig->model->answer_size));
    pd_kv_answer_head(&reader, &head);
    return head.error;
}

static void put(struct rig *rig, const char *key, const char *value)
{
    struct pd_kv_op op = {
        .kind = PD_KV_OP_PUT,
        .as.put = {.key = pd_kv_span(key, strlen(key)), .value = pd_kv_span(value, strlen(value))}};
    assert_int_equal(
        say(rig, &(struct pd_kv_command){.kind = PD_KV_OPS, .ops = &op, .op_count = 1}), PD_KV_OK);
}

static void drop(struct rig *rig, const char *key)
{
    struct pd_kv_op op = {.kind = PD_KV_OP_DELETE,
                          .as.delete_range = {.key = pd_kv_span(key, strlen(key))}};
    assert_int_equal(
        say(rig, &(struct pd_kv_command){.kind = PD_KV_OPS, .ops = &op, .op_count = 1}), PD_KV_OK);
}

static enum pd_kv_error compact(struct rig *rig, int64_t revision)
{
    return say(rig, &(struct pd_kv_command){.kind = PD_KV_COMPACT, .revision = revision});
}

/* All background work that there is. */
static void settle(struct rig *rig)
{
    for (;;) {
        world_drain(&rig->world);
        enum pd_kv_progress progress = pd_kv_background_step(rig->world.kv, 100);
        world_turn(&rig->world, true);
        struct pd_kv_status status;
        pd_kv_status(rig->world.kv, &status);
        if (progress == PD_KV_DONE && status.compact_done == status.compacted_revision) {
            world_drain(&rig->world);
            return;
        }
    }
}

static size_t rows(const struct rig *rig)
{
    return pd_store_memory_row_count(rig->world.store);
}

/* What every revision that may be read shows, and every watch that may begin. */
static void compare(struct rig *rig)
{
    struct pd_kv_range all = {.key = pd_kv_span("\0", 1), .range_end = pd_kv_span("\0", 1)};
    for (all.revision = 1; all.revision <= rig->model->revision; all.revision++) {
        world_compare_range(&rig->world, rig->model, &all);
        world_compare_history(&rig->world, rig->model, all.revision);
    }
    world_verify(&rig->world);
}

static void space_comes_back(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    for (uint32_t i = 0; i < OVERWRITES; i++) {
        put(rig, "key", "a value");
    }
    struct pd_kv_status before;
    struct pd_kv_status after;
    world_drain(&rig->world);
    assert_int_equal(rows(rig), 2 * OVERWRITES + 1);
    pd_kv_status(rig->world.kv, &before);
    assert_int_equal(compact(rig, rig->model->revision), PD_KV_OK);
    settle(rig);
    pd_kv_status(rig->world.kv, &after);
    assert_int_equal(before.set_hash.low, after.set_hash.low);
    assert_int_equal(before.set_hash.high, after.set_hash.high);
    assert_int_equal(after.compact_done, after.compacted_revision);
    assert_int_equal(rows(rig), 4); /* the version, its trace, what is applied, how far it came */
    /* A key that is gone leaves nothing at all once its end is compacted. */
    drop(rig, "key");
    put(rig, "other", "");
    assert_int_equal(compact(rig, rig->model->revision), PD_KV_OK);
    settle(rig);
    assert_int_equal(rows(rig), 4);
    world_verify(&rig->world);
    rig_close(rig);
}

static void the_edge_is_etcds(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    put(rig, "a", "1"); /* 2 */
    put(rig, "b", "1"); /* 3 */
    drop(rig, "a");     /* 4 */
    put(rig, "b", "2"); /* 5 */
    drop(rig, "b");     /* 6 */
    put(rig, "c", "1"); /* 7 */
    assert_int_equal(compact(rig, 8), PD_KV_ERR_FUTURE_REVISION);
    assert_int_equal(compact(rig, 4), PD_KV_OK);
    assert_int_equal(compact(rig, 4), PD_KV_ERR_COMPACTED);
    assert_int_equal(compact(rig, 3), PD_KV_ERR_COMPACTED);
    compare(rig); /* before anything is removed, and after: the same */
    settle(rig);
    compare(rig);
    /* A tombstone at the compacted revision stays for a watch from there. */
    assert_int_equal(compact(rig, 6), PD_KV_OK);
    settle(rig);
    compare(rig);
    assert_int_equal(rows(rig), 4 + 2);
    assert_int_equal(compact(rig, 7), PD_KV_OK);
    settle(rig);
    compare(rig);
    assert_int_equal(rows(rig), 4);
    rig_close(rig);
}

static void a_restart_goes_on_where_it_was(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    char key[8];
    for (uint32_t i = 0; i < 600; i++) {
        (void)snprintf(key, sizeof key, "k%u", i % 7);
        if (i % 13 == 0) {
            drop(rig, key);
        }
        put(rig, key, "value");
    }
    assert_int_equal(compact(rig, rig->model->revision - 20), PD_KV_OK);
    world_drain(&rig->world);
    size_t before = rows(rig);
    bool has_begun = false;
    for (uint32_t i = 0; i < 2000 && rows(rig) > 100; i++) {
        (void)pd_kv_background_step(rig->world.kv, 5);
        world_turn(&rig->world, false);
        if (i % 40 == 0) {
            world_restart(&rig->world);
        }
        has_begun = has_begun || (rows(rig) < before && rows(rig) > 100);
    }
    assert_true(has_begun);
    /* Another compaction while one is under way. */
    assert_int_equal(compact(rig, rig->model->revision - 10), PD_KV_OK);
    settle(rig);
    struct pd_kv_range all = {.key = pd_kv_span("\0", 1), .range_end = pd_kv_span("\0", 1)};
    for (all.revision = rig->model->compacted - 1; all.revision <= rig->model->revision;
         all.revision++) {
        world_compare_range(&rig->world, rig->model, &all);
        world_compare_history(&rig->world, rig->model, all.revision);
    }
    world_verify(&rig->world);
    assert_true(rows(rig) <= 2 * 7 + 2 * 11 + 2);
    rig_close(rig);
}

/* Commands have half of the overlay for themselves, whatever there is to remove. */
static void removal_leaves_room(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    for (uint32_t i = 0; i < 1500; i++) {
        put(rig, i % 2 == 0 ? "a" : "b", "value");
    }
    assert_int_equal(compact(rig, rig->model->revision), PD_KV_OK);
    world_drain(&rig->world);
    for (uint32_t i = 0; i < 1000; i++) {
        enum pd_kv_progress progress = pd_kv_background_step(rig->world.kv, 1000);
        struct pd_kv_fetch fetch;
        while (pd_kv_next_fetch(rig->world.kv, &fetch)) {
            world_read_page(&rig->world, &fetch);
            world_supply(&rig->world, 0);
        }
        assert_true(pd_kv_overlay_room(rig->world.kv) >= rig->world.config.overlay_bytes / 2);
        if (progress == PD_KV_FULL) {
            break;
        }
    }
    assert_int_equal(pd_kv_background_step(rig->world.kv, 1000), PD_KV_FULL);
    put(rig, "c", "is not kept waiting");
    settle(rig);
    assert_int_equal(rows(rig), 2 * 3 - 1 + 2);
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(space_comes_back),
        cmocka_unit_test(the_edge_is_etcds),
        cmocka_unit_test(a_restart_goes_on_where_it_was),
        cmocka_unit_test(removal_leaves_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
