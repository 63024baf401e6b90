/* actors_soak [COUNT [SEED]] - spawns and kills COUNT actors (10 million) and shows that nothing of
 * them is left.
 *
 * Model  Waves. In each, leaders spawn children that crash, link, monitor, call, wait, time, name,
 *        join, nest and kill in every order (tests/guests/actors_soak.wat), on real threads and
 *        with small mailboxes, so that senders wait. When the leaders are through, whoever is left
 *        is killed. Then there must be no process, message, timer, name, membership, memory or
 *        fiber; and, from the waves in which caches fill on, the heap, the descriptors and the
 *        mappings must stay as they are.
 * Heap   What the allocator says is in use. Caches reach their size during the first waves; 1 MiB
 *        more than then is a tenth of a byte for each of 10 million. */
#include <dirent.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "actor/environment.h"
#include "actor/mailbox.h"
#include "node/program.h"

#define COUNT_DEFAULT UINT64_C(10000000)
#define LEADERS 32u
#define CHILDREN 300u
#define WARM_PERCENT 10u
#define WARM_WAVES_MIN 10u
#define HEAP_SLACK (UINT64_C(1) << 20)
#define MAPPINGS_SLACK 16u
#define WAVE_LIMIT_NS UINT64_C(120000000000)
#define NS_PER_S UINT64_C(1000000000)

/* jemalloc's, when it is the heap. */
int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size)
    __attribute__((weak));

struct figures {
    uint64_t heap_bytes;
    uint64_t descriptors;
    uint64_t mappings;
};

static struct pd_program program;
static atomic_uint_least64_t leaders_ended;
static atomic_uint_least64_t deaths[PD_EXIT_DENIED + 1];

static void die(const char *what, uint64_t found, uint64_t allowed)
{
    (void)fprintf(stderr, "actors_soak: %s: %llu, where %llu are allowed\n", what,
                  (unsigned long long)found, (unsigned long long)allowed);
    exit(1);
}

static void expect_none(const char *what, uint64_t found)
{
    if (found != 0) {
        die(what, found, 0);
    }
}

static uint64_t clock_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void process_ended(void *context, struct pd_program *ended_in, struct pd_process *process)
{
    (void)context;
    (void)ended_in;
    atomic_fetch_add(&deaths[process->exit.reason], 1);
    if (process->parent == 0) {
        atomic_fetch_add(&leaders_ended, 1);
    }
}

/* --- What is left ----------------------------------------------------------------------------- */

