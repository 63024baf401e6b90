/* Many guests on two threads: stepped anywhere, killed at random points, with jobs in flight.
 * Nothing stays behind. */
#include <malloc.h>
#include <pthread.h>
#include <sched.h>

#include "base/random.h"
#include "guest_world.h"
#include "support/effort.h"

#define LIVES PD_TEST_EFFORT(100000, 4000)
#define THREADS 2
#define SLOTS 32

static const char module_text[] =
    "(module"
    "(import \"t\" \"report\" (func $report (param i32)))"
    "(import \"t\" \"take\" (func $take (result i32)))"
    "(import \"t\" \"take_deferred\" (func $take_deferred (result i32)))"
    "(import \"t\" \"hold\" (func $hold (result i32)))"
    "(import \"t\" \"slow_add\" (func $slow_add (param i32 i32) (result i32)))"
    "(import \"t\" \"yield\" (func $yield))"
    "(import \"t\" \"trap\" (func $trap (param i32)))"
    "(import \"t\" \"fill\" (func $fill (param i32 i32 i32) (result i32)))"
    "(import \"t\" \"catch\" (func $catch (param i32 i32) (result i32)))"
    "(import \"t\" \"block\" (func $block (param i32) (result i32)))"
    "(memory (export \"memory\") 1 4)"
    "(func $work (param $kind i32) (result i32)"
    "  (drop (call $fill (i32.const 100) (i32.const 5000) (i32.const 7)))"
    "  (block $5 (block $4 (block $3 (block $2 (block $1 (block $0"
    "    (br_table $0 $1 $2 $3 $4 $5 (i32.rem_u (local.get $kind) (i32.const 6))))"
    "    (return (call $take)))"
    "    (return (i32.add (call $hold) (call $take_deferred))))"
    "    (return (call $block (call $slow_add (i32.const 1) (i32.const 2)))))"
    "    (drop (memory.grow (i32.const 2))) (call $yield)"
    "    (loop $l (br_if $l (i32.lt_u (local.tee $kind (i32.add (local.get $kind) (i32.const 1)))"
    "      (i32.const 30000)))) (return (i32.const 1)))"
    "    (call $trap (i32.const 1)))"
    "  (loop $l (br $l)) (i32.const 0))"
    "(func (export \"_catch\") (param i32 i32) (result i32) (call $work (local.get 0)))"
    "(func (export \"live\") (param i32)"
    "  (call $report (call $catch (local.get 0) (i32.const 0)))"
    "  (call $report (call $work (i32.div_u (local.get 0) (i32.const 6)))))"
    ")";

struct slot {
    struct pd_spin lock;
    struct process process;
    bool is_live;
    bool is_waiting;
};

static struct world world;
static struct pd_module *module;
static struct slot slots[SLOTS];
static pthread_mutex_t jobs_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int lives_left;
static atomic_int ends[PD_GUEST_NO_ENTRY + 1];
static atomic_int kills;

/* As the world's host, but safe on threads and with a short queue. */
static enum pd_status locked_submit(struct pd_host *host, struct pd_job *job)
{
    (void)pthread_mutex_lock(&jobs_lock);
    enum pd_status status = test_submit(host, job);
    (void)pthread_mutex_unlock(&jobs_lock);
    return status;
}

static void help(void)
{
    (void)pthread_mutex_lock(&jobs_lock);
    struct test_host *host = &world.host;
    struct pd_job *job = NULL;
    if (host->queued_count > 0) {
        job = host->queued[--host->queued_count];
    }
    (void)pthread_mutex_unlock(&jobs_lock);
    if (job != NULL) {
        job->run(job);
    }
}

