/* A supervisor starts, restarts, stops and gives up: scenarios as exact traces. */
#include "supervisor_world.h"

/* --- Specs and configurations ----------------------------------------------------------------- */

static void spec_mistakes_are_named(void **state)
{
    (void)state;
    const struct pd_child_spec good = {.id = "a", .stop_ms = 5000};
    assert_null(pd_child_spec_mistake(&good));
    struct pd_child_spec bad = good;
    bad.id = "";
    assert_non_null(pd_child_spec_mistake(&bad));
    bad = good;
    bad.shutdown = PD_CHILD_STOP_INFINITY;
    assert_non_null(strstr(pd_child_spec_mistake(&bad), "handles_shutdown"));
    bad.handles_shutdown = true;
    assert_null(pd_child_spec_mistake(&bad));
    bad.handles_shutdown = false;
    bad.kind = PD_CHILD_SUPERVISOR;
    assert_null(pd_child_spec_mistake(&bad));
    bad = good;
    bad.stop_ms = PD_CHILD_TIME_MS_MAX + 1;
    assert_non_null(pd_child_spec_mistake(&bad));
    bad = good;
    bad.needs_ready = true;
    assert_non_null(pd_child_spec_mistake(&bad));
    bad.ready_ms = PD_CHILD_NO_TIMEOUT;
    assert_non_null(pd_child_spec_mistake(&bad));
    bad.kind = PD_CHILD_SUPERVISOR;
    assert_null(pd_child_spec_mistake(&bad));
    bad = good;
    bad.is_significant = true;
    assert_non_null(pd_child_spec_mistake(&bad));
    bad = good;
    bad.restart = (enum pd_child_restart)7;
    assert_non_null(pd_child_spec_mistake(&bad));
    bad = good;
    bad.shutdown = (enum pd_child_shutdown)7;
    assert_non_null(pd_child_spec_mistake(&bad));
    bad = good;
    bad.kind = (enum pd_child_kind)7;
    assert_non_null(pd_child_spec_mistake(&bad));
    bad = good;
    bad.arguments_size = PD_CHILD_ARGUMENTS_SIZE_MAX + 1;
    assert_non_null(pd_child_spec_mistake(&bad));
    char long_id[PD_CHILD_ID_SIZE_MAX + 2];
    memset(long_id, 'x', sizeof long_id - 1);
    long_id[sizeof long_id - 1] = '\0';
    bad = good;
    bad.id = long_id;
    assert_non_null(pd_child_spec_mistake(&bad));
    struct pd_child_spec *spec = NULL;
    assert_int_equal(pd_child_spec_create(&bad, &spec), PD_ERR_INVALID);
}

static void count_release(void *subject)
{
    (*(int *)subject)++;
}

static void spec_copies_all_and_releases_its_subject_once(void **state)
{
    (void)state;
    int released = 0;
    char id[] = "a";
    char function[] = "main";
    uint8_t arguments[] = {1, 2, 3};
    struct pd_child_spec from = {.id = id,
                                 .function = function,
                                 .arguments = arguments,
                                 .arguments_size = 3,
                                 .subject = &released,
                                 .subject_release = count_release};
    struct pd_child_spec *spec = NULL;
    assert_int_equal(pd_child_spec_create(&from, &spec), PD_OK);
    id[0] = function[0] = 'z';
    arguments[0] = 9;
    assert_string_equal(spec->id, "a");
    assert_string_equal(spec->function, "main");
    assert_int_equal(spec->arguments[0], 1);
    pd_child_spec_release(pd_child_spec_share(spec));
    assert_int_equal(released, 0);
    pd_child_spec_release(spec);
    assert_int_equal(released, 1);
    pd_child_spec_release(pd_child_spec_share(NULL));
}

