/* Requests, dynamic supervisors and significant children: scenarios as exact traces. */
#include "supervisor_world.h"

/* --- Requests --------------------------------------------------------------------------------- */

static void children_come_and_go_by_request(void **state)
{
    (void)state;
    struct world *world = world_of_three(PD_ONE_FOR_ONE);
    ask(world, PD_SUPERVISOR_START_CHILD, 1, NULL, spec_make("d", PD_CHILD_PERMANENT));
    expect(world, "spawn d; reply 1 d success; ");
    ask(world, PD_SUPERVISOR_START_CHILD, 2, NULL, spec_make("d", PD_CHILD_PERMANENT));
    expect(world, "reply 2 d already exists; ");
    ask(world, PD_SUPERVISOR_RESTART_CHILD, 3, "d", NULL);
    ask(world, PD_SUPERVISOR_DELETE_CHILD, 4, "d", NULL);
    expect(world, "reply 3 d already exists; reply 4 d already exists; ");
    ask(world, PD_SUPERVISOR_STOP_CHILD, 5, "d", NULL);
    expect(world, "shutdown d; reply 5 d success; ");
    ask(world, PD_SUPERVISOR_STOP_CHILD, 6, "d", NULL); /* again: it is down already */
    expect(world, "reply 6 d success; ");
    ask(world, PD_SUPERVISOR_RESTART_CHILD, 7, "d", NULL);
    expect(world, "spawn d; reply 7 d success; ");
    ask(world, PD_SUPERVISOR_STOP_CHILD, 8, "d", NULL);
    ask(world, PD_SUPERVISOR_DELETE_CHILD, 9, "d", NULL);
    ask(world, PD_SUPERVISOR_STOP_CHILD, 10, "d", NULL);
    expect(world, "shutdown d; reply 8 d success; reply 9 d success; reply 10 - not found; ");
    ask(world, PD_SUPERVISOR_STOP_CHILD, 11, NULL, NULL);
    ask(world, PD_SUPERVISOR_START_CHILD, 12, NULL, NULL);
    ask(world, (enum pd_supervisor_request_kind)99, 13, "a", NULL);
    expect(world, "reply 11 - not found; reply 12 - invalid; reply 13 a invalid; ");
    world_free(world);
}

static void a_child_is_named_for_ever_by_its_child_id(void **state)
{
    (void)state;
    struct world *world = world_of_three(PD_ONE_FOR_ONE);
    struct pd_supervisor_child child;
    assert_true(pd_supervisor_find_id(world->supervisor, "c", &child));
    struct pd_supervisor_event event = {
        .kind = PD_SUPERVISOR_REQUEST,
        .request = {.kind = PD_SUPERVISOR_STOP_CHILD, .ref = 1, .child = child.child}};
    step(world, event);
    settle(world);
    event.request.kind = PD_SUPERVISOR_DELETE_CHILD;
    step(world, event);
    settle(world);
    /* Its slot is used again, but the name is not. */
    ask(world, PD_SUPERVISOR_START_CHILD, 2, NULL, spec_make("d", PD_CHILD_PERMANENT));
    event.request.kind = PD_SUPERVISOR_STOP_CHILD;
    step(world, event);
    settle(world);
    expect(world, "shutdown c; reply 1 c success; reply 1 c success; spawn d; reply 2 d success; "
                  "reply 1 - not found; ");
    world_free(world);
}

static void a_child_that_cannot_start_leaves_no_spec(void **state)
{
    (void)state;
    struct world *world = world_of_three(PD_ONE_FOR_ALL);
    kind_of(world, "d")->failing_spawns = 1;
    ask(world, PD_SUPERVISOR_START_CHILD, 1, NULL, spec_make("d", PD_CHILD_PERMANENT));
    expect(world, "spawn d; reply 1 d invalid; ");
    assert_string_equal(world->last_text, "no module");
    assert_int_equal(pd_supervisor_count(world->supervisor).specs, 3);
    /* But one that was there keeps its spec. */
    ask(world, PD_SUPERVISOR_STOP_CHILD, 2, "c", NULL);
    kind_of(world, "c")->failing_spawns = 1;
    ask(world, PD_SUPERVISOR_RESTART_CHILD, 3, "c", NULL);
    expect(world, "shutdown c; reply 2 c success; spawn c; reply 3 c invalid; ");
    assert_int_equal(pd_supervisor_count(world->supervisor).specs, 3);
    world_free(world);
}

