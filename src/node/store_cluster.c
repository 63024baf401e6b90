/* The link over QUIC to a cluster elsewhere: one member at a time, the next one when it is lost.
 *
 *   DIALING -- the ticket is shown, and taken --> UP -- closed --> DIALING the next member
 *
 * A thread of its own dials, waits and pauses; the net's thread takes what comes. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/list.h"
#include "base/spin.h"
#include "host/udp.h"
#include "node/members.h"
#include "node/members_ticket.h"
#include "node/reach.h"
#include "node/server_peers_clients.h"
#include "node/store_link.h"

#define MS UINT64_C(1000000)
#define MEMBERS_MAX 16u
#define WHY_MAX 256u
#define LET_IN_NS (5000 * MS) /* a member may have to find its leader first */
#define PAUSE_MIN_NS (20 * MS)
#define PAUSE_MAX_NS (1000 * MS)

struct member {
    uint8_t key[PD_NET_KEY_SIZE];
    uint32_t count;
    /* As the directory has them: perhaps names. */
    char addresses[PD_KV_MEMBER_ADDRESSES_MAX][PD_KV_MEMBER_ADDRESS_MAX + 1];
};

struct pd_store_cluster_link {
    struct pd_store_link link; /* first */
    struct pd_host *host;
    struct pd_store_port *port;
    struct pd_udp *udp;
    struct pd_net *net;
    struct pd_reach reach;
    char ticket[PD_TICKET_TEXT_MAX]; /* empty: the identity is shown */
    struct pd_net_identity identity;
    struct pd_thread thread;
    bool is_started;
    struct pd_event event; /* something has changed for the thread */
    struct pd_event told;  /* likewise, for who opens the link */
    atomic_bool is_ending;
    atomic_uint_least64_t up;    /* the link that requests go to; 0: none */
    atomic_uint_least64_t small; /* numbers of requests that have no answer */
    struct pd_spin lock;
    /* Under the lock: */
    uint64_t dialed;   /* the link that the ticket was shown on; 0: none */
    bool has_answered; /* or is closed */
    bool is_refused;   /* for good */
    char why[WHY_MAX];
    uint32_t count;
    struct member members[MEMBERS_MAX];
};

/* -- The members ------------------------------------------------------------------------------- */

static struct member member_of(const struct pd_kv_member *told)
{
    struct member member = {.count = 0};
    memcpy(member.key, told->key, sizeof member.key);
    for (uint32_t i = 0; i < told->peer_count && i < PD_KV_MEMBER_ADDRESSES_MAX; i++) {
        const struct pd_span *peer = &told->peers[i];
        if (peer->size > 0 && peer->size <= PD_KV_MEMBER_ADDRESS_MAX) {
            memcpy(member.addresses[member.count++], peer->bytes, peer->size);
        }
    }
    return member;
}

/* Its spans are the member's. */
static struct pd_kv_member view_of(const struct member *member)
{
    struct pd_kv_member view = {.peer_count = member->count};
    memcpy(view.key, member->key, sizeof view.key);
    for (uint32_t i = 0; i < member->count; i++) {
        const char *address = member->addresses[i];
        view.peers[i] = (struct pd_span){(const uint8_t *)address, strlen(address)};
    }
    return view;
}

/* Under the lock. Those that are known stay, with the addresses that were heard of last. */
static void learn(struct pd_store_cluster_link *self, const struct pd_kv_member *told)
{
    const struct member member = member_of(told);
    uint32_t at = 0;
    if (member.count == 0) {
        return;
    }
    while (at < self->count && memcmp(self->members[at].key, member.key, PD_NET_KEY_SIZE) != 0) {
        at++;
    }
    if (at < MEMBERS_MAX) {
        self->members[at] = member;
        self->count = at == self->count ? at + 1 : self->count;
    }
}

