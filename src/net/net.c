#include "net/net.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/list.h"
#include "base/postbox.h"

#define MIB (UINT64_C(1) << 20)
/* The number of a dialed link holds its service: also when it is gone its answers find their
 * handler. */
#define LINK_STEP (2u * PD_NET_SERVICES_MAX)
#define LOOK_EVERY_NS UINT64_C(500000000)

enum post_kind {
    POST_SEND = 0,
    POST_PEERS,
    POST_DIAL,
    POST_CALL,
    POST_CANCEL,
    POST_ANSWER,
    POST_HANG_UP
};

/* From any thread to the loop. */
struct post {
    struct pd_posted link;
    enum post_kind kind;
    enum pd_transport_lane lane;
    uint32_t service;
    uint32_t count;
    bool is_last;
    uint64_t target; /* node or link */
    uint64_t correlation;
    struct pd_net_buffer *buffer; /* owned; may be NULL */
    struct pd_transport_address address;
    uint8_t key[PD_NET_KEY_SIZE];
    bool takes_any_key;
    struct pd_transport_peer peers[]; /* count of them */
};

/* What every thread may know of a peer; under peers_lock. */
struct peer {
    struct pd_list link;
    uint64_t node;
    uint8_t key[PD_NET_KEY_SIZE];
    bool is_connected;
    bool is_kept; /* scratch */
    uint64_t connects;
    uint64_t round_trip_ns;
    struct pd_transport_address elsewhere;
    struct pd_net_account *accounts[PD_TRANSPORT_LANES];
};

struct counts {
    atomic_uint_least64_t sent[PD_TRANSPORT_LANES];
    atomic_uint_least64_t received[PD_TRANSPORT_LANES];
    atomic_uint_least64_t sent_bytes;
    atomic_uint_least64_t received_bytes;
    atomic_uint_least64_t dropped_full;
    atomic_uint_least64_t dropped_unconnected;
    atomic_uint_least64_t connects;
    atomic_uint_least64_t losts;
};

struct pd_net {
    struct pd_transport base; /* first */
    struct pd_net_config config;
    struct pd_net_handler handlers[PD_NET_SERVICES_MAX];
    struct pd_net_account *account; /* of calls and answers */
    struct pd_postbox posts;
    atomic_uint_least64_t next_link;
    atomic_bool is_closing;

    pthread_mutex_t peers_lock;
    struct pd_list peers;
    uint32_t peer_count;

    /* Held while the transport's handler is called, so that stop can wait for that. */
    pthread_mutex_t handler_lock;
    struct pd_transport_handler handler; /* message is NULL: nobody listens */
    bool is_greeted;                     /* it was told who is connected */
    atomic_bool must_greet;
    bool must_settle; /* the handler was told something; the loop's */

    struct counts counts;
    pthread_mutex_t counters_lock;
    struct pd_net_counters counters;
    struct pd_datagram_counters datagram_counters;

    /* The loop's thread. */
    struct pd_net_endpoint *endpoint;
    _Atomic(pthread_t) turning; /* who is in a turn: its own posts need no wake-up */
    atomic_bool is_turning;
    struct post *peers_due; /* a table that there was no memory for: again */
    uint64_t looked_ns;
    bool has_hung_up;
    uint8_t room[PD_NET_ROOM_SIZE];
};

struct pd_net_config pd_net_config_default(void)
{
    return (struct pd_net_config){.limits = pd_net_limits_default(), .call_bytes_max = 256 * MIB};
}

static struct pd_net *of(struct pd_transport *transport)
{
    return (struct pd_net *)(void *)transport;
}

static void count(atomic_uint_least64_t *counter, uint64_t more)
{
    (void)atomic_fetch_add_explicit(counter, more, memory_order_relaxed);
}

/* -- Posts ------------------------------------------------------------------------------------- */

static struct post *make_post(enum post_kind kind, uint64_t target, uint64_t correlation,
                              uint32_t peer_count)
{
    struct post *post =
        pd_alloc_zeroed(1, sizeof *post + peer_count * sizeof(struct pd_transport_peer));
    if (post != NULL) {
        post->kind = kind;
        post->target = target;
        post->correlation = correlation;
        post->count = peer_count;
    }
    return post;
}

