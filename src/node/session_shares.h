/* session_shares - what clients from outside (a client port, a ticket) may take of the store's
 * sessions, of which there are so many for all, with one bound of answers. Pure.
 *
 * Model      Nodes write through sessions of their own; who takes all sessions, or all room for
 *            answers, stops every write. So each client has a share of sessions, they last
 *            PD_SESSION_NS unused at most, and a part of both stays free for nodes. A session
 *            outlives its connection: a client that comes again asks in it what became of a write.
 * Pressure   Beyond half of the answers' room, sessions with much of it are closed; beyond half of
 *            all sessions, those whose connection is gone.
 * State      Each node's own, of the clients that it serves: the store's rules do not know of it.
 *            What is closed is closed by a command, as a client would.
 * Bounds     PD_SESSION_SHARE_MAX sessions a client; PD_SESSION_OPENS_MAX are opened in a second:
 *            what is under way cannot take what is kept free.
 * Ownership  A share is made with a client's first session, and its place holds it. `gone` gives it
 *            up to be remembered until its sessions have ended. */
#ifndef PD_NODE_SESSION_SHARES_H
#define PD_NODE_SESSION_SHARES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/span.h"

#define PD_SESSION_NS UINT64_C(60000000000)
#define PD_SESSION_SHARE_MAX 32u    /* an actor node has 16, a libpando client one */
#define PD_SESSION_OPENINGS_MAX 16u /* of a client, under way */
#define PD_SESSION_OPENS_MAX 512u
#define PD_SESSION_ORPHANS_MAX 2048u /* clients that are gone, and remembered */
#define PD_SESSION_CLOSES_MAX 64u    /* in one look */

struct pd_session_share {
    struct pd_list list;
    bool is_orphan;
    uint32_t count;
    uint32_t opening_count;
    uint64_t openings[PD_SESSION_OPENINGS_MAX]; /* correlations */
    struct {
        uint64_t id;
        uint64_t used_ns;
    } sessions[PD_SESSION_SHARE_MAX];
};
struct pd_session_shares {
    struct pd_list list; /* the oldest first */
    uint32_t orphan_count;
    uint64_t second_ns; /* since when they are counted */
    uint32_t opens;
    uint64_t swept_ns;
};

/* The applied state. */
struct pd_session_view {
    uint64_t now_ns;
    uint32_t session_count;
    uint32_t sessions_max;
    uint64_t answers_bytes;
    uint64_t answers_bytes_max;
    /* What a session keeps of answers; 0: there is none. */
    uint64_t (*answers_of)(const void *state, uint64_t id);
    const void *state;
};

void pd_session_shares_init(struct pd_session_shares *shares);
/* Every share too. */
void pd_session_shares_deinit(struct pd_session_shares *shares);

/* A client's request, any bytes. `*share` is the client's, NULL until it needs one. The duration of
 * a session that is to be opened is lowered in place, whereby *size shrinks. */
enum pd_session_verdict {
    PD_SESSION_PASSES = 0,
    PD_SESSION_TOO_MANY, /* as the store says it: PD_KV_ERR_SESSIONS_FULL */
    PD_SESSION_LATER     /* nothing was done: again after a while */
};
enum pd_session_verdict pd_session_shares_ask(struct pd_session_shares *shares,
                                              struct pd_session_share **share, uint64_t correlation,
                                              uint8_t *bytes, size_t *size,
                                              const struct pd_session_view *view);
/* The answer to it, an answer of replica_request.h. */
void pd_session_shares_answered(struct pd_session_share *share, uint64_t correlation,
                                struct pd_span bytes, uint64_t now_ns);
/* The client is. share may be NULL. */
void pd_session_shares_gone(struct pd_session_shares *shares, struct pd_session_share *share);
/* Every tick: what is to be closed is told to `close`. */
void pd_session_shares_look(struct pd_session_shares *shares, const struct pd_session_view *view,
                            void (*close)(void *state, uint64_t id), void *state);

#endif
