/* raft - one group's consensus core, in the shape of etcd-io/raft's Ready loop. Pure: no I/O, heap
 * or clock.
 *
 * Model      Events go in through the functions below; pd_raft_ready() hands out what they caused.
 *            Storage is asynchronous, always: a Ready names entries and a hard state to write, and
 *            messages that may leave only after that write is durable (after_append); the owner
 *            reports completion with pd_raft_append_done / pd_raft_apply_done, in order. Several
 *            Readys may be in flight.
 * Rules      docs/raft.md; item numbers in comments refer to it.
 * Bounds     pd_raft_config; everything lies in the memory given to init. Full is PD_ERR_FULL.
 * Ownership  The caller owns the memory. Entries and messages in a Ready are borrowed until the
 *            next call of any function of the same core.
 * Time       Ticks drive elections and heartbeats. now_ns (monotonic, counts suspended time) is
 *            given with the tick and serves leader leases only. */
#ifndef PD_RAFT_RAFT_H
#define PD_RAFT_RAFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/random.h"
#include "base/span.h"
#include "base/status.h"

#define PD_RAFT_MEMBERS_MAX 31u /* voters of both halves and learners together */
#define PD_RAFT_NO_LIMIT UINT64_MAX

/* A node of the group. 0 is none. */
typedef uint64_t pd_raft_node; /* the field's word for it: an id, never an index */

enum pd_raft_entry_type {
    PD_RAFT_ENTRY_NORMAL = 0,
    PD_RAFT_ENTRY_CONF_CHANGE = 1,   /* one change, etcd's V1: node id and type */
    PD_RAFT_ENTRY_CONF_CHANGE_V2 = 2 /* several, with a transition */
};

struct pd_raft_entry {
    uint64_t term;
    uint64_t index;
    enum pd_raft_entry_type type;
    struct pd_span data;
};

enum pd_raft_message_type {
    PD_RAFT_MSG_APP = 1,
    PD_RAFT_MSG_APP_RESP,
    PD_RAFT_MSG_VOTE,
    PD_RAFT_MSG_VOTE_RESP,
    PD_RAFT_MSG_PRE_VOTE,
    PD_RAFT_MSG_PRE_VOTE_RESP,
    PD_RAFT_MSG_SNAP,
    PD_RAFT_MSG_HEARTBEAT,
    PD_RAFT_MSG_HEARTBEAT_RESP,
    PD_RAFT_MSG_PROP, /* a proposal forwarded to the leader */
    PD_RAFT_MSG_READ_INDEX,
    PD_RAFT_MSG_READ_INDEX_RESP,
    PD_RAFT_MSG_TRANSFER_LEADER,
    PD_RAFT_MSG_TIMEOUT_NOW,
    PD_RAFT_MSG_FORGET_LEADER,
    PD_RAFT_MSG_SNAP_STATUS, /* local, never on the wire: pd_raft_report_snapshot */
    PD_RAFT_MSG_UNREACHABLE  /* local, never on the wire: pd_raft_report_unreachable */
};

/* Who is a member, and how. Every list sorted, without repeats. */
struct pd_raft_conf {
    pd_raft_node voters[PD_RAFT_MEMBERS_MAX];
    pd_raft_node voters_outgoing[PD_RAFT_MEMBERS_MAX]; /* not empty: joint */
    pd_raft_node learners[PD_RAFT_MEMBERS_MAX];
    pd_raft_node learners_next[PD_RAFT_MEMBERS_MAX];
    uint32_t voter_count;
    uint32_t voter_outgoing_count;
    uint32_t learner_count;
    uint32_t learner_next_count;
    bool auto_leave;
};

struct pd_raft_snapshot_meta {
    uint64_t index; /* 0: none */
    uint64_t term;
    struct pd_raft_conf conf;
};