static uint64_t count_descriptors(void)
{
    uint64_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (folder != NULL && readdir(folder) != NULL) {
        count++;
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
    return count;
}

static uint64_t count_mappings(void)
{
    uint64_t count = 0;
    FILE *file = fopen("/proc/self/maps", "re");
    int byte = 0;
    while (file != NULL && (byte = fgetc(file)) != EOF) {
        count += byte == '\n' ? 1 : 0;
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return count;
}

static uint64_t heap_bytes(void)
{
    if (mallctl != NULL) {
        uint64_t epoch = 1;
        size_t size = sizeof epoch;
        size_t allocated = 0;
        size_t allocated_size = sizeof allocated;
        if (mallctl("epoch", &epoch, &size, &epoch, sizeof epoch) == 0 &&
            mallctl("stats.allocated", &allocated, &allocated_size, NULL, 0) == 0) {
            return allocated;
        }
    }
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static struct figures measure(void)
{
    return (struct figures){.heap_bytes = heap_bytes(),
                            .descriptors = count_descriptors(),
                            .mappings = count_mappings()};
}

static void expect_nothing_left(void)
{
    struct pd_runtime *runtime = &program.runtime;
    struct pd_environment *environment = program.environment;
    pd_runtime_purge_sends(runtime, environment);
    expect_none("processes", atomic_load(&runtime->process_count));
    expect_none("pids", pd_environment_count(environment));
    expect_none("message timers", runtime->message_timer_count);
    for (uint32_t i = 0; i < runtime->scheduler_count; i++) {
        struct pd_scheduler *scheduler = &runtime->schedulers[i];
        pd_spin_lock(&scheduler->timers.lock);
        uint32_t count = scheduler->timers.count;
        pd_spin_unlock(&scheduler->timers.lock);
        expect_none("timers", count);
        expect_none("queued processes", pd_runqueue_count(&scheduler->queue));
    }
    expect_none("names", environment->registry.names.count);
    expect_none("owners of names", environment->registry.owners.count);
    expect_none("waiters for names", environment->registry.waiters.count);
    expect_none("memberships", environment->groups.memberships.count);
    expect_none("groups", environment->groups.groups.count);
    expect_none("guest memories", pd_slab_stats(program.memories).slots_live);
    expect_none("fibers", pd_slab_stats(program.stacks).slots_live);
}

/* --- A wave ----------------------------------------------------------------------------------- */

static void start_leader(struct pd_module *module, struct pd_rights *rights, uint64_t seed)
{
    static const char lead[] = "lead";
    const wasmtime_val_t params[2] = {
        {.kind = WASMTIME_I64, .of.i64 = (int64_t)(seed | 1)},
        {.kind = WASMTIME_I32, .of.i32 = (int32_t)CHILDREN},
    };
    const struct pd_wasm_spawn spawn = {
        .environment = program.environment,
        .module = module,
        .rights = rights,
        .entry = {.function = lead,
                  .function_size = sizeof lead - 1,
                  .params = params,
                  .param_count = 2},
    };
    struct pd_wasm_process *process = NULL;
    if (pd_wasm_process_create(&program.system, &spawn, &process) != PD_OK) {
        die("leaders that could not start", 1, 0);
    }
    pd_process_start(process->process);
}

static void kill_everyone(void)
{
    struct pd_environment *environment = program.environment;
    for (uint32_t slot = 0; slot < environment->capacity; slot++) {
        struct pd_process *process = pd_environment_at(environment, slot);
        if (process != NULL) {
            (void)!pd_mailbox_kill(environment, pd_mailbox_pid(process), PD_EXIT_KILLED, NULL);
        }
    }
}

static void pause_ms(long ms)
{
    const struct timespec pause = {.tv_nsec = ms * 1000000};
    (void)nanosleep(&pause, NULL);
}

static void run_wave(struct pd_module *module, struct pd_rights *rights, struct pd_random *random)
{
    uint64_t until = clock_ns() + WAVE_LIMIT_NS;
    atomic_store(&leaders_ended, 0);
    for (uint32_t i = 0; i < LEADERS; i++) {
        start_leader(module, rights, pd_random_next(random));
    }
    while (atomic_load(&leaders_ended) < LEADERS) {
        pause_ms(1);
        if (clock_ns() > until) {
            die("leaders that do not end", LEADERS - atomic_load(&leaders_ended), 0);
        }
    }
    while (pd_environment_count(program.environment) > 0) {
        kill_everyone();
        pause_ms(1);
        if (clock_ns() > until) {
            die("actors that do not die", pd_environment_count(program.environment), 0);
        }
    }
    while (atomic_load(&program.runtime.process_count) > 0) {
        pause_ms(1); /* the last give-back is a few instructions away */
    }
}

/* --- All of them ------------------------------------------------------------------------------ */

static void print_progress(uint64_t done, uint64_t started_ns, const struct figures *now)
{
    uint64_t passed_ns = clock_ns() - started_ns;
    (void)printf("%10llu actors, %7.0f/s, heap %7.1f KiB, %llu descriptors, %llu mappings\n",
                 (unsigned long long)done, (double)done * 1e9 / (double)passed_ns,
                 (double)now->heap_bytes / 1024, (unsigned long long)now->descriptors,
                 (unsigned long long)now->mappings);
    (void)fflush(stdout);
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void soak(struct pd_module *module, struct pd_rights *rights, uint64_t count, uint64_t seed)
{
    struct pd_random random;
    pd_random_init(&random, seed, "actors_soak");
    struct figures warm = {0};
    struct figures now = {0};
    uint64_t started_ns = clock_ns();
    uint64_t shown_ns = 0;
    uint64_t done = 0;
    uint64_t first_heap = 0;
    uint64_t warm_done = 0;
    for (uint32_t wave = 0; done < count; wave++) {
        run_wave(module, rights, &random);
        expect_nothing_left();
        done = program.environment->pid_last;
        now = measure();
        if (wave < WARM_WAVES_MIN || done < count / 100 * WARM_PERCENT) {
            warm.heap_bytes = larger(warm.heap_bytes, now.heap_bytes);
            warm.descriptors = larger(warm.descriptors, now.descriptors);
            warm.mappings = larger(warm.mappings, now.mappings);
            first_heap = now.heap_bytes;
            warm_done = done;
        } else if (now.heap_bytes > warm.heap_bytes + HEAP_SLACK) {
            die("bytes of the heap", now.heap_bytes, warm.heap_bytes + HEAP_SLACK);
        } else if (now.descriptors > warm.descriptors) {
            die("descriptors", now.descriptors, warm.descriptors);
        } else if (now.mappings > warm.mappings + MAPPINGS_SLACK) {
            die("mappings", now.mappings, warm.mappings + MAPPINGS_SLACK);
        }
        if (clock_ns() - shown_ns > 5 * NS_PER_S || done >= count) {
            shown_ns = clock_ns();
            print_progress(done, started_ns, &now);
        }
    }
    if (done > warm_done) {
        (void)printf("the heap grew by %.4f bytes for each actor after the first %llu\n",
                     ((double)now.heap_bytes - (double)first_heap) / (double)(done - warm_done),
                     (unsigned long long)warm_done);
    }
}

int main(int count, char **arguments)
{
    uint64_t wanted = count > 1 ? strtoull(arguments[1], NULL, 10) : COUNT_DEFAULT;
    uint64_t seed = count > 2 ? strtoull(arguments[2], NULL, 10) : 42;
    (void)printf("actors_soak %llu %llu\n", (unsigned long long)wanted, (unsigned long long)seed);
    struct pd_module_message message = {.text = ""};
    struct pd_program_config config = pd_program_config_default();
    config.cache_folder = "";
    config.processes_max = 1u << 17;
    config.messages_max = 64;
    struct pd_module *module = NULL;
    if (pd_program_open(&program, &config, &message) != PD_OK ||
        pd_program_load(&program, PD_ENGINE_DENSE, PD_TEST_GUEST_DIR "/actors_soak.wasm", &module,
                        &message) != PD_OK) {
        (void)fprintf(stderr, "actors_soak: %s\n", message.text);
        return 1;
    }
    program.exit_hook = process_ended;
    struct pd_rights *rights = pd_rights_create(program.files, UINT64_C(4) << 20, 0);
    if (rights == NULL) {
        return 1;
    }
    rights->can_spawn = true;
    rights->can_configure = true;
    soak(module, rights, wanted, seed);
    for (int reason = 0; reason <= PD_EXIT_DENIED; reason++) {
        (void)printf("%10llu %s\n", (unsigned long long)atomic_load(&deaths[reason]),
                     pd_exit_reason_text((enum pd_exit_reason)reason));
    }
    pd_rights_release(rights);
    pd_module_release(module);
    pd_program_close(&program);
    (void)printf("nothing is left\n");
    return 0;
}
