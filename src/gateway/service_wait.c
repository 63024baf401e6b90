/* Who waits for which answer of the backend, and how much of that each client may have. */
#include "base/alloc.h"
#include "base/assert.h"
#include "gateway/service_internal.h"

#define GENERATION_MASK 0xffffffu /* a correlation has 56 bits */

/* -- Places ------------------------------------------------------------------------------------ */

bool pd_service_waits_open(struct pd_service *service)
{
    uint32_t count = service->config.waits_max;
    pd_assert(count > 0 && count < UINT32_MAX);
    service->places = pd_alloc_zeroed((size_t)count + 1, sizeof *service->places);
    if (service->places == NULL) {
        return false;
    }
    for (uint32_t i = count; i > 0; i--) {
        service->places[i].next_free = service->free_place;
        service->free_place = i;
    }
    service->free_count = count;
    return true;
}

static void let_go(struct pd_service_account *account)
{
    pd_assert(account->holders > 0);
    if (--account->holders == 0) {
        pd_free(account);
    }
}

void pd_service_client_share(struct pd_service_client *guest,
                             const struct pd_service_client *client)
{
    pd_assert(guest->account == NULL);
    if (client != NULL && client->account != NULL) {
        guest->account = client->account;
        guest->account->holders++;
    }
}

void pd_service_client_leave(struct pd_service_client *client)
{
    if (client->account != NULL) {
        let_go(client->account);
        client->account = NULL;
    }
}

static void count(struct pd_service_account *account, const struct pd_service_place *place)
{
    account->requests += place->is_watch ? 0 : 1;
    account->writes += place->write_bytes > 0 ? 1 : 0;
    account->write_bytes += place->write_bytes;
}

static void count_less(struct pd_service_account *account, const struct pd_service_place *place)
{
    pd_assert(account->write_bytes >= place->write_bytes);
    account->requests -= place->is_watch ? 0 : 1;
    account->writes -= place->write_bytes > 0 ? 1 : 0;
    account->write_bytes -= place->write_bytes;
}

/* at: a free place, the first. */
static void take(struct pd_service *service, struct pd_service_account *account,
                 struct pd_service_wait *wait, uint32_t write_bytes)
{
    struct pd_service_place *place = &service->places[service->free_place];
    wait->place = service->free_place;
    service->free_place = place->next_free;
    service->free_count--;
    place->wait = wait;
    place->account = account;
    place->write_bytes = write_bytes;
    place->is_watch = wait->is_watch;
    place->is_taken = true;
    count(&service->account, place);
    if (account != NULL) {
        account->holders++;
        count(account, place);
    }
}

/* Nothing is under way there any more. */
static void give_back(struct pd_service *service, uint32_t at)
{
    struct pd_service_place *place = &service->places[at];
    pd_assert(place->is_taken);
    count_less(&service->account, place);
    if (place->account != NULL) {
        count_less(place->account, place);
        let_go(place->account);
    }
    if (place->wait != NULL) {
        pd_assert(place->wait->place == at);
        place->wait->place = 0;
    }
    place->wait = NULL;
    place->account = NULL;
    place->is_taken = false;
    /* An answer that comes late is another's. */
    place->generation = (place->generation + 1) & GENERATION_MASK;
    place->next_free = service->free_place;
    service->free_place = at;
    service->free_count++;
}

void pd_service_waits_close(struct pd_service *service)
{
    for (uint32_t at = 1; at <= service->config.waits_max; at++) {
        if (service->places[at].is_taken) { /* a write that nobody waits for */
            pd_assert(service->places[at].wait == NULL);
            give_back(service, at);
        }
    }
    pd_free(service->places);
}

/* -- Shares ------------------------------------------------------------------------------------ */

static bool is_write(enum pd_backend_kind kind)
{
    return kind == PD_BACKEND_WRITE || kind == PD_BACKEND_REPEATABLE;
}

/* Whether `more` of something fits: into what all may have, and, with what the client has, into
 * what would be left for all others. */
static bool fits(uint64_t most, uint64_t all, uint64_t own, uint64_t more, bool is_cleaning)
{
    return all + more <= most && (is_cleaning || own + more <= most - (all + more));
}