enum pd_raft_conf_change_type {
    PD_RAFT_CONF_ADD_NODE = 0, /* a voter; promotes a learner */
    PD_RAFT_CONF_REMOVE_NODE = 1,
    PD_RAFT_CONF_UPDATE_NODE = 2, /* changes nothing here: the owner's context did */
    PD_RAFT_CONF_ADD_LEARNER = 3
};

enum pd_raft_conf_transition {
    PD_RAFT_TRANSITION_AUTO = 0, /* simple when one change suffices, else joint with auto-leave */
    PD_RAFT_TRANSITION_JOINT_IMPLICIT = 1, /* joint, left by itself */
    PD_RAFT_TRANSITION_JOINT_EXPLICIT = 2  /* joint, left by an empty change of the owner's */
};

struct pd_raft_conf_change_single {
    enum pd_raft_conf_change_type type;
    pd_raft_node node;
};

struct pd_raft_conf_change {
    enum pd_raft_conf_transition transition;
    uint32_t count; /* 0 with AUTO: leave the joint configuration */
    struct pd_raft_conf_change_single changes[PD_RAFT_MEMBERS_MAX];
    struct pd_span context; /* the owner's */
};

struct pd_raft_message {
    enum pd_raft_message_type type;
    uint32_t group_id;
    pd_raft_node from;
    pd_raft_node to;
    uint64_t term;
    uint64_t log_term; /* term of the entry at `index`; in a rejection: of the hint */
    uint64_t index;
    uint64_t commit;
    uint64_t reject_hint;
    uint64_t
        session; /* replication session of the member (item 22), echoed in answers: stale acks of a
                         removed and re-added node do not count */
    uint64_t token; /* heartbeat and read tokens: leader-generated, monotonic (item 23) */
    bool reject;
    bool is_transfer; /* vote request of a leadership transfer: ignores leases */
    const struct pd_raft_entry *entries;
    uint32_t entry_count;
    const struct pd_raft_snapshot_meta *snapshot; /* PD_RAFT_MSG_SNAP, else NULL */
};

struct pd_raft_hard_state {
    uint64_t term;
    pd_raft_node vote;
    uint64_t commit;
};

enum pd_raft_role {
    PD_RAFT_FOLLOWER = 0,
    PD_RAFT_CANDIDATE,
    PD_RAFT_LEADER,
    PD_RAFT_PRE_CANDIDATE
};

enum pd_raft_log_level {
    PD_RAFT_LOG_DEBUG = 0,
    PD_RAFT_LOG_INFO,
    PD_RAFT_LOG_WARN,
    PD_RAFT_LOG_ERROR
};

/* A trace hook for people and for the conformance suite. Must not call the core. */
struct pd_raft_trace {
    void (*line)(void *state, enum pd_raft_log_level level, const char *text);
    void *state;
};

struct pd_raft_config {
    uint32_t group_id;
    pd_raft_node id;
    uint32_t
        election_ticks; /* the randomised timeout lies in [election_ticks, 2 * election_ticks) */
    uint32_t heartbeat_ticks;
    bool pre_vote;
    bool check_quorum;
    bool lease_reads;    /* opt-in; needs check_quorum */
    uint64_t lease_ns;   /* election timeout in ns, minus the drift bound (item 24) */
    bool apply_unstable; /* hand out committed entries before the local write is durable */
    bool no_forwarding;  /* refuse proposals unless leader */
    bool no_conf_change_validation; /* conformance suite only */
    bool step_down_on_removal;
    uint64_t append_bytes_max;    /* entries of one MsgApp; 0: one entry each */
    uint64_t committed_bytes_max; /* committed entries of one Ready */
    uint64_t
        uncommitted_bytes_max; /* leader: PD_ERR_FULL beyond; empty entries always pass (item 13) */
    uint32_t inflight_max;     /* appends under way per follower */
    uint64_t inflight_bytes_max;
    uint32_t log_entries_max; /* in memory, since the last compaction */
    uint64_t log_bytes_max;
    uint64_t forward_bytes_max; /* forwarded proposals of one Ready */
    uint32_t reads_max;         /* ReadIndex rounds under way */
    uint32_t
        messages_max; /* messages of one Ready; more are held back, never lost from the protocol */
    uint64_t seed;    /* of the randomised timeouts */
    struct pd_raft_trace trace; /* line NULL: silent, at no cost */
};

