#include "raft/log_memory.h"

#include <string.h>

#include "base/assert.h"

void pd_log_memory_init(struct pd_log_memory *memory, struct pd_raft_entry *slots,
                        uint32_t slots_max, uint8_t *bytes, uint64_t bytes_max, uint64_t first)
{
    pd_assert(slots_max > 0);
    pd_assert(bytes_max > 0);
    *memory = (struct pd_log_memory){
        .slots = slots,
        .bytes = bytes,
        .slots_max = slots_max,
        .bytes_max = bytes_max,
        .first = first,
    };
}

/* Where `size` bytes would go when the ring is used up to `tail`; false: they do not fit. */
static bool place(const struct pd_log_memory *memory, uint64_t tail, uint64_t size,
                  uint64_t *at_out)
{
    uint64_t room = memory->bytes_max - tail % memory->bytes_max;
    uint64_t at = size > room ? tail + room : tail;
    *at_out = at;
    return size <= memory->bytes_max && at + size - memory->head <= memory->bytes_max;
}

enum pd_status pd_log_memory_append(struct pd_log_memory *memory, const struct pd_raft_entry *entry)
{
    pd_assert(entry->index == memory->first + memory->count);
    uint64_t at = memory->tail;
    if (memory->count == memory->slots_max) {
        return PD_ERR_FULL;
    }
    struct pd_raft_entry copy = *entry;
    if (entry->data.size > 0) {
        if (!place(memory, memory->tail, entry->data.size, &at)) {
            return PD_ERR_FULL;
        }
        uint8_t *to = memory->bytes + at % memory->bytes_max;
        memcpy(to, entry->data.bytes, entry->data.size);
        copy.data.bytes = to;
        memory->tail = at + entry->data.size;
    } else {
        copy.data.bytes = NULL;
    }
    uint32_t slot = (uint32_t)(entry->index % memory->slots_max);
    memory->slots[slot] = copy;
    memory->slots[slot + memory->slots_max] = copy;
    memory->count++;
    return PD_OK;
}

bool pd_log_memory_fits(const struct pd_log_memory *memory, const struct pd_span *data,
                        uint32_t count, uint32_t spare_slots)
{
    if ((uint64_t)memory->count + count + spare_slots > memory->slots_max) {
        return false;
    }
    uint64_t tail = memory->tail;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t at = 0;
        if (data[i].size > 0) {
            if (!place(memory, tail, data[i].size, &at)) {
                return false;
            }
            tail = at + data[i].size;
        }
    }
    return true;
}

const struct pd_raft_entry *pd_log_memory_at(const struct pd_log_memory *memory, uint64_t index)
{
    pd_assert(index >= memory->first);
    pd_assert(index - memory->first < memory->count);
    return &memory->slots[index % memory->slots_max];
}

/* Position of a payload in the ring's count. */
static uint64_t position(const struct pd_log_memory *memory, const struct pd_raft_entry *entry)
{
    uint64_t offset = (uint64_t)(entry->data.bytes - memory->bytes);
    uint64_t start = memory->head % memory->bytes_max;
    return memory->head + (offset >= start ? offset - start : offset + memory->bytes_max - start);
}

void pd_log_memory_cut_from(struct pd_log_memory *memory, uint64_t index)
{
    pd_assert(index >= memory->first);
    while (memory->count > 0 && memory->first + memory->count > index) {
        const struct pd_raft_entry *last =
            pd_log_memory_at(memory, memory->first + memory->count - 1);
        if (last->data.size > 0) {
            memory->tail = position(memory, last);
        }
        memory->count--;
    }
}

void pd_log_memory_cut_before(struct pd_log_memory *memory, uint64_t index)
{
    pd_assert(index <= memory->first + memory->count);
    while (memory->first < index) {
        const struct pd_raft_entry *entry = pd_log_memory_at(memory, memory->first);
        if (entry->data.size > 0) {
            memory->head = position(memory, entry) + entry->data.size;
        }
        memory->first++;
        memory->count--;
    }
}

void pd_log_memory_clear(struct pd_log_memory *memory, uint64_t first)
{
    memory->first = first;
    memory->count = 0;
    memory->head = memory->tail;
}

void pd_log_memory_check(const struct pd_log_memory *memory)
{
    pd_assert(memory->count <= memory->slots_max);
    pd_assert(memory->head <= memory->tail);
    pd_assert(memory->tail - memory->head <= memory->bytes_max);
    uint64_t term = 0;
    for (uint32_t i = 0; i < memory->count; i++) {
        const struct pd_raft_entry *entry = pd_log_memory_at(memory, memory->first + i);
        pd_assert(entry->index == memory->first + i);
        pd_assert(entry->term >= term);
        term = entry->term;
    }
}
