/* Ready -> one batch of log records; what must wait for its durability waits here. While a batch is
 * under way the next one gathers: group commit without a delay. */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/mutant.h"
#include "base/pages.h"
#include "node/replica_internal.h"
#include "raft/ring.h"

static struct pd_wal_record *add_record(struct pd_replica_batch *batch, struct pd_span payload)
{
    uint32_t capacity = batch->record_capacity;
    batch->records = pd_replica_grow(batch->records, &capacity, batch->record_count + 1,
                                     sizeof(batch->records[0]));
    batch->offsets = pd_replica_grow(batch->offsets, &batch->record_capacity,
                                     batch->record_count + 1, sizeof(batch->offsets[0]));
    struct pd_wal_record *record = &batch->records[batch->record_count];
    memset(record, 0, sizeof(*record));
    record->payload.size = payload.size;
    batch->offsets[batch->record_count] = batch->payload.size;
    uint8_t *to = pd_replica_bytes_add(&batch->payload, payload.size);
    if (payload.size > 0) {
        memcpy(to, payload.bytes, payload.size);
    }
    batch->record_count++;
    return record;
}

void pd_replica_log_hard_state(struct pd_replica *replica)
{
    struct pd_wal_record *record = add_record(&replica->gathering, (struct pd_span){NULL, 0});
    record->type = PD_WAL_HARD_STATE;
    record->group_id = replica->config.raft.group_id;
    record->term = replica->hard_state.term;
    record->index = replica->hard_state.commit;
    record->node = replica->hard_state.vote;
    replica->hard_state_is_due = false;
}

void pd_replica_log_snapshot(struct pd_replica *replica, const struct pd_raft_snapshot_meta *meta)
{
    uint8_t conf[PD_RAFT_WIRE_CONF_SIZE_MAX];
    struct pd_span payload = {conf, pd_raft_wire_conf_put(conf, &meta->conf)};
    struct pd_wal_record *record = add_record(&replica->gathering, payload);
    record->type = PD_WAL_SNAPSHOT;
    record->group_id = replica->config.raft.group_id;
    record->index = meta->index;
    record->term = meta->term;
}

static void send(struct pd_replica *replica, const struct pd_raft_message *message)
{
    pd_assert(message->type != PD_RAFT_MSG_SNAP); /* see pd_replica_log_step */
    size_t size = pd_raft_wire_size(message);
    pd_raft_wire_put(pd_replica_emit_frame(replica, PD_REPLICA_FRAME_RAFT, message->to, size),
                     message);
}

/* -- Appends to one member, joined ------------------------------------------------------------- */

/* Raft sends each proposal, and each step of the commit index, as soon as it comes. Of one Ready's
 * appends to a member the later ones go on where the first one ends: they travel as one, and have
 * one answer. */
struct joined {
    struct pd_raft_message append;
    uint64_t bytes; /* of its entries */
};
struct joining {
    struct joined members[PD_RAFT_MEMBERS_MAX];
    uint32_t count;
};

static uint64_t entry_bytes(const struct pd_raft_message *append)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < append->entry_count; i++) {
        bytes += append->entries[i].data.size;
    }
    return bytes;
}

static bool join(struct joined *joined, const struct pd_raft_message *next, uint64_t bytes_max)
{
    struct pd_raft_message *append = &joined->append;
    uint64_t bytes = joined->bytes + entry_bytes(next);
    /* Raft's log is a ring: behind its end lies no entry. */
    bool goes_on = append->entry_count == 0 || next->entry_count == 0 ||
                   append->entries + append->entry_count == next->entries;
    if (!goes_on || append->term != next->term || append->session != next->session ||
        append->index + append->entry_count != next->index || bytes > bytes_max) {
        return false;
    }
    append->entries = append->entry_count == 0 ? next->entries : append->entries;
    append->entry_count += next->entry_count;
    append->commit = next->commit > append->commit ? next->commit : append->commit;
    joined->bytes = bytes;
    return true;
}

