/* internal - what the files of kv share: rows, scans, tables and the machine's own structure.
 * Private to kv. */
#ifndef PD_KV_INTERNAL_H
#define PD_KV_INTERNAL_H

#include "base/table.h"
#include "kv/cache.h"
#include "kv/codec.h"
#include "kv/collect.h"
#include "kv/deadlines.h"
#include "kv/kv.h"
#include "kv/overlay.h"
#include "kv/raise.h"
#include "kv/seen.h"
#include "kv/session_window.h"
#include "kv/version.h"

#define PD_KV_SUB_LAST UINT32_MAX
#define PD_KV_X_TAIL 12u /* ~revision, ~sub behind an 'x' row's key */
#define PD_KV_CONF_MAX 4096u
#define PD_KV_NEVER_COMPACTED (-1) /* as in etcd: the first compaction may be at 0 */
#define PD_KV_SECOND_NS UINT64_C(1000000000)
#define PD_KV_SLOT_APPLY 0u
#define PD_KV_SLOT_LOAD 1u
#define PD_KV_SLOT_VERIFY 2u
#define PD_KV_SLOT_SWEEP 3u
#define PD_KV_SLOT_READS 4u /* then reads_max of them, then those of history, then prefetches */
#define PD_KV_HISTORIES_MAX 64u
#define PD_KV_HISTORY_LANES 8u
#define PD_KV_HISTORY_SLOTS (1u + PD_KV_HISTORY_LANES) /* of one page: 'h' rows, then its lanes */

#define PD_KV_LEFT_BYTES 4096u /* of attachments that one command removes by itself */
#define PD_KV_EXPIRY_SKIP_MAX 4096u
#define PD_KV_PUBLISHED_MAX 64u /* records of one command that it brings to the cache */

/* One row, taken apart. */
struct pd_kv_row {
    struct pd_kv_found found; /* record.version 0: a tombstone */
};

/* What an 'h' row tells beside its key: what was written there, what that replaced and what it
 * left behind. So old rows are removed without looking for them. */
struct pd_kv_trace {
    struct pd_span key;
    int64_t revision;
    uint32_t sub;
    int64_t replaced_revision; /* the version before, if it lived; 0: none */
    uint32_t replaced_sub;
    int64_t left_lease; /* the key was attached to it and is not any more; 0: none */
    bool is_delete;
};

/* The rows of one revision, by sub, from overlay and store. */
struct pd_kv_walk {
    int64_t revision;
    uint32_t at;
    uint32_t end;
};

/* A place in the rows, as a growing row key. */
struct pd_kv_place {
    uint8_t *bytes; /* row_key_max */
    size_t size;
};

/* Records of [at, end) at one (revision, sub), in key order, page by page. */
struct pd_kv_scan {
    struct pd_kv_place at;
    struct pd_kv_place end;  /* empty: the end of all 'x' rows */
    struct pd_kv_place done; /* the escaped key that was decided last */
    int64_t revision;
    uint32_t sub;
    bool is_open;
    bool is_complete;
};

enum pd_kv_slot_state {
    PD_KV_SLOT_FREE = 0,
    PD_KV_SLOT_QUEUED,
    PD_KV_SLOT_OUT
};
struct pd_kv_slot {
    enum pd_kv_slot_state state;
    uint32_t generation;
    uint32_t before; /* in the list of its state; PD_KV_SLOT_NONE: none */
    uint32_t after;
    struct pd_kv_place low;
    struct pd_kv_place high;
    uint32_t rows_max;
    uint64_t mark;          /* overlay position from which rows may be unknown to it */
    struct pd_kv_place key; /* prefetch: the user's key */
};

#define PD_KV_SLOT_NONE UINT32_MAX
/* Slots of one state, in the order in which they came to it. */
struct pd_kv_slot_list {
    uint32_t first;
    uint32_t last;
};

