/* replica_internal - the inside of a replica, for src/node/replica*.c alone. */
#ifndef PD_NODE_REPLICA_INTERNAL_H
#define PD_NODE_REPLICA_INTERNAL_H

#include "base/list.h"
#include "node/answer_sizes.h"
#include "node/replica.h"
#include "node/snapshot_format.h"
#include "raft/wire.h"

#define PD_REPLICA_TEXT_MAX 512u
#define PD_REPLICA_HASHES_MAX 64u
#define PD_REPLICA_SAMPLES_MAX 16u
#define PD_REPLICA_WINDOW_MAX 16u
#define PD_REPLICA_CHUNK_BYTES_MAX (16u << 20)
#define PD_REPLICA_TRANSFERS_MAX 2u
#define PD_REPLICA_BACKUPS_MAX 2u
#define PD_REPLICA_LOG_FILL_MAX                                                                    \
    50u /* percent of raft's window: then the store is flushed, all cut */

/* Of a message between replicas: version u8, kind u8, 0 u16, group u32, cluster u64, from u64, to
 * u64. */
#define PD_REPLICA_FRAME_SIZE 32u
#define PD_REPLICA_FRAME_VERSION 1u
enum pd_replica_frame {
    PD_REPLICA_FRAME_RAFT = 1,
    PD_REPLICA_FRAME_CHUNK = 2,     /* snapshot_format.h */
    PD_REPLICA_FRAME_CHUNK_ACK = 3, /* transfer, next number, enum pd_replica_chunk_answer */
    PD_REPLICA_FRAME_WANT = 4,      /* index, flags: a snapshot at or after it is asked for */
    PD_REPLICA_FRAME_HASH = 5,      /* replica_hash.c */
    /* Of programs that know version 2; others drop them. */
    PD_REPLICA_FRAME_VERSION_FIELDS = 6,  /* replica_version.c */
    PD_REPLICA_FRAME_DIRECTORY_FIELDS = 7 /* replica_word.c */
};

struct pd_replica_bytes {
    uint8_t *bytes;
    size_t size;
    size_t capacity;
};

/* An output that waits; its bytes lie in the arena at `offset`. */
struct pd_replica_queued {
    struct pd_replica_output output;
    size_t offset;
    bool in_arena;
};

/* One Ready's share of a log write: what is due when it is durable. */
struct pd_replica_due {
    struct pd_raft_append_mark mark;
    uint32_t message_count;
};

struct pd_replica_batch {
    struct pd_wal_record *records;
    size_t *offsets; /* of each record's payload in `payload` */
    uint32_t record_count;
    uint32_t record_capacity;
    struct pd_replica_bytes payload;
    struct pd_raft_message *messages;
    uint32_t message_count;
    uint32_t message_capacity;
    struct pd_replica_due *dues;
    uint32_t due_count;
    uint32_t due_capacity;
};

/* replica_large.c has the diagram. */
#define PD_REPLICA_LARGE_PARTS 512u /* of large_bytes_max: what is not more than one is small */
/* What a command and its answer take of everybody's time. */
struct pd_replica_cost {
    uint64_t bytes; /* 0: it is small */
    bool is_known;  /* an answer to the same question was seen of late */
    bool answers_rows;
    bool has_range;      /* of more keys than it names */
    uint64_t keys_hash;  /* of what is asked for, and of who asks: answers_rows only */
    uint64_t asker_hash; /* a session, or a client: which may be many, as a gateway is */
};
enum pd_replica_large_line {
    PD_REPLICA_LARGE_KNOWN = 0,
    PD_REPLICA_LARGE_UNKNOWN, /* nobody knows yet: it may be small */
    PD_REPLICA_LARGE_LINES
};
struct pd_replica_large {
    struct pd_list lines[PD_REPLICA_LARGE_LINES];
    enum pd_replica_large_line turn;
    uint32_t count;
    uint64_t bytes;     /* of requests that wait */
    uint64_t under_way; /* the cost of all proposals */
    struct pd_answer_sizes sizes;
};

/* Who waits for an entry. */
enum pd_replica_proposal_kind {
    PD_REPLICA_PROPOSAL_CLIENT = 0,
    PD_REPLICA_PROPOSAL_CONF,
    PD_REPLICA_PROPOSAL_LEAVE, /* the first step of two */
    PD_REPLICA_PROPOSAL_EXPIRY,
    PD_REPLICA_PROPOSAL_OWN
};
struct pd_replica_proposal {
    enum pd_replica_proposal_kind kind;
    bool is_wanted;
    uint64_t index;
    uint64_t term;
    uint64_t client;
    uint64_t correlation;
    uint64_t since_tick;
    pd_raft_node node; /* LEAVE: who leaves */
    struct pd_replica_cost cost;
    struct pd_replica_timed timed;
};

