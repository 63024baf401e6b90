/* core_replica - one machine's process: the replica, its log, and what is under way between them
 * and the world. Private to core_replica.c. */
#ifndef PD_SIM_CORE_REPLICA_H
#define PD_SIM_CORE_REPLICA_H

#include "node/replica.h"
#include "sim/core_peers.h"
#include "sim/world.h"

#define PD_SIM_VIEWS_MAX 4u

enum pd_sim_done {
    PD_SIM_DONE_SYNC = 1,
    PD_SIM_DONE_SPACE,
    PD_SIM_DONE_STORE,
    PD_SIM_DONE_FLUSH,
    PD_SIM_DONE_RESET,
    PD_SIM_DONE_READ,
    PD_SIM_DONE_VIEW,
    PD_SIM_DONE_SLICE
};

struct pd_sim_bytes {
    uint8_t *bytes;
    size_t size;
    size_t capacity;
};

/* The log write that is under way. */
struct pd_sim_batch {
    uint64_t ticket; /* 0: none */
    struct pd_wal_record *records;
    uint32_t count;
    uint8_t *payload;
};

struct pd_sim_store_read {
    bool is_open;
    bool is_snapshot;
    uint64_t transfer;
    struct pd_kv_fetch fetch;
    struct pd_sim_bytes low;
    struct pd_sim_bytes high;
};

struct pd_sim_view_held {
    struct pd_store_view *view; /* NULL: none */
    uint64_t transfer;
};

struct replica_core {
    struct pd_sim_machine *machine;
    struct pd_replica *replica;
    struct pd_sim_peers peers;
    struct pd_wal *wal;
    struct pd_wal_report report;
    struct pd_sim_batch batch;
    uint32_t syncs;
    bool waits_for_space; /* the batch does */
    bool is_low;
    bool is_retrying;
    bool needs_care; /* the log was cut */
    bool is_stepping;
    const struct pd_store_write *writes; /* under way at the store */
    size_t write_count;
    uint64_t write_index;
    struct pd_sim_store_read *reads;
    size_t read_count;
    size_t read_capacity;
    struct pd_sim_view_held views[PD_SIM_VIEWS_MAX];
    uint8_t *page;
    size_t page_size;
    struct pd_sim_mark *recovered; /* entries, as the log told them */
    size_t recovered_count;
    size_t recovered_capacity;
    struct pd_sim_mark mark; /* of the last snapshot in the log */
    struct pd_replica_status status;
};

#endif
