/* core - what the simulated world asks of the code that it drives: one node's deterministic core
 * behind its events. Whatever stands behind it (the whole replica, or raft alone) runs unchanged in
 * production.
 *
 * Model      The world calls in with one event at a time. What the core wants done leaves through
 *            pd_sim_world_send / _answer / _after, and comes back later as another event. Between
 *            two events the process may be killed: then only what lies on the machine's disk and
 *            store remains.
 * Ownership  A core belongs to its machine. Buffers are borrowed for the call. */
#ifndef PD_SIM_CORE_H
#define PD_SIM_CORE_H

#include "raft/raft.h"
#include "sim/config.h"
#include "sim/disk.h"

struct pd_sim_machine;

enum pd_sim_op {
    PD_SIM_READ,
    PD_SIM_WRITE,
    PD_SIM_CAS, /* writes `value` if the key holds `expected` (0: absent) */
    PD_SIM_OP_COUNT
};

struct pd_sim_request {
    uint32_t client;
    uint64_t token; /* of this try: comes back with the answer */
    uint64_t session;
    uint64_t sequence;
    uint64_t low;
    enum pd_sim_op op;
    uint32_t key;
    uint64_t value; /* never 0, never used twice */
    uint64_t expected;
};

enum pd_sim_answer_status {
    PD_SIM_DONE,
    PD_SIM_CAS_FAILED, /* done, and nothing was written */
    PD_SIM_NOT_LEADER, /* surely not applied by this try */
    PD_SIM_BUSY        /* the same */
};

struct pd_sim_answer {
    uint32_t client;
    uint64_t token;
    enum pd_sim_answer_status status;
    uint32_t leader_hint;  /* machine number; 0: none */
    uint64_t revision;     /* of the whole store at that point */
    uint64_t value;        /* found: of READ and of a failed CAS; 0: absent */
    uint64_t mod_revision; /* when the value found was written; 0: absent */
};

enum pd_sim_order_kind {
    PD_SIM_ORDER_ADD_LEARNER,
    PD_SIM_ORDER_PROMOTE,
    PD_SIM_ORDER_REMOVE,
    PD_SIM_ORDER_TRANSFER
};

/* An operator's order, given to the leader. */
struct pd_sim_order {
    enum pd_sim_order_kind kind;
    pd_raft_node node;
};

/* What invariants are checked on. */
struct pd_sim_view {
    enum pd_raft_role role;
    uint64_t term;
    uint64_t vote;
    pd_raft_node leader;
    uint64_t commit;
    uint64_t applied;
    uint64_t first_index; /* of the log in memory */
    uint64_t last_index;
    uint64_t state_hash; /* of the state at `applied` */
    uint64_t state_time_ns;
    uint64_t snapshots_installed;
    uint64_t store_index; /* held by the store, durably */
};

struct pd_sim_core_ops {
    const char *name;
    /* Recover from machine->disk and what the store kept, as machine->start says. Any other status
     * than PD_OK: it will not run, for the reason in *text_out; nothing is left open. */
    enum pd_status (*open)(struct pd_sim_machine *machine, const char **text_out);
    /* Free everything in memory; no I/O. After a panic inside of the core as well. */
    void (*close)(struct pd_sim_machine *machine);
    void (*tick)(struct pd_sim_machine *machine, uint64_t boot_ns, uint64_t wall_ns);
    void (*message)(struct pd_sim_machine *machine, pd_raft_node from, const uint8_t *bytes,
                    size_t size);
    void (*request)(struct pd_sim_machine *machine, const struct pd_sim_request *request);
    void (*order)(struct pd_sim_machine *machine, const struct pd_sim_order *order);
    /* What pd_sim_world_after announced. */
    void (*done)(struct pd_sim_machine *machine, uint32_t what, uint64_t value);
    void (*view)(struct pd_sim_machine *machine, struct pd_sim_view *view_out);
    void (*conf)(struct pd_sim_machine *machine, struct pd_raft_conf *conf_out);
    /* PD_ERR_UNKNOWN: not in memory. */
    enum pd_status (*entry)(struct pd_sim_machine *machine, uint64_t index, uint64_t *term_out,
                            uint64_t *hash_out);
    void (*check)(struct pd_sim_machine *machine);
    /* The store's part of what a machine keeps. */
    void (*store_power_cut)(struct pd_sim_machine *machine, struct pd_random *random);
    void (*store_wipe)(struct pd_sim_machine *machine);
    void (*store_free)(struct pd_sim_machine *machine);
};

/* The shipping replica over the shipping log. */
extern const struct pd_sim_core_ops pd_sim_core_replica;

#endif
