#include "wasm/sqlite_farewell.h"

#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

struct farewell {
    struct pd_job job; /* first */
    struct pd_list node;
    uint32_t count;
    struct pd_sqlite_connection *connections[PD_SQLITE_FAREWELL_CONNECTIONS_MAX];
};

static struct {
    pthread_mutex_t lock;
    struct pd_list line;
    struct pd_host *host; /* whose helpers are at it */
    uint32_t helper_count;
} farewells = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .line = {&farewells.line, &farewells.line},
};

static void release_all(struct pd_sqlite_connection *const *connections, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        pd_sqlite_connection_release(connections[i]);
    }
}

static void release(struct farewell *farewell)
{
    release_all(farewell->connections, farewell->count);
    pd_free(farewell);
}

/* The next of the line; NULL: none, and the caller is at it no more. */
static struct farewell *next_of_line(void)
{
    pthread_mutex_lock(&farewells.lock);
    struct pd_list *first = pd_list_first(&farewells.line);
    if (first != NULL) {
        pd_list_remove(first);
    } else {
        farewells.helper_count--;
    }
    pthread_mutex_unlock(&farewells.lock);
    return first == NULL ? NULL : pd_container_of(first, struct farewell, node);
}

static void serve(struct pd_job *job)
{
    struct farewell *farewell = (struct farewell *)(void *)job;
    while (farewell != NULL) {
        release(farewell);
        farewell = next_of_line();
    }
}

/* For who counts as a helper and is none: NULL, and he counts no more, when others are at it, or
 * the line is empty. */
static struct farewell *next_if_alone(void)
{
    struct pd_list *first = NULL;
    pthread_mutex_lock(&farewells.lock);
    if (farewells.helper_count == 1) {
        first = pd_list_first(&farewells.line);
    }
    if (first != NULL) {
        pd_list_remove(first);
    } else {
        farewells.helper_count--;
        farewells.host = NULL; /* those who are at it may be another's helpers */
    }
    pthread_mutex_unlock(&farewells.lock);
    return first == NULL ? NULL : pd_container_of(first, struct farewell, node);
}

/* On the caller's thread, which has other things to do: no more than nobody else is found for. */
static void do_without_helper(struct farewell *farewell, struct pd_host *host)
{
    do {
        release(farewell);
        farewell = next_if_alone();
    } while (farewell != NULL && host->ops->submit(host, &farewell->job) != PD_OK);
}

/* False: it stands in line. True: the caller has to find it a helper, who counts as being at it. */
static bool needs_helper(struct farewell *farewell, struct pd_host *host)
{
    pthread_mutex_lock(&farewells.lock);
    /* Nobody is left waiting for the helpers of another host, which may end before. */
    bool joins = farewells.helper_count >= PD_SQLITE_FAREWELLS_MAX && farewells.host == host;
    if (joins) {
        pd_list_append(&farewells.line, &farewell->node);
    } else {
        farewells.helper_count++;
        farewells.host = host;
    }
    pthread_mutex_unlock(&farewells.lock);
    return !joins;
}

void pd_sqlite_farewell(struct pd_host *host, struct pd_sqlite_connection *const *connections,
                        uint32_t count)
{
    pd_assert(count > 0);
    pd_assert(count <= PD_SQLITE_FAREWELL_CONNECTIONS_MAX);
    struct farewell *farewell = pd_alloc_zeroed(1, sizeof *farewell);
    if (farewell == NULL) {
        release_all(connections, count);
        return;
    }
    farewell->job.run = serve;
    farewell->count = count;
    memcpy(farewell->connections, connections, count * sizeof *connections);
    if (needs_helper(farewell, host) && host->ops->submit(host, &farewell->job) != PD_OK) {
        do_without_helper(farewell, host);
    }
}