static void replace_swaps_the_spec_and_counts_nothing(void **state)
{
    (void)state;
    struct world *world = world_of_three(PD_ONE_FOR_ALL);
    for (uint64_t i = 0; i < 10; i++) {
        ask(world, PD_SUPERVISOR_REPLACE_CHILD, i, "b", spec_make("b", PD_CHILD_TRANSIENT));
    }
    struct pd_supervisor_child child;
    assert_true(pd_supervisor_find_id(world->supervisor, "b", &child));
    assert_int_equal(child.spec->restart, PD_CHILD_TRANSIENT);
    assert_int_equal(child.restart_count, 0);
    world->trace_size = 0;
    ask(world, PD_SUPERVISOR_REPLACE_CHILD, 11, "b", NULL);
    ask(world, PD_SUPERVISOR_REPLACE_CHILD, 12, "b", spec_make("x", PD_CHILD_TRANSIENT));
    expect(world, "shutdown b; spawn b; reply 11 b success; reply 12 b invalid; ");
    world_free(world);
}

static void requests_wait_for_the_operation_in_progress(void **state)
{
    (void)state;
    struct world *world = world_of_three(PD_ONE_FOR_ONE);
    kind_of(world, "a")->ignores_shutdown = true;
    ask(world, PD_SUPERVISOR_STOP_CHILD, 1, "a", NULL);
    ask(world, PD_SUPERVISOR_START_CHILD, 2, NULL, spec_make("d", PD_CHILD_PERMANENT));
    ask(world, PD_SUPERVISOR_STOP_CHILD, 3, "d", NULL);
    die(world, "c", PD_EXIT_FAILURE);
    expect(world, "shutdown a; ");
    assert_int_equal(pd_supervisor_count(world->supervisor).waiting, 2);
    tick_after(world, 100 * MS);
    expect(world, "no-stop a; kill a; reply 1 a success; spawn d; reply 2 d success; "
                  "shutdown d; reply 3 d success; restart c 1/3; spawn c; ");
    world_free(world);
}

static void requests_are_refused_while_stopping(void **state)
{
    (void)state;
    struct world *world = world_of_three(PD_ONE_FOR_ONE);
    kind_of(world, "c")->ignores_shutdown = true;
    ask(world, PD_SUPERVISOR_STOP_CHILD, 1, "c", NULL);
    ask(world, PD_SUPERVISOR_STOP_CHILD, 2, "b", NULL);
    die(world, "a", PD_EXIT_FAILURE);
    ask(world, PD_SUPERVISOR_START_CHILD, 3, NULL, spec_make("d", PD_CHILD_PERMANENT));
    stop(world, false);
    expect(world, "shutdown c; reply 1 - closed; reply 2 - closed; reply 3 - closed; ");
    ask(world, PD_SUPERVISOR_START_CHILD, 4, NULL, spec_make("d", PD_CHILD_PERMANENT));
    expect(world, "reply 4 - closed; ");
    tick_after(world, 100 * MS);
    expect(world, "no-stop c; kill c; shutdown b; stopped shutdown; ");
    ask(world, PD_SUPERVISOR_STOP_CHILD, 5, "b", NULL);
    expect(world, "reply 5 - closed; ");
    world_free(world);
}

