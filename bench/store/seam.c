/* What the seam between actors and the store costs, and what guests can do to the node. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actor/mailbox.h"
#include "bench.h"
#include "node/program.h"
#include "node/store_link.h"

#define KEYS 100u
#define IN_FLIGHT 256u
#define CPU_GOAL_US 3.0
#define SERIAL_GOAL 1.5
#define HARM_GOAL 3.0
#define TURNS 10
#define QUIET_CLIENTS 4u

/* Each reads a key of its own of what is applied here, through the core, for ever; or computes. */
static const char guest_wat[] =
    "(module\n"
    "  (import \"pando::kv\" \"range\" (func $range (param i32 i32 i32 i32 i64 i64 i32 i32)\n"
    "    (result i32)))\n"
    "  (import \"pando::kv\" \"put\" (func $put (param i32 i32 i32 i32 i64 i32 i32)\n"
    "    (result i32)))\n"
    "  (memory (export \"memory\") 1)\n"
    "  (data (i32.const 0) \"bench/000000000000\")\n"
    "  (func (export \"reads\") (param i64)\n"
    "    (loop $l\n"
    "      (if (call $range (i32.const 0) (i32.const 18) (i32.const 0) (i32.const 0)\n"
    "        (i64.const 0) (i64.const 0) (i32.const 1) (i32.const 128)) (then unreachable))\n"
    "      (br $l)))\n"
    "  (func (export \"puts\") (param i64)\n"
    "    (loop $l\n"
    "      (if (call $put (i32.const 0) (i32.const 18) (i32.const 512) (i32.const 256)\n"
    "        (i64.const 0) (i32.const 0) (i32.const 128)) (then unreachable))\n"
    "      (br $l)))\n"
    "  (func (export \"spins\") (param i64) (loop $l (br $l))))\n";

struct stage {
    struct bench bench;
    struct pd_store_server_link *link;
    struct pd_program program;
    struct pd_module *module;
    struct pd_rights *rights;
};

/* -- A node that hosts actors ------------------------------------------------------------------ */

static void stage_open(struct stage *stage, struct pd_host *host, const char *folder)
{
    struct pd_module_message message = {.text = ""};
    struct load_figures figures;
    bench_open(&stage->bench, host, folder, false);
    load_run(&stage->bench,
             &(struct load){.kind = LOAD_FILL, .clients = 1, .keys = KEYS, .operations = 2},
             &figures);
    struct pd_store_port_config of_port = pd_store_port_config_default();
    of_port.host = host;
    if (pd_store_server_link_open(stage->bench.server, &of_port, &stage->link) != PD_OK) {
        die("the node takes no actors");
    }
    struct pd_program_config config = pd_program_config_default();
    config.cache_folder = "";
    config.processes_max = 4096;
    config.kv = pd_store_port_interface(pd_store_server_link_port(stage->link));
    if (pd_program_open(&stage->program, &config, &message) != PD_OK ||
        pd_module_load_text(&stage->program.profiles[PD_ENGINE_DENSE].linker, guest_wat,
                            &stage->module, &message) != PD_OK) {
        die("%s", message.text);
    }
    stage->rights = pd_rights_create(stage->program.files, PD_MEMORY_BYTES_MAX, 0);
    if (stage->rights == NULL || pd_rights_allow_kv(stage->rights, "", 0) != PD_OK) {
        die("no memory");
    }
}

static void stage_close(struct stage *stage)
{
    pd_rights_release(stage->rights);
    pd_program_kill_all(&stage->program);
    pd_module_release(stage->module);
    pd_program_close(&stage->program);
    pd_store_server_link_close(stage->link);
    bench_close(&stage->bench);
}

static uint64_t start(struct stage *stage, const char *function)
{
    const wasmtime_val_t value = {.kind = WASMTIME_I64};
    const struct pd_wasm_spawn spawn = {
        .environment = stage->program.environment,
        .module = stage->module,
        .rights = stage->rights,
        .entry = {.function = function,
                  .function_size = strlen(function),
                  .params = &value,
                  .param_count = 1},
    };
    struct pd_wasm_process *process = NULL;
    if (pd_wasm_process_create(&stage->program.system, &spawn, &process) != PD_OK) {
        die("cannot spawn");
    }
    uint64_t pid = process->process->pid;
    pd_process_start(process->process);
    return pid;
}

static void end(struct stage *stage, uint64_t pid)
{
    (void)!pd_mailbox_kill(stage->program.environment, pid, PD_EXIT_KILLED, NULL);
}

/* -- Round trips ------------------------------------------------------------------------------- */

struct trips {
    double cpu_us; /* of the process, for one */
    double us;     /* elapsed, for one */
    double rate;
};

