/* core_peers - the other nodes, for one simulated process: what src/node/server_peers.c does with
 * threads, names and files around the same forwards and the same directory. Private to the
 * replica's core.
 *
 * Model      config.forwards: what only the leader serves is passed on to it. config.directory: the
 *            members are entries of the log, the transport's table follows them, and a node that
 *            was removed is told so and ends. The first leader puts the founders into the
 *            directory; a spare machine enters when an operator says so, and knows of the others
 *            those who were members then (cluster.json). All keep whom they knew last
 *            (members.json). A key is the node's number.
 * Ownership  begin/deinit; deinit also of zeroes. */
#ifndef PD_SIM_CORE_PEERS_H
#define PD_SIM_CORE_PEERS_H

#include "node/directory.h"
#include "node/forwards.h"
#include "sim/world.h"

#define PD_SIM_MEMBER_BYTES_MAX 64u

struct pd_sim_peers {
    struct pd_sim_machine *machine;
    struct pd_replica *replica;
    struct pd_forwards forwards; /* config.forwards; else unused, like what follows */
    uint64_t again_seen;         /* of its counters */
    struct pd_directory directory;
    struct pd_members_file first;
    struct pd_members_file last;
    struct pd_replica_first_member rows[PD_SIM_NODES_MAX];
    uint8_t bytes[PD_SIM_NODES_MAX][PD_SIM_MEMBER_BYTES_MAX];
};

/* *peers: zeroes. What the replica is to know of the others. */
void pd_sim_peers_configure(struct pd_sim_peers *peers, struct pd_sim_machine *machine,
                            struct pd_replica_config *config);
/* It is open. */
void pd_sim_peers_begin(struct pd_sim_peers *peers, struct pd_replica *replica,
                        const struct pd_replica_config *config);
/* The command with which a node enters the directory. Its size. */
size_t pd_sim_peers_put_entry(uint8_t *bytes, size_t bytes_max, pd_raft_node node);
void pd_sim_peers_deinit(struct pd_sim_peers *peers);

void pd_sim_peers_clock(struct pd_sim_peers *peers, uint64_t now_ns);
/* A client's request. false: the replica's own to serve. */
bool pd_sim_peers_take(struct pd_sim_peers *peers, uint64_t client, uint64_t correlation,
                       struct pd_span bytes);
/* An answer of the replica. false: a client's. */
bool pd_sim_peers_answered(struct pd_sim_peers *peers, const struct pd_replica_output *output);
/* What came from another node. false: the replica's. */
bool pd_sim_peers_message(struct pd_sim_peers *peers, uint64_t from, struct pd_span bytes);
void pd_sim_peers_gone(struct pd_sim_peers *peers, uint64_t client);
void pd_sim_peers_lost(struct pd_sim_peers *peers, uint64_t node);
/* Another node says that this one was removed: its process ends. */
_Noreturn void pd_sim_peers_removed(struct pd_sim_peers *peers, uint64_t node);
/* After the replica's work; it may end the process. true: the replica has more. */
bool pd_sim_peers_turn(struct pd_sim_peers *peers, bool is_tick);

/* The directory of the applied state, a bit for each node. */
void pd_sim_peers_standings(const struct pd_sim_peers *peers, uint32_t *live_out,
                            uint32_t *removed_out);

#endif