/* What ends at a deadline, and is an item of `deadlines` under (deadline, id). */
struct pd_kv_timed {
    uint64_t deadline_ns;
    uint64_t id;
    uint32_t item;    /* of a lease: its slot; of a session: leases_max and its slot */
    uint32_t live_at; /* its place among the live ones: lease_free, session_free */
    bool is_session;
};
struct pd_kv_lease {
    struct pd_table_node node;
    struct pd_kv_timed timed;
    int64_t ttl_s;
};
struct pd_kv_session {
    struct pd_table_node node;
    struct pd_kv_timed timed;
    uint64_t duration_ns;
    uint64_t low;
    uint64_t answers_bytes;
    uint32_t window;
    struct pd_kv_stored *stored; /* window of them, by sequence % window */
};

struct pd_kv_member_row {
    uint64_t node;
    uint64_t removed_index; /* 0: it is live */
    uint32_t size;
    uint8_t *bytes; /* owned; NULL: none */
};
/* By node id. */
struct pd_kv_members {
    struct pd_kv_member_row *rows;
    uint32_t count;
    uint32_t live;
    uint64_t version;
};
#define PD_KV_MEMBER_ROW_MAX (PD_KV_MEMBER_BYTES_MAX + PD_VARINT_SIZE_MAX)

struct pd_kv_meta {
    uint64_t index;
    uint64_t term;
    int64_t revision;
    int64_t compacted;
    uint64_t state_time_ns;
    uint64_t wall_ns;
    uint64_t fold;
    struct pd_kv_hash keys_hash;
    struct pd_kv_hash tables_hash; /* leases, sessions and members */
    uint64_t key_count;
    uint64_t extended_ns; /* when every lease and session got its whole time again */
    uint32_t left_subs;   /* rows of this revision whose attachments are still to be removed */
    uint32_t version;     /* of the cluster; in a row of its own ('v'), FIRST in none */
};

enum pd_kv_phase {
    PD_KV_PHASE_IDLE = 0,
    PD_KV_PHASE_BEGIN,
    PD_KV_PHASE_SELECT, /* which branches */
    PD_KV_PHASE_CHECK,
    PD_KV_PHASE_RUN,
    PD_KV_PHASE_REVOKE, /* keys of a lease */
    PD_KV_PHASE_EXTEND,
    PD_KV_PHASE_UNDO,  /* the answer is too large: its rows go again */
    PD_KV_PHASE_DRAIN, /* until the store shows that they are gone */
    PD_KV_PHASE_FINISH
};

struct pd_kv_apply {
    enum pd_kv_phase phase;
    uint64_t index;
    uint64_t term;
    struct pd_span bytes;
    struct pd_kv_envelope envelope;
    struct pd_kv_command command;
    struct pd_kv_command_room room;
    struct pd_kv_session *session; /* whose answer is stored or repeated */
    struct pd_kv_session *touched; /* renewed, without an answer that carries it to the store */
    int64_t lease_row;             /* whose row changes with this command; 0: none */
    uint64_t session_row;
    uint32_t session_row_window;
    uint64_t member_row;      /* likewise */
    uint64_t member_row_gone; /* forgotten by it; 0: none */
    uint8_t *attachments;     /* rows to put or delete at the end: kind u8, size u32, row key */
    size_t attachments_max;
    size_t attachments_size;
    uint64_t attachments_room; /* what they take in the overlay */
    size_t left_bytes;         /* deletions among them */
    bool left_many;            /* more than fit: they are removed afterwards */
    struct pd_kv_walk walk;
    enum pd_kv_error error;
    enum pd_kv_answer_kind kind;
    bool is_repeat;
    bool is_blocked; /* the overlay is full */
    bool is_fetching;
    uint32_t *steps; /* ops to run, in order */
    bool *succeeded; /* by op */
    uint32_t step_count;
    uint32_t step;
    uint32_t select;
    uint32_t compare;
    bool compare_seen; /* the range had a key */
    bool compare_ok;
    bool op_open;
    int64_t op_count; /* keys deleted by the open op */
    struct pd_kv_collect collect;
    struct pd_kv_scan scan;
    uint8_t *held; /* the row that was fetched: key, then value */
    struct pd_kv_found held_found;
    bool held_valid;
    uint8_t *answer; /* ANSWER_HEAD bytes of room, then the body */
    struct pd_kv_writer body;
    size_t answer_begin;
    struct pd_span answer_span;
    bool revoke_done;
    uint32_t sub;
    uint64_t position;      /* of its first row in the overlay */
    struct pd_kv_meta next; /* the state when it has finished */
    uint64_t effect;        /* hash of its rows */
    struct pd_kv_place lease_at;
    struct pd_kv_place victim; /* user key of the attachment in hand */
    uint32_t extend_at;        /* place among all places for leases, then for sessions */
    uint32_t extended;
    struct pd_kv_event *events;
    uint32_t event_count;
    bool is_rewritten; /* a row that would be published was replaced behind what is */
    bool events_cut;
    bool events_taken;
    uint8_t *event_bytes;
    size_t event_bytes_used;
};

