/* ops - put, range, delete and txn, as steps that can stop wherever a row is missing or the
 * overlay is full. */
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mutant.h"
#include "base/sometimes.h"
#include "kv/internal.h"

/* The state that the next operation sees: what the command wrote so far included. */
static void own_state(const struct pd_kv *kv, int64_t *revision, uint32_t *sub)
{
    bool has_written = kv->apply.sub > 0;
    *revision = kv->meta.revision + (has_written ? 1 : 0);
    *sub = has_written ? kv->apply.sub - 1 : PD_KV_SUB_LAST;
}

/* The row of a key, from memory or from the fetch that was made for it. false: it is being
 * fetched. */
bool pd_kv_need(struct pd_kv *kv, struct pd_span key, int64_t revision, uint32_t sub,
                bool with_value, struct pd_kv_found *found_out)
{
    struct pd_kv_apply *apply = &kv->apply;
    if (pd_kv_lookup(kv, key, revision, sub, found_out) &&
        (found_out->has_value || !with_value || found_out->record.version == 0)) {
        return true;
    }
    if (apply->held_valid && pd_kv_span_equal(apply->held_found.record.key, key)) {
        *found_out = apply->held_found;
        return true;
    }
    pd_kv_x_key(&kv->scratch_key, key, revision, sub);
    pd_kv_x_prefix(&kv->scratch_end, key);
    kv->scratch_end.bytes[kv->scratch_end.size - 1]++;
    pd_kv_want(kv, PD_KV_SLOT_APPLY, pd_kv_place_span(&kv->scratch_key),
               pd_kv_place_span(&kv->scratch_end), 1);
    pd_kv_place_set(&kv->slots[PD_KV_SLOT_APPLY].key, key);
    apply->held_valid = false;
    apply->is_fetching = true;
    return false;
}

/* -- Writing ----------------------------------------------------------------------------------- */

static bool has_room(struct pd_kv *kv, size_t key_size, size_t value_size)
{
    uint64_t row = pd_kv_overlay_entry_size(kv->row_key_max, value_size);
    uint64_t small = pd_kv_overlay_entry_size(key_size + 32, 64);
    uint64_t need_bytes = 2 * row + 4 * small;
    kv->apply.is_blocked = pd_kv_overlay_room_left(&kv->overlay) < need_bytes;
    PD_SOMETIMES(KV_OVERLAY_FULL, kv->apply.is_blocked);
    return !kv->apply.is_blocked;
}

static void copy_for_event(struct pd_kv_apply *apply, size_t max, struct pd_span *span, bool *fits)
{
    if (span->size > max - apply->event_bytes_used) {
        *fits = false;
        return;
    }
    uint8_t *to = apply->event_bytes + apply->event_bytes_used;
    if (span->size > 0) {
        memcpy(to, span->bytes, span->size);
    }
    apply->event_bytes_used += span->size;
    span->bytes = to;
}

static void add_event(struct pd_kv *kv, const struct pd_kv_record *record,
                      const struct pd_kv_found *old)
{
    struct pd_kv_apply *apply = &kv->apply;
    if (apply->event_count == kv->config.events_max) {
        apply->events_cut = true;
        return;
    }
    /* The previous record is that of an earlier revision, as in etcd: what the command itself wrote
     * before was never a state. */
    bool is_own = old->record.version != 0 && old->record.mod_revision == record->mod_revision;
    bool has_previous =
        is_own ? old->record.create_revision < record->mod_revision : old->record.version != 0;
    struct pd_kv_event event = {
        .is_delete = record->version == 0,
        .sub = apply->sub,
        .record = *record,
        .has_previous = has_previous,
        .previous_known = !has_previous || (!is_own && old->has_value),
        .previous = old->record,
    };
    bool fits = true;
    copy_for_event(apply, kv->config.event_bytes_max, &event.record.key, &fits);
    copy_for_event(apply, kv->config.event_bytes_max, &event.record.value, &fits);
    if (!fits) {
        apply->events_cut = true;
        return;
    }
    if (event.has_previous && event.previous_known) {
        bool previous_fits = true;
        event.previous.key = event.record.key;
        copy_for_event(apply, kv->config.event_bytes_max, &event.previous.value, &previous_fits);
        event.previous_known = previous_fits;
    }
    apply->events[apply->event_count++] = event;
}

