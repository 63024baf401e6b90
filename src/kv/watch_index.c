#include "kv/watch_index.h"

#include "base/assert.h"
#include "base/hash.h"
#include "base/list.h"
#include "kv/codec.h"

void pd_kv_watch_index_init(struct pd_kv_watch_index *index, uint64_t hash_seed)
{
    *index = (struct pd_kv_watch_index){.hash_seed = hash_seed};
    pd_random_init(&index->random, hash_seed, "kv watch index");
}

void pd_kv_watch_index_deinit(struct pd_kv_watch_index *index)
{
    pd_table_deinit(&index->points);
    *index = (struct pd_kv_watch_index){0};
}

static uint64_t hash_of(const struct pd_kv_watch_index *index, struct pd_span key)
{
    return pd_hash_bytes(index->hash_seed, key.bytes, key.size);
}

/* -- The treap --------------------------------------------------------------------------------- */

/* Whether a's end lies before b's. */
static bool ends_before(const struct pd_kv_watch_node *a, const struct pd_kv_watch_node *b)
{
    if (pd_kv_range_end_is_open(a->end)) {
        return false;
    }
    return pd_kv_range_end_is_open(b->end) || pd_kv_span_compare(a->end, b->end) < 0;
}

static bool ends_behind(const struct pd_kv_watch_node *node, struct pd_span key)
{
    return pd_kv_range_end_is_open(node->end) || pd_kv_span_compare(key, node->end) < 0;
}

static void update_reach(struct pd_kv_watch_node *node)
{
    node->reach = node;
    const struct pd_kv_watch_node *children[] = {node->left, node->right};
    for (int i = 0; i < 2; i++) {
        if (children[i] != NULL && ends_before(node->reach, children[i]->reach)) {
            node->reach = children[i]->reach;
        }
    }
}

static void update_up(struct pd_kv_watch_node *node)
{
    for (; node != NULL; node = node->parent) {
        update_reach(node);
    }
}

/* Put `to` where `node` hangs. */
static void replace(struct pd_kv_watch_index *index, struct pd_kv_watch_node *node,
                    struct pd_kv_watch_node *to)
{
    struct pd_kv_watch_node *parent = node->parent;
    if (parent == NULL) {
        index->root = to;
    } else if (parent->left == node) {
        parent->left = to;
    } else {
        parent->right = to;
    }
    if (to != NULL) {
        to->parent = parent;
    }
}

/* Lift a child into its parent's place; the order stays. */
static void lift(struct pd_kv_watch_index *index, struct pd_kv_watch_node *child)
{
    struct pd_kv_watch_node *parent = child->parent;
    struct pd_kv_watch_node *moved;
    replace(index, parent, child);
    if (parent->left == child) {
        moved = child->right;
        parent->left = moved;
        child->right = parent;
    } else {
        moved = child->left;
        parent->right = moved;
        child->left = parent;
    }
    if (moved != NULL) {
        moved->parent = parent;
    }
    parent->parent = child;
    update_reach(parent);
    update_reach(child);
}

static void insert_range(struct pd_kv_watch_index *index, struct pd_kv_watch_node *node)
{
    struct pd_kv_watch_node *parent = NULL;
    struct pd_kv_watch_node **at = &index->root;
    while (*at != NULL) {
        parent = *at;
        at = pd_kv_span_compare(node->low, parent->low) < 0 ? &parent->left : &parent->right;
    }
    *at = node;
    node->parent = parent;
    node->priority = pd_random_next(&index->random);
    update_up(node);
    while (node->parent != NULL && node->parent->priority < node->priority) {
        lift(index, node);
    }
}

static void remove_range(struct pd_kv_watch_index *index, struct pd_kv_watch_node *node)
{
    while (node->left != NULL && node->right != NULL) {
        lift(index, node->left->priority > node->right->priority ? node->left : node->right);
    }
    struct pd_kv_watch_node *parent = node->parent;
    replace(index, node, node->left != NULL ? node->left : node->right);
    update_up(parent);
}

/* -- Members ----------------------------------------------------------------------------------- */

void pd_kv_watch_index_insert(struct pd_kv_watch_index *index, struct pd_kv_watch_node *node)
{
    node->parent = NULL;
    node->left = NULL;
    node->right = NULL;
    if (node->end.size == 0) {
        pd_table_insert(&index->points, &node->hashed, hash_of(index, node->low));
    } else {
        insert_range(index, node);
    }
    index->count++;
}