enum pd_kv_read_kind {
    PD_KV_READ_FREE = 0,
    PD_KV_READ_RANGE,
    PD_KV_READ_LEASE,
    PD_KV_READ_LEASES
};
/* What is due when, as it was when the read began. */
struct pd_kv_due {
    uint64_t deadline_ns;
    uint64_t id;
    bool is_session;
};
struct pd_kv_reading {
    enum pd_kv_read_kind kind;
    struct pd_kv_range range; /* spans lie in `keys` */
    uint8_t *keys;
    struct pd_kv_scan scan;
    struct pd_kv_writer out;
    int64_t revision; /* of the store when it began: what its answer tells */
    bool is_done;
    bool is_fetching;
    bool is_large;  /* it may hold more than small_read_bytes */
    uint64_t order; /* the lower, the earlier it became large */
    uint64_t held;  /* bytes that are counted for it */
    uint64_t need;  /* and that it waits for; 0: for none */
    enum pd_kv_error error;
    struct pd_kv_collect collect;
    int64_t lease;
    bool with_keys;
    struct pd_kv_place at;
    size_t answer_begin;
    struct pd_kv_due *due; /* leases: those still to come, a heap */
    uint32_t due_count;
};

/* What an event replaced is that of an earlier revision: what its own command wrote before is no
 * state that anybody saw. */
enum pd_kv_previous {
    PD_KV_PREVIOUS_NONE = 0,
    PD_KV_PREVIOUS_EXACT,   /* the version at a place that is known */
    PD_KV_PREVIOUS_IN_PAGE, /* likewise, and an earlier event of the page wrote it, or of a lane */
    PD_KV_PREVIOUS_BEFORE,  /* the newest one of an earlier revision, if it lives */
    PD_KV_PREVIOUS_WITH_EVENT /* that of an earlier event of the revision */
};
/* An event that is not in its page of history yet: its records are on their way, or wait for those
 * of the events before it. */
struct pd_kv_lane {
    int64_t revision;
    uint32_t sub;
    bool is_delete;
    bool wants_version; /* its record */
    bool wants_previous;
    bool has_previous;
    enum pd_kv_previous previous_is;
    int64_t previous_revision; /* EXACT, IN_PAGE */
    uint32_t previous_sub;
    uint32_t previous_event;     /* WITH_EVENT: its place in the page */
    struct pd_kv_record version; /* without keys and values: those are in `bytes` */
    struct pd_kv_record previous;
    uint8_t *bytes; /* key, value of version, value of previous */
    size_t bytes_max;
    size_t key_size;
    size_t version_size;
    size_t previous_size;
};
/* A page of history: history.c. */
struct pd_kv_history_read {
    bool is_open;
    bool is_done;
    int64_t revision; /* of the store when it began: it reads up to here */
    size_t bytes_max; /* to use, and what its last event needs beyond */
    struct pd_kv_history result;
    struct pd_kv_event *events;
    uint32_t events_max;
    uint8_t *bytes; /* keys and values */
    size_t bytes_size;
    size_t value_bytes;                           /* of them: values */
    struct pd_kv_lane lanes[PD_KV_HISTORY_LANES]; /* of event i: i % PD_KV_HISTORY_LANES */
    uint32_t begun;        /* events; those from result.count on are in lanes */
    struct pd_kv_place at; /* where the 'h' rows that were not read begin */
    uint8_t *traces;       /* those that were read and wait for their turn */
    size_t traces_max;
    size_t traces_size;
    size_t traces_at;
    uint32_t trace_count;
    bool traces_are_last; /* no 'h' row of the revisions that are read comes behind them */
};

