#include "sim/transport.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/hash.h"
#include "node/forwards.h"
#include "sim/world.h"

#define EVERYBODY UINT32_MAX

static struct pd_sim_transport *of(struct pd_transport *transport)
{
    return (struct pd_sim_transport *)(void *)transport;
}

static void start(struct pd_transport *transport, const struct pd_transport_handler *handler)
{
    pd_assert(of(transport)->handler.message == NULL);
    of(transport)->handler = *handler;
}

static void stop(struct pd_transport *transport)
{
    memset(&of(transport)->handler, 0, sizeof of(transport)->handler);
    of(transport)->peers = EVERYBODY;
    of(transport)->removed = 0;
}

/* A connection's end says so, and a node that dials is answered so. */
static void tell_removed(const struct pd_sim_machine *machine, uint32_t node)
{
    struct pd_sim_world *world = machine->world;
    if (!pd_sim_network_is_cut(&world->network, machine->number - 1, node - 1)) {
        pd_sim_world_push(world, world->now_ns + world->config.network_delay_ns,
                          PD_SIM_EVENT_REMOVED, node, machine->number, NULL);
    }
}

static enum pd_status set_peers(struct pd_transport *transport,
                                const struct pd_transport_peer *peers, uint32_t count)
{
    struct pd_sim_transport *own = of(transport);
    const struct pd_sim_machine *machine = own->machine;
    uint32_t table = 0;
    for (uint32_t i = 0; i < count; i++) {
        pd_assert(peers[i].node <= machine->world->machine_count);
        table |= 1u << peers[i].node;
    }
    for (uint32_t node = 1; node <= machine->world->machine_count; node++) {
        if ((own->peers & ~table & own->removed) >> node & 1 && node != machine->number) {
            tell_removed(machine, node);
        }
    }
    own->peers = table;
    return PD_OK;
}

void pd_sim_transport_set_removed(struct pd_sim_transport *transport, const uint64_t *nodes,
                                  uint32_t count)
{
    transport->removed = 0;
    for (uint32_t i = 0; i < count; i++) {
        transport->removed |= 1u << nodes[i];
    }
}

static bool is_peer(const struct pd_sim_machine *machine, uint64_t node)
{
    return node != 0 && node <= machine->world->machine_count && node != machine->number &&
           (machine->transport.peers >> node & 1) != 0;
}

static enum pd_status send(struct pd_transport *transport, uint64_t node,
                           enum pd_transport_lane lane, struct pd_span bytes)
{
    struct pd_sim_transport *from = of(transport);
    struct pd_sim_machine *machine = from->machine;
    struct pd_sim_world *world = machine->world;
    if (!is_peer(machine, node)) {
        return PD_ERR_UNKNOWN;
    }
    uint64_t arrivals[PD_SIM_COPIES_MAX];
    uint32_t copies = pd_sim_network_send(&world->network, machine->number - 1, (uint32_t)node - 1,
                                          world->now_ns, arrivals);
    bool is_forward = pd_forwards_is_frame(bytes);
    copies = is_forward && copies > 1 ? 1 : copies;
    world->counts.messages++;
    from->counters.sent[lane]++;
    from->counters.sent_bytes += bytes.size;
    if (copies == 0) {
        return PD_OK;
    }
    struct pd_sim_packet *packet = pd_alloc(sizeof *packet + bytes.size);
    if (packet == NULL) {
        pd_sim_world_fail(world, "the simulator has no memory left");
        return PD_ERR_NO_MEMORY;
    }
    packet->references = copies;
    packet->from = machine->number;
    packet->lane = lane;
    packet->life = is_forward ? world->machines[node].life : 0;
    packet->size = bytes.size;
    packet->digest = pd_hash_bytes(machine->number, bytes.bytes, bytes.size);
    memcpy(packet->bytes, bytes.bytes, bytes.size);
    for (uint32_t i = 0; i < copies; i++) {
        pd_sim_world_push(world, arrivals[i], PD_SIM_EVENT_DELIVER, (uint32_t)node, packet->digest,
                          packet);
    }
    return PD_OK;
}

static enum pd_status peer_state(struct pd_transport *transport, uint64_t node,
                                 struct pd_transport_peer_state *state_out)
{
    *state_out = (struct pd_transport_peer_state){.is_connected = true, .connects = 1};
    return is_peer(of(transport)->machine, node) ? PD_OK : PD_ERR_UNKNOWN;
}

static void counters(struct pd_transport *transport, struct pd_transport_counters *counters_out)
{
    *counters_out = of(transport)->counters;
}

void pd_sim_transport_init(struct pd_sim_transport *transport, struct pd_sim_machine *machine)
{
    static const struct pd_transport_ops ops = {
        .start = start,
        .stop = stop,
        .set_peers = set_peers,
        .send = send,
        .peer_state = peer_state,
        .counters = counters,
    };
    *transport = (struct pd_sim_transport){.base = {&ops}, .machine = machine, .peers = EVERYBODY};
}

void pd_sim_transport_deliver(struct pd_sim_transport *transport,
                              const struct pd_sim_packet *packet)
{
    const struct pd_sim_machine *machine = transport->machine;
    pd_assert(transport->handler.message != NULL);
    if ((transport->peers >> packet->from & 1) == 0) {
        if ((transport->removed >> packet->from & 1) != 0) {
            PD_SOMETIMES(SIM_REMOVED_REFUSED, true);
            tell_removed(machine, packet->from);
        }
        return;
    }
    if (packet->life != 0 && packet->life != machine->life) {
        PD_SOMETIMES(SIM_FORWARD_FOREIGN, true);
        return;
    }
    transport->counters.received[packet->lane]++;
    transport->counters.received_bytes += packet->size;
    transport->handler.message(transport->handler.state, packet->from, packet->lane,
                               (struct pd_span){packet->bytes, packet->size});
}

void pd_sim_transport_lost(struct pd_sim_transport *transport, uint32_t node)
{
    transport->handler.lost(transport->handler.state, node);
}

void pd_sim_transport_removed(struct pd_sim_transport *transport, uint32_t node)
{
    transport->handler.removed(transport->handler.state, node);
}

void pd_sim_packet_release(struct pd_sim_packet *packet)
{
    if (--packet->references == 0) {
        pd_free(packet);
    }
}
