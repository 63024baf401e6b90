/* The table of peers: who they are, and who is dialed when.
 *
 *   idle --(address known, due)--> dialing --confirmed--> connected --last connection lost--> idle
 *                                      \--failed: a longer pause, the next address--/
 *
 * A peer that dials this node is connected as well; then nobody dials. When a connection falls
 * silent (silence.c), and no other has proven since that it leads to the peer, the peer is dialed
 * beside it: whichever is heard first takes the place of those that are silent. */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "net/address.h"
#include "net/internal.h"

/* A connection that lasted as long shows that the peer is well: the next pause is short again. */
#define STEADY_NS (2 * NGTCP2_SECONDS)
#define FAILURES_MAX 16u

struct pd_net_peer *pd_net_peer_of_node(const struct pd_net_endpoint *endpoint, uint64_t node)
{
    struct pd_table_node *found =
        pd_table_find(&endpoint->by_node, pd_net_hash(endpoint, &node, sizeof node));
    while (found != NULL) {
        struct pd_net_peer *peer = pd_container_of(found, struct pd_net_peer, by_node);
        if (peer->about.node == node) {
            return peer;
        }
        found = pd_table_next(found);
    }
    return NULL;
}

struct pd_net_peer *pd_net_peer_of_key(const struct pd_net_endpoint *endpoint,
                                       const uint8_t key[PD_NET_KEY_SIZE])
{
    struct pd_table_node *found =
        pd_table_find(&endpoint->by_key, pd_net_hash(endpoint, key, PD_NET_KEY_SIZE));
    while (found != NULL) {
        struct pd_net_peer *peer = pd_container_of(found, struct pd_net_peer, by_key);
        if (memcmp(peer->about.key, key, PD_NET_KEY_SIZE) == 0) {
            return peer;
        }
        found = pd_table_next(found);
    }
    return NULL;
}

/* -- Which of its connections ------------------------------------------------------------------ */

/* The one that is sent on: the oldest, so that it does not change without need; a silent one too,
 * as long as it is not given up. NULL: none. */
static struct pd_net_connection *current(const struct pd_net_peer *peer)
{
    for (struct pd_list *link = peer->connections.next; link != &peer->connections;
         link = link->next) {
        struct pd_net_connection *connection =
            pd_container_of(link, struct pd_net_connection, by_peer);
        if (!connection->must_close) {
            return connection;
        }
    }
    return NULL;
}

/* Who was heard since then is well. 0: no connection is silent. */
static uint64_t silent_since(const struct pd_net_peer *peer)
{
    uint64_t since_ns = 0;
    for (struct pd_list *link = peer->connections.next; link != &peer->connections;
         link = link->next) {
        const struct pd_net_connection *connection =
            pd_container_of(link, struct pd_net_connection, by_peer);
        if (!connection->must_close && connection->silent_ns > since_ns) {
            since_ns = connection->silent_ns;
        }
    }
    return since_ns;
}

/* The oldest that leads to the peer, as far as anybody knows. NULL: none. */
static struct pd_net_connection *well_one(const struct pd_net_peer *peer)
{
    uint64_t since_ns = silent_since(peer);
    for (struct pd_list *link = peer->connections.next; link != &peer->connections;
         link = link->next) {
        struct pd_net_connection *connection =
            pd_container_of(link, struct pd_net_connection, by_peer);
        if (!connection->must_close && connection->silent_ns == 0 &&
            connection->heard_ns >= since_ns) {
            return connection;
        }
    }
    return NULL;
}

/* Another one was heard: those that are silent end, unless they are heard very soon, as when the
 * peer's process stood still and answers all at once. */
static void doom_silent(struct pd_net_peer *peer)
{
    for (struct pd_list *link = peer->connections.next; link != &peer->connections;
         link = link->next) {
        struct pd_net_connection *connection =
            pd_container_of(link, struct pd_net_connection, by_peer);
        if (connection->silent_ns != 0) {
            pd_net_silence_doom(connection, peer->endpoint->now_ns);
        }
    }
    peer->doubts = false;
}

