/* Conversations about a running program, without a socket. */
#include "node/control_world.h"

#include "actor/mailbox.h"
#include "actor/message.h"
#include "node/control_request.h"

static void the_program_is_named(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    const char *answer = world_ask(&world, "{\"op\":\"program\"}\n");
    expect_in(answer, "\"os_pid\":4711");
    expect_in(answer, "\"file\":\"test.wasm\"");
    assert_null(strstr(answer, "\"node\"")); /* it runs beside of any */
    assert_int_equal(line_count(answer), 1);
    assert_true(pd_control_session_is_idle(world.session));
    world_close(&world);
}

static void a_program_inside_of_a_node_is_named_by_it(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    const struct pd_control_target target = {
        .program = &world.program, .file = "test.wasm", .node = "mill"};
    pd_control_session_destroy(world.session);
    world.session = pd_control_session_create(&target);
    assert_non_null(world.session);
    expect_in(world_ask(&world, "{\"op\":\"program\"}\n"), "\"node\":\"mill\"");
    world_close(&world);
}

static void every_process_is_listed_once(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    assert_string_equal(world_ask(&world, "{\"op\":\"list\"}\n"), "{\"end\":{\"count\":0}}\n");
    for (uint32_t i = 0; i < 200; i++) {
        (void)world_spawn(&world, &idle, i == 0 ? 0 : 1, i == 7 ? "seven" : NULL);
    }
    const char *answer = world_ask(&world, "{\"op\":\"list\"}\n");
    assert_int_equal(line_count(answer), 201);
    expect_in(answer, "\"pid\":200,");
    expect_in(answer, "\"name\":\"seven\"");
    expect_in(answer, "{\"end\":{\"count\":200}}\n");
    world_close(&world);
}

static void one_process_tells_about_itself(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    uint64_t parent = world_spawn(&world, &idle, 0, "parent");
    (void)world_spawn(&world, &idle, parent, "child");
    const char *answer = world_ask(&world, "{\"op\":\"info\",\"process\":\"child\"}\n");
    expect_in(answer, "\"answered\":true");
    expect_in(answer, "\"path\":\"parent/child\"");
    expect_in(answer, "\"names\":[\"child\"]");
    answer = world_ask(&world, "{\"op\":\"info\",\"process\":\"1\"}\n");
    expect_in(answer, "\"children\":[2]");
    expect_in(answer, "\"children_count\":1");
    answer = world_ask(&world, "{\"op\":\"info\",\"process\":\"parent/child\"}\n");
    expect_in(answer, "\"pid\":2,");
    expect_in(world_ask(&world, "{\"op\":\"info\",\"process\":\"99\"}\n"), "no such process");
    expect_in(world_ask(&world, "{\"op\":\"info\",\"process\":\"nobody\"}\n"), "no such process");
    world_close(&world);
}

/* Runs until it is let go, without a yield. */
static atomic_bool is_let_go;
static atomic_bool is_in;

static enum pd_resume_result stubborn_resume(struct pd_process *process, uint32_t *cost_out)
{
    (void)process;
    atomic_store(&is_in, true);
    while (!atomic_load(&is_let_go)) {
        (void)sched_yield();
    }
    *cost_out = 1;
    return PD_RESUME_WAIT;
}

static const struct pd_behavior stubborn = {
    .name = "stubborn", .resume = stubborn_resume, .destroy = no_destroy, .activity = no_activity};

static void who_does_not_yield_is_shown_without(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    atomic_store(&is_let_go, false);
    atomic_store(&is_in, false);
    (void)world_spawn(&world, &stubborn, 0, "stubborn");
    while (!atomic_load(&is_in)) {
        (void)sched_yield();
    }
    const char *answer = world_ask(&world, "{\"op\":\"info\",\"process\":\"stubborn\"}\n");
    expect_in(answer, "\"answered\":false");
    expect_in(answer, "\"state\":\"running\"");
    answer = world_ask(&world, "{\"op\":\"trace\",\"process\":\"1\"}\n");
    expect_in(answer, "did not yield");
    answer = world_ask(&world, "{\"op\":\"kill\",\"process\":\"1\"}\n");
    expect_in(answer, "\"gone\":false");
    atomic_store(&is_let_go, true); /* the late answers find nobody, and leave nothing behind */
    world_close(&world);
}

static void a_kill_is_told_when_it_is_done(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    uint64_t pid = world_spawn(&world, &idle, 0, "victim");
    const char *answer = world_ask(&world, "{\"op\":\"kill\",\"process\":\"victim\"}\n");
    assert_string_equal(answer, "{\"killed\":{\"pid\":1,\"name\":\"victim\",\"gone\":true}}\n");
    assert_false(pd_mailbox_exists(world.program.environment, pid));
    expect_in(world_ask(&world, "{\"op\":\"kill\",\"process\":\"victim\"}\n"), "no such process");
    world_close(&world);
}

