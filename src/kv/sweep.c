/* sweep - background work of this store alone: the removal of compacted rows.
 *
 * A version can go when a later one is not later than the compacted revision C. An 'h' row names
 * the version that its own replaced: so the 'h' rows up to C, in order, tell all that can go, and
 * no key is looked for. A tombstone goes by itself, but as in etcd not one at C, of which a watch
 * from C still tells; neither does C's own 'h' row. The removal up to the next C begins with it.
 *
 *   idle -> a compaction is visible in the store -> pages of 'h' rows -> deletions into the
 *   overlay, when no command is under way and it is empty enough -> the 'c' row says how far
 *
 * Deletions are made once more after a crash; that does no harm. They are not indexed: a read that
 * may still look at what goes is refused at its next step. */
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/mutant.h"
#include "base/sometimes.h"
#include "kv/internal.h"

#define PROGRESS_BYTES 28u /* done, target, revision, sub */

void pd_kv_sweep_clear(struct pd_kv *kv)
{
    struct pd_kv_sweep *sweep = &kv->sweep;
    *sweep = (struct pd_kv_sweep){.page = sweep->page, .page_max = sweep->page_max};
}

static void write_progress(struct pd_kv *kv)
{
    const struct pd_kv_sweep *sweep = &kv->sweep;
    uint8_t room[PROGRESS_BYTES];
    pd_put_u64(room, (uint64_t)sweep->done);
    pd_put_u64(room + 8, (uint64_t)sweep->target);
    pd_put_u64(room + 16, (uint64_t)sweep->revision);
    pd_put_u32(room + 24, sweep->sub);
    pd_kv_write_row(kv, PD_KV_ENTRY_PUT, pd_kv_span("c", 1), pd_kv_span(room, sizeof room),
                    pd_kv_span(NULL, 0), 0);
    kv->sweep.written = kv->overlay.head;
    kv->finished = kv->overlay.head;
}

bool pd_kv_sweep_load(struct pd_kv *kv, struct pd_span value)
{
    struct pd_kv_sweep *sweep = &kv->sweep;
    if (value.size != PROGRESS_BYTES) {
        return false;
    }
    sweep->done = (int64_t)pd_get_u64(value.bytes);
    sweep->target = (int64_t)pd_get_u64(value.bytes + 8);
    sweep->revision = (int64_t)pd_get_u64(value.bytes + 16);
    sweep->sub = pd_get_u32(value.bytes + 24);
    bool is_under_way = sweep->target != 0;
    return sweep->done >= 0 && sweep->done <= kv->meta.compacted && sweep->target >= 0 &&
           sweep->target <= kv->meta.compacted && (!is_under_way || sweep->target > sweep->done) &&
           sweep->revision >= 0 && sweep->revision <= sweep->target + 1;
}

/* Room that commands do not need: half of the overlay stays free, and while some of this is under
 * way, seven eighths. */
static bool has_room(struct pd_kv *kv)
{
    uint64_t ring = kv->overlay.ring_size;
    uint64_t keep = kv->visible < kv->sweep.written ? ring - ring / 8 : ring / 2;
    uint64_t row = pd_kv_overlay_entry_size(kv->row_key_max, PROGRESS_BYTES);
    uint64_t left = pd_kv_overlay_room_left(&kv->overlay);
    return left >= keep && left >= 8 * row;
}

static void remove_row(struct pd_kv *kv)
{
    pd_kv_write_row(kv, PD_KV_ENTRY_DELETE, pd_kv_place_span(&kv->scratch_key), pd_kv_span(NULL, 0),
                    pd_kv_span(NULL, 0), 0);
}

static void sweep_row(struct pd_kv *kv, const struct pd_kv_trace *trace)
{
    int64_t target = kv->sweep.target;
    /* What the target's own command wrote and replaced stays for a watch from there. The next
     * removal begins with that revision. */
    if (trace->replaced_revision != 0 && trace->replaced_revision < target) {
        pd_kv_x_key(&kv->scratch_key, trace->key, trace->replaced_revision, trace->replaced_sub);
        remove_row(kv);
    }
    bool is_before = trace->revision < target;
    if ((trace->is_delete && is_before && !PD_MUTANT(KV_SWEEP_TOMBSTONE_KEPT)) ||
        PD_MUTANT(KV_SWEEP_TAKES_NEWEST)) {
        pd_kv_x_key(&kv->scratch_key, trace->key, trace->revision, trace->sub);
        remove_row(kv);
    }
    if (is_before) {
        pd_kv_h_key(&kv->scratch_key, trace->revision, trace->sub);
        remove_row(kv);
    }
    kv->sweep.revision = trace->revision;
    kv->sweep.sub = trace->sub + 1;
}

