/* clients - the load, and the record of what each client was told.
 *
 * Model      A client has one operation open at a time. It sends it to a machine that it takes for
 *            the leader, tries again elsewhere with the same session and sequence number when no
 *            answer comes, and after some tries gives up: the outcome stays unknown, and a new
 *            session begins.
 * Check      The store tells with each answer the revision at that point, and with each value when
 *            it was written. So the order is known, and must fit: with real time (what was answered
 *            before another began comes first), with the values (nothing was written between), and
 *            with the sessions (no value is written twice). This is linearizability of the whole
 *            store, decided in O(n log n). */
#ifndef PD_SIM_CLIENTS_H
#define PD_SIM_CLIENTS_H

#include "sim/world.h"

struct pd_sim_operation {
    uint64_t invoked_ns;
    uint64_t returned_ns; /* UINT64_MAX: never */
    uint32_t client;
    enum pd_sim_op op;
    uint32_t key;
    bool is_failed_cas;
    uint64_t value; /* written */
    uint64_t expected;
    uint64_t revision;
    uint64_t found; /* value */
    uint64_t mod_revision;
};

struct pd_sim_client {
    struct pd_sim_request request;
    size_t operation; /* in the history */
    bool is_open;
    uint32_t tries;
    uint32_t machine; /* that it takes for the leader */
    uint64_t session_count;
    uint64_t last_seen[PD_SIM_KEYS_MAX]; /* for expected values of CAS */
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
void pd_sim_client_answer(struct pd_sim_world *world, const struct pd_sim_answer *answer);
/* Each client has gone on since the healing, or the world fails. */
void pd_sim_clients_check_progress(struct pd_sim_world *world);
/* The whole history; the world fails when it cannot be. */
void pd_sim_history_check(struct pd_sim_world *world);

#endif