static void stop_during_a_request_for_a_start(void **state)
{
    (void)state;
    struct world *world = world_of_three(PD_ONE_FOR_ONE);
    ask(world, PD_SUPERVISOR_START_CHILD, 1, NULL, spec_ready("d", PD_CHILD_PERMANENT));
    expect(world, "spawn d; ");
    stop(world, false);
    expect(world, "reply 1 - closed; shutdown d; shutdown c; shutdown b; shutdown a; "
                  "stopped shutdown; ");
    world_free(world);
}

static void the_request_queue_is_bounded(void **state)
{
    (void)state;
    struct pd_supervisor_config config = pd_supervisor_config_default();
    config.requests_max = 6;
    config.children_max = 2;
    struct world *world = world_make(config);
    add(world, spec_make("a", PD_CHILD_PERMANENT));
    add(world, spec_make("b", PD_CHILD_PERMANENT));
    kind_of(world, "b")->holds_spawn = true;
    step(world, (struct pd_supervisor_event){.kind = PD_SUPERVISOR_START});
    settle(world);
    for (uint64_t i = 1; i <= 7; i++) {
        ask(world, PD_SUPERVISOR_START_CHILD, i, NULL, spec_make("d", PD_CHILD_PERMANENT));
    }
    expect(world, "spawn a; spawn b; reply 7 - limit reached; ");
    answer_spawn(world, world->held);
    settle(world);
    expect(world, "up; reply 1 - limit reached; reply 2 - limit reached; reply 3 - limit reached; "
                  "reply 4 - limit reached; reply 5 - limit reached; reply 6 - limit reached; ");
    world_free(world);
}

static void stop_of_a_child_that_already_died(void **state)
{
    (void)state;
    struct world *world = world_of_three(PD_ONE_FOR_ONE);
    kind_of(world, "a")->ignores_shutdown = true;
    ask(world, PD_SUPERVISOR_STOP_CHILD, 1, "a", NULL);
    ask(world, PD_SUPERVISOR_STOP_CHILD, 2, "b", NULL);
    die(world, "b", PD_EXIT_FAILURE); /* after the request to stop it */
    die(world, "a", PD_EXIT_FAILURE);
    expect(world, "shutdown a; reply 1 a success; reply 2 b success; ");
    world_free(world);
}

/* --- Dynamic supervisors ---------------------------------------------------------------------- */

static struct world *world_dynamic(uint32_t children_max)
{
    struct pd_supervisor_config config = pd_supervisor_config_default();
    config.strategy = PD_DYNAMIC;
    config.children_max = children_max;
    struct world *world = world_make(config);
    step(world, (struct pd_supervisor_event){.kind = PD_SUPERVISOR_START});
    settle(world);
    expect(world, "up; ");
    return world;
}

static void a_dynamic_supervisor_has_many_of_one_kind(void **state)
{
    (void)state;
    struct world *world = world_dynamic(3);
    struct pd_child_spec *spec = spec_make("w", PD_CHILD_TRANSIENT);
    for (uint64_t i = 1; i <= 4; i++) {
        ask(world, PD_SUPERVISOR_START_CHILD, i, NULL, pd_child_spec_share(spec));
    }
    expect(world, "spawn w; reply 1 w success; spawn w; reply 2 w success; "
                  "spawn w; reply 3 w success; reply 4 - limit reached; ");
    die_silently(world, (struct pd_pid){2}, PD_EXIT_NORMAL, NULL);
    settle(world);
    assert_int_equal(pd_supervisor_count(world->supervisor).specs, 2);
    die_silently(world, (struct pd_pid){1}, PD_EXIT_FAILURE, NULL);
    settle(world);
    expect(world, "restart w 1/3; spawn w; ");
    step(world, (struct pd_supervisor_event){
                    .kind = PD_SUPERVISOR_REQUEST,
                    .request = {.kind = PD_SUPERVISOR_STOP_CHILD, .ref = 5, .pid = {4}}});
    settle(world);
    expect(world, "shutdown w; reply 5 w success; ");
    assert_int_equal(pd_supervisor_count(world->supervisor).specs, 1);
    pd_child_spec_release(spec);
    world_free(world);
}