static void write_version(struct pd_kv *kv, const struct pd_kv_found *found,
                          const struct pd_kv_found *old)
{
    struct pd_kv_apply *apply = &kv->apply;
    struct pd_kv_meta *next = &apply->next;
    const struct pd_kv_record *record = &found->record;
    if (old->record.version != 0) {
        pd_kv_hash_subtract(&next->keys_hash, pd_kv_record_hash(old));
        next->key_count--;
    }
    if (record->version != 0) {
        pd_kv_hash_add(&next->keys_hash, pd_kv_record_hash(found));
        next->key_count++;
    }
    struct pd_kv_trace trace = {
        .revision = record->mod_revision,
        .sub = apply->sub,
        .replaced_revision = old->record.version == 0 ? 0 : old->record.mod_revision,
        .replaced_sub = old->record.version == 0 ? 0 : old->sub,
        .left_lease = old->record.lease == record->lease ? 0 : old->record.lease,
        .is_delete = record->version == 0,
    };
    if (trace.left_lease != 0) {
        pd_kv_attach_later(kv, PD_KV_ENTRY_DELETE, old->record.lease, record->key);
    }
    if (record->lease != 0 && record->lease != old->record.lease) {
        pd_kv_attach_later(kv, PD_KV_ENTRY_PUT, record->lease, record->key);
    }
    uint8_t head[64];
    size_t head_size = pd_kv_h_value_head(head, &trace);
    pd_kv_h_key(&kv->scratch_key, trace.revision, trace.sub);
    pd_kv_write_row(kv, PD_KV_ENTRY_PUT, pd_kv_place_span(&kv->scratch_key),
                    pd_kv_span(head, head_size), record->key, PD_KV_ROW_INDEXED);
    head_size = pd_kv_x_value_head(head, found);
    pd_kv_x_key(&kv->scratch_key, record->key, record->mod_revision, apply->sub);
    struct pd_span row_key = pd_kv_place_span(&kv->scratch_key);
    pd_kv_write_row(kv, PD_KV_ENTRY_PUT, row_key, pd_kv_span(head, head_size), record->value,
                    PD_KV_ROW_INDEXED);
    /* The value's hash is in the head. */
    apply->effect = pd_hash_bytes(apply->effect, row_key.bytes, row_key.size);
    apply->effect = pd_hash_bytes(apply->effect, head, head_size);
    pd_kv_seen_add(&kv->seen, record->key);
    if (apply->sub >= PD_KV_PUBLISHED_MAX) {
        pd_kv_cache_drop(&kv->cache, record->key);
        apply->is_rewritten |= old->record.mod_revision == record->mod_revision;
    }
    add_event(kv, record, old);
    apply->sub++;
}

bool pd_kv_write_put(struct pd_kv *kv, const struct pd_kv_put *put, const struct pd_kv_found *old)
{
    struct pd_span value = put->ignore_value ? old->record.value : put->value;
    if (!has_room(kv, put->key.size, value.size)) {
        return false;
    }
    int64_t revision = kv->meta.revision + 1;
    bool is_new = old->record.version == 0;
    struct pd_kv_found found = {
        .record = {.key = put->key,
                   .value = value,
                   .create_revision = is_new ? revision : old->record.create_revision,
                   .mod_revision = revision,
                   .version = old->record.version + 1,
                   .lease = put->ignore_lease ? old->record.lease : put->lease},
        .has_value = true,
    };
    pd_kv_value_hash(value, found.value_hash);
    write_version(kv, &found, old);
    return true;
}

bool pd_kv_write_tombstone(struct pd_kv *kv, const struct pd_kv_found *old)
{
    if (!has_room(kv, old->record.key.size, 0)) {
        return false;
    }
    struct pd_kv_found found = {
        .record = {.key = old->record.key, .mod_revision = kv->meta.revision + 1},
        .has_value = true,
    };
    write_version(kv, &found, old);
    return true;
}

/* -- Choosing branches ------------------------------------------------------------------------- */

