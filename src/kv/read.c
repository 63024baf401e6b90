/* read - ranges and leases beside the commands, page by page, each at one revision. */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/mutant.h"
#include "kv/internal.h"
#include "kv/state_time.h"

#define FIRST_BYTES 4096u
#define ANSWER_HEAD 32u
#define SECOND_NS UINT64_C(1000000000)

static struct pd_kv_reading *reading(const struct pd_kv *kv, uint32_t read)
{
    pd_assert(read < kv->config.reads_max);
    return &kv->reads[read];
}

/* A free slot with room for an answer of `bytes`. */
static enum pd_status take_slot(struct pd_kv *kv, enum pd_kv_read_kind kind, size_t bytes,
                                uint32_t *read_out)
{
    for (uint32_t i = 0; i < kv->config.reads_max; i++) {
        struct pd_kv_reading *r = &kv->reads[i];
        if (r->kind != PD_KV_READ_FREE ||
            kv->slots[PD_KV_SLOT_READS + i].state != PD_KV_SLOT_FREE) {
            continue;
        }
        *r = (struct pd_kv_reading){.kind = kind, .revision = kv->meta.revision};
        /* One block: four places, two keys; then the answer's room. */
        r->keys = pd_alloc(6 * kv->row_key_max);
        r->out.bytes = pd_alloc(bytes);
        if (r->keys == NULL || r->out.bytes == NULL) {
            pd_kv_read_end(kv, i);
            return PD_ERR_NO_MEMORY;
        }
        struct pd_kv_place *places[] = {&r->scan.at, &r->scan.end, &r->scan.done, &r->at};
        for (uint32_t p = 0; p < 4; p++) {
            places[p]->bytes = r->keys + (size_t)p * kv->row_key_max;
        }
        r->out.bytes_max = bytes;
        r->out.size = ANSWER_HEAD;
        *read_out = i;
        return PD_OK;
    }
    return PD_ERR_FULL;
}

void pd_kv_read_end(struct pd_kv *kv, uint32_t read)
{
    if (read >= kv->config.reads_max) {
        pd_kv_history_end(kv, read - kv->config.reads_max);
        return;
    }
    struct pd_kv_reading *r = reading(kv, read);
    if (r->kind == PD_KV_READ_FREE) {
        return;
    }
    /* What was handed out and not supplied is not waited for: its answer will be of no known
     * fetch. */
    pd_kv_slot_cancel(kv, PD_KV_SLOT_READS + read);
    pd_kv_read_leaves(kv, r);
    pd_free(r->keys);
    pd_free(r->out.bytes);
    pd_free(r->due);
    pd_kv_collect_deinit(&r->collect);
    *r = (struct pd_kv_reading){0};
}

static void finish(struct pd_kv_reading *r, enum pd_kv_answer_kind kind)
{
    uint8_t room[ANSWER_HEAD];
    struct pd_kv_writer head = {.bytes = room, .bytes_max = sizeof room};
    if (r->out.is_full) {
        r->error = PD_KV_ERR_ANSWER_TOO_LARGE;
    }
    bool is_error = r->error != PD_KV_OK;
    if (is_error) {
        r->out.size = ANSWER_HEAD;
    }
    pd_kv_answer_put_head(&head,
                          &(struct pd_kv_answer_head){.error = r->error,
                                                      .revision = r->revision,
                                                      .kind = is_error ? PD_KV_ANSWER_NONE : kind});
    r->answer_begin = ANSWER_HEAD - head.size;
    memcpy(r->out.bytes + r->answer_begin, room, head.size);
    r->is_done = true;
}

/* Double the answer's room before a page comes in, up to what one read may hold. */
static void grow(struct pd_kv *kv, struct pd_kv_reading *r, size_t more)
{
    size_t most = (size_t)kv->config.read_bytes_max + ANSWER_HEAD;
    size_t want = 2 * r->out.size + 2 * more;
    want = want > most ? most : want;
    if (want > r->out.bytes_max) {
        uint8_t *bytes = pd_realloc(r->out.bytes, want);
        if (bytes != NULL) {
            r->out.bytes = bytes;
            r->out.bytes_max = want;
        }
    }
}