/* What was joined for the member goes before anything else to it. */
static void send_joined(struct pd_replica *replica, struct joining *joining,
                        const struct pd_raft_message *message)
{
    uint32_t at = 0;
    while (at < joining->count && joining->members[at].append.to != message->to) {
        at++;
    }
    bool is_append = message->type == PD_RAFT_MSG_APP;
    struct joined *joined = at < joining->count ? &joining->members[at] : NULL;
    if (joined != NULL && is_append &&
        join(joined, message, replica->config.raft.append_bytes_max)) {
        return;
    }
    if (joined != NULL) {
        send(replica, &joined->append);
        *joined = joining->members[--joining->count];
    }
    if (is_append && joining->count < PD_RAFT_MEMBERS_MAX) {
        joining->members[joining->count++] =
            (struct joined){.append = *message, .bytes = entry_bytes(message)};
    } else {
        send(replica, message);
    }
}

static void send_all(struct pd_replica *replica, const struct pd_raft_ready *ready)
{
    struct joining joining = {.count = 0};
    for (uint32_t i = 0; i < ready->message_count; i++) {
        if (ready->messages[i].type != PD_RAFT_MSG_SNAP) {
            send_joined(replica, &joining, &ready->messages[i]);
        }
    }
    for (uint32_t i = 0; i < joining.count; i++) {
        send(replica, &joining.members[i].append);
    }
}

/* Whether `next`, which goes to the same member, says all that `answer` says. */
static bool is_covered(const struct pd_raft_message *answer, const struct pd_raft_message *next)
{
    return answer->type == PD_RAFT_MSG_APP_RESP && next->type == PD_RAFT_MSG_APP_RESP &&
           answer->to == next->to && answer->term == next->term &&
           answer->session == next->session && answer->token == next->token && !answer->reject &&
           !next->reject && next->index >= answer->index;
}

/* -- Batches ----------------------------------------------------------------------------------- */

static void after_append(struct pd_replica *replica, const struct pd_raft_message *message)
{
    if (message->to == replica->config.raft.id) {
        /* A refused acknowledgement of our own is one of an older term: nothing waits for it. */
        enum pd_status status = pd_raft_step(replica->raft, message);
        (void)status;
    } else {
        send(replica, message);
    }
}

static void gather_due(struct pd_replica_batch *batch, const struct pd_raft_ready *ready)
{
    batch->dues = pd_replica_grow(batch->dues, &batch->due_capacity, batch->due_count + 1,
                                  sizeof(batch->dues[0]));
    batch->dues[batch->due_count++] =
        (struct pd_replica_due){ready->append_mark, ready->after_append_count};
    uint32_t count = batch->message_count + ready->after_append_count;
    batch->messages = pd_replica_grow(batch->messages, &batch->message_capacity, count,
                                      sizeof(batch->messages[0]));
    for (uint32_t i = 0; i < ready->after_append_count; i++) {
        pd_assert(ready->after_append[i].entry_count == 0); /* answers only: nothing borrowed */
        batch->messages[batch->message_count++] = ready->after_append[i];
    }
}

static void gather(struct pd_replica *replica, const struct pd_raft_ready *ready)
{
    bool applies =
        replica->phase == PD_REPLICA_RUNNING && replica->install.state == PD_REPLICA_INSTALL_NONE;
    if (ready->hard_state_changed) {
        replica->hard_state = ready->hard_state;
        replica->hard_state_is_due = true;
    }
    if (ready->snapshot != NULL) {
        pd_replica_log_snapshot(replica, ready->snapshot);
    }
    for (uint32_t i = 0; i < ready->entry_count; i++) {
        const struct pd_raft_entry *entry = &ready->entries[i];
        struct pd_wal_record *record = add_record(&replica->gathering, entry->data);
        record->type = PD_WAL_ENTRY;
        record->group_id = replica->config.raft.group_id;
        record->kind = (uint8_t)entry->type;
        record->index = entry->index;
        record->term = entry->term;
        if (applies && entry->type == PD_RAFT_ENTRY_NORMAL) {
            pd_kv_prefetch(replica->kv, entry->data);
        }
    }
    /* A commit index alone is not worth a sync: it rides with the next batch. */
    if (replica->hard_state_is_due && (ready->must_sync || ready->entry_count > 0)) {
        pd_replica_log_hard_state(replica);
    }
    if (ready->append_ticket != 0) {
        gather_due(&replica->gathering, ready);
    }
}

static void batch_clear(struct pd_replica_batch *batch)
{
    batch->record_count = 0;
    batch->payload.size = 0;
    batch->message_count = 0;
    batch->due_count = 0;
}

