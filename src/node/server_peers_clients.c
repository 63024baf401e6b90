#include "node/server_peers_clients.h"

#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/list.h"
#include "base/spin.h"
#include "node/members.h"
#include "node/members_ticket.h"

#define SECOND_NS UINT64_C(1000000000)
#define TEXT_MAX 256u

/* A link, and the client of the server that it is.
 *
 *   opened -> on the list -> closing -> closed by the core, and freed */
struct visitor {
    struct pd_list list;
    struct pd_server_client client;
    struct pd_clients *owner;
    uint64_t link;
    atomic_bool is_admitted;
    /* The owner's lock: */
    bool is_closing;
    bool is_closed;                  /* by the core, and off the list */
    uint32_t users;                  /* the net's thread looks at it */
    uint8_t signer[PD_NET_KEY_SIZE]; /* of its ticket; or its own key */
    bool has_ticket;
    uint64_t node; /* whose key lets it in: its own, or its ticket's signer's. Clients' lock */
    struct pd_spin lock;
    uint32_t watch_count;
    uint64_t watches[PD_CLIENTS_WATCHES_MAX]; /* correlations that have many answers */
};

struct pd_clients {
    struct pd_host *host;
    _Atomic(struct pd_net *) net;
    struct pd_server *server;
    uint64_t cluster_id;
    atomic_bool is_open;
    atomic_uint inside; /* the net's thread looks at it */
    struct pd_event left;
    struct pd_spin lock;
    struct pd_list visitors;
    uint32_t visitor_count;
    struct pd_event gone; /* the last visitor is */
};

/* -- Answers ----------------------------------------------------------------------------------- */

static void finish(const struct pd_clients *clients, uint64_t link, uint64_t correlation)
{
    enum pd_status status = pd_net_finish(atomic_load(&clients->net), link, correlation);
    (void)status; /* no memory for that either: the client's patience ends it */
}

static void give(const struct pd_clients *clients, uint64_t link, uint64_t correlation,
                 struct pd_span bytes, bool is_last)
{
    if (pd_net_answer(atomic_load(&clients->net), link, correlation, bytes, is_last) != PD_OK) {
        finish(clients, link, correlation);
    }
}

static void refuse(const struct pd_clients *clients, uint64_t link, uint64_t correlation,
                   enum pd_replica_outcome outcome, const char *text)
{
    uint8_t bytes[PD_REPLICA_ANSWER_HEAD_SIZE + TEXT_MAX];
    const struct pd_replica_answer_head head = {.outcome = outcome};
    size_t size = strnlen(text, TEXT_MAX);
    pd_replica_answer_put_head(bytes, &head);
    memcpy(bytes + PD_REPLICA_ANSWER_HEAD_SIZE, text, size);
    give(clients, link, correlation, (struct pd_span){bytes, PD_REPLICA_ANSWER_HEAD_SIZE + size},
         true);
}

/* -- Watches ----------------------------------------------------------------------------------- */

static bool add_watch(struct visitor *visitor, uint64_t correlation)
{
    pd_spin_lock(&visitor->lock);
    bool has_room = visitor->watch_count < PD_CLIENTS_WATCHES_MAX;
    if (has_room) {
        visitor->watches[visitor->watch_count++] = correlation;
    }
    pd_spin_unlock(&visitor->lock);
    return has_room;
}

/* Whether it is one; it is none any more if this is its end. */
static bool is_watch(struct visitor *visitor, uint64_t correlation, bool is_end)
{
    bool is_found = false;
    pd_spin_lock(&visitor->lock);
    for (uint32_t i = 0; i < visitor->watch_count && !is_found; i++) {
        is_found = visitor->watches[i] == correlation;
        if (is_found && is_end) {
            visitor->watches[i] = visitor->watches[--visitor->watch_count];
        }
    }
    pd_spin_unlock(&visitor->lock);
    return is_found;
}

/* -- In the core ------------------------------------------------------------------------------- */

