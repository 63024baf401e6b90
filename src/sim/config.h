/* config - what one seed draws for its run: size, limits, load, timing and faults ("swarm"). Pure.
 *
 * Model      Some seeds run with everything on, most with some things off, and limits shrunk at
 *            random so that rare paths become common. */
#ifndef PD_SIM_CONFIG_H
#define PD_SIM_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "sim/schedule.h"

#define PD_SIM_CLIENTS_MAX 24u
#define PD_SIM_KEYS_MAX 32u
#define PD_SIM_SECOND_NS 1000000000u
#define PD_SIM_MS_NS 1000000u

struct pd_sim_options {
    uint64_t seed;
    uint64_t minutes;
    uint32_t nodes;         /* 0: drawn, 3 to 7 */
    const char *faults;     /* NULL: drawn */
    uint32_t op_per_second; /* 0: drawn */
};

struct pd_sim_config {
    uint64_t seed;
    uint32_t nodes;
    uint32_t spares; /* machines that may join */
    uint32_t clients;
    uint32_t keys;
    uint32_t op_per_second;
    uint32_t read_percent;
    uint32_t cas_percent;
    uint64_t client_timeout_ns;
    /* The node's. */
    uint64_t tick_ns;
    uint32_t election_ticks;
    uint32_t heartbeat_ticks;
    uint32_t snapshot_every; /* entries between two snapshots with cuts */
    uint32_t inflight_max;
    uint64_t inflight_bytes_max;
    uint64_t append_bytes_max;
    uint64_t committed_bytes_max;
    uint64_t uncommitted_bytes_max;
    uint32_t segment_bytes;
    uint32_t reads_max;
    bool lease_reads;
    bool apply_unstable;
    bool forwards; /* followers take writes and pass them on */
    /* The machines'. */
    uint64_t network_delay_ns;
    uint32_t network_tail;
    uint64_t disk_sync_ns;
    uint64_t store_lag_ns;
    uint64_t store_flush_ns;
    /* Phases. */
    uint64_t safety_ns;   /* faults end here */
    uint64_t progress_ns; /* after which every client must have gone on */
    uint64_t end_ns;
    bool heals_all; /* else a quorum only */
    struct pd_sim_fault_rates faults;
};

/* False: options->faults names something unknown. */
bool pd_sim_config_draw(struct pd_sim_config *config, const struct pd_sim_options *options);

#endif