static bool compare_holds(const struct pd_kv_compare *compare, const struct pd_kv_record *record)
{
    int64_t have = 0;
    switch (compare->target) {
    case PD_KV_COMPARE_VERSION:
        have = record->version;
        break;
    case PD_KV_COMPARE_CREATE:
        have = record->create_revision;
        break;
    case PD_KV_COMPARE_MOD:
        have = record->version == 0 ? 0 : record->mod_revision;
        break;
    case PD_KV_COMPARE_LEASE:
        have = record->lease;
        break;
    case PD_KV_COMPARE_VALUE:
        break;
    }
    int order = have < compare->number ? -1 : have > compare->number;
    if (compare->target == PD_KV_COMPARE_VALUE) {
        if (record->version == 0) {
            return false; /* a value compared with a key that is not there never holds */
        }
        order = pd_kv_span_compare(record->value, compare->value);
    }
    switch (compare->result) {
    case PD_KV_EQUAL:
        return order == 0;
    case PD_KV_GREATER:
        return order > 0;
    case PD_KV_LESS:
        return order < 0;
    case PD_KV_NOT_EQUAL:
        return order != 0;
    }
    return false;
}

static bool take_compare(struct pd_kv *kv, void *context, const struct pd_kv_row *row)
{
    struct pd_kv_apply *apply = &kv->apply;
    apply->compare_seen = true;
    if (!compare_holds(context, &row->found.record)) {
        apply->compare_ok = false;
        apply->scan.is_complete = true;
    }
    return apply->compare_ok;
}

/* One comparison. false: rows are missing; else *holds_out. */
static bool run_compare(struct pd_kv *kv, const struct pd_kv_compare *compare, bool *holds_out)
{
    struct pd_kv_apply *apply = &kv->apply;
    int64_t revision = kv->meta.revision;
    if (compare->range_end.size == 0) {
        struct pd_kv_found found;
        if (!pd_kv_need(kv, compare->key, revision, PD_KV_SUB_LAST,
                        compare->target == PD_KV_COMPARE_VALUE, &found)) {
            return false;
        }
        *holds_out = compare_holds(compare, &found.record);
        return true;
    }
    if (!apply->scan.is_open) {
        pd_kv_scan_open(kv, &apply->scan, compare->key, compare->range_end, revision,
                        PD_KV_SUB_LAST);
        apply->compare_seen = false;
        apply->compare_ok = true;
    }
    if (apply->compare_ok && !apply->scan.is_complete) {
        pd_kv_want_scan(kv, PD_KV_SLOT_APPLY, &apply->scan);
        apply->is_fetching = true;
        return false;
    }
    apply->scan.is_open = false;
    struct pd_kv_record nothing = {0};
    *holds_out = apply->compare_seen ? apply->compare_ok : compare_holds(compare, &nothing);
    return true;
}

/* The op that comes after `at` was chosen: behind a `then` branch its `else` is passed over. */
static uint32_t pass_over(const struct pd_kv_apply *apply, uint32_t at)
{
    const struct pd_kv_command *command = &apply->command;
    for (uint32_t i = apply->step_count; i-- > 0;) {
        uint32_t txn = apply->steps[i];
        if (command->ops[txn].kind == PD_KV_OP_TXN && apply->succeeded[txn] &&
            command->ops[txn].end > at && command->ops[txn].as.txn.else_first == at) {
            at = command->ops[txn].end;
        }
    }
    return at;
}

/* Branches of all txns are chosen before anything is written, as etcd does. */
static enum pd_kv_progress select_step(struct pd_kv *kv)
{
    struct pd_kv_apply *apply = &kv->apply;
    struct pd_kv_command *command = &apply->command;
    const struct pd_kv_op *op = &command->ops[apply->select];
    uint32_t next = apply->select + 1;
    if (op->kind == PD_KV_OP_TXN) {
        const struct pd_kv_txn *txn = &op->as.txn;
        bool holds = true;
        while (apply->compare < txn->compare_count && holds) {
            if (!run_compare(kv, &command->compares[txn->compare_first + apply->compare], &holds)) {
                return PD_KV_FETCH;
            }
            apply->held_valid = false;
            apply->compare++;
        }
        apply->succeeded[apply->select] = holds;
        apply->compare = 0;
        next = holds ? next : txn->else_first;
    }
    apply->steps[apply->step_count++] = apply->select;
    apply->select = pass_over(apply, next);
    if (apply->select >= command->op_count) {
        apply->phase = PD_KV_PHASE_CHECK;
        apply->step = 0;
    }
    return PD_KV_MORE;
}