/* A request while it is taken up: it may be answered at once. */
struct pd_replica_asking {
    bool is_open;
    uint64_t client;
    uint64_t correlation;
    struct pd_replica_timed timed;
};

/* Every read stands in the line of its state. */
enum pd_replica_read_state {
    PD_REPLICA_READ_FREE = 0,
    PD_REPLICA_READ_GATHERED, /* waits for the next round */
    PD_REPLICA_READ_ASKED,    /* in the round that is under way */
    PD_REPLICA_READ_APPLY,    /* waits until `index` is applied */
    PD_REPLICA_READ_OPENING,  /* waits for a read of the kv */
    PD_REPLICA_READ_ROWS,     /* holds one */
    PD_REPLICA_READ_LARGE,    /* waits for room to hold many rows */
    PD_REPLICA_READ_STATES
};
struct pd_replica_read_line {
    uint32_t head; /* 1 + its place; 0: nobody */
    uint32_t tail;
};
struct pd_replica_read {
    enum pd_replica_read_state state;
    bool is_wanted;
    bool is_of_now; /* of no certain revision */
    enum pd_replica_request_kind kind;
    uint64_t client;
    uint64_t correlation;
    uint64_t index;
    uint64_t number;
    uint64_t since_tick;
    struct pd_replica_timed timed;
    uint8_t *body;
    size_t body_size;
    size_t body_capacity;
    uint32_t kv_read;
    uint32_t next; /* in its line */
};

struct pd_replica_chunk {
    uint8_t *bytes; /* owned; NULL: none */
    size_t size;
};

/* replica_snapshot.c */
enum pd_replica_transfer_state {
    PD_REPLICA_TRANSFER_FREE = 0,
    PD_REPLICA_TRANSFER_OPENING,
    PD_REPLICA_TRANSFER_SENDING,
    PD_REPLICA_TRANSFER_CLOSING /* over; the store still owes an answer */
};
/* A snapshot on its way to a peer. */
struct pd_replica_transfer {
    enum pd_replica_transfer_state state;
    uint64_t id;
    pd_raft_node to;
    bool is_for_raft; /* raft asked for it, and is told how it ended */
    uint64_t raft_term;
    uint64_t raft_session;
    bool is_view_open;
    bool is_reading;
    bool is_read; /* every row is in a chunk */
    uint64_t index;
    uint64_t acked;                 /* chunks that the peer has in its store */
    struct pd_snapshot_chain chain; /* chain.number chunks are made */
    size_t page_bytes;
    uint64_t progress_tick;
    uint64_t sent_tick;  /* the window as a whole */
    uint64_t done_index; /* of the last one that came to its end here; 0: none */
    uint64_t done_tick;
    struct pd_replica_bytes low; /* where the next page begins */
    struct pd_replica_chunk window[PD_REPLICA_WINDOW_MAX];
};

/* replica_backup.c has the diagram. */
enum pd_replica_backup_state {
    PD_REPLICA_BACKUP_FREE = 0,
    PD_REPLICA_BACKUP_WAITING,
    PD_REPLICA_BACKUP_OPENING,
    PD_REPLICA_BACKUP_READING,
    PD_REPLICA_BACKUP_HELD,
    PD_REPLICA_BACKUP_CLOSING
};
/* A snapshot on its way to a client, who asks for one chunk at a time. */
struct pd_replica_backup {
    enum pd_replica_backup_state state;
    uint64_t id;
    uint64_t client;
    uint64_t correlation; /* of the chunk that is asked for */
    uint64_t number;      /* the client's */
    bool is_asked;
    bool is_view_open;
    bool is_read;   /* every row was given */
    uint64_t index; /* at least; once the view is open: of the snapshot */
    struct pd_snapshot_chain chain;
    size_t page_bytes;
    uint64_t progress_tick;
    struct pd_replica_bytes low; /* where the next page begins */
};

