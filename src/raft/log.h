/* log - the raft log of one group: what is in memory, durable, committed, handed out and applied.
 * Pure.
 *
 * Model      Entries (mark, last] lie in memory; `mark` is the (index, term) that the log begins
 *            after. Entries before stable_end are durable here, those before writing_end are being
 *            written, the rest waits for the next Ready. applied <= applying <= committed <= last.
 *            A snapshot that was received replaces the log at once and stays `pending` until it is
 *            durable.
 * Source     etcd-io/raft's raftLog and unstable, joined: one memory instead of a stable and an
 *            unstable part. */
#ifndef PD_RAFT_LOG_H
#define PD_RAFT_LOG_H

#include "raft/log_memory.h"

struct pd_raft_log {
    struct pd_log_memory memory;
    uint64_t mark_index;
    uint64_t mark_term;
    uint64_t stable_end;
    uint64_t writing_end;
    uint64_t committed;
    uint64_t applying;
    uint64_t applied;
    uint64_t applying_bytes; /* handed out, not yet applied */
    uint64_t applying_bytes_max;
    bool is_apply_paused;
    bool has_pending_snapshot;
    bool is_snapshot_writing;
    struct pd_raft_snapshot_meta pending_snapshot;
    uint64_t epoch; /* counts cuts and restores: what was borrowed before is gone */
    const struct pd_raft_trace *trace;
};

struct pd_log_id {
    uint64_t term;
    uint64_t index;
};

void pd_log_init(struct pd_raft_log *log, uint64_t mark_index, uint64_t mark_term,
                 uint64_t applying_bytes_max, const struct pd_raft_trace *trace);

uint64_t pd_log_first(const struct pd_raft_log *log);
uint64_t pd_log_last(const struct pd_raft_log *log);
struct pd_log_id pd_log_last_id(const struct pd_raft_log *log);
/* False: compacted, or not there yet; *term_out is 0 then. */
bool pd_log_term(const struct pd_raft_log *log, uint64_t index, uint64_t *term_out);
bool pd_log_matches(const struct pd_raft_log *log, struct pd_log_id id);

/* Largest index <= `index` whose term is <= `term`, or the first that is not known here (*term_out
 * 0): the logs cannot match behind it (item 11). */
uint64_t pd_log_conflict_by_term(const struct pd_raft_log *log, uint64_t index, uint64_t term,
                                 uint64_t *term_out);

/* Leader: append one entry at the end. */
PD_NODISCARD enum pd_status pd_log_append(struct pd_raft_log *log,
                                          const struct pd_raft_entry *entry);
/* Follower: entries that follow `previous`. Verified and appended up to *verified_out, as many as
 * fit. PD_ERR_UNKNOWN: `previous` does not match. PD_ERR_CORRUPT: they contradict what is
 * committed. */
PD_NODISCARD enum pd_status pd_log_follow(struct pd_raft_log *log, struct pd_log_id previous,
                                          const struct pd_raft_entry *entries, uint32_t count,
                                          uint64_t *verified_out);
void pd_log_commit_to(struct pd_raft_log *log, uint64_t index);

/* The next entries to write; *first_out is the first one's index. */
uint32_t pd_log_next_unstable(const struct pd_raft_log *log, uint64_t *first_out);
bool pd_log_has_unstable(const struct pd_raft_log *log); /* being written included */
void pd_log_accept_unstable(struct pd_raft_log *log);
void pd_log_stable_to(struct pd_raft_log *log, struct pd_log_id id);
void pd_log_snapshot_stable(struct pd_raft_log *log, uint64_t index);
void pd_log_restore(struct pd_raft_log *log, const struct pd_raft_snapshot_meta *meta);

/* The next committed entries to apply, a page at most. */
uint32_t pd_log_next_committed(const struct pd_raft_log *log, bool allow_unstable,
                               uint64_t *first_out);
void pd_log_accept_applying(struct pd_raft_log *log, uint64_t index, bool allow_unstable);
void pd_log_applied_to(struct pd_raft_log *log, uint64_t index);

void pd_log_compact(struct pd_raft_log *log, uint64_t index);

/* Entries from `first` on, at most `bytes_max` by etcd's measure of an entry, but at least one. */
uint32_t pd_log_page(const struct pd_raft_log *log, uint64_t first, uint64_t last,
                     uint64_t bytes_max);
/* An entry's size by that measure, which the limits count in. */
uint64_t pd_log_entry_size(const struct pd_raft_entry *entry);

void pd_log_check(const struct pd_raft_log *log);

#endif
