/* id_table - resources of one guest by id. Ids count up from 0 and are never used twice.
 *
 * Bounds     entries_max of the caller at once.
 * Ownership  Entries are pointers; the table owns only its array. Empty tables hold no memory. */
#ifndef PD_WASM_ID_TABLE_H
#define PD_WASM_ID_TABLE_H

#include <stdint.h>

#include "base/status.h"

struct pd_id_entry {
    uint64_t id;
    void *object;
};

struct pd_id_table {
    struct pd_id_entry *entries; /* sorted by id: new ids are the largest */
    uint32_t count;
    uint32_t capacity;
    uint64_t next_id;
};

#define PD_ID_TABLE_MAX 65536u

/* PD_ERR_FULL: PD_ID_TABLE_MAX entries. PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_id_table_add(struct pd_id_table *table, void *object,
                                            uint64_t *id_out);

/* NULL: no such id. */
void *pd_id_table_get(const struct pd_id_table *table, uint64_t id);

/* Put another object in the place of one that is there. */
void pd_id_table_replace(struct pd_id_table *table, uint64_t id, void *object);

/* Take out; NULL: no such id. */
void *pd_id_table_take(struct pd_id_table *table, uint64_t id);

/* Take the newest; NULL when empty, and then there is no array either. */
void *pd_id_table_take_any(struct pd_id_table *table);

#endif
