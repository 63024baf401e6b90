#include "base/table.h"

#include <stdbool.h>
#include <stddef.h>

#include "base/alloc.h"
#include "base/assert.h"

#define CAPACITY_FIRST 16u
#define CAPACITY_MAX (1u << 30)

/* Buckets up to bucket_count are split already with one more bit of the hash than those behind. */
static uint32_t index_of(const struct pd_table *table, uint64_t hash)
{
    uint32_t index = (uint32_t)hash & (table->low_mask * 2 + 1);
    return index < table->bucket_count ? index : (uint32_t)hash & table->low_mask;
}

static struct pd_table_node **bucket_at(struct pd_table *table, uint32_t index)
{
    return table->buckets == NULL ? &table->only : &table->buckets[index];
}

/* Room for one more bucket. */
static bool reserve(struct pd_table *table)
{
    if (table->bucket_count < table->capacity) {
        return true;
    }
    if (table->capacity == CAPACITY_MAX) {
        return false;
    }
    uint32_t capacity = table->capacity == 0 ? CAPACITY_FIRST : table->capacity * 2;
    struct pd_table_node **buckets =
        pd_realloc((void *)table->buckets, capacity * sizeof *table->buckets);
    if (buckets == NULL) {
        return false;
    }
    if (table->buckets == NULL) {
        buckets[0] = table->only;
        table->only = NULL;
    }
    table->buckets = buckets;
    table->capacity = capacity;
    return true;
}

/* One bucket more: it takes its share from the one that has served both so far. */
static void split(struct pd_table *table)
{
    uint32_t added = table->bucket_count;
    struct pd_table_node **from = &table->buckets[added & table->low_mask];
    struct pd_table_node **to = &table->buckets[added];
    *to = NULL;
    table->bucket_count++;
    if (table->bucket_count == (table->low_mask + 1) * 2) {
        table->low_mask = table->bucket_count - 1;
    }
    while (*from != NULL) {
        struct pd_table_node *node = *from;
        if (index_of(table, node->hash) != added) {
            from = &node->next;
            continue;
        }
        *from = node->next;
        node->next = NULL;
        *to = node;
        to = &node->next;
    }
}

void pd_table_deinit(struct pd_table *table)
{
    pd_free((void *)table->buckets);
    *table = (struct pd_table){0};
}

void pd_table_insert(struct pd_table *table, struct pd_table_node *node, uint64_t hash)
{
    pd_assert(table->count < UINT32_MAX);
    if (table->bucket_count == 0) {
        table->bucket_count = 1;
    }
    if (table->count >= table->bucket_count && reserve(table)) {
        split(table);
    }
    struct pd_table_node **bucket = bucket_at(table, index_of(table, hash));
    node->hash = hash;
    node->next = *bucket;
    *bucket = node;
    table->count++;
}

void pd_table_remove(struct pd_table *table, struct pd_table_node *node)
{
    pd_assert(table->count > 0);
    struct pd_table_node **at = bucket_at(table, index_of(table, node->hash));
    while (*at != node) {
        pd_assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = node->next;
    node->next = NULL;
    table->count--;
}

struct pd_table_node *pd_table_find(const struct pd_table *table, uint64_t hash)
{
    struct pd_table_node *node =
        table->buckets == NULL ? table->only : table->buckets[index_of(table, hash)];
    while (node != NULL && node->hash != hash) {
        node = node->next;
    }
    return node;
}

struct pd_table_node *pd_table_next(const struct pd_table_node *node)
{
    uint64_t hash = node->hash;
    struct pd_table_node *next = node->next;
    while (next != NULL && next->hash != hash) {
        next = next->next;
    }
    return next;
}

struct pd_table_node *pd_table_take_any(struct pd_table *table)
{
    if (table->count == 0) {
        return NULL;
    }
    for (;;) {
        /* The buckets behind the last node are empty for good: nothing is inserted any more. */
        struct pd_table_node **bucket = bucket_at(table, table->bucket_count - 1);
        if (*bucket != NULL) {
            struct pd_table_node *node = *bucket;
            pd_table_remove(table, node);
            return node;
        }
        table->bucket_count--;
    }
}