/* By ids that were collected, since the net takes locks of its own. */
void pd_clients_cut(struct pd_clients *clients, const uint64_t *nodes, uint32_t count)
{
    uint64_t links[PD_CLIENTS_LINKS_MAX];
    uint32_t link_count = 0;
    pd_spin_lock(&clients->lock);
    for (struct pd_list *at = clients->visitors.next; at != &clients->visitors; at = at->next) {
        const struct visitor *visitor = pd_container_of(at, struct visitor, list);
        for (uint32_t i = 0; i < count; i++) {
            if (visitor->node == nodes[i]) {
                links[link_count++] = visitor->link;
                break;
            }
        }
    }
    pd_spin_unlock(&clients->lock);
    for (uint32_t i = 0; i < link_count; i++) {
        enum pd_status status = pd_net_hang_up(atomic_load(&clients->net), links[i]);
        (void)status; /* no memory: it is let in no more, at least */
    }
}

/* Ask it to be closed, once. */
static void dismiss(struct pd_clients *clients, struct visitor *visitor)
{
    pd_spin_lock(&clients->lock);
    bool is_first = !visitor->is_closing;
    visitor->is_closing = true;
    pd_spin_unlock(&clients->lock);
    if (is_first) {
        pd_server_client_close(clients->server, &visitor->client);
    }
}

static void judge_signer(struct visitor *visitor, const struct pd_replica_answer_head *answer,
                         struct pd_span bytes)
{
    bool is_known = visitor->has_ticket ? pd_members_may_sign(answer->body, visitor->signer)
                                        : pd_members_lists_key(answer->body, visitor->signer);
    if (answer->outcome == PD_REPLICA_OK && !is_known) {
        refuse(visitor->owner, visitor->link, PD_CLIENTS_HELLO, PD_REPLICA_INVALID,
               visitor->has_ticket
                   ? "who signed the ticket is no member any more: ask for another one"
                   : "this node is no member, or not any more: it has to join");
    } else {
        atomic_store(&visitor->is_admitted, answer->outcome == PD_REPLICA_OK);
        give(visitor->owner, visitor->link, PD_CLIENTS_HELLO, bytes, true);
    }
    if (!atomic_load(&visitor->is_admitted)) {
        dismiss(visitor->owner, visitor); /* its place is for others */
    }
}

static void on_answer(struct pd_server_client *client, uint64_t correlation, struct pd_span bytes)
{
    struct visitor *visitor = pd_container_of(client, struct visitor, client);
    struct pd_replica_answer_head answer;
    enum pd_status status = pd_replica_answer_decode(bytes, &answer);
    pd_assert(status == PD_OK); /* this node's own */
    if (correlation == PD_CLIENTS_HELLO) {
        judge_signer(visitor, &answer, bytes);
        return;
    }
    bool is_end = answer.outcome != PD_REPLICA_OK;
    bool has_more = is_watch(visitor, correlation, is_end) && !is_end;
    give(visitor->owner, visitor->link, correlation, bytes, !has_more);
}

static void on_client_closed(struct pd_server_client *client)
{
    struct visitor *visitor = pd_container_of(client, struct visitor, client);
    struct pd_clients *clients = visitor->owner;
    pd_spin_lock(&clients->lock);
    pd_list_remove(&visitor->list);
    visitor->is_closed = true;
    bool is_used = visitor->users > 0; /* then the net's thread frees it */
    bool is_last = --clients->visitor_count == 0;
    pd_spin_unlock(&clients->lock);
    if (!is_used) {
        pd_free(visitor);
    }
    if (is_last) {
        clients->host->ops->event_set(clients->host, &clients->gone);
    }
}

/* -- On the net's thread ----------------------------------------------------------------------- */

static bool admit(void *state, const uint8_t key[PD_NET_KEY_SIZE])
{
    (void)state;
    (void)key;
    return true; /* the ticket decides */
}