/* -- Checks that need the state, before anything is written ------------------------------------ */

bool pd_kv_is_compacted(const struct pd_kv *kv, int64_t revision)
{
    return revision < kv->meta.compacted;
}

/* As etcd: first all puts, then all ranges. */
static enum pd_kv_progress check_step(struct pd_kv *kv)
{
    struct pd_kv_apply *apply = &kv->apply;
    bool is_first_round = apply->step < apply->step_count;
    uint32_t step = is_first_round ? apply->step : apply->step - apply->step_count;
    const struct pd_kv_op *op = &apply->command.ops[apply->steps[step]];
    if (op->kind == PD_KV_OP_RANGE && op->as.range.revision > 0 && !is_first_round) {
        int64_t revision = op->as.range.revision;
        apply->error = revision > kv->meta.revision       ? PD_KV_ERR_FUTURE_REVISION
                       : pd_kv_is_compacted(kv, revision) ? PD_KV_ERR_COMPACTED
                                                          : PD_KV_OK;
    } else if (op->kind == PD_KV_OP_PUT && is_first_round) {
        const struct pd_kv_put *put = &op->as.put;
        struct pd_kv_found found;
        if (put->ignore_value || put->ignore_lease) {
            if (!pd_kv_need(kv, put->key, kv->meta.revision, PD_KV_SUB_LAST, put->ignore_value,
                            &found)) {
                return PD_KV_FETCH;
            }
            apply->held_valid = false;
            apply->error = found.record.version == 0 ? PD_KV_ERR_KEY_NOT_FOUND : PD_KV_OK;
        }
        if (apply->error == PD_KV_OK && put->lease != 0 &&
            pd_kv_lease_find(kv, put->lease) == NULL && !PD_MUTANT(KV_DEAD_LEASE_TAKEN)) {
            apply->error = PD_KV_ERR_LEASE_NOT_FOUND;
        }
    }
    if (apply->error != PD_KV_OK) {
        apply->phase = PD_KV_PHASE_FINISH;
    } else if (++apply->step == 2 * apply->step_count) {
        apply->phase = PD_KV_PHASE_RUN;
        apply->step = 0;
    }
    return PD_KV_MORE;
}

/* -- Running ----------------------------------------------------------------------------------- */

static void respond(struct pd_kv *kv, enum pd_kv_answer_kind kind)
{
    struct pd_kv_apply *apply = &kv->apply;
    if (apply->step == 0) {
        apply->kind = kind; /* the root's kind stands in the answer's head */
    } else {
        pd_kv_answer_put_response(&apply->body, kind);
    }
}

static enum pd_kv_progress run_put(struct pd_kv *kv, const struct pd_kv_put *put)
{
    struct pd_kv_apply *apply = &kv->apply;
    int64_t revision;
    uint32_t sub;
    own_state(kv, &revision, &sub);
    struct pd_kv_found old;
    if (!pd_kv_need(kv, put->key, revision, sub, put->prev_kv || put->ignore_value, &old)) {
        return PD_KV_FETCH;
    }
    if (!pd_kv_write_put(kv, put, &old)) {
        return PD_KV_FULL;
    }
    respond(kv, PD_KV_ANSWER_PUT);
    if (put->prev_kv && old.record.version != 0) {
        pd_kv_answer_put_record(&apply->body, &old.record);
    }
    pd_kv_answer_put_end(&apply->body);
    return PD_KV_DONE;
}

static bool take_delete(struct pd_kv *kv, void *context, const struct pd_kv_row *row)
{
    const struct pd_kv_delete *delete_range = context;
    if (kv->apply.body.is_full || !pd_kv_write_tombstone(kv, &row->found)) {
        return false;
    }
    kv->apply.op_count++;
    if (delete_range->prev_kv) {
        pd_kv_answer_put_record(&kv->apply.body, &row->found.record);
    }
    return true;
}

