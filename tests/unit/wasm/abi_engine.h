/* abi_engine - abi_world with the real engine under it: guests are WebAssembly text. */
#ifndef PD_TEST_ABI_ENGINE_H
#define PD_TEST_ABI_ENGINE_H

#include "abi_world.h"

struct engine_world {
    struct world world;
    struct pd_engine engine;
    struct pd_linker linker;
};

static inline void engine_world_open(struct engine_world *opened)
{
    struct pd_runtime_config config = world_config();
    struct pd_engine_config engine = pd_engine_config_default();
    engine.is_deterministic = true;
    memset(opened, 0, sizeof *opened);
    assert_int_equal(pd_engine_open(&opened->engine, &engine), PD_OK);
    assert_int_equal(pd_linker_open(&opened->linker, &opened->engine), PD_OK);
    const struct pd_import_table *tables = NULL;
    size_t count = pd_abi_tables(&tables);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(pd_linker_add(&opened->linker, tables[i].imports, tables[i].count), PD_OK);
    }
    assert_int_equal(pd_linker_seal(&opened->linker), PD_OK);
    world_open(&opened->world, &config);
    opened->world.system.compile.linker = &opened->linker;
}

static inline void engine_world_close(struct engine_world *opened)
{
    world_close(&opened->world);
    pd_linker_close(&opened->linker);
    pd_engine_close(&opened->engine);
}

static inline struct pd_module *engine_load(struct engine_world *opened, const char *wat)
{
    struct pd_module_message message;
    struct pd_module *module = NULL;
    enum pd_status status = pd_module_load_text(&opened->linker, wat, &module, &message);
    if (status != PD_OK) {
        print_error("%s\n", message.text);
    }
    assert_int_equal(status, PD_OK);
    return module;
}

#endif
