/* lunatic::process: spawning, names, links, monitors, time. Configurations and modules stand in
 * lunatic_config_test.c, what children do with real code in lunatic_spawn_test.c. */
#include "abi_actor.h"

#define PROCESS "lunatic::process"
#define MESSAGE "lunatic::message"
#define DATA 0u
#define LINK_DIED 1u
#define PROCESS_DIED 2u
#define TIMED_OUT 9027u
#define INHERIT UINT64_MAX
#define NAME_AT 100u
#define PARAMS_AT 200u
#define ID_AT 400u
#define NODE_AT 408u

struct fixture {
    struct world world;
    struct actor a;
    struct actor b;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct pd_runtime_config config = world_config();
    world_open(&f->world, &config);
    f->a = actor_spawn(&f->world);
    f->b = actor_spawn(&f->world);
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

static void check_error(struct actor *actor, uint64_t id, const char *part)
{
    assert_says(actor_error_text(actor, id, 1000), part);
}

static void kill_actor(struct actor *actor)
{
    assert_int_equal(pd_mailbox_kill(actor->world->environment, actor->pid, PD_EXIT_KILLED, NULL),
                     PD_OK);
    world_pass(actor->world, MS);
    assert_false(actor_lives(actor));
}

static uint32_t receive(struct actor *actor)
{
    return (uint32_t)CALL(actor, MESSAGE, "receive", 0, 0, 0);
}

/* --- Spawning --------------------------------------------------------------------------------- */

/* "main", and a parameter of each kind. */
static void prepare(const struct actor *actor)
{
    static const uint8_t types[3] = {0x7F, 0x7E, 0x7B};
    (void)actor_put(actor, NAME_AT, "main");
    for (uint32_t i = 0; i < 3; i++) {
        memset(actor_memory(actor, PARAMS_AT + 17 * i), (int)i + 1, 17);
        *actor_memory(actor, PARAMS_AT + 17 * i) = types[i];
    }
}

static uint32_t spawn(struct actor *actor, uint64_t link, uint64_t config, uint64_t module)
{
    prepare(actor);
    return (uint32_t)CALL(actor, PROCESS, "spawn", link, config, module, NAME_AT, 4, PARAMS_AT, 51,
                          ID_AT);
}

static void a_child_is_spawned(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(spawn(&f->a, 0, INHERIT, INHERIT), 0);
    struct actor child = actor_of(&f->world, actor_u64(&f->a, ID_AT));
    assert_int_equal(child.pid, f->b.pid + 1); /* ids count up */
    assert_true(actor_lives(&child));
    assert_int_equal(CALL(&child, PROCESS, "process_id"), child.pid);
    assert_string_equal(actor_wasm(&child)->function, "main");
    assert_ptr_equal(actor_guest(&child)->module, actor_guest(&f->a)->module);
    /* Not linked. */
    kill_actor(&child);
    assert_true(actor_lives(&f->a));
    /* Another module, another configuration. */
    memcpy(actor_memory(&f->a, 0), "\0asm", 4);
    assert_int_equal(CALL(&f->a, PROCESS, "compile_module", 0, 4, 16), 0);
    uint64_t config = CALL(&f->a, PROCESS, "create_config");
    assert_int_equal(spawn(&f->a, 0, config, actor_u64(&f->a, 16)), 0);
    child = actor_of(&f->world, actor_u64(&f->a, ID_AT));
    assert_ptr_not_equal(actor_guest(&child)->module, actor_guest(&f->a)->module);
    assert_false(actor_wasm(&child)->rights->can_spawn);
}

static void the_parent_gets_the_links_tag(void **state)
{
    struct fixture *f = *state;
    (void)CALL(&f->a, PROCESS, "die_when_link_dies", 0);
    assert_int_equal(spawn(&f->a, 55, INHERIT, INHERIT), 0);
    struct actor child = actor_of(&f->world, actor_u64(&f->a, ID_AT));
    kill_actor(&child);
    assert_int_equal(receive(&f->a), LINK_DIED);
    assert_int_equal(CALL(&f->a, MESSAGE, "get_tag"), 55);
}

static void the_child_is_linked_without_a_tag(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(spawn(&f->a, 55, INHERIT, INHERIT), 0);
    struct actor child = actor_of(&f->world, actor_u64(&f->a, ID_AT));
    (void)CALL(&child, PROCESS, "die_when_link_dies", 0);
    assert_int_equal(spawn(&f->a, 56, INHERIT, INHERIT), 0);
    struct actor other = actor_of(&f->world, actor_u64(&f->a, ID_AT));
    kill_actor(&f->a);
    assert_int_equal(receive(&child), LINK_DIED);
    assert_int_equal(CALL(&child, MESSAGE, "get_tag"), 0);
    assert_false(actor_lives(&other)); /* this one dies along */
}

static void spawning_needs_the_right(void **state)
{
    struct fixture *f = *state;
    struct pd_rights *poor = world_rights(&f->world);
    poor->can_spawn = false;
    struct actor actor = actor_spawn_with(&f->world, poor);
    prepare(&actor);
    assert_says(TRAP(&actor, PROCESS, "spawn", 0, INHERIT, INHERIT, NAME_AT, 4, 0, 0, ID_AT),
                "permission denied: spawning");
    assert_int_equal(f->world.last_reason, PD_EXIT_DENIED);
    /* get_or_spawn asks only when it spawns. */
    actor = actor_spawn_with(&f->world, poor);
    prepare(&actor);
    (void)CALL(&f->a, "lunatic::registry", "put", NAME_AT, actor_put(&f->a, NAME_AT, "main"), 0,
               f->b.pid);
    assert_int_equal(CALL(&actor, PROCESS, "get_or_spawn", NAME_AT, 4, 0, INHERIT, INHERIT, NAME_AT,
                          4, 0, 0, NODE_AT, ID_AT),
                     2);
    assert_int_equal(actor_u64(&actor, ID_AT), f->b.pid);
    assert_says(TRAP(&actor, PROCESS, "get_or_spawn", NAME_AT, 3, 0, INHERIT, INHERIT, NAME_AT, 4,
                     0, 0, NODE_AT, ID_AT),
                "permission denied: spawning");
    pd_rights_release(poor);
    assert_int_equal(f->world.environment->registry.names.count, 1); /* "mai" is free again */
}

static void nobody_spawns_while_being_instantiated(void **state)
{
    struct fixture *f = *state;
    prepare(&f->a);
    fake_is_uninstantiated = true;
    assert_says(TRAP(&f->a, PROCESS, "spawn", 0, INHERIT, INHERIT, NAME_AT, 4, 0, 0, ID_AT),
                "while the module is instantiated");
    fake_is_uninstantiated = false;
}

static void bad_arguments_of_a_spawn_trap(void **state)
{
    struct fixture *f = *state;
    static const struct {
        uint64_t config, module, name, name_size, params, params_size, id;
        const char *says;
    } bad[] = {
        {0, INHERIT, NAME_AT, 4, PARAMS_AT, 51, ID_AT, "no configuration has the id 0"},
        {INHERIT, 0, NAME_AT, 4, PARAMS_AT, 51, ID_AT, "no module has the id 0"},
        {INHERIT, INHERIT, FAKE_MEMORY_SIZE - 3, 4, PARAMS_AT, 51, ID_AT, "function name"},
        {INHERIT, INHERIT, 0xFFFFFFFF, 0xFFFFFFFF, PARAMS_AT, 51, ID_AT, "function name"},
        {INHERIT, INHERIT, PARAMS_AT + 100, 1, PARAMS_AT, 51, ID_AT, "UTF-8"},
        {INHERIT, INHERIT, NAME_AT, 4, FAKE_MEMORY_SIZE - 50, 51, ID_AT, "params: pointer"},
        {INHERIT, INHERIT, NAME_AT, 4, PARAMS_AT, 50, ID_AT, "whole number"},
        {INHERIT, INHERIT, NAME_AT, 4, 1000, 17 * 17, ID_AT, "values are more"},
        {INHERIT, INHERIT, NAME_AT, 4, NAME_AT, 17, ID_AT, "unknown type"},
        {INHERIT, INHERIT, NAME_AT, 4, PARAMS_AT, 51, FAKE_MEMORY_SIZE - 7, "id: pointer"},
        {INHERIT, INHERIT, NAME_AT, 4, PARAMS_AT, 51, 0xFFFFFFFF, "id: pointer"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct actor actor = actor_spawn(&f->world);
        prepare(&actor);
        *actor_memory(&actor, PARAMS_AT + 100) = 0xFF;
        uint64_t last = f->world.environment->pid_last;
        assert_says(TRAP(&actor, PROCESS, "spawn", 0, bad[i].config, bad[i].module, bad[i].name,
                         bad[i].name_size, bad[i].params, bad[i].params_size, bad[i].id),
                    bad[i].says);
        assert_int_equal(f->world.environment->pid_last, last);
        /* And the same by name; the name is free afterwards. */
        actor = actor_spawn(&f->world);
        prepare(&actor);
        *actor_memory(&actor, PARAMS_AT + 100) = 0xFF;
        last = f->world.environment->pid_last;
        assert_says(TRAP(&actor, PROCESS, "get_or_spawn", NAME_AT, 4, 0, bad[i].config,
                         bad[i].module, bad[i].name, bad[i].name_size, bad[i].params,
                         bad[i].params_size, NODE_AT, bad[i].id),
                    bad[i].says);
        assert_int_equal(f->world.environment->pid_last, last);
        assert_int_equal(f->world.environment->registry.names.count, 0);
    }
}

static void a_child_that_cannot_be_made_is_an_error(void **state)
{
    struct fixture *f = *state;
    /* Its memory begins larger than its configuration allows. */
    uint64_t config = CALL(&f->a, PROCESS, "create_config");
    (void)CALL(&f->a, PROCESS, "config_set_max_memory", config, FAKE_MEMORY_SIZE - 1);
    assert_int_equal(spawn(&f->a, 0, config, INHERIT), 1);
    check_error(&f->a, actor_u64(&f->a, ID_AT), "not enough memory");
    /* What runs when it is instantiated fails. */
    fake_starts_vary = true;
    uint32_t failed = 0;
    for (uint32_t i = 0; i < 10; i++) {
        actor_guest(&f->a)->module->has_start = true;
        if (spawn(&f->a, 0, INHERIT, INHERIT) == 1) {
            failed++;
            check_error(&f->a, actor_u64(&f->a, ID_AT), "its start function trapped");
        }
    }
    fake_starts_vary = false;
    assert_true(failed > 0 && failed < 10);
    actor_guest(&f->a)->module->has_start = false;
    /* There are as many as there can be. */
    while (pd_environment_count(f->world.environment) < f->world.runtime.config.processes_max) {
        (void)actor_spawn(&f->world);
    }
    assert_int_equal(spawn(&f->a, 0, INHERIT, INHERIT), 1);
    check_error(&f->a, actor_u64(&f->a, ID_AT), "limit of processes");
}

static void links_of_one_process_are_bounded(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < f->world.runtime.config.bonds_max; i++) {
        assert_int_equal(spawn(&f->a, 1, INHERIT, INHERIT), 0);
    }
    uint32_t before = pd_environment_count(f->world.environment);
    assert_int_equal(spawn(&f->a, 1, INHERIT, INHERIT), 1);
    check_error(&f->a, actor_u64(&f->a, ID_AT), "limit of processes or links");
    assert_int_equal(pd_environment_count(f->world.environment), before);
    assert_int_equal(spawn(&f->a, 0, INHERIT, INHERIT), 0); /* without a link there is room */
}

/* --- Names ------------------------------------------------------------------------------------ */

static uint32_t get_or_spawn(struct actor *actor, const char *name)
{
    prepare(actor);
    uint32_t size = actor_put(actor, 300, name);
    return (uint32_t)CALL(actor, PROCESS, "get_or_spawn", 300, size, 0, INHERIT, INHERIT, NAME_AT,
                          4, PARAMS_AT, 51, NODE_AT, ID_AT);
}

static void a_name_is_spawned_once(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(get_or_spawn(&f->a, "db"), 0);
    uint64_t pid = actor_u64(&f->a, ID_AT);
    assert_int_equal(actor_u64(&f->a, NODE_AT), 0);
    assert_int_equal(get_or_spawn(&f->b, "db"), 2);
    assert_int_equal(actor_u64(&f->b, ID_AT), pid);
    assert_int_equal(actor_u64(&f->b, NODE_AT), 0);
    struct actor child = actor_of(&f->world, pid);
    kill_actor(&child);
    assert_int_equal(get_or_spawn(&f->b, "db"), 0); /* its name went with it */
    assert_int_not_equal(actor_u64(&f->b, ID_AT), pid);
}

static void a_name_that_is_held_is_waited_for(void **state)
{
    struct fixture *f = *state;
    uint32_t size = actor_put(&f->a, 300, "db");
    assert_int_equal(CALL(&f->a, "lunatic::registry", "get_or_put_later", 300, size, 0, 8), 1);
    prepare(&f->b);
    (void)actor_put(&f->b, 300, "db");
    BEGIN(&f->b, PROCESS, "get_or_spawn", 300, size, 0, INHERIT, INHERIT, NAME_AT, 4, 0, 0, NODE_AT,
          ID_AT);
    world_pass(&f->world, 10 * MS);
    assert_true(actor_is_waiting(&f->b));
    (void)CALL(&f->a, "lunatic::registry", "put", 300, size, 4, f->a.pid);
    actor_finish(&f->b);
    assert_int_equal(actor_result(&f->b), 2);
    assert_int_equal(actor_u64(&f->b, NODE_AT), 4);
    assert_int_equal(actor_u64(&f->b, ID_AT), f->a.pid);
}

static void a_name_that_cannot_be_had_is_an_error(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(get_or_spawn(&f->a, ""), 1);
    check_error(&f->a, actor_u64(&f->a, ID_AT), "cannot hold the name");
    for (char i = 0; i < 16; i++) {
        const char name[2] = {(char)('a' + i), '\0'};
        assert_int_equal(get_or_spawn(&f->a, name), 0);
    }
    uint64_t last = f->world.environment->pid_last;
    assert_int_equal(get_or_spawn(&f->a, "one too many"), 1);
    check_error(&f->a, actor_u64(&f->a, ID_AT), "cannot hold the name");
    assert_int_equal(f->world.environment->pid_last, last);
}

/* There is no memory for the name of a child that runs already: it goes, and its parent, who would
 * die with it, does not. */
static void a_child_that_cannot_be_named_goes(void **state)
{
    struct fixture *f = *state;
    uint32_t count = pd_environment_count(f->world.environment);
    uint32_t unnamed = 0;
    for (uint64_t nth = 1; nth <= 12; nth++) {
        prepare(&f->a);
        pd_alloc_fail_nth(nth);
        uint32_t result = (uint32_t)CALL(&f->a, PROCESS, "get_or_spawn", NAME_AT, 4, 7, INHERIT,
                                         INHERIT, NAME_AT, 4, PARAMS_AT, 51, NODE_AT, ID_AT);
        pd_alloc_fail_nth(0);
        world_pass(&f->world, MS);
        assert_true(actor_lives(&f->a));
        if (result == 0) {
            struct actor child = actor_of(&f->world, actor_u64(&f->a, ID_AT));
            (void)CALL(&f->a, PROCESS, "unlink", child.pid);
            kill_actor(&child);
            continue;
        }
        assert_int_equal(result, 1);
        unnamed += strstr(actor_error_text(&f->a, actor_u64(&f->a, ID_AT), 1000),
                          "cannot name the new process") != NULL;
        assert_int_equal(pd_environment_count(f->world.environment), count);
        assert_int_equal(f->world.environment->registry.names.count, 0);
        assert_int_equal(receive(&f->a), TIMED_OUT);
    }
    assert_true(unnamed > 0);
}

static void bad_pointers_of_names_trap(void **state)
{
    struct fixture *f = *state;
    static const struct {
        uint64_t name, size, node, id;
        const char *says;
    } bad[] = {
        {FAKE_MEMORY_SIZE - 1, 2, NODE_AT, ID_AT, "name: pointer"},
        {0xFFFFFFFF, 0xFFFFFFFF, NODE_AT, ID_AT, "name: pointer"},
        {PARAMS_AT + 100, 1, NODE_AT, ID_AT, "UTF-8"},
        {NAME_AT, 4, FAKE_MEMORY_SIZE - 7, ID_AT, "node id: pointer"},
        {NAME_AT, 4, NODE_AT, FAKE_MEMORY_SIZE - 7, "id: pointer"},
        {NAME_AT, 4, 0xFFFFFFFF, ID_AT, "node id: pointer"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        for (int is_found = 0; is_found < 2; is_found++) {
            struct actor actor = actor_spawn(&f->world);
            prepare(&actor);
            *actor_memory(&actor, PARAMS_AT + 100) = 0xFF;
            if (is_found != 0) {
                (void)CALL(&actor, "lunatic::registry", "put", NAME_AT, 4, 0, actor.pid);
            }
            uint64_t last = f->world.environment->pid_last;
            assert_says(TRAP(&actor, PROCESS, "get_or_spawn", bad[i].name, bad[i].size, 0, INHERIT,
                             INHERIT, NAME_AT, 4, 0, 0, bad[i].node, bad[i].id),
                        bad[i].says);
            assert_int_equal(f->world.environment->pid_last, last); /* nobody was spawned */
            assert_int_equal(f->world.environment->registry.names.count, 0);
        }
    }
}

/* --- Links and monitors ----------------------------------------------------------------------- */

static void both_sides_of_a_link_have_its_tag(void **state)
{
    struct fixture *f = *state;
    struct actor mortal = actor_spawn(&f->world);
    (void)CALL(&f->a, PROCESS, "die_when_link_dies", 0);
    (void)CALL(&f->b, PROCESS, "die_when_link_dies", 0);
    (void)CALL(&f->a, PROCESS, "link", 5, mortal.pid);
    (void)CALL(&mortal, PROCESS, "link", 6, f->b.pid);
    world_pass(&f->world, MS);
    kill_actor(&mortal);
    assert_int_equal(receive(&f->a), LINK_DIED);
    assert_int_equal(CALL(&f->a, MESSAGE, "get_tag"), 5);
    assert_int_equal(receive(&f->b), LINK_DIED);
    assert_int_equal(CALL(&f->b, MESSAGE, "get_tag"), 6);
    assert_int_equal(receive(&f->a), TIMED_OUT); /* once */
}

static void who_is_linked_dies_along(void **state)
{
    struct fixture *f = *state;
    (void)CALL(&f->a, PROCESS, "die_when_link_dies", 0);
    (void)CALL(&f->a, PROCESS, "die_when_link_dies", 7); /* any number but 0; and the default */
    (void)CALL(&f->a, PROCESS, "link", 5, f->b.pid);
    world_pass(&f->world, MS);
    kill_actor(&f->b);
    assert_false(actor_lives(&f->a));
    assert_int_not_equal(f->world.last_reason, PD_EXIT_NORMAL);
}

/* A normal end removes the link and says nothing. */
static void a_normal_end_is_not_told_to_links(void **state)
{
    struct fixture *f = *state;
    struct actor c = actor_spawn(&f->world);
    (void)CALL(&f->a, PROCESS, "link", 5, f->b.pid);
    (void)CALL(&c, PROCESS, "die_when_link_dies", 0);
    (void)CALL(&c, PROCESS, "link", 5, f->b.pid);
    (void)CALL(&c, PROCESS, "monitor", f->b.pid);
    world_pass(&f->world, MS);
    BEGIN(&f->b, "wasi_snapshot_preview1", "proc_exit", 0);
    world_pass(&f->world, MS);
    assert_false(actor_lives(&f->b));
    assert_true(actor_lives(&f->a));
    assert_int_equal(receive(&f->a), TIMED_OUT);
    assert_int_equal(receive(&c), PROCESS_DIED); /* monitors are always told */
    assert_int_equal(receive(&c), TIMED_OUT);
}

static void who_unlinks_is_not_told(void **state)
{
    struct fixture *f = *state;
    (void)CALL(&f->a, PROCESS, "link", 5, f->b.pid);
    (void)CALL(&f->a, PROCESS, "unlink", f->b.pid);
    (void)CALL(&f->a, PROCESS, "unlink", f->b.pid); /* nothing left to undo */
    world_pass(&f->world, MS);
    kill_actor(&f->b);
    assert_true(actor_lives(&f->a));
    assert_int_equal(receive(&f->a), TIMED_OUT);
}

static void a_link_to_nobody_is_a_death(void **state)
{
    struct fixture *f = *state;
    static const uint64_t missing[] = {0, 99, UINT64_MAX};
    (void)CALL(&f->a, PROCESS, "die_when_link_dies", 0);
    for (size_t i = 0; i < 3; i++) {
        (void)CALL(&f->a, PROCESS, "link", 5 + i, missing[i]);
        assert_int_equal(receive(&f->a), LINK_DIED);
        assert_int_equal(CALL(&f->a, MESSAGE, "get_tag"), 5 + i);
        struct actor actor = actor_spawn(&f->world);
        BEGIN(&actor, PROCESS, "link", 5, missing[i]);
        world_pass(&f->world, MS);
        assert_false(actor_lives(&actor)); /* as it does not trap deaths */
    }
}

static void a_monitor_tells_of_any_end(void **state)
{
    struct fixture *f = *state;
    (void)CALL(&f->a, PROCESS, "monitor", f->b.pid);
    world_pass(&f->world, MS);
    kill_actor(&f->b);
    assert_int_equal(receive(&f->a), PROCESS_DIED);
    assert_int_equal(CALL(&f->a, MESSAGE, "get_process_id"), f->b.pid);
    assert_int_equal(receive(&f->a), TIMED_OUT);
}

static void a_monitor_ends(void **state)
{
    struct fixture *f = *state;
    (void)CALL(&f->a, PROCESS, "monitor", f->b.pid);
    (void)CALL(&f->a, PROCESS, "stop_monitoring", f->b.pid);
    (void)CALL(&f->a, PROCESS, "stop_monitoring", f->b.pid);
    world_pass(&f->world, MS);
    kill_actor(&f->b);
    assert_int_equal(receive(&f->a), TIMED_OUT);
}

static void nobody_is_no_error(void **state)
{
    struct fixture *f = *state;
    static const char *const calls[] = {"unlink", "monitor", "stop_monitoring", "kill"};
    static const uint64_t missing[] = {0, 99, UINT64_C(1) << 40, UINT64_MAX};
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < 4; j++) {
            const uint64_t arguments[1] = {missing[j]};
            (void)actor_call(&f->a, PROCESS, calls[i], arguments, 1);
            assert_int_equal(receive(&f->a), TIMED_OUT); /* no notice either */
        }
    }
}

