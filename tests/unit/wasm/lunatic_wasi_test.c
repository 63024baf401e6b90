/* lunatic::wasi: what a child is given, that it gets no more than its parent has, and a kill while
 * a directory opens. */
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi_actor.h"

#define WASI "lunatic::wasi"
#define PREVIEW1 "wasi_snapshot_preview1"
#define A 100
#define B 5000

struct fixture {
    struct world world;
    struct actor parent;
    uint64_t config;
    char root[64];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct pd_runtime_config runtime = world_config();
    world_open(&f->world, &runtime);
    (void)snprintf(f->root, sizeof f->root, "/tmp/pando-wasi-XXXXXX");
    assert_non_null(mkdtemp(f->root));
    char inner[128];
    (void)snprintf(inner, sizeof inner, "%s/inner", f->root);
    assert_int_equal(mkdir(inner, 0700), 0);
    (void)snprintf(inner, sizeof inner, "%s/escape", f->root);
    assert_int_equal(symlink("/", inner), 0);

    struct pd_rights *rights = world_rights(&f->world);
    assert_int_equal(
        pd_wasi_config_add_directory(rights->wasi, f->root, "/data", PD_WASI_READ, NULL, 0), PD_OK);
    f->parent = actor_spawn_with(&f->world, rights);
    pd_rights_release(rights);
    f->config = CALL(&f->parent, "lunatic::process", "create_config");
    *state = f;
    return 0;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    fake_holds_jobs = false;
    world_close(&f->world);
    assert_int_equal(nftw(f->root, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
    free(f);
    return 0;
}

static struct pd_rights *config_of(struct fixture *f)
{
    struct pd_rights *rights = pd_id_table_get(&actor_wasm(&f->parent)->configs, f->config);
    assert_non_null(rights);
    return rights;
}

/* A child with the configuration, as `spawn` would make it. */
static struct actor child_of(struct fixture *f)
{
    return actor_spawn_with(&f->world, config_of(f));
}

static void set_variable(struct fixture *f, const char *name, const char *value)
{
    uint32_t name_size = actor_put(&f->parent, A, name);
    uint32_t value_size = actor_put(&f->parent, B, value);
    (void)CALL(&f->parent, WASI, "config_add_environment_variable", f->config, A, name_size, B,
               value_size);
}

static void add_argument(struct fixture *f, const char *text)
{
    uint32_t size = actor_put(&f->parent, A, text);
    (void)CALL(&f->parent, WASI, "config_add_command_line_argument", f->config, A, size);
}

static void a_child_sees_its_arguments_and_variables(void **state)
{
    struct fixture *f = *state;
    add_argument(f, "prog");
    add_argument(f, "");
    set_variable(f, "HOME", "/old");
    set_variable(f, "HOME", "/new");
    struct actor child = child_of(f);
    assert_int_equal(CALL(&child, PREVIEW1, "args_sizes_get", A, A + 4), 0);
    assert_int_equal(pd_get_u32(actor_memory(&child, A)), 2);
    assert_int_equal(CALL(&child, PREVIEW1, "args_get", B, B + 100), 0);
    assert_string_equal((const char *)actor_memory(&child, B + 100), "prog");
    assert_int_equal(CALL(&child, PREVIEW1, "environ_sizes_get", A, A + 4), 0);
    assert_int_equal(pd_get_u32(actor_memory(&child, A)), 1);
    assert_int_equal(CALL(&child, PREVIEW1, "environ_get", B, B + 100), 0);
    assert_string_equal((const char *)actor_memory(&child, B + 100), "HOME=/new");

    /* A configuration that changes later does not change the child that runs. */
    add_argument(f, "later");
    assert_int_equal(CALL(&child, PREVIEW1, "args_sizes_get", A, A + 4), 0);
    assert_int_equal(pd_get_u32(actor_memory(&child, A)), 2);
    struct actor second = child_of(f);
    assert_int_equal(CALL(&second, PREVIEW1, "args_sizes_get", A, A + 4), 0);
    assert_int_equal(pd_get_u32(actor_memory(&second, A)), 3);
}

static void what_cannot_be_given_traps(void **state)
{
    struct fixture *f = *state;
    static const struct {
        char name[8];
        uint32_t name_size;
        char value[8];
        uint32_t value_size;
        const char *why;
    } bad[] = {
        {"", 0, "v", 1, "empty"},           {"A=B", 3, "v", 1, "'='"},
        {"A\0B", 3, "v", 1, "zero byte"},   {"A", 1, "v\0w", 3, "zero byte"},
        {"\xFF", 1, "v", 1, "UTF-8"},       {"A", 1, "\xFF", 1, "UTF-8"},
        {"A", 0xFFFFFFFF, "", 0, "bounds"}, {"A", 1, "", 0x80000000, "bounds"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct actor actor = actor_spawn(&f->world);
        uint64_t config = CALL(&actor, "lunatic::process", "create_config");
        memcpy(actor_memory(&actor, A), bad[i].name, sizeof bad[i].name);
        memcpy(actor_memory(&actor, B), bad[i].value, sizeof bad[i].value);
        assert_says(TRAP(&actor, WASI, "config_add_environment_variable", config, A,
                         bad[i].name_size, B, bad[i].value_size),
                    bad[i].why);
    }
    struct actor actor = actor_spawn(&f->world);
    uint64_t config = CALL(&actor, "lunatic::process", "create_config");
    assert_says(TRAP(&actor, WASI, "config_add_command_line_argument", config, 0, 1), "zero byte");
    static const char *const names[] = {"config_add_environment_variable",
                                        "config_add_command_line_argument", "config_preopen_dir"};
    for (size_t i = 0; i < 3; i++) {
        actor = actor_spawn(&f->world);
        assert_says(TRAP(&actor, WASI, names[i], 5, 0, 0, 0, 0), "no configuration");
    }
}

static void bad_pointers_trap(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *name;
        uint64_t address, size, second, second_size;
    } bad[] = {
        {"config_add_environment_variable", FAKE_MEMORY_SIZE - 2, 3, B, 1},
        {"config_add_environment_variable", 0xFFFFFFFF, 1, B, 1},
        {"config_add_environment_variable", A, 1, FAKE_MEMORY_SIZE - 2, 3},
        {"config_add_environment_variable", A, 1, 0xFFFFFFFF, 1},
        {"config_add_command_line_argument", FAKE_MEMORY_SIZE - 2, 3, 0, 0},
        {"config_add_command_line_argument", 0xFFFFFFFF, 0xFFFFFFFF, 0, 0},
        {"config_preopen_dir", FAKE_MEMORY_SIZE - 2, 3, 0, 0},
        {"config_preopen_dir", 0xFFFFFFFF, 0xFFFFFFFF, 0, 0},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct actor actor = actor_spawn(&f->world);
        uint64_t config = CALL(&actor, "lunatic::process", "create_config");
        (void)actor_put(&actor, A, "A");
        (void)actor_put(&actor, B, "v");
        assert_says(TRAP(&actor, WASI, bad[i].name, config, bad[i].address, bad[i].size,
                         bad[i].second, bad[i].second_size),
                    "out of bounds");
    }
}

static void arguments_are_bounded(void **state)
{
    struct fixture *f = *state;
    memset(actor_memory(&f->parent, 0), 'x', FAKE_MEMORY_SIZE);
    uint32_t fitting = PD_WASI_STRINGS_SIZE_MAX / (FAKE_MEMORY_SIZE + 1);
    for (uint32_t i = 0; i < fitting; i++) {
        (void)CALL(&f->parent, WASI, "config_add_command_line_argument", f->config, 0,
                   FAKE_MEMORY_SIZE);
    }
    assert_says(
        TRAP(&f->parent, WASI, "config_add_command_line_argument", f->config, 0, FAKE_MEMORY_SIZE),
        "holds no more");
}

static void variables_are_bounded(void **state)
{
    struct fixture *f = *state;
    memset(actor_memory(&f->parent, 0), 'x', FAKE_MEMORY_SIZE);
    uint32_t fitting = PD_WASI_STRINGS_SIZE_MAX / (FAKE_MEMORY_SIZE + 1);
    for (uint32_t i = 0; i < fitting; i++) { /* name, '=', value and its end: all of it counts */
        (void)CALL(&f->parent, WASI, "config_add_environment_variable", f->config, 0, i + 1, 0,
                   FAKE_MEMORY_SIZE - i - 2);
    }
    assert_says(TRAP(&f->parent, WASI, "config_add_environment_variable", f->config, 0, fitting + 1,
                     0, FAKE_MEMORY_SIZE - fitting - 2),
                "environment variable: a configuration holds no more");
}

static void preopen(struct fixture *f, struct actor *actor, uint64_t config, const char *path)
{
    (void)f;
    uint32_t size = actor_put(actor, A, path);
    BEGIN(actor, WASI, "config_preopen_dir", config, A, size);
    actor_finish(actor);
}

static void directories_within_the_parents_are_handed_on(void **state)
{
    struct fixture *f = *state;
    preopen(f, &f->parent, f->config, "/data/inner");
    (void)actor_result(&f->parent);
    preopen(f, &f->parent, f->config, "/data");
    (void)actor_result(&f->parent);
    struct actor child = child_of(f);
    assert_int_equal(CALL(&child, PREVIEW1, "fd_prestat_get", 3, A), 0);
    assert_int_equal(pd_get_u32(actor_memory(&child, A + 4)), strlen("/data/inner"));
    assert_int_equal(CALL(&child, PREVIEW1, "fd_prestat_get", 4, A), 0);
    assert_int_equal(CALL(&child, PREVIEW1, "fd_prestat_get", 5, A), 8); /* badf */
    /* The parent may only read, so the child cannot create. */
    uint32_t size = actor_put(&child, A, "new");
    assert_int_not_equal(CALL(&child, PREVIEW1, "path_create_directory", 3, A, size), 0);
}

static void directories_are_bounded(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < PD_WASI_PREOPENS_MAX; i++) {
        preopen(f, &f->parent, f->config, "/data/inner");
        (void)actor_result(&f->parent);
    }
    uint32_t size = actor_put(&f->parent, A, "/data/inner");
    assert_says(TRAP(&f->parent, WASI, "config_preopen_dir", f->config, A, size),
                "lunatic::wasi::config_preopen_dir: ");
}

static void no_way_leads_out_of_the_parents_directories(void **state)
{
    struct fixture *f = *state;
    static const char *const paths[] = {
        "/",          "/etc",          "/data/..", "/data/../..", "/data/escape",
        "/dataother", "/data/nothing", "inner"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct pd_rights *rights = pd_rights_copy(actor_wasm(&f->parent)->rights);
        struct actor actor = actor_spawn_with(&f->world, rights);
        pd_rights_release(rights);
        uint64_t config = CALL(&actor, "lunatic::process", "create_config");
        preopen(f, &actor, config, paths[i]);
        if (actor_lives(&actor)) {
            print_error("%s was handed on\n", paths[i]);
        }
        assert_false(actor_lives(&actor));
        assert_true(f->world.last_text[0] != '\0');
    }
    struct actor poor = actor_spawn(&f->world); /* has no directory at all */
    uint64_t config = CALL(&poor, "lunatic::process", "create_config");
    preopen(f, &poor, config, "/data");
    assert_false(actor_lives(&poor));
    assert_int_equal(f->world.last_reason, PD_EXIT_DENIED);
    struct actor wordy = actor_spawn(&f->world);
    config = CALL(&wordy, "lunatic::process", "create_config");
    memset(actor_memory(&wordy, 1000), 'x', PD_FILE_PATH_MAX - 1);
    assert_says(TRAP(&wordy, WASI, "config_preopen_dir", config, 1000, PD_FILE_PATH_MAX - 1),
                "permission denied: no directory");
    assert_int_equal(f->world.last_reason, PD_EXIT_DENIED);
    struct actor odd = actor_spawn(&f->world);
    config = CALL(&odd, "lunatic::process", "create_config");
    assert_says(TRAP(&odd, WASI, "config_preopen_dir", config, 0, PD_FILE_PATH_MAX), "directory");
}

static void a_kill_while_a_directory_opens_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    fake_holds_jobs = true;
    uint32_t size = actor_put(&f->parent, A, "/data/inner");
    BEGIN(&f->parent, WASI, "config_preopen_dir", f->config, A, size);
    assert_true(actor_is_waiting(&f->parent));
    assert_int_equal(pd_mailbox_kill(f->world.environment, f->parent.pid, PD_EXIT_KILLED, NULL),
                     PD_OK);
    world_pass(&f->world, MS);
    assert_false(actor_lives(&f->parent)); /* ASan and its leak check see the rest */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_child_sees_its_arguments_and_variables, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_given_traps, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_pointers_trap, setup, teardown),
        cmocka_unit_test_setup_teardown(arguments_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(variables_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(directories_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(directories_within_the_parents_are_handed_on, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(no_way_leads_out_of_the_parents_directories, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_kill_while_a_directory_opens_leaves_nothing, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