static void config_out_of_range_is_refused(void **state)
{
    (void)state;
    struct pd_supervisor *s = NULL;
    struct pd_supervisor_config config = pd_supervisor_config_default();
    config.period_ns = 0;
    assert_int_equal(pd_supervisor_create(&config, &s), PD_ERR_INVALID);
    config = pd_supervisor_config_default();
    config.children_max = 0;
    assert_int_equal(pd_supervisor_create(&config, &s), PD_ERR_INVALID);
    config = pd_supervisor_config_default();
    config.requests_max = 0;
    assert_int_equal(pd_supervisor_create(&config, &s), PD_ERR_INVALID);
    config = pd_supervisor_config_default();
    config.restarts_max = PD_SUPERVISOR_RESTARTS_MAX + 1;
    assert_int_equal(pd_supervisor_create(&config, &s), PD_ERR_INVALID);
    config = pd_supervisor_config_default();
    config.strategy = (enum pd_supervisor_strategy)9;
    assert_int_equal(pd_supervisor_create(&config, &s), PD_ERR_INVALID);
    pd_supervisor_destroy(NULL);
}

/* --- Start and stop --------------------------------------------------------------------------- */

static void starts_in_order_and_stops_in_reverse(void **state)
{
    (void)state;
    struct world *world = world_of_three(PD_ONE_FOR_ONE);
    stop(world, false);
    expect(world, "shutdown c; shutdown b; shutdown a; stopped shutdown; ");
    assert_true(pd_supervisor_is_stopped(world->supervisor));
    stop(world, true); /* nothing is left to do */
    expect(world, "");
    world_free(world);
}

static void an_empty_supervisor_starts_and_stops(void **state)
{
    (void)state;
    for (int strategy = PD_ONE_FOR_ONE; strategy <= PD_DYNAMIC; strategy++) {
        struct world *world = world_of((enum pd_supervisor_strategy)strategy);
        step(world, (struct pd_supervisor_event){.kind = PD_SUPERVISOR_START});
        settle(world);
        expect(world, "up; ");
        stop(world, false);
        expect(world, "stopped shutdown; ");
        world_free(world);
    }
}

static void stop_before_start_ends_at_once(void **state)
{
    (void)state;
    struct world *world = world_of(PD_ONE_FOR_ONE);
    add(world, spec_make("a", PD_CHILD_PERMANENT));
    stop(world, false);
    expect(world, "stopped shutdown; ");
    step(world, (struct pd_supervisor_event){.kind = PD_SUPERVISOR_START});
    settle(world);
    expect(world, "");
    world_free(world);
}

static void a_failing_first_start_stops_what_runs_and_gives_up(void **state)
{
    (void)state;
    struct world *world = world_of(PD_ONE_FOR_ONE);
    add(world, spec_make("a", PD_CHILD_PERMANENT));
    add(world, spec_make("b", PD_CHILD_PERMANENT));
    add(world, spec_make("c", PD_CHILD_PERMANENT));
    kind_of(world, "c")->failing_spawns = 1;
    step(world, (struct pd_supervisor_event){.kind = PD_SUPERVISOR_START});
    settle(world);
    expect(world, "spawn a; spawn b; spawn c; no-start c; give up c; shutdown b; shutdown a; "
                  "stopped failure; ");
    assert_string_equal(world->last_text, "supervisor top gave up: it cannot start\n"
                                          "  child c could not be started: failure: no module");
    world_free(world);
}

static void a_child_that_ignores_shutdown_is_killed_after_its_timeout(void **state)
{
    (void)state;
    struct world *world = world_of_three(PD_ONE_FOR_ONE);
    kind_of(world, "b")->ignores_shutdown = true;
    stop(world, false);
    expect(world, "shutdown c; shutdown b; ");
    assert_int_equal(pd_supervisor_deadline_ns(world->supervisor), 100 * MS);
    tick_after(world, 100 * MS - 1);
    expect(world, "");
    tick_after(world, 1);
    expect(world, "no-stop b; kill b; shutdown a; stopped shutdown; ");
    assert_int_equal(pd_supervisor_deadline_ns(world->supervisor), UINT64_MAX);
    world_free(world);
}