enum pd_kv_load_stage {
    PD_KV_LOAD_META = 0,
    PD_KV_LOAD_SWEEP,
    PD_KV_LOAD_TABLES,
    PD_KV_LOAD_DONE
};

/* Removal of compacted rows: sweep.c. */
struct pd_kv_sweep {
    int64_t done;     /* rows below it are removed */
    int64_t target;   /* a removal is under way up to it; 0: none */
    int64_t revision; /* where it goes on */
    uint32_t sub;
    uint64_t ready;   /* overlay position that must be visible before the next one begins */
    uint64_t written; /* behind its last row in the overlay */
    uint8_t *page;    /* rows that were read and wait for their turn */
    size_t page_max;
    size_t page_size;
    size_t page_at;
    bool page_is_last;
    bool page_is_cut;
};

struct pd_kv {
    struct pd_kv_config config;
    size_t row_key_max;
    struct pd_kv_meta meta;
    struct pd_kv_overlay overlay;
    struct pd_kv_cache cache;
    struct pd_kv_seen seen;
    struct pd_kv_slot *slots;
    uint32_t slot_count;
    struct pd_kv_slot_list slots_queued;
    struct pd_kv_slot_list slots_out; /* the longest first, so the least mark is at its head */
    uint32_t prefetch_next;
    struct pd_kv_command_room prefetch_room;
    struct pd_kv_apply apply;
    struct pd_kv_reading *reads;
    uint64_t reads_held;   /* bytes of all of them */
    uint64_t reads_away;   /* of answers that were taken */
    uint64_t reads_unread; /* of these, by clients who may never take them */
    uint64_t read_order;   /* of the last one that became large */
    uint32_t reads_large;
    bool reads_line; /* others wait outside to become large */
    struct pd_kv_history_read *histories;
    size_t history_value_bytes; /* of an event of the last page: what the next one begins with */
    struct pd_table lease_table;
    struct pd_table session_table;
    struct pd_kv_lease *leases;
    struct pd_kv_lease **lease_free; /* the live ones, lease_count of them; then the free ones */
    uint32_t lease_count;
    struct pd_kv_session *sessions;
    struct pd_kv_session **session_free; /* likewise */
    uint32_t session_count;
    struct pd_kv_stored *session_slots;
    struct pd_kv_deadlines deadlines;
    uint64_t answers_bytes;
    struct pd_kv_members members;
    uint32_t wanted_version; /* beyond this program's limit: it cannot go on; 0: fine */
    uint8_t conf[PD_KV_CONF_MAX];
    size_t conf_size;
    struct pd_kv_place scratch_key; /* row keys under construction */
    struct pd_kv_place scratch_user;
    struct pd_kv_place scratch_end;
    /* Writes. */
    struct pd_store_write *writes;
    uint32_t writes_room;
    uint64_t taken;    /* overlay position behind the last batch */
    uint64_t visible;  /* behind the last one that the store shows */
    uint64_t finished; /* behind the last finished command */
    bool batch_out;
    uint64_t batch_index;
    uint64_t visible_index;
    /* Load. */
    struct pd_kv_place load_at;
    enum pd_kv_load_stage load_stage;
    bool load_failed;
    struct pd_kv_walk detach;
    bool may_be_torn; /* the store may hold rows of the next command from before a crash */
    /* Verify. */
    struct pd_kv_scan verify;
    struct pd_kv_hash verify_hash;
    struct pd_kv_hash verify_want;
    uint64_t verify_count;
    bool verify_failed;
    struct pd_kv_sweep sweep;
    uint32_t *expiry_front;
};

/* The command under way, if there is one, has written nothing: what the cache knows is what
 * counts. */
static inline bool pd_kv_is_settled(const struct pd_kv *kv)
{
    return kv->apply.phase == PD_KV_PHASE_IDLE || kv->apply.sub == 0;
}

/* -- rows.c ------------------------------------------------------------------------------------ */

