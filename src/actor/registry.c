#include "actor/registry.h"

#include <stddef.h>
#include <string.h>

#include "actor/environment.h"
#include "actor/mailbox.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/hash.h"
#include "base/list.h"

#define FORGET_BATCH 64u /* entries of a dead process that go under one lock */

/* What one process has and holds. It exists as long as it has or holds something. */
struct owner {
    struct pd_table_node node; /* first: see struct aftermath */
    uint64_t pid;
    struct pd_list names;
    struct pd_list holds;
};

struct entry {
    struct pd_table_node node; /* first */
    struct pd_list link;       /* in one of its owner's lists */
    struct owner *owner;
    uint64_t node_id; /* where the process lives */
    struct pd_list waiters;
    bool is_held;
    uint32_t size;
    char name[];
};

struct waiter {
    struct pd_table_node node; /* first */
    struct pd_list link;       /* in its entry's list */
    uint64_t pid;
    struct pd_process *process;
    struct entry *entry;
};

_Static_assert(offsetof(struct owner, node) == 0 && offsetof(struct entry, node) == 0 &&
                   offsetof(struct waiter, node) == 0,
               "all are freed through their node");

struct key {
    const char *name;
    uint32_t size;
    uint64_t hash;
};

/* Allocated before the lock is taken, freed after it if not needed. */
struct spare {
    struct entry *entry;
    struct owner *owner;
    struct waiter *waiter;
};

/* What is left to do after the lock was given back. */
struct aftermath {
    struct pd_list woken; /* waiters that are in no table any more */
    struct pd_table_node *freed;
};

static void aftermath_init(struct aftermath *aftermath)
{
    pd_list_init(&aftermath->woken);
    aftermath->freed = NULL;
}

static void discard(struct aftermath *aftermath, struct pd_table_node *node)
{
    node->next = aftermath->freed;
    aftermath->freed = node;
}

static void settle(struct aftermath *aftermath)
{
    while (!pd_list_is_empty(&aftermath->woken)) {
        struct waiter *waiter = pd_container_of(aftermath->woken.next, struct waiter, link);
        pd_list_remove(&waiter->link);
        pd_process_wake(waiter->process);
        pd_free(waiter);
    }
    while (aftermath->freed != NULL) {
        struct pd_table_node *next = aftermath->freed->next;
        pd_free(aftermath->freed);
        aftermath->freed = next;
    }
}

/* What cannot be had is only missed if it turns out to be needed. */
static struct spare spare_create(const struct key *key)
{
    struct spare spare = {.entry = pd_alloc(sizeof *spare.entry + key->size),
                          .owner = pd_alloc(sizeof *spare.owner)};
    if (spare.entry != NULL) {
        *spare.entry = (struct entry){.size = key->size};
        pd_list_init(&spare.entry->link);
        pd_list_init(&spare.entry->waiters);
        memcpy(spare.entry->name, key->name, key->size);
    }
    if (spare.owner != NULL) {
        *spare.owner = (struct owner){.pid = 0};
        pd_list_init(&spare.owner->names);
        pd_list_init(&spare.owner->holds);
    }
    return spare;
}

static void spare_destroy(struct spare *spare)
{
    pd_free(spare->entry);
    pd_free(spare->owner);
    pd_free(spare->waiter);
}

static bool make_key(const struct pd_registry *registry, const char *name, size_t name_size,
                     struct key *key_out)
{
    if (name_size == 0 || name_size > PD_NAME_MAX) {
        return false;
    }
    *key_out = (struct key){.name = name,
                            .size = (uint32_t)name_size,
                            .hash = pd_hash_bytes(registry->seed, name, name_size)};
    return true;
}

/* --- Under the lock --------------------------------------------------------------------------- */

static struct entry *find_entry(const struct pd_registry *registry, const struct key *key)
{
    struct pd_table_node *at = pd_table_find(&registry->names, key->hash);
    for (; at != NULL; at = pd_table_next(at)) {
        struct entry *entry = pd_container_of(at, struct entry, node);
        if (entry->size == key->size && memcmp(entry->name, key->name, key->size) == 0) {
            return entry;
        }
    }
    return NULL;
}