/* -- Dialing ----------------------------------------------------------------------------------- */

static uint64_t draw_below(struct pd_net_endpoint *endpoint, uint64_t bound)
{
    uint64_t draw = 0;
    endpoint->random(endpoint->random_state, (uint8_t *)&draw, sizeof draw);
    return bound == 0 ? 0 : draw % bound;
}

/* Half of the pause is random: nodes that were parted together do not come back in step. */
static uint64_t pause_of(struct pd_net_endpoint *endpoint, uint32_t failures)
{
    const struct pd_net_limits *limits = &endpoint->limits;
    uint32_t shift = failures < FAILURES_MAX ? failures : FAILURES_MAX;
    uint64_t pause = limits->backoff_min_ns << shift;
    pause = pause > limits->backoff_max_ns ? limits->backoff_max_ns : pause;
    return pause / 2 + draw_below(endpoint, pause / 2 + 1);
}

static void plan(struct pd_net_peer *peer, struct pd_net_endpoint *endpoint)
{
    bool is_wanted = !endpoint->is_closing && peer->dialing == NULL &&
                     (peer->has_moved || well_one(peer) == NULL) && peer->about.address_count > 0;
    pd_net_timer_set(endpoint, &peer->timer, is_wanted ? peer->due_ns : PD_TIME_NEVER);
}

static void count_failure(struct pd_net_peer *peer, struct pd_net_endpoint *endpoint)
{
    peer->due_ns = endpoint->now_ns + pause_of(endpoint, peer->failures);
    peer->failures += peer->failures < FAILURES_MAX ? 1 : 0;
    peer->address++;
}

void pd_net_peer_expire(struct pd_net_peer *peer, uint64_t now_ns)
{
    struct pd_net_endpoint *endpoint = peer->endpoint;
    pd_assert(peer->dialing == NULL);
    const struct pd_transport_address *address =
        &peer->about.addresses[peer->address % peer->about.address_count];
    struct pd_net_connection *connection =
        pd_net_connection_dial(endpoint, now_ns, PD_NET_SERVICE_RAFT, peer->about.key, address);
    if (connection == NULL) {
        count_failure(peer, endpoint); /* no memory, or no room: later */
    } else {
        connection->peer = peer;
        peer->dialing = connection;
    }
    plan(peer, endpoint);
}

static void tell_lost(struct pd_net_peer *peer)
{
    if (peer->is_told) {
        struct pd_net_event_item *item = peer->lost;
        item->event = (struct pd_net_event){.kind = PD_NET_PEER_LOST, .node = peer->about.node};
        pd_list_append(&peer->endpoint->events, &item->link);
        peer->lost = NULL;
        peer->is_told = false;
    }
}

/* False: no memory. */
static bool tell_connected(struct pd_net_peer *peer)
{
    if (peer->is_told) {
        return true;
    }
    if (peer->lost == NULL) {
        peer->lost = pd_alloc_zeroed(1, sizeof *peer->lost);
    }
    const struct pd_net_event event = {.kind = PD_NET_PEER_CONNECTED, .node = peer->about.node};
    peer->is_told = peer->lost != NULL && pd_net_tell(peer->endpoint, &event, NULL) == PD_OK;
    return peer->is_told;
}

/* What was under way on one of several connections is lost. */
static void tell_part_lost(struct pd_net_peer *peer)
{
    if (!peer->is_told || peer->endpoint->is_closing) {
        return;
    }
    tell_lost(peer);
    if (current(peer) == NULL || tell_connected(peer)) {
        return;
    }
    for (struct pd_list *link = peer->connections.next; link != &peer->connections;
         link = link->next) {
        pd_net_connection_mark(pd_container_of(link, struct pd_net_connection, by_peer),
                               PD_NET_CODE_BUSY, "no memory");
    }
}

