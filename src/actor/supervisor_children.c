#include "actor/supervisor_children.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/hash.h"

#define CAPACITY_MIN 8u

void pd_children_init(struct pd_children *children, uint32_t max, bool is_dynamic, uint64_t seed)
{
    pd_assert(max > 0 && max <= PD_CHILDREN_MAX);
    *children = (struct pd_children){
        .seed = seed,
        .free = PD_CHILD_NONE,
        .max = max,
        .first = PD_CHILD_NONE,
        .last = PD_CHILD_NONE,
        .is_dynamic = is_dynamic,
    };
}

void pd_children_deinit(struct pd_children *children)
{
    for (uint32_t slot = 0; slot < children->fresh; slot++) {
        struct pd_child_record *record = &children->records[slot];
        if (record->spec != NULL) {
            pd_exit_text_release(record->exit.text);
            pd_child_spec_release(record->spec);
        }
    }
    pd_free(children->records);
    pd_free(children->pids.slots);
    pd_free(children->ids.slots);
    memset(children, 0, sizeof *children);
}

/* The two indexes differ only in what of the record is hashed. */
static uint64_t key_hash(const struct pd_children *children, const struct pd_children_index *index,
                         uint32_t slot)
{
    const struct pd_child_record *record = &children->records[slot];
    return index == &children->pids ? pd_hash_u64(children->seed, record->pid.value)
                                    : pd_hash_text(children->seed, record->spec->id);
}

static void index_insert(const struct pd_children *children, struct pd_children_index *index,
                         uint32_t slot)
{
    uint32_t mask = index->capacity - 1;
    uint32_t at = (uint32_t)key_hash(children, index, slot) & mask;
    while (index->slots[at] != PD_CHILD_NONE) {
        at = (at + 1) & mask;
    }
    index->slots[at] = slot;
}

/* Close the gap by moving back every later entry of the run that would no longer be found. */
static void index_remove(const struct pd_children *children, struct pd_children_index *index,
                         uint32_t slot)
{
    uint32_t mask = index->capacity - 1;
    uint32_t gap = (uint32_t)key_hash(children, index, slot) & mask;
    while (index->slots[gap] != slot) {
        pd_assert(index->slots[gap] != PD_CHILD_NONE);
        gap = (gap + 1) & mask;
    }
    for (uint32_t at = (gap + 1) & mask; index->slots[at] != PD_CHILD_NONE; at = (at + 1) & mask) {
        uint32_t home = (uint32_t)key_hash(children, index, index->slots[at]) & mask;
        if (((at - home) & mask) >= ((at - gap) & mask)) {
            index->slots[gap] = index->slots[at];
            gap = at;
        }
    }
    index->slots[gap] = PD_CHILD_NONE;
}

static uint32_t *index_create(uint32_t capacity)
{
    uint32_t *slots = pd_alloc(capacity * sizeof *slots);
    if (slots != NULL) {
        memset(slots, 0xFF, capacity * sizeof *slots); /* PD_CHILD_NONE */
    }
    return slots;
}

static void index_replace(struct pd_children_index *index, uint32_t *slots, uint32_t capacity)
{
    pd_free(index->slots);
    index->slots = slots;
    index->capacity = capacity;
}

/* Twice the records, and indexes at most half full. On error nothing changes. */
static enum pd_status grow(struct pd_children *children)
{
    uint32_t capacity = children->capacity == 0 ? CAPACITY_MIN : children->capacity * 2;
    uint32_t *pids = index_create(capacity * 2);
    uint32_t *ids = children->is_dynamic ? NULL : index_create(capacity * 2);
    struct pd_child_record *records = NULL;
    if (pids != NULL && (ids != NULL || children->is_dynamic)) {
        records = pd_realloc(children->records, capacity * sizeof *records);
    }
    if (records == NULL) {
        pd_free(pids);
        pd_free(ids);
        return PD_ERR_NO_MEMORY;
    }
    children->records = records;
    children->capacity = capacity;
    index_replace(&children->pids, pids, capacity * 2);
    index_replace(&children->ids, ids, capacity * 2);
    for (uint32_t slot = 0; slot < children->fresh; slot++) {
        if (records[slot].spec != NULL && records[slot].pid.value != 0) {
            index_insert(children, &children->pids, slot);
        }
        if (records[slot].spec != NULL && !children->is_dynamic) {
            index_insert(children, &children->ids, slot);
        }
    }
    return PD_OK;
}

