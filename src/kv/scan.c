#include <string.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "base/sometimes.h"
#include "kv/internal.h"

static const uint8_t x_end[] = {'y'};

void pd_kv_scan_open(struct pd_kv *kv, struct pd_kv_scan *scan, struct pd_span key,
                     struct pd_span range_end, int64_t revision, uint32_t sub)
{
    (void)kv;
    pd_kv_x_prefix(&scan->at, key);
    if (range_end.size == 0) {
        pd_kv_x_prefix(&scan->end, key);
        scan->end.bytes[scan->end.size - 1]++;
    } else if (pd_kv_range_end_is_open(range_end)) {
        pd_kv_place_set(&scan->end, pd_kv_span(x_end, 1));
    } else {
        pd_kv_x_prefix(&scan->end, range_end);
    }
    scan->done.size = 0;
    scan->revision = revision;
    scan->sub = sub;
    scan->is_open = true;
    scan->is_complete =
        pd_kv_span_compare(pd_kv_place_span(&scan->at), pd_kv_place_span(&scan->end)) >= 0;
}

void pd_kv_want_scan(struct pd_kv *kv, uint32_t slot, const struct pd_kv_scan *scan)
{
    pd_kv_want(kv, slot, pd_kv_place_span(&scan->at), pd_kv_place_span(&scan->end), 0);
}

/* The key part of an 'x' row key: all before ~revision, ~sub. */
static struct pd_span key_part(struct pd_span row_key)
{
    return pd_kv_span(row_key.bytes, row_key.size - PD_KV_X_TAIL);
}

/* Behind every version of the key that was decided last. */
static void step_over(struct pd_kv_scan *scan)
{
    pd_kv_place_set(&scan->at, pd_kv_place_span(&scan->done));
    scan->at.bytes[scan->at.size - 1]++;
}

/* Look at one row, in order. false: the taker stopped before it. */
static bool look_at(struct pd_kv *kv, struct pd_kv_scan *scan, struct pd_span row_key,
                    struct pd_span value, pd_kv_take_record take, void *context, bool *is_bad)
{
    struct pd_kv_row row;
    if (row_key.size > kv->row_key_max || !pd_kv_x_parse(row_key, value, &kv->scratch_user, &row)) {
        *is_bad = true;
        return false;
    }
    if (pd_kv_span_equal(key_part(row_key), pd_kv_place_span(&scan->done))) {
        return true;
    }
    int64_t revision = row.found.record.mod_revision;
    if (revision > scan->revision || (revision == scan->revision && row.found.sub > scan->sub)) {
        pd_kv_place_set(&scan->at, row_key);
        scan->at.bytes[scan->at.size++] = 0; /* the next possible row key */
        return true;
    }
    bool is_seen = row.found.record.version != 0 || PD_MUTANT(KV_TOMBSTONE_VISIBLE);
    if (is_seen && !take(kv, context, &row)) {
        return false;
    }
    pd_kv_place_set(&scan->done, key_part(row_key));
    step_over(scan);
    return true;
}

/* The overlay's next row at or behind `at` that the page speaks for; 0: none. */
static uint64_t overlay_row(struct pd_kv *kv, const struct pd_kv_scan *scan)
{
    uint64_t position = pd_kv_overlay_seek(&kv->overlay, pd_kv_place_span(&scan->at));
    if (position == 0 ||
        pd_kv_span_compare(pd_kv_entry_key(pd_kv_overlay_at(&kv->overlay, position)),
                           pd_kv_place_span(&scan->end)) >= 0) {
        return 0;
    }
    return position;
}

enum pd_status pd_kv_scan_page(struct pd_kv *kv, struct pd_kv_scan *scan,
                               const struct pd_store_page *page, pd_kv_take_record take,
                               void *context)
{
    size_t page_at = 0;
    bool is_bad = false;
    struct pd_span key = {0};
    struct pd_span value = {0};
    bool has_row = pd_kv_page_row(page, &page_at, &key, &value, &is_bad);
    while (!is_bad) {
        if (has_row && pd_kv_span_compare(key, pd_kv_place_span(&scan->at)) < 0) {
            has_row = pd_kv_page_row(page, &page_at, &key, &value, &is_bad);
            continue;
        }
        uint64_t position = overlay_row(kv, scan);
        if (!has_row && (!page->is_complete || position == 0)) {
            break;
        }
        bool from_overlay = false;
        if (position != 0) {
            const struct pd_kv_entry *entry = pd_kv_overlay_at(&kv->overlay, position);
            from_overlay = !has_row || pd_kv_span_compare(pd_kv_entry_key(entry), key) <= 0;
            PD_SOMETIMES(KV_SCAN_MERGED, from_overlay && has_row);
            if (from_overlay && !look_at(kv, scan, pd_kv_entry_key(entry), pd_kv_entry_value(entry),
                                         take, context, &is_bad)) {
                return is_bad ? PD_ERR_CORRUPT : PD_OK;
            }
        }
        if (!from_overlay && !look_at(kv, scan, key, value, take, context, &is_bad)) {
            return is_bad ? PD_ERR_CORRUPT : PD_OK;
        }
    }
    scan->is_complete = page->is_complete;
    return is_bad ? PD_ERR_CORRUPT : PD_OK;
}

bool pd_kv_lookup(struct pd_kv *kv, struct pd_span key, int64_t revision, uint32_t sub,
                  struct pd_kv_found *found_out)
{
    bool is_current = revision >= kv->meta.revision;
    if (is_current && pd_kv_seen_excludes(&kv->seen, key)) {
        PD_SOMETIMES(KV_KEY_IS_NEW, true);
        *found_out = (struct pd_kv_found){.record = {.key = key}, .has_value = true};
        return true;
    }
    /* What the cache knows is what counts now, and costs a tenth of a search: unless the command
     * that is under way has written, which it is not told of before the end. A value that it has no
     * room for may still be in the overlay. */
    if (pd_kv_is_settled(kv) && is_current && pd_kv_cache_get(&kv->cache, key, found_out) &&
        found_out->has_value) {
        return true;
    }
    pd_kv_x_key(&kv->scratch_key, key, revision, sub);
    uint64_t position = pd_kv_overlay_seek(&kv->overlay, pd_kv_place_span(&kv->scratch_key));
    if (position != 0) {
        const struct pd_kv_entry *entry = pd_kv_overlay_at(&kv->overlay, position);
        struct pd_span row_key = pd_kv_entry_key(entry);
        struct pd_span want = key_part(pd_kv_place_span(&kv->scratch_key));
        if (row_key.size == kv->scratch_key.size && pd_kv_span_equal(key_part(row_key), want)) {
            struct pd_kv_row row;
            bool is_whole =
                pd_kv_x_parse(row_key, pd_kv_entry_value(entry), &kv->scratch_user, &row);
            pd_assert(is_whole);
            *found_out = row.found;
            found_out->record.key = key;
            return true;
        }
    }
    bool is_known = is_current && pd_kv_cache_get(&kv->cache, key, found_out);
    PD_SOMETIMES(KV_ROW_MISSING, !is_known);
    return is_known;
}