static void free_post(struct post *post)
{
    if (post != NULL) {
        pd_net_buffer_free(post->buffer);
        pd_free(post);
    }
}

static void push(struct pd_net *net, struct post *post)
{
    bool was_empty = pd_postbox_put(&net->posts, &post->link);
    bool is_own = atomic_load(&net->is_turning) &&
                  pthread_equal(atomic_load(&net->turning), pthread_self()) != 0;
    if (!is_own && was_empty) {
        net->config.loop->ops->wake(net->config.loop); /* else somebody has, and it is not done */
    }
}

/* -- The table of peers, as any thread sees it: under peers_lock ------------------------------- */

static struct peer *find_peer(struct pd_net *net, uint64_t node)
{
    for (struct pd_list *link = net->peers.next; link != &net->peers; link = link->next) {
        struct peer *peer = pd_container_of(link, struct peer, link);
        if (peer->node == node) {
            return peer;
        }
    }
    return NULL;
}

static void free_peer(struct peer *peer)
{
    for (uint32_t i = 0; i < PD_TRANSPORT_LANES; i++) {
        pd_net_account_release(peer->accounts[i]);
    }
    pd_free(peer);
}

static struct peer *make_peer(const struct pd_transport_peer *about)
{
    struct peer *peer = pd_alloc_zeroed(1, sizeof *peer);
    if (peer == NULL) {
        return NULL;
    }
    pd_list_init(&peer->link);
    peer->node = about->node;
    memcpy(peer->key, about->key, sizeof peer->key);
    for (uint32_t i = 0; i < PD_TRANSPORT_LANES; i++) {
        peer->accounts[i] = pd_net_account_create();
        if (peer->accounts[i] == NULL) {
            free_peer(peer);
            return NULL;
        }
    }
    return peer;
}

static void free_peers(struct pd_list *peers)
{
    while (!pd_list_is_empty(peers)) {
        struct peer *peer = pd_container_of(peers->next, struct peer, link);
        pd_list_remove(&peer->link);
        free_peer(peer);
    }
}

static bool is_same(const struct peer *peer, const struct pd_transport_peer *about)
{
    return peer != NULL && memcmp(peer->key, about->key, sizeof peer->key) == 0;
}

/* The new ones into *fresh, and the old ones that stay marked. PD_ERR_NO_MEMORY. */
static enum pd_status sort_peers(struct pd_net *net, const struct pd_transport_peer *peers,
                                 uint32_t peer_count, struct pd_list *fresh)
{
    for (uint32_t i = 0; i < peer_count; i++) {
        struct peer *peer = find_peer(net, peers[i].node);
        if (is_same(peer, &peers[i])) {
            peer->is_kept = true;
            continue;
        }
        if (memcmp(peers[i].key, net->config.identity->key, PD_NET_KEY_SIZE) == 0) {
            continue;
        }
        peer = make_peer(&peers[i]);
        if (peer == NULL) {
            return PD_ERR_NO_MEMORY;
        }
        pd_list_append(fresh, &peer->link);
    }
    return PD_OK;
}

static enum pd_status change_peers(struct pd_net *net, const struct pd_transport_peer *peers,
                                   uint32_t peer_count)
{
    struct pd_list fresh;
    pd_list_init(&fresh);
    for (struct pd_list *link = net->peers.next; link != &net->peers; link = link->next) {
        pd_container_of(link, struct peer, link)->is_kept = false;
    }
    struct post *post = make_post(POST_PEERS, 0, 0, peer_count);
    enum pd_status status =
        post == NULL ? PD_ERR_NO_MEMORY : sort_peers(net, peers, peer_count, &fresh);
    if (status != PD_OK) {
        free_peers(&fresh);
        free_post(post);
        return status;
    }
    struct pd_list *link = net->peers.next;
    while (link != &net->peers) {
        struct peer *peer = pd_container_of(link, struct peer, link);
        link = link->next;
        if (!peer->is_kept) {
            pd_list_remove(&peer->link);
            free_peer(peer);
        }
    }
    pd_list_move_all(&net->peers, &fresh);
    if (peer_count > 0) {
        memcpy(post->peers, peers, peer_count * sizeof *peers);
    }
    push(net, post);
    return PD_OK;
}

