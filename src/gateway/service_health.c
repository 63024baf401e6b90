/* gRPC's health checking protocol: Check tells how it stands, Watch tells that at once and each
 * time that it has changed.
 *
 * As etcd: of the server as a whole, and whether or not there is a leader: what asks restarts what
 * does not serve, and that would not help. So it changes once, when the node begins to stop. A
 * service that is unknown stays so: its Watch is told that, and goes on, as the protocol wants it.
 *
 * A watcher whose carrier takes no more is told the newest status when it does: what was true
 * between is nothing that it could act on. */
#include <stdatomic.h>

#include "base/alloc.h"
#include "gateway/service_internal.h"
#include "proto/health.pb-c.h"

typedef Grpc__Health__V1__HealthCheckResponse__ServingStatus serving;

#define SERVING GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
#define NOT_SERVING GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING
#define SERVICE_UNKNOWN GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN

struct watcher {
    struct pd_service_call *call;
    struct pd_list link; /* of the service's */
    serving told;
    bool is_unknown; /* what it asks for is no service of ours */
};

static serving status_now(const struct pd_service *service)
{
    const atomic_bool *is_stopping = service->config.is_stopping;
    return is_stopping != NULL && atomic_load(is_stopping) ? NOT_SERVING : SERVING;
}

static const void *response_of(struct pd_service_call *call, serving status)
{
    Grpc__Health__V1__HealthCheckResponse *response =
        pd_service_make(call->service, call->entry->method.response);
    if (response != NULL) {
        response->status = status;
    }
    return response;
}

static bool is_known(const Grpc__Health__V1__HealthCheckRequest *asked)
{
    return asked->service[0] == '\0';
}

/* -- Check ------------------------------------------------------------------------------------- */

static void check(struct pd_service_call *call, const ProtobufCMessage *message)
{
    const void *any = message;
    if (!is_known(any)) {
        pd_service_end(call, PD_CODE_NOT_FOUND, "unknown service");
        return;
    }
    pd_service_finish(call, response_of(call, status_now(call->service)));
}

const struct pd_service_handler pd_service_health = {.request = check};

/* -- Watch ------------------------------------------------------------------------------------- */

/* If it has changed, and the carrier takes it. The call may have ended when it returns. */
static void tell_change(struct watcher *watcher)
{
    struct pd_service_call *call = watcher->call;
    serving status = status_now(call->service);
    if (!watcher->is_unknown && !call->is_held && watcher->told != status) {
        watcher->told = status;
        (void)pd_service_give(call, response_of(call, status));
    }
}

static void watch(struct pd_service_call *call, const ProtobufCMessage *message)
{
    const void *any = message;
    struct pd_service *service = call->service;
    uint64_t own = call->client == NULL ? 0 : call->client->health_watches;
    struct watcher *watcher = service->health_count + own >= service->config.health_watches_max
                                  ? NULL
                                  : pd_alloc_zeroed(1, sizeof *watcher);
    if (watcher == NULL) {
        pd_service_fail_status(call, PD_ERR_FULL);
        return;
    }
    watcher->call = call;
    watcher->is_unknown = !is_known(any);
    watcher->told = watcher->is_unknown ? SERVICE_UNKNOWN : status_now(service);
    pd_list_append(&service->health_watchers, &watcher->link);
    service->health_count++;
    if (call->client != NULL) {
        call->client->health_watches++;
    }
    call->state = watcher;
    (void)pd_service_give(call, response_of(call, watcher->told));
}

static void resumed(struct pd_service_call *call)
{
    tell_change(call->state);
}

static void dropped(struct pd_service_call *call, bool was_cancelled)
{
    struct watcher *watcher = call->state;
    (void)was_cancelled;
    call->state = NULL;
    if (watcher == NULL) {
        return;
    }
    pd_list_remove(&watcher->link);
    call->service->health_count--;
    if (call->client != NULL) {
        call->client->health_watches--;
    }
    pd_free(watcher);
}

void pd_service_health_changed(struct pd_service *service)
{
    struct pd_list *next = NULL;
    for (struct pd_list *link = service->health_watchers.next; link != &service->health_watchers;
         link = next) {
        next = link->next; /* what tells one may end its call, and no other's */
        pd_arena_reset(&service->answers);
        tell_change(pd_container_of(link, struct watcher, link));
    }
}

const struct pd_service_handler pd_service_health_watch = {
    .request = watch, .resumed = resumed, .dropped = dropped};
