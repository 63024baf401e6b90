#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"

#define ROUNDS 20
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
    load_run(&bench,
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
    double cpu_us[2];
    double p50_us[2];
};

static void measure(struct bench *bench, double seconds, uint64_t first, uint64_t keys,
                    struct growth *growth, int which)
{
    struct samples samples;
    struct load_figures figures;
    samples_init(&samples);
    struct load load = {.kind = LOAD_PUT,
                        .clients = 64,
                        .first_key = first,
                        .keys = keys,
                        .seconds = seconds,
                        .samples = &samples};
    load_run(bench, &load, &figures);
    growth->cpu_us[which] = figures.cpu_us;
    growth->p50_us[which] = samples_us(&samples, 0.5);
    samples_free(&samples);
}

static void print_growth(const struct growth *growth, double goal)
{
    char figures[256];
    (void)snprintf(figures, sizeof figures,
                   "CPU %6.1f -> %6.1f us a put  p50 %8.1f -> %8.1f us (%4.2f)", growth->cpu_us[0],
                   growth->cpu_us[1], growth->p50_us[0], growth->p50_us[1],
                   growth->p50_us[1] / growth->p50_us[0]);
    row(growth->name, figures, growth->cpu_us[1] / growth->cpu_us[0], goal);
}

static void fill(struct bench *bench, uint64_t first, uint64_t keys)
{
    struct load_figures figures;
    load_run(bench,
             &(struct load){.kind = LOAD_FILL,
                            .clients = 16,
                            .first_key = first,
                            .keys = keys,
                            .operations = keys / FILL_KEYS},
             &figures);
}

static void settle(struct bench *bench, double seconds)
{
    struct growth unused;
    measure(bench, seconds, 0, HOT_KEYS, &unused, 0);
}

void section_growth(struct pd_host *host, const char *folder, double seconds, uint64_t keys)
{
    struct growth watchers = {.name = "0 -> 10,000 watchers that do not match"};
    struct growth leases = {.name = "0 -> 99,000 leases"};
    struct growth hot = {.name = "1,000 -> all keys, 1,000 of them written (hot)"};
    struct growth cold = {.name = "a tenth of the keys -> all, all written (cold)"};
    struct bench bench;
    struct load_figures figures;
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/growth", folder);
    bench_open(&bench, host, path, false);
    fill(&bench, 0, HOT_KEYS);
    settle(&bench, seconds / 2);
    measure(&bench, seconds, 0, HOT_KEYS, &watchers, 0);
    load_run(&bench,
             &(struct load){.kind = LOAD_WATCH, .clients = 16, .keys = 1, .operations = 10000},
             &figures);
    measure(&bench, seconds, 0, HOT_KEYS, &watchers, 1);
    print_growth(&watchers, GROWTH_GOAL);
    bench_close(&bench);
    bench_open(&bench, host, path, false);
    settle(&bench, seconds / 2);
    measure(&bench, seconds, 0, HOT_KEYS, &leases, 0);
    load_run(&bench,
             &(struct load){.kind = LOAD_LEASE, .clients = 256, .keys = 1, .operations = 99000},
             &figures);
    settle(&bench, seconds / 2);
    measure(&bench, seconds, 0, HOT_KEYS, &leases, 1);
    print_growth(&leases, GROWTH_GOAL);
    measure(&bench, seconds, 0, HOT_KEYS, &hot, 0);
    fill(&bench, HOT_KEYS, keys / 10);
    settle(&bench, seconds);
    measure(&bench, seconds, HOT_KEYS, keys / 10, &cold, 0);
    fill(&bench, HOT_KEYS + keys / 10, keys - keys / 10);
    settle(&bench, seconds);
    measure(&bench, seconds, 0, HOT_KEYS, &hot, 1);
    print_growth(&hot, GROWTH_GOAL);
    measure(&bench, seconds, HOT_KEYS, keys, &cold, 1);
    print_growth(&cold, GROWTH_GOAL);
    bench_close(&bench);
}
