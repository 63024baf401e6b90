/* revoke - the keys of a lease go away with it, in one revision, a bounded number a step. */
#include <string.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "kv/internal.h"

static void attachments_end(struct pd_kv *kv)
{
    pd_kv_id_key(&kv->scratch_end, 'a', (uint64_t)kv->apply.command.id);
    /* Behind every key: attachments of one lease share nine bytes. */
    memset(kv->scratch_end.bytes + 9, 0xff, kv->config.limits.key_bytes_max + 1);
    kv->scratch_end.size = 9 + kv->config.limits.key_bytes_max + 1;
}

static void end_revoke(struct pd_kv *kv)
{
    struct pd_kv_apply *apply = &kv->apply;
    struct pd_kv_lease *lease = pd_kv_lease_find(kv, apply->command.id);
    pd_assert(lease != NULL);
    pd_kv_hash_subtract(&apply->next.tables_hash, pd_kv_lease_hash(lease));
    apply->lease_row = apply->command.id;
    pd_kv_lease_remove(kv, lease);
    apply->phase = PD_KV_PHASE_FINISH;
}

enum pd_kv_progress pd_kv_revoke_step(struct pd_kv *kv, uint32_t budget)
{
    struct pd_kv_apply *apply = &kv->apply;
    (void)budget;
    if (apply->revoke_done || PD_MUTANT(KV_REVOKE_LEAVES_KEYS)) {
        end_revoke(kv);
        return PD_KV_MORE;
    }
    if (apply->victim.size == 0) {
        attachments_end(kv);
        pd_kv_want(kv, PD_KV_SLOT_APPLY, pd_kv_place_span(&apply->lease_at),
                   pd_kv_place_span(&kv->scratch_end), 1);
        apply->is_fetching = true;
        return PD_KV_FETCH;
    }
    struct pd_kv_found old;
    struct pd_span key = pd_kv_place_span(&apply->victim);
    int64_t revision = kv->meta.revision + (apply->sub > 0);
    uint32_t sub = apply->sub > 0 ? apply->sub - 1 : PD_KV_SUB_LAST;
    if (!pd_kv_need(kv, key, revision, sub, false, &old)) {
        return PD_KV_FETCH;
    }
    if (old.record.version != 0 && old.record.lease == apply->command.id &&
        !pd_kv_write_tombstone(kv, &old)) {
        return PD_KV_FULL;
    }
    apply->held_valid = false;
    pd_kv_id_key(&apply->lease_at, 'a', (uint64_t)apply->command.id);
    memcpy(apply->lease_at.bytes + 9, key.bytes, key.size);
    apply->lease_at.bytes[9 + key.size] = 0;
    apply->lease_at.size = 9 + key.size + 1;
    apply->victim.size = 0;
    return PD_KV_MORE;
}

/* The first attachment at or behind lease_at: the store's row and the overlay's view of it
 * together. */
enum pd_status pd_kv_revoke_supply(struct pd_kv *kv, const struct pd_store_page *page)
{
    struct pd_kv_apply *apply = &kv->apply;
    struct pd_span key = {0};
    struct pd_span value = {0};
    size_t at = 0;
    bool is_bad = false;
    bool has_row = pd_kv_page_row(page, &at, &key, &value, &is_bad);
    if (is_bad || (has_row && (key.size <= 9 || key.size > kv->row_key_max))) {
        return PD_ERR_CORRUPT;
    }
    attachments_end(kv);
    uint64_t position = pd_kv_overlay_seek(&kv->overlay, pd_kv_place_span(&apply->lease_at));
    while (position != 0) {
        const struct pd_kv_entry *entry = pd_kv_overlay_at(&kv->overlay, position);
        struct pd_span own = pd_kv_entry_key(entry);
        if (pd_kv_span_compare(own, pd_kv_place_span(&kv->scratch_end)) >= 0) {
            break;
        }
        int order = has_row ? pd_kv_span_compare(own, key) : -1;
        if (order > 0) {
            break;
        }
        if (entry->kind == PD_KV_ENTRY_PUT) {
            key = own;
            has_row = true;
            break;
        }
        if (order == 0) {
            /* Detached meanwhile: look behind it. */
            pd_kv_place_set(&apply->lease_at, key);
            apply->lease_at.bytes[apply->lease_at.size++] = 0;
            return PD_OK;
        }
        position = pd_kv_overlay_next(&kv->overlay, position);
    }
    apply->revoke_done = !has_row;
    if (has_row) {
        pd_kv_place_set(&apply->victim, pd_kv_span(key.bytes + 9, key.size - 9));
    }
    return PD_OK;
}

enum pd_status pd_kv_apply_supply(struct pd_kv *kv, const struct pd_store_page *page)
{
    struct pd_kv_apply *apply = &kv->apply;
    apply->is_fetching = false;
    if (apply->phase == PD_KV_PHASE_UNDO) {
        return pd_kv_undo_supply(kv, page);
    }
    if (apply->phase == PD_KV_PHASE_REVOKE && apply->victim.size == 0) {
        return pd_kv_revoke_supply(kv, page);
    }
    return pd_kv_apply_supply_ops(kv, page);
}