static bool take_range(struct pd_kv *kv, void *context, const struct pd_kv_row *row)
{
    (void)context;
    pd_kv_collect_record(&kv->apply.collect, &kv->apply.body, &row->found.record);
    if (kv->apply.collect.no_memory) {
        /* One replica alone would refuse the command. */
        pd_fatal("no memory to sort %zu records of a command: lower answer_bytes_max",
                 kv->apply.collect.kept_count);
    }
    return !kv->apply.body.is_full;
}

/* The rows of a key or range, through `scan`; DONE when there are no more. */
static enum pd_kv_progress run_scan(struct pd_kv *kv)
{
    struct pd_kv_apply *apply = &kv->apply;
    if (apply->scan.is_complete) {
        apply->scan.is_open = false;
        return PD_KV_DONE;
    }
    pd_kv_want_scan(kv, PD_KV_SLOT_APPLY, &apply->scan);
    apply->is_fetching = true;
    return PD_KV_FETCH;
}

static enum pd_kv_progress run_delete(struct pd_kv *kv, const struct pd_kv_delete *delete_range)
{
    struct pd_kv_apply *apply = &kv->apply;
    int64_t revision;
    uint32_t sub;
    own_state(kv, &revision, &sub);
    if (!apply->op_open) {
        respond(kv, PD_KV_ANSWER_DELETE);
        apply->op_open = true;
        apply->op_count = 0;
        if (delete_range->range_end.size > 0) {
            pd_kv_scan_open(kv, &apply->scan, delete_range->key, delete_range->range_end, revision,
                            sub);
        }
    }
    if (delete_range->range_end.size > 0) {
        if (apply->is_blocked && !has_room(kv, kv->config.limits.key_bytes_max, 0)) {
            return PD_KV_FULL;
        }
        enum pd_kv_progress progress = run_scan(kv);
        if (progress != PD_KV_DONE) {
            return progress;
        }
    } else {
        struct pd_kv_found old;
        if (!pd_kv_need(kv, delete_range->key, revision, sub, delete_range->prev_kv, &old)) {
            return PD_KV_FETCH;
        }
        struct pd_kv_row row = {.found = old};
        struct pd_kv_delete copy = *delete_range;
        if (old.record.version != 0 && !take_delete(kv, &copy, &row)) {
            return PD_KV_FULL;
        }
    }
    pd_kv_answer_put_end(&apply->body);
    pd_kv_answer_put_number(&apply->body, apply->op_count);
    apply->op_open = false;
    return PD_KV_DONE;
}

static enum pd_kv_progress run_range(struct pd_kv *kv, const struct pd_kv_range *range)
{
    struct pd_kv_apply *apply = &kv->apply;
    int64_t revision;
    uint32_t sub;
    own_state(kv, &revision, &sub);
    if (range->revision > 0 && range->revision <= kv->meta.revision) {
        revision = range->revision;
        sub = PD_KV_SUB_LAST;
    }
    if (!apply->op_open) {
        respond(kv, PD_KV_ANSWER_RANGE);
        apply->op_open = true;
        pd_kv_collect_begin(&apply->collect, range, &apply->body, false);
        if (range->range_end.size > 0) {
            pd_kv_scan_open(kv, &apply->scan, range->key, range->range_end, revision, sub);
        }
    }
    if (range->range_end.size > 0) {
        enum pd_kv_progress progress = run_scan(kv);
        if (progress != PD_KV_DONE) {
            return progress;
        }
    } else {
        struct pd_kv_row row = {0};
        if (!pd_kv_need(kv, range->key, revision, sub, true, &row.found)) {
            return PD_KV_FETCH;
        }
        if (row.found.record.version != 0) {
            (void)take_range(kv, NULL, &row);
        }
    }
    pd_kv_collect_end(&apply->collect, &apply->body);
    apply->op_open = false;
    return PD_KV_DONE;
}