/* To be put back. */
static struct visitor *find(struct pd_clients *clients, uint64_t link)
{
    struct visitor *found = NULL;
    pd_spin_lock(&clients->lock);
    for (struct pd_list *at = clients->visitors.next; at != &clients->visitors; at = at->next) {
        struct visitor *visitor = pd_container_of(at, struct visitor, list);
        if (visitor->link == link && !visitor->is_closing) {
            found = visitor;
        }
    }
    if (found != NULL) {
        found->users++;
    }
    pd_spin_unlock(&clients->lock);
    return found;
}

/* NULL is allowed. */
static void put_back(struct pd_clients *clients, struct visitor *visitor)
{
    if (visitor == NULL) {
        return;
    }
    pd_spin_lock(&clients->lock);
    bool is_over = --visitor->users == 0 && visitor->is_closed;
    pd_spin_unlock(&clients->lock);
    if (is_over) {
        pd_free(visitor);
    }
}

/* To be put back. NULL: no room, or no memory; its requests are told to come again. */
static struct visitor *welcome(struct pd_clients *clients, uint64_t link, bool has_ticket)
{
    struct visitor *visitor = pd_alloc_zeroed(1, sizeof *visitor);
    if (visitor == NULL) {
        return NULL;
    }
    visitor->client = (struct pd_server_client){
        .answer = on_answer,
        .closed = on_client_closed,
        .name = "cluster",
        .is_outside = has_ticket, /* else it is a node */
    };
    visitor->has_ticket = has_ticket;
    visitor->owner = clients;
    visitor->link = link;
    visitor->users = 1;
    uint32_t strangers = 0;
    pd_spin_lock(&clients->lock);
    for (struct pd_list *at = clients->visitors.next; at != &clients->visitors; at = at->next) {
        strangers += !atomic_load(&pd_container_of(at, struct visitor, list)->is_admitted);
    }
    bool has_room =
        clients->visitor_count < PD_CLIENTS_LINKS_MAX && strangers < PD_CLIENTS_STRANGERS_MAX;
    if (has_room) {
        clients->visitor_count++;
        pd_list_append(&clients->visitors, &visitor->list);
    }
    pd_spin_unlock(&clients->lock);
    if (!has_room) {
        pd_free(visitor);
        return NULL;
    }
    if (pd_server_client_open(clients->server, &visitor->client) != PD_OK) {
        on_client_closed(&visitor->client);
        put_back(clients, visitor);
        return NULL;
    }
    return visitor;
}

static bool enter(struct pd_clients *clients)
{
    (void)atomic_fetch_add(&clients->inside, 1);
    return atomic_load(&clients->is_open);
}

static void leave(struct pd_clients *clients)
{
    (void)atomic_fetch_sub(&clients->inside, 1);
    if (!atomic_load(&clients->is_open)) {
        clients->host->ops->event_set(clients->host, &clients->left);
    }
}

static void on_closed(void *state, uint64_t link, const char *text)
{
    struct pd_clients *clients = state;
    (void)text;
    if (enter(clients)) {
        struct visitor *visitor = find(clients, link);
        if (visitor != NULL) {
            dismiss(clients, visitor);
        }
        put_back(clients, visitor);
    }
    leave(clients);
}

/* NULL: `signer` is whose membership counts; or why not. */
static const char *judge_hello(struct pd_clients *clients, uint64_t link, struct pd_span bytes,
                               uint8_t signer[PD_NET_KEY_SIZE])
{
    uint8_t room[PD_TICKET_BYTES_MAX];
    struct pd_ticket ticket;
    if (bytes.size == 0) {
        return pd_net_link_key(atomic_load(&clients->net), link, signer) ? NULL
                                                                         : "the connection is gone";
    }
    const char *refusal =
        pd_ticket_judge(bytes, clients->cluster_id,
                        clients->host->ops->wall_ns(clients->host) / SECOND_NS, room, &ticket);
    if (refusal == NULL) {
        memcpy(signer, ticket.signer, PD_NET_KEY_SIZE);
    }
    return refusal;
}