static struct trips count_trips(struct stage *stage, double seconds)
{
    struct pd_host *host = stage->bench.host;
    struct pd_store_port *port = pd_store_server_link_port(stage->link);
    struct pd_store_port_counters before;
    struct pd_store_port_counters after;
    struct pd_event never = {0};
    pd_store_port_counters(port, &before);
    uint64_t cpu_ns = host->ops->cpu_ns(host, PD_CPU_PROCESS);
    uint64_t began_ns = pd_host_now_ns(host);
    (void)host->ops->event_wait(host, &never, began_ns + (uint64_t)(seconds * 1e9));
    pd_store_port_counters(port, &after);
    cpu_ns = host->ops->cpu_ns(host, PD_CPU_PROCESS) - cpu_ns;
    double elapsed_us = (double)(pd_host_now_ns(host) - began_ns) / 1e3;
    double count = (double)(after.begun - before.begun);
    return (struct trips){
        .cpu_us = (double)cpu_ns / 1e3 / count, .us = elapsed_us / count, .rate = count / seconds};
}

static void measure_cpu(struct stage *stage, double seconds)
{
    uint64_t pids[IN_FLIGHT];
    char text[256];
    struct trips best = {.cpu_us = 1e9};
    double direct_us = 1e9;
    for (int turn = 0; turn < 3; turn++) {
        struct load_figures direct;
        for (uint32_t i = 0; i < IN_FLIGHT; i++) {
            pids[i] = start(stage, "reads");
        }
        (void)count_trips(stage, 0.2); /* they begin */
        struct trips trips = count_trips(stage, seconds / 3);
        best = trips.cpu_us < best.cpu_us ? trips : best;
        for (uint32_t i = 0; i < IN_FLIGHT; i++) {
            end(stage, pids[i]);
        }
        (void)count_trips(stage, 0.1);
        load_run(&stage->bench,
                 &(struct load){
                     .kind = LOAD_READ, .clients = IN_FLIGHT, .keys = KEYS, .seconds = seconds / 3},
                 &direct);
        direct_us = direct.cpu_us < direct_us ? direct.cpu_us : direct_us;
    }
    /* What the core does for the read is its own; what the way there and back costs is judged. */
    double share_us = best.cpu_us - direct_us;
    (void)snprintf(text, sizeof text,
                   "%.2f us CPU  %.0f/s  less the same read of a client in the core: %.2f us  "
                   "the way there and back: %.2f us",
                   best.cpu_us, best.rate, direct_us, share_us);
    row("256 actors, a read through the core each: CPU / 3 us", text, share_us / CPU_GOAL_US, 1.0);
}

/* -- Serial ------------------------------------------------------------------------------------ */

/* The port with a clock at its door: from one request of the only actor to its next. */
static struct timed {
    struct pd_kv_port_ops ops;
    enum pd_kv_code (*begin)(struct pd_kv_port *port, const struct pd_kv_ask *ask,
                             struct pd_kv_ticket **ticket_out, char text[PD_KV_PORT_TEXT_MAX]);
    struct pd_host *host;
    struct samples *samples;
    uint64_t last_ns; /* 0: the next request is the first */
} timed;

static enum pd_kv_code timed_begin(struct pd_kv_port *port, const struct pd_kv_ask *ask,
                                   struct pd_kv_ticket **ticket_out, char text[PD_KV_PORT_TEXT_MAX])
{
    uint64_t now_ns = pd_host_now_ns(timed.host);
    if (timed.last_ns != 0) {
        samples_add(timed.samples, now_ns - timed.last_ns);
    }
    timed.last_ns = now_ns;
    return timed.begin(port, ask, ticket_out, text);
}

static void read_alone(struct stage *stage, double seconds, struct samples *samples)
{
    struct pd_host *host = stage->bench.host;
    struct pd_kv_port *port = pd_store_port_interface(pd_store_server_link_port(stage->link));
    const struct pd_kv_port_ops *plain = port->ops;
    timed = (struct timed){.ops = *plain, .begin = plain->begin, .host = host, .samples = samples};
    timed.ops.begin = timed_begin;
    port->ops = &timed.ops;
    uint64_t pid = start(stage, "reads");
    (void)count_trips(stage, seconds);
    end(stage, pid);
    while (pd_environment_count(stage->program.environment) > 0) {
        (void)count_trips(stage, 0.001);
    }
    port->ops = plain;
}

struct pair {
    struct pd_host *host;
    struct pd_event there;
    struct pd_event back;
    atomic_bool stops;
};

static void echo(void *argument)
{
    struct pair *pair = argument;
    while (!atomic_load(&pair->stops)) {
        (void)pair->host->ops->event_wait(pair->host, &pair->there, PD_TIME_NEVER);
        pair->host->ops->event_set(pair->host, &pair->back);
    }
}