/* replica_install.c has the diagram. */
enum pd_replica_install_state {
    PD_REPLICA_INSTALL_NONE = 0,
    /* what the old state still has under way at the store comes first */
    PD_REPLICA_INSTALL_DRAINING,
    PD_REPLICA_INSTALL_RESETTING,
    PD_REPLICA_INSTALL_READY,   /* the store is empty or holds the first chunks */
    PD_REPLICA_INSTALL_WRITING, /* rows, the meta rows, or the applied index */
    PD_REPLICA_INSTALL_LOADING, /* the kv takes the rows up and judges them */
    PD_REPLICA_INSTALL_LOGGING, /* raft, or the log alone, is told of the snapshot */
    PD_REPLICA_INSTALL_FLUSHING
};
enum pd_replica_install_write {
    PD_REPLICA_INSTALL_ROWS = 0,
    PD_REPLICA_INSTALL_META,
    PD_REPLICA_INSTALL_INDEX
};
/* A snapshot that comes in. */
struct pd_replica_install {
    enum pd_replica_install_state state;
    enum pd_replica_install_write write;
    uint64_t transfer; /* 0: nobody is sending */
    pd_raft_node from;
    struct pd_snapshot_chain chain;
    struct pd_snapshot_end end;
    uint64_t term;
    uint64_t sender_term;
    struct pd_raft_conf conf;
    struct pd_replica_bytes conf_bytes;
    struct pd_replica_bytes meta;
    struct pd_replica_chunk queue[PD_REPLICA_WINDOW_MAX]; /* verified, not yet written */
    uint32_t queue_head;
    uint32_t queue_count;
    struct pd_replica_chunk writing;
    uint64_t written;  /* chunks, acknowledged */
    bool is_dirty;     /* rows were written since the store was emptied */
    bool reset_is_due; /* once the write under way is done */
    bool is_load_begun;
    bool is_verifying;
    bool is_told;     /* raft has taken the snapshot */
    bool is_replaced; /* raft's log begins anew with it: its record is being written */
    bool is_logged;
    uint64_t progress_tick;
    uint64_t asked_tick;
    uint32_t asked_turn;
    pd_raft_node heard;        /* who last spoke to this node as a leader; 0: nobody */
    pd_raft_node unsound_from; /* whose rows were not what their hashes say */
    uint64_t unsound_tick;
    uint64_t done_transfer; /* the last one that was installed */
    pd_raft_node done_from;
    struct pd_store_write *writes;
    uint32_t write_capacity;
};

/* replica_hash.c */
struct pd_replica_hash {
    uint64_t index; /* 0: none */
    uint64_t fold;
    struct pd_kv_hash set;
};
struct pd_replica_vote_hash {
    pd_raft_node node;
    struct pd_replica_hash hash;
};
/* Two replicas differ, and the others are asked. */
struct pd_replica_dispute {
    bool is_open;
    pd_raft_node with;
    uint64_t since_tick;
    struct pd_replica_hash own;
    struct pd_replica_vote_hash votes[PD_RAFT_MEMBERS_MAX];
    uint32_t vote_count;
};

/* replica_version.c */
#define PD_REPLICA_TOLD_MAX (2u * PD_RAFT_MEMBERS_MAX)
struct pd_replica_told {
    pd_raft_node node; /* 0: nobody */
    uint32_t limit;    /* the last version that it can follow */
    uint64_t tick;
};

/* replica_word.c */
struct pd_replica_word {
    struct pd_directory_word *kept; /* newer than the own state; NULL: none is */
    bool is_asking;                 /* no leader was heard since */
    uint64_t ask_tick;              /* the next question is due */
    uint32_t pause;                 /* behind it, in election timeouts; 0: it has not begun */
    uint32_t answers;               /* that were given in this tick */
};

struct pd_replica_sample {
    uint64_t state_time_ns;
    int64_t revision;
};

struct pd_replica_recovered {
    uint64_t index;
    uint64_t term;
    enum pd_raft_entry_type type;
    uint8_t *data;
    size_t size;
};

/* The lead on its way, at a client's wish. */
struct pd_replica_lead {
    bool is_asked;
    uint64_t client;
    uint64_t correlation;
    pd_raft_node to;
    uint64_t since_tick;
};

/* Who answered this leader of late. Raft begins to count anew with every election timeout. */
struct pd_replica_heard {
    uint64_t term;       /* of the lead that it is about */
    uint64_t since_tick; /* of that lead */
    uint64_t since_ns;
    uint32_t count;
    struct pd_replica_heard_member {
        pd_raft_node node;
        uint64_t tick; /* 0: not yet */
        uint64_t at_ns;
    } members[PD_RAFT_MEMBERS_MAX];
};

struct pd_replica {
    struct pd_replica_config config;
    pd_raft_node peers[PD_RAFT_MEMBERS_MAX];
    enum pd_replica_phase phase;
    char text[PD_REPLICA_TEXT_MAX];
    uint64_t now_ns;
    uint64_t wall_ns;
    uint64_t tick;
    struct pd_replica_counters counters;