static void learn_all(struct pd_store_cluster_link *self, struct pd_span list)
{
    struct pd_kv_reader reader;
    struct pd_members_item item;
    pd_kv_reader_init(&reader, list);
    while (pd_members_next(&reader, &item)) {
        if (item.is_listed && item.standing != PD_MEMBERS_NONE) {
            learn(self, &item.member);
        }
    }
}

static void wake(struct pd_store_cluster_link *self)
{
    self->host->ops->event_set(self->host, &self->event);
    self->host->ops->event_set(self->host, &self->told);
}

/* -- On the net's thread ----------------------------------------------------------------------- */

/* What became of the ticket on `link`. */
static void take_hello(struct pd_store_cluster_link *self, uint64_t link, struct pd_span bytes)
{
    struct pd_replica_answer_head answer;
    bool is_let_in = false;
    if (pd_replica_answer_decode(bytes, &answer) != PD_OK) {
        answer = (struct pd_replica_answer_head){.outcome = PD_REPLICA_NOT_READY};
    }
    pd_spin_lock(&self->lock);
    if (link == self->dialed && !self->has_answered) {
        self->has_answered = true;
        is_let_in = answer.outcome == PD_REPLICA_OK;
        if (is_let_in) {
            learn_all(self, answer.body);
        } else {
            self->is_refused = answer.outcome == PD_REPLICA_INVALID;
            (void)snprintf(self->why, sizeof self->why, "%.*s",
                           self->is_refused ? (int)answer.body.size : 64,
                           self->is_refused ? (const char *)answer.body.bytes
                                            : pd_replica_outcome_text(answer.outcome));
        }
    }
    pd_spin_unlock(&self->lock);
    if (is_let_in) {
        atomic_store(&self->up, link);
        pd_store_port_up(self->port);
    }
    wake(self);
}

static void on_answer(void *state, uint64_t link, uint64_t correlation, struct pd_span bytes)
{
    struct pd_store_cluster_link *self = state;
    if (correlation == PD_CLIENTS_HELLO) {
        take_hello(self, link, bytes);
    } else {
        pd_store_port_answer(self->port, correlation, bytes);
    }
}

/* A request that was refused by the other side's net, or ended without an answer. Whoever has had
 * its answer is not waiting any more, and the port passes this one over. */
static void on_ended(void *state, uint64_t link, uint64_t correlation, enum pd_status status)
{
    const struct pd_store_cluster_link *self = state;
    uint8_t bytes[PD_REPLICA_ANSWER_HEAD_SIZE];
    bool is_undone = status == PD_ERR_FULL || status == PD_ERR_RANGE || status == PD_ERR_INVALID;
    (void)link;
    if (correlation != PD_CLIENTS_HELLO) {
        pd_replica_answer_put_head(
            bytes, &(struct pd_replica_answer_head){.outcome = is_undone ? PD_REPLICA_BUSY
                                                                         : PD_REPLICA_UNKNOWN});
        pd_store_port_answer(self->port, correlation, (struct pd_span){bytes, sizeof bytes});
    }
}

static void on_opened(void *state, uint64_t link, const uint8_t key[PD_NET_KEY_SIZE])
{
    struct pd_store_cluster_link *self = state;
    (void)key; /* that which was dialed */
    pd_reach_opened(&self->reach, link);
}

/* Also told for a request to a link that is gone already: then what was given to that one is lost,
 * whatever link is up now. */
static void on_closed(void *state, uint64_t link, const char *text)
{
    struct pd_store_cluster_link *self = state;
    uint64_t up = link;
    bool was_up = atomic_compare_exchange_strong(&self->up, &up, 0);
    pd_reach_closed(&self->reach, link, text);
    pd_spin_lock(&self->lock);
    if (link == self->dialed && !self->has_answered) {
        self->has_answered = true;
        (void)snprintf(self->why, sizeof self->why, "%s", text);
    }
    pd_spin_unlock(&self->lock);
    pd_store_port_lost(self->port);
    if (!was_up && atomic_load(&self->up) != 0) {
        pd_store_port_up(self->port);
    }
    wake(self);
}