/* -- The transport ----------------------------------------------------------------------------- */

static void start(struct pd_transport *transport, const struct pd_transport_handler *handler)
{
    struct pd_net *net = of(transport);
    (void)pthread_mutex_lock(&net->handler_lock);
    pd_assert(net->handler.message == NULL);
    net->handler = *handler;
    net->is_greeted = false;
    (void)pthread_mutex_unlock(&net->handler_lock);
    atomic_store(&net->must_greet, true);
    net->config.loop->ops->wake(net->config.loop);
}

static void stop(struct pd_transport *transport)
{
    struct pd_net *net = of(transport);
    (void)pthread_mutex_lock(&net->handler_lock);
    memset(&net->handler, 0, sizeof net->handler);
    (void)pthread_mutex_unlock(&net->handler_lock);
}

static enum pd_status set_peers(struct pd_transport *transport,
                                const struct pd_transport_peer *peers, uint32_t peer_count)
{
    struct pd_net *net = of(transport);
    enum pd_status status = pd_net_peers_judge(&net->config.limits, peers, peer_count);
    if (status != PD_OK) {
        return status;
    }
    (void)pthread_mutex_lock(&net->peers_lock);
    status = change_peers(net, peers, peer_count);
    (void)pthread_mutex_unlock(&net->peers_lock);
    return status;
}

/* Under peers_lock. */
static enum pd_status may_send(struct pd_net *net, const struct peer *peer,
                               enum pd_transport_lane lane, size_t size)
{
    if (peer == NULL) {
        return PD_ERR_UNKNOWN;
    }
    if (size > net->config.limits.message_bytes_max) {
        return PD_ERR_RANGE;
    }
    if (!peer->is_connected) {
        count(&net->counts.dropped_unconnected, 1);
        return PD_ERR_CLOSED;
    }
    if (atomic_load_explicit(&peer->accounts[lane]->bytes, memory_order_relaxed) + size >
        net->config.limits.lane_bytes_max[lane]) {
        count(&net->counts.dropped_full, 1);
        return PD_ERR_FULL;
    }
    return PD_OK;
}

static enum pd_status send(struct pd_transport *transport, uint64_t node,
                           enum pd_transport_lane lane, struct pd_span bytes)
{
    struct pd_net *net = of(transport);
    struct pd_net_account *account = NULL;
    (void)pthread_mutex_lock(&net->peers_lock);
    const struct peer *peer = find_peer(net, node);
    enum pd_status status = may_send(net, peer, lane, bytes.size);
    if (status == PD_OK) {
        account = peer->accounts[lane];
        pd_net_account_acquire(account);
    }
    (void)pthread_mutex_unlock(&net->peers_lock);
    if (status != PD_OK) {
        return status;
    }
    struct post *post = make_post(POST_SEND, node, 0, 0);
    struct pd_net_buffer *buffer = pd_net_buffer_make(account, 0, bytes);
    pd_net_account_release(account);
    if (post == NULL || buffer == NULL) {
        pd_net_buffer_free(buffer);
        pd_free(post);
        return PD_ERR_NO_MEMORY;
    }
    post->lane = lane;
    post->buffer = buffer;
    count(&net->counts.sent[lane], 1);
    count(&net->counts.sent_bytes, bytes.size);
    push(net, post);
    return PD_OK;
}

static enum pd_status peer_state(struct pd_transport *transport, uint64_t node,
                                 struct pd_transport_peer_state *state_out)
{
    struct pd_net *net = of(transport);
    memset(state_out, 0, sizeof *state_out);
    (void)pthread_mutex_lock(&net->peers_lock);
    const struct peer *peer = find_peer(net, node);
    if (peer != NULL) {
        state_out->is_connected = peer->is_connected;
        state_out->connects = peer->connects;
        state_out->round_trip_ns = peer->round_trip_ns;
        if (peer->is_connected) {
            state_out->elsewhere = peer->elsewhere;
        }
        for (uint32_t i = 0; i < PD_TRANSPORT_LANES; i++) {
            state_out->bytes_waiting[i] = atomic_load(&peer->accounts[i]->bytes);
        }
    }
    (void)pthread_mutex_unlock(&net->peers_lock);
    return peer == NULL ? PD_ERR_UNKNOWN : PD_OK;
}