static void bonds_are_bounded(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i <= f->world.runtime.config.bonds_max; i++) {
        struct actor other = actor_spawn(&f->world);
        if (i < f->world.runtime.config.bonds_max) {
            (void)CALL(&f->a, PROCESS, "link", 1, other.pid);
        } else {
            assert_says(TRAP(&f->a, PROCESS, "link", 1, other.pid), "cannot link or monitor");
        }
        if (i < f->world.runtime.config.bonds_max) {
            (void)CALL(&f->b, PROCESS, "monitor", other.pid);
        } else {
            assert_says(TRAP(&f->b, PROCESS, "monitor", other.pid), "cannot link or monitor");
        }
    }
}

static void a_kill_cannot_be_trapped(void **state)
{
    struct fixture *f = *state;
    (void)CALL(&f->b, PROCESS, "die_when_link_dies", 0);
    (void)CALL(&f->a, PROCESS, "kill", f->b.pid);
    world_pass(&f->world, MS);
    assert_false(actor_lives(&f->b));
    assert_int_equal(f->world.last_reason, PD_EXIT_KILLED);
    BEGIN(&f->a, PROCESS, "kill", f->a.pid);
    world_pass(&f->world, MS);
    assert_false(actor_lives(&f->a));
}

/* --- Identity and time ------------------------------------------------------------------------ */