/* Values for a node as shipped; id, seed and group_id are the caller's. */
struct pd_raft_config pd_raft_config_default(void);

/* What survived on disk. */
struct pd_raft_restart {
    struct pd_raft_hard_state hard_state;
    struct pd_raft_snapshot_meta
        snapshot;     /* the log begins after it; its conf is the configuration at `applied` */
    uint64_t applied; /* of the store; >= snapshot.index */
};

struct pd_raft; /* in the memory that the caller gives */

/* Bytes that init needs, for this configuration. */
size_t pd_raft_size(const struct pd_raft_config *config);

/* Begin as a follower. PD_ERR_INVALID: the configuration contradicts itself. The log is empty after
 * the snapshot: give the recovered entries with pd_raft_restore_entry, in order, then
 * pd_raft_start. */
PD_NODISCARD enum pd_status pd_raft_init(void *memory, size_t size,
                                         const struct pd_raft_config *config,
                                         const struct pd_raft_restart *restart,
                                         struct pd_raft **raft_out);
/* Entries at or before the snapshot are skipped; one that overwrites a tail cuts it.
 * PD_ERR_CORRUPT: a gap; PD_ERR_FULL: the log's memory. */
PD_NODISCARD enum pd_status pd_raft_restore_entry(struct pd_raft *raft,
                                                  const struct pd_raft_entry *entry);
/* PD_ERR_CORRUPT: the log ends before what the hard state or the store says is committed. */
PD_NODISCARD enum pd_status pd_raft_start(struct pd_raft *raft);

/* One tick of the owner's timer. */
void pd_raft_tick(struct pd_raft *raft, uint64_t now_ns);

/* A message from a peer, already decoded, or an after_append message to this node itself.
 * PD_ERR_INVALID: malformed, foreign or of a local type; dropped. PD_ERR_UNKNOWN: an answer of
 * somebody who is no member; dropped. PD_ERR_CLOSED, PD_ERR_FULL: a forwarded proposal was refused,
 * as by pd_raft_propose; PD_ERR_FULL also: no room for any of an append, and no answer. Messages
 * from this node itself come from its own Ready only, never from the wire. */
PD_NODISCARD enum pd_status pd_raft_step(struct pd_raft *raft,
                                         const struct pd_raft_message *message);

PD_NODISCARD enum pd_status pd_raft_campaign(struct pd_raft *raft);
/* Propose `count` entries as one (data only; type normal). PD_ERR_CLOSED: no leader, transfer under
 * way or removed; PD_ERR_FULL: log, window or uncommitted size is full. On PD_OK as leader
 * *index_out is the index of the first, else 0: it was forwarded, and its fate is unknown. */
PD_NODISCARD enum pd_status pd_raft_propose(struct pd_raft *raft, const struct pd_span *data,
                                            uint32_t count, uint64_t *index_out);
/* PD_ERR_EXISTS: an earlier change is not applied yet, or the joint configuration must be left
 * first (or there is none to leave); an empty entry took its place in the log. PD_ERR_INVALID: it
 * contradicts the configuration: nothing was appended. Else as pd_raft_propose. */
PD_NODISCARD enum pd_status pd_raft_propose_conf_change(struct pd_raft *raft,
                                                        const struct pd_raft_conf_change *change,
                                                        bool is_v1, uint64_t *index_out);
/* A linearizable read. It comes back in pd_raft_ready.reads with the caller's `context` and the
 * index that must be applied before it may be answered. PD_ERR_CLOSED: no leader known;
 * PD_ERR_FULL: reads_max rounds. */