/* false: it waits for room. */
static bool may_take(struct pd_kv *kv, struct pd_kv_reading *r, const struct pd_kv_record *record)
{
    uint64_t bytes = r->out.is_full ? 0 : pd_kv_collect_bytes(&r->collect, record);
    bool may = pd_kv_read_may_take(kv, r, bytes);
    r->need = may ? 0 : bytes;
    return may;
}

static void collect(struct pd_kv *kv, struct pd_kv_reading *r, const struct pd_kv_record *record)
{
    pd_kv_collect_record(&r->collect, &r->out, record);
    pd_kv_read_holds(kv, r, pd_kv_collect_held(&r->collect, &r->out));
}

enum pd_status pd_kv_read_range(struct pd_kv *kv, const struct pd_kv_range *range,
                                uint32_t *read_out)
{
    enum pd_status status = take_slot(kv, PD_KV_READ_RANGE, FIRST_BYTES, read_out);
    if (status != PD_OK) {
        return status;
    }
    struct pd_kv_reading *r = reading(kv, *read_out);
    int64_t revision = range->revision <= 0 ? kv->meta.revision : range->revision;
    r->error = pd_kv_range_check(range, &kv->config.limits);
    if (r->error == PD_KV_OK && revision > kv->meta.revision) {
        r->error = PD_KV_ERR_FUTURE_REVISION;
    } else if (r->error == PD_KV_OK && pd_kv_is_compacted(kv, revision)) {
        r->error = PD_KV_ERR_COMPACTED;
    }
    if (r->error != PD_KV_OK) {
        finish(r, PD_KV_ANSWER_NONE);
        return PD_OK;
    }
    /* Its keys are not looked at again: only the options are. */
    struct pd_kv_range options = *range;
    options.key = options.range_end = pd_kv_span(NULL, 0);
    pd_kv_collect_begin(&r->collect, &options, &r->out, true);
    struct pd_kv_found found;
    if (range->range_end.size == 0 &&
        pd_kv_lookup(kv, range->key, revision, PD_KV_SUB_LAST, &found) &&
        (found.has_value || found.record.version == 0) &&
        (found.record.version == 0 || may_take(kv, r, &found.record))) {
        if (found.record.version != 0) {
            grow(kv, r, found.record.key.size + found.record.value.size + 128);
            collect(kv, r, &found.record);
        }
        pd_kv_collect_end(&r->collect, &r->out);
        finish(r, PD_KV_ANSWER_RANGE);
        return PD_OK;
    }
    revision += PD_MUTANT(KV_READ_SEES_UNFINISHED);
    pd_kv_scan_open(kv, &r->scan, range->key, range->range_end, revision, PD_KV_SUB_LAST);
    return PD_OK;
}

enum pd_status pd_kv_read_lease(struct pd_kv *kv, int64_t id, uint64_t since_ns, bool with_keys,
                                uint32_t *read_out)
{
    enum pd_status status = take_slot(kv, PD_KV_READ_LEASE, FIRST_BYTES, read_out);
    if (status != PD_OK) {
        return status;
    }
    struct pd_kv_reading *r = reading(kv, *read_out);
    const struct pd_kv_lease *lease = pd_kv_lease_find(kv, id);
    int64_t left_s = -1;
    if (lease != NULL) {
        uint64_t deadline = lease->timed.deadline_ns;
        uint64_t now = pd_kv_time_after(kv->meta.state_time_ns, since_ns);
        left_s = deadline <= now ? 0 : (int64_t)((deadline - now + SECOND_NS - 1) / SECOND_NS);
    }
    pd_kv_answer_put_number(&r->out, id);
    pd_kv_answer_put_number(&r->out, left_s);
    pd_kv_answer_put_number(&r->out, lease == NULL ? 0 : lease->ttl_s);
    r->lease = id;
    r->with_keys = with_keys && lease != NULL;
    pd_kv_id_key(&r->at, 'a', (uint64_t)id);
    if (!r->with_keys) {
        pd_kv_answer_put_end(&r->out);
        finish(r, PD_KV_ANSWER_LEASE_KEYS);
    }
    return PD_OK;
}