/* Two hand-offs between two threads that sleep. */
static void hand_over(struct pd_host *host, double seconds, struct samples *samples)
{
    struct pair pair = {.host = host};
    struct pd_thread thread;
    if (host->ops->thread_start(host, "echo", PD_THREAD_NORMAL, echo, &pair, &thread) != PD_OK) {
        die("no thread");
    }
    uint64_t began_ns = pd_host_now_ns(host);
    uint64_t last_ns = began_ns;
    while (last_ns < began_ns + (uint64_t)(seconds * 1e9)) {
        host->ops->event_set(host, &pair.there);
        (void)host->ops->event_wait(host, &pair.back, PD_TIME_NEVER);
        uint64_t now_ns = pd_host_now_ns(host);
        samples_add(samples, now_ns - last_ns);
        last_ns = now_ns;
    }
    atomic_store(&pair.stops, true);
    host->ops->event_set(host, &pair.there);
    host->ops->thread_join(host, thread);
}

static void measure_serial(struct stage *stage, double seconds)
{
    struct samples trips;
    struct samples bare;
    char text[256];
    samples_init(&trips);
    samples_init(&bare);
    for (int turn = 0; turn < TURNS; turn++) {
        hand_over(stage->bench.host, seconds / TURNS / 2, &bare);
        read_alone(stage, seconds / TURNS / 2, &trips);
    }
    double trip_us = samples_us(&trips, 0.5);
    double bare_us = samples_us(&bare, 0.5);
    (void)snprintf(text, sizeof text,
                   "p50 %.1f us a round trip (p10 %.1f)  two bare hand-offs p50 %.1f us (p10 %.1f)",
                   trip_us, samples_us(&trips, 0.1), bare_us, samples_us(&bare, 0.1));
    row("one actor, a read through the core: p50 / two bare hand-offs", text, trip_us / bare_us,
        SERIAL_GOAL);
    samples_free(&trips);
    samples_free(&bare);
}

/* -- Puts -------------------------------------------------------------------------------------- */

static void measure_puts(struct stage *stage, double seconds)
{
    uint64_t pids[IN_FLIGHT];
    char text[256];
    for (uint32_t i = 0; i < IN_FLIGHT; i++) {
        pids[i] = start(stage, "puts");
    }
    (void)count_trips(stage, 0.2);
    struct trips trips = count_trips(stage, seconds / 2);
    for (uint32_t i = 0; i < IN_FLIGHT; i++) {
        end(stage, pids[i]);
    }
    (void)count_trips(stage, 0.1);
    (void)snprintf(text, sizeof text, "%.2f us CPU  %.0f/s", trips.cpu_us, trips.rate);
    row("256 actors, a durable put each, in sessions", text, -1, 0);
}

/* -- Harm -------------------------------------------------------------------------------------- */

static void put_beside(struct stage *stage, double seconds, struct samples *samples)
{
    struct load_figures figures;
    load_run(&stage->bench,
             &(struct load){.kind = LOAD_PUT,
                            .clients = QUIET_CLIENTS,
                            .keys = KEYS,
                            .seconds = seconds,
                            .samples = samples},
             &figures);
}

/* Puts of four clients while guests compute without an end on every scheduler thread. */
static void measure_harm(struct stage *stage, double seconds)
{
    struct samples quiet;
    struct samples beside;
    char text[256];
    uint64_t pids[2 * PD_SCHEDULERS_MAX];
    uint32_t count = 2 * stage->program.runtime.scheduler_count;
    samples_init(&quiet);
    samples_init(&beside);
    for (int turn = 0; turn < 4; turn++) {
        put_beside(stage, seconds / 4, &quiet);
        for (uint32_t i = 0; i < count; i++) {
            pids[i] = start(stage, "spins");
        }
        (void)count_trips(stage, 0.1);
        put_beside(stage, seconds / 4, &beside);
        for (uint32_t i = 0; i < count; i++) {
            end(stage, pids[i]);
        }
        (void)count_trips(stage, 0.1);
    }
    double quiet_us = samples_us(&quiet, 0.99);
    double beside_us = samples_us(&beside, 0.99);
    (void)snprintf(
        text, sizeof text,
        "quiet p50 %.0f us p99 %.0f us  beside %u endless guests p50 %.0f us p99 %.0f us",
        samples_us(&quiet, 0.5), quiet_us, count, samples_us(&beside, 0.5), beside_us);
    row("puts beside endless guests: p99 / quiet p99", text, beside_us / quiet_us, HARM_GOAL);
    samples_free(&quiet);
    samples_free(&beside);
}

void section_seam(struct pd_host *host, const char *folder, double seconds)
{
    static struct stage stage;
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/seam", folder);
    stage_open(&stage, host, path);
    measure_cpu(&stage, seconds);
    measure_serial(&stage, seconds);
    measure_puts(&stage, seconds);
    measure_harm(&stage, seconds);
    stage_close(&stage);
}
