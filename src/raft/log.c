#include "raft/log.h"

#include "base/assert.h"
#include "base/mutant.h"
#include "base/sometimes.h"
#include "raft/trace.h"

void pd_log_init(struct pd_raft_log *log, uint64_t mark_index, uint64_t mark_term,
                 uint64_t applying_bytes_max, const struct pd_raft_trace *trace)
{
    pd_assert(log->memory.slots != NULL);
    log->mark_index = mark_index;
    log->mark_term = mark_term;
    log->stable_end = mark_index + 1;
    log->writing_end = mark_index + 1;
    log->committed = mark_index;
    log->applying = mark_index;
    log->applied = mark_index;
    log->applying_bytes_max = applying_bytes_max;
    log->trace = trace;
}

uint64_t pd_log_first(const struct pd_raft_log *log)
{
    return log->mark_index + 1;
}

uint64_t pd_log_last(const struct pd_raft_log *log)
{
    return log->mark_index + log->memory.count;
}

bool pd_log_term(const struct pd_raft_log *log, uint64_t index, uint64_t *term_out)
{
    *term_out = 0;
    if (index < log->mark_index || index > pd_log_last(log)) {
        return false;
    }
    *term_out =
        index == log->mark_index ? log->mark_term : pd_log_memory_at(&log->memory, index)->term;
    return true;
}

struct pd_log_id pd_log_last_id(const struct pd_raft_log *log)
{
    struct pd_log_id id = {.term = 0, .index = pd_log_last(log)};
    bool is_known = pd_log_term(log, id.index, &id.term);
    pd_assert(is_known);
    return id;
}

bool pd_log_matches(const struct pd_raft_log *log, struct pd_log_id id)
{
    uint64_t term = 0;
    return pd_log_term(log, id.index, &term) && term == id.term;
}

uint64_t pd_log_conflict_by_term(const struct pd_raft_log *log, uint64_t index, uint64_t term,
                                 uint64_t *term_out)
{
    for (; index > 0; index--) {
        if (!pd_log_term(log, index, term_out) || *term_out <= term) {
            return index;
        }
    }
    *term_out = 0;
    return 0;
}

enum pd_status pd_log_append(struct pd_raft_log *log, const struct pd_raft_entry *entry)
{
    return pd_log_memory_append(&log->memory, entry);
}

/* Cut what contradicts the entry at `from`, which is beyond the commit index. */
static void cut_conflict(struct pd_raft_log *log, uint64_t from)
{
    pd_assert(from > log->committed);
    if (from > pd_log_last(log)) {
        return;
    }
    if (from <= log->stable_end) {
        pd_trace_line(log->trace, PD_RAFT_LOG_INFO, "replace the unstable entries from index %llu",
                      (unsigned long long)from);
        log->stable_end = from;
        log->writing_end = from;
    } else {
        pd_trace_line(log->trace, PD_RAFT_LOG_INFO,
                      "truncate the unstable entries before index %llu", (unsigned long long)from);
        /* Only what lies before the cut still counts as being written. */
        log->writing_end = log->writing_end < from ? log->writing_end : from;
    }
    log->epoch++;
    pd_log_memory_cut_from(&log->memory, from);
}

/* The first of the entries that the log does not hold yet; `count` when it holds them all. */
static uint32_t find_conflict(const struct pd_raft_log *log, const struct pd_raft_entry *entries,
                              uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct pd_log_id id = {.term = entries[i].term, .index = entries[i].index};
        if (pd_log_matches(log, id)) {
            continue;
        }
        uint64_t own = 0;
        if (id.index <= pd_log_last(log) && pd_log_term(log, id.index, &own)) {
            pd_trace_line(
                log->trace, PD_RAFT_LOG_INFO,
                "found conflict at index %llu [existing term: %llu, conflicting term: %llu]",
                (unsigned long long)id.index, (unsigned long long)own, (unsigned long long)id.term);
        }
        return i;
    }
    return count;
}