/* -- The port's -------------------------------------------------------------------------------- */

static enum pd_status submit(struct pd_store_link *link, uint64_t correlation, struct pd_span bytes)
{
    struct pd_store_cluster_link *self = pd_container_of(link, struct pd_store_cluster_link, link);
    uint64_t up = atomic_load(&self->up);
    if (up == 0) {
        return PD_ERR_CLOSED;
    }
    if (correlation == 0) { /* of a watch; a request of the net's needs a number of its own */
        correlation = atomic_fetch_add(&self->small, 1) << 32;
    }
    enum pd_status status = pd_net_call(self->net, up, correlation, bytes);
    return status == PD_ERR_RANGE ? PD_ERR_FULL : status;
}

static const char *why_down(struct pd_store_link *link)
{
    (void)link;
    return "the cluster is gone: no member of it can be reached, or lets us in";
}

static const struct pd_store_link_ops ops = {.submit = submit, .read_hot = NULL, .text = why_down};

/* -- The thread -------------------------------------------------------------------------------- */

/* Until `deadline_ns`, or somebody sets the event. */
static void wait_until(struct pd_store_cluster_link *self, uint64_t deadline_ns)
{
    (void)self->host->ops->event_wait(self->host, &self->event, deadline_ns);
}

/* The member whose turn it is. */
static struct member choose(struct pd_store_cluster_link *self, uint32_t number)
{
    pd_spin_lock(&self->lock);
    const struct member chosen = self->members[number % self->count];
    self->dialed = 0;
    pd_spin_unlock(&self->lock);
    return chosen;
}

/* Dial a member and show it the ticket, until it is up, refuses, or does not answer. */
static void try_member(struct pd_store_cluster_link *self, uint32_t number)
{
    uint64_t link = 0;
    uint32_t at = 0;
    bool has_answered = false;
    char text[PD_REACH_TEXT_MAX];
    const struct member chosen = choose(self, number);
    const struct pd_kv_member member = view_of(&chosen);
    uint64_t deadline_ns = pd_host_now_ns(self->host) + LET_IN_NS;
    if (!pd_reach_dial(&self->reach, self->net, 0, &member, deadline_ns, &link, &at, text)) {
        pd_spin_lock(&self->lock);
        (void)snprintf(self->why, sizeof self->why, "%.200s", text);
        pd_spin_unlock(&self->lock);
        return;
    }
    pd_spin_lock(&self->lock);
    self->dialed = link;
    self->has_answered = false;
    pd_spin_unlock(&self->lock);
    enum pd_status status =
        pd_net_call(self->net, link, PD_CLIENTS_HELLO,
                    (struct pd_span){(const uint8_t *)self->ticket, strlen(self->ticket)});
    deadline_ns = pd_host_now_ns(self->host) + LET_IN_NS;
    while (status == PD_OK && !has_answered && !atomic_load(&self->is_ending) &&
           pd_host_now_ns(self->host) < deadline_ns) {
        wait_until(self, deadline_ns);
        pd_spin_lock(&self->lock);
        has_answered = self->has_answered;
        pd_spin_unlock(&self->lock);
    }
    if (atomic_load(&self->up) != link) {
        status = pd_net_hang_up(self->net, link);
        (void)status; /* what cannot be hung up ends with the net */
    }
}

static void cluster_main(void *argument)
{
    struct pd_store_cluster_link *self = argument;
    uint64_t pause_ns = PAUSE_MIN_NS;
    for (uint32_t next = 0; !atomic_load(&self->is_ending); next++) {
        try_member(self, next);
        while (atomic_load(&self->up) != 0 && !atomic_load(&self->is_ending)) {
            pause_ns = PAUSE_MIN_NS;
            wait_until(self, PD_TIME_NEVER);
        }
        uint64_t until_ns = pd_host_now_ns(self->host) + pause_ns;
        while (pd_host_now_ns(self->host) < until_ns && !atomic_load(&self->is_ending)) {
            wait_until(self, until_ns);
        }
        pause_ns = 2 * pause_ns > PAUSE_MAX_NS ? PAUSE_MAX_NS : 2 * pause_ns;
    }
}