enum pd_status pd_children_add(struct pd_children *children, struct pd_child_spec *spec,
                               uint32_t *slot_out)
{
    uint32_t holder = pd_children_find_id(children, spec->id);
    if (holder != PD_CHILD_NONE) {
        *slot_out = holder;
        return PD_ERR_EXISTS;
    }
    if (children->count == children->max) {
        return PD_ERR_FULL;
    }
    if (children->free == PD_CHILD_NONE && children->fresh == children->capacity) {
        enum pd_status status = grow(children);
        if (status != PD_OK) {
            return status;
        }
    }
    uint32_t slot = children->free;
    uint32_t generation = 1;
    if (slot != PD_CHILD_NONE) {
        children->free = children->records[slot].after;
        generation = children->records[slot].generation;
    } else {
        slot = children->fresh++;
    }
    children->records[slot] = (struct pd_child_record){
        .spec = pd_child_spec_share(spec),
        .before = children->last,
        .after = PD_CHILD_NONE,
        .generation = generation,
        .work_before = PD_CHILD_NONE,
        .work_after = PD_CHILD_NONE,
        .state = PD_CHILD_STOPPED,
    };
    if (children->last == PD_CHILD_NONE) {
        children->first = slot;
    } else {
        children->records[children->last].after = slot;
    }
    children->last = slot;
    children->count++;
    if (!children->is_dynamic) {
        index_insert(children, &children->ids, slot);
    }
    *slot_out = slot;
    return PD_OK;
}

void pd_children_remove(struct pd_children *children, uint32_t slot)
{
    struct pd_child_record *record = pd_children_at(children, slot);
    pd_assert(record->spec != NULL);
    pd_assert(record->pid.value == 0);
    pd_assert(!record->is_queued);
    pd_children_set_state(children, slot, PD_CHILD_STOPPED);
    pd_children_forget_exit(children, slot);
    if (!children->is_dynamic) {
        index_remove(children, &children->ids, slot);
    }
    if (record->before == PD_CHILD_NONE) {
        children->first = record->after;
    } else {
        children->records[record->before].after = record->after;
    }
    if (record->after == PD_CHILD_NONE) {
        children->last = record->before;
    } else {
        children->records[record->after].before = record->before;
    }
    pd_child_spec_release(record->spec);
    record->spec = NULL;
    record->generation = record->generation == UINT32_MAX ? 1 : record->generation + 1;
    record->after = children->free;
    children->free = slot;
    children->count--;
}

struct pd_child_id pd_children_name(const struct pd_children *children, uint32_t slot)
{
    uint64_t generation = children->records[slot].generation;
    return (struct pd_child_id){generation << 32 | slot};
}

uint32_t pd_children_find(const struct pd_children *children, struct pd_child_id child)
{
    uint32_t slot = (uint32_t)child.value;
    if (slot >= children->fresh || children->records[slot].spec == NULL ||
        children->records[slot].generation != child.value >> 32) {
        return PD_CHILD_NONE;
    }
    return slot;
}

uint32_t pd_children_find_pid(const struct pd_children *children, struct pd_pid pid)
{
    if (children->capacity == 0 || pid.value == 0) {
        return PD_CHILD_NONE;
    }
    uint32_t mask = children->pids.capacity - 1;
    uint32_t at = (uint32_t)pd_hash_u64(children->seed, pid.value) & mask;
    for (;; at = (at + 1) & mask) {
        uint32_t slot = children->pids.slots[at];
        if (slot == PD_CHILD_NONE || children->records[slot].pid.value == pid.value) {
            return slot;
        }
    }
}