enum pd_status pd_log_follow(struct pd_raft_log *log, struct pd_log_id previous,
                             const struct pd_raft_entry *entries, uint32_t count,
                             uint64_t *verified_out)
{
    if (!pd_log_matches(log, previous)) {
        return PD_ERR_UNKNOWN;
    }
    uint32_t conflict = find_conflict(log, entries, count);
    if (PD_MUTANT(RAFT_EARLY_APPEND_TRUNCATES) && previous.index >= log->committed &&
        previous.index < pd_log_last(log)) {
        conflict = 0;
        cut_conflict(log, previous.index + 1);
    }
    uint64_t verified = previous.index + conflict;
    if (conflict < count) {
        if (entries[conflict].index <= log->committed) {
            return PD_ERR_CORRUPT;
        }
        cut_conflict(log, entries[conflict].index);
        for (uint32_t i = conflict; i < count; i++) {
            /* A full log takes what fits and acknowledges that: the leader sends the rest again. */
            if (pd_log_memory_append(&log->memory, &entries[i]) != PD_OK) {
                break;
            }
            verified = entries[i].index;
        }
    }
    *verified_out = verified;
    return PD_OK;
}

void pd_log_commit_to(struct pd_raft_log *log, uint64_t index)
{
    if (log->committed < index) {
        pd_assert(index <= pd_log_last(log));
        log->committed = index;
    }
}

uint32_t pd_log_next_unstable(const struct pd_raft_log *log, uint64_t *first_out)
{
    *first_out = log->writing_end;
    return (uint32_t)(pd_log_last(log) + 1 - log->writing_end);
}

bool pd_log_has_unstable(const struct pd_raft_log *log)
{
    return log->stable_end <= pd_log_last(log);
}

void pd_log_accept_unstable(struct pd_raft_log *log)
{
    log->writing_end = pd_log_last(log) + 1;
    log->is_snapshot_writing = log->has_pending_snapshot;
}

void pd_log_stable_to(struct pd_raft_log *log, struct pd_log_id id)
{
    uint64_t term = 0;
    if (id.index < log->stable_end || !pd_log_term(log, id.index, &term)) {
        bool is_snapshot = log->has_pending_snapshot && id.index == log->pending_snapshot.index;
        pd_trace_line(log->trace, PD_RAFT_LOG_INFO,
                      is_snapshot ? "entry at index %llu matched unstable snapshot; ignoring"
                                  : "entry at index %llu missing from unstable log; ignoring",
                      (unsigned long long)id.index);
        return;
    }
    PD_SOMETIMES(RAFT_STABLE_ACK_OF_REPLACED, term != id.term);
    if (term != id.term && !PD_MUTANT(RAFT_STABLE_ACK_WITHOUT_TERM)) {
        pd_trace_line(log->trace, PD_RAFT_LOG_INFO,
                      "entry at (index,term)=(%llu,%llu) mismatched with entry at (%llu,%llu) in "
                      "unstable log; ignoring",
                      (unsigned long long)id.index, (unsigned long long)id.term,
                      (unsigned long long)id.index, (unsigned long long)term);
        return;
    }
    log->stable_end = id.index + 1;
    if (log->writing_end < log->stable_end) {
        log->writing_end = log->stable_end;
    }
}

void pd_log_snapshot_stable(struct pd_raft_log *log, uint64_t index)
{
    if (log->has_pending_snapshot && log->pending_snapshot.index == index) {
        log->has_pending_snapshot = false;
        log->is_snapshot_writing = false;
    }
}

void pd_log_restore(struct pd_raft_log *log, const struct pd_raft_snapshot_meta *meta)
{
    pd_trace_line(log->trace, PD_RAFT_LOG_INFO,
                  "log [committed=%llu, applied=%llu, applying=%llu, unstable.offset=%llu, "
                  "unstable.offsetInProgress=%llu, len(unstable.Entries)=%llu] starts to restore "
                  "snapshot [index: %llu, term: %llu]",
                  (unsigned long long)log->committed, (unsigned long long)log->applied,
                  (unsigned long long)log->applying, (unsigned long long)log->stable_end,
                  (unsigned long long)log->writing_end,
                  (unsigned long long)(pd_log_last(log) + 1 - log->stable_end),
                  (unsigned long long)meta->index, (unsigned long long)meta->term);
    pd_assert(meta->index > log->committed);
    log->epoch++;
    pd_log_memory_clear(&log->memory, meta->index + 1);
    log->mark_index = meta->index;
    log->mark_term = meta->term;
    log->committed = meta->index;
    log->stable_end = meta->index + 1;
    log->writing_end = meta->index + 1;
    log->pending_snapshot = *meta;
    log->has_pending_snapshot = true;
    log->is_snapshot_writing = false;
}

