/* bond - one side of a link or monitor, and the set of them that a process holds. Single-threaded.
 *
 * Model      A bond begins with a message. When its holder dies, the bond itself travels to the
 *            peer as the notice of the death: so a death allocates nothing and can always be told.
 *            Keys: LINK (peer, 0) · WATCHING (target, 0) for `lunatic`, (0, ref) for `pando` ·
 *            WATCHED_BY (watcher, ref).
 * Order      The set is walked in insertion order, never in hash order.
 * Bounds     The holder limits its own; the hash index grows with the count, and lookups still work
 *            (slower) when it cannot grow. */
#ifndef PD_ACTOR_BOND_H
#define PD_ACTOR_BOND_H

#include <stdatomic.h>

#include "actor/message.h"
#include "base/list.h"

enum pd_bond_type {
    PD_BOND_LINK = 1,
    PD_BOND_WATCHING = 2,  /* we asked to be told of `peer` */
    PD_BOND_WATCHED_BY = 3 /* `peer` asked to be told of us */
};

struct pd_bond {
    struct pd_message message; /* first: the notice to be; tag and ref live here */
    struct pd_list node;       /* in the set, in insertion order */
    struct pd_bond *chain;     /* in a bucket */
    uint64_t peer;             /* whose pid */
    /* Links: which requests crossed. An unlink says what its sender had seen; who asked again since
     * then keeps the link, for the other will see that request yet. */
    uint64_t asked; /* the number of our last request to the peer, 0: none */
    uint64_t seen;  /* of the peer's last request that we saw */
    enum pd_bond_type type;
};

struct pd_bond_set {
    struct pd_list all;
    struct pd_bond **buckets; /* bucket_count of them, or NULL while there are few */
    uint32_t bucket_count;
    uint32_t count;
    /* Written by the holder, read by anyone: */
    atomic_uint_least32_t link_count;
    atomic_uint_least32_t watching_count;
};

void pd_bond_set_init(struct pd_bond_set *set);

/* Free the index and all bonds. */
void pd_bond_set_deinit(struct pd_bond_set *set);

/* A free-standing bond, or NULL: no memory. Free it with pd_message_destroy(&bond->message). */
struct pd_bond *pd_bond_create(enum pd_bond_type type, uint64_t peer, uint64_t tag, uint64_t ref);

/* The bond with this key, or NULL. For WATCHING with ref != 0 the peer is ignored. */
struct pd_bond *pd_bond_set_find(const struct pd_bond_set *set, enum pd_bond_type type,
                                 uint64_t peer, uint64_t ref);

/* Put in a bond whose key is not there. The set owns it. */
void pd_bond_set_insert(struct pd_bond_set *set, struct pd_bond *bond);

/* Take out; the caller owns it. */
void pd_bond_set_remove(struct pd_bond_set *set, struct pd_bond *bond);

/* Take out the oldest, or NULL when empty. */
struct pd_bond *pd_bond_set_take_first(struct pd_bond_set *set);

/* The bond that a message begins, given that it is one. */
static inline struct pd_bond *pd_bond_of(struct pd_message *message)
{
    return pd_container_of(message, struct pd_bond, message);
}

#endif
