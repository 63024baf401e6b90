/* replica_slow - what is told of a request that took too long: where its time went. Pure.
 *
 * Model      The stages are waits, one behind the other, and add up to the whole:
 *                queue      until the core took it up
 *                sync       until this node's own log held it, synced
 *                replicate  from there until a majority held it; of a read: until one confirmed it
 *                apply      from there until it was answered
 *            A majority that is quicker than this node's own log leaves nothing to wait for there:
 *            then sync is 0. One that was not done ends in the stage that it was in.
 * Trust      A key is a client's: the first bytes of it, and whatever they are. Values are never
 *            told. */
#ifndef PD_NODE_REPLICA_SLOW_H
#define PD_NODE_REPLICA_SLOW_H

#include <stdint.h>

#include "kv/command.h"
#include "node/replica_request.h"

#define PD_REPLICA_SLOW_KEY_MAX 48u

struct pd_replica_slow {
    const char *what; /* "put", "range", "lease grant"...; static */
    enum pd_replica_outcome outcome;
    uint64_t queue_ns;
    uint64_t sync_ns;
    uint64_t replicate_ns;
    uint64_t apply_ns;
    uint64_t total_ns;
    uint32_t key_size; /* 0: it has none, or many of equal rank */
    uint8_t key[PD_REPLICA_SLOW_KEY_MAX];
};

/* A request on its way: when it came to what, and what it is. */
struct pd_replica_timed {
    uint64_t asked_ns; /* 0: nobody looks at its time */
    uint64_t begun_ns;
    uint64_t logged_ns; /* 0: not, or not yet */
    uint64_t agreed_ns; /* likewise */
    const char *what;
    uint32_t key_size;
    uint8_t key[PD_REPLICA_SLOW_KEY_MAX];
};

/* What it is, as far as its head tells. */
const char *pd_replica_timed_what(enum pd_replica_request_kind kind);
/* Its first key. */
void pd_replica_timed_key(struct pd_replica_timed *timed, struct pd_span key);
/* What its command says: what, and its first key. */
void pd_replica_timed_command(struct pd_replica_timed *timed, const struct pd_kv_command *command);
/* Where its time went, now that it is answered. */
void pd_replica_timed_end(const struct pd_replica_timed *timed, uint64_t now_ns,
                          enum pd_replica_outcome outcome, struct pd_replica_slow *slow_out);

#endif