/* -- Life -------------------------------------------------------------------------------------- */

/* The address from which the members can be reached: of this machine alone if they are here, else
 * any. */
static struct pd_transport_address local_address(const struct pd_store_cluster_link *self)
{
    struct pd_transport_address address = {.port = 0};
    struct pd_span elsewhere;
    for (uint32_t i = 0; i < self->count; i++) {
        const struct pd_kv_member member = view_of(&self->members[i]);
        if (!pd_reach_is_here(&member, 1, &address, &elsewhere)) {
            return (struct pd_transport_address){.port = 0};
        }
    }
    address.port = 0;
    return address;
}

static enum pd_status open_net(struct pd_store_cluster_link *self, char *text)
{
    struct pd_net_config config = pd_net_config_default();
    const struct pd_net_offer offer = {.name = PD_CLIENTS_SERVICE,
                                       .handler = {.opened = on_opened,
                                                   .closed = on_closed,
                                                   .answer = on_answer,
                                                   .ended = on_ended,
                                                   .state = self}};
    const struct pd_udp_config udp = {.host = self->host, .address = local_address(self)};
    enum pd_status status = pd_udp_open(&udp, text, &self->udp);
    if (status != PD_OK) {
        return status;
    }
    config.host = self->host;
    config.loop = pd_udp_loop(self->udp);
    config.identity = &self->identity;
    config.offers = &offer;
    config.offer_count = 1;
    return pd_net_open(&config, &self->net);
}

/* Wait for the first time to be let in. */
static enum pd_status wait_up(struct pd_store_cluster_link *self, uint64_t timeout_ns, char *text)
{
    uint64_t deadline_ns = pd_host_now_ns(self->host) + timeout_ns;
    bool is_refused = false;
    while (atomic_load(&self->up) == 0 && !is_refused &&
           self->host->ops->event_wait(self->host, &self->told, deadline_ns)) {
        pd_spin_lock(&self->lock);
        is_refused = self->is_refused;
        pd_spin_unlock(&self->lock);
    }
    if (atomic_load(&self->up) != 0) {
        return PD_OK;
    }
    pd_spin_lock(&self->lock);
    (void)snprintf(text, PD_STORE_CLUSTER_TEXT_MAX, "%s%s",
                   is_refused ? self->ticket[0] != '\0' ? "the cluster refuses the ticket: "
                                                        : "the cluster refuses this node: "
                              : "no member of the cluster lets us in; the last one: ",
                   self->why[0] != '\0' ? self->why : "it does not answer");
    pd_spin_unlock(&self->lock);
    return is_refused ? PD_ERR_DENIED : PD_ERR_CLOSED;
}

static enum pd_status read_ticket(struct pd_store_cluster_link *self, const char *text)
{
    uint8_t room[PD_TICKET_BYTES_MAX];
    struct pd_ticket ticket;
    if ((size_t)snprintf(self->ticket, sizeof self->ticket, "%s", text) >= sizeof self->ticket ||
        pd_ticket_parse(self->ticket, room, &ticket) != PD_OK) {
        return PD_ERR_INVALID;
    }
    for (uint32_t i = 0; i < ticket.count; i++) {
        learn(self, &ticket.members[i]);
    }
    return self->count > 0 ? PD_OK : PD_ERR_INVALID;
}

