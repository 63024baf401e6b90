/* The clients' record against the order that the store told. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "sim/clients.h"

/* One value that was written, as far as anybody saw it. */
struct written {
    uint64_t revision; /* 0: never seen */
    uint32_t key;
};

/* A write whose revision is known. */
struct version {
    uint32_t key;
    uint64_t revision;
    uint64_t value;
};

struct bound {
    uint64_t time_ns;
    uint64_t revision;
    bool is_write;
    size_t operation;
};

static int by_time(const void *left, const void *right)
{
    const struct bound *a = left;
    const struct bound *b = right;
    if (a->time_ns != b->time_ns) {
        return a->time_ns < b->time_ns ? -1 : 1;
    }
    return a->operation < b->operation ? -1 : a->operation > b->operation;
}

static int by_key_and_revision(const void *left, const void *right)
{
    const struct version *a = left;
    const struct version *b = right;
    if (a->key != b->key) {
        return a->key < b->key ? -1 : 1;
    }
    return a->revision < b->revision ? -1 : a->revision > b->revision;
}

static bool is_write(const struct pd_sim_operation *operation)
{
    return operation->op != PD_SIM_READ && !operation->is_failed_cas;
}

/* A value was seen at a revision: it was never seen at another, and somebody wrote it to that
 * key. */
static bool see(struct pd_sim_world *world, struct written *values, uint64_t value, uint32_t key,
                uint64_t revision)
{
    const struct pd_sim_clients *clients = world->clients;
    if (value == 0 || value > clients->history_count ||
        clients->history[value - 1].op == PD_SIM_READ || clients->history[value - 1].key != key) {
        pd_sim_world_fail(world, "key %u held %llu, which nobody wrote there", key,
                          (unsigned long long)value);
        return false;
    }
    struct written *written = &values[value];
    if (written->revision != 0 && written->revision != revision) {
        pd_sim_world_fail(world,
                          "value %llu of key %u was written twice: at revisions %llu and %llu",
                          (unsigned long long)value, key, (unsigned long long)written->revision,
                          (unsigned long long)revision);
        return false;
    }
    *written = (struct written){.revision = revision, .key = key};
    return true;
}

static bool see_all(struct pd_sim_world *world, struct written *values)
{
    const struct pd_sim_clients *clients = world->clients;
    for (size_t i = 0; i < clients->history_count; i++) {
        const struct pd_sim_operation *operation = &clients->history[i];
        if (operation->returned_ns == UINT64_MAX) {
            continue;
        }
        if (is_write(operation) &&
            !see(world, values, operation->value, operation->key, operation->revision)) {
            return false;
        }
        if (operation->found != 0 &&
            !see(world, values, operation->found, operation->key, operation->mod_revision)) {
            return false;
        }
        if (operation->is_failed_cas && operation->found == operation->expected) {
            pd_sim_world_fail(world, "a comparison of key %u with %llu failed, yet it held that",
                              operation->key, (unsigned long long)operation->expected);
            return false;
        }
    }
    return true;
}

/* The newest version of a key at or before a revision; NULL: none is known. */
static const struct version *newest(const struct version *versions, size_t count, uint32_t key,
                                    uint64_t revision)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct version *version = &versions[middle];
        if (version->key < key || (version->key == key && version->revision <= revision)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low > 0 && versions[low - 1].key == key ? &versions[low - 1] : NULL;
}

/* Nothing that is known to be written lies between what was found and the revision that was looked
 * at. */
static bool check_values(struct pd_sim_world *world, const struct version *versions, size_t count)
{
    const struct pd_sim_clients *clients = world->clients;
    for (size_t i = 0; i < clients->history_count; i++) {
        const struct pd_sim_operation *operation = &clients->history[i];
        if (operation->returned_ns == UINT64_MAX) {
            continue;
        }
        bool writes = is_write(operation);
        if (writes && operation->op != PD_SIM_CAS) {
            continue;
        }
        uint64_t at = writes ? operation->revision - 1 : operation->revision;
        const struct version *version = newest(versions, count, operation->key, at);
        uint64_t found = writes ? operation->expected : operation->found;
        if ((version == NULL ? 0 : version->value) != found) {
            pd_sim_world_fail(world,
                              "client %u found %llu in key %u at revision %llu, where %llu (of "
                              "revision %llu) was",
                              operation->client, (unsigned long long)found, operation->key,
                              (unsigned long long)at,
                              (unsigned long long)(version == NULL ? 0 : version->value),
                              (unsigned long long)(version == NULL ? 0 : version->revision));
            return false;
        }
    }
    return true;
}

/* Who began after another had its answer sees at least that one's revision; a write, a later
 * one. */
static bool check_real_time(struct pd_sim_world *world, struct bound *begins, struct bound *ends,
                            size_t count)
{
    qsort(begins, count, sizeof begins[0], by_time);
    qsort(ends, count, sizeof ends[0], by_time);
    uint64_t newest_revision = 0;
    size_t ended = 0;
    for (size_t i = 0; i < count; i++) {
        while (ended < count && ends[ended].time_ns < begins[i].time_ns) {
            if (ends[ended].revision > newest_revision) {
                newest_revision = ends[ended].revision;
            }
            ended++;
        }
        if (begins[i].revision < newest_revision ||
            (begins[i].is_write && begins[i].revision == newest_revision)) {
            const struct pd_sim_operation *operation =
                &world->clients->history[begins[i].operation];
            pd_sim_world_fail(world,
                              "not linearizable: client %u began a %s of key %u at %llu ns and was "
                              "given revision %llu, after %llu had been told to somebody",
                              operation->client, begins[i].is_write ? "write" : "read",
                              operation->key, (unsigned long long)operation->invoked_ns,
                              (unsigned long long)begins[i].revision,
                              (unsigned long long)newest_revision);
            return false;
        }
    }
    return true;
}

void pd_sim_history_check(struct pd_sim_world *world)
{
    const struct pd_sim_clients *clients = world->clients;
    size_t count = clients->history_count;
    struct written *values = pd_sim_alloc((count + 1) * sizeof values[0]);
    struct version *versions = pd_sim_alloc((count + 1) * sizeof versions[0]);
    struct bound *begins = pd_sim_alloc((count + 1) * sizeof begins[0]);
    struct bound *ends = pd_sim_alloc((count + 1) * sizeof ends[0]);
    size_t version_count = 0;
    size_t answered = 0;
    if (see_all(world, values)) {
        for (size_t value = 1; value <= count; value++) {
            if (values[value].revision != 0) {
                versions[version_count++] = (struct version){
                    .key = values[value].key, .revision = values[value].revision, .value = value};
            }
        }
        qsort(versions, version_count, sizeof versions[0], by_key_and_revision);
        for (size_t i = 0; i < count; i++) {
            const struct pd_sim_operation *operation = &clients->history[i];
            if (operation->returned_ns != UINT64_MAX) {
                struct bound bound = {.time_ns = operation->invoked_ns,
                                      .revision = operation->revision,
                                      .is_write = is_write(operation),
                                      .operation = i};
                begins[answered] = bound;
                bound.time_ns = operation->returned_ns;
                ends[answered++] = bound;
            }
        }
        if (check_values(world, versions, version_count)) {
            (void)check_real_time(world, begins, ends, answered);
        }
    }
    pd_free(values);
    pd_free(versions);
    pd_free(begins);
    pd_free(ends);
}