static void a_dynamic_supervisor_stops_all_at_once(void **state)
{
    (void)state;
    struct world *world = world_dynamic(100);
    ask(world, PD_SUPERVISOR_START_CHILD, 1, NULL, spec_make("good", PD_CHILD_TRANSIENT));
    ask(world, PD_SUPERVISOR_START_CHILD, 2, NULL, spec_make("bad", PD_CHILD_TRANSIENT));
    struct pd_child_spec from = {.id = "slow", .stop_ms = 200};
    struct pd_child_spec *spec = NULL;
    assert_int_equal(pd_child_spec_create(&from, &spec), PD_OK);
    ask(world, PD_SUPERVISOR_START_CHILD, 3, NULL, spec);
    from = (struct pd_child_spec){.id = "brutal", .shutdown = PD_CHILD_STOP_BRUTAL};
    assert_int_equal(pd_child_spec_create(&from, &spec), PD_OK);
    ask(world, PD_SUPERVISOR_START_CHILD, 4, NULL, spec);
    world->trace_size = 0;
    kind_of(world, "bad")->ignores_shutdown = true;
    kind_of(world, "slow")->ignores_shutdown = true;
    stop(world, false);
    expect(world, "kill brutal; shutdown slow; shutdown bad; shutdown good; ");
    assert_int_equal(pd_supervisor_count(world->supervisor).live, 2);
    assert_int_equal(pd_supervisor_deadline_ns(world->supervisor), 100 * MS);
    tick_after(world, 100 * MS);
    expect(world, "no-stop bad; kill bad; ");
    assert_int_equal(pd_supervisor_deadline_ns(world->supervisor), 200 * MS);
    tick_after(world, 100 * MS);
    expect(world, "no-stop slow; kill slow; stopped shutdown; ");
    world_free(world);
}

static void a_dynamic_supervisor_stops_at_once_when_brutal(void **state)
{
    (void)state;
    struct world *world = world_dynamic(100);
    struct pd_child_spec *spec = spec_make("w", PD_CHILD_TRANSIENT);
    kind_of(world, "w")->ignores_shutdown = true;
    for (uint64_t i = 0; i < 3; i++) {
        ask(world, PD_SUPERVISOR_START_CHILD, i, NULL, pd_child_spec_share(spec));
    }
    pd_child_spec_release(spec);
    kind_of(world, "h")->holds_spawn = true;
    ask(world, PD_SUPERVISOR_START_CHILD, 4, NULL, spec_make("h", PD_CHILD_TRANSIENT));
    world->trace_size = 0;
    stop(world, false);
    expect(world, "reply 4 - closed; shutdown w; shutdown w; shutdown w; ");
    stop(world, true);
    expect(world, "kill w; kill w; kill w; ");
    answer_spawn(world, world->held);
    settle(world);
    expect(world, "kill h; stopped shutdown; ");
    world_free(world);
}

static void a_million_children_are_found_at_once(void **state)
{
    (void)state;
    const uint32_t many = 1000000;
    struct world *world = world_dynamic(many);
    struct pd_child_spec *spec = spec_make("w", PD_CHILD_TEMPORARY);
    for (uint32_t i = 0; i < many; i++) {
        struct pd_supervisor_event event = {
            .kind = PD_SUPERVISOR_REQUEST,
            .request = {.kind = PD_SUPERVISOR_START_CHILD, .spec = pd_child_spec_share(spec)}};
        pd_supervisor_step(world->supervisor, &event);
        struct pd_supervisor_action action;
        while (pd_supervisor_next(world->supervisor, &action)) {
            if (action.kind == PD_SUPERVISOR_SPAWN) {
                event = (struct pd_supervisor_event){.kind = PD_SUPERVISOR_CHILD_STARTED,
                                                     .child = action.child,
                                                     .pid = {++world->pid_last}};
                pd_supervisor_step(world->supervisor, &event);
            }
        }
    }
    assert_int_equal(pd_supervisor_count(world->supervisor).live, many);
    pd_supervisor_check(world->supervisor);
    for (uint64_t pid = 1; pid <= many; pid++) {
        struct pd_supervisor_event event = {.kind = PD_SUPERVISOR_CHILD_EXITED,
                                            .pid = {(pid * 7919) % many + 1}};
        pd_supervisor_step(world->supervisor, &event);
        struct pd_supervisor_action action;
        while (pd_supervisor_next(world->supervisor, &action)) {
            fail_msg("a normal end needs no action");
        }
    }
    assert_int_equal(pd_supervisor_count(world->supervisor).specs, 0);
    pd_child_spec_release(spec);
    world_free(world);
}

