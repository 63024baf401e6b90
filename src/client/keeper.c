#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "base/alloc.h"
#include "client/internal.h"

#define TRY_MS UINT64_C(1000)  /* of one renewal: the longest that a stop waits */
#define RETRY_MS UINT64_C(200) /* after one that failed */

struct pando_keeper {
    struct pando_client *client; /* its own */
    int64_t id;
    uint64_t first_ms; /* of the thread's first renewal */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool is_stopping;           /* under the lock */
    _Atomic(uint64_t) alive_ms; /* until then at least */
    atomic_bool is_gone;
};

enum pando_keeper_state pando_keeper_look(const struct pando_keeper *keeper)
{
    if (atomic_load(&keeper->is_gone)) {
        return PANDO_KEEPER_GONE;
    }
    return pd_link_now_ms() < atomic_load(&keeper->alive_ms) ? PANDO_KEEPER_ALIVE
                                                             : PANDO_KEEPER_UNSURE;
}

/* False: it is to stop. */
static bool wait_until(struct pando_keeper *keeper, uint64_t deadline_ms)
{
    const struct timespec until = {.tv_sec = (time_t)(deadline_ms / 1000),
                                   .tv_nsec = (long)(deadline_ms % 1000) * 1000000};
    (void)pthread_mutex_lock(&keeper->lock);
    int result = 0;
    while (!keeper->is_stopping && result == 0) {
        result = pthread_cond_timedwait(&keeper->wake, &keeper->lock, &until);
    }
    bool goes_on = !keeper->is_stopping;
    (void)pthread_mutex_unlock(&keeper->lock);
    return goes_on;
}

/* What was renewed lives from when we asked. Returns when to ask again. */
static uint64_t renewed(struct pando_keeper *keeper, uint64_t asked_ms, int64_t ttl_s)
{
    uint64_t ttl_ms = (uint64_t)ttl_s * 1000;
    atomic_store(&keeper->alive_ms, asked_ms + ttl_ms);
    return asked_ms + ttl_ms / 3;
}

static void *keep(void *argument)
{
    struct pando_keeper *keeper = argument;
    uint64_t next_ms = keeper->first_ms;
    while (wait_until(keeper, next_ms)) {
        int64_t ttl_s = 0;
        uint64_t asked_ms = pd_link_now_ms();
        enum pando_status status = pando_lease_keep_alive(keeper->client, keeper->id, &ttl_s);
        next_ms = asked_ms + RETRY_MS;
        if (status == PANDO_OK) {
            next_ms = renewed(keeper, asked_ms, ttl_s);
        } else if (status == PANDO_NOT_FOUND) {
            atomic_store(&keeper->is_gone, true);
            return NULL;
        }
    }
    return NULL;
}

static void destroy(struct pando_keeper *keeper)
{
    pando_client_close(keeper->client);
    (void)pthread_mutex_destroy(&keeper->lock);
    (void)pthread_cond_destroy(&keeper->wake);
    pd_free(keeper);
}

static bool make(struct pando_client *client, struct pando_keeper **keeper_out)
{
    pthread_condattr_t clock;
    struct pando_keeper *keeper = pd_alloc_zeroed(1, sizeof *keeper);
    struct pando_client *own = pd_alloc_zeroed(1, sizeof *own);
    if (keeper == NULL || own == NULL ||
        pd_client_config_copy(&own->config, &client->config) != PD_OK) {
        pd_free(keeper);
        pd_free(own);
        return false;
    }
    if (own->config.timeout_ms > TRY_MS) {
        own->config.timeout_ms = TRY_MS;
    }
    pd_client_node_init(&own->node, &own->config);
    own->node.endpoint = client->node.endpoint; /* that one has just answered */
    keeper->client = own;
    (void)pthread_mutex_init(&keeper->lock, NULL);
    (void)pthread_condattr_init(&clock);
    (void)pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&keeper->wake, &clock);
    (void)pthread_condattr_destroy(&clock);
    *keeper_out = keeper;
    return true;
}

enum pando_status pando_keeper_start(struct pando_client *client, int64_t id,
                                     struct pando_keeper **keeper_out)
{
    struct pando_keeper *keeper = NULL;
    int64_t ttl_s = 0;
    uint64_t asked_ms = pd_link_now_ms();
    enum pando_status status = pando_lease_keep_alive(client, id, &ttl_s);
    if (status != PANDO_OK) {
        return status;
    }
    if (!make(client, &keeper)) {
        return pd_client_fail(client, PANDO_NO_MEMORY, "no memory");
    }
    keeper->id = id;
    keeper->first_ms = renewed(keeper, asked_ms, ttl_s);
    if (pthread_create(&keeper->thread, NULL, keep, keeper) != 0) {
        destroy(keeper);
        return pd_client_fail(client, PANDO_SYSTEM, "cannot start a thread");
    }
    *keeper_out = keeper;
    return PANDO_OK;
}

void pando_keeper_stop(struct pando_keeper *keeper)
{
    if (keeper != NULL) {
        (void)pthread_mutex_lock(&keeper->lock);
        keeper->is_stopping = true;
        (void)pthread_cond_signal(&keeper->wake);
        (void)pthread_mutex_unlock(&keeper->lock);
        (void)pthread_join(keeper->thread, NULL);
        destroy(keeper);
    }
}
