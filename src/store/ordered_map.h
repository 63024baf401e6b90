/* ordered_map - byte strings to byte strings, in bytewise order of the keys: a skip list (Pugh
 * 1990).
 *
 * Model      Levels come from a hash of the key, so that equal contents have equal shapes: nothing
 *            depends on chance.
 * Bounds     The heap's. PD_ERR_NO_MEMORY leaves the map as it was.
 * Ownership  The map copies keys and values. A row is good until it is put again or removed.
 * Threads    One at a time. */
#ifndef PD_STORE_ORDERED_MAP_H
#define PD_STORE_ORDERED_MAP_H

#include <stdbool.h>

#include "base/span.h"
#include "base/status.h"

#define PD_ORDERED_MAP_LEVELS 20u

struct pd_ordered_row {
    struct pd_span key;
    struct pd_span value;
    struct pd_ordered_row *next[]; /* one a level that the row is on */
};

struct pd_ordered_map {
    struct pd_ordered_row *heads[PD_ORDERED_MAP_LEVELS];
    size_t count;
};

/* All zero bytes are an empty map. */
void pd_ordered_map_deinit(struct pd_ordered_map *map);
PD_NODISCARD enum pd_status pd_ordered_map_put(struct pd_ordered_map *map, struct pd_span key,
                                               struct pd_span value);
void pd_ordered_map_remove(struct pd_ordered_map *map, struct pd_span key);
/* NULL: no such row. */
const struct pd_ordered_row *pd_ordered_map_find(const struct pd_ordered_map *map,
                                                 struct pd_span key);
/* The first row at or after the key, or NULL; then row->next[0]. */
const struct pd_ordered_row *pd_ordered_map_at_or_after(const struct pd_ordered_map *map,
                                                        struct pd_span key);
/* The last row before the key (an empty key: the last of all), or NULL. */
const struct pd_ordered_row *pd_ordered_map_before(const struct pd_ordered_map *map,
                                                   struct pd_span key);
/* Bytewise; a prefix is less. */
int pd_ordered_compare(struct pd_span left, struct pd_span right);

#endif