static bool has_share(const struct pd_service *service, const struct pd_service_account *own,
                      const struct pd_service_wait *wait, uint32_t write_bytes)
{
    static const struct pd_service_account nobody;
    const struct pd_service_config *config = &service->config;
    const struct pd_service_account *all = &service->account;
    bool is_cleaning = wait->is_cleaning;
    own = own == NULL ? &nobody : own;
    if (service->free_place == 0) {
        return false;
    }
    if (!wait->is_watch && !is_cleaning && own->requests + 1 > service->free_count - 1) {
        return false;
    }
    return write_bytes == 0 ||
           (fits(config->writes_max, all->writes, own->writes, 1, is_cleaning) &&
            fits(config->write_bytes_max, all->write_bytes, own->write_bytes, write_bytes,
                 is_cleaning));
}

/* -- Asking ------------------------------------------------------------------------------------ */

uint64_t pd_service_correlation(const struct pd_service *service,
                                const struct pd_service_wait *wait)
{
    pd_assert(wait->place != 0);
    return (uint64_t)service->places[wait->place].generation << 32 | wait->place;
}

/* NULL: no memory, or nobody's. */
static struct pd_service_account *account_of(struct pd_service_client *client)
{
    if (client != NULL && client->account == NULL) {
        client->account = pd_alloc_zeroed(1, sizeof *client->account);
        if (client->account != NULL) {
            client->account->holders = 1;
        }
    }
    return client == NULL ? NULL : client->account;
}

enum pd_status pd_service_submit(struct pd_service *service, struct pd_service_client *client,
                                 struct pd_service_wait *wait,
                                 const struct pd_backend_request *request)
{
    struct pd_service_account *account = account_of(client);
    size_t size = is_write(request->kind) ? request->body.size : 0;
    pd_assert(wait->place == 0);
    pd_assert(wait->answered != NULL);
    if (client != NULL && account == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    if (size > UINT32_MAX || !has_share(service, account, wait, (uint32_t)size)) {
        return PD_ERR_FULL;
    }
    take(service, account, wait, (uint32_t)size);
    wait->kind = request->kind;
    enum pd_status status = service->backend->ops->submit(
        service->backend, pd_service_correlation(service, wait), request);
    if (status != PD_OK) {
        give_back(service, wait->place);
    }
    return status;
}

void pd_service_forget(struct pd_service *service, struct pd_service_wait *wait)
{
    if (wait->place == 0) {
        return;
    }
    uint32_t at = wait->place;
    uint64_t correlation = pd_service_correlation(service, wait);
    if (is_write(wait->kind)) {
        service->places[at].wait = NULL; /* until it is answered */
        wait->place = 0;
    } else {
        give_back(service, at);
    }
    service->backend->ops->cancel(service->backend, correlation, wait->kind);
}

void pd_service_answered(struct pd_service *service, uint64_t correlation,
                         const struct pd_backend_answer *answer)
{
    uint32_t at = (uint32_t)correlation;
    if (at == 0 || at > service->config.waits_max) {
        return;
    }
    const struct pd_service_place *place = &service->places[at];
    struct pd_service_wait *wait = place->wait;
    if (!place->is_taken || place->generation != correlation >> 32) {
        return; /* nobody waits for it any more */
    }
    pd_arena_reset(&service->answers);
    bool goes_on = wait != NULL && wait->kind == PD_BACKEND_WATCH &&
                   answer->outcome == PD_BACKEND_OK && answer->watch != NULL;
    if (!goes_on) {
        give_back(service, at);
    }
    if (wait != NULL) {
        wait->answered(wait, answer);
    }
}

void pd_service_ask(struct pd_service_call *call, const struct pd_backend_request *request,
                    void (*answered)(struct pd_service_wait *wait,
                                     const struct pd_backend_answer *answer))
{
    call->wait.answered = answered;
    enum pd_status status = pd_service_submit(call->service, call->client, &call->wait, request);
    if (status != PD_OK) {
        pd_service_fail_status(call, status);
    }
}