    struct pd_raft *raft; /* NULL: loading, or restoring without any state */
    void *raft_memory;
    struct pd_kv *kv;
    struct pd_raft_conf conf; /* applied */
    enum pd_raft_role role;
    pd_raft_node leader;
    uint64_t term;

    /* outputs */
    struct pd_replica_queued *queue;
    size_t queue_head;
    size_t queue_count;
    size_t queue_capacity;
    struct pd_replica_bytes arena;

    /* log */
    struct pd_replica_batch gathering;
    uint64_t backlog_bytes; /* of entries that wait in raft behind it */
    struct pd_replica_batch writing;
    bool is_writing;
    uint64_t ticket;
    struct pd_raft_hard_state hard_state; /* the newest */
    bool hard_state_is_due;               /* its commit is newer than what the log was given */
    uint64_t cut_index;

    /* recovery */
    struct pd_replica_recovered *recovered;
    size_t recovered_count;
    size_t recovered_capacity;
    uint64_t mark_index; /* the log begins after it */
    uint64_t mark_term;
    struct pd_raft_conf mark_conf;
    bool has_mark;
    bool is_log_used;
    bool load_waits_for_reset;
    struct pd_replica_store_state store_state;
    struct pd_replica_before before; /* config.is_alone */

    /* apply */
    uint64_t apply_high; /* handed out by raft */
    uint64_t apply_raft; /* told to raft as applied */
    bool is_applying;
    uint64_t applying_term;
    struct pd_replica_bytes applying;
    bool
        /* the change at apply_raft + 1 was given to raft; its bytes wait for the overlay */
        conf_is_made;
    bool conf_is_refused;
    struct pd_replica_bytes conf_bytes;
    bool is_paused; /* waits for rows or for the store */

    /* store */
    bool store_is_writing;
    bool store_is_flushing;
    bool wants_room; /* in the log: the next flush is due at once */
    uint64_t store_writing_index;
    uint64_t store_visible;
    uint64_t store_durable;
    uint32_t fetches_open;
    bool store_is_damaged;
    bool is_verifying; /* the store's rows are read beside everything else, against their hash */

    /* proposals: a ring in order of index */
    struct pd_replica_proposal *proposals;
    uint32_t proposal_head;
    uint32_t proposal_count;
    uint32_t expiries;
    bool is_serving;
    bool disk_is_low;
    bool lacks_descriptors; /* it is not the disk that has no room */
    uint64_t handover_tick;
    struct pd_replica_lead lead; /* that a client asked to hand over */
    struct pd_replica_heard heard;
    uint64_t lead_given_ns; /* the newest state time that this leader gave an entry */
    uint64_t lead_clock_ns; /* and when */
    bool has_seen_time;     /* a command was applied here: */
    uint64_t time_seen_ns;  /* state time that it came to, and when */
    uint64_t time_seen_clock_ns;
    uint32_t proposals_logged; /* of them from the oldest on: in the own log, synced */
    uint32_t proposals_agreed; /* likewise: a majority has them */
    struct pd_replica_large large;
    struct pd_replica_asking asking;
    struct pd_replica_slow slow_told; /* of the SLOW that was given last */
    struct pd_replica_bytes envelope;
    struct pd_kv_command_room room;
    struct pd_replica_sample samples[PD_REPLICA_SAMPLES_MAX];
    uint32_t sample_count;
    int64_t compact_proposed;
    uint64_t conf_index;   /* of the last change of the configuration that was proposed here */
    uint64_t member_index; /* likewise, of the directory or of the cluster's version */
    struct pd_replica_told told[PD_REPLICA_TOLD_MAX];
    struct pd_replica_word word;

    /* reads */
    struct pd_replica_read *reads;
    bool reads_wait;     /* for room */
    uint32_t reads_open; /* places of them that are not free */
    struct pd_replica_read_line lines[PD_REPLICA_READ_STATES];
    uint64_t round;
    bool round_is_open;
    uint64_t round_tick;

    struct pd_replica_transfer transfers[PD_REPLICA_TRANSFERS_MAX];
    struct pd_replica_backup backups[PD_REPLICA_BACKUPS_MAX];
    uint64_t transfer_next;  /* of both */
    pd_raft_node wiped_told; /* the voter without a log that was last told of */
    pd_raft_node newcomer;   /* whom the round under way is for; 0: none */
    uint64_t newcomer_round;
    struct pd_replica_install install;
    uint64_t leader_seen_tick;
    uint32_t heartbeats_ahead; /* of a leader that counts on entries which are not here, in a row */

