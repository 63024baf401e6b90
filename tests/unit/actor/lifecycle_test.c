/* The end of a process: whoever is bound to it is told once, in order and of the right reason,
 * however and whenever it ends. */
#include "stage.h"

static const char failure_text[] = "it broke";

enum way {
    WAY_RETURN,        /* normal */
    WAY_SHUTDOWN,      /* says so itself */
    WAY_FAILURE,       /* with a text */
    WAY_KILL,          /* while it waits */
    WAY_KILL_QUEUED,   /* before its turn comes */
    WAY_KILL_RUNNING,  /* in its own turn, which goes on to wait */
    WAY_KILL_YIELDING, /* in its own turn, and it has more to do */
    WAY_KILL_BLOCKED,  /* while it waits for room in another's mailbox */
    WAY_LINK,          /* a link dies */
    WAY_EXIT_SIGNAL,   /* another asks it to */
    WAY_EXIT_SELF,     /* it asks itself, by signal */
    WAY_END_AND_KILL,  /* it ends by itself and is killed in the same turn: its own reason stays */
    WAY_COUNT
};

static const enum pd_exit_reason way_reasons[WAY_COUNT] = {
    PD_EXIT_NORMAL,  PD_EXIT_SHUTDOWN, PD_EXIT_FAILURE, PD_EXIT_KILLED,
    PD_EXIT_KILLED,  PD_EXIT_KILLED,   PD_EXIT_KILLED,  PD_EXIT_KILLED,
    PD_EXIT_FAILURE, PD_EXIT_SHUTDOWN, PD_EXIT_FUEL,    PD_EXIT_NORMAL};

struct scene {
    struct stage stage;
    struct puppet *victim;
    struct puppet *helper; /* by whose doing it ends */
    struct puppet *trapper;
    struct puppet *lunatic_trapper;
    struct puppet *fragile;
    struct puppet *child; /* linked by the victim */
    struct puppet *monitor;
    struct puppet *lunatic_monitor;
    struct puppet *both;
    struct puppet *blocked;
};

static enum pd_resume_result run_kill_self(struct puppet *puppet)
{
    stage_kill(puppet->stage, puppet->pid);
    return PD_RESUME_WAIT;
}

static enum pd_resume_result run_kill_self_and_yield(struct puppet *puppet)
{
    assert_int_equal(puppet->context == NULL, true); /* never again */
    puppet->context = puppet;
    stage_kill(puppet->stage, puppet->pid);
    return PD_RESUME_YIELD;
}

static enum pd_resume_result run_exit_self(struct puppet *puppet)
{
    pd_process_exit_signal(puppet->process, puppet->pid, PD_EXIT_FUEL, NULL);
    return PD_RESUME_WAIT;
}

static enum pd_resume_result run_end_and_kill(struct puppet *puppet)
{
    pd_process_set_exit(puppet->process, PD_EXIT_NORMAL, NULL, 0);
    stage_kill(puppet->stage, puppet->pid);
    return PD_RESUME_EXIT;
}

static void scene_open(struct scene *scene, uint64_t seed)
{
    struct pd_runtime_config config = stage_config();
    config.seed = seed;
    config.messages_max = 1;
    struct stage *stage = &scene->stage;
    stage_open(stage, &config);
    struct puppet **all[] = {&scene->victim,          &scene->helper,          &scene->trapper,
                             &scene->lunatic_trapper, &scene->fragile,         &scene->child,
                             &scene->monitor,         &scene->lunatic_monitor, &scene->both,
                             &scene->blocked};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        *all[i] = stage_spawn(stage);
    }
    uint64_t pid = scene->victim->pid;
    scene->trapper->process->trapping = PD_TRAP_ALL;
    scene->lunatic_trapper->process->trapping = PD_TRAP_FAILURES;
    scene->child->process->trapping = PD_TRAP_ALL;
    scene->both->process->trapping = PD_TRAP_ALL;
    assert_int_equal(pd_process_link(scene->trapper->process, pid, 11), PD_OK);
    assert_int_equal(pd_process_link(scene->lunatic_trapper->process, pid, 12), PD_OK);
    assert_int_equal(pd_process_link(scene->fragile->process, pid, 13), PD_OK);
    assert_int_equal(pd_process_link(scene->victim->process, scene->child->pid, 14), PD_OK);
    assert_int_equal(pd_process_monitor(scene->monitor->process, pid, 21), PD_OK);
    assert_int_equal(pd_process_monitor(scene->lunatic_monitor->process, pid, 0), PD_OK);
    /* Twice: a lunatic monitor and a link are still one, other references are another monitor. */
    assert_int_equal(pd_process_monitor(scene->lunatic_monitor->process, pid, 0), PD_OK);
    assert_int_equal(pd_process_link(scene->trapper->process, pid, 11), PD_OK);
    assert_int_equal(pd_process_monitor(scene->both->process, pid, 31), PD_OK);
    assert_int_equal(pd_process_link(scene->both->process, pid, 15), PD_OK);
    assert_int_equal(pd_process_monitor(scene->both->process, pid, 32), PD_OK);
    stage_run(stage);
    assert_int_equal(puppet_send(scene->blocked, pid, 1), PD_OK);
    assert_int_equal(puppet_send(scene->blocked, pid, 2), PD_OK);
    puppet_wake(scene->blocked);
    stage_run(stage);
    assert_true(pd_process_must_wait(scene->blocked->process));
}