static enum pd_status start(struct pd_store_cluster_link *self, uint64_t timeout_ns,
                            const struct pd_store_port_config *config, char *text)
{
    enum pd_status status = pd_store_port_open(config, &self->link, &self->port);
    if (status == PD_OK) {
        status = open_net(self, text);
    }
    if (status == PD_OK) {
        status = self->host->ops->thread_start(self->host, "pando-cluster", PD_THREAD_NORMAL,
                                               cluster_main, self, &self->thread);
        self->is_started = status == PD_OK;
    }
    return status == PD_OK ? wait_up(self, timeout_ns, text) : status;
}

static struct pd_store_cluster_link *create(const struct pd_store_port_config *config)
{
    struct pd_store_cluster_link *self = pd_alloc_zeroed(1, sizeof *self);
    if (self != NULL) {
        self->link.ops = &ops;
        self->host = config->host;
        self->reach.host = config->host;
        atomic_store(&self->small, 1);
    }
    return self;
}

/* A key of this run alone: the ticket is what lets it in. */
static void make_identity(struct pd_store_cluster_link *self)
{
    uint8_t secret[PD_NET_KEY_SIZE];
    self->host->ops->entropy(self->host, secret, sizeof secret);
    pd_net_identity_init(&self->identity, secret);
}

/* Whom to ask is known, as `status` says. */
static enum pd_status open_link(struct pd_store_cluster_link *self, enum pd_status status,
                                uint64_t timeout_ns, const struct pd_store_port_config *config,
                                char *text, struct pd_store_cluster_link **link_out)
{
    status = status == PD_OK ? start(self, timeout_ns, config, text) : status;
    if (status != PD_OK) {
        pd_store_cluster_link_close(self);
        return status;
    }
    text[0] = '\0';
    *link_out = self;
    return PD_OK;
}

enum pd_status pd_store_cluster_link_open(const char *ticket, uint64_t timeout_ns,
                                          const struct pd_store_port_config *config,
                                          char text[PD_STORE_CLUSTER_TEXT_MAX],
                                          struct pd_store_cluster_link **link_out)
{
    struct pd_store_cluster_link *self = create(config);
    text[0] = '\0';
    if (self == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    make_identity(self);
    enum pd_status status = read_ticket(self, ticket);
    if (status == PD_ERR_INVALID) {
        (void)snprintf(text, PD_STORE_CLUSTER_TEXT_MAX,
                       "that is no ticket, or not a whole one: copy the line that `pando cluster "
                       "ticket` prints");
    }
    return open_link(self, status, timeout_ns, config, text, link_out);
}

enum pd_status pd_store_cluster_link_open_member(const struct pd_net_identity *identity,
                                                 const struct pd_members_file *file,
                                                 uint64_t timeout_ns,
                                                 const struct pd_store_port_config *config,
                                                 char text[PD_STORE_CLUSTER_TEXT_MAX],
                                                 struct pd_store_cluster_link **link_out)
{
    struct pd_store_cluster_link *self = create(config);
    text[0] = '\0';
    if (self == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    self->identity = *identity;
    for (uint32_t i = 0; i < file->count; i++) {
        learn(self, &file->members[i]);
    }
    if (self->count == 0) {
        (void)snprintf(text, PD_STORE_CLUSTER_TEXT_MAX,
                       "no member has an address in " PD_MEMBERS_FILE_NAME);
    }
    return open_link(self, self->count > 0 ? PD_OK : PD_ERR_INVALID, timeout_ns, config, text,
                     link_out);
}

struct pd_store_port *pd_store_cluster_link_port(struct pd_store_cluster_link *link)
{
    return link->port;
}

void pd_store_cluster_link_close(struct pd_store_cluster_link *link)
{
    if (link == NULL) {
        return;
    }
    atomic_store(&link->is_ending, true);
    if (link->is_started) {
        pd_reach_stop(&link->reach);
        wake(link);
        link->host->ops->thread_join(link->host, link->thread);
    }
    if (link->net != NULL) {
        pd_net_close(link->net);
    }
    if (link->udp != NULL) {
        pd_udp_close(link->udp);
    }
    pd_store_port_close(link->port);
    pd_free(link);
}
