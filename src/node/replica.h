/* replica - one node's share of one group: raft, log records, kv, sessions and store, put together.
 * Deterministic: no I/O, clock, randomness or thread of its own. The node's core thread drives it,
 * and so does the simulator.
 *
 * Model      Events go in through the functions below. What they cause comes out of
 *            pd_replica_next(), one output at a time; pd_replica_step() does the work that is due
 *            in bounded slices. The owner's loop:
 *                deliver one event;
 *                do { while (pd_replica_next(replica, &output)) serve(&output); } while
 *                (pd_replica_step(replica));
 *            Every output that says so is answered by exactly one call, in any later turn of the
 *            loop.
 * Life       loading (the store's rows) -> running, or -> restoring (there is no state here: it is
 *            fetched from a peer, piece by piece, and nothing is answered meanwhile) -> running. A
 *            fatal output ends it.
 * Order      LOG_WRITEs are made durable in the order given; STORE_WRITEs likewise; both beside
 *            each other. A message that must wait for a write is held back here: SENDs may leave as
 *            soon as they are seen.
 * Bounds     struct pd_replica_config. Outputs wait here until they are polled: what one event or
 *            slice causes.
 * Ownership  An output's bytes are borrowed until the next call of any function but
 *            pd_replica_next; those of LOG_WRITE until pd_replica_log_durable, those of STORE_WRITE
 *            until pd_replica_store_written. Bytes given with an event are borrowed for the call.
 * Time       now_ns: monotonic, counts suspended time; wall_ns: of the calendar, for schedules
 *            only. Both come with pd_replica_clock, which goes before other events of that moment.
 * Trust      A peer's and a client's bytes may be anything: what does not decode is counted and
 *            dropped. */
#ifndef PD_NODE_REPLICA_H
#define PD_NODE_REPLICA_H

#include "base/store.h"
#include "base/transport.h"
#include "kv/kv.h"
#include "node/replica_request.h"
#include "node/replica_slow.h"
#include "raft/raft.h"
#include "wal/wal.h"

struct pd_directory_word;
struct pd_replica;

enum pd_replica_start {
    PD_REPLICA_START_EXISTING = 0, /* the folder was used before: log and store must be there */
    /* a new folder of one of the first members: initial_conf is the cluster */
    PD_REPLICA_START_BOOTSTRAP,
    PD_REPLICA_START_JOIN /* a new folder of a node that the cluster is going to add */
};

/* One of the first members, for the directory. */
struct pd_replica_first_member {
    pd_raft_node node;
    struct pd_span bytes; /* kv/member.h; borrowed as long as the replica lives */
};

enum pd_replica_compaction {
    PD_REPLICA_COMPACTION_OFF = 0,
    PD_REPLICA_COMPACTION_PERIODIC, /* keep compaction_retention_ns of history, by state time */
    PD_REPLICA_COMPACTION_REVISION  /* keep the last compaction_revisions */
};