static void brutal_kills_and_infinity_waits(void **state)
{
    (void)state;
    struct world *world = world_of(PD_ONE_FOR_ONE);
    struct pd_child_spec from = {
        .id = "inf", .shutdown = PD_CHILD_STOP_INFINITY, .handles_shutdown = true};
    struct pd_child_spec *spec = NULL;
    assert_int_equal(pd_child_spec_create(&from, &spec), PD_OK);
    add(world, spec);
    from = (struct pd_child_spec){.id = "brutal", .shutdown = PD_CHILD_STOP_BRUTAL};
    assert_int_equal(pd_child_spec_create(&from, &spec), PD_OK);
    add(world, spec);
    kind_of(world, "inf")->ignores_shutdown = true;
    step(world, (struct pd_supervisor_event){.kind = PD_SUPERVISOR_START});
    settle(world);
    stop(world, false);
    expect(world, "spawn inf; spawn brutal; up; kill brutal; shutdown inf; ");
    assert_int_equal(pd_supervisor_deadline_ns(world->supervisor), UINT64_MAX);
    tick_after(world, 1000 * S);
    expect(world, "");
    die(world, "inf", PD_EXIT_NORMAL);
    expect(world, "stopped shutdown; ");
    world_free(world);
}

static void a_second_brutal_stop_kills_the_rest(void **state)
{
    (void)state;
    struct world *world = world_of_three(PD_ONE_FOR_ONE);
    kind_of(world, "b")->ignores_shutdown = true;
    stop(world, false);
    expect(world, "shutdown c; shutdown b; ");
    stop(world, true);
    expect(world, "kill b; kill a; stopped shutdown; ");
    world_free(world);
}

static void a_child_that_dies_while_others_are_stopped_is_not_signalled(void **state)
{
    (void)state;
    struct world *world = world_of_three(PD_ONE_FOR_ALL);
    kind_of(world, "c")->ignores_shutdown = true;
    stop(world, false);
    expect(world, "shutdown c; ");
    die(world, "a", PD_EXIT_FAILURE);
    expect(world, "");
    tick_after(world, S);
    expect(world, "no-stop c; kill c; shutdown b; stopped shutdown; ");
    world_free(world);
}

static void stop_during_a_held_spawn_waits_for_the_answer(void **state)
{
    (void)state;
    for (int is_failing = 0; is_failing < 2; is_failing++) {
        struct world *world = world_of(PD_ONE_FOR_ONE);
        add(world, spec_make("a", PD_CHILD_PERMANENT));
        add(world, spec_make("b", PD_CHILD_PERMANENT));
        kind_of(world, "b")->holds_spawn = true;
        step(world, (struct pd_supervisor_event){.kind = PD_SUPERVISOR_START});
        settle(world);
        stop(world, false);
        expect(world, "spawn a; spawn b; ");
        if (is_failing) {
            fail_spawn(world, world->held);
        } else {
            answer_spawn(world, world->held);
        }
        settle(world);
        expect(world, is_failing ? "shutdown a; stopped shutdown; "
                                 : "shutdown b; shutdown a; stopped shutdown; ");
        world_free(world);
    }
}

/* --- Readiness -------------------------------------------------------------------------------- */

static void say_ready(struct world *world, struct pd_pid pid)
{
    step(world, (struct pd_supervisor_event){.kind = PD_SUPERVISOR_CHILD_READY, .pid = pid});
    settle(world);
}

static struct world *world_waiting_for_ready(void)
{
    struct world *world = world_of(PD_ONE_FOR_ONE);
    add(world, spec_make("a", PD_CHILD_PERMANENT));
    add(world, spec_ready("b", PD_CHILD_PERMANENT));
    add(world, spec_make("c", PD_CHILD_PERMANENT));
    step(world, (struct pd_supervisor_event){.kind = PD_SUPERVISOR_START});
    settle(world);
    expect(world, "spawn a; spawn b; ");
    assert_int_equal(pd_supervisor_deadline_ns(world->supervisor), 50 * MS);
    return world;
}

