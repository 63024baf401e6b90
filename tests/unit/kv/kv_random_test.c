/* Random commands of all kinds. The model, a machine to which nothing happens, one that crashes,
 * and one that is restarted after every command come to the same answers, state and hashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/sometimes.h"
#include "kv_random.h"
#include "support/effort.h"

#define WORLDS 3u

struct arena {
    struct chooser chooser;
    struct script script;
    struct world worlds[WORLDS];
    struct model *model;
    struct drawn drawn;
};

static struct arena *arena_open(uint64_t seed)
{
    struct arena *arena = calloc(1, sizeof *arena);
    pd_random_init(&arena->chooser.random, seed, "kv");
    struct pd_kv_config config = world_config();
    arena->model = model_open(&config);
    arena->drawn = (struct drawn){.chooser = &arena->chooser, .model = arena->model};
    for (uint32_t i = 0; i < WORLDS; i++) {
        /* What is this node's alone differs. */
        config.hash_seed = i + 1;
        config.cache_bytes = i == 0 ? 1u << 20 : 1;
        config.seen_bytes = i == 0 ? 4096 : i == 1 ? 32 : 0;
        config.overlay_bytes = i == 0 ? 1u << 22 : 90000;
        config.writes_max = i == 1 ? 16 : 64;
        config.events_max = 1 + i;
        config.prefetch_max = 4 * i;
        config.page_bytes = 256u << i;
        world_open(&arena->worlds[i], &config, &arena->script, &arena->chooser);
        arena->worlds[i].model = arena->model;
        arena->worlds[i].page_rows = i == 2 ? 2 : 9;
        world_verify(&arena->worlds[i]); /* as every start: from then on new keys are known */
    }
    arena->worlds[1].calm = 150;
    return arena;
}

static void arena_close(struct arena *arena)
{
    for (uint32_t i = 0; i < WORLDS; i++) {
        world_close(&arena->worlds[i]);
    }
    model_close(arena->model);
    script_clear(&arena->script);
    free(arena);
}

static void compare(struct arena *arena)
{
    struct model *model = arena->model;
    struct world *world = &arena->worlds[choose(&arena->chooser, WORLDS)];
    arena->drawn.used = 0;
    struct pd_kv_range range = draw_range(&arena->drawn);
    world_compare_range(world, model, &range);
    world_compare_lease(world, model, (int64_t)choose(&arena->chooser, 5));
    world_compare_leases(world, model);
    uint8_t room[1024];
    struct pd_kv_record record;
    enum pd_status hot = pd_kv_get_hot(world->kv, range.key, room, sizeof room, &record);
    const struct model_version *want = model_newest(model, range.key, INT64_MAX);
    bool is_live = want != NULL && want->record.version != 0;
    model_check(hot == PD_ERR_RANGE || (hot == PD_OK) == is_live);
    model_check(hot != PD_OK || model_same_record(&record, &want->record));
    if (choose(&arena->chooser, 20) == 0) {
        int64_t back = (int64_t)choose(&arena->chooser, 60);
        int64_t from = model->revision > back ? model->revision - back : 1;
        world_compare_history(world, model, from < 1 ? 1 : from);
    }
}

static void run(uint64_t seed, uint32_t steps)
{
    struct arena *arena = arena_open(seed);
    static uint8_t room[32768];
    for (uint32_t step = 0; step < steps; step++) {
        struct pd_span entry = draw_entry(&arena->drawn, room, sizeof room);
        script_add(&arena->script, entry);
        model_apply(arena->model, arena->script.count, entry);
        if (step % 16 == 0) {
            arena->worlds[1].lag = 1 + (uint32_t)choose(&arena->chooser, 100);
        }
        for (uint32_t i = 0; i < WORLDS; i++) {
            world_catch_up(&arena->worlds[i]);
            world_compare_answer(&arena->worlds[i], arena->model);
        }
        world_restart(&arena->worlds[2]);
        world_catch_up(&arena->worlds[2]);
        if (choose(&arena->chooser, 20) == 0) {
            world_verify(&arena->worlds[1]); /* it may have crashed since the last one */
        }
        for (uint32_t i = 0; i < WORLDS; i++) {
            world_compare_status(&arena->worlds[i], arena->model);
            world_compare_twins(&arena->worlds[0], &arena->worlds[i]);
        }
        compare(arena);
    }
    for (uint32_t i = 0; i < WORLDS; i++) {
        world_verify(&arena->worlds[i]);
    }
    arena_close(arena);
}

static uint64_t hits[PD_SOMETIMES_COUNT];

static void machines_and_model_agree(void **state)
{
    (void)state;
    const char *given = getenv("PD_TEST_SEED");
    uint64_t first = given != NULL ? strtoull(given, NULL, 10) : 1;
    const char *count = getenv("PD_TEST_SEEDS");
    uint64_t seeds = count != NULL   ? strtoull(count, NULL, 10)
                     : given != NULL ? 1
                                     : PD_TEST_EFFORT(6, 2);
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        print_message("replay with PD_TEST_SEED=%llu\n", (unsigned long long)seed);
        run(seed, 500);
    }
    /* Otherwise the search is blind. */
    static const enum pd_sometimes_id wanted[] = {
        PD_SOMETIMES_KV_SCAN_MERGED,  PD_SOMETIMES_KV_ROW_MISSING, PD_SOMETIMES_KV_KEY_IS_NEW,
        PD_SOMETIMES_KV_OVERLAY_FULL, PD_SOMETIMES_KV_REPEATED,    PD_SOMETIMES_KV_UNDONE,
        PD_SOMETIMES_KV_SWEPT};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        print_message("%s: %llu\n", pd_sometimes_name(wanted[i]),
                      (unsigned long long)hits[wanted[i]]);
        assert_true(given != NULL || hits[wanted[i]] > 0);
    }
}

int main(void)
{
    pd_sometimes_hits = hits;
    const struct CMUnitTest tests[] = {cmocka_unit_test(machines_and_model_agree)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