static void transport_counters(struct pd_transport *transport,
                               struct pd_transport_counters *counters_out)
{
    struct pd_net *net = of(transport);
    struct pd_net_counters counters;
    struct pd_datagram_counters datagrams;
    (void)pthread_mutex_lock(&net->counters_lock);
    counters = net->counters;
    datagrams = net->datagram_counters;
    (void)pthread_mutex_unlock(&net->counters_lock);
    for (uint32_t i = 0; i < PD_TRANSPORT_LANES; i++) {
        counters_out->sent[i] = atomic_load(&net->counts.sent[i]);
        counters_out->received[i] = atomic_load(&net->counts.received[i]);
    }
    counters_out->sent_bytes = atomic_load(&net->counts.sent_bytes);
    counters_out->received_bytes = atomic_load(&net->counts.received_bytes);
    counters_out->dropped_full = atomic_load(&net->counts.dropped_full);
    counters_out->dropped_unconnected =
        atomic_load(&net->counts.dropped_unconnected) + counters.messages_dropped;
    counters_out->connects = atomic_load(&net->counts.connects);
    counters_out->losts = atomic_load(&net->counts.losts);
    counters_out->datagrams_dropped = counters.datagrams_dropped;
    counters_out->versions_refused = counters.versions_refused;
    counters_out->bad_tokens = counters.bad_tokens;
    counters_out->failed = counters.failed;
    counters_out->timed_out = counters.timed_out;
    counters_out->bad_frames = counters.bad_frames;
    counters_out->refused_busy = counters.refused_busy;
    counters_out->refused_flood = counters.refused_source;
    counters_out->refused_key = counters.refused_key;
    counters_out->silent = counters.silent;
    counters_out->peers_moved = counters.moved;
    counters_out->own_moves = datagrams.moves;
    counters_out->trains = datagrams.trains;
    counters_out->trains_refused = datagrams.trains_refused;
}

/* -- Posts, on the loop's thread --------------------------------------------------------------- */

static void do_peers(struct pd_net *net, struct post *post, uint64_t now_ns)
{
    if (pd_net_endpoint_set_peers(net->endpoint, now_ns, post->peers, post->count) == PD_OK) {
        free_post(post);
    } else {
        net->peers_due = post; /* no memory: in the next turn */
    }
}

static void do_dial(struct pd_net *net, const struct post *post, uint64_t now_ns)
{
    const struct pd_net_handler *handler = &net->handlers[post->service];
    enum pd_status status =
        pd_net_endpoint_dial(net->endpoint, now_ns, post->target, post->service,
                             post->takes_any_key ? NULL : post->key, &post->address);
    if (status != PD_OK && handler->closed != NULL) {
        handler->closed(handler->state, post->target,
                        status == PD_ERR_FULL ? "too many connections here" : "no memory here");
    }
}

static void do_call(struct pd_net *net, struct post *post)
{
    const struct pd_net_handler *handler = &net->handlers[post->target / 2 % PD_NET_SERVICES_MAX];
    struct pd_net_buffer *buffer = post->buffer;
    post->buffer = NULL;
    enum pd_status status =
        pd_net_endpoint_call(net->endpoint, post->target, post->correlation, buffer);
    if (status != PD_OK && handler->ended != NULL) {
        handler->ended(handler->state, post->target, post->correlation, status);
    }
}

static void do_post(struct pd_net *net, struct post *post, uint64_t now_ns)
{
    struct pd_net_buffer *buffer = post->buffer;
    switch (post->kind) {
    case POST_PEERS:
        free_post(net->peers_due); /* a newer table takes its place */
        net->peers_due = NULL;
        do_peers(net, post, now_ns);
        return;
    case POST_SEND:
        post->buffer = NULL;
        if (pd_net_endpoint_send(net->endpoint, post->target, post->lane, buffer) != PD_OK) {
            count(&net->counts.dropped_unconnected, 1);
        }
        break;
    case POST_DIAL:
        do_dial(net, post, now_ns);
        break;
    case POST_CALL:
        do_call(net, post);
        break;
    case POST_CANCEL:
        pd_net_endpoint_cancel(net->endpoint, post->target, post->correlation);
        break;
    case POST_ANSWER:
        post->buffer = NULL;
        pd_net_endpoint_answer(net->endpoint, post->target, post->correlation, buffer,
                               post->is_last);
        break;
    case POST_HANG_UP:
        pd_net_endpoint_hang_up(net->endpoint, now_ns, post->target);
        break;
    }
    free_post(post);
}