static void end_victim(struct scene *scene, enum way way)
{
    struct stage *stage = &scene->stage;
    struct puppet *victim = scene->victim;
    switch (way) {
    case WAY_RETURN:
        victim->run = puppet_run_exit;
        puppet_wake(victim);
        break;
    case WAY_SHUTDOWN:
        puppet_exit(victim, PD_EXIT_SHUTDOWN, "");
        break;
    case WAY_FAILURE:
        puppet_exit(victim, PD_EXIT_FAILURE, failure_text);
        break;
    case WAY_KILL:
        stage_kill(stage, victim->pid);
        break;
    case WAY_KILL_QUEUED:
        puppet_wake(victim);
        stage_kill(stage, victim->pid);
        stage_kill(stage, victim->pid);
        break;
    case WAY_KILL_RUNNING:
        victim->run = run_kill_self;
        puppet_wake(victim);
        break;
    case WAY_KILL_YIELDING:
        victim->run = run_kill_self_and_yield;
        puppet_wake(victim);
        break;
    case WAY_KILL_BLOCKED:
        assert_int_equal(puppet_send(victim, scene->helper->pid, 1), PD_OK);
        assert_int_equal(puppet_send(victim, scene->helper->pid, 2), PD_OK);
        puppet_wake(victim);
        stage_run(stage);
        assert_true(pd_process_must_wait(victim->process));
        stage_kill(stage, victim->pid);
        break;
    case WAY_LINK:
        assert_int_equal(pd_process_link(scene->helper->process, victim->pid, 0), PD_OK);
        stage_run(stage);
        puppet_exit(scene->helper, PD_EXIT_FAILURE, failure_text);
        break;
    case WAY_EXIT_SIGNAL:
        pd_process_exit_signal(scene->helper->process, victim->pid, PD_EXIT_SHUTDOWN, NULL);
        break;
    case WAY_EXIT_SELF:
        victim->run = run_exit_self;
        puppet_wake(victim);
        break;
    case WAY_END_AND_KILL:
        victim->run = run_end_and_kill;
        puppet_wake(victim);
        break;
    case WAY_COUNT:
        break;
    }
}

/* The next message is this notice, with tag and reference, and the text if there is one. */
static void expect(struct puppet *puppet, enum pd_message_kind kind, uint64_t pid, uint64_t mark,
                   enum way way)
{
    struct pd_message *message = puppet_take(puppet);
    assert_non_null(message);
    assert_int_equal(message->kind, kind);
    assert_int_equal(message->pid, pid);
    assert_int_equal(message->reason, way_reasons[way]);
    assert_int_equal(kind == PD_MESSAGE_LINK_DIED ? message->tag : message->ref, mark);
    bool has_text = way == WAY_FAILURE || way == WAY_LINK;
    assert_string_equal(pd_exit_text_bytes(message->text), has_text ? failure_text : "");
    pd_message_destroy(message);
}