static void post(struct world *world, uint64_t pid, uint64_t tag)
{
    struct pd_message *message = pd_message_create(tag, 0);
    assert_non_null(message);
    assert_int_equal(pd_mailbox_post(world->program.environment, pid, message), PD_OK);
}

/* Sends the request and works until the process is traced. */
static void begin_trace(struct world *world, const char *request)
{
    world->answer_size = 0;
    pd_control_session_feed(world->session, request, strlen(request));
    while (world->answer_size == 0) {
        pd_control_session_work(world->session);
        (void)world_take(world, SIZE_MAX);
        (void)sched_yield();
    }
    expect_in(world->answer, "{\"tracing\":{\"pid\":1}}\n");
}

static void finish_trace(struct world *world)
{
    while (strstr(world->answer, "\"end\"") == NULL) {
        pd_control_session_work(world->session);
        (void)world_take(world, SIZE_MAX);
        (void)sched_yield();
    }
}

static void a_trace_ends_with_its_count(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    uint64_t pid = world_spawn(&world, &idle, 0, NULL);
    begin_trace(&world, "{\"op\":\"trace\",\"process\":\"1\",\"count\":3}\n");
    for (uint64_t tag = 1; tag <= 5; tag++) {
        post(&world, pid, tag);
    }
    finish_trace(&world);
    expect_in(world.answer, "\"event\":\"received\",\"tag\":1,\"size\":0}");
    expect_in(world.answer, "\"tag\":3,");
    assert_null(strstr(world.answer, "\"tag\":4,"));
    expect_in(world.answer, "\"why\":\"the number of events is reached\",\"count\":3,\"lost\":0");
    assert_true(pd_control_session_is_idle(world.session));
    world_close(&world);
}

static void a_trace_ends_with_its_process(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    uint64_t pid = world_spawn(&world, &idle, 0, NULL);
    begin_trace(&world, "{\"op\":\"trace\",\"process\":\"1\",\"seconds\":3600}\n");
    post(&world, pid, 9);
    assert_int_equal(pd_program_exit_signal(&world.program, pid, PD_EXIT_FAILURE, "x"), PD_OK);
    finish_trace(&world);
    expect_in(world.answer, "\"event\":\"exited\",\"reason\":\"failure\"");
    expect_in(world.answer, "\"why\":\"the process ended\",\"count\":2");
    world_close(&world);
}

static void a_trace_ends_with_its_time(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    (void)world_spawn(&world, &idle, 0, NULL);
    begin_trace(&world, "{\"op\":\"trace\",\"process\":\"1\",\"seconds\":1}\n");
    finish_trace(&world);
    expect_in(world.answer, "\"why\":\"the time is over\",\"count\":0");
    world_close(&world);
}

static void one_trace_at_a_time(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    (void)world_spawn(&world, &idle, 0, NULL);
    begin_trace(&world, "{\"op\":\"trace\",\"process\":\"1\",\"seconds\":3600}\n");
    struct world other = {.session = NULL};
    const struct pd_control_target target = {.program = &world.program, .file = "x"};
    other.session = pd_control_session_create(&target);
    assert_non_null(other.session);
    expect_in(world_ask(&other, "{\"op\":\"trace\",\"process\":\"1\"}\n"), "traced by another");
    pd_control_session_destroy(world.session); /* hangs up */
    world.session = other.session;
    free(other.answer);
    begin_trace(&world, "{\"op\":\"trace\",\"process\":\"1\"}\n");
    world_close(&world);
}

static void a_slow_reader_holds_little_memory(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    for (uint32_t i = 0; i < 250; i++) {
        (void)world_spawn(&world, &idle, 0, NULL);
    }
    static char requests[PD_CONTROL_LINE_MAX];
    for (size_t at = 0; at + 14 < sizeof requests; at += 14) {
        memcpy(requests + at, "{\"op\":\"list\"}\n", 14);
    }
    pd_control_session_feed(world.session, requests, strlen(requests));
    const char *bytes = NULL;
    for (int i = 0; i < 1000; i++) {
        pd_control_session_work(world.session);
        assert_true(pd_control_session_output(world.session, &bytes) <
                    PD_SESSION_OUTPUT_LOW + 8192);
    }
    assert_int_equal(pd_control_session_room(world.session), 0);
    assert_int_equal(pd_control_session_wait_ms(world.session), -1);
    while (world_take(&world, 1000) > 0) { /* now it reads */
        pd_control_session_work(world.session);
    }
    assert_int_equal(line_count(world.answer), strlen(requests) / 14 * 251);
    world_close(&world);
}

