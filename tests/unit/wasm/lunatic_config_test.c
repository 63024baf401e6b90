/* lunatic::process's configurations and modules: what a child may, and that it is never more than
 * its parent may. */
#include "abi_actor.h"

#define PROCESS "lunatic::process"
#define NO_PERMISSION UINT32_MAX
#define INHERIT UINT64_MAX
#define ID_AT 400u

struct fixture {
    struct world world;
    struct actor actor;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct pd_runtime_config config = world_config();
    world_open(&f->world, &config);
    f->actor = actor_spawn(&f->world);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    world_close(&f->world);
    free(f);
    return 0;
}

static void check_error(struct actor *actor, const char *part)
{
    assert_says(actor_error_text(actor, actor_u64(actor, ID_AT), 1000), part);
}

/* An actor that may do only what is said here. */
static struct actor with_rights(struct fixture *f, bool can_compile, bool can_configure,
                                bool can_spawn, uint64_t fuel_portions_max)
{
    struct pd_rights *rights =
        pd_rights_create(f->world.files, WORLD_MEMORY_MAX, fuel_portions_max);
    assert_non_null(rights);
    rights->can_compile = can_compile;
    rights->can_configure = can_configure;
    rights->can_spawn = can_spawn;
    struct actor actor = actor_spawn_with(&f->world, rights);
    pd_rights_release(rights);
    return actor;
}

/* --- Modules ---------------------------------------------------------------------------------- */

static uint32_t compile(struct actor *actor, uint32_t address, uint32_t size)
{
    return (uint32_t)CALL(actor, PROCESS, "compile_module", address, size, ID_AT);
}

static void modules_have_ids_of_their_own(void **state)
{
    struct fixture *f = *state;
    memcpy(actor_memory(&f->actor, 0), "\0asm", 4);
    assert_int_equal(compile(&f->actor, 0, 4), 0);
    assert_int_equal(actor_u64(&f->actor, ID_AT), 0);
    assert_int_equal(compile(&f->actor, 0, 4), 0);
    assert_int_equal(actor_u64(&f->actor, ID_AT), 1);
    (void)CALL(&f->actor, PROCESS, "drop_module", 0);
    assert_int_equal(compile(&f->actor, 0, 4), 0);
    assert_int_equal(actor_u64(&f->actor, ID_AT), 2); /* none is used twice */
    assert_says(TRAP(&f->actor, PROCESS, "drop_module", 0), "no module has the id 0");
}

static void what_is_no_module_is_an_error(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(compile(&f->actor, 0, 4), 1);
    check_error(&f->actor, "not a module");
    assert_int_equal(compile(&f->actor, 0, 0), 1);
    check_error(&f->actor, "not a module");
    f->world.system.compile.wasm_bytes_max = 100;
    assert_int_equal(compile(&f->actor, 0, 101), 1);
    check_error(&f->actor, "larger than modules may be");
}

static void compilations_at_once_are_bounded(void **state)
{
    struct fixture *f = *state;
    fake_holds_jobs = true;
    memcpy(actor_memory(&f->actor, 0), "\0asm", 4);
    BEGIN(&f->actor, PROCESS, "compile_module", 0, 4, ID_AT);
    struct actor second = actor_spawn(&f->world);
    BEGIN(&second, PROCESS, "compile_module", 0, 4, ID_AT);
    fake_holds_jobs = false;
    assert_true(actor_is_waiting(&f->actor));
    assert_true(actor_is_waiting(&second));
    struct actor third = actor_spawn(&f->world);
    assert_int_equal(compile(&third, 0, 4), 1);
    check_error(&third, "too many modules are being compiled");
    /* A kill gives the place back. */
    assert_int_equal(pd_mailbox_kill(f->world.environment, second.pid, PD_EXIT_KILLED, NULL),
                     PD_OK);
    world_pass(&f->world, MS);
    memcpy(actor_memory(&third, 0), "\0asm", 4);
    assert_int_equal(compile(&third, 0, 4), 0);
}