static void every_end_is_told_once_to_everyone(void **state)
{
    (void)state;
    for (int way = 0; way < WAY_COUNT; way++) {
        for (uint64_t seed = 1; seed <= 5; seed++) {
            struct scene scene;
            scene_open(&scene, seed);
            uint64_t pid = scene.victim->pid;
            end_victim(&scene, (enum way)way);
            stage_run(&scene.stage);
            bool is_normal = way_reasons[way] == PD_EXIT_NORMAL;
            stage_expect_death(&scene.stage, pid, way_reasons[way]);
            assert_false(pd_mailbox_exists(scene.stage.environment, pid));
            expect(scene.trapper, PD_MESSAGE_LINK_DIED, pid, 11, (enum way)way);
            puppet_expect_nothing(scene.trapper);
            if (!is_normal) {
                expect(scene.lunatic_trapper, PD_MESSAGE_LINK_DIED, pid, 12, (enum way)way);
                stage_expect_death(&scene.stage, scene.fragile->pid, way_reasons[way]);
            }
            puppet_expect_nothing(scene.lunatic_trapper);
            assert_int_equal(puppet_is_alive(scene.fragile), is_normal);
            expect(scene.child, PD_MESSAGE_LINK_DIED, pid, 14, (enum way)way);
            puppet_expect_nothing(scene.child);
            expect(scene.monitor, PD_MESSAGE_DOWN, pid, 21, (enum way)way);
            puppet_expect_nothing(scene.monitor);
            expect(scene.lunatic_monitor, PD_MESSAGE_PROCESS_DIED, pid, 0, (enum way)way);
            puppet_expect_nothing(scene.lunatic_monitor);
            /* Links first, then monitors as they were made. */
            expect(scene.both, PD_MESSAGE_LINK_DIED, pid, 15, (enum way)way);
            expect(scene.both, PD_MESSAGE_DOWN, pid, 31, (enum way)way);
            expect(scene.both, PD_MESSAGE_DOWN, pid, 32, (enum way)way);
            puppet_expect_nothing(scene.both);
            assert_false(pd_process_must_wait(scene.blocked->process));
            struct puppet *told[] = {scene.trapper, scene.lunatic_trapper, scene.child,
                                     scene.monitor, scene.lunatic_monitor, scene.both};
            for (size_t i = 0; i < sizeof told / sizeof told[0]; i++) {
                assert_int_equal(told[i]->process->bonds.count, 0);
            }
            stage_close(&scene.stage);
        }
    }
}

static void before_it_started(void **state)
{
    (void)state;
    struct stage stage;
    struct pd_runtime_config config = stage_config();
    stage_open(&stage, &config);
    struct puppet *parent = stage_spawn(&stage);
    struct puppet *child = stage_create(&stage);
    assert_int_equal(pd_process_link_child(parent->process, child->process, 5), PD_OK);
    assert_false(pd_mailbox_exists(stage.environment, child->pid));
    assert_int_equal(pd_mailbox_kill(stage.environment, child->pid, PD_EXIT_KILLED, NULL),
                     PD_ERR_UNKNOWN);
    /* Killed after the start, before its first turn. */
    parent->process->trapping = PD_TRAP_ALL;
    pd_process_start(child->process);
    stage_kill(&stage, child->pid);
    stage_run(&stage);
    assert_int_equal(child->run_count, 0);
    struct pd_message *message = puppet_take(parent);
    assert_non_null(message);
    assert_int_equal(message->tag, 5);
    assert_int_equal(message->reason, PD_EXIT_KILLED);
    pd_message_destroy(message);
    stage_close(&stage);
}

static void a_process_that_never_starts_can_be_given_up(void **state)
{
    (void)state;
    struct stage stage;
    struct pd_runtime_config config = stage_config();
    stage_open(&stage, &config);
    struct pd_process *process = NULL;
    for (uint64_t i = 1; i <= 100; i++) {
        assert_int_equal(pd_process_create(stage.environment, 0, &puppet_behavior, NULL, &process),
                         PD_OK);
        assert_int_equal(process->pid, i); /* its pid is spent */
        pd_process_discard(process);
    }
    assert_int_equal(pd_environment_count(stage.environment), 0);
    stage_close(&stage);
}

