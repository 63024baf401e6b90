/* Blocking work: who owns it when, by hand for every order of events, and on threads for the
 * races. */
#include <pthread.h>
#include <sched.h>

#include "guest_world.h"

static const char module_text[] =
    "(module (import \"t\" \"block\" (func $block (param i32) (result i32)))"
    "(import \"t\" \"block_deferred\" (func $block_deferred (param i32) (result i32)))"
    "(import \"t\" \"report\" (func $report (param i32)))"
    "(func (export \"f\") (call $report (call $block (i32.const 21))))"
    "(func (export \"twice\") (call $report (call $block (i32.const 1)))"
    "  (call $report (call $block_deferred (i32.const 2)))))";

static struct world world;
static struct pd_module *module;

static void work_is_done_and_taken(void **state)
{
    (void)state;
    struct process process;
    spawn(&world, &process, module, "twice");
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_WAITING);
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_WAITING);
    assert_int_equal(atomic_load(&process.wakes), 0);
    assert_true(run_job(&world.host));
    assert_int_equal(atomic_load(&process.wakes), 1);
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_WAITING);
    assert_int_equal(process.sum, 2);
    assert_int_equal(process.released, 1);
    assert_true(run_job(&world.host));
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_EXITED);
    assert_int_equal(process.sum, 6);
    assert_int_equal(process.finished, 2);
    assert_int_equal(process.released, 2);
    pd_guest_destroy(process.guest);
}

static void the_dead_leave_their_work(void **state)
{
    (void)state;
    struct process process;
    spawn(&world, &process, module, "f"); /* killed before a helper begins */
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_WAITING);
    pd_guest_destroy(process.guest);
    assert_int_equal(process.released, 0);
    assert_true(run_job(&world.host));
    assert_int_equal(process.released, 1);
    assert_int_equal(atomic_load(&process.wakes), 0);
    spawn(&world, &process, module, "f"); /* killed between done and taken */
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_WAITING);
    assert_true(run_job(&world.host));
    assert_int_equal(process.released, 0);
    pd_guest_destroy(process.guest);
    assert_int_equal(process.released, 1);
    assert_int_equal(process.finished, 0);
}

static void a_full_queue_makes_a_line(void **state)
{
    (void)state;
    struct process processes[5];
    world.host.jobs_max = 1;
    for (int i = 0; i < 5; i++) {
        spawn(&world, &processes[i], module, "f");
        assert_int_equal(pd_guest_step(processes[i].guest), PD_GUEST_WAITING);
        assert_int_equal(processes[i].deadline_ns, PD_TIME_NEVER); /* nobody needs a timer */
    }
    assert_int_equal(world.host.queued_count, 1);
    pd_guest_destroy(processes[2].guest); /* dies in the line */
    assert_int_equal(processes[2].released, 1);
    static const int order[] = {0, 1, 3, 4};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(world.host.queued_count, 1);
        assert_true(run_job(&world.host));
        assert_int_equal(atomic_load(&processes[order[i]].wakes), 1);
        assert_int_equal(pd_guest_step(processes[order[i]].guest), PD_GUEST_EXITED);
        assert_int_equal(processes[order[i]].sum, 42);
        pd_guest_destroy(processes[order[i]].guest);
    }
    assert_false(run_job(&world.host));
    world.host.jobs_max = 64;
}

static void a_queue_full_of_others_is_tried_again(void **state)
{
    (void)state;
    struct process process;
    world.host.jobs_max = 0;
    world.host.now_ns = 1000;
    spawn(&world, &process, module, "f");
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_WAITING);
    assert_int_equal(process.deadline_ns, 1001000);
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_WAITING);
    pd_guest_destroy(process.guest); /* it never left the guest */
    assert_int_equal(process.released, 1);
    spawn(&world, &process, module, "f");
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_WAITING);
    world.host.jobs_max = 1;
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_WAITING);
    assert_true(run_job(&world.host));
    assert_int_equal(pd_guest_step(process.guest), PD_GUEST_EXITED);
    assert_int_equal(process.sum, 42);
    assert_int_equal(process.deadline_ns, PD_TIME_NEVER);
    pd_guest_destroy(process.guest);
    world.host.jobs_max = 64;
    world.host.now_ns = 0;
}