static void the_next_child_starts_when_the_last_is_ready(void **state)
{
    (void)state;
    struct world *world = world_waiting_for_ready();
    say_ready(world, pid_of(world, "a")); /* nobody asked */
    say_ready(world, (struct pd_pid){999});
    expect(world, "");
    say_ready(world, pid_of(world, "b"));
    expect(world, "spawn c; up; ");
    say_ready(world, pid_of(world, "b")); /* twice */
    expect(world, "");
    assert_int_equal(pd_supervisor_deadline_ns(world->supervisor), UINT64_MAX);
    world_free(world);
}

static void a_child_that_is_never_ready_is_killed(void **state)
{
    (void)state;
    struct world *world = world_waiting_for_ready();
    tick_after(world, 50 * MS);
    expect(world, "kill b; no-start b; give up b; shutdown a; stopped failure; ");
    assert_non_null(strstr(world->last_text, "did not say that it is ready within 50 ms"));
    world_free(world);
}

static void a_child_that_dies_before_ready_did_not_start(void **state)
{
    (void)state;
    struct world *world = world_waiting_for_ready();
    die(world, "b", PD_EXIT_NORMAL);
    expect(world, "no-start b; give up b; shutdown a; stopped failure; ");
    world_free(world);
}

static void ready_that_comes_while_it_is_killed_is_too_late(void **state)
{
    (void)state;
    struct world *world = world_waiting_for_ready();
    kind_of(world, "b")->keeps_living = true;
    tick_after(world, 50 * MS);
    expect(world, "kill b; ");
    say_ready(world, pid_of(world, "b"));
    expect(world, "");
    die(world, "b", PD_EXIT_KILLED);
    expect(world, "no-start b; give up b; shutdown a; stopped failure; ");
    world_free(world);
}

static void stop_while_waiting_for_ready(void **state)
{
    (void)state;
    struct world *world = world_waiting_for_ready();
    stop(world, false);
    expect(world, "shutdown b; shutdown a; stopped shutdown; ");
    world_free(world);

    world = world_waiting_for_ready(); /* and when it was being killed for being late */
    kind_of(world, "b")->keeps_living = true;
    tick_after(world, 50 * MS);
    stop(world, false);
    expect(world, "kill b; ");
    die(world, "b", PD_EXIT_KILLED);
    expect(world, "shutdown a; stopped shutdown; ");
    world_free(world);
}

/* --- Restarts --------------------------------------------------------------------------------- */

static void one_for_one_restarts_the_child_alone(void **state)
{
    (void)state;
    struct world *world = world_of_three(PD_ONE_FOR_ONE);
    struct pd_pid former = pid_of(world, "b");
    die(world, "b", PD_EXIT_FAILURE);
    expect(world, "restart b 1/3; spawn b; ");
    assert_int_not_equal(pid_of(world, "b").value, former.value);
    die_silently(world, former, PD_EXIT_FAILURE, NULL); /* a late echo */
    settle(world);
    expect(world, "");
    world_free(world);
}

static void rest_for_one_restarts_it_and_all_after_it(void **state)
{
    (void)state;
    struct world *world = world_of_three(PD_REST_FOR_ONE);
    die(world, "b", PD_EXIT_FAILURE);
    expect(world, "restart b 1/3; shutdown c; spawn b; spawn c; ");
    die(world, "a", PD_EXIT_NORMAL); /* permanent: also after a normal end */
    expect(world, "restart a 2/3; shutdown c; shutdown b; spawn a; spawn b; spawn c; ");
    die(world, "c", PD_EXIT_SHUTDOWN);
    expect(world, "restart c 3/3; spawn c; ");
    world_free(world);
}

