/* lunatic::distributed on a node of a cluster of one: it lists, finds, spawns on and sends to
 * itself, and knows nobody else. */
#include "abi_actor.h"

#define DISTRIBUTED "lunatic::distributed"
#define MESSAGE "lunatic::message"
#define TIMED_OUT 9027u
#define OWN 0u
#define NAME_AT 100u
#define PARAMS_AT 200u
#define ID_AT 400u
#define COUNT_AT 408u
#define ERROR_AT 416u
#define NODES_AT 500u
#define UNTOUCHED UINT64_C(0xEEEEEEEEEEEEEEEE)

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

static void check_error(struct actor *actor, uint32_t address, const char *part)
{
    assert_says(actor_error_text(actor, actor_u64(actor, address), 1000), part);
}

/* --- Who is there ----------------------------------------------------------------------------- */

static void a_cluster_of_one_lists_itself(void **state)
{
    struct fixture *f = *state;
    struct actor *actor = &f->actor;
    assert_int_equal(CALL(actor, DISTRIBUTED, "nodes_count"), 1);
    assert_int_equal(CALL(actor, DISTRIBUTED, "node_id"), OWN);
    assert_int_equal(CALL(actor, DISTRIBUTED, "module_id"), 0);
    memset(actor_memory(actor, NODES_AT), 0xEE, 16);
    assert_int_equal(CALL(actor, DISTRIBUTED, "get_nodes", NODES_AT, 0), 0);
    assert_true(actor_u64(actor, NODES_AT) == UNTOUCHED);
    assert_int_equal(CALL(actor, DISTRIBUTED, "get_nodes", NODES_AT, 0xFFFFFFFF), 1);
    assert_int_equal(actor_u64(actor, NODES_AT), OWN);
    assert_true(actor_u64(actor, NODES_AT + 8) == UNTOUCHED); /* only what it has */
    assert_int_equal(CALL(actor, DISTRIBUTED, "get_nodes", FAKE_MEMORY_SIZE - 8, 1), 1);
    assert_says(TRAP(actor, DISTRIBUTED, "get_nodes", FAKE_MEMORY_SIZE - 7, 1), "out of bounds");
}

/* The id that the registry and get_or_spawn tell is the node's own. */
static void names_are_on_the_own_node(void **state)
{
    struct fixture *f = *state;
    uint32_t size = actor_put(&f->actor, NAME_AT, "here");
    assert_int_equal(CALL(&f->actor, "lunatic::process", "get_or_spawn", NAME_AT, size, 0,
                          UINT64_MAX, UINT64_MAX, NAME_AT, size, 0, 0, COUNT_AT, ID_AT),
                     0);
    assert_int_equal(actor_u64(&f->actor, COUNT_AT), CALL(&f->actor, DISTRIBUTED, "node_id"));
}

/* --- Lookups ---------------------------------------------------------------------------------- */

static uint64_t look_up(struct actor *actor, const char *query, uint64_t count)
{
    uint32_t size = actor_put(actor, NAME_AT, query);
    assert_int_equal(
        CALL(actor, DISTRIBUTED, "exec_lookup_nodes", NAME_AT, size, ID_AT, COUNT_AT, ERROR_AT), 0);
    assert_int_equal(actor_u64(actor, COUNT_AT), count);
    return actor_u64(actor, ID_AT);
}

static uint32_t copy(struct actor *actor, uint64_t id, uint32_t max)
{
    memset(actor_memory(actor, NODES_AT), 0xEE, 8);
    return (uint32_t)CALL(actor, DISTRIBUTED, "copy_lookup_nodes_results", id, NODES_AT, max,
                          ERROR_AT);
}