enum pd_status pd_kv_read_leases(struct pd_kv *kv, uint32_t *read_out)
{
    size_t bytes = (size_t)kv->lease_count * 11 + FIRST_BYTES;
    enum pd_status status = take_slot(kv, PD_KV_READ_LEASES, bytes, read_out);
    if (status != PD_OK) {
        return status;
    }
    struct pd_kv_reading *r = reading(kv, *read_out);
    uint32_t count = (uint32_t)kv->deadlines.count;
    r->due = pd_alloc_zeroed((size_t)count + 1, sizeof *r->due);
    if (r->due == NULL) {
        pd_kv_read_end(kv, *read_out);
        return PD_ERR_NO_MEMORY;
    }
    for (; r->due_count < count; r->due_count++) {
        r->due[r->due_count] = pd_kv_due_at(kv, r->due_count);
    }
    return PD_OK;
}

static enum pd_kv_progress leases_step(struct pd_kv_reading *r, uint32_t budget)
{
    for (; budget > 0 && r->due_count > 0; budget--) {
        int64_t id = pd_kv_due_take(r->due, &r->due_count);
        if (id != 0) {
            pd_kv_answer_put_id(&r->out, id);
        }
    }
    if (r->due_count > 0) {
        return PD_KV_MORE;
    }
    pd_kv_answer_put_end(&r->out);
    finish(r, PD_KV_ANSWER_LEASES);
    return PD_KV_DONE;
}

/* -- Keys of a lease --------------------------------------------------------------------------- */

static void keys_end(struct pd_kv *kv, const struct pd_kv_reading *r)
{
    pd_kv_id_key(&kv->scratch_end, 'a', (uint64_t)r->lease);
    memset(kv->scratch_end.bytes + 9, 0xff, kv->config.limits.key_bytes_max + 1);
    kv->scratch_end.size = 9 + kv->config.limits.key_bytes_max + 1;
}

static void put_key(struct pd_kv_reading *r, struct pd_span row_key)
{
    pd_kv_answer_put_key(&r->out, pd_kv_span(row_key.bytes + 9, row_key.size - 9));
}

static enum pd_status lease_page(struct pd_kv *kv, struct pd_kv_reading *r,
                                 const struct pd_store_page *page)
{
    keys_end(kv, r);
    struct pd_span key = {0};
    struct pd_span value = {0};
    size_t at = 0;
    bool is_bad = false;
    bool has_row = pd_kv_page_row(page, &at, &key, &value, &is_bad);
    while (!is_bad) {
        uint64_t position = pd_kv_overlay_seek(&kv->overlay, pd_kv_place_span(&r->at));
        const struct pd_kv_entry *entry =
            position == 0 ? NULL : pd_kv_overlay_at(&kv->overlay, position);
        if (entry != NULL &&
            pd_kv_span_compare(pd_kv_entry_key(entry), pd_kv_place_span(&kv->scratch_end)) >= 0) {
            entry = NULL;
        }
        if (!has_row && (entry == NULL || !page->is_complete)) {
            break;
        }
        int order = entry == NULL ? 1
                    : !has_row    ? -1
                                  : pd_kv_span_compare(pd_kv_entry_key(entry), key);
        struct pd_span row_key = order <= 0 ? pd_kv_entry_key(entry) : key;
        if (row_key.size <= 9 || row_key.size + 1 > kv->row_key_max) {
            return PD_ERR_CORRUPT;
        }
        if (order > 0 || entry->kind == PD_KV_ENTRY_PUT) {
            put_key(r, row_key);
        }
        pd_kv_place_set(&r->at, row_key);
        r->at.bytes[r->at.size++] = 0;
        if (order >= 0) {
            has_row = pd_kv_page_row(page, &at, &key, &value, &is_bad);
        }
    }
    if (!is_bad && page->is_complete) {
        pd_kv_answer_put_end(&r->out);
        finish(r, PD_KV_ANSWER_LEASE_KEYS);
    }
    return is_bad ? PD_ERR_CORRUPT : PD_OK;
}

