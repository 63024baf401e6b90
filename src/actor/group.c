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

/* Where a member stands in its group. Places are in the order of their sequences, so that one is
 * found by bisection; who leaves leaves a gap (pid 0) behind, and gaps are closed when they are the
 * majority. */
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

/* --- Under the lock --------------------------------------------------------------------------- */

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

/* Close the gaps when they are the majority: constant time on the average, one leave made each. */
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
    uint32_t capacity = used * 2 < PLACES_FIRST * 2 ? PLACES_FIRST * 2 : used * 2;
    if (group->capacity / 2 < capacity) {
        return;
    }
    struct place *places = pd_realloc(group->places, (size_t)capacity * sizeof *places);
    if (places != NULL) { /* else the group just keeps the room */
        group->places = places;
        group->capacity = capacity;
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

static enum pd_status join(struct pd_group_set *set, const struct key *key, uint64_t pid,
                           struct spare *spare)
{
    struct group *group = find_group(set, key);
    if (group != NULL && find_membership(set, group, pid) != NULL) {
        return PD_ERR_EXISTS;
    }
    if (set->memberships.count >= set->memberships_max) {
        return PD_ERR_FULL;
    }
    struct member *member = find_member(set, pid);
    bool is_new = member == NULL;
    member = is_new ? spare->member : member;
    struct membership *membership = spare->membership;
    if (member == NULL || membership == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    group = group_with_room(set, key, spare);
    if (group == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    if (is_new) {
        spare->member = NULL;
        pd_table_insert(&set->members, &member->node, pd_hash_u64(set->seed, pid));
    }
    spare->membership = NULL;
    set->sequence++;
    group->places[group->used++] = (struct place){.sequence = set->sequence, .pid = pid};
    group->count++;
    membership->member = member;
    membership->group = group;
    membership->sequence = set->sequence;
    pd_list_append(&member->memberships, &membership->link);
    pd_table_insert(&set->memberships, &membership->node, membership_hash(group, pid));
    return PD_OK;
}

/* --- The interface ---------------------------------------------------------------------------- */

void pd_group_set_init(struct pd_group_set *set, uint32_t memberships_max, uint64_t seed)
{
    *set = (struct pd_group_set){.memberships_max = memberships_max, .seed = seed};
}

static void free_all(struct pd_table *table)
{
    struct pd_table_node *node = NULL;
    while ((node = pd_table_take_any(table)) != NULL) {
        pd_free(node);
    }
    pd_table_deinit(table);
}

void pd_group_set_deinit(struct pd_group_set *set)
{
    struct pd_table_node *node = NULL;
    while ((node = pd_table_take_any(&set->groups)) != NULL) {
        pd_free(pd_container_of(node, struct group, node)->places);
        pd_free(node);
    }
    pd_table_deinit(&set->groups);
    free_all(&set->memberships);
    free_all(&set->members);
}

enum pd_status pd_group_join(struct pd_environment *environment, const char *name, size_t name_size,
                             uint64_t pid)
{
    struct pd_group_set *set = &environment->groups;
    struct key key;
    if (!make_key(set, name, name_size, &key)) {
        return PD_ERR_INVALID;
    }
    enum pd_status status = pd_mailbox_mark(environment, pid, false, true);
    if (status != PD_OK) {
        return status;
    }
    struct spare spare = spare_create(&key, pid);
    pd_spin_lock(&set->lock);
    status = join(set, &key, pid, &spare);
    pd_spin_unlock(&set->lock);
    spare_destroy(&spare);
    /* It may have died since it was marked. Had it left the table after our insertion, its teardown
     * would forget it here; if it left before, that may be over, and we see that it left. */
    if (status == PD_OK && !pd_mailbox_exists(environment, pid)) {
        pd_group_forget(environment, pid);
        return PD_ERR_UNKNOWN;
    }
    return status;
}

enum pd_status pd_group_leave(struct pd_environment *environment, const char *name,
                              size_t name_size, uint64_t pid)
{
    struct pd_group_set *set = &environment->groups;
    struct key key;
    if (!make_key(set, name, name_size, &key)) {
        return PD_ERR_UNKNOWN;
    }
    struct pd_table_node *freed = NULL;
    pd_spin_lock(&set->lock);
    struct group *group = find_group(set, &key);
    struct membership *membership = group == NULL ? NULL : find_membership(set, group, pid);
    if (membership != NULL) {
        end_membership(set, membership, &freed);
    }
    pd_spin_unlock(&set->lock);
    free_discarded(freed);
    return membership != NULL ? PD_OK : PD_ERR_UNKNOWN;
}

/* Members that stand behind *sequence, up to `end`; *sequence is the last place looked at. */
static uint32_t list_places(const struct group *group, uint64_t *sequence, uint64_t end,
                            uint64_t *pids, uint32_t pids_max)
{
    uint32_t count = 0;
    for (uint32_t i = place_after(group, *sequence); i < group->used && count < pids_max; i++) {
        const struct place *place = &group->places[i];
        if (place->sequence > end) {
            break;
        }
        if (place->pid != 0) {
            pids[count++] = place->pid;
        }
        *sequence = place->sequence;
    }
    return count;
}

uint32_t pd_group_members(struct pd_environment *environment, const char *name, size_t name_size,
                          uint64_t *pids, uint32_t pids_max)
{
    struct pd_group_set *set = &environment->groups;
    struct key key;
    if (!make_key(set, name, name_size, &key)) {
        return 0;
    }
    uint32_t count = 0;
    uint64_t sequence = 0;
    pd_spin_lock(&set->lock);
    const struct group *group = find_group(set, &key);
    if (group != NULL) {
        (void)list_places(group, &sequence, UINT64_MAX, pids, pids_max);
        count = group->count;
    }
    pd_spin_unlock(&set->lock);
    return count;
}

uint32_t pd_group_walk(struct pd_environment *environment, const char *name, size_t name_size,
                       struct pd_group_cursor *cursor, uint64_t *pids, uint32_t pids_max)
{
    pd_assert(pids_max > 0);
    struct pd_group_set *set = &environment->groups;
    struct key key;
    if (!make_key(set, name, name_size, &key)) {
        return 0;
    }
    uint32_t count = 0;
    pd_spin_lock(&set->lock);
    if (cursor->end == 0) {
        cursor->end = set->sequence;
    }
    const struct group *group = find_group(set, &key);
    if (group != NULL) {
        count = list_places(group, &cursor->sequence, cursor->end, pids, pids_max);
    }
    pd_spin_unlock(&set->lock);
    return count;
}

uint32_t pd_group_names_of(struct pd_environment *environment, uint64_t pid, char *out, size_t size,
                           uint32_t *count_out)
{
    struct pd_group_set *set = &environment->groups;
    uint32_t written = 0;
    *count_out = 0;
    pd_spin_lock(&set->lock);
    const struct member *member = find_member(set, pid);
    const struct pd_list *head = member == NULL ? NULL : &member->memberships;
    for (struct pd_list *at = head == NULL ? NULL : head->next; at != head; at = at->next) {
        const struct group *group = pd_container_of(at, struct membership, link)->group;
        if (written == *count_out && group->size < size) {
            memcpy(out, group->name, group->size);
            out[group->size] = '\0';
            out += group->size + 1;
            size -= group->size + 1;
            written++;
        }
        (*count_out)++;
    }
    pd_spin_unlock(&set->lock);
    return written;
}

/* Up to one batch of memberships. True: there are more. */
static bool forget_batch(struct pd_group_set *set, uint64_t pid, struct pd_table_node **freed)
{
    for (uint32_t i = 0; i < FORGET_BATCH; i++) {
        const struct member *member = find_member(set, pid);
        if (member == NULL) {
            return false;
        }
        struct pd_list *link = pd_list_first(&member->memberships);
        end_membership(set, pd_container_of(link, struct membership, link), freed);
    }
    return true;
}

void pd_group_forget(struct pd_environment *environment, uint64_t pid)
{
    struct pd_group_set *set = &environment->groups;
    bool has_more = true;
    while (has_more) {
        struct pd_table_node *freed = NULL;
        pd_spin_lock(&set->lock);
        has_more = forget_batch(set, pid, &freed);
        pd_spin_unlock(&set->lock);
        free_discarded(freed);
    }
}
