/* raise - the rows of a state become those of another cluster, which begins later than anything
 * that the first one may have told anybody. Pure, but for the room of a key.
 *
 * Model      The rows of a store go through in key order, all of one state, without the meta row;
 *            pd_kv_raise_row says which of them stay. What stays is the state's live records as
 *            they are: their values, versions and revisions. What does not:
 *              history   the new state is compacted at its own revision, so nothing before it can
 *                        be read, and every watch from before is told so
 *              leases    and the records that are attached to them. A lock that was given back
 *                        after the backup would be held again, under a token that is older than
 *                        those handed out since; now every holder finds its lease gone and asks
 *                        anew
 *              sessions  and their stored answers: who tries again in one is refused, never served
 *                        twice
 *              members   they are the old cluster's
 *            The cluster's version stays: what is kept may be of that version.
 *            Then pd_kv_raise_end gives the new meta row: revision, index and term are higher by
 *            the configured amounts. All that a cluster hands out is one of these: fencing tokens
 *            are revisions, ids of leases and sessions indices, epochs terms.
 * Proof      The records that went through are counted and hashed, and both must be what the old
 *            meta row says: rows that were lost, added or changed are refused.
 * Ownership  init/deinit; rows are borrowed for the call.
 * Trust      Rows may be anything. */
#ifndef PD_KV_RAISE_H
#define PD_KV_RAISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"
#include "kv/kv.h"

#define PD_KV_META_SIZE 112u

struct pd_kv_raise_config {
    uint64_t revisions; /* what is added to the revision */
    uint64_t indices;   /* to the index of the log */
    uint64_t terms;     /* to raft's term */
};

/* A trillion of revisions and indices: what a cluster writes in three years at ten thousand writes
 * a second. A million terms: an election every ten seconds for four months. */
struct pd_kv_raise_config pd_kv_raise_config_default(void);

/* What a state says of itself, and what becomes of it. */
struct pd_kv_raise_state {
    uint64_t index;
    uint64_t term;
    int64_t revision;
    uint64_t key_count;
};

struct pd_kv_raise {
    struct pd_kv_raise_config config;
    struct pd_kv_raise_state from;
    struct pd_kv_raise_state to; /* key_count: complete after pd_kv_raise_end */
    uint8_t old_meta[PD_KV_META_SIZE];
    uint64_t seen_count; /* of live records, attached ones as well */
    struct pd_kv_hash seen_hash;
    struct pd_kv_hash kept_hash;
    uint32_t version; /* of the old cluster; the new one begins with it */
    uint8_t *group;   /* the escaped key that was decided last */
    size_t group_size;
    size_t group_max;
    uint8_t *user;
    size_t user_max;
};

/* PD_OK; PD_ERR_CORRUPT: `meta` is no meta row; PD_ERR_RANGE: a number would overflow: raise by
 * less. */
PD_NODISCARD enum pd_status pd_kv_raise_init(struct pd_kv_raise *raise,
                                             const struct pd_kv_raise_config *config,
                                             struct pd_span meta);
void pd_kv_raise_deinit(struct pd_kv_raise *raise);

/* PD_OK: *stays_out tells whether the row is one of the new state. PD_ERR_CORRUPT: it is damaged;
 * PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_kv_raise_row(struct pd_kv_raise *raise, struct pd_span key,
                                            struct pd_span value, bool *stays_out);

/* PD_OK: the new meta row. PD_ERR_CORRUPT: the rows were not all of the state's. */
PD_NODISCARD enum pd_status pd_kv_raise_end(struct pd_kv_raise *raise,
                                            uint8_t meta_out[PD_KV_META_SIZE]);

#endif