static void one_for_all_restarts_all(void **state)
{
    (void)state;
    struct world *world = world_of_three(PD_ONE_FOR_ALL);
    die(world, "b", PD_EXIT_FAILURE);
    expect(world, "restart b 1/3; shutdown c; shutdown a; spawn a; spawn b; spawn c; ");
    world_free(world);
}

static void transient_restarts_only_after_failures(void **state)
{
    (void)state;
    static const enum pd_exit_reason failures[] = {PD_EXIT_FAILURE, PD_EXIT_KILLED, PD_EXIT_FUEL,
                                                   PD_EXIT_MEMORY, PD_EXIT_DENIED};
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
        struct world *world = world_of(PD_ONE_FOR_ONE);
        add(world, spec_make("t", PD_CHILD_TRANSIENT));
        step(world, (struct pd_supervisor_event){.kind = PD_SUPERVISOR_START});
        settle(world);
        die(world, "t", failures[i]);
        expect(world, "spawn t; up; restart t 1/3; spawn t; ");
        die(world, "t", i % 2 == 0 ? PD_EXIT_NORMAL : PD_EXIT_SHUTDOWN);
        expect(world, "");
        assert_int_equal(pd_supervisor_count(world->supervisor).specs, 1);
        assert_int_equal(pd_supervisor_count(world->supervisor).active, 0);
        world_free(world);
    }
}

static void temporary_is_never_restarted_and_is_forgotten(void **state)
{
    (void)state;
    struct world *world = world_of(PD_ONE_FOR_ONE);
    add(world, spec_make("t", PD_CHILD_TEMPORARY));
    add(world, spec_make("u", PD_CHILD_TEMPORARY));
    step(world, (struct pd_supervisor_event){.kind = PD_SUPERVISOR_START});
    settle(world);
    die(world, "t", PD_EXIT_FAILURE);
    expect(world, "spawn t; spawn u; up; ended t; ");
    die(world, "u", PD_EXIT_NORMAL);
    expect(world, "");
    assert_int_equal(pd_supervisor_count(world->supervisor).specs, 0);
    world_free(world);
}

static void group_restart_drops_temporaries_and_revives_the_stopped(void **state)
{
    (void)state;
    struct world *world = world_of(PD_ONE_FOR_ALL);
    add(world, spec_make("tmp", PD_CHILD_TEMPORARY));
    add(world, spec_make("tra", PD_CHILD_TRANSIENT));
    add(world, spec_make("per", PD_CHILD_PERMANENT));
    step(world, (struct pd_supervisor_event){.kind = PD_SUPERVISOR_START});
    settle(world);
    die(world, "tra", PD_EXIT_NORMAL);
    expect(world, "spawn tmp; spawn tra; spawn per; up; ");
    die(world, "per", PD_EXIT_FAILURE);
    expect(world, "restart per 1/3; shutdown tmp; spawn tra; spawn per; ");
    assert_int_equal(pd_supervisor_count(world->supervisor).specs, 2);
    world_free(world);
}

static void a_sibling_that_dies_during_a_group_restart_counts_no_restart(void **state)
{
    (void)state;
    struct world *world = world_of_three(PD_ONE_FOR_ALL);
    kind_of(world, "c")->ignores_shutdown = true;
    die(world, "b", PD_EXIT_FAILURE);
    expect(world, "restart b 1/3; shutdown c; ");
    die(world, "a", PD_EXIT_FAILURE); /* would have been told to end next */
    expect(world, "");
    die(world, "c", PD_EXIT_FAILURE);
    expect(world, "spawn a; spawn b; spawn c; ");
    world_free(world);
}