/* What waited for the batch happens, one Ready's share after the other. */
static void finish(struct pd_replica *replica, struct pd_replica_batch *batch)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < batch->due_count; i++) {
        for (uint32_t n = 0; n < batch->dues[i].message_count; n++) {
            const struct pd_raft_message *message = &batch->messages[at++];
            if (message->to == replica->config.raft.id || at == batch->message_count ||
                !is_covered(message, message + 1)) {
                after_append(replica, message);
            }
        }
        pd_raft_append_done(replica->raft, &batch->dues[i].mark);
        if (batch->dues[i].mark.snapshot_index != 0) {
            pd_replica_install_logged(replica);
        }
    }
    batch_clear(batch);
}

void pd_replica_log_flush(struct pd_replica *replica)
{
    struct pd_replica_batch *batch = &replica->gathering;
    if (replica->is_writing || (batch->record_count == 0 && batch->due_count == 0)) {
        return;
    }
    if (batch->record_count == 0) {
        finish(replica, batch); /* everything before it is durable */
        return;
    }
    struct pd_replica_batch empty = replica->writing;
    replica->writing = *batch;
    replica->gathering = empty;
    batch = &replica->writing;
    for (uint32_t i = 0; i < batch->record_count; i++) {
        batch->records[i].payload.bytes = batch->payload.bytes + batch->offsets[i];
    }
    replica->is_writing = true;
    replica->counters.log_batches++;
    struct pd_replica_output *output = pd_replica_emit(replica, PD_REPLICA_LOG_WRITE);
    output->ticket = ++replica->ticket;
    output->records = batch->records;
    output->record_count = batch->record_count;
    if (PD_MUTANT(NODE_ANSWER_BEFORE_DURABLE) && replica->raft != NULL) {
        uint32_t at = 0;
        for (uint32_t i = 0; i < batch->due_count; i++) {
            for (uint32_t n = 0; n < batch->dues[i].message_count; n++) {
                after_append(replica, &batch->messages[at++]);
            }
            pd_raft_append_done(replica->raft, &batch->dues[i].mark);
        }
        batch->due_count = 0;
    }
}

void pd_replica_log_durable(struct pd_replica *replica, uint64_t ticket)
{
    if (replica->phase == PD_REPLICA_DEAD) {
        return;
    }
    pd_assert(replica->is_writing);
    pd_assert(ticket == replica->ticket);
    replica->is_writing = false;
    if (replica->raft == NULL) {
        batch_clear(&replica->writing);
        pd_replica_install_logged(replica);
    } else {
        finish(replica, &replica->writing);
        pd_replica_proposals_are_logged(replica, pd_raft_stable(replica->raft));
    }
    pd_replica_log_flush(replica);
}

static void take_soft_state(struct pd_replica *replica, const struct pd_raft_ready *ready)
{
    if (ready->soft_state_changed) {
        replica->leader = ready->leader;
        replica->role = ready->role;
        replica->leader_seen_tick = replica->tick;
        if (ready->role != PD_RAFT_LEADER && !PD_MUTANT(NODE_SERVES_AFTER_TRANSFER)) {
            replica->is_serving = false;
        }
    }
    if (ready->hard_state_changed && ready->hard_state.term != replica->term) {
        replica->term = ready->hard_state.term;
        if (!PD_MUTANT(NODE_SERVES_AFTER_TRANSFER)) {
            replica->is_serving = false;
        }
    }
}

bool pd_replica_log_has_work(const struct pd_replica *replica)
{
    return replica->raft != NULL &&
           replica->gathering.payload.size <= replica->config.log_batch_bytes_max &&
           pd_raft_has_ready(replica->raft);
}