    struct pd_replica_watches *watches; /* replica_watch.c */

    struct pd_replica_hash hashes[PD_REPLICA_HASHES_MAX];
    struct pd_replica_dispute dispute;
    pd_raft_node odd[PD_RAFT_MEMBERS_MAX]; /* known to differ from the majority, 0: none */

    struct pd_raft_entry *entry_room;
    uint32_t entry_room_max;
    struct pd_raft_wire_room wire_room;
    struct pd_raft_status raft_status; /* scratch: too large for a frame */
};

/* Of the request that is taken up, when it becomes an entry. */
static inline struct pd_replica_timed pd_replica_timed_entry(const struct pd_replica *replica)
{
    struct pd_replica_timed timed = replica->asking.timed;
    timed.logged_ns = 0;
    timed.agreed_ns = 0;
    return timed;
}

/* replica_output.c */
void pd_replica_fatal(struct pd_replica *replica, const char *format, ...) PD_PRINTF(2, 3);
/* Fatal: the store's rows are not what was written. */
void pd_replica_rows_are_damaged(struct pd_replica *replica);
void pd_replica_note(struct pd_replica *replica, const char *format, ...) PD_PRINTF(2, 3);
void pd_replica_say(struct pd_replica *replica, const char *format, ...) PD_PRINTF(2, 3);
struct pd_replica_output *pd_replica_emit(struct pd_replica *replica,
                                          enum pd_replica_output_kind kind);
/* With `size` bytes in the arena: returned to be written before the next emit. */
uint8_t *pd_replica_emit_bytes(struct pd_replica *replica, enum pd_replica_output_kind kind,
                               pd_raft_node node, uint64_t client, uint64_t correlation,
                               size_t size);
uint8_t *pd_replica_emit_frame(struct pd_replica *replica, enum pd_replica_frame kind,
                               pd_raft_node to, size_t size);
void pd_replica_frame_put(const struct pd_replica *replica, enum pd_replica_frame kind,
                          pd_raft_node to, uint8_t *bytes);
void pd_replica_answer(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                       enum pd_replica_outcome outcome, struct pd_span body);
void pd_replica_answer_text(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                            enum pd_replica_outcome outcome, const char *text);
/* Before the answer to a request that was timed: SLOW, if it was. */
void pd_replica_tell_if_slow(struct pd_replica *replica, const struct pd_replica_timed *timed,
                             uint64_t client, uint64_t correlation,
                             enum pd_replica_outcome outcome);
uint8_t *pd_replica_bytes_add(struct pd_replica_bytes *bytes, size_t size);
void *pd_replica_grow(void *array, uint32_t *capacity, uint32_t count, size_t item_size);
void pd_replica_outputs_free(struct pd_replica *replica);

/* replica_log.c */
/* A Ready waits, and may be taken. */
bool pd_replica_log_has_work(const struct pd_replica *replica);
bool pd_replica_log_step(struct pd_replica *replica);
void pd_replica_log_flush(struct pd_replica *replica);
void pd_replica_log_snapshot(struct pd_replica *replica, const struct pd_raft_snapshot_meta *meta);
void pd_replica_log_hard_state(struct pd_replica *replica);
void pd_replica_log_free(struct pd_replica *replica);
void pd_replica_log_cut(struct pd_replica *replica);
/* The log's disk is low: let go of all that the store holds, and have it hold more. */
void pd_replica_make_room(struct pd_replica *replica);

/* replica_recover.c */
void pd_replica_recovered_free(struct pd_replica *replica);
/* The kv is loaded: start raft over it. */
void pd_replica_begin_raft(struct pd_replica *replica);
bool pd_replica_load_step(struct pd_replica *replica);
/* The store that a start found without an applied index is empty now. */
void pd_replica_load_was_reset(struct pd_replica *replica);
/* The rows that a start found, against the set hash: a page at a time, beside everything else. */
void pd_replica_verify_step(struct pd_replica *replica);

/* replica_apply.c */
bool pd_replica_apply_step(struct pd_replica *replica);
bool pd_replica_store_step(struct pd_replica *replica);
bool pd_replica_fetch_step(struct pd_replica *replica);
void pd_replica_conf_save(struct pd_replica *replica, const struct pd_raft_conf *conf);

/* replica_propose.c */
/* A command that can never be applied is answered as its apply would have answered it. */
void pd_replica_answer_error(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                             enum pd_kv_error error);
void pd_replica_write(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                      const struct pd_replica_request_head *head);
void pd_replica_proposals_applied(struct pd_replica *replica, uint64_t index, uint64_t term,
                                  struct pd_span answer, bool is_done);