/* True: there were some. */
static bool do_posts(struct pd_net *net, uint64_t now_ns)
{
    struct pd_posted *link = pd_postbox_take(&net->posts);
    bool had_some = link != NULL;
    while (link != NULL) {
        struct post *post = pd_container_of(link, struct post, link);
        link = link->next;
        do_post(net, post, now_ns);
    }
    return had_some;
}

/* -- Events, on the loop's thread -------------------------------------------------------------- */

static void note_connection(struct pd_net *net, uint64_t node, bool is_connected)
{
    (void)pthread_mutex_lock(&net->peers_lock);
    struct peer *peer = find_peer(net, node);
    if (peer != NULL) {
        peer->is_connected = is_connected;
        peer->connects += is_connected ? 1 : 0;
    }
    (void)pthread_mutex_unlock(&net->peers_lock);
    count(is_connected ? &net->counts.connects : &net->counts.losts, 1);
}

static bool is_of_transport(const struct pd_net_event *event)
{
    return event->kind == PD_NET_PEER_CONNECTED || event->kind == PD_NET_PEER_LOST ||
           event->kind == PD_NET_PEER_REMOVED || event->kind == PD_NET_MESSAGE;
}

static void tell_transport(struct pd_net *net, const struct pd_net_event *event)
{
    if (event->kind == PD_NET_MESSAGE) {
        count(&net->counts.received[event->lane], 1);
        count(&net->counts.received_bytes, event->bytes.size);
    } else if (event->kind != PD_NET_PEER_REMOVED) {
        note_connection(net, event->node, event->kind == PD_NET_PEER_CONNECTED);
    }
    (void)pthread_mutex_lock(&net->handler_lock);
    const struct pd_transport_handler *handler = &net->handler;
    bool is_heard = handler->message != NULL && net->is_greeted;
    net->must_settle = net->must_settle || is_heard;
    if (is_heard && event->kind == PD_NET_MESSAGE) {
        handler->message(handler->state, event->node, event->lane, event->bytes);
    } else if (is_heard && event->kind == PD_NET_PEER_CONNECTED && handler->connected != NULL) {
        handler->connected(handler->state, event->node);
    } else if (is_heard && event->kind == PD_NET_PEER_LOST && handler->lost != NULL) {
        handler->lost(handler->state, event->node);
    } else if (is_heard && event->kind == PD_NET_PEER_REMOVED && handler->removed != NULL) {
        handler->removed(handler->state, event->node);
    }
    (void)pthread_mutex_unlock(&net->handler_lock);
}

/* A handler that has just begun to listen is told who is there. */
static void greet(struct pd_net *net)
{
    uint64_t nodes[PD_TRANSPORT_PEERS_MAX];
    uint32_t node_count = 0;
    (void)pthread_mutex_lock(&net->peers_lock);
    for (struct pd_list *link = net->peers.next; link != &net->peers; link = link->next) {
        const struct peer *peer = pd_container_of(link, struct peer, link);
        if (peer->is_connected && node_count < PD_TRANSPORT_PEERS_MAX) {
            nodes[node_count++] = peer->node;
        }
    }
    (void)pthread_mutex_unlock(&net->peers_lock);
    (void)pthread_mutex_lock(&net->handler_lock);
    net->is_greeted = true;
    for (uint32_t i = 0; i < node_count && net->handler.connected != NULL; i++) {
        net->handler.connected(net->handler.state, nodes[i]);
    }
    (void)pthread_mutex_unlock(&net->handler_lock);
}

/* True: it was told something, and that was all. */
static bool settle(struct pd_net *net)
{
    if (!net->must_settle) {
        return false;
    }
    net->must_settle = false;
    (void)pthread_mutex_lock(&net->handler_lock);
    if (net->handler.settled != NULL) {
        net->handler.settled(net->handler.state);
    }
    (void)pthread_mutex_unlock(&net->handler_lock);
    return true;
}

