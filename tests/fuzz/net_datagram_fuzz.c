/* Any datagrams to an endpoint: raw ones, and ones of a true peer that are changed, cut short,
 * repeated or sent from elsewhere; and a peer that writes what it likes into its frames. Nothing
 * trips an assertion, the invariants hold, and no bound is passed. The input is a script: one byte
 * chooses what happens, others follow. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/host.h"
#include "base/random.h"
#include "net/endpoint.h"

#define STEPS_MAX 400
#define MS UINT64_C(1000000)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

struct script {
    const uint8_t *bytes;
    size_t size;
    size_t at;
};

struct side {
    struct pd_net_endpoint *endpoint;
    struct pd_net_identity identity;
    struct pd_random random;
    struct pd_transport_address address;
    uint64_t link; /* of the other one's last */
};

struct world {
    struct side target;
    struct side peer;
    struct pd_net_account *account;
    uint64_t now_ns;
    uint64_t links;
    uint8_t kept[1500]; /* a packet to play again */
    size_t kept_size;
};

static uint8_t room[PD_NET_ROOM_SIZE];

static uint8_t next_byte(struct script *script)
{
    return script->at < script->size ? script->bytes[script->at++] : 0;
}

static void draw(void *state, uint8_t *bytes, size_t size)
{
    pd_random_fill(state, bytes, size);
}

static bool admit(void *state, const uint8_t key[PD_NET_KEY_SIZE])
{
    (void)state;
    (void)key;
    return true;
}

static void open_side(struct side *side, uint8_t number)
{
    static const struct pd_net_service service = {.name = "pando-client/1", .admit = admit};
    uint8_t secret[PD_NET_KEY_SIZE];
    memset(secret, number, sizeof secret);
    pd_net_identity_init(&side->identity, secret);
    pd_random_init(&side->random, number, "fuzz");
    side->address = (struct pd_transport_address){.port = number};
    struct pd_net_endpoint_config config = {.identity = &side->identity,
                                            .limits = pd_net_limits_default(),
                                            .services = &service,
                                            .service_count = 1,
                                            .random = draw,
                                            .random_state = &side->random,
                                            .local = side->address,
                                            .now_ns = MS};
    config.limits.connections_max = 20;
    config.limits.handshakes_max = 8;
    config.limits.retry_from = 3;
    config.limits.source_handshakes_max = 5;
    config.limits.source_retry_from = 2;
    config.limits.requests_max = 4;
    config.limits.request_bytes_max = 1000;
    config.limits.answer_bytes_max = 1000;
    config.limits.message_bytes_max = 2000;
    config.limits.input_bytes_max = 3000;
    if (pd_net_endpoint_open(&config, &side->endpoint) != PD_OK) {
        abort();
    }
}

static void know(const struct world *world, const struct side *who, const struct side *whom,
                 uint64_t node)
{
    struct pd_transport_peer peer = {
        .node = node, .address_count = 1, .addresses = {whom->address}};
    memcpy(peer.key, whom->identity.key, PD_NET_KEY_SIZE);
    if (pd_net_endpoint_set_peers(who->endpoint, world->now_ns, &peer, 1) != PD_OK) {
        abort();
    }
}

static void hear(struct world *world, struct side *side)
{
    struct pd_net_event event;
    while (pd_net_endpoint_next_event(side->endpoint, &event)) {
        side->link = event.kind == PD_NET_LINK_OPENED ? event.link : side->link;
        if (event.kind == PD_NET_REQUEST) {
            pd_net_endpoint_answer(
                side->endpoint, event.link, event.correlation,
                pd_net_buffer_make(world->account, event.correlation, event.bytes),
                event.bytes.size % 2 == 0);
        }
    }
}

static void give(struct world *world, struct side *side, const struct side *from,
                 const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size == 0 ? 1 : size); /* exactly as long: ASan sees its end */
    if (copy == NULL) {
        abort();
    }
    if (size > 0) {
        memcpy(copy, bytes, size);
    }
    const struct pd_datagram datagram = {.remote = from->address, .bytes = copy, .size = size};
    pd_net_endpoint_receive(side->endpoint, world->now_ns, &datagram);
    free(copy);
}

/* Everything that one side has to say goes to the other one; the first packet of it as `change`
 * says. */
