/* gateway_writes - a gateway's writes, each of which happens once: sessions of the gateway's own,
 * numbers, and retries. Pure: no I/O or clock; memory within bounds.
 *
 * Model      A write waits for a place in an open session, is sent under its number, and is sent
 *            again under the same number while the answer is that it was not done, or that nobody
 *            knows: the session answers a repetition with the first answer. Sessions are opened
 *            when they are needed; one that lies idle is forgotten, and expires in the store.
 *            What a session has no room for gives its number back, lest `low` wait for it while the
 *            answers above it hold the room, and takes another one of fewer (session_width.h).
 *
 *                WAITS -> FLIES -> answered          PAUSES: until retry_ns have passed
 *                  ^        |
 *                  '------ PAUSES (nothing was done, or nobody knows)
 *
 *            A repeatable write needs no session: it is sent, and sent again.
 * Outcomes   After timeout_ns the last outcome is given. It is UNKNOWN when it ever was: what may
 *            have happened is not taken back by a later refusal.
 * Bounds     struct pd_gateway_writes_config.
 * Ownership  A write's bytes are copied. What `next` gives is borrowed until the next call. */
#ifndef PD_NODE_GATEWAY_WRITES_H
#define PD_NODE_GATEWAY_WRITES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/span.h"
#include "base/status.h"
#include "node/replica_request.h"
#include "node/session_width.h"

#define PD_GATEWAY_SESSIONS_MAX 32u
#define PD_GATEWAY_WINDOW_MAX 64u
/* Tags of what is sent have this bit: other requests of the same client do not. */
#define PD_GATEWAY_WRITES_TAG (UINT64_C(1) << 63)

struct pd_gateway_writes_config {
    uint32_t writes_max;
    uint64_t bytes_max;    /* of all of them */
    uint32_t sessions_max; /* up to PD_GATEWAY_SESSIONS_MAX */
    uint32_t window;       /* of each, up to PD_GATEWAY_WINDOW_MAX; no more than the store's */
    uint64_t session_ns;   /* how long the store keeps an idle one */
    uint64_t timeout_ns;
    uint64_t retry_ns;
};
struct pd_gateway_writes_config pd_gateway_writes_config_default(void);

enum pd_gateway_write_state {
    PD_GATEWAY_WRITE_FREE = 0,
    PD_GATEWAY_WRITE_WAITS,
    PD_GATEWAY_WRITE_FLIES,
    PD_GATEWAY_WRITE_PAUSES
};
struct pd_gateway_write {
    struct pd_list link; /* of its state's list */
    enum pd_gateway_write_state state;
    bool is_repeatable;
    bool may_have_happened;
    bool has_number;
    uint32_t session; /* index; with has_number */
    uint32_t generation;
    uint64_t sequence;
    uint64_t correlation;
    uint64_t deadline_ns;
    uint64_t retry_ns; /* PAUSES: when */
    uint8_t *bytes;
    size_t size;
};

enum pd_gateway_session_state {
    PD_GATEWAY_SESSION_CLOSED = 0,
    PD_GATEWAY_SESSION_WANTED,  /* to be asked for, not before retry_ns */
    PD_GATEWAY_SESSION_OPENING, /* asked for */
    PD_GATEWAY_SESSION_OPEN
};
struct pd_gateway_session {
    enum pd_gateway_session_state state;
    uint64_t id;
    uint64_t next; /* number */
    uint64_t low;  /* the lowest one that has no answer */
    uint32_t flying;
    uint64_t used_ns;
    uint64_t retry_ns;
    uint64_t answered; /* bit i: number low + i has its answer */
    struct pd_session_width width;
};

struct pd_gateway_writes {
    struct pd_gateway_writes_config config;
    struct pd_gateway_write *writes;
    uint64_t bytes;
    struct pd_list free;
    struct pd_list waiting;
    struct pd_list pausing; /* the earliest retry first */
    struct pd_gateway_session sessions[PD_GATEWAY_SESSIONS_MAX];
    bool is_crowded;  /* the store had no session for it, when it asked last */
    uint8_t room[32]; /* of a command that opens a session */
};

PD_NODISCARD enum pd_status pd_gateway_writes_init(struct pd_gateway_writes *writes,
                                                   const struct pd_gateway_writes_config *config);
void pd_gateway_writes_deinit(struct pd_gateway_writes *writes);

/* Take a command. PD_ERR_FULL: a bound is reached; PD_ERR_NO_MEMORY. Nothing was done. */
PD_NODISCARD enum pd_status pd_gateway_writes_add(struct pd_gateway_writes *writes,
                                                  uint64_t correlation, struct pd_span command,
                                                  bool is_repeatable, uint64_t now_ns);

/* The next request to send. false: none now. */
struct pd_gateway_sending {
    uint64_t tag;
    struct pd_replica_request_head head; /* its body too */
};
bool pd_gateway_writes_next(struct pd_gateway_writes *writes, uint64_t now_ns,
                            struct pd_gateway_sending *sending_out);
/* What was sent under `tag` could not even be given to the node: nothing was done. */
void pd_gateway_writes_refused(struct pd_gateway_writes *writes, uint64_t tag, uint64_t now_ns);
/* An answer under a tag of ours. true: a write is over, and its client is told with this. */
bool pd_gateway_writes_answered(struct pd_gateway_writes *writes, uint64_t tag,
                                const struct pd_replica_answer_head *answer, uint64_t now_ns,
                                uint64_t *correlation_out, enum pd_replica_outcome *outcome_out);
/* Take back a write that was not sent; one that was is only not told of any more by its caller. */
bool pd_gateway_writes_expired(struct pd_gateway_writes *writes, uint64_t now_ns,
                               uint64_t *correlation_out, enum pd_replica_outcome *outcome_out);
/* Whether what waits for a session waits because the store has as many as it may. */
bool pd_gateway_writes_are_crowded(const struct pd_gateway_writes *writes);
/* When `next` or `expired` may have something that they do not have now; UINT64_MAX: never. */
uint64_t pd_gateway_writes_deadline_ns(const struct pd_gateway_writes *writes);

#endif
