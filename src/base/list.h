/* list - intrusive doubly linked list with a sentinel head. Pure, constant time, no allocation.
 *
 * Ownership  The list never owns its members. A node is in one list at most; a node that is not in
 *            a list points to itself after pd_list_init or pd_list_remove. */
#ifndef PD_BASE_LIST_H
#define PD_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct pd_list {
    struct pd_list *next;
    struct pd_list *previous;
};

/* The structure of `type` that holds `node` as its `member`. */
#define pd_container_of(node, type, member)                                                        \
    ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline void pd_list_init(struct pd_list *node)
{
    node->next = node;
    node->previous = node;
}

static inline bool pd_list_is_empty(const struct pd_list *head)
{
    return head->next == head;
}

static inline bool pd_list_is_linked(const struct pd_list *node)
{
    return node->next != node;
}

static inline void pd_list_append(struct pd_list *head, struct pd_list *node)
{
    node->next = head;
    node->previous = head->previous;
    head->previous->next = node;
    head->previous = node;
}

/* Before all others. */
static inline void pd_list_prepend(struct pd_list *head, struct pd_list *node)
{
    pd_list_append(head->next, node);
}

static inline void pd_list_remove(struct pd_list *node)
{
    node->next->previous = node->previous;
    node->previous->next = node->next;
    pd_list_init(node);
}

/* The first node, or NULL. It stays in the list. */
static inline struct pd_list *pd_list_first(const struct pd_list *head)
{
    return pd_list_is_empty(head) ? NULL : head->next;
}

/* Move all members of `from` to the end of `to`, in order; `from` is empty afterwards. */
static inline void pd_list_move_all(struct pd_list *to, struct pd_list *from)
{
    if (pd_list_is_empty(from)) {
        return;
    }
    from->next->previous = to->previous;
    to->previous->next = from->next;
    from->previous->next = to;
    to->previous = from->previous;
    pd_list_init(from);
}

#endif
