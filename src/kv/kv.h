/* kv - the store's state machine: etcd v3's revisions, ranges, transactions, leases; sessions;
 * hashes. Pure: no I/O or clock; memory is taken at open, and within configured bounds for
 * answers and reads.
 *
 * Model      Committed entries come in by index, one at a time; each is a resumable machine
 *            (begin, step) that never does more than a bounded amount of work in one step. Rows
 *            are kept as an ordered multi-version map in a store that lags: an overlay in memory
 *            holds the rows that the store does not show yet. Rows that a command needs and that
 *            are not in memory are asked for with fetches. Reads see one revision throughout;
 *            rows of an unfinished command carry a revision that no read looks at.
 * Rows       'x' key ~revision ~sub : one version of one key     'h' revision sub : its key and
 *            what it replaced, for history and for the removal of compacted rows
 *            'a' lease key : attachment     'l' lease     's' session     't' session slot :
 *            stored answer     'k' node : member, or when it was removed     'v' : the cluster's
 *            version, from the second on
 *            'm' : revision, compaction, state time, hashes, applied index and term     'r' :
 *            raft configuration; nothing stands between these two, which begin a snapshot
 *            'c' : how far removal of compacted rows has come (of this store alone, not replicated)
 * Order      Of a batch from pd_kv_take_writes everything becomes visible at once. Batches in
 *            order.
 * Ownership  One thread owns a pd_kv. pd_kv_get_hot alone may be called by any thread.
 * Bounds     struct pd_kv_config. Full is PD_KV_FULL or a status, never growth. */
#ifndef PD_KV_KV_H
#define PD_KV_KV_H

#include "base/store.h"
#include "kv/answer.h"
#include "kv/command.h"
#include "kv/member.h"

struct pd_kv;

struct pd_kv_config {
    struct pd_kv_limits limits;
    /* Equal on all replicas, as the limits. */
    uint32_t answer_bytes_max; /* of one command */
    uint32_t leases_max;
    int64_t lease_ttl_min_s; /* shorter ones are raised */
    uint32_t sessions_max;
    uint32_t session_window_max; /* commands in flight or unacknowledged */
    uint64_t session_duration_max_ns;
    uint32_t session_answer_bytes_max; /* stored for one session; beyond: commands are refused */
    uint64_t answers_bytes_max;        /* stored for all */
    uint64_t state_time_step_max_ns;   /* of one command */
    /* Of this node alone. */
    uint64_t overlay_bytes; /* >= 4 * (request_bytes_max + 2 * key_bytes_max + 8 KiB), and room for
                               a command's end: pd_kv_open refuses less */
    uint64_t cache_bytes;
    uint64_t seen_bytes;     /* to know that a key is new: two for each key, about; 0: never */
    uint32_t reads_max;      /* at once */
    uint32_t histories_max;  /* pages of history at once, beside the reads: 1 to 64 */
    uint32_t read_bytes_max; /* of one read's answer */
    /* Of all open reads' answers, with what pd_kv_reads_away told; at least read_bytes_max. The
     * read that became large first may go beyond by read_bytes_max, and does not wait for what
     * clients have not taken. */
    uint64_t reads_bytes_max;
    uint32_t small_read_bytes; /* a read that holds more is large: reads_max / 8 at once may be */
    uint32_t prefetch_max;
    uint32_t page_bytes;       /* asked for with a fetch of many rows */
    uint32_t large_page_bytes; /* likewise, by a read that is known to be large */
    uint32_t events_max;       /* of one command; more: is_cut */
    uint32_t event_bytes_max;  /* of previous records kept for events */
    uint32_t writes_max;       /* rows of one batch, about */
    uint64_t hash_seed;        /* of tables only: never shows */
    uint32_t version_max;      /* how far this node can follow the cluster: version.h */
};
struct pd_kv_config pd_kv_config_default(void);

/* PD_ERR_INVALID: the configuration contradicts itself; PD_ERR_NO_MEMORY. The state is that of an
 * empty store. */
PD_NODISCARD enum pd_status pd_kv_open(const struct pd_kv_config *config, struct pd_kv **kv_out);
void pd_kv_close(struct pd_kv *kv);

/* How a machine stands after a step. */
enum pd_kv_progress {
    PD_KV_DONE = 0,
    PD_KV_MORE,  /* the budget is spent: serve other events, then step again */
    PD_KV_FETCH, /* waits for rows: hand out pd_kv_next_fetch; step again after pd_kv_supply */
    PD_KV_FULL,  /* waits for the store: the overlay is full; step again after pd_kv_written */
    PD_KV_FAILED /* load and verify: the rows are not to be trusted. load and apply: or the cluster
                    is of a version that this node cannot follow; pd_kv_status tells which one.
                    Nothing goes on here, and nothing was written */
};

