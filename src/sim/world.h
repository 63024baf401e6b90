/* world - machines, their network, the clients and the clock of one simulated run.
 *
 * Model      One queue of events. An event is given to one machine's core, the network, a client or
 *            the fault injector; after each the cheap invariants are checked, after every
 *            PD_SIM_HEAVY_EVERY-th the heavy ones. A run ends at its end or at the first violation.
 * Phases     Safety: faults as scheduled. Then a quorum is healed, and by config.progress_ns every
 *            client must have gone on. At the end all running machines must agree.
 * Same       Nothing but (configuration, schedule, build) decides: trace_hash folds every event.
 * Ownership  init/deinit. The schedule is borrowed. */
#ifndef PD_SIM_WORLD_H
#define PD_SIM_WORLD_H

#include <setjmp.h>

#include "base/sometimes.h"
#include "kv/version.h"
#include "sim/clock.h"
#include "sim/core.h"
#include "sim/model.h"
#include "sim/network.h"
#include "sim/queue.h"
#include "sim/transport.h"

#define PD_SIM_HEAVY_EVERY 4096u
#define PD_SIM_RECENT 200u
#define PD_SIM_TEXT_MAX 400u
#define PD_SIM_WISHES_MAX 8u

enum pd_sim_event_kind {
    PD_SIM_EVENT_TICK = 1,
    PD_SIM_EVENT_DELIVER,
    PD_SIM_EVENT_DONE,
    PD_SIM_EVENT_REQUEST,
    PD_SIM_EVENT_ANSWER,
    PD_SIM_EVENT_CLIENT,
    PD_SIM_EVENT_TIMEOUT,
    PD_SIM_EVENT_FAULT,
    PD_SIM_EVENT_FAULT_END,
    PD_SIM_EVENT_RESTART,
    PD_SIM_EVENT_RESUME,
    PD_SIM_EVENT_OPERATOR,
    PD_SIM_EVENT_HEAL,
    PD_SIM_EVENT_PROGRESS,
    PD_SIM_EVENT_RETRY,
    PD_SIM_EVENT_GONE,
    PD_SIM_EVENT_WATCHER,
    PD_SIM_EVENT_LOST,   /* value: who is not reached any more */
    PD_SIM_EVENT_REMOVED /* value: who says so */
};

#define PD_SIM_CLIENT_OPERATOR 999u
#define PD_SIM_CLIENT_WATCHERS 1000u /* clients from here on are watchers */

struct pd_sim_world;

enum pd_sim_start {
    PD_SIM_START_BOOTSTRAP, /* one of the first members, its disk empty */
    PD_SIM_START_JOIN,      /* will be added, its disk empty */
    PD_SIM_START_EXISTING   /* it ran before */
};

/* An entry, as far as durability goes. */
struct pd_sim_mark {
    uint64_t index; /* 0: none */
    uint64_t term;
};

struct pd_sim_machine {
    struct pd_sim_world *world;
    uint32_t number; /* from 1: also the node's id */
    struct pd_sim_disk disk;
    struct pd_sim_transport transport;
    struct pd_sim_clock clock;
    struct pd_random random; /* of its disk and its power cuts */
    enum pd_sim_start start;
    void *core;             /* NULL: no process runs */
    struct pd_store *store; /* kept across restarts; NULL: its folder is not there */
    bool store_was_lost;    /* since the process last ran */
    bool store_is_damaged;  /* its rows cannot be read */
    uint64_t life;
    uint64_t paused_until_ns; /* 0: it runs */
    uint32_t disk_slow;       /* factor - 1 */
    bool is_used;             /* it runs, ran or was asked to join */
    bool is_gone;             /* its data is lost or it was left broken: never started again */
    bool may_stop;            /* a fault justifies that it stops or refuses to start */
    uint32_t version_limit;   /* of its program: how far it can follow the cluster */
    bool is_too_old;          /* it stopped because it could not follow */
    bool was_removed;         /* it stopped because it is no member any more */
    /* With a directory, across lives: bits by node. */
    uint32_t first_members; /* whom its cluster.json names */
    uint32_t last_members;  /* whom it knew last, and as of which entry */
    uint64_t last_index;
    bool is_forgetful;        /* its disk was wiped: it must not vote as who it was */
    bool is_emptied;          /* its disk was wiped, a learner's: it has got nothing since */
    bool leaves_change;       /* it does not run, and its log may hold a change of the membership */
    uint64_t rebuilding_to;   /* its store was lost: a bad copy until this is applied; 0: fine */
    struct pd_sim_view seen;  /* in this life, for what may never go back */
    struct pd_raft_conf conf; /* as of the last event but the one that is checked */
    uint64_t ledger_checked;  /* entries up to here were compared with the ledger */
    /* Across lives: what its log made durable, by index: the term. */
    uint64_t *durable_terms;
    size_t durable_count;
    size_t durable_capacity;
    uint64_t durable_term; /* of its hard state */
    uint64_t durable_vote;
    char refusal[PD_SIM_TEXT_MAX]; /* why it did not start */
};

