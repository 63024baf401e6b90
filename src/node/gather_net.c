#include "node/gather_net.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "node/members_ticket.h"

#define SERVICE 0u
#define CORRELATION 1u
#define SECOND_NS UINT64_C(1000000000)
#define TICKET_S 600u

_Static_assert(PD_GATHER_TICKET_MAX >= PD_TICKET_TEXT_MAX, "a ticket fits into an answer");

struct question {
    uint64_t link; /* 0: none is under way */
    const char *why;
};

struct pd_gather_net {
    struct pd_host *host;
    const struct pd_net_identity *identity;
    _Atomic(struct pd_net *) net;
    struct pd_event event;
    pthread_mutex_t lock; /* over the rest */
    struct pd_gather gather;
    struct question questions[PD_GATHER_PLACES_MAX];
};

struct pd_gather *pd_gather_net_hold(struct pd_gather_net *gather)
{
    (void)pthread_mutex_lock(&gather->lock);
    return &gather->gather;
}

void pd_gather_net_release(struct pd_gather_net *gather)
{
    (void)pthread_mutex_unlock(&gather->lock);
}

/* -- Answering: on the net's thread ------------------------------------------------------------ */

static bool admit(void *state, const uint8_t key[PD_NET_KEY_SIZE])
{
    (void)state;
    (void)key;
    return true; /* the secret decides */
}

/* A few minutes in which one may join. Empty: it cannot be made. */
static struct pd_span make_ticket(struct pd_gather_net *gather, char text[PD_TICKET_TEXT_MAX])
{
    struct pd_ticket ticket = {.cluster_id = gather->gather.set_id,
                               .expires_s =
                                   gather->host->ops->wall_ns(gather->host) / SECOND_NS + TICKET_S,
                               .role = PD_KV_MEMBER_VOTER,
                               .count = 1};
    enum pd_status status = pd_kv_member_decode(
        (struct pd_span){gather->gather.row, gather->gather.row_size}, &ticket.members[0]);
    if (status != PD_OK || pd_ticket_print(&ticket, gather->identity, text) != PD_OK) {
        return (struct pd_span){NULL, 0};
    }
    return (struct pd_span){(const uint8_t *)text, strlen(text)};
}

static void on_request(void *state, uint64_t link, uint64_t correlation, struct pd_span bytes)
{
    struct pd_gather_net *gather = state;
    struct pd_net *net = atomic_load(&gather->net);
    uint8_t key[PD_NET_KEY_SIZE];
    uint8_t room[PD_GATHER_MESSAGE_MAX];
    char text[PD_TICKET_TEXT_MAX];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    struct pd_span ticket = {NULL, 0};
    bool is_free = false;
    if (net == NULL) {
        return; /* before attach; who asks will ask again */
    }
    if (!pd_net_link_key(net, link, key)) {
        return;
    }
    struct pd_gather *machine = pd_gather_net_hold(gather);
    enum pd_status status = pd_gather_read_question(machine, key, bytes, &is_free);
    if (is_free && machine->state == PD_GATHER_MEMBER) {
        ticket = make_ticket(gather, text);
    }
    pd_gather_put_answer(machine, key, status, ticket, &writer);
    pd_gather_net_release(gather);
    pd_assert(!writer.is_full);
    status = pd_net_answer(net, link, correlation, (struct pd_span){room, writer.size}, true);
    if (status != PD_OK) {
        status = pd_net_finish(net, link, correlation);
        (void)status; /* no memory for that either: its patience ends it */
    }
}

/* -- Asking ------------------------------------------------------------------------------------ */

/* Held. NULL: nobody waits for that link any more. */
static struct question *find(struct pd_gather_net *gather, uint64_t link, uint32_t *place_out)
{
    for (uint32_t i = 0; i < PD_GATHER_PLACES_MAX; i++) {
        if (gather->questions[i].link == link) {
            *place_out = i;
            return &gather->questions[i];
        }
    }
    return NULL;
}

static void end(struct pd_gather_net *gather, struct question *question, const char *why)
{
    enum pd_status status = pd_net_hang_up(gather->net, question->link);
    (void)status; /* what cannot be hung up ends with the net */
    question->link = 0;
    question->why = why;
    gather->host->ops->event_set(gather->host, &gather->event);
}

static void on_opened(void *state, uint64_t link, const uint8_t key[PD_NET_KEY_SIZE])
{
    struct pd_gather_net *gather = state;
    uint8_t room[PD_GATHER_MESSAGE_MAX];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    uint32_t place = 0;
    struct pd_gather *machine = pd_gather_net_hold(gather);
    struct question *question = find(gather, link, &place);
    if (question != NULL && memcmp(key, machine->key, PD_NET_KEY_SIZE) == 0) {
        end(gather, question, "this node itself answers there");
    } else if (question != NULL) {
        pd_gather_put_question(machine, key, &writer);
        pd_assert(!writer.is_full);
        if (pd_net_call(gather->net, link, CORRELATION, (struct pd_span){room, writer.size}) !=
            PD_OK) {
            end(gather, question, "no memory here");
        }
    }
    pd_gather_net_release(gather);
}