void pd_replica_proposals_lost(struct pd_replica *replica, uint64_t from_index);
void pd_replica_proposals_tick(struct pd_replica *replica);
/* The own log holds, or a majority does, what lies up to this index. */
void pd_replica_proposals_are_logged(struct pd_replica *replica, uint64_t index);
void pd_replica_proposals_are_agreed(struct pd_replica *replica, uint64_t index);
void pd_replica_lead_step(struct pd_replica *replica);
uint64_t pd_replica_state_time(const struct pd_replica *replica);
/* An entry that carries it is in the log. */
void pd_replica_state_time_given(struct pd_replica *replica);
/* What has passed since the time of the applied state, as far as this node knows: a step at
 * most. */
uint64_t pd_replica_since_state_time(const struct pd_replica *replica);
/* A command was applied. */
void pd_replica_state_time_seen(struct pd_replica *replica);
void pd_replica_propose_own(struct pd_replica *replica, enum pd_replica_proposal_kind kind,
                            struct pd_span command);
/* A command of the directory, under `proposal`, whose index is set. PD_OK, or as raft says. */
PD_NODISCARD enum pd_status pd_replica_propose_member(struct pd_replica *replica,
                                                      const struct pd_kv_command *command,
                                                      struct pd_replica_proposal *proposal);
bool pd_replica_wait_for(struct pd_replica *replica, const struct pd_replica_proposal *proposal);
void pd_replica_duties_tick(struct pd_replica *replica);
/* A bound is reached: what would be proposed now is refused. */
bool pd_replica_is_crowded(const struct pd_replica *replica);
/* As pd_replica_write, for a command that has waited in front of the log. */
void pd_replica_write_now(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                          const struct pd_replica_request_head *head);

/* replica_large.c */
void pd_replica_large_init(struct pd_replica *replica);
void pd_replica_large_free(struct pd_replica *replica);
/* What the command is going to take, as far as is known. */
struct pd_replica_cost pd_replica_large_cost(const struct pd_replica *replica, uint64_t client,
                                             const struct pd_replica_request_head *head,
                                             const struct pd_kv_command *command);
/* Whether it may be proposed at once. */
bool pd_replica_large_may_go(const struct pd_replica *replica, const struct pd_replica_cost *cost);
/* It waits for its turn. false: too much does, or there is no memory. */
bool pd_replica_large_wait(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                           const struct pd_replica_request_head *head,
                           const struct pd_replica_cost *cost);
/* A proposal has begun, or is over. */
void pd_replica_large_began(struct pd_replica *replica, const struct pd_replica_cost *cost);
void pd_replica_large_ended(struct pd_replica *replica, const struct pd_replica_cost *cost);
/* The answer to it, one of kv/answer.h. */
void pd_replica_large_learn(struct pd_replica *replica, const struct pd_replica_cost *cost,
                            struct pd_span answer);
/* Those whose turn it is. */
void pd_replica_large_step(struct pd_replica *replica);
void pd_replica_large_tick(struct pd_replica *replica);
void pd_replica_large_client_gone(struct pd_replica *replica, uint64_t client);
void pd_replica_large_check(const struct pd_replica *replica);

/* replica_heard.c */
/* With every tick of a lead. */
void pd_replica_heard_tick(struct pd_replica *replica);
/* At a leader: whether the member answered lately. */
bool pd_replica_answers(const struct pd_replica *replica,
                        const struct pd_raft_member_status *member);
/* Whether the lead is old enough for silence to mean something. */
bool pd_replica_heard_long(const struct pd_replica *replica);
/* Whether what a member lacks below `commit` is little. */
bool pd_replica_is_near(const struct pd_replica *replica, uint64_t commit,
                        const struct pd_raft_member_status *member);
/* The answer to HEARD. */
void pd_replica_heard_answer(struct pd_replica *replica, uint64_t client, uint64_t correlation);

/* replica_members.c */
/* It is out of the configuration: now out of the directory, for who waits for both. */
void pd_replica_left(struct pd_replica *replica, const struct pd_replica_proposal *left);

/* replica_read.c */
/* Rounds of reads are numbered apart from those of this node's former lives: a late answer to one
 * of them must not confirm a read of now (etcd#20418). */