/* Whether a new connection leads to the peer, and the others may not. A peer that dials, though one
 * has stood for longer than a handshake lasts, does not trust that one. */
static bool is_first_choice(const struct pd_net_peer *peer,
                            const struct pd_net_connection *connection)
{
    const struct pd_net_endpoint *endpoint = peer->endpoint;
    const struct pd_net_connection *other = well_one(peer);
    bool is_old =
        other != NULL && endpoint->now_ns - other->confirmed_ns > endpoint->limits.handshake_ns;
    return other == NULL || (connection->is_server ? is_old : peer->has_moved);
}

bool pd_net_peer_gained(struct pd_net_peer *peer, struct pd_net_connection *connection)
{
    bool is_first = is_first_choice(peer, connection);
    connection->peer = peer;
    if (peer->dialing == connection) {
        peer->dialing = NULL;
        peer->has_moved = false;
    }
    pd_list_append(is_first ? peer->connections.next : &peer->connections, &connection->by_peer);
    doom_silent(peer);
    peer->connects++;
    plan(peer, peer->endpoint);
    return tell_connected(peer);
}

void pd_net_peer_silent(struct pd_net_peer *peer, struct pd_net_connection *connection,
                        bool is_last_moment)
{
    if (well_one(peer) == NULL) {
        peer->doubts = true;
        peer->failures = 0;
        peer->due_ns = peer->endpoint->now_ns;
        plan(peer, peer->endpoint);
    } else if (is_last_moment) {
        /* Its messages are told as lost, and go on there. */
        pd_net_connection_mark(connection, PD_NET_CODE_REPLACED,
                               "nothing was heard on it, and another took its place");
    } else {
        doom_silent(peer);
    }
}

/* Nobody waits for it any more. */
static void give_up_dialing(struct pd_net_peer *peer)
{
    if (peer->dialing != NULL) {
        pd_net_connection_mark(peer->dialing, PD_NET_CODE_REPLACED, "it is not needed any more");
    }
}

void pd_net_peer_heard(struct pd_net_peer *peer)
{
    doom_silent(peer);
    if (!peer->has_moved) {
        give_up_dialing(peer);
    }
    plan(peer, peer->endpoint);
}

/* Whether it has to be dialed to be found: only a connection that this side dialed goes on from
 * another address. */
static bool must_be_found(const struct pd_net_peer *peer)
{
    for (struct pd_list *link = peer->connections.next; link != &peer->connections;
         link = link->next) {
        const struct pd_net_connection *connection =
            pd_container_of(link, struct pd_net_connection, by_peer);
        if (!connection->is_server && !connection->must_close && connection->silent_ns == 0) {
            return false;
        }
    }
    return !pd_list_is_empty(&peer->connections);
}

void pd_net_peer_moved(struct pd_net_peer *peer)
{
    give_up_dialing(peer); /* it waits longer and longer between two tries */
    peer->has_moved = peer->has_moved || must_be_found(peer);
    peer->failures = 0;
    peer->due_ns = peer->endpoint->now_ns;
    plan(peer, peer->endpoint);
}

void pd_net_peer_greeted(struct pd_net_peer *peer, struct pd_net_connection *connection,
                         uint64_t life)
{
    connection->life = life;
    if (life == peer->life) {
        return;
    }
    peer->life = life;
    bool is_another = false;
    for (struct pd_list *link = peer->connections.next; link != &peer->connections;
         link = link->next) {
        struct pd_net_connection *other = pd_container_of(link, struct pd_net_connection, by_peer);
        if (other != connection && other->life != 0 && other->life != life) {
            pd_net_connection_mark(other, PD_NET_CODE_BYE, "the peer has started anew");
            other->was_used = false; /* what it lost is told here */
            is_another = true;
        }
    }
    if (is_another) {
        tell_lost(peer);
        if (!tell_connected(peer)) {
            pd_net_connection_mark(connection, PD_NET_CODE_BUSY, "no memory");
        }
    }
}