uint32_t pd_children_find_id(const struct pd_children *children, const char *id)
{
    if (children->capacity == 0 || children->is_dynamic) {
        return PD_CHILD_NONE;
    }
    uint32_t mask = children->ids.capacity - 1;
    uint32_t at = (uint32_t)pd_hash_text(children->seed, id) & mask;
    for (;; at = (at + 1) & mask) {
        uint32_t slot = children->ids.slots[at];
        if (slot == PD_CHILD_NONE || strcmp(children->records[slot].spec->id, id) == 0) {
            return slot;
        }
    }
}

void pd_children_set_state(struct pd_children *children, uint32_t slot, enum pd_child_state state)
{
    struct pd_child_record *record = pd_children_at(children, slot);
    bool was_active = record->state != PD_CHILD_STOPPED;
    bool is_active = state != PD_CHILD_STOPPED;
    record->state = (uint8_t)state;
    if (was_active == is_active) {
        return;
    }
    uint32_t step = is_active ? 1 : UINT32_MAX; /* plus or minus one */
    children->active_count += step;
    if (record->spec->is_significant) {
        children->significant_count += step;
    }
}

void pd_children_set_pid(struct pd_children *children, uint32_t slot, struct pd_pid pid)
{
    struct pd_child_record *record = pd_children_at(children, slot);
    if (record->pid.value != 0) {
        pd_assert(pid.value == 0);
        index_remove(children, &children->pids, slot);
        children->live_count--;
    }
    record->pid = pid;
    if (pid.value != 0) {
        index_insert(children, &children->pids, slot);
        children->live_count++;
    }
}

void pd_children_set_exit(struct pd_children *children, uint32_t slot, struct pd_exit exit)
{
    struct pd_child_record *record = pd_children_at(children, slot);
    struct pd_exit_text *old = record->exit.text;
    record->exit.reason = exit.reason;
    record->exit.text = pd_exit_text_share(exit.text);
    pd_exit_text_release(old);
}

void pd_children_forget_exit(struct pd_children *children, uint32_t slot)
{
    pd_children_set_exit(children, slot, (struct pd_exit){PD_EXIT_NORMAL, NULL});
}

static void check_record(const struct pd_children *children, uint32_t slot)
{
    const struct pd_child_record *record = &children->records[slot];
    pd_assert(record->spec != NULL);
    bool has_process = record->pid.value != 0;
    bool wants_process = record->state == PD_CHILD_STARTING || record->state == PD_CHILD_RUNNING ||
                         record->state == PD_CHILD_STOPPING;
    pd_assert(has_process == wants_process);
    if (has_process) {
        pd_assert(pd_children_find_pid(children, record->pid) == slot);
    }
    if (!children->is_dynamic) {
        pd_assert(pd_children_find_id(children, record->spec->id) == slot);
    }
    pd_assert(pd_children_find(children, pd_children_name(children, slot)) == slot);
}

void pd_children_check(const struct pd_children *children)
{
    uint32_t count = 0;
    uint32_t live = 0;
    uint32_t active = 0;
    uint32_t significant = 0;
    uint32_t before = PD_CHILD_NONE;
    for (uint32_t slot = children->first; slot != PD_CHILD_NONE;
         slot = children->records[slot].after) {
        const struct pd_child_record *record = &children->records[slot];
        check_record(children, slot);
        pd_assert(record->before == before);
        before = slot;
        count++;
        live += record->pid.value != 0;
        active += record->state != PD_CHILD_STOPPED;
        significant += record->state != PD_CHILD_STOPPED && record->spec->is_significant;
    }
    pd_assert(children->last == before);
    pd_assert(children->count == count && count <= children->max);
    pd_assert(children->live_count == live);
    pd_assert(children->active_count == active);
    pd_assert(children->significant_count == significant);
}