static void a_query_for_nothing_finds_the_node(void **state)
{
    struct fixture *f = *state;
    uint64_t all = look_up(&f->actor, "", 1);
    uint64_t some = look_up(&f->actor, "name=node01&group=workers", 0);
    assert_int_not_equal(all, some);
    assert_int_equal(copy(&f->actor, some, 5), 0);
    assert_true(actor_u64(&f->actor, NODES_AT) == UNTOUCHED);
    assert_int_equal(copy(&f->actor, all, 5), 1);
    assert_int_equal(actor_u64(&f->actor, NODES_AT), OWN);
    assert_int_equal(copy(&f->actor, look_up(&f->actor, "", 1), 0), 0); /* room for none */
    assert_true(actor_u64(&f->actor, NODES_AT) == UNTOUCHED);
}

static void results_are_read_once(void **state)
{
    struct fixture *f = *state;
    uint64_t id = look_up(&f->actor, "", 1);
    assert_int_equal(copy(&f->actor, id, 1), 1);
    assert_int_equal(copy(&f->actor, id, 1), UINT32_MAX);
    check_error(&f->actor, ERROR_AT, "read already");
    assert_int_equal(copy(&f->actor, id + 1, 1), UINT32_MAX); /* never asked */
    check_error(&f->actor, ERROR_AT, "no query has the id 1");
    assert_int_equal(copy(&f->actor, UINT64_MAX, 1), UINT32_MAX);
    struct actor other = actor_spawn(&f->world);
    (void)look_up(&f->actor, "", 1);
    assert_int_equal(copy(&other, 1, 1), UINT32_MAX); /* whose they are */
}

static void the_newest_results_are_kept(void **state)
{
    struct fixture *f = *state;
    uint64_t first = look_up(&f->actor, "", 1);
    for (uint32_t i = 1; i < PD_LOOKUPS_KEPT; i++) {
        (void)look_up(&f->actor, "a=b", 0);
    }
    assert_int_equal(copy(&f->actor, first, 1), 1); /* the oldest that is kept */
    first = look_up(&f->actor, "", 1);
    for (uint32_t i = 0; i < PD_LOOKUPS_KEPT; i++) {
        (void)look_up(&f->actor, "a=b", 0);
    }
    assert_int_equal(copy(&f->actor, first, 1), UINT32_MAX);
    assert_int_equal(copy(&f->actor, first + 1, 1), 0);
}

static void a_query_is_text_of_a_sane_size(void **state)
{
    struct fixture *f = *state;
    memset(actor_memory(&f->actor, 2000), 'q', 4097);
    assert_int_equal(
        CALL(&f->actor, DISTRIBUTED, "exec_lookup_nodes", 2000, 4096, ID_AT, COUNT_AT, ERROR_AT),
        0);
    assert_int_equal(
        CALL(&f->actor, DISTRIBUTED, "exec_lookup_nodes", 2000, 4097, ID_AT, COUNT_AT, ERROR_AT),
        1);
    check_error(&f->actor, ERROR_AT, "4097 bytes");
    *actor_memory(&f->actor, 2000) = 0xFF;
    assert_says(
        TRAP(&f->actor, DISTRIBUTED, "exec_lookup_nodes", 2000, 1, ID_AT, COUNT_AT, ERROR_AT),
        "UTF-8");
}

/* Each pointer alone is bad: a trap, and the result is still there. */
static void bad_pointers_of_lookups_trap(void **state)
{
    struct fixture *f = *state;
    static const uint64_t bad[] = {FAKE_MEMORY_SIZE - 7, FAKE_MEMORY_SIZE, 0xFFFFFFFF};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct actor actor = actor_spawn(&f->world);
        assert_says(TRAP(&actor, DISTRIBUTED, "exec_lookup_nodes", bad[i], 8, 0, 8, 16), "query");
        actor = actor_spawn(&f->world);
        assert_says(TRAP(&actor, DISTRIBUTED, "exec_lookup_nodes", 0, 0, bad[i], 8, 16),
                    "query id");
        actor = actor_spawn(&f->world);
        assert_says(TRAP(&actor, DISTRIBUTED, "exec_lookup_nodes", 0, 0, 0, bad[i], 16), "count");
        actor = actor_spawn(&f->world);
        assert_says(TRAP(&actor, DISTRIBUTED, "exec_lookup_nodes", 0, 4097, 0, 8, bad[i]),
                    "error id");
        actor = actor_spawn(&f->world);
        (void)look_up(&actor, "", 1);
        assert_says(TRAP(&actor, DISTRIBUTED, "copy_lookup_nodes_results", 0, bad[i], 1, 0),
                    "node ids");
        actor = actor_spawn(&f->world);
        assert_says(TRAP(&actor, DISTRIBUTED, "copy_lookup_nodes_results", 0, 0, 1, bad[i]),
                    "error id");
    }
}