size_t pd_kv_escape(uint8_t *to, struct pd_span key);
void pd_kv_x_prefix(struct pd_kv_place *place, struct pd_span key);
void pd_kv_x_key(struct pd_kv_place *place, struct pd_span key, int64_t revision, uint32_t sub);
void pd_kv_h_key(struct pd_kv_place *place, int64_t revision, uint32_t sub);
void pd_kv_id_key(struct pd_kv_place *place, uint8_t letter, uint64_t id);
void pd_kv_place_set(struct pd_kv_place *place, struct pd_span bytes);
static inline struct pd_span pd_kv_place_span(const struct pd_kv_place *place)
{
    return pd_kv_span(place->bytes, place->size);
}
void pd_kv_attachment_key(struct pd_kv_place *place, int64_t lease, struct pd_span key);
uint64_t pd_kv_get_be64(const uint8_t *from);
/* An 'h' row's value is this and then the key. At most PD_KV_H_HEAD_MAX bytes. */
#define PD_KV_H_HEAD_MAX 32u
size_t pd_kv_h_value_head(uint8_t *to, const struct pd_kv_trace *trace);
bool pd_kv_h_parse(struct pd_span key, struct pd_span value, struct pd_kv_trace *trace_out);
/* Take an 'x' row apart. The key is unescaped into `user`. false: damaged. */
bool pd_kv_x_parse(struct pd_span key, struct pd_span value, struct pd_kv_place *user,
                   struct pd_kv_row *row_out);
size_t pd_kv_x_value_head(uint8_t *to, const struct pd_kv_found *found);
void pd_kv_value_hash(struct pd_span value, uint64_t hash_out[2]);
struct pd_kv_hash pd_kv_record_hash(const struct pd_kv_found *found);
struct pd_kv_hash pd_kv_bytes_hash(struct pd_span key, struct pd_span value);
void pd_kv_hash_add(struct pd_kv_hash *hash, struct pd_kv_hash other);
void pd_kv_hash_subtract(struct pd_kv_hash *hash, struct pd_kv_hash other);
/* Rows of a page, one after another; false: its end, or *is_bad. */
bool pd_kv_page_row(const struct pd_store_page *page, size_t *at, struct pd_span *key_out,
                    struct pd_span *value_out, bool *is_bad);

/* -- scan.c ------------------------------------------------------------------------------------ */

void pd_kv_scan_open(struct pd_kv *kv, struct pd_kv_scan *scan, struct pd_span key,
                     struct pd_span range_end, int64_t revision, uint32_t sub);
/* What takes the records; false: stop before this one. */
typedef bool (*pd_kv_take_record)(struct pd_kv *kv, void *context, const struct pd_kv_row *row);
PD_NODISCARD enum pd_status pd_kv_scan_page(struct pd_kv *kv, struct pd_kv_scan *scan,
                                            const struct pd_store_page *page,
                                            pd_kv_take_record take, void *context);
/* The newest row of a key at (revision, sub) in overlay or cache, or that there is none. false: it
 * must be fetched. */
bool pd_kv_lookup(struct pd_kv *kv, struct pd_span key, int64_t revision, uint32_t sub,
                  struct pd_kv_found *found_out);

/* -- fetch.c ----------------------------------------------------------------------------------- */

static inline uint32_t pd_kv_first_history_slot(const struct pd_kv *kv)
{
    return PD_KV_SLOT_READS + kv->config.reads_max;
}
static inline uint32_t pd_kv_first_prefetch_slot(const struct pd_kv *kv)
{
    return pd_kv_first_history_slot(kv) + kv->config.histories_max * PD_KV_HISTORY_SLOTS;
}
void pd_kv_slots_clear(struct pd_kv *kv);
/* Whatever state it is in; what was handed out for it will be of no known fetch. */
void pd_kv_slot_cancel(struct pd_kv *kv, uint32_t slot);
void pd_kv_cancel_prefetches(struct pd_kv *kv);
/* Overlay rows that the store shows go, unless a fetch may have looked before it did. */
void pd_kv_release_rows(struct pd_kv *kv);
void pd_kv_want(struct pd_kv *kv, uint32_t slot, struct pd_span low, struct pd_span high,
                uint32_t rows_max);
void pd_kv_want_scan(struct pd_kv *kv, uint32_t slot, const struct pd_kv_scan *scan);

/* -- tables.c ---------------------------------------------------------------------------------- */

struct pd_kv_lease *pd_kv_lease_find(const struct pd_kv *kv, int64_t id);
struct pd_kv_lease *pd_kv_lease_add(struct pd_kv *kv, int64_t id, int64_t ttl_s,
                                    uint64_t deadline_ns); /* NULL: full */