/* --- Significant children --------------------------------------------------------------------- */

static struct world *world_significant(enum pd_supervisor_auto_shutdown auto_shutdown)
{
    struct pd_supervisor_config config = pd_supervisor_config_default();
    config.auto_shutdown = auto_shutdown;
    struct world *world = world_make(config);
    const char *ids[] = {"x", "y"};
    for (int i = 0; i < 2; i++) {
        struct pd_child_spec from = {
            .id = ids[i], .restart = PD_CHILD_TRANSIENT, .is_significant = true};
        struct pd_child_spec *spec = NULL;
        assert_int_equal(pd_child_spec_create(&from, &spec), PD_OK);
        add(world, spec);
    }
    add(world, spec_make("p", PD_CHILD_PERMANENT));
    step(world, (struct pd_supervisor_event){.kind = PD_SUPERVISOR_START});
    settle(world);
    expect(world, "spawn x; spawn y; spawn p; up; ");
    return world;
}

static void auto_shutdown_follows_significant_children(void **state)
{
    (void)state;
    struct world *world = world_significant(PD_AUTO_SHUTDOWN_ANY);
    die(world, "x", PD_EXIT_FAILURE); /* is restarted: not an end */
    die(world, "x", PD_EXIT_NORMAL);
    expect(world, "restart x 1/3; spawn x; shutdown p; shutdown y; stopped shutdown; ");
    world_free(world);

    world = world_significant(PD_AUTO_SHUTDOWN_ALL);
    die(world, "x", PD_EXIT_NORMAL);
    expect(world, "");
    die(world, "y", PD_EXIT_SHUTDOWN);
    expect(world, "shutdown p; stopped shutdown; ");
    world_free(world);

    world = world_significant(PD_AUTO_SHUTDOWN_ALL);
    ask(world, PD_SUPERVISOR_STOP_CHILD, 1, "x", NULL); /* on request: no end of its own */
    expect(world, "shutdown x; reply 1 x success; ");
    die(world, "y", PD_EXIT_NORMAL);
    expect(world, "shutdown p; stopped shutdown; ");
    world_free(world);

    world = world_significant(PD_AUTO_SHUTDOWN_NEVER);
    die(world, "x", PD_EXIT_NORMAL);
    die(world, "y", PD_EXIT_NORMAL);
    expect(world, "");
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(children_come_and_go_by_request),
        cmocka_unit_test(a_child_is_named_for_ever_by_its_child_id),
        cmocka_unit_test(a_child_that_cannot_start_leaves_no_spec),
        cmocka_unit_test(replace_swaps_the_spec_and_counts_nothing),
        cmocka_unit_test(requests_wait_for_the_operation_in_progress),
        cmocka_unit_test(requests_are_refused_while_stopping),
        cmocka_unit_test(stop_during_a_request_for_a_start),
        cmocka_unit_test(the_request_queue_is_bounded),
        cmocka_unit_test(stop_of_a_child_that_already_died),
        cmocka_unit_test(a_dynamic_supervisor_has_many_of_one_kind),
        cmocka_unit_test(a_dynamic_supervisor_stops_all_at_once),
        cmocka_unit_test(a_dynamic_supervisor_stops_at_once_when_brutal),
        cmocka_unit_test(a_million_children_are_found_at_once),
        cmocka_unit_test(auto_shutdown_follows_significant_children),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
