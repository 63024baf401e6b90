#include "net/memory.h"

#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

#define NODES PD_NET_MEMORY_NODES_MAX

enum note_kind {
    NOTE_MESSAGE = 0,
    NOTE_CONNECTED,
    NOTE_LOST,
    NOTE_REMOVED
};

/* What a receiver is going to be told. */
struct note {
    struct note *next;
    enum note_kind kind;
    uint64_t from;
    enum pd_transport_lane lane;
    size_t size;
    uint8_t bytes[];
};

struct node {
    struct pd_transport base; /* first */
    struct pd_net_memory *hub;
    uint64_t id; /* 0: the place is free */
    struct pd_transport_handler handler;
    bool is_started;
    bool is_told; /* a thread is handing out its notes */
    struct note *notes;
    struct note **notes_end;
    uint64_t note_bytes;
    bool knows[NODES];
    bool is_cut[NODES];
    bool is_connected[NODES];
    uint64_t connects[NODES];
    struct pd_transport_counters counters;
};

struct pd_net_memory {
    pthread_mutex_t lock; /* never held while a handler runs */
    pthread_cond_t told;  /* a node's is_told became false */
    uint64_t queue_bytes_max;
    uint64_t message_bytes_max;
    struct node nodes[NODES];
};

static struct node *of(struct pd_transport *transport)
{
    return (struct node *)(void *)transport;
}

/* NULL: nobody has that id. */
static struct node *find(struct pd_net_memory *hub, uint64_t id)
{
    for (uint32_t i = 0; i < NODES && id != 0; i++) {
        if (hub->nodes[i].id == id) {
            return &hub->nodes[i];
        }
    }
    return NULL;
}

/* -- Handing out, with the lock held ----------------------------------------------------------- */

static bool put(struct node *node, enum note_kind kind, uint64_t from, enum pd_transport_lane lane,
                struct pd_span bytes)
{
    struct note *note = pd_alloc(sizeof *note + bytes.size);
    if (note == NULL) {
        return false;
    }
    *note = (struct note){.kind = kind, .from = from, .lane = lane, .size = bytes.size};
    if (bytes.size > 0) {
        memcpy(note->bytes, bytes.bytes, bytes.size);
    }
    *node->notes_end = note;
    node->notes_end = &note->next;
    node->note_bytes += bytes.size;
    return true;
}

static void tell(const struct pd_transport_handler *handler, const struct note *note)
{
    switch (note->kind) {
    case NOTE_MESSAGE:
        handler->message(handler->state, note->from, note->lane,
                         (struct pd_span){note->bytes, note->size});
        return;
    case NOTE_CONNECTED:
        if (handler->connected != NULL) {
            handler->connected(handler->state, note->from);
        }
        return;
    case NOTE_LOST:
        if (handler->lost != NULL) {
            handler->lost(handler->state, note->from);
        }
        return;
    case NOTE_REMOVED:
        if (handler->removed != NULL) {
            handler->removed(handler->state, note->from);
        }
        return;
    }
}

/* Hand out what waits for a node, unless somebody does: a handler that sends comes back here. */
static void hand_out(struct node *node)
{
    struct pd_net_memory *hub = node->hub;
    if (node->is_told) {
        return;
    }
    node->is_told = true;
    while (node->notes != NULL && node->is_started) {
        struct note *note = node->notes;
        node->notes = note->next;
        node->notes_end = node->notes == NULL ? &node->notes : node->notes_end;
        node->note_bytes -= note->size;
        if (note->kind == NOTE_MESSAGE) {
            node->counters.received[note->lane]++;
            node->counters.received_bytes += note->size;
        }
        struct pd_transport_handler handler = node->handler;
        bool is_last = node->notes == NULL;
        (void)pthread_mutex_unlock(&hub->lock);
        tell(&handler, note);
        pd_free(note);
        if (is_last && handler.settled != NULL) {
            handler.settled(handler.state);
        }
        (void)pthread_mutex_lock(&hub->lock);
    }
    node->is_told = false;
    (void)pthread_cond_broadcast(&hub->told);
}

static void drop_notes(struct node *node)
{
    while (node->notes != NULL) {
        struct note *note = node->notes;
        node->notes = note->next;
        pd_free(note);
    }
    node->notes_end = &node->notes;
    node->note_bytes = 0;
}

static bool are_joined(const struct node *one, const struct node *other)
{
    ptrdiff_t i = one - one->hub->nodes;
    ptrdiff_t j = other - one->hub->nodes;
    return one->is_started && other->is_started && one->knows[j] && other->knows[i] &&
           !one->is_cut[j];
}

