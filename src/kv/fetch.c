/* fetch - rows that are wanted from the store: slots in two queues, and which overlay rows must
 * stay because a fetch under way may not have seen them in the store. */
#include "base/assert.h"
#include "kv/internal.h"

/* -- Queues ------------------------------------------------------------------------------------ */

static struct pd_kv_slot_list *list_of(struct pd_kv *kv, enum pd_kv_slot_state state)
{
    return state == PD_KV_SLOT_QUEUED ? &kv->slots_queued : &kv->slots_out;
}

static void list_add(struct pd_kv *kv, uint32_t index, enum pd_kv_slot_state state, bool in_front)
{
    struct pd_kv_slot_list *list = list_of(kv, state);
    struct pd_kv_slot *slot = &kv->slots[index];
    slot->state = state;
    slot->before = in_front ? PD_KV_SLOT_NONE : list->last;
    slot->after = in_front ? list->first : PD_KV_SLOT_NONE;
    *(slot->before == PD_KV_SLOT_NONE ? &list->first : &kv->slots[slot->before].after) = index;
    *(slot->after == PD_KV_SLOT_NONE ? &list->last : &kv->slots[slot->after].before) = index;
}

static void list_remove(struct pd_kv *kv, uint32_t index)
{
    struct pd_kv_slot *slot = &kv->slots[index];
    struct pd_kv_slot_list *list = list_of(kv, slot->state);
    *(slot->before == PD_KV_SLOT_NONE ? &list->first : &kv->slots[slot->before].after) =
        slot->after;
    *(slot->after == PD_KV_SLOT_NONE ? &list->last : &kv->slots[slot->after].before) = slot->before;
    slot->state = PD_KV_SLOT_FREE;
}

void pd_kv_slots_clear(struct pd_kv *kv)
{
    for (uint32_t i = 0; i < kv->slot_count; i++) {
        kv->slots[i].state = PD_KV_SLOT_FREE;
        kv->slots[i].generation = (kv->slots[i].generation + 1) & UINT16_MAX;
    }
    kv->slots_queued = (struct pd_kv_slot_list){PD_KV_SLOT_NONE, PD_KV_SLOT_NONE};
    kv->slots_out = kv->slots_queued;
}

void pd_kv_slot_cancel(struct pd_kv *kv, uint32_t index)
{
    struct pd_kv_slot *slot = &kv->slots[index];
    if (slot->state != PD_KV_SLOT_FREE) {
        list_remove(kv, index);
    }
    slot->generation = (slot->generation + 1) & UINT16_MAX;
}

void pd_kv_cancel_prefetches(struct pd_kv *kv)
{
    for (uint32_t i = pd_kv_first_prefetch_slot(kv); i < kv->slot_count; i++) {
        pd_kv_slot_cancel(kv, i);
    }
}

void pd_kv_want(struct pd_kv *kv, uint32_t index, struct pd_span low, struct pd_span high,
                uint32_t rows_max)
{
    struct pd_kv_slot *slot = &kv->slots[index];
    pd_assert(slot->state == PD_KV_SLOT_FREE);
    slot->generation = (slot->generation + 1) & UINT16_MAX;
    pd_kv_place_set(&slot->low, low);
    pd_kv_place_set(&slot->high, high);
    slot->rows_max = rows_max;
    list_add(kv, index, PD_KV_SLOT_QUEUED, index == PD_KV_SLOT_APPLY);
}

static bool is_of_large_read(const struct pd_kv *kv, uint32_t index)
{
    return index >= PD_KV_SLOT_READS && index < pd_kv_first_history_slot(kv) &&
           kv->reads[index - PD_KV_SLOT_READS].is_large;
}

bool pd_kv_next_fetch(struct pd_kv *kv, struct pd_kv_fetch *fetch_out)
{
    uint32_t index = kv->slots_queued.first;
    if (index == PD_KV_SLOT_NONE) {
        return false;
    }
    struct pd_kv_slot *slot = &kv->slots[index];
    list_remove(kv, index);
    list_add(kv, index, PD_KV_SLOT_OUT, false);
    slot->mark = kv->visible;
    *fetch_out = (struct pd_kv_fetch){
        .id = slot->generation << 16 | index,
        .low = pd_kv_place_span(&slot->low),
        .high = pd_kv_place_span(&slot->high),
        .is_urgent = index == PD_KV_SLOT_APPLY,
        .rows_max = slot->rows_max,
        .bytes_max =
            is_of_large_read(kv, index) ? kv->config.large_page_bytes : kv->config.page_bytes,
    };
    return true;
}

void pd_kv_release_rows(struct pd_kv *kv)
{
    uint64_t least = kv->visible;
    if (kv->slots_out.first != PD_KV_SLOT_NONE && kv->slots[kv->slots_out.first].mark < least) {
        least = kv->slots[kv->slots_out.first].mark;
    }
    /* Records of an unfinished command that leave memory before they count: the cache forgets
     * what they replace, so that it is not taken for the command's own view. */
    for (uint64_t at = pd_kv_overlay_from(&kv->overlay, 0); at < least && least > kv->finished;
         at = pd_kv_overlay_after(&kv->overlay, at)) {
        const struct pd_kv_entry *entry = pd_kv_overlay_at(&kv->overlay, at);
        struct pd_span key = pd_kv_entry_key(entry);
        struct pd_kv_row row;
        if (at >= kv->finished && entry->kind == PD_KV_ENTRY_PUT && key.bytes[0] == 'x' &&
            pd_kv_x_parse(key, pd_kv_entry_value(entry), &kv->scratch_user, &row)) {
            pd_kv_cache_drop(&kv->cache, row.found.record.key);
        }
    }
    if (least > kv->overlay.tail) {
        pd_kv_overlay_release(&kv->overlay, least);
    }
}