/* --- Spawning --------------------------------------------------------------------------------- */

#define SPAWN(actor, node, config, module)                                                         \
    CALL(actor, DISTRIBUTED, "spawn", node, config, module, NAME_AT, 4, PARAMS_AT, 17, ID_AT)
#define SPAWN_TRAP(actor, node, config, module, ...)                                               \
    TRAP(actor, DISTRIBUTED, "spawn", node, config, module, __VA_ARGS__)

/* A function's name, and one parameter. */
static void prepare_spawn(struct actor *actor)
{
    (void)actor_put(actor, NAME_AT, "main");
    memset(actor_memory(actor, PARAMS_AT), 0, 17);
    *actor_memory(actor, PARAMS_AT) = 0x7F;
}

static void a_process_is_spawned_here(void **state)
{
    struct fixture *f = *state;
    prepare_spawn(&f->actor);
    assert_int_equal(SPAWN(&f->actor, OWN, UINT64_MAX, 0), 0);
    struct actor child = actor_of(&f->world, actor_u64(&f->actor, ID_AT));
    assert_true(actor_lives(&child));
    assert_int_not_equal(child.pid, f->actor.pid);
    assert_string_equal(actor_wasm(&child)->function, "main");
    assert_ptr_equal(actor_wasm(&child)->rights, actor_wasm(&f->actor)->rights); /* inherited */
    uint64_t config = CALL(&f->actor, "lunatic::process", "create_config");
    assert_int_equal(SPAWN(&f->actor, OWN, config, 0), 0);
    child = actor_of(&f->world, actor_u64(&f->actor, ID_AT));
    assert_false(actor_wasm(&child)->rights->can_spawn);
    /* They are not linked. */
    assert_int_equal(pd_mailbox_kill(f->world.environment, child.pid, PD_EXIT_KILLED, NULL), PD_OK);
    world_pass(&f->world, MS);
    assert_true(actor_lives(&f->actor));
}

static void a_module_that_no_node_knows_is_an_error(void **state)
{
    struct fixture *f = *state;
    prepare_spawn(&f->actor);
    uint64_t last = f->world.environment->pid_last;
    static const uint64_t unknown[] = {1, 99, UINT64_MAX};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(SPAWN(&f->actor, OWN, UINT64_MAX, unknown[i]), 2);
        check_error(&f->actor, ID_AT, "no node knows a module");
    }
    assert_int_equal(f->world.environment->pid_last, last);
}

static void spawning_needs_a_node_and_a_right(void **state)
{
    struct fixture *f = *state;
    static const uint64_t nodes[] = {1, UINT64_MAX};
    for (size_t i = 0; i < 2; i++) {
        struct actor actor = actor_spawn(&f->world);
        prepare_spawn(&actor);
        assert_says(SPAWN_TRAP(&actor, nodes[i], UINT64_MAX, 0, NAME_AT, 4, PARAMS_AT, 17, ID_AT),
                    "no node has the id");
    }
    struct pd_rights *poor = world_rights(&f->world);
    poor->can_spawn = false;
    struct actor actor = actor_spawn_with(&f->world, poor);
    pd_rights_release(poor);
    prepare_spawn(&actor);
    assert_says(SPAWN_TRAP(&actor, OWN, UINT64_MAX, 0, NAME_AT, 4, PARAMS_AT, 17, ID_AT),
                "permission denied");
    assert_int_equal(f->world.last_reason, PD_EXIT_DENIED);
}