/* Something changed: who is connected now? Without memory for the news a pair stays as it is. */
static void look_again(struct pd_net_memory *hub)
{
    const struct pd_span nothing = {NULL, 0};
    for (uint32_t i = 0; i < NODES; i++) {
        for (uint32_t j = 0; j < NODES; j++) {
            struct node *node = &hub->nodes[i];
            bool is_joined = i != j && are_joined(node, &hub->nodes[j]);
            if (is_joined == node->is_connected[j] ||
                !put(node, is_joined ? NOTE_CONNECTED : NOTE_LOST, hub->nodes[j].id,
                     PD_TRANSPORT_RAFT, nothing)) {
                continue;
            }
            node->is_connected[j] = is_joined;
            node->connects[j] += is_joined ? 1 : 0;
            node->counters.connects += is_joined ? 1 : 0;
            node->counters.losts += is_joined ? 0 : 1;
        }
    }
    for (uint32_t i = 0; i < NODES; i++) {
        hand_out(&hub->nodes[i]);
    }
}

/* -- The interface ----------------------------------------------------------------------------- */

static void start(struct pd_transport *transport, const struct pd_transport_handler *handler)
{
    struct node *node = of(transport);
    (void)pthread_mutex_lock(&node->hub->lock);
    pd_assert(!node->is_started);
    node->handler = *handler;
    node->is_started = true;
    look_again(node->hub);
    (void)pthread_mutex_unlock(&node->hub->lock);
}

static void stop(struct pd_transport *transport)
{
    struct node *node = of(transport);
    (void)pthread_mutex_lock(&node->hub->lock);
    node->is_started = false;
    while (node->is_told) {
        (void)pthread_cond_wait(&node->hub->told, &node->hub->lock);
    }
    look_again(node->hub);
    drop_notes(node);
    (void)pthread_mutex_unlock(&node->hub->lock);
}

static enum pd_status set_peers(struct pd_transport *transport,
                                const struct pd_transport_peer *peers, uint32_t count)
{
    struct node *node = of(transport);
    struct pd_net_memory *hub = node->hub;
    bool knows[NODES] = {false};
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            if (peers[i].node == peers[j].node ||
                memcmp(peers[i].key, peers[j].key, PD_TRANSPORT_KEY_SIZE) == 0) {
                return PD_ERR_INVALID;
            }
        }
        if (peers[i].node == 0) {
            return PD_ERR_INVALID;
        }
        struct pd_transport *other = pd_net_memory_transport(hub, peers[i].node);
        if (other == NULL) {
            return PD_ERR_FULL;
        }
        knows[of(other) - hub->nodes] = true;
    }
    (void)pthread_mutex_lock(&hub->lock);
    knows[node - hub->nodes] = false;
    memcpy(node->knows, knows, sizeof knows);
    look_again(hub);
    (void)pthread_mutex_unlock(&hub->lock);
    return PD_OK;
}

static enum pd_status send_now(struct node *from, uint64_t id, enum pd_transport_lane lane,
                               struct pd_span bytes)
{
    struct pd_net_memory *hub = from->hub;
    struct node *to = find(hub, id);
    if (to == NULL || !from->knows[to - hub->nodes]) {
        return PD_ERR_UNKNOWN;
    }
    if (bytes.size > hub->message_bytes_max) {
        return PD_ERR_RANGE;
    }
    if (!from->is_connected[to - hub->nodes]) {
        from->counters.dropped_unconnected++;
        return PD_ERR_CLOSED;
    }
    if (to->note_bytes + bytes.size > hub->queue_bytes_max) {
        from->counters.dropped_full++;
        return PD_ERR_FULL;
    }
    if (!put(to, NOTE_MESSAGE, from->id, lane, bytes)) {
        return PD_ERR_NO_MEMORY;
    }
    from->counters.sent[lane]++;
    from->counters.sent_bytes += bytes.size;
    hand_out(to);
    return PD_OK;
}

static enum pd_status send(struct pd_transport *transport, uint64_t node,
                           enum pd_transport_lane lane, struct pd_span bytes)
{
    struct pd_net_memory *hub = of(transport)->hub;
    (void)pthread_mutex_lock(&hub->lock);
    enum pd_status status = send_now(of(transport), node, lane, bytes);
    (void)pthread_mutex_unlock(&hub->lock);
    return status;
}

