#include "actor/bond.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/hash.h"

#define INDEX_FROM 16u /* below, walking the list is cheaper than an index */

_Static_assert(offsetof(struct pd_bond, message) == 0, "a bond is freed through its message");

static uint64_t key_peer(enum pd_bond_type type, uint64_t peer, uint64_t ref)
{
    return type == PD_BOND_WATCHING && ref != 0 ? 0 : peer;
}

static uint32_t bucket_of(const struct pd_bond_set *set, enum pd_bond_type type, uint64_t peer,
                          uint64_t ref)
{
    uint64_t hash = pd_hash_u64(pd_hash_u64((uint64_t)type, key_peer(type, peer, ref)), ref);
    return (uint32_t)(hash & (set->bucket_count - 1));
}

static bool matches(const struct pd_bond *bond, enum pd_bond_type type, uint64_t peer, uint64_t ref)
{
    return bond->type == type && bond->message.ref == ref &&
           key_peer(type, bond->peer, ref) == key_peer(type, peer, ref);
}

void pd_bond_set_init(struct pd_bond_set *set)
{
    *set = (struct pd_bond_set){0};
    pd_list_init(&set->all);
}

void pd_bond_set_deinit(struct pd_bond_set *set)
{
    struct pd_bond *bond = NULL;
    while ((bond = pd_bond_set_take_first(set)) != NULL) {
        pd_message_destroy(&bond->message);
    }
    pd_free(set->buckets);
    set->buckets = NULL;
    set->bucket_count = 0;
}

struct pd_bond *pd_bond_create(enum pd_bond_type type, uint64_t peer, uint64_t tag, uint64_t ref)
{
    struct pd_bond *bond = pd_alloc(sizeof *bond);
    if (bond == NULL) {
        return NULL;
    }
    *bond = (struct pd_bond){
        .message = {.tag = tag, .ref = ref}, .chain = NULL, .peer = peer, .type = type};
    pd_list_init(&bond->node);
    return bond;
}

struct pd_bond *pd_bond_set_find(const struct pd_bond_set *set, enum pd_bond_type type,
                                 uint64_t peer, uint64_t ref)
{
    if (set->buckets == NULL) {
        for (struct pd_list *at = set->all.next; at != &set->all; at = at->next) {
            struct pd_bond *bond = pd_container_of(at, struct pd_bond, node);
            if (matches(bond, type, peer, ref)) {
                return bond;
            }
        }
        return NULL;
    }
    struct pd_bond *bond = set->buckets[bucket_of(set, type, peer, ref)];
    while (bond != NULL && !matches(bond, type, peer, ref)) {
        bond = bond->chain;
    }
    return bond;
}

static void index_insert(struct pd_bond_set *set, struct pd_bond *bond)
{
    uint32_t bucket = bucket_of(set, bond->type, bond->peer, bond->message.ref);
    bond->chain = set->buckets[bucket];
    set->buckets[bucket] = bond;
}

/* Without memory the old index stays: chains get longer, nothing breaks. */
static void index_grow(struct pd_bond_set *set)
{
    uint32_t wanted = set->bucket_count == 0 ? INDEX_FROM * 2 : set->bucket_count * 2;
    struct pd_bond **buckets = pd_alloc_zeroed(wanted, sizeof *buckets);
    if (buckets == NULL) {
        return;
    }
    pd_free(set->buckets);
    set->buckets = buckets;
    set->bucket_count = wanted;
    for (struct pd_list *at = set->all.next; at != &set->all; at = at->next) {
        index_insert(set, pd_container_of(at, struct pd_bond, node));
    }
}

/* One thread writes: a load and a store will do. */
static void count(struct pd_bond_set *set, enum pd_bond_type type, uint_least32_t change)
{
    if (type == PD_BOND_WATCHED_BY) {
        return;
    }
    atomic_uint_least32_t *counter = type == PD_BOND_LINK ? &set->link_count : &set->watching_count;
    uint_least32_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + change, memory_order_relaxed);
}

void pd_bond_set_insert(struct pd_bond_set *set, struct pd_bond *bond)
{
    pd_assert(!pd_list_is_linked(&bond->node));
    pd_list_append(&set->all, &bond->node);
    set->count++;
    count(set, bond->type, 1);
    if (set->buckets != NULL) {
        index_insert(set, bond);
    }
    if (set->count > INDEX_FROM && set->count > set->bucket_count && set->count < UINT32_MAX / 4) {
        index_grow(set);
    }
}

void pd_bond_set_remove(struct pd_bond_set *set, struct pd_bond *bond)
{
    pd_assert(set->count > 0);
    if (set->buckets != NULL) {
        struct pd_bond **at =
            &set->buckets[bucket_of(set, bond->type, bond->peer, bond->message.ref)];
        while (*at != bond) {
            pd_assert(*at != NULL);
            at = &(*at)->chain;
        }
        *at = bond->chain;
    }
    bond->chain = NULL;
    pd_list_remove(&bond->node);
    set->count--;
    count(set, bond->type, (uint_least32_t)-1);
}

struct pd_bond *pd_bond_set_take_first(struct pd_bond_set *set)
{
    struct pd_list *first = pd_list_first(&set->all);
    if (first == NULL) {
        return NULL;
    }
    struct pd_bond *bond = pd_container_of(first, struct pd_bond, node);
    pd_bond_set_remove(set, bond);
    return bond;
}