static enum pd_kv_progress run_step(struct pd_kv *kv)
{
    struct pd_kv_apply *apply = &kv->apply;
    if (apply->body.is_full) {
        apply->error = PD_KV_ERR_ANSWER_TOO_LARGE;
        pd_kv_undo_begin(kv);
        return PD_KV_MORE;
    }
    uint32_t index = apply->steps[apply->step];
    const struct pd_kv_op *op = &apply->command.ops[index];
    enum pd_kv_progress progress = PD_KV_DONE;
    switch (op->kind) {
    case PD_KV_OP_PUT:
        progress = run_put(kv, &op->as.put);
        break;
    case PD_KV_OP_RANGE:
        progress = run_range(kv, &op->as.range);
        break;
    case PD_KV_OP_DELETE:
        progress = run_delete(kv, &op->as.delete_range);
        break;
    case PD_KV_OP_TXN:
        respond(kv, PD_KV_ANSWER_TXN);
        pd_kv_write_u8(&apply->body, apply->succeeded[index]);
        pd_kv_write_u64(&apply->body,
                        apply->succeeded[index] ? op->as.txn.then_count : op->as.txn.else_count);
        break;
    }
    if (progress != PD_KV_DONE) {
        return progress;
    }
    apply->held_valid = false;
    /* A full answer is met at the next step, which gives up. */
    if (++apply->step == apply->step_count) {
        apply->step -= apply->body.is_full;
        apply->phase = apply->body.is_full ? PD_KV_PHASE_RUN : PD_KV_PHASE_FINISH;
    }
    return PD_KV_MORE;
}

enum pd_kv_progress pd_kv_run_ops(struct pd_kv *kv, uint32_t budget)
{
    enum pd_kv_progress progress = PD_KV_MORE;
    while (budget-- > 0 && progress == PD_KV_MORE) {
        switch (kv->apply.phase) {
        case PD_KV_PHASE_SELECT:
            progress = select_step(kv);
            break;
        case PD_KV_PHASE_CHECK:
            progress = check_step(kv);
            break;
        case PD_KV_PHASE_RUN:
            progress = run_step(kv);
            break;
        case PD_KV_PHASE_IDLE:
        case PD_KV_PHASE_BEGIN:
        case PD_KV_PHASE_REVOKE:
        case PD_KV_PHASE_EXTEND:
        case PD_KV_PHASE_UNDO:
        case PD_KV_PHASE_DRAIN:
        case PD_KV_PHASE_FINISH:
            return PD_KV_MORE;
        }
    }
    return progress;
}

/* What was fetched for the command: a page of its scan, or the row of one key. */
enum pd_status pd_kv_apply_supply_ops(struct pd_kv *kv, const struct pd_store_page *page)
{
    struct pd_kv_apply *apply = &kv->apply;
    if (apply->scan.is_open) {
        const struct pd_kv_op *op =
            apply->phase == PD_KV_PHASE_RUN ? &apply->command.ops[apply->steps[apply->step]] : NULL;
        if (op == NULL) {
            const struct pd_kv_txn *txn = &apply->command.ops[apply->select].as.txn;
            struct pd_kv_compare compare =
                apply->command.compares[txn->compare_first + apply->compare];
            return pd_kv_scan_page(kv, &apply->scan, page, take_compare, &compare);
        }
        struct pd_kv_delete delete_range = op->as.delete_range;
        return op->kind == PD_KV_OP_DELETE
                   ? pd_kv_scan_page(kv, &apply->scan, page, take_delete, &delete_range)
                   : pd_kv_scan_page(kv, &apply->scan, page, take_range, NULL);
    }
    struct pd_span key = {0};
    struct pd_span value = {0};
    size_t at = 0;
    bool is_bad = false;
    struct pd_kv_row row = {0};
    struct pd_kv_place *user = &kv->slots[PD_KV_SLOT_APPLY].key;
    if (pd_kv_page_row(page, &at, &key, &value, &is_bad)) {
        is_bad = key.size > kv->row_key_max ||
                 !pd_kv_x_parse(key, value, &kv->scratch_user, &row) ||
                 !pd_kv_span_equal(row.found.record.key, pd_kv_place_span(user));
    }
    if (is_bad) {
        return PD_ERR_CORRUPT;
    }
    row.found.has_value = true;
    struct pd_kv_record *record = &row.found.record;
    memcpy(apply->held, user->bytes, user->size);
    if (record->value.size > 0) {
        memcpy(apply->held + user->size, record->value.bytes, record->value.size);
    }
    record->key = pd_kv_span(apply->held, user->size);
    record->value = pd_kv_span(apply->held + user->size, record->value.size);
    apply->held_found = row.found;
    apply->held_valid = true;
    return PD_OK;
}