static void be_born(struct slot *slot, struct pd_random *random)
{
    struct process *process = &slot->process;
    process->inbox_count = 0;
    struct pd_guest_limits limits = limits_of(1u << 18, 200000);
    assert_int_equal(pd_guest_create(&world.machine, module, &limits, process, &process->guest),
                     PD_OK);
    wasmtime_val_t param = {.kind = WASMTIME_I32};
    param.of.i32 = (int32_t)pd_random_below(random, 36);
    struct pd_guest_entry entry = {
        .function = "live", .function_size = 4, .params = &param, .param_count = 1};
    assert_int_equal(pd_guest_start(process->guest, &entry), PD_OK);
    slot->is_live = true;
}

static void die(struct slot *slot)
{
    slot->is_live = false;
    pd_guest_destroy(slot->process.guest);
}

static void live(struct slot *slot, struct pd_random *random)
{
    if (!slot->is_live) {
        be_born(slot, random);
    }
    if (slot->process.inbox_count == 0 && pd_random_below(random, 3) == 0) {
        give(&slot->process, 1);
    }
    if (pd_guest_step(slot->process.guest) == PD_GUEST_EXITED) {
        atomic_fetch_add(&ends[pd_guest_exit(slot->process.guest).end], 1);
        atomic_fetch_sub(&lives_left, 1);
        die(slot);
    } else if (pd_random_below(random, 8) == 0) {
        atomic_fetch_add(&kills, 1);
        atomic_fetch_sub(&lives_left, 1);
        die(slot);
    }
}

static void *run(void *argument)
{
    struct pd_random random;
    pd_random_init(&random, (uint64_t)(uintptr_t)argument, "lives");
    while (atomic_load(&lives_left) > 0) {
        struct slot *slot = &slots[pd_random_below(&random, SLOTS)];
        if (atomic_exchange_explicit(&slot->lock.held, 1, memory_order_acquire) == 0) {
            live(slot, &random);
            pd_spin_unlock(&slot->lock);
        }
        if (pd_random_below(&random, 4) == 0) {
            help();
        }
    }
    return NULL;
}

static void run_lives(int count)
{
    pthread_t threads[THREADS];
    atomic_store(&lives_left, count);
    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run, (void *)(i + 1)), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < SLOTS; i++) {
        if (slots[i].is_live) {
            die(&slots[i]);
        }
    }
    while (!pd_job_gate_is_idle(&world.machine.jobs)) {
        help();
    }
}

static void nothing_stays_behind(void **state)
{
    (void)state;
    static struct pd_host_ops ops;
    ops = test_host_ops;
    ops.submit = locked_submit;
    world_open(&world, PD_ENGINE_DENSE, 10000);
    world.host.host.ops = &ops;
    world.host.jobs_max = 3;
    module = load(&world, module_text);
    run_lives(LIVES / 10);
    size_t before = mallinfo2().uordblks;
    run_lives(LIVES);
    size_t after = mallinfo2().uordblks;
    print_message("%d killed, %d returned, %d trapped, %d out of fuel\n", atomic_load(&kills),
                  atomic_load(&ends[PD_GUEST_RETURNED]), atomic_load(&ends[PD_GUEST_HOST_TRAP]),
                  atomic_load(&ends[PD_GUEST_FUEL]));
    assert_true(atomic_load(&kills) > LIVES / 4);
    assert_true(atomic_load(&ends[PD_GUEST_RETURNED]) > 0);
    assert_true(atomic_load(&ends[PD_GUEST_HOST_TRAP]) > 0);
    assert_true(atomic_load(&ends[PD_GUEST_FUEL]) > 0);
    assert_int_equal(atomic_load(&ends[PD_GUEST_MEMORY]), 0);
    /* Arenas of the threads count too, and caches of the slabs: a leak of one byte a life would be
     * more. */
    assert_true(after < before + LIVES);
    assert_int_equal(pd_slab_stats(world.memories).slots_live, 0);
    assert_int_equal(pd_slab_stats(world.stacks).slots_live, 0);
    uint32_t references = atomic_load(&module->reference_count);
    assert_int_equal(references, 1);
    pd_module_release(module);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_stays_behind)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