/* When the line's next finds no room again, the helper that is free runs it itself. */
static void the_line_moves_without_room(void **state)
{
    (void)state;
    struct process processes[3];
    world.host.jobs_max = 1;
    for (int i = 0; i < 3; i++) {
        spawn(&world, &processes[i], module, "f");
        assert_int_equal(pd_guest_step(processes[i].guest), PD_GUEST_WAITING);
    }
    struct pd_job *job = world.host.queued[0];
    world.host.queued_count = 0;
    world.host.jobs_max = 0; /* taken by others at once */
    job->run(job);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pd_guest_step(processes[i].guest), PD_GUEST_EXITED);
        pd_guest_destroy(processes[i].guest);
    }
    world.host.jobs_max = 64;
}

/* --- Compilation ------------------------------------------------------------------------------ */

static enum pd_call_result never_finish(struct pd_call *call, struct pd_blocking *self)
{
    (void)call;
    (void)self;
    fail();
    return PD_CALL_DONE;
}

static void compilation_has_a_budget(void **state)
{
    (void)state;
    static const uint8_t empty[] = {0, 'a', 's', 'm', 1, 0, 0, 0};
    struct pd_compile_budget budget;
    pd_compile_budget_init(&budget, &world.linker, NULL, 2, 20, 9);
    struct pd_compile_job *jobs[3];
    assert_int_equal(pd_compile_job_open(&budget, (const uint8_t *)"0123456789", 10, &jobs[0]),
                     PD_ERR_RANGE);
    assert_int_equal(pd_compile_job_open(&budget, empty, sizeof empty, &jobs[0]), PD_OK);
    assert_int_equal(pd_compile_job_open(&budget, (const uint8_t *)"123456789", 9, &jobs[1]),
                     PD_OK);
    assert_int_equal(pd_compile_job_open(&budget, empty, 1, &jobs[2]), PD_ERR_FULL); /* jobs */
    jobs[0]->blocking.finish = never_finish;
    jobs[0]->blocking.work(&jobs[0]->blocking);
    assert_int_equal(jobs[0]->status, PD_OK);
    assert_non_null(jobs[0]->module);
    jobs[1]->blocking.work(&jobs[1]->blocking);
    assert_int_equal(jobs[1]->status, PD_ERR_INVALID);
    assert_non_null(strstr(jobs[1]->message.text, "not a WebAssembly module"));
    struct pd_module *taken = jobs[0]->module;
    jobs[0]->module = NULL;
    jobs[0]->blocking.release(&jobs[0]->blocking);
    pd_module_release(taken);
    assert_int_equal(pd_compile_job_open(&budget, empty, sizeof empty, &jobs[0]), PD_OK);
    jobs[0]->blocking.work(&jobs[0]->blocking);
    jobs[0]->blocking.release(&jobs[0]->blocking); /* the module goes with it */
    jobs[1]->blocking.release(&jobs[1]->blocking);
    pd_compile_budget_init(&budget, &world.linker, NULL, 8, 10, 9);
    assert_int_equal(pd_compile_job_open(&budget, empty, 8, &jobs[0]), PD_OK);
    assert_int_equal(pd_compile_job_open(&budget, empty, 3, &jobs[1]), PD_ERR_FULL); /* bytes */
    pd_alloc_fail_nth(1);
    assert_int_equal(pd_compile_job_open(&budget, empty, 2, &jobs[1]), PD_ERR_NO_MEMORY);
    pd_alloc_fail_nth(0);
    assert_int_equal(pd_compile_job_open(&budget, empty, 2, &jobs[1]), PD_OK); /* given back */
    jobs[1]->blocking.release(&jobs[1]->blocking);
    jobs[0]->blocking.release(&jobs[0]->blocking);
}

/* --- Threads ---------------------------------------------------------------------------------- */

/* A gate alone, so that TSan sees all of it: threads that submit, take and abandon; helpers with a
 * tiny queue. */
#define HELPERS 3
#define SUBMITTERS 3
#define ROUNDS 4000

struct threaded_host {
    struct pd_host host; /* first */
    pthread_mutex_t lock;
    struct pd_job *queued[2];
    int queued_count;
    bool is_closed;
};

struct threaded_work {
    struct pd_blocking blocking;
    uint32_t value;
    atomic_int *released;
};

static struct threaded_host threaded;
static struct pd_job_gate gate;
static atomic_int released_count;
static atomic_bool is_awake[SUBMITTERS]; /* a wake may come late: they outlive the threads */

static enum pd_status threaded_submit(struct pd_host *base, struct pd_job *job)
{
    struct threaded_host *host = (struct threaded_host *)(void *)base;
    (void)pthread_mutex_lock(&host->lock);
    bool is_full = host->queued_count == 2;
    if (!is_full) {
        host->queued[host->queued_count++] = job;
    }
    (void)pthread_mutex_unlock(&host->lock);
    return is_full ? PD_ERR_FULL : PD_OK;
}

