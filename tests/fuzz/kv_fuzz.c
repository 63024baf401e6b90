/* Any commands, over a store that lags, with crashes and restarts wherever the input says so: two
 * machines of different limits and the model agree after each. */
#include "kv/kv_random.h"

#define COMMANDS_MAX 200u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void run(struct chooser *chooser, struct script *script, struct world *worlds,
                struct model *model)
{
    static struct drawn drawn;
    static uint8_t room[32768];
    memset(&drawn, 0, sizeof drawn);
    drawn.chooser = chooser;
    drawn.model = model;
    for (uint32_t i = 0; i < COMMANDS_MAX && chooser->at < chooser->size; i++) {
        struct pd_span entry = draw_entry(&drawn, room, sizeof room);
        script_add(script, entry);
        model_apply(model, script->count, entry);
        for (uint32_t w = 0; w < 2; w++) {
            world_catch_up(&worlds[w]);
            world_compare_answer(&worlds[w], model);
            world_compare_status(&worlds[w], model);
        }
        world_compare_twins(&worlds[0], &worlds[1]);
        drawn.used = 0;
        struct pd_kv_range range = draw_range(&drawn);
        world_compare_range(&worlds[1], model, &range);
        world_compare_lease(&worlds[1], model, (int64_t)choose(chooser, 5));
    }
    world_verify(&worlds[0]);
    world_verify(&worlds[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct script script;
    struct world worlds[2];
    struct chooser chooser = {.bytes = bytes, .size = size};
    pd_random_init(&chooser.random, size, "kv_fuzz");
    struct pd_kv_config config = world_config();
    struct model *model = model_open(&config);
    world_open(&worlds[0], &config, &script, &chooser);
    config.cache_bytes = 1;
    config.writes_max = 16;
    config.prefetch_max = 0;
    world_open(&worlds[1], &config, &script, &chooser);
    worlds[1].calm = 60;
    worlds[1].lag = 40;
    run(&chooser, &script, worlds, model);
    world_close(&worlds[0]);
    world_close(&worlds[1]);
    model_close(model);
    script_clear(&script);
    return 0;
}