static struct owner *find_owner(const struct pd_registry *registry, uint64_t pid)
{
    struct pd_table_node *at = pd_table_find(&registry->owners, pd_hash_u64(registry->seed, pid));
    for (; at != NULL; at = pd_table_next(at)) {
        struct owner *owner = pd_container_of(at, struct owner, node);
        if (owner->pid == pid) {
            return owner;
        }
    }
    return NULL;
}

static struct waiter *find_waiter(const struct pd_registry *registry, uint64_t pid)
{
    struct pd_table_node *at = pd_table_find(&registry->waiters, pd_hash_u64(registry->seed, pid));
    for (; at != NULL; at = pd_table_next(at)) {
        struct waiter *waiter = pd_container_of(at, struct waiter, node);
        if (waiter->pid == pid) {
            return waiter;
        }
    }
    return NULL;
}

static bool is_held_by(const struct entry *entry, uint64_t pid)
{
    return entry->is_held && entry->owner->pid == pid;
}

/* The owner of this pid, made from the spare if there is none. NULL: no memory. */
static struct owner *owner_for(struct pd_registry *registry, uint64_t pid, struct spare *spare)
{
    struct owner *owner = find_owner(registry, pid);
    if (owner == NULL && spare->owner != NULL) {
        owner = spare->owner;
        spare->owner = NULL;
        owner->pid = pid;
        pd_table_insert(&registry->owners, &owner->node, pd_hash_u64(registry->seed, pid));
    }
    return owner;
}

static void drop_if_idle(struct pd_registry *registry, struct owner *owner,
                         struct aftermath *aftermath)
{
    if (pd_list_is_empty(&owner->names) && pd_list_is_empty(&owner->holds)) {
        pd_table_remove(&registry->owners, &owner->node);
        discard(aftermath, &owner->node);
    }
}

/* All who wait for this entry ask again. */
static void release_waiters(struct pd_registry *registry, struct entry *entry,
                            struct aftermath *aftermath)
{
    for (struct pd_list *at = entry->waiters.next; at != &entry->waiters; at = at->next) {
        struct waiter *waiter = pd_container_of(at, struct waiter, link);
        pd_table_remove(&registry->waiters, &waiter->node);
        waiter->entry = NULL;
    }
    pd_list_move_all(&aftermath->woken, &entry->waiters);
}

static void attach(struct entry *entry, struct owner *owner, bool is_held)
{
    pd_list_append(is_held ? &owner->holds : &owner->names, &entry->link);
    entry->owner = owner;
    entry->is_held = is_held;
}

/* The entry becomes a name of `owner`. */
static void give_to(struct pd_registry *registry, struct entry *entry, struct owner *owner,
                    struct aftermath *aftermath)
{
    struct owner *before = entry->owner;
    if (before == owner && !entry->is_held) {
        return; /* it keeps its place in the list */
    }
    pd_list_remove(&entry->link);
    attach(entry, owner, false);
    drop_if_idle(registry, before, aftermath);
}

static void erase(struct pd_registry *registry, struct entry *entry, struct aftermath *aftermath)
{
    release_waiters(registry, entry, aftermath);
    pd_list_remove(&entry->link);
    drop_if_idle(registry, entry->owner, aftermath);
    pd_table_remove(&registry->names, &entry->node);
    discard(aftermath, &entry->node);
}

