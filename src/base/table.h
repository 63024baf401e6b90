/* table - intrusive hash table that grows by one bucket at a time (linear hashing, Litwin 1980).
 *
 * Model      Nodes lie in their owners' structures; several may share a hash, the caller compares
 *            the keys. An insertion splits at most one bucket, so that none is slow enough to be
 *            felt behind a lock.
 * Bounds     The caller's. Insertion cannot fail: without memory for more buckets the chains get
 *            longer.
 * Ownership  The table never owns its nodes. All zero bytes are an empty table. It must not be
 *            moved.
 * Order      None that may show: walk a list beside it where order matters. */
#ifndef PD_BASE_TABLE_H
#define PD_BASE_TABLE_H

#include <stdint.h>

struct pd_table_node {
    struct pd_table_node *next;
    uint64_t hash;
};

struct pd_table {
    struct pd_table_node **buckets; /* bucket_count of them; NULL: `only` is the one bucket */
    struct pd_table_node *only;
    uint32_t bucket_count; /* 0 before the first insertion */
    uint32_t capacity;     /* room in `buckets`, a power of two */
    uint32_t low_mask;     /* the greatest power of two that is at most bucket_count, less 1 */
    uint32_t count;        /* nodes */
};

/* Free the buckets. The nodes stay as they are. */
void pd_table_deinit(struct pd_table *table);

void pd_table_insert(struct pd_table *table, struct pd_table_node *node, uint64_t hash);

/* Take out a node that is in the table. */
void pd_table_remove(struct pd_table *table, struct pd_table_node *node);

/* A node with this hash, or NULL; then the others with pd_table_next. */
struct pd_table_node *pd_table_find(const struct pd_table *table, uint64_t hash);
struct pd_table_node *pd_table_next(const struct pd_table_node *node);

/* Take out any node, for the teardown; NULL when empty. */
struct pd_table_node *pd_table_take_any(struct pd_table *table);

#endif