/* The first request: its answer is the members, or why not. Only who shows a good ticket, or a key
 * of its own, takes one of the places. */
static void hello(struct pd_clients *clients, uint64_t link, bool is_known, struct pd_span bytes)
{
    uint8_t request[PD_REPLICA_REQUEST_HEAD_SIZE];
    uint8_t signer[PD_NET_KEY_SIZE];
    const char *refusal = judge_hello(clients, link, bytes, signer);
    if (refusal == NULL && is_known) {
        refusal = "a ticket was shown already";
    }
    if (refusal != NULL) {
        refuse(clients, link, PD_CLIENTS_HELLO, PD_REPLICA_INVALID, refusal);
        return;
    }
    struct visitor *visitor = welcome(clients, link, bytes.size > 0);
    if (visitor == NULL) {
        refuse(clients, link, PD_CLIENTS_HELLO, PD_REPLICA_BUSY, "the member has too many clients");
        return;
    }
    memcpy(visitor->signer, signer, sizeof visitor->signer);
    pd_spin_lock(&clients->lock);
    visitor->node = pd_members_node_of(signer);
    pd_spin_unlock(&clients->lock);
    pd_replica_request_put_head(
        request, &(struct pd_replica_request_head){.kind = PD_REPLICA_REQUEST_MEMBERS});
    if (pd_server_submit(clients->server, &visitor->client, PD_CLIENTS_HELLO,
                         (struct pd_span){request, sizeof request}) != PD_OK) {
        refuse(clients, link, PD_CLIENTS_HELLO, PD_REPLICA_BUSY, "the member is busy, or stops");
        dismiss(clients, visitor);
    }
    put_back(clients, visitor);
}

/* Of a client that was let in. */
static void pass_on(struct visitor *visitor, uint64_t correlation, struct pd_span bytes)
{
    struct pd_clients *clients = visitor->owner;
    struct pd_replica_request_head head;
    enum pd_status status = PD_OK;
    if (pd_replica_request_decode(bytes, &head) != PD_OK) {
        refuse(clients, visitor->link, correlation, PD_REPLICA_INVALID, "not a request");
        return;
    }
    switch (head.kind) {
    case PD_REPLICA_REQUEST_WATCH_CREDIT:
    case PD_REPLICA_REQUEST_UNWATCH:
        status = pd_server_submit_of_watch(clients->server, &visitor->client, correlation, bytes);
        finish(clients, visitor->link, correlation); /* nobody waits for an answer */
        break;
    case PD_REPLICA_REQUEST_WATCH:
        if (!add_watch(visitor, correlation)) {
            status = PD_ERR_FULL;
            break;
        }
        status = pd_server_submit(clients->server, &visitor->client, correlation, bytes);
        if (status != PD_OK) {
            (void)is_watch(visitor, correlation, true);
        }
        break;
    case PD_REPLICA_REQUEST_WRITE:
        if (!pd_replica_command_is_clients(head.body)) {
            refuse(clients, visitor->link, correlation, PD_REPLICA_INVALID,
                   "a node is asked for that through its socket");
            return;
        }
        status = pd_server_submit(clients->server, &visitor->client, correlation, bytes);
        break;
    case PD_REPLICA_REQUEST_READ:
    case PD_REPLICA_REQUEST_LEASE:
    case PD_REPLICA_REQUEST_LEASES:
    case PD_REPLICA_REQUEST_STATUS:
    case PD_REPLICA_REQUEST_MEMBERS:
    case PD_REPLICA_REQUEST_ABOUT:
        status = pd_server_submit(clients->server, &visitor->client, correlation, bytes);
        break;
    case PD_REPLICA_REQUEST_ADD_LEARNER:
    case PD_REPLICA_REQUEST_PROMOTE:
    case PD_REPLICA_REQUEST_REMOVE:
    case PD_REPLICA_REQUEST_LEAVE:
    case PD_REPLICA_REQUEST_TRANSFER:
    case PD_REPLICA_REQUEST_SNAPSHOT:
    case PD_REPLICA_REQUEST_SNAPSHOT_END:
    case PD_REPLICA_REQUEST_HEARD:
        refuse(clients, visitor->link, correlation, PD_REPLICA_INVALID,
               "a node is asked for that through its socket");
        return;
    }
    if (status != PD_OK) {
        refuse(clients, visitor->link, correlation,
               status == PD_ERR_CLOSED ? PD_REPLICA_NOT_READY : PD_REPLICA_BUSY,
               status == PD_ERR_CLOSED ? "the node is stopping"
                                       : "too many requests wait for the node");
    }
}