static void tell_service(struct pd_net *net, const struct pd_net_event *event)
{
    const struct pd_net_handler *handler = &net->handlers[event->service];
    void *state = handler->state;
    switch (event->kind) {
    case PD_NET_LINK_OPENED:
        if (handler->opened != NULL) {
            handler->opened(state, event->link, event->key);
        }
        return;
    case PD_NET_LINK_CLOSED:
        if (handler->closed != NULL) {
            handler->closed(state, event->link, event->text);
        }
        return;
    case PD_NET_REQUEST:
        if (handler->request != NULL) {
            handler->request(state, event->link, event->correlation, event->bytes);
        } else {
            pd_net_endpoint_answer(net->endpoint, event->link, event->correlation, NULL, true);
        }
        return;
    case PD_NET_CANCELLED:
        if (handler->cancelled != NULL) {
            handler->cancelled(state, event->link, event->correlation);
        }
        return;
    case PD_NET_ANSWER:
        if (handler->answer != NULL) {
            handler->answer(state, event->link, event->correlation, event->bytes);
        }
        return;
    case PD_NET_ENDED:
        if (handler->ended != NULL) {
            handler->ended(state, event->link, event->correlation, event->status);
        }
        return;
    case PD_NET_PEER_CONNECTED:
    case PD_NET_PEER_LOST:
    case PD_NET_PEER_REMOVED:
    case PD_NET_MESSAGE:
        return;
    }
}

/* True: there were some. */
static bool tell_events(struct pd_net *net)
{
    bool had_some = false;
    struct pd_net_event event;
    while (pd_net_endpoint_next_event(net->endpoint, &event)) {
        had_some = true;
        if (is_of_transport(&event)) {
            tell_transport(net, &event);
        } else {
            tell_service(net, &event);
        }
    }
    return had_some;
}

/* -- The loop's user --------------------------------------------------------------------------- */

static void look_at_peers(struct pd_net *net, uint64_t now_ns)
{
    if (now_ns - net->looked_ns < LOOK_EVERY_NS) {
        return;
    }
    net->looked_ns = now_ns;
    (void)pthread_mutex_lock(&net->peers_lock);
    for (struct pd_list *link = net->peers.next; link != &net->peers; link = link->next) {
        struct peer *peer = pd_container_of(link, struct peer, link);
        struct pd_transport_peer_state state;
        if (pd_net_endpoint_peer_state(net->endpoint, peer->node, &state) == PD_OK) {
            peer->round_trip_ns = state.round_trip_ns;
            peer->elsewhere = state.elsewhere;
        }
    }
    (void)pthread_mutex_unlock(&net->peers_lock);
}

static void on_received(void *state, uint64_t now_ns, const struct pd_datagram *datagrams,
                        uint32_t datagram_count)
{
    struct pd_net *net = state;
    for (uint32_t i = 0; i < datagram_count; i++) {
        pd_net_endpoint_receive(net->endpoint, now_ns, &datagrams[i]);
    }
}

static void on_turn(void *state, uint64_t now_ns)
{
    struct pd_net *net = state;
    atomic_store(&net->turning, pthread_self());
    atomic_store(&net->is_turning, true);
    if (atomic_load(&net->is_closing) && !net->has_hung_up) {
        net->has_hung_up = true;
        (void)do_posts(net, now_ns);
        pd_net_endpoint_hang_up_all(net->endpoint, now_ns);
    }
    if (net->peers_due != NULL) {
        struct post *due = net->peers_due;
        net->peers_due = NULL;
        do_peers(net, due, now_ns);
    }
    pd_net_endpoint_expire(net->endpoint, now_ns);
    if (atomic_exchange(&net->must_greet, false)) {
        greet(net);
    }
    /* Handlers post, and posts have results. */
    bool is_busy = true;
    while (is_busy) {
        bool had_posts = do_posts(net, now_ns);
        is_busy = tell_events(net) || had_posts || settle(net);
    }
    look_at_peers(net, now_ns);
    (void)pthread_mutex_lock(&net->counters_lock);
    pd_net_endpoint_counters(net->endpoint, &net->counters);
    net->config.loop->ops->counters(net->config.loop, &net->datagram_counters);
    (void)pthread_mutex_unlock(&net->counters_lock);
    atomic_store(&net->is_turning, false);
    if (!pd_postbox_is_empty(&net->posts)) {
        net->config.loop->ops->wake(net->config.loop); /* who posted just now saw no need to */
    }
}