void pd_kv_lease_remove(struct pd_kv *kv, struct pd_kv_lease *lease);
struct pd_kv_session *pd_kv_session_find(const struct pd_kv *kv, uint64_t id);
struct pd_kv_session *pd_kv_session_add(struct pd_kv *kv, uint64_t id, uint64_t duration_ns,
                                        uint64_t deadline_ns, uint32_t window);
void pd_kv_session_remove(struct pd_kv *kv, struct pd_kv_session *session);
void pd_kv_session_store(struct pd_kv *kv, struct pd_kv_session *session, uint64_t sequence,
                         struct pd_span answer);
void pd_kv_session_raise(struct pd_kv *kv, struct pd_kv_session *session, uint64_t low);
void pd_kv_timed_move(struct pd_kv *kv, struct pd_kv_timed *timed, uint64_t deadline_ns);
/* It lives its whole time again, from now on. */
void pd_kv_lease_renew(struct pd_kv *kv, struct pd_kv_lease *lease, uint64_t now_ns);
void pd_kv_session_renew(struct pd_kv *kv, struct pd_kv_session *session, uint64_t now_ns);
const struct pd_kv_timed *pd_kv_timed_of(const struct pd_kv *kv, uint32_t item);
void pd_kv_tables_clear(struct pd_kv *kv);
/* Their hashes, without the deadlines that a keepalive moves: those are in the fold. */
struct pd_kv_hash pd_kv_lease_hash(const struct pd_kv_lease *lease);
struct pd_kv_hash pd_kv_session_hash(const struct pd_kv_session *session);
struct pd_kv_hash pd_kv_tables_hash(const struct pd_kv *kv);
/* Zero for the first version, which has no row. */
struct pd_kv_hash pd_kv_version_hash(uint32_t version);
/* The value of a 'v' row. false: it is none. */
bool pd_kv_version_parse(struct pd_span value, uint32_t *version_out);

/* -- members.c --------------------------------------------------------------------------------- */

bool pd_kv_members_init(struct pd_kv_members *members);
void pd_kv_members_deinit(struct pd_kv_members *members);
void pd_kv_members_clear(struct pd_kv_members *members);
enum pd_kv_error pd_kv_members_put(struct pd_kv *kv, uint64_t node, struct pd_span bytes);
enum pd_kv_error pd_kv_members_remove(struct pd_kv *kv, uint64_t node);
enum pd_kv_error pd_kv_members_tell(struct pd_kv *kv, uint64_t node, uint32_t version,
                                    struct pd_span program);
struct pd_kv_hash pd_kv_member_hash(const struct pd_kv_member_row *row);
/* The value of its row; 0: the row goes away. */
size_t pd_kv_member_row_value(const struct pd_kv *kv, uint64_t node,
                              uint8_t room[PD_KV_MEMBER_ROW_MAX]);
bool pd_kv_members_load(struct pd_kv *kv, struct pd_span key, struct pd_span value);

/* -- the machines ------------------------------------------------------------------------------ */

/* Append a row: its room was looked at before. Joined rows go to the store in one batch with what
 * follows them, up to the next 'm' row. */
enum pd_kv_row_use {
    PD_KV_ROW_INDEXED = 1,
    PD_KV_ROW_JOINED = 2
};
void pd_kv_write_row(struct pd_kv *kv, enum pd_kv_entry_kind kind, struct pd_span key,
                     struct pd_span head, struct pd_span body, uint32_t use);
/* The bytes that the end of a command takes at most, for the configuration. */
uint64_t pd_kv_end_bytes_max(const struct pd_kv_config *config);
void pd_kv_write_meta(struct pd_kv *kv);
void pd_kv_start_empty(struct pd_kv *kv);
bool pd_kv_meta_decode(struct pd_span value, struct pd_kv_meta *meta_out);
void pd_kv_meta_encode(uint8_t room[PD_KV_META_SIZE], const struct pd_kv_meta *meta);
enum pd_kv_progress pd_kv_run_ops(struct pd_kv *kv, uint32_t budget);
PD_NODISCARD enum pd_status pd_kv_apply_supply_ops(struct pd_kv *kv,
                                                   const struct pd_store_page *page);
