/* torn - what makes a command whole that was larger than the overlay: attachments wait for its end,
 * and its rows can be walked again, to be given up or to remove the attachments that they left. */
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/mutant.h"
#include "base/sometimes.h"
#include "kv/internal.h"

#define LISTED_HEAD 5u /* kind u8, size u32 */

/* -- Attachments ------------------------------------------------------------------------------- */

/* Every put may attach its key; what is detached fills what is left of PD_KV_LEFT_BYTES. */
uint32_t pd_kv_attachments_max(const struct pd_kv_config *config, size_t *bytes_out)
{
    uint32_t puts = pd_kv_command_ops_max(&config->limits);
    size_t head = LISTED_HEAD + 9;
    *bytes_out = (size_t)config->limits.request_bytes_max + puts * head + PD_KV_LEFT_BYTES;
    return puts + PD_KV_LEFT_BYTES / (uint32_t)(head + 1);
}

void pd_kv_attach_later(struct pd_kv *kv, enum pd_kv_entry_kind kind, int64_t lease,
                        struct pd_span key)
{
    struct pd_kv_apply *apply = &kv->apply;
    pd_kv_attachment_key(&kv->scratch_key, lease, key);
    size_t size = LISTED_HEAD + kv->scratch_key.size;
    if (kind == PD_KV_ENTRY_DELETE) {
        if (size > PD_KV_LEFT_BYTES - apply->left_bytes) {
            apply->left_many = true;
            return;
        }
        apply->left_bytes += size;
    }
    pd_assert(size <= apply->attachments_max - apply->attachments_size);
    uint8_t *to = apply->attachments + apply->attachments_size;
    to[0] = (uint8_t)kind;
    pd_put_u32(to + 1, (uint32_t)kv->scratch_key.size);
    memcpy(to + LISTED_HEAD, kv->scratch_key.bytes, kv->scratch_key.size);
    apply->attachments_size += size;
    apply->attachments_room += pd_kv_overlay_entry_size(kv->scratch_key.size, 0);
}

void pd_kv_write_attachments(struct pd_kv *kv)
{
    const struct pd_kv_apply *apply = &kv->apply;
    for (size_t at = 0; at < apply->attachments_size;) {
        const uint8_t *from = apply->attachments + at;
        struct pd_span key = pd_kv_span(from + LISTED_HEAD, pd_get_u32(from + 1));
        pd_kv_write_row(kv, (enum pd_kv_entry_kind)from[0], key, pd_kv_span(NULL, 0),
                        pd_kv_span(NULL, 0), PD_KV_ROW_INDEXED | PD_KV_ROW_JOINED);
        at += LISTED_HEAD + key.size;
    }
}

/* -- The walk ---------------------------------------------------------------------------------- */

/* What is done with each row; false: there is no room. */
typedef bool (*walk_act)(struct pd_kv *kv, const struct pd_kv_trace *trace);

static bool has_room(const struct pd_kv *kv, size_t key_size)
{
    uint64_t need = 4 * pd_kv_overlay_entry_size(2 * key_size + 64, 0) + 4096;
    return pd_kv_overlay_room_left(&kv->overlay) >= need;
}

static bool undo_row(struct pd_kv *kv, const struct pd_kv_trace *trace)
{
    struct pd_span none = {0};
    if (!has_room(kv, trace->key.size)) {
        return false;
    }
    pd_kv_x_key(&kv->scratch_key, trace->key, trace->revision, trace->sub);
    pd_kv_write_row(kv, PD_KV_ENTRY_DELETE, pd_kv_place_span(&kv->scratch_key), none, none, 0);
    pd_kv_h_key(&kv->scratch_key, trace->revision, trace->sub);
    pd_kv_write_row(kv, PD_KV_ENTRY_DELETE, pd_kv_place_span(&kv->scratch_key), none, none, 0);
    return true;
}

static bool detach_row(struct pd_kv *kv, const struct pd_kv_trace *trace)
{
    struct pd_span none = {0};
    if (!has_room(kv, trace->key.size)) {
        return false;
    }
    if (trace->left_lease != 0) {
        pd_kv_attachment_key(&kv->scratch_key, trace->left_lease, trace->key);
        pd_kv_write_row(kv, PD_KV_ENTRY_DELETE, pd_kv_place_span(&kv->scratch_key), none, none,
                        PD_KV_ROW_INDEXED);
        kv->finished = kv->overlay.head;
    }
    return true;
}

/* Rows that the overlay holds; the others are fetched. */
static enum pd_kv_progress walk_step(struct pd_kv *kv, struct pd_kv_walk *walk, walk_act act,
                                     uint32_t slot, uint32_t budget)
{
    for (; walk->at < walk->end; budget--) {
        if (budget == 0) {
            return PD_KV_MORE;
        }
        pd_kv_h_key(&kv->scratch_key, walk->revision, walk->at);
        struct pd_span key = pd_kv_place_span(&kv->scratch_key);
        uint64_t position = pd_kv_overlay_seek(&kv->overlay, key);
        const struct pd_kv_entry *entry =
            position == 0 ? NULL : pd_kv_overlay_at(&kv->overlay, position);
        struct pd_kv_trace trace;
        if (entry == NULL || !pd_kv_span_equal(pd_kv_entry_key(entry), key)) {
            if (!has_room(kv, kv->config.limits.key_bytes_max)) {
                return PD_KV_FULL; /* a page would be read for nothing, again and again */
            }
            pd_kv_h_key(&kv->scratch_end, walk->revision, walk->end);
            pd_kv_want(kv, slot, key, pd_kv_place_span(&kv->scratch_end), 0);
            return PD_KV_FETCH;
        }
        bool is_whole = pd_kv_h_parse(key, pd_kv_entry_value(entry), &trace);
        pd_assert(is_whole);
        if (!act(kv, &trace)) {
            return PD_KV_FULL;
        }
        walk->at++;
    }
    return PD_KV_DONE;
}