static void bad_pointers_of_modules_trap(void **state)
{
    struct fixture *f = *state;
    static const struct {
        uint64_t address, size, id;
        const char *says;
    } bad[] = {
        {FAKE_MEMORY_SIZE - 3, 4, ID_AT, "module: pointer"},
        {0xFFFFFFFF, 0xFFFFFFFF, ID_AT, "module: pointer"},
        {0, 4, FAKE_MEMORY_SIZE - 7, "pointer out of bounds"},  /* compiled, with no place for */
        {16, 4, FAKE_MEMORY_SIZE - 7, "pointer out of bounds"}, /* its id, or the error's */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct actor actor = actor_spawn(&f->world);
        memcpy(actor_memory(&actor, 0), "\0asm", 4);
        assert_says(TRAP(&actor, PROCESS, "compile_module", bad[i].address, bad[i].size, bad[i].id),
                    bad[i].says);
    }
    static const uint64_t unknown[] = {0, 1, UINT64_MAX};
    for (size_t i = 0; i < 3; i++) {
        struct actor actor = actor_spawn(&f->world);
        assert_says(TRAP(&actor, PROCESS, "drop_module", unknown[i]), "no module has the id");
    }
}

/* --- Configurations --------------------------------------------------------------------------- */

static void permission_is_asked_for(void **state)
{
    struct fixture *f = *state;
    struct actor poor = with_rights(f, false, false, true, 0);
    memcpy(actor_memory(&poor, 0), "\0asm", 4);
    memset(actor_memory(&poor, ID_AT), 0xEE, 8);
    assert_int_equal(compile(&poor, 0, 4), NO_PERMISSION);
    assert_true(actor_u64(&poor, ID_AT) == UINT64_C(0xEEEEEEEEEEEEEEEE)); /* untouched */
    assert_true(CALL(&poor, PROCESS, "create_config") == UINT64_MAX);
    assert_true(actor_lives(&poor));
}

static void a_new_configuration_permits_nothing(void **state)
{
    struct fixture *f = *state;
    uint64_t id = CALL(&f->actor, PROCESS, "create_config");
    assert_int_equal(id, 0);
    assert_int_equal(CALL(&f->actor, PROCESS, "config_can_compile_modules", id), 0);
    assert_int_equal(CALL(&f->actor, PROCESS, "config_can_create_configs", id), 0);
    assert_int_equal(CALL(&f->actor, PROCESS, "config_can_spawn_processes", id), 0);
    assert_int_equal(CALL(&f->actor, PROCESS, "config_get_max_memory", id), WORLD_MEMORY_MAX);
    assert_int_equal(CALL(&f->actor, PROCESS, "config_get_max_fuel", id), 0); /* unlimited */
    assert_int_equal(CALL(&f->actor, PROCESS, "create_config"), 1);
    (void)CALL(&f->actor, PROCESS, "drop_config", 0);
    assert_int_equal(CALL(&f->actor, PROCESS, "create_config"), 2);
    assert_says(TRAP(&f->actor, PROCESS, "drop_config", 0), "no configuration has the id 0");
}

static const struct {
    const char *set;
    const char *get;
} permissions[] = {
    {"config_set_can_compile_modules", "config_can_compile_modules"},
    {"config_set_can_create_configs", "config_can_create_configs"},
    {"config_set_can_spawn_processes", "config_can_spawn_processes"},
};

/* Each is set alone, by any number but 0. */
static void permissions_are_given_one_by_one(void **state)
{
    struct fixture *f = *state;
    uint64_t id = CALL(&f->actor, PROCESS, "create_config");
    for (size_t i = 0; i < 3; i++) {
        const uint64_t on[] = {id, 0x80000000};
        const uint64_t off[] = {id, 0};
        (void)actor_call(&f->actor, PROCESS, permissions[i].set, on, 2);
        for (size_t j = 0; j < 3; j++) {
            assert_int_equal(actor_call(&f->actor, PROCESS, permissions[j].get, off, 1), i == j);
        }
        (void)actor_call(&f->actor, PROCESS, permissions[i].set, off, 2);
        assert_int_equal(actor_call(&f->actor, PROCESS, permissions[i].get, off, 1), 0);
    }
}