static bool on_next(void *state, uint64_t now_ns, struct pd_datagram *datagram_out)
{
    struct pd_net *net = state;
    return pd_net_endpoint_next_datagram(net->endpoint, now_ns, net->room, datagram_out);
}

static uint64_t on_deadline(void *state)
{
    const struct pd_net *net = state;
    return pd_net_endpoint_deadline_ns(net->endpoint);
}

static void on_moved(void *state, uint64_t now_ns)
{
    struct pd_net *net = state;
    pd_net_endpoint_move(net->endpoint, now_ns);
}

/* -- Opening and closing ----------------------------------------------------------------------- */

static void draw(void *state, uint8_t *bytes, size_t size)
{
    struct pd_host *host = state;
    host->ops->entropy(host, bytes, size);
}

static enum pd_status open_endpoint(struct pd_net *net)
{
    struct pd_net_service services[PD_NET_SERVICES_MAX] = {0};
    for (uint32_t i = 0; i < net->config.offer_count; i++) {
        const struct pd_net_offer *offer = &net->config.offers[i];
        (void)snprintf(services[i].name, sizeof services[i].name, "%s", offer->name);
        services[i].admit = offer->handler.admit;
        services[i].state = offer->handler.state;
        net->handlers[i] = offer->handler;
    }
    struct pd_net_endpoint_config config = {
        .identity = net->config.identity,
        .limits = net->config.limits,
        .services = services,
        .service_count = net->config.offer_count,
        .random = draw,
        .random_state = net->config.host,
        .was_removed = net->config.was_removed,
        .removed_state = net->config.removed_state,
        .now_ns = pd_host_now_ns(net->config.host),
    };
    net->config.loop->ops->local(net->config.loop, &config.local);
    return pd_net_endpoint_open(&config, &net->endpoint);
}

static void destroy(struct pd_net *net)
{
    struct pd_posted *link = pd_postbox_take(&net->posts);
    while (link != NULL) {
        struct post *post = pd_container_of(link, struct post, link);
        link = link->next;
        free_post(post);
    }
    free_post(net->peers_due);
    pd_net_endpoint_close(net->endpoint);
    free_peers(&net->peers);
    pd_net_account_release(net->account);
    (void)pthread_mutex_destroy(&net->peers_lock);
    (void)pthread_mutex_destroy(&net->handler_lock);
    (void)pthread_mutex_destroy(&net->counters_lock);
    pd_free(net);
}