/* -- Steps ------------------------------------------------------------------------------------- */

/* Whole rows only; the page is borrowed, so they are kept. */
enum pd_status pd_kv_sweep_supply(struct pd_kv *kv, const struct pd_store_page *page)
{
    struct pd_kv_sweep *sweep = &kv->sweep;
    struct pd_span key = {0};
    struct pd_span value = {0};
    size_t at = 0;
    size_t whole = 0;
    bool is_bad = false;
    while (pd_kv_page_row(page, &at, &key, &value, &is_bad)) {
        struct pd_kv_trace trace;
        if (!pd_kv_h_parse(key, value, &trace) || trace.revision > sweep->target ||
            trace.key.size > kv->config.limits.key_bytes_max) {
            return PD_ERR_CORRUPT;
        }
        if (at > sweep->page_max) {
            break;
        }
        whole = at;
    }
    if (is_bad) {
        return PD_ERR_CORRUPT;
    }
    if (whole > 0) {
        memcpy(sweep->page, page->bytes, whole);
    }
    sweep->page_size = whole;
    sweep->page_at = 0;
    sweep->page_is_last = page->is_complete && whole == page->size;
    return PD_OK;
}

/* A compaction whose command is visible in the store, and with it every row that it is about. */
static bool begin(struct pd_kv *kv)
{
    struct pd_kv_sweep *sweep = &kv->sweep;
    if (sweep->done >= kv->meta.compacted || kv->visible < sweep->ready) {
        return false;
    }
    sweep->target = kv->meta.compacted;
    sweep->revision = sweep->done; /* what lies below is gone */
    sweep->sub = 0;
    sweep->page_size = 0;
    sweep->page_at = 0;
    sweep->page_is_last = false;
    return true;
}

static void want_page(struct pd_kv *kv)
{
    pd_kv_h_key(&kv->scratch_key, kv->sweep.revision, kv->sweep.sub);
    pd_kv_h_key(&kv->scratch_end, kv->sweep.target + 1, 0);
    pd_kv_want(kv, PD_KV_SLOT_SWEEP, pd_kv_place_span(&kv->scratch_key),
               pd_kv_place_span(&kv->scratch_end), 0);
}

static enum pd_kv_progress work_off(struct pd_kv *kv, uint32_t budget)
{
    struct pd_kv_sweep *sweep = &kv->sweep;
    struct pd_store_page page = {.bytes = sweep->page, .size = sweep->page_size};
    enum pd_kv_progress progress = PD_KV_DONE;
    bool is_bad = false;
    while (progress == PD_KV_DONE && sweep->page_at < sweep->page_size) {
        struct pd_span key;
        struct pd_span value;
        struct pd_kv_trace trace;
        if (budget-- == 0) {
            progress = PD_KV_MORE;
        } else if (!has_room(kv)) {
            progress = PD_KV_FULL;
        } else if (pd_kv_page_row(&page, &sweep->page_at, &key, &value, &is_bad) &&
                   pd_kv_h_parse(key, value, &trace)) {
            sweep_row(kv, &trace);
        }
    }
    if (progress == PD_KV_DONE && sweep->page_is_last) {
        PD_SOMETIMES(KV_SWEPT, true);
        sweep->done = sweep->target;
        sweep->target = 0;
        sweep->revision = 0;
        sweep->sub = 0;
    }
    write_progress(kv);
    return progress;
}

enum pd_kv_progress pd_kv_background_step(struct pd_kv *kv, uint32_t budget)
{
    struct pd_kv_sweep *sweep = &kv->sweep;
    budget = budget == 0 ? 1 : budget;
    if (kv->load_stage != PD_KV_LOAD_DONE) {
        return PD_KV_DONE;
    }
    if (kv->meta.left_subs > 0 && kv->apply.phase == PD_KV_PHASE_IDLE) {
        return pd_kv_detach_step(kv, budget) == PD_KV_FETCH ? PD_KV_FETCH : PD_KV_MORE;
    }
    if (sweep->target == 0 && !begin(kv)) {
        return PD_KV_DONE;
    }
    if (kv->slots[PD_KV_SLOT_SWEEP].state != PD_KV_SLOT_FREE) {
        return PD_KV_FETCH;
    }
    if (sweep->page_at == sweep->page_size && !sweep->page_is_last) {
        want_page(kv);
        return PD_KV_FETCH;
    }
    if (kv->apply.phase != PD_KV_PHASE_IDLE) {
        return PD_KV_MORE; /* its rows do not lie among those of a command */
    }
    if (!has_room(kv)) {
        return PD_KV_FULL;
    }
    return work_off(kv, budget);
}