void pd_kv_watch_index_remove(struct pd_kv_watch_index *index, struct pd_kv_watch_node *node)
{
    pd_assert(index->count > 0);
    if (node->end.size == 0) {
        pd_table_remove(&index->points, &node->hashed);
    } else {
        remove_range(index, node);
    }
    index->count--;
}

/* -- Queries ----------------------------------------------------------------------------------- */

static struct pd_kv_watch_node *point_from(struct pd_kv_watch_index *index,
                                           struct pd_table_node *hashed, struct pd_span key)
{
    for (; hashed != NULL; hashed = pd_table_next(hashed)) {
        struct pd_kv_watch_node *node = pd_container_of(hashed, struct pd_kv_watch_node, hashed);
        index->visits++;
        if (pd_kv_span_equal(node->low, key)) {
            return node;
        }
    }
    return NULL;
}

/* The first node of a subtree, in order, below which an end behind the key may be. */
static struct pd_kv_watch_node *descend(struct pd_kv_watch_index *index,
                                        struct pd_kv_watch_node *node, struct pd_span key)
{
    index->visits++;
    while (node->left != NULL && ends_behind(node->left->reach, key)) {
        node = node->left;
        index->visits++;
    }
    return node;
}

/* The next one in order that is worth a look. */
static struct pd_kv_watch_node *follow(struct pd_kv_watch_index *index,
                                       const struct pd_kv_watch_node *node, struct pd_span key)
{
    if (node->right != NULL && ends_behind(node->right->reach, key)) {
        return descend(index, node->right, key);
    }
    while (node->parent != NULL && node->parent->right == node) {
        node = node->parent;
        index->visits++;
    }
    return node->parent;
}

/* From `node` on, in order, the first one that holds the key. */
static struct pd_kv_watch_node *range_from(struct pd_kv_watch_index *index,
                                           struct pd_kv_watch_node *node, struct pd_span key)
{
    while (node != NULL) {
        if (pd_kv_span_compare(node->low, key) > 0) {
            return NULL;
        }
        if (ends_behind(node, key)) {
            return node;
        }
        node = follow(index, node, key);
    }
    return NULL;
}

static struct pd_kv_watch_node *range_first(struct pd_kv_watch_index *index, struct pd_span key)
{
    if (index->root == NULL || !ends_behind(index->root->reach, key)) {
        return NULL;
    }
    return range_from(index, descend(index, index->root, key), key);
}

struct pd_kv_watch_node *pd_kv_watch_index_first(struct pd_kv_watch_index *index,
                                                 struct pd_span key)
{
    struct pd_table_node *hashed = pd_table_find(&index->points, hash_of(index, key));
    struct pd_kv_watch_node *node = point_from(index, hashed, key);
    return node != NULL ? node : range_first(index, key);
}

struct pd_kv_watch_node *pd_kv_watch_index_next(struct pd_kv_watch_index *index,
                                                const struct pd_kv_watch_node *node,
                                                struct pd_span key)
{
    if (node->end.size == 0) {
        struct pd_kv_watch_node *found = point_from(index, pd_table_next(&node->hashed), key);
        return found != NULL ? found : range_first(index, key);
    }
    return range_from(index, follow(index, node, key), key);
}

static const struct pd_kv_watch_node *leftmost(const struct pd_kv_watch_node *node)
{
    while (node != NULL && node->left != NULL) {
        node = node->left;
    }
    return node;
}

static const struct pd_kv_watch_node *in_order(const struct pd_kv_watch_node *node)
{
    if (node->right != NULL) {
        return leftmost(node->right);
    }
    while (node->parent != NULL && node->parent->right == node) {
        node = node->parent;
    }
    return node->parent;
}

void pd_kv_watch_index_check(const struct pd_kv_watch_index *index)
{
    uint32_t count = index->points.count;
    const struct pd_kv_watch_node *before = NULL;
    for (const struct pd_kv_watch_node *node = leftmost(index->root); node != NULL;
         node = in_order(node)) {
        pd_assert(node->end.size > 0);
        pd_assert(before == NULL || pd_kv_span_compare(before->low, node->low) <= 0);
        pd_assert(node->parent == NULL || node->parent->priority >= node->priority);
        pd_assert(!ends_before(node->reach, node));
        const struct pd_kv_watch_node *children[] = {node->left, node->right};
        for (int i = 0; i < 2; i++) {
            pd_assert(children[i] == NULL || children[i]->parent == node);
            pd_assert(children[i] == NULL || !ends_before(node->reach, children[i]->reach));
        }
        before = node;
        count++;
    }
    pd_assert(count == index->count);
}