/* PUT or DELETE of one key whose present row is known. false: no room in the overlay: nothing
 * happened. */
bool pd_kv_write_put(struct pd_kv *kv, const struct pd_kv_put *put, const struct pd_kv_found *old);
bool pd_kv_write_tombstone(struct pd_kv *kv, const struct pd_kv_found *old);
bool pd_kv_is_compacted(const struct pd_kv *kv, int64_t revision);
enum pd_kv_progress pd_kv_revoke_step(struct pd_kv *kv, uint32_t budget);
PD_NODISCARD enum pd_status pd_kv_revoke_supply(struct pd_kv *kv, const struct pd_store_page *page);
/* -- torn.c ------------------------------------------------------------------------------------ */

/* The attachment of the key changes when the command has finished. */
void pd_kv_attach_later(struct pd_kv *kv, enum pd_kv_entry_kind kind, int64_t lease,
                        struct pd_span key);
uint32_t pd_kv_attachments_max(const struct pd_kv_config *config, size_t *bytes_out);
void pd_kv_write_attachments(struct pd_kv *kv);
/* Give up what the command wrote so far. */
void pd_kv_undo_begin(struct pd_kv *kv);
enum pd_kv_progress pd_kv_undo_step(struct pd_kv *kv, uint32_t budget);
enum pd_kv_progress pd_kv_drain_step(struct pd_kv *kv);
PD_NODISCARD enum pd_status pd_kv_undo_supply(struct pd_kv *kv, const struct pd_store_page *page);
/* Remove the attachments that meta.left_subs tells of: before the next command, or in the
 * background. */
void pd_kv_detach_begin(struct pd_kv *kv);
enum pd_kv_progress pd_kv_detach_step(struct pd_kv *kv, uint32_t budget);
PD_NODISCARD enum pd_status pd_kv_detach_supply(struct pd_kv *kv, const struct pd_store_page *page);

void pd_kv_sweep_clear(struct pd_kv *kv);
bool pd_kv_sweep_load(struct pd_kv *kv, struct pd_span value);

bool pd_kv_need(struct pd_kv *kv, struct pd_span key, int64_t revision, uint32_t sub,
                bool with_value, struct pd_kv_found *found_out);
PD_NODISCARD enum pd_status pd_kv_apply_supply(struct pd_kv *kv, const struct pd_store_page *page);
/* What lies at a place of the heap. */
struct pd_kv_due pd_kv_due_at(const struct pd_kv *kv, uint32_t place);
/* The next lease by (deadline, id); 0: there is none. */
int64_t pd_kv_due_take(struct pd_kv_due *due, uint32_t *count);
/* -- read_room.c ------------------------------------------------------------------------------- */

/* Whether a read may hold `more` bytes beyond those that are counted for it; if so, it is large
 * when they are many. */
bool pd_kv_read_may_take(struct pd_kv *kv, struct pd_kv_reading *reading, uint64_t more);
/* So many are counted for it from now on. */
void pd_kv_read_holds(struct pd_kv *kv, struct pd_kv_reading *reading, uint64_t bytes);
void pd_kv_read_leaves(struct pd_kv *kv, struct pd_kv_reading *reading);

PD_NODISCARD enum pd_status pd_kv_read_supply(struct pd_kv *kv, uint32_t read,
                                              const struct pd_store_page *page);
/* history.c: pages are counted from 0 here, slots from the first one of all pages. */
enum pd_kv_progress pd_kv_history_step(struct pd_kv *kv, uint32_t page, uint32_t budget);
void pd_kv_history_end(struct pd_kv *kv, uint32_t page);
PD_NODISCARD enum pd_status pd_kv_history_supply(struct pd_kv *kv, uint32_t slot,
                                                 const struct pd_store_page *page);
void pd_kv_history_check(const struct pd_kv *kv);
PD_NODISCARD enum pd_status pd_kv_load_supply(struct pd_kv *kv, const struct pd_store_page *page);
PD_NODISCARD enum pd_status pd_kv_verify_supply(struct pd_kv *kv, const struct pd_store_page *page);
PD_NODISCARD enum pd_status pd_kv_sweep_supply(struct pd_kv *kv, const struct pd_store_page *page);

#endif