static void nobody_grants_what_it_lacks(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < 3; i++) {
        if (i == 1) {
            continue; /* who may not make configurations has none to change */
        }
        struct actor actor = with_rights(f, i != 0, true, i != 2, 0);
        uint64_t id = CALL(&actor, PROCESS, "create_config");
        const uint64_t off[] = {id, 0};
        (void)actor_call(&actor, PROCESS, permissions[i].set, off, 2); /* this it may */
        const uint64_t on[] = {id, 1};
        assert_says(actor_trap(&actor, PROCESS, permissions[i].set, on, 2),
                    "permission denied: granting");
        assert_int_equal(f->world.last_reason, PD_EXIT_DENIED);
    }
}

static void memory_has_a_limit_within_the_parents(void **state)
{
    struct fixture *f = *state;
    uint64_t id = CALL(&f->actor, PROCESS, "create_config");
    static const uint64_t within[] = {0, 1, 70000, WORLD_MEMORY_MAX};
    for (size_t i = 0; i < 4; i++) {
        (void)CALL(&f->actor, PROCESS, "config_set_max_memory", id, within[i]);
        assert_int_equal(CALL(&f->actor, PROCESS, "config_get_max_memory", id), within[i]);
    }
    /* Lunatic's default of all that 32 bits address stands for "as much as there is". */
    static const uint64_t all[] = {UINT32_MAX, UINT64_MAX};
    for (size_t i = 0; i < 2; i++) {
        (void)CALL(&f->actor, PROCESS, "config_set_max_memory", id, 1);
        (void)CALL(&f->actor, PROCESS, "config_set_max_memory", id, all[i]);
        assert_int_equal(CALL(&f->actor, PROCESS, "config_get_max_memory", id), WORLD_MEMORY_MAX);
    }
    assert_says(TRAP(&f->actor, PROCESS, "config_set_max_memory", id, WORLD_MEMORY_MAX + 1),
                "memory limit beyond its parent's");
    assert_int_equal(f->world.last_reason, PD_EXIT_DENIED);
}

static void fuel_has_a_limit_within_the_parents(void **state)
{
    struct fixture *f = *state;
    uint64_t id = CALL(&f->actor, PROCESS, "create_config");
    static const uint64_t any[] = {1, 1000, UINT64_MAX, 0};
    for (size_t i = 0; i < 4; i++) { /* this parent has no limit */
        (void)CALL(&f->actor, PROCESS, "config_set_max_fuel", id, any[i]);
        assert_true(CALL(&f->actor, PROCESS, "config_get_max_fuel", id) == any[i]);
    }
    static const uint64_t beyond[] = {0, 8, UINT64_MAX};
    for (size_t i = 0; i < 3; i++) {
        struct actor actor = with_rights(f, true, true, true, 7);
        id = CALL(&actor, PROCESS, "create_config");
        assert_int_equal(CALL(&actor, PROCESS, "config_get_max_fuel", id), 7);
        (void)CALL(&actor, PROCESS, "config_set_max_fuel", id, 3);
        assert_int_equal(CALL(&actor, PROCESS, "config_get_max_fuel", id), 3);
        assert_says(TRAP(&actor, PROCESS, "config_set_max_fuel", id, beyond[i]),
                    "fuel limit beyond its parent's");
    }
}

