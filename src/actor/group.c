#include "actor/group.h"

#include <stdbool.h>
#include <string.h>

#include "actor/environment.h"
#include "actor/mailbox.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/hash.h"
#include "base/list.h"

#define FORGET_BATCH 64u /* memberships of a dead process that go under one lock */
#define PLACES_FIRST 8u

/* Where a member stands in its group. Places are in the order of their sequences, so that one is found by
 * bisection; who leaves leaves a gap (pid 0) behind, and gaps are closed when they are the majority. */
struct place {
    uint64_t sequence;
    uint64_t pid;
};

struct group {
    struct pd_table_node node; /* first: all are freed through their node */
    struct place *places;
    uint32_t used; /* places, gaps included */
    uint32_t capacity;
    uint32_t count; /* members */
    uint32_t size;
    char name[];
};

/* One process that is a member of something. */
struct member {
    struct pd_table_node node; /* first */
    uint64_t pid;
    struct pd_list memberships;
};

struct membership {
    struct pd_table_node node; /* first */
    struct pd_list link;       /* in its member's list */
    struct member *member;
    struct group *group;
    uint64_t sequence;
};

_Static_assert(offsetof(struct group, node) == 0 && offsetof(struct member, node) == 0 &&
                   offsetof(struct membership, node) == 0,
               "all are freed through their node");

struct key {
    const char *name;
    uint32_t size;
    uint64_t hash;
};

/* Allocated before the lock is taken, freed after it if not needed. */
struct spare {
    struct group *group;
    struct member *member;
    struct membership *membership;
};

/* Nodes in no table any more, freed after the lock was given back. */
static void discard(struct pd_table_node **freed, struct pd_table_node *node)
{
    node->next = *freed;
    *freed = node;
}

static void free_discarded(struct pd_table_node *freed)
{
    while (freed != NULL) {
        struct pd_table_node *next = freed->next;
        pd_free(freed);
        freed = next;
    }
}

/* What cannot be had is only missed if it turns out to be needed. */
static struct spare spare_create(const struct key *key, uint64_t pid)
{
    struct spare spare = {.group = pd_alloc(sizeof *spare.group + key->size),
                          .member = pd_alloc(sizeof *spare.member),
                          .membership = pd_alloc(sizeof *spare.membership)};
    if (spare.group != NULL) {
        *spare.group = (struct group){.size = key->size};
        memcpy(spare.group->name, key->name, key->size);
    }
    if (spare.member != NULL) {
        *spare.member = (struct member){.pid = pid};
        pd_list_init(&spare.member->memberships);
    }
    if (spare.membership != NULL) {
        *spare.membership = (struct membership){.sequence = 0};
        pd_list_init(&spare.membership->link);
    }
    return spare;
}

static void spare_destroy(struct spare *spare)
{
    pd_free(spare->group);
    pd_free(spare->member);
    pd_free(spare->membership);
}

static bool make_key(const struct pd_group_set *set, const char *name, size_t name_size,
                     struct key *key_out)
{
    if (name_size == 0 || name_size > PD_NAME_MAX) {
        return false;
    }
    *key_out = (struct key){.name = name,
                            .size = (uint32_t)name_size,
                            .hash = pd_hash_bytes(set->seed, name, name_size)};
    return true;
}

/* --- Under the lock --------------------------------------------------------------------------------- */

static struct group *find_group(const struct pd_group_set *set, const struct key *key)
{
    struct pd_table_node *at = pd_table_find(&set->groups, key->hash);
    for (; at != NULL; at = pd_table_next(at)) {
        struct group *group = pd_container_of(at, struct group, node);
        if (group->size == key->size && memcmp(group->name, key->name, key->size) == 0) {
            return group;
        }
    }
    return NULL;
}

static struct member *find_member(const struct pd_group_set *set, uint64_t pid)
{
    struct pd_table_node *at = pd_table_find(&set->members, pd_hash_u64(set->seed, pid));
    for (; at != NULL; at = pd_table_next(at)) {
        struct member *member = pd_container_of(at, struct member, node);
        if (member->pid == pid) {
            return member;
        }
    }
    return NULL;
}

static uint64_t membership_hash(const struct group *group, uint64_t pid)
{
    return pd_hash_u64(group->node.hash, pid);
}

static struct membership *find_membership(const struct pd_group_set *set, const struct group *group,
                                          uint64_t pid)
{
    struct pd_table_node *at = pd_table_find(&set->memberships, membership_hash(group, pid));
    for (; at != NULL; at = pd_table_next(at)) {
        struct membership *membership = pd_container_of(at, struct membership, node);
        if (membership->group == group && membership->member->pid == pid) {
            return membership;
        }
    }
    return NULL;
}

/* The first place whose sequence is greater than `sequence`; `used` if there is none. */
static uint32_t place_after(const struct group *group, uint64_t sequence)
{
    uint32_t low = 0;
    uint32_t high = group->used;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (group->places[middle].sequence > sequence) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

/* Close the gaps when they are the majority: constant time on the average, as each was made by one leave. */
static void close_gaps(struct group *group)
{
    if (group->used <= PLACES_FIRST || group->count >= group->used / 2) {
        return;
    }
    uint32_t used = 0;
    for (uint32_t i = 0; i < group->used; i++) {
        if (group->places[i].pid != 0) {
            group->places[used++] = group->places[i];
        }
    }
    pd_assert(used == group->count);
    group->used = used;
    if (used == 0 || group->capacity / 4 < used) {
        return;
    }
    struct place *places = pd_realloc(group->places, (size_t)used * 2 * sizeof *places);
    if (places != NULL) { /* else the group just keeps the room */
        group->places = places;
        group->capacity = used * 2;
    }
}

/* Room for one more place. */
static bool reserve_place(struct group *group)
{
    if (group->used < group->capacity) {
        return true;
    }
    uint32_t capacity = group->capacity == 0 ? PLACES_FIRST : group->capacity * 2;
    struct place *places = pd_realloc(group->places, (size_t)capacity * sizeof *places);
    if (places == NULL) {
        return false;
    }
    group->places = places;
    group->capacity = capacity;
    return true;
}

/* An empty group goes. */
static void drop_if_empty(struct pd_group_set *set, struct group *group,
                          struct pd_table_node **freed)
{
    if (group->count == 0) {
        pd_table_remove(&set->groups, &group->node);
        pd_free(group->places);
        discard(freed, &group->node);
    }
}

static void end_membership(struct pd_group_set *set, struct membership *membership,
                           struct pd_table_node **freed)
{
    struct group *group = membership->group;
    struct member *member = membership->member;
    uint32_t index = place_after(group, membership->sequence - 1);
    pd_assert(index < group->used && group->places[index].sequence == membership->sequence);
    group->places[index].pid = 0;
    group->count--;
    close_gaps(group);
    drop_if_empty(set, group, freed);
    pd_list_remove(&membership->link);
    if (pd_list_is_empty(&member->memberships)) {
        pd_table_remove(&set->members, &member->node);
        discard(freed, &member->node);
    }
    pd_table_remove(&set->memberships, &membership->node);
    discard(freed, &membership->node);
}

/* The group of this name with room for one more. NULL: no memory, and nothing changed. */
static struct group *group_with_room(struct pd_group_set *set, const struct key *key,
                                     struct spare *spare)
{
    struct group *group = find_group(set, key);
    bool is_new = group == NULL;
    group = is_new ? spare->group : group;
    if (group == NULL || !reserve_place(group)) {
        return NULL;
    }
    if (is_new) {
        spare->group = NULL;
        pd_table_insert(&set->groups, &group->node, key->hash);
    }
    return group;
}