void pd_net_peer_left(struct pd_net_peer *peer, struct pd_net_connection *connection)
{
    tell_lost(peer);
    struct pd_list *link = peer->connections.next;
    while (link != &peer->connections) {
        struct pd_net_connection *other = pd_container_of(link, struct pd_net_connection, by_peer);
        link = link->next;
        if (other != connection) {
            pd_net_connection_drop(other, "the peer has ended");
        }
    }
}

void pd_net_peer_lost(struct pd_net_peer *peer, struct pd_net_connection *connection)
{
    struct pd_net_endpoint *endpoint = peer->endpoint;
    connection->peer = NULL;
    if (peer->dialing == connection) {
        peer->dialing = NULL;
        if (connection->close_code != PD_NET_CODE_REPLACED) {
            count_failure(peer, endpoint); /* it was not given up here */
        }
        plan(peer, endpoint);
        return;
    }
    pd_list_remove(&connection->by_peer);
    if (!pd_list_is_empty(&peer->connections)) {
        if (connection->was_used) {
            tell_part_lost(peer);
        }
        plan(peer, endpoint);
        return;
    }
    peer->doubts = false;
    if (endpoint->now_ns - connection->confirmed_ns >= STEADY_NS) {
        peer->failures = 0;
    }
    count_failure(peer, endpoint);
    tell_lost(peer);
    plan(peer, endpoint);
}

/* -- The table --------------------------------------------------------------------------------- */

static bool is_own(const struct pd_net_endpoint *endpoint, const struct pd_transport_peer *about)
{
    return memcmp(about->key, endpoint->identity.key, PD_NET_KEY_SIZE) == 0;
}

enum pd_status pd_net_peers_judge(const struct pd_net_limits *limits,
                                  const struct pd_transport_peer *peers, uint32_t count)
{
    if (count > limits->peers_max) {
        return PD_ERR_FULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (peers[i].node == 0 || peers[i].address_count > PD_TRANSPORT_ADDRESSES_MAX) {
            return PD_ERR_INVALID;
        }
        for (uint32_t j = 0; j < i; j++) {
            if (peers[i].node == peers[j].node ||
                memcmp(peers[i].key, peers[j].key, PD_NET_KEY_SIZE) == 0) {
                return PD_ERR_INVALID;
            }
        }
    }
    return PD_OK;
}

static void enter(struct pd_net_endpoint *endpoint, struct pd_net_peer *peer)
{
    pd_list_append(&endpoint->peers, &peer->link);
    pd_table_insert(&endpoint->by_node, &peer->by_node,
                    pd_net_hash(endpoint, &peer->about.node, sizeof peer->about.node));
    pd_table_insert(&endpoint->by_key, &peer->by_key,
                    pd_net_hash(endpoint, peer->about.key, PD_NET_KEY_SIZE));
    endpoint->peer_count++;
}

static void remove_peer(struct pd_net_endpoint *endpoint, struct pd_net_peer *peer, uint64_t now_ns)
{
    tell_lost(peer);
    /* Out of the tables first: nothing may come back to it. */
    pd_table_remove(&endpoint->by_node, &peer->by_node);
    pd_table_remove(&endpoint->by_key, &peer->by_key);
    while (!pd_list_is_empty(&peer->connections)) {
        struct pd_net_connection *connection =
            pd_container_of(peer->connections.next, struct pd_net_connection, by_peer);
        pd_net_connection_dismiss(connection, now_ns);
    }
    if (peer->dialing != NULL) {
        pd_net_connection_dismiss(peer->dialing, now_ns);
    }
    pd_net_timer_set(endpoint, &peer->timer, PD_TIME_NEVER);
    pd_list_remove(&peer->link);
    pd_free(peer->lost);
    endpoint->peer_count--;
    pd_free(peer);
}