static uint64_t appliable_end(const struct pd_raft_log *log, bool allow_unstable)
{
    uint64_t end = log->committed + 1;
    return allow_unstable || end < log->stable_end ? end : log->stable_end;
}

static uint64_t varint_size(uint64_t value)
{
    uint64_t size = 1;
    for (; value >= 0x80; value >>= 7) {
        size++;
    }
    return size;
}

uint64_t pd_log_entry_size(const struct pd_raft_entry *entry)
{
    uint64_t size = 1 + varint_size(entry->term) + 1 + varint_size(entry->index);
    if (entry->type != PD_RAFT_ENTRY_NORMAL) {
        size += 2; /* the usual type is not written */
    }
    if (entry->data.size > 0) {
        size += 1 + varint_size(entry->data.size) + entry->data.size;
    }
    return size;
}

uint32_t pd_log_page(const struct pd_raft_log *log, uint64_t first, uint64_t last,
                     uint64_t bytes_max)
{
    uint32_t count = 0;
    uint64_t bytes = 0;
    for (uint64_t index = first; index <= last; index++) {
        uint64_t size = pd_log_entry_size(pd_log_memory_at(&log->memory, index));
        if (count > 0 && (bytes >= bytes_max || size > bytes_max - bytes)) {
            break;
        }
        bytes += size;
        count++;
    }
    return count;
}

uint32_t pd_log_next_committed(const struct pd_raft_log *log, bool allow_unstable,
                               uint64_t *first_out)
{
    *first_out = log->applying + 1;
    uint64_t end = appliable_end(log, allow_unstable);
    if (log->is_apply_paused || log->has_pending_snapshot || *first_out >= end) {
        return 0;
    }
    pd_assert(log->applying_bytes_max > log->applying_bytes);
    return pd_log_page(log, *first_out, end - 1, log->applying_bytes_max - log->applying_bytes);
}

static uint64_t run_size(const struct pd_raft_log *log, uint64_t after, uint64_t to)
{
    uint64_t bytes = 0;
    for (uint64_t index = after + 1; index <= to; index++) {
        bytes += pd_log_entry_size(pd_log_memory_at(&log->memory, index));
    }
    return bytes;
}

void pd_log_accept_applying(struct pd_raft_log *log, uint64_t index, bool allow_unstable)
{
    pd_assert(index <= log->committed);
    log->applying_bytes += run_size(log, log->applying, index);
    log->applying = index;
    /* Pause at the limit, and when the page was cut short by it. */
    log->is_apply_paused = log->applying_bytes >= log->applying_bytes_max ||
                           index + 1 < appliable_end(log, allow_unstable);
}

void pd_log_applied_to(struct pd_raft_log *log, uint64_t index)
{
    pd_assert(index <= log->committed);
    pd_assert(index >= log->applied);
    /* Entries below the mark were replaced by a snapshot: their bytes are no longer known. */
    uint64_t bytes = log->applying_bytes;
    if (log->applied >= log->mark_index && index < log->applying) {
        bytes = run_size(log, log->applied, index);
    }
    log->applied = index;
    log->applying = log->applying > index ? log->applying : index;
    log->applying_bytes = log->applying_bytes > bytes ? log->applying_bytes - bytes : 0;
    log->is_apply_paused = log->applying_bytes >= log->applying_bytes_max;
}

void pd_log_compact(struct pd_raft_log *log, uint64_t index)
{
    pd_assert(index <= log->applied);
    /* What is not durable here is still to be written. */
    if (index >= log->stable_end) {
        index = log->stable_end - 1;
    }
    uint64_t term = 0;
    if (index <= log->mark_index || !pd_log_term(log, index, &term)) {
        return;
    }
    pd_log_memory_cut_before(&log->memory, index + 1);
    log->mark_index = index;
    log->mark_term = term;
}

void pd_log_check(const struct pd_raft_log *log)
{
    pd_log_memory_check(&log->memory);
    pd_assert(log->memory.first == log->mark_index + 1);
    pd_assert(log->applied <= log->applying);
    pd_assert(log->applying <= log->committed);
    pd_assert(log->committed <= pd_log_last(log));
    pd_assert(log->mark_index <= log->committed);
    pd_assert(log->mark_index < log->stable_end);
    pd_assert(log->stable_end <= log->writing_end);
    pd_assert(log->writing_end <= pd_log_last(log) + 1);
    pd_assert(log->has_pending_snapshot || log->mark_index <= log->applied);
}