PD_NODISCARD enum pd_status pd_raft_read_index(struct pd_raft *raft, uint64_t context);
/* Whether this leader may answer at `now_ns` without a round: with lease_reads by its lease (items
 * 7, 23, 24), and without them while it is the only voter, since nobody else can be elected. */
bool pd_raft_lease_valid(const struct pd_raft *raft, uint64_t now_ns);
/* PD_ERR_CLOSED: no leader known; PD_ERR_UNKNOWN: this leader knows no such voter. */
PD_NODISCARD enum pd_status pd_raft_transfer(struct pd_raft *raft, pd_raft_node to);
void pd_raft_forget_leader(struct pd_raft *raft);
void pd_raft_report_unreachable(struct pd_raft *raft, pd_raft_node node);
/* A snapshot was sent to a member, whether this leader had asked for it or not. `held`: the index
 * of the state that the member holds now (committed here), 0: it failed. A leader that has heard
 * nothing of it yet would else probe at an index that it has cut since, and send another one. It
 * is no acknowledgement. */
void pd_raft_report_snapshot(struct pd_raft *raft, pd_raft_node node, uint64_t held);

/* The owner's store was given the state at meta->index by another member. What a snapshot holds is
 * committed, whatever the term is now: the log is replaced, or committed up to there if it holds
 * that entry. For what pd_raft_step of the snapshot's message does not do: its term may be over.
 * PD_ERR_INVALID: it contradicts what is committed here, or this node is no member in it. */
PD_NODISCARD enum pd_status pd_raft_restore(struct pd_raft *raft,
                                            const struct pd_raft_snapshot_meta *meta);

/* The store holds everything up to meta->index: this is what a follower that is too far behind is
 * sent. */
void pd_raft_snapshot_available(struct pd_raft *raft, const struct pd_raft_snapshot_meta *meta);
/* Forget entries up to `index` <= applied; never beyond the snapshot that is available. */
void pd_raft_compact(struct pd_raft *raft, uint64_t index);

/* A read that may be answered once `index` is applied. */
struct pd_raft_read {
    uint64_t context;
    uint64_t index;
};

/* What a storage append attests once it is durable: (log_term, index) of the last entry at the time
 * it was handed out, under which term, so that an entry that was meanwhile replaced is not mistaken
 * for it (item 15). */
struct pd_raft_append_mark {
    uint64_t term;
    uint64_t log_term;
    uint64_t index;          /* 0: no entry */
    uint64_t snapshot_index; /* 0: no snapshot */
};

/* What the events since the last one caused. Order of duties: write entries, hard state and
 * snapshot as ONE storage append; send `messages` at once; send `after_append` once that append is
 * durable; apply `committed`. */
struct pd_raft_ready {
    bool soft_state_changed;
    pd_raft_node leader;
    enum pd_raft_role role;
    bool hard_state_changed;
    struct pd_raft_hard_state hard_state;
    bool must_sync; /* entries, term or vote changed */
    const struct pd_raft_read *reads;
    uint32_t read_count;
    const struct pd_raft_entry *entries; /* to append; may overwrite a tail */
    uint32_t entry_count;
    const struct pd_raft_snapshot_meta *snapshot; /* to install before these entries; NULL: none */
    const struct pd_raft_entry *committed;        /* to apply, in order */
    uint32_t committed_count;
    const struct pd_raft_message *messages;
    uint32_t message_count;
    const struct pd_raft_message *after_append; /* own acks and votes (to == id) among them */
    uint32_t after_append_count;
    uint64_t append_ticket; /* not 0: something to write, or to send after a write. Counts up. */
    struct pd_raft_append_mark
        append_mark; /* give it to pd_raft_append_done when that is durable */
};

bool pd_raft_has_ready(const struct pd_raft *raft);
/* Fills `ready` and accepts it: what it names counts as under way. */
void pd_raft_ready(struct pd_raft *raft, struct pd_raft_ready *ready);

