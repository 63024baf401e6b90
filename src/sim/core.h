/* core - what the simulated world asks of the code that it drives: one node's deterministic core
 * behind its events, as it runs in production.
 *
 * Model      The world calls in with one event at a time. What the core wants done leaves through
 *            the machine's transport (transport.h: start it in open, stop it in close) and
 *            pd_sim_world_answer / _after, and comes back later as another event. Between
 *            two events the process may be killed: then only what lies on the machine's disk and
 *            store remains.
 * Clients    Speak the replica's protocol (node/replica_request.h) as bytes.
 * Ownership  A core belongs to its machine. Buffers are borrowed for the call. */
#ifndef PD_SIM_CORE_H
#define PD_SIM_CORE_H

#include "base/store.h"
#include "kv/kv.h"
#include "raft/raft.h"
#include "sim/config.h"
#include "sim/disk.h"

struct pd_sim_machine;

enum pd_sim_order_kind {
    PD_SIM_ORDER_ENTER, /* the directory */
    PD_SIM_ORDER_ADD_LEARNER,
    PD_SIM_ORDER_PROMOTE,
    PD_SIM_ORDER_REMOVE,
    PD_SIM_ORDER_TRANSFER,
    PD_SIM_ORDER_LEAVE /* the configuration and the directory */
};

/* An operator's order, given to the leader; or to anybody, who passes it on. */
struct pd_sim_order {
    enum pd_sim_order_kind kind;
    bool is_forwarded;
    pd_raft_node node;
};

/* What invariants are checked on. */
struct pd_sim_view {
    bool has_raft; /* else nothing below but store_index is known: it loads, or fetches its state */
    enum pd_raft_role role;
    uint64_t term;
    uint64_t vote;
    pd_raft_node leader;
    uint64_t commit;
    uint64_t applied;
    uint64_t first_index; /* of the log in memory */
    uint64_t last_index;
    bool has_state; /* what follows is the state at `applied` */
    int64_t revision;
    int64_t compacted;
    uint64_t state_time_ns;
    uint64_t fold_hash;
    struct pd_kv_hash set_hash;
    uint32_t lease_count;
    uint32_t session_count;
    uint64_t key_count;
    uint32_t version; /* of the cluster */
    uint64_t snapshots_installed;
    uint64_t store_index; /* held by the store, durably */
};

struct pd_sim_core_ops {
    const char *name;
    /* Recover from machine->disk and machine->store, as machine->start says. Any other status than
     * PD_OK: it will not run, for the reason in *text_out (borrowed until the next open); nothing
     * is left open. */
    enum pd_status (*open)(struct pd_sim_machine *machine, const char **text_out);
    /* Free everything in memory; no I/O. After a panic inside of the core as well. */
    void (*close)(struct pd_sim_machine *machine);
    void (*tick)(struct pd_sim_machine *machine);
    void (*request)(struct pd_sim_machine *machine, uint64_t client, uint64_t correlation,
                    const uint8_t *bytes, size_t size);
    /* The client's connection to this node is gone. */
    void (*gone)(struct pd_sim_machine *machine, uint64_t client);
    void (*order)(struct pd_sim_machine *machine, const struct pd_sim_order *order);
    /* What pd_sim_world_after announced. */
    void (*done)(struct pd_sim_machine *machine, uint32_t what, uint64_t value);
    void (*view)(struct pd_sim_machine *machine, struct pd_sim_view *view_out);
    void (*conf)(struct pd_sim_machine *machine, struct pd_raft_conf *conf_out);
    /* PD_ERR_UNKNOWN: not in memory. The data is borrowed until the next call. */
    enum pd_status (*entry)(struct pd_sim_machine *machine, uint64_t index,
                            struct pd_raft_entry *entry_out);
    /* The directory of members in the applied state: a bit for each node. */
    void (*directory)(struct pd_sim_machine *machine, uint32_t *live_out, uint32_t *removed_out);
    void (*check)(struct pd_sim_machine *machine);
};

/* The configuration of kv that all machines of a world share: limits decide what applies. */
void pd_sim_core_kv_config(const struct pd_sim_config *config, struct pd_kv_config *kv_out);

/* The shipping replica over the shipping log. */
extern const struct pd_sim_core_ops pd_sim_core_replica;

#endif