static enum pd_status walk_page(struct pd_kv *kv, struct pd_kv_walk *walk, walk_act act,
                                const struct pd_store_page *page)
{
    struct pd_span key = {0};
    struct pd_span value = {0};
    size_t at = 0;
    bool is_bad = page->row_count == 0;
    uint32_t first = walk->at;
    while (pd_kv_page_row(page, &at, &key, &value, &is_bad)) {
        struct pd_kv_trace trace;
        if (!pd_kv_h_parse(key, value, &trace) || trace.revision != walk->revision ||
            trace.key.size > kv->config.limits.key_bytes_max) {
            return PD_ERR_CORRUPT;
        }
        if (trace.sub != walk->at) {
            /* Not the one that was asked for is damage; further on, the overlay has it. */
            is_bad = walk->at == first;
            break;
        }
        if (!act(kv, &trace)) {
            break; /* the rest is fetched again */
        }
        walk->at++;
    }
    return is_bad ? PD_ERR_CORRUPT : PD_OK;
}

/* -- Giving up --------------------------------------------------------------------------------- */

void pd_kv_undo_begin(struct pd_kv *kv)
{
    struct pd_kv_apply *apply = &kv->apply;
    apply->scan.is_open = false;
    apply->op_open = false;
    apply->phase = PD_KV_PHASE_FINISH;
    bool is_in_store = kv->may_be_torn || kv->taken > apply->position;
    if (apply->sub > 0 && is_in_store && !PD_MUTANT(KV_UNDO_SKIPPED)) {
        PD_SOMETIMES(KV_UNDONE, true);
        apply->phase = PD_KV_PHASE_UNDO;
        apply->walk = (struct pd_kv_walk){.revision = kv->meta.revision + 1, .end = apply->sub};
    } else if (kv->taken <= apply->position) {
        pd_kv_overlay_take_back(&kv->overlay, apply->position);
    }
    apply->next.keys_hash = kv->meta.keys_hash;
    apply->next.key_count = kv->meta.key_count;
    apply->sub = 0;
    apply->event_count = 0;
    apply->events_cut = false;
    apply->effect = 0;
    apply->attachments_size = 0;
    apply->attachments_room = 0;
    apply->left_many = false;
}

enum pd_status pd_kv_undo_supply(struct pd_kv *kv, const struct pd_store_page *page)
{
    return walk_page(kv, &kv->apply.walk, undo_row, page);
}

enum pd_kv_progress pd_kv_undo_step(struct pd_kv *kv, uint32_t budget)
{
    enum pd_kv_progress progress =
        walk_step(kv, &kv->apply.walk, undo_row, PD_KV_SLOT_APPLY, budget);
    kv->apply.is_fetching = progress == PD_KV_FETCH;
    kv->apply.is_blocked = progress == PD_KV_FULL;
    if (progress == PD_KV_DONE) {
        kv->apply.phase = PD_KV_PHASE_DRAIN;
        return PD_KV_MORE;
    }
    return progress;
}

/* The next command writes at the same revision: until the rows are gone from store and overlay it
 * would see them. */
enum pd_kv_progress pd_kv_drain_step(struct pd_kv *kv)
{
    kv->apply.is_blocked = kv->overlay.tail != kv->overlay.head;
    if (kv->apply.is_blocked) {
        return PD_KV_FULL;
    }
    pd_kv_cancel_prefetches(kv);
    kv->may_be_torn = false;
    kv->apply.phase = PD_KV_PHASE_FINISH;
    return PD_KV_MORE;
}

/* -- Attachments that were too many ------------------------------------------------------------ */

void pd_kv_detach_begin(struct pd_kv *kv)
{
    kv->detach = (struct pd_kv_walk){.revision = kv->meta.revision, .end = kv->meta.left_subs};
}

enum pd_status pd_kv_detach_supply(struct pd_kv *kv, const struct pd_store_page *page)
{
    return walk_page(kv, &kv->detach, detach_row, page);
}

enum pd_kv_progress pd_kv_detach_step(struct pd_kv *kv, uint32_t budget)
{
    if (kv->slots[PD_KV_SLOT_LOAD].state != PD_KV_SLOT_FREE) {
        return PD_KV_FETCH;
    }
    enum pd_kv_progress progress = walk_step(kv, &kv->detach, detach_row, PD_KV_SLOT_LOAD, budget);
    if (progress != PD_KV_DONE) {
        return progress;
    }
    if (pd_kv_overlay_room_left(&kv->overlay) < 4096) {
        return PD_KV_FULL;
    }
    kv->meta.left_subs = 0;
    pd_kv_write_meta(kv);
    kv->finished = kv->overlay.head;
    return PD_KV_DONE;
}