static void one_outside_of_the_range_waits_its_turn(void **state)
{
    (void)state;
    struct world *world = world_of_three(PD_REST_FOR_ONE);
    kind_of(world, "c")->ignores_shutdown = true;
    die(world, "b", PD_EXIT_FAILURE);
    die(world, "a", PD_EXIT_FAILURE);
    expect(world, "restart b 1/3; shutdown c; ");
    kind_of(world, "c")->ignores_shutdown = false;
    die(world, "c", PD_EXIT_SHUTDOWN);
    expect(world, "spawn b; spawn c; restart a 2/3; shutdown c; shutdown b; "
                  "spawn a; spawn b; spawn c; ");
    world_free(world);
}

static void one_that_dies_again_during_the_start_stage_is_handled_after_it(void **state)
{
    (void)state;
    struct world *world = world_of_three(PD_ONE_FOR_ALL);
    kind_of(world, "b")->holds_spawn = true;
    die(world, "c", PD_EXIT_FAILURE);
    expect(world, "restart c 1/3; shutdown b; shutdown a; spawn a; spawn b; ");
    die(world, "a", PD_EXIT_FAILURE);
    expect(world, "");
    kind_of(world, "b")->holds_spawn = false;
    answer_spawn(world, world->held);
    settle(world);
    expect(world, "spawn c; restart a 2/3; shutdown c; shutdown b; spawn a; spawn b; spawn c; ");
    world_free(world);
}

/* --- Intensity -------------------------------------------------------------------------------- */

static void the_fourth_restart_within_the_period_is_one_too_many(void **state)
{
    (void)state;
    struct world *world = world_of_three(PD_ONE_FOR_ONE);
    die(world, "a", PD_EXIT_FAILURE);
    die(world, "b", PD_EXIT_FAILURE);
    die(world, "c", PD_EXIT_FAILURE);
    expect(world, "restart a 1/3; spawn a; restart b 2/3; spawn b; restart c 3/3; spawn c; ");
    world->now_ns += 5 * S; /* the edge belongs to the period */
    die_silently(world, pid_of(world, "a"), PD_EXIT_FUEL, "spent 100");
    settle(world);
    expect(world, "give up a; shutdown c; shutdown b; stopped failure; ");
    assert_string_equal(world->last_text, "supervisor top gave up: more than 3 restarts in 5 s\n"
                                          "  child a ended with out of fuel: spent 100");
    world_free(world);
}

static void restarts_are_forgotten_after_the_period(void **state)
{
    (void)state;
    struct world *world = world_of_three(PD_ONE_FOR_ONE);
    for (int round = 0; round < 10; round++) {
        die(world, "a", PD_EXIT_FAILURE);
        die(world, "b", PD_EXIT_FAILURE);
        die(world, "c", PD_EXIT_FAILURE);
        expect(world, "restart a 1/3; spawn a; restart b 2/3; spawn b; restart c 3/3; spawn c; ");
        world->now_ns += 5 * S + 1;
    }
    world_free(world);
}

static void the_window_slides(void **state)
{
    (void)state;
    struct world *world = world_of_three(PD_ONE_FOR_ONE);
    for (int i = 0; i < 30; i++) { /* one each 1.7 s: never more than three within 5 s */
        die(world, "b", PD_EXIT_FAILURE);
        world->now_ns += 1700 * MS;
    }
    assert_false(pd_supervisor_is_stopped(world->supervisor));
    world->trace_size = 0;
    die(world, "b", PD_EXIT_FAILURE);
    expect(world, "restart b 3/3; spawn b; ");
    die(world, "b", PD_EXIT_FAILURE);
    expect(world, "give up b; shutdown c; shutdown a; stopped failure; ");
    world_free(world);
}

static void no_restart_at_all_when_none_is_allowed(void **state)
{
    (void)state;
    struct pd_supervisor_config config = pd_supervisor_config_default();
    config.restarts_max = 0;
    config.period_ns = 1500 * MS;
    struct world *world = world_make(config);
    add(world, spec_make("a", PD_CHILD_PERMANENT));
    step(world, (struct pd_supervisor_event){.kind = PD_SUPERVISOR_START});
    settle(world);
    die(world, "a", PD_EXIT_FAILURE);
    expect(world, "spawn a; up; give up a; stopped failure; ");
    assert_non_null(strstr(world->last_text, "more than 0 restarts in 1500 ms"));
    world_free(world);
}