static void serve(struct pd_clients *clients, uint64_t link, uint64_t correlation,
                  struct pd_span bytes)
{
    struct visitor *visitor = find(clients, link);
    if (correlation == PD_CLIENTS_HELLO) {
        hello(clients, link, visitor != NULL, bytes);
    } else if (visitor == NULL || !atomic_load(&visitor->is_admitted)) {
        refuse(clients, link, correlation, PD_REPLICA_INVALID, "a ticket must be shown first");
    } else {
        pass_on(visitor, correlation, bytes);
    }
    put_back(clients, visitor);
}

static void on_request(void *state, uint64_t link, uint64_t correlation, struct pd_span bytes)
{
    struct pd_clients *clients = state;
    if (enter(clients)) {
        serve(clients, link, correlation, bytes);
    } else if (atomic_load(&clients->net) != NULL) {
        refuse(clients, link, correlation, PD_REPLICA_NOT_READY,
               "the member is starting, or stops");
    }
    leave(clients);
}

/* -- Life -------------------------------------------------------------------------------------- */

enum pd_status pd_clients_create(struct pd_host *host, struct pd_clients **clients_out)
{
    struct pd_clients *clients = pd_alloc_zeroed(1, sizeof *clients);
    if (clients == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    clients->host = host;
    pd_list_init(&clients->visitors);
    *clients_out = clients;
    return PD_OK;
}

struct pd_net_handler pd_clients_handler(struct pd_clients *clients)
{
    return (struct pd_net_handler){
        .admit = admit, .closed = on_closed, .request = on_request, .state = clients};
}

void pd_clients_attach(struct pd_clients *clients, struct pd_net *net)
{
    atomic_store(&clients->net, net);
}

void pd_clients_open(struct pd_clients *clients, struct pd_server *server)
{
    struct pd_server_about about;
    pd_server_about(server, &about);
    clients->server = server;
    clients->cluster_id = about.cluster_id;
    atomic_store(&clients->is_open, true);
}

void pd_clients_close(struct pd_clients *clients)
{
    if (!atomic_exchange(&clients->is_open, false)) {
        return;
    }
    while (atomic_load(&clients->inside) != 0) {
        (void)clients->host->ops->event_wait(clients->host, &clients->left, PD_TIME_NEVER);
    }
    /* The core takes them off the list as it closes them: the first that is not asked yet, until
     * there is none. */
    for (bool is_over = false; !is_over;) {
        struct visitor *next = NULL;
        pd_spin_lock(&clients->lock);
        for (struct pd_list *at = clients->visitors.next; at != &clients->visitors; at = at->next) {
            struct visitor *visitor = pd_container_of(at, struct visitor, list);
            next = visitor->is_closing ? next : visitor;
        }
        is_over = clients->visitor_count == 0;
        pd_spin_unlock(&clients->lock);
        if (next != NULL) {
            dismiss(clients, next);
        } else if (!is_over) {
            (void)clients->host->ops->event_wait(clients->host, &clients->gone, PD_TIME_NEVER);
        }
    }
}

void pd_clients_destroy(struct pd_clients *clients)
{
    pd_free(clients);
}