static void mistakes_end_nothing_but_long_lines_do(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    const char *answer = world_ask(&world, "nonsense\n\n{\"op\":\"fly\"}\n{\"op\":\"program\"}\n");
    assert_int_equal(line_count(answer), 4);
    expect_in(answer, "not JSON");
    expect_in(answer, "\"program\":");
    static char line[2 * PD_CONTROL_LINE_MAX];
    memset(line, '[', sizeof line - 1);
    expect_in(world_ask(&world, line), "too long");
    assert_true(pd_control_session_is_over(world.session));
    assert_int_equal(pd_control_session_room(world.session), 0);
    world_close(&world);
}

static void without_memory_the_conversation_ends(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    uint64_t pid = world_spawn(&world, &idle, 0, NULL);
    pd_alloc_fail_nth(1);
    (void)world_ask(&world, "{\"op\":\"program\"}\n");
    pd_alloc_fail_nth(0);
    assert_true(pd_control_session_is_over(world.session));
    assert_true(pd_mailbox_exists(world.program.environment, pid));
    world_close(&world);
}

/* Lives for a few turns, monitors and writes to its neighbours, and leaves a successor. */
static atomic_bool is_winter;
static enum pd_resume_result mayfly_resume(struct pd_process *process, uint32_t *cost_out);

static const struct pd_behavior mayfly = {
    .name = "mayfly", .resume = mayfly_resume, .destroy = no_destroy, .activity = no_activity};

static enum pd_resume_result mayfly_resume(struct pd_process *process, uint32_t *cost_out)
{
    struct pd_process *successor = NULL;
    *cost_out = 1;
    if (atomic_load(&process->slice_count) < 3 && !atomic_load(&is_winter)) {
        struct pd_message *message = pd_message_create(1, 0);
        if (message != NULL && pd_process_send(process, process->pid + 1, message) != PD_OK) {
            pd_message_destroy(message);
        }
        (void)!pd_process_monitor(process, process->pid - 1, process->pid);
        return PD_RESUME_YIELD;
    }
    if (!atomic_load(&is_winter) && pd_process_create(process->environment, process->pid, &mayfly,
                                                      process->data, &successor) == PD_OK) {
        pd_process_start(successor);
    }
    pd_process_set_exit(process, PD_EXIT_NORMAL, NULL, 0);
    return PD_RESUME_EXIT;
}

static void what_comes_and_goes_can_be_looked_at(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    atomic_store(&is_winter, false);
    for (int i = 0; i < 20; i++) {
        (void)world_spawn(&world, &mayfly, 0, NULL);
    }
    for (uint64_t round = 0; round < 300; round++) {
        char request[128];
        const char *answer = world_ask(&world, "{\"op\":\"list\"}\n");
        const char *found = strstr(answer, "\"pid\":");
        unsigned long long pid = found == NULL ? 1 : strtoull(found + 6, NULL, 10);
        static const char *const ops[] = {"info", "kill", "trace", "info"};
        const char *op = ops[round % 4];
        if (strcmp(op, "kill") == 0 && round > 40) {
            continue; /* some shall be left */
        }
        (void)snprintf(request, sizeof request, "{\"op\":\"%s\",\"process\":\"%llu\"}\n", op,
                       pid + round % 30);
        (void)world_ask(&world, request);
    }
    expect_in(world_ask(&world, "{\"op\":\"list\"}\n"), "\"parent\":");
    atomic_store(&is_winter, true);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_program_is_named),
        cmocka_unit_test(a_program_inside_of_a_node_is_named_by_it),
        cmocka_unit_test(every_process_is_listed_once),
        cmocka_unit_test(one_process_tells_about_itself),
        cmocka_unit_test(who_does_not_yield_is_shown_without),
        cmocka_unit_test(a_kill_is_told_when_it_is_done),
        cmocka_unit_test(a_trace_ends_with_its_count),
        cmocka_unit_test(a_trace_ends_with_its_process),
        cmocka_unit_test(a_trace_ends_with_its_time),
        cmocka_unit_test(one_trace_at_a_time),
        cmocka_unit_test(a_slow_reader_holds_little_memory),
        cmocka_unit_test(mistakes_end_nothing_but_long_lines_do),
        cmocka_unit_test(what_comes_and_goes_can_be_looked_at),
        cmocka_unit_test(without_memory_the_conversation_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