static void signals_that_arrive_too_late_are_answered(void **state)
{
    (void)state;
    /* The requests stand in its mailbox when it dies: each gets its answer all the same. */
    struct stage stage;
    struct pd_runtime_config config = stage_config();
    stage_open(&stage, &config);
    struct puppet *victim = stage_spawn(&stage);
    struct puppet *watcher = stage_spawn(&stage);
    struct puppet *linker = stage_spawn(&stage);
    linker->process->trapping = PD_TRAP_ALL;
    stage_kill(&stage, victim->pid);
    assert_int_equal(pd_process_monitor(watcher->process, victim->pid, 7), PD_OK);
    assert_int_equal(pd_process_link(linker->process, victim->pid, 8), PD_OK);
    stage_run(&stage);
    puppet_expect_notice(watcher, PD_MESSAGE_DOWN, victim->pid, PD_EXIT_KILLED);
    puppet_expect_notice(linker, PD_MESSAGE_LINK_DIED, victim->pid, PD_EXIT_KILLED);
    puppet_expect_nothing(watcher);
    puppet_expect_nothing(linker);
    /* And when it is gone. */
    assert_int_equal(pd_process_monitor(watcher->process, victim->pid, 9), PD_OK);
    assert_int_equal(pd_process_monitor(watcher->process, victim->pid, 0), PD_OK);
    assert_int_equal(pd_process_link(linker->process, victim->pid, 8), PD_OK);
    puppet_expect_notice(watcher, PD_MESSAGE_DOWN, victim->pid, PD_EXIT_NO_PROCESS);
    puppet_expect_notice(linker, PD_MESSAGE_LINK_DIED, victim->pid, PD_EXIT_NO_PROCESS);
    puppet_expect_nothing(watcher);
    puppet_expect_nothing(linker);
    assert_int_equal(watcher->process->bonds.count, 0);
    assert_int_equal(linker->process->bonds.count, 0);
    stage_close(&stage);
}

static void the_first_kill_gives_the_reason(void **state)
{
    (void)state;
    struct stage stage;
    struct pd_runtime_config config = stage_config();
    stage_open(&stage, &config);
    struct puppet *victim = stage_spawn(&stage);
    struct pd_exit_text *text = pd_exit_text_create("first", 5);
    assert_int_equal(pd_mailbox_kill(stage.environment, victim->pid, PD_EXIT_SHUTDOWN, text),
                     PD_OK);
    pd_exit_text_release(text);
    stage_kill(&stage, victim->pid);
    stage_run(&stage);
    stage_expect_death(&stage, victim->pid, PD_EXIT_SHUTDOWN);
    assert_string_equal(stage_death_of(&stage, victim->pid)->text, "first");
    stage_close(&stage);
}

/* A chain of links falls from end to end, each of the same reason, a ring too. */
static void links_cascade(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct stage stage;
        struct pd_runtime_config config = stage_config();
        config.seed = seed;
        stage_open(&stage, &config);
        struct puppet *ring[100];
        for (uint32_t i = 0; i < 100; i++) {
            ring[i] = stage_spawn(&stage);
        }
        struct puppet *outside = stage_spawn(&stage);
        for (uint32_t i = 0; i < 100; i++) {
            assert_int_equal(pd_process_link(ring[i]->process, ring[(i + 1) % 100]->pid, 0), PD_OK);
        }
        stage_run(&stage);
        puppet_exit(ring[seed * 7], PD_EXIT_FAILURE, failure_text);
        stage_run(&stage);
        assert_int_equal(stage.death_count, 100);
        for (uint32_t i = 0; i < 100; i++) {
            stage_expect_death(&stage, ring[i]->pid, PD_EXIT_FAILURE);
            assert_string_equal(stage_death_of(&stage, ring[i]->pid)->text, failure_text);
        }
        assert_true(puppet_is_alive(outside));
        stage_close(&stage);
    }
}

/* --- Exit signals ----------------------------------------------------------------------------- */