void pd_net_peer_free(struct pd_net_peer *peer)
{
    remove_peer(peer->endpoint, peer, peer->endpoint->now_ns);
}

/* A connection to an address that is not the peer's any more may be to nobody: then a new one is
 * dialed beside it. */
static bool is_at_one_of(const struct pd_net_peer *peer, const struct pd_transport_peer *about)
{
    for (struct pd_list *link = peer->connections.next; link != &peer->connections;
         link = link->next) {
        const struct pd_net_connection *connection =
            pd_container_of(link, struct pd_net_connection, by_peer);
        for (uint32_t i = 0; i < about->address_count; i++) {
            if (pd_net_address_is_equal(&connection->remote, &about->addresses[i])) {
                return true;
            }
        }
    }
    return false;
}

/* A peer that goes on, with what is new about it. */
static void update(struct pd_net_endpoint *endpoint, struct pd_net_peer *peer,
                   const struct pd_transport_peer *about, uint64_t now_ns)
{
    bool is_same = peer->about.address_count == about->address_count &&
                   memcmp(peer->about.addresses, about->addresses, sizeof about->addresses) == 0;
    peer->about = *about;
    if (!is_same) {
        peer->failures = 0;
        peer->due_ns = now_ns;
        peer->address = 0;
        peer->has_moved = !is_at_one_of(peer, about);
        plan(peer, endpoint);
    }
}

static struct pd_net_peer *make(struct pd_net_endpoint *endpoint,
                                const struct pd_transport_peer *about)
{
    struct pd_net_peer *peer = pd_alloc_zeroed(1, sizeof *peer);
    if (peer == NULL) {
        return NULL;
    }
    peer->endpoint = endpoint;
    peer->about = *about;
    peer->timer.kind = PD_NET_TIMER_PEER;
    pd_list_init(&peer->connections);
    pd_list_init(&peer->link);
    return peer;
}

static void free_unused(struct pd_net_peer **made, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        pd_free(made[i]);
    }
    pd_free(made);
}

static struct pd_net_peer *same_peer(const struct pd_net_endpoint *endpoint,
                                     const struct pd_transport_peer *about)
{
    struct pd_net_peer *peer = pd_net_peer_of_node(endpoint, about->node);
    bool is_same = peer != NULL && memcmp(peer->about.key, about->key, PD_NET_KEY_SIZE) == 0;
    return is_same ? peer : NULL;
}

/* Those that are new, made before anything changes. NULL: no memory. */
static struct pd_net_peer **make_new(struct pd_net_endpoint *endpoint,
                                     const struct pd_transport_peer *peers, uint32_t count)
{
    struct pd_net_peer **made = pd_alloc_zeroed((size_t)count + 1, sizeof *made);
    for (uint32_t i = 0; made != NULL && i < count; i++) {
        struct pd_net_peer *kept = same_peer(endpoint, &peers[i]);
        if (kept != NULL || is_own(endpoint, &peers[i])) {
            continue;
        }
        made[i] = make(endpoint, &peers[i]);
        if (made[i] == NULL) {
            free_unused(made, count);
            return NULL;
        }
    }
    return made;
}

/* Links of services that are for members only. */
static void close_strangers(struct pd_net_endpoint *endpoint, uint64_t now_ns)
{
    struct pd_list *link = endpoint->connections.next;
    while (link != &endpoint->connections) {
        struct pd_net_connection *connection =
            pd_container_of(link, struct pd_net_connection, link);
        link = link->next;
        if (connection->is_server && connection->is_confirmed &&
            !pd_net_connection_admits(connection, connection->key)) {
            pd_net_connection_dismiss(connection, now_ns);
        }
    }
}