/* A committed entry, once and for all. */
struct pd_sim_ledger_entry {
    uint64_t term;
    uint64_t hash;
    uint64_t commit_term; /* of the machine that was first seen to know it committed */
};

struct pd_sim_counts {
    uint64_t events;
    uint64_t commits;
    uint64_t leader_changes;
    uint64_t snapshots_installed;
    uint64_t membership_changes;
    uint64_t raises;  /* of the cluster's version */
    uint64_t too_old; /* nodes that stopped because they could not follow one */
    uint64_t crashes;
    uint64_t operations;
    uint64_t answered;
    uint64_t watched; /* events that watchers were given */
    uint64_t rewatched;
    uint64_t expiries;
    uint64_t repeats;
    uint64_t sessions;
    uint64_t retries;
    uint64_t forwards;       /* requests that a node passed on to the leader */
    uint64_t forwards_again; /* of those: asked for once more */
    uint64_t entered;        /* spare machines that entered the directory */
    uint64_t words;          /* of another node's directory, that counted for one that was behind */
    uint64_t removed;        /* nodes that ended because they were no members any more */
    uint64_t unknown;
    uint64_t faults_used[PD_SIM_FAULT_COUNT];
    uint64_t faults_skipped;
    uint64_t messages;
    uint64_t stopped; /* nodes that found damage and refused */
};

struct pd_sim_recent {
    uint64_t number;
    uint64_t time_ns;
    uint32_t kind;
    uint32_t node;
    uint64_t value;
};

struct pd_sim_clients;  /* clients.h */
struct pd_sim_watchers; /* watchers.h */

struct pd_sim_state_hash {
    uint64_t fold;
    struct pd_kv_hash set;
};

struct pd_sim_leader {
    uint64_t term;
    uint32_t machine;
};

struct pd_sim_world {
    struct pd_sim_config config;
    const struct pd_sim_core_ops *core;
    const struct pd_sim_schedule *schedule;
    struct pd_sim_queue queue;
    struct pd_sim_network network;
    struct pd_sim_machine machines[PD_SIM_NODES_MAX + 1]; /* [0] is unused */
    uint32_t machine_count;
    struct pd_sim_clients *clients;
    struct pd_sim_watchers *watchers;
    struct pd_sim_model model;
    struct pd_random faults_random; /* details of a fault: which set, which sector */
    uint64_t now_ns;
    uint64_t trace_hash;
    struct pd_sim_counts counts;
    bool is_healed;
    /* What was decided once and holds for ever. */
    struct pd_sim_ledger_entry *ledger; /* by index */
    size_t ledger_count;                /* indexes below it are known */
    size_t ledger_capacity;
    struct pd_sim_state_hash *state_hashes; /* by applied index; fold 0: not seen */
    size_t state_hash_capacity;
    struct pd_sim_leader *leaders; /* every (term, machine) that led */
    size_t leader_count;
    size_t leader_capacity;
    struct pd_raft_conf founders;
    struct pd_raft_conf conf; /* the newest that anybody has applied */
    uint64_t conf_index;      /* up to where that one had applied; 0: nobody yet */
    uint32_t *fault_targets;  /* by number of the fault: who was meant */
    /* What the operator still wants, in order. */
    struct pd_sim_order wishes[PD_SIM_WISHES_MAX];
    uint32_t wish_count;
    uint32_t wish_tries;
    uint32_t version; /* of the cluster, the last that anybody has applied */
    uint64_t commit_at_progress;
    int64_t healed_revision; /* committed when a quorum was healed */
    /* Failure. */
    bool is_failed;
    char failure[PD_SIM_TEXT_MAX];
    struct pd_sim_recent recent[PD_SIM_RECENT];
    jmp_buf panic;
    bool in_core;
    bool panic_is_bug;
    char panic_text[PD_SIM_TEXT_MAX];
    FILE *trace_stream; /* NULL: quiet */
};

void pd_sim_world_init(struct pd_sim_world *world, const struct pd_sim_config *config,
                       const struct pd_sim_schedule *schedule, const struct pd_sim_core_ops *core);