/* -- What comes in ----------------------------------------------------------------------------- */

/* A prefetched row goes to the cache, unless something newer is known by now. */
static enum pd_status supply_prefetch(struct pd_kv *kv, struct pd_kv_slot *slot,
                                      const struct pd_store_page *page)
{
    struct pd_span key = {0};
    struct pd_span value = {0};
    size_t at = 0;
    bool is_bad = false;
    struct pd_kv_row row = {.found = {.has_value = true}};
    if (pd_kv_page_row(page, &at, &key, &value, &is_bad)) {
        is_bad = key.size > kv->row_key_max ||
                 !pd_kv_x_parse(key, value, &kv->scratch_user, &row) ||
                 !pd_kv_span_equal(row.found.record.key, pd_kv_place_span(&slot->key));
    }
    struct pd_kv_found known;
    if (!is_bad && row.found.record.mod_revision <= kv->meta.revision && pd_kv_is_settled(kv) &&
        !pd_kv_lookup(kv, pd_kv_place_span(&slot->key), INT64_MAX, PD_KV_SUB_LAST, &known)) {
        pd_kv_cache_put(&kv->cache, pd_kv_place_span(&slot->key), &row.found);
    }
    return is_bad ? PD_ERR_CORRUPT : PD_OK;
}

enum pd_status pd_kv_supply(struct pd_kv *kv, uint32_t id, const struct pd_store_page *page)
{
    uint32_t index = id & UINT16_MAX;
    if (index >= kv->slot_count || kv->slots[index].state != PD_KV_SLOT_OUT ||
        kv->slots[index].generation != id >> 16) {
        return PD_ERR_UNKNOWN;
    }
    struct pd_kv_slot *slot = &kv->slots[index];
    list_remove(kv, index);
    enum pd_status status = PD_OK;
    if (index == PD_KV_SLOT_APPLY) {
        status = pd_kv_apply_supply(kv, page);
    } else if (index == PD_KV_SLOT_LOAD) {
        status = kv->load_stage == PD_KV_LOAD_DONE ? pd_kv_detach_supply(kv, page)
                                                   : pd_kv_load_supply(kv, page);
    } else if (index == PD_KV_SLOT_VERIFY) {
        status = pd_kv_verify_supply(kv, page);
    } else if (index == PD_KV_SLOT_SWEEP) {
        status = pd_kv_sweep_supply(kv, page);
    } else if (index < pd_kv_first_history_slot(kv)) {
        status = pd_kv_read_supply(kv, index - PD_KV_SLOT_READS, page);
    } else if (index < pd_kv_first_prefetch_slot(kv)) {
        status = pd_kv_history_supply(kv, index - pd_kv_first_history_slot(kv), page);
    } else {
        status = supply_prefetch(kv, slot, page);
    }
    pd_kv_release_rows(kv);
    return status;
}

/* The key that an operation looks up by itself; empty: none. */
static struct pd_span key_of(const struct pd_kv_op *op)
{
    if (op->kind == PD_KV_OP_PUT) {
        return op->as.put.key;
    }
    if (op->kind == PD_KV_OP_DELETE && op->as.delete_range.range_end.size == 0) {
        return op->as.delete_range.key;
    }
    if (op->kind == PD_KV_OP_RANGE && op->as.range.range_end.size == 0 &&
        op->as.range.revision <= 0) {
        return op->as.range.key;
    }
    return pd_kv_span(NULL, 0);
}

/* false: no slot is free. */
static bool prefetch_key(struct pd_kv *kv, struct pd_span key)
{
    struct pd_kv_found known;
    if (key.size == 0 || pd_kv_lookup(kv, key, INT64_MAX, PD_KV_SUB_LAST, &known)) {
        return true;
    }
    uint32_t index = pd_kv_first_prefetch_slot(kv) + kv->prefetch_next++ % kv->config.prefetch_max;
    if (kv->slots[index].state != PD_KV_SLOT_FREE) {
        return false;
    }
    pd_kv_x_prefix(&kv->scratch_key, key);
    pd_kv_x_prefix(&kv->scratch_end, key);
    kv->scratch_end.bytes[kv->scratch_end.size - 1]++;
    pd_kv_want(kv, index, pd_kv_place_span(&kv->scratch_key), pd_kv_place_span(&kv->scratch_end),
               1);
    pd_kv_place_set(&kv->slots[index].key, key);
    return true;
}

void pd_kv_prefetch(struct pd_kv *kv, struct pd_span envelope_bytes)
{
    struct pd_kv_envelope envelope;
    if (kv->config.prefetch_max == 0 || pd_kv_envelope_decode(envelope_bytes, &envelope) != PD_OK) {
        return;
    }
    struct pd_kv_command command;
    if (pd_kv_command_decode(envelope.command, &kv->config.limits, &kv->prefetch_room, &command) !=
            PD_KV_OK ||
        command.kind != PD_KV_OPS) {
        return;
    }
    bool has_slot = true;
    for (uint32_t i = 0; has_slot && i < command.op_count; i++) {
        has_slot = prefetch_key(kv, key_of(&command.ops[i]));
    }
    for (uint32_t i = 0; has_slot && i < command.compare_count; i++) {
        const struct pd_kv_compare *compare = &command.compares[i];
        has_slot = compare->range_end.size > 0 || prefetch_key(kv, compare->key);
    }
}