uint64_t pd_replica_first_round(const struct pd_replica *replica);
void pd_replica_reads_init(struct pd_replica *replica);
void pd_replica_read(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                     const struct pd_replica_request_head *head);
void pd_replica_read_ready(struct pd_replica *replica, const struct pd_raft_read *read);
bool pd_replica_read_step(struct pd_replica *replica);
void pd_replica_reads_tick(struct pd_replica *replica);
/* State is going away: every read is answered NOT_READY. */
void pd_replica_reads_drop(struct pd_replica *replica);

/* replica_lead.c */
/* A client wants the lead to go to a node, 0: to who is best prepared. It is answered when it has
 * gone there, or will not. */
void pd_replica_lead_ask(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                         pd_raft_node to);
/* Each tick, whoever leads. */
void pd_replica_lead_follow(struct pd_replica *replica);
/* A leader's duty: it hands over when its disk is nearly full. */
void pd_replica_lead_tick(struct pd_replica *replica);

/* replica_members.c */
/* Why a command for the directory may not be proposed, or not now; NULL: it may. */
const char *pd_replica_directory_objection(const struct pd_replica *replica,
                                           const struct pd_kv_command *command,
                                           enum pd_replica_outcome *outcome_out);
/* A leader's duties: first members that the directory never heard of; learners that have caught up.
 */
void pd_replica_members_tick(struct pd_replica *replica);
/* The answer to MEMBERS. false: no memory. */
bool pd_replica_members_answer(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                               bool with_about);
void pd_replica_member(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                       const struct pd_replica_request_head *head);

/* replica_version.c */
/* The kv cannot follow the cluster's version: this node is ended. false: it can. */
bool pd_replica_version_stops(struct pd_replica *replica);
void pd_replica_version_message(struct pd_replica *replica, pd_raft_node from, struct pd_span body);
void pd_replica_version_lost(struct pd_replica *replica, pd_raft_node node);
void pd_replica_version_tick(struct pd_replica *replica);

/* replica_word.c */
/* A message of a leader has come. */
void pd_replica_word_heard(struct pd_replica *replica);
void pd_replica_word_tick(struct pd_replica *replica);
void pd_replica_word_message(struct pd_replica *replica, pd_raft_node from, struct pd_span body);
void pd_replica_word_free(struct pd_replica *replica);

/* replica_snapshot.c */
/* raft_term, raft_session: of raft's own message, if it is raft that asks. */
void pd_replica_transfer_begin(struct pd_replica *replica, pd_raft_node to, bool is_for_raft,
                               uint64_t raft_term, uint64_t raft_session);
void pd_replica_transfer_ack(struct pd_replica *replica, pd_raft_node from, struct pd_span body);
void pd_replica_transfers_tick(struct pd_replica *replica);
void pd_replica_transfers_free(struct pd_replica *replica);
/* The state goes away: every transfer ends. */
void pd_replica_transfers_stop(struct pd_replica *replica);
/* Nothing is under way at the store for any of them. */
bool pd_replica_transfers_are_over(const struct pd_replica *replica);
/* The log must go on right behind this index, for those who are sent a snapshot; UINT64_MAX: no
 * matter. */
uint64_t pd_replica_transfers_hold(const struct pd_replica *replica);
void pd_replica_want(struct pd_replica *replica, pd_raft_node from, struct pd_span body);
/* The round for whom asked without a log is over: this node led after it had asked. */
void pd_replica_newcomer_ready(struct pd_replica *replica, uint64_t context);
bool pd_replica_is_voter(const struct pd_raft_conf *conf, pd_raft_node node);
bool pd_replica_is_member(const struct pd_raft_conf *conf, pd_raft_node node);
/* Whether a row of the store goes into a snapshot's chunks: not those of the head, nor the store's
 * own. */
bool pd_replica_row_travels(struct pd_span key);

/* What a snapshot says at its beginning: what the kv says of itself at the view's index, and the
 * configuration of then. `page` holds the rows from 'm' on. false: the store's own account of its
 * state is damaged. Spans are borrowed from the page and `room`. */
bool pd_replica_snapshot_head(struct pd_replica *replica, const struct pd_store_page *page,
                              uint64_t index, uint8_t room[PD_RAFT_WIRE_CONF_SIZE_MAX],
                              struct pd_snapshot_head *head_out, struct pd_raft_conf *conf_out);
/* The rows of a page that travel, one behind the other at `rows`, which has room for all: their
 * count. *last_out: the last key, travelling or not. */
uint32_t pd_replica_snapshot_rows_copy(const struct pd_store_page *page, uint8_t *rows,
                                       size_t *size_out, struct pd_span *last_out);