static void a_spawn_that_fails_traps(void **state)
{
    struct fixture *f = *state;
    prepare_spawn(&f->actor);
    while (pd_environment_count(f->world.environment) < f->world.runtime.config.processes_max) {
        (void)actor_spawn(&f->world);
    }
    assert_says(SPAWN_TRAP(&f->actor, OWN, UINT64_MAX, 0, NAME_AT, 4, PARAMS_AT, 17, ID_AT),
                "limit of processes");
}

static void bad_arguments_of_a_spawn_trap(void **state)
{
    struct fixture *f = *state;
    static const struct {
        uint64_t config, name, name_size, params, params_size, id;
        const char *says;
    } bad[] = {
        {99, NAME_AT, 4, PARAMS_AT, 17, ID_AT, "no configuration"},
        {UINT64_MAX, FAKE_MEMORY_SIZE - 3, 4, PARAMS_AT, 17, ID_AT, "function name"},
        {UINT64_MAX, 0xFFFFFFFF, 0xFFFFFFFF, PARAMS_AT, 17, ID_AT, "function name"},
        {UINT64_MAX, PARAMS_AT + 100, 1, PARAMS_AT, 17, ID_AT, "UTF-8"},
        {UINT64_MAX, NAME_AT, 4, FAKE_MEMORY_SIZE - 16, 17, ID_AT, "params"},
        {UINT64_MAX, NAME_AT, 4, PARAMS_AT, 16, ID_AT, "whole number"},
        {UINT64_MAX, NAME_AT, 4, PARAMS_AT, 17 * 64, ID_AT, "values are more"},
        {UINT64_MAX, NAME_AT, 4, NAME_AT, 17, ID_AT, "unknown type"},
        {UINT64_MAX, NAME_AT, 4, PARAMS_AT, 17, FAKE_MEMORY_SIZE - 7, "id"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct actor actor = actor_spawn(&f->world);
        prepare_spawn(&actor);
        *actor_memory(&actor, PARAMS_AT + 100) = 0xFF;
        assert_says(SPAWN_TRAP(&actor, OWN, bad[i].config, 0, bad[i].name, bad[i].name_size,
                               bad[i].params, bad[i].params_size, bad[i].id),
                    bad[i].says);
    }
}

/* --- Sending ---------------------------------------------------------------------------------- */

static void a_message_arrives_here(void **state)
{
    struct fixture *f = *state;
    struct actor receiver = actor_spawn(&f->world);
    char text[100];
    actor_create_message(&f->actor, 9, "hello");
    assert_int_equal(CALL(&f->actor, DISTRIBUTED, "send", OWN, receiver.pid), 0);
    assert_int_equal(actor_receive(&receiver, text, sizeof text), 0);
    assert_string_equal(text, "hello");
    assert_int_equal(CALL(&receiver, MESSAGE, "get_tag"), 9);
    assert_null(actor_wasm(&f->actor)->scratch);
    actor_create_message(&f->actor, 9, "nobody is there");
    assert_int_equal(CALL(&f->actor, DISTRIBUTED, "send", OWN, 200), 0); /* dropped */
    assert_null(actor_wasm(&f->actor)->scratch);
}

static void a_request_is_answered_or_times_out(void **state)
{
    struct fixture *f = *state;
    struct actor server = actor_spawn(&f->world);
    actor_create_message(&f->actor, 9, "question");
    BEGIN(&f->actor, DISTRIBUTED, "send_receive_skip_search", OWN, server.pid, 7, UINT64_MAX);
    assert_true(actor_is_waiting(&f->actor));
    actor_create_message(&server, 6, "not this");
    assert_int_equal(CALL(&server, DISTRIBUTED, "send", OWN, f->actor.pid), 0);
    actor_create_message(&server, 7, "answer");
    assert_int_equal(CALL(&server, DISTRIBUTED, "send", OWN, f->actor.pid), 0);
    actor_finish(&f->actor);
    assert_int_equal(actor_result(&f->actor), 0);
    assert_int_equal(CALL(&f->actor, MESSAGE, "get_tag"), 7);
    actor_create_message(&f->actor, 9, "question");
    uint64_t before = f->world.host.now_ns;
    assert_int_equal(
        CALL(&f->actor, DISTRIBUTED, "send_receive_skip_search", OWN, server.pid, 8, 50),
        TIMED_OUT);
    assert_true(f->world.host.now_ns - before >= 50 * MS);
    assert_null(actor_wasm(&f->actor)->scratch);
}

static const char *const sends[] = {"send", "send_receive_skip_search"};

static void other_nodes_are_unknown(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < 2; i++) {
        static const uint64_t nodes[] = {1, UINT64_MAX};
        for (size_t j = 0; j < 2; j++) {
            struct actor actor = actor_spawn(&f->world);
            actor_create_message(&actor, 1, "x");
            const uint64_t arguments[4] = {nodes[j], f->actor.pid, 1, 0};
            assert_says(actor_trap(&actor, DISTRIBUTED, sends[i], arguments, 4),
                        "no node has the id");
        }
    }
    char text[100];
    assert_int_equal(actor_receive(&f->actor, text, sizeof text), TIMED_OUT);
}