void pd_sim_world_deinit(struct pd_sim_world *world);
/* To the end or the first violation. True: nothing was violated. */
bool pd_sim_world_run(struct pd_sim_world *world);

/* -- For cores */
void pd_sim_world_answer(struct pd_sim_machine *machine, uint64_t client, uint64_t correlation,
                         struct pd_span bytes);
/* core->done(machine, what, value) after a while, if the process still lives. */
void pd_sim_world_after(struct pd_sim_machine *machine, uint64_t delay_ns, uint32_t what,
                        uint64_t value);
/* A time that this machine's disk takes now for something that usually takes `usual_ns`. */
uint64_t pd_sim_world_disk_time(struct pd_sim_machine *machine, uint64_t usual_ns);

/* What a completed sync of the log holds: an entry (everything behind it is cut off), or term and
 * vote. */
void pd_sim_world_durable_entry(struct pd_sim_machine *machine, uint64_t index, uint64_t term);
void pd_sim_world_durable_state(struct pd_sim_machine *machine, uint64_t term, uint64_t vote);
/* What the log of a process that starts holds: its entries in the order of the log, each replacing
 * all at or behind it, and the last mark of a snapshot. */
void pd_sim_world_recovered(struct pd_sim_machine *machine, const struct pd_sim_mark *entries,
                            size_t count, const struct pd_sim_mark *snapshot);
/* A line of the node's own log: for the trace. */
void pd_sim_world_note(struct pd_sim_machine *machine, const char *text);

/* -- For clients: a request on its way to a machine, and word that the client is gone. */
void pd_sim_world_request(struct pd_sim_world *world, struct pd_random *random, uint32_t machine,
                          uint64_t client, uint64_t correlation, struct pd_span bytes);
void pd_sim_world_gone(struct pd_sim_world *world, struct pd_random *random, uint32_t machine,
                       uint64_t client);

/* -- For the parts of the simulator */
void pd_sim_world_fail(struct pd_sim_world *world, const char *format, ...) PD_PRINTF(2, 3);
void pd_sim_world_push(struct pd_sim_world *world, uint64_t time_ns, enum pd_sim_event_kind kind,
                       uint32_t node, uint64_t value, void *data);
bool pd_sim_machine_is_up(const struct pd_sim_machine *machine); /* runs and is not paused */
/* The machine that leads at the highest term and runs; NULL: none. */
struct pd_sim_machine *pd_sim_world_leader(struct pd_sim_world *world);
/* False: it refused to run. */
bool pd_sim_machine_start(struct pd_sim_machine *machine);
/* End its process. `cuts_power`: with what that may lose. */
void pd_sim_machine_stop(struct pd_sim_machine *machine, bool cuts_power);
/* Its store's folder is not there any more. No process may run. */
void pd_sim_machine_lose_store(struct pd_sim_machine *machine);
/* The configuration that whoever has ever applied most knew, even if no process runs now. */
void pd_sim_world_conf(const struct pd_sim_world *world, struct pd_raft_conf *conf_out);
bool pd_sim_conf_has_voter(const struct pd_raft_conf *conf, pd_raft_node node);
bool pd_sim_conf_has(const struct pd_raft_conf *conf, pd_raft_node node);

/* faults.c */
/* It was a voter and its disk was wiped; or a learner, and was made a voter before it held anything
 * again: nobody gives it a state under its old name. */
bool pd_sim_machine_has_forgotten(const struct pd_sim_machine *machine);
/* A change of the membership is in its log and not applied there. A process runs. */
bool pd_sim_machine_is_changing(struct pd_sim_machine *machine);
void pd_sim_fault_begin(struct pd_sim_world *world, const struct pd_sim_fault *fault,
                        uint64_t number);
void pd_sim_fault_end(struct pd_sim_world *world, const struct pd_sim_fault *fault,
                      uint64_t number);
void pd_sim_operator_step(struct pd_sim_world *world);
/* Give a machine's core an order; a core that ends at it ends its process. */
void pd_sim_world_order(struct pd_sim_machine *machine, const struct pd_sim_order *order);
void pd_sim_heal(struct pd_sim_world *world);

/* invariants.c */
void pd_sim_check_machine(struct pd_sim_machine *machine);
/* Of one whose process has just ended in the middle of an event: what it had committed by then,
 * others may have been told already. */
void pd_sim_check_last_commits(struct pd_sim_machine *machine);
void pd_sim_check_heavy(struct pd_sim_world *world);
void pd_sim_check_end(struct pd_sim_world *world);

#endif
