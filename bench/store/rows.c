#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"

#define ROUNDS 20
#define TURNS 7
#define HOT_KEYS 1000u
#define COMMIT_GOAL 1.25
#define HOT_GOAL_US 1.0
/* "Does not grow": figures of a shared machine scatter by as much. */
#define GROWTH_GOAL 1.25

/* -- Commits beside the raw limit -------------------------------------------------------------- */

struct commit_row {
    const char *name;
    uint32_t clients;
    bool is_thread;
    double goal;
    struct samples samples;
    double operations;
    double seconds;
    double batch;
    double cpu_us;
};

static void print_raw(struct samples *samples)
{
    char figures[256];
    double p50 = samples_us(samples, 0.5);
    (void)snprintf(figures, sizeof figures, "p50 %7.1f us  p99 %8.1f us  p10 %7.1f us", p50,
                   samples_us(samples, 0.99), samples_us(samples, 0.1));
    row("raw pwrite + fdatasync, 4 KiB", figures, 1.0, 0);
}

static void print_commits(struct commit_row *one, struct samples *raw)
{
    char figures[256];
    double p50 = samples_us(&one->samples, 0.5);
    double p99 = samples_us(&one->samples, 0.99);
    (void)snprintf(figures, sizeof figures,
                   "p50 %7.1f us  p99 %8.1f us (%4.2f raw)  p10 %7.1f us (%4.2f raw)  %8.0f/s  "
                   "batch %5.1f  %5.1f us CPU",
                   p50, p99, p99 / samples_us(raw, 0.99), samples_us(&one->samples, 0.1),
                   samples_us(&one->samples, 0.1) / samples_us(raw, 0.1),
                   one->operations / one->seconds, one->batch / ROUNDS, one->cpu_us / ROUNDS);
    row(one->name, figures, p50 / samples_us(raw, 0.5), one->goal);
}

void section_commits(struct pd_host *host, const char *folder, double seconds)
{
    struct commit_row rows[] = {
        {.name = "1 client", .clients = 1, .goal = COMMIT_GOAL},
        {.name = "1 client, a thread that sleeps", .clients = 1, .is_thread = true},
        {.name = "16 clients", .clients = 16},
        {.name = "256 clients", .clients = 256},
    };
    size_t count = sizeof rows / sizeof rows[0];
    struct samples raw_samples;
    struct bench bench;
    struct raw *raw = raw_open(folder);
    samples_init(&raw_samples);
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/commits", folder);
    bench_open(&bench, host, path, false);
    for (size_t i = 0; i < count; i++) {
        samples_init(&rows[i].samples);
    }
    /* In turns, so that a machine that is slow for a while is slow for all. */
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < count; i++) {
            struct load load = {.kind = LOAD_PUT,
                                .clients = rows[i].clients,
                                .keys = HOT_KEYS,
                                .seconds = seconds / ROUNDS,
                                .samples = &rows[i].samples};
            struct load_figures figures;
            raw_run(raw, host, seconds / ROUNDS / 2, &raw_samples);
            if (rows[i].is_thread) {
                load_run_thread(&bench, &load, &figures);
            } else {
                load_run(&bench, &load, &figures);
            }
            rows[i].operations += (double)figures.operations;
            rows[i].seconds += figures.seconds;
            rows[i].batch += figures.batch;
            rows[i].cpu_us += figures.cpu_us;
        }
    }
    print_raw(&raw_samples);
    for (size_t i = 0; i < count; i++) {
        print_commits(&rows[i], &raw_samples);
        samples_free(&rows[i].samples);
    }
    samples_free(&raw_samples);
    raw_close(raw);
    bench_close(&bench);
}

void section_profile(struct pd_host *host, const char *folder, double seconds, uint32_t clients)
{
    struct bench bench;
    struct samples samples;
    struct load_figures figures;
    char path[4096];
    char text[256];
    (void)snprintf(path, sizeof path, "%s/profile", folder);
    samples_init(&samples);
    bench_open(&bench, host, path, false);
    load_run(&bench,
             &(struct load){.kind = LOAD_PUT,
                            .clients = clients,
                            .keys = HOT_KEYS,
                            .seconds = seconds,
                            .samples = &samples},
             &figures);
    (void)snprintf(text, sizeof text, "p50 %.1f us  p99 %.1f us  %.0f/s  batch %.1f  %.1f us CPU",
                   samples_us(&samples, 0.5), samples_us(&samples, 0.99),
                   (double)figures.operations / figures.seconds, figures.batch, figures.cpu_us);
    row("puts", text, -1, 0);
    samples_free(&samples);
    bench_close(&bench);
}