enum pd_status pd_net_open(const struct pd_net_config *config, struct pd_net **net_out)
{
    static const struct pd_transport_ops ops = {
        .settles = true,
        .start = start,
        .stop = stop,
        .set_peers = set_peers,
        .send = send,
        .peer_state = peer_state,
        .counters = transport_counters,
    };
    pd_assert(config->offer_count <= PD_NET_SERVICES_MAX);
    struct pd_net *net = pd_alloc_zeroed(1, sizeof *net);
    if (net == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    net->base.ops = &ops;
    net->config = *config;
    atomic_init(&net->next_link, LINK_STEP);
    pd_list_init(&net->peers);
    (void)pthread_mutex_init(&net->peers_lock, NULL);
    (void)pthread_mutex_init(&net->handler_lock, NULL);
    (void)pthread_mutex_init(&net->counters_lock, NULL);
    net->account = pd_net_account_create();
    enum pd_status status = net->account == NULL ? PD_ERR_NO_MEMORY : open_endpoint(net);
    if (status == PD_OK) {
        const struct pd_datagram_user user = {.received = on_received,
                                              .turn = on_turn,
                                              .next = on_next,
                                              .deadline_ns = on_deadline,
                                              .moved = on_moved,
                                              .state = net};
        status = config->loop->ops->start(config->loop, &user);
    }
    if (status != PD_OK) {
        destroy(net);
        return status;
    }
    *net_out = net;
    return PD_OK;
}

void pd_net_close(struct pd_net *net)
{
    if (net == NULL) {
        return;
    }
    pd_assert(net->handler.message == NULL);
    atomic_store(&net->is_closing, true);
    net->config.loop->ops->stop(net->config.loop);
    destroy(net);
}

struct pd_transport *pd_net_transport(struct pd_net *net)
{
    return &net->base;
}

/* -- Links ------------------------------------------------------------------------------------- */

enum pd_status pd_net_dial(struct pd_net *net, uint32_t service, const uint8_t key[PD_NET_KEY_SIZE],
                           const struct pd_transport_address *address, uint64_t *link_out)
{
    pd_assert(service < net->config.offer_count);
    struct post *post = make_post(POST_DIAL, 0, 0, 0);
    if (post == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    post->target = atomic_fetch_add(&net->next_link, LINK_STEP) + 2 * (uint64_t)service + 1;
    post->service = service;
    post->address = *address;
    post->takes_any_key = key == NULL;
    if (key != NULL) {
        memcpy(post->key, key, PD_NET_KEY_SIZE);
    }
    *link_out = post->target;
    push(net, post);
    return PD_OK;
}

static enum pd_status post_bytes(struct pd_net *net, enum post_kind kind, uint64_t link,
                                 uint64_t correlation, struct pd_span bytes, bool is_last)
{
    struct post *post = make_post(kind, link, correlation, 0);
    struct pd_net_buffer *buffer = pd_net_buffer_make(net->account, correlation, bytes);
    if (post == NULL || buffer == NULL) {
        pd_net_buffer_free(buffer);
        pd_free(post);
        return PD_ERR_NO_MEMORY;
    }
    post->buffer = buffer;
    post->is_last = is_last;
    push(net, post);
    return PD_OK;
}

static enum pd_status post_word(struct pd_net *net, enum post_kind kind, uint64_t link,
                                uint64_t correlation)
{
    struct post *post = make_post(kind, link, correlation, 0);
    if (post == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    post->is_last = true;
    push(net, post);
    return PD_OK;
}

enum pd_status pd_net_call(struct pd_net *net, uint64_t link, uint64_t correlation,
                           struct pd_span bytes)
{
    if (bytes.size > net->config.limits.request_bytes_max) {
        return PD_ERR_RANGE;
    }
    if (atomic_load(&net->account->bytes) + bytes.size > net->config.call_bytes_max) {
        return PD_ERR_FULL;
    }
    return post_bytes(net, POST_CALL, link, correlation, bytes, true);
}

enum pd_status pd_net_cancel(struct pd_net *net, uint64_t link, uint64_t correlation)
{
    return post_word(net, POST_CANCEL, link, correlation);
}

enum pd_status pd_net_answer(struct pd_net *net, uint64_t link, uint64_t correlation,
                             struct pd_span bytes, bool is_last)
{
    if (bytes.size > net->config.limits.answer_bytes_max) {
        return PD_ERR_RANGE;
    }
    return post_bytes(net, POST_ANSWER, link, correlation, bytes, is_last);
}

enum pd_status pd_net_finish(struct pd_net *net, uint64_t link, uint64_t correlation)
{
    return post_word(net, POST_ANSWER, link, correlation);
}

bool pd_net_link_key(struct pd_net *net, uint64_t link, uint8_t key_out[PD_NET_KEY_SIZE])
{
    return pd_net_endpoint_link_key(net->endpoint, link, key_out);
}

bool pd_net_link_address(struct pd_net *net, uint64_t link,
                         struct pd_transport_address *address_out)
{
    return pd_net_endpoint_link_address(net->endpoint, link, address_out);
}

enum pd_status pd_net_hang_up(struct pd_net *net, uint64_t link)
{
    return post_word(net, POST_HANG_UP, link, 0);
}

void pd_net_counters(struct pd_net *net, struct pd_net_counters *counters_out)
{
    (void)pthread_mutex_lock(&net->counters_lock);
    *counters_out = net->counters;
    (void)pthread_mutex_unlock(&net->counters_lock);
}
