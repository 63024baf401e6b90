/* top_figures - what a node counts, as /metrics of its client port tells it, and what happened
 * between two looks.
 *
 * Bounds     A look takes wait_ms at most; an answer beyond 4 MiB is none.
 * Trust      The answer may be anything: what is no figure is passed over. */
#ifndef PD_CLI_TOP_FIGURES_H
#define PD_CLI_TOP_FIGURES_H

#include <stdint.h>

#include "base/status.h"
#include "client/link.h"

#define PD_TOP_BUCKETS_MAX 64u

struct pd_top_histogram {
    uint32_t count;
    double bounds_s[PD_TOP_BUCKETS_MAX]; /* the last one may be infinite */
    double counts[PD_TOP_BUCKETS_MAX];   /* up to and with the bound */
};

struct pd_top_figures {
    uint64_t at_ns; /* when it was read */
    double leads;
    double leader_changes;
    double term;
    double committed;
    double applied;
    double pending;
    double requests;
    double keys;
    double revision;
    double store_bytes;
    double log_batches;
    double watches;
    double memory_bytes;
    double actors; /* that live; below 0: no application runs inside, as the next but two */
    double actor_turns;
    double actor_fuel;
    double actor_memory_bytes;
    struct pd_top_histogram sync;
    struct pd_top_histogram apply;
};

/* url: "http://HOST:PORT" or "https://HOST:PORT". PD_ERR_INVALID: another kind of url;
 * PD_ERR_DENIED: one side does not trust the other's certificate, or a file of config is of no use;
 * those of pd_link_connect; PD_ERR_CORRUPT: what answers is no node's. */
PD_NODISCARD enum pd_status pd_top_figures_fetch(const char *url,
                                                 const struct pd_link_config *config,
                                                 uint32_t wait_ms,
                                                 struct pd_top_figures *figures_out);

/* Of a text as Prometheus reads it. */
void pd_top_figures_read(const char *text, struct pd_top_figures *figures_out);

/* Seconds below which that part of what happened between two looks lies; below 0: nothing did. */
double pd_top_quantile(const struct pd_top_histogram *before, const struct pd_top_histogram *now,
                       double part);

#endif