static void a_restart_that_fails_is_retried_and_counts(void **state)
{
    (void)state;
    struct world *world = world_of_three(PD_ONE_FOR_ONE);
    kind_of(world, "b")->failing_spawns = 2;
    die(world, "b", PD_EXIT_FAILURE);
    expect(world, "restart b 1/3; spawn b; no-start b; restart b 2/3; spawn b; no-start b; "
                  "restart b 3/3; spawn b; ");
    world->now_ns += 6 * S;
    kind_of(world, "b")->failing_spawns = 9;
    die(world, "b", PD_EXIT_FAILURE);
    expect(world, "restart b 1/3; spawn b; no-start b; restart b 2/3; spawn b; no-start b; "
                  "restart b 3/3; spawn b; no-start b; give up b; "
                  "shutdown c; shutdown a; stopped failure; ");
    assert_non_null(strstr(world->last_text, "child b could not be restarted: failure: no module"));
    world_free(world);
}

static void a_group_restart_that_fails_begins_again_with_the_one_that_failed(void **state)
{
    (void)state;
    struct world *world = world_of_three(PD_ONE_FOR_ALL);
    kind_of(world, "b")->failing_spawns = 1;
    die(world, "a", PD_EXIT_FAILURE);
    expect(world, "restart a 1/3; shutdown c; shutdown b; spawn a; spawn b; no-start b; "
                  "restart b 2/3; shutdown a; spawn a; spawn b; spawn c; ");
    world_free(world);

    world = world_of_three(PD_REST_FOR_ONE);
    kind_of(world, "b")->failing_spawns = 1;
    die(world, "a", PD_EXIT_FAILURE);
    expect(world, "restart a 1/3; shutdown c; shutdown b; spawn a; spawn b; no-start b; "
                  "restart b 2/3; spawn b; spawn c; ");
    world_free(world);
}

static void retries_let_others_in_between(void **state)
{
    (void)state;
    struct world *world = world_of_three(PD_ONE_FOR_ONE);
    kind_of(world, "b")->holds_spawn = true;
    die(world, "b", PD_EXIT_FAILURE);
    expect(world, "restart b 1/3; spawn b; ");
    ask(world, PD_SUPERVISOR_STOP_CHILD, 7, "b", NULL); /* waits in line, before the retry */
    expect(world, "");
    fail_spawn(world, world->held);
    settle(world);
    expect(world, "no-start b; reply 7 b success; ");
    assert_int_equal(pd_supervisor_count(world->supervisor).active, 2);
    world_free(world);
}

static void giving_up_in_the_middle_of_a_group_restart(void **state)
{
    (void)state;
    struct world *world = world_of_three(PD_ONE_FOR_ALL);
    kind_of(world, "c")->failing_spawns = 3;
    die(world, "b", PD_EXIT_FAILURE);
    expect(world, "restart b 1/3; shutdown c; shutdown a; spawn a; spawn b; spawn c; no-start c; "
                  "restart c 2/3; shutdown b; shutdown a; spawn a; spawn b; spawn c; no-start c; "
                  "restart c 3/3; shutdown b; shutdown a; spawn a; spawn b; spawn c; no-start c; "
                  "give up c; shutdown b; shutdown a; stopped failure; ");
    world_free(world);
}

static void reasons_chain_through_the_tree(void **state)
{
    (void)state;
    struct world *world = world_of(PD_ONE_FOR_ONE);
    add(world, spec_make("sub", PD_CHILD_TRANSIENT));
    step(world, (struct pd_supervisor_event){.kind = PD_SUPERVISOR_START});
    settle(world);
    const char *why = "supervisor top/sub gave up: more than 3 restarts in 5 s\n"
                      "  child x ended with failure: oh";
    for (int i = 0; i < 4; i++) {
        die_silently(world, pid_of(world, "sub"), PD_EXIT_FAILURE, why);
        settle(world);
    }
    char wanted[512];
    snprintf(wanted, sizeof wanted,
             "supervisor top gave up: more than 3 restarts in 5 s\n"
             "  child sub ended with failure: %s",
             why);
    assert_string_equal(world->last_text, wanted);
    world_free(world);
}