static void on_over(void *state, uint64_t link, const char *why)
{
    struct pd_gather_net *gather = state;
    uint32_t place = 0;
    (void)pd_gather_net_hold(gather);
    struct question *question = find(gather, link, &place);
    if (question != NULL) {
        end(gather, question, why);
    }
    pd_gather_net_release(gather);
}

static void on_answer(void *state, uint64_t link, uint64_t correlation, struct pd_span bytes)
{
    struct pd_gather_net *gather = state;
    uint8_t key[PD_NET_KEY_SIZE];
    uint32_t place = 0;
    (void)correlation;
    struct pd_gather *machine = pd_gather_net_hold(gather);
    struct question *question = find(gather, link, &place);
    if (question != NULL && pd_net_link_key(gather->net, link, key)) {
        enum pd_status status = pd_gather_hear(machine, place, key, bytes);
        end(gather, question,
            status == PD_OK           ? NULL
            : status == PD_ERR_DENIED ? "it has another secret"
                                      : "it is of another version");
    }
    pd_gather_net_release(gather);
}

static void on_ended(void *state, uint64_t link, uint64_t correlation, enum pd_status status)
{
    (void)correlation;
    (void)status;
    on_over(state, link, "it starts, or stops");
}

void pd_gather_net_ask(struct pd_gather_net *gather, uint32_t place,
                       const struct pd_transport_address *address)
{
    pd_assert(place < PD_GATHER_PLACES_MAX);
    (void)pd_gather_net_hold(gather);
    struct question *question = &gather->questions[place];
    pd_assert(question->link == 0);
    /* What follows waits for the lock, and finds the link. */
    if (pd_net_dial(gather->net, SERVICE, NULL, address, &question->link) != PD_OK) {
        question->link = 0;
        question->why = "no memory here";
    }
    pd_gather_net_release(gather);
}

static bool is_waiting(struct pd_gather_net *gather)
{
    bool is_any = false;
    (void)pd_gather_net_hold(gather);
    for (uint32_t i = 0; i < PD_GATHER_PLACES_MAX; i++) {
        is_any = is_any || gather->questions[i].link != 0;
    }
    pd_gather_net_release(gather);
    return is_any;
}

void pd_gather_net_wait(struct pd_gather_net *gather, uint64_t deadline_ns)
{
    while (is_waiting(gather) &&
           gather->host->ops->event_wait(gather->host, &gather->event, deadline_ns)) {
    }
    (void)pd_gather_net_hold(gather);
    for (uint32_t i = 0; i < PD_GATHER_PLACES_MAX; i++) {
        struct question *question = &gather->questions[i];
        if (question->link != 0) {
            enum pd_status status = pd_net_hang_up(gather->net, question->link);
            (void)status; /* what cannot be hung up ends with the net */
            question->link = 0;
            question->why = "it does not answer";
        }
    }
    pd_gather_net_release(gather);
}

const char *pd_gather_net_why(struct pd_gather_net *gather, uint32_t place)
{
    pd_assert(place < PD_GATHER_PLACES_MAX);
    (void)pd_gather_net_hold(gather);
    const char *why = gather->questions[place].why;
    pd_gather_net_release(gather);
    return why;
}

/* -- Life -------------------------------------------------------------------------------------- */

enum pd_status pd_gather_net_create(const struct pd_gather_net_config *config,
                                    struct pd_gather_net **gather_out)
{
    struct pd_gather_net *gather = pd_alloc_zeroed(1, sizeof *gather);
    if (gather == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    gather->host = config->host;
    gather->identity = config->identity;
    pd_gather_init(&gather->gather, config->secret, config->own);
    (void)pthread_mutex_init(&gather->lock, NULL);
    *gather_out = gather;
    return PD_OK;
}

struct pd_net_offer pd_gather_net_offer(struct pd_gather_net *gather)
{
    return (struct pd_net_offer){.name = PD_GATHER_SERVICE,
                                 .handler = {.admit = admit,
                                             .opened = on_opened,
                                             .closed = on_over,
                                             .request = on_request,
                                             .answer = on_answer,
                                             .ended = on_ended,
                                             .state = gather}};
}

void pd_gather_net_attach(struct pd_gather_net *gather, struct pd_net *net)
{
    atomic_store(&gather->net, net);
}

void pd_gather_net_destroy(struct pd_gather_net *gather)
{
    if (gather != NULL) {
        (void)pthread_mutex_destroy(&gather->lock);
        explicit_bzero(gather->gather.secret, sizeof gather->gather.secret);
        pd_free(gather);
    }
}