/* -- Rows that are wanted
 * ------------------------------------------------------------------------ */

struct pd_kv_fetch {
    uint32_t id;
    struct pd_span low; /* borrowed until it is supplied or cancelled */
    struct pd_span high;
    bool descending;
    bool is_urgent;    /* the loop's apply waits for it */
    uint32_t rows_max; /* 0: as many as fit */
    size_t bytes_max; /* advice for the page; when the first row does not fit, scan again: a page of
                           pd_kv_row_bytes_max() */
};
/* The next fetch that was not handed out yet. */
bool pd_kv_next_fetch(struct pd_kv *kv, struct pd_kv_fetch *fetch_out);
/* The rows of a fetch, from any state of the store that is not older than when it was handed out.
 * PD_ERR_UNKNOWN: no such fetch (it was cancelled). PD_ERR_CORRUPT: the rows are not what was
 * written: the store is damaged. */
PD_NODISCARD enum pd_status pd_kv_supply(struct pd_kv *kv, uint32_t id,
                                         const struct pd_store_page *page);
size_t pd_kv_row_bytes_max(const struct pd_kv *kv);

/* -- Start
 * --------------------------------------------------------------------------------------- */

/* Take up what the store holds: meta, leases, sessions. Step until DONE, then pd_kv_status tells
 * the applied index from which the log goes on. FAILED: the rows contradict themselves. Called on
 * a fresh kv, and again after a snapshot has been installed in the store: everything in memory is
 * dropped first (no command may be under way, reads are cancelled). */
void pd_kv_load_begin(struct pd_kv *kv);
enum pd_kv_progress pd_kv_load_step(struct pd_kv *kv, uint32_t budget);
/* Recompute the set hash from the rows at the revision of now, beside everything else. FAILED: it
 * differs from what was maintained: the store is damaged or the replicas diverged. A compaction
 * past that revision restarts it. */
void pd_kv_verify_begin(struct pd_kv *kv);
enum pd_kv_progress pd_kv_verify_step(struct pd_kv *kv, uint32_t budget);

/* -- Apply
 * --------------------------------------------------------------------------------------- */

/* The next committed entry. index must be the applied index + 1. The envelope stays valid until
 * DONE. An envelope that does not decode is answered PD_KV_ERR_MALFORMED and changes nothing. */
void pd_kv_apply_begin(struct pd_kv *kv, uint64_t index, uint64_t term, struct pd_span envelope);
/* budget: rows looked at or written, about; 0 is taken as 1. */
enum pd_kv_progress pd_kv_apply_step(struct pd_kv *kv, uint32_t budget);
/* An entry without a command (a new leader's empty one). PD_ERR_FULL: the overlay is full; again
 * later. */
PD_NODISCARD enum pd_status pd_kv_apply_empty(struct pd_kv *kv, uint64_t index, uint64_t term);
/* An entry that changed the raft configuration: `conf` (at most 4 KiB) is kept as given, in the
 * same batch. */
PD_NODISCARD enum pd_status pd_kv_apply_conf(struct pd_kv *kv, uint64_t index, uint64_t term,
                                             struct pd_span conf);
/* The raft configuration of the applied index; empty: none was ever given. Borrowed until the
 * next apply. */
struct pd_span pd_kv_conf(const struct pd_kv *kv);

/* What the last finished command came to. Borrowed until the next apply_begin. */
struct pd_kv_applied {
    uint64_t index;
    uint64_t session_id; /* as in the envelope */
    uint64_t sequence;
    bool is_repeat;        /* a retry: the answer is the first one's */
    struct pd_span answer; /* answer.h */
};
void pd_kv_applied(const struct pd_kv *kv, struct pd_kv_applied *applied_out);

/* Name the rows that an envelope at the log's end will need, so that they are fetched while its log
 * write is in flight. A hint: it never fails and promises nothing. */
void pd_kv_prefetch(struct pd_kv *kv, struct pd_span envelope);

/* -- Events, for watchers
 * ------------------------------------------------------------------------ */

struct pd_kv_event {
    bool is_delete;
    uint32_t sub;
    struct pd_kv_record record; /* of a delete: key and mod_revision */
    bool has_previous;
    bool previous_known; /* else it must be read through history, by who wants it */
    struct pd_kv_record previous;
};
struct pd_kv_events {
    int64_t revision; /* 0: the command wrote nothing */
    const struct pd_kv_event *events;
    uint32_t count;
    bool is_cut; /* the revision has more events than are held here: read them through history */
};
/* Of the last finished command, in the order of sub. Borrowed until the next call of
 * pd_kv_apply_*, pd_kv_written or pd_kv_supply. Given once. */