/* -- Hot reads --------------------------------------------------------------------------------- */

static uint64_t read_hot(struct bench *bench, uint64_t number)
{
    char name[32];
    uint8_t room[512];
    struct pd_kv_record record;
    key_name(number, name);
    struct pd_span key = {(const uint8_t *)name, strlen(name)};
    return pd_server_read_hot(bench->server, key, room, sizeof room, &record) == PD_OK ? 1 : 0;
}

static void measure_hot(struct bench *bench, double seconds, const char *name)
{
    struct samples samples;
    struct pd_random random;
    char figures[256];
    uint64_t hits = 0;
    uint64_t reads = 0;
    samples_init(&samples);
    pd_random_init(&random, 1, "hot");
    uint64_t end_ns = pd_host_now_ns(bench->host) + (uint64_t)(seconds * 1e9);
    uint64_t before_ns = pd_host_now_ns(bench->host);
    while (before_ns < end_ns) {
        hits += read_hot(bench, pd_random_below(&random, HOT_KEYS));
        reads++;
        uint64_t now_ns = pd_host_now_ns(bench->host);
        samples_add(&samples, now_ns - before_ns);
        before_ns = now_ns;
    }
    double p50 = samples_us(&samples, 0.5);
    (void)snprintf(figures, sizeof figures, "p50 %7.3f us  p99 %8.3f us  %5.1f %% from memory", p50,
                   samples_us(&samples, 0.99), 100.0 * (double)hits / (double)reads);
    row(name, figures, p50 / HOT_GOAL_US, 1.0);
    samples_free(&samples);
}

struct writer {
    struct bench *bench;
    double seconds;
};

static void write_beside(void *argument)
{
    struct writer *writer = argument;
    struct load_figures figures;
    load_run(writer->bench,
             &(struct load){
                 .kind = LOAD_PUT, .clients = 16, .keys = HOT_KEYS, .seconds = writer->seconds},
             &figures);
}

void section_hot_reads(struct pd_host *host, const char *folder, double seconds)
{
    struct bench bench;
    struct load_figures figures;
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/hot", folder);
    bench_open(&bench, host, path, true);
    load_run(
        &bench,
        &(struct load){
            .kind = LOAD_FILL, .clients = 4, .keys = HOT_KEYS, .operations = HOT_KEYS / FILL_KEYS},
        &figures);
    measure_hot(&bench, seconds, "linearizable read, leader's lease");
    struct writer writer = {.bench = &bench, .seconds = seconds * 1.2};
    struct pd_thread thread;
    if (host->ops->thread_start(host, "writers", PD_THREAD_NORMAL, write_beside, &writer,
                                &thread) != PD_OK) {
        die("no thread");
    }
    measure_hot(&bench, seconds, "the same beside 16 writers");
    host->ops->thread_join(host, thread);
    bench_close(&bench);
}

/* -- What must not grow ------------------------------------------------------------------------ */

struct growth {
    const char *name;
    double cpu_us[2]; /* means */
    double p50_us[2];
    double ratios[TURNS]; /* of CPU times, by turn */
};

static void measure(struct bench *bench, double seconds, uint64_t keys, struct growth *growth,
                    int which, double *cpu_us_out)
{
    struct samples samples;
    struct load_figures figures;
    samples_init(&samples);
    struct load load = {
        .kind = LOAD_PUT, .clients = 64, .keys = keys, .seconds = seconds, .samples = &samples};
    load_run(bench, &load, &figures);
    growth->cpu_us[which] += figures.cpu_us / TURNS;
    growth->p50_us[which] += samples_us(&samples, 0.5) / TURNS;
    samples_free(&samples);
    *cpu_us_out = figures.cpu_us;
}

static int compare_ratios(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return a < b ? -1 : a > b;
}