static void carry(struct world *world, struct side *from, struct side *to, struct script *change)
{
    struct pd_datagram datagram;
    while (pd_net_endpoint_next_datagram(from->endpoint, world->now_ns, room, &datagram)) {
        size_t step = datagram.segment_size == 0 ? datagram.size : datagram.segment_size;
        for (size_t at = 0; at < datagram.size; at += step) {
            size_t size = datagram.size - at < step ? datagram.size - at : step;
            uint8_t packet[1500];
            memcpy(packet, datagram.bytes + at, size);
            if (change != NULL) {
                packet[((size_t)next_byte(change) * 7) % size] ^= next_byte(change);
                size = next_byte(change) % 4 == 0 ? next_byte(change) % size : size;
                change = NULL;
            }
            world->kept_size = size;
            memcpy(world->kept, packet, size);
            give(world, to, from, packet, size);
        }
    }
}

/* A frame whose head, and some of its body, are the script's. */
static struct pd_net_buffer *make_frame(struct world *world, struct script *script,
                                        uint64_t correlation)
{
    uint8_t body[64];
    struct pd_net_buffer *buffer = pd_net_buffer_make(
        world->account, correlation, (struct pd_span){body, next_byte(script) % sizeof body});
    if (buffer == NULL) {
        abort();
    }
    memset(buffer->bytes + PD_NET_FRAME_HEAD_SIZE, 0, buffer->size - PD_NET_FRAME_HEAD_SIZE);
    uint8_t changes = next_byte(script) % 4;
    for (uint8_t i = 0; i < changes; i++) {
        buffer->bytes[next_byte(script) % buffer->size] = next_byte(script);
    }
    return buffer;
}

static void raw(struct world *world, struct script *script)
{
    uint8_t bytes[256];
    size_t size = next_byte(script);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = next_byte(script);
    }
    give(world, &world->target, &world->peer, bytes, size);
}

static void step(struct world *world, struct script *script)
{
    struct side *target = &world->target;
    struct side *peer = &world->peer;
    uint8_t what = next_byte(script);
    switch (what % 10) {
    case 0:
        raw(world, script);
        break;
    case 1:
        carry(world, peer, target, script);
        break;
    case 2:
        carry(world, target, peer, script);
        break;
    case 3:
        give(world, target, what < 128 ? peer : target, world->kept, world->kept_size);
        break;
    case 4:
        world->now_ns += (uint64_t)next_byte(script) * 20 * MS;
        pd_net_endpoint_expire(target->endpoint, world->now_ns);
        pd_net_endpoint_expire(peer->endpoint, world->now_ns);
        break;
    case 5:
        world->links += 2;
        (void)pd_net_endpoint_dial(peer->endpoint, world->now_ns, world->links, 0,
                                   target->identity.key, &target->address);
        break;
    case 6:
        (void)pd_net_endpoint_call(peer->endpoint, world->links, what,
                                   make_frame(world, script, what));
        break;
    case 7:
        (void)pd_net_endpoint_send(peer->endpoint, 1,
                                   what < 128 ? PD_TRANSPORT_RAFT : PD_TRANSPORT_BULK,
                                   make_frame(world, script, 0));
        break;
    case 8:
        pd_net_endpoint_cancel(peer->endpoint, world->links, next_byte(script));
        pd_net_endpoint_answer(target->endpoint, target->link, next_byte(script),
                               make_frame(world, script, what), what < 128);
        break;
    default:
        peer->address.port = (uint16_t)(10 + what); /* it has moved */
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct world world;
    struct script script = {bytes, size, 0};
    memset(&world, 0, sizeof world);
    world.now_ns = MS;
    world.links = 1;
    world.account = pd_net_account_create();
    open_side(&world.target, 1);
    open_side(&world.peer, 2);
    know(&world, &world.target, &world.peer, 2);
    know(&world, &world.peer, &world.target, 1);
    for (uint32_t i = 0; i < STEPS_MAX && script.at < script.size; i++) {
        step(&world, &script);
        if (i % 2 == 0) {
            carry(&world, &world.peer, &world.target, NULL);
            carry(&world, &world.target, &world.peer, NULL);
        }
        hear(&world, &world.target);
        hear(&world, &world.peer);
        pd_net_endpoint_check(world.target.endpoint);
        struct pd_net_counters counters;
        pd_net_endpoint_counters(world.target.endpoint, &counters);
        if (counters.connections > 20 || counters.handshakes > 8) {
            abort();
        }
    }
    pd_net_endpoint_close(world.target.endpoint);
    pd_net_endpoint_close(world.peer.endpoint);
    pd_net_account_release(world.account);
    return 0;
}