static void a_long_chain_is_cut_and_does_no_harm(void **state)
{
    (void)state;
    struct world *world = world_of(PD_ONE_FOR_ONE);
    add(world, spec_make("sub", PD_CHILD_PERMANENT));
    step(world, (struct pd_supervisor_event){.kind = PD_SUPERVISOR_START});
    settle(world);
    static char why[PD_EXIT_TEXT_MAX];
    memset(why, 'y', sizeof why - 1);
    for (int i = 0; i < 4; i++) {
        die_silently(world, pid_of(world, "sub"), PD_EXIT_FAILURE, why);
        settle(world);
    }
    assert_int_equal(strlen(world->last_text), PD_EXIT_TEXT_MAX - 1);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spec_mistakes_are_named),
        cmocka_unit_test(spec_copies_all_and_releases_its_subject_once),
        cmocka_unit_test(config_out_of_range_is_refused),
        cmocka_unit_test(starts_in_order_and_stops_in_reverse),
        cmocka_unit_test(an_empty_supervisor_starts_and_stops),
        cmocka_unit_test(stop_before_start_ends_at_once),
        cmocka_unit_test(a_failing_first_start_stops_what_runs_and_gives_up),
        cmocka_unit_test(a_child_that_ignores_shutdown_is_killed_after_its_timeout),
        cmocka_unit_test(brutal_kills_and_infinity_waits),
        cmocka_unit_test(a_second_brutal_stop_kills_the_rest),
        cmocka_unit_test(a_child_that_dies_while_others_are_stopped_is_not_signalled),
        cmocka_unit_test(stop_during_a_held_spawn_waits_for_the_answer),
        cmocka_unit_test(the_next_child_starts_when_the_last_is_ready),
        cmocka_unit_test(a_child_that_is_never_ready_is_killed),
        cmocka_unit_test(a_child_that_dies_before_ready_did_not_start),
        cmocka_unit_test(ready_that_comes_while_it_is_killed_is_too_late),
        cmocka_unit_test(stop_while_waiting_for_ready),
        cmocka_unit_test(one_for_one_restarts_the_child_alone),
        cmocka_unit_test(rest_for_one_restarts_it_and_all_after_it),
        cmocka_unit_test(one_for_all_restarts_all),
        cmocka_unit_test(transient_restarts_only_after_failures),
        cmocka_unit_test(temporary_is_never_restarted_and_is_forgotten),
        cmocka_unit_test(group_restart_drops_temporaries_and_revives_the_stopped),
        cmocka_unit_test(a_sibling_that_dies_during_a_group_restart_counts_no_restart),
        cmocka_unit_test(one_outside_of_the_range_waits_its_turn),
        cmocka_unit_test(one_that_dies_again_during_the_start_stage_is_handled_after_it),
        cmocka_unit_test(the_fourth_restart_within_the_period_is_one_too_many),
        cmocka_unit_test(restarts_are_forgotten_after_the_period),
        cmocka_unit_test(the_window_slides),
        cmocka_unit_test(no_restart_at_all_when_none_is_allowed),
        cmocka_unit_test(a_restart_that_fails_is_retried_and_counts),
        cmocka_unit_test(a_group_restart_that_fails_begins_again_with_the_one_that_failed),
        cmocka_unit_test(retries_let_others_in_between),
        cmocka_unit_test(giving_up_in_the_middle_of_a_group_restart),
        cmocka_unit_test(reasons_chain_through_the_tree),
        cmocka_unit_test(a_long_chain_is_cut_and_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
