/* replica_request - what a client asks of a replica and what it is told, as bytes. Pure.
 *
 * Model      A request is {kind, flags, session, sequence, low, body}; an answer {outcome, leader,
 *            term, body}. Fixed fields little endian. The body of a WRITE is a command
 *            (kv/command.h); of a READ a command with one range.
 * Outcomes   Three kinds, never mixed up: it happened (OK), it certainly did not (most), nobody
 *            knows (UNKNOWN).
 * Trust      Decoding accepts any bytes. */
#ifndef PD_NODE_REPLICA_REQUEST_H
#define PD_NODE_REPLICA_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

enum pd_replica_request_kind {
    PD_REPLICA_REQUEST_WRITE = 1, /* body: command. Answer: kv/answer.h */
    PD_REPLICA_REQUEST_READ = 2,  /* body: command with one range. Answer: kv/answer.h */
    PD_REPLICA_REQUEST_LEASE =
        3, /* number: lease id; its time to live and keys. Answer: kv/answer.h */
    PD_REPLICA_REQUEST_LEASES = 4, /* Answer: kv/answer.h */
    PD_REPLICA_REQUEST_WATCH = 5,  /* body: replica_watch.h. Many answers, the last one is not OK */
    PD_REPLICA_REQUEST_UNWATCH = 6, /* number: correlation of the watch */
    /* number: node; with a directory it must be there before. Answered when the change is applied
     */
    PD_REPLICA_REQUEST_ADD_LEARNER = 7,
    PD_REPLICA_REQUEST_PROMOTE = 8, /* number: node, a learner that has caught up */
    /* number: node. As LEAVE when the cluster's version has that, unless the node leads. */
    PD_REPLICA_REQUEST_REMOVE = 9,
    /* number: node, or 0: who is best prepared. OK: it leads. BUSY: it does not, another one does.
     * UNKNOWN: it did not in time, and still may. */
    PD_REPLICA_REQUEST_TRANSFER = 10,
    PD_REPLICA_REQUEST_STATUS = 11, /* Answer: JSON for people */
    /* number: correlation of a watch; body: replica_watch.h. Room for more answers of that watch.
     * It has no answer of its own unless its body is wrong: the watch's answers tell. */
    PD_REPLICA_REQUEST_WATCH_CREDIT = 12,
    PD_REPLICA_REQUEST_MEMBERS = 13, /* a read. Answer: members.h */
    PD_REPLICA_REQUEST_ABOUT = 14,   /* a read. Answer: replica_about.h */
    /* number: the client's own for it; sequence: of the chunk that is wanted, one behind the other
     * from 0, which begins. What this node has applied, whoever leads. Answer: one chunk of
     * snapshot_format.h; none is read before it is asked for. */
    PD_REPLICA_REQUEST_SNAPSHOT = 15,
    /* number: of a snapshot that is not wanted any more. It has no answer. */
    PD_REPLICA_REQUEST_SNAPSHOT_END = 16,
    /* number: node. Out of the configuration, then out of the directory, as one request: who asks
     * is cut off by the second step, if it is that node itself. */
    PD_REPLICA_REQUEST_LEAVE = 17,
    /* Whom the leader heard lately. Answer: members_heard.h. A program that does not know it says
     * INVALID, for itself and for a leader of before: then nobody knows. */
    PD_REPLICA_REQUEST_HEARD = 18
};

/* Of a cluster: before it the leader may be a program that does not know LEAVE. */
#define PD_REPLICA_LEAVE_VERSION 2u

#define PD_REPLICA_REQUEST_SERIALIZABLE 1u /* flag: read what is applied here, however old */

#define PD_REPLICA_REQUEST_HEAD_SIZE 34u
#define PD_REPLICA_ANSWER_HEAD_SIZE 18u

struct pd_replica_request_head {
    enum pd_replica_request_kind kind;
    uint32_t flags;
    uint64_t session; /* 0: none, and then no promise about retries */
    uint64_t sequence;
    uint64_t low;
    uint64_t number;
    struct pd_span body;
};

enum pd_replica_outcome {
    PD_REPLICA_OK = 0,
    PD_REPLICA_NOT_LEADER, /* nothing was done; `leader` may help */
    /* nothing was done: no leader yet, or it is taking over, or state is being fetched */
    PD_REPLICA_NOT_READY,
    PD_REPLICA_BUSY,     /* nothing was done: a bound is reached; again later */
    PD_REPLICA_DISK_LOW, /* nothing was done: the leader's disk is nearly full */
    PD_REPLICA_DROPPED,  /* it was proposed, and another entry took its place: it never happens */
    /* it was proposed, and may or may not happen: retry in the session, or look */
    PD_REPLICA_UNKNOWN,
    PD_REPLICA_INVALID, /* nothing was done: the request can never be accepted; the body says why */
    PD_REPLICA_CANCELLED, /* of a watch: it ended; the body (replica_watch.h) says why */
    PD_REPLICA_OUTCOME_COUNT
};
const char *pd_replica_outcome_text(enum pd_replica_outcome outcome);

/* Whether a command is one that clients from elsewhere may give: of keys, leases and sessions, and
 * not of members or versions. Any bytes. */
bool pd_replica_command_is_clients(struct pd_span command);

/* Writes PD_REPLICA_REQUEST_HEAD_SIZE bytes; the body follows them. */
void pd_replica_request_put_head(uint8_t *bytes, const struct pd_replica_request_head *head);
/* PD_ERR_CORRUPT: not a request. body borrows from `bytes`. */
PD_NODISCARD enum pd_status pd_replica_request_decode(struct pd_span bytes,
                                                      struct pd_replica_request_head *head_out);

struct pd_replica_answer_head {
    enum pd_replica_outcome outcome;
    uint64_t leader; /* 0: unknown */
    uint64_t term;   /* of raft, when it was answered */
    struct pd_span body;
};
void pd_replica_answer_put_head(uint8_t *bytes, const struct pd_replica_answer_head *head);
PD_NODISCARD enum pd_status pd_replica_answer_decode(struct pd_span bytes,
                                                     struct pd_replica_answer_head *head_out);

#endif