/* A process has what its configuration said when it was spawned. */
static void later_changes_are_for_later_children(void **state)
{
    struct fixture *f = *state;
    uint64_t id = CALL(&f->actor, PROCESS, "create_config");
    (void)CALL(&f->actor, PROCESS, "config_set_can_spawn_processes", id, 1);
    assert_int_equal(CALL(&f->actor, PROCESS, "spawn", 0, id, INHERIT, 0, 0, 0, 0, ID_AT), 0);
    uint64_t first = actor_u64(&f->actor, ID_AT);
    (void)CALL(&f->actor, PROCESS, "config_set_can_spawn_processes", id, 0);
    (void)CALL(&f->actor, PROCESS, "config_set_can_compile_modules", id, 1);
    assert_int_equal(CALL(&f->actor, PROCESS, "spawn", 0, id, INHERIT, 0, 0, 0, 0, ID_AT), 0);
    uint64_t second = actor_u64(&f->actor, ID_AT);
    (void)CALL(&f->actor, PROCESS, "drop_config", id);
    const struct pd_wasm_process *child = pd_environment_at(f->world.environment, first)->data;
    assert_true(child->rights->can_spawn);
    assert_false(child->rights->can_compile);
    child = pd_environment_at(f->world.environment, second)->data;
    assert_false(child->rights->can_spawn);
    assert_true(child->rights->can_compile);
}

static void unknown_configurations_trap(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {
        "config_set_max_memory",
        "config_get_max_memory",
        "config_set_max_fuel",
        "config_get_max_fuel",
        "config_can_compile_modules",
        "config_set_can_compile_modules",
        "config_can_create_configs",
        "config_set_can_create_configs",
        "config_can_spawn_processes",
        "config_set_can_spawn_processes",
        "drop_config",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        static const uint64_t ids[] = {0, 2, UINT64_MAX};
        for (size_t j = 0; j < 3; j++) {
            struct actor actor = actor_spawn(&f->world);
            (void)CALL(&actor, PROCESS, "create_config");
            (void)CALL(&actor, PROCESS, "drop_config", 0);
            (void)CALL(&actor, PROCESS, "create_config");
            const uint64_t arguments[2] = {ids[j], 1};
            assert_says(actor_trap(&actor, PROCESS, names[i], arguments, 2),
                        "no configuration has the id");
        }
    }
}

static void tables_have_an_end(void **state)
{
    struct fixture *f = *state;
    struct pd_wasm_process *self = actor_wasm(&f->actor);
    for (uint32_t i = 0; i < PD_ID_TABLE_MAX; i++) {
        uint64_t id = 0;
        assert_int_equal(pd_id_table_add(&self->configs, pd_rights_share(self->rights), &id),
                         PD_OK);
    }
    assert_says(TRAP(&f->actor, PROCESS, "create_config"), "no room for another configuration");
    struct actor actor = actor_spawn(&f->world);
    self = actor_wasm(&actor);
    for (uint32_t i = 0; i < PD_ID_TABLE_MAX; i++) {
        uint64_t id = 0;
        assert_int_equal(
            pd_id_table_add(&self->modules, pd_module_acquire(actor_guest(&actor)->module), &id),
            PD_OK);
    }
    memcpy(actor_memory(&actor, 0), "\0asm", 4);
    assert_int_equal(compile(&actor, 0, 4), 1);
    check_error(&actor, "too many modules are held");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(modules_have_ids_of_their_own, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_module_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(compilations_at_once_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_pointers_of_modules_trap, setup, teardown),
        cmocka_unit_test_setup_teardown(permission_is_asked_for, setup, teardown),
        cmocka_unit_test_setup_teardown(a_new_configuration_permits_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(permissions_are_given_one_by_one, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_grants_what_it_lacks, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_has_a_limit_within_the_parents, setup, teardown),
        cmocka_unit_test_setup_teardown(fuel_has_a_limit_within_the_parents, setup, teardown),
        cmocka_unit_test_setup_teardown(later_changes_are_for_later_children, setup, teardown),
        cmocka_unit_test_setup_teardown(unknown_configurations_trap, setup, teardown),
        cmocka_unit_test_setup_teardown(tables_have_an_end, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