void pd_kv_take_events(struct pd_kv *kv, struct pd_kv_events *events_out);

/* -- Reads
 * --------------------------------------------------------------------------------------- */

/* Each read holds a slot until pd_kv_read_end. PD_ERR_FULL: reads_max are open. A read sees the
 * applied revision of its begin (or the one it names). Errors of the request are in its answer. */
PD_NODISCARD enum pd_status pd_kv_read_range(struct pd_kv *kv, const struct pd_kv_range *range,
                                             uint32_t *read_out);
/* Time to live of a lease, and its keys: `answer.h` LEASE_KEYS. since_ns: what has passed since the
 * applied state's time, as far as the caller knows. */
PD_NODISCARD enum pd_status pd_kv_read_lease(struct pd_kv *kv, int64_t lease, uint64_t since_ns,
                                             bool with_keys, uint32_t *read_out);
/* All ids, the one that is due first first. */
PD_NODISCARD enum pd_status pd_kv_read_leases(struct pd_kv *kv, uint32_t *read_out);
/* Events from (revision, sub) on, until they have used `bytes_max`; at least one if there is one.
 * When it ends before all were given, the next position is that of an event. Records of several
 * events are fetched at once. PD_ERR_FULL: histories_max are open. */
PD_NODISCARD enum pd_status pd_kv_read_history(struct pd_kv *kv, int64_t revision, uint32_t sub,
                                               size_t bytes_max, uint32_t *read_out);
enum pd_kv_progress pd_kv_read_step(struct pd_kv *kv, uint32_t read, uint32_t budget);
/* After DONE. Borrowed until pd_kv_read_end. */
struct pd_span pd_kv_read_answer(const struct pd_kv *kv, uint32_t read);

struct pd_kv_history {
    enum pd_kv_error error;           /* COMPACTED: begin anew, tell the watcher */
    const struct pd_kv_event *events; /* record.mod_revision tells each one's revision */
    uint32_t count;
    int64_t next_revision; /* where to go on */
    uint32_t next_sub;
    int64_t
        seen_revision; /* everything up to here, and it was the applied revision, has been given;
                              0: there is more to read */
};
void pd_kv_read_history_result(const struct pd_kv *kv, uint32_t read,
                               struct pd_kv_history *history_out);
void pd_kv_read_end(struct pd_kv *kv, uint32_t read);

/* Bytes of answers. Small reads always go on. One that grows large needs room among
 * reads_bytes_max, and there are few of them at once: till then its steps are PD_KV_FULL. */

/* It waits to become large, and has nothing worth keeping: end it, and begin it again with
 * pd_kv_read_admit when pd_kv_reads_have_room. */
bool pd_kv_read_is_turned_away(const struct pd_kv *kv, uint32_t read);
/* Another large read may begin. */
bool pd_kv_reads_have_room(const struct pd_kv *kv);
/* It may become large, though others are in line. */
void pd_kv_read_admit(struct pd_kv *kv, uint32_t read);
/* Whether large reads are in line outside: no other one begins before them. */
void pd_kv_reads_line(struct pd_kv *kv, bool is_line);
/* Bytes of answers that were taken from here and still take memory; `unread`: those of them that
 * wait for their clients, who may never take them. The first large read does not wait for these. */
void pd_kv_reads_away(struct pd_kv *kv, uint64_t bytes, uint64_t unread);

/* A current record from memory, by any thread, without a lock. PD_OK: value and record are
 * written; keys and values are copied into `room`. PD_ERR_UNKNOWN: known not to exist.
 * PD_ERR_RANGE: not in memory here: ask the loop. The caller has made sure before that the
 * applied state is as new as it must be. */
PD_NODISCARD enum pd_status pd_kv_get_hot(const struct pd_kv *kv, struct pd_span key, uint8_t *room,
                                          size_t room_max, struct pd_kv_record *record_out);

/* -- Writes for the store
 * ------------------------------------------------------------------------ */

struct pd_kv_batch {
    const struct pd_store_write *writes; /* borrowed until pd_kv_written */
    size_t count;
    uint64_t
        index; /* applied index; equal to the batch before when only background rows are in it */
};
/* Everything finished since the last batch, up to writes_max rows; of a command that waits for room
 * what it has written so far. false: nothing to write, or a batch is under way. After a crash the
 * store may hold some rows of the command behind its applied index: they are hidden, and applying
 * that command comes to the same as if they were not there. */
bool pd_kv_take_writes(struct pd_kv *kv, struct pd_kv_batch *batch_out);
/* The batch that was taken is visible in the store. */
void pd_kv_written(struct pd_kv *kv);
/* How many of a row's first bytes name the key of which it is a version; 0: it is no 'x' row. A
 * store may know them as one group: one version is looked for among those of its key. */