static void what_an_exit_signal_does(void **state)
{
    (void)state;
    static const struct {
        enum pd_trapping trapping;
        enum pd_exit_reason reason;
        bool is_told;
        bool dies;
    } cases[] = {
        {PD_TRAP_NONE, PD_EXIT_NORMAL, false, false},
        {PD_TRAP_NONE, PD_EXIT_SHUTDOWN, false, true},
        {PD_TRAP_NONE, PD_EXIT_KILLED, false, true},
        {PD_TRAP_FAILURES, PD_EXIT_NORMAL, false, false},
        {PD_TRAP_FAILURES, PD_EXIT_FAILURE, true, false},
        {PD_TRAP_FAILURES, PD_EXIT_KILLED, false, true},
        {PD_TRAP_ALL, PD_EXIT_NORMAL, true, false},
        {PD_TRAP_ALL, PD_EXIT_SHUTDOWN, true, false},
        {PD_TRAP_ALL, PD_EXIT_KILLED, false, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct stage stage;
        struct pd_runtime_config config = stage_config();
        stage_open(&stage, &config);
        struct puppet *asker = stage_spawn(&stage);
        struct puppet *asked = stage_spawn(&stage);
        asked->process->trapping = (uint8_t)cases[i].trapping;
        pd_process_exit_signal(asker->process, asked->pid, cases[i].reason, NULL);
        stage_run(&stage);
        assert_int_equal(puppet_is_alive(asked), !cases[i].dies);
        if (cases[i].dies) {
            stage_expect_death(&stage, asked->pid, cases[i].reason);
        } else {
            if (cases[i].is_told) {
                puppet_expect_notice(asked, PD_MESSAGE_LINK_DIED, asker->pid, cases[i].reason);
            }
            puppet_expect_nothing(asked);
        }
        pd_process_exit_signal(asker->process, 999999, cases[i].reason, NULL); /* nobody */
        stage_run(&stage);
        assert_true(puppet_is_alive(asker));
        stage_close(&stage);
    }
}

/* A process that traps exits and never looks at them must not grow without bound. */
static void exit_requests_that_nobody_looks_at_are_bounded(void **state)
{
    (void)state;
    struct stage stage;
    struct pd_runtime_config config = stage_config();
    config.signals_max = 10;
    stage_open(&stage, &config);
    struct puppet *asker = stage_spawn(&stage);
    struct puppet *asked = stage_spawn(&stage);
    asked->process->trapping = PD_TRAP_ALL;
    for (uint32_t i = 0; i < 100; i++) {
        pd_process_exit_signal(asker->process, asked->pid, PD_EXIT_SHUTDOWN, NULL);
        stage_run(&stage);
        assert_false(pd_process_must_wait(asker->process)); /* nor stop who asks */
    }
    for (uint32_t i = 0; i < 10; i++) {
        puppet_expect_notice(asked, PD_MESSAGE_LINK_DIED, asker->pid, PD_EXIT_SHUTDOWN);
    }
    puppet_expect_nothing(asked);
    pd_process_exit_signal(asker->process, asked->pid, PD_EXIT_FAILURE, NULL);
    stage_run(&stage);
    puppet_expect_notice(asked, PD_MESSAGE_LINK_DIED, asker->pid, PD_EXIT_FAILURE);
    stage_close(&stage);
}

static void notices_that_it_brings_upon_itself_are_bounded(void **state)
{
    (void)state;
    struct stage stage;
    struct pd_runtime_config config = stage_config();
    config.bonds_max = 10;
    stage_open(&stage, &config);
    struct puppet *puppet = stage_spawn(&stage);
    puppet->process->trapping = PD_TRAP_ALL;
    for (uint64_t i = 1; i <= 100; i++) {
        enum pd_status wanted = i <= 10 ? PD_OK : PD_ERR_FULL;
        uint64_t nobody = 1000000 + i;
        assert_int_equal(i % 2 == 0 ? pd_process_monitor(puppet->process, nobody, i)
                                    : pd_process_link(puppet->process, nobody, i),
                         wanted);
        stage_run(&stage);
    }
    uint32_t count = 0;
    struct pd_message *message = NULL;
    while ((message = puppet_take(puppet)) != NULL) {
        pd_message_destroy(message);
        count++;
    }
    assert_int_equal(count, 10);
    assert_int_equal(pd_process_monitor(puppet->process, 5000, 1), PD_OK);
    stage_close(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_end_is_told_once_to_everyone),
        cmocka_unit_test(before_it_started),
        cmocka_unit_test(a_process_that_never_starts_can_be_given_up),
        cmocka_unit_test(signals_that_arrive_too_late_are_answered),
        cmocka_unit_test(the_first_kill_gives_the_reason),
        cmocka_unit_test(links_cascade),
        cmocka_unit_test(what_an_exit_signal_does),
        cmocka_unit_test(exit_requests_that_nobody_looks_at_are_bounded),
        cmocka_unit_test(notices_that_it_brings_upon_itself_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