bool pd_replica_log_step(struct pd_replica *replica)
{
    if (!pd_replica_log_has_work(replica)) {
        return false;
    }
    struct pd_raft_ready ready;
    pd_raft_ready(replica->raft, &ready);
    replica->backlog_bytes = 0;
    take_soft_state(replica, &ready);
    gather(replica, &ready);
    /* Borrowed parts of the Ready first: whatever steps raft comes last. */
    if (ready.committed_count > 0) {
        uint64_t high = ready.committed[ready.committed_count - 1].index;
        pd_assert(high > replica->apply_high);
        replica->apply_high = high;
        pd_replica_proposals_are_agreed(replica, high);
    }
    for (uint32_t i = 0; i < ready.read_count; i++) {
        pd_replica_read_ready(replica, &ready.reads[i]);
    }
    if (ready.snapshot != NULL) {
        pd_assert(replica->apply_raft <= ready.snapshot->index);
        replica->apply_raft = ready.snapshot->index;
        replica->apply_high = ready.snapshot->index;
        replica->conf_is_made = false;
    }
    struct pd_raft_message wanted[PD_RAFT_MEMBERS_MAX];
    uint32_t wanted_count = 0;
    send_all(replica, &ready);
    for (uint32_t i = 0; i < ready.message_count; i++) {
        if (ready.messages[i].type == PD_RAFT_MSG_SNAP && wanted_count < PD_RAFT_MEMBERS_MAX) {
            wanted[wanted_count++] = ready.messages[i];
        }
    }
    for (uint32_t i = 0; i < wanted_count; i++) {
        pd_replica_transfer_begin(replica, wanted[i].to, true, wanted[i].term, wanted[i].session);
    }
    pd_replica_log_flush(replica);
    return true;
}

/* A follower that keeps up slowly is not to need a snapshot, and at its end another one: the log
 * waits for it while it answers, up to half of what the window may fill. */
static uint64_t hold_for_followers(struct pd_replica *replica)
{
    uint64_t hold = UINT64_MAX;
    if (replica->role != PD_RAFT_LEADER ||
        pd_raft_log_fill(replica->raft) >= PD_REPLICA_LOG_FILL_MAX / 2) {
        return hold;
    }
    struct pd_raft_status *status = &replica->raft_status;
    pd_raft_status(replica->raft, status);
    for (uint32_t i = 0; i < status->member_count; i++) {
        const struct pd_raft_member_status *member = &status->members[i];
        if (member->is_active && member->state == PD_RAFT_REPLICATE && member->match < hold) {
            hold = member->match;
        }
    }
    return hold;
}

/* The store holds durably what lies before: let go of it in raft's window and on the disk, but for
 * a tail that spares a follower who is a little behind the snapshot. */
void pd_replica_log_cut(struct pd_replica *replica)
{
    if (replica->raft == NULL || replica->phase != PD_REPLICA_RUNNING) {
        return;
    }
    uint64_t durable =
        PD_MUTANT(NODE_LOG_CUT_TO_APPLIED) ? replica->apply_raft : replica->store_durable;
    if (durable > replica->apply_raft) {
        durable = replica->apply_raft;
    }
    /* Whoever is behind may be sent a snapshot; a full window would refuse every proposal, and so
     * does a full disk. */
    bool needs_room =
        replica->disk_is_low || pd_raft_log_fill(replica->raft) >= PD_REPLICA_LOG_FILL_MAX;
    uint64_t retain = needs_room ? 0 : replica->config.log_retain_entries;
    if (durable <= retain) {
        return;
    }
    uint64_t index = durable - retain;
    uint64_t hold = pd_replica_transfers_hold(replica);
    if (index > hold && !PD_MUTANT(NODE_LOG_CUT_DURING_TRANSFER)) {
        index = hold; /* who is being sent a snapshot goes on from the log behind it (item 18) */
    }
    if (index <= replica->cut_index) {
        return;
    }
    hold = needs_room ? UINT64_MAX : hold_for_followers(replica);
    index = index > hold ? hold : index;
    struct pd_raft_entry entry;
    if (index <= replica->cut_index || pd_raft_entry_at(replica->raft, durable, &entry) != PD_OK) {
        return;
    }
    struct pd_raft_snapshot_meta meta = {durable, entry.term, replica->conf};
    pd_raft_snapshot_available(replica->raft, &meta);
    pd_raft_compact(replica->raft, index);
    struct pd_raft_ring ring = pd_raft_ring(replica->raft);
    pd_pages_forget_unused(ring.bytes, ring.size, ring.tail, ring.head);
    replica->cut_index = index;
    /* The entry at `index` stays on disk: it tells the term before the first. */
    pd_replica_emit(replica, PD_REPLICA_LOG_CUT)->index = index;
}

static void batch_free(struct pd_replica_batch *batch)
{
    pd_free(batch->records);
    pd_free(batch->offsets);
    pd_free(batch->payload.bytes);
    pd_free(batch->messages);
    pd_free(batch->dues);
}

void pd_replica_log_free(struct pd_replica *replica)
{
    batch_free(&replica->gathering);
    batch_free(&replica->writing);
}