size_t pd_kv_row_group_size(struct pd_span row);
/* Bytes that the overlay can still take. A leader refuses proposals when little is left. */
uint64_t pd_kv_overlay_room(const struct pd_kv *kv);

/* Background work in bounded steps, to be called whenever there is time and at least once per
 * batch: the removal of compacted rows, and of attachments that a very large command left.
 * DONE: none now; FETCH, FULL: as for apply. */
enum pd_kv_progress pd_kv_background_step(struct pd_kv *kv, uint32_t budget);

/* -- What it is
 * ---------------------------------------------------------------------------------- */

struct pd_kv_hash {
    uint64_t low;
    uint64_t high;
};
struct pd_kv_status {
    uint64_t applied_index;
    uint64_t applied_term;
    int64_t revision;
    int64_t compacted_revision; /* reads below it are refused */
    int64_t compact_done;       /* rows below it are removed here */
    uint64_t state_time_ns;
    uint64_t wall_ns;
    uint64_t fold_hash;         /* every command's effect and answer */
    struct pd_kv_hash set_hash; /* all live keys, leases, sessions */
    uint64_t visible_index;     /* in the store */
    uint32_t lease_count;
    uint32_t session_count;
    uint64_t key_count; /* live */
    uint64_t overlay_used;
    uint64_t answers_bytes;
    uint64_t reads_held;     /* bytes, by open reads */
    bool is_applying;        /* a command is under way */
    uint32_t version;        /* of the cluster */
    uint32_t wanted_version; /* after FAILED: of the cluster, and beyond version_max; 0: not so */
};
void pd_kv_status(const struct pd_kv *kv, struct pd_kv_status *status_out);
/* What a session keeps of answers, of the applied state; 0 if there is none of this id. */
uint64_t pd_kv_session_answers_bytes(const struct pd_kv *kv, uint64_t id);
/* Its applied_index alone, and its state_time_ns. */
uint64_t pd_kv_applied_index(const struct pd_kv *kv);
uint64_t pd_kv_state_time(const struct pd_kv *kv);
/* The last revision that was applied. */
int64_t pd_kv_revision(const struct pd_kv *kv);

/* The next deadline in state time, UINT64_MAX when there is none. When the leader's state time
 * has reached it, it proposes what pd_kv_expiry_command writes: one lease or session that is due
 * at `state_time_ns`, in the order of (deadline, id). `skip` of them, at most 4096, are passed over
 * (they are proposed already). false: none is due. */
uint64_t pd_kv_next_deadline_ns(const struct pd_kv *kv);
bool pd_kv_expiry_command(const struct pd_kv *kv, uint64_t state_time_ns, uint32_t skip,
                          struct pd_kv_writer *writer);

/* -- Members
 * ---------------------------------------------------------------------------------- */

#define PD_KV_MEMBERS_MAX 64u           /* equal on all replicas; so is the next */
#define PD_KV_MEMBERS_REMOVED_MAX 1024u /* that are remembered */

enum pd_kv_member_standing {
    PD_KV_MEMBER_UNKNOWN = 0,
    PD_KV_MEMBER_LIVE,
    PD_KV_MEMBER_REMOVED
};
/* Of the applied state. Only LIVE writes more than the node id. Its spans are borrowed until the
 * next apply. */
enum pd_kv_member_standing pd_kv_member_find(const struct pd_kv *kv, uint64_t node,
                                             struct pd_kv_member *member_out);
/* The live member with the least id beyond `after`; false: there is none. */
bool pd_kv_member_next(const struct pd_kv *kv, uint64_t after, struct pd_kv_member *member_out);
/* A live member of that name other than `but`; 0: there is none, or the name is empty. */
uint64_t pd_kv_member_named(const struct pd_kv *kv, struct pd_span name, uint64_t but);
/* The removed node with the least id beyond `after`, of those that are remembered; 0: there is
 * none. */
uint64_t pd_kv_member_next_removed(const struct pd_kv *kv, uint64_t after);
/* true: as many removed nodes are remembered as can be, so that one which is UNKNOWN may have been
 * removed as well. */
bool pd_kv_members_may_have_forgotten(const struct pd_kv *kv);
/* Another number whenever a member may have changed. */
uint64_t pd_kv_members_version(const struct pd_kv *kv);

/* What a meta row (key "m") says of the state that it belongs to. false: it is none. */
bool pd_kv_meta_row(struct pd_span row, uint64_t *index_out, uint64_t *term_out);

/* Every invariant that can be seen without the store; asserts. */
void pd_kv_check(const struct pd_kv *kv);

#endif