/* replica_backup.c */
void pd_replica_backup(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                       const struct pd_replica_request_head *head);
void pd_replica_backup_end(struct pd_replica *replica, uint64_t client, uint64_t number);
void pd_replica_backups_client_gone(struct pd_replica *replica, uint64_t client);
void pd_replica_backups_step(struct pd_replica *replica);
void pd_replica_backups_tick(struct pd_replica *replica);
/* As for transfers. */
void pd_replica_backups_stop(struct pd_replica *replica);
bool pd_replica_backups_are_over(const struct pd_replica *replica);
void pd_replica_backups_free(struct pd_replica *replica);
/* false: it is none of theirs. */
bool pd_replica_backup_opened(struct pd_replica *replica, uint64_t id, enum pd_status status,
                              uint64_t index);
bool pd_replica_backup_rows(struct pd_replica *replica, uint64_t id, enum pd_status status,
                            const struct pd_store_page *page);

/* replica_install.c */
#define PD_REPLICA_CHUNK_ACK_SIZE 17u
enum pd_replica_chunk_answer {
    PD_REPLICA_CHUNK_TAKEN = 1, /* all chunks below `next` are in the store */
    PD_REPLICA_CHUNK_AGAIN = 2, /* the same, and one behind it was damaged or is missing */
    PD_REPLICA_CHUNK_WORKING = 3,
    PD_REPLICA_CHUNK_DONE = 4,   /* installed, or not needed */
    PD_REPLICA_CHUNK_REFUSED = 5 /* it will not be taken: end it */
};
#define PD_REPLICA_WANT_SIZE 9u
/* Rounds for a newcomer, told from those for reads. */
#define PD_REPLICA_NEWCOMER_ROUND (UINT64_C(1) << 63)
#define PD_REPLICA_WANT_HAS_LOG 1u /* what the node once promised is in its log */
void pd_replica_chunk(struct pd_replica *replica, pd_raft_node from, struct pd_span body);
void pd_replica_install_tick(struct pd_replica *replica);
bool pd_replica_install_step(struct pd_replica *replica);
void pd_replica_install_written(struct pd_replica *replica);
void pd_replica_install_flushed(struct pd_replica *replica, uint64_t durable_index);
/* A snapshot's record is durable in the log. */
void pd_replica_install_logged(struct pd_replica *replica);
/* The store could not give the rows that are to be judged. */
void pd_replica_install_unreadable(struct pd_replica *replica);
void pd_replica_install_free(struct pd_replica *replica);
/* Those that this node knows of: who spoke as a leader, the configuration, those of config.peers.
 * Their count. */
#define PD_REPLICA_KNOWN_MAX (1u + 3u * PD_RAFT_MEMBERS_MAX)
uint32_t pd_replica_known(const struct pd_replica *replica,
                          pd_raft_node nodes[PD_REPLICA_KNOWN_MAX]);
/* Those of `more` that are not there yet, but for the own one. */
void pd_replica_add_nodes(pd_raft_node *nodes, uint32_t *count, const pd_raft_node *more,
                          uint32_t more_count, pd_raft_node own);
/* There is no state, or none that the log goes on from: fetch one. */
void pd_replica_restore(struct pd_replica *replica);

/* replica_watch.c: watches over the kv's hub */
PD_NODISCARD enum pd_status pd_replica_watch_open(struct pd_replica *replica);
void pd_replica_watch_free(struct pd_replica *replica);
void pd_replica_watch(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                      const struct pd_replica_request_head *head);
void pd_replica_unwatch(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                        const struct pd_replica_request_head *head);
void pd_replica_watch_credit(struct pd_replica *replica, uint64_t client, uint64_t correlation,
                             const struct pd_replica_request_head *head);
/* After each applied entry: its events (pd_kv_take_events) go to whom they concern. */
void pd_replica_watch_applied(struct pd_replica *replica);
/* A bounded slice of catching up and handing out. true: there is more. */
bool pd_replica_watch_step(struct pd_replica *replica);
void pd_replica_watch_tick(struct pd_replica *replica);
void pd_replica_watch_client_gone(struct pd_replica *replica, uint64_t client);
/* State is going away (a snapshot is installed): every watch is cancelled. */
void pd_replica_watches_drop(struct pd_replica *replica);

/* replica_hash.c */
void pd_replica_hash_applied(struct pd_replica *replica);
void pd_replica_hash_tick(struct pd_replica *replica);
void pd_replica_hash_message(struct pd_replica *replica, pd_raft_node from, struct pd_span body);
/* Another history begins: what was remembered of the old one says nothing any more. */
void pd_replica_hash_forget(struct pd_replica *replica);

#endif