static enum pd_status peer_state(struct pd_transport *transport, uint64_t id,
                                 struct pd_transport_peer_state *state_out)
{
    struct node *node = of(transport);
    (void)pthread_mutex_lock(&node->hub->lock);
    memset(state_out, 0, sizeof *state_out);
    const struct node *other = find(node->hub, id);
    bool is_known = other != NULL && node->knows[other - node->hub->nodes];
    if (is_known) {
        state_out->is_connected = node->is_connected[other - node->hub->nodes];
        state_out->connects = node->connects[other - node->hub->nodes];
    }
    (void)pthread_mutex_unlock(&node->hub->lock);
    return is_known ? PD_OK : PD_ERR_UNKNOWN;
}

static void counters(struct pd_transport *transport, struct pd_transport_counters *counters_out)
{
    struct node *node = of(transport);
    (void)pthread_mutex_lock(&node->hub->lock);
    *counters_out = node->counters;
    (void)pthread_mutex_unlock(&node->hub->lock);
}

/* -- The hub ----------------------------------------------------------------------------------- */

enum pd_status pd_net_memory_create(uint64_t queue_bytes_max, uint64_t message_bytes_max,
                                    struct pd_net_memory **hub_out)
{
    struct pd_net_memory *hub = pd_alloc_zeroed(1, sizeof *hub);
    if (hub == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    (void)pthread_mutex_init(&hub->lock, NULL);
    (void)pthread_cond_init(&hub->told, NULL);
    hub->queue_bytes_max = queue_bytes_max;
    hub->message_bytes_max = message_bytes_max;
    for (uint32_t i = 0; i < NODES; i++) {
        hub->nodes[i].hub = hub;
        hub->nodes[i].notes_end = &hub->nodes[i].notes;
    }
    *hub_out = hub;
    return PD_OK;
}

void pd_net_memory_destroy(struct pd_net_memory *hub)
{
    if (hub == NULL) {
        return;
    }
    for (uint32_t i = 0; i < NODES; i++) {
        pd_assert(!hub->nodes[i].is_started);
        drop_notes(&hub->nodes[i]);
    }
    (void)pthread_cond_destroy(&hub->told);
    (void)pthread_mutex_destroy(&hub->lock);
    pd_free(hub);
}

struct pd_transport *pd_net_memory_transport(struct pd_net_memory *hub, uint64_t node)
{
    static const struct pd_transport_ops ops = {
        .settles = true,
        .start = start,
        .stop = stop,
        .set_peers = set_peers,
        .send = send,
        .peer_state = peer_state,
        .counters = counters,
    };
    pd_assert(node != 0);
    (void)pthread_mutex_lock(&hub->lock);
    struct node *found = find(hub, node);
    for (uint32_t i = 0; i < NODES && found == NULL; i++) {
        if (hub->nodes[i].id == 0) {
            found = &hub->nodes[i];
            found->id = node;
            found->base.ops = &ops;
        }
    }
    (void)pthread_mutex_unlock(&hub->lock);
    return found == NULL ? NULL : &found->base;
}

static void set_cut(struct pd_net_memory *hub, uint64_t node, uint64_t other, bool is_cut)
{
    (void)pthread_mutex_lock(&hub->lock);
    struct node *one = find(hub, node);
    struct node *two = find(hub, other);
    pd_assert(one != NULL && two != NULL);
    one->is_cut[two - hub->nodes] = is_cut;
    two->is_cut[one - hub->nodes] = is_cut;
    look_again(hub);
    (void)pthread_mutex_unlock(&hub->lock);
}

void pd_net_memory_cut(struct pd_net_memory *hub, uint64_t node, uint64_t other)
{
    set_cut(hub, node, other, true);
}

void pd_net_memory_mend(struct pd_net_memory *hub, uint64_t node, uint64_t other)
{
    set_cut(hub, node, other, false);
}

void pd_net_memory_tell_removed(struct pd_net_memory *hub, uint64_t node, uint64_t by)
{
    (void)pthread_mutex_lock(&hub->lock);
    struct node *one = find(hub, node);
    const struct node *other = find(hub, by);
    pd_assert(one != NULL && other != NULL);
    if (one->knows[other - hub->nodes]) {
        bool is_put = put(one, NOTE_REMOVED, by, PD_TRANSPORT_RAFT, (struct pd_span){NULL, 0});
        pd_assert(is_put); /* for tests */
        hand_out(one);
    }
    (void)pthread_mutex_unlock(&hub->lock);
}