enum pd_status pd_net_endpoint_set_peers(struct pd_net_endpoint *endpoint, uint64_t now_ns,
                                         const struct pd_transport_peer *peers, uint32_t count)
{
    pd_net_look_at_clock(endpoint, now_ns);
    enum pd_status status = pd_net_peers_judge(&endpoint->limits, peers, count);
    if (status != PD_OK) {
        return status;
    }
    struct pd_net_peer **made = make_new(endpoint, peers, count);
    if (made == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    for (struct pd_list *link = endpoint->peers.next; link != &endpoint->peers; link = link->next) {
        pd_container_of(link, struct pd_net_peer, link)->is_kept = false;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct pd_net_peer *peer = same_peer(endpoint, &peers[i]);
        if (peer != NULL) {
            peer->is_kept = true;
            update(endpoint, peer, &peers[i], now_ns);
        }
    }
    struct pd_list *link = endpoint->peers.next;
    while (link != &endpoint->peers) {
        struct pd_net_peer *peer = pd_container_of(link, struct pd_net_peer, link);
        link = link->next;
        if (!peer->is_kept) {
            remove_peer(endpoint, peer, now_ns);
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        if (made[i] != NULL) {
            enter(endpoint, made[i]);
            made[i]->due_ns = now_ns;
            plan(made[i], endpoint);
        }
    }
    pd_free(made);
    close_strangers(endpoint, now_ns);
    return PD_OK;
}

/* -- Sending ----------------------------------------------------------------------------------- */

struct pd_net_stream *pd_net_peer_open_lane(struct pd_net_connection *connection,
                                            enum pd_transport_lane lane)
{
    struct pd_net_stream *stream = pd_net_stream_make(connection, PD_NET_STREAM_LANE_OUT);
    if (stream == NULL) {
        return NULL;
    }
    if (ngtcp2_conn_open_uni_stream(connection->quic, &stream->id, stream) != 0) {
        pd_net_stream_free(stream);
        return NULL;
    }
    stream->lane = lane;
    stream->preface[0] = (uint8_t)lane;
    pd_put_u64(stream->preface + 1, connection->endpoint->life);
    stream->preface_size = PD_NET_PREFACE_SIZE;
    connection->lanes[lane] = stream;
    pd_net_stream_make_ready(stream);
    return stream;
}

enum pd_status pd_net_endpoint_send(struct pd_net_endpoint *endpoint, uint64_t node,
                                    enum pd_transport_lane lane, struct pd_net_buffer *buffer)
{
    const struct pd_net_peer *peer = pd_net_peer_of_node(endpoint, node);
    struct pd_net_connection *connection = peer == NULL ? NULL : current(peer);
    if (connection == NULL) {
        pd_net_buffer_free(buffer);
        return peer == NULL ? PD_ERR_UNKNOWN : PD_ERR_CLOSED;
    }
    struct pd_net_stream *stream = connection->lanes[lane];
    if (stream == NULL) {
        stream = pd_net_peer_open_lane(connection, lane);
    }
    if (stream == NULL || stream->ends) {
        pd_net_buffer_free(buffer);
        return PD_ERR_CLOSED;
    }
    connection->was_used = true;
    pd_net_stream_append(stream, buffer);
    return PD_OK;
}

enum pd_status pd_net_endpoint_peer_state(struct pd_net_endpoint *endpoint, uint64_t node,
                                          struct pd_transport_peer_state *state_out)
{
    memset(state_out, 0, sizeof *state_out);
    const struct pd_net_peer *peer = pd_net_peer_of_node(endpoint, node);
    if (peer == NULL) {
        return PD_ERR_UNKNOWN;
    }
    state_out->connects = peer->connects;
    const struct pd_net_connection *connection = current(peer);
    if (connection != NULL) {
        ngtcp2_conn_stat stat;
        ngtcp2_conn_get_conn_stat(connection->quic, &stat);
        state_out->is_connected = true;
        state_out->round_trip_ns = stat.smoothed_rtt;
        if (connection->silent_ns == 0 && !is_at_one_of(peer, &peer->about)) {
            state_out->elsewhere = connection->remote;
        }
    }
    return PD_OK;
}
