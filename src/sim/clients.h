/* clients - the load, and the record of what each client was told.
 *
 * Model      A client opens a session and has one operation open at a time. It sends it to a
 *            machine that it takes for the leader, tries again elsewhere with the same session and
 *            sequence number when no answer comes, and after some tries gives up: the outcome
 *            stays unknown, and a new session begins. What was refused by every node that was
 *            asked it may also leave: then it must never happen.
 * Check      Each answer is held against the model, byte for byte, as soon as the model knows of
 *            it (operations of sessions: the answer of that number; reads: the store at the
 *            revision that was told). What was told as done and is not committed in the end, and
 *            what was told as not done and is committed, is a failure. The revisions then give the
 *            order of all operations, which must fit real time: linearizability of the whole
 *            store, decided in O(n log n) (history.c). */
#ifndef PD_SIM_CLIENTS_H
#define PD_SIM_CLIENTS_H

#include "sim/operation.h"
#include "sim/world.h"

struct pd_sim_client {
    size_t operation; /* in the history, while is_open */
    bool is_open;
    bool is_unresolved; /* a try of it may still happen */
    uint64_t token;     /* of this try: comes back with the answer */
    uint32_t tries;
    uint32_t machine; /* that it takes for the leader */
    uint64_t session; /* 0: none */
    uint64_t sequence;
    int64_t lease; /* 0: none */
    uint32_t lease_count;
    int64_t seen_revision;
    int64_t seen[PD_SIM_KEYS_MAX]; /* mod revisions, for CAS */
};

struct pd_sim_clients {
    struct pd_sim_client clients[PD_SIM_CLIENTS_MAX];
    struct pd_random random;
    struct pd_sim_operation *history;
    size_t history_count;
    size_t history_capacity;
    uint64_t next_token;
    uint64_t healed_at_ns;
    bool has_ended; /* no new operations */
};

void pd_sim_clients_init(struct pd_sim_world *world);
void pd_sim_clients_deinit(struct pd_sim_world *world);
/* Begin the client's next operation. */
void pd_sim_client_go(struct pd_sim_world *world, uint32_t client);
void pd_sim_client_timeout(struct pd_sim_world *world, uint32_t client, uint64_t token);
/* After a refusal and a pause. */
void pd_sim_client_retry(struct pd_sim_world *world, uint32_t client, uint64_t token);
void pd_sim_client_answer(struct pd_sim_world *world, uint32_t client, uint64_t token,
                          struct pd_span bytes);
/* Each client has gone on since the healing, or the world fails. */
void pd_sim_clients_check_progress(struct pd_sim_world *world);
/* Somebody whom a directory of the cluster would name. */
uint32_t pd_sim_somebody(struct pd_sim_world *world, struct pd_random *random);

/* history.c */

enum pd_sim_verdict {
    PD_SIM_RIGHT,
    PD_SIM_NOT_YET, /* the model does not know of it */
    PD_SIM_WRONG    /* the world has failed */
};
enum pd_sim_verdict pd_sim_judge(struct pd_sim_world *world, struct pd_sim_operation *operation,
                                 struct pd_span answer);
/* The whole history; the world fails when it cannot be. */
void pd_sim_history_check(struct pd_sim_world *world);

#endif