struct pd_replica_config {
    uint64_t cluster_id; /* messages of another cluster are dropped */
    enum pd_replica_start start;
    struct pd_raft_conf initial_conf; /* BOOTSTRAP; sorted, equal on all first members */
    struct pd_raft_config raft;       /* id, group_id, seed, ticks and limits */
    struct pd_kv_config kv;
    const pd_raft_node *
        /* JOIN and restoring: who can be asked besides the known members; borrowed for open */
        peers;
    uint32_t peer_count;
    /* There is a directory of members (kv/member.h), and only who is in it becomes one. A leader
     * puts those of these into it that it never heard of. */
    /* The other members are lost for ever, and this is a copy: whatever the log holds counts as
     * committed, and this node is the only member, whoever the log names. */
    bool is_alone;
    bool has_directory;
    /* Which node a key makes: pd_members_node_of, but in the simulator. */
    uint64_t (*node_of)(const uint8_t key[PD_KV_MEMBER_KEY_SIZE]);
    const struct pd_replica_first_member *first_members;
    uint32_t first_member_count;
    bool raises_version; /* as a leader, when all can follow; it tells the leader how far it can */
    uint32_t voters_max; /* learners become voters by themselves while there are fewer; 0: never */
    /* Bounds of this node alone. */
    uint32_t proposals_max;      /* proposals that wait for their entry to be applied */
    uint64_t proposal_bytes_max; /* refused beyond, while they wait for a batch */
    /* Of commands and of their answers, as far as they can be guessed: while so much waits for its
     * entry to be applied, what is large waits in front of the log, as much as proposals_max and
     * proposal_bytes_max admit; what is small (1/512 of it) does not. One goes alone, however large
     * it is. An answer that nothing is known of counts as 1/8 of it. */
    uint64_t large_bytes_max;
    uint32_t reads_max; /* reads that wait for a round, for apply or for rows */
    uint64_t
        /* a LOG_WRITE takes up no more work beyond; at most one is under way */
        log_batch_bytes_max;
    /* Entries of a leader that wait behind a full batch; more are not taken, and sent again. A
     * log's batch must take both, and one message more. */
    uint64_t log_backlog_bytes_max;
    uint32_t request_ticks_max; /* then an answer says that the outcome is unknown */
    uint32_t read_ticks_max;    /* likewise, of a read that has begun, or waits for room */
    uint32_t apply_budget;      /* rows about, of one slice */
    uint64_t overlay_reserve;   /* proposals are refused when the overlay has less room left */
    uint64_t
        /* kept behind the durable index, for followers that are a little behind */
        log_retain_entries;
    uint64_t flush_entries; /* the store is flushed when its durable index lags this far */
    uint64_t hash_interval; /* hashes are compared at indices that are multiples of it; 0: never */
    uint32_t hash_ticks;    /* between two exchanges */
    uint64_t slow_ns;       /* a request that takes so long is told with SLOW; 0: none */
    uint32_t snapshot_chunk_bytes;
    uint32_t snapshot_window; /* chunks under way of one transfer */
    uint32_t snapshot_ticks;  /* without progress: resend; four times that: give up */
    uint32_t expiries_max;    /* expiry commands under way */
    uint32_t watches_max;     /* one client has three quarters at most, of their keys too */
    uint32_t watch_bytes_max; /* of one answer with events */
    enum pd_replica_compaction compaction;
    uint64_t compaction_retention_ns;
    int64_t compaction_revisions;
};

/* A node as shipped; ids, seed and start are the caller's. */
struct pd_replica_config pd_replica_config_default(void);

/* Whom the log of a node with config.is_alone counted as members, and where it ended. Once it
 * runs. */
struct pd_replica_before {
    struct pd_raft_conf conf;
    uint64_t last_index;
    uint64_t last_term;
};
const struct pd_replica_before *pd_replica_before(const struct pd_replica *replica);

/* -- Start ------------------------------------------------------------------------------------- */

/* PD_ERR_INVALID: the configuration contradicts itself; PD_ERR_NO_MEMORY. Then: every record of the
 * log in order (pd_replica_recover, from pd_wal_open's visit), then pd_replica_start, then the
 * loop. */
PD_NODISCARD enum pd_status pd_replica_open(const struct pd_replica_config *config,
                                            struct pd_replica **replica_out);
void pd_replica_close(struct pd_replica *replica);

/* One record of this group. PD_ERR_CORRUPT: its payload is not what was written: stop, the log
 * cannot be trusted. */
PD_NODISCARD enum pd_status pd_replica_recover(struct pd_replica *replica,
                                               const struct pd_wal_record *record);

/* What the owner found when it opened the store. A store that cannot be opened or is damaged is
 * given as is_lost, after the owner has put an empty one in its place. */
struct pd_replica_store_state {
    uint64_t applied_index; /* 0: empty */
    uint64_t durable_index;
    bool is_lost;
};
/* The log is read. Decides what this node goes on with; the outputs tell the rest. PD_OK;
 * PD_ERR_CORRUPT or PD_ERR_INVALID: the node must not start: pd_replica_text says why and what to
 * do. */
PD_NODISCARD enum pd_status pd_replica_start(struct pd_replica *replica,
                                             const struct pd_replica_store_state *store,
                                             uint64_t now_ns, uint64_t wall_ns);
/* Of the last refusal or fatal output; never NULL. */
const char *pd_replica_text(const struct pd_replica *replica);

/* -- Events in --------------------------------------------------------------------------------- */

void pd_replica_clock(struct pd_replica *replica, uint64_t now_ns, uint64_t wall_ns);
/* The timer: one raft tick. */
void pd_replica_tick(struct pd_replica *replica);
/* Bytes from a peer, as its SEND had them. The transport vouches for `from`. */
void pd_replica_message(struct pd_replica *replica, pd_raft_node from, const uint8_t *bytes,
                        size_t size);