/* The append of that Ready is durable: its append_mark. In the order of the tickets. The snapshot
 * part is honoured whatever the term. The owner steps the after_append messages to the node itself
 * before this. */
void pd_raft_append_done(struct pd_raft *raft, const struct pd_raft_append_mark *mark);
/* Entries up to `index` are applied in memory. Conf changes among them must have been given to
 * pd_raft_apply_conf_change before. */
void pd_raft_apply_done(struct pd_raft *raft, uint64_t index);
/* A committed change takes effect (item 20). An entry that the owner rejects is given with
 * `rejected`: nothing changes. *conf_out, when not NULL, is the configuration afterwards.
 * PD_ERR_INVALID: the change contradicts the configuration; it has no effect, here and on every
 * other node. */
enum pd_status pd_raft_apply_conf_change(struct pd_raft *raft,
                                         const struct pd_raft_conf_change *change, bool rejected,
                                         struct pd_raft_conf *conf_out);
/* Bytes of a change, at most PD_RAFT_CONF_CHANGE_BYTES and its context. PD_ERR_RANGE: `size_max` is
 * too small; PD_ERR_INVALID: a V1 change has exactly one single change and no transition. */
#define PD_RAFT_CONF_CHANGE_BYTES (2u + 9u * PD_RAFT_MEMBERS_MAX)
PD_NODISCARD enum pd_status pd_raft_conf_change_encode(const struct pd_raft_conf_change *change,
                                                       bool is_v1, uint8_t *bytes, size_t size_max,
                                                       size_t *size_out);
/* Of an entry's data; the context stays in it. PD_ERR_CORRUPT: not a change. */
PD_NODISCARD enum pd_status pd_raft_conf_change_decode(enum pd_raft_entry_type type,
                                                       struct pd_span data,
                                                       struct pd_raft_conf_change *change_out);

enum pd_raft_progress_state {
    PD_RAFT_PROBE = 0,
    PD_RAFT_REPLICATE,
    PD_RAFT_SNAPSHOT
};

struct pd_raft_member_status {
    pd_raft_node node;
    uint64_t match;
    uint64_t next;
    enum pd_raft_progress_state state;
    uint64_t pending_snapshot;
    uint64_t session; /* what answers must echo (item 22) */
    uint32_t inflight_count;
    bool inflight_full;
    bool is_paused;
    bool is_active;
    bool is_learner;
};

struct pd_raft_status {
    pd_raft_node id;
    pd_raft_node leader;
    enum pd_raft_role role;
    struct pd_raft_hard_state hard_state;
    uint64_t applied;
    uint64_t first_index; /* of the log in memory */
    uint64_t last_index;
    uint64_t stable_index; /* known durable here */
    pd_raft_node transferee;
    struct pd_raft_conf conf;
    uint32_t member_count; /* leader only */
    struct pd_raft_member_status members[PD_RAFT_MEMBERS_MAX];
};

void pd_raft_status(const struct pd_raft *raft, struct pd_raft_status *status_out);
/* What this node knows to be committed. */
uint64_t pd_raft_committed(const struct pd_raft *raft);
/* The entry at an index of the log in memory. PD_ERR_UNKNOWN: compacted or not there. */
PD_NODISCARD enum pd_status pd_raft_entry_at(const struct pd_raft *raft, uint64_t index,
                                             struct pd_raft_entry *entry_out);
/* The last entry that is known durable here. */
uint64_t pd_raft_stable(const struct pd_raft *raft);
/* How full the log's memory is, in percent: of its entries or its bytes, whichever is fuller. */
uint32_t pd_raft_log_fill(const struct pd_raft *raft);
/* Conformance and tests: fix the timeout that the next election waits for. */
void pd_raft_set_election_timeout(struct pd_raft *raft, uint32_t ticks);
/* Every invariant; asserts. */
void pd_raft_check(const struct pd_raft *raft);

#endif