static void *help(void *argument)
{
    (void)argument;
    for (;;) {
        struct pd_job *job = NULL;
        (void)pthread_mutex_lock(&threaded.lock);
        bool is_closed = threaded.is_closed;
        if (threaded.queued_count > 0) {
            job = threaded.queued[0];
            threaded.queued[0] = threaded.queued[1];
            threaded.queued_count--;
        }
        (void)pthread_mutex_unlock(&threaded.lock);
        if (job != NULL) {
            job->run(job);
        } else if (is_closed) {
            return NULL;
        } else {
            (void)sched_yield();
        }
    }
}

static void threaded_wake(void *process)
{
    atomic_store((atomic_bool *)process, true);
}

static void threaded_work(struct pd_blocking *self)
{
    ((struct threaded_work *)(void *)self)->value++;
}

static void threaded_release(struct pd_blocking *self)
{
    struct threaded_work *work = (struct threaded_work *)(void *)self;
    atomic_fetch_add(work->released, 1);
    free(work);
}

static void *submit(void *argument)
{
    uint32_t random = (uint32_t)(uintptr_t)argument * 2654435761u + 1;
    atomic_bool *awake = &is_awake[(uintptr_t)argument];
    for (int i = 0; i < ROUNDS; i++) {
        random = random * 1664525u + 1013904223u;
        struct threaded_work *work = calloc(1, sizeof *work);
        work->blocking.work = threaded_work;
        work->blocking.release = threaded_release;
        work->released = &released_count;
        work->value = random;
        atomic_store(awake, false);
        while (pd_job_gate_submit(&gate, &work->blocking, awake) != PD_OK) {
            (void)sched_yield();
        }
        if ((random >> 16) % 3 == 0) {
            for (uint32_t spins = (random >> 20) % 200; spins > 0; spins--) {
                __asm__ volatile("" ::: "memory");
            }
            pd_job_gate_abandon(&work->blocking);
            continue;
        }
        while (!pd_job_gate_take(&work->blocking)) {
            (void)sched_yield();
        }
        assert_int_equal(work->value, random + 1);
        work->blocking.release(&work->blocking);
    }
    return NULL;
}

static void the_gate_holds_on_threads(void **state)
{
    (void)state;
    static const struct pd_host_ops ops = {.submit = threaded_submit};
    threaded.host.ops = &ops;
    (void)pthread_mutex_init(&threaded.lock, NULL);
    pd_job_gate_init(&gate, &threaded.host, threaded_wake);
    pthread_t helpers[HELPERS];
    pthread_t submitters[SUBMITTERS];
    for (uintptr_t i = 0; i < HELPERS; i++) {
        assert_int_equal(pthread_create(&helpers[i], NULL, help, NULL), 0);
    }
    for (uintptr_t i = 0; i < SUBMITTERS; i++) {
        assert_int_equal(pthread_create(&submitters[i], NULL, submit, (void *)i), 0);
    }
    for (int i = 0; i < SUBMITTERS; i++) {
        (void)pthread_join(submitters[i], NULL);
    }
    while (!pd_job_gate_is_idle(&gate)) {
        (void)sched_yield();
    }
    (void)pthread_mutex_lock(&threaded.lock);
    threaded.is_closed = true;
    (void)pthread_mutex_unlock(&threaded.lock);
    for (int i = 0; i < HELPERS; i++) {
        (void)pthread_join(helpers[i], NULL);
    }
    assert_int_equal(atomic_load(&released_count), SUBMITTERS * ROUNDS);
    (void)pthread_mutex_destroy(&threaded.lock);
}

static int open_world(void **state)
{
    (void)state;
    world_open(&world, PD_ENGINE_DENSE, 10000);
    module = load(&world, module_text);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    pd_module_release(module);
    world_close(&world);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_is_done_and_taken),
        cmocka_unit_test(the_dead_leave_their_work),
        cmocka_unit_test(a_full_queue_makes_a_line),
        cmocka_unit_test(a_queue_full_of_others_is_tried_again),
        cmocka_unit_test(the_line_moves_without_room),
        cmocka_unit_test(compilation_has_a_budget),
        cmocka_unit_test(the_gate_holds_on_threads),
    };
    return cmocka_run_group_tests(tests, open_world, close_world);
}