/* Two nodes take turns, so that a machine that is slow for a while is slow for both. The first
 * turn of each is not counted. */
static void compare(struct bench *few, uint64_t few_keys, struct bench *many, uint64_t many_keys,
                    double seconds, struct growth *growth)
{
    struct growth unused = {.name = NULL};
    double few_us = 0;
    double many_us = 0;
    measure(few, seconds / TURNS, few_keys, &unused, 0, &few_us);
    measure(many, seconds / TURNS, many_keys, &unused, 1, &many_us);
    for (int turn = 0; turn < TURNS; turn++) {
        measure(few, seconds / TURNS, few_keys, growth, 0, &few_us);
        measure(many, seconds / TURNS, many_keys, growth, 1, &many_us);
        growth->ratios[turn] = many_us / few_us;
    }
    qsort(growth->ratios, TURNS, sizeof growth->ratios[0], compare_ratios);
}

static void print_growth(const struct growth *growth, double goal)
{
    char figures[256];
    (void)snprintf(figures, sizeof figures,
                   "CPU %6.1f -> %6.1f us a put  p50 %8.1f -> %8.1f us (%4.2f)", growth->cpu_us[0],
                   growth->cpu_us[1], growth->p50_us[0], growth->p50_us[1],
                   growth->p50_us[1] / growth->p50_us[0]);
    row(growth->name, figures, growth->ratios[TURNS / 2], goal);
}

/* A node with this many keys. */
static void open_filled(struct bench *bench, struct pd_host *host, const char *folder,
                        const char *name, uint64_t keys)
{
    struct load_figures figures;
    static char paths[4][4096];
    static int used;
    char *path = paths[used++ % 4]; /* as many as are open at once */
    (void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    bench_open(bench, host, path, false);
    load_run(bench,
             &(struct load){
                 .kind = LOAD_FILL, .clients = 16, .keys = keys, .operations = keys / FILL_KEYS},
             &figures);
}

void section_growth(struct pd_host *host, const char *folder, double seconds, uint64_t keys)
{
    struct growth watchers = {.name = "0 -> 10,000 watchers that do not match"};
    struct growth leases = {.name = "0 -> 99,000 leases"};
    struct growth hot = {.name = "1,000 -> all keys, 1,000 of them written (hot)"};
    struct growth cold = {.name = "half of the keys -> all, all written (cold)"};
    struct growth memory = {.name = "1,000 written (hot) -> all written (cold)"};
    struct bench few;
    struct bench many;
    struct load_figures figures;
    open_filled(&few, host, folder, "few", HOT_KEYS);

    open_filled(&many, host, folder, "watchers", HOT_KEYS);
    load_run(&many,
             &(struct load){.kind = LOAD_WATCH, .clients = 16, .keys = 1, .operations = 10000},
             &figures);
    compare(&few, HOT_KEYS, &many, HOT_KEYS, seconds, &watchers);
    print_growth(&watchers, GROWTH_GOAL);
    bench_close(&many);

    open_filled(&many, host, folder, "leases", HOT_KEYS);
    load_run(&many,
             &(struct load){.kind = LOAD_LEASE, .clients = 256, .keys = 1, .operations = 99000},
             &figures);
    compare(&few, HOT_KEYS, &many, HOT_KEYS, seconds, &leases);
    print_growth(&leases, GROWTH_GOAL);
    bench_close(&many);

    open_filled(&many, host, folder, "many", keys);
    compare(&few, HOT_KEYS, &many, HOT_KEYS, seconds, &hot);
    print_growth(&hot, GROWTH_GOAL);
    bench_close(&few);

    open_filled(&few, host, folder, "half", keys / 2);
    compare(&few, keys / 2, &many, keys, seconds, &cold);
    print_growth(&cold, GROWTH_GOAL);
    memory.cpu_us[0] = hot.cpu_us[1];
    memory.p50_us[0] = hot.p50_us[1];
    memory.cpu_us[1] = cold.cpu_us[1];
    memory.p50_us[1] = cold.p50_us[1];
    memory.ratios[TURNS / 2] = memory.cpu_us[1] / memory.cpu_us[0];
    print_growth(&memory,
                 0); /* what a row costs that is not in memory: not a matter of their number */
    bench_close(&few);
    bench_close(&many);
}