/* -- Steps ------------------------------------------------------------------------------------- */

static bool take_record(struct pd_kv *kv, void *context, const struct pd_kv_row *row)
{
    struct pd_kv_reading *r = context;
    if (!may_take(kv, r, &row->found.record)) {
        return false;
    }
    collect(kv, r, &row->found.record);
    return true;
}

enum pd_status pd_kv_read_supply(struct pd_kv *kv, uint32_t read, const struct pd_store_page *page)
{
    struct pd_kv_reading *r = reading(kv, read);
    uint64_t overlay = kv->overlay.head - kv->overlay.tail;
    size_t more = page->size + (size_t)overlay + FIRST_BYTES;
    switch (r->kind) {
    case PD_KV_READ_RANGE:
        grow(kv, r, more);
        return pd_kv_scan_page(kv, &r->scan, page, take_record, r);
    case PD_KV_READ_LEASE:
        grow(kv, r, more);
        pd_kv_read_holds(kv, r, r->out.size + page->size);
        return lease_page(kv, r, page);
    case PD_KV_READ_FREE:
    case PD_KV_READ_LEASES:
        break;
    }
    return PD_ERR_UNKNOWN;
}

enum pd_kv_progress pd_kv_read_step(struct pd_kv *kv, uint32_t read, uint32_t budget)
{
    if (read >= kv->config.reads_max) {
        return pd_kv_history_step(kv, read - kv->config.reads_max, budget);
    }
    struct pd_kv_reading *r = reading(kv, read);
    pd_assert(r->kind != PD_KV_READ_FREE);
    if (r->is_done) {
        return PD_KV_DONE;
    }
    if (kv->slots[PD_KV_SLOT_READS + read].state != PD_KV_SLOT_FREE) {
        return PD_KV_FETCH;
    }
    if (r->kind == PD_KV_READ_LEASES) {
        return leases_step(r, budget == 0 ? 1 : budget);
    }
    if (r->kind == PD_KV_READ_LEASE) {
        if (kv->apply.phase != PD_KV_PHASE_IDLE || kv->meta.left_subs > 0) {
            return PD_KV_MORE; /* attachments have no revision: an unfinished command would show */
        }
        keys_end(kv, r);
        pd_kv_want(kv, PD_KV_SLOT_READS + read, pd_kv_place_span(&r->at),
                   pd_kv_place_span(&kv->scratch_end), 0);
        return PD_KV_FETCH;
    }
    if (pd_kv_is_compacted(kv, r->scan.revision)) {
        r->error = PD_KV_ERR_COMPACTED;
    }
    bool is_enough = r->collect.range.uncounted && r->collect.more;
    if (r->error != PD_KV_OK || r->scan.is_complete || r->out.is_full || is_enough) {
        if (r->error == PD_KV_OK) {
            grow(kv, r, r->out.size + FIRST_BYTES);
            pd_kv_collect_end(&r->collect, &r->out);
        }
        finish(r, PD_KV_ANSWER_RANGE);
        return PD_KV_DONE;
    }
    if (r->need > 0 && !pd_kv_read_may_take(kv, r, r->need)) {
        return PD_KV_FULL;
    }
    r->need = 0;
    pd_kv_want_scan(kv, PD_KV_SLOT_READS + read, &r->scan);
    return PD_KV_FETCH;
}

struct pd_span pd_kv_read_answer(const struct pd_kv *kv, uint32_t read)
{
    const struct pd_kv_reading *r = reading(kv, read);
    pd_assert(r->is_done);
    return pd_kv_span(r->out.bytes + r->answer_begin, r->out.size - r->answer_begin);
}
