/* bench - what the files of store-bench share. */
#ifndef PD_BENCH_STORE_H
#define PD_BENCH_STORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/host.h"
#include "base/random.h"
#include "node/server.h"

#define BENCH_VALUE_BYTES 256u
#define BENCH_SAMPLES_MAX ((size_t)8 << 20)

/* -- Figures ----------------------------------------------------------------------------------- */

struct samples {
    uint32_t *ns; /* BENCH_SAMPLES_MAX of them */
    size_t count;
};
void samples_init(struct samples *samples);
void samples_free(struct samples *samples);
static inline void samples_add(struct samples *samples, uint64_t ns)
{
    if (samples->count < BENCH_SAMPLES_MAX) {
        samples->ns[samples->count++] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
    }
}
/* Sorts them; `part` of 1 lies below. 0: there are none. */
double samples_us(struct samples *samples, double part);

/* A line of the table. `ratio` < 0: none; `goal` 0: none, the ratio must not exceed it. */
void row(const char *what, const char *figures, double ratio, double goal);
/* Whether every goal was met. */
bool rows_are_good(void);
_Noreturn void die(const char *format, ...) PD_PRINTF(1, 2);

/* -- The raw limit ----------------------------------------------------------------------------- */

struct raw;
/* A zero-filled file in `folder`: one 4 KiB block after the other, pwrite and fdatasync. */
struct raw *raw_open(const char *folder);
void raw_run(struct raw *raw, struct pd_host *host, double seconds, struct samples *samples);
void raw_close(struct raw *raw);

struct run;

/* -- A node and its clients -------------------------------------------------------------------- */

struct bench {
    struct pd_host *host;
    struct pd_server *server;
    const char *folder;
    struct run *watching; /* clients.c */
    uint32_t watching_count;
};
void bench_open(struct bench *bench, struct pd_host *host, const char *folder, bool lease_reads);
void bench_close(struct bench *bench);

enum load_kind {
    LOAD_PUT = 0, /* one key, BENCH_VALUE_BYTES */
    LOAD_FILL,    /* a transaction of FILL_KEYS new keys: not measured */
    LOAD_READ,    /* one key of what is applied here: to the core and back, without the log */
    LOAD_LEASE,   /* grant one */
    LOAD_WATCH    /* one that matches nothing; stays when its client has gone on */
};
#define FILL_KEYS 50u

/* Clients that have one request under way each. They send the next one where the answer comes, on
 * the core thread: what is measured is the node, from a request in its queue to its answer. */
struct load {
    enum load_kind kind;
    uint32_t clients;
    uint64_t first_key; /* keys are first_key + [0, keys) */
    uint64_t keys;
    double seconds;          /* 0: until `operations` */
    uint64_t operations;     /* 0: no limit */
    struct samples *samples; /* NULL: not wanted */
};
struct load_figures {
    uint64_t operations;
    double seconds;
    double cpu_us; /* of the whole process, for one operation */
    double batch;  /* operations that share a log write */
};
void load_run(struct bench *bench, const struct load *load, struct load_figures *figures_out);
/* One client that is a thread, and sleeps while it waits. */
void load_run_thread(struct bench *bench, const struct load *load,
                     struct load_figures *figures_out);
void key_name(uint64_t number, char name[32]);

/* -- Sections ---------------------------------------------------------------------------------- */

void section_commits(struct pd_host *host, const char *folder, double seconds);
/* Nothing but this, for a profiler. */
void section_profile(struct pd_host *host, const char *folder, double seconds, uint32_t clients);
void section_hot_reads(struct pd_host *host, const char *folder, double seconds);
void section_growth(struct pd_host *host, const char *folder, double seconds, uint64_t keys);
/* Actors at the store: base/kv_port.h and what carries it. */
void section_seam(struct pd_host *host, const char *folder, double seconds);
/* `program`: this one, which is started anew to measure a fresh process. */
void section_recovery(const char *program, const char *folder, uint64_t keys);
/* In the fresh process. */
int recovery_fill(struct pd_host *host, const char *folder, uint64_t keys);
int recovery_open(struct pd_host *host, const char *folder, uint64_t keys);

#endif
