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
#define PD_SIM_WATCHERS_MAX 4u
#define PD_SIM_SECOND_NS 1000000000u
#define PD_SIM_MS_NS 1000000u

enum pd_sim_op {
    PD_SIM_READ,       /* one key, linearizable */
    PD_SIM_READ_RANGE, /* several keys, linearizable, with a limit sometimes */
    PD_SIM_READ_LOCAL, /* serializable: what the asked node has applied */
    PD_SIM_READ_PAST,  /* at an earlier revision */
    PD_SIM_WRITE,
    PD_SIM_CAS,    /* put if the key was last written at a known revision, else read it */
    PD_SIM_TXN,    /* two puts, a delete and a range as one */
    PD_SIM_DELETE, /* a range of keys */
    PD_SIM_COMPACT,
    PD_SIM_GRANT, /* a lease, and from then on keys attached to it */
    PD_SIM_ATTACH,
    PD_SIM_KEEP,
    PD_SIM_REVOKE,
    PD_SIM_OPEN, /* a session: every client's first, and again when it is lost */
    PD_SIM_OP_COUNT
};

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
    uint32_t op_weights[PD_SIM_OP_COUNT];
    uint64_t client_timeout_ns;
    uint32_t watchers;
    uint64_t session_ns;
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
    uint64_t log_batch_bytes_max;
    uint64_t log_retain_entries;
    uint32_t apply_budget;
    uint32_t slices_max; /* of work that a node does between two events */
    uint32_t snapshot_chunk_bytes;
    uint32_t snapshot_window;
    uint32_t hash_interval;
    uint32_t kv_writes_max; /* rows of one batch for the store */
    uint64_t kv_cache_bytes;
    uint64_t kv_overlay_bytes;
    uint32_t kv_page_bytes;
    uint32_t kv_events_max;
    uint32_t kv_reads_max;
    /* The machines'. */
    uint64_t network_delay_ns;
    uint32_t network_tail;
    uint64_t disk_sync_ns;
    uint64_t store_lag_ns;
    uint64_t store_flush_ns;
    uint64_t store_read_ns;
    uint64_t time_step_ns; /* how far an entry may take state time */
    /* Phases. */
    uint64_t safety_ns;   /* faults end here */
    uint64_t progress_ns; /* after which every client must have gone on */
    uint64_t end_ns;
    bool heals_all;     /* else a quorum only */
    bool begins_before; /* every machine with the version before: it is upgraded on the way */
    bool forwards;      /* any node passes writes on to the leader, also those without a session */
    bool directory;     /* the members are entries of the log; who was removed is told, and ends */
    struct pd_sim_fault_rates faults;
};

/* False: options->faults names something unknown. */
bool pd_sim_config_draw(struct pd_sim_config *config, const struct pd_sim_options *options);

#endif
