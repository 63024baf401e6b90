#include "store/ordered_map.h"

#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"

int pd_ordered_compare(struct pd_span left, struct pd_span right)
{
    size_t size = left.size < right.size ? left.size : right.size;
    int order = size == 0 ? 0 : memcmp(left.bytes, right.bytes, size);
    if (order != 0 || left.size == right.size) {
        return order;
    }
    return left.size < right.size ? -1 : 1;
}

/* A quarter of the rows of one level are on the next. */
static uint32_t level_count(struct pd_span key)
{
    uint64_t hash = pd_hash_bytes(0x5bd1e995, key.bytes, key.size);
    uint32_t levels = 1;
    for (; levels < PD_ORDERED_MAP_LEVELS && (hash & 3) == 0; hash >>= 2) {
        levels++;
    }
    return levels;
}

/* For each level the place that points at the first row at or after the key. */
static void find_places(struct pd_ordered_map *map, struct pd_span key,
                        struct pd_ordered_row **places[PD_ORDERED_MAP_LEVELS])
{
    struct pd_ordered_row *before = NULL;
    for (uint32_t level = PD_ORDERED_MAP_LEVELS; level-- > 0;) {
        struct pd_ordered_row **place = before == NULL ? &map->heads[level] : &before->next[level];
        while (*place != NULL && pd_ordered_compare((*place)->key, key) < 0) {
            before = *place;
            place = &before->next[level];
        }
        places[level] = place;
    }
}

static struct pd_ordered_row *make_row(struct pd_span key, struct pd_span value, uint32_t levels)
{
    size_t head = sizeof(struct pd_ordered_row) + levels * sizeof(struct pd_ordered_row *);
    struct pd_ordered_row *row = pd_alloc(head + key.size + value.size);
    if (row == NULL) {
        return NULL;
    }
    uint8_t *bytes = (uint8_t *)row + head;
    if (key.size > 0) {
        memcpy(bytes, key.bytes, key.size);
    }
    if (value.size > 0) {
        memcpy(bytes + key.size, value.bytes, value.size);
    }
    row->key = (struct pd_span){.bytes = bytes, .size = key.size};
    row->value = (struct pd_span){.bytes = bytes + key.size, .size = value.size};
    return row;
}

enum pd_status pd_ordered_map_put(struct pd_ordered_map *map, struct pd_span key,
                                  struct pd_span value)
{
    struct pd_ordered_row **places[PD_ORDERED_MAP_LEVELS];
    uint32_t levels = level_count(key);
    struct pd_ordered_row *row = make_row(key, value, levels);
    if (row == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    find_places(map, key, places);
    struct pd_ordered_row *old = *places[0];
    bool is_new = old == NULL || pd_ordered_compare(old->key, key) != 0;
    for (uint32_t level = 0; level < levels; level++) {
        row->next[level] = is_new ? *places[level] : old->next[level];
        *places[level] = row;
    }
    if (is_new) {
        map->count++;
    } else {
        pd_free(old);
    }
    return PD_OK;
}

void pd_ordered_map_remove(struct pd_ordered_map *map, struct pd_span key)
{
    struct pd_ordered_row **places[PD_ORDERED_MAP_LEVELS];
    find_places(map, key, places);
    struct pd_ordered_row *row = *places[0];
    if (row == NULL || pd_ordered_compare(row->key, key) != 0) {
        return;
    }
    uint32_t levels = level_count(key);
    for (uint32_t level = 0; level < levels; level++) {
        *places[level] = row->next[level];
    }
    pd_free(row);
    map->count--;
}

const struct pd_ordered_row *pd_ordered_map_before(const struct pd_ordered_map *map,
                                                   struct pd_span key)
{
    const struct pd_ordered_row *before = NULL;
    for (uint32_t level = PD_ORDERED_MAP_LEVELS; level-- > 0;) {
        const struct pd_ordered_row *next =
            before == NULL ? map->heads[level] : before->next[level];
        while (next != NULL && (key.size == 0 || pd_ordered_compare(next->key, key) < 0)) {
            before = next;
            next = before->next[level];
        }
    }
    return before;
}

const struct pd_ordered_row *pd_ordered_map_at_or_after(const struct pd_ordered_map *map,
                                                        struct pd_span key)
{
    if (key.size == 0) {
        return map->heads[0];
    }
    const struct pd_ordered_row *before = pd_ordered_map_before(map, key);
    return before == NULL ? map->heads[0] : before->next[0];
}

const struct pd_ordered_row *pd_ordered_map_find(const struct pd_ordered_map *map,
                                                 struct pd_span key)
{
    const struct pd_ordered_row *row = pd_ordered_map_at_or_after(map, key);
    return row != NULL && pd_ordered_compare(row->key, key) == 0 ? row : NULL;
}

void pd_ordered_map_deinit(struct pd_ordered_map *map)
{
    struct pd_ordered_row *row = map->heads[0];
    while (row != NULL) {
        struct pd_ordered_row *next = row->next[0];
        pd_free(row);
        row = next;
    }
    memset(map, 0, sizeof *map);
}