static void a_process_knows_itself_and_others(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(CALL(&f->a, PROCESS, "process_id"), f->a.pid);
    assert_int_equal(CALL(&f->b, PROCESS, "process_id"), f->a.pid + 1);
    assert_int_equal(CALL(&f->a, PROCESS, "environment_id"), 1);
    assert_int_equal(CALL(&f->a, PROCESS, "exists", f->a.pid), 1);
    assert_int_equal(CALL(&f->a, PROCESS, "exists", f->b.pid), 1);
    kill_actor(&f->b);
    static const uint64_t missing[] = {0, 99, UINT64_C(1) << 40, UINT64_MAX};
    assert_int_equal(CALL(&f->a, PROCESS, "exists", f->b.pid), 0);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(CALL(&f->a, PROCESS, "exists", missing[i]), 0);
    }
}

static void sleep_lasts_as_long_as_asked(void **state)
{
    struct fixture *f = *state;
    uint64_t before = f->world.host.now_ns;
    (void)CALL(&f->a, PROCESS, "sleep_ms", 0);
    assert_true(f->world.host.now_ns - before < MS);
    (void)CALL(&f->a, PROCESS, "sleep_ms", 50);
    assert_true(f->world.host.now_ns - before >= 50 * MS);
    /* A message does not wake it. */
    BEGIN(&f->a, PROCESS, "sleep_ms", 50);
    actor_create_message(&f->b, 0, "wake up");
    (void)CALL(&f->b, MESSAGE, "send", f->a.pid);
    assert_true(actor_is_waiting(&f->a));
    actor_finish(&f->a);
    assert_int_equal(receive(&f->a), DATA);
    /* For ever; a kill ends it. */
    static const uint64_t ages[] = {UINT64_MAX, UINT64_MAX / 1000000};
    for (size_t i = 0; i < 2; i++) {
        struct actor actor = actor_spawn(&f->world);
        BEGIN(&actor, PROCESS, "sleep_ms", ages[i]);
        world_pass(&f->world, 1000 * MS);
        assert_true(actor_is_waiting(&actor));
        kill_actor(&actor);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_child_is_spawned, setup, teardown),
        cmocka_unit_test_setup_teardown(the_parent_gets_the_links_tag, setup, teardown),
        cmocka_unit_test_setup_teardown(the_child_is_linked_without_a_tag, setup, teardown),
        cmocka_unit_test_setup_teardown(spawning_needs_the_right, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_spawns_while_being_instantiated, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_arguments_of_a_spawn_trap, setup, teardown),
        cmocka_unit_test_setup_teardown(a_child_that_cannot_be_made_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(links_of_one_process_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(a_name_is_spawned_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_name_that_is_held_is_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(a_name_that_cannot_be_had_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(a_child_that_cannot_be_named_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_pointers_of_names_trap, setup, teardown),
        cmocka_unit_test_setup_teardown(both_sides_of_a_link_have_its_tag, setup, teardown),
        cmocka_unit_test_setup_teardown(who_is_linked_dies_along, setup, teardown),
        cmocka_unit_test_setup_teardown(a_normal_end_is_not_told_to_links, setup, teardown),
        cmocka_unit_test_setup_teardown(who_unlinks_is_not_told, setup, teardown),
        cmocka_unit_test_setup_teardown(a_link_to_nobody_is_a_death, setup, teardown),
        cmocka_unit_test_setup_teardown(a_monitor_tells_of_any_end, setup, teardown),
        cmocka_unit_test_setup_teardown(a_monitor_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_is_no_error, setup, teardown),
        cmocka_unit_test_setup_teardown(bonds_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(a_kill_cannot_be_trapped, setup, teardown),
        cmocka_unit_test_setup_teardown(a_process_knows_itself_and_others, setup, teardown),
        cmocka_unit_test_setup_teardown(sleep_lasts_as_long_as_asked, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
