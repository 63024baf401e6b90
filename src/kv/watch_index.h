/* watch_index - which watched ranges hold a key. Pure; private to the watches of kv.
 *
 * Model      A member watches one key, or [low, end). Single keys lie in a hash table; ranges in a
 *            treap ordered by `low`, in which each node knows the greatest end below it, so that a
 *            walk passes by all that end before the key.
 * Cost       A query for a key that k of n ranges hold looks at O(log n) of them when k is 0, and
 *            at O(k log n) at most. Insertion and removal: O(log n) expected.
 * Bounds     The caller's. Insertion cannot fail.
 * Ownership  Members lie in their owners' structures, as do the bytes of their spans.
 * Order      Ranges come by (low, order of insertion), single keys before them. The index must not
 *            change during a query. */
#ifndef PD_KV_WATCH_INDEX_H
#define PD_KV_WATCH_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"
#include "base/span.h"
#include "base/table.h"

struct pd_kv_watch_node {
    struct pd_span low;
    struct pd_span end; /* as range_end of a pd_kv_range */
    struct pd_table_node hashed;
    struct pd_kv_watch_node *parent;
    struct pd_kv_watch_node *left;
    struct pd_kv_watch_node *right;
    const struct pd_kv_watch_node *reach; /* whose end is the greatest of the subtree */
    uint64_t priority;
};

struct pd_kv_watch_index {
    struct pd_table points;
    struct pd_kv_watch_node *root;
    struct pd_random random; /* of priorities; its seed is fixed */
    uint64_t hash_seed;
    uint64_t visits; /* nodes that queries have looked at, for tests of the cost */
    uint32_t count;
};

void pd_kv_watch_index_init(struct pd_kv_watch_index *index, uint64_t hash_seed);
/* Its members stay as they are. */
void pd_kv_watch_index_deinit(struct pd_kv_watch_index *index);

/* low and end are set. */
void pd_kv_watch_index_insert(struct pd_kv_watch_index *index, struct pd_kv_watch_node *node);
/* The node is in this index. */
void pd_kv_watch_index_remove(struct pd_kv_watch_index *index, struct pd_kv_watch_node *node);

/* The first member that holds the key, and the next one; NULL: no more. */
struct pd_kv_watch_node *pd_kv_watch_index_first(struct pd_kv_watch_index *index,
                                                 struct pd_span key);
struct pd_kv_watch_node *pd_kv_watch_index_next(struct pd_kv_watch_index *index,
                                                const struct pd_kv_watch_node *node,
                                                struct pd_span key);

/* Order, heap and reach of every node; asserts. */
void pd_kv_watch_index_check(const struct pd_kv_watch_index *index);

#endif