/* Make the absent name an entry of `pid`. */
static enum pd_status create(struct pd_registry *registry, const struct key *key, uint64_t pid,
                             bool is_held, struct spare *spare, struct entry **entry_out)
{
    if (registry->names.count >= registry->names_max) {
        return PD_ERR_FULL;
    }
    struct owner *owner = spare->entry == NULL ? NULL : owner_for(registry, pid, spare);
    if (owner == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    struct entry *entry = spare->entry;
    spare->entry = NULL;
    pd_table_insert(&registry->names, &entry->node, key->hash);
    attach(entry, owner, is_held);
    *entry_out = entry;
    return PD_OK;
}

static enum pd_status put(struct pd_registry *registry, const struct key *key, uint64_t node,
                          uint64_t pid, uint64_t by, bool overwrite, struct spare *spare,
                          struct aftermath *aftermath)
{
    struct entry *entry = find_entry(registry, key);
    if (entry == NULL) {
        enum pd_status status = create(registry, key, pid, false, spare, &entry);
        if (status != PD_OK) {
            return status;
        }
    } else {
        if (!overwrite && !is_held_by(entry, by)) {
            return PD_ERR_EXISTS;
        }
        struct owner *owner = owner_for(registry, pid, spare);
        if (owner == NULL) {
            return PD_ERR_NO_MEMORY;
        }
        release_waiters(registry, entry, aftermath);
        give_to(registry, entry, owner, aftermath);
    }
    entry->node_id = node;
    return PD_OK;
}

/* Put `by` in line for an entry that another holds; it leaves the line that it was in. */
static enum pd_status wait_for(struct pd_registry *registry, struct entry *entry, uint64_t by,
                               struct pd_process *process, struct spare *spare)
{
    struct waiter *waiter = find_waiter(registry, by);
    if (waiter == NULL) {
        waiter = spare->waiter;
        if (waiter == NULL) {
            return PD_ERR_NO_MEMORY;
        }
        spare->waiter = NULL;
        *waiter = (struct waiter){.pid = by, .process = process};
        pd_list_init(&waiter->link);
        pd_table_insert(&registry->waiters, &waiter->node, pd_hash_u64(registry->seed, by));
    }
    if (waiter->entry != entry) {
        pd_list_remove(&waiter->link);
        pd_list_append(&entry->waiters, &waiter->link);
        waiter->entry = entry;
    }
    return PD_OK;
}

/* What a caller of get wants, and where it is told. */
struct query {
    struct key key;
    uint64_t by;
    struct pd_process *waiter;
    bool hold;
    uint64_t *node_out;
    uint64_t *pid_out;
};

/* How the name looks to who asks: its own hold is ABSENT to it. */
static enum pd_registry_answer look(const struct pd_registry *registry, const struct query *query,
                                    struct entry **entry_out)
{
    struct entry *entry = find_entry(registry, &query->key);
    *entry_out = entry;
    if (entry == NULL || is_held_by(entry, query->by)) {
        return PD_REGISTRY_ABSENT;
    }
    if (entry->is_held) {
        return PD_REGISTRY_HELD;
    }
    *query->node_out = entry->node_id;
    *query->pid_out = entry->owner->pid;
    return PD_REGISTRY_FOUND;
}

/* --- The interface ---------------------------------------------------------------------------- */

void pd_registry_init(struct pd_registry *registry, uint32_t names_max, uint64_t seed)
{
    *registry = (struct pd_registry){.names_max = names_max, .seed = seed};
}

static void free_all(struct pd_table *table)
{
    struct pd_table_node *node = NULL;
    while ((node = pd_table_take_any(table)) != NULL) {
        pd_free(node);
    }
    pd_table_deinit(table);
}

void pd_registry_deinit(struct pd_registry *registry)
{
    free_all(&registry->names);
    free_all(&registry->owners);
    free_all(&registry->waiters);
}

/* What a put of a process that is gone still does: the hold that was meant for it ends, and with
 * `overwrite` the name goes, whoever has it. */
static void withdraw(struct pd_registry *registry, const struct key *key, uint64_t by,
                     bool overwrite)
{
    struct aftermath aftermath;
    aftermath_init(&aftermath);
    pd_spin_lock(&registry->lock);
    struct entry *entry = find_entry(registry, key);
    if (entry != NULL && (overwrite || is_held_by(entry, by))) {
        erase(registry, entry, &aftermath);
    }
    pd_spin_unlock(&registry->lock);
    settle(&aftermath);
}

enum pd_status pd_registry_put(struct pd_environment *environment, const char *name,
                               size_t name_size, uint64_t node, uint64_t pid, uint64_t by,
                               bool overwrite)
{
    struct pd_registry *registry = &environment->registry;
    struct key key;
    if (!make_key(registry, name, name_size, &key)) {
        return PD_ERR_INVALID;
    }
    if (pd_mailbox_mark(environment, pid, true, false) != PD_OK) {
        withdraw(registry, &key, by, overwrite);
        return PD_ERR_UNKNOWN;
    }
    struct aftermath aftermath;
    aftermath_init(&aftermath);
    struct spare spare = spare_create(&key);
    pd_spin_lock(&registry->lock);
    enum pd_status status = put(registry, &key, node, pid, by, overwrite, &spare, &aftermath);
    pd_spin_unlock(&registry->lock);
    spare_destroy(&spare);
    settle(&aftermath);
    /* It may have died since it was marked. Had it left the table after our insertion, its teardown
     * would forget the name; if it left before, that may be over, and we see that it left. */
    if (status == PD_OK && !pd_mailbox_exists(environment, pid)) {
        pd_registry_forget(environment, pid);
        return PD_ERR_UNKNOWN;
    }
    return status;
}

/* The name was absent or held a moment ago: look again, and hold it or wait for it. */
static enum pd_registry_answer hold_or_wait(struct pd_environment *environment,
                                            const struct query *query, enum pd_status *status_out)
{
    struct pd_registry *registry = &environment->registry;
    *status_out = pd_mailbox_mark(environment, query->by, true, false);
    if (*status_out != PD_OK) {
        return PD_REGISTRY_ABSENT;
    }
    struct spare spare = spare_create(&query->key);
    spare.waiter = query->waiter == NULL ? NULL : pd_alloc(sizeof *spare.waiter);
    pd_spin_lock(&registry->lock);
    struct entry *entry = NULL;
    enum pd_registry_answer answer = look(registry, query, &entry);
    if (answer == PD_REGISTRY_HELD && query->waiter != NULL) {
        *status_out = wait_for(registry, entry, query->by, query->waiter, &spare);
    } else if (entry == NULL && query->hold) {
        *status_out = create(registry, &query->key, query->by, true, &spare, &entry);
    }
    pd_spin_unlock(&registry->lock);
    spare_destroy(&spare);
    return *status_out == PD_OK ? answer : PD_REGISTRY_ABSENT;
}

enum pd_registry_answer pd_registry_get(struct pd_environment *environment, const char *name,
                                        size_t name_size, bool hold, uint64_t by,
                                        struct pd_process *waiter, uint64_t *node_out,
                                        uint64_t *pid_out, enum pd_status *status_out)
{
    pd_assert(!hold || waiter != NULL);
    struct pd_registry *registry = &environment->registry;
    struct query query = {
        .by = by, .waiter = waiter, .hold = hold, .node_out = node_out, .pid_out = pid_out};
    *status_out = PD_OK;
    if (!make_key(registry, name, name_size, &query.key)) {
        *status_out = PD_ERR_INVALID;
        return PD_REGISTRY_ABSENT;
    }
    struct entry *entry = NULL;
    pd_spin_lock(&registry->lock);
    enum pd_registry_answer answer = look(registry, &query, &entry);
    pd_spin_unlock(&registry->lock);
    bool must_hold = hold && entry == NULL;
    bool must_wait = waiter != NULL && answer == PD_REGISTRY_HELD;
    if (must_hold || must_wait) {
        return hold_or_wait(environment, &query, status_out);
    }
    return answer == PD_REGISTRY_HELD ? PD_REGISTRY_ABSENT : answer;
}

void pd_registry_release(struct pd_environment *environment, const char *name, size_t name_size,
                         uint64_t by)
{
    struct pd_registry *registry = &environment->registry;
    struct key key;
    if (!make_key(registry, name, name_size, &key)) {
        return;
    }
    struct aftermath aftermath;
    aftermath_init(&aftermath);
    pd_spin_lock(&registry->lock);
    struct entry *entry = find_entry(registry, &key);
    if (entry != NULL && is_held_by(entry, by)) {
        erase(registry, entry, &aftermath);
    }
    pd_spin_unlock(&registry->lock);
    settle(&aftermath);
}

bool pd_registry_remove(struct pd_environment *environment, const char *name, size_t name_size)
{
    struct pd_registry *registry = &environment->registry;
    struct key key;
    if (!make_key(registry, name, name_size, &key)) {
        return false;
    }
    struct aftermath aftermath;
    aftermath_init(&aftermath);
    pd_spin_lock(&registry->lock);
    struct entry *entry = find_entry(registry, &key);
    bool was_there = entry != NULL && !entry->is_held;
    if (was_there) {
        erase(registry, entry, &aftermath);
    }
    pd_spin_unlock(&registry->lock);
    settle(&aftermath);
    return was_there;
}

/* Up to one batch of what speaks of `pid`. True: there is more. */
static bool forget_batch(struct pd_registry *registry, uint64_t pid, struct aftermath *aftermath)
{
    struct waiter *waiter = find_waiter(registry, pid);
    if (waiter != NULL) {
        pd_list_remove(&waiter->link);
        pd_table_remove(&registry->waiters, &waiter->node);
        discard(aftermath, &waiter->node);
    }
    for (uint32_t i = 0; i < FORGET_BATCH; i++) {
        struct owner *owner = find_owner(registry, pid);
        if (owner == NULL) {
            return false;
        }
        struct pd_list *link = pd_list_first(&owner->names);
        if (link == NULL) {
            link = pd_list_first(&owner->holds);
        }
        erase(registry, pd_container_of(link, struct entry, link), aftermath);
    }
    return true;
}

void pd_registry_forget(struct pd_environment *environment, uint64_t pid)
{
    struct pd_registry *registry = &environment->registry;
    bool has_more = true;
    while (has_more) {
        struct aftermath aftermath;
        aftermath_init(&aftermath);
        pd_spin_lock(&registry->lock);
        has_more = forget_batch(registry, pid, &aftermath);
        pd_spin_unlock(&registry->lock);
        settle(&aftermath);
    }
}

uint32_t pd_registry_names_of(struct pd_environment *environment, uint64_t pid, char *out,
                              size_t size, uint32_t *count_out)
{
    struct pd_registry *registry = &environment->registry;
    uint32_t written = 0;
    *count_out = 0;
    pd_spin_lock(&registry->lock);
    const struct owner *owner = find_owner(registry, pid);
    const struct pd_list *head = owner == NULL ? NULL : &owner->names;
    for (struct pd_list *at = head == NULL ? NULL : head->next; at != head; at = at->next) {
        const struct entry *entry = pd_container_of(at, struct entry, link);
        if (written == *count_out && entry->size < size) {
            memcpy(out, entry->name, entry->size);
            out[entry->size] = '\0';
            out += entry->size + 1;
            size -= entry->size + 1;
            written++;
        }
        (*count_out)++;
    }
    pd_spin_unlock(&registry->lock);
    return written;
}

bool pd_registry_name_of(struct pd_environment *environment, uint64_t pid, char *out, size_t size)
{
    pd_assert(size > 0);
    struct pd_registry *registry = &environment->registry;
    pd_spin_lock(&registry->lock);
    const struct owner *owner = find_owner(registry, pid);
    struct pd_list *first = owner == NULL ? NULL : pd_list_first(&owner->names);
    if (first != NULL) {
        const struct entry *entry = pd_container_of(first, struct entry, link);
        size_t kept = entry->size < size ? entry->size : size - 1;
        memcpy(out, entry->name, kept);
        out[kept] = '\0';
    }
    pd_spin_unlock(&registry->lock);
    return first != NULL;
}