/* The transport lost a peer. */
void pd_replica_unreachable(struct pd_replica *replica, pd_raft_node node);
/* A client's request (replica_request.h). Exactly one ANSWER with the same client and correlation
 * follows (a watch: many), unless the client is forgotten before. asked_ns: when the client gave
 * it, not later than now; 0: it is not timed. */
void pd_replica_request(struct pd_replica *replica, uint64_t asked_ns, uint64_t client,
                        uint64_t correlation, const uint8_t *bytes, size_t size);
/* What a request is, and its first key, of any bytes; nothing is done. */
void pd_replica_timed_request(struct pd_replica *replica, struct pd_span request,
                              struct pd_replica_timed *timed);
/* Whether a write, any bytes, may happen twice and nobody notices: it changes nothing, or renews a
 * lease. So it needs no session, which would keep its answer. */
bool pd_replica_is_repeatable(struct pd_replica *replica, struct pd_span command);
/* The client is gone: its answers are not wanted any more. What it proposed still happens. */
void pd_replica_client_gone(struct pd_replica *replica, uint64_t client);
/* LOG_WRITE `ticket`, and all before it, is durable. */
void pd_replica_log_durable(struct pd_replica *replica, uint64_t ticket);
/* Before disk_low: what is missing is not space, but file descriptors. */
void pd_replica_lacks_descriptors(struct pd_replica *replica, bool lacks_descriptors);
/* The log's disk is nearly full (or has room again). */
void pd_replica_disk_low(struct pd_replica *replica, bool is_low);
/* The STORE_WRITE that is under way is visible. A failed one is the owner's: retry it, or stop and
 * catch up from the log after a restart. */
void pd_replica_store_written(struct pd_replica *replica);
/* Answers STORE_FLUSH; also given whenever the store tells a new durable index. */
void pd_replica_store_durable(struct pd_replica *replica, uint64_t durable_index);
/* Answers STORE_RESET: the store is empty, durably. */
void pd_replica_store_was_reset(struct pd_replica *replica);
/* Answers FETCH. status other than PD_OK: the store could not give the rows; PD_ERR_CORRUPT means
 * it is damaged. */
void pd_replica_rows(struct pd_replica *replica, uint32_t fetch_id, enum pd_status status,
                     const struct pd_store_page *page);
/* Answers SNAPSHOT_OPEN: a view at `index` is held, or status says why not (then nothing is
 * held). */
void pd_replica_snapshot_opened(struct pd_replica *replica, uint64_t transfer,
                                enum pd_status status, uint64_t index);
/* Answers SNAPSHOT_READ: the next rows of the view from the output's `low` on, as scan gives
 * them. */
void pd_replica_snapshot_rows(struct pd_replica *replica, uint64_t transfer, enum pd_status status,
                              const struct pd_store_page *page);

/* -- Outputs ----------------------------------------------------------------------------------- */

enum pd_replica_output_kind {
    /* bytes to the peer `node` in `lane`; may be lost, delayed, repeated */
    PD_REPLICA_SEND = 0,
    PD_REPLICA_LOG_WRITE, /* records as one batch; then pd_replica_log_durable(ticket) */
    PD_REPLICA_LOG_CUT,   /* the log's entries below `index` are not needed: pd_wal_cut */
    /* writes with applied index `index`, as one batch; then pd_replica_store_written */
    PD_REPLICA_STORE_WRITE,
    /* make the store durable, when convenient; then pd_replica_store_durable */
    PD_REPLICA_STORE_FLUSH,
    PD_REPLICA_STORE_RESET, /* empty the store; then pd_replica_store_was_reset */
    PD_REPLICA_FETCH,       /* rows: fetch; then pd_replica_rows */
    PD_REPLICA_ANSWER,      /* bytes to `client` for `correlation` */
    PD_REPLICA_SLOW,        /* slow: of the request whose ANSWER comes next */
    /* hold a view of the store for `transfer`; then pd_replica_snapshot_opened */
    PD_REPLICA_SNAPSHOT_OPEN,
    /* of the view: rows from `fetch.low` on, into fetch.bytes_max; then ..._rows */
    PD_REPLICA_SNAPSHOT_READ,
    PD_REPLICA_SNAPSHOT_CLOSE, /* let the view go; no answer */
    PD_REPLICA_NOTE,           /* text for the node's log */
    PD_REPLICA_FATAL           /* text; the node must stop now, and nothing else may be served */
};