static void only_plain_data_leaves_a_node(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < 2; i++) {
        const uint64_t arguments[4] = {OWN, f->actor.pid, 1, 0};
        struct actor actor = actor_spawn(&f->world);
        assert_says(actor_trap(&actor, DISTRIBUTED, sends[i], arguments, 4), "no message");
        /* A module in it; once that is taken out the rest may go. */
        actor = actor_spawn(&f->world);
        memcpy(actor_memory(&actor, 0), "\0asm", 4);
        assert_int_equal(CALL(&actor, "lunatic::process", "compile_module", 0, 4, 16), 0);
        actor_create_message(&actor, 1, "x");
        uint64_t index = CALL(&actor, MESSAGE, "push_module", actor_u64(&actor, 16));
        assert_int_equal(CALL(&actor, MESSAGE, "take_module", index), 1);
        (void)actor_call(&actor, DISTRIBUTED, sends[i], arguments, 4);
        actor_create_message(&actor, 1, "x");
        (void)CALL(&actor, MESSAGE, "push_module", 0);
        assert_says(actor_trap(&actor, DISTRIBUTED, sends[i], arguments, 4), "attached resources");
        /* The notice of a death. */
        actor = actor_spawn(&f->world);
        struct actor mortal = actor_spawn(&f->world);
        (void)CALL(&actor, "lunatic::process", "monitor", mortal.pid);
        assert_int_equal(pd_mailbox_kill(f->world.environment, mortal.pid, PD_EXIT_KILLED, NULL),
                         PD_OK);
        assert_int_equal(CALL(&actor, MESSAGE, "receive", 0, 0, UINT64_MAX), 2);
        assert_says(actor_trap(&actor, DISTRIBUTED, sends[i], arguments, 4), "notice of a death");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_cluster_of_one_lists_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(names_are_on_the_own_node, setup, teardown),
        cmocka_unit_test_setup_teardown(a_query_for_nothing_finds_the_node, setup, teardown),
        cmocka_unit_test_setup_teardown(results_are_read_once, setup, teardown),
        cmocka_unit_test_setup_teardown(the_newest_results_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(a_query_is_text_of_a_sane_size, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_pointers_of_lookups_trap, setup, teardown),
        cmocka_unit_test_setup_teardown(a_process_is_spawned_here, setup, teardown),
        cmocka_unit_test_setup_teardown(a_module_that_no_node_knows_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(spawning_needs_a_node_and_a_right, setup, teardown),
        cmocka_unit_test_setup_teardown(a_spawn_that_fails_traps, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_arguments_of_a_spawn_trap, setup, teardown),
        cmocka_unit_test_setup_teardown(a_message_arrives_here, setup, teardown),
        cmocka_unit_test_setup_teardown(a_request_is_answered_or_times_out, setup, teardown),
        cmocka_unit_test_setup_teardown(other_nodes_are_unknown, setup, teardown),
        cmocka_unit_test_setup_teardown(only_plain_data_leaves_a_node, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
