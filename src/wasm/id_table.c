#include "wasm/id_table.h"

#include <stddef.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

#define CAPACITY_FIRST 4u

/* Where the id is, or would be. */
static uint32_t position_of(const struct pd_id_table *table, uint64_t id)
{
    uint32_t low = 0;
    uint32_t high = table->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (table->entries[middle].id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

enum pd_status pd_id_table_add(struct pd_id_table *table, void *object, uint64_t *id_out)
{
    if (table->count == PD_ID_TABLE_MAX) {
        return PD_ERR_FULL;
    }
    if (table->count == table->capacity) {
        uint32_t capacity = table->capacity == 0 ? CAPACITY_FIRST : table->capacity * 2;
        struct pd_id_entry *entries = pd_realloc(table->entries, capacity * sizeof *table->entries);
        if (entries == NULL) {
            return PD_ERR_NO_MEMORY;
        }
        table->entries = entries;
        table->capacity = capacity;
    }
    *id_out = table->next_id++;
    table->entries[table->count++] = (struct pd_id_entry){.id = *id_out, .object = object};
    return PD_OK;
}

void *pd_id_table_get(const struct pd_id_table *table, uint64_t id)
{
    uint32_t position = position_of(table, id);
    if (position == table->count || table->entries[position].id != id) {
        return NULL;
    }
    return table->entries[position].object;
}

void pd_id_table_replace(struct pd_id_table *table, uint64_t id, void *object)
{
    uint32_t position = position_of(table, id);
    pd_assert(position < table->count && table->entries[position].id == id);
    table->entries[position].object = object;
}

static void *take_at(struct pd_id_table *table, uint32_t position)
{
    void *object = table->entries[position].object;
    table->count--;
    memmove(&table->entries[position], &table->entries[position + 1],
            (table->count - position) * sizeof *table->entries);
    if (table->count == 0) {
        pd_free(table->entries);
        table->entries = NULL;
        table->capacity = 0;
    }
    return object;
}

void *pd_id_table_take(struct pd_id_table *table, uint64_t id)
{
    uint32_t position = position_of(table, id);
    if (position == table->count || table->entries[position].id != id) {
        return NULL;
    }
    return take_at(table, position);
}

void *pd_id_table_take_any(struct pd_id_table *table)
{
    return table->count == 0 ? NULL : take_at(table, table->count - 1);
}