struct pd_replica_output {
    enum pd_replica_output_kind kind;
    pd_raft_node node;
    enum pd_transport_lane lane;
    struct pd_span bytes;
    uint64_t ticket;
    const struct pd_wal_record *records;
    uint32_t record_count;
    const struct pd_store_write *writes;
    size_t write_count;
    uint64_t index;
    struct pd_kv_fetch fetch;
    uint64_t transfer;
    uint64_t client;
    uint64_t correlation;
    const char *text;
    const struct pd_replica_slow *slow;
};

/* The next output; false: none is waiting. */
bool pd_replica_next(struct pd_replica *replica, struct pd_replica_output *output_out);
/* One bounded slice of work. true: there is more: serve the outputs, look for other events, and
 * call again. */
bool pd_replica_step(struct pd_replica *replica);

/* Bytes of answers to reads that have left the replica and still take memory: with the open reads'
 * they are kept below config.kv.reads_bytes_max. `unread`: those of them that wait for clients (at
 * most `bytes`). To be told again when they have become less and reads wait. */
void pd_replica_reads_away(struct pd_replica *replica, uint64_t bytes, uint64_t unread);
bool pd_replica_reads_wait(const struct pd_replica *replica);

/* -- What it is -------------------------------------------------------------------------------- */

enum pd_replica_phase {
    PD_REPLICA_LOADING = 0,
    PD_REPLICA_RESTORING,
    PD_REPLICA_RUNNING,
    PD_REPLICA_DEAD /* a fatal output was given */
};

struct pd_replica_counters {
    uint64_t messages_dropped;
    uint64_t proposals;
    uint64_t large_waited; /* commands that were too large to be proposed at once */
    uint64_t applied;
    uint64_t reads;
    uint64_t reads_turned_away; /* that were too large to go on at once */
    uint64_t read_rounds;
    uint64_t snapshots_sent;
    uint64_t snapshots_installed;
    uint64_t hashes_compared;
    uint64_t log_batches;
    uint64_t verifications; /* of the rows that a start found */
};

struct pd_replica_status {
    enum pd_replica_phase phase;
    bool
        serves_writes; /* leader that has applied an entry of its own term, and the disk has room */
    bool disk_is_low;
    struct pd_raft_status raft; /* zero while there is none */
    struct pd_kv_status kv;
    uint64_t store_visible;
    uint64_t store_durable;
    struct pd_replica_counters counters;
};
void pd_replica_status(const struct pd_replica *replica, struct pd_replica_status *status_out);

/* Entries that were applied since the start. */
uint64_t pd_replica_applied_count(const struct pd_replica *replica);

/* Who takes writes, as far as is known here: this node itself only while it serves them. 0: nobody
 * is known, or this node is taking over. */
pd_raft_node pd_replica_leader(const struct pd_replica *replica);
/* Whether the applied state is whole: neither being loaded nor fetched from a peer. */
bool pd_replica_has_state(const struct pd_replica *replica);
/* Whether this node leads, serving or not. */
bool pd_replica_leads(const struct pd_replica *replica);
/* Raft's. */
uint64_t pd_replica_term(const struct pd_replica *replica);
/* A member of the applied configuration, voter or learner. */
bool pd_replica_has_member(const struct pd_replica *replica, pd_raft_node node);
/* What another member said of the directory, while it is newer than the own state
 * (directory_word.h); NULL: nothing. Borrowed until the next event. */
const struct pd_directory_word *pd_replica_directory_word(const struct pd_replica *replica);
/* Before this node stops: the lead goes to the voter that is best prepared. false: this node does
 * not lead, or there is nobody to take over. */
bool pd_replica_hand_over(struct pd_replica *replica);

/* On the core's thread: whether what is applied now may be read as linearizable without a round
 * (pd_raft_lease_valid). */
bool pd_replica_may_read_now(const struct pd_replica *replica, uint64_t now_ns);
/* After a fatal output: the store's rows are to blame. An owner that puts an empty store in its
 * place and opens anew with is_lost goes on without a person: from the log, or from another
 * member. */
bool pd_replica_store_is_damaged(const struct pd_replica *replica);
/* For pd_kv_get_hot and tests. */
const struct pd_kv *pd_replica_kv(const struct pd_replica *replica);
/* For tests and the simulator; NULL: there is none yet. */
const struct pd_raft *pd_replica_raft(const struct pd_replica *replica);

/* Every invariant; asserts. */
void pd_replica_check(const struct pd_replica *replica);

#endif
