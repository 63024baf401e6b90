#include "wasm/timer_ids.h"

#include <stddef.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

#define CAPACITY_FIRST 4u

static void forget_due(struct pd_timer_ids *ids, uint64_t now_ns)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < ids->count; i++) {
        if (ids->entries[i].deadline_ns > now_ns) {
            ids->entries[kept++] = ids->entries[i];
        }
    }
    ids->count = kept;
}

enum pd_status pd_timer_ids_reserve(struct pd_timer_ids *ids, uint64_t now_ns)
{
    if (ids->count < ids->capacity) {
        return PD_OK;
    }
    forget_due(ids, now_ns);
    /* Growing at half keeps the average cost of forgetting constant. */
    if (ids->count < ids->capacity / 2 ||
        (ids->capacity == PD_TIMER_IDS_MAX && ids->count < PD_TIMER_IDS_MAX)) {
        return PD_OK;
    }
    if (ids->capacity == PD_TIMER_IDS_MAX) {
        return PD_ERR_FULL;
    }
    uint32_t capacity = ids->capacity == 0 ? CAPACITY_FIRST : ids->capacity * 2;
    struct pd_timer_id *entries = pd_realloc(ids->entries, capacity * sizeof *entries);
    if (entries == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    ids->entries = entries;
    ids->capacity = capacity;
    return PD_OK;
}

uint64_t pd_timer_ids_add(struct pd_timer_ids *ids, uint64_t runtime_id, uint64_t deadline_ns)
{
    pd_assert(ids->count < ids->capacity);
    uint64_t id = ids->next_id++;
    ids->entries[ids->count++] =
        (struct pd_timer_id){.id = id, .runtime_id = runtime_id, .deadline_ns = deadline_ns};
    return id;
}

bool pd_timer_ids_take(struct pd_timer_ids *ids, uint64_t id, uint64_t *runtime_id_out)
{
    uint32_t low = 0;
    uint32_t high = ids->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (ids->entries[middle].id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == ids->count || ids->entries[low].id != id) {
        return false;
    }
    *runtime_id_out = ids->entries[low].runtime_id;
    ids->count--;
    memmove(&ids->entries[low], &ids->entries[low + 1], (ids->count - low) * sizeof *ids->entries);
    return true;
}

void pd_timer_ids_deinit(struct pd_timer_ids *ids)
{
    pd_free(ids->entries);
    *ids = (struct pd_timer_ids){0};
}
